"""Importing: refusals and faults first; then rows that go in whole, runs that change nothing, and what stays ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text

from audit.models import AuditEvent
from referrals.exchange import commands as c
from referrals.exchange.models import ImportedFile
from referrals.kernel.actor import Actor, Role, system
from referrals.kernel.command import execute
from referrals.kernel.errors import InvalidInputError, KeyReusedError, NotFoundError, NotPermittedError
from referrals.kernel.session import HouseSession
from referrals.organization import commands as organizations
from referrals.organization.models import Facility, Location, Organization
from referrals.program import commands as programs
from referrals.program.models import Program
from tests.factories.exchange import (
    a_location,
    a_row,
    a_service,
    an_id,
    an_organization,
    as_csv,
    as_page,
    saved,
)
from tests.factories.organization import a_community_organization, an_agency, last_event, someone
from tests.factories.program import a_program

OPERATOR = system("cli")


def facilities(session: HouseSession, folder: Path, *rows: dict[str, str], **options: Any) -> c.Report:
    return c.import_facilities(session, OPERATOR, saved(folder, as_csv(*rows)), **options)


def services(session: HouseSession, folder: Path, *rows: Any, **options: Any) -> c.Report:
    return c.import_services(session, OPERATOR, saved(folder, as_page(*rows)), **options)


def tallied(report: c.Report) -> tuple[int, int, int, int]:
    return report.added, len(report.changed), report.unchanged, len(report.refused)


def counted(session: HouseSession, *kinds: Any) -> list[int]:
    session.rollback()
    return [session.scalar(select(func.count()).select_from(kind)) or 0 for kind in kinds]


def actions(session: HouseSession) -> list[str]:
    session.rollback()
    return list(session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)))


# --- who, and files that cannot be read -------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.OPERATOR])
def test_only_the_operator_imports_and_the_refusal_is_recorded(
    session: HouseSession, tmp_path: Path, role: Role
) -> None:
    agency = an_agency(session)
    actor = someone(agency, role)
    for run, content in ((c.import_facilities, as_csv(a_row())), (c.import_services, as_page(a_service()))):
        path = saved(tmp_path, content)
        with pytest.raises(NotPermittedError):
            run(session, actor, path, dry_run=True)
        with pytest.raises(NotPermittedError):
            run(session, actor, path)
        refusal = last_event(session)
        assert (refusal["outcome"], refusal["code"], refusal["actor"]["id"]) == (
            "refused",
            "not_permitted",
            str(actor.me),
        )
    assert counted(session, Facility, Program, ImportedFile) == [0, 0, 0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no rows"),
        (as_csv(a_row()).decode().encode("utf-16"), "not UTF-8"),
        (b"Name,State\nx,y\n", "columns are missing: Facility.ID, Jurisdiction"),
    ],
)
def test_an_unreadable_facilities_file_changes_nothing_and_says_why(
    session: HouseSession, tmp_path: Path, content: bytes, words: str
) -> None:
    before = actions(session)
    report = c.import_facilities(session, OPERATOR, saved(tmp_path, content))
    assert report.failed
    assert words in report.told()
    assert actions(session) == before


@pytest.mark.parametrize(
    ("content", "words"), [(b"[\n}", "not JSON (line 2)"), (b'{"a": 1}', "neither a page"), (b"\xff\xfe[]", "UTF-8")]
)
def test_an_unreadable_services_file_changes_nothing_and_says_why(
    session: HouseSession, tmp_path: Path, content: bytes, words: str
) -> None:
    before = actions(session)
    report = c.import_services(session, OPERATOR, saved(tmp_path, content))
    assert report.failed
    assert words in report.told()
    assert actions(session) == before


@pytest.mark.parametrize("named", ["Nowhere", "01890000-0000-7000-8000-000000000000", "Twins", "Open Door Center"])
def test_an_agency_that_is_none_or_not_one_stops_before_reading(
    session: HouseSession, tmp_path: Path, named: str
) -> None:
    an_agency(session, "Twins")
    an_agency(session, "twins")
    a_community_organization(session)
    report = facilities(session, tmp_path, a_row(), organization=named)
    assert report.failed
    assert "Nothing was read" in report.told()
    assert counted(session, Facility) == [0]


def test_without_a_log_no_row_goes_in_and_the_run_says_where_it_stopped(session: HouseSession, tmp_path: Path) -> None:
    session.rollback()
    with session.get_bind().connect() as connection:  # type: ignore[union-attr]  # an engine
        connection.execute(text("ALTER TABLE audit_event RENAME TO hidden_event"))
        connection.commit()
    report = facilities(session, tmp_path, a_row(1), a_row(2))
    assert report.stopped == (2, "unavailable")
    assert report.failed
    assert "STOPPED at line 2" in report.told()
    assert counted(session, Facility, Organization, ImportedFile) == [0, 0, 0]


# --- rows that do not go in -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "where", "why"),
    [
        ({"Name": "N" * 201}, "Name", "too_long"),
        ({"Facility_ID": "9" * 101}, "Facility.ID", "too_long"),
        ({"BJS_ID": "x" * 4001}, "BJS.ID", "too_long"),
        ({"Zipcode": "9320"}, "Zipcode", "not_a_postal_code"),
        ({"County_FIPS": "6031"}, "County.FIPS", "not_a_county_code"),
        ({"Latitude": "91"}, "Latitude", "not_a_coordinate"),
        ({"Longitude": "=A1"}, "Longitude", "not_a_coordinate"),
        ({"Capacity": "999999"}, "Capacity", "out_of_range"),
        ({"Website": "javascript:alert(1)"}, "Website", "not_a_web_address"),
        ({"City": "a\u2028b"}, "City", "one_line"),
        ({"Name": "a\x00b"}, "Name", "not_text"),
    ],
)
def test_a_refused_row_names_its_column_and_leaves_nothing_and_the_next_goes_in(
    any_session: HouseSession, tmp_path: Path, cells: dict[str, str], where: str, why: str
) -> None:
    report = facilities(any_session, tmp_path, a_row(1, Jurisdiction="federal", **cells), a_row(2))
    assert tallied(report) == (1, 0, 0, 1)
    assert (report.refused[0].at, report.refused[0].reasons) == (2, [(where, why)])
    assert report.failed
    assert f"line 2, {c.plain(a_row(1, **cells)['Name'])}" in report.told()
    # The refused row's agency is not there either: all or nothing.
    assert [one.name for one in any_session.scalars(select(Organization))] == ["California: state facilities"]


def test_a_service_that_fails_leaves_neither_organization_nor_location(
    any_session: HouseSession, tmp_path: Path
) -> None:
    bad = a_service("cellar", name="x" * 201)
    report = services(any_session, tmp_path, bad, a_service("bakery", phones=[{"id": an_id("p"), "number": "1" * 41}]))
    assert [row.reasons for row in report.refused] == [[("program.name", "too_long")], [("program.phone", "too_long")]]
    assert counted(any_session, Organization, Location, Program) == [0, 0, 0]
    assert report.organizations == []


def test_a_service_that_takes_nobody_is_not_added(session: HouseSession, tmp_path: Path) -> None:
    report = services(session, tmp_path, a_service(status="defunct"), a_service("bakery", status="inactive"))
    assert [row.reasons for row in report.refused] == [[("", "not_active")]] * 2
    assert not report.failed  # the file is right: there is just nothing to take in
    assert counted(session, Organization, Program) == [0, 0]


def test_an_organization_that_ended_gets_nothing_new(session: HouseSession, tmp_path: Path) -> None:
    services(session, tmp_path, a_service())
    ended = session.scalars(select(Organization)).one()
    execute(session, organizations.end_organization, actor=OPERATOR, target=ended.id, data={})
    second = a_service("bakery", organization=an_organization())
    report = services(session, tmp_path, second)
    assert report.refused[0].reasons == [("", "organization_ended")]


def test_a_dry_run_and_the_run_say_the_same_of_a_bad_file_and_only_one_writes(
    any_session: HouseSession, tmp_path: Path
) -> None:
    facilities(any_session, tmp_path, a_row(1), a_row(2))
    rows = (
        a_row(1),
        a_row(2, Name="RENAMED"),
        a_row(3, Description="Geographic"),
        a_row(4, Zipcode="?"),
        a_row(5, Jurisdiction="county"),
        a_row(6, Jurisdiction="county"),
        a_row(6),
    )
    before = actions(any_session)
    dry = facilities(any_session, tmp_path, *rows, dry_run=True)
    assert actions(any_session) == before
    real = facilities(any_session, tmp_path, *rows)
    assert dry.told().replace("Dry run: nothing was changed.\n", "") == real.told()
    assert tallied(real) == (2, 1, 1, 3)
    assert real.organizations == ["Kings County, California: county facilities"]

    mixed = (a_service(), a_service("bakery", id="x"), a_service("bakery"), a_service("inn", status="inactive"))
    dry = services(any_session, tmp_path, *mixed, dry_run=True)
    assert counted(any_session, Program) == [0]
    real = services(any_session, tmp_path, *mixed)
    assert dry.told().replace("Dry run: nothing was changed.\n", "") == real.told()
    assert tallied(real) == (2, 0, 0, 2)


# --- going in ---------------------------------------------------------------------------------------------------------


def test_a_facility_goes_in_with_its_agency_on_record_and_nothing_is_lost(
    any_session: HouseSession, tmp_path: Path
) -> None:
    report = facilities(any_session, tmp_path, a_row(83, Different_Operator="=cmd|' /C calc'!A0"))
    assert tallied(report) == (1, 0, 0, 0)
    kept = any_session.scalars(select(Facility)).one()
    agency = any_session.get(Organization, kept.organization_id)
    assert agency is not None
    assert (agency.name, agency.side, agency.part2_program, agency.time_zone) == (
        "California: state facilities",
        "agency",
        "unknown",
        "America/Los_Angeles",
    )
    assert (kept.name, kept.source, kept.source_id, kept.capacity) == ("PINE RIDGE 83", "facilities_csv", "83", 2920)
    cells = a_row(83, Different_Operator="=cmd|' /C calc'!A0")
    assert kept.source_fields == {name: cell for name, cell in cells.items() if cell != "NA"}
    assert actions(any_session) == ["exchange.facility_imported"] * 2 + ["exchange.file_imported"]
    told = [json.loads(body) for body in any_session.scalars(select(AuditEvent.body).order_by(AuditEvent.id))]
    assert {one["on"][0]["type"] for one in told[:2]} == {"organization", "facility"}
    assert [one["part"] for one in told[:2]] == [[1, 2], [2, 2]]
    run = told[2]["on"][0]["set"]
    assert {name: run[name] for name in ("format", "added", "changed", "unchanged", "refused")} == {
        "format": "facilities_csv",
        "added": 1,
        "changed": 0,
        "unchanged": 0,
        "refused": 0,
    }
    assert "PINE RIDGE" not in json.dumps(told)


def test_a_service_goes_in_with_its_organization_and_places_on_record(
    any_session: HouseSession, tmp_path: Path
) -> None:
    places = [{"id": an_id(f"at {word}"), "location": a_location(word)} for word in ("kitchen", "cellar")]
    service = a_service(
        service_at_locations=places, languages=[{"id": an_id("l"), "code": "ES"}, {"id": an_id("k"), "code": "tlh"}]
    )
    report = services(any_session, tmp_path, service)
    assert tallied(report) == (1, 0, 0, 0)
    program = any_session.scalars(select(Program)).one()
    organization = any_session.get(Organization, program.organization_id)
    standing = {str(one.source_id): one for one in any_session.scalars(select(Location))}
    assert organization is not None
    assert (organization.name, organization.city, organization.part2_program, organization.source_id) == (
        "Friends of the kitchen",
        "Oakland",
        "unknown",
        an_id("organization kitchen"),
    )
    assert set(standing) == {an_id("location kitchen"), an_id("location cellar")}
    assert program.location_id == standing[an_id("location kitchen")].id
    assert (program.categories, program.languages) == (["food", "id_documents"], ["es"])
    assert program.source_fields == service
    assert report.notes == {("languages: tlh", "no_such_code"): [1]}
    assert "schedules" in report.told()
    assert actions(any_session) == ["exchange.service_imported"] * 4 + ["exchange.file_imported"]


def test_services_of_one_organization_share_it(session: HouseSession, tmp_path: Path) -> None:
    report = services(
        session, tmp_path, a_service(), a_service("bakery", organization=an_organization(), service_at_locations=[])
    )
    assert tallied(report) == (2, 0, 0, 0)
    assert counted(session, Organization, Location, Program) == [1, 1, 2]
    assert report.organizations == ["Friends of the kitchen"]


def test_what_is_closed_for_now_says_that_it_has_no_room(any_session: HouseSession, tmp_path: Path) -> None:
    report = services(any_session, tmp_path, a_service(status="temporarily closed"))
    assert tallied(report) == (1, 0, 0, 0)
    program = any_session.scalars(select(Program)).one()
    assert (program.capacity_code, program.closed_at) == ("no_capacity", None)
    assert tallied(services(any_session, tmp_path, a_service(status="temporarily closed"))) == (0, 0, 1, 0)


def test_all_facilities_may_be_one_agencys(session: HouseSession, tmp_path: Path) -> None:
    agency = an_agency(session)
    report = facilities(session, tmp_path, a_row(1), a_row(2, Jurisdiction="federal"), organization=agency.name.upper())
    assert tallied(report) == (2, 0, 0, 0)
    assert report.organizations == []
    assert {one.organization_id for one in session.scalars(select(Facility))} == {agency.id}
    assert tallied(facilities(session, tmp_path, a_row(1), organization=str(agency.id))) == (0, 0, 1, 0)
    other = an_agency(session, "Delta Probation")
    moved = facilities(session, tmp_path, a_row(1), organization=str(other.id))
    assert moved.refused[0].reasons == [("", "other_agency")]


def test_an_agency_of_the_same_name_is_pointed_out(session: HouseSession, tmp_path: Path) -> None:
    an_agency(session, "California: STATE facilities")
    report = facilities(session, tmp_path, a_row(1))
    assert "an organization of this name is here already" in report.told()


# --- running twice ----------------------------------------------------------------------------------------------------


def test_a_second_run_changes_nothing_and_leaves_no_event_of_a_row(any_session: HouseSession, tmp_path: Path) -> None:
    facilities(any_session, tmp_path, a_row(1), a_row(2))
    services(any_session, tmp_path, a_service(), a_service("bakery"))
    before = actions(any_session)
    assert tallied(facilities(any_session, tmp_path, a_row(1), a_row(2))) == (0, 0, 2, 0)
    assert tallied(services(any_session, tmp_path, a_service(), a_service("bakery"))) == (0, 0, 2, 0)
    assert actions(any_session) == [*before, "exchange.file_imported", "exchange.file_imported"]
    assert {one.version for one in any_session.scalars(select(Facility))} == {1}


def test_what_the_source_changed_is_taken_over(any_session: HouseSession, tmp_path: Path) -> None:
    facilities(any_session, tmp_path, a_row(1))
    report = facilities(any_session, tmp_path, a_row(1, Capacity="100", City="NA", HIFLD_ID="77"))
    assert [(one.fields, one.kept) for one in report.changed] == [(["capacity", "city"], [])]
    kept = any_session.scalars(select(Facility)).one()
    assert (kept.capacity, kept.city, kept.version) == (100, None, 2)
    assert kept.source_fields is not None
    assert kept.source_fields["HIFLD.ID"] == "77"
    only_beside = facilities(any_session, tmp_path, a_row(1, Capacity="100", City="NA", HIFLD_ID="78"))
    assert "only what is kept beside the fields" in only_beside.told()
    assert tallied(facilities(any_session, tmp_path, a_row(1, Capacity="100", City="NA", HIFLD_ID="78"))) == (
        0,
        0,
        1,
        0,
    )


def test_what_a_service_changed_is_taken_over_thing_by_thing(any_session: HouseSession, tmp_path: Path) -> None:
    services(any_session, tmp_path, a_service())
    moved = a_location()
    moved["addresses"][0]["address_1"] = "9 New Street"
    changed = a_service(
        description="Soup.",
        organization=an_organization(name="Kitchen Friends"),
        service_at_locations=[
            {"id": an_id("at kitchen"), "location": moved},
            {"id": an_id("at cellar"), "location": a_location("cellar")},
        ],
    )
    report = services(any_session, tmp_path, changed)
    assert [one.fields for one in report.changed] == [["location.address", "organization.name", "program.description"]]
    assert any_session.scalars(select(Program.description)).one() == "Soup."
    assert any_session.scalars(select(Organization.name)).one() == "Kitchen Friends"
    assert sorted(any_session.scalars(select(Location.address))) == [
        "2500 Orchard Ave, Back door",
        "9 New Street, Back door",
    ]
    assert tallied(services(any_session, tmp_path, changed)) == (0, 0, 1, 0)


def test_what_somebody_changed_here_is_not_overwritten(any_session: HouseSession, tmp_path: Path) -> None:
    facilities(any_session, tmp_path, a_row(1))
    kept = any_session.scalars(select(Facility)).one()
    owner = any_session.get(Organization, kept.organization_id)
    words = {"name": "Pine Ridge State Prison", "capacity": 55, "city": "ORCHARD", "state": "CA", "kind": "prison"}
    execute(
        any_session,
        organizations.change_facility,
        actor=someone(owner, Role.ADMINISTRATOR),
        target=kept.id,
        data=words,
        expect=1,
    )
    assert tallied(facilities(any_session, tmp_path, a_row(1))) == (0, 0, 1, 0)
    report = facilities(any_session, tmp_path, a_row(1, Name="PINE RIDGE SP", City="ELSEWHERE"))
    assert [(one.fields, one.kept) for one in report.changed] == [(["city"], ["name"])]
    assert "changed here too, so left as it is: name" in report.told()
    kept = any_session.scalars(select(Facility)).one()
    assert (kept.name, kept.capacity, kept.city) == ("Pine Ridge State Prison", 55, "ELSEWHERE")


def test_a_facility_no_longer_used_is_left_alone_until_its_source_says_something_new(
    session: HouseSession, tmp_path: Path
) -> None:
    facilities(session, tmp_path, a_row(1))
    kept = session.scalars(select(Facility)).one()
    owner = session.get(Organization, kept.organization_id)
    execute(
        session,
        organizations.end_facility,
        actor=someone(owner, Role.ADMINISTRATOR),
        target=kept.id,
        data={},
    )
    assert tallied(facilities(session, tmp_path, a_row(1))) == (0, 0, 1, 0)
    assert facilities(session, tmp_path, a_row(1, City="X")).refused[0].reasons == [("", "place_ended")]


def test_a_program_closes_when_its_source_says_so_and_stays_closed(any_session: HouseSession, tmp_path: Path) -> None:
    services(any_session, tmp_path, a_service())
    report = services(any_session, tmp_path, a_service(status="defunct"))
    assert len(report.changed) == 1
    program = any_session.scalars(select(Program)).one()
    assert program.closed_at is not None
    assert program.closed_because == "Its source says: defunct."
    assert tallied(services(any_session, tmp_path, a_service(status="defunct"))) == (0, 0, 1, 0)
    assert services(any_session, tmp_path, a_service()).refused[0].reasons == [("", "program_closed")]


def test_a_program_that_its_people_described_keeps_their_words(session: HouseSession, tmp_path: Path) -> None:
    services(session, tmp_path, a_service())
    program = session.scalars(select(Program)).one()
    owner = session.get(Organization, program.organization_id)
    data = {"name": "Kitchen and company", "categories": ["food"], "languages": ["en", "es"]}
    supervisor: Actor = someone(owner, Role.SUPERVISOR)
    execute(session, programs.change_program, actor=supervisor, target=program.id, data=data, expect=1)
    report = services(session, tmp_path, a_service(name="The big kitchen", email="new@example.org"))
    assert report.changed[0].kept == ["program.email", "program.name"]
    assert session.scalars(select(Program.name)).one() == "Kitchen and company"


# --- an organization's own files --------------------------------------------------------------------------------------


def administrator(organization: Organization) -> Actor:
    return someone(organization, Role.ADMINISTRATOR)


def own(session: HouseSession, actor: Actor, content: bytes, **options: Any) -> c.Report:
    return c.read_file_in(session, actor, name="made-up", content=content, **options)


def kitchen(session: HouseSession, **said: Any) -> Organization:
    """An organization that is called as the services' provider is."""
    return a_community_organization(session, "FRIENDS of the kitchen", **said)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMINISTRATOR])
