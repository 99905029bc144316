"""The closing report, and the closing verbs that need it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from referrals.handoff import commands as h
from referrals.handoff import queries as q
from referrals.kernel.errors import InvalidInputError, NotFoundError, NotPermittedError, RuleBrokenError
from referrals.kernel.look import NOT_SHARED, looking
from referrals.kernel.session import HouseSession
from referrals.referral import commands as c
from tests.factories.handoff import REPORT, completed, reported
from tests.factories.referral import World, a_world


@pytest.fixture
def world(session: HouseSession) -> World:
    return a_world(session)


def refused(world: World, what: Any, referral_id: UUID, *, who: str = "navigator", **words: Any) -> RuleBrokenError:
    with pytest.raises(RuleBrokenError) as error:
        world.act(what, world.people[who], referral_id, **words)
    return error.value


def read(world: World, referral_id: UUID, who: str = "case_manager") -> list[q.Report]:
    with looking(world.session):
        return q.reports(world.session, world.people[who], referral_id)


@pytest.mark.parametrize(
    ("what", "words"), [(h.complete_referral, {"outcome": "goals_met"}), (h.end_referral, {"reason": "stopped_coming"})]
)
def test_work_that_had_begun_owes_a_report(world: World, what: Any, words: dict[str, str]) -> None:
    referral_id = world.started()
    owed = refused(world, what, referral_id, **words)
    assert (owed.status, owed.code) == (409, "closing_report_owed")
    reported(world, referral_id)
    world.act(what, world.navigator, referral_id, **words)
    assert world.row(referral_id).loop_owed_by == "source"


@pytest.mark.parametrize(
    ("what", "words", "becomes"),
    [
        (h.complete_referral, {"outcome": "one_time_help_given"}, "completed"),
        (h.end_referral, {"reason": "could_not_contact"}, "not_completed"),
    ],
)
def test_nothing_is_owed_before_the_work_began(world: World, what: Any, words: dict[str, str], becomes: str) -> None:
    referral_id = world.accepted()
    world.act(what, world.navigator, referral_id, **words)
    assert world.row(referral_id).recorded == becomes


def test_completion_needs_an_outcome_and_ending_a_reason(world: World) -> None:
    referral_id = world.accepted()
    for what, field in ((h.complete_referral, "outcome"), (h.end_referral, "reason")):
        with pytest.raises(InvalidInputError) as missing:
            world.act(what, world.navigator, referral_id)
        assert missing.value.fields == {field: ["required"]}
    with pytest.raises(InvalidInputError) as wordless:
        world.act(h.end_referral, world.navigator, referral_id, reason="other")
    assert wordless.value.fields == {"because": ["required"]}


def test_only_the_caseworker_or_their_supervisor_closes(world: World) -> None:
    referral_id = world.started()
    for who in ("other_navigator", "case_manager", "agency_supervisor"):
        for what, words in (
            (h.write_report, REPORT),
            (h.complete_referral, {"outcome": "goals_met"}),
            (h.end_referral, {"reason": "safety"}),
        ):
            with pytest.raises(NotPermittedError):
                world.act(what, world.people[who], referral_id, **words)
    with pytest.raises(NotFoundError):
        world.act(h.write_report, world.stranger, referral_id, **REPORT)
    world.act(h.write_report, world.cbo_supervisor, referral_id, **REPORT)


def test_each_goal_needs_its_result_and_no_other_has_one(world: World) -> None:
    referral_id = world.started()
    with pytest.raises(InvalidInputError) as fault:
        reported(world, referral_id, result_1=None, result_2=None, result_3="achieved", comment_5="?")
    assert fault.value.fields == {
        "result_1": ["required"],
        "result_2": ["required"],
        "result_3": ["no_such_goal"],
        "result_5": ["no_such_goal"],
    }


def test_there_is_one_report_and_addenda_stand_beside_it(world: World) -> None:
    referral_id = world.started()
    assert refused(world, h.add_to_report, referral_id, helps_next="More.").code == "no_closing_report"
    reported(world, referral_id)
    assert refused(world, h.write_report, referral_id, **REPORT).code == "closing_report_exists"
    world.act(h.add_to_report, world.navigator, referral_id, helps_next="The bus pass is for two months.")
    first, second = read(world, referral_id)
    assert (first.is_addendum, second.is_addendum) == (False, True)
    assert [goal.result for goal in first.goals] == ["achieved", "partly"]
    assert second.helps_next == "The bus pass is for two months."


def test_nobody_reports_on_work_that_does_not_go_on(world: World) -> None:
    referral_id = world.accepted()
    world.act(c.cancel_referral, world.case_manager, referral_id, reason="duplicate")
    assert refused(world, h.write_report, referral_id, **REPORT).code == "not_worked_on"


def test_a_report_crosses_only_as_needs_and_only_to_who_may_know(world: World) -> None:
    referral_id = completed(world)
    assert read(world, referral_id)[0].persons_view == "They did what they said."
    assert read(world, referral_id, "stranger") == []
    world.withdraw_consent(world.return_consent_id)
    hidden = read(world, referral_id)[0]
    assert (hidden.helps_next, hidden.persons_view, hidden.goals[0].comment) == (NOT_SHARED,) * 3
    assert hidden.goals[0].goal == "A place of my own"  # the sender's own words


def test_without_answers_coming_back_the_loop_waits(world: World) -> None:
    referral_id = completed(world)
    world.withdraw_consent(world.return_consent_id)
    waits = refused(world, c.close_loop, referral_id, who="case_manager", answer="agreed")
    assert waits.code == "answers_not_shared"
    assert not world.row(referral_id).is_done


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE closing_report SET adds_to_id = NULL",
        "DELETE FROM goal_outcome",
        "UPDATE goal_outcome SET result = 'achieved'",
        "INSERT OR REPLACE INTO goal_outcome SELECT * FROM goal_outcome",
    ],
)
def test_a_report_stays_as_it_was_written_even_against_raw_sql(world: World, statement: str) -> None:
    completed(world)
    with pytest.raises(DBAPIError, match="insert-only"):
        world.session.connection().execute(text(statement))
    world.session.rollback()
