"""What can be done about signing in: coming in, staying in, leaving."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from referrals.account import models as account
from referrals.account import queries as accounts
from referrals.account.commands import locked_user, tell_change, user_in
from referrals.account.models import LONGEST, SECOND_FACTOR, SHORTEST, User, password_faults
from referrals.account.policy import is_oneself
from referrals.code_sheet import commands as sheets
from referrals.kernel.actor import Actor
from referrals.kernel.command import Work, command
from referrals.kernel.errors import InvalidInputError, RefusedError
from referrals.kernel.record import commit, start_writing
from referrals.kernel.schema import Nothing, Takes, line, secret, text, yes_no
from referrals.organization.models import Installation
from referrals.organization.queries import the_installation
from referrals.passkey import commands as passkeys
from referrals.passkey.models import PasskeyCopiedError, PasskeyRefusedError
from referrals.sign_in import models as m
from referrals.sign_in import policy as p
from referrals.sign_in import queries as q
from referrals.sign_in.models import (
    USE_STEP,
    CodeRefusedError,
    FailedAttempt,
    FreshSignInNeededError,
    PasswordRefusedError,
    RulesAcknowledgment,
    RulesChangedError,
    RulesKnownError,
    SecondFactor,
    SignIn,
    SignInRefusedError,
    SignInUse,
)

__all__ = [
    "USE_STEP",
    "CodeRefusedError",
    "FreshSignInNeededError",
    "PasskeyRefusedError",
    "PasswordRefusedError",
    "RulesKnownError",
    "SignInRefusedError",
]


# --- hashing outside the transaction ---------------------------------------------------------------------------------
#
# Argon2id takes a fifth of a second, and a transaction that writes holds SQLite's one lock. So a door calls
# `check_ahead()` or `hash_ahead()` before `execute()`; the command finds the answer here, if it is about the very same
# hash and password, and otherwise does the work itself.


def check_ahead(session: Session, *, name: str, password: str) -> None:
    """Verify a password before the command's transaction opens. An unknown name costs the same (S-102)."""
    user = accounts.by_name(session, name)
    hashed = user.password_hash if user is not None else account.passwords.nobody
    typed = user.as_hashed(password) if user is not None else password
    session.rollback()
    session.info["verified_ahead"] = (hashed, typed, account.passwords.verify(hashed, typed))


def change_ahead(session: Session, actor: Actor, *, present: str | None, new: str) -> None:
    """Verify the present password and hash the new one before a change of password opens its transaction."""
    hashed = accounts.user(session, actor.me).password_hash
    session.rollback()
    if present is not None:
        session.info["verified_ahead"] = (hashed, present, account.passwords.verify(hashed, present))
    hash_ahead(session, new)


def hash_ahead(session: Session, password: str) -> None:
    """Hash a new password before the command's transaction opens, unless it is going to be refused for its length."""
    session.rollback()
    if SHORTEST <= len(password) <= LONGEST:
        session.info["hashed_ahead"] = (password, account.passwords.hash(password))


def _verified(session: Session, hashed: str, typed: str) -> bool:
    known = session.info.pop("verified_ahead", None)
    if known is not None and known[:2] == (hashed, typed):
        return bool(known[2])
    return account.passwords.verify(hashed, typed)


def _hashed(session: Session, password: str) -> str:
    known = session.info.pop("hashed_ahead", None)
    return str(known[1]) if known is not None and known[0] == password else account.passwords.hash(password)


# --- what several commands share -------------------------------------------------------------------------------------


def _count_failure(work: Work, user: User | None, factor: str) -> None:
    """Keep a wrong password or code; the fifth within a quarter of an hour locks the account (S-101).

    A name that does not exist leaves a row without a user: the same work, and nothing of what was typed (S-102).
    """
    work.keep(FailedAttempt(user_id=user.id if user is not None else None, factor=factor, at=work.now))
    lately = q.failed_lately(work.session, user, work.now)  # asked of nobody, too, and of whoever is locked
    if user is None:
        return
    source = work.actor.source
    work.actor = replace(work.actor, kind="user", user_id=user.id, organization_id=user.organization_id, source=source)
    if user.locked_at is None and lately + 1 >= m.ATTEMPTS:
        user.lock(work.now)
        work.record(user, ["locked_at"])
        tell_change(work, user.id, "locked", automatic=True)
        work.action = "account.locked"


