"""Passwords, codes and steps: what holds for one account by itself."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from argon2 import extract_parameters
from argon2.low_level import Type
from hypothesis import given
from hypothesis import strategies as st

from referrals.account import models as m
from referrals.account.models import Hashing, SecondFactor, SignIn, User, password_faults, plain_code, recovery_parts
from referrals.kernel.actor import Role, Side, TokenScope
from referrals.organization.models import Organization

NOON = datetime(2026, 3, 2, 12, 0, 15, tzinfo=UTC)
CONTEXT = ["m.hollis", "Mary Hollis", "Northside Reentry Center", "Oakland"]


@pytest.mark.parametrize(
    ("password", "fault"),
    [
        ("a" * 14, "password_too_short"),
        ("quiet harbor l", "password_too_short"),
        ("quiet harbor lantern " * 7, "password_too_long"),
        ("Password1234567", "password_common"),
        ("passwordpassword1", "password_common"),
        ("P@ssw0rd-P@ssw0rd", "password_common"),
        ("qwertyuiop12345", "password_common"),
        ("1qaz2wsx3edc4rfv", "password_common"),
        ("123456789012345", "password_common"),
        ("aaaaaaaaaaaaaaaaaaaa", "password_common"),
        ("letmein2024letmein", "password_common"),
        ("NorthsideReentry2026", "password_context"),
        ("northsidereentrycenter1", "password_context"),
        ("m.hollis m.hollis 7", "password_context"),
        ("Thr0ughgate2026!", "password_context"),
    ],
)
def test_s106_a_password_that_many_would_guess_is_refused_with_its_reason(password: str, fault: str) -> None:
    assert password_faults(password, CONTEXT) == [fault]


@pytest.mark.parametrize(
    "password",
    [
        "quiet harbor lan",
        "839201745562918",
        "correct horse battery staple",
        "sunshine monkey dragon",
        "x7Gq-plum-tarp-92 kelp",
        "пароль для большой реки",
        "quiet harbor lantern " * 3 + "!",
        ("quiet harbor lantern " * 7)[:128],
    ],
)
def test_s106_anything_else_of_15_to_128_characters_is_taken_without_a_rule_of_composition(password: str) -> None:
    assert password_faults(password, CONTEXT) == []


def test_s106_the_blocklist_counts_a_password_of_128_characters_quickly_and_whole() -> None:
    assert password_faults("password" * 15 + "kelpie7Q", CONTEXT) == []
    assert password_faults("1234567890" * 12 + "12345678", CONTEXT) == ["password_common"]


def test_s107_production_hashes_by_argon2id_with_64_mib_and_3_passes() -> None:
    parameters = extract_parameters(Hashing().hash("quiet harbor lantern"))
    assert (parameters.type, parameters.memory_cost, parameters.time_cost) == (Type.ID, 65_536, 3)
    assert parameters.salt_len == 16
    assert parameters.hash_len == 32


def test_s107_a_hash_made_with_lower_settings_is_outdated() -> None:
    assert Hashing(memory_kib=128).is_outdated(Hashing(memory_kib=64, passes=1).hash("quiet harbor"))
    cheap = Hashing(memory_kib=64, passes=1)
    assert not cheap.is_outdated(cheap.hash("quiet harbor"))


def test_s106_every_character_of_a_long_password_counts() -> None:
    hashing = Hashing(memory_kib=64, passes=1)
    password = "kelp" * 25
    hashed = hashing.hash(password)
    assert hashing.verify(hashed, password)
    assert not hashing.verify(hashed, password[:72])
    assert not hashing.verify(hashed, password[:-1])


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
    rows, shown = m.RecoveryCode.fresh(uuid4(), NOON)
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


def test_s108_a_one_time_code_has_80_bits_and_lasts_a_day() -> None:
    m.use_fast_hashing()
    user = User(sign_in_name="casey", display_name="Casey", organization_id=uuid4(), added_at=NOON)
    code = user.begin_code(NOON)
    assert len(plain_code(code)) == 16
    assert user.one_time_until == NOON + timedelta(hours=24)
    assert user.must_change_password
    assert m.passwords.verify(user.password_hash, user.as_hashed(code.lower().replace("-", " ")))


def test_s111_five_hundred_tokens_differ_and_carry_256_bits() -> None:
    tokens = {SignIn.start(uuid4(), channel="page", at=NOON).token for _ in range(500)}
    assert len(tokens) == 500
    assert all(token is not None and len(token) == 43 for token in tokens)


def test_a_sign_in_lacks_the_code_then_a_password_of_ones_own_then_a_factor_then_the_rules() -> None:
    user = User(one_time_until=NOON)
    began = SignIn.start(uuid4(), channel="page", at=NOON)
    assert user.step(began, has_factor=True, acknowledged_at=NOON) == "second_factor"
    assert user.step(began, has_factor=False, acknowledged_at=NOON) == "new_password"
    began.prove(NOON)
    assert user.step(began, has_factor=True, acknowledged_at=None) == "new_password"
    user.choose_password("x", NOON)
    assert user.step(began, has_factor=False, acknowledged_at=None) == "enroll"
    assert user.step(began, has_factor=True, acknowledged_at=None) == "rules"
    assert user.step(began, has_factor=True, acknowledged_at=NOON) == "full"


def test_s803_rules_count_for_sign_ins_that_begin_within_a_year_of_their_acknowledgment() -> None:
    year = timedelta(days=365)
    assert not m.rules_count(None, NOON)
    assert m.rules_count(NOON, NOON + year - timedelta(microseconds=1))
    assert not m.rules_count(NOON, NOON + year)


@pytest.mark.parametrize(
    ("roles", "side", "refused"),
    [
        ({Role.NAVIGATOR}, Side.AGENCY, m.RoleNotOfSideError),
        ({Role.CASE_MANAGER}, Side.COMMUNITY, m.RoleNotOfSideError),
        ({Role.OPERATOR}, Side.AGENCY, m.RoleNotOfSideError),
        ({Role.AUDITOR, Role.SUPERVISOR}, Side.AGENCY, m.AuditorAloneError),
        ({Role.AUDITOR, Role.ADMINISTRATOR}, Side.COMMUNITY, m.AuditorAloneError),
    ],
)
def test_roles_that_do_not_fit_are_refused(roles: set[Role], side: Side, refused: type[Exception]) -> None:
    with pytest.raises(refused):
        m.require_fitting(roles, side)


def test_roles_that_fit_are_taken() -> None:
    m.require_fitting({Role.CASE_MANAGER, Role.SUPERVISOR, Role.ADMINISTRATOR}, Side.AGENCY)
    m.require_fitting({Role.AUDITOR}, Side.COMMUNITY)


def test_a_sign_in_is_over_when_idle_or_half_a_day_old_and_fresh_for_ten_minutes() -> None:
    began = SignIn.start(uuid4(), channel="page", at=NOON)
    limits = m.Limits()
    assert not began.is_over(NOON + timedelta(minutes=14, seconds=59), NOON, limits)
    assert began.is_over(NOON + timedelta(minutes=15), NOON, limits)
    late = NOON + timedelta(hours=12)
    assert began.is_over(late, late, limits)
    assert not began.is_fresh(NOON)
    began.prove(NOON)
    assert began.is_fresh(NOON + timedelta(minutes=9, seconds=59))
    assert not began.is_fresh(NOON + timedelta(minutes=10))


def test_an_organizations_initials_are_context_too() -> None:
    user = User(sign_in_name="casey.1", display_name="Casey Morgan")
    user.__dict__["organization"] = Organization(name="Alder County Probation", side="agency", city=None)
    assert "ACP" in user.context_words()


# --- API tokens ------------------------------------------------------------------------------------------------------


@given(today=st.dates(date(2026, 1, 1), date(2199, 12, 30)))
def test_s808_a_token_lasts_at_most_to_the_same_day_of_the_next_year(today: date) -> None:
    latest = m.latest_last_day(today)
    assert today < latest <= today + timedelta(days=366)
    assert (latest.month, latest.day) == ((today.month, today.day) if (today.month, today.day) != (2, 29) else (2, 28))


def test_s808_a_token_is_256_random_bits_that_scanners_find_and_its_row_holds_their_hash_alone() -> None:
    made = [m.ApiToken.make(uuid4(), ["referrals:read"], date(2027, 1, 1), at=NOON, by=uuid4()) for _ in range(500)]
    texts = {one.shown_token for one in made}
    assert len(texts) == 500
    assert all(re.fullmatch(r"tg_[0-9a-f]{64}", str(text)) for text in texts)
    assert [one.token_hash for one in made] == [m.token_hash(str(one.shown_token)) for one in made]


def test_s808_a_token_opens_through_its_last_day_and_is_revoked_once() -> None:
    made = m.ApiToken.make(uuid4(), [], date(2026, 3, 2), at=NOON, by=uuid4())
    assert [made.is_over(date(2026, 3, day)) for day in (1, 2, 3)] == [False, False, True]
    made.revoke(at=NOON, by=None, because="lost")
    assert made.is_over(date(2026, 3, 1))
    with pytest.raises(m.TokenOverError):
        made.revoke(at=NOON, by=None, because="again")


def test_s808_writing_includes_reading_of_the_same_things_and_nothing_else() -> None:
    for scope in TokenScope:
        family, _, kind = scope.partition(":")
        opened = {one for one in TokenScope if one.is_covered_by([scope.value])}
        assert opened == {scope, *(one for one in TokenScope if kind == "write" and one == f"{family}:read")}
    assert not any(scope.is_covered_by([]) for scope in TokenScope)


def test_s808_no_token_works_as_what_needs_a_second_person_administers_or_audits() -> None:
    powerful = {Role.SUPERVISOR, Role.ADMINISTRATOR, Role.AUDITOR, Role.OPERATOR}
    assert all(roles and powerful.isdisjoint(roles) for roles in m.TOKEN_ROLES.values())
