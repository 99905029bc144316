"""Referred onward: one who took a participant on brings in a third organization, on its own ground (R23, 0020)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from referrals.handoff import commands as h
from referrals.kernel.actor import Actor, Role
from referrals.kernel.command import execute
from referrals.kernel.errors import InvalidInputError, NotFoundError, NotPermittedError, RuleBrokenError
from referrals.kernel.look import NOT_SHARED, looking
from referrals.kernel.orm import uuid7
from referrals.kernel.record import clock
from referrals.kernel.session import HouseSession
from referrals.organization.models import Organization
from referrals.partnership.models import Agreement
from referrals.person.models import Assignment
from referrals.program.models import IntakeMember, Program
from referrals.referral import commands as c
from referrals.referral import queries as q
from referrals.referral.models import Referral, State
from referrals.release.models import ReleaseDate
from referrals.worklist import queries as lists
from tests.factories.organization import last_event
from tests.factories.referral import FULL, LONG_AGO, SHARED, ZONE, World, a_consent, a_user, a_world, planting, tomorrow

Open = Callable[[str], Any]

#: What Second Start writes itself: none of it stands in the first referral.
OURS = FULL | {
    "service": "employment",
    "reason_text": "Works well with wood, and looks for an evening course.",
    "goals": ["A trade certificate"],
    "strengths": "Comes early.",
    "unavailable": "Monday evenings",
    "first_contact": "Call Ana, she is there on Wednesdays.",
    "contact_name": "Ana Díaz",
    "backup_name": "Dee Holt",
}
#: Each word of the first referral that the third organization must never read.
FIRST_SAID = ("Needs a bed", "A place of my own", "carpentry", "kitchen duty", "By letter first", "Lee Okafor")
#: What the name on the form is, as the participant gave it at Second Start.
AS_ON_FORM = "María Núñez Ortega"


def plant_third(world: World, *, agreed: bool = True, consented: bool = True) -> World:
    """Give Harbor House a program and people, and Second Start an agreement with it and the participant's yes."""
    with planting(world.session):
        third = world.session.get_one(Organization, world.other_cbo_id)
        rows, supervisor = a_user(third, "Uma Reed", Role.SUPERVISOR)
        program = Program(
            organization_id=third.id,
            name="Night School",
            categories=["employment", "housing"],
            added_at=LONG_AGO,
            capacity_code="capacity",
            open_places=2,
            capacity_at=LONG_AGO,
        )
        rows += [program, IntakeMember(program_id=program.id, user_id=world.stranger.me, added_at=LONG_AGO)]
        agreement = Agreement(
            first_id=world.cbo_id,
            second_id=third.id,
            of_peers=True,
            proposed_at=LONG_AGO,
            proposed_by=world.cbo_supervisor.me,
            proposed_by_org=world.cbo_id,
            starts_on=date(2026, 1, 1),
            ends_on=date(2199, 12, 31),
            time_zone=ZONE,
            begins_at=LONG_AGO - timedelta(days=4),
            expires_at=datetime(2199, 12, 31, tzinfo=UTC),
            categories=[*SHARED, "attendance"],
            purposes=["referral"],
            first_signed_at=LONG_AGO,
            first_signed_by=world.cbo_supervisor.me,
            second_signed_at=LONG_AGO,
            second_signed_by=supervisor.me,
            version=1,
        )
        rows += [agreement] if agreed else []
        there = a_consent(world.person_id, world.cbo_id, third.id, world.navigator.me, name_as_on_form=AS_ON_FORM)
        back = a_consent(world.person_id, third.id, world.cbo_id, world.navigator.me, categories=("attendance",))
        rows += [there, back] if consented else []
        world.session.add_all(rows)
    world.people["third_supervisor"] = supervisor  # type: ignore[index]  # a dictionary, which tests may add to
    world.extra |= {"program": program.id, "agreement": agreement.id, "there": there.id, "back": back.id}
    return world


