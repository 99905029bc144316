"""Keys: the data keys that epochs wrap, and the ring that every process opens values with.

Two levels and no more. A provider holds *epochs* (key encryption keys), apart from the database. An epoch wraps *data
keys*, which seal cells: one for each participant, and house keys by purpose for the rest.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, cast
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import (
    BigInteger,
    Connection,
    Index,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    bindparam,
    func,
    select,
    text,
    update,
)
from sqlalchemy import inspect as inspected
from sqlalchemy.orm import Mapped, Session

from referrals.kernel.orm import Base, Id, personal, public
from referrals.kernel.providers import SECRET, KeyProblemError, KeyProvider, Refusal
from referrals.kernel.sealing import HEADER, MAGIC, NO_OWNER, SUITE, framed, index_key

PARTICIPANT: Final = "participant"
#: House keys that seal, and house keys that only make MACs.
SEALING_PURPOSES: Final = ("staff", "organization", "totp", "log-detail")
MAC_PURPOSES: Final = ("cell-digest", "net")
HOUSE_PURPOSES: Final = SEALING_PURPOSES + MAC_PURPOSES
PURPOSES: Final = (PARTICIPANT, *HOUSE_PURPOSES)

STATES: Final = ("pending", "primary", "retiring", "disabled", "destroyed")
#: States in which a key opens values.
OPENING: Final = frozenset(("pending", "primary", "retiring"))

#: Half of the bound that NIST SP 800-38D sets for random nonces under one key.
SEALINGS_ALARM: Final = 2**31
#: Sealings are counted in steps: at most so many a key and process stay uncounted.
SEALINGS_STEP: Final = 1000

_NONCE = 12
#: Ids use 31 of the envelope's 32 bits: PostgreSQL's integers are signed.
_ID_BITS = 31
_GREATEST_ID = 2**_ID_BITS - 1
_PEOPLE_SECONDS, _PEOPLE_MOST, _HOUSE_SECONDS = 60.0, 10_000, 30.0
#: Owners asked for in one statement: SQLite takes 32,766 parameters.
_ASKED_AT_ONCE = 10_000


class KeyMissingError(RuntimeError):
    """There is no primary key for what was to be sealed: a command forgot `birth()`, or set-up a house key."""

    def __init__(self, purpose: str, owner: UUID | None) -> None:
        """Name the key and the remedy."""
        remedy = (
            "the command that makes a participant calls ring.birth(session, 'participant', person.id)"
            if purpose == PARTICIPANT
            else "run: throughgate keys create"
        )
        super().__init__(f"no primary key for {purpose} {owner or ''}: {remedy}")
        self.purpose = purpose
        self.owner = owner


# --- data keys -------------------------------------------------------------------------------------------------------


class DataKey(Base):
    """A wrapped key. Its id stands in every envelope it seals and is never used again: destroyed keys keep their row.

    Not audited by itself: a key is born and destroyed within its owner's event, and its count of sealings is a counter.
    """

    __tablename__ = "data_key"
    __audited__ = False
    __table_args__ = (
        # One primary for each purpose and owner; two indexes, because NULLs never collide.
        Index(
            "uq_data_key_primary_owned",
            "owner",
            "purpose",
            unique=True,
            sqlite_where=text("status = 'primary' AND owner IS NOT NULL"),
            postgresql_where=text("status = 'primary' AND owner IS NOT NULL"),
        ),
        Index(
            "uq_data_key_primary_house",
            "purpose",
            unique=True,
            sqlite_where=text("status = 'primary' AND owner IS NULL"),
            postgresql_where=text("status = 'primary' AND owner IS NULL"),
        ),
        Index("ix_data_key_owner", "owner"),
    )

    id: Mapped[int] = public(Integer, primary_key=True, autoincrement=False)
    purpose: Mapped[str] = public(String(20))
    #: The participant whose key it is: a plain id, since rooms stand upstairs.
    owner: Mapped[UUID | None] = personal(Id, category="identity", nullable=True)
    status: Mapped[str] = public(String(12))
    epoch: Mapped[str] = public(String(40))
    #: Nonce, ciphertext, tag; gone once destroyed.
    wrapped: Mapped[bytes | None] = personal(LargeBinary, category="identity", nullable=True)
    sealings: Mapped[int] = public(BigInteger, default=0)
    created_at: Mapped[datetime] = public()


_table = cast("Table", DataKey.__table__)
#: Of many participants at once: every page asks it.
_OF_OWNERS = select(_table).where(
    _table.c.purpose == PARTICIPANT, _table.c.owner.in_(bindparam("owners", expanding=True))
)


class LiveKey:
    """An unwrapped data key in memory. Shows nothing of itself."""

    __slots__ = ("_clock", "_secret", "cipher", "header", "id", "owner", "purpose", "sealed", "status", "until")

    def __init__(self, row: Row[Any] | DataKey, secret: bytes | None, until: float, clock: Callable[[], float]) -> None:
        """Take id, purpose, owner and status from the row; `secret` is None for a key that opens nothing."""
        #: How envelopes under this key begin.
        self.header = HEADER.pack(MAGIC, SUITE, row.id)
        self._clock = clock
        self.id: int = row.id
        self.purpose: str = row.purpose
        self.owner: UUID | None = row.owner
        self.status: str = row.status
        self.cipher = AESGCM(secret) if secret is not None else None
        self._secret = secret if row.purpose in MAC_PURPOSES else None
        self.until = until
        self.sealed = 0

    def fresh(self) -> bool:
        """Return whether this still stands, or the database has to be asked again."""
        return self.until > self._clock()

    def mac(self, message: bytes) -> bytes:
        """Return HMAC-SHA-256 under this key."""
        if self._secret is None:
            raise KeyMissingError(self.purpose, self.owner)
        return hmac.digest(self._secret, message, hashlib.sha256)


def wrap_aad(key_id: int, purpose: str, owner: UUID | None, epoch: str) -> bytes:
    """Return the associated data of a wrapped key: it opens under its own id, purpose, owner and epoch only."""
    owner_bytes = NO_OWNER if owner is None else owner.bytes
    return framed(b"tg-wrap", key_id.to_bytes(4, "big"), purpose.encode(), owner_bytes, epoch.encode())


def wrap(kek: bytes, secret: bytes, *, key_id: int, purpose: str, owner: UUID | None, epoch: str) -> bytes:
    """Return a data key wrapped under an epoch: nonce (12), ciphertext (32), tag (16)."""
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(kek).encrypt(nonce, secret, wrap_aad(key_id, purpose, owner, epoch))


def unwrap(kek: bytes, wrapped: bytes, *, key_id: int, purpose: str, owner: UUID | None, epoch: str) -> bytes:
    """Return the data key; `InvalidTag` if the epoch is another one or the row was altered."""
    return AESGCM(kek).decrypt(wrapped[:_NONCE], wrapped[_NONCE:], wrap_aad(key_id, purpose, owner, epoch))


# --- the ring --------------------------------------------------------------------------------------------------------


class KeyRing:
    """The data keys a process has open: one ring for each process and database, shared by its threads.

    It reads through the session it is asked with, never by a connection of its own: the pool has one for each thread.
    House keys are read again every 30 s, participants' keys are kept 60 s, at most 10,000 of them. So no process opens
    anything of a destroyed key after a minute.
    """

    def __init__(self, provider: KeyProvider, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Open every epoch once. `clock` counts seconds.

        Raises:
            KeyProblemError: an epoch or the index root is missing or malformed.
        """
        self._provider = provider
        self._clock = clock
        self._keks = {epoch: _whole(epoch, provider.open(epoch)) for epoch in provider.epochs()}
        self._current = provider.current()
        self._index_root = _whole("index root", provider.index_root())
        self._lock = threading.Lock()
        self._people: dict[int, LiveKey] = {}
        self._primary_of: dict[UUID, int] = {}
        self._house: dict[int, LiveKey] = {}
        self._house_primary: dict[str, int] = {}
        self._house_until = float("-inf")
        self._index_keys: dict[bytes, bytes] = {}

    # -- asking

    def by_id(self, session: Session, key_id: int) -> LiveKey | None:
        """Return the key of that id in any state, or None: there is none."""
        held = self._people.get(key_id)
        if held is not None and held.until > self._clock():
            return held
        born = self._newborn(session, key_id)
        if born is not None:
            return born
        if self._house_until <= self._clock():
            self._load_house(session)
        if key_id in self._house:
            return self._house[key_id]
        row = None
        if 0 < key_id <= _GREATEST_ID:  # else forged, and PostgreSQL's error would end the transaction
            row = _connection(session).execute(select(_table).where(_table.c.id == key_id)).one_or_none()
        if row is None:
            return None
        if row.purpose != PARTICIPANT:  # born since the last load, by another process
            self._load_house(session)
            return self._house.get(key_id)
        return self._keep(row)

    def primary(self, session: Session, purpose: str, owner: UUID | None = None) -> LiveKey:
        """Return the key that seals for a purpose and owner.

        Raises:
            KeyMissingError: there is none; it has to be born first.
        """
        if purpose == PARTICIPANT:
            if owner is None:
                raise KeyMissingError(purpose, owner)
            return self._primary_of_person(session, owner)
        if self._house_until <= self._clock():
            self._load_house(session)
        key_id = self._house_primary.get(purpose)
        if key_id is not None:
            return self._house[key_id]
        born = self._newborn(session, (purpose, owner))
        if born is not None:
            return born
        self._load_house(session)  # perhaps it was made a moment ago
        if purpose not in self._house_primary:
            raise KeyMissingError(purpose, owner)
        return self._house[self._house_primary[purpose]]

    def _primary_of_person(self, session: Session, owner: UUID) -> LiveKey:
        born = self._newborn(session, (PARTICIPANT, owner))
        if born is not None:
            return born
        held = self._people.get(self._primary_of.get(owner, 0))
        if held is None or held.until <= self._clock() or held.status != "primary":
            self.prefetch(session, [owner])
            held = self._people.get(self._primary_of.get(owner, 0))
        if held is None or held.status != "primary":
            raise KeyMissingError(PARTICIPANT, owner)
        return held

    def prefetch(self, session: Session, owners: Iterable[UUID]) -> None:
        """Read the keys of these participants in one query, so that a page costs one whatever its length."""
        now = self._clock()
        missing = []
        for owner in dict.fromkeys(owners):
            held = self._people.get(self._primary_of.get(owner, 0))
            if held is None or held.until <= now:
                missing.append(owner)
        for start in range(0, len(missing), _ASKED_AT_ONCE):
            asked = missing[start : start + _ASKED_AT_ONCE]
            with self._lock:
                for owner in asked:  # what the database says now replaces what was known
                    self._primary_of.pop(owner, None)
            for row in _connection(session).execute(_OF_OWNERS, {"owners": asked}):
                self._keep(row)

    def mac(self, session: Session, purpose: str, message: bytes, *, key_id: int | None = None) -> bytes:
        """Return HMAC-SHA-256 of `message` (32 bytes) under a house key; `key_id` names an older one, for checking.

        Raises:
            KeyMissingError: no such key, or it makes no MACs.
        """
        key = self.primary(session, purpose) if key_id is None else self.by_id(session, key_id)
        if key is None or key.purpose != purpose:
            raise KeyMissingError(purpose, None)
        return key.mac(message)

    def index_key(self, info: bytes) -> bytes:
        """Return the key of a blind index (`sealing.index_info`)."""
        key = self._index_keys.get(info)
        if key is None:
            key = self._index_keys[info] = index_key(self._index_root, info)
        return key

    # -- making

    def birth(self, session: Session, purpose: str, owner: UUID | None = None) -> DataKey:
        """Make a new primary key and add its row to the session; it seals at once, within this session.

        A participant's key is born in the command that makes the participant. The ids are random: counting would need a
        lock, and would tell how many people there are.

        Raises:
            ValueError: an unknown purpose, or an owner where none belongs.
        """
        if purpose not in PURPOSES or (purpose == PARTICIPANT) != (owner is not None):
            raise ValueError(purpose)
        connection = _connection(session)
        key_id = 0
        while not key_id or connection.execute(select(_table.c.id).where(_table.c.id == key_id)).first():
            key_id = secrets.randbits(_ID_BITS)
        secret = secrets.token_bytes(SECRET)
        row = DataKey(
            id=key_id,
            purpose=purpose,
            owner=owner,
            status="primary",
            epoch=self._current,
            wrapped=wrap(
                self._keks[self._current], secret, key_id=key_id, purpose=purpose, owner=owner, epoch=self._current
            ),
            sealings=0,
            created_at=datetime.now(UTC),
        )
        session.add(row)
        born = LiveKey(row, secret, self._clock() + _PEOPLE_SECONDS, self._clock)
        newborns = session.info.setdefault("newborn_keys", {})
        newborns[key_id] = newborns[purpose, owner] = (row, born)
        return row

    def birth_house(self, session: Session) -> list[DataKey]:
        """Make the house keys that are missing (at set-up, before any process seals); return the new ones."""
        self._load_house(session)
        return [self.birth(session, purpose) for purpose in HOUSE_PURPOSES if purpose not in self._house_primary]

    def count_sealing(self, session: Session, key: LiveKey) -> None:
        """Count one sealing; every thousandth is written down, in the transaction that seals."""
        key.sealed += 1
        if key.sealed % SEALINGS_STEP == 0:
            counted = update(_table).where(_table.c.id == bindparam("counted"))
            counted = counted.values(sealings=_table.c.sealings + SEALINGS_STEP)
            _connection(session).execute(counted, {"counted": key.id})

    def forget(self) -> None:
        """Drop every data key: after a destruction in this process, and between tests."""
        with self._lock:
            self._people.clear()
            self._primary_of.clear()
            self._house_until = float("-inf")

    # -- inside

    def _newborn(self, session: Session, name: int | tuple[str, UUID | None]) -> LiveKey | None:
        """Return a key born in this session, by id or by purpose and owner.

        Only as long as its row stands in the session: after a rollback it must never seal anything. Once stored, it is
        forgotten like any other.
        """
        found = session.info.get("newborn_keys", {}).get(name)
        if found is None:
            return None
        row, born = found
        stays = row in session and (born.until > self._clock() or inspected(row).pending)
        return cast("LiveKey", born) if stays else None

    def _unwrapped(self, row: Row[Any]) -> bytes | None:
        if row.status not in OPENING or row.wrapped is None:
            return None
        kek = self._keks.get(row.epoch)
        if kek is None:
            raise KeyProblemError(
                "epoch_unknown",
                f"Key {row.id} is wrapped by epoch {row.epoch}, which is not here. Put back its key file",
            )
        try:
            return unwrap(kek, row.wrapped, key_id=row.id, purpose=row.purpose, owner=row.owner, epoch=row.epoch)
        except InvalidTag:
            raise KeyProblemError(
                "epoch_wrong", f"Epoch {row.epoch} does not open key {row.id}. Put back the key file of this database"
            ) from None

    def _keep(self, row: Row[Any]) -> LiveKey:
        key = LiveKey(row, self._unwrapped(row), self._clock() + _PEOPLE_SECONDS, self._clock)
        with self._lock:
            earlier = self._people.pop(row.id, None)
            key.sealed = earlier.sealed if earlier is not None else 0
            while len(self._people) >= _PEOPLE_MOST:
                oldest = self._people.pop(next(iter(self._people)))
                if oldest.owner is not None and self._primary_of.get(oldest.owner) == oldest.id:
                    del self._primary_of[oldest.owner]
            self._people[row.id] = key
            if row.status == "primary":
                self._primary_of[row.owner] = row.id
        return key

    def _load_house(self, session: Session) -> None:
        rows = _connection(session).execute(select(_table).where(_table.c.owner.is_(None))).all()
        now = self._clock()
        house = {row.id: LiveKey(row, self._unwrapped(row), now + _HOUSE_SECONDS, self._clock) for row in rows}
        with self._lock:
            for key_id, key in house.items():
                if key_id in self._house:
                    key.sealed = self._house[key_id].sealed
            self._house = house
            self._house_primary = {key.purpose: key.id for key in house.values() if key.status == "primary"}
            self._house_until = now + _HOUSE_SECONDS


