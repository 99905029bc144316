"""Statements of when a participant will be, or was, released."""

from __future__ import annotations

from datetime import date, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped

from referrals.kernel.crypto import sealed, text
from referrals.kernel.errors import RuleBrokenError
from referrals.kernel.orm import Identified, personal, public

#: Who says so. The first three speak for the agency; the rest was heard and changes nothing in force (E22).
SOURCES: Final = ("agency_record", "court", "parole_board", "participant_says", "cbo_heard")
AUTHORITATIVE: Final = SOURCES[:3]
HEARD: Final = SOURCES[3:]

UNKNOWN_BECAUSE: Final = (
    *("court_pending", "hearing_pending", "not_yet_calculated", "other_case_open", "records_not_received", "other"),
)


class AlreadyReleasedError(RuleBrokenError):
    """The release is on record; a return to custody comes before another expected date."""

    code = "already_released"


class ReleaseDate(Identified):
    """One statement: expected on a day, or unknown and why, or released on a day. Insert-only (database rule)."""

    __tablename__ = "release_date"
    __participant__ = "participant_id"
    __recorder__ = "organization_id"
    __table_args__ = (
        Index("ix_release_date_participant_id_recorded_at", "participant_id", "recorded_at"),
        CheckConstraint(
            "(expected_on IS NOT NULL AND unknown_because IS NULL AND released_on IS NULL)"
            " OR (expected_on IS NULL AND unknown_because IS NOT NULL AND released_on IS NULL)"
            " OR (expected_on IS NULL AND unknown_because IS NULL AND released_on IS NOT NULL)",
            name="one_statement",
        ),
    )

    participant_id: Mapped[UUID] = public(ForeignKey("person.id"))
    #: The organization that recorded the statement.
    organization_id: Mapped[UUID] = public(ForeignKey("organization.id"))
    expected_on: Mapped[date | None] = personal(category="release", index=True)
    unknown_because: Mapped[str | None] = personal(category="release")
    #: The day they were in fact released.
    released_on: Mapped[date | None] = personal(category="release")
    #: Where they are, or were, held.
    facility_id: Mapped[UUID | None] = personal(ForeignKey("facility.id"), category="release")
    source: Mapped[str] = personal(category="release")
    #: Who exactly said so, or where it stands: a name, an office, a letter.
    said_by = sealed(text, category="release", nullable=True)
    #: The day for which the source says so.
    as_of: Mapped[date] = personal(category="release")
    recorded_at: Mapped[datetime] = public()
    recorded_by: Mapped[UUID] = public()

    @property
    def is_heard(self) -> bool:
        """Whether it was only heard, and so never stands in force."""
        return self.source in HEARD

    def days_to(self, today: date) -> int | None:
        """Return whole days from `today` to the release expected or recorded (negative: past); None when unknown."""
        day = self.released_on or self.expected_on
        return None if day is None else (day - today).days

    __shows__ = {"is_heard": "release"}  # noqa: RUF012  # a class variable of the base
