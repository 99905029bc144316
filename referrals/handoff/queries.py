"""Reading closing reports: whose referral is within sight, and what of it crosses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.orm import Session, selectinload

from referrals.account import queries as accounts
from referrals.handoff.models import ClosingReport, GoalOutcome, is_owed
from referrals.kernel.actor import Actor
from referrals.kernel.look import NOT_SHARED, NotShared, Sight, declare_look, look
from referrals.organization import queries as organizations
from referrals.referral import queries as referrals
from referrals.referral.models import Referral

REPORT_VIEWED: Final = declare_look("handoff.report_viewed", "a referral's closing report and what was added to it")

#: A closing report crosses as needs, for the referral's own purpose (R21).
PURPOSE: Final = referrals.PURPOSE


def visible_to(actor: Actor) -> Select[ClosingReport]:
    """Select the closing reports of referrals within sight."""
    about = select(Referral.id).where(Referral.id == ClosingReport.referral_id, referrals.within_sight(actor))
    return select(ClosingReport).where(about.exists()).options(selectinload(ClosingReport.outcomes))


def has_report(session: Session, referral_id: UUID) -> bool:
    """Whether a closing report stands: for the rule, never for a page."""
    return session.scalars(select(ClosingReport.id).where(ClosingReport.referral_id == referral_id)).first() is not None


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal of the referral with what came of it."""

    number: int
    goal: str | NotShared
    result: str | NotShared
    comment: str | NotShared | None


@dataclass(frozen=True, slots=True)
class Report:
    """A closing report, or an addendum (without goals), as one reader may see it."""

    id: UUID
    referral_id: UUID
    is_addendum: bool
    helps_next: str | NotShared
    persons_view: str | NotShared | None
    goals: Sequence[Goal]
    at: datetime
    who: str
    organization: str


def reports(session: Session, actor: Actor, referral_id: UUID) -> list[Report]:
    """Return a referral's closing report and its addenda, oldest first."""
    statement = visible_to(actor).where(ClosingReport.referral_id == referral_id).order_by(ClosingReport.id)
    rows = look(
        session,
        actor,
        statement,
        records=REPORT_VIEWED,
        purpose=PURPOSE,
        fields=("adds_to_id", "helps_next", "persons_view", "at", "by", "organization_id"),
    )
    if not rows:
        return []
    outcomes = look(
        session,
        actor,
        select(GoalOutcome).where(GoalOutcome.report_id.in_([row.id for row in rows])).order_by(GoalOutcome.number),
        records=REPORT_VIEWED,
        purpose=PURPOSE,
        fields=("report_id", "number", "result", "comment"),
    )
    goals = _goals(session, actor, referral_id)
    who = accounts.names(session, {row.by for row in rows})
    where = organizations.names(session, {row.organization_id for row in rows})
    return [
        Report(
            id=row.id,
            referral_id=referral_id,
            is_addendum=row.adds_to_id is not None,
            helps_next=row.helps_next,
            persons_view=row.persons_view,
            goals=[
                Goal(one.number, _nth(goals, one.number), one.result, one.comment)
                for one in outcomes
                if one.report_id == row.id
            ],
            at=row.at,
            who=who.get(row.by, ""),
            organization=where[row.organization_id],
        )
        for row in rows
    ]


def report(session: Session, actor: Actor, made: ClosingReport) -> Report:
    """Return one report again, on record."""
    return next(one for one in reports(session, actor, made.referral_id) if one.id == made.id)


def _goals(session: Session, actor: Actor, referral_id: UUID) -> Any:
    statement = referrals.visible_to(actor).where(Referral.id == referral_id)
    seen = look(session, actor, statement, records=REPORT_VIEWED, purpose=PURPOSE, fields=("goals",))
    return seen[0].goals if seen else NOT_SHARED


def _nth(goals: Any, number: int) -> str | NotShared:
    if isinstance(goals, NotShared):
        return goals
    return str(goals[number - 1]) if goals and number <= len(goals) else ""


@dataclass(frozen=True, slots=True)
class Closing:
    """What a page about closing shows: the referral, whether a report is owed, what was reported."""

    view: referrals.View
    owed: bool
    reports: Sequence[Report]

    @property
    def it(self) -> Sight[Referral]:
        """The referral itself."""
        return self.view.it

    @property
    def is_missing(self) -> bool:
        """Whether an owed report is not written yet."""
        return self.owed and not self.reports


def closing(session: Session, actor: Actor, referral_id: UUID) -> Closing:
    """Return what is owed before a referral may end, and what was reported.

    Raises:
        NotFoundError: the referral is not theirs to know of, or none.
    """
    view = referrals.referral(session, actor, referral_id)
    row = referrals.known(session, actor, referral_id)
    return Closing(view, is_owed(row), reports(session, actor, referral_id))
