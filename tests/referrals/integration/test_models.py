"""API tokens: what holds for one by itself."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referrals.integration import models as integration_models
from referrals.kernel.actor import Role, TokenScope
from referrals.sign_in import models as sign_in_models

NOON = datetime(2026, 3, 2, 12, 0, 15, tzinfo=UTC)


# --- API tokens ------------------------------------------------------------------------------------------------------


@given(today=st.dates(date(2026, 1, 1), date(2199, 12, 30)))
def test_s808_a_token_lasts_at_most_to_the_same_day_of_the_next_year(today: date) -> None:
    latest = integration_models.latest_last_day(today)
    assert today < latest <= today + timedelta(days=366)
    assert (latest.month, latest.day) == ((today.month, today.day) if (today.month, today.day) != (2, 29) else (2, 28))


def test_s808_a_token_is_256_random_bits_that_scanners_find_and_its_row_holds_their_hash_alone() -> None:
    made = [
        integration_models.ApiToken.make(uuid4(), ["referrals:read"], date(2027, 1, 1), at=NOON, by=uuid4())
        for _ in range(500)
    ]
    texts = {one.shown_token for one in made}
    assert len(texts) == 500
    assert all(re.fullmatch(r"tg_[0-9a-f]{64}", str(text)) for text in texts)
    assert [one.token_hash for one in made] == [sign_in_models.token_hash(str(one.shown_token)) for one in made]


def test_s808_a_token_opens_through_its_last_day_and_is_revoked_once() -> None:
    made = integration_models.ApiToken.make(uuid4(), [], date(2026, 3, 2), at=NOON, by=uuid4())
    assert [made.is_over(date(2026, 3, day)) for day in (1, 2, 3)] == [False, False, True]
    made.revoke(at=NOON, by=None, because="lost")
    assert made.is_over(date(2026, 3, 1))
    with pytest.raises(integration_models.TokenOverError):
        made.revoke(at=NOON, by=None, because="again")


def test_s808_writing_includes_reading_of_the_same_things_and_nothing_else() -> None:
    for scope in TokenScope:
        family, _, kind = scope.partition(":")
        opened = {one for one in TokenScope if one.is_covered_by([scope.value])}
        assert opened == {scope, *(one for one in TokenScope if kind == "write" and one == f"{family}:read")}
    assert not any(scope.is_covered_by([]) for scope in TokenScope)


def test_s808_no_token_works_as_what_needs_a_second_person_administers_or_audits() -> None:
    powerful = {Role.SUPERVISOR, Role.ADMINISTRATOR, Role.AUDITOR, Role.OPERATOR}
    assert all(roles and powerful.isdisjoint(roles) for roles in integration_models.TOKEN_ROLES.values())
