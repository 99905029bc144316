"""What can be done about organizations and their places: each verb with its words, its grant and its record."""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from marshmallow import ValidationError, fields, validate

from referrals.kernel.actor import Side
from referrals.kernel.command import Work, command
from referrals.kernel.errors import InvalidInputError
from referrals.kernel.record import day_of
from referrals.kernel.schema import Line, Nothing, Takes, code, day, line, text, whole, yes_no
from referrals.organization import policy as p
from referrals.organization import queries as q
from referrals.organization.models import (
    AGES,
    GENDERS,
    KINDS,
    PART2,
    SECURITY,
    ZONES,
    ClosingDay,
    Facility,
    Installation,
    Location,
    Organization,
    Room,
    is_working_day,
)


def web_address() -> fields.String:
    """An address on the web. Only http and https: anything else in a link could run script."""
    return Line(
        validate=[
            validate.Regexp(r"https?://[^\s/@]+(/\S*)?\Z", error="not_a_web_address"),
            validate.Length(max=300, error="too_long"),
        ],
        load_default=None,
        allow_none=True,
    )


def email() -> fields.String:
    """An e-mail address of an organization, loosely: one @, something on both sides."""
    return Line(
        validate=[
            validate.Regexp(r"[^\s@]+@[^\s@]+\.[^\s@]+\Z", error="not_an_email"),
            validate.Length(max=254, error="too_long"),
        ],
        load_default=None,
        allow_none=True,
    )


def _matching(pattern: str, error: str) -> fields.String:
    return Line(validate=validate.Regexp(pattern, error=error), load_default=None, allow_none=True)


def _coordinate(limit: int) -> fields.String:
    """Decimal degrees as text, so that no digit is lost."""

    def within(value: str) -> None:
        if not re.fullmatch(r"-?[0-9]{1,3}(\.[0-9]{1,15})?", value) or abs(Decimal(value)) > limit:
            raise ValidationError("not_a_coordinate")

    return Line(validate=within, load_default=None, allow_none=True)


class AddressWords(Takes):
    """Where a place is."""

    name = line(200)
    address = line(200, required=False)
    city = line(100, required=False)
    county = line(100, required=False)
    state = _matching(r"[A-Z]{2}\Z", "not_a_state")
    postal_code = _matching(r"[0-9]{5}(-[0-9]{4})?\Z", "not_a_postal_code")
    latitude = _coordinate(90)
    longitude = _coordinate(180)


class ContactWords(Takes):
    """How an organization is reached."""

    name = line(200)
    city = line(100, required=False)
    phone = line(40, required=False)
    email = email()
    website = web_address()
    description = text(4000, required=False)


class Install(Takes):
    """The first agency."""

    name = line(200)
    time_zone = code(ZONES)
    city = line(100, required=False)
    phone = line(40, required=False)
    demo = yes_no()


@command(
    records="organization.installed",
    on=Installation,
    takes=Install,
    within=q.the_installation,
    allow=[[p.operates]],
    makes=Organization,
    purpose="administration",
)
def install(
    work: Work,
    installation: Installation,
    *,
    name: str,
    time_zone: str,
    city: str | None,
    phone: str | None,
    demo: bool,
) -> Organization:
    """Take the service into use with its first agency, once."""
    installation.install(at=work.now, demo=demo)
    work.record(installation, ["installed_at", "demo"])
    agency = Organization(
        name=name,
        side=Side.AGENCY.value,
        time_zone=time_zone,
        city=city,
        phone=phone,
        added_at=work.now,
        added_by=work.actor.user_id,
    )
    work.add(agency)
    return agency


class AddOrganization(ContactWords):
    """An agency or a community organization that joins."""

    side = code(Side)
    time_zone = code(ZONES)


