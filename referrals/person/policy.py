"""Who stands where towards a participant."""

from __future__ import annotations

from typing import Final

from referrals.kernel.actor import Actor, Role, Side
from referrals.organization.models import Organization
from referrals.person.models import Assignment, Person

#: The roles that work with participants; no other role opens a participant's record (C10).
WORKING: Final = (Role.CASE_MANAGER, Role.SUPERVISING_OFFICER, Role.NAVIGATOR, Role.SUPERVISOR)
#: The roles that write an agency's record of a participant.
WRITING: Final = (Role.CASE_MANAGER, Role.SUPERVISING_OFFICER)


def belongs_to_it(actor: Actor, organization: Organization) -> bool:
    """May, if the actor belongs to this organization."""
    return actor.organization_id == organization.id


def writes_an_agencys_record(actor: Actor, _thing: object) -> bool:
    """May, if the actor is a case manager or supervising officer of an agency."""
    return actor.side == Side.AGENCY and actor.works_as(*WRITING)


def works_with_participants(actor: Actor, _thing: object) -> bool:
    """May, if the actor's role works with participants."""
    return actor.works_as(*WORKING)


def is_of_its_agency(actor: Actor, person: Person) -> bool:
    """May, if the actor belongs to the agency that recorded the participant."""
    return actor.organization_id == person.organization_id


def is_of_its_organization(actor: Actor, assignment: Assignment) -> bool:
    """May, if the assignment is one of the actor's own organization."""
    return actor.organization_id == assignment.organization_id


def supervises(actor: Actor) -> bool:
    """Answers for colleagues' work with participants."""
    return actor.works_as(Role.SUPERVISOR)
