"""One function behind two doors: what forms and JSON may say, what comes back, and what never gets in."""

from __future__ import annotations

import dataclasses
import html
import json
import re
from collections.abc import Iterator
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest
from marshmallow import fields
from sqlalchemy import text

from referrals.kernel import door, web
from referrals.kernel.actor import Actor
from referrals.kernel.door import Shape
from referrals.kernel.look import NOT_SHARED
from tests.referrals.kernel.conftest import CANARY, SEEN, ParcelShape


def faults_shown(answer: Any) -> dict[str, list[str]]:
    """The faults that a re-rendered form shows."""
    found = re.search(r"<output>(.*?)</output>", answer.get_data(as_text=True), re.DOTALL)
    assert found is not None
    shown: dict[str, list[str]] = json.loads(html.unescape(found.group(1)))
    return shown


def names(house: Any) -> list[str]:
    with house.engine.connect() as connection:
        return list(connection.execute(text("SELECT name FROM test_parcel ORDER BY id")).scalars())


# --- another language -------------------------------------------------------------------------------------------------


@pytest.fixture
def chosen() -> Iterator[list[str]]:
    """The languages that were to be kept for whoever asked: this small house has no room of accounts."""
    before, kept = list(door._CHOOSING), list[str]()
    door.languages_are_kept(kept.append)
    yield kept
    door._CHOOSING[:] = before


@pytest.mark.parametrize(("wished", "spoken"), [("fr", "en"), ("", "en"), ("es", "es")])
def test_a_half_filled_form_comes_back_in_another_language_as_it_was_typed_and_nothing_is_done(
    small_house: Any, visitor: Any, depot: UUID, chosen: list[str], *, wished: str, spoken: str
) -> None:
    at, typed = f"/depots/{depot}/parcels", {"name": "<i>half-typed</i> ñ", "idempotency_key": "kept"}
    assert re.search(r'<button type="submit" form="typed" name="show_in" value="es" lang="es">', visitor.get(at).text)
    page = visitor.post(at, typed | {"show_in": wished})
    assert page.status_code == 200
    assert f'<html lang="{spoken}">' in page.text
    words = compared(page)
    assert (words["name"], words["idempotency_key"]) == ([typed["name"]], ["kept"])
    assert faults_shown(page) == {}
    assert ("__Host-language=es" in "".join(page.headers.getlist("Set-Cookie"))) is (spoken == "es")
    assert chosen == ["es"] * (spoken == "es")
    assert names(small_house) == []
    assert visitor.post(at, typed).status_code == 303, "sent afterwards it is done, under the same key"
    assert names(small_house) == [typed["name"]]


# --- bodies that cannot be read ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "expected"),
    [
        (b'{"name": ', "application/json", (400, "unreadable_request")),
        (b"{'name': 'x'}", "application/json", (400, "unreadable_request")),
        (b'{"name": NaN}', "application/json", (400, "unreadable_request")),
        (b'{"count": Infinity}', "application/json", (400, "unreadable_request")),
        (b'{"name": "\xff\xfe"}', "application/json", (400, "unreadable_request")),
        ('{"name": "x"}'.encode("utf-16"), "application/json", (400, "unreadable_request")),
        (b"[" * 10_000 + b"]" * 10_000, "application/json", (400, "unreadable_request")),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "application/json", (400, "unreadable_request")),
        (b'{"count": ' + b"9" * 5000 + b"}", "application/json", (400, "unreadable_request")),
        (b"[]", "application/json", (422, "invalid_input")),
        (b'"text"', "application/json", (422, "invalid_input")),
        (b"null", "application/json", (422, "invalid_input")),
        (b'{"name": "a\\u0000b"}', "application/json", (422, "invalid_input")),
        (b'{"name": "a\\ud800"}', "application/json", (422, "invalid_input")),
        (b'{"name": {"$ne": ""}}', "application/json", (422, "invalid_input")),
        (b"", "application/json", (422, "invalid_input")),
        (b'{"name": "x"}', "text/plain", (415, "wrong_media_type")),
        (b"name=x", "application/x-www-form-urlencoded", (415, "wrong_media_type")),
        (b"<name>x</name>", "application/xml", (415, "wrong_media_type")),
        (b'{"name": "x"}', "", (415, "wrong_media_type")),
        (b" " * (10 * 1024 * 1024), "application/json", (413, "too_much")),
    ],
    ids=lambda value: str(value)[:30],
)
def test_s301_a_body_that_cannot_be_read_is_refused_with_a_code_and_saves_nothing(  # noqa: PLR0917  # fixtures and a case
    small_house: Any, visitor: Any, depot: UUID, body: bytes, kind: str, expected: tuple[int, str]
) -> None:
    answer = visitor.ask(
        "POST",
        f"/api/v1/depots/{depot}/parcels",
        data=body,
        content_type=kind,
        headers={"X-CSRFToken": visitor.token()},
    )
    assert (answer.status_code, answer.json["code"]) == expected
    assert answer.mimetype == "application/problem+json"
    assert names(small_house) == []


