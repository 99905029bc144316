"""Looking after accounts through both doors of the real application."""

from __future__ import annotations

import re
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from flask import Flask

from referrals.account import queries
from referrals.kernel.actor import Role
from referrals.kernel.session import HouseSession
from referrals.sign_in import commands as sign_ins
from tests.factories import account as people
from tests.referrals.account.conftest import Browser, Moment, add_organization, events, shown, signed_in, since, spoken

# --- one's own account -----------------------------------------------------------------------------------------------


def test_the_account_page_says_who_one_is_and_what_one_works_as(
    browser: Browser, casey: people.Member, code: Callable[[str], str]
) -> None:
    page = shown(signed_in(browser, casey, code).get("/account"))
    for words in ("Casey Morgan", casey.sign_in_name, "Alder County Probation", "Case manager", "10 codes left"):
        assert words in page


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


def test_a_switch_of_the_language_keeps_a_half_typed_person_and_adds_nobody(
    browser: Browser, ada: people.Member, code: Callable[[str], str], house: HouseSession
) -> None:
    signed_in(browser, ada, code)
    at, before = "/organization/people/new", len(events(house))
    typed = {
        "display_name": "Nico <Vale>",
        "sign_in_name": "nico.vale",
        "email": "nico@example.org",
        "phone": "555 0100",
    }
    page = browser.post(at, **typed, roles=["case_manager", "supervisor"], emergency_because="Flood", show_in="es")
    assert (page.status_code, spoken(page)) == (200, "es")
    for value in ("Nico &lt;Vale&gt;", "nico.vale", "nico@example.org", "555 0100", "Flood"):
        assert f'value="{value}"' in page.text
    assert re.findall(r'value="(\w+)" checked', page.text) == ["case_manager", "supervisor"]
    assert "usa-error-message" not in page.text
    assert since(house, before) == [("account.language_changed", "done", None)]
    assert queries.by_name(house, "nico.vale") is None
    house.rollback()
    page = browser.post(at, **typed, show_in="en")
    assert (spoken(page), re.findall(r'value="(\w+)" checked', page.text)) == ("en", [])


def test_s202_a_switch_shows_the_form_to_nobody_who_could_not_open_it(
    browser: Browser, casey: people.Member, code: Callable[[str], str]
) -> None:
    signed_in(browser, casey, code)
    path = "/organization/people/new"
    page = browser.post(path, "/account", show_in="es", display_name="Nico Vale")
    assert (page.status_code, browser.get(path).status_code) == (403, 403)
    assert "Nico Vale" not in page.text


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
        with pytest.raises(sign_ins.SignInRefusedError):
            people.try_sign_in(house, casey.sign_in_name, "wrong wrong wrong")
    assert "after five wrong sign-ins" in browser.get(at).text
    assert browser.post(f"{at}/unlocking", page=at).location == at
    page = browser.post(f"{at}/reset", page=at)
    one_time = re.search(r"<code class=\"tg-code\">([0-9A-Z-]{19})</code>", page.text)
    assert one_time is not None
    assert browser.post(f"{at}/disabling", because="").status_code == 422
    assert browser.post(f"{at}/disabling", because="Left the office").location == at
    assert "Left the office" in browser.get(at).text
    with pytest.raises(sign_ins.SignInRefusedError):
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
