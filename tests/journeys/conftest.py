"""The demonstration behind the real application, and people who speak to it in JSON alone.

The demonstration is made once by the commands people use, and copied for each test. Everything a test then does goes
through the JSON door: signing in with both factors, the cookie, the CSRF header. Nothing here reaches around a door,
except to read the log and to count rows, which no act may do for us.
"""

from __future__ import annotations

import base64
import hmac
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import URL, Engine, create_engine, inspect, select, text
from sqlalchemy.pool import NullPool
from werkzeug.test import TestResponse

from audit.models import AuditEvent
from referrals import app as factory
from referrals import demo
from referrals.account import commands as accounts
from referrals.kernel.actor import system
from referrals.kernel.command import execute
from referrals.kernel.keys import KeyRing
from referrals.kernel.orm import make_engine
from referrals.kernel.providers import FileProvider
from referrals.kernel.session import HouseSession
from referrals.organization import commands as organizations
from referrals.organization.queries import installation
from referrals.settings import Settings

ORIGIN = "https://127.0.0.1"
API = "/api/v1"
PROBLEM = "application/problem+json"

_numbers = itertools.count(1)
_addresses = itertools.count(1)


class Clock:
    """The service's time: real, and moved by what a test adds."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def shown_by_an_app(key: str, at: datetime) -> str:
    """What an authenticator app shows for this key (RFC 6238, six digits, 30 seconds)."""
    seed = base64.b32decode(key.replace(" ", ""))
    mac = hmac.digest(seed, (int(at.timestamp()) // 30).to_bytes(8, "big"), "sha1")
    start = mac[-1] & 15
    number = int.from_bytes(mac[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


def opened(engine: Engine, provider: FileProvider, clock: Clock | None = None) -> HouseSession:
    """A session as an operator's command has it."""
    info: dict[str, Any] = {"ring": KeyRing(provider), "gates": factory.gates()}
    return HouseSession(engine, info=info | ({"clock": clock} if clock is not None else {}))


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


def settings_for(url: str, provider: FileProvider) -> Settings:
    """How a test's installation is set up."""
    return Settings(
        env="development",
        database_url=url,
        keys=str(provider.path),
        public_url=ORIGIN,
        trusted_proxies=0,
        rate_url="memory://",
        smtp_url=None,
        secret_key=None,
        fast_passwords=True,
        demo_folder=None,
    )


@pytest.fixture
def app(demo_url: str, provider: FileProvider, clock: Clock) -> Flask:
    """The whole application on this test's database."""
    made = factory.create_app(settings_for(demo_url, provider), clock=clock, engine_options={"poolclass": NullPool})
    made.testing = False  # a fault answers as it does in service, so that a test sees the 500
    return made


