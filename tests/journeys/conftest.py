"""The demonstration behind the real application: made once by the commands people use, and copied for each test."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import URL, create_engine, text
from sqlalchemy.pool import NullPool

from referrals import app as factory
from referrals import demo
from referrals.account import commands as accounts
from referrals.kernel.orm import make_engine
from referrals.kernel.providers import FileProvider
from tests.journeys.front import Caller, Clock, Front, opened, settings_for

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def demo_template(scratch: Path, sqlite_template: Path, provider: FileProvider) -> Path:
    """A database with the demonstration in it."""
    accounts.use_fast_hashing()
    path = scratch / "demonstration.db"
    shutil.copy(sqlite_template, path)
    engine = make_engine(f"sqlite:///{path}", poolclass=NullPool)
    with opened(engine, provider) as session:
        assert demo.seed(session)
    engine.dispose()
    return path


@pytest.fixture
def demo_url(scratch: Path, demo_template: Path) -> Iterator[str]:
    """A copy of it for one test."""
    path = scratch / f"journey-{os.getpid()}-{next(_numbers)}.db"
    shutil.copy(demo_template, path)
    yield f"sqlite:///{path}"
    for leftover in scratch.glob(f"{path.name}*"):
        leftover.unlink()


@pytest.fixture
def clock() -> Clock:
    """The clock that the service reads."""
    return Clock()


@pytest.fixture
def app(demo_url: str, provider: FileProvider, clock: Clock) -> Flask:
    """The whole application on this test's database."""
    made = factory.create_app(settings_for(demo_url, provider), clock=clock, engine_options={"poolclass": NullPool})
    made.testing = False  # a fault answers as it does in service, so that a test sees the 500
    return made


@pytest.fixture
def front(app: Flask, demo_url: str, provider: FileProvider, clock: Clock) -> Iterator[Front]:
    """The application of this test."""
    engine = make_engine(demo_url, poolclass=NullPool)
    yield Front(app, engine, provider, clock)
    engine.dispose()


@pytest.fixture
def api(front: Front) -> Callable[[str], Caller]:
    """Sign somebody of the demonstration in, once for each test."""
    known: dict[str, Caller] = {}

    def signed_in(name: str) -> Caller:
        if name not in known:
            known[name] = front.sign_in(name)
        return known[name]

    return signed_in


@pytest.fixture(scope="session")
def demo_postgres(postgres_url: URL, postgres_template: str, provider: FileProvider) -> str:
    """A PostgreSQL database with the demonstration in it, for tests to copy."""
    accounts.use_fast_hashing()
    name = "house_demonstration"
    _on_server(postgres_url, f"CREATE DATABASE {name} TEMPLATE {postgres_template}")
    engine = make_engine(_said(postgres_url, name), poolclass=NullPool)
    with opened(engine, provider) as session:
        assert demo.seed(session)
    engine.dispose()
    return name


@pytest.fixture
def postgres_front(postgres_url: URL, demo_postgres: str, provider: FileProvider, clock: Clock) -> Iterator[Front]:
    """The application on a PostgreSQL database of this test's own."""
    name = f"journey_{os.getpid()}_{next(_numbers)}"
    _on_server(postgres_url, f"CREATE DATABASE {name} TEMPLATE {demo_postgres}")
    url = _said(postgres_url, name)
    engine = make_engine(url, poolclass=NullPool)
    made = factory.create_app(settings_for(url, provider), clock=clock, engine_options={"poolclass": NullPool})
    yield Front(made, engine, provider, clock)
    engine.dispose()
    _on_server(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


def _said(server: URL, name: str) -> str:
    return server.set(database=name).render_as_string(hide_password=False)


def _on_server(server: URL, statement: str) -> None:
    engine = create_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
