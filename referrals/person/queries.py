"""Whom an actor may know of, and reading about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    Subquery,
    Uuid,
    and_,
    bindparam,
    false,
    func,
    not_,
    or_,
    select,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased, load_only

from referrals.account.queries import still_here
from referrals.kernel import crypto
from referrals.kernel.actor import Actor, AnyActor, Role, Side, anybody_like, asked_by, asking_once, for_anybody
from referrals.kernel.crypto import folded_names
from referrals.kernel.errors import InvalidInputError, NotFoundError
from referrals.kernel.look import (
    NOT_SHARED,
    Sight,
    crossing,
    declare_look,
    instant,
    learned,
    look,
    look_at,
    look_over,
    note,
    refuse,
)
from referrals.kernel.orm import Instant
from referrals.organization.models import Organization
from referrals.person.models import Assignment, DeathRecord, Person, folded_words, readings, why_alike
from referrals.person.policy import WORKING
from referrals.program.queries import intake_programs

LISTED: Final = declare_look("person.listed", "the list of participants within sight")
VIEWED: Final = declare_look("person.viewed", "a participant's page")
NAMED: Final = declare_look("person.named", "participants' names beside other things")
SEARCHED: Final = declare_look("person.searched", "a search by name, number, or family name with birth date")
COUNTED: Final = declare_look("person.counted", "how many participants are within sight")
ALIKE_SHOWN: Final = declare_look("person.alike_shown", "likely duplicates, before a participant is added")
WISHES_VIEWED: Final = declare_look("person.wishes_viewed", "what programs are held against for a participant")
PLACES_VIEWED: Final = declare_look("person.places_viewed", "the care teams on which somebody who left still stands")
CARE_TEAM_VIEWED: Final = declare_look("person.care_team_viewed", "who helps a participant, now and before")

FACILITY_VIEWED: Final = declare_look("person.facility_viewed", "where a participant is held, beside a referral")
DEATH_VIEWED: Final = declare_look("person.death_viewed", "that a participant has died, as far as it is on record")

#: Why reads of this room cross between organizations, unless their caller says otherwise.
PURPOSE: Final = "referral"

NAMES: Final = ("given_name", "family_name", "preferred_name", "called", "agency_number")
IDENTITY: Final = (*NAMES, "birth_date", "language")
CONTACTS: Final = ("phone", "email", "address")
_ROW: Final = (*NAMES, "organization_id", "facility_id")
#: What says which programs fit, and no more: where they will live, what they speak, where they are held.
_WISHES: Final = (*NAMES, "language", "address", "facility_id")
_PAGE: Final = (*IDENTITY, *CONTACTS, "organization_id", "facility_id", "added_at")
_TEAM: Final = (
    *("organization_id", "user_id", "program_id", "facility_id", "tie", "reason", "reason_text", "from_at", "from_by"),
    *("until_at", "ended_by", "ended_because", "is_in_force", "referral_id"),
)
_PLACE: Final = ("participant_id", "organization_id", "user_id", "tie", "from_at")

_DEATH: Final = ("organization_id", "at", "by", "died_on", "told_by", "words")

_COMPARED: Final = ("given_name", "family_name", "preferred_name", "birth_date", "agency_number")
#: What a line of a list shows, and what a search compares, and no more.
_LINE: Final = load_only(
    *(crypto.column_of(Person, one) for one in _COMPARED),
    *(Person.organization_id, Person.facility_id, Person.log_ref),
    raiseload=True,
)
#: The same, with what a list may be narrowed or sorted by.
_OPENED_LINE = load_only(
    *(crypto.column_of(Person, one) for one in (*_COMPARED, "language")),
    *(Person.organization_id, Person.facility_id, Person.log_ref),
    raiseload=True,
)
_helps = aliased(Assignment)
#: One alias for all: making one costs more than the statement it stands in.
_held = aliased(Assignment)
_died = aliased(DeathRecord)
_corrected = aliased(DeathRecord)
#: The instant as of which a statement asks.
_AT: Final = bindparam("at", type_=Instant())

#: Beyond so many people within sight, a search wants a whole name or number: names are then found by index alone.
OPENED_AT_MOST: Final = 1000
#: So many likely duplicates are shown.
ALIKE_AT_MOST: Final = 10
#: A count says "over 1,000" beyond this.
COUNTED_AT_MOST: Final = 1000


def may_know(
    actor: Actor | AnyActor, participant_id: ColumnElement[UUID] | InstrumentedAttribute[UUID]
) -> ColumnElement[bool]:
    """Return the condition that the actor may know of the participant with this id: an assignment in force (C10).

    Held by the actor, by a program on whose intake list they stand, or, for a supervisor, by anybody of their
    organization. Roles that do not work with participants know of nobody.
    """
    mine = select(_held.id).where(_held.participant_id == participant_id, _holds(actor))
    return mine.correlate_except(_held).exists()


def _holds(actor: Actor | AnyActor) -> ColumnElement[bool]:
    """Return the condition that an assignment is in force and the actor's: own, by an intake list, or as supervisor."""
    if not _may_know_of_anybody(actor):
        return false()
    return _in_force_for(actor.organization, actor.me, supervises=actor.works_as(Role.SUPERVISOR))


