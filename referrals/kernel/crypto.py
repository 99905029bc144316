"""Sealed columns and blind indexes, as one line each in a class body; and what the house asks of its keys.

    family_name = sealed(text, category="identity")
    by_family_name = blind_index(of="family_name", normalizer=names)

A sealed column maps `_family_name` (bytes: NULL or an envelope) on the database column `family_name`. Setting it keeps
the value pending; the flush seals it, once the row's id and person are known. Reading opens it at first access and
keeps it until the row expires. Nothing compares, sorts or searches a sealed column in the database: a blind index
finds equal values.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, Literal, NoReturn, TypeVar, cast, overload
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import (
    Column,
    ColumnElement,
    Engine,
    Insert,
    LargeBinary,
    SmallInteger,
    Table,
    Update,
    and_,
    event,
    false,
    or_,
)
from sqlalchemy import inspect as inspected
from sqlalchemy.orm import (
    InstanceState,
    InstrumentedAttribute,
    MappedColumn,
    Mapper,
    Session,
    mapped_column,
    object_session,
)
from sqlalchemy.orm.base import PASSIVE_NO_INITIALIZE, instance_state
from sqlalchemy.sql import Executable

from referrals.kernel.keys import PARTICIPANT, DataKey, KeyRing, LiveKey, ring_faults, ring_of
from referrals.kernel.orm import CATEGORIES, Base, MadeOfColumns
from referrals.kernel.providers import KeyProblemError, Refusal, file_faults, provider_from, secret_faults
from referrals.kernel.sealing import (
    SHORTEST,
    Cell,
    Kind,
    SealedValueError,
    UnboundError,
    UnsealError,
    addresses,
    bind,
    boolean,
    day,
    folded_name_and_day,
    folded_names,
    index_info,
    index_of,
    instant,
    integer,
    key_id_of,
    names,
    numbers,
    octets,
    open_checked,
    phones,
    place,
    plaintext,
    row_of,
    seal,
    settled,
    structure,
    text,
    unbind,
)

__all__ = [
    "BlindIndex",
    "Cell",
    "ColumnCard",
    "KeyRing",
    "Kind",
    "Sealed",
    "SealedComparisonError",
    "SealedRowMovedError",
    "SealedValueError",
    "UnsealError",
    "addresses",
    "blind_index",
    "boolean",
    "check_keys",
    "classified",
    "column_faults",
    "column_of",
    "confirmed",
    "day",
    "engine_faults",
    "folded_name_and_day",
    "folded_names",
    "index_value",
    "instant",
    "integer",
    "is_recorded",
    "mac",
    "matches",
    "names",
    "names_sealed_column",
    "numbers",
    "octets",
    "open_detail",
    "phones",
    "prefetch",
    "ring_of",
    "seal_detail",
    "sealed",
    "structure",
    "text",
]

T = TypeVar("T")
B = TypeVar("B", bound=Base)
Normalizer = Callable[..., "str | None"]

#: A person's index has to hide in a crowd: buckets of 2^8 to 2^16, or the whole 128 bits where numbers must be unique.
WHOLE_INDEX: Final = 128
_FEWEST_BITS, _MOST_BITS = 8, 16
#: Where a row keeps what it opened, by attribute: envelope and value; and under `_KEY` the key that opened it last.
_OPENED = "_opened"
_KEY = ""


class SealedComparisonError(TypeError):
    """A sealed column was compared, searched or sorted in SQL. The message names the index to ask instead."""


class SealedRowMovedError(RuntimeError):
    """The id or the participant of a row with sealed values was changed: its values would never open again."""


class Pending(Generic[T]):
    """A value set and not sealed yet. The flush replaces it; one that reaches the driver is refused there."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        """Keep the value."""
        self.value = value

    def __repr__(self) -> str:
        """Show nothing."""
        return "<Pending>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse pickling and copying."""
        raise TypeError("a pending value does not pickle")


