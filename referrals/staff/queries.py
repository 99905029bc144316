"""Reading an organization's people: accounts, roles that wait, work left behind, reviews."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import and_, exists, func, or_, select
from sqlalchemy.orm import Session, selectinload

from referrals.account.models import IDLE_AFTER, POWERFUL, RoleProposal, User
from referrals.account.queries import PEOPLE, is_person, names, require_administrator, visible_proposals, visible_to
from referrals.integration.models import ApiToken, ApiTokenUse
from referrals.kernel.actor import Actor
from referrals.kernel.errors import NotFoundError, NotPermittedError
from referrals.kernel.look import declare_look, refuse
from referrals.kernel.record import clock, day_of
from referrals.staff import policy as p
from referrals.staff.models import (
    CHANGE,
    REVIEW_DECISIONS,
    REVIEW_ROUND,
    REVIEWED_WITHIN,
    AccessReview,
    AccessReviewLine,
)

__all__ = [
    "REVIEW_DECISIONS",
]


def to_disable(session: Session, at: datetime) -> list[tuple[UUID, str]]:
    """Return the accounts that the service disables now, each with the reason (S-804)."""
    used = func.coalesce(User.last_signed_in_at, User.added_at)
    # Generous: no place on earth is a day ahead of UTC. The account itself knows its zone, and whether it was enabled.
    ended = User.ends_on <= day_of(at + timedelta(days=1), "UTC")
    likely = or_(and_(used <= at - IDLE_AFTER, is_person()), ended, User.emergency_until <= at)
    rows = session.scalars(
        select(User)
        .where(User.disabled_at.is_(None), likely)
        .options(selectinload(User.organization))
        .order_by(User.id)
    )
    return [(one.id, why) for one in rows if (why := one.reason_to_disable(at)) is not None]


def people_page(
    session: Session, organization_id: UUID, *, after: UUID | None = None, limit: int = 50
) -> tuple[list[User], UUID | None]:
    """Return a page of the accounts of an organization's people as they were made, and the id to go on after."""
    options = (selectinload(User.grants), selectinload(User.organization))
    statement = select(User).where(User.organization_id == organization_id, is_person())
    statement = statement.options(*options).order_by(User.id)
    if after is not None:
        statement = statement.where(User.id > after)
    rows = list(session.scalars(statement.limit(limit + 1)))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def people_for(
    session: Session, actor: Actor, *, after: UUID | None = None, limit: int = 50
) -> tuple[list[User], UUID | None]:
    """Return a page of the accounts of the actor's organization, and the id to go on after.

    Raises:
        NotPermittedError: the actor is no administrator; the refusal is on record (S-210).
    """
    require_administrator(session, actor)
    return people_page(session, actor.organization, after=after, limit=limit)


def person_for(session: Session, actor: Actor, user_id: UUID) -> User:
    """Return one account of the actor's organization.

    Raises:
        NotPermittedError: the actor is no administrator. NotFoundError: there is none with this id, or it is elsewhere.
    """
    require_administrator(session, actor)
    row = session.scalars(visible_to(actor).where(User.id == user_id)).one_or_none()
    if row is None:
        refuse(session, actor, PEOPLE, row_type="user", target=user_id, purpose="administration")
        raise NotFoundError
    return row


def proposals_for(
    session: Session, actor: Actor, *, after: UUID | None = None, limit: int = 50
) -> tuple[list[RoleProposal], UUID | None]:
    """Return a page of the roles that wait for a second person in the actor's organization, oldest first.

    Raises:
        NotPermittedError: the actor is no administrator; the refusal is on record (S-210).
    """
    require_administrator(session, actor)
    statement = visible_proposals(actor).where(RoleProposal.settled_at.is_(None)).order_by(RoleProposal.id)
    if after is not None:
        statement = statement.where(RoleProposal.id > after)
    rows = list(session.scalars(statement.limit(limit + 1)))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else None


def proposal_for(session: Session, actor: Actor, proposal_id: UUID) -> RoleProposal:
    """Return one proposed role of the actor's organization.

    Raises:
        NotPermittedError: the actor is no administrator. NotFoundError: there is none with this id, or it is elsewhere.
    """
    require_administrator(session, actor)
    row = session.scalars(visible_proposals(actor).where(RoleProposal.id == proposal_id)).one_or_none()
    if row is None:
        refuse(session, actor, PEOPLE, row_type="role_proposal", target=proposal_id, purpose="administration")
        raise NotFoundError
    return row


#: How rooms upstairs count what people of the actor's organization left open: by person, then by kind of work (S-807).
WorkCounted = Callable[[Session, Actor, UUID | None], Mapping[UUID, Mapping[str, int]]]
_OPEN_WORK: Final[list[WorkCounted]] = []


