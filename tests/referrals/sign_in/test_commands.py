"""Signing in on both databases: what is refused first, what it leaves on record, what ends what."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import cast
from uuid import UUID

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from referrals.account import models, queries
from referrals.factor import commands as factors
from referrals.kernel import crypto
from referrals.kernel.actor import Role, Source, nobody, system
from referrals.kernel.command import execute
from referrals.kernel.errors import (
    InvalidInputError,
    NotFoundError,
    NotPermittedError,
    RefusedError,
    UnrecordedWriteError,
)
from referrals.kernel.session import HouseSession
from referrals.organization.commands import end_organization
from referrals.organization.queries import installation
from referrals.sign_in import commands as sign_ins
from referrals.sign_in import models as sign_in_models
from referrals.sign_in import queries as sign_in_queries
from referrals.sign_in.models import FailedAttempt, SignIn, SignInUse
from referrals.staff import commands as staff
from tests.factories import account as people
from tests.referrals.account.conftest import Moment, change_factor, events, opens, refuse_sign_in, run, since

# --- lockout ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("engine")
def test_s101_five_wrong_passwords_lock_even_for_the_right_one_an_hour_later(
    house: Session, agency: UUID, now: Moment
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    before = len(events(house))
    for _ in range(5):
        refuse_sign_in(house, casey.sign_in_name)
    refuse_sign_in(house, casey.sign_in_name, casey.password)
    now.pass_by(hours=1)
    refuse_sign_in(house, casey.sign_in_name, casey.password)
    refused = ("account.signed_in", "refused", "sign_in_refused")
    locked = ("account.locked", "done", None)  # of the account, and of what its person is told
    assert since(house, before) == [*[refused] * 5, locked, locked, refused, refused]
    assert queries.user(house, casey.user_id).is_locked


def test_s101_the_refused_event_names_the_account_that_was_tried_and_keeps_no_word_of_what_was_typed(
    house: Session, agency: UUID
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    refuse_sign_in(house, casey.sign_in_name, "canary-password-xyz")
    refuse_sign_in(house, "canary-name-nobody-has", "canary-password-xyz")
    known, unknown = events(house)[-2:]
    assert known["actor"]["id"] == str(casey.user_id)
    assert unknown["actor"] == dict.fromkeys(("id", "org", "role", "session", "behalf")) | {"kind": "anonymous"}
    assert "canary" not in json.dumps([known, unknown])


@pytest.mark.usefixtures("engine")
def test_s101_four_wrong_one_complete_sign_in_four_wrong_leave_the_account_open(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    for _ in range(4):
        refuse_sign_in(house, casey.sign_in_name)
    people.sign_in_fully(house, casey)
    for _ in range(4):
        refuse_sign_in(house, casey.sign_in_name)
    assert not queries.user(house, casey.user_id).is_locked
    assert people.try_sign_in(house, casey.sign_in_name).token


def test_s101_the_right_password_alone_does_not_start_the_count_again(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    for _ in range(4):
        refuse_sign_in(house, casey.sign_in_name)
    began = people.try_sign_in(house, casey.sign_in_name)
    with pytest.raises(sign_in_models.CodeRefusedError):
        people.give_code(house, began, "000000x")
    assert queries.user(house, casey.user_id).is_locked


def test_s101_four_wrong_ones_count_no_more_after_a_quarter_of_an_hour(
    house: Session, agency: UUID, now: Moment
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    for _ in range(4):
        refuse_sign_in(house, casey.sign_in_name)
    now.pass_by(minutes=15, seconds=1)
    refuse_sign_in(house, casey.sign_in_name)
    assert not queries.user(house, casey.user_id).is_locked


@pytest.mark.usefixtures("engine")
def test_s101_s104_five_wrong_codes_lock_and_the_right_one_is_refused_then(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    began = people.try_sign_in(house, casey.sign_in_name)
    for wrong in ("000000", "1-AAAA-BBBB-CCCC", "no code", "11-AAAA-BBBB-CCCC", "999999999999"):
        with pytest.raises(sign_in_models.CodeRefusedError):
            people.give_code(house, began, wrong)
    assert queries.user(house, casey.user_id).is_locked
    with pytest.raises(sign_in_models.CodeRefusedError):
        people.give_code(house, began, sign_in_queries.demo_code(house, casey.sign_in_name, house.info["clock"]()))


def test_s101_five_parallel_wrong_ones_over_two_engines_lock_and_then_the_right_one_is_refused(
    engine: Engine, agency: UUID, house: Session, open_on: Callable[[Engine], HouseSession]
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    house.rollback()
    ready, told = threading.Barrier(5), []

    def guess(number: int) -> None:
        with open_on(engine) as session:
            ready.wait()
            try:
                people.try_sign_in(session, casey.sign_in_name, f"a wrong guess, number {number}")
            except RefusedError as refusal:
                told.append(refusal.code)

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == ["sign_in_refused"] * 5
    assert house.query(FailedAttempt).count() == 5
    with open_on(engine) as another_worker:
        refuse_sign_in(another_worker, casey.sign_in_name, casey.password)


def test_s101_an_administrator_unlocks_but_not_themselves(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    with pytest.raises(models.NotLockedError):
        run(house, staff.unlock_user, ada.actor(house), casey.user_id)
    for name in (casey.sign_in_name, ada.sign_in_name):
        for _ in range(5):
            refuse_sign_in(house, name)
    with pytest.raises(NotPermittedError):
        run(house, staff.unlock_user, ada.actor(house), ada.user_id)
    run(house, staff.unlock_user, ada.actor(house), casey.user_id)
    assert people.try_sign_in(house, casey.sign_in_name).token
    run(house, staff.unlock_user, system("cli"), ada.user_id)
    refuse_sign_in(house, ada.sign_in_name)
    assert not queries.user(house, ada.user_id).is_locked


# --- alike for everybody ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("engine")
def test_s102_unknown_locked_disabled_and_wrong_cost_one_verification_and_say_the_same(
    house: Session, agency: UUID
) -> None:
    wrong, locked, gone = (people.a_member(house, agency, Role.CASE_MANAGER) for _ in range(3))
    for _ in range(5):
        refuse_sign_in(house, locked.sign_in_name)
    run(house, staff.disable_user, system("cli"), gone.user_id, because="left")
    told = []
    for name, password in (
        ("nobody-at-all", people.PASSWORD),
        (wrong.sign_in_name, "wrong wrong wrong"),
        (locked.sign_in_name, people.PASSWORD),
        (locked.sign_in_name, "wrong wrong wrong"),
        (gone.sign_in_name, people.PASSWORD),
    ):
        before, attempts = models.passwords.verified, house.query(FailedAttempt).count()
        with pytest.raises(sign_in_models.SignInRefusedError) as refusal:
            people.try_sign_in(house, name, password)
        kept = house.query(FailedAttempt).count() - attempts
        told.append(
            (models.passwords.verified - before, kept, refusal.value.code, refusal.value.status, refusal.value.facts)
        )
    assert told == [(1, 1, "sign_in_refused", 401, {})] * 5


def test_s102_a_name_that_does_not_exist_is_kept_in_no_form(house: Session, agency: UUID) -> None:
    assert agency
    refuse_sign_in(house, "canary-name-of-nobody")
    house.rollback()
    for table in ("failed_attempt", "sign_in", "user", "audit_event"):
        rows = house.connection().execute(text(f'SELECT * FROM "{table}"')).all()  # noqa: S608  # a list above
        assert "canary" not in repr(rows)


def test_s102_a_sign_in_in_a_transaction_of_its_own_does_the_same_work_without_the_head_start(
    house: Session, agency: UUID
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    target = installation(house).id
    data = {"name": f" {casey.sign_in_name.upper()} ", "password": casey.password, "acknowledged": True}
    made = execute(house, sign_ins.sign_in, actor=nobody(Source("api")), target=target, data=data)
    assert made.channel == "api"
    house.info["verified_ahead"] = ("another hash", casey.password, True)
    with pytest.raises(sign_in_models.SignInRefusedError):
        execute(
            house,
            sign_ins.sign_in,
            actor=nobody(Source("api")),
            target=target,
            data=data | {"password": "wrong wrong wrong"},
        )


def test_s114_without_the_notice_acknowledged_nobody_signs_in(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    target, before = installation(house).id, len(events(house))
    for data in (
        {"name": casey.sign_in_name, "password": casey.password},
        {"name": casey.sign_in_name, "password": casey.password, "acknowledged": False},
    ):
        with pytest.raises(InvalidInputError) as fault:
            execute(house, sign_ins.sign_in, actor=nobody(Source("page")), target=target, data=data)
        assert set(fault.value.fields) == {"acknowledged"}
    assert len(events(house)) == before


def test_whoever_is_signed_in_does_not_sign_in_again_under_that_name(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    data = {"name": casey.sign_in_name, "password": casey.password, "acknowledged": True}
    with pytest.raises(NotPermittedError):
        run(house, sign_ins.sign_in, casey.actor(house), installation(house).id, **data)


# --- second factors --------------------------------------------------------------------------------------------------


def test_s103_after_the_password_alone_nobody_has_a_role(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.ADMINISTRATOR)
    began = people.try_sign_in(house, casey.sign_in_name)
    held = sign_in_queries.holder(house, cast("str", began.token), Source("page"))
    assert held is not None
    assert (held.step, held.actor.roles) == ("second_factor", frozenset())
    with pytest.raises(NotPermittedError):
        run(house, staff.disable_user, held.actor, people.a_user(house, agency, Role.AUDITOR).id, because="x")
    with pytest.raises(sign_in_models.CodeRefusedError):
        run(
            house,
            sign_ins.change_password,
            held.actor,
            casey.user_id,
            present_password=casey.password,
            new_password="another harbor lantern",
        )


def test_s104_a_code_works_once_also_at_another_sign_in(house: Session, agency: UUID, now: Moment) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    now.pass_by(minutes=5)
    code = sign_in_queries.demo_code(house, casey.sign_in_name, now())
    first, second = (people.try_sign_in(house, casey.sign_in_name) for _ in range(2))
    people.give_code(house, first, code)
    with pytest.raises(sign_in_models.CodeRefusedError):
        people.give_code(house, second, code)


def test_s906_after_two_codes_the_demo_waits_for_the_next(house: Session, agency: UUID, now: Moment) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    now.pass_by(minutes=5)
    for _ in range(2):
        assert sign_in_queries.demo_code_ready_in(house, casey.sign_in_name, now()) == 0
        people.sign_in_fully(house, casey)
    wait = sign_in_queries.demo_code_ready_in(house, casey.sign_in_name, now())
    assert 0 < wait <= 30
    now.pass_by(seconds=wait + 0.01)
    assert sign_in_queries.demo_code_ready_in(house, casey.sign_in_name, now()) == 0
    assert people.sign_in_fully(house, casey).token


def test_s104_a_code_three_steps_old_is_refused(house: Session, agency: UUID, now: Moment) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    now.pass_by(minutes=5)
    old = sign_in_queries.demo_code(house, casey.sign_in_name, now())
    now.pass_by(seconds=90)
    began = people.try_sign_in(house, casey.sign_in_name)
    with pytest.raises(sign_in_models.CodeRefusedError):
        people.give_code(house, began, old)


@pytest.mark.usefixtures("engine")
def test_s104_a_recovery_code_works_once_and_nine_are_left(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    code = casey.recovery_codes[3].lower()
    made = people.give_code(house, people.try_sign_in(house, casey.sign_in_name), code)
    assert casey.actor(house, cast("str", made.token)).roles == {Role.CASE_MANAGER}
    with pytest.raises(sign_in_models.CodeRefusedError):
        people.give_code(house, people.try_sign_in(house, casey.sign_in_name), code)
    assert len(sign_in_queries.recovery_codes(house, casey.user_id)) == 9


@pytest.mark.usefixtures("engine")
def test_s104_the_database_holds_no_seed_and_no_code_in_clear(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    user = people.a_user(house, agency, Role.CASE_MANAGER)
    factor = sign_in_queries.factor_of(house, casey.user_id)
    assert factor is not None
    secrets = [factor.seed, user.shown_code, models.plain_code(user.shown_code or ""), casey.token, casey.password]
    secrets += casey.recovery_codes
    secrets += [models.plain_code(code.partition("-")[2]) for code in casey.recovery_codes]
    house.rollback()
    dump = ""
    for table in ("user", "second_factor", "recovery_code", "sign_in", "sign_in_use", "failed_attempt", "audit_event"):
        for row in house.connection().execute(text(f'SELECT * FROM "{table}"')):  # noqa: S608  # a list above
            dump += "".join(
                bytes(cell).decode("latin-1") if isinstance(cell, bytes | memoryview) else str(cell) for cell in row
            )
    for secret in secrets:
        assert secret
        assert secret not in dump


# --- passwords, resets -----------------------------------------------------------------------------------------------


def test_s106_the_first_72_of_100_characters_do_not_open_the_account(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    long = "".join(f"{number:02d}-{'kelp' if number % 2 else 'moss'};" for number in range(13))[:100]
    assert len(long) == 100
    run(
        house,
        sign_ins.change_password,
        casey.actor(house),
        casey.user_id,
        present_password=casey.password,
        new_password=long,
    )
    refuse_sign_in(house, casey.sign_in_name, long[:72])
    refuse_sign_in(house, casey.sign_in_name, long[:-1])
    assert people.try_sign_in(house, casey.sign_in_name, long).token


@pytest.mark.parametrize(
    ("new", "fault"),
    [
        ("x" * 14, "password_too_short"),
        ("Password1234567", "password_common"),
        ("AlderCountyProbation2026", "password_context"),
        (people.PASSWORD, "password_same"),
        ("kelp" * 33, "too_long"),
    ],
)
def test_s106_a_bad_new_password_is_refused_with_the_reason(house: Session, agency: UUID, new: str, fault: str) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    with pytest.raises(InvalidInputError) as refusal:
        run(
            house,
            sign_ins.change_password,
            casey.actor(house),
            casey.user_id,
            present_password=casey.password,
            new_password=new,
        )
    assert refusal.value.fields == {"new_password": [fault]}
    assert opens(house, casey.token)


def test_s101_a_wrong_present_password_counts_as_a_failed_sign_in(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    with pytest.raises(InvalidInputError):
        run(house, sign_ins.change_password, casey.actor(house), casey.user_id, new_password="another harbor lantern")
    for _ in range(5):
        with pytest.raises(sign_in_models.PasswordRefusedError):
            run(
                house,
                sign_ins.change_password,
                casey.actor(house),
                casey.user_id,
                present_password="wrong wrong wrong",
                new_password="another harbor lantern",
            )
    assert queries.user(house, casey.user_id).is_locked


def test_s107_a_hash_made_with_lower_settings_is_renewed_at_sign_in(
    house: Session, agency: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    before = queries.user(house, casey.user_id).password_hash
    monkeypatch.setattr(models, "passwords", models.Hashing(memory_kib=128, passes=2))
    people.try_sign_in(house, casey.sign_in_name)
    after = queries.user(house, casey.user_id).password_hash
    assert after != before
    assert "m=128,t=2" in after
    assert people.try_sign_in(house, casey.sign_in_name).token


def test_s107_at_most_two_hashes_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hashing = models.Hashing(memory_kib=64, passes=1)
    at_once, most, lock, real = 0, 0, threading.Lock(), hashing._hasher.verify

    class Watched:
        def verify(self, hashed: str, secret: str) -> bool:
            nonlocal at_once, most
            with lock:
                at_once += 1
                most = max(most, at_once)
            try:
                threading.Event().wait(0.002)
                return real(hashed, secret)
            finally:
                with lock:
                    at_once -= 1

    hashed = hashing.hash("quiet harbor lantern")
    monkeypatch.setattr(hashing, "_hasher", Watched())
    told: list[bool] = []
    threads = [
        threading.Thread(target=lambda: told.append(hashing.verify(hashed, "quiet harbor lantern"))) for _ in range(50)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [True] * 50
    assert most == 2


def test_s108_a_one_time_code_opens_once_and_only_to_choose_a_password(house: Session, agency: UUID) -> None:
    user = people.a_user(house, agency, Role.CASE_MANAGER)
    name, code = user.sign_in_name, cast("str", user.shown_code)
    began = people.try_sign_in(house, name, code.lower())
    held = sign_in_queries.holder(house, cast("str", began.token), Source("page"))
    assert held is not None
    assert (held.step, held.actor.roles) == ("new_password", frozenset())
    refuse_sign_in(house, name, code)
    pending = sign_in_queries.pending_factor(house, user.id)
    assert pending is not None
    shown = pending.code_of(int(house.info["clock"]().timestamp()) // 30)
    with pytest.raises(sign_in_models.FactorNotPendingError):
        run(house, factors.enroll_factor, held.actor, pending.id, code=shown)
    run(house, sign_ins.change_password, held.actor, user.id, new_password=people.PASSWORD)
    refuse_sign_in(house, name, code)
    assert people.try_sign_in(house, name).token


def test_s108_a_one_time_code_is_dead_after_24_hours(house: Session, agency: UUID, now: Moment) -> None:
    user = people.a_user(house, agency, Role.CASE_MANAGER)
    name, code = user.sign_in_name, cast("str", user.shown_code)
    now.pass_by(hours=24)
    refuse_sign_in(house, name, code)
    now.pass_by(seconds=-2)
    assert people.try_sign_in(house, name, code).token


@pytest.mark.usefixtures("engine")
def test_s105_s108_a_reset_gives_a_code_and_keeps_the_second_factor(house: Session, agency: UUID, now: Moment) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    factor = sign_in_queries.factor_of(house, casey.user_id)
    reset = run(house, staff.reset_password, ada.actor(house), casey.user_id)
    code = cast("str", reset.shown_code)
    assert not opens(house, casey.token)
    refuse_sign_in(house, casey.sign_in_name, casey.password)
    began = people.try_sign_in(house, casey.sign_in_name, code)
    held = sign_in_queries.holder(house, cast("str", began.token), Source("page"))
    assert held is not None
    assert held.step == "second_factor"
    with pytest.raises(sign_in_models.CodeRefusedError):
        run(house, sign_ins.change_password, held.actor, casey.user_id, new_password="another harbor lantern")
    given = people.give_code(house, began, sign_in_queries.demo_code(house, casey.sign_in_name, now()))
    actor = casey.actor(house, cast("str", given.token))
    assert actor.roles == frozenset()
    made = run(house, sign_ins.change_password, actor, casey.user_id, new_password="another harbor lantern")
    assert casey.actor(house, made.token).roles == {Role.CASE_MANAGER}
    still = sign_in_queries.factor_of(house, casey.user_id)
    assert factor is not None
    assert still is not None
    assert still.id == factor.id


# --- what ends a sign-in ---------------------------------------------------------------------------------------------


def _sign_out(house: Session, casey: people.Member, _ada: people.Member) -> None:
    actor = casey.actor(house)
    run(house, sign_ins.sign_out, actor, cast("UUID", actor.sign_in_id))


def _change_password(house: Session, casey: people.Member, _ada: people.Member) -> None:
    data = {"present_password": casey.password, "new_password": "another harbor lantern"}
    run(house, sign_ins.change_password, casey.actor(house), casey.user_id, **data)


def _change_roles(house: Session, casey: people.Member, ada: people.Member) -> None:
    run(house, staff.grant_role, ada.actor(house), casey.user_id, role="supervising_officer")


def _end_role(house: Session, casey: people.Member, ada: people.Member) -> None:
    grant = queries.user(house, casey.user_id).grants[0].id
    run(house, staff.end_role, ada.actor(house), grant)


def _disable(house: Session, casey: people.Member, ada: people.Member) -> None:
    run(house, staff.disable_user, ada.actor(house), casey.user_id, because="Left the office")


def _reset(house: Session, casey: people.Member, ada: people.Member) -> None:
    run(house, staff.reset_password, ada.actor(house), casey.user_id)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    "act", [_sign_out, _change_password, change_factor, _change_roles, _end_role, _disable, _reset]
)
def test_s110_after_each_of_these_both_copied_tokens_are_refused(
    house: Session, agency: UUID, now: Moment, act: Callable[[Session, people.Member, people.Member], None]
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    now.pass_by(minutes=1)
    elsewhere = people.sign_in_fully(house, casey)
    assert opens(house, casey.token)
    assert opens(house, elsewhere.token)
    act(house, casey, ada)
    assert not opens(house, casey.token)
    assert not opens(house, elsewhere.token)
    assert opens(house, ada.token)


def test_s110_a_user_ends_one_of_their_own_sign_ins_and_nobody_elses(house: Session, agency: UUID, now: Moment) -> None:
    casey, other = (people.a_member(house, agency, Role.CASE_MANAGER) for _ in range(2))
    now.pass_by(minutes=1)
    elsewhere = people.sign_in_fully(house, casey)
    listed = sign_in_queries.where_signed_in(house, casey.actor(house))
    assert [(one.id == elsewhere.id, one.this) for one in listed] == [(True, False), (False, True)]
    with pytest.raises(NotFoundError):
        run(house, sign_ins.end_sign_in, other.actor(house), elsewhere.id)
    run(house, sign_ins.end_sign_in, casey.actor(house), elsewhere.id)
    assert not opens(house, elsewhere.token)
    assert opens(house, casey.token)
    with pytest.raises(sign_in_models.SignInOverError):
        run(house, sign_ins.end_sign_in, casey.actor(house), elsewhere.id)


def test_s111_the_second_factor_renews_the_token_and_the_one_before_opens_nothing(
    house: Session, agency: UUID, now: Moment
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    now.pass_by(minutes=1)
    began = people.try_sign_in(house, casey.sign_in_name)
    before = began.token
    complete = people.give_code(house, began, sign_in_queries.demo_code(house, casey.sign_in_name, now()))
    assert complete.id == began.id
    assert not opens(house, before)
    assert opens(house, complete.token)
    house.rollback()
    kept = house.connection().execute(select(SignIn.token_hash).where(SignIn.id == began.id)).scalar_one()
    assert kept == sign_in_models.token_hash(cast("str", complete.token))


def test_s109_an_idle_sign_in_ends_after_a_quarter_of_an_hour(house: Session, agency: UUID, now: Moment) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    now.pass_by(minutes=14)
    assert opens(house, casey.token)
    now.pass_by(minutes=1, seconds=1)
    assert not opens(house, casey.token)


def test_s109_use_keeps_it_but_for_no_longer_than_twelve_hours(house: Session, agency: UUID, now: Moment) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    sign_in_id = cast("UUID", casey.actor(house).sign_in_id)
    for _ in range(71):
        now.pass_by(minutes=10)
        sign_ins.keep_alive(house, sign_in_id, now())
    assert opens(house, casey.token)
    now.pass_by(minutes=10)
    sign_ins.keep_alive(house, sign_in_id, now())
    assert not opens(house, casey.token)


@pytest.mark.usefixtures("engine")
def test_s109_what_is_kept_of_use_never_goes_back_and_leaves_no_event(
    house: Session, agency: UUID, now: Moment
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    sign_in_id = cast("UUID", casey.actor(house).sign_in_id)
    before = len(events(house))
    now.pass_by(minutes=10)
    later = now()
    sign_ins.keep_alive(house, sign_in_id, later)
    sign_ins.keep_alive(house, sign_in_id, later - timedelta(minutes=5))
    use = house.get(SignInUse, sign_in_id)
    assert use is not None
    assert use.used_at == later
    assert len(events(house)) == before


def test_s109_shorter_limits_hold_at_once(house: Session, agency: UUID, now: Moment) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    house.info["limits"] = sign_in_models.Limits(idle=timedelta(seconds=5), whole=timedelta(seconds=8))
    assert opens(house, casey.token)
    now.pass_by(seconds=6)
    assert not opens(house, casey.token)


def test_s206_a_change_of_roles_bites_on_the_next_request(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    assert casey.actor(house).roles == {Role.CASE_MANAGER}
    grant = queries.user(house, casey.user_id).grants[0].id
    run(house, staff.end_role, system("cli"), grant)
    assert not opens(house, casey.token)
    with pytest.raises(models.RoleEndedError):
        run(house, staff.end_role, system("cli"), grant)


# --- the rules of behavior --------------------------------------------------------------------------------------------


def step_now(house: Session, token: str | None) -> str:
    held = sign_in_queries.holder(house, str(token), Source("page"))
    house.rollback()
    assert held is not None
    assert held.step == "full" or held.actor.roles == frozenset()
    return held.step


READ = {"wording": sign_in_models.WORDING, "agreed": True}


@pytest.mark.usefixtures("engine")
def test_s803_rules_are_asked_first_then_after_a_year_and_not_in_the_middle_of_a_sign_in(
    house: Session, agency: UUID, now: Moment
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    assert step_now(house, casey.token) == "full"
    now.pass_by(days=364, hours=23, minutes=50)
    within = people.sign_in_fully(house, casey)
    now.pass_by(minutes=12)
    assert step_now(house, within.token) == "full"
    after = people.sign_in_fully(house, casey)
    assert step_now(house, after.token) == "rules"
    run(house, sign_ins.acknowledge_rules, casey.actor(house, str(after.token)), casey.user_id, **READ)
    assert step_now(house, after.token) == "full"
    kept = house.scalars(
        select(sign_in_models.RulesAcknowledgment).order_by(sign_in_models.RulesAcknowledgment.at)
    ).all()
    assert [(one.user_id, one.wording) for one in kept] == [(casey.user_id, sign_in_models.WORDING)] * 2
    assert kept[1].at - kept[0].at > timedelta(days=365)


@pytest.mark.usefixtures("engine")
def test_s803_a_new_wording_is_asked_of_everybody_at_once(
    house: Session, agency: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    monkeypatch.setattr(sign_in_queries, "WORDING", "2199-01")  # as the next release would say
    assert step_now(house, casey.token) == "rules"
    actor = casey.actor(house)
    with pytest.raises(sign_in_models.RulesChangedError):
        run(house, sign_ins.acknowledge_rules, actor, casey.user_id, **READ)
    run(house, sign_ins.acknowledge_rules, actor, casey.user_id, **READ | {"wording": "2199-01"})
    assert step_now(house, casey.token) == "full"
    with pytest.raises(sign_in_models.RulesKnownError):
        run(house, sign_ins.acknowledge_rules, actor, casey.user_id, **READ | {"wording": "2199-01"})


def test_s803_rules_take_the_place_of_no_other_step_and_nobody_acknowledges_for_another(
    house: Session, agency: UUID
) -> None:
    casey, ada = (people.a_member(house, agency, role) for role in (Role.CASE_MANAGER, Role.ADMINISTRATOR))
    began = people.try_sign_in(house, casey.sign_in_name)
    half = sign_in_queries.actor_for(
        queries.user(house, casey.user_id), began, Source("page"), step=queries.SECOND_FACTOR
    )
    with pytest.raises(sign_in_models.CodeRefusedError):
        run(house, sign_ins.acknowledge_rules, half, casey.user_id, **READ)
    with pytest.raises(NotFoundError):
        run(house, sign_ins.acknowledge_rules, ada.actor(house), casey.user_id, **READ)
    with pytest.raises(InvalidInputError):
        run(house, sign_ins.acknowledge_rules, ada.actor(house), ada.user_id, **READ | {"agreed": False})


# --- leaving (S-804) --------------------------------------------------------------------------------------------------


def test_nobody_of_an_organization_that_ended_signs_in_or_stays_in(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    run(house, end_organization, system("cli"), agency)
    assert not opens(house, casey.token)
    refuse_sign_in(house, casey.sign_in_name, casey.password)


@pytest.mark.usefixtures("engine")
def test_s601_each_act_of_coming_in_and_leaving_is_on_record_once_for_each_row(house: Session, agency: UUID) -> None:
    before = len(events(house))
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    actor = casey.actor(house)
    run(house, sign_ins.sign_out, actor, cast("UUID", actor.sign_in_id))
    told = events(house)[before:]
    by_action: dict[str, list[str]] = {}
    for one in told:
        by_action.setdefault(one["action"], []).append(one["on"][0]["type"])
    assert {action: sorted(types) for action, types in by_action.items()} == {
        "account.user_added": ["role_grant", "user"],
        "account.signed_in": ["second_factor", "sign_in", "user"],
        "account.password_changed": ["account_change", "sign_in", "user"],
        "account.factor_enrolled": sorted(
            ["account_change"] + ["recovery_code"] * 10 + ["second_factor", "sign_in", "user"]
        ),
        "account.rules_acknowledged": ["rules_acknowledgment"],
        "account.signed_out": ["sign_in"],
    }
    signed_in = next(one for one in told if one["action"] == "account.signed_in")
    assert signed_in["actor"]["kind"] == "user"
    assert signed_in["actor"]["id"] == str(casey.user_id)
    names = json.dumps(told)
    for secret in (casey.sign_in_name, "Sam Rivers", casey.token):
        assert secret not in names


def test_the_address_of_a_sign_in_is_sealed_into_its_event(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    house.info["address"] = "203.0.113.77"
    people.try_sign_in(house, casey.sign_in_name)
    told = [one for one in events(house) if one["action"] == "account.signed_in"][-1]
    assert "203.0.113.77" not in json.dumps(told)
    envelope = base64.b64decode(told["sealed"][0]["ct"])
    assert crypto.open_detail(house, None, envelope, UUID(told["id"])) == {"address": "203.0.113.77"}
    assert "address" not in house.info


def test_a_role_or_a_sign_in_is_not_written_past_the_commands(house: Session, agency: UUID) -> None:
    casey = people.a_user(house, agency, Role.CASE_MANAGER)
    queries.user(house, casey.id).lock(house.info["clock"]())
    with pytest.raises(UnrecordedWriteError):
        house.flush()
    house.rollback()
