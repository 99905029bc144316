"""Programs and their intake lists.

Revision ID: 0006
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0006"
down_revision: Final = "0005"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "program",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("location_id", sa.Uuid()),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String()),
        sa.Column("categories", sa.JSON(), nullable=False),
        sa.Column("eligibility", sa.String()),
        sa.Column("evidence", sa.String()),
        sa.Column("evidence_source", sa.String()),
        sa.Column("languages", sa.JSON(), nullable=False),
        sa.Column("places", sa.JSON(), nullable=False),
        sa.Column("phone", sa.String()),
        sa.Column("email", sa.String()),
        sa.Column("website", sa.String()),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("added_by", sa.Uuid()),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.Column("closed_by", sa.Uuid()),
        sa.Column("closed_because", sa.String()),
        sa.Column("source", sa.String()),
        sa.Column("source_id", sa.String()),
        sa.Column("source_fields", sa.JSON()),
        sa.Column("capacity_code", sa.String()),
        sa.Column("open_places", sa.Integer()),
        sa.Column("waiting", sa.Integer()),
        sa.Column("expected_days", sa.Integer()),
        sa.Column("capacity_by", sa.Uuid()),
        sa.Column("capacity_at", sa.DateTime(timezone=True)),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name_fold", sa.String(), nullable=False),
        sa.Column("search_fold", sa.String(), nullable=False),
        sa.Column("places_fold", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_program"),
        sa.UniqueConstraint("source", "source_id", name="uq_program_source_source_id"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name="fk_program_organization_id_organization"
        ),
        sa.ForeignKeyConstraint(["location_id"], ["location.id"], name="fk_program_location_id_location"),
    )
    op.create_index("ix_program_organization_id", "program", ["organization_id"])
    op.create_index("ix_program_name_fold", "program", ["name_fold", "id"])
    op.create_table(
        "intake_member",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("program_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("added_by", sa.Uuid()),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("ended_by", sa.Uuid()),
        sa.PrimaryKeyConstraint("id", name="pk_intake_member"),
        sa.ForeignKeyConstraint(["program_id"], ["program.id"], name="fk_intake_member_program_id_program"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_intake_member_user_id_user"),
    )
    op.create_index("ix_intake_member_user_id", "intake_member", ["user_id"])
    in_force = sa.text("ended_at IS NULL")
    op.create_index(
        "uq_intake_member_in_force",
        "intake_member",
        ["program_id", "user_id"],
        unique=True,
        sqlite_where=in_force,
        postgresql_where=in_force,
    )


def downgrade() -> None:
    op.drop_table("intake_member")
    op.drop_table("program")
