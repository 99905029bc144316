"""Programs of an organization, which act through the JSON door.

An *integration* is a user that never signs in (decision 0015); it shows an *API token*, which works for the *scopes* it
was made for, through its last day. The row holds a hash; the text is shown once. From here comes the `Actor` of a
program. Cites S-808 of the security rules.
"""
