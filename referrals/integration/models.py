"""API tokens, and the day each was last used."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import date, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped

from referrals.account.models import POWERFUL, ROLES, User
from referrals.kernel.actor import Role, Side, TokenScope
from referrals.kernel.errors import RuleBrokenError
from referrals.kernel.orm import Base, Identified, personal, public, related
from referrals.sign_in.models import token_hash


class TokenOverError(RuleBrokenError):
    """The API token was revoked, or its last day has passed."""

    code = "token_over"


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
