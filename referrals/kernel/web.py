"""Flask's side of the kernel: the database handle, who is asking, and both doors' manners.

A room's `web.py` makes one `Doors` and says, for each verb and each reading, which page and which JSON resource stand
for it; both doors run the same command or reading. What the doors share stands here and in `kernel/door.py`. Looks of a
request are recorded before its first byte leaves (`House.dispatch_request`).
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, cast
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import structlog
from flask import Flask, Response, g, get_flashed_messages, redirect, render_template, request
from flask.globals import request_ctx
from flask.typing import ResponseReturnValue
from flask_babel import Babel, format_date, get_locale, refresh
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString
from flask_limiter import Limiter, RateLimitExceeded
from flask_limiter.util import get_remote_address
from flask_login import LoginManager, UserMixin, current_user
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session as FlaskSession
from flask_wtf.csrf import CSRFError, CSRFProtect, generate_csrf
from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session
from werkzeug.exceptions import Forbidden, HTTPException, MethodNotAllowed, NotFound, SecurityError
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response as WerkzeugResponse

from referrals.kernel import crypto, language, look
from referrals.kernel.actor import Actor, Source, TokenScope, nobody
from referrals.kernel.errors import (
    InvalidInputError,
    RefusedError,
    SignInNeededError,
    TokenRefusedError,
    TwoWaysInError,
    UnrecordedWriteError,
)
from referrals.kernel.keys import KeyRing
from referrals.kernel.mail import post_from
from referrals.kernel.orm import Base, make_engine, uuid7
from referrals.kernel.session import HouseSession
from referrals.settings import Network, Settings

ROOT: Final = Path(__file__).resolve().parents[2]
API: Final = "/api/v1"

#: Endpoints that need nobody signed in, each with its reason; every other refuses (house test).
OPEN: dict[str, str] = {
    "static": "styles, scripts and fonts hold nothing about anybody",
    "health": "a monitor asks whether the service is well",
    "csp_reports": "browsers post reports without a sign-in",
    "front": "the address people type; it leads to the sign-in or home",
}
#: Endpoints that a sign-in may reach before its second factor or first password change is done.
HALFWAY: dict[str, str] = {}

#: Endpoints that take a larger body than others, with their limit in bytes.
UPLOADS: dict[str, int] = {}

#: The scope that an endpoint of the JSON door asks of an API token; those without one are closed to tokens (S-808).
TOKEN_SCOPES: dict[str, TokenScope] = {}

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'; report-uri /csp-reports"
)

Words: TypeAlias = "str | LazyString"

#: The sentence for each code a refusal, a field or a notice may carry; rooms add theirs through `say()`.
SENTENCES: dict[str, Words] = {}

structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.JSONRenderer(),
    ]
)
logger = structlog.get_logger()


class WebSession(FlaskSession, HouseSession):
    """Flask-SQLAlchemy's session with the house's guards."""


class HouseSQLAlchemy(SQLAlchemy):
    """Flask-SQLAlchemy with the house's engines."""

    def _make_engine(self, bind_key: str | None, options: dict[str, Any], app: Flask) -> Engine:  # noqa: ARG002
        """Make every engine the same way (Flask-SQLAlchemy names this method as the place to do so)."""
        return make_engine(str(options["url"]), **cast("dict[str, Any]", app.config["HOUSE_ENGINE_OPTIONS"]))


db = HouseSQLAlchemy(metadata=Base.metadata, session_options={"class_": WebSession}, disable_autonaming=True)
csrf = CSRFProtect()


def whence() -> str:
    """Return whom a coarse rate counts a request for: a facility's network as a whole, else its address (S-117)."""
    address = get_remote_address()
    return facility_of(address) or address


def facility_of(address: str) -> str | None:
    """Return the operator's name of the facility that an address belongs to, as a key that is no address."""
    installed = cast("Installed", login_app().extensions["throughgate"])
    try:
        read = ip_address(address)
    except ValueError:
        return None
    read = getattr(read, "ipv4_mapped", None) or read
    names = (name for name, networks in installed.networks.items() if any(read in one for one in networks))
    return next((f"facility {name}" for name in names), None)


