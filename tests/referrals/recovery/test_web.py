"""A recovery through both doors of the real application."""

from __future__ import annotations

import re
from collections.abc import Callable
from uuid import UUID

import pytest
from flask import Flask

from referrals.kernel.actor import Role
from referrals.kernel.session import HouseSession
from referrals.sign_in import queries as sign_in_queries
from tests.factories import account as people
from tests.referrals.account.conftest import Browser, add_organization, events, shown, signed_in, since

HALF = re.compile(r'<code class="tg-code text-no-wrap">([0-9A-Z-]{14})</code>')
LISTED = "/organization/people/recoveries"


@pytest.fixture
def suri(house: HouseSession, agency: UUID) -> people.Member:
    """A supervisor of the agency."""
    return people.a_member(house, agency, Role.SUPERVISOR, name="Suri Patel")


def half_of(page: str) -> str:
    found = HALF.search(page)
    assert found is not None
    return found[1]


def by_password(app: Flask, member: people.Member) -> Browser:
    one = Browser(app)
    one.post("/sign-in", acknowledged="true", name=member.sign_in_name, password=member.password)
    return one


def test_s105_two_colleagues_bring_somebody_back_through_the_pages(
    app: Flask,
    browser: Browser,
    house: HouseSession,
    code: Callable[[str], str],
    request: pytest.FixtureRequest,
) -> None:
    ada, casey, suri = (request.getfixturevalue(name) for name in ("ada", "casey", "suri"))
    signed_in(browser, ada, code)
    person = f"/organization/people/{casey.user_id}"
    assert f"{person}/recovery" in browser.get(person).text
    assert browser.post(f"{person}/recovery").status_code == 422
    page = browser.post(f"{person}/recovery", how="known_in_person")
    one = half_of(page.text)
    page = browser.get(person)
    assert "A recovery waits for a second colleague" in shown(page)
    assert re.search(r"<h2[^>]*>\s*Recovery of the second factor", page.text)
    assert "Recoveries of a lost second factor : 1" in shown(browser.get("/organization/people"))
    assert f'href="{LISTED}"' in browser.get("/organization/people").text
    begun = browser.get("/home")
    assert "Recoveries that you began Casey Morgan: Waiting for a second colleague" in shown(begun)
    assert "Make sure who is asking" not in shown(begun), "not by the first"
    assert f'href="{LISTED}"' in begun.text
    counts = browser.get("/api/v1/home").get_json()
    assert (counts["recoveries_count"], counts["recoveries_begun_count"]) == (0, 1)
    assert browser.post(f"{person}/recovery", how="known_in_person").status_code == 409

    second = signed_in(Browser(app), suri, code)
    at = re.search(rf'href="({LISTED}/[0-9a-f-]+)"', second.get("/home").text)
    assert at is not None, "it waits on the home of whoever may be the second"
    assert f'href="{LISTED}"' in second.get("/home").text
    assert "Recoveries that you began" not in shown(second.get("/home"))
    assert at[1] in second.get(LISTED).text
    assert "Casey Morgan" in shown(second.get(at[1]))
    assert one not in second.get(at[1]).text
    assert second.post(f"{at[1]}/confirmation").status_code == 422
    other = half_of(second.post(f"{at[1]}/confirmation", how="known_on_video").text)
    assert "Confirmed, not used yet" in shown(browser.get(at[1]))
    assert "Casey Morgan: Confirmed, not used yet" in shown(browser.get("/home"))

    back = by_password(app, casey)
    assert "/sign-in/recovery" in back.get("/sign-in/second-step").text
    assert "Are you the only administrator? Ask whoever runs this service" in shown(back.get("/sign-in/recovery"))
    wrong = back.post("/sign-in/recovery", first_half=one, second_half=one)
    assert wrong.status_code == 401
    assert one not in wrong.text
    answer = back.post("/sign-in/recovery", first_half=one, second_half=other)
    assert (answer.status_code, answer.location) == (303, "/sign-in/enroll")
    assert back.get("/home").location == "/sign-in/enroll"
    pending = sign_in_queries.pending_factor(house, casey.user_id)
    assert pending is not None
    digits = pending.code_of(int(house.info["clock"]().timestamp()) // 30)
    house.rollback()
    assert "recovery codes" in back.post("/sign-in/enroll", code=digits).text
    assert back.get("/home").status_code == 200
    assert "Recoveries that you began" not in shown(browser.get("/home")), "it is over"
    told = shown(back.get("/account/changes"))
    assert "Two colleagues agreed that your second factor is lost" in told


def test_s102_a_switch_of_the_language_tries_no_half_and_puts_none_back(
    app: Flask, house: HouseSession, casey: people.Member, code: Callable[[str], str]
) -> None:
    back = by_password(app, casey)
    before = len(events(house))
    assert 'name="show_in" value="es"' in back.get("/sign-in/recovery").text
    for wished, speaks in (("fr", "en"), *[("es", "es")] * 6):
        halves = {"first_half": "7TTT-2HXT-KQQQ", "second_half": "8SSS-3HXT-KWWW"}
        page = back.post("/sign-in/recovery", **halves, next="/programs", show_in=wished)
        assert (page.status_code, f'<html lang="{speaks}">' in page.text) == (200, True)
        assert not any(half in page.text for half in halves.values())
        assert 'name="next" value="/programs"' in page.text
        assert "usa-error-message" not in page.text
    assert since(house, before) == []
    assert back.post("/sign-in/second-step", code=code(casey.sign_in_name)).location == "/home", "nothing counted"
    late = back.post("/sign-in/recovery", "/account/sign-ins", first_half="7TTT-2HXT-KQQQ", show_in="es")
    assert (late.status_code, late.location) == (303, "/home")


def test_a_switch_keeps_how_a_colleague_made_sure_and_begins_nothing(
    browser: Browser, house: HouseSession, ada: people.Member, casey: people.Member, code: Callable[[str], str]
) -> None:
    signed_in(browser, ada, code)
    at, before = f"/organization/people/{casey.user_id}/recovery", len(events(house))
    page = browser.post(at, how="known_on_video", show_in="es")
    assert (page.status_code, '<html lang="es">' in page.text) == (200, True)
    assert re.search(r'value="known_on_video" checked', page.text)
    assert HALF.search(page.text) is None
    assert since(house, before) == [("account.language_changed", "done", None)]


def test_s105_the_same_by_json_and_never_by_the_password_alone(
    app: Flask, code: Callable[[str], str], request: pytest.FixtureRequest
) -> None:
    ada, casey, suri = (request.getfixturevalue(name) for name in ("ada", "casey", "suri"))

    def caller(member: people.Member) -> tuple[Browser, str]:
        one = Browser(app)
        words = {"acknowledged": True, "name": member.sign_in_name, "password": member.password}
        first = one.send("/api/v1/sign-ins", words).json
        assert first is not None
        return one, str(first["csrf_token"])

    def whole(member: people.Member) -> tuple[Browser, str]:
        one, token = caller(member)
        done = one.send("/api/v1/sign-ins/current/second-step", {"code": code(member.sign_in_name)}, token).json
        assert done is not None
        return one, str(done["csrf_token"])

    first, token = whole(ada)
    began = first.send(f"/api/v1/organization/people/{casey.user_id}/recovery", {"how": "photo_id_in_person"}, token)
    assert began.status_code == 201
    assert began.json is not None
    at = f"/api/v1{LISTED}/{began.json['id']}"
    second, other_token = whole(suri)
    confirmed = second.send(f"{at}/confirmation", {"how": "called_back"}, other_token).json
    assert confirmed is not None
    assert confirmed["state"] == "confirmed"
    assert "half" not in (second.get(at).json or {})

    back, half_token = caller(casey)
    assert (back.get("/api/v1/sign-ins/current").json or {})["next"] == "second_factor"
    refused = back.get("/api/v1/sign-ins/current/authenticator")
    assert refused.status_code == 409
    words = {"first_half": began.json["half"], "second_half": confirmed["half"]}
    answer = back.send("/api/v1/sign-ins/current/recovery", words, half_token)
    assert (answer.status_code, (answer.json or {})["next"]) == (200, "enroll")
    thief, _ = caller(casey)
    assert thief.get("/api/v1/sign-ins/current/authenticator").status_code == 409, "nor by another sign-in meanwhile"
    assert back.get("/api/v1/sign-ins/current/authenticator").status_code == 200


def test_s105_a_stranger_learns_of_no_recovery(
    app: Flask, browser: Browser, house: HouseSession, code: Callable[[str], str], request: pytest.FixtureRequest
) -> None:
    ada, casey = (request.getfixturevalue(name) for name in ("ada", "casey"))
    signed_in(browser, ada, code).post(f"/organization/people/{casey.user_id}/recovery", how="known_in_person")
    found = re.search(rf'href="({LISTED}/[0-9a-f-]+)"', browser.get(LISTED).text)
    assert found is not None
    there = add_organization(house, "Elsewhere", "community")
    stranger = signed_in(Browser(app), people.a_member(house, there, Role.SUPERVISOR), code)
    nothing = stranger.get(f"{LISTED}/01939d00-0000-7000-8000-000000000001")
    for path in (found[1], f"{found[1]}/confirmation", f"{found[1]}/refusal"):
        assert stranger.get(path).status_code == nothing.status_code == 404
    assert "Casey" not in stranger.get(LISTED).text


def test_s102_the_page_for_whoever_lost_the_factor_is_the_same_whether_a_recovery_is_under_way_or_not(
    app: Flask, browser: Browser, code: Callable[[str], str], request: pytest.FixtureRequest
) -> None:
    ada, casey, suri = (request.getfixturevalue(name) for name in ("ada", "casey", "suri"))

    def told() -> tuple[str, int, str]:
        one = by_password(app, casey)
        pages = [one.get("/sign-in/recovery"), one.post("/sign-in/recovery", first_half="A", second_half="B")]
        texts = [re.sub(r'value="[^"]{30,}"', "RANDOM", page.text) for page in pages]
        return texts[0], pages[1].status_code, texts[1]

    before = told()
    signed_in(browser, ada, code).post(f"/organization/people/{casey.user_id}/recovery", how="known_in_person")
    assert told() == before
    second = signed_in(Browser(app), suri, code)
    at = re.search(rf'href="({LISTED}/[0-9a-f-]+)"', second.get("/home").text)
    assert at is not None
    second.post(f"{at[1]}/confirmation", how="known_on_video")
    assert told() == before


def test_a_switch_keeps_how_the_second_colleague_made_sure_and_confirms_nothing(
    app: Flask, browser: Browser, house: HouseSession, code: Callable[[str], str], request: pytest.FixtureRequest
) -> None:
    ada, casey, suri = (request.getfixturevalue(name) for name in ("ada", "casey", "suri"))
    signed_in(browser, ada, code).post(f"/organization/people/{casey.user_id}/recovery", how="known_in_person")
    second = signed_in(Browser(app), suri, code)
    found = re.search(rf'href="({LISTED}/[0-9a-f-]+)"', second.get("/home").text)
    assert found is not None
    at, before = f"{found[1]}/confirmation", len(events(house))
    page = second.post(at, how="called_back", show_in="es")
    assert (page.status_code, '<html lang="es">' in page.text) == (200, True)
    assert re.search(r'value="called_back" checked', page.text)
    assert len(re.findall(r'name="how"[^>]* checked', page.text)) == 1
    assert HALF.search(page.text) is None
    assert since(house, before) == [("account.language_changed", "done", None)]
    again = by_password(app, casey)
    assert again.post("/sign-in/second-step", code=code(casey.sign_in_name)).location == "/home", "nothing was lost"
    assert HALF.search(second.post(at, how="called_back").text), "and confirming is still to be done"


def test_whom_a_recovery_is_about_stops_it_in_their_own_words_and_finds_back_to_their_account(
    app: Flask, browser: Browser, code: Callable[[str], str], request: pytest.FixtureRequest
) -> None:
    ada, casey, suri = (request.getfixturevalue(name) for name in ("ada", "casey", "suri"))
    signed_in(browser, ada, code).post(f"/organization/people/{casey.user_id}/recovery", how="known_in_person")
    own = signed_in(Browser(app), casey, code)
    at = re.search(rf'href="({LISTED}/[0-9a-f-]+)/refusal"', own.get("/account").text)
    assert at is not None
    page = own.get(f"{at[1]}/refusal").text
    crumbs = page.partition('class="tg-crumbs"')[2].partition("</ol>")[0]
    assert re.findall(r'href="([^"]+)"', crumbs) == ["/account"]
    assert "I did not ask for it" in page
    assert "I found my app or a recovery code again" in page
    assert "The person" not in page.partition("<fieldset")[2]
    assert re.findall(r'name="because" value="(\w+)"', page) == ["not_asked_for", "found_again", "by_mistake"]
    theirs = signed_in(Browser(app), suri, code).get(f"{at[1]}/refusal").text
    assert len(re.findall(r'name="because" value="', theirs)) == 5
    assert "The person did not ask for it" in theirs
    left_out = own.post(f"{at[1]}/refusal")
    assert (left_out.status_code, "Choose a reason." in left_out.text) == (422, True)
    assert own.post(f"{at[1]}/refusal", because="not_asked_for").location == at[1]
    stopped = own.get(at[1]).text
    assert "Recovery of your second factor" in stopped
    assert 'href="/account"' in stopped.partition('class="tg-crumbs"')[2].partition("</ol>")[0]
