"""Organizations and their places: bad words, strangers, wrong roles, broken rules; then done and on record."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from audit.models import AuditEvent
from referrals.kernel.actor import Role, Side, Source, nobody, system
from referrals.kernel.command import Command, execute
from referrals.kernel.errors import (
    ChangedMeanwhileError,
    InvalidInputError,
    NotFoundError,
    NotPermittedError,
    PreconditionNeededError,
    RuleBrokenError,
)
from referrals.kernel.session import HouseSession
from referrals.organization import commands as c
from referrals.organization import queries as q
from referrals.organization.models import (
    AlreadyInstalledError,
    Installation,
    Organization,
    OrganizationEndedError,
    PlaceEndedError,
    WrongSideError,
    working_day_after,
)
from tests.factories.organization import (
    CALIFORNIA,
    a_closing_day,
    a_community_organization,
    a_facility,
    a_location,
    a_room,
    a_working_day,
    an_agency,
    last_event,
    someone,
)

FIRST = {"name": "Sierra Department of Corrections", "time_zone": CALIFORNIA}
DESCRIBED = {"name": "Open Door Center", "city": "Oakland"}


def events(session: HouseSession) -> int:
    return session.execute(select(func.count()).select_from(AuditEvent)).scalar_one()


# --- install ---------------------------------------------------------------------------------------------------------


def test_the_migration_makes_the_one_row_before_any_event(session: HouseSession) -> None:
    row = q.installation(session)
    assert (row.sole, row.revision, row.installed_at, row.demo) == (1, 0, None, False)
    assert events(session) == 0


def test_nobody_who_is_signed_in_or_not_installs(session: HouseSession) -> None:
    target = q.installation(session).id
    for actor in (nobody(Source("page")), someone(None, Role.ADMINISTRATOR), someone(None, Role.AUDITOR)):
        with pytest.raises(NotPermittedError):
            execute(session, c.install, actor=actor, target=target, data=FIRST)
        event = last_event(session)
        assert (event["action"], event["outcome"], event["code"]) == (
            "organization.installed",
            "refused",
            "not_permitted",
        )
    assert session.scalars(select(Organization)).all() == []


def test_installing_names_every_fault_at_once_and_records_nothing(session: HouseSession) -> None:
    with pytest.raises(InvalidInputError) as refused:
        execute(
            session,
            c.install,
            actor=system(),
            target=q.installation(session).id,
            data={"name": " ", "time_zone": "Mars/Olympus", "side": "agency"},
        )
    assert refused.value.fields == {
        "name": ["required"],
        "time_zone": ["not_a_choice"],
        "side": ["unknown_field"],
    }
    assert events(session) == 0


def test_installing_makes_the_first_agency_and_is_the_first_revision_of_the_installation(
    session: HouseSession,
) -> None:
    target = q.installation(session).id
    agency = execute(session, c.install, actor=system("cli"), target=target, data=FIRST | {"demo": True})
    session.expire_all()
    row = q.installation(session)
    assert (row.demo, row.revision, row.installed_at is not None) == (True, 1, True)
    assert (agency.side, agency.part2_program, agency.time_zone) == (Side.AGENCY, "unknown", CALIFORNIA)
    event = last_event(session)
    assert (event["action"], event["outcome"], event["count"]) == ("organization.installed", "done", 2)


def test_it_is_installed_once(session: HouseSession) -> None:
    target = q.installation(session).id
    execute(session, c.install, actor=system("cli"), target=target, data=FIRST)
    with pytest.raises(AlreadyInstalledError):
        execute(session, c.install, actor=system("cli"), target=target, data=FIRST | {"name": "Another"})
    assert last_event(session)["code"] == "already_installed"
    assert [one.name for one in session.scalars(select(Organization))] == [FIRST["name"]]
    assert len(session.scalars(select(Installation)).all()) == 1


# --- organizations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "faults"),
    [
        ({"side": "neither"}, {"side": ["not_a_choice"]}),
        ({"website": "javascript:alert(1)"}, {"website": ["not_a_web_address"]}),
        ({"website": "https://user:secret@place.example/"}, {"website": ["not_a_web_address"]}),
        ({"email": "nobody"}, {"email": ["not_an_email"]}),
        ({"name": "A\x00B"}, {"name": ["not_text"]}),
        ({"name": "x" * 201}, {"name": ["too_long"]}),
        ({"description": "x" * 4001}, {"description": ["too_long"]}),
        ({"part2_program": "no"}, {"part2_program": ["unknown_field"]}),
        ({"name": ["A"]}, {"name": ["not_accepted"]}),
    ],
)
def test_adding_an_organization_refuses_bad_words(
    session: HouseSession, said: dict[str, Any], faults: dict[str, list[str]]
) -> None:
    data = {"name": "Open Door", "side": "community", "time_zone": CALIFORNIA} | said
    with pytest.raises(InvalidInputError) as refused:
        execute(session, c.add_organization, actor=system(), target=q.installation(session).id, data=data)
    assert refused.value.fields == faults


def test_only_who_runs_the_service_adds_an_organization(session: HouseSession) -> None:
    agency = an_agency(session)
    data = {"name": "Open Door", "side": "community", "time_zone": CALIFORNIA}
    with pytest.raises(NotPermittedError):
        execute(
            session,
            c.add_organization,
            actor=someone(agency, Role.ADMINISTRATOR, Role.SUPERVISOR),
            target=q.installation(session).id,
            data=data,
        )
    assert last_event(session)["outcome"] == "refused"


def test_whether_it_runs_a_part_2_program_is_unknown_until_somebody_says_so(session: HouseSession) -> None:
    joined = execute(
        session,
        c.add_organization,
        actor=system("cli"),
        target=q.installation(session).id,
        data={"name": "Open Door", "side": "community", "time_zone": CALIFORNIA},
    )
    assert joined.part2_program == "unknown"
    assert joined.may_be_part2


@pytest.mark.parametrize(("answer", "may_be"), [("yes", True), ("unknown", True), ("no", False)])
def test_an_administrator_says_so_on_record(session: HouseSession, answer: str, *, may_be: bool) -> None:
    community = a_community_organization(session, part2_program="unknown")
    actor = someone(community, Role.ADMINISTRATOR)
    row = execute(
        session,
        c.set_part2_program,
        actor=actor,
        target=community.id,
        data={"part2_program": answer, "because": "Our counsel looked at it."},
    )
    assert (row.part2_program, row.part2_said_by, row.may_be_part2) == (answer, actor.user_id, may_be)
    event = last_event(session)
    assert (event["action"], event["outcome"]) == ("organization.part2_program_set", "done")
    assert event["on"][0]["set"].get("part2_program", answer) == answer
    assert "counsel" not in str(event)


def test_part_2_is_not_said_by_others_nor_without_a_reason(session: HouseSession) -> None:
    community = a_community_organization(session, part2_program="unknown")
    other = a_community_organization(session, "Second Start")
    said = {"part2_program": "no", "because": "We do not."}
    with pytest.raises(InvalidInputError) as refused:
        execute(
            session,
            c.set_part2_program,
            actor=someone(community, Role.ADMINISTRATOR),
            target=community.id,
            data={"part2_program": "no"},
        )
    assert refused.value.fields == {"because": ["required"]}
    for role in (Role.NAVIGATOR, Role.SUPERVISOR, Role.AUDITOR):
        with pytest.raises(NotPermittedError):
            execute(session, c.set_part2_program, actor=someone(community, role), target=community.id, data=said)
        assert (last_event(session)["outcome"], last_event(session)["code"]) == ("refused", "not_permitted")
    with pytest.raises(NotFoundError):
        execute(
            session,
            c.set_part2_program,
            actor=someone(other, Role.ADMINISTRATOR),
            target=community.id,
            data=said,
        )
    session.expire_all()
    assert q.organization(session, community.id).part2_program == "unknown"


def test_an_organization_that_ended_changes_no_more(session: HouseSession) -> None:
    community = a_community_organization(session)
    with pytest.raises(NotPermittedError):
        execute(
            session,
            c.end_organization,
            actor=someone(community, Role.ADMINISTRATOR),
            target=community.id,
            data={},
        )
    execute(session, c.end_organization, actor=system("cli"), target=community.id, data={})
    assert last_event(session)["action"] == "organization.ended"
    for what, data in (
        (c.end_organization, {}),
        (c.set_part2_program, {"part2_program": "no", "because": "x"}),
        (c.add_location, {"name": "Annex"}),
    ):
        with pytest.raises(OrganizationEndedError):
            execute(session, what, actor=system("cli"), target=community.id, data=data)
    assert q.organizations().whereclause is not None
    assert community.id not in {one.id for one in session.scalars(q.organizations())}


def test_an_organization_is_described_anew_by_its_administrator_who_saw_it(session: HouseSession) -> None:
    community = a_community_organization(session)
    actor = someone(community, Role.ADMINISTRATOR)
    with pytest.raises(PreconditionNeededError):
        execute(session, c.change_organization, actor=actor, target=community.id, data=DESCRIBED)
    row = execute(session, c.change_organization, actor=actor, target=community.id, data=DESCRIBED, expect=1)
    assert (row.city, row.version) == ("Oakland", 2)
    with pytest.raises(ChangedMeanwhileError):
        execute(
            session,
            c.change_organization,
            actor=actor,
            target=community.id,
            data=DESCRIBED | {"city": "Berkeley"},
            expect=1,
        )
    assert last_event(session)["code"] == "changed_meanwhile"


def test_describing_it_as_it_is_changes_nothing_and_records_nothing(session: HouseSession) -> None:
    community = a_community_organization(session, city="Oakland")
    before = events(session)
    row = execute(
        session,
        c.change_organization,
        actor=someone(community, Role.ADMINISTRATOR),
        target=community.id,
        data=DESCRIBED,
        expect=1,
    )
    assert (row.version, events(session)) == (1, before)


# --- places ----------------------------------------------------------------------------------------------------------


def test_only_agencies_have_facilities_and_only_community_organizations_have_locations(session: HouseSession) -> None:
    agency, community = an_agency(session), a_community_organization(session)
    with pytest.raises(WrongSideError):
        a_facility(session, community)
    assert last_event(session)["code"] == "wrong_side"
    with pytest.raises(WrongSideError):
        a_location(session, agency)


@pytest.mark.parametrize(
    ("said", "faults"),
    [
        (
            {"latitude": "91", "longitude": "-180.0001"},
            {"latitude": ["not_a_coordinate"], "longitude": ["not_a_coordinate"]},
        ),
        ({"latitude": "NaN"}, {"latitude": ["not_a_coordinate"]}),
        ({"state": "California"}, {"state": ["not_a_state"]}),
        ({"postal_code": "9460"}, {"postal_code": ["not_a_postal_code"]}),
        ({"county_fips": "6001"}, {"county_fips": ["not_a_county_code"]}),
        ({"capacity": -1, "kind": "castle"}, {"capacity": ["out_of_range"], "kind": ["not_a_choice"]}),
        ({"name": "One\nTwo"}, {"name": ["one_line"]}),
    ],
)
def test_a_facility_refuses_bad_words(
    session: HouseSession, said: dict[str, Any], faults: dict[str, list[str]]
) -> None:
    agency = an_agency(session)
    with pytest.raises(InvalidInputError) as refused:
        a_facility(session, agency, **said)
    assert refused.value.fields == faults


def test_a_facility_keeps_every_digit_and_the_zone_of_its_agency(session: HouseSession) -> None:
    agency = an_agency(session)
    facility = a_facility(
        session, agency, latitude="35.97394934", longitude="-120.1231018", county_fips="06031", postal_code="93204"
    )
    session.expire_all()
    kept = q.facility(session, facility.id)
    assert (kept.latitude, kept.longitude, kept.county_fips) == ("35.97394934", "-120.1231018", "06031")
    assert (kept.time_zone, kept.version, kept.organization_id) == (CALIFORNIA, 1, agency.id)
    assert last_event(session)["action"] == "organization.facility_added"
    elsewhere = a_facility(session, agency, "Desert Annex", time_zone="America/Phoenix")
    assert elsewhere.time_zone == "America/Phoenix"


PLACES: list[tuple[Command[Any, Any], dict[str, Any], str]] = [
    (c.add_facility, {"name": "North Annex"}, "agency"),
    (c.change_facility, {"name": "North Annex"}, "facility"),
    (c.end_facility, {}, "facility"),
    (c.add_room, {"name": "Room 4", "seats": 6}, "facility"),
    (c.end_room, {}, "room"),
    (c.add_closing_day, {"closed_on": a_working_day(30), "because": "Staff training"}, "agency"),
    (c.withdraw_closing_day, {}, "closing_day"),
    (c.add_location, {"name": "Annex"}, "community"),
    (c.change_location, {"name": "Annex"}, "location"),
    (c.end_location, {}, "location"),
]


@pytest.mark.parametrize(("what", "data", "on"), PLACES, ids=lambda one: getattr(one, "name", ""))
def test_strangers_find_nothing_others_may_not_and_the_administrator_may(
    session: HouseSession, what: Command[Any, Any], data: dict[str, Any], on: str
) -> None:
    agency, community = an_agency(session), a_community_organization(session)
    facility = a_facility(session, agency)
    things = {
        "agency": agency,
        "community": community,
        "facility": facility,
        "room": a_room(session, agency, facility),
        "closing_day": a_closing_day(session, agency),
        "location": a_location(session, community),
    }
    owner = community if on in {"community", "location"} else agency
    target = things[on].id
    expect = 1 if what.edits else None

    stranger = someone(an_agency(session, "Another Department"), Role.ADMINISTRATOR)
    for actor, wanted in ((stranger, target), (stranger, uuid4()), (nobody(Source("page")), target)):
        with pytest.raises(NotFoundError):
            execute(session, what, actor=actor, target=wanted, data=data, expect=expect)
        event = last_event(session)
        assert (event["action"], event["outcome"], event["code"]) == (what.records, "refused", "not_found")

    for role in set(Role) - {Role.ADMINISTRATOR, Role.OPERATOR}:
        with pytest.raises(NotPermittedError):
            execute(session, what, actor=someone(owner, role), target=target, data=data, expect=expect)
        event = last_event(session)
        assert (event["action"], event["outcome"], event["code"]) == (what.records, "refused", "not_permitted")

    execute(session, what, actor=someone(owner, Role.ADMINISTRATOR), target=target, data=data, expect=expect)
    event = last_event(session)
    assert (event["action"], event["outcome"], event["purpose"]) == (what.records, "done", "administration")


def test_a_facility_is_described_anew_and_two_editors_do_not_overwrite_each_other(session: HouseSession) -> None:
    agency = an_agency(session)
    facility = a_facility(session, agency, city="Fresno", capacity=300)
    actor = someone(agency, Role.ADMINISTRATOR)
    said = {"name": "Pine Ridge Facility", "kind": "jail", "capacity": 280, "city": "Fresno"}
    row = execute(session, c.change_facility, actor=actor, target=facility.id, data=said, expect=1)
    assert (row.kind, row.capacity, row.version) == ("jail", 280, 2)
    event = last_event(session)
    assert event["fields"] == ["facility.capacity", "facility.kind", "facility.version"]
    with pytest.raises(ChangedMeanwhileError):
        execute(session, c.change_facility, actor=actor, target=facility.id, data=said, expect=1)


@pytest.mark.parametrize(
    ("on", "fault"),
    [
        ("2026-03-03", "not_ahead"),  # today there, though the next day in UTC
        ("2025-03-05", "not_ahead"),
        ("2027-03-05", "too_far_ahead"),
        ("2026-03-07", "no_working_day"),
        ("2026-05-25", "no_working_day"),  # Memorial Day
        ("2026-03-10", "announced_before"),
    ],
)
def test_a_closing_day_is_a_working_day_ahead(session: HouseSession, on: str, fault: str) -> None:
    session.info["clock"] = lambda: datetime(2026, 3, 4, 2, 30, tzinfo=UTC)
    agency = an_agency(session)
    warden = someone(agency, Role.ADMINISTRATOR)
    execute(
        session, c.add_closing_day, actor=warden, target=agency.id, data={"closed_on": "2026-03-10", "because": "Move"}
    )
    with pytest.raises(InvalidInputError) as refused:
        execute(session, c.add_closing_day, actor=warden, target=agency.id, data={"closed_on": on, "because": "Move"})
    assert refused.value.fields == {"closed_on": [fault]}
    found = q.closing_days(session, agency.id, date(2026, 3, 3))
    assert [(one.closed_on, one.because) for one in found] == [(date(2026, 3, 10), "Move")]


def test_there_are_at_most_thirty_closing_days_ahead(session: HouseSession) -> None:
    session.info["clock"] = lambda: datetime(2026, 3, 4, 17, tzinfo=UTC)
    agency = an_agency(session)
    warden = someone(agency, Role.ADMINISTRATOR)

    def close(on: date) -> None:
        words = {"closed_on": on.isoformat(), "because": "Inventory"}
        execute(session, c.add_closing_day, actor=warden, target=agency.id, data=words)

    for number in range(1, 31):
        close(working_day_after(date(2026, 3, 4), number))
    with pytest.raises(InvalidInputError) as refused:
        close(working_day_after(date(2026, 3, 4), 31))
    assert refused.value.fields == {"closed_on": ["too_many_closing_days"]}
    session.info["clock"] = lambda: datetime(2026, 3, 6, 17, tzinfo=UTC)  # the first of them is over
    close(working_day_after(date(2026, 3, 4), 31))


def test_a_closing_day_is_taken_back_only_while_it_lies_ahead(session: HouseSession) -> None:
    session.info["clock"] = lambda: datetime(2026, 3, 4, 17, tzinfo=UTC)
    agency = an_agency(session)
    warden = someone(agency, Role.ADMINISTRATOR)
    days = [
        execute(session, c.add_closing_day, actor=warden, target=agency.id, data={"closed_on": on, "because": "Move"})
        for on in ("2026-03-05", "2026-03-10")
    ]
    session.info["clock"] = lambda: datetime(2026, 3, 5, 17, tzinfo=UTC)
    with pytest.raises(RuleBrokenError) as passed:
        execute(session, c.withdraw_closing_day, actor=warden, target=days[0].id, data={})
    assert passed.value.code == "closing_day_passed"
    gone = execute(session, c.withdraw_closing_day, actor=warden, target=days[1].id, data={})
    assert (gone.withdrawn_at, gone.withdrawn_by) == (datetime(2026, 3, 5, 17, tzinfo=UTC), warden.user_id)
    with pytest.raises(RuleBrokenError) as twice:
        execute(session, c.withdraw_closing_day, actor=warden, target=days[1].id, data={})
    assert twice.value.code == "closing_day_withdrawn"
    assert [one.closed_on for one in q.closing_days(session, agency.id, date(2026, 1, 1))] == [date(2026, 3, 5)]
    execute(
        session, c.add_closing_day, actor=warden, target=agency.id, data={"closed_on": "2026-03-10", "because": "Again"}
    )


def test_places_that_ended_change_no_more_and_are_listed_no_more(session: HouseSession) -> None:
    agency, community = an_agency(session), a_community_organization(session)
    facility, location = a_facility(session, agency), a_location(session, community)
    room = a_room(session, agency, facility)
    warden, manager = someone(agency, Role.ADMINISTRATOR), someone(community, Role.ADMINISTRATOR)
    for what, actor, row in (
        (c.end_room, warden, room),
        (c.end_facility, warden, facility),
        (c.end_location, manager, location),
    ):
        execute(session, what, actor=actor, target=row.id, data={})
        with pytest.raises(PlaceEndedError):
            execute(session, what, actor=actor, target=row.id, data={})
    with pytest.raises(PlaceEndedError):
        execute(session, c.add_room, actor=warden, target=facility.id, data={"name": "Room", "seats": 1})
    with pytest.raises(PlaceEndedError):
        execute(session, c.change_facility, actor=warden, target=facility.id, data={"name": "x"}, expect=1)
    assert q.rooms(session, facility.id) == []
    assert session.scalars(q.facilities(agency.id)).all() == []
    assert session.scalars(q.locations(community.id)).all() == []
