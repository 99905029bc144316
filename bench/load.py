"""Requests over loopback, as fast as they are answered, by a few connections at once.

Every answer is held to its status and to something that must stand in it: a refusal, or the way to the sign-in page, is
never counted as a fast answer. Only 127.0.0.1 is ever asked.
"""

from __future__ import annotations

import http.client
import json
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

from bench.ground import BenchError, Service
from bench.pages import API, Ask
from bench.seeding import PASSWORD

_HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Pass:
    """Somebody's sign-in: the cookie, and the token that posts carry."""

    cookie: str
    token: str


@dataclass(slots=True)
class Round:
    """What one round of requests took. `ms` are the times of single answers."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    bytes: int = 0
    ms: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return len(self.ms) / self.seconds if self.seconds else 0.0

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds of the workers per request."""
        return self.cpu_seconds * 1000 / len(self.ms) if self.ms else 0.0

    def percentile(self, percent: int) -> float:
        """Return the time within which this part of the answers came, in ms."""
        ordered = sorted(self.ms)
        return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0


class Line:
    """One connection that stays open."""

    def __init__(self, port: int) -> None:
        """Open it at the first request."""
        self.port = port
        self.connection: http.client.HTTPConnection | None = None

    def send(self, ask: Ask, known: Mapping[str, Pass]) -> tuple[int, bytes, http.client.HTTPMessage]:
        """Send one request; open the line again if the server closed it while nothing was under way."""
        body, headers = _encoded(ask, known.get(ask.user))
        for last in (False, True):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(_HOST, self.port, timeout=60)
            try:
                self.connection.request(ask.method, ask.path, body, headers)
                answer = self.connection.getresponse()
                content = answer.read()
            except (http.client.RemoteDisconnected, ConnectionError):
                self.close()
                if last:
                    raise
            else:
                if answer.will_close:
                    self.close()
                return answer.status, content, answer.headers
        raise AssertionError  # the loop returns or raises

    def close(self) -> None:
        """Close it."""
        if self.connection is not None:
            with suppress(OSError):
                self.connection.close()
            self.connection = None


def _encoded(ask: Ask, known: Pass | None) -> tuple[bytes | None, dict[str, str]]:
    headers = dict(ask.headers or {})
    if known is not None:
        headers["Cookie"] = known.cookie
        if ask.method != "GET":
            headers["X-CSRFToken"] = known.token
    if ask.body is None:
        return None, headers
    if ask.as_form:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return urlencode(ask.body, doseq=True).encode(), headers
    headers["Content-Type"] = "application/json"
    return json.dumps(ask.body).encode(), headers


def sign_in(port: int, name: str, code: Callable[[], str]) -> Pass:
    """Sign in through the JSON door with both factors.

    Raises:
        BenchError: it was refused.
    """
    line = Line(port)
    try:
        words = {"name": name, "password": PASSWORD, "acknowledged": True}
        status, body, headers = line.send(Ask(name, "POST", f"{API}/sign-ins", words), {})
        if status != 201:  # noqa: PLR2004  # Created
            raise BenchError(f"{name} cannot sign in: {status} {body[:300]!r}")
        first = Pass(_cookie(headers), json.loads(body)["csrf_token"])
        ask = Ask(name, "POST", f"{API}/sign-ins/current/second-step", {"code": code()})
        status, body, headers = line.send(ask, {name: first})
        if status != 200 or json.loads(body)["next"] != "full":  # noqa: PLR2004  # OK
            raise BenchError(f"{name} cannot sign in: {status} {body[:300]!r}")
        return Pass(_cookie(headers), json.loads(body)["csrf_token"])
    finally:
        line.close()


def _cookie(headers: http.client.HTTPMessage) -> str:
    # By hand: Python's cookie jar does not send a Secure cookie over http, browsers do to loopback.
    for value in headers.get_all("Set-Cookie", []):
        if value.startswith("__Host-sid="):
            return value.partition(";")[0]
    raise BenchError("The sign-in set no cookie.")


class Feed:
    """Hands out requests to whoever is free, and takes their answers."""

    def __init__(
        self, ask: Callable[[int], Ask | None], took: Callable[[int, bytes], None] | None = None, *, start: int = 0
    ) -> None:
        """`ask(n)` is the n-th request, None where there are no more; `took` gets its number and body."""
        self._ask, self._took = ask, took
        self._turn = threading.Lock()
        self.number = start

    def next(self) -> tuple[int, Ask] | None:
        """Return the next request with its number."""
        with self._turn:
            number = self.number
            ask = self._ask(number)
            if ask is None:
                return None
            self.number += 1
            return number, ask

    def took(self, number: int, body: bytes) -> None:
        """Hand over an answer."""
        if self._took is not None:
            self._took(number, body)


def run(service: Service, known: Mapping[str, Pass], feed: Feed, *, connections: int, seconds: float) -> Round:
    """Send requests by so many connections for so many seconds, or until there are no more.

    Raises:
        BenchError: an answer was not what it should be.
    """
    done = Round()
    faults: list[str] = []
    turn = threading.Lock()
    stop = threading.Event()

    def work() -> None:
        line = Line(service.port)
        times: list[float] = []
        size = 0
        try:
            while not stop.is_set() and time.perf_counter() < until and (given := feed.next()) is not None:
                number, ask = given
                began = time.perf_counter()
                status, body, _ = line.send(ask, known)
                times.append((time.perf_counter() - began) * 1000)
                size += len(body)
                if status != ask.status or ask.marker not in body:
                    raise BenchError(f"{ask.method} {ask.path} for {ask.user}: {status} {body[:400]!r}")  # noqa: TRY301
                feed.took(number, body)
        except Exception as fault:  # noqa: BLE001  # told to whoever started the round
            stop.set()
            with turn:
                faults.append(f"{type(fault).__name__}: {fault}")
        finally:
            line.close()
            with turn:
                done.ms += times
                done.bytes += size

    threads = [threading.Thread(target=work) for _ in range(connections)]
    cpu, began = service.cpu_seconds(), time.perf_counter()
    until = began + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.seconds = time.perf_counter() - began
    done.cpu_seconds = service.cpu_seconds() - cpu
    if faults:
        raise BenchError(faults[0])
    return done


@dataclass(slots=True)
class Measured:
    """All rounds of one thing that was measured."""

    name: str
    who: str
    door: str
    goal_statements: int | None
    goal_cpu: float | None
    statements: list[int] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    fault: str | None = None

    def told(self) -> dict[str, object]:
        """Return the figures: medians over rounds, with the lowest and highest beside them."""
        rounds = [one for one in self.rounds if one.ms]
        figures: dict[str, object] = {
            "name": self.name,
            "who": self.who,
            "door": self.door,
            "requests": sum(len(one.ms) for one in rounds),
            "statements": sorted(set(self.statements)),
            "goal_statements": self.goal_statements,
            "goal_cpu_ms": self.goal_cpu,
            "fault": self.fault,
        }
        for key, values in {
            "per_second": [one.per_second for one in rounds],
            "p50_ms": [one.percentile(50) for one in rounds],
            "p99_ms": [one.percentile(99) for one in rounds],
            "cpu_ms": [one.cpu_ms for one in rounds],
            "bytes": [one.bytes / len(one.ms) for one in rounds],
        }.items():
            if values:
                figures[key] = round(statistics.median(values), 2)
                figures[f"{key}_spread"] = [round(min(values), 2), round(max(values), 2)]
        return figures
