"""Reading a participant's data: within sight, through the gates, on record.

`look()` selects within what the actor may know of, lets the gates (consent first) decide each category of each row,
shows only the fields it was asked for, and records who saw what, in which categories, for which purpose, on which
basis. Where a value crosses from one organization to another it also writes the `Disclosure`, together with the event.
All looks of one request are recorded by `finish()`, in one transaction committed before the first byte leaves (L1). On
SQLite, which has one writer, that transaction begins only then: a page that is being made keeps nobody from writing.

Gates are handed in from upstairs (`create_app`, `cli`): they only narrow, and a look with none refuses to run (C12).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Final, Generic, Protocol, TypeVar, cast
from uuid import UUID

from sqlalchemy import JSON, Select, Table, UniqueConstraint
from sqlalchemy import inspect as inspected
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Mapped, Mapper, Session

from audit.event import Event, On
from audit.rows import insert_together
from referrals.kernel import crypto
from referrals.kernel.actor import Actor, one_within
from referrals.kernel.errors import NotFoundError, UnavailableError, UnrecordedWriteError
from referrals.kernel.orm import Base, Identified, Subject, public, uuid7
from referrals.kernel.record import (
    about,
    append_events,
    clock,
    commit,
    encoded,
    new_event,
    row_names,
    start_writing,
    subject_refs,
    turn_to_writing,
)

T = TypeVar("T", bound=Identified)

#: Every declared kind of look: its name in the log, and what it is for.
LOOKS: dict[str, str] = {}


class Disclosure(Base):
    """One value crossing between organizations: when, whose, from, to, what, why, on exactly one basis (C28).

    Insert-only. It goes with its look's event (or its command's), so it is outside the audit rule; database rules
    keep it unchanged.
    """

    __tablename__ = "disclosure"
    __audited__ = False

    id: Mapped[UUID] = public(primary_key=True, default=uuid7)
    at: Mapped[datetime] = public()
    participant_id: Mapped[UUID] = public(index=True)
    from_org_id: Mapped[UUID] = public()
    to_org_id: Mapped[UUID] = public()
    to_user_id: Mapped[UUID | None] = public()
    categories: Mapped[list[str]] = public(JSON)
    row_type: Mapped[str] = public()
    row_ids: Mapped[list[str]] = public(JSON)
    purpose: Mapped[str] = public()
    basis_kind: Mapped[str] = public()
    basis_id: Mapped[UUID | None] = public()
    channel: Mapped[str] = public()


_DISCLOSURE: Final = cast("Table", Disclosure.__table__)


class Seen(Base):
    """That somebody has seen a row: makes "new" and "seen by" possible without reading the log. Bookkeeping."""

    __tablename__ = "seen"
    __audited__ = False
    __table_args__ = (UniqueConstraint("row_id", "user_id"),)

    id: Mapped[UUID] = public(primary_key=True, default=uuid7)
    row_type: Mapped[str] = public()
    row_id: Mapped[UUID] = public()
    user_id: Mapped[UUID] = public()
    at: Mapped[datetime] = public()


class NotShared:
    """Stands for a value whose category does not cross to this reader, whether or not there is one (C14)."""

    def __repr__(self) -> str:
        """Say so."""
        return "NOT_SHARED"

    def __bool__(self) -> bool:
        """Be false, so that a template's `if value` does not mistake it for content."""
        return False


NOT_SHARED: Final = NotShared()


@dataclass(frozen=True, slots=True)
class Scope:
    """What one decision is about: whose data, recorded by which organization, in which category."""

    participant_id: UUID
    owner: UUID
    category: str
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Hash it once: a page looks each scope up some ten times, and an id takes long to hash."""
        object.__setattr__(self, "_hash", hash((self.participant_id, self.owner, self.category)))

    def __hash__(self) -> int:
        """Return what was made at construction."""
        return self._hash


@dataclass(frozen=True, slots=True)
class Basis:
    """Why a value may be shown: kind (own, assignment, consent …), the row it rests on, its revision and its end."""

    kind: str
    id: UUID | None = None
    rev: int | None = None
    ends_at: datetime | None = None
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Hash it once, as a scope."""
        object.__setattr__(self, "_hash", hash((self.kind, self.id, self.rev)))

    def __hash__(self) -> int:
        """Return what was made at construction."""
        return self._hash


