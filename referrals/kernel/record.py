"""What the log is told: composing the event of an act or a look, and appending it inside the caller's transaction.

The one module of the service that writes to `audit.log`. Bodies hold ids, codes, counts and names of fields, never
content (L8).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Select, bindparam, select
from sqlalchemy import inspect as inspected
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import InstanceState, Mapper, Session

from audit import log
from audit.event import ActorRef, BasisRef, Event, On, Sealed, Source, new_event_id, split
from referrals.kernel import crypto
from referrals.kernel.actor import Actor
from referrals.kernel.errors import UnavailableError
from referrals.kernel.orm import Identified, Subject

#: A clock this far behind the newest event stops writes.
CLOCK_TOLERANCE = timedelta(minutes=5)

#: Kind, id and revision of what an act or a look rests on.
BasisNote = tuple[str, UUID | None, int | None]


def clock(session: Session) -> datetime:
    """Return the time now, in UTC. Tests and the demo may set `session.info["clock"]`."""
    ticking = cast("Callable[[], datetime] | None", session.info.get("clock"))
    return ticking() if ticking is not None else datetime.now(UTC)


def day_of(at: datetime, zone: str | tzinfo) -> date:
    """Return which day it is at a place when it is this instant.

    A day is always somewhere's day: in UTC it is tomorrow already while California's evening lasts.
    """
    return at.astimezone(ZoneInfo(zone) if isinstance(zone, str) else zone).date()


def start_writing(session: Session) -> None:
    """Open a transaction that is going to write: what was read before is let go, and SQLite takes its lock at once."""
    session.rollback()
    session.connection(execution_options={"sqlite_begin": "IMMEDIATE"})


def turn_to_writing(session: Session, *, waits_for_disk: bool = True) -> None:
    """Write down, from here on, what was read before. Rows stay as they were read.

    SQLite has one writer and no way from a reading transaction into a writing one once somebody else has written: what
    was read is let go, and the lock taken only now. PostgreSQL goes on in the same transaction.

    What does not wait for the disk survives any death of the service; if the machine itself falls, the last instants
    may be missing (decision 0007).
    """
    if session.get_bind().dialect.name == "sqlite":
        commit(session)  # a rollback would expire what the answer still shows
        session.connection(execution_options={"sqlite_begin": "IMMEDIATE", "waits_for_disk": waits_for_disk})
    elif not waits_for_disk:
        session.connection().exec_driver_sql("SET LOCAL synchronous_commit = off")


def commit(session: Session) -> None:
    """Commit what an act, a look or a job recorded. Called by `execute()`, `look()` and the job claim alone."""
    session.info["committing"] = True
    try:
        session.commit()
    finally:
        session.info.pop("committing", None)


def subject_refs(session: Session, participants: Iterable[UUID]) -> dict[UUID, UUID | None]:
    """Return each participant's `log_ref` (None once expunged), in one query for those the session does not hold."""
    wanted = set(participants)
    found: dict[UUID, UUID | None] = {}
    if not wanted:
        return found
    for row in (*session.new, *session.identity_map.values()):
        if isinstance(row, Subject) and row.id in wanted and _is_loaded(row, "log_ref"):
            found[row.id] = row.log_ref
    for model in Subject.__subclasses__() if wanted - found.keys() else ():
        rows = session.execute(_refs_of(model), {"wanted": list(wanted - found.keys())})
        found |= dict(rows.all())
    return found


@cache
def _refs_of(model: type[Subject]) -> Select[UUID, UUID | None]:
    """Select what `subject_refs` reads: every act asks it."""
    return select(model.id, model.log_ref).where(model.id.in_(bindparam("wanted", expanding=True)))


def _is_loaded(row: Identified, attribute: str) -> bool:
    return attribute in cast("InstanceState[Any]", inspected(row)).dict


def about(row: Identified) -> UUID | None:
    """Return the id of the participant a row is about, if it is about one."""
    attribute = type(row).__participant__
    return cast("UUID | None", getattr(row, attribute)) if attribute else None


def row_names(row: Identified, refs: Mapping[UUID, UUID | None]) -> tuple[str, str | None]:
    """Return how the log names a row: its id, and its participant's `log_ref`.

    On a participant's own row the `log_ref` stands in for the id as well.
    """
    participant = about(row)
    ref = refs.get(participant) if participant is not None else None
    subject = str(ref) if ref is not None else None
    return (subject or str(row.id)) if isinstance(row, Subject) else str(row.id), subject


def categories_of(row: Identified, fields: Iterable[str]) -> list[str]:
    """Return the consent categories of these fields of a row, sorted."""
    found = set()
    mapper = cast("Mapper[Any]", inspected(type(row)))
    for name in fields:
        column = mapper.columns.get(name) if name in mapper.columns else mapper.columns.get(f"_{name}")
        if column is not None and column.info.get("category"):
            found.add(cast("str", column.info["category"]))
    return sorted(found)


def new_event(
    session: Session,
    actor: Actor,
    action: str,
    *,
    at: datetime,
    outcome: str = "done",
    code: str | None = None,
    on: Sequence[On] = (),
    fields: Iterable[str] = (),
    categories: Iterable[str] = (),
    count: int = 0,
    part: tuple[int, int] | None = None,
    purpose: str | None = None,
    basis: BasisNote | None = None,
    to: UUID | None = None,
    prior: UUID | None = None,
    details: Iterable[tuple[UUID | None, str | None, Mapping[str, Any]]] = (),
) -> Event:
    """Compose the event of an act or a look from an actor's point of view.

    `details` are (participant id, their `log_ref`, content), sealed here: bound to this very event.
    """
    event_id = new_event_id(at, os.urandom(10))
    named = actor.kind not in {"anonymous", "unknown"}
    return Event(
        id=event_id,
        at=at,
        action=action,
        actor=ActorRef(
            kind=actor.kind,
            id=str(actor.user_id or "throughgate") if named else None,
            org=_text(actor.organization_id) if named else None,
            role="_and_".join(sorted(actor.roles)) or None if named else None,
            session=_text(actor.sign_in_id or actor.token_id) if named else None,
            behalf=_text(actor.behalf) if named else None,
        ),
        outcome=outcome,
        code=code,
        on=tuple(on),
        fields=tuple(fields),
        categories=tuple(categories),
        count=count,
        part=part,
        purpose=purpose,
        basis=None if basis is None else BasisRef(basis[0], _text(basis[1]), basis[2]),
        to=_text(to),
        request=str(actor.source.request),
        prior=_text(prior),
        source=Source(actor.source.channel, actor.source.net),
        sealed=tuple(
            Sealed.of(subject, crypto.seal_detail(session, owner, dict(content), UUID(event_id)))
            for owner, subject, content in details
        ),
    )


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def encoded(events: Iterable[Event]) -> log.Encoded:
    """Return events ready to be appended: encoding them needs no lock."""
    return log.encoded(whole for one in events for whole in split(one))


def append_events(session: Session, *events: log.Encoded) -> None:
    """Append to the log inside this transaction. A log that cannot be written stops the act (L1)."""
    try:
        connection = session.connection()
        newest = log.newest_at(connection)
        if newest is not None and any(one.rows for one in events) and newest - clock(session) > CLOCK_TOLERANCE:
            raise UnavailableError(reason="clock")
        log.append_all(connection, *events)
    except DBAPIError as fault:
        raise UnavailableError(reason="log") from fault