def _may_know_of_anybody(actor: Actor | AnyActor) -> bool:
    if isinstance(actor, Actor) and (actor.user_id is None or actor.organization_id is None):
        return False
    return actor.works_as(*WORKING)


def _in_force_for(
    organization: UUID | BindParameter[UUID], me: UUID | BindParameter[UUID], *, supervises: bool
) -> ColumnElement[bool]:
    own = _held.organization_id == organization
    holders = [and_(own, _held.user_id == me), _held.program_id.in_(intake_programs(me))]
    if supervises:
        holders.append(own)
    return and_(_held.until_at.is_(None), or_(*holders))


def assigned(actor: Actor | AnyActor) -> ColumnElement[bool]:
    """Return `may_know` over the participant's own row."""
    return may_know(actor, Person.id)


@for_anybody
def visible_to(actor: Actor | AnyActor) -> Select[Person]:
    """Select the participants an actor may know of."""
    return select(Person).where(assigned(actor))


def may_know_of_many(
    actor: Actor | AnyActor, participant_id: ColumnElement[UUID] | InstrumentedAttribute[UUID]
) -> ColumnElement[bool]:
    """Return `may_know` for reading many: from the assignments of a caseload, not by asking each row.

    A supervisor's organization may hold most of the rows, so there each row is asked, and a page is soon full.
    """
    if actor.works_as(Role.SUPERVISOR):
        return may_know(actor, participant_id)
    return participant_id.in_(select(_held.participant_id).where(_holds(actor)))


def _listed(actor: Actor | AnyActor) -> Select[Person]:
    """Select the same as `visible_to`, for reading many."""
    return select(Person).where(may_know_of_many(actor, Person.id))


@for_anybody
def assignments_visible_to(actor: Actor | AnyActor) -> Select[Assignment]:
    """Select the assignments around the participants an actor may know of. Which of them show, the look decides."""
    return select(Assignment).where(may_know(actor, Assignment.participant_id))


@for_anybody
def deaths_within_reach(actor: Actor | AnyActor) -> Select[DeathRecord]:
    """Select the records of deaths that are the actor's to take back: their own organization's, and their agency's.

    Of participants the actor may know of. An agency keeps the record of its participants, so it may mend any of it.
    """
    kept = select(Person.id).where(
        Person.id == DeathRecord.participant_id, Person.organization_id == _organization_of(actor)
    )
    theirs = or_(DeathRecord.organization_id == _organization_of(actor), kept.exists())
    records = DeathRecord.takes_back_id.is_(None)
    return select(DeathRecord).where(may_know(actor, DeathRecord.participant_id), theirs, records)


def _organization_of(actor: Actor | AnyActor) -> UUID | BindParameter[UUID] | None:
    return actor.organization_id if isinstance(actor, Actor) else actor.organization


def died_at(participant_id: ColumnElement[UUID] | InstrumentedAttribute[UUID]) -> ColumnElement[datetime | None]:
    """Return when it came on record that a participant has died, as of the statement's `at`; none where it did not.

    For rules, which show it to nobody. What was taken back as a mistake does not count (R6).
    """
    stands = select(func.max(_died.at)).where(_died.participant_id == participant_id, _stands())
    return cast("ColumnElement[datetime | None]", stands.correlate_except(_died, _corrected).scalar_subquery())


def died_by_own_word(
    actor: Actor | AnyActor, participant_id: ColumnElement[UUID] | InstrumentedAttribute[UUID]
) -> ColumnElement[bool]:
    """Return the condition that the actor's own organization has it on record that a participant has died.

    For lists of what is to come, as of the statement's `at`. What another organization recorded leaves them as they
    are: an absence from a list would tell it to those with whom it is not shared (C14).
    """
    own = and_(_died.participant_id == participant_id, _died.organization_id == actor.organization, _stands())
    return select(_died.id).where(own).correlate_except(_died, _corrected).exists()


