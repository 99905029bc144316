"""The factory: where the rooms are joined and nothing else happens."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from flask import Flask
from whitenoise import WhiteNoise

from referrals import settings as surroundings
from referrals import start
from referrals.kernel import web
from referrals.kernel.keys import KeyRing
from referrals.kernel.look import Gate
from referrals.kernel.openapi import install_openapi
from referrals.kernel.providers import provider_from
from referrals.settings import Settings

#: From the ground floor up: a room's tables come after those it refers to.
ROOMS: Final = (
    "organization",
    "account",
    "program",
    "partnership",
    "person",
    "consent",
    "release",
    "referral",
    "handoff",
    "exchange",
    "oversight",
    "home",
)


def _present(room: str, part: str) -> Any:
    name = f"referrals.{room}.{part}"
    if importlib.util.find_spec(f"referrals.{room}") is None or importlib.util.find_spec(name) is None:
        return None
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:  # INTERIM while rooms are being built
        return None


for _room in ROOMS:
    _present(_room, "models")


def gates() -> list[Gate]:
    """Return the gates every look passes, in order: consent first (C12)."""
    queries = _present("consent", "queries")
    return [queries.gate] if queries is not None else []


def create_app(
    settings: Settings | None = None,
    *,
    clock: Callable[[], datetime] | None = None,
    engine_options: dict[str, Any] | None = None,
) -> Flask:
    """Build the application. Settings come from the environment unless given; `clock` is the tests' and the demo's."""
    settings = settings or surroundings.load()
    provider = provider_from(settings.keys, os.environ)
    app = web.House("referrals", template_folder=str(web.ROOT / "templates"))
    app.config["SECRET_KEY"] = provider.secret_key()
    app.config["HOUSE_ENGINE_OPTIONS"] = engine_options or {}
    account = _present("account", "web")
    installed = web.Installed(settings, KeyRing(provider), gates(), clock)
    web.install(app, installed, account.load_sign_in)
    if settings.fast_passwords:
        _present("account", "commands").use_fast_hashing()
    with app.app_context():
        start.check(settings, web.db.engine)
        web.db.engine.dispose()  # gunicorn forks after this: no connection crosses
    for room in ROOMS:
        door = _present(room, "web")
        if door is not None:
            for blueprint in blueprints(door):
                app.register_blueprint(blueprint)
    install_openapi(app)
    served = WhiteNoise(app.wsgi_app, allow_all_origins=False, add_headers_function=web.static_headers)
    if app.static_folder is not None:
        served.add_files(app.static_folder, prefix="static/")
    app.wsgi_app = served  # type: ignore[method-assign]
    return app


def blueprints(door: Any) -> Sequence[Any]:
    """Return the blueprints of a room's door."""
    return (door.doors.pages, door.doors.api)
