"""Made-up programs and the people who answer for them, made as the service makes them: by commands, on record."""

from __future__ import annotations

import itertools
from typing import Any

from sqlalchemy.orm import Session

from referrals.account.models import User, use_fast_hashing
from referrals.kernel.actor import Actor, Role, Side, system
from referrals.kernel.command import execute
from referrals.organization.models import Organization
from referrals.program import commands
from referrals.program.models import IntakeMember, Program
from referrals.staff import commands as staff
from tests.factories.organization import someone

_numbers = itertools.count(1)
use_fast_hashing()


def a_colleague(session: Session, organization: Organization, *roles: Role, name: str = "Robin Vale") -> User:
    """Add an account at an organization."""
    return execute(
        session,
        staff.add_user,
        actor=system("cli"),
        target=organization.id,
        data={
            "sign_in_name": f"colleague.{next(_numbers)}",
            "display_name": name,
            "roles": [role.value for role in roles],
        },
    )


def acting(session: Session, organization: Organization, *roles: Role, name: str = "Robin Vale") -> Actor:
    """Add an account, and return its owner signed in."""
    user = a_colleague(session, organization, *roles, name=name)
    return someone(organization, *roles, user_id=user.id)


def a_program(session: Session, community: Organization, name: str = "Ready to Work", **said: Any) -> Program:
    """Add a program as a supervisor of its organization."""
    data = {"name": name, "categories": ["employment"], "languages": ["en"], "places": ["Alameda County"]}
    return execute(
        session,
        commands.add_program,
        actor=someone(community, Role.SUPERVISOR),
        target=community.id,
        data=data | said,
    )


def on_intake(session: Session, community: Organization, program: Program, user: User) -> IntakeMember:
    """Put a colleague on a program's intake list."""
    assert community.side == Side.COMMUNITY
    return execute(
        session,
        commands.add_to_intake,
        actor=someone(community, Role.SUPERVISOR),
        target=program.id,
        data={"user_id": str(user.id)},
    )


def with_capacity(session: Session, community: Organization, program: Program, **said: Any) -> Program:
    """Say that a program has room."""
    return execute(
        session,
        commands.set_capacity,
        actor=someone(community, Role.NAVIGATOR),
        target=program.id,
        data={"capacity_code": "capacity", "open_places": 3} | said,
        expect=program.version,
    )
