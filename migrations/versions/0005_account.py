"""Accounts: users, roles, second factors, recovery codes, sign-ins and the failed ones.

Revision ID: 0005
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0005"
down_revision: Final = "0004"
branch_labels: Final = None
depends_on: Final = None

_TABLES: Final = (
    *("failed_attempt", "sign_in_use", "sign_in", "recovery_code", "second_factor", "role_grant", "user"),
)


def upgrade() -> None:
    op.create_table(
        "user",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("sign_in_name", sa.String(64), nullable=False),
        sa.Column("display_name", sa.String(120), nullable=False),
        sa.Column("email", sa.LargeBinary()),
        sa.Column("by_email_index", sa.LargeBinary()),
        sa.Column("by_email_index_v", sa.SmallInteger()),
        sa.Column("phone", sa.LargeBinary()),
        sa.Column("password_hash", sa.String(200), nullable=False),
        _instant("password_changed_at"),
        _instant("one_time_until"),
        _instant("one_time_used_at"),
        _instant("last_signed_in_at"),
        _instant("locked_at"),
        _instant("unlocked_at"),
        _instant("added_at", nullable=False),
        sa.Column("added_by", sa.Uuid()),
        _instant("disabled_at"),
        sa.Column("disabled_by", sa.Uuid()),
        sa.Column("disabled_because", sa.String(400)),
        sa.PrimaryKeyConstraint("id", name="pk_user"),
        sa.ForeignKeyConstraint(["organization_id"], ["organization.id"], name="fk_user_organization_id_organization"),
        sa.UniqueConstraint("sign_in_name", name="uq_user_sign_in_name"),
        sa.UniqueConstraint("by_email_index", name="uq_user_by_email_index"),
    )
    op.create_index("ix_user_organization_id", "user", ["organization_id"])
    op.create_table(
        "role_grant",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(30), nullable=False),
        _instant("granted_at", nullable=False),
        sa.Column("granted_by", sa.Uuid()),
        _instant("ended_at"),
        sa.Column("ended_by", sa.Uuid()),
        sa.PrimaryKeyConstraint("id", name="pk_role_grant"),
        _of_user("role_grant"),
    )
    op.create_index("ix_role_grant_user_id", "role_grant", ["user_id"])
    _unique_while("uq_role_grant_in_force", "role_grant", ["user_id", "role"], "ended_at IS NULL")
    op.create_table(
        "second_factor",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("seed", sa.LargeBinary(), nullable=False),
        _instant("started_at", nullable=False),
        _instant("confirmed_at"),
        sa.Column("last_step", sa.BigInteger()),
        _instant("ended_at"),
        sa.PrimaryKeyConstraint("id", name="pk_second_factor"),
        _of_user("second_factor"),
    )
    op.create_index("ix_second_factor_user_id", "second_factor", ["user_id"])
    in_force = "confirmed_at IS NOT NULL AND ended_at IS NULL"
    _unique_while("uq_second_factor_in_force", "second_factor", ["user_id"], in_force)
    op.create_table(
        "recovery_code",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("code_hash", sa.String(200), nullable=False),
        _instant("made_at", nullable=False),
        _instant("used_at"),
        _instant("ended_at"),
        sa.PrimaryKeyConstraint("id", name="pk_recovery_code"),
        _of_user("recovery_code"),
    )
    op.create_index("ix_recovery_code_user_id", "recovery_code", ["user_id"])
    op.create_table(
        "sign_in",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("channel", sa.String(10), nullable=False),
        _instant("started_at", nullable=False),
        _instant("notice_at", nullable=False),
        _instant("second_factor_at"),
        _instant("fresh_at"),
        _instant("ended_at"),
        sa.Column("ended_by", sa.Uuid()),
        sa.Column("ended_because", sa.String(20)),
        sa.PrimaryKeyConstraint("id", name="pk_sign_in"),
        _of_user("sign_in"),
        sa.UniqueConstraint("token_hash", name="uq_sign_in_token_hash"),
    )
    op.create_index("ix_sign_in_user_id", "sign_in", ["user_id"])
    op.create_table(
        "sign_in_use",
        sa.Column("sign_in_id", sa.Uuid(), nullable=False),
        _instant("used_at", nullable=False),
        sa.PrimaryKeyConstraint("sign_in_id", name="pk_sign_in_use"),
        sa.ForeignKeyConstraint(["sign_in_id"], ["sign_in.id"], name="fk_sign_in_use_sign_in_id_sign_in"),
    )
    op.create_table(
        "failed_attempt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid()),
        sa.Column("factor", sa.String(12), nullable=False),
        _instant("at", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_failed_attempt"),
        _of_user("failed_attempt"),
    )
    op.create_index("ix_failed_attempt_user_id_at", "failed_attempt", ["user_id", "at"])


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)


def _instant(name: str, *, nullable: bool = True) -> sa.Column[sa.DateTime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _of_user(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=f"fk_{table}_user_id_user")


def _unique_while(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=True, sqlite_where=where, postgresql_where=where)
