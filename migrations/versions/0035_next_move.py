"""Whose move the last step of a referral leaves, and up to when a periodic job has seen everything.

Revision ID: 0035
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0035"
down_revision: Final = "0034"
branch_labels: Final = None
depends_on: Final = None

_SIDES: Final = ("source_id", "recipient_id")
#: By the last step, as the model says it; a hold, and what the source took back, by who did it.
_FILL: Final = """
UPDATE referral SET next_move = (
    SELECT CASE
        WHEN step.to_state IN ('sent', 'acknowledged', 'accepted', 'waitlisted', 'in_progress') THEN 'shared'
        WHEN step.to_state = 'on_hold' AND step.side = 'recipient' THEN 'recipient'
        WHEN step.to_state = 'cancelled' AND step.side = 'source' THEN 'recipient'
        ELSE 'source'
    END
    FROM referral_step AS step WHERE step.referral_id = referral.id AND step.seq = referral.step_count
) WHERE sent_at IS NOT NULL AND done_at IS NULL
"""


def upgrade() -> None:
    op.add_column("job", sa.Column("seen_until", sa.DateTime(timezone=True)))
    op.add_column("referral", sa.Column("next_move", sa.String()))
    op.execute(_FILL)
    for side in _SIDES:
        op.drop_index(f"ix_referral_{side}_done_at_id", "referral")
        _index(side, "done_at", "id")
        _index(side, "next_move", "sent_at", "id")


def downgrade() -> None:
    for side in _SIDES:
        op.drop_index(f"ix_referral_{side}_next_move_sent_at_id", "referral")
        op.drop_index(f"ix_referral_{side}_done_at_id", "referral")
        op.create_index(f"ix_referral_{side}_done_at_id", "referral", [side, "done_at", "id"])
    op.drop_column("referral", "next_move")
    op.drop_column("job", "seen_until")


def _index(side: str, what: str, *order: str) -> None:
    there = sa.text(f"{what} IS NOT NULL")
    name = "_".join(("ix_referral", side, what, *order))
    op.create_index(name, "referral", [side, what, *order], sqlite_where=there, postgresql_where=there)
