"""Who stands where towards a program. Names read after "may, if the actor …"."""

from __future__ import annotations

from referrals.kernel.actor import Actor, Role
from referrals.organization.models import Organization
from referrals.program.models import Program


def offers_it(actor: Actor, program: Program) -> bool:
    """Works for participants at the organization whose program it is."""
    return actor.organization_id == program.organization_id and actor.works_as(Role.NAVIGATOR, Role.SUPERVISOR)


def leads_it(actor: Actor, thing: Organization | Program) -> bool:
    """Supervises at the organization, or at the one whose program it is."""
    owner = thing.id if isinstance(thing, Organization) else thing.organization_id
    return actor.organization_id == owner and actor.works_as(Role.SUPERVISOR)


def answers_for_it(actor: Actor, program: Program) -> bool:
    """Is on the program's intake list, or supervises at its organization. Needs the program's `intake` loaded."""
    mine = actor.organization_id == program.organization_id and actor.works_as(Role.NAVIGATOR, Role.SUPERVISOR)
    return mine and (program.is_answered_by(actor.user_id) or actor.works_as(Role.SUPERVISOR))
