"""Reading accounts. What a sign-in's token stands for is decided here, for every request anew (S-206)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from typing import Final, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, Uuid, and_, bindparam, exists, func, or_, select
from sqlalchemy.orm import Session, joinedload, selectinload

from referrals.account import policy as p
from referrals.account.models import (
    ATTEMPTS_WITHIN,
    CHANGE,
    ENROLL,
    FULL,
    IDLE_AFTER,
    MAIL_HOUR,
    MAIL_HOURS,
    NEW_PASSWORD,
    POWERFUL,
    RECOVERY_CODES,
    REVIEW_DECISIONS,
    REVIEW_ROUND,
    REVIEWED_WITHIN,
    ROLES,
    RULES,
    SCOPES_OF_SIDE,
    SECOND_FACTOR,
    TOKEN_ROLES,
    WORDING,
    AccessReview,
    AccessReviewLine,
    AccountChange,
    ApiToken,
    ApiTokenUse,
    FailedAttempt,
    Limits,
    Mail,
    MailChoice,
    Notice,
    RecoveryCode,
    RoleGrant,
    RoleProposal,
    RulesAcknowledgment,
    SecondFactor,
    SignIn,
    SignInUse,
    User,
    is_emergency_over,
    is_over,
    is_past_last_day,
    rules_count,
    step_of,
    token_hash,
)
from referrals.kernel import crypto
from referrals.kernel.actor import Actor, Role, Side, Source
from referrals.kernel.errors import NotFoundError, NotPermittedError
from referrals.kernel.look import declare_look, refuse
from referrals.kernel.orm import names_by_id, uuid7, written
from referrals.kernel.record import clock, day_of
from referrals.organization.models import Organization

__all__ = [
    "ENROLL",
    "FULL",
    "MAIL_HOURS",
    "NEW_PASSWORD",
    "POWERFUL",
    "RECOVERY_CODES",
    "REVIEW_DECISIONS",
    "ROLES",
    "RULES",
    "SCOPES_OF_SIDE",
    "SECOND_FACTOR",
    "TOKEN_ROLES",
    "WORDING",
    "MailChoice",
]


#: A refused reading of an organization's accounts. Readings that succeed are about no participant and not recorded.
PEOPLE = declare_look("account.people_viewed", "the accounts of an organization")


def limits(session: Session) -> Limits:
    """Return how long sign-ins last. Tests and development may set `session.info["limits"]`, shorter (S-906)."""
    return cast("Limits", session.info.get("limits") or Limits())


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


def own_sign_ins(actor: Actor) -> Select[SignIn]:
    """Select the actor's own sign-ins."""
    return select(SignIn).where(SignIn.user_id == actor.user_id)


def this_sign_in(actor: Actor) -> Select[SignIn]:
    """Select the sign-in the actor acts through."""
    return own_sign_ins(actor).where(SignIn.id == actor.sign_in_id)


def own_factors(actor: Actor) -> Select[SecondFactor]:
    """Select the actor's own second factors."""
    return select(SecondFactor).where(SecondFactor.user_id == actor.user_id)


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


# --- what a sign-in has and stands for -------------------------------------------------------------------------------


def factor_of(session: Session, user_id: UUID) -> SecondFactor | None:
    """Return the second factor in force."""
    statement = select(SecondFactor).where(
        SecondFactor.user_id == user_id, SecondFactor.confirmed_at.is_not(None), SecondFactor.ended_at.is_(None)
    )
    return session.scalars(statement).one_or_none()


def pending_factor(session: Session, user_id: UUID) -> SecondFactor | None:
    """Return the second factor that waits for its first code."""
    statement = select(SecondFactor).where(
        SecondFactor.user_id == user_id, SecondFactor.confirmed_at.is_(None), SecondFactor.ended_at.is_(None)
    )
    return session.scalars(statement.order_by(SecondFactor.id.desc()).limit(1)).one_or_none()


