"""The event: what one act or look leaves in the log, and its canonical bytes.

Pure: standard library only. Body version 1 has exactly the keys of `KEYS`, `null` where nothing applies, so that one
event has one spelling. Canonical bytes are RFC 8785 inside a profile (see `canonical`) in which `json.dumps` is already
exact. The stored bytes are what is hashed and served; they are never serialized again.

No content (L8): every free place of the schema takes an id, a code, a count, a digest or a sealed envelope, and nothing
else. Errors name the path and the rule, never the value.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import enum
import hashlib
import json
import re
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Final, NoReturn, TypeAlias, cast

Json: TypeAlias = "bool | int | str | Sequence[Json] | Mapping[str, Json] | None"
_Path: TypeAlias = "tuple[_Path, str | int] | None"

VERSION: Final = 1
MAX_BYTES: Final = 65_535  # an entry of a tlog-tiles bundle has a 16-bit length
MAX_ROWS: Final = 500
MAX_CHARACTERS: Final = 200
MAX_DEPTH: Final = 16
MAX_INTEGER: Final = 2**53 - 1  # beyond it RFC 8785 numbers, being doubles, are no longer exact

OUTCOMES: Final = frozenset({"done", "refused", "failed"})
ACTOR_KINDS: Final = frozenset({"user", "participant", "contact", "service", "witness", "anonymous", "unknown"})
NAMELESS_KINDS: Final = frozenset({"anonymous", "unknown"})
"""Actors of whom nothing is kept: a boundary report without a name, a sign-in with a name that does not exist."""
PURPOSES: Final = frozenset(
    {
        # consent rule C8
        *("referral", "pre_release", "service", "supervision", "benefits"),
        *("treatment", "evaluation", "own_request", "legal_proceeding"),
        # acts and looks that rest on no consent: running the service, reading the log, an override for safety (C22)
        *("administration", "oversight", "safety"),
    }
)
BASIS_KINDS: Final = frozenset(
    {"consent", "assignment", "agreement", "emergency", "order", "duty", "request", "oversight", "own"}
)
CHANNELS: Final = frozenset({"page", "api", "kiosk", "cli", "job"})
PERSON: Final = "person"
"""The type whose row id never stands in the log: the participant's subject stands in for it."""
FIRST_PREVIOUS: Final = "0" * 64

KEYS: Final = frozenset(
    {
        *("v", "id", "at", "action", "outcome", "code", "actor", "on", "fields", "categories", "count", "part"),
        *("purpose", "basis", "to", "off_hours", "request", "prior", "source", "sealed", "writer"),
    }
)

_KEY = re.compile(r"[a-z][a-z0-9_]*")
_CODE = re.compile(r"[a-z][a-z0-9_]{0,99}")
_DOTTED = re.compile(r"[a-z][a-z0-9_]{0,99}\.[a-z][a-z0-9_]{0,98}")
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._:-]{0,99}")
_UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_CELL = re.compile(r"[0-9a-f]{32}")
_NET = re.compile(r"[0-9a-f]{8,64}")
_LEAF = re.compile(r"[0-9a-f]{64}")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_RANDOM_BYTES: Final = 10

_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
)


class EventError(ValueError):
    """An event that the log does not take. `path` says where (`$.on[0].rows`), `rule` which rule, neither any value."""

    def __init__(self, path: str, rule: str) -> None:
        super().__init__(f"{path}: {rule}")
        self.path = path
        self.rule = rule


class ProfileError(EventError):
    """The value has no canonical bytes: it lies outside the profile of RFC 8785 that the log uses."""


class SchemaError(EventError):
    """The value is canonical but is no event of body version 1."""


# -- canonical bytes ---------------------------------------------------------------------------------------------------


def canonical(body: Mapping[str, Json]) -> bytes:
    """The canonical bytes of an object (RFC 8785) within the profile; `ProfileError` names path and rule otherwise.

    The profile: keys `[a-z][a-z0-9_]*`; strings, integers of magnitude below 2^53, true, false, null, lists, objects;
    no floats; strings in NFC, at most 200 characters (the sealed text under a key `ct` excepted), without control
    characters and surrogates; at most 65,535 bytes and 16 levels. Only plain `dict`, `list`, `tuple`, `str`, `int`,
    `bool` and None are taken: a subclass may serialize as something else.
    """
    if type(body) is not dict:
        raise ProfileError("$", "must be an object")
    _check(body, None, 0)
    encoded = _ENCODER.encode(body).encode()
    if len(encoded) > MAX_BYTES:
        raise ProfileError("$", f"is longer than {MAX_BYTES:,} bytes")
    return encoded


