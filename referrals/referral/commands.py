"""What is done about a referral: each verb with its words, its grant and its record. The rules are `models.py`'s."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import literal, select
from sqlalchemy.orm import Session

from referrals.account import queries as accounts
from referrals.consent import queries as consents
from referrals.consent.commands import end_on_event
from referrals.kernel.actor import Actor, Side, system
from referrals.kernel.command import Work, command, execute
from referrals.kernel.errors import InvalidInputError, NotFoundError, RuleBrokenError
from referrals.kernel.job import job_kind
from referrals.kernel.orm import CATEGORIES
from referrals.kernel.record import clock, day_of
from referrals.kernel.schema import Nothing, Takes, code, codes, day, line, many, text, uid, whole, yes_no
from referrals.mail.commands import Told, ground, tell
from referrals.organization.models import Organization
from referrals.partnership import queries as partnerships
from referrals.partnership.models import NoAgreementError
from referrals.person import queries as persons
from referrals.person.commands import assign, end_assignments
from referrals.person.models import LANGUAGES, Assignment, ParticipantDiedError, Person
from referrals.person.policy import WORKING, works_with_participants
from referrals.program.models import SERVICES, Program
from referrals.referral import policy as p
from referrals.referral import queries as q
from referrals.referral.models import (
    ANSWER_CATEGORY,
    EVER_TAKEN_ON,
    LONGEST_HOLD,
    PERSONS_WISH,
    SETTLED_HOLDS,
    SETTLED_REASONS,
    TAKEN_ON,
    TERMINAL,
    UNDER_WAY,
    VERBS,
    Amendment,
    AmendmentReason,
    CancelReason,
    DeclineReason,
    DiscardReason,
    ErrorNotReportedError,
    ErrorReason,
    ErrorReport,
    Facts,
    HoldReason,
    LoopAnswer,
    Message,
    Party,
    PlaceConfirmation,
    QuestionTopic,
    Referral,
    ReferralStep,
    SharingEndedError,
    State,
    Verb,
    WrongStateError,
    new_reference,
    settle,
)

__all__ = [
    "LANGUAGES",
    "PERSONS_WISH",
    "AmendmentReason",
    "CancelReason",
    "DeclineReason",
    "ErrorReason",
    "HoldReason",
    "QuestionTopic",
    "SharingEndedError",
]

#: Whose wish a referral is.
ASKED_BY: Final = ("participant", "care_team", "family")
#: How the participant said yes, or gave a wish.
GIVEN_HOW: Final = ("in_person", "phone", "video", "in_writing")
URGENCY: Final = ("routine", "soon", "urgent")
#: What somebody needs to take part; `none` must be said.
ACCOMMODATIONS: Final = (
    *("none", "interpreter", "sign_language", "wheelchair", "step_free", "hearing", "sight", "reading_help"),
    *("service_animal", "quiet_place", "child_care", "other"),
)
#: How a first meeting was held.
STARTED_HOW: Final = ("in_person", "video", "phone", "group", "letter")
#: Why another caseworker is named; who covers comes beside the one who is away.
NAMED_BECAUSE: Final = ("caseload_change", "covering", "other")
#: Reasons that people choose; settlement's own are never chosen.
CANCEL_REASONS: Final = tuple(reason for reason in CancelReason if reason not in SETTLED_REASONS)
HOLD_REASONS: Final = tuple(reason for reason in HoldReason if reason not in SETTLED_HOLDS)


class ReferralAlreadyOpenError(RuleBrokenError):
    """This participant has an open referral to this program (R17). `url` leads there, for who may see it."""

    code = "referral_already_open"


class Part2ConsentNeededError(RuleBrokenError):
    """The recipient is, or may be, a treatment program under 42 CFR Part 2: a general consent is not enough."""

    code = "part2_consent_needed"


class ReferralDoneError(RuleBrokenError):
    """It has ended and its loop is closed: nothing more is written to it."""

    code = "referral_done"


class AnswersNotSharedError(RuleBrokenError):
    """The recipient's answers do not come back now, so there is no outcome to acknowledge: the loop waits (R25)."""

    code = "answers_not_shared"


class NothingDueError(RuleBrokenError):
    """Settlement owes no step."""

    code = "nothing_due"


# --- words ------------------------------------------------------------------------------------------------------------


class SaveDraft(Takes):
    """What goes with a referral. A draft may lack any of it."""

    asked_by = code(ASKED_BY, required=False)
    agreed_on = day(required=False)
    agreed_how = code(GIVEN_HOW, required=False)
    service = line(100, required=False)
    urgency = code(URGENCY, required=False)
    urgency_because = text(required=False)
    reason_text = text(required=False)
    goals = many(text(500), most=5)
    strengths = text(required=False)
    accommodations = codes(ACCOMMODATIONS, required=False)
    language = code(LANGUAGES, required=False)
    unavailable = text(required=False)
    terms_that_matter = text(required=False)
    first_contact = text(required=False)
    contact_name = line(120, required=False)
    contact_phone = line(40, required=False)
    contact_hours = line(120, required=False)
    backup_name = line(120, required=False)
    backup_phone = line(40, required=False)
    backup_hours = line(120, required=False)


class DraftReferral(Takes):
    """The program asked, and the service, if that is known already."""

    program_id = uid()
    service = code(SERVICES, required=False)


class RerouteReferral(Takes):
    """The program asked in place of the one that did not take it on; the same one may be asked again."""

    program_id = uid()


class ReferOnward(Takes):
    """The program of another organization that is asked."""

    program_id = uid()


class DiscardDraft(Takes):
    """Why a draft is not sent; only the service lets one lapse."""

    reason = code(DiscardReason, default=DiscardReason.DRAFT_DISCARDED)


class SendReferral(Takes):
    """Why it goes to a program that says it has no room; nothing otherwise."""

    capacity_because = text(required=False)


class AmendReferral(SaveDraft):
    """Which field changes, what it says from now on (under the field's own name), and why."""

    topic = code(q.CONTENT)
    reason = code(AmendmentReason)
    because = text(required=False)


class AskQuestion(Takes):
    """What the program needs to know before it answers."""

    topic = code(QuestionTopic)
    question = text()


class AnswerQuestion(Takes):
    """The answer; none when the program takes its question back."""

    answer = text(required=False)


class AcceptReferral(Takes):
    """Who will work with the participant, and when they first meet."""

    caseworker_id = uid()
    first_contact_on = day()
    remark = text(required=False)


class DeclineReferral(Takes):
    """Why not."""

    reason = code(DeclineReason)
    because = text(required=False)


