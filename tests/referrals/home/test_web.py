"""The first run at both doors: what is done, what is next, and nothing for who has no part in it."""

from __future__ import annotations

from referrals.kernel.actor import Role
from referrals.kernel.session import HouseSession
from tests.factories.organization import a_community_organization, a_facility, an_agency
from tests.referrals.organization.conftest import Visits


def test_who_sets_nothing_up_finds_nothing_and_is_not_led_there(visit: Visits, session: HouseSession) -> None:
    worker = visit(an_agency(session), Role.CASE_MANAGER)
    assert worker.get("/getting-started").status_code == 404
    assert worker.ask("/getting-started").get_json()["code"] == "not_found"
    assert "/getting-started" not in worker.get("/home").text


def test_an_administrator_is_led_from_home_to_what_is_next(visit: Visits, session: HouseSession) -> None:
    agency = an_agency(session)
    administrator = visit(agency, Role.ADMINISTRATOR)
    assert "/getting-started" in administrator.get("/home").text
    assert "0 of 6 done" in administrator.get("/getting-started").text
    a_facility(session, agency)
    assert "1 of 6 done" in administrator.get("/getting-started").text
    told = administrator.ask("/getting-started").get_json()["items"]
    assert [(one["code"], one["is_done"]) for one in told][:2] == [
        ("part2_answered", False),
        ("facilities_added", True),
    ]
    for one in told:
        assert administrator.get(one["url"]).status_code == 200, one


def test_a_navigator_without_a_program_is_led_to_the_first_steps(visit: Visits, session: HouseSession) -> None:
    navigator = visit(a_community_organization(session), Role.NAVIGATOR)
    page = navigator.get("/home").text
    assert "You answer for no program yet." in page
    assert "/getting-started" in page
    assert "0 of 2 done" in navigator.get("/getting-started").text
