"""Databases that hold the log alone, made by its own migration: SQLite always, PostgreSQL where it is installed."""

from __future__ import annotations

import importlib.util
import itertools
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.pool import NullPool

from audit.event import ActorRef, BasisRef, Event, On, Source, new_event_id
from tests.factories.postgres import a_server

MIGRATION = Path(__file__).parents[2] / "migrations" / "versions" / "0001_audit.py"
ROLES = ("throughgate_web", "throughgate_worker", "throughgate_oversight", "throughgate_sequencer")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[URL]:
    """A server apart from the other tests': these make roles, and roles belong to a whole server."""
    with a_server() as url:
        yield url


def load_migration() -> ModuleType:
    """The log's migration, by its path, as Alembic loads it."""
    spec = importlib.util.spec_from_file_location("migration_0001_audit", MIGRATION)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def migrate(connection: Connection, step: str = "upgrade") -> None:
    """Run one step of the log's migration on this connection."""
    with Operations.context(MigrationContext.configure(connection)):
        getattr(load_migration(), step)()


def sqlite_engine_at(path: Path) -> Engine:
    """An engine with the settings of the service, as far as the log depends on them."""
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[Engine]:
    engine = sqlite_engine_at(tmp_path / "log.sqlite3")
    with engine.begin() as connection:
        migrate(connection)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def postgres_template(postgres_url: URL) -> str:
    """The name of a migrated database that each test copies, made with the roles of the service present."""
    server = create_engine(postgres_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        for role in ROLES:
            connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        connection.execute(text("CREATE ROLE throughgate_owner LOGIN"))
        connection.execute(text("CREATE DATABASE log_template OWNER throughgate_owner"))
    owner = create_engine(postgres_url.set(username="throughgate_owner", database="log_template"), poolclass=NullPool)
    with owner.begin() as connection:
        migrate(connection)
    return "log_template"


@pytest.fixture
def postgres_engine(postgres_url: URL, postgres_template: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine of the superuser on a fresh copy: whatever it may not do, nobody may."""
    name = f"log_{abs(hash(request.node.nodeid)):x}"
    server = create_engine(postgres_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {postgres_template} OWNER throughgate_owner"))
    engine = create_engine(postgres_url.set(database=name), poolclass=NullPool)
    yield engine
    engine.dispose()
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Engine:
    """The test runs once on each database."""
    engine: Engine = request.getfixturevalue(f"{request.param}_engine")
    return engine


@pytest.fixture
def as_role(postgres_engine: Engine) -> Callable[[str], Engine]:
    """Engines that sign in to the test's PostgreSQL database as another role."""
    return lambda role: create_engine(postgres_engine.url.set(username=role), poolclass=NullPool)


@pytest.fixture
def step() -> Callable[[Connection, str], None]:
    """Run `upgrade` or `downgrade` of the log's migration on a connection."""
    return migrate


NOON = datetime(2026, 11, 2, 12, 0, 0, 123456, tzinfo=UTC)
SUBJECT = "5f0f3f6e-0b1f-4c39-9a57-3a1b7f1f2a01"
NAVIGATOR = ActorRef(
    kind="user",
    id="019a4430-7c00-7000-8000-00000000000a",
    org="019a4430-7c00-7000-8000-0000000000c0",
    role="navigator",
    session="019a4430-7c00-7000-8000-00000000005e",
)


@pytest.fixture
def an_event() -> Callable[..., Event]:
    """Make a look by a navigator at one referral at noon, each with its own id; keywords change what matters."""
    serial = itertools.count(1)

    def make(**changes: Any) -> Event:
        at = changes.pop("at", NOON)
        given: dict[str, Any] = {
            "id": new_event_id(at, next(serial).to_bytes(10, "big")),
            "at": at,
            "action": "referral.viewed",
            "actor": NAVIGATOR,
            "on": (On("referral", (("019a4430-7c00-7000-8000-00000000000f", SUBJECT),)),),
            "fields": ("referral.sent_at", "person.given_name"),
            "categories": ("identity",),
            "count": 1,
            "purpose": "referral",
            "basis": BasisRef("consent", "019a4430-7c00-7000-8000-0000000000c5", 3),
            "request": "019a4430-7c00-7000-8000-0000000000e0",
            "source": Source("page", "0123456789abcdef0123456789abcdef"),
        }
        return Event(**(given | changes))

    return make
