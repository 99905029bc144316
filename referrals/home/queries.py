"""What waits on somebody today, and one box that finds people, referrals and programs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session

from referrals.account import queries as accounts
from referrals.account.models import RoleGrant, User
from referrals.consent import queries as consents
from referrals.consent.models import Consent
from referrals.home import policy as p
from referrals.kernel.actor import Actor, Role, Side
from referrals.kernel.errors import NotFoundError
from referrals.kernel.look import NOT_SHARED, Sight
from referrals.kernel.record import clock, day_of
from referrals.organization.models import Facility, Location, Organization
from referrals.partnership import queries as partnerships
from referrals.partnership.models import Agreement, PartnerRule, active_at
from referrals.person import queries as persons
from referrals.person.models import Person, folded_words
from referrals.program import queries as programs
from referrals.program.models import STALE_AFTER, IntakeMember, Program
from referrals.referral import queries as referrals
from referrals.referral.models import references_meant
from referrals.referral.queries import COUNTED_AT_MOST
from referrals.release import queries as releases

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

    @property
    def is_quiet(self) -> bool:
        """Whether nothing waits on this person."""
        return not (self.needs or self.errors or self.witness or self.rules or self.stale or self.locked)


def today(session: Session, actor: Actor) -> Day:
    """Return what waits on this person, oldest first."""
    day = Day()
    if p.works_with_participants(actor):
        found = referrals.waiting(session, actor, limit=SHOWN)
        day.needs, day.needs_count = found.us, found.us_count
        day.waiting, day.waiting_count = found.them, found.them_count
        day.drafts = found.drafts
        day.errors = referrals.errors_to_confirm(session, actor, limit=SHOWN)
        day.witness = consents.waiting_for_witness(session, actor)
        day.rules = partnerships.rules_to_keep(session, actor, clock(session))
    if p.plans_releases(actor):
        day.leaving, day.windows = _leaving(session, actor)
    if p.answers_for_programs(actor):
        at = clock(session)
        day.capacity = programs.capacity_due(session, actor)[:SHOWN]
        day.stale = frozenset(one.id for one in day.capacity if one.capacity_is_stale(at))
    if p.runs_an_organization(actor):
        day.locked = [one for one in session.scalars(accounts.people(actor.organization)) if one.locked_at is not None]
    return day


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


# --- the first run ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FirstStep:
    """One thing an organization needs before its first referral: whether it is there, and where it is done."""

    code: str
    is_done: bool
    url: str


def first_steps(session: Session, actor: Actor) -> list[FirstStep]:
    """Return what is this person's to set up, in the order in which it is best done. One statement.

    Raises:
        NotFoundError: nothing of it is theirs.
    """
    if not p.sets_something_up(actor) or actor.organization_id is None:
        raise NotFoundError
    asked = _first_steps(actor, actor.organization_id, clock(session))
    done = session.execute(select(*(is_done.label(code) for code, _, is_done in asked))).one()
    return [FirstStep(code, bool(one), url) for (code, url, _), one in zip(asked, done, strict=True)]


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
        party = or_(Agreement.agency_id == own, Agreement.community_id == own)
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
