"""What somebody who left has open: who may know what of it, and that it shrinks as it is handed over (S-807)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event, select

from referrals.account.models import User
from referrals.handoff import commands as handoff
from referrals.home import queries as q
from referrals.kernel.actor import Role, system
from referrals.kernel.command import execute
from referrals.kernel.errors import NotFoundError, NotPermittedError
from referrals.kernel.look import looking
from referrals.kernel.record import clock
from referrals.kernel.session import HouseSession
from referrals.person import commands as persons
from referrals.person.models import Assignment
from referrals.program import commands as programs
from referrals.referral import commands as referrals
from referrals.staff import commands as staff
from referrals.staff import queries as staff_queries
from tests.factories.account import a_case_manager
from tests.factories.handoff import reported
from tests.factories.organization import an_agency, last_event
from tests.factories.person import a_participant, with_colleague
from tests.factories.referral import World, a_world
from tests.referrals.organization.conftest import Visits


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    """The world; on each database in turn when the test asks for `engine`, else on SQLite."""
    name = "any_session" if "engine" in request.fixturenames else "session"
    return a_world(request.getfixturevalue(name))


def disabled(world: World, who: str) -> UUID:
    """Let somebody leave."""
    left = world.people[who].me
    execute(world.session, staff.disable_user, actor=system("cli"), target=left, data={"because": "left"})
    return left


def counts(world: World, reader: str, left: UUID) -> dict[str, int]:
    with looking(world.session):
        return dict(q.left_work(world.session, world.people[reader], left).counts)


def left_to(world: World, reader: str) -> list[str]:
    with looking(world.session):
        return [one.name for one in q.left_people(world.session, world.people[reader])]


@pytest.mark.parametrize("reader", ["other_case_manager", "navigator", "stranger"])
def test_s807_whoever_neither_supervises_nor_administers_reads_nothing_of_it(world: World, reader: str) -> None:
    left = disabled(world, "case_manager")
    for reading in (lambda: q.left_people(world.session, world.people[reader]), lambda: counts(world, reader, left)):
        with pytest.raises(NotPermittedError):
            reading()
        told = last_event(world.session, "home.left_work_viewed")
        assert (told["outcome"], told["code"]) == ("refused", "not_permitted")


def test_s807_somebody_elses_somebody_who_is_here_and_nobody_are_alike(world: World) -> None:
    world.sent()
    disabled(world, "case_manager")
    for left in (world.people["case_manager"].me, world.people["other_navigator"].me, uuid4()):
        with pytest.raises(NotFoundError):
            counts(world, "cbo_supervisor", left)
        assert last_event(world.session, "home.left_work_viewed")["code"] == "not_found"
    assert left_to(world, "cbo_supervisor") == []


def test_s807_an_administrator_reads_numbers_and_no_line(world: World) -> None:
    world.sent()
    left = disabled(world, "case_manager")
    with looking(world.session):
        seen = q.left_work(world.session, world.agency_administrator, left)
    assert seen.counts == {"care_team": 1, "sent": 1}
    assert (seen.places, seen.caseworker, seen.sent, seen.programs, seen.is_told) == (None, None, None, None, False)
    told = last_event(world.session)
    assert (told["action"], told["on"]) == ("home.left_work_counted", None)


@pytest.mark.usefixtures("engine")
def test_s807_what_an_agencys_worker_leaves_goes_as_it_is_handed_over(world: World) -> None:
    world.sent()
    left = disabled(world, "case_manager")
    supervisor = world.agency_supervisor
    assert left_to(world, "agency_supervisor") == ["Lee Okafor"]
    with looking(world.session):
        seen = q.left_work(world.session, supervisor, left)
        assert [(one.participant, one.it.tie, one.is_alone) for one in seen.places or ()] == [
            ("Maria Núñez", "case_manager", True)
        ]
        assert [one.participant for one in seen.sent or ()] == ["Maria Núñez"]
        place = (seen.places or ())[0].it.id
    other = world.other_case_manager.me
    words = {"user_id": str(other), "tie": "case_manager", "reason": "covering"}
    world.act(persons.assign_to_care_team, supervisor, world.person_id, **words)
    assert counts(world, "agency_supervisor", left) == {"care_team": 1}, "a colleague works on what they sent"
    with looking(world.session):
        seen = q.left_work(world.session, supervisor, left)
        assert [one.is_alone for one in seen.places or ()] == [False]
    world.act(persons.end_assignment, supervisor, place, because="handed_over")
    assert counts(world, "agency_supervisor", left) == {}
    assert left_to(world, "agency_supervisor") == []


@pytest.mark.usefixtures("engine")
def test_s807_what_a_programs_worker_leaves_goes_as_it_is_handed_over(world: World) -> None:
    referral_id = world.started()
    left = disabled(world, "navigator")
    supervisor = world.cbo_supervisor
    assert counts(world, "cbo_supervisor", left) == {"caseworker": 1, "intake": 1}
    with looking(world.session):
        seen = q.left_work(world.session, supervisor, left)
        assert [(one.id, one.participant) for one in seen.caseworker or ()] == [(referral_id, "Maria Núñez")]
        assert [one.id for one in seen.programs or ()] == [world.program_id]
    words = {"caseworker_id": str(world.other_navigator.me), "reason": "caseload_change"}
    world.act(referrals.name_caseworker, supervisor, referral_id, **words)
    assert counts(world, "cbo_supervisor", left) == {"intake": 1}
    world.act(programs.remove_from_intake, supervisor, world.program_id, user_id=str(left))
    assert counts(world, "cbo_supervisor", left) == {}


def test_s807_drafts_are_a_number_that_calls_nobody_and_opens_nothing(world: World) -> None:
    referral_id = world.draft()
    left = disabled(world, "case_manager")
    with looking(world.session):
        seen = q.left_work(world.session, world.agency_supervisor, left)
    assert seen.counts == {"care_team": 1, "drafts": 1}
    assert seen.sent == []
    held = world.session.scalars(select(Assignment.id).where(Assignment.user_id == left)).one()
    world.act(persons.assign_to_care_team, world.agency_supervisor, world.person_id, **cover(world))
    world.act(persons.end_assignment, world.agency_supervisor, held, because="handed_over")
    assert counts(world, "agency_supervisor", left) == {"drafts": 1}
    assert left_to(world, "agency_supervisor") == []
    with pytest.raises(NotFoundError):
        world.act(referrals.discard_draft, world.agency_supervisor, referral_id)


def cover(world: World) -> dict[str, str]:
    return {"user_id": str(world.other_case_manager.me), "tie": "case_manager", "reason": "covering"}


@pytest.mark.usefixtures("engine")
def test_s807_a_referral_that_ended_with_its_sharing_counts_nowhere(world: World) -> None:
    referral_id = world.sent()
    words = {"caseworker_id": str(world.navigator.me), "expected_on": "2027-06-01"}
    world.act(referrals.waitlist_referral, world.navigator, referral_id, **words)
    left = disabled(world, "navigator")
    assert counts(world, "cbo_supervisor", left) == {"caseworker": 1, "intake": 1}
    world.withdraw_consent()
    for reader in ("cbo_supervisor", "cbo_administrator"):
        people = dict(world.people) | {"cbo_administrator": replace(world.cbo_supervisor, roles=ADMINISTERS)}
        assert counts(replace(world, people=people), reader, left) == {"intake": 1}, reader


ADMINISTERS = frozenset({Role.ADMINISTRATOR})


@pytest.mark.usefixtures("engine")
def test_s807_an_end_that_does_not_come_back_shows_in_no_number(world: World) -> None:
    referral_id = world.started()
    world.withdraw_consent(world.return_consent_id)
    left = disabled(world, "case_manager")
    before = counts(world, "agency_supervisor", left), counts(world, "agency_administrator", left)
    assert before == ({"care_team": 1, "sent": 1}, {"care_team": 1, "sent": 1})
    reported(world, referral_id)
    world.act(handoff.complete_referral, world.navigator, referral_id, outcome="goals_partly_met")
    assert (counts(world, "agency_supervisor", left), counts(world, "agency_administrator", left)) == before


def test_s807_everybody_who_left_by_themselves_is_there_too(world: World) -> None:
    """The worker disables by the same command whoever is past their last day, or idle."""
    world.session.rollback()
    due = dict(staff_queries.to_disable(world.session, clock(world.session)))
    assert world.case_manager.me in due, "nobody of this world has signed in since January"
    world.session.rollback()
    staff.disable_due(world.session, None, None)
    gone = world.session.scalars(select(User.disabled_because).where(User.id == world.case_manager.me)).one()
    assert gone == "Nobody signed in for 90 days"
    assert "Lee Okafor" in left_to(world, "agency_supervisor")


def test_s807_the_statements_are_as_many_for_one_as_for_many(world: World) -> None:
    session, lee = world.session, world.case_manager
    world.sent()
    found = []
    for numbers in (range(1), range(1, 5)):
        for number in numbers:
            person = a_participant(session, lee, given_name=f"Uma {number}", agency_number=f"U-{number}")
            with_colleague(session, lee, person, world.other_case_manager.me)
        found.append(len(heard_while_reading(world, disabled(world, "case_manager"))))
        execute(session, staff.enable_user, actor=system("cli"), target=lee.me, data={})
    assert found[0] == found[1]
    disabled(world, "case_manager")
    assert counts(world, "agency_supervisor", lee.me) == {"care_team": 6, "sent": 1}


def test_s807_at_both_doors(visit: Visits, session: HouseSession) -> None:
    agency = an_agency(session)
    lee = a_case_manager(session, agency.id, name="Lee Okafor")
    a_participant(session, lee, given_name="Maria", family_name="Núñez")
    ada = visit(agency, Role.ADMINISTRATOR, name="Ada Wells")
    suri = visit(agency, Role.SUPERVISOR, name="Suri Patel")
    worker = visit(agency, Role.CASE_MANAGER, name="Cam Ortiz")
    assert "Work of people who have left" not in suri.get("/home").text
    assert "Nobody who left has open work." in suri.get("/organization/people-who-left").text
    at = f"/organization/people/{lee.me}"
    assert suri.get(f"{at}/open-work").status_code == 404
    assert worker.get(f"{at}/open-work").status_code == 403

    done = ada.post(f"{at}/disabling", because="left the office")
    assert (done.status_code, done.location) == (303, at)
    page = ada.get(at).text
    assert "Places on care teams: 1" in page
    assert f"{at}/open-work" not in page, "who may read no participant is led to no line"
    for text in (ada.get(f"{at}/open-work").text, page):
        assert "Núñez" not in text
        assert "Supervisors of your organization" in text
    told = ada.ask(f"{at}/open-work").get_json()
    assert told["counts"] == {"care_team": 1}
    assert [told[name] for name in ("places", "caseworker", "sent", "programs")] == [None] * 4

    assert 'href="/organization/people-who-left">Work of people who have left</a>: 1' in suri.get("/home").text
    assert suri.ask("/home").get_json()["left_count"] == 1
    assert [one["name"] for one in suri.ask("/organization/people-who-left").get_json()["items"]] == ["Lee Okafor"]
    place = suri.ask(f"{at}/open-work").get_json()["places"][0]
    assert (place["participant"], place["tie"], place["is_alone"]) == ("Maria Núñez", "case_manager", True)
    text = suri.get(f"{at}/open-work").text
    for link in (f"/participants/{place['participant_id']}/care-team/new", f"/assignments/{place['id']}/end"):
        assert f'href="{link}"' in text
        assert suri.get(link).status_code == 200
    assert suri.get(at).status_code == 403, "the account itself is the administrators'"


def heard_while_reading(world: World, left: UUID) -> list[str]:
    """The statements of one reading of a supervisor's."""
    heard: list[str] = []

    def hear(*said: Any) -> None:
        heard.append(said[2])

    session, bind = world.session, world.session.get_bind()
    session.expunge_all()
    event.listen(bind, "before_cursor_execute", hear)
    with looking(session):
        q.left_work(session, world.agency_supervisor, left)
    event.remove(bind, "before_cursor_execute", hear)
    return heard
