"""An issuer of the test's own (OpenID Connect), over a real socket: it signs people in, and can be wrong in one thing.

It holds us to what the standard asks: the registered address, PKCE, our secret, each code once.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT: Final = ("throughgate", "a secret of both sides")


@dataclass
class TestIssuer:
    """Whom it knows, what it says of them, and what it got wrong on purpose."""

    __test__ = False

    now: Callable[[], float]
    url: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    #: Added to every ID token, over what it would say: `None` leaves a claim out.
    says: dict[str, Any] = field(default_factory=dict)
    #: Over what it publishes about itself.
    publishes: dict[str, Any] = field(default_factory=dict)
    #: Another key or algorithm than the published one.
    signs_by: tuple[str, Any] | None = None
    is_down: bool = False
    #: Who is signed in there already, at whichever browser asks.
    person: str = ""
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)

    def sign_in(self, address: str, subject: str) -> str:
        """Sign somebody in who was sent here; return the address they are sent back to, with code and state."""
        parts = urlsplit(address)
        assert address.startswith(f"{self.url}/authorize?"), address
        asked = dict(parse_qsl(parts.query))
        self.asked.append(asked)
        assert asked["response_type"] == "code"
        assert asked["scope"] == "openid"
        assert asked["client_id"] == CLIENT[0]
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked | {"subject": subject}
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def metadata(self) -> dict[str, Any]:
        """What it publishes about itself."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
        } | self.publishes

    def token(self, form: Mapping[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """Change a code for an ID token."""
        if authorization != "Basic " + base64.b64encode(":".join(CLIENT).encode()).decode():
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None or asked["redirect_uri"] != form.get("redirect_uri"):
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        now = int(self.now())
        claims = {
            "iss": self.url,
            "sub": asked["subject"],
            "aud": CLIENT[0],
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            "auth_time": now,
            "amr": ["pwd", "mfa"],
        } | self.says
        algorithm, key = self.signs_by or ("RS256", self.key)
        kept = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": algorithm, "kid": "one"}
        by_hand = {"none": lambda: unsigned(header, kept), "HS256": lambda: forged(header, kept, self.key)}
        signed = by_hand.get(algorithm, lambda: jwt.encode(header, kept, key))()
        return 200, {"access_token": "unused", "token_type": "Bearer", "id_token": signed}


def unsigned(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    """Return a token that nobody signed."""
    parts = (base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in (header, claims))
    return ".".join(parts) + "."


def forged(header: Mapping[str, Any], claims: Mapping[str, Any], key: RSAKey) -> str:
    """Return a token signed by the published key, taken for a secret of both sides (RFC 8725, 2.1)."""
    token = unsigned(header, claims)[:-1]
    signed = hmac.digest(key.as_pem(private=False), token.encode(), "sha256")
    return f"{token}.{base64.urlsafe_b64encode(signed).decode().rstrip('=')}"


@contextmanager
def a_test_issuer(now: Callable[[], float]) -> Iterator[TestIssuer]:
    """Run an issuer on a port of its own."""
    issuer = TestIssuer(now)

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(503 if issuer.is_down else status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            if self.path == "/.well-known/openid-configuration":
                self._answer(200, issuer.metadata())
            elif self.path == "/keys":
                self._answer(200, {"keys": [issuer.key.as_dict(private=False)]})
            elif self.path.startswith("/authorize?") and issuer.person:
                self.send_response(302)
                self.send_header("Location", issuer.sign_in(issuer.url + self.path, issuer.person))
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif self.path == "/moved/.well-known/openid-configuration":
                self.send_response(302)
                self.send_header("Location", f"{issuer.url}/.well-known/openid-configuration")
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif self.path == "/long/.well-known/openid-configuration":
                self._answer(200, {"issuer": "x" * 300_000})
            else:
                self._answer(404, {})

        def do_POST(self) -> None:
            typed = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(typed).items()}
            told = (503, {}) if issuer.is_down else issuer.token(form, self.headers.get("Authorization", ""))
            self._answer(*told)

        def log_message(self, *_words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
