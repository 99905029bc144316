"""People who speak to the real application in JSON alone.

Everything goes through the JSON door: signing in with both factors, the cookie, the CSRF header. Nothing here reaches
around a door, except to add an organization's first person as the operator does, to read the log, and to count rows.
"""

from __future__ import annotations

import base64
import hmac
import itertools
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, inspect, select, text
from werkzeug.test import TestResponse

from audit.models import AuditEvent
from referrals import app as factory
from referrals import demo
from referrals.kernel.actor import system
from referrals.kernel.command import execute
from referrals.kernel.keys import KeyRing
from referrals.kernel.providers import FileProvider
from referrals.kernel.session import HouseSession
from referrals.organization import commands as organizations
from referrals.organization.queries import installation
from referrals.settings import Settings
from referrals.staff import commands as staff

ORIGIN = "https://127.0.0.1"
API = "/api/v1"

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

    def agrees(self, token: str) -> Any:
        """Acknowledge the rules of behavior as they stand, the last step of coming in."""
        self.token = token
        wording = self.read("/sign-ins/current/rules")["wording"]
        return self.do("/sign-ins/current/rules", {"wording": wording, "agreed": True})

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
        if whole["next"] == "rules":  # a year has passed
            whole = one.agrees(whole["csrf_token"])
        assert whole["next"] == "full", whole
        one.token, one.me, one.organization = whole["csrf_token"], whole["user_id"], whole["organization_id"]
        return one

    def join(self, organization_id: str, name: str, full_name: str, *roles: str) -> Caller:
        """Let the operator add somebody, who then comes in through the JSON door."""
        return self.arrive(name, self.invite(organization_id, name, full_name, *roles))

    def invite(self, organization_id: str, name: str, full_name: str, *roles: str) -> str:
        """Let the operator add somebody, and return their one-time code."""
        with self.session() as session:
            words = {"sign_in_name": name, "display_name": full_name, "roles": list(roles)}
            made = execute(session, staff.add_user, actor=system("cli"), target=UUID(organization_id), data=words)
            one_time = made.shown_code
        assert one_time is not None
        return one_time

    def arrive(self, name: str, one_time: str) -> Caller:
        """Come in for the first time: one-time code, password, authenticator."""
        one = self.caller()
        first = one.do("/sign-ins", {"name": name, "password": one_time, "acknowledged": True})
        assert first["next"] == "new_password", first
        one.token = first["csrf_token"]
        second = one.do("/sign-ins/current/password", {"new_password": demo.PASSWORD})
        assert second["next"] == "enroll", second
        one.token = second["csrf_token"]
        key = one.read("/sign-ins/current/authenticator")["key"]
        whole = one.do("/sign-ins/current/authenticator", {"code": shown_by_an_app(key, self.clock())})
        assert whole["next"] == "rules", whole
        assert whole["recovery_codes"]
        whole = one.agrees(whole["csrf_token"])
        assert whole["next"] == "full", whole
        one.token, one.me, one.organization = whole["csrf_token"], whole["user_id"], whole["organization_id"]
        return one

    def partner(self, session: HouseSession, name: str) -> dict[str, Any]:
        """Let the operator add a community organization."""
        words = {"name": name, "side": "community", "time_zone": demo.ZONE, "city": "Oakland"}
        target = installation(session).id
        made = execute(session, organizations.add_organization, actor=system("cli"), target=target, data=words)
        return {"id": str(made.id), "name": made.name, "time_zone": made.time_zone}

    def join_new_partner(self, organization: str, full_name: str, role: str) -> Caller:
        """Let the operator add a community organization, and somebody of it."""
        with self.session() as session:
            made = self.partner(session, organization)
        return self.join(made["id"], full_name.lower().replace(" ", "."), full_name, role)

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
