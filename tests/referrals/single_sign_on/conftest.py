"""What these tests share with those of accounts; an issuer of the agency's, and the way there and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from tests.factories import account as people
from tests.factories.issuer import CLIENT, TestIssuer, a_test_issuer
from tests.referrals.account.conftest import (
    Browser,
    Moment,
    ada,
    agency,
    app,
    browser,
    casey,
    code,
    community,
    house,
    moment,
    now,
)

__all__ = ["ada", "agency", "app", "browser", "casey", "code", "community", "house", "moment", "now"]

LISTED = "/organization/single-sign-on"
OWN = "/account/single-sign-on"
PROOF = "/sign-in/organization/proof"


@pytest.fixture
def issuer(moment: Moment) -> Iterator[TestIssuer]:
    with a_test_issuer(lambda: moment().timestamp()) as made:
        yield made


def words(issuer: TestIssuer, **more: str) -> dict[str, str]:
    """What an administrator enters."""
    client, secret = CLIENT
    entered = {"name": "Blue County sign-in", "url": issuer.url, "client_id": client, "client_secret": secret}
    return entered | {"accepted_amr": "mfa"} | more


def choice(answer: TestResponse) -> str:
    """The issuer that a page offers."""
    found = re.search(r'name="issuer_id"[^>]*value="([^"]+)"', answer.text)
    assert found is not None, answer.text
    return found[1]


def link(answer: TestResponse, issuer: TestIssuer) -> str:
    """The way to the issuer."""
    assert answer.status_code == 200, answer.text
    found = re.search(rf'href="({re.escape(issuer.url)}/authorize[^"]+)"', answer.text)
    assert found is not None, answer.text
    return unescape(found[1])


def path(address: str) -> str:
    """An address of ours, as a browser asks for it."""
    parts = urlsplit(address)
    assert f"{parts.scheme}://{parts.netloc}" == "https://127.0.0.1"
    return f"{parts.path}?{parts.query}"


def way(who: Browser, issuer: TestIssuer, subject: str, **more: str) -> str:
    """Go to the issuer from the start page as somebody who has not signed in; return where it sends them back to."""
    page = who.get("/sign-in/organization")
    asked = {"acknowledged": "true", "issuer_id": choice(page)} | more
    return path(issuer.sign_in(link(who.post("/sign-in/organization", **asked), issuer), subject))


def proof(who: Browser, issuer: TestIssuer, subject: str, purpose: str, page: str) -> str:
    """Go to the issuer from a page of somebody who gave a password; return where it sends them back to."""
    offered = who.get(page)
    answer = who.post(PROOF, page, issuer_id=choice(offered), purpose=purpose)
    return path(issuer.sign_in(link(answer, issuer), subject))


def hand_in(who: Browser, back: str) -> TestResponse:
    """Open the address somebody was sent back to, and send its one form on."""
    page = who.get(back)
    if page.status_code != 200:
        return page
    action = re.search(r'action="(/[^"]*answer)"', page.text)
    assert action is not None, page.text
    kept: dict[str, Any] = {
        name: unescape(value) for name, value in re.findall(r'name="(state|code|iss)" value="([^"]+)"', page.text)
    }
    return who.post(action[1], back, **kept)


@dataclass
class County:
    """An agency, its people, and where they sign in already."""

    app: Flask
    house: Session
    agency: UUID
    community: UUID
    ada: people.Member
    casey: people.Member
    code_of: Callable[[str], str]
    issuer: TestIssuer
    moment: Moment

    def browser(self) -> Browser:
        """A browser that nobody used."""
        return Browser(self.app)

    def code(self, member: people.Member) -> str:
        """The present code of somebody's authenticator."""
        return self.code_of(member.sign_in_name)

    def list_it(self, **more: str) -> Browser:
        """Let the administrator list the issuer; return their browser."""
        administrator = self.browser()
        administrator.sign_in(self.ada, self.code_of)
        answer = administrator.post(f"{LISTED}/new", **words(self.issuer, **more))
        assert (answer.status_code, answer.location) == (303, LISTED), answer.text
        return administrator

    def connected(self, member: people.Member, subject: str) -> Browser:
        """Let somebody connect their account; return their browser."""
        owner = self.browser()
        owner.sign_in(member, self.code_of)
        answer = hand_in(owner, proof(owner, self.issuer, subject, "link", OWN))
        assert (answer.status_code, answer.location) == (303, "/home"), answer.text
        return owner


@pytest.fixture
def county(request: pytest.FixtureRequest) -> County:
    names = ("app", "house", "agency", "community", "ada", "casey", "code", "issuer", "moment")
    return County(*(request.getfixturevalue(name) for name in names))