@pytest.mark.parametrize("dry_run", [True, False])
def test_only_an_administrator_reads_a_file_in_and_the_refusal_is_recorded(
    session: HouseSession, role: Role, *, dry_run: bool
) -> None:
    for organization, content in (
        (an_agency(session), as_csv(a_row())),
        (kitchen(session), as_page(a_service())),
    ):
        actor = someone(organization, role)
        with pytest.raises(NotPermittedError):
            own(session, actor, content, dry_run=dry_run)
        refusal = last_event(session)
        assert (refusal["outcome"], refusal["code"], refusal["actor"]["id"], refusal["action"]) == (
            "refused",
            "not_permitted",
            str(actor.me),
            "exchange.own_file_imported",
        )
    assert counted(session, Facility, Program, ImportedFile) == [0, 0, 0]


def test_somebody_of_no_organization_reads_nothing_in(session: HouseSession) -> None:
    with pytest.raises(NotFoundError):
        own(session, someone(None, Role.ADMINISTRATOR), as_csv(a_row()))


def test_no_row_goes_in_to_another_organization_or_to_the_wrong_side(session: HouseSession, tmp_path: Path) -> None:
    agency, community = an_agency(session), kitchen(session)
    row = c.facilities.read(as_csv(a_row()))[0]
    facility = {"source_id": row.id, "source_fields": row.raw, "facility": row.words}
    for actor, target, refusal in (
        (administrator(community), community, NotPermittedError),
        (administrator(community), agency, NotFoundError),
        (administrator(an_agency(session, "Delta")), agency, NotFoundError),
        (OPERATOR, agency, NotPermittedError),
    ):
        with pytest.raises(refusal):
            execute(session, c.import_own_facility, actor=actor, target=target.id, data=facility)
        assert last_event(session)["outcome"] == "refused"
    # The very words that the operator's import takes in, from the agency's administrator.
    report = c.Report("hsds_3_0", "x", dry_run=False)
    service = c._words_of_service(report, c.hsds.read(as_page(a_service())).rows[0])
    with pytest.raises(NotPermittedError):
        execute(session, c.import_own_service, actor=administrator(agency), target=agency.id, data=service)
    assert counted(session, Facility, Program) == [0, 0]
    assert tallied(services(session, tmp_path, a_service())) == (1, 0, 0, 0)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "file.empty_file"),
        (as_csv(a_row()).decode().encode("utf-16"), "file.not_utf8"),
        (b"\x00\x01\x02", "file.no_header"),
        (b"Name,State\nx,y\n", "file.missing_columns"),
        (",".join(f"c{number}" for number in range(300)).encode(), "file.too_many_columns"),
        (as_csv(*map(a_row, range(c.MOST_ROWS + 1))), "file.too_many_rows"),
        (as_page(a_service()), "file.missing_columns"),
    ],
)
def test_an_agencys_file_that_cannot_be_read_changes_nothing(session: HouseSession, content: bytes, code: str) -> None:
    actor = administrator(an_agency(session))
    before = actions(session)
    for dry_run in (True, False):
        with pytest.raises(InvalidInputError) as fault:
            own(session, actor, content, dry_run=dry_run)
        assert fault.value.fields == {"content": [code]}
    assert actions(session) == before


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b" \n", "file.empty_file"),
        (b'{"contents": []}', "file.empty_file"),
        (b"[\n}", "file.not_json_at"),
        (b'["a\x00b"]', "file.not_json_at"),
        (b"[" * 100_000, "file.not_json"),
        (b'{"a": 1}', "file.no_contents"),
        (b'[\n"\xe9"]', "file.not_utf8_at"),
        (b"[" + b"1," * c.MOST_ROWS + b"1]", "file.too_many_rows"),
        (as_csv(a_row()), "file.not_json_at"),
    ],
)
def test_a_community_organizations_file_that_cannot_be_read_changes_nothing(
    session: HouseSession, content: bytes, code: str
) -> None:
    actor = administrator(kitchen(session))
    before = actions(session)
    with pytest.raises(InvalidInputError) as fault:
        own(session, actor, content)
    assert fault.value.fields == {"content": [code]}
    assert actions(session) == before