def test_s301_a_form_that_is_too_large_is_413_on_the_page(small_house: Any, visitor: Any, depot: UUID) -> None:
    form = {"csrf_token": visitor.token(), "name": "x" * (10 * 1024 * 1024)}
    assert visitor.ask("POST", f"/depots/{depot}/parcels", data=form).status_code == 413
    parts = {f"p{number}": "x" for number in range(1100)}
    many = visitor.ask("POST", f"/depots/{depot}/parcels", data=parts, content_type="multipart/form-data")
    assert many.status_code == 413
    assert names(small_house) == []


def test_an_id_in_the_address_that_is_none_is_404(visitor: Any) -> None:
    for target in ("1", "null", "../etc", "%00", "a" * 3000, "01939d00-0000-7000-8000-00000000000g"):
        assert visitor.get(f"/api/v1/parcels/{target}").status_code == 404


def test_an_upload_is_let_through_where_it_is_taken_and_nowhere_else(
    small_house: Any, visitor: Any, parcel: UUID, depot: UUID
) -> None:
    ten = "x" * (10 * 1024 * 1024)
    assert visitor.call(f"/parcels/{parcel}/stamp", {"evidence": ten}).status_code == 200
    assert names(small_house) == [str(len(ten))]
    assert visitor.call(f"/depots/{depot}/parcels", {"name": ten}).status_code == 413
    assert visitor.call(f"/parcels/{parcel}/stamp", {"evidence": ten + ten}).status_code == 413


def test_a_strangers_upload_is_not_even_read(small_house: Any, visitor: Any, parcel: UUID) -> None:
    stranger = type(visitor)(small_house)
    stranger.client.set_cookie("__Host-sid", "made-up", domain="localhost", secure=True)
    answer = stranger.ask("POST", f"/api/v1/parcels/{parcel}/stamp", data=b"x" * (5 * 1024 * 1024))
    assert answer.status_code == 401


# --- a form's words ---------------------------------------------------------------------------------------------------


def test_a_forms_date_lists_and_blanks_become_the_words_json_would_say(
    small_house: Any, visitor: Any, depot: UUID
) -> None:
    form = {
        "name": "  one ",
        "on-month": "11",
        "on-day": "3",
        "on-year": "2026",
        "colors": ["red", "", "blue"],
        "lots": ["a", "b"],
        "count": "7",
        "fragile": "on",
        "content": "",
        "idempotency_key": "k1",
    }
    assert visitor.post(f"/depots/{depot}/parcels", form).status_code == 303
    body = {
        "name": "one",
        "on": "2026-11-03",
        "colors": ["red", "blue"],
        "lots": ["a", "b"],
        "count": 7,
        "fragile": True,
    }
    assert visitor.call(f"/depots/{depot}/parcels", body).status_code == 201
    assert SEEN[0] == SEEN[1]
    assert SEEN[0]["on"] == date(2026, 11, 3)
    assert names(small_house) == ["one", "one"]


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"on-month": "2", "on-day": "30", "on-year": "2026"}, "on"),
        ({"on-month": "11"}, "on"),
        ({"on-month": "x", "on-day": "y", "on-year": "z"}, "on"),
        ({"on-month": "9" * 5000, "on-day": "1", "on-year": "2026"}, "on"),
        ({"on": "soon"}, "on"),
        ({"name": "x" * 21}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"colors": ["red", "pink"]}, "colors.1"),
        ({"lots": ["1", "2", "3", "4"]}, "lots"),
        ({"count": "seven"}, "count"),
        ({"count": "--5"}, "count"),
        ({"fragile": "perhaps"}, "fragile"),
        ({"organization_id": "x"}, "organization_id"),
        ({"id": "x"}, "id"),
        ({"on-hour": "3"}, "on-hour"),
    ],
    ids=str,
)
def test_a_wrong_form_comes_back_as_it_was_typed_with_its_faults_in_words(
    small_house: Any, visitor: Any, depot: UUID, form: dict[str, Any], field: str
) -> None:
    answer = visitor.post(f"/depots/{depot}/parcels", {"name": "typed <b>"} | form)
    assert answer.status_code == 422
    shown = faults_shown(answer)
    assert list(shown) == [field]
    assert all(words and "_" not in words for words in shown[field])
    if "name" not in form:
        assert "typed &lt;b&gt;" in answer.get_data(as_text=True)
    assert names(small_house) == []


