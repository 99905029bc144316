"""What was read in before: rows found again, and an organization's own files; and lists that leave as files.

What was read in is about no participant. What leaves is read as its list reads it: through the same look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from referrals.exchange import policy as p
from referrals.exchange.models import ImportedFile, TooManyRowsError
from referrals.kernel.actor import Actor
from referrals.kernel.errors import NotFoundError, NotPermittedError
from referrals.kernel.look import NOT_SHARED, Sight, declare_look, forget, instant, into_a_file, note, refuse
from referrals.kernel.record import day_of
from referrals.organization import queries as organizations
from referrals.organization.models import Facility, Location, Organization
from referrals.organization.policy import administers_it
from referrals.person import queries as persons
from referrals.person.models import Person
from referrals.program.models import Program
from referrals.referral import queries as referrals
from referrals.release import queries as releases
from referrals.sign_in import queries as sign_ins
from referrals.sign_in.models import FreshSignInNeededError
from referrals.worklist import queries as worklists

__all__ = ["FreshSignInNeededError", "TooManyRowsError"]

LISTED: Final = declare_look("exchange.files_listed", "the files that an organization read in")
VIEWED: Final = declare_look("exchange.file_viewed", "what became of the rows of a file")
PURPOSE: Final = "administration"
#: How many files a page lists.
PAGE: Final = 25


def organization_from(session: Session, source: str, source_id: str) -> Organization | None:
    """Return the organization that this source knows by this id."""
    statement = select(Organization).where(Organization.source == source, Organization.source_id == source_id)
    return session.scalars(statement).one_or_none()


def facility_from(session: Session, source: str, source_id: str) -> Facility | None:
    """Return the facility that this source knows by this id."""
    statement = select(Facility).where(Facility.source == source, Facility.source_id == source_id)
    return session.scalars(statement).one_or_none()


def locations_from(session: Session, source: str, source_ids: Iterable[str]) -> dict[str, Location]:
    """Return the locations that this source knows by these ids, by id."""
    wanted = set(source_ids)
    if not wanted:
        return {}
    statement = select(Location).where(Location.source == source, Location.source_id.in_(wanted))
    return {str(row.source_id): row for row in session.scalars(statement)}


def program_from(session: Session, source: str, source_id: str) -> Program | None:
    """Return the program that this source knows by this id."""
    statement = select(Program).where(Program.source == source, Program.source_id == source_id)
    return session.scalars(statement).one_or_none()


def organizations_called(session: Session, name: str) -> list[Organization]:
    """Return the organizations of this name, whatever its case, oldest first."""
    statement = select(Organization).where(func.lower(Organization.name) == name.lower())
    return list(session.scalars(statement.order_by(Organization.id)))


def organization_by_id(session: Session, organization_id: UUID) -> Organization | None:
    """Return an organization, or None."""
    return session.get(Organization, organization_id)


def first_zone(session: Session) -> str:
    """Return the time zone of the installation's first organization; UTC while there is none."""
    return session.scalars(select(Organization.time_zone).order_by(Organization.id).limit(1)).first() or "UTC"


def administered(session: Session, actor: Actor, wanted: str) -> Organization:
    """Return the organization that the actor administers; `wanted` names the act or the look it is for.

    Raises:
        NotFoundError: the actor has no organization.
        NotPermittedError: the actor is no administrator of it; the refusal is on record (S-210).
    """
    own = organizations.own_or_none(session, actor)
    if own is None:
        raise NotFoundError
    if not administers_it(actor, own):
        code = NotPermittedError.code
        refuse(session, actor, wanted, row_type="organization", target=own.id, purpose=PURPOSE, code=code)
        raise NotPermittedError
    return own