@command(
    records="organization.added",
    on=Installation,
    takes=AddOrganization,
    within=q.the_installation,
    allow=[[p.operates]],
    makes=Organization,
    purpose="administration",
)
def add_organization(
    work: Work,
    _installation: Installation,
    *,
    name: str,
    side: str,
    time_zone: str,
    city: str | None,
    phone: str | None,
    email: str | None,
    website: str | None,
    description: str | None,
) -> Organization:
    """Add an organization. Whether it runs a Part 2 program is unknown until somebody who knows says so (C9)."""
    joined = Organization(
        name=name,
        side=side,
        time_zone=time_zone,
        city=city,
        phone=phone,
        email=email,
        website=website,
        description=description,
        added_at=work.now,
        added_by=work.actor.user_id,
    )
    work.add(joined)
    return joined


class ChangeOrganization(ContactWords):
    """How an organization is described and reached: all of it, as it is to stand."""


@command(
    records="organization.changed",
    on=Organization,
    takes=ChangeOrganization,
    within=q.own,
    allow=[[p.administers_it], [p.operates]],
    makes=Organization,
    purpose="administration",
    edits=True,
)
def change_organization(
    work: Work,
    organization: Organization,
    *,
    name: str,
    city: str | None,
    phone: str | None,
    email: str | None,
    website: str | None,
    description: str | None,
) -> Organization:
    """Describe the organization anew."""
    changed = organization.describe(
        name=name, city=city, phone=phone, email=email, website=website, description=description
    )
    work.record(organization, changed)
    return organization


@command(
    records="organization.ended",
    on=Organization,
    takes=Nothing,
    within=q.own,
    allow=[[p.operates]],
    makes=Organization,
    purpose="administration",
)
def end_organization(work: Work, organization: Organization) -> Organization:
    """Record that an organization no longer takes part."""
    organization.end(at=work.now)
    work.record(organization, ["ended_at"])
    return organization


class SetPart2Program(Takes):
    """Whether the organization runs a substance use treatment program under 42 CFR Part 2, and how one knows."""

    part2_program = code(PART2)
    because = text(1000)


@command(
    records="organization.part2_program_set",
    on=Organization,
    takes=SetPart2Program,
    within=q.own,
    allow=[[p.administers_it], [p.operates]],
    makes=Organization,
    purpose="administration",
)
def set_part2_program(work: Work, organization: Organization, *, part2_program: str, because: str) -> Organization:
    """Say it, on record: unless the answer is no, sending there needs Part 2 consent."""
    changed = organization.say_part2(part2_program, because=because, at=work.now, by=work.actor.user_id)
    work.record(organization, changed)
    return organization


class FacilityWords(AddressWords):
    """A facility, all of it, as it is to stand."""

    kind = code(KINDS, required=False)
    security = code(SECURITY, required=False)
    gender = code(GENDERS, required=False)
    age = code(AGES, required=False)
    capacity = whole(0, 100_000, required=False)
    county_fips = _matching(r"[0-9]{5}\Z", "not_a_county_code")
    phone = line(40, required=False)
    website = web_address()
    time_zone = code(ZONES, required=False)


class AddFacility(FacilityWords):
    """A new facility."""


@command(
    records="organization.facility_added",
    on=Organization,
    takes=AddFacility,
    within=q.own,
    allow=[[p.administers_it], [p.operates]],
    makes=Facility,
    purpose="administration",
)
def add_facility(
    work: Work,
    organization: Organization,
    *,
    name: str,
    kind: str | None,
    security: str | None,
    gender: str | None,
    age: str | None,
    capacity: int | None,
    address: str | None,
    city: str | None,
    county: str | None,
    county_fips: str | None,
    state: str | None,
    postal_code: str | None,
    latitude: str | None,
    longitude: str | None,
    phone: str | None,
    website: str | None,
    time_zone: str | None,
) -> Facility:
    """Add a facility to an agency; without a zone of its own it keeps the agency's."""
    return record_facility(
        work,
        organization,
        name=name,
        kind=kind,
        security=security,
        gender=gender,
        age=age,
        capacity=capacity,
        address=address,
        city=city,
        county=county,
        county_fips=county_fips,
        state=state,
        postal_code=postal_code,
        latitude=latitude,
        longitude=longitude,
        phone=phone,
        website=website,
        time_zone=time_zone or organization.time_zone,
    )


