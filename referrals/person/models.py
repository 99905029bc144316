"""The participant and their care team."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped

from referrals.kernel.crypto import (
    blind_index,
    day,
    folded_name_and_day,
    folded_names,
    names,
    numbers,
    phones,
    sealed,
    text,
)
from referrals.kernel.errors import RuleBrokenError
from referrals.kernel.orm import Identified, Subject, edits, personal, public

#: Languages a participant may wish to be spoken to in: ISO 639 codes; `ase` is American Sign Language.
LANGUAGES: Final = (
    *("en", "es", "ar", "ase", "fa", "fr", "hmn", "hy", "ja", "km", "ko", "pa", "pt", "ru", "tl", "vi", "zh"),
    "other",
)

#: How somebody belongs to a care team.
TIES: Final = ("case_manager", "supervising_officer", "navigator", "intake", "desk", "supervisor")
#: The ties that a command may give by hand; the rest are written by the act that causes them.
TIES_BY_HAND: Final = ("case_manager", "supervising_officer", "navigator", "supervisor")

REASONS: Final = (
    *("new_to_agency", "transfer", "caseload_change", "supervision_began", "referral_sent", "referral_accepted"),
    *("session_booked", "covering", "warm_introduction", "other"),
)
REASONS_BY_HAND: Final = ("transfer", "caseload_change", "supervision_began", "covering", "warm_introduction", "other")

END_REASONS: Final = (
    *("handed_over", "transfer", "supervision_ended", "released", "left_organization", "referral_ended", "visit_over"),
    *("mistake", "other"),
)
END_REASONS_BY_HAND: Final = (
    *("handed_over", "transfer", "supervision_ended", "released", "left_organization", "mistake", "other"),
)

#: Spaces, slashes, and the hyphens and dashes that names are joined by.
_BETWEEN_WORDS = re.compile(r"[\s/\-\u2010-\u2014]+")


#: Signs that are taken for each other in numbers, read aloud or by hand.
_LOOK_ALIKE: Final = ("O0QD", "I1L", "S5", "Z2", "B8")
#: A number of many such signs is read in so many ways at most, those with the fewest changes first.
_READINGS: Final = 48


class NumberTakenError(RuleBrokenError):
    """The agency already has this number. `person_id` is given only to who may know of that participant."""

    code = "number_taken"


class LikelyDuplicateError(RuleBrokenError):
    """The agency already has a participant who may be the same person; adding wants `although_alike`."""

    code = "likely_duplicate"


class UnseenDuplicateError(LikelyDuplicateError):
    """The same, where nobody of those who may be the same person is within the actor's sight."""

    code = "likely_duplicate_unseen"


class AlreadyAssignedError(RuleBrokenError):
    """They are on the care team in that way already."""

    code = "already_assigned"


class AssignmentEndedError(RuleBrokenError):
    """The assignment has ended before."""

    code = "assignment_ended"


class ParticipantDiedError(RuleBrokenError):
    """It is on record that the participant has died, so nothing new begins for them (R5)."""

    code = "participant_died"


class DeathOnRecordError(RuleBrokenError):
    """It is on record already that the participant has died."""

    code = "death_on_record"


class DeathTakenBackError(RuleBrokenError):
    """The record of this death was taken back before, as a mistake."""

    code = "death_taken_back"


#: From whom somebody may have heard that a participant has died.
TOLD_OF_DEATH: Final = (*("family", "facility", "hospital", "medical_examiner", "officer", "public_record", "other"),)