class StartReferral(Takes):
    """When and how the work began."""

    started_on = day()
    how = code(STARTED_HOW)


class ResumeReferral(Takes):
    """What comes next, and when."""

    next_step = text(1000)
    next_step_on = day()


class WaitlistReferral(Takes):
    """When a place is expected, or which place in line; who will work with the participant, where that is not known."""

    caseworker_id = uid(required=False)
    expected_on = day(required=False)
    position = whole(1, 9999, required=False)
    #: Whether the waiting date of the referral it replaces, whose consent had ended, is kept (R25).
    keeps_waiting_date = yes_no()


class ConfirmPlace(Takes):
    """When a place is expected now, or which place in line it is now; neither, if it stands as it was said last."""

    expected_on = day(required=False)
    position = whole(1, 9999, required=False)


class NameCaseworker(Takes):
    """Who works with the participant from now on, why, and what one's own side should know."""

    caseworker_id = uid()
    reason = code(NAMED_BECAUSE)
    note = text(required=False)


class HoldReferral(Takes):
    """Why the work rests, and when it is looked at again."""

    reason = code(HOLD_REASONS)
    review_on = day()
    because = text(required=False)


class ReportError(Takes):
    """Why a referral should never have been."""

    reason = code(ErrorReason)
    because = text(required=False)


class CancelReferral(Takes):
    """Why it is taken back; for a participant's own wish, how they gave it."""

    reason = code(CANCEL_REASONS)
    because = text(required=False)
    wish_how = code(GIVEN_HOW, required=False)


class CloseLoop(Takes):
    """What the other side says to the outcome."""

    answer = code(["agreed", "try_again"])
    remark = text(required=False)


class DisputeOutcome(Takes):
    """Why the outcome on record is not how it was."""

    because = text()


class PostMessage(Takes):
    """A message, whom it is for, what kind of thing it says, and whether mail says that something waits."""

    audience = code(["both", "own_side"])
    category = code(CATEGORIES)
    message = text()
    mail = yes_no()


class StrikeMessage(Takes):
    """Why a message is struck out."""

    because = text(500)


# --- drafting ---------------------------------------------------------------------------------------------------------


@command(
    records="referral.drafted",
    on=Person,
    takes=DraftReferral,
    within=persons.visible_to,
    allow=[[works_with_participants]],
    makes=Referral,
    purpose="referral",
)
def draft_referral(work: Work, person: Person, *, program_id: UUID, service: str | None) -> Referral:
    """Begin a referral of a participant to a program. Nothing leaves until it is sent.

    Raises:
        ParticipantDiedError: it is on record that they have died, as far as the actor may know.
    """
    program = _program_for(work, person.id, program_id)
    if service is not None and service not in program.categories:
        service = None  # it was sought, and this program was chosen although it does not offer it
    return _draft(work, person.id, program, service=service)


@command(
    records="referral.rerouted",
    on=Referral,
    takes=RerouteReferral,
    within=q.visible_to,
    allow=[[p.sends_it]],
    purpose="referral",
)
def reroute_referral(work: Work, referral: Referral, *, program_id: UUID) -> Referral:
    """Try an ended referral again, elsewhere or at the same program, as a new draft that names the old one (R2, R12).

    It begins with what was written there, but for the participant's yes, which was to the old one. Consent for the new
    recipient is given afresh.

    Raises:
        WrongStateError: it has not ended.
        AnswersNotSharedError: whether it has ended does not come back to the actor's side.
        ParticipantDiedError: as for any draft.
    """
    facts = _facts(work, referral)
    if (due := referral.write_settlement(facts, at=work.now)) is not None:
        _put(work, referral, due)
        _let_go(work, referral)
    with _named(work):
        if referral.sent_at is None or referral.recorded not in TERMINAL:
            raise referral.wrong_state(referral.recorded, work.now)
    if q.is_outcome_hidden(work.session, referral, work.actor, work.now):
        raise AnswersNotSharedError
    program = _program_for(work, referral.participant_id, program_id)
    stems = {"replaces_id": referral.id, "onward_from_id": referral.onward_from_id}
    return _draft(work, referral.participant_id, program, **stems, **_taken_over(referral, program))


@command(
    records="referral.onward_drafted",
    on=Referral,
    takes=ReferOnward,
    within=q.visible_to,
    allow=[[p.works_on_it]],
    purpose="referral",
)
def refer_onward(work: Work, referral: Referral, *, program_id: UUID) -> Referral:
    """Bring in another organization for a participant whom one has taken on: a new draft of one's own (R23).

    Nothing is copied: what the first source wrote was for one's own organization alone, and so was the participant's
    yes. The draft is sent under consents and an agreement of its own, as every other.

    Raises:
        WrongStateError: it was not taken on.
        ReferralDoneError: it has ended and its loop is closed.
        SharingEndedError: what it rests on does not hold, so one does not even know any more about whom it is.
    """
    facts = _facts(work, referral)
    seen = settle(referral.recorded, facts, work.now).state
    if seen not in EVER_TAKEN_ON:
        with _named(work):
            raise referral.wrong_state(seen, work.now)
    if referral.is_done:
        raise ReferralDoneError
    if not facts.sharing:
        raise SharingEndedError
    program = _program_for(work, referral.participant_id, program_id)
    return _draft(work, referral.participant_id, program, onward_from_id=referral.id)


def _program_for(work: Work, participant_id: UUID, program_id: UUID) -> Program:
    """Return the program of another organization that a draft is begun for.

    Whoever may not know of a death begins a draft as ever: a refusal would tell them.

    Raises:
        InvalidInputError: there is none, or it is one's own organization's.
        ParticipantDiedError: the participant has died, as far as the actor may know.
    """
    died = persons.died_at(literal(participant_id, Referral.participant_id.type))
    found = work.session.execute(select(Program, died).where(Program.id == program_id), {"at": work.now}).one_or_none()
    program, died_at = (None, None) if found is None else found
    if program is None or program.organization_id == work.actor.organization:
        raise InvalidInputError({"program_id": ["not_a_choice"]})
    if died_at is not None:
        death = persons.deaths_of(work.session, [participant_id], work.now)[participant_id]
        if q.may_know_of_death(work.session, work.actor, death, work.now):
            raise ParticipantDiedError
    return program


def _draft(work: Work, participant_id: UUID, program: Program, **begins_with: Any) -> Referral:
    draft = Referral(
        reference=_free_reference(work.session),
        participant_id=participant_id,
        source_id=work.actor.organization,
        recipient_id=program.organization_id,
        program_id=program.id,
        drafted_at=work.now,
        drafted_by=work.actor.me,
        touched_at=work.now,
        step_count=0,
        version=1,
        **begins_with,
    )
    work.add(draft)
    return draft