def test_a_service_of_nothing_but_faults_is_told_shortly(session: HouseSession) -> None:
    report = own(session, administrator(kitchen(session)), as_page(a_service(phones=[0] * 100_000)))
    assert [len(row.reasons) for row in report.refused] == [c.hsds.MOST_FAULTS]


def test_remarks_without_end_are_counted_and_not_all_named(session: HouseSession) -> None:
    odd = {f"odd_{number}": 0 for number in range(c.MOST_NOTES + 7)}
    report = own(session, administrator(kitchen(session)), as_page(a_service(**odd)))
    assert (report.added, len(report.notes), report.more_notes) == (1, c.MOST_NOTES, 7)
    assert "… and 7 more" in report.told()
    assert len(report.details()["without_field"]) == c.MOST_NOTES


def test_a_facility_of_another_agency_is_refused_and_left_as_it_is(any_session: HouseSession) -> None:
    mine, other = an_agency(any_session), an_agency(any_session, "Delta Probation")
    assert tallied(own(any_session, administrator(other), as_csv(a_row(1)))) == (1, 0, 0, 0)
    report = own(any_session, administrator(mine), as_csv(a_row(1, City="ELSEWHERE"), a_row(2, Jurisdiction="county")))
    assert [(row.at, row.label, row.reasons) for row in report.refused] == [
        (2, "PINE RIDGE 1 (1)", [("", "other_agency")])
    ]
    found = {row.source_id: (row.organization_id, row.city) for row in any_session.scalars(select(Facility))}
    assert found == {"1": (other.id, "ORCHARD"), "2": (mine.id, "ORCHARD")}
    assert counted(any_session, Organization) == [2]  # no agency is made, whatever the jurisdiction
    event = last_event(any_session)
    assert (event["action"], event["on"][0]["set"]["organization_id"]) == ("exchange.own_file_imported", str(mine.id))


