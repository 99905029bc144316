"""Ids rise, instants are aware on both databases, engines are set as the house relies on, rows show no content."""

from __future__ import annotations

import copy
import pickle
import re
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any
from uuid import RFC_4122, UUID

import pytest
import time_machine
from sqlalchemy import Column, Engine, MetaData, Table, insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError
from sqlalchemy.pool import NullPool

from referrals.kernel import orm
from referrals.kernel.look import Seen
from referrals.kernel.orm import Instant, after_fork, make_engine, personal, uuid7, written


def test_an_id_is_a_uuid_of_version_7_with_its_millisecond() -> None:
    at = datetime(2026, 11, 3, 14, 0, 0, 123_000, tzinfo=UTC)
    made = uuid7(at)
    assert (made.version, made.variant) == (7, RFC_4122)
    assert made.int >> 80 == 1_793_714_400_123


def test_ids_of_one_process_rise_within_a_millisecond_across_threads_and_when_the_clock_steps_back() -> None:
    with time_machine.travel(datetime(2026, 11, 3, tzinfo=UTC), tick=False):
        here = [uuid7() for _ in range(20_000)]
    with time_machine.travel(datetime(2026, 11, 2, tzinfo=UTC), tick=False):
        here += [uuid7() for _ in range(10)]
    assert all(one < two for one, two in pairwise(here))
    with ThreadPoolExecutor(4) as pool:
        by_thread = list(pool.map(lambda _: [uuid7() for _ in range(2_000)], range(4)))
    assert len({one for made in by_thread for one in made}) == 8_000
    assert all(one < two for made in by_thread for one, two in pairwise(made))


def test_an_id_of_another_time_does_not_hold_up_the_ids_of_now() -> None:
    uuid7(datetime(2190, 1, 1, tzinfo=UTC))
    assert uuid7().int >> 80 < datetime(2189, 1, 1, tzinfo=UTC).timestamp() * 1000


def test_an_instant_without_a_zone_is_refused_before_the_database_sees_it(engine: Engine) -> None:
    table = Table("test_instant", MetaData(), Column("at", Instant()))
    table.create(engine)
    with engine.connect() as connection, pytest.raises(StatementError, match="needs a time zone"):
        connection.execute(insert(table).values(at=datetime(2026, 1, 1)))  # noqa: DTZ001  # that is the point


def test_an_instant_comes_back_aware_in_utc_to_the_microsecond(engine: Engine) -> None:
    table = Table("test_instant", MetaData(), Column("at", Instant()))
    table.create(engine)
    pacific = timezone(timedelta(hours=-8))
    given = datetime(2026, 11, 1, 1, 30, 0, 123_456, tzinfo=pacific)
    with engine.begin() as connection:
        connection.execute(insert(table), [{"at": given}, {"at": None}])
        back = connection.scalars(select(table.c.at).order_by(table.c.at.is_(None))).all()
        assert connection.scalar(select(table.c.at).where(table.c.at == given)) == given
    assert back == [given, None]
    assert back[0] is not None
    assert back[0].tzinfo is UTC


def test_sqlite_is_set_as_the_house_relies_on(sqlite_engine: Engine) -> None:
    with sqlite_engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in (
                "journal_mode",
                "synchronous",
                "foreign_keys",
                "busy_timeout",
                "secure_delete",
                "trusted_schema",
                "cache_size",
                "wal_autocheckpoint",
            )
        }
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
        "secure_delete": 1,
        "trusted_schema": 0,
        "cache_size": -8000,
        "wal_autocheckpoint": 4000,
    }


def test_what_writes_takes_sqlites_lock_at_once(sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orm, "_PATIENCE", 0.05)
    eager = sqlite_engine.execution_options(sqlite_begin="IMMEDIATE")
    with eager.connect() as first, eager.connect() as second:
        first.execute(text("SELECT 1"))
        with pytest.raises(OperationalError, match="locked"):
            second.execute(text("SELECT 1"))


