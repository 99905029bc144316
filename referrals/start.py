"""What must hold before anything is served; each thing that does not has a sentence that says what to do.

Asked by `create_app` (every web process), `throughgate worker` and `throughgate check`. In development only what
would lose or leak something stops the start; production refuses everything on the list (S-901).
"""

from __future__ import annotations

import os
from pathlib import Path

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError

from audit import log
from referrals.kernel import crypto
from referrals.organization.models import Installation
from referrals.settings import Settings

ROOT = Path(__file__).resolve().parents[1]


class NotReadyError(RuntimeError):
    """The service does not start; the message lists every reason with its remedy."""


def history() -> ScriptDirectory:
    """Return the migrations that belong to this release."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    return ScriptDirectory.from_config(config)


def faults(settings: Settings, engine: Engine) -> list[str]:
    """Return every reason not to start, in words an operator can act on; empty when all is well."""
    found: list[str] = []
    try:
        with engine.connect() as connection:
            heads = MigrationContext.configure(connection).get_current_heads()
            wanted = tuple(history().get_heads())
            if set(heads) != set(wanted):
                return ["The database is not at this release's migrations. Run: throughgate migrate"]
            found += [
                f"{guard} Restore it as the database's owner: the migration 0001_audit holds it."
                for guard in log.missing_guards(connection)
            ]
            demo = connection.execute(select(Installation.demo)).scalars().first()
    except DBAPIError:
        return ["The database cannot be reached. Check THROUGHGATE_DATABASE_URL and that the server runs."]
    if demo and not settings.is_development:
        found.append(
            "This database holds demonstration accounts. Use a new one: throughgate migrate, then throughgate setup"
        )

    key_faults = crypto.check_keys(
        settings.keys,
        os.environ,
        secret_key=settings.secret_key,
        repository=ROOT,
        database_url=settings.database_url,
        engine=engine,
    )
    return found + [f"{fault.remedy} ({fault.code})" for fault in key_faults]


def check(settings: Settings, engine: Engine) -> None:
    """Refuse to start unless everything holds.

    Raises:
        NotReadyError: listing each reason and its remedy.
    """
    if found := faults(settings, engine):
        raise NotReadyError("Throughgate does not start:\n" + "\n".join(f"- {fault}" for fault in found))
