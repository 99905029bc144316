"""Words, days and times as the reader has them. A page asks for hundreds, so each is found with little ado.

flask-babel asks which language it is, as ever; what it does anew for each word (spelling the locale out, going through
Jinja's context, formatting a string without places) is done once here. A catalog is read as its translators write it
and compiled as a process starts: no compiled file can be missing or older than its source.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import DateTimePattern, parse_pattern
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from flask import Flask, g, has_app_context
from flask_babel import Babel, Domain, get_locale
from markupsafe import Markup
from typing_extensions import override
from werkzeug.datastructures import LanguageAccept

#: The languages of the product, by code, each by the name that its readers give it.
LANGUAGES: Final = {"en": "English", "es": "Español"}
ENGLISH: Final = "en"

_ENGLISH: Final = Locale(ENGLISH)
_CATALOGS: Final = Path(__file__).resolve().parents[1] / "translations"
_Catalog = Translations | NullTranslations


def asked_for(header: LanguageAccept) -> list[str]:
    """Return the languages of ours that a request's Accept-Language names, the most wished first."""
    named = [tag.replace("_", "-").partition("-")[0].lower() for tag, wish in header if wish]
    return [one for one in named if one in LANGUAGES]


def chosen(*wishes: str | None) -> str:
    """Return the first of the wishes that is a language of ours; else English."""
    return next((one for one in wishes if one in LANGUAGES), ENGLISH)


@cache
def catalog_of(language: str) -> _Catalog:
    """Return the catalog of a language; English is what the code says, and needs none."""
    path = _CATALOGS / language / "LC_MESSAGES" / "messages.po"
    if language == ENGLISH:
        return NullTranslations()
    compiled = BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language))
    compiled.seek(0)
    return Translations(compiled)


class Catalogs(Domain):  # type: ignore[misc]  # flask-babel has no types
    """The catalogs of the app, found once in a request."""

    @override
    def get_translations(self) -> _Catalog:
        if not has_app_context():
            return NullTranslations()
        kept = cast("_Catalog | None", g.get("catalog"))
        if kept is None:
            locale = get_locale()
            kept = g.catalog = catalog_of(ENGLISH if locale is None else locale.language)
        return kept


def install(app: Flask, babel: Babel) -> None:
    """Let pages take their words from here, escaped as Jinja's own new-style gettext does; read the catalogs now."""
    for one in LANGUAGES:
        catalog_of(one)
    catalogs = babel.domain_instance = Catalogs()

    def gettext(said: str, /, **places: Any) -> Markup:
        catalog = catalogs.get_translations()
        return _pattern(catalog, said) % places if places else _plain(catalog, said)

    def ngettext(one: str, many: str, num: int, /, **places: Any) -> Markup:
        return Markup(catalogs.get_translations().ungettext(one, many, num)) % {"num": num, **places}  # noqa: S704  # ours

    app.jinja_env.globals |= {"gettext": gettext, "ngettext": ngettext, "_": gettext}


@lru_cache(maxsize=8192)
def _pattern(catalog: _Catalog, said: str) -> Markup:
    return Markup(catalog.ugettext(said))  # noqa: S704  # the words of our own templates and catalogs


@lru_cache(maxsize=8192)
def _plain(catalog: _Catalog, said: str) -> Markup:
    return _pattern(catalog, said) % {}


def in_zone(instant: datetime, zone: str) -> str:
    """Say an instant as people at that place read it: 12-hour, with the zone's short name."""
    local, locale = instant.astimezone(ZoneInfo(zone)), get_locale() or _ENGLISH
    return f"{_instant_pattern(locale.language).apply(local, locale)} {local.tzname()}"


@cache
def _instant_pattern(language: str) -> DateTimePattern:
    return parse_pattern("MMM d, y, h:mm a" if language == ENGLISH else "d MMM y, h:mm a")