def _whole(name: str, secret: bytes) -> bytes:
    # AES would take 16 bytes without a word, and be AES-128.
    if len(secret) != SECRET:
        raise KeyProblemError("key_short", f"{name} has {len(secret)} bytes, {SECRET} are needed. Put back the copy")
    return secret


def ring_faults(connection: Connection, provider: KeyProvider) -> list[Refusal]:
    """Return what keeps the provider's epochs and the database's keys from fitting together.

    The check value of an epoch is what it wrapped: every house key, and one participant's key.
    """
    faults = []
    living = _table.c.status != "destroyed"
    epochs = connection.scalars(select(_table.c.epoch).where(living).distinct().order_by(_table.c.epoch)).all()
    for epoch in epochs:
        if epoch not in provider.epochs():
            faults.append(
                Refusal("epoch_unknown", f"Keys are wrapped by epoch {epoch}. Put back the key file that has it")
            )
            continue
        under = select(_table).where(living, _table.c.epoch == epoch)
        rows = connection.execute(under.where(_table.c.owner.is_(None))).all()
        rows = [*rows, *connection.execute(under.where(_table.c.owner.is_not(None)).limit(1)).all()]
        if not all(_opens(provider, row) for row in rows):
            faults.append(
                Refusal("epoch_wrong", f"Epoch {epoch} is not the one of this database. Put back its key file")
            )
    several = select(_table.c.purpose, func.count()).where(_table.c.status == "primary")
    several = several.group_by(_table.c.purpose, _table.c.owner).having(func.count() > 1)
    faults += [
        Refusal("two_primaries", f"Two keys seal for {purpose}. Run: throughgate key status, then key disable")
        for purpose in sorted({row.purpose for row in connection.execute(several)})
    ]
    return faults


def _opens(provider: KeyProvider, row: Row[Any]) -> bool:
    try:
        kek = provider.open(row.epoch)
        unwrap(kek, row.wrapped or b"", key_id=row.id, purpose=row.purpose, owner=row.owner, epoch=row.epoch)
    except (InvalidTag, KeyProblemError, ValueError):
        return False
    return True


def ring_of(session: Session) -> KeyRing:
    """Return the ring that was put into `session.info["ring"]`.

    Raises:
        KeyProblemError: nobody did.
    """
    ring = session.info.get("ring")
    if not isinstance(ring, KeyRing):
        raise KeyProblemError(
            "ring_missing", "The session was made without a key ring: sessionmaker(info={'ring': ring})"
        )
    return ring


def _connection(session: Session) -> Connection:
    # No autoflush and no session guard on the way: this also runs in the middle of a flush.
    return session.connection(bind_arguments={"mapper": DataKey})
