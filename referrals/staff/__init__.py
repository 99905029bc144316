"""The people of an organization, as they are looked after: who comes, as what, until when.

An administrator adds people, gives roles (powerful ones with a *second person*), sets a last day, unlocks, resets,
disables, and once a year signs an *access review*. An *emergency account* ends after 72 hours. What somebody who left
still has open is counted here by rooms upstairs. One's own account page stands here too, since it shows what the rooms
below know. Cites S-802 to S-805 and S-807 of the security rules.
"""
