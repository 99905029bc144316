"""Who stands where towards a consent."""

from __future__ import annotations

from referrals.consent.models import Consent, Evidence
from referrals.kernel.actor import Actor, Role
from referrals.person.policy import works_with_participants

__all__ = ["is_its_witness", "is_party_to_it", "supervises_its_taking", "took_it_in", "works_with_participants"]


def is_party_to_it(actor: Actor, consent: Consent) -> bool:
    """May, if the actor belongs to the discloser or the recipient."""
    return actor.organization_id in {consent.from_org_id, consent.to_org_id}


def is_its_witness(actor: Actor, consent: Consent) -> bool:
    """May, if the actor was named as the one who heard it."""
    return actor.user_id is not None and actor.user_id == consent.witness_id


def supervises_its_taking(actor: Actor, consent: Consent) -> bool:
    """May, if the actor is a supervisor of the organization that took the consent."""
    return actor.organization_id == consent.taken_org_id and actor.works_as(Role.SUPERVISOR)


def took_it_in(actor: Actor, evidence: Evidence) -> bool:
    """May, if the actor's organization took the evidence in."""
    return actor.organization_id == evidence.taken_org_id
