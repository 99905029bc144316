"""Coming in, staying in, leaving.

A *sign-in* is what a browser or program holds a token of; it ends when it is left idle, after half a day, or when
somebody ends it. It takes a password, a *second factor* (a code of an authenticator app or of a sheet, a passkey's
answer, or one of ten *recovery codes*; how they are set up stands in `factor`), and that the *rules of behavior* were
acknowledged within a year. Five *failed attempts* lock an account. From here comes the `Actor` of a person, for every
request anew. Cites S-101 to S-114 and S-803 of the security rules.
"""
