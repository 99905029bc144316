"""Both doors of saved views, and what every list shows of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask import abort, redirect, request
from flask_babel import lazy_gettext as _l
from marshmallow import fields

from referrals.kernel.command import Command
from referrals.kernel.door import Doors, Form, ListAddress, Shape, asking
from referrals.kernel.errors import NotFoundError, NotPermittedError
from referrals.kernel.look import refuse
from referrals.kernel.schema import Takes, line
from referrals.kernel.web import current_actor, say
from referrals.view import commands as c
from referrals.view import policy as p
from referrals.view import queries as q

doors = Doors("view")


class ViewShape(Shape):
    """A saved view, as one person sees it."""

    id = fields.UUID()
    version = fields.Integer()
    listing = fields.String()
    name = fields.String()
    query = fields.String()
    is_team = fields.Boolean()
    is_own = fields.Boolean()
    is_default = fields.Boolean()


class DefaultShape(Shape):
    """Which view a list opens with."""

    id = fields.UUID()
    listing = fields.String()
    view_id = fields.UUID(allow_none=True)


class ViewsAsked(Takes):
    """Of which list; of all when none is named."""

    listing = line(40, required=False)


def saved_views(listing: str, at: ListAddress) -> dict[str, Any]:
    """Return what a list's page shows of its saved views; a bare address leads on to one's default (pages alone)."""
    rows = q.views(*asking(), listing=listing)
    chosen = next((one for one in rows if one.is_default), None)
    if chosen is not None and not request.query_string:
        abort(redirect(f"{at.path}?{chosen.query}" if chosen.query else at.but(), 303))
    shown = [
        {
            "name": one.name,
            "url": f"{at.path}?{one.query}",
            "current": one.query == at.sorted,
            "is_team": one.is_team,
        }
        for one in rows
    ]
    save = urlencode({"listing": listing, "query": at.query})
    return {"views": shown, "save_view_url": f"/account/views/new?{save}"}


@doors.get("/account/views", page="view/views.html", shape=ViewShape, takes=ViewsAsked, many=True)
def views(*, listing: str | None) -> Mapping[str, Any]:
    """Read the saved views one may use: one's own and the team's."""
    database, actor = asking()
    shares = p.shares_views(actor)
    rows = q.views(database, actor, listing=listing)
    return {
        "rows": rows,
        "next": None,
        "form": Form(),
        "urls": {one.id: f"{c.LISTINGS[one.listing].url}?{one.query}" for one in rows if one.listing in c.LISTINGS},
        "may_withdraw": {one.id for one in rows if one.is_team and shares and not one.is_own},
    }


def _view(what: Command[Any, Any], target: UUID) -> dict[str, Any]:
    """Return what a form about a view shows; refused on record, when the view is not the asker's to change."""
    database, actor = asking()
    row = database.scalars(what.within(actor).where(what.on.id == target)).one_or_none()
    if row is None or not any(all(may(actor, row) for may in clause) for clause in what.allow):
        fault = NotFoundError() if row is None else NotPermittedError()
        refuse(database, actor, what.records, row_type="saved_view", target=target, purpose=None, code=fault.code)
        raise fault
    return {"it": row, "values": {"name": row.name}, "version": row.version}


def _naming() -> dict[str, Any]:
    given = {name: request.args.get(name, "") for name in ("listing", "query")}
    return {"values": given, "may_share": p.shares_views(current_actor())}


def _myself(_ids: Mapping[str, UUID]) -> UUID:
    return current_actor().me


def _shown_view(row: Any) -> q.View:
    return q.view(*asking(), row.id)


doors.act(
    "/account/views/new",
    c.save_view,
    page="view/save_view.html",
    context=_naming,
    target=_myself,
    then=lambda row: f"{c.LISTINGS[row.listing].url}?{row.query}",
    show=_shown_view,
    shape=ViewShape,
    done="view_saved",
    api_rule="/account/views",
)
doors.act(
    "/account/views/<uuid:target>/name",
    c.rename_view,
    page="view/rename_view.html",
    context=lambda target: _view(c.rename_view, target),
    then=lambda _row: "/account/views",
    show=_shown_view,
    shape=ViewShape,
    done="view_renamed",
)
doors.act(
    "/account/views/<uuid:target>/removal",
    c.withdraw_view,
    page="view/withdraw_view.html",
    context=lambda target: _view(c.withdraw_view, target),
    then=lambda _row: "/account/views",
    show=lambda row: q.view_of(row, current_actor(), None),
    shape=ViewShape,
    done="view_withdrawn_now",
)
doors.act(
    "/account/views/<uuid:target>/team-removal",
    c.withdraw_team_view,
    page="view/withdraw_view.html",
    context=lambda target: _view(c.withdraw_team_view, target),
    then=lambda _row: "/account/views",
    show=lambda row: q.view_of(row, current_actor(), None),
    shape=ViewShape,
    done="view_withdrawn_now",
)
doors.act(
    "/account/default-view",
    c.choose_default_view,
    page=None,
    target=_myself,
    then=lambda _row: "/account/views",
    shape=DefaultShape,
    done="default_view_set",
)


say(
    {
        "view_saved": _l("The view is saved. You find it above this list."),
        "view_renamed": _l("The view has its new name."),
        "view_withdrawn_now": _l("The view was removed. The list is as it was."),
        "view_withdrawn": _l("This view was removed before."),
        "default_view_set": _l("The list opens as you chose."),
        "not_of_this_list": _l("These filters do not belong to this list. Open the list, filter it, and save again."),
        "listing.participants": _l("Participants"),
        "listing.programs": _l("Programs"),
        "listing.referrals": _l("Referrals"),
    }
)
