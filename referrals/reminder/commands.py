"""What the worker lets people be told of by mail, without anybody's act: reminders, and moves of the release."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy.orm import Session

from referrals.account import queries as accounts
from referrals.kernel.job import job_kind
from referrals.kernel.mail import post_of
from referrals.kernel.record import clock, day_of
from referrals.mail.commands import Told, ground, tell_by_job
from referrals.organization.models import Organization
from referrals.referral import queries as referrals
from referrals.referral.models import Party
from referrals.release import queries as releases
from referrals.reminder import queries as q

ground(q.HALF_USED)(q.is_still_theirs)
ground(q.OVERDUE)(q.is_still_overdue)
ground(q.MOVED)(q.is_move_told)


@job_kind("referral.remind", every=300)
def remind(session: Session, _target: UUID | None, _behalf: UUID | None) -> None:
    """Remind whoever it waits on once half of the time is used; once it is over, tell the supervisors of both sides.

    Each is told once of a deadline: the release date may move it, and that is no new reason.
    """
    if post_of(session) is None:
        return
    at = clock(session)
    for clocks in q.running(session, at):
        passed = [one for one in clocks if one.due <= at]
        sides = {one.referral.source_id for one in passed} | {one.referral.recipient_id for one in passed}
        supervisors = accounts.supervisors(session, sides) if sides else {}
        told = [one for running in clocks for one in _reminders(running, supervisors, at)]
        tell_by_job(session, told)


#: So long after it was recorded a move of the release is still told, should no worker have run meanwhile.
_MOVES_TOLD_WITHIN: Final = timedelta(days=2)


@job_kind("referral.tell_moves", every=300)
def tell_moves(session: Session, _target: UUID | None, _behalf: UUID | None) -> None:
    """Tell whoever works on a referral, at both sides, that the release moved since it was sent (E23, R24).

    Once for each move, however many referrals it concerns. Whether the day may be known to them is asked when the mail
    leaves; deadlines that moved with it are told by it, too.
    """
    if post_of(session) is None:
        return
    at = clock(session)
    moved = releases.moved_since(session, at - _MOVES_TOLD_WITHIN)
    concerned = q.concerned(session, moved)
    told: list[Told] = []
    for participant_id, rows in concerned.items():
        move, said = moved[participant_id]
        since = [row for row in rows if row.sent_at is not None and row.sent_at < move.at]
        sides = (Party.SOURCE, Party.RECIPIENT)
        people = {one for row in since for side in sides for one in referrals.people_of(row, side)}
        zone = session.get_one(Organization, said.organization_id).time_zone
        is_urgent = move.is_urgent(day_of(at, zone))
        told += [
            Told(one, q.MOVED, move.statement_id, str(move.statement_id), is_urgent)
            for one in sorted(people - {said.recorded_by})
        ]
    tell_by_job(session, told)


def _reminders(running: q.Running, supervisors: Mapping[UUID, list[UUID]], at: datetime) -> Iterator[Told]:
    row = running.referral
    occasion, is_urgent = f"{row.id}:{running.deadline}", row.urgency == "urgent"
    if running.due <= at:
        for user_id in (*supervisors.get(row.source_id, ()), *supervisors.get(row.recipient_id, ())):
            yield Told(user_id, q.OVERDUE, row.id, occasion, is_urgent)
    elif running.half_used_at <= at:
        for user_id in sorted(running.waiting_on):
            yield Told(user_id, q.HALF_USED, row.id, occasion, is_urgent)
