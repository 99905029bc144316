"""Who acknowledged the rules of behavior (insert-only), roles that wait for a second person, what changed on accounts.

Revision ID: 0021
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0021"
down_revision: Final = "0020"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "rules_acknowledgment",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("wording", sa.String(20), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rules_acknowledgment"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_rules_acknowledgment_user_id_user"),
    )
    op.create_index("ix_rules_acknowledgment_user_id", "rules_acknowledgment", ["user_id"])
    op.create_table(
        "role_proposal",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(30), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("proposed_by", sa.Uuid(), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.Column("settled_by", sa.Uuid()),
        sa.Column("outcome", sa.String(10)),
        sa.Column("because", sa.String(400)),
        sa.PrimaryKeyConstraint("id", name="pk_role_proposal"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_role_proposal_user_id_user"),
    )
    op.create_index("ix_role_proposal_user_id", "role_proposal", ["user_id"])
    waits = sa.text("settled_at IS NULL")
    op.create_index(
        "uq_role_proposal_waiting",
        "role_proposal",
        ["user_id", "role"],
        unique=True,
        sqlite_where=waits,
        postgresql_where=waits,
    )
    op.create_table(
        "account_change",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("what", sa.String(20), nullable=False),
        sa.Column("role", sa.String(30)),
        sa.Column("ends_on", sa.Date()),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Uuid()),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_account_change"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_account_change_user_id_user"),
    )
    op.create_index("ix_account_change_user_id_at", "account_change", ["user_id", "at"])
    op.add_column("user", sa.Column("changes_seen_at", sa.DateTime(timezone=True)))
    for statement in _guards(op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    op.drop_column("user", "changes_seen_at")
    op.drop_table("account_change")
    op.drop_table("role_proposal")
    op.drop_table("rules_acknowledgment")


def _guards(dialect: str) -> list[str]:
    """Keep rows as they were written, even against raw SQL. On PostgreSQL `refuse_change()` comes from 0003."""
    on = "ON rules_acknowledgment"
    if dialect == "postgresql":
        refuse = "EXECUTE FUNCTION refuse_change()"
        return [
            f"CREATE TRIGGER rules_acknowledgment_keeps_values BEFORE UPDATE OR DELETE {on} FOR EACH ROW {refuse}",
            f"CREATE TRIGGER rules_acknowledgment_keeps_rows BEFORE TRUNCATE {on} FOR EACH STATEMENT {refuse}",
            "ALTER TABLE rules_acknowledgment ENABLE ALWAYS TRIGGER rules_acknowledgment_keeps_values",
            "ALTER TABLE rules_acknowledgment ENABLE ALWAYS TRIGGER rules_acknowledgment_keeps_rows",
        ]
    # INSERT OR REPLACE removes the row in its way without firing the delete trigger.
    met = "EXISTS (SELECT 1 FROM rules_acknowledgment WHERE id = NEW.id)"
    refuse = "BEGIN SELECT RAISE(ABORT, 'rules_acknowledgment is insert-only'); END"
    return [
        f"CREATE TRIGGER rules_acknowledgment_keeps_rows BEFORE DELETE {on} {refuse}",
        f"CREATE TRIGGER rules_acknowledgment_keeps_values BEFORE UPDATE {on} {refuse}",
        f"CREATE TRIGGER rules_acknowledgment_keeps_ids BEFORE INSERT {on} WHEN {met} {refuse}",
    ]
