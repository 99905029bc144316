"""Who stands where towards an account. Names read after "may, if the actor …"."""

from __future__ import annotations

from referrals.account.models import RoleGrant, RoleProposal, User
from referrals.kernel.actor import Actor, Role
from referrals.organization.models import Organization


def is_oneself(actor: Actor, user: User) -> bool:
    """Is this user."""
    return actor.user_id == user.id


def administers_it(actor: Actor, organization: Organization) -> bool:
    """Is an administrator of this organization."""
    return actor.organization_id == organization.id and actor.works_as(Role.ADMINISTRATOR)


def administers_them(actor: Actor, thing: User | RoleGrant | RoleProposal) -> bool:
    """Is an administrator of the user's organization, and not that user: nobody gives themselves power (S-205)."""
    user = thing if isinstance(thing, User) else thing.user
    return (
        actor.organization_id == user.organization_id
        and actor.works_as(Role.ADMINISTRATOR)
        and actor.user_id != user.id
    )


def has_not_proposed_it(actor: Actor, proposal: RoleProposal) -> bool:
    """Is not who proposed it: it takes two (S-802, S-205)."""
    return actor.user_id != proposal.proposed_by


def operates(actor: Actor, _thing: Organization | User | RoleGrant | RoleProposal) -> bool:
    """Runs the service: makes the first administrator, unlocks the last one, confirms where there is no second one."""
    return actor.works_as(Role.OPERATOR)
