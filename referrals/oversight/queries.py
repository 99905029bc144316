"""Reading the log. Each reading is itself recorded, its words sealed; a wrong role is refused on record.

For now the log is read on the service's own connection, also on PostgreSQL; a second engine with the role that may read
the log and nothing else can take its place without another change here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from audit import log
from audit.event import BASIS_KINDS, OUTCOMES, Event
from referrals.account import queries as accounts
from referrals.kernel import crypto
from referrals.kernel.actor import Actor
from referrals.kernel.command import COMMANDS
from referrals.kernel.errors import InvalidInputError, NotFoundError, NotPermittedError
from referrals.kernel.look import LOOKS, declare_look, note, refuse
from referrals.organization import queries as organizations
from referrals.oversight import policy as p
from referrals.person.models import Person

QUERIED: Final = declare_look("oversight.log_queried", "a search of the log")
VIEWED: Final = declare_look("oversight.event_viewed", "one event of the log")
STATE_VIEWED: Final = declare_look("oversight.state_viewed", "how the log stands")
PERSON_SEARCHED: Final = declare_look(
    "oversight.participant_searched", "a participant's reference in the log, by number"
)

PURPOSE: Final = "oversight"
BASIS: Final = "oversight"
#: How many events a page holds.
PAGE: Final = 50
#: How many rows of one event a list names.
NAMED: Final = 3

OUTCOME_CODES: Final = sorted(OUTCOMES)
BASIS_CODES: Final = sorted(BASIS_KINDS)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an auditor asks for; None where anything will do. Days are those of the auditor's organization's zone."""

    subject: UUID | None = None
    user: UUID | None = None
    organization: UUID | None = None
    shared_with: UUID | None = None
    action: str | None = None
    outcome: str | None = None
    basis: str | None = None
    request: UUID | None = None
    since: date | None = None
    until: date | None = None

    def said(self) -> dict[str, str]:
        """Return what is asked for, by name."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: str(value) for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Named:
    """A row that an event names: its type, its id, and its participant's reference in the log."""

    type: str
    id: str
    subject: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """One event as an auditor sees it: ids, codes, counts, names of fields. `intact` is false where its bytes changed.

    `on` are rows it names (in a list at most `NAMED`), `more` how many it names besides; rows about other
    organizations' participants are left out where the act was another organization's.
    """

    id: UUID
    intact: bool
    at: datetime | None = None
    action: str | None = None
    outcome: str | None = None
    code: str | None = None
    actor_kind: str | None = None
    actor_id: str | None = None
    actor_name: str | None = None
    acted_as: Sequence[str] = ()
    organization_id: str | None = None
    organization: str | None = None
    behalf_id: str | None = None
    behalf_name: str | None = None
    on: Sequence[Named] = ()
    more: int = 0
    to_id: str | None = None
    to: str | None = None
    purpose: str | None = None
    basis: str | None = None
    basis_id: str | None = None
    channel: str | None = None
    network: str | None = None
    field_names: Sequence[str] = ()
    categories: Sequence[str] = ()
    count: int | None = None
    part: Sequence[int] | None = None
    off_hours: bool | None = None
    request: str | None = None
    prior: str | None = None
    sealed: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """A page of events, newest first, the id after which the next begins, and the zone its days are meant in."""

    rows: Sequence[Line]
    next: UUID | None
    zone: str


@dataclass(frozen=True, slots=True)
class State:
    """How the log stands: how many events, the newest, and what should guard it and does not."""

    events: int
    newest_at: datetime | None
    missing_guards: Sequence[str]
    zone: str


@dataclass(frozen=True, slots=True)
class Choices:
    """What the filters offer: the organization's own people, the organizations, and the kinds of act there are."""

    users: Sequence[tuple[UUID, str]]
    organizations: Sequence[tuple[UUID, str]]
    actions: Sequence[tuple[str, str]]


