"""What waits on somebody today, and one box that finds people, referrals and programs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from typing import Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Integer,
    Select,
    Uuid,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.orm import Session, aliased

from referrals.account import queries as accounts
from referrals.account.models import RoleGrant, User
from referrals.consent import queries as consents
from referrals.consent.models import Consent
from referrals.home import policy as p
from referrals.kernel.actor import Actor, AnyActor, Role, Side, anybody_like, asked_by
from referrals.kernel.errors import NotFoundError, NotPermittedError
from referrals.kernel.look import NOT_SHARED, Sight, declare_look, instant, note, refuse
from referrals.kernel.orm import written
from referrals.kernel.record import clock, day_of
from referrals.organization.models import Facility, Location, Organization
from referrals.partnership import queries as partnerships
from referrals.partnership.models import Agreement, PartnerRule, active_at
from referrals.person import queries as persons
from referrals.person.models import Assignment, Person, folded_words
from referrals.program import queries as programs
from referrals.program.models import STALE_AFTER, IntakeMember, Program
from referrals.recovery import queries as recoveries
from referrals.recovery.queries import ShownRecovery
from referrals.referral import queries as referrals
from referrals.referral.models import TAKEN_ON, Referral, references_meant
from referrals.release import queries as releases
from referrals.staff import queries as staff
from referrals.worklist import queries as worklists
from referrals.worklist.queries import COUNTED_AT_MOST

__all__ = ["COUNTED_AT_MOST"]

#: Each block shows so many, and leads to the whole list.
SHOWN: Final = 8
#: So many programs are shown among what was found; the directory has the rest.
PROGRAMS_SHOWN: Final = 10
#: The windows of a case manager's planning, in days.
WINDOWS: Final = (30, 60, 90)

_NUMBER = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class Leaving:
    """Somebody who leaves soon: who, when, in how many days."""

    participant_id: UUID
    name: object
    on: date
    days: int


@dataclass(frozen=True, slots=True)
class ProposedRole:
    """A role that waits for a second person: for whom."""

    name: str
    role: str


@dataclass(slots=True)
class Day:
    """Everything a home page shows; what a role has no business with stays empty."""

    needs: Sequence[referrals.Card] = ()
    needs_count: int = 0
    waiting: Sequence[referrals.Card] = ()
    waiting_count: int = 0
    drafts: Sequence[referrals.Card] = ()
    errors: Sequence[referrals.Card] = ()
    witness: Sequence[Sight[Consent]] = ()
    rules: Sequence[PartnerRule] = ()
    capacity: Sequence[Program] = ()
    stale: frozenset[UUID] = frozenset()
    leaving: Sequence[Leaving] = ()
    windows: dict[int, int] = field(default_factory=dict)
    locked: Sequence[User] = ()
    #: Powerful roles that wait for this administrator as the second person (S-802), and people who were invited and
    #: have not signed in yet.
    proposed: Sequence[ProposedRole] = ()
    invited_count: int = 0
    #: Whether the yearly review of the organization's accounts is overdue (S-805).
    review_overdue: bool = False
    #: Recoveries of a lost second factor that wait for this person as the second colleague (S-105), and those that they
    #: began and that are not over.
    recoveries: Sequence[ShownRecovery] = ()
    begun: Sequence[ShownRecovery] = ()
    #: How many people who left have work that a colleague should take over (S-807).
    left_count: int = 0

    @property
    def is_quiet(self) -> bool:
        """Whether nothing waits on this person."""
        waits = self.needs, self.errors, self.witness, self.rules, self.stale, self.locked, self.proposed
        return not (any(waits) or self.recoveries or self.left_count or self.review_overdue)


def today(session: Session, actor: Actor) -> Day:
    """Return what waits on this person, oldest first."""
    day = Day()
    if p.works_with_participants(actor):
        found = worklists.waiting(session, actor, limit=SHOWN)
        day.needs, day.needs_count = found.us, found.us_count
        day.waiting, day.waiting_count = found.them, found.them_count
        day.drafts = found.drafts
        day.errors = worklists.errors_to_confirm(session, actor, limit=SHOWN)
        day.witness = consents.waiting_for_witness(session, actor)
        day.rules = partnerships.rules_to_keep(session, actor, clock(session))
    if p.plans_releases(actor):
        day.leaving, day.windows = _leaving(session, actor)
    if p.answers_for_programs(actor):
        at = clock(session)
        day.capacity = programs.capacity_due(session, actor)[:SHOWN]
        day.stale = frozenset(one.id for one in day.capacity if one.capacity_is_stale(at))
    if p.runs_an_organization(actor):
        people = {one.id: one for one in session.scalars(accounts.people(actor.organization))}
        day.locked = [one for one in people.values() if one.locked_at is not None]
        day.invited_count = sum(_is_invited(one) for one in people.values())
        day.proposed = [
            ProposedRole(people[one.user_id].display_name, one.role)
            for one in staff.waiting(session, actor.organization)
            if actor.user_id not in {one.user_id, one.proposed_by}
        ]
        day.review_overdue = staff.review_state(session, actor.organization, clock(session), zone=actor.zone).is_overdue
    if recoveries.leads(actor):
        still_open = recoveries.open_ones(session, actor)
        day.recoveries = [one for one in still_open if one.may_confirm]
        day.begun = [one for one in still_open if one.may_withdraw]
    if p.leads_an_organization(actor):
        day.left_count = len(_to_hand_over(open_work(session, actor)))
    return day


def _is_invited(user: User) -> bool:
    """Whether somebody was given a one-time code and has never signed in; the code may have lapsed since."""
    return user.must_change_password and user.last_signed_in_at is None and user.disabled_at is None


def _leaving(session: Session, actor: Actor) -> tuple[list[Leaving], dict[int, int]]:
    """Return who leaves first, and how many within each window. A date that is not shared counts as none."""
    now = day_of(clock(session), actor.zone)
    soon = releases.expected_between(session, actor, now, now + timedelta(days=WINDOWS[-1]))
    known = [one for one in soon if one.expected_on is not NOT_SHARED]
    windows = {days: sum(one.expected_on <= now + timedelta(days=days) for one in known) for days in WINDOWS}
    first = sorted(known, key=lambda one: (one.expected_on, one.participant_id))[:SHOWN]
    people = persons.named(session, actor, {one.participant_id for one in first})
    leaving = [
        Leaving(
            one.participant_id,
            people[one.participant_id].called if one.participant_id in people else NOT_SHARED,
            one.expected_on,
            (one.expected_on - now).days,
        )
        for one in first
    ]
    return leaving, windows


@dataclass(frozen=True, slots=True)
class Found:
    """What one box found, by kind. `more_people`, `more_programs`: the first are shown, and there are more."""

    people: Sequence[Sight[Person]] = ()
    referrals: Sequence[referrals.Card] = ()
    programs: Sequence[Program] = ()
    whole_words: bool = False
    more_people: bool = False
    more_programs: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing was found."""
        return not (self.people or self.referrals or self.programs)