@pytest.fixture
def third(world: World) -> World:
    return plant_third(world)


def written(world: World, first: UUID, actor: Actor | None = None, **content: Any) -> UUID:
    """Draft a referral onward, and write all of it."""
    actor = actor or world.navigator
    made = world.act(c.refer_onward, actor, first, program_id=str(world.extra["program"]))
    words = {name: value for name, value in (OURS | content).items() if value is not None}
    execute(world.session, c.save_draft, actor=actor, target=made.id, data=words, expect=1)
    return made.id


def onward(world: World, first: UUID | None = None) -> UUID:
    """Refer onward what the navigator accepted, and send it."""
    made = written(world, first or world.accepted())
    world.act(c.send_referral, world.navigator, made)
    return made


def see(world: World, actor: Actor, referral_id: UUID) -> q.View:
    with looking(world.session):
        return q.referral(world.session, actor, referral_id)


def listed(world: World, actor: Actor) -> dict[str, list[UUID]]:
    with looking(world.session):
        return {str(one): [card.id for card in lists.listed(world.session, actor, one).cards] for one in lists.Group}


# --- what is refused --------------------------------------------------------------------------------------------------


def test_to_a_stranger_there_is_nothing_to_refer_onward(third: World) -> None:
    first = third.accepted()
    for actor in (third.stranger, third.third_supervisor, third.outside_intake):
        with pytest.raises(NotFoundError):
            third.act(c.refer_onward, actor, first, program_id=str(third.extra["program"]))
        event = last_event(third.session)
        assert (event["outcome"], event["code"]) == ("refused", "not_found")


def test_only_who_works_on_it_refers_it_onward(third: World) -> None:
    first = third.accepted()
    for actor in (third.case_manager, third.agency_supervisor, third.other_navigator):
        with pytest.raises(NotPermittedError):
            third.act(c.refer_onward, actor, first, program_id=str(third.extra["program"]))
        event = last_event(third.session)
        assert (event["action"], event["outcome"], event["code"]) == (
            *("referral.onward_drafted", "refused"),
            "not_permitted",
        )
    assert third.act(c.refer_onward, third.cbo_supervisor, first, program_id=str(third.extra["program"])).id


@pytest.mark.parametrize("start", [State.SENT, State.DECLINED, State.CANCELLED])
def test_what_was_not_taken_on_is_not_referred_onward(third: World, start: State) -> None:
    first = third.accepted() if start is State.CANCELLED else third.sent()
    if start is State.CANCELLED:
        third.act(c.cancel_referral, third.case_manager, first, reason="release_cancelled")
    elif start is State.DECLINED:
        third.act(c.decline_referral, third.navigator, first, reason="no_capacity")
    # Nobody is named on what nobody took on, so it is refused before its status is looked at.
    refused = RuleBrokenError if start is State.CANCELLED else NotPermittedError
    with pytest.raises(refused) as error:
        third.act(c.refer_onward, third.navigator, first, program_id=str(third.extra["program"]))
    assert error.value.code == ("wrong_state" if start is State.CANCELLED else "not_permitted")
    assert "refer_onward" not in see(third, third.navigator, first).may


def test_after_the_loop_is_closed_nothing_is_referred_onward(third: World) -> None:
    first = third.accepted()
    third.act(h.complete_referral, third.navigator, first, outcome="one_time_help_given")
    assert "refer_onward" in see(third, third.navigator, first).may, "they still look after the participant"
    written(third, first)
    third.act(c.close_loop, third.case_manager, first, answer="agreed")
    with pytest.raises(NotPermittedError):
        third.act(c.refer_onward, third.navigator, first, program_id=str(third.extra["program"]))
    assert "refer_onward" not in see(third, third.navigator, first).may


