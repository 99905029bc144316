"""The clocks of an unanswered referral: working days, zones, pauses, release dates that move (R10 to R12)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referrals.organization.models import ZONES, holidays, is_working_day, working_day_after
from referrals.referral.models import Allowed, Deadlines, ReleaseTold, State, allowed, deadlines

LA = ZoneInfo("America/Los_Angeles")
#: Kept by the United States in 2026 (Office of Personnel Management, federal holidays).
IN_2026 = "01-01 01-19 02-16 05-25 06-19 07-03 09-07 10-12 11-11 11-26 12-25"


@dataclass(frozen=True)
class Moved:
    to_state: str
    at: datetime


def at(day: str, clock: str = "09:00", zone: ZoneInfo = LA) -> datetime:
    return datetime.combine(date.fromisoformat(day), time.fromisoformat(clock), zone).astimezone(UTC)


def due(day: str, zone: ZoneInfo = LA) -> datetime:
    return at(day, "17:00", zone)


def told(day: str, release: str | None) -> ReleaseTold:
    return ReleaseTold(at(day), None if release is None else date.fromisoformat(release))


def running(*steps: Moved, releases: list[ReleaseTold] | None = None, urgent: bool = False) -> Deadlines:
    found = deadlines(steps, releases or [], urgent=urgent, zone=LA)
    assert found is not None
    return found


# --- working days -----------------------------------------------------------------------------------------------------


def test_the_holidays_of_2026_are_those_the_law_names() -> None:
    assert sorted(day.isoformat() for day in holidays(2026)) == [f"2026-{one}" for one in IN_2026.split()]


@pytest.mark.parametrize(
    ("year", "kept"),
    [
        (2021, {date(2021, 1, 1), date(2021, 6, 18), date(2021, 7, 5), date(2021, 12, 24), date(2021, 12, 31)}),
        (2022, {date(2022, 6, 20), date(2022, 12, 26)}),
        (2023, {date(2023, 1, 2), date(2023, 11, 10)}),
    ],
)
def test_a_holiday_at_a_weekend_is_kept_beside_it_even_over_new_year(year: int, kept: set[date]) -> None:
    assert kept <= holidays(year)
    assert date(2022, 1, 1) not in holidays(2022)


@given(st.dates(date(2020, 1, 1), date(2060, 12, 31)), st.integers(0, 40))
def test_counting_working_days_goes_on_from_where_it_was(day: date, number: int) -> None:
    end = working_day_after(day, number)
    assert working_day_after(working_day_after(day, number // 2), number - number // 2) == end
    between = [day + timedelta(days=n) for n in range(1, (end - day).days + 1)]
    assert sum(map(is_working_day, between)) == number
    assert number == 0 or is_working_day(end)


CLOSED = st.frozensets(st.dates(date(2025, 12, 1), date(2026, 12, 31)), max_size=30)


@given(st.dates(date(2026, 1, 1), date(2026, 12, 31)), st.integers(0, 20), CLOSED)
def test_a_closing_day_counts_as_little_as_a_sunday(day: date, number: int, closed: frozenset[date]) -> None:
    end = working_day_after(day, number, closed)
    assert end >= working_day_after(day, number)
    between = [day + timedelta(days=n) for n in range(1, (end - day).days + 1)]
    working = [one for one in between if is_working_day(one)]
    assert len(working) == number + len(closed.intersection(working))
    assert number == 0 or (end not in closed and is_working_day(end))


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 1)),  # noqa: DTZ001  # given its zone below
    CLOSED,
    st.integers(0, 200),
    st.booleans(),
)
def test_closing_days_only_ever_lengthen_and_no_deadline_ends_on_one(
    sent: datetime, closed: frozenset[date], release_in: int, urgent: bool
) -> None:
    sent = sent.replace(tzinfo=LA)
    release = ReleaseTold(sent - timedelta(days=1), sent.date() + timedelta(days=release_in))
    for state in ("sent", "info_requested"):
        steps = [Moved("sent", sent)] + ([Moved(state, sent + timedelta(hours=1))] if state != "sent" else [])
        plain = deadlines(steps, [release], urgent=urgent, zone=LA)
        kept = deadlines(steps, [release], urgent=urgent, zone=LA, closed=closed)
        assert plain is not None
        assert kept is not None
        for before, after in (
            (plain.acknowledge_by, kept.acknowledge_by),
            (plain.answer_by, kept.answer_by),
            (plain.expires_at, kept.expires_at),
        ):
            assert (before is None) is (after is None)
            if before is not None and after is not None:
                assert before <= after
                assert after.astimezone(LA).date() not in closed


# --- the table --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("days", "urgent", "row"),
    [
        *[(days, False, (1, 2, 3)) for days in (7, 0, -1, -30)],
        *[(days, False, (2, 4, 6)) for days in (8, 30)],
        *[(days, False, (2, 5, 8)) for days in (31, 60)],
        *[(days, False, (3, 7, 10)) for days in (61, 90)],
        *[(days, False, (3, 10, 15)) for days in (91, None, -31)],
        *[(days, True, (1, 2, 3)) for days in (91, None, 45)],
    ],
)
def test_the_table_of_section_4(days: int | None, urgent: bool, row: tuple[int, int, int]) -> None:
    assert allowed(days, urgent=urgent) == Allowed(*row)


# --- deadlines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "clock", "first", "answer", "ends"),
    [
        ("2026-03-02", "09:00", "2026-03-04", "2026-03-06", "2026-03-10"),  # Monday; the clocks change on March 8
        ("2026-03-06", "16:59", "2026-03-10", "2026-03-12", "2026-03-16"),  # Friday
        ("2026-03-07", "09:00", "2026-03-10", "2026-03-12", "2026-03-16"),  # Saturday counts as Friday did
        ("2026-11-24", "09:00", "2026-11-27", "2026-12-01", "2026-12-03"),  # over Thanksgiving
        ("2026-12-30", "23:30", "2027-01-04", "2027-01-06", "2027-01-08"),  # over New Year; a new day in UTC
    ],
)
def test_deadlines_end_at_five_on_working_days(sent: str, clock: str, first: str, answer: str, ends: str) -> None:
    release = (date.fromisoformat(sent) + timedelta(days=20)).isoformat()
    found = running(Moved("sent", at(sent, clock)), releases=[told("2026-01-05", release)])
    assert found == Deadlines(due(first), due(answer), due(ends))


def test_who_acknowledged_has_no_deadline_for_that_and_who_answered_has_none() -> None:
    sent, seen = Moved("sent", at("2026-03-02")), Moved("acknowledged", at("2026-03-03"))
    assert running(sent, seen).acknowledge_by is None
    assert running(sent, seen).answer_by == running(sent).answer_by
    for state in State:
        found = deadlines([sent, Moved(state, at("2026-03-03"))], [], urgent=False, zone=LA)
        assert (found is not None) is (state in {"sent", "acknowledged", "info_requested"}), state
    assert deadlines([], [], urgent=False, zone=LA) is None


def test_a_question_stops_the_recipients_clock_by_the_working_days_that_ended_meanwhile() -> None:
    sent = Moved("sent", at("2026-03-02"))
    asked = Moved("info_requested", at("2026-03-03", "16:00"))
    assert running(sent, asked) == Deadlines(None, due("2026-03-05"), due("2026-03-10"))  # the source's own clock
    without = running(sent).answer_by
    for back, added in (("16:30", 0), ("17:00", 1)):
        assert running(sent, asked, Moved("acknowledged", at("2026-03-03", back))).answer_by == (
            without if not added else due("2026-03-17")
        )
    after_weekend = Moved("acknowledged", at("2026-03-09", "08:00"))
    assert running(sent, asked, after_weekend).answer_by == due("2026-03-20")


def test_the_third_question_stops_nothing() -> None:
    steps = [Moved("sent", at("2026-03-02"))]
    for day in ("2026-03-03", "2026-03-05", "2026-03-09"):
        steps += [Moved("info_requested", at(day)), Moved("acknowledged", at(day, "18:00"))]
    assert running(*steps[:3]).answer_by == due("2026-03-17")
    assert running(*steps[:5]).answer_by == running(*steps).answer_by == due("2026-03-18")


@pytest.mark.parametrize(
    ("release", "answer", "ends"), [("2026-03-10", "03-04", "03-05"), ("2026-03-11", "03-05", "03-10")]
)
def test_the_source_has_less_time_to_reply_when_release_is_within_7_days(release: str, answer: str, ends: str) -> None:
    asked = Moved("info_requested", at("2026-03-03"))
    found = running(Moved("sent", at("2026-03-02")), asked, releases=[told("2026-01-05", release)])
    assert (found.answer_by, found.expires_at) == (due(f"2026-{answer}"), due(f"2026-{ends}"))


def test_an_earlier_release_shortens_but_leaves_a_working_day_and_a_later_one_lengthens() -> None:
    sent, known = Moved("sent", at("2026-03-02")), told("2026-01-05", "2026-08-01")
    assert running(sent, releases=[known]).answer_by == due("2026-03-16")
    sooner = told("2026-03-11", "2026-03-08")
    assert running(sent, releases=[known, sooner]).answer_by == due("2026-03-12")
    assert running(sent, releases=[known, sooner, told("2026-03-12", None)]).answer_by == due("2026-03-16")


days_ahead = st.one_of(st.none(), st.integers(-30, 200))
zones = st.sampled_from(ZONES).map(ZoneInfo)
instants = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # given one


@given(instants, zones, st.tuples(st.integers(-30, 200), st.integers(0, 60)), days_ahead, st.booleans())
def test_an_earlier_release_never_gives_a_later_deadline(
    sent: datetime, zone: ZoneInfo, expected: tuple[int, int], later_told: int | None, urgent: bool
) -> None:
    ahead, earlier = expected
    today = sent.astimezone(zone).date()

    def with_release(days: int) -> Deadlines:
        releases = [ReleaseTold(sent - timedelta(days=9), today + timedelta(days=days))]
        if later_told is not None:
            releases.append(ReleaseTold(sent + timedelta(days=2), today + timedelta(days=later_told)))
        found = deadlines([Moved("sent", sent)], releases, urgent=urgent, zone=zone)
        assert found is not None
        return found

    late, soon = with_release(ahead), with_release(max(-30, ahead - earlier))
    assert soon.answer_by <= late.answer_by
    assert soon.expires_at <= late.expires_at


@given(instants, zones, st.lists(st.tuples(st.integers(0, 20), days_ahead), max_size=4), st.booleans())
def test_every_deadline_is_five_in_the_afternoon_of_a_working_day_and_they_come_in_order(
    sent: datetime, zone: ZoneInfo, moves: list[tuple[int, int | None]], urgent: bool
) -> None:
    today = sent.astimezone(zone).date()
    releases = [
        ReleaseTold(sent + timedelta(days=after), None if ahead is None else today + timedelta(days=ahead))
        for after, ahead in moves
    ]
    found = deadlines([Moved("sent", sent)], releases, urgent=urgent, zone=zone)
    assert found is not None
    assert found.acknowledge_by is not None
    assert sent < found.acknowledge_by <= found.answer_by <= found.expires_at
    for one in (found.acknowledge_by, found.answer_by, found.expires_at):
        there = one.astimezone(zone)
        assert (there.time(), is_working_day(there.date())) == (time(17), True)


@given(instants, zones, st.integers(1, 10_000), st.integers(1, 20_000))
def test_a_pause_adds_exactly_the_working_days_that_ended_in_it(
    sent: datetime, zone: ZoneInfo, waited: int, out: int
) -> None:
    asked = sent + timedelta(minutes=waited)
    back = asked + timedelta(minutes=out)
    steps = [Moved("sent", sent), Moved("info_requested", asked), Moved("acknowledged", back)]
    paused = deadlines(steps, [], urgent=False, zone=zone)
    plain = deadlines(steps[:1], [], urgent=False, zone=zone)
    assert paused is not None
    assert plain is not None
    ended = 0
    day = asked.astimezone(zone).date()
    while day <= back.astimezone(zone).date():
        closes = datetime.combine(day, time(17), zone).astimezone(UTC)
        ended += is_working_day(day) and asked < closes <= back
        day += timedelta(days=1)
    assert paused.answer_by.astimezone(zone).date() == working_day_after(plain.answer_by.astimezone(zone).date(), ended)
