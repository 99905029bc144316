"""Users and their roles, passwords and second factors, sign-ins and the failed ones."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import unicodedata
from base64 import b64encode
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import JSON, BigInteger, ForeignKey, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped

from referrals.kernel import crypto
from referrals.kernel.actor import Role, Side, TokenScope
from referrals.kernel.errors import RefusedError, RuleBrokenError
from referrals.kernel.orm import Base, Identified, personal, public, related, uuid7
from referrals.kernel.record import day_of
from referrals.organization.models import Organization

#: Five wrong sign-ins within a quarter of an hour lock the account (S-101).
ATTEMPTS: Final = 5
ATTEMPTS_WITHIN: Final = timedelta(minutes=15)
#: A one-time code opens an account for a day (S-108).
CODE_LASTS: Final = timedelta(hours=24)
#: An account that nobody signed in to for so long is disabled (S-804; CJIS AC-2(3)).
IDLE_AFTER: Final = timedelta(days=90)
#: Why the service disables an account.
BECAUSE_IDLE: Final = "Nobody signed in for 90 days"
BECAUSE_ENDED: Final = "The last day of the account has passed"
BECAUSE_REVIEWED: Final = "The yearly review of accounts"
BECAUSE_EMERGENCY_OVER: Final = "An emergency account ends after 72 hours"
#: How long an account made for an emergency lasts. Nothing extends it (S-804; CJIS AC-2(2)).
EMERGENCY_LASTS: Final = timedelta(hours=72)
#: Which wording of the rules of behavior is in force. Whoever acknowledged another one is asked again (S-803).
WORDING: Final = "2026-11"
#: For how long an acknowledgment counts: whoever signs in later reads the rules again (S-803; CJIS PL-4).
RULES_LAST: Final = timedelta(days=365)
#: A sign-in counts as fresh for ten minutes (S-113).
FRESH: Final = timedelta(minutes=10)
#: How exactly the last use of a sign-in is kept.
USE_STEP: Final = timedelta(minutes=1)
#: Bounds of a password, in characters (S-106).
SHORTEST, LONGEST = 15, 128
RECOVERY_CODES: Final = 10

#: What somebody may work as, by the side of their organization. The operator has no account: that is the command line.
ROLES: Final[dict[str, tuple[Role, ...]]] = {
    Side.AGENCY: (
        Role.CASE_MANAGER,
        Role.SUPERVISING_OFFICER,
        Role.SUPERVISOR,
        Role.ADMINISTRATOR,
        Role.AUDITOR,
    ),
    Side.COMMUNITY: (Role.NAVIGATOR, Role.SUPERVISOR, Role.ADMINISTRATOR, Role.AUDITOR),
}

#: Roles that one administrator alone cannot give: another one confirms them (S-802, S-205).
POWERFUL: Final = frozenset({Role.SUPERVISOR, Role.ADMINISTRATOR, Role.AUDITOR})
#: How a proposed role ended. It lapses when whoever proposed it is disabled: nobody's word stands behind it any more.
CONFIRMED, REFUSED, LAPSED = "confirmed", "refused", "lapsed"

#: Why a sign-in ended before its time.
ENDINGS: Final = (
    *("signed_out", "ended_by_user", "password_changed", "password_reset", "factor_changed", "roles_changed"),
    *("disabled", "replaced"),
)

#: Codes of the languages that somebody may read this service in.
LANGUAGES: Final = ("en", "es")

#: What is still missing before a sign-in may do anything.
SECOND_FACTOR, NEW_PASSWORD, ENROLL, RULES, FULL = "second_factor", "new_password", "enroll", "rules", "full"


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


class UserDisabledError(RuleBrokenError):
    """The account is disabled."""

    code = "user_disabled"


class NotDisabledError(RuleBrokenError):
    """The account is not disabled."""

    code = "not_disabled"


class LastDayPassedError(RuleBrokenError):
    """The account's last day has passed: it takes another before anybody signs in."""

    code = "last_day_passed"


class EmergencyOverError(RuleBrokenError):
    """The account was made for an emergency, and its 72 hours are over."""

    code = "emergency_over"


class AccountKeptError(RuleBrokenError):
    """The account is in use and its last day has not passed, so the service leaves it alone."""

    code = "account_kept"


class TokenOverError(RuleBrokenError):
    """The API token was revoked, or its last day has passed."""

    code = "token_over"


class NotLockedError(RuleBrokenError):
    """The account is not locked."""

    code = "not_locked"


class RoleNotOfSideError(RuleBrokenError):
    """An agency has no navigators, a community organization no officers."""

    code = "role_not_of_side"


