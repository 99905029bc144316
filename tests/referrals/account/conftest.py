"""Two organizations, a clock that a test can move, the log as it grew, and a browser at the real application."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any, cast
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool
from werkzeug.test import TestResponse

from referrals.account import queries
from referrals.app import create_app
from referrals.factor import commands as factors
from referrals.kernel.actor import Actor, Role, Source, system
from referrals.kernel.command import Command, execute
from referrals.kernel.providers import FileProvider
from referrals.kernel.session import HouseSession
from referrals.organization import commands
from referrals.organization.queries import installation
from referrals.settings import Settings, Site
from referrals.sign_in import models as sign_in_models
from referrals.sign_in import queries as sign_in_queries
from referrals.staff import commands as staff
from tests.factories import account as people

#: Where the passkeys of `app` belong, whose address is one of digits.
SITE = Site("localhost", ("https://localhost",))


class Moment:
    """The time now, as the session is told it: real, moved by what a test adds."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def pass_by(self, **span: float) -> None:
        """Let time pass."""
        self.ahead += timedelta(**span)


def add_organization(session: Session, name: str, side: str) -> UUID:
    """An organization, by the operator."""
    data = {"name": name, "side": side, "time_zone": "America/Los_Angeles", "city": "Oakland"}
    made = execute(session, commands.add_organization, actor=system("cli"), target=installation(session).id, data=data)
    return made.id


@pytest.fixture
def now() -> Moment:
    """The clock of `house`."""
    return Moment()


@pytest.fixture
def house(request: pytest.FixtureRequest, now: Moment) -> Iterator[HouseSession]:
    """A session with a clock that moves; on each database in turn when the test asks for `engine`, else on SQLite."""
    name = "any_session" if "engine" in request.fixturenames else "session"
    opened: HouseSession = request.getfixturevalue(name)
    opened.info["clock"] = now
    opened.info["site"] = SITE
    yield opened
    opened.rollback()


@pytest.fixture
def agency(house: Session) -> UUID:
    return add_organization(house, "Alder County Probation", "agency")


@pytest.fixture
def community(house: Session) -> UUID:
    return add_organization(house, "Northside Reentry Center", "community")


def events(session: Session) -> list[dict[str, Any]]:
    """The log, oldest first."""
    session.rollback()
    rows = session.connection().execute(text("SELECT body FROM audit_event ORDER BY id")).scalars().all()
    session.rollback()
    return [json.loads(bytes(row) if isinstance(row, bytes | memoryview) else row) for row in rows]


def since(session: Session, count: int) -> list[tuple[str, str, str | None]]:
    """What the log gained: action, outcome, code."""
    return [(one["action"], one["outcome"], one["code"]) for one in events(session)[count:]]


def refuse_sign_in(session: Session, name: str, password: str = "wrong wrong wrong") -> None:  # noqa: S107
    with pytest.raises(sign_in_models.SignInRefusedError):
        people.try_sign_in(session, name, password)


def opens(session: Session, token: str | None) -> bool:
    held = sign_in_queries.holder(session, token or "", Source("page"))
    session.rollback()
    return held is not None


def run(session: Session, what: Command[Any, Any], actor: Actor, target: UUID, **data: Any) -> Any:
    return execute(session, what, actor=actor, target=target, data=data)


