"""Who stands where around a referral; read each after "may, if the actor …". Needs what `visible_to` loads."""

from __future__ import annotations

from typing import Final

from referrals.kernel.actor import Actor, Role
from referrals.referral.models import Message, Referral

#: The word the log and the jobs know the service itself by.
_SERVICE: Final = "service"


def drafted_it(actor: Actor, referral: Referral) -> bool:
    """Wrote this draft."""
    return actor.user_id is not None and referral.drafted_by == actor.user_id


def sends_it(actor: Actor, referral: Referral) -> bool:
    """Is on the participant's care team at the source, or supervises one of them."""
    if actor.organization_id is None or actor.organization_id != referral.source_id:
        return False
    team = referral.team_ids
    return actor.user_id in team or (bool(team) and actor.works_as(Role.SUPERVISOR))


def answers_it(actor: Actor, referral: Referral) -> bool:
    """Is on the program's intake list, or supervises it."""
    if actor.organization_id is None or actor.organization_id != referral.recipient_id:
        return False
    return actor.works_as(Role.SUPERVISOR) or actor.user_id in referral.intake_ids


def works_on_it(actor: Actor, referral: Referral) -> bool:
    """Is the named caseworker, or supervises them."""
    if actor.organization_id is None or actor.organization_id != referral.recipient_id:
        return False
    named = referral.helper_ids
    return actor.user_id in named or (bool(named) and actor.works_as(Role.SUPERVISOR))


def is_subject(actor: Actor, referral: Referral) -> bool:
    """Records the participant's own wish: staff of either side who work with them (their own door comes later)."""
    return sends_it(actor, referral) or answers_it(actor, referral) or works_on_it(actor, referral)


def is_system(actor: Actor, referral: Referral) -> bool:  # noqa: ARG001  # a predicate takes both
    """Is the service itself."""
    return actor.kind == _SERVICE


def supervises_source(actor: Actor, referral: Referral) -> bool:
    """Supervises the care team at the source."""
    return sends_it(actor, referral) and actor.works_as(Role.SUPERVISOR)


def takes_part(actor: Actor, referral: Referral) -> bool:
    """Works with it on either side."""
    return sends_it(actor, referral) or answers_it(actor, referral) or works_on_it(actor, referral)


def wrote_it(actor: Actor, message: Message) -> bool:
    """Wrote this message."""
    return actor.user_id is not None and message.by == actor.user_id
