"""Signing in where one's organization signs in already (single sign-on, OpenID Connect).

An administrator *lists* an issuer; each person *connects* their account with it, from within, once; from then on it
stands for password and second factor together, where it says that two factors were given. It makes no account and takes
none over (decision 0028). Cites S-103, S-113, S-114 and S-116 of the security rules.
"""
