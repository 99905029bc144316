"""Whether a value may cross, and reading consents.

`holds` decides one value in the words of C10, `gate` the same for a whole page in a fixed number of statements; a test
holds them equal. Nothing else decides.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, cast
from unicodedata import normalize
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Select, Uuid, and_, bindparam, false, or_, select
from sqlalchemy.orm import Session, defer

from referrals.account.models import RoleGrant, User
from referrals.account.queries import is_colleague, is_person
from referrals.account.queries import names as user_names
from referrals.consent.models import (
    PURPOSES,
    Asked,
    Consent,
    DeclinedConsent,
    Evidence,
    EvidencePart,
    Proof,
    Reader,
    Status,
    faults_of,
    hash_of,
    joined,
    known_categories,
    recipient_faults,
)
from referrals.kernel import crypto
from referrals.kernel.actor import Actor
from referrals.kernel.errors import InvalidInputError
from referrals.kernel.look import NOT_SHARED, Basis, Decision, Scope, Sight, Withheld, declare_look, look, look_at
from referrals.kernel.orm import CATEGORIES
from referrals.kernel.record import day_of
from referrals.organization.models import Organization
from referrals.organization.queries import organizations
from referrals.partnership.models import Agreement
from referrals.partnership.queries import agreement_between, agreements_among, partners
from referrals.person.policy import WORKING
from referrals.person.queries import known_among, may_know

VIEWED: Final = declare_look("consent.viewed", "one consent, as it was signed")
LISTED: Final = declare_look("consent.listed", "what is shared with whom about a participant")
DECLINED_LISTED: Final = declare_look("consent.declined_listed", "what a participant said no to")
TO_WITNESS: Final = declare_look("consent.to_witness_listed", "consents that wait for their witness")
EVIDENCE_LISTED: Final = declare_look("consent.evidence_listed", "which scans of signed forms there are")
EVIDENCE_OPENED: Final = declare_look("consent.evidence_opened", "the photo or scan of a signed form")

#: Why consents are read: to know what may be shared.
PURPOSE: Final = "referral"

#: The wording in use. Older ones stay readable in the documents that were signed.
WORDING: Final = "2026-1"
_WORDINGS: Final = Path(__file__).resolve().parents[2] / "templates" / "consent" / "wording"

_TERMS: Final = (
    *("participant_id", "sitting_id", "kind", "from_org_id", "to_org_id", "to_role", "to_user_id", "categories"),
    *("purposes", "expires_on", "expires_event", "no_later_than", "method", "signed_by", "signed_on", "signed_at"),
    *("effective_at", "language", "wording_version", "time_zone", "witness_id", "witness_confirmed_at", "withdrawn_at"),
    *("withdrawn_by", "withdrawn_how", "superseded_at", "superseded_by_id", "event_at", "voided_at", "taken_by"),
    *("taken_org_id", "document_hash", "evidence_id", "replaces_id", "error_reported_at", "ends_at"),
)
_SCAN: Final = ("participant_id", "media_type", "size", "sha256", "parts", "added_at", "added_by")
_WORDS: Final = ("name_as_on_form", "description", "document", "signature", "to_person", "interpreter", "place")


#: What the gate need not load: a page's consents are many, and their texts long.
_DECIDES_NOTHING: Final = (
    *(crypto.column_of(Consent, name) for name in ("document", "interpreter", "place")),
    *(Consent.sitting_id, Consent.document_hash, Consent.language, Consent.taken_by, Consent.taken_org_id),
    *(Consent.replaces_id, Consent.withdrawn_by, Consent.withdrawn_how, Consent.superseded_by_id),
    *(Consent.error_reported_at, Consent.error_reported_by, Consent.voided_by),
)


# --- deciding ---------------------------------------------------------------------------------------------------------


def holds(
    session: Session,
    *,
    reader: Actor,
    participant_id: UUID,
    owner_org_id: UUID,
    category: str,
    purpose: str,
    at: datetime,
) -> Decision:
    """Decide whether a reader may see one category of what an organization recorded about a participant (C10)."""
    if reader.kind == "participant":
        return Basis("request") if reader.user_id == participant_id else Withheld("not_assigned")
    if reader.organization_id is None:
        return Withheld("not_assigned")
    assigned = participant_id in known_among(session, reader, [participant_id])
    if reader.organization_id == owner_org_id:
        return Basis("own") if assigned else Withheld("not_assigned")
    agreement = agreement_between(session, owner_org_id, reader.organization_id, at)
    if agreement is None or not agreement.allows(category, purpose, at):
        return Withheld("no_agreement")
    toward = select(Consent).where(
        Consent.participant_id == participant_id,
        Consent.from_org_id == owner_org_id,
        Consent.to_org_id == reader.organization_id,
    )
    found = _chosen(_named(session.scalars(toward), reader, at), category, purpose, at)
    if isinstance(found, Withheld):
        return found
    return _basis(found) if assigned else Withheld("not_assigned")


def gate(
    session: Session, reader: Actor, scopes: frozenset[Scope], *, purpose: str, at: datetime
) -> Mapping[Scope, Decision]:
    """Decide many scopes at once, with three statements whatever their number: assignments, agreements, consents."""
    if reader.kind == "participant":
        return {
            one: Basis("request") if reader.user_id == one.participant_id else Withheld("not_assigned")
            for one in scopes
        }
    mine = reader.organization_id
    if mine is None or not scopes:
        return dict.fromkeys(scopes, Withheld("not_assigned"))
    known = known_among(session, reader, {one.participant_id for one in scopes})
    foreign = [one for one in scopes if one.owner != mine]
    agreements: Mapping[frozenset[UUID], Agreement] = {}
    toward: dict[tuple[UUID, UUID], list[_Standing]] = {}
    if foreign:
        agreements = agreements_among(session, {(one.owner, mine) for one in foreign}, at)
        asked = {
            "mine": mine,
            "participants": list({one.participant_id for one in foreign}),
            "owners": list({one.owner for one in foreign}),
        }
        for standing in _named(session.scalars(_toward(), asked), reader, at):
            toward.setdefault((standing[0].participant_id, standing[0].from_org_id), []).append(standing)

    @cache
    def agreed(owner: UUID, category: str) -> bool:
        agreement = agreements.get(frozenset((owner, mine)))
        return agreement is not None and agreement.allows(category, purpose, at)

    decided: dict[Scope, Decision] = {}
    for one in scopes:
        assigned = one.participant_id in known
        if one.owner == mine:
            decided[one] = Basis("own") if assigned else Withheld("not_assigned")
            continue
        if not agreed(one.owner, one.category):
            decided[one] = Withheld("no_agreement")
            continue
        found = _chosen(toward.get((one.participant_id, one.owner), ()), one.category, purpose, at)
        if isinstance(found, Withheld):
            decided[one] = found
        else:
            decided[one] = _basis(found) if assigned else Withheld("not_assigned")
    return decided


@cache
def _toward() -> Select[Consent]:
    """Select the consents toward one organization, with what decides: every page asks it."""
    return (
        select(Consent)
        .where(
            Consent.to_org_id == bindparam("mine", type_=Uuid()),
            Consent.participant_id.in_(bindparam("participants", expanding=True)),
            Consent.from_org_id.in_(bindparam("owners", expanding=True)),
        )
        .options(*(defer(one) for one in _DECIDES_NOTHING))
    )


def covering(  # noqa: PLR0917  # its order is that of the question: about whom, from, to, what, why, when
    session: Session,
    participant_id: UUID,
    from_org_id: UUID,
    to_org_id: UUID,
    categories: Iterable[str],
    purpose: str,
    at: datetime,
    *,
    lock: bool = False,
) -> dict[str, Consent | None]:
    """Return for each category the consent under which it may be sent from one organization to another, or None.

    It may name the organization, a role there or one of its people: who of them may then read is decided by `gate`. A
    consent for somebody who is not in the system sends nothing here. With `lock`, no withdrawal commits until the
    caller's act has.
    """
    ways = ((from_org_id, to_org_id),)
    return covering_ways(session, participant_id, ways, categories, purpose, at, lock=lock)[0]


def covering_ways(  # noqa: PLR0917  # as `covering`
    session: Session,
    participant_id: UUID,
    ways: Sequence[tuple[UUID, UUID]],
    categories: Iterable[str],
    purpose: str,
    at: datetime,
    *,
    lock: bool = False,
) -> list[dict[str, Consent | None]]:
    """Return what `covering` does for each of several ways (from, to), in one statement."""
    statement = _along()
    if lock:
        statement = statement.with_for_update(read=True, of=Consent)
    asked_for = {
        "participant": participant_id,
        "sources": [one for one, _ in ways],
        "recipients": [other for _, other in ways],
    }
    found = session.scalars(statement, asked_for, execution_options={"populate_existing": True}).all()
    inside = [one for one in found if not crypto.is_recorded(one, "to_person")]
    asked = list(categories)

    def best(way: tuple[UUID, UUID], category: str) -> Consent | None:
        toward = (one for one in inside if (one.from_org_id, one.to_org_id) == way)
        return max((one for one in toward if one.covers(category, purpose, at)), key=_preferred, default=None)

    return [{category: best(way, category) for category in asked} for way in ways]


def hold_way(session: Session, participant_id: UUID, from_org_id: UUID, to_org_id: UUID) -> None:
    """Hold the consents of one way against withdrawal until the caller's transaction is over."""
    session.execute(_of_way(), {"participant": participant_id, "source": from_org_id, "recipient": to_org_id})


