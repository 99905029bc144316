"""Who stands where towards an account. Names read after "may, if the actor …"."""

from __future__ import annotations

from referrals.account.models import ApiToken, RoleGrant, RoleProposal, SecondFactor, SignIn, User
from referrals.kernel.actor import Actor, Role
from referrals.organization.models import Installation, Organization


def is_nobody_yet(actor: Actor, _installation: Installation) -> bool:
    """Has not signed in: the only one who may."""
    return actor.user_id is None and actor.kind in {"anonymous", "unknown"}


def holds_it(actor: Actor, thing: SignIn | SecondFactor) -> bool:
    """Is the user whose sign-in or factor this is."""
    return actor.user_id == thing.user_id


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


def administers_its_organization(actor: Actor, token: ApiToken) -> bool:
    """Is an administrator of the organization whose integration shows this token. Needs `user` loaded."""
    return actor.organization_id == token.user.organization_id and actor.works_as(Role.ADMINISTRATOR)


def hands_work_over(actor: Actor) -> bool:
    """Is a supervisor, and so sees what a colleague who left has open, and gives it to another (S-807)."""
    return actor.works_as(Role.SUPERVISOR)


def reads_reviews(actor: Actor) -> bool:
    """Is an administrator or auditor, and so reads how their organization's accounts were reviewed (S-805)."""
    return actor.works_as(Role.ADMINISTRATOR, Role.AUDITOR)
