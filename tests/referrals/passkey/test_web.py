"""Passkeys through both doors: who learns of credential ids, what pages offer without script, and the first day."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from flask import Flask
from sqlalchemy.orm import Session

from referrals.kernel.actor import Role
from tests.factories import account as people
from tests.factories.authenticator import Authenticator
from tests.referrals.account.conftest import Browser, Moment, shown

CHALLENGE = "/api/v1/sign-ins/current/passkey-challenge"


def password_given(browser: Browser, member: people.Member) -> str:
    """Sign in by the password alone; return the CSRF token."""
    words = {"name": member.sign_in_name, "password": member.password, "acknowledged": True}
    answer = browser.send("/api/v1/sign-ins", words)
    assert answer.status_code == 201
    return str(answer.get_json()["csrf_token"])


def asked(browser: Browser, token: str, purpose: str) -> dict[str, Any]:
    answer = browser.send(CHALLENGE, {"purpose": purpose}, token)
    assert answer.status_code == 201, answer.text
    options: dict[str, Any] = answer.get_json()["options"]
    return options


def whole(browser: Browser, member: people.Member, code: Callable[[str], str]) -> str:
    token = password_given(browser, member)
    answer = browser.send("/api/v1/sign-ins/current/second-step", {"code": code(member.sign_in_name)}, token)
    assert answer.status_code == 200
    return str(answer.get_json()["csrf_token"])


def with_key(browser: Browser, token: str, key: Authenticator) -> str:
    words = {"name": "Blue key", "passkey": key.create(asked(browser, token, "add"))}
    answer = browser.send("/api/v1/account/passkeys", words, token)
    assert (answer.status_code, answer.get_json()["recovery_codes"]) == (201, [])
    return str(answer.get_json()["csrf_token"])


def test_s102_who_has_not_given_the_password_is_asked_for_no_passkey_whoevers_name_they_gave(
    app: Flask, casey: people.Member, code: Callable[[str], str]
) -> None:
    owner = Browser(app)
    with_key(owner, whole(owner, casey, code), Authenticator())
    told = []
    for name in (casey.sign_in_name, "nobody-at-all"):
        stranger = Browser(app)
        wrong = {"name": name, "password": "wrong wrong wrong", "acknowledged": True}
        assert stranger.send("/api/v1/sign-ins", wrong).status_code == 401
        answer = stranger.send(CHALLENGE, {"purpose": "use"})
        told.append((answer.status_code, answer.get_json()["code"], "options" in answer.text))
    assert told == [(401, "sign_in_needed", False)] * 2


def test_s103_a_form_takes_an_answer_where_it_takes_a_code(
    app: Flask, casey: people.Member, code: Callable[[str], str]
) -> None:
    key, owner = Authenticator(), Browser(app)
    with_key(owner, whole(owner, casey, code), key)
    later = Browser(app)
    token = password_given(later, casey)
    answer = later.post("/sign-in/second-step", passkey="no answer", code="")
    assert answer.status_code == 401
    assert "We could not take this passkey" in shown(answer)
    answer = later.post("/sign-in/second-step", passkey="", code="")
    assert (answer.status_code, "Enter the code." in shown(answer)) == (422, True)
    right = key.get(asked(later, token, "use"))
    answer = later.post("/sign-in/second-step", passkey=right, code="")
    assert (answer.status_code, answer.location) == (303, "/home")


def test_s103_an_address_of_digits_says_where_passkeys_work(
    app: Flask, casey: people.Member, code: Callable[[str], str]
) -> None:
    owner = Browser(app)
    with_key(owner, whole(owner, casey, code), Authenticator())
    page = owner.get("/account/passkeys/new")
    link = '<a href="https://localhost/sign-in">https://localhost</a>'
    assert f"work at {link}, not at the address you came by" in page.text
    assert "data-passkey=" not in page.text
    later = Browser(app)
    password_given(later, casey)
    page = later.get("/sign-in/second-step")
    assert f"work at {link}" in page.text
    assert re.search(r"<h1[^>]*>\s*Enter your code", page.text), "an app stands beside the key"


def test_s113_pages_that_add_or_remove_lead_to_the_second_step_and_back(
    app: Flask, casey: people.Member, code: Callable[[str], str], moment: Moment
) -> None:
    owner = Browser(app)
    with_key(owner, whole(owner, casey, code), Authenticator())
    (row,) = owner.get("/api/v1/account/passkeys").get_json()["items"]
    moment.pass_by(minutes=10)
    for path in ("/account/passkeys/new", f"/account/passkeys/{row['id']}/removal"):
        answer = owner.get(path)
        assert (answer.status_code, answer.location) == (303, f"/sign-in/second-step?next={path}")
    owner.post("/sign-in/second-step", code=code(casey.sign_in_name))
    answer = owner.post(f"/account/passkeys/{row['id']}/removal")
    assert (answer.status_code, answer.location) == (303, "/account/passkeys")
    page = owner.get("/account/passkeys")
    assert "The passkey was removed" in shown(page)
    assert "You have no passkey" in shown(page)


def test_s103_the_first_day_goes_without_a_phone(app: Flask, house: Session, agency: Any) -> None:
    user = people.a_user(house, agency, Role.CASE_MANAGER)
    one_time, name, user_id = str(user.shown_code), user.sign_in_name, user.id
    house.rollback()
    key, browser = Authenticator(), Browser(app)
    browser.post("/sign-in", acknowledged="true", name=name, password=one_time)
    refused = browser.get("/account/passkeys/new")
    assert (refused.status_code, refused.location) == (303, "/sign-in/new-password")
    browser.post("/sign-in/new-password", new_password=people.PASSWORD)
    token = browser.get("/api/v1/sign-ins/current").get_json()["csrf_token"]
    right = key.create(asked(browser, token, "add"))
    answer = browser.post("/account/passkeys/new", name="", passkey=right)
    assert answer.status_code == 422
    assert right not in answer.text
    form = re.search(r'<form class="tg-form" method="post"([^>]*)>', answer.text)
    assert form is not None
    assert "action=" not in form[1], "its form is at this address, which opens again"
    assert browser.get("/account/passkeys/new").status_code == 200
    answer = browser.post("/account/passkeys/new", name="Key on my badge", passkey="")
    assert (answer.status_code, "This needs JavaScript" in shown(answer)) == (422, True)
    answer = browser.post("/account/passkeys/new", name="Key on my badge", passkey=right)
    assert answer.status_code == 200
    assert answer.text.count("tg-code") == 10
    assert "authenticator" not in shown(answer), "whoever has a key is told of no app that they do not have"
    assert "apart from your phone, key or sheet" in shown(answer)
    assert browser.get("/home").location == "/sign-in/rules"
    browser.post("/sign-in/rules", agreed="true", wording="2026-11")
    account = shown(browser.get("/account"))
    assert "Not set up" in account
    assert "1 key" in account
    (row,) = browser.get("/api/v1/account/passkeys").get_json()["items"]
    answer = browser.post(f"/account/passkeys/{row['id']}/removal")
    assert (answer.status_code, "This is the only second step" in shown(answer)) == (409, True)
    answer = browser.post(f"/account/passkeys/{row['id']}/name", name="Blue")
    assert answer.status_code == 303
    assert "Blue" in shown(browser.get("/account/passkeys"))
    assert json.loads(right)["id"] not in browser.get("/api/v1/account/passkeys").text
    again = Browser(app)
    password_given(again, people.Member(user_id, name, people.PASSWORD, [], ""))
    page = again.get("/sign-in/second-step")
    assert re.search(r"<h1[^>]*>\s*Use your passkey or security key", page.text)
    assert "Enter your code" not in page.text
