"""Who works here: one person, one account, on one side, with roles.

A *user* belongs to one organization and signs in with a name and a password. A *role grant* says what somebody works
as; a *role proposal* is a powerful role until a second person confirms it. A *one-time code* opens an account for the
first time, and again after a reset. A *change* is what happened to an account, told to its person. Nearly every room
asks here who somebody is. Cites S-106 to S-108 and S-806 of the security rules.
"""