class AuditorAloneError(RuleBrokenError):
    """The auditor is the privacy officer and holds no other role."""

    code = "auditor_alone"


class RoleHeldError(RuleBrokenError):
    """The user has that role."""

    code = "role_held"


class RoleEndedError(RuleBrokenError):
    """The grant has ended."""

    code = "role_ended"


class SecondPersonNeededError(RuleBrokenError):
    """One administrator alone cannot give this role: it is proposed, and another one confirms it."""

    code = "second_person_needed"


class RoleProposedError(RuleBrokenError):
    """The role was proposed for this user, and waits."""

    code = "role_proposed_before"


class ProposalSettledError(RuleBrokenError):
    """The proposed role was confirmed or refused, or its proposal lapsed."""

    code = "proposal_settled"


class SecondAdministratorError(RuleBrokenError):
    """The organization has another administrator who can confirm, so the operator does not."""

    code = "second_administrator"


class FactorNotPendingError(RuleBrokenError):
    """The second factor was set up before, or replaced meanwhile."""

    code = "factor_not_pending"


class RulesKnownError(RuleBrokenError):
    """The rules of behavior in force were acknowledged, and that still counts."""

    code = "rules_known"


class RulesChangedError(RuleBrokenError):
    """Another wording of the rules is in force than the one that was read."""

    code = "rules_changed"


class MailNotTakenError(RuleBrokenError):
    """The mail server has not taken a message yet; it is tried again."""

    code = "mail_not_taken"


class MailUnderWayError(RuleBrokenError):
    """Another worker is handing this message over."""

    code = "mail_under_way"


# --- passwords and codes ---------------------------------------------------------------------------------------------


class Hashing:
    """Argon2id with 64 MiB and 3 passes, at most two at once in a process (S-107).

    More at once would starve every page: one takes about 0.2 s of a core.
    """

    def __init__(self, *, memory_kib: int = 65_536, passes: int = 3) -> None:
        """Set the cost. Anything below the defaults is for tests and development (S-906)."""
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._turn = threading.BoundedSemaphore(2)
        #: A hash that nothing matches: checking an unknown name costs what checking a known one does. Drawn, not
        #: made, so that the first unknown name of a process costs no more than the others.
        salt, drawn = (b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32))
        self.nobody: Final = f"$argon2id$v=19$m={memory_kib},t={passes},p=1${salt}${drawn}"
        #: Verifications done and hashes made, for the test that every refusal does the same work.
        self.verified = self.hashed = 0

    def hash(self, secret: str) -> str:
        """Return the salted hash, with its settings."""
        with self._turn:
            self.hashed += 1
            return self._hasher.hash(secret)

    def verify(self, hashed: str, secret: str) -> bool:
        """Return whether the hash is of this secret. All of it counts, whatever its length."""
        with self._turn:
            self.verified += 1
            try:
                return self._hasher.verify(hashed, secret)
            except (VerificationError, InvalidHashError):
                return False

    def is_outdated(self, hashed: str) -> bool:
        """Return whether the hash was made with other settings than today's."""
        return self._hasher.check_needs_rehash(hashed)


#: Passwords and one-time codes.
passwords = Hashing()
#: Recovery codes: 60 random bits need no stretching, and ten of them are hashed at once.
recovery = Hashing(memory_kib=8_192, passes=1)


def use_fast_hashing() -> None:
    """Make hashing cheap: for tests and development alone, where production settings would cost minutes (S-906)."""
    global passwords, recovery  # one setting for the process, made at start
    passwords, recovery = Hashing(memory_kib=64, passes=1), Hashing(memory_kib=64, passes=1)


#: Crockford's letters: none that is taken for another.
_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MISREAD: Final = str.maketrans({"O": "0", "I": "1", "L": "1", "U": "V"})
_ONE_TIME, _RECOVERY, _GROUP = 16, 12, 4


def random_code(letters: int) -> str:
    """Return a random code in groups of four; each letter carries 5 bits."""
    drawn = "".join(secrets.choice(_LETTERS) for _ in range(letters))
    return "-".join(drawn[start : start + _GROUP] for start in range(0, letters, _GROUP))


def plain_code(typed: str) -> str:
    """Return a code as it was meant: without spaces and dashes, capital letters, look-alikes resolved."""
    return "".join(filter(str.isalnum, typed.upper())).translate(_MISREAD)


def one_time_code() -> str:
    """Return a new one-time code: 80 bits."""
    return random_code(_ONE_TIME)


def token_hash(token: str) -> bytes:
    """Return what the database holds of a sign-in's token (S-111)."""
    return hashlib.sha256(token.encode()).digest()


