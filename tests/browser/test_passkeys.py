"""Passkeys in a real browser, by Chromium's own virtual authenticator: everything between key and service is real."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from referrals import demo
from tests.browser.conftest import DESK, PHONE, Visitor

_KEY = {
    "protocol": "ctap2",
    "transport": "usb",
    "hasResidentKey": False,
    "hasUserVerification": False,
    "automaticPresenceSimulation": True,
}


def plug_in(one: Visitor) -> None:
    """Plug a security key in, whose owner touches it whenever it is asked."""
    wire = one.context.new_cdp_session(one.page)
    wire.send("WebAuthn.enable")
    wire.send("WebAuthn.addVirtualAuthenticator", {"options": _KEY})


def give_password(one: Visitor, name: str, password: str) -> None:
    one.go("/sign-in")
    one.tick("I have read this notice")
    one.page.get_by_role("textbox", name="Sign-in name").fill(name)
    one.page.get_by_label("Password").fill(password)
    one.page.get_by_role("button", name="Sign in").click()


def look_at(one: Visitor) -> None:
    """The page before us is accessible, and not too wide."""
    assert one.violations() == []
    assert not one.is_too_wide(), one.page.url


def begin_with_a_key(one: Visitor) -> None:
    """Choose a password, then a key in place of an authenticator app; keep the recovery codes, agree to the rules."""
    page = one.page
    page.get_by_label("New password").fill(demo.PASSWORD)
    page.get_by_role("button", name="Save password").click()
    instead = page.get_by_role("link", name="Use a security key or passkey instead")
    look_at(one)
    one.walk_to(instead).press("Enter")
    page.wait_for_url("**/account/passkeys/new")
    look_at(one)
    add = page.get_by_role("button", name="Continue with the key")
    add.press("Enter")  # without a name
    assert page.title().startswith("Error: ")
    look_at(one)
    page.get_by_label("Name of the key").fill("Blue key")
    for language, spoken in (("Español", "es"), ("English", "en")):
        page.get_by_role("button", name=language, exact=True).press("Enter")  # no key is asked for by this
        page.locator(f"html[lang={spoken}]").wait_for(state="attached")
        assert page.locator("[name=name]").input_value() == "Blue key"
    add.press("Enter")
    page.get_by_role("heading", name="Your recovery codes").wait_for()
    look_at(one)
    codes = re.findall(r"\d+(?:-[0-9A-Z]{4}){3}", page.get_by_role("main").inner_text())
    assert len(codes) == 10
    page.get_by_role("link", name="I have kept them").click()
    one.tick("I have read these rules and will keep them")
    page.get_by_role("button", name="Agree and continue").click()
    page.wait_for_url("**/home")


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_s103_a_security_key_opens_an_account_from_its_first_day(
    visitor: Callable[..., Any], service: Any, width: int
) -> None:
    front, name = service.front(), f"key.holder{width}"
    organization = front.sign_in("walsh").organization
    one = visitor(width=width, host="localhost")
    page = one.page
    plug_in(one)
    give_password(one, name, front.invite(organization, name, "Key Holder", "case_manager"))
    begin_with_a_key(one)

    one.context.clear_cookies()
    give_password(one, name, demo.PASSWORD)
    use = page.get_by_role("button", name="Use a passkey or security key")
    use.wait_for()
    look_at(one)
    one.walk_to(use).press("Enter")
    page.wait_for_url("**/home")

    one.go("/account/passkeys")
    look_at(one)
    page.get_by_role("link", name="Rename").click()
    look_at(one)
    page.get_by_label("Name of the key").fill("Key on my badge")
    page.get_by_role("button", name="Save").click()
    assert "Key on my badge" in page.get_by_role("main").inner_text()
    page.get_by_role("link", name="Add a passkey or security key").click()
    page.get_by_label("Name of the key").fill("The same again")
    page.get_by_role("button", name="Continue with the key").click()
    page.get_by_text("This passkey was added before.").wait_for()
    look_at(one)
    one.go("/account/passkeys")
    page.get_by_role("link", name="Remove").click()
    look_at(one)
    page.get_by_role("button", name="Remove this key").click()
    assert "This is the only second step of your account" in page.get_by_role("alert").inner_text()
    look_at(one)
    one.go("/account/recovery-codes")
    page.get_by_role("button", name="Use a passkey or security key").click()
    page.get_by_role("heading", name="Your recovery codes").wait_for()
    look_at(one)


def test_s103_without_script_the_code_is_the_way(visitor: Callable[..., Any], service: Any) -> None:
    front = service.front()
    organization = front.sign_in("walsh").organization
    one = visitor(scripts=False, host="localhost")
    give_password(one, "plain.holder", front.invite(organization, "plain.holder", "Plain Holder", "case_manager"))
    one.page.get_by_label("New password").fill(demo.PASSWORD)
    one.page.get_by_role("button", name="Save password").click()
    assert one.page.get_by_role("heading", level=1).inner_text() == "Set up your authenticator"
    assert not one.page.get_by_role("link", name="Use a security key or passkey instead").is_visible()
    one.go("/account/passkeys/new")
    assert "This needs JavaScript" in one.page.get_by_role("main").inner_text()
    one.page.get_by_label("Name of the key").fill("Blue key")
    one.page.get_by_role("button", name="Continue with the key").click()
    assert "This needs JavaScript" in one.page.get_by_role("alert").inner_text()