def test_a_service_of_another_organization_is_refused_by_name_and_reason(any_session: HouseSession) -> None:
    mine = kitchen(any_session)
    report = own(any_session, administrator(mine), as_page(a_service("bakery"), a_service()))
    assert [(row.at, row.label.partition(" (")[0], row.reasons) for row in report.refused] == [
        (1, "The bakery", [("", "other_organization")])
    ]
    assert "service 1, The bakery" in report.told()
    assert [one.organization_id for one in any_session.scalars(select(Program))] == [mine.id]
    assert counted(any_session, Organization, Location) == [1, 1]


def test_an_organization_is_known_by_its_id_once_a_source_told_of_it(any_session: HouseSession) -> None:
    mine = kitchen(any_session, phone="(510) 555-0199")
    actor = administrator(mine)
    assert tallied(own(any_session, actor, as_page(a_service()))) == (1, 0, 0, 0)
    kept = any_session.get(Organization, mine.id)
    assert kept is not None
    assert (kept.source, kept.source_id) == ("hsds_3_0", an_id("organization kitchen"))
    # What it said of itself stays; what it had not said is taken over.
    assert (kept.name, kept.phone, kept.description) == ("FRIENDS of the kitchen", "(510) 555-0199", "Neighbors.")
    renamed = a_service(organization=an_organization(name="Kitchen Friends"))
    impostor = a_service("cellar", organization=an_organization(id=an_id("somebody else")))
    report = own(any_session, actor, as_page(renamed, impostor))
    assert tallied(report) == (0, 1, 0, 1)
    assert report.refused[0].reasons == [("", "other_organization")]


