from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import unicodedata
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum, StrEnum
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from audit.event import (
    ACTOR_KINDS,
    BASIS_KINDS,
    CHANNELS,
    KEYS,
    MAX_BYTES,
    MAX_ROWS,
    OUTCOMES,
    PURPOSES,
    ActorRef,
    BasisRef,
    Event,
    EventError,
    On,
    ProfileError,
    SchemaError,
    Sealed,
    Source,
    Writer,
    canonical,
    id_floor,
    instant,
    leaf_hash,
    new_event_id,
    number,
    parse,
    public_value,
    split,
)

AnEvent = Callable[..., Event]
ROW = "019a4430-7c00-7000-8000-00000000000f"
SUBJECT = "5f0f3f6e-0b1f-4c39-9a57-3a1b7f1f2a01"
OTHER = "5f0f3f6e-0b1f-4c39-9a57-3a1b7f1f2a02"

# -- the profile -------------------------------------------------------------------------------------------------------


def nested(levels: int) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for _ in range(levels):
        body = {"a": body}
    return body


@pytest.mark.parametrize(
    ("body", "path", "rule"),
    [
        ({"a": 1.5}, "$.a", "floating"),
        ({"a": 1.0}, "$.a", "floating"),
        ({"a": float("nan")}, "$.a", "floating"),
        ({"a": float("inf")}, "$.a", "floating"),
        ({"a": 2**53}, "$.a", "2^53"),
        ({"a": -(2**53)}, "$.a", "2^53"),
        ({"a": {"b": ["x", "e\u0301"]}}, "$.a.b[1]", "NFC"),
        ({"a": "\u212b"}, "$.a", "NFC"),
        ({"a": "\ud800"}, "$.a", "surrogate"),
        ({"a": "x\r\ny"}, "$.a", "control"),
        ({"a": "\x1b[31mred"}, "$.a", "control"),
        ({"a": "\x00"}, "$.a", "control"),
        ({"a": "\x7f"}, "$.a", "control"),
        ({"a": "\x9b31m"}, "$.a", "control"),
        ({"a": "x" * 201}, "$.a", "200 characters"),
        ({"a": b"x"}, "$.a", "neither"),
        ({"a": {1}}, "$.a", "neither"),
        ({"a": uuid.UUID(ROW)}, "$.a", "neither"),
        ({"a": {"A": 1}}, "$.a", "key"),
        ({"a": {"": 1}}, "$.a", "key"),
        ({"a": {"1a": 1}}, "$.a", "key"),
        ({"a": {"a b": 1}}, "$.a", "key"),
        ({"a": {"a\n": 1}}, "$.a", "key"),
        ({"a": {"Jos\u00e9": 1}}, "$.a", "key"),
        ({"a": {1: 1}}, "$.a", "key"),
        ({"a" * 201: 1}, "$", "key"),
        ([], "$", "object"),
        (nested(17), "$" + ".a" * 16, "deeper"),
    ],
)
def test_what_lies_outside_the_profile_is_refused_by_path_and_rule(body: Any, path: str, rule: str) -> None:
    with pytest.raises(ProfileError) as refused:
        canonical(body)
    assert refused.value.path == path
    assert rule in refused.value.rule


def test_subclasses_that_could_serialize_as_something_else_are_refused() -> None:
    class Loud(str):
        __slots__ = ()

    class Code(StrEnum):
        SENT = "sent"

    for value in (Loud("x"), Code.SENT, type("D", (dict,), {})(), type("I", (int,), {})(3)):
        with pytest.raises(ProfileError):
            canonical({"a": value})


def test_a_body_that_contains_itself_is_refused() -> None:
    body: dict[str, Any] = {}
    body["a"] = body
    with pytest.raises(ProfileError, match="deeper"):
        canonical(body)


def test_no_error_repeats_a_value() -> None:
    for body in ({"a": "canary\x00"}, {"a": {"canary-key": 1}}, {"canary key": 1}):
        with pytest.raises(ProfileError) as refused:
            canonical(body)
        assert "canary" not in str(refused.value)


