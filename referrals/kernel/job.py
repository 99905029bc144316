"""Work to be done later, written in the same transaction as the act that caused it.

A job holds its kind and ids, never content. It is claimed by one `UPDATE … RETURNING` (safe among workers on both
databases), runs a function that itself executes commands as the originator, and is tried again with doubling pauses;
after eight tries it is dead and listed. Periodic jobs are rows with `every` seconds.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ScalarSelect, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, aliased

from referrals.kernel.command import Work
from referrals.kernel.errors import RefusedError
from referrals.kernel.look import forget
from referrals.kernel.orm import Base, public, uuid7
from referrals.kernel.record import clock, commit, start_writing

#: What a job kind does: gets a session, the job's target and the user on whose behalf it runs.
Doing = Callable[[Session, UUID | None, UUID | None], None]

LEASE: Final = timedelta(minutes=5)
#: No act is under way for longer before it commits: what carries an older instant was there for a run to see.
LONGEST_ACT: Final = timedelta(minutes=15)
FIRST_PAUSE: Final = timedelta(seconds=30)
MOST_TRIES: Final = 8

KINDS: dict[str, Doing] = {}
#: Periodic kinds and their seconds.
PERIODIC: dict[str, int] = {}


class Job(Base):
    """One piece of work to be done later. Bookkeeping: what it does leaves its own record."""

    __tablename__ = "job"
    __audited__ = False

    id: Mapped[UUID] = public(primary_key=True, default=uuid7)
    kind: Mapped[str] = public()
    target_id: Mapped[UUID | None] = public()
    behalf_id: Mapped[UUID | None] = public()
    run_at: Mapped[datetime] = public(index=True)
    every: Mapped[int | None] = public()
    attempts: Mapped[int] = public(default=0)
    lease_until: Mapped[datetime | None] = public()
    owner: Mapped[str | None] = public()
    dedupe_key: Mapped[str | None] = public(unique=True)
    error_code: Mapped[str | None] = public()
    done_at: Mapped[datetime | None] = public()
    dead_at: Mapped[datetime | None] = public()
    #: Of a periodic job: a whole run has seen all that happened before this instant.
    seen_until: Mapped[datetime | None] = public()


def seen_until(kind: str) -> ScalarSelect[datetime | None]:
    """Select up to which instant a periodic job has seen all that happened; NULL before its first whole run.

    A statement that rests on what such a job records looks for what happened since by itself, worker or no worker.
    """
    return select(Job.seen_until).where(Job.dedupe_key == kind).correlate(None).scalar_subquery()


def job_kind(name: str, *, every: int | None = None) -> Callable[[Doing], Doing]:
    """Declare what a kind of job does; `every` (seconds) makes it periodic."""

    def declare(doing: Doing) -> Doing:
        if name in KINDS:
            raise TypeError(f"job kind {name} is declared twice")
        KINDS[name] = doing
        if every is not None:
            PERIODIC[name] = every
        return doing

    return declare


def queue(work: Work, kind: str, *, target: UUID | None = None, after: timedelta = timedelta()) -> None:
    """Write a job with the act in progress: both happen, or neither."""
    if kind not in KINDS:
        raise LookupError(kind)
    work.keep(Job(kind=kind, target_id=target, behalf_id=work.actor.user_id, run_at=work.now + after))


def follow_up(session: Session, kind: str, *, target: UUID, at: datetime | None = None) -> None:
    """Write a job, for now or a later time, with the bookkeeping that another job is about to commit."""
    if kind not in KINDS:
        raise LookupError(kind)
    session.add(Job(kind=kind, target_id=target, run_at=at or clock(session)))


def run_once(session: Session) -> int:
    """Run every job that is due, and return how many were run. The worker calls this in a loop."""
    _plant_periodic(session)
    ran = 0
    while (job := _claim(session)) is not None:
        _run(session, job)
        ran += 1
    return ran


def _plant_periodic(session: Session) -> None:
    planted = set(session.scalars(select(Job.dedupe_key).where(Job.dedupe_key.in_(list(PERIODIC)))))
    missing = [name for name in PERIODIC if name not in planted]
    if not missing:
        session.rollback()
        return
    start_writing(session)
    session.add_all(Job(kind=name, every=PERIODIC[name], run_at=clock(session), dedupe_key=name) for name in missing)
    try:
        session.flush()
    except IntegrityError:  # another worker planted them meanwhile
        session.rollback()
        return
    commit(session)


def _claim(session: Session) -> Job | None:
    start_writing(session)
    now = clock(session)
    candidate = aliased(Job)
    due = (
        select(candidate.id)
        .where(
            candidate.run_at <= now,
            candidate.done_at.is_(None),
            candidate.dead_at.is_(None),
            or_(candidate.lease_until.is_(None), candidate.lease_until < now),
        )
        .order_by(candidate.run_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    claimed = session.scalars(
        update(Job)
        .where(Job.id == due)
        .values(lease_until=now + LEASE, owner=f"{socket.gethostname()}:{os.getpid()}"[:80], attempts=Job.attempts + 1)
        .returning(Job),
        execution_options={"populate_existing": True, "synchronize_session": False},
    ).one_or_none()
    commit(session)
    return claimed


def _run(session: Session, job: Job) -> None:
    claimed, every, attempts, began = job.id, job.every, job.attempts, clock(session)
    fault = _do(session, job) if attempts <= MOST_TRIES else "worker_died"  # each try before took its worker along
    start_writing(session)
    now = clock(session)
    values: dict[str, Any]
    if every is not None:
        values = {"run_at": now + timedelta(seconds=every), "attempts": 0, "error_code": fault}
        values |= {} if fault else {"seen_until": began - LONGEST_ACT}
    elif fault is None:
        values = {"done_at": now, "error_code": None}
    elif attempts >= MOST_TRIES:
        values = {"dead_at": now, "error_code": fault}
    else:
        values = {"run_at": now + FIRST_PAUSE * 2 ** (attempts - 1), "error_code": fault}
    # Whoever overran the lease has lost the job to a later claim, which counted one try more.
    mine = update(Job).where(Job.id == claimed, Job.attempts == attempts).values(values | {"lease_until": None})
    session.execute(mine, execution_options={"synchronize_session": False})
    commit(session)


def _do(session: Session, job: Job) -> str | None:
    """Do it, and return the code of what went wrong."""
    try:
        KINDS[job.kind](session, job.target_id, job.behalf_id)
    except RefusedError as refusal:
        return refusal.code
    except Exception as error:  # noqa: BLE001  # a job's fault must not stop the worker; its class is kept
        return type(error).__name__
    finally:
        forget(session)
        session.rollback()
    return None
