"""What is done about a participant's record and care team."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from referrals.account.queries import is_colleague
from referrals.kernel import crypto
from referrals.kernel.actor import Role, Side
from referrals.kernel.command import Work, command
from referrals.kernel.errors import InvalidInputError
from referrals.kernel.record import day_of
from referrals.kernel.schema import Takes, code, day, line, text, uid, yes_no
from referrals.organization.models import Facility, Organization
from referrals.organization.queries import own
from referrals.person import policy as p
from referrals.person.models import (
    END_REASONS_BY_HAND,
    LANGUAGES,
    REASONS_BY_HAND,
    TIES_BY_HAND,
    TOLD_OF_DEATH,
    AlreadyAssignedError,
    Assignment,
    DeathOnRecordError,
    DeathRecord,
    DeathTakenBackError,
    LikelyDuplicateError,
    NumberTakenError,
    Person,
    UnseenDuplicateError,
)
from referrals.person.queries import (
    Alike,
    alike,
    assignments_visible_to,
    deaths_of,
    deaths_within_reach,
    known_among,
    visible_to,
)

#: Codes that the doors offer as choices.
__all__ = ["END_REASONS_BY_HAND", "LANGUAGES", "REASONS_BY_HAND", "TOLD_OF_DEATH"]

#: How colleagues of each side may help.
TIES_OF_SIDE = {
    Side.AGENCY: ("case_manager", "supervising_officer", "supervisor"),
    Side.COMMUNITY: ("navigator", "supervisor"),
}


class ChangeIdentity(Takes):
    """Who a participant is."""

    given_name = line(100)
    family_name = line(100)
    preferred_name = line(100, required=False)
    birth_date = day()
    language = code(LANGUAGES)
    agency_number = line(40)


class ChangeContacts(Takes):
    """How to reach a participant."""

    phone = line(40, required=False)
    email = line(200, required=False)
    address = text(500, required=False)


class AddParticipant(ChangeIdentity, ChangeContacts):
    """A new participant; `although_alike` says that the likely duplicates were looked at."""

    facility_id = uid(required=False)
    although_alike = yes_no()


class MoveToFacility(Takes):
    """Where a participant is held now; nothing when nowhere."""

    facility_id = uid(required=False)


class AssignToCareTeam(Takes):
    """Who of one's own organization helps, how, and why."""

    user_id = uid()
    tie = code(TIES_BY_HAND)
    reason = code(REASONS_BY_HAND)
    reason_text = text(500, required=False)


class EndAssignment(Takes):
    """Why somebody leaves a care team."""

    because = code(END_REASONS_BY_HAND)


class RecordDeath(Takes):
    """That a participant has died: from whom one knows, the day if it is known, and that it is the right person."""

    told_by = code(TOLD_OF_DEATH)
    died_on = day(required=False)
    words = text(500, required=False)
    is_checked = yes_no()


class TakeBackDeath(Takes):
    """Why the record of a death was a mistake."""

    because = text(500)


@command(
    records="person.added",
    on=Organization,
    takes=AddParticipant,
    within=own,
    allow=[[p.belongs_to_it, p.writes_an_agencys_record]],
    makes=Person,
    purpose="administration",
)
def add_participant(
    work: Work,
    organization: Organization,
    *,
    given_name: str,
    family_name: str,
    preferred_name: str | None,
    birth_date: date,
    language: str,
    agency_number: str,
    phone: str | None,
    email: str | None,
    address: str | None,
    facility_id: UUID | None,
    although_alike: bool,
) -> Person:
    """Record a participant of one's agency, with a key of their own, and oneself as the first of their care team.

    Raises:
        NumberTakenError: the agency has this number already.
        LikelyDuplicateError: the agency has somebody of this family name with the same birth date or phone, or a
            similar given name.
        UnseenDuplicateError: the same, and the actor may know of none of them.
    """
    _check_identity(work, birth_date, agency_number)
    _check_facility(work, organization.id, facility_id)
    _check_number(work, organization.id, agency_number)
    if not although_alike:
        _check_alike(work, organization.id, Alike(given_name, family_name, birth_date, phone, preferred_name))
    person = Person(
        log_ref=uuid4(),
        organization_id=organization.id,
        facility_id=facility_id,
        given_name=given_name,
        family_name=family_name,
        preferred_name=preferred_name,
        birth_date=birth_date,
        language=language,
        agency_number=agency_number,
        phone=phone,
        email=email,
        address=address,
        added_at=work.now,
        added_by=work.actor.me,
        version=1,
    )
    crypto.ring_of(work.session).birth(work.session, "participant", person.id)
    work.add(person)
    leads = work.actor.works_as(Role.CASE_MANAGER)
    assign(
        work,
        person.id,
        organization_id=organization.id,
        user_id=work.actor.me,
        tie="case_manager" if leads else "supervising_officer",
        reason="new_to_agency",
    )
    return person