def test_what_was_never_sent_is_said_to_its_author_alone_once_the_first_is_done(third: World, browser: Open) -> None:
    first = third.accepted()
    draft = written(third, first)
    ana, lee = browser("navigator"), browser("case_manager")
    assert "no longer read or send" not in ana.page("/drafts")
    third.act(h.complete_referral, third.navigator, first, outcome="one_time_help_given")
    assert "never sent" not in ana.page(f"/referrals/{first}"), "until it is done they still look after the participant"
    third.act(c.close_loop, third.case_manager, first, answer="agreed")
    assert ana.get(f"/referrals/{draft}/draft").status_code == 404
    reference = third.row(draft).reference
    for path in ("/drafts", f"/referrals/{first}"):
        page = ana.page(path)
        assert reference in page
        assert "no longer read or send" in page
        assert OURS["reason_text"] not in page
    assert f'href="/referrals/{first}"' in ana.page("/drafts")
    assert AS_ON_FORM not in ana.page("/drafts")
    (told,) = ana.read("/drafts").get_json()["items"]
    assert (told["id"], told["made_of_id"]) == (str(draft), str(first))
    assert {str(told[one]) for one in ("participant", "participant_id", "program", "recipient")} == {
        "{'shared': False}"
    }
    (unsent,) = ana.read(f"/referrals/{first}").get_json()["unsent"]
    assert unsent["reference"] == reference
    others = browser("cbo_supervisor"), lee
    assert [one for one in others if reference in one.page("/drafts") + one.page(f"/referrals/{first}")] == []


@pytest.mark.parametrize("by_consent", [True, False])
def test_once_the_first_ones_sharing_has_ended_nothing_new_begins_from_it(
    third: World, browser: Open, *, by_consent: bool
) -> None:
    first = third.accepted()
    draft = written(third, first)
    if by_consent:
        third.withdraw_consent(third.consent_id)
    else:
        third.end_agreement()
    assert "refer_onward" not in see(third, third.navigator, first).may
    ana, words = browser("navigator"), {"program_id": str(third.extra["program"])}
    assert ana.get(f"/referrals/{first}/onward").status_code == 409
    refused = ana.call(f"/referrals/{first}/onward", words)
    assert (refused.status_code, refused.get_json()["code"]) == (409, "sharing_ended")
    # What they wrote themselves, and the participant agreed to with them, does not rest on it.
    assert ana.get(f"/referrals/{draft}/sending").status_code == 200
    third.act(c.send_referral, third.navigator, draft)
    assert see(third, third.stranger, draft).participant == AS_ON_FORM


def test_it_goes_to_another_organization(third: World) -> None:
    first = third.accepted()
    for program_id in (third.program_id, uuid7()):
        with pytest.raises(InvalidInputError) as refused:
            third.act(c.refer_onward, third.navigator, first, program_id=str(program_id))
        assert refused.value.fields == {"program_id": ["not_a_choice"]}


# --- what it begins with ----------------------------------------------------------------------------------------------


def test_it_begins_empty_since_the_first_source_wrote_to_one_organization_alone(third: World) -> None:
    first = third.accepted()
    before = third.row(first).version
    made_id = third.act(c.refer_onward, third.navigator, first, program_id=str(third.extra["program"])).id
    made = third.row(made_id)
    assert (made.onward_from_id, made.replaces_id) == (first, None)
    assert (made.source_id, made.recipient_id) == (third.cbo_id, third.other_cbo_id)
    assert (made.participant_id, made.recorded) == (third.person_id, State.DRAFT)
    assert {name: getattr(made, name) for name in q.CONTENT} == dict.fromkeys(q.CONTENT)
    assert made.known_as is None
    assert third.row(first).version == before
    with looking(third.session):
        view = q.draft(third.session, third.navigator, made_id)
        known = q.known_before(third.session, third.navigator, view)
    assert known == {"contact_name": "Ana Díaz"}, "the language is on the agency's record"


# --- the ground of sharing --------------------------------------------------------------------------------------------


