"""Participants through both doors of the real application."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from audit.models import AuditEvent
from referrals.kernel.actor import Role
from referrals.kernel.providers import FileProvider
from referrals.kernel.record import clock
from referrals.kernel.session import HouseSession
from referrals.organization.models import Organization
from referrals.person import queries
from tests.factories.account import Member, a_member
from tests.factories.browser import Visitor, an_app
from tests.factories.consent import a_consent
from tests.factories.organization import a_community_organization, a_facility, an_agency
from tests.factories.partnership import an_agreement
from tests.factories.person import as_if_referred, details
from tests.factories.release import a_release_date


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
    assert "Is it one of these people?" not in unseen.text
    assert "who is shown below" not in unseen.text
    assert "1 person at your agency whom you do not work with" in unseen.text
    taken = casey.form("/participants/new", words | {"agency_number": "ab 501"})
    assert (taken.status_code, f'href="/participants/{first}"' in taken.text) == (409, True)
    held = casey.form("/participants/new", words | {"agency_number": "AB-502"})
    assert (held.status_code, str(hidden) in held.text) == (409, False)
    assert (
        casey.form("/participants/new", words | {"family_name": "obrien", "although_alike": "true"}).status_code == 303
    )


def test_where_nobody_who_may_be_meant_is_within_sight_both_doors_say_so_and_what_to_do(
    casey: Visitor, house: House
) -> None:
    hidden = added(house.visitor(house.ofelia), agency_number="AB-503")
    words = details(**{"birth_date-year": "1990", "birth_date-month": "1", "birth_date-day": "5"})
    words.pop("birth_date")
    page = casey.form("/participants/new", words)
    api = casey.json("/participants", details())
    assert (page.status_code, api.status_code) == (409, 409)
    assert (api.json["code"], api.json["facts"]) == ("likely_duplicate_unseen", {"count": 1, "person_ids": []})
    assert "Ask your supervisor to look." in api.json["detail"]
    assert "say so and add them" in api.json["detail"]
    for told in (page.text, api.text):
        assert "who is shown below" not in told
        assert not any(part in told for part in (str(hidden), "AB-503"))
    assert 'name="although_alike"' in page.text
    spanish = casey.json("/participants", details(), **{"Accept-Language": "es"}).json["detail"]
    assert spanish != api.json["detail"]
    assert "Participants (1)" not in casey.page("/participants")
    assert casey.json("/participants", details(although_alike=True)).status_code == 201
    both = casey.json("/participants", details(agency_number="AB-504"))
    assert (both.json["code"], both.json["facts"]["count"]) == ("likely_duplicate", 2)


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


def test_the_last_place_says_before_and_after_that_nobody_will_see_the_participant(
    casey: Visitor, house: House
) -> None:
    person = added(casey)
    officer = house.visitor(house.ofelia)
    joining = {"user_id": str(house.ofelia.user_id), "tie": "supervising_officer", "reason": "supervision_began"}
    assert casey.form(f"/participants/{person}/care-team/new", joining).status_code == 303
    rows = casey.json(f"/participants/{person}/care-team").json["items"]
    mine, theirs = (
        next(row["id"] for row in rows if row["tie"] == tie) for tie in ("case_manager", "supervising_officer")
    )
    warned = "Afterwards nobody of your organization sees this participant, supervisors included"
    assert warned not in casey.page(f"/assignments/{mine}/end")
    left = casey.form(f"/assignments/{mine}/end", {"because": "transfer"})
    assert (left.status_code, left.location) == (303, "/participants"), "what was left cannot be opened any more"
    assert "They are no longer on the care team." in casey.page("/participants")
    page = officer.page(f"/assignments/{theirs}/end")
    assert warned in page
    assert "Nobody else can bring them back to you, either." in page
    told = officer.json(f"/assignments/{theirs}/end", {"because": "transfer"})
    assert (told.status_code, told.json["leaves_nobody"], told.json["ended_because"]) == (200, True, "transfer")
    for one in (casey, officer):
        assert one.get(f"/participants/{person}").status_code == 404


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


# --- filters, order, pages --------------------------------------------------------------------------------------------


def listed(visitor: Visitor, words: str = "") -> list[str]:
    """The ids of a list, page by page."""
    ids, after = [], ""
    while True:
        page = visitor.json(f"/participants?{words}&limit=2{after}").json
        ids += [one["id"] for one in page["items"]]
        if page["next"] is None:
            return ids
        after = f"&after={page['next']}"


@pytest.mark.parametrize(
    "words",
    ["facility_id=x", "language=klingon", "leaving=31", "sort=number", "size=7", "name=Rosa", "mine=7", "after=x"],
)
def test_filters_that_are_unknown_or_about_somebody_are_refused(casey: Visitor, words: str) -> None:
    assert casey.get(f"/participants?{words}").status_code == 422
    assert casey.json(f"/participants?{words}").status_code == 422


def test_the_list_is_narrowed_and_sorted_by_what_stands_in_its_address(casey: Visitor, house: House) -> None:
    actor = house.casey.actor(house.session)
    today = clock(house.session).date()
    held = str(house.facility.id)
    zoe = added(casey, given_name="Zoë", family_name="Álvarez", language="en", facility_id=held)
    bo = added(casey, given_name="Bo", family_name="Zuniga")
    ana = added(casey, given_name="Ana", family_name="alvarez", birth_date="1990-01-01", phone="", facility_id=held)
    for person, ahead in ((zoe, 50), (bo, 20), (ana, 100)):
        a_release_date(house.session, actor, person, today + timedelta(days=ahead))
    assert listed(casey) == [str(ana), str(bo), str(zoe)]
    assert listed(casey, f"facility_id={held}") == [str(ana), str(zoe)]
    assert listed(casey, "language=en") == [str(zoe)]
    assert listed(casey, "leaving=60") == [str(bo), str(zoe)]
    assert listed(casey, "leaving=60&sort=release") == [str(bo), str(zoe)]
    assert listed(casey, "sort=name") == [str(ana), str(zoe), str(bo)]
    assert listed(casey, "sort=-name") == [str(bo), str(zoe), str(ana)]
    assert listed(casey, f"leaving=60&facility_id={held}&language=en&sort=name&mine=yes") == [str(zoe)]
    page = casey.page(f"/participants?facility_id={held}&leaving=60&sort=name")
    assert "Participants (1)" in page
    assert f'href="/participants?facility_id={held}&sort=name"' in page, "the chip that takes the release away"
    assert 'aria-sort="ascending"' in page
    assert 'role="status">1 participant<' in page
    assert "Nobody within your sight matches" in casey.page("/participants?language=vi")


@pytest.mark.parametrize(("words", "read"), [("language=en", True), ("sort=name", False), ("", False)])
def test_who_is_found_by_language_has_had_it_read(casey: Visitor, house: House, words: str, read: bool) -> None:
    added(casey, language="en")
    assert len(listed(casey, words)) == 1
    newest = select(AuditEvent.body).where(AuditEvent.action == queries.LISTED).order_by(AuditEvent.event_id.desc())
    fields = json.loads(house.session.scalars(newest.limit(1)).one())["fields"]
    assert ("person.language" in fields) is read


def test_mine_leaves_out_whom_only_a_supervisor_sees(casey: Visitor, house: House) -> None:
    person = added(casey)
    walsh = house.visitor(a_member(house.session, house.agency.id, Role.SUPERVISOR, name="Erin Walsh"))
    assert listed(walsh) == [str(person)]
    assert listed(walsh, "mine=yes") == []


def test_what_is_not_shared_counts_as_absent_in_every_filter_and_order(casey: Visitor, house: House) -> None:
    actor = house.casey.actor(house.session)
    held, soon = str(house.facility.id), clock(house.session).date() + timedelta(days=20)
    people = [added(casey, family_name=name, language="en", facility_id=held) for name in ("Zuniga", "Abbot")]
    for person in people:
        a_release_date(house.session, actor, person, soon)
        as_if_referred(house.session, person, house.community.id, user_id=house.nia.user_id)
    nia = house.visitor(house.nia)
    filters = (f"facility_id={held}", "language=en", "leaving=60", "leaving=60&sort=release")
    assert [listed(nia, words) for words in filters] == [[], [], [], []]
    assert listed(nia, "sort=name") == [str(people[1]), str(people[0])], "newest first, as if there were no names"
    assert "Participants (0)" in nia.page("/participants?leaving=60")
    a_consent(house.session, actor, people[0], house.community.id, categories=["release"])
    assert [listed(nia, words) for words in filters] == [[str(people[0])], [], [str(people[0])], [str(people[0])]]
    assert "Participants (1)" in nia.page(f"/participants?leaving=60&facility_id={held}")
    a_consent(house.session, actor, people[0], house.community.id, categories=["identity"])
    assert listed(nia, "language=en") == [str(people[0])]
    assert listed(nia, "sort=name") == [str(people[0]), str(people[1])], "whose name is not shared comes last"


def test_beyond_a_thousand_names_are_not_opened_for_an_order(
    casey: Visitor, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = str(house.facility.id)
    here = added(casey, family_name="Abbot", facility_id=held)
    for number in range(2):
        added(casey, family_name=f"Other{number}", given_name=f"Given{number}{number}", birth_date="1990-01-01")
    monkeypatch.setattr(queries, "OPENED_AT_MOST", 2)
    assert "Choose a facility or a time of release first" in casey.page("/participants?sort=name")
    assert listed(casey, "sort=name") == []
    assert listed(casey, f"sort=name&facility_id={held}") == [str(here)]


def test_a_number_that_is_taken_says_the_same_to_whoever_may_see_its_holder_and_to_others(
    house: House, casey: Visitor
) -> None:
    here = added(casey, agency_number="AB-771")
    other = a_member(house.session, house.agency.id, Role.CASE_MANAGER, name="Other Person")
    words = details(**{"birth_date-year": "1990", "birth_date-month": "1", "birth_date-day": "5"})
    words |= {"agency_number": "AB 771", "family_name": "Elsewhere"}
    words.pop("birth_date")
    said = set[str]()
    for one, may_see in ((casey, True), (house.visitor(other), False)):
        answer = one.form("/participants/new", words)
        assert (answer.status_code, str(here) in answer.text) == (409, may_see)
        summary = answer.text.partition('id="error-summary"')[2].partition("</ul>")[0]
        assert "ask your supervisor" in summary
        said.add(summary)
    assert len(said) == 1, "nobody learns by the words whether they may see them"


def test_a_switch_beside_the_search_for_a_participant_keeps_what_is_typed_and_finds_nobody(
    house: House, casey: Visitor
) -> None:
    added(casey)
    house.session.rollback()
    typed = {"family_name": "N", "name": "Lu <b>", "birth_date-day": "7", "show_in": "es"}
    page = casey.form("/participants/search", typed)
    assert (page.status_code, '<html lang="es">' in page.text) == (200, True)
    assert 'value="Lu &lt;b&gt;"' in page.text
    assert re.search(r'name="birth_date-day"[^>]*value="7"', page.text)
    assert "/participants/0" not in page.text
    searched = select(AuditEvent).where(AuditEvent.action == "person.searched")
    assert house.session.scalars(searched).all() == []
