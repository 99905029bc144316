"""The pure reader of facilities: bad files and bad rows first, then what becomes of good ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referrals.exchange import facilities
from referrals.exchange.facilities import COLUMNS, UnreadableFileError, read
from tests.factories.exchange import a_row, as_csv

HEADER = ",".join(COLUMNS)


def line_of(**cells: str) -> str:
    return as_csv(a_row(**cells)).decode().splitlines()[1]


# --- files that cannot be read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "code", "facts"),
    [
        (b"", "empty_file", ()),
        (as_csv(a_row()).decode().encode("utf-16"), "not_utf8", ()),
        (as_csv(a_row()).replace(b"Facility.ID", b"Facility.ID\xff", 1), "not_utf8", ()),
        (as_csv(a_row()).replace(b"Name", b"Na\x00me", 1), "no_header", ()),
        (
            as_csv(a_row(), columns=[one for one in COLUMNS if one not in {"BJS.ID", "City"}]),
            "missing_columns",
            ("BJS.ID", "City"),
        ),
        ((HEADER + ",City,City\n").encode(), "repeated_columns", ("City",)),
        (b"<html><body>Not found</body></html>", "missing_columns", COLUMNS),
        (b"x" * (facilities.MOST_BYTES + 1), "too_large", ()),
        (b'"never closed\n1,2,3\n', "no_header", ()),
    ],
)
def test_an_unreadable_file_says_why(content: bytes, code: str, facts: tuple[str, ...]) -> None:
    with pytest.raises(UnreadableFileError) as refused:
        read(content)
    assert (refused.value.code, refused.value.facts) == (code, facts)


# --- rows that cannot go in -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "column", "code"),
    [
        ({"Name": "PINE\x00RIDGE"}, "Name", "not_text"),
        ({"Address": "1 \x1b[31mKINGS WAY"}, "Address", "not_text"),
        ({"Name": "NA"}, "Name", "required"),
        ({"Facility_ID": "NA"}, "Facility.ID", "required"),
        ({"State": "NA"}, "State", "required"),
        ({"Jurisdiction": ""}, "Jurisdiction", "required"),
        ({"State": "Freedonia"}, "State", "not_a_choice"),
        ({"Jurisdiction": "galactic"}, "Jurisdiction", "not_a_choice"),
        ({"Capacity": "many"}, "Capacity", "not_a_number"),
        ({"Capacity": "1e3"}, "Capacity", "not_a_number"),
        ({"Capacity": "-5"}, "Capacity", "not_a_number"),
        ({"Description": "Geographic"}, "Description", "holds_nobody"),
        ({"Description": "administrative"}, "Description", "holds_nobody"),
    ],
)
def test_a_bad_row_names_its_column_and_costs_no_other(cells: dict[str, str], column: str, code: str) -> None:
    bad, good = read(as_csv(a_row(1, **cells), a_row(2)))
    assert (bad.at, bad.faults[column]) == (2, (code,))
    assert (good.at, good.faults, good.id) == (3, {}, "2")


def test_a_row_in_another_encoding_is_refused_and_the_rest_is_read() -> None:
    latin = as_csv(a_row(1, City="PEÑASCO"), a_row(2)).decode().encode("latin-1")
    bad, good = read(latin)
    assert bad.faults == {"City": ("not_utf8",)}
    assert good.faults == {}


def test_a_row_with_too_few_or_too_many_cells_says_how_many() -> None:
    content = "\n".join([HEADER, "1,California,SHORT", line_of(Facility_ID="2") + ",more", line_of(Facility_ID="3")])
    short, long, good = read(content.encode())
    assert short.faults == {"": ("wrong_number_of_cells.3.25",)}
    assert (short.id, short.name) == ("1", "SHORT")
    assert long.faults == {"": ("wrong_number_of_cells.26.25",)}
    assert good.faults == {}


def test_an_open_quote_costs_its_own_line_alone() -> None:
    broken = line_of(Facility_ID="1").replace("ORCHARD", '"ORCHARD')
    content = "\n".join([HEADER, broken, *(line_of(Facility_ID=str(n)) for n in range(2, 80))])
    rows = read(content.encode())
    assert rows[0].faults == {"": ("broken_quotes",)}
    assert [row.id for row in rows[1:]] == [str(n) for n in range(2, 80)]
    assert all(not row.faults for row in rows[1:])


def test_a_quote_that_another_lines_quote_closes_swallows_nothing() -> None:
    lines = [line_of(Facility_ID=str(n)) for n in range(1, 5)]
    lines[0] = lines[0].replace("ORCHARD", '"ORCHARD')
    lines[2] = lines[2].replace("ORCHARD", '"ORCHARD, ""N."""')
    rows = read("\n".join([HEADER, *lines]).encode())
    assert [(row.id, tuple(row.faults)) for row in rows] == [("", ("",)), ("2", ()), ("3", ()), ("4", ())]
    assert rows[2].words["city"] == 'ORCHARD, "N."'


def test_the_same_id_twice_names_the_first_line() -> None:
    rows = read(as_csv(a_row(7), a_row(8), a_row(7, City="ELSEWHERE"), a_row(7)))
    assert [row.faults for row in rows] == [{}, {}, *[{"Facility.ID": ("repeated_id.2",)}] * 2]


def test_a_first_row_that_is_refused_does_not_make_the_second_a_repetition() -> None:
    rows = read(as_csv(a_row(7, Capacity="many"), a_row(7)))
    assert [tuple(row.faults) for row in rows] == [("Capacity",), ()]


# --- what becomes of a row --------------------------------------------------------------------------------------------