@cache
def _of_way() -> Select[UUID]:
    those = select(Consent.id).where(
        Consent.participant_id == bindparam("participant", type_=Uuid()),
        Consent.from_org_id == bindparam("source", type_=Uuid()),
        Consent.to_org_id == bindparam("recipient", type_=Uuid()),
    )
    return those.order_by(Consent.id).with_for_update(read=True, of=Consent)


@cache
def _along() -> Select[Consent]:
    """Select the consents about one participant along some ways, with what decides; which way, the caller tells."""
    return (
        select(Consent)
        .where(
            Consent.participant_id == bindparam("participant", type_=Uuid()),
            Consent.from_org_id.in_(bindparam("sources", expanding=True)),
            Consent.to_org_id.in_(bindparam("recipients", expanding=True)),
        )
        .options(*(defer(one) for one in _DECIDES_NOTHING))
    )


#: A consent, and whether it lets anything cross now.
_Standing = tuple[Consent, bool]


def _named(consents: Iterable[Consent], actor: Actor, at: datetime) -> list[_Standing]:
    """Return those of these consents that name this reader, each judged once, however many categories are asked."""
    reader = Reader(actor.organization, actor.user_id, frozenset(str(role) for role in actor.roles))
    return [(one, one.holds(at)) for one in consents if one.names(reader)]


