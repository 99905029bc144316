"""Agreements and rules: bad words, strangers, wrong roles, broken rules; then done and on record."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, select

from referrals.kernel.actor import Actor, Role, Source, nobody, system
from referrals.kernel.command import Command, execute
from referrals.kernel.errors import (
    ChangedMeanwhileError,
    InvalidInputError,
    NotFoundError,
    NotPermittedError,
    PreconditionNeededError,
    RuleBrokenError,
)
from referrals.kernel.record import clock
from referrals.kernel.session import HouseSession
from referrals.organization import commands as organizations
from referrals.organization.models import Organization, OrganizationEndedError
from referrals.partnership import commands as c
from referrals.partnership import queries as q
from referrals.partnership.models import (
    Agreement,
    AgreementOverError,
    AlreadyAcknowledgedError,
    AlreadySignedError,
    NotAnAgencyRuleError,
    OverlappingAgreementError,
    PartnerRule,
    RuleAcknowledgment,
    RuleRetiredError,
    SameSideError,
)
from tests.factories.organization import (
    a_community_organization,
    a_facility,
    an_agency,
    last_event,
    someone,
)
from tests.factories.partnership import a_proposal, a_rule, an_agreement, signed, terms
from tests.factories.program import a_program, acting


@pytest.fixture
def agency(session: HouseSession) -> Organization:
    return an_agency(session)


@pytest.fixture
def community(session: HouseSession) -> Organization:
    return a_community_organization(session)


@pytest.fixture
def today(session: HouseSession, agency: Organization) -> date:
    return clock(session).astimezone(agency.zone).date()


# --- proposing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "faults"),
    [
        ({"starts_on": "2026-02-30"}, {"starts_on": ["not_a_date"]}),
        ({"categories": []}, {"categories": ["required"]}),
        ({"purposes": ["gossip"]}, {"purposes.0": ["not_a_choice"]}),
        ({"categories": ["identity", "identity"]}, {"categories": ["repeated"]}),
        ({"partner_id": str(uuid4())}, {"partner_id": ["not_a_choice"]}),
        ({"ends_on": "2020-01-01"}, {"ends_on": ["ends_before_start", "over_already"]}),
        ({"ends_on": "2099-01-01"}, {"ends_on": ["term_too_long"]}),
        ({"facility_ids": [str(uuid4())]}, {"facility_ids": ["not_a_choice"]}),
        ({"agency_signed_at": "2026-01-01"}, {"agency_signed_at": ["unknown_field"]}),
    ],
)
def test_a_proposal_refuses_bad_words(
    session: HouseSession,
    agency: Organization,
    community: Organization,
    said: dict[str, Any],
    faults: dict[str, Any],
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        a_proposal(session, agency, community, **said)
    assert refused.value.fields == faults
    assert session.scalars(select(Agreement)).all() == []


def test_all_faults_of_the_terms_come_at_once(
    session: HouseSession, agency: Organization, community: Organization
) -> None:
    other = a_community_organization(session, "Second Start")
    with pytest.raises(InvalidInputError) as refused:
        a_proposal(
            session,
            agency,
            community,
            ends_on="2099-01-01",
            facility_ids=[str(uuid4())],
            program_ids=[str(a_program(session, other).id)],
        )
    assert set(refused.value.fields) == {"ends_on", "facility_ids", "program_ids"}


def test_an_agreement_joins_two_sides_that_take_part(
    session: HouseSession, agency: Organization, community: Organization
) -> None:
    with pytest.raises(SameSideError):
        a_proposal(session, agency, an_agency(session, "Another Department"))
    assert last_event(session)["code"] == "same_side"
    with pytest.raises(SameSideError):
        a_proposal(session, agency, agency)
    execute(session, organizations.end_organization, actor=system("cli"), target=community.id, data={})
    with pytest.raises(OrganizationEndedError):
        a_proposal(session, agency, community)


def test_only_supervisors_propose_and_only_for_their_own_organization(
    session: HouseSession, agency: Organization, community: Organization, today: date
) -> None:
    data = {"partner_id": str(community.id)} | terms(today)
    for role in set(Role) - {Role.SUPERVISOR, Role.OPERATOR}:
        with pytest.raises(NotPermittedError):
            execute(session, c.propose_agreement, actor=someone(agency, role), target=agency.id, data=data)
        assert last_event(session)["outcome"] == "refused"
    with pytest.raises(NotPermittedError):
        execute(session, c.propose_agreement, actor=system("cli"), target=agency.id, data=data)
    for actor in (someone(community, Role.SUPERVISOR), nobody(Source("page"))):
        with pytest.raises(NotFoundError):
            execute(session, c.propose_agreement, actor=actor, target=agency.id, data=data)


@pytest.mark.parametrize("from_agency", [True, False])
def test_either_side_proposes_and_nothing_holds_until_both_have_signed(
    session: HouseSession, agency: Organization, community: Organization, *, from_agency: bool
) -> None:
    mine, theirs = (agency, community) if from_agency else (community, agency)
    facility, program = a_facility(session, agency), a_program(session, community)
    proposal = a_proposal(session, mine, theirs, facility_ids=[str(facility.id)], program_ids=[str(program.id)])
    assert (proposal.agency_id, proposal.community_id) == (agency.id, community.id)
    assert (proposal.facility_ids, proposal.program_ids) == ([str(facility.id)], [str(program.id)])
    assert proposal.time_zone == agency.time_zone
    assert last_event(session)["action"] == "partnership.agreement_proposed"
    assert q.agreement_between(session, agency.id, community.id, clock(session)) is None
    signed(session, proposal, mine)
    assert q.agreement_between(session, agency.id, community.id, clock(session)) is None
    signed(session, proposal, theirs)
    event = last_event(session)
    assert (event["action"], event["outcome"]) == ("partnership.agreement_signed", "done")
    for a, b in ((agency, community), (community, agency)):
        held = q.agreement_between(session, a.id, b.id, clock(session))
        assert held is not None
        assert held.id == proposal.id


# --- every verb on an agreement or a rule ----------------------------------------------------------------------------

VERBS: list[tuple[Command[Any, Any], Callable[[Agreement], dict[str, Any]]]] = [
    (c.change_agreement, lambda row: {**terms(row.starts_on), "purposes": ["referral"]}),
    (c.sign_agreement, lambda row: {"terms": row.terms}),
    (c.end_agreement, lambda _: {"because": "We lost the grant."}),
    (c.add_rule, lambda _: {"kind": "non_negotiable", "wording": "Phones stay outside."}),
]


@pytest.mark.parametrize(("what", "words"), VERBS, ids=lambda one: getattr(one, "name", ""))
@pytest.mark.parametrize("at_agency", [True, False])
def test_strangers_find_nothing_others_may_not_and_supervisors_of_either_side_may(
    session: HouseSession,
    agency: Organization,
    community: Organization,
    what: Command[Any, Any],
    words: Callable[[Agreement], dict[str, Any]],
    *,
    at_agency: bool,
) -> None:
    proposal = a_proposal(session, agency, community)
    data, expect = words(proposal), proposal.version if what.edits else None
    mine = agency if at_agency else community
    for stranger in (
        someone(an_agency(session, "Another Department"), Role.SUPERVISOR),
        someone(a_community_organization(session, "Second Start"), Role.SUPERVISOR),
        nobody(Source("page")),
        system("cli"),
    ):
        for target in (proposal.id, uuid4()):
            with pytest.raises(NotFoundError):
                execute(session, what, actor=stranger, target=target, data=data, expect=expect)
            event = last_event(session)
            assert (event["action"], event["outcome"], event["code"]) == (what.records, "refused", "not_found")
    for role in set(Role) - {Role.SUPERVISOR, Role.OPERATOR}:
        with pytest.raises(NotPermittedError):
            execute(session, what, actor=someone(mine, role), target=proposal.id, data=data, expect=expect)
        assert last_event(session)["code"] == "not_permitted"
    execute(session, what, actor=someone(mine, Role.SUPERVISOR), target=proposal.id, data=data, expect=expect)
    assert (last_event(session)["action"], last_event(session)["outcome"]) == (what.records, "done")


# --- changing and signing --------------------------------------------------------------------------------------------


def test_a_changed_proposal_needs_both_signatures_anew(
    session: HouseSession, agency: Organization, community: Organization, today: date
) -> None:
    proposal = signed(session, a_proposal(session, agency, community), agency)
    seen = proposal.terms
    editor = someone(community, Role.SUPERVISOR)
    data = terms(today, categories=["identity", "release"])
    with pytest.raises(PreconditionNeededError):
        execute(session, c.change_agreement, actor=editor, target=proposal.id, data=data)
    with pytest.raises(ChangedMeanwhileError):
        execute(session, c.change_agreement, actor=editor, target=proposal.id, data=data, expect=1)
    row = execute(session, c.change_agreement, actor=editor, target=proposal.id, data=data, expect=proposal.version)
    assert (row.agency_signed_at, row.agency_signed_by, row.categories) == (None, None, ["identity", "release"])
    event = last_event(session)
    assert {"agreement.first_signed_at", "agreement.categories"} <= set(event["fields"])

    for organization in (agency, community):
        with pytest.raises(ChangedMeanwhileError):
            execute(
                session,
                c.sign_agreement,
                actor=someone(organization, Role.SUPERVISOR),
                target=proposal.id,
                data={"terms": seen},
            )
    signed(session, row, community, agency)
    with pytest.raises(AlreadySignedError):
        execute(
            session,
            c.change_agreement,
            actor=editor,
            target=proposal.id,
            data=terms(today),
            expect=q.agreement(session, editor, proposal.id).version,
        )


def test_one_side_signs_once_and_never_for_the_other(
    session: HouseSession, agency: Organization, community: Organization
) -> None:
    proposal = signed(session, a_proposal(session, agency, community), agency)
    with pytest.raises(AlreadySignedError):
        signed(session, proposal, agency)
    with pytest.raises(InvalidInputError):
        execute(
            session,
            c.sign_agreement,
            actor=someone(agency, Role.SUPERVISOR),
            target=proposal.id,
            data={"terms": proposal.terms, "side": "community"},
        )
    session.expire_all()
    row = q.agreement(session, someone(agency, Role.SUPERVISOR), proposal.id)
    assert (row.is_signed, row.community_signed_by) == (False, None)


def test_two_agreements_of_one_pair_never_run_in_the_same_days(
    session: HouseSession, agency: Organization, community: Organization, today: date
) -> None:
    first = an_agreement(session, agency, community, ends_on=(today + timedelta(days=30)).isoformat())
    second = signed(session, a_proposal(session, community, agency), community)
    with pytest.raises(OverlappingAgreementError):
        signed(session, second, agency)
    assert last_event(session)["code"] == "overlapping_agreement"
    later = {
        "starts_on": (today + timedelta(days=31)).isoformat(),
        "ends_on": (today + timedelta(days=400)).isoformat(),
    }
    renewal = an_agreement(session, agency, community, **later)
    for moment, holds in (
        (clock(session), first),
        (first.expires_at, renewal),
        (first.expires_at - timedelta(microseconds=1), first),
    ):
        held = q.agreement_between(session, agency.id, community.id, moment)
        assert held is not None
        assert held.id == holds.id


def test_of_two_proposals_signed_at_once_one_takes_effect(
    engine: Engine, open_on: Callable[[Engine], HouseSession]
) -> None:
    with open_on(engine) as session:
        agency, community = an_agency(session), a_community_organization(session)
        rows = [signed(session, a_proposal(session, agency, community), agency).id for _ in range(2)]
        actor = someone(community, Role.SUPERVISOR)
    together = threading.Barrier(2)

    def sign(row: UUID) -> str:
        with open_on(engine) as mine:
            together.wait()
            try:
                execute(mine, c.sign_agreement, actor=actor, target=row, data={"terms": 1})
            except RuleBrokenError as refusal:
                return refusal.code
            return "done"

    with ThreadPoolExecutor(2) as hands:
        answers = sorted(hands.map(sign, rows))
    assert answers == ["done", "overlapping_agreement"]


# --- ending ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_agency", [True, False])
def test_either_side_alone_ends_it_and_it_holds_no_more_from_that_instant(
    session: HouseSession, agency: Organization, community: Organization, *, by_agency: bool
) -> None:
    agreement = an_agreement(session, agency, community)
    mine = agency if by_agency else community
    actor = someone(mine, Role.SUPERVISOR)
    with pytest.raises(InvalidInputError):
        execute(session, c.end_agreement, actor=actor, target=agreement.id, data={"because": " \n"[:0]})
    row = execute(session, c.end_agreement, actor=actor, target=agreement.id, data={"because": "We lost the grant."})
    assert (row.ended_by, row.ended_by_org) == (actor.user_id, mine.id)
    assert "grant" not in str(last_event(session))
    assert q.agreement_between(session, agency.id, community.id, clock(session)) is None
    assert row.ended_at is not None
    just_before = q.agreement_between(session, agency.id, community.id, row.ended_at - timedelta(microseconds=1))
    assert just_before is not None
    for what, data in (
        (c.end_agreement, {"because": "Again."}),
        (c.sign_agreement, {"terms": 1}),
        (c.add_rule, {"kind": "non_negotiable", "wording": "x"}),
    ):
        with pytest.raises(AgreementOverError):
            execute(session, what, actor=actor, target=agreement.id, data=data)


def test_an_organization_that_leaves_takes_its_agreements_with_it(
    session: HouseSession, agency: Organization, community: Organization
) -> None:
    an_agreement(session, agency, community)
    assert q.agreement_between(session, agency.id, community.id, clock(session)) is not None
    execute(session, organizations.end_organization, actor=system("cli"), target=community.id, data={})
    assert q.agreement_between(session, agency.id, community.id, clock(session)) is None
    assert session.scalars(q.partners(agency.id, clock(session))).all() == []


# --- rules -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "faults"),
    [
        ({"kind": "wish"}, {"kind": ["not_a_choice"]}),
        ({"wording": ""}, {"wording": ["required"]}),
        ({"wording": "x" * 2001}, {"wording": ["too_long"]}),
        ({"facility_id": str(uuid4())}, {"facility_id": ["only_for_facility_rules"]}),
        ({"kind": "facility_rule", "facility_id": str(uuid4())}, {"facility_id": ["not_a_choice"]}),
    ],
)
def test_a_rule_refuses_bad_words(
    session: HouseSession,
    agency: Organization,
    community: Organization,
    said: dict[str, Any],
    faults: dict[str, Any],
) -> None:
    proposal = a_proposal(session, agency, community)
    with pytest.raises(InvalidInputError) as refused:
        a_rule(session, proposal, agency, **said)
    assert refused.value.fields == faults


def test_facility_rules_are_the_agencys_and_for_facilities_the_agreement_covers(
    session: HouseSession, agency: Organization, community: Organization
) -> None:
    covered, other = a_facility(session, agency, "Pine Ridge"), a_facility(session, agency, "Oak Valley")
    proposal = a_proposal(session, agency, community, facility_ids=[str(covered.id)])
    with pytest.raises(NotAnAgencyRuleError):
        a_rule(session, proposal, community, kind="facility_rule")
    with pytest.raises(InvalidInputError):
        a_rule(session, proposal, agency, kind="facility_rule", facility_id=str(other.id))
    rule = a_rule(session, proposal, agency, kind="facility_rule", facility_id=str(covered.id))
    assert (rule.facility_id, rule.organization_id) == (covered.id, agency.id)
    assert a_rule(session, proposal, agency, kind="facility_rule").facility_id is None


def test_a_rule_is_retired_by_its_own_side_alone(
    session: HouseSession, agency: Organization, community: Organization
) -> None:
    rule = a_rule(session, a_proposal(session, agency, community), agency)
    stranger = someone(a_community_organization(session, "Second Start"), Role.SUPERVISOR)
    for actor, refusal in (
        (stranger, NotFoundError),
        (nobody(Source("page")), NotFoundError),
        (someone(community, Role.SUPERVISOR), NotPermittedError),
        (someone(agency, Role.ADMINISTRATOR), NotPermittedError),
    ):
        with pytest.raises(refusal):
            execute(session, c.retire_rule, actor=actor, target=rule.id, data={})
        assert last_event(session)["outcome"] == "refused"
    supervisor = someone(agency, Role.SUPERVISOR)
    execute(session, c.retire_rule, actor=supervisor, target=rule.id, data={})
    assert (last_event(session)["action"], last_event(session)["outcome"]) == ("partnership.rule_retired", "done")
    with pytest.raises(RuleRetiredError):
        execute(session, c.retire_rule, actor=supervisor, target=rule.id, data={})
    with pytest.raises(RuleRetiredError):
        execute(session, c.acknowledge_rule, actor=acting(session, community, Role.NAVIGATOR), target=rule.id, data={})


def test_a_rule_is_acknowledged_by_people_of_the_other_side_by_name_and_day_once(
    session: HouseSession, agency: Organization, community: Organization
) -> None:
    rule = a_rule(session, an_agreement(session, agency, community), agency)
    navigator = acting(session, community, Role.NAVIGATOR)

    def acknowledge(actor: Actor, target: UUID = rule.id, **data: Any) -> RuleAcknowledgment:
        return execute(session, c.acknowledge_rule, actor=actor, target=target, data=data)

    stranger = someone(a_community_organization(session, "Second Start"), Role.NAVIGATOR)
    for actor, target in ((stranger, rule.id), (stranger, uuid4()), (nobody(Source("page")), rule.id)):
        with pytest.raises(NotFoundError):
            acknowledge(actor, target)
    for actor in (
        someone(agency, Role.CASE_MANAGER),
        someone(community, Role.ADMINISTRATOR),
        someone(community, Role.AUDITOR),
    ):
        with pytest.raises(NotPermittedError):
            acknowledge(actor)
    with pytest.raises(InvalidInputError):
        acknowledge(navigator, user_id=str(uuid4()))

    assert [one.id for one in q.rules_to_keep(session, navigator, clock(session))] == [rule.id]
    made = acknowledge(navigator)
    assert (made.user_id, made.rule_id) == (navigator.user_id, rule.id)
    event = last_event(session)
    assert (event["action"], event["outcome"], event["actor"]["id"]) == (
        "partnership.rule_acknowledged",
        "done",
        str(navigator.user_id),
    )
    with pytest.raises(AlreadyAcknowledgedError):
        acknowledge(navigator)
    assert q.rules_to_keep(session, navigator, clock(session)) == []
    assert len(session.scalars(select(RuleAcknowledgment)).all()) == 1


def test_rules_of_an_agreement_that_is_over_need_no_acknowledgment(
    session: HouseSession, agency: Organization, community: Organization
) -> None:
    agreement = an_agreement(session, agency, community)
    rule = a_rule(session, agreement, community)
    officer = acting(session, agency, Role.SUPERVISING_OFFICER)
    assert len(q.rules_to_keep(session, officer, clock(session))) == 1
    execute(
        session,
        c.end_agreement,
        actor=someone(agency, Role.SUPERVISOR),
        target=agreement.id,
        data={"because": "We lost the grant."},
    )
    assert q.rules_to_keep(session, officer, clock(session)) == []
    with pytest.raises(AgreementOverError):
        execute(session, c.acknowledge_rule, actor=officer, target=rule.id, data={})
    assert isinstance(AgreementOverError(), RuleBrokenError)
    assert session.scalars(select(PartnerRule)).one().holds


# --- between two community organizations (decision 0020) -------------------------------------------------------------


@pytest.fixture
def peer(session: HouseSession) -> Organization:
    return a_community_organization(session, "Second Start", time_zone="Pacific/Guam")


def test_two_community_organizations_agree_and_neither_has_more_to_say(
    session: HouseSession, agency: Organization, community: Organization, peer: Organization
) -> None:
    ours, theirs = a_program(session, community), a_program(session, peer)
    proposal = a_proposal(session, peer, community, program_ids=[str(ours.id), str(theirs.id)])
    assert (proposal.agency_id, proposal.peer_id, proposal.community_id) == (None, peer.id, community.id)
    assert proposal.time_zone == "Pacific/Guam", "the days are those of whoever proposed"
    assert set(proposal.community_ids) == {community.id, peer.id}
    now = clock(session)
    for one, other in ((community, peer), (peer, community)):
        assert q.agreement_between(session, one.id, other.id, now) is None
    signed(session, proposal, community)
    assert q.agreement_between(session, community.id, peer.id, clock(session)) is None, "one signature binds nobody"
    signed(session, proposal, peer)
    for one, other in ((community, peer), (peer, community)):
        held = q.agreement_between(session, one.id, other.id, clock(session))
        assert held is not None
        assert held.id == proposal.id
        assert held.covers_facility(uuid4()), "it is not about facilities"
        assert session.scalars(q.partners(one.id, clock(session))).all() == [other.id]
    assert q.agreement_between(session, agency.id, peer.id, clock(session)) is None


def test_between_two_community_organizations_there_are_no_facilities_to_name(
    session: HouseSession, agency: Organization, community: Organization, peer: Organization
) -> None:
    facility = a_facility(session, agency)
    with pytest.raises(InvalidInputError) as refused:
        a_proposal(session, peer, community, facility_ids=[str(facility.id)])
    assert refused.value.fields == {"facility_ids": ["not_a_choice"]}
    third = a_program(session, a_community_organization(session, "Third Street"))
    with pytest.raises(InvalidInputError) as refused:
        a_proposal(session, peer, community, program_ids=[str(third.id)])
    assert refused.value.fields == {"program_ids": ["not_a_choice"]}
    proposal = a_proposal(session, peer, community)
    for one in (peer, community):
        with pytest.raises(NotAnAgencyRuleError):
            a_rule(session, proposal, one, kind="facility_rule")
        with pytest.raises(InvalidInputError):
            a_rule(session, proposal, one, kind="facility_rule", facility_id=str(facility.id))
        assert a_rule(session, proposal, one).organization_id == one.id
    with pytest.raises(SameSideError):
        a_proposal(session, community, community)


@pytest.mark.parametrize("by_proposer", [True, False])
def test_either_of_two_community_organizations_ends_it_alone(
    session: HouseSession, community: Organization, peer: Organization, *, by_proposer: bool
) -> None:
    held = an_agreement(session, peer, community)
    assert held.is_active(clock(session))
    actor = someone(peer if by_proposer else community, Role.SUPERVISOR)
    execute(session, c.end_agreement, actor=actor, target=held.id, data={"because": "The grant ended."})
    assert q.agreement_between(session, community.id, peer.id, clock(session)) is None
    assert q.agreement_between(session, peer.id, community.id, clock(session)) is None


def test_two_agreements_of_two_community_organizations_never_run_in_the_same_days_whoever_proposed(
    engine: Engine, open_on: Callable[[Engine], HouseSession]
) -> None:
    with open_on(engine) as session:
        one, other = a_community_organization(session), a_community_organization(session, "Second Start")
        rows = [
            (signed(session, a_proposal(session, mine, theirs), mine).id, someone(theirs, Role.SUPERVISOR))
            for mine, theirs in ((one, other), (other, one))
        ]
    together = threading.Barrier(2)

    def sign(row: tuple[UUID, Any]) -> str:
        with open_on(engine) as mine:
            together.wait()
            try:
                execute(mine, c.sign_agreement, actor=row[1], target=row[0], data={"terms": 1})
            except RuleBrokenError as refusal:
                return refusal.code
            return "done"

    with ThreadPoolExecutor(2) as hands:
        assert sorted(hands.map(sign, rows)) == ["done", "overlapping_agreement"]
