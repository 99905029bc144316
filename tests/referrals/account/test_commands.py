"""The acts of the account room on both databases: what is refused first, what it leaves on record, what ends what."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from referrals.account import commands, models, queries
from referrals.account.models import FailedAttempt, RecoveryCode, SecondFactor, SignIn, SignInUse, User
from referrals.kernel import crypto
from referrals.kernel.actor import Actor, Role, Source, nobody, system
from referrals.kernel.command import Command, execute
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
from tests.factories import account as people
from tests.referrals.account.conftest import Moment, add_organization


def events(session: Session) -> list[dict[str, Any]]:
    """The log, oldest first."""
    session.rollback()
    rows = session.connection().execute(text("SELECT body FROM audit_event ORDER BY id")).scalars().all()
    session.rollback()
    return [json.loads(bytes(row) if isinstance(row, bytes | memoryview) else row) for row in rows]


def since(session: Session, count: int) -> list[tuple[str, str, str | None]]:
    """What the log gained: action, outcome, code."""
    return [(one["action"], one["outcome"], one["code"]) for one in events(session)[count:]]


def refuse_sign_in(session: Session, name: str, password: str = "wrong wrong wrong") -> None:  # noqa: S107
    with pytest.raises(models.SignInRefusedError):
        people.try_sign_in(session, name, password)


def opens(session: Session, token: str | None) -> bool:
    held = queries.holder(session, token or "", Source("page"))
    session.rollback()
    return held is not None


def run(session: Session, what: Command[Any, Any], actor: Actor, target: UUID, **data: Any) -> Any:
    return execute(session, what, actor=actor, target=target, data=data)


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
    with pytest.raises(models.CodeRefusedError):
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
        with pytest.raises(models.CodeRefusedError):
            people.give_code(house, began, wrong)
    assert queries.user(house, casey.user_id).is_locked
    with pytest.raises(models.CodeRefusedError):
        people.give_code(house, began, queries.demo_code(house, casey.sign_in_name, house.info["clock"]()))


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
        run(house, commands.unlock_user, ada.actor(house), casey.user_id)
    for name in (casey.sign_in_name, ada.sign_in_name):
        for _ in range(5):
            refuse_sign_in(house, name)
    with pytest.raises(NotPermittedError):
        run(house, commands.unlock_user, ada.actor(house), ada.user_id)
    run(house, commands.unlock_user, ada.actor(house), casey.user_id)
    assert people.try_sign_in(house, casey.sign_in_name).token
    run(house, commands.unlock_user, system("cli"), ada.user_id)
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
    run(house, commands.disable_user, system("cli"), gone.user_id, because="left")
    told = []
    for name, password in (
        ("nobody-at-all", people.PASSWORD),
        (wrong.sign_in_name, "wrong wrong wrong"),
        (locked.sign_in_name, people.PASSWORD),
        (locked.sign_in_name, "wrong wrong wrong"),
        (gone.sign_in_name, people.PASSWORD),
    ):
        before, attempts = models.passwords.verified, house.query(FailedAttempt).count()
        with pytest.raises(models.SignInRefusedError) as refusal:
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
    made = execute(house, commands.sign_in, actor=nobody(Source("api")), target=target, data=data)
    assert made.channel == "api"
    house.info["verified_ahead"] = ("another hash", casey.password, True)
    with pytest.raises(models.SignInRefusedError):
        execute(
            house,
            commands.sign_in,
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
            execute(house, commands.sign_in, actor=nobody(Source("page")), target=target, data=data)
        assert set(fault.value.fields) == {"acknowledged"}
    assert len(events(house)) == before


def test_whoever_is_signed_in_does_not_sign_in_again_under_that_name(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    data = {"name": casey.sign_in_name, "password": casey.password, "acknowledged": True}
    with pytest.raises(NotPermittedError):
        run(house, commands.sign_in, casey.actor(house), installation(house).id, **data)


# --- second factors --------------------------------------------------------------------------------------------------


def test_s103_after_the_password_alone_nobody_has_a_role(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.ADMINISTRATOR)
    began = people.try_sign_in(house, casey.sign_in_name)
    held = queries.holder(house, cast("str", began.token), Source("page"))
    assert held is not None
    assert (held.step, held.actor.roles) == ("second_factor", frozenset())
    with pytest.raises(NotPermittedError):
        run(house, commands.disable_user, held.actor, people.a_user(house, agency, Role.AUDITOR).id, because="x")
    with pytest.raises(models.CodeRefusedError):
        run(
            house,
            commands.change_password,
            held.actor,
            casey.user_id,
            present_password=casey.password,
            new_password="another harbor lantern",
        )


def test_s104_a_code_works_once_also_at_another_sign_in(house: Session, agency: UUID, now: Moment) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    now.pass_by(minutes=5)
    code = queries.demo_code(house, casey.sign_in_name, now())
    first, second = (people.try_sign_in(house, casey.sign_in_name) for _ in range(2))
    people.give_code(house, first, code)
    with pytest.raises(models.CodeRefusedError):
        people.give_code(house, second, code)


def test_s906_after_two_codes_the_demo_waits_for_the_next(house: Session, agency: UUID, now: Moment) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    now.pass_by(minutes=5)
    for _ in range(2):
        assert queries.demo_code_ready_in(house, casey.sign_in_name, now()) == 0
        people.sign_in_fully(house, casey)
    wait = queries.demo_code_ready_in(house, casey.sign_in_name, now())
    assert 0 < wait <= 30
    now.pass_by(seconds=wait + 0.01)
    assert queries.demo_code_ready_in(house, casey.sign_in_name, now()) == 0
    assert people.sign_in_fully(house, casey).token


def test_s104_a_code_three_steps_old_is_refused(house: Session, agency: UUID, now: Moment) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    now.pass_by(minutes=5)
    old = queries.demo_code(house, casey.sign_in_name, now())
    now.pass_by(seconds=90)
    began = people.try_sign_in(house, casey.sign_in_name)
    with pytest.raises(models.CodeRefusedError):
        people.give_code(house, began, old)


@pytest.mark.usefixtures("engine")
def test_s104_a_recovery_code_works_once_and_nine_are_left(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    code = casey.recovery_codes[3].lower()
    made = people.give_code(house, people.try_sign_in(house, casey.sign_in_name), code)
    assert casey.actor(house, cast("str", made.token)).roles == {Role.CASE_MANAGER}
    with pytest.raises(models.CodeRefusedError):
        people.give_code(house, people.try_sign_in(house, casey.sign_in_name), code)
    assert len(queries.recovery_codes(house, casey.user_id)) == 9


@pytest.mark.usefixtures("engine")
def test_s104_the_database_holds_no_seed_and_no_code_in_clear(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    user = people.a_user(house, agency, Role.CASE_MANAGER)
    factor = queries.factor_of(house, casey.user_id)
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


def test_s104_new_recovery_codes_end_the_old_ones(house: Session, agency: UUID, now: Moment) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    now.pass_by(minutes=2)
    with pytest.raises(models.CodeRefusedError):
        run(house, commands.renew_recovery_codes, casey.actor(house), casey.user_id, code="000000")
    code = queries.demo_code(house, casey.sign_in_name, now())
    made = run(house, commands.renew_recovery_codes, casey.actor(house), casey.user_id, code=code)
    assert len(made.shown_codes) == 10
    assert not opens(house, casey.token)
    with pytest.raises(models.CodeRefusedError):
        people.give_code(house, people.try_sign_in(house, casey.sign_in_name), casey.recovery_codes[0])
    assert people.give_code(house, people.try_sign_in(house, casey.sign_in_name), made.shown_codes[0]).token


def test_s104_replacing_the_authenticator_needs_a_code_of_the_present_one(
    house: Session, agency: UUID, now: Moment
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    before = queries.factor_of(house, casey.user_id)
    assert before is not None
    now.pass_by(minutes=2)
    with pytest.raises(models.CodeRefusedError):
        run(house, commands.start_factor, casey.actor(house), casey.user_id, code="000000")
    code = queries.demo_code(house, casey.sign_in_name, now())
    pending = run(house, commands.start_factor, casey.actor(house), casey.user_id, code=code)
    with pytest.raises(InvalidInputError):
        run(house, commands.enroll_factor, casey.actor(house), pending.id, code="000000x")
    shown = pending.code_of(int(now().timestamp()) // 30)
    made = run(house, commands.enroll_factor, casey.actor(house), pending.id, code=shown)
    assert not opens(house, casey.token)
    assert opens(house, made.token)
    in_force = queries.factor_of(house, casey.user_id)
    assert in_force is not None
    assert in_force.id == pending.id
    with pytest.raises(models.FactorNotPendingError):
        run(house, commands.enroll_factor, casey.actor(house, made.token), pending.id, code=shown)


def test_s104_nobody_enrolls_a_factor_of_somebody_else(house: Session, agency: UUID) -> None:
    casey, other = (people.a_member(house, agency, Role.CASE_MANAGER) for _ in range(2))
    factor = queries.factor_of(house, casey.user_id)
    assert factor is not None
    with pytest.raises(NotFoundError):
        run(house, commands.enroll_factor, other.actor(house), factor.id, code="000000")


def test_s103_a_half_sign_in_does_not_replace_the_factor_that_it_lacks(
    house: Session, agency: UUID, now: Moment
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    now.pass_by(minutes=2)
    code = queries.demo_code(house, casey.sign_in_name, now())
    pending = run(house, commands.start_factor, casey.actor(house), casey.user_id, code=code)
    shown = pending.code_of(int(now().timestamp()) // 30)
    began = people.try_sign_in(house, casey.sign_in_name)
    with pytest.raises(models.FactorNotPendingError):
        run(house, commands.enroll_factor, casey.actor(house, cast("str", began.token)), pending.id, code=shown)


# --- passwords, resets -----------------------------------------------------------------------------------------------


def test_s106_the_first_72_of_100_characters_do_not_open_the_account(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    long = "".join(f"{number:02d}-{'kelp' if number % 2 else 'moss'};" for number in range(13))[:100]
    assert len(long) == 100
    run(
        house,
        commands.change_password,
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
            commands.change_password,
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
        run(house, commands.change_password, casey.actor(house), casey.user_id, new_password="another harbor lantern")
    for _ in range(5):
        with pytest.raises(models.PasswordRefusedError):
            run(
                house,
                commands.change_password,
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
    held = queries.holder(house, cast("str", began.token), Source("page"))
    assert held is not None
    assert (held.step, held.actor.roles) == ("new_password", frozenset())
    refuse_sign_in(house, name, code)
    pending = queries.pending_factor(house, user.id)
    assert pending is not None
    shown = pending.code_of(int(house.info["clock"]().timestamp()) // 30)
    with pytest.raises(models.FactorNotPendingError):
        run(house, commands.enroll_factor, held.actor, pending.id, code=shown)
    run(house, commands.change_password, held.actor, user.id, new_password=people.PASSWORD)
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
    factor = queries.factor_of(house, casey.user_id)
    reset = run(house, commands.reset_password, ada.actor(house), casey.user_id)
    code = cast("str", reset.shown_code)
    assert not opens(house, casey.token)
    refuse_sign_in(house, casey.sign_in_name, casey.password)
    began = people.try_sign_in(house, casey.sign_in_name, code)
    held = queries.holder(house, cast("str", began.token), Source("page"))
    assert held is not None
    assert held.step == "second_factor"
    with pytest.raises(models.CodeRefusedError):
        run(house, commands.change_password, held.actor, casey.user_id, new_password="another harbor lantern")
    given = people.give_code(house, began, queries.demo_code(house, casey.sign_in_name, now()))
    actor = casey.actor(house, cast("str", given.token))
    assert actor.roles == frozenset()
    made = run(house, commands.change_password, actor, casey.user_id, new_password="another harbor lantern")
    assert casey.actor(house, made.token).roles == {Role.CASE_MANAGER}
    still = queries.factor_of(house, casey.user_id)
    assert factor is not None
    assert still is not None
    assert still.id == factor.id


# --- what ends a sign-in ---------------------------------------------------------------------------------------------


def _sign_out(house: Session, casey: people.Member, _ada: people.Member) -> None:
    actor = casey.actor(house)
    run(house, commands.sign_out, actor, cast("UUID", actor.sign_in_id))


def _change_password(house: Session, casey: people.Member, _ada: people.Member) -> None:
    data = {"present_password": casey.password, "new_password": "another harbor lantern"}
    run(house, commands.change_password, casey.actor(house), casey.user_id, **data)


def _change_factor(house: Session, casey: people.Member, _ada: people.Member) -> None:
    pending = run(house, commands.start_factor, casey.actor(house), casey.user_id, code=casey.recovery_codes[0])
    code = pending.code_of(int(house.info["clock"]().timestamp()) // 30)
    run(house, commands.enroll_factor, casey.actor(house), pending.id, code=code)


def _change_roles(house: Session, casey: people.Member, ada: people.Member) -> None:
    run(house, commands.grant_role, ada.actor(house), casey.user_id, role="supervising_officer")


def _end_role(house: Session, casey: people.Member, ada: people.Member) -> None:
    grant = queries.user(house, casey.user_id).grants[0].id
    run(house, commands.end_role, ada.actor(house), grant)


def _disable(house: Session, casey: people.Member, ada: people.Member) -> None:
    run(house, commands.disable_user, ada.actor(house), casey.user_id, because="Left the office")


def _reset(house: Session, casey: people.Member, ada: people.Member) -> None:
    run(house, commands.reset_password, ada.actor(house), casey.user_id)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    "act", [_sign_out, _change_password, _change_factor, _change_roles, _end_role, _disable, _reset]
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
    listed = queries.where_signed_in(house, casey.actor(house))
    assert [(one.id == elsewhere.id, one.this) for one in listed] == [(True, False), (False, True)]
    with pytest.raises(NotFoundError):
        run(house, commands.end_sign_in, other.actor(house), elsewhere.id)
    run(house, commands.end_sign_in, casey.actor(house), elsewhere.id)
    assert not opens(house, elsewhere.token)
    assert opens(house, casey.token)
    with pytest.raises(models.SignInOverError):
        run(house, commands.end_sign_in, casey.actor(house), elsewhere.id)


def test_s111_the_second_factor_renews_the_token_and_the_one_before_opens_nothing(
    house: Session, agency: UUID, now: Moment
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    now.pass_by(minutes=1)
    began = people.try_sign_in(house, casey.sign_in_name)
    before = began.token
    complete = people.give_code(house, began, queries.demo_code(house, casey.sign_in_name, now()))
    assert complete.id == began.id
    assert not opens(house, before)
    assert opens(house, complete.token)
    house.rollback()
    kept = house.connection().execute(select(SignIn.token_hash).where(SignIn.id == began.id)).scalar_one()
    assert kept == models.token_hash(cast("str", complete.token))


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
        commands.keep_alive(house, sign_in_id, now())
    assert opens(house, casey.token)
    now.pass_by(minutes=10)
    commands.keep_alive(house, sign_in_id, now())
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
    commands.keep_alive(house, sign_in_id, later)
    commands.keep_alive(house, sign_in_id, later - timedelta(minutes=5))
    use = house.get(SignInUse, sign_in_id)
    assert use is not None
    assert use.used_at == later
    assert len(events(house)) == before


def test_s109_shorter_limits_hold_at_once(house: Session, agency: UUID, now: Moment) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    house.info["limits"] = models.Limits(idle=timedelta(seconds=5), whole=timedelta(seconds=8))
    assert opens(house, casey.token)
    now.pass_by(seconds=6)
    assert not opens(house, casey.token)


def test_s206_a_change_of_roles_bites_on_the_next_request(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    assert casey.actor(house).roles == {Role.CASE_MANAGER}
    grant = queries.user(house, casey.user_id).grants[0].id
    run(house, commands.end_role, system("cli"), grant)
    assert not opens(house, casey.token)
    with pytest.raises(models.RoleEndedError):
        run(house, commands.end_role, system("cli"), grant)


# --- the rules of behavior --------------------------------------------------------------------------------------------


def step_now(house: Session, token: str | None) -> str:
    held = queries.holder(house, str(token), Source("page"))
    house.rollback()
    assert held is not None
    assert held.step == "full" or held.actor.roles == frozenset()
    return held.step


READ = {"wording": models.WORDING, "agreed": True}


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
    run(house, commands.acknowledge_rules, casey.actor(house, str(after.token)), casey.user_id, **READ)
    assert step_now(house, after.token) == "full"
    kept = house.scalars(select(models.RulesAcknowledgment).order_by(models.RulesAcknowledgment.at)).all()
    assert [(one.user_id, one.wording) for one in kept] == [(casey.user_id, models.WORDING)] * 2
    assert kept[1].at - kept[0].at > timedelta(days=365)


@pytest.mark.usefixtures("engine")
def test_s803_a_new_wording_is_asked_of_everybody_at_once(
    house: Session, agency: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    monkeypatch.setattr(queries, "WORDING", "2199-01")  # as the next release would say
    assert step_now(house, casey.token) == "rules"
    actor = casey.actor(house)
    with pytest.raises(models.RulesChangedError):
        run(house, commands.acknowledge_rules, actor, casey.user_id, **READ)
    run(house, commands.acknowledge_rules, actor, casey.user_id, **READ | {"wording": "2199-01"})
    assert step_now(house, casey.token) == "full"
    with pytest.raises(models.RulesKnownError):
        run(house, commands.acknowledge_rules, actor, casey.user_id, **READ | {"wording": "2199-01"})


def test_s803_rules_take_the_place_of_no_other_step_and_nobody_acknowledges_for_another(
    house: Session, agency: UUID
) -> None:
    casey, ada = (people.a_member(house, agency, role) for role in (Role.CASE_MANAGER, Role.ADMINISTRATOR))
    began = people.try_sign_in(house, casey.sign_in_name)
    half = queries.actor_for(queries.user(house, casey.user_id), began, Source("page"), step=queries.SECOND_FACTOR)
    with pytest.raises(models.CodeRefusedError):
        run(house, commands.acknowledge_rules, half, casey.user_id, **READ)
    with pytest.raises(NotFoundError):
        run(house, commands.acknowledge_rules, ada.actor(house), casey.user_id, **READ)
    with pytest.raises(InvalidInputError):
        run(house, commands.acknowledge_rules, ada.actor(house), ada.user_id, **READ | {"agreed": False})


# --- what changed on one's account (S-806) ----------------------------------------------------------------------------


def told_to(house: Session, member: people.Member) -> list[tuple[str, UUID | None]]:
    """What the account's person is told, oldest first, after their first day."""
    house.rollback()
    house.expunge_all()
    rows = house.scalars(
        select(models.AccountChange)
        .where(models.AccountChange.user_id == member.user_id)
        .order_by(models.AccountChange.at, models.AccountChange.id)
    ).all()
    assert [one.what for one in rows[:2]] == ["password_changed", "factor_added"]
    return [(one.what, one.by) for one in rows[2:]]


