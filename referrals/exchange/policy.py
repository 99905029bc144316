"""Who reads files in and takes lists along. Names read after "may, if the actor …", some "if the organization …"."""

from __future__ import annotations

from referrals.kernel.actor import Actor, Role, Side
from referrals.organization.models import Installation, Organization


def runs_imports(actor: Actor, _installation: Installation) -> bool:
    """Runs the service itself."""
    return actor.works_as(Role.OPERATOR)


def takes_lists_along(actor: Actor) -> bool:
    """Answers for colleagues' work with participants: what left as a file is out of this service's reach."""
    return actor.works_as(Role.SUPERVISOR)


def is_agency(_actor: Actor, organization: Organization) -> bool:
    """The organization is an agency: it has facilities."""
    return organization.side == Side.AGENCY


def is_community_organization(_actor: Actor, organization: Organization) -> bool:
    """The organization is a community organization: it has programs and locations."""
    return organization.side == Side.COMMUNITY
