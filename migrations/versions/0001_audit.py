"""The log: its tables, and the triggers and grants that keep them append-only (L3).

On PostgreSQL the service may run under one role per process. Those of `GRANTS` that exist when this runs are granted
exactly what they need; where none does (one role for everything), the triggers alone hold. For a role that is made
later the operator runs its line of `GRANTS` as the owner; the start names whatever is missing.

Revision ID: 0001
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None
branch_labels: Final = None
depends_on: Final = None

_COPIES = (
    *("event_id", "body", "leaf_hash", "at", "action", "outcome", "actor_id", "actor_org", "to_org", "purpose"),
    *("basis_kind", "basis_id", "object_type", "object_id", "object_rev", "count", "off_hours", "request", "prior"),
)
"""What a writer gives. `id` and `xid` are the database's own: who writes does not choose the order of the log."""

_WRITES = (
    f"INSERT ({', '.join(_COPIES)}) ON audit_event",
    "INSERT ON audit_subject",
    "EXECUTE ON FUNCTION audit_newest()",
)
_READS = ("SELECT ON audit_event", "SELECT ON audit_subject")
GRANTS: Final = {
    "throughgate_web": _WRITES,
    "throughgate_worker": _WRITES,
    "throughgate_oversight": _READS,
    "throughgate_sequencer": _READS,
}

_TABLES = ("audit_event", "audit_subject")
_SQLITE_SAME = {
    "audit_event": (
        "id = NEW.id",
        "event_id = NEW.event_id",
        "object_type = NEW.object_type AND object_id = NEW.object_id AND object_rev = NEW.object_rev",
    ),
    "audit_subject": ("subject = NEW.subject AND event_id = NEW.event_id",),
}


def upgrade() -> None:
    _tables()
    _indexes()
    if op.get_bind().dialect.name == "postgresql":
        _guard_postgresql()
        _grant()
    else:
        _guard_sqlite()


def downgrade() -> None:
    if op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT 1 FROM audit_event)")):
        raise RuntimeError(
            "The log holds events, and no migration removes them. "
            "To go back, restore the backup that was made before this release."
        )
    op.drop_table("audit_subject")
    op.drop_table("audit_event")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_newest()")
        op.execute("DROP FUNCTION audit_refuse()")


def _tables() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    instant = sa.DateTime(timezone=True) if postgresql else sa.String(27)
    identity: sa.Column[int] = sa.Column(
        "id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(always=True), nullable=False
    )
    op.create_table(
        "audit_event",
        identity,
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
        sa.Column("at", instant, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("actor_id", sa.Text),
        sa.Column("actor_org", sa.Text),
        sa.Column("to_org", sa.Text),
        sa.Column("purpose", sa.Text),
        sa.Column("basis_kind", sa.Text),
        sa.Column("basis_id", sa.Text),
        sa.Column("object_type", sa.Text),
        sa.Column("object_id", sa.Text),
        sa.Column("object_rev", sa.BigInteger),
        sa.Column("count", sa.BigInteger),
        sa.Column("off_hours", sa.Boolean),
        sa.Column("request", sa.Text),
        sa.Column("prior", sa.Uuid),
        sa.PrimaryKeyConstraint("id", name="pk_audit_event"),
        sa.UniqueConstraint("event_id", name="uq_audit_event_event_id"),
        sa.CheckConstraint("id > 0", name="ck_audit_event_id"),
        sa.CheckConstraint("length(body) <= 65535", name="ck_audit_event_body"),
        sa.CheckConstraint("length(leaf_hash) = 32", name="ck_audit_event_leaf_hash"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "audit_subject",
        sa.Column("subject", sa.Uuid, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("subject", "event_id", name="pk_audit_subject"),
        sqlite_with_rowid=False,
    )
    if postgresql:
        op.execute("ALTER TABLE audit_event ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id()")


def _indexes() -> None:
    _index(
        "uq_audit_event_object", "object_type", "object_id", "object_rev", where="object_id IS NOT NULL", unique=True
    )
    _index("ix_audit_event_actor_id", "actor_id", "event_id", where="actor_id IS NOT NULL")
    _index("ix_audit_event_actor_org", "actor_org", "event_id", where="actor_org IS NOT NULL")
    _index("ix_audit_event_action", "action", "event_id")
    _index("ix_audit_event_request", "request", where="request IS NOT NULL")
    _index("ix_audit_event_prior", "prior", where="prior IS NOT NULL")
    _index("ix_audit_event_to_org", "to_org", "basis_id", "event_id", where="to_org IS NOT NULL")
    _index("ix_audit_event_not_done", "event_id", where="outcome <> 'done'")
    _index("ix_audit_event_emergency", "event_id", where="basis_kind = 'emergency'")
    _index("ix_audit_event_off_hours", "actor_org", "event_id", where="off_hours")
    _index("ix_audit_event_bulk", "event_id", where="count >= 25")
    if op.get_bind().dialect.name == "postgresql":
        _index("ix_audit_event_xid_id", "xid", "id")


def _index(name: str, *columns: str, where: str | None = None, unique: bool = False) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(
        name, "audit_event", list(columns), unique=unique, sqlite_where=condition, postgresql_where=condition
    )


def _guard_sqlite() -> None:
    for table in _TABLES:
        refuse = f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        op.execute(f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} {refuse}")
        op.execute(f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} {refuse}")
        # INSERT OR REPLACE removes the row in its way, in whichever unique index, without firing the trigger above.
        met = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {where})" for where in _SQLITE_SAME[table])  # noqa: S608
        op.execute(f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {met} {refuse}")


def _guard_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END$$"
    )
    for table in _TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION audit_refuse()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()"
        )
        # A plain trigger is skipped under session_replication_role = replica.
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_no_change")
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_no_truncate")
    # The web role may not read the log, yet must notice a clock that fell behind. It runs as its owner, so it names its
    # table in full and looks nowhere a caller could have put another one.
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    newest = f"SELECT at FROM {schema}.audit_event ORDER BY event_id DESC LIMIT 1"  # noqa: S608  # quoted above
    op.execute(
        "CREATE FUNCTION audit_newest() RETURNS timestamptz LANGUAGE sql STABLE SECURITY DEFINER "
        f"SET search_path = pg_catalog, pg_temp AS $${newest}$$"
    )


def _grant() -> None:
    op.execute("REVOKE ALL ON audit_event, audit_subject FROM PUBLIC")
    op.execute("REVOKE ALL ON FUNCTION audit_newest() FROM PUBLIC")
    present = set(op.get_bind().scalars(sa.text("SELECT rolname FROM pg_roles")))
    for role, privileges in GRANTS.items():
        if role in present:
            op.execute(f"REVOKE ALL ON audit_event, audit_subject FROM {role}")
            for privilege in privileges:
                op.execute(f"GRANT {privilege} TO {role}")
