"""Data keys and the ring: who has which key, for how long, and what a rollback or a wrong epoch does."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.exceptions import InvalidTag
from sqlalchemy import Engine, event, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from referrals.kernel import keys
from referrals.kernel.keys import HOUSE_PURPOSES, PARTICIPANT, DataKey, KeyMissingError, KeyRing, ring_faults, ring_of
from referrals.kernel.orm import make_engine
from referrals.kernel.providers import FileProvider, KeyProblemError

TABLE = DataKey.__table__


class Clock:
    """Seconds, moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Statements:
    """Counts what is sent to the database."""

    def __init__(self, engine: Engine) -> None:
        self.sent: list[str] = []
        event.listen(engine, "before_cursor_execute", lambda _c, _u, statement, *_rest: self.sent.append(statement))

    @property
    def selects(self) -> int:
        return sum(statement.startswith("SELECT") for statement in self.sent)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider(tmp_path: Path) -> FileProvider:
    return FileProvider.create(tmp_path / "keys" / "keys.json")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = make_engine(f"sqlite:///{tmp_path}/throughgate.db")
    TABLE.create(made)  # type: ignore[attr-defined]
    yield made
    made.dispose()


@pytest.fixture
def ring(provider: FileProvider, clock: Clock) -> KeyRing:
    return KeyRing(provider, clock=clock)


@pytest.fixture
def open_session(engine: Engine, ring: KeyRing) -> sessionmaker[Session]:
    return sessionmaker(engine, info={"ring": ring}, expire_on_commit=False, autoflush=False)


def another_process(engine: Engine, provider: FileProvider, clock: Clock) -> Session:
    ring = KeyRing(FileProvider(provider.path), clock=clock)
    return Session(engine, info={"ring": ring})


def born(open_session: sessionmaker[Session], ring: KeyRing, purpose: str, owner: UUID | None = None) -> int:
    with open_session() as session:
        row = ring.birth(session, purpose, owner)
        session.commit()
        return row.id


def set_status(engine: Engine, key_id: int, status: str) -> None:
    with engine.begin() as connection:
        values = {"status": status} | ({"wrapped": None} if status == "destroyed" else {})
        connection.execute(update(DataKey).where(DataKey.id == key_id).values(values))


# --- wrapping --------------------------------------------------------------------------------------------------------


def test_a_wrapped_key_opens_under_its_own_row_only() -> None:
    kek, secret, owner = secrets.token_bytes(32), secrets.token_bytes(32), uuid4()
    row = {"key_id": 7, "purpose": PARTICIPANT, "owner": owner, "epoch": "202611"}
    wrapped = keys.wrap(kek, secret, **row)  # type: ignore[arg-type]
    assert len(wrapped) == 12 + 32 + 16
    assert keys.unwrap(kek, wrapped, **row) == secret  # type: ignore[arg-type]
    for other in ({"key_id": 8}, {"purpose": "staff"}, {"owner": uuid4()}, {"owner": None}, {"epoch": "202612"}):
        with pytest.raises(InvalidTag):
            keys.unwrap(kek, wrapped, **(row | other))  # type: ignore[arg-type]
    with pytest.raises(InvalidTag):
        keys.unwrap(secrets.token_bytes(32), wrapped, **row)  # type: ignore[arg-type]


def test_no_secret_shows(ring: KeyRing, open_session: sessionmaker[Session], provider: FileProvider) -> None:
    with open_session() as session:
        row = ring.birth(session, PARTICIPANT, uuid4())
        session.flush()
        live = ring.by_id(session, row.id)
        shown = repr(ring) + repr(live) + repr(row) + repr(provider)
    assert provider.open(provider.current()).hex() not in shown
    assert "wrapped" not in shown


# --- birth -----------------------------------------------------------------------------------------------------------


def test_a_newborn_key_seals_in_its_session_before_it_is_stored(
    ring: KeyRing, open_session: sessionmaker[Session]
) -> None:
    owner = uuid4()
    with open_session() as session:
        row = ring.birth(session, PARTICIPANT, owner)
        assert ring.primary(session, PARTICIPANT, owner).id == row.id
        assert ring.by_id(session, row.id) is not None
        session.commit()
    with open_session() as session:
        assert ring.primary(session, PARTICIPANT, owner).id == row.id


