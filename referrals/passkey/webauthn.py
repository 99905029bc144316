"""What browsers and authenticators say to each other (W3C WebAuthn), asked and read by py_webauthn.

Pure: nothing here knows the database. Whatever is wrong with an answer is one `ValueError`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import webauthn as library
from webauthn.helpers import options_to_json_dict, parse_client_data_json
from webauthn.helpers.base64url_to_bytes import base64url_to_bytes
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from referrals.settings import Site

#: How long a browser waits for its user, in milliseconds; the challenge's own five minutes count here.
_PATIENCE: Final = 300_000


@dataclass(frozen=True, slots=True)
class Known:
    """A passkey that a browser may be asked for."""

    id: bytes
    transports: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is right."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    transports: str
    aaguid: str
    is_syncable: bool
    is_synced: bool


def _descriptors(known: Iterable[Known]) -> list[PublicKeyCredentialDescriptor]:
    return [
        PublicKeyCredentialDescriptor(id=one.id, transports=[AuthenticatorTransport(t) for t in one.transports.split()])
        for one in known
    ]


def to_use(site: Site, challenge: bytes, known: Sequence[Known]) -> dict[str, Any]:
    """Return what a browser is asked, to prove that one of these passkeys is at hand.

    The password is what its owner knows; a touch shows what they have. A PIN of the key is not asked for on top.
    """
    asked = library.generate_authentication_options(
        rp_id=site.host,
        challenge=challenge,
        timeout=_PATIENCE,
        allow_credentials=_descriptors(known),
        user_verification=UserVerificationRequirement.DISCOURAGED,
    )
    return options_to_json_dict(asked)


def to_add(
    site: Site, challenge: bytes, known: Sequence[Known], *, handle: bytes, name: str, called: str
) -> dict[str, Any]:
    """Return what a browser is asked, to make a passkey that none of the `known` authenticators holds yet."""
    asked = library.generate_registration_options(
        rp_id=site.host,
        rp_name="Throughgate",
        user_id=handle,
        user_name=name,
        user_display_name=called,
        challenge=challenge,
        timeout=_PATIENCE,
        attestation=AttestationConveyancePreference.NONE,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.DISCOURAGED,
            user_verification=UserVerificationRequirement.DISCOURAGED,
        ),
        exclude_credentials=_descriptors(known),
    )
    return options_to_json_dict(asked)


def _read(answer: str) -> dict[str, Any]:
    try:
        said = json.loads(answer)
    except (ValueError, RecursionError):
        raise ValueError("no JSON") from None
    if not isinstance(said, dict) or not isinstance(said.get("response"), dict):
        raise ValueError("no answer of an authenticator")  # noqa: TRY004  # what was sent is wrong, not our types
    return said


def challenge_of(answer: str) -> bytes:
    """Return which challenge an answer says it is to.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return bytes(parse_client_data_json(base64url_to_bytes(_read(answer)["response"]["clientDataJSON"])).challenge)
    except Exception as fault:
        raise ValueError("no client data") from fault


def credential_of(answer: str) -> bytes:
    """Return which passkey an answer says it is of.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        return bytes(base64url_to_bytes(_read(answer)["rawId"]))
    except Exception as fault:
        raise ValueError("no credential") from fault


def read_added(site: Site, answer: str, challenge: bytes) -> Answer:
    """Read the answer to `to_add()`.

    Raises:
        ValueError: it is not to this challenge, not from this site, or broken.
    """
    said = _read(answer)
    try:
        read = library.verify_registration_response(
            credential=said,
            expected_challenge=challenge,
            expected_rp_id=site.host,
            expected_origin=list(site.origins),
            require_user_verification=False,
        )
    except Exception as fault:  # the library's own errors, and whatever hostile CBOR makes of it
        raise ValueError("not a right answer") from fault
    words = said["response"].get("transports")
    known = {one.value for one in AuthenticatorTransport}
    transports = {one for one in words if isinstance(one, str)} & known if isinstance(words, list) else set()
    return Answer(
        read.credential_id,
        read.credential_public_key,
        read.sign_count,
        " ".join(sorted(transports)),
        read.aaguid,
        is_syncable=read.credential_device_type is CredentialDeviceType.MULTI_DEVICE,
        is_synced=read.credential_backed_up,
    )


def read_used(site: Site, answer: str, challenge: bytes, public_key: bytes) -> Answer:
    """Read the answer to `to_use()`. Its counter is for the passkey to judge: a copied one is told apart.

    Raises:
        ValueError: it is not to this challenge, not from this site, not by this key, or broken.
    """
    said = _read(answer)
    try:
        read = library.verify_authentication_response(
            credential=said,
            expected_challenge=challenge,
            expected_rp_id=site.host,
            expected_origin=list(site.origins),
            credential_public_key=public_key,
            credential_current_sign_count=0,
            require_user_verification=False,
        )
    except Exception as fault:  # as above
        raise ValueError("not a right answer") from fault
    return Answer(
        read.credential_id,
        public_key,
        read.new_sign_count,
        "",
        "",
        is_syncable=read.credential_device_type is CredentialDeviceType.MULTI_DEVICE,
        is_synced=read.credential_backed_up,
    )
