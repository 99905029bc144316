"""What holds for one program: when a word about capacity is stale, what contradicts itself, how words are searched."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referrals.kernel.orm import uuid7
from referrals.program.models import (
    CAPACITIES,
    NothingSaidError,
    Program,
    ProgramClosedError,
    capacity_faults,
    folded,
)

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def a_plain_program() -> Program:
    return Program(organization_id=uuid7(), name="Ready to Work", categories=["employment"], added_at=NOON)


def test_nothing_said_is_stale_and_cannot_be_confirmed() -> None:
    program = a_plain_program()
    assert program.capacity_is_stale(NOON)
    with pytest.raises(NothingSaidError):
        program.confirm_capacity(at=NOON, by=uuid7())


@given(seconds=st.integers(0, 40 * 86_400))
def test_what_was_said_is_stale_after_14_days_and_not_before(seconds: int) -> None:
    program = a_plain_program()
    program.say_capacity("waitlist", open_places=0, waiting=4, expected_days=30, at=NOON, by=None)
    later = NOON + timedelta(seconds=seconds)
    assert program.capacity_is_stale(later) == (seconds > 14 * 86_400)
    program.confirm_capacity(at=later, by=None)
    assert not program.capacity_is_stale(later)
    assert (program.capacity_code, program.waiting, program.expected_days) == ("waitlist", 4, 30)


@pytest.mark.parametrize("code", CAPACITIES)
@pytest.mark.parametrize("places", [None, 0, 1])
def test_room_and_open_places_agree(code: str, places: int | None) -> None:
    contradicts = (code == "capacity" and places == 0) or (code in {"waitlist", "no_capacity"} and places == 1)
    assert bool(capacity_faults(code, places)) == contradicts


def test_a_closed_program_takes_no_word_more() -> None:
    program = a_plain_program()
    program.say_capacity("capacity", open_places=1, waiting=None, expected_days=None, at=NOON, by=None)
    program.close(at=NOON, by=None, because="The grant ended.")
    assert not program.is_open(NOON)
    assert program.is_open(NOON - timedelta(microseconds=1))
    with pytest.raises(ProgramClosedError):
        program.describe(name="Another")
    with pytest.raises(ProgramClosedError):
        program.confirm_capacity(at=NOON, by=None)
    with pytest.raises(ProgramClosedError):
        program.close(at=NOON, by=None, because="Again.")


def test_what_is_searched_follows_the_words() -> None:
    program = a_plain_program()
    program.describe(name="Cañón Employment", places=["Contra Costa County"])
    assert program.name_fold == "canon employment"
    assert "contra costa county" in program.search_fold
    assert program.places_fold == "contra costa county"
    assert program.version == 2
    assert program.describe(name="Cañón Employment") == set()


@given(st.text(max_size=60))
def test_folding_is_stable(words: str) -> None:
    assert folded(folded(words)) == folded(words)
    assert folded(words) == " ".join(folded(words).split())
