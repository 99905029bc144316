"""What a participant agreed may be shared: by whom, with whom, for what, until when.

A *consent* joins one participant, one disclosing organization, one *recipient*, one direction, named *categories*,
named *purposes* and an end (C1). A value crosses between organizations only while three keys turn at once: *agreement*,
*consent*, *assignment* (C10). `queries.holds` decides that, and nothing else does.
"""