@command(
    records="person.identity_changed",
    on=Person,
    takes=ChangeIdentity,
    within=visible_to,
    allow=[[p.is_of_its_agency, p.writes_an_agencys_record]],
    makes=Person,
    purpose="administration",
    edits=True,
)
def change_identity(
    work: Work,
    person: Person,
    *,
    given_name: str,
    family_name: str,
    preferred_name: str | None,
    birth_date: date,
    language: str,
    agency_number: str,
) -> Person:
    """Correct who a participant is.

    Raises:
        NumberTakenError: another participant of the agency has this number.
    """
    _check_identity(work, birth_date, agency_number)
    _check_number(work, person.organization_id, agency_number, but=person.id)
    changed = person.correct(
        given_name=given_name,
        family_name=family_name,
        preferred_name=preferred_name,
        birth_date=birth_date,
        language=language,
        agency_number=agency_number,
    )
    work.record(person, changed)
    return person


@command(
    records="person.contacts_changed",
    on=Person,
    takes=ChangeContacts,
    within=visible_to,
    allow=[[p.is_of_its_agency, p.writes_an_agencys_record]],
    makes=Person,
    purpose="administration",
    edits=True,
)
def change_contacts(work: Work, person: Person, *, phone: str | None, email: str | None, address: str | None) -> Person:
    """Change how to reach a participant."""
    work.record(person, person.correct(phone=phone, email=email, address=address))
    return person


@command(
    records="person.moved",
    on=Person,
    takes=MoveToFacility,
    within=visible_to,
    allow=[[p.is_of_its_agency, p.writes_an_agencys_record]],
    makes=Person,
    purpose="administration",
    edits=True,
)
def move_to_facility(work: Work, person: Person, *, facility_id: UUID | None) -> Person:
    """Say where a participant is held now."""
    _check_facility(work, person.organization_id, facility_id)
    work.record(person, person.correct(facility_id=facility_id))
    return person


@command(
    records="person.assigned",
    on=Person,
    takes=AssignToCareTeam,
    within=visible_to,
    allow=[[p.works_with_participants]],
    makes=Assignment,
    purpose="administration",
)
def assign_to_care_team(
    work: Work, person: Person, *, user_id: UUID, tie: str, reason: str, reason_text: str | None
) -> Assignment:
    """Bring a colleague of one's own organization onto a participant's care team.

    Raises:
        AlreadyAssignedError: they are on it in this way already.
    """
    faults: dict[str, list[str]] = {}
    if not _is_colleague(work.session, work.actor.organization, user_id):
        faults["user_id"] = ["not_a_colleague"]
    if work.actor.side is None or tie not in TIES_OF_SIDE[work.actor.side]:
        faults["tie"] = ["not_a_choice"]
    if reason == "other" and not reason_text:
        faults["reason_text"] = ["required"]
    if faults:
        raise InvalidInputError(faults)
    present = work.session.scalars(
        select(Assignment.from_at).where(
            Assignment.participant_id == person.id,
            Assignment.user_id == user_id,
            Assignment.tie == tie,
            Assignment.until_at.is_(None),
            Assignment.referral_id.is_(None),
        )
    ).first()
    if present is not None:
        raise AlreadyAssignedError(at=present)
    return assign(
        work,
        person.id,
        organization_id=work.actor.organization,
        user_id=user_id,
        tie=tie,
        reason=reason,
        reason_text=reason_text,
    )


@command(
    records="person.assignment_ended",
    on=Assignment,
    takes=EndAssignment,
    within=assignments_visible_to,
    allow=[[p.works_with_participants, p.is_of_its_organization]],
    makes=Assignment,
    purpose="administration",
)
def end_assignment(work: Work, assignment: Assignment, *, because: str) -> Assignment:
    """End somebody's place on a care team, from the next request on.

    With its last place an organization loses the participant from sight, supervisors included. Nobody there can add
    them again; a community organization gets them back by a new referral alone, an agency by nothing.

    Raises:
        AssignmentEndedError: it ended before.
    """
    work.record(assignment, assignment.end(at=work.now, by=work.actor.me, because=because))
    return assignment


@command(
    records="person.death_recorded",
    on=Person,
    takes=RecordDeath,
    within=visible_to,
    allow=[[p.works_with_participants]],
    makes=DeathRecord,
    purpose="administration",
)
def record_death(
    work: Work, person: Person, *, told_by: str, died_on: date | None, words: str | None, is_checked: bool
) -> DeathRecord:
    """Put on record that a participant has died: from now on, nothing is asked of anybody for them (R5).

    Raises:
        DeathOnRecordError: that is on record already.
    """
    faults: dict[str, list[str]] = {}
    if died_on is not None and died_on > day_of(work.now, work.actor.zone):
        faults["died_on"] = ["in_future"]
    elif died_on is not None and died_on < person.birth_date:
        faults["died_on"] = ["before_birth"]
    if told_by == "other" and not words:
        faults["words"] = ["required"]
    if not is_checked:
        faults["is_checked"] = ["check_the_person"]
    if faults:
        raise InvalidInputError(faults)
    if deaths_of(work.session, [person.id], work.now):
        raise DeathOnRecordError
    is_their_agencys = work.actor.organization == person.organization_id
    record = DeathRecord(
        participant_id=person.id,
        organization_id=work.actor.organization,
        category="identity" if is_their_agencys else "attendance",
        at=work.now,
        by=work.actor.me,
        died_on=died_on,
        told_by=told_by,
        words=words,
    )
    work.add(record)
    return record


