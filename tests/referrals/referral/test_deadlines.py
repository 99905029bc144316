"""Deadlines of a referral in service: alike for both sides, recorded by the worker, short only where that is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from sqlalchemy import select

from referrals.kernel.actor import Role, system
from referrals.kernel.command import execute
from referrals.kernel.errors import NotFoundError, NotPermittedError
from referrals.kernel.look import NOT_SHARED, looking
from referrals.kernel.session import HouseSession
from referrals.organization.commands import add_closing_day, withdraw_closing_day
from referrals.organization.models import Organization
from referrals.person.models import Assignment
from referrals.program.models import IntakeMember, Program
from referrals.referral import commands as c
from referrals.referral import queries as q
from referrals.referral.models import Deadlines, State
from referrals.release.models import ReleaseDate
from tests.factories.deadline import five, it_is, released, seen, there
from tests.factories.organization import someone
from tests.factories.referral import LONG_AGO, World, a_world, planting, tomorrow


@pytest.fixture
def world(session: HouseSession) -> World:
    made = a_world(session)
    it_is(made, "2026-03-02")  # a Monday
    return made


def worker(world: World) -> None:
    c.settle_due(world.session, None, None)


# --- expiry -----------------------------------------------------------------------------------------------------------

WAYS: list[tuple[list[tuple[Any, str, dict[str, Any]]], str, str]] = [
    ([], "2026-03-23", "no_acknowledgement"),
    ([(c.acknowledge_referral, "navigator", {})], "2026-03-23", "no_answer_from_recipient"),
    (
        [(c.ask_question, "navigator", {"topic": "needs", "question": "Which floor?"})],
        "2026-03-09",
        "no_answer_from_source",
    ),
]


@pytest.mark.parametrize(("acts", "ends", "reason"), WAYS)
def test_whoever_is_silent_lets_it_expire_and_not_a_minute_sooner(
    world: World, acts: list[tuple[Any, str, dict[str, Any]]], ends: str, reason: str
) -> None:
    referral_id = world.sent()
    for what, who, words in acts:
        world.act(what, world.people[who], referral_id, **words)
    before = world.row(referral_id).step_count
    it_is(world, ends, 16, 59)
    worker(world)
    assert world.row(referral_id).step_count == before
    it_is(world, ends, 17)
    worker(world)
    row = world.row(referral_id)
    step = row.steps[-1]
    assert (row.recorded, step.verb, step.reason, step.side, step.by) == (
        State.EXPIRED,
        "expire_referral",
        reason,
        "system",
        None,
    )
    assert (row.open_for, row.loop_owed_by) == (None, "source")
    tied = select(Assignment).where(Assignment.referral_id == referral_id, Assignment.until_at.is_(None))
    assert world.session.scalars(tied).all() == []
    worker(world)
    assert world.row(referral_id).step_count == before + 1


def test_an_answer_that_comes_before_the_expiry_is_recorded_is_an_answer(world: World) -> None:
    referral_id = world.sent()
    it_is(world, "2026-03-23", 17, 1)
    words = {"caseworker_id": str(world.navigator.me), "first_contact_on": tomorrow()}
    world.act(c.accept_referral, world.navigator, referral_id, **words)
    worker(world)
    assert world.row(referral_id).recorded is State.ACCEPTED


def test_nobody_lets_it_expire_by_hand(world: World) -> None:
    referral_id = world.sent()
    it_is(world, "2026-04-23")
    for who in ("case_manager", "agency_supervisor", "navigator", "cbo_supervisor"):
        with pytest.raises(NotPermittedError):
            world.act(c.settle_referral, world.people[who], referral_id)
    with pytest.raises(NotFoundError):
        world.act(c.settle_referral, world.stranger, referral_id)
    world.act(c.settle_referral, system(), referral_id)
    assert world.row(referral_id).recorded is State.EXPIRED


def test_ended_sharing_comes_before_a_deadline(world: World) -> None:
    referral_id = world.sent()
    world.withdraw_consent()
    it_is(world, "2026-12-23")
    worker(world)
    assert (world.row(referral_id).recorded, world.row(referral_id).steps[-1].reason) == ("cancelled", "consent_ended")


def test_the_worker_reads_on_past_its_page(world: World) -> None:
    sent = [world.sent()]
    for name in ("Second", "Third"):
        with planting(world.session):
            offer = Program(
                organization_id=world.cbo_id,
                name=name,
                added_at=LONG_AGO,
                categories=["housing"],
                capacity_code="capacity",
            )
            world.session.add(offer)
            world.session.add(IntakeMember(program_id=offer.id, user_id=world.navigator.me, added_at=LONG_AGO))
        draft = world.draft(program_id=offer.id)
        world.act(c.send_referral, world.case_manager, draft)
        sent.append(draft)
    at = there("2026-03-23", 17)
    assert [row.id for row in q.unanswered(world.session, at, page=1)] == sorted(sent)
    it_is(world, "2026-03-23", 17)
    worker(world)
    assert {world.row(one).recorded for one in sent} == {State.EXPIRED}


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_both_sides_read_the_same_deadlines_and_when_one_has_passed(world: World) -> None:
    released(world, "2026-03-20")
    referral_id = world.sent()
    wanted = Deadlines(five("2026-03-04"), five("2026-03-06"), five("2026-03-10"))
    for who in ("case_manager", "navigator"):
        view = seen(world, who, referral_id)
        assert (view.deadlines, view.is_overdue) == (wanted, False)
    it_is(world, "2026-03-04", 17)
    assert seen(world, "navigator", referral_id).is_overdue
    world.act(c.acknowledge_referral, world.navigator, referral_id)
    view = seen(world, "case_manager", referral_id)
    assert (view.acknowledge_by, view.answer_by, view.is_overdue) == (None, five("2026-03-06"), False)


def test_a_release_that_the_program_may_not_know_of_cannot_be_read_off_a_deadline(world: World) -> None:
    world.withdraw_consent()
    world.consent_again(categories=("identity", "contact", "needs"))
    referral_id = world.sent(unavailable=None)
    plain = seen(world, "navigator", referral_id).deadlines
    released(world, "2026-03-04")
    for who in ("navigator", "case_manager"):
        assert seen(world, who, referral_id).deadlines == plain
    assert plain == Deadlines(five("2026-03-05"), five("2026-03-16"), five("2026-03-23"))


def test_what_was_only_heard_moves_no_deadline(world: World) -> None:
    referral_id = world.sent()
    before = seen(world, "navigator", referral_id).deadlines
    with planting(world.session):
        world.session.add(
            ReleaseDate(
                participant_id=world.person_id,
                organization_id=world.cbo_id,
                expected_on=date(2026, 3, 4),
                source="cbo_heard",
                as_of=date(2026, 3, 2),
                recorded_at=LONG_AGO,
                recorded_by=world.navigator.me,
            )
        )
    assert seen(world, "navigator", referral_id).deadlines == before


def test_an_urgent_one_has_the_shortest_time_from_the_moment_it_is_said(world: World) -> None:
    referral_id = world.sent(urgency="urgent", urgency_because="Nowhere to sleep.")
    assert seen(world, "navigator", referral_id).answer_by == five("2026-03-04")


def test_no_deadline_tells_an_answer_that_does_not_come_back(world: World) -> None:
    referral_id = world.sent()
    world.act(c.ask_question, world.navigator, referral_id, topic="needs", question="Which floor?")
    world.withdraw_consent(world.return_consent_id)
    view = seen(world, "case_manager", referral_id)
    assert (view.status, view.deadlines) == (NOT_SHARED, None)
    assert seen(world, "navigator", referral_id).deadlines is not None


def test_the_page_and_json_say_until_when(session: HouseSession, browser: Callable[[str], Any], world: World) -> None:
    del session.info["clock"]
    referral_id = world.sent()
    ana = browser("navigator")
    page = ana.page(f"/referrals/{referral_id}")
    for words in ("To be marked as received by", "To be answered by", "Without an answer it ends on"):
        assert words in page
    assert "Overdue." not in page
    told = ana.read(f"/referrals/{referral_id}").get_json()
    assert told["acknowledge_by"] < told["answer_by"] < told["expires_at"]
    assert told["is_overdue"] is False
    world.accept(referral_id)
    told = ana.read(f"/referrals/{referral_id}").get_json()
    assert (told["answer_by"], told["expires_at"]) == (None, None)
    assert "To be answered by" not in ana.page(f"/referrals/{referral_id}")


def test_closing_days_of_the_program_move_its_deadlines_for_both_sides_and_for_the_worker(world: World) -> None:
    referral_id = world.sent()  # Monday; nothing is known of a release: 3, 10 and 15 working days
    administrator = someone(world.session.get_one(Organization, world.cbo_id), Role.ADMINISTRATOR)
    for on in ("2026-03-05", "2026-03-23"):
        words = {"closed_on": on, "because": "Staff training"}
        execute(world.session, add_closing_day, actor=administrator, target=world.cbo_id, data=words)
    withdrawn = execute(
        world.session,
        add_closing_day,
        actor=administrator,
        target=world.cbo_id,
        data={"closed_on": "2026-03-04", "because": "A mistake"},
    )
    execute(world.session, withdraw_closing_day, actor=administrator, target=withdrawn.id, data={})
    expected = Deadlines(five("2026-03-06"), five("2026-03-17"), five("2026-03-25"))
    for actor in (world.navigator, world.case_manager):
        with looking(world.session):
            assert q.referral(world.session, actor, referral_id).deadlines == expected
    it_is(world, "2026-03-25", 16, 59)
    assert q.expired(world.session, there("2026-03-25", 16, 59)) == []
    assert q.expired(world.session, five("2026-03-25")) == [referral_id]
