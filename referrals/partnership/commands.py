"""What can be done about agreements and rules: each verb with its words, its grant and its record.

Both sides are equal: what one may do, the other may. Nobody can act for the other side, because every act takes its
side from the actor's own organization and never from what was sent.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select

from referrals.kernel.command import Work, command
from referrals.kernel.errors import InvalidInputError
from referrals.kernel.orm import CATEGORIES
from referrals.kernel.record import day_of
from referrals.kernel.schema import Nothing, Takes, code, codes, day, text, uid, uids, whole
from referrals.organization import queries as organizations
from referrals.organization.models import Facility, Organization
from referrals.partnership import policy as p
from referrals.partnership import queries as q
from referrals.partnership.models import (
    PURPOSES,
    RULE_KINDS,
    Agreement,
    OverlappingAgreementError,
    PartnerRule,
    RuleAcknowledgment,
    ids,
    in_order,
    joins,
    term_faults,
)
from referrals.program.models import Program


class Terms(Takes):
    """What an agreement says: all of it, as it is to stand. No facility or no program named means all of them."""

    starts_on = day()
    ends_on = day()
    categories = codes(CATEGORIES)
    purposes = codes(PURPOSES)
    facility_ids = uids(least=0, most=500)
    program_ids = uids(least=0, most=500)


class ProposeAgreement(Terms):
    """With whom, and on what terms."""

    partner_id = uid()


@command(
    records="partnership.agreement_proposed",
    on=Organization,
    takes=ProposeAgreement,
    within=organizations.own,
    allow=[[p.speaks_for_it]],
    makes=Agreement,
    purpose="administration",
)
def propose_agreement(
    work: Work,
    organization: Organization,
    *,
    partner_id: UUID,
    starts_on: date,
    ends_on: date,
    categories: list[str],
    purposes: list[str],
    facility_ids: list[UUID],
    program_ids: list[UUID],
) -> Agreement:
    """Propose terms to another organization. Then both sign, in whichever order."""
    partner = work.session.get(Organization, partner_id)
    if partner is None:
        raise InvalidInputError({"partner_id": ["not_a_choice"]})
    first, second = in_order(organization, partner)
    terms = _terms(
        work,
        agency_id=first.id if first.is_agency else None,
        community_ids=[one.id for one in (first, second) if not one.is_agency],
        zone=first.zone,
        starts_on=starts_on,
        ends_on=ends_on,
        categories=categories,
        purposes=purposes,
        facility_ids=facility_ids,
        program_ids=program_ids,
    )
    agreement = Agreement.proposed(organization, partner, at=work.now, by=work.actor.me, terms=terms)
    work.add(agreement)
    return agreement


def _terms(
    work: Work,
    *,
    agency_id: UUID | None,
    community_ids: Collection[UUID],
    zone: ZoneInfo,
    starts_on: date,
    ends_on: date,
    categories: list[str],
    purposes: list[str],
    facility_ids: list[UUID],
    program_ids: list[UUID],
) -> dict[str, Any]:
    """Check the terms, all faults at once, and return them as the agreement keeps them."""
    faults = term_faults(starts_on, ends_on, today=day_of(work.now, zone))
    own = select(Facility.id).where(Facility.id.in_(facility_ids), Facility.organization_id == agency_id)
    if facility_ids and set(work.session.scalars(own)) != set(facility_ids):
        faults["facility_ids"] = ["not_a_choice"]
    offered = select(Program.id).where(Program.id.in_(program_ids), Program.organization_id.in_(community_ids))
    if program_ids and set(work.session.scalars(offered)) != set(program_ids):
        faults["program_ids"] = ["not_a_choice"]
    if faults:
        raise InvalidInputError(faults)
    return {
        "starts_on": starts_on,
        "ends_on": ends_on,
        "categories": sorted(categories, key=CATEGORIES.index),
        "purposes": sorted(purposes, key=PURPOSES.index),
        "facility_ids": ids(facility_ids),
        "program_ids": ids(program_ids),
    }


class ChangeAgreement(Terms):
    """The terms of a proposal, written anew."""


@command(
    records="partnership.agreement_changed",
    on=Agreement,
    takes=ChangeAgreement,
    within=q.visible_to,
    allow=[[p.speaks_for_a_side]],
    makes=Agreement,
    purpose="administration",
    edits=True,
)
def change_agreement(
    work: Work,
    agreement: Agreement,
    *,
    starts_on: date,
    ends_on: date,
    categories: list[str],
    purposes: list[str],
    facility_ids: list[UUID],
    program_ids: list[UUID],
) -> Agreement:
    """Write the terms of a proposal anew; both sides then sign anew. What both signed cannot be changed."""
    agreement.require_proposed(work.now)
    terms = _terms(
        work,
        agency_id=agreement.agency_id,
        community_ids=agreement.community_ids,
        zone=ZoneInfo(agreement.time_zone),
        starts_on=starts_on,
        ends_on=ends_on,
        categories=categories,
        purposes=purposes,
        facility_ids=facility_ids,
        program_ids=program_ids,
    )
    changed = agreement.change(at=work.now, terms=terms)
    work.record(agreement, changed)
    return agreement


class SignAgreement(Takes):
    """Which writing of the terms is signed: the number that the page showed."""

    terms = whole(1, 1_000_000)


@command(
    records="partnership.agreement_signed",
    on=Agreement,
    takes=SignAgreement,
    within=q.visible_to,
    allow=[[p.speaks_for_a_side]],
    makes=Agreement,
    purpose="administration",
)
def sign_agreement(work: Work, agreement: Agreement, *, terms: int) -> Agreement:
    """Sign for one's own side. With the second signature it takes effect, from its first day on."""
    # Two proposals of one pair, signed at once, must not both take effect: one row is the pair's turnstile. Of two
    # community organizations either may have proposed, so it is the same one of them whichever agreement it is.
    pair = min(agreement.first_id, agreement.second_id) if agreement.is_of_peers else agreement.first_id
    work.session.execute(select(Organization.id).where(Organization.id == pair).with_for_update())
    changed = agreement.sign(work.actor.organization, terms=terms, at=work.now, by=work.actor.me)
    if agreement.is_signed:
        others = select(Agreement).where(
            joins(agreement.first_id, agreement.second_id),
            Agreement.id != agreement.id,
        )
        fresh = work.session.scalars(others, execution_options={"populate_existing": True})
        if any(agreement.overlaps(other) for other in fresh):
            raise OverlappingAgreementError
    work.record(agreement, changed)
    return agreement


