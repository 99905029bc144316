"""Who stands where towards a passkey. Names read after "may, if the actor …"."""

from __future__ import annotations

from referrals.account.models import User
from referrals.kernel.actor import Actor
from referrals.passkey.models import Passkey


def is_signed_in(actor: Actor, _user: User) -> bool:
    """Has a sign-in, complete or not: no integration ever has one."""
    return actor.sign_in_id is not None


def holds_it(actor: Actor, thing: Passkey) -> bool:
    """Is the user whose passkey this is."""
    return actor.user_id == thing.user_id
