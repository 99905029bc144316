"""When a participant will be released: a day or "unknown" with a reason, who says so and as of when, with full history.

A *release date* is a row that nobody changes: another statement is another row. *In force* is the agency's latest; what
a participant or a community organization has *heard* stands beside it and never replaces it.
"""
