"""Release dates: who may say what, what is in force, and that nothing said is ever lost."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from referrals.consent.models import Consent
from referrals.kernel import look
from referrals.kernel.actor import Actor
from referrals.kernel.command import execute
from referrals.kernel.errors import InvalidInputError, NotFoundError, NotPermittedError
from referrals.kernel.look import NOT_SHARED
from referrals.kernel.session import HouseSession
from referrals.person.models import Person
from referrals.release import commands, queries
from referrals.release.models import (
    AlreadyReleasedError,
    Course,
    Move,
    NothingToCorrectError,
    NotReleasedError,
    ReleaseDate,
    course_of,
)
from tests.factories.account import a_case_manager, a_navigator, a_supervisor, an_auditor
from tests.factories.consent import a_consent, withdrawn
from tests.factories.organization import a_community_organization, a_facility, an_agency
from tests.factories.partnership import an_agreement
from tests.factories.person import a_participant, as_if_referred
from tests.factories.release import a_release_date

NOW = datetime(2026, 6, 15, 18, 0, tzinfo=UTC)


class World:
    def __init__(self, session: HouseSession) -> None:
        self.session = session
        session.info["clock"] = lambda: NOW
        self.agency, self.community = an_agency(session), a_community_organization(session)
        an_agreement(session, self.agency, self.community)
        self.manager, self.navigator = a_case_manager(session, self.agency.id), a_navigator(session, self.community.id)
        self.person: Person = a_participant(session, self.manager)
        as_if_referred(session, self.person.id, self.community.id, user_id=self.navigator.me)

    def history(self, actor: Actor) -> list[Any]:
        with look.looking(self.session):
            return queries.history(self.session, actor, self.person.id)

    def record(self, actor: Actor | None = None, **said: Any) -> ReleaseDate:
        return a_release_date(self.session, actor or self.manager, self.person.id, **said)

    def release(self, actor: Actor | None = None, **said: Any) -> ReleaseDate:
        data = {"released_on": "2026-06-14", "source": "agency_record", "as_of": "2026-06-14"} | said
        return execute(
            self.session, commands.record_release, actor=actor or self.manager, target=self.person.id, data=data
        )

    def in_force(self) -> ReleaseDate | None:
        found = queries.in_force(self.session, [self.person.id]).get(self.person.id)
        self.session.rollback()
        return found


@pytest.fixture
def world(session: HouseSession) -> World:
    return World(session)


@pytest.fixture
def any_world(any_session: HouseSession) -> World:
    return World(any_session)


@pytest.mark.parametrize(
    ("said", "faults"),
    [
        ({"expected_on": None}, {"expected_on": ["day_or_reason"]}),
        ({"unknown_because": "court_pending"}, {"unknown_because": ["day_or_reason"]}),
        ({"as_of": "2026-06-16"}, {"as_of": ["in_future"]}),
        ({"as_of": None}, {"as_of": ["required"]}),
        ({"source": "rumor"}, {"source": ["not_a_choice"]}),
        ({"expected_on": "2026-02-30"}, {"expected_on": ["not_a_date"]}),
        ({"facility_id": "00000000-0000-7000-8000-000000000000"}, {"facility_id": ["not_a_choice"]}),
    ],
)
def test_a_wrong_word_names_its_field(world: World, said: dict[str, Any], faults: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidInputError) as refused:
        world.record(**said)
    assert refused.value.fields == faults
    assert world.in_force() is None


def test_who_is_not_assigned_records_nothing(world: World) -> None:
    for actor in (a_case_manager(world.session, world.agency.id), an_auditor(world.session, world.agency.id)):
        with pytest.raises(NotFoundError):
            world.record(actor)


def test_only_the_agency_speaks_with_authority(world: World) -> None:
    with pytest.raises(InvalidInputError) as refused:
        world.record(world.navigator)
    assert refused.value.fields == {"source": ["only_the_agency"]}
    with pytest.raises(NotPermittedError):
        world.release(world.navigator)
    other = an_agency(world.session, "Coast County Probation")
    officer = a_case_manager(world.session, other.id)
    as_if_referred(world.session, world.person.id, other.id, user_id=officer.me)
    with pytest.raises(InvalidInputError):
        world.record(officer, source="court")


def test_the_latest_of_the_agency_is_in_force_and_what_was_heard_stands_beside_it(any_world: World) -> None:
    world = any_world
    first = world.record(expected_on="2026-09-01")
    heard = world.record(world.navigator, expected_on="2026-08-01", source="participant_says", said_by="Her sister")
    found = world.in_force()
    assert found is not None
    assert found.id == first.id
    later = world.record(expected_on=None, unknown_because="court_pending", source="court", said_by="Dept. 12")
    found = world.in_force()
    assert found is not None
    assert (found.id, found.days_to(date(2026, 6, 15))) == (later.id, None)
    assert [(one.id, one.is_heard) for one in world.history(world.manager)] == [(later.id, False), (first.id, False)]
    mine = world.history(world.navigator)
    assert [(one.id, one.said_by) for one in mine] == [(heard.id, "Her sister")]


def test_the_date_crosses_as_release_alone_until_the_consent_ends(world: World) -> None:
    session = world.session
    world.record(expected_on="2026-09-01", said_by="Records office")
    assert world.history(world.navigator) == []
    with look.looking(session):
        shown = queries.shown_in_force(session, world.navigator, [world.person.id])
        assert shown[world.person.id].expected_on is NOT_SHARED
    consent: Consent = a_consent(session, world.manager, world.person.id, world.community.id, categories=["release"])
    assert [(one.expected_on, one.said_by) for one in world.history(world.navigator)] == [
        (date(2026, 9, 1), "Records office")
    ]
    withdrawn(session, world.manager, consent.id)
    assert world.history(world.navigator) == []


def test_a_facility_follows_what_the_agency_says(world: World) -> None:
    facility = a_facility(world.session, world.agency)
    world.record(world.navigator, source="cbo_heard", facility_id=str(facility.id))
    world.session.refresh(world.person)
    assert world.person.facility_id is None
    world.record(facility_id=str(facility.id))
    world.session.refresh(world.person)
    assert (world.person.facility_id, world.person.version) == (facility.id, 2)
    world.release()
    world.session.refresh(world.person)
    assert world.person.facility_id is None


def test_a_release_is_recorded_once_and_not_before_its_day(world: World) -> None:
    with pytest.raises(InvalidInputError) as refused:
        world.release(released_on="2026-06-16")
    assert refused.value.fields == {"released_on": ["in_future"]}
    with pytest.raises(InvalidInputError):
        world.release(source="cbo_heard")
    released = world.release(a_supervisor(world.session, world.agency.id))
    found = world.in_force()
    assert found is not None
    assert (found.id, found.days_to(date(2026, 6, 15))) == (released.id, -1)
    with pytest.raises(AlreadyReleasedError):
        world.release()
    with pytest.raises(AlreadyReleasedError):
        world.record()


def test_several_people_are_read_in_one_statement(world: World) -> None:
    other = a_participant(world.session, world.manager)
    world.record(expected_on="2026-09-01")
    a_release_date(world.session, world.manager, other.id, date(2026, 7, 1))
    found = queries.in_force(world.session, [world.person.id, other.id])
    assert {one.expected_on for one in found.values()} == {date(2026, 9, 1), date(2026, 7, 1)}
    assert queries.in_force(world.session, []) == {}


def test_history_is_never_rewritten_even_in_raw_sql(any_world: World) -> None:
    any_world.record(said_by="Canary office")
    session = any_world.session
    stored = session.scalars(select(ReleaseDate)).one().__dict__["_said_by"]
    session.rollback()
    for statement in (
        "UPDATE release_date SET expected_on = '2030-01-01'",
        "UPDATE release_date SET source = 'court'",
        "UPDATE release_date SET said_by = NULL",
        "DELETE FROM release_date",
    ):
        with pytest.raises(DBAPIError, match=r"never changed|insert-only"):
            session.connection().execute(text(statement))
        session.rollback()
    assert b"anary" not in stored


# --- back in custody (E24, R24) ---------------------------------------------------------------------------------------

RETURN: dict[str, Any] = {
    "returned_on": "2026-06-14",
    "unknown_because": "court_pending",
    "source": "agency_record",
    "as_of": "2026-06-15",
}


def returned(world: World, actor: Actor | None = None, **said: Any) -> ReleaseDate:
    data = {name: value for name, value in (RETURN | said).items() if value is not None}
    made: ReleaseDate = execute(
        world.session, commands.record_return, actor=actor or world.manager, target=world.person.id, data=data
    )
    return made


@pytest.mark.parametrize(
    ("said", "faults"),
    [
        ({"returned_on": None}, {"returned_on": ["required"]}),
        ({"returned_on": "2026-06-16"}, {"returned_on": ["in_future"]}),
        ({"returned_on": "2026-06-01"}, {"returned_on": ["before_release"]}),
        ({"unknown_because": None}, {"expected_on": ["day_or_reason"]}),
        ({"expected_on": "2026-09-01"}, {"unknown_because": ["day_or_reason"]}),
        ({"expected_on": "2026-06-13", "unknown_because": None}, {"expected_on": ["before_return"]}),
        ({"source": "cbo_heard"}, {"source": ["not_a_choice"]}),
        ({"as_of": "2026-06-16"}, {"as_of": ["in_future"]}),
    ],
)
def test_a_return_has_its_day_and_says_what_is_expected_next(
    world: World, said: dict[str, Any], faults: dict[str, list[str]]
) -> None:
    world.release(released_on="2026-06-10")
    with pytest.raises(InvalidInputError) as refused:
        returned(world, **said)
    assert refused.value.fields == faults


def test_a_return_is_recorded_by_the_agency_alone_and_after_a_release(any_world: World) -> None:
    world = any_world
    world.record()
    with pytest.raises(NotReleasedError):
        returned(world)
    world.release()
    with pytest.raises(NotPermittedError):
        returned(world, world.navigator)
    with pytest.raises(NotFoundError):
        returned(world, a_case_manager(world.session, world.agency.id))
    facility = a_facility(world.session, world.agency)
    back = returned(world, facility_id=str(facility.id))
    world.session.refresh(world.person)
    assert world.person.facility_id == facility.id
    found = world.in_force()
    assert found is not None
    assert (found.id, found.days_to(date(2026, 6, 15)), found.released_on) == (back.id, None, None)
    with pytest.raises(NotReleasedError):
        returned(world)
    world.record(expected_on="2026-10-01")
    world.release(released_on="2026-06-15")
    assert [(one.returned_on, one.expected_on, one.released_on) for one in world.history(world.manager)] == [
        (None, None, date(2026, 6, 15)),
        (None, date(2026, 10, 1), None),
        (date(2026, 6, 14), None, None),
        (None, None, date(2026, 6, 14)),
        (None, date(2026, 8, 14), None),
    ]


def test_the_day_of_a_return_is_never_rewritten_even_in_raw_sql(any_world: World) -> None:
    any_world.release()
    returned(any_world)
    session = any_world.session
    for statement in (
        "UPDATE release_date SET returned_on = '2030-01-01' WHERE returned_on IS NOT NULL",
        "UPDATE release_date SET returned_on = '2030-01-01' WHERE returned_on IS NULL",
        "UPDATE release_date SET returned_on = NULL WHERE returned_on IS NOT NULL",
    ):
        with pytest.raises(DBAPIError, match="never changed"):
            session.connection().execute(text(statement))
        session.rollback()


# --- what moved -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Word:
    """One statement of the agency's, as far as a move is read off it."""

    id: int
    recorded_at: datetime
    expected_on: date | None = None
    released_on: date | None = None
    returned_on: date | None = None
    corrects_id: int | None = None