def events(session: Session, actor: Actor, wanted: Wanted, *, after: UUID | None = None) -> Page:
    """Return a page of the events that fit and are this auditor's to see.

    Raises:
        NotPermittedError: the actor is no auditor; the refusal is on record.
        InvalidInputError: the last day lies before the first.
    """
    _require_auditor(session, actor, QUERIED)
    zone = _zone(session, actor)
    since, until = _between(wanted, ZoneInfo(zone))
    said = wanted.said()
    ours = wanted.subject is not None and _is_ours(session, actor, wanted.subject)
    question = log.Question(
        seen_by=None if ours else str(actor.organization),
        subject=wanted.subject,
        actor_id=_text(wanted.user),
        actor_org=_text(wanted.organization),
        to_org=_text(wanted.shared_with),
        action=wanted.action,
        outcome=wanted.outcome,
        basis_kind=wanted.basis,
        request=_text(wanted.request),
        since=since,
        until=until,
    )
    found = log.find(session.connection(), question, before=after, limit=PAGE + 1)
    entries = found[:PAGE]
    subjects = frozenset({str(wanted.subject)}) if ours else frozenset()
    rows = _lines(session, actor, entries, subjects, named=NAMED)
    asked = said | ({"after": str(after)} if after is not None else {})
    note(
        session,
        actor,
        records=QUERIED,
        purpose=PURPOSE,
        basis=BASIS,
        count=len(rows),
        words=asked or None,
        fields=[f"audit_event.{name}" for name in asked],
    )
    return Page(rows, entries[-1].event_id if len(found) > PAGE else None, zone)


def event(session: Session, actor: Actor, event_id: UUID) -> tuple[Line, str]:
    """Return one event with every row it names, and the zone its time is shown in.

    Raises:
        NotPermittedError: the actor is no auditor.
        NotFoundError: there is none, or it is not this auditor's to see; either refusal is on record.
    """
    _require_auditor(session, actor, VIEWED)
    zone = _zone(session, actor)
    entries = log.find(session.connection(), log.Question(event_id=event_id), limit=1)
    known = entries[0].event if entries else None
    subjects = _own_among(session, actor, known.subjects()) if known is not None else frozenset()
    # Where the bytes were changed nothing of them is shown, and that they were is every auditor's to know.
    if not entries or (known is not None and not (_concerns(actor, known) or subjects)):
        refuse(session, actor, VIEWED, row_type="audit_event", target=event_id, purpose=PURPOSE)
        raise NotFoundError
    (line,) = _lines(session, actor, entries, subjects, named=None)
    note(
        session,
        actor,
        records=VIEWED,
        purpose=PURPOSE,
        basis=BASIS,
        count=1,
        words={"event_id": str(event_id)},
        fields=["audit_event.event_id"],
    )
    return line, zone


def state(session: Session, actor: Actor) -> State:
    """Return how the log stands.

    Raises:
        NotPermittedError: the actor is no auditor; the refusal is on record.
    """
    _require_auditor(session, actor, STATE_VIEWED)
    zone = _zone(session, actor)
    connection = session.connection()
    standing = State(log.count(connection), log.newest_at(connection), log.missing_guards(connection), zone)
    note(session, actor, records=STATE_VIEWED, purpose=PURPOSE, basis=BASIS, count=standing.events)
    return standing


def references(session: Session, actor: Actor, agency_number: str) -> list[UUID]:
    """Return the reference in the log of the participant with this number, recorded by the auditor's own organization.

    Found by the blind index alone: nothing of the participant is opened or shown. An auditor is on no care team.

    Raises:
        NotPermittedError: the actor is no auditor; the refusal is on record.
        InvalidInputError: this is no number.
    """
    _require_auditor(session, actor, PERSON_SEARCHED)
    if not crypto.numbers(agency_number):
        raise InvalidInputError({"agency_number": ["not_accepted"]})
    statement = select(Person.log_ref).where(
        Person.organization_id == actor.organization,
        Person.log_ref.is_not(None),
        crypto.matches(session, Person, "by_number", agency_number, partition=actor.organization),
    )
    found = [ref for ref in session.scalars(statement) if ref is not None]
    note(
        session,
        actor,
        records=PERSON_SEARCHED,
        purpose=PURPOSE,
        basis=BASIS,
        count=len(found),
        words={"agency_number": agency_number},
        fields=["person.agency_number"],
    )
    return found


def choices(session: Session, actor: Actor) -> Choices:
    """Return what the filters offer. Nothing here is about a participant."""
    people = session.scalars(accounts.people(actor.organization))
    return Choices(
        [(one.id, one.display_name) for one in people],
        [(one.id, one.name) for one in session.scalars(organizations.organizations())],
        [(name, name) for name in sorted({*COMMANDS, *LOOKS})],
    )


