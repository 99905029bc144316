"""Who set which field last, for two people who edit the same row.

Revision ID: 0024
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0024"
down_revision: Final = "0023"
branch_labels: Final = None
depends_on: Final = None

EDITED: Final = ("organization", "facility", "location", "program", "agreement", "person", "referral")


def upgrade() -> None:
    for table in EDITED:
        op.add_column(table, sa.Column("edits", sa.JSON()))


def downgrade() -> None:
    for table in reversed(EDITED):
        op.drop_column(table, "edits")
