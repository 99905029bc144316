"""A security key in software, as real as its signatures: what it answers is what a browser with a key would send.

It makes P-256 keys, attests to nothing ("none"), counts its uses, and can be told to be wrong in one thing at a time.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

#: Flags of authenticator data: user present, backup eligible, backed up, attested data follows.
_UP, _BE, _BS, _AT = 1, 8, 16, 64


def plain(coded: str) -> bytes:
    """Return the bytes of base64url without padding."""
    return urlsafe_b64decode(coded + "=" * (-len(coded) % 4))


def coded(raw: bytes) -> str:
    """Return bytes as base64url without padding."""
    return urlsafe_b64encode(raw).decode().rstrip("=")


@dataclass
class Credential:
    """One key pair of the authenticator."""

    id: bytes
    key: ec.EllipticCurvePrivateKey


@dataclass
class Authenticator:
    """A key that somebody carries, and the browser it is plugged into."""

    origin: str = "https://localhost"
    rp_id: str = "localhost"
    #: None: it keeps no counter, as passkeys of phones do not.
    count: int | None = 0
    is_synced: bool = False
    present: bool = True
    credentials: list[Credential] = field(default_factory=list)

    def copied(self) -> Authenticator:
        """Somebody's copy of this key: the same secrets, the counter as it stands."""
        return replace(self, credentials=list(self.credentials))

    def create(self, options: Mapping[str, Any], *, again: Credential | None = None) -> str:
        """Answer `navigator.credentials.create()`."""
        made = again or Credential(secrets.token_bytes(32), ec.generate_private_key(ec.SECP256R1()))
        if again is None:
            self.credentials.append(made)
        point = made.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}
        attested = bytes(16) + len(made.id).to_bytes(2, "big") + made.id + cbor2.dumps(cose)
        data = self._data(_AT) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        response = {
            "clientDataJSON": coded(self._client("webauthn.create", options["challenge"])),
            "attestationObject": coded(attestation),
            "transports": ["usb", "nfc", "unheard-of"],
        }
        return self._answer(made, response)

    def get(self, options: Mapping[str, Any], *, by: Credential | None = None) -> str:
        """Answer `navigator.credentials.get()`, by one of the credentials that are asked for, or `by` any."""
        asked = {plain(one["id"]) for one in options["allowCredentials"]}
        made = by or next(one for one in self.credentials if one.id in asked)
        if self.count is not None:
            self.count += 1
        data, client = self._data(0), self._client("webauthn.get", options["challenge"])
        signature = made.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        response = {"clientDataJSON": coded(client), "authenticatorData": coded(data), "signature": coded(signature)}
        return self._answer(made, response)

    def _data(self, flags: int) -> bytes:
        flags |= (_UP if self.present else 0) | (_BE | _BS if self.is_synced else 0)
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + (self.count or 0).to_bytes(4, "big")

    def _client(self, kind: str, challenge: str) -> bytes:
        said = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(said).encode()

    @staticmethod
    def _answer(made: Credential, response: dict[str, Any]) -> str:
        ident: Final = coded(made.id)
        return json.dumps({"id": ident, "rawId": ident, "type": "public-key", "response": response})