@dataclass(slots=True)
class Caller:
    """Somebody's program: it holds the cookie and the CSRF token, and knows nothing but JSON."""

    http: FlaskClient
    address: str
    token: str = ""
    me: str = ""
    organization: str = ""

    def ask(self, method: str, path: str, **options: Any) -> TestResponse:
        """Send one request."""
        headers = {"X-CSRFToken": self.token, "Accept": "application/json"} | options.pop("headers", {})
        answer = self.http.open(
            path if path.startswith("/api") else API + path,
            method=method,
            base_url=ORIGIN,
            headers=headers,
            environ_base={"REMOTE_ADDR": self.address},
            **options,
        )
        assert answer.status_code < 500, f"{method} {path}: {answer.status_code} {answer.get_data(as_text=True)}"
        return answer

    def get(self, path: str) -> TestResponse:
        """Read."""
        return self.ask("GET", path)

    def read(self, path: str) -> Any:
        """Read what must be there."""
        answer = self.get(path)
        assert answer.status_code == 200, f"{path}: {answer.get_data(as_text=True)}"
        return answer.get_json()

    def post(self, path: str, body: Any = None, **headers: str) -> TestResponse:
        """Ask for an act. Words for headers are given with underscores (`If_Match`)."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, json={} if body is None else body, headers=named)

    def do(self, path: str, body: Any = None, **headers: str) -> Any:
        """Act, and it must be done."""
        answer = self.post(path, body, **headers)
        assert answer.status_code in {200, 201}, f"{path}: {answer.get_data(as_text=True)}"
        return answer.get_json()

    def every(self, path: str) -> list[dict[str, Any]]:
        """Read a list to its end, page by page."""
        rows: list[dict[str, Any]] = []
        following = None
        while True:
            joint = "&" if "?" in path else "?"
            page = self.read(path if following is None else f"{path}{joint}after={following}")
            rows += page["items"]
            following = page["next"]
            if following is None:
                return rows


@dataclass(slots=True)
class Front:
    """The application, and who may call it."""

    app: Flask
    engine: Engine
    provider: FileProvider
    clock: Clock

    def caller(self) -> Caller:
        """Somebody who has not signed in; from an address of their own, so that nobody shares a rate limit."""
        number = next(_addresses)
        return Caller(self.app.test_client(), f"127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")

    def code(self, name: str) -> str:
        """The code that somebody's authenticator shows now."""
        with opened(self.engine, self.provider, self.clock) as session:
            return demo.code(session, name)

    def sign_in(self, name: str, password: str = demo.PASSWORD) -> Caller:
        """Sign in with both factors, through the JSON door."""
        one = self.caller()
        first = one.do("/sign-ins", {"name": name, "password": password, "acknowledged": True})
        assert first["next"] == "second_factor", first
        one.token = first["csrf_token"]
        whole = one.do("/sign-ins/current/second-step", {"code": self.code(name)})
        assert whole["next"] == "full", whole
        one.token, one.me, one.organization = whole["csrf_token"], whole["user_id"], whole["organization_id"]
        return one

    def join(self, organization_id: UUID, name: str, full_name: str, *roles: str) -> Caller:
        """Let the operator add somebody; they then come in as every newcomer does, through the JSON door."""
        with self.session() as session:
            words = {"sign_in_name": name, "display_name": full_name, "roles": list(roles)}
            made = execute(session, accounts.add_user, actor=system("cli"), target=organization_id, data=words)
            one_time = made.shown_code
        one = self.caller()
        first = one.do("/sign-ins", {"name": name, "password": one_time, "acknowledged": True})
        assert first["next"] == "new_password", first
        one.token = first["csrf_token"]
        second = one.do("/sign-ins/current/password", {"new_password": demo.PASSWORD})
        assert second["next"] == "enroll", second
        one.token = second["csrf_token"]
        key = one.read("/sign-ins/current/authenticator")["key"]
        whole = one.do("/sign-ins/current/authenticator", {"code": shown_by_an_app(key, self.clock())})
        assert whole["next"] == "full", whole
        assert whole["recovery_codes"]
        one.token, one.me, one.organization = whole["csrf_token"], whole["user_id"], whole["organization_id"]
        return one

    def join_new_partner(self, organization: str, full_name: str, role: str) -> Caller:
        """Let the operator add a community organization, and somebody of it."""
        with self.session() as session:
            words = {"name": organization, "side": "community", "time_zone": demo.ZONE, "city": "Oakland"}
            target = installation(session).id
            made = execute(session, organizations.add_organization, actor=system("cli"), target=target, data=words)
            organization_id = made.id
        return self.join(organization_id, full_name.lower().replace(" ", "."), full_name, role)

    def twin(self, caller: Caller) -> Caller:
        """The same sign-in in another client: a second tab, or a second thread."""
        cookie = caller.http.get_cookie("__Host-sid", domain="127.0.0.1")
        assert cookie is not None
        client = self.app.test_client()
        client.set_cookie("__Host-sid", cookie.value, domain="127.0.0.1", secure=True)
        return Caller(client, caller.address, caller.token, caller.me, caller.organization)

    def session(self) -> HouseSession:
        """A session for an operator's commands (close it)."""
        return opened(self.engine, self.provider, self.clock)

    def counts(self) -> dict[str, int]:
        """How many rows each table holds."""
        with self.engine.connect() as connection:
            tables = inspect(connection).get_table_names()
            return {name: connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar_one() for name in tables}  # noqa: S608

    def last_event(self) -> int:
        """The number of the newest event."""
        with self.engine.connect() as connection:
            return connection.execute(text("SELECT coalesce(max(id), 0) FROM audit_event")).scalar_one()

    def events(self, since: int = 0) -> list[dict[str, Any]]:
        """The log's own records after a number, oldest first."""
        with self.engine.connect() as connection:
            bodies = connection.execute(
                select(AuditEvent.body).where(AuditEvent.id > since).order_by(AuditEvent.id)
            ).scalars()
            return [json.loads(body) for body in bodies]


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