def recovery_codes(session: Session, user_id: UUID) -> list[RecoveryCode]:
    """Return the recovery codes not used or replaced yet, by number."""
    statement = select(RecoveryCode).where(
        RecoveryCode.user_id == user_id, RecoveryCode.used_at.is_(None), RecoveryCode.ended_at.is_(None)
    )
    return list(session.scalars(statement.order_by(RecoveryCode.number)))


def last_acknowledgment(session: Session, user_id: UUID) -> RulesAcknowledgment | None:
    """Return when somebody last acknowledged rules of behavior, in whichever wording."""
    statement = select(RulesAcknowledgment).where(RulesAcknowledgment.user_id == user_id)
    return session.scalars(statement.order_by(RulesAcknowledgment.at.desc()).limit(1)).one_or_none()


#: How many of the newest changes of an account are told.
CHANGES_TOLD: Final = 50


def changes(session: Session, actor: Actor) -> list[AccountChange]:
    """Return what changed on the actor's account, newest first, at most 50."""
    statement = select(AccountChange).where(AccountChange.user_id == actor.me)
    newest_first = statement.order_by(AccountChange.at.desc(), AccountChange.id.desc())
    return list(session.scalars(newest_first.limit(CHANGES_TOLD)))


def failed_lately(session: Session, user: User | None, at: datetime) -> int:
    """Count the wrong sign-ins of the last quarter of an hour, since the last complete one (S-101); nobody has none."""
    since = at - ATTEMPTS_WITHIN
    if user is not None and user.counted_from is not None:
        since = max(since, user.counted_from)
    whose = user.id if user is not None else uuid7()
    counted = select(func.count()).where(FailedAttempt.user_id == whose, FailedAttempt.at > since)
    return session.scalar(counted) or 0


def live_sign_ins(session: Session, user_id: UUID, at: datetime) -> list[SignIn]:
    """Return a user's sign-ins that nobody ended and that are not half a day old, newest first."""
    statement = select(SignIn).where(
        SignIn.user_id == user_id, SignIn.ended_at.is_(None), SignIn.started_at > at - limits(session).whole
    )
    return list(session.scalars(statement.order_by(SignIn.id.desc())))


@dataclass(frozen=True, slots=True)
class WhereSignedIn:
    """One line of "where am I signed in"."""

    id: UUID
    started_at: datetime
    used_at: datetime
    ends_at: datetime
    channel: str
    complete: bool
    this: bool


def is_fresh(session: Session, actor: Actor, at: datetime) -> bool:
    """Whether whoever acts gave a second factor within the last ten minutes (S-113)."""
    found = session.get(SignIn, actor.sign_in_id) if actor.sign_in_id is not None else None
    return found is not None and found.is_fresh(at)


def where_signed_in(session: Session, actor: Actor) -> list[WhereSignedIn]:
    """Return the actor's sign-ins that still open something, newest first."""
    at, bounds = clock(session), limits(session)
    statement = (
        own_sign_ins(actor)
        .join(SignInUse, SignInUse.sign_in_id == SignIn.id)
        .add_columns(SignInUse.used_at)
        .where(SignIn.ended_at.is_(None), SignIn.started_at > at - bounds.whole)
        .order_by(SignIn.id.desc())
    )
    return [
        WhereSignedIn(
            id=one.id,
            started_at=one.started_at,
            used_at=used_at,
            ends_at=min(one.started_at + bounds.whole, used_at + bounds.idle),
            channel=one.channel,
            complete=one.second_factor_at is not None,
            this=one.id == actor.sign_in_id,
        )
        for one, used_at in session.execute(statement)
        if not one.is_over(at, used_at, bounds)
    ]


@dataclass(frozen=True, slots=True)
class Setup:
    """What an authenticator app needs: the text of the QR code, and the key to type in groups of four."""

    id: UUID
    uri: str
    key: str


def setup(session: Session, actor: Actor) -> Setup | None:
    """Return how to set up the actor's pending second factor; None when none waits."""
    factor = pending_factor(session, actor.me)
    if factor is None:
        return None
    seed = factor.seed
    groups = " ".join(seed[start : start + 4] for start in range(0, len(seed), 4))
    return Setup(factor.id, factor.uri(user(session, actor.me).sign_in_name), groups)


