"""What can be done about programs: each verb with its words, its grant and its record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields

from referrals.kernel.command import Work, command
from referrals.kernel.errors import ChangedMeanwhileError, InvalidInputError
from referrals.kernel.schema import Takes, code, codes, line, text, uid, whole
from referrals.organization import queries as organizations
from referrals.organization.commands import email, web_address
from referrals.organization.models import Location, Organization
from referrals.program import policy as p
from referrals.program import queries as q
from referrals.program.models import CAPACITIES, LANGUAGES, SERVICES, IntakeMember, Program, capacity_faults, once

#: How many areas a program may name.
PLACES = 50


class Places(fields.List[str]):
    """Areas served: a list of lines, or what a form sends: text with one area on each line."""

    def __init__(self) -> None:
        """Bound the list and each line of it; the longest name of a county with its state is well below 100."""
        super().__init__(line(100, least=0), load_default=[], validate=_few)

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> list[Any]:
        """Split what came as text; keep each area once."""
        if isinstance(value, str):
            value = value.splitlines()
        elif isinstance(value, list) and all(isinstance(one, str) for one in value):
            value = [part for one in value for part in one.splitlines()]
        try:
            given = super()._deserialize(value, attr, data, **kwargs)
        except ValidationError as fault:  # a form has one field for all of them, so the fault is the list's
            faults = fault.messages.values() if isinstance(fault.messages, dict) else [fault.messages]
            raise ValidationError(sorted({code for codes in faults for code in codes})) from None
        return once(one for one in given if one)


def _few(values: list[str]) -> None:
    if len(values) > PLACES:
        raise ValidationError("too_long")


class ProgramWords(Takes):
    """A program, all of it, as it is to stand."""

    name = line(200)
    description = text(4000, required=False)
    categories = codes(SERVICES)
    eligibility = text(4000, required=False)
    evidence = text(2000, required=False)
    evidence_source = text(500, required=False)
    languages = codes(LANGUAGES)
    places = Places()
    phone = line(40, required=False)
    email = email()
    website = web_address()
    location_id = uid(required=False)


class AddProgram(ProgramWords):
    """A new program."""


@command(
    records="program.added",
    on=Organization,
    takes=AddProgram,
    within=organizations.own,
    allow=[[p.leads_it]],
    makes=Program,
    purpose="administration",
)
def add_program(
    work: Work,
    organization: Organization,
    *,
    name: str,
    description: str | None,
    categories: list[str],
    eligibility: str | None,
    evidence: str | None,
    evidence_source: str | None,
    languages: list[str],
    places: list[str],
    phone: str | None,
    email: str | None,
    website: str | None,
    location_id: UUID | None,
) -> Program:
    """Offer a program. Nobody answers for it, and nothing is said about its capacity, until somebody does."""
    _require_own_location(work, organization.id, location_id)
    return record_program(
        work,
        organization,
        name=name,
        description=description,
        categories=categories,
        eligibility=eligibility,
        evidence=evidence,
        evidence_source=evidence_source,
        languages=languages,
        places=places,
        phone=phone,
        email=email,
        website=website,
        location_id=location_id,
    )


def record_program(work: Work, organization: Organization, **said: Any) -> Program:
    """Write a new program of a community organization as part of an act (of this room, or an import upstairs).

    Raises:
        NotACommunityOrganizationError: the organization is an agency.
        OrganizationEndedError: it no longer takes part.
    """
    program = Program.offered_by(organization, added_at=work.now, added_by=work.actor.user_id, **said)
    work.add(program)
    return program


def _require_own_location(work: Work, organization_id: UUID, location_id: UUID | None) -> None:
    if location_id is None:
        return
    location = work.session.get(Location, location_id)
    if location is None or location.organization_id != organization_id or location.ended_at is not None:
        raise InvalidInputError({"location_id": ["not_a_choice"]})


class ChangeProgram(ProgramWords):
    """What a program is: all of it, as it is to stand."""


@command(
    records="program.changed",
    on=Program,
    takes=ChangeProgram,
    within=q.own,
    allow=[[p.offers_it]],
    makes=Program,
    purpose="administration",
    edits=True,
)
def change_program(
    work: Work,
    program: Program,
    *,
    name: str,
    description: str | None,
    categories: list[str],
    eligibility: str | None,
    evidence: str | None,
    evidence_source: str | None,
    languages: list[str],
    places: list[str],
    phone: str | None,
    email: str | None,
    website: str | None,
    location_id: UUID | None,
) -> Program:
    """Describe the program anew."""
    if location_id != program.location_id:
        _require_own_location(work, program.organization_id, location_id)
    changed = program.describe(
        name=name,
        description=description,
        categories=categories,
        eligibility=eligibility,
        evidence=evidence,
        evidence_source=evidence_source,
        languages=languages,
        places=places,
        phone=phone,
        email=email,
        website=website,
        location_id=location_id,
    )
    work.record(program, changed)
    return program


class CloseProgram(Takes):
    """Why the program takes nobody any more."""

    because = text(1000)


@command(
    records="program.closed",
    on=Program,
    takes=CloseProgram,
    within=q.own,
    allow=[[p.leads_it]],
    makes=Program,
    purpose="administration",
)
def close_program(work: Work, program: Program, *, because: str) -> Program:
    """Take nobody any more. Referrals that run go on; nobody can send a new one."""
    program.close(at=work.now, by=work.actor.user_id, because=because)
    work.record(program, ["closed_at", "closed_by", "closed_because", "version"])
    return program


class SetCapacity(Takes):
    """Whether there is room, in the codes of R15; numbers where they are known."""

    capacity_code = code(CAPACITIES)
    open_places = whole(0, 10_000, required=False)
    waiting = whole(0, 10_000, required=False)
    expected_days = whole(0, 730, required=False)


@command(
    records="program.capacity_set",
    on=Program,
    takes=SetCapacity,
    within=q.own,
    allow=[[p.offers_it]],
    makes=Program,
    purpose="administration",
    edits=True,
)
def set_capacity(
    work: Work,
    program: Program,
    *,
    capacity_code: str,
    open_places: int | None,
    waiting: int | None,
    expected_days: int | None,
) -> Program:
    """Say whether there is room, as of now."""
    if faults := capacity_faults(capacity_code, open_places):
        raise InvalidInputError(faults)
    changed = program.say_capacity(
        capacity_code,
        open_places=open_places,
        waiting=waiting,
        expected_days=expected_days,
        at=work.now,
        by=work.actor.user_id,
    )
    work.record(program, changed)
    return program


class ConfirmCapacity(Takes):
    """The code that is still true: what the person saw, so that nobody confirms what another has just changed."""

    capacity_code = code(CAPACITIES)


@command(
    records="program.capacity_confirmed",
    on=Program,
    takes=ConfirmCapacity,
    within=q.own,
    allow=[[p.offers_it]],
    makes=Program,
    purpose="administration",
)
def confirm_capacity(work: Work, program: Program, *, capacity_code: str) -> Program:
    """Say that what was said last about capacity is still true."""
    if program.capacity_code is not None and program.capacity_code != capacity_code:
        raise ChangedMeanwhileError
    changed = program.confirm_capacity(at=work.now, by=work.actor.user_id)
    work.record(program, changed)
    return program


class AddToIntake(Takes):
    """Who is to answer."""

    user_id = uid()


@command(
    records="program.intake_added",
    on=Program,
    takes=AddToIntake,
    within=q.own,
    allow=[[p.leads_it]],
    makes=IntakeMember,
    purpose="administration",
)
def add_to_intake(work: Work, program: Program, *, user_id: UUID) -> IntakeMember:
    """Put a colleague on the list of those who answer referrals to the program."""
    if user_id not in {user.id for user in q.may_answer(work.session, program.organization_id)}:
        raise InvalidInputError({"user_id": ["not_a_choice"]})
    member = program.let_answer(user_id, at=work.now, by=work.actor.user_id)
    work.add(member)
    return member


class RemoveFromIntake(Takes):
    """Who answers no longer."""

    user_id = uid()


@command(
    records="program.intake_removed",
    on=Program,
    takes=RemoveFromIntake,
    within=q.own,
    allow=[[p.leads_it]],
    makes=Program,
    purpose="administration",
)
def remove_from_intake(work: Work, program: Program, *, user_id: UUID) -> Program:
    """Take somebody off the list. A list without anybody leaves the answers to the supervisors."""
    member = program.membership_of(user_id)
    member.end(at=work.now, by=work.actor.user_id)
    work.record(member, ["ended_at", "ended_by"])
    return program
