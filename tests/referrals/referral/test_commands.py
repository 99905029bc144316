"""What the verbs refuse, and what they leave: through `execute`, on a real database."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import selectinload

from referrals.consent.models import Consent
from referrals.handoff import commands as h
from referrals.kernel.actor import Actor, system
from referrals.kernel.command import execute
from referrals.kernel.errors import (
    ChangedMeanwhileError,
    InvalidInputError,
    NotFoundError,
    NotPermittedError,
    PreconditionNeededError,
    RuleBrokenError,
)
from referrals.kernel.look import looking
from referrals.kernel.orm import uuid7
from referrals.kernel.session import HouseSession
from referrals.organization.models import Facility
from referrals.partnership.models import Agreement
from referrals.person.models import Assignment, Person
from referrals.program.models import Program
from referrals.referral import commands as c
from referrals.referral import queries as q
from referrals.referral.models import Amendment, PlaceConfirmation, Referral, ReferralStep, State, fold
from tests.factories.referral import FULL, LONG_AGO, RETURNED, ZONE, World, a_consent, a_world, planting, tomorrow


@pytest.fixture
def world(session: HouseSession) -> World:
    return a_world(session)


def state(world: World, referral_id: UUID) -> str:
    row = world.row(referral_id)
    assert fold(row.steps) is row.recorded
    return str(row.recorded)


# --- drafting ---------------------------------------------------------------------------------------------------------


def test_a_draft_of_a_strangers_participant_is_not_found(world: World) -> None:
    with pytest.raises(NotFoundError):
        world.draft(actor=world.stranger)


def test_a_draft_is_its_authors_alone(world: World) -> None:
    referral_id = world.draft()
    for actor in (world.agency_supervisor, world.navigator, world.stranger, world.cbo_supervisor):
        with pytest.raises(NotFoundError):
            world.act(c.discard_draft, actor, referral_id)
    world.act(c.discard_draft, world.case_manager, referral_id)
    assert state(world, referral_id) == "cancelled"


def test_a_draft_to_ones_own_or_no_program_is_refused(world: World) -> None:
    with pytest.raises(InvalidInputError) as refused:
        world.act(c.draft_referral, world.case_manager, world.person_id, program_id=str(uuid7()))
    assert refused.value.fields == {"program_id": ["not_a_choice"]}


def test_saving_needs_the_version_that_was_read(world: World) -> None:
    referral_id = world.draft()
    with pytest.raises(PreconditionNeededError):
        execute(world.session, c.save_draft, actor=world.case_manager, target=referral_id, data={})
    with pytest.raises(ChangedMeanwhileError):
        execute(world.session, c.save_draft, actor=world.case_manager, target=referral_id, data={}, expect=1)
    assert world.row(referral_id).reason_text == "Needs a bed from the first night on."


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"service": "food"}, {"service": ["not_offered"]}),
        ({"agreed_on": "2190-01-01"}, {"agreed_on": ["in_future"]}),
        ({"accommodations": ["none", "interpreter"]}, {"accommodations": ["none_and_more"]}),
        ({"goals": ["one", "two", "three", "four", "five", "six"]}, {"goals": ["too_long"]}),
        ({"reason_text": "a\x00b"}, {"reason_text": ["not_text"]}),
        ({"reason_text": "x" * 4001}, {"reason_text": ["too_long"]}),
        ({"rap_sheet": "no"}, {"rap_sheet": ["unknown_field"]}),
        ({"urgency": "asap"}, {"urgency": ["not_a_choice"]}),
    ],
)
def test_bad_words_are_refused_by_field(world: World, content: dict[str, Any], fault: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidInputError) as refused:
        world.draft(**content)
    assert refused.value.fields == fault


# --- trying again (R2, R12) -------------------------------------------------------------------------------------------


def again(world: World, replaces_id: UUID, *, actor: Actor | None = None) -> Referral:
    words = {"program_id": str(world.program_id)}
    made: Referral = world.act(c.reroute_referral, actor or world.case_manager, replaces_id, **words)
    return made


def test_a_new_try_begins_with_what_was_written_but_for_the_participants_yes(world: World) -> None:
    old = reach(world, State.DECLINED)
    made = world.row(again(world, old).id)
    assert made.replaces_id == old
    assert (made.recorded, made.consent_ids, made.capacity_shown, made.sent_at) == (State.DRAFT, None, None, None)
    asked_anew = {"asked_by", "agreed_on", "agreed_how"}
    begun = {name: getattr(made, name) for name in q.CONTENT}
    before = world.row(old)
    assert {name for name in q.CONTENT if begun[name] != getattr(before, name)} == asked_anew
    assert [begun[name] for name in sorted(asked_anew)] == [None] * 3


@pytest.mark.parametrize("start", [State.SENT, State.ACCEPTED, State.IN_PROGRESS])
def test_what_has_not_ended_is_not_tried_again(world: World, start: State) -> None:
    with pytest.raises(RuleBrokenError) as refused:
        again(world, reach(world, start))
    assert refused.value.code == "wrong_state"


def test_a_service_that_the_other_program_does_not_offer_is_not_taken_over(world: World) -> None:
    old = reach(world, State.DECLINED)
    with planting(world.session):
        work = Program(organization_id=world.other_cbo_id, name="Work", categories=["employment"], added_at=LONG_AGO)
        world.session.add(work)
    made: Referral = world.act(c.reroute_referral, world.case_manager, old, program_id=str(work.id))
    begun = world.row(made.id)
    assert (begun.service, begun.recipient_id, begun.source_id) == (None, world.other_cbo_id, world.agency_id)
    assert begun.reason_text == world.row(old).reason_text


def test_a_draft_begins_with_the_service_that_was_sought_if_the_program_offers_it(world: World) -> None:
    for service, kept in (("housing", "housing"), ("employment", None)):
        words = {"program_id": str(world.program_id), "service": service}
        made: Referral = world.act(c.draft_referral, world.case_manager, world.person_id, **words)
        assert world.row(made.id).service == kept


def test_a_program_cannot_say_that_it_tries_again_what_its_sender_took_back(world: World) -> None:
    referral_id = reach(world, State.ACCEPTED)
    world.act(c.cancel_referral, world.case_manager, referral_id, reason="release_cancelled")
    with pytest.raises(InvalidInputError) as refused:
        world.act(c.close_loop, world.navigator, referral_id, answer="try_again")
    assert refused.value.fields == {"answer": ["not_yours"]}
    world.act(c.close_loop, world.navigator, referral_id, answer="agreed")


def test_nothing_is_taken_over_from_what_should_never_have_been(world: World) -> None:
    made = world.row(again(world, reach(world, State.ENTERED_IN_ERROR)).id)
    assert [name for name in q.CONTENT if getattr(made, name) is not None] == []


def test_trying_again_does_not_tell_whether_it_has_ended(world: World) -> None:
    """Two referrals, one declined, one accepted; the answers do not come back: both are refused alike."""
    faults = []
    for end in (State.DECLINED, State.ACCEPTED):
        old = reach(world, end)
        world.withdraw_consent(world.return_consent_id)
        with pytest.raises(RuleBrokenError) as refused:
            again(world, old)
        faults.append((refused.value.code, refused.value.facts))
        with planting(world.session):
            made = a_consent(world.person_id, world.cbo_id, world.agency_id, world.case_manager.me, categories=RETURNED)
            world.session.add(made)
        world.return_consent_id = made.id
    assert faults == [("answers_not_shared", {})] * 2


def test_a_program_does_not_take_over_what_it_was_sent(world: World) -> None:
    old = reach(world, State.DECLINED)
    with pytest.raises(NotPermittedError):
        again(world, old, actor=world.navigator)


# --- a draft lapses (R16) ---------------------------------------------------------------------------------------------


def aged(world: World, referral_id: UUID, days: float) -> None:
    """Let the author have touched a draft so many days ago."""
    with planting(world.session) as work:
        world.session.get_one(Referral, referral_id).touched_at = work.now - timedelta(days=days)


def test_a_draft_lapses_60_days_after_it_was_last_saved_and_no_sooner(world: World) -> None:
    kept, lapses = world.draft(), world.draft()
    aged(world, kept, 59.9)
    aged(world, lapses, 60)
    c.lapse_drafts(world.session, None, None)
    assert [state(world, one) for one in (kept, lapses)] == ["draft", "cancelled"]
    step = world.row(lapses).steps[-1]
    assert (step.verb, step.reason, step.side, step.by) == ("discard_draft", "draft_lapsed", "system", None)
    c.lapse_drafts(world.session, None, None)
    assert world.row(lapses).step_count == 1


def test_saving_keeps_a_draft_for_another_60_days(world: World) -> None:
    referral_id = world.draft()
    aged(world, referral_id, 61)
    execute(world.session, c.save_draft, actor=world.case_manager, target=referral_id, data={}, expect=2)
    c.lapse_drafts(world.session, None, None)
    assert state(world, referral_id) == "draft"


def test_nobody_lets_a_draft_lapse_by_hand_and_the_service_not_before_its_time(world: World) -> None:
    referral_id = world.draft()
    with pytest.raises(InvalidInputError) as refused:
        world.act(c.discard_draft, world.case_manager, referral_id, reason="draft_lapsed")
    assert refused.value.fields == {"reason": ["not_a_choice"]}
    with pytest.raises(InvalidInputError):
        world.act(c.discard_draft, system(), referral_id)
    with pytest.raises(RuleBrokenError) as kept:
        world.act(c.discard_draft, system(), referral_id, reason="draft_lapsed")
    assert kept.value.code == "draft_kept"
    assert state(world, referral_id) == "draft"


def test_what_was_sent_does_not_lapse(world: World) -> None:
    referral_id = world.sent()
    aged(world, referral_id, 100)
    c.lapse_drafts(world.session, None, None)
    assert state(world, referral_id) == "sent"


# --- sending ----------------------------------------------------------------------------------------------------------


def refusal(world: World, referral_id: UUID, **words: Any) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as refused:
        world.act(c.send_referral, world.case_manager, referral_id, **words)
    assert state(world, referral_id) == "draft"
    return refused.value


def test_an_empty_draft_says_at_once_all_that_is_missing(world: World) -> None:
    made = world.act(c.draft_referral, world.case_manager, world.person_id, program_id=str(world.program_id))
    assert refusal(world, made.id).fields == {
        name: ["required"]
        for name in (
            *("asked_by", "agreed_on", "agreed_how", "service", "urgency", "reason_text", "goals", "accommodations"),
            *("language", "first_contact", "contact_name", "contact_phone", "contact_hours"),
            *("backup_name", "backup_phone", "backup_hours"),
        )
    }


def test_without_consent_every_filled_field_is_named(world: World) -> None:
    referral_id = world.draft()
    world.withdraw_consent()
    faults = refusal(world, referral_id).fields
    assert set(faults) == {
        *("asked_by", "agreed_on", "agreed_how", "service", "urgency", "reason_text", "goals", "strengths"),
        *("accommodations", "language", "unavailable", "first_contact"),
    }
    assert set(map(tuple, faults.values())) == {("not_covered",)}


def test_a_consent_for_another_recipient_covers_nothing(world: World) -> None:
    referral_id = world.draft()
    world.withdraw_consent()
    with planting(world.session):
        world.session.add(a_consent(world.person_id, world.agency_id, world.other_cbo_id, world.case_manager.me))
    assert refusal(world, referral_id).fields["goals"] == ["not_covered"]


@pytest.mark.parametrize(
    ("terms", "uncovered"),
    [
        ({"categories": ["identity", "contact", "needs"]}, {"unavailable"}),
        ({"categories": ["identity", "release", "needs"]}, {"first_contact"}),
        ({"purposes": ["service"]}, None),
        ({"expires_on": datetime(2026, 2, 1, tzinfo=UTC).date()}, None),
        ({"effective_at": datetime(2199, 2, 1, tzinfo=UTC)}, None),
    ],
)
def test_a_consent_covers_only_what_it_names(world: World, terms: dict[str, Any], uncovered: set[str] | None) -> None:
    referral_id = world.draft()
    world.withdraw_consent()
    world.consent_again(**terms)
    faults = refusal(world, referral_id).fields
    assert {name for name, codes in faults.items() if codes == ["not_covered"]} >= (uncovered or {"goals", "asked_by"})
    if uncovered is not None:
        assert set(faults) == uncovered


def test_what_the_agreement_does_not_allow_is_named(world: World) -> None:
    referral_id = world.draft()
    with planting(world.session):
        world.session.get_one(Agreement, world.agreement_id).categories = ["identity", "contact", "needs", "attendance"]
    assert refusal(world, referral_id).fields == {"unavailable": ["not_agreed"]}


def test_a_field_of_an_uncovered_category_cannot_go(world: World) -> None:
    referral_id = world.draft(terms_that_matter="Curfew at 9 p.m.")
    assert refusal(world, referral_id).fields == {"terms_that_matter": ["not_covered"]}


def test_nothing_is_sent_before_answers_may_come_back(world: World) -> None:
    referral_id = world.draft()
    world.withdraw_consent(world.return_consent_id)
    assert refusal(world, referral_id).fields == {"return_consent": ["return_consent_missing"]}


def test_urgent_wants_a_reason(world: World) -> None:
    assert refusal(world, world.draft(urgency="urgent")).fields == {"urgency_because": ["required"]}


def test_all_faults_come_at_once(world: World) -> None:
    referral_id = world.draft(goals=None, terms_that_matter="Curfew.", urgency="urgent")
    world.withdraw_consent(world.return_consent_id)
    assert refusal(world, referral_id).fields == {
        "goals": ["required"],
        "terms_that_matter": ["not_covered"],
        "urgency_because": ["required"],
        "return_consent": ["return_consent_missing"],
    }


def test_no_agreement_no_referral(world: World) -> None:
    referral_id = world.draft()
    world.end_agreement()
    with pytest.raises(RuleBrokenError) as refused:
        world.act(c.send_referral, world.case_manager, referral_id)
    assert refused.value.code == "no_agreement"


def test_a_program_the_agreement_leaves_out_is_not_sent_to(world: World) -> None:
    referral_id = world.draft()
    with planting(world.session):
        world.session.get_one(Agreement, world.agreement_id).program_ids = [str(uuid7())]
    with pytest.raises(RuleBrokenError) as refused:
        world.act(c.send_referral, world.case_manager, referral_id)
    assert refused.value.code == "no_agreement"


def test_from_a_facility_the_agreement_leaves_out_nobody_is_referred(world: World) -> None:
    referral_id = world.draft()
    with planting(world.session) as work:
        facility = Facility(
            organization_id=world.agency_id, name="Pine Ridge", time_zone="America/Los_Angeles", added_at=work.now
        )
        world.session.add(facility)
        world.session.get_one(Person, world.person_id).facility_id = facility.id
        world.session.get_one(Agreement, world.agreement_id).facility_ids = [str(uuid7())]
    with pytest.raises(RuleBrokenError) as refused:
        world.act(c.send_referral, world.case_manager, referral_id)
    assert refused.value.code == "no_agreement"


def test_a_closed_program_takes_nobody(world: World) -> None:
    referral_id = world.draft()
    with planting(world.session) as work:
        world.session.get_one(Program, world.program_id).close(at=work.now, by=None, because="It moved.")
    with pytest.raises(RuleBrokenError) as refused:
        world.act(c.send_referral, world.case_manager, referral_id)
    assert refused.value.code == "program_closed"


@pytest.mark.parametrize("part2", ["yes", "unknown"])
def test_a_part_2_program_wants_its_own_consent(session: HouseSession, part2: str) -> None:
    world = a_world(session, part2=part2)
    with pytest.raises(RuleBrokenError) as refused:
        world.sent()
    assert refused.value.code == "part2_consent_needed"


def test_no_room_wants_a_reason(session: HouseSession) -> None:
    world = a_world(session, capacity_code="no_capacity", open_places=0)
    referral_id = world.draft()
    assert refusal(world, referral_id).fields == {"capacity_because": ["required"]}
    world.act(c.send_referral, world.case_manager, referral_id, capacity_because="They will have a bed by June.")
    row = world.row(referral_id)
    assert row.capacity_shown is not None
    assert (row.capacity_shown["code"], row.capacity_shown["stale"]) == ("no_capacity", True)


def test_sending_leaves_a_step_an_assignment_and_what_it_rests_on(world: World) -> None:
    row = world.row(world.sent())
    assert [(step.seq, step.from_state, step.to_state, step.side) for step in row.steps] == [
        (1, "draft", "sent", "source")
    ]
    assert set(row.consent_ids or ()) == {str(world.consent_id), str(world.return_consent_id)}
    assert row.open_for == f"{world.person_id}:{world.program_id}"
    given = world.session.scalars(select(Assignment).where(Assignment.referral_id == row.id)).one()
    assert (given.program_id, given.organization_id, given.tie) == (world.program_id, world.cbo_id, "intake")


def test_a_second_one_to_the_same_program_is_refused_with_a_link(world: World) -> None:
    first = world.sent()
    second = world.draft()
    with pytest.raises(RuleBrokenError) as refused:
        world.act(c.send_referral, world.case_manager, second)
    assert (refused.value.code, refused.value.facts) == ("referral_already_open", {"url": f"/referrals/{first}"})
    world.act(c.cancel_referral, world.case_manager, first, reason="made_by_mistake")
    world.act(c.send_referral, world.case_manager, second)
    assert (state(world, first), state(world, second)) == ("cancelled", "sent")


def test_a_consent_given_anew_before_the_worker_came_leaves_the_first_one_open(world: World) -> None:
    first = world.sent()
    world.withdraw_consent()
    world.consent_again()
    second = world.draft()
    with pytest.raises(RuleBrokenError) as refused:
        world.act(c.send_referral, world.case_manager, second)
    assert refused.value.code == "referral_already_open"
    assert state(world, first) == "sent"


def test_only_a_care_team_member_sends(world: World) -> None:
    with planting(world.session):
        for row in world.session.scalars(select(Assignment).where(Assignment.user_id == world.case_manager.me)):
            row.user_id = world.other_case_manager.me
    with pytest.raises(NotFoundError):
        world.draft()


# --- the whole matrix -------------------------------------------------------------------------------------------------


WORDS: dict[str, dict[str, Any]] = {
    "send_referral": {},
    "discard_draft": {},
    "acknowledge_referral": {},
    "ask_question": {"topic": "needs", "question": "Does she need a ground floor?"},
    "answer_question": {"answer": "No."},
    "accept_referral": {"first_contact_on": tomorrow()},
    "decline_referral": {"reason": "not_eligible"},
    "start_referral": {"started_on": "2026-01-06", "how": "in_person"},
    "resume_referral": {"next_step": "Meet again.", "next_step_on": tomorrow()},
    "cancel_referral": {"reason": "duplicate"},
    "complete_referral": {"outcome": "goals_met"},
    "end_referral": {"reason": "stopped_coming"},
    "waitlist_referral": {"expected_on": tomorrow()},
    "hold_referral": {"reason": "health", "review_on": tomorrow()},
    "confirm_error": {},
}
COMMANDS = {name: getattr(c, name, None) or getattr(h, name) for name in WORDS}
SOURCE_VERBS = {"send_referral", "discard_draft", "answer_question", "cancel_referral"}
CASEWORKERS_VERBS = {"start_referral", "complete_referral", "end_referral", "resume_referral", "hold_referral"}


def whose(world: World, name: str) -> Actor:
    """Who takes a verb in these tests."""
    if name == "confirm_error":
        return world.agency_supervisor
    return world.case_manager if name in SOURCE_VERBS else world.navigator


#: How a sent referral comes to each state: by which verbs, and by what happens elsewhere.
WAYS: dict[State, str] = {
    State.SENT: "",
    State.ACKNOWLEDGED: "acknowledge_referral",
    State.INFO_REQUESTED: "ask_question",
    State.ACCEPTED: "accept_referral",
    State.WAITLISTED: "accept_referral waitlist_referral",
    State.IN_PROGRESS: "accept_referral start_referral",
    State.ON_HOLD: "accept_referral start_referral settlement",
    State.DECLINED: "decline_referral",
    State.CANCELLED: "cancel_referral",
    State.COMPLETED: "accept_referral start_referral report complete_referral",
    State.NOT_COMPLETED: "accept_referral end_referral",
    State.ENTERED_IN_ERROR: "report_error confirm_error",
}


def reach(world: World, wanted: State) -> UUID:
    """Bring a referral to a state by the verbs that lead there."""
    if wanted is State.DRAFT:
        return world.draft()
    if wanted is State.EXPIRED:
        return left_unanswered(world)
    referral_id = world.sent()
    for name in WAYS[wanted].split():
        go(world, name, referral_id)
    assert state(world, referral_id) == wanted
    return referral_id


def left_unanswered(world: World) -> UUID:
    """A referral that was sent 60 days ago and that nobody answered."""
    kept, then = world.session.info.get("clock"), datetime.now(UTC) - timedelta(days=60)
    world.session.info["clock"] = lambda: then
    referral_id = world.sent()
    world.session.info["clock"] = kept or (lambda: datetime.now(UTC))
    c.settle_due(world.session, None, None)
    assert state(world, referral_id) == State.EXPIRED
    return referral_id


def go(world: World, name: str, referral_id: UUID) -> None:
    """Go one step of the way to a state."""
    if name == "settlement":
        world.withdraw_consent()
        c.settle_due(world.session, None, None)
        world.consent_again()
    elif name == "accept_referral":
        world.accept(referral_id)
    elif name == "report":
        report(world, referral_id)
    elif name == "report_error":
        world.act(c.report_error, world.navigator, referral_id, reason="wrong_person")
    else:
        world.act(COMMANDS[name], whose(world, name), referral_id, **WORDS[name])


def report(world: World, referral_id: UUID) -> None:
    words = {"result_1": "achieved", "result_2": "partly", "helps_next": "A bus pass."}
    world.act(h.write_report, world.navigator, referral_id, **words)


REACHED = [
    *(State.DRAFT, State.SENT, State.ACKNOWLEDGED, State.INFO_REQUESTED, State.ACCEPTED, State.IN_PROGRESS),
    *(State.WAITLISTED, State.ON_HOLD, State.DECLINED, State.CANCELLED, State.COMPLETED, State.NOT_COMPLETED),
    *(State.EXPIRED, State.ENTERED_IN_ERROR),
]


def test_the_two_matrices_leave_out_no_state_and_no_verb_with_a_door() -> None:
    assert set(REACHED) == set(State)
    assert set(c.VERBS) - set(WORDS) == {"expire_referral"}


@pytest.mark.parametrize("start", REACHED)
def test_every_pair_of_state_and_verb_is_an_edge_or_a_refusal_with_its_code(world: World, start: State) -> None:
    referral_id = reach(world, start)
    for name, words in WORDS.items():
        verb = c.VERBS[name]
        if start in verb.origins:
            continue
        if name == "waitlist_referral" and start in c.VERBS["accept_referral"].origins:
            continue  # accepts by the same word, see below
        actor = whose(world, name)
        said = words | ({"caseworker_id": str(world.navigator.me)} if name == "accept_referral" else {})
        with pytest.raises((RuleBrokenError, NotPermittedError, NotFoundError)) as refused:
            world.act(COMMANDS[name], actor, referral_id, **said)
        if start is State.DRAFT and actor is not world.case_manager:
            assert refused.value.code == "not_found"
        elif name in CASEWORKERS_VERBS and (
            start is State.ENTERED_IN_ERROR or State.ACCEPTED not in world.row(referral_id).was_ever
        ):
            assert refused.value.code == "not_permitted"  # nobody is named caseworker, or nobody any more
        else:
            assert refused.value.code == "wrong_state"
            assert refused.value.facts["state"] == start
        assert state(world, referral_id) == start


@pytest.mark.parametrize("start", REACHED)
def test_every_edge_with_a_door_leads_where_the_table_says(world: World, start: State) -> None:
    for name, words in WORDS.items():
        verb = c.VERBS[name]
        if start not in verb.origins:
            continue
        referral_id = reach(world, start)
        if name in {"complete_referral", "end_referral"} and State.IN_PROGRESS in world.row(referral_id).was_ever:
            report(world, referral_id)
        if name == "confirm_error":
            world.act(c.report_error, world.case_manager, referral_id, reason="entered_twice")
        actor = whose(world, name)
        said = words | ({"caseworker_id": str(world.navigator.me)} if name == "accept_referral" else {})
        world.act(COMMANDS[name], actor, referral_id, **said)
        assert state(world, referral_id) == verb.to
        if verb.to not in c.TERMINAL:
            world.act(c.cancel_referral, world.case_manager, referral_id, reason="duplicate")


@pytest.mark.parametrize(
    "who", ["case_manager", "agency_supervisor", "stranger", "agency_administrator", "outside_intake"]
)
def test_only_the_intake_list_and_its_supervisor_answer(world: World, who: str) -> None:
    referral_id = world.sent()
    for name in ("acknowledge_referral", "ask_question", "decline_referral"):
        with pytest.raises((NotPermittedError, NotFoundError)) as refused:
            world.act(COMMANDS[name], world.people[who], referral_id, **WORDS[name])
        known = who in {"case_manager", "agency_supervisor"}
        assert refused.value.code == ("not_permitted" if known else "not_found")
    world.act(c.acknowledge_referral, world.cbo_supervisor, referral_id)


def test_a_random_id_and_a_strangers_referral_answer_alike(world: World) -> None:
    referral_id = world.sent()
    for target in (referral_id, uuid7()):
        with pytest.raises(NotFoundError):
            world.act(c.acknowledge_referral, world.stranger, target)


# --- answering, working, taking back ----------------------------------------------------------------------------------


def test_a_caseworker_is_a_colleague_and_the_day_is_to_come(world: World) -> None:
    referral_id = world.sent()
    words = {"caseworker_id": str(world.stranger.me), "first_contact_on": "2026-01-01"}
    with pytest.raises(InvalidInputError) as refused:
        world.act(c.accept_referral, world.navigator, referral_id, **words)
    assert refused.value.fields == {"caseworker_id": ["not_a_colleague"], "first_contact_on": ["in_past"]}


def test_the_second_answer_reads_who_was_first_and_when(world: World) -> None:
    referral_id = world.sent()
    world.accept(referral_id)
    with pytest.raises(RuleBrokenError) as refused:
        world.act(c.decline_referral, world.other_navigator, referral_id, reason="no_capacity")
    won = world.row(referral_id).steps[-1]
    assert (refused.value.code, refused.value.facts["by"], refused.value.facts["at"]) == (
        "wrong_state",
        "Ana Díaz",
        won.at,
    )


def test_a_refusal_does_not_tell_an_answer_that_does_not_come_back(world: World) -> None:
    referral_id = world.sent()
    world.act(c.decline_referral, world.navigator, referral_id, reason="no_capacity")
    world.withdraw_consent(world.return_consent_id)
    with pytest.raises(RuleBrokenError) as refused:
        world.act(c.cancel_referral, world.case_manager, referral_id, **WORDS["cancel_referral"])
    assert (refused.value.code, refused.value.facts) == ("answers_not_shared", {})
    with pytest.raises(RuleBrokenError) as ours:
        world.act(c.acknowledge_referral, world.navigator, referral_id)
    assert ours.value.code == "wrong_state"


@pytest.mark.parametrize(("verb", "field"), [("decline_referral", "reason"), ("cancel_referral", "reason")])
def test_other_wants_words(world: World, verb: str, field: str) -> None:
    referral_id = world.sent()
    actor = world.navigator if verb == "decline_referral" else world.case_manager
    with pytest.raises(InvalidInputError) as refused:
        world.act(COMMANDS[verb], actor, referral_id, **{field: "other"})
    assert refused.value.fields == {"because": ["required"]}
    with pytest.raises(InvalidInputError) as uncoded:
        world.act(COMMANDS[verb], actor, referral_id, **{field: "because_i_say_so"})
    assert uncoded.value.fields == {"reason": ["not_a_choice"]}


# --- the waiting list, a hold, an error -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "faults"),
    [
        ({}, {"caseworker_id": ["required"], "expected_on": ["day_or_position"]}),
        ({"expected_on": "2026-01-01"}, {"caseworker_id": ["required"], "expected_on": ["in_past"]}),
        ({"position": 3}, {"caseworker_id": ["required"]}),
        ({"position": 0}, {"position": ["out_of_range"]}),
        ({"position": 3, "caseworker_id": "case_manager"}, {"caseworker_id": ["not_a_colleague"]}),
    ],
)
def test_a_waiting_list_wants_a_caseworker_and_a_day_or_a_place_in_line(
    world: World, words: dict[str, Any], faults: dict[str, list[str]]
) -> None:
    referral_id = world.sent()
    said = words | ({"caseworker_id": str(world.case_manager.me)} if "caseworker_id" in words else {})
    with pytest.raises(InvalidInputError) as refused:
        world.act(c.waitlist_referral, world.navigator, referral_id, **said)
    assert refused.value.fields == faults
    assert state(world, referral_id) == "sent"


@pytest.mark.parametrize("start", [State.SENT, State.ACKNOWLEDGED])
def test_accepted_to_the_waiting_list_is_two_steps_at_one_instant(world: World, start: State) -> None:
    referral_id = reach(world, start)
    words = {"caseworker_id": str(world.other_navigator.me), "expected_on": tomorrow(), "position": 4}
    world.act(c.waitlist_referral, world.navigator, referral_id, **words)
    row = world.row(referral_id)
    accepted, listed = row.steps[-2:]
    assert [accepted.verb, listed.verb] == ["accept_referral", "waitlist_referral"]
    assert accepted.at == listed.at
    assert accepted.details == {"caseworker_id": str(world.other_navigator.me)}
    assert listed.details == {"expected_on": tomorrow(), "position": 4}
    named = world.session.scalars(select(Assignment).where(Assignment.user_id == world.other_navigator.me)).one()
    assert named.referral_id == referral_id
    world.act(c.start_referral, world.other_navigator, referral_id, **WORDS["start_referral"])
    assert state(world, referral_id) == "in_progress"


def test_who_is_accepted_already_is_not_given_a_second_caseworker_by_the_waiting_list(world: World) -> None:
    referral_id = world.accepted()
    words = {"caseworker_id": str(world.other_navigator.me), "position": 1}
    with pytest.raises(InvalidInputError) as refused:
        world.act(c.waitlist_referral, world.navigator, referral_id, **words)
    assert refused.value.fields == {"caseworker_id": ["already_named"]}


def waits(world: World, **place: Any) -> UUID:
    referral_id = world.accepted()
    world.act(c.waitlist_referral, world.navigator, referral_id, **place)
    return referral_id


@pytest.mark.parametrize("start", sorted(WAYS.keys() - {State.WAITLISTED}))
def test_a_place_is_confirmed_only_where_there_is_one(world: World, start: State) -> None:
    referral_id = reach(world, start)
    with pytest.raises(RuleBrokenError) as refused:
        world.act(c.confirm_place, world.cbo_supervisor, referral_id)
    assert (refused.value.code, refused.value.facts["state"]) == ("wrong_state", str(start))
    assert world.session.scalars(select(PlaceConfirmation)).all() == []


def test_only_the_program_confirms_a_place_and_not_once_sharing_has_ended(world: World) -> None:
    referral_id = waits(world, position=2)
    for who, code in (("case_manager", "not_permitted"), ("stranger", "not_found"), ("outside_intake", "not_found")):
        with pytest.raises((NotPermittedError, NotFoundError)) as refused:
            world.act(c.confirm_place, world.people[who], referral_id)
        assert refused.value.code == code
    world.withdraw_consent()
    with pytest.raises(RuleBrokenError) as ended:
        world.act(c.confirm_place, world.navigator, referral_id)
    assert (ended.value.code, ended.value.facts["state"]) == ("wrong_state", "cancelled")


@pytest.mark.parametrize(
    ("words", "faults"),
    [
        ({"expected_on": "2026-01-01"}, {"expected_on": ["in_past"]}),
        ({"expected_on": "2026-01-01", "position": 1}, {"expected_on": ["in_past"]}),
        ({"position": 0}, {"position": ["out_of_range"]}),
        ({"place": 1}, {"place": ["unknown_field"]}),
    ],
)
def test_a_place_is_confirmed_with_a_day_to_come_and_a_place_in_line(
    world: World, words: dict[str, Any], faults: dict[str, list[str]]
) -> None:
    referral_id = waits(world, position=2)
    with pytest.raises(InvalidInputError) as refused:
        world.act(c.confirm_place, world.navigator, referral_id, **words)
    assert refused.value.fields == faults


def test_a_day_that_is_over_does_not_stand_but_a_new_place_does(world: World) -> None:
    past = datetime.now(UTC) - timedelta(days=20)
    world.session.info["clock"] = lambda: past
    referral_id = waits(world, expected_on=(past + timedelta(days=5)).date().isoformat(), position=3)
    del world.session.info["clock"]
    with pytest.raises(InvalidInputError) as refused:
        world.act(c.confirm_place, world.navigator, referral_id)
    assert refused.value.fields == {"expected_on": ["place_over"]}
    world.act(c.confirm_place, world.navigator, referral_id, position=2)
    world.act(c.confirm_place, world.navigator, referral_id)
    with looking(world.session):
        place = q.referral(world.session, world.case_manager, referral_id).place
    assert place is not None
    assert (place.expected_on, place.position, place.confirmed_by) == (None, 2, "Ana Díaz")


def test_both_sides_read_who_confirmed_a_place_and_when(world: World) -> None:
    referral_id = waits(world, position=4)
    world.act(c.confirm_place, world.other_navigator, referral_id, expected_on=in_days(9), position=1)
    world.act(c.confirm_place, world.cbo_supervisor, referral_id)
    kept = world.session.scalars(select(PlaceConfirmation).order_by(PlaceConfirmation.at)).all()
    assert [(one.by, one.place) for one in kept] == [
        (world.other_navigator.me, {"expected_on": in_days(9), "position": 1}),
        (world.cbo_supervisor.me, None),
    ]
    for who in ("case_manager", "navigator"):
        with looking(world.session):
            view = q.referral(world.session, world.people[who], referral_id)
        told = [(entry.what, entry.who, entry.details, entry.at) for entry in view.timeline[:3]]
        assert told[:2] == [
            ("confirm_place", "Dee Holt", None, kept[1].at),
            ("confirm_place", "Bo Ramsey", {"expected_on": in_days(9), "position": 1}, kept[0].at),
        ]
        assert told[2][0] == "waitlist_referral"
        assert view.place == q.Place(date.fromisoformat(in_days(9)), 1, kept[1].at, "Dee Holt")
        assert ("confirm_place" in view.may) is (who == "navigator")


def test_where_answers_do_not_come_back_no_place_is_told(world: World) -> None:
    """Whether somebody waits, and whether that was confirmed: the sender reads the same."""
    read = []
    for confirmed in (False, True):
        referral_id = waits(world, position=4)
        if confirmed:
            world.act(c.confirm_place, world.navigator, referral_id)
        world.withdraw_consent(world.return_consent_id)
        with looking(world.session):
            view = q.referral(world.session, world.case_manager, referral_id)
        read.append((view.status, view.place, [entry.what for entry in view.timeline], view.entries_left_out, view.may))
        with planting(world.session):
            made = a_consent(world.person_id, world.cbo_id, world.agency_id, world.case_manager.me, categories=RETURNED)
            world.session.add(made)
        world.return_consent_id = made.id
        world.act(h.end_referral, world.navigator, referral_id, reason="capacity_lost")
    assert read[0] == read[1]
    assert read[0][1:3] == (None, ["send_referral"])


def in_days(days: int) -> str:
    """A day so many days from now, where the world is."""
    return (datetime.now(ZoneInfo(ZONE)) + timedelta(days=days)).date().isoformat()


@pytest.mark.parametrize(
    ("words", "faults"),
    [
        ({"reason": "health", "review_on": in_days(-1)}, {"review_on": ["in_past"]}),
        ({"reason": "health", "review_on": in_days(32)}, {"review_on": ["over_30_days"]}),
        ({"reason": "other", "review_on": in_days(3)}, {"because": ["required"]}),
        ({"reason": "consent_suspended", "review_on": in_days(3)}, {"reason": ["not_a_choice"]}),
        ({"reason": "agreement_suspended", "review_on": in_days(3)}, {"reason": ["not_a_choice"]}),
        ({"reason": "health"}, {"review_on": ["required"]}),
    ],
)
def test_a_hold_wants_a_reason_of_peoples_and_a_day_of_review_within_30_days(
    world: World, words: dict[str, Any], faults: dict[str, list[str]]
) -> None:
    referral_id = world.accepted()
    for actor in (world.navigator, world.case_manager):
        with pytest.raises(InvalidInputError) as refused:
            world.act(c.hold_referral, actor, referral_id, **words)
        assert refused.value.fields == faults
    assert state(world, referral_id) == "accepted"


def test_another_navigator_does_not_put_a_colleagues_work_on_hold(world: World) -> None:
    referral_id = world.accepted()
    with pytest.raises(NotPermittedError):
        world.act(c.hold_referral, world.other_navigator, referral_id, **WORDS["hold_referral"])


@pytest.mark.parametrize(("who", "side"), [("case_manager", "source"), ("navigator", "recipient")])
def test_a_hold_waits_on_the_side_that_looks_at_it_again_and_either_takes_it_up(
    world: World, who: str, side: str
) -> None:
    referral_id = world.started()
    world.act(c.hold_referral, world.people[who], referral_id, **WORDS["hold_referral"])
    with looking(world.session):
        views = [q.referral(world.session, actor, referral_id) for actor in (world.case_manager, world.navigator)]
    assert [(view.status, view.waiting_on, view.is_held_by_people) for view in views] == [("on_hold", side, True)] * 2
    other = world.navigator if who == "case_manager" else world.case_manager
    world.act(c.resume_referral, other, referral_id, **WORDS["resume_referral"])
    assert state(world, referral_id) == "in_progress"


def test_who_may_not_know_the_answer_cannot_find_it_out_by_a_hold(world: World) -> None:
    accepted = world.accepted()
    world.withdraw_consent(world.return_consent_id)
    with pytest.raises(RuleBrokenError) as refused:
        world.act(c.hold_referral, world.case_manager, accepted, **WORDS["hold_referral"])
    assert refused.value.code == "answers_not_shared"


def test_work_is_handed_to_a_colleague_with_a_note_that_stays_on_ones_own_side(world: World) -> None:
    referral_id = world.started()
    words = {"caseworker_id": str(world.other_navigator.me), "reason": "caseload_change", "note": "Likes mornings."}
    world.act(c.name_caseworker, world.cbo_supervisor, referral_id, **words)
    with looking(world.session):
        views = {
            who: q.referral(world.session, world.people[who], referral_id) for who in ("case_manager", "navigator")
        }
    assert [view.helpers for view in views.values()] == [("Bo Ramsey",)] * 2
    assert [[one.words for one in view.thread] for view in views.values()] == [[], ["Likes mornings."]]
    with pytest.raises(NotPermittedError):
        world.act(c.hold_referral, world.navigator, referral_id, **WORDS["hold_referral"])
    old = world.session.scalars(
        select(Assignment).where(Assignment.user_id == world.navigator.me, Assignment.referral_id == referral_id)
    ).one()
    assert old.ended_because == "handed_over"


def test_who_covers_comes_beside_who_is_away(world: World) -> None:
    referral_id = world.started()
    words = {"caseworker_id": str(world.other_navigator.me), "reason": "covering"}
    world.act(c.name_caseworker, world.navigator, referral_id, **words)
    with looking(world.session):
        assert q.standing(world.session, world.case_manager, referral_id).helpers == ("Ana Díaz", "Bo Ramsey")
    with pytest.raises(InvalidInputError) as twice:
        world.act(c.name_caseworker, world.navigator, referral_id, **words)
    assert twice.value.fields == {"caseworker_id": ["is_caseworker"]}


@pytest.mark.parametrize("start", [State.SENT, State.DECLINED, State.ENTERED_IN_ERROR])
def test_nobody_is_named_for_work_that_was_not_taken_on_or_has_ended(world: World, start: State) -> None:
    referral_id = reach(world, start)
    words = {"caseworker_id": str(world.navigator.me), "reason": "caseload_change"}
    with pytest.raises(RuleBrokenError) as refused:
        world.act(c.name_caseworker, world.navigator, referral_id, **words)
    assert (refused.value.code, refused.value.facts["state"]) == ("wrong_state", start)


def test_a_caseworker_is_named_by_the_program_from_its_own_people(world: World) -> None:
    referral_id = world.accepted()
    words = {"caseworker_id": str(world.navigator.me), "reason": "other"}
    with pytest.raises(NotPermittedError):
        world.act(c.name_caseworker, world.case_manager, referral_id, **words)
    for who, faults in (
        (world.stranger, {"caseworker_id": ["not_a_colleague"], "note": ["required"]}),
        (world.case_manager, {"caseworker_id": ["not_a_colleague"], "note": ["required"]}),
    ):
        with pytest.raises(InvalidInputError) as refused:
            world.act(c.name_caseworker, world.navigator, referral_id, **(words | {"caseworker_id": str(who.me)}))
        assert refused.value.fields == faults


def test_an_error_takes_two_people(world: World) -> None:
    referral_id = world.sent()
    with pytest.raises(RuleBrokenError) as nobody:
        world.act(c.confirm_error, world.agency_supervisor, referral_id)
    assert nobody.value.code == "referral_error_not_reported"
    world.act(c.report_error, world.agency_supervisor, referral_id, reason="wrong_program")
    with pytest.raises(RuleBrokenError) as alone:
        world.act(c.confirm_error, world.agency_supervisor, referral_id)
    assert alone.value.code == "referral_error_not_reported"
    with pytest.raises(RuleBrokenError) as twice:
        world.act(c.report_error, world.agency_supervisor, referral_id, reason="wrong_person")
    assert twice.value.code == "referral_error_reported"
    world.act(c.report_error, world.navigator, referral_id, reason="wrong_person", because="Born in another year.")
    for actor in (world.case_manager, world.navigator, world.cbo_supervisor):
        with pytest.raises(NotPermittedError):
            world.act(c.confirm_error, actor, referral_id)
    assert state(world, referral_id) == "sent"
    world.act(c.confirm_error, world.agency_supervisor, referral_id)
    row = world.row(referral_id)
    assert (row.recorded, row.steps[-1].reason, row.loop_owed_by) == (State.ENTERED_IN_ERROR, None, None)
    assert row.done_at == row.steps[-1].at
    assert row.open_for is None


def test_after_an_error_the_program_loses_the_participant_and_the_way_is_free_for_the_right_one(world: World) -> None:
    referral_id = world.accepted()
    world.act(c.report_error, world.navigator, referral_id, reason="wrong_person")
    world.act(c.confirm_error, world.agency_supervisor, referral_id)
    tied = select(Assignment).where(Assignment.referral_id == referral_id, Assignment.until_at.is_(None))
    assert world.session.scalars(tied).all() == []
    assert state(world, world.sent()) == "sent"


def test_what_has_ended_and_was_acknowledged_can_still_have_been_an_error(world: World) -> None:
    referral_id = reach(world, State.DECLINED)
    world.act(c.close_loop, world.case_manager, referral_id, answer="agreed")
    world.act(c.report_error, world.case_manager, referral_id, reason="entered_twice")
    world.act(c.confirm_error, world.agency_supervisor, referral_id)
    assert state(world, referral_id) == "entered_in_error"
    assert world.row(referral_id).steps[-1].reason == "entered_twice"


def test_confirming_an_error_does_not_tell_the_sender_a_reason_that_was_not_shared(world: World) -> None:
    referral_id = world.accepted()
    world.act(c.report_error, world.navigator, referral_id, reason="wrong_person")
    world.withdraw_consent(world.return_consent_id)
    world.act(c.confirm_error, world.agency_supervisor, referral_id)
    with looking(world.session):
        view = q.referral(world.session, world.agency_supervisor, referral_id)
    assert [one.what for one in view.timeline if one.what in {"report_error", "confirm_error"}] == ["confirm_error"]
    assert "wrong_person" not in {one.why for one in view.timeline}


def test_a_discarded_draft_is_no_error_to_report(world: World) -> None:
    referral_id = world.draft()
    world.act(c.discard_draft, world.case_manager, referral_id)
    with pytest.raises(RuleBrokenError) as refused:
        world.act(c.report_error, world.case_manager, referral_id, reason="wrong_person")
    assert refused.value.code == "wrong_state"


def test_a_reported_error_stands_in_the_timeline_of_both_sides_where_it_is_shared(world: World) -> None:
    referral_id = world.accepted()
    world.act(c.report_error, world.navigator, referral_id, reason="wrong_person", because="Born in another year.")
    with looking(world.session):
        told = [
            q.referral(world.session, actor, referral_id).timeline[0] for actor in (world.case_manager, world.navigator)
        ]
    assert {(one.what, one.why, one.because) for one in told} == {
        ("report_error", "wrong_person", "Born in another year.")
    }
    world.withdraw_consent(world.return_consent_id)
    with looking(world.session):
        view = q.referral(world.session, world.case_manager, referral_id)
    assert view.entries_left_out
    assert not [one for one in view.timeline if one.what == "report_error"]


# --- what changes after sending (R18) ---------------------------------------------------------------------------------


def amend(world: World, referral_id: UUID, topic: str, value: Any, *, who: str = "case_manager", **words: Any) -> Any:
    """Change one field of what was sent, as it stands now."""
    version = world.row(referral_id).version
    said = {"topic": topic, "reason": "new_information"} | ({} if value is None else {topic: value}) | words
    actor = world.people[who]
    return execute(world.session, c.amend_referral, actor=actor, target=referral_id, data=said, expect=version)


@pytest.mark.parametrize(
    ("topic", "value", "words", "faults"),
    [
        ("language", "es", {}, {"language": ["unchanged"]}),
        ("terms_that_matter", None, {}, {"terms_that_matter": ["unchanged"]}),
        ("reason_text", None, {}, {"reason_text": ["required"]}),
        ("goals", [], {}, {"goals": ["required"]}),
        ("service", "food", {}, {"service": ["not_offered"]}),
        ("agreed_on", "2190-01-01", {}, {"agreed_on": ["in_future"]}),
        ("accommodations", ["none", "interpreter"], {}, {"accommodations": ["none_and_more"]}),
        ("urgency", "urgent", {}, {"urgency": ["say_why_first"]}),
        ("terms_that_matter", "Reports on Mondays.", {}, {"terms_that_matter": ["not_covered"]}),
        ("language", "en", {"reason": "answer"}, {"reason": ["no_question"]}),
        ("language", "en", {"reason": "other"}, {"because": ["required"]}),
        ("language", "en", {"strengths": "More."}, {"strengths": ["not_the_topic"]}),
        ("program_id", None, {}, {"topic": ["not_a_choice"]}),
    ],
)
def test_a_change_is_refused_by_field_and_nothing_is_kept(
    world: World, topic: str, value: Any, words: dict[str, Any], faults: dict[str, list[str]]
) -> None:
    referral_id = world.sent()
    before = world.row(referral_id).version
    with pytest.raises(InvalidInputError) as refused:
        amend(world, referral_id, topic, value, **words)
    assert refused.value.fields == faults
    row = world.row(referral_id)
    assert (row.version, row.reason_text) == (before, FULL["reason_text"])
    assert world.session.scalars(select(Amendment)).all() == []


def test_a_change_wants_the_version_that_was_read(world: World) -> None:
    referral_id = world.sent()
    words = {"topic": "language", "language": "en", "reason": "mistake"}
    with pytest.raises(PreconditionNeededError):
        world.act(c.amend_referral, world.case_manager, referral_id, **words)
    stale = world.row(referral_id).version
    amend(world, referral_id, "language", "en")
    with pytest.raises(ChangedMeanwhileError):
        execute(
            world.session,
            c.amend_referral,
            actor=world.case_manager,
            target=referral_id,
            data=words | {"language": "fr"},
            expect=stale,
        )
    assert world.row(referral_id).language == "en"


@pytest.mark.parametrize(("who", "refusal"), [("navigator", NotPermittedError), ("stranger", NotFoundError)])
def test_only_the_sender_changes_what_was_sent(world: World, who: str, refusal: type[Exception]) -> None:
    referral_id = world.sent()
    with pytest.raises(refusal):
        amend(world, referral_id, "language", "en", who=who)


@pytest.mark.parametrize("start", [State.DRAFT, State.DECLINED, State.CANCELLED, State.ENTERED_IN_ERROR])
def test_what_is_not_under_way_is_not_amended(world: World, start: State) -> None:
    referral_id = reach(world, start)
    with pytest.raises(RuleBrokenError) as refused:
        amend(world, referral_id, "language", "en")
    assert (refused.value.code, refused.value.facts["state"]) == ("wrong_state", start)


def test_a_change_answers_the_open_question(world: World) -> None:
    referral_id = reach(world, State.INFO_REQUESTED)
    amend(world, referral_id, "accommodations", ["step_free"], reason="answer")
    row = world.row(referral_id)
    assert (row.recorded, row.steps[-1].verb, row.accommodations) == (
        State.ACKNOWLEDGED,
        "answer_question",
        ["step_free"],
    )


def test_after_a_withdrawal_nothing_more_goes_over_by_a_change(world: World) -> None:
    referral_id = world.accepted()
    world.withdraw_consent()
    with pytest.raises(InvalidInputError) as refused:
        amend(world, referral_id, "strengths", "Speaks three languages.")
    assert refused.value.fields == {"strengths": ["not_covered"]}


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "language": st.sampled_from(["en", "es", "fr"]),
    "urgency": st.sampled_from(["routine", "soon"]),
    "strengths": st.sampled_from([None, "Carpentry.", "'; DROP TABLE amendment; --", "\u202ertl 🙂"]),
    "goals": st.lists(st.sampled_from(["A room", "Work", "=1+1"]), min_size=1, max_size=3, unique=True),
    "agreed_on": st.sampled_from(["2026-01-02", "2026-01-03"]),
    "contact_phone": st.sampled_from(["510-555-0100", "510-555-0199"]),
}
changes = st.sampled_from(sorted(VALUES)).flatmap(lambda topic: st.tuples(st.just(topic), VALUES[topic]))


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(changes, min_size=1, max_size=6))
def test_changes_taken_one_after_the_other_give_what_stands_there(world: World, made: list[tuple[str, Any]]) -> None:
    for left in world.session.scalars(select(Referral.id).where(Referral.open_for.is_not(None))).all():
        world.act(c.cancel_referral, world.case_manager, left, reason="duplicate")
    referral_id = world.sent()
    told = {name: FULL.get(name) for name in VALUES}
    for topic, value in made:
        with contextlib.suppress(InvalidInputError):  # unchanged
            amend(world, referral_id, topic, value)
    row = world.row(referral_id)
    kept = select(Amendment).where(Amendment.referral_id == referral_id).order_by(Amendment.at, Amendment.id)
    for one in world.session.scalars(kept):
        assert told[one.topic] == one.old["value"]
        assert one.old != one.new
        told[one.topic] = one.new["value"]
    now = {name: getattr(row, name) for name in VALUES}
    assert told == now | {"agreed_on": now["agreed_on"].isoformat()}


@pytest.mark.parametrize("reason", ["consent_ended", "agreement_ended"])
def test_nobody_chooses_settlements_own_reasons(world: World, reason: str) -> None:
    with pytest.raises(InvalidInputError):
        world.act(c.cancel_referral, world.case_manager, world.sent(), reason=reason)


def test_an_answer_goes_under_its_topics_category(world: World) -> None:
    referral_id = world.sent()
    world.act(c.ask_question, world.navigator, referral_id, topic="release", question="Which day?")
    with pytest.raises(InvalidInputError) as empty:
        world.act(c.answer_question, world.case_manager, referral_id)
    assert empty.value.fields == {"answer": ["required"]}
    world.withdraw_consent()
    world.consent_again(categories=["identity", "needs", "contact"])
    with pytest.raises(InvalidInputError) as uncovered:
        world.act(c.answer_question, world.case_manager, referral_id, answer="In June.")
    assert uncovered.value.fields == {"answer": ["not_covered"]}
    world.consent_again()
    world.act(c.answer_question, world.case_manager, referral_id, answer="In June.")
    assert world.row(referral_id).steps[-1].category == "release"


def test_who_asked_may_take_the_question_back(world: World) -> None:
    referral_id = reach(world, State.INFO_REQUESTED)
    world.act(c.answer_question, world.other_navigator, referral_id)
    assert state(world, referral_id) == "acknowledged"


def test_the_recipient_cancels_only_on_the_participants_wish(world: World) -> None:
    referral_id = world.accepted()
    for words, fault in (
        ({"reason": "duplicate"}, {"reason": ["not_yours"]}),
        ({"reason": "moved_away"}, {"wish_how": ["required"]}),
    ):
        with pytest.raises(InvalidInputError) as refused:
            world.act(c.cancel_referral, world.navigator, referral_id, **words)
        assert refused.value.fields == fault
    world.act(c.cancel_referral, world.navigator, referral_id, reason="moved_away", wish_how="phone")
    row = world.row(referral_id)
    assert (row.recorded, row.loop_owed_by) == ("cancelled", "source")


def test_work_does_not_begin_in_the_future(world: World) -> None:
    with pytest.raises(InvalidInputError) as refused:
        world.act(c.start_referral, world.navigator, world.accepted(), started_on="2190-01-01", how="video")
    assert refused.value.fields == {"started_on": ["in_future"]}


def test_another_navigator_does_not_start_a_colleagues_work(world: World) -> None:
    referral_id = world.accepted()
    with pytest.raises(NotPermittedError):
        world.act(c.start_referral, world.other_navigator, referral_id, **WORDS["start_referral"])
    world.act(c.start_referral, world.cbo_supervisor, referral_id, **WORDS["start_referral"])


# --- sharing that ends ------------------------------------------------------------------------------------------------


def test_after_a_withdrawal_an_unaccepted_referral_is_gone_for_the_recipient(world: World) -> None:
    referral_id = world.sent()
    world.withdraw_consent()
    for name in ("acknowledge_referral", "decline_referral"):
        with pytest.raises(NotFoundError):
            world.act(COMMANDS[name], world.navigator, referral_id, **WORDS[name])
    with pytest.raises(RuleBrokenError) as refused:
        world.act(c.cancel_referral, world.case_manager, referral_id, reason="duplicate")
    assert refused.value.facts["state"] == "cancelled"
    assert state(world, referral_id) == "sent"  # nothing recorded yet: the worker writes it


def test_the_worker_writes_what_settlement_says_and_ends_the_assignment(world: World) -> None:
    referral_id = world.sent()
    c.settle_due(world.session, None, None)
    assert state(world, referral_id) == "sent"
    world.withdraw_consent()
    c.settle_due(world.session, None, None)
    row = world.row(referral_id)
    assert (row.recorded, row.steps[-1].side, row.steps[-1].reason) == ("cancelled", "system", "consent_ended")
    assert (row.open_for, row.loop_owed_by) == (None, "source")
    left = world.session.scalars(select(Assignment.until_at).where(Assignment.referral_id == referral_id)).all()
    assert None not in left
    with pytest.raises(RuleBrokenError) as idle:
        world.act(c.settle_referral, system(), referral_id)
    assert idle.value.code == "nothing_due"


def test_a_hold_by_settlement_ends_only_when_sharing_holds_again(world: World) -> None:
    referral_id = world.started()
    world.withdraw_consent()
    c.settle_due(world.session, None, None)
    assert world.row(referral_id).steps[-1].reason == "consent_suspended"
    with pytest.raises(RuleBrokenError) as refused:
        world.act(c.resume_referral, world.case_manager, referral_id, **WORDS["resume_referral"])
    assert refused.value.code == "sharing_ended"
    world.consent_again()
    world.act(c.resume_referral, world.case_manager, referral_id, **WORDS["resume_referral"])
    assert state(world, referral_id) == "in_progress"


def test_an_act_after_ended_sharing_first_records_the_settlement(world: World) -> None:
    referral_id = world.started()
    report(world, referral_id)
    world.end_agreement()
    world.act(h.complete_referral, world.navigator, referral_id, outcome="goals_partly_met")
    steps = world.row(referral_id).steps
    assert [(step.to_state, step.side) for step in steps[-2:]] == [("on_hold", "system"), ("completed", "recipient")]
    assert steps[-2].reason == "agreement_suspended"


def test_nobody_but_the_service_settles(world: World) -> None:
    with pytest.raises(NotPermittedError):
        world.act(c.settle_referral, world.case_manager, world.sent())


# --- the loop ---------------------------------------------------------------------------------------------------------


def test_a_rule_about_the_loop_refuses_a_referral_that_was_selected_without_it(world: World) -> None:
    referral_id = reach(world, State.DECLINED)
    world.session.expunge_all()
    bare = world.session.scalars(
        select(Referral).where(Referral.id == referral_id).options(selectinload(Referral.steps))
    ).one()
    with pytest.raises(RuntimeError, match="selected without it"):
        assert bare.is_done


def test_only_the_side_that_owes_it_closes_the_loop_once(world: World) -> None:
    referral_id = reach(world, State.DECLINED)
    with pytest.raises(RuleBrokenError) as theirs:
        world.act(c.close_loop, world.navigator, referral_id, answer="agreed")
    assert theirs.value.code == "loop_not_yours"
    world.act(c.dispute_outcome, world.case_manager, referral_id, because="She is eligible.")
    assert not world.row(referral_id).is_done
    world.act(c.close_loop, world.case_manager, referral_id, answer="try_again", remark="We try elsewhere.")
    assert world.row(referral_id).is_done
    with pytest.raises(RuleBrokenError) as again:
        world.act(c.close_loop, world.case_manager, referral_id, answer="agreed")
    assert again.value.code == "loop_closed"


def test_an_open_referral_has_no_loop_to_close(world: World) -> None:
    with pytest.raises(RuleBrokenError) as refused:
        world.act(c.close_loop, world.case_manager, world.sent(), answer="agreed")
    assert refused.value.code == "loop_not_yours"


@pytest.mark.parametrize(("asked", "owed"), [(True, "recipient"), (False, None)])
def test_a_cancellation_is_owed_by_a_recipient_that_had_acted(world: World, asked: bool, owed: str | None) -> None:
    referral_id = reach(world, State.ACKNOWLEDGED) if asked else world.sent()
    world.act(c.cancel_referral, world.case_manager, referral_id, reason="release_cancelled")
    row = world.row(referral_id)
    assert row.loop_owed_by == owed
    if asked:
        world.act(c.close_loop, world.navigator, referral_id, answer="agreed")
        assert world.row(referral_id).is_done


def test_the_recipient_keeps_its_third_key_until_the_loop_closes(world: World) -> None:
    referral_id = reach(world, State.COMPLETED)
    held = select(Assignment).where(Assignment.referral_id == referral_id, Assignment.until_at.is_(None))
    assert len(world.session.scalars(held).all()) == 2
    world.session.rollback()
    world.act(c.close_loop, world.case_manager, referral_id, answer="agreed")
    assert world.session.scalars(held).all() == []


def test_a_consent_that_ends_with_the_referral_ends_when_its_loop_closes(world: World) -> None:
    world.withdraw_consent()
    consent_id = world.consent_again(expires_on=None, expires_event="referral_closed")
    referral_id = reach(world, State.DECLINED)
    world.act(c.close_loop, world.case_manager, referral_id, answer="agreed")
    ended = world.session.get_one(Consent, consent_id)
    assert ended.event_at is not None


# --- the thread -------------------------------------------------------------------------------------------------------


def test_a_category_the_other_side_may_not_read_cannot_be_chosen(world: World) -> None:
    referral_id = world.sent()
    for actor, category in ((world.case_manager, "health"), (world.navigator, "health")):
        words = {"audience": "both", "category": category, "message": "Hello."}
        with pytest.raises(InvalidInputError) as refused:
            world.act(c.post_message, actor, referral_id, **words)
        assert refused.value.fields == {"category": ["not_covered"]}
        world.act(c.post_message, actor, referral_id, audience="own_side", category=category, message="Among us.")


def test_only_its_author_strikes_a_message_and_once(world: World) -> None:
    referral_id = world.sent()
    words = {"audience": "both", "category": "attendance", "message": "We meet on Monday."}
    said = world.act(c.post_message, world.navigator, referral_id, **words)
    with pytest.raises(NotPermittedError):
        world.act(c.strike_message, world.case_manager, said.id, because="Not mine.")
    world.act(c.strike_message, world.navigator, said.id, because="Wrong day.")
    with pytest.raises(RuleBrokenError) as again:
        world.act(c.strike_message, world.navigator, said.id, because="Wrong day.")
    assert again.value.code == "message_struck"


def test_its_author_lets_the_other_side_read_a_message_once_if_that_may_cross(world: World) -> None:
    referral_id = world.sent()
    said = {
        category: world.act(
            c.post_message, world.navigator, referral_id, audience="own_side", category=category, message="Calm."
        ).id
        for category in ("attendance", "health")
    }
    for who, refusal in ((world.other_navigator, NotPermittedError), (world.case_manager, NotFoundError)):
        with pytest.raises(refusal):
            world.act(c.widen_message, who, said["attendance"])
    with pytest.raises(InvalidInputError) as refused:
        world.act(c.widen_message, world.navigator, said["health"])
    assert refused.value.fields == {"category": ["not_covered"]}
    world.act(c.widen_message, world.navigator, said["attendance"])
    with looking(world.session):
        (read,) = q.referral(world.session, world.case_manager, referral_id).thread
    assert (read.words, read.audience, read.is_new) == ("Calm.", "both", True)
    with pytest.raises(RuleBrokenError) as again:
        world.act(c.widen_message, world.navigator, said["attendance"])
    assert again.value.code == "message_shared"
    world.act(c.strike_message, world.navigator, said["health"], because="No.")
    with pytest.raises(RuleBrokenError) as struck:
        world.act(c.widen_message, world.navigator, said["health"])
    assert struck.value.code == "message_struck"


def test_nothing_is_widened_after_sharing_ended(world: World) -> None:
    referral_id = world.accepted()
    words = {"audience": "own_side", "category": "needs", "message": "Careful."}
    said = world.act(c.post_message, world.case_manager, referral_id, **words)
    world.withdraw_consent()
    with pytest.raises(InvalidInputError):
        world.act(c.widen_message, world.case_manager, said.id)
    with looking(world.session):
        assert q.referral(world.session, world.navigator, referral_id).thread == []


def test_an_own_sides_message_is_nobody_elses_to_know_of(world: World) -> None:
    referral_id = world.sent()
    words = {"audience": "own_side", "category": "needs", "message": "Careful."}
    said = world.act(c.post_message, world.case_manager, referral_id, **words)
    with pytest.raises(NotFoundError):
        world.act(c.strike_message, world.navigator, said.id, because="?")


def test_nothing_is_written_to_a_referral_that_is_done(world: World) -> None:
    referral_id = reach(world, State.DECLINED)
    world.act(c.close_loop, world.case_manager, referral_id, answer="agreed")
    with pytest.raises(RuleBrokenError) as refused:
        world.act(
            c.post_message, world.case_manager, referral_id, audience="own_side", category="needs", message="P.S."
        )
    assert refused.value.code == "referral_done"


# --- the database's own rule ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE referral_step SET to_state = 'accepted'",
        "DELETE FROM referral_step",
        "INSERT OR REPLACE INTO referral_step SELECT * FROM referral_step",
        "UPDATE loop_answer SET answer = 'agreed'",
        "DELETE FROM loop_answer",
        "UPDATE error_report SET reason = 'wrong_person'",
        "DELETE FROM error_report",
        "INSERT OR REPLACE INTO error_report SELECT * FROM error_report",
        "UPDATE amendment SET topic = 'goals'",
        "DELETE FROM amendment",
        "INSERT OR REPLACE INTO amendment SELECT * FROM amendment",
        "UPDATE place_confirmation SET place = NULL",
        "DELETE FROM place_confirmation",
        "INSERT OR REPLACE INTO place_confirmation SELECT * FROM place_confirmation",
    ],
)
def test_steps_stay_as_they_were_written_even_against_raw_sql(world: World, statement: str) -> None:
    waiting_id = waits(world, position=2)
    world.act(c.confirm_place, world.navigator, waiting_id)
    world.act(c.cancel_referral, world.case_manager, waiting_id, reason="duplicate")
    referral_id = world.sent()
    amend(world, referral_id, "language", "en")
    world.act(c.decline_referral, world.navigator, referral_id, **WORDS["decline_referral"])
    world.act(c.dispute_outcome, world.case_manager, referral_id, because="No.")
    world.act(c.report_error, world.case_manager, referral_id, reason="entered_twice")
    with pytest.raises(DBAPIError, match="insert-only"):
        world.session.connection().execute(text(statement))
    world.session.rollback()


def test_a_second_step_of_the_same_number_is_refused_by_the_database(world: World) -> None:
    referral_id = world.sent()
    with pytest.raises(DBAPIError), planting(world.session):  # noqa: PT012  # the flush at its end is what refuses
        old = world.session.scalars(select(ReferralStep).where(ReferralStep.referral_id == referral_id)).one()
        kept = {column.key for column in old.__table__.columns} - {"id", "revision", "because", "details"}
        values = {key: getattr(old, key) for key in kept}
        world.session.add(ReferralStep(**values))
    world.session.rollback()
    world.session.info.pop("work", None)
    assert len(world.row(referral_id).steps) == 1
