"""A participant's death (R5, R6, R24): it goes before everything, stops what reminds, and can be taken back."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from referrals.kernel.actor import Actor, anybody_like, asked_by, system
from referrals.kernel.errors import InvalidInputError, NotFoundError, NotPermittedError, RuleBrokenError
from referrals.kernel.look import NOT_SHARED, looking
from referrals.kernel.orm import uuid7
from referrals.kernel.session import HouseSession
from referrals.mail.commands import GROUNDS
from referrals.person import commands as person
from referrals.person import queries as persons
from referrals.person.models import DeathRecord
from referrals.program.models import Program
from referrals.referral import commands as c
from referrals.referral import queries as q
from referrals.referral.models import DEATH_WRITTEN_AFTER, OPEN, TERMINAL, Facts, Referral, State, settle
from referrals.release import queries as releases
from referrals.release.models import ReleaseDate
from referrals.reminder import queries as reminders
from referrals.worklist import queries as lists
from tests.factories.referral import RETURNED, ZONE, World, a_consent, a_world, planting, tomorrow

KNOWN: dict[str, Any] = {"told_by": "family", "died_on": "2026-02-20", "is_checked": True}
MONDAY = datetime(2026, 3, 2, 17, tzinfo=UTC)


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


def it_is(world: World, now: datetime) -> None:
    world.session.info["clock"] = lambda: now


def died(world: World, actor: Actor | None = None, **said: Any) -> UUID:
    record: DeathRecord = world.act(person.record_death, actor or world.case_manager, world.person_id, **(KNOWN | said))
    return record.id


def see(world: World, who: str, referral_id: UUID) -> q.View:
    with looking(world.session):
        return q.referral(world.session, world.people[who], referral_id)


def listed(world: World, who: str) -> dict[str, list[UUID]]:
    with looking(world.session):
        found = {str(one): lists.listed(world.session, world.people[who], one).cards for one in lists.Group}
    return {group: [card.id for card in cards] for group, cards in found.items()}


def return_consent_again(world: World) -> None:
    with planting(world.session):
        made = a_consent(world.person_id, world.cbo_id, world.agency_id, world.case_manager.me, categories=RETURNED)
        world.session.add(made)
    world.return_consent_id = made.id


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "faults"),
    [
        ({"died_on": "2026-03-03"}, {"died_on": ["in_future"]}),
        ({"died_on": "1990-04-30"}, {"died_on": ["before_birth"]}),
        ({"told_by": "other"}, {"words": ["required"]}),
        ({"is_checked": False}, {"is_checked": ["check_the_person"]}),
        ({"told_by": "a neighbor"}, {"told_by": ["not_a_choice"]}),
        ({"cause": "?"}, {"cause": ["unknown_field"]}),
    ],
)
def test_a_death_is_put_on_record_with_a_source_and_the_right_person(
    world: World, said: dict[str, Any], faults: dict[str, list[str]]
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        died(world, **said)
    assert refused.value.fields == faults


def test_only_who_works_with_the_participant_records_a_death(world: World) -> None:
    for who in ("stranger", "navigator", "other_case_manager", "agency_administrator"):
        with pytest.raises((NotFoundError, NotPermittedError)):
            died(world, world.people[who])
    world.sent()
    for who in ("stranger", "outside_intake"):
        with pytest.raises(NotFoundError):
            died(world, world.people[who])
    died(world, world.navigator)
    with pytest.raises(RuleBrokenError) as twice:
        died(world, world.cbo_supervisor)
    assert twice.value.code == "death_on_record"


def test_a_mistake_is_taken_back_once_by_who_made_it_or_by_the_agency(world: World) -> None:
    world.sent()
    record = died(world)
    for who in ("navigator", "stranger", "cbo_supervisor"):
        with pytest.raises(NotFoundError):
            world.act(person.take_back_death, world.people[who], record, because="She answered the phone.")
    with pytest.raises(InvalidInputError) as refused:
        world.act(person.take_back_death, world.case_manager, record)
    assert refused.value.fields == {"because": ["required"]}
    entry = world.act(person.take_back_death, world.case_manager, record, because="She answered the phone.")
    for target in (record, uuid7()):
        with pytest.raises((RuleBrokenError, NotFoundError)) as twice:
            world.act(person.take_back_death, world.agency_supervisor, target, because="Again.")
        assert twice.value.code == ("death_taken_back" if target == record else "not_found")
    with pytest.raises(NotFoundError):
        world.act(person.take_back_death, world.case_manager, entry.id, because="What takes back is no record.")
    second = died(world, world.navigator)
    world.act(person.take_back_death, world.agency_supervisor, second, because="The agency keeps the record.")
    assert died(world) not in {record, second}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE death_record SET category = 'needs'",
        "DELETE FROM death_record",
        "INSERT OR REPLACE INTO death_record SELECT * FROM death_record",
    ],
)
def test_a_record_of_a_death_stays_as_it_was_written(world: World, statement: str) -> None:
    world.act(person.take_back_death, world.case_manager, died(world), because="A mix-up.")
    with pytest.raises(DBAPIError, match="insert-only"):
        world.session.connection().execute(text(statement))
    world.session.rollback()


def test_nothing_is_sent_for_somebody_who_has_died(any_world: World) -> None:
    world = any_world
    draft = world.draft()
    died(world)
    with pytest.raises(RuleBrokenError) as refused:
        world.act(c.send_referral, world.case_manager, draft)
    assert refused.value.code == "participant_died"


def test_nothing_is_begun_for_somebody_who_has_died_as_far_as_one_may_know(any_world: World) -> None:
    world = any_world
    ended, kept = world.sent(), world.draft(program_id=another_program(world))
    world.act(c.decline_referral, world.navigator, ended, reason="no_capacity")
    record = died(world)
    for what, target in ((c.draft_referral, world.person_id), (c.reroute_referral, ended)):
        with pytest.raises(InvalidInputError):
            world.act(what, world.case_manager, target, program_id=str(world.person_id))
        with pytest.raises(RuleBrokenError) as refused:
            world.act(what, world.case_manager, target, program_id=str(world.program_id))
        assert refused.value.code == "participant_died"
    seen = own_draft(world, kept)
    assert seen.extra["has_died"]
    assert seen.death is not None
    world.act(person.take_back_death, world.case_manager, record, because="A mix-up of two people.")
    seen = own_draft(world, kept)
    assert (seen.extra["has_died"], seen.death) == (False, None)
    world.draft()


def test_who_may_not_know_of_a_death_begins_a_draft_as_ever_and_reads_only_that_it_ended(world: World) -> None:
    world.sent()
    program = another_program(world)
    kept = world.draft(program_id=program)
    world.withdraw_consent(world.return_consent_id)
    died(world, world.navigator)
    world.draft(program_id=program)
    seen = own_draft(world, kept)
    assert (seen.extra["has_died"], seen.death) == (True, None)
    with looking(world.session):
        assert {card.status for card in lists.drafts(world.session, world.case_manager)} == {"cancelled"}
    return_consent_again(world)
    assert own_draft(world, kept).death is not None


def own_draft(world: World, referral_id: UUID) -> q.View:
    with looking(world.session):
        return q.draft(world.session, world.case_manager, referral_id)


def test_who_may_not_know_why_reads_that_it_ended_and_no_more(world: World) -> None:
    """The program recorded it, and its answers do not come back: the sender is told how it stands, not why."""
    open_one, draft = world.sent(), world.draft(program_id=another_program(world))
    world.withdraw_consent(world.return_consent_id)
    died(world, world.navigator)
    with pytest.raises(RuleBrokenError) as refused:
        world.act(c.send_referral, world.case_manager, draft)
    assert (refused.value.code, refused.value.facts["state"]) == ("wrong_state", "cancelled")
    assert (see(world, "case_manager", open_one).status, see(world, "case_manager", open_one).death) == (
        "cancelled",
        None,
    )
    it_is(world, MONDAY + DEATH_WRITTEN_AFTER)
    c.settle_due(world.session, None, None)
    told = see(world, "case_manager", open_one).timeline[0]
    assert (told.what, told.side, told.became, told.why) == ("cancel_referral", "system", NOT_SHARED, NOT_SHARED)
    return_consent_again(world)
    assert see(world, "case_manager", open_one).timeline[0].why == "deceased"


def another_program(world: World) -> UUID:
    with planting(world.session):
        made = Program(organization_id=world.cbo_id, name="Work", categories=["housing"], capacity_code="capacity")
        made.added_at = MONDAY
        world.session.add(made)
    return made.id


# --- what it does -----------------------------------------------------------------------------------------------------

ENDS: dict[str, list[tuple[str, Any, dict[str, Any]]]] = {
    "sent": [],
    "acknowledged": [("navigator", c.acknowledge_referral, {})],
    "info_requested": [("navigator", c.ask_question, {"topic": "needs", "question": "Which floor?"})],
    "accepted": [("navigator", c.accept_referral, {"first_contact_on": tomorrow()})],
    "waitlisted": [("navigator", c.waitlist_referral, {"position": 3})],
    "on_hold": [
        ("navigator", c.accept_referral, {"first_contact_on": tomorrow()}),
        ("navigator", c.hold_referral, {"reason": "unreachable", "review_on": "2026-03-20"}),
    ],
}


def brought_to(world: World, state: str) -> UUID:
    referral_id = world.sent()
    for who, what, words in ENDS[state]:
        named = (
            {"caseworker_id": str(world.navigator.me)} if what.name in {"accept_referral", "waitlist_referral"} else {}
        )
        world.act(what, world.people[who], referral_id, **(words | named))
    return referral_id


@pytest.mark.parametrize("state", sorted(ENDS))
def test_at_once_both_sides_see_it_closed_and_the_worker_writes_it_a_day_later(world: World, state: str) -> None:
    referral_id = brought_to(world, state)
    it_is(world, MONDAY + timedelta(days=20))
    died(world)
    steps = world.row(referral_id).step_count
    for who in ("case_manager", "navigator"):
        view = see(world, who, referral_id)
        assert (view.status, view.waiting_on, view.is_overdue, view.deadlines, view.flags) == (
            *("cancelled", None, False, None),
            [],
        )
        assert view.death is not None
        assert (view.death.died_on, view.death.told_by) == (date(2026, 2, 20), "family")
        assert view.may == {"post_message", "report_error"}
    assert listed(world, "case_manager") == {"us": [referral_id], "them": [], "closed": []}
    assert listed(world, "navigator") == {"us": [], "them": [referral_id], "closed": []}
    for days, written in ((0.99, 0), (1, 1)):
        it_is(world, MONDAY + timedelta(days=20 + days))
        c.settle_due(world.session, None, None)
        assert world.row(referral_id).step_count == steps + written
    step = world.row(referral_id).steps[-1]
    assert (step.side, step.by, step.to_state, step.reason, step.category) == (
        *("system", None, "cancelled", "deceased"),
        "identity",
    )
    for who in ("case_manager", "navigator") if state not in {"sent", "acknowledged", "info_requested"} else ():
        assert see(world, who, referral_id).timeline[0].why == "deceased"
    assert "close_loop" in see(world, "case_manager", referral_id).may, "somebody at the sender reads how it ended"
    world.act(c.close_loop, world.case_manager, referral_id, answer="agreed")
    assert listed(world, "case_manager")["closed"] == [referral_id]


@pytest.mark.parametrize("state", sorted(ENDS))
def test_a_mistake_taken_back_within_a_day_leaves_no_trace_in_the_status(world: World, state: str) -> None:
    referral_id = brought_to(world, state)
    before = [see(world, who, referral_id) for who in ("case_manager", "navigator")]
    record = died(world)
    for what, who in ((c.acknowledge_referral, "navigator"), (c.cancel_referral, "case_manager")):
        with pytest.raises(RuleBrokenError) as refused:
            world.act(
                what, world.people[who], referral_id, **({"reason": "duplicate"} if who == "case_manager" else {})
            )
        assert (refused.value.code, refused.value.facts["state"]) == ("wrong_state", "cancelled")
    with pytest.raises(RuleBrokenError):
        world.act(c.close_loop, world.case_manager, referral_id, answer="agreed")
    with pytest.raises(RuleBrokenError) as nothing_due:
        world.act(c.settle_referral, system(), referral_id)
    assert nothing_due.value.code == "nothing_due"
    it_is(world, MONDAY + timedelta(hours=20))
    world.act(person.take_back_death, world.case_manager, record, because="A mix-up of two people.")
    it_is(world, MONDAY + timedelta(hours=30))
    c.settle_due(world.session, None, None)
    for view, was in zip((see(world, who, referral_id) for who in ("case_manager", "navigator")), before, strict=True):
        assert (view.status, view.recorded, view.may, view.waiting_on, view.death) == (
            *(was.status, was.recorded, was.may, was.waiting_on),
            None,
        )
        assert [entry.what for entry in view.timeline] == [entry.what for entry in was.timeline]


def test_taken_back_later_the_closed_ones_stay_closed_and_a_new_one_can_be_sent(world: World) -> None:
    referral_id = world.accepted()
    record = died(world)
    it_is(world, MONDAY + timedelta(days=2))
    c.settle_due(world.session, None, None)
    world.act(person.take_back_death, world.case_manager, record, because="A mix-up of two people.")
    view = see(world, "case_manager", referral_id)
    assert (view.status, view.death) == ("cancelled", None)
    assert "reroute_referral" in view.may
    world.sent()


def test_a_draft_is_put_away_and_the_first_day_keeps_it(world: World) -> None:
    kept = world.draft()
    died(world)
    c.settle_due(world.session, None, None)
    assert world.row(kept).recorded is State.DRAFT
    it_is(world, MONDAY + DEATH_WRITTEN_AFTER)
    c.settle_due(world.session, None, None)
    step = world.row(kept).steps[-1]
    assert (step.verb, step.reason, step.to_state) == ("discard_draft", "deceased", "cancelled")


def test_what_ended_before_the_death_stays_as_it_ended(world: World) -> None:
    referral_id = world.sent()
    world.act(c.decline_referral, world.navigator, referral_id, reason="no_capacity")
    died(world)
    view = see(world, "case_manager", referral_id)
    assert (view.status, view.loop_owed_by) == ("declined", "source")
    assert "reroute_referral" not in view.may, "nothing is tried again for them"
    it_is(world, MONDAY + timedelta(days=3))
    c.settle_due(world.session, None, None)
    assert world.row(referral_id).recorded is State.DECLINED


def test_no_clock_runs_and_nothing_that_was_to_be_told_is_still_so(world: World) -> None:
    referral_id = world.sent(urgency="urgent", urgency_because="Out tomorrow.")
    it_is(world, MONDAY + timedelta(days=2))
    at = MONDAY + timedelta(days=2)

    def told(who: Actor, kind: str) -> bool:
        return GROUNDS[kind](world.session, who, referral_id, at)

    assert told(world.agency_supervisor, reminders.OVERDUE)
    assert told(world.navigator, "referral.sent")
    assert [one.referral.id for page in reminders.running(world.session, at) for one in page] == [referral_id]
    died(world)
    assert q.clocks(world.session, [referral_id], at) == {}
    assert [one for page in reminders.running(world.session, at) for one in page] == []
    assert q.expired(world.session, at + timedelta(days=30)) == []
    for who in (world.navigator, world.case_manager, world.agency_supervisor, world.cbo_supervisor):
        kinds = {*q.TOLD.values(), reminders.HALF_USED, reminders.OVERDUE} - {"referral.ended"}
        assert [kind for kind in kinds if told(who, kind)] == []


# --- who may know -----------------------------------------------------------------------------------------------------


def test_who_the_participant_is_tells_of_the_agencys_record_and_answers_of_anothers(world: World) -> None:
    referral_id = world.accepted()
    record = died(world, words="The chaplain told us how.")
    shown = see(world, "navigator", referral_id).death
    assert shown is not None
    assert (shown.died_on, shown.words) == (date(2026, 2, 20), NOT_SHARED), "words may tell of health"
    with looking(world.session):
        own = persons.death(world.session, world.case_manager, world.person_id)
    assert own is not None
    assert own.words == "The chaplain told us how."
    world.withdraw_consent()
    view = see(world, "navigator", referral_id)
    assert (view.death, view.status) == (None, "cancelled")
    world.act(person.take_back_death, world.case_manager, record, because="A mistake.")
    world.consent_again()
    died(world, world.navigator, told_by="hospital")
    assert world.session.scalars(select(DeathRecord.category).order_by(DeathRecord.id.desc())).first() == "attendance"
    shown = see(world, "case_manager", referral_id).death
    assert shown is not None
    assert shown.told_by == "hospital"
    world.withdraw_consent(world.return_consent_id)
    assert see(world, "case_manager", referral_id).death is None


def test_settling_in_sql_is_settling_in_python_with_deaths_and_mistakes(any_world: World) -> None:
    """Random records and takings-back at random instants, over a referral in each state: one status, in both."""
    world = any_world
    drawn = random.Random(5)
    at = MONDAY
    for state in sorted(ENDS):
        it_is(world, at)
        referral_id = brought_to(world, state)
        marks = [at]
        for _turn in range(4):
            at += timedelta(hours=drawn.randint(1, 60))
            it_is(world, at)
            standing = persons.deaths_of(world.session, [world.person_id], at)
            marks.append(at)
            if standing:
                record = standing[world.person_id].id
                world.act(person.take_back_death, world.agency_supervisor, record, because="Wrong.")
            else:
                died(world, drawn.choice([world.case_manager, world.navigator]))
        if persons.deaths_of(world.session, [world.person_id], at):
            it_is(world, at)
            record = persons.deaths_of(world.session, [world.person_id], at)[world.person_id].id
            world.act(person.take_back_death, world.agency_supervisor, record, because="Wrong.")
        row, seen = world.row(referral_id), set()
        for moment in [mark + timedelta(seconds=shift) for mark in marks for shift in (-1, 0, 1)]:
            facts = q.facts(world.session, [referral_id], moment)[referral_id]
            status = settle(row.recorded, facts, moment).state
            asked = select(q.settled_state()).select_from(Referral).where(Referral.id == referral_id)
            assert world.session.scalar(asked, q.moment(moment)) == status, (state, moment)
            assert (facts.died_at is None) is (facts.death_told is None)
            for reader in (world.case_manager, world.agency_supervisor):
                anybody = anybody_like(reader)
                assert anybody is not None
                withheld = select(q.is_answer_withheld(anybody)).select_from(Referral).where(Referral.id == referral_id)
                moved_on = status is not row.recorded
                hidden = not moved_on and q.is_outcome_hidden(world.session, row, reader, moment)
                assert bool(world.session.scalar(withheld, asked_by(reader) | q.moment(moment))) is hidden
            seen.add(status)
        assert seen == {State(state), State.CANCELLED}
        it_is(world, at)
        world.act(c.cancel_referral, world.case_manager, referral_id, reason="duplicate")


def test_withheld_answers_stay_withheld_unless_the_death_ended_it(world: World) -> None:
    for state, told in (("accepted", "cancelled"), ("declined", NOT_SHARED)):
        referral_id = brought_to(world, "sent")
        if state == "accepted":
            world.accept(referral_id)
        else:
            world.act(c.decline_referral, world.navigator, referral_id, reason="no_capacity")
        world.withdraw_consent(world.return_consent_id)
        record = died(world)
        assert see(world, "case_manager", referral_id).status == told
        groups = [group for group, rows in listed(world, "case_manager").items() if referral_id in rows]
        assert groups == ["us" if state == "accepted" else "them"]
        world.act(person.take_back_death, world.case_manager, record, because="A mix-up.")
        return_consent_again(world)
        if state == "accepted":
            world.act(c.cancel_referral, world.case_manager, referral_id, reason="duplicate")


def test_every_open_state_is_ended_by_a_death_and_no_other(world: World) -> None:
    now = datetime.now(ZoneInfo(ZONE))
    facts = Facts(died_at=now)
    assert {state for state in State if settle(state, facts, now).state is not state} == OPEN
    assert {settle(state, facts, now).state for state in TERMINAL} == TERMINAL
    assert world.session.scalars(select(DeathRecord)).all() == []


# --- what is to come --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("by", "leaves"), [("case_manager", False), ("navigator", True)])
def test_whoever_has_died_is_expected_by_nobody_who_put_it_on_record(any_world: World, by: str, leaves: bool) -> None:
    """What the program recorded does not come back here, so the agency's list stays as it is."""
    world = any_world
    world.accepted()
    world.withdraw_consent(world.return_consent_id)
    with planting(world.session):
        expected = ReleaseDate(
            participant_id=world.person_id,
            organization_id=world.agency_id,
            expected_on=MONDAY.date() + timedelta(days=20),
            source="agency_record",
            as_of=MONDAY.date(),
            recorded_at=MONDAY,
            recorded_by=world.case_manager.me,
        )
        world.session.add(expected)

    def soon() -> list[UUID]:
        first, last = MONDAY.date(), MONDAY.date() + timedelta(days=30)
        with looking(world.session):
            rows = releases.expected_between(world.session, world.case_manager, first, last)
            days = releases.leaving(world.session, world.case_manager, first, last)
        assert [row.participant_id for row in rows] == list(days)
        return list(days)

    assert soon() == [world.person_id]
    record = died(world, world.people[by])
    assert soon() == ([world.person_id] if leaves else [])
    world.act(person.take_back_death, world.people[by], record, because="Another of the same name.")
    assert soon() == [world.person_id]
