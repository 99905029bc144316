"""From a real facility to a real program: both files in by the operator's commands, then a referral through JSON alone.

The people are made up. Nothing here writes to, calls or fetches any address that the files name.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.places import Place, agree, consent, open_for_referrals, peopled

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent: real import data not available")

FACILITIES = DATA / "facilities-california.csv"
SERVICES = DATA / "reentry-services-oakland.hsds.json"


def operator(front: Any, *arguments: str) -> str:
    """Run `throughgate …` in a process of its own, on this test's database, and return what it said."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("THROUGHGATE_")} | {
        "THROUGHGATE_ENV": "development",
        "THROUGHGATE_DATABASE_URL": front.engine.url.render_as_string(hide_password=False),
        "THROUGHGATE_KEYS": str(front.provider.path),
        "THROUGHGATE_FAST_PASSWORDS": "1",
    }
    ran = subprocess.run(
        [sys.executable, "-m", "referrals.cli", *arguments],
        cwd=ROOT,
        env=env,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@needs_data
def test_a_referral_from_a_real_facility_to_a_real_program_and_back(
    front: Any, api: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    reports = [
        operator(front, "import", "facilities", str(FACILITIES)),
        operator(front, "import", "services", str(SERVICES)),
    ]
    with capsys.disabled():
        print("", *reports, sep="\n")  # noqa: T201  # what the issue asks to see
    assert re.search(r"^109 rows: 101 added, 0 changed, 0 left alone, 8 refused\.$", reports[0], re.MULTILINE)
    assert re.search(r"^42 rows: 42 added, 0 changed, 0 left alone, 0 refused\.$", reports[1], re.MULTILINE)

    anybody = api("maria")
    organizations = {one["id"]: one for one in anybody.every("/organizations")}
    facility = _a_facility(anybody, organizations)
    program = _a_program(anybody, organizations)
    agency = peopled(front, organizations[facility["organization_id"]], "case_manager", "supervisor")
    community = peopled(front, organizations[program["organization_id"]], "navigator", "supervisor")

    open_for_referrals(community, program)
    agree(agency, community)
    person = _participant(agency, facility)
    at = _send(agency, community, person, program)
    _answer_work_and_close(at, agency, community, facility)

    stranger = api("dana")
    assert stranger.get(at).status_code == 404
    assert stranger.get(f"/participants/{person['id']}").status_code == 404


def _a_facility(caller: Any, organizations: dict[str, Any]) -> dict[str, Any]:
    for one in organizations.values():
        if one["side"] == "agency":
            for facility in caller.every(f"/organizations/{one['id']}/facilities"):
                if facility["source"] and facility["kind"] == "prison" and facility["city"]:
                    return dict(facility)
    pytest.fail("no imported prison with a city")


def _a_program(caller: Any, organizations: dict[str, Any]) -> dict[str, Any]:
    for one in caller.every("/programs"):
        known = organizations[one["organization_id"]]
        treats = {"substance_use_treatment", "mental_health", "health_care"} & set(one["categories"])
        if known["part2_program"] == "unknown" and not treats:
            return dict(one)
    pytest.fail("no imported program without treatment")


def _participant(agency: Place, facility: dict[str, Any]) -> dict[str, Any]:
    case_manager = agency.people["case_manager"]
    person = case_manager.do(
        "/participants",
        {
            "given_name": "Nadia",
            "family_name": "Okonkwo",
            "birth_date": "1990-05-06",
            "language": "en",
            "agency_number": "RP-1001",
            "facility_id": facility["id"],
        },
    )
    leaving = {
        "expected_on": agency.today(45),
        "facility_id": facility["id"],
        "source": "agency_record",
        "as_of": agency.today(),
    }
    case_manager.do(f"/participants/{person['id']}/release-date", leaving)
    return dict(person)


def _send(agency: Place, community: Place, person: dict[str, Any], program: dict[str, Any]) -> str:
    case_manager = agency.people["case_manager"]
    draft = case_manager.do(f"/participants/{person['id']}/referrals", {"program_id": program["id"]})
    at = f"/referrals/{draft['id']}"
    content = {
        "asked_by": "participant",
        "agreed_on": agency.today(),
        "agreed_how": "in_person",
        "service": program["categories"][0],
        "urgency": "soon",
        "reason_text": "Leaves in six weeks and knows nobody in Oakland.",
        "goals": ["Somebody to call when it gets hard"],
        "accommodations": ["none"],
        "language": "en",
        "first_contact": "A visit before release.",
        "contact_name": "Case Manager",
        "contact_phone": "+1 209 555 0199",
        "contact_hours": "Weekdays",
        "backup_name": "Supervisor",
        "backup_phone": "+1 209 555 0198",
        "backup_hours": "Weekdays",
    }
    case_manager.do(f"{at}/draft", content, If_Match=case_manager.get(f"{at}/draft").headers["ETag"])

    unsigned = case_manager.post(f"{at}/sending")
    assert unsigned.status_code == 422, "nothing is sent before the participant has said yes"
    codes = {one["code"] for one in unsigned.get_json()["errors"]}
    assert codes == {"not_covered", "return_consent_missing"}
    assert community.people["navigator"].get(at).status_code == 404

    words = consent(agency, community.id, "Nadia Okonkwo")
    case_manager.do(f"/participants/{person['id']}/consents", words)
    assert case_manager.do(f"{at}/sending")["status"] == "sent"
    return at


def _answer_work_and_close(at: str, agency: Place, community: Place, facility: dict[str, Any]) -> None:
    case_manager, navigator = agency.people["case_manager"], community.people["navigator"]
    seen = navigator.read(at)
    assert (seen["status"], seen["participant"]) == ("sent", "Nadia Okonkwo")
    person = navigator.read(f"/participants/{seen['participant_id']}")
    assert person["facility_id"] == facility["id"], "release crosses, so the facility does"
    navigator.do(f"{at}/receipt")
    words = {"caseworker_id": navigator.me, "first_contact_on": community.today(4)}
    assert navigator.do(f"{at}/acceptance", words)["status"] == "accepted"
    navigator.do(f"{at}/start", {"started_on": community.today(), "how": "video"})
    navigator.do(f"{at}/closing-report", {"result_1": "achieved", "helps_next": "A weekly call."})
    assert navigator.do(f"{at}/completion", {"outcome": "goals_met"})["loop"] == "open"
    closed = case_manager.do(f"{at}/outcome", {"answer": "agreed"})
    assert (closed["status"], closed["loop"]) == ("completed", "closed")
