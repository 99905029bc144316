"""What is done about consents: asked, given, witnessed, declined, taken back."""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import date
from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields
from sqlalchemy import select

from referrals.account.queries import is_colleague
from referrals.consent import policy as p
from referrals.consent.models import (
    EVENTS_OFFERED,
    EVIDENCE_AT_MOST,
    LANGUAGES,
    PURPOSES,
    PURPOSES_OFFERED,
    RECIPIENT_ROLES,
    WITHDRAWN_HOW,
    Asked,
    Consent,
    DeclinedConsent,
    Evidence,
    EvidencePart,
    EvidenceUsedError,
    Kind,
    Method,
    NotReplaceableError,
    Proof,
    Status,
    WordsChangedError,
    in_parts,
    known_categories,
    media_type_of,
    midnight_of,
)
from referrals.consent.queries import (
    WORDING,
    Direction,
    Document,
    DrawnUp,
    draw_up,
    to_witness,
    within_sight,
)
from referrals.kernel.command import Work, command
from referrals.kernel.errors import InvalidInputError
from referrals.kernel.orm import CATEGORIES, uuid7
from referrals.kernel.schema import Nothing, Takes, code, codes, day, line, text, uid, yes_no
from referrals.organization.models import Organization
from referrals.person.models import Person
from referrals.person.policy import WORKING
from referrals.person.queries import visible_to as people_visible_to

#: Codes that the doors offer as choices.
__all__ = ["EVENTS_OFFERED", "LANGUAGES", "PURPOSES_OFFERED", "RECIPIENT_ROLES", "WITHDRAWN_HOW", "Asked", "Method"]


class AskConsent(Takes):
    """What a participant is asked, before anything is signed; `back_…` is the other direction."""

    kind = code(Kind, default=str(Kind.GENERAL))
    from_org_id = uid(required=False)
    to_org_id = uid(required=False)
    to_role = code(RECIPIENT_ROLES, required=False)
    to_user_id = uid(required=False)
    to_person = text(500, required=False)
    categories = codes(CATEGORIES, required=False)
    purposes = codes(PURPOSES_OFFERED, required=False)
    name_as_on_form = line(200, required=False)
    told_rights = yes_no()
    expires_on = day(required=False)
    expires_event = code(EVENTS_OFFERED, required=False)
    no_later_than = day(required=False)
    effective_on = day(required=False)
    language = code(LANGUAGES)
    back = code(("yes", "no"), required=False)
    back_categories = codes(CATEGORIES, required=False)
    back_to_role = code(RECIPIENT_ROLES, required=False)
    back_to_user_id = uid(required=False)


class GiveConsent(AskConsent):
    """What the participant was asked, what they said, and how it was signed."""

    method = code(Method, required=False)
    signature = line(200, required=False)
    signed_on = day(required=False)
    witness_id = uid(required=False)
    evidence_id = uid(required=False)
    interpreter = line(200, required=False)
    place = line(200, required=False)
    replaces_id = uid(required=False)
    shown = line(64, required=False)
    back_shown = line(64, required=False)


class DeclineConsent(Takes):
    """What the participant said no to."""

    from_org_id = uid()
    to_org_id = uid()
    categories = codes(CATEGORIES, required=False)
    purposes = codes(PURPOSES, required=False)


class WithdrawConsent(Takes):
    """How the participant's word reached us. No reason is asked (C24)."""

    how = code(WITHDRAWN_HOW)