def _stands() -> ColumnElement[bool]:
    """Return the condition that a record of a death stands as of the statement's `at`."""
    mistaken = select(_corrected.id).where(_corrected.takes_back_id == _died.id, _corrected.at <= _AT)
    return and_(_died.takes_back_id.is_(None), _died.at <= _AT, not_(mistaken.correlate(_died).exists()))


def deaths_of(session: Session, participants: Iterable[UUID], at: datetime) -> dict[UUID, DeathRecord]:
    """Return the records of these participants' deaths that stand, for a rule that shows them to nobody."""
    wanted = set(participants)
    if not wanted:
        return {}
    rows = session.scalars(_these_deaths(), {"participants": list(wanted), "at": at})
    return {row.participant_id: row for row in rows}


@cache
def _these_deaths() -> Select[DeathRecord]:
    return select(_died).where(_died.participant_id.in_(bindparam("participants", expanding=True)), _stands())


def death(session: Session, actor: Actor, participant_id: UUID, *, purpose: str = PURPOSE) -> Sight[DeathRecord] | None:
    """Return what is on record of a participant's death, for a reader who may know of them otherwise.

    None where nothing stands, and where it is not shared: nobody reads off an absence which of them it is (C14).
    """
    rows = list(deaths_of(session, [participant_id], instant(session)).values())
    if not rows:
        return None
    seen = look_over(session, actor, rows, records=DEATH_VIEWED, purpose=purpose, fields=_DEATH)[0]
    return None if seen.told_by is NOT_SHARED else seen


def is_facility_shown(session: Session, actor: Actor, participant_id: UUID, *, purpose: str = PURPOSE) -> bool:
    """Whether an actor is shown where a participant is held; on record as seen, where they are."""
    statement, given = asking_once(_one_of_many, actor)
    rows = look(
        session,
        actor,
        statement,
        given=given | {"participant": participant_id},
        records=FACILITY_VIEWED,
        purpose=purpose,
        fields=("facility_id",),
    )
    return any(row.shares("facility_id") for row in rows)


def _one_of_many(actor: Actor | AnyActor) -> Select[Person]:
    return visible_to(actor).where(Person.id == bindparam("participant", type_=Uuid()))


def may_take_back(session: Session, actor: Actor, record_id: UUID) -> bool:
    """Whether the record of a death is this actor's to take back."""
    theirs = deaths_within_reach(actor).where(DeathRecord.id == record_id).with_only_columns(DeathRecord.id)
    return session.scalar(theirs) is not None


def participant_of_death(session: Session, actor: Actor, record_id: UUID) -> UUID:
    """Return whose death a record is about that is the actor's to take back.

    Raises:
        NotFoundError: it is not, or there is none.
    """
    theirs = deaths_within_reach(actor).where(DeathRecord.id == record_id)
    found: UUID | None = session.scalar(theirs.with_only_columns(DeathRecord.participant_id))
    if found is None:
        refuse(session, actor, DEATH_VIEWED, row_type="death_record", target=record_id, purpose=PURPOSE)
        raise NotFoundError
    return found


def known_among(session: Session, actor: Actor, participants: Iterable[UUID]) -> set[UUID]:
    """Return which of these participants the actor may know of, in one statement."""
    if not _may_know_of_anybody(actor):
        return set()
    before = learned(session).setdefault((known_among, actor.me, actor.organization, actor.roles), {})
    wanted = set(participants)
    if unknown := wanted - before.keys():
        statement = _known(supervises=actor.works_as(Role.SUPERVISOR))
        found = set(session.scalars(statement, _among(actor, unknown)))
        before |= {one: one in found for one in unknown}
    return {one for one in wanted if before[one]}


def _among(actor: Actor, participants: Iterable[UUID]) -> dict[str, Any]:
    return {"organization": actor.organization, "me": actor.me, "participants": list(set(participants))}


@cache
def _known(*, supervises: bool) -> Select[UUID]:
    """Select which of some participants are known to somebody, over what `_among` gives: every page asks it."""
    mine = _in_force_for(bindparam("organization", type_=Uuid()), bindparam("me", type_=Uuid()), supervises=supervises)
    wanted = _held.participant_id.in_(bindparam("participants", expanding=True))
    return select(_held.participant_id).where(wanted, mine).distinct()


@cache
def _named(*, supervises: bool) -> Select[Person]:
    """Select the same with their names and no more."""
    only = load_only(
        *(crypto.column_of(Person, one) for one in ("given_name", "family_name", "preferred_name", "agency_number")),
        *(Person.organization_id, Person.log_ref),
        raiseload=True,
    )
    return select(Person).where(Person.id.in_(_known(supervises=supervises))).options(only)