def test_the_edges_of_the_profile_are_inside() -> None:
    body: dict[str, Any] = {
        "n": [2**53 - 1, -(2**53) + 1, 0],
        "t": "x" * 200,
        "u": "N\u00fa\u00f1ez \u2028 \U0001f600",
        "z": {"ct": "x" * 5000},
        "q": '"\\/',
    }
    assert canonical(body) == rfc8785.dumps(body)


def test_65_535_bytes_are_taken_and_one_more_is_refused() -> None:
    def of(size: int) -> dict[str, str]:
        return {"ct": "x" * (size - len(b'{"ct":""}'))}

    assert len(canonical(of(MAX_BYTES))) == 65_535
    with pytest.raises(ProfileError, match="65,535"):
        canonical(of(MAX_BYTES + 1))
    with pytest.raises(ProfileError, match="65,535"):
        parse(json.dumps(of(MAX_BYTES + 1), separators=(",", ":")).encode())


KEY = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
TEXT = (
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)
    .map(lambda text: unicodedata.normalize("NFC", text))
    .filter(lambda text: len(text) <= 200)
)
SCALAR = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXT
VALUE = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=4), max_leaves=20
).filter(lambda value: depth(value) < 15)


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max((depth(item) for item in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((depth(item) for item in value), default=0)
    return 0


@given(st.dictionaries(KEY, VALUE, max_size=6))
def test_inside_the_profile_the_bytes_are_those_of_rfc_8785(body: dict[str, Any]) -> None:
    assert canonical(body) == rfc8785.dumps(body)
    assert json.loads(canonical(body)) == body


def test_a_leaf_is_hashed_with_its_prefix() -> None:
    # RFC 6962's empty and one-byte leaves, as in Certificate Transparency's own test data
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert leaf_hash(b"\x00").hex() == "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"


# -- ids and times -----------------------------------------------------------------------------------------------------


def test_an_id_is_a_uuid_version_7_of_its_millisecond() -> None:
    at = datetime(2026, 11, 2, 12, 0, 0, 123999, tzinfo=UTC)
    for random in (b"\x00" * 10, b"\xff" * 10, os.urandom(10)):
        made = UUID(new_event_id(at, random))
        assert (made.version, made.variant) == (7, uuid.RFC_4122)
        assert made.int >> 80 == 1_793_620_800_123
        assert id_floor(at) < made < id_floor(at + timedelta(milliseconds=1))
    # RFC 9562, appendix A.6
    example = datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)
    assert new_event_id(example, bytes.fromhex("0cc318c4dc0c0c07398f")) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def test_an_id_needs_ten_random_bytes_and_a_zone() -> None:
    with pytest.raises(SchemaError, match="random"):
        new_event_id(datetime(2026, 1, 1, tzinfo=UTC), b"short")
    naive = datetime(2026, 1, 1)  # noqa: DTZ001  # the point of this test
    with pytest.raises(SchemaError, match="zone"):
        new_event_id(naive, bytes(10))
    with pytest.raises(SchemaError, match="zone"):
        instant(naive)
    with pytest.raises(SchemaError, match="range"):
        new_event_id(datetime(1969, 1, 1, tzinfo=UTC), bytes(10))


def test_a_time_is_utc_with_six_decimals() -> None:
    pacific = timezone(timedelta(hours=-8))
    assert instant(datetime(2026, 11, 2, 4, 0, tzinfo=pacific)) == "2026-11-02T12:00:00.000000Z"


def test_id_and_time_come_from_one_reading(an_event: AnEvent) -> None:
    event = an_event()
    with pytest.raises(SchemaError, match="milliseconds"):
        dataclasses.replace(event, at=event.at + timedelta(milliseconds=1))
    assert dataclasses.replace(event, at=event.at + timedelta(microseconds=500)).id == event.id


# -- the schema --------------------------------------------------------------------------------------------------------

KNOWN = (
    b'{"action":"consent.withdrawn","actor":{"behalf":null,"id":"019a4430-7c00-7000-8000-00000000000a","kind":"user",'
    b'"org":"019a4430-7c00-7000-8000-0000000000c0","role":"navigator","session":"019a4430-7c00-7000-8000-00000000005e"},'
    b'"at":"2026-11-02T12:00:00.123456Z","basis":{"id":"019a4430-7c00-7000-8000-0000000000c5","kind":"consent","rev":3},'
    b'"categories":["identity"],"code":null,"count":1,"fields":["consent.withdrawn_at","consent.withdrawn_because"],'
    b'"id":"01a19c21-727b-7000-8000-000000000001","off_hours":false,"on":[{"cells":{"withdrawn_because":'
    b'"00112233445566778899aabbccddeeff"},"rev":4,"rows":[["019a4430-7c00-7000-8000-00000000000f",'
    b'"5f0f3f6e-0b1f-4c39-9a57-3a1b7f1f2a01"]],"set":{"withdrawn_at":"2026-11-02T12:00:00.123456Z"},"type":"consent"}],'
    b'"outcome":"done","part":null,"prior":null,"purpose":"referral","request":"019a4430-7c00-7000-8000-0000000000e0",'
    b'"sealed":[{"ct":"/gE=","subject":"5f0f3f6e-0b1f-4c39-9a57-3a1b7f1f2a01"}],"source":{"channel":"page","net":'
    b'"0123456789abcdef0123456789abcdef"},"to":null,"v":1,"writer":{"id":"5f0f3f6e-0b1f-4c39-9a57-3a1b7f1f2a03","n":1,'
    b'"prev":"0000000000000000000000000000000000000000000000000000000000000000"}}'
)


def known(an_event: AnEvent) -> Event:
    return an_event(
        action="consent.withdrawn",
        on=(
            On(
                "consent",
                ((ROW, SUBJECT),),
                rev=4,
                set={"withdrawn_at": "2026-11-02T12:00:00.123456Z"},
                cells={"withdrawn_because": "00112233445566778899aabbccddeeff"},
            ),
        ),
        fields=("consent.withdrawn_because", "consent.withdrawn_at", "consent.withdrawn_at"),
        off_hours=False,
        sealed=(Sealed.of(SUBJECT, b"\xfe\x01"),),
        writer=Writer("5f0f3f6e-0b1f-4c39-9a57-3a1b7f1f2a03", 1, "0" * 64),
    )


def test_known_answer(an_event: AnEvent) -> None:
    event = known(an_event)
    assert event.encode() == KNOWN
    assert leaf_hash(KNOWN).hex() == "cbe669de62f208935c64d22e1b80e670729e80c1ab592eb806196695dd661d5d"
    assert hashlib.sha256(b"\x00" + KNOWN).digest() == leaf_hash(KNOWN)
    assert parse(KNOWN) == event


def test_a_look_at_one_row_stays_small(an_event: AnEvent) -> None:
    whole = an_event(to=ROW, off_hours=False, writer=Writer(OTHER, 2, "a" * 64))
    assert set(whole.body()) == KEYS
    assert 900 <= len(whole.encode()) <= 1_100


def test_a_full_event_of_500_rows_fits(an_event: AnEvent) -> None:
    rows = tuple((str(UUID(int=n)), str(UUID(int=n, version=4))) for n in range(1, MAX_ROWS + 1))
    assert len(an_event(on=(On("referral", rows),)).encode()) < 42_000
    with pytest.raises(SchemaError, match="split"):
        an_event(on=(On("referral", (*rows, (ROW, None))),)).encode()


def changed(**changes: Any) -> bytes:
    """The known body with some of its values replaced; the bytes are canonical again."""
    body = json.loads(KNOWN)
    for path, value in changes.items():
        *way, last = path.split("__")
        place = body
        for step in way:
            place = place[int(step) if isinstance(place, list) else step]
        if value is KeyError:
            del place[last]
        else:
            place[int(last) if isinstance(place, list) else last] = value
    return canonical(body)


LOOK = {"type": "referral", "rows": [[ROW, SUBJECT]]}


@pytest.mark.parametrize(
    "data",
    [
        KNOWN.replace(b":", b": ", 1),
        KNOWN + b"\n",
        b" " + KNOWN,
        b"\xef\xbb\xbf" + KNOWN,
        KNOWN.replace(b'"v":1', b'"v":1,"v":1'),
        KNOWN.replace(b'"v":1', b'"v":2,"v":1'),
        KNOWN.replace(b'"n":1', b'"n":1.0'),
        KNOWN.replace(b'"n":1', b'"n":1e0'),
        KNOWN.replace(b'"n":1', b'"n":-0'),
        KNOWN.replace(b'"n":1', b'"n":NaN'),
        KNOWN.replace(b'"n":1', b'"n":9007199254740992'),
        KNOWN.replace(b'"n":1', b'"n":1' + b"0" * 5000),
        KNOWN.replace(b'"done"', b'"\\u0064one"'),
        KNOWN.replace(b'"withdrawn_at":"', b'"withdrawn_at":"\\ud800'),
        KNOWN.replace(b'"withdrawn_at":"', b'"withdrawn_at":"\\u001b'),
        KNOWN.replace(b'"withdrawn_at":"', '"withdrawn_at":"e\u0301'.encode()),
        KNOWN.replace(b'"withdrawn_at":"', b'"withdrawn_at":"\xff'),
        KNOWN.replace(b'"withdrawn_at":"', b'"withdrawn_at":"\r\n'),
        json.dumps(dict(reversed(json.loads(KNOWN).items())), separators=(",", ":")).encode(),
        KNOWN.decode().encode("utf-16"),
        KNOWN[:-1],
        b"",
        b"null",
        b"[]",
        b"[" * 60_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    ],
)
def test_bytes_that_are_not_canonical_are_refused(data: bytes) -> None:
    with pytest.raises(ProfileError):
        parse(data)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"v": 2}, "$.v"),
        ({"v": True}, "$.v"),
        ({"writer": KeyError}, "$"),
        ({"extra": None}, "$"),
        ({"id": "01a19c21-727b-4000-8000-000000000001"}, "$.id"),
        ({"id": "019A4475-D77B-7000-8000-000000000001"}, "$.id"),
        ({"id": "01a19c21-727c-7000-8000-000000000001"}, "$.id"),
        ({"at": "2026-11-02T12:00:00.123456+00:00"}, "$.at"),
        ({"at": "2026-11-02T12:00:00.123Z"}, "$.at"),
        ({"at": "2026-02-30T12:00:00.123456Z"}, "$.at"),
        ({"at": "\u0662026-11-02T12:00:00.123456Z"}, "$.at"),
        ({"at": 5}, "$.at"),
        ({"action": "withdrawn"}, "$.action"),
        ({"action": "Consent.withdrawn"}, "$.action"),
        ({"action": None}, "$.action"),
        ({"outcome": "maybe"}, "$.outcome"),
        ({"outcome": "refused"}, "$.code"),
        ({"code": "not_yours"}, "$.code"),
        ({"outcome": "refused", "code": "Not yours"}, "$.code"),
        ({"actor": None}, "$.actor"),
        ({"actor__kind": "robot"}, "$.actor.kind"),
        ({"actor__kind": "unknown"}, "$.actor"),
        ({"actor__kind": "participant"}, "$.actor.id"),
        ({"actor__id": None}, "$.actor.id"),
        ({"actor__id": "Mar\u00eda L\u00f3pez"}, "$.actor.id"),
        ({"actor__role": "case manager"}, "$.actor.role"),
        ({"actor__name": "x"}, "$.actor"),
        ({"actor__org": KeyError}, "$.actor"),
        ({"on": {}}, "$.on"),
        ({"on": []}, "$"),
        ({"on__0__type": "Consent"}, "$.on.type"),
        ({"on__0__rows": []}, "$.on.rows"),
        ({"on__0__rows": [[ROW]]}, "$.on.rows"),
        ({"on__0__rows": [[ROW, SUBJECT, None]]}, "$.on.rows"),
        ({"on__0__rows": [[{}, []]]}, "$.on.rows"),
        ({"on__0__rows": [[ROW, SUBJECT], [OTHER, None]]}, "$.on.rows"),
        ({"on__0__rows": [[ROW, ROW]]}, "$.on.rows"),
        ({"on__0__rev": 0}, "$.on.rev"),
        ({"on__0__rev": True}, "$.on.rev"),
        ({"on__0__rev": None}, "$.on.rev"),
        ({"on__0__rev": KeyError}, "$.on"),
        ({"on__0__set": KeyError}, "$.on"),
        ({"on__0__set": []}, "$.on.set"),
        ({"on__0__cells": {"a": "00"}}, "$.on.cells"),
        ({"on__0__cells": {"a": 1}}, "$.on.cells"),
        ({"on": [json.loads(KNOWN)["on"][0], LOOK]}, "$.on"),
        ({"on": [{"type": "person", "rows": [[ROW, SUBJECT]]}]}, "$.on.rows"),
        ({"on": [{"type": "person", "rows": [[ROW, None]]}]}, "$.on.rows"),
        ({"on": [{"type": "referral", "rows": [[ROW, SUBJECT], [ROW, SUBJECT]]}]}, "$"),
        ({"on": [{"type": "referral", "rows": None}]}, "$.on.rows"),
        ({"fields": []}, "$"),
        ({"fields": "consent.sent_at"}, "$.fields"),
        ({"fields": ["sent_at"]}, "$.fields"),
        ({"fields": ["b.b", "a.a"]}, "$"),
        ({"fields": ["a.a", "a.a"]}, "$"),
        ({"categories": ["Identity"]}, "$.categories"),
        ({"categories": [1]}, "$.categories"),
        ({"count": -1}, "$.count"),
        ({"count": True}, "$.count"),
        ({"count": "1"}, "$.count"),
        ({"part": [1, 1]}, "$.part"),
        ({"part": [3, 2]}, "$.part"),
        ({"part": [0, 2]}, "$.part"),
        ({"part": [1]}, "$.part"),
        ({"part": 1}, "$.part"),
        ({"purpose": "curiosity"}, "$.purpose"),
        ({"basis": "consent"}, "$.basis"),
        ({"basis__kind": "hunch"}, "$.basis.kind"),
        ({"basis__rev": 0}, "$.basis.rev"),
        ({"to": "Harbor House"}, "$.to"),
        ({"off_hours": 0}, "$.off_hours"),
        ({"request": ""}, "$.request"),
        ({"prior": ROW[:-1]}, "$.prior"),
        ({"source__channel": "fax"}, "$.source.channel"),
        ({"source__net": "192.0.2.7"}, "$.source.net"),
        ({"sealed": []}, "$"),
        ({"sealed__0__ct": "not base64!"}, "$.sealed.ct"),
        ({"sealed__0__ct": "/gF="}, "$.sealed.ct"),
        ({"sealed__0__ct": ""}, "$.sealed.ct"),
        ({"sealed__0__ct": None}, "$.sealed.ct"),
        ({"sealed__0__subject": ROW}, "$.sealed.subject"),
        ({"writer__n": 0}, "$.writer.n"),
        ({"writer__n": 2}, "$.writer.prev"),
        ({"writer__prev": "a" * 64}, "$.writer.prev"),
        ({"writer__id": ROW}, "$.writer.id"),
    ],
)
def test_a_body_outside_the_schema_is_refused_by_path(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(SchemaError) as refused:
        parse(changed(**changes))
    assert refused.value.path == path


@pytest.mark.parametrize("key", sorted(KEYS))
def test_each_key_must_be_there(key: str) -> None:
    with pytest.raises(SchemaError, match=f"lacks {key}"):
        parse(changed(**{key: KeyError}))


def test_what_may_be_null_may_be_null() -> None:
    bare = changed(
        **dict.fromkeys(
            [
                *("on", "fields", "categories", "count", "part", "purpose", "basis", "to", "off_hours", "request"),
                *("prior", "source", "sealed", "writer", "code"),
            ]
        )
    )
    assert parse(bare).encode() == bare


def test_an_unknown_actor_keeps_nothing() -> None:
    assert ActorRef(kind="unknown").body() == dict.fromkeys(("id", "org", "role", "session", "behalf")) | {
        "kind": "unknown"
    }
    for part in ("id", "org", "role", "session", "behalf"):
        with pytest.raises(SchemaError):
            ActorRef(**{"kind": "anonymous", part: "x"})


def test_events_do_not_change(an_event: AnEvent) -> None:
    codes: dict[str, Any] = {"days": [30, 60], "state": {"code": "sent"}}
    on = On("referral", ((ROW, SUBJECT),), 1, codes, {"words": None})
    event = an_event(on=(on,))
    before = event.encode()
    codes["days"].append(90)
    codes["state"]["code"] = "closed"
    assert event.encode() == before
    assert on.set is not None
    with pytest.raises(TypeError):
        on.set["days"] = 1  # type: ignore[index]  # the point of this test
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.action = "other.done"  # type: ignore[misc]  # the point of this test
    assert hash(event) == hash(parse(before))
    assert parse(before) == event


def test_a_float_or_long_text_in_set_does_not_get_past_the_bytes(an_event: AnEvent) -> None:
    values: tuple[Any, ...] = (1.5, "x" * 201, "a\nb")
    for value in values:
        with pytest.raises(ProfileError, match=r"\$\.on\[0\]\.set\.amount"):
            an_event(on=(On("referral", ((ROW, None),), 1, {"amount": value}),)).encode()


def test_subjects_are_those_named_in_rows_as_actor_and_in_sealed_detail(an_event: AnEvent) -> None:
    actor = ActorRef(kind="participant", id=OTHER)
    third = "5f0f3f6e-0b1f-4c39-9a57-3a1b7f1f2a03"
    event = an_event(
        actor=actor,
        on=(On("referral", ((ROW, SUBJECT),)), On("person", ((SUBJECT, SUBJECT),))),
        sealed=(Sealed.of(SUBJECT, b"1"), Sealed.of(third, b"2"), Sealed.of(None, b"3")),
    )
    assert event.subjects() == {SUBJECT: "referral", OTHER: "actor", third: "sealed"}


def test_public_values_are_spelled_in_one_way() -> None:
    class Plain(Enum):
        OPEN = "open"

    class Text(StrEnum):
        SHUT = "shut"

    assert public_value(
        {
            "at": datetime(2026, 11, 2, tzinfo=UTC),
            "on": date(2026, 11, 2),
            "id": UUID(ROW),
            "codes": (Plain.OPEN, Text.SHUT),
            "flag": True,
            "n": 3,
            "none": None,
        }
    ) == {
        "at": "2026-11-02T00:00:00.000000Z",
        "on": "2026-11-02",
        "id": ROW,
        "codes": ["open", "shut"],
        "flag": True,
        "n": 3,
        "none": None,
    }
    assert type(public_value(Text.SHUT)) is str
    for refused in (1.5, b"x", object(), {1, 2}):
        with pytest.raises(SchemaError):
            public_value(refused)


# -- acts of several events --------------------------------------------------------------------------------------------


def test_a_look_at_1_201_rows_takes_three_events(an_event: AnEvent) -> None:
    referrals = tuple((f"r{n}", str(UUID(int=n, version=4))) for n in range(700))
    people = tuple((str(UUID(int=n, version=4)),) * 2 for n in range(501))
    detail = (Sealed.of(None, b"words"), Sealed.of(people[400][0], b"x"))
    whole = an_event(on=(On("referral", referrals), On("person", people)), count=None, sealed=detail)
    parts = split(whole)
    assert [part.rows for part in parts] == [500, 500, 201]
    assert [part.part for part in parts] == [(1, 3), (2, 3), (3, 3)]
    assert {part.count for part in parts} == {1201}
    assert {(part.request, part.at, part.action) for part in parts} == {(whole.request, whole.at, whole.action)}
    assert [part.id for part in parts] == sorted({part.id for part in parts})
    assert parts[0].id == whole.id
    assert parts[0].sealed == detail
    assert not parts[1].sealed
    named = [(on.type, row) for part in parts for on in part.on for row in on.rows]
    assert named == [("referral", row) for row in referrals] + [("person", row) for row in people]
    for part in parts:
        assert parse(part.encode()) == part


def test_an_act_that_fits_stays_one_event(an_event: AnEvent) -> None:
    event = an_event(on=(On("referral", tuple((f"r{n}", None) for n in range(500))),))
    assert split(event) == (event,)


def test_parts_are_held_together_by_their_request(an_event: AnEvent) -> None:
    rows = tuple((f"r{n}", None) for n in range(501))
    with pytest.raises(SchemaError, match="request"):
        split(an_event(on=(On("referral", rows),), request=None))
    with pytest.raises(SchemaError, match="writer"):
        split(an_event(on=(On("referral", rows),), writer=Writer(OTHER, 1, "0" * 64)))


def test_ids_of_parts_stay_in_their_millisecond(an_event: AnEvent) -> None:
    rows = tuple((f"r{n}", None) for n in range(1001))
    at = datetime(2026, 11, 2, tzinfo=UTC)
    last = new_event_id(at, b"\xff" * 10)
    parts = split(an_event(at=at, id=last, on=(On("referral", rows),)))
    assert len({part.id for part in parts}) == 3
    assert all(UUID(part.id).variant == uuid.RFC_4122 for part in parts)


def test_changes_of_one_act_are_numbered(an_event: AnEvent) -> None:
    changes = [an_event(on=(On("referral", ((f"r{n}", None),), 1, {}),), count=None) for n in range(3)]
    assert [(event.part, event.count) for event in number(changes)] == [((1, 3), 3), ((2, 3), 3), ((3, 3), 3)]
    assert [(event.part, event.count) for event in number(changes[:1])] == [(None, 1)]
    with pytest.raises(SchemaError, match="request"):
        number([changes[0], dataclasses.replace(changes[1], request="other")])


# -- random events -----------------------------------------------------------------------------------------------------

ID = st.from_regex(r"[0-9A-Za-z][0-9A-Za-z._:-]{0,40}", fullmatch=True)
CODE = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
DOTTED = st.from_regex(r"[a-z][a-z0-9_]{0,20}\.[a-z][a-z0-9_]{0,20}", fullmatch=True)
UUID4 = st.uuids(version=4).map(str)
REV = st.integers(1, 2**53 - 1)
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # bounds are naive
LOOKS = st.builds(On, CODE.filter(lambda name: name != "person"), st.lists(st.tuples(ID, st.none() | UUID4)).map(tuple))
PEOPLE = st.builds(On, st.just("person"), st.lists(UUID4.map(lambda subject: (subject, subject))).map(tuple))
CHANGES = st.builds(
    On,
    CODE.filter(lambda name: name != "person"),
    st.tuples(st.tuples(ID, st.none() | UUID4)),
    REV,
    st.none() | st.dictionaries(CODE, VALUE.filter(lambda value: depth(value) < 10), max_size=3),
    st.none() | st.dictionaries(CODE, st.none() | st.from_regex(r"[0-9a-f]{32}", fullmatch=True), max_size=3),
)
ACTORS = st.builds(
    ActorRef,
    kind=st.sampled_from(sorted(ACTOR_KINDS - {"participant", "anonymous", "unknown"})),
    id=ID,
    org=st.none() | ID,
    role=st.none() | CODE,
    session=st.none() | ID,
    behalf=st.none() | ID,
) | st.sampled_from([ActorRef(kind="anonymous"), ActorRef(kind="unknown"), ActorRef(kind="participant", id=SUBJECT)])


@st.composite
def events(draw: st.DrawFn) -> Event:
    at = draw(TIMES)
    outcome = draw(st.sampled_from(sorted(OUTCOMES)))
    return Event(
        id=new_event_id(at, draw(st.binary(min_size=10, max_size=10))),
        at=at,
        action=draw(DOTTED),
        outcome=outcome,
        code=None if outcome == "done" else draw(CODE),
        actor=draw(ACTORS),
        on=draw(st.lists(LOOKS | PEOPLE, max_size=2).map(tuple) | st.tuples(CHANGES)),
        fields=draw(st.lists(DOTTED, max_size=3).map(tuple)),
        categories=draw(st.lists(CODE, max_size=3).map(tuple)),
        count=draw(st.none() | st.integers(0, 10**6)),
        part=draw(st.none() | st.integers(2, 9).flatmap(lambda k: st.tuples(st.integers(1, k), st.just(k)))),
        purpose=draw(st.none() | st.sampled_from(sorted(PURPOSES))),
        basis=draw(
            st.none() | st.builds(BasisRef, st.sampled_from(sorted(BASIS_KINDS)), st.none() | ID, st.none() | REV)
        ),
        to=draw(st.none() | ID),
        off_hours=draw(st.none() | st.booleans()),
        request=draw(st.none() | ID),
        prior=draw(st.none() | st.just("019a4430-7c00-7000-8000-0000000000e0")),
        source=draw(
            st.none()
            | st.builds(
                Source,
                st.sampled_from(sorted(CHANNELS)),
                st.none() | st.from_regex(r"[0-9a-f]{8,64}", fullmatch=True),
            )
        ),
        sealed=draw(
            st.lists(st.builds(Sealed.of, st.none() | UUID4, st.binary(min_size=1, max_size=400)), max_size=2).map(
                tuple
            )
        ),
        writer=draw(
            st.none()
            | st.builds(Writer, UUID4, st.integers(2, 10**9), st.from_regex(r"[1-9a-f][0-9a-f]{63}", fullmatch=True))
        ),
    )


@given(events())
def test_what_is_written_is_read_back(event: Event) -> None:
    data = event.encode()
    assert parse(data) == event
    assert parse(data).encode() == data
    assert data == rfc8785.dumps(event.body())


def flip(body: bytes, index: int, bit: int) -> bytes:
    return body[:index] + bytes([body[index] ^ 1 << bit]) + body[index + 1 :]


@given(st.integers(0, len(KNOWN) - 1), st.integers(0, 7))
def test_no_flipped_bit_goes_unnoticed(index: int, bit: int) -> None:
    data = flip(KNOWN, index, bit)
    assert leaf_hash(data) != leaf_hash(KNOWN)
    try:
        event = parse(data)
    except EventError:
        return
    assert event.encode() == data
    assert event != parse(KNOWN)


def test_the_closed_lists_hold_what_consent_asks_for() -> None:
    needed: Mapping[str, frozenset[str]] = {
        "referral pre_release service supervision benefits treatment evaluation own_request legal_proceeding": PURPOSES,
        "consent assignment agreement emergency order duty request oversight own": BASIS_KINDS,
        "page api kiosk cli job": CHANNELS,
        "user participant contact service witness anonymous unknown": ACTOR_KINDS,
        "done refused failed": OUTCOMES,
    }
    for words, names in needed.items():
        assert set(words.split()) <= names
