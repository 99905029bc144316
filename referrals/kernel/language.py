"""Words, days and times as the reader has them. A page asks for hundreds, so each is found with little ado.

flask-babel decides the language, as ever; what it does anew for each word (spelling the locale out, going through
Jinja's context, formatting a string without places) is done once here.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Final, cast
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import DateTimePattern, parse_pattern
from babel.support import NullTranslations, Translations
from flask import Flask, g, has_app_context
from flask_babel import Babel, Domain, get_locale
from markupsafe import Markup
from typing_extensions import override

_ENGLISH: Final = Locale("en")
_Catalog = Translations | NullTranslations


class Catalogs(Domain):  # type: ignore[misc]  # flask-babel has no types
    """The catalogs of the app, each found by what its locale is made of, once in a request."""

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__()
        self._found: dict[tuple[str | None, ...], _Catalog] = {}

    @override
    def get_translations(self) -> _Catalog:
        if not has_app_context():
            return NullTranslations()
        kept = cast("_Catalog | None", g.get("catalog"))
        if kept is None:
            kept = g.catalog = self._of_reader()
        return kept

    def _of_reader(self) -> _Catalog:
        locale = get_locale()
        if locale is None:
            return NullTranslations()
        parts = (locale.language, locale.territory, locale.script, locale.variant)
        found = self._found.get(parts)
        if found is None:
            found = self._found[parts] = super().get_translations()
        return found


def install(app: Flask, babel: Babel) -> None:
    """Let pages take their words from here, escaped as Jinja's own new-style gettext does."""
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
    local = instant.astimezone(ZoneInfo(zone))
    return f"{_instant_pattern().apply(local, get_locale() or _ENGLISH)} {local.tzname()}"


@cache
def _instant_pattern() -> DateTimePattern:
    return parse_pattern("MMM d, y, h:mm a")
