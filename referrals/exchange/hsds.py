"""Services as HSDS 3.0 JSON (Human Services Data Specification, Open Referral), read into plain values. Pure.

A file is one page (`contents` of a page envelope) or a bare list of fully nested services, each with its organization.
Every service is checked against the whole of HSDS 3.0 (`OBJECTS` below is its compiled schema in short); fields that
HSDS does not know are kept and named. A null stands for a field that is not there: publishers write it, though the
schema has no nulls.
"""

from __future__ import annotations

import codecs
import json
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final, NoReturn, Self, TypeAlias

Faults: TypeAlias = dict[str, tuple[str, ...]]

MOST_BYTES: Final = 50 * 1024 * 1024
#: One service with all that is nested in it, as JSON text.
MOST_CHARACTERS: Final = 200_000
MOST_TEXT: Final = 20_000
DEEPEST: Final = 20
#: Faults of one service that are named: nobody mends more at once, and a service of nothing but faults may be large.
MOST_FAULTS: Final = 50

_ACTIVE: Final = "active"
#: `!` after a kind: required. `[x]`: a list of x. Kinds in capitals are objects.
_METADATA: Final = {
    "id": "uuid!",
    "resource_id": "uuid",
    "resource_type": "text",
    "last_action_date": "text!",
    "last_action_type": "text!",
    "field_name": "text!",
    "previous_value": "text!",
    "replacement_value": "text!",
    "updated_by": "text!",
}
_TAIL: Final = {"attributes": "[ATTRIBUTE]", "metadata": "[METADATA]"}
OBJECTS: Final[Mapping[str, Mapping[str, str]]] = {
    "SERVICE": {
        "id": "uuid!",
        "organization_id": "uuid",
        "program_id": "uuid",
        "name": "text!",
        "alternate_name": "text",
        "description": "text",
        "url": "uri",
        "email": "email",
        "status": "active|inactive|defunct|temporarily closed!",
        "interpretation_services": "text",
        "application_process": "text",
        "fees_description": "text",
        "wait_time": "text",
        "fees": "text",
        "accreditations": "text",
        "eligibility_description": "text",
        "minimum_age": "number",
        "maximum_age": "number",
        "assured_date": "text",
        "assurer_email": "email",
        "licenses": "text",
        "alert": "text",
        "last_modified": "instant",
        "phones": "[PHONE]",
        "schedules": "[SCHEDULE]",
        "service_areas": "[AREA]",
        "service_at_locations": "[AT_LOCATION]",
        "languages": "[LANGUAGE]",
        "organization": "ORGANIZATION",
        "funding": "[FUNDING]",
        "cost_options": "[COST]",
        "program": "PROGRAM",
        "required_documents": "[DOCUMENT]",
        "contacts": "[CONTACT]",
        **_TAIL,
    },
    "ORGANIZATION": {
        "id": "uuid!",
        "name": "text!",
        "alternate_name": "text",
        "description": "text!",
        "email": "email",
        "website": "uri",
        "tax_status": "text",
        "tax_id": "text",
        "year_incorporated": "number",
        "legal_status": "text",
        "logo": "uri",
        "uri": "uri",
        "parent_organization_id": "uuid",
        "funding": "[FUNDING]",
        "contacts": "[CONTACT]",
        "phones": "[PHONE]",
        "locations": "[LOCATION]",
        "programs": "[PROGRAM]",
        "organization_identifiers": "[IDENTIFIER]",
        **_TAIL,
    },
    "LOCATION": {
        "id": "uuid!",
        "location_type": "physical|postal|virtual!",
        "url": "uri",
        "organization_id": "uuid",
        "name": "text",
        "alternate_name": "text",
        "description": "text",
        "transportation": "text",
        "latitude": "number",
        "longitude": "number",
        "external_identifier": "text",
        "external_identifier_type": "text",
        "languages": "[LANGUAGE]",
        "addresses": "[ADDRESS]",
        "contacts": "[CONTACT]",
        "accessibility": "[ACCESSIBILITY]",
        "phones": "[PHONE]",
        "schedules": "[SCHEDULE]",
        **_TAIL,
    },
    "AT_LOCATION": {
        "id": "uuid!",
        "service_id": "uuid",
        "location_id": "uuid",
        "description": "text",
        "contacts": "[CONTACT]",
        "phones": "[PHONE]",
        "schedules": "[SCHEDULE]",
        "location": "LOCATION",
        **_TAIL,
    },
    "ADDRESS": {
        "id": "uuid!",
        "location_id": "uuid",
        "attention": "text",
        "address_1": "text!",
        "address_2": "text",
        "city": "text!",
        "region": "text",
        "state_province": "text!",
        "postal_code": "text!",
        "country": "text!",
        "address_type": "physical|postal|virtual!",
        **_TAIL,
    },
    "ACCESSIBILITY": {
        "id": "uuid!",
        "location_id": "uuid",
        "description": "text",
        "details": "text",
        "url": "uri",
        **_TAIL,
    },
    "PHONE": {
        "id": "uuid!",
        "location_id": "uuid",
        "service_id": "uuid",
        "organization_id": "uuid",
        "contact_id": "uuid",
        "service_at_location_id": "uuid",
        "number": "text!",
        "extension": "number",
        "type": "text",
        "description": "text",
        "languages": "[LANGUAGE]",
        **_TAIL,
    },
    "LANGUAGE": {
        "id": "uuid!",
        "service_id": "uuid",
        "location_id": "uuid",
        "phone_id": "uuid",
        "name": "text",
        "code": "text",
        "note": "text",
        **_TAIL,
    },
    "SCHEDULE": {
        "id": "uuid!",
        "service_id": "uuid",
        "location_id": "uuid",
        "service_at_location_id": "uuid",
        "valid_from": "text",
        "valid_to": "text",
        "dtstart": "text",
        "timezone": "number",
        "until": "text",
        "count": "number",
        "wkst": "MO|TU|WE|TH|FR|SA|SU",
        "freq": "WEEKLY|MONTHLY",
        "interval": "number",
        "byday": "text",
        "byweekno": "text",
        "bymonthday": "text",
        "byyearday": "text",
        "description": "text",
        "opens_at": "text",
        "closes_at": "text",
        "schedule_link": "uri",
        "attending_type": "text",
        "notes": "text",
        **_TAIL,
    },
    "AREA": {
        "id": "uuid!",
        "service_id": "uuid",
        "name": "text",
        "description": "text",
        "extent": "text",
        "extent_type": "text",
        "uri": "text",
        **_TAIL,
    },
    "CONTACT": {
        "id": "uuid!",
        "organization_id": "uuid",
        "service_id": "uuid",
        "service_at_location_id": "uuid",
        "location_id": "uuid",
        "name": "text",
        "title": "text",
        "department": "text",
        "email": "email",
        "phones": "[PHONE]",
        **_TAIL,
    },
    "FUNDING": {"id": "uuid!", "organization_id": "uuid", "service_id": "uuid", "source": "text", **_TAIL},
    "COST": {
        "id": "uuid!",
        "service_id": "uuid",
        "valid_from": "text",
        "valid_to": "text",
        "option": "text",
        "currency": "text",
        "amount": "number",
        "amount_description": "text",
        **_TAIL,
    },
    "PROGRAM": {
        "id": "uuid!",
        "organization_id": "uuid",
        "name": "text!",
        "alternate_name": "text",
        "description": "text!",
        **_TAIL,
    },
    "DOCUMENT": {"id": "uuid!", "service_id": "uuid", "document": "text", "uri": "uri", **_TAIL},
    "IDENTIFIER": {
        "id": "uuid!",
        "organization_id": "uuid",
        "identifier_scheme": "text",
        "identifier_type": "text!",
        "identifier": "text!",
        **_TAIL,
    },
    "ATTRIBUTE": {
        "id": "uuid!",
        "link_id": "uuid",
        "taxonomy_term_id": "uuid",
        "link_type": "text",
        "link_entity": "text",
        "value": "text",
        "taxonomy_term": "TERM",
        "metadata": "[METADATA]",
    },
    "TERM": {
        "id": "uuid!",
        "code": "text",
        "name": "text!",
        "description": "text!",
        "parent_id": "uuid",
        "taxonomy": "text",
        "taxonomy_detail": "TAXONOMY",
        "language": "text",
        "taxonomy_id": "uuid",
        "term_uri": "uri",
        "metadata": "[METADATA]",
    },
    "TAXONOMY": {
        "id": "uuid!",
        "name": "text!",
        "description": "text!",
        "uri": "uri",
        "version": "text",
        "metadata": "[METADATA]",
    },
    "METADATA": _METADATA,
}

