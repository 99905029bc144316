"""Saved views: the filters of a list under a name, one's own or the team's, and the one that a list opens with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from tests.journeys.front import ORIGIN, Caller, Front

Api = Callable[[str], Caller]

SOON = {"listing": "participants", "query": "sort=release&leaving=30&after=&limit=3", "name": "Soon out"}


def page(caller: Caller, path: str) -> TestResponse:
    """Ask a page, past the JSON door."""
    return caller.http.open(path, method="GET", base_url=ORIGIN, environ_base={"REMOTE_ADDR": caller.address})


def named(caller: Caller, name: str) -> list[dict[str, Any]]:
    return [one for one in caller.read("/account/views")["items"] if one["name"] == name]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"listing": "people"}, "listing"),
        ({"query": "leaving=31"}, "query"),
        ({"query": "name=Whitfield"}, "query"),
        ({"query": "leaving=30", "listing": "programs"}, "query"),
        ({"name": ""}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"team": True}, "team"),
        ({"user_id": str(uuid4())}, "user_id"),
    ],
)
def test_a_view_that_its_list_would_not_take_is_refused_by_field(api: Api, said: dict[str, Any], field: str) -> None:
    answer = api("maria").post("/account/views", SOON | said)
    assert answer.status_code == 422
    assert answer.json is not None
    assert [one["field"] for one in answer.json["errors"]] == [field]


def test_ones_own_view_is_nobody_elses(api: Api) -> None:
    maria, ortiz = api("maria"), api("ortiz")
    made = maria.do("/account/views", SOON)
    assert (made["query"], made["is_own"], made["is_team"]) == ("leaving=30&sort=release", True, False)
    assert [one["id"] for one in named(maria, "Soon out")] == [made["id"]]
    assert named(ortiz, "Soon out") == []
    for one in (made["id"], str(uuid4())):
        assert ortiz.post(f"/account/views/{one}/name", {"name": "Mine"}).status_code == 404
        assert ortiz.post(f"/account/views/{one}/removal").status_code == 404
        chosen = ortiz.post("/account/default-view", {"listing": "participants", "view_id": one})
        assert chosen.status_code == 422
        assert page(ortiz, f"/account/views/{one}/name").status_code == 404


def test_a_teams_view_is_its_organizations_and_changed_by_who_may_share(api: Api) -> None:
    walsh, maria, lee, dana = api("walsh"), api("maria"), api("lee"), api("dana")
    words = {"listing": "referrals", "query": "group=them", "name": "With partners", "team": True}
    made = walsh.do("/account/views", words)
    assert [one["is_own"] for one in named(maria, "With partners")] == [False]
    assert named(dana, "With partners") == []
    for step in ("removal", "team-removal"):
        assert maria.post(f"/account/views/{made['id']}/{step}").status_code == 403
        assert page(maria, f"/account/views/{made['id']}/{step}").status_code == 403
    renamed = {"name": "At partners"}
    assert lee.post(f"/account/views/{made['id']}/name", renamed).status_code == 403
    walsh.do(f"/account/views/{made['id']}/name", renamed)
    assert len(named(maria, "At partners")) == 1
    assert "Remove for the team" in page(lee, "/account/views").text
    lee.do(f"/account/views/{made['id']}/team-removal")
    assert named(maria, "At partners") == []
    assert walsh.post(f"/account/views/{made['id']}/removal").status_code == 404


def test_a_list_opens_with_one_view_of_each_persons_choice(api: Api) -> None:
    maria, ortiz = api("maria"), api("ortiz")
    assert page(maria, "/participants").status_code == 200
    first = maria.do("/account/views", SOON)
    other = maria.do("/account/views", SOON | {"query": "language=es", "name": "Spanish"})
    for view in (first, other):
        maria.do("/account/default-view", {"listing": "participants", "view_id": view["id"]})
        assert [one["id"] for one in maria.read("/account/views")["items"] if one["is_default"]] == [view["id"]]
        led = page(maria, "/participants")
        assert (led.status_code, led.location) == (303, f"/participants?{view['query']}")
    shown = page(maria, led.location).text
    assert "Participants (1)" in shown
    assert 'aria-current="true">Spanish</a>' in shown
    assert 'href="/participants?size=25"' in shown, "the way to everything"
    assert page(maria, "/participants?size=25").status_code == 200
    assert page(ortiz, "/participants").status_code == 200
    assert len(maria.read("/participants")["items"]) > 1, "a program asks for what it names"
    maria.do(f"/account/views/{other['id']}/removal")
    assert page(maria, "/participants").status_code == 200
    maria.do("/account/default-view", {"listing": "participants", "view_id": first["id"]})
    maria.do("/account/default-view", {"listing": "participants"})
    assert page(maria, "/participants").status_code == 200


def test_a_view_is_saved_from_its_list_and_found_above_it(api: Api) -> None:
    dana = api("dana")
    shown = page(dana, "/programs?category=housing").text
    assert 'href="/account/views/new?listing=programs&amp;query=category%3Dhousing"' in shown
    form = page(dana, "/account/views/new?listing=programs&query=category%3Dhousing").text
    assert 'value="category=housing"' in form
    assert 'name="team"' not in form
    assert 'name="team"' in page(api("rosa"), "/account/views/new?listing=programs&query=").text
    words = {"listing": "programs", "query": "category=housing", "name": "Beds"}
    made = dana.http.post(
        "/account/views/new",
        data=words,
        base_url=ORIGIN,
        headers={"X-CSRFToken": dana.token},
        environ_base={"REMOTE_ADDR": dana.address},
    )
    assert (made.status_code, made.location) == (303, "/programs?category=housing")
    assert ">Beds</a>" in page(dana, "/programs?size=25").text
    views = page(dana, "/account/views").text
    assert "Beds" in views
    assert "Only you" in views


def test_what_people_call_a_view_and_what_they_look_for_is_sealed(front: Front, api: Api) -> None:
    words = {"listing": "programs", "query": "place=Canarytown", "name": "For Canarybird"}
    api("dana").do("/account/views", words)
    with front.engine.connect() as connection:
        kept = connection.execute(text("SELECT name, query FROM saved_view")).all()
    assert kept
    assert not any(b"anary" in bytes(value) for row in kept for value in row)
