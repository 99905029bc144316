"""The referral's state machine as data, and its rows: the referral, its steps, its loop, its thread.

The first half is pure: states, verbs, reason codes, `fold`, `settle`. R1 to R29 are the referral's numbered rules.
"""

from __future__ import annotations

import itertools
import secrets
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final, Protocol, cast
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import JSON, ForeignKey, Index, UniqueConstraint
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, query_expression
from sqlalchemy.orm.attributes import set_committed_value

from referrals.kernel.crypto import sealed, structure, text
from referrals.kernel.errors import RuleBrokenError
from referrals.kernel.orm import Identified, edits, personal, public, related
from referrals.kernel.record import day_of
from referrals.organization.models import is_working_day, working_day_after

# --- states (section 2) -----------------------------------------------------------------------------------------------


class State(StrEnum):
    """How the work stands."""

    DRAFT = "draft"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    INFO_REQUESTED = "info_requested"
    ACCEPTED = "accepted"
    WAITLISTED = "waitlisted"
    IN_PROGRESS = "in_progress"
    ON_HOLD = "on_hold"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    COMPLETED = "completed"
    NOT_COMPLETED = "not_completed"
    ENTERED_IN_ERROR = "entered_in_error"


class Party(StrEnum):
    """Who took a step, or whose move it is."""

    SOURCE = "source"
    RECIPIENT = "recipient"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a state means to others.

    `waiting_on` is None where the step itself says whom (a hold) or nobody has to move; `task` and `business` are FHIR
    R4's `Task.status` and the Gravity guide's `businessStatus` (R27; `in_progress` takes its phase from `handoff`);
    `unshared` is the state it settles to when sharing ends (R5), None where that changes nothing.
    """

    waiting_on: Party | None
    task: str | None
    business: str | None = None
    unshared: State | None = None


STATES: Final[Mapping[State, Standing]] = {
    State.DRAFT: Standing(Party.SOURCE, None),
    State.SENT: Standing(Party.RECIPIENT, "requested", "sent", State.CANCELLED),
    State.ACKNOWLEDGED: Standing(Party.RECIPIENT, "requested", "acknowledged", State.CANCELLED),
    State.INFO_REQUESTED: Standing(Party.SOURCE, "requested", "information-requested", State.CANCELLED),
    State.ACCEPTED: Standing(Party.RECIPIENT, "accepted", None, State.ON_HOLD),
    State.WAITLISTED: Standing(Party.RECIPIENT, "on-hold", "waitlisted", State.CANCELLED),
    State.IN_PROGRESS: Standing(Party.RECIPIENT, "in-progress", None, State.ON_HOLD),
    State.ON_HOLD: Standing(None, "on-hold", "paused", State.ON_HOLD),
    State.DECLINED: Standing(None, "rejected"),
    State.CANCELLED: Standing(None, "cancelled"),
    State.EXPIRED: Standing(None, "cancelled", "no-response"),
    State.COMPLETED: Standing(None, "completed"),
    State.NOT_COMPLETED: Standing(None, "failed"),
    State.ENTERED_IN_ERROR: Standing(None, "entered-in-error"),
}
OPEN: Final = frozenset(list(State)[:8])
TERMINAL: Final = frozenset(State) - OPEN
#: Open and out of the author's hands: the 7 that can be cancelled.
UNDER_WAY: Final = OPEN - {State.DRAFT}
#: Taken on by the recipient and not ended: somebody there is its caseworker.
TAKEN_ON: Final = frozenset({State.ACCEPTED, State.WAITLISTED, State.IN_PROGRESS, State.ON_HOLD})
#: Taken on once: whoever did may refer onward until nobody owes anything any more (R23).
EVER_TAKEN_ON: Final = TAKEN_ON | {State.COMPLETED, State.NOT_COMPLETED}
#: Waiting for an answer; the only ones a deadline ends.
UNANSWERED: Final = frozenset({State.SENT, State.ACKNOWLEDGED, State.INFO_REQUESTED})

# --- reason codes: closed lists; `other` needs text; none counts against the participant ------------------------------


class DeclineReason(StrEnum):
    """Why a program says no."""

    NO_CAPACITY = "no_capacity"
    NOT_ELIGIBLE = "not_eligible"
    OUT_OF_AREA = "out_of_area"
    WRONG_SERVICE = "wrong_service"
    CANNOT_ACCOMMODATE = "cannot_accommodate"
    CONFLICT_OR_SAFETY = "conflict_or_safety"
    INFORMATION_MISSING = "information_missing"
    OTHER = "other"


class HoldReason(StrEnum):
    """Why the work rests; the last two only by settlement."""

    FACILITY_LOCKDOWN = "facility_lockdown"
    TRANSFERRED = "transferred"
    RELEASE_DATE_CHANGED = "release_date_changed"
    RETURNED_TO_CUSTODY = "returned_to_custody"
    UNREACHABLE = "unreachable"
    PARTICIPANT_ASKED = "participant_asked"
    HEALTH = "health"
    CASEWORKER_CHANGING = "caseworker_changing"
    OTHER = "other"
    CONSENT_SUSPENDED = "consent_suspended"
    AGREEMENT_SUSPENDED = "agreement_suspended"


#: Settlement's own words for a hold; nobody chooses them.
SETTLED_HOLDS: Final = frozenset({HoldReason.CONSENT_SUSPENDED, HoldReason.AGREEMENT_SUSPENDED})
#: A hold is looked at again within so many days (R13).
LONGEST_HOLD: Final = timedelta(days=30)


#: An untouched draft is kept so long (R16), and its author is warned so long before the end.
DRAFT_KEPT: Final = timedelta(days=60)
DRAFT_WARNED: Final = timedelta(days=14)


class DiscardReason(StrEnum):
    """Why a draft was not sent."""

    DRAFT_DISCARDED = "draft_discarded"
    DRAFT_LAPSED = "draft_lapsed"


class CancelReason(StrEnum):
    """Why a sent referral is taken back: a problem, the person's wish, the sentence, sharing, other (in that order)."""

    DUPLICATE = "duplicate"
    MADE_BY_MISTAKE = "made_by_mistake"
    NOT_ELIGIBLE_AFTER_ALL = "not_eligible_after_all"
    PARTICIPANT_DECLINED = "participant_declined"
    NEEDS_MET_ELSEWHERE = "needs_met_elsewhere"
    MOVED_AWAY = "moved_away"
    WORK_OR_FAMILY = "work_or_family"
    RELEASE_CANCELLED = "release_cancelled"
    RETURNED_TO_CUSTODY = "returned_to_custody"
    TRANSFERRED_OUT_OF_AREA = "transferred_out_of_area"
    SUPERVISION_ENDED = "supervision_ended"
    SENTENCE_VACATED = "sentence_vacated"
    CONSENT_ENDED = "consent_ended"
    AGREEMENT_ENDED = "agreement_ended"
    DECEASED = "deceased"
    OTHER = "other"