@command(
    records="referral.draft_saved",
    on=Referral,
    takes=SaveDraft,
    within=q.visible_to,
    allow=[[p.drafted_it]],
    purpose="referral",
    edits=True,
)
def save_draft(work: Work, referral: Referral, /, **content: Any) -> Referral:
    """Keep what is written so far; what is left out is emptied."""
    content = _as_kept(content)
    if referral.recorded is not State.DRAFT:
        with _named(work):
            raise referral.wrong_state(referral.recorded, work.now)
    if faults := _content_faults(work, referral, content):
        raise InvalidInputError(faults)
    work.record(referral, referral.write(**content, touched_at=work.now))
    return referral


@command(
    records=VERBS["discard_draft"].record,
    on=Referral,
    takes=DiscardDraft,
    within=q.visible_to,
    allow=[[p.drafted_it], [p.is_system]],
    purpose="referral",
)
def discard_draft(work: Work, referral: Referral, *, reason: str) -> Referral:
    """Put a draft away for good. It stays on record, unread by others.

    Raises:
        DraftKeptError: it would lapse although its author touched it within the last 60 days.
    """
    lapses = reason == DiscardReason.DRAFT_LAPSED
    if lapses is not p.is_system(work.actor, referral):
        raise InvalidInputError({"reason": ["not_a_choice"]})
    if lapses:
        referral.require_lapsed(work.now)
    return _step(work, referral, VERBS["discard_draft"], reason=reason)


# --- sending ----------------------------------------------------------------------------------------------------------


@command(
    records=VERBS["send_referral"].record,
    on=Referral,
    takes=SendReferral,
    within=q.visible_to,
    allow=[[p.sends_it]],
    purpose="referral",
)
def send_referral(work: Work, referral: Referral, *, capacity_because: str | None) -> Referral:
    """Send a draft, if everything it rests on holds at this instant, under lock (R14).

    Raises:
        NoAgreementError, ProgramClosedError, Part2ConsentNeededError, ReferralAlreadyOpenError: nothing to write helps.
        InvalidInputError: every field that is missing or that no consent covers, all at once.
    """
    session = work.session
    if referral.recorded is not State.DRAFT:
        with _named(work):
            raise referral.wrong_state(referral.recorded, work.now)
    # One participant's sendings queue up here: of two to one program, the second sees the first.
    queue = select(Person.organization_id, Person.facility_id, persons.died_at(Person.id)).where(
        Person.id == referral.participant_id
    )
    kept_by, held_at, died_at = session.execute(queue.with_for_update(of=Person), {"at": work.now}).one()
    if died_at is not None:
        _refuse_for_the_dead(work, referral)
    recipient = session.get_one(Organization, referral.recipient_id, populate_existing=True)
    program = session.get_one(Program, referral.program_id, populate_existing=True)
    agreement = partnerships.agreement_between(session, referral.source_id, referral.recipient_id, work.now)
    if agreement is None or q.PURPOSE not in agreement.purposes:
        raise NoAgreementError
    if not (agreement.covers_program(program.id) and agreement.covers_facility(held_at)):
        raise NoAgreementError
    if not partnerships.is_held_active(session, agreement.id, work.now):
        raise NoAgreementError  # somebody ended it while this waited
    program.require_open()
    if recipient.part2_program != "no":
        raise Part2ConsentNeededError
    covered = q.coverage(session, referral, work.now, lock=True)
    referral.known_as = _name_to_share(referral, kept_by, covered)
    _refuse_a_second(work, referral)
    faults = q.faults_of(referral, program, covered, agreement)
    if program.capacity_code == "no_capacity" and not capacity_because:
        faults["capacity_because"] = ["required"]
    if faults:
        raise InvalidInputError(faults)
    rests_on = covered.there["needs"]
    carried = {covered.there[found].id for name in q.filled(referral) if (found := q.CATEGORY.get(name)) is not None}
    referral.capacity_because = capacity_because
    referral.capacity_shown = {
        "code": program.capacity_code,
        "open_places": program.open_places,
        "waiting": program.waiting,
        "expected_days": program.expected_days,
        "as_of": None if program.capacity_at is None else program.capacity_at.isoformat(),
        "stale": program.capacity_is_stale(work.now),
    }
    referral.consent_ids = sorted(str(one) for one in carried | {covered.back[q.RETURNED].id})
    work.record(referral, ["capacity_because", "capacity_shown", "consent_ids"])
    work.rests_on("consent", rests_on.id, rests_on.revision)
    assign(
        work,
        referral.participant_id,
        organization_id=referral.recipient_id,
        program_id=referral.program_id,
        tie="intake",
        reason="referral_sent",
        referral_id=referral.id,
    )
    _stay_with(work, referral)
    # What was just read under lock: everything a sending needs, so also what the referral will rest on.
    facts = Facts(
        died_at, consent=covered.there.keys() >= set(q.RESTS_ON), agreement=set(agreement.categories) >= set(q.RESTS_ON)
    )
    return _step(work, referral, VERBS["send_referral"], facts=facts)


def _name_to_share(referral: Referral, kept_by: UUID, covered: q.Coverage) -> str | None:
    """Return what a source calls the participant whose record another keeps: the name on the form they signed with it.

    The name on the record is its keeper's to share. None where the source keeps it, and no copy is needed.
    """
    if kept_by == referral.source_id:
        return None
    identity = covered.there.get("identity")
    return "" if identity is None else identity.name_as_on_form


def _stay_with(work: Work, referral: Referral) -> None:
    """Let who sends it see it to its end, where the source does not keep the participant's record.

    It knows the participant through another referral then, whose end must not leave this one with nobody who may answer
    for it.
    """
    if referral.known_as is None:
        return
    work.record(referral, ["known_as"])
    assign(
        work,
        referral.participant_id,
        organization_id=referral.source_id,
        user_id=work.actor.me,
        tie="navigator" if work.actor.me in referral.team_ids else "supervisor",
        reason="referral_sent",
        referral_id=referral.id,
    )


# --- answering --------------------------------------------------------------------------------------------------------


@command(
    records=VERBS["acknowledge_referral"].record,
    on=Referral,
    takes=Nothing,
    within=q.visible_to,
    allow=[[p.answers_it]],
    purpose="referral",
)
def acknowledge_referral(work: Work, referral: Referral) -> Referral:
    """Say that it arrived."""
    return _step(work, referral, VERBS["acknowledge_referral"])


