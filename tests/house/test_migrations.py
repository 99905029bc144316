"""One history over two metadatas: one head, equal to the models, up and down on both databases, triggers in place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from alembic import command as alembic
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, MetaData, create_engine, inspect, text
from sqlalchemy.pool import NullPool

from audit.models import DATABASE_ONLY
from audit.models import Base as AuditBase
from referrals.kernel.orm import Base, make_engine

ROOT: Final = Path(__file__).resolve().parents[2]

#: The database's own rules, by the migration that makes them: a table rebuilt without them would be found here.
GUARDED: Final = {
    "0001": {"audit_event", "audit_subject"},
    "0003": {"disclosure"},
    "0009": {"consent", "declined_consent", "evidence", "evidence_part"},
    "0010": {"release_date"},
    "0011": {"loop_answer", "referral_step"},
    "0012": {"closing_report", "goal_outcome"},
    "0015": {"error_report"},
    "0017": {"amendment"},
    "0021": {"rules_acknowledgment"},
    "0029": {"access_review", "access_review_line"},
    "0030": {"place_confirmation"},
    "0031": {"death_record"},
}


def history(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    config.attributes["connection"] = connection
    return config


def revisions() -> list[str]:
    """Every revision, from the first to the head."""
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    found = [one.revision for one in ScriptDirectory.from_config(config).walk_revisions()]
    return list(reversed(found))


def go(engine: Engine, direction: Callable[[Config, str], object], revision: str) -> None:
    with engine.connect() as connection:
        direction(history(connection), revision)
        connection.commit()


@pytest.fixture
def blank_sqlite(tmp_path: Path) -> Iterator[Engine]:
    engine = make_engine(f"sqlite:///{tmp_path / 'blank.db'}", poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def blank_postgres(postgres_url: URL) -> Iterator[Engine]:
    server = create_engine(postgres_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS blank_house"))
        connection.execute(text("CREATE DATABASE blank_house"))
    url = postgres_url.set(database="blank_house").render_as_string(hide_password=False)
    engine = make_engine(url, poolclass=NullPool)
    yield engine
    engine.dispose()
    with server.connect() as connection:
        connection.execute(text("DROP DATABASE blank_house WITH (FORCE)"))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def blank(request: pytest.FixtureRequest) -> Engine:
    made: Engine = request.getfixturevalue(f"blank_{request.param}")
    return made


def tables(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(inspect(connection).get_table_names()) - {"alembic_version"}


def guards(engine: Engine) -> set[str]:
    """The tables that have a trigger which refuses updates, and one which refuses deletes."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            rows = connection.execute(text("SELECT tbl_name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
            said = [(table, sql.upper()) for table, sql in rows]
        else:
            rows = connection.execute(
                text(
                    "SELECT c.relname, pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
                    "WHERE NOT t.tgisinternal AND t.tgenabled = 'A'"
                )
            ).all()
            said = [(table, definition.upper()) for table, definition in rows]
    updates = {table for table, sql in said if re.search(r"BEFORE[^\n]*\bUPDATE\b", sql)}
    deletes = {table for table, sql in said if re.search(r"BEFORE[^\n]*\bDELETE\b", sql)}
    return updates & deletes


def test_there_is_one_head_and_numbers_without_a_gap() -> None:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    script = ScriptDirectory.from_config(config)
    assert len(script.get_heads()) == 1, (
        "Two migrations follow the same one: set down_revision of the later to the earlier."
    )
    assert revisions() == [f"{number:04}" for number in range(1, len(revisions()) + 1)]
    files = [path.name for path in sorted((ROOT / "migrations" / "versions").glob("*.py"))]
    assert [name[:4] for name in files] == revisions()
    assert all(re.fullmatch(r"\d{4}_[a-z_]+\.py", name) for name in files)


def _compared(connection: Connection, metadata: list[MetaData]) -> list[Any]:
    def ours(name: str | None, _kind: str, *_more: object) -> bool:
        return name not in DATABASE_ONLY

    context = MigrationContext.configure(
        connection,
        opts={"compare_type": True, "include_object": lambda _o, name, kind, *_r: ours(name, kind)},
    )
    return list(compare_metadata(context, metadata))  # type: ignore[arg-type]  # a sequence is taken too


