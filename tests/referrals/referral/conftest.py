"""The real application over the referral's small world, and browsers signed in to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.pool import NullPool
from werkzeug.test import TestResponse

from referrals import app as factory
from referrals.kernel.providers import FileProvider
from referrals.kernel.session import HouseSession
from referrals.settings import Settings
from referrals.sign_in.models import WORDING, RulesAcknowledgment, SecondFactor, SignIn, SignInUse
from tests.factories.referral import World, a_world, planting

ORIGIN = "https://localhost"


@pytest.fixture
def smtp_url() -> str | None:
    """Where the application hands over mail: nowhere, unless a test says so."""
    return None


@pytest.fixture
def app(sqlite_url: str, provider: FileProvider, smtp_url: str | None) -> Flask:
    """The whole application on this test's database."""
    settings = Settings(
        env="development",
        database_url=sqlite_url,
        keys=str(provider.path),
        public_url=ORIGIN,
        trusted_proxies=0,
        rate_url="memory://",
        smtp_url=smtp_url,
        secret_key=None,
        fast_passwords=True,
        demo_folder=None,
    )
    made = factory.create_app(settings, engine_options={"poolclass": NullPool})
    made.testing = False  # a fault answers as it does in service
    return made


@dataclass
class Browser:
    """Somebody's browser, signed in."""

    client: FlaskClient
    token: str = ""

    def get(self, path: str) -> TestResponse:
        """Open a page or read a resource."""
        answer = self.client.get(path, base_url=ORIGIN)
        found = re.search(r'name="csrf_token" value="([^"]+)"', answer.get_data(as_text=True))
        if found is not None:
            self.token = found[1]
        return answer

    def page(self, path: str) -> str:
        """Open a page that must be there."""
        answer = self.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.get_data(as_text=True)

    def post(self, path: str, form: dict[str, Any] | None = None) -> TestResponse:
        """Send a form."""
        if not self.token:
            self.get("/referrals")
        return self.client.post(path, data={"csrf_token": self.token} | (form or {}), base_url=ORIGIN)

    def call(self, path: str, body: Any = None, **headers: str) -> TestResponse:
        """Call the API."""
        if not self.token:
            self.get("/referrals")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(
            f"/api/v1{path}", json=body or {}, headers={"X-CSRFToken": self.token} | named, base_url=ORIGIN
        )

    def read(self, path: str) -> TestResponse:
        """Read a resource."""
        return self.client.get(f"/api/v1{path}", base_url=ORIGIN)


@pytest.fixture
def world(session: HouseSession) -> World:
    """The world, before anything is sent."""
    return a_world(session)


@pytest.fixture
def browser(app: Flask, world: World) -> Callable[[str], Browser]:
    """Sign one of the world's people in."""
    known: dict[str, Browser] = {}

    def signed_in(who: str) -> Browser:
        if who in known:
            return known[who]
        actor = world.people[who]
        with planting(world.session) as work:
            sign_in = SignIn.start(actor.me, channel="page", at=work.now)
            sign_in.prove(work.now)
            token = sign_in.token
            world.session.add(sign_in)
            world.session.add(SignInUse(sign_in_id=sign_in.id, used_at=work.now))
            if world.session.scalars(select(SecondFactor).where(SecondFactor.user_id == actor.me)).first() is None:
                factor = SecondFactor.start(actor.me, work.now)
                factor.confirm(1, work.now)
                world.session.add(factor)
                world.session.add(RulesAcknowledgment(user_id=actor.me, wording=WORDING, at=work.now))
        client = app.test_client()
        with client.session_transaction(base_url=ORIGIN) as kept:
            kept["_user_id"] = token
            kept["_fresh"] = True
        known[who] = Browser(client)
        return known[who]

    return signed_in
