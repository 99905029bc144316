"""The language of pages and answers: guessed for a stranger, chosen by a person, kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from audit.models import AuditEvent
from referrals.account.models import User
from referrals.kernel.actor import Role
from referrals.kernel.providers import FileProvider
from referrals.kernel.session import HouseSession
from referrals.kernel.web import LANGUAGE_COOKIE
from referrals.sign_in import queries as sign_in_queries
from tests.factories import account as people
from tests.factories.browser import an_app
from tests.referrals.account.conftest import Moment

HERE = "https://127.0.0.1"


class Reader:
    """A browser that keeps every cookie."""

    def __init__(self, app: Flask, prefers: str = "en-US,en;q=0.9") -> None:
        self.client: FlaskClient = app.test_client()
        self.prefers = prefers

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.client.get(path, base_url=HERE, headers={"Accept-Language": self.prefers} | headers)

    def post(self, path: str, page: str, words: dict[str, str], **headers: str) -> TestResponse:
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get(page).text)
        assert found is not None, f"no form at {page}"
        words = {"csrf_token": unescape(found[1])} | words
        asked = {"Accept-Language": self.prefers, "Referer": HERE + page} | headers
        return self.client.post(path, base_url=HERE, data=words, headers=asked)

    def choose(self, language: str, page: str) -> TestResponse:
        """Choose by the address of the switch, at a page that offers this language alone or beside its form."""
        offered = re.search(rf'name="(?:language|show_in)" value="{language}" lang="{language}"', self.get(page).text)
        assert offered is not None, f"no switch at {page}"
        return self.post("/language", page, {"language": language})

    def speaks(self, path: str = "/sign-in") -> str:
        found = re.search(r'<html lang="(\w+)">', self.get(path).text)
        assert found is not None
        return found[1]

    def sign_in(self, member: people.Member, code: Callable[[str], str]) -> None:
        words = {"acknowledged": "true", "name": member.sign_in_name, "password": member.password}
        assert self.post("/sign-in", "/sign-in", words).status_code == 303
        answer = self.post("/sign-in/second-step", "/sign-in/second-step", {"code": code(member.sign_in_name)})
        assert answer.location == "/home"


@pytest.fixture
def app(house: HouseSession, sqlite_url: str, provider: FileProvider) -> Flask:
    return an_app(sqlite_url, provider, house)


@pytest.fixture
def casey(house: HouseSession, agency: UUID) -> people.Member:
    return people.a_member(house, agency, Role.CASE_MANAGER, name="Casey Morgan")


@pytest.fixture
def code(house: HouseSession, now: Moment) -> Callable[[str], str]:
    """The present code of an account; time passes, so that it is a new one."""

    def present(name: str) -> str:
        now.pass_by(seconds=61)
        found = sign_in_queries.demo_code(house, name, now())
        house.rollback()
        return found

    return present


def chosen_by(session: HouseSession, member: people.Member) -> str | None:
    session.rollback()
    found = session.scalars(select(User.language).where(User.id == member.user_id)).one()
    session.rollback()
    return found


@pytest.mark.parametrize(
    ("prefers", "expected"),
    [
        ("es", "es"),
        ("es-MX,es;q=0.9,en;q=0.8", "es"),
        ("fr-CA,es-419;q=0.7,en;q=0.3", "es"),
        ("en-US,en;q=0.9,es;q=0.8", "en"),
        ("fr", "en"),
        ("est,en", "en"),
        ("es;q=0,fr", "en"),
        ("", "en"),
        ("*", "en"),
        ("es\x00;;,q=9", "en"),
    ],
)
def test_what_a_strangers_browser_prefers_is_the_first_guess(app: Flask, prefers: str, expected: str) -> None:
    assert Reader(app, prefers.replace("\x00", "%")).speaks() == expected


def test_the_switch_stays_on_the_page_with_its_query_and_is_remembered(app: Flask) -> None:
    reader = Reader(app)
    answer = reader.choose("es", "/sign-in?next=/referrals?status%3Dsent%26sort%3Ddue")
    assert (answer.status_code, answer.location) == (303, "/sign-in?next=/referrals?status%3Dsent%26sort%3Ddue")
    kept = next(one for one in answer.headers.getlist("Set-Cookie") if one.startswith(LANGUAGE_COOKIE))
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=31536000"} <= set(kept.split("; "))
    page = reader.get("/sign-in").text
    assert '<html lang="es">' in page
    assert "Iniciar sesión" in page
    assert reader.choose("en", "/sign-in").status_code == 303
    assert reader.speaks() == "en"


@pytest.mark.parametrize(
    ("led", "to"),
    [
        ("https://evil.example/", "/"),
        ("https://evil.example/referrals", "/"),
        (f"{HERE}//evil.example/referrals", "/evil.example/referrals"),
        (f"{HERE}:8443/referrals", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
        (f"{HERE}/referrals?status=sent#top", "/referrals?status=sent"),
        (f"{HERE}/no/such/page", "/no/such/page"),
        (f"{HERE}/sign-out", "/"),
        (f"{HERE}/account/sign-ins/{UUID(int=7)}/end", "/"),
    ],
)
def test_the_switch_leads_to_a_page_of_ours_that_can_be_read(app: Flask, led: str, to: str) -> None:
    answer = Reader(app).post("/language", "/sign-in", {"language": "es"}, Referer=led)
    assert (answer.status_code, answer.location) == (303, to)


@pytest.mark.parametrize("language", ["", "fr", "ES", "es-MX", "../es", "e" * 4000])
def test_no_other_language_is_kept(app: Flask, language: str) -> None:
    reader = Reader(app)
    answer = reader.post("/language", "/sign-in", {"language": language})
    assert (answer.status_code, answer.location) == (303, "/sign-in")
    assert "Set-Cookie" not in answer.headers
    reader.client.set_cookie(LANGUAGE_COOKIE, language or "x", domain="127.0.0.1", secure=True)
    assert reader.speaks() == "en"


def test_a_choice_that_another_site_makes_is_refused(app: Flask, casey: people.Member, code: Any) -> None:
    reader = Reader(app)
    reader.sign_in(casey, code)
    words = {"language": "es"}
    assert reader.post("/language", "/home", words, Origin="https://evil.example").status_code == 403
    bare = reader.client.post("/language", base_url=HERE, data=words)
    assert bare.status_code == 400
    assert reader.speaks("/home") == "en"


def test_a_person_chooses_once_for_every_device(
    app: Flask,
    casey: people.Member,
    code: Callable[[str], str],
    house: HouseSession,
) -> None:
    reader = Reader(app)
    reader.sign_in(casey, code)
    assert reader.speaks("/home") == "en"
    assert reader.choose("es", "/account/sign-ins").location == "/account/sign-ins"
    assert reader.speaks("/home") == "es"
    assert chosen_by(house, casey) == "es"
    told = house.scalars(select(AuditEvent).where(AuditEvent.action == "account.language_changed")).all()
    assert len(told) == 1
    house.rollback()
    elsewhere = Reader(app, "es-MX")
    elsewhere.choose("en", "/sign-in")
    elsewhere.sign_in(casey, code)
    assert elsewhere.speaks("/home") == "es", "the person's own choice comes before the browser's"


def test_who_came_half_the_way_chooses_for_the_browser_only(
    app: Flask,
    casey: people.Member,
    code: Callable[[str], str],
    house: HouseSession,
) -> None:
    reader = Reader(app)
    words = {"acknowledged": "true", "name": casey.sign_in_name, "password": casey.password}
    reader.post("/sign-in", "/sign-in", words)
    assert reader.choose("es", "/sign-in/second-step").location == "/sign-in/second-step"
    assert reader.speaks("/sign-in/second-step") == "es"
    assert chosen_by(house, casey) is None
    reader.post("/sign-in/second-step", "/sign-in/second-step", {"code": code(casey.sign_in_name)})
    assert reader.speaks("/home") == "es", "what the browser was told holds until the person chooses"


def test_the_guess_of_the_sign_in_holds_behind_it_and_after_signing_out(
    app: Flask,
    casey: people.Member,
    code: Callable[[str], str],
) -> None:
    reader = Reader(app, "es-MX")
    reader.sign_in(casey, code)
    assert reader.speaks("/home") == "es"
    plain = Reader(app)
    plain.choose("es", "/sign-in")
    plain.sign_in(casey, code)
    answer = plain.post("/sign-out", "/account", {})
    assert answer.location == "/sign-in?left=1&language=es"
    plain.client.delete_cookie(LANGUAGE_COOKIE, domain="127.0.0.1", path="/")  # as Clear-Site-Data tells a browser to
    assert plain.speaks("/sign-in?left=1&language=es") == "es"
    assert plain.speaks() == "es"


def test_json_says_it_in_the_language_asked_for_and_keeps_its_codes(
    app: Flask,
    casey: people.Member,
    code: Callable[[str], str],
) -> None:
    reader = Reader(app)
    said = {
        asked: reader.get("/api/v1/account", **{"Accept-Language": asked}).get_json() for asked in ("en", "es-US", "fr")
    }
    assert {one["code"] for one in said.values()} == {"sign_in_needed"}
    assert said["en"]["title"] == said["fr"]["title"] == "Please sign in"
    assert said["es-US"]["title"] == "Inicie sesión"
    assert said["es-US"]["detail"] == "No ha iniciado sesión, o su sesión ya terminó."
    reader.sign_in(casey, code)
    token = reader.get("/api/v1/sign-ins/current").get_json()["csrf_token"]
    headers = {"X-CSRFToken": token, "Referer": HERE}
    refused = reader.client.post(
        "/api/v1/account/language", base_url=HERE, json={"language": "fr"}, headers=headers | {"Accept-Language": "es"}
    )
    assert refused.status_code == 422
    assert refused.get_json()["errors"] == [
        {"field": "language", "code": "not_a_choice", "detail": "Elija una de las respuestas que se ofrecen."}
    ]
    done = reader.client.post("/api/v1/account/language", base_url=HERE, json={"language": "es"}, headers=headers)
    assert (done.status_code, done.get_json()["language"]) == (200, "es")
    assert reader.get("/api/v1/account", **{"Accept-Language": "fr"}).get_json()["language"] == "es"
    assert reader.get("/api/v1/nowhere", **{"Accept-Language": "fr"}).get_json()["title"] == "No se encontró la página"
    assert reader.get("/api/v1/nowhere", **{"Accept-Language": "en"}).get_json()["title"] == "Page not found"


def test_what_is_shown_once_offers_no_switch_that_would_lose_it(
    app: Flask,
    casey: people.Member,
    code: Callable[[str], str],
) -> None:
    reader = Reader(app)
    reader.sign_in(casey, code)
    page = reader.post("/account/recovery-codes", "/account/recovery-codes", {"code": code(casey.sign_in_name)})
    assert len(re.findall(r'<code class="tg-code">', page.text)) == 10
    assert 'action="/language"' not in page.text


def test_the_switch_beside_a_form_keeps_what_is_typed_there_and_holds_from_then_on(
    app: Flask,
    casey: people.Member,
    code: Callable[[str], str],
    house: HouseSession,
) -> None:
    reader = Reader(app)
    reader.sign_in(casey, code)
    page = reader.get("/participants/new").text
    assert 'action="/language"' not in page
    assert page.index('type="submit" form="typed" tabindex="-1"') < page.index('name="show_in"'), "Enter saves"
    typed = {"given_name": 'Lu "Lucha" <b>', "birth_date-day": "7", "show_in": "es"}
    again = reader.post("/participants/new", "/participants/new", typed)
    assert again.status_code == 200
    assert '<html lang="es">' in again.text
    assert 'value="Lu &#34;Lucha&#34; &lt;b&gt;"' in again.text
    assert re.search(r'name="birth_date-day"[^>]*value="7"', again.text)
    assert "usa-alert--error" not in again.text
    assert chosen_by(house, casey) == "es"
    assert reader.speaks("/home") == "es"
    told = house.scalars(select(AuditEvent).where(AuditEvent.action.in_(["account.language_changed", "person.added"])))
    assert [one.action for one in told] == ["account.language_changed"]


@pytest.mark.parametrize(
    ("typed", "follows"),
    [
        ({"search": "beds & más"}, "search=beds+%26+m%C3%A1s&size=50"),
        ({"search": ""}, "size=50"),
        ({"search": "beds", "place": "Oakland"}, "search=beds&place=Oakland&size=50"),
        ({"search": "old"}, f"search=old&size=50&after={UUID(int=7)}"),
    ],
    ids=["edited", "emptied", "one more", "as it was"],
)
def test_the_switch_beside_filters_keeps_what_is_typed_there_in_the_address_and_no_token(
    app: Flask,
    casey: people.Member,
    code: Callable[[str], str],
    house: HouseSession,
    *,
    typed: dict[str, str],
    follows: str,
) -> None:
    reader = Reader(app)
    reader.sign_in(casey, code)
    here = f"/programs?search=old&size=50&after={UUID(int=7)}"
    page = reader.get("/programs").text
    assert re.search(r'<form id="filters" method="get"[^>]*>(?:(?!</form>).)*name="search"', page, re.DOTALL)
    switch = re.search(
        r'<button type="submit" form="filters" formmethod="post" formaction="([^"]+)" name="csrf_token"', page
    )
    assert switch is not None
    assert switch[1] == "/language?show_in=es"
    assert page.index('form="filters" tabindex="-1"') < page.index(switch[0]), "Enter filters"
    assert 'name="csrf_token"' not in page[page.index('<form id="filters"') :].partition("</form>")[0]
    bare = reader.client.post(switch[1], base_url=HERE, data=typed, headers={"Referer": HERE + here})
    assert (bare.status_code, chosen_by(house, casey)) == (400, None), "as every form, it shows that it came from here"
    answer = reader.post(switch[1], here, typed)
    assert (answer.status_code, answer.location) == (303, f"/programs?{follows}")
    assert "csrf" not in answer.location
    assert (chosen_by(house, casey), reader.speaks("/programs")) == ("es", "es")


@pytest.mark.parametrize("wished", ["fr", "", "//elsewhere.example"])
def test_a_switch_beside_filters_to_no_language_of_ours_changes_nothing_but_filters(
    app: Flask, casey: people.Member, code: Callable[[str], str], house: HouseSession, wished: str
) -> None:
    reader = Reader(app)
    reader.sign_in(casey, code)
    answer = reader.post(f"/language?show_in={wished}", "/programs", {"search": "beds", "language": "es"})
    assert (answer.location, chosen_by(house, casey)) == ("/programs?search=beds&language=es", None)
    away = {"Referer": "https://elsewhere.example/programs"}
    assert reader.post("/language?show_in=es", "/programs", {"search": "x"}, **away).status_code in {303, 400}