def search(session: Session, actor: Actor, words: str) -> Found:
    """Find people by name or number, referrals by reference, programs by a word, within this actor's sight.

    Forgives case, accents, the order of words, spaces and dashes, and look-alike signs in numbers and references.
    Something out of sight and nothing at all give the same answer (S-203).
    """
    found_referrals: Sequence[referrals.Card] = ()
    answer = persons.Found((), more=False, whole_words=False)
    if p.works_with_participants(actor):
        if meant := references_meant(words):
            found_referrals = referrals.by_reference(session, actor, meant)
        if not found_referrals:
            answer = _people(session, actor, words)
    offered, further = programs.page(session, programs.Wanted(search=words), limit=PROGRAMS_SHOWN)
    return Found(answer.rows, found_referrals, offered, answer.whole_words, answer.more, further is not None)


def _people(session: Session, actor: Actor, words: str) -> persons.Found:
    """Find people by number if there is a digit in it, else by name; signs alone are nobody's name."""
    if _NUMBER.search(words):
        return persons.search(session, actor, agency_number=words)
    if folded_words(words):
        return persons.search(session, actor, name=words)
    return persons.Found((), more=False, whole_words=False)


# --- the work of people who have left (S-807) -------------------------------------------------------------------------

LEFT_COUNTED: Final = declare_look("home.left_work_counted", "how much open work people who have left still hold")
#: A refused reading of it.
LEFT_VIEWED: Final = declare_look("home.left_work_viewed", "the open work of somebody who has left")
#: Of each kind so many are shown; the next show as these are handed over.
LEFT_SHOWN: Final = 50
#: Each kind of open work. A draft is nobody's but its author's: it is counted, and lapses by itself.
CARE_TEAM, CASEWORKER, SENT, INTAKE, DRAFTS = "care_team", "caseworker", "sent", "intake", "drafts"
KINDS: Final = (CARE_TEAM, CASEWORKER, SENT, INTAKE, DRAFTS)


