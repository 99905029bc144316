"""A worklist: the referrals of one's own side, in three lists by whose move it is, and what colleagues hold of them.

What is sent waits on *us*, waits on *them*, or is *closed*: each referral stands in exactly one list of each side. A
list is narrowed and ordered by its address, and paged by a *mark*, which says where a page ended. A supervisor reads
each colleague's *load*, and what nobody looks after. It owns no table: what a line tells is the referral's to say.
"""
