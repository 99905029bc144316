"""What a program says of a place on its waiting list, insert-only: that it stands, or what it is now.

Revision ID: 0030
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0030"
down_revision: Final = "0029"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "place_confirmation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("referral_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=False),
        sa.Column("place", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_place_confirmation"),
        sa.ForeignKeyConstraint(["referral_id"], ["referral.id"], name="fk_place_confirmation_referral_id_referral"),
        sa.ForeignKeyConstraint(["participant_id"], ["person.id"], name="fk_place_confirmation_participant_id_person"),
    )
    op.create_index("ix_place_confirmation_referral_id", "place_confirmation", ["referral_id"])
    for statement in _guards(op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("place_confirmation")


def _guards(dialect: str) -> list[str]:
    """Keep rows as they were written, even against raw SQL. On PostgreSQL `refuse_change()` comes from 0003."""
    if dialect == "postgresql":
        row, table = (f"FOR EACH {one} EXECUTE FUNCTION refuse_change()" for one in ("ROW", "STATEMENT"))
        return [
            f"CREATE TRIGGER place_confirmation_keeps_values BEFORE UPDATE OR DELETE ON place_confirmation {row}",
            f"CREATE TRIGGER place_confirmation_keeps_rows BEFORE TRUNCATE ON place_confirmation {table}",
            "ALTER TABLE place_confirmation ENABLE ALWAYS TRIGGER place_confirmation_keeps_values",
            "ALTER TABLE place_confirmation ENABLE ALWAYS TRIGGER place_confirmation_keeps_rows",
        ]
    # INSERT OR REPLACE removes the row in its way without firing the delete trigger.
    met = "EXISTS (SELECT 1 FROM place_confirmation WHERE id = NEW.id)"
    refuse = "BEGIN SELECT RAISE(ABORT, 'place_confirmation is insert-only'); END"
    return [
        f"CREATE TRIGGER place_confirmation_keeps_rows BEFORE DELETE ON place_confirmation {refuse}",
        f"CREATE TRIGGER place_confirmation_keeps_values BEFORE UPDATE ON place_confirmation {refuse}",
        f"CREATE TRIGGER place_confirmation_keeps_ids BEFORE INSERT ON place_confirmation WHEN {met} {refuse}",
    ]
