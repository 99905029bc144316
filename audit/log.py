"""The log's way in and out: append inside the caller's transaction; search; and what guards it.

Writing (L1): `append` checks, hashes and inserts on the caller's connection. It takes no lock, reads nothing and opens
nothing of its own, so an event lives and dies with the act it records. Any error in it must end the act.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    Table,
    TextClause,
    func,
    insert,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.orm import Session

from audit.event import Event, EventError, id_floor, leaf_hash, parse
from audit.models import AuditEvent, AuditSubject
from audit.rows import insert_together

_EVENT: Final = cast("Table", AuditEvent.__table__)
_SUBJECT: Final = cast("Table", AuditSubject.__table__)
# inline: the web role may not read the log, so nothing may be asked back (no RETURNING).
_INSERT_EVENT: Final = insert(_EVENT).inline()
_NEWEST: Final = select(_EVENT.c.at).order_by(_EVENT.c.event_id.desc()).limit(1)
_NEWEST_POSTGRESQL: Final = select(func.audit_newest(type_=_EVENT.c.at.type))

MAX_PAGE: Final = 500


# -- writing -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Encoded:
    """Events ready to be written: their rows, and the rows that find them by participant."""

    rows: Sequence[Mapping[str, object]]
    subjects: Sequence[Mapping[str, object]]


def append(target: Session | Connection, event: Event) -> None:
    """Write one event in the caller's transaction (L1), with its copies for searching.

    Raises `audit.event.EventError` when the event has no canonical bytes or names too many rows (see `split`), and
    SQLAlchemy's `IntegrityError` when its id, or the revision of the object that it changes, is in the log already.
    After any error the caller rolls back: there is no act without its event.
    """
    append_all(target, encoded([event]))


def encoded(events: Iterable[Event]) -> Encoded:
    """Encode and hash events, as far as that is possible before the transaction that writes them; raises as `append`.

    SQLite has one writer: what is done before its lock is taken keeps nobody waiting.
    """
    rows: list[Mapping[str, object]] = []
    subjects: list[Mapping[str, object]] = []
    for event in events:
        body = event.encode()
        copies = _copies(event)
        rows.append({"body": body, "leaf_hash": leaf_hash(body), **copies})
        subjects += [
            {"subject": uuid.UUID(subject), "event_id": copies["event_id"], "type": type_}
            for subject, type_ in event.subjects().items()
        ]
    return Encoded(rows, subjects)


def append_all(target: Session | Connection, *events: Encoded) -> None:
    """Write the events of one act or look, in this order and with two statements whatever their number; as `append`."""
    connection = target.connection() if isinstance(target, Session) else target
    if rows := [row for one in events for row in one.rows]:
        connection.execute(_INSERT_EVENT, rows)
    insert_together(connection, _SUBJECT, [row for one in events for row in one.subjects])


def _copies(event: Event) -> Mapping[str, object]:
    """The query columns: the object is what the event names first, its id set where that is a single row."""
    first = event.on[0] if event.on else None
    return {
        "event_id": uuid.UUID(event.id),
        "at": event.at,
        "action": event.action,
        "outcome": event.outcome,
        "actor_id": event.actor.id,
        "actor_org": event.actor.org,
        "to_org": event.to,
        "purpose": event.purpose,
        "basis_kind": None if event.basis is None else event.basis.kind,
        "basis_id": None if event.basis is None else event.basis.id,
        "object_type": None if first is None else first.type,
        "object_id": first.rows[0][0] if first is not None and len(first.rows) == 1 else None,
        "object_rev": None if first is None else first.rev,
        "count": event.count,
        "off_hours": event.off_hours,
        "request": event.request,
        "prior": None if event.prior is None else uuid.UUID(event.prior),
    }


# -- reading -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What an auditor asks of the log: the events for which everything given here is so.

    `subject` is a participant's `log_ref`. `since` (from) and `until` (before) are read to the millisecond. `object_id`
    needs `object_type`; both find events that name that one row first. `denied` asks for all that was not done.
    `count_from`: acts of so many rows or more. `seen_by` is an organization: only what its own people did, what was
    shared with it, and what was done by nobody's people (the service, visitors).
    """

    event_id: uuid.UUID | None = None
    seen_by: str | None = None
    subject: uuid.UUID | None = None
    actor_id: str | None = None
    actor_org: str | None = None
    action: str | None = None
    outcome: str | None = None
    denied: bool = False
    object_type: str | None = None
    object_id: str | None = None
    request: str | None = None
    to_org: str | None = None
    basis_kind: str | None = None
    basis_id: str | None = None
    off_hours: bool = False
    count_from: int | None = None
    prior: uuid.UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an answer. `event` is None where the stored bytes were changed: no event, or another hash or id."""

    event_id: uuid.UUID
    event: Event | None


def find(
    connection: Connection, question: Question, *, before: uuid.UUID | None = None, limit: int = 50
) -> list[Entry]:
    """The newest `limit` events (1 to 500) that answer the question, newest first.

    For the next page pass the last entry's `event_id` as `before`. Each question is served by an index. Reading the log
    is an act to be recorded (L10), which is the caller's part.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise ValueError(f"limit must lie between 1 and {MAX_PAGE}")
    statement = _statement(connection.dialect.name, question, before).limit(limit)
    return [_entry(row) for row in connection.execute(statement)]


