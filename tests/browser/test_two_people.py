"""Two people edit the same thing: the second sees both answers, chooses for each field, and loses nothing typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.hands import Mouse

PROGRAM = "Homeward: supported housing"


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_the_second_of_two_editors_chooses_field_by_field(visitor: Callable[..., Any], *, scripts: bool) -> None:
    first, second = visitor(scripts=scripts).come_back("rosa"), visitor(scripts=scripts, width=320).come_back("dana")
    rosa, dana = Mouse(first), Mouse(second)
    for one in (rosa, dana):
        one.page.goto(f"{first.service.url}/programs?search=Homeward")
        one.follow(PROGRAM)
        one.follow("Change these details")
    evidence = rosa.page.get_by_label("Where to read that").input_value()
    dana.fill("Who can take part", f"Adults, typed by Dana, {scripts}")
    dana.fill("What you do", f"Typed by Dana, and nobody else: {scripts}.")
    dana.fill("Phone", "+1 510 555 0199")
    rosa.fill("Who can take part", f"Adults, typed by Rosa, {scripts}")
    rosa.fill("Phone", "+1 510 555 0142" if scripts else "+1 510 555 0143")
    rosa.press("Save")

    dana.press("Save")
    assert dana.page.title().startswith("Error:")
    told = dana.page.get_by_role("alert")
    assert told.get_by_text("Somebody else changed this while you were working on it.").is_visible()
    takes_part, phone = (
        dana.page.get_by_role("group", name=f"{name}: two answers") for name in ("Who can take part", "Phone")
    )
    assert dana.page.get_by_role("group", name="two answers").count() == 2
    assert takes_part.get_by_text(f"Adults, typed by Rosa, {scripts}").is_visible()
    assert takes_part.get_by_text("Theirs, by Rosa").is_visible()
    assert takes_part.get_by_role("textbox").input_value() == f"Adults, typed by Dana, {scripts}"
    assert phone.get_by_role("radio", checked=True).count() == 0, "nobody has chosen for her"
    if scripts:
        assert second.violations() == []
    assert not second.is_too_wide()

    dana.press("Save")
    assert dana.page.get_by_role("group", name="two answers").count() == 2, "without a choice nothing is saved"
    dana.mark(takes_part.get_by_role("radio", name="Yours"))
    dana.mark(phone.get_by_role("radio", name="Theirs"))
    dana.press("Save")
    assert dana.reads("The program was changed.")
    assert dana.reads(f"Adults, typed by Dana, {scripts}")
    assert dana.reads(f"Typed by Dana, and nobody else: {scripts}.")
    assert dana.reads("+1 510 555 0142" if scripts else "+1 510 555 0143")
    assert evidence == "Field practice"
