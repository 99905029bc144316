"""One history over two metadatas (the service's and the log's), run without an app, one process at a time.

The caller (`referrals.cli migrate`, the tests) hands an open connection in `config.attributes["connection"]`.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, MetaData, text

import referrals.app  # noqa: F401  # every room's models
from audit.models import Base as AuditBase
from referrals.kernel.orm import Base

LOCK = 0x7467_6D69_6772  # "tgmigr": an advisory lock of our own


def targets() -> list[MetaData]:
    """Return the metadatas that the history covers."""
    return [Base.metadata, AuditBase.metadata]


def run(connection: Connection) -> None:
    """Migrate under a lock; PostgreSQL gives up on a busy table after 5 seconds instead of stopping everybody."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK})
        connection.execute(text("SET lock_timeout = '5s'"))
        connection.commit()
    try:
        context.configure(
            connection=connection,
            target_metadata=targets(),
            render_as_batch=False,
            transaction_per_migration=True,
            compare_type=True,
        )
        with context.begin_transaction():
            context.run_migrations()
    finally:
        if connection.dialect.name == "postgresql":
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK})
            connection.commit()


run(context.config.attributes["connection"])
