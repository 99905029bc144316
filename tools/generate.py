"""Write the documents made from the code: who may do what, routes, events, data classes, cryptography, evidence.

`python tools/generate.py` writes them to `docs/`; the house tests compare, so a change of power always shows in a diff.
"""

from __future__ import annotations

import ast
import functools
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from operator import and_
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

ROOT: Final = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from alembic import command as alembic  # noqa: E402  # the path above comes first
from alembic.config import Config  # noqa: E402
from flask import Flask  # noqa: E402
from sqlalchemy import ColumnElement, Exists, ScalarSelect, Select  # noqa: E402
from sqlalchemy.pool import NullPool  # noqa: E402
from sqlalchemy.sql.elements import BooleanClauseList, Grouping  # noqa: E402
from sqlalchemy.sql.selectable import SelectStatementGrouping  # noqa: E402

from referrals import app as factory  # noqa: E402
from referrals import settings as surroundings  # noqa: E402
from referrals.kernel import crypto, job  # noqa: E402
from referrals.kernel.actor import Actor, Role, Side, nobody, system  # noqa: E402
from referrals.kernel.actor import Source as Place  # noqa: E402
from referrals.kernel.command import COMMANDS, Command  # noqa: E402
from referrals.kernel.look import LOOKS  # noqa: E402
from referrals.kernel.orm import Base, make_engine  # noqa: E402
from referrals.kernel.providers import FileProvider  # noqa: E402
from referrals.kernel.web import HALFWAY, OPEN, TOKEN_SCOPES  # noqa: E402
from tools import evidence  # noqa: E402

WHO: Final = """\
# Who may do what

One line for each act. *May, if the actor* names predicates of the room's `policy.py`; the row must also be within
sight (*within*), which keeps strangers at 404. *Roles* are those that grant and sight together could ever let in: asked
of the predicates themselves, not written down. Nothing here opens what consent does not cover.
"""
EVENTS: Final = """\
# Events

Every act leaves one event for each row it changed, every look one for each action, purpose, kind of basis and
recipient, in the same transaction. A refusal leaves one under the same name, with outcome `refused` and the code of
the rule.
"""
CLASSES: Final = """\
# Data classes

*public* may stand in the log; *personal* is about somebody and readable in the database; *restricted* is sealed
(AES-256-GCM, bound to table, column, row and person). A category is what a consent must cover for the value to cross to
another organization; *row* says that the row itself names it. The last column: what shows to somebody who has the
database but no keys.
"""
BESIDE: Final = """
Beside these: the session cookie and form tokens are signed by itsdangerous (HMAC-SHA-1 under `SECRET_KEY`, as Flask
does it); the cookie holds the sign-in's random token and the form token's secret, nothing else. Answers of passkeys are
verified by py_webauthn, by the public keys in `passkey` (ECDSA, EdDSA or RSA with SHA-256). Answers of issuers
are verified by joserfc, by the public keys that the issuer publishes (RS, PS and ES of RFC 7518, and EdDSA). TLS is the
proxy's, and toward issuers that of requests, certificate and name checked.
"""
HEADER: Final = "<!-- Made by tools/generate.py. Do not edit: change the code, then run it. -->\n\n"


def join_rooms() -> None:
    """Import every part of every room, so that all that is declared is known."""
    for room in factory.ROOMS:
        for part in ("models", "commands", "queries", "web"):
            if (ROOT / "referrals" / room / f"{part}.py").exists():
                importlib.import_module(f"referrals.{room}.{part}")


# --- who may do what --------------------------------------------------------------------------------------------------


class Anything:
    """Stands for whatever row would suit best: every attribute is there and equals what it is compared with.

    Predicates are pure, so asking them about this tells which roles they could ever let in. `differs` decides what
    `!=` says: some predicates want a difference (not oneself), some an equality.
    """

    def __init__(self, identity: UUID, *, differs: bool) -> None:
        """Take the identity that everything equals, in a set too."""
        self._identity, self._differs = identity, differs

    def __getattr__(self, name: str) -> Any:
        """Return the like."""
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(self._identity, differs=self._differs)

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        """Return the like."""
        return Anything(self._identity, differs=self._differs)

    def __eq__(self, other: object) -> bool:
        """Equal everything that is there."""
        return other is not None

    def __ne__(self, _other: object) -> bool:
        """Yes, or no."""
        return self._differs

    def __hash__(self) -> int:
        """Be found in a set of ids."""
        return hash(self._identity)

    def __iter__(self) -> Iterator[Any]:
        """Hold one of the like."""
        yield Anything(self._identity, differs=self._differs)

    def __contains__(self, _item: object) -> bool:
        """Hold everything."""
        return True