def record_facility(work: Work, organization: Organization, **said: Any) -> Facility:
    """Write a new facility of an agency as part of an act (of this room, or an import upstairs).

    Raises:
        WrongSideError: the organization is no agency.
        OrganizationEndedError: it no longer takes part.
    """
    organization.require_side(Side.AGENCY)
    facility = Facility(organization_id=organization.id, added_at=work.now, added_by=work.actor.user_id, **said)
    work.add(facility)
    return facility


class ChangeFacility(FacilityWords):
    """What a facility is: all of it, as it is to stand."""


@command(
    records="organization.facility_changed",
    on=Facility,
    takes=ChangeFacility,
    within=q.own_facilities,
    allow=[[p.administers_it]],
    makes=Facility,
    purpose="administration",
    edits=True,
)
def change_facility(
    work: Work,
    facility: Facility,
    *,
    name: str,
    kind: str | None,
    security: str | None,
    gender: str | None,
    age: str | None,
    capacity: int | None,
    address: str | None,
    city: str | None,
    county: str | None,
    county_fips: str | None,
    state: str | None,
    postal_code: str | None,
    latitude: str | None,
    longitude: str | None,
    phone: str | None,
    website: str | None,
    time_zone: str | None,
) -> Facility:
    """Describe the facility anew."""
    changed = facility.describe(
        name=name,
        kind=kind,
        security=security,
        gender=gender,
        age=age,
        capacity=capacity,
        address=address,
        city=city,
        county=county,
        county_fips=county_fips,
        state=state,
        postal_code=postal_code,
        latitude=latitude,
        longitude=longitude,
        phone=phone,
        website=website,
        time_zone=time_zone or facility.time_zone,
    )
    work.record(facility, changed)
    return facility


@command(
    records="organization.facility_ended",
    on=Facility,
    takes=Nothing,
    within=q.own_facilities,
    allow=[[p.administers_it]],
    makes=Facility,
    purpose="administration",
)
def end_facility(work: Work, facility: Facility) -> Facility:
    """Record that a facility is no longer used. What happened there keeps its name."""
    facility.end(at=work.now)
    work.record(facility, ["ended_at"])
    return facility


class AddRoom(Takes):
    """A place to meet inside a facility."""

    name = line(100)
    seats = whole(1, 1000)


@command(
    records="organization.room_added",
    on=Facility,
    takes=AddRoom,
    within=q.own_facilities,
    allow=[[p.administers_it]],
    makes=Room,
    purpose="administration",
)
def add_room(work: Work, facility: Facility, *, name: str, seats: int) -> Room:
    """Add a room to a facility."""
    facility.require_in_use()
    room = Room(facility_id=facility.id, name=name, seats=seats, added_at=work.now, added_by=work.actor.user_id)
    work.add(room)
    return room


@command(
    records="organization.room_ended",
    on=Room,
    takes=Nothing,
    within=q.own_rooms,
    allow=[[p.administers_it]],
    makes=Room,
    purpose="administration",
)
def end_room(work: Work, room: Room) -> Room:
    """Record that a room is no longer used."""
    room.end(at=work.now)
    work.record(room, ["ended_at"])
    return room


#: How far ahead a closing day may lie, and how many may: a calendar, not a way of never having to answer.
FARTHEST: Final = timedelta(days=366)
MOST_CLOSING_DAYS: Final = 30


class AddClosingDay(Takes):
    """A working day on which nobody is there to answer, and why."""

    closed_on = day()
    because = line(200)


@command(
    records="organization.closing_day_added",
    on=Organization,
    takes=AddClosingDay,
    within=q.own,
    allow=[[p.administers_it]],
    makes=ClosingDay,
    purpose="administration",
)
def add_closing_day(work: Work, organization: Organization, *, closed_on: date, because: str) -> ClosingDay:
    """Say that an organization is closed on a working day: from tomorrow on, so that no deadline moves on its last day.

    Raises:
        InvalidInputError: the day is not ahead, too far ahead, no working day, announced before, or one too many.
    """
    organization.require_in_force()
    today = day_of(work.now, organization.time_zone)
    ahead = {one.closed_on for one in q.closing_days(work.session, organization.id, today)}
    if closed_on <= today:
        fault = "not_ahead"
    elif closed_on > today + FARTHEST:
        fault = "too_far_ahead"
    elif not is_working_day(closed_on):
        fault = "no_working_day"
    elif closed_on in ahead:
        fault = "announced_before"
    elif len(ahead) >= MOST_CLOSING_DAYS:
        fault = "too_many_closing_days"
    else:
        closing = ClosingDay(
            organization_id=organization.id,
            closed_on=closed_on,
            because=because,
            added_at=work.now,
            added_by=work.actor.user_id,
        )
        work.add(closing)
        return closing
    raise InvalidInputError({"closed_on": [fault]})