def end_sign_ins(work: Work, user_id: UUID, because: str, *, but: UUID | None = None) -> None:
    """End all of a user's sign-ins (S-110), but perhaps the one that acts, which takes a new token instead."""
    for one in q.live_sign_ins(work.session, user_id, work.now):
        if one.id != but:
            one.end(at=work.now, by=work.actor.user_id, because=because)
            work.record(one, ["ended_at", "ended_by", "ended_because"])


def renew(work: Work, sign_in: SignIn) -> None:
    """Give a sign-in another token: the one before opens nothing any more (S-111)."""
    sign_in.renew_token()
    work.record(sign_in, ["token_hash"])


def acting_sign_in(work: Work) -> SignIn:
    """Return the sign-in that whoever acts does so through."""
    found = work.session.get(SignIn, work.actor.sign_in_id, populate_existing=True)
    if found is None:
        raise LookupError("a user acts without a sign-in")
    return found


def require_fresh(work: Work) -> None:
    """Refuse when the second factor was given more than ten minutes ago (S-113). The operator has no sign-in."""
    if work.actor.kind != "user":
        return
    if not q.is_fresh(work.session, work.actor, work.now):
        raise FreshSignInNeededError


def take_factor(work: Work, user: User, code: str | None, passkey: str | None) -> None:
    """Take a code or the answer of a passkey, whichever was given.

    Raises:
        InvalidInputError: neither was.
        CodeRefusedError, PasskeyRefusedError: it is not right; it counts as a failed sign-in.
    """
    if passkey is not None:
        if user.is_locked:
            raise PasskeyRefusedError
        passkeys.take_answer(work, user.id, passkey)
    elif code is None:
        raise InvalidInputError({"code": ["required"]})
    elif user.is_locked or not _take_code(work, user, code):
        raise CodeRefusedError


def _take_code(work: Work, user: User, typed: str) -> bool:
    """Take a code of the authenticator, the asked one of the sheet, or a recovery code; each works once (S-104).

    False when it is none of them.
    """
    factor = q.factor_of(work.session, user.id)
    step = factor.matching_step(typed, work.now) if factor is not None else None
    if factor is not None and step is not None:
        factor.last_step = step
        work.record(factor, ["last_step"])
        return True
    if sheets.take_asked(work, user.id, typed):
        return True
    parts = m.recovery_parts(typed)
    if parts is None or not q.has_factor(work.session, user.id):
        return False
    number, plain = parts
    for row in q.recovery_codes(work.session, user.id):
        if row.number == number and row.holds(plain):
            row.used_at = work.now
            work.record(row, ["used_at"])
            return True
    return False


def failed(
    refused_as: type[RefusedError], factor: str, of: Callable[[Work, Any], User]
) -> Callable[[Work, Any, RefusedError, Mapping[str, Any]], None]:
    """Return what outlasts the refusal of a factor: the attempt, counted, and of a passkey its challenge, spent."""

    def keep(work: Work, thing: Any, refusal: RefusedError, _words: Mapping[str, Any]) -> None:
        if isinstance(refusal, PasskeyRefusedError):
            passkeys.spend_challenge(work)
            if isinstance(refusal, PasskeyCopiedError):
                tell_change(work, of(work, thing).id, "passkey_copied", automatic=True)
            _count_failure(work, of(work, thing), "passkey")
        elif isinstance(refusal, refused_as):
            _count_failure(work, of(work, thing), factor)

    return keep


def owner_of(work: Work, thing: SignIn) -> User:
    """Return whose a sign-in is: what `failed()` asks."""
    return user_in(work, thing.user_id)


def themselves(work: Work, user: User) -> User:
    """Return the user that a command is on, whose own failure it was: what `failed()` asks."""
    return user_in(work, user.id)


#: What a wrong code of a recovery leaves behind: it counts as any wrong sign-in does (S-101).
wrong_recovery = failed(CodeRefusedError, "recovery", owner_of)


# --- coming in -------------------------------------------------------------------------------------------------------


def begin_sign_in(work: Work, user: User, *, shared: bool) -> SignIn:
    """Make a sign-in of somebody who has shown that the account is theirs; from here on they act."""
    made = SignIn.start(user.id, channel=work.actor.source.channel, at=work.now, shared=shared)
    work.add(made)
    work.keep(SignInUse(sign_in_id=made.id, used_at=work.now))
    address = work.session.info.pop("address", None)
    if address is not None:  # the door knows it; only whoever may open the log's detail learns it
        work.seal(None, address=address)
    work.actor = q.actor_for(user, made, work.actor.source, step=SECOND_FACTOR)
    return made


class SignInWords(Takes):
    """Name and password, and that the system-use notice was read (S-114)."""

    name = line(64)
    password = secret()
    acknowledged = yes_no(required=True)
    #: A computer that several people use: the sign-in lasts half an hour at most (S-109).
    shared = yes_no()