def _statement(dialect: str, question: Question, before: uuid.UUID | None) -> Select[uuid.UUID, bytes, bytes]:
    if question.object_id is not None and question.object_type is None:
        raise ValueError("object_id needs object_type")
    statement = select(_EVENT.c.event_id, _EVENT.c.body, _EVENT.c.leaf_hash).where(*_conditions(dialect, question))
    order = _EVENT.c.event_id
    if question.subject is not None:
        order = _SUBJECT.c.event_id
        statement = statement.join_from(_SUBJECT, _EVENT, _SUBJECT.c.event_id == _EVENT.c.event_id)
        statement = statement.where(_SUBJECT.c.subject == question.subject)
    if question.event_id is not None:
        statement = statement.where(order == question.event_id)
    if question.since is not None:
        statement = statement.where(order >= id_floor(question.since))
    if question.until is not None:
        statement = statement.where(order < id_floor(question.until))
    if before is not None:
        statement = statement.where(order < before)
    return statement.order_by(order.desc())


_EQUAL: Final = (
    *("actor_id", "actor_org", "action", "outcome", "object_type", "object_id", "request"),
    *("to_org", "basis_kind", "basis_id", "prior"),
)
_NARROW: Final = ("subject", "request", "prior", "object_id", "actor_id", "to_org")
"""What is asked first decides by which index the log is read: the narrowest comes first."""
_TOGETHER: Final = {"object_id": "object_type", "to_org": "basis_id"}
_BULK: Final = 25


def _conditions(dialect: str, question: Question) -> Iterator[ColumnElement[bool] | TextClause]:
    narrow = next((name for name in _NARROW if getattr(question, name) is not None), None)
    for name in _EQUAL:
        if (value := getattr(question, name)) is None:
            continue
        column: ColumnElement[object] = _EVENT.c[name]
        if dialect == "sqlite" and narrow is not None and name not in (narrow, _TOGETHER.get(narrow)):
            # Without statistics SQLite may read all of an action; a unary plus hides a column's indexes from it.
            column = literal_column(f"+audit_event.{name}", column.type)
        yield column == value
    if question.seen_by is not None:
        yield _seen_by(dialect, question.seen_by)
    if question.denied:
        yield _EVENT.c.outcome != "done"
    if question.off_hours and question.actor_org is not None:
        yield text("audit_event.off_hours")  # as the index says it; SQLAlchemy would write "= 1" on SQLite
    elif question.off_hours:
        yield _EVENT.c.off_hours.is_(True)
    if question.count_from is not None:
        yield _EVENT.c.count >= question.count_from
    if narrow is None:
        yield from _partial(question)


