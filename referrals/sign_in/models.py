"""Sign-ins, what they take (second factors, recovery codes, the rules of behavior), and the failed ones."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import pyotp
from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped

from referrals.account import models as account
from referrals.account.models import ENROLL, FULL, NEW_PASSWORD, RULES, SECOND_FACTOR, User, plain_code, random_code
from referrals.kernel import crypto
from referrals.kernel.errors import RefusedError, RuleBrokenError
from referrals.kernel.orm import Base, Identified, personal, public, related, uuid7

#: Five wrong sign-ins within a quarter of an hour lock the account (S-101).
ATTEMPTS: Final = 5
ATTEMPTS_WITHIN: Final = timedelta(minutes=15)

#: Which wording of the rules of behavior is in force. Whoever acknowledged another one is asked again (S-803).
WORDING: Final = "2026-11"
#: For how long an acknowledgment counts: whoever signs in later reads the rules again (S-803; CJIS PL-4).
RULES_LAST: Final = timedelta(days=365)
#: A sign-in counts as fresh for ten minutes (S-113).
FRESH: Final = timedelta(minutes=10)
#: How exactly the last use of a sign-in is kept.
USE_STEP: Final = timedelta(minutes=1)

RECOVERY_CODES: Final = 10

#: Why a sign-in ended before its time.
ENDINGS: Final = (
    *("signed_out", "ended_by_user", "password_changed", "password_reset", "factor_changed", "roles_changed"),
    *("disabled", "replaced"),
)


class SignInRefusedError(RefusedError):
    """Wrong name, wrong password, locked, disabled: one answer for all of them (S-102)."""

    code = "sign_in_refused"
    status = 401


class CodeRefusedError(RefusedError):
    """The second-factor or recovery code is wrong, was used before, or the account is locked."""

    code = "code_refused"
    status = 401


class PasswordRefusedError(RefusedError):
    """The present password, asked again before an act, is wrong."""

    code = "present_password_refused"
    status = 401


class FreshSignInNeededError(RefusedError):
    """The act needs a second factor given within the last ten minutes (S-113)."""

    code = "fresh_sign_in_needed"
    status = 403


class SignInOverError(RuleBrokenError):
    """The sign-in has ended."""

    code = "sign_in_over"


class FactorNotPendingError(RuleBrokenError):
    """The second factor was set up before, or replaced meanwhile."""

    code = "factor_not_pending"


class LastFactorError(RuleBrokenError):
    """It is the account's only second factor: another one comes first (S-103)."""

    code = "last_factor"


class RulesKnownError(RuleBrokenError):
    """The rules of behavior in force were acknowledged, and that still counts."""

    code = "rules_known"


class RulesChangedError(RuleBrokenError):
    """Another wording of the rules is in force than the one that was read."""

    code = "rules_changed"


def token_hash(token: str) -> bytes:
    """Return what the database holds of a sign-in's token (S-111)."""
    return hashlib.sha256(token.encode()).digest()


def step_of(*, is_given: bool, must_change: bool, has_factor: bool, knows_rules: bool, is_lost: bool = False) -> str:
    """Return what a sign-in still lacks, as `SignIn.step`, from what was read of its rows."""
    if has_factor and not is_given:
        return SECOND_FACTOR
    if must_change:
        return NEW_PASSWORD
    if is_lost or not has_factor:
        return ENROLL
    return FULL if knows_rules else RULES


def rules_count(acknowledged_at: datetime | None, started_at: datetime) -> bool:
    """Whether rules acknowledged then count for a sign-in that began at `started_at` (S-803).

    The year is counted to the beginning of the sign-in, so that nobody is stopped in the middle of a form.
    """
    return acknowledged_at is not None and started_at < acknowledged_at + RULES_LAST


class RulesAcknowledgment(Identified):
    """That somebody read the rules of behavior and will keep them: who, when, which wording. Never changed (S-803)."""

    __tablename__ = "rules_acknowledgment"

    user_id: Mapped[UUID] = public(ForeignKey("user.id"), index=True)
    wording: Mapped[str] = public(String(20))
    at: Mapped[datetime] = public()


# --- second factors --------------------------------------------------------------------------------------------------