def test_models_equal_the_head(engine: Engine) -> None:
    # Tests map classes of their own, which no migration knows.
    with engine.connect() as connection:
        differences = _compared(connection, [Base.metadata, AuditBase.metadata])
    told = "\n".join(str(one) for one in differences)
    assert differences == [], f"The models differ from the migrations; write what is missing into one:\n{told}"


def test_every_migration_goes_up_and_down_and_up_again(blank: Engine) -> None:
    stood: dict[str, set[str]] = {}
    expected: set[str] = set()
    for revision in revisions():
        go(blank, alembic.upgrade, revision)
        stood[revision] = tables(blank)
        expected |= GUARDED.get(revision, set())
        assert guards(blank) == expected, f"after {revision}: a guarded table lost its triggers, or GUARDED is not told"
    assert stood[revisions()[-1]] >= set(Base.metadata.tables) | set(AuditBase.metadata.tables)
    for revision, below in zip(reversed(revisions()), [*reversed(revisions()[:-1]), "base"], strict=True):
        go(blank, alembic.downgrade, below)
        left = tables(blank)
        assert left == stood.get(below, set()), (
            f"{revision} does not go down cleanly: {sorted(left ^ stood.get(below, set()))}"
        )
        expected -= GUARDED.get(revision, set())
        assert guards(blank) == expected
    go(blank, alembic.upgrade, "head")
    assert tables(blank) == stood[revisions()[-1]]


def test_files_that_were_read_in_stay_when_they_learn_whose_they_are(blank: Engine) -> None:
    """0014 builds the table anew on SQLite: its rows go with it, up and down."""
    go(blank, alembic.upgrade, "0013")
    kept = {
        "id": "01890000000070008000000000000001",
        "revision": 1,
        "format": "hsds_3_0",
        "digest": "0" * 64,
        "name": "made-up.json",
        "added": 3,
        "changed": 2,
        "unchanged": 1,
        "refused": 0,
        "imported_at": "2026-11-22 12:00:00+00:00",
    }
    columns = ", ".join(kept)
    with blank.connect() as connection:
        places = ", ".join(f":{name}" for name in kept)
        connection.execute(text(f"INSERT INTO imported_file ({columns}) VALUES ({places})"), kept)  # noqa: S608  # ours
        connection.commit()

    def rows() -> list[Any]:
        with blank.connect() as connection:
            said = connection.execute(text("SELECT name, added, changed, unchanged, refused FROM imported_file"))
            return [tuple(row) for row in said]

    for direction, revision in ((alembic.upgrade, "0014"), (alembic.downgrade, "0013"), (alembic.upgrade, "head")):
        go(blank, direction, revision)
        assert rows() == [("made-up.json", 3, 2, 1, 0)]


def test_nothing_is_left_behind_by_going_down(blank: Engine) -> None:
    go(blank, alembic.upgrade, "head")
    go(blank, alembic.downgrade, "base")
    with blank.connect() as connection:
        if blank.dialect.name == "sqlite":
            left = (
                connection.execute(text("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"))
                .scalars()
                .all()
            )
        else:
            left = [
                *connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars(),
                *connection.execute(
                    text(
                        "SELECT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace "
                        "WHERE n.nspname = 'public'"
                    )
                ).scalars(),
            ]
    assert set(left) - {"alembic_version"} == set()


def test_the_history_makes_no_table_with_server_defaults_outside_the_log(engine: Engine) -> None:
    """Server-side defaults stand in `audit` alone: values come from Python, so that the event can carry them."""
    with engine.connect() as connection:
        inspector = inspect(connection)
        odd = [
            f"{table}.{column['name']}"
            for table in inspector.get_table_names()
            if not table.startswith(("audit_", "alembic_"))
            for column in inspector.get_columns(table)
            if column["default"] is not None and not str(column["default"]).startswith("nextval")
        ]
    assert odd == [], f"{odd}: give the value in Python."
