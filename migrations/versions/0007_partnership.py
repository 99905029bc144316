"""Agreements between agencies and community organizations, and the rules each side brings.

Revision ID: 0007
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0007"
down_revision: Final = "0006"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "agreement",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("agency_id", sa.Uuid(), nullable=False),
        sa.Column("community_id", sa.Uuid(), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("proposed_by", sa.Uuid(), nullable=False),
        sa.Column("proposed_by_org", sa.Uuid(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column("time_zone", sa.String(), nullable=False),
        sa.Column("begins_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("categories", sa.JSON(), nullable=False),
        sa.Column("purposes", sa.JSON(), nullable=False),
        sa.Column("facility_ids", sa.JSON()),
        sa.Column("program_ids", sa.JSON()),
        sa.Column("agency_signed_at", sa.DateTime(timezone=True)),
        sa.Column("agency_signed_by", sa.Uuid()),
        sa.Column("community_signed_at", sa.DateTime(timezone=True)),
        sa.Column("community_signed_by", sa.Uuid()),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("ended_by", sa.Uuid()),
        sa.Column("ended_by_org", sa.Uuid()),
        sa.Column("ended_because", sa.String()),
        sa.Column("terms", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_agreement"),
        sa.ForeignKeyConstraint(["agency_id"], ["organization.id"], name="fk_agreement_agency_id_organization"),
        sa.ForeignKeyConstraint(["community_id"], ["organization.id"], name="fk_agreement_community_id_organization"),
        sa.CheckConstraint("starts_on <= ends_on", name="ck_agreement_term"),
        sa.CheckConstraint("agency_id <> community_id", name="ck_agreement_sides"),
    )
    op.create_index("ix_agreement_agency_id_community_id", "agreement", ["agency_id", "community_id"])
    op.create_index("ix_agreement_community_id", "agreement", ["community_id"])
    op.create_table(
        "partner_rule",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("agreement_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("facility_id", sa.Uuid()),
        sa.Column("wording", sa.String(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("added_by", sa.Uuid(), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True)),
        sa.Column("retired_by", sa.Uuid()),
        sa.PrimaryKeyConstraint("id", name="pk_partner_rule"),
        sa.ForeignKeyConstraint(["agreement_id"], ["agreement.id"], name="fk_partner_rule_agreement_id_agreement"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name="fk_partner_rule_organization_id_organization"
        ),
        sa.ForeignKeyConstraint(["facility_id"], ["facility.id"], name="fk_partner_rule_facility_id_facility"),
        sa.CheckConstraint("kind IN ('non_negotiable', 'facility_rule')", name="ck_partner_rule_kind"),
    )
    op.create_index("ix_partner_rule_agreement_id", "partner_rule", ["agreement_id"])
    op.create_table(
        "rule_acknowledgment",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("rule_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rule_acknowledgment"),
        sa.ForeignKeyConstraint(["rule_id"], ["partner_rule.id"], name="fk_rule_acknowledgment_rule_id_partner_rule"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_rule_acknowledgment_user_id_user"),
        sa.UniqueConstraint("rule_id", "user_id", name="uq_rule_acknowledgment_rule_id_user_id"),
    )
    op.create_index("ix_rule_acknowledgment_user_id", "rule_acknowledgment", ["user_id"])


def downgrade() -> None:
    for table in ("rule_acknowledgment", "partner_rule", "agreement"):
        op.drop_table(table)
