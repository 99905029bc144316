"""Counting SQL: the app in this process, somebody really signed in, every statement of one request.

Not counted: what opens and ends a transaction, and what is asked by the clock and not by the page (keys, each half
minute, and that a sign-in was used, each minute).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine, event

from bench.pages import API, Ask
from bench.seeding import PASSWORD
from referrals.kernel.keys import KeyRing
from referrals.kernel.session import HouseSession
from referrals.kernel.web import db
from referrals.sign_in.queries import demo_code

HOST: Final = "https://127.0.0.1"
_UNCOUNTED: Final = ("BEGIN", "PRAGMA", "SET ", "UPDATE sign_in_use")
_KEYS: Final = "FROM data_key"


class WrongAnswerError(AssertionError):
    """A request was not answered as it should be; its figures would be those of an error page."""


@contextmanager
def counting(engine: Engine) -> Iterator[list[str]]:
    """Collect the statements that an engine executes."""
    heard: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith(_UNCOUNTED) and _KEYS not in statement:
            heard.append(statement)

    event.listen(engine, "before_cursor_execute", hear)
    try:
        yield heard
    finally:
        event.remove(engine, "before_cursor_execute", hear)


class Inside:
    """The app in this process, asked by people who signed in."""

    def __init__(self, app: Flask, ring: KeyRing) -> None:
        """Begin with nobody signed in; the ring opens second factors."""
        self.app, self.ring = app, ring
        self.clients: dict[str, tuple[FlaskClient, str]] = {}
        with app.app_context():
            self.engine = db.engine

    def sign_in(self, name: str) -> tuple[FlaskClient, str]:
        """Sign somebody in by both factors, once; return their browser and the token that posts carry."""
        if name in self.clients:
            return self.clients[name]
        client = self.app.test_client()
        words = {"name": name, "password": PASSWORD, "acknowledged": True}
        began = client.post(f"{API}/sign-ins", json=words, base_url=HOST)
        with HouseSession(self.engine, info={"ring": self.ring}) as session:
            code = demo_code(session, name, datetime.now(UTC))
        done = client.post(
            f"{API}/sign-ins/current/second-step",
            json={"code": code},
            headers={"X-CSRFToken": began.get_json()["csrf_token"]},
            base_url=HOST,
        )
        if done.status_code != 200 or done.get_json()["next"] != "full":  # noqa: PLR2004  # OK
            raise WrongAnswerError(f"{name} is not signed in: {done.status_code}")
        self.clients[name] = client, done.get_json()["csrf_token"]
        return self.clients[name]

    def ask(self, one: Ask) -> tuple[bytes, list[str]]:
        """Send one request; return the body and the statements it took.

        Raises:
            WrongAnswerError: another status, or not what should be on the page.
        """
        client, token = self.sign_in(one.user)
        more: dict[str, Any] = {"headers": dict(one.headers or {})}
        if one.method != "GET":
            more["headers"]["X-CSRFToken"] = token
        if one.body is not None and one.as_form:
            more |= {"data": urlencode(one.body, doseq=True), "content_type": "application/x-www-form-urlencoded"}
        elif one.body is not None:
            more |= {"data": json.dumps(one.body), "content_type": "application/json"}
        with counting(self.engine) as heard:
            answer = client.open(one.path, method=one.method, base_url=HOST, **more)
        body = answer.get_data()
        if answer.status_code != one.status or one.marker not in body:
            raise WrongAnswerError(f"{one.method} {one.path} for {one.user}: {answer.status_code} {body[:400]!r}")
        return body, heard
