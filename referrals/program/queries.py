"""Reading programs: a directory for whoever is signed in. Nothing here is about a participant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    Text,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, selectinload

from referrals.account.models import User
from referrals.account.queries import colleagues, is_person
from referrals.kernel.actor import Actor, Role
from referrals.kernel.errors import NotFoundError
from referrals.kernel.orm import names_by_id
from referrals.organization.models import Location, Organization
from referrals.program.models import CAPACITIES, LANGUAGES, SERVICES, IntakeMember, Program, folded

__all__ = ["CAPACITIES", "LANGUAGES", "SERVICES"]

#: How many rows a page of the directory holds.
PAGE = 25
#: Beyond this many, a list says "over 1,000" instead of counting on.
COUNTED = 1000
#: How the directory may be ordered.
SORTS: Final = ("name", "-name", "wait", "-wait")
#: Stands for a wait that nobody said; longer than any that can be said.
_NOBODY_KNOWS: Final = 1_000_000
#: More words than this in one search are not looked for.
WORDS = 8


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader of the directory is looking for; None where anything will do."""

    category: str | None = None
    language: str | None = None
    place: str | None = None
    search: str | None = None
    organization_id: UUID | None = None
    #: Only programs that said they have room.
    with_room: bool = False
    #: Only programs that said somebody referred today starts within so many days.
    within_days: int | None = None
    sort: str = "name"


def visible_to(actor: Actor) -> Select[Program]:
    """Select the programs an actor may know of: all of them, for whoever is signed in."""
    return select(Program).where(true() if actor.kind in {"user", "service"} else false())


def own(actor: Actor) -> Select[Program]:
    """Select the programs of the actor's own organization, with their intake lists."""
    return (
        select(Program)
        .where(Program.organization_id == actor.organization_id)
        .options(selectinload(Program.intake), selectinload(Program.organization))
    )


def program(session: Session, program_id: UUID) -> Program:
    """Return one program with its organization, location and intake list.

    Raises:
        NotFoundError: there is none with this id.
    """
    options = (selectinload(Program.organization), selectinload(Program.location), selectinload(Program.intake))
    statement = select(Program).where(Program.id == program_id).options(*options)
    row = session.scalars(statement, execution_options={"populate_existing": True}).one_or_none()
    if row is None:
        raise NotFoundError
    return row


def own_program(session: Session, actor: Actor, program_id: UUID) -> Program:
    """Return one program of the actor's own organization, with its intake list.

    Raises:
        NotFoundError: there is none with this id, or it is another organization's.
    """
    row = session.scalars(own(actor).where(Program.id == program_id)).one_or_none()
    if row is None:
        raise NotFoundError
    return row


def fitting(wanted: Wanted) -> Select[Program]:
    """Select the open programs that fit."""
    statement = select(Program).where(Program.closed_at.is_(None))
    if wanted.category is not None:
        statement = statement.where(_holds(Program.categories, wanted.category))
    if wanted.language is not None:
        statement = statement.where(_holds(Program.languages, wanted.language))
    if wanted.organization_id is not None:
        statement = statement.where(Program.organization_id == wanted.organization_id)
    if wanted.with_room:
        statement = statement.where(Program.capacity_code == "capacity")
    if wanted.within_days is not None:
        statement = statement.where(_wait() <= wanted.within_days)
    if wanted.place is not None:
        statement = statement.where(_serves(wanted.place))
    if wanted.search is not None:
        for word in folded(wanted.search).split()[:WORDS]:
            statement = statement.where(_says(word))
    return statement


def _wait() -> ColumnElement[int]:
    """Return how many days somebody referred today waits: as said; with room and no word about it, none."""
    unsaid = case((Program.capacity_code == "capacity", 0), else_=_NOBODY_KNOWS)
    return func.coalesce(Program.expected_days, unsaid)


