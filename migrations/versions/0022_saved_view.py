"""What is typed into searches, kept sealed for 8 hours.

Revision ID: 0022
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0022"
down_revision: Final = "0021"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "kept_search",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("words", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_kept_search"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_kept_search_user_id_user"),
    )
    op.create_index("ix_kept_search_at", "kept_search", ["at"])


def downgrade() -> None:
    op.drop_table("kept_search")
