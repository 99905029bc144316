"""Data keys: what the epochs wrap and the cells are sealed with.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "data_key",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("purpose", sa.String(20), nullable=False),
        sa.Column("owner", sa.Uuid(), nullable=True),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("epoch", sa.String(40), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column("sealings", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_data_key")),
    )
    owned = sa.text("status = 'primary' AND owner IS NOT NULL")
    op.create_index(
        "uq_data_key_primary_owned",
        "data_key",
        ["owner", "purpose"],
        unique=True,
        sqlite_where=owned,
        postgresql_where=owned,
    )
    house = sa.text("status = 'primary' AND owner IS NULL")
    op.create_index(
        "uq_data_key_primary_house",
        "data_key",
        ["purpose"],
        unique=True,
        sqlite_where=house,
        postgresql_where=house,
    )
    op.create_index("ix_data_key_owner", "data_key", ["owner"])


def downgrade() -> None:
    op.drop_table("data_key")
