"""Both doors to the log: who gets in, what stands there, and that no content does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from referrals.kernel.actor import Role
from referrals.kernel.orm import uuid7
from referrals.kernel.session import HouseSession
from tests.factories.organization import last_event
from tests.factories.oversight import NUMBER, Watched, a_watched_house, see

CANARY = "Canaryshire"
PATHS = ("/oversight", "/oversight/events", "/oversight/participants")


@pytest.fixture
def house(session: HouseSession) -> Watched:
    """A watched house whose participant's identity and contacts hold a word that must turn up nowhere."""
    made = a_watched_house(
        session, given_name=CANARY, family_name=CANARY, preferred_name=CANARY, phone=f"510 {CANARY}", address=CANARY
    )
    see(session, made.case_manager, made.person)
    see(session, made.navigator, made.person)
    return made


@pytest.mark.parametrize(
    "path", ["/oversight", "/oversight/events", "/oversight/events/01890000-0000-7000-8000-000000000000"]
)
def test_s604_a_wrong_role_gets_403_at_both_doors_and_is_recorded(
    session: HouseSession, house: Watched, sign_in: Callable[..., Any], path: str
) -> None:
    browser = sign_in(house.agency, Role.SUPERVISOR)
    assert browser.get(path).status_code == 403
    told = browser.get(f"/api/v1{path}")
    assert (told.status_code, told.json["code"]) == (403, "not_permitted")
    refusal = last_event(session)
    assert (refusal["outcome"], refusal["code"], refusal["actor"]["role"]) == ("refused", "not_permitted", "supervisor")


def test_the_search_for_a_reference_is_no_ones_elses_either(
    session: HouseSession, house: Watched, sign_in: Callable[..., Any]
) -> None:
    browser = sign_in(house.agency, Role.CASE_MANAGER)
    assert browser.call("/oversight/participants", {"agency_number": NUMBER}).status_code == 403
    assert last_event(session)["action"] == "oversight.participant_searched"
    assert "Oversight" not in browser.get("/account").get_data(as_text=True)


def test_nobody_comes_in_without_a_sign_in(app: Any) -> None:
    for path in PATHS:
        assert app.test_client().get(path, base_url="https://localhost").status_code == 303
        assert app.test_client().get(f"/api/v1{path}", base_url="https://localhost").status_code in {401, 405}


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ("user=x", "user"),
        ("outcome=maybe", "outcome"),
        ("since=yesterday", "since"),
        ("action=" + "a" * 101, "action"),
        ("gossip=1", "gossip"),
        ("action=%00", "action"),
        ("since=2026-02-02&until=2026-02-01", "until"),
    ],
)
def test_a_wrong_filter_names_its_field(house: Watched, sign_in: Callable[..., Any], words: str, field: str) -> None:
    browser = sign_in(house.agency, Role.AUDITOR)
    told = browser.get(f"/api/v1/oversight/events?{words}")
    assert (told.status_code, told.json["errors"][0]["field"]) == (422, field)
    assert browser.get(f"/oversight/events?{words}").status_code == 422


def test_a_stranger_and_a_random_id_get_the_same_404(
    session: HouseSession, house: Watched, sign_in: Callable[..., Any]
) -> None:
    event_id = last_event(session, "consent.given")["id"]
    browser = sign_in(house.other_agency, Role.AUDITOR)
    pages = [browser.get(f"/oversight/events/{one}") for one in (event_id, uuid7())]
    # The request's id, the form's token (it carries the second it was made in) and the time of printing.
    changing = r'[0-9a-f-]{36}|name="csrf_token" value="[^"]+"|<time.*</time>'
    bodies = [re.sub(changing, "", page.get_data(as_text=True)) for page in pages]
    assert [page.status_code for page in pages] == [404, 404]
    assert bodies[0] == bodies[1]
    assert sign_in(house.agency, Role.AUDITOR).get(f"/oversight/events/{event_id}").status_code == 200


def test_the_page_says_who_what_when_and_on_which_basis_and_no_content(
    house: Watched, sign_in: Callable[..., Any]
) -> None:
    browser = sign_in(house.agency, Role.AUDITOR)
    page = browser.get(f"/oversight/events?subject={house.ref}").get_data(as_text=True)
    for words in ("Nia Brooks", "Navigator", "Open Door Center", "person.viewed", "Consent", "Done", "UTC", "Page"):
        assert words in page, words
    assert f"subject={house.ref}" in page
    assert "event on this page" in page or "events on this page" in page
    for path in (
        *("/oversight", "/oversight/events", f"/oversight/events?subject={house.ref}", "/oversight/participants"),
        *("/api/v1/oversight", "/api/v1/oversight/events", f"/api/v1/oversight/events?subject={house.ref}"),
    ):
        answer = browser.get(path)
        assert answer.status_code == 200
        assert CANARY not in answer.get_data(as_text=True)
        assert NUMBER not in answer.get_data(as_text=True)


