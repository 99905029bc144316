"""The demonstration can be made at any hour: a newcomer's first command must not fail in the evening."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select

from referrals import demo
from referrals.kernel.session import HouseSession
from referrals.release.models import ReleaseDate


@pytest.mark.parametrize("hour", [2, 7, 12, 23])
def test_it_is_made_whatever_the_hour(session: HouseSession, hour: int) -> None:
    now = datetime.now(UTC).replace(hour=hour)
    session.info["clock"] = lambda: now
    demo.seed(session)
    session.rollback()
    assert session.scalar(select(func.count()).select_from(ReleaseDate)) == 5
    session.rollback()