def test_of_two_providers_of_its_name_the_first_is_the_organization_dry_or_not(session: HouseSession) -> None:
    file = as_page(a_service(), a_service("cellar", organization=an_organization(id=an_id("a namesake"))))
    actor = administrator(kitchen(session))
    dry = own(session, actor, file, dry_run=True)
    real = own(session, actor, file)
    assert tallied(dry) == tallied(real) == (1, 0, 0, 1)


def test_nobody_takes_what_a_source_knows_as_another_organizations(session: HouseSession, tmp_path: Path) -> None:
    services(session, tmp_path, a_service(), a_service("bakery"))
    namesake = kitchen(session)
    report = own(session, administrator(namesake), as_page(a_service()))
    assert report.refused[0].reasons == [("", "other_organization")]
    # Its own provider, and yet the program, or the place, of another.
    mine = a_community_organization(session, "Mine")
    provider = an_organization("mine", name="Mine")
    theirs = [
        a_service("bakery", organization=provider),
        a_service("new", organization=provider, service_at_locations=a_service("bakery")["service_at_locations"]),
    ]
    before = counted(session, Program, Location, Organization)
    report = own(session, administrator(mine), as_page(*theirs))
    assert [row.reasons for row in report.refused] == [[("", "other_organization")]] * 2
    assert counted(session, Program, Location, Organization) == before
    assert session.scalars(select(Program.name).where(Program.organization_id == mine.id)).all() == []


