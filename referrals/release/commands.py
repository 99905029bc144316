"""What is recorded about a release."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from referrals.consent.commands import end_on_event
from referrals.kernel.actor import Side
from referrals.kernel.command import Work, command
from referrals.kernel.errors import InvalidInputError
from referrals.kernel.record import day_of
from referrals.kernel.schema import Takes, code, day, line, uid
from referrals.organization.models import Facility, Organization
from referrals.person.models import Person
from referrals.person.queries import visible_to as people_visible_to
from referrals.release import policy as p
from referrals.release.models import (
    AUTHORITATIVE,
    HEARD,
    SOURCES,
    UNKNOWN_BECAUSE,
    AlreadyReleasedError,
    NothingToCorrectError,
    NotReleasedError,
    ReleaseDate,
)
from referrals.release.queries import in_force, released_before

#: Codes that the doors offer as choices.
__all__ = ["AUTHORITATIVE", "HEARD", "SOURCES", "UNKNOWN_BECAUSE"]


class RecordReleaseDate(Takes):
    """A day or why it is unknown, where, who says so and as of when."""

    expected_on = day(required=False)
    unknown_because = code(UNKNOWN_BECAUSE, required=False)
    facility_id = uid(required=False)
    source = code(SOURCES)
    said_by = line(200, required=False)
    as_of = day()


class RecordRelease(Takes):
    """The day somebody was in fact released, who says so and as of when."""

    released_on = day()
    facility_id = uid(required=False)
    source = code(AUTHORITATIVE)
    said_by = line(200, required=False)
    as_of = day()


class RecordReturn(Takes):
    """The day somebody came back to custody, and when they are expected to leave again or why nobody knows."""

    returned_on = day()
    expected_on = day(required=False)
    unknown_because = code(UNKNOWN_BECAUSE, required=False)
    facility_id = uid(required=False)
    source = code(AUTHORITATIVE)
    said_by = line(200, required=False)
    as_of = day()


class CorrectRelease(Takes):
    """Which statement was a mistake, and what is so instead: released on a day, expected on one, or unknown and why.

    `returned_on` only where the mistake is about a return that did happen, on another day.
    """

    mistaken_id = uid()
    released_on = day(required=False)
    returned_on = day(required=False)
    expected_on = day(required=False)
    unknown_because = code(UNKNOWN_BECAUSE, required=False)
    facility_id = uid(required=False)
    source = code(AUTHORITATIVE)
    said_by = line(200, required=False)
    as_of = day()


@command(
    records="release.date_recorded",
    on=Person,
    takes=RecordReleaseDate,
    within=people_visible_to,
    allow=[[p.works_with_participants]],
    makes=ReleaseDate,
    purpose="administration",
)
def record_release_date(
    work: Work,
    person: Person,
    *,
    expected_on: date | None,
    unknown_because: str | None,
    facility_id: UUID | None,
    source: str,
    said_by: str | None,
    as_of: date,
) -> ReleaseDate:
    """Keep when a participant is expected to be released, or that nobody knows yet; earlier statements stay.

    Only the agency that recorded the participant speaks with authority; anybody may keep what they heard.

    Raises:
        AlreadyReleasedError: an actual release is in force.
    """
    faults = _faults(work, person, facility_id, source, as_of)
    faults |= _day_or_reason(expected_on, unknown_because)
    if faults:
        raise InvalidInputError(faults)
    present = in_force(work.session, [person.id]).get(person.id)
    if source in AUTHORITATIVE and present is not None and present.released_on is not None:
        raise AlreadyReleasedError(on=present.released_on)
    return _kept(
        work,
        person,
        expected_on=expected_on,
        unknown_because=unknown_because,
        facility_id=facility_id,
        source=source,
        said_by=said_by,
        as_of=as_of,
    )


@command(
    records="release.released",
    on=Person,
    takes=RecordRelease,
    within=people_visible_to,
    allow=[[p.is_of_its_agency, p.works_with_participants]],
    makes=ReleaseDate,
    purpose="administration",
)
def record_release(
    work: Work,
    person: Person,
    *,
    released_on: date,
    facility_id: UUID | None,
    source: str,
    said_by: str | None,
    as_of: date,
) -> ReleaseDate:
    """Keep that a participant was released; consents that were to end with it end in the same act (C7).

    Raises:
        AlreadyReleasedError: it is on record.
    """
    faults = _faults(work, person, facility_id, source, as_of)
    if released_on > _today(work, person):
        faults["released_on"] = ["in_future"]
    if faults:
        raise InvalidInputError(faults)
    present = in_force(work.session, [person.id]).get(person.id)
    if present is not None and present.released_on is not None:
        raise AlreadyReleasedError(on=present.released_on)
    end_on_event(work, person.id, "released")
    return _kept(
        work,
        person,
        released_on=released_on,
        facility_id=facility_id,
        source=source,
        said_by=said_by,
        as_of=as_of,
    )


@command(
    records="release.returned",
    on=Person,
    takes=RecordReturn,
    within=people_visible_to,
    allow=[[p.is_of_its_agency, p.works_with_participants]],
    makes=ReleaseDate,
    purpose="administration",
)
def record_return(
    work: Work,
    person: Person,
    *,
    returned_on: date,
    expected_on: date | None,
    unknown_because: str | None,
    facility_id: UUID | None,
    source: str,
    said_by: str | None,
    as_of: date,
) -> ReleaseDate:
    """Keep that somebody who was released is back in custody. Nothing ends by it: both sides say what still fits (E24).

    Raises:
        NotReleasedError: no release is in force.
    """
    faults = _faults(work, person, facility_id, source, as_of) | _day_or_reason(expected_on, unknown_because)
    present = in_force(work.session, [person.id]).get(person.id)
    released_on = None if present is None else present.released_on
    if returned_on > _today(work, person):
        faults["returned_on"] = ["in_future"]
    elif released_on is not None and returned_on < released_on:
        faults["returned_on"] = ["before_release"]
    if expected_on is not None and expected_on < returned_on:
        faults["expected_on"] = ["before_return"]
    if faults:
        raise InvalidInputError(faults)
    if released_on is None:
        raise NotReleasedError
    return _kept(
        work,
        person,
        returned_on=returned_on,
        expected_on=expected_on,
        unknown_because=unknown_because,
        facility_id=facility_id,
        source=source,
        said_by=said_by,
        as_of=as_of,
    )


@command(
    records="release.corrected",
    on=Person,
    takes=CorrectRelease,
    within=people_visible_to,
    allow=[[p.is_of_its_agency, p.works_with_participants]],
    makes=ReleaseDate,
    purpose="administration",
)
def correct_release(
    work: Work,
    person: Person,
    *,
    mistaken_id: UUID,
    released_on: date | None,
    returned_on: date | None,
    expected_on: date | None,
    unknown_because: str | None,
    facility_id: UUID | None,
    source: str,
    said_by: str | None,
    as_of: date,
) -> ReleaseDate:
    """Keep that a release or a return on record never was, or was on another day, and what is so instead.

    Nobody has to record a return to custody that did not happen to take back a release that did not. Both entries stay.
    Consents that ended with the release stay ended: whoever gave them is asked again (C7).

    Raises:
        NothingToCorrectError: this statement says neither, or is not the one in force.
    """
    present = in_force(work.session, [person.id]).get(person.id)
    if present is None or present.id != mistaken_id or not present.is_of_custody:
        raise NothingToCorrectError
    said_again = released_on is not None
    faults = _faults(work, person, facility_id, source, as_of)
    faults |= {} if said_again else _day_or_reason(expected_on, unknown_because)
    if said_again and (expected_on is not None or unknown_because is not None or returned_on is not None):
        faults["released_on"] = ["released_or_held"]
    for name, on in (("released_on", released_on), ("returned_on", returned_on)):
        if on is not None and on > _today(work, person):
            faults[name] = ["in_future"]
    if returned_on is not None and present.returned_on is None:
        faults["returned_on"] = ["not_of_this"]
    left_on = released_before(work.session, present)
    if returned_on is not None and left_on is not None and returned_on < left_on:
        faults["returned_on"] = ["before_release"]
    if returned_on is not None and expected_on is not None and expected_on < returned_on:
        faults["expected_on"] = ["before_return"]
    if faults:
        raise InvalidInputError(faults)
    return _kept(
        work,
        person,
        corrects_id=present.id,
        released_on=released_on,
        returned_on=returned_on,
        expected_on=expected_on,
        unknown_because=unknown_because,
        # Where they are held, if nobody says otherwise: what was wrong is that they left, or came back.
        facility_id=facility_id or present.facility_id,
        source=source,
        said_by=said_by,
        as_of=as_of,
    )


def _kept(work: Work, person: Person, **said: date | UUID | str | None) -> ReleaseDate:
    """Save a statement, by whoever makes it now, with what it says.

    Where the agency's own says that they are held elsewhere now, the participant's row follows.
    """
    row = ReleaseDate(
        participant_id=person.id,
        organization_id=work.actor.organization,
        recorded_at=work.now,
        recorded_by=work.actor.me,
        **said,
    )
    if row.source in AUTHORITATIVE:
        held_at = None if row.released_on is not None else row.facility_id
        if (row.released_on is not None or held_at is not None) and person.facility_id != held_at:
            work.record(person, person.correct(facility_id=held_at))
    work.add(row)
    return row


def _day_or_reason(expected_on: date | None, unknown_because: str | None) -> dict[str, list[str]]:
    """Return what is wrong where not exactly one of them is said."""
    if expected_on is None and unknown_because is None:
        return {"expected_on": ["day_or_reason"]}
    if expected_on is not None and unknown_because is not None:
        return {"unknown_because": ["day_or_reason"]}
    return {}


def _faults(work: Work, person: Person, facility_id: UUID | None, source: str, as_of: date) -> dict[str, list[str]]:
    faults: dict[str, list[str]] = {}
    is_agencys = work.actor.side == Side.AGENCY and work.actor.organization == person.organization_id
    if source in AUTHORITATIVE and not is_agencys:
        faults["source"] = ["only_the_agency"]
    if facility_id is not None:
        facility = work.session.get(Facility, facility_id)
        if facility is None or facility.organization_id != person.organization_id or facility.ended_at is not None:
            faults["facility_id"] = ["not_a_choice"]
    if as_of > _today(work, person):
        faults["as_of"] = ["in_future"]
    return faults


def _today(work: Work, person: Person) -> date:
    agency = work.session.get_one(Organization, person.organization_id)
    return day_of(work.now, agency.time_zone)
