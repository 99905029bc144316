"""Somebody who works in Spanish: finds by Spanish names what a test names in English, looks for English left over."""

from __future__ import annotations

import ast
import csv
import itertools
import json
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Locator, Page

from tests.browser.hands import Mouse, Role
from tools import catalog

ROOT: Final = Path(__file__).resolve().parents[2]
#: Real files that a test brings in; what they say stands on pages afterwards, in whatever order the tests run.
IMPORTED: Final = ROOT.parent / "shared" / "data"
WORDING: Final = ROOT / "templates" / "consent" / "wording" / "2026-1"
#: Everything a page says, to the eye and to a screen reader, that stands in its main language.
SAID: Final = """() => {
    const found = [document.title];
    const here = one => (one.closest('[lang]') || document.documentElement).lang === document.documentElement.lang;
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const around = walk.currentNode.parentElement;
        if (here(around) && !around.closest('script, style, code, textarea')) found.push(walk.currentNode.data);
    }
    for (const one of document.querySelectorAll('[aria-label], [placeholder], [alt], [title]'))
        if (here(one)) for (const name of ['aria-label', 'placeholder', 'alt', 'title'])
            if (one.getAttribute(name)) found.push(one.getAttribute(name));
    for (const one of document.querySelectorAll('[data-not-saved]')) found.push(one.dataset.notSaved);
    return found;
}"""
#: Words that English cannot do without and Spanish does not have.
ENGLISH: Final = re.compile(
    r"\b(the|and|of|to|is|are|was|were|not|you|your|this|that|these|those|with|without|for|from|it|its|they|their|"
    r"at|by|on|in|or|be|been|have|what|when|who|which|how|why|only|yet|day|days|"
    r"January|February|March|April|May|June|July|August|September|October|November|December)\b",
    re.IGNORECASE,
)
#: Names of fields and acts, which the log shows as they are: `referral_step.at`.
_CODES: Final = re.compile(r"\w*[._]\w[\w.]*")
_PLACE: Final = re.compile(r"%\(\w+\)[sd]|\{\w*\}")


@cache
def words() -> dict[str, str]:
    """The Spanish of each English text, the consent's own words too."""
    found: dict[str, str] = {}
    for message in catalog.texts(catalog.kept()):
        english = message.id if isinstance(message.id, (tuple, list)) else (message.id,)
        spanish = message.string if isinstance(message.string, (tuple, list)) else (message.string,)
        found |= {here: str(there) for here, there in zip(english, spanish, strict=True)}
    with (WORDING / "en.toml").open("rb") as one, (WORDING / "es.toml").open("rb") as other:
        here, there = tomllib.load(one), tomllib.load(other)
    for part in ("categories", "purposes"):
        found |= {words: there[part][key] for key, words in here[part].items()}
    return found


@cache
def _patterns(*, spanish: bool) -> list[re.Pattern[str]]:
    """The texts with places, as patterns; those that are hardly more than places say nothing."""
    found = []
    for english, there in words().items():
        said = there if spanish else english
        if _PLACE.search(said) and english != there and len(re.findall(r"[A-Za-z]", _PLACE.sub("", said))) > 3:
            found.append(re.compile(".+".join(re.escape(part) for part in _PLACE.split(said))))
    return found


@cache
def _data() -> list[str]:
    """What people wrote: every text of the demonstration, the tests and what they bring in, longest first.

    An agency without a name of its own is given one when it is brought in, once and for readers of both languages.
    """
    rooms = ROOT / "referrals"
    places = [
        rooms / "demo.py",
        rooms / "exchange" / "facilities.py",
        *sorted((ROOT / "tests" / "browser").glob("*.py")),
    ]
    places += sorted((ROOT / "tests" / "factories").glob("*.py"))
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in places]
    texts = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    texts.update(_imported())
    said = {" ".join(one.split()) for one in texts if isinstance(one, str)}
    return sorted((one for one in said - set(words()) if len(one) > 3), key=len, reverse=True)


@cache
def _sentences() -> list[str]:
    """What is long enough among it to read like a text of ours, as "varies by program" reads like "%s by %s"."""
    return [one for one in map(" ".join, map(str.split, _imported())) if len(one) > 15]


def _imported() -> Iterator[str]:
    """Every text of the real files, as far as they are here."""
    for path in sorted(IMPORTED.glob("*.csv")):
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from itertools.chain.from_iterable(csv.reader(file))
    for path in sorted(IMPORTED.glob("*.hsds.json")):
        yield from _texts_in(json.loads(path.read_text(encoding="utf-8")))


