"""What can be done about accounts: coming in, staying in, leaving; and who may come in as what."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from email.message import EmailMessage
from typing import Any, Final
from uuid import UUID

from marshmallow import fields, validate
from sqlalchemy import or_, select, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session, joinedload

from referrals.account import models as m
from referrals.account import policy as p
from referrals.account import queries as q
from referrals.account.models import (
    USE_STEP,
    AccessReview,
    AccessReviewLine,
    AccountChange,
    AccountKeptError,
    ApiToken,
    ApiTokenUse,
    AuditorAloneError,
    CodeRefusedError,
    FactorNotPendingError,
    FailedAttempt,
    FreshSignInNeededError,
    Mail,
    MailChoice,
    MailNotTakenError,
    MailUnderWayError,
    Notice,
    PasswordRefusedError,
    RecoveryCode,
    RoleGrant,
    RoleNotOfSideError,
    RoleProposal,
    RulesAcknowledgment,
    RulesChangedError,
    RulesKnownError,
    SecondFactor,
    SignIn,
    SignInRefusedError,
    SignInUse,
    TokenOverError,
    User,
    password_faults,
    require_fitting,
)
from referrals.kernel import crypto
from referrals.kernel.actor import Actor, Role, Side, Source, TokenScope, nobody, system
from referrals.kernel.command import Work, command, execute
from referrals.kernel.errors import InvalidInputError, RefusedError, RuleBrokenError
from referrals.kernel.job import LEASE, MOST_TRIES, follow_up, job_kind
from referrals.kernel.mail import MailError, Post, post_of
from referrals.kernel.record import clock, commit, day_of, start_writing
from referrals.kernel.schema import Line, Nothing, Takes, code, codes, day, line, many, secret, text, uid, whole, yes_no
from referrals.organization.models import Installation, Organization
from referrals.organization.queries import installation as the_one
from referrals.organization.queries import own as own_organization
from referrals.organization.queries import the_installation

__all__ = [
    "USE_STEP",
    "CodeRefusedError",
    "FactorNotPendingError",
    "FreshSignInNeededError",
    "PasswordRefusedError",
    "RulesKnownError",
    "SignInRefusedError",
]


_ROLES = [role.value for role in Role if role is not Role.OPERATOR]


def use_fast_hashing() -> None:
    """Make hashing cheap: `THROUGHGATE_FAST_PASSWORDS` in development, and tests (S-906)."""
    m.use_fast_hashing()


# --- hashing outside the transaction ---------------------------------------------------------------------------------
#
# Argon2id takes a fifth of a second, and a transaction that writes holds SQLite's one lock. So a door calls
# `check_ahead()` or `hash_ahead()` before `execute()`; the command finds the answer here, if it is about the very same
# hash and password, and otherwise does the work itself.


def check_ahead(session: Session, *, name: str, password: str) -> None:
    """Verify a password before the command's transaction opens. An unknown name costs the same (S-102)."""
    user = q.by_name(session, name)
    hashed = user.password_hash if user is not None else m.passwords.nobody
    typed = user.as_hashed(password) if user is not None else password
    session.rollback()
    session.info["verified_ahead"] = (hashed, typed, m.passwords.verify(hashed, typed))


def change_ahead(session: Session, actor: Actor, *, present: str | None, new: str) -> None:
    """Verify the present password and hash the new one before a change of password opens its transaction."""
    hashed = q.user(session, actor.me).password_hash
    session.rollback()
    if present is not None:
        session.info["verified_ahead"] = (hashed, present, m.passwords.verify(hashed, present))
    hash_ahead(session, new)


def hash_ahead(session: Session, password: str) -> None:
    """Hash a new password before the command's transaction opens, unless it is going to be refused for its length."""
    session.rollback()
    if m.SHORTEST <= len(password) <= m.LONGEST:
        session.info["hashed_ahead"] = (password, m.passwords.hash(password))


def _verified(session: Session, hashed: str, typed: str) -> bool:
    known = session.info.pop("verified_ahead", None)
    if known is not None and known[:2] == (hashed, typed):
        return bool(known[2])
    return m.passwords.verify(hashed, typed)


def _hashed(session: Session, password: str) -> str:
    known = session.info.pop("hashed_ahead", None)
    return str(known[1]) if known is not None and known[0] == password else m.passwords.hash(password)


# --- what several commands share -------------------------------------------------------------------------------------


def _locked_user(session: Session, condition: Any) -> User | None:
    """Return one user with roles and organization, in one statement: as many for a name that nobody has (S-102)."""
    statement = select(User).where(condition).with_for_update(of=User)
    options = (joinedload(User.grants), joinedload(User.organization))
    found = session.scalars(statement.options(*options), execution_options={"populate_existing": True})
    return found.unique().one_or_none()


def _user(work: Work, user_id: UUID) -> User:
    user = _locked_user(work.session, User.id == user_id)
    if user is None:
        raise LookupError("a sign-in without its user")
    return user


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
        _tell(work, user.id, "locked", automatic=True)
        work.action = "account.locked"


def _tell(
    work: Work,
    user_id: UUID,
    what: str,
    *,
    role: str | None = None,
    ends_on: date | None = None,
    automatic: bool = False,
) -> None:
    """Keep what changed on an account, for its person to see (S-806)."""
    automatic = automatic or work.actor.source.channel == "job"
    by = None if automatic else work.actor.user_id
    work.add(
        AccountChange(user_id=user_id, what=what, role=role, ends_on=ends_on, at=work.now, by=by, automatic=automatic)
    )


def _end_sign_ins(work: Work, user_id: UUID, because: str, *, but: UUID | None = None) -> None:
    """End all of a user's sign-ins (S-110), but perhaps the one that acts, which takes a new token instead."""
    for one in q.live_sign_ins(work.session, user_id, work.now):
        if one.id != but:
            one.end(at=work.now, by=work.actor.user_id, because=because)
            work.record(one, ["ended_at", "ended_by", "ended_because"])


def _renew(work: Work, sign_in: SignIn) -> None:
    sign_in.renew_token()
    work.record(sign_in, ["token_hash"])


def _acting_sign_in(work: Work) -> SignIn:
    found = work.session.get(SignIn, work.actor.sign_in_id, populate_existing=True)
    if found is None:
        raise LookupError("a user acts without a sign-in")
    return found