@cache
def common_passwords() -> frozenset[str]:
    """Return the passwords that many people use, in lower case."""
    lines = Path(__file__).with_name("common_passwords.txt").read_text(encoding="ascii").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


#: Words that everybody here would think of, whoever they are.
_HOUSE_WORDS: Final = ("throughgate", "through", "gate", "reentry", "probation", "parole", "corrections", "referral")
_ROWS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "01234567890",
    "1qaz2wsx3edc4rfv5tgb",
)
_LEET: Final = str.maketrans({"0": "o", "1": "l", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i"})
_LONGEST_WORD, _SHORTEST_WORD, _SHORTEST_CONTEXT, _SHORTEST_RUN, _LONGEST_NUMBER = 24, 4, 3, 3, 8
_WORD, _NUMBER, _NO_WAY = 2, 1, 1_000
#: Two common words and a number do not make a password; with words of one's own context, three and a number.
_TOO_FEW, _TOO_FEW_OF_CONTEXT = 2 * _WORD + _NUMBER, 3 * _WORD + _NUMBER


def password_faults(password: str, context: Iterable[str]) -> list[str]:
    """Return the codes of what is wrong with a new password; `context` are names the person would think of (S-106).

    There is no rule of composition. Refused is what is short, or is nothing but a few common passwords, rows of the
    keyboard, repeated signs, short numbers and context words in a row: `Password1234567`, an organization and a year.
    """
    if len(password) < SHORTEST:
        return ["password_too_short"]
    if len(password) > LONGEST:
        return ["password_too_long"]
    typed = unicodedata.normalize("NFKC", password).casefold()
    own: set[str] = set()
    for name in (*context, *_HOUSE_WORDS):
        parts = [part for part in re.split(r"[\W_]+", name.casefold()) if part]
        own |= {part for part in (*parts, "".join(parts), name.casefold()) if len(part) >= _SHORTEST_CONTEXT}
    anybody = _cost(typed, frozenset())
    if anybody <= _TOO_FEW:
        return ["password_common"]
    theirs = _cost(typed, own)
    return ["password_context"] if theirs < anybody and theirs <= _TOO_FEW_OF_CONTEXT else []


def _cost(typed: str, own: AbstractSet[str]) -> int:
    """Return the cost in common words and short numbers; signs between, rows, repeats and words of `own` are free."""
    common = common_passwords()
    longest = max([_LONGEST_WORD, *map(len, own)])
    best = [0] + [_NO_WAY] * len(typed)
    for start in range(len(typed)):
        if best[start] == _NO_WAY:
            continue
        for end in range(start + 1, min(len(typed), start + longest) + 1):
            piece = typed[start:end]
            plain = piece.translate(_LEET)
            if piece in own or plain in own or _is_run(piece) or (end == start + 1 and not piece.isalnum()):
                price = 0
            elif len(piece) >= _SHORTEST_WORD and (piece in common or plain in common):
                price = _WORD
            elif _is_number(typed, start, end):
                price = _NUMBER
            else:
                continue
            best[end] = min(best[end], best[start] + price)
    return best[-1]


def _is_run(piece: str) -> bool:
    if len(piece) < _SHORTEST_RUN:
        return False
    return len(set(piece)) == 1 or any(piece in row or piece[::-1] in row for row in _ROWS)


def _is_number(typed: str, start: int, end: int) -> bool:
    """Whether a whole number, no longer than a date, stands there: long random digits are not cut into short ones."""
    if end - start > _LONGEST_NUMBER or not typed[start:end].isdecimal():
        return False
    return not typed[start - 1 : start].isdecimal() and not typed[end : end + 1].isdecimal()


# --- users and roles -------------------------------------------------------------------------------------------------


def is_past_last_day(ends_on: date | None, at: datetime, zone: str) -> bool:
    """Whether the last day is over where the organization is."""
    return ends_on is not None and day_of(at, zone) > ends_on


def is_emergency_over(until: datetime | None, at: datetime) -> bool:
    """Whether an account made for an emergency has lasted its time."""
    return until is not None and at >= until


class MailChoice(StrEnum):
    """When somebody is told by mail that something waits; what is urgent comes at once, but for `none`."""

    AT_ONCE = "at_once"
    DAILY = "daily"
    NONE = "none"


#: The hours at which a daily mail may come, on the clock of the person's organization, and the one nobody need choose.
MAIL_HOURS: Final = range(5, 20)
MAIL_HOUR: Final = 8


def digest_after(at: datetime, hour: int, zone: str) -> datetime:
    """Return the first moment after this one when the daily mail leaves: at that hour, on the clock of that place.

    An hour that a clock change skips comes an hour later by the new clock; of one that comes twice, the first counts.
    """
    place = ZoneInfo(zone)
    today = day_of(at, place)
    mornings = (datetime.combine(today + timedelta(days=n), time(hour), place).astimezone(UTC) for n in range(3))
    return next(one for one in mornings if one > at)


class User(Identified):
    """One person's account. The name is never used again; the row stays when the person leaves.

    An integration has one too: its role, assignments and record are those of any user (decision 0015).
    """

    __tablename__ = "user"
    __house_key__ = "staff"
    #: One-time values shown to whoever caused them, never stored: see `one_time_code`.
    __allow_unmapped__ = True

    organization_id: Mapped[UUID] = public(ForeignKey("organization.id"), index=True)
    sign_in_name: Mapped[str] = personal(String(64), unique=True)
    display_name: Mapped[str] = personal(String(120))
    email = crypto.sealed(crypto.text, nullable=True)
    by_email = crypto.blind_index("email", crypto.addresses, bits=128, unique=True)
    phone = crypto.sealed(crypto.text, nullable=True)
    #: Of the password, or of the one-time code while that is what opens the account.
    password_hash: Mapped[str] = personal(String(200))
    password_changed_at: Mapped[datetime | None] = public()
    one_time_until: Mapped[datetime | None] = public()
    one_time_used_at: Mapped[datetime | None] = public()
    last_signed_in_at: Mapped[datetime | None] = public()
    locked_at: Mapped[datetime | None] = public()
    unlocked_at: Mapped[datetime | None] = public()
    added_at: Mapped[datetime] = public()
    added_by: Mapped[UUID | None] = public()
    disabled_at: Mapped[datetime | None] = public()
    disabled_by: Mapped[UUID | None] = public()
    disabled_because: Mapped[str | None] = personal(String(400))
    #: When an administrator last let a disabled account be used again.
    enabled_at: Mapped[datetime | None] = public()
    #: When and at which hour this person is mailed; None: as long as they have not chosen (`DAILY`, `MAIL_HOUR`).
    mail_choice: Mapped[str | None] = public(String(10))
    mail_hour: Mapped[int | None] = public()
    #: The language its person chose for what they read; None: none yet.
    language: Mapped[str | None] = personal(String(2))
    #: The last day on which it opens, where its organization is; None: no end is known.
    ends_on: Mapped[date | None] = public()
    #: When an account made for an emergency ends by itself, and why it was made. Set when it is made, never changed.
    emergency_until: Mapped[datetime | None] = public()
    emergency_because: Mapped[str | None] = personal(String(400))
    #: Up to when its person has looked at what changed on it (S-806).
    changes_seen_at: Mapped[datetime | None] = public()
    #: Since when it is an integration's, which acts through API tokens alone and never signs in; None: a person's.
    integration_at: Mapped[datetime | None] = public()

    organization: Mapped[Organization] = related("Organization")
    grants: Mapped[list[RoleGrant]] = related("RoleGrant", order_by="RoleGrant.granted_at")

    #: The one-time code just made, in clear: shown once, then gone.
    shown_code: str | None = None

    @property
    def roles(self) -> frozenset[Role]:
        """The roles in force. Needs `grants` loaded."""
        return frozenset(Role(grant.role) for grant in self.grants if grant.ended_at is None)

    @property
    def mailed(self) -> MailChoice:
        """When this person is told by mail that something waits."""
        return MailChoice(self.mail_choice or MailChoice.DAILY)

    @property
    def mailed_at(self) -> int:
        """The hour of their daily mail."""
        return MAIL_HOUR if self.mail_hour is None else self.mail_hour

    def may_be_mailed(self, at: datetime) -> bool:
        """Whether mail may go to this person now. Needs `organization` loaded."""
        if self.disabled_at is not None or self.organization.ended_at is not None or self.mailed is MailChoice.NONE:
            return False
        return self.email is not None and not is_past_last_day(self.ends_on, at, self.organization.time_zone)

    def choose_mail(self, choice: MailChoice, hour: int) -> None:
        """Say when one is told by mail."""
        self.mail_choice, self.mail_hour = choice.value, hour

    @property
    def must_change_password(self) -> bool:
        """Whether the account is opened by a one-time code, until its person chose a password."""
        return self.one_time_until is not None

    @property
    def is_locked(self) -> bool:
        """Whether an administrator has to unlock the account."""
        return self.locked_at is not None

    @property
    def counted_from(self) -> datetime | None:
        """From when failed attempts count: the last complete sign-in, or the last unlocking."""
        return max((at for at in (self.last_signed_in_at, self.unlocked_at) if at is not None), default=None)

    def may_sign_in(self, at: datetime) -> bool:
        """Whether the right password opens the account now."""
        if self.disabled_at is not None or self.locked_at is not None or self.organization.ended_at is not None:
            return False
        if self.is_ended(at):
            return False
        return self.one_time_until is None or (self.one_time_used_at is None and at < self.one_time_until)

    def is_ended(self, at: datetime) -> bool:
        """Whether its last day or its emergency is over. Needs `organization` loaded."""
        return is_emergency_over(self.emergency_until, at) or is_past_last_day(
            self.ends_on, at, self.organization.time_zone
        )

    def begin_emergency(self, because: str, at: datetime) -> None:
        """Let a new account end by itself after 72 hours."""
        self.emergency_until, self.emergency_because = at + EMERGENCY_LASTS, because

    def as_hashed(self, typed: str) -> str:
        """Return what was typed as it was hashed: a password as typed, a one-time code without its dashes."""
        return plain_code(typed) if self.must_change_password else typed

    def begin_code(self, at: datetime) -> str:
        """Let a new one-time code, returned, open the account in place of any password (S-108)."""
        code = one_time_code()
        self.password_hash = passwords.hash(plain_code(code))
        self.one_time_until, self.one_time_used_at = at + CODE_LASTS, None
        self.shown_code = code
        return code

    def choose_password(self, hashed: str, at: datetime) -> None:
        """Take the person's own password; no code opens the account any more."""
        self.password_hash, self.password_changed_at = hashed, at
        self.one_time_until = self.one_time_used_at = None

    def lock(self, at: datetime) -> None:
        """Lock the account until an administrator unlocks it (S-101)."""
        self.locked_at = at

    def unlock(self, at: datetime) -> None:
        """Open it again; earlier attempts count no more."""
        if self.locked_at is None:
            raise NotLockedError
        self.locked_at, self.unlocked_at = None, at

    def disable(self, *, at: datetime, by: UUID | None, because: str) -> None:
        """End the account. Its row, its name and what it did stay."""
        self.require_enabled()
        self.disabled_at, self.disabled_by, self.disabled_because = at, by, because

    def reason_to_disable(self, at: datetime) -> str | None:
        """Return why the service ends it now (S-804); None where it does not. Needs `organization` loaded."""
        if is_emergency_over(self.emergency_until, at):
            return BECAUSE_EMERGENCY_OVER
        if is_past_last_day(self.ends_on, at, self.organization.time_zone):
            return BECAUSE_ENDED
        if self.integration_at is not None:
            return None  # it signs in nowhere: its last day ends it
        used = max(one for one in (self.added_at, self.last_signed_in_at, self.enabled_at) if one is not None)
        return BECAUSE_IDLE if at - used >= IDLE_AFTER else None

    def enable(self, at: datetime) -> None:
        """Let it be used again, by a new one-time code; its second factor stays. Needs `organization` loaded.

        Raises:
            NotDisabledError: it is in use.
            EmergencyOverError, LastDayPassedError: it would end at once.
        """
        if self.disabled_at is None:
            raise NotDisabledError
        if is_emergency_over(self.emergency_until, at):
            raise EmergencyOverError
        if is_past_last_day(self.ends_on, at, self.organization.time_zone):
            raise LastDayPassedError
        self.disabled_at = self.disabled_by = self.disabled_because = None
        self.enabled_at = at
        self.begin_code(at)

    def require_enabled(self) -> None:
        """Refuse when the account is disabled."""
        if self.disabled_at is not None:
            raise UserDisabledError

    def grant(self, role: Role, *, at: datetime, by: UUID | None) -> RoleGrant:
        """Return the new grant of a role, or refuse. Needs `grants` and `organization` loaded."""
        self.require_enabled()
        if role in self.roles:
            raise RoleHeldError
        require_fitting({*self.roles, role}, Side(self.organization.side))
        return RoleGrant(user_id=self.id, role=role.value, granted_at=at, granted_by=by)

    def propose(self, role: Role, *, at: datetime, by: UUID) -> RoleProposal:
        """Return the proposal of a powerful role, or refuse. Needs `grants` and `organization` loaded."""
        self.grant(role, at=at, by=by)  # whatever speaks against it is said now, not when it is confirmed
        return RoleProposal(user_id=self.id, role=role.value, proposed_at=at, proposed_by=by)

    def context_words(self) -> list[str]:
        """Return the names this person would think of when choosing a password. Needs `organization` loaded."""
        named = self.organization.name
        initials = "".join(word[0] for word in re.split(r"[\W_]+", named) if word)
        return [self.sign_in_name, self.display_name, named, initials, self.organization.city or ""]

    def step(self, sign_in: SignIn, *, has_factor: bool, acknowledged_at: datetime | None) -> str:
        """Return what this sign-in still lacks: a code, a password of one's own, a second factor, the rules, nothing.

        `acknowledged_at` is when the person last acknowledged the rules in force.
        """
        return step_of(
            is_given=sign_in.second_factor_at is not None,
            must_change=self.must_change_password,
            has_factor=has_factor,
            knows_rules=rules_count(acknowledged_at, sign_in.started_at),
        )


def step_of(*, is_given: bool, must_change: bool, has_factor: bool, knows_rules: bool) -> str:
    """Return what a sign-in still lacks, as `User.step`, from what was read of its rows."""
    if has_factor and not is_given:
        return SECOND_FACTOR
    if must_change:
        return NEW_PASSWORD
    if not has_factor:
        return ENROLL
    return FULL if knows_rules else RULES


def rules_count(acknowledged_at: datetime | None, started_at: datetime) -> bool:
    """Whether rules acknowledged then count for a sign-in that began at `started_at` (S-803).

    The year is counted to the beginning of the sign-in, so that nobody is stopped in the middle of a form.
    """
    return acknowledged_at is not None and started_at < acknowledged_at + RULES_LAST


def require_fitting(roles: Iterable[Role], side: Side) -> None:
    """Refuse roles that do not go with the side, or with each other."""
    wanted = set(roles)
    if not wanted <= set(ROLES[side]):
        raise RoleNotOfSideError
    if Role.AUDITOR in wanted and len(wanted) > 1:
        raise AuditorAloneError


class RoleGrant(Identified):
    """What somebody works as, from when, given by whom (None: the operator)."""

    __tablename__ = "role_grant"
    __table_args__ = (
        Index(
            "uq_role_grant_in_force",
            "user_id",
            "role",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    user_id: Mapped[UUID] = public(ForeignKey("user.id"), index=True)
    role: Mapped[str] = public(String(30))
    granted_at: Mapped[datetime] = public()
    granted_by: Mapped[UUID | None] = public()
    ended_at: Mapped[datetime | None] = public()
    ended_by: Mapped[UUID | None] = public()

    user: Mapped[User] = related("User")

    def end(self, *, at: datetime, by: UUID | None) -> None:
        """End the role."""
        if self.ended_at is not None:
            raise RoleEndedError
        self.ended_at, self.ended_by = at, by


class RoleProposal(Identified):
    """A powerful role that one administrator proposed, until another confirms or refuses it (S-802)."""

    __tablename__ = "role_proposal"
    __table_args__ = (
        Index(
            "uq_role_proposal_waiting",
            "user_id",
            "role",
            unique=True,
            sqlite_where=text("settled_at IS NULL"),
            postgresql_where=text("settled_at IS NULL"),
        ),
    )

    user_id: Mapped[UUID] = public(ForeignKey("user.id"), index=True)
    role: Mapped[str] = public(String(30))
    proposed_at: Mapped[datetime] = public()
    proposed_by: Mapped[UUID] = public()
    settled_at: Mapped[datetime | None] = public()
    #: None with `settled_at`: the operator, for an organization without a second administrator.
    settled_by: Mapped[UUID | None] = public()
    outcome: Mapped[str | None] = public(String(10))
    #: Why it was refused.
    because: Mapped[str | None] = personal(String(400))

    user: Mapped[User] = related("User")

    def settle(self, outcome: str, *, at: datetime, by: UUID | None, because: str | None = None) -> None:
        """End the waiting, once.

        Raises:
            ProposalSettledError: somebody was faster.
        """
        if self.settled_at is not None:
            raise ProposalSettledError
        self.outcome, self.settled_at, self.settled_by, self.because = outcome, at, by, because


class AccountChange(Identified):
    """What changed on somebody's account, when, by whom: told to them, so that they notice what was not they (S-806).

    The other rows keep how things stand, not what happened: an unlocking leaves no name, a reset no trace. The log
    keeps both, and only the room that reads the log does.
    """

    __tablename__ = "account_change"
    __table_args__ = (Index("ix_account_change_user_id_at", "user_id", "at"),)

    user_id: Mapped[UUID] = public(ForeignKey("user.id"))
    #: `password_changed`, `password_reset`, `factor_added`, `factor_replaced`, `codes_made`, `locked`, `unlocked`,
    #: `role_given`, `role_ended`, `disabled`, `enabled`, `last_day_set`, `last_day_removed`.
    what: Mapped[str] = public(String(20))
    role: Mapped[str | None] = public(String(30))
    ends_on: Mapped[date | None] = public()
    at: Mapped[datetime] = public()
    #: None: the operator, or the service itself where `automatic` says so.
    by: Mapped[UUID | None] = public()
    automatic: Mapped[bool] = public()


#: What a review of accounts decides about one: it stays as it is, something about it is to be changed, it ends at once.
KEEP, CHANGE, DISABLE = "keep", "change", "disable"
REVIEW_DECISIONS: Final = (KEEP, CHANGE, DISABLE)
#: Every account is reviewed within so long of the last time, or of when it was made (S-805; CJIS AC-2 j, AC-6(7)).
REVIEWED_WITHIN: Final = timedelta(days=365)
#: One round of a review: an account decided so lately, in the roles it still has, is not asked about again. What is
#: left after somebody signed is their own account, for somebody else.
REVIEW_ROUND: Final = timedelta(days=30)


class ReviewListChangedError(RuleBrokenError):
    """Accounts changed, came or went since the list was read; `facts` name whose."""

    code = "review_list_changed"


class NothingToReviewError(RuleBrokenError):
    """Every account that is theirs to decide was decided lately."""

    code = "nothing_to_review"


class AccessReview(Identified):
    """That somebody went through the accounts of an organization and signed: who, when. Never changed (S-805)."""

    __tablename__ = "access_review"

    organization_id: Mapped[UUID] = public(ForeignKey("organization.id"), index=True)
    at: Mapped[datetime] = public()
    #: None: the operator, for the only administrator.
    by: Mapped[UUID | None] = public()

    lines: Mapped[list[AccessReviewLine]] = related("AccessReviewLine", order_by="AccessReviewLine.id")


class AccessReviewLine(Identified):
    """What a review decided about one account, in the roles it had then. Never changed."""

    __tablename__ = "access_review_line"

    review_id: Mapped[UUID] = public(ForeignKey("access_review.id"), index=True)
    user_id: Mapped[UUID] = public(ForeignKey("user.id"), index=True)
    roles: Mapped[list[str]] = public(JSON)
    decision: Mapped[str] = public(String(10))


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
            cls(user_id=user_id, number=number, code_hash=recovery.hash(plain_code(code)), made_at=at)
            for number, code in enumerate(codes, 1)
        ]
        return rows, [f"{number}-{code}" for number, code in enumerate(codes, 1)]

    def holds(self, typed: str) -> bool:
        """Return whether this is the code; it works once."""
        return self.used_at is None and self.ended_at is None and recovery.verify(self.code_hash, typed)


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

    user: Mapped[User] = related("User")

    #: The token just made, in clear, for the cookie; and recovery codes just made, to be shown once.
    token: str | None = None
    shown_codes: Sequence[str] = ()

    @classmethod
    def start(cls, user_id: UUID, *, channel: str, at: datetime) -> SignIn:
        """Return a new sign-in after the password alone."""
        made = cls(user_id=user_id, channel=channel, started_at=at, notice_at=at)
        made.renew_token()
        return made

    def renew_token(self) -> None:
        """Take a new token: the old one opens nothing from now on."""
        self.token = secrets.token_urlsafe(32)
        self.token_hash = token_hash(self.token)

    def prove(self, at: datetime) -> None:
        """Keep that the second factor was given now."""
        self.second_factor_at = self.fresh_at = at

    def is_over(self, at: datetime, used_at: datetime, limits: Limits) -> bool:
        """Whether it ended, was left idle, or has lasted long enough."""
        return is_over(self.ended_at, self.started_at, used_at, at, limits)

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


# --- API tokens ------------------------------------------------------------------------------------------------------

#: What an integration may work as, by the side of its organization: never what needs a second person to be given
#: (S-802), nor what administers or audits.
TOKEN_ROLES: Final[dict[str, tuple[Role, ...]]] = {
    side: tuple(role for role in roles if role not in POWERFUL) for side, roles in ROLES.items()
}
#: What a token may be used for, by the side of its organization: each but what only the other side writes.
SCOPES_OF_SIDE: Final[dict[str, tuple[TokenScope, ...]]] = {
    side: tuple(scope for scope in TokenScope if scope is not theirs)
    for side, theirs in ((Side.AGENCY, TokenScope.PROGRAMS_WRITE), (Side.COMMUNITY, TokenScope.RELEASES_WRITE))
}
#: What every token begins with, so that whoever scans files for secrets finds it.
RECOGNIZED_BY: Final = "tg_"
_TOKEN_BYTES: Final = 32


def latest_last_day(today: date) -> date:
    """Return the latest last day of a token made today: the same day of the next year (S-808)."""
    try:
        return today.replace(year=today.year + 1)
    except ValueError:  # February 29
        return today.replace(year=today.year + 1, day=28)


class ApiToken(Identified):
    """What an integration shows at the JSON door: `tg_` and 64 hexadecimal digits (S-808, ASVS 13.2.1).

    The row holds SHA-256 of the text; the text is shown once, to whoever made it. It works through its last day, where
    the organization is. Several of one integration may work at once, so that it can change from one to the next.
    """

    __tablename__ = "api_token"
    __allow_unmapped__ = True

    user_id: Mapped[UUID] = public(ForeignKey("user.id"), index=True)
    token_hash: Mapped[bytes] = personal(LargeBinary, unique=True)
    scopes: Mapped[list[str]] = public(JSON)
    ends_on: Mapped[date] = public()
    made_at: Mapped[datetime] = public()
    made_by: Mapped[UUID] = public()
    ended_at: Mapped[datetime | None] = public()
    ended_by: Mapped[UUID | None] = public()
    ended_because: Mapped[str | None] = personal(String(400))

    user: Mapped[User] = related("User")

    #: The text just made: shown once, then gone.
    shown_token: str | None = None

    @classmethod
    def make(cls, user_id: UUID, scopes: Sequence[str], ends_on: date, *, at: datetime, by: UUID) -> ApiToken:
        """Return a new token of an integration, with its text in `shown_token`."""
        shown = RECOGNIZED_BY + secrets.token_hex(_TOKEN_BYTES)
        made = cls(
            user_id=user_id,
            token_hash=token_hash(shown),
            scopes=sorted(scopes),
            ends_on=ends_on,
            made_at=at,
            made_by=by,
        )
        made.shown_token = shown
        return made

    def is_over(self, today: date) -> bool:
        """Whether it opens nothing any more, on this day where its organization is."""
        return self.ended_at is not None or today > self.ends_on

    def revoke(self, *, at: datetime, by: UUID | None, because: str) -> None:
        """End it before its last day."""
        if self.ended_at is not None:
            raise TokenOverError
        self.ended_at, self.ended_by, self.ended_because = at, by, because


class ApiTokenUse(Base):
    """On which day a token was last used, where its organization is. Bookkeeping: each use has its own event."""

    __tablename__ = "api_token_use"
    __audited__ = False

    token_id: Mapped[UUID] = public(ForeignKey("api_token.id"), primary_key=True)
    used_on: Mapped[date | None] = public()


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


# --- the outbox ------------------------------------------------------------------------------------------------------


class Notice(Base):
    """That somebody is to be told of something: who, what kind, about which row. Ids alone, never content.

    Written in the transaction of the act that is told of; `dedupe_key` lets the same thing be told once. It goes with
    a mail, or is dropped: when it was time, its ground was gone, or the person wanted no mail.
    """

    __tablename__ = "notice"
    __audited__ = False
    __table_args__ = (
        Index(
            "ix_notice_waiting",
            "user_id",
            "id",
            sqlite_where=text("mail_id IS NULL AND dropped_at IS NULL"),
            postgresql_where=text("mail_id IS NULL AND dropped_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = public(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = public(ForeignKey("user.id"))
    kind: Mapped[str] = public(String(60))
    target_id: Mapped[UUID] = public()
    is_urgent: Mapped[bool] = public()
    at: Mapped[datetime] = public()
    dedupe_key: Mapped[str] = public(unique=True)
    mail_id: Mapped[UUID | None] = public(ForeignKey("mail.id"), index=True)
    dropped_at: Mapped[datetime | None] = public()

    def is_due(self, choice: MailChoice, hour: int, zone: str, now: datetime) -> bool:
        """Whether it is time to tell it to somebody who chose so."""
        if self.is_urgent or choice is MailChoice.AT_ONCE:
            return True
        return digest_after(self.at, hour, zone) <= now


class Mail(Base):
    """One message to one person, written from notices when it is sent. What it said is the same for everybody.

    `begun_at` is set before the server is spoken to and taken back when it is certain that it did not take the message:
    what was begun and came to no known end is never sent again.
    """

    __tablename__ = "mail"
    __audited__ = False

    id: Mapped[UUID] = public(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = public(ForeignKey("user.id"), index=True)
    at: Mapped[datetime] = public()
    tries: Mapped[int] = public(default=0)
    begun_at: Mapped[datetime | None] = public()
    sent_at: Mapped[datetime | None] = public()
    failed_at: Mapped[datetime | None] = public(index=True)
    dropped_at: Mapped[datetime | None] = public()
    error_code: Mapped[str | None] = public(String(40))
