"""Facilities as CSV: the 25 columns of UCLA Law's Behind Bars facility data, read into plain values. Pure.

`NA` stands for a missing value in every column. Ids and codes are text (leading zeros count). A population above the
capacity is no error. Rows described as geographic or administrative hold nobody and are no facilities. One point, the
middle of the state, stands in for places whose point the source did not know: it is not taken for a place.

Cells are kept as they are written; text that a spreadsheet would take for a formula is text here.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

COLUMNS: Final = (
    *("Facility.ID", "State", "Name", "Jurisdiction", "Description", "Security", "Age", "Gender"),
    *("Is.Different.Operator", "Different.Operator", "Population.Feb20", "Capacity", "HIFLD.ID", "BJS.ID"),
    *("Source.Population.Feb20", "Source.Capacity", "Address", "City", "Zipcode", "Latitude", "Longitude"),
    *("County", "County.FIPS", "Website", "ICE.Field.Office"),
)
#: Which column a field of a facility comes from: faults are reported under the source's own names.
COLUMN_OF: Final[Mapping[str, str]] = {
    "source_id": "Facility.ID",
    "name": "Name",
    "kind": "Description",
    "security": "Security",
    "age": "Age",
    "gender": "Gender",
    "capacity": "Capacity",
    "address": "Address",
    "city": "City",
    "state": "State",
    "postal_code": "Zipcode",
    "latitude": "Latitude",
    "longitude": "Longitude",
    "county": "County",
    "county_fips": "County.FIPS",
    "website": "Website",
}
#: The rest has no field of its own here and stands in `source_fields`.
WITH_FIELD: Final = frozenset({*COLUMN_OF.values(), "Jurisdiction"})
MISSING: Final = "NA"
NEEDED: Final = ("Facility.ID", "State", "Name", "Jurisdiction")
HOLDS_NOBODY: Final = frozenset({"geographic", "administrative"})
JURISDICTIONS: Final = ("state", "county", "federal", "immigration")

#: A file larger than this is no list of facilities.
MOST_BYTES: Final = 50 * 1024 * 1024
#: A quoted cell that runs over more lines than this lost its closing quote.
MOST_LINES: Final = 50
#: Real lists have 25 columns; without a bound a file of nothing but columns would cost more than its size.
MOST_COLUMNS: Final = 200

KINDS: Final[Mapping[str, str]] = {
    "prison": "prison",
    "jail": "jail",
    "reception center": "reception_center",
    "medical facility": "medical_facility",
    "work camp": "work_camp",
}
SECURITY: Final[Mapping[str, str]] = {
    "max": "maximum",
    "max/med": "maximum_medium",
    "max/min": "maximum_minimum",
    "med": "medium",
    "med/min": "medium_minimum",
    "min": "minimum",
}
AGES: Final[Mapping[str, str]] = {"adult": "adult", "juvenile": "juvenile", "mixed": "mixed"}
GENDERS: Final[Mapping[str, str]] = {"male": "men", "female": "women", "mixed": "mixed"}
_CODED: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "Description": ("kind", KINDS),
    "Security": ("security", SECURITY),
    "Age": ("age", AGES),
    "Gender": ("gender", GENDERS),
}

#: The point that stands for "somewhere in the state".
STATE_MIDDLES: Final = frozenset({(Decimal("37.155177"), Decimal("-119.543418"))})

_EASTERN, _CENTRAL, _MOUNTAIN = "America/New_York", "America/Chicago", "America/Denver"
_PACIFIC = "America/Los_Angeles"
#: State -> its postal code and the zone most of its people live in (a facility's own zone can be set afterwards).
STATES: Final[Mapping[str, tuple[str, str]]] = {
    "Alabama": ("AL", _CENTRAL),
    "Alaska": ("AK", "America/Anchorage"),
    "American Samoa": ("AS", "Pacific/Pago_Pago"),
    "Arizona": ("AZ", "America/Phoenix"),
    "Arkansas": ("AR", _CENTRAL),
    "California": ("CA", _PACIFIC),
    "Colorado": ("CO", _MOUNTAIN),
    "Connecticut": ("CT", _EASTERN),
    "Delaware": ("DE", _EASTERN),
    "District of Columbia": ("DC", _EASTERN),
    "Florida": ("FL", _EASTERN),
    "Georgia": ("GA", _EASTERN),
    "Guam": ("GU", "Pacific/Guam"),
    "Hawaii": ("HI", "Pacific/Honolulu"),
    "Idaho": ("ID", "America/Boise"),
    "Illinois": ("IL", _CENTRAL),
    "Indiana": ("IN", "America/Indiana/Indianapolis"),
    "Iowa": ("IA", _CENTRAL),
    "Kansas": ("KS", _CENTRAL),
    "Kentucky": ("KY", _EASTERN),
    "Louisiana": ("LA", _CENTRAL),
    "Maine": ("ME", _EASTERN),
    "Maryland": ("MD", _EASTERN),
    "Massachusetts": ("MA", _EASTERN),
    "Michigan": ("MI", "America/Detroit"),
    "Minnesota": ("MN", _CENTRAL),
    "Mississippi": ("MS", _CENTRAL),
    "Missouri": ("MO", _CENTRAL),
    "Montana": ("MT", _MOUNTAIN),
    "Nebraska": ("NE", _CENTRAL),
    "Nevada": ("NV", _PACIFIC),
    "New Hampshire": ("NH", _EASTERN),
    "New Jersey": ("NJ", _EASTERN),
    "New Mexico": ("NM", _MOUNTAIN),
    "New York": ("NY", _EASTERN),
    "North Carolina": ("NC", _EASTERN),
    "North Dakota": ("ND", _CENTRAL),
    "Northern Mariana Islands": ("MP", "Pacific/Saipan"),
    "Ohio": ("OH", _EASTERN),
    "Oklahoma": ("OK", _CENTRAL),
    "Oregon": ("OR", _PACIFIC),
    "Pennsylvania": ("PA", _EASTERN),
    "Puerto Rico": ("PR", "America/Puerto_Rico"),
    "Rhode Island": ("RI", _EASTERN),
    "South Carolina": ("SC", _EASTERN),
    "South Dakota": ("SD", _CENTRAL),
    "Tennessee": ("TN", _CENTRAL),
    "Texas": ("TX", _CENTRAL),
    "US Virgin Islands": ("VI", "America/St_Thomas"),
    "Utah": ("UT", _MOUNTAIN),
    "Vermont": ("VT", _EASTERN),
    "Virginia": ("VA", _EASTERN),
    "Washington": ("WA", _PACIFIC),
    "West Virginia": ("WV", _EASTERN),
    "Wisconsin": ("WI", _CENTRAL),
    "Wyoming": ("WY", _MOUNTAIN),
}
ZONES: Final[Mapping[str, str]] = dict(STATES.values())

_WHOLE = re.compile(r"[0-9]{1,9}")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class UnreadableFileError(ValueError):
    """The file as a whole cannot be read. `code` says why, `facts` where or which: never what a cell holds."""

    def __init__(self, code: str, *facts: str) -> None:
        super().__init__(code)
        self.code, self.facts = code, facts


@dataclass(frozen=True, slots=True)
class Agency:
    """Whose facility it is, when nobody says: a key that stays the same on every run, and a first name."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class FacilityRow:
    """One row. `at` is its line (the header is line 1); `raw` every cell that is not missing.

    `words` are a facility's fields; `faults` (by column) say why the row cannot go in; `notes` (column, code) what was
    left out of the fields.
    """

    at: int
    id: str
    name: str
    raw: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, Any] = field(default_factory=dict)
    agency: Agency | None = None
    faults: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()


