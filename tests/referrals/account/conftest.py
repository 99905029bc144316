"""Two organizations, and a clock that a test can move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from referrals.kernel.actor import system
from referrals.kernel.command import execute
from referrals.organization import commands
from referrals.organization.queries import installation


class Moment:
    """The time now, as the session is told it: real, moved by what a test adds."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def pass_by(self, **span: float) -> None:
        """Let time pass."""
        self.ahead += timedelta(**span)


def add_organization(session: Session, name: str, side: str) -> UUID:
    """An organization, by the operator."""
    data = {"name": name, "side": side, "time_zone": "America/Los_Angeles", "city": "Oakland"}
    made = execute(session, commands.add_organization, actor=system("cli"), target=installation(session).id, data=data)
    return made.id


@pytest.fixture
def now() -> Moment:
    """The clock of `house`."""
    return Moment()


@pytest.fixture
def house(request: pytest.FixtureRequest, now: Moment) -> Session:
    """A session with a clock that moves; on each database in turn when the test asks for `engine`, else on SQLite."""
    name = "any_session" if "engine" in request.fixturenames else "session"
    opened: Session = request.getfixturevalue(name)
    opened.info["clock"] = now
    return opened


@pytest.fixture
def agency(house: Session) -> UUID:
    return add_organization(house, "Alder County Probation", "agency")


@pytest.fixture
def community(house: Session) -> UUID:
    return add_organization(house, "Northside Reentry Center", "community")
