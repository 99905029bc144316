"""Signing in and looking after accounts through both doors of the real application."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.pool import NullPool
from werkzeug.test import TestResponse

from referrals.account import commands, queries, web
from referrals.app import create_app
from referrals.kernel.actor import Role, system
from referrals.kernel.command import execute
from referrals.kernel.providers import FileProvider
from referrals.kernel.session import HouseSession
from referrals.kernel.web import HALFWAY, OPEN
from referrals.settings import Settings
from tests.factories import account as people
from tests.referrals.account.conftest import Moment, add_organization

NAME = "__Host-sid"


class Browser:
    """A client that keeps the one cookie, as a browser would on a secure address."""

    def __init__(self, app: Flask) -> None:
        self.client: FlaskClient = app.test_client(use_cookies=False)
        self.cookie = ""
        self.last: TestResponse | None = None

    def ask(self, method: str, path: str, **more: Any) -> TestResponse:
        headers = dict(more.pop("headers", {}))
        if self.cookie:
            headers["Cookie"] = f"{NAME}={self.cookie}"
        answer = self.client.open(path, method=method, base_url="https://127.0.0.1", headers=headers, **more)
        for line in answer.headers.getlist("Set-Cookie"):
            if line.startswith(f"{NAME}="):
                self.cookie = line.partition("=")[2].partition(";")[0]
        self.last = answer
        return answer

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.ask("GET", path, **more)

    def post(self, path: str, page: str = "", **words: Any) -> TestResponse:
        """Send a form, with the token of the page it stands on."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.get(page or path).text)
        assert token is not None, f"no form at {page or path}"
        return self.ask("POST", path, data={"csrf_token": unescape(token[1])} | words)

    def send(self, path: str, words: Any, token: str = "", **headers: str) -> TestResponse:
        """Send JSON."""
        return self.ask("POST", path, json=words, headers=headers | ({"X-CSRFToken": token} if token else {}))

    def sign_in(self, member: people.Member, code: Callable[[str], str]) -> None:
        words = {"acknowledged": "true", "name": member.sign_in_name, "password": member.password}
        answer = self.post("/sign-in", **words)
        assert (answer.status_code, answer.location) == (303, "/sign-in/second-step")
        answer = self.post("/sign-in/second-step", code=code(member.sign_in_name))
        assert (answer.status_code, answer.location) == (303, "/home")

    def held(self) -> dict[str, Any]:
        """What the cookie says to whoever decodes it without the key."""
        payload = self.cookie.rpartition(".")[0].rpartition(".")[0]
        packed = payload.startswith(".")
        payload = payload.lstrip(".")
        plain = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        found: dict[str, Any] = json.loads(zlib.decompress(plain) if packed else plain)
        return found


@pytest.fixture
def moment() -> Moment:
    return Moment()


@pytest.fixture
def app(sqlite_url: str, provider: FileProvider, moment: Moment) -> Flask:
    settings = Settings(
        env="development",
        database_url=sqlite_url,
        keys=str(provider.path),
        public_url="https://127.0.0.1",
        trusted_proxies=0,
        rate_url="memory://",
        smtp_url=None,
        secret_key=None,
        fast_passwords=True,
        demo_folder=None,
    )
    made = create_app(settings, clock=moment, engine_options={"poolclass": NullPool})
    made.testing = True
    made.config["RATELIMIT_ENABLED"] = False
    return made


@pytest.fixture
def house(session: HouseSession, moment: Moment) -> Iterator[HouseSession]:
    session.info["clock"] = moment
    yield session
    session.rollback()


@pytest.fixture
def agency(house: HouseSession) -> UUID:
    return add_organization(house, "Alder County Probation", "agency")


@pytest.fixture
def casey(house: HouseSession, agency: UUID) -> people.Member:
    return people.a_member(house, agency, Role.CASE_MANAGER, name="Casey Morgan")


@pytest.fixture
def ada(house: HouseSession, agency: UUID) -> people.Member:
    return people.a_member(house, agency, Role.ADMINISTRATOR, name="Ada Wells")


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(app)


@pytest.fixture
def code(house: HouseSession, moment: Moment) -> Callable[[str], str]:
    """The present code of an account; time passes, so that it is a new one."""

    def now(name: str) -> str:
        moment.pass_by(seconds=61)
        found = queries.demo_code(house, name, moment())
        house.rollback()
        return found

    return now


def signed_in(browser: Browser, member: people.Member, code: Callable[[str], str]) -> Browser:
    browser.sign_in(member, code)
    return browser


