"""Reading release dates: what is in force, and all that was ever said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Date, Integer, Select, Uuid, and_, bindparam, not_, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased, load_only

from referrals.kernel.actor import Actor, AnyActor, anybody_like, asked_by, asking_once, for_anybody
from referrals.kernel.look import NOT_SHARED, NotShared, Sight, crossing, declare_look, instant, look, look_at
from referrals.kernel.record import clock, day_of
from referrals.person.models import Person
from referrals.person.queries import died_by_own_word, may_know, may_know_of_many, named
from referrals.release.models import (
    AUTHORITATIVE,
    Course,
    Move,
    NothingToCorrectError,
    ReleaseDate,
    course_of,
    without_mistakes,
)

LISTED: Final = declare_look("release.listed", "the release dates in force beside a list of participants")
HISTORY_VIEWED: Final = declare_look("release.history_viewed", "all that was said about a participant's release")
COURSE_VIEWED: Final = declare_look("release.course_viewed", "how a participant's release moved, beside a referral")

#: Why release dates cross between organizations, unless their caller says otherwise.
PURPOSE: Final = "referral"
#: A list is narrowed to so many of those who leave first.
LEAVING_AT_MOST: Final = 1000
#: One alias for all: making one costs more than the statement it stands in.
_later = aliased(ReleaseDate)
FIELDS: Final = (
    *("participant_id", "organization_id", "expected_on", "unknown_because", "released_on", "returned_on"),
    *("facility_id", "source", "said_by", "as_of", "recorded_at", "recorded_by", "is_heard", "corrects_id"),
)
#: What a move is read off.
_COURSE: Final = ("expected_on", "released_on", "returned_on", "recorded_at", "corrects_id")
#: What planning needs of a statement.
_WHEN: Final = ("participant_id", "organization_id", "expected_on")


@for_anybody
def visible_to(actor: Actor | AnyActor) -> Select[ReleaseDate]:
    """Select what was said about the release of participants within sight. Whether it shows is the look's."""
    return select(ReleaseDate).where(may_know(actor, ReleaseDate.participant_id))


@cache
def is_in_force() -> ColumnElement[bool]:
    """Return the condition that a statement is the one in force: the agency's own, with none recorded later (E22).

    An actual release stands until the agency says something later.
    """
    return and_(
        ReleaseDate.source.in_(AUTHORITATIVE),
        ~select(_later.id)
        .where(
            _later.participant_id == ReleaseDate.participant_id,
            _later.source.in_(AUTHORITATIVE),
            or_(
                _later.recorded_at > ReleaseDate.recorded_at,
                and_(_later.recorded_at == ReleaseDate.recorded_at, _later.id > ReleaseDate.id),
            ),
        )
        .correlate_except(_later)
        .exists(),
    )


def in_force(session: Session, participants: Iterable[UUID]) -> dict[UUID, ReleaseDate]:
    """Return the statement in force for each of these participants, in one statement: for rules, never for a page."""
    wanted = set(participants)
    if not wanted:
        return {}
    rows = session.scalars(select(ReleaseDate).where(ReleaseDate.participant_id.in_(wanted), is_in_force()))
    return {row.participant_id: row for row in rows}


def shown_in_force(
    session: Session, actor: Actor, participants: Iterable[UUID], *, purpose: str = PURPOSE
) -> dict[UUID, Sight[ReleaseDate]]:
    """Return the statement in force for each of these participants, as this actor may see it.

    A participant without one is absent; one whose release is not shared has `NOT_SHARED` fields.
    """
    wanted, anybody = list(set(participants)), anybody_like(actor)
    if not wanted or anybody is None:
        return {}
    asked = asked_by(actor) | {"participants": wanted}
    rows = look(session, actor, _in_force_of(anybody), given=asked, records=LISTED, purpose=purpose, fields=FIELDS)
    return {row.participant_id: row for row in rows}


@cache
def _in_force_of(anybody: AnyActor) -> Select[ReleaseDate]:
    theirs = ReleaseDate.participant_id.in_(bindparam("participants", expanding=True))
    return visible_to(anybody).where(theirs, is_in_force())


@dataclass(frozen=True, slots=True)
class Banner:
    """Who a page is about, as far as this reader may know."""

    id: UUID
    name: str | NotShared
    number: str | NotShared
    release_on: date | NotShared | None
    days: int | None
    #: Whether that day is of what happened, not of what is expected.
    is_released: bool = False