def people_for(
    session: Session, actor: Actor, *, after: UUID | None = None, limit: int = 50
) -> tuple[list[User], UUID | None]:
    """Return a page of the accounts of the actor's organization, and the id to go on after.

    Raises:
        NotPermittedError: the actor is no administrator; the refusal is on record (S-210).
    """
    _require_administrator(session, actor)
    return people_page(session, actor.organization, after=after, limit=limit)


def person_for(session: Session, actor: Actor, user_id: UUID) -> User:
    """Return one account of the actor's organization.

    Raises:
        NotPermittedError: the actor is no administrator. NotFoundError: there is none with this id, or it is elsewhere.
    """
    _require_administrator(session, actor)
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
    _require_administrator(session, actor)
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
    _require_administrator(session, actor)
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


def left(session: Session, organization_id: UUID, users: Iterable[UUID], *, limit: int = 100) -> list[User]:
    """Return those of these users whose account of this organization is disabled, whoever left last first."""
    gone = select(User).where(
        User.organization_id == organization_id, User.id.in_(set(users)), User.disabled_at.is_not(None)
    )
    return list(session.scalars(gone.order_by(User.disabled_at.desc(), User.id).limit(limit)))


def still_here(session: Session, users: Iterable[UUID]) -> set[UUID]:
    """Return which of these users' accounts are not disabled, in one statement."""
    return set(session.scalars(select(User.id).where(User.id.in_(set(users)), User.disabled_at.is_(None))))


def waiting(session: Session, organization_id: UUID, user_id: UUID | None = None) -> list[RoleProposal]:
    """Return the roles that wait for a second person in an organization, or for one of its users; oldest first."""
    about = exists().where(User.id == RoleProposal.user_id, User.organization_id == organization_id)
    statement = select(RoleProposal).where(RoleProposal.settled_at.is_(None), about).order_by(RoleProposal.id)
    return list(session.scalars(statement if user_id is None else statement.where(RoleProposal.user_id == user_id)))


def proposed_by(session: Session, user_id: UUID) -> list[RoleProposal]:
    """Return the roles that somebody proposed and nobody answered yet, oldest first, under lock."""
    theirs = select(RoleProposal).where(RoleProposal.settled_at.is_(None), RoleProposal.proposed_by == user_id)
    return list(session.scalars(theirs.order_by(RoleProposal.id).with_for_update(of=RoleProposal)))


def administrators(session: Session, organization_id: UUID, at: datetime) -> set[UUID]:
    """Return who administers an organization now.

    Somebody who is locked counts: an administrator can unlock them. Whoever is disabled or past their end does not.
    """
    found = session.scalars(colleagues(organization_id, Role.ADMINISTRATOR).options(selectinload(User.organization)))
    return {one.id for one in found if not one.is_ended(at)}


def _require_administrator(session: Session, actor: Actor, looks: str = PEOPLE) -> None:
    if not actor.works_as(Role.ADMINISTRATOR):
        whose = actor.organization_id
        code = NotPermittedError.code
        refuse(session, actor, looks, row_type="organization", target=whose, purpose="administration", code=code)
        raise NotPermittedError


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
    _require_administrator(session, actor, REVIEWS)
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


def actor_for(user: User, sign_in: SignIn, source: Source, *, step: str = FULL) -> Actor:
    """Return who acts through this sign-in. Until it is complete nobody has a role through it (S-103)."""
    return Actor(
        "user",
        user_id=user.id,
        organization_id=user.organization_id,
        side=Side(user.organization.side),
        roles=user.roles if step == FULL else frozenset(),
        sign_in_id=sign_in.id,
        source=source,
        zone=user.organization.time_zone,
    )


@dataclass(frozen=True, slots=True)
class Holder:
    """Whoever holds a token now, detached from the session."""

    actor: Actor
    step: str
    sign_in_name: str
    display_name: str
    language: str | None
    organization: str
    time_zone: str
    used_at: datetime
    ends_at: datetime
    has_factor: bool
    #: Whether something changed on the account before this sign-in that its person has not looked at (S-806).
    has_news: bool


