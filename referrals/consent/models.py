"""The consent: its nine elements, its status, and what it covers.

Elements are those of 42 CFR 2.31(a); every kind needs them all (C6).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped

from referrals.kernel.actor import Role, Side
from referrals.kernel.crypto import is_recorded, octets, sealed, text
from referrals.kernel.errors import RuleBrokenError
from referrals.kernel.orm import CATEGORIES, Identified, public


class Kind(StrEnum):
    """Which law a consent is written for (C5)."""

    GENERAL = "general"
    PART2 = "part2"
    CRIMINAL_JUSTICE = "criminal_justice"


class Method(StrEnum):
    """How it was signed (C32)."""

    E_SIGNATURE = "e_signature"
    VERBAL = "verbal"
    WET = "wet"


class Status(StrEnum):
    """Where a consent stands at an instant (C7)."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    ACTIVE = "active"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"
    VOID = "void"


#: Why something is shared (C8).
PURPOSES: Final = (
    *("referral", "pre_release", "service", "supervision", "benefits", "treatment", "evaluation", "own_request"),
    "legal_proceeding",
)
#: Legal proceedings want a consent form of their own (C18), which is not offered yet.
PURPOSES_OFFERED: Final = PURPOSES[:-1]

#: What a consent may end with (C7).
EVENTS: Final = ("referral_closed", "released", "supervision_ended", "treatment_ended", "final_disposition")
#: The last two belong to kinds that are not offered yet.
EVENTS_OFFERED: Final = EVENTS[:3]

#: How a withdrawal reached us (C24).
WITHDRAWN_HOW: Final = ("told_staff", "written", "by_phone", "authorized_person")

#: A role that may be named as a recipient.
RECIPIENT_ROLES: Final = tuple(
    str(role) for role in (Role.CASE_MANAGER, Role.SUPERVISING_OFFICER, Role.NAVIGATOR, Role.SUPERVISOR)
)

LANGUAGES: Final = ("en", "es")

#: The nine elements, by name (C6).
ELEMENTS: Final = (
    *("participant_name", "discloser", "information", "purpose", "recipient"),
    *("right_to_revoke", "expiry", "signature", "signed_on"),
)

#: Files of evidence: their first bytes, which alone say what they are (S-307).
EVIDENCE_TYPES: Final = {
    "application/pdf": b"%PDF-",
    "image/jpeg": b"\xff\xd8\xff",
    "image/png": b"\x89PNG\r\n\x1a\n",
}
EVIDENCE_AT_MOST: Final = 10 * 1024 * 1024
PART_SIZE: Final = 1024 * 1024
_PART_HEAD = 4


class ConsentEndedError(RuleBrokenError):
    """The consent has ended: withdrawn, expired, superseded or void."""

    code = "consent_ended"


class AlreadyWitnessedError(RuleBrokenError):
    """The witness has confirmed before."""

    code = "already_witnessed"


class NotWitnessedError(RuleBrokenError):
    """There is nothing to witness: it was not given by word of mouth."""

    code = "not_to_be_witnessed"


class WordsChangedError(RuleBrokenError):
    """The text that was shown is not the one that would be stored; show it again."""

    code = "words_changed"


class NotReplaceableError(RuleBrokenError):
    """Only a consent in force, between the same organizations and about the same person, can be replaced."""

    code = "not_replaceable"


class EvidenceUsedError(RuleBrokenError):
    """This file proves another consent already."""

    code = "evidence_used"


class ErrorReportedError(RuleBrokenError):
    """Somebody reported it as a mistake before."""

    code = "error_reported"


class ErrorNotReportedError(RuleBrokenError):
    """Nobody has reported it as a mistake."""

    code = "error_not_reported"


class SamePersonError(RuleBrokenError):
    """Whoever reported the mistake cannot be the one who confirms it."""

    code = "same_person"