def open_work(session: Session, actor: Actor, user_id: UUID | None = None) -> dict[UUID, dict[str, int]]:
    """Count what disabled accounts of the actor's organization left open: by person, then by kind. One statement.

    Open are places on care teams, referrals whose caseworker somebody is, referrals they sent for whom no colleague
    works on the care team, places on intake lists, and drafts. Nothing about a participant but the number.
    """
    anybody = anybody_like(actor)
    if anybody is None:
        return {}
    asked = asked_by(actor) | referrals.moment(instant(session)) | ({} if user_id is None else {"left": user_id})
    found: dict[UUID, dict[str, int]] = {}
    for kind, left, count in session.execute(_left_open(anybody, of_one=user_id is not None), asked):
        found.setdefault(left, {})[kind] = count
    if found:  # most days nobody has left anything, and every home would say so in the log
        note(session, actor, records=LEFT_COUNTED, purpose="administration", count=sum(map(len, found.values())))
    return {left: {kind: kinds[kind] for kind in KINDS if kind in kinds} for left, kinds in found.items()}


staff.open_work_is_counted(open_work)


def _to_hand_over(counted: Mapping[UUID, Mapping[str, int]]) -> list[UUID]:
    """Return who left something that a colleague can take over: more than drafts."""
    return [left for left, kinds in counted.items() if kinds.keys() - {DRAFTS}]


@cache
def _left_open(anybody: AnyActor, *, of_one: bool) -> CompoundSelect[str, UUID, int]:
    """Select kind, person and number of what people of an organization left open."""
    gone = [User.organization_id == anybody.organization, User.disabled_at.is_not(None)]
    if of_one:
        gone.append(User.id == bindparam("left", type_=Uuid()))
    placed = Assignment.organization_id == anybody.organization, Assignment.until_at.is_(None)
    counted = func.count()
    return union_all(
        select(literal(CARE_TEAM), User.id, counted)
        .join(Assignment, Assignment.user_id == User.id)
        .where(*gone, *placed, Assignment.referral_id.is_(None))
        .group_by(User.id),
        select(literal(CASEWORKER), User.id, func.count(Referral.id.distinct()))
        .join(Assignment, Assignment.user_id == User.id)
        .join(Referral, Referral.id == Assignment.referral_id)
        .where(*gone, *placed, *_work_on(anybody))
        .group_by(User.id),
        select(literal(SENT), User.id, counted)
        .join(Referral, Referral.drafted_by == User.id)
        .where(*gone, *_sent_and_alone(anybody))
        .group_by(User.id),
        select(literal(INTAKE), User.id, counted)
        .join(IntakeMember, IntakeMember.user_id == User.id)
        .join(Program, Program.id == IntakeMember.program_id)
        .where(*gone, *_answered_for(anybody))
        .group_by(User.id),
        select(literal(DRAFTS), User.id, counted)
        .join(Referral, Referral.drafted_by == User.id)
        .where(*gone, Referral.source_id == anybody.organization, Referral.step_count == 0)
        .group_by(User.id),
    )


def _work_on(anybody: AnyActor) -> list[ColumnElement[bool]]:
    """Return the conditions that a referral to one's organization needs its caseworker: taken on, and not ended."""
    taken = referrals.settled_state().in_([written(state) for state in sorted(TAKEN_ON)])
    return [Referral.recipient_id == anybody.organization, taken]


def _sent_and_alone(anybody: AnyActor) -> list[ColumnElement[bool]]:
    """Return the conditions that a referral of one's own is not done, and no colleague who is here works on it.

    Whose end does not come back counts as not done, as in every list (R25).
    """
    helper, colleague = aliased(Assignment), aliased(User)
    team = (
        helper.participant_id == Referral.participant_id,
        helper.organization_id == anybody.organization,
        helper.until_at.is_(None),
    )
    works_on = exists().where(*team, colleague.id == helper.user_id, colleague.disabled_at.is_(None))
    return [
        Referral.source_id == anybody.organization,
        Referral.sent_at.is_not(None),
        or_(Referral.done_at.is_(None), referrals.is_answer_withheld(anybody)),
        exists().where(*team),  # without anybody on the care team nobody may know of the participant at all
        ~works_on,
    ]


