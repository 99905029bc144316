"""Lists as CSV: whatever text a cell holds comes back, and no spreadsheet runs it (S-305)."""

from __future__ import annotations

import csv as reading
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referrals.exchange import csv

FORMULAS = (
    *('=HYPERLINK("https://evil.example","Click")', "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1:A9)"),
    *("\t=1+1", "\r=1+1", "\n=1+1", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20A1", "'=1+1", "''=1+1", "-"),
)
HOSTILE = (
    *FORMULAS,
    *('"; DROP TABLE person; --', "<script>alert(1)</script>", 'a "quoted" word', "a,b;c\td", "line\r\nline\rline\n"),
    *(
        "\u202e\u05e9\u05dc\u05d5\u05dd\u202c abc",
        "مرحبا",
        "👩‍👩‍👧‍👦 family",
        "é" * 4000,
        "'",
        "O'Brien",
        "",
        " =1+1",
        "\ufeffBOM",
        "sep=;",
    ),
)
RUNS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))


def read(made: bytes) -> list[list[str]]:
    """What any CSV reader makes of a file."""
    return list(reading.reader(io.StringIO(made.decode("utf-8-sig"), newline=""), strict=True))


@pytest.mark.parametrize("text", FORMULAS)
def test_s305_no_cell_begins_as_a_formula_does(text: str) -> None:
    ((cell,),) = read(csv.written([[text]]))
    assert not cell.startswith(RUNS)
    assert cell == "'" + text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_comes_back_as_it_was(text: str) -> None:
    ((cell, beside),) = read(csv.written([[text, "beside"]]))
    assert (csv.plain(cell), beside) == (text, "beside")


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1))
def test_any_table_comes_back_and_none_of_it_runs(lines: list[tuple[str, str]]) -> None:
    found = read(csv.written(lines))
    assert [tuple(map(csv.plain, line)) for line in found] == lines
    assert not [cell for line in found for cell in line if cell.startswith(RUNS)]


@given(st.text("'=+-@\t\r\nab\uff1d\uff20"))
def test_the_mark_is_taken_away_exactly_where_it_was_put(text: str) -> None:
    assert csv.plain(csv.inert(text)) == text
    assert not csv.inert(text).startswith(RUNS)


def test_the_file_is_rfc_4180_in_utf_8_with_its_byte_order_mark() -> None:
    assert csv.written([["Name", "Núñez"], ['a "b"', ""]]) == (
        b'\xef\xbb\xbf"Name","N\xc3\xba\xc3\xb1ez"\r\n"a ""b""",""\r\n'
    )
