"""Who stands where around the end of a referral: the referral's own predicates, read after "may, if the actor …"."""

from __future__ import annotations

from referrals.kernel.actor import Actor
from referrals.referral import policy
from referrals.referral.models import Referral


def works_on_it(actor: Actor, referral: Referral) -> bool:
    """Is the named caseworker, or supervises them."""
    return policy.works_on_it(actor, referral)