def _answered_for(anybody: AnyActor) -> list[ColumnElement[bool]]:
    return [
        Program.organization_id == anybody.organization,
        Program.closed_at.is_(None),
        IntakeMember.ended_at.is_(None),
    ]


@dataclass(frozen=True, slots=True)
class Left:
    """Somebody who left, and how much they left open."""

    id: UUID
    name: str
    left_at: datetime | None
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LeftWork(Left):
    """The same with what it is, for whoever may hand it over; None for whoever reads numbers alone."""

    places: Sequence[persons.Place] | None = None
    caseworker: Sequence[referrals.Card] | None = None
    sent: Sequence[referrals.Card] | None = None
    programs: Sequence[Program] | None = None

    @property
    def is_told(self) -> bool:
        """Whether its reader sees what it is."""
        return self.places is not None


def left_people(session: Session, actor: Actor) -> list[Left]:
    """Return who left something that a colleague can take over, whoever left last first, at most 100.

    Raises:
        NotPermittedError: the actor neither leads the organization nor runs it; the refusal is on record (S-210).
    """
    _require_who_hands_over(session, actor)
    counted = open_work(session, actor)
    gone = accounts.left(session, actor.organization, _to_hand_over(counted))
    return [Left(one.id, one.display_name, one.disabled_at, counted[one.id]) for one in gone]


def left_work(session: Session, actor: Actor, user_id: UUID) -> LeftWork:
    """Return what somebody who left has open: numbers, and the lines for whoever leads the organization.

    Raises:
        NotPermittedError: as `left_people`.
        NotFoundError: nobody of the organization with a disabled account.
    """
    _require_who_hands_over(session, actor)
    gone = accounts.left(session, actor.organization, [user_id])
    if not gone:
        refuse(session, actor, LEFT_VIEWED, row_type="user", target=user_id, purpose="administration")
        raise NotFoundError
    counts = open_work(session, actor, user_id).get(user_id, {})
    name, left_at = gone[0].display_name, gone[0].disabled_at
    anybody = anybody_like(actor)
    if anybody is None or not p.leads_an_organization(actor):
        return LeftWork(user_id, name, left_at, counts)
    asked = asked_by(actor) | referrals.moment(instant(session)) | {"left": user_id, "at_most": LEFT_SHOWN}
    references: dict[str, list[str]] = {CASEWORKER: [], SENT: []}
    for kind, reference in session.execute(_left_references(anybody), asked):
        references[kind].append(reference)
    wanted = {one for found in references.values() for one in found}
    cards = {card.reference: card for card in referrals.by_reference(session, actor, wanted)} if wanted else {}
    answered = select(Program).join(IntakeMember, IntakeMember.program_id == Program.id)
    answered = answered.where(*_answered_for(anybody), IntakeMember.user_id == bindparam("left", type_=Uuid()))
    return LeftWork(
        user_id,
        name,
        left_at,
        counts,
        places=persons.places_of(session, actor, user_id, limit=LEFT_SHOWN),
        caseworker=[cards[one] for one in references[CASEWORKER] if one in cards],
        sent=[cards[one] for one in references[SENT] if one in cards],
        programs=session.scalars(answered.order_by(Program.name, Program.id).limit(LEFT_SHOWN), asked).all(),
    )


@cache
def _left_references(anybody: AnyActor) -> CompoundSelect[str, str]:
    """Select kind and reference of the referrals that one person left, oldest first."""
    left, at_most = bindparam("left", type_=Uuid()), bindparam("at_most", type_=Integer())
    theirs = exists().where(
        Assignment.referral_id == Referral.id,
        Assignment.user_id == left,
        Assignment.organization_id == anybody.organization,
        Assignment.until_at.is_(None),
    )

    def first(kind: str, *conditions: ColumnElement[bool]) -> Select[str, str]:
        oldest = select(Referral.reference, Referral.id).where(*conditions).order_by(Referral.id).limit(at_most)
        return select(literal(kind), oldest.subquery().c.reference)

    worked = first(CASEWORKER, theirs, *_work_on(anybody))
    return union_all(worked, first(SENT, Referral.drafted_by == left, *_sent_and_alone(anybody)))


