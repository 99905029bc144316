"""Both doors' manners: who comes in, what answers carry, how refusals sound, what is recorded before a byte leaves."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from referrals.kernel import web
from referrals.kernel.actor import Actor, Role

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'; report-uri /csp-reports"
)
ALWAYS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NEVER = ("Access-Control-Allow-Origin", "X-Powered-By", "Via")


# --- headers (S-401 to S-407) -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/parcels", 200, "text/html"),
        ("HEAD", "/parcels", 200, "text/html"),
        ("GET", "/api/v1/parcels", 200, "application/json"),
        ("GET", "/nowhere", 404, "text/html"),
        ("GET", "/api/v1/nowhere", 404, "application/problem+json"),
        ("GET", "/parcels/00000000-0000-7000-8000-000000000000", 404, "text/html"),
        ("GET", "/api/v1/parcels/00000000-0000-7000-8000-000000000000", 404, "application/problem+json"),
        ("GET", "/parcels?gossip=1", 422, "text/html"),
        ("GET", "/api/v1/parcels?gossip=1", 422, "application/problem+json"),
        ("DELETE", "/parcels", 405, "text/html"),
        ("PATCH", "/api/v1/parcels", 405, "application/problem+json"),
        ("TRACE", "/parcels", 405, "text/html"),
        ("TRACE", "/api/v1/parcels", 405, "application/problem+json"),
        ("GET", "/break", 500, "text/html"),
        ("GET", "/api/v1/break", 500, "application/problem+json"),
        ("GET", "/refuse/429", 429, "text/html"),
        ("GET", "/api/v1/refuse/415", 415, "application/problem+json"),
        ("GET", "/away", 303, "text/html"),
        ("GET", "/health", 200, "text/plain"),
        ("GET", "/static/css/throughgate.css", 200, "text/css"),
        ("GET", "/static/nothing.css", 404, "text/html"),
        ("OPTIONS", "/parcels", 200, "text/html"),
    ],
)
def test_s401_every_answer_carries_the_headers(visitor: Any, method: str, path: str, status: int, kind: str) -> None:
    answer = visitor.ask(method, path)
    assert (answer.status_code, answer.mimetype) == (status, kind)
    assert {name: answer.headers.get(name) for name in ALWAYS} == ALWAYS
    assert "camera=()" in answer.headers["Permissions-Policy"]
    assert [name for name in NEVER if name in answer.headers] == []
    if not (path.startswith("/static/") and status == 200):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")
    assert not re.search(r"werkzeug|flask|python|\d\.\d", answer.headers.get("Server", ""), re.IGNORECASE)
    answer.close()


def test_s401_the_api_docs_page_alone_may_show_data_images(small_house: Any, visitor: Any) -> None:
    small_house.app.add_url_rule("/api/docs", "api_docs", lambda: "docs")
    answer = visitor.get("/api/docs")
    assert answer.headers["Content-Security-Policy"] == POLICY.replace("img-src 'self'", "img-src 'self' data:")


def test_s407_a_refused_method_says_which_are_taken(visitor: Any) -> None:
    assert visitor.ask("PUT", "/api/v1/parcels").headers["Allow"] == "GET, HEAD, OPTIONS"
    assert visitor.ask("TRACE", "/static/css/throughgate.css").status_code == 405


def test_s306_an_unknown_host_is_400_and_names_nothing(visitor: Any) -> None:
    for path in ("/parcels", "/api/v1/parcels", "/nowhere", "/static/nothing.css"):
        answer = visitor.get(path, base_url="https://evil.example")
        assert answer.status_code == 400
        assert "evil.example" not in answer.get_data(as_text=True)
        assert answer.headers["Content-Security-Policy"] == POLICY


# --- who comes in (S-201, S-302) --------------------------------------------------------------------------------------


def test_nobody_comes_in_without_a_sign_in(small_house: Any, visitor: Any) -> None:
    stranger = type(visitor)(small_house)
    page = stranger.get("/parcels")
    assert (page.status_code, page.headers["Location"]) == (303, "/sign-in?next=/parcels")
    told = stranger.get("/api/v1/parcels")
    assert (told.status_code, told.mimetype, told.json["code"]) == (401, "application/problem+json", "sign_in_needed")
    posted = stranger.ask("POST", "/parcels/00000000-0000-7000-8000-000000000000/name", data={"name": "x"})
    assert (posted.status_code, posted.headers["Location"]) == (303, "/sign-in")
    assert small_house.events() == []


def test_a_sign_in_that_no_longer_holds_is_none(small_house: Any, visitor: Any) -> None:
    assert visitor.get("/parcels").status_code == 200
    small_house.people.clear()
    assert visitor.get("/api/v1/parcels").status_code == 401


@pytest.mark.parametrize("step", ["second_factor", "enroll", "new_password", "something_new"])
def test_s103_a_sign_in_that_is_not_complete_reaches_nothing(small_house: Any, worker: Actor, step: str) -> None:
    halfway = small_house.let_in("halfway", worker, step)
    assert halfway.get("/api/v1/parcels").status_code == 401
    page = halfway.get("/parcels")
    assert page.status_code == 303
    assert page.headers["Location"].startswith("/sign-in")


@pytest.mark.parametrize("sent", [{}, {"csrf_token": ""}, {"csrf_token": "x.y.z"}], ids=["none", "empty", "forged"])
def test_s302_a_form_without_its_token_is_refused(visitor: Any, parcel: UUID, sent: dict[str, str]) -> None:
    answer = visitor.ask("POST", f"/parcels/{parcel}/name", data={"name": "second", "version": "1"} | sent)
    assert answer.status_code == 400
    assert "earlier sign-in" in answer.get_data(as_text=True)
    assert "first" in visitor.get(f"/parcels/{parcel}").get_data(as_text=True)


def test_s302_the_api_needs_the_token_too_and_takes_it_from_the_header(visitor: Any, parcel: UUID) -> None:
    bare = visitor.ask("POST", f"/api/v1/parcels/{parcel}/name", json={"name": "x"}, headers={"If-Match": "1"})
    assert (bare.status_code, bare.json["code"]) == (400, "csrf")
    assert visitor.call(f"/parcels/{parcel}/name", {"name": "x"}, headers={"If-Match": "1"}).status_code == 200


def test_s302_a_token_of_another_sign_in_is_refused(
    small_house: Any, visitor: Any, worker: Actor, parcel: UUID
) -> None:
    other = small_house.let_in("other", dataclasses.replace(worker, user_id=uuid4()))
    answer = visitor.ask(
        "POST", f"/parcels/{parcel}/name", data={"csrf_token": other.token(), "name": "x", "version": "1"}
    )
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost"},
        {"Origin": "https://localhost:8443"},
        {"Origin": "https://localhost.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_s302_another_origin_is_refused_whatever_token_it_has(
    visitor: Any, parcel: UUID, headers: dict[str, str]
) -> None:
    answer = visitor.call(f"/parcels/{parcel}/name", {"name": "x"}, headers=headers | {"If-Match": "1"})
    assert (answer.status_code, answer.json["code"]) == (403, "not_permitted")


def test_s302_our_own_origin_passes(visitor: Any, parcel: UUID) -> None:
    headers = {"Origin": "https://localhost", "Sec-Fetch-Site": "same-origin", "If-Match": "1"}
    assert visitor.call(f"/parcels/{parcel}/name", {"name": "x"}, headers=headers).status_code == 200


def test_reports_of_the_policy_are_counted_without_a_sign_in_or_a_token(small_house: Any, visitor: Any) -> None:
    body = {"csp-report": {"document-uri": "https://localhost/people/1"}}
    for browser in (visitor, type(visitor)(small_house)):
        assert browser.ask("POST", "/csp-reports", json=body, headers={"Origin": "null"}).status_code == 204


# --- cookies (S-111, S-112) -------------------------------------------------------------------------------------------


def test_s112_the_cookie_is_bound_to_this_host_and_out_of_reach_of_script(visitor: Any) -> None:
    cookies = [
        value for value in visitor.get("/parcels").headers.getlist("Set-Cookie") if value.startswith("__Host-sid=")
    ]
    assert cookies
    for cookie in cookies:
        parts = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"secure", "httponly", "samesite=lax", "path=/"} <= parts
        assert not any(part.startswith(("expires", "max-age", "domain")) for part in parts)


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_s203_a_strangers_404_is_that_of_a_random_id(small_house: Any, worker: Actor, parcel: UUID) -> None:
    stranger = small_house.let_in("s", dataclasses.replace(worker, organization_id=uuid4(), user_id=uuid4()))
    stranger.token()
    for door in ("", "/api/v1"):
        told = [stranger.get(f"{door}/parcels/{target}") for target in (parcel, uuid4())]
        bodies = [re.sub(rb"[0-9a-f-]{36}|value=\"[^\"]+\"|<time.*</time>", b"", one.get_data()) for one in told]
        assert [one.status_code for one in told] == [404, 404]
        assert bodies[0] == bodies[1]
        assert set(told[0].headers.keys()) == set(told[1].headers.keys())


def test_s308_an_unexpected_fault_tells_nothing_of_itself(visitor: Any) -> None:
    for path in ("/break", "/api/v1/break"):
        answer = visitor.get(path)
        said = answer.get_data(as_text=True)
        assert answer.status_code == 500
        for leak in ("canary", "ZeroDivision", "Traceback", "File ", "sqlalchemy", ".py"):
            assert leak not in said
        request_id = answer.headers["X-Request-Id"]
        assert request_id in said
        assert UUID(request_id).version == 7


def test_s308_the_description_of_an_http_fault_is_not_repeated(visitor: Any) -> None:
    for path in ("/refuse/403", "/api/v1/refuse/403", "/refuse/418", "/api/v1/refuse/400"):
        assert "canary" not in visitor.get(path).get_data(as_text=True)


def test_a_problem_is_told_as_rfc_9457_says(visitor: Any, parcel: UUID) -> None:
    answer = visitor.call(f"/parcels/{parcel}/name", {"name": "x" * 21, "id": "1"}, headers={"If-Match": "1"})
    told = answer.json
    assert answer.mimetype == "application/problem+json"
    assert (told["type"], told["status"], told["code"]) == ("/problems/invalid-input", 422, "invalid_input")
    assert told["title"]
    assert told["detail"]
    assert told["request_id"] == answer.headers["X-Request-Id"]
    assert [(one["field"], one["code"]) for one in told["errors"]] == [("name", "too_long"), ("id", "unknown_field")]
    assert all(one["detail"] for one in told["errors"])


def test_every_refusal_carries_its_request_number_whoever_asks(small_house: Any, visitor: Any) -> None:
    nobody = type(visitor)(small_house)
    asked = {
        401: nobody.get("/api/v1/parcels"),
        404: nobody.get("/api/v1/nowhere"),
        405: visitor.ask("DELETE", "/api/v1/break"),
    }
    for status, answer in asked.items():
        assert answer.status_code == status
        number = answer.headers["X-Request-Id"]
        assert UUID(number).version == 7
        assert number in answer.get_data(as_text=True), status


def test_the_facts_of_a_broken_rule_stand_beside_its_code(visitor: Any, parcel: UUID) -> None:
    told = visitor.call(f"/parcels/{parcel}/name", {"name": "forbidden"}, headers={"If-Match": "1"})
    assert (told.status_code, told.json["code"], told.json["facts"]) == (409, "forbidden_name", {"name": str(parcel)})


def test_every_refusal_of_the_kernel_has_a_sentence_of_its_own() -> None:
    default = str(web.SENTENCES["not_accepted"])
    said = {code: str(words) for code, words in web.SENTENCES.items()}
    assert all(one.strip() and not one.startswith("_") for one in said.values())
    assert [code for code, one in said.items() if one == default] == ["not_accepted"]


# --- on record before a byte leaves (L1) ------------------------------------------------------------------------------


@pytest.mark.usefixtures("parcel")
def test_l1_a_look_that_cannot_be_recorded_is_not_shown(small_house: Any, visitor: Any) -> None:
    assert "first" in visitor.get("/parcels").get_data(as_text=True)
    assert [one["action"] for one in small_house.events()][-1] == "parcel.counted"
    with small_house.engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit_event RENAME TO elsewhere"))
    for path in ("/parcels", "/api/v1/parcels"):
        answer = visitor.get(path)
        assert answer.status_code == 503
        assert "first" not in answer.get_data(as_text=True)


def test_l1_a_page_that_fails_leaves_no_look_behind(small_house: Any, visitor: Any) -> None:
    before = len(small_house.events())
    assert visitor.get("/parcels?size=0").status_code == 422
    assert visitor.get("/break").status_code == 500
    assert len(small_house.events()) == before


def test_s602_with_the_log_read_only_every_act_is_refused_and_changes_nothing(
    small_house: Any, visitor: Any, parcel: UUID
) -> None:
    token = visitor.token()
    with small_house.engine.begin() as connection:
        connection.execute(
            text("CREATE TRIGGER full BEFORE INSERT ON audit_event BEGIN SELECT RAISE(ABORT, 'read-only'); END")
        )
    headers = {"X-CSRFToken": token, "If-Match": "1"}
    answer = visitor.ask("POST", f"/api/v1/parcels/{parcel}/name", json={"name": "x"}, headers=headers)
    assert answer.status_code in {500, 503}
    with small_house.engine.connect() as connection:
        assert connection.execute(text("SELECT name FROM test_parcel")).scalars().all() == ["first"]


def test_a_busy_database_is_503_and_asks_to_try_again(small_house: Any, visitor: Any, parcel: UUID) -> None:
    token = visitor.token()
    with small_house.engine.execution_options(sqlite_begin="IMMEDIATE").connect() as holding:
        holding.execute(text("SELECT 1"))
        answer = visitor.ask(
            "POST",
            f"/api/v1/parcels/{parcel}/name",
            json={"name": "x"},
            headers={"X-CSRFToken": token, "If-Match": "1"},
        )
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")


# --- logs -------------------------------------------------------------------------------------------------------------


def test_the_log_of_a_fault_names_path_and_class_but_no_query_and_no_words(
    visitor: Any, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        visitor.get("/break?name=Rosa-Nunez", headers={"User-Agent": "Agent-Canary"})
    said = capsys.readouterr()
    everything = said.out + said.err + caplog.text
    assert "ZeroDivisionError" in everything
    assert "Rosa" not in everything
    assert "Agent-Canary" not in everything


def test_the_address_is_kept_as_a_pseudonym_only(small_house: Any, visitor: Any) -> None:
    visitor.get("/parcels", environ_base={"REMOTE_ADDR": "192.0.2.77"})
    visitor.get("/api/v1/parcels", environ_base={"REMOTE_ADDR": "192.0.2.77"})
    visitor.get("/parcels", environ_base={"REMOTE_ADDR": "192.0.2.78"})
    page, api, other = (one["source"] for one in small_house.events())
    assert (page["channel"], api["channel"]) == ("page", "api")
    assert page["net"] == api["net"] != other["net"]
    assert "192.0.2" not in json.dumps(small_house.events())


def test_a_place_in_the_navigation_is_shown_to_those_it_is_for(
    small_house: Any, visitor: Any, worker: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [web.Place("/parcels", "Parcels here", 1, lambda actor: actor.works_as(Role.NAVIGATOR))]
    monkeypatch.setattr(web, "PLACES", places)
    auditor = small_house.let_in("a", dataclasses.replace(worker, roles=frozenset({Role.AUDITOR})))
    assert "Parcels here" in visitor.get("/parcels").get_data(as_text=True)
    assert "Parcels here" not in auditor.get("/parcels").get_data(as_text=True)
