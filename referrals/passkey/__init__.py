"""What somebody proves themselves with that is no code: a passkey or a security key (WebAuthn).

A *passkey* here is a second factor after the password, kept by a device or on a key that is carried through a gate
where phones may not go. It answers a *challenge*: 32 random bytes for one sign-in, one purpose, once, within five
minutes. The *site* is the address that its answers must come from. This room knows what a passkey is and whether an
answer is right; what follows from one (a sign-in is complete, others end) the rooms upstairs decide: `sign_in` and
`factor`. Cites S-101 to S-113.
"""