class SecondFactor(Identified):
    """An authenticator app (RFC 6238: six digits, 30 seconds, SHA-1 as apps expect); pending until its first code.

    The seed is sealed; `last_step` is the last 30-second step that a code was taken of: each code works once (S-104).
    """

    __tablename__ = "second_factor"
    __house_key__ = "totp"
    __table_args__ = (
        Index(
            "uq_second_factor_in_force",
            "user_id",
            unique=True,
            sqlite_where=text("confirmed_at IS NOT NULL AND ended_at IS NULL"),
            postgresql_where=text("confirmed_at IS NOT NULL AND ended_at IS NULL"),
        ),
    )

    user_id: Mapped[UUID] = public(ForeignKey("user.id"), index=True)
    seed = crypto.sealed(crypto.text, padded=True)
    started_at: Mapped[datetime] = public()
    confirmed_at: Mapped[datetime | None] = public()
    last_step: Mapped[int | None] = public(BigInteger)
    ended_at: Mapped[datetime | None] = public()

    user: Mapped[User] = related("User")

    @classmethod
    def start(cls, user_id: UUID, at: datetime) -> SecondFactor:
        """Return a pending factor with a new seed of 160 bits."""
        return cls(user_id=user_id, seed=pyotp.random_base32(32), started_at=at)

    def matching_step(self, typed: str, at: datetime) -> int | None:
        """Return the step whose code this is: the present one or a neighbor, and later than any used before."""
        code = "".join(typed.split())
        if not re.fullmatch(r"[0-9]{6}", code):
            return None
        present = int(at.timestamp()) // 30
        found = None
        for step in (present - 1, present, present + 1):
            same = hmac.compare_digest(self.code_of(step), code)
            if same and (self.last_step is None or step > self.last_step):
                found = step
        return found

    def code_of(self, step: int) -> str:
        """Return the code of a 30-second step."""
        return pyotp.TOTP(self.seed).generate_otp(step)

    def confirm(self, step: int, at: datetime) -> None:
        """Take the factor into use: its owner has shown that their app has the seed."""
        if self.confirmed_at is not None or self.ended_at is not None:
            raise FactorNotPendingError
        self.confirmed_at, self.last_step = at, step

    def uri(self, sign_in_name: str) -> str:
        """Return what an authenticator app reads from the QR code."""
        return pyotp.TOTP(self.seed).provisioning_uri(name=sign_in_name, issuer_name="Throughgate")


#: How many letters a recovery code has.
_RECOVERY: Final = 12


class RecoveryCode(Identified):
    """One of ten codes for a day without the authenticator: `7-K3QF-9MWD-2HXT`. Its number says which row it is."""

    __tablename__ = "recovery_code"

    user_id: Mapped[UUID] = public(ForeignKey("user.id"), index=True)
    number: Mapped[int] = public()
    code_hash: Mapped[str] = personal(String(200))
    made_at: Mapped[datetime] = public()
    used_at: Mapped[datetime | None] = public()
    ended_at: Mapped[datetime | None] = public()

    @classmethod
    def fresh(cls, user_id: UUID, at: datetime) -> tuple[list[RecoveryCode], list[str]]:
        """Return ten new rows and the ten codes in clear, in order."""
        codes = [random_code(_RECOVERY) for _ in range(RECOVERY_CODES)]
        rows = [
            cls(user_id=user_id, number=number, code_hash=account.recovery.hash(plain_code(code)), made_at=at)
            for number, code in enumerate(codes, 1)
        ]
        return rows, [f"{number}-{code}" for number, code in enumerate(codes, 1)]

    def holds(self, typed: str) -> bool:
        """Return whether this is the code; it works once."""
        return self.used_at is None and self.ended_at is None and account.recovery.verify(self.code_hash, typed)


def recovery_parts(typed: str) -> tuple[int, str] | None:
    """Take a recovery code apart: its number and what is hashed; None when it is not in that form."""
    number, _, code = typed.strip().replace("\N{EN DASH}", "-").partition("-")
    plain = plain_code(code)
    if not (number.strip().isascii() and number.strip().isdigit() and len(number.strip()) <= 2):  # noqa: PLR2004
        return None
    return (int(number), plain) if len(plain) == _RECOVERY else None


# --- sign-ins --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a sign-in lasts: unused, and at most (S-109). Production can only tighten them."""

    idle: timedelta = timedelta(minutes=15)
    whole: timedelta = timedelta(hours=12)
    #: The same on a computer that several people use.
    shared_idle: timedelta = timedelta(minutes=5)
    shared_whole: timedelta = timedelta(minutes=30)

    def on(self, *, shared: bool | None) -> Limits:
        """Return what holds for one sign-in: on a shared computer the shorter of each pair, never a longer one."""
        if not shared:
            return self
        return replace(self, idle=min(self.idle, self.shared_idle), whole=min(self.whole, self.shared_whole))