class EndAgreement(Takes):
    """Why it ends."""

    because = text(1000)


@command(
    records="partnership.agreement_ended",
    on=Agreement,
    takes=EndAgreement,
    within=q.visible_to,
    allow=[[p.speaks_for_a_side]],
    makes=Agreement,
    purpose="administration",
)
def end_agreement(work: Work, agreement: Agreement, *, because: str) -> Agreement:
    """End it, or take a proposal back. Either side alone may; sharing stops at once."""
    changed = agreement.end(work.actor.organization, at=work.now, by=work.actor.me, because=because)
    work.record(agreement, changed)
    return agreement


class AddRule(Takes):
    """A rule that one side brings; a facility rule may name one facility, else it is for all of them."""

    kind = code(RULE_KINDS)
    facility_id = uid(required=False)
    wording = text(2000)


@command(
    records="partnership.rule_added",
    on=Agreement,
    takes=AddRule,
    within=q.visible_to,
    allow=[[p.speaks_for_a_side]],
    makes=PartnerRule,
    purpose="administration",
)
def add_rule(work: Work, agreement: Agreement, *, kind: str, facility_id: UUID | None, wording: str) -> PartnerRule:
    """Bring a non-negotiable or a facility rule of one's own side."""
    if facility_id is not None:
        facility = work.session.get(Facility, facility_id)
        if kind != "facility_rule":
            raise InvalidInputError({"facility_id": ["only_for_facility_rules"]})
        if (
            facility is None
            or facility.organization_id != agreement.agency_id
            or not agreement.covers_facility(facility_id)
        ):
            raise InvalidInputError({"facility_id": ["not_a_choice"]})
    rule = agreement.new_rule(
        work.actor.organization,
        kind=kind,
        facility_id=facility_id,
        wording=wording,
        at=work.now,
        by=work.actor.me,
    )
    work.add(rule)
    return rule


@command(
    records="partnership.rule_retired",
    on=PartnerRule,
    takes=Nothing,
    within=q.visible_rules,
    allow=[[p.speaks_for_its_maker]],
    makes=PartnerRule,
    purpose="administration",
)
def retire_rule(work: Work, rule: PartnerRule) -> PartnerRule:
    """Let a rule of one's own side hold no longer."""
    rule.retire(at=work.now, by=work.actor.me)
    work.record(rule, ["retired_at", "retired_by"])
    return rule


@command(
    records="partnership.rule_acknowledged",
    on=PartnerRule,
    takes=Nothing,
    within=q.visible_rules,
    allow=[[p.is_to_keep_it]],
    makes=RuleAcknowledgment,
    purpose="administration",
)
def acknowledge_rule(work: Work, rule: PartnerRule) -> RuleAcknowledgment:
    """Say, for oneself, that one has read the partner's rule and will keep it."""
    acknowledgment = rule.acknowledge(work.actor.me, at=work.now)
    work.add(acknowledgment)
    return acknowledgment