def test_no_agreement_no_sending(world: World) -> None:
    plant_third(world, agreed=False)
    made = written(world, world.accepted())
    with pytest.raises(RuleBrokenError) as refused:
        world.act(c.send_referral, world.navigator, made)
    assert refused.value.code == "no_agreement"
    assert listed(world, world.stranger) == {"us": [], "them": [], "closed": []}


def test_no_consent_of_its_own_no_sending(world: World) -> None:
    plant_third(world, consented=False)  # the one from the agency to Second Start holds, and carries nothing further
    made = written(world, world.accepted())
    with pytest.raises(InvalidInputError) as refused:
        world.act(c.send_referral, world.navigator, made)
    faults = refused.value.fields
    assert {code for codes in faults.values() for code in codes} == {"not_covered", "return_consent_missing"}
    assert {"reason_text", "asked_by", "first_contact", "unavailable"} <= set(faults)
    row = world.row(made)
    assert (row.known_as, row.open_for, row.recorded) == (None, None, State.DRAFT)


@pytest.mark.parametrize("which", ["there", "back"])
def test_a_consent_taken_back_before_sending_is_missed(third: World, which: str) -> None:
    made = written(third, third.accepted())
    third.withdraw_consent(third.extra[which])
    with pytest.raises(InvalidInputError) as refused:
        third.act(c.send_referral, third.navigator, made)
    assert ("return_consent" in refused.value.fields) is (which == "back")


def test_a_consent_taken_back_afterwards_ends_it_and_leaves_the_first_as_it_was(third: World) -> None:
    first = third.accepted()
    made = onward(third, first)
    assert see(third, third.stranger, made).status == "sent"
    third.withdraw_consent(third.extra["there"])
    with pytest.raises(NotFoundError):
        see(third, third.stranger, made)
    assert see(third, third.navigator, made).status == "cancelled"
    assert see(third, third.case_manager, first).status == "accepted"
    assert see(third, third.navigator, first).status == "accepted"


@pytest.mark.parametrize("by_source", [True, False])
def test_an_agreement_ended_by_either_of_the_two_ends_it(third: World, *, by_source: bool) -> None:
    made = onward(third)
    with planting(third.session) as work:
        agreement = third.session.get_one(Agreement, third.extra["agreement"])
        mine = third.cbo_id if by_source else third.other_cbo_id
        agreement.end(mine, at=work.now, by=third.cbo_supervisor.me, because="A test ends it.")
    with pytest.raises(NotFoundError):
        see(third, third.stranger, made)
    assert see(third, third.navigator, made).status == "cancelled"


def test_the_agencys_consent_ending_takes_nothing_from_the_third(third: World) -> None:
    made = onward(third)
    third.withdraw_consent(third.consent_id)
    view = see(third, third.stranger, made)
    assert (view.status, view.participant) == ("sent", AS_ON_FORM)
    assert see(third, third.navigator, made).participant == AS_ON_FORM


# --- what the third reads ---------------------------------------------------------------------------------------------


def test_the_third_reads_the_sources_own_words_and_nothing_of_the_first(third: World, browser: Open) -> None:
    first = third.accepted()
    made = onward(third, first)
    view = see(third, third.stranger, made)
    assert (view.participant, view.source, view.program) == (AS_ON_FORM, "Second Start", "Night School")
    assert view.it.reason_text == OURS["reason_text"]
    assert (view.onward_from_id, view.onward) == (None, ())
    eli = browser("stranger")
    answers = (eli.page(f"/referrals/{made}"), eli.read(f"/referrals/{made}").get_data(as_text=True))
    assert AS_ON_FORM in answers[0]
    for said in answers:
        assert str(first) not in said
        assert third.row(first).reference not in said
        assert "Valley State Prison" not in said
        assert [one for one in FIRST_SAID if one in said] == []
    assert eli.get(f"/referrals/{first}").status_code == 404
    # The record of the participant is the agency's: no agreement joins it to the third, so all of it stays there.
    record = eli.page(f"/participants/{third.person_id}")
    assert [one for one in ("Maria", "V48213", "1990") if one in record] == []
    assert AS_ON_FORM in eli.page("/referrals?group=us")