class SignIn(Identified):
    """A browser's or program's sign-in. The row holds SHA-256 of its 256-bit token, the cookie the token (S-111)."""

    __tablename__ = "sign_in"
    __allow_unmapped__ = True

    user_id: Mapped[UUID] = public(ForeignKey("user.id"), index=True)
    token_hash: Mapped[bytes] = personal(LargeBinary, unique=True)
    channel: Mapped[str] = public(String(10))
    started_at: Mapped[datetime] = public()
    #: When the system-use notice was acknowledged (S-114).
    notice_at: Mapped[datetime] = public()
    second_factor_at: Mapped[datetime | None] = public()
    fresh_at: Mapped[datetime | None] = public()
    ended_at: Mapped[datetime | None] = public()
    ended_by: Mapped[UUID | None] = public()
    ended_because: Mapped[str | None] = public(String(20))
    #: Whether it began on a computer that several people use; None: nobody was asked.
    is_shared: Mapped[bool | None] = public()

    user: Mapped[User] = related("User")

    #: The token just made, in clear, for the cookie; and recovery codes just made, to be shown once.
    token: str | None = None
    shown_codes: Sequence[str] = ()

    @classmethod
    def start(cls, user_id: UUID, *, channel: str, at: datetime, shared: bool = False) -> SignIn:
        """Return a new sign-in after the password alone."""
        made = cls(user_id=user_id, channel=channel, started_at=at, notice_at=at, is_shared=shared)
        made.renew_token()
        return made

    def renew_token(self) -> None:
        """Take a new token: the old one opens nothing from now on."""
        self.token = secrets.token_urlsafe(32)
        self.token_hash = token_hash(self.token)

    def prove(self, at: datetime) -> None:
        """Keep that the second factor was given now."""
        self.second_factor_at = self.fresh_at = at

    def step(self, user: User, *, has_factor: bool, acknowledged_at: datetime | None, is_lost: bool = False) -> str:
        """Return what this sign-in still lacks: a code, a password of one's own, a second factor, the rules, nothing.

        `acknowledged_at` is when the person last acknowledged the rules in force.
        """
        return step_of(
            is_given=self.second_factor_at is not None,
            must_change=user.must_change_password,
            has_factor=has_factor,
            knows_rules=rules_count(acknowledged_at, self.started_at),
            is_lost=is_lost,
        )

    def is_over(self, at: datetime, used_at: datetime, limits: Limits) -> bool:
        """Whether it ended, was left idle, or has lasted long enough."""
        return is_over(self.ended_at, self.started_at, used_at, at, limits.on(shared=self.is_shared))

    def is_fresh(self, at: datetime) -> bool:
        """Whether the second factor was given within the last ten minutes."""
        return self.fresh_at is not None and at < self.fresh_at + FRESH

    def end(self, *, at: datetime, by: UUID | None, because: str) -> None:
        """End it."""
        if self.ended_at is not None:
            raise SignInOverError
        self.ended_at, self.ended_by, self.ended_because = at, by, because


def is_over(ended_at: datetime | None, started_at: datetime, used_at: datetime, at: datetime, limits: Limits) -> bool:
    """Whether a sign-in is over, as `SignIn.is_over`, from what was read of its rows."""
    return ended_at is not None or at >= used_at + limits.idle or at >= started_at + limits.whole


class SignInUse(Base):
    """When a sign-in was last used, to the minute.

    Bookkeeping outside the audit rule: each use has its own event, and a log of "still there" would drown the rest.
    """

    __tablename__ = "sign_in_use"
    __audited__ = False

    sign_in_id: Mapped[UUID] = public(ForeignKey("sign_in.id"), primary_key=True)
    used_at: Mapped[datetime] = public()


class FailedAttempt(Base):
    """A wrong password or code; a name that does not exist is kept as nobody (S-101, S-102).

    Bookkeeping that lockout counts; the refusal's own event is the record.
    """

    __tablename__ = "failed_attempt"
    __audited__ = False
    __table_args__ = (Index("ix_failed_attempt_user_id_at", "user_id", "at"),)

    id: Mapped[UUID] = public(primary_key=True, default=uuid7)
    user_id: Mapped[UUID | None] = public(ForeignKey("user.id"))
    factor: Mapped[str] = public(String(12))
    at: Mapped[datetime] = public()