def by_address(rate: str, facility_rate: str) -> Callable[[], str]:
    """Return which of two rates holds for a request: an address's, or a facility network's as a whole (S-117)."""
    return lambda: rate if facility_of(get_remote_address()) is None else facility_rate


limiter = Limiter(key_func=whence, default_limits=[], headers_enabled=False)
babel = Babel()
login = LoginManager()


@dataclass(frozen=True, slots=True)
class Installed:
    """What one app runs on, kept in `app.extensions["throughgate"]`."""

    settings: Settings
    ring: KeyRing
    gates: Sequence[look.Gate]
    clock: Callable[[], datetime] | None = None
    #: The networks of facilities by name, read once.
    networks: Mapping[str, Sequence[Network]] = field(default_factory=dict)


class SignedIn(UserMixin):  # type: ignore[misc]  # Flask-Login has no types
    """Somebody whose sign-in token holds.

    `step` is what is still missing: second_factor, enroll, new_password, rules, or full (nothing).
    """

    def __init__(
        self, token: str, actor: Actor, step: str, *, name: str, organization: str, language: str | None = None
    ) -> None:
        """Keep what a request needs, detached from the session."""
        self.token, self.actor, self.step = token, actor, step
        self.name, self.organization, self.language = name, organization, language

    def get_id(self) -> str:
        """Return the sign-in's token: what the cookie holds."""
        return self.token


class Loader(Protocol):
    """How the room of sign-ins turns a cookie's token into somebody."""

    def __call__(self, token: str, source: Source) -> SignedIn | None:
        """Return who holds this token now, or None."""
        ...


class TokenLoader(Protocol):
    """How the room of integrations turns an API token into somebody."""

    def __call__(self, token: str, scope: TokenScope | None, source: Source) -> SignedIn:
        """Return who acts through this token, where it covers the scope; None is covered by none.

        Raises:
            TokenRefusedError, ScopeMissingError, NotForTokensError: it opens nothing, or not this; on record.
        """
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the main navigation, shown to those who may use it."""

    url: str
    label: Words
    order: int
    shown_to: Callable[[Actor], bool]


PLACES: list[Place] = []


def place(url: str, label: Words, order: int, shown_to: Callable[[Actor], bool]) -> None:
    """Add an entry to the main navigation (called by a room's `web.py` at import)."""
    PLACES.append(Place(url, label, order, shown_to))


def say(sentences: Mapping[str, Words]) -> None:
    """Give codes their sentences: what is wrong, and what to do."""
    SENTENCES.update(sentences)


def sentence(code: str, facts: Mapping[str, Any] | None = None) -> str:
    """Return the sentence for a code in the reader's language; facts fill its `%(name)s` places."""
    name = code
    while name not in SENTENCES and "." in name:
        name = name.rpartition(".")[0]
    words = str(SENTENCES.get(name, SENTENCES["not_accepted"]))
    try:
        return words % {key: _told(value) for key, value in (facts or {}).items()} if "%(" in words else words
    except KeyError:
        return words


def _told(value: Any) -> str:
    if isinstance(value, datetime):
        return language.in_zone(value, str(getattr(g, "zone", "UTC")))
    return str(format_date(value, "long")) if isinstance(value, date) else str(value)


def current_actor() -> Actor:
    """Return whoever is asking; nobody in particular when no one is signed in."""
    if current_user.is_authenticated:
        return cast("SignedIn", current_user).actor
    return nobody(source())


def request_number() -> UUID:
    """Return this request's id, whoever asks: a page shows it, the answer carries it, its events name it."""
    if "request_number" not in g:
        g.request_number = uuid7()
    return cast("UUID", g.request_number)


def source() -> Source:
    """Return where this request comes from: its door, a keyed pseudonym of its address, its id."""
    if "source" not in g:
        net = crypto.mac(db.session(), "net", (request.remote_addr or "").encode())[:16].hex()
        g.source = Source("api" if at_api() else "page", net, request_number())
    return cast("Source", g.source)


def at_api() -> bool:
    """Whether this request came through the JSON door."""
    return request.path.startswith(f"{API}/") or request.path == API


class House(Flask):
    """The app: every answer waits until what it shows has been recorded."""

    def dispatch_request(self) -> ResponseReturnValue:
        """Run the view, then record its looks; only then may the answer leave (L1)."""
        try:
            answer = self.make_response(super().dispatch_request())
        except BaseException:
            look.forget(db.session())
            raise
        look.finish(db.session())
        return answer


def bearer() -> str | None:
    """Return the API token that a request came with. Only the JSON door reads any: pages know none (S-808)."""
    if not at_api():
        return None
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def install(app: Flask, installed: Installed, loader: Loader, token_loader: TokenLoader | None = None) -> None:
    """Join the kernel's web side to an app; without a `token_loader` no API token opens anything."""
    settings = installed.settings
    app.extensions["throughgate"] = installed
    app.config.update(
        SECRET_KEY=app.config.get("SECRET_KEY"),
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SESSION_COOKIE_NAME="__Host-sid",
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        MAX_CONTENT_LENGTH=1024 * 1024,
        MAX_FORM_MEMORY_SIZE=1024 * 1024,
        MAX_FORM_PARTS=1000,
        TRUSTED_HOSTS=settings.hosts,
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_CHECK_DEFAULT=False,
        # The Referer check is replaced by our own check of Origin, which JSON clients can pass as well.
        WTF_CSRF_SSL_STRICT=False,
        WTF_CSRF_FIELD_NAME="csrf_token",
        # Debian's redis is spoken to by valkey's client, the one in the locks.
        RATELIMIT_ENABLED=not settings.without_rates,
        RATELIMIT_STORAGE_URI=settings.rate_url.replace("redis://", "valkey://", 1),
    )
    app.config.setdefault("HOUSE_ENGINE_OPTIONS", {})
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]
    db.init_app(app)
    csrf.init_app(app)
    limiter.init_app(app)
    babel.init_app(app, locale_selector=_language)
    login.session_protection = None
    login.init_app(app)
    # Where a token came, no cookie is asked whose it is.
    login.user_loader(lambda token: loader(token, source()) if bearer() is None else None)
    login.request_loader(lambda _request: g.get("by_token"))
    app.before_request(_prepare)
    app.before_request(lambda: _guard(token_loader))
    app.after_request(_headers)
    _install_errors(app)
    _install_templates(app)
    app.add_url_rule("/health", "health", _health)
    app.add_url_rule("/csp-reports", "csp_reports", _csp_reports, methods=["POST"])