#: Recorded as the participant's own wish, with how it was given (`is_subject`).
PERSONS_WISH: Final = frozenset(list(CancelReason)[3:7])
#: Settlement's own words; nobody chooses them.
SETTLED_REASONS: Final = frozenset({CancelReason.CONSENT_ENDED, CancelReason.AGREEMENT_ENDED})


class ExpireReason(StrEnum):
    """Whose silence let it lapse."""

    NO_ACKNOWLEDGEMENT = "no_acknowledgement"
    NO_ANSWER_FROM_RECIPIENT = "no_answer_from_recipient"
    NO_ANSWER_FROM_SOURCE = "no_answer_from_source"


class AmendmentReason(StrEnum):
    """Why a fact changed after sending (R18)."""

    MISTAKE = "mistake"
    NEW_INFORMATION = "new_information"
    PARTICIPANT_ASKED = "participant_asked"
    ANSWER = "answer"
    OTHER = "other"


class Outcome(StrEnum):
    """How completed work ended."""

    SERVICE_RECEIVED = "service_received"
    GOALS_MET = "goals_met"
    GOALS_PARTLY_MET = "goals_partly_met"
    ONE_TIME_HELP_GIVEN = "one_time_help_given"
    MOVED_TO_OTHER_PROGRAM = "moved_to_other_program"
    CONTINUING_ON_THEIR_OWN = "continuing_on_their_own"


class EndReason(StrEnum):
    """Why the work ended early."""

    COULD_NOT_CONTACT = "could_not_contact"
    STOPPED_COMING = "stopped_coming"
    PARTICIPANT_CHOSE_TO_STOP = "participant_chose_to_stop"
    LOST_ELIGIBILITY = "lost_eligibility"
    CAPACITY_LOST = "capacity_lost"
    MOVED_AWAY = "moved_away"
    RETURNED_TO_CUSTODY = "returned_to_custody"
    SAFETY = "safety"
    OTHER = "other"


class QuestionTopic(StrEnum):
    """What a program asks about."""

    ELIGIBILITY = "eligibility"
    RELEASE = "release"
    AVAILABILITY = "availability"
    NEEDS = "needs"
    ACCOMMODATION = "accommodation"
    CONSENT = "consent"
    CONTACT = "contact"
    OTHER = "other"


#: The category an answer belongs to, by the question's topic; needs where none is named.
ANSWER_CATEGORY: Final[Mapping[QuestionTopic, str]] = {
    QuestionTopic.RELEASE: "release",
    QuestionTopic.AVAILABILITY: "release",
    QuestionTopic.CONTACT: "contact",
}


class ErrorReason(StrEnum):
    """Why a referral should never have been."""

    WRONG_PERSON = "wrong_person"
    WRONG_PROGRAM = "wrong_program"
    ENTERED_TWICE = "entered_twice"


# --- verbs: the 46 edges (section 3) ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verb:
    """One command's edges: where it starts, where it leads, who may (predicates' names), which codes it takes."""

    command: str
    record: str
    origins: frozenset[State]
    to: State
    may: tuple[str, ...]
    reasons: type[StrEnum] | None = None


def _verb(  # noqa: PLR0917  # one row of the table below, in its columns' order
    command: str, record: str, origins: Iterable[State], to: State, may: str, reasons: type[StrEnum] | None = None
) -> Verb:
    return Verb(command, f"referral.{record}", frozenset(origins), to, tuple(may.split()), reasons)


_S = State
VERBS: Final[Mapping[str, Verb]] = {
    verb.command: verb
    for verb in (
        _verb("send_referral", "sent", [_S.DRAFT], _S.SENT, "sends_it"),
        _verb("discard_draft", "discarded", [_S.DRAFT], _S.CANCELLED, "drafted_it is_system", DiscardReason),
        _verb("acknowledge_referral", "acknowledged", [_S.SENT], _S.ACKNOWLEDGED, "answers_it"),
        _verb(
            "ask_question",
            "question_asked",
            [_S.SENT, _S.ACKNOWLEDGED],
            _S.INFO_REQUESTED,
            "answers_it",
            QuestionTopic,
        ),
        _verb("answer_question", "question_answered", [_S.INFO_REQUESTED], _S.ACKNOWLEDGED, "sends_it answers_it"),
        _verb("accept_referral", "accepted", [_S.SENT, _S.ACKNOWLEDGED], _S.ACCEPTED, "answers_it"),
        _verb("waitlist_referral", "waitlisted", [_S.ACCEPTED], _S.WAITLISTED, "answers_it"),
        _verb("start_referral", "started", [_S.ACCEPTED, _S.WAITLISTED], _S.IN_PROGRESS, "works_on_it"),
        _verb(
            "hold_referral",
            "held",
            [_S.ACCEPTED, _S.IN_PROGRESS],
            _S.ON_HOLD,
            "sends_it works_on_it is_system",
            HoldReason,
        ),
        _verb("resume_referral", "resumed", [_S.ON_HOLD], _S.IN_PROGRESS, "sends_it works_on_it"),
        _verb("decline_referral", "declined", UNANSWERED, _S.DECLINED, "answers_it", DeclineReason),
        _verb("cancel_referral", "cancelled", UNDER_WAY, _S.CANCELLED, "sends_it is_subject is_system", CancelReason),
        _verb("expire_referral", "expired", UNANSWERED, _S.EXPIRED, "is_system", ExpireReason),
        _verb(
            "complete_referral",
            "completed",
            [_S.ACCEPTED, _S.IN_PROGRESS, _S.ON_HOLD],
            _S.COMPLETED,
            "works_on_it",
            Outcome,
        ),
        _verb(
            "end_referral",
            "ended",
            [_S.ACCEPTED, _S.WAITLISTED, _S.IN_PROGRESS, _S.ON_HOLD],
            _S.NOT_COMPLETED,
            "works_on_it",
            EndReason,
        ),
        _verb(
            "confirm_error",
            "error_confirmed",
            frozenset(State) - {_S.DRAFT, _S.ENTERED_IN_ERROR},
            _S.ENTERED_IN_ERROR,
            "supervises_source",
            ErrorReason,
        ),
    )
}
#: (from, command, to), all of them.
EDGES: Final = frozenset((origin, verb.command, verb.to) for verb in VERBS.values() for origin in verb.origins)
_PAIRS: Final = frozenset((origin, to) for origin, _command, to in EDGES)

# --- fold and settle --------------------------------------------------------------------------------------------------


class Step(Protocol):
    """What `fold` needs of a step."""

    seq: Any
    from_state: Any
    to_state: Any


class BrokenChainError(RuntimeError):
    """The steps of a referral have a gap, or one that no edge allows: stored rows were tampered with."""


