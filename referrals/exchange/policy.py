"""Who may read files in. Names read after "may, if the actor …" or, of the organization, "if it …"."""

from __future__ import annotations

from referrals.kernel.actor import Actor, Role, Side
from referrals.organization.models import Installation, Organization


def runs_imports(actor: Actor, _installation: Installation) -> bool:
    """Runs the service itself."""
    return actor.works_as(Role.OPERATOR)


def is_agency(_actor: Actor, organization: Organization) -> bool:
    """The organization is an agency: it has facilities."""
    return organization.side == Side.AGENCY


def is_community_organization(_actor: Actor, organization: Organization) -> bool:
    """The organization is a community organization: it has programs and locations."""
    return organization.side == Side.COMMUNITY