@dataclass(frozen=True, slots=True)
class Withheld:
    """Why a value may not be shown. The code is for the disclosing side and auditors, never for the reader (C13)."""

    code: str


Decision = Basis | Withheld


class Gate(Protocol):
    """A decision from upstairs over many scopes at once (one query, whatever their number)."""

    def __call__(
        self, session: Session, reader: Actor, scopes: frozenset[Scope], *, purpose: str, at: datetime
    ) -> Mapping[Scope, Decision]:
        """Decide each scope."""
        ...


class Sight(Generic[T]):
    """One row as one reader may see it: the declared fields, `NOT_SHARED` where a category does not cross.

    Asking for a field that the look did not declare is a programming fault: it would be read without being recorded.
    """

    __slots__ = ("_fields", "_row", "_withheld")

    def __init__(self, row: T, fields: frozenset[str], withheld: frozenset[str]) -> None:
        """Keep the row out of reach."""
        self._row, self._fields, self._withheld = row, fields, withheld

    def __getattr__(self, name: str) -> Any:
        """Return a declared field, or `NOT_SHARED`."""
        if name in self._fields:
            return NOT_SHARED if name in self._withheld else getattr(self._row, name)
        if name in {"id", "version"}:
            return getattr(self._row, name)
        if name.startswith("__"):
            raise AttributeError(name)
        raise UnrecordedWriteError(f"{type(self._row).__name__}.{name} is not among the fields of this look")

    def shares(self, name: str) -> bool:
        """Whether a declared field crosses to this reader, without reading it."""
        if name not in self._fields:
            raise UnrecordedWriteError(f"{type(self._row).__name__}.{name} is not among the fields of this look")
        return name not in self._withheld

    def __repr__(self) -> str:
        """Show no content."""
        return f"<Sight of {self._row!r}>"


@dataclass(slots=True)
class _Entry:
    """What one event of this request will say."""

    action: str
    purpose: str
    basis: Basis
    to: UUID | None
    rows: dict[Identified, None] = field(default_factory=dict)
    fields: set[str] = field(default_factory=set)
    categories: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Crossing:
    """What one disclosure will say: whose, from whom, on which basis."""

    participant_id: UUID
    owner: UUID
    basis: Basis
    purpose: str
    rows: dict[Identified, None] = field(default_factory=dict)
    categories: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Note:
    """A look that names no row."""

    action: str
    purpose: str
    count: int
    words: Mapping[str, Any] | None
    fields: tuple[str, ...]
    basis: str = "own"


@dataclass(frozen=True, slots=True)
class _File:
    """What the looks of a request leave in: how they are told, and what for."""

    action: str
    purpose: str


@dataclass(slots=True)
class Looking:
    """All looks of one request, until `finish()` records them."""

    actor: Actor
    at: datetime
    seen: list[dict[str, Any]] = field(default_factory=list)
    entries: dict[tuple[Any, ...], _Entry] = field(default_factory=dict)
    crossings: dict[tuple[Any, ...], _Crossing] = field(default_factory=dict)
    #: What the gates said so far: one request, one instant, one answer to each question.
    decided: dict[tuple[str, Scope], Decision] = field(default_factory=dict)
    notes: list[_Note] = field(default_factory=list)
    #: What queries have learned on the way that every decision of this request rests on.
    learned: dict[Any, Any] = field(default_factory=dict)
    #: The file that what is shown goes into; a page or JSON has none.
    file: _File | None = None


