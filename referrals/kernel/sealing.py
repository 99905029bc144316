"""Sealing without a database: the envelope, the kinds of values it holds, and blind indexes with their normalizers.

Pure: bytes in, bytes out. Keys come from `kernel/keys.py`, mapped columns from `kernel/crypto.py`.

An envelope is `FE 01` (magic and suite: AES-256-GCM), key id (u32), nonce (12 bytes), ciphertext and tag. Its
associated data names table, column, row and person, so that a value opens only where it was sealed. AES-256 is used as
specified in FIPS 197, in GCM mode with random 96-bit nonces (NIST SP 800-38D).
"""

from __future__ import annotations

import copy
import functools
import hashlib
import hmac
import json
import os
import re
import struct
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

T = TypeVar("T")

MAGIC: Final = 0xFE
SUITE: Final = 0x01
HEADER: Final = struct.Struct(">BBI")
#: The shortest envelope holds an empty value.
SHORTEST: Final = HEADER.size + 12 + 1 + 16
#: Bytes an envelope adds to a payload: header 6, nonce 12, tag byte 1, GCM tag 16.
OVERHEAD: Final = 35
#: Longest payload, in bytes. Larger things are rows of parts.
LIMIT: Final = 2 * 1024 * 1024
#: Longest payload that can be padded: its length is a u16.
PADDED_LIMIT: Final = 0xFFFF
PADDED: Final = 0x80
BLOCK: Final = 32
NO_OWNER: Final = bytes(16)

_NONCE = 12
_SIXTEEN = struct.pack(">H", 16)
_INTEGER_BITS = 4096
_INTEGER = re.compile(rb"(0|-?[1-9][0-9]*)\Z")
_E164_SHORTEST, _E164_LONGEST, _US_DIGITS = 8, 15, 10


class SealedValueError(ValueError):
    """A value cannot be sealed: wrong type, too long, or not encodable. `code` says which; the value is not shown."""

    def __init__(self, code: str) -> None:
        """Keep the code: `wrong_type`, `too_long`, `not_encodable`, `required`."""
        super().__init__(code)
        self.code = code


class UnsealError(Exception):
    """A stored value cannot be opened. Carries where it stands and why, never bytes of it.

    Codes: `not_sealed`, `unknown_suite`, `too_short`, `unknown_key`, `wrong_key` (a key of another person or purpose),
    `key_disabled`, `key_destroyed`, `altered` (the tag does not hold: changed, moved, or of another row), `malformed`
    (it opened, but is no value of its column's kind), `detached` (the row left its session before it was read).
    """

    def __init__(self, table: str, column: str, row_id: object, key_id: int | None, code: str) -> None:
        """Keep the place and the code."""
        super().__init__(f"{table}.{column} of row {row_id} cannot be opened ({code}, key {key_id})")
        self.table = table
        self.column = column
        self.row_id = row_id
        self.key_id = key_id
        self.code = code


class Cell(NamedTuple):
    """The place of one sealed value: table, column, row, and the participant it is about (None: data of the house)."""

    table: str
    column: str
    row_id: UUID
    owner: UUID | None = None

    def aad(self, header: bytes) -> bytes:
        """Return the associated data: the six header bytes, then five fields, each behind its length."""
        return header + place(self.table, self.column) + row_of(self.row_id, self.owner)


def framed(*fields: bytes) -> bytes:
    """Return the fields, each behind its u16 length: (`ab`, `c`) and (`a`, `bc`) differ."""
    return b"".join(struct.pack(">H", len(field)) + field for field in fields)


@functools.lru_cache(maxsize=4096)
def place(table: str, column: str) -> bytes:
    """Return the part of the associated data that all values of a column share."""
    return framed(b"tg1", table.encode(), column.encode())


def row_of(row_id: UUID, owner: UUID | None) -> bytes:
    """Return the part of the associated data that all values of a row share."""
    return b"".join((_SIXTEEN, row_id.bytes, _SIXTEEN, NO_OWNER if owner is None else owner.bytes))


