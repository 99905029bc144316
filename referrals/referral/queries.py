"""Which referrals an actor may know of, how they stand now, and reading them: page, line, timeline, thread."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from dataclasses import fields as dataclass_fields
from datetime import date, datetime, timedelta
from functools import cache
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Row,
    Select,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy import cast as as_type
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased, load_only, selectinload, with_expression
from sqlalchemy.orm.interfaces import ORMOption

from referrals.account import queries as accounts
from referrals.account.models import User
from referrals.consent import queries as consents
from referrals.consent.models import Consent
from referrals.kernel.actor import Actor, AnyActor, Role, Side, anybody_like, asked_by, asking_once, for_anybody, system
from referrals.kernel.crypto import column_of
from referrals.kernel.errors import NotFoundError
from referrals.kernel.look import (
    NOT_SHARED,
    Basis,
    NotShared,
    Seen,
    Sight,
    category_of,
    declare_look,
    instant,
    look,
    look_over,
    mark_seen,
    refuse,
)
from referrals.kernel.orm import CATEGORIES, Instant, gathered, unindexed, written
from referrals.kernel.record import clock, day_of
from referrals.organization import queries as organizations
from referrals.organization.models import Organization
from referrals.partnership import queries as partnerships
from referrals.partnership.models import Agreement, active_at, joins
from referrals.person import queries as persons
from referrals.person.models import Assignment, DeathRecord, Person
from referrals.person.policy import WORKING
from referrals.program import queries as programs
from referrals.program.models import SERVICES, IntakeMember, Program
from referrals.referral import policy
from referrals.referral.models import (
    DEATH_WRITTEN_AFTER,
    DRAFT_KEPT,
    DRAFT_WARNED,
    EVER_TAKEN_ON,
    OPEN,
    STATES,
    TAKEN_ON,
    TERMINAL,
    UNANSWERED,
    UNDER_WAY,
    VERBS,
    Amendment,
    CancelReason,
    Course,
    Deadlines,
    ErrorReport,
    Facts,
    Flag,
    Followed,
    LoopAnswer,
    Message,
    Party,
    PlaceConfirmation,
    Referral,
    ReferralStep,
    ReleaseTold,
    Settled,
    State,
    deadlines,
    flags,
    settle,
)
from referrals.release import queries as releases
from referrals.release.models import AUTHORITATIVE, ReleaseDate

__all__ = ["CATEGORIES", "SERVICES", "STATES"]

VIEWED: Final = declare_look("referral.viewed", "a referral's page")
STOOD: Final = declare_look("referral.standing_viewed", "how a referral stands, and nothing of its content")
LISTED: Final = declare_look("referral.listed", "the referrals within sight, by whose move it is")
ONWARD_VIEWED: Final = declare_look("referral.onward_viewed", "what was referred onward from a referral")
DRAFT_VIEWED: Final = declare_look("referral.draft_viewed", "one's own draft of a referral")
TIMELINE_VIEWED: Final = declare_look("referral.timeline_viewed", "what happened to a referral, step by step")
AMENDMENTS_VIEWED: Final = declare_look("referral.amendments_viewed", "what was changed after a referral was sent")
THREAD_VIEWED: Final = declare_look("referral.thread_viewed", "the messages of a referral's thread")


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
_LINKS: Final = ("reference", "participant_id", "source_id", "recipient_id", "program_id")
_WHEN: Final = ("drafted_at", "drafted_by", "sent_at", "step_count", "replaces_id", "onward_from_id")
_PAGE: Final = (*_LINKS, *_WHEN, "known_as", *CONTENT, "capacity_shown", "capacity_because")
_PLAIN: Final = (*_LINKS, *_WHEN, "service", "urgency")
_ROW: Final = (*_PLAIN, "known_as")
_ONWARD: Final = ("reference", "recipient_id", "program_id", "sent_at", "went_onward", "answer")
_STEP: Final = (
    *("seq", "at", "by", "side", "organization_id", "verb", "category", "became", "why", "because", "details"),
)
_ERROR_REPORT: Final = ("at", "by", "side", "organization_id", "category", "why", "because")
_AMENDMENT: Final = (*("at", "by", "side", "organization_id", "category", "topic", "why", "because", "old", "new"),)
_PLACE: Final = ("at", "by", "organization_id", "place")
#: What the timeline calls the word that it still stands.
_CONFIRMS_PLACE: Final = "confirm_place"
#: By these somebody says what becomes of the work after a return to custody.
_WEIGHS_A_RETURN: Final = frozenset({"hold_referral", "resume_referral", _CONFIRMS_PLACE})
_LOOP_ANSWER: Final = ("answer", "at", "by", "side", "organization_id", "words")
_MESSAGE: Final = (
    *("organization_id", "audience", "category", "words", "at", "by", "struck_at", "struck_by", "struck_because"),
)
#: Sharing holds while a consent covers these from source to recipient: without them there is no request to read.
RESTS_ON: Final = ("identity", "needs")
#: What comes back: the answers and the outcome (R14).
RETURNED: Final = "attendance"


#: A command of the same request may have left the row loaded, with the people around it as they were before.
AS_IT_IS: Final = {"populate_existing": True}


# --- within sight -----------------------------------------------------------------------------------------------------


def within_sight(actor: Actor | AnyActor) -> ColumnElement[bool]:
    """Return the condition that an actor may know of a referral: its author while it is a draft, then both sides.

    At the source, whoever may know of the participant. At the recipient, the program's intake list, the caseworkers
    named for it (then and now), and their supervisors.
    """
    if isinstance(actor, Actor):
        if actor.kind == "service":
            return true()
        if actor.user_id is None or actor.organization_id is None:
            return false()
    if not actor.works_as(*WORKING):
        return false()
    at_source = and_(
        Referral.source_id == actor.organization,
        persons.may_know(actor, Referral.participant_id),
        or_(Referral.sent_at.is_not(None), Referral.drafted_by == actor.me),
    )
    # Programs are the community organizations' alone: an agency receives nothing.
    return at_source if actor.side is Side.AGENCY else or_(at_source, received(actor))


def received(actor: Actor | AnyActor) -> ColumnElement[bool]:
    """Return the condition that a referral was sent to the actor's side, and is theirs to know of there."""
    received = and_(Referral.recipient_id == actor.organization, Referral.sent_at.is_not(None))
    if actor.works_as(Role.SUPERVISOR):
        return received
    # By the referral: whoever is named on it are few, what somebody was ever named on is much.
    holder = unindexed(Assignment.user_id)
    named = select(Assignment.id).where(Assignment.referral_id == Referral.id, holder == actor.me).exists()
    return and_(received, or_(Referral.program_id.in_(programs.intake_programs(actor.me)), named))


@for_anybody
def visible_to(actor: Actor | AnyActor) -> Select[Referral]:
    """Select the referrals an actor may know of, with what predicates and rules need of each."""
    return select(Referral).where(within_sight(actor)).options(*_around_it())


@cache
def _around_it() -> tuple[ORMOption, ...]:
    """Load a referral's course, and who stands around it now."""
    now = Assignment.until_at.is_(None), Assignment.user_id.is_not(None)
    of_source = (
        Assignment.participant_id == Referral.participant_id,
        unindexed(Assignment.organization_id) == Referral.source_id,
    )
    of_recipient = (
        Assignment.referral_id == Referral.id,
        unindexed(Assignment.organization_id) == Referral.recipient_id,
    )
    answers = IntakeMember.program_id == Referral.program_id, IntakeMember.ended_at.is_(None)
    return (
        selectinload(Referral.steps),
        with_expression(Referral.loop_codes, gathered(LoopAnswer.answer, LoopAnswer.referral_id == Referral.id)),
        with_expression(Referral.error_reporters, gathered(ErrorReport.by, ErrorReport.referral_id == Referral.id)),
        with_expression(Referral.team_ids, gathered(Assignment.user_id, *of_source, *now)),
        with_expression(Referral.helper_ids, gathered(Assignment.user_id, *of_recipient, *now)),
        with_expression(Referral.intake_ids, gathered(IntakeMember.user_id, *answers)),
    )


@cache
def open_one() -> Select[Referral]:
    """Select the open referral `open_for` a participant and a program, whoever may know of it, under lock."""
    theirs = select(Referral).where(Referral.open_for == bindparam("open_for"))
    return theirs.options(*_around_it()).with_for_update(of=Referral)


@for_anybody
def messages_visible_to(actor: Actor | AnyActor) -> Select[Message]:
    """Select the messages that are the actor's own side's, or for both sides, of referrals within sight."""
    about = select(Referral.id).where(Referral.id == Message.referral_id, within_sight(actor)).exists()
    mine = false() if _is_nowhere(actor) else Message.organization_id == actor.organization
    return select(Message).where(about, or_(Message.audience == "both", mine))


def _thread_of(actor: Actor | AnyActor) -> Select[Message]:
    """Select the messages of one referral's thread, oldest first."""
    told = messages_visible_to(actor).where(Message.referral_id == bindparam("referral", type_=Uuid()))
    return told.order_by(Message.id)


def _one_of_thread(actor: Actor | AnyActor) -> Select[Message]:
    return _thread_of(actor).where(Message.id == bindparam("message", type_=Uuid()))


def _is_nowhere(actor: Actor | AnyActor) -> bool:
    return isinstance(actor, Actor) and actor.organization_id is None


def still_readable(actor: Actor | AnyActor) -> ColumnElement[bool]:
    """Return the condition that sharing has not taken it out of sight: ended before acceptance, it is 404 (R25).

    A statement over it is handed `moment(at)`, as every one over `sharing_holds`.
    """
    if _is_nowhere(actor) or actor.side is Side.AGENCY:
        return literal(value=True)
    return or_(Referral.source_id == actor.organization, accepted(), sharing_holds())


@cache
def accepted() -> ColumnElement[bool]:
    """Return the condition that it was accepted once."""
    return (
        select(ReferralStep.id)
        .where(ReferralStep.referral_id == Referral.id, ReferralStep.to_state == written(State.ACCEPTED))
        .exists()
    )


def is_gone(actor: Actor, referral: Referral, facts: Facts) -> bool:
    """Whether sharing ended before the actor's side accepted: the same rule for one loaded row."""
    return (
        referral.side_of(actor.organization_id) is Party.RECIPIENT
        and not facts.sharing
        and State.ACCEPTED not in referral.was_ever
    )


