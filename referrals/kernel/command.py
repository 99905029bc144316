"""The one way anything is written: schema, sight, grant, rule, record, commit.

A command says who may do what to which row, with which words, leaving which record. `execute()` is the only place
that commits an act. Three things make an unrecorded write impossible through the session: the guards of
`HouseSession` refuse writes outside a command; what the one flush touched must be among what the command recorded;
and the events are appended to the log in the same transaction. The database's own rules (triggers, grants) hold what
Python cannot: raw SQL. Cites L1 and L2 of `audit`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeAlias, TypeVar, cast, overload
from uuid import UUID

from sqlalchemy import Select
from sqlalchemy import inspect as inspected
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.orm.exc import StaleDataError

from audit.event import Event, On, public_value
from referrals.kernel import crypto
from referrals.kernel.actor import Actor, one_within
from referrals.kernel.errors import (
    Change,
    ChangedMeanwhileError,
    InvalidInputError,
    KeyReusedError,
    NotFoundError,
    NotPermittedError,
    PreconditionFailedError,
    PreconditionNeededError,
    RefusedError,
    RuleBrokenError,
    UnavailableError,
    UnrecordedWriteError,
)
from referrals.kernel.orm import Base, Identified, Subject
from referrals.kernel.record import (
    BasisNote,
    about,
    append_events,
    categories_of,
    clock,
    commit,
    encoded,
    new_event,
    row_names,
    start_writing,
    subject_refs,
)
from referrals.kernel.schema import Takes
from referrals.kernel.session import changed_fields

S = TypeVar("S", bound=Identified)
R = TypeVar("R", bound=Identified)
P = ParamSpec("P")
Predicate = Callable[[Actor, Any], bool]
#: Field -> the version in which it was set last, by whom, when: as `edits()` keeps it.
_Edits: TypeAlias = Mapping[str, tuple[int, str | None, str]] | None
#: Stands among the fields, and is none: the version after which every edit is known.
_KNOWN_FROM: Final = ""

#: Every declared command, by its record's name.
COMMANDS: dict[str, Command[Any, Any]] = {}


class ConflictingEntryError(RuleBrokenError):
    """The database already holds an entry that excludes this one."""

    code = "conflicting_entry"


class KeptKey(Base):
    """An idempotency key somebody used: the id of what it led to and a keyed digest of the body, never the answer.

    Bookkeeping about no record, so outside the audit rule.
    """

    __tablename__ = "kept_key"
    __audited__ = False

    user_id: Mapped[UUID] = mapped_column(primary_key=True, info={"class": "public"})
    key: Mapped[str] = mapped_column(primary_key=True, info={"class": "public"})
    command: Mapped[str] = mapped_column(info={"class": "public"})
    digest: Mapped[bytes] = mapped_column(info={"class": "public"})
    result_id: Mapped[UUID] = mapped_column(info={"class": "public"})
    at: Mapped[datetime] = mapped_column(info={"class": "public"})


@dataclass(slots=True)
class Work:
    """One act in progress: who, when, and what will be on record."""

    session: Session
    actor: Actor
    action: str
    now: datetime
    purpose: str | None = None
    basis: BasisNote | None = None
    to: UUID | None = None
    prior: UUID | None = None
    target: Identified | None = None
    declared: dict[Identified, set[str] | None] = field(default_factory=dict)
    touched: dict[Identified, set[str]] = field(default_factory=dict)
    details: list[tuple[UUID | None, Mapping[str, Any]]] = field(default_factory=list)
    flushing: bool = False

    def add(self, row: Identified) -> None:
        """Save a new row and put all of it on record."""
        self.session.add(row)
        self.declared[row] = None

    def record(self, row: Identified, fields: Iterable[str]) -> None:
        """Declare that these fields of an existing row change."""
        known = self.declared.setdefault(row, set())
        if known is not None:
            known.update(fields)

    def keep(self, row: Base) -> None:
        """Save a bookkeeping row (one that is outside the audit rule by name)."""
        if type(row).__audited__:
            raise UnrecordedWriteError(f"{type(row).__name__} is audited: use add()")
        self.session.add(row)

    def rests_on(self, kind: str, row_id: UUID | None, revision: int | None = None) -> None:
        """Say on which basis the act rests: a consent, an agreement, an assignment."""
        self.basis = (kind, row_id, revision)

    def seal(self, participant_id: UUID | None, **content: Any) -> None:
        """Add detail that only the participant's key (or, with None, the log's) opens."""
        self.details.append((participant_id, content))


#: What a command leaves behind although it is refused, in the refusal's own transaction.
Outlasting: TypeAlias = Callable[[Work, Any, RefusedError, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Command(Generic[S, R]):
    """A declared act.

    `allow` is an OR of ANDs over pure predicates; `within` selects what the actor may know of. `edits` means that the
    act changes fields two people may edit: it then needs the version the editor saw (S-310). `outlasts` runs in the
    refusal's own transaction and may keep what a refusal must leave behind (a failed attempt).
    """

    name: str
    records: str
    on: type[S]
    makes: type[R]
    takes: Takes
    within: Callable[[Actor], Select[Any]]
    allow: Sequence[Sequence[Predicate]]
    purpose: str | None
    edits: bool
    outlasts: Outlasting | None
    act: Callable[..., R]

    @property
    def room(self) -> str:
        """The room that owns the command."""
        return self.records.partition(".")[0]


@overload
def command(
    *,
    records: str,
    on: type[S],
    takes: type[Takes],
    within: Callable[[Actor], Select[Any]],
    allow: Sequence[Sequence[Predicate]],
    purpose: str | None = ...,
    edits: bool = ...,
    outlasts: Outlasting | None = ...,
) -> Callable[[Callable[Concatenate[Work, S, P], S]], Command[S, S]]: ...


@overload
def command(
    *,
    records: str,
    on: type[S],
    takes: type[Takes],
    within: Callable[[Actor], Select[Any]],
    allow: Sequence[Sequence[Predicate]],
    makes: type[R],
    purpose: str | None = ...,
    edits: bool = ...,
    outlasts: Outlasting | None = ...,
) -> Callable[[Callable[Concatenate[Work, S, P], R]], Command[S, R]]: ...


def command(
    *,
    records: str,
    on: type[Any],
    takes: type[Takes],
    within: Callable[[Actor], Select[Any]],
    allow: Sequence[Sequence[Predicate]],
    makes: type[Any] | None = None,
    purpose: str | None = None,
    edits: bool = False,
    outlasts: Outlasting | None = None,
) -> Callable[[Callable[..., Any]], Command[Any, Any]]:
    """Declare a command.

    The schema's fields must be the function's keywords, exactly; each record name is declared once.

    Raises:
        TypeError: at import, when fields and keywords differ, the name is taken, or nobody is allowed.
    """

    def declare(act: Callable[..., Any]) -> Command[Any, Any]:
        name = act.__name__
        parameters = inspect.signature(act).parameters
        keywords = {k for k, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}
        schema = takes()
        if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            keywords |= set(schema.fields)  # takes the rest together: still only what the schema lets in
        if keywords != set(schema.fields):
            raise TypeError(f"{name}: schema and keywords differ: {sorted(keywords ^ set(schema.fields))}")
        if records in COMMANDS:
            raise TypeError(f"{records} is declared twice")
        if not allow or not all(allow):
            raise TypeError(f"{name}: say who may")
        declared = Command(name, records, on, makes or on, schema, within, allow, purpose, edits, outlasts, act)
        COMMANDS[records] = declared
        return declared

    return declare


def execute(
    session: Session,
    what: Command[S, R],
    *,
    actor: Actor,
    target: UUID,
    data: Mapping[str, Any],
    expect: int | None = None,
    if_match: bool = False,
    key: str | None = None,
    said: Mapping[str, Any] | None = None,
) -> R:
    """Run one command on one row in one transaction, and commit it with its record.

    `expect` is the `version` the caller saw (from If-Match when `if_match`), `key` an idempotency key of that caller.
    `said` is what the caller sent under the key, where `data` was made from it on the way (see `done_before()`).

    Raises:
        InvalidInputError: the words are wrong (nothing was attempted, nothing recorded).
        NotFoundError, NotPermittedError, RuleBrokenError: refused, and the refusal is on record.
        UnavailableError: the act could not be recorded, or the database is busy; nothing was changed.
    """
    if "work" in session.info:
        raise RuntimeError("a command may not run inside another: share a rule, not a transaction")
    words = what.takes.understood(data)
    work = _begin(session, what, actor)
    try:
        try:
            terms = _Terms(data if said is None else said, expect, key, if_match=if_match)
            return _attempt(work, what, target, words, terms)
        except (InvalidInputError, UnavailableError):
            raise
        except (RefusedError, StaleDataError, IntegrityError) as fault:
            refusal = _refusal_for(fault)
            session.rollback()
            _record_refusal(what, work, target, refusal, words)
            raise refusal from (None if refusal is fault else fault)
    except (OperationalError, InterfaceError) as fault:
        session.rollback()
        raise UnavailableError from fault
    except BaseException:
        session.rollback()
        raise
    finally:
        session.info.pop("work", None)


def _refusal_for(fault: RefusedError | StaleDataError | IntegrityError) -> RefusedError:
    """Say what the database means when two acts met, as the rule it is."""
    if isinstance(fault, RefusedError):
        return fault
    return ChangedMeanwhileError() if isinstance(fault, StaleDataError) else ConflictingEntryError()


@dataclass(frozen=True, slots=True)
class _Terms:
    """On which terms the caller asks: what they sent, the version they saw, their idempotency key."""

    said: Mapping[str, Any]
    expect: int | None
    key: str | None
    if_match: bool


def _attempt(work: Work, what: Command[S, R], target: UUID, words: Mapping[str, Any], terms: _Terms) -> R:
    thing = work.target = _target(work.session, what, work.actor, target)
    # Whoever waited for the row acts after those it waited for: what they did must not seem to come later.
    work.now = clock(work.session)
    digest = _digest(work.session, what, target, terms.said) if terms.key is not None else b""
    if terms.key is not None and (kept := _kept(work.session, what, work.actor, terms.key, digest)) is not None:
        work.session.rollback()
        return _replayed(work.session, what, kept)
    if not any(all(may(work.actor, thing) for may in clause) for clause in what.allow):
        raise NotPermittedError
    _check_version(what, thing, terms.expect, if_match=terms.if_match)
    result = what.act(work, thing, **words)
    if terms.key is not None:
        work.keep(
            KeptKey(
                user_id=work.actor.me,
                key=terms.key,
                command=what.records,
                digest=digest,
                result_id=result.id,
                at=work.now,
            )
        )
    _finish(work.session, work)
    return result


def _begin(session: Session, what: Command[Any, Any], actor: Actor) -> Work:
    try:
        start_writing(session)
    except (OperationalError, InterfaceError) as busy:
        session.rollback()
        raise UnavailableError from busy
    work = Work(session, actor, what.records, clock(session), what.purpose)
    session.info["work"] = work
    return work


def _target(session: Session, what: Command[S, Any], actor: Actor, target: UUID) -> S:
    statement, asked = one_within(what.within, what.on, target, actor, lock=True)
    thing = session.scalars(statement, asked, execution_options={"populate_existing": True}).one_or_none()
    if thing is None:
        raise NotFoundError
    return cast("S", thing)


def _check_version(what: Command[S, Any], thing: S, expect: int | None, *, if_match: bool) -> None:
    if not what.edits:
        return
    if expect is None:
        raise PreconditionNeededError
    version = cast("int", thing.version)  # type: ignore[attr-defined]  # a house test: what is edited has a version
    if expect != version:
        changes = _changes_since(what, thing, expect)
        refusal = PreconditionFailedError if if_match else ChangedMeanwhileError
        raise refusal() if changes is None else refusal(changes, version)


def _changes_since(what: Command[S, Any], thing: S, version: int) -> dict[str, Change] | None:
    """Return which of a command's fields were set after a version of the row; None where that is not known."""
    known = cast("_Edits", thing.edits) or {}  # type: ignore[attr-defined]  # beside the version, by the same house test
    first = known.get(_KNOWN_FROM)
    if first is None or not first[0] <= version < cast("int", thing.version):  # type: ignore[attr-defined]  # as above
        return None
    return {
        name: Change(UUID(by) if by is not None else None, datetime.fromisoformat(at))
        for name, (since, by, at) in known.items()
        if since > version and name in what.takes.fields
    }