DAYS = st.dates(date(2026, 6, 1), date(2026, 6, 6))
WORDS = st.one_of(
    st.fixed_dictionaries({"expected_on": st.one_of(st.none(), DAYS)}),
    st.fixed_dictionaries({"released_on": DAYS}),
    st.fixed_dictionaries({"returned_on": DAYS, "expected_on": st.one_of(st.none(), DAYS)}),
)


@given(st.lists(WORDS, max_size=8), st.randoms(use_true_random=False))
def test_a_move_is_the_last_word_that_said_something_else_in_whatever_order_it_is_read(
    words: list[dict[str, date | None]], chance: random.Random
) -> None:
    said = [Word(n, NOW + timedelta(hours=n), **one) for n, one in enumerate(words)]
    found = course_of(chance.sample(said, len(said)))
    days = [None, *(one.released_on or one.expected_on for one in said)]
    told = [(None, None), *((one.released_on, one.expected_on) for one in said)]
    news = [n for n, one in enumerate(said) if one.returned_on or told[n] != told[n + 1]]
    assert (found.move is not None) == bool(news)
    if found.move is not None:
        n = news[-1]
        assert found.move == Move(
            *(said[n].id, said[n].recorded_at, days[n], days[n + 1], said[n].released_on is not None),
            said[n].returned_on,
        )
        assert found.move.now == days[-1], "what was only confirmed since moved nothing"
    back = [n for n, one in enumerate(said) if one.returned_on]
    is_back = bool(back) and not any(one.released_on for one in said[back[-1] + 1 :])
    assert (None if found.returned is None else found.returned.statement_id) == (back[-1] if is_back else None)


