"""Who stands where towards a recovery. Names read after "may, if the actor …"."""

from __future__ import annotations

from referrals.kernel.actor import Actor, Role
from referrals.recovery.models import FactorRecovery


def is_another_leader(actor: Actor, recovery: FactorRecovery) -> bool:
    """Administers or supervises there, and is neither who began it nor whom it is about: it takes two (S-105)."""
    return is_another_colleague(actor, recovery) and actor.works_as(Role.ADMINISTRATOR, Role.SUPERVISOR)


def stands_in_beside_the_operator(actor: Actor, recovery: FactorRecovery) -> bool:
    """Works there, where the operator began it: the command asks that nobody there leads (decision 0023)."""
    return is_another_colleague(actor, recovery) and recovery.began_by_operator and bool(actor.roles)


def is_another_colleague(actor: Actor, recovery: FactorRecovery) -> bool:
    """Is a person of the same organization, and neither who began it nor whom it is about."""
    if actor.user_id == recovery.user_id:
        return False
    return (
        actor.kind == "user"
        and actor.token_id is None
        and actor.organization_id == recovery.user.organization_id
        and actor.user_id != recovery.first_by
    )


def is_about_them(actor: Actor, recovery: FactorRecovery) -> bool:
    """Is whom it is about: whoever is still signed in stops what they did not ask for."""
    return actor.user_id == recovery.user_id


def began_it(actor: Actor, recovery: FactorRecovery) -> bool:
    """Is an administrator who began it."""
    return actor.user_id == recovery.first_by and actor.works_as(Role.ADMINISTRATOR)


def operates(actor: Actor, _recovery: FactorRecovery) -> bool:
    """Runs the service: stands in where the organization has nobody else, and never for both."""
    return actor.works_as(Role.OPERATOR)


def leads(actor: Actor) -> bool:
    """Administers or supervises, and so sees which recoveries wait in their organization."""
    return actor.works_as(Role.ADMINISTRATOR, Role.SUPERVISOR)