def test_the_operators_import_writes_nothing_into_a_program_that_somebody_else_took(
    session: HouseSession, tmp_path: Path
) -> None:
    mine = a_community_organization(session, "Mine")
    taken = a_service(organization=an_organization("mine", name="Mine"), service_at_locations=[])
    assert tallied(own(session, administrator(mine), as_page(taken))) == (1, 0, 0, 0)
    report = services(session, tmp_path, a_service(description="Theirs."))
    assert report.refused[0].reasons == [("", "other_organization")]
    assert session.scalars(select(Program.description)).one() == "Warm meals and a place to sit."
    assert report.organizations == []


def test_a_check_changes_nothing_and_says_what_the_run_says(any_session: HouseSession) -> None:
    actor = administrator(an_agency(any_session))
    file = as_csv(a_row(1), a_row(2, Zipcode="?"), a_row(1), a_row(3, Latitude="37.155177", Longitude="-119.543418"))
    before = actions(any_session)
    dry = own(any_session, actor, file, dry_run=True)
    assert actions(any_session) == before
    assert counted(any_session, Facility, ImportedFile) == [0, 0]
    real = own(any_session, actor, file)
    assert dry.told().replace("Dry run: nothing was changed.\n", "") == real.told()
    assert tallied(real) == (2, 0, 0, 2)
    assert actions(any_session) == [*before, *["exchange.own_facility_imported"] * 2, "exchange.own_file_imported"]