def leaf_hash(body: bytes) -> bytes:
    """The 32-byte Merkle leaf hash of a body's canonical bytes: SHA-256(0x00 || body), RFC 6962 section 2.1."""
    return hashlib.sha256(b"\x00" + body).digest()


def _check(value: object, path: _Path, depth: int) -> None:  # noqa: C901  # one branch for each kind of value
    kind = type(value)
    if kind is str:
        _check_text(cast("str", value), path)
    elif value is None or kind is bool:
        pass
    elif kind is int:
        if not -MAX_INTEGER <= cast("int", value) <= MAX_INTEGER:
            raise ProfileError(_spell(path), "integer of 2^53 or more")
    elif kind not in (dict, list, tuple):
        rule = "floating-point number" if kind is float else "neither string, integer, flag, null, list nor object"
        raise ProfileError(_spell(path), rule)
    elif depth >= MAX_DEPTH:
        raise ProfileError(_spell(path), f"nested deeper than {MAX_DEPTH} levels")
    elif kind is dict:
        for key, item in cast("dict[object, object]", value).items():
            if key not in KEYS and (type(key) is not str or not _KEY.fullmatch(key) or len(key) > MAX_CHARACTERS):
                raise ProfileError(_spell(path), "a key is not of the form [a-z][a-z0-9_]*")
            _check(item, (path, key), depth + 1)
    else:
        for index, item in enumerate(cast("Sequence[object]", value)):
            _check(item, (path, index), depth + 1)


def _check_text(text: str, path: _Path) -> None:
    if len(text) > MAX_CHARACTERS and (path is None or path[1] != "ct"):
        raise ProfileError(_spell(path), f"longer than {MAX_CHARACTERS} characters")
    if text.isascii() and text.isprintable():
        return  # printable ASCII is NFC: nearly every string of a body ends here
    for character in text:
        category = unicodedata.category(character)
        if category == "Cc":
            raise ProfileError(_spell(path), "control character")
        if category == "Cs":
            raise ProfileError(_spell(path), "surrogate")
    if not unicodedata.is_normalized("NFC", text):
        raise ProfileError(_spell(path), "not in Unicode NFC")


def _spell(path: _Path) -> str:
    steps: list[str] = []
    while path is not None:
        path, step = path
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step}")
    return "$" + "".join(reversed(steps))


# -- instants and ids --------------------------------------------------------------------------------------------------


def instant(at: datetime) -> str:
    """UTC text with six decimals and `Z`, the one spelling of a time in the log. Naive datetimes are refused."""
    if at.tzinfo is None:
        raise SchemaError("$.at", "a time needs its zone")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def new_event_id(at: datetime, random: bytes) -> str:
    """A UUIDv7 (RFC 9562 section 5.7) for an event at `at`; `random` gives its 10 random bytes.

    Hand the same `at` to the event: id and time come from one clock reading, and `Event` refuses a pair whose
    milliseconds differ.
    """
    if len(random) != _RANDOM_BYTES:
        raise SchemaError("$.id", f"needs {_RANDOM_BYTES} random bytes")
    bits = (_milliseconds(at) << 80) | int.from_bytes(random, "big")
    bits = bits & ~(0xF << 76) | (0x7 << 76)
    bits = bits & ~(0b11 << 62) | (0b10 << 62)
    return str(uuid.UUID(int=bits))


def id_floor(at: datetime) -> uuid.UUID:
    """Below every event id of the millisecond of `at` and above every earlier one: the edge of a range of time."""
    return uuid.UUID(int=_milliseconds(at) << 80)


def _milliseconds(at: datetime) -> int:
    if at.tzinfo is None:
        raise SchemaError("$.at", "a time needs its zone")
    count = (at - _EPOCH) // _MILLISECOND
    if not 0 <= count < 2**48:
        raise SchemaError("$.at", "out of the range of UUIDv7")
    return count