#: How the list of participants may be ordered; without any of these, newest first.
SORTS: Final = ("name", "-name", "release")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which of the participants within sight are listed; None where anybody is.

    `leaving` maps those who leave within some days to the day, as far as their release is shared with the reader.
    """

    facility_id: UUID | None = None
    language: str | None = None
    #: Only those on whose care team the reader stands.
    mine: bool = False
    leaving: Mapping[UUID, date] | None = None
    sort: str | None = None

    @property
    def opens(self) -> bool:
        """Whether sealed values decide who is listed, or where."""
        return self.language is not None or self.sort is not None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: its rows, the id to go on after, and how many there are, at most one over a thousand.

    `too_many`: more are within sight than names are opened for, so they were neither sorted nor told by language.
    """

    rows: Sequence[Sight[Person]] = ()
    next: UUID | None = None
    count: int = 0
    too_many: bool = False


def participants(
    session: Session, actor: Actor, *, after: UUID | None = None, limit: int = 25, purpose: str = PURPOSE
) -> tuple[list[Sight[Person]], UUID | None, int]:
    """Return one page of the participants within sight, newest first, where the next begins, and how many there are.

    The count goes no further than one beyond `COUNTED_AT_MOST`; past the last page it is 0.
    """
    found = listed(session, actor, Wanted(), after=after, limit=limit, purpose=purpose)
    return list(found.rows), found.next, found.count


def listed(
    session: Session,
    actor: Actor,
    wanted: Wanted,
    *,
    after: UUID | None = None,
    limit: int = 25,
    purpose: str = PURPOSE,
) -> Page:
    """Return one page of the participants within sight whom the reader wants, newest first unless sorted.

    What is not shared with the reader counts as absent, in filters, order and count (C14). Sorting by name and telling
    languages open what is sealed, for at most `OPENED_AT_MOST` people.
    """
    anybody = anybody_like(actor)
    if anybody is None:
        return Page()
    asked = asked_by(actor) | {"after": after, "at_most": limit + 1}
    kinds = set()
    if wanted.mine:
        kinds.add("mine")
    if wanted.leaving is not None:
        kinds.add("leaving")
        asked["leaving"] = list(wanted.leaving)
    if wanted.facility_id is not None:
        kinds.add("facility")
        asked |= {"facility": wanted.facility_id, "shared": _held_there(session, actor, wanted.facility_id, purpose)}
    narrowed = frozenset(kinds)
    if wanted.opens:
        return _opened(session, actor, wanted, (anybody, narrowed, asked), after=after, limit=limit, purpose=purpose)
    found = session.execute(_page_of(anybody, narrowed, further=after is not None), asked).all()
    rows = [row[0] for row in found[:limit]]
    seen = look_over(session, actor, rows, records=LISTED, purpose=purpose, fields=_ROW)
    return Page(seen, rows[-1].id if len(found) > limit else None, found[0][1] if found else 0)


def _held_there(session: Session, actor: Actor, facility_id: UUID, purpose: str) -> list[UUID]:
    """Return who of other organizations is held at a facility, as far as that is shared with the reader."""
    elsewhere = and_(Person.facility_id == facility_id, Person.organization_id != actor.organization)
    rows = session.scalars(_listed(actor).where(elsewhere).options(_LINE).limit(OPENED_AT_MOST)).all()
    shared = crossing(session, actor, rows, "facility_id", records=LISTED, purpose=purpose) if rows else []
    return [row.id for row in shared]


def _opened(
    session: Session,
    actor: Actor,
    wanted: Wanted,
    asking: tuple[AnyActor, frozenset[str], dict[str, Any]],
    *,
    after: UUID | None,
    limit: int,
    purpose: str,
) -> Page:
    """Return one page of a list that sealed values narrow or order."""
    anybody, narrowed, asked = asking
    rows = list(session.scalars(_all_of(anybody, narrowed), asked | {"at_most": OPENED_AT_MOST + 1}))
    if len(rows) > OPENED_AT_MOST:
        return Page(count=COUNTED_AT_MOST + 1, too_many=True)
    crypto.prefetch(session, (row.id for row in rows))
    if wanted.language is not None and rows:
        shared = crossing(session, actor, rows, "language", records=LISTED, purpose=purpose)
        rows = [row for row in shared if row.language == wanted.language]
    rows = _sorted(session, actor, rows, wanted, purpose)
    ids = [row.id for row in rows]
    start = 0 if after is None else ids.index(after) + 1 if after in ids else len(ids)
    page = rows[start : start + limit]
    # Who is found by their language has had it read, too.
    fields = _ROW if wanted.language is None else (*_ROW, "language")
    seen = look_over(session, actor, page, records=LISTED, purpose=purpose, fields=fields)
    return Page(seen, page[-1].id if start + limit < len(rows) else None, len(rows))