# --- what an auditor may see ------------------------------------------------------------------------------------------


def _require_auditor(session: Session, actor: Actor, records: str) -> None:
    if not p.audits(actor):
        refuse(session, actor, records, row_type="audit_event", target=None, purpose=PURPOSE, code="not_permitted")
        raise NotPermittedError


def _concerns(actor: Actor, known: Event) -> bool:
    """Whether the act was of the auditor's own organization, was shared with it, or was nobody's people's."""
    own = str(actor.organization)
    return known.actor.org in {own, None} or known.to == own


def _is_ours(session: Session, actor: Actor, subject: UUID) -> bool:
    return bool(_own_among(session, actor, [str(subject)]))


def _own_among(session: Session, actor: Actor, subjects: Iterable[str]) -> frozenset[str]:
    """Return which of these references are of participants whom the auditor's organization recorded."""
    wanted = {UUID(one) for one in subjects}
    if not wanted:
        return frozenset()
    statement = select(Person.log_ref).where(Person.log_ref.in_(wanted), Person.organization_id == actor.organization)
    return frozenset(str(one) for one in session.scalars(statement))


def _zone(session: Session, actor: Actor) -> str:
    return organizations.organization(session, actor.organization).time_zone


def _between(wanted: Wanted, zone: ZoneInfo) -> tuple[datetime | None, datetime | None]:
    if wanted.since is not None and wanted.until is not None and wanted.until < wanted.since:
        raise InvalidInputError({"until": ["before_the_first_day"]})
    since = datetime.combine(wanted.since, time.min, zone) if wanted.since is not None else None
    day_after = wanted.until + timedelta(days=1) if wanted.until is not None else None
    return since, datetime.combine(day_after, time.min, zone) if day_after is not None else None


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)


# --- events in words --------------------------------------------------------------------------------------------------


def _lines(
    session: Session, actor: Actor, entries: Sequence[log.Entry], subjects: frozenset[str], *, named: int | None
) -> list[Line]:
    """Return events with the names of users and organizations, in two statements whatever their number."""
    known = [entry.event for entry in entries if entry.event is not None]
    users = accounts.names(session, {_uuid(one) for event in known for one in (event.actor.id, event.actor.behalf)})
    places = organizations.names(
        session, {one for event in known for text in (event.actor.org, event.to) if (one := _uuid(text)) is not None}
    )
    return [
        Line(entry.event_id, intact=False)
        if entry.event is None
        else _line(entry.event, users, places, _rows(actor, entry.event, subjects)[:named])
        for entry in entries
    ]


def _rows(actor: Actor, known: Event, subjects: frozenset[str]) -> list[Named]:
    rows = [Named(on.type, row, subject) for on in known.on for row, subject in on.rows]
    return rows if _concerns(actor, known) else [row for row in rows if row.subject in subjects]


def _line(known: Event, users: Mapping[UUID, str], places: Mapping[UUID, str], shown: Sequence[Named]) -> Line:
    by = known.actor
    return Line(
        id=UUID(known.id),
        intact=True,
        at=known.at,
        action=known.action,
        outcome=known.outcome,
        code=known.code,
        actor_kind=by.kind,
        actor_id=by.id,
        actor_name=_name(users, by.id),
        acted_as=by.role.split("_and_") if by.role else (),
        organization_id=by.org,
        organization=_name(places, by.org),
        behalf_id=by.behalf,
        behalf_name=_name(users, by.behalf),
        on=shown,
        more=known.rows - len(shown),
        to_id=known.to,
        to=_name(places, known.to),
        purpose=known.purpose,
        basis=known.basis.kind if known.basis is not None else None,
        basis_id=known.basis.id if known.basis is not None else None,
        channel=known.source.channel if known.source is not None else None,
        network=known.source.net if known.source is not None else None,
        field_names=known.fields,
        categories=known.categories,
        count=known.count,
        part=known.part,
        off_hours=known.off_hours,
        request=known.request,
        prior=known.prior,
        sealed=len(known.sealed),
    )


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text is not None else None
    except ValueError:
        return None


def _name(names: Mapping[UUID, str], text: str | None) -> str | None:
    one = _uuid(text)
    return names.get(one) if one is not None else None