def has_news(house: Session, token: str | None) -> bool:
    held = queries.holder(house, str(token), Source("page"))
    house.rollback()
    assert held is not None
    return held.has_news


@pytest.mark.usefixtures("engine")
def test_s806_each_change_of_an_account_is_told_with_who_did_it(house: Session, agency: UUID, now: Moment) -> None:
    ada, bo = (people.a_member(house, agency, Role.ADMINISTRATOR) for _ in range(2))
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    soon = (now() + timedelta(days=9)).date().isoformat()
    run(house, commands.set_last_day, ada.actor(house), casey.user_id, ends_on=soon)
    run(house, commands.set_last_day, ada.actor(house), casey.user_id, ends_on=soon)
    run(house, commands.set_last_day, ada.actor(house), casey.user_id)
    _change_factor(house, casey, ada)
    now.pass_by(seconds=61)
    token = str(people.sign_in_fully(house, casey).token)
    now.pass_by(seconds=61)
    code = queries.demo_code(house, casey.sign_in_name, now())
    run(house, commands.renew_recovery_codes, casey.actor(house, token), casey.user_id, code=code)
    run(house, commands.confirm_role, bo.actor(house), propose(house, ada, casey.user_id))
    grant = next(one.id for one in queries.user(house, casey.user_id).grants if one.role == "supervisor")
    run(house, commands.end_role, ada.actor(house), grant)
    for _ in range(5):
        refuse_sign_in(house, casey.sign_in_name)
    run(house, commands.unlock_user, ada.actor(house), casey.user_id)
    run(house, commands.reset_password, system("cli"), casey.user_id)
    run(house, commands.disable_user, ada.actor(house), casey.user_id, because="left")
    run(house, commands.enable_user, bo.actor(house), casey.user_id)
    me, her, him = casey.user_id, ada.user_id, bo.user_id
    assert told_to(house, casey) == [
        ("last_day_set", her),
        ("last_day_removed", her),
        ("factor_replaced", me),
        ("codes_made", me),
        ("role_given", him),
        ("role_ended", her),
        ("locked", None),
        ("unlocked", her),
        ("password_reset", None),
        ("disabled", her),
        ("enabled", him),
    ]
    now.pass_by(days=91)
    commands.disable_due(house, None, None)
    assert told_to(house, casey)[-1] == ("disabled", None)
    kinds = house.execute(select(models.AccountChange.what, models.AccountChange.automatic)).all()
    assert {what for what, automatic in kinds if automatic} == {"locked", "disabled"}
    assert ("password_reset", False) in [tuple(one) for one in kinds]