# --- how it stands now (R5), in Python and in SQL ---------------------------------------------------------------------


def recorded_state() -> ColumnElement[str]:
    """Return the recorded status in SQL."""
    last = select(ReferralStep.to_state).where(
        ReferralStep.referral_id == Referral.id, ReferralStep.seq == Referral.step_count
    )
    return func.coalesce(last.scalar_subquery(), written(State.DRAFT))


#: The instant as of which a statement asks. The conditions over it are built once, and cost more than asking them.
AT: Final = bindparam("at", type_=Instant())


def moment(at: datetime) -> dict[str, Any]:
    """Return what a statement over the conditions below is handed: the instant."""
    return {"at": at}


@cache
def consent_holds() -> ColumnElement[bool]:
    """Return the condition that consents cover what a referral cannot do without: `consent.queries.covering` in SQL.

    A test holds both equal.
    """
    return _carried(RESTS_ON, Referral.source_id, Referral.recipient_id)


def _carried(
    categories: Iterable[str],
    from_org: InstrumentedAttribute[UUID],
    to_org: InstrumentedAttribute[UUID],
    *recipient: ColumnElement[bool],
) -> ColumnElement[bool]:
    signed = or_(
        and_(Consent.method == written("e_signature"), column_of(Consent, "signature").is_not(None)),
        and_(Consent.method == written("verbal"), Consent.witness_id.is_not(None), Consent.witness_confirmed_at <= AT),
        and_(Consent.method == written("wet"), Consent.evidence_id.is_not(None)),
    )
    yes, no = written(1), written(0)
    # Each category by a consent of its own, if need be; gone through once.
    covers = (func.max(case((_lists(Consent.categories, one), yes), else_=no)) == yes for one in categories)
    return (
        select(case((and_(*covers), yes), else_=no))
        .where(
            Consent.participant_id == Referral.participant_id,
            Consent.from_org_id == from_org,
            Consent.to_org_id == to_org,
            *recipient,
            column_of(Consent, "to_person").is_(None),
            _lists(Consent.purposes, PURPOSE),
            Consent.effective_at <= AT,
            Consent.stops_at > AT,
            signed,
            Consent.told_rights,
            Consent.signed_on.is_not(None),
            or_(Consent.expires_on.is_not(None), Consent.expires_event.is_not(None)),
        )
        .correlate(Referral)
        .scalar_subquery()
    ) == yes


def _lists(column: InstrumentedAttribute[list[str]], code: str) -> ColumnElement[bool]:
    # A JSON list of codes is, as text on both databases, codes between quotation marks.
    escaped = code.replace("_", "/_")
    return as_type(column, Text).like(written(f'%"{escaped}"%'), escape="/" if escaped != code else None)


@cache
def agreement_holds() -> ColumnElement[bool]:
    """Return the condition that an active agreement joins both sides and allows what a referral cannot do without."""
    return _agreed(RESTS_ON)


def _agreed(categories: Iterable[str]) -> ColumnElement[bool]:
    between = joins(Referral.source_id, Referral.recipient_id)
    allowed = (_lists(Agreement.categories, one) for one in categories)
    return select(Agreement.id).where(between, active_at(AT), _lists(Agreement.purposes, PURPOSE), *allowed).exists()


@cache
def died_at() -> ColumnElement[datetime | None]:
    """Return when the participant's death came on record, as of the statement's `moment(at)`."""
    return persons.died_at(Referral.participant_id)


@cache
def sharing_holds() -> ColumnElement[bool]:
    """Return the condition that what the source shared may still cross, as of the statement's `moment(at)`."""
    return and_(consent_holds(), agreement_holds())


def _toward(actor: AnyActor) -> ColumnElement[bool]:
    """Return the condition that a consent to the actor's organization lets the actor read, too."""
    roles = Consent.to_role.in_([written(role) for role in sorted(actor.roles)])
    anybody_there = and_(Consent.to_user_id.is_(None), or_(Consent.to_role.is_(None), roles))
    return or_(Consent.to_user_id == actor.me, anybody_there)


def is_answer_withheld(actor: AnyActor) -> ColumnElement[bool]:
    """Return the condition that how it stands is the recipient's answer, which does not come back to the actor (R25).

    `is_outcome_hidden` in SQL; a test holds both equal. No list may give away what the page withholds.
    """
    last = aliased(ReferralStep)
    theirs = and_(
        last.referral_id == Referral.id, last.seq == Referral.step_count, last.side == written(Party.RECIPIENT)
    )
    answered = select(last.to_state).where(theirs).correlate(Referral).scalar_subquery()
    moves_on = [written(state) for state, means in STATES.items() if means.unshared not in {None, state}]
    ends_with_a_death = and_(answered.in_([written(state) for state in sorted(OPEN)]), died_at().is_not(None))
    back = _carried([RETURNED], Referral.recipient_id, Referral.source_id, _toward(actor))
    comes_back = and_(back, _agreed([RETURNED]))
    return and_(
        Referral.source_id == actor.organization,
        answered.is_not(None),
        not_(comes_back),
        # Otherwise settlement moved it on, for all to see.
        or_(answered.not_in(moves_on), sharing_holds()),
        not_(ends_with_a_death),
    )


def is_shown(actor: AnyActor, category: str) -> ColumnElement[bool]:
    """Return the condition that what the source wrote in a category shows to the actor: the gate in SQL.

    A test holds both equal.
    """
    crosses = and_(_carried([category], Referral.source_id, Referral.recipient_id, _toward(actor)), _agreed([category]))
    known = persons.may_know(actor, Referral.participant_id)
    return and_(known, or_(Referral.source_id == actor.organization, crosses))


@cache
def settled_state() -> ColumnElement[str]:
    """Return `settle` in SQL, from the same table of states. A test holds both equal."""
    recorded = recorded_state()
    unshared = [
        (written(state), written(means.unshared)) for state, means in STATES.items() if means.unshared is not None
    ]
    ended = [(written(state), written(State.CANCELLED)) for state in sorted(OPEN)]
    return case(
        (died_at().is_not(None), case(*ended, value=recorded, else_=recorded)),
        (not_(sharing_holds()), case(*unshared, value=recorded, else_=recorded)),
        else_=recorded,
    )


def facts(session: Session, referrals: Iterable[UUID], at: datetime) -> dict[UUID, Facts]:
    """Return what happened elsewhere to each of these referrals, in one statement."""
    wanted = list(set(referrals))
    if not wanted:
        return {}
    rows = session.execute(_standing(), moment(at) | {"these": wanted}).all()
    # Few ever die: nothing is asked where nobody has.
    deaths = persons.deaths_of(session, {row[1] for row in rows if row[-1] is not None}, at)
    told = {one: (death.organization_id, death.category) for one, death in deaths.items()}
    return {
        row_id: Facts(died, bool(consent), bool(agreement), death_told=told.get(participant_id))
        for row_id, participant_id, consent, agreement, died in rows
    }


@cache
def _standing() -> Select[UUID, UUID, bool, bool, datetime | None]:
    these = Referral.id.in_(bindparam("these", expanding=True))
    return select(Referral.id, Referral.participant_id, consent_holds(), agreement_holds(), died_at()).where(these)


#: The periodic job that records what settlement says.
SETTLES: Final = "referral.settle_due"


def sharing_ended_on(session: Session, row: Referral, stands: Facts, at: datetime, zone: str) -> date | None:
    """Return the day on which what a referral cannot do without stopped crossing: its recipient may know it (R25)."""
    ended: list[datetime] = []
    if not stands.consent:
        given = select(Consent).where(
            Consent.participant_id == row.participant_id,
            Consent.from_org_id == row.source_id,
            Consent.to_org_id == row.recipient_id,
        )
        said = [one for one in session.scalars(given) if PURPOSE in one.purposes]
        over = {name: [one.stops_at for one in said if one.speaks_of(name)] for name in RESTS_ON}
        last = (max((one for one in ends if one is not None), default=None) for ends in over.values())
        ended += [one for one in last if one is not None and one <= at]
    if not stands.agreement:
        both = row.source_id, row.recipient_id
        joined = select(Agreement.ended_at, Agreement.expires_at).where(
            Agreement.first_id.in_(both), Agreement.second_id.in_(both), Agreement.begins_at <= at
        )
        over_at = (expires if early is None else min(early, expires) for early, expires in session.execute(joined))
        last_over = max(over_at, default=None)
        ended += [last_over] if last_over is not None and last_over <= at else []
    return day_of(min(ended), zone) if ended else None


def due_for_settlement(session: Session, at: datetime, *, limit: int = 500) -> list[UUID]:
    """Return the referrals whose settled status is to be recorded now (R6): of a death, not within its first day."""
    is_open = or_(Referral.open_for.is_not(None), and_(Referral.step_count == 0, died_at().is_not(None)))
    long_ago = or_(died_at().is_(None), died_at() <= at - DEATH_WRITTEN_AFTER)
    due = select(Referral.id).where(is_open, settled_state() != recorded_state(), long_ago)
    return list(session.scalars(due.order_by(Referral.id).limit(limit), moment(at)))


def lapsed_drafts(session: Session, at: datetime, *, limit: int = 500) -> list[UUID]:
    """Return the drafts that nobody has touched for 60 days (R16)."""
    lapsed = select(Referral.id).where(Referral.step_count == written(0), Referral.touched_at <= at - DRAFT_KEPT)
    return list(session.scalars(lapsed.order_by(Referral.touched_at).limit(limit)))


# --- clocks (R10 to R12) ----------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Moved:
    """What a clock needs of a step."""

    to_state: str
    at: datetime


def clocks(session: Session, referrals: Iterable[UUID], at: datetime) -> dict[UUID, Deadlines]:
    """Return the deadlines that run for these referrals, the same for both sides, in one statement.

    One whose answer nobody waits for, or whose sharing has ended, has none. A release date that the recipient may not
    know of shortens none: it could be read off the deadline. Whether a reader may know that a clock runs is for whoever
    asks to decide: it tells how the referral stands.
    """
    wanted = list(set(referrals))
    if not wanted:
        return {}
    return clocks_from(session.execute(_ticking_of_these(), moment(at) | {"these": wanted}))