def _require_fresh(work: Work) -> None:
    """Refuse when the second factor was given more than ten minutes ago (S-113). The operator has no sign-in."""
    if work.actor.kind != "user":
        return
    if not q.is_fresh(work.session, work.actor, work.now):
        raise FreshSignInNeededError


def _take_code(work: Work, user: User, typed: str) -> bool:
    """Take a code of the authenticator, or a recovery code; each works once (S-104). False when it is neither."""
    factor = q.factor_of(work.session, user.id)
    step = factor.matching_step(typed, work.now) if factor is not None else None
    if factor is not None and step is not None:
        factor.last_step = step
        work.record(factor, ["last_step"])
        return True
    parts = m.recovery_parts(typed)
    if factor is None or parts is None:
        return False
    number, plain = parts
    for row in q.recovery_codes(work.session, user.id):
        if row.number == number and row.holds(plain):
            row.used_at = work.now
            work.record(row, ["used_at"])
            return True
    return False


def _make_recovery_codes(work: Work, user_id: UUID) -> list[str]:
    for old in q.recovery_codes(work.session, user_id):
        old.ended_at = work.now
        work.record(old, ["ended_at"])
    rows, shown = RecoveryCode.fresh(user_id, work.now)
    for row in rows:
        work.add(row)
    return shown


def _failed(
    refused_as: type[RefusedError], factor: str, of: Callable[[Work, Any], User]
) -> Callable[[Work, Any, RefusedError, Mapping[str, Any]], None]:
    """Return what outlasts the refusal of a factor: the attempt, counted."""

    def keep(work: Work, thing: Any, refusal: RefusedError, _words: Mapping[str, Any]) -> None:
        if isinstance(refusal, refused_as):
            _count_failure(work, of(work, thing), factor)

    return keep


def _owner_of(work: Work, thing: SignIn) -> User:
    return _user(work, thing.user_id)


def _themselves(work: Work, user: User) -> User:
    return _user(work, user.id)


# --- coming in -------------------------------------------------------------------------------------------------------


class SignInWords(Takes):
    """Name and password, and that the system-use notice was read (S-114)."""

    name = line(64)
    password = secret()
    acknowledged = yes_no(required=True)


def _keep_failed_sign_in(work: Work, _on: Installation, refusal: RefusedError, words: Mapping[str, Any]) -> None:
    if isinstance(refusal, SignInRefusedError):
        _count_failure(work, _locked_user(work.session, q.named(words["name"])), "password")


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
def sign_in(work: Work, _installation: Installation, *, name: str, password: str, acknowledged: bool) -> SignIn:
    """Sign in with name and password; the second factor follows.

    Raises:
        InvalidInputError: the system-use notice was not acknowledged.
        SignInRefusedError: unknown name, wrong password, locked, disabled, code used or too old: nobody learns which.
    """
    if not acknowledged:
        raise InvalidInputError({"acknowledged": ["acknowledge_first"]})
    user = _locked_user(work.session, q.named(name))
    hashed = user.password_hash if user is not None else m.passwords.nobody
    typed = user.as_hashed(password) if user is not None else password
    right = _verified(work.session, hashed, typed)
    if user is None or not right or not user.may_sign_in(work.now):
        raise SignInRefusedError
    made = SignIn.start(user.id, channel=work.actor.source.channel, at=work.now)
    work.add(made)
    work.keep(SignInUse(sign_in_id=made.id, used_at=work.now))
    if user.must_change_password:
        user.one_time_used_at = work.now
        work.record(user, ["one_time_used_at"])
    elif m.passwords.is_outdated(hashed):
        user.password_hash = m.passwords.hash(password)
        work.record(user, ["password_hash"])
    if q.factor_of(work.session, user.id) is None:
        _start_factor(work, user)
    address = work.session.info.pop("address", None)
    if address is not None:  # the door knows it; only whoever may open the log's detail learns it
        work.seal(None, address=address)
    work.actor = q.actor_for(user, made, work.actor.source, step=m.SECOND_FACTOR)
    return made


def _start_factor(work: Work, user: User) -> SecondFactor:
    """Make a pending factor in place of any other pending one."""
    pending = select(SecondFactor).where(
        SecondFactor.user_id == user.id, SecondFactor.confirmed_at.is_(None), SecondFactor.ended_at.is_(None)
    )
    for old in work.session.scalars(pending):
        old.ended_at = work.now
        work.record(old, ["ended_at"])
    factor = SecondFactor.start(user.id, work.now)
    work.add(factor)
    return factor


class CodeWords(Takes):
    """A code of the authenticator, or a recovery code."""

    code = line(40)


@command(
    records="account.second_factor_given",
    on=SignIn,
    makes=SignIn,
    takes=CodeWords,
    within=q.this_sign_in,
    allow=[[p.holds_it]],
    purpose="administration",
    outlasts=_failed(CodeRefusedError, "code", _owner_of),
)
def confirm_second_factor(work: Work, sign_in: SignIn, *, code: str) -> SignIn:
    """Give the second factor: completes a sign-in, and makes a complete one fresh again. The token is renewed (S-111).

    Raises:
        CodeRefusedError: wrong, used before, three steps old; or the account was locked meanwhile.
    """
    user = _user(work, sign_in.user_id)
    if user.is_locked or user.disabled_at is not None or sign_in.ended_at is not None:
        raise CodeRefusedError
    if not _take_code(work, user, code):
        raise CodeRefusedError
    sign_in.prove(work.now)
    _renew(work, sign_in)
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
    within=q.oneself,
    allow=[[p.is_oneself]],
    purpose="administration",
    outlasts=_failed(PasswordRefusedError, "password", _themselves),
)
def change_password(work: Work, user: User, *, present_password: str | None, new_password: str) -> SignIn:
    """Choose a password. All other sign-ins of the user end; this one takes a new token (S-110).

    Raises:
        InvalidInputError: too short, too long, one of the common ones, made of one's own context, or the present one.
        PasswordRefusedError: the present password is wrong; it counts as a failed sign-in.
    """
    acting = _acting_sign_in(work)
    has_factor = q.factor_of(work.session, user.id) is not None
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
    _tell(work, user.id, "password_changed")
    if has_factor:
        user.last_signed_in_at = work.now
        work.record(user, ["last_signed_in_at"])
    _end_sign_ins(work, user.id, "password_changed", but=acting.id)
    _renew(work, acting)
    return acting