def test_a_key_that_was_rolled_back_seals_nothing(ring: KeyRing, open_session: sessionmaker[Session]) -> None:
    """What it sealed could never be opened: its row is not there."""
    owner = uuid4()
    with open_session() as session:
        row = ring.birth(session, PARTICIPANT, owner)
        session.flush()
        session.rollback()
        assert ring.by_id(session, row.id) is None
        with pytest.raises(KeyMissingError):
            ring.primary(session, PARTICIPANT, owner)
        with session.begin_nested() as nested:
            second = ring.birth(session, PARTICIPANT, owner)
            session.flush()
            nested.rollback()
        with pytest.raises(KeyMissingError):
            ring.primary(session, PARTICIPANT, owner)
        third = ring.birth(session, PARTICIPANT, owner)
        session.commit()
        assert ring.primary(session, PARTICIPANT, owner).id == third.id not in {row.id, second.id}


@pytest.mark.parametrize(("purpose", "owner"), [("participant", None), ("staff", UUID(int=1)), ("backup", None)])
def test_a_key_without_sense_is_not_born(
    ring: KeyRing, open_session: sessionmaker[Session], purpose: str, owner: UUID | None
) -> None:
    with open_session() as session, pytest.raises(ValueError, match=purpose):
        ring.birth(session, purpose, owner)


def test_a_missing_key_names_the_remedy(ring: KeyRing, open_session: sessionmaker[Session]) -> None:
    with open_session() as session:
        with pytest.raises(KeyMissingError, match=r"ring\.birth"):
            ring.primary(session, PARTICIPANT, uuid4())
        with pytest.raises(KeyMissingError):
            ring.primary(session, PARTICIPANT)
        with pytest.raises(KeyMissingError, match="throughgate keys create"):
            ring.primary(session, "staff")


@pytest.mark.parametrize(("purpose", "owner"), [(PARTICIPANT, UUID(int=5)), ("staff", None)])
def test_the_database_refuses_a_second_primary(
    ring: KeyRing, open_session: sessionmaker[Session], purpose: str, owner: UUID | None
) -> None:
    born(open_session, ring, purpose, owner)
    with pytest.raises(IntegrityError):
        born(open_session, ring, purpose, owner)


def test_house_keys_are_born_once(ring: KeyRing, open_session: sessionmaker[Session]) -> None:
    with open_session() as session:
        assert [row.purpose for row in ring.birth_house(session)] == list(HOUSE_PURPOSES)
        session.commit()
        assert ring.birth_house(session) == []
        assert session.scalar(select(func.count()).select_from(DataKey)) == len(HOUSE_PURPOSES)


def test_ids_fit_both_databases_and_tell_no_order(ring: KeyRing, open_session: sessionmaker[Session]) -> None:
    with open_session() as session:
        ids = [ring.birth(session, PARTICIPANT, uuid4()).id for _ in range(50)]
    assert all(0 < key_id < 2**31 for key_id in ids)
    assert ids != sorted(ids)


# --- how long a process remembers ------------------------------------------------------------------------------------


def test_a_page_reads_its_keys_in_one_query(
    engine: Engine, ring: KeyRing, open_session: sessionmaker[Session], clock: Clock
) -> None:
    owners = [uuid4() for _ in range(200)]
    with open_session() as session:
        ids = [ring.birth(session, PARTICIPANT, owner).id for owner in owners]
        session.commit()
    ring.forget()
    statements = Statements(engine)
    with open_session() as session:
        ring.prefetch(session, owners)
        assert statements.selects == 1
        assert [ring.primary(session, PARTICIPANT, owner).id for owner in owners] == ids
        assert all(ring.by_id(session, key_id) is not None for key_id in ids)
        ring.prefetch(session, owners)
        assert statements.selects == 1
        clock.now += 61
        ring.prefetch(session, owners)
        assert statements.selects == 2


