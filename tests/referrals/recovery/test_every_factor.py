"""A recovery where it was no authenticator app that was lost: no factor of an account outlives it (S-103, S-105)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

import pyotp
import pytest
from sqlalchemy.orm import Session

from referrals.account import queries as accounts
from referrals.account.models import ENROLL, NEW_PASSWORD, SECOND_FACTOR, User
from referrals.code_sheet import queries as sheets
from referrals.factor import commands as factors
from referrals.kernel.actor import Actor, Role, Source
from referrals.kernel.errors import RefusedError
from referrals.passkey import commands as passkeys
from referrals.passkey import queries as own_passkeys
from referrals.passkey.models import ADD, USE, NoPasskeyError, PasskeyRefusedError
from referrals.recovery import commands
from referrals.sign_in import commands as sign_ins
from referrals.sign_in import queries as q
from referrals.sign_in.models import CodeRefusedError, FactorNotPendingError, FreshSignInNeededError, SignIn
from tests.factories import account as people
from tests.factories.authenticator import Authenticator
from tests.referrals.account.conftest import run

HOW = {"first": "known_in_person", "second": "known_on_video"}


def oneself(house: Session, began: SignIn, step: str) -> Actor:
    actor = q.actor_for(accounts.user(house, began.user_id), began, Source("page"), step=step)
    house.rollback()
    return actor


def asked(house: Session, actor: Actor, purpose: str) -> dict[str, Any]:
    options = own_passkeys.options(house, run(house, passkeys.challenge_passkey, actor, actor.me, purpose=purpose))
    house.rollback()
    return options


def add_key(house: Session, actor: Actor, key: Authenticator) -> SignIn:
    answer = key.create(asked(house, actor, ADD))
    return cast("SignIn", run(house, factors.add_passkey, actor, actor.me, name="Blue key", passkey=answer))


def add_sheet(house: Session, actor: Actor) -> tuple[SignIn, list[str]]:
    sheet = run(house, factors.make_code_sheet, actor, actor.me)
    codes = list(sheet.shown_codes)
    done = run(house, factors.enroll_code_sheet, actor, sheet.id, code=codes[sheet.asked - 1])
    return cast("SignIn", done), codes


def on_the_first_day(house: Session, agency: UUID, sets_up: Callable[[Actor], SignIn]) -> people.Member:
    """Somebody whose one factor is what `sets_up` sets up."""
    user = people.a_user(house, agency, Role.CASE_MANAGER)
    began = people.try_sign_in(house, user.sign_in_name, cast("str", user.shown_code))
    actor = oneself(house, began, NEW_PASSWORD)
    run(house, sign_ins.change_password, actor, user.id, new_password=people.PASSWORD)
    made = sets_up(oneself(house, began, ENROLL))
    codes, token = list(made.shown_codes), cast("str", made.token)
    run(house, sign_ins.acknowledge_rules, oneself(house, began, "rules"), user.id, wording=q.WORDING, agreed=True)
    return people.Member(user.id, user.sign_in_name, people.PASSWORD, codes, token)


def step_of(house: Session, began: SignIn) -> str:
    held = q.holder(house, cast("str", began.token), Source("page"))
    house.rollback()
    assert held is not None
    return held.step


def fresh(house: Session, member: people.Member) -> Actor:
    house.info["clock"].pass_by(seconds=61)
    return member.actor(house, str(people.sign_in_fully(house, member).token))


def recovered(house: Session, first: people.Member, second: people.Member, about: people.Member) -> tuple[str, str]:
    """The halves of the code of a recovery that two colleagues confirmed."""
    began = run(house, commands.start_recovery, fresh(house, first), about.user_id, how=HOW["first"])
    recovery, one = began.id, cast("str", began.shown_half)
    confirmed = run(house, commands.confirm_recovery, fresh(house, second), recovery, how=HOW["second"])
    return one, cast("str", confirmed.shown_half)


def come_back(house: Session, about: people.Member, halves: tuple[str, str]) -> SignIn:
    began = people.try_sign_in(house, about.sign_in_name)
    one, other = halves
    actor = oneself(house, began, SECOND_FACTOR)
    made = run(house, commands.use_recovery, actor, began.id, first_half=one, second_half=other)
    return cast("SignIn", made)


def nothing_opens(house: Session, about: people.Member, *dead: str) -> SignIn:
    """The password stays at the second step, sets nothing up, and none of these codes leads on."""
    began = people.try_sign_in(house, about.sign_in_name)
    assert step_of(house, began) == SECOND_FACTOR
    actor = oneself(house, began, SECOND_FACTOR)
    for code in dead:
        with pytest.raises(CodeRefusedError):
            people.give_code(house, began, code)
    with pytest.raises(RefusedError):
        run(house, factors.make_code_sheet, actor, actor.me)
    with pytest.raises(FreshSignInNeededError):
        add_key(house, actor, Authenticator())
    assert q.setup(house, actor) is None
    return began


@pytest.fixture
def suri(house: Session, agency: UUID) -> people.Member:
    """A supervisor of the agency."""
    return people.a_member(house, agency, Role.SUPERVISOR, name="Suri Patel")


def is_lost(house: Session, about: people.Member) -> bool:
    house.expire_all()
    found = house.get_one(User, about.user_id).factor_lost_at is not None
    house.rollback()
    return found


@pytest.mark.usefixtures("engine")
def test_s103_s105_a_key_that_was_the_only_factor_answers_for_nobody_after_a_recovery(
    house: Session, agency: UUID, ada: people.Member, suri: people.Member
) -> None:
    key = Authenticator()
    about = on_the_first_day(house, agency, lambda actor: add_key(house, actor, key))
    began = people.try_sign_in(house, about.sign_in_name)
    question = asked(house, oneself(house, began, SECOND_FACTOR), USE)
    halves = recovered(house, ada, suri, about)
    assert is_lost(house, about)
    with pytest.raises(RefusedError):  # a question from before, answered by the lost key
        run(
            house,
            sign_ins.confirm_second_factor,
            oneself(house, began, SECOND_FACTOR),
            began.id,
            passkey=key.get(question),
        )
    later = nothing_opens(house, about, about.recovery_codes[0])
    with pytest.raises(NoPasskeyError):
        asked(house, oneself(house, later, SECOND_FACTOR), USE)
    back = come_back(house, about, halves)
    assert step_of(house, back) == ENROLL
    other = Authenticator()
    done = add_key(house, oneself(house, back, ENROLL), other)
    assert (len(done.shown_codes), step_of(house, done), is_lost(house, about)) == (10, "full", False)
    again = people.try_sign_in(house, about.sign_in_name)
    question = asked(house, oneself(house, again, SECOND_FACTOR), USE)
    with pytest.raises(PasskeyRefusedError):
        run(
            house,
            sign_ins.confirm_second_factor,
            oneself(house, again, SECOND_FACTOR),
            again.id,
            passkey=key.get(question, by=key.credentials[0]),
        )
    nothing_opens(house, about)


@pytest.mark.usefixtures("engine")
def test_s103_s105_a_sheet_that_was_the_only_factor_opens_nothing_after_a_recovery(
    house: Session, agency: UUID, ada: people.Member, suri: people.Member
) -> None:
    codes: list[str] = []

    def on_paper(actor: Actor) -> SignIn:
        done, drawn = add_sheet(house, actor)
        codes.extend(drawn)
        return done

    about = on_the_first_day(house, agency, on_paper)
    sheet = sheets.sheet_of(house, about.user_id)
    assert sheet is not None
    asked_for = codes[cast("int", sheet.asked) - 1]
    house.rollback()
    halves = recovered(house, ada, suri, about)
    nothing_opens(house, about, asked_for, about.recovery_codes[0])
    back = come_back(house, about, halves)
    assert step_of(house, back) == ENROLL
    done, fresh_codes = add_sheet(house, oneself(house, back, ENROLL))
    assert (len(done.shown_codes), len(fresh_codes), is_lost(house, about)) == (10, 60, False)
    assert step_of(house, people.try_sign_in(house, about.sign_in_name)) == SECOND_FACTOR


@pytest.mark.usefixtures("engine")
def test_s105_app_key_and_sheet_are_lost_together_and_a_pending_sheet_with_them(
    house: Session, ada: people.Member, suri: people.Member, casey: people.Member
) -> None:
    key = Authenticator()
    casey.token = cast("str", add_key(house, fresh(house, casey), key).token)
    actor = casey.actor(house)
    made = run(house, factors.make_code_sheet, actor, casey.user_id, code=casey.recovery_codes[-1])
    codes, pending, number = list(made.shown_codes), made.id, made.asked
    halves = recovered(house, ada, suri, casey)
    began = nothing_opens(house, casey, codes[number - 1])
    half = oneself(house, began, SECOND_FACTOR)
    with pytest.raises(RefusedError):
        run(house, factors.enroll_code_sheet, half, pending, code=codes[number - 1])
    back = come_back(house, casey, halves)
    with pytest.raises(RefusedError):
        run(house, factors.enroll_code_sheet, oneself(house, back, ENROLL), pending, code=codes[number - 1])
    assert step_of(house, back) == ENROLL
    assert (q.factor_of(house, casey.user_id), own_passkeys.of_user(house, casey.user_id)) == (None, [])


def test_s105_a_recovery_begun_anew_after_its_code_lapsed_still_finds_what_was_lost(
    house: Session, ada: people.Member, suri: people.Member, casey: people.Member
) -> None:
    stale = recovered(house, ada, suri, casey)
    house.info["clock"].pass_by(seconds=25 * 3600)
    with pytest.raises(CodeRefusedError):
        come_back(house, casey, stale)
    nothing_opens(house, casey)
    halves = recovered(house, ada, suri, casey)
    back = come_back(house, casey, halves)
    actor = oneself(house, back, ENROLL)
    pending = q.pending_factor(house, casey.user_id)
    assert pending is not None
    code = pyotp.TOTP(pending.seed).at(house.info["clock"]())
    factor_id = pending.id
    house.rollback()
    done = run(house, factors.enroll_factor, actor, factor_id, code=code)
    assert (step_of(house, done), is_lost(house, casey)) == ("full", False)
    with pytest.raises(FactorNotPendingError):
        run(house, factors.enroll_factor, actor, factor_id, code=code)
