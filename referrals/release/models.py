"""Statements of when a participant will be, or was, released."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, Protocol, TypeVar
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


class NotReleasedError(RuleBrokenError):
    """No release is on record, so nobody has come back from one."""

    code = "not_released"


class NothingToCorrectError(RuleBrokenError):
    """Only a release or a return that is in force is taken back; another expected day is said by a new statement."""

    code = "nothing_to_correct"


class ReleaseDate(Identified):
    """One statement: expected on a day, or unknown and why, or released on a day. Insert-only (database rule).

    One that says that they are back in custody says, as any other, when they are expected to leave again. One that
    corrects another says what is so instead; the mistaken one stays and counts for nothing.
    """

    __tablename__ = "release_date"
    __participant__ = "participant_id"
    __recorder__ = "organization_id"
    __table_args__ = (
        Index("ix_release_date_participant_id_recorded_at", "participant_id", "recorded_at"),
        Index("ix_release_date_recorded_at", "recorded_at"),
        Index("ux_release_date_corrects_id", "corrects_id", unique=True),
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
    #: The day they came back to custody, after a release on record.
    returned_on: Mapped[date | None] = personal(category="release")
    #: The statement that was a mistake.
    corrects_id: Mapped[UUID | None] = public()
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

    @property
    def is_of_custody(self) -> bool:
        """Whether it says that they left or came back, which nothing but a correction takes back."""
        return self.released_on is not None or self.returned_on is not None

    def days_to(self, today: date) -> int | None:
        """Return whole days from `today` to the release expected or recorded (negative: past); None when unknown."""
        day = self.released_on or self.expected_on
        return None if day is None else (day - today).days

    __shows__ = {"is_heard": "release"}  # noqa: RUF012  # a class variable of the base


# --- what moved (E23, R24) --------------------------------------------------------------------------------------------

#: A release that comes so much sooner, or that is so near, is told at once.
_SOONER, _NEAR = timedelta(days=7), timedelta(days=14)


class Stated(Protocol):
    """What a move is read off: one of the agency's own statements."""

    id: Any
    expected_on: Any
    released_on: Any
    returned_on: Any
    recorded_at: Any
    corrects_id: Any


StatedT = TypeVar("StatedT", bound=Stated)


@dataclass(frozen=True, slots=True)
class Move:
    """That the agency says something else of a release than before; what it only confirms moves nothing.

    `before` and `now` are days, None where nobody knows; `is_release`: it says that they left, `returned_on`: that they
    came back; `corrects`: that what was told before never was so.
    """

    statement_id: UUID
    at: datetime
    before: date | None
    now: date | None
    is_release: bool = False
    returned_on: date | None = None
    corrects: bool = False

    def is_urgent(self, today: date) -> bool:
        """Whether it cannot wait: released, much sooner than expected, near, or not so after all (E23)."""
        if self.corrects:
            return True
        if self.now is None:
            return False
        is_sooner = self.before is not None and self.before - self.now >= _SOONER
        return self.is_release or is_sooner or self.now - today <= _NEAR


@dataclass(frozen=True, slots=True)
class Course:
    """What the agency's statements come to: how the release moved last, and the return that no release followed."""

    move: Move | None = None
    returned: Move | None = None


def without_mistakes(statements: Iterable[StatedT]) -> list[StatedT]:
    """Return what was said, in its order, without what a later statement says was a mistake."""
    said = list(statements)
    mistaken = {one.corrects_id for one in said if one.corrects_id is not None}
    return [one for one in said if one.id not in mistaken]


def course_of(statements: Iterable[Stated]) -> Course:
    """Return what the agency's own statements about one release come to, whatever their order.

    What was a mistake counts for nothing; that it was one is news to whoever was told of it.
    """
    move: Move | None = None
    returned: Move | None = None
    said: tuple[date | None, date | None] = (None, None)
    for one in sorted(without_mistakes(statements), key=lambda one: (one.recorded_at, one.id)):
        now, corrects = (one.released_on, one.expected_on), one.corrects_id is not None
        if one.returned_on is not None or now != said or corrects:
            day, is_release = one.released_on or one.expected_on, one.released_on is not None
            move = Move(one.id, one.recorded_at, said[0] or said[1], day, is_release, one.returned_on, corrects)
        if one.returned_on is not None:
            returned = move
        elif one.released_on is not None:
            returned = None
        said = now
    return Course(move, returned)