@pytest.mark.parametrize("status", ["disabled", "destroyed"])
def test_no_process_opens_anything_of_a_stopped_key_after_a_minute(
    engine: Engine, ring: KeyRing, open_session: sessionmaker[Session], clock: Clock, status: str
) -> None:
    owner = uuid4()
    key_id = born(open_session, ring, PARTICIPANT, owner)
    with open_session() as session:
        assert ring.primary(session, PARTICIPANT, owner).cipher is not None
        set_status(engine, key_id, status)
        clock.now += 59
        assert ring.primary(session, PARTICIPANT, owner).cipher is not None
        clock.now += 2
        session.rollback()
        with pytest.raises(KeyMissingError):
            ring.primary(session, PARTICIPANT, owner)
        stopped = ring.by_id(session, key_id)
        assert stopped is not None
        assert (stopped.cipher, stopped.status) == (None, status)


def test_house_keys_are_read_again_every_thirty_seconds(
    engine: Engine, ring: KeyRing, open_session: sessionmaker[Session], clock: Clock
) -> None:
    key_id = born(open_session, ring, "staff")
    with open_session() as session:
        assert ring.primary(session, "staff").id == key_id
        set_status(engine, key_id, "retiring")
        clock.now += 29
        assert ring.primary(session, "staff").id == key_id
        clock.now += 2
        session.rollback()
        with pytest.raises(KeyMissingError):
            ring.primary(session, "staff")
        retiring = ring.by_id(session, key_id)
        assert retiring is not None
        assert retiring.cipher is not None


def test_a_pending_key_opens_and_never_seals(
    engine: Engine, ring: KeyRing, open_session: sessionmaker[Session]
) -> None:
    key_id = born(open_session, ring, "staff")
    set_status(engine, key_id, "pending")
    with open_session() as session:
        with pytest.raises(KeyMissingError):
            ring.primary(session, "staff")
        pending = ring.by_id(session, key_id)
        assert pending is not None
        assert pending.cipher is not None


def test_a_house_key_of_another_process_is_found_at_once(
    engine: Engine, provider: FileProvider, ring: KeyRing, open_session: sessionmaker[Session], clock: Clock
) -> None:
    with another_process(engine, provider, clock) as elsewhere:
        with pytest.raises(KeyMissingError):
            ring_of(elsewhere).primary(elsewhere, "staff")
        elsewhere.rollback()
        key_id = born(open_session, ring, "staff")
        found = ring_of(elsewhere).by_id(elsewhere, key_id)
        assert found is not None
        assert found.cipher is not None