def shown(answer: TestResponse) -> str:
    """The page's words."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


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
    execute(house, commands.disable_user, actor=system("cli"), target=gone.user_id, data={"because": "left"})
    locked = people.a_member(house, agency, Role.CASE_MANAGER)
    for _ in range(5):
        with pytest.raises(commands.SignInRefusedError):
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
    factor = queries.pending_factor(house, user_id)
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
    unread = browser.post("/sign-in/rules", wording=queries.WORDING)
    assert unread.status_code == 422
    assert "Say that you will keep these rules" in unread.text
    assert browser.get("/account").location == "/sign-in/rules"
    assert browser.post("/sign-in/rules", wording=queries.WORDING, agreed="true").location == "/home"
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
    read = {"wording": queries.WORDING, "agreed": "true", "next": "/account/rules"}
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
    browser.post("/sign-in/second-step", code=queries.demo_code(house, casey.sign_in_name, moment()))
    house.rollback()
    token = (browser.get("/api/v1/sign-ins/current").json or {})["csrf_token"]
    words = {"csrf_token": token, "wording": queries.WORDING, "agreed": "true"}
    both = [browser.ask("POST", "/sign-in/rules", data=words) for _ in range(2)]
    assert [(one.status_code, one.location) for one in both] == [(303, "/home")] * 2


#: SHA-256 of each wording. A changed rule is a new wording, for people to acknowledge anew; never a new digest here.
WORDINGS = {"2026-11": "e39e63f52fdb266e4e2f1ab61570b7e310ddafe4a57289fb24a562842b342ec9"}


def test_s803_what_people_acknowledged_is_never_rewritten() -> None:
    said = {wording: "\n".join(str(rule) for rule in rules) for wording, rules in web.RULES.items()}
    assert {wording: hashlib.sha256(text.encode()).hexdigest() for wording, text in said.items()} == WORDINGS
    assert queries.WORDING in WORDINGS


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
    held = queries.holder(house, browser.held()["_user_id"], people.Source("page"))
    assert held is not None
    before = held.used_at
    moment.pass_by(seconds=30)
    browser.get("/account")
    house.rollback()
    held = queries.holder(house, browser.held()["_user_id"], people.Source("page"))
    assert held is not None
    assert held.used_at == before
    moment.pass_by(seconds=31)
    browser.get("/account")
    house.rollback()
    held = queries.holder(house, browser.held()["_user_id"], people.Source("page"))
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


# --- one's own account -----------------------------------------------------------------------------------------------


def test_the_account_page_says_who_one_is_and_what_one_works_as(
    browser: Browser, casey: people.Member, code: Callable[[str], str]
) -> None:
    page = shown(signed_in(browser, casey, code).get("/account"))
    for words in ("Casey Morgan", casey.sign_in_name, "Alder County Probation", "Case manager", "10 codes left"):
        assert words in page


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


def test_s104_new_recovery_codes_and_a_new_authenticator_through_the_pages(
    browser: Browser, casey: people.Member, code: Callable[[str], str], house: HouseSession, moment: Moment
) -> None:
    signed_in(browser, casey, code)
    assert browser.post("/account/recovery-codes", code="000000").status_code == 401
    page = browser.post("/account/recovery-codes", code=code(casey.sign_in_name))
    codes = re.findall(r"<code class=\"tg-code\">(\d+-[0-9A-Z-]{14})</code>", page.text)
    assert len(codes) == 10
    assert browser.get("/account/authenticator/new").location == "/account/authenticator"
    assert browser.post("/account/authenticator", code=codes[0]).location == "/account/authenticator/new"
    assert "Key to type" in browser.get("/account/authenticator/new").text
    factor = queries.pending_factor(house, casey.user_id)
    assert factor is not None
    shown_code = factor.code_of(int(moment().timestamp()) // 30)
    house.rollback()
    page = browser.post("/account/authenticator/new", code=shown_code)
    assert len(re.findall(r"<code class=\"tg-code\">(\d+-[0-9A-Z-]{14})</code>", page.text)) == 10
    assert browser.get("/account").status_code == 200


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
    factor = queries.pending_factor(house, user_id)
    assert factor is not None
    wanted = {"code": factor.code_of(int(moment().timestamp()) // 30)}
    house.rollback()
    body = browser.send("/api/v1/sign-ins/current/authenticator", wanted, body["csrf_token"]).json or {}
    assert (body["next"], body["roles"]) == ("rules", [])
    assert len(body["recovery_codes"]) == 10
    refused = browser.get("/api/v1/account")
    assert refused.status_code == 401
    rules = browser.get("/api/v1/sign-ins/current/rules").json or {}
    assert rules["wording"] == queries.WORDING
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


# --- people ----------------------------------------------------------------------------------------------------------


def test_an_administrator_adds_a_person_whose_code_is_shown_once(
    browser: Browser, ada: people.Member, code: Callable[[str], str], house: HouseSession
) -> None:
    signed_in(browser, ada, code)
    page = browser.get("/organization/people")
    assert "Ada Wells" in page.text
    words = {"display_name": "Nico Vale", "sign_in_name": "nico.vale", "email": "nico@example.org"}
    answer = browser.post("/organization/people/new", **words)
    assert answer.status_code == 422
    assert 'href="#roles"' in answer.text
    assert 'value="nico.vale"' in answer.text
    page = browser.post("/organization/people/new", **words, roles="case_manager")
    one_time = re.search(r"<code class=\"tg-code\">([0-9A-Z-]{19})</code>", page.text)
    assert one_time is not None
    nico = queries.by_name(house, "nico.vale")
    assert nico is not None
    at = f"/organization/people/{nico.id}"
    page = browser.get(at)
    assert "nico@example.org" in page.text
    assert one_time[1] not in page.text
    assert people.try_sign_in(house, "nico.vale", one_time[1]).token
    assert "Nico Vale" in browser.get("/organization/people").text


def test_an_administrator_gives_and_takes_roles_unlocks_resets_and_disables(
    browser: Browser, ada: people.Member, casey: people.Member, code: Callable[[str], str], house: HouseSession
) -> None:
    signed_in(browser, ada, code)
    at = f"/organization/people/{casey.user_id}"
    assert browser.post(f"{at}/roles", role="case_manager").status_code == 409
    assert browser.post(f"{at}/roles", role="supervising_officer").location == at
    page = browser.get(at)
    assert "Supervising officer" in page.text
    ends = re.findall(r'action="(/organization/roles/[0-9a-f-]+/end)"', page.text)
    assert browser.post(ends[0], page=at).location == at
    assert "Case manager" not in shown(browser.get(at))
    for _ in range(5):
        with pytest.raises(commands.SignInRefusedError):
            people.try_sign_in(house, casey.sign_in_name, "wrong wrong wrong")
    assert "after five wrong sign-ins" in browser.get(at).text
    assert browser.post(f"{at}/unlocking", page=at).location == at
    page = browser.post(f"{at}/reset", page=at)
    one_time = re.search(r"<code class=\"tg-code\">([0-9A-Z-]{19})</code>", page.text)
    assert one_time is not None
    assert browser.post(f"{at}/disabling", because="").status_code == 422
    assert browser.post(f"{at}/disabling", because="Left the office").location == at
    assert "Left the office" in browser.get(at).text
    with pytest.raises(commands.SignInRefusedError):
        people.try_sign_in(house, casey.sign_in_name, one_time[1])
    last = {"ends_on-year": "2199", "ends_on-month": "1", "ends_on-day": "31"}
    assert browser.post(f"{at}/last-day", **last).location == at
    assert "January 31, 2199" in browser.get(at).text
    assert browser.post(f"{at}/last-day", **last | {"ends_on-year": "1999"}).status_code == 422
    back = re.search(r"<code class=\"tg-code\">([0-9A-Z-]{19})</code>", browser.post(f"{at}/enabling", page=at).text)
    assert back is not None
    assert people.try_sign_in(house, casey.sign_in_name, back[1]).token


def test_s202_others_do_not_see_the_people_of_an_organization(
    app: Flask, casey: people.Member, ada: people.Member, code: Callable[[str], str], house: HouseSession
) -> None:
    elsewhere = add_organization(house, "Northside Reentry Center", "community")
    other = people.a_member(house, elsewhere, Role.ADMINISTRATOR)
    worker = signed_in(Browser(app), casey, code)
    stranger = signed_in(Browser(app), other, code)
    for path in ("/organization/people", f"/organization/people/{ada.user_id}", "/organization/people/new"):
        assert worker.get(path).status_code == 403
    assert worker.get("/api/v1/organization/people").status_code == 403
    real, random = (stranger.get(f"/api/v1/organization/people/{one}") for one in (ada.user_id, uuid4()))
    assert real.status_code == random.status_code == 404
    assert {**(real.json or {}), "request_id": ""} == {**(random.json or {}), "request_id": ""}
    assert "Ada Wells" not in stranger.get("/organization/people").text


def test_s113_an_old_second_factor_is_asked_again_before_power_is_given(
    browser: Browser, ada: people.Member, casey: people.Member, code: Callable[[str], str], moment: Moment
) -> None:
    signed_in(browser, ada, code)
    moment.pass_by(minutes=11)
    words = {"display_name": "Nico Vale", "sign_in_name": "nico.vale", "roles": "case_manager"}
    answer = browser.post("/organization/people/new", **words)
    assert answer.location == "/sign-in/second-step?next=/organization/people/new"
    assert "Enter a code once more" in browser.get(answer.location).text
    token = (browser.get("/api/v1/sign-ins/current").json or {})["csrf_token"]
    api = browser.send(f"/api/v1/organization/people/{casey.user_id}/unlocking", {}, token)
    assert (api.status_code, (api.json or {})["code"]) == (403, "fresh_sign_in_needed")
    wanted = {"code": code(ada.sign_in_name), "next": "/organization/people/new"}
    assert browser.post("/sign-in/second-step", **wanted).location == "/organization/people/new"
    assert "One-time code" in browser.post("/organization/people/new", **words).text


def test_people_by_json(browser: Browser, ada: people.Member, casey: people.Member, code: Callable[[str], str]) -> None:
    signed_in(browser, ada, code)
    token = (browser.get("/api/v1/sign-ins/current").json or {})["csrf_token"]
    words = {"display_name": "Nico Vale", "sign_in_name": "nico.vale", "roles": ["case_manager"]}
    faulty = browser.send("/api/v1/organization/people", words | {"is_admin": True, "organization_id": "x"}, token)
    assert {one["field"] for one in (faulty.json or {})["errors"]} == {"is_admin", "organization_id"}
    once = {"Idempotency-Key": "nico"}
    made = browser.send("/api/v1/organization/people", words, token, **once)
    assert made.status_code == 201
    body = made.json or {}
    again = browser.send("/api/v1/organization/people", words, token, **once)
    assert (again.status_code, again.headers["Location"]) == (201, made.headers["Location"])
    assert (again.json or {}) == body | {"one_time_code": None}
    assert re.fullmatch(r"[0-9A-Z-]{19}", body["one_time_code"])
    read = browser.get(made.headers["Location"]).json or {}
    assert read["sign_in_name"] == "nico.vale"
    assert "one_time_code" not in read
    listed = browser.get("/api/v1/organization/people").json or {}
    assert {one["sign_in_name"] for one in listed["items"]} == {"nico.vale", casey.sign_in_name, ada.sign_in_name}
    at = f"/api/v1/organization/people/{casey.user_id}"
    alone = browser.send(f"{at}/roles", {"role": "supervisor"}, token)
    assert (alone.status_code, (alone.json or {})["code"]) == (409, "second_person_needed")
    grant = browser.send(f"{at}/roles", {"role": "supervising_officer"}, token)
    assert grant.status_code == 201
    ended = browser.send(f"/api/v1/organization/roles/{(grant.json or {})['id']}/end", {}, token)
    assert (ended.json or {})["ended_at"]
    reset = browser.send(f"{at}/reset", {}, token).json or {}
    assert reset["must_change_password"] is True
    disabled = browser.send(f"{at}/disabling", {"because": "Left"}, token).json or {}
    assert disabled["disabled_at"]
    assert browser.send(f"{at}/unlocking", {}, token).status_code == 409


def test_s802_two_administrators_give_a_powerful_role_through_the_pages(
    browser: Browser, house: HouseSession, agency: UUID, ada: people.Member, code: Callable[[str], str]
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER, name="Casey Morgan")
    signed_in(browser, ada, code)
    at = f"/organization/people/{casey.user_id}"
    assert "No role waits for a second person" in browser.get("/organization/people/role-proposals").text
    assert 'value="supervisor"' not in browser.get(f"{at}/roles").text
    assert browser.post(f"{at}/role-proposals").status_code == 422
    assert browser.post(f"{at}/role-proposals", role="supervisor").location == at
    assert "Waiting for a second person : Supervisor" in shown(browser.get(at))
    page = browser.get("/organization/people/role-proposals")
    assert "You are the only administrator" in page.text
    assert "You proposed it. Another administrator answers." in page.text
    assert "Confirm role" not in page.text
    bo = people.a_member(house, agency, Role.ADMINISTRATOR, name="Bo Reyes")
    other = signed_in(Browser(browser.client.application), bo, code)
    assert "Roles that wait for a second person : 1" in shown(other.get("/organization/people"))
    page = other.get("/organization/people/role-proposals")
    assert "by Ada Wells" in page.text
    assert "You are the only administrator" not in page.text
    answers = re.findall(r"/organization/people/role-proposals/[0-9a-f-]+/confirmation", page.text)
    assert other.post(answers[0], page="/organization/people/role-proposals").location == at
    assert "Supervisor, since" in shown(other.get(at))
    assert "No role waits for a second person" in other.get("/organization/people/role-proposals").text


def test_s802_a_powerful_role_is_refused_with_a_reason_and_adding_a_person_proposes_it(
    browser: Browser, house: HouseSession, agency: UUID, ada: people.Member, code: Callable[[str], str]
) -> None:
    bo = people.a_member(house, agency, Role.ADMINISTRATOR, name="Bo Reyes")
    signed_in(browser, ada, code)
    words = {"display_name": "Nico Vale", "sign_in_name": "nico.vale", "roles": ["case_manager", "supervisor"]}
    page = browser.post("/organization/people/new", **words)
    assert "Not every role holds yet" in page.text
    other = signed_in(Browser(browser.client.application), bo, code)
    token = (other.get("/api/v1/sign-ins/current").json or {})["csrf_token"]
    listed = (other.get("/api/v1/organization/people/role-proposals").json or {})["items"]
    assert [(one["role"], one["proposed_by"]) for one in listed] == [("supervisor", str(ada.user_id))]
    at = f"/organization/people/role-proposals/{listed[0]['id']}/refusal"
    assert other.post(at, because="").status_code == 422
    assert other.post(at, because="Not before the training").location == "/organization/people/role-proposals"
    again = other.send(f"/api/v1{at}", {"because": "Once more"}, token)
    assert (again.status_code, (again.json or {})["code"]) == (409, "proposal_settled")
    nico = queries.by_name(house, "nico.vale")
    assert nico is not None
    assert nico.roles == {Role.CASE_MANAGER}
    made = other.send(f"/api/v1/organization/people/{nico.id}/role-proposals", {"role": "supervisor"}, token)
    assert (made.status_code, (made.json or {})["outcome"]) == (201, None)
    own = f"/api/v1/organization/people/role-proposals/{(made.json or {})['id']}/confirmation"
    assert other.send(own, {}, token).status_code == 403


def test_s806_a_notice_on_every_page_leads_to_what_changed_until_it_was_expected(
    browser: Browser, house: HouseSession, casey: people.Member, ada: people.Member, code: Callable[[str], str]
) -> None:
    signed_in(browser, casey, code)
    assert "Something changed on your account" not in browser.get("/account").text
    who = ada.actor(house)
    execute(house, commands.grant_role, actor=who, target=casey.user_id, data={"role": "supervising_officer"})
    execute(house, commands.reset_password, actor=system("cli"), target=casey.user_id, data={})
    execute(house, commands.set_last_day, actor=who, target=casey.user_id, data={"ends_on": "2199-01-31"})
    user = execute(house, commands.reset_password, actor=system("cli"), target=casey.user_id, data={})
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


def test_s804_an_emergency_account_says_so_in_the_list(
    browser: Browser, ada: people.Member, code: Callable[[str], str]
) -> None:
    signed_in(browser, ada, code)
    assert "Emergency" not in browser.get("/organization/people").text
    words = {"display_name": "Em Ergency", "sign_in_name": "em.ergency", "roles": "case_manager"}
    assert browser.post("/organization/people/new", **words, emergency_because="x" * 401).status_code == 422
    page = browser.post("/organization/people/new", **words, emergency_because="Flood at North Ridge")
    assert "One-time code" in page.text
    listed = browser.get("/organization/people")
    assert "Emergency until" in shown(listed)
    at = re.search(r'href="(/organization/people/[0-9a-f-]{36})"[^>]*>Em Ergency', listed.text)
    assert at is not None
    assert "Flood at North Ridge" in browser.get(at[1]).text
    told = browser.get(f"/api/v1{at[1]}").json or {}
    assert told["emergency_until"]
    ordinary = words | {"sign_in_name": "or.dinary", "emergency_because": ""}
    assert "One-time code" in browser.post("/organization/people/new", **ordinary).text
    assert shown(browser.get("/organization/people")).count("Emergency until") == 1
