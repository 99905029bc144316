"""Both doors of setting up second factors."""

from __future__ import annotations

import re
from collections.abc import Callable

from flask import Flask

from referrals.code_sheet import queries as sheets
from referrals.kernel.door import OPERATIONS
from referrals.kernel.openapi import document
from referrals.kernel.session import HouseSession
from referrals.sign_in import queries as sign_in_queries
from tests.factories import account as people
from tests.referrals.account.conftest import Browser, Moment, events, sheet_codes, signed_in, since, spoken


def test_programs_find_what_moved_here_under_the_names_that_it_had(app: Flask) -> None:
    assert app.blueprints["factor_api"]
    told = document([one for one in OPERATIONS if one.endpoint.startswith("factor_api.")])
    found = {(one["operationId"], *one["tags"]) for path in told["paths"].values() for one in path.values()}
    names = [
        *("pending_authenticator", "enroll", "start_factor", "renew_recovery_codes", "add_passkey", "remove_passkey"),
        *("make_code_sheet", "enroll_code_sheet", "lose_code_sheet"),
    ]
    assert found == {(f"sign_in_{name}", "sign_in") for name in names}


def test_a_switch_beside_the_first_code_of_a_sheet_takes_no_sheet_into_use(
    browser: Browser, house: HouseSession, casey: people.Member, code: Callable[[str], str]
) -> None:
    signed_in(browser, casey, code)
    at = "/sign-in/code-sheet/first-code"
    page = browser.post("/sign-in/code-sheet", code=code(casey.sign_in_name))
    assert "show_in" not in page.text, "shown this once: a switch would lose it"
    assert 'action="/language"' not in page.text
    codes = sheet_codes(page)
    sheet = sheets.pending_sheet(house, casey.user_id)
    assert sheet is not None
    first = codes[sheet.asked - 1]
    house.rollback()
    before = len(events(house))
    page = browser.post(at, code=first, show_in="es")
    assert (page.status_code, spoken(page)) == (200, "es")
    assert not any(one in page.text for one in codes)
    assert since(house, before) == [("account.language_changed", "done", None)]
    assert browser.post(at, code=first).location == "/account", "nothing was used up"


def test_s104_new_recovery_codes_and_a_new_authenticator_through_the_pages(
    browser: Browser, casey: people.Member, code: Callable[[str], str], house: HouseSession, moment: Moment
) -> None:
    signed_in(browser, casey, code)
    assert browser.post("/account/recovery-codes", code="000000").status_code == 401
    page = browser.post("/account/recovery-codes", code=code(casey.sign_in_name))
    codes = re.findall(r"<code class=\"tg-code\">(\d+-[0-9A-Z-]{14})</code>", page.text)
    assert len(codes) == 10
    assert browser.get("/account/authenticator/new").location == "/account/authenticator"
    assert browser.post("/account/authenticator", code=codes[0]).location == "/account/authenticator/new"
    assert "Key to type" in browser.get("/account/authenticator/new").text
    factor = sign_in_queries.pending_factor(house, casey.user_id)
    assert factor is not None
    shown_code = factor.code_of(int(moment().timestamp()) // 30)
    house.rollback()
    page = browser.post("/account/authenticator/new", code=shown_code)
    assert len(re.findall(r"<code class=\"tg-code\">(\d+-[0-9A-Z-]{14})</code>", page.text)) == 10
    assert browser.get("/account").status_code == 200