#: Everything a request asks about whoever holds a token, in one statement that is built once: a row for each role.
_HOLDING: Final = (
    select(
        SignIn.id,
        SignIn.user_id,
        SignIn.started_at,
        SignIn.ended_at,
        SignIn.second_factor_at,
        SignInUse.used_at,
        User.organization_id,
        User.sign_in_name,
        User.display_name,
        User.language,
        User.one_time_until,
        User.disabled_at,
        User.ends_on,
        User.emergency_until,
        Organization.name.label("organization"),
        Organization.side,
        Organization.time_zone,
        Organization.ended_at.label("left_at"),
        RoleGrant.role,
        exists()
        .where(
            SecondFactor.user_id == SignIn.user_id,
            SecondFactor.confirmed_at.is_not(None),
            SecondFactor.ended_at.is_(None),
        )
        .label("has_factor"),
        select(func.max(RulesAcknowledgment.at))
        .where(RulesAcknowledgment.user_id == SignIn.user_id, RulesAcknowledgment.wording == bindparam("wording"))
        .scalar_subquery()
        .label("acknowledged_at"),
        # Before this sign-in: what somebody does during it they have before their eyes.
        exists()
        .where(
            AccountChange.user_id == SignIn.user_id,
            AccountChange.at < SignIn.started_at,
            AccountChange.at > func.coalesce(User.changes_seen_at, User.added_at),
        )
        .label("has_news"),
    )
    .join(SignInUse, SignInUse.sign_in_id == SignIn.id)
    .join(User, User.id == SignIn.user_id)
    .join(Organization, Organization.id == User.organization_id)
    .outerjoin(RoleGrant, and_(RoleGrant.user_id == User.id, RoleGrant.ended_at.is_(None)))
    .where(SignIn.token_hash == bindparam("token_hash"))
)


def holder(session: Session, token: str, source: Source) -> Holder | None:
    """Return who holds this token now, in one statement; None when it opens nothing (any more).

    Over are sign-ins that ended, were left idle or are half a day old, those of users who are disabled or past their
    last day or emergency, and those of organizations that take part no more. Until a sign-in is complete nobody has a
    role through it (S-103).
    """
    at, bounds = clock(session), limits(session)
    rows = session.execute(_HOLDING, {"token_hash": token_hash(token), "wording": WORDING}).all()
    if not rows:
        return None
    held = rows[0]
    if is_over(held.ended_at, held.started_at, held.used_at, at, bounds):
        return None
    if held.disabled_at is not None or held.left_at is not None:
        return None
    if is_past_last_day(held.ends_on, at, held.time_zone) or is_emergency_over(held.emergency_until, at):
        return None
    step = step_of(
        is_given=held.second_factor_at is not None,
        must_change=held.one_time_until is not None,
        has_factor=held.has_factor,
        knows_rules=rules_count(held.acknowledged_at, held.started_at),
    )
    return Holder(
        actor=Actor(
            "user",
            user_id=held.user_id,
            organization_id=held.organization_id,
            side=Side(held.side),
            roles=frozenset(Role(row.role) for row in rows if row.role is not None) if step == FULL else frozenset(),
            sign_in_id=held.id,
            source=source,
            zone=held.time_zone,
        ),
        step=step,
        sign_in_name=held.sign_in_name,
        display_name=held.display_name,
        language=held.language,
        organization=held.organization,
        time_zone=held.time_zone,
        used_at=held.used_at,
        ends_at=min(held.started_at + bounds.whole, held.used_at + bounds.idle),
        has_factor=held.has_factor,
        has_news=held.has_news,
    )


# --- API tokens ------------------------------------------------------------------------------------------------------

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
    _require_administrator(session, actor, TOKENS)
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
    _require_administrator(session, actor, TOKENS)
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


