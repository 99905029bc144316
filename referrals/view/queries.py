"""Reading saved views and kept searches: one's own, and the team's views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.orm import Session

from referrals.kernel.actor import Actor
from referrals.kernel.errors import NotFoundError
from referrals.kernel.record import clock
from referrals.view.models import SEARCH_KEPT, DefaultView, KeptSearch, SavedView


def views_within(actor: Actor) -> Select[SavedView]:
    """Select the saved views an actor may use: their own, and those of their organization's team."""
    team = and_(SavedView.is_team, SavedView.organization_id == actor.organization_id)
    return select(SavedView).where(or_(SavedView.user_id == actor.user_id, team), SavedView.withdrawn_at.is_(None))


@dataclass(frozen=True, slots=True)
class View:
    """A saved view as one person sees it."""

    id: UUID
    version: int
    listing: str
    name: str
    query: str
    is_team: bool
    is_own: bool
    is_default: bool


def views(session: Session, actor: Actor, *, listing: str | None = None) -> list[View]:
    """Return the saved views this person may use, by list and name: of one list, or of all."""
    statement = views_within(actor).outerjoin(
        DefaultView, and_(DefaultView.view_id == SavedView.id, DefaultView.user_id == actor.user_id)
    )
    if listing is not None:
        statement = statement.where(SavedView.listing == listing)
    found = [view_of(row, actor, chosen) for row, chosen in session.execute(statement.add_columns(DefaultView.id))]
    return sorted(found, key=lambda one: (one.listing, one.name.casefold(), one.id))


def view_of(row: SavedView, actor: Actor, default_id: UUID | None) -> View:
    """Return a saved view as this person sees it."""
    own, is_default = row.user_id == actor.user_id, default_id is not None
    return View(row.id, row.version, row.listing, row.name, row.query, row.is_team, own, is_default)


def view(session: Session, actor: Actor, view_id: UUID) -> View:
    """Return one saved view.

    Raises:
        NotFoundError: there is none with this id that this person may use.
    """
    found = [one for one in views(session, actor) if one.id == view_id]
    if not found:
        raise NotFoundError
    return found[0]


def kept_search(session: Session, actor: Actor, search_id: UUID) -> dict[str, Any] | None:
    """Return what this person typed into a search, for 8 hours; None for another's, an older one, or none at all."""
    since = clock(session) - SEARCH_KEPT
    mine = (KeptSearch.id == search_id, KeptSearch.user_id == actor.me, KeptSearch.at > since)
    found = session.scalars(select(KeptSearch).where(*mine)).one_or_none()
    return cast("dict[str, Any]", found.words) if found is not None else None
