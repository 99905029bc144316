"""A canary in every restricted field turns up nowhere: no database file, WAL, log, error or repr holds it."""

from __future__ import annotations

import base64
import json
import logging
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Date,
    Engine,
    Integer,
    LargeBinary,
    Table,
    Uuid,
    event,
    inspect,
    select,
    text,
)
from sqlalchemy.pool import NullPool

from audit.models import AuditEvent
from referrals import app as factory
from referrals.kernel import command as kernel
from referrals.kernel import crypto
from referrals.kernel.actor import Actor, Role, system
from referrals.kernel.command import Work
from referrals.kernel.keys import KeyRing
from referrals.kernel.look import looking, note
from referrals.kernel.orm import Base, Identified, Instant, make_engine, uuid7
from referrals.kernel.session import HouseSession
from referrals.organization.models import Organization
from referrals.person.models import Person
from referrals.person.queries import SEARCHED
from tests.factories.account import a_case_manager
from tests.factories.organization import an_agency
from tests.factories.person import a_participant
from tests.factories.postgres import postgresql_programs
from tests.house.test_rooms import models

CANARY: Final = "Canarybird-Ünverwechselbar-7f3e"
#: A day nobody else has.
DAY: Final = date(1917, 7, 23)


def forms(canary: str) -> dict[str, bytes]:
    """What a careless writer would leave of it."""
    plain = canary.encode()
    return {
        "UTF-8": plain,
        "UTF-16-LE": canary.encode("utf-16-le"),
        "UTF-16-BE": canary.encode("utf-16-be"),
        "base64": base64.b64encode(plain)[2:-4],
        "base64, one on": base64.b64encode(b"x" + plain)[4:-4],
        "base64, two on": base64.b64encode(b"xx" + plain)[4:-4],
        "hex": plain.hex().encode(),
        "HEX": plain.hex().upper().encode(),
        "JSON": json.dumps(canary).strip('"').encode(),
        "folded": b"canarybird",
    }


def found_in(content: bytes) -> list[str]:
    return [name for name, form in forms(CANARY).items() if form in content] + (
        ["the day"] if DAY.isoformat().encode() in content else []
    )


def sealed_models() -> list[type[Identified]]:
    return [model for model in models() if issubclass(model, Identified) and crypto._plan(model).cells]


def content_for(kind: str) -> Any:
    """A canary of each kind of sealed value."""
    return {
        "text": CANARY,
        "octets": CANARY.encode(),
        "bytes": CANARY.encode(),
        "day": DAY,
        "date": DAY,
        "instant": datetime(1917, 7, 23, tzinfo=UTC),
        "integer": 7_317_000_000_000_000,
        "structure": {"said": [CANARY]},
        "json": {"said": [CANARY]},
        "boolean": True,
    }[kind]


def filler(column: Any) -> Any:
    """A harmless value for whatever a row needs beside."""
    kind = column.type
    name = type(kind).__name__
    made = [value for known, value in FILLERS.items() if isinstance(kind, known) or name == known.__name__]
    return made[0]() if made else f"filler{uuid7().hex[-8:]}"


FILLERS: Final[dict[type, Callable[[], Any]]] = {
    Uuid: uuid7,
    Boolean: bool,
    Integer: lambda: 1,
    Instant: lambda: datetime(2026, 11, 3, tzinfo=UTC),
    Date: lambda: date(2026, 11, 3),
    LargeBinary: lambda: uuid7().bytes,
    JSON: list,
}


def a_row(model: type[Identified], participant: UUID) -> Identified:
    """A row with a canary in each of its restricted fields, and whatever else it cannot be without."""
    values: dict[str, Any] = {}
    mapper = inspect(model)
    table = model.__table__
    assert isinstance(table, Table)
    for attribute in mapper.column_attrs:
        column = attribute.columns[0]
        skip = not isinstance(column, Column) or (
            column.info.get("class") == "restricted"
            or column.info.get("follows")
            or attribute.key in {"id", "revision"}
        )
        if not skip and not column.nullable and column.default is None:
            values[attribute.key] = filler(column)
    if model.__participant__ not in {None, "id"}:
        values[str(model.__participant__)] = participant
    if model.__row_category__ is not None:
        values[model.__row_category__] = "needs"
    row = model(**values)
    for name, cell in crypto._plan(model).cells.items():
        setattr(row, name, content_for(cell.kind.name))
    return row


