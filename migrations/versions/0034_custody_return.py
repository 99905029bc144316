"""The day somebody came back to custody, as part of what is said about a release; its day is never changed either.

Revision ID: 0034
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0034"
down_revision: Final = "0033"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.add_column("release_date", sa.Column("returned_on", sa.Date(), nullable=True))
    op.create_index("ix_release_date_recorded_at", "release_date", ["recorded_at"])
    differs = "OLD.returned_on IS DISTINCT FROM NEW.returned_on"
    if op.get_bind().dialect.name == "postgresql":
        refuse = "RAISE EXCEPTION 'a row of release_date is never changed' USING ERRCODE = 'restrict_violation'"
        op.execute(
            "CREATE FUNCTION release_date_refuse_return() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$BEGIN IF {differs} THEN {refuse}; END IF; RETURN NEW; END$$"
        )
        rule = "BEFORE UPDATE ON release_date FOR EACH ROW EXECUTE FUNCTION release_date_refuse_return()"
        op.execute(f"CREATE TRIGGER release_date_keeps_return {rule}")
        op.execute("ALTER TABLE release_date ENABLE ALWAYS TRIGGER release_date_keeps_return")
        return
    refuse = "BEGIN SELECT RAISE(ABORT, 'a row of release_date is never changed'); END"
    when = "WHEN OLD.returned_on IS NOT NEW.returned_on"
    op.execute(f"CREATE TRIGGER release_date_keeps_return BEFORE UPDATE ON release_date {when} {refuse}")


def downgrade() -> None:
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    op.execute("DROP TRIGGER release_date_keeps_return" + (" ON release_date" if on_postgresql else ""))
    if on_postgresql:
        op.execute("DROP FUNCTION release_date_refuse_return()")
    op.drop_index("ix_release_date_recorded_at", "release_date")
    op.drop_column("release_date", "returned_on")