class Uncomparable:
    """What a sealed column is on its class: a name, and an error for every use in SQL."""

    __slots__ = ("_says",)

    def __init__(self, model: type[Base], name: str) -> None:
        """Compose what to say: which index to ask, if there is one."""
        indexes = [index for index in _plan(model).indexes.values() if index.name == name or name in index.of]
        ask = " or ".join(f"matches(session, {model.__name__}, {index.name!r}, …)" for index in indexes)
        remedy = f"ask {ask}" if ask else "open the values of the rows that this actor may see, and compare in memory"
        self._says = f"{model.__name__}.{name} is sealed, the database cannot compare it: {remedy}"

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise SealedComparisonError(self._says)

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __radd__ = __mod__ = __contains__ = __getitem__ = __iter__ = __neg__ = __invert__ = _refuse
    __clause_element__ = in_ = not_in = is_ = is_not = like = ilike = contains = startswith = endswith = _refuse
    between = match = op = asc = desc = label = cast = collate = concat = distinct = any_ = all_ = _refuse
    __hash__ = object.__hash__


# --- sealed columns --------------------------------------------------------------------------------------------------


class Sealed(MadeOfColumns, Generic[T]):
    """One sealed column, as a descriptor. Made by `sealed()`."""

    def __init__(self, kind: Kind[Any], *, category: str | None, padded: bool, nullable: bool) -> None:
        """Keep how to seal."""
        self.kind = kind
        self.category = category
        self.padded = padded
        self.nullable = nullable
        self.name = ""
        self.attribute = ""

    def __set_name__(self, owner: type, name: str) -> None:
        """Learn the attribute's name."""
        self.name, self.attribute = name, f"_{name}"

    def columns(self, name: str) -> dict[str, MappedColumn[Any]]:
        """Map bytes under `_name` on the database column `name`."""
        info = {
            "class": "restricted",
            "category": self.category,
            "padded": self.padded,
            "kind": self.kind.name,
        }
        return {f"_{name}": mapped_column(name, LargeBinary, nullable=self.nullable, info=info)}

    @overload
    def __get__(self, instance: None, model: type[Base]) -> Uncomparable: ...

    @overload
    def __get__(self, instance: Base, model: type[Base]) -> T: ...

    def __get__(self, instance: Base | None, model: type[Base]) -> T | Uncomparable:
        """Return the value: pending, opened before, or opened now.

        Raises:
            UnsealError: the stored value cannot be opened. There is no placeholder instead of it.
        """
        if instance is None:
            return Uncomparable(model, self.name)
        held = instance.__dict__
        stored = held.get(self.attribute)
        if stored is None and (stored := getattr(instance, self.attribute)) is None:
            return cast("T", None)
        if type(stored) is Pending:
            value = stored.value
        else:
            opened = held.get(_OPENED)
            if opened is None:
                opened = held[_OPENED] = {}
            kept = opened.get(self.name)
            if kept is None or kept[0] != stored:
                kept = opened[self.name] = (stored, self._open(instance, stored, opened))
            value = kept[1]
        return cast("T", value if self.kind.fresh is None else self.kind.fresh(value))

    def __set__(self, instance: Base, value: T) -> None:
        """Keep the value pending until the flush. An equal one changes nothing, if the present one is loaded.

        Raises:
            SealedValueError: wrong type, too long, not encodable, or None where a value is required.
        """
        if value is None:
            if not self.nullable:
                raise SealedValueError("required")
            setattr(instance, self.attribute, None)
            return
        new = settled(self.kind, value, padded=self.padded)
        stored = instance.__dict__.get(self.attribute)
        if type(stored) is Pending and stored.value == new:
            return
        state = instance_state(instance)
        before = stored if isinstance(stored, bytes) else state.committed_state.get(self.attribute)
        if isinstance(before, bytes) and self._opens_to(instance, before, new):
            if before is not stored:  # changed and changed back
                setattr(instance, self.attribute, before)
            return
        setattr(instance, self.attribute, Pending(new))

    def cell(self, instance: Base) -> Cell:
        """Return the place of this row's value."""
        return Cell(_table_of(type(instance)), self.name, _id_of(instance), _owner(instance))

    def seal(self, instance: Base, value: T, key: LiveKey, row: bytes) -> None:
        """Put the envelope of a pending value in its place; `row` is what `row_of` says of this row."""
        if key.cipher is None:
            raise KeyProblemError("key_disabled", f"Key {key.id} seals nothing in its state {key.status}")
        plain = plaintext(self.kind, value, padded=self.padded)
        aad = key.header + place(_table_of(type(instance)), self.name) + row
        envelope = bind(key.cipher, key.header, plain, aad, os.urandom(12))
        # The change itself was noted when the value was set; only what is stored for it is replaced.
        instance.__dict__[self.attribute] = envelope
        instance.__dict__.setdefault(_OPENED, {})[self.name] = (envelope, value)

    def _open(self, instance: Base, envelope: bytes, opened: dict[str, Any]) -> T:
        key, row = opened.get(_KEY, (None, b""))
        if key is None or envelope[:6] != key.header or len(envelope) < SHORTEST or not key.fresh():
            cell = self.cell(instance)
            key_id = key_id_of(envelope, cell)
            key = _opening_key(object_session(instance), key_id, cell, _purpose(type(instance)))
            row = row_of(cell.row_id, cell.owner)
            opened[_KEY] = (key, row)  # a row's values are mostly under one key
        try:
            aad = key.header + place(_table_of(type(instance)), self.name) + row
            return cast("T", unbind(cast("AESGCM", key.cipher), envelope, aad, self.kind))
        except UnboundError as fault:
            cell = self.cell(instance)
            raise UnsealError(cell.table, cell.column, cell.row_id, key.id, fault.code) from None

    def _opens_to(self, instance: Base, envelope: bytes, value: T) -> bool:
        try:
            opened = instance.__dict__.setdefault(_OPENED, {})
            kept = opened.get(self.name)
            present = kept[1] if kept is not None and kept[0] == envelope else self._open(instance, envelope, opened)
        except UnsealError:
            return False  # whoever sets a value anew may replace one that is lost
        return bool(present == value)


