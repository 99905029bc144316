"""Organizations and their places."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import JSON, CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped

from referrals.kernel.actor import Side
from referrals.kernel.errors import RuleBrokenError
from referrals.kernel.orm import Identified, edits, personal, public, related

#: Whether an organization runs a substance use treatment program under 42 CFR Part 2: unknown until somebody says so.
PART2: Final = ("yes", "no", "unknown")
KINDS: Final = (
    *("prison", "jail", "reception_center", "medical_facility", "work_camp", "juvenile_facility", "detention_center"),
    *("community_corrections", "office", "other"),
)
SECURITY: Final = ("maximum", "maximum_medium", "maximum_minimum", "medium", "medium_minimum", "minimum")
GENDERS: Final = ("men", "women", "mixed")
AGES: Final = ("adult", "juvenile", "mixed")
#: The zones of the United States and its territories (IANA names), most people first.
ZONES: Final = (
    *("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Phoenix"),
    *("America/Anchorage", "Pacific/Honolulu", "America/Detroit", "America/Indiana/Indianapolis", "America/Boise"),
    *("America/Kentucky/Louisville", "America/Juneau", "America/Adak", "America/Puerto_Rico", "America/St_Thomas"),
    *("Pacific/Guam", "Pacific/Saipan", "Pacific/Pago_Pago", "UTC"),
)


class AlreadyInstalledError(RuleBrokenError):
    """The installation has its first agency."""

    code = "already_installed"


class WrongSideError(RuleBrokenError):
    """Only an agency has facilities; only a community organization has locations."""

    code = "wrong_side"


# --- working days -----------------------------------------------------------------------------------------------------

_MONDAY, _THURSDAY, _SATURDAY, _SUNDAY = 0, 3, 5, 6


@cache
def holidays(year: int) -> frozenset[date]:
    """Return the days off of a year: the public holidays of 5 U.S.C. 6103(a) on the days on which they are kept.

    One on a Saturday is kept the day before (5 U.S.C. 6103(b)), one on a Sunday the day after (Executive Order 11582);
    so the next year's first day may be kept in this one.
    """
    fixed = [(1, 1), (6, 19), (7, 4), (11, 11), (12, 25)]
    days = [date(year, month, day) for month, day in fixed] + [date(year + 1, 1, 1)]
    kept = {day + timedelta(days={_SATURDAY: -1, _SUNDAY: 1}.get(day.weekday(), 0)) for day in days}
    kept |= {
        _nth(year, 1, _MONDAY, 3),  # Birthday of Martin Luther King, Jr.
        _nth(year, 2, _MONDAY, 3),  # Washington's Birthday
        _nth(year, 6, _MONDAY, 1) - timedelta(days=7),  # Memorial Day, the last Monday of May
        _nth(year, 9, _MONDAY, 1),  # Labor Day
        _nth(year, 10, _MONDAY, 2),  # Columbus Day
        _nth(year, 11, _THURSDAY, 4),  # Thanksgiving Day
    }
    return frozenset(day for day in kept if day.year == year)


def _nth(year: int, month: int, weekday: int, number: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (number - 1))


def is_working_day(day: date, closed: AbstractSet[date] = frozenset()) -> bool:
    """Whether an office is open: Monday to Friday, but for public holidays and its own closing days."""
    return day.weekday() < _SATURDAY and day not in holidays(day.year) and day not in closed


def working_day_after(day: date, number: int, closed: AbstractSet[date] = frozenset()) -> date:
    """Return the so-manieth working day after a day; a day itself is its own number 0."""
    while number > 0:
        day += timedelta(days=1)
        number -= is_working_day(day, closed)
    return day


class ClosingDayPassedError(RuleBrokenError):
    """The day has come: what was promised for it was counted with it, so it stays."""

    code = "closing_day_passed"


class ClosingDayWithdrawnError(RuleBrokenError):
    """The organization is open on that day already."""

    code = "closing_day_withdrawn"


class OrganizationEndedError(RuleBrokenError):
    """The organization no longer takes part."""

    code = "organization_ended"


class PlaceEndedError(RuleBrokenError):
    """The place is no longer used."""

    code = "place_ended"


def write(row: Identified, said: Mapping[str, Any]) -> set[str]:
    """Set attributes that differ from what is there, and return the names of those that did."""
    changed = {name for name, value in said.items() if getattr(row, name) != value}
    for name in changed:
        setattr(row, name, said[name])
    return changed


def edit(row: Organization | Facility | Location, said: Mapping[str, Any]) -> set[str]:
    """Set what differs; when anything did, raise the version that editors hold against. Return the changed names."""
    changed = write(row, said)
    if changed:
        row.version += 1
        changed.add("version")
    return changed


class Installation(Identified):
    """This service itself: one row, which acts without another parent are acts on.

    The migration makes it with revision 0, before there is a log to write to: the first act on it carries revision 1.
    """

    __tablename__ = "installation"
    __table_args__ = (UniqueConstraint("sole"), CheckConstraint("sole = 1", name="sole"))

    sole: Mapped[int] = public(default=1)
    demo: Mapped[bool] = public(default=False)
    installed_at: Mapped[datetime | None] = public()

    def install(self, *, at: datetime, demo: bool) -> None:
        """Take the service into use, once. `demo` says that its people and organizations are made up (S-906)."""
        if self.installed_at is not None:
            raise AlreadyInstalledError
        self.installed_at, self.demo = at, demo


class Organization(Identified):
    """An agency or a community organization. `time_zone` decides when its days begin and end."""

    __tablename__ = "organization"
    __table_args__ = (
        UniqueConstraint("source", "source_id"),
        CheckConstraint("side IN ('agency', 'community')", name="side"),
        CheckConstraint("part2_program IN ('yes', 'no', 'unknown')", name="part2_program"),
    )

    name: Mapped[str] = personal()
    side: Mapped[str] = public()
    part2_program: Mapped[str] = public(default="unknown")
    part2_because: Mapped[str | None] = personal()
    part2_said_at: Mapped[datetime | None] = public()
    part2_said_by: Mapped[UUID | None] = public()
    time_zone: Mapped[str] = public()
    city: Mapped[str | None] = personal()
    phone: Mapped[str | None] = personal()
    email: Mapped[str | None] = personal()
    website: Mapped[str | None] = personal()
    description: Mapped[str | None] = personal()
    added_at: Mapped[datetime] = public()
    added_by: Mapped[UUID | None] = public()
    ended_at: Mapped[datetime | None] = public()
    source: Mapped[str | None] = public()
    source_id: Mapped[str | None] = personal()
    #: What the source said that has no column here, under the source's own names: an import loses nothing.
    source_fields: Mapped[dict[str, Any] | None] = personal(JSON(none_as_null=True))
    version: Mapped[int] = public(default=1)
    edits: Mapped[dict[str, Any] | None] = edits()

    def __init__(self, **values: Any) -> None:
        """Start as `unknown` under Part 2: what nobody has looked at counts as protected (C9)."""
        super().__init__(**{"part2_program": "unknown", "version": 1} | values)

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which this organization's days begin and end."""
        return ZoneInfo(self.time_zone)

    @property
    def is_agency(self) -> bool:
        """Whether it stands on the agencies' side."""
        return self.side == Side.AGENCY

    @property
    def may_be_part2(self) -> bool:
        """Whether its records must be treated as under 42 CFR Part 2: so unless somebody said no (C9)."""
        return self.part2_program != "no"

    def describe(self, **said: Any) -> set[str]:
        """Set what is said; return the names of what changed, with `version` when anything did."""
        self.require_in_force()
        return edit(self, said)

    def end(self, *, at: datetime) -> None:
        """Stop taking part. Its agreements stop with it; what was shared stays where it is."""
        self.require_in_force()
        self.ended_at = at

    def say_part2(self, answer: str, *, because: str, at: datetime, by: UUID | None) -> set[str]:
        """Say whether it runs a Part 2 program, and on what that rests; return the names of the fields that changed."""
        self.require_in_force()
        said = {"part2_program": answer, "part2_because": because, "part2_said_at": at, "part2_said_by": by}
        return write(self, said)

    def require_in_force(self) -> None:
        """Refuse when the organization no longer takes part."""
        if self.ended_at is not None:
            raise OrganizationEndedError

    def require_side(self, side: Side) -> None:
        """Refuse what only the other side has."""
        if self.side != side:
            raise WrongSideError
        self.require_in_force()