@pytest.mark.usefixtures("engine")
def test_s806_news_stands_from_the_next_sign_in_until_it_is_looked_at_and_the_first_day_is_none(
    house: Session, agency: UUID, now: Moment
) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    now.pass_by(seconds=61)
    token = people.sign_in_fully(house, casey).token
    assert not has_news(house, token)
    soon = [(now() + timedelta(days=ahead)).date().isoformat() for ahead in (8, 9)]
    run(house, commands.set_last_day, ada.actor(house), casey.user_id, ends_on=soon[0])
    assert not has_news(house, token)  # it began before
    now.pass_by(seconds=61)
    token = people.sign_in_fully(house, casey).token
    assert has_news(house, token)
    actor = casey.actor(house, str(token))
    first = queries.changes(house, actor)[0].id
    run(house, commands.set_last_day, ada.actor(house), casey.user_id, ends_on=soon[1])
    run(house, commands.see_changes, actor, casey.user_id, until=str(first))
    assert not has_news(house, token)
    now.pass_by(seconds=61)
    token = people.sign_in_fully(house, casey).token
    assert has_news(house, token)  # what came after the one that was looked at is still new
    actor = casey.actor(house, str(token))
    newest = queries.changes(house, actor)[0].id
    for until in (newest, first):  # an older page does not bring news back
        run(house, commands.see_changes, actor, casey.user_id, until=str(until))
        assert not has_news(house, token)