def fold(steps: Iterable[Step]) -> State:
    """Return the recorded status: where the last step leads; `draft` before the first.

    Raises:
        BrokenChainError: numbers are not 1, 2, 3 …, a step starts where the last one did not end, or no edge is there.
    """
    state = State.DRAFT
    for number, step in enumerate(steps, 1):
        if step.seq != number or step.from_state != state or (state, step.to_state) not in _PAIRS:
            raise BrokenChainError(f"step {step.seq} cannot follow {state}")
        state = State(step.to_state)
    return state


@dataclass(frozen=True, slots=True)
class Facts:
    """What happened elsewhere and bears on a referral, as committed now (R5).

    `consent` and `agreement` say whether one holds from source to recipient; `expires_at` is the deadline of whoever's
    move it is, None where no clock runs. `died_at` is when a death came on record, `death_told` which organization
    recorded it and under which category.
    """

    died_at: datetime | None = None
    consent: bool = True
    agreement: bool = True
    expires_at: datetime | None = None
    death_told: tuple[UUID, str] | None = None

    @property
    def sharing(self) -> bool:
        """Whether what the source shared may still be read by the recipient."""
        return self.consent and self.agreement


#: A death is written as a step only after so long: a wrong entry that is taken back leaves no trace in status (R6).
DEATH_WRITTEN_AFTER: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Settled:
    """The status everybody sees; where it differs from the recorded one, verb and code of the step still to write."""

    state: State
    verb: Verb | None = None
    reason: str | None = None


_LAPSE: Final[Mapping[State, ExpireReason]] = {
    State.SENT: ExpireReason.NO_ACKNOWLEDGEMENT,
    State.ACKNOWLEDGED: ExpireReason.NO_ANSWER_FROM_RECIPIENT,
    State.INFO_REQUESTED: ExpireReason.NO_ANSWER_FROM_SOURCE,
}


def settle(recorded: State, facts: Facts, now: datetime) -> Settled:
    """Return the status everybody sees (R5). Pure and total; precedence: died, sharing ended, deadline."""
    if recorded in TERMINAL:
        return Settled(recorded)
    if facts.died_at is not None and facts.died_at <= now:
        verb = "discard_draft" if recorded is State.DRAFT else "cancel_referral"
        return Settled(State.CANCELLED, VERBS[verb], CancelReason.DECEASED)
    unshared = STATES[recorded].unshared
    if not facts.sharing and unshared not in {None, recorded}:
        return _unshared(unshared, facts)
    if recorded in UNANSWERED and facts.expires_at is not None and facts.expires_at <= now:
        return Settled(State.EXPIRED, VERBS["expire_referral"], _LAPSE[recorded])
    return Settled(recorded)


def _unshared(becomes: State, facts: Facts) -> Settled:
    if becomes is State.ON_HOLD:
        hold = HoldReason.AGREEMENT_SUSPENDED if facts.consent else HoldReason.CONSENT_SUSPENDED
        return Settled(becomes, VERBS["hold_referral"], hold)
    cancel = CancelReason.AGREEMENT_ENDED if facts.consent else CancelReason.CONSENT_ENDED
    return Settled(becomes, VERBS["cancel_referral"], cancel)


# --- clocks (section 4) -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Allowed:
    """How many working days after sending there are to acknowledge, to answer, and until it expires."""

    acknowledge: int
    answer: int
    expires: int


#: By whole days from sending to release, at most so many; released up to 30 days ago counts as the first.
LADDER: Final = (
    (7, Allowed(1, 2, 3)),
    (30, Allowed(2, 4, 6)),
    (60, Allowed(2, 5, 8)),
    (90, Allowed(3, 7, 10)),
)
_UNHURRIED: Final = Allowed(3, 10, 15)
_LATELY: Final = -30
#: The source's own clock while a question is out: to answer, until it expires; and when release is within 7 days.
_TO_REPLY: Final = (2, 5)
_TO_REPLY_SOON: Final = (1, 2)
#: From the third question on, the recipient's clock is not stopped any more (R11).
FREE_QUESTIONS: Final = 2
_CLOSING: Final = time(17)


@dataclass(frozen=True, slots=True)
class ReleaseTold:
    """A release date as it was told at an instant; None: unknown."""

    at: datetime
    on: date | None


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Until when whoever's move it is has to acknowledge and to answer, and when it expires."""

    acknowledge_by: datetime | None
    answer_by: datetime
    expires_at: datetime
    #: The program's, in which its days end.
    zone: ZoneInfo | None = field(default=None, compare=False)
    #: The days on which the program is closed beside weekends and holidays.
    closed: AbstractSet[date] = field(default=frozenset(), compare=False, repr=False)

    @property
    def due_by(self) -> datetime:
        """Until when the next word is due."""
        return self.acknowledge_by or self.answer_by

    def is_overdue(self, now: datetime) -> bool:
        """Whether one of them has passed."""
        return self.due_by <= now


class Moved(Protocol):
    """What a clock needs of a step."""

    to_state: Any
    at: Any


def allowed(days: int | None, *, urgent: bool) -> Allowed:
    """Return the row of the table for so many days to release; None is unknown."""
    if urgent:
        return LADDER[0][1]
    if days is None or days < _LATELY:
        return _UNHURRIED
    return next((found for most, found in LADDER if days <= most), _UNHURRIED)


def deadlines(
    steps: Sequence[Moved],
    releases: Sequence[ReleaseTold],
    *,
    urgent: bool,
    zone: ZoneInfo,
    closed: AbstractSet[date] = frozenset(),
) -> Deadlines | None:
    """Return the deadlines that run now (R10, R11); None where nobody's answer is waited for.

    `releases` are what the recipient may know of the release, oldest first; `zone` and the days on which it is `closed`
    are the recipient's. Each deadline ends at 17:00 there, on a working day.
    """
    if not steps or steps[-1].to_state not in UNANSWERED:
        return None
    told = sorted(releases, key=lambda one: one.at)
    if steps[-1].to_state == State.INFO_REQUESTED:
        return _to_reply(day_of(steps[-1].at, zone), told, zone, closed)
    sent = next(step.at for step in steps if step.to_state == State.SENT)
    stopped = _stopped(steps, zone, closed)

    def until(what: str) -> datetime:
        last = _last_day(sent, told, what, urgent=urgent, zone=zone, closed=closed)
        return _closing(working_day_after(last, stopped, closed), zone)

    first = until("acknowledge") if steps[-1].to_state == State.SENT else None
    return Deadlines(first, until("answer"), until("expires"), zone, closed)


def _to_reply(asked_on: date, told: Sequence[ReleaseTold], zone: ZoneInfo, closed: AbstractSet[date]) -> Deadlines:
    days = _days(told[-1].on if told else None, asked_on)
    soon = days is not None and _LATELY <= days <= LADDER[0][0]
    answer, expires = (
        _closing(working_day_after(asked_on, n, closed), zone) for n in (_TO_REPLY_SOON if soon else _TO_REPLY)
    )
    return Deadlines(None, answer, expires, zone, closed)


