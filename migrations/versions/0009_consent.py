"""Consents, what was declined, and evidence of signatures; and the database's own rule that what was signed stays.

Revision ID: 0009
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_GUARDED = {
    "declined_consent": (
        (
            "id",
            "participant_id",
            "sitting_id",
            "from_org_id",
            "to_org_id",
            "categories",
            "purposes",
            "declined_at",
            "taken_by",
            "taken_org_id",
        ),
        (),
        (),
    ),
    "evidence": (
        ("id", "participant_id", "media_type", "size", "sha256", "parts", "added_at", "added_by", "taken_org_id"),
        (),
        (),
    ),
    "consent": (
        (
            "id",
            "participant_id",
            "sitting_id",
            "kind",
            "from_org_id",
            "to_org_id",
            "to_role",
            "to_user_id",
            "categories",
            "purposes",
            "document_hash",
            "told_rights",
            "expires_on",
            "expires_event",
            "no_later_than",
            "signed_by",
            "method",
            "evidence_id",
            "signed_on",
            "signed_at",
            "effective_at",
            "language",
            "wording_version",
            "time_zone",
            "witness_id",
            "taken_by",
            "taken_org_id",
            "replaces_id",
        ),
        (
            "witness_confirmed_at",
            "withdrawn_at",
            "withdrawn_by",
            "withdrawn_how",
            "superseded_at",
            "superseded_by_id",
            "event_at",
            "error_reported_at",
            "error_reported_by",
            "voided_at",
            "voided_by",
        ),
        ("to_person", "name_as_on_form", "description", "document", "signature", "interpreter", "place"),
    ),
    "evidence_part": (("id", "participant_id", "evidence_id", "number", "taken_org_id"), (), ("content",)),
}


def upgrade() -> None:
    op.create_table(
        "declined_consent",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("sitting_id", sa.Uuid(), nullable=False),
        sa.Column("from_org_id", sa.Uuid(), nullable=False),
        sa.Column("to_org_id", sa.Uuid(), nullable=False),
        sa.Column("categories", sa.JSON(), nullable=False),
        sa.Column("purposes", sa.JSON(), nullable=False),
        sa.Column("declined_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("taken_by", sa.Uuid(), nullable=False),
        sa.Column("taken_org_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["from_org_id"], ["organization.id"], name="fk_declined_consent_from_org_id_organization"
        ),
        sa.ForeignKeyConstraint(["participant_id"], ["person.id"], name="fk_declined_consent_participant_id_person"),
        sa.ForeignKeyConstraint(
            ["taken_org_id"], ["organization.id"], name="fk_declined_consent_taken_org_id_organization"
        ),
        sa.ForeignKeyConstraint(["to_org_id"], ["organization.id"], name="fk_declined_consent_to_org_id_organization"),
        sa.PrimaryKeyConstraint("id", name="pk_declined_consent"),
    )
    op.create_index("ix_declined_consent_participant_id", "declined_consent", ["participant_id"])
    op.create_table(
        "evidence",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("parts", sa.Integer(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("added_by", sa.Uuid(), nullable=False),
        sa.Column("taken_org_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["participant_id"], ["person.id"], name="fk_evidence_participant_id_person"),
        sa.ForeignKeyConstraint(["taken_org_id"], ["organization.id"], name="fk_evidence_taken_org_id_organization"),
        sa.PrimaryKeyConstraint("id", name="pk_evidence"),
    )
    op.create_index("ix_evidence_participant_id", "evidence", ["participant_id"])
    op.create_table(
        "consent",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("sitting_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("from_org_id", sa.Uuid(), nullable=False),
        sa.Column("to_org_id", sa.Uuid(), nullable=False),
        sa.Column("to_role", sa.String(), nullable=True),
        sa.Column("to_user_id", sa.Uuid(), nullable=True),
        sa.Column("categories", sa.JSON(), nullable=False),
        sa.Column("purposes", sa.JSON(), nullable=False),
        sa.Column("document_hash", sa.String(), nullable=False),
        sa.Column("told_rights", sa.Boolean(), nullable=False),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("expires_event", sa.String(), nullable=True),
        sa.Column("no_later_than", sa.Date(), nullable=True),
        sa.Column("signed_by", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("evidence_id", sa.Uuid(), nullable=True),
        sa.Column("signed_on", sa.Date(), nullable=True),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("wording_version", sa.String(), nullable=False),
        sa.Column("time_zone", sa.String(), nullable=False),
        sa.Column("witness_id", sa.Uuid(), nullable=True),
        sa.Column("taken_by", sa.Uuid(), nullable=False),
        sa.Column("taken_org_id", sa.Uuid(), nullable=False),
        sa.Column("replaces_id", sa.Uuid(), nullable=True),
        sa.Column("witness_confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_by", sa.Uuid(), nullable=True),
        sa.Column("withdrawn_how", sa.String(), nullable=True),
        sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("superseded_by_id", sa.Uuid(), nullable=True),
        sa.Column("event_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_reported_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_reported_by", sa.Uuid(), nullable=True),
        sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("voided_by", sa.Uuid(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("to_person", sa.LargeBinary(), nullable=True),
        sa.Column("name_as_on_form", sa.LargeBinary(), nullable=False),
        sa.Column("description", sa.LargeBinary(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=True),
        sa.Column("interpreter", sa.LargeBinary(), nullable=True),
        sa.Column("place", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("from_org_id <> to_org_id", name="ck_consent_crosses"),
        sa.ForeignKeyConstraint(["evidence_id"], ["evidence.id"], name="fk_consent_evidence_id_evidence"),
        sa.ForeignKeyConstraint(["from_org_id"], ["organization.id"], name="fk_consent_from_org_id_organization"),
        sa.ForeignKeyConstraint(["participant_id"], ["person.id"], name="fk_consent_participant_id_person"),
        sa.ForeignKeyConstraint(["replaces_id"], ["consent.id"], name="fk_consent_replaces_id_consent"),
        sa.ForeignKeyConstraint(["taken_org_id"], ["organization.id"], name="fk_consent_taken_org_id_organization"),
        sa.ForeignKeyConstraint(["to_org_id"], ["organization.id"], name="fk_consent_to_org_id_organization"),
        sa.ForeignKeyConstraint(["to_user_id"], ["user.id"], name="fk_consent_to_user_id_user"),
        sa.ForeignKeyConstraint(["witness_id"], ["user.id"], name="fk_consent_witness_id_user"),
        sa.PrimaryKeyConstraint("id", name="pk_consent"),
    )
    op.create_index("ix_consent_evidence_id", "consent", ["evidence_id"])
    op.create_index("ix_consent_participant_id_to_org_id", "consent", ["participant_id", "to_org_id"])
    op.create_index("ix_consent_sitting_id", "consent", ["sitting_id"])
    op.create_index("ix_consent_witness_id", "consent", ["witness_id"])
    op.create_table(
        "evidence_part",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("evidence_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("taken_org_id", sa.Uuid(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["evidence_id"], ["evidence.id"], name="fk_evidence_part_evidence_id_evidence"),
        sa.ForeignKeyConstraint(["participant_id"], ["person.id"], name="fk_evidence_part_participant_id_person"),
        sa.ForeignKeyConstraint(
            ["taken_org_id"], ["organization.id"], name="fk_evidence_part_taken_org_id_organization"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_evidence_part"),
    )
    op.create_index("uq_evidence_part_evidence_id_number", "evidence_part", ["evidence_id", "number"], unique=True)
    for table, (fixed, added, cells) in _GUARDED.items():
        _guard(table, fixed, added, cells)


def downgrade() -> None:
    for table in ("evidence_part", "consent", "evidence", "declined_consent"):
        op.drop_table(table)
        if op.get_bind().dialect.name == "postgresql":
            op.execute(f"DROP FUNCTION {table}_refuse()")


def _guard(table: str, fixed: Sequence[str], added: Sequence[str], cells: Sequence[str]) -> None:
    """Let the database itself keep rows as they were written, whatever reaches it.

    `fixed` never change; `added` may be set once; `cells` are sealed and may only be sealed again under another key
    (bytes 3 to 6 of an envelope name it): somebody without the keys cannot make one that opens.
    """
    if op.get_bind().dialect.name == "postgresql":
        differs = [f"OLD.{one}::text IS DISTINCT FROM NEW.{one}::text" for one in fixed]
        differs += [f"OLD.{one} IS NOT NULL AND OLD.{one} IS DISTINCT FROM NEW.{one}" for one in added]
        differs += [
            f"OLD.{one} IS DISTINCT FROM NEW.{one} AND (OLD.{one} IS NULL OR NEW.{one} IS NULL"
            f" OR substr(OLD.{one}, 3, 4) = substr(NEW.{one}, 3, 4))"
            for one in cells
        ]
        refuse = f"RAISE EXCEPTION 'a row of {table} is never changed' USING ERRCODE = 'restrict_violation'"
        op.execute(
            f"CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF "
            f"{_any(differs)} THEN {refuse}; END IF; RETURN NEW; END$$"
        )
        for name, rule in (
            ("keeps_values", f"BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_refuse()"),
            ("keeps_rows", f"BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()"),
            ("keeps_all", f"BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"),
        ):
            op.execute(f"CREATE TRIGGER {table}_{name} {rule}")
            op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_{name}")
        return
    differs = [f"OLD.{one} IS NOT NEW.{one}" for one in fixed]
    differs += [f"OLD.{one} IS NOT NULL AND OLD.{one} IS NOT NEW.{one}" for one in added]
    differs += [
        f"OLD.{one} IS NOT NEW.{one} AND (OLD.{one} IS NULL OR NEW.{one} IS NULL"
        f" OR substr(OLD.{one}, 3, 4) = substr(NEW.{one}, 3, 4))"
        for one in cells
    ]
    refuse = f"BEGIN SELECT RAISE(ABORT, 'a row of {table} is never changed'); END"
    op.execute(f"CREATE TRIGGER {table}_keeps_values BEFORE UPDATE ON {table} WHEN {_any(differs)} {refuse}")
    op.execute(f"CREATE TRIGGER {table}_keeps_rows BEFORE DELETE ON {table} {refuse}")
    # INSERT OR REPLACE removes the row in its way without firing the trigger above.
    same = f"EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id)"  # noqa: S608  # a table of our own
    op.execute(f"CREATE TRIGGER {table}_keeps_ids BEFORE INSERT ON {table} WHEN {same} {refuse}")


def _any(conditions: Sequence[str]) -> str:
    return " OR ".join(f"({one})" for one in conditions)
