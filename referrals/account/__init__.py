"""Who may come in, and as what: one person, one account, on one side, with roles.

A *user* belongs to one organization and signs in with a name, a password and a second factor. A *sign-in* is what a
browser holds a token of; it ends when it is left idle, after half a day, or when somebody ends it. A *role grant* says
what somebody works as. A *one-time code* opens an account for the first time, and again after a reset. From here comes
the `Actor` that every act and look is done by. Cites S-101 to S-114 of the security rules.
"""
