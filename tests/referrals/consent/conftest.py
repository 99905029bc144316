"""A world of two organizations, an agreement, a participant and the people around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from referrals.kernel import look
from referrals.kernel.actor import Actor
from referrals.kernel.session import HouseSession
from referrals.organization.models import Organization
from referrals.person.models import Person
from tests.factories.account import a_case_manager, a_navigator
from tests.factories.organization import a_community_organization, an_agency
from tests.factories.partnership import an_agreement
from tests.factories.person import a_participant, as_if_referred


@dataclass
class World:
    session: HouseSession
    agency: Organization
    community: Organization
    manager: Actor
    navigator: Actor
    person: Person
    now: datetime = field(default=datetime(2026, 6, 15, 18, 0, tzinfo=UTC))

    def pass_time(self, **by: float) -> None:
        """Move the clock on."""
        self.now += timedelta(**by)

    def looked(self, read: Callable[..., Any], *args: Any, **words: Any) -> Any:
        with look.looking(self.session):
            return read(self.session, *args, **words)


def build(session: HouseSession) -> World:
    """An agency and a community organization with an agreement; a navigator is assigned to the agency's participant."""
    world: World
    start = World.__dataclass_fields__["now"].default
    session.info["clock"] = lambda: start
    agency, community = an_agency(session), a_community_organization(session)
    an_agreement(session, agency, community)
    manager, navigator = a_case_manager(session, agency.id), a_navigator(session, community.id)
    person = a_participant(session, manager)
    as_if_referred(session, person.id, community.id, user_id=navigator.me)
    world = World(session, agency, community, manager, navigator, person)
    session.info["clock"] = lambda: world.now
    return world


@pytest.fixture
def world(session: HouseSession) -> World:
    return build(session)


@pytest.fixture
def any_world(any_session: HouseSession) -> World:
    """The same on each of the two databases."""
    return build(any_session)
