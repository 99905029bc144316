"""The Spanish catalog: `python tools/catalog.py` brings it up to what the code says, and lists what it lacks.

Each text that a reader may see goes through gettext (`_()`, `_l()`, `N_()`) in Python or a template. This reads all of
them and writes `messages.po`: new texts come in without a translation, texts that are gone leave, translations stay.
Texts stand in alphabetical order, each on one line, with the files that say them and no line numbers or dates, so that
two branches that add texts rarely meet in one place. What opens the file, with the list of terms, is kept as it is.

The service reads the same file at its start (`referrals/kernel/language.py`); nothing is compiled beforehand.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from babel.messages import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_file
from babel.messages.pofile import read_po, write_po

ROOT: Final = Path(__file__).resolve().parents[1]
SPANISH: Final = ROOT / "referrals" / "translations" / "es" / "LC_MESSAGES" / "messages.po"
REMEDY: Final = f"Run: python tools/catalog.py, then translate what it lists in {SPANISH.relative_to(ROOT)}."

_SOURCES: Final = (("referrals", "*.py", "python"), ("templates", "*.html", "jinja2.ext:babel_extract"))
_KEYWORDS: Final = {**DEFAULT_KEYWORDS, "_l": None}
_PLACE: Final = re.compile(r"%\(\w+\)[sd]|%%|\{\w*\}|%")
_ID: Final = re.compile(r'^msgid "', re.MULTILINE)

#: Words we never use for the people this is about, nor as a slip for "you".
_UNWANTED: Final = re.compile(
    r"\b(pres[oa]s?|reclus[oa]s?|re[oa]s?|delincuentes?|ofensor(es|as?)?|tú|tu|tus|vosotros)\b", re.IGNORECASE
)


def said() -> Catalog:
    """Return every text of the code and the templates, with the files that say it."""
    found = Catalog(locale="es")
    for folder, pattern, method in _SOURCES:
        for path in sorted((ROOT / folder).rglob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            options = {"silent": "false"} if pattern == "*.html" else {}
            for _line, message, _comments, context in extract_from_file(method, path, _KEYWORDS, (), options):
                found.add(message, None, [(name, 0)], context=context)
    return found


def kept() -> Catalog:
    """Return the catalog as it lies there."""
    with SPANISH.open("rb") as file:
        return read_po(file, locale="es")


def opening() -> str:
    """Return what opens the catalog: comments and the header, up to the first text."""
    return SPANISH.read_text(encoding="utf-8").partition("\n\n#: ")[0].rstrip() + "\n\n"


def texts(catalog: Catalog) -> Iterator[Message]:
    """Go through the texts of a catalog, without its header."""
    return (message for message in catalog if message.id)


def updated() -> str:
    """Return the catalog with exactly the texts that are said now."""
    told, have = said(), kept()
    for message in texts(told):
        before = have.get(message.id, message.context)
        if before is not None and before.pluralizable == message.pluralizable and not before.fuzzy:
            message.string = before.string
    written = io.BytesIO()
    write_po(written, told, width=0, omit_header=True, sort_output=True, include_lineno=False)
    return opening() + written.getvalue().decode().lstrip("\n")


def _forms(message: Message) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the English and the Spanish of a text, each with its forms: one, or singular and plural."""
    english = message.id if isinstance(message.id, (tuple, list)) else (message.id,)
    spanish = message.string if isinstance(message.string, (tuple, list)) else (message.string,)
    return tuple(english), tuple(one or "" for one in spanish)


def _edges(text: str) -> list[bool]:
    return [edge in " \n()" for edge in (text[:1], text[-1:])]


def _misfits(message: Message) -> Iterator[str]:
    """Say what is wrong with the Spanish of one text."""
    english, spanish = _forms(message)
    if len(spanish) != len(english) or not all(spanish):
        yield "has no Spanish, or not in both of its forms"
        return
    if message.fuzzy:
        yield "is fuzzy"
    for here, there in zip(english, spanish, strict=True):
        if sorted(_PLACE.findall(here)) != sorted(_PLACE.findall(there)):
            yield f"has other places than its Spanish: {there}"
        if _edges(here) != _edges(there):
            yield f"begins or ends with a space or a bracket on one side only: {there}"
        if unwanted := _UNWANTED.search(there):
            yield f"says “{unwanted[0]}” in Spanish; see the terms at the head of the catalog"


def faults() -> list[str]:
    """Say what keeps the catalog from being whole: texts without Spanish, odd ones, gone ones, doubled ones."""
    told, have = said(), kept()
    missing = [f"not in the catalog: {message.id!r}" for message in texts(told) if message.id not in have]
    stale = [f"nothing says this any more: {message.id!r}" for message in texts(have) if message.id not in told]
    odd = [f"{message.id!r} {why}" for message in texts(have) for why in _misfits(message)]
    doubled = len(_ID.findall(SPANISH.read_text(encoding="utf-8"))) - 1 - len(list(texts(have)))
    return missing + stale + odd + ([f"{doubled} texts stand there twice"] if doubled else [])


def main() -> int:
    """Write the catalog anew and list what it lacks; 1 if it lacks something."""
    content = updated()
    if content != SPANISH.read_text(encoding="utf-8"):
        SPANISH.write_text(content, encoding="utf-8")
        print(f"{SPANISH.relative_to(ROOT)}: written")
    left = faults()
    for one in left:
        print(one)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
