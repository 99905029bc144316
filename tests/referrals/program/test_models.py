"""What holds for one program: when a word about capacity is stale, what contradicts itself, how words are searched."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referrals.kernel.orm import uuid7
from referrals.organization.models import Location
from referrals.program.models import (
    CAPACITIES,
    NothingSaidError,
    Program,
    ProgramClosedError,
    Sought,
    Verdict,
    capacity_faults,
    fit,
    folded,
)

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def a_plain_program(**said: Any) -> Program:
    words = {"name": "Ready to Work", "categories": ["employment"]} | said
    return Program(organization_id=uuid7(), added_at=NOON, **words)


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


# --- who fits (R12): reasons in words, no score ----------------------------------------------------------------------


def reasons(program: Program, *, agreed: bool = True, part2: bool = False, **sought: Any) -> list[str]:
    return [one.code for one in fit(program, Sought(**sought), agreed=agreed, part2=part2, at=NOON).reasons]


def verdict(program: Program, about: str, **sought: Any) -> tuple[str, Verdict]:
    held = fit(program, Sought(**sought), agreed=True, part2=False, at=NOON)
    (found,) = (one for one in held.reasons if one.code.startswith(f"{about}."))
    return found.code, found.verdict


def test_what_nobody_said_is_for_a_person_to_check_and_never_speaks_against_a_program() -> None:
    held = fit(a_plain_program(), Sought(), agreed=True, part2=False, at=NOON)
    assert [one.code for one in held.reasons] == [
        "agreement.yes",
        "area.not_said",
        "language.not_said",
        "room.not_said",
    ]
    assert (held.fits, held.is_stale, [one.code for one in held.for_it]) == (True, True, ["agreement.yes"])
    assert len(held.to_check) == 3
    assert held.against == []


def test_one_reason_against_it_is_enough_and_it_is_named() -> None:
    program = a_plain_program(languages=["en"])
    assert "agreement.no" in reasons(program, agreed=False, part2=True)
    assert "agreement.part2" in reasons(program, part2=True)
    assert verdict(program, "service", service="housing") == ("service.no", Verdict.NO)
    assert verdict(program, "service", service="employment") == ("service.yes", Verdict.YES)
    held = fit(program, Sought(language="es"), agreed=True, part2=False, at=NOON)
    assert ([one.code for one in held.against], held.fits) == (["language.no"], False)


@pytest.mark.parametrize(
    ("places", "lives", "expected"),
    [
        (["Oakland"], "21 Example Avenue, Oakland, CA 94601", "area.yes"),
        (["Oakland"], "21 Example Avenue\nOAKLAND CA 94601-1234", "area.yes"),
        (["Oakland, CA"], "21 Example Avenue, Oakland CA", "area.yes"),
        (["Oakland"], "21 Example Avenue Oakland CA 94601", "area.yes"),
        (["Cañón City"], "4 Plaza, Canon City, CO 81212", "area.yes"),
        (["94601"], "21 Example Avenue, Oakland, CA 94601-1234", "area.yes"),
        (["Oakland"], "21 Oakland Avenue, Fresno, CA 93650", "area.to_check"),
        (["Oak"], "21 Example Avenue, Oakland, CA 94601", "area.to_check"),
        (["Palo Alto"], "21 Example Avenue, East Palo Alto, CA 94303", "area.to_check"),
        (["East Palo Alto"], "21 Example Avenue, East Palo Alto, CA 94303", "area.yes"),
        (["Palo Alto"], "c/o Ruth Example, Palo Alto", "area.yes"),
        (["CA"], "21 Example Avenue, Oakland, CA 94601", "area.yes"),
        (["Alameda County"], "21 Example Avenue, Oakland, CA 94601", "area.to_check"),
        (["94601", "Alameda County"], "8 Example Road, Fresno, CA 93650", "area.to_check"),
        (["94601", "94603"], "8 Example Road, Fresno, CA 93650", "area.no"),
        (["94601"], "93650 Example Road", "area.to_check"),
        (["94601"], "", "area.to_check"),
        (["Oakland"], None, "area.home_unknown"),
        ([], "21 Example Avenue, Oakland, CA 94601", "area.not_said"),
    ],
)
def test_the_area_is_held_against_where_they_will_live(places: list[str], lives: str | None, expected: str) -> None:
    assert verdict(a_plain_program(places=places), "area", lives=lives)[0] == expected


def test_where_a_program_takes_place_is_served_too() -> None:
    program = a_plain_program(places=["94601"])
    program.location = Location(organization_id=program.organization_id, name="House", city="Fresno", added_at=NOON)
    assert verdict(program, "area", lives="8 Example Road, Fresno, CA 93650")[0] == "area.yes"


@pytest.mark.parametrize(
    ("spoken", "language", "expected"),
    [
        (["en", "es"], "es", "language.yes"),
        (["yue"], "zh", "language.yes"),
        (["en"], "vi", "language.no"),
        (["en"], "other", "language.theirs_unknown"),
        (["en"], None, "language.theirs_unknown"),
        ([], "en", "language.not_said"),
    ],
)
def test_the_language_is_held_against_what_they_speak(spoken: list[str], language: str | None, expected: str) -> None:
    assert verdict(a_plain_program(languages=spoken), "language", language=language)[0] == expected


def with_word(code: str | None, *, name: str = "A", days: int | None = None, old: int = 0, **said: Any) -> Program:
    program = a_plain_program(name=name, **said)
    if code is not None:
        places = 2 if code == "capacity" else None
        at = NOON - timedelta(days=old)
        program.say_capacity(code, open_places=places, waiting=None, expected_days=days, at=at, by=None)
    return program


def test_programs_stand_in_the_order_of_their_reasons() -> None:
    lives = "21 Example Avenue, Oakland, CA 94601"
    known = {"places": ["Oakland"], "languages": ["es"]}
    wanted = [
        with_word("capacity", days=3, **known),
        with_word("capacity", days=30, **known),
        with_word("capacity", **known),
        with_word("capacity", days=1, old=20, **known),
        with_word("waitlist", days=1, **known),
        with_word(None, **known),
        with_word("capacity", days=1, places=["Oakland"]),
        with_word("capacity", days=1, languages=["es"]),
        with_word("no_capacity", **known),
        with_word("capacity", days=1, languages=["en"], places=["Oakland"]),
        with_word("capacity", days=1, places=["93650"], languages=["es"]),
    ]
    held = [fit(one, Sought(language="es", lives=lives), agreed=True, part2=False, at=NOON) for one in wanted]
    assert [one.fits for one in held] == [True] * 8 + [False] * 3
    assert sorted(random.Random(7).sample(held, len(held)), key=lambda one: one.order) == held


@given(
    codes=st.lists(st.sampled_from([*CAPACITIES, None]), min_size=2, max_size=6),
    spoken=st.lists(st.sampled_from([["en"], ["es"], []]), min_size=6, max_size=6),
    agreed=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_what_fits_always_stands_before_what_does_not(
    codes: list[str | None], spoken: list[list[str]], agreed: list[bool]
) -> None:
    held = [
        fit(with_word(code, name=str(number), languages=words), Sought(language="es"), agreed=yes, part2=False, at=NOON)
        for number, (code, words, yes) in enumerate(zip(codes, spoken, agreed, strict=False))
    ]
    listed = sorted(held, key=lambda one: one.order)
    assert [one.fits for one in listed] == sorted((one.fits for one in held), reverse=True)
    for one in held:
        assert one.fits == (one.against == [])
        assert sorted(one.reasons, key=id) == sorted([*one.for_it, *one.to_check, *one.against], key=id)