def clocks_from(rows: Iterable[Row[*tuple[Any, ...]]]) -> dict[UUID, Deadlines]:
    """Return the deadlines of each referral that these rows of `ticking` are about."""
    kept_by: dict[UUID, tuple[bool, str, frozenset[date]]] = {}
    steps: dict[UUID, dict[int, _Moved]] = {}
    told: dict[UUID, dict[UUID, ReleaseTold]] = {}
    for referral_id, urgency, zone, closed, seq, state, moved_at, release_id, told_at, on in rows:
        kept_by[referral_id] = urgency == "urgent", zone, closed
        steps.setdefault(referral_id, {})[seq] = _Moved(state, moved_at)
        if release_id is not None:
            told.setdefault(referral_id, {})[release_id] = ReleaseTold(told_at, on)
    return {
        referral_id: found
        for referral_id, (hurries, zone, closed) in kept_by.items()
        if (
            found := deadlines(
                list(steps[referral_id].values()),
                list(told.get(referral_id, {}).values()),
                urgent=hurries,
                zone=ZoneInfo(zone),
                closed=closed,
            )
        )
    }


@cache
def _ticking_of_these() -> Select[*tuple[Any, ...]]:
    return ticking(bindparam("these", expanding=True))


def ticking(these: BindParameter[Any] | Select[UUID] | CompoundSelect[UUID]) -> Select[*tuple[Any, ...]]:
    """Select what clocks are computed from: each step, beside each thing the agency said about the release."""
    waits = (
        select(
            *(Referral.id, Referral.participant_id, Referral.urgency, Organization.time_zone),
            organizations.closed_days(Organization.id).label("closed"),
            _carried(["release"], Referral.source_id, Referral.recipient_id).label("is_told"),
            Referral.source_id,
        )
        .join(Organization, Organization.id == Referral.recipient_id)
        .where(Referral.id.in_(these), is_unanswered(), sharing_holds(), died_at().is_(None))
        .cte("waits")
    )
    said = and_(
        waits.c.is_told,
        # A source shares what it recorded itself: another's release date is not its to tell.
        ReleaseDate.organization_id == waits.c.source_id,
        ReleaseDate.participant_id == waits.c.participant_id,
        ReleaseDate.source.in_([written(one) for one in sorted(AUTHORITATIVE)]),
    )
    when = func.coalesce(ReleaseDate.released_on, ReleaseDate.expected_on)
    return (
        select(
            *(waits.c.id, waits.c.urgency, waits.c.time_zone, waits.c.closed),
            *(ReferralStep.seq, ReferralStep.to_state, ReferralStep.at),
            *(ReleaseDate.id, ReleaseDate.recorded_at, when),
        )
        .join(ReferralStep, ReferralStep.referral_id == waits.c.id)
        .outerjoin(ReleaseDate, said)
        .order_by(ReferralStep.seq, ReleaseDate.recorded_at, ReleaseDate.id)
    )


@cache
def is_unanswered() -> ColumnElement[bool]:
    """Return the condition that an answer is waited for, as a referral's last step says."""
    return recorded_state().in_([written(state) for state in sorted(UNANSWERED)])


def expires_at(session: Session, row: Referral, at: datetime) -> datetime | None:
    """Return when a referral expires that nobody answers; None where nobody's answer is waited for."""
    found = clocks(session, [row.id], at).get(row.id) if row.recorded in UNANSWERED else None
    return None if found is None else found.expires_at


def unanswered(
    session: Session, at: datetime, *, page: int = 200, sent_before: datetime | None = None
) -> Iterator[Referral]:
    """Give, page by page, the referrals that wait for an answer.

    Those sent before an instant; unless it is named, before the shortest deadline can have ended.
    """
    after: UUID | None = None
    while True:
        waits = visible_to(system()).where(
            Referral.open_for.is_not(None),
            Referral.sent_at < (sent_before or at - timedelta(days=1)),
            is_unanswered(),
        )
        if after is not None:
            waits = waits.where(Referral.id > after)
        rows = session.scalars(waits.order_by(Referral.id).limit(page), execution_options=AS_IT_IS).all()
        after = rows[-1].id if rows else None  # whoever takes them may write meanwhile, and let go what was read
        yield from rows
        if len(rows) < page:
            return


def expired(session: Session, at: datetime) -> list[UUID]:
    """Return the referrals whose last deadline has passed without an answer (R12)."""
    waiting = unanswered(session, at)
    due: list[UUID] = []
    while rows := list(islice(waiting, 200)):
        found = clocks(session, [row.id for row in rows], at)
        due += [row.id for row in rows if row.id in found and found[row.id].expires_at <= at]
    return due


# --- what is told by mail (R12, R20) ----------------------------------------------------------------------------------

#: What people are told of a referral, by the state a step leads to; what ends it is told as one thing.
TOLD: Final[Mapping[State, str]] = {
    State.SENT: "referral.sent",
    State.INFO_REQUESTED: "referral.asked",
    State.ACKNOWLEDGED: "referral.answered",
    State.ACCEPTED: "referral.accepted",
    State.DECLINED: "referral.declined",
    **dict.fromkeys(TERMINAL - {State.DECLINED}, "referral.ended"),
}
POSTED: Final = "referral.message_posted"


def told_of(referral: Referral, step: ReferralStep) -> tuple[str, frozenset[UUID]] | None:
    """Return as what a step is told, and to whom: the people of the side that did not take it. None: it is not told."""
    kind = TOLD.get(State(step.to_state))
    answers = step.from_state == State.INFO_REQUESTED and step.side == Party.SOURCE
    if kind is None or referral.sent_at is None or (step.to_state == State.ACKNOWLEDGED and not answers):
        return None
    sides = {Party.SOURCE: {Party.RECIPIENT}, Party.RECIPIENT: {Party.SOURCE}}
    told = sides.get(Party(step.side), {Party.SOURCE, Party.RECIPIENT})
    return kind, frozenset[UUID]().union(*(people_of(referral, side) for side in told))


def people_of(referral: Referral, side: Party) -> frozenset[UUID]:
    """Return who works on it at one side. Needs what `visible_to` loads.

    At the source the care team and who sent it; at the recipient its caseworkers, before them the intake list.
    """
    if side is Party.RECIPIENT:
        return referral.helper_ids or referral.intake_ids
    senders = {step.by for step in referral.steps if step.to_state == State.SENT and step.by is not None}
    return referral.team_ids | senders


def is_still_told(session: Session, actor: Actor, referral_id: UUID, kind: str, at: datetime) -> bool:
    """Whether what somebody was to be told of is still so, still theirs to do, and they may know of it now."""
    try:
        row = known(session, actor, referral_id)
    except NotFoundError:
        return False
    fact = facts(session, [row.id], at)[row.id]
    if is_gone(actor, row, fact) or _is_withheld_answer(session, row, actor, kind, at):
        return False
    seen = settle(row.recorded, fact, at).state
    if kind == "referral.ended":
        return seen in TERMINAL  # whoever worked on it may know, though nothing ties them to it any more
    return policy.takes_part(actor, row) and seen in _STANDS[kind]


def _is_withheld_answer(session: Session, row: Referral, actor: Actor, kind: str, at: datetime) -> bool:
    """Whether to be told would be to learn what a program did, whoever moved the referral since."""
    if row.side_of(actor.organization_id) is not Party.SOURCE or kind == TOLD[State.SENT]:
        return False
    does = {TOLD[State.INFO_REQUESTED], TOLD[State.ACCEPTED], TOLD[State.DECLINED]}
    return (kind in does or row.course.side == Party.RECIPIENT) and not comes_back(session, row, actor, at)


#: Where a referral stands while what was told is still so.
_STANDS: Final[Mapping[str, frozenset[State]]] = {
    "referral.sent": frozenset({State.SENT, State.ACKNOWLEDGED}),
    "referral.answered": frozenset({State.SENT, State.ACKNOWLEDGED}),
    "referral.asked": frozenset({State.INFO_REQUESTED}),
    "referral.accepted": TAKEN_ON,
    "referral.declined": frozenset({State.DECLINED}),
}


def has_seen(row_id: UUID, actor: Actor) -> Select[UUID]:
    """Select a row, if somebody has looked at it."""
    return select(Seen.row_id).where(Seen.row_id == row_id, Seen.user_id == actor.me)


def is_message_told(session: Session, actor: Actor, message_id: UUID, at: datetime) -> bool:
    """Whether somebody may still read a message that nobody has struck."""
    said = session.scalars(messages_visible_to(actor).where(Message.id == message_id)).one_or_none()
    if said is None or said.struck_at is not None:
        return False
    row = known(session, actor, said.referral_id)
    if is_gone(actor, row, facts(session, [row.id], at)[row.id]):
        return False
    return said.organization_id == actor.organization_id or _crosses(
        session, row, actor, at, owner_id=said.organization_id, category=said.category
    )


# --- what stands in the way of sending (R14, R15) ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Coverage:
    """What consents say about one referral now: the categories that may cross to the recipient, and back."""

    there: Mapping[str, Consent]
    back: Mapping[str, Consent]


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
    if referral.side_of(actor.organization_id) is not Party.SOURCE or referral.course.side != Party.RECIPIENT:
        return False
    return not comes_back(session, referral, actor, at)


def comes_back(session: Session, referral: Referral, actor: Actor, at: datetime) -> bool:
    """Whether the recipient's answers come back to somebody at the source now (R14)."""
    return _crosses(session, referral, actor, at, owner_id=referral.recipient_id, category=RETURNED)


def _crosses(
    session: Session, referral: Referral, actor: Actor, at: datetime, *, owner_id: UUID, category: str
) -> bool:
    return crosses_to(session, actor, referral.participant_id, at, owner_id=owner_id, category=category)


def crosses_to(
    session: Session, actor: Actor, participant_id: UUID, at: datetime, *, owner_id: UUID, category: str
) -> bool:
    """Whether what one organization says of a participant in a category is shared with somebody now."""
    decided = consents.holds(
        session,
        reader=actor,
        participant_id=participant_id,
        owner_org_id=owner_id,
        category=category,
        purpose=PURPOSE,
        at=at,
    )
    return isinstance(decided, Basis)


