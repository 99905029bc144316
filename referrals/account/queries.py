"""Reading accounts: who somebody is, who works where, and as what."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Uuid, and_, bindparam, exists, select
from sqlalchemy.orm import Session, joinedload, selectinload

from referrals.account.models import (
    ENROLL,
    FULL,
    MAIL_HOURS,
    NEW_PASSWORD,
    POWERFUL,
    ROLES,
    RULES,
    SECOND_FACTOR,
    AccountChange,
    MailChoice,
    RoleGrant,
    RoleProposal,
    User,
)
from referrals.kernel.actor import Actor, Role, Side, Source
from referrals.kernel.errors import NotFoundError, NotPermittedError
from referrals.kernel.look import declare_look, refuse
from referrals.kernel.orm import names_by_id, written

__all__ = [
    "ENROLL",
    "FULL",
    "MAIL_HOURS",
    "NEW_PASSWORD",
    "POWERFUL",
    "ROLES",
    "RULES",
    "SECOND_FACTOR",
    "MailChoice",
]


#: A refused reading of an organization's accounts. Readings that succeed are about no participant and not recorded.
PEOPLE = declare_look("account.people_viewed", "the accounts of an organization")


def as_name(typed: str) -> str:
    """Return a sign-in name as it is kept: lower case, no space around."""
    return typed.strip().lower()


def is_person() -> ColumnElement[bool]:
    """Return the condition that an account is a person's, and not an integration's."""
    return User.integration_at.is_(None)


def visible_to(actor: Actor) -> Select[User]:
    """Select the accounts an actor may know of: people's of their own organization; the operator every one."""
    statement = select(User).options(selectinload(User.grants), selectinload(User.organization))
    if actor.works_as(Role.OPERATOR):
        return statement
    return statement.where(User.organization_id == actor.organization_id, is_person())


def oneself(actor: Actor) -> Select[User]:
    """Select the actor's own account."""
    options = (selectinload(User.grants), selectinload(User.organization))
    return select(User).where(User.id == actor.user_id, is_person()).options(*options)


def visible_grants(actor: Actor) -> Select[RoleGrant]:
    """Select the grants of users the actor may know of."""
    statement = select(RoleGrant).options(selectinload(RoleGrant.user))
    if actor.works_as(Role.OPERATOR):
        return statement
    theirs = exists().where(User.id == RoleGrant.user_id, User.organization_id == actor.organization_id, is_person())
    return statement.where(theirs)


def visible_proposals(actor: Actor) -> Select[RoleProposal]:
    """Select the proposed roles of users the actor may know of, settled or not."""
    statement = select(RoleProposal).options(selectinload(RoleProposal.user))
    if actor.works_as(Role.OPERATOR):
        return statement
    theirs = exists().where(User.id == RoleProposal.user_id, User.organization_id == actor.organization_id)
    return statement.where(theirs)


# --- reads for other rooms -------------------------------------------------------------------------------------------


def user(session: Session, user_id: UUID) -> User:
    """Return one user, with roles and organization.

    Raises:
        NotFoundError: there is none with this id.
    """
    options = (selectinload(User.grants), selectinload(User.organization))
    row = session.scalars(select(User).where(User.id == user_id).options(*options)).one_or_none()
    if row is None:
        raise NotFoundError
    return row


def by_name(session: Session, sign_in_name: str) -> User | None:
    """Return the person of this sign-in name, with roles and organization, or None: one statement for both (S-102)."""
    options = (joinedload(User.grants), joinedload(User.organization))
    return session.scalars(select(User).where(named(sign_in_name)).options(*options)).unique().one_or_none()


def named(sign_in_name: str) -> ColumnElement[bool]:
    """Return the condition that an account is the person's who signs in by this name: integrations never do."""
    return and_(User.sign_in_name == as_name(sign_in_name), is_person())


def nobody_has_an_account(session: Session) -> bool:
    """Whether the service has yet to be set up: there is no account at all."""
    return session.scalars(select(User.id).limit(1)).one_or_none() is None


def names(session: Session, ids: Iterable[UUID | None]) -> dict[UUID, str]:
    """Return the display names of these users, in one query."""
    return names_by_id(session, User, ids, named_by="display_name")


def colleagues(organization_id: UUID, *roles: Role, integrations: bool = False) -> Select[User]:
    """Select the people of an organization who can work now, by name; with `roles`, those who have one of them.

    `integrations` selects those too: for places where somebody gives work to a colleague, not where one person stands
    in for another (a witness, a named caseworker).
    """
    statement = select(User).where(User.organization_id == organization_id, User.disabled_at.is_(None))
    if not integrations:
        statement = statement.where(is_person())
    if roles:
        in_force = RoleGrant.ended_at.is_(None) & RoleGrant.role.in_([role.value for role in roles])
        statement = statement.where(exists().where(RoleGrant.user_id == User.id, in_force))
    return statement.options(selectinload(User.grants)).order_by(User.display_name, User.id)


