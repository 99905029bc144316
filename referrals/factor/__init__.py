"""What one proves oneself with: setting it up, replacing it, losing it.

A *second factor* is an authenticator app, a passkey or a code sheet; with the first one come ten *recovery codes*. One
that is set up completes the sign-in that set it up and ends all others, so this room stands on signing in, which knows
the factors that a sign-in takes. It owns no table: apps and recovery codes are kept by `sign_in`, sheets by
`code_sheet`, passkeys by `passkey`. Cites S-103 to S-105, S-110 and S-113 of the security rules.
"""