def _keep_edits(work: Work) -> None:
    """Keep beside each row whose version moves which fields were set, by whom and when, for others who edit it."""
    by = str(work.actor.user_id) if work.actor.user_id is not None else None
    for row, declared in work.declared.items():
        if declared is None or not hasattr(row, "edits") or "version" not in (changed := changed_fields(row)):
            continue
        version = cast("int", row.version)  # type: ignore[attr-defined]  # it has just moved
        at = work.now.isoformat()
        known = row.edits or {_KNOWN_FROM: [version - 1, by, at]}
        row.edits = known | {name: [version, by, at] for name in sorted(changed - {"version"})}


def _finish(session: Session, work: Work) -> None:
    """Flush once, hold what was touched against what was declared, append the events, commit."""
    if not work.declared:
        raise UnrecordedWriteError(f"{work.action} recorded nothing")
    refs = subject_refs(
        session, {p for row in work.declared if (p := about(row)) is not None} | {p for p, _ in work.details if p}
    )
    _keep_edits(work)
    work.flushing = True
    session.flush()
    work.flushing = False
    for row, fields in work.touched.items():
        if row not in work.declared:
            raise UnrecordedWriteError(f"{work.action} changed {row!r} without recording it")
        declared = work.declared[row]
        if declared is not None and not fields <= declared:
            raise UnrecordedWriteError(
                f"{work.action} changed {sorted(fields - declared)} of {row!r} without recording it"
            )
    if not work.touched:
        session.rollback()
        return
    append_events(session, encoded(_events(work, refs)))
    commit(session)