def supervisors(session: Session, organizations: Iterable[UUID]) -> dict[UUID, list[UUID]]:
    """Return who supervises at each of these organizations now, in one statement."""
    found: dict[UUID, list[UUID]] = {}
    in_force = RoleGrant.ended_at.is_(None), RoleGrant.role == written(Role.SUPERVISOR)
    statement = select(User.organization_id, User.id).where(
        User.organization_id.in_(set(organizations)),
        User.disabled_at.is_(None),
        exists().where(RoleGrant.user_id == User.id, *in_force),
    )
    for organization_id, user_id in session.execute(statement.order_by(User.id)):
        found.setdefault(organization_id, []).append(user_id)
    return found


def is_colleague(
    session: Session, organization_id: UUID, user_id: UUID, roles: Iterable[Role], *, integrations: bool = False
) -> bool:
    """Whether somebody is among the `colleagues` of an organization, in one of these roles."""
    asked = {"organization": organization_id, "user": user_id}
    return session.scalars(_colleague(frozenset(roles), integrations), asked).one_or_none() is not None


@cache
def _colleague(roles: frozenset[Role], integrations: bool) -> Select[UUID]:
    in_force = RoleGrant.ended_at.is_(None), RoleGrant.role.in_([written(role) for role in sorted(roles)])
    return select(User.id).where(
        User.id == bindparam("user", type_=Uuid()),
        User.organization_id == bindparam("organization", type_=Uuid()),
        User.disabled_at.is_(None),
        *(() if integrations else (is_person(),)),
        exists().where(RoleGrant.user_id == User.id, *in_force),
    )


def people(organization_id: UUID) -> Select[User]:
    """Select every account of an organization, also the disabled ones and integrations, by name."""
    options = (selectinload(User.grants), selectinload(User.organization))
    statement = select(User).where(User.organization_id == organization_id).options(*options)
    return statement.order_by(User.disabled_at.is_not(None), User.display_name, User.id)


#: How many of the newest changes of an account are told.
CHANGES_TOLD: Final = 50


def changes(session: Session, actor: Actor) -> list[AccountChange]:
    """Return what changed on the actor's account, newest first, at most 50."""
    statement = select(AccountChange).where(AccountChange.user_id == actor.me)
    newest_first = statement.order_by(AccountChange.at.desc(), AccountChange.id.desc())
    return list(session.scalars(newest_first.limit(CHANGES_TOLD)))


def left(session: Session, organization_id: UUID, users: Iterable[UUID], *, limit: int = 100) -> list[User]:
    """Return those of these users whose account of this organization is disabled, whoever left last first."""
    gone = select(User).where(
        User.organization_id == organization_id, User.id.in_(set(users)), User.disabled_at.is_not(None)
    )
    return list(session.scalars(gone.order_by(User.disabled_at.desc(), User.id).limit(limit)))


def still_here(session: Session, users: Iterable[UUID]) -> set[UUID]:
    """Return which of these users' accounts are not disabled, in one statement."""
    return set(session.scalars(select(User.id).where(User.id.in_(set(users)), User.disabled_at.is_(None))))


def administrators(session: Session, organization_id: UUID, at: datetime) -> set[UUID]:
    """Return who administers an organization now.

    Somebody who is locked counts: an administrator can unlock them. Whoever is disabled or past their end does not.
    """
    found = session.scalars(colleagues(organization_id, Role.ADMINISTRATOR).options(selectinload(User.organization)))
    return {one.id for one in found if not one.is_ended(at)}


def require_administrator(session: Session, actor: Actor, looks: str = PEOPLE) -> None:
    """Refuse, on record, whoever is no administrator (S-210)."""
    if not actor.works_as(Role.ADMINISTRATOR):
        whose = actor.organization_id
        code = NotPermittedError.code
        refuse(session, actor, looks, row_type="organization", target=whose, purpose="administration", code=code)
        raise NotPermittedError


def reader(user: User) -> Actor:
    """Return somebody as who reads, though they are not signed in now: what mail may tell them is judged by it."""
    return Actor(
        "user",
        user_id=user.id,
        organization_id=user.organization_id,
        side=Side(user.organization.side),
        roles=user.roles,
        source=Source("job"),
        zone=user.organization.time_zone,
    )
