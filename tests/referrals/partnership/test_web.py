"""Both doors to agreements: who comes in, what is refused and how it reads, and that page and JSON do the same."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest

from referrals.kernel.actor import Role
from referrals.kernel.record import clock
from referrals.kernel.session import HouseSession
from referrals.organization.models import Organization
from tests.factories.organization import a_community_organization, a_facility, an_agency, last_event
from tests.factories.partnership import a_proposal, a_rule, an_agreement, terms
from tests.factories.program import a_program
from tests.referrals.organization.conftest import Visitor, Visits


@pytest.fixture
def agency(session: HouseSession) -> Organization:
    return an_agency(session)


@pytest.fixture
def community(session: HouseSession) -> Organization:
    return a_community_organization(session)


@pytest.fixture
def today(session: HouseSession, agency: Organization) -> date:
    return clock(session).astimezone(agency.zone).date()


def as_form(said: dict[str, Any]) -> dict[str, Any]:
    """Turn JSON's days into the three controls of a form."""
    words = {name: value for name, value in said.items() if name not in {"starts_on", "ends_on"}}
    for name in ("starts_on", "ends_on"):
        year, month, day = said[name].split("-")
        words |= {f"{name}-year": year, f"{name}-month": month, f"{name}-day": day}
    return words


#: What two answers to one question differ in: the request's number, the form's token, the second.
_VARIES = re.compile(r'[0-9a-f]{8}-[0-9a-f-]{27}|csrf_token" value="[^"]+|<time.*?</time>')

RULES = [
    "/partnerships/{agreement}",
    "/partnerships/{agreement}/terms",
    "/partnerships/{agreement}/signature",
    "/partnerships/{agreement}/ending",
    "/partnerships/{agreement}/rules/new",
    "/partner-rules/{rule}/retirement",
    "/partner-rules/{rule}/acknowledgment",
]


@pytest.mark.parametrize("path", RULES)
def test_strangers_and_random_ids_get_the_same_404_on_record(
    visit: Visits, session: HouseSession, agency: Organization, community: Organization, path: str
) -> None:
    agreement = a_proposal(session, agency, community)
    known = {"agreement": agreement.id, "rule": a_rule(session, agreement, agency).id}
    stranger = visit(a_community_organization(session, "Second Start"), Role.SUPERVISOR)
    answers = []
    for ids in (known, dict.fromkeys(known, uuid4())):
        page = stranger.get(path.format(**ids))
        assert page.status_code == 404
        assert (last_event(session)["outcome"], last_event(session)["code"]) == ("refused", "not_found")
        answers.append(_VARIES.sub("", page.text))
    assert answers[0] == answers[1]
    assert visit().get(path.format(**known)).status_code == 303


def test_an_agreement_is_proposed_signed_by_both_and_ended_in_the_browser(
    visit: Visits, session: HouseSession, agency: Organization, community: Organization, today: date
) -> None:
    facility, program = a_facility(session, agency), a_program(session, community)
    walsh, rosa = visit(agency, Role.SUPERVISOR, name="Erin Walsh"), visit(community, Role.SUPERVISOR)
    page = walsh.get("/partnerships/new")
    assert f'value="{community.id}"' in page.text
    assert "What may be shared" not in page.text
    page = walsh.get(f"/partnerships/new?partner_id={community.id}")
    assert facility.name in page.text
    assert program.name in page.text
    said = as_form(terms(today, categories=["identity", "release"], purposes=["referral"]))
    wrong = walsh.post("/partnerships/new", partner_id=str(community.id), **said | {"ends_on-year": "2099"})
    assert wrong.status_code == 422
    assert "at most five years" in wrong.text
    assert re.search(r'value="release" checked', wrong.text)
    answer = walsh.post("/partnerships/new", partner_id=str(community.id), facility_ids=[str(facility.id)], **said)
    assert answer.status_code == 303, answer.text
    here = answer.location
    page = rosa.get(here)
    assert "Proposed" in page.text
    assert facility.name in page.text

    for visitor, then in ((rosa, "Proposed"), (walsh, "Active")):
        sign = visitor.get(f"{here}/signature")
        number = re.search(r'name="terms" value="(\d+)"', sign.text)
        assert number is not None
        assert visitor.post(f"{here}/signature", terms=number[1]).status_code == 303
        assert then in visitor.get(here).text
    assert "Erin Walsh" in rosa.get(here).text
    assert rosa.post(f"{here}/signature", terms="1").status_code == 409
    assert "Active" in rosa.get("/partnerships").text

    assert rosa.post(f"{here}/ending").status_code == 422
    assert rosa.post(f"{here}/ending", because="The grant ended.").status_code == 303
    page = walsh.get(here)
    assert "The grant ended." in page.text
    assert "Read and sign" not in page.text
    assert "Run out" not in page.text


