"""Until when an account made for an emergency lasts, and why it was made.

Revision ID: 0023
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0023"
down_revision: Final = "0022"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.add_column("user", sa.Column("emergency_until", sa.DateTime(timezone=True)))
    op.add_column("user", sa.Column("emergency_because", sa.String(400)))


def downgrade() -> None:
    op.drop_column("user", "emergency_because")
    op.drop_column("user", "emergency_until")