def _require_who_hands_over(session: Session, actor: Actor) -> None:
    if p.leads_an_organization(actor) or p.runs_an_organization(actor):
        return
    whose, code = actor.organization_id, NotPermittedError.code
    refuse(session, actor, LEFT_VIEWED, row_type="organization", target=whose, purpose="administration", code=code)
    raise NotPermittedError


# --- the first run ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FirstStep:
    """One thing an organization needs before its first referral: whether it is there, and where it is done."""

    code: str
    is_done: bool
    url: str


def first_steps(session: Session, actor: Actor) -> list[FirstStep]:
    """Return what is this person's to set up, in the order in which it is best done.

    One statement, and for administrators one more: the yearly review of accounts stands there while it is due (S-805).

    Raises:
        NotFoundError: nothing of it is theirs.
    """
    if not p.sets_something_up(actor) or actor.organization_id is None:
        raise NotFoundError
    asked = _first_steps(actor, actor.organization_id, clock(session))
    done = session.execute(select(*(is_done.label(code) for code, _, is_done in asked))).one()
    steps = [FirstStep(code, bool(one), url) for (code, url, _), one in zip(asked, done, strict=True)]
    if p.runs_an_organization(actor):
        state = staff.review_state(session, actor.organization_id, clock(session), zone=actor.zone)
        if state.is_overdue:
            steps.append(FirstStep("accounts_reviewed", is_done=False, url="/organization/access-reviews/new"))
    return steps


def _first_steps(actor: Actor, own: UUID, at: datetime) -> list[tuple[str, str, ColumnElement[bool]]]:
    serves = actor.side is Side.COMMUNITY
    offered = Program.organization_id == own, Program.closed_at.is_(None)
    asked: list[tuple[str, str, ColumnElement[bool]]] = []
    if p.runs_an_organization(actor):
        there = Location.organization_id == own, Location.ended_at.is_(None)
        held = Facility.organization_id == own, Facility.ended_at.is_(None)
        said = exists().where(Organization.id == own, Organization.part2_program != "unknown")
        daily = (Role.NAVIGATOR,) if serves else (Role.CASE_MANAGER, Role.SUPERVISING_OFFICER)
        asked = [
            ("part2_answered", f"/organizations/{own}/part2-program", said),
            ("locations_added", f"/organizations/{own}/locations", exists().where(*there))
            if serves
            else ("facilities_added", f"/organizations/{own}/facilities", exists().where(*held)),
            ("second_administrator", _PEOPLE, _work_here(own, Role.ADMINISTRATOR, least=2)),
            ("supervisor_added", _PEOPLE, _work_here(own, Role.SUPERVISOR)),
            ("workers_added", _PEOPLE, _work_here(own, *daily)),
            ("auditor_added", _PEOPLE, _work_here(own, Role.AUDITOR)),
        ]
    if p.leads_an_organization(actor):
        party = or_(Agreement.first_id == own, Agreement.second_id == own)
        asked.append(("agreement_signed", "/partnerships", exists().where(party, active_at(at))))
        if serves:
            answered = exists().where(IntakeMember.program_id == Program.id, IntakeMember.ended_at.is_(None))
            asked.append(("program_added", "/programs/new", exists().where(*offered)))
            asked.append(("intake_named", f"/programs?organization_id={own}", exists().where(*offered, answered)))
    if p.offers_programs(actor):
        mine = exists().where(
            IntakeMember.program_id == Program.id, IntakeMember.user_id == actor.me, IntakeMember.ended_at.is_(None)
        )
        whose = () if p.leads_an_organization(actor) else (mine,)
        fresh = exists().where(*offered, *whose, Program.capacity_at > at - STALE_AFTER)
        programs_here = f"/programs?organization_id={own}"
        if not p.leads_an_organization(actor):
            asked.append(("on_an_intake_list", programs_here, exists().where(*offered, mine)))
        asked.append(("capacity_said", programs_here, fresh))
    return asked


_PEOPLE: Final = "/organization/people"


def _work_here(organization_id: UUID, *roles: Role, least: int = 1) -> ColumnElement[bool]:
    """Say that so many people of an organization can work in one of these roles now."""
    able = (
        select(func.count(User.id.distinct()))
        .join(RoleGrant, RoleGrant.user_id == User.id)
        .where(
            User.organization_id == organization_id,
            User.disabled_at.is_(None),
            RoleGrant.ended_at.is_(None),
            RoleGrant.role.in_([role.value for role in roles]),
        )
    )
    return able.scalar_subquery() >= least
