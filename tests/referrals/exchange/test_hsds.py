"""The pure reader of HSDS: bad files and bad services first, then what becomes of good ones."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from referrals.exchange import hsds
from referrals.exchange.hsds import UnreadableFileError, read
from tests.factories.exchange import a_location, a_service, an_attribute, an_id, an_organization, as_page

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent: real import data not available")


def one(service: Any) -> hsds.ServiceRow:
    (row,) = read(as_page(service)).rows
    return row


# --- files that cannot be read ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "code", "facts"),
    [
        (b"", "empty_file", ()),
        (b"  \n", "empty_file", ()),
        (b"[]", "empty_file", ()),
        (b'{"contents": []}', "empty_file", ()),
        (b'{"contents": {}}', "no_contents", ()),
        (b'{"services": []}', "no_contents", ()),
        (b'"services"', "no_contents", ()),
        (b'[\n{"id": "\xff"}]', "not_utf8", ("2",)),
        ("[]".encode("utf-16"), "not_utf8", ()),
        (b'[\n\n{"id": }]', "not_json", ("3",)),
        (b'[{"minimum_age": NaN}]', "not_json", ()),
        (b"[" * 100_000, "not_json", ()),
        (b"[" + b"9" * 5000 + b"]", "not_json", ()),
        (b"x" * (hsds.MOST_BYTES + 1), "too_large", ()),
    ],
)
def test_an_unreadable_file_says_why_and_where(content: bytes, code: str, facts: tuple[str, ...]) -> None:
    with pytest.raises(UnreadableFileError) as refused:
        read(content)
    assert (refused.value.code, refused.value.facts) == (code, facts)


# --- services that cannot go in ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "path", "code"),
    [
        ({"id": None}, "id", "required"),
        ({"id": "kitchen"}, "id", "not_an_id"),
        ({"name": 7}, "name", "wrong_type"),
        ({"name": "a\x00b"}, "name", "not_text"),
        ({"name": "\ud800"}, "name", "not_text"),
        ({"status": "open"}, "status", "not_a_choice"),
        ({"email": "nobody"}, "email", "not_an_email"),
        ({"url": "kitchen.example.org"}, "url", "not_a_web_address"),
        ({"last_modified": "yesterday"}, "last_modified", "not_a_time"),
        ({"last_modified": "2026-02-30T00:00:00Z"}, "last_modified", "not_a_time"),
        ({"minimum_age": "18"}, "minimum_age", "not_a_number"),
        ({"minimum_age": True}, "minimum_age", "not_a_number"),
        ({"phones": {}}, "phones", "not_a_list"),
        ({"phones": ["x"]}, "phones.0", "not_an_object"),
        ({"phones": [{"id": an_id("p")}]}, "phones.0.number", "required"),
        ({"organization": None}, "organization", "required"),
        ({"organization": an_organization(description=None)}, "organization.description", "required"),
        ({"description": "x" * 20_001}, "description", "too_long"),
        ({"sponsor": {"note": "x\x00"}}, "sponsor.0", "not_text"),
        ({"alert": "x" * 19_000, "more": ["y" * 19_000] * 10}, "", "too_long"),
    ],
)
def test_a_bad_service_names_the_path(change: dict[str, Any], path: str, code: str) -> None:
    bad, good = read(as_page(a_service(**change), a_service("bakery"))).rows
    assert bad.faults == {path: (code,)}
    assert (good.at, good.faults) == (2, {})


def test_what_is_no_object_is_refused_by_its_number() -> None:
    rows = read(as_page("x", 7, None, a_service())).rows
    assert [row.faults for row in rows] == [{"": ("not_an_object",)}] * 3 + [{}]


def test_a_key_that_stands_twice_is_refused_since_one_of_the_two_would_be_lost() -> None:
    content = as_page(a_service()).replace(b'"name": "The kitchen"', b'"name": "The cellar", "name": "The kitchen"')
    assert read(content).rows[0].faults == {"": ("repeated_key",)}


def test_endless_nesting_is_refused() -> None:
    deep: Any = "x"
    for _ in range(40):
        deep = [deep]
    assert set(one(a_service(extra=deep)).faults.values()) == {("too_deep",)}


def test_a_number_beyond_all_numbers_is_refused() -> None:
    content = as_page(a_service(minimum_age=0)).replace(b'"minimum_age": 0', b'"minimum_age": 1e999')
    assert read(content).rows[0].faults == {"minimum_age": ("not_a_number",)}


def test_the_same_id_twice_names_the_first_service() -> None:
    rows = read(as_page(a_service(), a_service("bakery"), a_service(name="Other"))).rows
    assert [row.faults for row in rows] == [{}, {}, {"id": ("repeated_id.1",)}]


# --- what becomes of a service ----------------------------------------------------------------------------------------


def test_a_service_becomes_a_program_with_its_organization_and_place() -> None:
    content = as_page(a_service()).replace(b"-122.2357", b"-122.23570")
    (row,) = read(content).rows
    assert row.words == {
        "name": "The kitchen",
        "description": "Warm meals and a place to sit.",
        "categories": ["food", "id_documents"],
        "eligibility": "Anybody who comes.",
        "languages": ["es"],
        "places": [],
        "phone": "(510) 555-0100",
        "email": "kitchen@example.org",
        "website": "https://kitchen.example.org/",
    }
    assert row.organization_words == {
        "name": "Friends of the kitchen",
        "description": "Neighbors.",
        "phone": None,
        "email": None,
        "website": "https://kitchen.example.org/about",
        "city": None,
    }
    assert row.places[0].words == {
        "name": "House of the kitchen",
        "address": "2500 Orchard Ave, Back door",
        "city": "Oakland",
        "state": "CA",
        "postal_code": "94601",
        "latitude": "37.7855",
        "longitude": "-122.23570",
        "access": "No steps.",
    }
    assert row.raw == a_service()
    assert row.notes == ()


def test_a_bare_list_and_a_page_read_alike_and_pages_are_counted() -> None:
    assert read(json.dumps([a_service()]).encode()).rows == read(as_page(a_service())).rows
    assert read(b"\xef\xbb\xbf" + as_page(a_service(), total_pages=3)).pages == 3
    assert read(as_page(a_service(), total_pages="many")).pages == 1


def test_nulls_stand_for_what_is_not_there() -> None:
    row = one(a_service(description=None, phones=None, alert=None, attributes=None))
    assert row.faults == {}
    assert (row.words["description"], row.words["phone"]) == (None, None)


def test_fields_hsds_does_not_know_are_kept_and_named() -> None:
    row = one(a_service(phones=[{"id": an_id("p"), "number": "1", "fax": True}], completeness=0.93))
    assert row.notes == (("phones.fax", "not_in_hsds"), ("completeness", "not_in_hsds"))
    assert row.raw["completeness"] == 0.93


@pytest.mark.parametrize("address", ["javascript:alert(1)", "mailto:a@example.org", "ftp://example.org/x", "data:,x"])
def test_what_is_no_link_to_the_web_is_not_linked(address: str) -> None:
    row = one(a_service(url=address))
    assert row.faults == {}
    assert row.words["website"] is None
    assert row.notes == (("url", "no_link"),)


def test_a_place_elsewhere_keeps_what_fits() -> None:
    location = a_location(longitude=None)
    location["addresses"][0] |= {"state_province": "Jalisco", "postal_code": "44100-MX", "country": "MX"}
    row = one(a_service(service_at_locations=[{"id": an_id("at"), "location": location}]))
    place = row.places[0]
    assert [place.words[name] for name in ("state", "postal_code", "latitude", "longitude")] == [None] * 4
    assert {code for _, code in row.notes} == {"not_a_state", "not_a_postal_code", "half_a_point"}
    assert place.raw["addresses"][0]["state_province"] == "Jalisco"


def test_several_places_stand_and_virtual_ones_do_not() -> None:
    places = [a_location("kitchen"), a_location("cellar"), a_location("cellar"), a_location(location_type="virtual")]
    at = [{"id": an_id(f"at {n}"), "location": place} for n, place in enumerate(places)]
    row = one(a_service(service_at_locations=[*at, {"id": an_id("none")}]))
    assert [place.words["name"] for place in row.places] == ["House of the kitchen", "House of the cellar"]


def test_categories_come_from_what_the_publisher_calls_one() -> None:
    tags = [an_attribute("x", "tag", "housing"), an_attribute("x", "offering", "case-management")]
    both = one(a_service(attributes=[*tags, an_attribute("x", "primary_category", "Legal aid")]))
    assert both.words["categories"] == ["legal_aid"]
    assert one(a_service(attributes=tags)).words["categories"] == ["housing", "case_management"]
    odd = one(a_service(attributes=[an_attribute("x", "category", "falconry")]))
    assert odd.words["categories"] == ["other"]
    assert odd.notes == (("attributes: falconry", "no_such_code"), ("attributes", "no_category"))


def test_one_organization_told_in_two_ways_stands_as_told_first() -> None:
    second = a_service("bakery", organization=an_organization(name="Friends of the Kitchen, Inc."))
    first, other = read(as_page(a_service(), second)).rows
    assert other.organization == first.organization
    assert other.notes == (("organization", "told_differently"),)
    assert other.raw["organization"]["name"] == "Friends of the Kitchen, Inc."


def test_ids_are_told_apart_without_case() -> None:
    upper = a_service(id=an_id("service kitchen").upper())
    assert one(upper).id == an_id("service kitchen")
    assert read(as_page(a_service(), upper)).rows[1].faults == {"id": ("repeated_id.1",)}


def test_names_are_one_line() -> None:
    assert one(a_service(name="The\n  kitchen")).words["name"] == "The kitchen"


# --- held against the published schema --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published() -> Callable[[Any], bool]:
    if not DATA.is_dir():
        pytest.skip("../shared/data is absent: real import data not available")
    schema = json.loads((DATA / "hsds-3.0" / "schema" / "compiled" / "service.json").read_bytes())
    checker = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return checker.is_valid


def ours(service: Any) -> bool:
    notes: list[tuple[str, str]] = []
    return not list(hsds._faults(service, "SERVICE", "", 0, notes))


def spots(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from spots(inner, (*path, key))


def damaged(service: Any, path: tuple[Any, ...], how: str) -> Any:
    made = copy.deepcopy(service)
    holder = made
    for key in path[:-1]:
        holder = holder[key]
    if how == "gone":
        del holder[path[-1]]
    else:
        holder[path[-1]] = {"number": 7, "text": "seven", "list": [], "object": {}, "yes": True}[how]
    return made


@needs_data
def test_every_damage_is_judged_as_the_published_schema_judges_it(published: Callable[[Any], bool]) -> None:
    example = json.loads((DATA / "hsds-3.0" / "examples" / "service_full.json").read_bytes())
    assert ours(example) is published(example)
    drawn = random.Random(7)
    cases = [(path, how) for path in spots(example) for how in ("gone", "number", "text", "list", "object", "yes")]
    for path, how in drawn.sample(cases, 150):
        broken = damaged(example, path, how)
        assert ours(broken) is published(broken), (path, how)
    for service in (a_service(), json.loads((DATA / "reentry-services-oakland.hsds.json").read_bytes())["contents"][0]):
        for path in spots(service):
            for how in ("gone", "number", "text"):
                broken = damaged(service, path, how)
                assert ours(broken) is published(broken), (path, how)


@needs_data
# For an address the validator only looks for an @; we also want something without spaces on both sides.
@pytest.mark.parametrize("text", ["a@b", "https://", "http:x", "x", "2026-01-01", "a" * 36, an_id("x")])
@pytest.mark.parametrize("name", ["id", "email", "url", "last_modified", "assurer_email"])
def test_formats_are_judged_as_the_published_schema_judges_them(
    published: Callable[[Any], bool], name: str, text: str
) -> None:
    service = a_service(**{name: text})
    assert ours(service) is published(service)


@needs_data
def test_our_table_knows_every_field_and_requirement_of_the_published_schema() -> None:
    schema = json.loads((DATA / "hsds-3.0" / "schema" / "compiled" / "service.json").read_bytes())

    def compare(node: dict[str, Any], kind: str, path: str) -> None:
        known = hsds.OBJECTS[kind]
        required = set(node.get("required", []))
        for name, said in node.get("properties", {}).items():
            expected = known.get(name)
            assert expected is not None, f"{path}.{name} is not known"
            assert expected.endswith("!") is (name in required), f"{path}.{name}"
            inner = said.get("items", said) if said.get("type") == "array" else said
            if inner.get("type") == "object" and inner.get("properties"):
                compare(inner, expected.strip("[]!"), f"{path}.{name}")

    compare(schema, "SERVICE", "service")