#: One id for user and organization, so that a set of either holds it.
_ONE: Final = UUID(int=1)


def _actors(role: Role) -> Iterator[Actor]:
    for side in Side:
        yield Actor("user", _ONE, _ONE, side, frozenset({role}), _ONE)


def _lets_in(what: Command[Any, Any], actors: Iterable[Actor]) -> bool:
    for actor in actors:
        if _is_never(what.within(actor).whereclause):
            continue
        for differs in (False, True):
            thing = Anything(_ONE, differs=differs)
            if any(all(may(actor, thing) for may in clause) for clause in what.allow):
                return True
    return False


def _is_never(condition: ColumnElement[bool] | None) -> bool:
    """Return whether a condition holds for no row, as far as its form says so."""
    if condition is None:
        return False
    while isinstance(condition, Grouping):
        condition = condition.element
    if isinstance(condition, BooleanClauseList) and condition.operator is and_:
        return any(_is_never(cast("ColumnElement[bool]", one)) for one in condition.clauses)
    if isinstance(condition, Exists):
        inner: Any = condition.element
        while isinstance(inner, Grouping | ScalarSelect | SelectStatementGrouping):
            inner = inner.element
        return isinstance(inner, Select) and _is_never(inner.whereclause)
    return str(condition) == "false"


def roles_of(what: Command[Any, Any]) -> set[Role]:
    """Return the roles that could ever be let in: the grant's and the sight's doing together."""
    return {role for role in Role if _lets_in(what, _actors(role))}


def others_of(what: Command[Any, Any]) -> set[str]:
    """Return who may without a role: nobody in particular, the service itself."""
    found = set()
    if _lets_in(what, [nobody(Place("page"))]):
        found.add("not signed in")
    if _lets_in(what, [system("job")]):
        found.add("service")
    return found


def room_of(what: Command[Any, Any]) -> str:
    """Return the room whose file holds the command (its record may be named after a lower room's thing)."""
    return str(what.act.__module__).split(".")[1]


def _predicate(may: Callable[..., bool]) -> str:
    return may.__name__


def grant_of(what: Command[Any, Any]) -> str:
    """Return the grant in words: OR of ANDs over predicates."""
    return " **or** ".join(" and ".join(f"`{_predicate(may)}`" for may in clause) for clause in what.allow)


def who_may_do_what() -> str:
    """Return the page of every command: who may, on what, leaving which record."""
    lines = [
        HEADER,
        WHO,
    ]
    by_room: dict[str, list[Command[Any, Any]]] = {}
    for what in COMMANDS.values():
        by_room.setdefault(room_of(what), []).append(what)
    for room in [room for room in factory.ROOMS if room in by_room]:
        lines.append(
            f"\n## {room}\n\n| act | on | may, if the actor | within | roles | record |\n|---|---|---|---|---|---|\n"
        )
        for what in sorted(by_room[room], key=lambda one: one.records):
            able = roles_of(what)
            named = ["every role"] if able == set(Role) else sorted(role.value for role in able)
            roles = ", ".join([*named, *sorted(others_of(what))]) or "nobody"
            edits = " (edit)" if what.edits else ""
            within = getattr(what.within, "__name__", "?")
            cells = (
                f"`{what.name}`{edits}",
                what.on.__name__,
                grant_of(what),
                f"`{within}`",
                roles,
                f"`{what.records}`",
            )
            lines.append(f"| {' | '.join(cells)} |\n")
    return "".join(lines)


# --- routes -----------------------------------------------------------------------------------------------------------


def routes(app: Flask) -> str:
    """Return every address: method, rule, endpoint, and who reaches it."""
    lines = []
    for rule in app.url_map.iter_rules():
        methods = ",".join(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))
        reached = "open" if rule.endpoint in OPEN else "halfway" if rule.endpoint in HALFWAY else "signed in"
        if rule.endpoint in TOKEN_SCOPES:
            reached += f", or token: {TOKEN_SCOPES[rule.endpoint]}"
        lines.append(f"{methods:<5} {rule.rule:<75} {rule.endpoint:<45} {reached}\n")
    return "".join(sorted(lines, key=lambda line: (line.split()[1], line)))