def declare_look(name: str, says: str) -> str:
    """Declare a kind of look once (`person.viewed`), with what it is for in a few words; return its name."""
    if name in LOOKS:
        raise TypeError(f"{name} is declared twice")
    LOOKS[name] = says
    return name


def instant(session: Session) -> datetime:
    """Return the instant as of which this request looks, or now before its first look: so a page is of one instant."""
    current = cast("Looking | None", session.info.get("looking"))
    return current.at if current is not None else clock(session)


def learned(session: Session) -> dict[Any, Any]:
    """Return what this request has learned so far, as of its instant; before its first look, nothing that stays."""
    current = cast("Looking | None", session.info.get("looking"))
    return current.learned if current is not None else {}


def into_a_file(session: Session, actor: Actor, *, records: str, purpose: str) -> None:
    """Let what this request looks at from here on leave as a file.

    It is told as `records`, and disclosed by the channel `export` (C28). What is shown crosses for the purpose of its
    look, and for this one too: whoever may read a list may not use it for everything.

    Raises:
        UnrecordedWriteError: as `look()`, or something was looked at before: it would not be told as leaving.
    """
    looking = _looking(session, actor, records)
    if looking.entries or looking.notes:
        raise UnrecordedWriteError("what goes into a file is looked at for it alone")
    looking.file = _File(records, purpose)


def look(
    session: Session,
    actor: Actor,
    statement: Select[T],
    *,
    records: str,
    purpose: str,
    fields: Sequence[str],
    given: Mapping[str, Any] | None = None,
) -> list[Sight[T]]:
    """Read rows about participants, and put the read on record with the request's other looks.

    `statement` must already be within what the actor may know of; `fields` are attribute names, and nothing else is
    shown. `given` are the values of a statement that was built once.

    Raises:
        UnrecordedWriteError: a name that is not declared, or no gate was handed in.
    """
    _looking(session, actor, records)  # refuses what is not declared before anything is read
    rows = list(session.scalars(statement, given).unique())
    return look_over(session, actor, rows, records=records, purpose=purpose, fields=fields)


def look_over(
    session: Session,
    actor: Actor,
    rows: Sequence[T],
    *,
    records: str,
    purpose: str,
    fields: Sequence[str] | Callable[[T], Sequence[str]],
) -> list[Sight[T]]:
    """Read rows as `look()` does that a rule needed first: just selected, within what the actor may know of.

    `fields` may say for each row which of it is shown.

    Raises:
        UnrecordedWriteError: as `look()`.
    """
    looking = _looking(session, actor, records)
    return _show(session, looking, rows, records=records, purpose=purpose, fields=fields)


def crossing(session: Session, actor: Actor, rows: Sequence[T], name: str, *, records: str, purpose: str) -> list[T]:
    """Return those of these rows whose field crosses to this actor, without reading it: for filters, orders and counts.

    What is withheld then counts as absent (C14). Nothing is shown, so no row is on record as seen; what is shown of
    them goes through `look_over()`.

    Raises:
        UnrecordedWriteError: as `look()`.
    """
    looking = _looking(session, actor, records)
    gates = cast("Sequence[Gate]", session.info.get("gates", ()))
    if not gates:
        raise UnrecordedWriteError("a look needs a gate")
    asked = [(row, scope) for row in rows for _part, scope in _scoped(row, (name,))]
    scopes = frozenset(scope for _row, scope in asked if scope is not None)
    decided = _decide(session, looking, gates, scopes, purpose)
    return [row for row, scope in asked if scope is None or isinstance(decided[scope], Basis)]


