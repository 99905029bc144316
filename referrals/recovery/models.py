"""Recoveries of a lost second factor, and the rules that hold for one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, String, and_, column, or_
from sqlalchemy.orm import Mapped

from referrals.account import models as account
from referrals.account.models import User, plain_code, random_code
from referrals.kernel.errors import RuleBrokenError
from referrals.kernel.orm import Identified, personal, public, related

#: From the first colleague's word on, everything about a recovery is over after so long.
LASTS: Final = timedelta(hours=24)
#: Letters of each half of the code, 5 bits each: whoever holds the other half still lacks 60.
_HALF: Final = 12

#: How a colleague made sure who is asking, strongest first.
PHOTO_ID, KNOWN_IN_PERSON, KNOWN_ON_VIDEO, CALLED_BACK = (
    *("photo_id_in_person", "known_in_person", "known_on_video"),
    "called_back",
)
PROOFINGS: Final = (PHOTO_ID, KNOWN_IN_PERSON, KNOWN_ON_VIDEO, CALLED_BACK)
#: A voice on the telephone was seen by nobody: one of the two has to see the person (NIST SP 800-63A).
SEEN: Final = frozenset({PHOTO_ID, KNOWN_IN_PERSON, KNOWN_ON_VIDEO})

#: Why a recovery is refused: a closed list, so that no number of anybody's document is ever written down.
REASONS: Final = ("not_asked_for", "not_sure", "not_reached", "found_again", "by_mistake")

#: Where a recovery stands, and how it was settled before its time.
WAITING, CONFIRMED, USED, REFUSED, WITHDRAWN, LAPSED = (
    *("waiting", "confirmed", "used"),
    *("refused", "withdrawn", "lapsed"),
)


class NothingLostError(RuleBrokenError):
    """The person has not set up a second factor yet, so there is none to recover: a one-time code lets them in."""

    code = "nothing_lost"


class RecoveryUnderWayError(RuleBrokenError):
    """Another recovery of the same person waits or can still be used."""

    code = "recovery_under_way"


class RecoveryOverError(RuleBrokenError):
    """It was confirmed, used, refused or withdrawn, its day has passed, or somebody in it may not act any more."""

    code = "recovery_over"


class AdministratorThereError(RuleBrokenError):
    """The organization has an administrator who can begin, so the operator does not."""

    code = "administrator_there"


class SecondColleagueThereError(RuleBrokenError):
    """The organization has somebody who can be the second, so the operator is not."""

    code = "second_colleague_there"


class OperatorTwiceError(RuleBrokenError):
    """Whoever began it cannot be the second as well: that is the operator, since grants refuse everybody else."""

    code = "operator_twice"


class FactorRecovery(Identified):
    """That somebody lost their second factor: who says so, how each made sure, and what became of it."""

    __tablename__ = "factor_recovery"
    __allow_unmapped__ = True
    __table_args__ = (
        CheckConstraint(
            and_(
                column("user_id").is_distinct_from(column("first_by")),
                column("user_id").is_distinct_from(column("second_by")),
                or_(column("second_at").is_(None), column("first_by").is_distinct_from(column("second_by"))),
            ),
            name="two_people",
        ),
    )

    user_id: Mapped[UUID] = public(ForeignKey("user.id"), index=True)
    #: None: the operator, where the organization has no administrator but the person.
    first_by: Mapped[UUID | None] = public()
    first_how: Mapped[str] = public(String(30))
    first_at: Mapped[datetime] = public()
    first_half_hash: Mapped[str] = personal(String(200))
    expires_at: Mapped[datetime] = public()
    #: None with `second_at`: the operator, where the organization has nobody else.
    second_by: Mapped[UUID | None] = public()
    second_how: Mapped[str | None] = public(String(30))
    second_at: Mapped[datetime | None] = public()
    second_half_hash: Mapped[str | None] = personal(String(200))
    outcome: Mapped[str | None] = public(String(10))
    settled_at: Mapped[datetime | None] = public()
    settled_by: Mapped[UUID | None] = public()
    because: Mapped[str | None] = public(String(20))
    used_at: Mapped[datetime | None] = public()

    user: Mapped[User] = related("User")

    #: The half of the code just made, in clear: shown once to whoever caused it, then gone.
    shown_half: str | None = None

    @classmethod
    def begin(cls, user_id: UUID, *, by: UUID | None, how: str, at: datetime) -> FactorRecovery:
        """Return a recovery on the word of a first colleague; their half of the code stands in `shown_half`."""
        half, hashed = _new_half()
        made = cls(user_id=user_id, first_by=by, first_how=how, first_at=at, first_half_hash=hashed)
        made.expires_at, made.shown_half = at + LASTS, half
        return made

    @property
    def began_by_operator(self) -> bool:
        """Whether the operator was the first."""
        return self.first_by is None

    def state(self, at: datetime) -> str:
        """Return where it stands. Time alone lets it lapse: nobody has to write that down."""
        if self.used_at is not None:
            return USED
        if self.outcome is not None:
            return self.outcome
        if at >= self.expires_at:
            return LAPSED
        return WAITING if self.second_at is None else CONFIRMED

    def confirm(self, *, by: UUID | None, how: str, at: datetime) -> None:
        """Take the word of a second colleague; their half of the code stands in `shown_half`.

        Raises:
            RecoveryOverError: it waits for nobody (any more).
            OperatorTwiceError: one would be both, or speak for themselves.
        """
        if self.state(at) != WAITING:
            raise RecoveryOverError
        if by in {self.first_by, self.user_id}:  # nobody in particular is the operator
            raise OperatorTwiceError
        half, hashed = _new_half()
        self.second_by, self.second_how, self.second_at, self.second_half_hash = by, how, at, hashed
        self.shown_half = half

    def settle(self, outcome: str, *, by: UUID | None, at: datetime, because: str | None = None) -> None:
        """End it before its time: its code works no more.

        Raises:
            RecoveryOverError: it is over.
        """
        if self.state(at) not in {WAITING, CONFIRMED}:
            raise RecoveryOverError
        self.outcome, self.settled_by, self.settled_at, self.because = outcome, by, at, because

    def use(self, at: datetime) -> None:
        """Keep that its code was used.

        Raises:
            RecoveryOverError: two colleagues did not confirm it within its time, or it was used before.
        """
        if self.state(at) != CONFIRMED:
            raise RecoveryOverError
        self.used_at = at


def _new_half() -> tuple[str, str]:
    half = random_code(_HALF)
    return half, account.recovery.hash(plain_code(half))


def holds(recovery: FactorRecovery | None, first_half: str, second_half: str) -> bool:
    """Return whether these are the two halves; without a recovery no, at the same cost (S-102)."""
    nobody = account.recovery.nobody
    hashes = (nobody, nobody) if recovery is None else (recovery.first_half_hash, recovery.second_half_hash or nobody)
    right = [
        account.recovery.verify(hashed, plain_code(typed))
        for hashed, typed in zip(hashes, (first_half, second_half), strict=True)
    ]
    return all(right)
