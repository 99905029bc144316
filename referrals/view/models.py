"""Saved views of lists, which one a list opens with, and what was typed into a search."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped

from referrals.kernel import crypto
from referrals.kernel.errors import RuleBrokenError
from referrals.kernel.orm import Identified, public

#: So long what was typed into a search is kept for whoever typed it.
SEARCH_KEPT: Final = timedelta(hours=8)


class ViewWithdrawnError(RuleBrokenError):
    """The saved view was removed before."""

    code = "view_withdrawn"


class SavedView(Identified):
    """Filters and order of a list under a name: somebody's own, or their organization's."""

    __tablename__ = "saved_view"
    __house_key__ = "staff"
    __table_args__ = (
        Index("ix_saved_view_user_id_listing", "user_id", "listing"),
        Index("ix_saved_view_organization_id_listing", "organization_id", "listing"),
    )

    user_id: Mapped[UUID] = public(ForeignKey("user.id"))
    organization_id: Mapped[UUID] = public(ForeignKey("organization.id"))
    #: The list's name among `Listing`s.
    listing: Mapped[str] = public(String(40))
    #: Typed by a person, who may name somebody in it.
    name = crypto.sealed(crypto.text)
    #: What stands behind the question mark; ids and words about programs may be in it.
    query = crypto.sealed(crypto.text)
    is_team: Mapped[bool] = public()
    saved_at: Mapped[datetime] = public()
    version: Mapped[int] = public(default=1)
    withdrawn_at: Mapped[datetime | None] = public()
    withdrawn_by: Mapped[UUID | None] = public()

    def rename(self, name: str) -> list[str]:
        """Give it another name; return the changed fields for the record."""
        self._require_in_use()
        self.name, self.version = name, self.version + 1
        return ["name", "version"]

    def withdraw(self, *, at: datetime, by: UUID | None) -> list[str]:
        """Take it out of use; return the changed fields for the record."""
        self._require_in_use()
        self.withdrawn_at, self.withdrawn_by, self.version = at, by, self.version + 1
        return ["withdrawn_at", "withdrawn_by", "version"]

    def _require_in_use(self) -> None:
        if self.withdrawn_at is not None:
            raise ViewWithdrawnError


class DefaultView(Identified):
    """The view somebody's list opens with; None when it opens with everything."""

    __tablename__ = "default_view"
    __table_args__ = (UniqueConstraint("user_id", "listing"),)

    user_id: Mapped[UUID] = public(ForeignKey("user.id"))
    listing: Mapped[str] = public(String(40))
    view_id: Mapped[UUID | None] = public(ForeignKey("saved_view.id"))


class KeptSearch(Identified):
    """What somebody typed into the search box, so that Back and reloading find it again without it being in a URL.

    Owner-only, sealed, gone after 8 hours (S-309). Bookkeeping: the search itself is a look, and on record.
    """

    __tablename__ = "kept_search"
    __audited__ = False
    __house_key__ = "staff"
    __table_args__ = (Index("ix_kept_search_at", "at"),)

    user_id: Mapped[UUID] = public(ForeignKey("user.id"))
    words = crypto.sealed(crypto.structure, padded=True)
    at: Mapped[datetime] = public()
