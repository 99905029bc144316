"""Issuers, the people they speak of, and what they were asked."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import ForeignKey, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped

from referrals.account.models import User
from referrals.issuer.oidc import Answer, Asked, Provider
from referrals.kernel import crypto
from referrals.kernel.errors import RefusedError, RuleBrokenError
from referrals.kernel.orm import Identified, personal, public, related
from referrals.organization.models import Organization

#: How long somebody may take at their issuer.
REQUEST_LASTS: Final = timedelta(minutes=10)
#: An organization has one issuer, and a second while it moves.
ISSUERS_AT_MOST: Final = 5
#: What an answer is for: to sign in, to give a second factor (again), to say for the first time who one is there.
SIGN_IN, CONFIRM, LINK = PURPOSES = ("sign_in", "confirm", "link")
#: How an issuer says that somebody gave more than one factor, unless its organization says otherwise (RFC 8176).
MORE_THAN_ONE: Final = "mfa"


class IssuerRefusedError(RefusedError):
    """What came back opens nothing: late, another browser's, not right, or of nobody who may come in here.

    One answer for all of them, as at any other way in (S-102).
    """

    code = "issuer_refused"
    status = 401


class OneFactorError(RefusedError):
    """The issuer did not say that a second factor was given (S-103)."""

    code = "issuer_one_factor"
    status = 401


class IssuerUnreachableError(RefusedError):
    """The issuer does not answer now."""

    code = "issuer_unreachable"
    status = 503


class IssuerEndedError(RuleBrokenError):
    """The issuer is used no more."""

    code = "issuer_ended"


class IssuerListedError(RuleBrokenError):
    """The organization uses this issuer already."""

    code = "issuer_listed"


class TooManyIssuersError(RuleBrokenError):
    """The organization uses as many issuers as it may."""

    code = "too_many_issuers"


class SubjectEndedError(RuleBrokenError):
    """The connection was ended before."""

    code = "subject_ended"


class SubjectKnownError(RuleBrokenError):
    """The issuer's account is connected with another account here, or this one with another there."""

    code = "subject_known"