def _keep_failed_sign_in(work: Work, _on: Installation, refusal: RefusedError, words: Mapping[str, Any]) -> None:
    if isinstance(refusal, SignInRefusedError):
        _count_failure(work, locked_user(work.session, accounts.named(words["name"])), "password")


@command(
    records="account.signed_in",
    on=Installation,
    makes=SignIn,
    takes=SignInWords,
    within=the_installation,
    allow=[[p.is_nobody_yet]],
    purpose="administration",
    outlasts=_keep_failed_sign_in,
)
def sign_in(
    work: Work, _installation: Installation, *, name: str, password: str, acknowledged: bool, shared: bool
) -> SignIn:
    """Sign in with name and password; the second factor follows.

    Raises:
        InvalidInputError: the system-use notice was not acknowledged.
        SignInRefusedError: unknown name, wrong password, locked, disabled, code used or too old: nobody learns which.
    """
    if not acknowledged:
        raise InvalidInputError({"acknowledged": ["acknowledge_first"]})
    user = locked_user(work.session, accounts.named(name))
    hashed = user.password_hash if user is not None else account.passwords.nobody
    typed = user.as_hashed(password) if user is not None else password
    right = _verified(work.session, hashed, typed)
    if user is None or not right or not user.may_sign_in(work.now):
        raise SignInRefusedError
    if user.must_change_password:
        user.one_time_used_at = work.now
        work.record(user, ["one_time_used_at"])
    elif account.passwords.is_outdated(hashed):
        user.password_hash = account.passwords.hash(password)
        work.record(user, ["password_hash"])
    if not q.has_factor(work.session, user.id):
        start_pending_factor(work, user)
    return begin_sign_in(work, user, shared=shared)


def end_pending_factors(work: Work, user_id: UUID) -> None:
    """End a user's authenticators that wait for their first code."""
    pending = select(SecondFactor).where(
        SecondFactor.user_id == user_id, SecondFactor.confirmed_at.is_(None), SecondFactor.ended_at.is_(None)
    )
    for old in work.session.scalars(pending):
        old.ended_at = work.now
        work.record(old, ["ended_at"])


def start_pending_factor(work: Work, user: User) -> SecondFactor:
    """Make a pending factor in place of any other pending one."""
    end_pending_factors(work, user.id)
    factor = SecondFactor.start(user.id, work.now)
    work.add(factor)
    return factor


class FactorWords(Takes):
    """A code of the authenticator, the asked one of the sheet, a recovery code; or a passkey's answer, as JSON."""

    code = line(40, required=False)
    passkey = text(8000, required=False)


@command(
    records="account.second_factor_given",
    on=SignIn,
    makes=SignIn,
    takes=FactorWords,
    within=q.this_sign_in,
    allow=[[p.holds_it]],
    purpose="administration",
    outlasts=failed(CodeRefusedError, "code", owner_of),
)
def confirm_second_factor(work: Work, sign_in: SignIn, *, code: str | None, passkey: str | None) -> SignIn:
    """Give the second factor: completes a sign-in, and makes a complete one fresh again. The token is renewed (S-111).

    Raises:
        InvalidInputError: neither a code nor a passkey's answer was given.
        CodeRefusedError: wrong, used before, three steps old; or the account was locked meanwhile.
        PasskeyRefusedError: the answer is wrong, late, another sign-in's or of no passkey of theirs.
    """
    user = user_in(work, sign_in.user_id)
    if user.disabled_at is not None or sign_in.ended_at is not None:
        raise CodeRefusedError if passkey is None else PasskeyRefusedError
    take_factor(work, user, code, passkey)
    sign_in.prove(work.now)
    renew(work, sign_in)
    work.record(sign_in, ["second_factor_at", "fresh_at"])
    if not user.must_change_password:
        user.last_signed_in_at = work.now
        work.record(user, ["last_signed_in_at"])
    return sign_in


class ChangePassword(Takes):
    """The new password; the present one too, unless a one-time code opened the account."""

    present_password = text(128, required=False)
    new_password = secret()


