from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import URL, Connection, Engine, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from audit.event import Event
from audit.log import Question, append, find, missing_guards
from audit.models import DATABASE_ONLY, Base

AnEvent = Callable[..., Event]
Step = Callable[[Connection, str], None]
SQLITE_TRIGGERS = [f"{table}_no_{what}" for table in Base.metadata.tables for what in ("update", "delete", "replace")]
POSTGRESQL_TRIGGERS = [f"{table}_no_{what}" for table in Base.metadata.tables for what in ("change", "truncate")]


@pytest.fixture
def written(engine: Engine, an_event: AnEvent) -> Event:
    one = an_event()
    with engine.begin() as connection:
        append(connection, one)
    return one


def attempt(engine: Engine, *attacks: str, **values: object) -> None:
    with engine.begin() as connection:
        for attack in attacks:
            connection.execute(text(attack), values)


def stands(engine: Engine, written: Event) -> bool:
    with engine.connect() as connection:
        subjects = connection.execute(text("SELECT count(*) FROM audit_subject")).scalar_one()
        return [entry.event for entry in find(connection, Question())] == [written] and subjects == 1


# -- append-only -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE audit_event SET action = 'referral.sent'",
        "UPDATE audit_event SET body = body",
        "UPDATE audit_subject SET type = 'person'",
        "DELETE FROM audit_event",
        "DELETE FROM audit_subject",
        "WITH old AS (SELECT event_id FROM audit_event) DELETE FROM audit_event WHERE event_id IN (SELECT * FROM old)",
    ],
)
def test_nobody_changes_or_removes_a_row(engine: Engine, written: Event, attack: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"):
        attempt(engine, attack)
    assert stands(engine, written)


COLUMNS = "event_id, body, leaf_hash, at, action, outcome, object_type, object_id, object_rev"
FORGED = "body, leaf_hash, at, 'forged.done', outcome, object_type, object_id, object_rev FROM audit_event"

UPSERT = (
    f"INSERT INTO audit_event ({COLUMNS}) SELECT event_id, {FORGED} "
    "ON CONFLICT (event_id) DO UPDATE SET action = excluded.action"
)


@pytest.mark.parametrize(
    "attack",
    [
        f"INSERT OR REPLACE INTO audit_event ({COLUMNS}) SELECT event_id, {FORGED}",
        f"INSERT OR REPLACE INTO audit_event (id, {COLUMNS}) SELECT id, :other, {FORGED}",
        f"REPLACE INTO audit_event (id, {COLUMNS}) SELECT id, event_id, {FORGED}",
        UPSERT.replace("FROM audit_event", "FROM audit_event WHERE true"),
        f"INSERT INTO audit_event ({COLUMNS}) SELECT event_id, {FORGED} WHERE true ON CONFLICT DO NOTHING",
        "UPDATE OR REPLACE audit_event SET action = 'forged.done'",
        "INSERT OR REPLACE INTO audit_subject SELECT subject, event_id, 'forged' FROM audit_subject",
        "REPLACE INTO audit_subject SELECT subject, event_id, 'forged' FROM audit_subject",
    ],
)
def test_sqlite_replaces_no_row(sqlite_engine: Engine, an_event: AnEvent, attack: str) -> None:
    one = an_event()
    with sqlite_engine.begin() as connection:
        append(connection, one)
    with pytest.raises(DBAPIError, match="append-only"):
        attempt(sqlite_engine, attack, **({"other": UUID(int=7).hex} if ":other" in attack else {}))
    assert stands(sqlite_engine, one)


def test_sqlite_replaces_no_row_by_way_of_its_revision(sqlite_engine: Engine) -> None:
    values = "VALUES (:id, x'7b7d', zeroblob(32), '', '', '', 'a', 'b', 1)"
    row = f"INSERT OR REPLACE INTO audit_event ({COLUMNS}) {values}"
    attempt(sqlite_engine, row, id=UUID(int=1).hex)
    with pytest.raises(DBAPIError, match="append-only"):
        attempt(sqlite_engine, row, id=UUID(int=2).hex)
    with sqlite_engine.connect() as connection:
        assert connection.execute(text("SELECT event_id FROM audit_event")).scalars().all() == [UUID(int=1).hex]


@pytest.mark.postgres
@pytest.mark.parametrize("setting", ["origin", "replica", "local"])
@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE audit_event SET action = 'referral.sent'",
        "DELETE FROM audit_event",
        "TRUNCATE audit_event",
        "TRUNCATE audit_subject",
        "TRUNCATE audit_event, audit_subject CASCADE",
        "UPDATE audit_subject SET type = 'person'",
        "DELETE FROM audit_subject",
        UPSERT,
        "MERGE INTO audit_event e USING audit_subject s ON e.event_id = s.event_id WHEN MATCHED THEN DELETE",
    ],
)
def test_postgresql_refuses_even_the_superuser_in_every_replication_role(
    postgres_engine: Engine, an_event: AnEvent, attack: str, setting: str
) -> None:
    one = an_event()
    with postgres_engine.begin() as connection:
        append(connection, one)
    with pytest.raises(DBAPIError, match="append-only"):
        attempt(postgres_engine, f"SET LOCAL session_replication_role = {setting}", attack)
    assert stands(postgres_engine, one)


