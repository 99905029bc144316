"""A referral: one request that a program take on one participant, and all that both sides do about it until it is done.

The *source* organization asks, the *recipient* program answers; either may be an agency or a community organization.
The *status* is folded from *steps* that are never changed, then *settled* by what happened elsewhere (a death, sharing
that ended, a deadline). The *loop* is open until the other side has acknowledged how it ended; done means both. One
*thread* belongs to it, whose audience is chosen before typing.
"""