def _chosen(toward: Sequence[_Standing], category: str, purpose: str, at: datetime) -> Consent | Withheld:
    """Return the most specific consent that covers, then the latest signed; or why none does."""
    speaking = [(one, holds) for one, holds in toward if one.speaks_of(category)]
    covering_ones = [one for one, holds in speaking if holds and purpose in one.purposes]
    if covering_ones:
        return covering_ones[0] if len(covering_ones) == 1 else max(covering_ones, key=_preferred)
    if category == "substance_use":
        return Withheld("needs_part2")
    if any(holds and one.purposes for one, holds in speaking):
        return Withheld("wrong_purpose")
    if any(purpose in one.purposes and one.has_ended(at) and not one.missing_elements() for one, _holds in speaking):
        return Withheld("consent_ended")
    return Withheld("no_consent")


def _preferred(consent: Consent) -> tuple[int, datetime, str]:
    return (consent.specificity, consent.signed_at, str(consent.id))


def _basis(consent: Consent) -> Basis:
    return Basis("consent", consent.id, consent.revision, consent.ends_at)


# --- reading ----------------------------------------------------------------------------------------------------------


def within_sight(actor: Actor) -> Select[Consent]:
    """Select the consents about participants within sight that concern the actor's organization, or that it took."""
    return select(Consent).where(_concerns(actor))


def visible_to(actor: Actor) -> Select[Consent]:
    """Select the consents an actor may read: those within sight, and those that name the actor as witness.

    A witness who is not on the care team reads what was agreed in codes; the words are the participant's identity.
    """
    if actor.user_id is None or not actor.works_as(*WORKING):
        return select(Consent).where(false())
    return select(Consent).where(or_(_concerns(actor), Consent.witness_id == actor.me))


def _concerns(actor: Actor) -> ColumnElement[bool]:
    if actor.organization_id is None:
        return false()
    mine = actor.organization
    party = or_(Consent.from_org_id == mine, Consent.to_org_id == mine, Consent.taken_org_id == mine)
    return and_(may_know(actor, Consent.participant_id), party)


