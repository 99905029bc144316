"""Reading sign-ins. What a sign-in's token stands for is decided here, for every request anew (S-206)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, bindparam, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from referrals.account.models import FULL, AccountChange, RoleGrant, User, is_emergency_over, is_past_last_day
from referrals.account.queries import by_name, user
from referrals.code_sheet import queries as sheets
from referrals.issuer import queries as issuers
from referrals.kernel.actor import Actor, Role, Side, Source
from referrals.kernel.errors import NotFoundError
from referrals.kernel.orm import uuid7
from referrals.kernel.record import clock
from referrals.organization.models import Organization
from referrals.passkey import queries as passkeys
from referrals.sign_in.models import (
    ATTEMPTS_WITHIN,
    RECOVERY_CODES,
    WORDING,
    FailedAttempt,
    Limits,
    RecoveryCode,
    RulesAcknowledgment,
    SecondFactor,
    SignIn,
    SignInUse,
    is_over,
    rules_count,
    step_of,
    token_hash,
)

__all__ = [
    "RECOVERY_CODES",
    "WORDING",
]


def limits(session: Session) -> Limits:
    """Return how long sign-ins last. Tests and development may set `session.info["limits"]`, shorter (S-906)."""
    return cast("Limits", session.info.get("limits") or Limits())


def own_sign_ins(actor: Actor) -> Select[SignIn]:
    """Select the actor's own sign-ins."""
    return select(SignIn).where(SignIn.user_id == actor.user_id)


def this_sign_in(actor: Actor) -> Select[SignIn]:
    """Select the sign-in the actor acts through."""
    return own_sign_ins(actor).where(SignIn.id == actor.sign_in_id)


def own_factors(actor: Actor) -> Select[SecondFactor]:
    """Select the actor's own second factors."""
    return select(SecondFactor).where(SecondFactor.user_id == actor.user_id)


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


def has_factor(session: Session, user_id: UUID) -> bool:
    """Whether a second factor was ever set up and not replaced: then a password alone sets up none (S-103).

    A sheet that was lost is one, too, and so are those that two colleagues said were lost (S-105): their owner comes
    in by a recovery code, or by a recovery, and not as on the first day.
    """
    return session.scalar(select(_is_held_by(user_id))) is True


def _is_held_by(user_id: InstrumentedAttribute[UUID] | UUID) -> ColumnElement[bool]:
    """Return the condition that somebody has, or lost, a second factor of whichever kind."""
    app = exists().where(
        SecondFactor.user_id == user_id, SecondFactor.confirmed_at.is_not(None), SecondFactor.ended_at.is_(None)
    )
    lost = exists().where(_lost.id == user_id, _lost.factor_lost_at.is_not(None))
    return or_(app, sheets.exists_for(user_id), passkeys.exists_for(user_id), issuers.exists_for(user_id), lost)


#: The statements that ask it may hold the user's row themselves.
_lost: Final = aliased(User)


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
    shared: bool
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
            ends_at=_end(one.started_at, used_at, bounds.on(shared=one.is_shared)),
            channel=one.channel,
            complete=one.second_factor_at is not None,
            shared=bool(one.is_shared),
            this=one.id == actor.sign_in_id,
        )
        for one, used_at in session.execute(statement)
        if not one.is_over(at, used_at, bounds)
    ]


def _end(started_at: datetime, used_at: datetime, bounds: Limits) -> datetime:
    return min(started_at + bounds.whole, used_at + bounds.idle)


def was_shared(session: Session, token: str) -> bool:
    """Whether a token that opens nothing (any more) was one of a sign-in on a shared computer."""
    return bool(session.scalar(select(SignIn.is_shared).where(SignIn.token_hash == token_hash(token))))


@dataclass(frozen=True, slots=True)
class Setup:
    """What an authenticator app needs: the text of the QR code, and the key to type in groups of four."""

    id: UUID
    uri: str
    key: str


def setup(session: Session, actor: Actor) -> Setup | None:
    """Return how to set up the actor's pending second factor; None when none waits.

    Where a second factor is in force, only to a sign-in that gave it, or was let in by a recovery: whoever knows the
    password alone must not read the key that its person is about to set up.
    """
    factor = pending_factor(session, actor.me)
    if factor is None:
        return None
    acting = session.get(SignIn, actor.sign_in_id) if actor.sign_in_id is not None else None
    if (acting is None or acting.second_factor_at is None) and has_factor(session, actor.me):
        return None
    seed = factor.seed
    groups = " ".join(seed[start : start + 4] for start in range(0, len(seed), 4))
    return Setup(factor.id, factor.uri(user(session, actor.me).sign_in_name), groups)


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
    #: When it would end, were it used now.
    ends_if_used_at: datetime
    #: Whether it is on a computer that several people use, and after how long it ends there unused.
    shared: bool
    idle: timedelta
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
        SignIn.is_shared,
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
        _is_held_by(SignIn.user_id).label("has_factor"),
        User.factor_lost_at.is_not(None).label("is_lost"),
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
    bounds = bounds.on(shared=held.is_shared)
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
        is_lost=held.is_lost,
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
        ends_at=_end(held.started_at, held.used_at, bounds),
        ends_if_used_at=_end(held.started_at, at, bounds),
        shared=bool(held.is_shared),
        idle=bounds.idle,
        has_factor=held.has_factor,
        has_news=held.has_news,
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
