"""The switch of the language beside a half-filled form: nothing typed is lost, and Enter still saves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

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
