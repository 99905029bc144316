"""Envelopes, kinds of values, indexes: known answers, and everything that has to fail."""

# ruff: noqa: RUF001  # names are written in many scripts

from __future__ import annotations

import base64
import hashlib
import hmac
import pickle
import struct
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from referrals.kernel import sealing
from referrals.kernel.sealing import (
    LIMIT,
    OVERHEAD,
    PADDED_LIMIT,
    Cell,
    Kind,
    SealedValueError,
    UnsealError,
    boolean,
    day,
    framed,
    instant,
    integer,
    octets,
    open_envelope,
    seal,
    seal_plaintext,
    settled,
    structure,
    text,
)

KEY = bytes(range(32))
NONCE = bytes(range(12))
CELL = Cell("person", "family_name", UUID(int=1), UUID(int=2))


def code_of(envelope: bytes, cell: Cell = CELL, kind: Kind[object] | None = None, key: bytes = KEY) -> str:
    with pytest.raises(UnsealError) as caught:
        open_envelope(key, envelope, cell, kind)
    return caught.value.code


# --- known answers ---------------------------------------------------------------------------------------------------


def test_the_known_text_becomes_the_known_bytes() -> None:
    known = "fe0100000007000102030405060708090a0b464c15a10654a7614e85c5e4d04df44a14617da513fd9671"
    assert seal(KEY, 7, text, "Núñez", CELL, nonce=NONCE).hex() == known
    assert open_envelope(KEY, bytes.fromhex(known), CELL, text) == "Núñez"


def test_the_known_padded_text_becomes_the_known_bytes() -> None:
    envelope = seal(KEY, 7, text, "yes", CELL, padded=True, nonce=NONCE)
    assert len(envelope) == 66
    assert envelope[18:].hex() == (
        "c602d562a096c21b8d41978bb1e9786d83d68734f07b5f7c3867e5851d6900b2ece7c949c44e259b24900a53a5d57684"
    )
    assert open_envelope(KEY, envelope, CELL, text) == "yes"


def test_an_envelope_follows_from_the_written_format_alone() -> None:
    """Built here by hand from the format, without our code."""
    header = b"\xfe\x01" + struct.pack(">I", 7)
    fields = (b"tg1", b"person", b"family_name", UUID(int=1).bytes, UUID(int=2).bytes)
    aad = header + b"".join(struct.pack(">H", len(field)) + field for field in fields)
    by_hand = header + NONCE + AESGCM(KEY).encrypt(NONCE, b"\x01" + "Núñez".encode(), aad)
    assert seal(KEY, 7, text, "Núñez", CELL, nonce=NONCE) == by_hand


