"""Both doors to agreements and their rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import request
from flask_babel import lazy_gettext as _l
from marshmallow import fields
from typing_extensions import override

from referrals.account import queries as accounts
from referrals.kernel.actor import TokenScope
from referrals.kernel.door import Doors, Shape, asking
from referrals.kernel.errors import NotFoundError
from referrals.kernel.look import refuse
from referrals.kernel.orm import CATEGORIES
from referrals.kernel.record import clock
from referrals.kernel.web import current_actor, place, say
from referrals.organization import queries as organizations
from referrals.organization.web import After, labels, may, one_of, said
from referrals.partnership import commands as c
from referrals.partnership import queries as q
from referrals.program import queries as programs

doors = Doors("partnership", reads=TokenScope.PARTNERSHIPS_READ)

place("/partnerships", _l("Partnerships"), 50, lambda actor: actor.organization_id is not None)


class AgreementShape(Shape):
    """What two organizations agreed on; `terms` is the number to sign.

    Between an agency and a community organization, `peer_…` is null; between two of those, `agency_…` is.
    """

    id = fields.UUID()
    version = fields.Integer()
    terms = fields.Integer()
    standing = fields.String()
    agency_id = fields.UUID(allow_none=True)
    agency_name = fields.String(allow_none=True)
    peer_id = fields.UUID(allow_none=True)
    peer_name = fields.String(allow_none=True)
    community_id = fields.UUID()
    community_name = fields.String()
    proposed_at = fields.AwareDateTime()
    proposed_by_org = fields.UUID()
    starts_on = fields.Date()
    ends_on = fields.Date()
    time_zone = fields.String()
    begins_at = fields.AwareDateTime()
    expires_at = fields.AwareDateTime()
    categories = fields.List(fields.String())
    purposes = fields.List(fields.String())
    facility_ids = fields.List(fields.String())
    program_ids = fields.List(fields.String())
    agency_signed_at = fields.AwareDateTime()
    agency_signed_by = fields.UUID()
    peer_signed_at = fields.AwareDateTime(allow_none=True)
    peer_signed_by = fields.UUID(allow_none=True)
    community_signed_at = fields.AwareDateTime()
    community_signed_by = fields.UUID()
    ended_at = fields.AwareDateTime()
    ended_by_org = fields.UUID()
    ended_because = fields.String()

    @override
    def _told(self, name: str, one: fields.Field[Any], thing: Any) -> Any:
        """Tell how it stands as of now."""
        if name == "standing":
            return str(thing.standing(clock(asking()[0])))
        return super()._told(name, one, thing)


class AcknowledgmentShape(Shape):
    """That one person will keep a rule."""

    id = fields.UUID()
    rule_id = fields.UUID()
    user_id = fields.UUID()
    at = fields.AwareDateTime()


class RuleShape(Shape):
    """A rule that one side brings."""

    id = fields.UUID()
    agreement_id = fields.UUID()
    organization_id = fields.UUID()
    kind = fields.String()
    facility_id = fields.UUID()
    wording = fields.String()
    added_at = fields.AwareDateTime()
    retired_at = fields.AwareDateTime()
    acknowledgments = fields.List(fields.Nested(AcknowledgmentShape))


# --- reading ---------------------------------------------------------------------------------------------------------


@doors.get("/partnerships", page="partnership/list.html", shape=AgreementShape, takes=After, many=True)
def agreements(*, after: UUID | None) -> Mapping[str, Any]:
    """The agreements of the asker's own organization, newest first."""
    session, actor = asking()
    rows, following = q.page(session, actor, after=after)
    own = organizations.own_or_none(session, actor)
    now = clock(session)
    return {
        "rows": rows,
        "next": following,
        "after": after,
        "own": own,
        "standings": {row.id: str(row.standing(now)) for row in rows},
        "may_propose": own is not None and may(c.propose_agreement, own),
    }


def _known(target: UUID) -> Any:
    """Return one agreement, or refuse on record: to a stranger it does not exist (S-203)."""
    session, actor = asking()
    try:
        return q.agreement(session, actor, target)
    except NotFoundError:
        refuse(
            session,
            actor,
            "partnership.agreement_viewed",
            row_type="agreement",
            target=target,
            purpose="administration",
        )
        raise


def _places(it: Any) -> dict[str, Any]:
    """Return the names of the facilities and programs an agreement names; None where it covers all."""
    session, _actor = asking()
    facility_ids = None if it.facility_ids is None else [UUID(one) for one in it.facility_ids]
    program_ids = None if it.program_ids is None else [UUID(one) for one in it.program_ids]
    named = organizations.facility_names(
        session, [*(facility_ids or []), *(r.facility_id for r in it.rules if r.facility_id)]
    )
    offered = programs.names(session, program_ids or [])
    return {
        "facility_names": named,
        "facilities": None if facility_ids is None else sorted(named[one] for one in facility_ids if one in named),
        "programs": None if program_ids is None else sorted(offered.values()),
    }


