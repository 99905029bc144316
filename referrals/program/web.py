"""Both doors to programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from flask import request
from flask_babel import get_locale
from flask_babel import lazy_gettext as _l
from marshmallow import fields
from typing_extensions import override

from referrals.account import queries as accounts
from referrals.kernel.actor import TokenScope
from referrals.kernel.command import Command
from referrals.kernel.door import PAGE_SIZES, Doors, ListAddress, Shape, asking
from referrals.kernel.record import clock
from referrals.kernel.schema import Takes, code, line, uid, yes_no
from referrals.kernel.web import current_actor, place, say, sentence
from referrals.organization import queries as organizations
from referrals.organization.web import labels, may, one_of, said
from referrals.program import commands as c
from referrals.program import queries as q
from referrals.view.commands import declare_listing
from referrals.view.web import saved_views

doors = Doors("program", reads=TokenScope.PROGRAMS_READ, writes=TokenScope.PROGRAMS_WRITE)

place("/programs", _l("Programs"), 40, lambda actor: actor.organization_id is not None)


class ProgramShape(Shape):
    """What a community organization offers, and what was said about room in it."""

    id = fields.UUID()
    version = fields.Integer()
    organization_id = fields.UUID()
    organization_name = fields.String()
    location_id = fields.UUID()
    name = fields.String()
    description = fields.String()
    categories = fields.List(fields.String())
    eligibility = fields.String()
    evidence = fields.String()
    evidence_source = fields.String()
    languages = fields.List(fields.String())
    places = fields.List(fields.String())
    phone = fields.String()
    email = fields.String()
    website = fields.String()
    capacity_code = fields.String()
    open_places = fields.Integer()
    waiting = fields.Integer()
    expected_days = fields.Integer()
    capacity_at = fields.AwareDateTime()
    capacity_by = fields.UUID()
    capacity_is_stale = fields.Boolean()
    source = fields.String()
    closed_at = fields.AwareDateTime()

    @override
    def _told(self, name: str, one: fields.Field[Any], thing: Any) -> Any:
        """Tell how old the word about capacity is as of now."""
        if name == "capacity_is_stale":
            return thing.capacity_is_stale(clock(asking()[0]))
        return super()._told(name, one, thing)


class IntakeShape(Shape):
    """One person on an intake list."""

    id = fields.UUID()
    program_id = fields.UUID()
    user_id = fields.UUID()
    added_at = fields.AwareDateTime()
    ended_at = fields.AwareDateTime()


#: At most so many days until somebody referred today starts.
WAITS: Final = ("7", "30", "90")


class Filters(Takes):
    """What to look for in the directory."""

    category = code(q.SERVICES, required=False)
    language = code(q.LANGUAGES, required=False)
    place = line(100, required=False)
    search = line(100, required=False)
    organization_id = uid(required=False)
    with_room = yes_no()
    wait = code(WAITS, required=False)
    sort = code(q.SORTS, required=False)
    size = code([str(size) for size in PAGE_SIZES], default=str(q.PAGE))
    after = uid(required=False)


declare_listing("programs", "/programs", Filters)


def language_name(one: str) -> str:
    """Return a language's name in the reader's language; where Unicode's list lacks it, from a sentence of ours."""
    locale = get_locale()
    known = locale.languages.get(one) if locale is not None else None
    return str(known) if known else sentence(f"language.{one}")


def languages() -> list[tuple[str, str]]:
    """Return the languages a program may work in, the two most common first, then by name."""
    named = [(one, language_name(one)) for one in q.LANGUAGES]
    return named[:2] + sorted(named[2:], key=lambda pair: pair[1].casefold())


def _again(program: Any) -> Any:
    session, _actor = asking()
    return q.program(session, program.id)


@doors.get("/programs", page="program/list.html", shape=ProgramShape, takes=Filters, many=True)
def programs(
    *,
    category: str | None,
    language: str | None,
    place: str | None,
    search: str | None,
    organization_id: UUID | None,
    with_room: bool,
    wait: str | None,
    sort: str | None,
    size: str,
    after: UUID | None,
) -> Mapping[str, Any]:
    """The open programs that fit: by name, or as sorted."""
    session, actor = asking()
    within = int(wait) if wait is not None else None
    wanted = q.Wanted(category, language, place, search, organization_id, with_room, within, sort or "name")
    rows, following = q.page(session, wanted, after=after, limit=int(size))
    count = q.count(session, wanted)
    now = clock(session)
    offering = organizations.names(session, [organization_id] if organization_id is not None else [])
    given = {
        "category": category,
        "language": language,
        "place": place,
        "search": search,
        "organization_id": organization_id,
        "with_room": "yes" if with_room else None,
        "wait": wait,
        "sort": sort,
        "size": size if size != str(q.PAGE) else None,
    }
    told = {
        "category": sentence(f"service.{category}"),
        "language": language_name(language or ""),
        "place": place,
        "search": search,
        "organization_id": offering.get(organization_id, "") if organization_id is not None else "",
        "with_room": sentence("has_room"),
        "wait": sentence(f"wait.{wait}"),
    }
    at = ListAddress("/programs", given)
    own = organizations.own_or_none(session, actor)
    return {
        "rows": rows,
        "next": following,
        "next_url": at.but(after=following) if following is not None else None,
        "first_url": at.but() if after is not None else None,
        "at": at,
        "waits": labels("wait", WAITS),
        "sorts": labels("program_sort", q.SORTS[1:]),
        "count": count,
        "counted": q.COUNTED,
        "given": given,
        "chips": at.chips(told),
        "stale": {row.id for row in rows if row.capacity_is_stale(now)},
        "services": labels("service", q.SERVICES),
        "language_choices": languages(),
        "around": lambda: saved_views("programs", at),
        "may_add": own is not None and not own.is_agency and may(c.add_program, own),
    }


