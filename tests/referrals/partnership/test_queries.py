"""What upper rooms ask: which agreement joins whom, whoever asks in whichever order, and nothing of others'."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from referrals.kernel.actor import Role
from referrals.kernel.command import execute
from referrals.kernel.errors import NotFoundError
from referrals.kernel.record import clock
from referrals.kernel.session import HouseSession
from referrals.organization.queries import organization
from referrals.partnership import commands as c
from referrals.partnership import queries as q
from tests.factories.organization import a_community_organization, a_facility, an_agency, someone
from tests.factories.partnership import a_proposal, a_rule, an_agreement
from tests.factories.program import a_program
from tests.referrals.program.test_queries import statements


def test_strangers_and_random_ids_find_the_same_nothing(session: HouseSession) -> None:
    agency, community = an_agency(session), a_community_organization(session)
    agreement = an_agreement(session, agency, community)
    stranger = someone(a_community_organization(session, "Second Start"), Role.SUPERVISOR)
    for target in (agreement.id, uuid4()):
        with pytest.raises(NotFoundError):
            q.agreement(session, stranger, target)
    assert q.page(session, stranger) == ([], None)
    found = q.agreement(session, someone(community, Role.NAVIGATOR), agreement.id)
    assert (found.first.name, found.second.name) == (agency.name, community.name)


def test_an_agreement_is_found_for_each_pair_in_either_order(any_session: HouseSession) -> None:
    session = any_session
    agency, other = an_agency(session), an_agency(session, "Another Department")
    first, second = a_community_organization(session), a_community_organization(session, "Second Start")
    joined = an_agreement(session, agency, first)
    a_proposal(session, other, second)
    now = clock(session)
    pairs = [(first.id, agency.id), (agency.id, second.id), (other.id, second.id), (agency.id, agency.id)]
    found = q.agreements_among(session, pairs, now)
    assert {pair: one.id for pair, one in found.items()} == {frozenset((agency.id, first.id)): joined.id}
    assert q.agreements_among(session, [], now) == {}
    assert q.agreements_among(session, [(agency.id, second.id)], now) == {}
    assert session.scalars(q.partners(agency.id, now)).all() == [first.id]
    assert session.scalars(q.partners(first.id, now)).all() == [agency.id]
    assert session.scalars(q.partners(other.id, now)).all() == []


def test_it_expires_at_midnight_of_the_agencys_zone(any_session: HouseSession) -> None:
    session = any_session
    agency, community = an_agency(session), a_community_organization(session, time_zone="Pacific/Guam")
    today = clock(session).astimezone(agency.zone).date()
    agreement = an_agreement(session, agency, community, ends_on=today.isoformat())
    last = agreement.expires_at - timedelta(microseconds=1)
    assert last.astimezone(agency.zone).date() == today
    assert last.astimezone(community.zone).date() != today
    assert q.agreement_between(session, agency.id, community.id, last) is not None
    assert q.agreement_between(session, agency.id, community.id, agreement.expires_at) is None


def test_a_locked_agreement_that_another_ended_is_found_no_more(
    engine: Engine, open_on: Callable[[Engine], HouseSession]
) -> None:
    with open_on(engine) as session:
        agency, community = an_agency(session), a_community_organization(session)
        agreement = an_agreement(session, agency, community)
        pair, target, actor = (agency.id, community.id), agreement.id, someone(agency, Role.SUPERVISOR)
        held = q.agreement_between(session, *pair, clock(session), lock=True)
        assert held is not None
        session.rollback()
        with open_on(engine) as other:
            execute(
                other,
                c.end_agreement,
                actor=actor,
                target=target,
                data={"because": "We lost the grant."},
            )
        assert q.agreement_between(session, *pair, clock(session), lock=True) is None


def test_pages_go_from_the_newest_and_neither_skip_nor_repeat(session: HouseSession) -> None:
    agency = an_agency(session)
    rows = [
        a_proposal(session, agency, a_community_organization(session, f"Organization {number}")).id
        for number in range(5)
    ]
    actor = someone(agency, Role.CASE_MANAGER)
    seen, after = [], None
    for _ in range(3):
        page, after = q.page(session, actor, after=after, limit=2)
        seen += [row.id for row in page]
    assert seen == rows[::-1]
    assert after is None


def test_one_agreement_or_many_take_the_same_number_of_statements(session: HouseSession) -> None:
    agency = an_agency(session)
    actor = someone(agency, Role.CASE_MANAGER)
    target = None
    counts = []
    for batch in (1, 9):
        agency = organization(session, actor.organization)
        for number in range(batch):
            community = a_community_organization(session, f"Organization {batch}-{number}")
            agreement = an_agreement(session, agency, community)
            target = target or agreement.id
            rule = a_rule(session, q.agreement(session, actor, target), agency)
            assert rule.holds
        session.expunge_all()
        with statements(session) as seen:
            rows, _ = q.page(session, actor)
            names = [(row.first.name, row.second.name) for row in rows]
            assert target is not None
            whole = q.agreement(session, actor, target)
            kept = [len(one.acknowledgments) for one in whole.rules]
        counts.append((len(names), len(kept), len(seen)))
    assert [(rows, rules) for rows, rules, _ in counts] == [(1, 1), (10, 10)]
    assert counts[0][2] == counts[1][2]


def test_what_a_proposal_may_name_is_what_each_side_has(session: HouseSession) -> None:
    agency, community = an_agency(session), a_community_organization(session)
    facility, program = a_facility(session, agency), a_program(session, community)
    assert [one.id for one in session.scalars(q.possible_partners(agency))] == [community.id]
    peer = a_community_organization(session, "Zenith House")
    assert {one.id for one in session.scalars(q.possible_partners(agency))} == {community.id, peer.id}
    assert {one.id for one in session.scalars(q.possible_partners(community))} == {agency.id, peer.id}
    assert [one.id for one in q.facility_choices(session, agency.id)] == [facility.id]
    assert [one.id for one in q.program_choices(session, community.id)] == [program.id]


def test_one_keeps_the_partners_rules_not_ones_own(session: HouseSession) -> None:
    agency, community = an_agency(session), a_community_organization(session)
    agreement = an_agreement(session, agency, community)
    theirs = a_rule(session, agreement, agency)
    a_rule(session, agreement, community)
    found = q.rules_to_keep(session, someone(community, Role.NAVIGATOR), clock(session))
    assert [one.id for one in found] == [theirs.id]
