"""Who stands where towards an agreement and its rules. Names read after "may, if the actor …".

An organization is bound by its supervisors. Its administrators see to accounts and read agreements; they sign none.
"""

from __future__ import annotations

from referrals.kernel.actor import Actor, Role
from referrals.organization.models import Organization
from referrals.partnership.models import Agreement, PartnerRule


def speaks_for_it(actor: Actor, organization: Organization) -> bool:
    """Supervises at the organization, and so may bind it."""
    return actor.organization_id == organization.id and actor.works_as(Role.SUPERVISOR)


def speaks_for_a_side(actor: Actor, agreement: Agreement) -> bool:
    """Supervises at one of the two organizations, and so may bind that one."""
    return agreement.party_of(actor.organization_id) is not None and actor.works_as(Role.SUPERVISOR)


def speaks_for_its_maker(actor: Actor, rule: PartnerRule) -> bool:
    """Supervises at the organization whose rule it is."""
    return actor.organization_id == rule.organization_id and actor.works_as(Role.SUPERVISOR)


def is_to_keep_it(actor: Actor, rule: PartnerRule) -> bool:
    """Works with participants on the other side than the one whose rule it is."""
    other = rule.agreement.other_than(rule.organization_id)
    works = actor.works_as(Role.CASE_MANAGER, Role.SUPERVISING_OFFICER, Role.NAVIGATOR, Role.SUPERVISOR)
    return actor.organization_id == other and works