@pytest.mark.postgres
def test_postgresql_gives_the_order_itself(as_role: Callable[[str], Engine], postgres_engine: Engine) -> None:
    with pytest.raises(DBAPIError, match="GENERATED ALWAYS"):
        attempt(postgres_engine, "INSERT INTO audit_event (id, event_id) VALUES (1, gen_random_uuid())")
    with pytest.raises(DBAPIError, match="permission denied"):
        attempt(as_role("throughgate_web"), "INSERT INTO audit_event (event_id, xid) VALUES (gen_random_uuid(), '1')")


# -- what is missing is named ------------------------------------------------------------------------------------------


def test_a_fresh_log_lacks_nothing(engine: Engine) -> None:
    with engine.connect() as connection:
        assert missing_guards(connection) == []


def test_without_its_tables_the_log_is_named(tmp_path: Path) -> None:
    empty = create_engine(f"sqlite:///{tmp_path / 'empty.sqlite3'}", poolclass=NullPool)
    with empty.connect() as connection:
        assert missing_guards(connection) == sorted(f"trigger {name}" for name in SQLITE_TRIGGERS)


@pytest.mark.parametrize("name", SQLITE_TRIGGERS)
def test_a_missing_trigger_is_named_on_sqlite(sqlite_engine: Engine, name: str) -> None:
    attempt(sqlite_engine, f"DROP TRIGGER {name}")
    with sqlite_engine.connect() as connection:
        assert missing_guards(connection) == [f"trigger {name}"]


def test_a_trigger_that_does_nothing_is_named_on_sqlite(sqlite_engine: Engine) -> None:
    attempt(sqlite_engine, "DROP TRIGGER audit_event_no_update")
    attempt(sqlite_engine, "CREATE TRIGGER audit_event_no_update BEFORE UPDATE ON audit_event BEGIN SELECT 1; END")
    with sqlite_engine.connect() as connection:
        assert missing_guards(connection) == ["trigger audit_event_no_update"]


@pytest.mark.postgres
@pytest.mark.parametrize("how", ["DISABLE TRIGGER", "ENABLE TRIGGER", "ENABLE REPLICA TRIGGER", "DROP"])
@pytest.mark.parametrize("name", POSTGRESQL_TRIGGERS)
def test_a_trigger_missing_or_weakened_is_named_on_postgresql(postgres_engine: Engine, name: str, how: str) -> None:
    table = name.partition("_no_")[0]
    attempt(
        postgres_engine, f"DROP TRIGGER {name} ON {table}" if how == "DROP" else f"ALTER TABLE {table} {how} {name}"
    )
    with postgres_engine.connect() as connection:
        assert missing_guards(connection) == [f"trigger {name}"]


