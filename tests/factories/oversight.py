"""Two agencies, a community organization, their people, and a few acts for the log to hold."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from referrals.kernel import look
from referrals.kernel.actor import Actor
from referrals.person import queries as people
from tests.factories.account import a_case_manager, a_navigator, an_auditor
from tests.factories.consent import a_consent
from tests.factories.organization import a_community_organization, an_agency
from tests.factories.partnership import an_agreement
from tests.factories.person import a_participant, as_if_referred

NUMBER = "CN-77120"


@dataclass(frozen=True, slots=True)
class Watched:
    """Who is there, and the participant of the first agency (`ref` names them in the log)."""

    agency: UUID
    other_agency: UUID
    community: UUID
    auditor: Actor
    other_auditor: Actor
    community_auditor: Actor
    case_manager: Actor
    other_case_manager: Actor
    navigator: Actor
    person: UUID
    ref: UUID
    other_person: UUID
    other_ref: UUID


def a_watched_house(session: Session, **said: str) -> Watched:
    """Make it: each agency has a case manager with one participant; the first one's is shared with the navigator."""
    first, third = an_agency(session), a_community_organization(session)
    an_agreement(session, first, third)
    agency, other, community = first.id, an_agency(session, "Delta Probation").id, third.id
    case_manager = a_case_manager(session, agency)
    other_case_manager = a_case_manager(session, other, name="Kim Ives")
    navigator = a_navigator(session, community)
    person = a_participant(session, case_manager, agency_number=NUMBER, **said)
    other_person = a_participant(session, other_case_manager, agency_number=NUMBER)
    a_consent(session, case_manager, person.id, community)
    as_if_referred(session, person.id, community, user_id=navigator.me)
    refs = (person.log_ref, other_person.log_ref)
    assert refs[0] is not None
    assert refs[1] is not None
    return Watched(
        agency,
        other,
        community,
        an_auditor(session, agency),
        an_auditor(session, other, name="Ola Berg"),
        an_auditor(session, community, name="Cy Young"),
        case_manager,
        other_case_manager,
        navigator,
        person.id,
        refs[0],
        other_person.id,
        refs[1],
    )


def see(session: Session, actor: Actor, person: UUID) -> None:
    """Look at a participant's page, on record."""
    with look.looking(session):
        people.participant(session, actor, person)