def _events(work: Work, refs: Mapping[UUID, UUID | None]) -> list[Event]:
    """One event for each row the flush changed, as one act."""
    changes = list(work.touched.items())
    return [
        _event(
            work,
            on=[_change(row, fields, refs)],
            fields=[f"{row.__tablename__}.{name}" for name in fields],
            categories=categories_of(row, fields),
            count=len(changes),
            part=(number, len(changes)) if len(changes) > 1 else None,
            details=_details(work, refs) if number == 1 else (),
        )
        for number, (row, fields) in enumerate(changes, 1)
    ]


def _details(
    work: Work, refs: Mapping[UUID, UUID | None]
) -> Iterator[tuple[UUID | None, str | None, Mapping[str, Any]]]:
    for participant, content in work.details:
        ref = refs.get(participant) if participant is not None else None
        yield participant, str(ref) if ref is not None else None, content


def _change(row: Identified, fields: Iterable[str], refs: Mapping[UUID, UUID | None]) -> On:
    columns = inspected(type(row)).columns
    shown = {
        name: public_value(getattr(row, name))
        for name in fields
        if name in columns and columns[name].info.get("class") == "public"
    }
    return On(str(row.__tablename__), (row_names(row, refs),), rev=row.revision, set=shown)


def _event(work: Work, **says: Any) -> Event:
    return new_event(
        work.session,
        work.actor,
        work.action,
        at=clock(work.session),
        purpose=work.purpose,
        basis=work.basis,
        to=work.to,
        prior=work.prior,
        **says,
    )


