"""Both doors to organizations and their places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _l
from marshmallow import fields

from referrals.kernel.actor import TokenScope
from referrals.kernel.command import Command
from referrals.kernel.door import Doors, Shape, asking
from referrals.kernel.errors import NotFoundError, NotPermittedError
from referrals.kernel.look import refuse
from referrals.kernel.record import clock, day_of
from referrals.kernel.schema import Takes, code, uid
from referrals.kernel.web import current_actor, place, say, sentence
from referrals.organization import commands as c
from referrals.organization import queries as q

doors = Doors("organization", reads=TokenScope.ORGANIZATIONS_READ)

place("/organization", _l("Our organization"), 60, lambda actor: actor.organization_id is not None)

SIDES = ("agency", "community")


class OrganizationShape(Shape):
    """An agency or a community organization."""

    id = fields.UUID()
    version = fields.Integer()
    name = fields.String()
    side = fields.String()
    part2_program = fields.String()
    part2_because = fields.String()
    part2_said_at = fields.AwareDateTime()
    time_zone = fields.String()
    city = fields.String()
    phone = fields.String()
    email = fields.String()
    website = fields.String()
    description = fields.String()
    added_at = fields.AwareDateTime()
    ended_at = fields.AwareDateTime()


class FacilityShape(Shape):
    """A place of an agency."""

    id = fields.UUID()
    version = fields.Integer()
    organization_id = fields.UUID()
    name = fields.String()
    kind = fields.String()
    security = fields.String()
    gender = fields.String()
    age = fields.String()
    capacity = fields.Integer()
    address = fields.String()
    city = fields.String()
    county = fields.String()
    county_fips = fields.String()
    state = fields.String()
    postal_code = fields.String()
    latitude = fields.String()
    longitude = fields.String()
    phone = fields.String()
    website = fields.String()
    time_zone = fields.String()
    source = fields.String()
    ended_at = fields.AwareDateTime()


class RoomShape(Shape):
    """A place to meet inside a facility."""

    id = fields.UUID()
    facility_id = fields.UUID()
    name = fields.String()
    seats = fields.Integer()
    ended_at = fields.AwareDateTime()


class LocationShape(Shape):
    """A place of a community organization."""

    id = fields.UUID()
    version = fields.Integer()
    organization_id = fields.UUID()
    name = fields.String()
    address = fields.String()
    city = fields.String()
    county = fields.String()
    state = fields.String()
    postal_code = fields.String()
    latitude = fields.String()
    longitude = fields.String()
    access = fields.String()
    source = fields.String()
    ended_at = fields.AwareDateTime()


class ClosingDayShape(Shape):
    """A working day on which an organization is closed."""

    id = fields.UUID()
    organization_id = fields.UUID()
    closed_on = fields.Date()
    because = fields.String()
    added_at = fields.AwareDateTime()
    withdrawn_at = fields.AwareDateTime()


class After(Takes):
    """Where a page of a list goes on."""

    after = uid(required=False)


class Directory(After):
    """Which organizations to list."""

    side = code(SIDES, required=False)


def may(what: Command[Any, Any], thing: Any) -> bool:
    """Whether whoever is asking may do this, so that a page offers no more than that."""
    actor = current_actor()
    return any(all(predicate(actor, thing) for predicate in clause) for clause in what.allow)


def require(what: Command[Any, Any], thing: Any) -> None:
    """Refuse the form of an act that is not the asker's to do, on record as the act itself would be."""
    if not may(what, thing):
        session, actor = asking()
        refuse(
            session,
            actor,
            what.records,
            row_type=str(what.on.__tablename__),
            target=thing.id,
            purpose=what.purpose,
            code=NotPermittedError.code,
        )
        raise NotPermittedError


def one_of(what: Command[Any, Any], target: UUID) -> Any:
    """Return the row that an act's form is for, if the asker may know of it and may do it."""
    session, actor = asking()
    thing = session.scalars(what.within(actor).where(what.on.id == target)).one_or_none()
    if thing is None:
        refuse(session, actor, what.records, row_type=str(what.on.__tablename__), target=target, purpose=what.purpose)
        raise NotFoundError
    require(what, thing)
    return thing


def said(thing: Any, takes: Takes) -> dict[str, Any]:
    """Return what a thing says now under the names of a form's fields."""
    return {name: getattr(thing, name) for name in takes.fields}


def labels(prefix: str, codes: Any) -> list[tuple[str, str]]:
    """Return codes with their words, for a list of choices."""
    return [(str(one), sentence(f"{prefix}.{one}")) for one in codes]