def test_of_one_process_one_writer_stands_before_sqlites_lock_and_each_gets_its_turn(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orm, "_BETWEEN_TRIES", None)  # whoever waits for its turn never has to try again
    engine = make_engine(sqlite_url, pool_size=9)
    eager = engine.execution_options(sqlite_begin="IMMEDIATE")
    with eager.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE queue_canary (writer INTEGER)")
    waiting = threading.Barrier(8)

    def write(number: int) -> None:
        waiting.wait()
        for _ in range(5):
            with eager.connect() as connection:
                connection.execute(text("INSERT INTO queue_canary VALUES (:number)"), {"number": number})
                connection.commit()

    with ThreadPoolExecutor(8) as pool:
        for one in [pool.submit(write, number) for number in range(8)]:
            one.result()
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT writer, count(*) FROM queue_canary GROUP BY writer").all()
        connection.exec_driver_sql("DROP TABLE queue_canary")
        connection.commit()
    assert [tuple(row) for row in rows] == [(number, 5) for number in range(8)]
    engine.dispose()


def test_what_is_refused_for_another_reason_than_another_writer_is_refused_at_once(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orm, "_BETWEEN_TRIES", None)  # nobody waits, and tries again
    engine = make_engine(sqlite_url).execution_options(sqlite_begin="IMMEDIATE")
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA query_only=ON")
        with pytest.raises(OperationalError, match="readonly"):
            connection.execute(text("SELECT 1"))
    engine.dispose()


@pytest.mark.parametrize("ends", ["commit", "rollback", "close", "refused"])
def test_a_turn_to_write_is_left_however_it_ends(sqlite_url: str, ends: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orm, "_PATIENCE", 0.05)
    engine = make_engine(sqlite_url)
    eager = engine.execution_options(sqlite_begin="IMMEDIATE")
    elsewhere = sqlite3.connect(str(engine.url.database), isolation_level=None)
    with eager.connect() as connection:
        if ends == "refused":
            elsewhere.execute("BEGIN IMMEDIATE")
            with pytest.raises(OperationalError, match="locked"):
                connection.execute(text("SELECT 1"))
            elsewhere.execute("ROLLBACK")
        else:
            connection.execute(text("SELECT 1"))
            connection.invalidate() if ends == "close" else getattr(connection, ends)()
        with engine.connect() as another:
            writer: Any = another.connection.driver_connection
            assert writer.turn.acquire(timeout=0)
            writer.turn.release()
    elsewhere.close()
    engine.dispose()


@pytest.mark.postgres
def test_postgresql_is_set_as_the_house_relies_on(postgres_engine: Engine) -> None:
    with postgres_engine.connect() as connection:
        shown = {
            name: connection.execute(text(f"SHOW {name}")).scalar()
            for name in ("TimeZone", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        }
    assert shown == {
        "TimeZone": "UTC",
        "statement_timeout": "15s",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "30s",
    }


def test_an_error_of_the_database_shows_no_parameters(engine: Engine) -> None:
    table = Table("test_hidden", MetaData(), Column("id", Instant(), primary_key=True), Column("word", Instant()))
    table.create(engine)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    with engine.connect() as connection, pytest.raises(IntegrityError) as caught:
        connection.execute(insert(table), [{"id": at, "word": at}, {"id": at, "word": at}])
    assert "2026-01-01" not in str(caught.value).replace("DETAIL", "").split("[SQL")[-1]
    assert "parameters hidden" in str(caught.value)


def test_a_row_shows_class_and_id_and_leaves_no_copy() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    row = Seen(id=UUID(int=7), row_type="canary", row_id=uuid7(), user_id=uuid7(), at=at)
    assert repr(row) == f"<Seen {UUID(int=7)}>"
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="does not pickle"):
            way(row)  # type: ignore[operator]


def test_a_category_that_does_not_exist_is_refused_at_import() -> None:
    with pytest.raises(ValueError, match="gossip"):
        personal(category="gossip")


def test_a_child_process_starts_with_no_connection_of_its_parents(sqlite_url: str) -> None:
    engine = make_engine(sqlite_url)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    held = engine.pool.checkedin()  # type: ignore[attr-defined]
    kept = engine.pool
    after_fork(engine)
    assert held == 1
    assert engine.pool.checkedin() == 0  # type: ignore[attr-defined]
    kept.dispose()
    engine.dispose()


def test_postgres_urls_of_the_old_spelling_are_read() -> None:
    engine = make_engine("postgres://u@localhost/db", poolclass=NullPool)
    assert engine.dialect.name == "postgresql"
    assert engine.hide_parameters


def test_only_codes_are_written_into_a_statement() -> None:
    assert str(written("in_progress")) == "'in_progress'"
    assert str(written(1)) == "1"
    for typed in ("it's", "a;b", "a\\b", "é", "a\nb", "(select 1)"):
        with pytest.raises(ValueError, match=re.escape(typed)):
            written(typed)
