"""What a community organization offers: its programs, whom they serve, whether there is room, and who answers.

A *program* is one offer to refer somebody to. Its *intake list* names the people who answer referrals. Its *capacity*
is what somebody there said, and when; after 14 days without a word it counts as stale. Nothing here is about a
participant.
"""