def test_cells_become_a_facilitys_fields() -> None:
    (row,) = read(as_csv(a_row(83)))
    assert row.words == {
        "name": "PINE RIDGE 83",
        "kind": "prison",
        "security": "medium_minimum",
        "age": "adult",
        "gender": "men",
        "capacity": 2920,
        "address": "1 KINGS WAY",
        "city": "ORCHARD",
        "state": "CA",
        "postal_code": "93204",
        "latitude": "35.97394934",
        "longitude": "-120.1231018",
        "county": "KINGS",
        "county_fips": "06031",
        "website": "https://prisons.example.gov/pine-ridge?id=1",
        "time_zone": "America/Los_Angeles",
    }
    assert row.notes == ()


def test_na_is_missing_and_ids_are_text() -> None:
    (row,) = read(as_csv(a_row("007", Description="NA", Capacity="NA", Latitude="NA", Longitude="NA", City="NA")))
    assert row.id == "007"
    assert [row.words[name] for name in ("kind", "capacity", "latitude", "longitude", "city")] == [None] * 5
    assert row.raw["BJS.ID"] == "050000000075100000000"
    assert "City" not in row.raw


def test_a_population_above_the_capacity_is_no_error() -> None:
    (row,) = read(as_csv(a_row(Population_Feb20="9000", Capacity="10")))
    assert row.faults == {}


@pytest.mark.parametrize(("latitude", "longitude"), [("37.155177", "-119.543418"), ("37.1551770", "-119.54341800")])
def test_the_middle_of_the_state_is_not_a_place(latitude: str, longitude: str) -> None:
    (row,) = read(as_csv(a_row(Latitude=latitude, Longitude=longitude)))
    assert (row.words["latitude"], row.words["longitude"]) == (None, None)
    assert row.notes == (("Latitude, Longitude", "middle_of_state"),)
    assert row.raw["Latitude"] == latitude


def test_half_a_point_is_no_place() -> None:
    (row,) = read(as_csv(a_row(Latitude="NA")))
    assert row.words["longitude"] is None
    assert row.notes == (("Latitude, Longitude", "half_a_point"),)


def test_a_code_nobody_knows_leaves_the_field_empty_and_is_noted() -> None:
    (row,) = read(as_csv(a_row(Description="Boot Camp", Security="Super")))
    assert (row.words["kind"], row.words["security"]) == (None, None)
    assert row.notes == (("Description", "no_such_code"), ("Security", "no_such_code"))
    assert row.raw["Description"] == "Boot Camp"


@pytest.mark.parametrize(
    ("cells", "key", "name"),
    [
        ({}, "state/California", "California: state facilities"),
        ({"Jurisdiction": "federal"}, "federal", "Federal facilities"),
        ({"Jurisdiction": "immigration"}, "immigration", "Immigration facilities"),
        ({"Jurisdiction": "county"}, "county/California/KINGS", "Kings County, California: county facilities"),
        (
            {"Jurisdiction": "county", "County": "NA"},
            "county/California",
            "California: county facilities, county not named",
        ),
    ],
)
def test_each_jurisdiction_has_its_agency_and_each_county_its_own(cells: dict[str, str], key: str, name: str) -> None:
    (row,) = read(as_csv(a_row(**cells)))
    assert row.agency == facilities.Agency(key, name)


def test_formulas_are_text() -> None:
    (row,) = read(as_csv(a_row(Name='=HYPERLINK("http://evil.example","x")', City="+1", Address="@SUM(A1)")))
    assert row.faults == {}
    assert (row.words["name"], row.words["city"]) == ('=HYPERLINK("http://evil.example","x")', "+1")


def test_columns_nobody_asked_for_are_kept_and_order_does_not_count() -> None:
    columns = [*reversed(COLUMNS), "Phone"]
    (row,) = read(as_csv(a_row() | {"Phone": "555-0100"}, columns=columns))
    assert row.faults == {}
    assert row.raw["Phone"] == "555-0100"


def test_a_byte_order_mark_windows_lines_and_empty_lines_are_taken() -> None:
    content = b"\xef\xbb\xbf" + as_csv(a_row(1), a_row(2)).replace(b"\n", b"\r\n") + b"\r\n\r\n"
    assert [(row.at, row.id) for row in read(content)] == [(2, "1"), (3, "2")]


def test_every_zone_and_state_of_the_table_is_real() -> None:
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    assert len(facilities.ZONES) == 56
    for code, zone in facilities.STATES.values():
        assert len(code) == 2
        assert ZoneInfo(zone)


CELL = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=30)


@given(st.lists(st.dictionaries(st.sampled_from(COLUMNS), CELL), max_size=6))
def test_no_text_is_lost_or_moved_whatever_it_holds(cells: list[dict[str, str]]) -> None:
    """What is written by any CSV writer is read back cell for cell, with `NA` and nothing for what is missing."""
    written = [a_row(number) | said for number, said in enumerate(cells)]
    found = read(as_csv(*written))
    assert len(found) == len(written)
    for row, said in zip(found, written, strict=True):
        if "Facility.ID" not in row.faults:
            assert (row.id, row.name) == (said["Facility.ID"], said["Name"])
        if row.raw:
            assert row.raw == {name: cell for name, cell in said.items() if cell not in {"", "NA"}}


@given(st.binary(max_size=400))
def test_no_bytes_make_it_stumble(content: bytes) -> None:
    for whole in (content, HEADER.encode() + b"\n" + content):
        try:
            rows = read(whole)
        except UnreadableFileError as refused:
            assert refused.code  # noqa: PT017
        else:
            assert all(row.at > 1 for row in rows)
