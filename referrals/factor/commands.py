"""What can be done about second factors: setting up each kind, replacing it, losing it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from referrals.account import queries as accounts
from referrals.account.commands import tell_change, user_in
from referrals.account.models import NEW_PASSWORD, User
from referrals.account.policy import is_oneself
from referrals.code_sheet import commands as sheets
from referrals.code_sheet import queries as code_sheets
from referrals.code_sheet.models import CodeSheet, SheetNotPendingError
from referrals.code_sheet.policy import holds_it as holds_sheet
from referrals.issuer import queries as issuers
from referrals.issuer.commands import end_subjects
from referrals.kernel.actor import Actor, Source, nobody
from referrals.kernel.command import Work, command, execute
from referrals.kernel.errors import InvalidInputError, RefusedError
from referrals.kernel.record import clock
from referrals.kernel.schema import Nothing, Takes, line, text
from referrals.organization.queries import installation as the_one
from referrals.passkey import commands as passkeys
from referrals.passkey import queries as own_passkeys
from referrals.passkey.models import Passkey, PasskeyKnownError, PasskeyRefusedError
from referrals.passkey.policy import holds_it as holds_passkey
from referrals.sign_in import commands as sign_ins
from referrals.sign_in import queries as q
from referrals.sign_in.commands import (
    FactorWords,
    acting_sign_in,
    end_pending_factors,
    end_sign_ins,
    failed,
    renew,
    require_fresh,
    start_pending_factor,
    take_factor,
    themselves,
)
from referrals.sign_in.models import (
    CodeRefusedError,
    FactorNotPendingError,
    LastFactorError,
    RecoveryCode,
    SecondFactor,
    SignIn,
)
from referrals.sign_in.policy import holds_it

__all__ = [
    "FactorNotPendingError",
    "LastFactorError",
    "PasskeyKnownError",
    "SheetNotPendingError",
]


# --- what several commands share --------------------------------------------------------------------------------------


def is_first(work: Work, user: User, acting: SignIn) -> bool:
    """Whether a factor set up now is the account's only one: on the first day, or come back by two colleagues (S-105).

    Whoever gave the password alone sets up none where one was ever set up.
    """
    if user.factor_lost_at is not None:
        return acting.second_factor_at is not None
    return not q.has_factor(work.session, user.id)


def _make_recovery_codes(work: Work, user_id: UUID) -> list[str]:
    for old in q.recovery_codes(work.session, user_id):
        old.ended_at = work.now
        work.record(old, ["ended_at"])
    rows, shown = RecoveryCode.fresh(user_id, work.now)
    for row in rows:
        work.add(row)
    return shown


def come_in_by_new(work: Work, user: User, acting: SignIn) -> None:
    """Complete a sign-in by a factor just set up; all others of the user end (S-110)."""
    if user.factor_lost_at is not None:
        user.factor_lost_at = None
        work.record(user, ["factor_lost_at"])
    if user.last_signed_in_at is None:  # the first day: nobody needs to be told what they are just doing
        user.changes_seen_at = work.now
        work.record(user, ["changes_seen_at"])
    user.last_signed_in_at = work.now
    work.record(user, ["last_signed_in_at"])
    end_sign_ins(work, user.id, "factor_changed", but=acting.id)
    acting.prove(work.now)
    work.record(acting, ["second_factor_at", "fresh_at"])
    renew(work, acting)


def require_another_factor(work: Work, user_id: UUID, *, but: UUID) -> None:
    """Refuse to end a passkey or a connection, named by its id, where no other second factor opens the account.

    Raises:
        LastFactorError: there is none.
    """
    kept = [*own_passkeys.of_user(work.session, user_id), *issuers.working_subjects(work.session, user_id)]
    sheet = code_sheets.sheet_of(work.session, user_id)
    has_sheet = sheet is not None and sheet.opens
    if all(one.id == but for one in kept) and not has_sheet and q.factor_of(work.session, user_id) is None:
        raise LastFactorError


# --- an authenticator app ---------------------------------------------------------------------------------------------


@command(
    records="account.factor_started",
    on=User,
    makes=SecondFactor,
    takes=FactorWords,
    within=accounts.oneself,
    allow=[[is_oneself]],
    purpose="administration",
    outlasts=failed(CodeRefusedError, "code", themselves),
)
def start_factor(work: Work, user: User, *, code: str | None, passkey: str | None) -> SecondFactor:
    """Begin to replace one's authenticator, or to set one up: by any second factor of the present ones.

    Raises:
        CodeRefusedError, PasskeyRefusedError: it is wrong or was used before; it counts as a failed sign-in.
    """
    take_factor(work, user, code, passkey)
    return start_pending_factor(work, user)


class CodeWords(Takes):
    """The first code of an authenticator."""

    code = line(40)


@command(
    records="account.factor_enrolled",
    on=SecondFactor,
    makes=SignIn,
    takes=CodeWords,
    within=q.own_factors,
    allow=[[holds_it]],
    purpose="administration",
)
def enroll_factor(work: Work, factor: SecondFactor, *, code: str) -> SignIn:
    """Take an authenticator into use by its first code, with ten new recovery codes. Other sign-ins end (S-110).

    Raises:
        InvalidInputError: the code is not one of this authenticator.
        FactorNotPendingError: it was set up before, or replaced meanwhile.
    """
    user = user_in(work, factor.user_id)
    acting = acting_sign_in(work)
    if user.must_change_password:
        raise FactorNotPendingError
    if factor.confirmed_at is not None or factor.ended_at is not None:
        raise FactorNotPendingError
    step = factor.matching_step(code, work.now)
    if step is None:
        raise InvalidInputError({"code": ["code_wrong"]})
    if acting.second_factor_at is None and q.has_factor(work.session, user.id):
        raise FactorNotPendingError
    earlier = q.factor_of(work.session, user.id)
    if earlier is not None:
        earlier.ended_at = work.now
        work.record(earlier, ["ended_at"])
    factor.confirm(step, work.now)
    work.record(factor, ["confirmed_at", "last_step"])
    acting.shown_codes = _make_recovery_codes(work, user.id)
    tell_change(work, user.id, "factor_added" if earlier is None else "factor_replaced")
    come_in_by_new(work, user, acting)
    return acting


# --- recovery codes ---------------------------------------------------------------------------------------------------


@command(
    records="account.recovery_codes_made",
    on=User,
    makes=SignIn,
    takes=FactorWords,
    within=accounts.oneself,
    allow=[[is_oneself]],
    purpose="administration",
    outlasts=failed(CodeRefusedError, "code", themselves),
)
def renew_recovery_codes(work: Work, user: User, *, code: str | None, passkey: str | None) -> SignIn:
    """Make ten new recovery codes, by a second factor; the old ones work no more. Other sign-ins end.

    Raises:
        CodeRefusedError, PasskeyRefusedError: it is wrong or was used before; it counts as a failed sign-in.
    """
    acting = acting_sign_in(work)
    take_factor(work, user, code, passkey)
    acting.shown_codes = _make_recovery_codes(work, user.id)
    tell_change(work, user.id, "codes_made")
    end_sign_ins(work, user.id, "factor_changed", but=acting.id)
    acting.prove(work.now)
    work.record(acting, ["second_factor_at", "fresh_at"])
    renew(work, acting)
    return acting


# --- passkeys and security keys ---------------------------------------------------------------------------------------


class AddPasskey(Takes):
    """What its owner calls it, and its answer to the challenge, as JSON."""

    name = line(60)
    passkey = text(8000)


def _keep_failed_adding(work: Work, _user: User, refusal: RefusedError, _words: Mapping[str, Any]) -> None:
    if isinstance(refusal, PasskeyRefusedError | PasskeyKnownError):
        passkeys.spend_challenge(work)


@command(
    records="account.passkey_added",
    on=User,
    makes=SignIn,
    takes=AddPasskey,
    within=accounts.oneself,
    allow=[[is_oneself]],
    purpose="administration",
    outlasts=_keep_failed_adding,
)
def add_passkey(work: Work, user: User, *, name: str, passkey: str) -> SignIn:
    """Add a passkey or security key; as the first factor it completes the sign-in, with ten recovery codes.

    Other sign-ins end (S-110).

    Raises:
        FreshSignInNeededError: there is a factor, and it was given more than ten minutes ago, or not at all.
        FactorNotPendingError: a password of one's own comes first.
        PasskeyRefusedError: the answer is not to this sign-in's challenge, or too late.
        PasskeyKnownError: this very passkey was added before.
    """
    acting = acting_sign_in(work)
    if user.must_change_password or acting.ended_at is not None:
        raise FactorNotPendingError
    first = is_first(work, user, acting)
    if not first:
        require_fresh(work)  # whoever gave the password alone has given no factor
    passkeys.take_new(work, user.id, passkey, name)
    tell_change(work, user.id, "passkey_added")
    if first:
        end_pending_factors(work, user.id)
        acting.shown_codes = _make_recovery_codes(work, user.id)
    come_in_by_new(work, user, acting)
    return acting


@command(
    records="account.passkey_removed",
    on=Passkey,
    makes=SignIn,
    takes=Nothing,
    within=own_passkeys.own,
    allow=[[holds_passkey]],
    purpose="administration",
)
def remove_passkey(work: Work, passkey: Passkey) -> SignIn:
    """Remove one of one's passkeys, but never the last second factor. Other sign-ins end (S-110).

    Raises:
        FreshSignInNeededError: the second factor was given more than ten minutes ago.
        PasskeyEndedError: it was removed before.
        LastFactorError: the account has no other second factor.
    """
    require_fresh(work)
    user_in(work, passkey.user_id)  # under lock: two removed at once would leave none
    fields = passkey.end(at=work.now, by=work.actor.user_id, because="removed")
    require_another_factor(work, passkey.user_id, but=passkey.id)
    work.record(passkey, fields)
    acting = acting_sign_in(work)
    tell_change(work, passkey.user_id, "passkey_removed")
    end_sign_ins(work, passkey.user_id, "factor_changed", but=acting.id)
    renew(work, acting)
    return acting


# --- code sheets: a second factor on paper (decision 0025) ------------------------------------------------------------


class MakeCodeSheet(Takes):
    """A code, or the answer of a passkey, of a factor in force; neither on the first day, when there is none yet."""

    code = line(40, required=False)
    passkey = text(8000, required=False)


@command(
    records="account.code_sheet_made",
    on=User,
    makes=CodeSheet,
    takes=MakeCodeSheet,
    within=accounts.oneself,
    allow=[[is_oneself]],
    purpose="administration",
    outlasts=failed(CodeRefusedError, "code", themselves),
)
def make_code_sheet(work: Work, user: User, *, code: str | None, passkey: str | None) -> CodeSheet:
    """Draw a sheet of codes, told once in `shown_codes`. The one before holds until the new one's first code.

    Raises:
        InvalidInputError: neither a code nor a passkey's answer was given.
        CodeRefusedError, PasskeyRefusedError: it is wrong or was used before; it counts as a failed sign-in.
        SheetNotPendingError: on the first day, before a password of one's own was chosen.
    """
    acting = acting_sign_in(work)
    if user.must_change_password:
        raise SheetNotPendingError
    if not is_first(work, user, acting):
        if acting.second_factor_at is None:
            raise CodeRefusedError
        take_factor(work, user, code, passkey)
    return sheets.print_sheet(work, user.id)


@command(
    records="account.code_sheet_enrolled",
    on=CodeSheet,
    makes=SignIn,
    takes=CodeWords,
    within=code_sheets.own,
    allow=[[holds_sheet]],
    purpose="administration",
)
def enroll_code_sheet(work: Work, sheet: CodeSheet, *, code: str) -> SignIn:
    """Take a sheet into use by the code of it that is asked for. The sheet before ends, and so do other sign-ins.

    On the first day ten recovery codes come with it, told once in `shown_codes`.

    Raises:
        InvalidInputError: it is not the code that is asked for.
        SheetNotPendingError: it was taken into use before, or replaced meanwhile.
    """
    user = user_in(work, sheet.user_id)
    acting = acting_sign_in(work)
    first = is_first(work, user, acting)
    if user.must_change_password or (not first and acting.second_factor_at is None):
        raise SheetNotPendingError
    replaced = sheets.take_into_use(work, sheet, code)
    if first:
        end_pending_factors(work, user.id)
        acting.shown_codes = _make_recovery_codes(work, user.id)
    tell_change(work, user.id, "sheet_replaced" if replaced else "sheet_added")
    come_in_by_new(work, user, acting)
    return acting


@command(
    records="account.code_sheet_reported",
    on=User,
    makes=CodeSheet,
    takes=Nothing,
    within=accounts.oneself,
    allow=[[is_oneself]],
    purpose="administration",
)
def lose_code_sheet(work: Work, user: User) -> CodeSheet:
    """Say that a sheet is lost: none of its codes opens anything any more, and other sign-ins end.

    It stays its account's factor until another takes its place, so that a password alone opens nothing (S-103).

    Raises:
        NoSheetError: there is none in use, or it was said before.
    """
    return lost_sheet(work, user)


def lost_sheet(work: Work, user: User) -> CodeSheet:
    """End a user's sheet in use, tell them, and end their other sign-ins; for its owner or an administrator."""
    sheet = sheets.lose(work, user.id)
    tell_change(work, user.id, "sheet_lost")
    end_sign_ins(work, user.id, "factor_changed", but=work.actor.sign_in_id)
    return sheet