def test_a_report_is_kept_and_told_again_as_it_was(any_session: HouseSession) -> None:
    actor = administrator(an_agency(any_session))
    own(any_session, actor, as_csv(a_row(1)))
    file = as_csv(a_row(1, City="X", Security="None"), a_row(2, Zipcode="?"))
    dry = own(any_session, actor, file, dry_run=True)
    kept = own(any_session, actor, file).run
    assert kept is not None
    any_session.expire_all()
    told = c.Report.of(kept).told()
    assert told == dry.told().replace("Dry run: nothing was changed.\n", "")
    assert "Zipcode: is no ZIP code" in told


def test_a_second_run_changes_nothing(any_session: HouseSession) -> None:
    for organization, file in ((an_agency(any_session), as_csv(a_row())), (kitchen(any_session), as_page(a_service()))):
        actor = administrator(organization)
        own(any_session, actor, file)
        before = actions(any_session)
        assert tallied(own(any_session, actor, file)) == (0, 0, 1, 0)
        assert actions(any_session) == [*before, "exchange.own_file_imported"]


def test_what_somebody_changed_here_is_kept_from_an_own_file_too(session: HouseSession) -> None:
    actor = administrator(an_agency(session))
    own(session, actor, as_csv(a_row(1)))
    kept = session.scalars(select(Facility)).one()
    words = {"name": "Pine Ridge", "city": "ORCHARD", "state": "CA", "kind": "prison"}
    execute(session, organizations.change_facility, actor=actor, target=kept.id, data=words, expect=1)
    report = own(session, actor, as_csv(a_row(1, Name="PINE RIDGE SP", City="ELSEWHERE")))
    assert [(one.fields, one.kept) for one in report.changed] == [(["city"], ["name"])]
    assert session.scalars(select(Facility.name)).one() == "Pine Ridge"


