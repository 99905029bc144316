"""Jobs: written with their act or not at all, done once however many workers, tried again, dead in the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, insert, select, text, update
from sqlalchemy.orm import Session

from referrals.kernel import job as kernel
from referrals.kernel.actor import system
from referrals.kernel.command import Work
from referrals.kernel.errors import RuleBrokenError, UnrecordedWriteError
from referrals.kernel.job import (
    FIRST_PAUSE,
    KINDS,
    LEASE,
    LONGEST_ACT,
    MOST_TRIES,
    PERIODIC,
    Job,
    job_kind,
    queue,
    run_once,
    seen_until,
)
from referrals.kernel.look import LOOKS, declare_look, note
from referrals.kernel.orm import uuid7
from referrals.kernel.record import clock, commit, start_writing
from referrals.kernel.session import HouseSession

START = datetime(2026, 11, 3, 9, 0, tzinfo=UTC)


LOOKED = declare_look("person.job_looked", "a test")
LOOKS.pop(LOOKED)


class TooEarlyError(RuleBrokenError):
    code = "too_early"


@dataclasses.dataclass
class Hands:
    """What the jobs of these tests did, and the clock they go by."""

    now: datetime = START
    did: list[UUID | None] = dataclasses.field(default_factory=list)
    on_behalf: list[UUID | None] = dataclasses.field(default_factory=list)


@pytest.fixture
def hands() -> Iterator[Hands]:
    made = Hands()
    LOOKS[LOOKED] = "a test"
    kept, periodic = dict(KINDS), dict(PERIODIC)
    PERIODIC.clear()

    @job_kind("test_does")
    def does(_session: Session, target: UUID | None, behalf: UUID | None) -> None:
        made.did.append(target)
        made.on_behalf.append(behalf)

    @job_kind("test_refuses")
    def refuses(_session: Session, target: UUID | None, _behalf: UUID | None) -> None:
        made.did.append(target)
        raise TooEarlyError

    @job_kind("test_breaks")
    def breaks(session: Session, target: UUID | None, _behalf: UUID | None) -> None:
        made.did.append(target)
        session.info["looking"] = "left behind"
        raise ZeroDivisionError

    @job_kind("test_writes")
    def writes(session: Session, _target: UUID | None, _behalf: UUID | None) -> None:
        session.add(Job(kind="test_does", run_at=START))
        session.commit()

    yield made
    LOOKS.pop(LOOKED)
    KINDS.clear()
    KINDS.update(kept)
    PERIODIC.clear()
    PERIODIC.update(periodic)


@pytest.fixture
def session(any_session: HouseSession, hands: Hands) -> HouseSession:
    any_session.info["clock"] = lambda: hands.now
    return any_session


def put(session: HouseSession, kind: str, **values: object) -> UUID:
    """Queue a job as a command's flush would."""
    row = Job(id=uuid7(), kind=kind, **{"run_at": START} | values)
    start_writing(session)
    session.add(row)
    session.flush()
    commit(session)
    session.expunge_all()
    return row.id


def stored(session: HouseSession, job_id: UUID) -> Job:
    session.rollback()
    session.expire_all()
    return session.scalars(select(Job).where(Job.id == job_id)).one()


def test_a_kind_nobody_knows_cannot_be_queued_and_a_kind_is_declared_once(session: HouseSession, hands: Hands) -> None:
    work = Work(session, system(), "person.added", clock(session))
    with pytest.raises(LookupError):
        queue(work, "test_unknown")
    with pytest.raises(TypeError):
        job_kind("test_does")(KINDS["test_does"])
    assert hands.did == []


def test_a_queued_job_is_not_there_unless_its_act_commits(session: HouseSession) -> None:
    behalf = uuid4()
    actor = dataclasses.replace(system(), user_id=behalf)
    start_writing(session)
    queue(Work(session, actor, "person.added", clock(session)), "test_does", target=uuid4())
    session.flush()
    session.rollback()
    assert session.scalars(select(Job)).all() == []


def test_a_due_job_is_done_with_its_target_for_its_originator_once(session: HouseSession, hands: Hands) -> None:
    target, behalf = uuid4(), uuid4()
    actor = dataclasses.replace(system(), user_id=behalf)
    start_writing(session)
    queue(Work(session, actor, "person.added", clock(session)), "test_does", target=target, after=timedelta(minutes=1))
    session.flush()
    commit(session)
    assert run_once(session) == 0
    hands.now += timedelta(minutes=1)
    assert run_once(session) == 1
    assert run_once(session) == 0
    assert (hands.did, hands.on_behalf) == ([target], [behalf])


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("test_refuses", "too_early"),
        ("test_breaks", "ZeroDivisionError"),
        ("test_gone", "KeyError"),
        ("test_writes", "UnrecordedWriteError"),
    ],
)
def test_a_failed_job_keeps_a_code_and_waits_twice_as_long_each_time(
    session: HouseSession, hands: Hands, kind: str, code: str
) -> None:
    job_id = put(session, kind, target_id=uuid4())
    pause = FIRST_PAUSE
    for tried in range(1, MOST_TRIES):
        assert run_once(session) == 1
        row = stored(session, job_id)
        assert (row.attempts, row.error_code, row.lease_until, row.done_at, row.dead_at) == (
            tried,
            code,
            None,
            None,
            None,
        )
        assert row.run_at == hands.now + pause
        hands.now = row.run_at - timedelta(seconds=1)
        assert run_once(session) == 0
        hands.now = row.run_at
        pause *= 2
    assert run_once(session) == 1
    row = stored(session, job_id)
    assert (row.attempts, row.dead_at, row.error_code) == (MOST_TRIES, hands.now, code)
    hands.now += timedelta(days=365)
    assert run_once(session) == 0
    assert "looking" not in session.info


