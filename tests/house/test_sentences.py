"""Every code that a refusal, a field or a notice may carry has a sentence: what is wrong, and what to do."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from typing import Final

import pytest
from marshmallow import fields, validate

from referrals.kernel import web
from referrals.kernel.command import COMMANDS
from referrals.kernel.door import OPERATIONS
from tests.house.test_rooms import refusals, sources

#: Codes nobody meets on a screen, and why.
UNSEEN: Final = {
    "refused": "the root of the tree, never raised itself",
    "rule_broken": "the root of the rules, never raised itself",
    "already_imported": "an import names it in its report",
    "not_active": "an import names it in its report",
    "other_agency": "an import names it in its report",
    "other_organization": "an import names it in its report",
}


def told_to_people() -> dict[str, str]:
    """The sentences of refusals and of faults in fields (labels and names of states are said elsewhere)."""
    codes = {one.code for one in refusals()}
    codes |= {code for _, code in raised_in_fields()} | {code for _, code in validators()}
    return {code: said for code in sorted(codes) if (said := sentence_of(code)) is not None}


def sentence_of(code: str) -> str | None:
    """The sentence a reader gets: its own, or that of the family it belongs to (`missing_element.name`)."""
    while code not in web.SENTENCES and "." in code:
        code = code.rpartition(".")[0]
    words = web.SENTENCES.get(code)
    return None if words is None else str(words)


def raised_in_fields() -> Iterator[tuple[str, str]]:
    """Codes that schemas and commands put on fields: the arguments of ValidationError and InvalidInputError."""
    for path, tree in sources():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id == "ValidationError":
                for one in node.args:
                    yield from ((path, found.value) for found in ast.walk(one) if _is_text(found))  # type: ignore[attr-defined]
            elif node.func.id == "InvalidInputError":
                for one in (value for part in node.args if isinstance(part, ast.Dict) for value in part.values):
                    yield from ((path, found.value) for found in ast.walk(one) if _is_text(found))  # type: ignore[attr-defined]


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and bool(re.fullmatch(r"[a-z][a-z0-9_.]*", node.value))
    )


def validators() -> Iterator[tuple[str, str]]:
    """Codes that declared validators carry (`validate.OneOf(…, error="not_a_choice")`)."""
    for what in COMMANDS.values():
        for name, field in what.takes.fields.items():
            inner = field.inner if isinstance(field, fields.List) else None
            for one in (field, inner):
                if one is None:
                    continue
                for validator in one.validators:
                    error = getattr(validator, "error", None)
                    if isinstance(validator, validate.Validator) and isinstance(error, str):
                        yield f"{what.name}.{name}", error


def test_every_refusal_has_a_sentence() -> None:
    silent = sorted(
        {
            f"{one.code} ({one.__name__})"
            for one in refusals()
            if one.code not in UNSEEN and sentence_of(one.code) is None
        }
    )
    assert silent == [], (
        f"{silent}: give each its sentence by say({{…}}) in the room's web.py: what is wrong, what to do."
    )


def test_every_code_of_a_field_has_a_sentence() -> None:
    silent = sorted({f"{code} in {path}" for path, code in raised_in_fields() if sentence_of(code) is None})
    assert silent == [], f"{silent}: give each its sentence by say({{…}}) in the room's web.py."
    silent = sorted({f"{code} at {place}" for place, code in validators() if sentence_of(code) is None})
    assert silent == [], f"{silent}: give each its sentence by say({{…}}) in the room's web.py."


def test_every_notice_has_a_sentence() -> None:
    silent = []
    for path, tree in sources():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            named = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if named == "flash" and node.args and isinstance(node.args[0], ast.Constant):
                silent += [f"{node.args[0].value} in {path}"] if sentence_of(node.args[0].value) is None else []
            silent += [
                f"{word.value.value} in {path}"
                for word in node.keywords
                if word.arg == "done"
                and path.endswith("web.py")
                and isinstance(word.value, ast.Constant)
                and isinstance(word.value.value, str)
                and sentence_of(word.value.value) is None
            ]
    assert sorted(silent) == [], f"{silent}: give each its sentence by say({{…}}) in the room's web.py."


def test_sentences_are_sentences_and_their_places_can_be_filled() -> None:
    odd = []
    for code, said in told_to_people().items():
        if said != said.strip() or said[-1] not in ".?!:)”" or not (said[0].isupper() or said[0] in "%“0123456789"):
            odd.append(f"{code}: {said!r}")
        if "%" in said.replace("%%", ""):
            places = re.findall(r"%\((\w+)\)s", said)
            if said.count("%") - 2 * said.count("%%") != len(places):
                odd.append(f"{code}: {said!r} (a lone %)")
    assert odd == [], f"{odd}: a whole sentence, with places like %(at)s."


#: Where such a word is the right one.
ALLOWED: Final[dict[str, tuple[str, ...]]] = {"error": ("unexpected:",)}


@pytest.mark.parametrize("word", ["error", "invalid", "illegal", "failed", "abort", "fatal", "null", "exception"])
def test_sentences_are_in_plain_words(word: str) -> None:
    found = re.compile(rf"\b{word}\b", re.IGNORECASE)
    odd = [f"{code}: {said}" for code, said in told_to_people().items() if found.search(said)]
    odd = [one for one in odd if not one.startswith(ALLOWED.get(word, ()))]
    assert odd == [], f"{odd}: say what happened and what to do, in the words of the people who read it."


def test_every_operation_of_the_api_says_in_one_line_what_it_is() -> None:
    silent = [one.rule for one in OPERATIONS if not one.summary or one.summary[0] not in string.ascii_uppercase]
    assert silent == [], f"{silent}: the first line of the docstring is its summary."


def test_rooms_do_not_say_the_same_code_differently() -> None:
    """The later import would win, and nobody would see why."""
    said: dict[str, dict[str, str]] = {}
    for path, tree in sources():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "say"):
                continue
            for part in (part for part in node.args if isinstance(part, ast.Dict)):
                for key, value in zip(part.keys, part.values, strict=True):
                    if isinstance(key, ast.Constant):
                        said.setdefault(str(key.value), {})[path] = ast.unparse(value)
    differing = {
        code: by_room for code, by_room in said.items() if "." not in code and len(set(by_room.values())) > 1
    }  # labels (`service.food`) may be shorter in one room than in another
    assert differing == {}, f"{differing}: keep the sentence in the room that owns the code."
