"""Who reads what: sight, coverage field by field, the timeline, the thread, and `settle` in SQL."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from audit.models import AuditEvent
from referrals.consent.models import Consent
from referrals.handoff import commands as h
from referrals.handoff import queries as hq
from referrals.kernel.actor import Actor, anybody_like, asked_by
from referrals.kernel.command import execute
from referrals.kernel.errors import NotFoundError
from referrals.kernel.look import NOT_SHARED, Disclosure, looking
from referrals.kernel.session import HouseSession
from referrals.partnership.models import Agreement
from referrals.referral import commands as c
from referrals.referral import queries as q
from referrals.referral.models import Referral, settle
from referrals.worklist import queries as lists
from tests.factories.referral import RETURNED, World, a_consent, a_world, planting, tomorrow


@pytest.fixture
def world(session: HouseSession) -> World:
    return a_world(session)


def see(world: World, actor: Actor, referral_id: UUID) -> q.View:
    with looking(world.session):
        return q.referral(world.session, actor, referral_id)


def gone(world: World, actor: Actor, referral_id: UUID) -> bool:
    try:
        see(world, actor, referral_id)
    except NotFoundError:
        return True
    return False


def ids(world: World, actor: Actor, group: lists.Group) -> list[UUID]:
    with looking(world.session):
        return [card.id for card in lists.listed(world.session, actor, group).cards]


def post(world: World, actor: Actor, referral_id: UUID, message: str, **words: Any) -> Any:
    said = {"audience": "both", "category": "needs", "message": message} | words
    return world.act(c.post_message, actor, referral_id, **said)


# --- sight ------------------------------------------------------------------------------------------------------------


def test_who_has_no_business_with_it_gets_the_answer_of_a_random_id(world: World) -> None:
    referral_id = world.sent()
    for who in ("stranger", "outside_intake", "agency_administrator", "other_case_manager"):
        assert gone(world, world.people[who], referral_id), who
        assert ids(world, world.people[who], lists.Group.THEM) == []
        assert ids(world, world.people[who], lists.Group.US) == []
    for who in ("case_manager", "agency_supervisor", "navigator", "other_navigator", "cbo_supervisor"):
        assert not gone(world, world.people[who], referral_id), who


def test_a_draft_is_read_by_its_author_alone(world: World) -> None:
    draft_id = world.draft()
    for who in set(world.people) - {"case_manager"}:
        with pytest.raises(NotFoundError), looking(world.session):
            q.draft(world.session, world.people[who], draft_id)
        assert gone(world, world.people[who], draft_id)
    with looking(world.session):
        mine = q.draft(world.session, world.case_manager, draft_id)
        assert mine.it.goals == ["A place of my own", "See my daughter every week"]
        assert [card.id for card in lists.drafts(world.session, world.case_manager)] == [draft_id]
        assert lists.drafts(world.session, world.agency_supervisor) == []
    later = world.draft()
    with looking(world.session):
        assert [card.id for card in lists.waiting(world.session, world.case_manager, limit=8).drafts] == [
            later,
            draft_id,
        ]
        assert [card.id for card in lists.waiting(world.session, world.case_manager, limit=1).drafts] == [later]
        assert lists.waiting(world.session, world.agency_supervisor, limit=8).drafts == []


def test_a_draft_that_was_put_away_stays_its_authors(world: World) -> None:
    draft_id = world.draft()
    world.act(c.discard_draft, world.case_manager, draft_id)
    assert gone(world, world.agency_supervisor, draft_id)
    assert gone(world, world.navigator, draft_id)


# --- fields -----------------------------------------------------------------------------------------------------------


def test_the_recipient_reads_what_consent_covers_and_each_crossing_is_disclosed(world: World) -> None:
    view = see(world, world.navigator, world.sent(strengths=None))
    assert view.it.reason_text == "Needs a bed from the first night on."
    assert view.it.strengths is None
    assert view.names.participant == "Maria Núñez"
    crossed = world.session.scalars(select(Disclosure).where(Disclosure.to_org_id == world.cbo_id)).all()
    assert {category for one in crossed for category in one.categories} >= {"needs", "identity", "contact", "release"}
    assert {one.basis_id for one in crossed} == {world.consent_id}


def test_what_a_narrower_consent_leaves_out_is_not_shared_empty_or_not(world: World) -> None:
    referral_id = world.sent()
    world.withdraw_consent()
    world.consent_again(categories=["identity", "needs"])
    view = see(world, world.navigator, referral_id)
    assert view.it.first_contact is NOT_SHARED
    assert view.it.unavailable is NOT_SHARED
    assert view.it.terms_that_matter is NOT_SHARED  # never filled in: a reader cannot tell
    assert view.it.goals == ["A place of my own", "See my daughter every week"]
    assert see(world, world.case_manager, referral_id).it.first_contact == "By letter first, through the case manager."


def test_a_named_caseworker_reads_under_a_consent_to_the_organization(world: World) -> None:
    referral_id = world.accepted()
    assert see(world, world.navigator, referral_id).helpers == ("Ana Díaz",)


# --- sharing that ends (R25) ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["consent", "agreement"])
def test_without_the_worker_the_next_request_already_sees_it(world: World, how: str) -> None:
    unanswered = world.sent()
    (world.withdraw_consent if how == "consent" else world.end_agreement)()
    assert gone(world, world.navigator, unanswered)
    assert ids(world, world.navigator, lists.Group.US) == ids(world, world.navigator, lists.Group.CLOSED) == []
    assert see(world, world.case_manager, unanswered).status == "cancelled"
    assert ids(world, world.case_manager, lists.Group.US) == [unanswered]  # the loop is the source's to close


def test_after_acceptance_the_recipient_keeps_its_own_entries_alone(world: World) -> None:
    referral_id = world.started()
    mine = post(world, world.navigator, referral_id, "We met.", category="attendance")
    post(world, world.case_manager, referral_id, "Thank you.")
    world.withdraw_consent()
    view = see(world, world.navigator, referral_id)
    assert view.status == "on_hold"
    assert view.reference
    assert {view.it.reason_text, view.it.goals, view.it.service, view.it.asked_by} == {NOT_SHARED}
    assert {entry.side for entry in view.timeline} == {"recipient"}
    assert view.entries_left_out
    assert [one.id for one in view.thread] == [mine.id]
    assert see(world, world.case_manager, referral_id).status == "on_hold"


def test_without_the_return_consent_answers_are_not_shared(world: World) -> None:
    referral_id = world.sent()
    world.act(c.decline_referral, world.navigator, referral_id, reason="no_capacity", because="Full until June.")
    world.withdraw_consent(world.return_consent_id)
    view = see(world, world.case_manager, referral_id)
    assert view.status is NOT_SHARED
    assert view.waiting_on is NOT_SHARED
    assert (view.recorded, view.loop, view.loop_owed_by, view.helpers) == (NOT_SHARED, "none", None, ())
    assert [entry.what for entry in view.timeline] == ["send_referral"]
    assert view.entries_left_out
    assert see(world, world.navigator, referral_id).status == "declined"


def test_a_closing_report_crosses_as_needs(world: World) -> None:
    referral_id = world.started()
    words = {
        "result_1": "achieved",
        "result_2": "not_tried",
        "helps_next": "A bus pass.",
        "persons_view": "It went well.",
    }
    world.act(h.write_report, world.navigator, referral_id, **words)
    with looking(world.session):
        read = hq.reports(world.session, world.case_manager, referral_id)
    assert [(goal.goal, goal.result) for goal in read[0].goals] == [
        ("A place of my own", "achieved"),
        ("See my daughter every week", "not_tried"),
    ]
    world.withdraw_consent(world.return_consent_id)
    with looking(world.session):
        hidden = hq.reports(world.session, world.case_manager, referral_id)
    assert hidden[0].helps_next is NOT_SHARED
    assert hidden[0].goals[0].result is NOT_SHARED


# --- how it stands ----------------------------------------------------------------------------------------------------


def stands(world: World, actor: Actor, referral_id: UUID) -> q.Standing:
    with looking(world.session):
        return q.standing(world.session, actor, referral_id)


@pytest.mark.parametrize("withdrawn", ["nothing", "consent", "return"])
def test_how_it_stands_is_told_as_the_page_tells_it(world: World, withdrawn: str) -> None:
    declined = world.sent()
    world.act(c.decline_referral, world.navigator, declined, reason="no_capacity", because="Full until June.")
    referrals = [declined, world.started()]
    if withdrawn == "consent":
        world.withdraw_consent()
    elif withdrawn == "return":
        world.withdraw_consent(world.return_consent_id)
    alike = ("side", "status", "recorded", "waiting_on", "loop", "loop_owed_by", "may", "helpers")
    compared = 0
    for referral_id in referrals:
        for who in ("case_manager", "agency_supervisor", "navigator", "other_navigator", "cbo_supervisor", "stranger"):
            actor = world.people[who]
            if gone(world, actor, referral_id):
                with pytest.raises(NotFoundError):
                    stands(world, actor, referral_id)
                continue
            view, standing = see(world, actor, referral_id), stands(world, actor, referral_id)
            assert {name: getattr(standing, name) for name in alike} == {name: getattr(view, name) for name in alike}
            compared += 1
    assert compared >= 6


def test_how_it_stands_reads_nothing_of_its_content(world: World) -> None:
    referral_id = world.started()
    for actor, fields in ((world.navigator, ["referral.reference"]), (world.case_manager, ["referral.answer"])):
        stands(world, actor, referral_id)
        told = world.session.scalars(select(AuditEvent.body).order_by(AuditEvent.id.desc()).limit(2)).all()
        seen = [event for body in told if (event := json.loads(body))["action"] == "referral.standing_viewed"]
        world.session.rollback()
        assert set(fields) <= {name for event in seen for name in event["fields"]}
        assert {name for event in seen for name in event["fields"]} <= {"referral.reference", "referral.answer"}
        assert {name for event in seen for name in event["categories"] or ()} <= {"attendance"}


def test_reading_one_message_does_not_mark_the_others_as_seen(world: World) -> None:
    referral_id = world.sent()
    first = post(world, world.case_manager, referral_id, "Bus 12 stops there.")
    second = post(world, world.case_manager, referral_id, "So does bus 14.")
    with looking(world.session):
        told = q.said(world.session, world.navigator, second.id)
    assert (told.words, told.is_new) == ("So does bus 14.", True)
    assert [(one.id, one.is_new) for one in see(world, world.navigator, referral_id).thread] == [
        (first.id, True),
        (second.id, False),
    ]
    for actor in (world.people["stranger"], world.people["outside_intake"]):
        with pytest.raises(NotFoundError), looking(world.session):
            q.said(world.session, actor, second.id)
    own = post(world, world.case_manager, referral_id, "Only for us.", audience="own_side")
    with pytest.raises(NotFoundError), looking(world.session):
        q.said(world.session, world.navigator, own.id)


# --- the timeline and the thread --------------------------------------------------------------------------------------


def test_both_sides_read_the_same_rows(world: World) -> None:
    referral_id = world.sent()
    world.act(c.ask_question, world.navigator, referral_id, topic="needs", question="A ground floor?")
    world.act(c.answer_question, world.case_manager, referral_id, answer="Yes, please.")
    world.accept(referral_id)
    told = [
        [
            (one.seq, one.what, one.who, one.organization, one.at, one.because)
            for one in see(world, actor, referral_id).timeline
        ]
        for actor in (world.case_manager, world.navigator)
    ]
    assert told[0] == told[1]
    assert [one[1] for one in told[0]] == ["accept_referral", "answer_question", "ask_question", "send_referral"]
    assert told[0][1][2:4] == ("Lee Okafor", "Valley State Prison")


def test_a_message_is_new_once_and_says_who_saw_it(world: World) -> None:
    referral_id = world.sent()
    post(world, world.case_manager, referral_id, "She likes mornings.")
    assert [one.is_new for one in see(world, world.navigator, referral_id).thread] == [True]
    assert [one.is_new for one in see(world, world.navigator, referral_id).thread] == [False]
    (said,) = see(world, world.case_manager, referral_id).thread
    assert (said.words, said.who, said.seen_by, said.is_mine) == (
        "She likes mornings.",
        "Lee Okafor",
        ("Ana Díaz",),
        True,
    )


def test_an_own_sides_message_never_leaves_it(world: World) -> None:
    referral_id = world.sent()
    post(world, world.case_manager, referral_id, "Among us.", audience="own_side")
    post(world, world.navigator, referral_id, "Among ourselves.", audience="own_side")
    assert [one.words for one in see(world, world.case_manager, referral_id).thread] == ["Among us."]
    assert [one.words for one in see(world, world.agency_supervisor, referral_id).thread] == ["Among us."]
    assert [one.words for one in see(world, world.navigator, referral_id).thread] == ["Among ourselves."]


def test_a_struck_message_stays_struck(world: World) -> None:
    referral_id = world.sent()
    said = post(world, world.navigator, referral_id, "Monday.", category="attendance")
    world.act(c.strike_message, world.navigator, said.id, because="It is Tuesday.")
    (read,) = see(world, world.case_manager, referral_id).thread
    assert (read.words, read.struck_because) == ("Monday.", "It is Tuesday.")
    assert read.struck_at is not None


def test_a_page_offers_only_what_would_not_be_refused(world: World) -> None:
    referral_id = world.sent()
    assert see(world, world.navigator, referral_id).may == {
        *(
            "acknowledge_referral",
            "ask_question",
            "accept_referral",
            "decline_referral",
            "waitlist_referral",
            "cancel_referral",
            "post_message",
            "report_error",
        )
    }
    assert see(world, world.case_manager, referral_id).may == {
        "amend_referral",
        "cancel_referral",
        "post_message",
        "report_error",
    }
    assert "confirm_error" not in see(world, world.agency_supervisor, referral_id).may
    world.act(c.report_error, world.navigator, referral_id, reason="wrong_program")
    assert "report_error" not in see(world, world.navigator, referral_id).may
    assert "confirm_error" in see(world, world.agency_supervisor, referral_id).may
    world.act(c.confirm_error, world.agency_supervisor, referral_id)
    assert see(world, world.agency_supervisor, referral_id).may == {"reroute_referral"}


def amend(world: World, referral_id: UUID, topic: str, value: Any) -> None:
    version = world.row(referral_id).version
    words = {"topic": topic, topic: value, "reason": "new_information", "because": "Told on Monday."}
    execute(world.session, c.amend_referral, actor=world.case_manager, target=referral_id, data=words, expect=version)


def test_both_sides_see_old_beside_new_and_it_is_new_until_looked_at(world: World) -> None:
    referral_id = world.sent()
    assert see(world, world.navigator, referral_id).amendments == []
    amend(world, referral_id, "goals", ["A place of my own"])
    amend(world, referral_id, "contact_phone", "510-555-0199")
    for actor, new in ((world.case_manager, False), (world.navigator, True), (world.navigator, False)):
        view = see(world, actor, referral_id)
        told = [(one.topic, one.old, one.new, one.why, one.because, one.who, one.is_new) for one in view.amendments]
        why = ("new_information", "Told on Monday.", "Lee Okafor", new)
        assert told == [
            ("goals", ["A place of my own", "See my daughter every week"], ["A place of my own"], *why),
            ("contact_phone", "510-555-0100", "510-555-0199", *why),
        ]
        assert (view.it.goals, view.it.contact_phone) == (["A place of my own"], "510-555-0199")
        assert not view.entries_left_out


def test_a_change_goes_under_the_category_of_what_it_changes(world: World) -> None:
    referral_id = world.sent()
    amend(world, referral_id, "unavailable", "Mondays, court")
    amend(world, referral_id, "strengths", "Speaks three languages.")
    world.withdraw_consent()
    world.consent_again(categories=("identity", "contact", "needs"))
    view = see(world, world.navigator, referral_id)
    assert [one.topic for one in view.amendments] == ["strengths"]
    assert view.entries_left_out
    assert [one.topic for one in see(world, world.case_manager, referral_id).amendments] == ["unavailable", "strengths"]


def test_who_works_on_it_is_the_programs_answer_whoever_took_the_last_step(world: World) -> None:
    referral_id = world.started()
    world.act(c.hold_referral, world.case_manager, referral_id, reason="health", review_on=tomorrow())
    assert see(world, world.case_manager, referral_id).helpers == ("Ana Díaz",)
    world.withdraw_consent(world.return_consent_id)
    for told in (see(world, world.case_manager, referral_id), stands(world, world.case_manager, referral_id)):
        assert (told.status, told.helpers) == ("on_hold", ())
    assert see(world, world.navigator, referral_id).helpers == ("Ana Díaz",)


def test_the_buttons_do_not_tell_an_answer_that_does_not_come_back(world: World) -> None:
    """Whatever the program said last, a source that may not know it is offered the same."""
    told = {}
    for number, end in enumerate(("acknowledged", "question", "accepted", "waiting", "held", "declined", "agreed")):
        referral_id = world.sent()
        if end == "acknowledged":
            world.act(c.acknowledge_referral, world.navigator, referral_id)
        elif end == "question":
            world.act(c.ask_question, world.navigator, referral_id, topic="needs", question="Which floor?")
        elif end in {"accepted", "waiting", "held"}:
            world.accept(referral_id)
            if end == "waiting":
                world.act(c.waitlist_referral, world.navigator, referral_id, position=2)
            elif end == "held":
                world.act(c.hold_referral, world.navigator, referral_id, reason="health", review_on=tomorrow())
        else:
            world.act(c.decline_referral, world.navigator, referral_id, reason="no_capacity")
            if end == "agreed":
                world.act(c.close_loop, world.case_manager, referral_id, answer="agreed")
        world.withdraw_consent(world.return_consent_id)
        for who in ("case_manager", "agency_supervisor"):
            view = see(world, world.people[who], referral_id)
            assert view.status is NOT_SHARED, end
            told[end, who] = view.may
        with planting(world.session):
            made = a_consent(world.person_id, world.cbo_id, world.agency_id, world.case_manager.me, categories=RETURNED)
            world.session.add(made)
        world.return_consent_id = made.id
        if number < 5:
            world.act(c.cancel_referral, world.case_manager, referral_id, reason="duplicate")
    assert set(told.values()) == {frozenset({"amend_referral", "cancel_referral", "post_message", "report_error"})}
    assert see(world, world.navigator, referral_id).sendable == ("needs", "attendance")
    assert see(world, world.case_manager, referral_id).sendable == ("identity", "contact", "release", "needs")


# --- `settle` in SQL --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_settle_in_sql_says_what_it_says_in_python(world: World, seed: int) -> None:
    """Random consents and agreements, at instants around every change: one decision, in both languages."""
    drawn = random.Random(seed)
    verbal = {"method": "verbal", "signature": None, "witness_id": world.other_case_manager.me}
    wrong: list[dict[str, Any]] = [
        *({}, {}, {"told_rights": False}, {"signed_on": None}, {"signature": None}, {"to_person": "Somebody outside"}),
        *({"purposes": ["service"]}, {"categories": ["identity"]}, {"categories": ["needs", "health"]}),
        *({"expires_on": None, "expires_event": None}, verbal | {"witness_confirmed_at": None}),
        *(verbal | {"witness_confirmed_at": datetime(2026, month, 20, tzinfo=UTC)} for month in (2, 5, 8)),
    ]
    referral_id = world.sent()
    with planting(world.session):
        consent = world.session.get_one(Consent, world.consent_id)
        consent.voided_at = consent.stops_at = datetime(2026, 1, 1, tzinfo=UTC)
        for number in range(5):  # one after the other, each with at most one thing wrong: each decides alone
            begins = datetime(2026, 1 + 2 * number, drawn.randint(2, 20), 17, tzinfo=UTC)
            terms: dict[str, Any] = {
                "categories": ["identity", "needs", "contact"],
                "effective_at": begins,
                "expires_on": drawn.choice([None, begins.date() + timedelta(days=drawn.randint(5, 50))]),
                "expires_event": "referral_closed",
                "no_later_than": begins.date() + timedelta(days=drawn.randint(5, 50)),
                "time_zone": drawn.choice(["America/Los_Angeles", "America/New_York", "Pacific/Guam", "UTC"]),
            }
            terms |= drawn.choice(wrong) if number else {}
            ended = drawn.choice([None, "withdrawn_at", "superseded_at", "event_at", "voided_at"])
            if ended is not None and number:
                terms[ended] = begins + timedelta(days=drawn.randint(0, 40))
            consent = a_consent(world.person_id, world.agency_id, world.cbo_id, world.case_manager.me, **terms)
            world.session.add(consent)
        world.session.get_one(Agreement, world.agreement_id).ended_at = datetime(2026, 10, 1, tzinfo=UTC)
    row = world.row(referral_id)
    moments = [datetime(2026, 1, 1, 7, 59, 59, tzinfo=UTC) + timedelta(hours=11) * n for n in range(0, 800, 3)]
    seen = set()
    for at in moments:
        covered = q.consents.covering(
            world.session, world.person_id, world.agency_id, world.cbo_id, q.RESTS_ON, q.PURPOSE, at
        )
        agreed = q.partnerships.agreement_between(world.session, world.agency_id, world.cbo_id, at)
        facts = q.Facts(consent=all(covered.values()), agreement=agreed is not None)
        assert q.facts(world.session, [referral_id], at)[referral_id] == facts, at
        asked = select(q.settled_state()).select_from(Referral).where(Referral.id == referral_id)
        in_sql = world.session.scalar(asked, q.moment(at))
        assert in_sql == settle(row.recorded, facts, at).state
        seen.add((facts.consent, facts.agreement))
    assert {(True, True), (False, True)} <= seen


def test_what_is_withheld_in_sql_is_what_consent_withholds(world: World) -> None:
    """Random consents back, for roles and people, at instants around every change: one decision, in both languages."""
    drawn = random.Random(11)
    referral_id = world.sent()
    world.act(c.acknowledge_referral, world.navigator, referral_id)
    with planting(world.session):
        consent = world.session.get_one(Consent, world.return_consent_id)
        consent.voided_at = consent.stops_at = datetime(2026, 1, 1, tzinfo=UTC)
        for _number in range(12):
            begins = datetime(2026, drawn.randint(1, 9), drawn.randint(5, 20), 17, tzinfo=UTC)
            consent = a_consent(
                *(world.person_id, world.cbo_id, world.agency_id, world.case_manager.me),
                categories=drawn.choice([["attendance"], ["needs"], ["attendance", "needs"]]),
                purposes=drawn.choice([["referral"], ["referral"], ["service"]]),
                effective_at=begins,
                no_later_than=begins.date() + timedelta(days=drawn.randint(5, 60)),
                to_role=drawn.choice([None, "case_manager", "supervisor"]),
                to_user_id=drawn.choice([None, None, world.case_manager.me, world.agency_supervisor.me]),
            )
            world.session.add(consent)
    row = world.row(referral_id)
    seen = set()
    for at in [datetime(2026, 1, 1, 8, tzinfo=UTC) + timedelta(hours=31) * n for n in range(260)]:
        facts = q.facts(world.session, [referral_id], at)[referral_id]
        moved_on = settle(row.recorded, facts, at).state is not row.recorded
        withheld = []
        for reader in (world.case_manager, world.agency_supervisor):
            anybody = anybody_like(reader)
            assert anybody is not None
            asked = select(q.is_answer_withheld(anybody)).select_from(Referral).where(Referral.id == referral_id)
            withheld.append(bool(world.session.scalar(asked, asked_by(reader) | q.moment(at))))
            in_python = not moved_on and q.is_outcome_hidden(world.session, row, reader, at)
            assert withheld[-1] == in_python, at
        seen.add(tuple(withheld))
    assert len(seen) == 4  # by turns each of them alone, both and neither


def test_what_is_due_is_what_differs(world: World) -> None:
    referral_id = world.sent()
    now = datetime.now(UTC)
    assert q.due_for_settlement(world.session, now) == []
    world.withdraw_consent()
    assert q.due_for_settlement(world.session, datetime.now(UTC)) == [referral_id]
    c.settle_due(world.session, None, None)
    assert q.due_for_settlement(world.session, datetime.now(UTC)) == []