def test_a_release_date_that_the_agency_told_the_source_hurries_nobody_else(third: World) -> None:
    first = third.accepted()
    made = onward(third, first)
    now = clock(third.session)
    with looking(third.session):
        before = q.clocks(third.session, [made], now)[made]
    with planting(third.session) as work:
        soon = (work.now + timedelta(days=2)).date()
        said = ReleaseDate(
            participant_id=third.person_id,
            organization_id=third.agency_id,
            expected_on=soon,
            as_of=work.now.date(),
            source="agency_record",
            recorded_at=work.now,
            recorded_by=third.case_manager.me,
        )
        third.session.add(said)
    with looking(third.session):
        assert q.clocks(third.session, [made], clock(third.session))[made] == before


def test_that_another_asks_the_same_program_is_told_to_nobody(third: World) -> None:
    """The agency agrees with the third itself, and has asked the same program for the same participant."""
    first = third.accepted()
    with planting(third.session):
        agreed = third.session.get_one(Agreement, third.agreement_id)
        same = {name: getattr(agreed, name) for name in ("proposed_at", "proposed_by", "proposed_by_org", "starts_on")}
        same |= {name: getattr(agreed, name) for name in ("ends_on", "time_zone", "begins_at", "expires_at", "version")}
        same |= {name: getattr(agreed, name) for name in ("categories", "purposes", "first_signed_at")}
        same |= {"first_signed_by": agreed.first_signed_by, "second_signed_at": agreed.second_signed_at}
        third.session.add(Agreement(first_id=third.agency_id, second_id=third.other_cbo_id, **same))
        there = a_consent(third.person_id, third.agency_id, third.other_cbo_id, third.case_manager.me)
        back = a_consent(
            third.person_id, third.other_cbo_id, third.agency_id, third.case_manager.me, categories=["attendance"]
        )
        third.session.add_all([there, back])
    theirs = third.draft(program_id=third.extra["program"])
    third.act(c.send_referral, third.case_manager, theirs)
    ours = onward(third, first)
    assert listed(third, third.stranger)["us"] == [ours, theirs] or listed(third, third.stranger)["us"] == [
        theirs,
        ours,
    ]
    twice = written(third, first)
    with pytest.raises(RuleBrokenError) as refused:
        third.act(c.send_referral, third.navigator, twice)
    assert refused.value.code == "referral_already_open"
    assert refused.value.facts["url"] == f"/referrals/{ours}", "one's own, and never another's"


# --- what the first source sees ---------------------------------------------------------------------------------------


def test_the_first_source_is_told_that_it_went_onward_where_answers_come_back(third: World) -> None:
    first = third.accepted()
    made = written(third, first)
    assert see(third, third.case_manager, first).onward == (), "a draft is its author's alone"
    assert see(third, third.navigator, first).onward == ()
    third.act(c.send_referral, third.navigator, made)
    (told,) = see(third, third.case_manager, first).onward
    assert (told.reference, told.id) == (third.row(made).reference, None)
    # What comes back covers no identity, and Harbor House shares its answers with Second Start alone.
    assert (told.recipient, told.program, told.status) == (NOT_SHARED, NOT_SHARED, NOT_SHARED)
    with planting(third.session):
        more = a_consent(
            third.person_id, third.cbo_id, third.agency_id, third.navigator.me, categories=["identity", "attendance"]
        )
        third.session.add(more)
    (told,) = see(third, third.case_manager, first).onward
    assert (told.recipient, told.program, told.status) == ("Harbor House", "Night School", NOT_SHARED)
    with pytest.raises(NotFoundError):
        see(third, third.case_manager, made)