def _last_day(
    sent: datetime,
    told: Sequence[ReleaseTold],
    what: str,
    *,
    urgent: bool,
    zone: ZoneInfo,
    closed: AbstractSet[date],
) -> date:
    """Return the day a deadline falls on, told by told: an earlier release shortens it, but leaves a working day."""
    sent_on = day_of(sent, zone)
    before = [one.on for one in told if one.at <= sent]

    def by(release: date | None) -> date:
        return working_day_after(sent_on, getattr(allowed(_days(release, sent_on), urgent=urgent), what), closed)

    last = by(before[-1] if before else None)
    for one in told[len(before) :]:
        wanted = by(one.on)
        one_day_left = working_day_after(day_of(one.at, zone), 1, closed)
        last = wanted if wanted >= last else min(last, max(wanted, one_day_left))
    return last


def _stopped(steps: Sequence[Moved], zone: ZoneInfo, closed: AbstractSet[date]) -> int:
    """Return how many working days ended while questions were out (R11)."""
    asked = [(one.at, then.at) for one, then in pairwise(steps) if one.to_state == State.INFO_REQUESTED]
    return sum(_ended_between(since, until, zone, closed) for since, until in asked[:FREE_QUESTIONS])


def _ended_between(since: datetime, until: datetime, zone: ZoneInfo, closed: AbstractSet[date]) -> int:
    first, last = day_of(since, zone), day_of(until, zone)
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return sum(is_working_day(day, closed) and since < _closing(day, zone) <= until for day in days)


def _closing(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, _CLOSING, zone).astimezone(UTC)


def _days(release: date | None, today: date) -> int | None:
    return None if release is None else (release - today).days


# --- flags (R13) ------------------------------------------------------------------------------------------------------

#: First contact follows within so many working days, whatever was promised; a loop is acknowledged within as many.
_FIRST_CONTACT, _LOOP = 5, 5
_NAMED_WITHIN = 1
_SILENCE = timedelta(days=21)
#: So often a program says that a place on its waiting list still stands.
_PLACE_STANDS = timedelta(days=14)


class Flag(StrEnum):
    """Something that both sides had better look at; it changes no status and counts against nobody."""

    FIRST_CONTACT_LATE = "first_contact_late"
    PLACE_UNCONFIRMED = "place_unconfirmed"
    HOLD_OVER = "hold_over"
    SILENCE = "silence"
    NO_CASEWORKER = "no_caseworker"
    LOOP_OPEN = "loop_open"
    RETURNED_TO_CUSTODY = "returned_to_custody"
    FACILITY_NOT_COVERED = "facility_not_covered"
    PROGRAM_CLOSED = "program_closed"
    CASEWORKER_GONE = "caseworker_gone"
    SENDER_GONE = "sender_gone"


@dataclass(frozen=True, slots=True)
class Followed:
    """What flags are read off: only what their reader is shown, so that none tells what is withheld."""

    state: State
    since: date
    last_word_on: date
    first_contact_on: date | None = None
    #: The day of release as its reader knows it: first contact comes before it.
    release_on: date | None = None
    #: When the program last said that the place in line stands; None: not since it was given.
    confirmed_on: date | None = None
    review_on: date | None = None
    has_caseworker: bool = False
    is_loop_open: bool = False
    #: What moved under it (R24), as far as its reader is shown it: back in custody, and neither side has weighed that;
    is_back_in_custody: bool = False
    #: held where the agreement does not reach;
    is_facility_left_out: bool = False
    is_program_closed: bool = False
    #: and everybody who looked after it at the program, or at the sender, has left.
    is_caseworker_gone: bool = False
    is_sender_gone: bool = False


def flags(seen: Followed, today: date, closed: AbstractSet[date] = frozenset()) -> list[Flag]:
    """Return what is worth a look today, in the order of `Flag`.

    Days are the reader's; working days are the law's, and what the program has to do waits while it is `closed`.
    """
    raised = []
    if seen.state is State.ACCEPTED and today > _first_contact_by(seen, closed):
        raised.append(Flag.FIRST_CONTACT_LATE)
    if seen.state is State.WAITLISTED and today - (seen.confirmed_on or seen.since) >= _PLACE_STANDS:
        raised.append(Flag.PLACE_UNCONFIRMED)
    if seen.state is State.ON_HOLD and seen.review_on is not None and today > seen.review_on:
        raised.append(Flag.HOLD_OVER)
    if seen.state in TAKEN_ON and today - seen.last_word_on >= _SILENCE:
        raised.append(Flag.SILENCE)
    is_unnamed = seen.state in TAKEN_ON and not seen.has_caseworker
    if is_unnamed and today > working_day_after(seen.since, _NAMED_WITHIN, closed):
        raised.append(Flag.NO_CASEWORKER)
    if seen.is_loop_open and today > working_day_after(seen.since, _LOOP):
        raised.append(Flag.LOOP_OPEN)
    return raised + _moved_ground(seen)


def _moved_ground(seen: Followed) -> list[Flag]:
    """Return what has moved under a referral since it was sent (R24): nothing ends by it, nobody is left unaware."""
    if seen.state not in UNDER_WAY:
        return []
    moved = {
        Flag.RETURNED_TO_CUSTODY: seen.is_back_in_custody,
        Flag.FACILITY_NOT_COVERED: seen.is_facility_left_out,
        Flag.PROGRAM_CLOSED: seen.is_program_closed,
        Flag.CASEWORKER_GONE: seen.state in TAKEN_ON and seen.has_caseworker and seen.is_caseworker_gone,
        Flag.SENDER_GONE: seen.is_sender_gone,
    }
    return [flag for flag, is_so in moved.items() if is_so]


def _first_contact_by(seen: Followed, closed: AbstractSet[date]) -> date:
    """Return the last day for the first contact: as promised, within so many working days, before a release to come."""
    latest = [working_day_after(seen.since, _FIRST_CONTACT, closed)]
    if seen.first_contact_on is not None:
        latest.append(seen.first_contact_on)
    if seen.release_on is not None and seen.release_on > seen.since:
        latest.append(seen.release_on - timedelta(days=1))
    return min(latest)


# --- rules that refuse ------------------------------------------------------------------------------------------------


class WrongStateError(RuleBrokenError):
    """The referral does not stand where this act starts (R7). Facts: `state`, who moved it last (`by`), when (`at`)."""

    code = "wrong_state"


class SharingEndedError(RuleBrokenError):
    """The consent or the agreement it rests on does not hold, so a hold cannot end (R8)."""

    code = "sharing_ended"


class LoopNotYoursError(RuleBrokenError):
    """The other side owes this acknowledgment, or nobody does (R22)."""

    code = "loop_not_yours"


class LoopClosedError(RuleBrokenError):
    """The loop is closed already."""

    code = "loop_closed"