def _sorted(session: Session, actor: Actor, rows: list[Person], wanted: Wanted, purpose: str) -> list[Person]:
    """Return rows by release day or by family and given name; whose name is not shared comes last, newest first."""
    if wanted.sort == "release" and wanted.leaving is not None:
        days = wanted.leaving
        return sorted(rows, key=lambda row: (days[row.id], row.id))
    if wanted.sort not in {"name", "-name"} or not rows:
        return rows
    named = crossing(session, actor, rows, "family_name", records=LISTED, purpose=purpose)
    known = {row.id for row in named}
    named.sort(
        key=lambda row: (folded_names(row.family_name), folded_names(row.given_name), row.id),
        reverse=wanted.sort == "-name",
    )
    return named + [row for row in rows if row.id not in known]


@cache
def _narrowed(anybody: AnyActor, narrowed: frozenset[str]) -> Select[Person]:
    """Select who is listed, over the values that `listed` hands over."""
    known = _listed(anybody)
    if "mine" in narrowed:
        own = select(_helps.participant_id).where(_helps.user_id == anybody.me, _helps.until_at.is_(None))
        known = known.where(Person.id.in_(own))
    if "leaving" in narrowed:
        known = known.where(Person.id.in_(bindparam("leaving", expanding=True)))
    if "facility" in narrowed:
        shared = Person.id.in_(bindparam("shared", expanding=True))
        there = Person.facility_id == bindparam("facility", type_=Uuid())
        known = known.where(there, or_(Person.organization_id == anybody.organization, shared))
    return known


@cache
def _all_of(anybody: AnyActor, narrowed: frozenset[str]) -> Select[Person]:
    """Select them newest first, as many as are opened, with what they are sorted and told apart by."""
    newest = _narrowed(anybody, narrowed).order_by(Person.id.desc())
    return newest.limit(bindparam("at_most", type_=Integer())).options(_OPENED_LINE)


@cache
def _page_of(anybody: AnyActor, narrowed: frozenset[str], *, further: bool) -> Select[Person, int]:
    """Select one page with the count beside it: building it costs more than asking it."""
    known = _narrowed(anybody, narrowed)
    counted = select(func.count()).select_from(_at_most(known)).scalar_subquery()
    page = known.order_by(Person.id.desc()).limit(bindparam("at_most", type_=Integer())).options(_LINE)
    if further:
        page = page.where(Person.id < bindparam("after", type_=Uuid()))
    return page.add_columns(counted)


def _at_most(known: Select[Person]) -> Subquery:
    return known.with_only_columns(Person.id).limit(COUNTED_AT_MOST + 1).subquery()


def count(session: Session, actor: Actor) -> int:
    """Return how many participants are within sight, counting no further than one beyond `COUNTED_AT_MOST`."""
    found = session.scalar(select(func.count()).select_from(_at_most(_listed(actor)))) or 0
    note(session, actor, records=COUNTED, purpose=PURPOSE, count=found)
    return found


def participant(session: Session, actor: Actor, person_id: UUID, *, purpose: str = PURPOSE) -> Sight[Person]:
    """Return one participant, as this actor may see them.

    Raises:
        NotFoundError: not theirs to know of, or nobody.
    """
    return look_at(
        session,
        actor,
        visible_to,
        on=Person,
        target=person_id,
        records=VIEWED,
        purpose=purpose,
        fields=_PAGE,
    )


def wishes(session: Session, actor: Actor, person_id: UUID, *, purpose: str = PURPOSE) -> Sight[Person]:
    """Return what programs are held against for one participant: their language, where they will live and are held.

    Raises:
        NotFoundError: as `participant`.
    """
    return look_at(
        session,
        actor,
        visible_to,
        on=Person,
        target=person_id,
        records=WISHES_VIEWED,
        purpose=purpose,
        fields=_WISHES,
    )


