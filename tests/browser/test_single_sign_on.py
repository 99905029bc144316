"""Coming in by one's organization's own sign-in, in a real browser: another host, our cookie, our policy, no script."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.browser.conftest import DESK, PHONE, Visitor
from tests.factories.issuer import CLIENT, TestIssuer, a_test_issuer

LISTED = "/api/v1/organization/single-sign-on"


@pytest.fixture
def issuer() -> Iterator[TestIssuer]:
    with a_test_issuer(time.time) as made:
        yield made


_numbers = itertools.count(1)


@dataclass
class County:
    """The demonstration's agency, which uses the issuer while a test runs."""

    front: Any
    organization: str
    administrator: str


@pytest.fixture
def county(service: Any, issuer: TestIssuer) -> Iterator[County]:
    front = service.front()
    organization = front.sign_in("walsh").organization
    name = f"lists.issuers.{next(_numbers)}"
    by = front.join(organization, name, "Lists Issuers", "administrator")
    client, secret = CLIENT
    words = {"name": "Harbor County sign-in", "url": issuer.url, "client_id": client, "client_secret": secret}
    listed = by.do(LISTED, words | {"accepted_amr": "mfa"})
    yield County(front, organization, name)
    by = front.sign_in(name)  # a window of a test may have ended the first sign-in
    by.do(f"{LISTED}/{listed['id']}/end", {"because": "The test is over"})


def look_at(one: Visitor) -> None:
    """The page before us is accessible, and not too wide."""
    assert one.violations() == []
    assert not one.is_too_wide(), one.page.url


def give_password(one: Visitor, name: str, password: str) -> None:
    one.go("/sign-in")
    one.tick("I have read this notice")
    one.page.get_by_role("textbox", name="Sign-in name").fill(name)
    one.page.get_by_label("Password").fill(password)
    one.page.get_by_role("button", name="Sign in", exact=True).click()


@pytest.mark.parametrize(("width", "scripts"), [(PHONE, True), (DESK, True), (DESK, False)])
def test_s116_a_first_day_and_a_second_one_by_ones_organization(
    visitor: Callable[..., Any], county: County, issuer: TestIssuer, *, width: int, scripts: bool
) -> None:
    front, organization = county.front, county.organization
    name = f"signs.in.{width}.{'with' if scripts else 'without'}"
    issuer.person = f"person of {name}"
    one = visitor(width=width, scripts=scripts, also=issuer.url)
    page = one.page
    give_password(one, name, front.invite(organization, name, "Signs In", "case_manager"))
    page.wait_for_url("**/sign-in/new-password")
    if scripts:
        look_at(one)
    page.get_by_role("button", name="Continue with Harbor County sign-in").press("Enter")
    onward(one, look=scripts)
    page.wait_for_url("**/sign-in/rules")
    one.tick("I have read these rules and will keep them")
    page.get_by_role("button", name="Agree and continue").click()
    page.wait_for_url("**/home")
    one.go("/account/single-sign-on")
    if scripts:
        look_at(one)
        page.get_by_role("link", name="Disconnect").click()
        look_at(one)
        page.get_by_role("button", name="Disconnect").click()
        assert "only second step of your account" in page.get_by_role("alert").inner_text()
        look_at(one)
    one.context.clear_cookies()
    one.go("/sign-in")
    page.get_by_role("link", name="Sign in with your organization instead").click()
    if scripts:
        look_at(one)
    page.get_by_role("button", name="Continue").click()
    assert page.title().startswith("Error: ")
    if scripts:
        look_at(one)
    one.tick("I have read this notice")
    page.get_by_role("button", name="Continue").click()
    onward(one, look=scripts)
    page.wait_for_url("**/home")


def onward(one: Visitor, *, look: bool) -> None:
    """Take the link to the issuer; without script, press the one button after it."""
    link = one.page.get_by_role("link", name="Continue to 127.0.0.1")
    link.wait_for()
    if look:
        look_at(one)
        one.walk_to(link).press("Enter")
        return
    link.click()
    one.page.get_by_role("heading", name="You are back").wait_for()
    one.page.get_by_role("button", name="Continue").click()


@pytest.mark.usefixtures("county")
def test_s116_what_opens_nothing_says_what_to_do(visitor: Callable[..., Any], issuer: TestIssuer) -> None:
    issuer.person = "nobody here"
    one = visitor(width=PHONE, also=issuer.url)
    one.go("/sign-in/organization")
    one.tick("I have read this notice")
    one.page.get_by_role("button", name="Continue").click()
    one.page.get_by_role("link", name="Continue to 127.0.0.1").click()
    one.page.get_by_role("heading", name="That did not work").wait_for()
    assert "This did not open an account here" in one.page.get_by_role("alert").inner_text()
    look_at(one)
    one.page.get_by_role("link", name="Begin again").click()
    one.page.wait_for_url("**/sign-in/organization")
    one.go("/sign-in/organization/return?error=access_denied&state=unknown", expect=400)
    look_at(one)


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_s116_an_administrator_lists_renews_and_ends_one(
    visitor: Callable[..., Any], county: County, issuer: TestIssuer, width: int
) -> None:
    one = visitor(width=width).sign_in(county.administrator)
    page = one.page
    one.go("/organization/single-sign-on")
    look_at(one)
    page.get_by_role("link", name="Add a sign-in service").click()
    look_at(one)
    page.get_by_label("What do your people call it?").fill("Harbor County sign-in")
    page.get_by_label("Address of the issuer").fill(issuer.url + "/nowhere")
    page.get_by_label("Client ID").fill("throughgate")
    page.get_by_label("Client secret").fill("a secret")
    page.get_by_role("button", name="Look at it and add it").click()
    assert "Under this address nothing answers" in page.get_by_role("alert").inner_text()
    assert page.get_by_label("Client secret").input_value() == ""
    look_at(one)
    for name in ("Give a new secret", "End"):
        one.go("/organization/single-sign-on")
        page.get_by_role("main").get_by_role("link", name=name).first.click()
        look_at(one)