def open_work_is_counted(by: WorkCounted) -> None:
    """Say how open work is counted (called by a room that knows of all of it, at import)."""
    _OPEN_WORK[:] = [by]


def open_work(session: Session, actor: Actor, user: User) -> Mapping[str, int]:
    """Return how much somebody who left still has open, by kind: numbers alone. Nothing for whoever is still here."""
    if user.disabled_at is None or not _OPEN_WORK:
        return {}
    return _OPEN_WORK[0](session, actor, user.id).get(user.id, {})


def waiting(session: Session, organization_id: UUID, user_id: UUID | None = None) -> list[RoleProposal]:
    """Return the roles that wait for a second person in an organization, or for one of its users; oldest first."""
    about = exists().where(User.id == RoleProposal.user_id, User.organization_id == organization_id)
    statement = select(RoleProposal).where(RoleProposal.settled_at.is_(None), about).order_by(RoleProposal.id)
    return list(session.scalars(statement if user_id is None else statement.where(RoleProposal.user_id == user_id)))


def proposed_by(session: Session, user_id: UUID) -> list[RoleProposal]:
    """Return the roles that somebody proposed and nobody answered yet, oldest first, under lock."""
    theirs = select(RoleProposal).where(RoleProposal.settled_at.is_(None), RoleProposal.proposed_by == user_id)
    return list(session.scalars(theirs.order_by(RoleProposal.id).with_for_update(of=RoleProposal)))


# --- the yearly review of accounts (S-805) ----------------------------------------------------------------------------

#: A refused reading of it. Readings that succeed are about no participant and not recorded.
REVIEWS: Final = declare_look("account.access_review_viewed", "how the accounts of an organization were reviewed")
REVIEWS_SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class ReviewedAccount:
    """An account as a review sees it: what it may do, since when, and when somebody last came in by it.

    `is_due`: it is to be decided now, by somebody else than its own person.
    """

    id: UUID
    name: str
    sign_in_name: str | None
    is_integration: bool
    roles: list[str]
    is_powerful: bool
    since: datetime
    used_at: datetime | date | None
    reviewed_at: datetime | None
    is_due: bool


def accounts_to_review(
    session: Session, organization_id: UUID, at: datetime, *, lock: bool = False
) -> list[ReviewedAccount]:
    """Return the accounts of an organization that are not disabled, by name, in three statements.

    With `lock`, none of them is disabled or given roles until the transaction ends.
    """
    options = (selectinload(User.grants), selectinload(User.organization))
    statement = select(User).where(User.organization_id == organization_id, User.disabled_at.is_(None))
    statement = statement.options(*options).order_by(User.display_name, User.id)
    if lock:
        statement = statement.with_for_update(of=User)
    users = session.scalars(statement, execution_options={"populate_existing": True}).all()
    decided = (
        select(AccessReviewLine.user_id, AccessReviewLine.roles, AccessReview.at)
        .join(AccessReview, AccessReview.id == AccessReviewLine.review_id)
        .where(AccessReview.organization_id == organization_id)
    )
    last = {user_id: (roles, when) for user_id, roles, when in session.execute(decided.order_by(AccessReview.at))}
    uses = (
        select(ApiToken.user_id, func.max(ApiTokenUse.used_on))
        .join(ApiTokenUse, ApiTokenUse.token_id == ApiToken.id)
        .join(User, User.id == ApiToken.user_id)
        .where(User.organization_id == organization_id)
        .group_by(ApiToken.user_id)
    )
    used = {row[0]: row[1] for row in session.execute(uses)}
    found = []
    for user in users:
        is_integration, roles = user.integration_at is not None, sorted(user.roles)
        before, reviewed_at = last.get(user.id, (None, None))
        is_fresh = reviewed_at is not None and at - reviewed_at < REVIEW_ROUND and before == roles
        found.append(
            ReviewedAccount(
                id=user.id,
                name=user.display_name,
                sign_in_name=None if is_integration else user.sign_in_name,
                is_integration=is_integration,
                roles=[str(role) for role in roles],
                is_powerful=not POWERFUL.isdisjoint(roles),
                since=user.added_at,
                used_at=used.get(user.id) if is_integration else user.last_signed_in_at,
                reviewed_at=reviewed_at,
                is_due=not is_fresh,
            )
        )
    return found


def to_review_for(session: Session, actor: Actor) -> list[ReviewedAccount]:
    """Return the accounts of the actor's organization as a review sees them.

    Raises:
        NotPermittedError: the actor is no administrator; the refusal is on record (S-210).
    """
    require_administrator(session, actor, REVIEWS)
    return accounts_to_review(session, actor.organization, clock(session))


@dataclass(frozen=True, slots=True)
class ReviewState:
    """When a review was last signed, until when every account is to be reviewed, and whether that day has passed."""

    last_at: datetime | None
    due_on: date
    is_overdue: bool