def named(
    session: Session, actor: Actor, participants: Iterable[UUID], *, purpose: str = PURPOSE
) -> Mapping[UUID, Sight[Person]]:
    """Return the names of those of these participants whom the actor may know of, in a fixed number of statements."""
    wanted = set(participants)
    if not wanted or not _may_know_of_anybody(actor):
        return {}
    rows = look(
        session,
        actor,
        _named(supervises=actor.works_as(Role.SUPERVISOR)),
        given=_among(actor, wanted),
        records=NAMED,
        purpose=purpose,
        fields=(*NAMES, "organization_id"),
    )
    return {row.id: row for row in rows}


def care_team(
    session: Session, actor: Actor, person_id: UUID, *, ended: bool = False, purpose: str = PURPOSE
) -> list[Sight[Assignment]]:
    """Return who helps a participant, newest first; with `ended`, who did before, too.

    Assignments of another organization that are not shared are left out altogether (C14).
    """
    statement, given = asking_once(_whole_team if ended else _team, actor)
    given["participant"] = person_id
    rows = look(session, actor, statement, given=given, records=CARE_TEAM_VIEWED, purpose=purpose, fields=_TEAM)
    return [row for row in rows if row.tie is not NOT_SHARED]


def _whole_team(actor: Actor | AnyActor) -> Select[Assignment]:
    theirs = assignments_visible_to(actor).where(Assignment.participant_id == bindparam("participant", type_=Uuid()))
    return theirs.order_by(Assignment.from_at.desc(), Assignment.id.desc())


def _team(actor: Actor | AnyActor) -> Select[Assignment]:
    return _whole_team(actor).where(Assignment.until_at.is_(None))


@dataclass(frozen=True, slots=True)
class Place:
    """A place on a care team that somebody who left still holds; `is_alone`: nobody else of the organization does."""

    it: Sight[Assignment]
    participant: object
    is_alone: bool


def places_of(session: Session, actor: Actor, user_id: UUID, *, limit: int, purpose: str = PURPOSE) -> list[Place]:
    """Return the places on care teams that a colleague who left still holds, oldest first, at most so many (S-807).

    Without those that a referral brought about: they are handed over with it.
    """
    statement, given = asking_once(_places, actor)
    given |= {"left": user_id, "at_most": limit}
    held = look(session, actor, statement, given=given, records=PLACES_VIEWED, purpose=purpose, fields=_PLACE)
    if not held:
        return []
    about = [one.participant_id for one in held]
    statement, given = asking_once(_beside, actor)
    given |= {"left": user_id, "participants": about}
    beside = look(session, actor, statement, given=given, records=PLACES_VIEWED, purpose=purpose, fields=_PLACE)
    here = still_here(session, {one.user_id for one in beside})
    helped = {one.participant_id for one in beside if one.user_id in here}
    people = named(session, actor, about, purpose=purpose)
    return [
        Place(
            one,
            people[one.participant_id].called if one.participant_id in people else NOT_SHARED,
            one.participant_id not in helped,
        )
        for one in held
    ]


def _own_team(actor: Actor | AnyActor) -> Select[Assignment]:
    own = Assignment.organization_id == actor.organization
    return assignments_visible_to(actor).where(own, Assignment.until_at.is_(None))


def _places(actor: Actor | AnyActor) -> Select[Assignment]:
    by_hand = Assignment.user_id == bindparam("left", type_=Uuid()), Assignment.referral_id.is_(None)
    return _own_team(actor).where(*by_hand).order_by(Assignment.id).limit(bindparam("at_most", type_=Integer()))


def _beside(actor: Actor | AnyActor) -> Select[Assignment]:
    others = Assignment.user_id.is_not(None), Assignment.user_id != bindparam("left", type_=Uuid())
    return _own_team(actor).where(*others, Assignment.participant_id.in_(bindparam("participants", expanding=True)))


def assignment(session: Session, actor: Actor, assignment_id: UUID, *, purpose: str = PURPOSE) -> Sight[Assignment]:
    """Return one place on a care team.

    Raises:
        NotFoundError: of nobody the actor may know of, or not shared.
    """
    seen = look_at(
        session,
        actor,
        assignments_visible_to,
        on=Assignment,
        target=assignment_id,
        records=CARE_TEAM_VIEWED,
        purpose=purpose,
        fields=("participant_id", *_TEAM),
    )
    if seen.tie is NOT_SHARED:
        raise NotFoundError
    return seen


def is_known_to(session: Session, actor: Actor, participant_id: UUID) -> bool:
    """Whether somebody may know of a participant now: after an act that may have ended just that."""
    known = visible_to(actor).where(Person.id == participant_id).with_only_columns(Person.id)
    return session.scalar(known) is not None


