"""The yearly review of an organization's accounts, and the rules of looking after them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped

from referrals.kernel.errors import RuleBrokenError
from referrals.kernel.orm import Identified, public, related

BECAUSE_REVIEWED: Final = "The yearly review of accounts"


class AccountKeptError(RuleBrokenError):
    """The account is in use and its last day has not passed, so the service leaves it alone."""

    code = "account_kept"


class SecondPersonNeededError(RuleBrokenError):
    """One administrator alone cannot give this role: it is proposed, and another one confirms it."""

    code = "second_person_needed"


class RoleProposedError(RuleBrokenError):
    """The role was proposed for this user, and waits."""

    code = "role_proposed_before"


class SecondAdministratorError(RuleBrokenError):
    """The organization has another administrator who can confirm, so the operator does not."""

    code = "second_administrator"


# --- the yearly review of accounts -----------------------------------------------------------------------------------

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
