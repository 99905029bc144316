"""Both doors to home: my day, and the one box."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import redirect, request
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l
from marshmallow import fields

from referrals.account.web import ROLE_NAMES
from referrals.home import policy as p
from referrals.home import queries as q
from referrals.kernel.door import Doors, Form, Shape, asking
from referrals.kernel.schema import Takes, line
from referrals.kernel.web import current_actor, place, say
from referrals.person.policy import writes_an_agencys_record
from referrals.view.commands import keep_search
from referrals.view.queries import kept_search

doors = Doors("home")

place("/home", _l("Home"), 0, lambda actor: actor.user_id is not None)
place("/search", _l("Search"), 90, p.works_with_participants)


class CardShape(Shape):
    """A referral, in a list."""

    id = fields.UUID()
    reference = fields.String()
    participant = fields.String()
    program = fields.String()
    status = fields.String()
    waiting_on = fields.String()
    loop = fields.String()
    side = fields.String()


class DayShape(Shape):
    """What waits on this person. The first two counts say 101 for any number over 100."""

    needs_count = fields.Integer()
    waiting_count = fields.Integer()
    drafts_count = fields.Integer()
    errors_count = fields.Integer()
    witness_count = fields.Integer()
    rules_count = fields.Integer()
    stale_count = fields.Integer()
    left_count = fields.Integer()
    review_overdue = fields.Boolean()
    proposed_count = fields.Integer()
    recoveries_count = fields.Integer()
    recoveries_begun_count = fields.Integer()
    invited_count = fields.Integer()
    leaving_within = fields.Dict(keys=fields.String(), values=fields.Integer())


class HitShape(Shape):
    """One thing that was found."""

    kind = fields.String()
    id = fields.UUID()
    name = fields.String()


class FirstStepShape(Shape):
    """One thing an organization needs before its first referral."""

    code = fields.String()
    is_done = fields.Boolean()
    url = fields.String()


class LeftShape(Shape):
    """Somebody who left, and how much they left open, by kind."""

    id = fields.UUID()
    name = fields.String()
    left_at = fields.AwareDateTime()
    counts = fields.Dict(keys=fields.String(), values=fields.Integer())


class PlaceShape(Shape):
    """A place on a care team that somebody who left still holds; `is_alone`: nobody else of the organization does."""

    id = fields.UUID()
    participant_id = fields.UUID()
    participant = fields.String()
    tie = fields.String()
    from_at = fields.AwareDateTime()
    is_alone = fields.Boolean()


class LeftProgramShape(Shape):
    """A program on whose intake list somebody who left still stands."""

    id = fields.UUID()
    name = fields.String()


class LeftWorkShape(LeftShape):
    """The same with what it is. Null for whoever reads numbers alone: administrators read nothing of participants."""

    places = fields.List(fields.Nested(PlaceShape), allow_none=True)
    caseworker = fields.List(fields.Nested(CardShape), allow_none=True)
    sent = fields.List(fields.Nested(CardShape), allow_none=True)
    programs = fields.List(fields.Nested(LeftProgramShape), allow_none=True)


class _Typed:
    """What somebody types into the box is kept for themselves and 8 hours (S-309)."""

    @staticmethod
    def keep(typed: Mapping[str, Any]) -> UUID:
        """Keep it; return its id."""
        return keep_search(*asking(), typed)

    @staticmethod
    def words(search: str) -> dict[str, Any] | None:
        """Return what is kept under an id, if it is the asker's and not too old."""
        try:
            return kept_search(*asking(), UUID(search))
        except ValueError:
            return None


class SearchWords(Takes):
    """A name, an agency number, a referral's reference, or a word about a program."""

    words = line(200)


@doors.pages.get("/")
def front() -> ResponseReturnValue:
    """Lead to home, or to the sign-in."""
    return redirect("/home" if current_actor().user_id is not None else "/sign-in", 303)


@doors.get("/home", page="home/home.html", shape=DayShape)
def home() -> Mapping[str, Any]:
    """What waits on me, oldest first."""
    session, actor = asking()
    day = q.today(session, actor)
    counts = {
        "needs_count": day.needs_count,
        "waiting_count": day.waiting_count,
        "drafts_count": len(day.drafts),
        "errors_count": len(day.errors),
        "witness_count": len(day.witness),
        "rules_count": len(day.rules),
        "stale_count": len(day.stale),
        "left_count": day.left_count,
        "review_overdue": day.review_overdue,
        "proposed_count": len(day.proposed),
        "recoveries_count": len(day.recoveries),
        "recoveries_begun_count": len(day.begun),
        "invited_count": day.invited_count,
        "leaving_within": {str(days): count for days, count in day.windows.items()},
    }
    return {
        "it": counts,
        "day": day,
        "at_most": q.COUNTED_AT_MOST,
        "forms": {one: Form() for one in day.stale},
        "role_names": ROLE_NAMES,
        "works": p.works_with_participants(actor),
        "plans": p.plans_releases(actor),
        "answers": p.answers_for_programs(actor),
        "offers": p.offers_programs(actor),
        "runs": p.runs_an_organization(actor),
        "audits": p.reads_the_log(actor),
        "supervises": p.works_with_participants(actor) and p.leads_an_organization(actor),
    }