class Octets(fields.Field[bytes]):
    """A file: bytes from a form, base64 in JSON."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bytes:  # noqa: ARG002
        """Return the bytes."""
        if isinstance(value, bytes):
            return value
        if not isinstance(value, str):
            raise ValidationError("wrong_type")
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise ValidationError("not_accepted") from None


class AddEvidence(Takes):
    """A photo or scan of the signed form."""

    content = Octets(required=True, metadata={"format": "byte"})


@command(
    records="consent.given",
    on=Person,
    takes=GiveConsent,
    within=people_visible_to,
    allow=[[p.works_with_participants]],
    makes=Consent,
    purpose="administration",
)
def give_consent(
    work: Work,
    person: Person,
    *,
    kind: str,
    from_org_id: UUID | None,
    to_org_id: UUID | None,
    to_role: str | None,
    to_user_id: UUID | None,
    to_person: str | None,
    categories: list[str],
    purposes: list[str],
    name_as_on_form: str | None,
    told_rights: bool,
    expires_on: date | None,
    expires_event: str | None,
    no_later_than: date | None,
    effective_on: date | None,
    method: str | None,
    signature: str | None,
    signed_on: date | None,
    witness_id: UUID | None,
    evidence_id: UUID | None,
    language: str,
    interpreter: str | None,
    place: str | None,
    replaces_id: UUID | None,
    shown: str | None,
    back: str | None,
    back_categories: list[str],
    back_to_role: str | None,
    back_to_user_id: UUID | None,
    back_shown: str | None,
) -> Consent:
    """Keep what a participant agreed to; both directions in one sitting, each a consent of its own (C1).

    Raises:
        InvalidInputError: `missing_element.<name>`, or a rule about recipients, days, categories or proof.
        WordsChangedError: the text that was shown is another one now.
        NotReplaceableError, EvidenceUsedError: what it names cannot be used.
    """
    asked = Asked(
        kind=kind,
        from_org_id=from_org_id,
        to_org_id=to_org_id,
        to_role=to_role,
        to_user_id=to_user_id,
        to_person=to_person,
        categories=categories,
        purposes=purposes,
        name_as_on_form=name_as_on_form,
        told_rights=told_rights,
        expires_on=expires_on,
        expires_event=expires_event,
        no_later_than=no_later_than or expires_on,
        effective_on=effective_on,
        language=language,
        back=back,
        back_categories=back_categories,
        back_to_role=back_to_role,
        back_to_user_id=back_to_user_id,
    )
    proof = Proof(method, signature, signed_on, witness_id, evidence_id)
    drawn = draw_up(work.session, work.actor, asked, work.now, proof)
    for document, told in zip(drawn.documents, (shown, back_shown), strict=False):
        if told is not None and told != document.hash:
            raise WordsChangedError
    _check_proof(work, person.id, proof)
    old = _to_replace(work, person.id, replaces_id, drawn) if replaces_id is not None else None
    signed: dict[str, Any] = {
        "participant_id": person.id,
        "sitting_id": uuid7(),
        "kind": kind,
        "purposes": [one for one in PURPOSES if one in purposes],
        "name_as_on_form": name_as_on_form,
        "told_rights": told_rights,
        "expires_on": expires_on,
        "expires_event": expires_event,
        "no_later_than": no_later_than or expires_on,
        "signed_by": "participant",
        "method": method,
        "signature": signature if method == Method.E_SIGNATURE else None,
        "evidence_id": evidence_id if method == Method.WET else None,
        "witness_id": witness_id if method == Method.VERBAL else None,
        "signed_on": signed_on,
        "signed_at": work.now,
        "language": language,
        "wording_version": WORDING,
        "interpreter": interpreter,
        "place": place,
        "taken_by": work.actor.me,
        "taken_org_id": work.actor.organization,
        "version": 1,
    }
    given = [
        _kept(
            work,
            direction,
            document,
            effective_on=effective_on,
            signed=signed,
            replaces_id=replaces_id if number == 0 else None,
        )
        for number, (direction, document) in enumerate(zip(drawn.directions, drawn.documents, strict=True))
    ]
    if back == "no":
        said_no = Direction(drawn.directions[0].to_org, drawn.directions[0].from_org, known_categories(back_categories))
        _declined(work, person.id, said_no, given[0].purposes, sitting_id=given[0].sitting_id)
    if old is not None:
        work.record(old, old.supersede(at=work.now, by_id=given[0].id))
    return given[0]


def _kept(
    work: Work,
    direction: Direction,
    document: Document,
    *,
    effective_on: date | None,
    signed: dict[str, Any],
    replaces_id: UUID | None,
) -> Consent:
    zone = direction.from_org.time_zone
    later = midnight_of(effective_on, zone) if effective_on is not None else work.now
    consent = Consent(
        **signed,
        from_org_id=direction.from_org.id,
        to_org_id=direction.to_org.id,
        to_role=direction.to_role,
        to_user_id=direction.to_user_id,
        to_person=direction.to_person,
        categories=list(direction.categories),
        description=document.description,
        document=document.text,
        document_hash=document.hash,
        effective_at=max(later, work.now),
        time_zone=zone,
        replaces_id=replaces_id,
    )
    work.add(consent)
    return consent


def _check_proof(work: Work, participant_id: UUID, proof: Proof) -> None:
    """Hold the witness and the evidence against what they are to prove (C32)."""
    faults: dict[str, list[str]] = {}
    if proof.method == Method.VERBAL and proof.witness_id is not None:
        if proof.witness_id == work.actor.me:
            faults["witness_id"] = ["witness_is_taker"]
        elif not _is_staff(work, proof.witness_id):
            faults["witness_id"] = ["not_a_colleague"]
    if proof.method == Method.WET and proof.evidence_id is not None:
        evidence = work.session.get(Evidence, proof.evidence_id)
        known = evidence is not None and evidence.participant_id == participant_id
        if not known or evidence is None or evidence.taken_org_id != work.actor.organization:
            faults["evidence_id"] = ["not_this_participants"]
    if faults:
        raise InvalidInputError(faults)
    if proof.method == Method.WET:
        used = select(Consent.id).where(Consent.evidence_id == proof.evidence_id)
        if work.session.scalars(used).first() is not None:
            raise EvidenceUsedError


def _is_staff(work: Work, user_id: UUID) -> bool:
    return is_colleague(work.session, work.actor.organization, user_id, WORKING)


def _to_replace(work: Work, participant_id: UUID, replaces_id: UUID, drawn: DrawnUp) -> Consent:
    statement = within_sight(work.actor).where(Consent.id == replaces_id).with_for_update(of=Consent)
    old = work.session.scalars(statement, execution_options={"populate_existing": True}).one_or_none()
    first = drawn.directions[0]
    if (
        old is None
        or (old.participant_id, old.from_org_id, old.to_org_id) != (participant_id, first.from_org.id, first.to_org.id)
        or old.status(work.now) not in {Status.ACTIVE, Status.SCHEDULED}
    ):
        raise NotReplaceableError
    return old


@command(
    records="consent.declined",
    on=Person,
    takes=DeclineConsent,
    within=people_visible_to,
    allow=[[p.works_with_participants]],
    makes=DeclinedConsent,
    purpose="administration",
)
def decline_consent(
    work: Work, person: Person, *, from_org_id: UUID, to_org_id: UUID, categories: list[str], purposes: list[str]
) -> DeclinedConsent:
    """Keep that a participant said no. Nothing else follows from it (C4)."""
    faults: dict[str, list[str]] = {}
    here = work.session.get(Organization, from_org_id)
    there = work.session.get(Organization, to_org_id)
    if here is None or there is None or here.id == there.id:
        faults["to_org_id"] = ["not_a_choice"]
    if work.actor.organization not in {from_org_id, to_org_id}:
        faults["from_org_id"] = ["not_your_organization"]
    if faults or here is None or there is None:
        raise InvalidInputError(faults)
    direction = Direction(here, there, known_categories(categories))
    return _declined(work, person.id, direction, purposes, sitting_id=uuid7())


def _declined(
    work: Work, participant_id: UUID, direction: Direction, purposes: list[str], *, sitting_id: UUID
) -> DeclinedConsent:
    row = DeclinedConsent(
        participant_id=participant_id,
        sitting_id=sitting_id,
        from_org_id=direction.from_org.id,
        to_org_id=direction.to_org.id,
        categories=list(direction.categories),
        purposes=purposes,
        declined_at=work.now,
        taken_by=work.actor.me,
        taken_org_id=work.actor.organization,
    )
    work.add(row)
    return row


@command(
    records="consent.witnessed",
    on=Consent,
    takes=Nothing,
    within=to_witness,
    allow=[[p.is_its_witness]],
    makes=Consent,
    purpose="administration",
)
def confirm_witness(work: Work, consent: Consent) -> Consent:
    """Confirm, under one's own sign-in, that one heard the text read and the participant say yes (C32)."""
    work.record(consent, consent.confirm_witness(at=work.now))
    return consent