def look_at(
    session: Session,
    actor: Actor,
    within: Callable[..., Select[T]],
    *,
    on: type[T],
    target: UUID,
    records: str,
    purpose: str,
    fields: Sequence[str],
) -> Sight[T]:
    """Read one row by its id, `within` what the actor may know of.

    Raises:
        NotFoundError: it does not exist or is not this actor's to know of; the refusal is on record either way
        (S-203, S-210).
    """
    looking = _looking(session, actor, records)
    row = session.scalars(*one_within(within, on, target, actor)).unique().one_or_none()
    if row is None:
        refuse(
            session,
            actor,
            records,
            row_type=str(on.__tablename__),
            target=None if issubclass(on, Subject) else target,
            purpose=purpose,
        )
        raise NotFoundError
    return _show(session, looking, [row], records=records, purpose=purpose, fields=fields)[0]


def note(
    session: Session,
    actor: Actor,
    *,
    records: str,
    purpose: str,
    count: int,
    words: Mapping[str, Any] | None = None,
    fields: Sequence[str] = (),
    basis: str = "own",
) -> None:
    """Record a look that names no row: a search (its words sealed), a count, a reading of the log.

    What one request asks twice with the same answer is told once.
    """
    looking = _looking(session, actor, records)
    told = _Note(records, purpose, count, words, tuple(fields), basis)
    if told not in looking.notes:
        looking.notes.append(told)


def refuse(
    session: Session,
    actor: Actor,
    action: str,
    *,
    row_type: str,
    target: UUID | None,
    purpose: str | None,
    code: str = "not_found",
) -> None:
    """Record, alone and at once, that a look was refused; what was looked at so far in this request is let go."""
    session.info.pop("looking", None)
    try:
        start_writing(session)
        named = [On(row_type, ((str(target), None),))] if target is not None else []
        refused = new_event(
            session,
            actor,
            action,
            at=clock(session),
            outcome="refused",
            code=code,
            on=named,
            count=len(named),
            purpose=purpose,
        )
        append_events(session, encoded([refused]))
        commit(session)
    except (OperationalError, InterfaceError) as fault:
        session.rollback()
        raise UnavailableError from fault
    except BaseException:
        session.rollback()
        raise


def finish(session: Session) -> None:
    """Record every look of this request and commit. Nothing that was looked at may be sent before this returns.

    Raises:
        UnavailableError: the looks could not be recorded; nothing may be sent.
    """
    looking = cast("Looking | None", session.info.pop("looking", None))
    if looking is None:
        return
    try:
        if not looking.entries and not looking.notes and not looking.seen:
            session.rollback()
            return
        rows = {row: None for entry in looking.entries.values() for row in entry.rows}
        refs = subject_refs(session, {p for row in rows if (p := about(row)) is not None})
        names = {row: row_names(row, refs) for row in rows}
        events = encoded(_event(session, looking, told, names) for told in looking.entries.values())
        crossed = [_disclosure(looking, one) for one in looking.crossings.values()]
        turn_to_writing(session, waits_for_disk=not _is_everyday(looking))
        noted = encoded(_noted(session, looking, told) for told in looking.notes)  # sealing them may write a count
        append_events(session, events, noted)
        insert_together(session.connection(), _DISCLOSURE, crossed)
        _keep_seen(session, looking.seen)
        commit(session)
    except (OperationalError, InterfaceError) as fault:
        session.rollback()
        raise UnavailableError from fault
    except BaseException:
        session.rollback()
        raise


#: Looks at these wait for the disk even within one's own organization.
_GRAVE: Final = frozenset({"health", "substance_use", "boundary"})
_EVERYDAY: Final = frozenset({"own", "assignment"})


def _is_everyday(looking: Looking) -> bool:
    """Whether all of it stayed within the reader's own organization, and was neither grave nor the log itself.

    What leaves as a file waits for the disk, whatever it is.
    """
    if looking.file is not None:
        return False
    return all(told.basis in _EVERYDAY for told in looking.notes) and all(
        entry.to is None and entry.basis.kind in _EVERYDAY and not entry.categories & _GRAVE
        for entry in looking.entries.values()
    )


def forget(session: Session) -> None:
    """Let go of looks whose answer will not be sent (the request failed)."""
    if session.info.pop("looking", None) is not None:
        session.rollback()


