"""Release dates through both doors of the real application."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from referrals.kernel.actor import Role
from referrals.kernel.providers import FileProvider
from referrals.kernel.session import HouseSession
from tests.factories.account import a_member
from tests.factories.browser import Visitor, an_app
from tests.factories.organization import a_community_organization, an_agency
from tests.factories.partnership import an_agreement
from tests.factories.person import a_participant, as_if_referred


class House:
    def __init__(self, session: HouseSession, url: str, provider: FileProvider) -> None:
        agency, community = an_agency(session), a_community_organization(session)
        an_agreement(session, agency, community)
        casey = a_member(session, agency.id, Role.CASE_MANAGER, name="Casey Morgan")
        nia = a_member(session, community.id, Role.NAVIGATOR, name="Nia Brooks")
        self.person = a_participant(session, casey.actor(session)).id
        as_if_referred(session, self.person, community.id, user_id=nia.user_id)
        app = an_app(url, provider, session)
        self.casey, self.nia = Visitor(app, session, casey), Visitor(app, session, nia)
        self.here = f"/participants/{self.person}/release-date"


@pytest.fixture
def house(session: HouseSession, sqlite_url: str, provider: FileProvider) -> House:
    return House(session, sqlite_url, provider)


def as_fields(name: str, days: int) -> dict[str, str]:
    day = datetime.now(UTC) + timedelta(days=days)
    return {f"{name}-year": str(day.year), f"{name}-month": str(day.month), f"{name}-day": str(day.day)}


def test_a_day_is_recorded_shown_and_kept_in_the_history(house: House) -> None:
    words = as_fields("expected_on", 30) | as_fields("as_of", -2) | {"source": "agency_record", "said_by": "Records"}
    assert house.casey.form(house.here, words).status_code == 303
    unknown = {"unknown_because": "court_pending", "source": "court"} | as_fields("as_of", -1)
    assert house.casey.form(house.here, unknown).status_code == 303
    page = house.casey.page(house.here)
    assert ("Unknown: a court decision is pending" in page, "Records" in page, "Casey Morgan" in page) == (True,) * 3
    rows = house.casey.json(house.here).json["items"]
    assert [row["source"] for row in rows] == ["court", "agency_record"]


def test_a_faulty_statement_says_what_to_mend(house: House) -> None:
    answer = house.casey.form(house.here, as_fields("as_of", 3) | {"source": "court"})
    assert answer.status_code == 422
    assert "Give a day, or say why it is unknown" in answer.text
    assert 'href="#as_of"' in answer.text


def test_what_a_navigator_hears_is_theirs_and_changes_nothing_in_force(house: House) -> None:
    assert "Agency record" not in house.nia.page(house.here)
    heard = {"expected_on": "2030-01-02", "as_of": "2026-01-02", "source": "agency_record"}
    refused = house.nia.json(house.here, heard)
    assert (refused.status_code, refused.json["errors"][0]["code"]) == (422, "only_the_agency")
    told = house.nia.json(house.here, heard | {"source": "cbo_heard"})
    assert (told.status_code, told.json["is_heard"], told.json["expected_on"]) == (201, True, "2030-01-02")
    assert house.casey.json(house.here).json["items"] == []


def test_a_release_is_recorded_once_by_the_agency_alone(house: House) -> None:
    there = f"/participants/{house.person}/release"
    assert house.nia.get(there).status_code == 403
    words = as_fields("released_on", -1) | as_fields("as_of", -1) | {"source": "agency_record"}
    assert house.casey.form(there, words).status_code == 303
    assert "Released" in house.casey.page(house.here)
    assert "<dt>Released</dt>" in house.casey.page(f"/participants/{house.person}")
    again = house.casey.form(there, words)
    assert (again.status_code, "on record already" in again.text) == (409, True)


def test_a_participants_page_says_when_they_leave(house: House) -> None:
    at_the_participant = house.here.removesuffix("/release-date")
    unknown = {"unknown_because": "court_pending", "source": "court"} | as_fields("as_of", -2)
    assert house.casey.form(house.here, unknown).status_code == 303
    assert "a court decision is pending" in house.casey.page(at_the_participant)
    said = as_fields("expected_on", 30) | as_fields("as_of", -1) | {"source": "agency_record", "said_by": "Records"}
    assert house.casey.form(house.here, said).status_code == 303
    page = house.casey.page(at_the_participant)
    assert ("Expected release" in page, "a court decision is pending" in page) == (True, False)
    assert re.search(r"\(in (30|31) days\)", page)
    assert " days)" not in house.nia.page(at_the_participant)  # no consent lets it cross


def test_a_return_to_custody_is_offered_after_a_release_and_recorded_by_the_agency_alone(house: House) -> None:
    there = f"/participants/{house.person}/return-to-custody"
    assert house.nia.get(there).status_code == 403
    back = as_fields("returned_on", -1) | as_fields("as_of", -1) | {"source": "agency_record"}
    early = house.casey.form(there, back | {"unknown_because": "court_pending"})
    assert (early.status_code, "No release is on record" in early.text) == (409, True)
    assert there not in house.casey.page(house.here)
    words = as_fields("released_on", -3) | as_fields("as_of", -1) | {"source": "agency_record"}
    assert house.casey.form(f"/participants/{house.person}/release", words).status_code == 303
    assert (there in house.casey.page(house.here), there in house.nia.page(house.here)) == (True, False)
    faulty = house.casey.form(there, back)
    assert (faulty.status_code, "Give a day, or say why it is unknown" in faulty.text) == (422, True)
    assert house.casey.form(there, back | {"unknown_because": "court_pending"}).status_code == 303
    page = house.casey.page(house.here)
    assert ("Back in custody" in page, "a court decision is pending" in page, there in page) == (True, True, False)
    row = house.casey.json(house.here).json["items"][0]
    assert (row["released_on"], row["unknown_because"], row["returned_on"] is None) == (None, "court_pending", False)
    assert "Expected release" in house.casey.page(f"/participants/{house.person}")


def test_once_they_are_out_the_agency_is_asked_for_no_other_day(house: House) -> None:
    assert "Say when" in house.casey.page(house.here)
    words = as_fields("released_on", -1) | as_fields("as_of", -1) | {"source": "agency_record"}
    assert house.casey.form(f"/participants/{house.person}/release", words).status_code == 303
    page = house.casey.page(house.here)
    assert "no other day is expected" in page
    assert ("Say when" in page, 'name="as_of-day"' in page, 'form="typed"' in page) == (False, False, False)
    assert "All that was said" in page
    assert f"{house.here}/correction" in page
    assert "Say when" in house.nia.page(house.here), "what others hear may still be written down"


def test_what_is_left_out_is_named_once_and_as_what_it_is(house: House) -> None:
    there = f"/participants/{house.person}/release"
    words = as_fields("released_on", -1) | as_fields("as_of", -1) | {"source": "agency_record"}
    assert house.casey.form(there, words).status_code == 303
    mistaken = house.casey.json(house.here).json["items"][0]["id"]
    page = house.casey.form(f"{house.here}/correction", {"mistaken_id": mistaken})
    assert page.status_code == 422
    summary = page.text.partition('id="error-summary"')[2].partition("</ul>")[0]
    said = re.findall(r'<a href="#(\w+)">([^<]+)</a>', summary)
    assert ("source", "Choose who says so.") in said
    assert ("as_of", "Enter the day on which they said so.") in said
    assert len({words for _name, words in said}) == len(said), "each once"
    assert "Enter an answer." not in page.text


def test_the_history_is_a_card_for_each_entry_on_a_phone(house: House) -> None:
    words = as_fields("expected_on", 30) | as_fields("as_of", -2) | {"source": "agency_record"}
    assert house.casey.form(house.here, words).status_code == 303
    table = house.casey.page(house.here).partition("<table")[2].partition("</table>")[0]
    assert "usa-table--stacked" in table
    heads = re.findall(r'<th scope="col">([^<]+)</th>', table)
    assert re.findall(r'data-label="([^"]+)"', table) == heads