@command(
    records=VERBS["ask_question"].record,
    on=Referral,
    takes=AskQuestion,
    within=q.visible_to,
    allow=[[p.answers_it]],
    purpose="referral",
)
def ask_question(work: Work, referral: Referral, *, topic: str, question: str) -> Referral:
    """Ask the source before answering."""
    return _step(work, referral, VERBS["ask_question"], reason=topic, because=question)


@command(
    records=VERBS["answer_question"].record,
    on=Referral,
    takes=AnswerQuestion,
    within=q.visible_to,
    allow=[[p.sends_it], [p.answers_it]],
    purpose="referral",
)
def answer_question(work: Work, referral: Referral, *, answer: str | None) -> Referral:
    """Answer the question that was asked; whoever asked may take it back instead."""
    verb = VERBS["answer_question"]
    if referral.side_of(work.actor.organization) is Party.RECIPIENT:
        return _step(work, referral, verb, because=answer, details={"withdrawn": True})
    facts = _check_state(work, referral, verb)
    topic = QuestionTopic(referral.steps[-1].reason or QuestionTopic.OTHER)
    category = ANSWER_CATEGORY.get(topic, "needs")
    if answer is None:
        raise InvalidInputError({"answer": ["required"]})
    if category not in q.coverage(work.session, referral, work.now, lock=True).there:
        raise InvalidInputError({"answer": ["not_covered"]})
    return _step(work, referral, verb, because=answer, category=category, facts=facts)


@command(
    records=VERBS["accept_referral"].record,
    on=Referral,
    takes=AcceptReferral,
    within=q.visible_to,
    allow=[[p.answers_it]],
    purpose="referral",
)
def accept_referral(
    work: Work, referral: Referral, *, caseworker_id: UUID, first_contact_on: date, remark: str | None
) -> Referral:
    """Say yes: who will work with the participant, and the day of the first contact."""
    facts = _check_state(work, referral, VERBS["accept_referral"])
    recipient = work.session.get_one(Organization, referral.recipient_id)
    faults = _caseworker_faults(work, recipient, caseworker_id)
    if first_contact_on < day_of(work.now, recipient.time_zone):
        faults["first_contact_on"] = ["in_past"]
    if faults:
        raise InvalidInputError(faults)
    _name_caseworker(work, referral, recipient, caseworker_id)
    details = {"caseworker_id": str(caseworker_id), "first_contact_on": first_contact_on.isoformat()}
    return _step(work, referral, VERBS["accept_referral"], because=remark, details=details, facts=facts)


@command(
    records=VERBS["waitlist_referral"].record,
    on=Referral,
    takes=WaitlistReferral,
    within=q.visible_to,
    allow=[[p.answers_it]],
    purpose="referral",
)
def waitlist_referral(
    work: Work,
    referral: Referral,
    *,
    caseworker_id: UUID | None,
    expected_on: date | None,
    position: int | None,
    keeps_waiting_date: bool,
) -> Referral:
    """Put it on the waiting list. What was not accepted yet is accepted by the same word, at the same instant (R8)."""
    facts = _facts(work, referral)
    accepts = settle(referral.recorded, facts, work.now).state in VERBS["accept_referral"].origins
    if not accepts:
        with _named(work):
            referral.check(VERBS["waitlist_referral"], facts, at=work.now)
    recipient = work.session.get_one(Organization, referral.recipient_id)
    faults: dict[str, list[str]] = {}
    if accepts:
        faults = _caseworker_faults(work, recipient, caseworker_id)
    elif caseworker_id is not None:
        faults["caseworker_id"] = ["already_named"]
    if expected_on is None and position is None:
        faults["expected_on"] = ["day_or_position"]
    elif expected_on is not None and expected_on < day_of(work.now, recipient.time_zone):
        faults["expected_on"] = ["in_past"]
    queued_on = q.waiting_date_kept(work.session, referral) if keeps_waiting_date else None
    if keeps_waiting_date and queued_on is None:
        faults["keeps_waiting_date"] = ["no_waiting_date"]
    if faults:
        raise InvalidInputError(faults)
    if accepts and caseworker_id is not None:
        _name_caseworker(work, referral, recipient, caseworker_id)
        _step(work, referral, VERBS["accept_referral"], details={"caseworker_id": str(caseworker_id)}, facts=facts)
    details = _place(expected_on, position)
    if queued_on is not None:
        details["queued_on"] = queued_on.isoformat()
    return _step(work, referral, VERBS["waitlist_referral"], details=details, facts=facts)


def _place(expected_on: date | None, position: int | None) -> dict[str, Any]:
    """Return a place on a waiting list as rows keep it."""
    day_named = {} if expected_on is None else {"expected_on": expected_on.isoformat()}
    return day_named if position is None else day_named | {"position": position}


@command(
    records="referral.place_confirmed",
    on=Referral,
    takes=ConfirmPlace,
    within=q.visible_to,
    allow=[[p.answers_it], [p.works_on_it]],
    makes=PlaceConfirmation,
    purpose="referral",
)
def confirm_place(
    work: Work, referral: Referral, *, expected_on: date | None, position: int | None
) -> PlaceConfirmation:
    """Say that a place on the waiting list still stands; a new day or place in line replaces what was said (R13).

    Raises:
        WrongStateError: it does not stand on the waiting list.
        InvalidInputError: the day is over, whether it is named now or was before.
    """
    seen = settle(referral.recorded, _facts(work, referral), work.now).state
    if seen is not State.WAITLISTED:
        with _named(work):
            raise referral.wrong_state(seen, work.now)
    today = day_of(work.now, work.session.get_one(Organization, referral.recipient_id).time_zone)
    said = _place(expected_on, position)
    stands = said or q.place_said(work.session, referral)
    if stands.get("expected_on", today.isoformat()) < today.isoformat():
        raise InvalidInputError({"expected_on": ["in_past" if said else "place_over"]})
    confirmed = referral.confirm_place(
        said or None, at=work.now, by=work.actor.me, organization_id=work.actor.organization
    )
    work.add(confirmed)
    work.to = _other_side(work, referral)
    return confirmed


def _caseworker_faults(work: Work, recipient: Organization, caseworker_id: UUID | None) -> dict[str, list[str]]:
    if caseworker_id is None:
        return {"caseworker_id": ["required"]}
    known = accounts.is_colleague(work.session, recipient.id, caseworker_id, WORKING)
    return {} if known else {"caseworker_id": ["not_a_colleague"]}


