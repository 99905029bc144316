"""A body that tells its length chunk by chunk is held to the same bound as one that tells it first (over gunicorn)."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from referrals.kernel.providers import FileProvider

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 1024 * 1024

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(120)]


@pytest.fixture
def port(sqlite_url: str, provider: FileProvider) -> Iterator[int]:
    """The service as gunicorn serves it; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = int(probe.getsockname()[1])
    env = {name: value for name, value in os.environ.items() if not name.startswith("THROUGHGATE_")} | {
        "THROUGHGATE_ENV": "development",
        "THROUGHGATE_DATABASE_URL": sqlite_url,
        "THROUGHGATE_KEYS": str(provider.path),
        "THROUGHGATE_PUBLIC_URL": f"http://127.0.0.1:{free}",
        "THROUGHGATE_WEB_WORKERS": "1",
    }
    command = [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "--bind", f"127.0.0.1:{free}"]
    server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", free)) == 0:
                    break
            time.sleep(0.1)
        yield free
    finally:
        server.terminate()
        server.wait(30)


def told(port: int, body: bytes, *, chunked: bool) -> tuple[int, str]:
    """Send it as a sign-in; the status and the code."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{port}"}
    parts = [body[at : at + 65536] for at in range(0, len(body), 65536)]
    if chunked:
        headers["Transfer-Encoding"] = "chunked"
    connection.request("POST", "/api/v1/sign-ins", iter(parts) if chunked else body, headers, encode_chunked=chunked)
    answer = connection.getresponse()
    said = answer.status, json.loads(answer.read())["code"]
    connection.close()
    return said


def test_a_chunked_body_over_the_limit_is_too_much_as_one_of_known_length_is(port: int) -> None:
    words = b'{"nonsense": 1}'
    for chunked in (False, True):
        assert told(port, words.ljust(LIMIT + 1), chunked=chunked) == (413, "too_much")
        assert told(port, words.ljust(LIMIT) + b"}", chunked=chunked) == (413, "too_much")
        assert told(port, b'{"name": "' + b"x" * (LIMIT + 100) + b'"}', chunked=chunked) == (413, "too_much")
        assert told(port, words.ljust(LIMIT), chunked=chunked) == (422, "invalid_input")
