"""A code sheet by itself: whatever is tried, in whichever order (S-104)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from referrals.account import models
from referrals.code_sheet.models import CodeSheet
from referrals.kernel.orm import uuid7


def a_plain_sheet() -> CodeSheet:
    codes = [models.random_code(10) for _ in range(12)]
    drawn = codes, [models.recovery.hash(models.plain_code(code)) for code in codes]
    return CodeSheet.print(uuid7(), drawn, datetime.now(UTC), unlike="")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 11)), max_size=40))
def test_s104_over_any_sequence_of_tries_each_code_is_taken_once_and_only_where_it_is_asked(
    tries: list[tuple[bool, int]],
) -> None:
    sheet: Any = a_plain_sheet()
    codes, taken = list(sheet.shown_codes), set[int]()
    for right, other in tries:
        before = sheet.asked
        number = before if right and before is not None else other + 1
        opened = sheet.take(codes[number - 1])
        assert opened == (number == before)
        if opened:
            assert number not in taken
            taken.add(number)
            assert sheet.asked not in taken
        else:
            assert sheet.asked == before
        assert sheet.left == 12 - len(taken)
    assert sheet.asked is None or sheet.asked in sheet.unused()
