"""Participants and their care teams.

Revision ID: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "person",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("log_ref", sa.Uuid(), nullable=True),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("facility_id", sa.Uuid(), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("added_by", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("given_name", sa.LargeBinary(), nullable=False),
        sa.Column("family_name", sa.LargeBinary(), nullable=False),
        sa.Column("preferred_name", sa.LargeBinary(), nullable=True),
        sa.Column("birth_date", sa.LargeBinary(), nullable=False),
        sa.Column("language", sa.LargeBinary(), nullable=False),
        sa.Column("agency_number", sa.LargeBinary(), nullable=False),
        sa.Column("phone", sa.LargeBinary(), nullable=True),
        sa.Column("email", sa.LargeBinary(), nullable=True),
        sa.Column("address", sa.LargeBinary(), nullable=True),
        sa.Column("by_number_index", sa.LargeBinary(), nullable=True),
        sa.Column("by_number_index_v", sa.SmallInteger(), nullable=True),
        sa.Column("by_family_name_index", sa.LargeBinary(), nullable=True),
        sa.Column("by_family_name_index_v", sa.SmallInteger(), nullable=True),
        sa.Column("by_given_name_index", sa.LargeBinary(), nullable=True),
        sa.Column("by_given_name_index_v", sa.SmallInteger(), nullable=True),
        sa.Column("by_family_and_birth_index", sa.LargeBinary(), nullable=True),
        sa.Column("by_family_and_birth_index_v", sa.SmallInteger(), nullable=True),
        sa.ForeignKeyConstraint(["facility_id"], ["facility.id"], name="fk_person_facility_id_facility"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name="fk_person_organization_id_organization"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_person"),
        sa.UniqueConstraint("by_number_index", name="uq_person_by_number_index"),
        sa.UniqueConstraint("log_ref", name="uq_person_log_ref"),
    )
    op.create_index("ix_person_by_family_and_birth_index", "person", ["by_family_and_birth_index"])
    op.create_index("ix_person_by_family_name_index", "person", ["by_family_name_index"])
    op.create_index("ix_person_by_given_name_index", "person", ["by_given_name_index"])
    op.create_index("ix_person_facility_id", "person", ["facility_id"])
    op.create_index("ix_person_organization_id", "person", ["organization_id"])
    op.create_table(
        "assignment",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("program_id", sa.Uuid(), nullable=True),
        sa.Column("facility_id", sa.Uuid(), nullable=True),
        sa.Column("tie", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("from_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("from_by", sa.Uuid(), nullable=True),
        sa.Column("until_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.Uuid(), nullable=True),
        sa.Column("ended_because", sa.String(), nullable=True),
        sa.Column("referral_id", sa.Uuid(), nullable=True),
        sa.Column("reason_text", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "(user_id IS NOT NULL AND program_id IS NULL AND facility_id IS NULL)"
            " OR (user_id IS NULL AND program_id IS NOT NULL AND facility_id IS NULL)"
            " OR (user_id IS NULL AND program_id IS NULL AND facility_id IS NOT NULL)",
            name="ck_assignment_one_holder",
        ),
        sa.ForeignKeyConstraint(["facility_id"], ["facility.id"], name="fk_assignment_facility_id_facility"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name="fk_assignment_organization_id_organization"
        ),
        sa.ForeignKeyConstraint(["participant_id"], ["person.id"], name="fk_assignment_participant_id_person"),
        sa.ForeignKeyConstraint(["program_id"], ["program.id"], name="fk_assignment_program_id_program"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_assignment_user_id_user"),
        sa.PrimaryKeyConstraint("id", name="pk_assignment"),
    )
    op.create_index("ix_assignment_organization_id_until_at", "assignment", ["organization_id", "until_at"])
    op.create_index("ix_assignment_participant_id_until_at", "assignment", ["participant_id", "until_at"])
    op.create_index("ix_assignment_program_id_until_at", "assignment", ["program_id", "until_at"])
    op.create_index("ix_assignment_referral_id", "assignment", ["referral_id"])
    op.create_index("ix_assignment_user_id_until_at", "assignment", ["user_id", "until_at"])


def downgrade() -> None:
    op.drop_table("assignment")
    op.drop_table("person")