def furnish(session: Session, installed: Installed) -> None:
    """Hand a session its key ring and gates."""
    session.info["ring"] = installed.ring
    session.info["gates"] = installed.gates
    session.info["site"] = installed.settings.site
    session.info["post"] = post_from(installed.settings, language.catalog_of)
    if installed.clock is not None:
        session.info["clock"] = installed.clock


#: Holds the language chosen at this browser, for the pages before the sign-in.
LANGUAGE_COOKIE: Final = "__Host-language"


def _language() -> str:
    """Return the reader's language: the person's choice, else this browser's, else for a stranger what it prefers.

    A program asks for one by header, whoever it acts for.
    """
    wished = language.asked_for(request.accept_languages)
    kept = g.get("language") or request.cookies.get(LANGUAGE_COOKIE)
    if not current_user.is_authenticated:
        # After a sign-out, which empties the browser, the address says in which language it went on.
        return language.chosen(*(wished if at_api() else ()), kept, request.args.get("language"), *wished)
    person = cast("SignedIn", current_user).language
    return language.chosen(*(wished if at_api() else ()), person, kept)


def reader_language() -> str:
    """Return the code of the language this request is answered in."""
    locale = get_locale()
    return language.ENGLISH if locale is None else str(locale.language)


def keep_language(answer: WerkzeugResponse, chosen: str) -> WerkzeugResponse:
    """Let this browser remember a language for a year."""
    seconds = int(timedelta(days=365).total_seconds())
    answer.set_cookie(LANGUAGE_COOKIE, chosen, max_age=seconds, secure=True, httponly=True, samesite="Lax")
    return answer


def speak(chosen: str) -> None:
    """Answer the rest of this request in a language."""
    g.language = chosen
    if current_user.is_authenticated:
        cast("SignedIn", current_user).language = chosen
    g.pop("catalog", None)
    refresh()