def _name_caseworker(
    work: Work, referral: Referral, recipient: Organization, caseworker_id: UUID, reason: str = "referral_accepted"
) -> Assignment:
    return assign(
        work,
        referral.participant_id,
        organization_id=recipient.id,
        user_id=caseworker_id,
        tie="navigator" if recipient.side == Side.COMMUNITY else "case_manager",
        reason=reason,
        referral_id=referral.id,
    )


@command(
    records=VERBS["decline_referral"].record,
    on=Referral,
    takes=DeclineReferral,
    within=q.visible_to,
    allow=[[p.answers_it]],
    purpose="referral",
)
def decline_referral(work: Work, referral: Referral, *, reason: str, because: str | None) -> Referral:
    """Say no, and why: it never counts against the participant."""
    _need_words(reason, because)
    return _step(work, referral, VERBS["decline_referral"], reason=reason, because=because)


# --- working, taking back ---------------------------------------------------------------------------------------------


@command(
    records=VERBS["start_referral"].record,
    on=Referral,
    takes=StartReferral,
    within=q.visible_to,
    allow=[[p.works_on_it]],
    purpose="referral",
)
def start_referral(work: Work, referral: Referral, *, started_on: date, how: str) -> Referral:
    """Record that the work began."""
    facts = _check_state(work, referral, VERBS["start_referral"])
    zone = work.session.get_one(Organization, referral.recipient_id).time_zone
    if started_on > day_of(work.now, zone):
        raise InvalidInputError({"started_on": ["in_future"]})
    details = {"started_on": started_on.isoformat(), "how": how}
    return _step(work, referral, VERBS["start_referral"], details=details, facts=facts)


@command(
    records="referral.caseworker_named",
    on=Referral,
    takes=NameCaseworker,
    within=q.visible_to,
    allow=[[p.answers_it], [p.works_on_it]],
    makes=Assignment,
    purpose="referral",
)
def name_caseworker(
    work: Work, referral: Referral, *, caseworker_id: UUID, reason: str, note: str | None
) -> Assignment:
    """Hand the work to a colleague, or let one cover for whoever is away (R9). The note stays on one's own side."""
    seen = settle(referral.recorded, _facts(work, referral), work.now).state
    if seen not in TAKEN_ON:
        with _named(work):
            raise referral.wrong_state(seen, work.now)
    recipient = work.session.get_one(Organization, referral.recipient_id)
    faults = _caseworker_faults(work, recipient, caseworker_id)
    if caseworker_id in referral.helper_ids:
        faults["caseworker_id"] = ["is_caseworker"]
    if reason == "other" and not note:
        faults["note"] = ["required"]
    if faults:
        raise InvalidInputError(faults)
    if reason != "covering" and referral.helper_ids:
        end_assignments(work, referral.participant_id, referral.id, because="handed_over", only=referral.helper_ids)
    named = _name_caseworker(work, referral, recipient, caseworker_id, reason)
    if note is not None:
        _put_message(work, referral, audience="own_side", category="attendance", words=note)
    work.to = _other_side(work, referral)
    return named


@command(
    records=VERBS["hold_referral"].record,
    on=Referral,
    takes=HoldReferral,
    within=q.visible_to,
    allow=[[p.sends_it], [p.works_on_it]],
    purpose="referral",
)
def hold_referral(work: Work, referral: Referral, *, reason: str, review_on: date, because: str | None) -> Referral:
    """Let the work rest until a day on which the side that says so looks at it again."""
    facts = _check_state(work, referral, VERBS["hold_referral"])
    if q.is_outcome_hidden(work.session, referral, work.actor, work.now):
        raise AnswersNotSharedError  # to rest is to have been accepted
    today = day_of(work.now, work.session.get_one(Organization, work.actor.organization).time_zone)
    faults: dict[str, list[str]] = {}
    if review_on < today:
        faults["review_on"] = ["in_past"]
    elif review_on > today + LONGEST_HOLD:
        faults["review_on"] = ["over_30_days"]
    if reason == HoldReason.OTHER and not because:
        faults["because"] = ["required"]
    if faults:
        raise InvalidInputError(faults)
    details = {"review_on": review_on.isoformat()}
    return _step(work, referral, VERBS["hold_referral"], reason=reason, because=because, details=details, facts=facts)


@command(
    records=VERBS["resume_referral"].record,
    on=Referral,
    takes=ResumeReferral,
    within=q.visible_to,
    allow=[[p.sends_it], [p.works_on_it]],
    purpose="referral",
)
def resume_referral(work: Work, referral: Referral, *, next_step: str, next_step_on: date) -> Referral:
    """Take the work up again, if sharing holds."""
    details = {"next_step_on": next_step_on.isoformat()}
    return _step(work, referral, VERBS["resume_referral"], because=next_step, details=details)


@command(
    records=VERBS["cancel_referral"].record,
    on=Referral,
    takes=CancelReferral,
    within=q.visible_to,
    allow=[[p.sends_it], [p.is_subject]],
    purpose="referral",
)
def cancel_referral(
    work: Work, referral: Referral, *, reason: str, because: str | None, wish_how: str | None
) -> Referral:
    """Take it back: the source for any reason, staff of either side for the participant's own wish."""
    wish = reason in PERSONS_WISH
    faults: dict[str, list[str]] = {}
    if not wish and not p.sends_it(work.actor, referral):
        faults["reason"] = ["not_yours"]
    if wish and wish_how is None:
        faults["wish_how"] = ["required"]
    if reason == CancelReason.OTHER and not because:
        faults["because"] = ["required"]
    if faults:
        raise InvalidInputError(faults)
    details = {"wish_how": wish_how} if wish else None
    return _step(work, referral, VERBS["cancel_referral"], reason=reason, because=because, details=details)


# --- entered in error: it takes two people (R7) -----------------------------------------------------------------------


@command(
    records="referral.error_reported",
    on=Referral,
    takes=ReportError,
    within=q.visible_to,
    allow=[[p.takes_part]],
    makes=ErrorReport,
    purpose="referral",
)
def report_error(work: Work, referral: Referral, *, reason: str, because: str | None) -> ErrorReport:
    """Say that it should never have been. A supervisor of the source confirms it, or it goes on as it was."""
    if referral.sent_at is None:  # a draft put away was never anybody else's
        with _named(work):
            raise referral.wrong_state(referral.recorded, work.now)
    _check_state(work, referral, VERBS["confirm_error"])
    report = referral.report_error(
        reason, at=work.now, by=work.actor.me, organization_id=work.actor.organization, because=because
    )
    work.add(report)
    work.to = _other_side(work, referral)
    return report


