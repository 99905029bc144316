"""Reading issuers, and whether an answer of one is right."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import ColumnElement, Select, exists, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session, selectinload

from referrals.account.queries import require_administrator
from referrals.issuer import oidc
from referrals.issuer.models import (
    CONFIRM,
    LINK,
    MORE_THAN_ONE,
    SIGN_IN,
    Issuer,
    IssuerRefusedError,
    IssuerRequest,
    IssuerSubject,
    IssuerUnreachableError,
    digest,
)
from referrals.issuer.oidc import Answer, Us
from referrals.kernel.actor import Actor
from referrals.kernel.errors import NotFoundError
from referrals.kernel.look import declare_look
from referrals.kernel.record import clock
from referrals.organization.models import Organization

__all__ = ["CONFIRM", "LINK", "MORE_THAN_ONE", "SIGN_IN"]

#: A refused reading of an organization's issuers.
ISSUERS: Final = declare_look("issuer.viewed", "the issuers of an organization")


def visible_issuers(actor: Actor) -> Select[Issuer]:
    """Select the issuers of the actor's organization, also those ended."""
    return select(Issuer).where(Issuer.organization_id == actor.organization_id)


def own_subjects(actor: Actor) -> Select[IssuerSubject]:
    """Select whom issuers say the actor is, also what was ended."""
    return select(IssuerSubject).where(IssuerSubject.user_id == actor.user_id)


@dataclass(frozen=True, slots=True)
class ListedIssuer:
    """An issuer as its organization's administrators see it: never its secret. `people` come in by it."""

    id: UUID
    name: str
    url: str
    client_id: str
    accepted_amr: str
    accepted_acr: str
    listed_at: datetime
    checked_at: datetime
    ended_at: datetime | None
    ended_because: str | None
    people: int

    @property
    def host(self) -> str:
        """Where it is."""
        return host_of(self.url)


#: What a list of issuers asks of each: never the secret, so that it is not unsealed to be left out.
_LISTED: Final = (
    *(Issuer.id, Issuer.name, Issuer.url, Issuer.client_id, Issuer.accepted_amr, Issuer.accepted_acr),
    *(Issuer.listed_at, Issuer.checked_at, Issuer.ended_at, Issuer.ended_because),
)


def issuers_for(session: Session, actor: Actor) -> list[ListedIssuer]:
    """Return the issuers of the actor's organization, those in use first, each with how many come in by it.

    Raises:
        NotAllowedError: the actor is no administrator.
    """
    require_administrator(session, actor, ISSUERS)
    counted = (
        select(func.count())
        .where(IssuerSubject.issuer_id == Issuer.id, IssuerSubject.ended_at.is_(None))
        .correlate(Issuer)
        .scalar_subquery()
        .label("people")
    )
    statement = visible_issuers(actor).with_only_columns(*_LISTED, counted)
    ordered = statement.order_by(Issuer.ended_at.is_not(None), Issuer.id.desc())
    return [ListedIssuer(**row._asdict()) for row in session.execute(ordered)]


def issuer_for(session: Session, actor: Actor, issuer_id: UUID) -> ListedIssuer:
    """Return one issuer of the actor's organization.

    Raises:
        NotAllowedError: the actor is no administrator. NotFoundError: it is none of their organization.
    """
    for one in issuers_for(session, actor):
        if one.id == issuer_id:
            return one
    raise NotFoundError


def in_use(session: Session) -> list[Issuer]:
    """Return every issuer in use by whoever takes part, by the organization's name; with the organization."""
    statement = (
        select(Issuer)
        .join(Organization, Organization.id == Issuer.organization_id)
        .where(Issuer.ended_at.is_(None), Organization.ended_at.is_(None))
        .options(selectinload(Issuer.organization))
    )
    return list(session.scalars(statement.order_by(Organization.name, Issuer.id)))


def in_use_of(session: Session, organization_id: UUID) -> list[Issuer]:
    """Return the issuers an organization uses now, newest first."""
    statement = select(Issuer).where(Issuer.organization_id == organization_id, Issuer.ended_at.is_(None))
    return list(session.scalars(statement.order_by(Issuer.id.desc())))


def subjects_of(session: Session, user_id: UUID) -> list[IssuerSubject]:
    """Return whom issuers say somebody is, oldest first; with the issuers, in use or not."""
    statement = select(IssuerSubject).where(IssuerSubject.user_id == user_id, IssuerSubject.ended_at.is_(None))
    return list(session.scalars(statement.options(selectinload(IssuerSubject.issuer)).order_by(IssuerSubject.id)))


def working_subjects(session: Session, user_id: UUID) -> list[IssuerSubject]:
    """Return those of them by which somebody can come in now."""
    return [one for one in subjects_of(session, user_id) if one.issuer.ended_at is None]


def exists_for(user_id: InstrumentedAttribute[UUID] | UUID) -> ColumnElement[bool]:
    """Return the condition that an issuer says who somebody is."""
    return exists().where(IssuerSubject.user_id == user_id, IssuerSubject.ended_at.is_(None))


def subject_of(session: Session, issuer_id: UUID, subject: str) -> IssuerSubject | None:
    """Return who an issuer's subject is here."""
    statement = select(IssuerSubject).where(
        IssuerSubject.issuer_id == issuer_id, IssuerSubject.subject == subject, IssuerSubject.ended_at.is_(None)
    )
    return session.scalars(statement).one_or_none()