def page_before() -> str:
    """Return the address of our page that led here, with its query, if it can be read again; else the front.

    Browsers send it in full within this host (Referrer-Policy: same-origin). A page need not hold its own address.
    """
    led, adapter = urlsplit(request.referrer or ""), request_ctx.url_adapter
    if adapter is None or led.netloc != request.host:
        return "/"
    try:
        adapter.match(led.path, method="GET")
    except NotFound:  # a page that says so is a page, too
        pass
    except HTTPException:
        return "/"
    return urlunsplit(("", "", f"/{led.path.lstrip('/')}", led.query, ""))


def _prepare() -> None:
    furnish(db.session(), cast("Installed", login_app().extensions["throughgate"]))


def login_app() -> Flask:
    """Return the app this request is for."""
    from flask import current_app  # noqa: PLC0415  # a proxy, not an import upstairs

    return current_app


def _guard(token_loader: TokenLoader | None) -> ResponseReturnValue | None:
    """Refuse whoever may not come in: wrong origin, no sign-in or token, a sign-in not complete, no CSRF token."""
    endpoint = request.endpoint
    if request.routing_exception is not None or endpoint is None:
        return None  # 404, 405 and redirects tell nothing about anybody
    unsafe = request.method not in {"GET", "HEAD", "OPTIONS"}
    if unsafe:
        _check_origin()
    token = bearer()
    if token is not None and request.cookies.get("__Host-sid"):
        raise TwoWaysInError
    if endpoint not in OPEN:
        _require_somebody(endpoint, token, token_loader)
    # After the sign-in: looking for the token reads the form, and a stranger's 10 MB are not worth reading.
    if endpoint in UPLOADS:
        request.max_content_length = UPLOADS[endpoint]
    if unsafe and endpoint != "csp_reports" and request.cookies.get("__Host-sid"):
        csrf.protect()
    return None


def _require_somebody(endpoint: str, token: str | None, token_loader: TokenLoader | None) -> None:
    if token is not None:
        if token_loader is None:
            raise TokenRefusedError
        g.by_token = token_loader(token, TOKEN_SCOPES.get(endpoint), source())
    if not current_user.is_authenticated:
        raise SignInNeededError
    step = cast("SignedIn", current_user).step
    if step != "full" and endpoint not in HALFWAY:
        raise SignInNeededError(step=step)


def _check_origin() -> None:
    if request.endpoint == "csp_reports":
        return
    origin = request.headers.get("Origin")
    if origin and origin.rstrip("/") != request.host_url.rstrip("/"):
        raise Forbidden
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise Forbidden


#: What every answer carries, static files too (S-402, S-403); no version and no CORS header anywhere (S-406, S-407).
_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