def test_who_made_it_sees_it_on_the_first_and_the_first_on_it(third: World) -> None:
    first = third.accepted()
    made = onward(third, first)
    (told,) = see(third, third.navigator, first).onward
    assert (told.id, told.recipient, told.status) == (made, "Harbor House", "sent")
    assert see(third, third.navigator, made).onward_from_id == first


#: What two readings of one page differ in: the request's number, the form's token, the second.
_VARIES = re.compile(r'csrf_token" value="[^"]+"|"request_id": ?"[^"]+"|[0-9a-f]{8}-[0-9a-f-]{27}|<time.*?</time>')


def test_without_its_consent_the_first_source_reads_what_it_would_read_if_there_were_none(
    third: World, browser: Open
) -> None:
    first = third.accepted()
    third.withdraw_consent(third.return_consent_id)
    lee, pat = browser("case_manager"), browser("agency_supervisor")
    paths = (f"/referrals/{first}", "/referrals?group=us", "/referrals?group=them", f"/participants/{third.person_id}")

    def read() -> list[tuple[str, str]]:
        pages = [(path, who.page(path)) for who in (lee, pat) for path in paths]
        told = [(path, who.read(path).get_data(as_text=True)) for who in (lee, pat) for path in paths]
        return [(path, _VARIES.sub("", said)) for path, said in [*pages, *told]]

    read()  # what is new is new once
    before = read()
    made = onward(third, first)
    third.act(c.acknowledge_referral, third.stranger, made)
    assert read() == before
    assert lee.get(f"/referrals/{made}").status_code == 404
    # The same pages tell it where answers come back.
    with planting(third.session):
        third.session.add(
            a_consent(third.person_id, third.cbo_id, third.agency_id, third.navigator.me, categories=["attendance"])
        )
    assert "Referred onward" in lee.page(f"/referrals/{first}")


# --- lists, and who looks after it ------------------------------------------------------------------------------------


def test_it_stands_in_the_lists_of_both_as_every_other(third: World) -> None:
    made = onward(third)
    assert made in listed(third, third.navigator)["them"]
    assert made in listed(third, third.cbo_supervisor)["them"]
    assert made in listed(third, third.stranger)["us"]
    for actor in (third.case_manager, third.agency_supervisor, third.outside_intake):
        assert all(made not in rows for rows in listed(third, actor).values())
    third.act(c.ask_question, third.stranger, made, topic="needs", question="Which evenings?")
    assert made in listed(third, third.navigator)["us"]


def test_whoever_sent_it_sees_it_to_its_end_though_the_first_has_ended(third: World) -> None:
    first = third.accepted()
    made = onward(third, first)
    third.act(h.complete_referral, third.navigator, first, outcome="moved_to_other_program")
    third.act(c.close_loop, third.case_manager, first, answer="agreed")
    third.act(c.decline_referral, third.stranger, made, reason="no_capacity")
    assert see(third, third.navigator, made).status == "declined"
    assert made in listed(third, third.navigator)["us"]
    with pytest.raises(NotFoundError):
        third.draft(actor=third.stranger)  # they said no: the participant is no longer theirs to know of
    third.act(c.close_loop, third.navigator, made, answer="agreed")
    held = select(Assignment).where(Assignment.organization_id == third.cbo_id, Assignment.until_at.is_(None))
    assert third.session.scalars(held).all() == [], "and then nobody there is assigned any more"


def test_tried_again_elsewhere_it_is_still_onward_from_the_first(third: World) -> None:
    first = third.accepted()
    made = onward(third, first)
    third.act(c.decline_referral, third.stranger, made, reason="no_capacity")
    again = third.act(c.reroute_referral, third.navigator, made, program_id=str(third.extra["program"]))
    row = third.row(again.id)
    assert (row.replaces_id, row.onward_from_id, row.source_id) == (made, first, third.cbo_id)
    assert row.reason_text == OURS["reason_text"], "its own words"


