"""The tables of the log: insert-only, with a metadata of their own.

`body` holds the canonical bytes and is the record. Every other column of `audit_event`, and the whole of
`audit_subject`, is a copy for searching, which can be derived again from the body. Where an index of the log's
questions ends in "the event's id", that is `event_id`: a UUIDv7, so an index range is a range of time and a page of
results starts where the last one ended.

The migration adds what a mapped class cannot say: triggers, grants and, on PostgreSQL, what `DATABASE_ONLY` names.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    Dialect,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeEngine, UserDefinedType
from typing_extensions import override

from audit.event import instant

DATABASE_ONLY: Final = frozenset({"xid", "ix_audit_event_xid_id"})
"""Column and index that exist on PostgreSQL alone, for the sequencer: compare models with the database without them."""


class Instant(TypeDecorator[datetime]):
    """A time in UTC with microseconds, aware on both databases: `timestamptz`, or on SQLite the text of the body."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @override
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime] | TypeEngine[str]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(DateTime(timezone=True))
        return dialect.type_descriptor(String(27))

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | str | None:
        if value is None or dialect.name == "postgresql":
            return value
        return instant(value)

    @override
    def process_result_value(self, value: datetime | str | None, dialect: Dialect) -> datetime | None:
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        return None if value is None else value.astimezone(UTC)


class XactId(UserDefinedType[int]):
    """PostgreSQL's `xid8`: the top-level transaction that wrote a row."""

    cache_ok = True

    @override
    def get_col_spec(self, **kw: Any) -> str:
        return "xid8"


# Without it every look at the tables warns of an unknown type.
ischema_names["xid8"] = XactId


class Base(DeclarativeBase):
    """The log's own base: `referrals` maps nothing on it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def _where(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    return Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


class AuditEvent(Base):
    """One event: the bytes that are hashed and served, their leaf hash, and copies for searching."""

    __tablename__ = "audit_event"
    __table_args__ = (
        CheckConstraint("id > 0", name="id"),
        CheckConstraint("length(body) <= 65535", name="body"),
        CheckConstraint("length(leaf_hash) = 32", name="leaf_hash"),
        # Unique where the revision is set, since NULLs differ. Rows without one are in it to find looks at an object.
        _where(
            "uq_audit_event_object",
            "object_type",
            "object_id",
            "object_rev",
            where="object_id IS NOT NULL",
            unique=True,
        ),
        _where("ix_audit_event_actor_id", "actor_id", "event_id", where="actor_id IS NOT NULL"),
        _where("ix_audit_event_actor_org", "actor_org", "event_id", where="actor_org IS NOT NULL"),
        Index("ix_audit_event_action", "action", "event_id"),
        _where("ix_audit_event_request", "request", where="request IS NOT NULL"),
        _where("ix_audit_event_prior", "prior", where="prior IS NOT NULL"),
        _where("ix_audit_event_to_org", "to_org", "basis_id", "event_id", where="to_org IS NOT NULL"),
        _where("ix_audit_event_not_done", "event_id", where="outcome <> 'done'"),
        _where("ix_audit_event_emergency", "event_id", where="basis_kind = 'emergency'"),
        _where("ix_audit_event_off_hours", "actor_org", "event_id", where="off_hours"),
        _where("ix_audit_event_bulk", "event_id", where="count >= 25"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), Identity(always=True), primary_key=True
    )
    event_id: Mapped[uuid.UUID] = mapped_column(Uuid, unique=True)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    leaf_hash: Mapped[bytes] = mapped_column(LargeBinary)
    at: Mapped[datetime] = mapped_column(Instant)
    action: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(Text)
    actor_id: Mapped[str | None] = mapped_column(Text)
    actor_org: Mapped[str | None] = mapped_column(Text)
    to_org: Mapped[str | None] = mapped_column(Text)
    purpose: Mapped[str | None] = mapped_column(Text)
    basis_kind: Mapped[str | None] = mapped_column(Text)
    basis_id: Mapped[str | None] = mapped_column(Text)
    object_type: Mapped[str | None] = mapped_column(Text)
    object_id: Mapped[str | None] = mapped_column(Text)
    object_rev: Mapped[int | None] = mapped_column(BigInteger)
    count: Mapped[int | None] = mapped_column(BigInteger)
    off_hours: Mapped[bool | None] = mapped_column(Boolean)
    request: Mapped[str | None] = mapped_column(Text)
    prior: Mapped[uuid.UUID | None] = mapped_column(Uuid)


class AuditSubject(Base):
    """One row for each participant that an event names, `type` being what they were named under first."""

    __tablename__ = "audit_subject"
    __table_args__ = ({"sqlite_with_rowid": False},)

    subject: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    event_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    type: Mapped[str] = mapped_column(Text)