def people_of(session: Session, issuer_id: UUID) -> list[UUID]:
    """Return whose accounts are connected with an issuer."""
    statement = select(IssuerSubject.user_id).where(
        IssuerSubject.issuer_id == issuer_id, IssuerSubject.ended_at.is_(None)
    )
    return list(session.scalars(statement.order_by(IssuerSubject.id)))


def purpose_of(session: Session, state: str) -> str | None:
    """Return what a state's request is for; None where there is none."""
    return session.scalar(select(IssuerRequest.purpose).where(IssuerRequest.state_hash == digest(state)))


def request_of(session: Session, state: str) -> IssuerRequest | None:
    """Return the request that a state belongs to; with its issuer."""
    statement = select(IssuerRequest).where(IssuerRequest.state_hash == digest(state))
    found = session.scalars(
        statement.options(selectinload(IssuerRequest.issuer)), execution_options={"populate_existing": True}
    )
    return found.one_or_none()


@dataclass(frozen=True, slots=True)
class Choice:
    """An issuer that people may choose: its name, its organization, where it is."""

    id: UUID
    name: str
    organization: str
    host: str


def choices(session: Session) -> list[Choice]:
    """Return every issuer that somebody may sign in at, for whoever is not signed in."""
    return [Choice(one.id, one.name, one.organization.name, host_of(one.url)) for one in in_use(session)]


def is_any_in_use(session: Session) -> bool:
    """Whether there is anywhere else to sign in."""
    return session.scalar(select(exists().where(Issuer.ended_at.is_(None)))) is True


@dataclass(frozen=True, slots=True)
class Connection:
    """That somebody's account is connected with an issuer. `works`: the issuer is in use."""

    id: UUID
    issuer_id: UUID
    name: str
    works: bool
    added_at: datetime
    last_used_at: datetime | None


def connections(session: Session, actor: Actor) -> list[Connection]:
    """Return with which issuers the actor's own account is connected, oldest first."""
    return [
        Connection(one.id, one.issuer_id, one.issuer.name, one.issuer.ended_at is None, one.added_at, one.last_used_at)
        for one in subjects_of(session, actor.me)
    ]


def connection_for(session: Session, actor: Actor, subject_id: UUID) -> Connection:
    """Return one of them.

    Raises:
        NotFoundError: it is nobody's, another's, or has ended.
    """
    for one in connections(session, actor):
        if one.id == subject_id:
            return one
    raise NotFoundError


def offered_to(session: Session, actor: Actor) -> list[Choice]:
    """Return the issuers that the actor's organization uses."""
    return [one for one in choices(session) if one.id in {i.id for i in in_use_of(session, actor.organization)}]


def way(session: Session, made: IssuerRequest, redirect_uri: str, *, language: str = "") -> tuple[Choice, str]:
    """Return the issuer of a request just made, and the address that the browser goes to."""
    issuer = session.get_one(Issuer, made.issuer_id, options=[selectinload(Issuer.organization)])
    state = made.shown_state
    if state is None:
        raise LookupError(made.id)
    address = oidc.address_for(
        issuer.provider,
        us(issuer, redirect_uri),
        made.asked(),
        state=state,
        acr=issuer.accepted_acr.split(),
        language=language,
    )
    return Choice(issuer.id, issuer.name, issuer.organization.name, host_of(issuer.url)), address


# --- what is asked and answered over the network, outside any transaction ---------------------------------------------


@dataclass(frozen=True, slots=True)
class Brought:
    """What a browser brought back: the answer to one request, and the issuer's own name, where it gives it."""

    state: str
    code: str
    iss: str | None = None


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who brings it: which browser, for which purpose, through which sign-in."""

    browser: str
    purpose: str
    sign_in_id: UUID | None = None


def us(issuer: Issuer, redirect_uri: str) -> Us:
    """Return as whom this installation speaks to an issuer."""
    return Us(issuer.client_id, issuer.client_secret, redirect_uri)


def discover(url: str, *, is_development: bool) -> oidc.Provider | None:
    """Return what an issuer publishes about itself; None where it does not, or not as it should."""
    try:
        return oidc.discovered(url, is_development=is_development)
    except (oidc.UnreachableError, ValueError):
        return None


def answer_ahead(session: Session, brought: Brought, bearer: Bearer, redirect_uri: str) -> None:
    """Change a code for its answer before the command's transaction opens: an issuer may take seconds.

    The command finds the answer, or why there is none, in `session.info`; it asks no issuer itself.
    """
    session.info.pop("issuer_answer", None)
    found = _answer(session, brought, bearer, redirect_uri)
    session.info["issuer_answer"] = (brought, found)


def _answer(
    session: Session, brought: Brought, bearer: Bearer, redirect_uri: str
) -> type[IssuerRefusedError | IssuerUnreachableError] | Answer:
    request, at = request_of(session, brought.state), clock(session)
    try:
        if request is None or request.issuer.ended_at is not None:
            return IssuerRefusedError
        if not request.is_answered(bearer.browser, bearer.purpose, bearer.sign_in_id, at):
            return IssuerRefusedError
        if brought.iss is not None and brought.iss != request.issuer.url:
            return IssuerRefusedError  # one issuer's code is never shown to another (RFC 9207)
        issuer, asked = request.issuer, request.asked()
        provider, as_whom = issuer.provider, us(issuer, redirect_uri)
    finally:
        session.rollback()
    try:
        return oidc.answered(provider, as_whom, asked, brought.code, at)
    except oidc.UnreachableError:
        return IssuerUnreachableError
    except ValueError:
        return IssuerRefusedError


def host_of(url: str) -> str:
    """Return the host of an address, as people know it."""
    return urlsplit(url).hostname or url