def may_know_of_death(session: Session, actor: Actor, death: DeathRecord, at: datetime) -> bool:
    """Whether what is on record of a participant's death is shared with somebody now: as the gate says."""
    decided = consents.holds(
        session,
        reader=actor,
        participant_id=death.participant_id,
        owner_org_id=death.organization_id,
        category=death.category,
        purpose=PURPOSE,
        at=at,
    )
    return isinstance(decided, Basis)


def sendable_categories(referral: Referral, actor: Actor, covered: Coverage) -> tuple[str, ...]:
    """Return the categories that what the actor writes may have if the other side is to read it (R19)."""
    open_ways = covered.there if referral.side_of(actor.organization_id) is Party.SOURCE else covered.back
    return tuple(name for name in CATEGORIES if name in open_ways)


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Named:
    """Names around a referral: plain words, or what does not cross."""

    participant: str | NotShared
    source: str | NotShared
    recipient: str | NotShared
    program: str | NotShared
    person: Sight[Person] | None = None


class _Timed:
    """Something with deadlines, as of an instant; none where its reader is not told how it stands."""

    __slots__ = ()

    deadlines: Deadlines | None
    at: datetime | None

    @property
    def acknowledge_by(self) -> datetime | None:
        """Until when the program has to say that it arrived."""
        return None if self.deadlines is None else self.deadlines.acknowledge_by

    @property
    def answer_by(self) -> datetime | None:
        """Until when whoever's move it is has to answer."""
        return None if self.deadlines is None else self.deadlines.answer_by

    @property
    def due_by(self) -> datetime | None:
        """Until when the next word is due: that it arrived, or an answer."""
        return None if self.deadlines is None else self.deadlines.due_by

    @property
    def expires_at(self) -> datetime | None:
        """When it expires without an answer."""
        return None if self.deadlines is None else self.deadlines.expires_at

    @property
    def due_zone(self) -> str | None:
        """The program's zone, in which its deadlines are said."""
        return None if self.deadlines is None or self.deadlines.zone is None else self.deadlines.zone.key

    @property
    def is_overdue(self) -> bool:
        """Whether a deadline of those has passed."""
        return self.deadlines is not None and self.at is not None and self.deadlines.is_overdue(self.at)


@dataclass(frozen=True, slots=True)
class Card(_Timed):
    """One line of a list."""

    id: UUID
    reference: str
    participant_id: UUID | NotShared
    names: Named
    service: str | NotShared | None
    urgency: str | NotShared | None
    status: str | NotShared
    waiting_on: str | NotShared | None
    loop: str
    sent_at: datetime | None
    moved_at: datetime | NotShared
    side: str
    #: When a draft lapses unless it is touched, and whether that is near; None for what was sent.
    kept_until: datetime | None = None
    lapses_soon: bool = False
    #: Of one's own draft that went out of sight: the referral that it was made of.
    made_of_id: UUID | None = None
    deadlines: Deadlines | None = None
    at: datetime | None = None

    @property
    def participant(self) -> str | NotShared:
        """The participant's name."""
        return self.names.participant

    @property
    def program(self) -> str | NotShared:
        """The program's name."""
        return self.names.program

    @property
    def source(self) -> str | NotShared:
        """The source's name."""
        return self.names.source

    @property
    def recipient(self) -> str | NotShared:
        """The recipient's name."""
        return self.names.recipient


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the timeline: a step, or a word about the loop. Both sides read the same rows."""

    what: str
    at: datetime
    by: UUID | None
    who: str | None
    organization_id: UUID
    organization: str
    side: str
    became: str | NotShared | None = None
    why: str | NotShared | None = None
    because: str | NotShared | None = None
    details: Mapping[str, Any] | NotShared | None = None
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Amended:
    """One change of what was sent: what stood there, what stands there since, and why (R18)."""

    id: UUID
    topic: str
    at: datetime
    by: UUID
    who: str
    old: Any
    new: Any
    why: str
    because: str | None
    is_new: bool


@dataclass(frozen=True, slots=True)
class Said:
    """One message of the thread."""

    id: UUID
    audience: str
    category: str
    words: str | NotShared
    at: datetime
    by: UUID
    who: str
    organization: str
    is_mine: bool
    is_new: bool
    seen_by: tuple[str, ...]
    struck_at: datetime | None
    struck_because: str | NotShared | None


@dataclass(frozen=True, slots=True)
class Place:
    """A place on a waiting list as it was said last, and who said since that it stands; None where nobody has."""

    expected_on: date | None
    position: int | None
    confirmed_at: datetime | None
    confirmed_by: str | None
    #: Since when they wait, where the waiting date of a referral before was kept (R25).
    queued_on: date | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """How the release moved last since a referral was sent, as its reader is shown it (R24). A day is None: unknown."""

    at: datetime
    before: date | None
    now: date | None
    is_release: bool
    returned_on: date | None
    is_new: bool
    #: Whether it says that what was told before never was so.
    corrects: bool = False


@dataclass(frozen=True, slots=True)
class Ground:
    """What a referral stands on that may have moved since it was sent (R24), for rules: it is shown as it may be."""

    is_program_closed: bool = False
    is_caseworker_here: bool = True
    is_sender_here: bool = True
    #: Whether the agreement reaches where the participant is held.
    is_facility_covered: bool = True
    #: Whether the agency has said something of the release since.
    is_release_news: bool = False


@dataclass(frozen=True, slots=True)
class Onward:
    """A referral that was made of another, as far as a reader of that one is told of it."""

    #: For the side that made it, and may open it; None for others.
    id: UUID | None
    reference: str
    recipient: str | NotShared
    program: str | NotShared
    status: str | NotShared
    sent_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """How a referral stands for one reader now, and what they may do: nothing of its content."""

    id: UUID
    reference: str
    side: str
    status: str | NotShared
    recorded: str | NotShared
    waiting_on: str | NotShared | None
    loop: str
    loop_owed_by: str | None
    #: Commands that this actor may give now.
    may: frozenset[str]
    helpers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class View(_Timed, Standing):
    """A referral as one reader may see it now."""

    it: Sight[Referral]
    names: Named
    timeline: Sequence[Entry]
    thread: Sequence[Said]
    #: Categories of a message that the other side may read.
    sendable: tuple[str, ...]
    entries_left_out: bool = False
    #: Which deadlines run, as of `at`; None where how it stands is not told, or nobody's answer is waited for.
    deadlines: Deadlines | None = None
    at: datetime | None = None
    #: What was changed after sending, oldest first.
    amendments: Sequence[Amended] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    #: The reader's zone, in which the days of flags are counted.
    zone: str = "UTC"
    #: The day of release as this reader knows it, and the program's closed days: asked where first contact is due.
    release_on: date | None = None
    closed: frozenset[date] = frozenset()
    #: What is on record of the participant's death, where it is shared; None otherwise.
    death: Sight[DeathRecord] | None = None
    #: What moved under it since it was sent, of what its reader may know; and whether they may know who works on it.
    ground: Ground = Ground()
    release_move: Moved | None = None
    returned_at: datetime | None = None
    knows_caseworker: bool = True
    #: For the recipient of what is shared no more: since when (R25).
    sharing_ended_on: date | None = None
    #: What the recipient made of it and sent, as far as this reader is told.
    onward: Sequence[Onward] = ()
    #: What this reader began to refer onward from it, never sent, and may read no more.
    unsent: Sequence[Card] = ()

    @property
    def flags(self) -> list[Flag]:
        """What is worth a look (R13), as far as this reader is told how it stands."""
        steps = [entry for entry in self.timeline if entry.seq is not None]
        if self.at is None or not steps or not isinstance(self.status, str) or self.status != self.recorded:
            return []
        confirmed = [entry.at for entry in self.timeline if entry.what == _CONFIRMS_PLACE]
        said = [said.at for said in self.thread] + [change.at for change in self.amendments] + confirmed
        return flags(
            Followed(
                State(self.status),
                since=day_of(steps[0].at, self.zone),
                last_word_on=day_of(max([steps[0].at, *said]), self.zone),
                first_contact_on=_day_in(steps[0], "first_contact_on"),
                release_on=self.release_on,
                confirmed_on=day_of(max(confirmed), self.zone) if confirmed else None,
                review_on=_day_in(steps[0], "review_on"),
                has_caseworker=bool(self.helpers) or not self.knows_caseworker,
                is_loop_open=self.loop == "open",
                is_back_in_custody=self.is_return_open,
                is_facility_left_out=not self.ground.is_facility_covered,
                is_program_closed=self.ground.is_program_closed,
                is_caseworker_gone=self.knows_caseworker and not self.ground.is_caseworker_here,
                is_sender_gone=not self.ground.is_sender_here,
            ),
            day_of(self.at, self.zone),
            self.closed,
        )

    @property
    def is_return_open(self) -> bool:
        """Whether the participant is back in custody, and neither side has said since what becomes of the work."""
        return self.returned_at is not None and not any(
            entry.what in _WEIGHS_A_RETURN and entry.side != Party.SYSTEM and entry.at >= self.returned_at
            for entry in self.timeline
        )

    @property
    def place(self) -> Place | None:
        """Its place on the waiting list, as far as this reader is told that it stands on one."""
        if not self.status == self.recorded == State.WAITLISTED:
            return None
        told = [entry for entry in self.timeline if entry.what in {"waitlist_referral", _CONFIRMS_PLACE}]
        places = [entry for entry in told if isinstance(entry.details, Mapping)]
        if not places:
            return None
        latest, stands = told[0], places[0]
        is_confirmed = latest.what == _CONFIRMS_PLACE
        return Place(
            expected_on=_day_in(stands, "expected_on"),
            position=None if isinstance(stands.details, NotShared) else (stands.details or {}).get("position"),
            confirmed_at=latest.at if is_confirmed else None,
            confirmed_by=latest.who if is_confirmed else None,
            queued_on=next((_day_in(one, "queued_on") for one in told if one.what == "waitlist_referral"), None),
        )

    @property
    def is_held_by_people(self) -> bool:
        """Whether it rests because one of the sides said so, and not because sharing ended."""
        steps = [entry for entry in self.timeline if entry.seq is not None]
        return self.status == self.recorded == State.ON_HOLD and bool(steps) and steps[0].side != Party.SYSTEM

    @property
    def onward_from_id(self) -> UUID | None:
        """The referral that it was made of: for the side that made it alone, since it tells who else asked for them."""
        return self.it.onward_from_id if self.side == Party.SOURCE else None

    @property
    def participant(self) -> str | NotShared:
        """The participant's name."""
        return self.names.participant

    @property
    def source(self) -> str | NotShared:
        """The source's name."""
        return self.names.source

    @property
    def recipient(self) -> str | NotShared:
        """The recipient's name."""
        return self.names.recipient

    @property
    def program(self) -> str | NotShared:
        """The program's name."""
        return self.names.program

    def __getattr__(self, name: str) -> Any:
        """Give the fields of the look itself, for shapes."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.it, name)


#: A line of a list: the referral, whether consent and agreement hold, whether its loop was spoken of, its course, and
#: when a death came on record.
Line = tuple[Referral, bool, bool, bool, str | None, str | None, datetime | None, bool, datetime | None]


def referral(session: Session, actor: Actor, referral_id: UUID) -> View:
    """Return one referral with its timeline and thread, as this actor may see it.

    Raises:
        NotFoundError: not theirs to know of, gone with the sharing that ended, or none.
    """
    at = clock(session)
    row, stands, ground = _found(session, actor, referral_id, at, whole=True)
    side = row.side_of(actor.organization_id)
    fields = (*_PAGE, "answer") if side is Party.SOURCE else _PAGE
    sight = look_over(session, actor, [row], records=VIEWED, purpose=PURPOSE, fields=fields)[0]
    titles = _titles(session, (row.source_id, row.recipient_id), (row.program_id,))
    told, left_out, who = _timeline(session, actor, row, titles, row.helper_ids)
    amended, kept_back = _amended(session, actor, row)
    covered = coverage(session, row, at) if row.sent_at is not None else Coverage({}, {})
    now = _standing_of(actor, row, sight, stands, at, who)
    return View(
        **{one.name: getattr(now, one.name) for one in dataclass_fields(now)},
        it=sight,
        names=_names(session, actor, [(row, sight)], titles)[row.id],
        timeline=told,
        thread=thread(session, actor, row, titles),
        sendable=sendable_categories(row, actor, covered),
        deadlines=clocks(session, [row.id], at).get(row.id) if now.status in UNANSWERED else None,
        at=at,
        entries_left_out=left_out or kept_back,
        amendments=amended,
        onward=_onward(session, actor, row, at) if row.onward_ids and _is_told_onward(sight, side) else (),
        unsent=(
            out_of_sight(session, actor, Referral.onward_from_id == row.id)
            if side is Party.RECIPIENT and row.is_done
            else ()
        ),
        zone=actor.zone,
        death=None if stands.died_at is None else persons.death(session, actor, row.participant_id, purpose=PURPOSE),
        knows_caseworker=side is not Party.SOURCE or sight.shares("answer"),
        sharing_ended_on=(
            sharing_ended_on(session, row, stands, at, actor.zone)
            if side is Party.RECIPIENT and not stands.sharing
            else None
        ),
        **(_since_sent(session, actor, row, ground, at) if now.status in {*UNDER_WAY, NOT_SHARED} else {}),
        **(_before_first_contact(session, actor, row) if now.status == now.recorded == State.ACCEPTED else {}),
    )


def _since_sent(session: Session, actor: Actor, row: Referral, ground: Ground, at: datetime) -> dict[str, Any]:
    """Return what moved under a referral that goes on, as this reader is shown it; mostly nothing more is asked."""
    is_covered = ground.is_facility_covered or not persons.is_facility_shown(
        session, actor, row.participant_id, purpose=PURPOSE
    )
    # Who helps a participant crosses as attendance.
    tells_sender = _is_at_source(actor, row) or (
        not ground.is_sender_here and _crosses(session, row, actor, at, owner_id=row.source_id, category=RETURNED)
    )
    is_sender_here = ground.is_sender_here or not tells_sender
    shown = {"ground": replace(ground, is_facility_covered=is_covered, is_sender_here=is_sender_here)}
    return shown | (_release_moved(session, actor, row) if ground.is_release_news else {})


def _release_moved(session: Session, actor: Actor, row: Referral) -> dict[str, Any]:
    """Return how the release moved since a referral was sent, where it is shared; keep that the actor has seen it."""
    course, since = releases.course(session, actor, row.participant_id, purpose=PURPOSE), row.sent_at
    if since is None:
        return {}
    returned_at = course.returned.at if course.returned is not None and course.returned.at > since else None
    move = course.move if course.move is not None and course.move.at > since else None
    if move is None:
        return {"returned_at": returned_at}
    seen = set(session.scalars(has_seen(move.statement_id, actor)))
    mark_seen(session, actor, [("release_date", move.statement_id)], seen)
    moved = Moved(move.at, move.before, move.now, move.is_release, move.returned_on, not seen, move.corrects)
    return {"returned_at": returned_at, "release_move": moved}


def _is_told_onward(sight: Sight[Referral], side: Party) -> bool:
    """Whether a reader may know of what the recipient made of it: what came of the work, as its answers are (R23).

    Asked of what is read of the page anyway: where it is not told, nothing more is asked of the database either.
    """
    return side is not Party.SOURCE or sight.shares("answer")


def _onward(session: Session, actor: Actor, row: Referral, at: datetime) -> list[Onward]:
    """Return what was referred onward from this one, oldest first.

    Whom it went to, and what they answered, are shared each by its own category and owner.
    """
    lines = lines_where(Referral.id.in_(list(row.onward_ids or ()))).order_by(Referral.sent_at, Referral.id)
    found = session.execute(lines, moment(at), execution_options=AS_IT_IS).all()
    rows = [line[0] for line in found]
    seen = look_over(session, actor, rows, records=ONWARD_VIEWED, purpose=PURPOSE, fields=_ONWARD)
    titles = _titles(session, *ends_of(rows))
    return [
        Onward(
            id=one.id if one.source_id == actor.organization_id else None,
            reference=sight.reference,
            recipient=NOT_SHARED if sight.recipient_id is NOT_SHARED else titles[one.recipient_id],
            program=NOT_SHARED if sight.program_id is NOT_SHARED else titles[one.program_id],
            # Its source reads it there, and knows what it has sent; others, only where the answers are theirs to read.
            status=_told_line(actor, line, sight, at)[2]
            if sight.shares("answer") or one.source_id == actor.organization_id
            else NOT_SHARED,
            sent_at=sight.sent_at,
        )
        for one, line, sight in zip(rows, found, seen, strict=True)
        if sight.shares("went_onward")
    ]


def _before_first_contact(session: Session, actor: Actor, row: Referral) -> dict[str, Any]:
    """Return what first contact is measured by: the release, where it is shared, and the program's closed days."""
    said = releases.shown_in_force(session, actor, [row.participant_id], purpose=PURPOSE).get(row.participant_id)
    on = None if said is None else said.released_on or said.expected_on
    closed = session.scalar(
        select(organizations.closed_days(Organization.id)).where(Organization.id == row.recipient_id)
    )
    return {"release_on": on or None, "closed": closed or frozenset()}


