"""The closing report, and the two verbs that end the work."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from referrals.handoff import policy as p
from referrals.handoff import queries as q
from referrals.handoff.models import (
    WORKED_ON,
    ClosingReport,
    ClosingReportOwedError,
    GoalOutcome,
    GoalResult,
    NothingToAddToError,
    NotWorkedOnError,
    ReportExistsError,
    is_owed,
)
from referrals.kernel.command import Work, command
from referrals.kernel.errors import InvalidInputError
from referrals.kernel.schema import Takes, code, text
from referrals.referral.commands import check_state, close_work, facts_now
from referrals.referral.models import VERBS, EndReason, Outcome, Referral, settle
from referrals.referral.queries import visible_to

__all__ = ["EndReason", "GoalResult", "Outcome"]


class WriteReport(Takes):
    """What came of each goal, in the referral's order; what helps next; the participant's own view, if given."""

    result_1 = code(GoalResult, required=False)
    comment_1 = text(1000, required=False)
    result_2 = code(GoalResult, required=False)
    comment_2 = text(1000, required=False)
    result_3 = code(GoalResult, required=False)
    comment_3 = text(1000, required=False)
    result_4 = code(GoalResult, required=False)
    comment_4 = text(1000, required=False)
    result_5 = code(GoalResult, required=False)
    comment_5 = text(1000, required=False)
    helps_next = text()
    persons_view = text(required=False)


class AddToReport(Takes):
    """What a closing report got wrong or left out."""

    helps_next = text()
    persons_view = text(required=False)


class CompleteReferral(Takes):
    """How it ended well."""

    outcome = code(Outcome)
    because = text(required=False)


class EndReferral(Takes):
    """Why it ended early."""

    reason = code(EndReason)
    because = text(required=False)


@command(
    records="handoff.report_written",
    on=Referral,
    takes=WriteReport,
    within=visible_to,
    allow=[[p.works_on_it]],
    makes=ClosingReport,
    purpose="referral",
)
def write_report(
    work: Work,
    referral: Referral,
    *,
    result_1: str | None,
    comment_1: str | None,
    result_2: str | None,
    comment_2: str | None,
    result_3: str | None,
    comment_3: str | None,
    result_4: str | None,
    comment_4: str | None,
    result_5: str | None,
    comment_5: str | None,
    helps_next: str,
    persons_view: str | None,
) -> ClosingReport:
    """Write the closing report, once; each goal of the referral needs its outcome.

    Raises:
        NotWorkedOnError: nobody works on the referral now.
        ReportExistsError: there is one already.
    """
    if settle(referral.recorded, facts_now(work, referral), work.now).state not in WORKED_ON:
        raise NotWorkedOnError(state=str(referral.recorded))
    if q.has_report(work.session, referral.id):
        raise ReportExistsError
    said = [
        (result_1, comment_1),
        (result_2, comment_2),
        (result_3, comment_3),
        (result_4, comment_4),
        (result_5, comment_5),
    ]
    faults: dict[str, list[str]] = {}
    for number, (result, comment) in enumerate(said, 1):
        if number <= referral.goal_count and result is None:
            faults[f"result_{number}"] = ["required"]
        if number > referral.goal_count and (result or comment):
            faults[f"result_{number}"] = ["no_such_goal"]
    if faults:
        raise InvalidInputError(faults)
    report = _report(work, referral, helps_next, persons_view)
    for number, (result, comment) in enumerate(said[: referral.goal_count], 1):
        work.add(
            GoalOutcome(
                report_id=report.id,
                participant_id=referral.participant_id,
                organization_id=work.actor.organization,
                number=number,
                result=result,
                comment=comment,
            )
        )
    return report


@command(
    records="handoff.report_added_to",
    on=Referral,
    takes=AddToReport,
    within=visible_to,
    allow=[[p.works_on_it]],
    makes=ClosingReport,
    purpose="referral",
)
def add_to_report(work: Work, referral: Referral, *, helps_next: str, persons_view: str | None) -> ClosingReport:
    """Put right what a closing report said: what was written stays, this stands beside it.

    Raises:
        NothingToAddToError: there is no report yet.
    """
    first = work.session.scalars(
        select(ClosingReport.id).where(ClosingReport.referral_id == referral.id, ClosingReport.adds_to_id.is_(None))
    ).one_or_none()
    if first is None:
        raise NothingToAddToError
    return _report(work, referral, helps_next, persons_view, adds_to_id=first)


@command(
    records=VERBS["complete_referral"].record,
    on=Referral,
    takes=CompleteReferral,
    within=visible_to,
    allow=[[p.works_on_it]],
    makes=Referral,
    purpose="referral",
)
def complete_referral(work: Work, referral: Referral, *, outcome: str, because: str | None) -> Referral:
    """Complete it, with an outcome; an owed closing report cannot be skipped.

    Raises:
        ClosingReportOwedError: the work had begun, and nobody has reported.
    """
    check_state(work, referral, VERBS["complete_referral"])
    _refuse_unreported(work, referral)
    return close_work(work, referral, VERBS["complete_referral"], reason=outcome, because=because)


@command(
    records=VERBS["end_referral"].record,
    on=Referral,
    takes=EndReferral,
    within=visible_to,
    allow=[[p.works_on_it]],
    makes=Referral,
    purpose="referral",
)
def end_referral(work: Work, referral: Referral, *, reason: str, because: str | None) -> Referral:
    """End it early, with a reason; an owed closing report cannot be skipped.

    Raises:
        ClosingReportOwedError: the work had begun, and nobody has reported.
    """
    check_state(work, referral, VERBS["end_referral"])
    if reason == EndReason.OTHER and not because:
        raise InvalidInputError({"because": ["required"]})
    _refuse_unreported(work, referral)
    return close_work(work, referral, VERBS["end_referral"], reason=reason, because=because)


def _refuse_unreported(work: Work, referral: Referral) -> None:
    if is_owed(referral) and not q.has_report(work.session, referral.id):
        raise ClosingReportOwedError(url=f"/referrals/{referral.id}/closing-report")


def _report(
    work: Work, referral: Referral, helps_next: str, persons_view: str | None, *, adds_to_id: UUID | None = None
) -> ClosingReport:
    report = ClosingReport(
        referral_id=referral.id,
        participant_id=referral.participant_id,
        organization_id=work.actor.organization,
        adds_to_id=adds_to_id,
        helps_next=helps_next,
        persons_view=persons_view,
        at=work.now,
        by=work.actor.me,
    )
    work.add(report)
    work.to = referral.source_id
    return report
