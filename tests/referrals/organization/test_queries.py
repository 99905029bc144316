"""The directory: who may read it, and pages that neither skip nor repeat."""

from __future__ import annotations

from uuid import uuid4

import pytest

from referrals.kernel.actor import Role, Side, Source, nobody, system
from referrals.kernel.errors import NotFoundError
from referrals.kernel.session import HouseSession
from referrals.organization import policy as p
from referrals.organization import queries as q
from tests.factories.organization import (
    a_community_organization,
    a_facility,
    a_location,
    a_room,
    an_agency,
    someone,
)


def test_nobody_who_is_not_signed_in_knows_of_an_organization(session: HouseSession) -> None:
    agency = an_agency(session)
    assert session.scalars(q.visible_to(nobody(Source("page")))).all() == []
    assert session.scalars(q.own(nobody(Source("page")))).all() == []
    assert [one.id for one in session.scalars(q.visible_to(someone(None, Role.NAVIGATOR)))] == [agency.id]


def test_one_acts_on_ones_own_organization_alone(session: HouseSession) -> None:
    agency, community = an_agency(session), a_community_organization(session)
    assert [one.id for one in session.scalars(q.own(someone(community, Role.ADMINISTRATOR)))] == [community.id]
    assert {one.id for one in session.scalars(q.own(system("cli")))} == {agency.id, community.id}


def test_what_does_not_exist_is_not_found(session: HouseSession) -> None:
    for read in (q.organization, q.facility):
        with pytest.raises(NotFoundError):
            read(session, uuid4())


def test_pages_go_by_name_and_neither_skip_nor_repeat(session: HouseSession) -> None:
    agency, community = an_agency(session), a_community_organization(session)
    for name in ("Delta", "Alpha", "Alpha", "Charlie", "Bravo"):
        a_facility(session, agency, name)
        a_location(session, community, name)
    for page, owner in ((q.facility_page, agency), (q.location_page, community)):
        seen, after = [], None
        for _ in range(3):
            rows, after = page(session, owner.id, after=after, limit=2)
            seen += [row.name for row in rows]
        assert seen == ["Alpha", "Alpha", "Bravo", "Charlie", "Delta"]
        assert after is None


def test_names_come_in_one_query_and_only_for_what_exists(session: HouseSession) -> None:
    agency, community = an_agency(session), a_community_organization(session)
    facility = a_facility(session, agency)
    assert q.names(session, [agency.id, community.id, uuid4()]) == {
        agency.id: agency.name,
        community.id: community.name,
    }
    assert q.facility_names(session, [facility.id]) == {facility.id: facility.name}
    assert (q.names(session, []), q.facility_names(session, [])) == ({}, {})
    assert [one.id for one in session.scalars(q.organizations(side=Side.COMMUNITY))] == [community.id]


def test_an_administrator_administers_every_place_of_the_organization_and_nobody_elses(session: HouseSession) -> None:
    agency, community = an_agency(session), a_community_organization(session)
    facility, location = a_facility(session, agency), a_location(session, community)
    warden = someone(agency, Role.ADMINISTRATOR)
    room_id = a_room(session, agency, facility).id
    room = session.scalars(q.own_rooms(warden)).one()
    assert room.id == room_id
    assert all(p.administers_it(warden, thing) for thing in (agency, facility, room))
    assert not any(p.administers_it(warden, thing) for thing in (community, location))
    assert not p.administers_it(someone(agency, Role.SUPERVISOR), facility)
    assert p.operates(system("cli"), agency)
    assert not p.operates(warden, agency)
