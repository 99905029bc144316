"""An agreement between two community organizations, and what a referral of one of them to another needs.

Revision ID: 0033
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0033"
down_revision: Final = "0032"
branch_labels: Final = None
depends_on: Final = None

RENAMED: Final = {
    "agency_id": "first_id",
    "community_id": "second_id",
    "agency_signed_at": "first_signed_at",
    "agency_signed_by": "first_signed_by",
    "community_signed_at": "second_signed_at",
    "community_signed_by": "second_signed_by",
}


def upgrade() -> None:
    op.drop_index("ix_agreement_agency_id_community_id", "agreement")
    op.drop_index("ix_agreement_community_id", "agreement")
    for old, new in RENAMED.items():
        _rename(old, new)
    op.create_index("ix_agreement_first_id_second_id", "agreement", ["first_id", "second_id"])
    op.create_index("ix_agreement_second_id", "agreement", ["second_id"])
    op.add_column("agreement", sa.Column("of_peers", sa.Boolean()))
    op.add_column("referral", sa.Column("known_as", sa.LargeBinary()))
    is_onward = sa.text("onward_from_id IS NOT NULL")
    op.create_index(
        "ix_referral_onward_from_id",
        "referral",
        ["onward_from_id"],
        sqlite_where=is_onward,
        postgresql_where=is_onward,
    )


def downgrade() -> None:
    op.drop_index("ix_referral_onward_from_id", "referral")
    op.drop_column("referral", "known_as")
    op.drop_column("agreement", "of_peers")
    op.drop_index("ix_agreement_second_id", "agreement")
    op.drop_index("ix_agreement_first_id_second_id", "agreement")
    for old, new in RENAMED.items():
        _rename(new, old)
    op.create_index("ix_agreement_agency_id_community_id", "agreement", ["agency_id", "community_id"])
    op.create_index("ix_agreement_community_id", "agreement", ["community_id"])


def _rename(old: str, new: str) -> None:
    # Both databases rename in place, with the rules that name the column; Alembic would build SQLite's table anew, and
    # rules refer to it.
    op.execute(f"ALTER TABLE agreement RENAME COLUMN {old} TO {new}")
