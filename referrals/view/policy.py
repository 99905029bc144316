"""Who stands where towards a saved view. Names read after "may, if the actor …"."""

from __future__ import annotations

from referrals.kernel.actor import Actor, Role
from referrals.view.models import SavedView


def holds_it(actor: Actor, view: SavedView) -> bool:
    """Is the user whose saved view this is."""
    return actor.user_id == view.user_id


def shares_views(actor: Actor) -> bool:
    """Is an administrator or supervisor, and so may save views for the whole organization."""
    return actor.works_as(Role.ADMINISTRATOR, Role.SUPERVISOR)


def keeps_the_teams(actor: Actor, view: SavedView) -> bool:
    """Is one of those who look after the views of the organization, of which this is one."""
    return view.is_team and view.organization_id == actor.organization_id and shares_views(actor)
