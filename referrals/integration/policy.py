"""Who stands where towards an API token. Names read after "may, if the actor …"."""

from __future__ import annotations

from referrals.integration.models import ApiToken
from referrals.kernel.actor import Actor, Role


def administers_its_organization(actor: Actor, token: ApiToken) -> bool:
    """Is an administrator of the organization whose integration shows this token. Needs `user` loaded."""
    return actor.organization_id == token.user.organization_id and actor.works_as(Role.ADMINISTRATOR)
