"""Where the secrets live: epochs (key encryption keys), the index root, and the secret of Flask's cookies.

Three kinds of secrets, never in the database or its backups. Asked at start only, and refused there when they are weak,
in sight of others, or lie where one theft takes both the keys and what they open.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

from sqlalchemy import make_url

#: Length of every secret, in bytes.
SECRET: Final = 32
#: 32 random bytes had at least 23 distinct ones in 100,000 draws; fewer than this are no random bytes.
DISTINCT: Final = 16
#: Keys that stand in documents and tests.
SAMPLES: Final = frozenset(bytes(range(start, start + SECRET)) for start in range(0, 256 - SECRET + 1, SECRET))

_CREATE = "Run: throughgate keys create"
_EPOCH = re.compile(r"[A-Za-z0-9_]{1,40}\Z")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the service does not start: a stable code, and one sentence that says what to do. Holds no secret."""

    code: str
    remedy: str


class KeyProblemError(Exception):
    """Keys are missing or do not fit. `code` and `remedy` are for the operator; the message holds no secret."""

    def __init__(self, code: str, remedy: str) -> None:
        """Keep both."""
        super().__init__(f"{code}: {remedy}")
        self.code = code
        self.remedy = remedy


class KeyProvider(Protocol):
    """Where the epochs live. Asked at start only, never inside a request."""

    def current(self) -> str:
        """Return the name of the epoch that wraps new data keys."""

    def epochs(self) -> tuple[str, ...]:
        """Return the names of all epochs it has."""

    def open(self, epoch: str) -> bytes:
        """Return the 32 bytes of an epoch; `KeyProblemError` if it is not there."""

    def index_root(self) -> bytes:
        """Return the root of all blind indexes."""

    def secret_key(self) -> bytes:
        """Return what Flask signs cookies with."""

    def destroy(self, epoch: str) -> str:
        """Destroy an epoch for good; return what remains for the operator to do."""


def _decoded(name: str, value: object) -> bytes:
    if not isinstance(value, str) or not value:
        raise KeyProblemError("key_missing", f"{name} is missing. Run: throughgate keys create")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise KeyProblemError("key_malformed", f"{name} is not base64. Put back the copy of the keys") from None


class FileProvider:
    """Keys in one JSON file, mode 0600, in a folder of its own with mode 0700. The default."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            KeyProblemError: it is missing, a link, unreadable, or not what `create` writes.
        """
        self.path = path
        try:
            # A link could be turned to another file between check and use.
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            with os.fdopen(descriptor, encoding="utf-8") as file:
                held = json.load(file)
        except FileNotFoundError:
            raise KeyProblemError(
                "file_missing", f"There is no key file {path}. Run: throughgate keys create"
            ) from None
        except (OSError, UnicodeDecodeError, json.JSONDecodeError):
            remedy = f"{path} cannot be read as a key file. Put back the copy, as a plain file of the service's user"
            raise KeyProblemError("file_unreadable", remedy) from None
        if not isinstance(held, dict) or not isinstance(held.get("epochs"), dict) or not held["epochs"]:
            raise KeyProblemError("file_unreadable", f"{path} names no epochs. Put back the copy of the keys")
        self._held: dict[str, Any] = held

    @classmethod
    def create(cls, path: Path, *, at: datetime | None = None) -> FileProvider:
        """Write a new file with one epoch, an index root and a secret key, and return its provider.

        Raises:
            FileExistsError: there is one already; keys are never overwritten.
        """
        epoch = f"{at or datetime.now(UTC):%Y%m}"
        held = {
            "epochs": {epoch: _fresh()},
            "current": epoch,
            "index_root": _fresh(),
            "secret_key": _fresh(),
        }
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_new(path, held)
        return cls(path)

    def current(self) -> str:
        """Return the name of the epoch that wraps new data keys."""
        name = self._held.get("current")
        if name not in self._held["epochs"]:
            raise KeyProblemError("key_missing", f"{self.path} has no current epoch. Put back the copy of the keys")
        return str(name)

    def epochs(self) -> tuple[str, ...]:
        """Return the names of all epochs in the file."""
        return tuple(self._held["epochs"])

    def open(self, epoch: str) -> bytes:
        """Return the 32 bytes of an epoch."""
        return _decoded(f"epoch {epoch}", self._held["epochs"].get(epoch))

    def index_root(self) -> bytes:
        """Return the root of all blind indexes."""
        return _decoded("index_root", self._held.get("index_root"))

    def secret_key(self) -> bytes:
        """Return what Flask signs cookies with."""
        return _decoded("secret_key", self._held.get("secret_key"))

    def destroy(self, epoch: str) -> str:
        """Take the epoch out of the file; its copies are the operator's."""
        if epoch == self._held.get("current"):
            raise KeyProblemError(
                "epoch_in_use", f"Epoch {epoch} is the current one. Run first: throughgate key epoch new"
            )
        del self._held["epochs"][epoch]
        beside = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        _write_new(beside, self._held)
        beside.replace(self.path)
        return f"Destroy epoch {epoch} in the copy of the key file, and confirm that it is gone"


def _fresh() -> str:
    return base64.b64encode(secrets.token_bytes(SECRET)).decode()


