"""Programs, their intake lists, and what was said about room in them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from referrals.kernel.actor import Side
from referrals.kernel.errors import RuleBrokenError
from referrals.kernel.orm import Identified, personal, public, related
from referrals.organization.models import Location, Organization

#: What a program helps with; a referral asks for one of its program's services.
SERVICES: Final = (
    *("housing", "employment", "education", "food", "clothing", "health_care", "mental_health"),
    *("substance_use_treatment", "benefits", "id_documents", "legal_aid", "transportation", "family_support"),
    *("mentoring", "peer_support", "case_management", "life_skills", "faith_based", "general_support", "other"),
)
#: ISO 639 codes of the languages a program may work in (639-3 where 639-1 has none; `ase` is American Sign Language).
LANGUAGES: Final = (
    *("en", "es", "zh", "cmn", "yue", "vi", "tl", "ar", "ko", "ru", "fr", "ht", "pt", "hy", "fa", "hi", "pa", "ur"),
    *("bn", "gu", "te", "ta", "ja", "km", "lo", "th", "hmn", "my", "so", "am", "ti", "sw", "mam", "nv", "uk", "pl"),
    *("de", "it", "he", "yi", "el", "sm", "to", "chk", "mh", "ase"),
)
#: Room for another person (R15; the codes of the Gravity guide, with underscores).
CAPACITIES: Final = ("capacity", "waitlist", "additional_assessment_required", "no_capacity")
#: After this long without a word, what was said about capacity counts as stale (R15).
STALE_AFTER: Final = timedelta(days=14)

_DESCRIBING = frozenset({"name", "description", "eligibility", "categories", "places"})


class ProgramClosedError(RuleBrokenError):
    """The program takes nobody any more."""

    code = "program_closed"


class NotACommunityOrganizationError(RuleBrokenError):
    """Programs are what community organizations offer."""

    code = "not_a_community_organization"


class NothingSaidError(RuleBrokenError):
    """Nobody has said anything about capacity that could still be true."""

    code = "no_capacity_said"


class AlreadyOnIntakeError(RuleBrokenError):
    """The person is on the intake list."""

    code = "already_on_intake"


class NotOnIntakeError(RuleBrokenError):
    """The person is not on the intake list."""

    code = "not_on_intake"


def folded(*texts: str | None) -> str:
    """Return texts as they are searched: lower case, without accents, one space between words."""
    plain = unicodedata.normalize("NFKD", " ".join(one for one in texts if one)).casefold()
    return " ".join("".join(sign for sign in plain if not unicodedata.combining(sign)).split())


def capacity_faults(code: str, open_places: int | None) -> dict[str, list[str]]:
    """Say where a statement about capacity contradicts itself: open places without room, room without open places."""
    if code == "capacity" and open_places == 0:
        return {"open_places": ["no_places_with_capacity"]}
    if code in {"waitlist", "no_capacity"} and open_places:
        return {"open_places": ["places_without_capacity"]}
    return {}


class Program(Identified):
    """One offer of a community organization."""

    __tablename__ = "program"
    __table_args__ = (UniqueConstraint("source", "source_id"), Index("ix_program_name_fold", "name_fold", "id"))

    organization_id: Mapped[UUID] = public(ForeignKey("organization.id"), index=True)
    location_id: Mapped[UUID | None] = public(ForeignKey("location.id"))
    name: Mapped[str] = personal()
    description: Mapped[str | None] = personal()
    categories: Mapped[list[str]] = public(JSON)
    eligibility: Mapped[str | None] = personal()
    #: What shows that it works, and where that can be read.
    evidence: Mapped[str | None] = personal()
    evidence_source: Mapped[str | None] = personal()
    languages: Mapped[list[str]] = public(JSON)
    #: Areas served, in words: "Alameda County", "94601".
    places: Mapped[list[str]] = personal(JSON)
    phone: Mapped[str | None] = personal()
    email: Mapped[str | None] = personal()
    website: Mapped[str | None] = personal()
    added_at: Mapped[datetime] = public()
    added_by: Mapped[UUID | None] = public()
    closed_at: Mapped[datetime | None] = public()
    closed_by: Mapped[UUID | None] = public()
    closed_because: Mapped[str | None] = personal()
    source: Mapped[str | None] = public()
    source_id: Mapped[str | None] = personal()
    source_fields: Mapped[dict[str, Any] | None] = personal(JSON(none_as_null=True))
    capacity_code: Mapped[str | None] = public()
    open_places: Mapped[int | None] = public()
    waiting: Mapped[int | None] = public()
    expected_days: Mapped[int | None] = public()
    #: Nobody of ours, when an import brought it.
    capacity_by: Mapped[UUID | None] = public()
    capacity_at: Mapped[datetime | None] = public()
    version: Mapped[int] = public(default=1)
    #: What lists sort by and searches look in; both follow from the fields above.
    name_fold: Mapped[str] = mapped_column(info={"class": "personal", "follows": "name"})
    search_fold: Mapped[str] = mapped_column(info={"class": "personal", "follows": "description"})
    places_fold: Mapped[str] = mapped_column(info={"class": "personal", "follows": "places"})

    organization: Mapped[Organization] = related("Organization")
    location: Mapped[Location | None] = related("Location")
    intake: Mapped[list[IntakeMember]] = related("IntakeMember", order_by="IntakeMember.added_at")

    def __init__(self, **values: Any) -> None:
        """Start with version 1 and what follows from the words."""
        super().__init__(**{"version": 1, "categories": [], "languages": [], "places": []} | values)
        self._follow()

    def _follow(self) -> None:
        self.name_fold = folded(self.name)
        self.places_fold = "\n".join(folded(place) for place in self.places)
        self.search_fold = folded(
            self.name, self.description, self.eligibility, *self.places, *(c.replace("_", " ") for c in self.categories)
        )

    @classmethod
    def offered_by(cls, organization: Organization, **said: Any) -> Program:
        """Return a new program of a community organization that still takes part."""
        if organization.side != Side.COMMUNITY:
            raise NotACommunityOrganizationError
        organization.require_in_force()
        return cls(organization_id=organization.id, **said)

    @property
    def organization_name(self) -> str:
        """The name of who offers it. Needs `organization` loaded."""
        return self.organization.name

    def is_open(self, at: datetime) -> bool:
        """Whether somebody can be referred to it at that instant."""
        return self.closed_at is None or at < self.closed_at

    def require_open(self) -> None:
        """Refuse when the program is closed."""
        if self.closed_at is not None:
            raise ProgramClosedError(closed_at=self.closed_at)

    def describe(self, **said: Any) -> set[str]:
        """Set what is said; return the names of what changed, with `version` when anything did."""
        self.require_open()
        changed = {name for name, value in said.items() if getattr(self, name) != value}
        for name in changed:
            setattr(self, name, said[name])
        if changed:
            self.version += 1
            changed.add("version")
        if changed & _DESCRIBING:
            self._follow()
        return changed

    def close(self, *, at: datetime, by: UUID | None, because: str) -> None:
        """Take nobody any more. What runs goes on."""
        self.require_open()
        self.closed_at, self.closed_by, self.closed_because = at, by, because
        self.version += 1

    # --- capacity ----------------------------------------------------------------------------------------------------

    def say_capacity(
        self,
        code: str,
        *,
        open_places: int | None,
        waiting: int | None,
        expected_days: int | None,
        at: datetime,
        by: UUID | None,
    ) -> set[str]:
        """Keep what somebody says about room, who and when; return the names of what may have changed."""
        self.require_open()
        self.capacity_code, self.open_places = code, open_places
        self.waiting, self.expected_days = waiting, expected_days
        return {"capacity_code", "open_places", "waiting", "expected_days"} | self._say(at=at, by=by)

    def confirm_capacity(self, *, at: datetime, by: UUID | None) -> set[str]:
        """Keep that what was said last is still true; return the names of what changed."""
        self.require_open()
        if self.capacity_code is None:
            raise NothingSaidError
        return self._say(at=at, by=by)

    def _say(self, *, at: datetime, by: UUID | None) -> set[str]:
        self.capacity_at, self.capacity_by = at, by
        self.version += 1
        return {"capacity_at", "capacity_by", "version"}

    def capacity_is_stale(self, at: datetime) -> bool:
        """Whether nobody has said anything about capacity for more than 14 days (R15)."""
        return self.capacity_at is None or at - self.capacity_at > STALE_AFTER

    # --- who answers -------------------------------------------------------------------------------------------------

    def answering(self) -> Sequence[IntakeMember]:
        """The intake list in force. Needs `intake` loaded."""
        return [member for member in self.intake if member.ended_at is None]

    def is_answered_by(self, user_id: UUID | None) -> bool:
        """Whether this person is on the intake list. Needs `intake` loaded."""
        return any(member.user_id == user_id for member in self.answering())

    def let_answer(self, user_id: UUID, *, at: datetime, by: UUID | None) -> IntakeMember:
        """Return the new entry of the intake list, or refuse. Needs `intake` loaded."""
        self.require_open()
        if self.is_answered_by(user_id):
            raise AlreadyOnIntakeError
        return IntakeMember(program_id=self.id, user_id=user_id, added_at=at, added_by=by)

    def membership_of(self, user_id: UUID) -> IntakeMember:
        """Return the person's entry in force, or refuse. Needs `intake` loaded."""
        for member in self.answering():
            if member.user_id == user_id:
                return member
        raise NotOnIntakeError


class IntakeMember(Identified):
    """One person on a program's intake list, from when to when."""

    __tablename__ = "intake_member"
    __table_args__ = (
        Index(
            "uq_intake_member_in_force",
            "program_id",
            "user_id",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index("ix_intake_member_user_id", "user_id"),
    )

    program_id: Mapped[UUID] = public(ForeignKey("program.id"))
    user_id: Mapped[UUID] = public(ForeignKey("user.id"))
    added_at: Mapped[datetime] = public()
    added_by: Mapped[UUID | None] = public()
    ended_at: Mapped[datetime | None] = public()
    ended_by: Mapped[UUID | None] = public()

    def end(self, *, at: datetime, by: UUID | None) -> None:
        """Take the person off the list."""
        if self.ended_at is not None:
            raise NotOnIntakeError
        self.ended_at, self.ended_by = at, by


def once(values: Iterable[str]) -> list[str]:
    """Return values in their order, each once."""
    return list(dict.fromkeys(values))
