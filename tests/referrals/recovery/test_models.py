"""A recovery over any course of events: whatever happens in whatever order, two colleagues, a day, once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from referrals.account import commands
from referrals.kernel.errors import RuleBrokenError
from referrals.recovery.models import LASTS, REFUSED, WITHDRAWN, FactorRecovery, holds

commands.use_fast_hashing()
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
PERSON = UUID(int=1)
#: Whoever may try to speak: the person too, and the operator.
ANYBODY = st.sampled_from([PERSON, UUID(int=2), UUID(int=3), None])


class Recovering(RuleBasedStateMachine):
    """People try everything at any time; what happened is kept apart from what the recovery says."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.confirmed_by: list[UUID | None] = []
        self.uses: list[datetime] = []
        self.stopped = False

    @initialize(first=st.sampled_from([UUID(int=2), None]))
    def begin(self, first: UUID | None) -> None:
        self.first = first
        self.it = FactorRecovery.begin(PERSON, by=first, how="known_in_person", at=self.now)
        self.halves = [str(self.it.shown_half), ""]

    @rule(by=ANYBODY)
    def confirm(self, by: UUID | None) -> None:
        try:
            self.it.confirm(by=by, how="known_on_video", at=self.now)
        except RuleBrokenError:
            return
        self.confirmed_by.append(by)
        self.halves[1] = str(self.it.shown_half)

    @rule(outcome=st.sampled_from([REFUSED, WITHDRAWN]))
    def stop(self, outcome: str) -> None:
        try:
            self.it.settle(outcome, by=UUID(int=3), at=self.now)
        except RuleBrokenError:
            return
        self.stopped = True

    @rule()
    def use(self) -> None:
        try:
            self.it.use(self.now)
        except RuleBrokenError:
            return
        assert not self.stopped
        assert holds(self.it, *self.halves)
        self.uses.append(self.now)

    @rule(hours=st.integers(1, 25))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @invariant()
    def two_colleagues_a_day_once(self) -> None:
        assert len(self.confirmed_by) <= 1
        assert len(self.uses) <= 1
        assert not {PERSON, getattr(self, "first", PERSON)} & set(self.confirmed_by)
        if self.uses:
            assert self.confirmed_by
            assert self.uses[0] < NOON + LASTS


TestS105Recovering = Recovering.TestCase


def test_s105_neither_half_alone_and_no_other_order_is_the_code() -> None:
    it = FactorRecovery.begin(PERSON, by=UUID(int=2), how="known_in_person", at=NOON)
    one = str(it.shown_half)
    assert not holds(it, one, ""), "before the second colleague there is no second half at all"
    it.confirm(by=UUID(int=3), how="known_on_video", at=NOON)
    other = str(it.shown_half)
    assert len(one.replace("-", "")) == len(other.replace("-", "")) == 12, "60 bits each"
    tries = [(one, one), (other, one), (other, other), ("", other), (one, "")]
    assert [holds(it, *pair) for pair in tries] == [False] * 5
    assert not holds(None, one, other)
    assert holds(it, one.lower(), other.replace("-", " "))
