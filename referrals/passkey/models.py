"""Passkeys and security keys, and the challenges that they answer."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped

from referrals.account.models import User
from referrals.kernel import crypto
from referrals.kernel.errors import RefusedError, RuleBrokenError
from referrals.kernel.orm import Identified, personal, public, related

#: A challenge is answered within five minutes, or not at all.
CHALLENGE_LASTS: Final = timedelta(minutes=5)
#: What a challenge is for: to prove oneself, or to add another passkey.
USE, ADD = "use", "add"
PURPOSES: Final = (USE, ADD)


class PasskeyRefusedError(RefusedError):
    """The answer is wrong: origin, site, challenge, signature or whose passkey it is; nobody learns which."""

    code = "passkey_refused"
    status = 401


class PasskeyCopiedError(PasskeyRefusedError):
    """The passkey's counter did not go on: the same key exists twice."""

    code = "passkey_copied"


class NoPasskeyError(RuleBrokenError):
    """The account has no passkey to ask for."""

    code = "no_passkey"


class NotOfferedError(RuleBrokenError):
    """This installation has an address that browsers keep no passkeys for."""

    code = "passkeys_not_offered"


class PasskeyKnownError(RuleBrokenError):
    """This very passkey was added before."""

    code = "passkey_known"


class PasskeyEndedError(RuleBrokenError):
    """The passkey was removed before."""

    code = "passkey_ended"


class Passkey(Identified):
    """A public key that answers for its owner; the private one never leaves the device or security key.

    `sign_count` is the device's own counter, where it keeps one. `is_syncable` and `is_synced` are the flags BE and BS:
    whether it may be, and is, copied between the owner's devices by whoever keeps it for them.
    """

    __tablename__ = "passkey"
    __house_key__ = "staff"

    user_id: Mapped[UUID] = public(ForeignKey("user.id"), index=True)
    credential_id: Mapped[bytes] = personal(LargeBinary, unique=True)
    public_key: Mapped[bytes] = personal(LargeBinary)
    sign_count: Mapped[int] = public(BigInteger)
    #: How a browser reaches it ("usb nfc"), for the browser's next question; only words that WebAuthn knows.
    transports: Mapped[str] = public(String(80))
    #: The model of the device, as far as it says.
    aaguid: Mapped[str] = public(String(36))
    is_syncable: Mapped[bool] = public()
    is_synced: Mapped[bool] = public()
    #: Typed by its owner, who may name somebody in it.
    name = crypto.sealed(crypto.text)
    added_at: Mapped[datetime] = public()
    last_used_at: Mapped[datetime | None] = public()
    ended_at: Mapped[datetime | None] = public()
    ended_by: Mapped[UUID | None] = public()
    ended_because: Mapped[str | None] = public(String(20))

    user: Mapped[User] = related("User")

    def rename(self, name: str) -> None:
        """Call it something else."""
        self._require_in_force()
        self.name = name

    def use(self, sign_count: int, *, is_synced: bool, at: datetime) -> list[str]:
        """Keep that it answered rightly; return the changed fields for the record.

        Raises:
            PasskeyCopiedError: its counter stands where it stood, or went back: the key exists twice.
        """
        if (sign_count or self.sign_count) and sign_count <= self.sign_count:
            raise PasskeyCopiedError
        self.sign_count, self.is_synced, self.last_used_at = sign_count, is_synced, at
        return ["sign_count", "is_synced", "last_used_at"]

    def end(self, *, at: datetime, by: UUID | None, because: str) -> list[str]:
        """Let it answer for nobody any more; return the changed fields for the record."""
        self._require_in_force()
        self.ended_at, self.ended_by, self.ended_because = at, by, because
        return ["ended_at", "ended_by", "ended_because"]

    def _require_in_force(self) -> None:
        if self.ended_at is not None:
            raise PasskeyEndedError


def challenge_hash(challenge: bytes) -> bytes:
    """Return what the database holds of a challenge."""
    return hashlib.sha256(challenge).digest()


class PasskeyChallenge(Identified):
    """The one question that a sign-in has open: a new one takes the place of the last, answered or not.

    The sign-in stands upstairs, so its id is a plain one.
    """

    __tablename__ = "passkey_challenge"
    #: The question itself, in clear, for whoever answers it: shown once, never stored.
    __allow_unmapped__ = True

    user_id: Mapped[UUID] = public(ForeignKey("user.id"), index=True)
    sign_in_id: Mapped[UUID] = public(unique=True)
    challenge_hash: Mapped[bytes] = personal(LargeBinary)
    purpose: Mapped[str] = public(String(10))
    made_at: Mapped[datetime] = public()
    used_at: Mapped[datetime | None] = public()

    shown: bytes | None = None

    def ask(self, purpose: str, at: datetime) -> list[str]:
        """Ask anew; return the changed fields for the record."""
        self.shown = secrets.token_bytes(32)
        self.challenge_hash, self.purpose = challenge_hash(self.shown), purpose
        self.made_at, self.used_at = at, None
        return ["challenge_hash", "purpose", "made_at", "used_at"]

    def is_answered_by(self, answered: bytes, purpose: str, at: datetime) -> bool:
        """Whether this is the question that was answered, in time and for the first time."""
        in_time = self.used_at is None and at < self.made_at + CHALLENGE_LASTS
        return (
            in_time and self.purpose == purpose and hmac.compare_digest(self.challenge_hash, challenge_hash(answered))
        )

    def spend(self, at: datetime) -> list[str]:
        """Let it be answered no more; return the changed fields for the record."""
        if self.used_at is not None:
            return []
        self.used_at = at
        return ["used_at"]
