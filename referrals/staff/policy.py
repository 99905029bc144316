"""Who stands where towards an organization's people. Names read after "may, if the actor …"."""

from __future__ import annotations

from referrals.kernel.actor import Actor, Role


def hands_work_over(actor: Actor) -> bool:
    """Is a supervisor, and so sees what a colleague who left has open, and gives it to another (S-807)."""
    return actor.works_as(Role.SUPERVISOR)


def reads_reviews(actor: Actor) -> bool:
    """Is an administrator or auditor, and so reads how their organization's accounts were reviewed (S-805)."""
    return actor.works_as(Role.ADMINISTRATOR, Role.AUDITOR)
