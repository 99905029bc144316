"""Home and its one box: what waits on whom, and finding only what is within sight (S-203, S-309)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text
from werkzeug.test import TestResponse

from referrals.kernel.actor import system
from referrals.kernel.record import clock
from referrals.referral.models import new_reference
from referrals.view.commands import forget_searches
from referrals.view.models import KeptSearch
from referrals.view.queries import kept_search
from tests.journeys.front import ORIGIN, Caller, Front

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
    assert (here["needs_count"], here["waiting_count"]) == (0, 3)
    assert (there["needs_count"], there["waiting_count"]) == (3, 1)


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


# --- the one box as a page --------------------------------------------------------------------------------------------


def at_page(caller: Caller, method: str, path: str, **options: Any) -> TestResponse:
    """Ask a page, past the JSON door."""
    return caller.http.open(
        path,
        method=method,
        base_url=ORIGIN,
        headers={"X-CSRFToken": caller.token},
        environ_base={"REMOTE_ADDR": caller.address},
        **options,
    )


def typed(caller: Caller, words: str) -> str:
    """Type something into the box; return the address it leads to."""
    answer = at_page(caller, "POST", "/search", data={"words": words})
    assert answer.status_code == 303, answer.text
    return str(answer.location)


def scrubbed(page: str) -> str:
    """A page without what differs each time it is shown: its token, its request's number, when it was printed."""
    page = re.sub(r'formaction="/search\?search=[0-9a-f-]{36}"', "", page)  # the page's own address, in its switch
    page = re.sub(r'name="(csrf_token|idempotency_key)" value="[^"]*"', "", page)
    return re.sub(r"<time .*?</time>", "", page)


def test_wrong_words_are_named_on_the_page_and_nothing_is_kept(api: Api, front: Front) -> None:
    answer = at_page(api("maria"), "POST", "/search", data={"words": ""})
    assert answer.status_code == 422
    assert 'href="#words"' in answer.text
    with front.session() as session:
        assert session.scalars(select(KeptSearch)).all() == []


def test_s309_what_is_typed_stands_in_no_address_and_back_finds_it_again(api: Api) -> None:
    maria = api("maria")
    address = typed(maria, "whitfield dee")
    assert re.fullmatch(r"/search\?search=[0-9a-f-]{36}", address)
    for _time in range(2):
        page = at_page(maria, "GET", address).text
        assert "Dee Whitfield" in page
        assert 'value="whitfield dee"' in page


def test_s309_what_is_typed_is_sealed_its_owners_alone_and_gone_after_8_hours(front: Front, api: Api) -> None:
    maria, walsh = api("maria"), api("walsh")
    address = typed(maria, "Whitfield")
    strange = at_page(walsh, "GET", address)
    none = at_page(walsh, "GET", f"/search?search={uuid4()}")
    odd = at_page(walsh, "GET", "/search?search=Whitfield")
    assert {strange.status_code, none.status_code, odd.status_code} == {404}
    assert scrubbed(strange.text) == scrubbed(none.text) == scrubbed(odd.text)
    assert "no longer kept" in strange.text
    with front.engine.connect() as connection:
        assert b"hitfield" not in bytes(connection.execute(text("SELECT words FROM kept_search")).scalar_one())
    with front.session() as session:
        since = clock(session)
        mine = session.scalars(select(KeptSearch)).one()
        owner = system("page")
        for ahead, found in ((timedelta(hours=8, seconds=-1), True), (timedelta(hours=8), False)):
            session.info["clock"] = lambda ahead=ahead: mine.at + ahead
            actor = replace(owner, user_id=mine.user_id)
            assert (kept_search(session, actor, mine.id) is not None) is found
        session.info["clock"] = lambda: since + timedelta(hours=8, minutes=1)
        forget_searches(session, None, None)
        assert session.scalars(select(KeptSearch)).all() == []


@pytest.mark.parametrize("name", ["dana", "noor", "ortiz"])
def test_s203_the_page_for_somebody_out_of_sight_is_the_page_for_nobody(api: Api, name: str) -> None:
    caller = api(name)
    pages = [scrubbed(at_page(caller, "GET", typed(caller, words)).text) for words in ("Tran", "Qran")]
    assert pages[0].replace("Tran", "Qran") == pages[1]


def test_s203_a_reference_out_of_sight_is_as_one_that_was_never_given(api: Api) -> None:
    reference = api("dana").read("/referrals")["items"][0]["reference"]
    made_up = new_reference()
    answers = [api("ortiz").post("/search", {"words": one}) for one in (reference, made_up)]
    assert answers[0].data == answers[1].data


@pytest.mark.parametrize("words", ["NR-2O877", "nr 2O877", "NR2o877", "nr-20877", "NR-Z0877", "NR-2087 7"])
def test_the_box_forgives_signs_of_a_number_that_look_alike(api: Api, words: str) -> None:
    found = api("maria").do("/search", {"words": words})["items"]
    assert [one["name"] for one in found if one["kind"] == "participant"] == ["José Núñez-Ortega"]


def test_the_box_forgives_spaces_dashes_and_look_alikes_of_a_reference(api: Api) -> None:
    dana = api("dana")
    card = dana.read("/referrals")["items"][0]
    reference = card["reference"]
    alike, misread = {"Q": "0", "7": "Z", "V": "U", "J": "1", "3": "8"}, 3  # nobody misreads more of eight signs
    changed = ""
    for sign in reference:
        swap = sign in alike and misread > 0
        misread -= swap
        changed += alike[sign] if swap else sign
    for words in (f" {reference[:4]}-{reference[4:].lower()} ", " ".join(reference), changed):
        found = dana.do("/search", {"words": words})["items"]
        assert [UUID(one["id"]) for one in found if one["kind"] == "referral"] == [UUID(card["id"])], words


def test_nothing_found_says_what_to_do_next_as_far_as_one_may(api: Api) -> None:
    texts = {}
    for name in ("maria", "walsh", "lee"):
        caller = api(name)
        texts[name] = at_page(caller, "GET", typed(caller, "Xyzzy")).text
    assert "/participants/new" in texts["maria"]
    assert "/participants/new" not in texts["walsh"] + texts["lee"]
    assert "not part of your role" in texts["lee"]
    assert "Nothing searched yet" in at_page(api("maria"), "GET", "/search").text
