"""Organizations made ready for referrals through the JSON door: people, programs, an agreement, a consent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

#: What a participant lets cross with a referral, and what may come back.
SHARED = ["identity", "contact", "release", "needs"]
BACK = ["attendance", "needs"]


@dataclass(slots=True)
class Place:
    """An imported organization with people of its own."""

    id: str
    zone: ZoneInfo
    people: dict[str, Any]

    def today(self, ahead: int = 0) -> str:
        """A day as they count it."""
        return (datetime.now(self.zone).date() + timedelta(days=ahead)).isoformat()


def peopled(front: Any, organization: dict[str, Any], *roles: str) -> Place:
    """Give an organization its two administrators, who give it the rest of its people."""
    stem = re.sub("[^a-z]", "", organization["name"].lower())[:12]
    administrator = front.join(organization["id"], f"admin.{stem}", "Ada Min", "administrator")
    second = front.join(organization["id"], f"second.{stem}", "Sev Ond", "administrator")
    people = {"administrator": administrator}
    for role in roles:
        words = {"sign_in_name": f"{role}.{stem}", "display_name": f"{role.title()} {stem.title()}", "roles": [role]}
        made = administrator.do("/organization/people", words)
        for waiting in second.every("/organization/people/role-proposals"):  # a supervisor takes two (S-802)
            second.do(f"/organization/people/role-proposals/{waiting['id']}/confirmation", {})
        people[role] = front.arrive(words["sign_in_name"], made["one_time_code"])
    return Place(organization["id"], ZoneInfo(organization["time_zone"]), people)


def open_for_referrals(community: Place, program: dict[str, Any]) -> None:
    """What a real community organization has to say before anybody can send to it."""
    words = {"part2_program": "no", "because": "It offers no substance use treatment."}
    community.people["administrator"].do(f"/organizations/{community.id}/part2-program", words)
    supervisor, navigator = community.people["supervisor"], community.people["navigator"]
    supervisor.do(f"/programs/{program['id']}/intake", {"user_id": navigator.me})
    room = {"capacity_code": "capacity", "open_places": 3, "expected_days": 10}
    navigator.do(f"/programs/{program['id']}/capacity", room, If_Match='"1"')


def agree(agency: Place, community: Place) -> None:
    terms = {
        "partner_id": community.id,
        "starts_on": agency.today(),
        "ends_on": agency.today(365),
        "categories": sorted({*SHARED, *BACK}),
        "purposes": ["referral", "pre_release"],
        "facility_ids": [],
        "program_ids": [],
    }
    proposed = agency.people["supervisor"].do("/partnerships", terms)
    for side in (agency, community):
        signed = side.people["supervisor"].do(f"/partnerships/{proposed['id']}/signature", {"terms": proposed["terms"]})
    assert signed["standing"] == "active"


def consent(agency: Place, community_id: str, name: str) -> dict[str, Any]:
    """What the participant agreed to and signed, both directions in one sitting."""
    return {
        "from_org_id": agency.id,
        "to_org_id": community_id,
        "categories": SHARED,
        "purposes": ["referral", "pre_release"],
        "name_as_on_form": name,
        "told_rights": True,
        "expires_on": agency.today(180),
        "method": "e_signature",
        "signature": name,
        "signed_on": agency.today(),
        "language": "en",
        "place": "Visiting room",
        "back": "yes",
        "back_categories": BACK,
        "back_to_role": "case_manager",
    }
