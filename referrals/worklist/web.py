"""Both doors to lists of referrals: by whose move it is, one's own drafts, what a team looks after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from flask_babel import lazy_gettext as _l
from marshmallow import fields

from referrals.kernel.actor import Actor, TokenScope
from referrals.kernel.door import Doors, Shape, asking
from referrals.kernel.schema import Takes, code, line, uid, whole, yes_no
from referrals.kernel.web import place, say, sentence
from referrals.person.policy import supervises, works_with_participants
from referrals.referral.commands import URGENCY
from referrals.referral.queries import STATES
from referrals.referral.web import CardShape, options
from referrals.view.commands import declare_listing
from referrals.worklist import queries as q

doors = Doors("worklist", reads=TokenScope.REFERRALS_READ, known_as="referral")


def _works(actor: Actor) -> bool:
    return works_with_participants(actor, None)


place("/referrals", _l("Referrals"), 20, _works)


# --- lists ------------------------------------------------------------------------------------------------------------


class ListWords(Takes):
    """Which list, which filters, how it is ordered, and where the page begins."""

    group = code(q.Group, default=q.Group.US)
    status = code(STATES, required=False)
    urgency = code(URGENCY, required=False)
    program_id = uid(required=False)
    participant_id = uid(required=False)
    colleague_id = uid(required=False)
    overdue = yes_no()
    sort = code(q.Sort, required=False)
    after = line(60, required=False)
    limit = whole(1, 100, required=False)


declare_listing("referrals", "/referrals", ListWords)


@doors.get("/referrals", page="worklist/list.html", shape=CardShape, takes=ListWords, many=True)
def referrals(
    *, group: str, sort: str | None, after: str | None, limit: int | None, overdue: bool, **narrowed: Any
) -> Mapping[str, Any]:
    """List the referrals that wait on us, on them, or are closed."""
    session, actor = asking()
    wanted = q.Wanted(overdue=overdue, **narrowed)
    found = q.listed(
        *(session, actor, q.Group(group), wanted, q.Sort(sort) if sort else None),
        *(q.Mark.read(after) if after else None,),
        limit=limit or 25,
    )
    asked = {"group": group, **narrowed, "overdue": "yes" if overdue else None, "sort": sort, "limit": limit}

    def around() -> Mapping[str, Any]:
        names = dict(found.programs)
        told: dict[str, Callable[[Any], str]] = {
            "status": lambda one: sentence(f"status.{one}"),
            "urgency": lambda one: sentence(f"urgency.{one}"),
            "program_id": lambda one: names.get(one, str(_l("One program"))),
            "participant_id": lambda _one: str(_l("One participant")),
            "colleague_id": lambda one: str(_l("Yours") if one == actor.user_id else _l("One colleague")),
            "overdue": lambda _one: str(_l("Overdue")),
        }
        chips = [
            {"label": say_it(asked[name]), "remove_url": _list_url(asked | {name: None})}
            for name, say_it in told.items()
            if asked[name]
        ]
        return {
            "asked": asked,
            "group": group,
            "sort": sort,
            "count": found.count,
            "counted": q.LISTED_AT_MOST,
            "chips": chips,
            "clear_url": _list_url({"group": group, "sort": sort, "limit": limit}),
            "statuses": options("status", [one for one in STATES if one != "draft"]),
            "urgencies": options("urgency", URGENCY),
            "programs": found.programs,
            "list_url": lambda **other: _list_url(asked | other),
            "next_url": _list_url(asked | {"after": found.following}) if found.following is not None else None,
            "first_url": _list_url(asked) if after is not None else None,
            "works": _works(actor),
            "supervises": supervises(actor),
            "save_view_url": "/account/views/new?" + urlencode({"listing": "referrals", "query": _list_query(asked)}),
        }

    return {"rows": found.cards, "next": found.following and str(found.following), "around": around}


def _list_url(asked: Mapping[str, Any]) -> str:
    return "/referrals?" + _list_query(asked)


def _list_query(asked: Mapping[str, Any]) -> str:
    return urlencode({name: str(value) for name, value in asked.items() if value is not None})


class NoWords(Takes):
    """Nothing asked."""


@doors.get("/drafts", page="worklist/drafts.html", shape=CardShape, takes=NoWords, many=True)
def drafts() -> Mapping[str, Any]:
    """List one's own drafts, seen by nobody else."""
    session, actor = asking()
    return {"rows": q.drafts(session, actor), "next": None}


# --- a supervisor's team ----------------------------------------------------------------------------------------------


class LoadShape(Shape):
    """What one colleague looks after; without an id, what nobody does."""

    id = fields.UUID(allow_none=True)
    name = fields.String(allow_none=True)
    is_here = fields.Boolean()
    participants = fields.Integer()
    us = fields.Integer()
    them = fields.Integer()
    overdue = fields.Integer()


@doors.get("/team", page="worklist/team.html", shape=LoadShape, many=True)
def team() -> Mapping[str, Any]:
    """What each colleague of a supervisor's looks after, and what nobody does."""
    found = q.team(*asking())
    return {"rows": found.rows, "next": None, "is_partial": found.is_partial, "counted": q.LISTED_AT_MOST}


say(
    {
        "group.us": _l("Waiting on us"),
        "group.them": _l("Waiting on them"),
        "group.closed": _l("Closed"),
    }
)