def test_terms_changed_after_a_signature_are_signed_anew(
    visit: Visits, session: HouseSession, agency: Organization, community: Organization, today: date
) -> None:
    walsh, rosa = visit(agency, Role.SUPERVISOR), visit(community, Role.SUPERVISOR)
    here = f"/partnerships/{a_proposal(session, agency, community).id}"
    assert walsh.post(f"{here}/signature", terms="1").status_code == 303
    page = rosa.get(f"{here}/terms")
    assert "that signature is void" in page.text
    said = as_form(terms(today, purposes=["referral"]))
    assert rosa.post(f"{here}/terms", **said).status_code == 303
    assert rosa.get(here).text.count("Not signed yet") == 2
    late = walsh.post(f"{here}/signature", terms="1")
    assert late.status_code == 409
    assert "Somebody else changed this" in late.text


def test_others_read_and_may_not_act(
    visit: Visits, session: HouseSession, agency: Organization, community: Organization
) -> None:
    agreement = a_proposal(session, agency, community)
    for where, role in ((agency, Role.CASE_MANAGER), (community, Role.ADMINISTRATOR), (agency, Role.AUDITOR)):
        reader = visit(where, role)
        page = reader.get(f"/partnerships/{agreement.id}")
        assert page.status_code == 200
        assert "Read and sign" not in page.text
        for path in ("new", f"{agreement.id}/terms", f"{agreement.id}/signature", f"{agreement.id}/ending"):
            assert reader.get(f"/partnerships/{path}").status_code == 403
            assert (last_event(session)["outcome"], last_event(session)["code"]) == ("refused", "not_permitted")


def test_rules_are_brought_acknowledged_by_name_and_retired(
    visit: Visits, session: HouseSession, agency: Organization, community: Organization
) -> None:
    here = f"/partnerships/{an_agreement(session, agency, community).id}"
    walsh, dana = visit(agency, Role.SUPERVISOR), visit(community, Role.NAVIGATOR, name="Dana Brooks")
    answer = walsh.post(f"{here}/rules/new", kind="facility_rule", wording="<i>No phones</i> past the gate.")
    assert answer.status_code == 303
    page = dana.get(here)
    assert "&lt;i&gt;No phones&lt;/i&gt;" in page.text
    link = re.search(r'href="(/partner-rules/[^"]+/acknowledgment)"', page.text)
    assert link is not None
    assert "acknowledgment" not in walsh.get(here).text
    assert dana.post(link[1]).status_code == 303
    assert "Dana Brooks" in walsh.get(here).text
    assert link[1] not in dana.get(here).text
    again = dana.post(link[1])
    assert again.status_code == 409
    assert "You have acknowledged this rule." in again.text
    retirement = link[1].replace("acknowledgment", "retirement")
    assert dana.get(retirement).status_code == 403
    assert walsh.post(retirement).status_code == 303
    assert "Holds no longer" in dana.get(here).text
    wrong = visit(community, Role.SUPERVISOR).post(f"{here}/rules/new", kind="facility_rule", wording="x")
    assert wrong.status_code == 409


def test_json_may_say_null_where_an_agreement_covers_every_facility_and_program(
    visit: Visits, agency: Organization, community: Organization, today: date
) -> None:
    everywhere = {"partner_id": str(agency.id), "facility_ids": None, "program_ids": None} | terms(today)
    made = visit(community, Role.SUPERVISOR).send("/partnerships", everywhere)
    assert made.status_code == 201, made.text
    assert (made.get_json()["facility_ids"], made.get_json()["program_ids"]) == (None, None)