class Issuer(Identified):
    """A service at which an organization's people sign in, under its exact address (OpenID Connect).

    It is believed about this organization's people alone. `accepted_acr` and `accepted_amr` are the words, one space
    between them, of which an answer must say at least one: that two factors were given (S-103).
    """

    __tablename__ = "issuer"
    __house_key__ = "staff"
    __table_args__ = (
        Index(
            "uq_issuer_in_force",
            "organization_id",
            "url",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    organization_id: Mapped[UUID] = public(ForeignKey("organization.id"), index=True)
    #: What people know it by: "Blue County sign-in".
    name: Mapped[str] = public(String(80))
    url: Mapped[str] = public(String(255))
    client_id: Mapped[str] = public(String(255))
    client_secret = crypto.sealed(crypto.text, padded=True)
    authorization_endpoint: Mapped[str] = public(String(500))
    token_endpoint: Mapped[str] = public(String(500))
    jwks_uri: Mapped[str] = public(String(500))
    accepted_acr: Mapped[str] = public(String(400))
    accepted_amr: Mapped[str] = public(String(200))
    listed_at: Mapped[datetime] = public()
    listed_by: Mapped[UUID | None] = public()
    checked_at: Mapped[datetime] = public()
    ended_at: Mapped[datetime | None] = public()
    ended_by: Mapped[UUID | None] = public()
    ended_because: Mapped[str | None] = personal(String(400))

    organization: Mapped[Organization] = related("Organization")

    @property
    def provider(self) -> Provider:
        """What it published about itself when it was last looked at."""
        return Provider(self.url, self.authorization_endpoint, self.token_endpoint, self.jwks_uri)

    def keep(self, provider: Provider, at: datetime) -> list[str]:
        """Keep what it publishes about itself now; return the changed fields for the record."""
        self.authorization_endpoint, self.token_endpoint = provider.authorization_endpoint, provider.token_endpoint
        self.jwks_uri, self.checked_at = provider.jwks_uri, at
        return ["authorization_endpoint", "token_endpoint", "jwks_uri", "checked_at"]

    def require_two_factors(self, answer: Answer) -> None:
        """Refuse an answer that does not say that more than one factor was given (S-103)."""
        if answer.acr and answer.acr in self.accepted_acr.split():
            return
        if not set(answer.amr) & set(self.accepted_amr.split()):
            raise OneFactorError

    def require_in_force(self) -> None:
        """Refuse what needs an issuer in use."""
        if self.ended_at is not None:
            raise IssuerEndedError

    def end(self, *, at: datetime, by: UUID | None, because: str) -> list[str]:
        """Believe it no more; return the changed fields for the record."""
        self.require_in_force()
        self.ended_at, self.ended_by, self.ended_because = at, by, because
        return ["ended_at", "ended_by", "ended_because"]


class IssuerSubject(Identified):
    """That somebody is whom an issuer calls so: a second factor of their account, and a way in by itself.

    Made by its person alone, from within their account: no answer of an issuer ever makes an account, or takes one
    over (S-116). Where its issuer is used no more it opens nothing, and is still its account's factor, so that a
    password alone never sets up another (S-103).
    """

    __tablename__ = "issuer_subject"
    __table_args__ = (
        Index(
            "uq_issuer_subject_in_force",
            "issuer_id",
            "subject",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index(
            "uq_issuer_subject_of_user",
            "user_id",
            "issuer_id",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
    )

    user_id: Mapped[UUID] = public(ForeignKey("user.id"), index=True)
    issuer_id: Mapped[UUID] = public(ForeignKey("issuer.id"), index=True)
    subject: Mapped[str] = personal(String(255))
    added_at: Mapped[datetime] = public()
    last_used_at: Mapped[datetime | None] = public()
    ended_at: Mapped[datetime | None] = public()
    ended_by: Mapped[UUID | None] = public()
    ended_because: Mapped[str | None] = public(String(20))

    user: Mapped[User] = related("User")
    issuer: Mapped[Issuer] = related("Issuer")

    def use(self, at: datetime) -> list[str]:
        """Keep that its person came by it; return the changed fields for the record."""
        self.last_used_at = at
        return ["last_used_at"]

    def end(self, *, at: datetime, by: UUID | None, because: str) -> list[str]:
        """Let it open nothing any more; return the changed fields for the record."""
        if self.ended_at is not None:
            raise SubjectEndedError
        self.ended_at, self.ended_by, self.ended_because = at, by, because
        return ["ended_at", "ended_by", "ended_because"]


def digest(plain: str) -> bytes:
    """Return what the database holds of a random value."""
    return hashlib.sha256(plain.encode()).digest()


class IssuerRequest(Identified):
    """A question that somebody takes to an issuer: good for ten minutes, one answer, one browser, one purpose.

    The database holds digests of `state` and of what the browser's cookie holds; what is sent on, or must be compared
    with what comes back signed, it holds sealed.
    """

    __tablename__ = "issuer_request"
    __house_key__ = "staff"
    __allow_unmapped__ = True

    issuer_id: Mapped[UUID] = public(ForeignKey("issuer.id"), index=True)
    state_hash: Mapped[bytes] = personal(LargeBinary, unique=True)
    nonce = crypto.sealed(crypto.text, padded=True)
    verifier = crypto.sealed(crypto.text, padded=True)
    browser_hash: Mapped[bytes] = personal(LargeBinary)
    purpose: Mapped[str] = public(String(20))
    #: The sign-in that asks; None: somebody who has not signed in. The sign-in stands upstairs: a plain id.
    sign_in_id: Mapped[UUID | None] = public()
    is_shared: Mapped[bool] = public()
    made_at: Mapped[datetime] = public()
    used_at: Mapped[datetime | None] = public()

    issuer: Mapped[Issuer] = related("Issuer")

    #: What the address carries to the issuer and back, in clear: told once, never stored.
    shown_state: str | None = None

    def asked(self) -> Asked:
        """Return what the answer must match; anew, where a factor is given again."""
        return Asked(self.nonce, self.verifier, self.made_at if self.purpose == CONFIRM else None)

    def is_answered(self, browser: str, purpose: str, sign_in_id: UUID | None, at: datetime) -> bool:
        """Whether an answer comes in time, once, to the browser, the purpose and the sign-in that it is for."""
        same = hmac.compare_digest(self.browser_hash, digest(browser)) and self.purpose == purpose
        return same and self.sign_in_id == sign_in_id and self.used_at is None and at < self.made_at + REQUEST_LASTS

    def spend(self, at: datetime) -> list[str]:
        """Let it be answered no more; return the changed fields for the record."""
        if self.used_at is not None:
            return []
        self.used_at = at
        return ["used_at"]

    @classmethod
    def ask(
        cls, issuer_id: UUID, purpose: str, *, browser: str, sign_in_id: UUID | None, shared: bool, at: datetime
    ) -> IssuerRequest:
        """Return a request with new random values of 256 bits each, or more."""
        state = secrets.token_urlsafe(32)
        made = cls(
            issuer_id=issuer_id,
            state_hash=digest(state),
            nonce=secrets.token_urlsafe(32),
            verifier=secrets.token_urlsafe(48),
            browser_hash=digest(browser),
            purpose=purpose,
            sign_in_id=sign_in_id,
            is_shared=shared,
            made_at=at,
        )
        made.shown_state = state
        return made
