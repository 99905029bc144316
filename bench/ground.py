"""Where a measurement stands: a seeded database, its keys, and the real service on it at 127.0.0.1.

A seeded SQLite file is kept under `var/bench/` and used again by the same plan; every run works on a copy, so that what
one run writes is not in the way of the next. A PostgreSQL server is started for one run and thrown away.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pwd
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, event
from sqlalchemy.schema import CreateIndex, CreateTable

from audit.models import Base as LogBase
from bench.progress import Progress
from bench.seeding import EDITION, Plan, Seeded, Seeding
from referrals.kernel.keys import KeyRing
from referrals.kernel.orm import Base, make_engine
from referrals.kernel.providers import provider_from

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "var" / "bench"
#: Consents last a year and agreements longer: an older database would measure refusals.
KEPT: Final = timedelta(days=60)


class BenchError(RuntimeError):
    """What keeps a measurement from being taken, in one sentence."""


@dataclass(frozen=True, slots=True)
class Ground:
    """One database to measure on, and what was made in it."""

    database: str
    env: Mapping[str, str]
    seeded: Seeded

    @property
    def url(self) -> str:
        """The database's address."""
        return self.env["THROUGHGATE_DATABASE_URL"]


def environment(url: str, keys: Path) -> dict[str, str]:
    """Return the environment of a development service on a database; nothing of the caller's settings reaches it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("THROUGHGATE_")}
    return kept | {
        "THROUGHGATE_ENV": "development",
        "THROUGHGATE_DATABASE_URL": url,
        "THROUGHGATE_KEYS": str(keys),
        "THROUGHGATE_PUBLIC_URL": "http://127.0.0.1:8000",
        # Signing in is not what is measured.
        "THROUGHGATE_FAST_PASSWORDS": "1",
        # A handful of people ask as a whole department would.
        "THROUGHGATE_WITHOUT_RATES": "1",
    }


def stamp(plan: Plan) -> str:
    """Name a plan and the tables it is for: other columns or indexes, another database."""
    tables = hashlib.sha256()
    for base in (Base, LogBase):
        for table in base.metadata.sorted_tables:
            tables.update(str(CreateTable(table)).encode())
            indexes = sorted(str(CreateIndex(one)) for one in table.indexes)
            tables.update("".join(indexes).encode())
    return f"{plan.participants}-{plan.referrals}-{plan.seed}-e{EDITION}-{tables.hexdigest()[:8]}"


@contextmanager
def ground(database: str, plan: Plan) -> Iterator[Ground]:
    """Prepare a database of this kind, seeded by the plan, for one run.

    Raises:
        BenchError: PostgreSQL is not installed, or the seeding failed.
    """
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _sqlite(plan) if database == "sqlite" else _postgresql(plan) as made:
        yield made


@contextmanager
def _sqlite(plan: Plan) -> Iterator[Ground]:
    name = stamp(plan)
    source, told, keys = FOLDER / f"{name}.db", FOLDER / f"{name}.json", _keys_folder() / f"bench-{name}.json"
    if not _is_usable(source, told, keys):
        # What is made in a hurry, without waiting for the disk, counts only once it is whole.
        making = FOLDER / f"{name}.making.db"
        _remove(making)
        for old in (source, told, keys):
            old.unlink(missing_ok=True)
        seeded = _seed(environment(f"sqlite:///{making}", keys), plan, hurried=True)
        with contextlib.closing(sqlite3.connect(making)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        making.rename(source)
        _remove(making)
        seeded.save(told)
    copy = FOLDER / f"run-{os.getpid()}.db"
    shutil.copyfile(source, copy)
    try:
        yield Ground("sqlite", environment(f"sqlite:///{copy}", keys), Seeded.load(told))
    finally:
        _remove(copy)


def _is_usable(source: Path, told: Path, keys: Path) -> bool:
    if not (source.exists() and told.exists() and keys.exists()):
        return False
    return date.today() - date.fromisoformat(Seeded.load(told).made_on) < KEPT  # noqa: DTZ011  # to the day is enough


def _remove(database: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)


def _keys_folder() -> Path:
    checkout = hashlib.sha256(str(ROOT).encode()).hexdigest()[:16]
    folder = Path.home() / ".local" / "state" / "throughgate" / checkout
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _seed(env: Mapping[str, str], plan: Plan, *, hurried: bool) -> Seeded:
    cli(env, "keys", "create")
    cli(env, "migrate")
    engine = make_engine(env["THROUGHGATE_DATABASE_URL"])
    if hurried:
        event.listen(engine, "connect", lambda connection, _entry: connection.execute("PRAGMA synchronous=OFF"))
    try:
        ring = KeyRing(provider_from(env["THROUGHGATE_KEYS"], env))
        with Progress("Seeding", plan.participants + plan.referrals) as progress:
            return Seeding(engine, ring, plan, done=progress.on).run()
    finally:
        engine.dispose()


def cli(env: Mapping[str, str], *arguments: str) -> None:
    """Run an operator's command.

    Raises:
        BenchError: with what it said.
    """
    done = subprocess.run(
        [sys.executable, "-m", "referrals.cli", *arguments],
        cwd=ROOT,
        env=dict(env),
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise BenchError(f"throughgate {' '.join(arguments)}: {done.stderr.strip()[-2000:]}")


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


def postgresql_programs() -> Path | None:
    """Return the newest folder with `initdb`; Debian keeps the servers off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