# --- second factors --------------------------------------------------------------------------------------------------


@command(
    records="account.factor_started",
    on=User,
    makes=SecondFactor,
    takes=CodeWords,
    within=q.oneself,
    allow=[[p.is_oneself]],
    purpose="administration",
    outlasts=_failed(CodeRefusedError, "code", _themselves),
)
def start_factor(work: Work, user: User, *, code: str) -> SecondFactor:
    """Begin to replace one's authenticator: by a code of the present one, or a recovery code.

    Raises:
        CodeRefusedError: the code is wrong or was used before; it counts as a failed sign-in.
    """
    if user.is_locked or not _take_code(work, user, code):
        raise CodeRefusedError
    return _start_factor(work, user)


@command(
    records="account.factor_enrolled",
    on=SecondFactor,
    makes=SignIn,
    takes=CodeWords,
    within=q.own_factors,
    allow=[[p.holds_it]],
    purpose="administration",
)
def enroll_factor(work: Work, factor: SecondFactor, *, code: str) -> SignIn:
    """Take an authenticator into use by its first code, with ten new recovery codes. Other sign-ins end (S-110).

    Raises:
        InvalidInputError: the code is not one of this authenticator.
        FactorNotPendingError: it was set up before, or replaced meanwhile.
    """
    user = _user(work, factor.user_id)
    acting = _acting_sign_in(work)
    if user.must_change_password:
        raise FactorNotPendingError
    if factor.confirmed_at is not None or factor.ended_at is not None:
        raise FactorNotPendingError
    step = factor.matching_step(code, work.now)
    if step is None:
        raise InvalidInputError({"code": ["code_wrong"]})
    earlier = q.factor_of(work.session, user.id)
    if earlier is not None:
        if acting.second_factor_at is None:
            raise FactorNotPendingError
        earlier.ended_at = work.now
        work.record(earlier, ["ended_at"])
    factor.confirm(step, work.now)
    work.record(factor, ["confirmed_at", "last_step"])
    acting.shown_codes = _make_recovery_codes(work, user.id)
    _tell(work, user.id, "factor_added" if earlier is None else "factor_replaced")
    if user.last_signed_in_at is None:  # the first day: nobody needs to be told what they are just doing
        user.changes_seen_at = work.now
        work.record(user, ["changes_seen_at"])
    user.last_signed_in_at = work.now
    work.record(user, ["last_signed_in_at"])
    _end_sign_ins(work, user.id, "factor_changed", but=acting.id)
    acting.prove(work.now)
    work.record(acting, ["second_factor_at", "fresh_at"])
    _renew(work, acting)
    return acting


@command(
    records="account.recovery_codes_made",
    on=User,
    makes=SignIn,
    takes=CodeWords,
    within=q.oneself,
    allow=[[p.is_oneself]],
    purpose="administration",
    outlasts=_failed(CodeRefusedError, "code", _themselves),
)
def renew_recovery_codes(work: Work, user: User, *, code: str) -> SignIn:
    """Make ten new recovery codes, by a code of the authenticator; the old ones work no more. Other sign-ins end.

    Raises:
        CodeRefusedError: the code is wrong or was used before; it counts as a failed sign-in.
    """
    acting = _acting_sign_in(work)
    if user.is_locked or not _take_code(work, user, code):
        raise CodeRefusedError
    acting.shown_codes = _make_recovery_codes(work, user.id)
    _tell(work, user.id, "codes_made")
    _end_sign_ins(work, user.id, "factor_changed", but=acting.id)
    acting.prove(work.now)
    work.record(acting, ["second_factor_at", "fresh_at"])
    _renew(work, acting)
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
    within=q.oneself,
    allow=[[p.is_oneself]],
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
    acting = _acting_sign_in(work)
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


# --- what changed on one's account ------------------------------------------------------------------------------------


class SeeChanges(Takes):
    """The newest change that was looked at."""

    until = uid()


@command(
    records="account.changes_seen",
    on=User,
    makes=User,
    takes=SeeChanges,
    within=q.oneself,
    allow=[[p.is_oneself]],
    purpose="administration",
)
def see_changes(work: Work, user: User, *, until: UUID) -> User:
    """Say that one looked at what changed on one's account, up to a change; what came later stays new (S-806).

    Raises:
        InvalidInputError: no such change of this account.
    """
    change = work.session.get(AccountChange, until)
    if change is None or change.user_id != user.id:
        raise InvalidInputError({"until": ["unknown_change"]})
    if user.changes_seen_at is None or user.changes_seen_at < change.at:
        user.changes_seen_at = change.at
    work.record(user, ["changes_seen_at"])
    return user


# --- leaving ---------------------------------------------------------------------------------------------------------


class ChooseLanguage(Takes):
    """A language of the product."""

    language = code(m.LANGUAGES)


@command(
    records="account.language_changed",
    on=User,
    makes=User,
    takes=ChooseLanguage,
    within=q.oneself,
    allow=[[p.is_oneself]],
    purpose="administration",
)
def choose_language(work: Work, user: User, *, language: str) -> User:
    """Choose the language of everything one reads here, at every device."""
    user.language = language
    work.record(user, ["language"])
    return user


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
    _end_sign_ins(work, sign_in.user_id, "signed_out", but=sign_in.id)
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


# --- who may come in, and as what ------------------------------------------------------------------------------------


def sign_in_name() -> fields.String:
    """A sign-in name: lower-case letters, digits, dot, dash, underscore; from 3 to 64 characters."""
    return Line(
        required=True,
        validate=[
            validate.Length(max=64, error="too_long"),
            validate.Regexp(
                re.compile(r"[a-z0-9][a-z0-9._-]{1,62}[a-z0-9]\Z", re.IGNORECASE), error="not_a_sign_in_name"
            ),
        ],
    )


def email_address() -> fields.String:
    """An e-mail address, loosely: one @, something on both sides."""
    return Line(
        validate=[
            validate.Regexp(r"[^\s@]+@[^\s@]+\.[^\s@]+\Z", error="not_an_email"),
            validate.Length(max=254, error="too_long"),
        ],
        load_default=None,
        allow_none=True,
    )


