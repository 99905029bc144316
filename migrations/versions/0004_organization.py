"""Organizations and their places, and the one row that stands for the service itself.

That row is made here, before anything can be put on record, with revision 0: the first act on it carries revision 1, so
the log knows all of its history.

Revision ID: 0004
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from referrals.kernel.orm import uuid7

revision: Final = "0004"
down_revision: Final = "0003"
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    installation = op.create_table(
        "installation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("sole", sa.Integer(), nullable=False),
        sa.Column("demo", sa.Boolean(), nullable=False),
        sa.Column("installed_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_installation"),
        sa.UniqueConstraint("sole", name="uq_installation_sole"),
        sa.CheckConstraint("sole = 1", name="ck_installation_sole"),
    )
    op.bulk_insert(installation, [{"id": uuid7(), "revision": 0, "sole": 1, "demo": False}])
    op.create_table(
        "organization",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("part2_program", sa.String(), nullable=False),
        sa.Column("part2_because", sa.String()),
        sa.Column("part2_said_at", sa.DateTime(timezone=True)),
        sa.Column("part2_said_by", sa.Uuid()),
        sa.Column("time_zone", sa.String(), nullable=False),
        sa.Column("city", sa.String()),
        sa.Column("phone", sa.String()),
        sa.Column("email", sa.String()),
        sa.Column("website", sa.String()),
        sa.Column("description", sa.String()),
        *_history(),
        *_source(),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organization"),
        sa.UniqueConstraint("source", "source_id", name="uq_organization_source_source_id"),
        sa.CheckConstraint("side IN ('agency', 'community')", name="ck_organization_side"),
        sa.CheckConstraint("part2_program IN ('yes', 'no', 'unknown')", name="ck_organization_part2_program"),
    )
    op.create_table(
        "facility",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String()),
        sa.Column("security", sa.String()),
        sa.Column("gender", sa.String()),
        sa.Column("age", sa.String()),
        sa.Column("capacity", sa.Integer()),
        sa.Column("address", sa.String()),
        sa.Column("city", sa.String()),
        sa.Column("county", sa.String()),
        sa.Column("county_fips", sa.String()),
        sa.Column("state", sa.String()),
        sa.Column("postal_code", sa.String()),
        sa.Column("latitude", sa.String()),
        sa.Column("longitude", sa.String()),
        sa.Column("phone", sa.String()),
        sa.Column("website", sa.String()),
        sa.Column("time_zone", sa.String(), nullable=False),
        *_history(),
        *_source(),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_facility"),
        sa.UniqueConstraint("source", "source_id", name="uq_facility_source_source_id"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name="fk_facility_organization_id_organization"
        ),
    )
    op.create_index("ix_facility_organization_id", "facility", ["organization_id"])
    op.create_table(
        "room",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("facility_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("seats", sa.Integer(), nullable=False),
        *_history(),
        sa.PrimaryKeyConstraint("id", name="pk_room"),
        sa.ForeignKeyConstraint(["facility_id"], ["facility.id"], name="fk_room_facility_id_facility"),
    )
    op.create_index("ix_room_facility_id", "room", ["facility_id"])
    op.create_table(
        "location",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("address", sa.String()),
        sa.Column("city", sa.String()),
        sa.Column("county", sa.String()),
        sa.Column("state", sa.String()),
        sa.Column("postal_code", sa.String()),
        sa.Column("latitude", sa.String()),
        sa.Column("longitude", sa.String()),
        sa.Column("access", sa.String()),
        *_history(),
        *_source(),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_location"),
        sa.UniqueConstraint("source", "source_id", name="uq_location_source_source_id"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organization.id"], name="fk_location_organization_id_organization"
        ),
    )
    op.create_index("ix_location_organization_id", "location", ["organization_id"])


def downgrade() -> None:
    for table in ("location", "room", "facility", "organization", "installation"):
        op.drop_table(table)


def _history() -> list[sa.Column[object]]:
    return [
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("added_by", sa.Uuid()),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
    ]


def _source() -> list[sa.Column[object]]:
    return [
        sa.Column("source", sa.String()),
        sa.Column("source_id", sa.String()),
        sa.Column("source_fields", sa.JSON()),
    ]
