"""Who stands where towards a sign-in. Names read after "may, if the actor …"."""

from __future__ import annotations

from referrals.kernel.actor import Actor
from referrals.organization.models import Installation
from referrals.sign_in.models import SecondFactor, SignIn


def is_nobody_yet(actor: Actor, _installation: Installation) -> bool:
    """Has not signed in: the only one who may."""
    return actor.user_id is None and actor.kind in {"anonymous", "unknown"}


def holds_it(actor: Actor, thing: SignIn | SecondFactor) -> bool:
    """Is the user whose sign-in or factor this is."""
    return actor.user_id == thing.user_id