@command(
    records=VERBS["confirm_error"].record,
    on=Referral,
    takes=Nothing,
    within=q.visible_to,
    allow=[[p.supervises_source]],
    purpose="referral",
)
def confirm_error(work: Work, referral: Referral) -> Referral:
    """Confirm what somebody else reported: the referral should never have been. Nothing undoes it.

    Raises:
        ErrorNotReportedError: nobody has reported it, or only who confirms.
    """
    facts = _check_state(work, referral, VERBS["confirm_error"])
    if not referral.was_reported_by_another(work.actor.me):
        raise ErrorNotReportedError
    # The step goes under the sender's own category, so it repeats no reason that the program gave: that one stays with
    # its report, which crosses only where answers do.
    of_own_side = select(ErrorReport.reason).where(
        ErrorReport.referral_id == referral.id,
        ErrorReport.by != work.actor.me,
        ErrorReport.side == str(Party.SOURCE),
    )
    reason = work.session.scalars(of_own_side.order_by(ErrorReport.at.desc()).limit(1)).first()
    return _step(work, referral, VERBS["confirm_error"], reason=reason, facts=facts)


# --- what changes after sending (R18) ---------------------------------------------------------------------------------


@command(
    records="referral.amended",
    on=Referral,
    takes=AmendReferral,
    within=q.visible_to,
    allow=[[p.sends_it]],
    makes=Amendment,
    purpose="referral",
    edits=True,
)
def amend_referral(
    work: Work, referral: Referral, /, *, topic: str, reason: str, because: str | None, **content: Any
) -> Amendment:
    """Change one field of what was sent; both sides see old beside new. As an answer it answers the open question.

    Raises:
        InvalidInputError: the value is missing, the same as before, not offered, or covered by no consent now.
    """
    facts = _facts(work, referral)
    seen = settle(referral.recorded, facts, work.now).state
    if seen not in UNDER_WAY:
        with _named(work):
            raise referral.wrong_state(seen, work.now)
    value = _as_kept(content)[topic]
    answers = reason == AmendmentReason.ANSWER
    faults = {name: ["not_the_topic"] for name, given in content.items() if name != topic and given}
    if value == getattr(referral, topic):
        faults[topic] = ["unchanged"]
    if answers and seen is not State.INFO_REQUESTED:
        faults["reason"] = ["no_question"]
    if reason == AmendmentReason.OTHER and not because:
        faults["because"] = ["required"]
    if faults:
        raise InvalidInputError(faults)
    covered = q.coverage(work.session, referral, work.now, lock=True)
    category = q.CATEGORY.get(topic)
    amendment = referral.amend(
        topic, value, category=category, reason=reason, at=work.now, by=work.actor.me, because=because
    )
    if faults := _amended_faults(work, referral, topic, covered):
        raise InvalidInputError(faults)
    work.record(referral, [topic, "version"])
    work.add(amendment)
    if category is not None and category in covered.there:
        work.rests_on("consent", covered.there[category].id, covered.there[category].revision)
    if answers:
        _step(work, referral, VERBS["answer_question"], category=category, facts=facts)
    work.to = _other_side(work, referral)
    return amendment


def _amended_faults(work: Work, referral: Referral, topic: str, covered: q.Coverage) -> dict[str, list[str]]:
    """Return what is wrong with one field, as sending would say it; the words that an urgent one wants, too."""
    content = {name: getattr(referral, name) for name in q.CONTENT}
    faults = _content_faults(work, referral, content)
    program = work.session.get_one(Program, referral.program_id)
    agreement = partnerships.agreement_between(work.session, referral.source_id, referral.recipient_id, work.now)
    faults |= q.faults_of(referral, program, covered, agreement)
    if topic == "urgency" and "urgency_because" in faults:
        return {"urgency": ["say_why_first"]}
    return {name: codes for name, codes in faults.items() if name == topic}


# --- the loop ---------------------------------------------------------------------------------------------------------


@command(
    records="referral.loop_closed",
    on=Referral,
    takes=CloseLoop,
    within=q.visible_to,
    allow=[[p.takes_part]],
    makes=LoopAnswer,
    purpose="referral",
)
def close_loop(work: Work, referral: Referral, *, answer: str, remark: str | None) -> LoopAnswer:
    """Acknowledge how it ended; only the side that owes it can, and nothing else closes the loop (R22)."""
    if answer == "try_again" and referral.side_of(work.actor.organization) is not Party.SOURCE:
        raise InvalidInputError({"answer": ["not_yours"]})  # what is tried again is the source's to send
    said = _answer_loop(work, referral, answer, remark)
    _let_go(work, referral)
    return said


@command(
    records="referral.outcome_disputed",
    on=Referral,
    takes=DisputeOutcome,
    within=q.visible_to,
    allow=[[p.takes_part]],
    makes=LoopAnswer,
    purpose="referral",
)
def dispute_outcome(work: Work, referral: Referral, *, because: str) -> LoopAnswer:
    """Say that it was not so: the loop stays open."""
    return _answer_loop(work, referral, "disputed", because)


def _answer_loop(work: Work, referral: Referral, answer: str, words: str | None) -> LoopAnswer:
    facts = _facts(work, referral)
    if (due := referral.write_settlement(facts, at=work.now)) is not None:
        _put(work, referral, due)
    if q.is_outcome_hidden(work.session, referral, work.actor, work.now):
        raise AnswersNotSharedError
    said = referral.answer_loop(
        answer, at=work.now, by=work.actor.me, organization_id=work.actor.organization, words=words
    )
    work.add(said)
    work.record(referral, ["done_at", "next_move"])
    work.to = _other_side(work, referral)
    return said


# --- the thread -------------------------------------------------------------------------------------------------------


@command(
    records="referral.message_posted",
    on=Referral,
    takes=PostMessage,
    within=q.visible_to,
    allow=[[p.takes_part]],
    makes=Message,
    purpose="referral",
)
def post_message(work: Work, referral: Referral, *, audience: str, category: str, message: str, mail: bool) -> Message:
    """Write to the thread, for both sides or one's own. What the other side may not read cannot be chosen (R19)."""
    if referral.sent_at is None:
        with _named(work):
            raise referral.wrong_state(referral.recorded, work.now)
    _facts(work, referral)
    if referral.is_done:
        raise ReferralDoneError
    if audience == "both":
        _let_across(work, referral, category)
    posted = _put_message(work, referral, audience=audience, category=category, words=message)
    if mail:
        own = referral.side_of(work.actor.organization)
        sides = (Party.SOURCE, Party.RECIPIENT) if audience == "both" else (own,)
        people = frozenset[UUID]().union(*(q.people_of(referral, side) for side in sides))
        _tell(work, referral, q.POSTED, people, target=posted.id, occasion=posted.id)
    return posted