#: A publisher's words for what a service helps with -> our service codes. Others are named in the report.
SERVICES: Final[Mapping[str, str]] = {
    "housing": "housing",
    "shelter": "housing",
    "employment": "employment",
    "jobs": "employment",
    "education": "education",
    "food": "food",
    "clothing": "clothing",
    "health": "health_care",
    "health_care": "health_care",
    "healthcare": "health_care",
    "mental_health": "mental_health",
    "substance_abuse_treatment": "substance_use_treatment",
    "substance_use_treatment": "substance_use_treatment",
    "benefits": "benefits",
    "public_benefits": "benefits",
    "id_documents": "id_documents",
    "legal": "legal_aid",
    "legal_aid": "legal_aid",
    "transportation": "transportation",
    "family": "family_support",
    "family_support": "family_support",
    "family_services": "family_support",
    "mentoring": "mentoring",
    "mentorship": "mentoring",
    "peer_support": "peer_support",
    "case_management": "case_management",
    "life_skills": "life_skills",
    "faith_based": "faith_based",
    "general_support": "general_support",
}
#: What of a service becomes a field here; the rest stands in `source_fields`.
WITH_FIELD: Final = frozenset(
    {
        *("id", "name", "description", "url", "email", "status", "eligibility_description", "phones", "service_areas"),
        *("service_at_locations", "languages", "organization", "attributes"),
    }
)
#: Kinds of link that name what a service is for, when a publisher tells them apart from its tags.
_MAIN_LINKS: Final = ("primary_category", "category")

