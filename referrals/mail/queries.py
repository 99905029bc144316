"""Reading the outbox."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from referrals.account.models import MAIL_HOUR, AccountChange, MailChoice, User
from referrals.account.queries import user
from referrals.kernel import crypto
from referrals.kernel.actor import Actor
from referrals.mail.models import Mail, Notice
from referrals.organization.models import Organization


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


#: What of an account's changes cannot wait for the next sign-in: how it is entered, and that somebody tried.
GRAVE_CHANGES: Final = frozenset(
    {
        *("password_changed", "password_reset", "factor_added", "factor_replaced", "codes_made", "locked"),
        *("passkey_added", "passkey_removed", "passkey_copied", "sheet_added", "sheet_replaced", "sheet_lost"),
        *("issuer_added", "issuer_removed"),
        *("recovery_started", "recovery_used", "factor_lost"),
    }
)


def changed_lately(session: Session, since: datetime) -> list[AccountChange]:
    """Return the grave changes of accounts since then that their people have not looked at, oldest first."""
    statement = (
        select(AccountChange)
        .join(User, User.id == AccountChange.user_id)
        .where(
            AccountChange.at > since,
            AccountChange.what.in_(GRAVE_CHANGES),
            AccountChange.at > func.coalesce(User.changes_seen_at, User.added_at),
        )
    )
    return list(session.scalars(statement.order_by(AccountChange.at, AccountChange.id)))


def is_news(session: Session, actor: Actor, change_id: UUID, _at: datetime) -> bool:
    """Whether a change is of the actor's own account, and they have not looked at it."""
    row = session.get(AccountChange, change_id)
    if row is None or row.user_id != actor.me:
        return False
    seen_at = user(session, actor.me).changes_seen_at
    return seen_at is None or seen_at < row.at


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