def test_every_fault_is_shown_at_once(visitor: Any, depot: UUID) -> None:
    answer = visitor.post(f"/depots/{depot}/parcels", {"name": "", "count": "70", "colors": "pink"})
    assert set(faults_shown(answer)) == {"name", "count", "colors.0"}


def test_a_form_shows_its_suggestions_and_its_version(visitor: Any, depot: UUID) -> None:
    assert "value='suggested'" in visitor.get(f"/depots/{depot}/parcels").get_data(as_text=True)


def test_a_broken_rule_comes_back_on_the_form_and_as_a_problem(visitor: Any, parcel: UUID) -> None:
    page = visitor.post(f"/parcels/{parcel}/name", {"name": "forbidden", "version": "1"})
    assert page.status_code == 409
    assert list(faults_shown(page)) == [""]
    assert "forbidden" in page.get_data(as_text=True)
    told = visitor.call(f"/parcels/{parcel}/name", {"name": "forbidden"}, headers={"If-Match": '"1"'})
    assert (told.status_code, told.json["code"]) == (409, "forbidden_name")


# --- queries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["gossip=1", "q=" + "x" * 21, "size=0", "size=101", "size=ten", "q=%00", "q=a%0Ab"])
def test_an_unknown_or_wrong_query_is_refused_at_both_doors(visitor: Any, query: str) -> None:
    assert visitor.get(f"/parcels?{query}").status_code == 422
    told = visitor.get(f"/api/v1/parcels?{query}")
    assert (told.status_code, told.json["code"]) == (422, "invalid_input")
    assert [one["field"] for one in told.json["errors"]] == [query.partition("=")[0]]


def test_a_blank_filter_is_none(visitor: Any, parcel: UUID) -> None:
    told = visitor.get("/api/v1/parcels?q=&size=")
    assert [one["id"] for one in told.json["items"]] == [str(parcel)]
    assert told.json["next"] is None
    assert visitor.get("/api/v1/parcels?q=%27%20OR%201=1--").json["items"] == []


# --- resources --------------------------------------------------------------------------------------------------------


def test_a_new_thing_is_201_with_its_place_and_what_it_is(visitor: Any, depot: UUID) -> None:
    answer = visitor.call(f"/depots/{depot}/parcels", {"name": "new", "content": CANARY})
    assert answer.status_code == 201
    assert set(answer.json) == {"id", "version", "name"}
    assert answer.headers["Location"] == f"/api/v1/parcels/{answer.json['id']}"
    again = visitor.get(answer.headers["Location"])
    assert again.json == answer.json
    assert again.headers["ETag"] == answer.headers["ETag"]


