"""What is told of a referral without anybody's act: reminders, deadlines, a release that moved (R12, R24)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from referrals.account.models import User
from referrals.kernel.look import finish, looking
from referrals.kernel.record import day_of
from referrals.kernel.session import HouseSession
from referrals.mail.commands import GROUNDS
from referrals.organization.models import is_working_day
from referrals.person.commands import assign_to_care_team, record_death
from referrals.program.models import IntakeMember, Program
from referrals.referral import commands as c
from referrals.referral import queries as referrals
from referrals.referral.models import State, deadlines
from referrals.release import commands as release
from referrals.reminder import commands as r
from referrals.reminder import queries as q
from referrals.reminder.models import half_used_at
from tests.factories.mailed import (
    INTAKE,
    MONDAY,
    a_mailed_world,
    accepts,
    answers,
    asks,
    declines,
    it_is,
    mailed,
    notices,
    there,
)
from tests.factories.referral import World, planting
from tests.factories.smtp import MailServer, a_mail_server

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(180)]


@pytest.fixture
def server() -> Iterator[MailServer]:
    with a_mail_server() as made:
        yield made


@pytest.fixture
def world(session: HouseSession, server: MailServer) -> World:
    return a_mailed_world(session, server)


def test_every_kind_that_is_told_has_its_ground() -> None:
    assert {q.HALF_USED, q.OVERDUE, q.MOVED} <= GROUNDS.keys()


# --- reminders (R12) --------------------------------------------------------------------------------------------------


def kinds(world: World) -> list[tuple[str, str]]:
    """What has been told so far: the kind, and to whom."""
    people = {actor.me: key for key, actor in world.people.items()}
    return sorted((one.kind.removeprefix("referral."), people[one.user_id]) for one in notices(world))


def since(world: World, before: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return sorted(set(kinds(world)) - set(before))


def test_half_of_the_time_reminds_whom_it_waits_on_and_the_deadline_tells_both_supervisors(world: World) -> None:
    world.sent()  # Monday 9:00; to be acknowledged by Thursday 17:00: 80 hours
    before = kinds(world)
    mailed(world)
    it_is(world, "2026-03-04", 0, 59)
    assert mailed(world) == []
    it_is(world, "2026-03-04", 1)
    r.remind(world.session, None, None)
    assert since(world, before) == [("half_used", key) for key in INTAKE]
    it_is(world, "2026-03-04", 1, 5)
    assert mailed(world) == INTAKE
    it_is(world, "2026-03-05", 16, 59)
    assert mailed(world) == []
    it_is(world, "2026-03-05", 17, 6)
    assert mailed(world) == ["agency_supervisor", "cbo_supervisor"]
    it_is(world, "2026-03-06", 9)
    assert mailed(world) == []


def test_a_weekend_is_no_time_that_is_used(world: World) -> None:
    it_is(world, "2026-03-06", 9)  # a Friday
    world.sent(urgency="urgent", urgency_because="Nowhere to sleep.")  # to be acknowledged by Monday 17:00: 32 hours
    before = kinds(world)
    it_is(world, "2026-03-09", 0, 59)
    r.remind(world.session, None, None)
    assert since(world, before) == []
    it_is(world, "2026-03-09", 1)
    r.remind(world.session, None, None)
    assert since(world, before) == [("half_used", key) for key in INTAKE]


def test_while_a_question_is_out_the_source_is_reminded_and_the_programs_clock_rests(world: World) -> None:
    referral_id = world.sent()
    asks(world, referral_id)  # to be answered by Wednesday 17:00: 56 hours
    before = kinds(world)
    it_is(world, "2026-03-03", 12, 59)
    r.remind(world.session, None, None)
    assert since(world, before) == []
    it_is(world, "2026-03-03", 13)
    r.remind(world.session, None, None)
    assert since(world, before) == [("half_used", "case_manager")]
    it_is(world, "2026-03-04", 17)
    r.remind(world.session, None, None)
    overdue = [("overdue", "agency_supervisor"), ("overdue", "cbo_supervisor")]
    assert since(world, before) == [("half_used", "case_manager"), *overdue]


def test_a_deadline_reminds_once_though_a_question_came_between(world: World) -> None:
    referral_id = world.sent()
    world.act(c.acknowledge_referral, world.navigator, referral_id)
    it_is(world, "2026-03-11")
    r.remind(world.session, None, None)
    before = len(kinds(world))
    asks(world, referral_id)
    answers(world, referral_id)
    it_is(world, "2026-03-12")
    r.remind(world.session, None, None)
    told = [kind for kind, _who in kinds(world)]
    assert (told.count("half_used"), len(told) - before) == (len(INTAKE), len(INTAKE) + 1)


def test_an_answer_before_the_mail_leaves_takes_the_reminder_back(world: World) -> None:
    referral_id = world.sent()
    mailed(world)
    it_is(world, "2026-03-05", 18)
    r.remind(world.session, None, None)
    assert ("overdue", "cbo_supervisor") in kinds(world)
    accepts(world, referral_id)
    assert mailed(world) == ["case_manager"]


def test_ended_sharing_stops_reminders(world: World) -> None:
    world.sent()
    mailed(world)
    world.withdraw_consent()
    it_is(world, "2026-03-05", 18)
    r.remind(world.session, None, None)
    assert mailed(world) == []


def test_reminders_and_expiry_read_many_clocks_by_as_many_statements_as_one(world: World) -> None:
    def asked(read: Callable[[], list[Any]], found: int) -> int:
        heard: list[str] = []

        def hear(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            heard.append(statement)

        event.listen(world.session.get_bind(), "before_cursor_execute", hear)
        rows = read()
        event.remove(world.session.get_bind(), "before_cursor_execute", hear)
        assert len(rows) == found
        return len([one for one in heard if not one.startswith(("BEGIN", "PRAGMA"))])

    def reminded() -> list[Any]:
        return [one for page in q.running(world.session, there("2026-03-05", 18)) for one in page]

    def ended() -> list[Any]:
        return referrals.expired(world.session, there("2026-04-30", 18))

    world.sent()
    assert (asked(reminded, 1), asked(ended, 1)) == (3, 3)
    for name in ("Second", "Third", "Fourth"):
        another_program(world, name)
    assert (asked(reminded, 4), asked(ended, 4)) == (3, 3)


def another_program(world: World, name: str) -> None:
    with planting(world.session):
        offer = Program(
            organization_id=world.cbo_id,
            name=name,
            added_at=there(MONDAY),
            categories=["housing"],
            capacity_code="capacity",
        )
        world.session.add(offer)
        world.session.add(IntakeMember(program_id=offer.id, user_id=world.navigator.me, added_at=there(MONDAY)))
    world.act(c.send_referral, world.case_manager, world.draft(program_id=offer.id))


class Step:
    """What a clock needs of a step."""

    def __init__(self, to_state: State, at: datetime) -> None:
        self.to_state, self.at = to_state, at


ZONES = [ZoneInfo(name) for name in ("America/Los_Angeles", "America/New_York", "Pacific/Honolulu", "America/Phoenix")]


@given(
    st.integers(0, 365 * 24 * 60),
    st.lists(st.integers(1, 5 * 24 * 60), max_size=6),
    st.sampled_from(ZONES),
    st.booleans(),
)
def test_half_is_used_between_the_start_and_the_deadline_whatever_stopped_the_clock(
    minutes: int, gaps: list[int], zone: ZoneInfo, urgent: bool
) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    steps = [Step(State.SENT, at)]
    for gap in gaps:
        at += timedelta(minutes=gap)
        asked = steps[-1].to_state is State.INFO_REQUESTED
        steps.append(Step(State.ACKNOWLEDGED if asked else State.INFO_REQUESTED, at))
    found = deadlines(steps, [], urgent=urgent, zone=zone)
    assert found is not None
    due = found.due_by
    half = half_used_at(steps, found)
    waits = steps[-1].to_state is State.INFO_REQUESTED
    start = steps[-1].at if waits else steps[0].at
    assert min(start, due) <= half <= max(start, due)
    if len(steps) == 1:  # nothing stopped it: the working time before and after are the same
        before, after = (_working(*span, zone) for span in ((start, half), (half, due)))
        assert abs(before - after) <= timedelta(seconds=1)


def _working(since: datetime, until: datetime, zone: ZoneInfo) -> timedelta:
    """The time of working days between two instants, counted minute by minute."""
    minute = timedelta(minutes=15)
    total, at = timedelta(), since
    while at < until:
        end = min(at + minute - timedelta(seconds=at.timestamp() % 900), until)
        if is_working_day(day_of(at, zone)):
            total += end - at
        at = end
    return total


# --- the release moved (E23, R24) -------------------------------------------------------------------------------------


def moves(world: World, day: str | None, who: str = "case_manager") -> UUID:
    """Let the agency record another expected day of release."""
    said = {"unknown_because": "court_pending"} if day is None else {"expected_on": day}
    words = {"source": "agency_record", "as_of": "2026-03-01"} | said
    made: UUID = world.act(release.record_release_date, world.people[who], world.person_id, **words).id
    return made


def on_the_team(world: World, who: str) -> None:
    words = {"user_id": str(world.people[who].me), "tie": "case_manager", "reason": "covering"}
    world.act(assign_to_care_team, world.case_manager, world.person_id, **words)


def test_a_move_is_told_once_to_both_sides_but_not_to_who_recorded_it(world: World) -> None:
    on_the_team(world, "other_case_manager")
    moves(world, "2026-07-01")
    referral_id = world.sent()
    assert mailed(world) == INTAKE, "what was known when it was sent is no news"
    it_is(world, MONDAY, 10)
    moves(world, "2026-06-01")
    assert mailed(world) == sorted([*INTAKE, "other_case_manager"])
    assert mailed(world) == []
    it_is(world, MONDAY, 11)
    moves(world, "2026-06-01")
    assert mailed(world) == [], "a day that is only confirmed"
    accepts(world, referral_id)
    mailed(world)
    it_is(world, MONDAY, 12)
    moves(world, None, "other_case_manager")
    assert mailed(world) == ["case_manager", "navigator"]


def test_several_referrals_and_several_moves_are_one_thing_each(world: World) -> None:
    with planting(world.session):
        other = Program(organization_id=world.cbo_id, name="Work", categories=["housing"], capacity_code="capacity")
        other.added_at = there(MONDAY)
        world.session.add(other)
        world.session.add(IntakeMember(program_id=other.id, user_id=world.navigator.me, added_at=there(MONDAY)))
    world.sent()
    world.sent(program_id=other.id)
    mailed(world)
    it_is(world, MONDAY, 10)
    moves(world, "2026-06-01")
    r.tell_moves(world.session, None, None)
    it_is(world, MONDAY, 10, 5)
    moves(world, "2026-05-20")
    assert mailed(world) == INTAKE
    told = [one for one in notices(world) if one.kind == q.MOVED and one.user_id == world.navigator.me]
    assert len(told) == 2, "the first was taken over before its mail left, and is not counted"


def test_who_has_seen_it_on_the_page_and_who_may_not_know_the_day_are_told_nothing(world: World) -> None:
    moves(world, "2026-07-01")
    referral_id = world.sent()
    mailed(world)
    it_is(world, MONDAY, 10)
    moves(world, "2026-06-01")
    with looking(world.session):
        referrals.referral(world.session, world.navigator, referral_id)
    finish(world.session)
    assert mailed(world) == ["other_navigator", "outside_intake"]
    world.withdraw_consent(world.consent_id)
    world.consent_again(categories=["identity", "needs", "contact"])
    it_is(world, MONDAY, 11)
    moves(world, "2026-05-01")
    assert mailed(world) == []


def ended(world: World, referral_id: UUID) -> None:
    world.act(c.cancel_referral, world.case_manager, referral_id, reason="made_by_mistake")


def died(world: World, _referral_id: UUID) -> None:
    world.act(record_death, world.case_manager, world.person_id, told_by="family", is_checked=True)


def taken_back_by_consent(world: World, _referral_id: UUID) -> None:
    world.withdraw_consent()


@pytest.mark.parametrize("change", [ended, died, taken_back_by_consent])
def test_a_move_is_told_to_nobody_whose_work_it_concerns_no_more(
    world: World, change: Callable[[World, UUID], None]
) -> None:
    referral_id = world.sent()
    mailed(world)
    it_is(world, MONDAY, 10)
    move = moves(world, "2026-06-01")

    def told() -> list[str]:
        at = there(MONDAY, 10)
        return sorted(key for key, actor in world.people.items() if q.is_move_told(world.session, actor, move, at))

    assert told() == sorted(["case_manager", *INTAKE])
    change(world, referral_id)
    assert not set(told()) & set(INTAKE)
    assert told() == [], change


def test_that_no_mail_comes_does_not_tell_the_sender_of_a_no_that_does_not_come_back(world: World) -> None:
    on_the_team(world, "other_case_manager")
    referral_id = world.sent()
    declines(world, referral_id)
    world.withdraw_consent(world.return_consent_id)
    mailed(world)
    it_is(world, MONDAY, 10)
    moves(world, "2026-06-01")
    assert mailed(world) == ["other_case_manager"]


def test_what_is_near_or_much_sooner_is_told_at_once_and_the_rest_once_a_day(world: World) -> None:
    with planting(world.session):
        for actor in world.people.values():
            world.session.get_one(User, actor.me).mail_choice = None  # once a day, as for whoever has not chosen
    world.sent()
    mailed(world)
    it_is(world, MONDAY, 10)
    moves(world, "2026-07-01")
    assert mailed(world) == []
    it_is(world, MONDAY, 11)
    moves(world, "2026-06-28")
    assert mailed(world) == []
    it_is(world, MONDAY, 12)
    moves(world, "2026-06-20")
    assert set(mailed(world)) == set(INTAKE)


def test_a_release_and_a_return_to_custody_are_told(world: World) -> None:
    referral_id = world.sent()
    accepts(world, referral_id)
    mailed(world)
    it_is(world, MONDAY, 10)
    said = {"source": "agency_record", "as_of": "2026-03-01"}
    world.act(release.record_release, world.case_manager, world.person_id, released_on="2026-03-01", **said)
    assert mailed(world) == ["navigator"]
    it_is(world, MONDAY, 11)
    back = said | {"returned_on": "2026-03-01", "unknown_because": "court_pending"}
    world.act(release.record_return, world.case_manager, world.person_id, **back)
    assert mailed(world) == ["navigator"]


def test_a_move_is_still_told_when_the_worker_was_away_for_a_day_but_not_for_a_week(world: World) -> None:
    world.sent()
    mailed(world)
    it_is(world, MONDAY, 10)
    moves(world, "2026-06-01")
    it_is(world, "2026-03-10", 10)
    r.tell_moves(world.session, None, None)
    assert [one for one in notices(world) if one.kind == q.MOVED] == []
    it_is(world, "2026-03-04", 9)
    r.tell_moves(world.session, None, None)
    assert len([one for one in notices(world) if one.kind == q.MOVED]) == 3
