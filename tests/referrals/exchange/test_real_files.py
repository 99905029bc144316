"""The two real files, when they stand beside the checkout. No row of them is in the repository."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, select

from referrals.exchange import facilities
from referrals.exchange.commands import import_facilities, import_services
from referrals.kernel.actor import system
from referrals.kernel.session import HouseSession
from referrals.organization.models import Facility, Location, Organization
from referrals.program.models import Program

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent: real import data not available")

FACILITIES_FILE = DATA / "facilities-california.csv"
SERVICES_FILE = DATA / "reentry-services-oakland.hsds.json"


@needs_data
def test_every_row_of_the_facilities_goes_in_or_is_refused_by_name_and_reason(session: HouseSession) -> None:
    dry = import_facilities(session, system("cli"), FACILITIES_FILE, dry_run=True)
    assert session.scalar(select(func.count()).select_from(Facility)) == 0

    report = import_facilities(session, system("cli"), FACILITIES_FILE)

    assert (report.rows, report.added, report.changed, report.unchanged) == (109, 101, [], 0)
    assert Counter(why for row in report.refused for _, why in row.reasons) == {"holds_nobody": 8}
    assert all(row.label for row in report.refused)
    assert not report.failed
    assert dry.told().replace("Dry run: nothing was changed.\n", "") == report.told()
    assert session.scalar(select(func.count()).select_from(Facility)) == 101
    again = import_facilities(session, system("cli"), FACILITIES_FILE)
    assert (again.added, again.changed, again.unchanged, len(again.refused)) == (0, [], 101, 8)


@needs_data
def test_nothing_of_the_facilities_is_lost(session: HouseSession) -> None:
    import_facilities(session, system("cli"), FACILITIES_FILE)
    kept = {str(row.source_id): row for row in session.scalars(select(Facility))}
    for row in facilities.read(FACILITIES_FILE.read_bytes()):
        if not row.faults:
            assert kept[row.id].source_fields == dict(row.raw)
    fips = [row.county_fips for row in kept.values() if row.county_fips]
    assert fips
    assert all(code.startswith("0") and len(code) == 5 for code in fips)
    assert not [row for row in kept.values() if row.latitude == "37.155177"]


@needs_data
def test_every_service_goes_in_with_its_organization_and_location(session: HouseSession) -> None:
    dry = import_services(session, system("cli"), SERVICES_FILE, dry_run=True)
    assert session.scalar(select(func.count()).select_from(Program)) == 0

    report = import_services(session, system("cli"), SERVICES_FILE)

    assert (report.rows, report.added, report.changed, report.refused) == (42, 42, [], [])
    assert dry.told().replace("Dry run: nothing was changed.\n", "") == report.told()
    counts = [session.scalar(select(func.count()).select_from(kind)) for kind in (Program, Organization, Location)]
    assert counts == [42, 42, 42]
    assert set(session.scalars(select(Organization.part2_program))) == {"unknown"}
    assert all("other" not in row.categories and row.languages for row in session.scalars(select(Program)))
    again = import_services(session, system("cli"), SERVICES_FILE)
    assert (again.added, again.changed, again.unchanged, again.refused) == (0, [], 42, [])