@overload
def sealed(
    kind: Kind[T], *, category: str | None = ..., padded: bool = ..., nullable: Literal[False] = ...
) -> Sealed[T]: ...


@overload
def sealed(
    kind: Kind[T], *, category: str | None = ..., padded: bool = ..., nullable: Literal[True]
) -> Sealed[T | None]: ...


def sealed(
    kind: Kind[Any], *, category: str | None = None, padded: bool = False, nullable: bool = False
) -> Sealed[Any]:
    """Declare a restricted column: sealed under its participant's key, or under its class's `__house_key__`.

    `padded` hides the length within 32 bytes, and is required where the set of values is small (codes, short lists);
    yes or no is always padded. `category` is the consent category, required where the row is about a participant.
    """
    if category is not None and category not in CATEGORIES:
        raise ValueError(category)
    return Sealed(kind, category=category, padded=padded or kind is boolean, nullable=nullable)


# --- blind indexes ---------------------------------------------------------------------------------------------------


class BlindIndex(MadeOfColumns):
    """Columns `<name>_index` and `<name>_index_v`, which follow the values they index. Made by `blind_index()`."""

    def __init__(
        self,
        of: tuple[str, ...],
        normalizer: Normalizer,
        *,
        bits: int,
        unique: bool,
        partition: str | None,
        version: int,
        also: tuple[int, ...],
    ) -> None:
        """Keep how to compute it."""
        self.of = of
        self.normalizer = normalizer
        self.bits = bits
        self.unique = unique
        self.partition = partition
        self.version = version
        self.also = also
        self.name = ""
        self.category: str | None = None

    def __set_name__(self, owner: type, name: str) -> None:
        """Learn the index's name, and take the consent category of what it is made of."""
        self.name = name
        first = vars(owner).get(self.of[0])
        if isinstance(first, Sealed):
            self.category = first.category
        elif isinstance(first, MappedColumn):
            self.category = first.column.info.get("category")

    def __get__(self, instance: Base | None, model: type[Base]) -> Uncomparable:
        """Refuse: values go through `matches()`."""
        if instance is not None:
            raise AttributeError(self.name)
        return Uncomparable(model, self.name)

    def columns(self, name: str) -> dict[str, MappedColumn[Any]]:
        """Map the index and its version."""
        # Personal, not public: no value of an index may stand in the log.
        info = {"class": "personal", "category": self.category, "follows": "+".join(self.of)}
        value = mapped_column(
            f"{name}_index",
            LargeBinary,
            nullable=True,
            unique=self.unique or None,
            index=None if self.unique else True,
            info=info,
        )
        version = mapped_column(f"{name}_index_v", SmallInteger, nullable=True, info=dict(info))
        return {f"{name}_index": value, f"{name}_index_v": version}

    def value(
        self, ring: KeyRing, table: str, values: Sequence[object], *, partition: object = None, version: int
    ) -> bytes | None:
        """Return the index of `values`; None where there is nothing to find: one is missing, or nothing is left."""
        normalized = self.normalized(values)
        if not normalized:
            return None
        if self.partition is None:
            part = b""
        elif partition is None:
            raise TypeError(f"{table}.{self.name} is partitioned by {self.partition}: say by which")
        else:
            part = partition.bytes if isinstance(partition, UUID) else str(partition).encode()
        key = ring.index_key(index_info(table, "+".join(self.of), self.name, version))
        return index_of(key, normalized, partition=part, bits=self.bits)

    def normalized(self, values: Sequence[object]) -> str | None:
        """Return what is indexed; None where a value is missing."""
        return None if any(value is None for value in values) else self.normalizer(*values)

    def follow(self, instance: Base, ring: KeyRing) -> None:
        """Set the columns of one row from its present values."""
        values = [getattr(instance, name) for name in self.of]
        partition = None if self.partition is None else getattr(instance, self.partition)
        found = None
        if self.partition is None or partition is not None:
            found = self.value(ring, _table_of(type(instance)), values, partition=partition, version=self.version)
        setattr(instance, f"{self.name}_index", found)
        setattr(instance, f"{self.name}_index_v", None if found is None else self.version)