def banner(session: Session, actor: Actor, participant_id: UUID, known: Sight[Person] | None = None) -> Banner:
    """Return the participant's name, number and release date in force; `known` is what was read of them before."""
    person = known or named(session, actor, [participant_id], purpose=PURPOSE).get(participant_id)
    release = shown_in_force(session, actor, [participant_id], purpose=PURPOSE).get(participant_id)
    on = None if release is None else release.released_on or release.expected_on
    if person is None:
        return Banner(participant_id, NOT_SHARED, NOT_SHARED, NOT_SHARED, None)
    days = (on - day_of(clock(session), actor.zone)).days if isinstance(on, date) else None
    has_left = release is not None and isinstance(release.released_on, date)
    return Banner(participant_id, person.called, person.agency_number, on, days, has_left)


def statement(session: Session, actor: Actor, row_id: UUID, *, purpose: str = PURPOSE) -> Sight[ReleaseDate]:
    """Return one statement.

    Raises:
        NotFoundError: of nobody the actor may know of.
    """
    return look_at(
        session,
        actor,
        visible_to,
        on=ReleaseDate,
        target=row_id,
        records=HISTORY_VIEWED,
        purpose=purpose,
        fields=FIELDS,
    )


def history(
    session: Session, actor: Actor, participant_id: UUID, *, purpose: str = PURPOSE
) -> list[Sight[ReleaseDate]]:
    """Return all that was said about a participant's release, latest first; what is not shared is left out (C14)."""
    statement, given = asking_once(_said_about, actor)
    given["participant"] = participant_id
    rows = look(session, actor, statement, given=given, records=HISTORY_VIEWED, purpose=purpose, fields=FIELDS)
    return [row for row in rows if row.source is not NOT_SHARED]


def _said_about(actor: Actor | AnyActor) -> Select[ReleaseDate]:
    theirs = visible_to(actor).where(ReleaseDate.participant_id == bindparam("participant", type_=Uuid()))
    return theirs.order_by(ReleaseDate.recorded_at.desc(), ReleaseDate.id.desc())


def expected_between(
    session: Session, actor: Actor, first: date, last: date, *, limit: int = 200, purpose: str = PURPOSE
) -> list[Sight[ReleaseDate]]:
    """Return the statements in force that expect a release within these days, soonest first, at most `limit`.

    One whose release is not shared with this actor is left out, as if there were none (C14). So is whoever has died, as
    far as the actor's own organization has it on record.
    """
    anybody = anybody_like(actor)
    if anybody is None:
        return []
    asked = asked_by(actor) | {"first": first, "last": last, "at_most": limit, "at": instant(session)}
    rows = look(session, actor, _expected(anybody), given=asked, records=LISTED, purpose=purpose, fields=_WHEN)
    return [row for row in rows if row.expected_on is not NOT_SHARED]


def leaving(session: Session, actor: Actor, first: date, last: date, *, purpose: str = PURPOSE) -> dict[UUID, date]:
    """Return who is expected to leave within these days, and when: at most `LEAVING_AT_MOST`, soonest first.

    For lists that are narrowed by it: one whose release is not shared with this actor is left out, as if there were
    none (C14), and the days themselves are not on record as read. A page that shows them asks `shown_in_force`.
    """
    anybody = anybody_like(actor)
    if anybody is None:
        return {}
    asked = asked_by(actor) | {"first": first, "last": last, "at_most": LEAVING_AT_MOST, "at": instant(session)}
    rows = session.scalars(_expected(anybody), asked).all()
    shared = crossing(session, actor, rows, "expected_on", records=LISTED, purpose=purpose) if rows else []
    return {row.participant_id: row.expected_on for row in shared if row.expected_on is not None}


@cache
def _expected(anybody: AnyActor) -> Select[ReleaseDate]:
    only = load_only(*(getattr(ReleaseDate, name) for name in _WHEN), raiseload=True)
    first, last = (bindparam(name, type_=Date()) for name in ("first", "last"))
    return (
        select(ReleaseDate)
        .where(
            may_know_of_many(anybody, ReleaseDate.participant_id),
            is_in_force(),
            ReleaseDate.expected_on.between(first, last),
            not_(died_by_own_word(anybody, ReleaseDate.participant_id)),
        )
        .order_by(ReleaseDate.expected_on, ReleaseDate.id)
        .limit(bindparam("at_most", type_=Integer()))
        .options(only)
    )


