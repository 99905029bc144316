"""The switch of the language beside a half-filled form: nothing typed is lost, and Enter still saves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from referrals import demo
from tests.browser.hands import Mouse

HEARD = "Two neighbors, “quoted” & <b>typed</b>"


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_what_is_typed_stays_in_either_language_and_enter_saves(visitor: Callable[..., Any], *, scripts: bool) -> None:
    one = visitor(scripts=scripts, width=320).come_back("dana")
    hand = Mouse(one)
    hand.page.goto(f"{one.service.url}/programs?search=Homeward")
    hand.follow("Homeward: supported housing")
    hand.follow("Change these details")
    hand.fill("What you do", HEARD)
    for language, label in (("Español", "es"), ("English", "en")):
        hand.press(language, exact=True)
        assert hand.page.evaluate("document.documentElement.lang") == label
        assert hand.page.locator("[name=evidence_basis], [name=description]").first.count() == 1
        assert HEARD in hand.page.locator("textarea").evaluate_all("all => all.map(one => one.value)")
        if scripts:
            assert one.violations() == []
        assert not one.is_too_wide()
    phone = hand.find("textbox", "Phone")
    phone.fill("+1 510 555 0177" if scripts else "+1 510 555 0178")
    with hand.page.expect_navigation(wait_until="load"):
        phone.press("Enter")
    assert hand.reads("The program was changed.")
    assert hand.page.evaluate("document.documentElement.lang") == "en", "Enter presses the form's own button"
    assert hand.reads(HEARD)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_coming_in_and_searching_go_on_in_either_language_with_all_but_the_secrets(
    visitor: Callable[..., Any], *, scripts: bool
) -> None:
    one = visitor(scripts=scripts, width=320)
    hand = Mouse(one)
    one.go("/sign-in")
    one.tick("I have read this notice")
    hand.fill("Sign-in name", "yuki")
    one.page.get_by_label("Password").fill("wrong and secret")
    hand.press("Español", exact=True)
    assert one.page.evaluate("document.documentElement.lang") == "es"
    assert one.page.locator("[name=acknowledged]").is_checked()
    assert one.page.locator("[name=name]").input_value() == "yuki"
    assert one.page.locator("[name=password]").input_value() == ""
    assert "wrong and secret" not in one.page.content()
    if scripts:
        assert one.violations() == []
    assert not one.is_too_wide()
    one.page.locator("[name=password]").fill(demo.PASSWORD)
    one.page.locator("[name=password]").press("Enter")
    code = one.page.locator("[name=code]")
    code.wait_for()
    assert one.page.evaluate("document.documentElement.lang") == "es", "the browser keeps it for who has chosen none"
    code.fill("123456")
    hand.press("English", exact=True)
    assert hand.heading() == "Enter your code"
    assert code.input_value() == "", "nothing was tried, and nothing is put back"
    assert one.page.get_by_role("alert").count() == 0

    known = visitor(scripts=scripts, width=320).come_back("dana")
    hand = Mouse(known)
    known.go("/search")
    known.page.get_by_role("searchbox").fill("Núñez")
    hand.press("Español", exact=True)
    assert known.page.get_by_role("searchbox").input_value() == "Núñez"
    hand.press("English", exact=True)
    assert known.page.get_by_role("searchbox").input_value() == "Núñez"
    assert hand.heading() == "Search"


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_filters_filter_by_enter_and_by_their_button_and_a_switch_keeps_what_is_typed(
    visitor: Callable[..., Any], *, scripts: bool
) -> None:
    one = visitor(scripts=scripts, width=320).come_back("dana")
    hand, page = Mouse(one), one.page
    words = page.get_by_role("textbox").first
    one.go("/programs")
    page.locator("details.tg-filters summary").click()
    words.fill("Home")
    hand.press("Español", exact=True)
    page.wait_for_url("**/programs?search=Home")
    assert page.evaluate("document.documentElement.lang") == "es"
    page.locator("details.tg-filters summary").click()
    assert words.input_value() == "Home"
    words.fill("Homeward")
    words.press("Enter")
    page.wait_for_url("**/programs?search=Homeward&*")
    assert page.evaluate("document.documentElement.lang") == "es", "Enter filters, and switches nothing"
    assert page.get_by_role("link", name="Homeward: supported housing").count() == 1
    hand.press("English", exact=True)
    page.wait_for_url("**/programs?search=Homeward")
    assert page.evaluate("document.documentElement.lang") == "en"
    page.locator("details.tg-filters summary").click()
    words.fill("nothing like it")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**/programs?search=nothing+like+it&*")
    assert page.get_by_text("Nothing matches these filters.").count() == 1
