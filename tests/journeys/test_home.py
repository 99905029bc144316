"""Home and its one box: what waits on whom, and finding only what is within sight (S-203, S-309)."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from tests.journeys.front import Caller, Front

Api = Callable[[str], Caller]


def test_nobody_signed_in_reads_no_home(front: Front) -> None:
    assert front.caller().get("/home").status_code == 401


@pytest.mark.parametrize("body", [{}, {"words": ""}, {"words": "x" * 201}, {"words": "a\x00b"}, {"name": "Dee"}])
def test_wrong_words_are_named_by_field(api: Api, body: dict[str, str]) -> None:
    answer = api("maria").post("/search", body)
    assert answer.status_code == 422
    assert answer.json is not None
    assert {one["field"] for one in answer.json["errors"]} <= {"words", "name"}


def test_what_was_sent_waits_on_the_other_side(api: Api) -> None:
    here, there = api("maria").read("/home"), api("dana").read("/home")
    assert (here["needs_count"], here["waiting_count"]) == (0, 2)
    assert (there["needs_count"], there["waiting_count"]) == (2, 0)


def test_who_leaves_when_is_counted_for_the_agency_alone(api: Api) -> None:
    assert api("maria").read("/home")["leaving_within"] == {"30": 1, "60": 2, "90": 4}
    assert api("dana").read("/home")["leaving_within"] == {}


@pytest.mark.parametrize("name", ["noor", "lee"])
def test_a_role_without_participants_counts_none(api: Api, name: str) -> None:
    told = api(name).read("/home")
    assert {told["needs_count"], told["waiting_count"], told["drafts_count"], told["witness_count"]} == {0}


@pytest.mark.parametrize("words", ["nunez", "NÚÑEZ", "ortega jose", "NR-20877", "nr 20877"])
def test_the_box_forgives_case_accents_and_order(api: Api, words: str) -> None:
    found = api("maria").do("/search", {"words": words})["items"]
    assert [(one["kind"], one["name"]) for one in found if one["kind"] == "participant"] == [
        ("participant", "José Núñez-Ortega")
    ]


def test_a_reference_finds_its_referral_and_a_word_its_program(api: Api) -> None:
    dana = api("dana")
    card = dana.read("/referrals")["items"][0]
    found = dana.do("/search", {"words": card["reference"].lower()})["items"]
    assert [(one["kind"], UUID(one["id"])) for one in found] == [("referral", UUID(card["id"]))]
    assert [one["kind"] for one in dana.do("/search", {"words": "housing"})["items"]] == ["program"]


@pytest.mark.parametrize("name", ["dana", "noor", "ortiz"])
def test_somebody_out_of_sight_is_as_nobody(api: Api, name: str) -> None:
    """Linh Tran was referred to nobody, and these people are not on her care team."""
    caller = api(name)
    hidden = caller.post("/search", {"words": "Tran"})
    absent = caller.post(
        "/search", {"words": f"Nobody{uuid4().hex[:4].translate(str.maketrans('0123456789', 'ghijklmnop'))}"}
    )
    assert (hidden.status_code, hidden.data) == (absent.status_code, absent.data)


def test_what_was_typed_is_on_record_but_not_in_the_log(front: Front, api: Api) -> None:
    maria = api("maria")
    since = front.last_event()
    maria.do("/search", {"words": "Whitfield"})
    events = front.events(since)
    assert "person.searched" in {one["action"] for one in events}
    assert "hitfield" not in str(events)