def _day_in(step: Entry, name: str) -> date | None:
    """Return a day that a step promised, where its reader is shown it."""
    said = step.details.get(name) if isinstance(step.details, Mapping) else None
    return None if said is None else date.fromisoformat(said)


def place_said(session: Session, referral: Referral) -> Mapping[str, Any]:
    """Return the place on the waiting list as it was said last, for a rule that shows it to nobody."""
    said = select(PlaceConfirmation).where(PlaceConfirmation.referral_id == referral.id)
    latest = said.order_by(PlaceConfirmation.at.desc(), PlaceConfirmation.id.desc())
    for one in session.scalars(latest):
        if one.place:
            return cast("Mapping[str, Any]", one.place)
    given = [step.details for step in referral.steps if step.to_state == State.WAITLISTED]
    return cast("Mapping[str, Any]", given[-1])


#: So long after the consent of one referral ended, the next may keep its waiting date (R25).
_WAITING_DATE_KEPT: Final = timedelta(days=30)


def waiting_date_kept(session: Session, referral: Referral) -> date | None:
    """Return the waiting date that a referral may keep: of the one it replaces, canceled because the consent ended.

    For a rule, and for the program's own page: it gave that place itself. None where there is none to keep.
    """
    if referral.replaces_id is None or referral.sent_at is None:
        return None
    before = select(Referral).where(Referral.id == referral.replaces_id).options(selectinload(Referral.steps))
    old = session.scalars(before, execution_options=AS_IT_IS).one()
    last, waited = old.steps[-1], [one for one in old.steps if one.to_state == State.WAITLISTED]
    is_same = old.program_id == referral.program_id and last.reason == CancelReason.CONSENT_ENDED
    if not is_same or not waited or referral.sent_at - last.at > _WAITING_DATE_KEPT:
        return None
    details = cast("Mapping[str, Any]", waited[-1].details or {})
    if "queued_on" in details:
        return date.fromisoformat(details["queued_on"])
    return day_of(waited[0].at, session.get_one(Organization, old.recipient_id).time_zone)


def standing(session: Session, actor: Actor, referral_id: UUID) -> Standing:
    """Return how one referral stands and what this actor may do, without reading its content.

    Raises:
        NotFoundError: as `referral`.
    """
    at = clock(session)
    row, stands, _ = _found(session, actor, referral_id, at)
    is_theirs = _is_their_answer(actor, row, row.course.side) or (row.helper_ids and _is_at_source(actor, row))
    fields = ("reference", "answer") if is_theirs else ("reference",)
    sight = look_over(session, actor, [row], records=STOOD, purpose=PURPOSE, fields=fields)[0]
    return _standing_of(actor, row, sight, stands, at, accounts.names(session, row.helper_ids))


def _found(
    session: Session, actor: Actor, referral_id: UUID, at: datetime, *, whole: bool = False
) -> tuple[Referral, Facts, Ground]:
    """Return one referral, what happened elsewhere, and (if read as a whole) what it stands on."""
    anybody, found = anybody_like(actor), None
    if anybody is not None:
        asked = asked_by(actor) | moment(at) | {"referral": referral_id}
        found = session.execute(_one_for(anybody, whole=whole), asked, execution_options=AS_IT_IS).one_or_none()
    if found is None:
        refuse(session, actor, VIEWED, row_type="referral", target=referral_id, purpose=PURPOSE)
        raise NotFoundError
    row, consent, agreement, died, *stands_on = found
    return row, Facts(died, bool(consent), bool(agreement)), _ground_of(*stands_on) if whole else Ground()


