"""A real service in its own process, and Debian's Chromium to look at it with.

The service is what `./dev run` starts, made by the same commands, in a folder of its own. Every page is also held to
what must hold everywhere: no report of the Content-Security-Policy, no console error, no request to another host, and
nothing unexpected in the service's own log.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_socket
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, sync_playwright
from sqlalchemy.pool import NullPool

from referrals import app as factory
from referrals import demo
from referrals.kernel.orm import make_engine
from referrals.kernel.providers import FileProvider
from tests.journeys.front import Clock, Front, settings_for

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
PHONE, DESK = 320, 1280
#: A second factor's code holds for so many seconds.
STEP = 30


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here: it needs Chromium, and the loopback."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.enable_socket)
            item.add_marker(pytest.mark.timeout(900))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show, of a test that failed, what each visitor had before them."""
    report = yield
    if report.failed and report.when == "call":
        for one in getattr(getattr(item, "funcargs", {}).get("visitor"), "opened", []):
            report.sections.append((one.page.url, one.page.locator("body").aria_snapshot()))
        if (service := getattr(item, "funcargs", {}).get("service")) is not None:
            report.sections.append(("the service", "\n".join(service.log.read_text().splitlines()[-60:])))
    return report


@dataclass(frozen=True, slots=True)
class Service:
    """A running service with the demonstration's people."""

    url: str
    env: dict[str, str]
    log: Path
    #: The cookies of those who have signed in, for further windows of theirs.
    signed_in: dict[str, Any] = field(default_factory=dict)

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

    def front(self) -> Front:
        """The same installation by the JSON door, in this process, to set things up with."""
        url, provider = self.env["THROUGHGATE_DATABASE_URL"], FileProvider(Path(self.env["THROUGHGATE_KEYS"]))
        # As the running service, which is in development, it has somewhere to send mail to.
        settings = replace(settings_for(url, provider), smtp_url="smtp://127.0.0.1:25?from=throughgate@example.org")
        made = factory.create_app(settings, engine_options={"poolclass": NullPool})
        return Front(made, make_engine(url, poolclass=NullPool), provider, Clock())

    def code(self, name: str) -> str:
        """The code that somebody's authenticator shows now."""
        return self.cli("demo", "code", name).strip()

    def complaints(self) -> list[str]:
        """What the service's log tells of pages that broke the policy and of faults nobody expected."""
        said = self.log.read_text(encoding="utf-8").splitlines()
        return [line for line in said if '"csp_report"' in line or '"unexpected"' in line or "Traceback" in line]