_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x20\x7f-\U0010ffff]+")
_WEB = re.compile(r"https?://[^\s/@]+(/\S*)?", re.IGNORECASE)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_STATE = re.compile(r"[A-Z]{2}")
_POSTAL = re.compile(r"[0-9]{5}(-[0-9]{4})?")


class UnreadableFileError(ValueError):
    """The file as a whole cannot be read. `code` says why, `facts` where: never what it holds."""

    def __init__(self, code: str, *facts: str) -> None:
        super().__init__(code)
        self.code, self.facts = code, facts


class Written(float):
    """A number that remembers how it was written: a coordinate keeps its digits."""

    text: str

    def __new__(cls, text: str) -> Self:
        """Keep the text."""
        made = super().__new__(cls, text)
        made.text = text
        return made


class Doubled(dict[str, Any]):
    """An object in which a key stands twice: one of the two values would be lost."""


@dataclass(frozen=True, slots=True)
class Place:
    """A location: the source's id, all it said, and a location's fields."""

    id: str
    raw: Mapping[str, Any]
    words: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """One service. `at` is its number in the file, from 1; `raw` all it said; `words` a program's fields.

    `organization` and `organization_words` are its provider, `places` where it is offered (the first is the program's).
    `faults` (by path) say why it cannot go in; `notes` (path, code) what was left out of the fields.
    """

    at: int
    id: str
    name: str
    raw: Mapping[str, Any] = field(default_factory=dict)
    words: Mapping[str, Any] = field(default_factory=dict)
    status: str = _ACTIVE
    organization_id: str = ""
    organization: Mapping[str, Any] = field(default_factory=dict)
    organization_words: Mapping[str, Any] = field(default_factory=dict)
    places: tuple[Place, ...] = ()
    faults: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """What a file holds, and whether its publisher has further pages that are not in it."""

    rows: list[ServiceRow]
    pages: int = 1