@pytest.mark.parametrize(
    ("key", "nonce", "plain", "aad", "sealed"),
    [
        # McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13, 14 and 16 (AES-256).
        ("00" * 32, "00" * 12, "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
        ("00" * 32, "00" * 12, "00" * 16, "", "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"),
        (
            "feffe9928665731c6d6a8f9467308308" * 2,
            "cafebabefacedbaddecaf888",
            (
                "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
            ),
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            (
                "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
                "76fc6ece0f4e1768cddf8853bb2d551b"
            ),
        ),
    ],
)
def test_the_cipher_is_the_published_one(key: str, nonce: str, plain: str, aad: str, sealed: str) -> None:
    raw = bytes.fromhex
    assert AESGCM(raw(key)).encrypt(raw(nonce), raw(plain), raw(aad)).hex() == sealed


def test_the_known_index() -> None:
    key = sealing.index_key(bytes(range(32, 64)), sealing.index_info("person", "family_name", "name", 1))
    known = "f90563d4f8e1dd6ee5445f1aa64590bfa5176b57c56fac1c7d58f7f6526172a9"
    assert sealing.index_of(key, sealing.names(" Núñez "), bits=256).hex() == known
    assert sealing.index_of(key, sealing.names(" Núñez "), bits=12).hex() == "f900"
    assert sealing.index_of(key, sealing.names(" Núñez "), bits=128).hex() == known[:32]


def test_an_index_key_follows_from_rfc_5869_alone() -> None:
    root, info = bytes(range(32, 64)), sealing.index_info("person", "family_name", "name", 1)
    assert info == b"\0\x08tg-index\0\x06person\0\x0bfamily_name\0\x04name\0\0\0\x01"
    extracted = hmac.digest(bytes(32), root, hashlib.sha256)
    assert sealing.index_key(root, info) == hmac.digest(extracted, info + b"\x01", hashlib.sha256)


# --- what does not open ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padded", [False, True])
def test_every_flipped_bit_is_an_error(padded: bool) -> None:
    envelope = seal(KEY, 7, text, "Núñez", CELL, padded=padded)
    for place in range(len(envelope)):
        for bit in range(8):
            forged = bytearray(envelope)
            forged[place] ^= 1 << bit
            expected = "not_sealed" if place == 0 else "unknown_suite" if place == 1 else "altered"
            assert code_of(bytes(forged)) == expected


def test_every_cut_and_extension_is_an_error() -> None:
    envelope = seal(KEY, 7, text, "Núñez", CELL)
    for length in range(len(envelope)):
        assert code_of(envelope[:length]) in {"not_sealed", "too_short", "altered"}
        if length:
            assert code_of(envelope[length:]) in {"not_sealed", "unknown_suite", "too_short", "altered"}
    for extra in (b"\0", b"x" * 16, envelope):
        assert code_of(envelope + extra) == "altered"


@pytest.mark.parametrize(
    "elsewhere",
    [
        CELL._replace(table="contact"),
        CELL._replace(column="given_name"),
        CELL._replace(row_id=UUID(int=3)),
        CELL._replace(owner=UUID(int=3)),
        CELL._replace(owner=None),
        CELL._replace(row_id=UUID(int=2), owner=UUID(int=1)),
        Cell("personfamily", "_name", CELL.row_id, CELL.owner),
        Cell("perso", "nfamily_name", CELL.row_id, CELL.owner),
        Cell("", "personfamily_name", CELL.row_id, CELL.owner),
    ],
)
def test_a_value_opens_only_where_it_was_sealed(elsewhere: Cell) -> None:
    assert code_of(seal(KEY, 7, text, "Núñez", CELL), elsewhere) == "altered"


@given(st.lists(st.binary(max_size=5), min_size=1, max_size=4), st.lists(st.binary(max_size=5), min_size=1, max_size=4))
def test_different_fields_never_frame_alike(some: list[bytes], others: list[bytes]) -> None:
    assert (framed(*some) == framed(*others)) == (some == others)


def test_another_key_or_key_id_does_not_open() -> None:
    envelope = seal(KEY, 7, text, "Núñez", CELL)
    assert code_of(envelope, key=bytes(32)) == "altered"
    assert code_of(envelope[:5] + b"\x08" + envelope[6:]) == "altered"


@pytest.mark.parametrize("suite", [0, 2, 255])
def test_other_suites_are_refused_and_not_tried(suite: int) -> None:
    """Even one that would open: no version is negotiated."""
    header = bytes((0xFE, suite)) + struct.pack(">I", 7)
    forged = header + NONCE + AESGCM(KEY).encrypt(NONCE, b"\x01x", CELL.aad(header))
    assert code_of(forged) == "unknown_suite"


@pytest.mark.parametrize("stored", [b"", b"plain", "Núñez".encode(), b"gAAAAABl", b"\x01\xfe"])
def test_what_was_never_sealed_is_not_shown(stored: bytes) -> None:
    assert code_of(stored) == "not_sealed"


@pytest.mark.parametrize(
    "plain",
    [
        b"\x08x",  # no such kind
        b"\x00x",
        b"\x01\xff\xfe",  # no UTF-8
        b"\x03",
        b"\x03007",
        b"\x03-0",
        b"\x03+1",
        b"\x03 1",
        b"\x031_0",
        "\x03١".encode(),
        b"\x042026-13-01",
        b"\x042026-1-1",
        b"\x05yesterday",
        b"\x052026-01-01T00:00:00.000000",
        b"\x06{",
        b"\x06" + b"[" * 100_000,
        b"\x07",
        b"\x07yes",
        b"\x81",  # padded, without a length
        b"\x81\x00",
        b"\x81\x00\x05yes",
        b"\x81\x00\x03yes" + bytes(25),  # not a multiple of 32
        b"\x81\x00\x03yes" + bytes(25) + b"!",  # something in the padding
        b"\x81\x00\x03yes" + bytes(26 + 32),  # a block too many
        b"\x81\xff\xffyes" + bytes(26),  # a length beyond the end
    ],
)
def test_an_authentic_plaintext_of_no_form_is_an_error(plain: bytes) -> None:
    assert code_of(seal_plaintext(KEY, 7, plain, CELL)) == "malformed"


def test_a_value_of_another_kind_is_an_error() -> None:
    assert code_of(seal(KEY, 7, text, "7", CELL), kind=integer) == "malformed"  # type: ignore[arg-type]


def test_the_error_says_where_and_nothing_of_what() -> None:
    envelope = seal(KEY, 7, text, "Canary-Ibáñez", CELL)
    with pytest.raises(UnsealError) as caught:
        open_envelope(KEY, envelope[:-1], CELL)
    fault = caught.value
    assert (fault.table, fault.column, fault.row_id, fault.key_id) == ("person", "family_name", UUID(int=1), 7)
    assert fault.__cause__ is None
    assert fault.__suppress_context__
    said = repr(fault) + str(fault) + repr(vars(fault))
    assert "Canary" not in said
    assert envelope[6:20].hex() not in said


# --- what opens again ------------------------------------------------------------------------------------------------


class Code(StrEnum):
    YES = "yes"


ROUND_TRIPS = [
    (text, ""),
    (text, "Núñez"),
    (text, "👩🏽‍🤝‍👩🏼 نجيب Нина"),
    (text, "line\nline\ttab\0nul"),
    (octets, b""),
    (octets, bytes(range(256))),
    (integer, 0),
    (integer, -(2**70)),
    (integer, 2**4000),
    (day, date(1, 1, 1)),
    (day, date(9999, 12, 31)),
    (instant, datetime(33, 4, 3, 15, 0, 0, 1, tzinfo=UTC)),
    (instant, datetime(2026, 11, 22, 18, 0, tzinfo=timezone(timedelta(hours=-8)))),
    (structure, {}),
    (structure, {"b": [1, None, True, "ñ"], "a": {"x": {}}}),
    (structure, []),
    (boolean, True),
    (boolean, False),
]


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(("kind", "value"), ROUND_TRIPS)
def test_each_kind_comes_back_as_it_was_set(kind: Kind[object], value: object, padded: bool) -> None:
    read = open_envelope(KEY, seal(KEY, 7, kind, settled(kind, value), CELL, padded=padded), CELL, kind)
    assert read == value
    assert type(read) is type(value)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.booleans())
