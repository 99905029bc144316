"""The handoff: closing reports and their goals' outcomes, both insert-only."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0012"
down_revision: Final = "0011"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "closing_report",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("referral_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("adds_to_id", sa.Uuid()),
        sa.Column("helps_next", sa.LargeBinary(), nullable=False),
        sa.Column("persons_view", sa.LargeBinary()),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_closing_report"),
        sa.ForeignKeyConstraint(["referral_id"], ["referral.id"], name="fk_closing_report_referral_id_referral"),
        sa.ForeignKeyConstraint(["participant_id"], ["person.id"], name="fk_closing_report_participant_id_person"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name="fk_closing_report_organization_id_organization"
        ),
        sa.ForeignKeyConstraint(
            ["adds_to_id"], ["closing_report.id"], name="fk_closing_report_adds_to_id_closing_report"
        ),
    )
    op.create_index("ix_closing_report_referral_id", "closing_report", ["referral_id"])
    op.create_table(
        "goal_outcome",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("report_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("result", sa.String(), nullable=False),
        sa.Column("comment", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_goal_outcome"),
        sa.ForeignKeyConstraint(["report_id"], ["closing_report.id"], name="fk_goal_outcome_report_id_closing_report"),
        sa.ForeignKeyConstraint(["participant_id"], ["person.id"], name="fk_goal_outcome_participant_id_person"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name="fk_goal_outcome_organization_id_organization"
        ),
        sa.UniqueConstraint("report_id", "number", name="uq_goal_outcome_report_id_number"),
    )
    for table in ("closing_report", "goal_outcome"):
        for statement in _guards(table, op.get_bind().dialect.name):
            op.execute(statement)


def downgrade() -> None:
    op.drop_table("goal_outcome")
    op.drop_table("closing_report")


def _guards(table: str, dialect: str) -> list[str]:
    """Keep rows as they were written, even against raw SQL. On PostgreSQL `refuse_change()` comes from 0003."""
    if dialect == "postgresql":
        refuse = "EXECUTE FUNCTION refuse_change()"
        return [
            f"CREATE TRIGGER {table}_keeps_values BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW {refuse}",
            f"CREATE TRIGGER {table}_keeps_rows BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {refuse}",
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_keeps_values",
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_keeps_rows",
        ]
    # INSERT OR REPLACE removes the row in its way without firing the delete trigger, whichever unique index it meets.
    in_the_way = "id = NEW.id"
    if table == "goal_outcome":
        in_the_way += " OR (report_id = NEW.report_id AND number = NEW.number)"
    met = f"EXISTS (SELECT 1 FROM {table} WHERE {in_the_way})"  # noqa: S608  # names of this file alone
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is insert-only'); END"
    return [
        f"CREATE TRIGGER {table}_keeps_rows BEFORE DELETE ON {table} {refuse}",
        f"CREATE TRIGGER {table}_keeps_values BEFORE UPDATE ON {table} {refuse}",
        f"CREATE TRIGGER {table}_keeps_ids BEFORE INSERT ON {table} WHEN {met} {refuse}",
    ]
