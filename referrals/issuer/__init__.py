"""Where an organization's people sign in already: its *issuer* (OpenID Connect), and whom it says they are.

A *subject* is what an issuer calls one person; issuer and subject together are that person here, and nothing else is:
never a name, never an address of mail (S-116). A *request* is one question sent to an issuer through a browser; it
holds what the *answer* must match, for ten minutes and one answer. This room knows what an issuer is and whether an
answer is right; what follows from one (somebody is signed in, a second factor was given) the rooms upstairs decide.
Cites S-103, S-113 and S-116 of the security rules; OpenID Connect Core 1.0, RFC 7636 (PKCE), RFC 9700.
"""