def demo_code(session: Session, sign_in_name: str, at: datetime) -> str:
    """Return a second-factor code that works now, for `./dev code NAME`: development only (S-906).

    It is the first code not used yet among the present one and the next: it can be asked for twice within 30 seconds.

    Raises:
        NotFoundError: no such account, or it has no second factor yet.
    """
    factor, present = _demo_factor(session, sign_in_name, at)
    return factor.code_of(min(max(present, (factor.last_step or 0) + 1), present + 1))


def demo_code_ready_in(session: Session, sign_in_name: str, at: datetime) -> float:
    """Return the seconds until `demo_code()` has a code that was not used yet: 0 unless two were, within 30 seconds."""
    factor, present = _demo_factor(session, sign_in_name, at)
    return max(0.0, (factor.last_step or 0) * 30 - at.timestamp()) if (factor.last_step or 0) > present else 0.0


def _demo_factor(session: Session, sign_in_name: str, at: datetime) -> tuple[SecondFactor, int]:
    found = by_name(session, sign_in_name)
    factor = factor_of(session, found.id) if found is not None else None
    if factor is None:
        raise NotFoundError
    return factor, int(at.timestamp()) // 30


# --- the outbox ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sorted:
    """What waits in the outbox, as of now: by person, the notices that it is time for; those nobody is to be told."""

    due: dict[UUID, list[UUID]]
    unwanted: list[UUID]


def to_mail(session: Session, at: datetime) -> Sorted:
    """Sort what waits in the outbox, in one statement."""
    reachable = crypto.column_of(User, "email").is_not(None)
    waiting = (
        select(Notice, User.mail_choice, User.mail_hour, Organization.time_zone, reachable)
        .join(User, User.id == Notice.user_id)
        .join(Organization, Organization.id == User.organization_id)
        .where(Notice.mail_id.is_(None), Notice.dropped_at.is_(None))
        .order_by(Notice.user_id, Notice.id)
    )
    due: dict[UUID, list[UUID]] = {}
    unwanted = []
    for notice, chosen, hour, zone, has_address in session.execute(waiting):
        choice = MailChoice(chosen or MailChoice.DAILY)
        if choice is MailChoice.NONE or not has_address:
            unwanted.append(notice.id)
        elif notice.is_due(choice, MAIL_HOUR if hour is None else hour, zone, at):
            due.setdefault(notice.user_id, []).append(notice.id)
    return Sorted(due, unwanted)


def told_by(session: Session, mail_id: UUID) -> list[Notice]:
    """Return the notices that go with a mail."""
    return list(session.scalars(select(Notice).where(Notice.mail_id == mail_id).order_by(Notice.id)))


def unreached(session: Session, users: Iterable[UUID]) -> dict[UUID, datetime]:
    """Return since when mail to each of these people fails, in one statement; not those whom a later one reached."""
    last_failed, last_sent = func.max(Mail.failed_at), func.max(Mail.sent_at)
    statement = (
        select(Mail.user_id, last_failed)
        .where(Mail.user_id.in_(set(users)))
        .group_by(Mail.user_id)
        .having(last_failed.is_not(None), or_(last_sent.is_(None), last_failed > last_sent))
    )
    return {user_id: at for user_id, at in session.execute(statement) if at is not None}


def failed_mail(session: Session, *, limit: int = 100) -> list[tuple[datetime, str, str]]:
    """Return the last messages that could not be sent: when, to whose account, why. For the operator."""
    statement = (
        select(Mail.failed_at, User.sign_in_name, Mail.error_code)
        .join(User, User.id == Mail.user_id)
        .where(Mail.failed_at.is_not(None))
        .order_by(Mail.failed_at.desc())
        .limit(limit)
    )
    return [(at, name, code or "") for at, name, code in session.execute(statement) if at is not None]


def waiting_mail(session: Session) -> int:
    """Count the messages that the server has not taken yet. For the operator."""
    ended = Mail.sent_at, Mail.failed_at, Mail.dropped_at
    return session.scalar(select(func.count()).select_from(Mail).where(*(one.is_(None) for one in ended))) or 0
