"""When half of the time for an answer is used: pure arithmetic over the clock of a referral (R11, R12)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from referrals.kernel.record import day_of
from referrals.organization.models import is_working_day
from referrals.referral.models import FREE_QUESTIONS, Deadlines, Moved, State


def half_used_at(steps: Sequence[Moved], found: Deadlines) -> datetime:
    """Return when half of the time until the next word is due is used: whoever it waits on is reminded then (R12).

    Counted are the recipient's working days, from when the clock began to run, without what a question stopped (R11).
    `found` is what `deadlines()` returns for the same steps.
    """
    asked = steps[-1].to_state == State.INFO_REQUESTED
    since = steps[-1].at if asked else next(step.at for step in steps if step.to_state == State.SENT)
    out = [(one.at, then.at) for one, then in pairwise(steps) if one.to_state == State.INFO_REQUESTED]
    runs = list(_running(since, found, [] if asked else out[:FREE_QUESTIONS]))
    left = sum(((end - start) for start, end in runs), timedelta()) / 2
    for start, end in runs:
        if left <= end - start:
            return start + left
        left -= end - start
    return found.due_by


def _running(
    since: datetime, found: Deadlines, stopped: Sequence[tuple[datetime, datetime]]
) -> Iterator[tuple[datetime, datetime]]:
    """Give the stretches of working days until the next deadline in which a clock was not stopped, in order."""
    zone = found.zone or ZoneInfo("UTC")
    first, last = day_of(since, zone), day_of(found.due_by, zone)
    for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
        if not is_working_day(day, found.closed):
            continue
        begins, ends = (datetime.combine(one, time(), zone).astimezone(UTC) for one in (day, day + timedelta(days=1)))
        start, end = max(begins, since), min(ends, found.due_by)
        for paused, resumed in stopped:
            if start < paused < end:
                yield start, paused
            if paused < end and start < resumed:
                start = resumed
        if start < end:
            yield start, end
