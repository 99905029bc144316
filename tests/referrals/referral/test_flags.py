"""Flags (R13): worth a look, never a status; nothing that is withheld can be read off them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referrals.kernel.look import looking
from referrals.kernel.session import HouseSession
from referrals.organization.models import ClosingDay, working_day_after
from referrals.referral import commands as c
from referrals.referral import queries as q
from referrals.referral.models import TAKEN_ON, TERMINAL, UNDER_WAY, Flag, Followed, State, flags
from referrals.release.models import ReleaseDate
from tests.factories.referral import LONG_AGO, ZONE, World, a_world, planting

MONDAY = date(2026, 3, 2)
DAYS = st.dates(date(2026, 1, 1), date(2026, 12, 31))


def followed(state: State, **more: Any) -> Followed:
    return replace(Followed(state, since=MONDAY, last_word_on=MONDAY, has_caseworker=True), **more)


# --- the rules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "last_quiet_day", "flag"),
    [
        (followed(State.ACCEPTED, first_contact_on=date(2026, 3, 4)), date(2026, 3, 4), Flag.FIRST_CONTACT_LATE),
        # A promise for later than five working days counts as five.
        (followed(State.ACCEPTED, first_contact_on=date(2026, 4, 1)), date(2026, 3, 9), Flag.FIRST_CONTACT_LATE),
        (followed(State.ACCEPTED), date(2026, 3, 9), Flag.FIRST_CONTACT_LATE),
        # Before the day of release, whatever was promised; once that is over, as ever.
        (followed(State.ACCEPTED, release_on=date(2026, 3, 5)), date(2026, 3, 4), Flag.FIRST_CONTACT_LATE),
        (
            followed(State.ACCEPTED, first_contact_on=date(2026, 3, 6), release_on=date(2026, 3, 5)),
            date(2026, 3, 4),
            Flag.FIRST_CONTACT_LATE,
        ),
        (followed(State.ACCEPTED, release_on=MONDAY), date(2026, 3, 9), Flag.FIRST_CONTACT_LATE),
        (followed(State.ACCEPTED, release_on=date(2026, 6, 1)), date(2026, 3, 9), Flag.FIRST_CONTACT_LATE),
        (followed(State.ON_HOLD, review_on=date(2026, 3, 20)), date(2026, 3, 20), Flag.HOLD_OVER),
        (followed(State.IN_PROGRESS, last_word_on=date(2026, 3, 5)), date(2026, 3, 25), Flag.SILENCE),
        (followed(State.WAITLISTED), date(2026, 3, 22), Flag.SILENCE),
        (followed(State.WAITLISTED), date(2026, 3, 15), Flag.PLACE_UNCONFIRMED),
        (followed(State.WAITLISTED, confirmed_on=date(2026, 3, 10)), date(2026, 3, 23), Flag.PLACE_UNCONFIRMED),
        # Named within one working day: from Friday over the weekend to Monday.
        (followed(State.IN_PROGRESS, has_caseworker=False), date(2026, 3, 3), Flag.NO_CASEWORKER),
        (
            followed(State.ACCEPTED, since=date(2026, 3, 6), last_word_on=date(2026, 3, 6), has_caseworker=False),
            date(2026, 3, 9),
            Flag.NO_CASEWORKER,
        ),
        (followed(State.WAITLISTED, has_caseworker=False), date(2026, 3, 3), Flag.NO_CASEWORKER),
        (followed(State.COMPLETED, is_loop_open=True), date(2026, 3, 9), Flag.LOOP_OPEN),
    ],
)
def test_a_flag_goes_up_on_the_day_after_and_not_before(seen: Followed, last_quiet_day: date, flag: Flag) -> None:
    assert flag not in flags(seen, last_quiet_day)
    assert flag in flags(seen, last_quiet_day + timedelta(days=1))


@given(
    st.builds(
        Followed,
        st.sampled_from(State),
        since=DAYS,
        last_word_on=DAYS,
        first_contact_on=st.one_of(st.none(), DAYS),
        release_on=st.one_of(st.none(), DAYS),
        confirmed_on=st.one_of(st.none(), DAYS),
        review_on=st.one_of(st.none(), DAYS),
        has_caseworker=st.booleans(),
        is_loop_open=st.booleans(),
        is_back_in_custody=st.booleans(),
        is_facility_left_out=st.booleans(),
        is_program_closed=st.booleans(),
        is_caseworker_gone=st.booleans(),
        is_sender_gone=st.booleans(),
    ),
    DAYS,
    st.frozensets(st.dates(date(2026, 1, 1), date(2026, 2, 28)), max_size=12),
)
def test_flags_only_ever_rise_with_time_and_fit_the_state(seen: Followed, today: date, closed: frozenset[date]) -> None:
    state = seen.state
    if state not in TERMINAL:
        seen = replace(seen, is_loop_open=False)
    raised = flags(seen, today)
    assert raised == [flag for flag in Flag if flag in raised], "each once, in one order"
    assert set(raised) <= set(flags(seen, today + timedelta(days=1)))
    assert set(flags(seen, today, closed)) <= set(raised), "a program that is closed is given no less time"
    assert set(flags(replace(seen, release_on=None), today)) <= set(raised), "nor more by a release to come"
    moved = {
        Flag.RETURNED_TO_CUSTODY: seen.is_back_in_custody and state in UNDER_WAY,
        Flag.FACILITY_NOT_COVERED: seen.is_facility_left_out and state in UNDER_WAY,
        Flag.PROGRAM_CLOSED: seen.is_program_closed and state in UNDER_WAY,
        Flag.CASEWORKER_GONE: seen.is_caseworker_gone and seen.has_caseworker and state in TAKEN_ON,
        Flag.SENDER_GONE: seen.is_sender_gone and state in UNDER_WAY,
    }
    assert {flag for flag in raised if flag in moved} == {flag for flag, is_so in moved.items() if is_so}
    by_time = set(raised) - moved.keys()
    allowed = {
        State.ACCEPTED: {Flag.FIRST_CONTACT_LATE, Flag.SILENCE, Flag.NO_CASEWORKER},
        State.WAITLISTED: {Flag.SILENCE, Flag.PLACE_UNCONFIRMED, Flag.NO_CASEWORKER},
        State.IN_PROGRESS: {Flag.SILENCE, Flag.NO_CASEWORKER},
        State.ON_HOLD: {Flag.HOLD_OVER, Flag.SILENCE, Flag.NO_CASEWORKER},
    }
    assert by_time <= allowed.get(state, {Flag.LOOP_OPEN} if state in TERMINAL else set())
    if seen.confirmed_on is not None:
        assert set(flags(replace(seen, confirmed_on=seen.confirmed_on + timedelta(days=1)), today)) <= set(raised), (
            "to confirm later never raises one"
        )
    if today <= seen.since:
        assert not {Flag.NO_CASEWORKER, Flag.LOOP_OPEN} & set(raised)


# --- in service -------------------------------------------------------------------------------------------------------


@pytest.fixture
def world(session: HouseSession) -> World:
    made = a_world(session)
    it_is(made, MONDAY)
    return made


def it_is(world: World, day: date) -> None:
    now = datetime.combine(day, datetime.min.time(), ZoneInfo(ZONE)).replace(hour=9).astimezone(UTC)
    world.session.info["clock"] = lambda: now


def seen_by(world: World, who: str, referral_id: UUID) -> list[str]:
    with looking(world.session):
        return [str(one) for one in q.referral(world.session, getattr(world, who), referral_id).flags]


def test_a_late_first_contact_and_silence_show_on_both_sides_until_something_happens(world: World) -> None:
    referral_id = world.accepted()
    assert (seen_by(world, "case_manager", referral_id), seen_by(world, "navigator", referral_id)) == ([], [])
    it_is(world, working_day_after(MONDAY, 6))
    for who in ("case_manager", "navigator"):
        assert seen_by(world, who, referral_id) == ["first_contact_late"]
    it_is(world, MONDAY + timedelta(days=21))
    for who in ("case_manager", "navigator"):
        assert seen_by(world, who, referral_id) == ["first_contact_late", "silence"]
    words = {"audience": "both", "category": "attendance", "message": "She is in the hospital until Friday."}
    world.act(c.post_message, world.navigator, referral_id, **words)
    for who in ("case_manager", "navigator"):
        assert seen_by(world, who, referral_id) == ["first_contact_late"]


def test_first_contact_comes_before_the_release_as_far_as_its_reader_knows_the_day(world: World) -> None:
    with planting(world.session):
        said = {"source": "agency_record", "as_of": MONDAY, "recorded_by": world.case_manager.me}
        said |= {"recorded_at": LONG_AGO, "organization_id": world.agency_id, "participant_id": world.person_id}
        world.session.add(ReleaseDate(expected_on=MONDAY + timedelta(days=2), **said))
    promised = (MONDAY + timedelta(days=4)).isoformat()
    referral_id = world.sent()
    words = {"caseworker_id": str(world.navigator.me), "first_contact_on": promised}
    world.act(c.accept_referral, world.navigator, referral_id, **words)
    it_is(world, MONDAY + timedelta(days=1))
    assert [seen_by(world, who, referral_id) for who in ("case_manager", "navigator")] == [[], []]
    it_is(world, MONDAY + timedelta(days=2))
    assert [seen_by(world, who, referral_id) for who in ("case_manager", "navigator")] == [["first_contact_late"]] * 2
    world.withdraw_consent(world.consent_id)
    world.consent_again(categories=["identity", "needs", "contact"])
    assert seen_by(world, "case_manager", referral_id) == ["first_contact_late"]
    assert seen_by(world, "navigator", referral_id) == [], "the release cannot be read off a flag"


def test_while_a_program_is_closed_its_first_contact_waits(world: World) -> None:
    with planting(world.session):
        for day in (working_day_after(MONDAY, 2), working_day_after(MONDAY, 3)):
            closed = {"closed_on": day, "because": "Training", "organization_id": world.cbo_id}
            world.session.add(ClosingDay(added_at=LONG_AGO, added_by=world.cbo_supervisor.me, **closed))
    referral_id = world.sent()
    promised = (MONDAY + timedelta(days=30)).isoformat()
    words = {"caseworker_id": str(world.navigator.me), "first_contact_on": promised}
    world.act(c.accept_referral, world.navigator, referral_id, **words)
    it_is(world, working_day_after(MONDAY, 7))
    assert seen_by(world, "case_manager", referral_id) == []
    it_is(world, working_day_after(MONDAY, 8))
    assert seen_by(world, "case_manager", referral_id) == ["first_contact_late"]


def test_a_hold_past_its_day_and_an_open_loop_show(world: World) -> None:
    referral_id = world.accepted()
    review = (MONDAY + timedelta(days=10)).isoformat()
    world.act(c.hold_referral, world.case_manager, referral_id, reason="facility_lockdown", review_on=review)
    it_is(world, MONDAY + timedelta(days=10))
    assert seen_by(world, "navigator", referral_id) == []
    it_is(world, MONDAY + timedelta(days=11))
    assert seen_by(world, "navigator", referral_id) == ["hold_over"]
    world.act(c.cancel_referral, world.case_manager, referral_id, reason="not_eligible_after_all")
    it_is(world, MONDAY + timedelta(days=25))
    assert seen_by(world, "navigator", referral_id) == ["loop_open"]
    world.act(c.close_loop, world.navigator, referral_id, answer="agreed")
    assert seen_by(world, "navigator", referral_id) == []


def test_a_place_that_nobody_confirms_for_14_days_shows_on_both_sides_until_it_is(world: World) -> None:
    referral_id = world.accepted()
    world.act(c.waitlist_referral, world.navigator, referral_id, position=4)
    it_is(world, MONDAY + timedelta(days=13))
    assert seen_by(world, "case_manager", referral_id) == []
    it_is(world, MONDAY + timedelta(days=14))
    for who in ("case_manager", "navigator"):
        assert seen_by(world, who, referral_id) == ["place_unconfirmed"]
    world.act(c.confirm_place, world.navigator, referral_id)
    for who in ("case_manager", "navigator"):
        assert seen_by(world, who, referral_id) == []
    it_is(world, MONDAY + timedelta(days=28))
    assert seen_by(world, "case_manager", referral_id) == ["place_unconfirmed"]
    it_is(world, MONDAY + timedelta(days=35))
    assert seen_by(world, "case_manager", referral_id) == ["place_unconfirmed", "silence"], "the word was the last one"
    world.withdraw_consent(world.return_consent_id)
    assert seen_by(world, "case_manager", referral_id) == []


def test_where_answers_do_not_come_back_the_sender_is_shown_no_flag(world: World) -> None:
    referral_id = world.accepted()
    world.withdraw_consent(world.return_consent_id)
    it_is(world, MONDAY + timedelta(days=28))
    assert seen_by(world, "case_manager", referral_id) == []
    assert seen_by(world, "navigator", referral_id) == ["first_contact_late", "silence"]
