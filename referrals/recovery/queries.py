"""Reading recoveries: which wait, who may be the second, and whether one's code can be used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Select, exists, select
from sqlalchemy.orm import Session, selectinload

from referrals.account import queries as accounts
from referrals.account.models import AccountChange, User
from referrals.kernel.actor import Actor, Role
from referrals.kernel.errors import NotFoundError, NotPermittedError
from referrals.kernel.look import declare_look, refuse
from referrals.kernel.record import clock
from referrals.recovery import policy as p
from referrals.recovery.models import PROOFINGS, REASONS, FactorRecovery
from referrals.recovery.policy import leads

__all__ = [
    "PROOFINGS",
    "REASONS",
    "leads",
]

#: A refused reading. Readings that succeed are about no participant and not recorded.
RECOVERIES: Final = declare_look("recovery.recovery_viewed", "a recovery of a lost second factor")


def visible_to(actor: Actor) -> Select[FactorRecovery]:
    """Select the recoveries an actor may know of: their own organization's; the operator every one."""
    statement = select(FactorRecovery).options(selectinload(FactorRecovery.user))
    if actor.works_as(Role.OPERATOR):
        return statement
    theirs = exists().where(
        User.id == FactorRecovery.user_id, User.organization_id == actor.organization_id, accounts.is_person()
    )
    return statement.where(theirs)


def newest(session: Session, user_id: UUID, *, lock: bool = False) -> FactorRecovery | None:
    """Return the newest recovery of a user, whatever became of it."""
    statement = select(FactorRecovery).where(FactorRecovery.user_id == user_id).order_by(FactorRecovery.id.desc())
    if lock:
        statement = statement.with_for_update(of=FactorRecovery)
    return session.scalars(statement.limit(1), execution_options={"populate_existing": True}).one_or_none()


def leaders(session: Session, organization_id: UUID, at: datetime) -> set[UUID]:
    """Return who administers or supervises an organization now; whoever is locked counts, as in decision 0014."""
    found = accounts.colleagues(organization_id, Role.ADMINISTRATOR, Role.SUPERVISOR)
    people = session.scalars(found.options(selectinload(User.organization)))
    return {one.id for one in people if not one.is_ended(at)}


def could_be_second(session: Session, recovery: FactorRecovery, at: datetime) -> set[UUID]:
    """Return who of the organization may be the second: who leads there.

    Where the operator is the first and nobody leads, anybody who works there. Needs `user` loaded.
    """
    others = {recovery.user_id, recovery.first_by}
    there = recovery.user.organization_id
    able = leaders(session, there, at) - others
    if able or not recovery.began_by_operator:
        return able
    found = session.scalars(accounts.colleagues(there).options(selectinload(User.organization)))
    return {one.id for one in found if one.roles and not one.is_ended(at)} - others


def holds(session: Session, recovery: FactorRecovery, at: datetime) -> bool:
    """Whether everybody in it may still act: none was disabled since, and who spoke for the person still may.

    The operator is nobody who could be disabled. Whoever stood in beside the operator need not lead.
    """
    user = accounts.user(session, recovery.user_id)
    spoke = [(recovery.first_by, recovery.first_at), (recovery.second_by, recovery.second_at)]
    people = {one for one, _at in spoke if one is not None}
    found = select(User).where(User.id.in_(people)).options(selectinload(User.grants), selectinload(User.organization))
    known = {one.id: one for one in session.scalars(found)}
    if not _in_use_since(user, recovery.first_at, at):
        return False
    for one, when in spoke:
        if one is None or when is None:
            continue
        theirs = known[one]
        roles = {Role.ADMINISTRATOR} if one == recovery.first_by else {Role.ADMINISTRATOR, Role.SUPERVISOR}
        if recovery.began_by_operator:
            roles = set(Role)
        if not _in_use_since(theirs, when, at) or theirs.roles.isdisjoint(roles):
            return False
    return True


def _in_use_since(user: User, since: datetime, at: datetime) -> bool:
    if user.disabled_at is not None or user.is_ended(at):
        return False
    return user.enabled_at is None or user.enabled_at < since