def review_state(session: Session, organization_id: UUID, at: datetime, *, zone: str) -> ReviewState:
    """Return how the review of an organization's accounts stands, in one statement.

    Overdue is what some account was not decided in for 365 days, or, if it never was, since it was made: so nobody's
    own account, which somebody else reviews, is forgotten behind a signature on the others.
    """
    decided = (
        select(AccessReviewLine.user_id, func.max(AccessReview.at).label("at"))
        .join(AccessReview, AccessReview.id == AccessReviewLine.review_id)
        .where(AccessReview.organization_id == organization_id)
        .group_by(AccessReviewLine.user_id)
        .subquery()
    )
    oldest = (
        select(func.min(func.coalesce(decided.c.at, User.added_at)))
        .outerjoin(decided, decided.c.user_id == User.id)
        .where(User.organization_id == organization_id, User.disabled_at.is_(None))
    )
    last = select(func.max(AccessReview.at)).where(AccessReview.organization_id == organization_id)
    since, last_at = session.execute(select(oldest.scalar_subquery(), last.scalar_subquery())).one()
    due_at = (since or at) + REVIEWED_WITHIN
    return ReviewState(last_at, day_of(due_at, zone), is_overdue=at > due_at)


@dataclass(frozen=True, slots=True)
class ListedReview:
    """A signed review in a list: who signed it, when, and how many accounts it decided."""

    id: UUID
    at: datetime
    by: UUID | None
    by_name: str | None
    accounts: int


def reviews_for(session: Session, actor: Actor, *, after: UUID | None = None) -> tuple[list[ListedReview], UUID | None]:
    """Return a page of the signed reviews of the actor's organization, newest first, and the id to go on after.

    Raises:
        NotPermittedError: the actor neither administers nor audits; the refusal is on record (S-210).
    """
    _require_reader_of_reviews(session, actor)
    lines = select(func.count()).where(AccessReviewLine.review_id == AccessReview.id).scalar_subquery()
    statement = select(AccessReview, lines).where(AccessReview.organization_id == actor.organization)
    if after is not None:
        statement = statement.where(AccessReview.id < after)
    rows = session.execute(statement.order_by(AccessReview.id.desc()).limit(REVIEWS_SHOWN + 1)).all()
    who = names(session, {row.by for row, _count in rows})
    shown = [
        ListedReview(row.id, row.at, row.by, who.get(row.by) if row.by is not None else None, count)
        for row, count in rows[:REVIEWS_SHOWN]
    ]
    return shown, shown[-1].id if len(rows) > REVIEWS_SHOWN else None


@dataclass(frozen=True, slots=True)
class ReviewLine:
    """What was decided about one account; `is_still_open`: it was to be changed, and nothing has changed yet."""

    user_id: UUID
    name: str
    roles: list[str]
    decision: str
    is_still_open: bool


@dataclass(frozen=True, slots=True)
class SignedReview(ListedReview):
    """A signed review with its lines, by name."""

    lines: Sequence[ReviewLine]


def review_for(session: Session, actor: Actor, review_id: UUID) -> SignedReview:
    """Return one signed review of the actor's organization.

    Raises:
        NotPermittedError: as `reviews_for`. NotFoundError: there is none with this id, or it is elsewhere.
    """
    _require_reader_of_reviews(session, actor)
    mine = select(AccessReview).where(
        AccessReview.id == review_id, AccessReview.organization_id == actor.organization_id
    )
    row = session.scalars(mine.options(selectinload(AccessReview.lines))).one_or_none()
    if row is None:
        refuse(session, actor, REVIEWS, row_type="access_review", target=review_id, purpose="administration")
        raise NotFoundError
    asked = {line.user_id for line in row.lines} | ({row.by} if row.by is not None else set())
    known = select(User).where(User.id.in_(asked)).options(selectinload(User.grants))
    users = {user.id: user for user in session.scalars(known)}
    lines = [
        ReviewLine(
            line.user_id,
            users[line.user_id].display_name,
            line.roles,
            line.decision,
            line.decision == CHANGE
            and users[line.user_id].disabled_at is None
            and sorted(users[line.user_id].roles) == line.roles,
        )
        for line in row.lines
    ]
    lines.sort(key=lambda one: (one.name.casefold(), one.user_id))
    by_name = users[row.by].display_name if row.by is not None else None
    return SignedReview(row.id, row.at, row.by, by_name, len(lines), lines)


def _require_reader_of_reviews(session: Session, actor: Actor) -> None:
    if not p.reads_reviews(actor):
        whose, code = actor.organization_id, NotPermittedError.code
        refuse(session, actor, REVIEWS, row_type="organization", target=whose, purpose="administration", code=code)
        raise NotPermittedError