class DraftKeptError(RuleBrokenError):
    """The draft was touched within the last 60 days, so it does not lapse (R16)."""

    code = "draft_kept"


class ErrorReportedError(RuleBrokenError):
    """The same person has reported this error before."""

    code = "referral_error_reported"


class ErrorNotReportedError(RuleBrokenError):
    """Nobody else has reported an error: it takes two people (R7)."""

    code = "referral_error_not_reported"


class MessageSharedError(RuleBrokenError):
    """Both sides can read the message already."""

    code = "message_shared"


class MessageStruckError(RuleBrokenError):
    """The message was struck before."""

    code = "message_struck"


# --- references (section 1) -------------------------------------------------------------------------------------------

#: Signs that are not mistaken for one another when read aloud or copied by hand.
REFERENCE_SIGNS: Final = "34679ACDEFGHJKMNPQRTVWXY"
_REFERENCE_LENGTH: Final = 8


def new_reference() -> str:
    """Return 7 random signs and a check sign (Luhn's rule, modulo 24): derived from nobody."""
    drawn = "".join(secrets.choice(REFERENCE_SIGNS) for _ in range(7))
    return drawn + REFERENCE_SIGNS[-_luhn(drawn, 2) % len(REFERENCE_SIGNS)]


def is_reference(typed: str) -> bool:
    """Whether this is a well-formed reference: its signs, its length, its check sign."""
    return (
        len(typed) == 8  # noqa: PLR2004  # 7 and the check sign
        and all(sign in REFERENCE_SIGNS for sign in typed)
        and _luhn(typed, 1) % len(REFERENCE_SIGNS) == 0
    )


#: Signs that no reference holds, and which of its signs they are taken for.
_MISREAD: Final = {
    "O": "QDC",
    "0": "QDC",
    "I": "JT7",
    "1": "JT7",
    "L": "JT7",
    "S": "36",
    "5": "36",
    "8": "36R",
    "B": "36R",
    "Z": "7",
    "2": "7",
    "U": "VY",
}
#: Nobody misreads more of eight signs than this.
_MISREAD_AT_MOST: Final = 3


def references_meant(typed: str) -> list[str]:
    """Return the references that somebody may have meant, whatever case, spaces, dashes and look-alikes they typed.

    Only well-formed ones: the check sign leaves few. None for what is no reference.
    """
    plain = "".join(filter(str.isalnum, unicodedata.normalize("NFKC", typed).upper()))
    if len(plain) != _REFERENCE_LENGTH or not set(plain) <= set(REFERENCE_SIGNS) | _MISREAD.keys():
        return []
    if sum(sign in _MISREAD for sign in plain) > _MISREAD_AT_MOST:
        return []
    meant = itertools.product(*(_MISREAD.get(sign, sign) for sign in plain))
    return [one for signs in meant if is_reference(one := "".join(signs))]


def _luhn(signs: str, factor: int) -> int:
    total = 0
    for sign in reversed(signs):
        addend = REFERENCE_SIGNS.index(sign) * factor
        total += addend // len(REFERENCE_SIGNS) + addend % len(REFERENCE_SIGNS)
        factor = 3 - factor
    return total


# --- rows -------------------------------------------------------------------------------------------------------------


class ReferralStep(Identified):
    """One step, never changed or removed (a database rule). The chain of steps is the status (R4)."""

    __tablename__ = "referral_step"
    __participant__ = "participant_id"
    __recorder__ = "organization_id"
    __row_category__ = "category"
    __shows__ = {"became": "row", "why": "row"}  # noqa: RUF012  # the house's contract
    __table_args__ = (UniqueConstraint("referral_id", "seq"),)

    referral_id: Mapped[UUID] = public(ForeignKey("referral.id"))
    seq: Mapped[int] = public()
    participant_id: Mapped[UUID] = personal(ForeignKey("person.id"), category="identity")
    organization_id: Mapped[UUID] = public()
    category: Mapped[str] = public()
    verb: Mapped[str] = public()
    from_state: Mapped[str] = public()
    to_state: Mapped[str] = public()
    at: Mapped[datetime] = public()
    by: Mapped[UUID | None] = public()
    side: Mapped[str] = public()
    #: Shown only as `why`, under the category of the step that gave it.
    reason: Mapped[str | None] = personal(category="attendance")
    because = sealed(text, nullable=True)
    details = sealed(structure, nullable=True)

    @property
    def became(self) -> str:
        """Where it led, for a reader who needs the step's own category to know."""
        return self.to_state

    @property
    def why(self) -> str | None:
        """The coded reason, under the step's own category."""
        return self.reason


class LoopAnswer(Identified):
    """What the side that owes it says to an outcome: agreed, try again, or disputed (R22). Never changed."""

    __tablename__ = "loop_answer"
    __participant__ = "participant_id"
    __recorder__ = "organization_id"

    referral_id: Mapped[UUID] = public(ForeignKey("referral.id"), index=True)
    participant_id: Mapped[UUID] = personal(ForeignKey("person.id"), category="identity")
    organization_id: Mapped[UUID] = public()
    answer: Mapped[str] = public()
    at: Mapped[datetime] = public()
    by: Mapped[UUID] = public()
    side: Mapped[str] = public()
    words = sealed(text, category="attendance", nullable=True)


class Message(Identified):
    """A message of the referral's one thread. Never edited (R19).

    Its author may strike it, and it stays, struck; or show the other side, once, what was for one's own.
    """

    __tablename__ = "message"
    __participant__ = "participant_id"
    __recorder__ = "organization_id"
    __row_category__ = "category"

    referral_id: Mapped[UUID] = public(ForeignKey("referral.id"), index=True)
    participant_id: Mapped[UUID] = personal(ForeignKey("person.id"), category="identity")
    organization_id: Mapped[UUID] = public()
    audience: Mapped[str] = public()
    category: Mapped[str] = public()
    words = sealed(text)
    at: Mapped[datetime] = public()
    by: Mapped[UUID] = public()
    #: When its author let the other side read it.
    widened_at: Mapped[datetime | None] = public()
    struck_at: Mapped[datetime | None] = public()
    struck_by: Mapped[UUID | None] = public()
    struck_because = sealed(text, nullable=True)

    def widen(self, *, at: datetime) -> None:
        """Let both sides read what was for one's own.

        Raises:
            MessageSharedError: they can already.
            MessageStruckError: it was struck: what is taken back is not spread.
        """
        if self.audience == "both":
            raise MessageSharedError
        if self.struck_at is not None:
            raise MessageStruckError
        self.audience, self.widened_at = "both", at

    def strike(self, *, at: datetime, by: UUID, because: str) -> None:
        """Strike it out, once."""
        if self.struck_at is not None:
            raise MessageStruckError
        self.struck_at, self.struck_by, self.struck_because = at, by, because


