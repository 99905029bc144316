"""Authenticators and recovery codes: what is refused first, and what replacing them ends (S-103, S-104)."""

from __future__ import annotations

from typing import cast
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from referrals.factor import commands as factors
from referrals.kernel.actor import Role
from referrals.kernel.errors import (
    InvalidInputError,
    NotFoundError,
)
from referrals.sign_in import models as sign_in_models
from referrals.sign_in import queries as sign_in_queries
from tests.factories import account as people
from tests.referrals.account.conftest import Moment, opens, run


def test_s104_new_recovery_codes_end_the_old_ones(house: Session, agency: UUID, now: Moment) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    now.pass_by(minutes=2)
    with pytest.raises(sign_in_models.CodeRefusedError):
        run(house, factors.renew_recovery_codes, casey.actor(house), casey.user_id, code="000000")
    code = sign_in_queries.demo_code(house, casey.sign_in_name, now())
    made = run(house, factors.renew_recovery_codes, casey.actor(house), casey.user_id, code=code)
    assert len(made.shown_codes) == 10
    assert not opens(house, casey.token)
    with pytest.raises(sign_in_models.CodeRefusedError):
        people.give_code(house, people.try_sign_in(house, casey.sign_in_name), casey.recovery_codes[0])
    assert people.give_code(house, people.try_sign_in(house, casey.sign_in_name), made.shown_codes[0]).token


def test_s104_replacing_the_authenticator_needs_a_code_of_the_present_one(
    house: Session, agency: UUID, now: Moment
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    before = sign_in_queries.factor_of(house, casey.user_id)
    assert before is not None
    now.pass_by(minutes=2)
    with pytest.raises(sign_in_models.CodeRefusedError):
        run(house, factors.start_factor, casey.actor(house), casey.user_id, code="000000")
    code = sign_in_queries.demo_code(house, casey.sign_in_name, now())
    pending = run(house, factors.start_factor, casey.actor(house), casey.user_id, code=code)
    with pytest.raises(InvalidInputError):
        run(house, factors.enroll_factor, casey.actor(house), pending.id, code="000000x")
    shown = pending.code_of(int(now().timestamp()) // 30)
    made = run(house, factors.enroll_factor, casey.actor(house), pending.id, code=shown)
    assert not opens(house, casey.token)
    assert opens(house, made.token)
    in_force = sign_in_queries.factor_of(house, casey.user_id)
    assert in_force is not None
    assert in_force.id == pending.id
    with pytest.raises(sign_in_models.FactorNotPendingError):
        run(house, factors.enroll_factor, casey.actor(house, made.token), pending.id, code=shown)


def test_s104_nobody_enrolls_a_factor_of_somebody_else(house: Session, agency: UUID) -> None:
    casey, other = (people.a_member(house, agency, Role.CASE_MANAGER) for _ in range(2))
    factor = sign_in_queries.factor_of(house, casey.user_id)
    assert factor is not None
    with pytest.raises(NotFoundError):
        run(house, factors.enroll_factor, other.actor(house), factor.id, code="000000")


def test_s103_a_half_sign_in_does_not_replace_the_factor_that_it_lacks(
    house: Session, agency: UUID, now: Moment
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    now.pass_by(minutes=2)
    code = sign_in_queries.demo_code(house, casey.sign_in_name, now())
    pending = run(house, factors.start_factor, casey.actor(house), casey.user_id, code=code)
    shown = pending.code_of(int(now().timestamp()) // 30)
    began = people.try_sign_in(house, casey.sign_in_name)
    with pytest.raises(sign_in_models.FactorNotPendingError):
        run(house, factors.enroll_factor, casey.actor(house, cast("str", began.token)), pending.id, code=shown)
