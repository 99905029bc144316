"""The closing report: what came of each goal, what helps next, and the participant's own view (R21)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped

from referrals.kernel.crypto import sealed, text
from referrals.kernel.errors import RuleBrokenError
from referrals.kernel.orm import Identified, personal, public, related
from referrals.referral.models import Referral, State

#: A report may be written while the work goes on; afterwards only an addendum to one that exists.
WORKED_ON: Final = frozenset({State.ACCEPTED, State.WAITLISTED, State.IN_PROGRESS, State.ON_HOLD})


class GoalResult(StrEnum):
    """What came of a goal."""

    ACHIEVED = "achieved"
    PARTLY = "partly"
    NOT_ACHIEVED = "not_achieved"
    NOT_TRIED = "not_tried"


class ClosingReportOwedError(RuleBrokenError):
    """Somebody worked on this referral: it does not end without a closing report (R21)."""

    code = "closing_report_owed"


class ReportExistsError(RuleBrokenError):
    """There is a closing report already; what it got wrong is put right by an addendum."""

    code = "closing_report_exists"


class NothingToAddToError(RuleBrokenError):
    """An addendum needs a closing report that it adds to."""

    code = "no_closing_report"


class NotWorkedOnError(RuleBrokenError):
    """Nobody is working on this referral, so there is nothing to report."""

    code = "not_worked_on"


class GoalOutcome(Identified):
    """What came of one goal, by its number in the referral (from 1). Never changed."""

    __tablename__ = "goal_outcome"
    __participant__ = "participant_id"
    __recorder__ = "organization_id"
    __table_args__ = (UniqueConstraint("report_id", "number"),)

    report_id: Mapped[UUID] = public(ForeignKey("closing_report.id"))
    participant_id: Mapped[UUID] = personal(ForeignKey("person.id"), category="identity")
    organization_id: Mapped[UUID] = public(ForeignKey("organization.id"))
    number: Mapped[int] = public()
    result: Mapped[str] = personal(category="needs")
    comment = sealed(text, category="needs", nullable=True)


class ClosingReport(Identified):
    """The closing report of one referral, or an addendum to it. Never changed (a database rule)."""

    __tablename__ = "closing_report"
    __participant__ = "participant_id"
    __recorder__ = "organization_id"

    referral_id: Mapped[UUID] = public(ForeignKey("referral.id"), index=True)
    participant_id: Mapped[UUID] = personal(ForeignKey("person.id"), category="identity")
    organization_id: Mapped[UUID] = public(ForeignKey("organization.id"))
    #: The report this one adds to; None for the report itself.
    adds_to_id: Mapped[UUID | None] = public(ForeignKey("closing_report.id"))
    helps_next = sealed(text, category="needs")
    persons_view = sealed(text, category="needs", nullable=True)
    at: Mapped[datetime] = public()
    by: Mapped[UUID] = public()

    outcomes: Mapped[list[GoalOutcome]] = related(
        GoalOutcome, primaryjoin="ClosingReport.id == foreign(GoalOutcome.report_id)", order_by=GoalOutcome.number
    )


def is_owed(referral: Referral) -> bool:
    """Whether a closing report is owed before this referral may end: it was in progress at some time (R21)."""
    return State.IN_PROGRESS in referral.was_ever
