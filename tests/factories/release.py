"""Made-up release dates, recorded as the service records them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from referrals.kernel.actor import Actor
from referrals.kernel.command import execute
from referrals.kernel.record import clock
from referrals.release import commands
from referrals.release.models import ReleaseDate


def a_release_date(session: Session, actor: Actor, person_id: UUID, on: date | None = None, **said: Any) -> ReleaseDate:
    """Record an expected day (60 days ahead unless given) from the agency's record."""
    today = clock(session).date()
    expected = on or today + timedelta(days=60)
    data = {
        "expected_on": expected.isoformat(),
        "source": "agency_record",
        "as_of": (today - timedelta(days=1)).isoformat(),
    } | said
    given = {name: value for name, value in data.items() if value is not None}
    return execute(session, commands.record_release_date, actor=actor, target=person_id, data=given)
