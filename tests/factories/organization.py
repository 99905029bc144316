"""Made-up organizations and places, made as the service makes them: by commands, on record."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from audit.models import AuditEvent
from referrals.kernel.actor import Actor, Role, Side, system
from referrals.kernel.command import execute
from referrals.kernel.orm import uuid7
from referrals.organization import commands, queries
from referrals.organization.models import ClosingDay, Facility, Location, Organization, Room, working_day_after

CALIFORNIA = "America/Los_Angeles"


def someone(organization: Organization | None, *roles: Role, user_id: UUID | None = None) -> Actor:
    """Return somebody signed in who works at an organization. Without `user_id` nobody has such an account."""
    return Actor(
        "user",
        user_id=user_id or uuid7(),
        organization_id=organization.id if organization is not None else uuid7(),
        side=Side(organization.side) if organization is not None else Side.AGENCY,
        roles=frozenset(roles),
    )


def last_event(session: Session, action: str | None = None) -> dict[str, Any]:
    """Return the newest event of the log, or the newest of one kind of act, as plain values."""
    session.rollback()  # what others have committed since this session last read
    statement = select(AuditEvent.body).order_by(AuditEvent.id.desc()).limit(1)
    if action is not None:
        statement = statement.where(AuditEvent.action == action)
    body: dict[str, Any] = json.loads(session.execute(statement).scalar_one())
    return body


def an_organization(session: Session, side: Side, name: str, **said: Any) -> Organization:
    """Add an organization as the operator."""
    return execute(
        session,
        commands.add_organization,
        actor=system("cli"),
        target=queries.installation(session).id,
        data={"name": name, "side": side.value, "time_zone": CALIFORNIA} | said,
    )


def an_agency(session: Session, name: str = "Sierra Department of Corrections", **said: Any) -> Organization:
    """Add an agency."""
    return an_organization(session, Side.AGENCY, name, **said)


def a_community_organization(session: Session, name: str = "Open Door Center", **said: Any) -> Organization:
    """Add a community organization that runs no Part 2 program, unless told otherwise."""
    part2 = said.pop("part2_program", "no")
    joined = an_organization(session, Side.COMMUNITY, name, **said)
    return execute(
        session,
        commands.set_part2_program,
        actor=system("cli"),
        target=joined.id,
        data={"part2_program": part2, "because": "Asked when it joined."},
    )


def a_facility(session: Session, agency: Organization, name: str = "Pine Ridge Facility", **said: Any) -> Facility:
    """Add a facility as an administrator of its agency."""
    return execute(
        session,
        commands.add_facility,
        actor=someone(agency, Role.ADMINISTRATOR),
        target=agency.id,
        data={"name": name, "kind": "prison"} | said,
    )


def a_room(session: Session, agency: Organization, facility: Facility, name: str = "Visiting room 2") -> Room:
    """Add a room as an administrator of its agency."""
    return execute(
        session,
        commands.add_room,
        actor=someone(agency, Role.ADMINISTRATOR),
        target=facility.id,
        data={"name": name, "seats": 4},
    )


def a_working_day(ahead: int) -> str:
    """Return the working day that lies about so many days ahead of today, as it is typed."""
    return working_day_after(datetime.now(UTC).date() + timedelta(days=ahead), 1).isoformat()


def a_closing_day(session: Session, organization: Organization) -> ClosingDay:
    """Let an administrator announce a closing day some weeks ahead."""
    return execute(
        session,
        commands.add_closing_day,
        actor=someone(organization, Role.ADMINISTRATOR),
        target=organization.id,
        data={"closed_on": a_working_day(60), "because": "Staff training"},
    )


def a_location(session: Session, community: Organization, name: str = "Main office", **said: Any) -> Location:
    """Add a location as an administrator of its community organization."""
    return execute(
        session,
        commands.add_location,
        actor=someone(community, Role.ADMINISTRATOR),
        target=community.id,
        data={"name": name, "city": "Oakland", "state": "CA"} | said,
    )
