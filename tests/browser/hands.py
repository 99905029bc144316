"""How somebody works a page: by the names that people read and screen readers say, never by CSS selectors.

`Mouse` clicks; `Keyboard` walks with Tab and answers with Enter, Space, the arrows and the letters.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import date
from typing import Any, Literal

from playwright.sync_api import Locator, Page

Role = Literal["button", "link", "textbox", "combobox", "radio", "checkbox", "spinbutton"]
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


class Mouse:
    """Somebody who points and clicks."""

    def __init__(self, visitor: Any) -> None:
        """Work this visitor's page."""
        self.visitor = visitor
        self.page: Page = visitor.page

    # --- finding

    def find(self, role: Role, name: str, *, within: str | None = None, exact: bool = False) -> Locator:
        """The first control of this role and name, or of this group."""
        area: Page | Locator = self.page if within is None else self.page.get_by_role("group", name=within)
        return area.get_by_role(role, name=name, exact=exact).first

    def reads(self, words: str) -> bool:
        """Whether these words are on the page."""
        return self.page.get_by_text(words).first.is_visible()

    def heading(self) -> str:
        """The page's one first heading."""
        return self.page.get_by_role("heading", level=1).inner_text()

    def area(self, name: str) -> Locator:
        """A region of the page."""
        return self.page.get_by_role("region", name=name)

    # --- doing

    def follow(self, name: str, **where: Any) -> None:
        """Follow a link and wait for its page."""
        with self._leaving():
            self.activate(self.find("link", name, **where))

    def press(self, name: str, **where: Any) -> None:
        """Press a button and wait for what it brings."""
        with self._leaving():
            self.activate(self.find("button", name, **where))

    def go_to(self, place: str) -> None:
        """Follow an entry of the main navigation."""
        entry = self.page.get_by_role("navigation", name="Main").get_by_role("link", name=place)
        if not entry.is_visible():  # a phone folds the menu
            self.unfold("Menu")
        with self._leaving():
            self.activate(entry)

    def unfold(self, words: str) -> None:
        """Open what is folded under these words."""
        self.activate(self.page.get_by_text(words, exact=True))

    def fill(self, name: str, words: str, **where: Any) -> None:
        """Type into a text field."""
        self.write(self.find("textbox", name, **where), words)

    def pick(self, name: str, option: str, **where: Any) -> None:
        """Pick one entry of a list."""
        self.select(self.find("combobox", name, **where), option)

    def choose(self, group: str, option: str) -> None:
        """Choose one radio of a group."""
        self.mark(self.find("radio", option, within=group))

    def tick(self, name: str, *, within: str | None = None) -> None:
        """Tick one box."""
        self.mark(self.find("checkbox", name, within=within))

    def date(self, group: str, day: date) -> None:
        """Fill the three fields of a day."""
        self.pick("Month", MONTHS[day.month - 1], within=group)
        self.fill("Day", str(day.day), within=group)
        self.fill("Year", str(day.year), within=group)

    # --- with what hand

    def activate(self, control: Locator) -> None:
        """Use a link or a button."""
        control.click()

    def write(self, control: Locator, words: str) -> None:
        """Put words into a field."""
        control.fill(words)

    def select(self, control: Locator, option: str) -> None:
        """Pick an option of a list."""
        control.select_option(label=option)

    def mark(self, control: Locator) -> None:
        """Mark a radio or a box. The design system draws it beside the real one, so it is pressed, not clicked."""
        if not control.is_checked():
            control.press("Space")

    def _leaving(self) -> AbstractContextManager[Any]:
        return self.page.expect_navigation(wait_until="load")


class Counted(Mouse):
    """Somebody who clicks, and whose every act is counted: what a job asks of whoever does it."""

    def __init__(self, visitor: Any) -> None:
        """Work this visitor's page; nothing was done yet."""
        super().__init__(visitor)
        self.pressed = self.filled = self.keys = 0

    def activate(self, control: Locator) -> None:
        """Count a link or a button."""
        self.pressed += 1
        super().activate(control)

    def write(self, control: Locator, words: str) -> None:
        """Count a field and what is typed into it."""
        self.filled += 1
        self.keys += len(words)
        super().write(control, words)

    def select(self, control: Locator, option: str) -> None:
        """Count a field whose answer is picked."""
        self.filled += 1
        super().select(control, option)

    def mark(self, control: Locator) -> None:
        """Count a choice that is made."""
        self.filled += 1
        super().mark(control)

    @property
    def seconds(self) -> float:
        """The time this takes somebody practiced, by the keystroke-level model (Card, Moran, Newell 1980).

        Average typist 0.2 s a key; for each control 1.1 s to point, 0.4 s to move the hand and 1.35 s to think; 0.2 s
        to click. Reading, and what the participant is asked for, is not in it.
        """
        controls = self.pressed + self.filled
        return self.keys * 0.2 + controls * (1.1 + 0.4 + 1.35 + 0.2)


class Keyboard(Mouse):
    """Somebody who never touches the mouse. Tab must reach every control, and show that it has the focus."""

    def activate(self, control: Locator) -> None:
        """Walk there and press Enter."""
        self.visitor.walk_to(control)
        self.page.keyboard.press("Enter")

    def write(self, control: Locator, words: str) -> None:
        """Walk there and type."""
        self.visitor.walk_to(control)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(words)

    def select(self, control: Locator, option: str) -> None:
        """Walk there and go down the list until the option stands."""
        self.visitor.walk_to(control)
        self.page.keyboard.press("Home")
        self._down_until(lambda: _chosen(control) == option, f"{option} in the list")

    def mark(self, control: Locator) -> None:
        """Walk to a box and press Space; within a group of radios the arrows go on."""
        if control.get_attribute("type") == "checkbox":
            self.visitor.walk_to(control)
            self.page.keyboard.press("Space")
            return
        name = control.get_attribute("name")
        self.visitor.walk_to(self.page.locator(f"input[name={name}]").first)
        self.page.keyboard.press("Space")
        self._down_until(control.is_checked, f"the choice {control}")

    def _down_until(self, there: Callable[[], bool], what: str) -> None:
        for _ in range(400):
            if there():
                return
            self.page.keyboard.press("ArrowDown")
        raise AssertionError(f"{self.page.url}: the arrow keys do not lead to {what}")


def _chosen(control: Locator) -> str:
    return str(control.evaluate("one => one.selectedOptions[0] && one.selectedOptions[0].label"))
