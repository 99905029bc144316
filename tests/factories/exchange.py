"""Made-up files: facilities as CSV, services as HSDS 3.0. No row of any real file."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from referrals.exchange.facilities import COLUMNS

_SPACE = uuid.UUID("5b0f3c1e-6a5e-4d8e-9a3b-2f1c7d4e8a90")


def an_id(word: str) -> str:
    """The same id for the same word."""
    return str(uuid.uuid5(_SPACE, word))


def a_row(number: int | str = 1, **cells: str) -> dict[str, str]:
    """A row of a state prison; cells by column, with `_` for the dot."""
    row = dict.fromkeys(COLUMNS, "NA") | {
        "Facility.ID": str(number),
        "State": "California",
        "Name": f"PINE RIDGE {number}",
        "Jurisdiction": "state",
        "Description": "Prison",
        "Security": "Med/Min",
        "Age": "Adult",
        "Gender": "Male",
        "Population.Feb20": "4204",
        "Capacity": "2920",
        "BJS.ID": "050000000075100000000",
        "Address": "1 KINGS WAY",
        "City": "ORCHARD",
        "Zipcode": "93204",
        "Latitude": "35.97394934",
        "Longitude": "-120.1231018",
        "County": "KINGS",
        "County.FIPS": "06031",
        "Website": "https://prisons.example.gov/pine-ridge?id=1",
    }
    return row | {name.replace("_", "."): value for name, value in cells.items()}


def as_csv(*rows: dict[str, str], columns: Iterable[str] = COLUMNS) -> bytes:
    """A file of these rows."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(columns), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def a_service(word: str = "kitchen", **fields: Any) -> dict[str, Any]:
    """A service with its organization, location, phone, languages and categories."""
    service: dict[str, Any] = {
        "id": an_id(f"service {word}"),
        "name": f"The {word}",
        "description": "Warm meals and a place to sit.",
        "url": f"https://{word}.example.org/",
        "email": f"{word}@example.org",
        "status": "active",
        "eligibility_description": "Anybody who comes.",
        "phones": [{"id": an_id(f"phone {word}"), "number": "(510) 555-0100", "type": "voice"}],
        "schedules": [{"id": an_id(f"hours {word}"), "description": "Mon-Fri 8am-5pm"}],
        "languages": [{"id": an_id(f"language {word}"), "name": "Spanish", "code": "es"}],
        "organization": an_organization(word),
        "service_at_locations": [{"id": an_id(f"at {word}"), "location": a_location(word)}],
        "attributes": [an_attribute(word, "category", "id-documents"), an_attribute(word, "primary_category", "food")],
    }
    return service | fields


def an_organization(word: str = "kitchen", **fields: Any) -> dict[str, Any]:
    """A provider."""
    return {
        "id": an_id(f"organization {word}"),
        "name": f"Friends of the {word}",
        "description": "Neighbors.",
        "website": f"https://{word}.example.org/about",
    } | fields


def a_location(word: str = "kitchen", **fields: Any) -> dict[str, Any]:
    """A place people go to."""
    return {
        "id": an_id(f"location {word}"),
        "location_type": "physical",
        "name": f"House of the {word}",
        "latitude": 37.7855,
        "longitude": -122.23570,
        "addresses": [
            {
                "id": an_id(f"address {word}"),
                "address_1": "2500 Orchard Ave",
                "address_2": "Back door",
                "city": "Oakland",
                "state_province": "CA",
                "postal_code": "94601",
                "country": "US",
                "address_type": "physical",
            }
        ],
        "accessibility": [{"id": an_id(f"access {word}"), "description": "No steps."}],
    } | fields


def an_attribute(word: str, link_type: str, code: str) -> dict[str, Any]:
    """What a service is for, in a publisher's words."""
    return {
        "id": an_id(f"attribute {word} {link_type} {code}"),
        "link_type": link_type,
        "link_entity": "service",
        "taxonomy_term": {
            "id": an_id(f"term {code}"),
            "code": code,
            "name": code,
            "description": "A term.",
            "language": "en",
        },
    }


def as_page(*services: Any, **envelope: Any) -> bytes:
    """A page of these services."""
    return json.dumps({"total_pages": 1, "contents": list(services)} | envelope).encode()


def saved(folder: Path, content: bytes, name: str = "made-up") -> Path:
    """Keep it as a file."""
    path = folder / name
    path.write_bytes(content)
    return path