def test_both_databases_tell_the_same_of_it(any_session: HouseSession) -> None:
    there = plant_third(a_world(any_session))
    first = there.accepted()
    made = onward(there, first)
    (told,) = see(there, there.case_manager, first).onward
    assert told.reference == there.row(made).reference
    assert see(there, there.stranger, made).participant == AS_ON_FORM
    assert listed(there, there.stranger)["us"] == [made]
    there.withdraw_consent(there.return_consent_id)
    assert see(there, there.case_manager, first).onward == ()
    with planting(there.session) as work:
        agreement = there.session.get_one(Agreement, there.extra["agreement"])
        agreement.end(there.cbo_id, at=work.now, by=there.cbo_supervisor.me, because="A test ends it.")
    assert listed(there, there.stranger) == {"us": [], "them": [], "closed": []}


# --- the whole way ----------------------------------------------------------------------------------------------------


def parts(name: str, day: str) -> dict[str, str]:
    """A day as the three fields of a form."""
    year, month, number = day.split("-")
    return {f"{name}-year": year, f"{name}-month": month, f"{name}-day": number}


def typed() -> dict[str, Any]:
    """The draft's form, filled in."""
    words = {name: value for name, value in OURS.items() if name != "agreed_on"}
    return words | parts("agreed_on", OURS["agreed_on"])


def signed(world: World) -> dict[str, Any]:
    """What the participant signs at Second Start, both directions in one sitting."""
    return {
        "from_org_id": str(world.cbo_id),
        "to_org_id": str(world.other_cbo_id),
        "categories": list(SHARED),
        "purposes": ["referral"],
        "name_as_on_form": AS_ON_FORM,
        "told_rights": "yes",
        "expires_on": (datetime.now(UTC) + timedelta(days=90)).date().isoformat(),
        "method": "e_signature",
        "signature": AS_ON_FORM,
        "signed_on": (datetime.now(UTC) - timedelta(days=1)).date().isoformat(),
        "language": "en",
        "back": "yes",
        "back_categories": ["attendance", "needs"],
    }


def test_the_whole_way_by_pages(world: World, browser: Open) -> None:  # noqa: PLR0915  # it is one way
    plant_third(world, consented=False)
    first = world.started()
    lee, ana, eli = browser("case_manager"), browser("navigator"), browser("stranger")
    assert "Refer onward" in ana.page(f"/referrals/{first}")
    assert "Refer onward" not in lee.page(f"/referrals/{first}")
    assert lee.get(f"/referrals/{first}/onward").status_code == 403
    assert last_event(world.session)["code"] == "not_permitted"
    assert eli.get(f"/referrals/{first}/onward").status_code == 404
    page = ana.page(f"/referrals/{first}/onward")
    assert "Night School" in page
    assert "Bridge Housing" not in page
    begun = ana.post(f"/referrals/{first}/onward", {"program_id": str(world.extra["program"])})
    assert begun.status_code == 303, begun.get_data(as_text=True)
    at = begun.location.removesuffix("/draft")

    blank = ana.page(f"{at}/draft")
    assert [one for one in FIRST_SAID if one in blank] == []
    assert ana.post(f"{at}/draft", typed() | {"version": "1"}).location == f"{at}/sending"
    check = ana.page(f"{at}/sending")
    assert "Before you can send" in check
    assert f"/participants/{world.person_id}/consents/new" in check
    ask = ana.page(f"/participants/{world.person_id}/consents/new")
    assert "Harbor House" in ask
    assert ana.post(f"{at}/sending").status_code == 422

    given = signed(world)
    given |= parts("expires_on", given.pop("expires_on")) | parts("signed_on", given.pop("signed_on"))
    shown = ana.post(f"/participants/{world.person_id}/consents/new", given)
    assert shown.status_code in {200, 303}, shown.get_data(as_text=True)
    if shown.status_code == 200:
        hashes = dict(re.findall(r'name="(shown|back_shown)" value="([0-9a-f]{64})"', shown.get_data(as_text=True)))
        signs = ana.post(f"/participants/{world.person_id}/consents/new", given | hashes)
        assert signs.status_code == 303, signs.get_data(as_text=True)
    assert "Before you can send" not in ana.page(f"{at}/sending")
    assert ana.post(f"{at}/sending").location == at
    assert "The referral that this one was made of" in ana.page(at)

    page = eli.page(at)
    assert AS_ON_FORM in page
    assert OURS["reason_text"] in page
    assert eli.post(f"{at}/receipt").status_code == 303
    accepting = {"caseworker_id": str(world.stranger.me), **parts("first_contact_on", tomorrow())}
    assert eli.post(f"{at}/acceptance", accepting).status_code == 303
    assert "Referred onward" in ana.page(f"/referrals/{first}")
    started = parts("started_on", (datetime.now(UTC) - timedelta(days=1)).date().isoformat())
    assert eli.post(f"{at}/start", started | {"how": "in_person"}).status_code == 303
    report = {"result_1": "achieved", "comment_1": "Passed.", "helps_next": "A ride.", "persons_view": "Good."}
    assert eli.post(f"{at}/closing-report/new", report).status_code == 303
    assert eli.post(f"{at}/completion", {"outcome": "goals_met"}).status_code == 303
    assert "Passed." in ana.page(f"{at}/closing-report")
    assert AS_ON_FORM in eli.page(f"{at}/closing-report")
    assert ana.post(f"{at}/outcome", {"answer": "agreed"}).status_code == 303
    done = world.row(UUID(at.rpartition("/")[2]))
    assert (done.recorded, done.is_done) == (State.COMPLETED, True)
    assert done.onward_from_id == first
    assert "Referred onward" in lee.page(f"/referrals/{first}")


