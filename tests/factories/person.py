"""Made-up participants, made as the service makes them: by commands, on record."""

from __future__ import annotations

import itertools
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.orm import Session

from referrals.kernel.actor import Actor
from referrals.kernel.command import execute
from referrals.kernel.orm import uuid7
from referrals.kernel.record import clock, commit, start_writing
from referrals.person import commands
from referrals.person.models import Assignment, Person

_numbers = itertools.count(1001)


def details(**said: Any) -> dict[str, Any]:
    """Return the words for a participant: Rosa Núñez, born 1988, Spanish, with a number of her own."""
    return {
        "given_name": "Rosa",
        "family_name": "Núñez",
        "birth_date": "1988-02-29",
        "language": "es",
        "agency_number": f"AB-{next(_numbers)}",
        "phone": "(510) 555-0142",
    } | said


def a_participant(session: Session, actor: Actor, **said: Any) -> Person:
    """Add a participant as a case manager or supervising officer, who is then on the care team."""
    data = details(although_alike=True) | said
    return execute(session, commands.add_participant, actor=actor, target=actor.organization, data=data)


def with_colleague(
    session: Session, actor: Actor, person: Person, user_id: UUID, tie: str = "case_manager"
) -> Assignment:
    """Bring a colleague onto the care team."""
    data = {"user_id": str(user_id), "tie": tie, "reason": "covering"}
    return execute(session, commands.assign_to_care_team, actor=actor, target=person.id, data=data)


def as_if_referred(session: Session, person_id: UUID, organization_id: UUID, **holder: UUID) -> UUID:
    """Write an assignment as a room upstairs does when it refers (`program_id=` or `user_id=`); return its id.

    Past the commands, since no command of this room may assign another organization.
    """
    row_id = uuid7()
    start_writing(session)
    session.connection().execute(
        insert(Assignment.__table__).values(  # type: ignore[arg-type]  # a declarative table is a Table
            id=row_id,
            revision=1,
            participant_id=person_id,
            organization_id=organization_id,
            tie="navigator" if "user_id" in holder else "intake",
            reason="referral_sent",
            from_at=clock(session),
            **holder,
        )
    )
    commit(session)
    return row_id
