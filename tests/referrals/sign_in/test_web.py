"""Signing in through both doors of the real application."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from markupsafe import escape
from sqlalchemy import select

from referrals.account import commands as accounts
from referrals.kernel.actor import Role, system
from referrals.kernel.command import execute
from referrals.kernel.session import HouseSession
from referrals.kernel.web import HALFWAY, OPEN
from referrals.sign_in import commands as sign_ins
from referrals.sign_in import queries as sign_in_queries
from referrals.sign_in import web as sign_in_web
from referrals.sign_in.models import FailedAttempt
from referrals.staff import commands as staff
from tests.factories import account as people
from tests.referrals.account.conftest import NAME, Browser, Moment, events, sheet_codes, shown, signed_in, since, spoken

# --- before anybody can sign in ---------------------------------------------------------------------------------------


def test_whoever_runs_the_service_is_told_how_to_begin_until_somebody_can_sign_in(
    browser: Browser, house: HouseSession, agency: UUID
) -> None:
    page = browser.get("/sign-in").text
    assert "throughgate setup" in page
    people.a_member(house, agency, Role.ADMINISTRATOR)
    later = browser.get("/sign-in").text
    assert "throughgate setup" not in later
    assert 'name="password"' in later


# --- the way in ------------------------------------------------------------------------------------------------------


def test_s114_the_page_shows_four_statements_and_refuses_without_the_box(
    browser: Browser, casey: people.Member
) -> None:
    page = shown(browser.get("/sign-in"))
    for words in ("restricted information system", "recorded and audited", "penalties", "you agree"):
        assert words in page
    answer = browser.post("/sign-in", name=casey.sign_in_name, password=casey.password)
    assert answer.status_code == 422
    assert 'href="#acknowledged"' in answer.text
    assert casey.sign_in_name in answer.text
    assert casey.password not in answer.text


def test_s102_unknown_wrong_locked_and_disabled_answer_with_the_same_bytes(
    browser: Browser, house: HouseSession, agency: UUID, casey: people.Member
) -> None:
    gone = people.a_member(house, agency, Role.CASE_MANAGER)
    execute(house, staff.disable_user, actor=system("cli"), target=gone.user_id, data={"because": "left"})
    locked = people.a_member(house, agency, Role.CASE_MANAGER)
    for _ in range(5):
        with pytest.raises(sign_ins.SignInRefusedError):
            people.try_sign_in(house, locked.sign_in_name, "wrong wrong wrong")
    answers = []
    for name, password in (
        ("nobody.at.all", casey.password),
        (casey.sign_in_name, "wrong wrong wrong"),
        (locked.sign_in_name, locked.password),
        (gone.sign_in_name, gone.password),
    ):
        page = browser.post("/sign-in", acknowledged="true", name=name, password=password)
        api = Browser(browser.client.application).send(
            "/api/v1/sign-ins", {"acknowledged": True, "name": name, "password": password}
        )
        body = dict(api.json or {})
        body.pop("request_id")
        text = page.text.replace(name, "NAME")
        for random in (r'value="[^"]{30,}"',):
            text = re.sub(random, "RANDOM", text)
        answers.append((page.status_code, text, api.status_code, body, len(api.headers)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0] == answers[0][2] == 401


def test_s103_after_the_password_alone_every_other_address_leads_to_the_second_step(
    app: Flask, browser: Browser, casey: people.Member
) -> None:
    words = {"acknowledged": "true", "name": casey.sign_in_name, "password": casey.password}
    browser.post("/sign-in", **words)
    tried = 0
    for rule in app.url_map.iter_rules():
        if rule.endpoint in OPEN or rule.endpoint in HALFWAY or "GET" not in (rule.methods or ()):
            continue
        path = re.sub(r"<uuid:[^>]+>", str(uuid4()), rule.rule)
        path = re.sub(r"<[^>]+>", "1", path)
        answer = browser.get(path)
        tried += 1
        if path.startswith("/api/"):
            assert (answer.status_code, answer.json and answer.json["code"]) == (401, "sign_in_needed"), path
        else:
            assert (answer.status_code, answer.location) == (303, "/sign-in/second-step"), path
    assert tried > 5


def test_s111_s112_the_cookie_holds_a_token_and_a_csrf_secret_that_change_at_each_step(
    browser: Browser, casey: people.Member, code: Callable[[str], str]
) -> None:
    browser.get("/sign-in")
    fixed = browser.cookie
    answer = browser.post("/sign-in", acknowledged="true", name=casey.sign_in_name, password=casey.password)
    line = next(one for one in answer.headers.getlist("Set-Cookie") if one.startswith(NAME))
    assert {part.strip() for part in line.split(";")[1:]} == {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"}
    half = browser.held()
    browser.post("/sign-in/second-step", code=code(casey.sign_in_name))
    browser.get("/account")
    full = browser.held()
    assert set(full) <= {"_user_id", "csrf_token"}
    assert len(full["_user_id"]) == 43
    assert full["_user_id"] != half["_user_id"]
    assert full["csrf_token"] != half.get("csrf_token")
    assert casey.sign_in_name not in str(full)
    browser.cookie = fixed
    assert browser.get("/account").location == "/sign-in?next=/account"


def test_s306_only_a_path_of_this_host_is_gone_on_to(
    browser: Browser, casey: people.Member, code: Callable[[str], str]
) -> None:
    words = {"acknowledged": "true", "name": casey.sign_in_name, "password": casey.password}
    for bad in (
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "account",
        "/a\nb",
    ):
        other = Browser(browser.client.application)
        assert other.post("/sign-in", **words, next=bad).location == "/sign-in/second-step"
    answer = browser.post("/sign-in", **words, next="/account/sign-ins")
    assert answer.location == "/sign-in/second-step?next=/account/sign-ins"
    page = browser.get(answer.location)
    assert 'name="next" value="/account/sign-ins"' in page.text
    answer = browser.post("/sign-in/second-step", code=code(casey.sign_in_name), next="/account/sign-ins")
    assert answer.location == "/account/sign-ins"


def test_s104_a_wrong_code_is_asked_again_and_a_full_sign_in_is_not_asked(
    browser: Browser, casey: people.Member, code: Callable[[str], str]
) -> None:
    browser.post("/sign-in", acknowledged="true", name=casey.sign_in_name, password=casey.password)
    answer = browser.post("/sign-in/second-step", code="000000")
    assert answer.status_code == 401
    assert 'href="#code"' in answer.text
    assert "000000" not in answer.text
    assert browser.get("/sign-in/enroll").location == "/sign-in/second-step"
    assert browser.get("/sign-in/new-password").location == "/sign-in/second-step"
    browser.post("/sign-in/second-step", code=code(casey.sign_in_name))
    assert browser.get("/sign-in").location == "/home"
    assert browser.get("/sign-in/enroll").location == "/home"


def test_s108_the_first_day_through_the_pages(
    browser: Browser, house: HouseSession, agency: UUID, moment: Moment
) -> None:
    user = people.a_user(house, agency, Role.CASE_MANAGER)
    name, one_time, user_id = user.sign_in_name, str(user.shown_code), user.id
    answer = browser.post("/sign-in", acknowledged="true", name=name, password=one_time)
    assert answer.location == "/sign-in/new-password"
    assert browser.get("/account").location == "/sign-in/new-password"
    answer = browser.post("/sign-in/new-password", new_password="Password1234567")
    assert answer.status_code == 422
    assert "Too many people use a password like this one" in answer.text
    assert "Password1234567" not in answer.text
    answer = browser.post("/sign-in/new-password", new_password=people.PASSWORD)
    assert answer.location == "/sign-in/enroll"
    page = browser.get("/sign-in/enroll")
    key = re.search(r'<code class="tg-code">([A-Z2-7 ]+)</code>', page.text)
    assert key is not None
    assert re.search(r'<path d="M\d+ \d+h\d+v1h-\d+z', page.text)
    assert "data:" not in page.text
    assert browser.post("/sign-in/enroll", code="000000x").status_code == 422
    factor = sign_in_queries.pending_factor(house, user_id)
    assert factor is not None
    assert factor.seed == key[1].replace(" ", "")
    shown_code = factor.code_of(int(moment().timestamp()) // 30)
    house.rollback()
    page = browser.post("/sign-in/enroll", code=shown_code)
    codes = re.findall(r"<code class=\"tg-code\">(\d+-[0-9A-Z-]{14})</code>", page.text)
    assert len(codes) == 10
    assert page.headers["Cache-Control"] == "no-store"
    assert browser.get("/sign-in/enroll").location == "/sign-in/rules"
    page = browser.get("/sign-in/rules")
    assert "Nobody else may use it" in page.text
    unread = browser.post("/sign-in/rules", wording=sign_in_queries.WORDING)
    assert unread.status_code == 422
    assert "Say that you will keep these rules" in unread.text
    assert browser.get("/account").location == "/sign-in/rules"
    assert browser.post("/sign-in/rules", wording=sign_in_queries.WORDING, agreed="true").location == "/home"
    assert browser.get("/account").status_code == 200
    assert browser.get("/sign-in/rules").location == "/home"


def test_s803_until_the_rules_are_acknowledged_every_other_address_leads_there(
    app: Flask,
    browser: Browser,
    casey: people.Member,
    code: Callable[[str], str],
    moment: Moment,
) -> None:
    """The year is over at the first sign-in after it; what was asked for then is gone on to afterwards."""
    moment.pass_by(days=365)
    words = {"acknowledged": "true", "name": casey.sign_in_name, "password": casey.password}
    browser.post("/sign-in", **words, next="/account/rules")
    wanted = {"code": code(casey.sign_in_name), "next": "/account/rules"}
    assert browser.post("/sign-in/second-step", **wanted).location == "/sign-in/rules?next=/account/rules"
    token = (browser.get("/api/v1/sign-ins/current").json or {})["csrf_token"]
    tried = 0
    for rule in app.url_map.iter_rules():
        if rule.endpoint in OPEN or rule.endpoint in HALFWAY:
            continue
        path = re.sub(r"<[^>]+>", "1", re.sub(r"<uuid:[^>]+>", str(uuid4()), rule.rule))
        for method in {"GET", "POST"} & (rule.methods or set()):
            answer = browser.ask(method, path, headers={"X-CSRFToken": token})
            tried += 1
            if path.startswith("/api/"):
                assert (answer.status_code, answer.json and answer.json["code"]) == (401, "sign_in_needed"), path
            else:
                assert (answer.status_code, answer.location) == (303, "/sign-in/rules"), path
    assert tried > 100
    page = browser.get("/sign-in/rules?next=/account/rules")
    assert "You last agreed" in page.text
    assert 'name="next" value="/account/rules"' in page.text
    read = {"wording": sign_in_queries.WORDING, "agreed": "true", "next": "/account/rules"}
    assert browser.post("/sign-in/rules", **read).location == "/account/rules"
    assert "You agreed to keep these rules" in browser.get("/account/rules").text
    assert "Read the rules again" in browser.get("/account").text


def test_s803_sent_twice_it_goes_on(browser: Browser, house: HouseSession, agency: UUID, moment: Moment) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    moment.pass_by(days=400)
    began = people.sign_in_fully(house, casey)
    assert began.token
    browser.post("/sign-in", acknowledged="true", name=casey.sign_in_name, password=casey.password)
    moment.pass_by(seconds=61)
    browser.post("/sign-in/second-step", code=sign_in_queries.demo_code(house, casey.sign_in_name, moment()))
    house.rollback()
    token = (browser.get("/api/v1/sign-ins/current").json or {})["csrf_token"]
    words = {"csrf_token": token, "wording": sign_in_queries.WORDING, "agreed": "true"}
    both = [browser.ask("POST", "/sign-in/rules", data=words) for _ in range(2)]
    assert [(one.status_code, one.location) for one in both] == [(303, "/home")] * 2


#: SHA-256 of each wording. A changed rule is a new wording, for people to acknowledge anew; never a new digest here.
WORDINGS = {"2026-11": "e39e63f52fdb266e4e2f1ab61570b7e310ddafe4a57289fb24a562842b342ec9"}


def test_s803_what_people_acknowledged_is_never_rewritten() -> None:
    said = {wording: "\n".join(str(rule) for rule in rules) for wording, rules in sign_in_web.RULES.items()}
    assert {wording: hashlib.sha256(text.encode()).hexdigest() for wording, text in said.items()} == WORDINGS
    assert sign_in_queries.WORDING in WORDINGS


def test_s405_signing_out_ends_it_everywhere_and_clears_the_browser(
    app: Flask, browser: Browser, casey: people.Member, code: Callable[[str], str]
) -> None:
    elsewhere = signed_in(Browser(app), casey, code)
    signed_in(browser, casey, code)
    copied = browser.cookie
    answer = browser.post("/sign-out", page="/account")
    assert (answer.status_code, answer.location) == (303, "/sign-in?left=1")
    assert answer.headers["Clear-Site-Data"] == '"cache", "cookies", "storage"'
    assert "You are signed out" in browser.get("/sign-in?left=1").text
    browser.cookie = copied
    assert browser.get("/account").location == "/sign-in?next=/account"
    assert elsewhere.get("/account").location == "/sign-in?next=/account"


def test_s109_a_saved_cookie_is_refused_after_a_quarter_of_an_hour_and_polling_does_not_keep_it(
    browser: Browser, casey: people.Member, code: Callable[[str], str], moment: Moment
) -> None:
    signed_in(browser, casey, code)
    moment.pass_by(minutes=10)
    assert browser.get("/account").status_code == 200
    moment.pass_by(minutes=10)
    assert browser.get("/account", headers={"X-Background": "1"}).status_code == 200
    moment.pass_by(minutes=6)
    assert browser.get("/account").location == "/sign-in?next=/account"


def test_s109_use_is_kept_at_most_once_a_minute(
    browser: Browser, casey: people.Member, code: Callable[[str], str], moment: Moment, house: HouseSession
) -> None:
    signed_in(browser, casey, code)
    held = sign_in_queries.holder(house, browser.held()["_user_id"], people.Source("page"))
    assert held is not None
    before = held.used_at
    moment.pass_by(seconds=30)
    browser.get("/account")
    house.rollback()
    held = sign_in_queries.holder(house, browser.held()["_user_id"], people.Source("page"))
    assert held is not None
    assert held.used_at == before
    moment.pass_by(seconds=31)
    browser.get("/account")
    house.rollback()
    held = sign_in_queries.holder(house, browser.held()["_user_id"], people.Source("page"))
    assert held is not None
    assert held.used_at > before


def test_s302_a_form_without_its_token_is_refused(
    browser: Browser, casey: people.Member, code: Callable[[str], str]
) -> None:
    signed_in(browser, casey, code)
    for path, words in (
        ("/sign-out", {}),
        ("/account/password", {"present_password": casey.password, "new_password": "another harbor lantern"}),
        ("/api/v1/sign-ins/current/end", None),
    ):
        answer = browser.ask("POST", path, **({"data": words} if words is not None else {"json": {}}))
        assert answer.status_code == 400, path
    assert browser.get("/account").status_code == 200


# --- a switch of the language beside a form --------------------------------------------------------------------------


def offers_a_switch(answer: Any) -> bool:
    return '<button type="submit" form="typed" name="show_in" value="es" lang="es">' in answer.text


def given(browser: Browser, member: people.Member) -> None:
    """Give the password."""
    answer = browser.post("/sign-in", acknowledged="true", name=member.sign_in_name, password=member.password)
    assert answer.location == "/sign-in/second-step"


@pytest.mark.parametrize(("wished", "speaks"), [("fr", "en"), ("", "en"), ("../es", "en"), ("es", "es")])
@pytest.mark.parametrize("right", [False, True], ids=["wrong password", "right password"])
def test_a_switch_on_the_way_in_tries_no_password_and_puts_none_back(
    browser: Browser, casey: people.Member, house: HouseSession, wished: str, speaks: str, *, right: bool
) -> None:
    before = len(events(house))
    password = casey.password if right else "wrong and <secret>"
    typed = {"acknowledged": "true", "name": '<b>"casey', "password": password, "shared": "true"}
    typed |= {"next": "/account/sign-ins"} | ({"name": casey.sign_in_name} if right else {})
    assert offers_a_switch(browser.get("/sign-in"))
    for _ in range(6):  # one more than locks an account
        page = browser.post("/sign-in", **typed, show_in=wished)
        assert (page.status_code, spoken(page)) == (200, speaks)
        assert f'value="{escape(typed["name"])}"' in page.text
        assert len(re.findall(r'type="checkbox"[^>]* checked', page.text)) == 2
        assert 'name="next" value="/account/sign-ins"' in page.text
        assert password not in page.text
        assert str(escape(password)) not in page.text
        assert "usa-error-message" not in page.text
        assert ("__Host-language=es" in "".join(page.headers.getlist("Set-Cookie"))) is (speaks == "es")
        assert "_user_id" not in browser.held()
    assert since(house, before) == []
    assert house.scalars(select(FailedAttempt)).all() == []
    house.rollback()
    given(browser, casey)


def test_s302_a_switch_that_another_site_asks_for_is_refused_at_every_step(
    browser: Browser, casey: people.Member
) -> None:
    browser.get("/sign-in")
    typed = {"name": casey.sign_in_name, "password": casey.password, "show_in": "es"}
    for path, words in (("/sign-in", typed), ("/sign-in/second-step", {"code": "123456", "show_in": "es"})):
        bare = browser.ask("POST", path, data=words)
        assert bare.status_code == 400, path
        led = browser.ask("POST", path, data=words, headers={"Origin": "https://evil.example"})
        assert led.status_code == 403, path
        for answer in (bare, led):
            assert "__Host-language" not in "".join(answer.headers.getlist("Set-Cookie"))
            assert casey.password not in answer.text
        if path == "/sign-in":
            given(browser, casey)


@pytest.mark.parametrize("wished", ["fr", "es"])
def test_a_switch_at_the_second_step_takes_no_factor_and_puts_none_back(
    browser: Browser, house: HouseSession, casey: people.Member, code: Callable[[str], str], wished: str
) -> None:
    given(browser, casey)
    assert offers_a_switch(browser.get("/sign-in/second-step"))
    present, before, half = code(casey.sign_in_name), len(events(house)), browser.held()["_user_id"]
    for one in (present, *["000000"] * 6, casey.recovery_codes[0]):
        typed = {"code": one, "passkey": '{"id": "a-keys-own-answer"}', "next": "/account/sign-ins"}
        page = browser.post("/sign-in/second-step", **typed, show_in=wished)
        assert (page.status_code, spoken(page)) == (200, "es" if wished == "es" else "en")
        assert 'name="next" value="/account/sign-ins"' in page.text
        assert re.search(r'id="code" name="code"\s+value=""', page.text)
        assert "a-keys-own-answer" not in page.text
        assert casey.recovery_codes[0] not in page.text
        assert "usa-error-message" not in page.text
    assert browser.held()["_user_id"] == half
    assert since(house, before) == []
    assert house.scalars(select(FailedAttempt)).all() == []
    assert len(sign_in_queries.recovery_codes(house, casey.user_id)) == len(casey.recovery_codes)
    house.rollback()
    answer = browser.post("/sign-in/second-step", code=present, next="/account/sign-ins")
    assert answer.location == "/account/sign-ins", "the code was not used up"


def test_whose_account_has_a_language_gets_that_one_after_the_password_whatever_was_switched(
    browser: Browser, house: HouseSession, casey: people.Member, code: Callable[[str], str]
) -> None:
    execute(house, accounts.choose_language, actor=casey.actor(house), target=casey.user_id, data={"language": "es"})
    assert spoken(browser.post("/sign-in", name=casey.sign_in_name, show_in="en")) == "en"
    given(browser, casey)
    assert spoken(browser.get("/sign-in/second-step")) == "es"
    before = len(events(house))
    assert spoken(browser.post("/sign-in/second-step", code="", show_in="en")) == "en"
    assert since(house, before) == [], "whoever gave the password alone changes nothing of the account"
    browser.post("/sign-in/second-step", code=code(casey.sign_in_name))
    assert spoken(browser.get("/account")) == "es"


@pytest.mark.parametrize("path", ["/sign-in/enroll", "/sign-in/new-password", "/sign-in/code-sheet", "/sign-in/rules"])
def test_s103_a_switch_shows_nobody_a_page_that_they_could_not_open(
    browser: Browser, casey: people.Member, path: str
) -> None:
    given(browser, casey)
    answer = browser.post(path, "/sign-in/second-step", show_in="es")
    assert (answer.status_code, answer.location) == (303, "/sign-in/second-step")
    over = Browser(browser.client.application)
    assert over.post(path, "/sign-in", show_in="es").location == "/sign-in"


@pytest.mark.parametrize(
    "path", ["/account/password", "/account/recovery-codes", "/account/authenticator", "/sign-in/code-sheet"]
)
def test_a_switch_beside_a_secret_of_ones_account_changes_nothing_but_the_language(
    browser: Browser, house: HouseSession, casey: people.Member, code: Callable[[str], str], path: str
) -> None:
    signed_in(browser, casey, code)
    assert offers_a_switch(browser.get(path))
    before = len(events(house))
    recovery = casey.recovery_codes[0]
    typed = {"present_password": casey.password, "new_password": "another harbor lantern", "code": recovery}
    page = browser.post(path, **typed, show_in="es")
    assert (page.status_code, spoken(page)) == (200, "es")
    assert not any(secret in page.text for secret in typed.values())
    assert not re.search(r"<code", page.text), "neither a key nor codes are made"
    assert since(house, before) == [("account.language_changed", "done", None)]
    assert len(sign_in_queries.recovery_codes(house, casey.user_id)) == len(casey.recovery_codes)
    house.rollback()


def test_s108_a_switch_on_the_first_day_shows_the_same_key_again_and_promises_nothing(
    browser: Browser, house: HouseSession, agency: UUID
) -> None:
    user = people.a_user(house, agency, Role.CASE_MANAGER)
    browser.post("/sign-in", acknowledged="true", name=user.sign_in_name, password=str(user.shown_code))
    page = browser.post("/sign-in/new-password", new_password=people.PASSWORD, show_in="es")
    assert (page.status_code, spoken(page)) == (200, "es")
    assert people.PASSWORD not in page.text
    assert browser.post("/sign-in/new-password", new_password=people.PASSWORD).location == "/sign-in/enroll"
    before = len(events(house))
    key = r'<code class="tg-code">([A-Z2-7 ]+)</code>'
    page = browser.post("/sign-in/enroll", code="000000", show_in="es")
    assert spoken(page) == "es"
    assert re.findall(key, page.text) == re.findall(key, browser.get("/sign-in/enroll").text) != []
    page = browser.post("/sign-in/code-sheet", show_in="es")
    assert (spoken(page), sheet_codes(page)) == ("es", []), "no sheet is drawn"
    page = browser.post("/account/passkeys/new", name="Blue key", passkey="a-keys-own-answer", show_in="es")
    assert (spoken(page), "a-keys-own-answer" in page.text) == ("es", False)
    assert 'value="Blue key"' in page.text
    assert since(house, before) == []


def test_s803_a_switch_beside_the_rules_acknowledges_nothing_and_keeps_the_tick(
    browser: Browser, house: HouseSession, casey: people.Member, code: Callable[[str], str], moment: Moment
) -> None:
    moment.pass_by(days=365)
    given(browser, casey)
    assert browser.post("/sign-in/second-step", code=code(casey.sign_in_name)).location == "/sign-in/rules"
    before = len(events(house))
    page = browser.post("/sign-in/rules", wording="2020-01", agreed="true", show_in="es")
    assert (page.status_code, spoken(page)) == (200, "es")
    assert re.search(r'name="agreed" value="true" checked', page.text)
    assert f'name="wording" value="{sign_in_queries.WORDING}"' in page.text, "what is shown is what is agreed to"
    assert since(house, before) == []
    assert browser.get("/account").location == "/sign-in/rules"


# --- one's own account -----------------------------------------------------------------------------------------------


def test_s110_changing_the_password_keeps_this_browser_and_ends_the_others(
    app: Flask, browser: Browser, casey: people.Member, code: Callable[[str], str]
) -> None:
    elsewhere = signed_in(Browser(app), casey, code)
    signed_in(browser, casey, code)
    wrong = browser.post("/account/password", present_password="wrong", new_password="another harbor lantern")
    assert wrong.status_code == 401
    assert "another harbor lantern" not in wrong.text
    copied = browser.cookie
    answer = browser.post("/account/password", present_password=casey.password, new_password="another harbor lantern")
    assert answer.location == "/account"
    page = browser.get("/account")
    assert page.status_code == 200
    assert "Your password was changed" in page.text
    assert elsewhere.get("/account").status_code == 303
    browser.cookie = copied
    assert browser.get("/account").status_code == 303


def test_s110_one_sign_in_is_ended_from_the_list(
    app: Flask, browser: Browser, casey: people.Member, code: Callable[[str], str]
) -> None:
    elsewhere = signed_in(Browser(app), casey, code)
    signed_in(browser, casey, code)
    page = browser.get("/account/sign-ins")
    ends = re.findall(r'action="(/account/sign-ins/[0-9a-f-]+/end)"', page.text)
    assert len(ends) == 3
    for end in ends[1:]:
        browser.post(end, page="/account/sign-ins")
    assert elsewhere.get("/account").status_code == 303
    assert "That sign-in has ended" in browser.get("/account/sign-ins").text


# --- JSON ------------------------------------------------------------------------------------------------------------


def test_the_whole_way_in_by_json(browser: Browser, casey: people.Member, code: Callable[[str], str]) -> None:
    assert browser.get("/api/v1/sign-ins/current").status_code == 401
    words = {"name": casey.sign_in_name, "password": casey.password, "acknowledged": True}
    refused = browser.send("/api/v1/sign-ins", words | {"remember": True})
    assert refused.status_code == 422
    answer = browser.send("/api/v1/sign-ins", words)
    body = answer.json or {}
    assert answer.status_code == 201
    assert answer.headers["Location"] == "/api/v1/sign-ins/current"
    assert (body["next"], body["roles"]) == ("second_factor", [])
    answer = browser.send("/api/v1/sign-ins/current/second-step", {"code": "000000"}, body["csrf_token"])
    assert (answer.status_code, (answer.json or {})["code"]) == (401, "code_refused")
    wanted = {"code": code(casey.sign_in_name)}
    assert browser.send("/api/v1/sign-ins/current/second-step", wanted).status_code == 400
    body = browser.send("/api/v1/sign-ins/current/second-step", wanted, body["csrf_token"]).json or {}
    assert (body["next"], body["roles"], body["side"]) == ("full", ["case_manager"], "agency")
    current = browser.get("/api/v1/sign-ins/current").json or {}
    assert current["user_id"] == str(casey.user_id)
    listed = browser.get("/api/v1/account/sign-ins").json or {}
    assert [one["this"] for one in listed["items"]] == [True, False]
    oneself = browser.get("/api/v1/account").json or {}
    assert oneself["display_name"] == "Casey Morgan"
    assert "password_hash" not in oneself
    answer = browser.send("/api/v1/sign-ins/current/end", {}, current["csrf_token"])
    assert answer.status_code == 200
    assert browser.get("/api/v1/sign-ins/current").status_code == 401


def test_s108_the_first_day_by_json(browser: Browser, house: HouseSession, agency: UUID, moment: Moment) -> None:
    user = people.a_user(house, agency, Role.CASE_MANAGER)
    words = {"name": user.sign_in_name, "password": user.shown_code, "acknowledged": True}
    user_id = user.id
    body = browser.send("/api/v1/sign-ins", words).json or {}
    assert body["next"] == "new_password"
    path = "/api/v1/sign-ins/current/password"
    assert browser.send(path, {"new_password": "short"}, body["csrf_token"]).status_code == 422
    body = browser.send(path, {"new_password": people.PASSWORD}, body["csrf_token"]).json or {}
    assert body["next"] == "enroll"
    setup = browser.get("/api/v1/sign-ins/current/authenticator").json or {}
    assert setup["uri"].startswith("otpauth://totp/Throughgate:")
    factor = sign_in_queries.pending_factor(house, user_id)
    assert factor is not None
    wanted = {"code": factor.code_of(int(moment().timestamp()) // 30)}
    house.rollback()
    body = browser.send("/api/v1/sign-ins/current/authenticator", wanted, body["csrf_token"]).json or {}
    assert (body["next"], body["roles"]) == ("rules", [])
    assert len(body["recovery_codes"]) == 10
    refused = browser.get("/api/v1/account")
    assert refused.status_code == 401
    rules = browser.get("/api/v1/sign-ins/current/rules").json or {}
    assert rules["wording"] == sign_in_queries.WORDING
    assert len(rules["rules"]) > 5
    assert rules["acknowledged_at"] is None
    path = "/api/v1/sign-ins/current/rules"
    unread = browser.send(path, {"wording": rules["wording"], "agreed": False}, body["csrf_token"])
    assert (unread.json or {})["errors"][0]["field"] == "agreed"
    other = browser.send(path, {"wording": "2020-01", "agreed": True}, body["csrf_token"])
    assert (other.status_code, (other.json or {})["code"]) == (409, "rules_changed")
    read = {"wording": rules["wording"], "agreed": True}
    body = browser.send(path, read, body["csrf_token"]).json or {}
    assert (body["next"], body["roles"]) == ("full", ["case_manager"])
    assert (browser.send(path, read, body["csrf_token"]).json or {})["code"] == "rules_known"
    assert browser.get("/api/v1/sign-ins/current/authenticator").status_code == 409


@pytest.mark.parametrize(
    "body",
    [
        {"name": "casey\x00", "password": "x", "acknowledged": True},
        {"name": ["casey"], "password": "x", "acknowledged": True},
        {"name": "c" * 65, "password": "x", "acknowledged": True},
        {"name": "casey", "password": "x" * 129, "acknowledged": True},
        {"name": "casey", "password": 5, "acknowledged": True},
        {"name": "casey", "password": "x", "acknowledged": 1},
        {"name": "casey", "password": "x", "acknowledged": False},
        {"name": "casey", "password": "x"},
        {},
        [],
    ],
)
def test_s301_a_malformed_sign_in_is_422_and_says_which_field(browser: Browser, agency: UUID, body: Any) -> None:
    assert agency
    answer = browser.send("/api/v1/sign-ins", body)
    assert answer.status_code == 422
    assert (answer.json or {})["errors"]