def test_the_whole_way_by_json(world: World, browser: Open) -> None:
    plant_third(world, consented=False)
    first = world.started()
    lee, ana, eli = browser("case_manager"), browser("navigator"), browser("stranger")
    assert lee.call(f"/referrals/{first}/onward", {"program_id": str(world.extra["program"])}).status_code == 403
    made = ana.call(f"/referrals/{first}/onward", {"program_id": str(world.extra["program"])})
    assert made.status_code == 200, made.get_json()
    at = f"/referrals/{made.get_json()['id']}"
    assert made.get_json()["onward_from_id"] == str(first)
    saved = ana.call(f"{at}/draft", OURS, If_Match='"1"')
    assert saved.status_code == 200, saved.get_json()
    assert ana.call(f"{at}/sending").status_code == 422
    consent = ana.call(f"/participants/{world.person_id}/consents", signed(world) | {"told_rights": True})
    assert consent.status_code == 201, consent.get_json()
    assert ana.call(f"{at}/sending").get_json()["status"] == "sent"
    seen = eli.read(at).get_json()
    assert (seen["participant"], seen["onward_from_id"], seen["onward"]) == (AS_ON_FORM, None, [])
    assert seen["may"].count("accept_referral") == 1
    words = {"caseworker_id": str(world.stranger.me), "first_contact_on": tomorrow()}
    assert eli.call(f"{at}/acceptance", words).get_json()["status"] == "accepted"
    (told,) = ana.read(f"/referrals/{first}").get_json()["onward"]
    assert (told["reference"], told["status"], told["recipient"]) == (seen["reference"], "accepted", "Harbor House")
    (told,) = lee.read(f"/referrals/{first}").get_json()["onward"]
    assert (told["id"], told["reference"], told["status"]) == (None, seen["reference"], {"shared": False})
    ended = eli.call(f"{at}/end", {"reason": "moved_away"})
    assert ended.status_code == 200, ended.get_json()
    closed = ana.call(f"{at}/outcome", {"answer": "agreed"}).get_json()
    assert (closed["status"], closed["loop"]) == ("not_completed", "closed")
    assert world.session.scalars(select(Referral.done_at).where(Referral.id == UUID(seen["id"]))).one() is not None