class ErrorReport(Identified):
    """Somebody's word that a referral should never have been; another person confirms it (R7). Never changed."""

    __tablename__ = "error_report"
    __participant__ = "participant_id"
    __recorder__ = "organization_id"
    __row_category__ = "category"
    __shows__ = {"why": "row"}  # noqa: RUF012  # the house's contract

    referral_id: Mapped[UUID] = public(ForeignKey("referral.id"), index=True)
    participant_id: Mapped[UUID] = personal(ForeignKey("person.id"), category="identity")
    organization_id: Mapped[UUID] = public()
    category: Mapped[str] = public()
    at: Mapped[datetime] = public()
    by: Mapped[UUID] = public()
    side: Mapped[str] = public()
    #: Shown only as `why`, under the category of the side that gave it.
    reason: Mapped[str] = personal(category="attendance")
    because = sealed(text, nullable=True)

    @property
    def why(self) -> str:
        """The coded reason, under the report's own category."""
        return self.reason


class PlaceConfirmation(Identified):
    """The program's word that a place on its waiting list still stands, or what it is now (R13). Never changed."""

    __tablename__ = "place_confirmation"
    __participant__ = "participant_id"
    __recorder__ = "organization_id"

    referral_id: Mapped[UUID] = public(ForeignKey("referral.id"), index=True)
    participant_id: Mapped[UUID] = personal(ForeignKey("person.id"), category="identity")
    organization_id: Mapped[UUID] = public()
    at: Mapped[datetime] = public()
    by: Mapped[UUID] = public()
    #: The place from now on, as the step that gave it says it (`expected_on`, `position`); None: it stands as it was.
    place = sealed(structure, category="attendance", nullable=True)


class Amendment(Identified):
    """A change of what was sent: old beside new, why, who and when (R18). Never changed.

    It goes under the category of the field it changes; None for what has no category.
    """

    __tablename__ = "amendment"
    __participant__ = "participant_id"
    __recorder__ = "organization_id"
    __row_category__ = "category"
    __shows__ = {"why": "row"}  # noqa: RUF012  # the house's contract

    referral_id: Mapped[UUID] = public(ForeignKey("referral.id"), index=True)
    participant_id: Mapped[UUID] = personal(ForeignKey("person.id"), category="identity")
    organization_id: Mapped[UUID] = public()
    category: Mapped[str | None] = public()
    topic: Mapped[str] = public()
    at: Mapped[datetime] = public()
    by: Mapped[UUID] = public()
    side: Mapped[str] = public()
    #: Shown only as `why`, under the amendment's own category.
    reason: Mapped[str] = personal(category="needs")
    because = sealed(text, nullable=True)
    #: {"value": …} each, None where nothing was written.
    old = sealed(structure, padded=True)
    new = sealed(structure, padded=True)

    @property
    def why(self) -> str:
        """The coded reason, under the amendment's own category."""
        return self.reason


class Move(StrEnum):
    """Which side the last step of a referral leaves the next move to."""

    SOURCE = "source"
    RECIPIENT = "recipient"
    #: The recipient's while sharing holds; without it the source's, whose consent or agreement it needs.
    SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Course:
    """What the steps of a referral come to: where the last one led, who took it and when, and what the loop asks."""

    recorded: State = State.DRAFT
    side: str | None = None
    at: datetime | None = None
    recipient_acted: bool = False
    was_sent: bool = False

    @property
    def next_move(self) -> Move:
        """Whose move it is, in what was sent and is not done; somebody's hold is theirs to end."""
        if STATES[self.recorded].waiting_on is Party.RECIPIENT:
            return Move.SHARED
        held_there = self.recorded is State.ON_HOLD and self.side == Party.RECIPIENT
        return Move.RECIPIENT if held_there or self.loop_owed_by is Party.RECIPIENT else Move.SOURCE

    @property
    def loop_owed_by(self) -> Party | None:
        """Who has to acknowledge how it ended (R22); None while it is open, and for drafts and errors."""
        if self.recorded in OPEN or self.recorded is State.ENTERED_IN_ERROR or not self.was_sent:
            return None
        if self.recorded is not State.CANCELLED or self.side != Party.SOURCE:
            return Party.SOURCE
        return Party.RECIPIENT if self.recipient_acted else None


def _of_side(side: str, what: str, *order: str) -> Index:
    there = sql(f"{what} IS NOT NULL")
    return Index(None, side, what, *order, sqlite_where=there, postgresql_where=there)


