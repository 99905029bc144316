"""An index by which the worker finds whom to tell by mail what changed on their account.

Revision ID: 0040
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision: Final = "0040"
down_revision: Final = "0039"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_index("ix_account_change_at", "account_change", ["at"])


def downgrade() -> None:
    op.drop_index("ix_account_change_at", "account_change")