def test_s310_a_resource_that_did_not_change_is_304_and_one_that_did_is_not(visitor: Any, parcel: UUID) -> None:
    first = visitor.get(f"/api/v1/parcels/{parcel}")
    tag = first.headers["ETag"]
    for given in (tag, f'"other", {tag}', f"W/{tag}"):
        unchanged = visitor.get(f"/api/v1/parcels/{parcel}", headers={"If-None-Match": given})
        assert (unchanged.status_code, unchanged.get_data(), unchanged.headers["ETag"]) == (304, b"", tag)
    assert visitor.get(f"/api/v1/parcels/{parcel}", headers={"If-None-Match": '"1"'}).status_code == 200
    visitor.call(f"/parcels/{parcel}/name", {"name": "second"}, headers={"If-Match": tag})
    assert visitor.get(f"/api/v1/parcels/{parcel}", headers={"If-None-Match": tag}).status_code == 200


def test_s310_what_is_shown_can_change_without_the_version_and_is_then_sent_again(visitor: Any, parcel: UUID) -> None:
    tag = visitor.get(f"/api/v1/parcels/{parcel}").headers["ETag"]
    visitor.call(f"/parcels/{parcel}/stamp", {"evidence": "x"})
    answer = visitor.get(f"/api/v1/parcels/{parcel}", headers={"If-None-Match": tag})
    assert (answer.status_code, answer.json["name"], answer.json["version"]) == (200, "1", 1)


@pytest.mark.parametrize(
    "given", ['"2"', '"0"', "*", "gossip", '"1', "9" * 6000, '"-1"', '"1.5"', "W/"], ids=lambda v: v[:9]
)
def test_s310_another_version_is_412_and_changes_nothing(
    small_house: Any, visitor: Any, parcel: UUID, given: str
) -> None:
    expected = 200 if given == '"1' else 412
    answer = visitor.call(f"/parcels/{parcel}/name", {"name": "second"}, headers={"If-Match": given})
    assert answer.status_code == expected
    if expected == 412:
        assert answer.json["code"] == "changed_meanwhile"
        assert names(small_house) == ["first"]


def test_s310_an_edit_without_a_version_is_428_and_a_form_with_an_old_one_comes_back(
    small_house: Any, visitor: Any, parcel: UUID
) -> None:
    bare = visitor.call(f"/parcels/{parcel}/name", {"name": "second"})
    assert (bare.status_code, bare.json["code"]) == (428, "precondition_needed")
    assert visitor.post(f"/parcels/{parcel}/name", {"name": "second", "version": "9" * 6000}).status_code == 428
    old = visitor.post(f"/parcels/{parcel}/name", {"name": "second", "version": "7"})
    assert old.status_code == 409
    assert "second" in old.get_data(as_text=True)
    assert names(small_house) == ["first"]
    assert [(e["outcome"], e["code"]) for e in small_house.events() if e["action"] == "parcel.renamed"] == [
        ("refused", "precondition_needed"),
        ("refused", "precondition_needed"),
        ("refused", "changed_meanwhile"),
    ]


def compared(answer: Any) -> dict[str, list[str]]:
    """The hidden and chosen fields of a page, by name."""
    found: dict[str, list[str]] = {}
    for tag in re.findall(r"<input[^>]*>", answer.get_data(as_text=True)):
        said = dict(re.findall(r'(\w+)=["\']([^"\']*)["\']', tag))
        if said.get("type") != "radio":
            found.setdefault(said["name"], []).append(html.unescape(said.get("value", "")))
    return found


def test_two_people_edit_the_second_reads_both_and_nothing_is_saved_before_they_choose(
    small_house: Any, visitor: Any, worker: Actor, parcel: UUID
) -> None:
    at = f"/parcels/{parcel}/name"
    colleague = small_house.let_in("colleague", dataclasses.replace(worker, user_id=uuid4()))
    assert colleague.post(at, {"name": "theirs & more", "version": "1"}).status_code == 303
    typed = {"name": "mine", "version": "1"}
    for _ in range(2):  # without a choice it comes back as it was
        page = visitor.post(at, typed)
        assert page.status_code == 409
        words = compared(page)
        assert (words["name"], words["theirs.name"], words["compared"]) == (["mine"], ["theirs & more"], ["name"])
        assert (words["version"], words["since"]) == (["2"], ["1"])
        assert names(small_house) == ["theirs & more"]
        typed = {"name": "mine", "version": "2", "since": "1", "compared": "name", "theirs.name": "theirs & more"}
    assert visitor.post(at, typed | {"keep.name": "mine"}).status_code == 303
    assert names(small_house) == ["mine"]