# --- factors that are lost, for the room upstairs where two colleagues say so (S-105) ---------------------------------


def lose_factor(work: Work, user_id: UUID) -> None:
    """Take all second factors of a user for lost: none of them works any more, and all sign-ins end.

    That there was one stays on the account until another is set up: a password alone never sets one up (S-105).
    """
    user = user_in(work, user_id)
    user.factor_lost_at = work.now
    work.record(user, ["factor_lost_at"])
    factor = q.factor_of(work.session, user_id)
    if factor is not None:
        factor.ended_at = work.now
        work.record(factor, ["ended_at"])
    end_pending_factors(work, user_id)
    for key in own_passkeys.of_user(work.session, user_id):
        work.record(key, key.end(at=work.now, by=work.actor.user_id, because="lost"))
    sheets.end_all(work, user_id)
    end_subjects(work, user_id, "lost")
    for code in q.recovery_codes(work.session, user_id):
        code.ended_at = work.now
        work.record(code, ["ended_at"])
    end_sign_ins(work, user_id, "factor_changed")


def let_enroll(work: Work, user: User, sign_in: SignIn) -> None:
    """Let a sign-in set up another factor for the lost ones, and nothing else before. Others end, it is renewed.

    It counts as given, and is not fresh: only a code of the new authenticator makes it so (S-113).
    """
    sign_in.second_factor_at = work.now
    work.record(sign_in, ["second_factor_at"])
    start_pending_factor(work, user)
    end_sign_ins(work, user.id, "factor_changed", but=sign_in.id)
    renew(work, sign_in)


