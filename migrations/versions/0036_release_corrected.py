"""Which statement about a release another one corrects; what it corrects is never changed either.

Revision ID: 0036
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0036"
down_revision: Final = "0035"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.add_column("release_date", sa.Column("corrects_id", sa.Uuid(), nullable=True))
    op.create_index("ux_release_date_corrects_id", "release_date", ["corrects_id"], unique=True)
    differs = "OLD.corrects_id IS DISTINCT FROM NEW.corrects_id"
    if op.get_bind().dialect.name == "postgresql":
        refuse = "RAISE EXCEPTION 'a row of release_date is never changed' USING ERRCODE = 'restrict_violation'"
        op.execute(
            "CREATE FUNCTION release_date_refuse_correction() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$BEGIN IF {differs} THEN {refuse}; END IF; RETURN NEW; END$$"
        )
        rule = "BEFORE UPDATE ON release_date FOR EACH ROW EXECUTE FUNCTION release_date_refuse_correction()"
        op.execute(f"CREATE TRIGGER release_date_keeps_correction {rule}")
        op.execute("ALTER TABLE release_date ENABLE ALWAYS TRIGGER release_date_keeps_correction")
        return
    refuse = "BEGIN SELECT RAISE(ABORT, 'a row of release_date is never changed'); END"
    when = "WHEN OLD.corrects_id IS NOT NEW.corrects_id"
    op.execute(f"CREATE TRIGGER release_date_keeps_correction BEFORE UPDATE ON release_date {when} {refuse}")


def downgrade() -> None:
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    op.execute("DROP TRIGGER release_date_keeps_correction" + (" ON release_date" if on_postgresql else ""))
    if on_postgresql:
        op.execute("DROP FUNCTION release_date_refuse_correction()")
    op.drop_index("ux_release_date_corrects_id", "release_date")
    op.drop_column("release_date", "corrects_id")