def test_json_does_what_the_page_does(
    visit: Visits, session: HouseSession, agency: Organization, community: Organization, today: date
) -> None:
    walsh, rosa = visit(agency, Role.SUPERVISOR), visit(community, Role.SUPERVISOR)
    made = rosa.send("/partnerships", {"partner_id": str(agency.id)} | terms(today))
    assert made.status_code == 201, made.text
    row = made.get_json()
    here = f"/partnerships/{row['id']}"
    assert (row["standing"], row["terms"], row["agency_name"]) == ("proposed", 1, agency.name)
    assert (row["facility_ids"], row["agency_signed_at"]) == (None, None)
    etag = rosa.ask(here).headers["ETag"]
    assert rosa.send(f"{here}/terms", terms(today)).status_code == 428
    changed = rosa.send(f"{here}/terms", terms(today, purposes=["referral"]), If_Match=etag)
    assert (changed.status_code, changed.get_json()["terms"]) == (200, 2)
    for visitor in (walsh, rosa):
        assert visitor.send(f"{here}/signature", {"terms": 1}).status_code == 409
        assert visitor.send(f"{here}/signature", {"terms": 2}).status_code == 200
    assert walsh.ask(here).get_json()["standing"] == "active"
    rule = walsh.send(f"{here}/rules", {"kind": "non_negotiable", "wording": "No phones."})
    assert rule.status_code == 201
    kept = visit(community, Role.NAVIGATOR).send(f"/partner-rules/{rule.get_json()['id']}/acknowledgment", {})
    assert kept.status_code == 201, kept.text
    assert len(walsh.ask(f"{here}/rules").get_json()["items"][0]["acknowledgments"]) == 1
    ended = walsh.send(f"{here}/ending", {"because": "The grant ended."})
    assert (ended.status_code, ended.get_json()["standing"]) == (200, "ended")
    assert walsh.send(f"{here}/ending", {"because": "Again."}).get_json()["code"] == "agreement_over"
    assert last_event(session)["source"]["channel"] == "api"


def test_a_renewal_in_the_same_days_is_refused_with_what_to_do(
    visit: Visits, session: HouseSession, agency: Organization, community: Organization, today: date
) -> None:
    an_agreement(session, agency, community)
    later = terms(today, starts_on=(today + timedelta(days=5)).isoformat())
    walsh, rosa = visit(agency, Role.SUPERVISOR), visit(community, Role.SUPERVISOR)
    row = walsh.send("/partnerships", {"partner_id": str(community.id)} | later).get_json()
    here = f"/partnerships/{row['id']}/signature"

    def sign(visitor: Visitor) -> int:
        return visitor.post(here, terms="1").status_code

    assert [sign(walsh), sign(rosa)] == [303, 409]
    assert "runs in the same days" in rosa.post(here, terms="1").text


def test_pages_of_the_list_follow_each_other(visit: Visits, session: HouseSession, agency: Organization) -> None:
    for number in range(27):
        a_proposal(session, agency, a_community_organization(session, f"Organization {number:02}"))
    reader = visit(agency, Role.CASE_MANAGER)
    first = reader.ask("/partnerships").get_json()
    second = reader.ask(f"/partnerships?after={first['next']}").get_json()
    assert (len(first["items"]), len(second["items"]), second["next"]) == (25, 2, None)
    assert f"/partnerships?after={first['next']}" in reader.get("/partnerships").text


def test_two_community_organizations_agree_in_the_browser_and_read_the_same_page(
    visit: Visits, session: HouseSession, agency: Organization, community: Organization, today: date
) -> None:
    peer = a_community_organization(session, "Second Start")
    ours, theirs = a_program(session, community), a_program(session, peer, name="Night School")
    a_facility(session, agency, "Pine Ridge")
    mine, other = visit(peer, Role.SUPERVISOR), visit(community, Role.SUPERVISOR)
    page = mine.get(f"/partnerships/new?partner_id={community.id}").text
    assert "Pine Ridge" not in page
    assert f"{ours.name}, {community.name}" in page
    assert f"{theirs.name}, {peer.name}" in page
    said = as_form(terms(today, categories=["identity", "needs"], purposes=["referral"]))
    made = mine.post("/partnerships/new", partner_id=str(community.id), **said)
    assert made.status_code == 303, made.text
    here = made.location
    for visitor in (other, mine):
        assert "Facilities" not in visitor.get(f"{here}/signature").text
        assert visitor.post(f"{here}/signature", terms="1").status_code == 303
    pages = [_VARIES.sub("", visitor.get(here).text) for visitor in (mine, other)]
    assert all("Active" in page and peer.name in page and community.name in page for page in pages)
    assert peer.name in other.get("/partnerships").text
    assert community.name in mine.get("/partnerships").text
    row = other.ask(here).get_json()
    assert (row["agency_id"], row["agency_name"], row["peer_id"]) == (None, None, str(peer.id))
    assert row["peer_signed_at"] is not None
    assert row["community_signed_at"] is not None
    rule = other.get(f"{here}/rules/new").text
    assert "Facility rule" not in rule
    assert visit(agency, Role.SUPERVISOR).get(here).status_code == 404
