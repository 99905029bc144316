"""Who stands where towards a code sheet. Names read after "may, if the actor …"."""

from __future__ import annotations

from referrals.code_sheet.models import CodeSheet
from referrals.kernel.actor import Actor


def holds_it(actor: Actor, sheet: CodeSheet) -> bool:
    """Is the user whose sheet this is."""
    return actor.user_id == sheet.user_id