def _ground_of(  # noqa: PLR0917  # the columns of `_stands_on`, in their order
    closed_at: datetime | None,
    caseworker: bool,
    sender: bool,
    held_at: UUID | None,
    covered: Sequence[str] | None,
    news: bool,
) -> Ground:
    is_covered = covered is None or held_at is None or str(held_at) in covered
    return Ground(closed_at is not None, bool(caseworker), bool(sender), is_covered, bool(news))


@cache
def _stands_on() -> tuple[ColumnElement[Any], ...]:
    """Return what `_ground_of` is told of a referral."""
    here = select(User.id).where(User.id == Assignment.user_id, User.disabled_at.is_(None)).exists()
    in_force = Assignment.until_at.is_(None)
    caseworker = select(Assignment.id).where(
        Assignment.referral_id == Referral.id,
        unindexed(Assignment.organization_id) == Referral.recipient_id,
        *(in_force, here),
    )
    sender = select(Assignment.id).where(
        Assignment.participant_id == Referral.participant_id,
        unindexed(Assignment.organization_id) == Referral.source_id,
        *(in_force, or_(Assignment.program_id.is_not(None), here)),
    )
    joined = joins(Referral.source_id, Referral.recipient_id)
    agreed = select(Agreement.facility_ids).where(joined, active_at(AT)).order_by(Agreement.begins_at.desc())
    held = select(Person.facility_id).where(Person.id == Referral.participant_id)
    return (
        select(Program.closed_at).where(Program.id == Referral.program_id).scalar_subquery(),
        caseworker.exists(),
        sender.exists(),
        held.scalar_subquery(),
        agreed.limit(1).scalar_subquery(),
        releases.said_since(Referral.participant_id, Referral.sent_at),
    )


def _is_at_source(actor: Actor, row: Referral) -> bool:
    return row.side_of(actor.organization_id) is Party.SOURCE


def _is_their_answer(actor: Actor, row: Referral, last_side: str | None) -> bool:
    """Whether how it stands is what the recipient said last, so that telling the source means that it comes back."""
    return _is_at_source(actor, row) and last_side == Party.RECIPIENT


def _standing_of(  # noqa: PLR0917  # one referral, seen by one reader
    actor: Actor, row: Referral, sight: Sight[Referral], stands: Facts, at: datetime, who: Mapping[UUID, str]
) -> Standing:
    side, course = row.side_of(actor.organization_id), row.course
    settled = settle(row.recorded, stands, at)
    status = _told_status(course, settled, sight, side)
    is_told = status is not NOT_SHARED
    # Who works on it is the recipient's answer, whoever took the last step.
    tells = bool(row.helper_ids) and is_told and (side is not Party.SOURCE or sight.shares("answer"))
    return Standing(
        id=row.id,
        reference=sight.reference,
        side=str(side),
        status=status,
        recorded=str(row.recorded) if is_told else NOT_SHARED,
        waiting_on=_waiting_on(row, course, settled, status),
        loop=_told_loop(row, course, status, spoken_of=bool(row.loop_codes)),
        loop_owed_by=course.loop_owed_by if is_told else None,
        may=_may(actor, row, stands, at) if is_told else _may_untold(actor, row),
        helpers=tuple(sorted(who[one] for one in row.helper_ids)) if tells else (),
    )


@cache
def _one_for(anybody: AnyActor, *, whole: bool) -> Select[*tuple[Any, ...]]:
    """Select one referral with what happened elsewhere: building it costs more than asking it."""
    one = visible_to(anybody).where(still_readable(anybody), Referral.id == bindparam("referral", type_=Uuid()))
    if whole:
        topics = gathered(Amendment.topic, Amendment.referral_id == Referral.id)
        made = aliased(Referral)
        onward = gathered(made.id, made.onward_from_id == Referral.id, made.sent_at.is_not(None))
        one = one.options(
            selectinload(Referral.loop_answers),
            with_expression(Referral.amended_topics, topics),
            with_expression(Referral.onward_ids, onward),
        )
    return one.add_columns(consent_holds(), agreement_holds(), died_at(), *(_stands_on() if whole else ()))


def draft_alone(session: Session, actor: Actor, referral_id: UUID) -> Sight[Referral]:
    """Return one's own draft, with nothing around it.

    Raises:
        NotFoundError: it is somebody else's, or no draft any more.
    """
    return _draft(session, actor, referral_id)[1]


def _draft(session: Session, actor: Actor, referral_id: UUID) -> tuple[Referral, Sight[Referral]]:
    mine = select(Referral).where(
        within_sight(actor),
        Referral.step_count == 0,
        Referral.drafted_by == actor.user_id,
        Referral.id == referral_id,
    )
    row = session.scalars(mine, execution_options=AS_IT_IS).one_or_none()
    if row is None:
        refuse(session, actor, DRAFT_VIEWED, row_type="referral", target=referral_id, purpose=PURPOSE)
        raise NotFoundError
    fields = (*_PAGE, "touched_at", "kept_until")
    return row, look_over(session, actor, [row], records=DRAFT_VIEWED, purpose=PURPOSE, fields=fields)[0]


def draft(session: Session, actor: Actor, referral_id: UUID) -> View:
    """Return one's own draft, with what stands in the way of sending it.

    Raises:
        NotFoundError: it is somebody else's, or no draft any more.
    """
    row, sight = _draft(session, actor, referral_id)
    titles = _titles(session, (row.source_id, row.recipient_id), (row.program_id,))
    before = _before_sending(session, row)
    return View(
        id=row.id,
        reference=sight.reference,
        helpers=(),
        it=sight,
        names=_names(session, actor, [(row, sight)], titles)[row.id],
        side=str(Party.SOURCE),
        status=str(State.DRAFT),
        recorded=str(State.DRAFT),
        waiting_on=str(Party.SOURCE),
        loop="none",
        loop_owed_by=None,
        timeline=(),
        thread=(),
        may=frozenset({"save_draft", "send_referral", "discard_draft"}),
        sendable=(),
        extra=before,
        death=persons.death(session, actor, row.participant_id, purpose=PURPOSE) if before["has_died"] else None,
    )


def _before_sending(session: Session, row: Referral) -> dict[str, Any]:
    at = clock(session)
    program = session.get_one(Program, row.program_id)
    recipient = session.get_one(Organization, row.recipient_id)
    agreement = partnerships.agreement_between(session, row.source_id, row.recipient_id, at)
    around = select(Person.facility_id, persons.died_at(Person.id)).where(Person.id == row.participant_id)
    held_at, died = session.execute(around, {"at": at}).one()
    return {
        "has_died": died is not None,
        "program": program,
        "stale": program.capacity_is_stale(at),
        "recipient": recipient,
        "has_agreement": agreement is not None
        and agreement.covers_program(row.program_id)
        and agreement.covers_facility(held_at),
        "is_open": program.is_open(at),
        "part2": recipient.part2_program != "no",
        "faults": faults_of(row, program, coverage(session, row, at), agreement),
    }


def similar_open(session: Session, actor: Actor, view: View) -> list[Card]:
    """Return the open referrals of one's own side that ask the same service for the participant elsewhere (R17)."""
    if view.it.service is None:
        return []
    asked = lines_where(
        within_sight(actor),
        Referral.participant_id == view.it.participant_id,
        Referral.source_id == actor.organization,
        Referral.open_for.is_not(None),
        Referral.service == view.it.service,
        Referral.program_id != view.it.program_id,  # a second one to the same program is refused, with a link
    )
    return read(session, actor, asked.order_by(Referral.id).limit(5))


def out_of_sight(session: Session, actor: Actor, *conditions: ColumnElement[bool], limit: int = 100) -> list[Card]:
    """Return one's own drafts onward that one may read no more, since one looks after the participant no longer.

    That there is one, and since when, is its author's own doing; about whom it is, and to which program, is not told.
    """
    if actor.side is not Side.COMMUNITY or not actor.works_as(*WORKING):
        return []
    unread = (
        select(Referral.id, Referral.reference, Referral.drafted_at, Referral.touched_at, Referral.onward_from_id)
        .where(
            Referral.drafted_by == actor.me,
            Referral.step_count == 0,
            Referral.source_id == actor.organization,
            Referral.onward_from_id.is_not(None),
            not_(persons.may_know(actor, Referral.participant_id)),
            *conditions,
        )
        .order_by(Referral.id.desc())
        .limit(limit)
    )
    nothing = Named(NOT_SHARED, NOT_SHARED, NOT_SHARED, NOT_SHARED)
    return [
        Card(
            id=one.id,
            reference=one.reference,
            participant_id=NOT_SHARED,
            names=nothing,
            service=NOT_SHARED,
            urgency=NOT_SHARED,
            status=str(State.DRAFT),
            waiting_on=None,
            loop="none",
            sent_at=None,
            moved_at=one.drafted_at,
            side=str(Party.SOURCE),
            kept_until=(one.touched_at or one.drafted_at) + DRAFT_KEPT,
            made_of_id=one.onward_from_id,
        )
        for one in session.execute(unread)
    ]


def by_reference(session: Session, actor: Actor, references: Collection[str]) -> list[Card]:
    """Return the referrals with one of these references that the actor may know of: mostly one, or none."""
    known = lines_where(within_sight(actor), Referral.reference.in_(references), still_readable(actor))
    return read(session, actor, known)


def known_before(session: Session, actor: Actor, view: View) -> dict[str, Any]:
    """Return what a new draft need not ask: who is asking, and the language, where it is one's own to share."""
    known = {"contact_name": accounts.names(session, [actor.user_id]).get(actor.me, "")}
    if actor.side is not Side.AGENCY:  # an agency keeps the record: what it shared with us is not ours to pass on
        return known
    return known | {"language": persons.participant(session, actor, view.it.participant_id, purpose=PURPOSE).language}


def colleagues(session: Session, actor: Actor) -> list[tuple[UUID, str]]:
    """Return who of the actor's own organization may be named caseworker, by name."""
    working = accounts.colleagues(actor.organization, *WORKING)
    return [(one.id, one.display_name) for one in session.scalars(working)]


