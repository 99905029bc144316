"""One frozen object read from the environment, checked at start.

Every setting begins with `THROUGHGATE_`; an unknown one is an error, so that a misspelled limit does not silently not
hold.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal, cast
from urllib.parse import urlsplit

from environs import Env, EnvError

PREFIX: Final = "THROUGHGATE_"
#: Only in development: short limits, a cheap password hash, the demo's accounts (S-906).
DEVELOPMENT_ONLY: Final = frozenset({"FAST_PASSWORDS", "DEMO_FOLDER"})
#: Read by `./dev` and the tests, not by the service.
_OTHERS: Final = frozenset({"REQUIRE", "WEB_WORKERS", "BIND"})


class SettingsError(ValueError):
    """A setting is missing, unknown or wrong; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How this installation is set up.

    `env` is development or production. `keys` names the key file (0600, outside the database's folder) or "env".
    `public_url` is where people reach the service; production refuses plain HTTP (S-901).
    """

    env: Literal["development", "production"]
    database_url: str
    keys: str
    public_url: str
    trusted_proxies: int
    rate_url: str
    smtp_url: str | None
    secret_key: str | None
    fast_passwords: bool
    demo_folder: str | None

    @property
    def is_development(self) -> bool:
        """Whether test aids are allowed."""
        return self.env == "development"

    @property
    def hosts(self) -> list[str]:
        """The host names the service answers to; any other is 400 (S-306)."""
        host = urlsplit(self.public_url).hostname or "localhost"
        return [host, "127.0.0.1", "localhost"] if self.is_development else [host]

    def shown(self) -> dict[str, str]:
        """Return every setting for `throughgate check`: secrets as "set"."""
        return {
            field.name: ("set" if value else "not set")
            if field.name in {"secret_key", "database_url", "smtp_url"}
            else str(value)
            for field in fields(self)
            for value in (getattr(self, field.name),)
        }


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check the settings.

    Raises:
        SettingsError: naming the setting and the remedy.
    """
    given = dict(os.environ if environ is None else environ)
    ours = {name.removeprefix(PREFIX) for name in given if name.startswith(PREFIX)}
    known = {field.name.upper() for field in fields(Settings)} | _OTHERS
    unknown = {name for name in ours - known if not name.startswith("KEK_")}
    if unknown:
        names = ", ".join(f"{PREFIX}{name}" for name in sorted(unknown))
        raise SettingsError(f"Unknown setting: {names}. Remove it, or correct its name.")
    reader = Env(prefix=PREFIX)
    saved = dict(os.environ)
    try:
        os.environ.update({name: value for name, value in given.items() if name.startswith(PREFIX)})
        settings = Settings(
            env=cast("Literal['development', 'production']", reader.str("ENV", "production")),
            database_url=reader.str("DATABASE_URL", ""),
            keys=reader.str("KEYS", ""),
            public_url=reader.str("PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/"),
            trusted_proxies=reader.int("TRUSTED_PROXIES", 0),
            rate_url=reader.str("RATE_URL", "memory://"),
            smtp_url=reader.str("SMTP_URL", None),
            secret_key=reader.str("SECRET_KEY", None),
            fast_passwords=reader.bool("FAST_PASSWORDS", False),  # environs' own signature
            demo_folder=reader.str("DEMO_FOLDER", None),
        )
    except EnvError as fault:
        raise SettingsError(str(fault)) from fault
    finally:
        os.environ.clear()
        os.environ.update(saved)
    _check(settings, ours)
    return settings


def _check(settings: Settings, given: set[str]) -> None:
    if settings.env not in {"development", "production"}:
        raise SettingsError(f"{PREFIX}ENV is {settings.env!r}. Set it to development or production.")
    if not settings.database_url:
        raise SettingsError(
            f"{PREFIX}DATABASE_URL is missing. Set it, for example to sqlite:////var/lib/throughgate/throughgate.db"
        )
    if not settings.keys:
        raise SettingsError(f"{PREFIX}KEYS is missing. Run `throughgate keys create PATH` and set it to that path.")
    if settings.is_development:
        return
    if aids := sorted(given & DEVELOPMENT_ONLY):
        names = ", ".join(f"{PREFIX}{name}" for name in aids)
        raise SettingsError(f"{names} is a test aid. Remove it: production does not start with it.")
    if not settings.public_url.startswith("https://"):
        raise SettingsError(
            f"{PREFIX}PUBLIC_URL must begin with https:// in production. Set it to the address people use."
        )
    if settings.rate_url == "memory://":
        raise SettingsError(
            f"{PREFIX}RATE_URL is missing. Set it to redis://HOST:6379: counting per process does not limit."
        )


def sqlite_path(database_url: str) -> Path | None:
    """Return the file of an SQLite database, or None for PostgreSQL and in-memory databases."""
    if not database_url.startswith("sqlite:///") or ":memory:" in database_url:
        return None
    return Path(database_url.removeprefix("sqlite:///"))