def public_value(value: object) -> Json:
    """How the new value of a public column is spelled in `On.set`.

    Instants become UTC text with `Z`, days ISO text, ids lower-case UUID text, codes of an enumeration their value;
    lists and objects are converted item by item. Anything that is not an instant, a day, an id, a code, a whole number
    or a flag (floats, bytes) raises `SchemaError`.
    """
    converted: Json
    if value is None or isinstance(value, bool):
        converted = value
    elif isinstance(value, enum.Enum):
        converted = public_value(value.value)
    elif isinstance(value, int):
        converted = int(value)
    elif isinstance(value, (str, uuid.UUID)):
        converted = str(value)
    elif isinstance(value, datetime):
        converted = instant(value)
    elif isinstance(value, date):
        converted = value.isoformat()
    elif isinstance(value, Mapping):
        converted = {str(key): public_value(item) for key, item in value.items()}
    elif isinstance(value, (list, tuple)):
        converted = [public_value(item) for item in value]
    else:
        raise SchemaError("$.on.set", "neither instant, day, id, code, whole number nor flag")
    return converted


# -- the parts of an event ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorRef:
    """Who acted, as the log names them.

    For a participant `id` is their subject, never their row id. `anonymous` and `unknown` keep no id, session or
    organization. `behalf` is the id of whom the actor stood in for (a job for the user who started it, a contact for a
    participant).
    """

    kind: str
    id: str | None = None
    org: str | None = None
    role: str | None = None
    session: str | None = None
    behalf: str | None = None

    def __post_init__(self) -> None:
        _one_of(self.kind, ACTOR_KINDS, "$.actor.kind")
        if self.kind in NAMELESS_KINDS:
            if any(part is not None for part in (self.id, self.org, self.role, self.session, self.behalf)):
                raise SchemaError("$.actor", "an anonymous or unknown actor has only a kind")
            return
        _match(self.id, _UUID4 if self.kind == "participant" else _ID, "$.actor.id")
        _maybe(self.org, _ID, "$.actor.org")
        _maybe(self.role, _CODE, "$.actor.role")
        _maybe(self.session, _ID, "$.actor.session")
        _maybe(self.behalf, _ID, "$.actor.behalf")

    def body(self) -> dict[str, Json]:
        """As plain values, for the body's `actor`."""
        return {
            "kind": self.kind,
            "id": self.id,
            "org": self.org,
            "role": self.role,
            "session": self.session,
            "behalf": self.behalf,
        }


@dataclass(frozen=True, slots=True)
class On:
    """Rows of one type that an event names, each with the participant it is about (their subject) or None.

    A look names rows. A change names exactly one and adds `rev` (the row's new revision, from 1), `set` (new values of
    public columns, see `public_value`) and `cells` (column to digest, 16 bytes in hex, or None where the column is now
    NULL); `set` and `cells` both None say that the row is gone. For the type `person` the subject stands in for the row
    id as well. A row named twice counts once.
    """

    type: str
    rows: tuple[tuple[str, str | None], ...] = ()
    rev: int | None = None
    set: Mapping[str, Json] | None = field(default=None, hash=False)
    cells: Mapping[str, str | None] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        _match(self.type, _CODE, "$.on.type")
        for row, subject in self.rows:
            _match(row, _ID, "$.on.rows")
            _maybe(subject, _UUID4, "$.on.rows")
            if self.type == PERSON and row != subject:
                raise SchemaError("$.on.rows", "a person is named by subject only")
        object.__setattr__(self, "rows", tuple(dict.fromkeys((row, subject) for row, subject in self.rows)))
        if self.rev is None:
            if self.set is not None or self.cells is not None:
                raise SchemaError("$.on", "only a change, with its rev, has set and cells")
            return
        _whole(self.rev, 1, "$.on.rev")
        if len(self.rows) != 1:
            raise SchemaError("$.on.rows", "a change names exactly one row")
        if self.set is not None:
            _names(self.set, "$.on.set")
            object.__setattr__(self, "set", _freeze(self.set))
        if self.cells is not None:
            _names(self.cells, "$.on.cells")
            for digest in self.cells.values():
                _maybe(digest, _CELL, "$.on.cells")
            object.__setattr__(self, "cells", MappingProxyType(dict(self.cells)))

    def body(self) -> dict[str, Json]:
        """As plain values, for the body's `on`."""
        body: dict[str, Json] = {"type": self.type, "rows": [[row, subject] for row, subject in self.rows]}
        if self.rev is not None:
            body |= {"rev": self.rev, "set": _thaw(self.set), "cells": _thaw(self.cells)}
        return body