def own_files(
    session: Session, actor: Actor, *, after: UUID | None = None, limit: int = PAGE
) -> tuple[list[ImportedFile], UUID | None]:
    """Return a page of the files that the actor's organization read in, newest first, and the id to go on after.

    Raises:
        NotFoundError, NotPermittedError: as `administered()`.
    """
    own = administered(session, actor, LISTED)
    statement = select(ImportedFile).where(ImportedFile.organization_id == own.id)
    if after is not None:
        statement = statement.where(ImportedFile.id < after)
    rows = list(session.scalars(statement.order_by(ImportedFile.id.desc()).limit(limit + 1)))
    note(session, actor, records=LISTED, purpose=PURPOSE, count=len(rows[:limit]))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def own_file(session: Session, actor: Actor, file_id: UUID) -> ImportedFile:
    """Return one file that the actor's organization read in.

    Raises:
        NotPermittedError: the actor is no administrator.
        NotFoundError: there is none with this id, or it is elsewhere. Both refusals are on record.
    """
    own = administered(session, actor, VIEWED)
    statement = select(ImportedFile).where(ImportedFile.id == file_id, ImportedFile.organization_id == own.id)
    row = session.scalars(statement).one_or_none()
    if row is None:
        refuse(session, actor, VIEWED, row_type="imported_file", target=file_id, purpose=PURPOSE)
        raise NotFoundError
    note(session, actor, records=VIEWED, purpose=PURPOSE, count=1)
    return row


# --- lists that leave as files ----------------------------------------------------------------------------------------

EXPORTED: Final = declare_look("exchange.list_exported", "a list left as a file: how many rows, and why (sealed)")
ROWS_EXPORTED: Final = declare_look("exchange.rows_exported", "the rows and names that left in a file")
ROWS_COUNTED: Final = declare_look("exchange.rows_counted", "how many rows a file of a list would hold")

#: What a file may be for, each with the purpose that a consent has to name for others' records to go along (C8). Counts
#: for a report without names are none of them: no list leaves for those.
WHAT_FOR: Final[Mapping[str, str]] = {
    "work": "referral",
    "participant_asked": "own_request",
    "legal_duty": "legal_proceeding",
    "new_system": "service",
}
#: A file holds so many rows. Lists count no further, and sort no more of what is sealed: the page says how many rows a
#: file will have, and one request reads and records them all.
MOST: Final = min(persons.COUNTED_AT_MOST, worklists.LISTED_AT_MOST)
#: Rows are read by pages of the list's own.
READ_AT_ONCE: Final = 100

T = TypeVar("T")
M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class PeopleWanted:
    """Which participants, as their list is narrowed and sorted; `leaving` in days from today."""

    facility_id: UUID | None = None
    language: str | None = None
    mine: bool = False
    leaving: int | None = None
    sort: str | None = None

    def listed(self, session: Session, actor: Actor, *, after: UUID | None = None, limit: int) -> persons.Page:
        """Return one page of the list."""
        days = self._leaving(session, actor)
        wanted = persons.Wanted(self.facility_id, self.language, self.mine, days, self.sort)
        return persons.listed(session, actor, wanted, after=after, limit=limit)

    def _leaving(self, session: Session, actor: Actor) -> Mapping[UUID, date] | None:
        if self.leaving is None:
            return None
        today = day_of(instant(session), actor.zone)
        return releases.leaving(session, actor, today, today + timedelta(days=self.leaving))


@dataclass(frozen=True, slots=True)
class ReferralsWanted:
    """Which referrals, as their list is narrowed and sorted."""

    group: worklists.Group
    wanted: worklists.Wanted
    sort: worklists.Sort | None

    def listed(
        self, session: Session, actor: Actor, *, after: worklists.Mark | None = None, limit: int
    ) -> worklists.Listing:
        """Return one page of the list."""
        return worklists.listed(session, actor, self.group, self.wanted, self.sort, after, limit=limit)


@dataclass(frozen=True, slots=True)
class People:
    """The participants of a file, with the names of the facilities and the days that stand beside them."""

    rows: Sequence[Sight[Person]]
    facilities: Mapping[UUID, str]
    #: The day they are expected to leave, where the list is narrowed by it.
    days: Mapping[UUID, Any]


def rows_to_export(session: Session, actor: Actor, wanted: PeopleWanted | ReferralsWanted) -> int:
    """Return how many rows a file would hold, counted no further than one beyond `MOST`.

    Raises:
        NotPermittedError: the actor supervises nobody; on record (S-210).
    """
    _require_supervisor(session, actor, wanted)
    count = wanted.listed(session, actor, limit=1).count
    forget(session)  # the count alone is shown
    note(session, actor, records=ROWS_COUNTED, purpose=persons.PURPOSE, count=count)
    return count


