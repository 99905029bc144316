"""Whose file it was that was read in, and what became of its rows.

Revision ID: 0014
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0014"
down_revision: Final = "0013"
branch_labels: Final = None
depends_on: Final = None

_OWNER: Final = "fk_imported_file_organization_id_organization"


def upgrade() -> None:
    # SQLite cannot add a foreign key to a table that is there, so it is built anew; nothing refers to it and it has no
    # triggers. PostgreSQL alters it in place.
    with op.batch_alter_table("imported_file") as table:
        table.add_column(sa.Column("organization_id", sa.Uuid()))
        table.add_column(sa.Column("report", sa.JSON()))
        table.create_foreign_key(_OWNER, "organization", ["organization_id"], ["id"])
        table.create_index("ix_imported_file_organization_id", ["organization_id"])


def downgrade() -> None:
    with op.batch_alter_table("imported_file") as table:
        table.drop_index("ix_imported_file_organization_id")
        table.drop_constraint(_OWNER, type_="foreignkey")
        table.drop_column("report")
        table.drop_column("organization_id")
