"""Codes, tokens and steps: what holds for one sign-in by itself."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from referrals.account import models as m
from referrals.account.models import User
from referrals.sign_in import models as sign_in_models
from referrals.sign_in.models import SecondFactor, SignIn, recovery_parts

NOON = datetime(2026, 3, 2, 12, 0, 15, tzinfo=UTC)


def test_s104_a_code_is_taken_one_step_early_or_late_and_never_twice() -> None:
    factor = SecondFactor.start(uuid4(), NOON)
    present = int(NOON.timestamp()) // 30
    for off, taken in ((-3, False), (-2, False), (-1, True), (0, True), (1, True), (2, False)):
        assert (factor.matching_step(factor.code_of(present + off), NOON) == present + off) is taken
    factor.last_step = present
    assert factor.matching_step(factor.code_of(present), NOON) is None
    assert factor.matching_step(factor.code_of(present - 1), NOON) is None
    assert factor.matching_step(factor.code_of(present + 1), NOON) == present + 1


@pytest.mark.parametrize(
    "typed", ["", "12345", "1234567", "abcdef", "\uff11\uff12\uff13\uff14\uff15\uff16", "12345\n6x"]
)
def test_s104_what_is_no_six_digit_code_never_matches(typed: str) -> None:
    assert SecondFactor.start(uuid4(), NOON).matching_step(typed, NOON) is None


def test_s104_a_code_is_taken_with_the_space_that_apps_show() -> None:
    factor = SecondFactor.start(uuid4(), NOON)
    code = factor.code_of(int(NOON.timestamp()) // 30)
    assert factor.matching_step(f"{code[:3]} {code[3:]}", NOON) is not None


def test_s104_recovery_codes_have_60_bits_are_hashed_and_forgive_how_they_are_typed() -> None:
    m.use_fast_hashing()
    rows, shown = sign_in_models.RecoveryCode.fresh(uuid4(), NOON)
    assert len(set(shown)) == 10
    assert all(re.fullmatch(r"\d{1,2}(-[0-9A-HJKMNP-TV-Z]{4}){3}", code) for code in shown)
    assert all(row.code_hash.startswith("$argon2id$") for row in rows)
    parts = recovery_parts(shown[6].lower().replace("-", " - "))
    assert parts is not None
    assert parts[0] == 7
    assert rows[6].holds(parts[1])
    assert not rows[5].holds(parts[1])


@pytest.mark.parametrize(
    "typed", ["", "7", "7-", "x-K3QF-9MWD-2HXT", "7-K3QF-9MWD", "123-K3QF-9MWD-2HXT", "-1-K3QF-9MWD-2HXT"]
)
def test_what_is_no_recovery_code_is_none(typed: str) -> None:
    assert recovery_parts(typed) is None


def test_s111_five_hundred_tokens_differ_and_carry_256_bits() -> None:
    tokens = {SignIn.start(uuid4(), channel="page", at=NOON).token for _ in range(500)}
    assert len(tokens) == 500
    assert all(token is not None and len(token) == 43 for token in tokens)


def test_a_sign_in_lacks_the_code_then_a_password_of_ones_own_then_a_factor_then_the_rules() -> None:
    user = User(one_time_until=NOON)
    began = SignIn.start(uuid4(), channel="page", at=NOON)
    assert began.step(user, has_factor=True, acknowledged_at=NOON) == "second_factor"
    assert began.step(user, has_factor=False, acknowledged_at=NOON) == "new_password"
    began.prove(NOON)
    assert began.step(user, has_factor=True, acknowledged_at=None) == "new_password"
    user.choose_password("x", NOON)
    assert began.step(user, has_factor=False, acknowledged_at=None) == "enroll"
    assert began.step(user, has_factor=True, acknowledged_at=None) == "rules"
    assert began.step(user, has_factor=True, acknowledged_at=NOON) == "full"


def test_s803_rules_count_for_sign_ins_that_begin_within_a_year_of_their_acknowledgment() -> None:
    year = timedelta(days=365)
    assert not sign_in_models.rules_count(None, NOON)
    assert sign_in_models.rules_count(NOON, NOON + year - timedelta(microseconds=1))
    assert not sign_in_models.rules_count(NOON, NOON + year)


def test_a_sign_in_is_over_when_idle_or_half_a_day_old_and_fresh_for_ten_minutes() -> None:
    began = SignIn.start(uuid4(), channel="page", at=NOON)
    limits = sign_in_models.Limits()
    assert not began.is_over(NOON + timedelta(minutes=14, seconds=59), NOON, limits)
    assert began.is_over(NOON + timedelta(minutes=15), NOON, limits)
    late = NOON + timedelta(hours=12)
    assert began.is_over(late, late, limits)
    assert not began.is_fresh(NOON)
    began.prove(NOON)
    assert began.is_fresh(NOON + timedelta(minutes=9, seconds=59))
    assert not began.is_fresh(NOON + timedelta(minutes=10))
