"""What we ask an issuer and what it answers (OpenID Connect), spoken by Authlib and read by joserfc.

Nothing here knows the database. An issuer that cannot be reached is `UnreachableError`; whatever is wrong with what it
says is one `ValueError`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast
from urllib.parse import urlsplit

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

#: Signatures by a public key alone; never "none", and never by a secret both sides know (RFC 8725, 3.1).
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
#: An issuer's clock and ours may differ by so many seconds.
LEEWAY: Final = 60
#: How long an issuer may take to begin to answer, and to go on, in seconds.
_PATIENCE: Final = (3.05, 5)
#: What an issuer says about itself is a few kilobytes.
_LONGEST: Final = 262_144
_OWN_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class UnreachableError(Exception):
    """The issuer did not answer, or not as a web server does."""


@dataclass(frozen=True, slots=True)
class Provider:
    """What an issuer publishes about itself: where people sign in, where a code is changed, where its keys are."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


@dataclass(frozen=True, slots=True)
class Us:
    """As whom we speak to an issuer, and where it sends people back to."""

    client_id: str
    client_secret: str
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request holds: the answer must match it. `since` is set where somebody had to sign in anew."""

    nonce: str
    verifier: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is right: whom it speaks of, by which factors they signed in, and when, where it says so."""

    subject: str
    acr: str
    amr: tuple[str, ...]
    signed_in_at: datetime | None


def is_address(url: str, *, is_development: bool) -> bool:
    """Whether an issuer, or an address that it names, may be asked: TLS, no name or password, a host.

    In development one on this machine may speak plain HTTP.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _port = parts.port
    except ValueError:
        return False
    if not host or parts.username or parts.password or parts.fragment or not url.isprintable() or " " in url:
        return False
    return parts.scheme == "https" or (is_development and parts.scheme == "http" and host in _OWN_MACHINE)


def discovered(issuer: str, *, is_development: bool) -> Provider:
    """Read what an issuer publishes about itself (OpenID Connect Discovery 1.0).

    Raises:
        UnreachableError: it does not answer.
        ValueError: it says that it is another one, or names no address that we may ask.
    """
    said = _read(issuer.rstrip("/") + "/.well-known/openid-configuration")
    if said.get("issuer") != issuer:
        raise ValueError("another issuer")
    names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
    found = [said.get(name) for name in names]
    if not all(isinstance(url, str) and is_address(url, is_development=is_development) for url in found):
        raise ValueError("no address")
    return Provider(issuer, *(str(url) for url in found))


def address_for(
    provider: Provider, us: Us, asked: Asked, *, state: str, acr: Sequence[str] = (), language: str = ""
) -> str:
    """Return the address that a browser is sent to, to sign in there and come back with a code."""
    more: dict[str, Any] = {"acr_values": " ".join(acr)} if acr else {}
    if language:
        more["ui_locales"] = language
    if asked.since is not None:
        more |= {"prompt": "login", "max_age": 0}
    with _client(us) as client:
        url, _state = client.create_authorization_url(
            provider.authorization_endpoint, state=state, nonce=asked.nonce, code_verifier=asked.verifier, **more
        )
    return cast("str", url)


def answered(provider: Provider, us: Us, asked: Asked, code: str, at: datetime) -> Answer:
    """Change a code for its answer, and check that it was meant for us, now, and for this request.

    Raises:
        UnreachableError: the issuer does not answer.
        ValueError: it refuses the code, or what it says is not right.
    """
    try:
        with _client(us) as client:
            token = client.fetch_token(
                provider.token_endpoint,
                grant_type="authorization_code",
                code=code,
                code_verifier=asked.verifier,
                timeout=_PATIENCE,
                allow_redirects=False,
            )
    except requests.RequestException as fault:
        raise UnreachableError from fault
    except AuthlibBaseError as fault:
        raise ValueError("the code was refused") from fault
    id_token = token.get("id_token")
    if not isinstance(id_token, str):
        raise ValueError("no id_token")  # noqa: TRY004  # a fault of what was said, like every other here
    return _verified(provider, us, asked, id_token, at)


def _verified(provider: Provider, us: Us, asked: Asked, id_token: str, at: datetime) -> Answer:
    """Check an ID token as OpenID Connect Core 1.0, 3.1.3.7 asks."""
    now = int(at.timestamp())
    rules = jwt.JWTClaimsRegistry(
        now=now,
        leeway=LEEWAY,
        iss={"essential": True, "value": provider.issuer},
        aud={"essential": True, "value": us.client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": asked.nonce},
    )
    try:
        keys = KeySet.import_key_set(cast("Any", _read(provider.jwks_uri)))
        claims = jwt.decode(id_token, keys, algorithms=ALGORITHMS).claims
        rules.validate(claims)
    except (JoseError, TypeError, KeyError) as fault:
        raise ValueError("not a right answer") from fault
    audience = claims["aud"]
    several = isinstance(audience, list) and len(audience) > 1
    if (several or "azp" in claims) and claims.get("azp") != us.client_id:
        raise ValueError("meant for another")
    return _read_claims(claims, asked, at)


def _read_claims(claims: Mapping[str, Any], asked: Asked, at: datetime) -> Answer:
    subject, acr, amr, when = claims["sub"], claims.get("acr", ""), claims.get("amr", []), claims.get("auth_time")
    if not (isinstance(subject, str) and 0 < len(subject) <= 255 and subject.isascii() and subject.isprintable()):  # noqa: PLR2004  # OpenID Connect Core 1.0, 2
        raise ValueError("no subject")
    if not (isinstance(acr, str) and isinstance(amr, list) and all(isinstance(one, str) for one in amr)):
        raise ValueError("no factors")
    signed_in_at = None
    if when is not None:
        if isinstance(when, bool) or not isinstance(when, int | float) or not 0 <= when <= at.timestamp() + LEEWAY:
            raise ValueError("no time of signing in")
        signed_in_at = datetime.fromtimestamp(when, UTC)
    if asked.since is not None and (
        signed_in_at is None or signed_in_at.timestamp() < asked.since.timestamp() - LEEWAY
    ):
        raise ValueError("not signed in anew")
    return Answer(subject, acr, tuple(amr), signed_in_at)


def _client(us: Us) -> Any:
    client = OAuth2Session(
        us.client_id,
        us.client_secret,
        scope="openid",
        redirect_uri=us.redirect_uri,
        code_challenge_method="S256",
        token_endpoint_auth_method="client_secret_basic",  # noqa: S106  # the name of a method (OpenID Connect Core 1.0, 9)
    )
    client.register_compliance_hook("access_token_response", _answers)
    return client


def _answers(answer: requests.Response) -> requests.Response:
    """Refuse what is no answer to a code: the service itself failed, or leads elsewhere."""
    if answer.status_code not in {200, 400, 401, 403}:
        raise UnreachableError
    return answer


def _read(url: str) -> dict[str, Any]:
    """Read a JSON object from an issuer; redirects are not followed, so that nobody is led elsewhere."""
    try:
        with requests.get(url, timeout=_PATIENCE, allow_redirects=False, stream=True) as answer:
            if answer.status_code != 200:  # noqa: PLR2004
                raise UnreachableError
            content = b""
            for chunk in answer.iter_content(16_384):
                content += chunk
                if len(content) > _LONGEST:
                    raise ValueError("too long")
    except requests.RequestException as fault:
        raise UnreachableError from fault
    found = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError("no object")  # noqa: TRY004  # a fault of what was said, like every other here
    return found
