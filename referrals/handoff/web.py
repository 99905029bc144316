"""Both doors to the closing report and to the two verbs that end the work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask_babel import lazy_gettext as _l
from marshmallow import fields

from referrals.handoff import commands as c
from referrals.handoff import queries as q
from referrals.kernel.actor import TokenScope
from referrals.kernel.door import Doors, Shape, asking
from referrals.kernel.look import NOT_SHARED
from referrals.kernel.web import say, sentence
from referrals.referral.queries import standing
from referrals.referral.web import StandingShape
from referrals.release.queries import banner

doors = Doors("handoff", reads=TokenScope.REFERRALS_READ, writes=TokenScope.REFERRALS_WRITE)


class GoalShape(Shape):
    """What came of one goal."""

    number = fields.Integer()
    goal = fields.String()
    result = fields.String()
    comment = fields.String(allow_none=True)


class ReportShape(Shape):
    """A closing report, or an addendum to it."""

    id = fields.UUID()
    referral_id = fields.UUID()
    is_addendum = fields.Boolean()
    helps_next = fields.String()
    persons_view = fields.String(allow_none=True)
    goals = fields.List(fields.Nested(GoalShape))
    at = fields.AwareDateTime()
    who = fields.String()
    organization = fields.String()


def _closing(target: UUID) -> dict[str, Any]:
    session, actor = asking()
    return _in_words(q.closing(session, actor, target))


def _in_words(closing: q.Closing) -> dict[str, Any]:
    session, actor = asking()
    view = closing.view
    who = (
        banner(session, actor, view.it.participant_id, view.names.person)
        if view.it.participant_id is not NOT_SHARED
        else None
    )
    goals = view.it.goals
    return {
        "view": view,
        "closing": closing,
        "reports": closing.reports,
        "goals": list(enumerate(goals or (), 1)) if goals is not NOT_SHARED else [],
        "banner": {"name": NOT_SHARED}
        if who is None
        else {
            "name": view.participant if who.name is NOT_SHARED else who.name,
            "number": who.number,
            "release_on": who.release_on,
            "days": who.days,
        },
        "status": sentence(f"status.{view.status}") if view.status is not NOT_SHARED else view.status,
        "status_kind": "neutral",
        "audience": [view.source if view.source is not NOT_SHARED else str(_l("the other organization"))]
        if "needs" in view.sendable
        else [],
        "results": [(str(one), sentence(f"goal.{one}")) for one in c.GoalResult],
        "outcomes": [(str(one), sentence(f"outcome.{one}")) for one in c.Outcome],
        "reasons": [(str(one), sentence(f"reason.{one}")) for one in c.EndReason],
        "target": view.it.id,
    }


@doors.get("/referrals/<uuid:target>/closing-report", page="handoff/report.html", shape=ReportShape, many=True)
def closing_report(target: UUID) -> Mapping[str, Any]:
    """Show a referral's closing report and what was added to it."""
    session, actor = asking()
    closing = q.closing(session, actor, target)
    return {"rows": closing.reports, "next": None, "around": lambda: _in_words(closing)}


def _report_of(row: Any) -> q.Report:
    session, actor = asking()
    return q.report(session, actor, row)


def _standing_of(row: Any) -> Any:
    session, actor = asking()
    return standing(session, actor, row.id)


doors.act(
    "/referrals/<uuid:target>/closing-report/new",
    c.write_report,
    api_rule="/referrals/<uuid:target>/closing-report",
    page="handoff/write.html",
    context=_closing,
    then=lambda row: f"/referrals/{row.referral_id}/closing-report",
    shape=ReportShape,
    show=_report_of,
    done="report_written",
)
doors.act(
    "/referrals/<uuid:target>/closing-report/addendum",
    c.add_to_report,
    page="handoff/add.html",
    context=_closing,
    then=lambda row: f"/referrals/{row.referral_id}/closing-report",
    shape=ReportShape,
    show=_report_of,
    done="report_added_to",
)
doors.act(
    "/referrals/<uuid:target>/completion",
    c.complete_referral,
    page="handoff/complete.html",
    context=_closing,
    then=lambda row: f"/referrals/{row.id}",
    shape=StandingShape,
    show=_standing_of,
    done="referral_completed",
)
doors.act(
    "/referrals/<uuid:target>/end",
    c.end_referral,
    page="handoff/end.html",
    context=_closing,
    then=lambda row: f"/referrals/{row.id}",
    shape=StandingShape,
    show=_standing_of,
    done="referral_ended",
)

say(
    {
        "goal.achieved": _l("Achieved"),
        "goal.partly": _l("Partly"),
        "goal.not_achieved": _l("Not achieved"),
        "goal.not_tried": _l("Not tried"),
        "closing_report_owed": _l("Work had begun, so a closing report is owed first. Write it, then close."),
        "closing_report_exists": _l("There is a closing report. Put it right by an addendum."),
        "no_closing_report": _l("There is no closing report to add to."),
        "not_worked_on": _l("Nobody is working on this referral, so there is nothing to report."),
        "no_such_goal": _l("The referral names fewer goals. Leave this empty."),
        "report_written": _l("The closing report is written. Now complete the referral or end it."),
        "report_added_to": _l("The addendum stands beside the report."),
        "referral_completed": _l("Completed. The sender now acknowledges how it ended."),
        "referral_ended": _l("Ended early. The sender now acknowledges how it ended."),
    }
)