def blind_index(
    of: str | tuple[str, ...],
    normalizer: Normalizer,
    *,
    bits: int = 12,
    unique: bool = False,
    partition: str | None = None,
    version: int = 1,
    also: tuple[int, ...] = (),
) -> BlindIndex:
    """Declare an index over sealed values: equal normalized values are found, nothing else is.

    `normalizer` takes one argument for each name in `of`. `bits` is 12 for names (about 12 candidates among 50,000
    people, which `confirmed()` opens and compares), 128 where values must be unique. `partition` names the attribute
    within which values are compared (the agency of a number). `also` lists older versions that rows may still carry.
    """
    if bits != WHOLE_INDEX and (unique or not _FEWEST_BITS <= bits <= _MOST_BITS):
        raise ValueError(f"{bits} bits: {_FEWEST_BITS} to {_MOST_BITS} for a crowd, {WHOLE_INDEX} for what is unique")
    names_of = (of,) if isinstance(of, str) else of
    return BlindIndex(names_of, normalizer, bits=bits, unique=unique, partition=partition, version=version, also=also)


def index_value(
    session: Session,
    model: type[Base],
    name: str,
    *values: object,
    partition: object = None,
    version: int | None = None,
) -> bytes | None:
    """Return the blind index of these values, to be looked up; None when nothing is left of them to look for."""
    index = _plan(model).indexes[name]
    asked = index.version if version is None else version
    return index.value(ring_of(session), _table_of(model), values, partition=partition, version=asked)


def matches(
    session: Session, model: type[Base], name: str, *values: object, partition: object = None
) -> ColumnElement[bool]:
    """Return the condition "this row may hold these values", over all live versions of the index.

    An index that is cut short never proves a match: pass what was found to `confirmed()`.
    """
    index = _plan(model).indexes[name]
    stored, stored_version = getattr(model, f"{name}_index"), getattr(model, f"{name}_index_v")
    asked = [
        and_(stored == value, stored_version == version)
        for version in (index.version, *index.also)
        if (value := index_value(session, model, name, *values, partition=partition, version=version)) is not None
    ]
    return or_(*asked) if asked else false()


def index_values(
    session: Session, model: type[Base], name: str, *values: object, partition: object = None
) -> list[bytes]:
    """Return what `index_column` may hold for these values, over all live versions: for a statement built once.

    What is found needs `confirmed()` as with `matches()`.
    """
    index = _plan(model).indexes[name]
    found = (
        index_value(session, model, name, *values, partition=partition, version=version)
        for version in (index.version, *index.also)
    )
    return [one for one in found if one is not None]


def index_column(model: type[Base], name: str) -> InstrumentedAttribute[bytes]:
    """Return the column that holds a blind index."""
    return cast("InstrumentedAttribute[bytes]", getattr(model, f"{name}_index"))


def confirmed(rows: Iterable[B], name: str, *values: object) -> list[B]:
    """Return the rows whose own values, opened, are equal to `values` as the index `name` normalizes them."""
    kept = []
    for row in rows:
        index = _plan(type(row)).indexes[name]
        wanted = index.normalized(values)
        if wanted and index.normalized([getattr(row, part) for part in index.of]) == wanted:
            kept.append(row)
    return kept


