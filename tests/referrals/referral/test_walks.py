"""Random walks of people, withdrawals and the worker over one referral: the rules hold at every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from referrals.handoff import commands as h
from referrals.kernel.errors import InvalidInputError, RefusedError
from referrals.kernel.session import HouseSession
from referrals.person import commands as p
from referrals.person import queries as persons
from referrals.referral import commands as c
from referrals.referral import queries as q
from referrals.referral.models import EDGES, TERMINAL, Facts, Referral, State, fold, settle
from tests.factories.referral import World, a_world, tomorrow

MOVES: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "acknowledge": (c.acknowledge_referral, "navigator", {}),
    "ask": (c.ask_question, "other_navigator", {"topic": "needs", "question": "Which floor?"}),
    "reply": (c.answer_question, "case_manager", {"answer": "Any."}),
    "take_back": (c.answer_question, "navigator", {}),
    "accept": (c.accept_referral, "navigator", {"first_contact_on": tomorrow()}),
    "waitlist": (c.waitlist_referral, "navigator", {"position": 3}),
    "line_up": (c.waitlist_referral, "other_navigator", {"expected_on": tomorrow()}),
    "still_waits": (c.confirm_place, "navigator", {}),
    "hold": (c.hold_referral, "navigator", {"reason": "unreachable", "review_on": tomorrow()}),
    "hold_there": (c.hold_referral, "case_manager", {"reason": "facility_lockdown", "review_on": tomorrow()}),
    "wrong": (c.report_error, "navigator", {"reason": "wrong_person"}),
    "wrong_too": (c.report_error, "agency_supervisor", {"reason": "entered_twice"}),
    "confirm": (c.confirm_error, "agency_supervisor", {}),
    "decline": (c.decline_referral, "cbo_supervisor", {"reason": "out_of_area"}),
    "start": (c.start_referral, "navigator", {"started_on": "2026-01-06", "how": "video"}),
    "resume": (c.resume_referral, "case_manager", {"next_step": "Meet.", "next_step_on": tomorrow()}),
    "cancel": (c.cancel_referral, "agency_supervisor", {"reason": "release_cancelled"}),
    "wish": (c.cancel_referral, "navigator", {"reason": "moved_away", "wish_how": "phone"}),
    "report": (h.write_report, "navigator", {"result_1": "partly", "result_2": "not_tried", "helps_next": "Time."}),
    "complete": (h.complete_referral, "navigator", {"outcome": "service_received"}),
    "end": (h.end_referral, "cbo_supervisor", {"reason": "stopped_coming"}),
    "agree": (c.close_loop, "case_manager", {"answer": "agreed"}),
    "agree_back": (c.close_loop, "navigator", {"answer": "agreed"}),
    "dispute": (c.dispute_outcome, "case_manager", {"because": "No."}),
    "stranger": (c.acknowledge_referral, "stranger", {}),
}


def consents_anew(world: World) -> None:
    world.withdraw_consent()
    world.consent_again()


def was_a_mistake(world: World) -> None:
    """Take back what is on record of a death, if anything is."""
    for record in persons.deaths_of(world.session, [world.person_id], q.clock(world.session)).values():
        world.act(p.take_back_death, world.agency_supervisor, record.id, because="Somebody else was meant.")


def dies(world: World) -> None:
    was_a_mistake(world)
    world.act(p.record_death, world.case_manager, world.person_id, told_by="family", is_checked=True)


OUTSIDE: dict[str, Callable[[World], None]] = {
    "withdraw": World.withdraw_consent,
    "consent": consents_anew,
    "dies": dies,
    "was_a_mistake": was_a_mistake,
}
#: Likely ways first, so that walks get far.
likely = st.sampled_from(
    [
        *MOVES,
        *OUTSIDE,
        "worker",
        "acknowledge",
        "accept",
        "accept",
        "start",
        "start",
        "report",
        "report",
        "complete",
        "resume",
    ]
)


@pytest.fixture
def world(session: HouseSession) -> World:
    return a_world(session)


def left_to(recorded: State, side: str) -> str:
    """Whose move a last step leaves, said once more: what waits on the program is its own only while sharing holds."""
    if recorded in {State.SENT, State.ACKNOWLEDGED, State.ACCEPTED, State.WAITLISTED, State.IN_PROGRESS}:
        return "shared"
    if (recorded, side) in {(State.ON_HOLD, "recipient"), (State.CANCELLED, "source")}:
        return "recipient"
    return "source"


def now_settled(world: World, referral_id: UUID) -> tuple[State, State, Facts, int]:
    row = world.row(referral_id)
    at = q.clock(world.session)
    facts = q.facts(world.session, [referral_id], at)[referral_id]
    recorded = fold(row.steps)
    assert recorded is row.recorded
    assert [step.seq for step in row.steps] == list(range(1, row.step_count + 1))
    assert (row.open_for is None) is (recorded in TERMINAL)
    assert (row.done_at is not None) is row.is_done
    is_open = row.sent_at is not None and not row.is_done
    assert row.next_move == (left_to(recorded, row.steps[-1].side) if is_open else None)
    assert recorded not in TERMINAL or row.is_done is (row.loop_owed_by is None or row.is_loop_closed)
    return recorded, settle(recorded, facts, at).state, facts, row.step_count


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(likely, min_size=6, max_size=16))
def test_every_walk_keeps_the_rules(world: World, walk: list[str]) -> None:
    was_a_mistake(world)
    consents_anew(world)
    for left in world.session.scalars(select(Referral.id).where(Referral.open_for.is_not(None))).all():
        world.act(c.cancel_referral, world.case_manager, left, reason="duplicate")
    referral_id = world.sent()
    for move in walk:
        before, seen, facts, count = now_settled(world, referral_id)
        if move in OUTSIDE:
            OUTSIDE[move](world)
        elif move == "worker":
            c.settle_due(world.session, None, None)
            # A death is written after a day, so that a mistake leaves no trace (R6).
            assert now_settled(world, referral_id)[0] is (seen if facts.died_at is None else before)
        else:
            what, who, words = MOVES[move]
            said = words | ({"caseworker_id": str(world.navigator.me)} if move in {"accept", "line_up"} else {})
            try:
                world.act(what, world.people[who], referral_id, **said)
            except (RefusedError, InvalidInputError) as refused:
                assert refused.code in {  # noqa: PT017  # any move may be refused, with one of these codes
                    *("wrong_state", "not_permitted", "not_found", "closing_report_owed", "closing_report_exists"),
                    *("not_worked_on", "sharing_ended", "loop_not_yours", "loop_closed", "invalid_input"),
                    *("referral_error_reported", "referral_error_not_reported", "answers_not_shared"),
                }
                assert now_settled(world, referral_id)[0] is before
                assert now_settled(world, referral_id)[3] == count
                continue
            after = now_settled(world, referral_id)
            verb = c.VERBS.get(what.name)
            if verb is not None:
                begins, steps = seen, 1 if seen is before or facts.died_at is not None else 2
                assert facts.died_at is None or after[0] in TERMINAL  # nothing goes on for the dead
                if move == "line_up" and seen is not State.ACCEPTED:  # two steps by one word (R8)
                    begins, steps = State.ACCEPTED, steps + 1
                assert (begins, verb.command, after[0]) in EDGES
                assert facts.sharing or after[0] in TERMINAL  # nothing goes on without sharing
                assert after[3] == count + steps
        assert before not in TERMINAL or now_settled(world, referral_id)[0] in {before, State.ENTERED_IN_ERROR}
