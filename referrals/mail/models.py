"""The outbox: who is to be told of what, and the messages that say so."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped

from referrals.account.models import MailChoice
from referrals.kernel.errors import RuleBrokenError
from referrals.kernel.orm import Base, public, uuid7
from referrals.kernel.record import day_of


class MailNotTakenError(RuleBrokenError):
    """The mail server has not taken a message yet; it is tried again."""

    code = "mail_not_taken"


class MailUnderWayError(RuleBrokenError):
    """Another worker is handing this message over."""

    code = "mail_under_way"


def digest_after(at: datetime, hour: int, zone: str) -> datetime:
    """Return the first moment after this one when the daily mail leaves: at that hour, on the clock of that place.

    An hour that a clock change skips comes an hour later by the new clock; of one that comes twice, the first counts.
    """
    place = ZoneInfo(zone)
    today = day_of(at, place)
    mornings = (datetime.combine(today + timedelta(days=n), time(hour), place).astimezone(UTC) for n in range(3))
    return next(one for one in mornings if one > at)


class Notice(Base):
    """That somebody is to be told of something: who, what kind, about which row. Ids alone, never content.

    Written in the transaction of the act that is told of; `dedupe_key` lets the same thing be told once. It goes with
    a mail, or is dropped: when it was time, its ground was gone, or the person wanted no mail.
    """

    __tablename__ = "notice"
    __audited__ = False
    __table_args__ = (
        Index(
            "ix_notice_waiting",
            "user_id",
            "id",
            sqlite_where=text("mail_id IS NULL AND dropped_at IS NULL"),
            postgresql_where=text("mail_id IS NULL AND dropped_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = public(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = public(ForeignKey("user.id"))
    kind: Mapped[str] = public(String(60))
    target_id: Mapped[UUID] = public()
    is_urgent: Mapped[bool] = public()
    at: Mapped[datetime] = public()
    dedupe_key: Mapped[str] = public(unique=True)
    mail_id: Mapped[UUID | None] = public(ForeignKey("mail.id"), index=True)
    dropped_at: Mapped[datetime | None] = public()

    def is_due(self, choice: MailChoice, hour: int, zone: str, now: datetime) -> bool:
        """Whether it is time to tell it to somebody who chose so."""
        if self.is_urgent or choice is MailChoice.AT_ONCE:
            return True
        return digest_after(self.at, hour, zone) <= now


class Mail(Base):
    """One message to one person, written from notices when it is sent. What it said is the same for everybody.

    `begun_at` is set before the server is spoken to and taken back when it is certain that it did not take the message:
    what was begun and came to no known end is never sent again.
    """

    __tablename__ = "mail"
    __audited__ = False

    id: Mapped[UUID] = public(primary_key=True, default=uuid7)
    user_id: Mapped[UUID] = public(ForeignKey("user.id"), index=True)
    at: Mapped[datetime] = public()
    tries: Mapped[int] = public(default=0)
    begun_at: Mapped[datetime | None] = public()
    sent_at: Mapped[datetime | None] = public()
    failed_at: Mapped[datetime | None] = public(index=True)
    dropped_at: Mapped[datetime | None] = public()
    error_code: Mapped[str | None] = public(String(40))
