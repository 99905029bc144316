"""Programs, their intake lists, and what was said about room in them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from referrals.kernel.actor import Side
from referrals.kernel.errors import RuleBrokenError
from referrals.kernel.orm import Identified, edits, personal, public, related
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
    edits: Mapped[dict[str, Any] | None] = edits()
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


# --- who fits (R12) --------------------------------------------------------------------------------------------------


class Verdict(IntEnum):
    """What one reason says about a program for one participant; in the order in which programs are listed."""

    YES = 0
    UNSURE = 1
    NO = 2


@dataclass(frozen=True, slots=True)
class Sought:
    """What a program is held against: nothing but what the reader may know, and nothing of supervision or health.

    None where it is not known, or not the reader's to know: both are told alike.
    """

    #: A code of `SERVICES`; None when any will do.
    service: str | None = None
    #: A code of `person.models.LANGUAGES`.
    language: str | None = None
    #: Where they will live, as it is written on an envelope.
    lives: str | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """One line of why a program fits or does not: a code that has a sentence, and the words of the program in it."""

    code: str
    verdict: Verdict
    says: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fit:
    """Why one program fits one participant, or does not. There is no score: reasons decide, in their order."""

    program: Program
    #: On agreement, service, area, language and room, in this order; on service only where one is asked.
    reasons: tuple[Reason, ...]
    is_stale: bool

    @property
    def fits(self) -> bool:
        """Whether nothing speaks against it. Who may take part is in words, which people judge."""
        return all(one.verdict is not Verdict.NO for one in self.reasons)

    @property
    def for_it(self) -> list[Reason]:
        """What speaks for it."""
        return [one for one in self.reasons if one.verdict is Verdict.YES]

    @property
    def to_check(self) -> list[Reason]:
        """What only a person can find out."""
        return [one for one in self.reasons if one.verdict is Verdict.UNSURE]

    @property
    def against(self) -> list[Reason]:
        """What speaks against it."""
        return [one for one in self.reasons if one.verdict is Verdict.NO]

    @property
    def order(self) -> tuple[Any, ...]:
        """Where it stands in a list.

        What fits comes first. Then each reason decides after the one before it, a yes before what is unsure; then a
        fresh word about room before a stale one, the sooner start, more open places, and the name.
        """
        one = self.program
        days = one.expected_days if one.expected_days is not None else _NOBODY_KNOWS
        places = -(one.open_places or 0)
        return (not self.fits, [each.verdict for each in self.reasons], self.is_stale, days, places, one.name_fold)


_NOBODY_KNOWS: Final = 10_000
#: A participant's language as programs may call it: Chinese is one entry there and three here.
_SPOKEN_AS: Final = {"zh": ("zh", "cmn", "yue")}
_ZIP: Final = re.compile(r"\d{5}(-\d{4})?")
_STATE: Final = re.compile(r"[a-z]{2}")
_HOUSE: Final = re.compile(r"#?\d+[a-z]?")


def fit(program: Program, sought: Sought, *, agreed: bool, part2: bool, at: datetime) -> Fit:
    """Hold an open program against what is sought for one participant (R12, R15). Needs `location` loaded.

    `agreed`: an agreement in force lets it be asked for them; `part2`: it may be a treatment program under 42 CFR
    Part 2, to which nothing can be sent yet.
    """
    reasons = [_agreement(agreed=agreed, part2=part2)]
    if sought.service is not None:
        offered = sought.service in program.categories
        reasons.append(Reason("service.yes", Verdict.YES) if offered else Reason("service.no", Verdict.NO))
    reasons += [_area(program, sought.lives), _language(program, sought.language), _room(program)]
    return Fit(program, tuple(reasons), program.capacity_is_stale(at))


def _agreement(*, agreed: bool, part2: bool) -> Reason:
    if not agreed:
        return Reason("agreement.no", Verdict.NO)
    return Reason("agreement.part2", Verdict.NO) if part2 else Reason("agreement.yes", Verdict.YES)


def _area(program: Program, lives: str | None) -> Reason:
    place = program.location
    served = once([*program.places, *([place.city] if place is not None and place.city else [])])
    if not served:
        return Reason("area.not_said", Verdict.UNSURE)
    named = {"places": ", ".join(served)}
    if lives is None:
        return Reason("area.home_unknown", Verdict.UNSURE, named)
    lines = _lines_of(lives)
    for one in served:
        if any(_names(line, one) for line in lines):
            return Reason("area.yes", Verdict.YES, {"place": one})
    # Only ZIP codes say where an area ends: a street address does not tell its county.
    theirs = {word for line in lines for word in line[-1:] if _ZIP.fullmatch(word)}
    if theirs and all(_ZIP.fullmatch(one.strip()) for one in program.places) and program.places:
        return Reason("area.no", Verdict.NO, {"places": ", ".join(program.places)})
    return Reason("area.to_check", Verdict.UNSURE, named)


def _lines_of(address: str) -> list[list[str]]:
    return [folded(part).replace(".", " ").split() for part in re.split(r"[,;\n]", address)]


def _names(line: Sequence[str], place: str) -> bool:
    """Whether a line of an address is of this place: a street called after a town is not."""
    wanted = _lines_of(place)[0]
    if len(wanted) == 1 and _ZIP.fullmatch(wanted[0]):
        return any(word.partition("-")[0] == wanted[0] for word in line[-1:])
    kept, wanted = _without_state(line), _without_state(wanted)
    if not wanted or kept[-len(wanted) :] != wanted:
        return False
    # Before a town may stand its street, with a number; East Palo Alto is another town than Palo Alto.
    before = kept[: -len(wanted)]
    return not before or any(_HOUSE.fullmatch(word) for word in before)


def _without_state(line: Sequence[str]) -> list[str]:
    words = list(line)
    if words and _ZIP.fullmatch(words[-1]):
        words.pop()
    if len(words) > 1 and _STATE.fullmatch(words[-1]):
        words.pop()
    return words


def _language(program: Program, language: str | None) -> Reason:
    if not program.languages:
        return Reason("language.not_said", Verdict.UNSURE)
    if language is None or language not in {*LANGUAGES, *_SPOKEN_AS}:
        return Reason("language.theirs_unknown", Verdict.UNSURE)
    spoken = any(one in program.languages for one in _SPOKEN_AS.get(language, (language,)))
    return Reason("language.yes", Verdict.YES) if spoken else Reason("language.no", Verdict.NO)


def _room(program: Program) -> Reason:
    code = program.capacity_code
    if code is None:
        return Reason("room.not_said", Verdict.UNSURE)
    return Reason(f"room.{code}", {"capacity": Verdict.YES, "no_capacity": Verdict.NO}.get(code, Verdict.UNSURE))