def test_whoever_chooses_theirs_keeps_theirs(small_house: Any, visitor: Any, parcel: UUID) -> None:
    at = f"/parcels/{parcel}/name"
    assert visitor.post(at, {"name": "theirs", "version": "1"}).status_code == 303
    chosen = {"name": "mine", "compared": "name", "theirs.name": "theirs", "keep.name": "theirs"}
    assert visitor.post(at, chosen | {"version": "2", "since": "1"}).status_code == 303
    assert names(small_house) == ["theirs"]


def test_a_third_change_in_between_is_compared_again(small_house: Any, visitor: Any, parcel: UUID) -> None:
    at = f"/parcels/{parcel}/name"
    assert visitor.post(at, {"name": "second", "version": "1"}).status_code == 303
    assert visitor.post(at, {"name": "third", "version": "2"}).status_code == 303
    chosen = {"name": "mine", "compared": "name", "theirs.name": "second", "keep.name": "mine"}
    page = visitor.post(at, chosen | {"version": "2", "since": "1"})
    assert page.status_code == 409
    words = compared(page)
    assert (words["name"], words["theirs.name"], words["version"]) == (["mine"], ["third"], ["3"])
    assert names(small_house) == ["third"]


def test_a_fault_on_the_way_does_not_lose_the_comparison(small_house: Any, visitor: Any, parcel: UUID) -> None:
    at = f"/parcels/{parcel}/name"
    assert visitor.post(at, {"name": "theirs", "version": "1"}).status_code == 303
    undecided = {"name": "x" * 30, "compared": "name", "theirs.name": "theirs", "version": "2", "since": "1"}
    page = visitor.post(at, undecided)
    assert (page.status_code, compared(page)["version"]) == (422, ["1"])
    assert visitor.post(at, {"name": "mine", "version": "1"}).status_code == 409
    assert names(small_house) == ["theirs"]


def test_who_sets_what_the_other_has_set_meets_no_conflict(small_house: Any, visitor: Any, parcel: UUID) -> None:
    at = f"/parcels/{parcel}/name"
    assert visitor.post(at, {"name": "same", "version": "1"}).status_code == 303
    assert visitor.post(at, {"name": "same", "version": "1"}).status_code == 303
    assert names(small_house) == ["same"]


def test_what_the_second_person_may_not_read_is_neither_shown_nor_named(
    small_house: Any, visitor: Any, parcel: UUID
) -> None:
    at = f"/parcels/{parcel}/name"
    assert visitor.post(at, {"name": "withheld", "version": "1"}).status_code == 303
    page = visitor.post(at, {"name": "mine", "version": "1"})
    assert page.status_code == 409
    assert "withheld" not in page.get_data(as_text=True)
    assert "compared" not in compared(page)
    assert names(small_house) == ["withheld"]


def test_a_machine_is_told_which_fields_changed(visitor: Any, parcel: UUID) -> None:
    visitor.call(f"/parcels/{parcel}/name", {"name": "theirs"}, headers={"If-Match": '"1"'})
    refused = visitor.call(f"/parcels/{parcel}/name", {"name": "mine"}, headers={"If-Match": '"1"'})
    assert (refused.status_code, refused.json["code"]) == (412, "changed_meanwhile")
    assert refused.json["facts"] == {"fields": ["name"]}


def test_s310_an_idempotency_key_replays_refuses_another_body_and_is_nobody_elses(
    small_house: Any, visitor: Any, worker: Actor, depot: UUID
) -> None:
    keyed = {"Idempotency-Key": "once"}
    first = visitor.call(f"/depots/{depot}/parcels", {"name": "new"}, headers=keyed)
    again = visitor.call(f"/depots/{depot}/parcels", {"name": "new"}, headers=keyed)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json == again.json
    other_body = visitor.call(f"/depots/{depot}/parcels", {"name": "newer"}, headers=keyed)
    assert (other_body.status_code, other_body.json["code"]) == (422, "key_reused")
    colleague = small_house.let_in("colleague", dataclasses.replace(worker, user_id=uuid4()))
    assert colleague.call(f"/depots/{depot}/parcels", {"name": "new"}, headers=keyed).json["id"] != first.json["id"]
    assert names(small_house) == ["new", "new"]