def change_factor(house: Session, casey: people.Member, _ada: people.Member) -> None:
    pending = run(house, factors.start_factor, casey.actor(house), casey.user_id, code=casey.recovery_codes[0])
    code = pending.code_of(int(house.info["clock"]().timestamp()) // 30)
    run(house, factors.enroll_factor, casey.actor(house), pending.id, code=code)


def propose(house: Session, by: people.Member, user_id: UUID, role: str = "supervisor") -> UUID:
    made = run(house, staff.propose_role, by.actor(house), user_id, role=role)
    return cast("UUID", made.id)


def disabled_because(house: Session, user_id: UUID) -> str | None:
    house.rollback()
    house.expunge_all()
    return queries.user(house, user_id).disabled_because


NAME = "__Host-sid"


class Browser:
    """A client that keeps the one cookie, as a browser would on a secure address."""

    def __init__(self, app: Flask) -> None:
        self.client: FlaskClient = app.test_client(use_cookies=False)
        self.cookie = ""
        self.last: TestResponse | None = None

    def ask(self, method: str, path: str, **more: Any) -> TestResponse:
        headers = dict(more.pop("headers", {}))
        if self.cookie:
            headers["Cookie"] = f"{NAME}={self.cookie}"
        answer = self.client.open(path, method=method, base_url="https://127.0.0.1", headers=headers, **more)
        for line in answer.headers.getlist("Set-Cookie"):
            if line.startswith(f"{NAME}="):
                self.cookie = line.partition("=")[2].partition(";")[0]
        self.last = answer
        return answer

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.ask("GET", path, **more)

    def post(self, path: str, page: str = "", **words: Any) -> TestResponse:
        """Send a form, with the token of the page it stands on."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.get(page or path).text)
        assert token is not None, f"no form at {page or path}"
        return self.ask("POST", path, data={"csrf_token": unescape(token[1])} | words)

    def send(self, path: str, words: Any, token: str = "", **headers: str) -> TestResponse:
        """Send JSON."""
        return self.ask("POST", path, json=words, headers=headers | ({"X-CSRFToken": token} if token else {}))

    def sign_in(self, member: people.Member, code: Callable[[str], str]) -> None:
        words = {"acknowledged": "true", "name": member.sign_in_name, "password": member.password}
        answer = self.post("/sign-in", **words)
        assert (answer.status_code, answer.location) == (303, "/sign-in/second-step")
        answer = self.post("/sign-in/second-step", code=code(member.sign_in_name))
        assert (answer.status_code, answer.location) == (303, "/home")

    def held(self) -> dict[str, Any]:
        """What the cookie says to whoever decodes it without the key."""
        payload = self.cookie.rpartition(".")[0].rpartition(".")[0]
        packed = payload.startswith(".")
        payload = payload.lstrip(".")
        plain = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        found: dict[str, Any] = json.loads(zlib.decompress(plain) if packed else plain)
        return found


@pytest.fixture
def moment(now: Moment) -> Moment:
    """The clock of `app`: that of `house`, too."""
    return now


@pytest.fixture
def app(sqlite_url: str, provider: FileProvider, moment: Moment) -> Flask:
    settings = Settings(
        env="development",
        database_url=sqlite_url,
        keys=str(provider.path),
        public_url="https://127.0.0.1",
        trusted_proxies=0,
        rate_url="memory://",
        smtp_url=None,
        secret_key=None,
        fast_passwords=True,
        demo_folder=None,
    )
    made = create_app(settings, clock=moment, engine_options={"poolclass": NullPool})
    made.testing = True
    made.config["RATELIMIT_ENABLED"] = False
    return made


@pytest.fixture
def casey(house: HouseSession, agency: UUID) -> people.Member:
    return people.a_member(house, agency, Role.CASE_MANAGER, name="Casey Morgan")


@pytest.fixture
def ada(house: HouseSession, agency: UUID) -> people.Member:
    return people.a_member(house, agency, Role.ADMINISTRATOR, name="Ada Wells")


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(app)


@pytest.fixture
def code(house: HouseSession, moment: Moment) -> Callable[[str], str]:
    """The present code of an account; time passes, so that it is a new one."""

    def now(name: str) -> str:
        moment.pass_by(seconds=61)
        found = sign_in_queries.demo_code(house, name, moment())
        house.rollback()
        return found

    return now


def spoken(answer: Any) -> str:
    """The language that a page speaks."""
    found = re.search(r'<html lang="(\w+)">', answer.text)
    assert found is not None
    return found[1]


def sheet_codes(answer: TestResponse) -> list[str]:
    """The codes of a sheet that a page shows, in order."""
    return re.findall(r">([0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{2})</code>", answer.text)


def signed_in(browser: Browser, member: people.Member, code: Callable[[str], str]) -> Browser:
    browser.sign_in(member, code)
    return browser


def shown(answer: TestResponse) -> str:
    """The page's words."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())
