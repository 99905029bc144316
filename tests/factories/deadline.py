"""Days and hours at the small world of referrals, and the release its agency expects."""

from __future__ import annotations

from datetime import UTC, date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from referrals.kernel.look import looking
from referrals.referral import queries as q
from referrals.release.models import ReleaseDate
from tests.factories.referral import LONG_AGO, ZONE, World, planting


def there(day: str, hour: int = 9, minute: int = 0) -> datetime:
    """An instant at the world's place."""
    return (
        datetime.combine(date.fromisoformat(day), datetime.min.time(), ZoneInfo(ZONE))
        .replace(hour=hour, minute=minute)
        .astimezone(UTC)
    )


def it_is(world: World, day: str, hour: int = 9, minute: int = 0) -> None:
    """Let it be this hour."""
    now = there(day, hour, minute)
    world.session.info["clock"] = lambda: now


def five(day: str) -> datetime:
    """The end of a working day."""
    return there(day, 17)


def released(world: World, on: str, *, at: datetime = LONG_AGO) -> None:
    """Let the agency's record expect the release on a day."""
    with planting(world.session):
        world.session.add(
            ReleaseDate(
                participant_id=world.person_id,
                organization_id=world.agency_id,
                expected_on=date.fromisoformat(on),
                source="agency_record",
                as_of=at.date(),
                recorded_at=at,
                recorded_by=world.case_manager.me,
            )
        )


def seen(world: World, who: str, referral_id: UUID) -> q.View:
    """A referral as one of its people sees it."""
    with looking(world.session):
        return q.referral(world.session, world.people[who], referral_id)
