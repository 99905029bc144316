"""How a referral stands given what happened elsewhere, and what may go with it: in SQL for lists, in Python for one.

The conditions are built once; a statement over them is handed `moment(at)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Date, Text, and_, bindparam, case, func, not_, or_, select
from sqlalchemy import cast as as_type
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from referrals.consent import queries as consents
from referrals.consent.models import Consent
from referrals.kernel.actor import Actor
from referrals.kernel.crypto import column_of
from referrals.kernel.look import category_of
from referrals.kernel.orm import CATEGORIES, Instant
from referrals.organization.models import ZONES
from referrals.partnership.models import Agreement, active_at
from referrals.program.models import Program
from referrals.referral.models import STATES, Facts, Party, Referral, ReferralStep, State

#: Why a referral's content crosses between organizations (C8).
PURPOSE: Final = "referral"

#: What goes with a referral, in the order in which it is asked and shown. Each is a field of the draft.
CONTENT: Final = (
    *(
        "asked_by",
        "agreed_on",
        "agreed_how",
        "service",
        "urgency",
        "urgency_because",
        "reason_text",
        "goals",
        "strengths",
    ),
    *("accommodations", "language", "unavailable", "terms_that_matter", "first_contact"),
    *("contact_name", "contact_phone", "contact_hours", "backup_name", "backup_phone", "backup_hours"),
)
#: Consent category of each field that has one.
CATEGORY: Final[Mapping[str, str]] = {
    name: found for name in CONTENT if (found := category_of(Referral, name)) is not None
}
#: Sharing holds while a consent covers these from source to recipient: without them there is no request to read.
RESTS_ON: Final = ("identity", "needs")


# --- how it stands now (R5), in Python and in SQL ---------------------------------------------------------------------


def recorded_state() -> ColumnElement[str]:
    """Return the recorded status in SQL."""
    last = select(ReferralStep.to_state).where(
        ReferralStep.referral_id == Referral.id, ReferralStep.seq == Referral.step_count
    )
    return func.coalesce(last.scalar_subquery(), str(State.DRAFT))


#: The instant as of which a statement asks. The conditions over it are built once, and cost more than asking them.
_AT: Final = bindparam("at", type_=Instant())
#: Between them the zones of the earth live in three days at most.
_DAYS: Final = range(3)


def moment(at: datetime) -> dict[str, Any]:
    """Return what a statement over the conditions below is handed: the instant, and in which zones it is which day."""
    zones: dict[date, list[str]] = {}
    for zone, known in _zones():
        zones.setdefault(at.astimezone(known).date(), []).append(zone)
    days = [*sorted(zones.items()), *((at.date(), []),) * (len(_DAYS) - len(zones))]
    return {"at": at} | {
        name: value
        for number, (today, there) in zip(_DAYS, days, strict=True)
        for name, value in ((f"day_{number}", today), (f"zones_{number}", there))
    }


@cache
def _zones() -> tuple[tuple[str, ZoneInfo], ...]:
    """Return the zones, each read once: ZoneInfo keeps eight, so asked in turn they would all come from disk."""
    return tuple((zone, ZoneInfo(zone)) for zone in ZONES)


@cache
def consent_holds() -> ColumnElement[bool]:
    """Return the condition that consents cover what a referral cannot do without: `consent.queries.covering` in SQL.

    A test holds both equal.
    """
    return and_(*(_covered(category) for category in RESTS_ON))


def _covered(category: str) -> ColumnElement[bool]:
    signed = or_(
        and_(Consent.method == "e_signature", column_of(Consent, "signature").is_not(None)),
        and_(Consent.method == "verbal", Consent.witness_id.is_not(None), Consent.witness_confirmed_at <= _AT),
        and_(Consent.method == "wet", Consent.evidence_id.is_not(None)),
    )
    return (
        select(Consent.id)
        .where(
            Consent.participant_id == Referral.participant_id,
            Consent.from_org_id == Referral.source_id,
            Consent.to_org_id == Referral.recipient_id,
            column_of(Consent, "to_person").is_(None),
            _lists(Consent.categories, category),
            _lists(Consent.purposes, PURPOSE),
            Consent.effective_at <= _AT,
            *(
                or_(ended.is_(None), ended > _AT)
                for ended in (Consent.voided_at, Consent.withdrawn_at, Consent.superseded_at, Consent.event_at)
            ),
            _not_over(),
            signed,
            Consent.told_rights,
            Consent.signed_on.is_not(None),
            or_(Consent.expires_on.is_not(None), Consent.expires_event.is_not(None)),
        )
        .exists()
    )


def _lists(column: InstrumentedAttribute[list[str]], code: str) -> ColumnElement[bool]:
    # A JSON list of codes is, as text on both databases, codes between quotation marks.
    return as_type(column, Text).contains(f'"{code}"', autoescape=True)


def _not_over() -> ColumnElement[bool]:
    """Return the condition that neither last day is over in the consent's own zone."""

    def still(number: int) -> ColumnElement[bool]:
        day = bindparam(f"day_{number}", type_=Date())
        there = Consent.time_zone.in_(bindparam(f"zones_{number}", expanding=True))
        return and_(there, Consent.no_later_than >= day, or_(Consent.expires_on.is_(None), Consent.expires_on >= day))

    return or_(*(still(number) for number in _DAYS))