def read(content: bytes, most_rows: int | None = None) -> Page:
    """Read a file. Each service is there, with its faults if it has any (the first 50).

    Raises:
        UnreadableFileError: not UTF-8, not JSON, larger than 50 MB, neither a page nor a list of services, or more of
        them than `most_rows`.
    """
    whole = _parsed(content)
    pages = 1
    if isinstance(whole, dict):
        if not isinstance(whole.get("contents"), list):
            raise UnreadableFileError("no_contents")
        total = whole.get("total_pages")
        pages = total if isinstance(total, int) and not isinstance(total, bool) else 1
        whole = whole["contents"]
    if not isinstance(whole, list):
        raise UnreadableFileError("no_contents")
    if not whole:
        raise UnreadableFileError("empty_file")
    if most_rows is not None and len(whole) > most_rows:
        raise UnreadableFileError("too_many_rows", f"{most_rows:,}")
    first: dict[str, int] = {}
    organizations: dict[str, Mapping[str, Any]] = {}
    locations: dict[str, Mapping[str, Any]] = {}
    return Page(
        [_row(at, service, first, organizations, locations) for at, service in enumerate(whole, 1)], max(pages, 1)
    )


def words(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return a program's fields for a service as it is kept: what an earlier run made of it."""
    return _words(raw, [])


def organization_words(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return an organization's fields for a provider as it is kept."""
    return _organization_words(raw, [])


def place_words(raw: Mapping[str, Any], default_name: str) -> dict[str, Any]:
    """Return a location's fields for a location as it is kept."""
    return _place_words(raw, default_name, [])


def _parsed(content: bytes) -> Any:
    if len(content) > MOST_BYTES:
        raise UnreadableFileError("too_large")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UnreadableFileError("not_utf8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise UnreadableFileError("not_utf8", str(content.count(b"\n", 0, fault.start) + 1)) from None
    if not text.strip():
        raise UnreadableFileError("empty_file")
    try:
        return json.loads(text, parse_float=Written, parse_constant=_no_constant, object_pairs_hook=_object)
    except json.JSONDecodeError as fault:
        raise UnreadableFileError("not_json", str(fault.lineno)) from None
    except (ValueError, RecursionError):
        raise UnreadableFileError("not_json") from None


def _no_constant(_name: str) -> NoReturn:
    raise ValueError


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else Doubled(made)


# --- checking ---------------------------------------------------------------------------------------------------------


def _row(
    at: int,
    service: Any,
    first: dict[str, int],
    organizations: dict[str, Mapping[str, Any]],
    locations: dict[str, Mapping[str, Any]],
) -> ServiceRow:
    if not isinstance(service, dict):
        return ServiceRow(at, "", "", faults={"": ("not_an_object",)})
    service_id, name = (one if isinstance(one := service.get(key), str) else "" for key in ("id", "name"))
    faults: Faults = {}
    notes: list[tuple[str, str]] = []
    for path, fault in islice(_faults(service, "SERVICE", "", 0, notes), MOST_FAULTS):
        faults[path] = (*faults.get(path, ()), fault)
    if not faults and len(json.dumps(service)) > MOST_CHARACTERS:
        faults[""] = ("too_long",)
    provider = service.get("organization")
    if not faults and not isinstance(provider, dict):
        faults["organization"] = ("required",)
    if not faults and (before := first.setdefault(service_id.lower(), at)) != at:
        faults["id"] = (f"repeated_id.{before}",)
    if faults or not isinstance(provider, dict):
        return ServiceRow(at, service_id, name, service, faults=faults)
    provider = _the_same(organizations, provider, "organization", notes)
    made, about = _words(service, notes), _organization_words(provider, notes)
    places = tuple(_places(service, provider, locations, notes))
    return ServiceRow(
        at,
        service_id.lower(),
        name,
        service,
        made,
        service["status"],
        provider["id"].lower(),
        provider,
        about,
        places,
        {},
        tuple(dict.fromkeys(notes)),
    )


def _the_same(
    known: dict[str, Mapping[str, Any]], said: Mapping[str, Any], path: str, notes: list[tuple[str, str]]
) -> Mapping[str, Any]:
    """Return what the file said first about a thing: two tellings in one file must not take turns on every run."""
    told = known.setdefault(said["id"].lower(), said)
    if told != said:
        notes.append((path, "told_differently"))
    return told


def _faults(
    value: Mapping[str, Any], kind: str, path: str, depth: int, notes: list[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    if isinstance(value, Doubled):
        yield path, "repeated_key"
    if depth > DEEPEST:
        yield path, "too_deep"
        return
    fields = OBJECTS[kind]
    for name, expected in fields.items():
        here = f"{path}.{name}" if path else name
        given = value.get(name)
        if given is None:
            if expected.endswith("!"):
                yield here, "required"
            continue
        yield from _value_faults(given, expected.removesuffix("!"), here, depth, notes)
    for name in value.keys() - fields.keys():
        here = f"{path}.{name}" if path else name
        if not _is_text(name) or len(name) > 100:  # noqa: PLR2004  # no name of a field is as long
            yield path, "not_text"
            continue
        notes.append((re.sub(r"\.\d+", "", here), "not_in_hsds"))
        yield from _unknown_faults(value[name], here, depth + 1)


def _value_faults(
    given: Any, expected: str, here: str, depth: int, notes: list[tuple[str, str]]
) -> Iterator[tuple[str, str]]:
    if expected.startswith("["):
        if not isinstance(given, list):
            yield here, "not_a_list"
            return
        for number, one in enumerate(given):
            yield from _value_faults(one, expected[1:-1], f"{here}.{number}", depth + 1, notes)
    elif expected in OBJECTS:
        if isinstance(given, dict):
            yield from _faults(given, expected, here, depth + 1, notes)
        else:
            yield here, "not_an_object"
    elif expected == "number":
        if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
            yield here, "not_a_number"
    elif not isinstance(given, str):
        yield here, "wrong_type"
    elif (fault := _text_fault(given, expected)) is not None:
        yield here, fault


def _text_fault(given: str, expected: str) -> str | None:
    if not _is_text(given):
        return "not_text"
    if len(given) > MOST_TEXT:
        return "too_long"
    if "|" in expected:
        return None if given in expected.split("|") else "not_a_choice"
    if expected == "instant":
        return None if _is_instant(given) else "not_a_time"
    form = {"uuid": _UUID, "email": _EMAIL, "uri": _URI}.get(expected)
    if form is None or form.fullmatch(given):
        return None
    return {"uuid": "not_an_id", "email": "not_an_email", "uri": "not_a_web_address"}[expected]


def _unknown_faults(given: Any, here: str, depth: int) -> Iterator[tuple[str, str]]:
    """Check what HSDS does not know of just so far that it can be kept."""
    if depth > DEEPEST:
        yield here, "too_deep"
    elif isinstance(given, dict):
        if isinstance(given, Doubled) or not all(_is_text(name) for name in given):
            yield here, "repeated_key" if isinstance(given, Doubled) else "not_text"
        for number, one in enumerate(given.values()):
            yield from _unknown_faults(one, f"{here}.{number}", depth + 1)
    elif isinstance(given, list):
        for number, one in enumerate(given):
            yield from _unknown_faults(one, f"{here}.{number}", depth + 1)
    elif isinstance(given, str) and (fault := _text_fault(given, "text")) is not None:
        yield here, fault
    elif isinstance(given, float) and not math.isfinite(given):
        yield here, "not_a_number"


def _is_text(given: str) -> bool:
    return not any(unicodedata.category(sign) in {"Cc", "Cs"} and sign not in "\n\r\t" for sign in given)


def _is_instant(given: str) -> bool:
    if not _INSTANT.fullmatch(given):
        return False
    try:
        datetime.fromisoformat(given.upper())
    except ValueError:
        return False
    return True


# --- what becomes of it -----------------------------------------------------------------------------------------------


def _words(service: Mapping[str, Any], notes: list[tuple[str, str]]) -> dict[str, Any]:
    provider = service.get("organization") or {}
    return {
        "name": _line(service["name"]),
        "description": service.get("description") or None,
        "categories": _categories(service, notes),
        "eligibility": service.get("eligibility_description") or None,
        "languages": _languages(service),
        "places": _areas(service),
        "phone": _phone(service, *(_locations(service)), provider),
        "email": service.get("email") or None,
        "website": _web(service.get("url"), "url", notes),
    }


def _organization_words(provider: Mapping[str, Any], notes: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "name": _line(provider["name"]),
        "description": provider.get("description") or None,
        "phone": _phone(provider),
        "email": provider.get("email") or None,
        "website": _web(provider.get("website"), "organization.website", notes),
        "city": next(
            (_line(one["city"]) for place in provider.get("locations") or () for one in _addresses(place)), None
        ),
    }


def _places(
    service: Mapping[str, Any],
    provider: Mapping[str, Any],
    known: dict[str, Mapping[str, Any]],
    notes: list[tuple[str, str]],
) -> Iterator[Place]:
    seen: set[str] = set()
    for location in _locations(service):
        path = "service_at_locations.location"
        told = _the_same(known, location, path, notes)
        if location["location_type"] != "physical":
            notes.append((path, "not_a_place"))
        elif location["id"].lower() not in seen:
            seen.add(location["id"].lower())
            yield Place(told["id"].lower(), told, _place_words(told, _line(provider["name"]), notes))


def _place_words(location: Mapping[str, Any], default_name: str, notes: list[tuple[str, str]]) -> dict[str, Any]:
    path = "service_at_locations.location"
    address: Mapping[str, Any] = next(iter(_addresses(location)), {})
    made: dict[str, Any] = {
        "name": _line(location.get("name") or default_name),
        "address": ", ".join(_line(one) for key in ("address_1", "address_2") if (one := address.get(key))) or None,
        "city": _line(address["city"]) if address else None,
        "state": address.get("state_province"),
        "postal_code": address.get("postal_code"),
        "latitude": _degrees(location.get("latitude"), 90),
        "longitude": _degrees(location.get("longitude"), 180),
        "access": "\n".join(one["description"] for one in location.get("accessibility") or () if one.get("description"))
        or None,
    }
    if made["state"] is not None and not _STATE.fullmatch(made["state"]):
        made["state"] = None
        notes.append((f"{path}.addresses.state_province", "not_a_state"))
    if made["postal_code"] is not None and not _POSTAL.fullmatch(made["postal_code"]):
        made["postal_code"] = None
        notes.append((f"{path}.addresses.postal_code", "not_a_postal_code"))
    if (made["latitude"] is None) != (made["longitude"] is None):
        made["latitude"] = made["longitude"] = None
        notes.append((f"{path}.latitude", "half_a_point"))
    return made


def _locations(service: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [at["location"] for at in service.get("service_at_locations") or () if at.get("location")]


def _addresses(location: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a location's addresses, where people go before where mail goes."""
    found: list[Mapping[str, Any]] = list(location.get("addresses") or ())
    return sorted(found, key=lambda one: one["address_type"] != "physical")


def _categories(service: Mapping[str, Any], notes: list[tuple[str, str]]) -> list[str]:
    links = [
        (one.get("link_type"), term.get("code") or term["name"])
        for one in service.get("attributes") or ()
        if (term := one.get("taxonomy_term"))
    ]
    main = [(kind, said) for kind, said in links if kind in _MAIN_LINKS]
    found: dict[str, None] = {}
    for _, said in sorted(main or links, key=lambda one: one[0] != _MAIN_LINKS[0]):
        service_code = SERVICES.get(re.sub(r"[\s-]+", "_", said.strip().casefold()))
        if service_code is not None:
            found[service_code] = None
        elif main:
            notes.append((f"attributes: {_line(said)[:60]}", "no_such_code"))
    if not found:
        notes.append(("attributes", "no_category"))
    return list(found) or ["other"]


def _languages(service: Mapping[str, Any]) -> list[str]:
    found = [one["code"].strip().lower() for one in service.get("languages") or () if one.get("code")]
    return list(dict.fromkeys(found))


def _areas(service: Mapping[str, Any]) -> list[str]:
    found = [_line(one.get("name") or one.get("extent") or "") for one in service.get("service_areas") or ()]
    return list(dict.fromkeys(one for one in found if one))


def _phone(*holders: Mapping[str, Any]) -> str | None:
    for holder in holders:
        for one in holder.get("phones") or ():
            if number := _line(one["number"]):
                return number
    return None


def _web(address: str | None, path: str, notes: list[tuple[str, str]]) -> str | None:
    """Return an address that a page may link to: anything but http and https could run script."""
    if not address:
        return None
    if not _WEB.fullmatch(address):
        notes.append((path, "no_link"))
        return None
    return address


def _degrees(given: float | None, limit: int) -> str | None:
    if given is None or abs(given) > limit:
        return None
    text = given.text if isinstance(given, Written) else str(given)
    return text if re.fullmatch(r"-?[0-9]{1,3}(\.[0-9]{1,15})?", text) else None


def _line(text: str) -> str:
    """Return text on one line: a name is a name, however it was broken."""
    return " ".join(text.split())