@command(
    records="organization.closing_day_withdrawn",
    on=ClosingDay,
    takes=Nothing,
    within=q.own_closing_days,
    allow=[[p.administers_it]],
    makes=ClosingDay,
    purpose="administration",
)
def withdraw_closing_day(work: Work, closing: ClosingDay) -> ClosingDay:
    """Be open on a day after all, as long as it lies ahead."""
    today = day_of(work.now, closing.organization.time_zone)
    closing.withdraw(today=today, at=work.now, by=work.actor.me)
    work.record(closing, ["withdrawn_at", "withdrawn_by"])
    return closing


class LocationWords(AddressWords):
    """A location, all of it, as it is to stand."""

    access = text(1000, required=False)


class AddLocation(LocationWords):
    """A new location."""


@command(
    records="organization.location_added",
    on=Organization,
    takes=AddLocation,
    within=q.own,
    allow=[[p.administers_it], [p.operates]],
    makes=Location,
    purpose="administration",
)
def add_location(
    work: Work,
    organization: Organization,
    *,
    name: str,
    address: str | None,
    city: str | None,
    county: str | None,
    state: str | None,
    postal_code: str | None,
    latitude: str | None,
    longitude: str | None,
    access: str | None,
) -> Location:
    """Add a location to a community organization."""
    return record_location(
        work,
        organization,
        name=name,
        address=address,
        city=city,
        county=county,
        state=state,
        postal_code=postal_code,
        latitude=latitude,
        longitude=longitude,
        access=access,
    )


def record_location(work: Work, organization: Organization, **said: Any) -> Location:
    """Write a new location of a community organization as part of an act (of this room, or an import upstairs).

    Raises:
        WrongSideError: the organization is no community organization.
        OrganizationEndedError: it no longer takes part.
    """
    organization.require_side(Side.COMMUNITY)
    location = Location(organization_id=organization.id, added_at=work.now, added_by=work.actor.user_id, **said)
    work.add(location)
    return location


class ChangeLocation(LocationWords):
    """Where a location is: all of it, as it is to stand."""


@command(
    records="organization.location_changed",
    on=Location,
    takes=ChangeLocation,
    within=q.own_locations,
    allow=[[p.administers_it]],
    makes=Location,
    purpose="administration",
    edits=True,
)
def change_location(
    work: Work,
    location: Location,
    *,
    name: str,
    address: str | None,
    city: str | None,
    county: str | None,
    state: str | None,
    postal_code: str | None,
    latitude: str | None,
    longitude: str | None,
    access: str | None,
) -> Location:
    """Describe the location anew."""
    changed = location.describe(
        name=name,
        address=address,
        city=city,
        county=county,
        state=state,
        postal_code=postal_code,
        latitude=latitude,
        longitude=longitude,
        access=access,
    )
    work.record(location, changed)
    return location


@command(
    records="organization.location_ended",
    on=Location,
    takes=Nothing,
    within=q.own_locations,
    allow=[[p.administers_it]],
    makes=Location,
    purpose="administration",
)
def end_location(work: Work, location: Location) -> Location:
    """Record that a location is no longer used."""
    location.end(at=work.now)
    work.record(location, ["ended_at"])
    return location


def record_organization(work: Work, **said: Any) -> Organization:
    """Write a new organization as part of an import upstairs; its Part 2 answer is unknown (C9)."""
    joined = Organization(added_at=work.now, added_by=work.actor.user_id, **said)
    work.add(joined)
    return joined