def test_any_text_comes_back(value: str, padded: bool) -> None:
    value = settled(text, value)
    assert open_envelope(KEY, seal(KEY, 7, text, value, CELL, padded=padded), CELL, text) == value


@given(st.datetimes(timezones=st.timezones()))
def test_any_instant_comes_back(value: datetime) -> None:
    try:
        value = settled(instant, value)
    except SealedValueError:
        assert value.year in {1, 9999}  # its zone carries it out of the calendar
        return
    assert open_envelope(KEY, seal(KEY, 7, instant, value, CELL), CELL, instant) == value


def test_combining_marks_are_composed_as_set() -> None:
    assert settled(text, "Nu\u0301n\u0303ez") == "Núñez"


def test_a_subclass_of_text_leaves_its_class_behind() -> None:
    assert type(settled(text, Code.YES)) is str
    assert settled(text, Code.YES) == "yes"


def test_structures_have_one_form() -> None:
    one, other = {"b": 1, "a": 2}, {"a": 2, "b": 1}
    assert seal(KEY, 7, structure, one, CELL, nonce=NONCE) == seal(KEY, 7, structure, other, CELL, nonce=NONCE)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (text, 1),
        (text, b"x"),
        (octets, "x"),
        (integer, True),
        (integer, 1.0),
        (integer, "1"),
        (day, datetime(2026, 1, 1, tzinfo=UTC)),
        (day, "2026-01-01"),
        (instant, datetime(2026, 1, 1)),  # noqa: DTZ001  # that is the point
        (instant, date(2026, 1, 1)),
        (boolean, 1),
        (boolean, "true"),
        (structure, {"a": 1.5}),
        (structure, {"a": float("nan")}),
        (structure, {1: "a"}),
        (structure, {"a": (1, 2)}),
        (structure, {"a": b"x"}),
        (structure, "a"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(kind: Kind[object], value: object) -> None:
    with pytest.raises(SealedValueError) as caught:
        settled(kind, value)
    assert caught.value.code == "wrong_type"


def test_what_cannot_be_written_is_refused_without_showing_it() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for kind, value in ((text, "Canary\ud800"), (structure, {"a": "Canary\ud800"}), (structure, deep)):
        with pytest.raises(SealedValueError) as caught:
            settled(kind, value)  # type: ignore[arg-type, misc]
        assert caught.value.code == "not_encodable"
        assert caught.value.__cause__ is None
        assert "Canary" not in repr(caught.value)


@pytest.mark.parametrize(("kind", "unit"), [(text, "x"), (octets, b"x")])
def test_two_megabytes_are_the_most(kind: Kind[str], unit: str) -> None:
    envelope = seal(KEY, 7, kind, unit * LIMIT, CELL)
    assert len(envelope) == LIMIT + OVERHEAD
    assert open_envelope(KEY, envelope, CELL, kind) == unit * LIMIT
    for refuse in (
        lambda: settled(kind, unit * (LIMIT + 1)),
        lambda: seal(KEY, 7, kind, unit * (LIMIT + 1), CELL),
        lambda: settled(kind, unit * (PADDED_LIMIT + 1), padded=True),
        lambda: seal(KEY, 7, kind, unit * (PADDED_LIMIT + 1), CELL, padded=True),
    ):
        with pytest.raises(SealedValueError) as caught:
            refuse()
        assert caught.value.code == "too_long"


def test_an_endless_integer_is_refused() -> None:
    with pytest.raises(SealedValueError):
        settled(integer, 1 << 5000)


def test_padding_hides_the_length_within_32_bytes() -> None:
    lengths = [len(seal(KEY, 7, text, "x" * n, CELL, padded=True)) for n in range(62)]
    assert lengths == [34 + 32] * 30 + [34 + 64] * 32
    assert len(seal(KEY, 7, text, "x" * PADDED_LIMIT, CELL, padded=True)) % 32 == 2


def test_equal_values_never_look_equal() -> None:
    envelopes = [seal(KEY, 7, text, "yes", CELL) for _ in range(2000)]
    assert len({envelope[6:18] for envelope in envelopes}) == 2000
    assert len({envelope[18:] for envelope in envelopes}) == 2000


def nonces_of(count: int) -> int:
    return len({seal(KEY, 7, boolean, True, CELL)[6:18] for _ in range(count)})


def test_twenty_thousand_nonces_are_unique() -> None:
    assert nonces_of(20_000) == 20_000


@pytest.mark.long
def test_a_million_nonces_are_unique() -> None:
    assert nonces_of(1_000_000) == 1_000_000


def test_the_overhead_is_35_bytes_and_no_text_of_fernet() -> None:
    envelope = seal(KEY, 7, text, "x" * 100, CELL)
    assert len(envelope) == 135 == 100 + OVERHEAD
    assert b"gAAAAA" not in base64.b64encode(envelope)


def test_unseal_errors_stay_readable_after_a_process_boundary() -> None:
    with pytest.raises(TypeError):  # they carry a place, and are not meant to travel
        pickle.loads(pickle.dumps(UnsealError("t", "c", uuid4(), 1, "altered")))  # noqa: S301


# --- normalizers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "name", "folded"),
    [
        (" Núñez ", "núñez", "nunez"),
        ("NU\u0301N\u0303EZ", "núñez", "nunez"),
        ("O'Brien", "o'brien", "obrien"),
        ("O\u2019Brien", "o\u2019brien", "obrien"),
        ("Smith-Jones", "smith-jones", "smithjones"),
        ("de  la\tCruz", "de la cruz", "delacruz"),
        ("Straße", "strasse", "strasse"),
        ("Łukasz", "łukasz", "łukasz"),  # a letter of its own, not an L with a mark
        ("نَجِيب", "نَجِيب", "نجيب"),
        ("Йо\u0301ффе", "йо\u0301ффе", "иоффе"),
        ("ИВАНОВ", "иванов", "иванов"),
        ("Ｎｇｕｙｅｎ　２", "nguyen 2", "nguyen2"),
        ("Nguyễn", "nguyễn", "nguyen"),
        ("", "", ""),
        (" - ", "-", ""),
    ],
)
def test_names_are_normalized(written: str, name: str, folded: str) -> None:
    assert sealing.names(written) == name
    assert sealing.folded_names(written) == folded