@command(
    records="consent.withdrawn",
    on=Consent,
    takes=WithdrawConsent,
    within=within_sight,
    allow=[[p.works_with_participants, p.is_party_to_it]],
    makes=Consent,
    purpose="administration",
)
def withdraw_consent(work: Work, consent: Consent, *, how: str) -> Consent:
    """Keep that the participant takes it back; from the next request nothing more crosses under it (C24, C26).

    Raises:
        ConsentEndedError: it has ended before.
    """
    work.record(consent, consent.withdraw(at=work.now, by=work.actor.me, how=how))
    return consent


@command(
    records="consent.error_reported",
    on=Consent,
    takes=Nothing,
    within=within_sight,
    allow=[[p.works_with_participants, p.is_party_to_it]],
    makes=Consent,
    purpose="administration",
)
def report_consent_error(work: Work, consent: Consent) -> Consent:
    """Say that a consent is a mistake; it holds until a supervisor of who took it agrees."""
    work.record(consent, consent.report_error(at=work.now, by=work.actor.me))
    return consent


@command(
    records="consent.voided",
    on=Consent,
    takes=Nothing,
    within=within_sight,
    allow=[[p.works_with_participants, p.supervises_its_taking]],
    makes=Consent,
    purpose="administration",
)
def void_consent(work: Work, consent: Consent) -> Consent:
    """Agree that a consent was a mistake: it never holds again, and stays on record (C7)."""
    work.record(consent, consent.void(at=work.now, by=work.actor.me))
    return consent


