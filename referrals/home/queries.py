"""What waits on somebody today, and one box that finds people, referrals and programs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from referrals.account import queries as accounts
from referrals.account.models import User
from referrals.consent import queries as consents
from referrals.consent.models import Consent
from referrals.home import policy as p
from referrals.kernel.actor import Actor
from referrals.kernel.look import NOT_SHARED, Sight
from referrals.kernel.record import clock, day_of
from referrals.partnership import queries as partnerships
from referrals.partnership.models import PartnerRule
from referrals.person import queries as persons
from referrals.person.models import Person, folded_words
from referrals.program import queries as programs
from referrals.program.models import Program
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