@lru_cache(maxsize=4096)
def midnight_after(last_day: date, time_zone: str) -> datetime:
    """Return the instant at which a day is over in a zone, whatever its clocks do that night."""
    after = datetime.combine(last_day + timedelta(days=1), time(), tzinfo=ZoneInfo(time_zone))
    return after.astimezone(UTC)


def midnight_of(first_day: date, time_zone: str) -> datetime:
    """Return the instant at which a day begins in a zone."""
    return midnight_after(first_day - timedelta(days=1), time_zone)


def a_year_after(day: date) -> date:
    """Return the last day a consent that begins on `day` may reach (C7): a year on, or March 1 for February 29."""
    try:
        return day.replace(year=day.year + 1)
    except ValueError:
        return date(day.year + 1, 3, 1)


@dataclass(frozen=True, slots=True)
class Reader:
    """Who would read, as far as a recipient can be named."""

    organization_id: UUID
    user_id: UUID | None
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a participant is asked in one sitting: one direction in full, and what differs in the other (`back_…`)."""

    kind: str
    from_org_id: UUID | None
    to_org_id: UUID | None
    to_role: str | None
    to_user_id: UUID | None
    to_person: str | None
    categories: Sequence[str]
    purposes: Sequence[str]
    name_as_on_form: str | None
    told_rights: bool
    expires_on: date | None
    expires_event: str | None
    no_later_than: date | None
    effective_on: date | None
    language: str
    back: str | None
    back_categories: Sequence[str]
    back_to_role: str | None
    back_to_user_id: UUID | None


@dataclass(frozen=True, slots=True)
class Proof:
    """How and when it was signed."""

    method: str | None
    signature: str | None
    signed_on: date | None
    witness_id: UUID | None
    evidence_id: UUID | None


#: What proves a signature, by method.
_PROVED_BY: Final[dict[str, str]] = {
    Method.E_SIGNATURE: "signature",
    Method.VERBAL: "witness_id",
    Method.WET: "evidence_id",
}


class Consent(Identified):
    """One signed consent. What was signed never changes (C4); only how it ends, and who witnessed it, is added, once.

    It carries no status: `status()` derives it for an instant.
    """

    __tablename__ = "consent"
    __participant__ = "participant_id"
    __recorder__ = "taken_org_id"
    __table_args__ = (
        Index("ix_consent_participant_id_to_org_id", "participant_id", "to_org_id"),
        CheckConstraint("from_org_id <> to_org_id", name="crosses"),
    )

    participant_id: Mapped[UUID] = public(ForeignKey("person.id"))
    #: What was asked in one sitting belongs together (both directions).
    sitting_id: Mapped[UUID] = public(index=True)
    kind: Mapped[str] = public()
    from_org_id: Mapped[UUID] = public(ForeignKey("organization.id"))
    to_org_id: Mapped[UUID] = public(ForeignKey("organization.id"))
    to_role: Mapped[str | None] = public()
    to_user_id: Mapped[UUID | None] = public(ForeignKey("user.id"))
    #: A recipient who is not in the system: name, title, address.
    to_person = sealed(text, category="identity", nullable=True)
    categories: Mapped[list[str]] = public(JSON)
    purposes: Mapped[list[str]] = public(JSON)
    name_as_on_form = sealed(text, category="identity")
    #: What is shared, said in plain words.
    description = sealed(text, category="identity")
    #: The whole text that was shown; `document_hash` is its SHA-256, in hex.
    document = sealed(text, category="identity")
    document_hash: Mapped[str] = public()
    #: That the right to take it back, its limits and what refusing means were shown or read aloud.
    told_rights: Mapped[bool] = public()
    expires_on: Mapped[date | None] = public()
    expires_event: Mapped[str | None] = public()
    no_later_than: Mapped[date | None] = public()
    #: `participant`, until authorized persons are offered.
    signed_by: Mapped[str] = public()
    method: Mapped[str] = public()
    signature = sealed(text, category="identity", nullable=True)
    evidence_id: Mapped[UUID | None] = public(ForeignKey("evidence.id"), index=True)
    #: The day the signer gave beside the signature; `signed_at` is when it was recorded.
    signed_on: Mapped[date | None] = public()
    signed_at: Mapped[datetime] = public()
    effective_at: Mapped[datetime] = public()
    language: Mapped[str] = public()
    wording_version: Mapped[str] = public()
    #: The zone of the discloser, in which its days end.
    time_zone: Mapped[str] = public()
    witness_id: Mapped[UUID | None] = public(ForeignKey("user.id"), index=True)
    interpreter = sealed(text, category="identity", nullable=True)
    place = sealed(text, category="identity", nullable=True)
    taken_by: Mapped[UUID] = public()
    taken_org_id: Mapped[UUID] = public(ForeignKey("organization.id"))
    replaces_id: Mapped[UUID | None] = public(ForeignKey("consent.id"))

    # What may be added later, each once.
    witness_confirmed_at: Mapped[datetime | None] = public()
    withdrawn_at: Mapped[datetime | None] = public()
    withdrawn_by: Mapped[UUID | None] = public()
    withdrawn_how: Mapped[str | None] = public()
    superseded_at: Mapped[datetime | None] = public()
    superseded_by_id: Mapped[UUID | None] = public()
    event_at: Mapped[datetime | None] = public()
    error_reported_at: Mapped[datetime | None] = public()
    error_reported_by: Mapped[UUID | None] = public()
    voided_at: Mapped[datetime | None] = public()
    voided_by: Mapped[UUID | None] = public()
    version: Mapped[int] = public(default=1)

    @property
    def ends_at(self) -> datetime | None:
        """The first instant at which it no longer holds by its own words."""
        days = [one for one in (self.expires_on, self.no_later_than) if one is not None]
        ends = [midnight_after(one, self.time_zone) for one in days]
        if self.event_at is not None:
            ends.append(self.event_at)
        return min(ends, default=None)

    __shows__ = {"ends_at": None}  # noqa: RUF012  # a class variable of the base

    @property
    def over_at(self) -> datetime | None:
        """The first instant at which it no longer holds, by its own words or because somebody ended it."""
        ends = (self.ends_at, self.withdrawn_at, self.superseded_at, self.voided_at)
        return min((one for one in ends if one is not None), default=None)

    def status(self, at: datetime) -> Status:
        """Return where it stands at an instant."""
        if self.voided_at is not None and self.voided_at <= at:
            return Status.VOID
        if self.withdrawn_at is not None and self.withdrawn_at <= at:
            return Status.WITHDRAWN
        if self.superseded_at is not None and self.superseded_at <= at:
            return Status.SUPERSEDED
        ends_at = self.ends_at
        if ends_at is None or ends_at <= at:
            return Status.EXPIRED
        if self.method == Method.VERBAL and (self.witness_confirmed_at is None or self.witness_confirmed_at > at):
            return Status.DRAFT
        return Status.ACTIVE if self.effective_at <= at else Status.SCHEDULED

    def has_ended(self, at: datetime) -> bool:
        """Whether it once could hold and now cannot any more."""
        return self.status(at) in {Status.EXPIRED, Status.WITHDRAWN, Status.SUPERSEDED, Status.VOID}

    def missing_elements(self) -> list[str]:
        """Return the names of the elements it lacks, in their order (C6)."""
        there = {
            "participant_name": is_recorded(self, "name_as_on_form"),
            "discloser": self.from_org_id is not None,
            "information": bool(self.categories) and is_recorded(self, "description"),
            "purpose": bool(self.purposes),
            "recipient": self.to_org_id is not None,
            "right_to_revoke": self.told_rights and bool(self.wording_version),
            "expiry": self.no_later_than is not None and bool(self.expires_on or self.expires_event),
            "signature": self._is_signed(),
            "signed_on": self.signed_on is not None,
        }
        return [name for name in ELEMENTS if not there[name]]

    def _is_signed(self) -> bool:
        if self.method == Method.E_SIGNATURE:
            return is_recorded(self, "signature")
        return self.witness_id is not None if self.method == Method.VERBAL else self.evidence_id is not None

    def names(self, reader: Reader) -> bool:
        """Whether this reader is its recipient."""
        if reader.organization_id != self.to_org_id or self._to_outsider:
            return False
        if self.to_user_id is not None:
            return reader.user_id == self.to_user_id
        return self.to_role is None or self.to_role in reader.roles

    @property
    def _to_outsider(self) -> bool:
        return is_recorded(self, "to_person")

    @property
    def specificity(self) -> int:
        """How narrowly it names its recipient: 2 a person, 1 a role, 0 an organization."""
        return 2 if self.to_user_id is not None or self._to_outsider else 1 if self.to_role is not None else 0

    def covers(self, category: str, purpose: str, at: datetime) -> bool:
        """Whether it lets this category cross for this purpose at this instant, to its recipient.

        Records of substance use treatment never cross on a general consent (C9, 42 CFR 2.31).
        """
        return self.speaks_of(category) and purpose in self.purposes and self.holds(at)

    def holds(self, at: datetime) -> bool:
        """Whether it lets anything cross at this instant: it is active, and lacks nothing that the law asks of it."""
        return self.status(at) == Status.ACTIVE and not self.missing_elements()

    def speaks_of(self, category: str) -> bool:
        """Whether it names this category, and may."""
        return category in self.categories and (category != "substance_use" or self.kind != Kind.GENERAL)

    def withdraw(self, *, at: datetime, by: UUID, how: str) -> list[str]:
        """End it because the participant takes it back; return the changed fields for the record.

        Raises:
            ConsentEndedError: it has ended before.
        """
        self._refuse_ended(at)
        self.withdrawn_at, self.withdrawn_by, self.withdrawn_how = at, by, how
        return self._raised("withdrawn_at", "withdrawn_by", "withdrawn_how")

    def confirm_witness(self, *, at: datetime) -> list[str]:
        """Keep that its witness was there; from now on it can hold.

        Raises:
            NotWitnessedError, AlreadyWitnessedError, ConsentEndedError: there is nothing (left) to confirm.
        """
        if self.method != Method.VERBAL:
            raise NotWitnessedError
        if self.witness_confirmed_at is not None:
            raise AlreadyWitnessedError(at=self.witness_confirmed_at)
        self._refuse_ended(at)
        self.witness_confirmed_at = at
        return self._raised("witness_confirmed_at")

    def supersede(self, *, at: datetime, by_id: UUID) -> list[str]:
        """End it because a new one takes its place.

        Raises:
            ConsentEndedError: it has ended before.
        """
        self._refuse_ended(at)
        self.superseded_at, self.superseded_by_id = at, by_id
        return self._raised("superseded_at", "superseded_by_id")

    def meet_event(self, *, at: datetime) -> list[str]:
        """End it because what it was to end with has happened.

        Raises:
            ConsentEndedError: it has ended before.
        """
        self._refuse_ended(at)
        self.event_at = at
        return self._raised("event_at")

    def report_error(self, *, at: datetime, by: UUID) -> list[str]:
        """Keep that somebody holds it for a mistake (a wrong person, a wrong form); it holds on until another agrees.

        Raises:
            ErrorReportedError: somebody did before.
        """
        if self.error_reported_at is not None:
            raise ErrorReportedError(at=self.error_reported_at)
        self.error_reported_at, self.error_reported_by = at, by
        return self._raised("error_reported_at", "error_reported_by")

    def void(self, *, at: datetime, by: UUID) -> list[str]:
        """Agree that it was a mistake: it takes two people (C7).

        Raises:
            ErrorNotReportedError: nobody reported it. SamePersonError: the reporter cannot agree with themselves.
        """
        if self.error_reported_at is None:
            raise ErrorNotReportedError
        if self.error_reported_by == by:
            raise SamePersonError
        if self.voided_at is not None:
            raise ConsentEndedError(status=str(Status.VOID), at=self.voided_at)
        self.voided_at, self.voided_by = at, by
        return self._raised("voided_at", "voided_by")

    def _refuse_ended(self, at: datetime) -> None:
        if self.has_ended(at):
            raise ConsentEndedError(status=str(self.status(at)), at=self.withdrawn_at or self.ends_at)

    def _raised(self, *fields: str) -> list[str]:
        self.version += 1
        return [*fields, "version"]


class DeclinedConsent(Identified):
    """That a participant said no. It closes no service, hides no program and moves no clock (C4)."""

    __tablename__ = "declined_consent"
    __participant__ = "participant_id"
    __recorder__ = "taken_org_id"

    participant_id: Mapped[UUID] = public(ForeignKey("person.id"), index=True)
    sitting_id: Mapped[UUID] = public()
    from_org_id: Mapped[UUID] = public(ForeignKey("organization.id"))
    to_org_id: Mapped[UUID] = public(ForeignKey("organization.id"))
    categories: Mapped[list[str]] = public(JSON)
    purposes: Mapped[list[str]] = public(JSON)
    declined_at: Mapped[datetime] = public()
    taken_by: Mapped[UUID] = public()
    taken_org_id: Mapped[UUID] = public(ForeignKey("organization.id"))


class Evidence(Identified):
    """A photo or scan of a signed form: its type by content, its hash, and how many parts hold it."""

    __tablename__ = "evidence"
    __participant__ = "participant_id"
    __recorder__ = "taken_org_id"

    participant_id: Mapped[UUID] = public(ForeignKey("person.id"), index=True)
    media_type: Mapped[str] = public()
    size: Mapped[int] = public()
    #: SHA-256 of the whole file, in hex.
    sha256: Mapped[str] = public()
    parts: Mapped[int] = public()
    added_at: Mapped[datetime] = public()
    added_by: Mapped[UUID] = public()
    taken_org_id: Mapped[UUID] = public(ForeignKey("organization.id"))


class EvidencePart(Identified):
    """One megabyte of a file. Each opens with its number and their count, so that none is dropped, added or moved."""

    __tablename__ = "evidence_part"
    __participant__ = "participant_id"
    __recorder__ = "taken_org_id"
    __table_args__ = (Index("uq_evidence_part_evidence_id_number", "evidence_id", "number", unique=True),)

    participant_id: Mapped[UUID] = public(ForeignKey("person.id"))
    evidence_id: Mapped[UUID] = public(ForeignKey("evidence.id"))
    number: Mapped[int] = public()
    taken_org_id: Mapped[UUID] = public(ForeignKey("organization.id"))
    content = sealed(octets, category="identity")


class BrokenEvidenceError(RuntimeError):
    """Parts of a file are missing, moved, or not those that were hashed."""


def media_type_of(content: bytes) -> str | None:
    """Return what a file is by its first bytes; None for anything that is no PDF, JPEG or PNG."""
    return next((kind for kind, start in EVIDENCE_TYPES.items() if content.startswith(start)), None)


def in_parts(content: bytes) -> list[bytes]:
    """Return a file as parts of at most 1 MB, each behind its number and their count (two big-endian u16)."""
    pieces = [content[start : start + PART_SIZE] for start in range(0, len(content), PART_SIZE)] or [b""]
    return [
        number.to_bytes(2, "big") + len(pieces).to_bytes(2, "big") + piece for number, piece in enumerate(pieces, 1)
    ]


def joined(parts: Iterable[bytes], sha256: str) -> bytes:
    """Return the file that `in_parts` took apart.

    Raises:
        BrokenEvidenceError: a part is missing, doubled or out of place, or the hash is another.
    """
    pieces = list(parts)
    for number, piece in enumerate(pieces, 1):
        head = number.to_bytes(2, "big") + len(pieces).to_bytes(2, "big")
        if piece[:_PART_HEAD] != head:
            raise BrokenEvidenceError("a part is missing or out of place")
    content = b"".join(piece[_PART_HEAD:] for piece in pieces)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BrokenEvidenceError("the file is not the one that was hashed")
    return content


def hash_of(document: str) -> str:
    """Return the SHA-256 of a text as it was shown, in hex."""
    return hashlib.sha256(document.encode()).hexdigest()


def faults_of(asked: Asked, proof: Proof | None, today: date) -> dict[str, list[str]]:
    """Return what keeps a consent from being signed, by field: `missing_element.<name>`, and the rules of C5 and C7.

    `proof` is None while the text is only drawn up for review; `today` is the day in the discloser's zone.
    """
    faults: dict[str, list[str]] = {}

    def find(field: str, fault: str) -> None:
        faults.setdefault(field, []).append(fault)

    if asked.kind != Kind.GENERAL:
        find("kind", "not_yet_offered")
    for field, element in (
        ("name_as_on_form", "participant_name"),
        ("from_org_id", "discloser"),
        ("to_org_id", "recipient"),
        ("categories", "information"),
        ("purposes", "purpose"),
    ):
        if not getattr(asked, field):
            find(field, f"missing_element.{element}")
    if asked.back == "yes" and not asked.back_categories:
        find("back_categories", "missing_element.information")
    _check_days(asked, today, find)
    if proof is not None:
        _check_signing(asked, proof, today, find)
    return faults


def _check_days(asked: Asked, today: date, find: Callable[[str, str], None]) -> None:
    starts = asked.effective_on or today
    ends = asked.no_later_than
    if asked.effective_on is not None and asked.effective_on < today:
        find("effective_on", "in_past")
    if ends is None or not (asked.expires_on or asked.expires_event):
        find("no_later_than" if asked.expires_event else "expires_on", "missing_element.expiry")
    if asked.expires_on is not None and asked.expires_on < starts:
        find("expires_on", "in_past")
    elif ends is not None and ends < starts:
        find("no_later_than", "in_past")
    if ends is not None and ends > a_year_after(starts):
        find("no_later_than", "longer_than_a_year")
    if ends is not None and asked.expires_on is not None and asked.expires_on > ends:
        find("expires_on", "after_the_end")


def _check_signing(asked: Asked, proof: Proof, today: date, find: Callable[[str, str], None]) -> None:
    if not asked.told_rights:
        find("told_rights", "missing_element.right_to_revoke")
    if proof.signed_on is None:
        find("signed_on", "missing_element.signed_on")
    elif proof.signed_on > today:
        find("signed_on", "in_future")
    if proof.method is None:
        find("method", "missing_element.signature")
    elif not getattr(proof, _PROVED_BY[proof.method]):
        find(_PROVED_BY[proof.method], "missing_element.signature")


def recipient_faults(
    to_side: str, categories: Collection[str], *, role: str | None, user_id: UUID | None, person: str | None = None
) -> dict[str, str]:
    """Return what is wrong with a recipient, under `to_role` and `categories` (C2, C9).

    Exactly one form; toward an agency a role or a person, and never what was said in sessions. A general consent never
    speaks of substance use.
    """
    faults: dict[str, str] = {}
    forms = [one for one in (role, user_id, person) if one]
    if len(forms) > 1:
        faults["to_role"] = "one_recipient"
    elif to_side == Side.AGENCY and not forms:
        faults["to_role"] = "agency_needs_role_or_person"
    if "substance_use" in categories:
        faults["categories"] = "needs_part2"
    elif to_side == Side.AGENCY and "session_content" in categories:
        faults["categories"] = "session_content_not_to_agency"
    return faults


def known_categories(names: Iterable[str]) -> list[str]:
    """Return categories in their fixed order, so that the same choice always gives the same text."""
    chosen = set(names)
    return [one for one in CATEGORIES if one in chosen]