# --- what a class seals, and what the flush does about it ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a class seals and indexes, by name."""

    cells: dict[str, Sealed[Any]]
    indexes: dict[str, BlindIndex]


_plans: dict[type, _Plan] = {}


def _plan(model: type) -> _Plan:
    plan = _plans.get(model)
    if plan is None:
        made = {name: value for kind in reversed(model.__mro__) for name, value in vars(kind).items()}
        plan = _plans[model] = _Plan(
            {name: value for name, value in made.items() if isinstance(value, Sealed)},
            {name: value for name, value in made.items() if isinstance(value, BlindIndex)},
        )
    return plan


def _table_of(model: type[Base]) -> str:
    return cast("Table", model.__table__).name


def _id_of(instance: Base) -> UUID:
    return cast("UUID", instance.id)  # type: ignore[attr-defined]  # every table with sealed values has one


def _owner(instance: Base) -> UUID | None:
    attribute = type(instance).__participant__
    return None if attribute is None else cast("UUID | None", getattr(instance, attribute))


def _purpose(model: type[Base]) -> str | None:
    return PARTICIPANT if model.__participant__ is not None else model.__house_key__


def _opening_key(session: Session | None, key_id: int, cell: Cell, purpose: str | None) -> LiveKey:
    code = "detached"
    if session is not None:
        try:
            key = ring_of(session).by_id(session, key_id)
        except KeyProblemError as problem:
            code = problem.code
        else:
            if key is None:
                code = "unknown_key"
            elif key.purpose != purpose or key.owner != cell.owner:
                code = "wrong_key"
            elif key.cipher is None:
                code = "key_destroyed" if key.status == "destroyed" else "key_disabled"
            else:
                return key
    raise UnsealError(cell.table, cell.column, cell.row_id, key_id, code)


def _sealing_key(session: Session, ring: KeyRing, instance: Base) -> LiveKey:
    purpose = _purpose(type(instance))
    if purpose is None:
        raise TypeError(f"{type(instance).__name__} seals values: give it __participant__ or __house_key__")
    owner = _owner(instance)
    if purpose == PARTICIPANT and owner is None:
        raise TypeError(f"{instance!r} seals values about a participant: set {type(instance).__participant__} first")
    return ring.primary(session, purpose, owner)


@event.listens_for(Base, "before_insert", propagate=True)
@event.listens_for(Base, "before_update", propagate=True)
def _seal_pending(_mapper: Mapper[Any], _connection: object, instance: Base) -> None:
    plan = _plan(type(instance))
    if not plan.cells and not plan.indexes:
        return
    session = object_session(instance)
    if session is None:
        raise TypeError(f"{instance!r} is flushed outside a session")
    ring = ring_of(session)
    state = instance_state(instance)
    for index in plan.indexes.values():
        sources = (*index.of, index.partition) if index.partition else index.of
        if state.key is None or any(_touched(state, plan, name) for name in sources):
            index.follow(instance, ring)
    held = instance.__dict__
    pending = [cell for cell in plan.cells.values() if type(held.get(cell.attribute)) is Pending]
    if pending:
        key = _sealing_key(session, ring, instance)
        row = row_of(_id_of(instance), _owner(instance))
        for cell in pending:
            cell.seal(instance, held[cell.attribute].value, key, row)
            ring.count_sealing(session, key)


def _touched(state: InstanceState[Any], plan: _Plan, name: str) -> bool:
    attribute = f"_{name}" if name in plan.cells else name
    return bool(state.get_history(attribute, PASSIVE_NO_INITIALIZE).has_changes())


@event.listens_for(Base, "expire", propagate=True)
@event.listens_for(Base, "refresh", propagate=True)
def _forget_opened(instance: Base | None, *_details: object) -> None:
    # A refresh may bring another envelope, or another participant to open it for.
    if instance is not None:  # a rollback expires rows that nobody holds any more, too
        instance.__dict__.pop(_OPENED, None)


@event.listens_for(Base, "mapper_configured", propagate=True)
def _hold_in_place(_mapper: Mapper[Any], model: type[Base]) -> None:
    """Refuse a new id or participant for a stored row with sealed values, whoever sets it (a relationship, too)."""
    if _plan(model).cells:
        for attribute in {"id", model.__participant__ or "id"}:
            event.listen(getattr(model, attribute), "set", _refuse_to_move, active_history=True)