def to_witness(actor: Actor) -> Select[Consent]:
    """Select the consents that name the actor as witness."""
    if actor.user_id is None or not actor.works_as(*WORKING):
        return select(Consent).where(false())
    return select(Consent).where(Consent.witness_id == actor.me)


def evidence_visible_to(actor: Actor) -> Select[Evidence]:
    """Select the evidence that the actor's organization took in, about participants within sight."""
    if actor.organization_id is None:
        return select(Evidence).where(false())
    own = Evidence.taken_org_id == actor.organization
    return select(Evidence).where(own, may_know(actor, Evidence.participant_id))


def consents(session: Session, actor: Actor, participant_id: UUID) -> list[Sight[Consent]]:
    """Return the consents about a participant, latest first, whatever became of them."""
    statement = (
        within_sight(actor)
        .where(Consent.participant_id == participant_id)
        .order_by(Consent.signed_at.desc(), Consent.id.desc())
    )
    return look(session, actor, statement, records=LISTED, purpose=PURPOSE, fields=_TERMS)


def declined(session: Session, actor: Actor, participant_id: UUID) -> list[Sight[DeclinedConsent]]:
    """Return what a participant said no to, as far as the actor's organization is concerned, latest first."""
    mine = actor.organization_id
    statement = (
        select(DeclinedConsent)
        .where(
            DeclinedConsent.participant_id == participant_id,
            may_know(actor, DeclinedConsent.participant_id),
            or_(
                DeclinedConsent.from_org_id == mine,
                DeclinedConsent.to_org_id == mine,
                DeclinedConsent.taken_org_id == mine,
            ),
        )
        .order_by(DeclinedConsent.declined_at.desc(), DeclinedConsent.id.desc())
    )
    fields = ("from_org_id", "to_org_id", "categories", "purposes", "declined_at", "taken_by", "taken_org_id")
    return look(session, actor, statement, records=DECLINED_LISTED, purpose=PURPOSE, fields=fields)


def consent(session: Session, actor: Actor, consent_id: UUID) -> Sight[Consent]:
    """Return one consent with the words that were signed.

    Raises:
        NotFoundError: not theirs to know of, or none.
    """
    return look_at(
        session,
        actor,
        visible_to,
        on=Consent,
        target=consent_id,
        records=VIEWED,
        purpose=PURPOSE,
        fields=(*_TERMS, *_WORDS),
    )


def waiting_for_witness(session: Session, actor: Actor) -> list[Sight[Consent]]:
    """Return the consents that wait for this actor to confirm that they were heard."""
    statement = to_witness(actor).where(Consent.witness_confirmed_at.is_(None), Consent.withdrawn_at.is_(None))
    return look(
        session, actor, statement.order_by(Consent.signed_at), records=TO_WITNESS, purpose=PURPOSE, fields=_TERMS
    )


def partners_now(session: Session, actor: Actor, at: datetime) -> Sequence[Organization]:
    """Return the organizations that an agreement in force joins to the actor's, by name."""
    joined = organizations().where(Organization.id.in_(partners(actor.organization, at)))
    return session.scalars(joined).all()


def staff_of(session: Session, organizations: Iterable[UUID]) -> Sequence[User]:
    """Return who may be named as a recipient at any of these organizations, by name, in one statement."""
    works = RoleGrant.ended_at.is_(None) & RoleGrant.role.in_([str(role) for role in WORKING])
    statement = select(User).where(
        User.organization_id.in_(set(organizations)),
        User.disabled_at.is_(None),
        is_person(),
        select(RoleGrant.id).where(RoleGrant.user_id == User.id, works).exists(),
    )
    return session.scalars(statement.order_by(User.display_name, User.id)).all()


def status_of(seen: Sight[Consent], at: datetime) -> Status:
    """Return where a consent that was read through a look stands at an instant."""
    return Consent.status(cast("Consent", seen), at)