# --- the first day ----------------------------------------------------------------------------------------------------


def first_sign_in(session: Session, sign_in_name: str, one_time: str, password: str, source: Source) -> SignIn:
    """Walk an account through its first day: code, password, authenticator, rules. For the demo and tests.

    Returns the complete sign-in, with its token and recovery codes.
    """
    sign_ins.check_ahead(session, name=sign_in_name, password=one_time)
    data = {"name": sign_in_name, "password": one_time, "acknowledged": True}
    began = execute(session, sign_ins.sign_in, actor=nobody(source), target=the_one(session).id, data=data)
    user_id, sign_in_id = began.user_id, began.id

    def oneself() -> Actor:
        return q.actor_for(accounts.user(session, user_id), began, source, step=NEW_PASSWORD)

    sign_ins.hash_ahead(session, password)
    execute(session, sign_ins.change_password, actor=oneself(), target=user_id, data={"new_password": password})
    factor = q.pending_factor(session, user_id)
    if factor is None:
        raise LookupError(sign_in_id)
    shown = factor.code_of(int(clock(session).timestamp()) // 30)
    complete = execute(session, enroll_factor, actor=oneself(), target=factor.id, data={"code": shown})
    read = {"wording": q.WORDING, "agreed": True}
    execute(session, sign_ins.acknowledge_rules, actor=oneself(), target=user_id, data=read)
    return complete
