"""Both doors to home: my day, and the one box."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import redirect
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l
from marshmallow import fields

from referrals.account.commands import keep_search
from referrals.account.queries import kept_search
from referrals.home import policy as p
from referrals.home import queries as q
from referrals.kernel.door import Doors, Form, Shape, asking
from referrals.kernel.schema import Takes, line
from referrals.kernel.web import current_actor, place
from referrals.person.policy import writes_an_agencys_record

doors = Doors("home")

place("/home", _l("Home"), 0, lambda actor: actor.user_id is not None)
place("/search", _l("Search"), 90, p.works_with_participants)


class CardShape(Shape):
    """A referral, in a list."""

    id = fields.UUID()
    reference = fields.String()
    participant = fields.String()
    program = fields.String()
    status = fields.String()
    waiting_on = fields.String()
    loop = fields.String()
    side = fields.String()


class DayShape(Shape):
    """What waits on this person. The first two counts say 101 for any number over 100."""

    needs_count = fields.Integer()
    waiting_count = fields.Integer()
    drafts_count = fields.Integer()
    errors_count = fields.Integer()
    witness_count = fields.Integer()
    rules_count = fields.Integer()
    stale_count = fields.Integer()
    leaving_within = fields.Dict(keys=fields.String(), values=fields.Integer())


class HitShape(Shape):
    """One thing that was found."""

    kind = fields.String()
    id = fields.UUID()
    name = fields.String()


class _Typed:
    """What somebody types into the box is kept for themselves and 8 hours (S-309)."""

    @staticmethod
    def keep(typed: Mapping[str, Any]) -> UUID:
        """Keep it; return its id."""
        return keep_search(*asking(), typed)

    @staticmethod
    def words(search: str) -> dict[str, Any] | None:
        """Return what is kept under an id, if it is the asker's and not too old."""
        try:
            return kept_search(*asking(), UUID(search))
        except ValueError:
            return None


class SearchWords(Takes):
    """A name, an agency number, a referral's reference, or a word about a program."""

    words = line(200)


@doors.pages.get("/")
def front() -> ResponseReturnValue:
    """Lead to home, or to the sign-in."""
    return redirect("/home" if current_actor().user_id is not None else "/sign-in", 303)


@doors.get("/home", page="home/home.html", shape=DayShape)
def home() -> Mapping[str, Any]:
    """What waits on me, oldest first."""
    session, actor = asking()
    day = q.today(session, actor)
    counts = {
        "needs_count": day.needs_count,
        "waiting_count": day.waiting_count,
        "drafts_count": len(day.drafts),
        "errors_count": len(day.errors),
        "witness_count": len(day.witness),
        "rules_count": len(day.rules),
        "stale_count": len(day.stale),
        "leaving_within": {str(days): count for days, count in day.windows.items()},
    }
    return {
        "it": counts,
        "day": day,
        "at_most": q.COUNTED_AT_MOST,
        "forms": {one: Form() for one in day.stale},
        "works": p.works_with_participants(actor),
        "plans": p.plans_releases(actor),
        "answers": p.answers_for_programs(actor),
        "runs": p.runs_an_organization(actor),
        "audits": p.reads_the_log(actor),
    }


def _around() -> Mapping[str, Any]:
    actor = current_actor()
    return {"works": p.works_with_participants(actor), "may_add": writes_an_agencys_record(actor, None)}


@doors.search("/search", page="home/search.html", shape=HitShape, takes=SearchWords, blank=_around, kept=_Typed())
def search(*, words: str) -> Mapping[str, Any]:
    """Find people, referrals and programs."""
    session, actor = asking()
    found = q.search(session, actor, words)
    hits = [{"kind": "participant", "id": one.id, "name": one.called} for one in found.people]
    hits += [{"kind": "referral", "id": one.id, "name": one.reference} for one in found.referrals]
    hits += [{"kind": "program", "id": one.id, "name": one.name} for one in found.programs]
    return {"rows": hits, "found": found, "words": words}
