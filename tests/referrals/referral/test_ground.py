"""When the ground moves under a referral (R24): nothing ends by itself, and whoever may know of it is told."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from referrals.account.models import User
from referrals.kernel.command import execute
from referrals.kernel.errors import InvalidInputError
from referrals.kernel.look import looking
from referrals.kernel.session import HouseSession
from referrals.organization.models import Facility
from referrals.partnership.models import Agreement
from referrals.person import commands as person
from referrals.person.models import Assignment, Person
from referrals.program.models import Program
from referrals.referral import commands as c
from referrals.referral import queries as q
from referrals.release import commands as release
from tests.factories.referral import FULL, LONG_AGO, RETURNED, ZONE, World, a_consent, a_world, planting

MONDAY = datetime(2026, 3, 2, 17, tzinfo=UTC)
BOTH = ("case_manager", "navigator")


def it_is(world: World, now: datetime) -> None:
    world.session.info["clock"] = lambda: now


@pytest.fixture
def world(session: HouseSession) -> World:
    made = a_world(session)
    it_is(made, MONDAY)
    return made


@pytest.fixture
def any_world(any_session: HouseSession) -> World:
    """The same on either database."""
    made = a_world(any_session)
    it_is(made, MONDAY)
    return made


def see(world: World, who: str, referral_id: UUID) -> q.View:
    with looking(world.session):
        return q.referral(world.session, world.people[who], referral_id)


def flagged(world: World, referral_id: UUID) -> tuple[list[str], list[str]]:
    """The flags of the sender and of the program."""
    here, there = (see(world, who, referral_id).flags for who in BOTH)
    return [str(one) for one in here], [str(one) for one in there]


def keep_release_back(world: World) -> None:
    """From now on, the release is not shared with the program."""
    world.withdraw_consent(world.consent_id)
    world.consent_again(categories=["identity", "needs", "contact"])


def expects(world: World, on: str | None, **said: Any) -> UUID:
    day = {"unknown_because": "court_pending"} if on is None else {"expected_on": on}
    words = {"source": "agency_record", "as_of": "2026-03-01"} | day | said
    made: UUID = world.act(release.record_release_date, world.case_manager, world.person_id, **words).id
    return made


def released(world: World, on: str = "2026-03-01") -> None:
    words = {"released_on": on, "source": "agency_record", "as_of": "2026-03-01"}
    world.act(release.record_release, world.case_manager, world.person_id, **words)


def returned(world: World, on: str = "2026-03-01", **said: Any) -> None:
    words = {"returned_on": on, "unknown_because": "court_pending", "source": "agency_record", "as_of": "2026-03-01"}
    world.act(release.record_return, world.case_manager, world.person_id, **(words | said))


# --- the release moved ------------------------------------------------------------------------------------------------


def test_a_move_since_it_was_sent_is_told_to_both_and_new_until_each_has_seen_it(any_world: World) -> None:
    world = any_world
    expects(world, "2026-06-01")
    referral_id = world.sent()
    for who in BOTH:
        assert see(world, who, referral_id).release_move is None, "what was known before is no move"
    it_is(world, MONDAY + timedelta(hours=1))
    expects(world, "2026-06-01")
    assert see(world, "navigator", referral_id).release_move is None, "nor is a day that is only confirmed"
    it_is(world, MONDAY + timedelta(hours=2))
    expects(world, "2026-05-01")
    for who in BOTH:
        for is_new in (True, False):
            move = see(world, who, referral_id).release_move
            assert move == q.Moved(
                *(MONDAY + timedelta(hours=2), date(2026, 6, 1), date(2026, 5, 1)),
                is_release=False,
                returned_on=None,
                is_new=is_new,
            )
    it_is(world, MONDAY + timedelta(hours=3))
    expects(world, None)
    moved = see(world, "navigator", referral_id).release_move
    assert moved is not None
    assert (moved.before, moved.now, moved.is_new) == (date(2026, 5, 1), None, True)


def test_whom_the_release_is_not_shared_with_is_told_of_no_move(world: World) -> None:
    expects(world, "2026-06-01")
    referral_id = world.sent()
    keep_release_back(world)
    it_is(world, MONDAY + timedelta(hours=2))
    expects(world, "2026-05-01")
    here, there = (see(world, who, referral_id) for who in BOTH)
    assert (here.release_move is None, there.release_move) == (False, None)


def test_a_referral_that_has_ended_is_told_of_no_move(world: World) -> None:
    referral_id = world.sent()
    world.act(c.decline_referral, world.navigator, referral_id, reason="no_capacity")
    it_is(world, MONDAY + timedelta(hours=2))
    expects(world, "2026-05-01")
    assert [see(world, who, referral_id).release_move for who in BOTH] == [None, None]


# --- back in custody --------------------------------------------------------------------------------------------------


def test_a_return_ends_nothing_and_both_are_asked_until_one_has_said_what_becomes_of_it(any_world: World) -> None:
    world = any_world
    referral_id = world.accepted()
    released(world)
    assert flagged(world, referral_id) == ([], [])
    it_is(world, MONDAY + timedelta(hours=1))
    returned(world)
    assert flagged(world, referral_id) == (["returned_to_custody"], ["returned_to_custody"])
    for who in BOTH:
        view = see(world, who, referral_id)
        assert (view.status, view.is_return_open, view.release_move is None) == ("accepted", True, False)
        assert {"hold_referral"} <= view.may
    assert world.row(referral_id).step_count == 2
    it_is(world, MONDAY + timedelta(hours=2))
    held = {"reason": "returned_to_custody", "review_on": "2026-03-16"}
    world.act(c.hold_referral, world.navigator, referral_id, **held)
    assert flagged(world, referral_id) == ([], [])
    world.act(c.resume_referral, world.navigator, referral_id, next_step="A letter", next_step_on="2026-03-20")
    assert flagged(world, referral_id) == ([], [])


def test_a_release_after_it_closes_the_question_and_a_second_return_asks_anew(world: World) -> None:
    referral_id = world.accepted()
    for hours in (1, 3):
        it_is(world, MONDAY + timedelta(hours=hours))
        released(world)
        assert flagged(world, referral_id) == ([], [])
        it_is(world, MONDAY + timedelta(hours=hours + 1))
        returned(world)
        assert flagged(world, referral_id)[1] == ["returned_to_custody"]
    it_is(world, MONDAY + timedelta(hours=6))
    expects(world, "2026-09-01")
    assert flagged(world, referral_id)[0] == ["returned_to_custody"], "another expected day answers nothing"


def test_a_place_on_a_waiting_list_is_kept_and_confirming_it_answers(world: World) -> None:
    referral_id = world.accepted()
    world.act(c.waitlist_referral, world.navigator, referral_id, position=3)
    released(world)
    it_is(world, MONDAY + timedelta(hours=1))
    returned(world)
    view = see(world, "navigator", referral_id)
    assert view.place is not None
    assert (view.status, view.place.position) == ("waitlisted", 3)
    assert flagged(world, referral_id) == (["returned_to_custody"], ["returned_to_custody"])
    it_is(world, MONDAY + timedelta(hours=2))
    world.act(c.confirm_place, world.navigator, referral_id)
    assert flagged(world, referral_id) == ([], [])


def test_a_return_cannot_be_read_off_a_flag(world: World) -> None:
    referral_id = world.accepted()
    released(world)
    it_is(world, MONDAY + timedelta(hours=1))
    keep_release_back(world)
    c.settle_due(world.session, None, None)
    returned(world)
    assert see(world, "navigator", referral_id).status == "accepted"
    assert flagged(world, referral_id) == (["returned_to_custody"], [])
    assert not see(world, "navigator", referral_id).is_return_open


def test_what_was_sent_after_a_return_is_not_asked_about_it(world: World) -> None:
    released(world)
    returned(world)
    it_is(world, MONDAY + timedelta(hours=1))
    assert flagged(world, world.sent()) == ([], [])


# --- another facility -------------------------------------------------------------------------------------------------


def two_facilities(world: World) -> tuple[UUID, UUID]:
    """Two facilities of the agency; the agreement names the first alone."""
    said = {"organization_id": world.agency_id, "time_zone": ZONE, "added_at": LONG_AGO}
    with planting(world.session):
        named, other = (Facility(name=name, **said) for name in ("North", "South"))
        world.session.add_all([named, other])
        world.session.get_one(Agreement, world.agreement_id).facility_ids = [str(named.id)]
    return named.id, other.id


def moves_to(world: World, facility_id: UUID) -> None:
    version = world.session.scalars(select(Person.version).where(Person.id == world.person_id)).one()
    world.session.rollback()
    execute(
        world.session,
        person.move_to_facility,
        actor=world.case_manager,
        target=world.person_id,
        data={"facility_id": str(facility_id)},
        expect=version,
    )


def test_a_facility_that_the_agreement_does_not_name_is_flagged_to_whom_the_facility_is_shown(
    any_world: World,
) -> None:
    world = any_world
    named, other = two_facilities(world)
    moves_to(world, named)
    referral_id = world.accepted()
    assert flagged(world, referral_id) == ([], [])
    moves_to(world, other)
    assert flagged(world, referral_id) == (["facility_not_covered"], ["facility_not_covered"])
    assert see(world, "navigator", referral_id).status == "accepted", "the referral stays"
    keep_release_back(world)
    assert flagged(world, referral_id) == (["facility_not_covered"], [])
    moves_to(world, named)
    assert flagged(world, referral_id) == ([], [])


# --- a program that closed, people who left ---------------------------------------------------------------------------


def test_a_program_that_closed_is_flagged_to_both(world: World) -> None:
    referral_id = world.sent()
    with planting(world.session) as work:
        world.session.get_one(Program, world.program_id).closed_at = work.now
    assert flagged(world, referral_id) == (["program_closed"], ["program_closed"])
    world.act(c.decline_referral, world.navigator, referral_id, reason="no_capacity")
    assert flagged(world, referral_id) == ([], [])


def leaves(world: World, who: str) -> None:
    with planting(world.session) as work:
        user = world.session.get_one(User, world.people[who].me)
        user.disable(at=work.now, by=None, because="Left.")


def seen_flags(world: World, who: str, referral_id: UUID) -> list[str]:
    return [str(one) for one in see(world, who, referral_id).flags]


def test_a_caseworker_who_left_is_flagged_where_it_is_known_who_works_on_it(any_world: World) -> None:
    world = any_world
    referral_id = world.accepted()
    leaves(world, "navigator")
    for who in ("case_manager", "cbo_supervisor"):
        assert seen_flags(world, who, referral_id) == ["caseworker_gone"]
    review = {"reason": "health", "review_on": "2026-03-16"}
    world.act(c.hold_referral, world.case_manager, referral_id, **review)
    assert seen_flags(world, "case_manager", referral_id) == ["caseworker_gone"]
    world.withdraw_consent(world.return_consent_id)
    assert seen_flags(world, "case_manager", referral_id) == [], "its own hold tells nothing of the program's people"
    assert seen_flags(world, "cbo_supervisor", referral_id) == ["caseworker_gone"]
    words = {"caseworker_id": str(world.other_navigator.me), "reason": "caseload_change"}
    world.act(c.name_caseworker, world.cbo_supervisor, referral_id, **words)
    assert seen_flags(world, "cbo_supervisor", referral_id) == []


@pytest.mark.parametrize("held", [False, True])
def test_nor_does_it_stay_with_nobody_where_the_assignment_ended(world: World, *, held: bool) -> None:
    referral_id = world.accepted()
    if held:
        words = {"reason": "health", "review_on": "2026-03-30"}
        world.act(c.hold_referral, world.navigator, referral_id, **words)
    with planting(world.session) as work:
        ours = select(Assignment).where(Assignment.user_id == world.navigator.me)
        world.session.scalars(ours).one().end(at=work.now, by=None, because="left_organization")
    it_is(world, MONDAY + timedelta(days=2))
    for who in ("case_manager", "cbo_supervisor"):
        assert seen_flags(world, who, referral_id) == ["no_caseworker"]


def test_a_sender_with_nobody_left_is_flagged_at_its_side_and_to_whom_its_people_are_shared(world: World) -> None:
    referral_id = world.accepted()
    leaves(world, "case_manager")
    assert seen_flags(world, "agency_supervisor", referral_id) == ["sender_gone"]
    assert seen_flags(world, "navigator", referral_id) == [], "who helps a participant crosses as attendance"
    with planting(world.session):
        shared = a_consent(world.person_id, world.agency_id, world.cbo_id, world.case_manager.me, categories=RETURNED)
        world.session.add(shared)
    assert seen_flags(world, "navigator", referral_id) == ["sender_gone"]
    words = {"user_id": str(world.other_case_manager.me), "tie": "case_manager", "reason": "caseload_change"}
    world.act(person.assign_to_care_team, world.agency_supervisor, world.person_id, **words)
    assert seen_flags(world, "agency_supervisor", referral_id) == []
    assert seen_flags(world, "navigator", referral_id) == []


# --- sharing that ended (R25) -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["consent", "agreement"])
def test_the_recipient_of_what_is_shared_no_more_reads_since_when(any_world: World, how: str) -> None:
    world = any_world
    referral_id = world.accepted()
    it_is(world, MONDAY + timedelta(days=1))
    if how == "agreement":
        world.end_agreement()
    else:
        world.withdraw_consent()
    it_is(world, MONDAY + timedelta(days=4))
    c.settle_due(world.session, None, None)
    here, there = (see(world, who, referral_id) for who in BOTH)
    assert (here.sharing_ended_on, there.sharing_ended_on) == (None, date(2026, 3, 3))
    assert there.flags == [], "the day of a withdrawal is all it is told"


def test_a_consent_that_ran_out_ended_with_its_last_day_and_the_last_of_several_counts(world: World) -> None:
    referral_id = world.accepted()
    world.withdraw_consent(world.consent_id)
    for last in (date(2026, 3, 10), date(2026, 3, 12)):
        world.consent_again(expires_on=last, no_later_than=last)
    assert see(world, "navigator", referral_id).sharing_ended_on is None
    it_is(world, MONDAY + timedelta(days=20))
    assert see(world, "navigator", referral_id).sharing_ended_on == date(2026, 3, 13), "the first day without"


def waited_and_lost(world: World) -> UUID:
    """A referral on the waiting list since Monday, canceled a day later because the consent ended."""
    referral_id = world.accepted()
    world.act(c.waitlist_referral, world.navigator, referral_id, position=7)
    it_is(world, MONDAY + timedelta(days=1))
    world.withdraw_consent()
    c.settle_due(world.session, None, None)
    assert world.row(referral_id).steps[-1].reason == "consent_ended"
    return referral_id


def sent_again(world: World, before: UUID, after_days: float) -> UUID:
    it_is(world, MONDAY + timedelta(days=after_days))
    world.consent_again()
    words = {"program_id": str(world.program_id)}
    again: UUID = world.act(c.reroute_referral, world.case_manager, before, **words).id
    yes = {"asked_by": "participant", "agreed_on": "2026-01-05", "agreed_how": "in_person"}
    execute(world.session, c.save_draft, actor=world.case_manager, target=again, data=FULL | yes, expect=1)
    world.act(c.send_referral, world.case_manager, again)
    return again


def test_a_new_try_within_30_days_may_keep_its_waiting_date_by_one_tick(any_world: World) -> None:
    world = any_world
    again = sent_again(world, waited_and_lost(world), 31)
    on_list = {"caseworker_id": str(world.navigator.me), "position": 7}
    world.act(c.waitlist_referral, world.navigator, again, keeps_waiting_date=True, **on_list)
    for who in BOTH:
        place = see(world, who, again).place
        assert place is not None
        assert (place.queued_on, place.position) == (date(2026, 3, 2), 7)
    it_is(world, MONDAY + timedelta(days=32))
    world.withdraw_consent()
    c.settle_due(world.session, None, None)
    third = sent_again(world, again, 40)
    world.act(c.waitlist_referral, world.navigator, third, keeps_waiting_date=True, **on_list)
    place = see(world, "navigator", third).place
    assert place is not None
    assert place.queued_on == date(2026, 3, 2), "the first date is kept, not the last"


def test_without_the_tick_they_wait_from_today(world: World) -> None:
    again = sent_again(world, waited_and_lost(world), 10)
    world.act(c.waitlist_referral, world.navigator, again, caseworker_id=str(world.navigator.me), position=9)
    place = see(world, "navigator", again).place
    assert place is not None
    assert place.queued_on is None


@pytest.mark.parametrize("case", ["too_late", "never_listed", "canceled_by_hand", "nothing_before"])
def test_no_other_waiting_date_is_kept(world: World, case: str) -> None:
    if case == "too_late":
        again = sent_again(world, waited_and_lost(world), 31.1)
    elif case == "nothing_before":
        again = world.sent()
    else:
        before = world.accepted()
        if case == "never_listed":
            world.act(c.cancel_referral, world.case_manager, before, reason="moved_away", wish_how="phone")
        else:
            world.act(c.waitlist_referral, world.navigator, before, position=7)
            world.act(c.cancel_referral, world.case_manager, before, reason="duplicate")
        again = sent_again(world, before, 2)
    words = {"caseworker_id": str(world.navigator.me), "position": 1, "keeps_waiting_date": True}
    with pytest.raises(InvalidInputError) as refused:
        world.act(c.waitlist_referral, world.navigator, again, **words)
    assert refused.value.fields == {"keeps_waiting_date": ["no_waiting_date"]}