# --- organizations ---------------------------------------------------------------------------------------------------


@doors.get("/organizations", page="organization/directory.html", shape=OrganizationShape, takes=Directory, many=True)
def organizations(*, side: str | None, after: UUID | None) -> Mapping[str, Any]:
    """Every organization that takes part, by name."""
    session, actor = asking()
    rows, following = q.directory(session, actor, side=side, after=after)
    return {"rows": rows, "next": following, "side": side, "sides": labels("side", SIDES)}


def _whole(organization: Any) -> dict[str, Any]:
    session, actor = asking()
    facilities, more_facilities = q.facility_page(session, organization.id, limit=10)
    locations, more_locations = q.location_page(session, organization.id, limit=10)
    return {
        "it": organization,
        "facilities": facilities,
        "locations": locations,
        "more": more_facilities or more_locations,
        "is_own": organization.id == actor.organization_id,
        "zone": organization.time_zone,
        "may_change": may(c.change_organization, organization),
        "may_say_part2": may(c.set_part2_program, organization),
        "may_add": may(c.add_facility, organization),
    }


@doors.get("/organization", page="organization/show.html", shape=OrganizationShape)
def own_organization() -> Mapping[str, Any]:
    """The asker's own organization."""
    session, actor = asking()
    if actor.organization_id is None:
        raise NotFoundError
    return _whole(q.organization(session, actor.organization_id))


@doors.get("/organizations/<uuid:target>", page="organization/show.html", shape=OrganizationShape)
def organization(target: UUID) -> Mapping[str, Any]:
    """One organization."""
    session, _actor = asking()
    return _whole(q.organization(session, target))


doors.act(
    "/organizations/<uuid:target>/description",
    c.change_organization,
    page="organization/change.html",
    context=lambda target: _form(c.change_organization, target),
    then=lambda row: f"/organizations/{row.id}",
    shape=OrganizationShape,
    done="organization_changed",
)
doors.act(
    "/organizations/<uuid:target>/part2-program",
    c.set_part2_program,
    page="organization/part2.html",
    context=lambda target: {
        "it": one_of(c.set_part2_program, target),
        "answers": [(one, sentence(f"part2.{one}"), sentence(f"part2_hint.{one}")) for one in q.PART2],
    },
    then=lambda row: f"/organizations/{row.id}",
    shape=OrganizationShape,
    done="part2_program_set",
)


def _form(what: Command[Any, Any], target: UUID, **more: Any) -> dict[str, Any]:
    """Return what surrounds the form of an edit: the row, its words as they stand, the version they stand in."""
    thing = one_of(what, target)
    return {"it": thing, "values": said(thing, what.takes), "version": thing.version, **more}


# --- facilities and rooms --------------------------------------------------------------------------------------------


@doors.get(
    "/organizations/<uuid:target>/facilities",
    page="organization/facilities.html",
    shape=FacilityShape,
    takes=After,
    many=True,
)
def facilities(target: UUID, *, after: UUID | None) -> Mapping[str, Any]:
    """The facilities in use of one agency, by name."""
    session, _actor = asking()
    owner = q.organization(session, target)
    rows, following = q.facility_page(session, owner.id, after=after)
    return {"rows": rows, "next": following, "owner": owner, "may_add": may(c.add_facility, owner), "after": after}


@doors.get("/facilities/<uuid:target>", page="organization/facility.html", shape=FacilityShape)
def facility(target: UUID) -> Mapping[str, Any]:
    """One facility, with its rooms."""
    session, _actor = asking()
    it = q.facility(session, target)
    return {
        "it": it,
        "owner": q.organization(session, it.organization_id),
        "rooms": q.rooms(session, it.id),
        "zone": it.time_zone,
        "may_change": may(c.change_facility, it) and it.ended_at is None,
    }


@doors.get("/facilities/<uuid:target>/rooms", page=None, shape=RoomShape, many=True)
def rooms(target: UUID) -> Mapping[str, Any]:
    """The rooms in use of one facility, by name (people read them on the facility's page)."""
    session, _actor = asking()
    return {"rows": q.rooms(session, q.facility(session, target).id), "next": None}


def _facility_choices() -> dict[str, Any]:
    return {
        "kinds": labels("facility_kind", q.KINDS),
        "securities": labels("security", q.SECURITY),
        "genders": labels("gender", q.GENDERS),
        "ages": labels("age", q.AGES),
        "zones": [(zone, zone.replace("_", " ")) for zone in q.ZONES],
    }