def released_before(session: Session, statement: ReleaseDate) -> date | None:
    """Return the day of the release that came before a statement and was no mistake; None without one. For a rule."""
    theirs = and_(ReleaseDate.participant_id == statement.participant_id, ReleaseDate.source.in_(AUTHORITATIVE))
    said = session.scalars(
        select(ReleaseDate).where(theirs).order_by(ReleaseDate.recorded_at.desc(), ReleaseDate.id.desc())
    )
    is_before = (statement.recorded_at, statement.id)
    return left_on(one for one in said if (one.recorded_at, one.id) < is_before)


def left_on(rows: Iterable[Any]) -> date | None:
    """Return the day of the last release among statements that come latest first, mistakes and what was heard aside."""
    said = without_mistakes(one for one in rows if not one.is_heard)
    return next((one.released_on for one in said if one.released_on is not None), None)


def mistakable(rows: Iterable[Any]) -> Any:
    """Return the statement in force, of those that come latest first, if it says that they left or came back."""
    said = next((one for one in rows if not one.is_heard), None)
    return said if said is not None and (said.released_on or said.returned_on) else None


def require_mistakable(said: Any) -> Any:
    """Return the statement that may be corrected.

    Raises:
        NothingToCorrectError: there is none.
    """
    if said is None:
        raise NothingToCorrectError
    return said


# --- what moved (E23, R24) --------------------------------------------------------------------------------------------


def said_since(
    participant_id: InstrumentedAttribute[UUID], since: InstrumentedAttribute[datetime | None]
) -> ColumnElement[bool]:
    """Return the condition that the agency has said something of a release since an instant: for rules, as it tells it.

    A page that shows what was said asks `course`.
    """
    later = and_(
        ReleaseDate.participant_id == participant_id,
        ReleaseDate.recorded_at > since,
        ReleaseDate.source.in_(AUTHORITATIVE),
    )
    return select(ReleaseDate.id).where(later).correlate_except(ReleaseDate).exists()


def course(session: Session, actor: Actor, participant_id: UUID, *, purpose: str = PURPOSE) -> Course:
    """Return how a participant's release moved, as far as it is shared with this actor; nothing where it is not."""
    statement, given = asking_once(_own_words_about, actor)
    asked = given | {"participant": participant_id}
    rows = look(session, actor, statement, given=asked, records=COURSE_VIEWED, purpose=purpose, fields=_COURSE)
    return course_of(row for row in rows if row.expected_on is not NOT_SHARED)


def _own_words_about(actor: Actor | AnyActor) -> Select[ReleaseDate]:
    return _said_about(actor).where(ReleaseDate.source.in_(AUTHORITATIVE))


def moved_since(session: Session, since: datetime) -> dict[UUID, tuple[Move, ReleaseDate]]:
    """Return for whom the release moved after an instant, how it did last, and by which statement: for a rule."""
    lately = select(ReleaseDate.participant_id).where(
        ReleaseDate.recorded_at > since, ReleaseDate.source.in_(AUTHORITATIVE)
    )
    found = _moves(session, ReleaseDate.participant_id.in_(lately))
    return {one: (move, row) for one, (move, row) in found.items() if move.at > since}


def moved_by(session: Session, statement_id: UUID) -> ReleaseDate | None:
    """Return a statement if by it the release moved last; None where it was taken over since: for a rule."""
    about = select(ReleaseDate.participant_id).where(ReleaseDate.id == statement_id)
    found = _moves(session, ReleaseDate.participant_id.in_(about))
    return next((row for _move, row in found.values() if row.id == statement_id), None)


def _moves(session: Session, *whose: ColumnElement[bool]) -> dict[UUID, tuple[Move, ReleaseDate]]:
    """Return how the release of each of these participants moved last, and by which statement."""
    said: dict[UUID, list[ReleaseDate]] = {}
    for row in session.scalars(select(ReleaseDate).where(ReleaseDate.source.in_(AUTHORITATIVE), *whose)):
        said.setdefault(row.participant_id, []).append(row)
    moves = {one: (course_of(rows).move, rows) for one, rows in said.items()}
    return {
        one: (move, next(row for row in rows if row.id == move.statement_id))
        for one, (move, rows) in moves.items()
        if move is not None
    }