@contextmanager
def _postgresql(plan: Plan) -> Iterator[Ground]:
    programs = postgresql_programs()
    if programs is None:
        raise BenchError("PostgreSQL not found. Run: apt-get install postgresql")
    home = Path(tempfile.mkdtemp(prefix="tg-bench-"))  # short: a socket's path holds at most 107 bytes
    as_user: list[str] = []
    if os.geteuid() == 0:  # the server refuses root
        user = pwd.getpwnam("postgres")
        os.chown(home, user.pw_uid, user.pw_gid)
        as_user = ["runuser", "-u", "postgres", "--"]
    cluster = home / "data"
    settings = f"-c listen_addresses= -c unix_socket_directories={home} -c shared_buffers=256MB"

    def run(*command: str) -> None:
        subprocess.run([*as_user, *command], check=True, cwd=home, stdout=subprocess.DEVNULL)

    keys = Path(tempfile.mkdtemp(prefix="tg-bench-keys-")) / "keys.json"
    try:
        run(str(programs / "initdb"), "-D", str(cluster), "-U", "bench", "-A", "trust", "-E", "UTF8")
        run(str(programs / "pg_ctl"), "-D", str(cluster), "-w", "-l", str(home / "log"), "-o", settings, "start")
        try:
            run(str(programs / "createdb"), "-h", str(home), "-U", "bench", "bench")
            env = environment(f"postgresql+psycopg://bench@/bench?host={home}", keys)
            seeded = _seed(env, plan, hurried=False)
            run(str(programs / "vacuumdb"), "-h", str(home), "-U", "bench", "--analyze", "--quiet", "bench")
            yield Ground("postgresql", env, seeded)
        finally:
            run(str(programs / "pg_ctl"), "-D", str(cluster), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(keys.parent, ignore_errors=True)


# --- the service ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Service:
    """gunicorn on the ground, as `./dev run` starts it."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def cpu_seconds(self) -> float:
        """Return the CPU time of the workers so far, those that ended included."""
        ticks = os.sysconf("SC_CLK_TCK")
        own = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        total = int(own[13]) + int(own[14])  # children that were waited for
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        for child in children.split():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{child}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
                total += int(stat[11]) + int(stat[12])
        return total / ticks

    def memory(self) -> list[int]:
        """Return the proportional memory of each worker, in KiB."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="ascii")
        found = []
        for child in children.split():
            with contextlib.suppress(OSError):
                rows = Path(f"/proc/{child}/smaps_rollup").read_text(encoding="ascii").splitlines()
                found += [int(row.split()[1]) for row in rows if row.startswith("Pss:")]
        return found


@contextmanager
def service(on: Ground, workers: int) -> Iterator[Service]:
    """Start gunicorn with the shipped settings on a free port, wait until it answers, and end it.

    One setting differs: workers are never replaced, so that no figure holds the start of a process.

    Raises:
        BenchError: it ended, or did not answer within 60 s.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    path = FOLDER / "service.log"
    command = [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "--workers", str(workers)]
    command += ["--max-requests", "0", "--bind", f"127.0.0.1:{port}"]
    with path.open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=dict(on.env), stdout=log, stderr=log)
        try:
            _wait(port, process, path)
            yield Service(port, process, path)
        finally:
            process.terminate()
            try:
                process.wait(35)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).read()
            return
        time.sleep(0.2)
    raise BenchError(f"The service does not answer: {log.read_text(encoding='utf-8')[-2000:]}")


def engine_on(on: Ground) -> Engine:
    """Open an engine of our own on the same database."""
    return make_engine(on.url)
