"""What was said about releases: insert-only, by the database's own rule.

Revision ID: 0010
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_FIXED = (
    "id",
    "participant_id",
    "organization_id",
    "expected_on",
    "unknown_because",
    "released_on",
    "facility_id",
    "source",
    "as_of",
    "recorded_at",
    "recorded_by",
)


def upgrade() -> None:
    op.create_table(
        "release_date",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("expected_on", sa.Date(), nullable=True),
        sa.Column("unknown_because", sa.String(), nullable=True),
        sa.Column("released_on", sa.Date(), nullable=True),
        sa.Column("facility_id", sa.Uuid(), nullable=True),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("as_of", sa.Date(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_by", sa.Uuid(), nullable=False),
        sa.Column("said_by", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "(expected_on IS NOT NULL AND unknown_because IS NULL AND released_on IS NULL)"
            " OR (expected_on IS NULL AND unknown_because IS NOT NULL AND released_on IS NULL)"
            " OR (expected_on IS NULL AND unknown_because IS NULL AND released_on IS NOT NULL)",
            name="ck_release_date_one_statement",
        ),
        sa.ForeignKeyConstraint(["facility_id"], ["facility.id"], name="fk_release_date_facility_id_facility"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name="fk_release_date_organization_id_organization"
        ),
        sa.ForeignKeyConstraint(["participant_id"], ["person.id"], name="fk_release_date_participant_id_person"),
        sa.PrimaryKeyConstraint("id", name="pk_release_date"),
    )
    op.create_index("ix_release_date_expected_on", "release_date", ["expected_on"])
    op.create_index("ix_release_date_participant_id_recorded_at", "release_date", ["participant_id", "recorded_at"])
    _guard("release_date", _FIXED, (), ("said_by",))


def downgrade() -> None:
    op.drop_table("release_date")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION release_date_refuse()")


def _guard(table: str, fixed: Sequence[str], added: Sequence[str], cells: Sequence[str]) -> None:
    """Let the database itself keep rows as they were written, whatever reaches it.

    `fixed` never change; `added` may be set once; `cells` are sealed and may only be sealed again under another key
    (bytes 3 to 6 of an envelope name it): somebody without the keys cannot make one that opens.
    """
    if op.get_bind().dialect.name == "postgresql":
        differs = [f"OLD.{one}::text IS DISTINCT FROM NEW.{one}::text" for one in fixed]
        differs += [f"OLD.{one} IS NOT NULL AND OLD.{one} IS DISTINCT FROM NEW.{one}" for one in added]
        differs += [
            f"OLD.{one} IS DISTINCT FROM NEW.{one} AND (OLD.{one} IS NULL OR NEW.{one} IS NULL"
            f" OR substr(OLD.{one}, 3, 4) = substr(NEW.{one}, 3, 4))"
            for one in cells
        ]
        refuse = f"RAISE EXCEPTION 'a row of {table} is never changed' USING ERRCODE = 'restrict_violation'"
        op.execute(
            f"CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF "
            f"{_any(differs)} THEN {refuse}; END IF; RETURN NEW; END$$"
        )
        for name, rule in (
            ("keeps_values", f"BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_refuse()"),
            ("keeps_rows", f"BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()"),
            ("keeps_all", f"BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"),
        ):
            op.execute(f"CREATE TRIGGER {table}_{name} {rule}")
            op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_{name}")
        return
    differs = [f"OLD.{one} IS NOT NEW.{one}" for one in fixed]
    differs += [f"OLD.{one} IS NOT NULL AND OLD.{one} IS NOT NEW.{one}" for one in added]
    differs += [
        f"OLD.{one} IS NOT NEW.{one} AND (OLD.{one} IS NULL OR NEW.{one} IS NULL"
        f" OR substr(OLD.{one}, 3, 4) = substr(NEW.{one}, 3, 4))"
        for one in cells
    ]
    refuse = f"BEGIN SELECT RAISE(ABORT, 'a row of {table} is never changed'); END"
    op.execute(f"CREATE TRIGGER {table}_keeps_values BEFORE UPDATE ON {table} WHEN {_any(differs)} {refuse}")
    op.execute(f"CREATE TRIGGER {table}_keeps_rows BEFORE DELETE ON {table} {refuse}")
    # INSERT OR REPLACE removes the row in its way without firing the trigger above.
    same = f"EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id)"  # noqa: S608  # a table of our own
    op.execute(f"CREATE TRIGGER {table}_keeps_ids BEFORE INSERT ON {table} WHEN {same} {refuse}")


def _any(conditions: Sequence[str]) -> str:
    return " OR ".join(f"({one})" for one in conditions)
