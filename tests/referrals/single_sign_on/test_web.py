"""Single sign-on through both doors, against a real issuer: who comes in, and everything that does not."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest
from sqlalchemy import func, select

from referrals.account.models import User
from referrals.kernel.actor import Role
from tests.factories import account as people
from tests.factories.issuer import CLIENT
from tests.referrals.account.conftest import Browser, shown
from tests.referrals.single_sign_on.conftest import (
    LISTED,
    OWN,
    PROOF,
    County,
    choice,
    hand_in,
    link,
    proof,
    way,
    words,
)

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(120)]

REFUSED = "This did not open an account here"


def step(who: Browser) -> str:
    """What a sign-in still lacks; empty where there is none."""
    answer = who.get("/api/v1/sign-ins/current")
    return str(answer.get_json()["next"]) if answer.status_code == 200 else ""


def is_nobody(who: Browser) -> bool:
    return who.get("/api/v1/sign-ins/current").status_code == 401


def test_s116_a_first_day_at_ones_organization_needs_no_password_and_no_factor_of_our_own(county: County) -> None:
    county.list_it()
    user = people.a_user(county.house, county.agency, Role.CASE_MANAGER)
    newcomer = county.browser()
    first = {"acknowledged": "true", "name": user.sign_in_name, "password": str(user.shown_code)}
    assert newcomer.post("/sign-in", **first).location == "/sign-in/new-password"
    back = proof(newcomer, county.issuer, "casey-77", "link", "/sign-in/new-password")
    answer = hand_in(newcomer, back)
    assert (answer.status_code, answer.location) == (303, "/sign-in/rules")
    agreed = newcomer.post("/sign-in/rules", wording="2026-11", agreed="true")
    assert (agreed.status_code, step(newcomer)) == (303, "full")
    # The code has done its work, and nothing typed opens the account.
    for typed in (str(user.shown_code), people.PASSWORD, "-"):
        assert county.browser().post("/sign-in", **(first | {"password": typed})).status_code == 401
    later = county.browser()
    answer = hand_in(later, way(later, county.issuer, "casey-77"))
    assert (answer.status_code, answer.location, step(later)) == (303, "/home", "full")


def test_s116_a_connected_account_opens_by_the_issuer_alone_and_by_password_with_it(county: County) -> None:
    county.list_it()
    county.connected(county.casey, "casey-77")
    by_issuer = county.browser()
    assert hand_in(by_issuer, way(by_issuer, county.issuer, "casey-77")).location == "/home"
    assert step(by_issuer) == "full"
    typed = {"acknowledged": "true", "name": county.casey.sign_in_name, "password": county.casey.password}
    by_password = county.browser()
    assert by_password.post("/sign-in", **typed).location == "/sign-in/second-step"
    answer = hand_in(by_password, proof(by_password, county.issuer, "casey-77", "confirm", "/sign-in/second-step"))
    assert (answer.location, step(by_password)) == ("/home", "full")
    assert (county.issuer.asked[-1]["prompt"], county.issuer.asked[-1]["max_age"]) == ("login", "0")


@pytest.mark.parametrize(
    "says",
    [
        {"amr": ["pwd"]},
        {"amr": None},
        {"amr": []},
        {"amr": ["MFA"]},
        {"amr": None, "acr": "mfa"},
        {"amr": None, "acr": "urn:one"},
    ],
)
def test_s103_an_answer_without_a_word_for_two_factors_is_refused_and_opens_no_route(
    county: County, says: dict[str, Any]
) -> None:
    county.list_it()
    county.connected(county.casey, "casey-77")
    county.issuer.says = says
    who = county.browser()
    answer = hand_in(who, way(who, county.issuer, "casey-77"))
    assert (answer.status_code, "with one step only" in shown(answer)) == (401, True)
    assert is_nobody(who)
    assert who.get("/api/v1/participants").status_code == 401


def test_s103_a_level_opens_where_the_organization_named_it(county: County) -> None:
    county.list_it(accepted_amr="", accepted_acr="urn:two urn:three")
    county.issuer.says = {"amr": None, "acr": "urn:three"}
    county.connected(county.casey, "casey-77")
    assert county.issuer.asked[-1]["acr_values"] == "urn:two urn:three"
    county.issuer.says = {"amr": ["mfa"], "acr": "urn:one"}
    who = county.browser()
    assert hand_in(who, way(who, county.issuer, "casey-77")).status_code == 401


def test_s116_whoever_the_issuer_names_and_nobody_connected_makes_no_account_and_learns_nothing(county: County) -> None:
    county.list_it()
    county.connected(county.casey, "casey-77")
    counted = select(func.count(User.id))
    before = county.house.scalar(counted)
    county.house.rollback()
    county.issuer.says = {
        "email": "casey@example.org",
        "preferred_username": county.casey.sign_in_name,
        "name": "Casey Morgan",
    }
    who = county.browser()
    unknown = hand_in(who, way(who, county.issuer, "somebody-else"))
    assert (unknown.status_code, REFUSED in shown(unknown)) == (401, True)
    assert is_nobody(who)
    assert county.house.scalar(counted) == before
    county.house.rollback()


@pytest.mark.parametrize("how", ["locked", "disabled"])
def test_s102_s116_locked_disabled_and_unknown_are_answered_alike(county: County, how: str) -> None:
    administrator = county.list_it()
    county.connected(county.casey, "casey-77")
    if how == "locked":
        for _ in range(5):
            wrong = {"acknowledged": "true", "name": county.casey.sign_in_name, "password": "wrong wrong wrong"}
            assert county.browser().post("/sign-in", **wrong).status_code == 401
    else:
        page = f"/organization/people/{county.casey.user_id}/disabling"
        assert administrator.post(page, because="Left the agency").status_code == 303
    told = []
    for subject in ("casey-77", "nobody-here"):
        who = county.browser()
        answer = hand_in(who, way(who, county.issuer, subject))
        told.append((answer.status_code, shown(answer), is_nobody(who)))
    assert told[0] == told[1]
    assert told[0][0] == 401


def test_s116_an_answer_is_for_one_browser_one_purpose_ten_minutes_and_once(county: County) -> None:
    county.list_it()
    county.connected(county.casey, "casey-77")
    who, thief = county.browser(), county.browser()
    stolen = way(who, county.issuer, "casey-77")
    thief.get("/sign-in/organization")
    answer = hand_in(thief, stolen)
    assert (answer.status_code, REFUSED in shown(answer)) == (401, True)
    assert is_nobody(thief)
    assert hand_in(who, stolen).location == "/home"  # their own browser still has it
    who.post("/sign-out", "/home")

    again = way(who, county.issuer, "casey-77")
    kept = dict(parse_qsl(urlsplit(again).query))
    assert hand_in(who, again).location == "/home"
    who.post("/sign-out", "/home")
    assert county.browser().post("/sign-in/organization/answer", "/sign-in/organization", **kept).status_code == 401

    late = county.browser()
    back = way(late, county.issuer, "casey-77")
    county.moment.pass_by(minutes=10)
    assert hand_in(late, back).status_code == 401

    other = county.browser()
    back = way(other, county.issuer, "casey-77")
    kept = dict(parse_qsl(urlsplit(back).query)) | {"code": "another-code"}
    assert other.post("/sign-in/organization/answer", back, **kept).status_code == 401


def test_s116_opening_the_address_one_is_sent_back_to_tries_nothing(county: County) -> None:
    county.list_it()
    county.connected(county.casey, "casey-77")
    who = county.browser()
    back = way(who, county.issuer, "casey-77")
    for _ in range(2):
        assert who.get(back).status_code == 200
    assert (is_nobody(who), hand_in(who, back).location) == (True, "/home")
    for odd in ("/sign-in/organization/return", "/sign-in/organization/return?error=access_denied&state=x"):
        answer = county.browser().get(odd)
        assert (answer.status_code, "without having signed in there" in shown(answer)) == (400, True)


def test_s116_an_answer_that_names_another_issuer_is_shown_to_nobody(county: County) -> None:
    county.list_it()
    county.connected(county.casey, "casey-77")
    who = county.browser()
    back = way(who, county.issuer, "casey-77")
    kept = len(county.issuer.codes)
    assert hand_in(who, f"{back}&iss=https://other.example.org").status_code == 401
    assert len(county.issuer.codes) == kept, "the code was not changed"
    assert hand_in(who, f"{back}&iss={county.issuer.url}").location == "/home"


def test_s114_nobody_is_sent_anywhere_before_the_notice_was_read(county: County) -> None:
    county.list_it()
    who = county.browser()
    page = who.get("/sign-in/organization")
    assert "restricted information system" in shown(page)
    answer = who.post("/sign-in/organization", issuer_id=choice(page))
    assert (answer.status_code, county.issuer.url in answer.text) == (422, False)
    answer = who.post("/sign-in/organization", acknowledged="true")
    assert (answer.status_code, "Choose your organization." in shown(answer)) == (422, True)
    answer = who.post("/sign-in/organization", acknowledged="true", issuer_id=str(UUID(int=7)))
    assert answer.status_code == 422


def test_s113_an_older_sign_in_there_is_complete_here_and_not_fresh(county: County) -> None:
    county.list_it()
    county.connected(county.ada, "ada-1")
    for old, location in (({"auth_time": int(county.moment().timestamp()) - 3600}, None), ({"auth_time": None}, None)):
        county.issuer.says = old
        who = county.browser()
        assert hand_in(who, way(who, county.issuer, "ada-1")).location == "/home"
        assert step(who) == "full"
        answer = who.post(f"{LISTED}/new", **words(county.issuer, url="https://other.example.org"))
        assert answer.location == f"/sign-in/second-step?next={LISTED}/new", location
    county.issuer.says = {"auth_time": int(county.moment().timestamp()) - 120}
    answer = hand_in(who, proof(who, county.issuer, "ada-1", "confirm", "/sign-in/second-step"))
    assert answer.status_code == 401  # not signed in anew
    county.issuer.says = {}
    assert hand_in(who, proof(who, county.issuer, "ada-1", "confirm", "/sign-in/second-step")).location == "/home"
    answer = who.post(f"{LISTED}/new", **words(county.issuer, url="https://other.example.org"))
    assert answer.status_code == 422  # asked for, and it is silent


def test_s101_s116_five_answers_about_somebody_else_lock_the_account_at_the_second_step(county: County) -> None:
    county.list_it()
    county.connected(county.casey, "casey-77")
    thief = county.browser()
    typed = {"acknowledged": "true", "name": county.casey.sign_in_name, "password": county.casey.password}
    assert thief.post("/sign-in", **typed).location == "/sign-in/second-step"
    for _ in range(5):
        assert (
            hand_in(thief, proof(thief, county.issuer, "thief-1", "confirm", "/sign-in/second-step")).status_code == 401
        )
    assert step(thief) == "second_factor"
    back = proof(thief, county.issuer, "casey-77", "confirm", "/sign-in/second-step")
    assert hand_in(thief, back).status_code == 401
    assert county.browser().post("/sign-in", **typed).status_code == 401


def test_s103_a_password_alone_sets_up_no_factor_even_after_the_issuer_ended(
    county: County,
) -> None:
    administrator = county.list_it()
    user = people.a_user(county.house, county.agency, Role.CASE_MANAGER)
    who = county.browser()
    who.post("/sign-in", acknowledged="true", name=user.sign_in_name, password=str(user.shown_code))
    assert hand_in(who, proof(who, county.issuer, "casey-77", "link", "/sign-in/new-password")).status_code == 303
    who.post("/sign-in/rules", wording="2026-11", agreed="true")
    (listed,) = administrator.get(f"/api/v1{LISTED}").get_json()["items"]
    administrator.post("/sign-in/second-step", code=county.code(county.ada))
    ended = administrator.post(f"{LISTED}/{listed['id']}/end", because="We moved")
    assert (ended.status_code, listed["people"], is_nobody(who)) == (303, 1, True)
    assert "No organization signs in this way yet" in shown(county.browser().get("/sign-in/organization"))

    reset = administrator.post(f"/organization/people/{user.id}/reset")
    given = shown(reset)
    found = re.search(r"[0-9A-Z]{4}(?:-[0-9A-Z]{4}){3}", given)
    assert found is not None, given
    back = county.browser()
    first = {"acknowledged": "true", "name": user.sign_in_name, "password": found[0]}
    assert back.post("/sign-in", **first).location == "/sign-in/second-step"
    for page in ("/sign-in/enroll", "/sign-in/new-password", "/sign-in/code-sheet"):
        assert back.get(page).location == "/sign-in/second-step"


def test_s116_an_issuer_is_believed_about_its_own_organization_alone(county: County) -> None:
    administrator = county.list_it()
    (listed,) = administrator.get(f"/api/v1{LISTED}").get_json()["items"]
    partner = people.a_member(county.house, county.community, Role.NAVIGATOR, name="Nia Brooks")
    other = county.browser()
    other.sign_in(partner, county.code_of)
    assert "Your organization has none here" in shown(other.get(OWN))
    answer = other.post(PROOF, OWN + "?", issuer_id=listed["id"], purpose="link")
    assert answer.status_code == 303
    assert county.issuer.asked == []
    boss = people.a_member(county.house, county.community, Role.ADMINISTRATOR, name="Bo Lund")
    theirs = county.browser()
    theirs.sign_in(boss, county.code_of)
    assert theirs.get(f"/api/v1{LISTED}").get_json()["items"] == []
    random = str(UUID(int=7))
    for act in ("renewal", "end"):
        told = {(theirs.get(f"{LISTED}/{one}/{act}").status_code) for one in (listed["id"], random)}
        assert told == {404}
    assert other.get(LISTED).status_code == 403


def test_s116_a_person_there_is_one_person_here(county: County) -> None:
    county.list_it()
    county.connected(county.casey, "casey-77")
    other = people.a_member(county.house, county.agency, Role.CASE_MANAGER, name="Robin Vale")
    who = county.browser()
    who.sign_in(other, county.code_of)
    answer = hand_in(who, proof(who, county.issuer, "casey-77", "link", OWN))
    assert (answer.status_code, "connected already" in shown(answer)) == (409, True)
    assert who.get(f"/api/v1{OWN}").get_json()["items"] == []


def test_s110_connecting_and_disconnecting_end_all_other_sign_ins_and_are_told(county: County) -> None:
    county.list_it()
    elsewhere = county.browser()
    elsewhere.sign_in(county.casey, county.code_of)
    owner = county.connected(county.casey, "casey-77")
    assert (is_nobody(elsewhere), step(owner)) == (True, "full")
    elsewhere.sign_in(county.casey, county.code_of)
    (row,) = owner.get(f"/api/v1{OWN}").get_json()["items"]
    ended = owner.post(f"{OWN}/{row['id']}/end")
    assert (ended.status_code, ended.location) == (303, OWN)
    assert (is_nobody(elsewhere), step(owner)) == (True, "full")
    told = shown(owner.get("/account/changes"))
    assert "Connected with your organization's own sign-in" in told
    assert "Disconnected from your organization's own sign-in" in told
    assert owner.get(f"{OWN}/{row['id']}/end").status_code == 404
    who = county.browser()
    assert hand_in(who, way(who, county.issuer, "casey-77")).status_code == 401


def test_s103_the_connection_that_is_the_only_factor_is_not_ended(county: County) -> None:
    county.list_it()
    user = people.a_user(county.house, county.agency, Role.CASE_MANAGER)
    who = county.browser()
    who.post("/sign-in", acknowledged="true", name=user.sign_in_name, password=str(user.shown_code))
    hand_in(who, proof(who, county.issuer, "casey-77", "link", "/sign-in/new-password"))
    who.post("/sign-in/rules", wording="2026-11", agreed="true")
    (row,) = who.get(f"/api/v1{OWN}").get_json()["items"]
    answer = who.post(f"{OWN}/{row['id']}/end")
    assert (answer.status_code, "only second step of your account" in shown(answer)) == (409, True)
    later = county.browser()
    assert hand_in(later, way(later, county.issuer, "casey-77")).location == "/home"


def test_an_issuer_that_does_not_answer_is_not_listed_and_one_that_falls_silent_says_so(county: County) -> None:
    administrator = county.browser()
    administrator.sign_in(county.ada, county.code_of)
    for url in ("http://127.0.0.1:9", f"{county.issuer.url}/", "http://169.254.169.254", "file:///etc/passwd", "x"):
        answer = administrator.post(f"{LISTED}/new", **words(county.issuer, url=url))
        assert (answer.status_code, "Under this address nothing answers" in shown(answer)) == (422, True), url
        assert CLIENT[1] not in answer.text
    answer = administrator.post(f"{LISTED}/new", **words(county.issuer, accepted_amr=""))
    assert (answer.status_code, "Enter the word by which" in shown(answer)) == (422, True)
    assert administrator.post(f"{LISTED}/new", **words(county.issuer)).status_code == 303
    answer = administrator.post(f"{LISTED}/new", **words(county.issuer))
    assert (answer.status_code, "uses this address already" in shown(answer)) == (409, True)
    county.connected(county.casey, "casey-77")
    who = county.browser()
    back = way(who, county.issuer, "casey-77")
    county.issuer.is_down = True
    answer = hand_in(who, back)
    assert (answer.status_code, "does not answer now" in shown(answer)) == (503, True)
    county.issuer.is_down = False
    assert hand_in(who, back).location == "/home"  # nothing was spent


def test_a_new_secret_is_used_at_once_and_none_is_ever_shown(county: County) -> None:
    administrator = county.list_it(client_secret="an old secret")
    owner = county.browser()
    owner.sign_in(county.casey, county.code_of)
    assert hand_in(owner, proof(owner, county.issuer, "casey-77", "link", OWN)).status_code == 401
    (listed,) = administrator.get(f"/api/v1{LISTED}").get_json()["items"]
    administrator.post("/sign-in/second-step", code=county.code(county.ada))
    answer = administrator.post(f"{LISTED}/{listed['id']}/renewal", client_secret=CLIENT[1])
    assert (answer.status_code, answer.location) == (303, LISTED)
    owner.post("/sign-in/second-step", code=county.code(county.casey))
    assert hand_in(owner, proof(owner, county.issuer, "casey-77", "link", OWN)).location == "/home"
    for page in (LISTED, f"/api/v1{LISTED}", f"{LISTED}/{listed['id']}/renewal", f"{LISTED}/{listed['id']}/end"):
        told = administrator.get(page).text
        assert "an old secret" not in told
        assert CLIENT[1] not in told


def test_s116_programs_sign_people_in_by_the_same_commands(county: County) -> None:
    administrator = county.browser()
    administrator.sign_in(county.ada, county.code_of)
    token = administrator.get("/api/v1/sign-ins/current").get_json()["csrf_token"]
    answer = administrator.send(f"/api/v1{LISTED}", words(county.issuer), token)
    assert (answer.status_code, answer.get_json()["people"]) == (201, 0)
    owner = county.browser()
    owner.sign_in(county.casey, county.code_of)
    token = owner.get("/api/v1/sign-ins/current").get_json()["csrf_token"]
    asked = {"issuer_id": answer.get_json()["id"], "purpose": "link"}
    told = owner.send("/api/v1/sign-ins/current/issuer", asked, token).get_json()
    back = dict(parse_qsl(urlsplit(county.issuer.sign_in(told["address"], "casey-77")).query))
    done = owner.send(f"/api/v1{OWN}/answer", back, token)
    assert (done.status_code, done.get_json()["next"]) == (200, "full")

    who = county.browser()
    (offered,) = who.get("/api/v1/sign-ins/organization").get_json()["items"]
    assert offered["name"] == "Blue County sign-in"
    refused = who.send("/api/v1/sign-ins/organization", {"issuer_id": offered["id"]})
    assert refused.status_code == 422
    begun = who.send("/api/v1/sign-ins/organization", {"issuer_id": offered["id"], "acknowledged": True})
    assert begun.status_code == 201
    told = begun.get_json()
    back = dict(parse_qsl(urlsplit(county.issuer.sign_in(told["address"], "casey-77")).query))
    assert who.send("/api/v1/sign-ins/organization/answer", back | {"code": ""}, told["csrf_token"]).status_code == 422
    done = who.send("/api/v1/sign-ins/organization/answer", back, told["csrf_token"])
    assert (done.status_code, done.get_json()["next"], step(who)) == (200, "full", "full")
    asked = {"issuer_id": offered["id"], "purpose": "confirm"}
    token = done.get_json()["csrf_token"]
    told = who.send("/api/v1/sign-ins/current/issuer", asked, token).get_json()
    back = dict(parse_qsl(urlsplit(county.issuer.sign_in(told["address"], "casey-77")).query))
    done = who.send("/api/v1/sign-ins/current/issuer/answer", back, token)
    assert done.status_code == 200


def test_s109_a_shared_computer_is_one_however_somebody_signs_in(county: County) -> None:
    county.list_it()
    county.connected(county.casey, "casey-77")
    who = county.browser()
    assert hand_in(who, way(who, county.issuer, "casey-77", shared="true")).location == "/home"
    assert who.get("/api/v1/sign-ins/current").get_json()["shared"] is True
    county.moment.pass_by(minutes=6)
    assert is_nobody(who)


def test_the_way_there_is_a_link_to_the_issuers_own_host_and_the_language_goes_along(county: County) -> None:
    county.list_it()
    who = county.browser()
    page = who.get("/sign-in/organization")
    answer = who.post("/sign-in/organization", acknowledged="true", issuer_id=choice(page))
    assert 'rel="noreferrer"' in answer.text
    assert dict(parse_qsl(urlsplit(link(answer, county.issuer)).query))["ui_locales"] == "en"