def test_at_most_ten_thousand_people_are_remembered(
    ring: KeyRing, open_session: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_PEOPLE_MOST", 10)
    owners = [uuid4() for _ in range(25)]
    with open_session() as session:
        ids = {owner: ring.birth(session, PARTICIPANT, owner).id for owner in owners}
        session.commit()
    with open_session() as session:
        ring.prefetch(session, owners)
        assert len(ring._people) == len(ring._primary_of) == 10
        assert all(ring.primary(session, PARTICIPANT, owner).id == ids[owner] for owner in owners)
        assert len(ring._people) == len(ring._primary_of) == 10


def test_an_unknown_id_is_no_key(ring: KeyRing, open_session: sessionmaker[Session]) -> None:
    with open_session() as session:
        assert ring.by_id(session, 12345) is None


def test_a_session_without_a_ring_says_so(engine: Engine) -> None:
    with Session(engine) as session, pytest.raises(KeyProblemError, match="ring"):
        ring_of(session)


# --- MACs and counters -----------------------------------------------------------------------------------------------


def test_macs_are_hmac_sha_256_under_keys_that_seal_nothing_else(
    ring: KeyRing, open_session: sessionmaker[Session], provider: FileProvider, engine: Engine, clock: Clock
) -> None:
    with open_session() as session:
        ring.birth_house(session)
        session.commit()
        row = session.scalars(select(DataKey).where(DataKey.purpose == "net")).one()
        assert row.wrapped is not None
        secret = keys.unwrap(
            provider.open(row.epoch), row.wrapped, key_id=row.id, purpose="net", owner=None, epoch=row.epoch
        )
        made = ring.mac(session, "net", b"192.0.2.1")
        assert made == hmac.digest(secret, b"192.0.2.1", hashlib.sha256)
        assert made != ring.mac(session, "cell-digest", b"192.0.2.1")
        assert made == ring.mac(session, "net", b"192.0.2.1", key_id=row.id)
        with pytest.raises(KeyMissingError):
            ring.mac(session, "cell-digest", b"x", key_id=row.id)
        with pytest.raises(KeyMissingError):
            ring.mac(session, "staff", b"x")
    with another_process(engine, provider, clock) as elsewhere:
        assert ring_of(elsewhere).mac(elsewhere, "net", b"192.0.2.1") == made


def test_sealings_are_counted_by_the_thousand(ring: KeyRing, open_session: sessionmaker[Session]) -> None:
    key_id = born(open_session, ring, "staff")
    with open_session() as session:
        for _ in range(2500):
            ring.count_sealing(session, ring.primary(session, "staff"))
        session.commit()
        assert session.scalar(select(DataKey.sealings).where(DataKey.id == key_id)) == 2000


# --- epochs ----------------------------------------------------------------------------------------------------------


def faults_of(engine: Engine, provider: FileProvider) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        return [(fault.code, fault.remedy) for fault in ring_faults(connection, provider)]


def test_keys_and_epochs_that_fit_are_no_fault(
    engine: Engine, provider: FileProvider, ring: KeyRing, open_session: sessionmaker[Session]
) -> None:
    with open_session() as session:
        ring.birth_house(session)
        ring.birth(session, PARTICIPANT, uuid4())
        session.commit()
    assert faults_of(engine, provider) == []


@pytest.mark.parametrize("owner", [None, UUID(int=9)])
def test_a_wrong_epoch_is_refused_and_opens_and_writes_nothing(
    *,
    engine: Engine,
    tmp_path: Path,
    ring: KeyRing,
    open_session: sessionmaker[Session],
    provider: FileProvider,
    owner: UUID | None,
) -> None:
    purpose = "staff" if owner is None else PARTICIPANT
    key_id = born(open_session, ring, purpose, owner)
    wrong = FileProvider.create(tmp_path / "other" / "keys.json")
    assert wrong.epochs() == provider.epochs()
    ((code, remedy),) = faults_of(engine, wrong)
    assert code == "epoch_wrong"
    assert "Put back its key file" in remedy
    with Session(engine, info={"ring": KeyRing(wrong)}) as session:
        for ask in (
            lambda: ring_of(session).by_id(session, key_id),
            lambda: ring_of(session).primary(session, purpose, owner),
        ):
            with pytest.raises(KeyProblemError) as caught:
                ask()
            assert caught.value.code == "epoch_wrong"


def test_a_missing_epoch_is_refused(
    engine: Engine, provider: FileProvider, ring: KeyRing, open_session: sessionmaker[Session], tmp_path: Path
) -> None:
    key_id = born(open_session, ring, "staff")
    other = FileProvider.create(tmp_path / "other" / "keys.json", at=datetime(2020, 1, 1, tzinfo=UTC))
    ((code, remedy),) = faults_of(engine, other)
    assert code == "epoch_unknown"
    assert provider.current() in remedy
    set_status(engine, key_id, "destroyed")
    assert faults_of(engine, other) == []


def test_an_altered_wrapped_key_is_refused(
    engine: Engine, provider: FileProvider, ring: KeyRing, open_session: sessionmaker[Session]
) -> None:
    key_id = born(open_session, ring, "staff")
    with engine.begin() as connection:
        wrapped = connection.scalar(select(DataKey.wrapped).where(DataKey.id == key_id))
        assert wrapped is not None
        forged = wrapped[:-1] + bytes((wrapped[-1] ^ 1,))
        connection.execute(update(DataKey).values(wrapped=forged))
    assert [code for code, _ in faults_of(engine, provider)] == ["epoch_wrong"]


def test_two_primaries_are_refused(
    engine: Engine, provider: FileProvider, ring: KeyRing, open_session: sessionmaker[Session]
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX uq_data_key_primary_house")
    for _ in range(2):
        born(open_session, ring, "staff")
    ((code, remedy),) = faults_of(engine, provider)
    assert code == "two_primaries"
    assert "staff" in remedy
    assert "key disable" in remedy