def services_of(session: Session, view: View) -> Sequence[str]:
    """Return the services that the program offers now."""
    return session.get_one(Program, view.it.program_id).categories or ()


def open_question(view: View) -> Entry | None:
    """Return the question that waits for its answer, if one does."""
    asked = [entry for entry in view.timeline if entry.what == "ask_question"]
    return asked[0] if asked and view.status == State.INFO_REQUESTED else None


#: What a line of a list needs of a referral and of its steps, and no more.
_LINE: Final = load_only(
    *(getattr(Referral, name) for name in (*_PLAIN, "touched_at", "done_at", "version")),
    column_of(Referral, "known_as"),
    raiseload=True,
)
_LAST: Final = aliased(ReferralStep)


def lines_where(*conditions: ColumnElement[bool]) -> Select[*Line]:
    """Select referrals for lines of a list: what happened elsewhere, whether the loop was spoken of, and its course.

    It keeps nobody out: whoever asks says who may know of them.
    """
    spoken_of = select(LoopAnswer.id).where(LoopAnswer.referral_id == Referral.id).exists()
    by_recipient = and_(ReferralStep.referral_id == Referral.id, ReferralStep.side == written(Party.RECIPIENT))
    acted = select(ReferralStep.id).where(by_recipient).exists()
    last = and_(_LAST.referral_id == Referral.id, _LAST.seq == Referral.step_count)
    course = (_LAST.to_state, _LAST.side, _LAST.at, acted, died_at())
    lines = select(Referral, consent_holds(), agreement_holds(), spoken_of, *course).outerjoin(_LAST, last)
    return lines.where(*conditions).options(_LINE)


def read(
    session: Session, actor: Actor, lines: Select[*Line], given: Mapping[str, Any] = MappingProxyType({})
) -> list[Card]:
    """Read these lines of a list, each as far as the actor may see it."""
    at = instant(session)
    rows = session.execute(lines, moment(at) | dict(given), execution_options=AS_IT_IS).all()
    return cards_of(session, actor, rows, at)


def cards_of(
    session: Session,
    actor: Actor,
    lines: Sequence[Row[*Line]],
    at: datetime,
    *,
    running: Mapping[UUID, Deadlines] | None = None,
    titles: Mapping[UUID, str] | None = None,
) -> list[Card]:
    """Make the lines of a list; `running` are the clocks of its rows and `titles` its names, where known already."""
    rows = [line[0] for line in lines]
    seen = _seen_in_list(session, actor, lines)
    if titles is None:
        titles = _titles(session, *ends_of(rows)) if rows else {}
    names = _names(session, actor, list(zip(rows, seen, strict=True)), titles)
    told = [_told_line(actor, line, sight, at) for line, sight in zip(lines, seen, strict=True)]
    if running is None:
        waits = [row.id for row, (_course, _settled, status) in zip(rows, told, strict=True) if status in UNANSWERED]
        running = clocks(session, waits, at)
    return [
        Card(
            id=row.id,
            reference=sight.reference,
            participant_id=sight.participant_id,
            names=names[row.id],
            service=sight.service,
            urgency=sight.urgency,
            status=status,
            waiting_on=_waiting_on(row, course, settled, status),
            loop=_told_loop(row, course, status, spoken_of=bool(line[3])),
            sent_at=sight.sent_at,
            moved_at=NOT_SHARED if status is NOT_SHARED else course.at or sight.drafted_at,
            side=str(row.side_of(actor.organization_id)),
            kept_until=sight.kept_until if course.recorded is State.DRAFT else None,
            lapses_soon=course.recorded is State.DRAFT and at >= sight.kept_until - DRAFT_WARNED,
            deadlines=running.get(row.id) if status in UNANSWERED else None,
            at=at,
        )
        for row, line, sight, (course, settled, status) in zip(rows, lines, seen, told, strict=True)
    ]


def _told_line(
    actor: Actor, line: Row[*Line], sight: Sight[Referral], at: datetime
) -> tuple[Course, Settled, str | NotShared]:
    """Return what a line's steps come to, how it stands now, and what of that its reader is told."""
    row, consent, agreement, _spoken_of, state, last_side, last_at, acted, died, *_ = line
    course = Course(State(state or State.DRAFT), last_side, last_at, bool(acted), row.sent_at is not None)
    settled = settle(course.recorded, Facts(died, bool(consent), bool(agreement)), at)
    return course, settled, _told_status(course, settled, sight, row.side_of(actor.organization_id))


def _seen_in_list(session: Session, actor: Actor, lines: Sequence[Row[*Line]]) -> list[Sight[Referral]]:
    """Look at the rows of a list, and at the other side's answers where they say how a row stands (R25)."""
    answered = {line[0].id for line in lines if _is_their_answer(actor, line[0], line[5])}

    def fields(row: Referral) -> Sequence[str]:
        if row.step_count == 0:
            return (*_ROW, "kept_until")
        return (*_ROW, "answer") if row.id in answered else _ROW

    return look_over(session, actor, [line[0] for line in lines], records=LISTED, purpose=PURPOSE, fields=fields)


def loop_of(row: Referral, course: Course, *, spoken_of: bool) -> str:
    """Return how the loop stands: none (not ended, or nobody owes it), open, disputed or closed."""
    if course.recorded in OPEN or course.loop_owed_by is None:
        return "none"
    if row.done_at is not None:
        return "closed"
    return "disputed" if spoken_of else "open"


def _told_loop(row: Referral, course: Course, status: str | NotShared, *, spoken_of: bool) -> str:
    """Return how the loop stands, as far as the reader may know that there is anything to acknowledge (R25).

    An answer that does not come back any more was acknowledged by its reader's own side, if anybody did.
    """
    if status is NOT_SHARED:
        return "closed" if row.done_at is not None else "none"
    return loop_of(row, course, spoken_of=spoken_of)


def _told_status(course: Course, settled: Settled, sight: Sight[Referral], side: Party) -> str | NotShared:
    """Return the status, unless it is the recipient's answer and answers do not come back (R25)."""
    theirs = side is Party.SOURCE and course.side == Party.RECIPIENT and settled.state is course.recorded
    return NOT_SHARED if theirs and not sight.shares("answer") else str(settled.state)


def _waiting_on(row: Referral, course: Course, settled: Settled, status: str | NotShared) -> str | NotShared | None:
    if status is NOT_SHARED:
        return NOT_SHARED
    if settled.state in TERMINAL:
        return None if row.done_at is not None else course.loop_owed_by
    if settled.state is State.ON_HOLD:
        held = course.side if settled.state is course.recorded else Party.SYSTEM
        return str(Party.RECIPIENT if held == Party.RECIPIENT else Party.SOURCE)
    return STATES[settled.state].waiting_on


def _names(
    session: Session,
    actor: Actor,
    rows: Collection[tuple[Referral, Sight[Referral]]],
    titles: Mapping[UUID, str],
) -> dict[UUID, Named]:
    """Return names around these rows in a fixed number of statements; which of them show follows the look."""
    people = persons.named(session, actor, {row.participant_id for row, _sight in rows}, purpose=PURPOSE)
    own = actor.organization_id

    def shown(row: Referral, sight: Sight[Referral], name: str) -> str | NotShared:
        return NOT_SHARED if getattr(sight, name) is NOT_SHARED else titles[getattr(row, name)]

    def called(row: Referral, sight: Sight[Referral]) -> str | NotShared:
        known = people[row.participant_id].called if row.participant_id in people else NOT_SHARED
        return known if known is not NOT_SHARED else sight.known_as or NOT_SHARED

    return {
        row.id: Named(
            participant=called(row, sight),
            source=shown(row, sight, "source_id"),
            recipient=titles[own] if own == row.recipient_id else shown(row, sight, "recipient_id"),
            program=titles[row.program_id] if own == row.recipient_id else shown(row, sight, "program_id"),
            person=people.get(row.participant_id),
        )
        for row, sight in rows
    }


def _titles(session: Session, there: Collection[UUID], offered: Collection[UUID]) -> dict[UUID, str]:
    """Return the names of organizations and programs, in one statement."""
    rows = session.execute(named_so(), {"there": list(there), "offered": list(offered)})
    return {row.id: row.name for row in rows}


@cache
def named_so() -> CompoundSelect[UUID, str]:
    """Select the names of the organizations `there` and of the programs `offered`."""
    return union_all(
        select(Organization.id, Organization.name).where(Organization.id.in_(bindparam("there", expanding=True))),
        select(Program.id, Program.name).where(Program.id.in_(bindparam("offered", expanding=True))),
    )


def ends_of(rows: Iterable[Referral]) -> tuple[set[UUID], set[UUID]]:
    """Return the organizations at both ends of these rows, and their programs."""
    rows = list(rows)
    return {one for row in rows for one in (row.source_id, row.recipient_id)}, {row.program_id for row in rows}


def _timeline(
    session: Session, actor: Actor, row: Referral, titles: Mapping[UUID, str], also: Collection[UUID]
) -> tuple[list[Entry], bool, dict[UUID, str]]:
    """Return what happened, newest first, and whether entries are left out because they are not shared (C14).

    With it come the names of everybody who acted, and of those `also` asked for.
    """
    steps = look_over(session, actor, row.steps, records=TIMELINE_VIEWED, purpose=PURPOSE, fields=_STEP)
    own = actor.organization_id
    kept = [one for one in steps if one.organization_id == own or one.became is not NOT_SHARED or one.side == "system"]
    said = (
        look_over(session, actor, row.loop_answers, records=TIMELINE_VIEWED, purpose=PURPOSE, fields=_LOOP_ANSWER)
        if row.loop_answers
        else []
    )
    reported = _reported(session, actor, row)
    told = [one for one in reported if one.organization_id == own or one.why is not NOT_SHARED]
    confirmed = _confirmed_places(session, actor, row)
    stands = [one for one in confirmed if one.place is not NOT_SHARED]
    named = {
        one.seq: UUID(one.details["caseworker_id"]) for one in kept if one.details and "caseworker_id" in one.details
    }
    acted = {one.by for one in kept} | {one.by for one in said} | {one.by for one in told} | {one.by for one in stands}
    who = accounts.names(session, acted | set(named.values()) | set(also))
    entries = [
        Entry(
            what=one.verb,
            at=one.at,
            by=one.by,
            who=who.get(one.by) if one.by is not None else None,
            organization_id=one.organization_id,
            organization=titles[one.organization_id] if one.side != Party.SYSTEM else "",
            side=one.side,
            became=one.became,
            why=one.why,
            because=one.because,
            details=one.details | {"caseworker": who.get(named[one.seq], "")} if one.seq in named else one.details,
            seq=one.seq,
        )
        for one in kept
    ]
    entries += [
        Entry(
            what=f"loop_{one.answer}",
            at=one.at,
            by=one.by,
            who=who.get(one.by),
            organization_id=one.organization_id,
            organization=titles[one.organization_id],
            side=one.side,
            because=one.words,
        )
        for one in said
    ]
    entries += [
        Entry(
            what="report_error",
            at=one.at,
            by=one.by,
            who=who.get(one.by),
            organization_id=one.organization_id,
            organization=titles[one.organization_id],
            side=one.side,
            why=one.why,
            because=one.because,
        )
        for one in told
    ]
    entries += [
        Entry(
            what=_CONFIRMS_PLACE,
            at=one.at,
            by=one.by,
            who=who.get(one.by),
            organization_id=one.organization_id,
            organization=titles[one.organization_id],
            side=str(Party.RECIPIENT),
            details=one.place,
        )
        for one in stands
    ]
    if told or stands:
        entries.sort(key=lambda one: one.at)
    left_out = len(kept) + len(told) + len(stands) < len(steps) + len(reported) + len(confirmed)
    return entries[::-1], left_out, who


