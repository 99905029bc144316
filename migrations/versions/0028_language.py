"""The language a person chose for what they read.

Revision ID: 0028
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0028"
down_revision: Final = "0027"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.add_column("user", sa.Column("language", sa.String(2)))


def downgrade() -> None:
    op.drop_column("user", "language")
