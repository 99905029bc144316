"""S-117 for searches: so many in a minute by one user, at all doors together, whatever address they come from."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import pytest
from werkzeug.test import TestResponse

from tests.journeys.front import ORIGIN, Caller, Front
from tests.journeys.test_tokens import let_in

Api = Callable[[str], Caller]

ALLOWED = 60
NOBODY = {"words": "Zzyzx"}
SAID = "You searched very often in a short time."

pytestmark = pytest.mark.timeout(180)


def refused(answer: TestResponse) -> None:
    """It says so in words, and in how many seconds to try again."""
    assert answer.status_code == 429
    assert SAID in unescape(answer.get_data(as_text=True))
    # A minute, and what rounding up to whole seconds adds at both of its ends.
    assert 1 <= int(answer.headers["Retry-After"]) <= 61


def test_s117_the_search_too_many_is_refused_at_every_door_and_to_this_person_alone(front: Front, api: Api) -> None:
    maria, walsh = api("maria"), api("walsh")
    walsh.address = maria.address
    doors = (("/search", NOBODY), ("/participants/search", {"name": "Zzyzx"}))
    found = [maria.post(*doors[number % 2]).status_code for number in range(ALLOWED)]
    assert found == [200] * ALLOWED
    for path, words in doors:
        refused(maria.post(path, words))
    assert maria.post("/search", NOBODY).get_json()["code"] == "too_many_searches"
    elsewhere = front.sign_in("maria")
    refused(elsewhere.post("/search", NOBODY))
    refused(on_the_page(elsewhere, "/participants/search", name="Zzyzx"))
    assert walsh.post("/search", NOBODY).status_code == 200, "an office behind one address shares no rate"
    assert maria.get("/participants").status_code == 200, "lists are no searches"


def test_s117_what_is_typed_on_the_page_is_counted_too(api: Api) -> None:
    maria = api("maria")
    typed = [on_the_page(maria, "/search", **NOBODY) for _ in range(ALLOWED)]
    assert [one.status_code for one in typed] == [303] * ALLOWED
    refused(on_the_page(maria, "/search", **NOBODY))
    again = [open_page(maria, str(typed[0].location)).status_code for _ in range(ALLOWED)]
    assert again == [200] * ALLOWED, "each is searched once"
    refused(open_page(maria, str(typed[0].location)))
    assert open_page(maria, "/search").status_code == 200, "the empty form is no search"


def test_s117_an_integration_is_held_to_it_with_all_its_tokens(front: Front, api: Api) -> None:
    lee = api("lee")
    program = let_in(front, lee, "case_manager", "participants:read")
    other = let_in(front, lee, "case_manager", "participants:read")

    def ask(words: dict[str, str]) -> TestResponse:
        return program.ask("POST", "/participants/search", json=words)

    assert [ask({"name": "Zzyzx"}).status_code for _ in range(ALLOWED)] == [200] * ALLOWED
    refused(ask({"name": "Zzyzx"}))
    renewed = lee.do(f"/organization/integrations/{program.id}/renewal", {"ends_on": lee_day(lee, program.id)})
    program.token = renewed["token"]
    refused(ask({"name": "Zzyzx"}))
    assert program.get("/participants").status_code == 200
    assert other.ask("POST", "/participants/search", json={"name": "Zzyzx"}).status_code == 200


def lee_day(lee: Caller, token_id: str) -> str:
    """The last day of a token."""
    return next(one["ends_on"] for one in lee.every("/organization/integrations") if one["id"] == token_id)


def open_page(one: Caller, path: str) -> TestResponse:
    return one.http.get(path, base_url=ORIGIN, environ_base={"REMOTE_ADDR": one.address})


def on_the_page(one: Caller, path: str, **words: str) -> TestResponse:
    """Send the form of a search."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', open_page(one, path).get_data(as_text=True))
    assert token is not None
    form = {"csrf_token": unescape(token[1])} | words
    return one.http.post(
        path, data=form, base_url=ORIGIN, headers={"Origin": ORIGIN}, environ_base={"REMOTE_ADDR": one.address}
    )