def _seen_by(dialect: str, organization: str) -> ColumnElement[bool]:
    """Most of a page passes, so the log is read newest first; SQLite would rather gather and sort (see above)."""
    actor_org: ColumnElement[str | None] = _EVENT.c.actor_org
    to_org: ColumnElement[str | None] = _EVENT.c.to_org
    if dialect == "sqlite":
        actor_org = literal_column("+audit_event.actor_org", actor_org.type)
        to_org = literal_column("+audit_event.to_org", to_org.type)
    return or_(actor_org == organization, to_org == organization, actor_org.is_(None))


def _partial(question: Question) -> Iterator[ColumnElement[bool]]:
    """The conditions of the partial indexes, spelled out: no database proves them from a bound value."""
    if question.denied or question.outcome in ("refused", "failed"):
        yield _EVENT.c.outcome != literal_column("'done'")
    if question.basis_kind == "emergency":
        yield _EVENT.c.basis_kind == literal_column("'emergency'")
    if question.count_from is not None and question.count_from >= _BULK:
        yield _EVENT.c.count >= literal_column(str(_BULK))


def _entry(row: Row[uuid.UUID, bytes, bytes]) -> Entry:
    event_id, body, leaf = row
    try:
        event = parse(body) if leaf_hash(body) == leaf else None
    except (EventError, TypeError):  # SQLite keeps what it is given: whoever changed a body may have left text there
        event = None
    return Entry(event_id, event if event is not None and event.id == str(event_id) else None)


def count(connection: Connection) -> int:
    """How many events there are."""
    return connection.execute(select(func.count()).select_from(_EVENT)).scalar_one()


def newest_at(connection: Connection) -> datetime | None:
    """The time of the newest event, to judge the clock by; None while the log is empty.

    On PostgreSQL through `audit_newest()`, since the roles that write may not read.
    """
    return connection.execute(_NEWEST_POSTGRESQL if connection.dialect.name == "postgresql" else _NEWEST).scalar()


# -- what guards the log -----------------------------------------------------------------------------------------------

_SAME_ROW: Final = {
    "audit_event": (
        "id = NEW.id",
        "event_id = NEW.event_id",
        "object_type = NEW.object_type AND object_id = NEW.object_id AND object_rev = NEW.object_rev",
    ),
    "audit_subject": ("subject = NEW.subject AND event_id = NEW.event_id",),
}


def _sqlite_triggers() -> dict[str, str]:
    """Each trigger's name and statement, as the migration makes them and `sqlite_master` keeps them."""
    triggers: dict[str, str] = {}
    for table, same in _SAME_ROW.items():
        refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        met = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {where})" for where in same)  # noqa: S608  # constants
        for event, when in (("update", ""), ("delete", ""), ("replace", f"WHEN {met} ")):
            fires = "INSERT" if event == "replace" else event.upper()
            name = f"{table}_no_{event}"
            triggers[name] = f"CREATE TRIGGER {name} BEFORE {fires} ON {table} {when}{refuse}"
    return triggers


# pg_trigger.tgtype: row 1, before 2, delete 8, update 16, truncate 32
_POSTGRESQL_TRIGGERS: Final = {
    (table, f"{table}_{name}"): bits
    for table in ("audit_event", "audit_subject")
    for name, bits in (("no_change", 1 + 2 + 8 + 16), ("no_truncate", 2 + 32))
}
_REFUSAL: Final = "BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END"
_DATABASES_OWN: Final = frozenset({"id", "xid"})
_WRITERS: Final = ("throughgate_web", "throughgate_worker")
_READERS: Final = ("throughgate_oversight", "throughgate_sequencer")