doors.act(
    "/organizations/<uuid:target>/facilities/new",
    c.add_facility,
    page="organization/facility_form.html",
    context=lambda target: {"owner": one_of(c.add_facility, target), **_facility_choices()},
    then=lambda row: f"/facilities/{row.id}",
    shape=FacilityShape,
    done="facility_added",
    api_rule="/organizations/<uuid:target>/facilities",
)
doors.act(
    "/facilities/<uuid:target>/description",
    c.change_facility,
    page="organization/facility_form.html",
    context=lambda target: _form(c.change_facility, target, **_facility_choices()),
    then=lambda row: f"/facilities/{row.id}",
    shape=FacilityShape,
    done="facility_changed",
)
doors.act(
    "/facilities/<uuid:target>/ending",
    c.end_facility,
    page="organization/end.html",
    context=lambda target: _ending(c.end_facility, target, "facility", "/facilities/"),
    then=lambda row: f"/organizations/{row.organization_id}/facilities",
    shape=FacilityShape,
    done="place_ended_now",
)
doors.act(
    "/facilities/<uuid:target>/rooms/new",
    c.add_room,
    page="organization/room_form.html",
    context=lambda target: {"it": one_of(c.add_room, target)},
    then=lambda row: f"/facilities/{row.facility_id}#room-{row.id}",
    shape=RoomShape,
    done="room_added",
    api_rule="/facilities/<uuid:target>/rooms",
)
doors.act(
    "/rooms/<uuid:target>/ending",
    c.end_room,
    page="organization/end.html",
    context=lambda target: _ending(c.end_room, target, "room", "/facilities/"),
    then=lambda row: f"/facilities/{row.facility_id}",
    shape=RoomShape,
    done="place_ended_now",
)


def _ending(what: Command[Any, Any], target: UUID, kind: str, back: str) -> dict[str, Any]:
    thing = one_of(what, target)
    there = thing.facility_id if kind == "room" else thing.id
    up = thing.facility.name if kind == "room" else thing.name
    return {"it": thing, "kind": kind, "back": f"{back}{there}", "up": up}


# --- closing days -----------------------------------------------------------------------------------------------------


@doors.get(
    "/organizations/<uuid:target>/closing-days",
    page="organization/closing_days.html",
    shape=ClosingDayShape,
    many=True,
)
def closing_days(target: UUID) -> Mapping[str, Any]:
    """The days ahead on which one organization is closed."""
    session, _actor = asking()
    owner = q.organization(session, target)
    today = day_of(clock(session), owner.time_zone)
    return {
        "rows": q.closing_days(session, owner.id, today),
        "next": None,
        "owner": owner,
        "may_change": may(c.add_closing_day, owner) and owner.ended_at is None,
        "today": today,
    }


doors.act(
    "/organizations/<uuid:target>/closing-days/new",
    c.add_closing_day,
    page="organization/closing_day_form.html",
    context=lambda target: {"owner": one_of(c.add_closing_day, target)},
    then=lambda row: f"/organizations/{row.organization_id}/closing-days",
    shape=ClosingDayShape,
    done="closing_day_added",
    api_rule="/organizations/<uuid:target>/closing-days",
)
doors.act(
    "/closing-days/<uuid:target>/withdrawal",
    c.withdraw_closing_day,
    page="organization/closing_day_withdraw.html",
    context=lambda target: {"it": one_of(c.withdraw_closing_day, target)},
    then=lambda row: f"/organizations/{row.organization_id}/closing-days",
    shape=ClosingDayShape,
    done="closing_day_withdrawn_now",
)

# --- locations -------------------------------------------------------------------------------------------------------


@doors.get(
    "/organizations/<uuid:target>/locations",
    page="organization/locations.html",
    shape=LocationShape,
    takes=After,
    many=True,
)
def locations(target: UUID, *, after: UUID | None) -> Mapping[str, Any]:
    """The locations in use of one community organization, by name."""
    session, _actor = asking()
    owner = q.organization(session, target)
    rows, following = q.location_page(session, owner.id, after=after)
    return {"rows": rows, "next": following, "owner": owner, "may_add": may(c.add_location, owner), "after": after}


@doors.get("/locations/<uuid:target>", page="organization/location.html", shape=LocationShape)
def location(target: UUID) -> Mapping[str, Any]:
    """One location."""
    session, _actor = asking()
    it = q.location(session, target)
    return {
        "it": it,
        "owner": q.organization(session, it.organization_id),
        "may_change": may(c.change_location, it) and it.ended_at is None,
    }


