"""Every English text has its Spanish one, in the same places, in words of the list at the head of the catalog."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from babel.messages.plurals import get_plural

from referrals.account.models import LANGUAGES
from referrals.kernel import language
from tools import catalog

MESSAGES: Final = """\
# The terms stay.
msgid ""
msgstr ""
"Language: es\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"

#: templates/some.html
msgid "Save"
msgstr "Guardar"
"""


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another house, which says "Save" and "Hello %(name)s", and its catalog, which knows "Save"."""
    (tmp_path / "referrals").mkdir()
    (tmp_path / "templates").mkdir()
    (tmp_path / "referrals" / "some.py").write_text('WORDS = _l("Hello %(name)s")\n', encoding="utf-8")
    (tmp_path / "templates" / "some.html").write_text('<b>{{ _("Save") }}</b>\n', encoding="utf-8")
    path = tmp_path / "messages.po"
    path.write_text(MESSAGES, encoding="utf-8")
    monkeypatch.setattr(catalog, "ROOT", tmp_path)
    monkeypatch.setattr(catalog, "SPANISH", path)
    return path


def test_every_english_text_has_a_spanish_one() -> None:
    assert catalog.faults() == [], catalog.REMEDY


def test_the_catalog_is_written_as_its_command_writes_it() -> None:
    assert catalog.SPANISH.read_text(encoding="utf-8") == catalog.updated(), "Run: python tools/catalog.py"


def test_the_languages_are_the_same_everywhere() -> None:
    assert tuple(language.LANGUAGES) == LANGUAGES
    header = catalog.opening()
    assert str(get_plural("es")).rstrip(";") in header


def test_a_new_text_comes_in_and_is_asked_for(other: Path) -> None:
    assert catalog.faults() == ["not in the catalog: 'Hello %(name)s'"]
    other.write_text(catalog.updated(), encoding="utf-8")
    written = other.read_text(encoding="utf-8")
    assert written.startswith("# The terms stay.\n")
    assert 'msgid "Save"\nmsgstr "Guardar"\n' in written
    assert "#: referrals/some.py\n" in written
    assert not re.search(r"\.py:\d", written), "line numbers would change with every edit"
    assert catalog.faults() == ["'Hello %(name)s' has no Spanish, or not in both of its forms"]
    assert catalog.updated() == written, "writing twice changes nothing"


@pytest.mark.parametrize(
    ("spanish", "fault"),
    [
        ("Hola", "has other places than its Spanish: Hola"),
        ("Hola %(nombre)s", "has other places than its Spanish: Hola %(nombre)s"),
        ("Hola %(name)s ", "begins or ends with a space or a bracket on one side only: Hola %(name)s "),
        ("(Hola %(name)s)", "begins or ends with a space or a bracket on one side only: (Hola %(name)s)"),
        ("Hola, preso %(name)s", "says “preso” in Spanish; see the terms at the head of the catalog"),
        ("Hola %(name)s, es tu turno", "says “tu” in Spanish; see the terms at the head of the catalog"),
    ],
)
def test_a_spanish_text_that_does_not_fit_is_named(other: Path, spanish: str, fault: str) -> None:
    added = MESSAGES + f'\n#: referrals/some.py\nmsgid "Hello %(name)s"\nmsgstr "{spanish}"\n'
    other.write_text(added, encoding="utf-8")
    assert catalog.faults() == [f"'Hello %(name)s' {fault}"]


def test_a_text_that_nothing_says_any_more_is_named_and_leaves(other: Path) -> None:
    other.write_text(MESSAGES + '\n#: gone.py\nmsgid "Gone"\nmsgstr "Ya no"\n', encoding="utf-8")
    assert "nothing says this any more: 'Gone'" in catalog.faults()
    assert "Gone" not in catalog.updated()


def test_guesses_and_doubles_of_a_merge_are_named(other: Path) -> None:
    save = MESSAGES.partition("#: templates")[2]
    told = '\n#: referrals/some.py\n#, fuzzy\nmsgid "Hello %(name)s"\nmsgstr "Hola %(name)s"\n'
    other.write_text(f"{MESSAGES}\n#: templates{save}{told}", encoding="utf-8")
    assert catalog.faults() == ["'Hello %(name)s' is fuzzy", "1 texts stand there twice"]


def test_both_forms_of_a_plural_are_asked_for(other: Path) -> None:
    (catalog.ROOT / "referrals" / "some.py").write_text('ngettext("%(num)s day", "%(num)s days", 2)', encoding="utf-8")
    both = 'msgid "%(num)s day"\nmsgid_plural "%(num)s days"\n'
    half = f'\n#: referrals/some.py\n{both}msgstr[0] "%(num)s día"\nmsgstr[1] ""\n'
    other.write_text(MESSAGES + half, encoding="utf-8")
    assert catalog.faults() == ["('%(num)s day', '%(num)s days') has no Spanish, or not in both of its forms"]
    other.write_text(MESSAGES + half.replace('[1] ""', '[1] "%(num)s días"'), encoding="utf-8")
    assert catalog.faults() == []
