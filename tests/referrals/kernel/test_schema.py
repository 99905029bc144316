"""Words that commands take: every fault is a code under its field; an accepted text can be kept on both databases."""

from __future__ import annotations

import json
import unicodedata
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from marshmallow import fields

from referrals.kernel.errors import InvalidInputError
from referrals.kernel.schema import (
    Nothing,
    Takes,
    code,
    codes,
    day,
    line,
    many,
    secret,
    shows,
    text,
    uid,
    uids,
    whole,
    yes_no,
)

AN_ID = "01939d00-0000-7000-8000-000000000001"


class Inner(Takes):
    wording = line(10)


class Everything(Takes):
    note = text(20)
    title = line(10)
    hidden = secret(12)
    kind = code(("a", "b"), required=False)
    kinds = codes(("a", "b", "c"), required=False)
    on = day(required=False)
    count = whole(0, 9, required=False)
    sure = yes_no()
    one = uid(required=False)
    some = uids(least=0, most=2)
    goals = many(fields.Nested(Inner), most=2)


class Ordered(Takes):
    order = code(("due", "name"), default="due")


GOOD: dict[str, Any] = {"note": "n", "title": "t", "hidden": "h"}


def faults(words: Any, takes: type[Takes] = Everything) -> dict[str, list[str]]:
    with pytest.raises(InvalidInputError) as caught:
        takes().understood(words)
    assert str(caught.value) == "invalid_input"
    return {name: list(codes_) for name, codes_ in caught.value.fields.items()}


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("note", "", "required"),
        ("note", None, "required"),
        ("note", 7, "not_accepted"),
        ("note", ["n"], "not_accepted"),
        ("note", "n" * 21, "too_long"),
        ("note", "a\0b", "not_text"),
        ("note", "a\x1b[31m", "not_text"),
        ("note", "a\ud800", "not_text"),
        ("note", "a\x85", "not_text"),
        ("title", "two\nlines", "one_line"),
        ("title", "two\u2028lines", "one_line"),
        ("title", "   ", "required"),
        ("title", "\ufeff", "required"),
        ("title", " \u200b\u2060 ", "required"),
        ("title", "\u00ad\u200e\u202e", "required"),
        ("title", "\u3164", "required"),
        ("title", "\u2800", "required"),
        ("title", "\u034f\ufe0f", "required"),
        ("title", "\u200d", "required"),
        ("title", "\U000e0041", "required"),
        ("note", " \n\t", "required"),
        ("note", "\u115f\u1160\uffa0", "required"),
        ("hidden", "h" * 13, "too_long"),
        ("kind", "z", "not_a_choice"),
        ("kind", ["a"], "not_accepted"),
        ("count", "--5", "not_a_number"),
        ("count", "-", "not_a_number"),
        ("count", "", "not_a_number"),
        ("kinds", ["a", "a"], "repeated"),
        ("kinds", "a", "not_accepted"),
        ("kinds", ["a", "b", "c", "a"], "too_long"),
        ("on", "2026-02-30", "not_a_date"),
        ("on", "03/11/2026", "not_a_date"),
        ("on", 20261103, "not_a_date"),
        ("on", "0001-01-01", "not_a_date"),
        ("count", "ten", "not_a_number"),
        ("count", 1.5, "not_accepted"),
        ("count", True, "not_a_number"),
        ("count", "٣", "not_a_number"),
        ("count", 10, "out_of_range"),
        ("count", 2**70, "too_large"),
        ("count", "9" * 5000, "too_large"),
        ("sure", 1, "not_accepted"),
        ("sure", "perhaps", "not_accepted"),
        ("one", "17", "not_an_id"),
        ("one", 17, "not_an_id"),
        ("some", [AN_ID, AN_ID], "repeated"),
        ("some", [AN_ID] * 3, "too_long"),
        ("goals", {"wording": "x"}, "not_accepted"),
    ],
)
def test_each_fault_is_a_code_under_its_field(field: str, value: Any, expected: str) -> None:
    found = faults(GOOD | {field: value})
    assert list(found) == [field]
    assert found[field][0] == expected


def test_all_faults_come_at_once_with_their_paths() -> None:
    goals = [{"wording": "fine"}, {"wording": "x" * 11, "id": 1}]
    found = faults({"title": "t", "role": "operator", "goals": goals, "some": [AN_ID, "x"]})
    assert found == {
        "note": ["required"],
        "hidden": ["required"],
        "role": ["unknown_field"],
        "goals.1.wording": ["too_long"],
        "goals.1.id": ["unknown_field"],
        "some.1": ["not_an_id"],
    }


