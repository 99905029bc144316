"""Both doors to organizations: who comes in, what is refused and how it reads, and that page and JSON do the same."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from flask import Flask

from referrals.kernel.actor import Role
from referrals.kernel.session import HouseSession
from referrals.organization.models import Organization
from tests.factories.organization import (
    a_closing_day,
    a_community_organization,
    a_facility,
    a_location,
    a_room,
    a_working_day,
    an_agency,
    last_event,
)
from tests.referrals.organization.conftest import Visits


@pytest.fixture
def agency(session: HouseSession) -> Organization:
    return an_agency(session)


@pytest.fixture
def community(session: HouseSession) -> Organization:
    return a_community_organization(session, part2_program="unknown")


READINGS = [
    "/organization",
    "/organizations",
    "/organizations/{agency}",
    "/organizations/{agency}/facilities",
    "/facilities/{facility}",
    "/organizations/{agency}/closing-days",
    "/organizations/{community}",
    "/organizations/{community}/locations",
    "/locations/{location}",
]
FORMS: list[tuple[str, str, dict[str, Any]]] = [
    ("/organizations/{agency}/description", "agency", {"name": "Sierra Department", "city": "Fresno"}),
    ("/organizations/{agency}/part2-program", "agency", {"part2_program": "no", "because": "Counsel looked."}),
    ("/organizations/{agency}/facilities/new", "agency", {"name": "North Annex", "capacity": "40"}),
    ("/facilities/{facility}/description", "agency", {"name": "Pine Ridge", "kind": "jail"}),
    ("/facilities/{facility}/rooms/new", "agency", {"name": "Room 4", "seats": "6"}),
    ("/rooms/{room}/ending", "agency", {}),
    ("/organizations/{agency}/closing-days/new", "agency", {"closed_on": a_working_day(30), "because": "Inventory"}),
    ("/closing-days/{closing_day}/withdrawal", "agency", {}),
    ("/facilities/{facility}/ending", "agency", {}),
    ("/organizations/{community}/locations/new", "community", {"name": "Annex", "state": "CA"}),
    ("/locations/{location}/description", "community", {"name": "Main office", "postal_code": "94601"}),
    ("/locations/{location}/ending", "community", {}),
]


@pytest.fixture
def ids(session: HouseSession, agency: Organization, community: Organization) -> dict[str, Any]:
    facility = a_facility(session, agency, website="https://pine.example/")
    return {
        "agency": agency.id,
        "community": community.id,
        "facility": facility.id,
        "room": a_room(session, agency, facility).id,
        "closing_day": a_closing_day(session, agency).id,
        "location": a_location(session, community).id,
    }


@pytest.mark.parametrize("path", [*READINGS, *(rule for rule, _, _ in FORMS)])
def test_nobody_comes_in_without_signing_in(visit: Visits, ids: dict[str, Any], path: str) -> None:
    nobody = visit()
    answer = nobody.get(path.format(**ids))
    assert (answer.status_code, answer.location.partition("?")[0]) == (303, "/sign-in")
    for answer in (nobody.ask(path.format(**ids)), nobody.send(path.format(**ids), {})):
        assert answer.status_code in {401, 404, 405}
        assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize("path", READINGS)
def test_every_page_reads_and_its_json_answers(
    visit: Visits, ids: dict[str, Any], agency: Organization, community: Organization, path: str
) -> None:
    for where, role in ((agency, Role.CASE_MANAGER), (community, Role.ADMINISTRATOR), (agency, Role.AUDITOR)):
        visitor = visit(where, role)
        page = visitor.get(path.format(**ids))
        assert page.status_code == 200, page.text
        assert page.text.count("<h1") == 1
        answer = visitor.ask(path.format(**ids))
        assert (answer.status_code, answer.mimetype) == (200, "application/json")


@pytest.mark.parametrize("path", [path for path in READINGS if "{" in path])
def test_what_does_not_exist_is_the_same_404_at_both_doors(
    visit: Visits, ids: dict[str, Any], agency: Organization, path: str
) -> None:
    visitor = visit(agency, Role.ADMINISTRATOR)
    wrong = path.format(**dict.fromkeys(ids, uuid4()))
    assert visitor.get(wrong).status_code == 404
    answer = visitor.ask(wrong)
    assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(("rule", "owner", "words"), FORMS)
def test_forms_are_shown_to_who_may_and_refused_on_record_to_others(
    visit: Visits,
    session: HouseSession,
    ids: dict[str, Any],
    agency: Organization,
    community: Organization,
    *,
    rule: str,
    owner: str,
    words: dict[str, Any],
) -> None:
    path = rule.format(**ids)
    home, other = (agency, community) if owner == "agency" else (community, agency)
    colleague, stranger = visit(home, Role.SUPERVISOR), visit(other, Role.ADMINISTRATOR)
    for visitor, status, code in ((colleague, 403, "not_permitted"), (stranger, 404, "not_found")):
        assert visitor.get(path).status_code == status
        assert (last_event(session)["outcome"], last_event(session)["code"]) == ("refused", code)
        answer = visitor.open("POST", path, data={"csrf_token": visitor.token(), "version": "1"} | words)
        assert answer.status_code == status
        assert (last_event(session)["outcome"], last_event(session)["code"]) == ("refused", code)

    administrator = visit(home, Role.ADMINISTRATOR)
    page = administrator.get(path)
    assert page.status_code == 200, page.text
    answer = administrator.post(path, **words)
    assert answer.status_code == 303, answer.text
    assert administrator.get(answer.location).status_code == 200
    assert (last_event(session)["outcome"], last_event(session)["source"]["channel"]) == ("done", "page")


def test_what_was_typed_stays_and_every_fault_is_named(visit: Visits, agency: Organization) -> None:
    visitor = visit(agency, Role.ADMINISTRATOR)
    answer = visitor.post(
        f"/organizations/{agency.id}/facilities/new",
        name="<script>alert(1)</script>",
        latitude="north",
        website="javascript:alert(1)",
    )
    assert answer.status_code == 422
    assert 'href="#latitude"' in answer.text
    assert 'href="#website"' in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text
    assert "<script>alert" not in answer.text
    assert "Error:" in answer.text


def test_an_imported_address_that_is_no_web_address_becomes_no_link(app: Flask) -> None:
    with app.test_request_context():
        link = app.jinja_env.get_template("organization/link.html").module.web_link  # type: ignore[attr-defined]
        assert str(link("https://pine.example/")).startswith('<a href="https://pine.example/"')
        for address in ("javascript:alert(1)", "data:text/html,x", "//pine.example", 'x" onclick="y'):
            assert "<a" not in str(link(address))
            assert '"' not in str(link(address))


def test_json_does_what_the_page_does_with_versions_and_places(
    visit: Visits, session: HouseSession, agency: Organization
) -> None:
    visitor = visit(agency, Role.ADMINISTRATOR)
    answer = visitor.send(f"/organizations/{agency.id}/facilities", {"name": "North Annex", "capacity": 40})
    assert answer.status_code == 201, answer.text
    made = answer.get_json()
    assert answer.headers["Location"].endswith(f"/api/v1/facilities/{made['id']}")
    assert (made["name"], made["capacity"], made["version"]) == ("North Annex", 40, 1)

    read = visitor.ask(f"/facilities/{made['id']}")
    etag = read.headers["ETag"]
    rule = f"/facilities/{made['id']}/description"
    said = {"name": "North Annex", "capacity": 38}
    assert visitor.send(rule, said).status_code == 428
    assert visitor.send(rule, said, If_Match='"99"').status_code == 412
    changed = visitor.send(rule, said, If_Match=etag)
    assert (changed.status_code, changed.get_json()["version"]) == (200, 2)
    assert visitor.send(rule, said, If_Match=etag).status_code == 412
    assert last_event(session)["source"]["channel"] == "api"


def test_the_log_knows_the_answer_about_part_2_and_the_page_shows_its_reason(
    visit: Visits, session: HouseSession, community: Organization
) -> None:
    visitor = visit(community, Role.ADMINISTRATOR)
    page = visitor.get(f"/organizations/{community.id}")
    assert "Not known yet" in page.text
    answer = visitor.post(
        f"/organizations/{community.id}/part2-program", part2_program="yes", because="We run a clinic."
    )
    assert answer.status_code == 303
    page = visitor.get(answer.location)
    assert "We run a clinic." in page.text
    assert "The answer is on record." in page.text
    event = last_event(session)
    assert (event["action"], event["on"][0]["set"]["part2_program"]) == ("organization.part2_program_set", "yes")


def test_unknown_query_words_are_refused_and_pages_go_on(
    visit: Visits, session: HouseSession, agency: Organization
) -> None:
    visitor = visit(agency, Role.CASE_MANAGER)
    assert visitor.ask("/organizations?gossip=1").status_code == 422
    assert visitor.get("/organizations?after=nonsense").status_code == 422
    for number in range(52):
        a_facility(session, agency, f"Facility {number:03}")
    here = f"/organizations/{agency.id}/facilities"
    first = visitor.ask(here).get_json()
    second = visitor.ask(f"{here}?after={first['next']}").get_json()
    names = [one["name"] for one in first["items"] + second["items"]]
    assert names == [f"Facility {number:03}" for number in range(52)]
    assert second["next"] is None
    assert f"?after={first['next']}" in visitor.get(here).text
