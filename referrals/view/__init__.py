"""What somebody keeps of how they look at lists.

A *saved view* is a list's filters and order under a name, for oneself or for one's organization's *team*. A list opens
with everything or with a *default view*, each person's own. What was typed into the search box is kept for whoever
typed it, sealed, for 8 hours, so that it never stands in an address. Lists are declared by the rooms that own them.
"""