@dataclass(frozen=True, slots=True)
class ShownRecovery:
    """A recovery as colleagues see it; `by` is empty for the operator. `may_*` say what the reader may do now."""

    id: UUID
    user_id: UUID
    name: str
    state: str
    first_by: UUID | None
    first_name: str | None
    first_how: str
    first_at: datetime
    second_by: UUID | None
    second_name: str | None
    second_how: str | None
    second_at: datetime | None
    expires_at: datetime
    used_at: datetime | None
    because: str | None
    may_confirm: bool
    may_refuse: bool
    may_withdraw: bool


def _shown(session: Session, actor: Actor, rows: Iterable[FactorRecovery], at: datetime) -> list[ShownRecovery]:
    """Return rows as the actor sees them. Needs their users loaded."""
    rows = list(rows)
    who = accounts.names(session, {one for row in rows for one in (row.first_by, row.second_by)})
    shown = []
    for row in rows:
        state = row.state(at)
        is_open = state in {"waiting", "confirmed"}
        shown.append(
            ShownRecovery(
                id=row.id,
                user_id=row.user_id,
                name=row.user.display_name,
                state=state,
                first_by=row.first_by,
                first_name=who.get(row.first_by) if row.first_by is not None else None,
                first_how=row.first_how,
                first_at=row.first_at,
                second_by=row.second_by,
                second_name=who.get(row.second_by) if row.second_by is not None else None,
                second_how=row.second_how,
                second_at=row.second_at,
                expires_at=row.expires_at,
                used_at=row.used_at,
                because=row.because,
                may_confirm=state == "waiting"
                and (p.is_another_leader(actor, row) or p.stands_in_beside_the_operator(actor, row)),
                may_refuse=is_open and (p.is_another_leader(actor, row) or p.is_about_them(actor, row)),
                may_withdraw=is_open and p.began_it(actor, row),
            )
        )
    return shown


def open_ones(session: Session, actor: Actor, user_id: UUID | None = None) -> list[ShownRecovery]:
    """Return the recoveries of the actor's organization that are not over, oldest first; or those of one person.

    Whoever does not lead there sees those in which they may be the second beside the operator, and their own.
    """
    at = clock(session)
    statement = visible_to(actor).where(
        FactorRecovery.expires_at > at, FactorRecovery.outcome.is_(None), FactorRecovery.used_at.is_(None)
    )
    if user_id is not None:
        statement = statement.where(FactorRecovery.user_id == user_id)
    rows = session.scalars(statement.order_by(FactorRecovery.id)).all()
    return _shown(session, actor, [row for row in rows if _may_see(session, actor, row, at)], at)


def _may_see(session: Session, actor: Actor, row: FactorRecovery, at: datetime) -> bool:
    if leads(actor) or p.is_about_them(actor, row):
        return True
    return p.stands_in_beside_the_operator(actor, row) and actor.user_id in could_be_second(session, row, at)


def recovery_for(session: Session, actor: Actor, recovery_id: UUID) -> ShownRecovery:
    """Return one recovery of the actor's organization, whatever became of it.

    Raises:
        NotFoundError: there is none with this id that the actor may know of.
    """
    at = clock(session)
    row = session.scalars(visible_to(actor).where(FactorRecovery.id == recovery_id)).one_or_none()
    if row is None or not _may_see(session, actor, row, at):
        refuse(session, actor, RECOVERIES, row_type="factor_recovery", target=recovery_id, purpose="administration")
        raise NotFoundError
    return _shown(session, actor, [row], at)[0]


def person_for(session: Session, actor: Actor, user_id: UUID) -> User:
    """Return the colleague whose recovery the actor, an administrator, may begin.

    Raises:
        NotPermittedError: the actor is no administrator, or it is they. NotFoundError: there is none, or elsewhere.
    """
    accounts.require_administrator(session, actor, RECOVERIES)
    row = session.scalars(accounts.visible_to(actor).where(User.id == user_id)).one_or_none()
    code = NotFoundError.code if row is None else NotPermittedError.code
    if row is None or row.id == actor.user_id:
        refuse(session, actor, RECOVERIES, row_type="user", target=user_id, purpose="administration", code=code)
        raise NotFoundError if row is None else NotPermittedError
    return row


def last_reset(session: Session, user_id: UUID, since: datetime) -> AccountChange | None:
    """Return the last reset of somebody's password since then: whoever made it holds half of the way in already."""
    resets = select(AccountChange).where(
        AccountChange.user_id == user_id, AccountChange.what == "password_reset", AccountChange.at >= since
    )
    return session.scalars(resets.order_by(AccountChange.at.desc()).limit(1)).one_or_none()