class AddUser(Takes):
    """A person, their name for signing in, how to reach them, what they work as; why, if it is for an emergency."""

    sign_in_name = sign_in_name()
    display_name = line(120)
    email = email_address()
    phone = line(40, required=False)
    roles = codes(_ROLES)
    emergency_because = line(400, required=False)


@command(
    records="account.user_added",
    on=Organization,
    makes=User,
    takes=AddUser,
    within=own_organization,
    allow=[[p.administers_it], [p.operates]],
    purpose="administration",
)
def add_user(
    work: Work,
    organization: Organization,
    *,
    sign_in_name: str,
    display_name: str,
    email: str | None,
    phone: str | None,
    roles: list[str],
    emergency_because: str | None,
) -> User:
    """Add an account. Its one-time code stands in `shown_code`: shown once, good for a day (S-108).

    Roles that need a second person are proposed (S-802), unless it is the operator who makes the first accounts. With
    `emergency_because` the account ends by itself after 72 hours (S-804).

    Raises:
        InvalidInputError: the name or the address was ever used, or the roles do not fit.
        FreshSignInNeededError: the administrator's second factor is more than ten minutes old.
    """
    _require_fresh(work)
    organization.require_in_force()
    faults: dict[str, list[str]] = {}
    name = q.as_name(sign_in_name)
    if q.by_name(work.session, name) is not None:
        faults["sign_in_name"] = ["name_taken"]
    if email is not None:
        held = work.session.scalar(select(User.id).where(crypto.matches(work.session, User, "by_email", email)))
        if held is not None:
            faults["email"] = ["email_taken"]
    wanted = [Role(role) for role in roles]
    try:
        require_fitting(wanted, Side(organization.side))
    except (RoleNotOfSideError, AuditorAloneError) as misfit:
        faults["roles"] = [misfit.code]
    if faults:
        raise InvalidInputError(faults)
    user = User(
        organization_id=organization.id,
        sign_in_name=name,
        display_name=display_name,
        email=email,
        phone=phone,
        added_at=work.now,
        added_by=work.actor.user_id,
    )
    if emergency_because is not None:
        user.begin_emergency(emergency_because, work.now)
    user.begin_code(work.now)
    work.add(user)
    for role in wanted:
        if work.actor.kind == "user" and role in m.POWERFUL:
            work.add(RoleProposal(user_id=user.id, role=role.value, proposed_at=work.now, proposed_by=work.actor.me))
            continue
        work.add(RoleGrant(user_id=user.id, role=role.value, granted_at=work.now, granted_by=work.actor.user_id))
    return user


class GrantRole(Takes):
    """The role."""

    role = code(_ROLES)


@command(
    records="account.role_granted",
    on=User,
    makes=RoleGrant,
    takes=GrantRole,
    within=q.visible_to,
    allow=[[p.administers_them], [p.operates]],
    purpose="administration",
)
def grant_role(work: Work, user: User, *, role: str) -> RoleGrant:
    """Give a role; the user's sign-ins end, so that the next one carries it (S-110).

    Raises:
        RoleNotOfSideError, AuditorAloneError, RoleHeldError, UserDisabledError: the rule that says no.
        SecondPersonNeededError: it is one of those that are proposed.
    """
    _require_fresh(work)
    if work.actor.kind == "user" and Role(role) in m.POWERFUL:
        raise m.SecondPersonNeededError
    made = user.grant(Role(role), at=work.now, by=work.actor.user_id)
    work.add(made)
    _tell(work, user.id, "role_given", role=made.role)
    _end_sign_ins(work, user.id, "roles_changed")
    return made


class ProposeRole(Takes):
    """The role: one of those that one administrator alone cannot give."""

    role = code(sorted(m.POWERFUL))


@command(
    records="account.role_proposed",
    on=User,
    makes=RoleProposal,
    takes=ProposeRole,
    within=q.visible_to,
    allow=[[p.administers_them]],
    purpose="administration",
)
def propose_role(work: Work, user: User, *, role: str) -> RoleProposal:
    """Propose a role that needs a second person: it holds once another administrator confirms it (S-802).

    Raises:
        RoleProposedError: it waits already.
        RoleNotOfSideError, AuditorAloneError, RoleHeldError, UserDisabledError: the rule that says no.
    """
    _require_fresh(work)
    made = user.propose(Role(role), at=work.now, by=work.actor.me)
    if any(one.role == role for one in q.waiting(work.session, user.organization_id, user.id)):
        raise m.RoleProposedError
    work.add(made)
    return made


@command(
    records="account.role_confirmed",
    on=RoleProposal,
    makes=RoleGrant,
    takes=Nothing,
    within=q.visible_proposals,
    allow=[[p.administers_them, p.has_not_proposed_it], [p.operates]],
    purpose="administration",
)
def confirm_role(work: Work, proposal: RoleProposal) -> RoleGrant:
    """Confirm a role that another administrator proposed; the user's sign-ins end, so that the next one carries it.

    The operator confirms only where the organization has no other administrator (decision 0014).

    Raises:
        ProposalSettledError: it was confirmed or refused. SecondAdministratorError: an administrator can confirm it.
        RoleNotOfSideError, AuditorAloneError, RoleHeldError, UserDisabledError: the rule that says no by now.
    """
    _require_fresh(work)
    user = _user(work, proposal.user_id)
    proposal.settle(m.CONFIRMED, at=work.now, by=work.actor.user_id)
    if work.actor.kind != "user":
        could = q.administrators(work.session, user.organization_id, work.now)
        if could - {proposal.proposed_by, user.id}:
            raise m.SecondAdministratorError
    work.record(proposal, ["outcome", "settled_at", "settled_by"])
    made = user.grant(Role(proposal.role), at=work.now, by=work.actor.user_id)
    work.add(made)
    _tell(work, user.id, "role_given", role=made.role)
    _end_sign_ins(work, user.id, "roles_changed")
    return made


class RefuseRole(Takes):
    """Why not, in a few words."""

    because = line(400)


@command(
    records="account.role_refused",
    on=RoleProposal,
    makes=RoleProposal,
    takes=RefuseRole,
    within=q.visible_proposals,
    allow=[[p.administers_them]],
    purpose="administration",
)
def refuse_role(work: Work, proposal: RoleProposal, *, because: str) -> RoleProposal:
    """Refuse a proposed role; whoever proposed it takes it back this way.

    Raises:
        ProposalSettledError: it was confirmed or refused.
    """
    proposal.settle(m.REFUSED, at=work.now, by=work.actor.user_id, because=because)
    work.record(proposal, ["outcome", "settled_at", "settled_by", "because"])
    return proposal