doors.act(
    "/organizations/<uuid:target>/locations/new",
    c.add_location,
    page="organization/location_form.html",
    context=lambda target: {"owner": one_of(c.add_location, target)},
    then=lambda row: f"/locations/{row.id}",
    shape=LocationShape,
    done="location_added",
    api_rule="/organizations/<uuid:target>/locations",
)
doors.act(
    "/locations/<uuid:target>/description",
    c.change_location,
    page="organization/location_form.html",
    context=lambda target: _form(c.change_location, target),
    then=lambda row: f"/locations/{row.id}",
    shape=LocationShape,
    done="location_changed",
)
doors.act(
    "/locations/<uuid:target>/ending",
    c.end_location,
    page="organization/end.html",
    context=lambda target: _ending(c.end_location, target, "location", "/locations/"),
    then=lambda row: f"/organizations/{row.organization_id}/locations",
    shape=LocationShape,
    done="place_ended_now",
)

say(
    {
        "organization_changed": _l("The organization was changed."),
        "part2_program_set": _l("The answer is on record."),
        "facility_added": _l("The facility was added."),
        "facility_changed": _l("The facility was changed."),
        "room_added": _l("The room was added."),
        "location_added": _l("The location was added."),
        "location_changed": _l("The location was changed."),
        "place_ended_now": _l("It is no longer in use. What happened there keeps its name."),
        "closing_day_added": _l("The closing day is on record. Nobody's deadline ends on it."),
        "closing_day_withdrawn_now": _l("You are open on that day."),
        "closing_day_withdrawn": _l("This closing day was withdrawn already."),
        "closing_day_passed": _l("This day has come, so it stays: deadlines were counted with it."),
        "not_ahead": _l("Choose a day from tomorrow on: no deadline moves on the day it ends."),
        "too_far_ahead": _l("Choose a day within the next year."),
        "no_working_day": _l("That is a weekend or a public holiday: you are closed then anyway."),
        "announced_before": _l("You have announced that day already."),
        "too_many_closing_days": _l("You have announced 30 days, the most there can be. Withdraw one first."),
        "already_installed": _l("This service already has its first agency. Add further organizations instead."),
        "wrong_side": _l("Agencies have facilities; community organizations have locations."),
        "organization_ended": _l("This organization no longer takes part."),
        "place_ended": _l("This place is no longer in use."),
        "not_a_web_address": _l("Enter a full web address that begins with http:// or https://."),
        "not_an_email": _l("Enter an e-mail address, like name@example.org."),
        "not_a_coordinate": _l("Enter decimal degrees, like 37.8044 or -122.2712."),
        "not_a_state": _l("Enter the two capital letters of a state, like CA."),
        "not_a_postal_code": _l("Enter a ZIP code of five digits, or nine with a dash."),
        "not_a_county_code": _l("Enter the county's five-digit FIPS code."),
        "side.agency": _l("Agency"),
        "side.community": _l("Community organization"),
        "part2.yes": _l("Yes"),
        "part2.no": _l("No"),
        "part2.unknown": _l("Not known yet"),
        "part2_hint.yes": _l("Its records are protected. Referrals to it need a special consent."),
        "part2_hint.no": _l("It does not hold itself out as giving substance use treatment with federal help."),
        "part2_hint.unknown": _l("Until somebody knows, its records are treated as protected."),
        "facility_kind.prison": _l("Prison"),
        "facility_kind.jail": _l("Jail"),
        "facility_kind.reception_center": _l("Reception center"),
        "facility_kind.medical_facility": _l("Medical facility"),
        "facility_kind.work_camp": _l("Work camp"),
        "facility_kind.juvenile_facility": _l("Juvenile facility"),
        "facility_kind.detention_center": _l("Detention center"),
        "facility_kind.community_corrections": _l("Community corrections"),
        "facility_kind.office": _l("Office"),
        "facility_kind.other": _l("Something else"),
        "security.maximum": _l("Maximum"),
        "security.maximum_medium": _l("Maximum and medium"),
        "security.maximum_minimum": _l("Maximum and minimum"),
        "security.medium": _l("Medium"),
        "security.medium_minimum": _l("Medium and minimum"),
        "security.minimum": _l("Minimum"),
        "gender.men": _l("Men"),
        "gender.women": _l("Women"),
        "gender.mixed": _l("Everyone"),
        "age.adult": _l("Adults"),
        "age.juvenile": _l("Young people"),
        "age.mixed": _l("Adults and young people"),
    }
)
