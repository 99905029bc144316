"""Who stands where towards an issuer. Names read after "may, if the actor …"."""

from __future__ import annotations

from referrals.issuer.models import Issuer, IssuerSubject
from referrals.kernel.actor import Actor, Role


def administers_its_organization(actor: Actor, issuer: Issuer) -> bool:
    """Is an administrator of the organization whose people sign in there."""
    return actor.organization_id == issuer.organization_id and actor.works_as(Role.ADMINISTRATOR)


def holds_it(actor: Actor, subject: IssuerSubject) -> bool:
    """Is the user whom the issuer calls so."""
    return actor.user_id == subject.user_id
