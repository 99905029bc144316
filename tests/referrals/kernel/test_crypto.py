"""Sealed columns and blind indexes on real databases: what opens, what refuses, what shows."""

from __future__ import annotations

import base64
import copy
import gc
import logging
import os
import pickle
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import (
    URL,
    Engine,
    ForeignKey,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy import (
    text as sql,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, StatementError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, defer, mapped_column, registry, relationship, sessionmaker
from sqlalchemy.pool import NullPool

from referrals.kernel import crypto
from referrals.kernel.crypto import (
    SealedComparisonError,
    SealedRowMovedError,
    SealedValueError,
    UnsealError,
    blind_index,
    boolean,
    confirmed,
    day,
    folded_name_and_day,
    folded_names,
    instant,
    integer,
    is_recorded,
    matches,
    names,
    numbers,
    octets,
    sealed,
    structure,
    text,
)
from referrals.kernel.keys import PARTICIPANT, DataKey, KeyMissingError, KeyRing, ring_of
from referrals.kernel.orm import Base, Identified, make_engine, public
from referrals.kernel.providers import FileProvider

AT = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
AGENCY, OTHER_AGENCY = uuid4(), uuid4()


APART = registry(
    metadata=MetaData(naming_convention=Base.metadata.naming_convention),
    type_annotation_map=Base.type_annotation_map,
)
ODD = registry(metadata=MetaData(), type_annotation_map=Base.type_annotation_map)


class Sandbox(Identified):
    """Test tables in a metadata and registry of their own: nothing of them reaches the service's."""

    __abstract__ = True
    metadata = APART.metadata
    registry = _sa_registry = APART


class Someone(Sandbox):
    __tablename__ = "someone"
    __participant__ = "id"

    agency_id: Mapped[UUID | None] = public()
    family_name = sealed(text, category="identity")
    given_name = sealed(text, category="identity", nullable=True)
    born = sealed(day, category="identity", nullable=True)
    number = sealed(text, category="identity", nullable=True)
    risk = sealed(text, category="supervision", nullable=True, padded=True)
    photo = sealed(octets, category="identity", nullable=True)
    children = sealed(integer, category="family", nullable=True)
    met_at = sealed(instant, category="contact", nullable=True)
    notes = sealed(structure, category="needs", nullable=True)
    veteran = sealed(boolean, category="needs", nullable=True)
    by_name = blind_index("family_name", names)
    by_folded_name = blind_index("family_name", folded_names)
    by_name_and_birth = blind_index(("family_name", "born"), folded_name_and_day)
    by_number = blind_index("number", numbers, bits=128, unique=True, partition="agency_id")


class Contact(Sandbox):
    __tablename__ = "contact"
    __participant__ = "someone_id"

    someone_id: Mapped[UUID] = mapped_column(ForeignKey("someone.id"), info={"class": "public"})
    family_name = sealed(text, category="family")
    someone: Mapped[Someone] = relationship(Someone)


class Worker(Sandbox):
    __tablename__ = "worker"
    __house_key__ = "staff"

    email = sealed(text)
    by_email = blind_index("email", crypto.addresses, bits=128, unique=True)


class Keyless(Sandbox):
    __tablename__ = "keyless"

    words = sealed(text, nullable=True)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    server, name = None, f"sealing_{os.getpid()}_{uuid4().hex[:8]}"
    address = f"sqlite:///{tmp_path}/throughgate.db"
    if request.param == "postgres":
        url: URL = request.getfixturevalue("postgres_url")
        server = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with server.connect() as connection:
            connection.execute(sql(f"CREATE DATABASE {name}"))
        address = url.set(database=name).render_as_string(hide_password=False)
    made = make_engine(address, poolclass=NullPool)
    Sandbox.metadata.create_all(made)
    DataKey.__table__.create(made)  # type: ignore[attr-defined]
    yield made
    made.dispose()
    if server is not None:
        with server.connect() as connection:
            connection.execute(sql(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def key_file(tmp_path: Path) -> FileProvider:
    return FileProvider.create(tmp_path / "keys" / "keys.json")


@pytest.fixture
def ring(key_file: FileProvider) -> KeyRing:
    return KeyRing(key_file)


@pytest.fixture
def open_session(engine: Engine, ring: KeyRing) -> sessionmaker[Session]:
    maker = sessionmaker(engine, info={"ring": ring}, expire_on_commit=False, autoflush=False)
    with maker() as session:
        ring.birth_house(session)
        session.commit()
    return maker


@pytest.fixture
def session(open_session: sessionmaker[Session]) -> Iterator[Session]:
    with open_session() as opened:
        yield opened


def add(session: Session, **values: Any) -> Someone:
    """Store somebody whose key is born with them."""
    one = Someone(**{"family_name": "Núñez", "agency_id": AGENCY} | values)
    ring_of(session).birth(session, PARTICIPANT, one.id)
    session.add(one)
    session.commit()
    return one


def reread(session: Session, one: Someone) -> Someone:
    session.expunge_all()
    ring_of(session).forget()
    return session.get_one(Someone, one.id)


def stored(session: Session, table: str = "someone", column: str = "family_name") -> list[bytes]:
    return [bytes(row[0]) for row in session.connection().execute(sql(f"SELECT {column} FROM {table} ORDER BY id"))]  # noqa: S608


def put(session: Session, table: str, column: str, row_id: UUID, envelope: bytes | None) -> None:
    """Write past the service, as someone with the database could."""
    found: Table = Sandbox.metadata.tables[table]
    session.connection().execute(update(found).where(found.c.id == row_id).values({column: envelope}))
    session.commit()


def unseal_code(row: Any, name: str = "family_name") -> str:
    with pytest.raises(UnsealError) as caught:
        getattr(row, name)
    return caught.value.code


# --- reading and writing ---------------------------------------------------------------------------------------------

EVERY_KIND = {
    "family_name": "Núñez 👩🏽‍🦱",
    "given_name": "",
    "born": date(1990, 2, 28),
    "number": "ab-12 34",
    "risk": "low",
    "photo": bytes(range(256)),
    "children": -3,
    "met_at": AT,
    "notes": {"b": [1, None, "ñ"], "a": True},
    "veteran": False,
}


def test_every_kind_comes_back_from_the_database(session: Session) -> None:
    one = add(session, **EVERY_KIND)
    for row in (one, reread(session, one)):
        assert {name: getattr(row, name) for name in EVERY_KIND} == EVERY_KIND


def test_nothing_recorded_stays_null(session: Session) -> None:
    one = reread(session, add(session))
    assert [one.given_name, one.born, one.risk, one.notes, one.veteran] == [None] * 5
    assert is_recorded(one, "family_name")
    assert not is_recorded(one, "given_name")
    assert session.scalar(select(Someone.id).where(crypto.column_of(Someone, "born").is_(None))) == one.id


def test_an_empty_text_is_recorded(session: Session) -> None:
    one = reread(session, add(session, given_name=""))
    assert is_recorded(one, "given_name")
    assert one.given_name == ""


def test_a_value_reads_back_before_the_flush_as_after_it(session: Session) -> None:
    one = Someone(family_name="Nu\u0301n\u0303ez", agency_id=AGENCY)
    assert one.family_name == "Núñez"
    ring_of(session).birth(session, PARTICIPANT, one.id)
    session.add(one)
    session.flush()
    assert one.family_name == "Núñez"


def test_two_megabytes_are_stored_and_more_is_refused_at_once(session: Session) -> None:
    one = add(session, photo=b"x" * crypto.octets.encode(b"x" * (2 * 1024 * 1024)).__len__())
    assert len(reread(session, one).photo or b"") == 2 * 1024 * 1024
    with pytest.raises(SealedValueError):
        one.photo = b"x" * (2 * 1024 * 1024 + 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("family_name", None), ("family_name", 5), ("born", AT), ("children", "3"), ("notes", {"a": 1.5}), ("veteran", 1)],
)
def test_a_wrong_value_is_refused_when_it_is_set(session: Session, name: str, value: object) -> None:
    one = add(session, **EVERY_KIND)
    with pytest.raises(SealedValueError):
        setattr(one, name, value)
    assert getattr(one, name) == EVERY_KIND[name]


def test_clearing_a_value_leaves_null(session: Session) -> None:
    one = add(session, given_name="Ana", number="17")
    one.given_name = None
    one.number = None
    session.commit()
    one = reread(session, one)
    assert one.given_name is None
    assert session.connection().execute(sql("SELECT given_name, by_number_index FROM someone")).one() == (None, None)


def test_a_structure_changed_in_place_changes_nothing_until_it_is_set(session: Session) -> None:
    one = add(session, notes={"goals": ["work"]})
    taken = one.notes
    assert isinstance(taken, dict)
    taken["goals"].append("forged")
    assert one.notes == {"goals": ["work"]}
    given = {"goals": ["home"]}
    one.notes = given
    given["goals"].append("forged")
    session.commit()
    assert reread(session, one).notes == {"goals": ["home"]}


def test_every_flush_seals_under_the_persons_key(session: Session) -> None:
    one, other = add(session), add(session)
    ids = {row.owner: row.id for row in session.scalars(select(DataKey).where(DataKey.purpose == PARTICIPANT))}
    for row, envelope in zip(sorted([one, other], key=lambda row: row.id), stored(session), strict=True):
        assert envelope[:6] == b"\xfe\x01" + ids[row.id].to_bytes(4, "big")
    session.add(Worker(email="ana@example.org"))
    session.commit()
    house = session.scalar(select(DataKey.id).where(DataKey.purpose == "staff"))
    assert stored(session, "worker", "email")[0][2:6] == (house or 0).to_bytes(4, "big")


def test_equal_values_never_look_equal_in_the_database(session: Session) -> None:
    for _ in range(20):
        add(session, risk="high")
    assert len({envelope[6:] for envelope in stored(session, column="risk")}) == 20
    assert {len(envelope) for envelope in stored(session, column="risk")} == {66}


# --- changes that are none -------------------------------------------------------------------------------------------


def test_setting_an_equal_value_changes_nothing(session: Session) -> None:
    one = reread(session, add(session, **EVERY_KIND))
    before = stored(session)
    for name, value in EVERY_KIND.items():
        setattr(one, name, copy.deepcopy(value))
    assert not session.is_modified(one)
    session.commit()
    assert one.revision == 1
    assert stored(session) == before


def test_changing_a_value_and_changing_it_back_changes_nothing(session: Session) -> None:
    one = reread(session, add(session))
    one.family_name = "Ochoa"
    one.family_name = "Núñez"
    session.commit()
    assert one.revision == 1
    assert one.family_name == "Núñez"


def test_one_changed_value_moves_one_column_and_the_revision(session: Session) -> None:
    one = reread(session, add(session, **EVERY_KIND))
    before = session.connection().execute(sql("SELECT * FROM someone")).mappings().one()
    one.risk = "high"
    one.family_name = EVERY_KIND["family_name"]
    session.commit()
    after = session.connection().execute(sql("SELECT * FROM someone")).mappings().one()
    assert {name for name in before if before[name] != after[name]} == {"risk", "revision"}
    assert one.revision == 2


def test_a_value_that_was_never_loaded_is_written_without_being_read(session: Session) -> None:
    one = add(session)
    session.expunge_all()
    row = session.scalars(select(Someone).options(defer(crypto.column_of(Someone, "family_name")))).one()
    statements: list[str] = []
    event.listen(session.get_bind(), "before_cursor_execute", lambda _c, _u, said, *_r: statements.append(said))
    row.family_name = "Ochoa"
    assert statements == []
    session.commit()
    assert reread(session, one).family_name == "Ochoa"


def test_a_value_that_is_not_asked_for_is_not_opened(session: Session) -> None:
    one = add(session)
    put(session, "someone", "given_name", one.id, b"\xfe\x01" + bytes(50))
    row = reread(session, one)
    assert row.family_name == "Núñez"
    with pytest.raises(UnsealError):
        row.given_name  # noqa: B018  # reading is the act


def test_a_refreshed_row_shows_what_is_stored_now(session: Session, open_session: sessionmaker[Session]) -> None:
    one = add(session)
    with open_session() as elsewhere:
        elsewhere.get_one(Someone, one.id).family_name = "Ochoa"
        elsewhere.commit()
    assert one.family_name == "Núñez"
    session.rollback()
    session.expire(one)
    assert "_opened" not in one.__dict__
    assert one.family_name == "Ochoa"
    one.family_name = "Pending"
    session.refresh(one)
    assert one.family_name == "Ochoa"


def test_a_detached_row_keeps_what_it_opened(session: Session) -> None:
    one = reread(session, add(session))
    assert one.family_name == "Núñez"
    session.expunge_all()
    assert one.family_name == "Núñez"


def test_a_detached_row_without_its_key_opens_nothing(session: Session) -> None:
    one = reread(session, add(session))
    session.expunge_all()
    assert unseal_code(one) == "detached"


def test_a_row_that_opened_one_value_asks_for_its_key_again_after_a_minute(
    engine: Engine, key_file: FileProvider, session: Session
) -> None:
    one = add(session, given_name="Ana", number="17")
    seconds = [1000.0]
    later = KeyRing(key_file, clock=lambda: seconds[0])
    with Session(engine, info={"ring": later}, expire_on_commit=False) as elsewhere:
        row = elsewhere.get_one(Someone, one.id)
        assert row.family_name == "Núñez"
        elsewhere.commit()
        with engine.begin() as connection:
            connection.execute(update(DataKey).where(DataKey.owner == one.id).values(status="destroyed", wrapped=None))
        assert row.given_name == "Ana"
        seconds[0] += 61
        assert unseal_code(row, "number") == "key_destroyed"


def test_a_row_read_anew_for_another_person_opens_nothing(session: Session) -> None:
    one, other = add(session), add(session)
    session.add(Contact(someone_id=one.id, family_name="Ruiz"))
    session.commit()
    contact = session.scalars(select(Contact)).one()
    assert contact.family_name == "Ruiz"
    put(session, "contact", "someone_id", contact.id, other.id)  # type: ignore[arg-type]
    again = session.scalars(select(Contact).execution_options(populate_existing=True)).one()
    assert again is contact
    assert unseal_code(again) == "wrong_key"


def test_a_rollback_expires_rows_that_nobody_holds(session: Session) -> None:
    one = add(session)
    del one
    gc.collect()
    session.rollback()
    assert session.scalars(select(Someone)).one().family_name == "Núñez"


# --- forgeries -------------------------------------------------------------------------------------------------------


def test_a_value_moved_to_another_row_column_table_or_person_does_not_open(session: Session) -> None:
    one, other = add(session, given_name="Ana"), add(session, given_name="Eva")
    session.add(Contact(someone_id=one.id, family_name="Núñez"))
    session.commit()
    contact = session.scalars(select(Contact)).one()
    envelopes = {row.id: row._family_name for row in (one, other, contact)}  # type: ignore[attr-defined]

    put(session, "someone", "family_name", other.id, envelopes[one.id])
    assert unseal_code(reread(session, other)) == "wrong_key"
    put(session, "someone", "given_name", one.id, envelopes[one.id])
    assert unseal_code(reread(session, one), "given_name") == "altered"
    put(session, "contact", "family_name", contact.id, envelopes[one.id])
    session.expunge_all()
    assert unseal_code(session.get_one(Contact, contact.id)) == "altered"
    put(session, "contact", "family_name", contact.id, envelopes[contact.id])
    put(session, "contact", "someone_id", contact.id, other.id)  # type: ignore[arg-type]
    session.expunge_all()
    assert unseal_code(session.get_one(Contact, contact.id)) == "wrong_key"


def test_a_value_between_rows_of_one_person_does_not_open(session: Session) -> None:
    one = add(session)
    for name in ("Ruiz", "Soto"):
        session.add(Contact(someone_id=one.id, family_name=name))
    session.commit()
    first, second = session.scalars(select(Contact).order_by(Contact.id)).all()
    put(session, "contact", "family_name", first.id, second._family_name)  # type: ignore[attr-defined]
    session.expunge_all()
    assert unseal_code(session.get_one(Contact, first.id)) == "altered"


@pytest.mark.parametrize(
    ("forge", "code"),
    [
        (lambda old: old[:-1] + bytes((old[-1] ^ 1,)), "altered"),
        (lambda old: old[:-1], "altered"),
        (lambda old: old + b"\0", "altered"),
        (lambda old: old[:2] + bytes(4) + old[6:], "unknown_key"),
        (lambda old: old[:2] + b"\xff\xff\xff\xff" + old[6:], "unknown_key"),
        (lambda old: b"\xfe\x02" + old[2:], "unknown_suite"),
        (lambda _: "Núñez".encode(), "not_sealed"),
        (lambda _: b"", "not_sealed"),
        (lambda old: old[:20], "too_short"),
    ],
)
def test_an_altered_value_is_an_error_and_never_a_placeholder(session: Session, forge: Any, code: str) -> None:
    one = add(session)
    put(session, "someone", "family_name", one.id, forge(stored(session)[0]))
    assert unseal_code(reread(session, one)) == code


@pytest.mark.parametrize(
    ("status", "code"),
    [("disabled", "key_disabled"), ("destroyed", "key_destroyed"), ("retiring", None), ("pending", None)],
)
def test_the_state_of_a_key_decides_what_opens_and_what_is_sealed(
    session: Session, status: str, code: str | None
) -> None:
    one = add(session)
    values = {"status": status} | ({"wrapped": None} if status == "destroyed" else {})
    session.connection().execute(update(DataKey).where(DataKey.owner == one.id).values(values))
    session.commit()
    one = reread(session, one)
    if code is None:
        assert one.family_name == "Núñez"
    else:
        assert unseal_code(one) == code
    one.family_name = "Ochoa"
    with pytest.raises(KeyMissingError):
        session.commit()


def test_a_value_that_cannot_be_opened_may_be_written_anew(session: Session) -> None:
    one = add(session)
    put(session, "someone", "family_name", one.id, b"damaged")
    one = reread(session, one)
    assert unseal_code(one) == "not_sealed"
    one.family_name = "Núñez"
    session.commit()
    assert reread(session, one).family_name == "Núñez"


def test_another_key_file_opens_nothing(session: Session, engine: Engine, tmp_path: Path) -> None:
    one = add(session)
    other = KeyRing(FileProvider.create(tmp_path / "other" / "keys.json"))
    with Session(engine, info={"ring": other}) as elsewhere:
        assert unseal_code(elsewhere.get_one(Someone, one.id)) == "epoch_wrong"


# --- what has to be in place -----------------------------------------------------------------------------------------


def test_a_person_without_a_key_is_not_stored(session: Session) -> None:
    session.add(Someone(family_name="Núñez", agency_id=AGENCY))
    with pytest.raises(KeyMissingError, match=r"ring\.birth"):
        session.flush()
    session.rollback()
    assert stored(session) == []


def test_a_row_about_nobody_is_not_stored(session: Session) -> None:
    session.add(Contact(family_name="Núñez"))
    with pytest.raises(TypeError, match="someone_id"):
        session.flush()


def test_a_class_without_a_key_seals_nothing_and_the_house_test_sees_it(session: Session) -> None:
    session.add(Keyless(words="x"))
    with pytest.raises(TypeError, match="__participant__ or __house_key__"):
        session.flush()
    assert [fault.code for fault in crypto.column_faults(Sandbox)] == ["no_sealing_key"]


def test_a_stored_row_keeps_its_id_and_its_person(session: Session) -> None:
    one, other = add(session), add(session)
    contact = Contact(someone_id=one.id, family_name="Ruiz")
    session.add(contact)
    session.commit()
    with pytest.raises(SealedRowMovedError):
        one.id = uuid4()
    with pytest.raises(SealedRowMovedError):
        contact.someone_id = other.id
    contact.someone_id = one.id
    session.expire(contact)
    with pytest.raises(SealedRowMovedError):
        contact.someone_id = other.id
    contact.someone = other
    with pytest.raises(SealedRowMovedError):
        session.flush()
    session.rollback()
    session.expunge_all()
    assert session.scalars(select(Contact)).one().family_name == "Ruiz"


def test_a_pending_value_never_reaches_the_driver(session: Session) -> None:
    one = add(session)
    pending = crypto.Pending("Canary")
    table = Sandbox.metadata.tables["someone"]
    with pytest.raises((TypeError, StatementError, DBAPIError)) as caught:
        session.connection().execute(update(table).where(table.c.id == one.id).values(family_name=pending))
    assert "Canary" not in str(caught.value)
    with pytest.raises(TypeError):
        memoryview(pending)  # type: ignore[arg-type]


# --- SQL cannot ask --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda: Someone.family_name == "x",
        lambda: Someone.family_name != "x",
        lambda: Someone.family_name < "x",  # type: ignore[operator]
        lambda: Someone.family_name.in_(["x"]),  # type: ignore[attr-defined]
        lambda: Someone.family_name.like("x%"),  # type: ignore[attr-defined]
        lambda: Someone.family_name.ilike("x%"),  # type: ignore[attr-defined]
        lambda: Someone.family_name.is_(None),  # type: ignore[attr-defined]
        lambda: Someone.family_name.desc(),  # type: ignore[attr-defined]  # noqa: PLW0108  # evaluated in the test
        lambda: "x" in Someone.family_name,  # type: ignore[operator]
        lambda: Someone.family_name + "x",  # type: ignore[operator]
        lambda: select(Someone.family_name),  # type: ignore[call-overload]
        lambda: select(Someone).order_by(Someone.family_name),  # type: ignore[arg-type]
        lambda: select(Someone).where(Someone.family_name),  # type: ignore[arg-type]
        lambda: Someone.by_name == b"x",
    ],
)
def test_comparing_a_sealed_column_names_the_index_to_ask(ask: Any) -> None:
    with pytest.raises(SealedComparisonError, match=r"matches\(session, Someone, 'by_name'"):
        ask()


def test_without_an_index_the_error_says_what_else_to_do() -> None:
    with pytest.raises(SealedComparisonError, match="in memory"):
        Someone.risk == "low"  # type: ignore[comparison-overlap]  # noqa: B015  # comparing is the act


def test_writes_past_the_sealing_are_recognized() -> None:
    table = Sandbox.metadata.tables["someone"]
    writes = [
        (insert(Someone).values(id=uuid4(), family_name=b"x"), None),
        (insert(table).values([{"id": uuid4()}, {"family_name": b"x"}]), None),
        (insert(table).values([(uuid4(), 1, None)]), None),
        (insert(table).from_select(["family_name"], select(table.c.given_name)), None),
        (update(Someone).values({Someone._family_name: b"x"}), None),  # type: ignore[attr-defined]
        (update(table).values(family_name=b"x"), None),
        (update(table).values(by_name_index=b"x"), None),
        (update(table).ordered_values((table.c.family_name, b"x")), None),
        (insert(Someone), [{"id": uuid4(), "family_name": b"x"}]),
        (insert(Someone), {"_family_name": b"x"}),
        (update(Someone), [{"id": uuid4(), "_risk": b"x"}]),
    ]
    assert [crypto.names_sealed_column(statement, given) for statement, given in writes] == [True] * len(writes)
    others = [
        (insert(Someone).values(id=uuid4(), agency_id=AGENCY), None),
        (update(Someone).values(agency_id=AGENCY), None),
        (insert(Someone), [{"id": uuid4(), "agency_id": AGENCY}]),
        (select(Someone), None),
        (sql("SELECT 1"), None),
    ]
    assert [crypto.names_sealed_column(statement, given) for statement, given in others] == [False] * len(others)


# --- blind indexes ---------------------------------------------------------------------------------------------------


def found(session: Session, name: str, *values: object, partition: object = None) -> list[str]:
    rows = session.scalars(select(Someone).where(matches(session, Someone, name, *values, partition=partition))).all()
    return sorted(row.family_name for row in confirmed(rows, name, *values))


def test_an_index_finds_what_is_equal_and_nothing_else(session: Session) -> None:
    for name in ("Núñez", "NUNEZ", "Nunes", "O'Brien"):
        add(session, family_name=name, born=date(1990, 1, 2))
    assert found(session, "by_name", "  núñez ") == ["Núñez"]
    assert found(session, "by_folded_name", "Nuñez") == ["NUNEZ", "Núñez"]
    assert found(session, "by_name", "nun") == []
    assert found(session, "by_name_and_birth", "obrien", date(1990, 1, 2)) == ["O'Brien"]
    assert found(session, "by_name_and_birth", "obrien", date(1990, 1, 3)) == []
    assert found(session, "by_name", "") == []
    assert found(session, "by_name", None) == []


def test_an_index_follows_its_values(session: Session) -> None:
    one = reread(session, add(session, born=date(1990, 1, 2)))
    one.family_name = "Ochoa"
    session.commit()
    assert found(session, "by_name", "núñez") == []
    assert found(session, "by_name", "ochoa") == ["Ochoa"]
    assert found(session, "by_name_and_birth", "ochoa", date(1990, 1, 2)) == ["Ochoa"]
    one = reread(session, one)
    one.born = None
    session.commit()
    assert found(session, "by_name_and_birth", "ochoa", date(1990, 1, 2)) == []
    assert session.connection().execute(sql("SELECT by_name_and_birth_index_v FROM someone")).scalar() is None


def test_a_truncated_index_proves_nothing(session: Session) -> None:
    """A row put into another's bucket is a candidate, and no match."""
    add(session, family_name="Núñez")
    other = add(session, family_name="Ochoa")
    bucket = crypto.index_value(session, Someone, "by_name", "núñez")
    put(session, "someone", "by_name_index", other.id, bucket)
    candidates = session.scalars(select(Someone).where(matches(session, Someone, "by_name", "núñez"))).all()
    assert len(candidates) == 2
    assert [row.family_name for row in confirmed(candidates, "by_name", "núñez")] == ["Núñez"]
    assert confirmed(candidates, "by_name", "") == []


def test_a_number_is_unique_within_its_agency_however_it_is_written(session: Session) -> None:
    add(session, number="ab-12 34", agency_id=AGENCY)
    add(session, number="AB1234", agency_id=OTHER_AGENCY)
    add(session, number=None, agency_id=AGENCY)
    add(session, number=None, agency_id=AGENCY)
    assert found(session, "by_number", "ab1234", partition=AGENCY) == ["Núñez"]
    with pytest.raises(IntegrityError) as caught:
        add(session, number="ＡＢ１２３４", agency_id=AGENCY)  # noqa: RUF001  # full-width, as some keyboards write
    assert "1234" not in str(caught.value)
    session.rollback()
    with pytest.raises(TypeError, match="agency_id"):
        matches(session, Someone, "by_number", "ab1234")


def test_of_twenty_who_take_a_number_at_once_one_gets_it(open_session: sessionmaker[Session], session: Session) -> None:
    def take(_: int) -> bool:
        with open_session() as own:
            own.connection(execution_options={"sqlite_begin": "IMMEDIATE"})
            try:
                add(own, number="ab-1")
            except IntegrityError:
                return False
            return True

    with ThreadPoolExecutor(20) as crowd:
        assert sorted(crowd.map(take, range(20))) == [False] * 19 + [True]
    assert found(session, "by_number", "AB1", partition=AGENCY) == ["Núñez"]
    assert session.scalar(select(func.count()).select_from(DataKey).where(DataKey.purpose == PARTICIPANT)) == 1


def test_a_number_moves_with_its_agency(session: Session) -> None:
    one = reread(session, add(session, number="17"))
    one.agency_id = OTHER_AGENCY
    session.commit()
    assert found(session, "by_number", "17", partition=AGENCY) == []
    assert found(session, "by_number", "17", partition=OTHER_AGENCY) == ["Núñez"]


def test_older_versions_of_an_index_are_asked_too(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    add(session)
    index = vars(Someone)["by_name"]
    monkeypatch.setattr(index, "version", 2)
    add(session)
    assert found(session, "by_name", "núñez") == ["Núñez"]
    monkeypatch.setattr(index, "also", (1,))
    assert found(session, "by_name", "núñez") == ["Núñez", "Núñez"]
    values = session.connection().execute(sql("SELECT by_name_index, by_name_index_v FROM someone ORDER BY 2")).all()
    assert [version for _, version in values] == [1, 2]
    assert values[0][0] != values[1][0]


def test_an_index_depends_on_the_root_table_and_name(session: Session, engine: Engine, tmp_path: Path) -> None:
    here = crypto.index_value(session, Someone, "by_number", "17", partition=AGENCY)
    assert here is not None
    assert len(here) == 16
    assert here == crypto.index_value(session, Someone, "by_number", "1-7", partition=AGENCY)
    assert here != crypto.index_value(session, Someone, "by_number", "17", partition=AGENCY, version=2)
    other = KeyRing(FileProvider.create(tmp_path / "other" / "keys.json"))
    with Session(engine, info={"ring": other}) as elsewhere:
        assert crypto.index_value(elsewhere, Someone, "by_number", "17", partition=AGENCY) != here


@pytest.mark.parametrize(("bits", "unique"), [(7, False), (17, False), (64, False), (256, False), (12, True)])
def test_an_index_of_another_size_is_refused(bits: int, unique: bool) -> None:
    with pytest.raises(ValueError, match="bits"):
        blind_index("family_name", names, bits=bits, unique=unique)


# --- the log's detail ------------------------------------------------------------------------------------------------


def test_detail_opens_in_its_event_and_for_its_person_only(session: Session) -> None:
    one, event_id = add(session), uuid4()
    detail = {"words": "Núñez", "count": 3}
    for owner in (one.id, None):
        envelope = crypto.seal_detail(session, owner, detail, event_id)
        assert crypto.open_detail(session, owner, envelope, event_id) == detail
        with pytest.raises(UnsealError) as caught:
            crypto.open_detail(session, owner, envelope, uuid4())
        assert caught.value.code == "altered"
        with pytest.raises(UnsealError) as caught:
            crypto.open_detail(session, None if owner else one.id, envelope, event_id)
        assert caught.value.code == "wrong_key"


def test_detail_about_someone_without_a_key_is_not_sealed(session: Session) -> None:
    with pytest.raises(KeyMissingError):
        crypto.seal_detail(session, uuid4(), {"words": "x"}, uuid4())
    with pytest.raises(SealedValueError):
        crypto.seal_detail(session, None, {"share": 0.5}, uuid4())


def test_a_page_opens_its_rows_with_one_query_for_keys(session: Session) -> None:
    for _ in range(25):
        add(session, given_name="Ana", born=date(1990, 1, 2))
    session.expunge_all()
    ring_of(session).forget()
    statements: list[str] = []
    event.listen(session.get_bind(), "before_cursor_execute", lambda _c, _u, said, *_r: statements.append(said))
    rows = session.scalars(select(Someone)).all()
    crypto.prefetch(session, [row.id for row in rows])
    assert {(row.family_name, row.given_name, row.born) for row in rows} == {("Núñez", "Ana", date(1990, 1, 2))}
    assert sum(said.startswith("SELECT") for said in statements) == 2


# --- nothing shows ---------------------------------------------------------------------------------------------------

CANARY = "Canary Ibáñez 7f3a"
CANARY_DAY = date(1907, 3, 31)


def spellings(words: str) -> list[bytes]:
    plain = words.encode()
    forms = [
        plain,
        words.encode("utf-16-le"),
        words.encode("utf-16-be"),
        plain.hex().encode(),
        plain.hex().upper().encode(),
    ]
    # A base64 text shows the same bytes in three phases; the ends, which depend on neighbors, are cut off.
    return forms + [base64.b64encode(b"x" * phase + plain)[4:-4] for phase in range(3)]


def everything_stored(engine: Engine, folder: Path) -> bytes:
    """Database and write-ahead log as bytes; of a server, whose files are not ours to read, every row as its dump."""
    if engine.dialect.name == "sqlite":
        files = [path for path in folder.iterdir() if path.is_file()]
        assert {path.name for path in files} >= {"throughgate.db", "throughgate.db-wal"}
        return b"".join(path.read_bytes() for path in files)
    with engine.connect() as connection:
        tables = [*Sandbox.metadata.tables, "data_key"]
        rows = [connection.scalars(sql(f"SELECT {name}::text FROM {name}")).all() for name in tables]  # noqa: S608
    return repr(list(zip(tables, rows, strict=True))).encode()


def test_no_canary_is_in_what_the_database_stores(engine: Engine, session: Session, tmp_path: Path) -> None:
    watching = engine.connect()  # the last one to close takes the write-ahead log away
    watching.execute(select(Someone.id)).all()
    one = add(
        session,
        family_name=CANARY,
        given_name=CANARY,
        born=CANARY_DAY,
        number=CANARY,
        risk=CANARY,
        photo=CANARY.encode(),
        notes={"x": CANARY},
    )
    session.add_all([Contact(someone_id=one.id, family_name=CANARY), Worker(email=CANARY)])
    crypto.seal_detail(session, one.id, {"words": CANARY}, uuid4())
    session.commit()
    one.given_name = f"{CANARY} again"
    session.commit()
    content = everything_stored(engine, tmp_path)
    watching.close()
    assert b"someone" in content
    for words in (CANARY, CANARY.casefold(), "canaryibanez7f3a", CANARY_DAY.isoformat()):
        assert [form for form in spellings(words) if form in content] == []
    for path in (tmp_path / "keys").iterdir():
        for words in path.read_text().split('"'):
            assert len(words) < 40 or words.encode() not in content
            assert len(words) < 40 or base64.b64decode(words) not in content


def test_no_canary_is_in_logs_errors_or_reprs(
    session: Session, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, "sqlalchemy")
    said = []
    one = add(session, family_name=CANARY, number=CANARY)
    for act in (
        lambda: add(session, family_name=CANARY, number=CANARY),
        lambda: setattr(one, "family_name", f"{CANARY}\ud800"),
        lambda: setattr(one, "born", CANARY),
        lambda: pickle.dumps(one),
        lambda: copy.deepcopy(one),
        lambda: pickle.dumps(crypto.Pending(CANARY)),
        lambda: Someone.family_name == CANARY,
    ):
        with pytest.raises(Exception) as caught:  # noqa: PT011  # whatever is raised, its words are looked at
            act()
        said.append("".join(traceback.format_exception(caught.value)))
        session.rollback()
    one.given_name = CANARY
    said += [repr(one), str(one), repr(vars(one)["_given_name"]), repr(crypto.classified(Sandbox))]
    session.commit()
    put(session, "someone", "given_name", one.id, one._family_name)  # type: ignore[attr-defined]
    with pytest.raises(UnsealError) as unsealed:
        reread(session, one).given_name  # noqa: B018  # reading is the act
    said += ["".join(traceback.format_exception(unsealed.value)), caplog.text, *capsys.readouterr()]
    # A traceback quotes lines of this file, which name the constant and never its words.
    assert [words for words in said if "Ibáñez" in words or "7f3a" in words] == []
    assert "INSERT INTO someone" in caplog.text


def test_rows_do_not_pickle(session: Session) -> None:
    with pytest.raises(TypeError, match="does not pickle"):
        pickle.dumps(add(session))


# --- cards and refusals ----------------------------------------------------------------------------------------------


def test_each_column_says_what_it_is_and_what_shows() -> None:
    cards = {(card.table, card.column): card for card in crypto.classified(Sandbox)}
    name, risk = cards["someone", "family_name"], cards["someone", "risk"]
    assert (name.classed, name.category, name.kind, name.padded) == ("restricted", "identity", "text", False)
    assert "its length" in name.shows
    assert (risk.classed, risk.padded) == ("restricted", True)
    assert "its length within 32 bytes" in risk.shows
    index = cards["someone", "by_name_index"]
    assert (index.classed, index.category, index.follows) == ("personal", "identity", "family_name")
    assert cards["someone", "by_name_index_v"].classed == "personal"
    assert cards["someone", "veteran"].padded
    assert cards["worker", "by_email_index"].category is None
    assert cards["someone", "agency_id"].classed == "public"
    assert all(card.classed for card in cards.values())


class Badly(DeclarativeBase):
    """A base whose columns are declared wrongly."""


class Bad(Badly):
    __tablename__ = "bad"
    __participant__ = "id"
    __house_key__ = None
    id: Mapped[int] = mapped_column(primary_key=True)
    secret: Mapped[str] = mapped_column(String, info={"class": "restricted"})


class Oddities(Identified):
    """As the sandbox, but in order."""

    __abstract__ = True
    metadata = ODD.metadata
    registry = _sa_registry = ODD


class Odd(Oddities):
    """A sealed value whose column is turned into text for a moment."""

    __tablename__ = "odd"
    __house_key__ = "staff"
    words = sealed(text)


def test_a_restricted_column_that_is_not_sealed_is_refused() -> None:
    (fault,) = crypto.column_faults(Badly)  # type: ignore[type-var, arg-type]
    assert (fault.code, "Bad.secret" in fault.remedy) == ("column_not_sealed", True)


def test_a_sealed_column_that_is_not_binary_is_refused() -> None:
    column = Odd.__table__.c.words
    assert crypto.column_faults(Oddities) == []
    column.type = String()
    try:
        (fault,) = crypto.column_faults(Oddities)
    finally:
        column.type = LargeBinary()
    assert (fault.code, "Odd._words" in fault.remedy) == ("column_not_binary", True)


def test_the_services_own_columns_are_in_order() -> None:
    assert crypto.column_faults() == []
    assert not any(table in Base.metadata.tables for table in Sandbox.metadata.tables)


@pytest.mark.parametrize(
    ("url", "codes"),
    [
        ("postgresql://db.example.org/throughgate", ["database_without_tls"]),
        ("postgresql://db.example.org/throughgate?sslmode=require", ["database_without_tls"]),
        ("postgresql://db.example.org/throughgate?sslmode=verify-full", []),
        ("postgresql://localhost/throughgate", []),
        ("postgresql:///throughgate?host=/run/postgresql", []),
        ("sqlite:////var/lib/throughgate/throughgate.db", []),
    ],
)
def test_a_connection_that_leaves_the_host_needs_tls(url: str, codes: list[str]) -> None:
    faults = crypto.engine_faults(make_engine(url))
    assert [fault.code for fault in faults] == codes
    assert all("sslmode=verify-full" in fault.remedy for fault in faults)


def test_an_engine_that_shows_parameters_is_refused() -> None:
    (fault,) = crypto.engine_faults(create_engine("sqlite://"))
    assert (fault.code, "make_engine" in fault.remedy) == ("parameters_shown", True)


def test_a_fresh_installation_has_no_fault_and_each_fault_is_told_once(
    engine: Engine, session: Session, key_file: FileProvider, tmp_path: Path
) -> None:
    add(session)

    def codes(keys: str = str(key_file.path), **changed: Any) -> list[str]:
        asked = {
            "repository": tmp_path / "checkout",
            "database_url": str(engine.url),
            "engine": engine,
            "base": Oddities,
        }
        return [fault.code for fault in crypto.check_keys(keys, {}, **(asked | changed))]

    assert codes() == []
    assert codes(secret_key="dev") == ["key_short"]
    assert codes(base=Sandbox) == ["no_sealing_key"]
    assert codes(repository=tmp_path) == ["file_in_repository"]
    assert codes(str(tmp_path / "none.json")) == ["file_missing"]
    other = FileProvider.create(tmp_path / "other" / "keys.json")
    assert codes(str(other.path)) == ["epoch_wrong"]
    assert codes("env") == ["key_missing"] * 3 + ["epoch_unknown"]
    key_file.path.chmod(0o644)
    assert codes() == ["file_mode"]
    key_file.path.write_text("{}")
    assert codes() == ["file_mode", "file_unreadable"]
