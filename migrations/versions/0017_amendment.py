"""What was changed after a referral was sent: old beside new, insert-only.

Revision ID: 0017
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0017"
down_revision: Final = "0016"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "amendment",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("referral_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("category", sa.String()),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("because", sa.LargeBinary()),
        sa.Column("old", sa.LargeBinary(), nullable=False),
        sa.Column("new", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_amendment"),
        sa.ForeignKeyConstraint(["referral_id"], ["referral.id"], name="fk_amendment_referral_id_referral"),
        sa.ForeignKeyConstraint(["participant_id"], ["person.id"], name="fk_amendment_participant_id_person"),
    )
    op.create_index("ix_amendment_referral_id", "amendment", ["referral_id"])
    for statement in _guards(op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("amendment")


def _guards(dialect: str) -> list[str]:
    """Keep rows as they were written, even against raw SQL. On PostgreSQL `refuse_change()` comes from 0003."""
    if dialect == "postgresql":
        refuse = "EXECUTE FUNCTION refuse_change()"
        return [
            f"CREATE TRIGGER amendment_keeps_values BEFORE UPDATE OR DELETE ON amendment FOR EACH ROW {refuse}",
            f"CREATE TRIGGER amendment_keeps_rows BEFORE TRUNCATE ON amendment FOR EACH STATEMENT {refuse}",
            "ALTER TABLE amendment ENABLE ALWAYS TRIGGER amendment_keeps_values",
            "ALTER TABLE amendment ENABLE ALWAYS TRIGGER amendment_keeps_rows",
        ]
    # INSERT OR REPLACE removes the row in its way without firing the delete trigger.
    met = "EXISTS (SELECT 1 FROM amendment WHERE id = NEW.id)"
    refuse = "BEGIN SELECT RAISE(ABORT, 'amendment is insert-only'); END"
    return [
        f"CREATE TRIGGER amendment_keeps_rows BEFORE DELETE ON amendment {refuse}",
        f"CREATE TRIGGER amendment_keeps_values BEFORE UPDATE ON amendment {refuse}",
        f"CREATE TRIGGER amendment_keeps_ids BEFORE INSERT ON amendment WHEN {met} {refuse}",
    ]