@given(st.lists(WORDS, max_size=6), WORDS, WORDS, st.lists(WORDS, max_size=3))
def test_what_was_a_mistake_counts_for_nothing_and_that_it_was_one_is_news(
    before: list[dict[str, date | None]],
    mistake: dict[str, date | None],
    instead: dict[str, date | None],
    after: list[dict[str, date | None]],
) -> None:
    words = [*before, mistake, instead, *after]
    said = [Word(n, NOW + timedelta(hours=n), **one) for n, one in enumerate(words)]
    wrong, right = said[len(before)], said[len(before) + 1]
    corrected = [*said[: right.id], replace(right, corrects_id=wrong.id), *said[right.id + 1 :]]
    without = [one for one in said if one is not wrong]
    found, plain = course_of(corrected), course_of(without)
    now_back = None if found.returned is None else found.returned.statement_id
    assert now_back == (None if plain.returned is None else plain.returned.statement_id)
    assert found.move is not None
    if found.move.statement_id == right.id:
        assert (found.move.corrects, found.move.is_urgent(NOW.date())) == (True, True)
        assert found.move.now == (right.released_on or right.expected_on)
    else:
        assert found.move == plain.move


CORRECTION: dict[str, Any] = {"source": "agency_record", "as_of": "2026-06-15"}