def _texts_in(found: Any) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    for part in found.values() if isinstance(found, dict) else found if isinstance(found, list) else ():
        yield from _texts_in(part)


@cache
def _with_places(text: str) -> re.Pattern[str]:
    """A text with one place as a pattern that finds what stands there; any other as one that finds itself."""
    before, place, after = text.partition("%(number)s")
    return re.compile(f"{re.escape(before)}(?P<number>.+){re.escape(after)}" if place else re.escape(text))


def spanish(name: str) -> str:
    """What a page in Spanish says for this; data stays as it is."""
    known = words()
    if name in known:
        return known[name]
    if name.endswith(" (optional)"):
        return f"{spanish(name.removesuffix(' (optional)'))} (opcional)"
    for here, there in known.items():
        if (found := _with_places(here).fullmatch(name)) and found.groupdict():
            return _PLACE.sub("%s", there) % tuple(found.groupdict().values())
    if ": " in name:
        before, _, after = name.partition(": ")
        return f"{known[before]}: {after}" if before in known else name
    longer = [there for here, there in known.items() if name in here and len(name) > 15]
    return longer[0] if len(set(longer)) == 1 else name


def left_over(page: Page) -> Iterator[str]:
    """What a page in Spanish still says in English, though nobody wrote it there."""
    if page.evaluate("document.documentElement.lang") != "es":
        yield f"{page.url}: the page does not say that it is in Spanish"
    known, own = words(), set(words().values())
    for text in page.evaluate(SAID):
        said = " ".join(text.split()).removesuffix(" \N{EN DASH} Throughgate")
        if (
            not re.search(r"[a-z]{2}", said)
            or said in own
            or any(one.fullmatch(said) for one in _patterns(spanish=True))
        ):
            continue
        bare = said
        for one in _sentences():
            bare = bare.replace(one, "\N{HORIZONTAL ELLIPSIS}")
        if known.get(said, said) != said or any(one.fullmatch(bare) for one in _patterns(spanish=False)):
            yield f"{page.url}: {said!r} stands in English"
            continue
        said = _CODES.sub(" ", said)
        for one in _data():
            if one in said:
                said = said.replace(one, "")
        if ENGLISH.search(said):
            yield f"{page.url}: {said!r} sounds English"


@contextmanager
def in_spanish(visitor: Any) -> Iterator[Any]:
    """Let somebody who is signed in read Spanish for a while; their account is as it was afterwards."""
    _choose(visitor, "Español")
    try:
        yield visitor
    finally:
        _choose(visitor, "English")


def _choose(visitor: Any, name: str) -> None:
    visitor.go("/account")
    with visitor.page.expect_navigation(wait_until="load"):
        visitor.page.get_by_role("button", name=name, exact=True).click()


class Spanish(Mouse):
    """Somebody who reads Spanish and clicks. Each page they come to is read for English left over, and its width."""

    def __init__(self, visitor: Any) -> None:
        """Work this visitor's page."""
        super().__init__(visitor)
        self.found: list[str] = []

    def find(self, role: Role, name: str, *, within: str | None = None, exact: bool = False) -> Locator:
        """The control that this English name stands for."""
        return super().find(role, spanish(name), within=None if within is None else spanish(within), exact=exact)

    def reads(self, words: str) -> bool:
        """Whether the Spanish of these words is on the page."""
        return super().reads(spanish(words))

    def heading(self) -> str:
        """The first heading, in English; it is read once for each page, so the page is looked at here, too."""
        said = super().heading()
        return next((english for english, there in words().items() if there == said), said)

    def area(self, name: str) -> Locator:
        """A region of the page."""
        return super().area(spanish(name))

    def go_to(self, place: str) -> None:
        """Follow an entry of the main navigation."""
        self._look()
        self.visitor.go({"Participants": "/participants", "Home": "/home"}[place])
        self._look()

    def activate(self, control: Locator) -> None:
        """Look at the page, then use a link or a button."""
        self._look()
        super().activate(control)

    def select(self, control: Locator, option: str) -> None:
        """Pick the option of this English name."""
        super().select(control, spanish(option))

    def _look(self) -> None:
        self.found += left_over(self.page)
        if self.visitor.is_too_wide():
            self.found.append(f"{self.page.url}: scrolls sideways")