@command(
    records="consent.evidence_added",
    on=Person,
    takes=AddEvidence,
    within=people_visible_to,
    allow=[[p.works_with_participants]],
    makes=Evidence,
    purpose="administration",
)
def add_evidence(work: Work, person: Person, *, content: bytes) -> Evidence:
    """Take in a photo or scan of a signed form: PDF, JPEG or PNG by content, hashed, sealed in parts.

    Raises:
        InvalidInputError: another kind of file, an empty one, or one over 10 MB.
    """
    media_type = media_type_of(content)
    if len(content) > EVIDENCE_AT_MOST:
        raise InvalidInputError({"content": ["file_too_large"]})
    if media_type is None:
        raise InvalidInputError({"content": ["not_a_document"]})
    parts = in_parts(content)
    taken_in = {"participant_id": person.id, "taken_org_id": work.actor.organization}
    evidence = Evidence(
        **taken_in,
        media_type=media_type,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        parts=len(parts),
        added_at=work.now,
        added_by=work.actor.me,
    )
    work.add(evidence)
    for number, part in enumerate(parts, 1):
        work.add(EvidencePart(**taken_in, evidence_id=evidence.id, number=number, content=part))
    return evidence


def end_on_event(
    work: Work,
    participant_id: UUID,
    event: str,
    *,
    consent_ids: list[UUID] | None = None,
) -> list[Consent]:
    """End, as part of an act, the consents that were to end with an event (C7), and return them.

    For rooms upstairs, whose command makes the event true; `consent_ids` narrows it to what the event is about.
    """
    statement = select(Consent).where(Consent.participant_id == participant_id, Consent.expires_event == event)
    if consent_ids is not None:
        statement = statement.where(Consent.id.in_(consent_ids))
    rows = work.session.scalars(
        statement.with_for_update(of=Consent), execution_options={"populate_existing": True}
    ).all()
    ended = [row for row in rows if not row.has_ended(work.now)]
    for row in ended:
        work.record(row, row.meet_event(at=work.now))
    return ended