@dataclass(frozen=True, slots=True)
class BasisRef:
    """On what an act or look rests: one kind of `BASIS_KINDS`, the record's id and revision where there is one."""

    kind: str
    id: str | None = None
    rev: int | None = None

    def __post_init__(self) -> None:
        _one_of(self.kind, BASIS_KINDS, "$.basis.kind")
        _maybe(self.id, _ID, "$.basis.id")
        if self.rev is not None:
            _whole(self.rev, 1, "$.basis.rev")

    def body(self) -> dict[str, Json]:
        """As plain values, for the body's `basis`."""
        return {"kind": self.kind, "id": self.id, "rev": self.rev}


@dataclass(frozen=True, slots=True)
class Source:
    """Through which door, and a keyed pseudonym of the address in hex (4 to 32 bytes) or None. Never the address."""

    channel: str
    net: str | None = None

    def __post_init__(self) -> None:
        _one_of(self.channel, CHANNELS, "$.source.channel")
        _maybe(self.net, _NET, "$.source.net")

    def body(self) -> dict[str, Json]:
        """As plain values, for the body's `source`."""
        return {"channel": self.channel, "net": self.net}


@dataclass(frozen=True, slots=True)
class Sealed:
    """Detail in an envelope: under that participant's key, or the house key for log detail when `subject` is None."""

    subject: str | None
    ct: str = field(repr=False)

    def __post_init__(self) -> None:
        _maybe(self.subject, _UUID4, "$.sealed.subject")
        if type(self.ct) is not str or not self.ct:
            raise SchemaError("$.sealed.ct", "must be base64 of an envelope")
        try:
            envelope = base64.b64decode(self.ct, validate=True)
        except (binascii.Error, ValueError) as error:
            raise SchemaError("$.sealed.ct", "must be base64 of an envelope") from error
        if base64.b64encode(envelope).decode() != self.ct:
            raise SchemaError(
                "$.sealed.ct", "must be canonical base64"
            )  # stray bits would give one envelope two spellings

    @classmethod
    def of(cls, subject: str | None, envelope: bytes) -> Sealed:
        """From the envelope's bytes."""
        return cls(subject, base64.b64encode(envelope).decode())

    def body(self) -> dict[str, Json]:
        """As plain values, for the body's `sealed`."""
        return {"subject": self.subject, "ct": self.ct}


@dataclass(frozen=True, slots=True)
class Writer:
    """This event's place in the chain of one writing thread: `n` from 1, `prev` the leaf hash before it in hex."""

    id: str
    n: int
    prev: str

    def __post_init__(self) -> None:
        _match(self.id, _UUID4, "$.writer.id")
        _whole(self.n, 1, "$.writer.n")
        _match(self.prev, _LEAF, "$.writer.prev")
        if (self.n == 1) != (self.prev == FIRST_PREVIOUS):
            raise SchemaError("$.writer.prev", "is 64 zeros at n = 1, and only there")

    def body(self) -> dict[str, Json]:
        """As plain values, for the body's `writer`."""
        return {"id": self.id, "n": self.n, "prev": self.prev}