def test_s806_nobody_sees_or_settles_the_changes_of_another(house: Session, agency: UUID) -> None:
    ada, casey = (people.a_member(house, agency, role) for role in (Role.ADMINISTRATOR, Role.CASE_MANAGER))
    theirs = queries.changes(house, casey.actor(house))[0].id
    assert theirs not in {one.id for one in queries.changes(house, ada.actor(house))}
    for until in (theirs, uuid4()):
        with pytest.raises(InvalidInputError):
            run(house, commands.see_changes, ada.actor(house), ada.user_id, until=str(until))
    with pytest.raises(NotFoundError):
        run(house, commands.see_changes, ada.actor(house), casey.user_id, until=str(theirs))


# --- who may come in -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("engine")
def test_s801_a_sign_in_name_and_an_address_are_never_used_twice(house: Session, agency: UUID, community: UUID) -> None:
    words = {"sign_in_name": "Casey.Morgan", "display_name": "Casey Morgan", "email": "Casey@example.org"}
    made = run(house, commands.add_user, system("cli"), agency, **words, roles=["case_manager"])
    assert made.sign_in_name == "casey.morgan"
    run(house, commands.disable_user, system("cli"), made.id, because="left")
    with pytest.raises(InvalidInputError) as refusal:
        run(
            house,
            commands.add_user,
            system("cli"),
            community,
            sign_in_name="CASEY.MORGAN",
            display_name="Another Casey",
            email=" casey@EXAMPLE.org",
            roles=["case_manager"],
        )
    assert refusal.value.fields == {
        "sign_in_name": ["name_taken"],
        "email": ["email_taken"],
        "roles": ["role_not_of_side"],
    }
    assert queries.user(house, made.id).email == "Casey@example.org"


