"""A code sheet on paper: one page of US Letter, every code beside a box of its own, none in another's way."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from referrals import demo
from tests.browser.test_passkeys import give_password, look_at

#: US Letter within its margins, at 96 px to the inch.
PAPER = {"width": 672, "height": 912}
#: Of each code on the sheet: how high its line is, how large its letters are, and whether it stands in its own cell.
LINES = """() => [...document.querySelectorAll('main ol li')].map(one => {
    const cell = one.getBoundingClientRect(), code = one.querySelector('code').getBoundingClientRect();
    const box = one.querySelector('[aria-hidden]').getBoundingClientRect();
    const size = parseFloat(getComputedStyle(one.querySelector('code')).fontSize);
    return [cell.height, size, box.width, box.right <= code.left && code.right + 8 <= cell.right];
})"""


def test_s103_the_sheet_prints_on_one_page_with_a_box_beside_each_code(
    visitor: Callable[..., Any], service: Any
) -> None:
    front = service.front()
    organization = front.sign_in("walsh").organization
    one = visitor()
    page = one.page
    give_password(one, "paper.holder", front.invite(organization, "paper.holder", "Paper Holder", "case_manager"))
    page.get_by_label("New password").fill(demo.PASSWORD)
    page.get_by_role("button", name="Save password").click()
    page.get_by_role("link", name="Print a code sheet instead").click()
    look_at(one)
    page.get_by_role("button", name="Show the sheet").click()
    look_at(one)
    page.set_viewport_size({"width": 320, "height": 900})
    look_at(one)
    printed = page.pdf(prefer_css_page_size=True)
    assert re.findall(rb"/Count (\d+)", printed) == [b"1"]
    page.emulate_media(media="print")
    page.set_viewport_size(PAPER)
    lines = page.evaluate(LINES)
    assert len(lines) == 60
    for height, size, box, stands_alone in lines:
        assert (height >= 30, size >= 16, box >= 16, stands_alone) == (True, True, True, True)
    assert not page.get_by_role("textbox").is_visible(), "the form is no part of the paper"