# -- the event ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One act or look, valid by construction (`SchemaError` names path and rule), immutable.

    `fields` are `table.column` names shown or changed and `categories` consent categories; both are kept sorted without
    repeats. `count` is the number of rows in the whole act, `part` is (i, k) when the act takes k events (see `split`
    and `number`). `code` is the stable error code, None exactly when the outcome is `done`. `to` is the recipient
    organization, set where data crosses organizations. `prior` is the event that this one continues.
    """

    id: str
    at: datetime
    action: str
    actor: ActorRef
    outcome: str = "done"
    code: str | None = None
    on: tuple[On, ...] = ()
    fields: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    count: int | None = None
    part: tuple[int, int] | None = None
    purpose: str | None = None
    basis: BasisRef | None = None
    to: str | None = None
    off_hours: bool | None = None
    request: str | None = None
    prior: str | None = None
    source: Source | None = None
    sealed: tuple[Sealed, ...] = ()
    writer: Writer | None = None

    def __post_init__(self) -> None:
        _match(self.id, _UUID7, "$.id")
        if uuid.UUID(self.id).int >> 80 != _milliseconds(self.at):
            raise SchemaError("$.id", "its milliseconds differ from those of at")
        object.__setattr__(self, "at", self.at.astimezone(UTC))
        _match(self.action, _DOTTED, "$.action")
        _one_of(self.outcome, OUTCOMES, "$.outcome")
        _maybe(self.code, _CODE, "$.code")
        if (self.code is None) != (self.outcome == "done"):
            raise SchemaError("$.code", "is null exactly when the outcome is done")
        object.__setattr__(self, "on", tuple(self.on))
        if len(self.on) > 1 and any(on.rev is not None for on in self.on):
            raise SchemaError("$.on", "a change names exactly one row")
        object.__setattr__(self, "fields", _sorted_names(self.fields, _DOTTED, "$.fields"))
        object.__setattr__(self, "categories", _sorted_names(self.categories, _CODE, "$.categories"))
        object.__setattr__(self, "sealed", tuple(self.sealed))
        if self.count is not None:
            _whole(self.count, 0, "$.count")
        if self.part is not None:
            object.__setattr__(self, "part", _checked_part(self.part))
        if self.purpose is not None:
            _one_of(self.purpose, PURPOSES, "$.purpose")
        _maybe(self.to, _ID, "$.to")
        if self.off_hours is not None and type(self.off_hours) is not bool:
            raise SchemaError("$.off_hours", "must be true, false or null")
        _maybe(self.request, _ID, "$.request")
        _maybe(self.prior, _UUID7, "$.prior")

    @property
    def rows(self) -> int:
        """How many rows this event names."""
        return sum(len(on.rows) for on in self.on)

    def subjects(self) -> dict[str, str]:
        """Each participant that the event names, with the type under which they are named first.

        `actor` where they only acted, `sealed` where only sealed detail is about them. The index `audit_subject` holds
        this.
        """
        found: dict[str, str] = {}
        for on in self.on:
            for _, subject in on.rows:
                if subject is not None:
                    found.setdefault(subject, on.type)
        if self.actor.kind == "participant" and self.actor.id is not None:
            found.setdefault(self.actor.id, "actor")
        for sealed in self.sealed:
            if sealed.subject is not None:
                found.setdefault(sealed.subject, "sealed")
        return found

    def body(self) -> dict[str, Json]:
        """The body as plain values. `SchemaError` if it names more than 500 rows: `split` it first."""
        if self.rows > MAX_ROWS:
            raise SchemaError("$.on", f"names more than {MAX_ROWS} rows; split the event")
        return {
            "v": VERSION,
            "id": self.id,
            "at": instant(self.at),
            "action": self.action,
            "outcome": self.outcome,
            "code": self.code,
            "actor": self.actor.body(),
            "on": [on.body() for on in self.on] or None,
            "fields": list(self.fields) or None,
            "categories": list(self.categories) or None,
            "count": self.count,
            "part": None if self.part is None else list(self.part),
            "purpose": self.purpose,
            "basis": None if self.basis is None else self.basis.body(),
            "to": self.to,
            "off_hours": self.off_hours,
            "request": self.request,
            "prior": self.prior,
            "source": None if self.source is None else self.source.body(),
            "sealed": [sealed.body() for sealed in self.sealed] or None,
            "writer": None if self.writer is None else self.writer.body(),
        }

    def encode(self) -> bytes:
        """The canonical bytes of the body: what is stored, hashed and served."""
        return canonical(self.body())


# -- acts that take several events -------------------------------------------------------------------------------------


def split(event: Event) -> tuple[Event, ...]:
    """One look of any number of rows as events of at most 500 rows each, all of one `request` and one time.

    Returns the event itself when it fits. Otherwise each part has `part` (i, k), the `count` of the whole act (by
    default the number of its rows) and an id of its own that follows on the part before, so parts read in order. The
    first keeps the event's id and all its sealed detail, which is bound to that id.
    """
    if event.rows <= MAX_ROWS:
        return (event,)
    if event.request is None:
        raise SchemaError("$.request", "an act of several events needs its request id")
    if event.writer is not None:
        raise SchemaError("$.writer", "is given to each part when it is appended")
    named = [(on.type, row) for on in event.on for row in on.rows]
    chunks = [named[start : start + MAX_ROWS] for start in range(0, len(named), MAX_ROWS)]
    return tuple(
        dataclasses.replace(
            event,
            id=_following(event.id, index),
            on=_grouped(chunk),
            count=len(named) if event.count is None else event.count,
            part=(index + 1, len(chunks)),
            sealed=() if index else event.sealed,
        )
        for index, chunk in enumerate(chunks)
    )


def _following(event_id: str, steps: int) -> str:
    """The id `steps` further on in its millisecond: its random part serves as a counter (RFC 9562 section 6.2)."""
    bits = uuid.UUID(event_id).int
    counter = (1 << 62) - 1
    return str(uuid.UUID(int=bits & ~counter | (bits + steps) & counter))


def number(events: Sequence[Event]) -> tuple[Event, ...]:
    """The events of one act, one for each row changed, with `part` (i, k) and the `count` of rows in the whole act.

    A single event is left without `part`. All must carry one and the same `request`.
    """
    if len(events) > 1 and (events[0].request is None or len({event.request for event in events}) > 1):
        raise SchemaError("$.request", "the events of one act carry one request id")
    total = sum(event.rows for event in events)
    if len(events) == 1:
        return (dataclasses.replace(events[0], count=total),)
    return tuple(
        dataclasses.replace(event, count=total, part=(index, len(events)))
        for index, event in enumerate(events, start=1)
    )


def _grouped(named: Iterable[tuple[str, tuple[str, str | None]]]) -> tuple[On, ...]:
    rows: dict[str, list[tuple[str, str | None]]] = {}
    for type_, row in named:
        rows.setdefault(type_, []).append(row)
    return tuple(On(type_, tuple(those)) for type_, those in rows.items())


# -- reading bytes back ------------------------------------------------------------------------------------------------


def parse(data: bytes) -> Event:
    """The event of these stored bytes.

    Strict: `ProfileError` unless the bytes are canonical (a doubled key, a space, another key order, a float, an escape
    that need not be one), `SchemaError` unless keys are exactly those of version 1 and every value is in its one
    spelling.
    """
    if len(data) > MAX_BYTES:
        raise ProfileError("$", f"is longer than {MAX_BYTES:,} bytes")
    try:
        value: object = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_undoubled,
            parse_float=_no_float,
            parse_constant=_no_float,
        )
    except ProfileError:
        raise
    except UnicodeDecodeError:
        raise ProfileError("$", "not UTF-8") from None
    except (ValueError, RecursionError):
        raise ProfileError("$", "not JSON") from None  # the cause quotes the text
    if type(value) is not dict:
        raise ProfileError("$", "must be an object")
    if canonical(value) != data:
        raise ProfileError("$", "not the canonical bytes of its value")
    event = _event(value)
    if event.encode() != data:
        raise SchemaError("$", "not in the one spelling: an empty list, or names unsorted or repeated")
    return event


def _undoubled(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ProfileError("$", "a key stands twice in one object")
    return members


def _no_float(_text: str) -> NoReturn:
    raise ProfileError("$", "floating-point number")


def _event(value: dict[str, object]) -> Event:
    """The values are handed on as they are: each part checks the type and the form of what it is given."""
    body = _object(value, KEYS, "$")
    if body["v"] != VERSION or type(body["v"]) is not int:
        raise SchemaError("$.v", "is not version 1")
    parts: dict[str, object] = {name: body[name] for name in _PLAIN_KEYS}
    parts |= {name: tuple(_list(body[name], f"$.{name}")) for name in ("fields", "categories")}
    parts["at"] = _parsed_instant(body["at"])
    parts["on"] = tuple(_on(item) for item in _list(body["on"], "$.on"))
    parts["sealed"] = tuple(_part("sealed", item) for item in _list(body["sealed"], "$.sealed"))
    parts["actor"] = _part("actor", body["actor"])
    for name in ("basis", "source", "writer"):
        parts[name] = None if body[name] is None else _part(name, body[name])
    return Event(**parts)  # type: ignore[arg-type]  # Event checks each part itself


def _part(name: str, value: object) -> object:
    kind, keys = _PARTS[name]
    return kind(**_object(value, keys, f"$.{name}"))


_PLAIN_KEYS = frozenset(
    {"id", "action", "outcome", "code", "count", "part", "purpose", "to", "off_hours", "request", "prior"}
)
_PARTS: Mapping[str, tuple[Callable[..., object], frozenset[str]]] = {
    "actor": (ActorRef, frozenset({"kind", "id", "org", "role", "session", "behalf"})),
    "basis": (BasisRef, frozenset({"kind", "id", "rev"})),
    "source": (Source, frozenset({"channel", "net"})),
    "sealed": (Sealed, frozenset({"subject", "ct"})),
    "writer": (Writer, frozenset({"id", "n", "prev"})),
}
_LOOK_KEYS = frozenset({"type", "rows"})
_CHANGE_KEYS = frozenset({"type", "rows", "rev", "set", "cells"})


def _on(value: object) -> On:
    changed = type(value) is dict and "rev" in value
    item = _object(value, _CHANGE_KEYS if changed else _LOOK_KEYS, "$.on")
    rows: list[tuple[str, str | None]] = []
    for row in _list(item["rows"], "$.on.rows", empty=True):
        if type(row) is not list or len(row) != 2:  # noqa: PLR2004  # [id, subject]
            raise SchemaError("$.on.rows", "a row is [id, subject]")
        rows.append((row[0], row[1]))
    if not changed:
        return On(cast("str", item["type"]), tuple(rows))
    if item["rev"] is None:
        raise SchemaError("$.on.rev", "must be a whole number of 1 or more")
    return On(
        cast("str", item["type"]),
        tuple(rows),
        cast("int", item["rev"]),
        cast("Mapping[str, Json] | None", item["set"]),
        cast("Mapping[str, str | None] | None", item["cells"]),
    )


def _parsed_instant(value: object) -> datetime:
    _match(value, _INSTANT, "$.at")
    try:
        return datetime.fromisoformat(cast("str", value))
    except ValueError:
        raise SchemaError("$.at", "no such time") from None


def _object(value: object, keys: frozenset[str], path: str) -> dict[str, object]:
    if type(value) is not dict:
        raise SchemaError(path, "must be an object")
    members = cast("dict[str, object]", value)
    if missing := keys - members.keys():
        raise SchemaError(path, f"lacks {', '.join(sorted(missing))}")
    if len(members) > len(keys):
        raise SchemaError(path, "has an unknown key")
    return members


def _list(value: object, path: str, *, empty: bool = False) -> list[object]:
    if value is None and not empty:
        return []
    if type(value) is not list:
        raise SchemaError(path, "must be a list")
    return cast("list[object]", value)


# -- rules for single values -------------------------------------------------------------------------------------------


def _match(value: object, pattern: re.Pattern[str], path: str) -> None:
    if type(value) is not str or not pattern.fullmatch(value):
        raise SchemaError(path, f"must be of the form {pattern.pattern}")


def _maybe(value: object, pattern: re.Pattern[str], path: str) -> None:
    if value is not None:
        _match(value, pattern, path)


def _one_of(value: object, allowed: frozenset[str], path: str) -> None:
    if type(value) is not str or value not in allowed:
        raise SchemaError(path, f"must be one of {', '.join(sorted(allowed))}")


def _whole(value: object, least: int, path: str) -> None:
    if type(value) is not int or not least <= value <= MAX_INTEGER:
        raise SchemaError(path, f"must be a whole number of {least} or more")


def _checked_part(value: object) -> tuple[int, int]:
    if type(value) not in (tuple, list) or len(cast("Sequence[object]", value)) != 2:  # noqa: PLR2004  # (i, k)
        raise SchemaError("$.part", "is [i, k]")
    index, total = cast("Sequence[int]", value)
    _whole(total, 2, "$.part")
    _whole(index, 1, "$.part")
    if index > total:
        raise SchemaError("$.part", "i is at most k")
    return index, total


def _sorted_names(names: Iterable[str], pattern: re.Pattern[str], path: str) -> tuple[str, ...]:
    if isinstance(names, str):
        raise SchemaError(path, "is a list of names")
    names = tuple(names)
    for name in names:
        _match(name, pattern, path)
    return tuple(sorted(set(names)))


def _names(members: object, path: str) -> None:
    if not isinstance(members, Mapping):
        raise SchemaError(path, "must be an object or null")
    for name in members:
        _match(name, _CODE, path)


def _freeze(value: Json) -> Json:
    if isinstance(value, Mapping):
        return MappingProxyType({key: _freeze(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(_freeze(item) for item in value)
    return value


def _thaw(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {key: _thaw(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_thaw(item) for item in value]
    return value
