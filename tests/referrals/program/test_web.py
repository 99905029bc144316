"""Both doors to programs: who comes in, what is refused and how it reads, and that page and JSON do the same."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest

from referrals.kernel.actor import Role
from referrals.kernel.session import HouseSession
from referrals.organization.models import Organization
from tests.factories.organization import a_community_organization, a_location, an_agency, last_event
from tests.factories.program import a_colleague, a_program, on_intake, with_capacity
from tests.referrals.organization.conftest import Visits

SAID: dict[str, Any] = {"name": "Ready", "categories": ["employment", "food"], "languages": ["en", "es"]}
FORMS: list[tuple[str, dict[str, Any], Role]] = [
    ("/programs/new", SAID | {"places": "Oakland\nAlameda County"}, Role.SUPERVISOR),
    ("/programs/{program}/description", SAID, Role.NAVIGATOR),
    ("/programs/{program}/capacity", {"capacity_code": "waitlist", "waiting": "4"}, Role.NAVIGATOR),
    ("/programs/{program}/intake", {"user_id": "{colleague}"}, Role.SUPERVISOR),
    ("/programs/{program}/closing", {"because": "The grant ended."}, Role.SUPERVISOR),
]


@pytest.fixture
def community(session: HouseSession) -> Organization:
    return a_community_organization(session)


@pytest.fixture
def ids(session: HouseSession, community: Organization) -> dict[str, Any]:
    program = a_program(session, community, location_id=str(a_location(session, community).id))
    on_intake(session, community, program, a_colleague(session, community, Role.NAVIGATOR, name="Nia Brooks"))
    return {"program": program.id, "colleague": a_colleague(session, community, Role.NAVIGATOR, name="Kit Rowe").id}


@pytest.mark.parametrize("path", ["/programs", "/programs/{program}", *(rule for rule, _, _ in FORMS)])
def test_nobody_comes_in_without_signing_in(visit: Visits, ids: dict[str, Any], path: str) -> None:
    answer = visit().get(path.format(**ids))
    assert (answer.status_code, answer.location.partition("?")[0]) == (303, "/sign-in")
    assert visit().send(path.format(**ids), {}).status_code in {401, 404, 405}


def test_a_stranger_reads_the_directory_and_may_not_change_it(
    visit: Visits, session: HouseSession, ids: dict[str, Any]
) -> None:
    stranger = visit(a_community_organization(session, "Second Start"), Role.SUPERVISOR, Role.NAVIGATOR)
    page = stranger.get(f"/programs/{ids['program']}")
    assert page.status_code == 200
    assert "1 person answers for this program." in page.text
    assert "Nia Brooks" not in page.text
    assert f"/programs/{ids['program']}/capacity" not in page.text
    for rule, words, _ in FORMS[1:]:
        path = rule.format(**ids)
        assert stranger.get(path).status_code == 404
        assert stranger.open("POST", path, data={"csrf_token": stranger.token()} | words).status_code == 404
        event = last_event(session)
        assert (event["outcome"], event["code"]) == ("refused", "not_found")
    assert stranger.ask(f"/programs/{ids['program']}/intake").status_code == 404
    for path in (f"/programs/{uuid4()}", f"/programs/{uuid4()}/capacity", "/programs/not-an-id"):
        assert stranger.get(path).status_code == 404


@pytest.mark.parametrize(("rule", "words", "role"), FORMS)
def test_forms_are_shown_to_who_may_and_refused_on_record_to_others(
    visit: Visits,
    session: HouseSession,
    ids: dict[str, Any],
    community: Organization,
    *,
    rule: str,
    words: dict[str, Any],
    role: Role,
) -> None:
    path = rule.format(**ids)
    given = {name: value.format(**ids) if isinstance(value, str) else value for name, value in words.items()}
    reader = visit(community, Role.ADMINISTRATOR)
    assert reader.get(path).status_code == 403
    assert reader.open("POST", path, data={"csrf_token": reader.token()} | given).status_code == 403
    assert (last_event(session)["outcome"], last_event(session)["code"]) == ("refused", "not_permitted")

    worker = visit(community, role)
    page = worker.get(path)
    assert page.status_code == 200, page.text
    assert page.text.count("<h1") == 1
    answer = worker.post(path, **given)
    assert answer.status_code == 303, answer.text
    assert worker.get(answer.location).status_code == 200
    assert (last_event(session)["outcome"], last_event(session)["source"]["channel"]) == ("done", "page")


def test_who_may_not_add_is_refused_an_agency_too(visit: Visits, session: HouseSession) -> None:
    agency = an_agency(session)
    assert visit(agency, Role.CASE_MANAGER).get("/programs/new").status_code == 403
    answer = visit(agency, Role.SUPERVISOR).post("/programs/new", **SAID)
    assert answer.status_code == 409
    assert "Programs are offered by community organizations." in answer.text


def test_what_was_typed_stays_and_every_fault_is_named(
    visit: Visits, ids: dict[str, Any], community: Organization
) -> None:
    worker = visit(community, Role.NAVIGATOR)
    answer = worker.post(
        f"/programs/{ids['program']}/description",
        name="<b>Ready</b>",
        categories=["food"],
        places="Oakland\nFruitvale",
        website="javascript:alert(1)",
    )
    assert answer.status_code == 422
    assert "&lt;b&gt;Ready&lt;/b&gt;" in answer.text
    assert "<b>Ready" not in answer.text
    assert "Oakland\nFruitvale</textarea>" in answer.text.replace("\r", "")
    assert 'href="#languages"' in answer.text
    assert 'href="#website"' in answer.text
    assert re.search(r'value="food" checked', answer.text)


def test_the_form_of_a_change_shows_what_stands_and_two_editors_are_told(
    visit: Visits, ids: dict[str, Any], community: Organization
) -> None:
    path = f"/programs/{ids['program']}/description"
    first, second = visit(community, Role.NAVIGATOR), visit(community, Role.SUPERVISOR)
    page = second.get(path)
    assert 'value="Ready to Work"' in page.text
    assert re.search(r'value="employment" checked', page.text)
    assert "Alameda County</textarea>" in page.text
    assert first.post(path, **SAID).status_code == 303
    words = {"csrf_token": second.token(), "version": "1", **SAID, "name": "Ready for Work"}
    late = second.open("POST", path, data=words)
    assert late.status_code == 409
    assert "Name of the program: two answers" in late.text
    assert "What it helps with: two answers" not in late.text, "both say the same"
    assert "Somebody else changed this" in late.text


def test_capacity_shows_how_old_it_is_and_still_true_is_one_press(
    visit: Visits, session: HouseSession, ids: dict[str, Any], community: Organization
) -> None:
    worker = visit(community, Role.NAVIGATOR, name="Nia Brooks")
    path = f"/programs/{ids['program']}/capacity"
    assert "Nobody has said yet" in worker.get(path).text
    assert "Not said" in worker.get("/programs").text
    answer = worker.post(path, capacity_code="capacity", open_places="0")
    assert answer.status_code == 422
    assert "at least one open place" in answer.text
    assert worker.post(path, capacity_code="capacity", open_places="2", expected_days="10").status_code == 303
    page = worker.get(f"/programs/{ids['program']}")
    assert "2 open places" in page.text
    assert "by Nia Brooks" in page.text
    assert "Stale" not in page.text

    answer = worker.open(
        "POST", f"{path}/confirmation", data={"csrf_token": worker.token(), "capacity_code": "capacity"}
    )
    assert answer.status_code == 303
    assert last_event(session)["action"] == "program.capacity_confirmed"
    answer = worker.open(
        "POST", f"{path}/confirmation", data={"csrf_token": worker.token(), "capacity_code": "no_capacity"}
    )
    assert answer.status_code == 409


def test_who_answers_is_added_and_removed(visit: Visits, ids: dict[str, Any], community: Organization) -> None:
    leader = visit(community, Role.SUPERVISOR)
    path = f"/programs/{ids['program']}/intake"
    assert "Kit Rowe" in leader.get(path).text
    assert leader.post(path, user_id=str(ids["colleague"])).status_code == 303
    assert "Remove Kit Rowe" in leader.get(path).text
    listed = leader.ask(path).get_json()
    assert str(ids["colleague"]) in {one["user_id"] for one in listed["items"]}
    token = leader.token()
    removal = {"csrf_token": token, "user_id": str(ids["colleague"])}
    assert leader.open("POST", f"{path}/removal", data=removal).status_code == 303
    assert leader.open("POST", f"{path}/removal", data=removal).status_code == 409
    again = leader.send(path, {"user_id": str(ids["colleague"])})
    assert (again.status_code, again.get_json()["user_id"]) == (201, str(ids["colleague"]))


def test_json_does_what_the_page_does(visit: Visits, session: HouseSession, community: Organization) -> None:
    leader = visit(community, Role.SUPERVISOR)
    answer = leader.send("/programs", SAID | {"places": ["Oakland"]})
    assert answer.status_code == 201, answer.text
    made = answer.get_json()
    assert (made["places"], made["capacity_is_stale"], made["organization_name"]) == (
        ["Oakland"],
        True,
        community.name,
    )
    assert answer.headers["Location"].endswith(f"/programs/{made['id']}")
    room = {"capacity_code": "capacity", "open_places": 1}
    assert leader.send(f"/programs/{made['id']}/capacity", room).status_code == 428
    capacity = leader.send(f"/programs/{made['id']}/capacity", room, If_Match=answer.headers["ETag"])
    assert (capacity.status_code, capacity.get_json()["capacity_is_stale"]) == (200, False)
    etag = capacity.headers["ETag"]
    assert leader.send(f"/programs/{made['id']}/description", SAID).status_code == 428
    changed = leader.send(f"/programs/{made['id']}/description", SAID | {"name": "R"}, If_Match=etag)
    assert (changed.status_code, changed.get_json()["name"]) == (200, "R")
    faults = leader.send("/programs", {"name": 5, "gossip": 1}).get_json()
    assert {one["field"] for one in faults["errors"]} == {"name", "gossip", "categories", "languages"}
    assert last_event(session)["source"]["channel"] == "api"


def test_filters_live_in_the_address_and_unknown_ones_are_refused(
    visit: Visits, session: HouseSession, ids: dict[str, Any], community: Organization
) -> None:
    assert str(ids["program"]) in visit(community, Role.NAVIGATOR).get("/programs").text
    a_program(session, community, "Casa Cañón", categories=["housing"], languages=["es"])
    with_capacity(session, community, a_program(session, community, "Open Now"))
    reader = visit(an_agency(session), Role.CASE_MANAGER)

    def found(words: str) -> list[str]:
        return [one["name"] for one in reader.ask(f"/programs?{words}").get_json()["items"]]

    assert found("") == ["Casa Cañón", "Open Now", "Ready to Work"]
    assert found("category=housing") == ["Casa Cañón"]
    assert found("language=es&search=canon") == ["Casa Cañón"]
    assert found("with_room=yes") == ["Open Now"]
    assert found("place=oakland") == ["Ready to Work"]
    assert found(f"organization_id={community.id}&category=") == ["Casa Cañón", "Open Now", "Ready to Work"]
    page = reader.get("/programs?category=housing&search=canon")
    assert "Programs (1)" in page.text
    assert 'href="/programs?category=housing"' in page.text
    assert "Nothing matches" in reader.get("/programs?search=zzz").text
    for words in ("category=magic", "gossip=1", "size=7", "after=x", "search=" + "x" * 101):
        assert reader.ask(f"/programs?{words}").status_code == 422
        assert reader.get(f"/programs?{words}").status_code == 422


def test_the_directory_is_sorted_and_narrowed_by_wait(
    visit: Visits, session: HouseSession, community: Organization
) -> None:
    waits = {"Alpha": ("waitlist", 40), "Bravo": ("waitlist", 5), "Charlie": ("capacity", None), "Delta": (None, None)}
    for name, (code, days) in waits.items():
        made = a_program(session, community, name)
        if code is not None:
            said = {"capacity_code": code, "open_places": None, "expected_days": days}
            with_capacity(session, community, made, **said)
    reader = visit(community, Role.NAVIGATOR)

    def found(words: str) -> list[str]:
        names, after = [], ""
        while True:
            page = reader.ask(f"/programs?{words}{after}").get_json()
            names += [one["name"] for one in page["items"] if one["name"] in waits]
            if page["next"] is None:
                return names
            after = f"&after={page['next']}"

    assert found("sort=-name") == ["Delta", "Charlie", "Bravo", "Alpha"]
    assert found("sort=wait") == ["Charlie", "Bravo", "Alpha", "Delta"]
    assert found("wait=30") == ["Bravo", "Charlie"]
    late = a_program(session, community, "Room later")
    with_capacity(session, community, late, capacity_code="capacity", expected_days=14)
    assert "Room later" not in reader.get("/programs?wait=7").text
    assert "Room later" in reader.get("/programs?wait=30").text
    for number in range(26):
        a_program(session, community, f"Program {number:02}")
    assert found("sort=wait") == ["Charlie", "Bravo", "Alpha", "Delta"]
    assert found("sort=-wait") == ["Delta", "Alpha", "Bravo", "Charlie"]
    page = reader.get("/programs?sort=wait&wait=30&size=50").text
    assert 'aria-sort="ascending"' in page
    assert 'href="/programs?sort=wait&amp;size=50"' in page
    assert reader.get("/programs?sort=capacity").status_code == 422


def test_pages_of_the_directory_follow_each_other(
    visit: Visits, session: HouseSession, community: Organization
) -> None:
    for number in range(27):
        a_program(session, community, f"Program {number:02}", categories=["food"])
    reader = visit(community, Role.NAVIGATOR)
    first = reader.ask("/programs?category=food").get_json()
    second = reader.ask(f"/programs?category=food&after={first['next']}").get_json()
    assert [one["name"] for one in first["items"] + second["items"]] == [f"Program {n:02}" for n in range(27)]
    assert second["next"] is None
    assert f"category=food&amp;after={first['next']}" in reader.get("/programs?category=food").text
    assert len(reader.ask("/programs?size=50").get_json()["items"]) == 27
