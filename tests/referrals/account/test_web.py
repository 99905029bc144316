"""What changed on an account, told through both doors of the real application."""

from __future__ import annotations

import re
from collections.abc import Callable
from uuid import uuid4

from referrals.kernel.actor import system
from referrals.kernel.command import execute
from referrals.kernel.session import HouseSession
from referrals.staff import commands as staff
from tests.factories import account as people
from tests.referrals.account.conftest import Browser, shown, signed_in

# --- people ----------------------------------------------------------------------------------------------------------


def test_s806_a_notice_on_every_page_leads_to_what_changed_until_it_was_expected(
    browser: Browser, house: HouseSession, casey: people.Member, ada: people.Member, code: Callable[[str], str]
) -> None:
    signed_in(browser, casey, code)
    assert "Something changed on your account" not in browser.get("/account").text
    who = ada.actor(house)
    execute(house, staff.grant_role, actor=who, target=casey.user_id, data={"role": "supervising_officer"})
    execute(house, staff.reset_password, actor=system("cli"), target=casey.user_id, data={})
    execute(house, staff.set_last_day, actor=who, target=casey.user_id, data={"ends_on": "2199-01-31"})
    user = execute(house, staff.reset_password, actor=system("cli"), target=casey.user_id, data={})
    browser.cookie = ""
    browser.post("/sign-in", acknowledged="true", name=casey.sign_in_name, password=user.shown_code)
    browser.post("/sign-in/second-step", code=code(casey.sign_in_name))
    assert "Something changed" not in browser.get("/sign-in/new-password").text  # nothing can be looked at yet
    browser.post("/sign-in/new-password", new_password="another harbor lantern")
    for path in ("/home", "/account", "/account/sign-ins"):
        assert "Something changed on your account" in browser.get(path).text, path
    page = browser.get("/account/changes")
    said = shown(page)
    assert "Something changed on your account" not in said
    for words in (
        "Role given: Supervising officer",
        "Ada Wells",
        "Last day set: January 31, 2199",
        "Password reset",
        "Whoever runs this service",
        "You",
        "New",
    ):
        assert words in said
    until = re.search(r'name="until" value="([0-9a-f-]+)"', page.text)
    assert until is not None
    seen = browser.post("/account/changes/seen", page="/account/changes", until=until[1])
    assert seen.location == "/account"
    assert "Something changed" not in browser.get("/account").text
    assert "I expected all of this" not in browser.get("/account/changes").text
    listed = (browser.get("/api/v1/account/changes").json or {})["items"]
    assert listed[0]["what"] == "password_changed"
    assert listed[0]["by"] == str(casey.user_id)
    token = (browser.get("/api/v1/sign-ins/current").json or {})["csrf_token"]
    answer = browser.send("/api/v1/account/changes/seen", {"until": str(uuid4())}, token)
    assert answer.status_code == 422
    assert browser.send("/api/v1/account/changes/seen", {"until": listed[0]["id"]}, token).status_code == 200
