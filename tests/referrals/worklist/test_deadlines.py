"""What a line of a list says of the clocks that run, to whom, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from referrals.kernel.look import NOT_SHARED, looking
from referrals.kernel.session import HouseSession
from referrals.program.models import IntakeMember, Program
from referrals.referral import commands as c
from referrals.referral import queries as referrals
from referrals.worklist import queries as q
from tests.factories.deadline import five, it_is, released, seen, there
from tests.factories.referral import LONG_AGO, ZONE, World, a_world, planting


@pytest.fixture
def world(session: HouseSession) -> World:
    made = a_world(session)
    it_is(made, "2026-03-02")  # a Monday
    return made


def listed(world: World, who: str, group: q.Group) -> list[referrals.Card]:
    with looking(world.session):
        return q.listed(world.session, world.people[who], group).cards


def test_a_line_of_a_list_says_what_its_page_says(world: World) -> None:
    released(world, "2026-03-20")
    referral_id = world.sent()
    question = {"topic": "needs", "question": "Which floor?"}
    walk: list[tuple[Any, str, dict[str, Any]]] = [
        (c.acknowledge_referral, "navigator", {}),
        (c.ask_question, "navigator", question),
        (c.answer_question, "case_manager", {"answer": "The first."}),
        (c.decline_referral, "navigator", {"reason": "no_capacity"}),
    ]
    for day, (what, who, words) in zip(("03", "04", "05", "06"), walk, strict=True):
        for reader, group in (("case_manager", q.Group.THEM), ("navigator", q.Group.US)):
            groups = (group, q.Group.US if group is q.Group.THEM else q.Group.THEM)
            [card] = [one for here in groups for one in listed(world, reader, here)]
            view = seen(world, reader, referral_id)
            assert card.deadlines == view.deadlines is not None
            assert (card.due_by, card.due_zone, card.is_overdue) == (view.due_by, ZONE, view.is_overdue)
        it_is(world, f"2026-03-{day}")
        world.act(what, world.people[who], referral_id, **words)
    assert [one.deadlines for one in listed(world, "case_manager", q.Group.US)] == [None]


@pytest.mark.parametrize("told", [True, False])
def test_a_list_counts_only_a_release_that_the_program_may_know_of(world: World, told: bool) -> None:
    if not told:
        world.withdraw_consent()
        world.consent_again(categories=("identity", "contact", "needs"))
    referral_id = world.sent(unavailable=None)
    released(world, "2026-03-04", at=there("2026-03-02"))
    for who, group in (("navigator", q.Group.US), ("case_manager", q.Group.THEM)):
        [card] = listed(world, who, group)
        assert card.deadlines == seen(world, who, referral_id).deadlines
        assert card.answer_by == five("2026-03-04" if told else "2026-03-16")


def test_no_clock_runs_in_a_list_once_sharing_has_ended(world: World) -> None:
    world.sent()
    world.withdraw_consent()
    [card] = listed(world, "case_manager", q.Group.US)
    assert (card.status, card.deadlines, card.is_overdue) == ("cancelled", None, False)


@pytest.mark.parametrize("answer", ["received", "question"])
def test_no_list_tells_by_its_deadlines_an_answer_that_does_not_come_back(world: World, answer: str) -> None:
    referral_id = world.sent()
    if answer == "received":
        world.act(c.acknowledge_referral, world.navigator, referral_id)
    else:
        world.act(c.ask_question, world.navigator, referral_id, topic="needs", question="Which floor?")
    world.withdraw_consent(world.return_consent_id)
    it_is(world, "2026-03-20")
    [card] = listed(world, "case_manager", q.Group.THEM)
    assert (card.status, card.due_by, card.is_overdue) == (NOT_SHARED, None, False)
    with looking(world.session):
        [at_home] = q.waiting(world.session, world.case_manager, limit=8).them
    assert (at_home.status, at_home.due_by, at_home.is_overdue) == (NOT_SHARED, None, False)
    with looking(world.session):
        home = q.waiting(world.session, world.navigator, limit=8)
    assert all(one.is_overdue for one in (*home.us, *home.them))


def another_program(world: World, name: str) -> UUID:
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
    return offer.id


def test_home_begins_with_what_is_due_first(world: World) -> None:
    made = {}
    for name, urgency in (("Slow", "soon"), ("Fast", "urgent"), ("Taken", "soon")):
        draft = world.draft(program_id=another_program(world, name), urgency=urgency, urgency_because="No bed.")
        world.act(c.send_referral, world.case_manager, draft)
        made[name] = draft
    world.accept(made["Taken"])
    with looking(world.session):
        home = q.waiting(world.session, world.navigator, limit=2)
    assert [one.id for one in home.us] == [made["Fast"], made["Slow"]]
    assert home.us_count == 3
    with looking(world.session):
        assert q.waiting(world.session, world.navigator, limit=8).us[2].id == made["Taken"]


@pytest.mark.parametrize("overdue", [True, False])
def test_the_list_and_home_say_until_when_and_overdue_in_words(
    session: HouseSession, browser: Callable[[str], Any], world: World, overdue: bool
) -> None:
    if not overdue:
        del session.info["clock"]
    world.sent()
    session.info.pop("clock", None)
    for who, group in (("navigator", "us"), ("case_manager", "them")):
        somebody = browser(who)
        for path in (f"/referrals?group={group}", "/home"):
            page = somebody.page(path)
            assert "To be marked as received by" in page
            assert ('tg-status--attention">Overdue<' in page) is overdue
        [card] = somebody.read(f"/referrals?group={group}").get_json()["items"]
        assert card["acknowledge_by"] < card["answer_by"]
        assert card["is_overdue"] is overdue