def is_helped_by(session: Session, organization_id: UUID, participant_id: UUID) -> bool:
    """Whether an organization has a place left on a care team; without one, nobody there knows of the participant."""
    places = select(Assignment.id).where(
        Assignment.participant_id == participant_id,
        Assignment.organization_id == organization_id,
        Assignment.until_at.is_(None),
    )
    return session.scalar(places.limit(1)) is not None


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found. `whole_words`: so many are within sight that only whole names and numbers are found."""

    rows: Sequence[Sight[Person]]
    more: bool
    whole_words: bool


def search(
    session: Session,
    actor: Actor,
    *,
    name: str | None = None,
    agency_number: str | None = None,
    family_name: str | None = None,
    birth_date: date | None = None,
    limit: int = 25,
    purpose: str = PURPOSE,
) -> Found:
    """Find participants within sight by name, by agency number, or by family name with birth date.

    Case, accents and punctuation do not count, nor signs of a number that look alike (O and 0, I and 1). Somebody not
    within sight, somebody whose identity is not shared, and nobody at all give the same answer. The search is on
    record, its words sealed.

    Raises:
        InvalidInputError: nothing to search for, or a birth date without a family name.
    """
    _check(name, agency_number, family_name, birth_date)
    matched, whole_words = _matched(
        session, actor, name=name, agency_number=agency_number, family_name=family_name, birth_date=birth_date
    )
    words = {
        "name": name,
        "agency_number": agency_number,
        "family_name": family_name,
        "birth_date": birth_date.isoformat() if birth_date else None,
    }
    asked = {key: value for key, value in words.items() if value}
    rows: list[Sight[Person]] = []
    # Whose identity is withheld takes nobody's place in the list, nor counts towards there being more.
    matched = crossing(session, actor, matched, "family_name", records=SEARCHED, purpose=purpose) if matched else []
    if matched:
        rows = look_over(session, actor, matched[:limit], records=SEARCHED, purpose=purpose, fields=_ROW)
    fields = [f"person.{key}" for key in asked if key != "name"] or ["person.given_name", "person.family_name"]
    note(session, actor, records=SEARCHED, purpose=purpose, count=len(rows), words=asked, fields=fields)
    return Found(rows, len(matched) > limit, whole_words)


def _check(name: str | None, agency_number: str | None, family_name: str | None, birth_date: date | None) -> None:
    faults: dict[str, list[str]] = {}
    if not (name or agency_number or family_name or birth_date):
        faults[""] = ["nothing_to_search"]
    if birth_date is not None and not family_name:
        faults["family_name"] = ["required"]
    if family_name and birth_date is None:
        faults["birth_date"] = ["required"]
    for field, typed in (("name", name), ("family_name", family_name)):
        if typed and not folded_words(typed):
            faults[field] = ["not_accepted"]
    if agency_number and not crypto.numbers(agency_number):
        faults["agency_number"] = ["not_accepted"]
    if faults:
        raise InvalidInputError(faults)


@dataclass(frozen=True, slots=True)
class Alike:
    """Who is about to be added, as far as it says whether they are on record already."""

    given_name: str
    family_name: str
    birth_date: date
    phone: str | None
    preferred_name: str | None = None


def alike(session: Session, organization_id: UUID, asked: Alike) -> list[tuple[Person, list[str]]]:
    """Return who of an organization may be the same person, likeliest first, with the codes that say why.

    For rules, never for a page: sight is not asked. Found by the blind index of the family name within this one
    organization, so that what another holds never shows; the rest is compared opened.
    """
    same_name = crypto.matches(session, Person, "by_family_name", asked.family_name)
    newest = select(Person).where(Person.organization_id == organization_id, same_name).order_by(Person.id.desc())
    rows = list(session.scalars(newest.limit(OPENED_AT_MOST)))
    crypto.prefetch(session, (row.id for row in rows))
    told = {
        row: why_alike(
            row,
            given_name=asked.given_name,
            birth_date=asked.birth_date,
            phone=asked.phone,
            preferred_name=asked.preferred_name,
        )
        for row in crypto.confirmed(rows, "by_family_name", asked.family_name)
    }
    return sorted(((row, why) for row, why in told.items() if why), key=lambda one: -len(one[1]))


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Who may be the same person: those within sight with the reasons, and how many more there are of one's agency.

    `number`: the holder of the same agency number, if within sight.
    """

    shown: Sequence[tuple[Sight[Person], Sequence[str]]]
    hidden: int
    number: Sight[Person] | None