def read(content: bytes, most_rows: int | None = None) -> list[FacilityRow]:
    """Read a file. Each row is there, with its faults if it has any.

    Raises:
        UnreadableFileError: not UTF-8 text, larger than 50 MB, no rows or more than `most_rows`, or without one of the
        25 columns.
    """
    if len(content) > MOST_BYTES:
        raise UnreadableFileError("too_large")
    if content.startswith(_UTF16):
        raise UnreadableFileError("not_utf8")
    # Bytes that are no UTF-8 become lone surrogates: the row that holds them is refused, not the file.
    text = content.decode("utf-8-sig", errors="surrogateescape")
    lines = io.StringIO(text, newline="").readlines()
    records = _records(lines)
    try:
        _, header = next(records)
    except StopIteration:
        raise UnreadableFileError("empty_file") from None
    names = _checked_header(header)
    rows: list[FacilityRow] = []
    first_at: dict[str, int] = {}
    for at, cells in records:
        if cells == []:
            continue
        row = _row(at, names, cells)
        if row.id and not row.faults and (before := first_at.setdefault(row.id, at)) != at:
            row = FacilityRow(at, row.id, row.name, faults={"Facility.ID": (f"repeated_id.{before}",)})
        rows.append(row)
        if most_rows is not None and len(rows) > most_rows:
            raise UnreadableFileError("too_many_rows", f"{most_rows:,}")
    return rows


def words(raw: Mapping[str, str]) -> dict[str, Any]:
    """Return a facility's fields for a row's cells as they are kept: what an earlier run made of them."""
    return _words(raw)[0]


def _records(lines: list[str]) -> Iterator[tuple[int, list[str] | None]]:
    """Yield (line number, cells), None for a row whose quotes are broken.

    Each record is read by a reader of its own, so that a quote left open costs one line and not the rest of the file.
    """
    at = 0
    width: int | None = None
    while at < len(lines):
        if '"' not in lines[at]:
            yield at + 1, (cells := lines[at].rstrip("\r\n").split(",") if lines[at].strip("\r\n") else [])
            width = width or len(cells)
            at += 1
            continue
        reader = csv.reader(lines[at : at + MOST_LINES], strict=True)
        try:
            cells = next(reader)
        except csv.Error:
            yield at + 1, None
            at += 1
            continue
        if reader.line_num > 1 and width is not None and len(cells) != width:
            yield at + 1, None
            at += 1
            continue
        yield at + 1, cells
        width = width or len(cells)
        at += reader.line_num


