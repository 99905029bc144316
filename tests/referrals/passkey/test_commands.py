"""Passkeys as a second factor on both databases: every wrong answer first, by a real authenticator in software."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from referrals.account import queries as accounts
from referrals.account.models import NEW_PASSWORD, AccountChange
from referrals.factor import commands as factors
from referrals.integration import commands as integrations
from referrals.kernel.actor import Actor, Role, Source, TokenScope, system
from referrals.kernel.errors import InvalidInputError, NotFoundError, NotPermittedError
from referrals.passkey import commands as c
from referrals.passkey import queries as q
from referrals.passkey.models import (
    ADD,
    USE,
    NoPasskeyError,
    NotOfferedError,
    Passkey,
    PasskeyCopiedError,
    PasskeyEndedError,
    PasskeyKnownError,
    PasskeyRefusedError,
)
from referrals.sign_in import commands as sign_ins
from referrals.sign_in import queries as sign_in_queries
from referrals.sign_in.models import (
    CodeRefusedError,
    FactorNotPendingError,
    FailedAttempt,
    FreshSignInNeededError,
    LastFactorError,
    SignIn,
)
from referrals.staff import commands as staff
from tests.factories import account as people
from tests.factories.authenticator import Authenticator, plain
from tests.referrals.account.conftest import Moment, events, opens, run, since


def asked(house: Session, actor: Actor, purpose: str) -> dict[str, Any]:
    """What the browser is asked."""
    made = run(house, c.challenge_passkey, actor, actor.me, purpose=purpose)
    options = q.options(house, made)
    house.rollback()
    return options


def half(house: Session, began: SignIn) -> Actor:
    """Whoever gave the password alone."""
    found = accounts.user(house, began.user_id)
    actor = sign_in_queries.actor_for(found, began, Source("page"), step=accounts.SECOND_FACTOR)
    house.rollback()
    return actor


def add(house: Session, actor: Actor, key: Authenticator, name: str = "Blue key") -> SignIn:
    made = run(house, factors.add_passkey, actor, actor.me, name=name, passkey=key.create(asked(house, actor, ADD)))
    return cast("SignIn", made)


def give(house: Session, began: SignIn, answer: str) -> SignIn:
    made = run(house, sign_ins.confirm_second_factor, half(house, began), began.id, passkey=answer)
    return cast("SignIn", made)


def refuse(house: Session, began: SignIn, answer: str, error: type[PasskeyRefusedError] = PasskeyRefusedError) -> None:
    with pytest.raises(error):
        give(house, began, answer)


def with_key(house: Session, member: people.Member, key: Authenticator, name: str = "Blue key") -> people.Member:
    member.token = cast("str", add(house, member.actor(house), key, name).token)
    return member


def by_key_alone(house: Session, agency_id: UUID, key: Authenticator) -> people.Member:
    """Somebody whose first day went without an authenticator app."""
    user = people.a_user(house, agency_id, Role.CASE_MANAGER)
    one_time = cast("str", user.shown_code)
    began = people.try_sign_in(house, user.sign_in_name, one_time)

    def oneself() -> Actor:
        return sign_in_queries.actor_for(accounts.user(house, user.id), began, Source("page"), step=NEW_PASSWORD)

    run(house, sign_ins.change_password, oneself(), user.id, new_password=people.PASSWORD)
    made = add(house, oneself(), key)
    run(house, sign_ins.acknowledge_rules, oneself(), user.id, wording=sign_in_queries.WORDING, agreed=True)
    codes, token = list(made.shown_codes), cast("str", made.token)
    return people.Member(user.id, user.sign_in_name, people.PASSWORD, codes, token)


def keys_of(house: Session, member: people.Member) -> list[Passkey]:
    house.rollback()
    house.expire_all()
    return q.of_user(house, member.user_id)


def told(house: Session, member: people.Member) -> list[str]:
    house.rollback()
    rows = house.query(AccountChange).filter_by(user_id=member.user_id).order_by(AccountChange.id)
    return [row.what for row in rows]


# --- wrong answers ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    "wrong",
    [
        {"origin": "https://localhost.evil.example"},
        {"origin": "http://localhost"},
        {"origin": "https://localhost:8443"},
        {"rp_id": "evil.example"},
        {"present": False},
    ],
)
def test_s103_an_answer_from_another_origin_or_site_or_without_a_touch_is_refused(
    house: Session, casey: people.Member, wrong: dict[str, Any]
) -> None:
    key = Authenticator()
    with_key(house, casey, key)
    began = people.try_sign_in(house, casey.sign_in_name)
    for name, value in wrong.items():
        setattr(key, name, value)
    refuse(house, began, key.get(asked(house, half(house, began), USE)))
    assert house.query(FailedAttempt).filter_by(factor="passkey").count() == 1
    actor = casey.actor(house)
    with pytest.raises(PasskeyRefusedError):
        add(house, actor, key)
    assert len(keys_of(house, casey)) == 1


def test_s103_a_challenge_that_nobody_made_is_refused(house: Session, casey: people.Member) -> None:
    key = Authenticator()
    with_key(house, casey, key)
    began = people.try_sign_in(house, casey.sign_in_name)
    options = asked(house, half(house, began), USE)
    refuse(house, began, key.get(options | {"challenge": "A" * 43}))
    refuse(house, began, key.get(options))  # the wrong answer was the challenge's one


def test_s103_what_is_no_answer_at_all_is_refused_alike(house: Session, casey: people.Member) -> None:
    key = Authenticator()
    with_key(house, casey, key)
    began = people.try_sign_in(house, casey.sign_in_name)
    right = json.loads(key.get(asked(house, half(house, began), USE)))
    for broken in (
        "no JSON",
        "[]",
        "[" * 5000,
        "{}",
        json.dumps(right | {"response": {}}),
    ):
        before = events(house)
        refuse(house, began, broken)
        assert since(house, len(before))[0] == ("account.second_factor_given", "refused", "passkey_refused")


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("part", ["signature", "authenticatorData", "clientDataJSON"])
def test_s103_one_flipped_bit_anywhere_is_refused(house: Session, casey: people.Member, part: str) -> None:
    key = Authenticator()
    with_key(house, casey, key)
    began = people.try_sign_in(house, casey.sign_in_name)
    answer = json.loads(key.get(asked(house, half(house, began), USE)))
    raw = answer["response"][part]
    answer["response"][part] = raw[:-6] + ("A" if raw[-6] != "A" else "B") + raw[-5:]
    refuse(house, began, json.dumps(answer))


@pytest.mark.usefixtures("engine")
def test_s103_s104_an_answer_works_once(house: Session, casey: people.Member) -> None:
    key = Authenticator(count=None)  # no counter helps here
    with_key(house, casey, key)
    began = people.try_sign_in(house, casey.sign_in_name)
    answer = key.get(asked(house, half(house, began), USE))
    assert opens(house, give(house, began, answer).token)
    refuse(house, began, answer)
    later = people.try_sign_in(house, casey.sign_in_name)
    refuse(house, later, answer)


def test_s103_an_answer_to_another_sign_ins_challenge_is_refused(house: Session, casey: people.Member) -> None:
    key = Authenticator()
    with_key(house, casey, key)
    one, other = (people.try_sign_in(house, casey.sign_in_name) for _ in range(2))
    answer = key.get(asked(house, half(house, one), USE))
    asked(house, half(house, other), USE)
    refuse(house, other, answer)


def test_s103_a_challenge_to_add_is_none_to_use_and_the_other_way_round(house: Session, casey: people.Member) -> None:
    key, another = Authenticator(), Authenticator()
    with_key(house, casey, key)
    began = people.try_sign_in(house, casey.sign_in_name)
    to_add = asked(house, half(house, began), ADD)
    refuse(house, began, key.get(to_add | {"allowCredentials": []}, by=key.credentials[0]))
    actor = casey.actor(house)
    to_use = asked(house, actor, USE)
    with pytest.raises(PasskeyRefusedError):
        run(house, factors.add_passkey, actor, actor.me, name="x", passkey=another.create(to_use))


@pytest.mark.usefixtures("engine")
def test_s103_a_challenge_is_stale_after_five_minutes(house: Session, casey: people.Member, now: Moment) -> None:
    key = Authenticator()
    with_key(house, casey, key)
    began = people.try_sign_in(house, casey.sign_in_name)
    answer = key.get(asked(house, half(house, began), USE))
    now.pass_by(minutes=5)
    refuse(house, began, answer)
    answer = key.get(asked(house, half(house, began), USE))
    now.pass_by(minutes=4, seconds=50)
    assert opens(house, give(house, began, answer).token)


@pytest.mark.usefixtures("engine")
def test_s103_somebody_elses_passkey_opens_nothing(house: Session, casey: people.Member, agency: UUID) -> None:
    key, theirs = Authenticator(), Authenticator()
    with_key(house, casey, key)
    with_key(house, people.a_member(house, agency, Role.CASE_MANAGER, name="Dana Lee"), theirs)
    began = people.try_sign_in(house, casey.sign_in_name)
    options = asked(house, half(house, began), USE)
    refuse(house, began, theirs.get(options, by=theirs.credentials[0]))
    # nor does their signature under the id of one's own
    forged = theirs.credentials[0]
    forged.id = key.credentials[0].id
    refuse(house, began, theirs.get(asked(house, half(house, began), USE), by=forged))


@pytest.mark.usefixtures("engine")
def test_s103_a_removed_passkey_opens_nothing(house: Session, casey: people.Member) -> None:
    key, other = Authenticator(), Authenticator()
    with_key(house, casey, key)
    with_key(house, casey, other, "Spare")
    gone = keys_of(house, casey)[0]
    made = run(house, factors.remove_passkey, casey.actor(house), gone.id)
    assert not opens(house, casey.token)  # the acting sign-in has a new token (S-111)
    began = people.try_sign_in(house, casey.sign_in_name)
    options = asked(house, half(house, began), USE)
    assert [one["id"] for one in options["allowCredentials"]] == [json.loads(other.get(options))["id"]]
    refuse(house, began, key.get(options, by=key.credentials[0]))
    casey.token = cast("str", made.token)
    with pytest.raises(PasskeyEndedError):
        run(house, factors.remove_passkey, casey.actor(house), gone.id)
    with pytest.raises(PasskeyEndedError):
        run(house, c.rename_passkey, casey.actor(house), gone.id, name="Again")


@pytest.mark.usefixtures("engine")
def test_s103_a_copied_key_is_refused_and_its_owner_told(house: Session, casey: people.Member) -> None:
    key = Authenticator()
    with_key(house, casey, key)
    copy = key.copied()
    began = people.try_sign_in(house, casey.sign_in_name)
    give(house, began, key.get(asked(house, half(house, began), USE)))
    began = people.try_sign_in(house, casey.sign_in_name)
    before = len(events(house))
    refuse(house, began, copy.get(asked(house, half(house, began), USE)), PasskeyCopiedError)
    assert ("account.second_factor_given", "refused", "passkey_copied") in since(house, before)
    assert told(house, casey)[-1] == "passkey_copied"
    assert keys_of(house, casey)[0].sign_count == 1
    # a bad signature under a low counter tells nobody anything: only the key itself can be copied
    forged = json.loads(copy.get(asked(house, half(house, began), USE)))
    forged["response"]["signature"] = forged["response"]["signature"][:-6] + "AAAAAA"
    refuse(house, began, json.dumps(forged))
    assert told(house, casey).count("passkey_copied") == 1


def test_s101_s103_five_wrong_answers_lock_the_account_even_for_the_right_one(
    house: Session, casey: people.Member
) -> None:
    key = Authenticator()
    with_key(house, casey, key)
    began = people.try_sign_in(house, casey.sign_in_name)
    stranger = Authenticator()
    stranger.create(asked(house, casey.actor(house), ADD))
    for _ in range(5):
        options = asked(house, half(house, began), USE)
        refuse(house, began, stranger.get(options, by=stranger.credentials[0]))
    assert accounts.user(house, casey.user_id).is_locked
    refuse(house, began, key.get(asked(house, half(house, began), USE)))


def test_s103_whoever_is_disabled_proves_nothing(house: Session, casey: people.Member) -> None:
    key = Authenticator()
    with_key(house, casey, key)
    began = people.try_sign_in(house, casey.sign_in_name)
    answer = key.get(asked(house, half(house, began), USE))
    run(house, staff.disable_user, system("cli"), casey.user_id, because="left")
    assert not opens(house, began.token)
    refuse(house, began, answer)


@pytest.mark.usefixtures("engine")
def test_s103_a_key_is_added_once_by_whomever(house: Session, casey: people.Member, agency: UUID) -> None:
    key = Authenticator()
    with_key(house, casey, key)
    actor = casey.actor(house)
    options = asked(house, actor, ADD)
    assert [one["id"] for one in options["excludeCredentials"]] == [_id(key)]
    dana = people.a_member(house, agency, Role.CASE_MANAGER, name="Dana Lee").actor(house)
    for who in (actor, dana):
        answer = key.create(asked(house, who, ADD), again=key.credentials[0])
        with pytest.raises(PasskeyKnownError):
            run(house, factors.add_passkey, who, who.me, name="Again", passkey=answer)
        with pytest.raises(PasskeyRefusedError):  # and the challenge is spent
            run(house, factors.add_passkey, who, who.me, name="Again", passkey=key.create(options))


def _id(key: Authenticator) -> str:
    return str(json.loads(key.get({"challenge": "", "allowCredentials": []}, by=key.credentials[0]))["id"])


@pytest.mark.usefixtures("engine")
def test_s103_the_last_factor_is_never_removed(house: Session, agency: UUID) -> None:
    key, spare = Authenticator(), Authenticator()
    member = by_key_alone(house, agency, key)
    (only,) = keys_of(house, member)
    with pytest.raises(LastFactorError):
        run(house, factors.remove_passkey, member.actor(house), only.id)
    with_key(house, member, spare, "Spare")
    member.token = cast("str", run(house, factors.remove_passkey, member.actor(house), only.id).token)
    (left,) = keys_of(house, member)
    with pytest.raises(LastFactorError):
        run(house, factors.remove_passkey, member.actor(house), left.id)
    assert left.name == "Spare"


@pytest.mark.usefixtures("engine")
def test_s113_adding_and_removing_need_a_fresh_sign_in(house: Session, casey: people.Member, now: Moment) -> None:
    key, spare = Authenticator(), Authenticator()
    with_key(house, casey, key)
    now.pass_by(minutes=10)
    actor = casey.actor(house)
    with pytest.raises(FreshSignInNeededError):
        add(house, actor, spare)
    with pytest.raises(FreshSignInNeededError):
        run(house, factors.remove_passkey, actor, keys_of(house, casey)[0].id)
    again = key.get(asked(house, actor, USE))
    made = run(house, sign_ins.confirm_second_factor, actor, cast("UUID", actor.sign_in_id), passkey=again)
    casey.token = cast("str", made.token)
    with_key(house, casey, spare, "Spare")
    assert [one.name for one in keys_of(house, casey)] == ["Blue key", "Spare"]


@pytest.mark.usefixtures("engine")
def test_s103_the_password_alone_adds_no_second_key_to_an_account_that_has_a_factor(
    house: Session, agency: UUID
) -> None:
    member = by_key_alone(house, agency, Authenticator())
    began = people.try_sign_in(house, member.sign_in_name)
    with pytest.raises(FreshSignInNeededError):
        add(house, half(house, began), Authenticator())
    assert sign_in_queries.pending_factor(house, member.user_id) is None  # nor an authenticator app
    assert len(keys_of(house, member)) == 1


def test_s103_the_password_alone_enrolls_no_app_that_was_begun_in_a_whole_sign_in(house: Session, agency: UUID) -> None:
    member = by_key_alone(house, agency, Authenticator())
    code = member.recovery_codes[0]
    pending = run(house, factors.start_factor, member.actor(house), member.user_id, code=code)
    shown = pending.code_of(int(house.info["clock"]().timestamp()) // 30)
    began = people.try_sign_in(house, member.sign_in_name)
    with pytest.raises(FactorNotPendingError):
        run(house, factors.enroll_factor, half(house, began), pending.id, code=shown)


def test_s108_a_one_time_code_alone_adds_no_key(house: Session, agency: UUID) -> None:
    user = people.a_user(house, agency, Role.CASE_MANAGER)
    began = people.try_sign_in(house, user.sign_in_name, cast("str", user.shown_code))
    with pytest.raises(FactorNotPendingError):
        add(house, half(house, began), Authenticator())


def test_s808_an_integration_and_whoever_has_no_sign_in_never_have_one(
    house: Session, ada: people.Member, casey: people.Member, agency: UUID
) -> None:
    ends_on = (house.info["clock"]() + timedelta(days=30)).date().isoformat()
    words = {"called": "County records", "role": "case_manager", "scopes": ["read:organization"], "ends_on": ends_on}
    words["scopes"] = [next(iter(TokenScope)).value]
    token = run(house, integrations.make_token, ada.actor(house), agency, **words)
    house.rollback()
    actor = people.actor_of(house, accounts.user(house, token.user_id))
    with pytest.raises(NotFoundError):
        asked(house, actor, ADD)
    nowhere = people.actor_of(house, accounts.user(house, casey.user_id))
    with pytest.raises(NotPermittedError):
        asked(house, nowhere, ADD)
    with pytest.raises(NotFoundError):
        run(house, c.challenge_passkey, ada.actor(house), casey.user_id, purpose=ADD)


def test_s103_nobody_is_asked_for_what_they_do_not_have_or_where_it_cannot_be(
    house: Session, casey: people.Member
) -> None:
    with pytest.raises(NoPasskeyError):
        asked(house, casey.actor(house), USE)
    del house.info["site"]
    with pytest.raises(NotOfferedError):
        asked(house, casey.actor(house), ADD)


@pytest.mark.usefixtures("engine")
def test_s103_another_ones_passkey_is_neither_renamed_nor_removed(
    house: Session, ada: people.Member, casey: people.Member
) -> None:
    with_key(house, casey, Authenticator())
    (theirs,) = keys_of(house, casey)
    with pytest.raises(NotFoundError):
        run(house, c.rename_passkey, ada.actor(house), theirs.id, name="Mine now")
    with pytest.raises(NotFoundError):
        run(house, factors.remove_passkey, ada.actor(house), theirs.id)
    with pytest.raises(NotFoundError):
        q.one_of(house, ada.actor(house), theirs.id)


def test_s103_neither_a_code_nor_an_answer_is_no_factor(house: Session, casey: people.Member) -> None:
    began = people.try_sign_in(house, casey.sign_in_name)
    with pytest.raises(InvalidInputError) as fault:
        run(house, sign_ins.confirm_second_factor, half(house, began), began.id)
    assert fault.value.fields == {"code": ["required"]}


# --- what works ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("key", [Authenticator(), Authenticator(count=None, is_synced=True)], ids=["key", "phone"])
def test_s103_a_passkey_completes_a_sign_in_and_makes_it_fresh_again(
    house: Session, casey: people.Member, now: Moment, key: Authenticator
) -> None:
    key = key.copied()
    with_key(house, casey, key)
    began = people.try_sign_in(house, casey.sign_in_name)
    half_token = began.token
    options = asked(house, half(house, began), USE)
    assert (options["rpId"], options["userVerification"]) == ("localhost", "discouraged")
    assert [one["transports"] for one in options["allowCredentials"]] == [["nfc", "usb"]]
    whole = give(house, began, key.get(options))
    assert not opens(house, half_token)
    assert opens(house, whole.token)
    now.pass_by(minutes=11)
    actor = casey.actor(house, cast("str", whole.token))
    assert not sign_in_queries.is_fresh(house, actor, now())
    give(house, whole, key.get(asked(house, actor, USE)))
    house.expire_all()
    assert sign_in_queries.is_fresh(house, actor, now())
    (kept,) = keys_of(house, casey)
    assert (kept.is_syncable, kept.is_synced, kept.transports) == (key.is_synced, key.is_synced, "nfc usb")
    assert kept.last_used_at is not None


@pytest.mark.usefixtures("engine")
def test_s110_s806_adding_and_removing_end_the_other_sign_ins_are_recorded_and_told(
    house: Session, casey: people.Member
) -> None:
    other = people.sign_in_fully(house, casey)
    before = len(events(house))
    with_key(house, casey, Authenticator())
    assert not opens(house, other.token)
    assert ("account.passkey_added", "done", None) in since(house, before)
    (kept,) = keys_of(house, casey)
    other = people.give_code(house, people.try_sign_in(house, casey.sign_in_name), casey.recovery_codes[0])
    before = len(events(house))
    made = run(house, factors.remove_passkey, casey.actor(house), kept.id)
    assert not opens(house, other.token)
    assert opens(house, made.token)
    assert ("account.passkey_removed", "done", None) in since(house, before)
    assert told(house, casey)[-2:] == ["passkey_added", "passkey_removed"]
    (ended,) = house.query(Passkey).all()
    assert (ended.ended_by, ended.ended_because) == (casey.user_id, "removed")


@pytest.mark.usefixtures("engine")
def test_s103_whoever_has_a_key_alone_comes_in_gets_new_codes_and_adds_an_app(house: Session, agency: UUID) -> None:
    key = Authenticator()
    member = by_key_alone(house, agency, key)
    assert len(member.recovery_codes) == 10
    assert opens(house, member.token)
    began = people.try_sign_in(house, member.sign_in_name)
    with pytest.raises(CodeRefusedError):
        people.give_code(house, began, "000000")
    assert opens(house, people.give_code(house, began, member.recovery_codes[0]).token)
    began = people.try_sign_in(house, member.sign_in_name)
    member.token = cast("str", give(house, began, key.get(asked(house, half(house, began), USE))).token)
    actor = member.actor(house)
    made = run(house, factors.renew_recovery_codes, actor, actor.me, passkey=key.get(asked(house, actor, USE)))
    assert len(set(made.shown_codes) - set(member.recovery_codes)) == 10
    member.token = cast("str", made.token)
    actor = member.actor(house)
    pending = run(house, factors.start_factor, actor, actor.me, passkey=key.get(asked(house, actor, USE)))
    shown = pending.code_of(int(house.info["clock"]().timestamp()) // 30)
    made = run(house, factors.enroll_factor, actor, pending.id, code=shown)
    member.token = cast("str", made.token)
    (only,) = keys_of(house, member)
    run(house, factors.remove_passkey, member.actor(house), only.id)  # the app is a factor, too
    assert keys_of(house, member) == []


def test_s105_a_reset_leaves_the_key_in_force(house: Session, agency: UUID) -> None:
    key = Authenticator()
    member = by_key_alone(house, agency, key)
    reset = run(house, staff.reset_password, system("cli"), member.user_id)
    began = people.try_sign_in(house, member.sign_in_name, cast("str", reset.shown_code))
    actor = half(house, began)
    with pytest.raises(CodeRefusedError):
        run(house, sign_ins.change_password, actor, actor.me, new_password="another quiet lantern harbor")
    give(house, began, key.get(asked(house, actor, USE)))
    run(house, sign_ins.change_password, actor, actor.me, new_password="another quiet lantern harbor")


@pytest.mark.usefixtures("engine")
def test_the_database_holds_neither_the_name_nor_the_challenge_in_clear(house: Session, casey: people.Member) -> None:
    with_key(house, casey, Authenticator(), "canary-name-of-a-key")
    challenge = asked(house, casey.actor(house), ADD)["challenge"]
    house.rollback()
    for table in ("passkey", "passkey_challenge", "audit_event"):
        rows = repr(house.connection().execute(text(f"SELECT * FROM {table}")).all())  # noqa: S608  # a list above
        assert "canary" not in rows
        assert challenge not in rows
        assert repr(plain(challenge))[2:-1] not in rows
    assert keys_of(house, casey)[0].name == "canary-name-of-a-key"
    run(house, c.rename_passkey, casey.actor(house), keys_of(house, casey)[0].id, name="Spare")
    assert keys_of(house, casey)[0].name == "Spare"