@pytest.mark.parametrize("name", ["ab", "-casey", "casey-", "casey morgan", "cäsey", "c" * 65, "casey@example.org"])
def test_a_bad_sign_in_name_is_refused(house: Session, agency: UUID, name: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        run(
            house,
            commands.add_user,
            system("cli"),
            agency,
            sign_in_name=name,
            display_name="Casey",
            roles=["case_manager"],
        )
    assert set(refusal.value.fields) == {"sign_in_name"}


def test_s202_s205_only_an_administrator_of_that_organization_manages_people_and_never_themselves(
    house: Session, agency: UUID, community: UUID
) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    stranger = people.a_member(house, community, Role.ADMINISTRATOR)
    acts: list[tuple[Command[Any, Any], dict[str, Any]]] = [
        (commands.grant_role, {"role": "supervisor"}),
        (commands.propose_role, {"role": "supervisor"}),
        (commands.disable_user, {"because": "left"}),
        (commands.unlock_user, {}),
        (commands.reset_password, {}),
        (commands.enable_user, {}),
        (commands.set_last_day, {}),
    ]
    for what, words in acts:
        with pytest.raises(NotFoundError):
            run(house, what, stranger.actor(house), casey.user_id, **words)
        with pytest.raises(NotFoundError):
            run(house, what, stranger.actor(house), uuid4(), **words)
        with pytest.raises(NotPermittedError):
            run(house, what, casey.actor(house), ada.user_id, **words)
        with pytest.raises(NotPermittedError):
            run(house, what, ada.actor(house), ada.user_id, **words)
    new = {"sign_in_name": "new.person", "display_name": "New Person", "roles": ["case_manager"]}
    with pytest.raises(NotFoundError):
        run(house, commands.add_user, stranger.actor(house), agency, **new)
    with pytest.raises(NotPermittedError):
        run(house, commands.add_user, casey.actor(house), agency, **new)
    own = queries.user(house, ada.user_id).grants[0].id
    with pytest.raises(NotPermittedError):
        run(house, commands.end_role, ada.actor(house), own)
    with pytest.raises(NotFoundError):
        run(house, commands.end_role, stranger.actor(house), own)
    added = run(house, commands.add_user, ada.actor(house), agency, **new)
    assert added.shown_code
    assert queries.user(house, added.id).roles == {Role.CASE_MANAGER}


def test_s113_what_gives_power_needs_a_fresh_second_factor(house: Session, agency: UUID, now: Moment) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    actor = ada.actor(house)
    now.pass_by(minutes=10)
    new = {"sign_in_name": "new.person", "display_name": "New Person", "roles": ["case_manager"]}
    acts: list[tuple[Command[Any, Any], UUID, dict[str, Any]]] = [
        (commands.add_user, agency, new),
        (commands.grant_role, casey.user_id, {"role": "supervising_officer"}),
        (commands.propose_role, casey.user_id, {"role": "supervisor"}),
        (commands.end_role, queries.user(house, casey.user_id).grants[0].id, {}),
        (commands.unlock_user, casey.user_id, {}),
        (commands.reset_password, casey.user_id, {}),
    ]
    for what, target, words in acts:
        with pytest.raises(models.FreshSignInNeededError):
            run(house, what, actor, target, **words)
    code = queries.demo_code(house, ada.sign_in_name, now())
    again = run(house, commands.confirm_second_factor, actor, cast("UUID", actor.sign_in_id), code=code)
    run(house, commands.grant_role, ada.actor(house, again.token), casey.user_id, role="supervising_officer")


def test_roles_by_the_rules_of_side_and_of_the_auditor(house: Session, agency: UUID) -> None:
    casey = people.a_user(house, agency, Role.CASE_MANAGER)
    for role, refused in (
        ("case_manager", models.RoleHeldError),
        ("navigator", models.RoleNotOfSideError),
        ("auditor", models.AuditorAloneError),
    ):
        with pytest.raises(refused):
            run(house, commands.grant_role, system("cli"), casey.id, role=role)
    with pytest.raises(InvalidInputError):
        run(house, commands.grant_role, system("cli"), casey.id, role="operator")
    run(house, commands.disable_user, system("cli"), casey.id, because="left")
    with pytest.raises(models.UserDisabledError):
        run(house, commands.grant_role, system("cli"), casey.id, role="supervisor")


# --- a second person for powerful roles (S-802) -----------------------------------------------------------------------


def propose(house: Session, by: people.Member, user_id: UUID, role: str = "supervisor") -> UUID:
    made = run(house, commands.propose_role, by.actor(house), user_id, role=role)
    return cast("UUID", made.id)


def roles_of(house: Session, user_id: UUID) -> set[str]:
    house.rollback()
    house.expunge_all()
    return {role.value for role in queries.user(house, user_id).roles}


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("role", ["supervisor", "administrator", "auditor"])
def test_s802_one_administrator_alone_gives_no_powerful_role_on_any_path(
    house: Session, agency: UUID, role: str
) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    bo = people.a_member(house, agency, Role.ADMINISTRATOR)
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    run(house, commands.end_role, system("cli"), queries.user(house, casey.user_id).grants[0].id)
    casey.token = str(people.sign_in_fully(house, casey).token)
    with pytest.raises(models.SecondPersonNeededError):
        run(house, commands.grant_role, ada.actor(house), casey.user_id, role=role)
    proposal = propose(house, ada, casey.user_id, role)
    with pytest.raises(NotPermittedError):
        run(house, commands.confirm_role, ada.actor(house), proposal)
    assert roles_of(house, casey.user_id) == set()
    assert opens(house, casey.token)
    new = {"sign_in_name": "new.person", "display_name": "New Person", "roles": [role]}
    added = run(house, commands.add_user, ada.actor(house), agency, **new)
    assert roles_of(house, added.id) == set()
    assert [one.role for one in queries.waiting(house, agency, added.id)] == [role]
    with pytest.raises(models.RoleProposedError):
        propose(house, bo, casey.user_id, role)
    run(house, commands.confirm_role, bo.actor(house), proposal)
    assert roles_of(house, casey.user_id) == {role}
    assert not opens(house, casey.token)
    with pytest.raises(models.ProposalSettledError):
        run(house, commands.confirm_role, bo.actor(house), proposal)
    kept = house.get_one(models.RoleProposal, proposal)
    assert (kept.outcome, kept.settled_by, kept.proposed_by) == ("confirmed", bo.user_id, ada.user_id)


@pytest.mark.usefixtures("engine")
def test_s802_s205_nobody_confirms_for_themselves_and_no_other_organization_does(
    house: Session, agency: UUID, community: UUID
) -> None:
    ada, bo = (people.a_member(house, agency, Role.ADMINISTRATOR) for _ in range(2))
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    stranger = people.a_member(house, community, Role.ADMINISTRATOR)
    about_bo = propose(house, ada, bo.user_id)
    with pytest.raises(NotPermittedError):
        propose(house, bo, bo.user_id)
    for what, words in ((commands.confirm_role, {}), (commands.refuse_role, {"because": "no"})):
        for one, refusal in ((bo, NotPermittedError), (casey, NotPermittedError), (stranger, NotFoundError)):
            with pytest.raises(refusal):
                run(house, what, one.actor(house), about_bo, **words)
    with pytest.raises(NotPermittedError):
        queries.proposals_for(house, casey.actor(house))
    assert queries.proposals_for(house, stranger.actor(house)) == ([], None)
    with pytest.raises(NotFoundError):
        queries.proposal_for(house, stranger.actor(house), about_bo)
    waiting, _ = queries.proposals_for(house, bo.actor(house))
    assert [one.id for one in waiting] == [about_bo]


@pytest.mark.usefixtures("engine")
def test_s802_the_operator_confirms_only_where_no_second_administrator_is(
    house: Session, agency: UUID, now: Moment
) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    bo = people.a_member(house, agency, Role.ADMINISTRATOR)
    proposal = propose(house, ada, casey.user_id)
    for _ in range(5):
        refuse_sign_in(house, bo.sign_in_name)
    with pytest.raises(models.SecondAdministratorError):  # locked, but an administrator unlocks them
        run(house, commands.confirm_role, system("cli"), proposal)
    today = now().astimezone(ZoneInfo("America/Los_Angeles")).date()
    run(house, commands.set_last_day, ada.actor(house), bo.user_id, ends_on=today.isoformat())
    with pytest.raises(models.SecondAdministratorError):
        run(house, commands.confirm_role, system("cli"), proposal)
    run(house, commands.disable_user, ada.actor(house), bo.user_id, because="left")
    granted = run(house, commands.confirm_role, system("cli"), proposal)
    assert granted.granted_by is None
    assert roles_of(house, casey.user_id) == {"case_manager", "supervisor"}
    lone = propose(house, ada, casey.user_id, "administrator")
    run(house, commands.confirm_role, system("cli"), lone)  # the person it is about is no second administrator
    assert roles_of(house, casey.user_id) == {"case_manager", "supervisor", "administrator"}


@pytest.mark.usefixtures("engine")
def test_s802_a_refused_or_withdrawn_proposal_gives_nothing_and_can_be_made_again(house: Session, agency: UUID) -> None:
    ada, bo = (people.a_member(house, agency, Role.ADMINISTRATOR) for _ in range(2))
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    for who in (bo, ada):  # refused by another, taken back by whoever proposed it
        proposal = propose(house, ada, casey.user_id)
        run(house, commands.refuse_role, who.actor(house), proposal, because="Not before the training")
        with pytest.raises(models.ProposalSettledError):
            run(house, commands.confirm_role, bo.actor(house), proposal)
        with pytest.raises(models.ProposalSettledError):
            run(house, commands.refuse_role, bo.actor(house), proposal, because="once more")
    assert roles_of(house, casey.user_id) == {"case_manager"}
    told = [one["action"] for one in events(house) if one["code"] is None and ".role_" in one["action"]]
    assert told == ["account.role_proposed", "account.role_refused"] * 2


def test_s802_what_speaks_against_a_role_is_said_when_proposing_and_again_when_confirming(
    house: Session, agency: UUID
) -> None:
    ada, bo = (people.a_member(house, agency, Role.ADMINISTRATOR) for _ in range(2))
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    with pytest.raises(InvalidInputError):  # needs no second person
        propose(house, ada, casey.user_id, "supervising_officer")
    with pytest.raises(models.AuditorAloneError):
        propose(house, ada, casey.user_id, "auditor")
    proposal = propose(house, ada, casey.user_id)
    run(house, commands.disable_user, ada.actor(house), casey.user_id, because="left")
    with pytest.raises(models.UserDisabledError):
        run(house, commands.confirm_role, bo.actor(house), proposal)
    assert house.get_one(models.RoleProposal, proposal, populate_existing=True).settled_at is None


def test_s802_s113_confirming_needs_a_fresh_second_factor(house: Session, agency: UUID, now: Moment) -> None:
    ada, bo = (people.a_member(house, agency, Role.ADMINISTRATOR) for _ in range(2))
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    proposal = propose(house, ada, casey.user_id)
    actor = bo.actor(house)
    now.pass_by(minutes=10)
    with pytest.raises(models.FreshSignInNeededError):
        run(house, commands.confirm_role, actor, proposal)


def test_s802_s211_of_several_answers_at_once_one_counts(
    engine: Engine, house: Session, agency: UUID, open_on: Callable[[Engine], HouseSession]
) -> None:
    ada, bo, cleo = (people.a_member(house, agency, Role.ADMINISTRATOR) for _ in range(3))
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    proposal = propose(house, ada, casey.user_id)
    actors = [bo.actor(house), cleo.actor(house)]
    house.rollback()
    ready, told = threading.Barrier(4), []

    def answer(number: int) -> None:
        with open_on(engine) as session:
            ready.wait()
            try:
                if number < 2:
                    run(session, commands.confirm_role, actors[number], proposal)
                else:
                    run(session, commands.refuse_role, actors[number - 2], proposal, because="no")
                told.append("done")
            except RefusedError as refusal:
                told.append(refusal.code)

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["done", *["proposal_settled"] * 3]
    kept = house.get_one(models.RoleProposal, proposal, populate_existing=True)
    assert (kept.outcome == "confirmed") == ("supervisor" in roles_of(house, casey.user_id))


# --- leaving (S-804) --------------------------------------------------------------------------------------------------


def disabled_because(house: Session, user_id: UUID) -> str | None:
    house.rollback()
    house.expunge_all()
    return queries.user(house, user_id).disabled_because


@pytest.mark.usefixtures("engine")
def test_s804_an_account_that_nobody_uses_for_90_days_is_disabled_and_not_sooner(
    house: Session, agency: UUID, now: Moment
) -> None:
    casey, nobody_yet = people.a_member(house, agency, Role.CASE_MANAGER), people.a_user(house, agency, Role.SUPERVISOR)
    accounts = (casey.user_id, nobody_yet.id)
    now.pass_by(days=89, hours=23)
    commands.disable_due(house, None, None)
    assert [disabled_because(house, one) for one in accounts] == [None, None]
    now.pass_by(hours=2)
    commands.disable_due(house, None, None)
    assert [disabled_because(house, one) for one in accounts] == [models.BECAUSE_IDLE] * 2
    assert not opens(house, casey.token)
    refuse_sign_in(house, casey.sign_in_name, casey.password)
    commands.disable_due(house, None, None)


@pytest.mark.usefixtures("engine")
def test_s804_an_account_opens_on_its_last_day_and_not_on_the_next_even_before_the_worker_came(
    house: Session, agency: UUID, now: Moment
) -> None:
    there = now().astimezone(ZoneInfo("America/Los_Angeles"))
    today = there.date()
    now.pass_by(seconds=(there.replace(hour=23, minute=58, second=0) - there).total_seconds())
    casey, ada = people.a_member(house, agency, Role.CASE_MANAGER), people.a_member(house, agency, Role.ADMINISTRATOR)
    with pytest.raises(InvalidInputError) as refusal:
        run(
            house,
            commands.set_last_day,
            ada.actor(house),
            casey.user_id,
            ends_on=(today - timedelta(days=1)).isoformat(),
        )
    assert refusal.value.fields == {"ends_on": ["in_past"]}
    run(house, commands.set_last_day, ada.actor(house), casey.user_id, ends_on=today.isoformat())
    assert opens(house, casey.token)
    commands.disable_due(house, None, None)
    assert disabled_because(house, casey.user_id) is None
    now.pass_by(minutes=3)
    assert opens(house, ada.token)
    assert not opens(house, casey.token)
    refuse_sign_in(house, casey.sign_in_name, casey.password)
    commands.disable_due(house, None, None)
    assert disabled_because(house, casey.user_id) == models.BECAUSE_ENDED


def test_s804_whoever_comes_back_gets_a_code_and_is_not_disabled_again_at_once(
    house: Session, agency: UUID, now: Moment
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    now.pass_by(days=91)
    commands.disable_due(house, None, None)
    back = run(house, commands.enable_user, system("cli"), casey.user_id)
    assert back.shown_code
    commands.disable_due(house, None, None)
    assert disabled_because(house, casey.user_id) is None
    assert people.try_sign_in(house, casey.sign_in_name, back.shown_code).token
    with pytest.raises(models.NotDisabledError):
        run(house, commands.enable_user, system("cli"), casey.user_id)


def test_s804_nobody_comes_back_after_their_last_day(house: Session, agency: UUID, now: Moment) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    run(
        house,
        commands.set_last_day,
        system("cli"),
        casey.user_id,
        ends_on=(now() + timedelta(days=2)).date().isoformat(),
    )
    now.pass_by(days=5)
    commands.disable_due(house, None, None)
    with pytest.raises(models.LastDayPassedError):
        run(house, commands.enable_user, system("cli"), casey.user_id)
    run(house, commands.set_last_day, system("cli"), casey.user_id)
    assert run(house, commands.enable_user, system("cli"), casey.user_id).shown_code


@pytest.mark.usefixtures("engine")
def test_s802_one_administrator_alone_gives_no_power_back_by_enabling(house: Session, agency: UUID) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    bo = people.a_member(house, agency, Role.ADMINISTRATOR)
    suri = people.a_member(house, agency, Role.SUPERVISOR, Role.CASE_MANAGER, Role.ADMINISTRATOR)
    run(house, commands.disable_user, ada.actor(house), suri.user_id, because="left")
    run(house, commands.enable_user, ada.actor(house), suri.user_id)
    assert queries.user(house, suri.user_id).roles == {Role.CASE_MANAGER}
    waiting = {one.role: one for one in queries.waiting(house, agency, suri.user_id)}
    assert waiting.keys() == {"supervisor", "administrator"}
    for proposal in waiting.values():
        with pytest.raises(NotPermittedError):
            run(house, commands.confirm_role, ada.actor(house), proposal.id)
    run(house, commands.confirm_role, bo.actor(house), waiting["supervisor"].id)
    house.expunge_all()
    assert queries.user(house, suri.user_id).roles == {Role.CASE_MANAGER, Role.SUPERVISOR}
    told = [one.what for one in queries.changes(house, replace(ada.actor(house), user_id=suri.user_id))]
    assert told.count("role_ended") == 2


def test_s802_the_operator_gives_back_all(house: Session, agency: UUID) -> None:
    suri = people.a_member(house, agency, Role.SUPERVISOR)
    run(house, commands.disable_user, system("cli"), suri.user_id, because="left")
    run(house, commands.enable_user, system("cli"), suri.user_id)
    assert queries.user(house, suri.user_id).roles == {Role.SUPERVISOR}
    assert queries.waiting(house, agency) == []


@pytest.mark.usefixtures("engine")
def test_s802_what_somebody_proposed_lapses_when_they_are_disabled(house: Session, agency: UUID) -> None:
    ada, bo = (people.a_member(house, agency, Role.ADMINISTRATOR) for _ in range(2))
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    hers = run(house, commands.propose_role, ada.actor(house), casey.user_id, role="supervisor")
    his = run(house, commands.propose_role, bo.actor(house), casey.user_id, role="administrator")
    run(house, commands.disable_user, bo.actor(house), ada.user_id, because="left")
    assert [one.id for one in queries.waiting(house, agency)] == [his.id]
    for actor in (bo.actor(house), system("cli")):
        with pytest.raises(models.ProposalSettledError):
            run(house, commands.confirm_role, actor, hers.id)
    settled = house.get_one(models.RoleProposal, hers.id, populate_existing=True)
    assert (settled.outcome, settled.settled_by) == ("lapsed", bo.user_id)
    house.rollback()
    assert queries.user(house, casey.user_id).roles == {Role.CASE_MANAGER}


@pytest.mark.usefixtures("engine")
def test_s804_an_emergency_account_ends_after_72_hours_and_nothing_extends_it(
    house: Session, agency: UUID, now: Moment
) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    words = {"display_name": "Em Ergency", "roles": ["case_manager"], "emergency_because": "Flood at North Ridge"}
    added = run(house, commands.add_user, ada.actor(house), agency, sign_in_name="em.one", **words)
    user_id, until = added.id, now() + timedelta(hours=72)
    made = commands.first_sign_in(house, "em.one", str(added.shown_code), people.PASSWORD, Source("page"))
    em = people.Member(user_id, "em.one", people.PASSWORD, list(made.shown_codes), str(made.token))
    kept = queries.user(house, user_id).emergency_until
    assert kept is not None
    assert abs(kept - until) < timedelta(minutes=1)
    later = (now() + timedelta(days=30)).date().isoformat()
    run(house, commands.set_last_day, ada.actor(house), user_id, ends_on=later)
    assert queries.user(house, user_id).emergency_until == kept
    now.pass_by(hours=71, minutes=50)
    token = people.sign_in_fully(house, em).token
    assert opens(house, token)
    commands.disable_due(house, None, None)
    assert disabled_because(house, user_id) is None
    run(house, commands.disable_user, system("cli"), user_id, because="too early")
    assert run(house, commands.enable_user, system("cli"), user_id).shown_code
    assert queries.user(house, user_id).emergency_until == kept
    now.pass_by(minutes=11)
    assert not opens(house, token)
    refuse_sign_in(house, em.sign_in_name, str(queries.user(house, user_id).shown_code))
    commands.disable_due(house, None, None)
    assert disabled_because(house, user_id) == models.BECAUSE_EMERGENCY_OVER
    with pytest.raises(models.EmergencyOverError):
        run(house, commands.enable_user, system("cli"), user_id)


def test_s804_an_open_sign_in_ends_with_the_emergency_before_the_worker_comes(
    house: Session, agency: UUID, now: Moment
) -> None:
    words = {"sign_in_name": "em.two", "display_name": "Em Two", "roles": ["supervisor"]}
    added = run(house, commands.add_user, system("cli"), agency, **words, emergency_because="Flood")
    made = commands.first_sign_in(house, "em.two", str(added.shown_code), people.PASSWORD, Source("page"))
    em = people.Member(added.id, "em.two", people.PASSWORD, list(made.shown_codes), str(made.token))
    now.pass_by(hours=71, minutes=55)
    token = people.sign_in_fully(house, em).token
    assert opens(house, token)
    now.pass_by(minutes=6)
    assert not opens(house, token)
    refuse_sign_in(house, em.sign_in_name, em.password)


def test_s804_the_worker_disables_nobody_who_has_just_come_in(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    with pytest.raises(models.AccountKeptError):
        run(house, commands.disable_user, system(), casey.user_id, because=models.BECAUSE_IDLE)
    assert opens(house, casey.token)


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
    run(house, commands.sign_out, actor, cast("UUID", actor.sign_in_id))
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


@pytest.mark.usefixtures("engine")
def test_what_others_ask_of_accounts(house: Session, agency: UUID) -> None:
    casey = people.a_user(house, agency, Role.CASE_MANAGER, name="Casey Morgan")
    gone = people.a_user(house, agency, Role.CASE_MANAGER, name="Gone Person")
    ada = people.a_user(house, agency, Role.ADMINISTRATOR, name="Ada Wells")
    run(house, commands.disable_user, system("cli"), gone.id, because="left")
    assert queries.names(house, [casey.id, gone.id, None, uuid4()]) == {
        casey.id: "Casey Morgan",
        gone.id: "Gone Person",
    }
    assert queries.names(house, []) == {}
    found = house.scalars(queries.colleagues(agency, Role.CASE_MANAGER)).all()
    assert [one.id for one in found] == [casey.id]
    assert [one.id for one in house.scalars(queries.colleagues(agency))] == [ada.id, casey.id]
    first, after = queries.people_page(house, agency, limit=2)
    rest, end = queries.people_page(house, agency, after=after, limit=2)
    assert {one.id for one in (*first, *rest)} == {casey.id, gone.id, ada.id}
    assert end is None
    with pytest.raises(NotFoundError):
        queries.user(house, uuid4())
    with pytest.raises(NotFoundError):
        queries.demo_code(house, casey.sign_in_name, house.info["clock"]())


def test_a_race_for_one_name_is_lost_by_one(
    engine: Engine, house: Session, agency: UUID, open_on: Callable[[Engine], HouseSession]
) -> None:
    house.rollback()
    ready, told = threading.Barrier(4), []

    def add() -> None:
        with open_on(engine) as session:
            ready.wait()
            try:
                people.a_user(session, agency, Role.CASE_MANAGER, sign_in_name="casey.morgan")
                told.append("added")
            except RefusedError as refusal:
                told.append(refusal.code)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["added", *["invalid_input"] * 3]


def test_other_organizations_have_other_people(house: Session, agency: UUID) -> None:
    elsewhere = add_organization(house, "Birch County Jail", "agency")
    people.a_user(house, elsewhere, Role.CASE_MANAGER)
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    seen = house.scalars(queries.visible_to(ada.actor(house))).all()
    assert [one.id for one in seen] == [ada.user_id]
    assert len(house.scalars(queries.visible_to(system("cli"))).all()) == 2
    assert house.query(User).count() == 2
    assert house.query(SecondFactor).count() == 1
    assert house.query(RecoveryCode).count() == 10


# --- API tokens ------------------------------------------------------------------------------------------------------


def a_token(session: Session, ada: Actor, organization: UUID, now: Moment, days: int = 200) -> models.ApiToken:
    made: models.ApiToken = run(
        session,
        commands.make_token,
        ada,
        organization,
        called="County case system",
        role="case_manager",
        scopes=["referrals:read"],
        ends_on=(now() + timedelta(days=days)).astimezone(ZoneInfo("America/Los_Angeles")).date().isoformat(),
    )
    return made


def shows(session: Session, made: models.ApiToken) -> bool:
    """Whether the token opens anything now."""
    held = queries.token_holder(session, str(made.shown_token), Source("api"))
    session.rollback()
    return held is not None and held.works


@pytest.mark.usefixtures("engine")
def test_s808_an_integration_is_not_idle_and_ends_with_its_last_day_even_before_the_worker_came(
    house: Session, agency: UUID, now: Moment
) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR).actor(house)
    before = len(events(house))
    made = a_token(house, ada, agency, now)
    integration = made.user_id
    assert since(house, before) == [("account.token_made", "done", None)] * 3
    assert {one["on"][0]["type"] for one in events(house)[before:]} == {"user", "role_grant", "api_token"}
    now.pass_by(days=150)
    commands.disable_due(house, None, None)
    assert disabled_because(house, integration) is None, "nobody signs in to it, ever"
    assert shows(house, made)
    now.pass_by(days=51)
    assert not shows(house, made)
    commands.disable_due(house, None, None)
    assert disabled_because(house, integration) == models.BECAUSE_ENDED
    assert not shows(house, made)


@pytest.mark.usefixtures("engine")
def test_s808_renewing_carries_the_integration_on_and_its_last_token_takes_it_along(
    house: Session, agency: UUID, now: Moment
) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR).actor(house)
    first = a_token(house, ada, agency, now, days=1)
    later = (now() + timedelta(days=300)).date().isoformat()
    second = run(house, commands.renew_token, ada, first.id, ends_on=later)
    assert second.user_id == first.user_id
    now.pass_by(days=3)
    commands.disable_due(house, None, None)
    assert (shows(house, first), shows(house, second)) == (False, True)
    with pytest.raises(models.FreshSignInNeededError):
        run(house, commands.renew_token, ada, second.id, ends_on=later)
    run(house, commands.revoke_token, ada, second.id, because="no longer used")
    assert disabled_because(house, first.user_id) == "no longer used"
    assert not shows(house, second)


def test_s808_an_organization_that_ended_has_no_tokens_that_work(house: Session, agency: UUID, now: Moment) -> None:
    made = a_token(house, people.a_member(house, agency, Role.ADMINISTRATOR).actor(house), agency, now)
    run(house, end_organization, system("cli"), agency)
    assert not shows(house, made)


def test_s808_what_needs_a_fresh_sign_in_is_refused_to_whoever_has_none(
    house: Session, agency: UUID, now: Moment
) -> None:
    """Even if a token's role ever administered: the door is shut to it, and so is the act."""
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    made = a_token(house, ada.actor(house), agency, now)
    token = replace(ada.actor(house), sign_in_id=None, token_id=made.id)
    with pytest.raises(models.FreshSignInNeededError):
        a_token(house, token, agency, now)
    with pytest.raises(models.FreshSignInNeededError):
        run(house, commands.grant_role, token, people.a_user(house, agency, Role.CASE_MANAGER).id, role="supervisor")
