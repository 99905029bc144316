"""The log as auditors read it: who did and saw what, on which basis, and whether what guards the log is there.

An auditor sees what the people of their own organization did, what was shared with it, what the service itself and
visitors without a sign-in did, and whatever was done about a participant whom their organization recorded. Participants
appear by their reference in the log, never by name; content appears nowhere. Every query of the log is itself in the
log (L10).
"""
