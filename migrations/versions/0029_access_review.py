"""Signed reviews of an organization's accounts, and what each decided (insert-only).

Revision ID: 0029
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0029"
down_revision: Final = "0028"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "access_review",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Uuid()),
        sa.PrimaryKeyConstraint("id", name="pk_access_review"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name="fk_access_review_organization_id_organization"
        ),
    )
    op.create_index("ix_access_review_organization_id", "access_review", ["organization_id"])
    op.create_table(
        "access_review_line",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("review_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("decision", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_access_review_line"),
        sa.ForeignKeyConstraint(
            ["review_id"], ["access_review.id"], name="fk_access_review_line_review_id_access_review"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_access_review_line_user_id_user"),
    )
    op.create_index("ix_access_review_line_review_id", "access_review_line", ["review_id"])
    op.create_index("ix_access_review_line_user_id", "access_review_line", ["user_id"])
    for table in ("access_review", "access_review_line"):
        for statement in _guards(table, op.get_bind().dialect.name):
            op.execute(statement)


def downgrade() -> None:
    op.drop_table("access_review_line")
    op.drop_table("access_review")


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
    # INSERT OR REPLACE removes the row in its way without firing the delete trigger.
    met = f"EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id)"  # noqa: S608  # names of this file alone
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is insert-only'); END"
    return [
        f"CREATE TRIGGER {table}_keeps_rows BEFORE DELETE ON {table} {refuse}",
        f"CREATE TRIGGER {table}_keeps_values BEFORE UPDATE ON {table} {refuse}",
        f"CREATE TRIGGER {table}_keeps_ids BEFORE INSERT ON {table} WHEN {met} {refuse}",
    ]
