"""The real application on this test's database, and people who visit it through either door."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from flask import Flask
from sqlalchemy.pool import NullPool
from werkzeug.test import Client, TestResponse

from referrals.app import create_app
from referrals.kernel.actor import Role
from referrals.kernel.providers import FileProvider
from referrals.kernel.session import HouseSession
from referrals.organization.models import Organization
from referrals.settings import Settings
from tests.factories.account import a_member

HOST = "https://127.0.0.1"


class Visitor:
    """Somebody signed in completely, or nobody: pages by `get` and `post`, JSON by `ask` and `send`."""

    def __init__(self, app: Flask, token: str | None = None) -> None:
        self.client = Client(app, use_cookies=False)
        self.cookie = ""
        if token is not None:
            serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
            self.cookie = f"__Host-sid={serializer.dumps({'_user_id': token, '_fresh': True})}"

    def open(self, method: str, path: str, **more: Any) -> TestResponse:
        headers = dict(more.pop("headers", {})) | ({"Cookie": self.cookie} if self.cookie else {})
        answer = self.client.open(path, method=method, base_url=HOST, headers=headers, **more)
        for line in answer.headers.getlist("Set-Cookie"):
            if line.startswith("__Host-sid="):
                self.cookie = line.partition(";")[0]
        return answer

    def get(self, path: str) -> TestResponse:
        return self.open("GET", path)

    def post(self, path: str, **words: Any) -> TestResponse:
        """Send a form, with the hidden fields of the page it stands on where that page has them."""
        hidden = {"csrf_token": self.token()}
        version = re.search(r'name="version" value="(\d+)"', self.get(path).text)
        if version is not None:
            hidden["version"] = version[1]
        return self.open("POST", path, data=hidden | words)

    def ask(self, path: str) -> TestResponse:
        return self.open("GET", f"/api/v1{path}")

    def send(self, path: str, words: Any, **headers: str) -> TestResponse:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.open("POST", f"/api/v1{path}", json=words, headers=given | {"X-CSRFToken": self.token()})

    def token(self) -> str:
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get("/programs").text)
        return unescape(found[1]) if found is not None else ""


@pytest.fixture
def app(sqlite_url: str, provider: FileProvider) -> Flask:
    settings = Settings(
        env="development",
        database_url=sqlite_url,
        keys=str(provider.path),
        public_url=HOST,
        trusted_proxies=0,
        rate_url="memory://",
        smtp_url=None,
        secret_key=None,
        fast_passwords=True,
        demo_folder=None,
    )
    made = create_app(settings, engine_options={"poolclass": NullPool})
    made.config["RATELIMIT_ENABLED"] = False
    return made


Visits = Callable[..., Visitor]


@pytest.fixture
def visit(app: Flask, session: HouseSession) -> Visits:
    """Make somebody with roles at an organization, signed in; with no organization, nobody in particular."""

    def visiting(organization: Organization | None = None, *roles: Role, name: str = "Robin Vale") -> Visitor:
        if organization is None:
            return Visitor(app)
        return Visitor(app, a_member(session, organization.id, *roles, name=name).token)

    return visiting
