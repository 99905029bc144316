"""Issuers at which an organization's people sign in, whom they speak of, and what they are asked.

Revision ID: 0041
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0041"
down_revision: Final = "0040"
branch_labels: Final = None
depends_on: Final = None


def _in_force() -> dict[str, sa.TextClause]:
    return {"sqlite_where": sa.text("ended_at IS NULL"), "postgresql_where": sa.text("ended_at IS NULL")}


def upgrade() -> None:
    op.create_table(
        "issuer",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("url", sa.String(255), nullable=False),
        sa.Column("client_id", sa.String(255), nullable=False),
        sa.Column("client_secret", sa.LargeBinary(), nullable=False),
        sa.Column("authorization_endpoint", sa.String(500), nullable=False),
        sa.Column("token_endpoint", sa.String(500), nullable=False),
        sa.Column("jwks_uri", sa.String(500), nullable=False),
        sa.Column("accepted_acr", sa.String(400), nullable=False),
        sa.Column("accepted_amr", sa.String(200), nullable=False),
        sa.Column("listed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("listed_by", sa.Uuid()),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("ended_by", sa.Uuid()),
        sa.Column("ended_because", sa.String(400)),
        sa.PrimaryKeyConstraint("id", name="pk_issuer"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name="fk_issuer_organization_id_organization"
        ),
    )
    op.create_index("ix_issuer_organization_id", "issuer", ["organization_id"])
    op.create_index("uq_issuer_in_force", "issuer", ["organization_id", "url"], unique=True, **_in_force())
    op.create_table(
        "issuer_subject",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("ended_by", sa.Uuid()),
        sa.Column("ended_because", sa.String(20)),
        sa.PrimaryKeyConstraint("id", name="pk_issuer_subject"),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name="fk_issuer_subject_user_id_user"),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name="fk_issuer_subject_issuer_id_issuer"),
    )
    op.create_index("ix_issuer_subject_user_id", "issuer_subject", ["user_id"])
    op.create_index("ix_issuer_subject_issuer_id", "issuer_subject", ["issuer_id"])
    op.create_index(
        "uq_issuer_subject_in_force", "issuer_subject", ["issuer_id", "subject"], unique=True, **_in_force()
    )
    op.create_index("uq_issuer_subject_of_user", "issuer_subject", ["user_id", "issuer_id"], unique=True, **_in_force())
    op.create_table(
        "issuer_request",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("issuer_id", sa.Uuid(), nullable=False),
        sa.Column("state_hash", sa.LargeBinary(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("verifier", sa.LargeBinary(), nullable=False),
        sa.Column("browser_hash", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.String(20), nullable=False),
        sa.Column("sign_in_id", sa.Uuid()),
        sa.Column("is_shared", sa.Boolean(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_issuer_request"),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuer.id"], name="fk_issuer_request_issuer_id_issuer"),
        sa.UniqueConstraint("state_hash", name="uq_issuer_request_state_hash"),
    )
    op.create_index("ix_issuer_request_issuer_id", "issuer_request", ["issuer_id"])


def downgrade() -> None:
    op.drop_table("issuer_request")
    op.drop_table("issuer_subject")
    op.drop_table("issuer")