def is_fresh(session: Session, actor: Actor) -> bool:
    """Whether whoever acts may take a file right away (S-113)."""
    return sign_ins.is_fresh(session, actor, instant(session))


def export_people(session: Session, actor: Actor, wanted: PeopleWanted, *, purpose: str, because: str) -> People:
    """Return the participants of a file, for one of `WHAT_FOR`; the file and why stand on record before it leaves.

    Raises:
        NotPermittedError: as `rows_to_export()`.
        FreshSignInNeededError: the second factor is more than ten minutes old; on record.
        TooManyRowsError: there are more than `MOST`, and nothing was exported.
    """
    _begin(session, actor, wanted, purpose)

    def page(after: UUID | None) -> tuple[Sequence[Sight[Person]], UUID | None]:
        found = wanted.listed(session, actor, after=after, limit=READ_AT_ONCE)
        if found.too_many:
            raise _too_many(session)
        return found.rows, found.next

    rows = _all(session, page)
    held = {one.facility_id for one in rows if one.facility_id is not NOT_SHARED}
    days: dict[UUID, Any] = {}
    if wanted.leaving is not None:
        seen = releases.shown_in_force(session, actor, [one.id for one in rows])
        days = {one: said.expected_on for one, said in seen.items()}
    _end(session, actor, "participants", what_for=purpose, because=because, count=len(rows))
    return People(rows, organizations.facility_names(session, held), days)


def export_referrals(
    session: Session, actor: Actor, wanted: ReferralsWanted, *, purpose: str, because: str
) -> list[referrals.Card]:
    """Return the referrals of a file, as `export_people()` does participants.

    Raises:
        NotPermittedError, FreshSignInNeededError, TooManyRowsError: as `export_people()`.
    """
    _begin(session, actor, wanted, purpose)

    def page(after: worklists.Mark | None) -> tuple[Sequence[referrals.Card], worklists.Mark | None]:
        found = wanted.listed(session, actor, after=after, limit=READ_AT_ONCE)
        return found.cards, found.following

    rows = _all(session, page)
    _end(session, actor, "referrals", what_for=purpose, because=because, count=len(rows))
    return rows


def _require_supervisor(
    session: Session, actor: Actor, wanted: PeopleWanted | ReferralsWanted, purpose: str = persons.PURPOSE
) -> None:
    if not p.takes_lists_along(actor):
        _refuse(session, actor, wanted, purpose, NotPermittedError.code)
        raise NotPermittedError


def _refuse(session: Session, actor: Actor, wanted: PeopleWanted | ReferralsWanted, purpose: str, because: str) -> None:
    about = "person" if isinstance(wanted, PeopleWanted) else "referral"
    refuse(session, actor, EXPORTED, row_type=about, target=None, purpose=purpose, code=because)


def _begin(session: Session, actor: Actor, wanted: PeopleWanted | ReferralsWanted, what_for: str) -> None:
    purpose = WHAT_FOR[what_for]
    _require_supervisor(session, actor, wanted, purpose)
    if not is_fresh(session, actor):
        _refuse(session, actor, wanted, purpose, FreshSignInNeededError.code)
        raise FreshSignInNeededError
    into_a_file(session, actor, records=ROWS_EXPORTED, purpose=purpose)


def _all(session: Session, page: Callable[[M | None], tuple[Sequence[T], M | None]]) -> list[T]:
    rows: list[T] = []
    after: M | None = None
    while True:
        some, after = page(after)
        rows += some
        if len(rows) > MOST:
            raise _too_many(session)
        if after is None:
            return rows


def _too_many(session: Session) -> TooManyRowsError:
    forget(session)  # nothing leaves
    return TooManyRowsError(most=MOST)


def _end(session: Session, actor: Actor, listing: str, *, what_for: str, because: str, count: int) -> None:
    words = {"list": listing, "for": what_for, "because": because}
    note(session, actor, records=EXPORTED, purpose=WHAT_FOR[what_for], count=count, words=words)