def test_a_periodic_job_keeps_up_to_when_a_whole_run_has_seen_everything(session: HouseSession, hands: Hands) -> None:
    def seen() -> datetime | None:
        session.rollback()
        return session.scalar(select(seen_until("test_does")))

    PERIODIC["test_does"] = 60
    assert seen() is None
    assert run_once(session) == 1
    assert seen() == START - LONGEST_ACT
    hands.now += timedelta(minutes=1)
    assert run_once(session) == 1
    assert seen() == hands.now - LONGEST_ACT
    KINDS["test_does"] = KINDS["test_breaks"]
    before, hands.now = seen(), hands.now + timedelta(minutes=1)
    assert run_once(session) == 1
    assert seen() == before, "what broke off may have left something unseen"


def test_a_job_whose_worker_died_is_taken_up_after_its_lease_but_not_for_ever(
    session: HouseSession, hands: Hands
) -> None:
    job_id = put(session, "test_does")
    for tried in range(1, MOST_TRIES + 1):
        taken = kernel._claim(session)
        assert taken is not None
        assert taken.attempts == tried
        assert kernel._claim(session) is None
        hands.now += LEASE + timedelta(seconds=1)
    assert run_once(session) == 1
    assert hands.did == []
    row = stored(session, job_id)
    assert (row.dead_at, row.error_code) == (hands.now, "worker_died")


def test_a_worker_that_overran_its_lease_no_longer_decides(
    session: HouseSession, hands: Hands, engine: Engine, open_on: Callable[[Engine], HouseSession]
) -> None:
    job_id = put(session, "test_refuses")
    slow = kernel._claim(session)
    assert slow is not None
    hands.now += LEASE + timedelta(seconds=1)
    with open_on(engine) as other:
        other.info["clock"] = lambda: hands.now
        assert kernel._claim(other) is not None
    kernel._run(session, slow)
    row = stored(session, job_id)
    assert (row.attempts, row.error_code) == (2, None)
    assert row.lease_until == hands.now + LEASE


def test_many_workers_do_each_job_once(
    session: HouseSession, hands: Hands, engine: Engine, open_on: Callable[[Engine], HouseSession]
) -> None:
    targets = [uuid4() for _ in range(60)]
    start_writing(session)
    session.execute(
        insert(Job),
        [{"id": uuid7(), "kind": "test_does", "target_id": t, "run_at": START, "attempts": 0} for t in targets],
    )
    commit(session)

    def work(_number: int) -> int:
        with open_on(engine) as mine:
            mine.info["clock"] = lambda: hands.now
            return run_once(mine)

    with ThreadPoolExecutor(4) as pool:
        ran = list(pool.map(work, range(4)))
    assert sum(ran) == 60
    assert sorted(map(str, hands.did)) == sorted(map(str, targets))


def test_a_periodic_job_is_planted_once_runs_each_time_and_survives_its_faults(
    session: HouseSession, hands: Hands, engine: Engine, open_on: Callable[[Engine], HouseSession]
) -> None:
    PERIODIC["test_breaks"] = 60

    def start(_number: int) -> int:
        with open_on(engine) as mine:
            mine.info["clock"] = lambda: hands.now
            return run_once(mine)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(start, range(4))) == 1
    for _ in range(MOST_TRIES + 2):
        hands.now += timedelta(seconds=60)
        assert run_once(session) == 1
    session.rollback()
    rows = session.scalars(select(Job)).all()
    assert [(row.kind, row.every, row.attempts, row.error_code, row.dead_at) for row in rows] == [
        ("test_breaks", 60, 0, "ZeroDivisionError", None)
    ]


def test_a_job_that_looks_without_finishing_leaves_no_look_to_the_next(session: HouseSession, hands: Hands) -> None:
    @job_kind("test_looks")
    def looks(mine: Session, _target: UUID | None, _behalf: UUID | None) -> None:
        note(mine, system(), records=LOOKED, purpose="administration", count=0)

    put(session, "test_looks")
    put(session, "test_does", run_at=START + timedelta(seconds=1))
    hands.now += timedelta(seconds=1)
    assert run_once(session) == 2
    assert "looking" not in session.info
    assert hands.did == [None]


def test_a_job_row_is_bookkeeping_yet_raw_sql_still_does_not_pass(session: HouseSession) -> None:
    put(session, "test_does")
    with pytest.raises(UnrecordedWriteError):
        session.execute(text("DELETE FROM job"))
    session.rollback()
    assert session.execute(update(Job).values(owner="x"), execution_options={"synchronize_session": False}) is not None
    session.rollback()