def _order(sort: str) -> tuple[ColumnElement[Any] | InstrumentedAttribute[Any], bool]:
    """Return what a list is ordered by, and whether from the greatest down."""
    return (_wait() if sort.removeprefix("-") == "wait" else Program.name_fold), sort.startswith("-")


def _says(word: str) -> ColumnElement[bool]:
    named = exists().where(
        Organization.id == Program.organization_id, func.lower(Organization.name).contains(word, autoescape=True)
    )
    return or_(Program.search_fold.contains(word, autoescape=True), named)


def _holds(column: InstrumentedAttribute[list[str]], code: str) -> ColumnElement[bool]:
    # A JSON list of codes is, as text on both databases, codes between quotation marks.
    return cast(column, Text).contains(f'"{code}"', autoescape=True)


def _serves(place: str) -> ColumnElement[bool]:
    stands_there = exists().where(
        Location.id == Program.location_id, func.lower(Location.city) == place.strip().lower()
    )
    return or_(Program.places_fold.contains(folded(place), autoescape=True), stands_there)


def page(
    session: Session, wanted: Wanted, *, after: UUID | None = None, limit: int = PAGE
) -> tuple[list[Program], UUID | None]:
    """Return a page of the programs that fit, sorted, and the id to go on after (None on the last page)."""
    statement = fitting(wanted).options(selectinload(Program.organization), selectinload(Program.location))
    by, down = _order(wanted.sort)
    if after is not None:
        last = select(by).where(Program.id == after).correlate(None).scalar_subquery()
        beyond = by < last if down else by > last
        statement = statement.where(or_(beyond, and_(by == last, Program.id > after)))
    ordered = statement.order_by(by.desc() if down else by.asc(), Program.id)
    rows = list(session.scalars(ordered.limit(limit + 1)))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def count(session: Session, wanted: Wanted) -> int:
    """Return how many programs fit, at most one more than `COUNTED`."""
    some = fitting(wanted).with_only_columns(Program.id).limit(COUNTED + 1).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0


def offered_by(session: Session, organization_id: UUID) -> Sequence[Program]:
    """Return an organization's open programs, by name."""
    statement = fitting(Wanted(organization_id=organization_id)).order_by(Program.name_fold, Program.id)
    return session.scalars(statement).all()


def names(session: Session, ids: Iterable[UUID | None]) -> dict[UUID, str]:
    """Return the names of these programs, in one query."""
    return names_by_id(session, Program, ids)


def intake_programs(user_id: UUID | BindParameter[UUID]) -> Select[UUID]:
    """Select the ids of the programs on whose intake list somebody is."""
    return select(IntakeMember.program_id).where(IntakeMember.user_id == user_id, IntakeMember.ended_at.is_(None))


def capacity_due(session: Session, actor: Actor) -> Sequence[Program]:
    """Return the open programs that this person answers for, the one longest without a word about capacity first."""
    statement = select(Program).where(Program.closed_at.is_(None), Program.organization_id == actor.organization_id)
    if not actor.works_as(Role.SUPERVISOR):
        statement = statement.where(Program.id.in_(intake_programs(actor.me)))
    return session.scalars(statement.order_by(Program.capacity_at.asc().nulls_first(), Program.id)).all()


def answering(session: Session, program_id: UUID) -> Sequence[UUID]:
    """Return the ids of the people who answer for a program now: its intake list, less disabled accounts."""
    statement = (
        select(IntakeMember.user_id)
        .join(User, User.id == IntakeMember.user_id)
        .where(IntakeMember.program_id == program_id, IntakeMember.ended_at.is_(None))
        .where(User.disabled_at.is_(None), is_person())
        .order_by(IntakeMember.added_at, IntakeMember.id)
    )
    return session.scalars(statement).all()


def may_answer(session: Session, organization_id: UUID) -> Sequence[User]:
    """Return the people and integrations of an organization who could stand on an intake list, by name."""
    return session.scalars(colleagues(organization_id, Role.NAVIGATOR, Role.SUPERVISOR, integrations=True)).all()