# --- kinds of values -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Kind(Generic[T]):
    """A kind of value that can be sealed: its tag byte, and its encoding both ways.

    `settle` checks a value as it is set and gives back the form that will be read later (NFC text, UTC instants).
    `fresh` copies values that could be changed in place.
    """

    name: str
    tag: int
    settle: Callable[[T], T]
    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]
    fresh: Callable[[T], T] | None = None


def _exactly(value: object, kind: type) -> None:
    # `True` is no integer here and a datetime no date, though Python says so: they would read back as something else.
    if type(value) is not kind:
        raise SealedValueError("wrong_type")


def _settle_text(value: str) -> str:
    if not isinstance(value, str):
        raise SealedValueError("wrong_type")
    return unicodedata.normalize("NFC", str.__str__(value))  # a subclass (an enum, markup) leaves its class behind


def _encode_text(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:  # a lone surrogate; the original error would carry the text
        raise SealedValueError("not_encodable") from None


def _settle_octets(value: bytes) -> bytes:
    _exactly(value, bytes)
    return bytes(value)


def _settle_integer(value: int) -> int:
    _exactly(value, int)
    if value.bit_length() > _INTEGER_BITS:  # Python refuses to write integers beyond 4,300 digits
        raise SealedValueError("too_long")
    return value


def _decode_integer(payload: bytes) -> int:
    if not _INTEGER.match(payload):
        raise ValueError
    return int(payload)


def _settle_day(value: date) -> date:
    _exactly(value, date)
    return value


def _settle_instant(value: object) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise SealedValueError("wrong_type")
    try:
        return value.astimezone(UTC)
    except OverflowError:  # a zone can carry the first and the last day out of the calendar
        raise SealedValueError("not_encodable") from None


def _encode_instant(value: datetime) -> bytes:
    return f"{value.replace(tzinfo=None).isoformat(timespec='microseconds')}Z".encode()


def _decode_instant(payload: bytes) -> datetime:
    return datetime.strptime(payload.decode("ascii"), "%Y-%m-%dT%H:%M:%S.%f%z").astimezone(UTC)


def _settle_structure(value: object) -> Structure:
    settled: Structure = json.loads(_encode_structure(value))
    return settled


def _plain(value: object) -> bool:
    if value is None or type(value) in (bool, int, str):
        return True
    if isinstance(value, list):
        return all(map(_plain, value))
    return isinstance(value, dict) and all(type(key) is str and _plain(item) for key, item in value.items())


def _encode_structure(value: object) -> bytes:
    try:
        if not isinstance(value, (dict, list)) or not _plain(
            value
        ):  # floats have no canonical form here; tuples and sets would read back as lists
            raise SealedValueError("wrong_type")
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except RecursionError:
        raise SealedValueError("not_encodable") from None
    return _encode_text(text)


def _settle_boolean(value: bool) -> bool:
    _exactly(value, bool)
    return value


_BOOLEANS: Final = {b"0": False, b"1": True}

Structure: TypeAlias = dict[str, Any] | list[Any]

text: Final[Kind[str]] = Kind("text", 0x01, _settle_text, _encode_text, bytes.decode)
octets: Final[Kind[bytes]] = Kind("bytes", 0x02, _settle_octets, bytes, bytes)
integer: Final[Kind[int]] = Kind("integer", 0x03, _settle_integer, lambda value: b"%d" % value, _decode_integer)
day: Final[Kind[date]] = Kind(
    "date",
    0x04,
    _settle_day,
    lambda value: value.isoformat().encode(),
    lambda raw: date.fromisoformat(raw.decode("ascii")),
)
instant: Final[Kind[datetime]] = Kind("instant", 0x05, _settle_instant, _encode_instant, _decode_instant)
structure: Final[Kind[Structure]] = Kind("json", 0x06, _settle_structure, _encode_structure, json.loads, copy.deepcopy)
boolean: Final[Kind[bool]] = Kind(
    "boolean", 0x07, _settle_boolean, lambda value: b"1" if value else b"0", _BOOLEANS.__getitem__
)

KINDS: Final[dict[int, Kind[Any]]] = {
    kind.tag: kind for kind in (text, octets, integer, day, instant, structure, boolean)
}


def settled(kind: Kind[T], value: T, *, padded: bool = False) -> T:
    """Return the value as it will be read back; refuse what cannot be sealed.

    Raises:
        SealedValueError: wrong type, too long, or not encodable.
    """
    checked = kind.settle(value)
    if len(kind.encode(checked)) > (PADDED_LIMIT if padded else LIMIT):
        raise SealedValueError("too_long")
    return checked


def plaintext(kind: Kind[T], value: T, *, padded: bool = False) -> bytes:
    """Return tag byte and payload; padded: with its length, filled with zeros to a multiple of 32 bytes."""
    payload = kind.encode(value)
    if not padded:
        if len(payload) > LIMIT:
            raise SealedValueError("too_long")
        return bytes((kind.tag,)) + payload
    if len(payload) > PADDED_LIMIT:
        raise SealedValueError("too_long")
    body = struct.pack(">BH", kind.tag | PADDED, len(payload)) + payload
    return body + bytes(-len(body) % BLOCK)


def read_plaintext(plain: bytes, kind: Kind[T] | None = None) -> T:
    """Return the value inside an opened envelope; `kind` is what its column holds, if known.

    Raises:
        ValueError: it is no value of that kind, or its padding is not zeros.
    """
    tag = plain[0]
    found = KINDS[tag & ~PADDED] if kind is None else kind
    if tag & ~PADDED != found.tag:
        raise ValueError("kind")
    if not tag & PADDED:
        return found.decode(plain[1:])
    (length,) = struct.unpack_from(">H", plain, 1)
    end = 3 + length
    if len(plain) % BLOCK or end > len(plain) or len(plain) - end >= BLOCK or any(plain[end:]):
        raise ValueError("padding")
    return found.decode(plain[3:end])


# --- envelopes -------------------------------------------------------------------------------------------------------


def seal(
    key: bytes | AESGCM,
    key_id: int,
    kind: Kind[T],
    value: T,
    cell: Cell,
    *,
    padded: bool = False,
    nonce: bytes | None = None,
) -> bytes:
    """Return the envelope of one value. `nonce` is for known answers in tests alone.

    Raises:
        SealedValueError: the value cannot be sealed.
    """
    return seal_plaintext(key, key_id, plaintext(kind, value, padded=padded), cell, nonce=nonce)


def seal_plaintext(key: bytes | AESGCM, key_id: int, plain: bytes, cell: Cell, *, nonce: bytes | None = None) -> bytes:
    """Return the envelope of a plaintext that already has its tag byte."""
    cipher = AESGCM(key) if isinstance(key, bytes) else key
    header = HEADER.pack(MAGIC, SUITE, key_id)
    return bind(cipher, header, plain, cell.aad(header), os.urandom(_NONCE) if nonce is None else nonce)


def bind(cipher: AESGCM, header: bytes, plain: bytes, aad: bytes, nonce: bytes) -> bytes:
    """Return the envelope, from parts that a caller with many cells of one row makes once."""
    return header + nonce + cipher.encrypt(nonce, plain, aad)


def key_id_of(envelope: bytes, cell: Cell) -> int:
    """Return the id of the one key that opens the envelope. Nothing is negotiated: another suite is refused.

    Raises:
        UnsealError: `not_sealed`, `unknown_suite`, `too_short`.
    """
    if len(envelope) < HEADER.size:
        raise _cannot(cell, None, "not_sealed" if not envelope or envelope[0] != MAGIC else "too_short")
    magic, suite, key_id = HEADER.unpack_from(envelope)
    if magic != MAGIC:
        raise _cannot(cell, None, "not_sealed")
    if suite != SUITE:
        raise _cannot(cell, None, "unknown_suite")
    if len(envelope) < SHORTEST:
        raise _cannot(cell, key_id, "too_short")
    return int(key_id)


def open_envelope(key: bytes | AESGCM, envelope: bytes, cell: Cell, kind: Kind[T] | None = None) -> T:
    """Return the value sealed in `envelope` at `cell`; with `kind`, refuse a value of another kind.

    Raises:
        UnsealError: it was changed or moved, or is no value of that kind.
    """
    return open_checked(AESGCM(key) if isinstance(key, bytes) else key, key_id_of(envelope, cell), envelope, cell, kind)


def open_checked(cipher: AESGCM, key_id: int, envelope: bytes, cell: Cell, kind: Kind[T] | None = None) -> T:
    """Do the same for an envelope whose header `key_id_of` has read."""
    try:
        return unbind(cipher, envelope, cell.aad(envelope[:6]), kind)
    except UnboundError as fault:
        raise _cannot(cell, key_id, fault.code) from None


class UnboundError(Exception):
    """An envelope does not open; whoever knows its cell says so with an `UnsealError`."""

    def __init__(self, code: str) -> None:
        """Keep the code."""
        super().__init__(code)
        self.code = code


def unbind(cipher: AESGCM, envelope: bytes, aad: bytes, kind: Kind[T] | None) -> T:
    """Return the value in an envelope of sufficient length, given its whole associated data.

    Raises:
        UnboundError: `altered` or `malformed`.
    """
    try:
        plain = cipher.decrypt(envelope[6:18], envelope[18:], aad)
    except InvalidTag:
        raise UnboundError("altered") from None
    try:
        return read_plaintext(plain, kind)
    except (ValueError, KeyError, IndexError, struct.error, RecursionError):
        # Not chained: errors of decoders carry what they could not decode.
        raise UnboundError("malformed") from None


def _cannot(cell: Cell, key_id: int | None, code: str) -> UnsealError:
    return UnsealError(cell.table, cell.column, cell.row_id, key_id, code)


# --- blind indexes ---------------------------------------------------------------------------------------------------


def index_info(table: str, column: str, index: str, version: int) -> bytes:
    """Return HKDF's `info` for one version of one index."""
    return framed(b"tg-index", table.encode(), column.encode(), index.encode()) + struct.pack(">I", version)


def index_key(root: bytes, info: bytes) -> bytes:
    """Return the key of an index: HKDF-SHA-256 of the index root, no salt."""
    return HKDF(hashes.SHA256(), 32, None, info).derive(root)


def index_of(key: bytes, normalized: str, *, partition: bytes = b"", bits: int) -> bytes:
    """Return a blind index: HMAC-SHA-256 cut to `bits`, in whole bytes whose unused low bits are zero."""
    whole = hmac.digest(key, framed(partition, normalized.encode()), hashlib.sha256)
    kept = whole[: -(-bits // 8)]
    spare = -bits % 8
    return kept if not spare else kept[:-1] + bytes((kept[-1] & (0xFF << spare) & 0xFF,))


def numbers(value: str) -> str:
    """Normalize an agency's number of a person: NFKC, upper case, letters and digits only."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", value).upper()))


def names(value: str) -> str:
    """Normalize a name: NFKC, casefold, one space between words, none around."""
    if value.isascii():  # as most are: nothing to compose, and lower case is all there is to fold
        return " ".join(value.lower().split())
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())


def folded_names(value: str) -> str:
    """Normalize a name down to bare letters and digits: `Núñez` is `nunez`, `O'Brien` is `obrien`."""
    if value.isascii():
        lower = value.lower()
        return lower if lower.isalnum() else "".join(filter(str.isalnum, lower))
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", names(value))))


def folded_name_and_day(name: str, born: date) -> str:
    """Normalize a family name with a birth date, as one compound value. Empty when the name is."""
    folded = folded_names(name)
    return f"{folded}|{born.isoformat()}" if folded else ""


def phones(value: str) -> str:
    """Normalize a telephone number to E.164; ten digits without a country code count as one of the US. Else empty."""
    plain = unicodedata.normalize("NFKC", value).strip()
    digits = "".join(str(unicodedata.decimal(sign)) for sign in plain if sign.isdecimal())
    if not plain.startswith("+"):
        if len(digits) == _US_DIGITS:
            digits = f"1{digits}"
        elif len(digits) != _US_DIGITS + 1 or not digits.startswith("1"):
            return ""
    return f"+{digits}" if _E164_SHORTEST <= len(digits) <= _E164_LONGEST else ""


def addresses(value: str) -> str:
    """Normalize an e-mail address: NFKC, trimmed, casefold."""
    return unicodedata.normalize("NFKC", value).strip().casefold()
