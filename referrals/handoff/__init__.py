"""The handoff: what is owed before a referral that was worked on may end.

Whoever worked with the participant leaves a *closing report* (each goal's outcome, what helps next, the participant's
own view); only then do the two *closing verbs*, complete and end, pass. The plan and the warm handoff join later.
"""