@cache
def agreement_holds() -> ColumnElement[bool]:
    """Return the condition that an active agreement joins both sides and allows what a referral cannot do without."""
    joins = or_(
        and_(Agreement.agency_id == Referral.source_id, Agreement.community_id == Referral.recipient_id),
        and_(Agreement.agency_id == Referral.recipient_id, Agreement.community_id == Referral.source_id),
    )
    allowed = (_lists(Agreement.categories, one) for one in RESTS_ON)
    return select(Agreement.id).where(joins, active_at(_AT), _lists(Agreement.purposes, PURPOSE), *allowed).exists()


@cache
def sharing_holds() -> ColumnElement[bool]:
    """Return the condition that what the source shared may still cross, as of the statement's `moment(at)`."""
    return and_(consent_holds(), agreement_holds())


@cache
def settled_state() -> ColumnElement[str]:
    """Return `settle` in SQL, from the same table of states. A test holds both equal."""
    recorded = recorded_state()
    unshared = {str(state): str(means.unshared) for state, means in STATES.items() if means.unshared is not None}
    return case((not_(sharing_holds()), case(unshared, value=recorded, else_=recorded)), else_=recorded)


@cache
def was_accepted() -> ColumnElement[bool]:
    """Return the condition that it was accepted once."""
    return (
        select(ReferralStep.id)
        .where(ReferralStep.referral_id == Referral.id, ReferralStep.to_state == State.ACCEPTED)
        .exists()
    )


@cache
def whose_move() -> ColumnElement[str]:
    """Return which side has the next move in what is sent and not done, as of the statement's `moment(at)`."""
    source, recipient = str(Party.SOURCE), str(Party.RECIPIENT)
    last = aliased(ReferralStep)
    acted = (
        select(ReferralStep.id).where(ReferralStep.referral_id == Referral.id, ReferralStep.side == recipient).exists()
    )
    taken_back = and_(last.to_state == str(State.CANCELLED), last.side == source, acted)
    held_there = and_(last.to_state == str(State.ON_HOLD), last.side == recipient)
    waits_there = [str(state) for state, means in STATES.items() if means.waiting_on is Party.RECIPIENT]
    by_last_step = case(
        (or_(taken_back, held_there), recipient), (last.to_state.in_(waits_there), "shared"), else_=source
    )
    said = select(by_last_step).where(last.referral_id == Referral.id, last.seq == Referral.step_count)
    told = said.correlate(Referral).scalar_subquery()
    return case(
        {source: source, recipient: recipient}, value=told, else_=case((sharing_holds(), recipient), else_=source)
    )