@command(
    records="account.role_ended",
    on=RoleGrant,
    makes=RoleGrant,
    takes=Nothing,
    within=q.visible_grants,
    allow=[[p.administers_them], [p.operates]],
    purpose="administration",
)
def end_role(work: Work, grant: RoleGrant) -> RoleGrant:
    """Take a role back; the user's sign-ins end.

    Raises:
        RoleEndedError: it was taken back before.
    """
    _require_fresh(work)
    grant.end(at=work.now, by=work.actor.user_id)
    work.record(grant, ["ended_at", "ended_by"])
    _tell(work, grant.user_id, "role_ended", role=grant.role)
    _end_sign_ins(work, grant.user_id, "roles_changed")
    return grant


class DisableUser(Takes):
    """Why the person leaves, in a few words."""

    because = line(400)


@command(
    records="account.user_disabled",
    on=User,
    makes=User,
    takes=DisableUser,
    within=q.visible_to,
    allow=[[p.administers_them], [p.operates]],
    purpose="administration",
)
def disable_user(work: Work, user: User, *, because: str) -> User:
    """Disable an account: all its sign-ins end at once, and none begins. What it did stays.

    Roles it proposed that still wait for a second person lapse.

    Raises:
        UserDisabledError: it is disabled.
    """
    if work.actor.source.channel == "job" and user.reason_to_disable(work.now) is None:
        raise AccountKeptError
    _disable(work, user, because)
    return user


@command(
    records="account.user_enabled",
    on=User,
    makes=User,
    takes=Nothing,
    within=q.visible_to,
    allow=[[p.administers_them], [p.operates]],
    purpose="administration",
)
def enable_user(work: Work, user: User) -> User:
    """Let a disabled account be used again: its one-time code stands in `shown_code`, shown once, good for a day.

    Roles that need a second person do not come back with it: they are proposed, as if new (S-802), unless it is the
    operator who lets it be used.

    Raises:
        NotDisabledError, LastDayPassedError, EmergencyOverError: the rule that says no.
        FreshSignInNeededError: the administrator's second factor is more than ten minutes old.
    """
    _require_fresh(work)
    user.organization.require_in_force()
    user.enable(work.now)
    work.record(
        user,
        [
            *("disabled_at", "disabled_by", "disabled_because", "enabled_at"),
            *("password_hash", "one_time_until", "one_time_used_at"),
        ],
    )
    if work.actor.kind == "user":
        _propose_again(work, user)
    _tell(work, user.id, "enabled")
    return user


def _propose_again(work: Work, user: User) -> None:
    """End what one administrator alone cannot give, and propose it: disabling may have been how it was taken back."""
    for grant in user.grants:
        if grant.ended_at is None and Role(grant.role) in m.POWERFUL:
            grant.end(at=work.now, by=work.actor.user_id)
            work.record(grant, ["ended_at", "ended_by"])
            _tell(work, user.id, "role_ended", role=grant.role)
            work.add(RoleProposal(user_id=user.id, role=grant.role, proposed_at=work.now, proposed_by=work.actor.me))


class SetLastDay(Takes):
    """The last day on which the account opens; nothing: no end is known."""

    ends_on = day(required=False)


@command(
    records="account.last_day_set",
    on=User,
    makes=User,
    takes=SetLastDay,
    within=q.visible_to,
    allow=[[p.administers_them], [p.operates]],
    purpose="administration",
)
def set_last_day(work: Work, user: User, *, ends_on: date | None) -> User:
    """Say when an account ends: a contract's last day, a student's (S-804). From the next day on it opens nothing."""
    _require_fresh(work)
    if ends_on is not None and ends_on < day_of(work.now, user.organization.time_zone):
        raise InvalidInputError({"ends_on": ["in_past"]})
    if ends_on != user.ends_on:
        _tell(work, user.id, "last_day_removed" if ends_on is None else "last_day_set", ends_on=ends_on)
    user.ends_on = ends_on
    work.record(user, ["ends_on"])
    return user


@job_kind("account.disable_due", every=3600)
def disable_due(session: Session, _target: UUID | None, _behalf: UUID | None) -> None:
    """Disable the accounts that nobody uses, and those past their last day or emergency (S-804)."""
    for user_id, why in q.to_disable(session, clock(session)):
        try:
            execute(session, disable_user, actor=system(), target=user_id, data={"because": why})
        except RuleBrokenError:
            continue  # an administrator was faster, or the person has just signed in


@command(
    records="account.unlocked",
    on=User,
    makes=User,
    takes=Nothing,
    within=q.visible_to,
    allow=[[p.administers_them], [p.operates]],
    purpose="administration",
)
def unlock_user(work: Work, user: User) -> User:
    """Unlock an account after five wrong sign-ins (S-101).

    Raises:
        NotLockedError: it is not locked.
    """
    _require_fresh(work)
    user.unlock(work.now)
    work.record(user, ["locked_at", "unlocked_at"])
    _tell(work, user.id, "unlocked")
    return user


@command(
    records="account.password_reset",
    on=User,
    makes=User,
    takes=Nothing,
    within=q.visible_to,
    allow=[[p.administers_them], [p.operates]],
    purpose="administration",
)
def reset_password(work: Work, user: User) -> User:
    """Start a reset: a new one-time code, in `shown_code`, replaces the password; the second factor stays (S-105).

    Raises:
        UserDisabledError: the account is disabled.
    """
    _require_fresh(work)
    user.require_enabled()
    user.begin_code(work.now)
    work.record(user, ["password_hash", "one_time_until", "one_time_used_at"])
    _tell(work, user.id, "password_reset")
    _end_sign_ins(work, user.id, "password_reset")
    return user


# --- the yearly review of accounts ------------------------------------------------------------------------------------


class ReviewedAs(Takes):
    """One account as the reviewer saw it: its roles, and what is decided about it, if anything is yet."""

    user_id = uid()
    roles = codes(_ROLES, required=False)
    decision = code(m.REVIEW_DECISIONS, required=False)


