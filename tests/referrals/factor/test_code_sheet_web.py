"""Both doors of printed code sheets: what is refused, what is said before and after one is used up, who ends one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from referrals.code_sheet import queries as sheets
from referrals.factor import commands as factors
from referrals.kernel.actor import Role
from referrals.sign_in.models import SignIn
from tests.factories import account as people
from tests.referrals.account.conftest import Browser, add_organization, run, sheet_codes, shown, signed_in
from tests.referrals.factor.conftest import on_paper_alone

FEW = "Only a few codes are left on your sheet."
SHEET = "/api/v1/sign-ins/current/code-sheet"


def a_sheet(house: Session, member: people.Member) -> list[str]:
    """A sheet printed by their first recovery code, in use; its codes."""
    actor = member.actor(house)
    made = run(house, factors.make_code_sheet, actor, member.user_id, code=member.recovery_codes[0])
    codes = list(made.shown_codes)
    run(house, factors.enroll_code_sheet, actor, made.id, code=codes[made.asked - 1])
    return codes


def next_code(house: Session, member: people.Member, codes: list[str]) -> str:
    """The code that the sheet asks for now."""
    house.expire_all()
    sheet = sheets.sheet_of(house, member.user_id)
    assert sheet is not None
    assert sheet.asked is not None
    found = codes[sheet.asked - 1]
    house.rollback()
    return found


def use_up(house: Session, member: people.Member, codes: list[str], *, left: int) -> None:
    """Give the codes that are asked for, until so many are left."""
    began: SignIn = people.try_sign_in(house, member.sign_in_name)
    for _ in range(59 - left):  # the first took the sheet into use
        people.give_code(house, began, next_code(house, member, codes))


def with_password(app: Flask, member: people.Member) -> Browser:
    one = Browser(app)
    one.post("/sign-in", acknowledged="true", name=member.sign_in_name, password=member.password)
    return one


def by_json(app: Flask, member: people.Member, password: str = "") -> tuple[Browser, str]:
    """A program after the password alone, and the token that its requests carry."""
    one = Browser(app)
    words = {"acknowledged": True, "name": member.sign_in_name, "password": password or member.password}
    told = one.send("/api/v1/sign-ins", words).json or {}
    return one, str(told["csrf_token"])


def code_of(answer: Any) -> str:
    return str((answer.json or {})["code"])


# --- nearly used up, and used up --------------------------------------------------------------------------------------


def test_s103_whoever_has_five_codes_left_is_told_to_print_another_and_nobody_sooner(
    app: Flask, house: Session, casey: people.Member
) -> None:
    codes = a_sheet(house, casey)
    use_up(house, casey, codes, left=7)
    for left, is_told in ((6, False), (5, True), (4, True)):
        one = with_password(app, casey)
        one.post("/sign-in/second-step", code=next_code(house, casey, codes))
        assert (FEW in shown(one.get("/home"))) is is_told, left
        page = shown(one.get("/account"))
        assert f"{left} codes left" in page
        assert ("Print a new one now" in page) is is_told


def test_s103_a_used_up_sheet_says_so_and_a_recovery_code_prints_the_next(
    app: Flask, house: Session, agency: UUID
) -> None:
    member, codes = on_paper_alone(house, agency)
    use_up(house, member, codes, left=1)
    one = with_password(app, member)
    last = next_code(house, member, codes)
    one.post("/sign-in/second-step", code=last)
    page = shown(one.get("/home"))
    assert FEW not in page
    assert "No code is left on your sheet." in page
    assert "is used up and opens nothing" in shown(one.get("/account"))
    assert one.post("/sign-in/code-sheet", code=last).status_code == 401

    back = with_password(app, member)
    page = shown(back.get("/sign-in/second-step"))
    assert "Your code sheet opens nothing any more. Enter a recovery code, then print a new sheet." in page
    assert "Enter your code" not in page, "there is no code of theirs to enter"
    for spent in (last, codes[0], codes[59]):
        assert back.post("/sign-in/second-step", code=spent).status_code == 401
    assert back.get("/sign-in/code-sheet").location == "/sign-in/second-step", "the password alone prints no other"
    assert back.post("/sign-in/second-step", code=member.recovery_codes[1]).status_code == 303
    assert "No code is left on your sheet." in shown(back.get("/home"))
    page = back.post("/sign-in/code-sheet", code=member.recovery_codes[2])
    fresh = sheet_codes(page)
    assert len(fresh) == 60
    waiting = sheets.pending_sheet(house, member.user_id)
    assert waiting is not None
    first = fresh[cast("int", waiting.asked) - 1]
    house.rollback()
    assert back.post("/sign-in/code-sheet/first-code", code=first).location == "/account"
    assert "59 codes left" in shown(back.get("/account"))


# --- JSON ------------------------------------------------------------------------------------------------------------


def test_s103_by_json_a_sheet_takes_a_factor_in_force_and_its_own_first_code(
    app: Flask, house: Session, casey: people.Member, code: Callable[[str], str]
) -> None:
    one, token = by_json(app, casey)
    right = code(casey.sign_in_name)
    refused = one.send(SHEET, {"code": right}, token)
    assert (refused.status_code, code_of(refused)) == (401, "code_refused"), "the password alone prints none"
    assert sheets.pending_sheet(house, casey.user_id) is None
    house.rollback()
    whole = one.send("/api/v1/sign-ins/current/second-step", {"code": right}, token).json or {}
    assert (whole["next"], whole["code_sheet"]) == ("full", None)
    token = whole["csrf_token"]
    for words, status, why in (
        ({}, 422, "invalid_input"),
        ({"code": "000000"}, 401, "code_refused"),
        ({"code": right}, 401, "code_refused"),
        ({"code": right, "number": 7}, 422, "invalid_input"),
    ):
        refused = one.send(SHEET, words, token)
        assert (refused.status_code, code_of(refused)) == (status, why), words
    refused = one.send(f"{SHEET}/first-code", {"code": "K3QF9-MWD2H"}, token)
    assert (refused.status_code, code_of(refused)) == (409, "sheet_not_pending")
    assert code_of(one.send("/api/v1/account/code-sheet/loss", {}, token)) == "no_sheet"

    made = one.send(SHEET, {"code": code(casey.sign_in_name)}, token)
    body = made.json or {}
    assert (made.status_code, len(set(body["codes"])), body["confirmed_at"], body["lost_at"]) == (201, 60, None, None)
    right, wrong = body["codes"][body["asked"] - 1], body["codes"][body["asked"] % 60]
    refused = one.send(f"{SHEET}/first-code", {"code": wrong}, token)
    assert refused.status_code == 422
    assert [fault["code"] for fault in (refused.json or {})["errors"]] == ["sheet_code_wrong"]
    done = one.send(f"{SHEET}/first-code", {"code": right}, token).json or {}
    assert (done["next"], done["recovery_codes"]) == ("full", []), "an app stands beside it: its codes stay"
    assert (done["code_sheet"]["name"], done["code_sheet"]["left"]) == (body["name"], 59)
    assert "codes" not in done["code_sheet"]

    lost = one.send("/api/v1/account/code-sheet/loss", {}, done["csrf_token"]).json or {}
    assert lost["lost_at"] is not None
    assert (lost["asked"], lost["codes"]) == (None, [])
    assert (one.get("/api/v1/sign-ins/current").json or {})["code_sheet"] is None
    assert code_of(one.send("/api/v1/account/code-sheet/loss", {}, done["csrf_token"])) == "no_sheet"


def test_s103_by_json_the_first_day_on_paper_and_the_second_step_after_it(
    app: Flask, house: Session, agency: UUID
) -> None:
    user = people.a_user(house, agency, Role.CASE_MANAGER)
    member = people.Member(user.id, user.sign_in_name, people.PASSWORD, [], "")
    one, token = by_json(app, member, cast("str", user.shown_code))
    assert code_of(one.send(SHEET, {}, token)) == "sheet_not_pending", "first a password of one's own"
    told = one.send("/api/v1/sign-ins/current/password", {"new_password": people.PASSWORD}, token).json or {}
    made = one.send(SHEET, {}, told["csrf_token"]).json or {}
    given = {"code": made["codes"][made["asked"] - 1]}
    done = one.send(f"{SHEET}/first-code", given, told["csrf_token"]).json or {}
    assert (done["next"], len(done["recovery_codes"])) == ("rules", 10)
    assert (one.get("/api/v1/sign-ins/current").json or {})["recovery_codes"] == [], "told once"

    again, token = by_json(app, member)
    asked = (again.get("/api/v1/sign-ins/current").json or {})["code_sheet"]
    assert (asked["name"], asked["left"]) == (made["name"], 59)
    other = {"code": made["codes"][asked["asked"] % 60]}
    assert code_of(again.send("/api/v1/sign-ins/current/second-step", other, token)) == "code_refused"
    assert (again.get("/api/v1/sign-ins/current").json or {})["code_sheet"] == asked, "the question waits"
    right = {"code": made["codes"][asked["asked"] - 1]}
    assert (again.send("/api/v1/sign-ins/current/second-step", right, token).json or {})["next"] == "rules"


# --- the administrator ------------------------------------------------------------------------------------------------


def test_s103_an_administrator_ends_a_lost_sheet_by_a_button_and_nobody_else_does(
    app: Flask, house: Session, agency: UUID, code: Callable[[str], str], request: pytest.FixtureRequest
) -> None:
    ada, casey = (request.getfixturevalue(name) for name in ("ada", "casey"))
    person = f"/organization/people/{casey.user_id}"
    at = f"{person}/code-sheet-loss"
    codes = a_sheet(house, casey)
    there = add_organization(house, "Elsewhere", "community")
    stranger = signed_in(Browser(app), people.a_member(house, there, Role.ADMINISTRATOR), code)
    assert stranger.post(at, "/account").status_code == 404
    holder = with_password(app, casey)
    holder.post("/sign-in/second-step", code=next_code(house, casey, codes))
    assert holder.post(at, "/account").status_code == 403, "not even whose it is: they have a page of their own"
    assert at not in holder.get("/account").text

    administrator = signed_in(Browser(app), ada, code)
    other = people.a_member(house, agency, Role.CASE_MANAGER)
    assert "End their code sheet" not in administrator.get(f"/organization/people/{other.user_id}").text
    assert administrator.post(f"/organization/people/{other.user_id}/code-sheet-loss", person).status_code == 409
    assert "Did the person lose their printed code sheet?" in shown(administrator.get(person))
    next_one = next_code(house, casey, codes)
    answer = administrator.post(at, person)
    assert (answer.status_code, answer.location) == (303, person)
    page = shown(administrator.get(person))
    assert "No code of that sheet opens" in page
    assert "End their code sheet" not in page
    assert administrator.post(at, person).status_code == 409

    assert holder.get("/home").location.startswith("/sign-in"), "signed out everywhere"
    assert with_password(app, casey).post("/sign-in/second-step", code=next_one).status_code == 401
    back = with_password(app, casey)
    assert back.post("/sign-in/second-step", code=casey.recovery_codes[1]).status_code == 303
    assert "Code sheet reported lost" in shown(back.get("/account/changes"))
    assert "is lost and opens nothing" in shown(back.get("/account"))
