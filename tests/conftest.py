"""What every test stands on: real migrations, real keys, a real database of its own for each test.

SQLite: a migrated file is made once a process and copied for each test. PostgreSQL: a server of our own on a Unix
socket, a migrated template database, one `CREATE DATABASE … TEMPLATE` for each test. Nothing is mocked; acts commit.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command as alembic
from alembic.config import Config
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.pool import NullPool

from referrals import app as factory
from referrals.kernel.keys import KeyRing
from referrals.kernel.orm import make_engine
from referrals.kernel.providers import FileProvider
from referrals.kernel.record import commit, start_writing
from referrals.kernel.session import HouseSession
from tests.factories.postgres import a_server

ROOT = Path(__file__).resolve().parents[1]


def migrate(engine: Engine, revision: str = "head") -> None:
    """Run the migrations up to a revision."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        alembic.upgrade(config, revision)


def open_session(engine: Engine, ring: KeyRing) -> HouseSession:
    """Open a session as the service does: with its ring and its gates."""
    return HouseSession(engine, info={"ring": ring, "gates": factory.gates()})


def give_house_keys(engine: Engine, ring: KeyRing) -> None:
    """Make the house keys of a new database."""
    with open_session(engine, ring) as session:
        start_writing(session)
        ring.birth_house(session)
        session.flush()
        commit(session)


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> FileProvider:
    """The key file of this test run."""
    return FileProvider.create(tmp_path_factory.mktemp("keys", numbered=True) / "keys.json")


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A folder for databases: in memory where the machine has one, because every act commits."""
    memory = Path("/dev/shm")  # noqa: S108  # not a predictable name: mkdtemp makes it
    place = Path(tempfile.mkdtemp(prefix="tg-test-", dir=memory if os.access(memory, os.W_OK) else None))
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def sqlite_template(scratch: Path, provider: FileProvider) -> Path:
    """A migrated SQLite file with its house keys."""
    path = scratch / "template.db"
    engine = make_engine(f"sqlite:///{path}", poolclass=NullPool)
    migrate(engine)
    give_house_keys(engine, KeyRing(provider))
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
    engine.dispose()
    return path


_numbers = itertools.count(1)


@pytest.fixture
def sqlite_url(scratch: Path, sqlite_template: Path) -> Iterator[str]:
    """A database file of this test's own."""
    path = scratch / f"test-{os.getpid()}-{next(_numbers)}.db"
    shutil.copy(sqlite_template, path)
    yield f"sqlite:///{path}"
    for leftover in scratch.glob(f"{path.name}*"):
        leftover.unlink()


@pytest.fixture
def sqlite_engine(sqlite_url: str) -> Iterator[Engine]:
    """An engine on this test's SQLite file."""
    engine = make_engine(sqlite_url, poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[URL]:
    """A throwaway PostgreSQL server; the URL is its superuser's, to the database `postgres`."""
    with a_server() as url:
        yield url


def _say(url: URL) -> str:
    return url.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def postgres_template(postgres_url: URL, provider: FileProvider) -> str:
    """A migrated PostgreSQL database with its house keys, for tests to copy."""
    server = create_engine(postgres_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text("CREATE DATABASE house_template"))
    engine = make_engine(_say(postgres_url.set(database="house_template")), poolclass=NullPool)
    migrate(engine)
    give_house_keys(engine, KeyRing(provider))
    engine.dispose()
    return "house_template"


@pytest.fixture
def postgres_engine(postgres_url: URL, postgres_template: str) -> Iterator[Engine]:
    """An engine on a PostgreSQL database of this test's own."""
    name = f"house_{os.getpid()}_{next(_numbers)}"
    server = create_engine(postgres_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {postgres_template}"))
    engine = make_engine(_say(postgres_url.set(database=name)), poolclass=NullPool)
    yield engine
    engine.dispose()
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest) -> Engine:
    """The test runs once on each database."""
    made: Engine = request.getfixturevalue(f"{request.param}_engine")
    return made


@pytest.fixture
def ring(provider: FileProvider) -> KeyRing:
    """The keys, as one process holds them."""
    return KeyRing(provider)


@pytest.fixture
def session(sqlite_engine: Engine, ring: KeyRing) -> Iterator[HouseSession]:
    """A session on this test's SQLite database."""
    with open_session(sqlite_engine, ring) as opened:
        yield opened


@pytest.fixture
def open_on(ring: KeyRing) -> Callable[[Engine], HouseSession]:
    """Open further sessions on an engine, for what several people do at once (close them)."""
    return lambda on: open_session(on, ring)


@pytest.fixture
def any_session(engine: Engine, ring: KeyRing) -> Iterator[HouseSession]:
    """A session on each of the two databases in turn."""
    with open_session(engine, ring) as opened:
        yield opened


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say which missing service cost how many tests."""
    counted: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if "not found" in reason:
            counted[reason] = counted.get(reason, 0) + 1
    for reason, count in sorted(counted.items()):
        name, _, remedy = reason.partition(". ")
        terminalreporter.write_line(f"{name}: {count} tests skipped. {remedy}")