def duplicates(session: Session, actor: Actor, asked: Alike, agency_number: str) -> Duplicates:
    """Return the likely duplicates of one's own agency as this actor may see them, at most `ALIKE_AT_MOST` of them."""
    mine = actor.organization
    by_number = crypto.matches(session, Person, "by_number", agency_number, partition=mine)
    holder = session.scalars(select(Person).where(Person.organization_id == mine, by_number)).first()
    found = alike(session, mine, asked)
    known = known_among(session, actor, [row.id for row, _ in found] + ([holder.id] if holder is not None else []))
    why = {row.id: reasons for row, reasons in found if row.id in known}
    rows = [row for row, _ in found if row.id in known][:ALIKE_AT_MOST]
    if holder is not None and holder.id in known and holder not in rows:
        rows.append(holder)
    fields = (*_ROW, "birth_date")
    seen = look_over(session, actor, rows, records=ALIKE_SHOWN, purpose="administration", fields=fields)
    by_id = {one.id: one for one in seen}
    shown = [(one, why[one.id]) for one in seen if one.id in why]
    return Duplicates(shown, len(found) - len(why), by_id.get(holder.id) if holder is not None else None)


def _matched(
    session: Session,
    actor: Actor,
    *,
    name: str | None,
    agency_number: str | None,
    family_name: str | None,
    birth_date: date | None,
) -> tuple[list[Person], bool]:
    """Return candidates within sight whose opened values match, newest first."""
    anybody = anybody_like(actor)
    if anybody is None:
        return [], False
    values: dict[str, list[bytes]] = {}
    read = readings(agency_number or "")
    if agency_number:
        # Of every agency, not of those within sight: finding these means reading everybody within sight.
        agencies = session.scalars(_AGENCIES).all()
        values["by_number"] = [
            value
            for number in read
            for one in agencies
            for value in crypto.index_values(session, Person, "by_number", number, partition=one)
        ]
    if family_name and birth_date:
        values["by_family_and_birth"] = crypto.index_values(
            session, Person, "by_family_and_birth", family_name, birth_date
        )
    whole_words = False
    wanted = folded_words(name or "")
    if wanted and not values:
        counted = session.scalar(_many(anybody), asked_by(actor) | {"at_most": OPENED_AT_MOST + 1})
        whole_words = (counted or 0) > OPENED_AT_MOST
        if whole_words:
            values |= _by_name(session, wanted)
    asked = asked_by(actor) | {"at_most": OPENED_AT_MOST} | values
    rows = list(session.scalars(_candidates(anybody, frozenset(values)), asked))
    crypto.prefetch(session, (row.id for row in rows))
    if agency_number:
        meant = [one for number in read for one in crypto.confirmed(rows, "by_number", number)]
        rows = list(dict.fromkeys(meant))  # as it was typed comes first
    if family_name and birth_date:
        rows = crypto.confirmed(rows, "by_family_and_birth", family_name, birth_date)
    if wanted:
        rows = [row for row in rows if row.sounds_like(wanted)]
    return rows, whole_words


_AGENCIES: Final = select(Organization.id).where(Organization.side == Side.AGENCY)


@cache
def _many(anybody: AnyActor) -> Select[int]:
    """Count who is within sight, no further than asked."""
    within = _listed(anybody).with_only_columns(Person.id).limit(bindparam("at_most", type_=Integer())).subquery()
    return select(func.count()).select_from(within)


@cache
def _candidates(anybody: AnyActor, indexes: frozenset[str]) -> Select[Person]:
    """Select who may be meant, newest first: one of the values handed over for each of these blind indexes.

    Family name and given name are two ways to be meant by the same words.
    """
    asked = {one: crypto.index_column(Person, one).in_(bindparam(one, expanding=True)) for one in sorted(indexes)}
    by_name = [asked.pop(one) for one in _NAME_INDEXES if one in asked]
    either = [or_(*by_name)] if by_name else []
    newest = _listed(anybody).where(*asked.values(), *either).order_by(Person.id.desc())
    return newest.options(_LINE).limit(bindparam("at_most", type_=Integer()))


_NAME_INDEXES: Final = ("by_family_name", "by_given_name")


def _by_name(session: Session, wanted: Sequence[str]) -> dict[str, list[bytes]]:
    """Return for both name indexes what they hold where a name may be meant: any run of the words."""
    runs = {"".join(wanted[start:end]) for start in range(len(wanted)) for end in range(start + 1, len(wanted) + 1)}
    return {
        index: [value for run in sorted(runs) for value in crypto.index_values(session, Person, index, run)]
        for index in _NAME_INDEXES
    }
