"""Rows: the declarative base, ids, instants, classified columns, and engines that behave the same on both databases.

Every column says what it is: `public` (may stand in the log), `personal` (about somebody, readable in the database) or
*restricted*, which means sealed (`kernel/crypto.py`). A column about a participant also names its consent category.
"""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal
from uuid import UUID

from sqlalchemy import (
    JSON,
    ColumnElement,
    Date,
    DateTime,
    Dialect,
    Engine,
    Integer,
    MetaData,
    Select,
    Text,
    Uuid,
    bindparam,
    cast,
    create_engine,
    event,
    func,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.exc import NoReferencedTableError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import (
    DeclarativeBase,
    InstrumentedAttribute,
    Mapped,
    MappedColumn,
    Mapper,
    Session,
    declared_attr,
    mapped_column,
    relationship,
)
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

Classed = Literal["public", "personal", "restricted"]

#: Consent categories (C8, C9). A column about a participant belongs to exactly one.
CATEGORIES: Final = (
    "identity",
    "contact",
    "release",
    "supervision",
    "needs",
    "attendance",
    "session_content",
    "health",
    "substance_use",
    "victim_safety",
    "legal",
    "boundary",
    "family",
)

_uuid7_lock = threading.Lock()
_uuid7_last = (0, 0)
_COUNTER_MOST: Final = 0xFFF  # rand_a has 12 bits


def uuid7(at: datetime | None = None) -> UUID:
    """Return a new UUIDv7 (RFC 9562): milliseconds since 1970, a counter in `rand_a`, 62 random bits.

    Ids that one process makes without `at` rise, so that pages of new rows keep their order.
    """
    global _uuid7_last  # noqa: PLW0603  # one counter for the process is the point
    millis = int((at.timestamp() if at is not None else time.time()) * 1000)
    with _uuid7_lock:
        last, counter = _uuid7_last
        if at is None and millis <= last:  # within one millisecond, or the clock stepped back
            millis, counter = (last, counter + 1) if counter < _COUNTER_MOST else (last + 1, 0)
        else:
            counter = secrets.randbits(8)
        if at is None:
            _uuid7_last = (millis, counter)
    value = millis << 80 | 0x7 << 76 | counter << 64 | 0b10 << 62 | secrets.randbits(62)
    return UUID(int=value)


class Instant(TypeDecorator[datetime]):
    """A moment in UTC with microseconds. Naive values are refused; both databases give aware ones back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give back an aware value."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


@lru_cache(maxsize=20_000)
def _id_of(stored: str | None) -> UUID | None:
    return None if stored is None else UUID(stored)


class Id(Uuid[UUID]):
    """An id. Where the database keeps it as text, one text is one object: a page meets the same ids many times."""

    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[str | None], UUID | None] | None:
        """Find the id rather than make it anew."""
        made = super().result_processor(dialect, coltype)  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it so
        return None if made is None else _id_of


class Gathered(TypeDecorator[frozenset[Any]]):
    """Ids or codes of several rows, brought together in one value by `gathered()`."""

    impl = Text
    cache_ok = True

    def __init__(self, made: Callable[[str], Any]) -> None:
        """Keep what makes an id, or a code, of its text."""
        super().__init__()
        self.made = made

    def process_result_value(
        self,
        value: str | None,
        dialect: Dialect,  # noqa: ARG002  # SQLAlchemy's signature
    ) -> frozenset[Any]:
        """Return them; none gathered are none."""
        return frozenset(self.made(one) for one in (value or "").split())


def gathered(column: InstrumentedAttribute[Any], *conditions: ColumnElement[bool]) -> ColumnElement[frozenset[Any]]:
    """Return the ids or codes in a column of the rows that meet the conditions, as one value beside what is selected.

    Days can be gathered, too. Codes hold no space.
    """
    made = UUID if isinstance(column.type, Uuid) else date.fromisoformat if isinstance(column.type, Date) else str
    together = func.aggregate_strings(cast(column, Text), " ")
    return type_coerce(select(together).where(*conditions).scalar_subquery(), Gathered(made))


class unindexed(FunctionElement[Any]):  # noqa: N801  # it reads as the function that it is in SQL
    """A column as itself, but not to be looked up by its index: so that SQLite takes another, narrower one.

    Without statistics SQLite thinks every index as good as the next. PostgreSQL knows, and is told nothing.
    """

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any] | InstrumentedAttribute[Any]) -> None:
        """Keep the column's type, so that what it is compared with is bound as ever."""
        super().__init__(column)
        self.type = column.type


@compiles(unindexed)
def _plain(element: unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(unindexed, "sqlite")
def _hidden(element: unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return f"+{compiler.process(element.clauses, **options)}"  # a unary plus hides a column's indexes


_WRITTEN: Final = re.compile(r'[A-Za-z0-9_ %"|/-]*')


def written(value: str | int) -> ColumnElement[Any]:
    """Return a code or number of our own that stands in a statement itself: nothing to hand over at each asking.

    Raises:
        ValueError: it is no code. What somebody typed is always a parameter.
    """
    if isinstance(value, int):
        return literal_column(str(int(value)), Integer)
    if not _WRITTEN.fullmatch(value):
        raise ValueError(value)
    return literal_column(f"'{value}'", Text)


class MadeOfColumns:
    """Something written in a class body that stands for several mapped columns (a sealed value, a blind index)."""

    def columns(self, name: str) -> dict[str, MappedColumn[Any]]:
        """Return the columns to map, by attribute name."""
        raise NotImplementedError


class Base(DeclarativeBase):
    """Base of every table of the service (the log has its own)."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: Instant(), UUID: Id()}

    #: False for bookkeeping about no record (jobs, `Seen`, key counters); each one stands in a house test with its
    #: reason.
    __audited__: ClassVar[bool] = True
    #: The attribute that holds the participant's id, when the row is about one ("id" on the participant's own row).
    __participant__: ClassVar[str | None] = None
    #: The attribute that holds the organization that recorded the row (C3): its members read it without consent.
    __recorder__: ClassVar[str | None] = None
    #: Fields recorded by another organization than `__recorder__` names: field -> attribute with that organization's
    #: id.
    __recorders__: ClassVar[Mapping[str, str]] = {}
    #: The attribute that carries the category of sealed columns declared without one (messages, needs, notes).
    __row_category__: ClassVar[str | None] = None
    #: Properties a look may show, with their category (None: codes and instants that belong to nobody's category).
    __shows__: ClassVar[Mapping[str, str | None]] = {}
    #: Purpose of the house key that seals the row when it is about no participant.
    __house_key__: ClassVar[str | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let a class body write one line for what needs several columns."""
        for name, made in list(vars(cls).items()):
            if isinstance(made, MadeOfColumns):
                for attribute, column in made.columns(name).items():
                    setattr(cls, attribute, column)
        super().__init_subclass__(**kwargs)

    def __repr__(self) -> str:
        """Show class and id, never content: a row may stand in a traceback or a log line."""
        return f"<{type(self).__name__} {getattr(self, 'id', '?')}>"

    def __getstate__(self) -> object:
        """Refuse pickling: content would leave by a side door."""
        raise TypeError(f"{type(self).__name__} does not pickle")


class Identified(Base):
    """An audited row: an unguessable id made at construction, and a revision that every flush moves."""

    __abstract__ = True

    id: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-20, info={"class": "public"})
    revision: Mapped[int] = mapped_column(sort_order=-19, info={"class": "public"})

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        """Let SQLAlchemy count revisions: 1, 2, 3 … (the event that changed the row carries the number)."""
        return {"version_id_col": cls.__dict__.get("revision") or cls.revision}

    def __init__(self, **values: Any) -> None:
        """Make the id before anything else: sealing binds to it."""
        values.setdefault("id", uuid7())
        super().__init__(**values)


class Subject(Identified):
    """The row of a participant. The log names them by `log_ref` alone, a random UUIDv4 used nowhere else."""

    __abstract__ = True

    log_ref: Mapped[UUID | None] = mapped_column(
        unique=True, sort_order=-18, info={"class": "personal", "category": "identity"}
    )


@event.listens_for(Mapper, "after_configured")
def _insert_parents_first() -> None:
    """Let a flush follow the foreign keys. SQLAlchemy asks relationships alone, and ours are for reading only.

    Without them it goes by this key, the class's name: a grant would be inserted before the user it belongs to.
    """
    with suppress(NoReferencedTableError):  # a room imported without those below it: it cannot be written either
        for number, table in enumerate(Base.metadata.sorted_tables):
            for mapper in Base.registry.mappers:
                if mapper.local_table is table:
                    mapper._sort_key = f"{number:05d}"  # noqa: SLF001  # there is no public way


def public(*args: Any, **kwargs: Any) -> MappedColumn[Any]:
    """Declare a column that may stand in the log: an instant, a code, an id, a count."""
    return mapped_column(*args, info={"class": "public"}, **kwargs)


def personal(*args: Any, category: str | None = None, **kwargs: Any) -> MappedColumn[Any]:
    """Declare a column about somebody that is not sealed; about a participant it needs a `category`."""
    if category is not None and category not in CATEGORIES:
        raise ValueError(category)
    return mapped_column(*args, info={"class": "personal", "category": category}, **kwargs)


def edits() -> MappedColumn[Any]:
    """Declare what an editor is told of others' edits: field -> the version in which it was set last, by whom, when.

    A row that people edit by `version` has it. It follows from the acts on record, so it is not on record itself.
    """
    return mapped_column(JSON(none_as_null=True), info={"class": "public", "follows": "version"})


def related(*args: Any, **kwargs: Any) -> Any:
    """Declare a relationship for reading only: never written through, never loaded by accident after a look."""
    return relationship(*args, viewonly=True, lazy="raise", **kwargs)


def names_by_id(
    session: Session, model: type[Identified], ids: Iterable[UUID | None], *, named_by: str = "name"
) -> dict[UUID, str]:
    """Return what rows with these ids are called, in one statement."""
    wanted = {one for one in ids if one is not None}
    if not wanted:
        return {}
    return dict(session.execute(_naming(model, named_by), {"wanted": wanted}).all())


@cache
def _naming(model: type[Identified], named_by: str) -> Select[UUID, str]:
    return select(model.id, getattr(model, named_by)).where(model.id.in_(bindparam("wanted", expanding=True)))


#: Statements kept ready, compiled and prepared: lists of ids of each length are statements of their own.
_STATEMENTS: Final = 2000


def make_engine(url: str, **options: Any) -> Engine:
    """Return an engine with the settings the house relies on; `options` go to SQLAlchemy's `create_engine`.

    SQLite: WAL, `synchronous=FULL`, foreign keys, secure delete, and explicit BEGIN (the connection option
    `sqlite_begin="IMMEDIATE"` for what writes: a deferred one fails at once among busy writers; `waits_for_disk=False`
    for looks that may be lost with the machine). PostgreSQL: UTC and time limits.
    """
    options = {"query_cache_size": _STATEMENTS} | options
    if url.startswith("sqlite"):
        own = {"cached_statements": _STATEMENTS, "factory": _InTurn}
        options["connect_args"] = own | options.get("connect_args", {})
        engine = create_engine(url, hide_parameters=True, **options)
        event.listen(engine, "connect", partial(_prepare_sqlite, threading.Lock()))
        event.listen(engine, "begin", _begin_sqlite)
    else:
        pooled = {} if "poolclass" in options else {"pool_pre_ping": True, "max_overflow": 0}
        engine = create_engine(url.replace("postgres://", "postgresql://", 1), hide_parameters=True, **pooled | options)
        event.listen(engine, "connect", _prepare_postgresql)
    return engine


class _InTurn(sqlite3.Connection):
    """A connection that waits for its turn among this process's writers, and leaves it with the transaction.

    SQLite lets those who wait for its one writer's lock sleep and try again, each time for longer: under load whoever
    slept longest lost again, and waited a second. So of each process only one stands before that lock, and tries often.
    """

    turn: threading.Lock
    _has_turn = False

    def __init__(self, database: str, *args: Any, **kwargs: Any) -> None:
        """Open a database; one that is not there yet is made for its owner alone, whatever the umask allows."""
        if database and database != ":memory:" and not kwargs.get("uri"):
            # SQLite gives -wal and -shm the mode of the database. One that stands keeps the mode its operator chose.
            with suppress(OSError):  # what keeps it from being made, SQLite says itself
                os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        super().__init__(database, *args, **kwargs)

    def begins_within(self, seconds: float) -> bool:
        """Begin to write, within this time if nobody else writes for longer; return whether it came to that."""
        until = time.monotonic() + seconds
        self._has_turn = self._has_turn or self.turn.acquire(timeout=seconds)
        while True:
            try:
                self.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as refused:
                is_busy = refused.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # the rest says what it waits for
                if not is_busy or time.monotonic() >= until:
                    return False
            else:
                return True
            time.sleep(_BETWEEN_TRIES)

    def leave_turn(self) -> None:
        """Let the next one write, if it was this one's turn."""
        if self._has_turn:
            self._has_turn = False
            self.turn.release()

    def commit(self) -> None:
        """Commit, and leave."""
        try:
            super().commit()
        finally:
            self.leave_turn()

    def rollback(self) -> None:
        """Roll back, and leave."""
        try:
            super().rollback()
        finally:
            self.leave_turn()

    def close(self) -> None:
        """Close, and leave."""
        try:
            super().close()
        finally:
            self.leave_turn()


#: Seconds.
_PATIENCE: Final = 5.0
_BETWEEN_TRIES: Final = 0.002


def _prepare_sqlite(turn: threading.Lock, connection: _InTurn, _entry: ConnectionPoolEntry) -> None:
    connection.turn = turn
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={_PATIENCE * 1000:.0f}",
        "secure_delete=ON",
        "trusted_schema=OFF",
        "cache_size=-8000",  # KiB: the pages that every request reads stay in it
        "wal_autocheckpoint=4000",  # pages: one that is written often is copied back once
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    asked = connection.get_execution_options()
    # Every transaction waits for the disk unless it says otherwise; SQLite takes the setting between transactions only.
    wanted = "FULL" if asked.get("waits_for_disk", True) else "NORMAL"
    if connection.info.get("synchronous", "FULL") != wanted:
        connection.exec_driver_sql(f"PRAGMA synchronous={wanted}")
        connection.info["synchronous"] = wanted
    if asked.get("sqlite_begin") != "IMMEDIATE":
        connection.exec_driver_sql("BEGIN")
        return
    writer: Any = connection.connection.driver_connection
    writer.execute("PRAGMA busy_timeout=0")
    try:
        if not writer.begins_within(_PATIENCE):
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # refuses, as SQLAlchemy tells it
    except BaseException:
        writer.leave_turn()
        raise
    finally:
        writer.execute(f"PRAGMA busy_timeout={_PATIENCE * 1000:.0f}")


def _prepare_postgresql(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("SET TIME ZONE 'UTC'")
    cursor.execute("SET statement_timeout = '15s'")
    cursor.execute("SET lock_timeout = '5s'")
    cursor.execute("SET idle_in_transaction_session_timeout = '30s'")
    cursor.close()
    connection.commit()


def after_fork(engine: Engine) -> None:
    """Drop pooled connections that a parent process opened: one connection is never used across a fork."""
    engine.dispose(close=False)