def _let_across(work: Work, referral: Referral, category: str) -> None:
    """Refuse words that the other side may not read now; put on record on which consent they cross."""
    covered = q.coverage(work.session, referral, work.now, lock=True)
    ours = referral.side_of(work.actor.organization) is Party.SOURCE
    way = covered.there if ours else covered.back
    if category not in way:
        raise InvalidInputError({"category": ["not_covered"]})
    work.rests_on("consent", way[category].id, way[category].revision)
    work.to = _other_side(work, referral)


def _put_message(work: Work, referral: Referral, *, audience: str, category: str, words: str) -> Message:
    posted = Message(
        referral_id=referral.id,
        participant_id=referral.participant_id,
        organization_id=work.actor.organization,
        audience=audience,
        category=category,
        words=words,
        at=work.now,
        by=work.actor.me,
    )
    work.add(posted)
    return posted


@command(
    records="referral.message_widened",
    on=Message,
    takes=Nothing,
    within=q.messages_visible_to,
    allow=[[p.wrote_it]],
    purpose="referral",
)
def widen_message(work: Work, message: Message) -> Message:
    """Let the other side read one's own message, too. Nothing takes that back (R19).

    Raises:
        NotFoundError, ReferralDoneError: as for a new message.
        InvalidInputError: no consent lets its category cross now.
    """
    referral = q.known(work.session, work.actor, message.referral_id)
    _facts(work, referral)
    if referral.is_done:
        raise ReferralDoneError
    message.widen(at=work.now)
    _let_across(work, referral, message.category)
    work.record(message, ["audience", "widened_at"])
    return message


@command(
    records="referral.message_struck",
    on=Message,
    takes=StrikeMessage,
    within=q.messages_visible_to,
    allow=[[p.wrote_it]],
    purpose="referral",
)
def strike_message(work: Work, message: Message, *, because: str) -> Message:
    """Strike one's own message; it stays, struck, with the reason."""
    message.strike(at=work.now, by=work.actor.me, because=because)
    work.record(message, ["struck_at", "struck_by", "struck_because"])
    return message


# --- settlement (R6) --------------------------------------------------------------------------------------------------


@command(
    records="referral.settled",
    on=Referral,
    takes=Nothing,
    within=q.visible_to,
    allow=[[p.is_system]],
    purpose="referral",
)
def settle_referral(work: Work, referral: Referral) -> Referral:
    """Write down what settlement says, as a step by the system."""
    facts = _facts(work, referral)
    # A deadline acts when it is recorded: an answer that comes before that is an answer (decision 0013).
    facts = replace(facts, expires_at=q.expires_at(work.session, referral, work.now))
    step = referral.write_settlement(facts, at=work.now)
    if step is None:
        raise NothingDueError
    _put(work, referral, step)
    _let_go(work, referral)
    return referral


@job_kind(q.SETTLES, every=120)
def settle_due(session: Session, _target: UUID | None, _behalf: UUID | None) -> None:
    """Record every settlement that is due: within five minutes of what brought it about."""
    now = clock(session)
    before: list[UUID] = []
    while due := q.due_for_settlement(session, now):
        if due == before:  # lists take it that a whole run leaves nothing behind
            raise NothingDueError
        _settle_each(session, due)
        before = due
    _settle_each(session, q.expired(session, now))


def _settle_each(session: Session, referrals: Iterable[UUID]) -> None:
    for referral_id in referrals:
        try:
            execute(session, settle_referral, actor=system(), target=referral_id, data={})
        except NothingDueError:
            continue  # somebody's act wrote it first


@job_kind("referral.lapse_drafts", every=3600)
def lapse_drafts(session: Session, _target: UUID | None, _behalf: UUID | None) -> None:
    """Put away the drafts that nobody has touched for 60 days (R16)."""
    for referral_id in q.lapsed_drafts(session, clock(session)):
        try:
            words = {"reason": DiscardReason.DRAFT_LAPSED.value}
            execute(session, discard_draft, actor=system(), target=referral_id, data=words)
        except RuleBrokenError:
            continue  # its author was faster: saved, sent or discarded it


# --- mail (R12, R20) --------------------------------------------------------------------------------------------------


def _told_as(kind: str) -> None:
    @ground(kind)
    def holds(session: Session, actor: Actor, target: UUID, at: datetime) -> bool:
        return q.is_still_told(session, actor, target, kind, at)


for _kind in sorted(set(q.TOLD.values())):
    _told_as(_kind)
ground(q.POSTED)(q.is_message_told)


# --- shared rules, for the closing verbs upstairs too -----------------------------------------------------------------


def close_work(work: Work, referral: Referral, verb: Verb, *, reason: str, because: str | None) -> Referral:
    """Take a closing verb's step. `handoff`, which knows what is owed before it, calls this (R21)."""
    return _step(work, referral, verb, reason=reason, because=because)


def facts_now(work: Work, referral: Referral) -> Facts:
    """Return what happened elsewhere and bears on it now, under lock.

    Raises:
        NotFoundError: sharing ended before the actor's side accepted it (R25).
    """
    return _facts(work, referral)


def check_state(work: Work, referral: Referral, verb: Verb) -> None:
    """Refuse early, before looking at the words: the verb does not start from where the referral stands.

    Raises:
        WrongStateError: with the status, and who moved it last and when.
    """
    _check_state(work, referral, verb)


def _step(
    work: Work,
    referral: Referral,
    verb: Verb,
    *,
    reason: str | None = None,
    because: str | None = None,
    details: Mapping[str, Any] | None = None,
    category: str | None = None,
    facts: Facts | None = None,
) -> Referral:
    """Take a verb's step; `facts` are what `_check_state` found in the same act."""
    facts = facts or _facts(work, referral)
    with _named(work):
        steps = referral.take(
            verb,
            facts,
            at=work.now,
            by=work.actor.user_id,
            organization_id=work.actor.organization_id or referral.source_id,
            reason=reason,
            because=because,
            details=None if details is None else dict(details),
            category=category,
        )
    _put(work, referral, *steps)
    _let_go(work, referral)
    if referral.sent_at is not None:
        work.to = _other_side(work, referral)
    return referral


def _check_state(work: Work, referral: Referral, verb: Verb) -> Facts:
    facts = _facts(work, referral)
    with _named(work):
        referral.check(verb, facts, at=work.now)
    return facts


