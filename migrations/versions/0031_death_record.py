"""That a participant has died, or that this was a mistake: insert-only.

Revision ID: 0031
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0031"
down_revision: Final = "0030"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "death_record",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=False),
        sa.Column("died_on", sa.LargeBinary()),
        sa.Column("told_by", sa.LargeBinary()),
        sa.Column("words", sa.LargeBinary()),
        sa.Column("because", sa.LargeBinary()),
        sa.Column("takes_back_id", sa.Uuid()),
        sa.PrimaryKeyConstraint("id", name="pk_death_record"),
        sa.ForeignKeyConstraint(["participant_id"], ["person.id"], name="fk_death_record_participant_id_person"),
        sa.ForeignKeyConstraint(
            ["takes_back_id"], ["death_record.id"], name="fk_death_record_takes_back_id_death_record"
        ),
        sa.UniqueConstraint("takes_back_id", name="uq_death_record_takes_back_id"),
    )
    op.create_index("ix_death_record_participant_id", "death_record", ["participant_id"])
    for statement in _guards(op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("death_record")


def _guards(dialect: str) -> list[str]:
    """Keep rows as they were written, even against raw SQL. On PostgreSQL `refuse_change()` comes from 0003."""
    if dialect == "postgresql":
        row, table = (f"FOR EACH {one} EXECUTE FUNCTION refuse_change()" for one in ("ROW", "STATEMENT"))
        return [
            f"CREATE TRIGGER death_record_keeps_values BEFORE UPDATE OR DELETE ON death_record {row}",
            f"CREATE TRIGGER death_record_keeps_rows BEFORE TRUNCATE ON death_record {table}",
            "ALTER TABLE death_record ENABLE ALWAYS TRIGGER death_record_keeps_values",
            "ALTER TABLE death_record ENABLE ALWAYS TRIGGER death_record_keeps_rows",
        ]
    # INSERT OR REPLACE removes the row in its way without firing the delete trigger.
    met = "EXISTS (SELECT 1 FROM death_record WHERE id = NEW.id OR takes_back_id = NEW.takes_back_id)"
    refuse = "BEGIN SELECT RAISE(ABORT, 'death_record is insert-only'); END"
    return [
        f"CREATE TRIGGER death_record_keeps_rows BEFORE DELETE ON death_record {refuse}",
        f"CREATE TRIGGER death_record_keeps_values BEFORE UPDATE ON death_record {refuse}",
        f"CREATE TRIGGER death_record_keeps_ids BEFORE INSERT ON death_record WHEN {met} {refuse}",
    ]
