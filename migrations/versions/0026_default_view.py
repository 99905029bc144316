"""Saved views of lists, and which one somebody's list opens with.

Revision ID: 0026
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0026"
down_revision: Final = "0025"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "saved_view",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("listing", sa.String(40), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("query", sa.LargeBinary(), nullable=False),
        sa.Column("is_team", sa.Boolean(), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True)),
        sa.Column("withdrawn_by", sa.Uuid()),
        sa.PrimaryKeyConstraint("id", name="pk_saved_view"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_saved_view_user_id_user"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name="fk_saved_view_organization_id_organization"
        ),
    )
    op.create_index("ix_saved_view_user_id_listing", "saved_view", ["user_id", "listing"])
    op.create_index("ix_saved_view_organization_id_listing", "saved_view", ["organization_id", "listing"])
    op.create_table(
        "default_view",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("listing", sa.String(40), nullable=False),
        sa.Column("view_id", sa.Uuid()),
        sa.PrimaryKeyConstraint("id", name="pk_default_view"),
        sa.UniqueConstraint("user_id", "listing", name="uq_default_view_user_id_listing"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_default_view_user_id_user"),
        sa.ForeignKeyConstraint(["view_id"], ["saved_view.id"], name="fk_default_view_view_id_saved_view"),
    )


def downgrade() -> None:
    op.drop_table("default_view")
    op.drop_table("saved_view")
