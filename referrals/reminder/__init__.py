"""A reminder: what is told of a referral by mail although nobody has just acted on it (R12, R24).

Whoever it waits on is reminded once half of the time is used; once it is over, the supervisors of both sides are told;
and whoever works on it is told that the release moved. The worker finds each, tells it once, and asks just before the
mail leaves whether it is still so, still theirs, and theirs to know. What an act tells, `referral` tells with the act.
"""