class Referral(Identified):
    """One request by a source organization that one recipient program take on one participant (R1)."""

    __tablename__ = "referral"
    __participant__ = "participant_id"
    __recorder__ = "source_id"
    __recorders__ = {"answer": "recipient_id"}  # noqa: RUF012  # the house's contract
    __shows__ = {  # noqa: RUF012  # the house's contract
        "goal_count": "needs",
        "answer": "attendance",
        "went_onward": "attendance",
        "kept_until": None,
    }
    __table_args__ = (
        # What is done, and what is not by whose move it is: each list of a side reads one of them in its own order.
        *(_of_side(side, "done_at", "id") for side in ("source_id", "recipient_id")),
        *(_of_side(side, "next_move", "sent_at", "id") for side in ("source_id", "recipient_id")),
        Index(None, "participant_id"),
        Index(
            None,
            "onward_from_id",
            sqlite_where=sql("onward_from_id IS NOT NULL"),
            postgresql_where=sql("onward_from_id IS NOT NULL"),
        ),
        Index(None, "touched_at", sqlite_where=sql("step_count = 0"), postgresql_where=sql("step_count = 0")),
    )

    reference: Mapped[str] = public(unique=True)
    participant_id: Mapped[UUID] = personal(ForeignKey("person.id"), category="identity")
    source_id: Mapped[UUID] = personal(ForeignKey("organization.id"), category="identity")
    recipient_id: Mapped[UUID] = personal(ForeignKey("organization.id"), category="identity")
    program_id: Mapped[UUID] = personal(ForeignKey("program.id"), category="identity", index=True)
    drafted_at: Mapped[datetime] = public()
    drafted_by: Mapped[UUID] = public(index=True)
    #: When its author last saved it, while it was a draft.
    touched_at: Mapped[datetime | None] = public()
    sent_at: Mapped[datetime | None] = public()
    #: When it was done: ended, and nobody owes the loop any more (R3). Lists of what is left to do go by it.
    done_at: Mapped[datetime | None] = public()
    #: Whose move its last step leaves, a `Move`; None for drafts and what is done. Lists of what is open go by it, and
    #: look for what happened elsewhere since.
    next_move: Mapped[str | None] = public()
    #: The participant's name as it stands on the form of the consent it was sent under: where the source does not keep
    #: the participant's record, and so has no name of its own to share (decision 0020).
    known_as = sealed(text, category="identity", nullable=True)
    asked_by: Mapped[str | None] = personal(category="identity")
    agreed_on: Mapped[date | None] = personal(category="identity")
    agreed_how: Mapped[str | None] = personal(category="identity")
    service: Mapped[str | None] = personal(category="needs")
    urgency: Mapped[str | None] = personal(category="needs")
    urgency_because = sealed(text, category="needs", nullable=True)
    reason_text = sealed(text, category="needs", nullable=True)
    goals = sealed(structure, category="needs", nullable=True)
    strengths = sealed(text, category="needs", nullable=True)
    accommodations: Mapped[list[str] | None] = personal(JSON, category="needs")
    language: Mapped[str | None] = personal(category="needs")
    unavailable = sealed(text, category="release", nullable=True)
    terms_that_matter = sealed(text, category="supervision", nullable=True)
    first_contact = sealed(text, category="contact", nullable=True)
    contact_name: Mapped[str | None] = personal()
    contact_phone: Mapped[str | None] = personal()
    contact_hours: Mapped[str | None] = personal()
    backup_name: Mapped[str | None] = personal()
    backup_phone: Mapped[str | None] = personal()
    backup_hours: Mapped[str | None] = personal()
    #: Ids of the consents it was sent under, both directions.
    consent_ids: Mapped[list[str] | None] = public(JSON)
    #: What the page said about capacity when it was sent: code, open places, waiting, expected days, as of.
    capacity_shown: Mapped[dict[str, Any] | None] = public(JSON)
    capacity_because = sealed(text, category="needs", nullable=True)
    replaces_id: Mapped[UUID | None] = public(ForeignKey("referral.id"))
    onward_from_id: Mapped[UUID | None] = public(ForeignKey("referral.id"))
    #: Participant and program while it is open, as `turn` has it: the database lets no second one in (R17).
    open_for: Mapped[str | None] = personal(category="identity", unique=True)
    step_count: Mapped[int] = public(default=0)
    version: Mapped[int] = public(default=1)
    edits: Mapped[dict[str, Any] | None] = edits()

    steps: Mapped[list[ReferralStep]] = related(
        ReferralStep, primaryjoin="Referral.id == foreign(ReferralStep.referral_id)", order_by=ReferralStep.seq
    )
    loop_answers: Mapped[list[LoopAnswer]] = related(
        LoopAnswer, primaryjoin="Referral.id == foreign(LoopAnswer.referral_id)", order_by=LoopAnswer.at
    )
    #: The codes of those answers. `visible_to` loads them; the answers themselves only what shows them.
    loop_codes: Mapped[frozenset[str] | None] = query_expression()
    #: Who has reported that it should never have been; `visible_to` loads them.
    error_reporters: Mapped[frozenset[UUID] | None] = query_expression()
    #: The referrals that the recipient made of it and sent, for the page of one referral.
    onward_ids: Mapped[frozenset[UUID] | None] = query_expression()
    #: Which of its fields were changed after sending; the page's own statement loads them.
    amended_topics: Mapped[frozenset[str] | None] = query_expression()
    #: Those of the source organization who are assigned to the participant now; `visible_to` loads them.
    team_ids: Mapped[frozenset[UUID]] = query_expression()
    #: The recipient's caseworkers named for this referral.
    helper_ids: Mapped[frozenset[UUID]] = query_expression()
    #: Those who answer for the program now.
    intake_ids: Mapped[frozenset[UUID]] = query_expression()

    @property
    def recorded(self) -> State:
        """The recorded status: the `to_state` of step number `step_count`."""
        return State(self.steps[-1].to_state) if self.steps else State.DRAFT

    @property
    def course(self) -> Course:
        """What its steps come to."""
        if not self.steps:
            return Course(was_sent=self.sent_at is not None)
        last = self.steps[-1]
        acted = any(step.side == Party.RECIPIENT for step in self.steps)
        return Course(self.recorded, last.side, last.at, acted, self.sent_at is not None)

    @property
    def kept_until(self) -> datetime:
        """When it lapses, as a draft that nobody touches again (R16)."""
        return (self.touched_at or self.drafted_at) + DRAFT_KEPT

    def require_lapsed(self, at: datetime) -> None:
        """Refuse to put away as lapsed what its author touched within the last 60 days.

        Raises:
            DraftKeptError: with the time until which it is kept.
        """
        if at < self.kept_until:
            raise DraftKeptError(until=self.kept_until)

    @property
    def goal_count(self) -> int:
        """How many goals it names."""
        return len(cast("Sequence[str]", self.goals or ()))

    @property
    def answer(self) -> str | None:
        """Where the recipient last led it: the recipient's own entry, which comes back only where that is shared."""
        theirs = [step.to_state for step in self.steps if step.side == Party.RECIPIENT]
        return theirs[-1] if theirs else None

    @property
    def went_onward(self) -> bool:
        """Whether one who had taken a referral on made this one of it, and sent it: what came of their work."""
        return self.onward_from_id is not None and self.sent_at is not None

    @property
    def turn(self) -> str:
        """What no other open referral may be for. A source that does not keep the participant's record has its own.

        Otherwise its being refused would say that somebody else asks the same program for the participant (C14).
        """
        of_whom = f"{self.participant_id}:{self.program_id}"
        return of_whom if self.known_as is None else f"{of_whom}:{self.source_id}"

    @property
    def was_ever(self) -> frozenset[State]:
        """Every state its steps led through."""
        return frozenset(State(step.to_state) for step in self.steps)

    @property
    def is_loop_closed(self) -> bool:
        """Whether the side that owed it has acknowledged the outcome."""
        return bool(self._said_of_loop - {"disputed"})

    @property
    def _said_of_loop(self) -> frozenset[str]:
        if self.loop_codes is None:  # not loaded is not the same as never spoken of
            raise RuntimeError("a rule asks about the loop of a referral that was selected without it")
        return self.loop_codes

    @property
    def loop_owed_by(self) -> Party | None:
        """Who has to acknowledge how it ended (R22); None while it is open, and for drafts and errors."""
        return self.course.loop_owed_by

    @property
    def is_done(self) -> bool:
        """Whether it has ended and nobody owes the loop any more (R3)."""
        return self.recorded in TERMINAL and (self.loop_owed_by is None or self.is_loop_closed)

    def was_reported_by(self, user_id: UUID | None) -> bool:
        """Whether this person has reported that it should never have been."""
        return user_id in self._reporters

    def was_reported_by_another(self, user_id: UUID | None) -> bool:
        """Whether somebody else has: an error takes two people (R7)."""
        return bool(self._reporters - {user_id})

    @property
    def _reporters(self) -> frozenset[UUID]:
        if self.error_reporters is None:  # not loaded is not the same as never reported
            raise RuntimeError("a rule asks who reported an error of a referral that was selected without them")
        return self.error_reporters

    def side_of(self, organization_id: UUID | None) -> Party:
        """Return which side an organization is on; neither is the system."""
        if organization_id == self.source_id:
            return Party.SOURCE
        return Party.RECIPIENT if organization_id == self.recipient_id else Party.SYSTEM

    def write_settlement(self, facts: Facts, *, at: datetime) -> ReferralStep | None:
        """Write the step that settlement says is due, if one is (R6).

        Why is told to who may read what the organization that recorded a death said of it (decision 0018).
        """
        due = settle(self.recorded, facts, at)
        if due.verb is None:
            return None
        owner, category = self.source_id, None
        if due.reason == CancelReason.DECEASED:
            if facts.died_at is None or at < facts.died_at + DEATH_WRITTEN_AFTER:
                return None
            owner, category = facts.death_told or (owner, category)
        return self._step(
            due.verb,
            at=at,
            by=None,
            side=Party.SYSTEM,
            organization_id=owner,
            reason=due.reason,
            category=category,
        )

    def write(self, **content: Any) -> list[str]:
        """Change what goes with it; return the changed fields for the record."""
        for name, value in content.items():
            setattr(self, name, value)
        self.version += 1
        return [*content, "version"]

    def amend(
        self, topic: str, value: Any, *, category: str | None, reason: str, at: datetime, by: UUID, because: str | None
    ) -> Amendment:
        """Change one field of what was sent, and keep what it was (R18)."""
        amendment = Amendment(
            referral_id=self.id,
            participant_id=self.participant_id,
            organization_id=self.source_id,
            category=category,
            topic=topic,
            at=at,
            by=by,
            side=str(Party.SOURCE),
            reason=reason,
            because=because,
            old=_kept(getattr(self, topic)),
            new=_kept(value),
        )
        self.write(**{topic: value})
        return amendment

    def wrong_state(self, seen: State, at: datetime) -> WrongStateError:
        """Return the refusal that names the status, who moved it there (None: settlement, just now) and when."""
        if seen is not self.recorded:
            return WrongStateError(state=str(seen), by=None, at=at)
        last = self.steps[-1] if self.steps else None
        return WrongStateError(
            state=str(seen),
            by=self.drafted_by if last is None else last.by,
            at=self.drafted_at if last is None else last.at,
        )

    def check(self, verb: Verb, facts: Facts, *, at: datetime) -> None:
        """Refuse a verb that does not start from the settled status.

        Raises:
            WrongStateError: with that status, and who moved it last and when.
            SharingEndedError: a hold would end while sharing does not hold.
        """
        seen = settle(self.recorded, facts, at).state
        if seen not in verb.origins:
            raise self.wrong_state(seen, at)
        if verb.command == "resume_referral" and not facts.sharing:
            raise SharingEndedError

    def take(
        self,
        verb: Verb,
        facts: Facts,
        *,
        at: datetime,
        by: UUID | None,
        organization_id: UUID,
        reason: str | None = None,
        because: str | None = None,
        details: dict[str, Any] | None = None,
        category: str | None = None,
    ) -> list[ReferralStep]:
        """Take one step, after the one that settlement owes; return the new rows.

        Raises:
            WrongStateError: the settled status is none the verb starts from.
            SharingEndedError: a hold would end while sharing does not hold.
        """
        self.check(verb, facts, at=at)
        first = self.write_settlement(facts, at=at)
        step = self._step(
            verb,
            at=at,
            by=by,
            side=Party.SYSTEM if by is None else self.side_of(organization_id),
            organization_id=organization_id,
            reason=reason,
            because=because,
            details=details,
            category=category,
        )
        return [step] if first is None else [first, step]

    def _step(
        self,
        verb: Verb,
        *,
        at: datetime,
        by: UUID | None,
        side: Party,
        organization_id: UUID,
        reason: str | None = None,
        because: str | None = None,
        details: dict[str, Any] | None = None,
        category: str | None = None,
    ) -> ReferralStep:
        self.step_count += 1
        step = ReferralStep(
            referral_id=self.id,
            seq=self.step_count,
            participant_id=self.participant_id,
            organization_id=organization_id,
            category=category or _category_of(side),
            verb=verb.command,
            from_state=str(self.recorded),
            to_state=str(verb.to),
            at=at,
            by=by,
            side=str(side),
            reason=reason,
            because=because,
            details=details,
        )
        set_committed_value(self, "steps", [*self.steps, step])
        if verb.to is State.SENT:
            self.sent_at = at
            self.open_for = self.turn
        elif verb.to in TERMINAL:
            self.open_for = None
            self.done_at = at if self.is_done else None
        self.next_move = str(self.course.next_move) if self.sent_at is not None and self.done_at is None else None
        return step

    def answer_loop(
        self, answer: str, *, at: datetime, by: UUID, organization_id: UUID, words: str | None
    ) -> LoopAnswer:
        """Acknowledge or dispute how it ended (R22).

        Raises:
            LoopNotYoursError: it has not ended, or the other side owes this.
            LoopClosedError: it was acknowledged before.
        """
        side = self.side_of(organization_id)
        if self.loop_owed_by is not side:
            raise LoopNotYoursError
        if self.is_loop_closed:
            raise LoopClosedError
        said = LoopAnswer(
            referral_id=self.id,
            participant_id=self.participant_id,
            organization_id=organization_id,
            answer=answer,
            at=at,
            by=by,
            side=str(side),
            words=words,
        )
        set_committed_value(self, "loop_codes", self._said_of_loop | {answer})
        if self.is_done:
            self.done_at, self.next_move = at, None
        return said

    def confirm_place(
        self, place: dict[str, Any] | None, *, at: datetime, by: UUID, organization_id: UUID
    ) -> PlaceConfirmation:
        """Say that its place on the waiting list still stands, or what it is from now on (R13)."""
        return PlaceConfirmation(
            referral_id=self.id,
            participant_id=self.participant_id,
            organization_id=organization_id,
            at=at,
            by=by,
            place=place,
        )

    def report_error(
        self, reason: str, *, at: datetime, by: UUID, organization_id: UUID, because: str | None
    ) -> ErrorReport:
        """Say that it should never have been. It stands as it did until another person confirms it (R7).

        Raises:
            ErrorReportedError: the same person has said so before.
        """
        if self.was_reported_by(by):
            raise ErrorReportedError
        side = self.side_of(organization_id)
        report = ErrorReport(
            referral_id=self.id,
            participant_id=self.participant_id,
            organization_id=organization_id,
            category=_category_of(side),
            at=at,
            by=by,
            side=str(side),
            reason=reason,
            because=because,
        )
        set_committed_value(self, "error_reporters", self._reporters | {by})
        return report


def _category_of(side: Party) -> str:
    """Return the category of what a side says: answers and outcomes come from the recipient, needs from the source."""
    return "attendance" if side is Party.RECIPIENT else "needs"


def _kept(value: Any) -> dict[str, Any]:
    """Return a field's value as an amendment keeps it: a day as its text."""
    return {"value": value.isoformat() if isinstance(value, date) else value}
