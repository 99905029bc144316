"""The participant: who they are, how to reach them, and who helps them.

A *participant* is recorded by one agency, under that agency's own *number*. The *care team* is the *assignments* in
force: a person, a program's intake list or a facility's desk, from an instant, for a reason, until one. Whom somebody
may know of at all follows from assignments alone.
"""