@contextmanager
def looking(session: Session) -> Iterator[None]:
    """Wrap looks outside a web request (operator's commands, jobs, tests): recorded at the end, let go on an error."""
    try:
        yield
        finish(session)
    except BaseException:
        forget(session)
        raise


def mark_seen(session: Session, actor: Actor, rows: Iterable[tuple[str, UUID]], already: Iterable[UUID]) -> None:
    """Keep that this user has now seen these rows (type, id), with the request's looks."""
    known = set(already)
    looking = _looking(session, actor, None)
    looking.seen += [
        {"id": uuid7(), "row_type": kind, "row_id": row_id, "user_id": actor.me, "at": looking.at}
        for kind, row_id in rows
        if row_id not in known
    ]


def _keep_seen(session: Session, seen: Sequence[Mapping[str, Any]]) -> None:
    """Keep what was seen; two pages opened at once by one user say it once."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    for row in seen:
        session.execute(insert(Seen).values(row).on_conflict_do_nothing(index_elements=["row_id", "user_id"]))


def _looking(session: Session, actor: Actor, records: str | None) -> Looking:
    if records is not None and records not in LOOKS:
        raise UnrecordedWriteError(f"{records} is no declared look")
    if "work" in session.info:
        raise UnrecordedWriteError("a command does not look: it acts within what it may know of")
    current = cast("Looking | None", session.info.get("looking"))
    if current is None:
        current = Looking(actor, clock(session))
        session.info["looking"] = current
    return current


def _show(
    session: Session,
    looking: Looking,
    rows: Sequence[T],
    *,
    records: str,
    purpose: str,
    fields: Sequence[str] | Callable[[T], Sequence[str]],
) -> list[Sight[T]]:
    gates = cast("Sequence[Gate]", session.info.get("gates", ()))
    if not gates:
        raise UnrecordedWriteError("a look needs a gate")
    file = looking.file
    told_as = (records, purpose) if file is None else (file.action, file.purpose)
    if not rows:
        looking.notes.append(_Note(*told_as, 0, None, ()))
        return []
    wanted = []
    for row in rows:
        asked = frozenset(fields(row) if callable(fields) else fields)
        wanted.append((row, asked, _scoped(row, tuple(sorted(asked)))))
    scopes = frozenset(scope for _row, _asked, parts in wanted for _part, scope in parts if scope is not None)
    decided = _decide(session, looking, gates, scopes, purpose)
    if file is not None:
        also = _decide(session, looking, gates, scopes, file.purpose)
        decided = {one: said if isinstance(said, Withheld) else also[one] for one, said in decided.items()}
    _prefetch_keys(session, rows, {name for _row, asked, _parts in wanted for name in asked})
    shown: list[Sight[T]] = []
    for row, asked, parts in wanted:
        withheld: list[str] = []
        uncategorized: tuple[str, ...] = ()
        by_basis: dict[tuple[Basis, UUID | None], list[tuple[_Part, str]]] = {}
        for part, scope in parts:
            if scope is None:
                uncategorized += part.told
                continue
            decision = decided[scope]
            if isinstance(decision, Basis):
                owner = None if scope.owner == looking.actor.organization_id else scope.owner
                by_basis.setdefault((decision, owner), []).append((part, scope.category))
            else:
                withheld += part.fields
        _enter(looking, told_as, row, by_basis, uncategorized)
        shown.append(Sight(row, asked, frozenset(withheld) if withheld else _NOTHING))
    return shown


_NOTHING: Final[frozenset[str]] = frozenset()


def _decide(
    session: Session, looking: Looking, gates: Sequence[Gate], scopes: frozenset[Scope], purpose: str
) -> dict[Scope, Decision]:
    decided = {scope: known for scope in scopes if (known := looking.decided.get((purpose, scope))) is not None}
    asked = scopes - decided.keys()
    open_scopes = asked
    for gate in gates if asked else ():
        answers = gate(session, looking.actor, open_scopes, purpose=purpose, at=looking.at)
        for scope in open_scopes:
            decision = answers[scope]
            if scope not in decided or isinstance(decision, Withheld):
                decided[scope] = decision
        open_scopes = frozenset(s for s in open_scopes if isinstance(decided[s], Basis))
    looking.decided |= {(purpose, scope): decided[scope] for scope in asked}
    return decided


@dataclass(frozen=True, slots=True)
class _Part:
    """Fields of a row that one decision shows or withholds together, and what that decision is about.

    `told` are the fields as the log names them. Category "row": the row itself carries it; None: it takes none.
    """

    fields: tuple[str, ...]
    told: tuple[str, ...]
    category: str | None
    recorder: str | None


@cache
def _parts(kind: type[Identified], fields: tuple[str, ...]) -> tuple[_Part, ...]:
    found: dict[tuple[str | None, str | None], list[str]] = {}
    for name in fields:
        category = category_of(kind, name)
        recorder = None if category is None else kind.__recorders__.get(name, kind.__recorder__)
        found.setdefault((category, recorder), []).append(name)
    return tuple(
        _Part(tuple(names), tuple(f"{kind.__tablename__}.{name}" for name in names), category, recorder)
        for (category, recorder), names in found.items()
    )


def _scoped(row: Identified, fields: tuple[str, ...]) -> list[tuple[_Part, Scope | None]]:
    """Say what it takes to see these fields; None for what is nobody's category (an id, an instant, a code)."""
    kind, participant = type(row), about(row)
    if participant is None:
        raise UnrecordedWriteError(f"{kind.__name__} is about no participant: it needs no look")
    found: list[tuple[_Part, Scope | None]] = []
    for part in _parts(kind, fields):
        category = part.category
        if category == "row":
            category = cast("str | None", getattr(row, cast("str", kind.__row_category__)))
        if category is None:
            found.append((part, None))
        elif part.recorder is None:
            raise UnrecordedWriteError(f"{kind.__name__} does not say which organization recorded {part.fields[0]}")
        else:
            found.append((part, Scope(participant, getattr(row, part.recorder), category)))
    return found


