"""The real application over a watched house, and browsers signed in to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.pool import NullPool
from werkzeug.test import TestResponse

from referrals import app as factory
from referrals.kernel.actor import Role
from referrals.kernel.providers import FileProvider
from referrals.kernel.session import HouseSession
from referrals.settings import Settings
from tests.factories.account import a_member
from tests.factories.oversight import Watched, a_watched_house

ORIGIN = "https://localhost"


@pytest.fixture
def watched(any_session: HouseSession) -> Watched:
    """A watched house on each database."""
    return a_watched_house(any_session)


@pytest.fixture
def app(sqlite_url: str, provider: FileProvider) -> Flask:
    """The whole application on this test's database."""
    settings = Settings(
        env="development",
        database_url=sqlite_url,
        keys=str(provider.path),
        public_url=ORIGIN,
        trusted_proxies=0,
        rate_url="memory://",
        smtp_url=None,
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

    def get(self, path: str) -> TestResponse:
        """Open a page or read a resource."""
        return self.client.get(path, base_url=ORIGIN)

    def post(self, path: str, **form: str) -> TestResponse:
        """Fill in the form of that page."""
        page = self.get(path).get_data(as_text=True)
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert token is not None
        return self.client.post(path, data={"csrf_token": token[1]} | form, base_url=ORIGIN)

    def call(self, path: str, body: Any) -> TestResponse:
        """Call the API."""
        page = self.get("/oversight/participants").get_data(as_text=True)
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)
        assert token is not None
        return self.client.post(f"/api/v1{path}", json=body, headers={"X-CSRFToken": token[1]}, base_url=ORIGIN)


@pytest.fixture
def sign_in(app: Flask, session: HouseSession) -> Callable[..., Browser]:
    """Sign a new member of an organization in."""

    def signed_in(organization_id: UUID, *roles: Role) -> Browser:
        member = a_member(session, organization_id, *roles)
        client = app.test_client()
        with client.session_transaction(base_url=ORIGIN) as kept:
            kept["_user_id"] = member.token
            kept["_fresh"] = True
        return Browser(client)

    return signed_in