@doors.get("/partnerships/<uuid:target>", page="partnership/show.html", shape=AgreementShape)
def agreement(target: UUID) -> Mapping[str, Any]:
    """One agreement: its terms, its signatures, its rules and who acknowledged them."""
    session, actor = asking()
    it = _known(target)
    now = clock(session)
    acknowledged = [one.user_id for rule in it.rules for one in rule.acknowledgments]
    people = accounts.names(
        session, [it.first_signed_by, it.second_signed_by, it.proposed_by, it.ended_by, *acknowledged]
    )
    standing = str(it.standing(now))
    is_over = standing in {"ended", "expired"}
    speaks = may(c.sign_agreement, it) and not is_over
    return {
        "it": it,
        "people": people,
        "standing": standing,
        "has_left": any(one.ended_at is not None for one in it.parties),
        "zone": it.time_zone,
        "may_sign": speaks and not it.is_signed_by(actor.organization_id),
        "may_change": speaks and not it.is_signed,
        "may_end": speaks,
        "may_add_rule": speaks,
        "to_keep": {
            rule.id
            for rule in it.rules
            if rule.holds
            and not is_over
            and may(c.acknowledge_rule, rule)
            and actor.user_id not in {one.user_id for one in rule.acknowledgments}
        },
        "own_rules": {rule.id for rule in it.rules if rule.holds and may(c.retire_rule, rule)},
        **_places(it),
    }


@doors.get("/partnerships/<uuid:target>/rules", page=None, shape=RuleShape, many=True)
def rules(target: UUID) -> Mapping[str, Any]:
    """The rules of one agreement, retired ones too (people read them on the agreement's page)."""
    return {"rows": _known(target).rules, "next": None}


def _rule(target: UUID) -> Any:
    session, actor = asking()
    return q.rule(session, actor, target)


# --- terms -----------------------------------------------------------------------------------------------------------


def _own(_ids: Mapping[str, UUID]) -> UUID:
    return current_actor().organization_id or UUID(int=0)


def _choices(first: Any, second: Any) -> dict[str, Any]:
    """Return what the terms of an agreement between these two may name."""
    session, _actor = asking()
    offering = [one for one in (first, second) if not one.is_agency]
    held = q.facility_choices(session, first.id) if first.is_agency else ()
    whose = {one.id: f", {one.name}" if len(offering) > 1 else "" for one in offering}
    offered = q.program_choices(session, *whose)
    return {
        "categories": labels("category", CATEGORIES),
        "purposes": labels("purpose", q.PURPOSES),
        "facilities": [(str(one.id), one.name) for one in held],
        "programs": [(str(one.id), f"{one.name}{whose[one.organization_id]}") for one in offered],
    }


def _proposal() -> dict[str, Any]:
    """Return what the proposal's form needs: first a partner to choose, then that partner's choices."""
    session, _actor = asking()
    own = one_of(c.propose_agreement, _own({}))
    partners = list(session.scalars(q.possible_partners(own)))
    asked = request.form.get("partner_id") or request.args.get("partner_id") or ""
    partner = next((one for one in partners if str(one.id) == asked), None)
    if partner is None:
        return {"own": own, "partner": None, "partners": [(str(one.id), one.name) for one in partners]}
    first, second = q.in_order(own, partner)
    return {"own": own, "partner": partner, "first": first, **_choices(first, second)}


def _terms(target: UUID) -> dict[str, Any]:
    it = one_of(c.change_agreement, target)
    whole = _known(target)
    values = said(it, c.change_agreement.takes)
    return {
        "it": whole,
        "first": whole.first,
        "values": values,
        "version": it.version,
        **_choices(whole.first, whole.second),
    }


def _whole(what: Any, target: UUID) -> dict[str, Any]:
    one_of(what, target)
    it = _known(target)
    return {"it": it, "zone": it.time_zone, "own_id": current_actor().organization_id, **_places(it)}


doors.act(
    "/partnerships/new",
    c.propose_agreement,
    page="partnership/propose.html",
    context=_proposal,
    target=_own,
    then=lambda row: f"/partnerships/{row.id}",
    shape=AgreementShape,
    show=lambda row: _known(row.id),
    done="agreement_proposed",
    api_rule="/partnerships",
)
doors.act(
    "/partnerships/<uuid:target>/terms",
    c.change_agreement,
    page="partnership/terms.html",
    context=_terms,
    then=lambda row: f"/partnerships/{row.id}",
    shape=AgreementShape,
    show=lambda row: _known(row.id),
    done="agreement_changed",
)
doors.act(
    "/partnerships/<uuid:target>/signature",
    c.sign_agreement,
    page="partnership/sign.html",
    context=lambda target: _whole(c.sign_agreement, target),
    then=lambda row: f"/partnerships/{row.id}",
    shape=AgreementShape,
    show=lambda row: _known(row.id),
    done="agreement_signed",
)
doors.act(
    "/partnerships/<uuid:target>/ending",
    c.end_agreement,
    page="partnership/end.html",
    context=lambda target: _whole(c.end_agreement, target),
    then=lambda row: f"/partnerships/{row.id}",
    shape=AgreementShape,
    show=lambda row: _known(row.id),
    done="agreement_ended",
)


