"""Printed code sheets, a second factor on paper; sign-ins on shared computers.

Revision ID: 0039
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0039"
down_revision: Final = "0038"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "code_sheet",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(2), nullable=False),
        sa.Column("hashes", sa.Text(), nullable=False),
        sa.Column("asked", sa.Integer()),
        _instant("made_at", nullable=False),
        _instant("confirmed_at"),
        _instant("lost_at"),
        _instant("ended_at"),
        sa.PrimaryKeyConstraint("id", name="pk_code_sheet"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_code_sheet_user_id_user"),
    )
    op.create_index("ix_code_sheet_user_id", "code_sheet", ["user_id"])
    in_force = sa.text("confirmed_at IS NOT NULL AND ended_at IS NULL")
    op.create_index(
        "uq_code_sheet_in_force",
        "code_sheet",
        ["user_id"],
        unique=True,
        sqlite_where=in_force,
        postgresql_where=in_force,
    )
    op.add_column("sign_in", sa.Column("is_shared", sa.Boolean()))


def downgrade() -> None:
    op.drop_column("sign_in", "is_shared")
    op.drop_table("code_sheet")


def _instant(name: str, *, nullable: bool = True) -> sa.Column[sa.DateTime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)