def _checked_header(header: list[str] | None) -> list[str]:
    if header is not None and len(header) > MOST_COLUMNS:
        raise UnreadableFileError("too_many_columns", str(MOST_COLUMNS))
    if header is None or any(_not_text(name) for name in header):
        raise UnreadableFileError("not_utf8" if header and any(_broken(name) for name in header) else "no_header")
    if missing := [name for name in COLUMNS if name not in header]:
        raise UnreadableFileError("missing_columns", *missing)
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise UnreadableFileError("repeated_columns", *twice)
    return header


def _row(at: int, header: list[str], cells: list[str] | None) -> FacilityRow:
    if cells is None:
        return FacilityRow(at, "", "", faults={"": ("broken_quotes",)})
    by_name = dict(zip(header, cells, strict=False))
    label = {name: by_name.get(name, "") for name in ("Facility.ID", "Name")}
    shown = (label["Facility.ID"], label["Name"])
    if len(cells) != len(header):
        return FacilityRow(at, *shown, faults={"": (f"wrong_number_of_cells.{len(cells)}.{len(header)}",)})
    faults: dict[str, tuple[str, ...]] = {}
    for name, cell in by_name.items():
        if _broken(cell):
            faults[name] = ("not_utf8",)
        elif _not_text(cell):
            faults[name] = ("not_text",)
    raw = {name: cell for name, cell in by_name.items() if cell not in (MISSING, "")}
    faults |= {name: ("required",) for name in NEEDED if name not in raw and name not in faults}
    if faults:
        return FacilityRow(at, *shown, faults=faults)
    if raw.get("Description", "").casefold() in HOLDS_NOBODY:
        return FacilityRow(at, *shown, raw, faults={"Description": ("holds_nobody",)})
    made, faults, notes = _words(raw)
    return FacilityRow(at, *shown, raw, made, _agency(raw), faults, notes)


def _words(raw: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, tuple[str, ...]], tuple[tuple[str, str], ...]]:
    faults: dict[str, tuple[str, ...]] = {}
    notes: list[tuple[str, str]] = []
    made: dict[str, Any] = {
        name: raw.get(column)
        for name, column in COLUMN_OF.items()
        if column not in {*_CODED, "Facility.ID", "Capacity", "State"}
    }
    for column, (name, codes) in _CODED.items():
        said = raw.get(column)
        made[name] = codes.get(said.casefold()) if said is not None else None
        if said is not None and made[name] is None:
            notes.append((column, "no_such_code"))
    made["state"], made["time_zone"] = STATES.get(raw["State"], (None, None))
    if made["state"] is None:
        faults["State"] = ("not_a_choice",)
    if raw["Jurisdiction"].casefold() not in JURISDICTIONS:
        faults["Jurisdiction"] = ("not_a_choice",)
    capacity = raw.get("Capacity")
    made["capacity"] = None
    if capacity is not None:
        if _WHOLE.fullmatch(capacity):
            made["capacity"] = int(capacity)
        else:
            faults["Capacity"] = ("not_a_number",)
    if (reason := _no_place(made["latitude"], made["longitude"])) is not None:
        made["latitude"] = made["longitude"] = None
        notes.append(("Latitude, Longitude", reason))
    if raw["Jurisdiction"].casefold() == "county" and "County" not in raw:
        notes.append(("County", "county_not_named"))
    return made, faults, tuple(notes)


def _no_place(latitude: str | None, longitude: str | None) -> str | None:
    """Say why two cells do not name a place, when they do not."""
    if latitude is None or longitude is None:
        return None if latitude is longitude else "half_a_point"
    try:
        point = (Decimal(latitude), Decimal(longitude))
    except InvalidOperation:
        return None  # the schema of the act names the fault
    return "middle_of_state" if point in STATE_MIDDLES else None


def _agency(raw: Mapping[str, str]) -> Agency:
    """One agency for the state, one for each county, one for the federal prisons, one for immigration detention.

    Counties run their own jails: one agency for all of them would let each see the others' participants.
    """
    state, jurisdiction = raw["State"], raw["Jurisdiction"].casefold()
    if jurisdiction == "county":
        county = raw.get("County")
        if county is None:
            return Agency(f"county/{state}", f"{state}: county facilities, county not named")
        name = county.title() if county.isupper() else county
        return Agency(f"county/{state}/{county.upper()}", f"{name} County, {state}: county facilities")
    if jurisdiction == "state":
        return Agency(f"state/{state}", f"{state}: state facilities")
    return Agency(jurisdiction, f"{jurisdiction.title()} facilities")


def _broken(text: str) -> bool:
    return any("\udc80" <= sign <= "\udcff" for sign in text)


def _not_text(text: str) -> bool:
    return any(unicodedata.category(sign) in {"Cc", "Cs"} for sign in text)
