"""Reports that a referral was entered in error (insert-only): another person confirms them.

Revision ID: 0015
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0015"
down_revision: Final = "0014"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "error_report",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("referral_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("because", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_error_report"),
        sa.ForeignKeyConstraint(["referral_id"], ["referral.id"], name="fk_error_report_referral_id_referral"),
        sa.ForeignKeyConstraint(["participant_id"], ["person.id"], name="fk_error_report_participant_id_person"),
    )
    op.create_index("ix_error_report_referral_id", "error_report", ["referral_id"])
    for statement in _guards(op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("error_report")


def _guards(dialect: str) -> list[str]:
    """Keep rows as they were written, even against raw SQL. On PostgreSQL `refuse_change()` comes from 0003."""
    if dialect == "postgresql":
        refuse = "EXECUTE FUNCTION refuse_change()"
        return [
            f"CREATE TRIGGER error_report_keeps_values BEFORE UPDATE OR DELETE ON error_report FOR EACH ROW {refuse}",
            f"CREATE TRIGGER error_report_keeps_rows BEFORE TRUNCATE ON error_report FOR EACH STATEMENT {refuse}",
            "ALTER TABLE error_report ENABLE ALWAYS TRIGGER error_report_keeps_values",
            "ALTER TABLE error_report ENABLE ALWAYS TRIGGER error_report_keeps_rows",
        ]
    # INSERT OR REPLACE removes the row in its way without firing the delete trigger.
    met = "EXISTS (SELECT 1 FROM error_report WHERE id = NEW.id)"
    refuse = "BEGIN SELECT RAISE(ABORT, 'error_report is insert-only'); END"
    return [
        f"CREATE TRIGGER error_report_keeps_rows BEFORE DELETE ON error_report {refuse}",
        f"CREATE TRIGGER error_report_keeps_values BEFORE UPDATE ON error_report {refuse}",
        f"CREATE TRIGGER error_report_keeps_ids BEFORE INSERT ON error_report WHEN {met} {refuse}",
    ]
