"""When an account ends, and when a disabled one was let be used again.

Revision ID: 0019
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0019"
down_revision: Final = "0018"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.add_column("user", sa.Column("enabled_at", sa.DateTime(timezone=True)))
    op.add_column("user", sa.Column("ends_on", sa.Date()))


def downgrade() -> None:
    op.drop_column("user", "ends_on")
    op.drop_column("user", "enabled_at")
