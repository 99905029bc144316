"""When a message for one's own side was shown to the other.

Revision ID: 0018
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0018"
down_revision: Final = "0017"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.add_column("message", sa.Column("widened_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("message", "widened_at")