def unused_evidence(session: Session, actor: Actor, participant_id: UUID) -> list[Sight[Evidence]]:
    """Return the scans about a participant that prove no consent yet, latest first."""
    used = select(Consent.id).where(Consent.evidence_id == Evidence.id).exists()
    statement = (
        evidence_visible_to(actor)
        .where(Evidence.participant_id == participant_id, ~used)
        .order_by(Evidence.added_at.desc(), Evidence.id.desc())
    )
    return look(session, actor, statement, records=EVIDENCE_LISTED, purpose=PURPOSE, fields=_SCAN)


def evidence_facts(session: Session, actor: Actor, evidence_id: UUID) -> Sight[Evidence]:
    """Return what is known of one scan, without its content.

    Raises:
        NotFoundError: not theirs to know of, or none.
    """
    return look_at(
        session,
        actor,
        evidence_visible_to,
        on=Evidence,
        target=evidence_id,
        records=EVIDENCE_LISTED,
        purpose=PURPOSE,
        fields=_SCAN,
    )


@dataclass(frozen=True, slots=True)
class File:
    """A file to hand out, as an attachment."""

    content: bytes
    media_type: str
    name: str


def evidence(session: Session, actor: Actor, evidence_id: UUID) -> File:
    """Return the scan of a signed form, checked against its hash.

    Raises:
        NotFoundError: not theirs to know of, or none.
        BrokenEvidenceError: it is not the file that was taken in.
    """
    head = look_at(
        session,
        actor,
        evidence_visible_to,
        on=Evidence,
        target=evidence_id,
        records=EVIDENCE_OPENED,
        purpose=PURPOSE,
        fields=("media_type", "sha256", "size", "parts"),
    )
    within = evidence_visible_to(actor).with_only_columns(Evidence.id)
    parts = look(
        session,
        actor,
        select(EvidencePart)
        .where(EvidencePart.evidence_id == evidence_id, EvidencePart.evidence_id.in_(within))
        .order_by(EvidencePart.number),
        records=EVIDENCE_OPENED,
        purpose=PURPOSE,
        fields=("content",),
    )
    ending = {"application/pdf": "pdf", "image/jpeg": "jpg", "image/png": "png"}[head.media_type]
    return File(
        joined((one.content for one in parts if one.content is not NOT_SHARED), head.sha256),
        head.media_type,
        f"signed-form.{ending}",
    )


# --- the words --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Terms:
    """What the text of a consent is composed from, in words already: names of people and organizations, codes, days."""

    name: str
    from_org: str
    to_org: str
    categories: Sequence[str]
    purposes: Sequence[str]
    to_role: str | None = None
    to_user: str | None = None
    to_person: str | None = None
    expires_on: date | None = None
    expires_event: str | None = None
    no_later_than: date | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A consent's text in full, what it says is shared, and the SHA-256 of the text in hex."""

    text: str
    description: str

    @property
    def hash(self) -> str:
        """The SHA-256 of the text."""
        return hash_of(self.text)


@cache
def wording(language: str, version: str = WORDING) -> Mapping[str, Any]:
    """Return the words of one version in one language.

    Raises:
        FileNotFoundError: there is no such version.
    """
    return tomllib.loads((_WORDINGS / version / f"{language}.toml").read_text(encoding="utf-8"))


def compose(terms: Terms, language: str, version: str = WORDING) -> Document:
    """Return the text to show, read aloud and store. The same terms always give the same bytes."""
    words = wording(language, version)
    chosen = known_categories(terms.categories)
    description = "\n".join(f"• {words['categories'][one]}" for one in chosen)
    purposes = "\n".join(f"• {words['purposes'][one]}" for one in PURPOSES if one in terms.purposes)
    text = words["document"].format(
        title=words["title"],
        name=terms.name,
        from_org=terms.from_org,
        to_org=terms.to_org,
        recipient=_recipient(words, terms),
        information=description,
        purposes=purposes,
        ends=_ends(words, terms),
    )
    # As sealed text is stored, so that the hash is that of what will be read back.
    return Document(normalize("NFC", text.strip() + "\n"), normalize("NFC", description))


def _recipient(words: Mapping[str, Any], terms: Terms) -> str:
    if terms.to_user:
        said: str = words["to_user"].format(user=terms.to_user, org=terms.to_org)
    elif terms.to_person:
        said = words["to_person"].format(person=terms.to_person, org=terms.to_org)
    elif terms.to_role:
        said = words["to_role"].format(role=words["roles"][terms.to_role], org=terms.to_org)
    else:
        said = words["to_organization"].format(org=terms.to_org)
    return said


