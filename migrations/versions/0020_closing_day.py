"""The days on which an organization is closed, announced ahead.

Revision ID: 0020
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0020"
down_revision: Final = "0019"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "closing_day",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("closed_on", sa.Date(), nullable=False),
        sa.Column("because", sa.String(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("added_by", sa.Uuid()),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True)),
        sa.Column("withdrawn_by", sa.Uuid()),
        sa.PrimaryKeyConstraint("id", name="pk_closing_day"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name="fk_closing_day_organization_id_organization"
        ),
    )
    op.create_index("ix_closing_day_organization_id", "closing_day", ["organization_id"])


def downgrade() -> None:
    op.drop_table("closing_day")
