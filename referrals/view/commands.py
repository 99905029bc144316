"""What can be done about saved views: keep one, name it, let a list open with it, take it out of use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from marshmallow import fields
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from referrals.account import queries as accounts
from referrals.account.models import User
from referrals.account.policy import is_oneself
from referrals.kernel.actor import Actor
from referrals.kernel.command import Work, command
from referrals.kernel.errors import InvalidInputError
from referrals.kernel.job import job_kind
from referrals.kernel.record import clock, commit, start_writing
from referrals.kernel.schema import Nothing, Takes, line, uid, yes_no
from referrals.view import policy as p
from referrals.view import queries as q
from referrals.view.models import SEARCH_KEPT, DefaultView, KeptSearch, SavedView


@dataclass(frozen=True, slots=True)
class Listing:
    """A list whose filters can be saved: where it stands, and the schema of what stands in its address."""

    url: str
    takes: type[Takes]
    #: What says where a page begins, which is nobody's view.
    paging: tuple[str, ...] = ("after", "limit")

    def understood(self, query: str) -> str:
        """Return what is worth keeping of an address, in a fixed order.

        Raises:
            InvalidInputError: the list would not take it.
        """
        takes = self.takes()
        given: dict[str, Any] = {}
        for name, value in parse_qsl(query.removeprefix("?")):
            if isinstance(takes.fields.get(name), fields.List):
                given.setdefault(name, []).append(value)
            elif name not in self.paging:
                given[name] = value
        try:
            takes.understood(given)
        except InvalidInputError:
            raise InvalidInputError({"query": ["not_of_this_list"]}) from None
        return urlencode(sorted(given.items()), doseq=True)


#: The lists whose filters can be saved, by name; the rooms that own them declare them.
LISTINGS: dict[str, Listing] = {}


def declare_listing(name: str, url: str, takes: type[Takes]) -> None:
    """Let a list's filters be saved under a name."""
    LISTINGS[name] = Listing(url, takes)


class SaveView(Takes):
    """A list, what stands behind the question mark of its address, and a name; for oneself or for the team."""

    listing = line(40)
    query = line(2000, least=0, required=False)
    name = line(60)
    team = yes_no()


class RenameView(Takes):
    """A saved view's other name."""

    name = line(60)


class ChooseDefaultView(Takes):
    """The view a list opens with; without one it opens with everything."""

    listing = line(40)
    view_id = uid(required=False)


@command(
    records="account.view_saved",
    on=User,
    makes=SavedView,
    takes=SaveView,
    within=accounts.oneself,
    allow=[[is_oneself]],
    purpose="administration",
)
def save_view(work: Work, user: User, *, listing: str, query: str | None, name: str, team: bool) -> SavedView:
    """Keep the filters and order of a list under a name.

    Raises:
        InvalidInputError: no such list, filters it would not take, or a team's view by whoever may not share.
    """
    if team and not p.shares_views(work.actor):
        raise InvalidInputError({"team": ["not_yours"]})
    kept = _listing(listing).understood(query or "")
    view = SavedView(
        user_id=user.id,
        organization_id=user.organization_id,
        listing=listing,
        name=name,
        query=kept,
        is_team=team,
        saved_at=work.now,
        version=1,
    )
    work.add(view)
    return view


def _listing(name: str) -> Listing:
    if name not in LISTINGS:
        raise InvalidInputError({"listing": ["not_a_choice"]})
    return LISTINGS[name]


@command(
    records="account.view_renamed",
    on=SavedView,
    makes=SavedView,
    takes=RenameView,
    within=q.views_within,
    allow=[[p.holds_it]],
    purpose="administration",
)
def rename_view(work: Work, view: SavedView, *, name: str) -> SavedView:
    """Give one's own saved view another name: nobody else may, so that no version has to be shown."""
    work.record(view, view.rename(name))
    return view


@command(
    records="account.view_withdrawn",
    on=SavedView,
    makes=SavedView,
    takes=Nothing,
    within=q.views_within,
    allow=[[p.holds_it]],
    purpose="administration",
)
def withdraw_view(work: Work, view: SavedView) -> SavedView:
    """Take a saved view out of use; lists that opened with it open with everything again."""
    work.record(view, view.withdraw(at=work.now, by=work.actor.user_id))
    return view


@command(
    records="account.team_view_withdrawn",
    on=SavedView,
    makes=SavedView,
    takes=Nothing,
    within=q.views_within,
    allow=[[p.keeps_the_teams]],
    purpose="administration",
)
def withdraw_team_view(work: Work, view: SavedView) -> SavedView:
    """Take a colleague's view for the team out of use: whoever saved it may have left."""
    work.record(view, view.withdraw(at=work.now, by=work.actor.user_id))
    return view


@command(
    records="account.default_view_set",
    on=User,
    makes=DefaultView,
    takes=ChooseDefaultView,
    within=accounts.oneself,
    allow=[[is_oneself]],
    purpose="administration",
)
def choose_default_view(work: Work, user: User, *, listing: str, view_id: UUID | None) -> DefaultView:
    """Let a list open with one view, or with everything: one choice for each list and person.

    Raises:
        InvalidInputError: no such list, or no view of it that this person may use.
    """
    _listing(listing)
    if view_id is not None:
        usable = q.views_within(work.actor).where(SavedView.id == view_id, SavedView.listing == listing)
        if work.session.scalars(usable).one_or_none() is None:
            raise InvalidInputError({"view_id": ["not_a_choice"]})
    mine = select(DefaultView).where(DefaultView.user_id == user.id, DefaultView.listing == listing)
    kept = work.session.scalars(mine.with_for_update(of=DefaultView)).one_or_none()
    if kept is None:
        kept = DefaultView(user_id=user.id, listing=listing, view_id=view_id)
        work.add(kept)
    else:
        kept.view_id = view_id
        work.record(kept, ["view_id"])
    return kept


# --- outside the acts ------------------------------------------------------------------------------------------------


def keep_search(session: Session, actor: Actor, words: Mapping[str, Any]) -> UUID:
    """Keep what somebody typed into a search, sealed, for themselves and 8 hours; return its id (bookkeeping, no act).

    The search that follows is a look, and on record.
    """
    start_writing(session)
    kept = KeptSearch(user_id=actor.me, words=dict(words), at=clock(session))
    session.add(kept)
    session.flush()
    commit(session)
    return kept.id


@job_kind("account.searches", every=3600)
def forget_searches(session: Session, _target: UUID | None, _behalf: UUID | None) -> None:
    """Let go of what was typed into searches more than 8 hours ago."""
    start_writing(session)
    session.execute(delete(KeptSearch).where(KeptSearch.at <= clock(session) - SEARCH_KEPT))
    commit(session)