@pytest.mark.postgres
def test_a_hollow_trigger_function_and_a_missing_one_are_named(postgres_engine: Engine) -> None:
    attempt(
        postgres_engine,
        "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    )
    attempt(postgres_engine, "DROP FUNCTION audit_newest()")
    with postgres_engine.connect() as connection:
        missing = missing_guards(connection)
    assert missing[:5] == [*(f"trigger {name}" for name in POSTGRESQL_TRIGGERS), "function audit_newest()"]
    attempt(postgres_engine, "DROP TABLE audit_subject")
    with postgres_engine.connect() as connection:
        assert missing_guards(connection) == ["table audit_subject"]


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("GRANT SELECT ON audit_event TO throughgate_web", "throughgate_web must not have SELECT on audit_event"),
        (
            "GRANT SELECT (body) ON audit_event TO throughgate_web",
            "throughgate_web must not have SELECT on audit_event",
        ),
        ("GRANT UPDATE ON audit_event TO throughgate_web", "throughgate_web must not have UPDATE on audit_event"),
        ("GRANT INSERT (id) ON audit_event TO throughgate_web", "throughgate_web must not have INSERT on audit_event"),
        ("GRANT DELETE ON audit_subject TO PUBLIC", "throughgate_web must not have DELETE on audit_subject"),
        (
            "GRANT TRUNCATE ON audit_event TO throughgate_worker",
            "throughgate_worker must not have TRUNCATE on audit_event",
        ),
        (
            "GRANT INSERT ON audit_subject TO throughgate_sequencer",
            "throughgate_sequencer must not have INSERT on audit_subject",
        ),
        ("GRANT throughgate_owner TO throughgate_web", "throughgate_web must not have DELETE on audit_event"),
        ("REVOKE INSERT (body) ON audit_event FROM throughgate_web", "throughgate_web lacks INSERT on audit_event"),
        ("REVOKE INSERT ON audit_subject FROM throughgate_worker", "throughgate_worker lacks INSERT on audit_subject"),
        (
            "REVOKE SELECT ON audit_event FROM throughgate_oversight",
            "throughgate_oversight lacks SELECT on audit_event",
        ),
        (
            "REVOKE EXECUTE ON FUNCTION audit_newest() FROM throughgate_web",
            "throughgate_web lacks EXECUTE on audit_newest()",
        ),
    ],
)
def test_a_grant_too_few_or_too_many_is_named(postgres_engine: Engine, change: str, said: str) -> None:
    with postgres_engine.connect() as connection:  # never committed: membership in a role outlives the database
        connection.execute(text(change))
        assert said in missing_guards(connection)


# -- the migration itself ----------------------------------------------------------------------------------------------


def test_models_and_migration_agree(engine: Engine) -> None:
    found = inspect(engine)
    for table in Base.metadata.sorted_tables:
        columns = {column["name"]: bool(column["nullable"]) for column in found.get_columns(table.name)}
        assert {name: null for name, null in columns.items() if name not in DATABASE_ONLY} == {
            column.name: bool(column.nullable) for column in table.columns
        }
        indexes = {index["name"]: index["column_names"] for index in found.get_indexes(table.name)}
        uniques = {constraint["name"] for constraint in found.get_unique_constraints(table.name)}
        assert {
            name: columns for name, columns in indexes.items() if name not in DATABASE_ONLY and name not in uniques
        } == {index.name: [column.name for column in index.columns] for index in table.indexes}
        checks = {constraint["name"] for constraint in found.get_check_constraints(table.name)}
        assert checks == {str(check.name) for check in table.constraints if str(check.name).startswith("ck_")}


def test_it_goes_down_and_up_again_while_the_log_is_empty(engine: Engine, step: Step) -> None:
    with engine.begin() as connection:
        step(connection, "downgrade")
    with engine.connect() as connection:
        assert not set(inspect(connection).get_table_names()) & set(Base.metadata.tables)
    with engine.begin() as connection:
        step(connection, "upgrade")
        assert missing_guards(connection) == []


def test_it_does_not_go_down_once_the_log_holds_an_event(engine: Engine, written: Event, step: Step) -> None:
    with pytest.raises(RuntimeError, match="restore the backup"), engine.begin() as connection:
        step(connection, "downgrade")
    assert stands(engine, written)


@pytest.mark.postgres
def test_with_one_role_for_everything_the_triggers_hold(
    postgres_url: URL, postgres_template: str, step: Step, an_event: AnEvent
) -> None:
    assert postgres_template  # the roles exist by now, so they are hidden under other names for this transaction
    engine = create_engine(postgres_url, poolclass=NullPool)
    with engine.connect() as connection:
        for role in ("web", "worker", "oversight", "sequencer"):
            connection.execute(text(f"ALTER ROLE throughgate_{role} RENAME TO hidden_{role}"))
        step(connection, "upgrade")
        assert missing_guards(connection) == []
        append(connection, an_event())
        with pytest.raises(DBAPIError, match="append-only"):
            connection.execute(text("DELETE FROM audit_event"))
        connection.rollback()
