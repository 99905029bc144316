"""When a draft was last saved: untouched for 60 days, it lapses.

Revision ID: 0016
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0016"
down_revision: Final = "0015"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.add_column("referral", sa.Column("touched_at", sa.DateTime(timezone=True)))
    op.execute("UPDATE referral SET touched_at = drafted_at")
    op.create_index(
        "ix_referral_touched_at",
        "referral",
        ["touched_at"],
        sqlite_where=sa.text("step_count = 0"),
        postgresql_where=sa.text("step_count = 0"),
    )


def downgrade() -> None:
    op.drop_index("ix_referral_touched_at", "referral")
    op.drop_column("referral", "touched_at")
