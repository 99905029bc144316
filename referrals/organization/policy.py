"""Who stands where towards an organization and its places. Names read after "may, if the actor …"."""

from __future__ import annotations

from referrals.kernel.actor import Actor, Role
from referrals.organization.models import ClosingDay, Facility, Installation, Location, Organization, Room

Place = Organization | Facility | Room | Location | ClosingDay


def operates(actor: Actor, _thing: Installation | Place) -> bool:
    """Runs the service itself."""
    return actor.works_as(Role.OPERATOR)


def administers_it(actor: Actor, thing: Place) -> bool:
    """Is an administrator of the organization, or of the organization whose place this is."""
    if isinstance(thing, Room):
        owner = thing.facility.organization_id
    else:
        owner = thing.id if isinstance(thing, Organization) else thing.organization_id
    return actor.organization_id == owner and actor.works_as(Role.ADMINISTRATOR)