def _refuse_to_move(instance: Base, value: object, before: object, _initiator: object) -> None:
    if instance_state(instance).key is not None and value != before:
        raise SealedRowMovedError(
            f"{instance!r} has sealed values: they open under its present id and participant only"
        )


# --- asking a row or a class without opening -------------------------------------------------------------------------


def is_recorded(instance: Base, name: str) -> bool:
    """Return whether a sealed value is there, without opening it."""
    return getattr(instance, _plan(type(instance)).cells[name].attribute) is not None


def column_of(model: type[Base], name: str) -> InstrumentedAttribute[bytes | None]:
    """Return the mapped bytes of a sealed column: for `defer()`, `load_only()` and `.is_(None)`."""
    return cast("InstrumentedAttribute[bytes | None]", getattr(model, _plan(model).cells[name].attribute))


def names_sealed_column(statement: Executable, parameters: object = None) -> bool:
    """Return whether a Core or bulk INSERT or UPDATE would write a sealed column or a blind index past the sealing.

    `parameters` are those of `do_orm_execute`: one mapping or a sequence of them.
    """
    if not isinstance(statement, (Insert, Update)) or not isinstance(statement.table, Table):
        return False
    guarded: set[str] = set()
    for column in statement.table.columns:
        if column.info.get("class") == "restricted" or column.info.get("follows"):
            guarded |= {column.key, column.name, f"_{column.name}"}
    # SQLAlchemy has no public way to ask what a statement writes.
    written: set[str] = set()
    rows: list[Any] = [statement._values or {}]  # noqa: SLF001  # SQLAlchemy shows these nowhere else
    if isinstance(statement, Insert):
        rows += [row for chunk in statement._multi_values for row in chunk]  # noqa: SLF001
        rows.append(dict.fromkeys(statement._select_names or ()))  # noqa: SLF001
    for row in rows:
        if not isinstance(row, Mapping):  # values by position: every column
            return bool(guarded)
        written |= {str(getattr(name, "key", name)) for name in row}
    if isinstance(parameters, Mapping):
        parameters = [parameters]
    for mapping in parameters if isinstance(parameters, Sequence) else ():
        written |= set(mapping)
    return bool(guarded & written)


# --- what the house asks of its keys ---------------------------------------------------------------------------------


def prefetch(session: Session, owners: Iterable[UUID]) -> None:
    """Read the keys of these participants in one query, before a page opens their values."""
    ring_of(session).prefetch(session, owners)


def mac(session: Session, purpose: str, message: bytes) -> bytes:
    """Return HMAC-SHA-256 (32 bytes) under a house key: `cell-digest` or `net`."""
    return ring_of(session).mac(session, purpose, message)


def seal_detail(session: Session, owner: UUID | None, detail: dict[str, Any], event_id: UUID) -> bytes:
    """Return the envelope of detail in one event of the log: under the participant's key, or `log-detail` without one.

    Raises:
        KeyMissingError: the participant has no key (any more).
        SealedValueError: it is not plain JSON (no floats), or too long.
    """
    ring = ring_of(session)
    key = ring.primary(session, "log-detail" if owner is None else PARTICIPANT, owner)
    if key.cipher is None:
        raise KeyProblemError("key_disabled", f"Key {key.id} seals nothing in its state {key.status}")
    ring.count_sealing(session, key)
    return seal(key.cipher, key.id, structure, structure.settle(detail), _detail_cell(owner, event_id))


def open_detail(session: Session, owner: UUID | None, envelope: bytes, event_id: UUID) -> dict[str, Any]:
    """Return what `seal_detail` sealed.

    Raises:
        UnsealError: it cannot be opened (after an expungement: `key_destroyed`).
    """
    cell = _detail_cell(owner, event_id)
    key_id = key_id_of(envelope, cell)
    key = _opening_key(session, key_id, cell, "log-detail" if owner is None else PARTICIPANT)
    return cast("dict[str, Any]", open_checked(cast("AESGCM", key.cipher), key_id, envelope, cell, structure))


def _detail_cell(owner: UUID | None, event_id: UUID) -> Cell:
    return Cell("audit_event", "sealed", event_id, owner)


# --- refusals to start -----------------------------------------------------------------------------------------------


