"""Words, days and times in both languages."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from flask import Flask
from flask_babel import Babel, force_locale, format_date, gettext, ngettext

from referrals.kernel import language

AT = datetime(2026, 11, 22, 23, 4, tzinfo=UTC)


@pytest.fixture
def app() -> Flask:
    made = Flask("words")
    babel = Babel(made)
    made.jinja_env.add_extension("jinja2.ext.i18n")
    language.install(made, babel)
    return made


@pytest.mark.parametrize(
    ("code", "instant", "day"),
    [
        ("en", "Nov 22, 2026, 3:04\N{NARROW NO-BREAK SPACE}PM PST", "November 22, 2026"),
        ("es", "22 nov 2026, 3:04\N{NARROW NO-BREAK SPACE}p.\N{NO-BREAK SPACE}m. PST", "22 de noviembre de 2026"),
    ],
)
def test_times_and_days_read_as_that_language_writes_them(app: Flask, code: str, instant: str, day: str) -> None:
    with app.test_request_context(), force_locale(code):
        # Which of its spaces a locale puts before the half of the day is its own affair.
        told = language.in_zone(AT, "America/Los_Angeles")
        assert told.split() == instant.split()
        assert format_date(date(2026, 11, 22), "long") == day


def test_words_plurals_and_pages_come_from_the_catalog(app: Flask) -> None:
    page = '{{ _("Save") }} {{ ngettext("%(num)s day ago", "%(num)s days ago", n) }} {{ _("by %(name)s", name="<b>") }}'
    with app.test_request_context(), force_locale("es"):
        template = app.jinja_env.from_string(page)
        assert template.render(n=1) == "Guardar hace 1 día por &lt;b&gt;"
        assert template.render(n=2) == "Guardar hace 2 días por &lt;b&gt;"
        assert gettext("Save") == "Guardar"
        assert ngettext("in %(num)s day", "in %(num)s days", 3) == "en 3 días"
    with app.test_request_context(), force_locale("en"):
        assert app.jinja_env.from_string(page).render(n=2) == "Save 2 days ago by &lt;b&gt;"


def test_outside_of_a_request_the_code_speaks_for_itself(app: Flask) -> None:
    assert str(gettext("Save")) == "Save"
    with app.app_context():
        assert str(gettext("Save")) == "Save"


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [((), "en"), ((None, None), "en"), ((None, "es"), "es"), (("fr", "es", "en"), "es"), (("en", "es"), "en")],
)
def test_the_first_wish_that_we_speak_is_granted(wishes: tuple[str | None, ...], expected: str) -> None:
    assert language.chosen(*wishes) == expected