def _record_refusal(
    what: Command[Any, Any], work: Work, target: UUID, refusal: RefusedError, words: Mapping[str, Any]
) -> None:
    """Commit the refusal's own event, and what the command declares to outlast it; nothing else survives."""
    session, thing = work.session, work.target
    session.info.pop("work", None)
    again = _begin(session, what, work.actor)
    fresh: Identified | None = None
    if thing is not None and what.outlasts is not None:
        fresh = _target(session, what, work.actor, target)
        what.outlasts(again, fresh, refusal, words)
    refs = subject_refs(session, {p for row in (thing,) if row is not None and (p := about(row)) is not None})
    if issubclass(what.on, Subject) and thing is None:
        named: list[On] = []  # a participant's row is named by log_ref alone, and nobody may say whose this would be
    else:
        rows = (row_names(thing, refs),) if thing is not None else ((str(target), None),)
        named = [On(str(what.on.__tablename__), rows)]
    kept_as, again.action = again.action, what.records  # what outlasts the refusal may have a name of its own
    refused = _event(again, outcome="refused", code=refusal.code, on=named, count=len(named))
    again.action = kept_as
    again.flushing = True
    session.flush()
    again.flushing = False
    undeclared = set(again.touched) - set(again.declared)
    if undeclared:
        raise UnrecordedWriteError(f"{what.records}: a refusal changed {undeclared}")
    kept = _events(again, subject_refs(session, {p for row in again.touched if (p := about(row)) is not None}))
    append_events(session, encoded([refused, *kept]))
    commit(session)


def done_before(
    session: Session, what: Command[Any, R], *, actor: Actor, target: UUID, key: str, said: Mapping[str, Any]
) -> R | None:
    """Return what an act under this key led to, if it was done; whoever takes several steps asks before the first.

    Raises:
        KeyReusedError: the key was used for something else.
        NotFoundError: what it led to is no longer there.
    """
    kept = _kept(session, what, actor, key, _digest(session, what, target, said))
    return _replayed(session, what, kept) if kept is not None else None


def _kept(session: Session, what: Command[Any, Any], actor: Actor, key: str, digest: bytes) -> KeptKey | None:
    kept = session.get(KeptKey, (actor.me, key))
    if kept is not None and (kept.command, kept.digest) != (what.records, digest):
        raise KeyReusedError
    return kept


def _digest(session: Session, what: Command[Any, Any], target: UUID, said: Mapping[str, Any]) -> bytes:
    body = repr((what.records, str(target), sorted((str(k), repr(v)) for k, v in said.items())))
    return crypto.mac(session, "cell-digest", body.encode())


def _replayed(session: Session, what: Command[Any, R], kept: KeptKey) -> R:
    result = session.get(what.makes, kept.result_id)
    if result is None:
        raise NotFoundError
    return result