def check_keys(
    keys: str,
    environ: Mapping[str, str],
    *,
    secret_key: str | None = None,
    repository: Path,
    database_url: str,
    backup_set: Iterable[Path] = (),
    engine: Engine | None = None,
    base: type[Base] = Base,
) -> list[Refusal]:
    """Return every reason not to start, each with its remedy; none: the keys are in order.

    `keys` and `secret_key` are the settings of those names. Without `engine` the database is not asked.
    """
    faults = list(column_faults(base))
    if keys != "env":
        faults += file_faults(Path(keys), repository=repository, database_url=database_url, backup_set=backup_set)
    if engine is not None:
        faults += engine_faults(engine)
    try:
        provider = provider_from(keys, environ)
    except KeyProblemError as problem:
        told = {fault.code for fault in faults}
        return faults if {"file_missing", "file_link"} & told else [*faults, Refusal(problem.code, problem.remedy)]
    faults += secret_faults(provider, secret_key=None if secret_key is None else secret_key.encode())
    if engine is not None:
        with engine.connect() as connection:
            if inspected(connection).has_table(_table_of(DataKey)):
                faults += ring_faults(connection, provider)
    return faults


def column_faults(base: type[Base] = Base) -> list[Refusal]:
    """Return the restricted columns that are not sealed, and the sealed ones that do not hold bytes."""
    faults = []
    for mapper in sorted(base.registry.mappers, key=lambda mapper: mapper.class_.__name__):
        cells = _plan(mapper.class_).cells
        for attribute in mapper.column_attrs:
            column = attribute.columns[0]
            if not isinstance(column, Column):
                continue  # read beside the row, kept nowhere
            place = f"{mapper.class_.__name__}.{attribute.key}"
            restricted = column.info.get("class") == "restricted"
            if restricted and attribute.key not in {cell.attribute for cell in cells.values()}:
                faults.append(Refusal("column_not_sealed", f"Declare {place} with sealed(): it is classed restricted"))
            elif restricted and not isinstance(column.type, LargeBinary):
                faults.append(Refusal("column_not_binary", f"Make {place} a LargeBinary: envelopes are bytes"))
        if cells and _purpose(mapper.class_) is None:
            faults.append(Refusal("no_sealing_key", f"Give {mapper.class_.__name__} __participant__ or __house_key__"))
    return faults


def engine_faults(engine: Engine) -> list[Refusal]:
    """Return what would let content leave by the engine: parameters in error messages, a network without TLS."""
    faults = []
    if not engine.hide_parameters:
        faults.append(Refusal("parameters_shown", "Make the engine by make_engine(): errors would show parameters"))
    host = engine.url.host or str(engine.url.query.get("host", ""))
    local = not host or host.startswith("/") or host in {"localhost", "127.0.0.1", "::1"}
    if not local and engine.url.query.get("sslmode") not in {"verify-full", "verify-ca"}:
        faults.append(Refusal("database_without_tls", "Add sslmode=verify-full to THROUGHGATE_DATABASE_URL"))
    return faults


# --- reports ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ColumnCard:
    """What one column is, and what it shows to someone who has the database."""

    table: str
    column: str
    classed: str | None
    category: str | None
    kind: str
    padded: bool
    follows: str | None
    shows: tuple[str, ...]


def classified(base: type[Base] = Base) -> list[ColumnCard]:
    """Return a card for each mapped column, sorted: for `docs/data-classes.md` and the house tests.

    `classed` is None where a column says nothing of itself, which a house test refuses.
    """
    cards = []
    for mapper in base.registry.mappers:
        for column in cast("Table", mapper.local_table).columns:
            info = column.info
            cards.append(
                ColumnCard(
                    table=cast("Table", mapper.local_table).name,
                    column=column.name,
                    classed=info.get("class"),
                    category=info.get("category"),
                    kind=info.get("kind") or type(column.type).__name__.lower(),
                    padded=bool(info.get("padded")),
                    follows=info.get("follows"),
                    shows=_shows(info),
                )
            )
    return sorted(cards, key=lambda card: (card.table, card.column))


def _shows(info: Mapping[str, Any]) -> tuple[str, ...]:
    if info.get("follows"):
        return ("which rows hold equal values, or fall into one bucket", "how often a value occurs")
    if info.get("class") != "restricted":
        return ("its value",)
    length = "its length within 32 bytes" if info.get("padded") else "its length"
    return ("whether it is recorded", length, "which key sealed it, hence which rows share a person", "when it changed")
