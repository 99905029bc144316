"""A PostgreSQL server of the tests' own: throwaway, on a Unix socket, run as `postgres` because it refuses root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL


def missing(sentence: str) -> None:
    """Skip a test whose service is not installed; in CI that is a failure."""
    if os.environ.get("THROUGHGATE_REQUIRE") == "1":
        pytest.fail(sentence)
    pytest.skip(sentence)


def postgresql_programs() -> Path | None:
    """The newest folder with `initdb`: Debian keeps the servers off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


@contextmanager
def a_server() -> Iterator[URL]:
    """Start a server and end it; the URL is its superuser's, to the database `postgres`."""
    programs = postgresql_programs()
    if programs is None:
        missing("PostgreSQL not found. Run: apt-get install postgresql")
    assert programs is not None
    home = Path(tempfile.mkdtemp(prefix="tg-pg-"))  # short: a socket's path holds at most 107 bytes
    as_user: list[str] = []
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(home, user.pw_uid, user.pw_gid)
        as_user = ["runuser", "-u", "postgres", "--"]
    cluster = home / "data"
    settings = f"-c listen_addresses= -c unix_socket_directories={home} -c fsync=off -c max_connections=100"

    def run(*command: str) -> None:
        subprocess.run([*as_user, *command], check=True, cwd=home, stdout=subprocess.DEVNULL)

    try:
        run(str(programs / "initdb"), "-D", str(cluster), "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync")
        run(str(programs / "pg_ctl"), "-D", str(cluster), "-w", "-l", str(home / "log"), "-o", settings, "start")
        try:
            yield URL.create("postgresql+psycopg", username="tester", database="postgres", query={"host": str(home)})
        finally:
            run(str(programs / "pg_ctl"), "-D", str(cluster), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)