@pytest.mark.parametrize("key", ["", "k" * 101, "k\tk", "ключ"])
def test_s310_a_key_that_is_none_is_refused_by_the_api_and_left_out_by_the_form(
    small_house: Any, visitor: Any, depot: UUID, key: str
) -> None:
    answer = visitor.call(
        f"/depots/{depot}/parcels", {"name": "new"}, headers={"Idempotency-Key": key.encode().decode("latin-1")}
    )
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "Idempotency-Key")
    form = {"name": "new", "idempotency_key": key + "\0"}
    assert [visitor.post(f"/depots/{depot}/parcels", form).status_code for _ in "ab"] == [303, 303]
    assert names(small_house) == ["new", "new"]


def test_s310_a_form_sent_twice_is_done_once(small_house: Any, visitor: Any, depot: UUID) -> None:
    page = visitor.get(f"/depots/{depot}/parcels").get_data(as_text=True)
    found = re.search(r'name="idempotency_key" value="([^"]+)"', page)
    assert found is not None
    form = {"name": "new", "idempotency_key": found.group(1)}
    answers = [visitor.post(f"/depots/{depot}/parcels", form) for _ in "ab"]
    assert [one.status_code for one in answers] == [303, 303]
    assert answers[0].headers["Location"] == answers[1].headers["Location"]
    assert names(small_house) == ["new"]


def test_a_page_leads_on_and_leaves_a_notice_of_codes_alone(visitor: Any, depot: UUID) -> None:
    answer = visitor.post(f"/depots/{depot}/parcels", {"name": "new"})
    assert re.fullmatch(r"/parcels/[0-9a-f-]{36}", answer.headers["Location"])
    with visitor.client.session_transaction(base_url="https://localhost") as kept:
        assert kept["_flashes"] == [("success", "required")]
    assert "Enter an answer." in visitor.get(answer.headers["Location"]).get_data(as_text=True)


# --- shapes -----------------------------------------------------------------------------------------------------------


def test_c14_a_value_that_does_not_cross_is_told_as_not_shared_and_nothing_else() -> None:
    told = ParcelShape().told({"id": UUID(int=1), "version": 1, "name": NOT_SHARED})
    assert told == {"id": str(UUID(int=1)), "version": 1, "name": {"shared": False}}


def test_a_field_that_names_another_attribute_is_told_from_that_one() -> None:
    class Label(Shape):
        name = fields.String(attribute="called")

    @dataclasses.dataclass
    class Parcel:
        called: str
        name: str

    assert Label().told(Parcel(called="Blue", name="never")) == {"name": "Blue"}
    assert Label().told({"called": "Blue"}) == {"name": "Blue"}


def test_c14_it_is_told_the_same_way_inside_another_shape() -> None:
    class Crate(ParcelShape):
        pass

    class Shelf(ParcelShape):
        crate = fields.Nested(Crate)
        crates = fields.List(fields.Nested(Crate))

    crate = {"id": UUID(int=2), "version": 1, "name": NOT_SHARED}
    told = Shelf().told({"id": UUID(int=1), "version": 1, "name": "x", "crate": crate, "crates": [crate]})
    inner = {"id": str(UUID(int=2)), "version": 1, "name": {"shared": False}}
    assert (told["crate"], told["crates"]) == (inner, [inner])


def test_a_fact_of_a_refusal_on_a_page_fills_its_sentence(
    visitor: Any, monkeypatch: pytest.MonkeyPatch, parcel: UUID
) -> None:
    monkeypatch.setitem(web.SENTENCES, "forbidden_name", "Not %(name)s.")
    page = visitor.post(f"/parcels/{parcel}/name", {"name": "forbidden", "version": "1"})
    assert faults_shown(page) == {"": [f"Not {parcel}."]}
    monkeypatch.setitem(web.SENTENCES, "forbidden_name", "Not %(unknown)s.")
    assert visitor.post(f"/parcels/{parcel}/name", {"name": "forbidden", "version": "1"}).status_code == 409