def test_every_event_has_its_own_page_without_content(house: Watched, sign_in: Callable[..., Any]) -> None:
    browser = sign_in(house.agency, Role.AUDITOR)
    rows = browser.get("/api/v1/oversight/events").json["items"]
    assert len(rows) > 5
    for row in rows:
        page = browser.get(f"/oversight/events/{row['id']}")
        assert page.status_code == 200
        assert CANARY not in page.get_data(as_text=True)
        told = browser.get(f"/api/v1/oversight/events/{row['id']}").json
        assert (told["action"], told["intact"]) == (row["action"], True)


def test_json_follows_its_pages_to_the_end(house: Watched, sign_in: Callable[..., Any]) -> None:
    browser = sign_in(house.agency, Role.AUDITOR)
    for _ in range(55):
        browser.get("/api/v1/oversight")
    first = browser.get("/api/v1/oversight/events?action=oversight.state_viewed").json
    assert (len(first["items"]), first["next"]) == (50, first["items"][-1]["id"])
    second = browser.get(f"/api/v1/oversight/events?action=oversight.state_viewed&after={first['next']}").json
    assert (len(second["items"]), second["next"]) == (5, None)
    page = browser.get("/oversight/events?action=oversight.state_viewed").get_data(as_text=True)
    assert f"after={first['next']}" in page


def test_a_number_is_posted_and_leads_to_the_reference(
    session: HouseSession, house: Watched, sign_in: Callable[..., Any]
) -> None:
    browser = sign_in(house.agency, Role.AUDITOR)
    page = browser.post("/oversight/participants", agency_number=NUMBER)
    body = page.get_data(as_text=True)
    assert page.status_code == 200
    assert f"/oversight/events?subject={house.ref}" in body
    assert CANARY not in body
    told = browser.call("/oversight/participants", {"agency_number": NUMBER})
    assert told.json["items"] == [{"subject": str(house.ref)}]
    assert NUMBER not in json.dumps(last_event(session, "oversight.participant_searched"))
    nobody = browser.post("/oversight/participants", agency_number="CN-1")
    assert "recorded nobody under this number" in nobody.get_data(as_text=True)
    assert browser.post("/oversight/participants", agency_number="").status_code == 422


def test_filters_in_force_can_be_taken_away_one_by_one(house: Watched, sign_in: Callable[..., Any]) -> None:
    browser = sign_in(house.agency, Role.AUDITOR)
    path = f"/oversight/events?outcome=done&user={house.case_manager.me}"
    page = browser.get(path).get_data(as_text=True)
    assert "Outcome: Done" in page
    assert "User: Casey Morgan" in page
    assert 'href="/oversight/events?outcome=done"' in page.replace("&amp;", "&")
    empty = browser.get("/oversight/events?action=nothing.happened").get_data(as_text=True)
    assert "No event that you may see fits these filters." in empty


def test_the_state_tells_how_the_log_stands(house: Watched, sign_in: Callable[..., Any]) -> None:
    browser = sign_in(house.agency, Role.AUDITOR)
    told = browser.get("/api/v1/oversight").json
    assert told["events"] > 10
    assert told["missing_guards"] == []
    page = browser.get("/oversight").get_data(as_text=True)
    assert "All in place" in page
    assert 'href="/oversight"' in page


def test_each_request_of_an_auditor_leaves_one_event(
    session: HouseSession, house: Watched, sign_in: Callable[..., Any]
) -> None:
    browser = sign_in(house.agency, Role.AUDITOR)
    for path, action in (
        ("/oversight", "oversight.state_viewed"),
        ("/oversight/events?outcome=refused", "oversight.log_queried"),
        (f"/oversight/events/{last_event(session, 'consent.given')['id']}", "oversight.event_viewed"),
    ):
        for door in ("", "/api/v1"):
            before = browser.get("/api/v1/oversight").json["events"]
            browser.get(f"{door}{path}")
            event = last_event(session)
            session.rollback()
            assert (event["action"], event["source"]["channel"]) == (action, "api" if door else "page")
            assert browser.get("/api/v1/oversight").json["events"] == before + 2  # the request, and this count
            assert UUID(event["request"])


def test_a_switch_beside_the_search_for_a_reference_keeps_the_number_and_looks_for_nobody(
    session: HouseSession, house: Watched, sign_in: Callable[..., Any]
) -> None:
    browser = sign_in(house.agency, Role.AUDITOR)
    assert 'form="typed" name="show_in" value="es"' in browser.get("/oversight/participants").text
    page = browser.post("/oversight/participants", agency_number=NUMBER, show_in="es")
    assert (page.status_code, '<html lang="es">' in page.text, f'value="{NUMBER}"' in page.text) == (200, True, True)
    assert str(house.ref) not in page.text
    assert last_event(session)["action"] == "account.language_changed"
