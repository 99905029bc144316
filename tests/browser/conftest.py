"""A real service in its own process, and Debian's Chromium to look at it with.

The service is what `./dev run` starts, made by the same commands, in a folder of its own. Every page is also held to
what must hold everywhere: no report of the Content-Security-Policy, no console error, no request to another host.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_socket
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
REQUIRED = os.environ.get("THROUGHGATE_REQUIRE") == "1"
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here: it needs Chromium, and the loopback."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.enable_socket)
            item.add_marker(pytest.mark.timeout(300))


@dataclass(frozen=True, slots=True)
class Service:
    """A running service with the demonstration's people."""

    url: str
    env: dict[str, str]

    def cli(self, *arguments: str) -> str:
        """Run an operator's command against it."""
        done = subprocess.run(
            [sys.executable, "-m", "referrals.cli", *arguments],
            cwd=ROOT,
            env=self.env,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    @property
    def people(self) -> dict[str, dict[str, str]]:
        """The demonstration's accounts by name."""
        return {one["name"]: one for one in json.loads(self.cli("demo", "accounts", "--json"))}


def free_port() -> int:
    """Find a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Start the service as `./dev run` does."""
    pytest_socket.enable_socket()
    home = tmp_path_factory.mktemp("service")
    keys = tmp_path_factory.mktemp("service-keys") / "keys.json"
    port = free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("THROUGHGATE_")} | {
        "THROUGHGATE_ENV": "development",
        "THROUGHGATE_DATABASE_URL": f"sqlite:///{home / 'throughgate.db'}",
        "THROUGHGATE_KEYS": str(keys),
        "THROUGHGATE_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "THROUGHGATE_FAST_PASSWORDS": "1",
    }
    made = Service(f"http://127.0.0.1:{port}", env)
    made.cli("keys", "create")
    made.cli("migrate")
    made.cli("demo", "seed")
    log = (home / "service.log").open("w")
    gunicorn = [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py", "--bind", f"127.0.0.1:{port}"]
    server = subprocess.Popen(gunicorn, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        for _ in range(150):
            try:
                urllib.request.urlopen(f"{made.url}/health", timeout=2).read()  # noqa: S310  # our own address
                break
            except (urllib.error.URLError, OSError):
                if server.poll() is not None:
                    break
                time.sleep(0.2)
        else:
            pytest.fail("the service did not answer within 30 s")
        if server.poll() is not None:
            pytest.fail("the service ended: " + (home / "service.log").read_text()[-2000:])
        yield made
    finally:
        server.terminate()
        server.wait(30)
        log.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, never Playwright's own download."""
    path = shutil.which("chromium")
    if path is None:
        sentence = "Chromium not found. Run: apt-get install chromium"
        if REQUIRED:
            pytest.fail(sentence)
        pytest.skip(sentence)
    pytest_socket.enable_socket()
    root = ("--no-sandbox",) if os.geteuid() == 0 else ()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*FLAGS, *root])
        yield browser
        browser.close()


@dataclass(slots=True)
class Visitor:
    """Somebody at a browser: their page, and everything that went wrong on it."""

    service: Service
    context: BrowserContext
    page: Page
    faults: list[str] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)

    def go(self, path: str) -> Page:
        """Open a path of the service."""
        answer = self.page.goto(self.service.url + path)
        assert answer is not None
        self.statuses[path] = answer.status
        return self.page

    def sign_in(self, name: str) -> Visitor:
        """Sign in with both factors, as this person would."""
        person = self.service.people[name]
        self.go("/sign-in")
        self.page.get_by_label("I have read").check()
        self.page.get_by_label("Sign-in name").fill(name)
        self.page.get_by_label("Password").fill(person["password"])
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_label("Code").fill(self.service.cli("demo", "code", name).strip())
        self.page.get_by_role("button", name="Continue").click()
        self.page.wait_for_url("**/home")
        return self

    def violations(self) -> list[str]:
        """Run axe over the page as it stands, and say what it finds."""
        found = Axe().run(self.page, options={"runOnly": {"type": "tag", "values": RULES}})
        return [
            f"{self.page.url}: {one['id']} {node['html'][:160]}"
            for one in found.response["violations"]
            for node in one["nodes"]
        ]

    def is_too_wide(self) -> bool:
        """Whether the page scrolls sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


@pytest.fixture
def visitor(chromium: Browser, service: Service) -> Iterator[Callable[..., Visitor]]:
    """Open browsers for as many people as a test needs; at the end, nothing may have gone wrong on any page."""
    opened: list[Visitor] = []

    def open_one(*, width: int = 1280, scripts: bool = True, **options: Any) -> Visitor:
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, java_script_enabled=scripts, locale="en-US", **options
        )
        one = Visitor(service, context, context.new_page())

        def heard(message: ConsoleMessage) -> None:
            if message.type == "error" and "status of 4" not in message.text:
                one.faults.append(f"console: {message.text}")

        def asked(request: Request) -> None:
            if not request.url.startswith((service.url, "data:", "about:")):
                one.faults.append(f"request to another host: {request.url}")
            if request.url.endswith("/csp-reports"):
                one.faults.append("a Content-Security-Policy report")

        one.page.on("console", heard)
        one.page.on("request", asked)
        opened.append(one)
        return one

    yield open_one
    faults = [fault for one in opened for fault in one.faults]
    for one in opened:
        one.context.close()
    assert faults == []