def category_of(kind: type[Identified], name: str) -> str | None:
    """Return the consent category of a field ("row": the row itself carries it); None for what has none.

    Raises:
        UnrecordedWriteError: the field is neither a column nor listed in the class's `__shows__`.
    """
    mapper = cast("Mapper[Any]", inspected(kind))
    column = mapper.columns.get(name) if name in mapper.columns else None
    if column is None and f"_{name}" in mapper.columns:
        column = mapper.columns[f"_{name}"]
    if column is not None:
        category = cast("str | None", column.info.get("category"))
        if category is None and column.info.get("class") == "restricted":
            return "row"
        return category
    if name in kind.__shows__:
        return kind.__shows__[name]
    raise UnrecordedWriteError(f"{kind.__name__}.{name} is neither a column nor in __shows__")


def _plain_basis(looking: Looking, row: Identified) -> Basis:
    """Say why a row's uncategorized fields may be seen: being within sight is an assignment's doing."""
    recorder = type(row).__recorder__
    own = recorder is not None and getattr(row, recorder) == looking.actor.organization_id
    return Basis("own" if own else "assignment")


def _enter(
    looking: Looking,
    kind: tuple[str, str],
    row: Identified,
    by_basis: Mapping[tuple[Basis, UUID | None], Sequence[tuple[_Part, str]]],
    uncategorized: tuple[str, ...],
) -> None:
    """Add a row to the events of its `kind` (action, purpose): one for each basis on which something of it was seen.

    What has no category needs no more than being within sight: it is told with the rest, best with what is one's own.
    Where nothing else was seen, that there is such a row was seen all the same.
    """
    if not by_basis:
        _entry(looking, kind, (_plain_basis(looking, row), None), row, uncategorized, ())
        return
    carries = min(by_basis, key=lambda one: one[1] is not None)
    for key, parts in by_basis.items():
        told = tuple(name for part, _category in parts for name in part.told)
        categories = tuple(category for _part, category in parts)
        _entry(looking, kind, key, row, told + uncategorized if key is carries else told, categories)


