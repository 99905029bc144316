"""Who may read files in. Names read after "may, if the actor …"."""

from __future__ import annotations

from referrals.kernel.actor import Actor, Role
from referrals.organization.models import Installation


def runs_imports(actor: Actor, _installation: Installation) -> bool:
    """Runs the service itself."""
    return actor.works_as(Role.OPERATOR)