class SignAccessReview(Takes):
    """The accounts that the reviewer saw, each with its decision. Two thousand at most."""

    accounts = many(fields.Nested(ReviewedAs), least=1, most=2000)


@command(
    records="account.access_reviewed",
    on=Organization,
    makes=AccessReview,
    takes=SignAccessReview,
    within=own_organization,
    allow=[[p.administers_it], [p.operates]],
    purpose="administration",
)
def sign_access_review(work: Work, organization: Organization, *, accounts: list[dict[str, Any]]) -> AccessReview:
    """Sign that one went through the accounts of an organization (S-805). What it disables ends with the signature.

    Nobody decides about their own account: another administrator does, and where there is none, the operator does
    (decision 0014). What is to be changed, the acts on the account itself change.

    Raises:
        InvalidInputError: an account is not decided yet.
        ReviewListChangedError: accounts changed, came or went since the list was read.
        NothingToReviewError: all that is the actor's to decide was decided within the last 30 days.
        SecondAdministratorError: an administrator can review what the operator was going to.
        FreshSignInNeededError: the administrator's second factor is more than ten minutes old.
    """
    _require_fresh(work)
    listed = {one.id: one for one in q.accounts_to_review(work.session, organization.id, work.now, lock=True)}
    due = {one.id: one for one in listed.values() if one.is_due and one.id != work.actor.user_id}
    if work.actor.kind != "user":
        due = _only_the_operators(work, organization.id, due, {one["user_id"] for one in accounts})
    if not due:
        raise m.NothingToReviewError
    seen = {one["user_id"]: one for one in accounts}
    changed = [
        user_id for user_id in due if user_id not in seen or sorted(seen[user_id]["roles"]) != due[user_id].roles
    ]
    gone = seen.keys() - due.keys()
    if changed or gone:
        who = {one.id: one.name for one in listed.values()}
        who |= {one.id: one.display_name for one in q.left(work.session, organization.id, gone)}  # and of nowhere else
        whose = {who[user_id] for user_id in (*changed, *gone) if user_id in who}
        raise m.ReviewListChangedError(whose=", ".join(sorted(whose, key=str.casefold)))
    undecided = [user_id for user_id in due if seen[user_id]["decision"] is None]
    if undecided:
        raise InvalidInputError({f"decision.{user_id}": ["decide_first"] for user_id in undecided})
    review = AccessReview(organization_id=organization.id, at=work.now, by=work.actor.user_id)
    work.add(review)
    for user_id, one in due.items():
        decision = seen[user_id]["decision"]
        work.add(AccessReviewLine(review_id=review.id, user_id=user_id, roles=one.roles, decision=decision))
        if decision == m.DISABLE:
            _disable(work, _user(work, user_id), m.BECAUSE_REVIEWED)
    return review


def _only_the_operators(
    work: Work, organization_id: UUID, due: Mapping[UUID, q.ReviewedAccount], asked: set[UUID]
) -> dict[UUID, q.ReviewedAccount]:
    """Return what nobody of the organization can review: the account of its only administrator."""
    could = q.administrators(work.session, organization_id, work.now)
    theirs = {user_id: one for user_id, one in due.items() if not could - {user_id}}
    if asked & due.keys() - theirs.keys():
        raise m.SecondAdministratorError
    return theirs


def _disable(work: Work, user: User, because: str) -> None:
    user.disable(at=work.now, by=work.actor.user_id, because=because)
    work.record(user, ["disabled_at", "disabled_by", "disabled_because"])
    for proposal in q.proposed_by(work.session, user.id):
        proposal.settle(m.LAPSED, at=work.now, by=work.actor.user_id)
        work.record(proposal, ["outcome", "settled_at", "settled_by", "because"])
    _tell(work, user.id, "disabled")
    _end_sign_ins(work, user.id, "disabled")


# --- mail ------------------------------------------------------------------------------------------------------------
#
# Whoever acts upstairs writes notices into the outbox, with the act. The worker sorts them by what their people chose,
# writes one message for each person, and asks again, just before it leaves, whether each notice still has its ground.


class SetMail(Takes):
    """When one is told by mail, and at which hour the daily one comes."""

    choice = code(MailChoice)
    hour = whole(m.MAIL_HOURS.start, m.MAIL_HOURS.stop - 1, required=False)


@command(
    records="account.mail_set",
    on=User,
    makes=User,
    takes=SetMail,
    within=q.oneself,
    allow=[[p.is_oneself]],
    purpose="administration",
)
def set_mail(work: Work, user: User, *, choice: str, hour: int | None) -> User:
    """Choose when mail says that something waits: at once, once a day, or never."""
    user.choose_mail(MailChoice(choice), user.mailed_at if hour is None else hour)
    work.record(user, ["mail_choice", "mail_hour"])
    return user


#: Whether what somebody was to be told of still concerns them, and they may still know of it. Rooms upstairs fill it.
Ground = Callable[[Session, Actor, UUID, datetime], bool]
GROUNDS: Final[dict[str, Ground]] = {}


def ground(kind: str) -> Callable[[Ground], Ground]:
    """Declare what a kind of notice stands on, asked again just before its mail leaves."""

    def declare(holds: Ground) -> Ground:
        if kind in GROUNDS:
            raise TypeError(f"the ground of {kind} is declared twice")
        GROUNDS[kind] = holds
        return holds

    return declare


@dataclass(frozen=True, slots=True)
class Told:
    """What one person is to be told of: `occasion` names what is told once, whatever asks for it again."""

    user_id: UUID
    kind: str
    target_id: UUID
    occasion: str
    is_urgent: bool

    def notice(self, at: datetime) -> Notice:
        """Return its row in the outbox."""
        if self.kind not in GROUNDS:
            raise LookupError(self.kind)
        return Notice(
            user_id=self.user_id,
            kind=self.kind,
            target_id=self.target_id,
            is_urgent=self.is_urgent,
            at=at,
            dedupe_key=self.key,
        )

    @property
    def key(self) -> str:
        """What the outbox holds once."""
        return f"{self.kind}:{self.occasion}:{self.user_id}"


def tell(work: Work, told: Iterable[Told]) -> None:
    """Write notices with the act in progress: both happen, or neither. Nobody is told of their own act."""
    if post_of(work.session) is None:
        return
    for one in told:
        if one.user_id != work.actor.user_id:
            work.keep(one.notice(work.now))