@doors.get("/programs/<uuid:target>", page="program/show.html", shape=ProgramShape)
def program(target: UUID) -> Mapping[str, Any]:
    """One program: what it offers, to whom, whether there is room, and who answers."""
    session, actor = asking()
    it = q.program(session, target)
    now = clock(session)
    own = it.organization_id == actor.organization_id
    answering = q.answering(session, it.id)
    people = accounts.names(session, [*answering, it.capacity_by])
    return {
        "it": it,
        "is_own": own,
        "is_open": it.is_open(now),
        "stale": it.capacity_is_stale(now),
        "answering": [people[one] for one in answering] if own else [],
        "answering_count": len(answering),
        "said_by": people.get(it.capacity_by) if it.capacity_by is not None else None,
        "language_names": [language_name(one) for one in it.languages],
        "zone": it.organization.time_zone,
        "may_change": may(c.change_program, it) and it.is_open(now),
        "may_say": may(c.set_capacity, it) and it.is_open(now),
        "may_lead": may(c.close_program, it) and it.is_open(now),
    }


# --- describing ------------------------------------------------------------------------------------------------------


def _choices(organization_id: UUID) -> dict[str, Any]:
    session, _actor = asking()
    places = session.scalars(organizations.locations(organization_id))
    return {
        "services": labels("service", q.SERVICES),
        "language_choices": languages(),
        "locations": [(str(one.id), f"{one.name}, {one.city}" if one.city else one.name) for one in places],
    }


def _words(what: Command[Any, Any], target: UUID) -> dict[str, Any]:
    it = one_of(what, target)
    values = said(it, what.takes) | {"places": "\n".join(it.places)}
    return {"it": it, "values": values, "version": it.version, **_choices(it.organization_id)}


def _own(_ids: Mapping[str, UUID]) -> UUID:
    return current_actor().organization_id or UUID(int=0)


def _new() -> dict[str, Any]:
    owner = one_of(c.add_program, _own({}))
    return {"owner": owner, **_choices(owner.id)}


doors.act(
    "/programs/new",
    c.add_program,
    page="program/form.html",
    context=_new,
    target=_own,
    then=lambda row: f"/programs/{row.id}",
    shape=ProgramShape,
    show=_again,
    done="program_added",
    api_rule="/programs",
)
doors.act(
    "/programs/<uuid:target>/description",
    c.change_program,
    page="program/form.html",
    context=lambda target: _words(c.change_program, target),
    then=lambda row: f"/programs/{row.id}",
    shape=ProgramShape,
    show=_again,
    done="program_changed",
)
doors.act(
    "/programs/<uuid:target>/closing",
    c.close_program,
    page="program/close.html",
    context=lambda target: {"it": one_of(c.close_program, target)},
    then=lambda row: f"/programs/{row.id}",
    shape=ProgramShape,
    show=_again,
    done="program_closed_now",
)


# --- capacity --------------------------------------------------------------------------------------------------------


def _capacity(target: UUID) -> dict[str, Any]:
    session, _actor = asking()
    it = one_of(c.set_capacity, target)
    by = accounts.names(session, [it.capacity_by])
    return {
        "it": it,
        "values": said(it, c.set_capacity.takes),
        "version": it.version,
        "codes": [(one, sentence(f"capacity.{one}"), sentence(f"capacity_hint.{one}")) for one in q.CAPACITIES],
        "stale": it.capacity_is_stale(clock(session)),
        "said_by": by.get(it.capacity_by) if it.capacity_by is not None else None,
        "zone": it.organization.time_zone,
    }


doors.act(
    "/programs/<uuid:target>/capacity",
    c.set_capacity,
    page="program/capacity.html",
    context=_capacity,
    then=lambda row: f"/programs/{row.id}",
    shape=ProgramShape,
    show=_again,
    done="capacity_set",
)


