"""Rows written together are stored exactly as rows written one by one, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    Text,
    Uuid,
    event,
    insert,
    text,
)

from audit.models import Instant
from audit.rows import insert_together

PLACES = Table(
    "test_together",
    MetaData(),
    Column("place", Integer, primary_key=True),
    Column("id", Uuid()),
    Column("at", Instant()),
    Column("word", Text()),
    Column("count", Integer()),
    Column("done", Boolean()),
    Column("codes", JSON()),
)
EVERY_COLUMN = text('SELECT "id", "at", "word", "count", "done", "codes" FROM test_together ORDER BY place')
# PostgreSQL keeps neither NUL nor half a surrogate pair; no text gets that far.
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "id": st.none() | st.uuids(),
            "at": st.none() | st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-8))])),
            "word": st.none() | WORDS,
            "count": st.none() | st.integers(-(2**31), 2**31 - 1),
            "done": st.none() | st.booleans(),
            "codes": st.lists(WORDS, max_size=3),
        }
    ),
    min_size=1,
    max_size=5,
)


def _stored(connection: Connection) -> list[tuple[object, ...]]:
    found = [tuple(row) for row in connection.execute(EVERY_COLUMN)]
    connection.execute(PLACES.delete())
    return found


def test_rows_written_together_are_stored_as_rows_written_one_by_one(engine: Engine) -> None:
    with engine.connect() as connection:
        PLACES.create(connection)

        @settings(max_examples=60)
        @given(rows=ROWS)
        def same(rows: list[dict[str, object]]) -> None:
            placed = [{"place": place, **row} for place, row in enumerate(rows)]
            insert_together(connection, PLACES, placed)
            together = _stored(connection)
            for row in placed:
                connection.execute(insert(PLACES), row)
            assert together == _stored(connection)
            assert len(together) == len(rows)

        same()
        connection.rollback()


def test_no_rows_are_no_statement(engine: Engine) -> None:
    with engine.connect() as connection:
        insert_together(connection, PLACES, [])  # the table does not exist


def test_many_rows_are_few_statements(sqlite_engine: Engine) -> None:
    with sqlite_engine.connect() as connection:
        PLACES.create(connection)
        row = {"id": UUID(int=7), "at": datetime(2026, 11, 3, tzinfo=UTC), "word": 'a "quoted" ➜ one'}
        heard: list[str] = []
        event.listen(connection, "before_cursor_execute", lambda _c, _cursor, said, *_rest: heard.append(said))
        insert_together(connection, PLACES, [{"place": place, **row} for place in range(3_000)])
        assert len(heard) == 30
        assert connection.scalar(text("SELECT count(*) FROM test_together WHERE word = 'a \"quoted\" ➜ one'")) == 3_000
        connection.rollback()