def corrected(world: World, mistake: ReleaseDate, actor: Actor | None = None, **said: Any) -> ReleaseDate:
    data = CORRECTION | {"mistaken_id": str(mistake.id)} | said
    made: ReleaseDate = execute(
        world.session, commands.correct_release, actor=actor or world.manager, target=world.person.id, data=data
    )
    return made


@pytest.mark.parametrize(
    ("said", "faults"),
    [
        ({}, {"expected_on": ["day_or_reason"]}),
        ({"expected_on": "2026-09-01", "unknown_because": "other"}, {"unknown_because": ["day_or_reason"]}),
        ({"released_on": "2026-06-13", "expected_on": "2026-09-01"}, {"released_on": ["released_or_held"]}),
        ({"released_on": "2026-06-16"}, {"released_on": ["in_future"]}),
        ({"returned_on": "2026-06-15", "unknown_because": "other"}, {"returned_on": ["not_of_this"]}),
        ({"unknown_because": "other", "source": "cbo_heard"}, {"source": ["not_a_choice"]}),
        ({"unknown_because": "other", "as_of": "2026-06-16"}, {"as_of": ["in_future"]}),
    ],
)
def test_a_correction_says_what_is_so_instead(world: World, said: dict[str, Any], faults: dict[str, list[str]]) -> None:
    wrong = world.release()
    with pytest.raises(InvalidInputError) as refused:
        corrected(world, wrong, **said)
    assert refused.value.fields == faults


