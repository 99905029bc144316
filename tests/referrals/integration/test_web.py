"""Making an API token through the pages."""

from __future__ import annotations

import re
from collections.abc import Callable

from referrals.kernel.session import HouseSession
from tests.factories import account as people
from tests.referrals.account.conftest import Browser, events, signed_in, since, spoken


def test_s202_a_switch_shows_the_form_to_nobody_who_could_not_open_it(
    browser: Browser, casey: people.Member, code: Callable[[str], str]
) -> None:
    signed_in(browser, casey, code)
    path = "/organization/integrations/new"
    page = browser.post(path, "/account", show_in="es", called="Harbor case system")
    assert (page.status_code, browser.get(path).status_code) == (403, 403)
    assert "Harbor case system" not in page.text


def test_a_switch_of_the_language_keeps_a_half_typed_token_and_makes_none(
    browser: Browser, ada: people.Member, code: Callable[[str], str], house: HouseSession
) -> None:
    signed_in(browser, ada, code)
    at, before = "/organization/integrations/new", len(events(house))
    offered = re.findall(r'name="scopes" value="([^"]+)"', browser.get(at).text)[:2]
    date = {"ends_on-month": "2", "ends_on-day": "31", "ends_on-year": "2027"}
    page = browser.post(at, called="Harbor case system", scopes=offered, **date, show_in="es")
    assert (page.status_code, spoken(page)) == (200, "es")
    assert 'value="Harbor case system"' in page.text
    assert [one for one in offered if f'value="{one}" checked' in page.text] == offered
    assert 'value="31"' in page.text, "also a day that there is not"
    assert since(house, before) == [("account.language_changed", "done", None)]
    assert "Harbor case system" not in browser.get("/organization/integrations").text
