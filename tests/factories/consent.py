"""Made-up consents, given as the service takes them: by commands, on record."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from referrals.consent import commands
from referrals.consent.models import Consent
from referrals.kernel.actor import Actor
from referrals.kernel.command import execute
from referrals.kernel.record import clock

#: What a first referral needs to carry.
USUAL = ("identity", "contact", "release", "needs")
PDF = b"%PDF-1.7\nscanned form\n%%EOF\n"


def words(session: Session, actor: Actor, recipient_id: UUID, /, **said: Any) -> dict[str, Any]:
    """Return complete words for a consent by typed signature from the actor's organization, for 90 days."""
    today = clock(session).date() - timedelta(days=1)
    return {
        "from_org_id": str(actor.organization),
        "to_org_id": str(recipient_id),
        "categories": list(USUAL),
        "purposes": ["referral"],
        "name_as_on_form": "Rosa Núñez",
        "told_rights": True,
        "expires_on": (today + timedelta(days=90)).isoformat(),
        "method": "e_signature",
        "signature": "Rosa Núñez",
        "signed_on": today.isoformat(),
        "language": "en",
    } | said


def a_consent(session: Session, actor: Actor, person_id: UUID, to_org_id: UUID, **said: Any) -> Consent:
    """Take a consent from the actor's organization toward another."""
    data = words(session, actor, to_org_id, **said)
    return execute(session, commands.give_consent, actor=actor, target=person_id, data=data)


def both_ways(
    session: Session,
    actor: Actor,
    person_id: UUID,
    to_org_id: UUID,
    *,
    back: Iterable[str] = ("attendance",),
    **said: Any,
) -> Consent:
    """Take both directions in one sitting: there for a referral, back to the actor's own role."""
    role = next(iter(sorted(actor.roles)))
    answered = {"back": "yes", "back_categories": list(back), "back_to_role": str(role)}
    return a_consent(session, actor, person_id, to_org_id, **(answered | said))


def withdrawn(session: Session, actor: Actor, consent_id: UUID, how: str = "told_staff") -> Consent:
    """Take a consent back."""
    return execute(session, commands.withdraw_consent, actor=actor, target=consent_id, data={"how": how})