def _confirmed_places(session: Session, actor: Actor, row: Referral) -> list[Sight[PlaceConfirmation]]:
    """Look at what was said since of the place on a waiting list: nothing is asked where it never stood on one."""
    if State.WAITLISTED not in row.was_ever:
        return []
    said = select(PlaceConfirmation).where(PlaceConfirmation.referral_id == row.id)
    rows = session.scalars(said.order_by(PlaceConfirmation.at, PlaceConfirmation.id)).all()
    return look_over(session, actor, rows, records=TIMELINE_VIEWED, purpose=PURPOSE, fields=_PLACE) if rows else []


def _reported(session: Session, actor: Actor, row: Referral) -> list[Sight[ErrorReport]]:
    """Look at who reported it as an error: few ever are, so nothing is asked where nobody did."""
    if not row.error_reporters:
        return []
    reports = session.scalars(
        select(ErrorReport).where(ErrorReport.referral_id == row.id).order_by(ErrorReport.at, ErrorReport.id)
    )
    return look_over(session, actor, reports.all(), records=TIMELINE_VIEWED, purpose=PURPOSE, fields=_ERROR_REPORT)


def _amended(session: Session, actor: Actor, row: Referral) -> tuple[list[Amended], bool]:
    """Return what was changed after sending, and whether some of it is not shared; keep that the actor has seen it.

    Most are never changed: then nothing is asked.
    """
    if not row.amended_topics:
        return [], False
    stored = select(Amendment).where(Amendment.referral_id == row.id).order_by(Amendment.at, Amendment.id)
    looked = look_over(
        session,
        actor,
        session.scalars(stored).all(),
        records=AMENDMENTS_VIEWED,
        purpose=PURPOSE,
        fields=_AMENDMENT,
    )
    kept = [one for one in looked if one.why is not NOT_SHARED]
    me = actor.user_id
    seen = set(
        session.scalars(
            select(Seen.row_id).where(
                Seen.row_type == "amendment", Seen.user_id == me, Seen.row_id.in_([one.id for one in kept])
            )
        )
    )
    if me is not None:
        mark_seen(session, actor, [("amendment", one.id) for one in kept if one.by != me], seen)
    who = accounts.names(session, {one.by for one in kept})
    told = [
        Amended(
            id=one.id,
            topic=one.topic,
            at=one.at,
            by=one.by,
            who=who.get(one.by, ""),
            old=one.old["value"],
            new=one.new["value"],
            why=one.why,
            because=one.because,
            is_new=one.by != me and one.id not in seen,
        )
        for one in kept
    ]
    return told, len(kept) < len(looked)


def thread(
    session: Session, actor: Actor, row: Referral, titles: Mapping[UUID, str], *, only: UUID | None = None
) -> list[Said]:
    """Return the messages of a referral's thread, oldest first, and keep that the actor has now seen them (R19).

    A message whose category does not cross is left out; an own side's message never leaves it. With `only`, nothing but
    that message is read.
    """
    if anybody_like(actor) is None:
        return []
    statement, given = asking_once(_thread_of if only is None else _one_of_thread, actor)
    messages = look(
        session,
        actor,
        statement,
        given=given | {"referral": row.id, "message": only},
        records=THREAD_VIEWED,
        purpose=PURPOSE,
        fields=_MESSAGE,
    )
    kept = [one for one in messages if one.organization_id == actor.organization_id or one.words is not NOT_SHARED]
    if not kept:
        return []
    marks = session.execute(
        select(Seen.row_id, Seen.user_id).where(Seen.row_type == "message", Seen.row_id.in_([one.id for one in kept]))
    )
    seen: dict[UUID, set[UUID]] = {one.id: set() for one in kept}
    for row_id, user_id in marks:
        seen[row_id].add(user_id)
    me = actor.user_id
    if me is not None:
        mark_seen(
            session,
            actor,
            [("message", one.id) for one in kept if one.by != me],
            [row_id for row_id, users in seen.items() if me in users],
        )
    who = accounts.names(session, {one.by for one in kept} | {user for users in seen.values() for user in users})
    return [
        Said(
            id=one.id,
            audience=one.audience,
            category=one.category,
            words=one.words,
            at=one.at,
            by=one.by,
            who=who.get(one.by, ""),
            organization=titles[one.organization_id],
            is_mine=one.by == me,
            is_new=one.by != me and me not in seen[one.id],
            seen_by=tuple(sorted(who.get(user, "") for user in seen[one.id] - {one.by})),
            struck_at=one.struck_at,
            struck_because=one.struck_because,
        )
        for one in kept
    ]


def message(session: Session, actor: Actor, message_id: UUID) -> tuple[View, Said]:
    """Return one message with its referral.

    Raises:
        NotFoundError: not theirs to know of, or none.
    """
    view = referral(session, actor, _referral_of(session, actor, message_id))
    return view, _among(view.thread, message_id)


def said(session: Session, actor: Actor, message_id: UUID) -> Said:
    """Return one message, without its referral's content.

    Raises:
        NotFoundError: as `message`.
    """
    row, *_ = _found(session, actor, _referral_of(session, actor, message_id), clock(session))
    titles = _titles(session, (row.source_id, row.recipient_id), ())
    return _among(thread(session, actor, row, titles, only=message_id), message_id)


def _referral_of(session: Session, actor: Actor, message_id: UUID) -> UUID:
    """Return which referral a message belongs to; for one that is not theirs to know of, an id that leads nowhere."""
    of_one = messages_visible_to(actor).where(Message.id == message_id).with_only_columns(Message.referral_id)
    return session.scalar(of_one) or message_id


def _among(thread: Iterable[Said], message_id: UUID) -> Said:
    for one in thread:
        if one.id == message_id:
            return one
    raise NotFoundError


def _may(actor: Actor, row: Referral, stands: Facts, at: datetime) -> frozenset[str]:
    """Return the commands that this actor may give now: so a page offers no button that would only refuse."""
    seen = settle(row.recorded, stands, at).state
    verbs = {
        verb.command
        for verb in VERBS.values()
        if seen in verb.origins and any(getattr(policy, name)(actor, row) for name in verb.may)
    }
    if not stands.sharing:
        verbs.discard("resume_referral")
    if "accept_referral" in verbs:
        verbs.add("waitlist_referral")
    if seen in UNDER_WAY and policy.sends_it(actor, row):
        verbs.add("amend_referral")
    verbs |= _may_at_work(actor, row, seen, stands)
    if not row.was_reported_by_another(actor.user_id):
        verbs.discard("confirm_error")
    if (
        seen in VERBS["confirm_error"].origins
        and policy.takes_part(actor, row)
        and not row.was_reported_by(actor.user_id)
    ):
        verbs.add("report_error")
    if (
        row.loop_owed_by is row.side_of(actor.organization_id)
        and not row.is_loop_closed
        and policy.takes_part(actor, row)
    ):
        verbs |= {"close_loop", "dispute_outcome"}
    if row.sent_at is not None and not row.is_done and policy.takes_part(actor, row):
        verbs.add("post_message")
    if row.sent_at is not None and seen in TERMINAL and stands.died_at is None and policy.sends_it(actor, row):
        verbs.add("reroute_referral")
    return frozenset(verbs)


def _may_at_work(actor: Actor, row: Referral, seen: State, stands: Facts) -> set[str]:
    """Return the commands beside the verbs that are for whoever works on it."""
    verbs = set[str]()
    works = policy.works_on_it(actor, row)
    if seen in TAKEN_ON and (policy.answers_it(actor, row) or works):
        verbs |= {"name_caseworker"} | ({_CONFIRMS_PLACE} if seen is State.WAITLISTED else set())
    if seen in EVER_TAKEN_ON and works and not row.is_done and stands.sharing and stands.died_at is None:
        verbs.add("refer_onward")
    return verbs


def _may_untold(actor: Actor, row: Referral) -> frozenset[str]:
    """Return what is offered where how it stands is not told: the same however it stands, or the buttons would tell.

    A source may always try to take a referral back, or write; what is too late then says that answers are not shared.
    """
    verbs = {"cancel_referral", "amend_referral"} if policy.sends_it(actor, row) else set[str]()
    if policy.takes_part(actor, row):
        verbs |= {"post_message"} | (set() if row.was_reported_by(actor.user_id) else {"report_error"})
    if policy.supervises_source(actor, row) and row.was_reported_by_another(actor.user_id):
        verbs.add("confirm_error")
    return frozenset(verbs)


def known(session: Session, actor: Actor, referral_id: UUID) -> Referral:
    """Return the row itself for a rule that reads no content.

    Raises:
        NotFoundError: not theirs to know of, or none.
    """
    statement = visible_to(actor).where(Referral.id == referral_id)
    row = session.scalars(statement, execution_options=AS_IT_IS).one_or_none()
    if row is None:
        raise NotFoundError
    return row
