"""One frozen object read from the environment, checked at start.

Every setting begins with `THROUGHGATE_`; an unknown one is an error, so that a misspelled limit does not silently not
hold.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final, Literal, cast
from urllib.parse import parse_qs, unquote, urlsplit

from environs import Env, EnvError

PREFIX: Final = "THROUGHGATE_"
#: Only in development: a cheap password hash, the demo's accounts, no rates (S-906).
DEVELOPMENT_ONLY: Final = frozenset({"FAST_PASSWORDS", "DEMO_FOLDER", "WITHOUT_RATES"})
#: Read by `./dev` and the tests, not by the service.
_OTHERS: Final = frozenset({"REQUIRE", "WEB_WORKERS", "BIND"})


class SettingsError(ValueError):
    """A setting is missing, unknown or wrong; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed over, and as whom.

    `tls` is "implicit" (from the first byte), "required" (STARTTLS or no mail) or "offered" (STARTTLS where the server
    knows it). A name and password are never sent without TLS.
    """

    host: str
    port: int
    tls: Literal["implicit", "required", "offered"]
    sender: str
    name: str | None = None
    password: str | None = field(default=None, repr=False)


def smtp_server(url: str) -> SmtpServer:
    """Read `smtp://[NAME:PASSWORD@]HOST[:PORT]?from=ADDRESS[&tls=required]`, or the same with `smtps://`.

    The port is 587 (RFC 6409), for `smtps` 465 (RFC 8314), unless it is named.

    Raises:
        ValueError: it cannot be read, or lacks the host or the sender's address.
    """
    parts = urlsplit(url)
    asked = parse_qs(parts.query, strict_parsing=True, keep_blank_values=True) if parts.query else {}
    sender = asked.pop("from", [""])[-1]
    wanted = asked.pop("tls", ["offered"])[-1]
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.path.strip("/") or asked:
        raise ValueError("not an SMTP address")
    if wanted not in {"offered", "required"} or not _ADDRESS.fullmatch(sender):
        raise ValueError("not a sender")
    implicit = parts.scheme == "smtps"
    name = unquote(parts.username) if parts.username else None
    return SmtpServer(
        host=parts.hostname,
        port=parts.port or (465 if implicit else 587),
        tls="implicit" if implicit else "required" if name or wanted == "required" else "offered",
        sender=sender,
        name=name,
        password=unquote(parts.password) if parts.password else None,
    )


Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: The widest network of a facility: nobody's site is larger, and two halves of the internet are refused, too.
_WIDEST: Final = {4: 16, 6: 32}


def facility_networks(text: str) -> dict[str, tuple[Network, ...]]:
    """Read `NAME=NETWORK[,NETWORK]…; NAME=…`: names of facilities, each with the addresses its people come from.

    Raises:
        ValueError: a part cannot be read, is named twice, is too wide, or overlaps another; the message says which.
    """
    found: dict[str, tuple[Network, ...]] = {}
    for part in filter(None, (one.strip() for one in text.split(";"))):
        name, _, listed = (one.strip() for one in part.partition("="))
        if not name or not listed or name in found:
            raise ValueError(f"{part!r} is not NAME=NETWORK, or names a facility twice")
        networks = tuple(ipaddress.ip_network(one.strip()) for one in listed.split(","))
        for network in networks:
            if network.prefixlen < _WIDEST[network.version]:
                raise ValueError(f"{network} is too wide: at most /{_WIDEST[network.version]}")
        found[name] = networks
    known = [one for networks in found.values() for one in networks]
    for number, one in enumerate(known):
        for other in known[number + 1 :]:
            if one.version == other.version and one.overlaps(other):
                raise ValueError(f"{one} and {other} overlap")
    return found


#: Mail for these leaves the machine only by the mail server that listens there.
_OWN_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
#: Enough to tell an address from a slip of the pen; the server knows the rest.
_ADDRESS: Final = re.compile(r"[!-?A-~]+@[!-?A-~]+")


#: An IP address, version 4 or 6.
_DIGITS: Final = re.compile(r"[0-9.]+|[0-9a-f]*:[0-9a-f:.]*")


@dataclass(frozen=True, slots=True)
class Site:
    """The address that passkeys belong to: its host, and the origins that browsers name it by."""

    host: str
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """How this installation is set up.

    `env` is development or production. `keys` names the key file (0600, outside the database's folder) or "env".
    `public_url` is where people reach the service; production refuses plain HTTP (S-901). `without_rates` is for
    measuring, where a few people ask as many would.
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
    without_rates: bool = False
    facility_networks: str = ""

    @property
    def is_development(self) -> bool:
        """Whether test aids are allowed."""
        return self.env == "development"

    @property
    def smtp(self) -> SmtpServer | None:
        """Where mail is handed over; None: this installation sends none, and its pages do not speak of mail."""
        return smtp_server(self.smtp_url) if self.smtp_url else None

    @property
    def networks(self) -> Mapping[str, tuple[Network, ...]]:
        """The networks of facilities, by name, which are held to a rate of their own (S-117)."""
        return facility_networks(self.facility_networks)

    @property
    def hosts(self) -> list[str]:
        """The host names the service answers to; any other is 400 (S-306)."""
        host = urlsplit(self.public_url).hostname or "localhost"
        return [host, "127.0.0.1", "localhost"] if self.is_development else [host]

    @property
    def site(self) -> Site | None:
        """Where passkeys belong; None: production at an address of digits, for which browsers keep none.

        In development `localhost` is taken for such an address.
        """
        parts = urlsplit(self.public_url)
        host = parts.hostname or "localhost"
        port = f":{parts.port}" if parts.port not in {None, {"https": 443, "http": 80}.get(parts.scheme)} else ""
        if _DIGITS.fullmatch(host):
            if not self.is_development:
                return None
            host = "localhost"
        return Site(host, (f"{parts.scheme}://{host}{port}",))

    def shown(self) -> dict[str, str]:
        """Return every setting for `throughgate check`: secrets as "set"."""
        return {
            one.name: ("set" if value else "not set")
            if one.name in {"secret_key", "database_url", "smtp_url"}
            else str(value)
            for one in fields(self)
            for value in (getattr(self, one.name),)
        }


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check the settings.

    Raises:
        SettingsError: naming the setting and the remedy.
    """
    given = dict(os.environ if environ is None else environ)
    ours = {name.removeprefix(PREFIX) for name in given if name.startswith(PREFIX)}
    known = {one.name.upper() for one in fields(Settings)} | _OTHERS
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
            without_rates=reader.bool("WITHOUT_RATES", False),
            facility_networks=reader.str("FACILITY_NETWORKS", ""),
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
    try:
        smtp = settings.smtp
    except ValueError:
        raise SettingsError(
            f"{PREFIX}SMTP_URL cannot be read. Write it like smtp://NAME:PASSWORD@mail.example.org:587?from=a@example.org"
        ) from None
    _check_networks(settings)
    if settings.is_development:
        return
    if smtp is not None and smtp.tls == "offered" and smtp.host not in _OWN_MACHINE:
        raise SettingsError(
            f"{PREFIX}SMTP_URL names another machine without TLS. Add &tls=required, or begin with smtps://"
        )
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


def _check_networks(settings: Settings) -> None:
    try:
        named = settings.networks
    except ValueError as fault:
        raise SettingsError(
            f"{PREFIX}FACILITY_NETWORKS: {fault}. Write it like Alder Prison=198.51.100.0/28,2001:db8:7::/48; Birch=…"
        ) from None
    if settings.is_development:
        return
    if any(one.is_loopback for networks in named.values() for one in networks):
        raise SettingsError(
            f"{PREFIX}FACILITY_NETWORKS names this machine itself. Behind a proxy set {PREFIX}TRUSTED_PROXIES instead."
        )


def sqlite_path(database_url: str) -> Path | None:
    """Return the file of an SQLite database, or None for PostgreSQL and in-memory databases."""
    if not database_url.startswith("sqlite:///") or ":memory:" in database_url:
        return None
    return Path(database_url.removeprefix("sqlite:///"))