@pytest.mark.parametrize("words", [[], "text", 7, None], ids=str)
def test_words_that_are_no_object_are_refused(words: Any) -> None:
    assert faults(words) == {"": ["wrong_type"]}


def test_a_command_without_words_takes_none() -> None:
    assert Nothing().understood({}) == {}
    assert faults({"id": "1"}, Nothing) == {"id": ["unknown_field"]}


def test_what_may_be_left_out_has_one_value_when_it_is() -> None:
    assert Everything().understood(GOOD) == GOOD | {
        "kind": None,
        "kinds": [],
        "on": None,
        "count": None,
        "sure": False,
        "one": None,
        "some": [],
        "goals": [],
    }


def test_null_is_as_good_as_left_out_where_words_may_be() -> None:
    left_out = Everything().understood(GOOD)
    nulls = {name: None for name in left_out if name not in GOOD and name != "sure"}
    assert Everything().understood(GOOD | nulls) == left_out
    assert Ordered().understood({"order": None}) == {"order": "due"}


def test_a_form_and_json_give_the_same_words() -> None:
    form = GOOD | {"count": "7", "sure": "yes", "on": "2026-11-03", "one": AN_ID, "kinds": ["b"]}
    as_json = GOOD | {"count": 7, "sure": True, "on": "2026-11-03", "one": AN_ID, "kinds": ["b"]}
    words = Everything().understood(form)
    assert words == Everything().understood(as_json)
    assert (words["count"], words["sure"], words["on"], words["one"]) == (7, True, date(2026, 11, 3), UUID(AN_ID))


def test_a_line_loses_its_outer_space_and_a_text_and_a_secret_do_not() -> None:
    words = Everything().understood({"note": " n\n", "title": "  t ", "hidden": " h "})
    assert (words["note"], words["title"], words["hidden"]) == (" n\n", "t", " h ")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*Everything().fields, "id", "version", "\0"]) | st.text(max_size=5), ANYTHING))
def test_whatever_json_says_the_answer_is_words_or_codes(given_words: dict[str, Any]) -> None:
    told: dict[str, Any] = {}
    try:
        words = Everything().understood(json.loads(json.dumps(given_words)))
    except InvalidInputError as refused:
        told = dict(refused.fields)
        words = dict.fromkeys(Everything().fields)
    assert set(words) == set(Everything().fields)
    assert all(one.replace("_", "").isalpha() for codes_ in told.values() for one in codes_)
    assert all(told.values())


#: Signs that show as nothing, whichever font shows them.
UNSEEN = st.sampled_from(
    " \u00a0\u00ad\u034f\u061c\u115f\u1160\u17b4\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2028\u2060\u2064"
    "\u2066\u2069\u2800\u3000\u3164\ufe00\ufe0f\ufeff\uffa0\U000e0020\U000e007f\U000e0100"
)


@given(st.text(UNSEEN, min_size=1, max_size=10))
def test_what_shows_as_nothing_is_no_answer(typed: str) -> None:
    for field in ("note", "title"):
        assert {*faults(GOOD | {field: typed})[field]} <= {"required", "one_line"}
    assert Everything().understood(GOOD | {"hidden": typed})["hidden"] == typed


@given(before=st.text(UNSEEN, max_size=5), seen=st.characters(categories=("L", "N", "P")), after=st.text(UNSEEN))
def test_one_sign_that_shows_is_enough_and_what_stands_around_it_is_kept(before: str, seen: str, after: str) -> None:
    assume(seen not in "\u115f\u1160\u3164\uffa0")
    typed = f"{before}{seen}{after}"[:20]
    assert Everything().understood(GOOD | {"note": typed})["note"] == typed


@pytest.mark.parametrize(
    "name",
    [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, with a joiner that keeps letters apart
        "क्\u200dष",  # Hindi, with one that binds them
        "ന്\u200d",  # Malayalam, where it makes the letter
        "\u200fعلي\u200f",
        "\U0001f469\u200d\U0001f680",
        "\u0605\u0661\u0662",  # an Arabic number mark is formatting, and shows
        "\ufeffAna",
    ],
)
def test_names_that_are_written_with_signs_that_do_not_show_stay_as_they_are(name: str) -> None:
    assert Everything().understood(GOOD | {"title": name})["title"] == name


@given(st.text(max_size=25))
def test_an_accepted_text_is_kept_as_typed_and_fits_every_database(typed: str) -> None:
    try:
        words = Everything().understood(GOOD | {"note": typed})
    except InvalidInputError:
        unfit = any(unicodedata.category(sign) in {"Cc", "Cs"} for sign in typed)
        assert not 1 <= len(typed) <= 20 or unfit or not shows(typed)
    else:
        assert words["note"] == typed
        assert typed.strip()
        assert "\0" not in typed.encode().decode()
