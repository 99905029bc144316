"""Somebody at the real application: signed in with both factors, reading pages and sending forms and JSON."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from flask import Flask
from sqlalchemy.pool import NullPool
from werkzeug.test import TestResponse

from referrals.app import create_app
from referrals.kernel.providers import FileProvider
from referrals.kernel.record import clock
from referrals.kernel.session import HouseSession
from referrals.settings import Settings
from referrals.sign_in import queries as sign_in_queries
from tests.factories.account import Member

_COOKIE = "__Host-sid"


def an_app(url: str, provider: FileProvider, session: HouseSession) -> Flask:
    """The whole application on the database of a session, with that session's clock."""
    settings = Settings(
        env="development",
        database_url=url,
        keys=str(provider.path),
        public_url="https://127.0.0.1",
        trusted_proxies=0,
        rate_url="memory://",
        smtp_url=None,
        secret_key=None,
        fast_passwords=True,
        demo_folder=None,
    )
    made = create_app(settings, clock=lambda: clock(session), engine_options={"poolclass": NullPool})
    made.testing = True
    made.config["RATELIMIT_ENABLED"] = False
    return made


class Visitor:
    """One person's browser, which also speaks JSON."""

    def __init__(self, app: Flask, session: HouseSession, member: Member) -> None:
        self.client = app.test_client(use_cookies=False)
        self.cookie = ""
        self.token = ""
        self.form("/sign-in", {"acknowledged": "true", "name": member.sign_in_name, "password": member.password})
        code = sign_in_queries.demo_code(session, member.sign_in_name, clock(session))
        session.rollback()
        done = self.form("/sign-in/second-step", {"code": code})
        assert (done.status_code, done.location) == (303, "/home"), done.text
        found = re.search(r'name="csrf_token" value="([^"]*)"', self.get("/home").text)
        assert found, "home has the sign-out form"
        self.token = unescape(found[1])

    def ask(self, method: str, path: str, **more: Any) -> TestResponse:
        headers = {"X-CSRFToken": self.token} if self.token and method != "GET" else {}
        headers |= more.pop("headers", {})
        if self.cookie:
            headers["Cookie"] = f"{_COOKIE}={self.cookie}"
        answer = self.client.open(path, method=method, base_url="https://127.0.0.1", headers=headers, **more)
        for line in answer.headers.getlist("Set-Cookie"):
            if line.startswith(f"{_COOKIE}="):
                self.cookie = line.partition("=")[2].partition(";")[0]
        return answer

    def get(self, path: str) -> TestResponse:
        return self.ask("GET", path)

    def page(self, path: str) -> str:
        """A page that opens, with its entities resolved."""
        answer = self.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return unescape(answer.text)

    def form(self, path: str, words: dict[str, Any], page: str = "") -> TestResponse:
        """Send a form, with the hidden fields of the page it stands on."""
        stood = self.get(page or path).text
        hidden = {
            name: unescape(found[1])
            for name in ("csrf_token", "version", "idempotency_key")
            if (found := re.search(rf'name="{name}" value="([^"]*)"', stood))
        }
        assert hidden.get("csrf_token"), f"no form at {page or path}"
        self.token = hidden["csrf_token"]
        return self.ask("POST", path, data=hidden | words)

    def json(self, path: str, words: Any = None, **headers: str) -> TestResponse:
        """Read JSON, or send it."""
        if words is None:
            return self.get(f"/api/v1{path}")
        return self.ask("POST", f"/api/v1{path}", json=words, headers=headers)