def _ends(words: Mapping[str, Any], terms: Terms) -> str:
    days = [one for one in (terms.expires_on, terms.no_later_than) if one is not None]
    if not days:
        return ""
    day = _day(words, min(days))
    if terms.expires_event:
        return str(words["until_event"].format(event=words["events"][terms.expires_event], day=day))
    return str(words["until_day"].format(day=day))


def _day(words: Mapping[str, Any], day: date) -> str:
    return str(words["day"].format(day=day.day, month=words["months"][day.month - 1], year=day.year))


def choices(language: str, among: Collection[str] = CATEGORIES) -> list[tuple[str, str]]:
    """Return categories with their plain words, in their fixed order."""
    words = wording(language)["categories"]
    return [(one, words[one]) for one in CATEGORIES if one in among]


@dataclass(frozen=True, slots=True)
class Direction:
    """One of the directions asked in a sitting, with its organizations at hand."""

    from_org: Organization
    to_org: Organization
    categories: Sequence[str]
    to_role: str | None = None
    to_user_id: UUID | None = None
    to_person: str | None = None


@dataclass(frozen=True, slots=True)
class DrawnUp:
    """What was asked, checked and put into words: a document for each direction."""

    directions: Sequence[Direction]
    documents: Sequence[Document]


def draw_up(session: Session, actor: Actor, asked: Asked, at: datetime, proof: Proof | None = None) -> DrawnUp:
    """Check what is asked and put it into words; without `proof`, for review before signing.

    Raises:
        InvalidInputError: everything that keeps it from being signed, by field.
    """
    here = session.get(Organization, asked.from_org_id) if asked.from_org_id is not None else None
    there = session.get(Organization, asked.to_org_id) if asked.to_org_id is not None else None
    zone = ZoneInfo(here.time_zone) if here is not None else UTC
    faults = faults_of(asked, proof, day_of(at, zone))

    def find(field: str, fault: str) -> None:
        faults.setdefault(field, []).append(fault)

    if asked.from_org_id is not None and asked.from_org_id != actor.organization_id:
        find("from_org_id", "not_your_organization")
    if asked.to_org_id is not None and (there is None or there.ended_at is not None):
        find("to_org_id", "not_a_choice")
    elif asked.to_org_id is not None and asked.to_org_id == asked.from_org_id:
        find("to_org_id", "same_organization")
    directions: list[Direction] = []
    if here is not None and there is not None:
        directions = _directions(here, there, asked)
        for prefix, one in zip(("", "back_"), directions, strict=False):
            _check_recipient(session, one, prefix, find)
    if faults:
        raise InvalidInputError(faults)
    users = user_names(session, (one.to_user_id for one in directions))
    return DrawnUp(directions, [compose(_terms(one, asked, users), asked.language) for one in directions])


def _directions(here: Organization, there: Organization, asked: Asked) -> list[Direction]:
    forth = Direction(here, there, known_categories(asked.categories), asked.to_role, asked.to_user_id, asked.to_person)
    if asked.back != "yes":
        return [forth]
    back = known_categories(asked.back_categories)
    return [forth, Direction(there, here, back, asked.back_to_role, asked.back_to_user_id)]


def _check_recipient(session: Session, one: Direction, prefix: str, find: Callable[[str, str], None]) -> None:
    told = recipient_faults(
        one.to_org.side, one.categories, role=one.to_role, user_id=one.to_user_id, person=one.to_person
    )
    for field, fault in told.items():
        find(f"{prefix}{field}", fault)
    if one.to_user_id is not None and not is_colleague(session, one.to_org.id, one.to_user_id, WORKING):
        find(f"{prefix}to_user_id", "not_their_staff")


def _terms(one: Direction, asked: Asked, users: Mapping[UUID, str]) -> Terms:
    return Terms(
        name=asked.name_as_on_form or "",
        from_org=one.from_org.name,
        to_org=one.to_org.name,
        categories=one.categories,
        purposes=asked.purposes,
        to_role=one.to_role,
        to_user=users.get(one.to_user_id) if one.to_user_id is not None else None,
        to_person=one.to_person,
        expires_on=asked.expires_on,
        expires_event=asked.expires_event,
        no_later_than=asked.no_later_than,
    )
