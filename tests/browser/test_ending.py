"""The warning before a sign-in ends (S-109, WCAG 2.2.1): said in time, ended by one press, never shown for nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

MINUTE = 60_000


def used(one: Any, minutes: float) -> None:
    """Let all sign-ins have been used last so many minutes ago: that is bookkeeping, and no act's."""
    used_at = (datetime.now(UTC) - timedelta(minutes=minutes)).replace(tzinfo=None)
    database = one.service.env["THROUGHGATE_DATABASE_URL"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        connection.execute("UPDATE sign_in_use SET used_at = ?", [used_at.isoformat(" ")])


@contextmanager
def left_idle(one: Any, minutes: float) -> Iterator[None]:
    """Leave every sign-in alone for so long; afterwards, for others who come back with theirs, not at all."""
    used(one, minutes)
    try:
        yield
    finally:
        used(one, 0)


def test_s109_two_minutes_before_the_end_one_press_extends_it(visitor: Callable[..., Any]) -> None:
    one = visitor(width=320).come_back("dana")
    page = one.page
    page.clock.install()
    one.go("/home")
    box, stay = page.locator(".tg-ending"), page.get_by_role("button", name="Stay signed in")
    assert not box.is_visible()
    page.clock.fast_forward(14 * MINUTE)
    page.wait_for_load_state("networkidle")
    assert not box.is_visible(), "the server says that it was used meanwhile, elsewhere"
    with left_idle(one, minutes=13.5):
        page.clock.fast_forward(14 * MINUTE)
        stay.wait_for(state="visible")
        assert "within two minutes" in box.inner_text()
        assert one.violations() == []
        assert not one.is_too_wide()
        stay.click()
        box.wait_for(state="hidden")
    assert page.evaluate("document.activeElement.tagName") == "MAIN"
    page.reload()
    assert page.get_by_role("heading", level=1).inner_text() == "Home"


def test_s109_what_is_typed_is_not_lost_when_it_has_ended(visitor: Callable[..., Any]) -> None:
    one = visitor().come_back("dana")
    page = one.page
    page.clock.install()
    one.go("/search")
    page.get_by_role("searchbox").fill("Núñez")
    with left_idle(one, minutes=16):
        page.clock.fast_forward(14 * MINUTE)
        page.get_by_text("You were signed out.").wait_for(state="visible")
        assert not page.get_by_role("button", name="Stay signed in").is_visible()
        assert page.get_by_role("searchbox").input_value() == "Núñez"
        assert one.violations() == []