@pytest.fixture
def loose(request: pytest.FixtureRequest) -> Any:
    """An engine that asks for no parents and checks no lists: only the sealing is under test."""
    on_postgresql = getattr(request, "param", "sqlite") == "postgres"
    yield from (_loose_postgresql if on_postgresql else _loose_sqlite)(request)


def _loose_postgresql(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine: Engine = request.getfixturevalue("postgres_engine")
    checks = "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0"
    with engine.begin() as connection:
        for table, name in connection.execute(text(checks)).all():
            connection.execute(text(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"'))

    def loosen(connection: Any, _entry: object) -> None:
        connection.execute("SET session_replication_role = replica")
        connection.commit()

    event.listen(engine, "connect", loosen)
    yield engine


def _loose_sqlite(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = make_engine(request.getfixturevalue("sqlite_url"), poolclass=NullPool)

    def loosen(connection: Any, _entry: object) -> None:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("PRAGMA ignore_check_constraints=ON")
        connection.execute("PRAGMA wal_autocheckpoint=0")

    event.listen(engine, "connect", loosen)
    with engine.connect():  # while somebody is connected, the write-ahead log stays
        yield engine
    engine.dispose()


@pytest.fixture
def session(loose: Engine, ring: KeyRing) -> Any:
    with HouseSession(loose, info={"ring": ring, "gates": factory.gates()}) as opened:
        yield opened


def save(session: HouseSession, row: Identified) -> None:
    work = Work(session, system("job"), "person.added", kernel.clock(session))
    kernel.start_writing(session)
    session.info["work"] = work
    work.add(row)
    kernel._finish(session, work)
    session.info.pop("work")


@pytest.fixture
def worker(session: HouseSession) -> Actor:
    return a_case_manager(session, an_agency(session).id)


@pytest.fixture
def participant(session: HouseSession, worker: Actor) -> Person:
    return a_participant(
        session,
        worker,
        given_name=CANARY,
        family_name=CANARY,
        preferred_name=CANARY,
        agency_number=CANARY,
        birth_date=DAY.isoformat(),
        address=CANARY,
    )


def test_the_forms_are_those_a_careless_writer_would_leave() -> None:
    for name, form in forms(CANARY).items():
        assert found_in(b"before" + form + b"after"), name
    assert found_in(b"x 1917-07-23 y") == ["the day"]


def test_every_room_with_restricted_fields_is_among_those_that_are_tried() -> None:
    named = {model.__tablename__ for model in sealed_models()}
    restricted = {
        card.table
        for card in crypto.classified(Base)
        if card.classed == "restricted" and card.table in Base.metadata.tables
    }
    assert named == restricted
    assert "person" in named


def plant(session: HouseSession, participant: Person) -> None:
    """Keep a row of every class that seals anything, with a canary in each of its fields."""
    rows = [a_row(model, participant.id) for model in sealed_models() if model is not Person]
    for row in rows:
        save(session, row)
    session.rollback()
    session.expire_all()
    assert rows
    for row in rows:
        for name, cell in crypto._plan(type(row)).cells.items():
            assert getattr(row, name) == content_for(cell.kind.name), f"{type(row).__name__}.{name} was not kept"
        assert found_in(repr(row).encode()) == []
    session.rollback()


def test_s309_a_canary_in_every_restricted_field_is_found_nowhere(
    session: HouseSession,
    loose: Engine,
    participant: Person,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        plant(session, participant)
    path = Path(str(loose.url.database))
    files = sorted(path.parent.glob(f"{path.name}*"))
    assert any(file.name.endswith("-wal") for file in files), "the write-ahead log is part of what is searched"
    leaks = {file.name: found_in(file.read_bytes()) for file in files}
    assert not any(leaks.values()), f"{leaks}: a column holds it in the clear. Declare it by sealed()."
    bodies = b"".join(session.scalars(select(AuditEvent.body)))
    assert len(bodies) > 1000
    assert found_in(bodies) == [], "the log holds ids, codes and names of fields, never content (L8)"
    said = capsys.readouterr()
    assert found_in((said.out + said.err + caplog.text).encode()) == []


@pytest.mark.postgres
@pytest.mark.parametrize("loose", ["postgres"], indirect=True)
def test_s309_no_file_log_or_dump_of_postgresql_holds_a_canary(
    session: HouseSession, loose: Engine, participant: Person
) -> None:
    plant(session, participant)
    public = session.scalars(select(Organization.name)).first()
    session.rollback()
    assert public is not None
    with loose.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CHECKPOINT"))  # what is only in memory goes to its files
        cluster = Path(connection.scalars(text("SHOW data_directory")).one())
        own = connection.scalars(text("SELECT oid FROM pg_database WHERE datname = current_database()")).one()
    files = [*(cluster / "base" / str(own)).iterdir(), *(cluster / "pg_wal").glob("0*"), cluster.parent / "log"]
    contents = {file.name: file.read_bytes() for file in files}
    programs = postgresql_programs()
    assert programs is not None
    where = ["--host", str(loose.url.query["host"]), "--username", str(loose.url.username), str(loose.url.database)]
    contents["the dump"] = subprocess.run([programs / "pg_dump", *where], check=True, capture_output=True).stdout
    assert public.encode() in contents["the dump"]
    assert sum(public.encode() in content for content in contents.values()) >= 3, "table, write-ahead log, dump"
    leaks = {name: found_in(content) for name, content in contents.items()}
    assert not any(leaks.values()), f"{leaks}: a column holds it in the clear. Declare it by sealed()."


def test_s309_what_a_search_was_for_is_sealed_too(session: HouseSession, worker: Actor) -> None:
    with looking(session):
        note(
            session,
            worker,
            records=SEARCHED,
            purpose="referral",
            count=0,
            words={"name": CANARY, "on": DAY.isoformat()},
        )
    bodies = b"".join(session.scalars(select(AuditEvent.body)))
    assert b"sealed" in bodies
    assert found_in(bodies) == []


def test_s504_an_error_about_a_sealed_value_carries_where_it_stands_and_no_byte_of_it(
    session: HouseSession, loose: Engine, participant: Person
) -> None:
    session.rollback()
    with loose.begin() as connection:
        other = connection.execute(text("SELECT hex(family_name) FROM person")).scalar_one()
        connection.exec_driver_sql("UPDATE person SET given_name = family_name")
    session.expire_all()
    with pytest.raises(crypto.UnsealError) as caught:
        _ = participant.given_name
    told = str(caught.value) + repr(caught.value) + repr(vars(caught.value))
    assert found_in(told.encode()) == []
    assert other not in told.upper()
    assert (caught.value.table, caught.value.column, caught.value.code) == ("person", "given_name", "altered")


def test_an_error_of_the_database_about_a_row_with_a_canary_does_not_quote_it(
    session: HouseSession, worker: Actor, participant: Person
) -> None:
    assert participant.agency_number
    with pytest.raises(Exception) as caught:  # noqa: PT011  # whatever it is, it quotes nothing
        a_participant(session, worker, agency_number=CANARY, given_name=CANARY)
    assert found_in(f"{caught.value!r} {caught.value} {caught.value.__cause__!r}".encode()) == []
    assert worker.works_as(Role.CASE_MANAGER)


def test_no_address_has_a_place_for_a_name(whole_app: Any) -> None:
    """S-309: names are searched by POST; what varies in an address is an id."""
    rules = [rule.rule for rule in whole_app.url_map.iter_rules() if rule.endpoint != "static"]
    odd = [one for one in rules if re.search(r"name|number|birth|phone|email", one)]
    allowed = [one for one in odd if re.search(r"/(name|contact|contacts|phone-\w+)$|participant-number", one)]
    assert sorted(set(odd) - set(allowed)) == []