class Person(Subject):
    """A participant: identity and contacts sealed under their own key, found again by blind indexes alone."""

    __tablename__ = "person"
    __participant__ = "id"
    __recorder__ = "organization_id"

    #: The agency that recorded them, and whose number they carry.
    organization_id: Mapped[UUID] = public(ForeignKey("organization.id"), index=True)
    #: Where they are held, if they are.
    facility_id: Mapped[UUID | None] = personal(ForeignKey("facility.id"), category="release", index=True)
    given_name = sealed(text, category="identity")
    family_name = sealed(text, category="identity")
    #: What they wish to be called.
    preferred_name = sealed(text, category="identity", nullable=True)
    birth_date = sealed(day, category="identity")
    #: A code of `LANGUAGES`.
    language = sealed(text, category="identity", padded=True)
    agency_number = sealed(text, category="identity")
    phone = sealed(text, category="contact", nullable=True)
    email = sealed(text, category="contact", nullable=True)
    address = sealed(text, category="contact", nullable=True)
    added_at: Mapped[datetime] = public()
    added_by: Mapped[UUID] = public()
    version: Mapped[int] = public(default=1)
    edits: Mapped[dict[str, Any] | None] = edits()

    by_number = blind_index(of="agency_number", normalizer=numbers, bits=128, unique=True, partition="organization_id")
    by_family_name = blind_index(of="family_name", normalizer=folded_names)
    by_given_name = blind_index(of="given_name", normalizer=folded_names)
    by_family_and_birth = blind_index(of=("family_name", "birth_date"), normalizer=folded_name_and_day)

    @property
    def called(self) -> str:
        """The name to greet them by: preferred (or given) name, and family name."""
        return f"{self.preferred_name or self.given_name} {self.family_name}"

    __shows__ = {"called": "identity"}  # noqa: RUF012  # a class variable of the base

    def correct(self, **identity: Any) -> list[str]:
        """Change fields of identity or contact; return their names for the record."""
        for name, value in identity.items():
            setattr(self, name, value)
        self.version += 1
        return [*identity, "version"]

    def sounds_like(self, wanted: Iterable[str]) -> bool:
        """Whether every wanted word begins one of this person's names; case, accents and punctuation do not count.

        `wanted` are folded words (`folded_words`). Names of several words are met word by word and written together:
        `garcia`, `lopez` and `garcialopez` all find García-López.
        """
        known: list[str] = []
        for name in (self.given_name, self.family_name, self.preferred_name or ""):
            words = folded_words(name)
            known += words if len(words) == 1 else [*words, "".join(words)]
        return all(any(word.startswith(one) for word in known) for one in wanted)


def folded_words(typed: str) -> list[str]:
    """Return the words of a name without case, accents or punctuation: `Núñez-O'Brien` is `nunez`, `obrien`."""
    return [word for part in _BETWEEN_WORDS.split(names(typed)) if (word := folded_names(part))]


#: Shorter given names begin too many others to be taken for short forms.
_SHORT_FORM: Final = 3
#: In shorter given names one letter makes another name: Ana, Eva.
_MISSPELLED: Final = 4


def are_similar(one: str, other: str) -> bool:
    """Whether two given names may be the same one: equal, a short form (Dan, Daniel), or one letter apart.

    Case, accents and punctuation do not count; two letters changed about are one apart.
    """
    first, second = sorted((folded_names(one), folded_names(other)), key=len)
    if not first:
        return False
    if first == second or (len(first) >= _SHORT_FORM and second.startswith(first)):
        return True
    return len(first) >= _MISSPELLED and _one_apart(first, second)