def free_port() -> int:
    """Find a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, scratch: Path) -> Iterator[Service]:
    """Start the service as `./dev run` does."""
    pytest_socket.enable_socket()
    home = scratch / "service"
    home.mkdir()
    keys = tmp_path_factory.mktemp("service-keys") / "keys.json"
    port = free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("THROUGHGATE_")} | {
        "THROUGHGATE_ENV": "development",
        "THROUGHGATE_DATABASE_URL": f"sqlite:///{home / 'throughgate.db'}",
        "THROUGHGATE_KEYS": str(keys),
        "THROUGHGATE_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "THROUGHGATE_FAST_PASSWORDS": "1",
        # Pages say that mail is sent; without a worker nothing is handed over.
        "THROUGHGATE_SMTP_URL": "smtp://localhost?from=throughgate@county.example",
    }
    made = Service(f"http://127.0.0.1:{port}", env, home / "service.log")
    made.cli("keys", "create")
    made.cli("migrate")
    made.cli("demo", "seed")
    log = made.log.open("w")
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
            pytest.fail("the service ended: " + made.log.read_text()[-2000:])
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

    def go(self, path: str, *, expect: int = 200) -> Page:
        """Open a path of the service; it must answer as expected."""
        answer = self.page.goto(self.service.url + path)
        assert answer is not None
        assert answer.status == expect, f"{path}: {answer.status}, not {expect}"
        return self.page

    def sign_in(self, name: str, password: str = demo.PASSWORD) -> Visitor:
        """Sign in with both factors, as this person would."""
        self.go("/sign-in")
        self.tick("I have read this notice")
        self.page.get_by_role("textbox", name="Sign-in name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self.give_code(name)
        self.page.wait_for_url("**/home")
        self.service.signed_in[name] = self.context.cookies()
        return self

    def give_code(self, name: str) -> None:
        """Type the code; when somebody has used both that hold now, wait for the next one as a person would."""
        for _ in range(2):
            self.page.get_by_label("Code").fill(self.service.code(name))
            self.page.get_by_role("button", name="Continue").click()
            if self.page.get_by_role("alert").count() == 0:
                return
            time.sleep(STEP - time.time() % STEP + 0.5)

    def come_back(self, name: str) -> Visitor:
        """Open another window of somebody who is signed in; sign in if they are not."""
        if name not in self.service.signed_in:
            return self.sign_in(name)
        self.context.add_cookies(self.service.signed_in[name])
        return self

    def tick(self, name: str, role: Literal["checkbox", "radio"] = "checkbox", **where: Any) -> None:
        """Tick a box by its name. The design system draws it beside the real one, so it is pressed, not clicked."""
        box = self.page.get_by_role(role, name=name, **where)
        if not box.is_checked():
            box.press("Space")

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

    def walk_to(self, wanted: Locator, *, most: int = 250) -> Locator:
        """Press Tab until the focus is on a control; it must then be seen, marked, and not covered by anything."""
        for _ in range(most):
            self.page.keyboard.press("Tab")
            if wanted.evaluate("one => one === document.activeElement"):
                seen = wanted.evaluate(SEEN)
                assert seen == "", f"{self.page.url}: {wanted}: {seen}"
                return wanted
        pytest.fail(f"{self.page.url}: Tab does not lead to {wanted}")


#: Whether who walks by keyboard sees where they are. The design system hides a radio's own box: its label shows it.
SEEN = """one => {
    const marked = style => style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0
        || style.boxShadow !== 'none';
    const label = one.labels && one.labels[0];
    const styles = [getComputedStyle(one)];
    if (label) styles.push(getComputedStyle(label), getComputedStyle(label, '::before'));
    if (!styles.some(marked)) return 'no mark of focus';
    const shown = /^(radio|checkbox)$/.test(one.type || '') && label ? label : one;
    const box = shown.getBoundingClientRect();
    if (box.bottom <= 0 || box.top >= innerHeight) return 'out of sight';
    const x = box.left + Math.min(box.width / 2, 20), y = Math.min(box.top + box.height / 2, innerHeight - 1);
    const top = document.elementFromPoint(x, y);
    if (top && (shown.contains(top) || top.contains(shown))) return '';
    return 'covered by ' + (top && top.outerHTML.slice(0, 80));
}"""


@pytest.fixture
def visitor(chromium: Browser, service: Service) -> Iterator[Callable[..., Visitor]]:
    """Open browsers for as many people as a test needs; at the end, nothing may have gone wrong on any page."""
    opened: list[Visitor] = []
    before = len(service.complaints())

    def open_one(
        *, width: int = DESK, scripts: bool = True, host: str = "127.0.0.1", also: str = "", **options: Any
    ) -> Visitor:
        # By another name of its host, the service knows none of the cookies that were kept.
        here = (
            service
            if host in service.url
            else replace(service, url=service.url.replace("127.0.0.1", host), signed_in={})
        )
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, java_script_enabled=scripts, locale="en-US", **options
        )
        context.set_default_timeout(15_000)
        one = Visitor(here, context, context.new_page())

        def heard(message: ConsoleMessage) -> None:
            # A page that answers 4xx on purpose (a form with faults) is told to the console by Chromium itself.
            if message.type == "error" and "status of 4" not in message.text:
                one.faults.append(f"console: {message.text}")

        def asked(request: Request) -> None:
            # `also` is another service of the test's own, to which somebody is sent on purpose.
            if not request.url.startswith((here.url, also or here.url, "data:", "about:")):
                one.faults.append(f"request to another host: {request.url}")
            if request.url.endswith("/csp-reports"):
                one.faults.append("a Content-Security-Policy report")

        one.page.on("console", heard)
        one.page.on("pageerror", lambda error: one.faults.append(f"script: {error}"))
        one.page.on("request", asked)
        opened.append(one)
        return one

    open_one.opened = opened  # type: ignore[attr-defined]
    yield open_one
    faults = [fault for one in opened for fault in one.faults]
    for one in opened:
        one.context.close()
    assert faults == []
    assert service.complaints()[before:] == []