def test_a_mistaken_release_is_taken_back_without_a_return_that_never_was(any_world: World) -> None:
    world = any_world
    session = world.session
    facility = a_facility(session, world.agency)
    first = world.record(expected_on="2026-08-14", facility_id=str(facility.id))
    for nothing in (first, ReleaseDate(id=UUID(int=7))):
        with pytest.raises(NothingToCorrectError):
            corrected(world, nothing, unknown_because="other")
    wrong = world.release(facility_id=str(facility.id))
    session.refresh(world.person)
    assert world.person.facility_id is None
    with pytest.raises(NotPermittedError):
        corrected(world, wrong, world.navigator, expected_on="2026-08-14")
    with pytest.raises(NotFoundError):
        corrected(world, wrong, a_case_manager(session, world.agency.id), expected_on="2026-08-14")
    right = corrected(world, wrong, expected_on="2026-08-14")
    session.refresh(world.person)
    assert world.person.facility_id == facility.id, "held where they were, nobody having said otherwise"
    found = world.in_force()
    assert found is not None
    assert (found.id, found.corrects_id, found.released_on, found.returned_on) == (right.id, wrong.id, None, None)
    with pytest.raises(NothingToCorrectError):
        corrected(world, wrong, expected_on="2026-08-14")
    with pytest.raises(NotReleasedError):
        returned(world)
    assert [one.id for one in world.history(world.manager)] == [right.id, wrong.id, first.id]


def test_a_mistaken_return_leaves_them_released_and_a_wrong_day_is_put_right(any_world: World) -> None:
    world = any_world
    world.release(released_on="2026-06-10")
    wrong = returned(world)
    for day, fault in (("2026-06-09", "before_release"), ("2026-06-16", "in_future")):
        with pytest.raises(InvalidInputError) as refused:
            corrected(world, wrong, returned_on=day, unknown_because="other")
        assert refused.value.fields == {"returned_on": [fault]}
    other_day = corrected(world, wrong, returned_on="2026-06-12", unknown_because="other")
    assert other_day.returned_on == date(2026, 6, 12)
    out = corrected(world, other_day, released_on="2026-06-10")
    found = world.in_force()
    assert found is not None
    assert (found.id, found.released_on) == (out.id, date(2026, 6, 10))
    with look.looking(world.session):
        course = queries.course(world.session, world.manager, world.person.id)
    assert (course.returned, course.move and course.move.is_release) == (None, True)


def test_what_a_statement_corrects_is_never_rewritten_even_in_raw_sql(any_world: World) -> None:
    corrected(any_world, any_world.release(), unknown_because="other")
    session = any_world.session
    for statement in (
        "UPDATE release_date SET corrects_id = NULL WHERE corrects_id IS NOT NULL",
        "UPDATE release_date SET corrects_id = id WHERE corrects_id IS NULL",
    ):
        with pytest.raises(DBAPIError, match="never changed"):
            session.connection().execute(text(statement))
        session.rollback()


@pytest.mark.parametrize(
    ("before", "now", "is_release", "is_urgent"),
    [
        (date(2026, 9, 1), date(2026, 8, 25), False, True),
        (date(2026, 9, 1), date(2026, 8, 26), False, False),
        (date(2026, 9, 1), date(2026, 10, 1), False, False),
        (date(2026, 9, 1), None, False, False),
        (None, date(2026, 9, 1), False, False),
        (None, date(2026, 6, 29), False, True),
        (date(2026, 6, 20), date(2026, 6, 30), False, False),
        (date(2026, 9, 1), date(2026, 9, 1), True, True),
    ],
)
def test_a_much_earlier_or_near_release_cannot_wait(
    before: date | None, now: date | None, is_release: bool, is_urgent: bool
) -> None:
    move = Move(UUID(int=1), NOW, before, now, is_release)
    assert move.is_urgent(NOW.date()) is is_urgent


def test_how_it_moved_shows_only_where_the_release_is_shared_and_nothing_that_was_heard(any_world: World) -> None:
    world = any_world
    session = world.session
    world.record(expected_on="2026-09-01")
    moved = world.record(expected_on="2026-08-01")
    world.record(world.navigator, expected_on="2026-07-01", source="cbo_heard")

    def course(actor: Actor) -> Course:
        with look.looking(session):
            return queries.course(session, actor, world.person.id)

    known = Course(Move(moved.id, NOW, date(2026, 9, 1), date(2026, 8, 1)))
    assert course(world.manager) == known
    assert course(world.navigator) == Course()
    consent = a_consent(session, world.manager, world.person.id, world.community.id, categories=["release"])
    assert course(world.navigator) == known
    withdrawn(session, world.manager, consent.id)
    assert course(world.navigator) == Course()
    found = queries.moved_since(session, NOW - timedelta(minutes=1))
    assert {one: (move, row.id) for one, (move, row) in found.items()} == {world.person.id: (known.move, moved.id)}
    assert queries.moved_since(session, NOW) == {}
