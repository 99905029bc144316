"""The kernel's own tables: disclosures (insert-only), what was seen, idempotency keys, jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and the database's own rule that a disclosure is never changed."""
    op.create_table(
        "kept_key",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("command", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("result_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "key", name="pk_kept_key"),
    )
    op.create_table(
        "disclosure",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("from_org_id", sa.Uuid(), nullable=False),
        sa.Column("to_org_id", sa.Uuid(), nullable=False),
        sa.Column("to_user_id", sa.Uuid()),
        sa.Column("categories", sa.JSON(), nullable=False),
        sa.Column("row_type", sa.String(), nullable=False),
        sa.Column("row_ids", sa.JSON(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("basis_kind", sa.String(), nullable=False),
        sa.Column("basis_id", sa.Uuid()),
        sa.Column("channel", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_disclosure"),
    )
    op.create_index("ix_disclosure_participant_id", "disclosure", ["participant_id"])
    op.create_table(
        "seen",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("row_type", sa.String(), nullable=False),
        sa.Column("row_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_seen"),
        sa.UniqueConstraint("row_id", "user_id", name="uq_seen_row_id_user_id"),
    )
    op.create_table(
        "job",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("target_id", sa.Uuid()),
        sa.Column("behalf_id", sa.Uuid()),
        sa.Column("run_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("every", sa.Integer()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("owner", sa.String()),
        sa.Column("dedupe_key", sa.String()),
        sa.Column("error_code", sa.String()),
        sa.Column("done_at", sa.DateTime(timezone=True)),
        sa.Column("dead_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        sa.UniqueConstraint("dedupe_key", name="uq_job_dedupe_key"),
    )
    op.create_index("ix_job_run_at", "job", ["run_at"])
    for statement in GUARDS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    for table in ("job", "seen", "disclosure", "kept_key"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION IF EXISTS refuse_change() CASCADE")


_SQLITE = """
CREATE TRIGGER disclosure_keeps_rows BEFORE DELETE ON disclosure
BEGIN SELECT RAISE(ABORT, 'a disclosure is never removed'); END;;
CREATE TRIGGER disclosure_keeps_values BEFORE UPDATE ON disclosure
BEGIN SELECT RAISE(ABORT, 'a disclosure is never changed'); END;;
CREATE TRIGGER disclosure_keeps_ids BEFORE INSERT ON disclosure
WHEN EXISTS (SELECT 1 FROM disclosure WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'a disclosure is never replaced'); END
"""
_POSTGRESQL = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is insert-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$;;
CREATE TRIGGER disclosure_keeps_values BEFORE UPDATE OR DELETE ON disclosure
FOR EACH ROW EXECUTE FUNCTION refuse_change();;
CREATE TRIGGER disclosure_keeps_rows BEFORE TRUNCATE ON disclosure
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();;
ALTER TABLE disclosure ENABLE ALWAYS TRIGGER disclosure_keeps_values;;
ALTER TABLE disclosure ENABLE ALWAYS TRIGGER disclosure_keeps_rows
"""
GUARDS = {
    name: [statement.strip() for statement in statements.split(";;")]
    for name, statements in {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}.items()
}
