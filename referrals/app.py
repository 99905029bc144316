"""The factory: where the rooms are joined and nothing else happens."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, cast

from flask import Flask
from whitenoise import WhiteNoise

from referrals import settings as surroundings
from referrals import start
from referrals.account import web as account
from referrals.account.commands import use_fast_hashing
from referrals.consent import web as consent
from referrals.consent.queries import gate
from referrals.exchange import web as exchange
from referrals.factor import web as factor
from referrals.fit import web as fit
from referrals.handoff import web as handoff
from referrals.home import web as home
from referrals.integration import web as integration
from referrals.kernel import web
from referrals.kernel.door import Doors
from referrals.kernel.keys import KeyRing
from referrals.kernel.look import Gate
from referrals.kernel.openapi import install_openapi
from referrals.kernel.providers import provider_from
from referrals.mail import web as mail
from referrals.organization import web as organization
from referrals.oversight import web as oversight
from referrals.partnership import web as partnership
from referrals.passkey import web as passkey
from referrals.person import web as person
from referrals.program import web as program
from referrals.recovery import web as recovery
from referrals.referral import web as referral
from referrals.release import web as release
from referrals.reminder import commands as reminder
from referrals.settings import Settings
from referrals.sign_in import web as sign_in
from referrals.single_sign_on import web as single_sign_on
from referrals.staff import web as staff
from referrals.view import web as view
from referrals.worklist import web as worklist

#: Every room, from the ground floor up: a room's tables come after those it refers to.
ROOMS: Final = (
    *("organization", "account", "code_sheet", "passkey", "issuer", "sign_in", "mail", "view", "factor"),
    *("integration", "recovery", "single_sign_on", "staff", "program", "partnership", "person", "consent"),
    *("release", "fit", "referral", "handoff", "reminder", "worklist", "exchange", "oversight", "home"),
)

#: The rooms' doors.
DOORS: Final[tuple[Doors, ...]] = (
    organization.doors,
    account.doors,
    passkey.doors,
    sign_in.doors,
    mail.doors,
    view.doors,
    factor.doors,
    integration.doors,
    recovery.doors,
    single_sign_on.doors,
    staff.doors,
    program.doors,
    partnership.doors,
    person.doors,
    consent.doors,
    release.doors,
    fit.doors,
    referral.doors,
    handoff.doors,
    worklist.doors,
    exchange.doors,
    oversight.doors,
    home.doors,
)

#: What rooms without a door do by themselves. A job is known to the worker once its room is here.
JOBS: Final = (reminder.remind, reminder.tell_moves)


def gates() -> list[Gate]:
    """Return the gates every look passes, in order: consent first (C12)."""
    return [gate]


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
    apart = settings.secret_key is not None and settings.keys != "env"
    app.config["SECRET_KEY"] = cast("str", settings.secret_key).encode() if apart else provider.secret_key()
    app.config["HOUSE_ENGINE_OPTIONS"] = engine_options or {}
    installed = web.Installed(settings, KeyRing(provider), gates(), clock, settings.networks)
    web.install(app, installed, sign_in.load_sign_in, integration.load_token)
    if settings.fast_passwords:
        use_fast_hashing()
    with app.app_context():
        start.check(settings, web.db.engine)
        web.db.engine.dispose()  # gunicorn forks after this: no connection crosses
    for doors in DOORS:
        app.register_blueprint(doors.pages)
        app.register_blueprint(doors.api)
    install_openapi(app)
    served = WhiteNoise(app.wsgi_app, allow_all_origins=False, add_headers_function=web.static_headers)
    if app.static_folder is not None:
        served.add_files(app.static_folder, prefix="static/")
    app.wsgi_app = served  # type: ignore[method-assign]  # the way Flask documents
    return app
