"""Passwords, one-time codes and roles: what holds for one account by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from argon2 import extract_parameters
from argon2.low_level import Type

from referrals.account import models as m
from referrals.account.models import Hashing, User, password_faults, plain_code
from referrals.kernel.actor import Role, Side
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


def test_s108_a_one_time_code_has_80_bits_and_lasts_a_day() -> None:
    m.use_fast_hashing()
    user = User(sign_in_name="casey", display_name="Casey", organization_id=uuid4(), added_at=NOON)
    code = user.begin_code(NOON)
    assert len(plain_code(code)) == 16
    assert user.one_time_until == NOON + timedelta(hours=24)
    assert user.must_change_password
    assert m.passwords.verify(user.password_hash, user.as_hashed(code.lower().replace("-", " ")))


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


def test_an_organizations_initials_are_context_too() -> None:
    user = User(sign_in_name="casey.1", display_name="Casey Morgan")
    user.__dict__["organization"] = Organization(name="Alder County Probation", side="agency", city=None)
    assert "ACP" in user.context_words()