def _put(work: Work, referral: Referral, *steps: ReferralStep) -> None:
    for step in steps:
        work.add(step)
        if (told := q.told_of(referral, step)) is not None:
            kind, people = told
            _tell(work, referral, kind, people, target=referral.id, occasion=step.id)
    work.record(referral, ["step_count", "open_for", "sent_at", "done_at", "next_move"])


def _tell(work: Work, referral: Referral, kind: str, people: Iterable[UUID], *, target: UUID, occasion: UUID) -> None:
    """Let people be told by mail, if there is any (R20). Whether they may know of it is asked when it leaves."""
    is_urgent = referral.urgency == "urgent"
    tell(work, (Told(one, kind, target, str(occasion), is_urgent) for one in sorted(people)))


def _facts(work: Work, referral: Referral) -> Facts:
    """Return what bears on it now. Sharing is read under lock, so that a withdrawal comes before this act or after it.

    Raises:
        NotFoundError: sharing ended before the actor's side accepted it (R25).
    """
    consents.hold_way(work.session, referral.participant_id, referral.source_id, referral.recipient_id)
    facts = q.facts(work.session, [referral.id], work.now)[referral.id]
    if referral.sent_at is not None and q.is_gone(work.actor, referral, facts):
        raise NotFoundError
    return facts


def _let_go(work: Work, referral: Referral) -> None:
    """End what it brought about.

    Assignments once the recipient has no more to do (C10), consents that were to end with it once it is done (C7).
    """
    if referral.recorded not in TERMINAL or referral.sent_at is None:
        return
    if referral.is_done:
        end_assignments(work, referral.participant_id, referral.id)
    elif State.ACCEPTED not in referral.was_ever:  # whoever sent it has the loop to close
        end_assignments(work, referral.participant_id, referral.id, at_org=referral.recipient_id)
    if referral.is_done and not _others_rest_on_it(work, referral):
        consents = [UUID(one) for one in referral.consent_ids or ()]
        end_on_event(work, referral.participant_id, "referral_closed", consent_ids=consents)


def _others_rest_on_it(work: Work, referral: Referral) -> bool:
    """Whether another open referral of this participant between these two rests on the same consents."""
    other = select(Referral.id).where(
        Referral.participant_id == referral.participant_id,
        Referral.source_id == referral.source_id,
        Referral.recipient_id == referral.recipient_id,
        Referral.id != referral.id,
        Referral.open_for.is_not(None),
    )
    return work.session.scalars(other).first() is not None


def _other_side(work: Work, referral: Referral) -> UUID:
    ours = referral.side_of(work.actor.organization_id)
    return referral.source_id if ours is Party.RECIPIENT else referral.recipient_id


@contextmanager
def _named(work: Work) -> Iterator[None]:
    """Give a refusal the name of whoever moved it first, so that a loser reads who won and when.

    Raises:
        AnswersNotSharedError: in its place, where how it stands is an answer that does not come back to the actor.
    """
    try:
        yield
    except WrongStateError as refusal:
        it = work.target
        is_recorded = isinstance(it, Referral) and refusal.facts["state"] == str(it.recorded)
        if is_recorded and q.is_outcome_hidden(work.session, cast("Referral", it), work.actor, work.now):
            raise AnswersNotSharedError from None
        winner = refusal.facts["by"]
        known = accounts.names(work.session, [winner])
        refusal.facts["by"] = known.get(winner, "Throughgate") if winner is not None else "Throughgate"
        raise


def _need_words(reason: str, because: str | None) -> None:
    if reason == "other" and not because:
        raise InvalidInputError({"because": ["required"]})


def _as_kept(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was written as the row keeps it: an empty list is nothing."""
    return {name: None if given == [] else given for name, given in content.items()}


def _content_faults(work: Work, referral: Referral, content: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what is wrong with what was written, as far as a draft can be wrong."""
    faults: dict[str, list[str]] = {}
    program = work.session.get_one(Program, referral.program_id)
    if content["service"] is not None and content["service"] not in (program.categories or ()):
        faults["service"] = ["not_offered"]
    zone = work.session.get_one(Organization, referral.source_id).time_zone
    agreed_on = content["agreed_on"]
    if agreed_on is not None and agreed_on > day_of(work.now, zone):
        faults["agreed_on"] = ["in_future"]
    needs = content["accommodations"] or []
    if "none" in needs and len(needs) > 1:
        faults["accommodations"] = ["none_and_more"]
    return faults


def _taken_over(old: Referral, program: Program) -> dict[str, Any]:
    """Return what a new try begins with: nothing of one that should never have been, and no yes to another program."""
    if old.recorded is State.ENTERED_IN_ERROR:
        return {}
    content = {name: getattr(old, name) for name in q.CONTENT if name not in {"asked_by", "agreed_on", "agreed_how"}}
    if content["service"] not in (program.categories or ()):
        content["service"] = None
    return content


def _free_reference(session: Session) -> str:
    while True:
        drawn = new_reference()
        if session.scalar(select(Referral.id).where(Referral.reference == drawn)) is None:
            return drawn


def _refuse_a_second(work: Work, referral: Referral) -> None:
    """Refuse while this participant has an open referral to this program; one whose end is due is ended first (R17)."""
    asked = {"open_for": referral.turn}
    old = work.session.scalars(q.open_one(), asked, execution_options={"populate_existing": True}).one_or_none()
    if old is None:
        return
    facts = q.facts(work.session, [old.id], work.now)[old.id]
    due = old.write_settlement(facts, at=work.now)
    if due is None or old.open_for is not None:
        visible = work.session.scalar(select(Referral.id).where(Referral.id == old.id, q.within_sight(work.actor)))
        raise ReferralAlreadyOpenError(**({"url": f"/referrals/{old.id}"} if visible is not None else {}))
    _put(work, old, due)
    _let_go(work, old)


def _refuse_for_the_dead(work: Work, referral: Referral) -> None:
    """Refuse to send for somebody who has died; why, only who may know of it is told (decision 0018).

    Raises:
        ParticipantDiedError, WrongStateError: to who may know, and to who may not.
    """
    death = persons.deaths_of(work.session, [referral.participant_id], work.now)[referral.participant_id]
    if q.may_know_of_death(work.session, work.actor, death, work.now):
        raise ParticipantDiedError
    with _named(work):
        raise referral.wrong_state(State.CANCELLED, work.now)


def _service(actor: Actor) -> Actor:
    return system(actor.source.channel)