@command(
    records="person.death_withdrawn",
    on=DeathRecord,
    takes=TakeBackDeath,
    within=deaths_within_reach,
    allow=[[p.works_with_participants]],
    makes=DeathRecord,
    purpose="administration",
)
def take_back_death(work: Work, record: DeathRecord, *, because: str) -> DeathRecord:
    """Say that the record of a death was a mistake. Both entries stay.

    Raises:
        DeathTakenBackError: somebody said so before.
    """
    if record.id not in {one.id for one in deaths_of(work.session, [record.participant_id], work.now).values()}:
        raise DeathTakenBackError
    entry = record.take_back(at=work.now, by=work.actor.me, organization_id=work.actor.organization, because=because)
    work.add(entry)
    return entry


def assign(
    work: Work,
    participant_id: UUID,
    *,
    organization_id: UUID,
    tie: str,
    reason: str,
    user_id: UUID | None = None,
    program_id: UUID | None = None,
    facility_id: UUID | None = None,
    referral_id: UUID | None = None,
    reason_text: str | None = None,
) -> Assignment:
    """Write an assignment as part of an act: of one user, one program's intake list, or one facility's desk (C10).

    For rooms upstairs, too: sending a referral writes one for the intake list, accepting it one for the caseworker.
    """
    row = Assignment(
        participant_id=participant_id,
        organization_id=organization_id,
        user_id=user_id,
        program_id=program_id,
        facility_id=facility_id,
        tie=tie,
        reason=reason,
        reason_text=reason_text,
        from_at=work.now,
        from_by=work.actor.user_id,
        referral_id=referral_id,
    )
    work.add(row)
    return row


def end_assignments(
    work: Work,
    participant_id: UUID,
    referral_id: UUID,
    *,
    because: str = "referral_ended",
    only: Collection[UUID] | None = None,
    at_org: UUID | None = None,
) -> list[Assignment]:
    """End, as part of an act, the assignments that one referral brought about.

    `only` those of these users; `at_org`: only those of this organization.
    """
    brought = select(Assignment).where(
        Assignment.participant_id == participant_id,
        Assignment.referral_id == referral_id,
        Assignment.until_at.is_(None),
    )
    if only is not None:
        brought = brought.where(Assignment.user_id.in_(only))
    if at_org is not None:
        brought = brought.where(Assignment.organization_id == at_org)
    rows = work.session.scalars(brought.with_for_update(of=Assignment)).all()
    for row in rows:
        work.record(row, row.end(at=work.now, by=work.actor.user_id, because=because))
    return list(rows)


def _check_identity(work: Work, birth_date: date, agency_number: str) -> None:
    faults: dict[str, list[str]] = {}
    if birth_date > day_of(work.now, work.actor.zone):
        faults["birth_date"] = ["in_future"]
    if not crypto.numbers(agency_number):
        faults["agency_number"] = ["not_accepted"]
    if faults:
        raise InvalidInputError(faults)


def _check_facility(work: Work, organization_id: UUID, facility_id: UUID | None) -> None:
    if facility_id is None:
        return
    facility = work.session.get(Facility, facility_id)
    if facility is None or facility.organization_id != organization_id or facility.ended_at is not None:
        raise InvalidInputError({"facility_id": ["not_your_facility"]})


def _check_number(work: Work, organization_id: UUID, agency_number: str, *, but: UUID | None = None) -> None:
    """Refuse a number that the agency has given already; name its holder only to who may know of them (C14)."""
    session = work.session
    holder = session.scalars(
        select(Person.id).where(
            Person.organization_id == organization_id,
            crypto.matches(session, Person, "by_number", agency_number, partition=organization_id),
        )
    ).first()
    if holder is None or holder == but:
        return
    known = known_among(session, work.actor, [holder])
    raise NumberTakenError(**({"person_id": holder} if known else {}))


def _check_alike(work: Work, organization_id: UUID, asked: Alike) -> None:
    """Refuse whoever may be on record already; name those whom the actor may know of, and count all."""
    rows = alike(work.session, organization_id, asked)
    if rows:
        known = known_among(work.session, work.actor, [row.id for row, _why in rows])
        refusal = LikelyDuplicateError if known else UnseenDuplicateError
        raise refusal(count=len(rows), person_ids=sorted(str(one) for one in known))


def _is_colleague(session: Session, organization_id: UUID, user_id: UUID) -> bool:
    """Whether this is somebody of the organization who works with participants."""
    return is_colleague(session, organization_id, user_id, p.WORKING, integrations=True)
