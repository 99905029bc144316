"""Referrals: the request, its steps (insert-only), what was said to close the loop (insert-only), its thread."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0011"
down_revision: Final = "0010"
branch_labels: Final = None
depends_on: Final = None

_INSERT_ONLY: Final = ("referral_step", "loop_answer")


def upgrade() -> None:
    _referral()
    _step()
    _loop_answer()
    _message()
    for table in _INSERT_ONLY:
        for statement in _guards(table, op.get_bind().dialect.name):
            op.execute(statement)


def downgrade() -> None:
    for table in ("message", "loop_answer", "referral_step", "referral"):
        op.drop_table(table)


def _identified() -> list[sa.Column[object]]:
    return [
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
    ]


def _referral() -> None:
    op.create_table(
        "referral",
        *_identified(),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", sa.Uuid(), nullable=False),
        sa.Column("program_id", sa.Uuid(), nullable=False),
        sa.Column("drafted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("drafted_by", sa.Uuid(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.Column("done_at", sa.DateTime(timezone=True)),
        sa.Column("asked_by", sa.String()),
        sa.Column("agreed_on", sa.Date()),
        sa.Column("agreed_how", sa.String()),
        sa.Column("service", sa.String()),
        sa.Column("urgency", sa.String()),
        sa.Column("urgency_because", sa.LargeBinary()),
        sa.Column("reason_text", sa.LargeBinary()),
        sa.Column("goals", sa.LargeBinary()),
        sa.Column("strengths", sa.LargeBinary()),
        sa.Column("accommodations", sa.JSON()),
        sa.Column("language", sa.String()),
        sa.Column("unavailable", sa.LargeBinary()),
        sa.Column("terms_that_matter", sa.LargeBinary()),
        sa.Column("first_contact", sa.LargeBinary()),
        sa.Column("contact_name", sa.String()),
        sa.Column("contact_phone", sa.String()),
        sa.Column("contact_hours", sa.String()),
        sa.Column("backup_name", sa.String()),
        sa.Column("backup_phone", sa.String()),
        sa.Column("backup_hours", sa.String()),
        sa.Column("consent_ids", sa.JSON()),
        sa.Column("capacity_shown", sa.JSON()),
        sa.Column("capacity_because", sa.LargeBinary()),
        sa.Column("replaces_id", sa.Uuid()),
        sa.Column("onward_from_id", sa.Uuid()),
        sa.Column("open_for", sa.String()),
        sa.Column("step_count", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_referral"),
        sa.ForeignKeyConstraint(["participant_id"], ["person.id"], name="fk_referral_participant_id_person"),
        sa.ForeignKeyConstraint(["source_id"], ["organization.id"], name="fk_referral_source_id_organization"),
        sa.ForeignKeyConstraint(["recipient_id"], ["organization.id"], name="fk_referral_recipient_id_organization"),
        sa.ForeignKeyConstraint(["program_id"], ["program.id"], name="fk_referral_program_id_program"),
        sa.ForeignKeyConstraint(["replaces_id"], ["referral.id"], name="fk_referral_replaces_id_referral"),
        sa.ForeignKeyConstraint(["onward_from_id"], ["referral.id"], name="fk_referral_onward_from_id_referral"),
        sa.UniqueConstraint("reference", name="uq_referral_reference"),
        sa.UniqueConstraint("open_for", name="uq_referral_open_for"),
    )
    op.create_index("ix_referral_source_id_done_at_id", "referral", ["source_id", "done_at", "id"])
    op.create_index("ix_referral_recipient_id_done_at_id", "referral", ["recipient_id", "done_at", "id"])
    op.create_index("ix_referral_participant_id", "referral", ["participant_id"])
    op.create_index("ix_referral_program_id", "referral", ["program_id"])
    op.create_index("ix_referral_drafted_by", "referral", ["drafted_by"])


def _about(table: str) -> list[sa.Constraint]:
    return [
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["referral_id"], ["referral.id"], name=f"fk_{table}_referral_id_referral"),
        sa.ForeignKeyConstraint(["participant_id"], ["person.id"], name=f"fk_{table}_participant_id_person"),
    ]


def _step() -> None:
    op.create_table(
        "referral_step",
        *_identified(),
        sa.Column("referral_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("verb", sa.String(), nullable=False),
        sa.Column("from_state", sa.String(), nullable=False),
        sa.Column("to_state", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Uuid()),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("reason", sa.String()),
        sa.Column("because", sa.LargeBinary()),
        sa.Column("details", sa.LargeBinary()),
        *_about("referral_step"),
        sa.UniqueConstraint("referral_id", "seq", name="uq_referral_step_referral_id_seq"),
    )


def _loop_answer() -> None:
    op.create_table(
        "loop_answer",
        *_identified(),
        sa.Column("referral_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=False),
        sa.Column("side", sa.String(), nullable=False),
        sa.Column("words", sa.LargeBinary()),
        *_about("loop_answer"),
    )
    op.create_index("ix_loop_answer_referral_id", "loop_answer", ["referral_id"])


def _message() -> None:
    op.create_table(
        "message",
        *_identified(),
        sa.Column("referral_id", sa.Uuid(), nullable=False),
        sa.Column("participant_id", sa.Uuid(), nullable=False),
        sa.Column("organization_id", sa.Uuid(), nullable=False),
        sa.Column("audience", sa.String(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("words", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Uuid(), nullable=False),
        sa.Column("struck_at", sa.DateTime(timezone=True)),
        sa.Column("struck_by", sa.Uuid()),
        sa.Column("struck_because", sa.LargeBinary()),
        *_about("message"),
    )
    op.create_index("ix_message_referral_id", "message", ["referral_id"])


def _guards(table: str, dialect: str) -> list[str]:
    """Keep rows as they were written, even against raw SQL. On PostgreSQL `refuse_change()` comes from 0003."""
    if dialect == "postgresql":
        refuse = "EXECUTE FUNCTION refuse_change()"
        return [
            f"CREATE TRIGGER {table}_keeps_values BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW {refuse}",
            f"CREATE TRIGGER {table}_keeps_rows BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {refuse}",
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_keeps_values",
            f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_keeps_rows",
        ]
    # INSERT OR REPLACE removes the row in its way without firing the delete trigger, whichever unique index it meets.
    in_the_way = "id = NEW.id"
    if table == "referral_step":
        in_the_way += " OR (referral_id = NEW.referral_id AND seq = NEW.seq)"
    met = f"EXISTS (SELECT 1 FROM {table} WHERE {in_the_way})"  # noqa: S608  # names of this file alone
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is insert-only'); END"
    return [
        f"CREATE TRIGGER {table}_keeps_rows BEFORE DELETE ON {table} {refuse}",
        f"CREATE TRIGGER {table}_keeps_values BEFORE UPDATE ON {table} {refuse}",
        f"CREATE TRIGGER {table}_keeps_ids BEFORE INSERT ON {table} WHEN {met} {refuse}",
    ]
