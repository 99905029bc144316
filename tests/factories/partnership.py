"""Made-up agreements, made as the service makes them: by commands, on record, each side for itself."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sqlalchemy.orm import Session

from referrals.kernel.actor import Role
from referrals.kernel.command import execute
from referrals.kernel.orm import CATEGORIES
from referrals.kernel.record import clock
from referrals.organization.models import Organization
from referrals.partnership import commands
from referrals.partnership.models import PURPOSES, Agreement, PartnerRule
from tests.factories.organization import someone


def terms(today: date, **said: Any) -> dict[str, Any]:
    """Return terms that allow everything for two years from today."""
    return {
        "starts_on": today.isoformat(),
        "ends_on": (today + timedelta(days=730)).isoformat(),
        "categories": list(CATEGORIES),
        "purposes": list(PURPOSES),
    } | said


def a_proposal(session: Session, mine: Organization, theirs: Organization, **said: Any) -> Agreement:
    """Propose an agreement as a supervisor of the first organization."""
    agency = mine if mine.is_agency else theirs
    today = clock(session).astimezone(agency.zone).date()
    return execute(
        session,
        commands.propose_agreement,
        actor=someone(mine, Role.SUPERVISOR),
        target=mine.id,
        data={"partner_id": str(theirs.id)} | terms(today, **said),
    )


def signed(session: Session, agreement: Agreement, *organizations: Organization) -> Agreement:
    """Sign it as a supervisor of each of these organizations, in this order."""
    for organization in organizations:
        agreement = execute(
            session,
            commands.sign_agreement,
            actor=someone(organization, Role.SUPERVISOR),
            target=agreement.id,
            data={"terms": agreement.terms},
        )
    return agreement


def an_agreement(session: Session, agency: Organization, community: Organization, **said: Any) -> Agreement:
    """Propose and sign an agreement that both sides are bound by."""
    return signed(session, a_proposal(session, agency, community, **said), agency, community)


def a_rule(session: Session, agreement: Agreement, organization: Organization, **said: Any) -> PartnerRule:
    """Bring a non-negotiable as a supervisor of an organization."""
    return execute(
        session,
        commands.add_rule,
        actor=someone(organization, Role.SUPERVISOR),
        target=agreement.id,
        data={"kind": "non_negotiable", "wording": "Nobody is turned away for missing an appointment."} | said,
    )