def _back_from_confirming(row: Any) -> str:
    """Return to where the one tap was made: home asks for it, too."""
    return "/home" if request.args.get("from") == "home" else f"/programs/{row.id}"


doors.act(
    "/programs/<uuid:target>/capacity/confirmation",
    c.confirm_capacity,
    page=None,
    then=_back_from_confirming,
    shape=ProgramShape,
    show=_again,
    done="capacity_confirmed",
)


# --- who answers -----------------------------------------------------------------------------------------------------


def _intake(target: UUID) -> dict[str, Any]:
    session, _actor = asking()
    it = one_of(c.add_to_intake, target)
    on_it = [member.user_id for member in it.answering()]
    people = accounts.names(session, on_it)
    return {
        "it": it,
        "members": [{"id": one, "name": people[one]} for one in on_it],
        "colleagues": [
            (str(one.id), one.display_name) for one in q.may_answer(session, it.organization_id) if one.id not in on_it
        ],
    }


@doors.get("/programs/<uuid:target>/intake", page=None, shape=IntakeShape, many=True)
def intake(target: UUID) -> Mapping[str, Any]:
    """Who answers for a program of one's own organization (people read it on the form's page)."""
    session, actor = asking()
    return {"rows": q.own_program(session, actor, target).answering(), "next": None}


doors.act(
    "/programs/<uuid:target>/intake",
    c.add_to_intake,
    page="program/intake.html",
    context=_intake,
    then=lambda row: f"/programs/{row.program_id}/intake",
    shape=IntakeShape,
    done="intake_added",
)
doors.act(
    "/programs/<uuid:target>/intake/removal",
    c.remove_from_intake,
    page=None,
    then=lambda row: f"/programs/{row.id}/intake",
    shape=ProgramShape,
    show=_again,
    done="intake_removed",
)

say(
    {
        "program_added": _l("The program was added. Say who answers for it, and whether there is room."),
        "program_changed": _l("The program was changed."),
        "required_text.places": _l("On one line nothing can be read. Write the place, or take the line out."),
        "program_closed_now": _l("The program is closed. Nobody can send a new referral to it."),
        "capacity_set": _l("The capacity is as you said, as of now."),
        "capacity_confirmed": _l("Thank you. The capacity is confirmed as of now."),
        "intake_added": _l("They answer referrals to this program now."),
        "intake_removed": _l("They no longer answer referrals to this program."),
        "program_closed": _l("This program is closed."),
        "not_a_community_organization": _l("Programs are offered by community organizations."),
        "no_capacity_said": _l("Nobody has said yet whether there is room. Say so first."),
        "already_on_intake": _l("This person already answers for the program."),
        "not_on_intake": _l("This person does not answer for the program."),
        "no_places_with_capacity": _l("If there is room, there is at least one open place; or leave this open."),
        "places_without_capacity": _l("If there are open places, choose “There is room” above."),
        "has_room": _l("Has room now"),
        "program_sort.-name": _l("By name, last first"),
        "program_sort.wait": _l("Shortest wait first"),
        "program_sort.-wait": _l("Longest wait first"),
        "wait.7": _l("Starts within a week"),
        "wait.30": _l("Starts within 30 days"),
        "wait.90": _l("Starts within 90 days"),
        "language.cmn": _l("Mandarin"),
        "language.mam": _l("Mam"),
        "language.ase": _l("American Sign Language"),
        "capacity.capacity": _l("There is room"),
        "capacity.waitlist": _l("Waiting list"),
        "capacity.additional_assessment_required": _l("Depends on an assessment"),
        "capacity.no_capacity": _l("No room"),
        "capacity_hint.capacity": _l("Somebody referred today can start."),
        "capacity_hint.waitlist": _l("Full now; you keep a list and take people in turn."),
        "capacity_hint.additional_assessment_required": _l("You need to meet the person before you can say."),
        "capacity_hint.no_capacity": _l("Full now, and no list is kept. A referral must say why it is sent anyway."),
        "service.housing": _l("Housing"),
        "service.employment": _l("Work"),
        "service.education": _l("Education"),
        "service.food": _l("Food"),
        "service.clothing": _l("Clothing"),
        "service.health_care": _l("Health care"),
        "service.mental_health": _l("Mental health"),
        "service.substance_use_treatment": _l("Substance use treatment"),
        "service.benefits": _l("Benefits"),
        "service.id_documents": _l("ID documents"),
        "service.legal_aid": _l("Legal aid"),
        "service.transportation": _l("Transportation"),
        "service.family_support": _l("Family support"),
        "service.mentoring": _l("Mentoring"),
        "service.peer_support": _l("Peer support"),
        "service.case_management": _l("Case management"),
        "service.life_skills": _l("Life skills"),
        "service.faith_based": _l("Faith-based support"),
        "service.general_support": _l("General support"),
        "service.other": _l("Something else"),
    }
)
