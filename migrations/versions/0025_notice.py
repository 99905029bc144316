"""Mail: when somebody wants it, what they are to be told of, and each message on its way.

Revision ID: 0025
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0025"
down_revision: Final = "0024"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.add_column("user", sa.Column("mail_choice", sa.String(10)))
    op.add_column("user", sa.Column("mail_hour", sa.Integer()))
    op.create_table(
        "mail",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        _instant("at", nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        _instant("begun_at"),
        _instant("sent_at"),
        _instant("failed_at"),
        _instant("dropped_at"),
        sa.Column("error_code", sa.String(40)),
        sa.PrimaryKeyConstraint("id", name="pk_mail"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_mail_user_id_user"),
    )
    op.create_index("ix_mail_user_id", "mail", ["user_id"])
    op.create_index("ix_mail_failed_at", "mail", ["failed_at"])
    op.create_table(
        "notice",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(60), nullable=False),
        sa.Column("target_id", sa.Uuid(), nullable=False),
        sa.Column("is_urgent", sa.Boolean(), nullable=False),
        _instant("at", nullable=False),
        sa.Column("dedupe_key", sa.String(), nullable=False),
        sa.Column("mail_id", sa.Uuid()),
        _instant("dropped_at"),
        sa.PrimaryKeyConstraint("id", name="pk_notice"),
        sa.UniqueConstraint("dedupe_key", name="uq_notice_dedupe_key"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_notice_user_id_user"),
        sa.ForeignKeyConstraint(["mail_id"], ["mail.id"], name="fk_notice_mail_id_mail"),
    )
    op.create_index("ix_notice_mail_id", "notice", ["mail_id"])
    waiting = sa.text("mail_id IS NULL AND dropped_at IS NULL")
    op.create_index("ix_notice_waiting", "notice", ["user_id", "id"], sqlite_where=waiting, postgresql_where=waiting)


def downgrade() -> None:
    op.drop_table("notice")
    op.drop_table("mail")
    op.drop_column("user", "mail_hour")
    op.drop_column("user", "mail_choice")


def _instant(name: str, *, nullable: bool = True) -> sa.Column[sa.DateTime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)