class Facility(Identified):
    """A place of an agency where people are held or report to. Its capacity is the source's figure, no limit here."""

    __tablename__ = "facility"
    __table_args__ = (UniqueConstraint("source", "source_id"),)

    organization_id: Mapped[UUID] = public(ForeignKey("organization.id"), index=True)
    name: Mapped[str] = personal()
    kind: Mapped[str | None] = public()
    security: Mapped[str | None] = public()
    gender: Mapped[str | None] = public()
    age: Mapped[str | None] = public()
    capacity: Mapped[int | None] = public()
    address: Mapped[str | None] = personal()
    city: Mapped[str | None] = personal()
    county: Mapped[str | None] = personal()
    county_fips: Mapped[str | None] = personal()
    state: Mapped[str | None] = personal()
    postal_code: Mapped[str | None] = personal()
    #: Decimal degrees as the source wrote them: a float would change their last digits.
    latitude: Mapped[str | None] = personal()
    longitude: Mapped[str | None] = personal()
    phone: Mapped[str | None] = personal()
    website: Mapped[str | None] = personal()
    time_zone: Mapped[str] = public()
    added_at: Mapped[datetime] = public()
    added_by: Mapped[UUID | None] = public()
    ended_at: Mapped[datetime | None] = public()
    source: Mapped[str | None] = public()
    source_id: Mapped[str | None] = personal()
    source_fields: Mapped[dict[str, Any] | None] = personal(JSON(none_as_null=True))
    version: Mapped[int] = public(default=1)
    edits: Mapped[dict[str, Any] | None] = edits()

    organization: Mapped[Organization] = related("Organization")

    def __init__(self, **values: Any) -> None:
        """Start with version 1, so that the first editor has something to hold against."""
        super().__init__(**{"version": 1} | values)

    @property
    def zone(self) -> ZoneInfo:
        """The zone of its clocks."""
        return ZoneInfo(self.time_zone)

    def describe(self, **said: Any) -> set[str]:
        """Set what is said; return the names of what changed, with `version` when anything did."""
        self.require_in_use()
        return edit(self, said)

    def end(self, *, at: datetime) -> None:
        """Stop using the place."""
        self.require_in_use()
        self.ended_at = at

    def require_in_use(self) -> None:
        """Refuse when the place is no longer used."""
        if self.ended_at is not None:
            raise PlaceEndedError


