"""Take pictures of a page of a running demo server, as one of its made-up people sees it, at three widths.

::

    ./dev shot /referrals --as "Ana Diaz" [--lang es] [--print] [--no-js] [--url http://127.0.0.1:8000]

Signs in through the sign-in form (first factor, then the demo account's current code), writes PNG files to `var/shots/`
and says, for each width, what a person would not see in the picture: sideways scrolling, console errors, requests that
failed or went to another host. Works with demo accounts only, because only theirs give away password and code (S-103).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TypedDict
from urllib.parse import urljoin, urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Response, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
SHOTS = ROOT / "var" / "shots"
#: A phone, a tablet, a desk. Set by Playwright: Chromium's own --window-size=320 lays out at 500 px.
WIDTHS = {320: 640, 768: 1024, 1280: 800}
LETTER = (816, 1056)  # US Letter at 96 px to the inch
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ERRORS_START = 400  # HTTP statuses from here on


class Account(TypedDict):
    """One demo account, as `throughgate demo accounts --json` lists it."""

    name: str
    password: str
    role: str


class ShotError(Exception):
    """The picture could not be taken; the text says what to do."""


def operator(*arguments: str) -> str:
    """Give what `throughgate …` prints. Raises `ShotError` with its own words when it fails."""
    ran = subprocess.run(
        [sys.executable, "-m", "referrals.cli", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise ShotError(f"throughgate {' '.join(arguments)} failed: {ran.stderr.strip() or ran.stdout.strip()}")
    return ran.stdout


def account(wanted: str) -> Account:
    """Find a demo account by its name, else the first one with that role. Raises `ShotError` when there is none."""
    known: list[Account] = json.loads(operator("demo", "accounts", "--json"))
    for key in ("name", "role"):
        for one in known:
            if one[key] == wanted:
                return one
    names = ", ".join(f"{one['name']} ({one['role']})" for one in known)
    raise ShotError(f"No demo account is called {wanted}. There are: {names}")


def sign_in(page: Page, url: str, who: Account) -> None:
    """Sign in by both factors, as a person does. Raises `ShotError` when the server refuses."""
    page.goto(urljoin(url, "/sign-in"))
    page.locator('label[for="acknowledged"]').click()  # USWDS paints the box beside the real one
    page.locator('input[name="name"]').fill(who["name"])
    page.locator('input[name="password"]').fill(who["password"])
    press(page, 'input[name="password"]')
    if urlsplit(page.url).path != "/sign-in/second-step":
        raise ShotError(f"The sign-in of {who['name']} was refused at {page.url}: {said(page)}")
    page.locator('input[name="code"]').fill(operator("demo", "code", who["name"]).split()[-1])
    press(page, 'input[name="code"]')
    if urlsplit(page.url).path == "/sign-in/rules":  # due once a year, and when they change
        page.locator('label[for="agreed"]').click()
        press(page, 'input[name="agreed"]')
    if urlsplit(page.url).path.startswith("/sign-in"):
        raise ShotError(f"The second step of {who['name']} was refused at {page.url}: {said(page)}")


def press(page: Page, control: str) -> None:
    """Send the form that holds the control, by its own button."""
    page.locator("form").filter(has=page.locator(control)).locator('button[type="submit"]').first.click()
    page.wait_for_load_state()


def said(page: Page) -> str:
    """Give the page's heading and its error summary in one line."""
    return " / ".join(part.strip() for part in page.locator("h1, [role=alert]").all_inner_texts()).replace("\n", " ")


class Watch:
    """What went wrong while a page was open, in the order it happened."""

    def __init__(self, page: Page, url: str) -> None:
        self.found: list[str] = []
        self._host = urlsplit(url).netloc
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.found.append(f"script: {error}"))
        page.on("requestfailed", lambda request: self.found.append(f"no answer: {request.url}"))
        page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.found.append(f"console: {message.text}")

    def _response(self, response: Response) -> None:
        parts = urlsplit(response.url)
        if parts.scheme.startswith("http") and parts.netloc != self._host:
            self.found.append(f"another host: {response.url}")
        if response.status >= ERRORS_START:
            self.found.append(f"status {response.status}: {response.url}")


def take(context: BrowserContext, url: str, path: str, name: str, *, printed: bool) -> bool:
    """Write the page's pictures; gives whether nothing was wrong at any width."""
    sizes = {LETTER[0]: LETTER[1]} if printed else WIDTHS
    well = True
    for width, height in sizes.items():
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": height})
        if printed:
            page.emulate_media(media="print")
        watch = Watch(page, url)
        page.goto(urljoin(url, path))
        page.wait_for_load_state("networkidle")
        needed = page.locator("html").evaluate("html => html.scrollWidth")
        if needed > width:
            watch.found.append(f"scrolls sideways: {needed} px")
        target = SHOTS / f"{name}-{width}.png"
        page.screenshot(path=target, full_page=True)
        print(f"{target.relative_to(ROOT)}  {page.title()}")
        for fault in watch.found:
            print(f"    {fault}")
        well = well and not watch.found
        page.close()
    return well


def file_name(path: str, who: str | None, *flags: str | None) -> str:
    """Make a file name from what was asked: `/referrals?x=1` as `navigator` -> `referrals-x-1-navigator`."""
    parts = [path.strip("/") or "start", who, *flags]
    return re.sub(r"[^A-Za-z0-9]+", "-", "-".join(part for part in parts if part)).strip("-").lower()


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line: 0 when all is well, 1 when a page had faults, 2 when no picture could be taken."""
    parser = argparse.ArgumentParser(prog="./dev shot", description="Take pictures of a page of a running demo server.")
    parser.add_argument("path", metavar="PATH", help="the page, such as /referrals")
    parser.add_argument("--as", dest="who", metavar="NAME", help="a demo account's name, or a role; nobody if left out")
    parser.add_argument("--lang", choices=["en", "es"], help="ask for the page in this language")
    parser.add_argument("--print", dest="printed", action="store_true", help="as printed on US Letter")
    parser.add_argument("--no-js", action="store_true", help="with JavaScript off")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server (%(default)s)")
    chosen = parser.parse_args(arguments)
    executable = shutil.which("chromium")
    if executable is None:
        print("Chromium not found. Run: apt-get install chromium", file=sys.stderr)
        return 2
    SHOTS.mkdir(parents=True, exist_ok=True)
    flags = (chosen.lang, "print" if chosen.printed else None, "no-js" if chosen.no_js else None)
    with sync_playwright() as start:
        sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium refuses its sandbox to root, and only then
        browser = start.chromium.launch(executable_path=executable, args=[*FLAGS, *sandbox])
        context = browser.new_context(locale=chosen.lang or "en-US", java_script_enabled=not chosen.no_js)
        try:
            if chosen.who:
                sign_in(context.new_page(), chosen.url, account(chosen.who))
            well = take(
                context, chosen.url, chosen.path, file_name(chosen.path, chosen.who, *flags), printed=chosen.printed
            )
        except ShotError as refused:
            print(refused, file=sys.stderr)
            return 2
        finally:
            browser.close()
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