# --- events -----------------------------------------------------------------------------------------------------------


def _first_line(words: str | None) -> str:
    return (words or "").strip().partition("\n")[0].strip()


def events() -> str:
    """Return what the log may say was done: acts and looks, by name."""
    lines = [
        HEADER,
        EVENTS,
        "\n## Acts\n\n| event | what was done | on | purpose |\n|---|---|---|---|\n",
    ]
    for name, what in sorted(COMMANDS.items()):
        lines.append(
            f"| `{name}` | {_first_line(what.act.__doc__)} | {what.on.__name__} | {what.purpose or 'none'} |\n"
        )
    lines.append("\n## Looks\n\n| event | what was read |\n|---|---|\n")
    lines += [f"| `{name}` | {says} |\n" for name, says in sorted(LOOKS.items())]
    lines.append("\n## Jobs\n\nA job leaves the events of the commands it runs.\n\n| kind | every |\n|---|---|\n")
    for kind in sorted(job.KINDS):
        every = job.PERIODIC.get(kind)
        lines.append(f"| `{kind}` | {f'{every} s' if every else 'once, when it is due'} |\n")
    return "".join(lines)


# --- data classes -----------------------------------------------------------------------------------------------------


def data_classes() -> str:
    """Return a card for each column: its class, its category, and what it shows to somebody who has the database."""
    lines = [
        HEADER,
        CLASSES,
    ]
    table = ""
    for card in crypto.classified(Base):
        if card.table not in Base.metadata.tables:
            continue
        if card.table != table:
            table = card.table
            lines.append(f"\n## {table}\n\n| column | class | category | kind | what shows |\n|---|---|---|---|---|\n")
        sealed = card.classed == "restricted"
        category = card.category or ("row" if sealed and _is_about_a_participant(table) else "none")
        shows = "; ".join(card.shows)
        kind = f"{card.kind}, padded" if card.padded else card.kind
        lines.append(f"| `{card.column}` | {card.classed} | {category} | {kind} | {shows} |\n")
    return "".join(lines)


def _is_about_a_participant(table: str) -> bool:
    return any(
        mapper.class_.__participant__ is not None
        for mapper in Base.registry.mappers
        if getattr(mapper.local_table, "name", None) == table
    )


# --- cryptography -----------------------------------------------------------------------------------------------------

#: Modules whose use is cryptography, or looks like it.
_LIBRARIES: Final = ("argon2", "cryptography", "hashlib", "hmac", "pyotp", "random", "secrets", "ssl", "uuid")
_HARMLESS: Final = frozenset({"uuid.UUID", "uuid"})

#: Each use in the service, declared: what for, with which algorithm and key. A use that is not here fails a house test.
DECLARED: Final[dict[str, tuple[str, str, str]]] = {
    "audit/event.py": ("leaves of the log's tree", "SHA-256", "none"),
    "referrals/account/models.py": ("passwords, one-time codes", "Argon2id; operating system's generator", "salts"),
    "referrals/consent/commands.py": ("naming evidence by its bytes", "SHA-256", "none"),
    "referrals/consent/models.py": ("naming the wording that was signed", "SHA-256", "none"),
    "referrals/exchange/commands.py": ("knowing an imported file again", "SHA-256", "none"),
    "referrals/integration/models.py": ("tokens of integrations", "SHA-256 over 256 random bits", "none"),
    "referrals/code_sheet/models.py": (
        "codes of printed sheets, and which one is asked for",
        "Argon2id; operating system's generator",
        "salts",
    ),
    "referrals/sign_in/models.py": (
        "recovery codes, second factors, tokens of sign-ins",
        "Argon2id; HMAC-SHA-1 (TOTP, RFC 6238); SHA-256 over 256 random bits; comparison in constant time",
        "salts; 160 bits, sealed; none",
    ),
    "referrals/issuer/models.py": (
        "requests to issuers",
        "operating system's generator; SHA-256 over 256 random bits; comparison in constant time",
        "none; what PKCE and the nonce hold, sealed",
    ),
    "referrals/passkey/models.py": (
        "challenges of passkeys",
        "operating system's generator; SHA-256 over 256 random bits; comparison in constant time",
        "none",
    ),
    "referrals/kernel/crypto.py": ("sealed cells", "AES-256-GCM, 96-bit random nonce", "256 bits, data key, wrapped"),
    "referrals/kernel/door.py": ("ETag of a resource", "SHA-256", "none"),
    "referrals/kernel/keys.py": (
        "wrapping data keys; HMACs of the house; random data keys",
        "AES-256-GCM with associated data; HMAC-SHA-256",
        "256 bits, key-encryption key of the epoch",
    ),
    "referrals/kernel/orm.py": ("random part of UUIDv7", "operating system's generator", "none"),
    "referrals/kernel/providers.py": (
        "making the keys that the provider holds",
        "operating system's generator",
        "none",
    ),
    "referrals/kernel/record.py": ("random part of an event's id", "operating system's generator", "none"),
    "referrals/kernel/mail.py": (
        "handing mail to its server; message ids",
        "TLS as the platform's defaults have it, the server's certificate and name checked",
        "none; 128 random bits",
    ),
    "referrals/kernel/sealing.py": (
        "envelopes; blind indexes",
        "AES-256-GCM; HMAC-SHA-256 and HKDF-SHA-256, truncated",
        "256 bits, data key; 256 bits, index root",
    ),
    "referrals/person/commands.py": ("a participant's name in the log", "random UUIDv4", "none"),
    "referrals/referral/models.py": ("a referral's reference number", "operating system's generator", "none"),
}