class Room(Identified):
    """A place inside a facility where people can meet."""

    __tablename__ = "room"

    facility_id: Mapped[UUID] = public(ForeignKey("facility.id"), index=True)
    name: Mapped[str] = personal()
    seats: Mapped[int] = public()
    added_at: Mapped[datetime] = public()
    added_by: Mapped[UUID | None] = public()
    ended_at: Mapped[datetime | None] = public()

    facility: Mapped[Facility] = related("Facility")

    def end(self, *, at: datetime) -> None:
        """Stop using the room."""
        if self.ended_at is not None:
            raise PlaceEndedError
        self.ended_at = at


class ClosingDay(Identified):
    """A working day on which an organization answers nobody. Announced ahead, so that both sides count alike (R10)."""

    __tablename__ = "closing_day"

    organization_id: Mapped[UUID] = public(ForeignKey("organization.id"), index=True)
    closed_on: Mapped[date] = public()
    because: Mapped[str] = personal()
    added_at: Mapped[datetime] = public()
    added_by: Mapped[UUID | None] = public()
    withdrawn_at: Mapped[datetime | None] = public()
    withdrawn_by: Mapped[UUID | None] = public()

    organization: Mapped[Organization] = related("Organization")

    def withdraw(self, *, today: date, at: datetime, by: UUID) -> None:
        """Be open on that day after all.

        Raises:
            ClosingDayWithdrawnError: it was withdrawn before.
            ClosingDayPassedError: it is not ahead any more, `today` being the day at the organization.
        """
        if self.withdrawn_at is not None:
            raise ClosingDayWithdrawnError
        if self.closed_on <= today:
            raise ClosingDayPassedError
        self.withdrawn_at, self.withdrawn_by = at, by


class Location(Identified):
    """A place of a community organization, where people go after release."""

    __tablename__ = "location"
    __table_args__ = (UniqueConstraint("source", "source_id"),)

    organization_id: Mapped[UUID] = public(ForeignKey("organization.id"), index=True)
    name: Mapped[str] = personal()
    address: Mapped[str | None] = personal()
    city: Mapped[str | None] = personal()
    county: Mapped[str | None] = personal()
    state: Mapped[str | None] = personal()
    postal_code: Mapped[str | None] = personal()
    latitude: Mapped[str | None] = personal()
    longitude: Mapped[str | None] = personal()
    #: How a person gets in and around: steps, elevator, bus lines, interpreters.
    access: Mapped[str | None] = personal()
    added_at: Mapped[datetime] = public()
    added_by: Mapped[UUID | None] = public()
    ended_at: Mapped[datetime | None] = public()
    source: Mapped[str | None] = public()
    source_id: Mapped[str | None] = personal()
    source_fields: Mapped[dict[str, Any] | None] = personal(JSON(none_as_null=True))
    version: Mapped[int] = public(default=1)
    edits: Mapped[dict[str, Any] | None] = edits()

    organization: Mapped[Organization] = related("Organization")

    def __init__(self, **values: Any) -> None:
        """Start with version 1, so that the first editor has something to hold against."""
        super().__init__(**{"version": 1} | values)

    def describe(self, **said: Any) -> set[str]:
        """Set what is said; return the names of what changed, with `version` when anything did."""
        self.require_in_use()
        return edit(self, said)

    def end(self, *, at: datetime) -> None:
        """Stop using the place."""
        self.require_in_use()
        self.ended_at = at

    def require_in_use(self) -> None:
        """Refuse when the place is no longer used."""
        if self.ended_at is not None:
            raise PlaceEndedError