def _one_apart(short: str, long: str) -> bool:
    """Whether one letter was added, changed, or two neighbors swapped; `short` is no longer than `long`."""
    at = next((place for place, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    rest, longer = short[at:], long[at:]
    if len(short) < len(long):
        return rest == longer[1:]
    return rest[1:] == longer[1:] or (rest[:2] == longer[1::-1] and rest[2:] == longer[2:])


def readings(number: str) -> list[str]:
    """Return in which ways a number may have been meant: as typed first, then with more and more look-alikes changed.

    `NR-2O877` is `NR2O877`, and may be `NR20877`.
    """
    typed = numbers(number)
    found = dict.fromkeys([typed] if typed else [])
    latest = list(found)
    while latest and len(found) < _READINGS:
        latest = [one for before in latest for one in _one_changed(before) if one not in found]
        found |= dict.fromkeys(latest)
    return list(found)[:_READINGS]


def _one_changed(number: str) -> list[str]:
    return [
        number[:at] + other + number[at + 1 :]
        for at, sign in enumerate(number)
        for alike in _LOOK_ALIKE
        if sign in alike
        for other in alike
        if other != sign
    ]


def why_alike(
    person: Person, *, given_name: str, birth_date: date, phone: str | None, preferred_name: str | None = None
) -> list[str]:
    """Return the codes of what says that somebody of the same family name may be this person; none if nothing does.

    `birth_date`, `phone` (however it is written), `given_name` (similar, or what they are called).
    """
    why = ["birth_date"] if person.birth_date == birth_date else []
    if phone and person.phone and phones(phone) and phones(phone) == phones(person.phone):
        why.append("phone")
    theirs = [name for name in (person.given_name, person.preferred_name) if name]
    ours = [name for name in (given_name, preferred_name) if name]
    if any(are_similar(one, other) for one in theirs for other in ours):
        why.append("given_name")
    return why


class Assignment(Identified):
    """That somebody helps a participant, or receives them: one user, one program's intake list, or one facility's desk.

    The third key of every read (C10): `person`'s `visible_to` and `consent`'s `holds` look at nothing else. Who helps
    whom is itself about the participant, so it crosses between organizations as `attendance` only.
    """

    __tablename__ = "assignment"
    __participant__ = "participant_id"
    __recorder__ = "organization_id"
    __table_args__ = (
        CheckConstraint(
            "(user_id IS NOT NULL AND program_id IS NULL AND facility_id IS NULL)"
            " OR (user_id IS NULL AND program_id IS NOT NULL AND facility_id IS NULL)"
            " OR (user_id IS NULL AND program_id IS NULL AND facility_id IS NOT NULL)",
            name="one_holder",
        ),
        Index("ix_assignment_participant_id_until_at", "participant_id", "until_at"),
        Index("ix_assignment_user_id_until_at", "user_id", "until_at"),
        Index("ix_assignment_program_id_until_at", "program_id", "until_at"),
        Index("ix_assignment_organization_id_until_at", "organization_id", "until_at"),
    )

    participant_id: Mapped[UUID] = public(ForeignKey("person.id"))
    #: The organization of the user, program or desk.
    organization_id: Mapped[UUID] = public(ForeignKey("organization.id"))
    user_id: Mapped[UUID | None] = personal(ForeignKey("user.id"), category="attendance")
    program_id: Mapped[UUID | None] = personal(ForeignKey("program.id"), category="attendance")
    facility_id: Mapped[UUID | None] = personal(ForeignKey("facility.id"), category="attendance")
    tie: Mapped[str] = personal(category="attendance")
    reason: Mapped[str] = personal(category="attendance")
    #: Words beside the reason.
    reason_text = sealed(text, category="attendance", nullable=True)
    from_at: Mapped[datetime] = public()
    from_by: Mapped[UUID | None] = public()
    until_at: Mapped[datetime | None] = public()
    ended_by: Mapped[UUID | None] = public()
    ended_because: Mapped[str | None] = public()
    #: The referral that brought the assignment about, if one did: a plain id, since referrals live upstairs.
    referral_id: Mapped[UUID | None] = public(index=True)

    @property
    def is_in_force(self) -> bool:
        """Whether it still holds."""
        return self.until_at is None

    __shows__ = {"is_in_force": None}  # noqa: RUF012  # a class variable of the base

    def end(self, *, at: datetime, by: UUID | None, because: str) -> list[str]:
        """End it; return the changed fields for the record.

        Raises:
            AssignmentEndedError: it ended before.
        """
        if self.until_at is not None:
            raise AssignmentEndedError(at=self.until_at)
        self.until_at, self.ended_by, self.ended_because = at, by, because
        return ["until_at", "ended_by", "ended_because"]


class DeathRecord(Identified):
    """That a participant has died, as somebody was told; or that an earlier such record was a mistake. Never changed.

    It stands until another row takes it back. The agency's own goes with who the participant is; another organization's
    is what came of its work with them, as its answers are. How somebody died is asked of nobody.
    """

    __tablename__ = "death_record"
    __participant__ = "participant_id"
    __recorder__ = "organization_id"
    __row_category__ = "category"

    participant_id: Mapped[UUID] = personal(ForeignKey("person.id"), category="identity", index=True)
    organization_id: Mapped[UUID] = public()
    category: Mapped[str] = public()
    at: Mapped[datetime] = public()
    by: Mapped[UUID] = public()
    #: The day, where it is known.
    died_on = sealed(day, nullable=True)
    #: A code of `TOLD_OF_DEATH`; none where it takes another back.
    told_by = sealed(text, nullable=True, padded=True)
    #: Words of one's own may say how it came about, so they cross as what is most closely kept of a body.
    words = sealed(text, category="health", nullable=True)
    #: Why the other was a mistake.
    because = sealed(text, nullable=True)
    #: The record that this one takes back: each is taken back once.
    takes_back_id: Mapped[UUID | None] = public(ForeignKey("death_record.id"), unique=True)

    def take_back(self, *, at: datetime, by: UUID, organization_id: UUID, because: str) -> DeathRecord:
        """Return the entry that takes this one back, under the same category."""
        return DeathRecord(
            participant_id=self.participant_id,
            organization_id=organization_id,
            category=self.category,
            at=at,
            by=by,
            because=because,
            takes_back_id=self.id,
        )
