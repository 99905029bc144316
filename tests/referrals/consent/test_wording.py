"""The words people sign: complete, in both languages, and easy enough to read."""

from __future__ import annotations

import re
from datetime import date

import pytest

from referrals.consent import queries
from referrals.consent.models import EVENTS, LANGUAGES, PURPOSES, RECIPIENT_ROLES
from referrals.consent.queries import Terms, compose, wording
from referrals.kernel.orm import CATEGORIES

TERMS = Terms(
    name="Rosa Kim",
    from_org="North Ridge",
    to_org="Harbor Bridge",
    categories=("needs", "identity"),
    purposes=("service", "referral"),
    expires_on=date(2026, 9, 3),
    no_later_than=date(2026, 9, 3),
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_code_has_its_words_in_both_languages(language: str) -> None:
    words = wording(language)
    assert set(words["categories"]) == set(CATEGORIES)
    assert set(words["purposes"]) == set(PURPOSES)
    assert set(words["events"]) == set(EVENTS)
    assert set(words["roles"]) == set(RECIPIENT_ROLES)
    assert len(words["months"]) == 12
    assert set(words) == set(wording("en"))


def test_what_is_composed_names_all_that_was_chosen_in_a_fixed_order() -> None:
    document = compose(TERMS, "en")
    assert "North Ridge may share the information below." in document.text
    assert "It may be shared with the staff of Harbor Bridge who work with me, and with no one else." in document.text
    assert document.description.splitlines() == [
        "• My name, date of birth, agency number and language",
        "• What I need help with, my goals and my strengths",
    ]
    assert "It ends at the end of September 3, 2026." in document.text
    swapped = Terms(**{name: getattr(TERMS, name) for name in TERMS.__slots__} | {"categories": ("identity", "needs")})
    assert compose(swapped, "en") == document
    assert "Termina al final del día 3 de septiembre de 2026." in compose(TERMS, "es").text


def test_names_with_braces_are_only_names() -> None:
    terms = Terms(**{name: getattr(TERMS, name) for name in TERMS.__slots__} | {"name": "{from_org} {0}"})
    assert "{from_org} {0}" in compose(terms, "en").text


def test_an_event_never_stands_without_its_last_day() -> None:
    said = {name: getattr(TERMS, name) for name in TERMS.__slots__} | {
        "expires_event": "released",
        "to_role": "navigator",
    }
    text = compose(Terms(**said), "en").text
    assert "It ends when I am released. It ends on September 3, 2026 at the latest" in text
    assert "navigators at Harbor Bridge who work with me" in text


def all_words(language: str) -> str:
    said = {name: getattr(TERMS, name) for name in TERMS.__slots__}
    said |= {"categories": CATEGORIES, "purposes": PURPOSES, "expires_event": "referral_closed"}
    lines = [line.strip(" •") for line in compose(Terms(**said), language).text.splitlines() if line.strip()]
    return " ".join(line if line[-1] in ".?!" else f"{line}." for line in lines)


def counted(text: str, vowels: str) -> tuple[int, int, int]:
    """Sentences, words and syllables (runs of vowels)."""
    sentences = len(re.findall(r"[.?!](?:\s|$)", text))
    words = re.findall(r"[^\W\d_]+(?:['-][^\W\d_]+)*", text)
    return sentences, len(words), sum(max(1, len(re.findall(vowels, word.lower()))) for word in words)


def test_the_english_text_is_at_most_grade_eight() -> None:
    text = re.sub(r"(?<=[^laeiouy])e\b", "", all_words("en"))  # a silent e is no syllable
    sentences, words, syllables = counted(text, "[aeiouy]+")
    grade = 0.39 * words / sentences + 11.8 * syllables / words - 15.59
    assert grade <= 8, grade


def test_the_spanish_text_scores_at_least_sixty() -> None:
    sentences, words, syllables = counted(all_words("es"), "[aeiouáéíóúü]+")
    score = 206.84 - 60 * syllables / words - 1.02 * words / sentences
    assert score >= 60, score


def test_the_wording_in_use_is_a_released_one() -> None:
    assert queries.WORDING
    with pytest.raises(FileNotFoundError):
        wording("en", "1999-1")
