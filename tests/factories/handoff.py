"""Referrals on their way to an end."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from referrals.handoff import commands as h
from referrals.handoff.models import ClosingReport
from tests.factories.referral import World

#: A closing report on the two goals of `tests.factories.referral.FULL`.
REPORT: dict[str, Any] = {
    "result_1": "achieved",
    "comment_1": "Moved in on Monday.",
    "result_2": "partly",
    "helps_next": "A bus pass for the first month.",
    "persons_view": "They did what they said.",
}


def reported(world: World, referral_id: UUID, **other: Any) -> ClosingReport:
    """Let the navigator write the closing report."""
    words = {name: value for name, value in (REPORT | other).items() if value is not None}
    report: ClosingReport = world.act(h.write_report, world.navigator, referral_id, **words)
    return report


def completed(world: World) -> UUID:
    """A referral that was worked on, reported and completed."""
    referral_id = world.started()
    reported(world, referral_id)
    world.act(h.complete_referral, world.navigator, referral_id, outcome="goals_partly_met")
    return referral_id