@functools.cache
def cryptography_used() -> dict[str, set[str]]:
    """Return what each module of the service takes from the libraries of cryptography, found in its syntax tree."""
    found: dict[str, set[str]] = {}
    for package in ("audit", "referrals"):
        for path in sorted((ROOT / package).rglob("*.py")):
            used = set(_used(ast.parse(path.read_text(encoding="utf-8"))))
            if used:
                found[path.relative_to(ROOT).as_posix()] = used
    return found


def _used(tree: ast.AST) -> Iterator[str]:
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.asname or alias.name for alias in node.names if alias.name.split(".")[0] in _LIBRARIES}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in _LIBRARIES:
            yield from (name for alias in node.names if (name := f"{node.module}.{alias.name}") not in _HARMLESS)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if (node.value.id in imported and name not in _HARMLESS) or name == "os.urandom":
                yield name


def crypto_inventory() -> str:
    """Return the list of all cryptography (S-507)."""
    lines = [
        HEADER,
        "# Cryptography in use\n\n",
        'We say: "AES-256 as specified in FIPS 197, in GCM mode". We do not claim a validated module.\n\n',
        "| module | for | algorithm | key | taken from the libraries |\n|---|---|---|---|---|\n",
    ]
    for module, used in sorted(cryptography_used().items()):
        purpose, algorithm, key = DECLARED.get(module, ("**not declared**", "?", "?"))
        names = ", ".join(f"`{name}`" for name in sorted(used))
        lines.append(f"| `{module}` | {purpose} | {algorithm} | {key} | {names} |\n")
    lines.append(BESIDE)
    return "".join(lines)


# --- writing ----------------------------------------------------------------------------------------------------------


def documents(app: Flask) -> dict[str, str]:
    """Return every generated document by its path under `docs/`."""
    return {
        "who-may-do-what.md": who_may_do_what(),
        "routes.txt": routes(app),
        "events.md": events(),
        "data-classes.md": data_classes(),
        "crypto-inventory.md": crypto_inventory(),
        "referral-edges.md": HEADER + evidence.referral_edges(),
        "security-checks.md": HEADER + evidence.security_checks(),
    }


def whole_app(place: Path) -> Flask:
    """Build the application on an empty database in a folder of its own."""
    url = f"sqlite:///{place / 'data' / 'empty.db'}"
    (place / "data").mkdir(mode=0o700)
    keys = place / "keys" / "keys.json"
    FileProvider.create(keys)
    engine = make_engine(url, poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        alembic.upgrade(config, "head")
    engine.dispose()
    names = {"ENV": "development", "DATABASE_URL": url, "KEYS": str(keys)}
    given = surroundings.load({f"{surroundings.PREFIX}{name}": value for name, value in names.items()})
    return factory.create_app(given, engine_options={"poolclass": NullPool})


def main() -> None:
    """Write what differs, and say what did."""
    join_rooms()
    os.umask(0o077)
    with tempfile.TemporaryDirectory() as place:
        made = documents(whole_app(Path(place)))
    for name, content in made.items():
        path = ROOT / "docs" / name
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")
            path.chmod(0o644)
            print(f"docs/{name}: written")


if __name__ == "__main__":
    main()