@command(
    records="account.password_changed",
    on=User,
    makes=SignIn,
    takes=ChangePassword,
    within=accounts.oneself,
    allow=[[is_oneself]],
    purpose="administration",
    outlasts=failed(PasswordRefusedError, "password", themselves),
)
def change_password(work: Work, user: User, *, present_password: str | None, new_password: str) -> SignIn:
    """Choose a password. All other sign-ins of the user end; this one takes a new token (S-110).

    Raises:
        InvalidInputError: too short, too long, one of the common ones, made of one's own context, or the present one.
        PasswordRefusedError: the present password is wrong; it counts as a failed sign-in.
    """
    acting = acting_sign_in(work)
    has_factor = q.has_factor(work.session, user.id)
    if has_factor and acting.second_factor_at is None:
        raise CodeRefusedError  # a reset leaves the second factor in force (S-105)
    if not user.must_change_password:
        if present_password is None:
            raise InvalidInputError({"present_password": ["required"]})
        if user.is_locked or not _verified(work.session, user.password_hash, present_password):
            raise PasswordRefusedError
        if present_password == new_password:
            raise InvalidInputError({"new_password": ["password_same"]})
    if faults := password_faults(new_password, user.context_words()):
        raise InvalidInputError({"new_password": faults})
    user.choose_password(_hashed(work.session, new_password), work.now)
    work.record(user, ["password_hash", "password_changed_at", "one_time_until", "one_time_used_at"])
    tell_change(work, user.id, "password_changed")
    if has_factor:
        user.last_signed_in_at = work.now
        work.record(user, ["last_signed_in_at"])
    end_sign_ins(work, user.id, "password_changed", but=acting.id)
    renew(work, acting)
    return acting


# --- the rules of behavior --------------------------------------------------------------------------------------------


class AcknowledgeRules(Takes):
    """That the rules were read, and in which wording."""

    wording = line(20)
    agreed = yes_no(required=True)


@command(
    records="account.rules_acknowledged",
    on=User,
    makes=RulesAcknowledgment,
    takes=AcknowledgeRules,
    within=accounts.oneself,
    allow=[[is_oneself]],
    purpose="administration",
)
def acknowledge_rules(work: Work, user: User, *, wording: str, agreed: bool) -> RulesAcknowledgment:
    """Say that one read the rules of behavior and will keep them; after it a sign-in is complete (S-803).

    Raises:
        InvalidInputError: it was not said.
        CodeRefusedError: the second factor or a password of one's own is still missing.
        RulesChangedError: the wording read is not the one in force. RulesKnownError: this was said, and still counts.
    """
    if not agreed:
        raise InvalidInputError({"agreed": ["agree_first"]})
    acting = acting_sign_in(work)
    if acting.second_factor_at is None or user.must_change_password:
        raise CodeRefusedError
    if wording != q.WORDING:
        raise RulesChangedError
    last = q.last_acknowledgment(work.session, user.id)
    if last is not None and last.wording == wording and m.rules_count(last.at, acting.started_at):
        raise RulesKnownError
    made = RulesAcknowledgment(user_id=user.id, wording=wording, at=work.now)
    work.add(made)
    return made


# --- leaving ---------------------------------------------------------------------------------------------------------


@command(
    records="account.signed_out",
    on=SignIn,
    makes=SignIn,
    takes=Nothing,
    within=q.this_sign_in,
    allow=[[p.holds_it]],
    purpose="administration",
)
def sign_out(work: Work, sign_in: SignIn) -> SignIn:
    """Sign out: all of the user's sign-ins end, here and elsewhere (S-110)."""
    sign_in.end(at=work.now, by=work.actor.user_id, because="signed_out")
    work.record(sign_in, ["ended_at", "ended_by", "ended_because"])
    end_sign_ins(work, sign_in.user_id, "signed_out", but=sign_in.id)
    return sign_in


@command(
    records="account.sign_in_ended",
    on=SignIn,
    makes=SignIn,
    takes=Nothing,
    within=q.own_sign_ins,
    allow=[[p.holds_it]],
    purpose="administration",
)
def end_sign_in(work: Work, sign_in: SignIn) -> SignIn:
    """End one of one's own sign-ins, on another device for one.

    Raises:
        SignInOverError: it has ended.
    """
    sign_in.end(at=work.now, by=work.actor.user_id, because="ended_by_user")
    work.record(sign_in, ["ended_at", "ended_by", "ended_because"])
    return sign_in


# --- outside the acts ------------------------------------------------------------------------------------------------


def keep_alive(session: Session, sign_in_id: UUID, at: datetime) -> None:
    """Keep that a sign-in was used, at most once a minute, in a small transaction of its own (bookkeeping, no act).

    A busy database does not fail the request: the next use is kept instead.
    """
    try:
        start_writing(session)
        stale = (SignInUse.sign_in_id == sign_in_id) & (SignInUse.used_at < at)
        session.execute(update(SignInUse).where(stale).values(used_at=at))
        commit(session)
    except OperationalError:
        session.rollback()