def facts(session: Session, referrals: Iterable[UUID], at: datetime) -> dict[UUID, Facts]:
    """Return what happened elsewhere to each of these referrals, in one statement."""
    wanted = set(referrals)
    if not wanted:
        return {}
    asked = select(Referral.id, consent_holds(), agreement_holds()).where(Referral.id.in_(wanted))
    rows = session.execute(asked, moment(at))
    return {row_id: Facts(consent=bool(consent), agreement=bool(agreement)) for row_id, consent, agreement in rows}


def due_for_settlement(session: Session, at: datetime, *, limit: int = 500) -> list[UUID]:
    """Return the referrals whose settled status is not recorded yet (R6)."""
    statement = (
        select(Referral.id)
        .where(Referral.open_for.is_not(None), settled_state() != recorded_state())
        .order_by(Referral.id)
        .limit(limit)
    )
    return list(session.scalars(statement, moment(at)))


# --- what stands in the way of sending (R14, R15) ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Coverage:
    """What consents say about one referral now: the categories that may cross to the recipient, and back."""

    there: Mapping[str, Consent]
    back: Mapping[str, Consent]


#: What comes back: the answers and the outcome (R14).
RETURNED: Final = "attendance"


def coverage(session: Session, referral: Referral, at: datetime, *, lock: bool = False) -> Coverage:
    """Return the consents in force in both directions, locked against withdrawal if asked."""
    ways = (referral.source_id, referral.recipient_id), (referral.recipient_id, referral.source_id)
    there, back = consents.covering_ways(session, referral.participant_id, ways, CATEGORIES, PURPOSE, at, lock=lock)
    return Coverage(
        {name: one for name, one in there.items() if one is not None},
        {name: one for name, one in back.items() if one is not None},
    )


def filled(referral: Referral) -> list[str]:
    """Return the names of the fields that have a value."""
    return [name for name in CONTENT if getattr(referral, name) not in (None, "", [])]


_TO_SEND: Final = frozenset(CONTENT) - {"urgency_because", "strengths", "unavailable", "terms_that_matter"}


def faults_of(
    referral: Referral, program: Program, covered: Coverage, agreement: Agreement | None
) -> dict[str, list[str]]:
    """Return what keeps the content from being sent, by field: missing, covered by no consent, not in the agreement."""
    agreed = () if agreement is None else agreement.categories
    faults: dict[str, list[str]] = {}
    present = filled(referral)
    for name in CONTENT:
        if name not in present:
            needed = name in _TO_SEND or (name == "urgency_because" and referral.urgency == "urgent")
            if needed:
                faults[name] = ["required"]
        elif (category := CATEGORY.get(name)) is not None:
            if category not in covered.there:
                faults[name] = ["not_covered"]
            elif category not in agreed:
                faults[name] = ["not_agreed"]
    if referral.service is not None and referral.service not in (program.categories or ()):
        faults["service"] = ["not_offered"]
    if RETURNED not in covered.back:
        faults["return_consent"] = ["return_consent_missing"]
    return faults


def is_outcome_hidden(session: Session, referral: Referral, actor: Actor, at: datetime) -> bool:
    """Whether the recipient ended it and its answers do not come back to the actor's side (R25)."""
    if referral.side_of(actor.organization_id) is not Party.SOURCE or referral.steps[-1].side != Party.RECIPIENT:
        return False
    return RETURNED not in coverage(session, referral, at).back


def sendable_categories(session: Session, referral: Referral, actor: Actor, at: datetime) -> tuple[str, ...]:
    """Return the categories that what the actor writes may have if the other side is to read it (R19)."""
    covered = coverage(session, referral, at)
    open_ways = covered.there if referral.side_of(actor.organization_id) is Party.SOURCE else covered.back
    return tuple(name for name in CATEGORIES if name in open_ways)