def tell_by_job(session: Session, told: Iterable[Told]) -> None:
    """Write the notices that are not in the outbox yet, as the bookkeeping of a job."""
    by_key = {one.key: one for one in told}
    known = select(Notice.dedupe_key).where(Notice.dedupe_key.in_(list(by_key)))
    missing = by_key.keys() - set(session.scalars(known)) if by_key else set()
    if not missing:
        return
    start_writing(session)
    at = clock(session)
    session.add_all(by_key[key].notice(at) for key in sorted(missing))
    try:
        session.flush()
    except IntegrityError:  # another worker wrote one of them meanwhile; what is still missing is written next time
        session.rollback()
        return
    commit(session)


@job_kind("account.post_due", every=60)
def post_due(session: Session, _target: UUID | None, _behalf: UUID | None) -> None:
    """Write a message to everybody for whom it is time, and let go what nobody wants to be told."""
    if post_of(session) is None:
        return
    waiting = q.to_mail(session, clock(session))
    if waiting.unwanted:
        start_writing(session)
        _of_outbox(session, waiting.unwanted, dropped_at=clock(session))
        commit(session)
    for user_id, notices in waiting.due.items():
        start_writing(session)
        mail = Mail(user_id=user_id, at=clock(session), tries=0)
        session.add(mail)
        session.flush()
        if _of_outbox(session, notices, mail_id=mail.id) == 0:  # another worker was faster
            session.rollback()
            continue
        follow_up(session, "account.send_mail", target=mail.id)
        session.flush()
        commit(session)


def _of_outbox(session: Session, notices: Iterable[UUID], **values: Any) -> int:
    """Write where these notices went, unless somebody else has; return how many."""
    still = Notice.id.in_(list(notices)), Notice.mail_id.is_(None), Notice.dropped_at.is_(None)
    mine = update(Notice).where(*still).values(values).returning(Notice.id)
    return len(session.scalars(mine, execution_options={"synchronize_session": False}).all())


@job_kind("account.send_mail")
def send_mail(session: Session, target: UUID | None, _behalf: UUID | None) -> None:
    """Hand one message to the mail server: never twice, and only while what it tells of has its ground.

    Raises:
        MailNotTakenError: not now; the job is tried again.
        MailUnderWayError: another worker is at it.
    """
    post = post_of(session)
    if post is None or target is None:
        raise MailNotTakenError
    if _is_resting(session, target):
        return
    began = _begin_mail(session, target)
    if not began:
        return
    try:
        message = _letter(session, post, target)
        if message is None:
            _end_mail(session, target, dropped_at=clock(session))
            return
        post.hand_over(message)
    except MailError as fault:
        if fault.code in _OUT_OF_REACH:
            session.info["post_rests_until"] = clock(session) + _REST
        is_final = fault.fate != "later" or began >= MOST_TRIES
        _end_mail(session, target, error_code=fault.code, **_missed(session, for_good=is_final))
        if is_final:
            return
        raise MailNotTakenError from fault
    except Exception as fault:  # ours: the server has not heard of it, or would have raised what is above
        session.rollback()
        code = type(fault).__name__[:40]
        _end_mail(session, target, error_code=code, **_missed(session, for_good=began >= MOST_TRIES))
        raise
    # From here on it has been sent: if this cannot be written down, it stays begun, and is never sent again.
    _end_mail(session, target, sent_at=clock(session), error_code=None)


#: A server that cannot be reached may cost each message its whole patience, while settlements and deadlines wait: so
#: this worker asks it once in so long.
_OUT_OF_REACH: Final = frozenset({"unreachable", "tls_failed"})
_REST: Final = timedelta(minutes=1)


def _is_resting(session: Session, mail_id: UUID) -> bool:
    """Put a message off, uncounted, while this worker leaves the mail server alone; return whether it did."""
    until = session.info.get("post_rests_until")
    if until is None or until <= clock(session):
        return False
    start_writing(session)
    follow_up(session, "account.send_mail", target=mail_id, at=until)
    session.flush()
    commit(session)
    return True


def _missed(session: Session, *, for_good: bool) -> dict[str, datetime | None]:
    return {"failed_at": clock(session)} if for_good else {"begun_at": None}


def _begin_mail(session: Session, mail_id: UUID) -> int:
    """Claim a message; return which try it is, 0 when there is nothing to do."""
    start_writing(session)
    at = clock(session)
    those = select(Mail).where(Mail.id == mail_id).with_for_update()
    mail = session.scalars(those, execution_options={"populate_existing": True}).one()
    if mail.sent_at is not None or mail.failed_at is not None or mail.dropped_at is not None:
        session.rollback()
        return 0
    if mail.begun_at is None:
        mail.begun_at, mail.tries = at, mail.tries + 1
        session.flush()
        commit(session)
        return mail.tries
    if at - mail.begun_at < LEASE:
        session.rollback()
        raise MailUnderWayError
    # Whoever began it died over it, and nobody knows how far it came: it may have been sent.
    mail.failed_at, mail.error_code = at, "outcome_unknown"
    session.flush()
    commit(session)
    return 0


def _letter(session: Session, post: Post, mail_id: UUID) -> EmailMessage | None:
    """Write the message; None where nothing is left to tell, or the person is not to be mailed any more."""
    at = clock(session)
    mail = session.get_one(Mail, mail_id)
    user = q.user(session, mail.user_id)
    things: set[UUID] = set()
    if user.may_be_mailed(at):
        actor = q.reader(user)
        told = q.told_by(session, mail_id)
        things = {one.target_id for one in told if GROUNDS[one.kind](session, actor, one.target_id, at)}
    language = user.language or "en"
    message = post.message(str(user.email), len(things), language=language, at=at) if things else None
    session.rollback()
    return message


def _end_mail(session: Session, mail_id: UUID, **values: Any) -> None:
    start_writing(session)
    mine = update(Mail).where(Mail.id == mail_id).values(values)
    session.execute(mine, execution_options={"synchronize_session": False})
    commit(session)


# --- API tokens ------------------------------------------------------------------------------------------------------

#: In place of a password's hash: an integration has no password.
_NOTHING_HASHES_TO_IT = "-"


class MakeToken(Takes):
    """What the integration is called, what it works as, what the token may be used for, and its last day."""

    called = line(80)
    role = code(sorted({role.value for roles in m.TOKEN_ROLES.values() for role in roles}))
    scopes = codes(TokenScope)
    ends_on = day()