def _headers(response: Response) -> Response:
    """Set the headers of S-401 to S-407. They depend on nothing that a refused request might not have set."""
    headers = response.headers
    policy = CONTENT_SECURITY_POLICY
    if request.endpoint == "api_docs":
        policy = policy.replace("img-src 'self'", "img-src 'self' data:")
    headers.setdefault("Content-Security-Policy", policy)
    for name, value in _ALWAYS.items():
        headers.setdefault(name, value)
    if request.is_secure:
        headers.setdefault("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
    if request.endpoint != "static" or response.status_code >= 400:  # noqa: PLR2004  # a fault
        headers["Cache-Control"] = "no-store"
    headers["X-Request-Id"] = str(request_number())
    return response


def static_headers(headers: MutableMapping[str, str], _path: str, _url: str) -> None:
    """Give a static file the same headers: it is served before Flask sees the request."""
    headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    for name, value in _ALWAYS.items():
        headers[name] = value


# --- errors at both doors ---------------------------------------------------------------------------------------------


def _install_errors(app: Flask) -> None:
    app.register_error_handler(RefusedError, _refused)
    app.register_error_handler(HTTPException, _http_fault)
    app.register_error_handler(Exception, _unexpected)


def _refused(error: RefusedError) -> ResponseReturnValue:
    if isinstance(error, SignInNeededError) and not at_api():
        if request.method == "GET" and "step" not in error.facts:
            return redirect(f"/sign-in?next={request.path}" if request.path != "/" else "/sign-in", 303)
        return redirect(
            {
                "second_factor": "/sign-in/second-step",
                "enroll": "/sign-in/enroll",
                "new_password": "/sign-in/new-password",
                "rules": "/sign-in/rules",
            }.get(str(error.facts.get("step")), "/sign-in"),
            303,
        )
    faults = error.fields if isinstance(error, InvalidInputError) else {}
    return problem(error.status, error.code, facts=error.facts, faults=faults)


def _http_fault(error: HTTPException) -> ResponseReturnValue:
    if error.response is not None or (error.code or 500) < 400:  # noqa: PLR2004  # a redirect of the router
        return error.get_response()
    if isinstance(error, SecurityError):  # the Host is none of ours: no address can be built, so there is no page
        return Response("This address is not served here.\n", status=400, mimetype="text/plain")
    code = "csrf" if isinstance(error, CSRFError) else _HTTP_CODES.get(error.code or 500, "unreadable_request")
    if isinstance(error, RateLimitExceeded):
        return _too_often(error)
    answer = problem(error.code or 500, code)
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        answer.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return answer


def _too_often(error: RateLimitExceeded) -> Response:
    """Say that there were too many, in the rate's own words where it has some, and in how many seconds to try again."""
    own = error.limit.error_message
    answer = problem(429, own if isinstance(own, str) else "too_often")
    passed = limiter.current_limit
    seconds = passed.reset_at - time.time() if passed is not None else _MINUTE
    answer.headers["Retry-After"] = str(max(1, math.ceil(seconds)))
    return answer


_MINUTE: Final = 60


def _unexpected(error: Exception) -> ResponseReturnValue:
    db.session.rollback()
    request_id = str(request_number())
    logger.error("unexpected", fault=fault_told(error), path=request.path, request=request_id)
    if isinstance(error, OperationalError | InterfaceError):  # the database is busy or away: trying again may help
        return problem(503, "unavailable")
    return problem(500, "unexpected")


def fault_told(error: BaseException) -> list[dict[str, Any]]:
    """Tell a fault for the log of operation: classes and places, and no message, since a message may quote content."""
    told: list[dict[str, Any]] = []
    cause: BaseException | None = error
    while cause is not None and len(told) < _MOST_CAUSES:
        frames = traceback.extract_tb(cause.__traceback__)
        places = [f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in frames]
        told.append({"class": type(cause).__qualname__, "at": places})
        if isinstance(cause, UnrecordedWriteError):
            told[-1]["says"] = str(cause)  # our own words: names of classes, fields and ids
        cause = cause.__cause__ or cause.__context__
    return told


_MOST_CAUSES: Final = 5
_HTTP_CODES: Final = {
    400: "unreadable_request",
    401: "sign_in_needed",
    403: "not_permitted",
    404: "not_found",
    405: "wrong_method",
    406: "not_acceptable",
    413: "too_much",
    414: "too_much",
    415: "wrong_media_type",
    422: "invalid_input",
    429: "too_often",
    500: "unexpected",
}


def problem(
    status: int, code: str, *, facts: Mapping[str, Any] | None = None, faults: Mapping[str, Sequence[str]] | None = None
) -> Response:
    """Answer a refusal: a page for people, problem+json (RFC 9457) for machines, the same code and sentence at both."""
    facts = facts or {}
    detail = sentence(code, facts)
    request_id = str(request_number())
    if at_api():
        body: dict[str, Any] = {
            "type": f"/problems/{code.replace('_', '-')}",
            "title": str(_TITLES.get(status, _TITLES[400])),
            "status": status,
            "detail": detail,
            "code": code,
            "request_id": request_id,
        }
        if shown := {key: _json_fact(value) for key, value in facts.items()}:
            body["facts"] = shown
        if faults:
            body["errors"] = [
                {"field": name, "code": fault, "detail": sentence(fault, facts)}
                for name, codes in faults.items()
                for fault in codes
            ]
        answer = cast("Response", login_app().json.response(body))
        answer.mimetype = "application/problem+json"
        answer.status_code = status
        if status == HTTPStatus.UNAUTHORIZED:
            answer.headers["WWW-Authenticate"] = _CHALLENGE if bearer() is None else f"{_CHALLENGE}, {_INVALID}"
        return answer
    page = render_template(
        "errors/problem.html",
        status=status,
        code=code,
        title=str(_TITLES.get(status, _TITLES[400])),
        detail=detail,
        next_step=str(_NEXT.get(status, "")),
        next_url=facts.get("url") or ("/home" if current_user.is_authenticated else "/sign-in"),
        request_id=request_id,
    )
    return Response(page, status=status, mimetype="text/html")


#: RFC 9110 asks for a challenge with each 401; RFC 6750 says what was wrong with a token.
_CHALLENGE: Final = 'Bearer realm="throughgate"'
_INVALID: Final = 'error="invalid_token"'


def _json_fact(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value) if isinstance(value, UUID | date) else value


_TITLES: Final[Mapping[int, Words]] = {
    400: _l("We could not read this request"),
    401: _l("Please sign in"),
    403: _l("This is not yours to do"),
    404: _l("Page not found"),
    405: _l("This cannot be done here"),
    409: _l("This cannot be done now"),
    412: _l("Somebody else changed this"),
    413: _l("This is too large"),
    415: _l("We could not read this kind of file"),
    422: _l("Something needs correcting"),
    428: _l("Please read it first"),
    429: _l("Too many tries"),
    500: _l("Something went wrong"),
    503: _l("Not available right now"),
}
_NEXT: Final[Mapping[int, Words]] = {
    400: _l("Go back, reload the page, and try again."),
    403: _l("If you think it should be, ask your supervisor or your organization's administrator."),
    404: _l("Check the address, or start again from your home page."),
    405: _l("Go back to the page you came from."),
    409: _l("Go back, reload the page to see how things stand now, and decide again."),
    413: _l("Shorten the text or choose a smaller file, and send it again."),
    422: _l("Go back, check what you typed or chose, and try again."),
    429: _l("Wait a few minutes, then try again."),
    500: _l("Nothing was changed. Try again; if it happens again, tell your administrator the request number below."),
    503: _l("Nothing was changed. Try again in a minute; if it lasts, tell your administrator."),
}

say(
    {
        "not_found": _l("There is nothing here that you can see."),
        "not_permitted": _l("Your role does not include this."),
        "sign_in_needed": _l("You are not signed in, or your sign-in has ended."),
        "token_refused": _l("This token opens nothing. It may be mistyped, revoked, or past its last day."),
        "two_ways_in": _l("Send the token or the cookie, not both."),
        "scope_missing": _l("This token may not do this: it lacks the scope %(scope)s."),
        "not_for_tokens": _l("A token cannot do this. Somebody has to sign in for it."),
        "invalid_input": _l("Some answers need correcting. Nothing was saved."),
        "unreadable_request": _l("What was sent could not be read. Nothing was saved."),
        "changed_meanwhile": _l(
            "Somebody else changed this while you were working on it. Nothing of yours was saved yet."
        ),
        "compare_and_choose": _l(
            "Somebody else changed this while you were working on it. Theirs stands beside yours below. Choose for "
            "each, then save again. Nothing you typed is lost."
        ),
        "theirs_by": _l("Theirs, by %(who)s, %(at)s:"),
        "yours_or_theirs": _l("Choose: keep theirs, or put yours in its place."),
        "precondition_needed": _l("Send the version you read in If-Match, so that nobody's change is overwritten."),
        "key_reused": _l("This idempotency key was used before with different content."),
        "unavailable": _l("This could not be put on record, so it was not done."),
        "conflicting_entry": _l("There is already an entry that excludes this one."),
        "csrf": _l("This form is from an earlier sign-in. Reload the page and send it again."),
        "wrong_method": _l("This address does not take that kind of request."),
        "not_acceptable": _l("This address answers in JSON or as a page only."),
        "too_much": _l("This is larger than we can take."),
        "wrong_media_type": _l("Send JSON (application/json) here."),
        "too_often": _l("There were too many tries from here in a short time."),
        "too_many_searches": _l(
            "You searched very often in a short time. Wait a little, then search again. Nothing is wrong with your "
            "account."
        ),
        "unexpected": _l("An unexpected error happened. It has been noted."),
        "required": _l("Enter an answer."),
        "required_text": _l("Enter an answer."),
        "required_choice": _l("Choose an answer."),
        "required_day": _l("Enter the day."),
        "wrong_type": _l("This is not the kind of answer expected here."),
        "unknown_field": _l("This field is not known here."),
        "not_yours": _l("This field is not yours to set."),
        "not_accepted": _l("We could not use this answer."),
        "not_text": _l("Use letters, numbers and punctuation only; something invisible came with the text."),
        "not_an_id": _l("This is not an id."),
        "too_large": _l("This number is too large."),
        "too_long": _l("This is too long. Shorten it."),
        "too_short": _l("This is too short. Say a little more."),
        "one_line": _l("Write this on one line."),
        "not_a_date": _l("Enter a real date, with month, day and four-digit year."),
        "not_a_time": _l("Enter a date and time with its zone."),
        "not_a_number": _l("Enter a whole number."),
        "not_a_choice": _l("Choose one of the answers offered."),
        "repeated": _l("Choose each answer once."),
        "out_of_range": _l("This number is outside what is allowed."),
    }
)


# --- templates --------------------------------------------------------------------------------------------------------


def _install_templates(app: Flask) -> None:
    app.jinja_env.add_extension("jinja2.ext.i18n")
    language.install(app, babel)
    app.jinja_env.filters["in_zone"] = language.in_zone
    app.jinja_env.filters["dateformat"] = lambda day, style="long": format_date(day, style)
    app.jinja_env.tests["not_shared"] = lambda value: value is look.NOT_SHARED
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals["sentence"] = sentence  # macros see it too
    installed = cast("Installed", app.extensions["throughgate"])
    app.jinja_env.globals["passkey_site"] = installed.settings.site
    app.jinja_env.globals["sends_mail"] = installed.settings.smtp is not None
    app.context_processor(_everywhere)


def _everywhere() -> dict[str, Any]:
    known = current_user.is_authenticated and cast("SignedIn", current_user).step == "full"
    installed = cast("Installed", login_app().extensions["throughgate"])
    spoken = reader_language()
    return {
        "lang": spoken,
        "other_languages": [
            {"code": one, "label": label} for one, label in language.LANGUAGES.items() if one != spoken
        ],
        "nav": _navigation() if known else [],
        "viewer": {"name": current_user.name, "organization": current_user.organization} if known else None,
        "notices": _notices,
        "csrf_token": generate_csrf,
        "demo": installed.settings.is_development,
        "printed_at": datetime.now(UTC),
        "zone": getattr(g, "zone", "UTC"),
        "news": bool(getattr(g, "news", False)),
        "ends_in": g.get("sign_in_ends_in") if known else None,
        "is_shared": bool(g.get("sign_in_shared")),
    }


def _navigation() -> list[dict[str, Any]]:
    actor = current_actor()
    shown = sorted((one for one in PLACES if one.shown_to(actor)), key=lambda one: one.order)
    above = [one.url for one in shown if request.path == one.url or request.path.startswith(f"{one.url}/")]
    here = max(above, key=len, default=None)  # one page stands in one place, the nearest
    return [{"url": one.url, "label": str(one.label), "current": one.url == here} for one in shown]


def _notices() -> list[dict[str, str]]:
    """Turn the codes that the last request left into sentences."""
    left = cast("list[tuple[str, str]]", get_flashed_messages(with_categories=True))
    return [{"kind": kind, "text": sentence(code)} for kind, code in left]


def _health() -> ResponseReturnValue:
    """Say green or red, nothing else (S-706)."""
    installed = cast("Installed", login_app().extensions["throughgate"])
    try:
        session = db.session()
        installed.ring.mac(session, "net", b"health")
    except Exception:  # noqa: BLE001  # whatever is wrong, the answer is red
        return Response("red\n", status=503, mimetype="text/plain")
    return Response("green\n", mimetype="text/plain")


def _csp_reports() -> ResponseReturnValue:
    """Count a browser's report of a blocked resource; its content may hold addresses of pages, so it is not kept."""
    logger.warning("csp_report", bytes=request.content_length or 0)
    return Response(status=204)