@doors.get("/getting-started", page="home/getting_started.html", shape=FirstStepShape, many=True)
def getting_started() -> Mapping[str, Any]:
    """What is mine to set up before the first referral, and where."""
    session, actor = asking()
    steps = q.first_steps(session, actor)
    following = next((one for one in steps if not one.is_done), None)
    return {"rows": steps, "next": None, "done": sum(one.is_done for one in steps), "following": following}


@doors.get("/organization/people-who-left", page="home/left_people.html", shape=LeftShape, many=True)
def left_people() -> Mapping[str, Any]:
    """Who of one's organization left with work that a colleague should take over."""
    session, actor = asking()
    return {"rows": q.left_people(session, actor), "next": None}


@doors.get("/organization/people/<uuid:target>/open-work", page="home/left_work.html", shape=LeftWorkShape)
def left_work(target: UUID) -> Mapping[str, Any]:
    """What somebody who left has open, with the way to hand each over."""
    session, actor = asking()
    found = q.left_work(session, actor, target)
    told = {
        name: getattr(found, name) for name in ("id", "name", "left_at", "counts", "caseworker", "sent", "programs")
    }
    told["places"] = None if found.places is None else [_placed(one) for one in found.places]
    return {"it": told, "is_told": found.is_told, "runs": p.runs_an_organization(actor), "at_most": q.LEFT_SHOWN}


def _placed(one: Any) -> dict[str, Any]:
    seen = {name: getattr(one.it, name) for name in ("id", "participant_id", "tie", "from_at")}
    return seen | {"participant": one.participant, "is_alone": one.is_alone}


def _around() -> Mapping[str, Any]:
    actor = current_actor()
    searched = request.args.get("search")
    return {
        "works": p.works_with_participants(actor),
        "may_add": writes_an_agencys_record(actor, None),
        "searched": searched,
    }


@doors.search("/search", page="home/search.html", shape=HitShape, takes=SearchWords, blank=_around, kept=_Typed())
def search(*, words: str) -> Mapping[str, Any]:
    """Find people, referrals and programs."""
    session, actor = asking()
    found = q.search(session, actor, words)
    hits = [{"kind": "participant", "id": one.id, "name": one.called} for one in found.people]
    hits += [{"kind": "referral", "id": one.id, "name": one.reference} for one in found.referrals]
    hits += [{"kind": "program", "id": one.id, "name": one.name} for one in found.programs]
    return {**_around(), "rows": hits, "found": found, "words": words}


say(
    {
        "left.care_team": _l("Places on care teams"),
        "left.caseworker": _l("Referrals they are the caseworker of"),
        "left.sent": _l("Referrals they sent that nobody here works on"),
        "left.intake": _l("Intake lists they stand on"),
        "left.drafts": _l("Drafts of referrals that were never sent"),
        "first.part2_answered": _l("Say whether you run a substance use treatment program"),
        "first_why.part2_answered": _l("Until somebody says no, referrals to you need a special consent."),
        "first.facilities_added": _l("Add your facilities"),
        "first_why.facilities_added": _l("One by one, or all of them from a file."),
        "first.locations_added": _l("Add the places where you work"),
        "first_why.locations_added": _l("Participants and partners see where to go."),
        "first.second_administrator": _l("Bring in a second administrator"),
        "first_why.second_administrator": _l("Somebody has to let you back in, and powerful roles take two people."),
        "first.supervisor_added": _l("Bring in a supervisor"),
        "first_why.supervisor_added": _l("Supervisors sign agreements with partners and see to what is late."),
        "first.workers_added": _l("Bring in the people who work with participants"),
        "first_why.workers_added": _l("Each gets a one-time code from you and chooses their own password."),
        "first.auditor_added": _l("Bring in an auditor"),
        "first_why.auditor_added": _l("Auditors read who looked at what. They see no participant's record."),
        "first.accounts_reviewed": _l("Review the accounts"),
        "first_why.accounts_reviewed": _l("Once a year somebody looks at who has which role, and signs it. It is due."),
        "first.agreement_signed": _l("Sign an agreement with a partner"),
        "first_why.agreement_signed": _l("Nothing is shared with an organization without one that both sides signed."),
        "first.program_added": _l("Add a program"),
        "first_why.program_added": _l("Referrals are made to a program: what you offer, for whom and where."),
        "first.intake_named": _l("Name who answers referrals"),
        "first_why.intake_named": _l("Each program has a list of people who answer for it."),
        "first.on_an_intake_list": _l("Be named on a program's list"),
        "first_why.on_an_intake_list": _l("Ask your supervisor. Then its referrals come to your home page."),
        "first.capacity_said": _l("Say how much room a program has"),
        "first_why.capacity_said": _l("Senders see it before they choose you. Confirm it every two weeks."),
    }
)