# --- rules -----------------------------------------------------------------------------------------------------------


def _new_rule(target: UUID) -> dict[str, Any]:
    session, actor = asking()
    context = _whole(c.add_rule, target)
    it = context["it"]
    agency = it.agency_id == actor.organization_id
    kinds = labels("rule_kind", q.RULE_KINDS if agency else q.RULE_KINDS[:1])
    covered = [one for one in q.facility_choices(session, it.first_id) if it.covers_facility(one.id)] if agency else []
    return context | {"kinds": kinds, "is_agency": agency, "facilities": [(str(one.id), one.name) for one in covered]}


def _about_rule(what: Any, target: UUID) -> dict[str, Any]:
    rule = one_of(what, target)
    return {"it": rule, "whole": _known(rule.agreement_id)}


doors.act(
    "/partnerships/<uuid:target>/rules/new",
    c.add_rule,
    page="partnership/rule_form.html",
    context=_new_rule,
    then=lambda row: f"/partnerships/{row.agreement_id}#rule-{row.id}",
    shape=RuleShape,
    show=lambda row: _rule(row.id),
    done="rule_added",
    api_rule="/partnerships/<uuid:target>/rules",
)
doors.act(
    "/partner-rules/<uuid:target>/retirement",
    c.retire_rule,
    page="partnership/retire.html",
    context=lambda target: _about_rule(c.retire_rule, target),
    then=lambda row: f"/partnerships/{row.agreement_id}",
    shape=RuleShape,
    show=lambda row: _rule(row.id),
    done="rule_retired_now",
)
doors.act(
    "/partner-rules/<uuid:target>/acknowledgment",
    c.acknowledge_rule,
    page="partnership/acknowledge.html",
    context=lambda target: _about_rule(c.acknowledge_rule, target),
    then=lambda row: f"/partnerships/{_rule(row.rule_id).agreement_id}#rule-{row.rule_id}",
    shape=AcknowledgmentShape,
    done="rule_acknowledged",
)

say(
    {
        "agreement_proposed": _l("The agreement is proposed. It takes effect when both sides have signed."),
        "agreement_changed": _l("The terms are written anew. Both sides sign again."),
        "agreement_signed": _l("You signed for your organization."),
        "agreement_ended": _l("The agreement has ended. Nothing more is shared under it."),
        "rule_added": _l("The rule was added. People of the other side are asked to acknowledge it."),
        "rule_retired_now": _l("The rule holds no longer."),
        "rule_acknowledged": _l("Your acknowledgment is on record, with your name and today's date."),
        "no_agreement": _l(
            "No active agreement joins the two organizations for this. Ask your supervisors to sign one."
        ),
        "same_side": _l("Two agencies make no agreement here: one side is always a community organization."),
        "already_signed": _l("This is signed already. To change what both signed, end it and propose anew."),
        "agreement_over": _l("This agreement has ended or run out."),
        "overlapping_agreement": _l(
            "Another agreement between the two organizations runs in the same days. End it first, or choose other days."
        ),
        "rule_retired": _l("This rule holds no longer."),
        "already_acknowledged": _l("You have acknowledged this rule."),
        "not_an_agency_rule": _l("Facility rules are the agency's to make. Bring it as a non-negotiable."),
        "only_for_facility_rules": _l("Only a facility rule can be for one facility."),
        "ends_before_start": _l("The last day is before the first day."),
        "term_too_long": _l("An agreement runs for at most five years. Choose an earlier last day."),
        "over_already": _l("This day is already over in the time zone in which the days are counted."),
        "standing.proposed": _l("Proposed"),
        "standing.scheduled": _l("Signed, not begun"),
        "standing.active": _l("Active"),
        "standing.expired": _l("Run out"),
        "standing.ended": _l("Ended"),
        "rule_kind.non_negotiable": _l("Non-negotiable"),
        "rule_kind.facility_rule": _l("Facility rule"),
        "purpose.referral": _l("Making and answering referrals"),
        "purpose.pre_release": _l("Meeting before release"),
        "purpose.service": _l("Giving the service"),
        "purpose.supervision": _l("Supervision"),
        "purpose.benefits": _l("Getting benefits"),
        "purpose.treatment": _l("Treatment"),
        "purpose.evaluation": _l("Learning what works"),
        "purpose.own_request": _l("The participant's own request"),
        "purpose.legal_proceeding": _l("A legal proceeding"),
        "category.identity": _l("Identity: name, birth date, number, language"),
        "category.contact": _l("Contact: phone, e-mail, address"),
        "category.release": _l("Release: facility, date, where they will live, when they are free"),
        "category.supervision": _l("Supervision: officer, conditions, reporting"),
        "category.needs": _l("Needs and goals"),
        "category.attendance": _l("Attendance, answers and outcomes"),
        "category.session_content": _l("What was said in sessions"),
        "category.health": _l("Health"),
        "category.substance_use": _l("Substance use treatment"),
        "category.victim_safety": _l("Safety of others"),
        "category.legal": _l("Legal matters"),
        "category.boundary": _l("Boundaries and limits"),
        "category.family": _l("Family and supporters"),
    }
)