@command(
    records="account.token_made",
    on=Organization,
    makes=ApiToken,
    takes=MakeToken,
    within=own_organization,
    allow=[[p.administers_it]],
    purpose="administration",
)
def make_token(
    work: Work, organization: Organization, *, called: str, role: str, scopes: list[str], ends_on: date
) -> ApiToken:
    """Let an integration in, with a role of its own and its first token; the text is in `shown_token`, once (S-808).

    Raises:
        InvalidInputError: the role or a scope is none of this side, or the last day is past or over a year ahead.
        FreshSignInNeededError: the administrator's second factor is more than ten minutes old.
    """
    _require_fresh(work)
    organization.require_in_force()
    faults = _last_day_faults(ends_on, day_of(work.now, organization.time_zone))
    if Role(role) not in m.TOKEN_ROLES[organization.side]:
        faults["role"] = [RoleNotOfSideError.code]
    if not set(scopes) <= set(m.SCOPES_OF_SIDE[organization.side]):
        faults["scopes"] = ["not_a_choice"]
    if faults:
        raise InvalidInputError(faults)
    integration = User(
        organization_id=organization.id,
        integration_at=work.now,
        display_name=called,
        password_hash=_NOTHING_HASHES_TO_IT,
        added_at=work.now,
        added_by=work.actor.me,
        ends_on=ends_on,
    )
    integration.sign_in_name = f"integration:{integration.id}"  # the column wants one; nobody signs in by it
    work.add(integration)
    work.add(RoleGrant(user_id=integration.id, role=role, granted_at=work.now, granted_by=work.actor.me))
    return _token(work, integration.id, scopes, ends_on)


def _token(work: Work, integration_id: UUID, scopes: list[str], ends_on: date) -> ApiToken:
    made = ApiToken.make(integration_id, scopes, ends_on, at=work.now, by=work.actor.me)
    work.add(made)
    work.keep(ApiTokenUse(token_id=made.id))
    return made


def _last_day_faults(ends_on: date, today: date) -> dict[str, list[str]]:
    if ends_on < today:
        return {"ends_on": ["in_past"]}
    return {"ends_on": ["over_a_year"]} if ends_on > m.latest_last_day(today) else {}


class RenewToken(Takes):
    """The last day of the token that follows."""

    ends_on = day()


@command(
    records="account.token_renewed",
    on=ApiToken,
    makes=ApiToken,
    takes=RenewToken,
    within=q.visible_tokens,
    allow=[[p.administers_its_organization]],
    purpose="administration",
)
def renew_token(work: Work, token: ApiToken, *, ends_on: date) -> ApiToken:
    """Make the token that follows this one: same integration, role and scopes. This one works until it ends itself.

    Raises:
        TokenOverError: this one was revoked, or its last day has passed.
        InvalidInputError: the last day is past or more than a year ahead.
        FreshSignInNeededError: the administrator's second factor is more than ten minutes old.
    """
    _require_fresh(work)
    integration = _user(work, token.user_id)
    today = day_of(work.now, integration.organization.time_zone)
    if token.is_over(today) or integration.disabled_at is not None:
        raise TokenOverError
    if faults := _last_day_faults(ends_on, today):
        raise InvalidInputError(faults)
    if integration.ends_on is None or integration.ends_on < ends_on:
        integration.ends_on = ends_on
        work.record(integration, ["ends_on"])
    return _token(work, integration.id, token.scopes, ends_on)


class RevokeToken(Takes):
    """Why, in a few words."""

    because = line(400)


@command(
    records="account.token_revoked",
    on=ApiToken,
    makes=ApiToken,
    takes=RevokeToken,
    within=q.visible_tokens,
    allow=[[p.administers_its_organization]],
    purpose="administration",
)
def revoke_token(work: Work, token: ApiToken, *, because: str) -> ApiToken:
    """End a token at once. With its last one the integration's account is disabled; what it did stays.

    Raises:
        TokenOverError: it was revoked before.
    """
    token.revoke(at=work.now, by=work.actor.user_id, because=because)
    work.record(token, ["ended_at", "ended_by", "ended_because"])
    integration = _user(work, token.user_id)
    today = day_of(work.now, integration.organization.time_zone)
    others = [one for one in q.working_tokens(work.session, integration.id, today) if one.id != token.id]
    if not others and integration.disabled_at is None:
        integration.disable(at=work.now, by=work.actor.user_id, because=because)
        work.record(integration, ["disabled_at", "disabled_by", "disabled_because"])
    return token


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


def keep_token_use(session: Session, token_id: UUID, today: date) -> None:
    """Keep the day on which an API token was used, once a day, as `keep_alive` does for a sign-in."""
    try:
        start_writing(session)
        earlier = or_(ApiTokenUse.used_on.is_(None), ApiTokenUse.used_on < today)
        session.execute(update(ApiTokenUse).where(ApiTokenUse.token_id == token_id, earlier).values(used_on=today))
        commit(session)
    except OperationalError:
        session.rollback()


def first_sign_in(session: Session, sign_in_name: str, one_time: str, password: str, source: Source) -> SignIn:
    """Walk an account through its first day: code, password, authenticator, rules. For the demo and tests.

    Returns the complete sign-in, with its token and recovery codes.
    """
    check_ahead(session, name=sign_in_name, password=one_time)
    data = {"name": sign_in_name, "password": one_time, "acknowledged": True}
    began = execute(session, sign_in, actor=nobody(source), target=the_one(session).id, data=data)
    user_id, sign_in_id = began.user_id, began.id

    def oneself() -> Actor:
        return q.actor_for(q.user(session, user_id), began, source, step=m.NEW_PASSWORD)

    hash_ahead(session, password)
    execute(session, change_password, actor=oneself(), target=user_id, data={"new_password": password})
    factor = q.pending_factor(session, user_id)
    if factor is None:
        raise LookupError(sign_in_id)
    shown = factor.code_of(int(clock(session).timestamp()) // 30)
    complete = execute(session, enroll_factor, actor=oneself(), target=factor.id, data={"code": shown})
    read = {"wording": q.WORDING, "agreed": True}
    execute(session, acknowledge_rules, actor=oneself(), target=user_id, data=read)
    return complete
