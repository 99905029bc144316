"""Who takes part: agencies with their facilities and rooms, community organizations with their locations.

An *organization* stands on one *side*: an agency (a corrections department, a probation office) or a community
organization. A *facility* is a place of an agency where people are held; a *room* is a place to meet inside it. A
*location* is a place of a community organization. Nothing here is about a participant. The one `Installation` row is
the parent of acts that have no other.
"""
