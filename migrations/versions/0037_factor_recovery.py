"""What two colleagues say about somebody who lost the second factor, and since when it is lost.

Revision ID: 0037
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0037"
down_revision: Final = "0036"
branch_labels: Final = None
depends_on: Final = None

_USER, _FIRST, _SECOND = sa.column("user_id"), sa.column("first_by"), sa.column("second_by")
_TWO: Final = sa.and_(
    _USER.is_distinct_from(_FIRST),
    _USER.is_distinct_from(_SECOND),
    sa.or_(sa.column("second_at").is_(None), _FIRST.is_distinct_from(_SECOND)),
)


def upgrade() -> None:
    op.add_column("user", sa.Column("factor_lost_at", sa.DateTime(timezone=True)))
    op.create_table(
        "factor_recovery",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("first_by", sa.Uuid()),
        sa.Column("first_how", sa.String(30), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_half_hash", sa.String(200), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("second_by", sa.Uuid()),
        sa.Column("second_how", sa.String(30)),
        sa.Column("second_at", sa.DateTime(timezone=True)),
        sa.Column("second_half_hash", sa.String(200)),
        sa.Column("outcome", sa.String(10)),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.Column("settled_by", sa.Uuid()),
        sa.Column("because", sa.String(20)),
        sa.Column("used_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_factor_recovery"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_factor_recovery_user_id_user"),
        # Whoever writes past the service cannot make one person both either; nobody stands for the operator.
        sa.CheckConstraint(_TWO, name="ck_factor_recovery_two_people"),
    )
    op.create_index("ix_factor_recovery_user_id", "factor_recovery", ["user_id"])


def downgrade() -> None:
    op.drop_table("factor_recovery")
    op.drop_column("user", "factor_lost_at")