def test_a_folded_name_with_a_day_is_one_value() -> None:
    assert sealing.folded_name_and_day("O'Brien", date(1990, 1, 2)) == "obrien|1990-01-02"
    assert sealing.folded_name_and_day("-", date(1990, 1, 2)) == ""


@pytest.mark.parametrize(
    ("written", "number"),
    [("ab-12 34", "AB1234"), ("ＡＢ１２３４", "AB1234"), (" a.b/1_234 ", "AB1234"), ("--", ""), ("ß1", "SS1")],
)
def test_numbers_are_normalized(written: str, number: str) -> None:
    assert sealing.numbers(written) == number


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("(510) 555-0100", "+15105550100"),
        ("1-510-555-0100", "+15105550100"),
        ("+1 510 555 0100", "+15105550100"),
        ("５１０５５５０１００", "+15105550100"),
        ("+52 55 5555 0100", "+525555550100"),
        ("555-0100", ""),
        ("25105550100", ""),
        ("+1", ""),
        ("+1234567890123456", ""),
        ("", ""),
        ("call me", ""),
    ],
)
def test_telephone_numbers_are_normalized(written: str, number: str) -> None:
    assert sealing.phones(written) == number


def test_addresses_are_normalized() -> None:
    assert sealing.addresses(" Ana.Ruiz@Example.ORG ") == "ana.ruiz@example.org"
    assert sealing.addresses("ana＠example.org") == "ana@example.org"


def test_a_cut_index_keeps_its_bits_and_no_more() -> None:
    key = bytes(range(64, 96))
    whole = int.from_bytes(sealing.index_of(key, "x", bits=256))
    for bits in range(8, 17):
        cut = sealing.index_of(key, "x", bits=bits)
        assert len(cut) == -(-bits // 8)
        assert int.from_bytes(cut) >> (len(cut) * 8 - bits) == whole >> (256 - bits)
        assert int.from_bytes(cut) % (1 << (len(cut) * 8 - bits)) == 0


def test_partition_and_value_do_not_run_into_each_other() -> None:
    key = bytes(range(64, 96))
    one = sealing.index_of(key, "c", partition=b"ab", bits=128)
    assert one != sealing.index_of(key, "bc", partition=b"a", bits=128)
    assert one != sealing.index_of(key, "abc", bits=128)
