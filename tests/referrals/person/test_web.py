"""Participants through both doors of the real application."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from referrals.kernel.actor import Role
from referrals.kernel.providers import FileProvider
from referrals.kernel.session import HouseSession
from referrals.organization.models import Organization
from tests.factories.account import Member, a_member
from tests.factories.browser import Visitor, an_app
from tests.factories.consent import a_consent
from tests.factories.organization import a_community_organization, a_facility, an_agency
from tests.factories.partnership import an_agreement
from tests.factories.person import as_if_referred, details


class House:
    def __init__(self, session: HouseSession, url: str, provider: FileProvider) -> None:
        # Real: sign-ins end by the clock, and each code works once.
        self.session = session
        self.agency: Organization = an_agency(session)
        self.community: Organization = a_community_organization(session)
        self.facility = a_facility(session, self.agency)
        an_agreement(session, self.agency, self.community)
        self.casey: Member = a_member(session, self.agency.id, Role.CASE_MANAGER, name="Casey Morgan")
        self.ofelia: Member = a_member(session, self.agency.id, Role.SUPERVISING_OFFICER, name="Ofelia Diaz")
        self.nia: Member = a_member(session, self.community.id, Role.NAVIGATOR, name="Nia Brooks")
        self.app = an_app(url, provider, session)

    def visitor(self, member: Member) -> Visitor:
        return Visitor(self.app, self.session, member)


@pytest.fixture
def house(session: HouseSession, sqlite_url: str, provider: FileProvider) -> House:
    return House(session, sqlite_url, provider)


@pytest.fixture
def casey(house: House) -> Visitor:
    return house.visitor(house.casey)


def added(visitor: Visitor, **said: str) -> UUID:
    words = details(**said)
    day = words.pop("birth_date").split("-")
    words |= {"birth_date-year": day[0], "birth_date-month": day[1], "birth_date-day": day[2]}
    answer = visitor.form("/participants/new", words)
    assert answer.status_code == 303, answer.text
    return UUID(answer.location.rpartition("/")[2])


def test_a_faulty_form_keeps_what_was_typed_and_names_each_fault(casey: Visitor) -> None:
    answer = casey.form("/participants/new", {"given_name": "Rosa", "birth_date-year": "2150", "language": "xx"})
    assert answer.status_code == 422
    assert 'value="Rosa"' in answer.text
    for field in ("family_name", "birth_date", "agency_number", "language"):
        assert f'href="#{field}"' in answer.text


def test_a_participant_is_added_found_corrected_and_listed(casey: Visitor, house: House) -> None:
    person = added(casey, family_name="Núñez", agency_number="AB 1234", facility_id=str(house.facility.id))
    page = casey.page(f"/participants/{person}")
    for word in ("Rosa Núñez", "February 29, 1988", "AB 1234", "Spanish", "Pine Ridge Facility", "Casey Morgan"):
        assert word in page
    assert "Participants (1)" in casey.page("/participants")
    found = casey.form("/participants/search", {"name": "nunez"})
    assert (found.status_code, str(person) in found.text) == (200, True)
    assert "nunez" not in (found.location or "")
    nothing = casey.form("/participants/search", {"name": "nobody"})
    assert "Nobody you work with was found" in nothing.text
    changed = casey.form(
        f"/participants/{person}/contacts", {"phone": "(510) 555-0199", "email": "rosa@example.org", "address": ""}
    )
    assert changed.status_code == 303
    assert "rosa@example.org" in casey.page(f"/participants/{person}")
    stale = casey.ask("POST", f"/participants/{person}/contacts", data={"version": "1", "phone": "1"})
    assert (stale.status_code, "Somebody else changed this" in stale.text) == (409, True)


def test_the_second_of_two_alike_is_added_only_knowingly(casey: Visitor) -> None:
    first = added(casey)
    words = details(**{"birth_date-year": "1988", "birth_date-month": "2", "birth_date-day": "29"})
    words.pop("birth_date")
    again = casey.form("/participants/new", words)
    assert (again.status_code, 'name="although_alike"' in again.text) == (409, True)
    assert casey.form("/participants/new", words | {"although_alike": "true"}).status_code == 303
    api = casey.json("/participants", details(agency_number="AB-9"))
    assert (api.status_code, api.json["code"], api.json["facts"]["count"]) == (409, "likely_duplicate", 2)
    assert str(first) in api.json["facts"]["person_ids"]


def test_who_may_be_meant_is_shown_before_anything_is_saved_and_what_was_typed_is_kept(
    casey: Visitor, house: House
) -> None:
    first = added(casey, family_name="O'Brien", agency_number="AB-501")
    hidden = added(house.visitor(house.ofelia), family_name="Smith", agency_number="AB-502")
    words = details(**{"birth_date-year": "1990", "birth_date-month": "1", "birth_date-day": "5"})
    words.pop("birth_date")
    again = casey.form("/participants/new", words | {"family_name": "obrien", "email": "rosa@example.org"})
    assert again.status_code == 409
    for part in ("Is it one of these people?", f'href="/participants/{first}"', 'value="rosa@example.org"', "phone"):
        assert part in again.text
    assert "Participants (1)" in casey.page("/participants")
    unseen = casey.form("/participants/new", words | {"family_name": "SMITH"})
    assert (unseen.status_code, str(hidden) in unseen.text) == (409, False)
    assert "1 more person whom you do not work with" in unseen.text
    taken = casey.form("/participants/new", words | {"agency_number": "ab 501"})
    assert (taken.status_code, f'href="/participants/{first}"' in taken.text) == (409, True)
    held = casey.form("/participants/new", words | {"agency_number": "AB-502"})
    assert (held.status_code, str(hidden) in held.text) == (409, False)
    assert (
        casey.form("/participants/new", words | {"family_name": "obrien", "although_alike": "true"}).status_code == 303
    )


def test_both_doors_tell_a_stranger_the_same_as_a_random_id(casey: Visitor, house: House) -> None:
    person = added(casey)
    stranger = house.visitor(house.ofelia)
    rest = ("", "/identity", "/contacts", "/facility", "/care-team", "/care-team/new")
    for path in (f"/participants/{{}}{part}" for part in rest):
        known, unknown = (stranger.get(path.format(one)) for one in (person, uuid4()))
        assert known.status_code == unknown.status_code == 404, path
    told = [stranger.json(f"/participants/{one}") for one in (person, uuid4())]
    assert [one.status_code for one in told] == [404, 404]
    bodies = [{key: value for key, value in one.json.items() if key != "request_id"} for one in told]
    assert bodies[0] == bodies[1]


def test_a_colleague_joins_and_leaves_the_care_team(casey: Visitor, house: House) -> None:
    person = added(casey)
    officer = house.visitor(house.ofelia)
    joined = casey.form(
        f"/participants/{person}/care-team/new",
        {"user_id": str(house.ofelia.user_id), "tie": "supervising_officer", "reason": "supervision_began"},
    )
    assert joined.status_code == 303
    assert "Ofelia Diaz" in officer.page(f"/participants/{person}/care-team")
    rows = casey.json(f"/participants/{person}/care-team").json["items"]
    one = next(row["id"] for row in rows if row["tie"] == "supervising_officer")
    assert casey.form(f"/assignments/{one}/end", {"because": "transfer"}).status_code == 303
    assert officer.get(f"/participants/{person}").status_code == 404
    last = next(row["id"] for row in rows if row["tie"] == "case_manager")
    assert "This is the last person of your organization" in casey.page(f"/assignments/{last}/end")
    assert "Transfer" in casey.page(f"/participants/{person}/care-team?ended=yes")


def test_what_is_not_shared_says_so_at_both_doors(casey: Visitor, house: House) -> None:
    person = added(casey, family_name="Canarybird")
    as_if_referred(house.session, person, house.community.id, user_id=house.nia.user_id)
    nia = house.visitor(house.nia)
    page = nia.page(f"/participants/{person}")
    assert ("Not shared" in page, "Canarybird" in page) == (True, False)
    assert nia.json(f"/participants/{person}").json["family_name"] == {"shared": False}
    for part in ("identity", "contacts", "facility"):
        assert nia.get(f"/participants/{person}/{part}").status_code == 403
    assert nia.get("/participants/new").status_code == 403
    actor = house.casey.actor(house.session)
    a_consent(house.session, actor, person, house.community.id, categories=["identity"])
    assert "Canarybird" in nia.page(f"/participants/{person}")
    assert nia.json(f"/participants/{person}").json["phone"] == {"shared": False}


def test_the_api_edits_by_etag_and_repeats_by_key(casey: Visitor) -> None:
    key = {"Idempotency-Key": "one-key"}
    words = details(agency_number="AB-77")
    first, second = casey.json("/participants", words, **key), casey.json("/participants", words, **key)
    assert (first.status_code, second.status_code, first.json["id"]) == (201, 201, second.json["id"])
    here = f"/participants/{first.json['id']}"
    etag = casey.json(here).headers["ETag"]
    assert casey.json(f"{here}/contacts", {"phone": "1"}).status_code == 428
    assert casey.json(f"{here}/contacts", {"phone": "1"}, **{"If-Match": etag}).json["phone"] == "1"
    assert casey.json(f"{here}/contacts", {"phone": "2"}, **{"If-Match": etag}).status_code == 412
    found = casey.json("/participants/search", {"agency_number": "ab77"}).json["items"]
    assert [one["id"] for one in found] == [first.json["id"]]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"name": "\xff"}', b"[" * 990 + b"]" * 990])
def test_a_broken_body_is_no_fault_of_ours(casey: Visitor, body: bytes) -> None:
    casey.page("/participants/new")
    answer = casey.ask("POST", "/api/v1/participants", data=body, content_type="application/json")
    assert answer.status_code in {400, 422}


def test_the_list_goes_by_pages(casey: Visitor) -> None:
    for number in range(3):
        assert casey.json("/participants", details(family_name=f"Name{number}")).status_code == 201
    first = casey.json("/participants?limit=2").json
    second = casey.json(f"/participants?limit=2&after={first['next']}").json
    assert (len(first["items"]), len(second["items"]), second["next"]) == (2, 1, None)
    assert casey.get("/participants?limit=0").status_code == 422
    assert casey.get("/participants?order=name").status_code == 422


def test_a_page_leads_to_the_participants_referrals(casey: Visitor) -> None:
    target = added(casey)
    assert f'href="/referrals?participant_id={target}"' in casey.page(f"/participants/{target}")
    for group, following in (("us", "them"), ("them", "closed"), ("closed", "us")):
        page = casey.page(f"/referrals?group={group}&participant_id={target}")
        assert "This list holds no referral of this participant. Look in the other lists, too." in page
        assert page.count(f"/referrals?group={following}&participant_id={target}") == 2


def test_pages_show_times_where_the_reader_works(casey: Visitor) -> None:
    page = casey.page(f"/participants/{added(casey)}")
    assert ("PDT" in page or "PST" in page, str(datetime.now(UTC).year) in page) == (True, True)