def missing_guards(connection: Connection) -> list[str]:
    """What should keep the log append-only and does not, in words; empty when all is there (L3). Any stops the start.

    Both databases: each trigger, by what it does and not by its name alone. PostgreSQL: `audit_newest()`, and for each
    role of the service that exists, that it holds what it needs and nothing that would change or, for a writer, read
    the log.
    """
    if connection.dialect.name == "postgresql":
        absent = [
            f"table {table.name}"
            for table in (_EVENT, _SUBJECT)
            if connection.scalar(select(func.to_regclass(table.name))) is None
        ]
        return absent or [*_missing_on_postgresql(connection), *_wrong_grants(connection)]
    rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
    present: dict[str, str] = {row.name: row.sql for row in rows}
    return [
        f"trigger {name}"
        for name, sql in sorted(_sqlite_triggers().items())
        if " ".join(str(present.get(name)).split()) != sql
    ]


def _missing_on_postgresql(connection: Connection) -> list[str]:
    rows = connection.execute(
        text(
            "SELECT c.relname, t.tgname, t.tgtype, p.prosrc FROM pg_trigger t "
            "JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid "
            "WHERE c.relnamespace = current_schema()::regnamespace AND t.tgenabled = 'A' AND t.tgqual IS NULL "
            "AND t.tgattr = ''"
        )
    )
    present = {(table, name): bits for table, name, bits, source in rows if source == _REFUSAL}
    missing = [
        f"trigger {name}" for (table, name), bits in _POSTGRESQL_TRIGGERS.items() if present.get((table, name)) != bits
    ]
    newest = text(
        "SELECT EXISTS (SELECT 1 FROM pg_proc WHERE proname = 'audit_newest' AND prosecdef "
        "AND pronamespace = current_schema()::regnamespace)"
    )
    if not connection.scalar(newest):
        missing.append("function audit_newest()")
    return missing


def _wrong_grants(connection: Connection) -> list[str]:
    roles = connection.scalars(
        text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:names) ORDER BY rolname"),
        {"names": [*_WRITERS, *_READERS]},
    )
    found: list[str] = []
    for role in roles:
        found += _wrong_grants_of(connection, role)
    return found


def _wrong_grants_of(connection: Connection, role: str) -> list[str]:
    writes = role in _WRITERS
    found: list[str] = []
    for table in (_EVENT, _SUBJECT):
        for privilege in ("SELECT", "INSERT", "UPDATE"):
            asked = {"role": role, "table": table.name, "privilege": privilege}
            held: dict[str, bool] = {row.name: row.held for row in connection.execute(_COLUMN_PRIVILEGES, asked)}
            wanted = {
                name
                for name in held
                if (privilege == "INSERT" and writes and name not in _DATABASES_OWN)
                or (privilege == "SELECT" and not writes)
            }
            if any(not held[name] for name in wanted):
                found.append(f"{role} lacks {privilege} on {table.name}")
            if any(has and name not in wanted for name, has in held.items()):
                found.append(f"{role} must not have {privilege} on {table.name}")
        found += [
            f"{role} must not have {privilege} on {table.name}"
            for privilege in ("DELETE", "TRUNCATE", "TRIGGER", "REFERENCES")
            if connection.scalar(
                text("SELECT has_table_privilege(:role, :table, :privilege)"),
                {"role": role, "table": table.name, "privilege": privilege},
            )
        ]
    if writes and not connection.scalar(_MAY_ASK_NEWEST, {"role": role}):
        found.append(f"{role} lacks EXECUTE on audit_newest()")
    return found


_COLUMN_PRIVILEGES: Final = text(
    "SELECT attname AS name, has_column_privilege(:role, attrelid, attnum, :privilege) AS held FROM pg_attribute "
    "WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 AND NOT attisdropped"
)
_MAY_ASK_NEWEST: Final = text(
    "SELECT EXISTS (SELECT 1 FROM pg_proc WHERE proname = 'audit_newest' "
    "AND has_function_privilege(:role, oid, 'EXECUTE'))"
)
