"""Reading API tokens. What one stands for is decided here, for every request anew (S-206, S-808)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Row, Select, and_, bindparam, exists, select
from sqlalchemy.orm import Session, selectinload

from referrals.account.models import RoleGrant, User
from referrals.account.queries import names, require_administrator
from referrals.integration.models import SCOPES_OF_SIDE, TOKEN_ROLES, ApiToken, ApiTokenUse
from referrals.kernel.actor import Actor, Role, Side, Source
from referrals.kernel.errors import NotFoundError
from referrals.kernel.look import declare_look, refuse
from referrals.kernel.record import clock, day_of
from referrals.organization.models import Organization
from referrals.sign_in.models import token_hash

__all__ = [
    "SCOPES_OF_SIDE",
    "TOKEN_ROLES",
]


#: A token that opened nothing, or not this. What it opens leaves the events of what is done and read.
TOKEN_REFUSED = declare_look("account.token_refused", "an API token was shown that opens nothing, or not this")
#: A refused reading of an organization's tokens.
TOKENS = declare_look("account.tokens_listed", "the API tokens of an organization")
TOKENS_SHOWN: Final = 50


def visible_tokens(actor: Actor) -> Select[ApiToken]:
    """Select the API tokens of the actor's organization."""
    theirs = exists().where(User.id == ApiToken.user_id, User.organization_id == actor.organization_id)
    return select(ApiToken).where(theirs).options(selectinload(ApiToken.user))


def working_tokens(session: Session, user_id: UUID, today: date) -> list[ApiToken]:
    """Return an integration's tokens that open something on this day."""
    statement = select(ApiToken).where(
        ApiToken.user_id == user_id, ApiToken.ended_at.is_(None), ApiToken.ends_on >= today
    )
    return list(session.scalars(statement.order_by(ApiToken.id)))


@dataclass(frozen=True, slots=True)
class ListedToken:
    """An API token as its organization's administrators see it: never its text. `works` says whether it opens."""

    id: UUID
    integration_id: UUID
    name: str
    role: str | None
    scopes: list[str]
    made_at: datetime
    made_by: UUID
    made_by_name: str | None
    ends_on: date
    used_on: date | None
    ended_at: datetime | None
    ended_because: str | None
    works: bool


def tokens_for(session: Session, actor: Actor, *, after: UUID | None = None) -> tuple[list[ListedToken], UUID | None]:
    """Return a page of the API tokens of the actor's organization, newest first, and the id to go on after.

    Raises:
        NotPermittedError: the actor is no administrator; the refusal is on record (S-210).
    """
    require_administrator(session, actor, TOKENS)
    statement = _LISTED.where(User.organization_id == actor.organization_id)
    if after is not None:
        statement = statement.where(ApiToken.id < after)
    rows = session.execute(statement.order_by(ApiToken.id.desc()).limit(TOKENS_SHOWN + 1)).all()
    listed = _listed(session, rows[:TOKENS_SHOWN])
    return listed, rows[TOKENS_SHOWN - 1][0].id if len(rows) > TOKENS_SHOWN else None


def token_for(session: Session, actor: Actor, token_id: UUID) -> ListedToken:
    """Return one API token of the actor's organization.

    Raises:
        NotPermittedError: the actor is no administrator. NotFoundError: there is none with this id, or it is elsewhere.
    """
    require_administrator(session, actor, TOKENS)
    found = _LISTED.where(User.organization_id == actor.organization_id, ApiToken.id == token_id)
    rows = session.execute(found).all()
    if not rows:
        refuse(session, actor, TOKENS, row_type="api_token", target=token_id, purpose="administration")
        raise NotFoundError
    return _listed(session, rows)[0]


#: A token with its integration, its one role, the zone of its organization, and the day of its last use.
_LISTED: Final = (
    select(ApiToken, User, RoleGrant.role, Organization.time_zone, ApiTokenUse.used_on)
    .join(User, User.id == ApiToken.user_id)
    .join(Organization, Organization.id == User.organization_id)
    .outerjoin(RoleGrant, and_(RoleGrant.user_id == User.id, RoleGrant.ended_at.is_(None)))
    .outerjoin(ApiTokenUse, ApiTokenUse.token_id == ApiToken.id)
)


def _listed(session: Session, rows: Sequence[Row[ApiToken, User, str, str, date | None]]) -> list[ListedToken]:
    who = names(session, {token.made_by for token, *_ in rows})
    at = clock(session)
    return [
        ListedToken(
            id=token.id,
            integration_id=integration.id,
            name=integration.display_name,
            role=role,
            scopes=token.scopes,
            made_at=token.made_at,
            made_by=token.made_by,
            made_by_name=who.get(token.made_by),
            ends_on=token.ends_on,
            used_on=used_on,
            ended_at=token.ended_at,
            ended_because=token.ended_because,
            works=integration.disabled_at is None and not token.is_over(day_of(at, zone)),
        )
        for token, integration, role, zone, used_on in rows
    ]


@dataclass(frozen=True, slots=True)
class TokenHolder:
    """Whoever shows an API token that is known, detached from the session; `works` says whether it opens anything."""

    actor: Actor
    scopes: frozenset[str]
    works: bool
    today: date
    used_on: date | None
    name: str
    organization: str


#: As `_HOLDING`, for an API token.
_HOLDING_TOKEN: Final = (
    select(
        ApiToken.id,
        ApiToken.user_id,
        ApiToken.scopes,
        ApiToken.ends_on,
        ApiToken.ended_at,
        ApiTokenUse.used_on,
        User.organization_id,
        User.display_name,
        User.disabled_at,
        Organization.name.label("organization"),
        Organization.side,
        Organization.time_zone,
        Organization.ended_at.label("left_at"),
        RoleGrant.role,
    )
    .join(User, User.id == ApiToken.user_id)
    .join(Organization, Organization.id == User.organization_id)
    .outerjoin(RoleGrant, and_(RoleGrant.user_id == User.id, RoleGrant.ended_at.is_(None)))
    .outerjoin(ApiTokenUse, ApiTokenUse.token_id == ApiToken.id)
    .where(ApiToken.token_hash == bindparam("token_hash"))
)


def token_holder(session: Session, token: str, source: Source) -> TokenHolder | None:
    """Return who shows this API token, in one statement; None when nobody ever had it.

    Whoever made it may be gone: the token ends with its own last day, by revoking it, or with its organization.
    """
    rows = session.execute(_HOLDING_TOKEN, {"token_hash": token_hash(token)}).all()
    if not rows:
        return None
    held = rows[0]
    today = day_of(clock(session), held.time_zone)
    return TokenHolder(
        actor=Actor(
            "user",
            user_id=held.user_id,
            organization_id=held.organization_id,
            side=Side(held.side),
            roles=frozenset(Role(row.role) for row in rows if row.role is not None),
            source=source,
            zone=held.time_zone,
            token_id=held.id,
        ),
        scopes=frozenset(held.scopes),
        works=held.ended_at is None and held.disabled_at is None and held.left_at is None and today <= held.ends_on,
        today=today,
        used_on=held.used_on,
        name=held.display_name,
        organization=held.organization,
    )


def refuse_token(session: Session, actor: Actor, code: str) -> None:
    """Put on record that a token was shown that opens nothing, or not this: which one, if it is known at all."""
    refuse(
        session,
        actor,
        TOKEN_REFUSED,
        row_type="api_token",
        target=actor.token_id,
        purpose="administration",
        code=code,
    )
