"""Coarse rates hold over all workers together when they are counted in one place (S-117)."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from referrals.kernel.providers import FileProvider

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = 120
FACILITY = 600

pytestmark = [pytest.mark.redis, pytest.mark.enable_socket, pytest.mark.timeout(180)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"nothing listens on {port}")


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[int]:
    """A redis-server of this test's own; its port."""
    program = shutil.which("redis-server")
    if program is None:
        sentence = "redis-server not found. Run: apt-get install redis-server"
        if os.environ.get("THROUGHGATE_REQUIRE") == "1":
            pytest.fail(sentence)
        pytest.skip(sentence)
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield port
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def two_workers(sqlite_url: str, provider: FileProvider, counter: int) -> Iterator[int]:
    """The service with two workers that count in redis; its port."""
    yield from served(sqlite_url, provider, counter)


@pytest.fixture
def in_a_facility(sqlite_url: str, provider: FileProvider, counter: int) -> Iterator[int]:
    """The same, where the operator said that the addresses of this machine are a facility's."""
    yield from served(sqlite_url, provider, counter, THROUGHGATE_FACILITY_NETWORKS="Alder Prison=127.0.0.0/28")


def served(sqlite_url: str, provider: FileProvider, counter: int, **more: str) -> Iterator[int]:
    port = free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("THROUGHGATE_")} | {
        "THROUGHGATE_ENV": "development",
        "THROUGHGATE_DATABASE_URL": sqlite_url,
        "THROUGHGATE_KEYS": str(provider.path),
        "THROUGHGATE_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "THROUGHGATE_RATE_URL": f"redis://127.0.0.1:{counter}",
        "THROUGHGATE_WEB_WORKERS": "2",
        **more,
    }
    command = [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "--bind", f"127.0.0.1:{port}"]
    server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield port
    finally:
        server.terminate()
        server.wait(30)


def statuses(port: int, count: int, *, whence: str = "127.0.0.1") -> list[int]:
    """Try to sign in with nothing so often, each time by a new connection, so that both workers are met."""
    found = []
    for _ in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30, source_address=(whence, 0))
        connection.request("POST", "/sign-in", headers={"Content-Length": "0"})
        found.append(connection.getresponse().status)
        connection.close()
    return found


def test_s117_two_workers_count_together(two_workers: int) -> None:
    found = statuses(two_workers, ALLOWED + 20)
    assert found == [422] * ALLOWED + [429] * 20


def test_s117_a_facility_is_held_to_its_own_rate_as_a_whole_and_its_neighbors_to_theirs(in_a_facility: int) -> None:
    stranger = statuses(in_a_facility, ALLOWED + 5, whence="127.0.0.20")
    assert stranger == [422] * ALLOWED + [429] * 5
    # A change of shift: twice 200 people within a minute, at two addresses of one facility.
    assert statuses(in_a_facility, 400) == [422] * 400
    attacked = statuses(in_a_facility, FACILITY - 400 + 5, whence="127.0.0.2")
    assert attacked == [422] * (FACILITY - 400) + [429] * 5
