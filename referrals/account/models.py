"""Users and what they work as, their passwords, and what changed on their accounts."""

from __future__ import annotations

import re
import secrets
import threading
import unicodedata
from base64 import b64encode
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped

from referrals.kernel import crypto
from referrals.kernel.actor import Role, Side
from referrals.kernel.errors import RuleBrokenError
from referrals.kernel.orm import Identified, personal, public, related
from referrals.kernel.record import day_of
from referrals.organization.models import Organization

#: A one-time code opens an account for a day (S-108).
CODE_LASTS: Final = timedelta(hours=24)
#: An account that nobody signed in to for so long is disabled (S-804; CJIS AC-2(3)).
IDLE_AFTER: Final = timedelta(days=90)
#: Why the service disables an account.
BECAUSE_IDLE: Final = "Nobody signed in for 90 days"
BECAUSE_ENDED: Final = "The last day of the account has passed"

BECAUSE_EMERGENCY_OVER: Final = "An emergency account ends after 72 hours"
#: How long an account made for an emergency lasts. Nothing extends it (S-804; CJIS AC-2(2)).
EMERGENCY_LASTS: Final = timedelta(hours=72)

#: Bounds of a password, in characters (S-106).
SHORTEST, LONGEST = 15, 128

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

#: Codes of the languages that somebody may read this service in.
LANGUAGES: Final = ("en", "es")

#: What is still missing before a sign-in may do anything.
SECOND_FACTOR, NEW_PASSWORD, ENROLL, RULES, FULL = "second_factor", "new_password", "enroll", "rules", "full"


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


class ProposalSettledError(RuleBrokenError):
    """The proposed role was confirmed or refused, or its proposal lapsed."""

    code = "proposal_settled"


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
_ONE_TIME, _GROUP = 16, 4


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
    #: When two colleagues said that all second factors of this account are lost; None once another is set up (S-105).
    factor_lost_at: Mapped[datetime | None] = public()
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

    def is_open(self, at: datetime) -> bool:
        """Whether the account may be used at all now, however its person comes in. Needs `organization` loaded."""
        if self.disabled_at is not None or self.locked_at is not None or self.organization.ended_at is not None:
            return False
        return not self.is_ended(at)

    def may_sign_in(self, at: datetime) -> bool:
        """Whether the right password opens the account now."""
        if not self.is_open(at):
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
    __table_args__ = (
        Index("ix_account_change_user_id_at", "user_id", "at"),
        Index("ix_account_change_at", "at"),  # whom to tell by mail
    )

    user_id: Mapped[UUID] = public(ForeignKey("user.id"))
    #: `password_changed`, `password_reset`, `factor_added`, `factor_replaced`, `codes_made`, `passkey_added`,
    #: `passkey_removed`, `passkey_copied`, `issuer_added`, `issuer_removed`, `sheet_added`, `sheet_replaced`,
    #: `sheet_lost`, `locked`, `unlocked`, `role_given`, `role_ended`, `disabled`, `enabled`, `last_day_set`,
    #: `last_day_removed`, `recovery_started`, `recovery_ended`, `recovery_used`, `factor_lost`.
    what: Mapped[str] = public(String(20))
    role: Mapped[str | None] = public(String(30))
    ends_on: Mapped[date | None] = public()
    at: Mapped[datetime] = public()
    #: None: the operator, or the service itself where `automatic` says so.
    by: Mapped[UUID | None] = public()
    automatic: Mapped[bool] = public()