def _write_new(path: Path, held: Mapping[str, Any]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(held, file, indent=2)
        file.flush()
        os.fsync(file.fileno())


class EnvProvider:
    """Keys in environment variables, base64 each, for containers and tests.

    `THROUGHGATE_KEK_<epoch>`, `THROUGHGATE_KEK_CURRENT` (a name; needed when there are several),
    `THROUGHGATE_KEK_INDEX_ROOT` (no epoch, in spite of its name) and `THROUGHGATE_SECRET_KEY`.
    """

    prefix: ClassVar[str] = "THROUGHGATE_KEK_"

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Take the variables out of `environ`."""
        held = {name.removeprefix(self.prefix): environ[name] for name in environ if name.startswith(self.prefix)}
        self._current = held.pop("CURRENT", None)
        self._index_root = held.pop("INDEX_ROOT", None)
        self._epochs = held
        self._secret_key = environ.get("THROUGHGATE_SECRET_KEY")

    def current(self) -> str:
        """Return the name of the epoch that wraps new data keys."""
        if self._current is None and len(self._epochs) == 1:
            return next(iter(self._epochs))
        if self._current not in self._epochs:
            raise KeyProblemError("key_missing", f"Set {self.prefix}CURRENT to the name of one {self.prefix}<epoch>")
        return str(self._current)

    def epochs(self) -> tuple[str, ...]:
        """Return the names of all epochs in the environment."""
        return tuple(self._epochs)

    def open(self, epoch: str) -> bytes:
        """Return the 32 bytes of an epoch."""
        return _decoded(f"{self.prefix}{epoch}", self._epochs.get(epoch))

    def index_root(self) -> bytes:
        """Return the root of all blind indexes."""
        return _decoded("THROUGHGATE_KEK_INDEX_ROOT", self._index_root)

    def secret_key(self) -> bytes:
        """Return what Flask signs cookies with."""
        return _decoded("THROUGHGATE_SECRET_KEY", self._secret_key)

    def destroy(self, epoch: str) -> str:
        """Forget the epoch here; the variable itself is the operator's."""
        self._epochs.pop(epoch, None)
        return f"Remove {self.prefix}{epoch} wherever it is set, and restart every process"


def provider_from(keys: str, environ: Mapping[str, str]) -> KeyProvider:
    """Return the provider that the setting `THROUGHGATE_KEYS` names: `env`, or the path of a key file.

    Raises:
        KeyProblemError: the file is missing or cannot be read.
    """
    return EnvProvider(environ) if keys == "env" else FileProvider(Path(keys))


# --- refusals --------------------------------------------------------------------------------------------------------


def secret_faults(provider: KeyProvider, *, secret_key: bytes | None = None) -> list[Refusal]:
    """Return what is wrong with the secrets; `secret_key` is the one from the settings, if it is set there."""
    faults = [
        Refusal("epoch_name", f"Rename epoch {name!r}: letters, digits and _ only, at most 40")
        for name in provider.epochs()
        if not _EPOCH.match(name)
    ]
    asked: dict[str, Callable[[], bytes]] = {
        f"epoch {name}": partial(provider.open, name) for name in provider.epochs()
    }
    asked |= {"the index root": provider.index_root}
    if secret_key is None:
        asked |= {"the secret key": provider.secret_key}
    held: dict[str, bytes] = {} if secret_key is None else {"the secret key": secret_key}
    for name, ask in asked.items():
        try:
            held[name] = ask()
        except KeyProblemError as problem:
            faults.append(Refusal(problem.code, problem.remedy))
    try:
        provider.current()
    except KeyProblemError as problem:
        faults.append(Refusal(problem.code, problem.remedy))
    seen: dict[bytes, str] = {}
    for name, secret in held.items():
        faults += _weaknesses(name, secret)
        if secret in seen:
            faults.append(Refusal("key_equal", f"Replace {name}: it equals {seen[secret]}. {_CREATE}"))
        seen.setdefault(secret, name)
    return faults


def _weaknesses(name: str, secret: bytes) -> list[Refusal]:
    if len(secret) < SECRET:
        return [Refusal("key_short", f"Replace {name}: it has {len(secret)} of {SECRET} bytes. {_CREATE}")]
    if len(secret) > SECRET and name != "the secret key":
        return [Refusal("key_long", f"Replace {name}: it has {len(secret)} bytes instead of {SECRET}. {_CREATE}")]
    if secret in SAMPLES:
        return [Refusal("key_sample", f"Replace {name}: it is a sample out of documents or tests. {_CREATE}")]
    if len(set(secret)) < DISTINCT:
        return [Refusal("key_weak", f"Replace {name}: it is not random. {_CREATE}")]
    return []


def file_faults(
    path: Path,
    *,
    repository: Path,
    database_url: str,
    backup_set: Iterable[Path] = (),
    uid: int | None = None,
) -> list[Refusal]:
    """Return what is wrong with where and how the key file lies; `uid` is the service's user, by default our own."""
    try:
        found = path.lstat()
    except OSError:
        return [Refusal("file_missing", f"There is no key file {path}. {_CREATE}")]
    if stat.S_ISLNK(found.st_mode):
        return [Refusal("file_link", f"{path} is a link. Name the key file itself in THROUGHGATE_KEYS")]
    faults = []
    if found.st_mode & 0o077:
        faults.append(Refusal("file_mode", f"Others can read {path}. Run: chmod 600 {path}"))
    uid = os.geteuid() if uid is None else uid
    if found.st_uid != uid:
        faults.append(Refusal("file_owner", f"{path} belongs to another user. Run: chown {uid} {path}"))
    place = path.resolve()
    if place.is_relative_to(repository.resolve()):
        faults.append(Refusal("file_in_repository", f"Move {path} out of the repository {repository}"))
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite" and url.database and Path(url.database).resolve().parent == place.parent:
        faults.append(Refusal("file_beside_database", f"Move {path} to a folder of its own: one copy would take both"))
    if any(place.is_relative_to(folder.resolve()) for folder in backup_set):
        faults.append(Refusal("file_in_backup_set", f"Move {path} out of what is backed up with the database"))
    return faults