def test_a_program_made_here_by_hand_is_none_of_the_sources(session: HouseSession) -> None:
    mine = kitchen(session)
    by_hand = a_program(session, mine, name="The kitchen")
    assert tallied(own(session, administrator(mine), as_page(a_service()))) == (1, 0, 0, 0)
    session.expire_all()
    assert (by_hand.source, by_hand.source_id) == (None, None)


def test_under_one_key_a_file_is_read_in_once(any_session: HouseSession) -> None:
    actor = administrator(an_agency(any_session))
    file = as_csv(a_row(1), a_row(2, Zipcode="?"))
    checked = own(any_session, actor, file, key="k-1", dry_run=True)  # a check uses no key up
    first = own(any_session, actor, file, key="k-1")
    before = actions(any_session)
    again = own(any_session, actor, file, key="k-1")
    assert again.told() == first.told() == checked.told().replace("Dry run: nothing was changed.\n", "")
    assert again.run is not None
    assert first.run is not None
    assert again.run.id == first.run.id
    assert actions(any_session) == before
    with pytest.raises(KeyReusedError):
        own(any_session, actor, as_csv(a_row(3)), key="k-1")
    assert counted(any_session, Facility, ImportedFile) == [1, 1]


def test_without_a_log_an_own_file_stops_and_goes_on_later(session: HouseSession) -> None:
    actor = administrator(an_agency(session))
    session.rollback()
    with session.get_bind().connect() as connection:  # type: ignore[union-attr]  # an engine
        connection.execute(text("ALTER TABLE audit_event RENAME TO hidden_event"))
        connection.commit()
    report = own(session, actor, as_csv(a_row(1)), key="k-1")
    assert (report.stopped, report.run) == ((2, "unavailable"), None)
    with pytest.raises(c.ImportStoppedError):
        report.require_whole()
    session.rollback()
    with session.get_bind().connect() as connection:  # type: ignore[union-attr]  # an engine
        connection.execute(text("ALTER TABLE hidden_event RENAME TO audit_event"))
        connection.commit()
    assert tallied(own(session, actor, as_csv(a_row(1)), key="k-1")) == (1, 0, 0, 0)


# --- the report -------------------------------------------------------------------------------------------------------


def test_the_report_shows_no_control_characters_and_is_not_endless(session: HouseSession, tmp_path: Path) -> None:
    report = facilities(session, tmp_path, a_row(1, Name="\x1b[2J" + "W" * 500))
    told = report.told()
    assert "\x1b" not in told
    assert max(len(line) for line in told.splitlines()) < 200


def test_progress_is_told_without_a_terminal(
    session: HouseSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(c, "SPEAKS_EVERY", 0.0)
    facilities(session, tmp_path, a_row(1), a_row(2), progress=True)
    assert capsys.readouterr().err.splitlines() == ["Reading made-up: 1 of 2", "Reading made-up: 2 of 2"]


def test_reasons_with_numbers_in_them_are_told_in_words() -> None:
    report = c.Report("hsds_3_0", "x", dry_run=False)
    report.note("x", "no_link", 3)
    report.refused.append(c.Refused(1, "", [("a", "repeated_id.4"), ("", "wrong_number_of_cells.2.25")]))
    told = report.told()
    assert "the same id stands at service 4 already" in told
    assert "it has 2 cells where the header has 25" in told
    assert "x: not an http or https address: left out (service 3)" in told
