"""The first run at both doors: what is done, what is next, and nothing for who has no part in it."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from audit.models import AuditEvent
from referrals.kernel.actor import Role
from referrals.kernel.command import execute
from referrals.kernel.session import HouseSession
from referrals.staff import commands as staff
from referrals.view.models import KeptSearch
from tests.factories.account import a_member, a_user
from tests.factories.organization import a_community_organization, a_facility, an_agency
from tests.referrals.organization.conftest import Visits


def actions(session: HouseSession) -> list[str]:
    """What is on record, oldest first."""
    session.rollback()
    found = list(session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)))
    session.rollback()
    return found


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


def test_an_administrators_home_says_what_waits_for_a_second_one_and_who_never_came(
    visit: Visits, session: HouseSession
) -> None:
    agency = an_agency(session)
    ben = visit(agency, Role.ADMINISTRATOR, name="Ben Ortiz")
    worker = visit(agency, Role.CASE_MANAGER)
    before = ben.ask("/home").get_json()
    ada = a_member(session, agency.id, Role.ADMINISTRATOR, name="Ada Wells").actor(session)
    casey = a_user(session, agency.id, Role.CASE_MANAGER, name="Casey Morgan")
    execute(session, staff.propose_role, actor=ada, target=casey.id, data={"role": "supervisor"})
    told = ben.ask("/home").get_json()
    assert (before["proposed_count"], told["proposed_count"]) == (0, 1)
    assert told["invited_count"] == before["invited_count"] + 1
    page = ben.get("/home").text
    assert "Casey Morgan: Supervisor" in page
    assert 'href="/organization/people/role-proposals"' in page
    assert "People who have not used their invitation yet" in page
    theirs = worker.ask("/home").get_json()
    assert (theirs["proposed_count"], theirs["invited_count"]) == (0, 0)
    assert ben.send("/account/language", {"language": "es"}).status_code == 200
    page = ben.get("/home").text
    assert "Funciones que esperan a una segunda persona administradora" in page
    assert "Personas que aún no usaron su invitación" in page


@pytest.mark.parametrize(("wished", "speaks"), [("fr", "en"), ("es", "es")])
def test_a_switch_beside_the_search_box_keeps_what_is_typed_and_searches_nothing(
    visit: Visits, session: HouseSession, wished: str, speaks: str
) -> None:
    worker = visit(an_agency(session), Role.CASE_MANAGER)
    assert 'form="typed" name="show_in" value="es"' in worker.get("/search").text
    before = actions(session)
    page = worker.post("/search", words='Núñez "<b>', show_in=wished)
    assert (page.status_code, f'<html lang="{speaks}">' in page.text) == (200, True)
    assert 'value="Núñez &#34;&lt;b&gt;"' in page.text
    assert "usa-error-message" not in page.text
    assert actions(session)[len(before) :] == ["account.language_changed"] * (speaks == "es")
    assert session.scalars(select(KeptSearch)).all() == [], "nothing is kept, as nothing was asked"
    bare = worker.open("POST", "/search", data={"words": "Núñez", "show_in": "es"})
    assert (bare.status_code, "Núñez" in bare.text) == (400, False)


def test_a_switch_beside_what_was_found_keeps_both_the_finds_and_what_is_typed_anew(
    visit: Visits, session: HouseSession
) -> None:
    worker = visit(an_agency(session), Role.CASE_MANAGER)
    found = worker.post("/search", words="Núñez")
    assert found.status_code == 303
    shown = worker.get(found.location).text
    assert f'name="show_in" value="es" lang="es" formaction="{found.location}"' in shown
    kept = len(session.scalars(select(KeptSearch)).all())
    session.rollback()
    page = worker.post(found.location, words="Núñez Or", show_in="es")
    assert (page.status_code, '<html lang="es">' in page.text) == (200, True)
    assert 'value="Núñez Or"' in page.text
    assert "Lo que se encontró" in page.text
    assert f'formaction="{found.location}"' in page.text, "and once more, back"
    assert len(session.scalars(select(KeptSearch)).all()) == kept, "what is typed is not kept before it is asked"
    gone = worker.post("/search?search=01939d00-0000-7000-8000-000000000001", words="Núñez Or", show_in="en")
    assert (gone.status_code, 'value="Núñez Or"' in gone.text, "What was found" in gone.text) == (200, True, False)
