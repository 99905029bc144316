"""Who may read the log. Names read after "may, if the actor …"."""

from __future__ import annotations

from referrals.kernel.actor import Actor, Role


def audits(actor: Actor) -> bool:
    """Is an auditor of an organization; no other role reads the log."""
    return actor.works_as(Role.AUDITOR) and actor.organization_id is not None
