"""Which clocks run for referrals, whom a moved release concerns, and whether either is still theirs to be told of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from referrals.kernel.actor import Actor, system
from referrals.kernel.errors import NotFoundError
from referrals.referral import policy
from referrals.referral import queries as referrals
from referrals.referral.models import STATES, UNANSWERED, UNDER_WAY, Deadlines, Facts, Referral, State, settle
from referrals.release import queries as releases
from referrals.reminder.models import half_used_at

HALF_USED: Final = "referral.half_used"
OVERDUE: Final = "referral.overdue"
MOVED: Final = "referral.release_moved"


# --- clocks (R12) -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Running:
    """A clock that runs for one referral: which deadline, until when, and when half of the time is used."""

    referral: Referral
    deadline: str
    due: datetime
    half_used_at: datetime

    @property
    def waiting_on(self) -> frozenset[UUID]:
        """The people whose move it is."""
        side = STATES[self.referral.recorded].waiting_on
        return frozenset() if side is None else referrals.people_of(self.referral, side)


def running(session: Session, at: datetime, *, page: int = 200) -> Iterator[list[Running]]:
    """Give, page by page, the clocks that run for referrals without an answer: three statements a page."""
    waiting = referrals.unanswered(session, at, page=page, sent_before=at)
    while rows := list(islice(waiting, page)):
        found = referrals.clocks(session, [row.id for row in rows], at)
        yield [_running_for(row, found[row.id]) for row in rows if row.id in found]


def _running_for(row: Referral, found: Deadlines) -> Running:
    asks = row.recorded is State.INFO_REQUESTED
    deadline = f"reply{row.step_count}" if asks else "answer" if found.acknowledge_by is None else "acknowledge"
    return Running(row, deadline, found.due_by, half_used_at(row.steps, found))


def is_still_theirs(session: Session, actor: Actor, referral_id: UUID, at: datetime) -> bool:
    """Whether a referral still waits for an answer of somebody's own side, as far as they may know of it now."""
    found = _still_unanswered(session, actor, referral_id, at)
    return found is not None and STATES[found[1]].waiting_on is found[0].side_of(actor.organization_id)


def is_still_overdue(session: Session, actor: Actor, referral_id: UUID, at: datetime) -> bool:
    """Whether a referral still waits for an answer beyond its deadline, as far as somebody may know of it now."""
    if _still_unanswered(session, actor, referral_id, at) is None:
        return False
    clock_of = referrals.clocks(session, [referral_id], at).get(referral_id)
    return clock_of is not None and clock_of.is_overdue(at)


def _still_unanswered(session: Session, actor: Actor, referral_id: UUID, at: datetime) -> tuple[Referral, State] | None:
    """Return a referral that waits for an answer, and how it stands; None unless it is somebody's to know and to do."""
    try:
        row = referrals.known(session, actor, referral_id)
    except NotFoundError:
        return None
    fact = referrals.facts(session, [row.id], at)[row.id]
    if referrals.is_gone(actor, row, fact) or referrals.is_outcome_hidden(session, row, actor, at):
        return None
    seen = settle(row.recorded, fact, at).state
    return (row, seen) if policy.takes_part(actor, row) and seen in UNANSWERED else None


# --- the release moved (E23, R24) -------------------------------------------------------------------------------------


def concerned(session: Session, participants: Iterable[UUID]) -> dict[UUID, list[Referral]]:
    """Return the referrals of these participants that were sent and are not done, for a job that tells of a move."""
    theirs = referrals.visible_to(system()).where(
        Referral.participant_id.in_(set(participants)), Referral.sent_at.is_not(None), Referral.done_at.is_(None)
    )
    found: dict[UUID, list[Referral]] = {}
    for row in session.scalars(theirs.order_by(Referral.id), execution_options=referrals.AS_IT_IS):
        found.setdefault(row.participant_id, []).append(row)
    return found


def is_move_told(session: Session, actor: Actor, statement_id: UUID, at: datetime) -> bool:
    """Whether the release moved last by this statement, which concerns somebody's work, and which they may know of.

    Whoever has seen it on a referral's page is not told of it any more.
    """
    said = releases.moved_by(session, statement_id)
    if said is None or session.scalar(referrals.has_seen(statement_id, actor)) is not None:
        return False
    if not referrals.crosses_to(
        session, actor, said.participant_id, at, owner_id=said.organization_id, category="release"
    ):
        return False
    theirs = referrals.visible_to(actor).where(
        Referral.participant_id == said.participant_id,
        Referral.sent_at < said.recorded_at,
        Referral.done_at.is_(None),
    )
    rows = session.scalars(theirs, execution_options=referrals.AS_IT_IS).all()
    known_of = referrals.facts(session, [row.id for row in rows], at)
    return any(_works_on(session, row, actor, known_of[row.id], at) for row in rows)


def _works_on(session: Session, row: Referral, actor: Actor, fact: Facts, at: datetime) -> bool:
    """Whether somebody works on a referral that goes on, as far as they are told."""
    people = referrals.people_of(row, row.side_of(actor.organization_id))
    if actor.me not in people or referrals.is_gone(actor, row, fact):
        return False
    goes_on = settle(row.recorded, fact, at).state in UNDER_WAY
    # That no mail comes must not tell its sender of an end that does not come back.
    return goes_on or referrals.is_outcome_hidden(session, row, actor, at)
