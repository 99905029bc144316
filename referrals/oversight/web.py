"""Both doors to the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from marshmallow import fields

from referrals.kernel.door import Doors, Form, Shape, asking
from referrals.kernel.schema import Takes, code, day, line, uid
from referrals.kernel.web import Words, place, say
from referrals.oversight import policy as p
from referrals.oversight import queries as q

doors = Doors("oversight")

place("/oversight", _l("Oversight"), 80, p.audits)

say(
    {
        "before_the_first_day": _l("The last day lies before the first. Change one of the two."),
    }
)

FILTERS: Mapping[str, Words] = {
    "subject": _l("Participant"),
    "user": _l("User"),
    "organization": _l("Organization that acted"),
    "shared_with": _l("Shared with"),
    "action": _l("Act"),
    "outcome": _l("Outcome"),
    "basis": _l("Basis"),
    "request": _l("Request"),
    "since": _l("From"),
    "until": _l("Until"),
}
OUTCOMES: Mapping[str, Words] = {"done": _l("Done"), "refused": _l("Refused"), "failed": _l("Failed")}
BASES: Mapping[str, Words] = {
    "agreement": _l("Agreement"),
    "assignment": _l("Assignment"),
    "consent": _l("Consent"),
    "duty": _l("Legal duty"),
    "emergency": _l("Emergency"),
    "order": _l("Court order"),
    "oversight": _l("Oversight"),
    "own": _l("Own records"),
    "request": _l("Own request"),
}
ACTORS: Mapping[str, Words] = {
    "user": _l("User"),
    "participant": _l("Participant"),
    "contact": _l("Family contact"),
    "service": _l("The service"),
    "witness": _l("Witness"),
    "anonymous": _l("Not signed in"),
    "unknown": _l("Unknown name"),
}
ROLES: Mapping[str, Words] = {
    "case_manager": _l("Case manager"),
    "supervising_officer": _l("Supervising officer"),
    "navigator": _l("Navigator"),
    "supervisor": _l("Supervisor"),
    "administrator": _l("Organization administrator"),
    "auditor": _l("Auditor"),
    "operator": _l("Operator"),
}
CHANNELS: Mapping[str, Words] = {
    "page": _l("Page"),
    "api": _l("API"),
    "kiosk": _l("Kiosk"),
    "cli": _l("Command line"),
    "job": _l("Job"),
}
WORDS = {"outcomes": OUTCOMES, "bases": BASES, "actors": ACTORS, "duties": ROLES, "channels": CHANNELS}


class EventsWanted(Takes):
    """Which events: everything given must hold."""

    subject = uid(required=False)
    user = uid(required=False)
    organization = uid(required=False)
    shared_with = uid(required=False)
    action = line(100, required=False)
    outcome = code(q.OUTCOME_CODES, required=False)
    basis = code(q.BASIS_CODES, required=False)
    request = uid(required=False)
    since = day(required=False)
    until = day(required=False)
    after = uid(required=False)


class ParticipantWanted(Takes):
    """A participant, by the number of the agency that recorded them."""

    agency_number = line(40)


class NamedShape(Shape):
    """A row that an event names."""

    type = fields.String()
    id = fields.String()
    subject = fields.String(allow_none=True)


class EventShape(Shape):
    """One event: ids, codes, counts and names of fields, never content."""

    id = fields.UUID()
    intact = fields.Boolean()
    at = fields.AwareDateTime(allow_none=True)
    action = fields.String(allow_none=True)
    outcome = fields.String(allow_none=True)
    code = fields.String(allow_none=True)
    actor_kind = fields.String(allow_none=True)
    actor_id = fields.String(allow_none=True)
    actor_name = fields.String(allow_none=True)
    acted_as = fields.List(fields.String())
    organization_id = fields.String(allow_none=True)
    organization = fields.String(allow_none=True)
    behalf_id = fields.String(allow_none=True)
    on = fields.List(fields.Nested(NamedShape))
    more = fields.Integer()
    to_id = fields.String(allow_none=True)
    to = fields.String(allow_none=True)
    purpose = fields.String(allow_none=True)
    basis = fields.String(allow_none=True)
    basis_id = fields.String(allow_none=True)
    channel = fields.String(allow_none=True)
    network = fields.String(allow_none=True)
    field_names = fields.List(fields.String())
    categories = fields.List(fields.String())
    count = fields.Integer(allow_none=True)
    part = fields.List(fields.Integer(), allow_none=True)
    off_hours = fields.Boolean(allow_none=True)
    request = fields.String(allow_none=True)
    prior = fields.String(allow_none=True)
    sealed = fields.Integer()


class StateShape(Shape):
    """How the log stands."""

    events = fields.Integer()
    newest_at = fields.AwareDateTime(allow_none=True)
    missing_guards = fields.List(fields.String())


class ReferenceShape(Shape):
    """A participant, as the log names them."""

    subject = fields.UUID()


@doors.get("/oversight", page="oversight/state.html", shape=StateShape)
def state() -> Mapping[str, Any]:
    """How many events there are, the newest, and whether what guards the log is there."""
    standing = q.state(*asking())
    return {"it": standing, "zone": standing.zone}


@doors.get("/oversight/events", page="oversight/events.html", shape=EventShape, takes=EventsWanted, many=True)
def events(*, after: UUID | None, **asked: Any) -> Mapping[str, Any]:
    """The events that fit, newest first. The search is itself recorded."""
    session, actor = asking()
    wanted = q.Wanted(**asked)
    page = q.events(session, actor, wanted, after=after)
    said = wanted.said()
    return {
        "rows": page.rows,
        "next": page.next,
        "zone": page.zone,
        "form": Form(said),
        "choices": q.choices(session, actor),
        "chips": _chips(said, page.rows),
        "next_url": _url(said | {"after": str(page.next)}) if page.next is not None else None,
        "first_url": _url(said) if after is not None else None,
        **WORDS,
    }


@doors.get("/oversight/events/<uuid:target>", page="oversight/event.html", shape=EventShape)
def event(target: UUID) -> Mapping[str, Any]:
    """One event, with every row it names."""
    found, zone = q.event(*asking(), target)
    return {"it": found, "zone": zone, **WORDS}


@doors.search(
    "/oversight/participants",
    page="oversight/participants.html",
    shape=ReferenceShape,
    takes=ParticipantWanted,
)
def participants(*, agency_number: str) -> Mapping[str, Any]:
    """Find a participant's reference in the log by their number, which is posted and shown to nobody."""
    found = q.references(*asking(), agency_number)
    return {"rows": [{"subject": one} for one in found], "next": None}


def _url(said: Mapping[str, str]) -> str:
    return f"/oversight/events?{urlencode(said)}" if said else "/oversight/events"


def _chips(said: Mapping[str, str], rows: Any) -> list[dict[str, str]]:
    """Name the filters in force, each with the address that leaves it out."""
    told = {row.actor_id: row.actor_name for row in rows if row.actor_name}
    places = {row.organization_id: row.organization for row in rows} | {row.to_id: row.to for row in rows}
    chips = []
    for name, value in said.items():
        words = {
            "user": told.get(value),
            "organization": places.get(value),
            "shared_with": places.get(value),
            "outcome": OUTCOMES.get(value),
            "basis": BASES.get(value),
        }.get(name)
        label = _("%(filter)s: %(value)s", filter=FILTERS[name], value=words or value)
        rest = {other: kept for other, kept in said.items() if other != name}
        chips.append({"label": label, "remove_url": _url(rest)})
    return chips