def _entry(  # noqa: PLR0917  # one row of what will be told
    looking: Looking,
    kind: tuple[str, str],
    seen_on: tuple[Basis, UUID | None],
    row: Identified,
    told: tuple[str, ...],
    categories: tuple[str, ...],
) -> None:
    """Add a row to one event and, where it crosses from another organization, to a disclosure.

    Rows that cross under a consent each are told together where the same was seen of them; which consent let which
    row cross, the disclosures say (decision 0008).
    """
    basis, owner = seen_on
    table = str(row.__tablename__)
    crosses = owner is not None
    to = looking.actor.organization_id if crosses else None
    # Without a disclosure nothing else would say what it rests on.
    key = (*kind, table, to, *((basis.kind, told, categories) if crosses else (basis,)))
    entry = looking.entries.get(key)
    if entry is None:
        entry = looking.entries[key] = _Entry(*kind, basis, to)
    elif entry.basis != basis:
        entry.basis = Basis(basis.kind)
    entry.rows[row] = None
    entry.fields.update(told)
    entry.categories.update(categories)
    if owner is None:
        return
    participant = cast("UUID", about(row))
    crossing = looking.crossings.get(which := (*kind, table, participant, owner, basis))
    if crossing is None:
        crossing = looking.crossings[which] = _Crossing(participant, owner, basis, kind[1])
    crossing.rows[row] = None
    crossing.categories.update(categories)


def _event(
    session: Session, looking: Looking, entry: _Entry, names: Mapping[Identified, tuple[str, str | None]]
) -> Event:
    table = str(next(iter(entry.rows)).__tablename__)
    return new_event(
        session,
        looking.actor,
        entry.action,
        at=looking.at,
        on=[On(table, tuple(names[row] for row in entry.rows))],
        fields=entry.fields,
        categories=entry.categories,
        count=len(entry.rows),
        purpose=entry.purpose,
        basis=(entry.basis.kind, entry.basis.id, entry.basis.rev),
        to=entry.to,
    )


def _noted(session: Session, looking: Looking, told: _Note) -> Event:
    return new_event(
        session,
        looking.actor,
        told.action,
        at=looking.at,
        fields=told.fields,
        count=told.count,
        purpose=told.purpose,
        basis=(told.basis, None, None),
        details=[(None, None, told.words)] if told.words else [],
    )


def _disclosure(looking: Looking, crossing: _Crossing) -> Mapping[str, Any]:
    return {
        "id": uuid7(),
        "at": looking.at,
        "participant_id": crossing.participant_id,
        "from_org_id": crossing.owner,
        "to_org_id": looking.actor.organization_id,
        "to_user_id": looking.actor.user_id,
        "categories": sorted(crossing.categories),
        "row_type": str(next(iter(crossing.rows)).__tablename__),
        "row_ids": [str(row.id) for row in crossing.rows],
        "purpose": crossing.purpose,
        "basis_kind": crossing.basis.kind,
        "basis_id": crossing.basis.id,
        "channel": "export" if looking.file is not None else looking.actor.source.channel,
    }


def _prefetch_keys(session: Session, rows: Sequence[Identified], fields: Iterable[str]) -> None:
    """Read the rows' keys at once; where every field is a plain column nothing will be opened."""
    if all(name in cast("Mapper[Any]", inspected(type(row))).columns for row in rows[:1] for name in fields):
        return
    owners = {participant for row in rows if (participant := about(row)) is not None}
    crypto.prefetch(session, owners)
