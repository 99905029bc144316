"""Consents through both doors of the real application."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, event, func, select

from audit.models import AuditEvent
from referrals.kernel.actor import Role
from referrals.kernel.providers import FileProvider
from referrals.kernel.session import HouseSession
from tests.factories.account import a_member
from tests.factories.browser import Visitor, an_app
from tests.factories.consent import PDF
from tests.factories.organization import a_community_organization, an_agency
from tests.factories.partnership import an_agreement
from tests.factories.person import a_participant, as_if_referred, details


class House:
    def __init__(self, session: HouseSession, url: str, provider: FileProvider) -> None:
        self.session = session
        self.agency, self.community = an_agency(session), a_community_organization(session)
        an_agreement(session, self.agency, self.community)
        casey = a_member(session, self.agency.id, Role.CASE_MANAGER, name="Casey Morgan")
        nia = a_member(session, self.community.id, Role.NAVIGATOR, name="Nia Brooks")
        self.witness_member = a_member(session, self.agency.id, Role.CASE_MANAGER, name="Wren Hale")
        self.person = a_participant(session, casey.actor(session)).id
        as_if_referred(session, self.person, self.community.id, user_id=nia.user_id)
        self.app = an_app(url, provider, session)
        self.casey, self.nia = Visitor(self.app, session, casey), Visitor(self.app, session, nia)
        self.here = f"/participants/{self.person}/consents"

    def questions(self, **said: Any) -> dict[str, Any]:
        """What the question page sends."""
        return {
            "from_org_id": str(self.agency.id),
            "to_org_id": str(self.community.id),
            "name_as_on_form": "Rosa Núñez",
            "categories": ["identity", "needs"],
            "purposes": ["referral"],
            "language": "en",
        } | said

    def signed(self, **said: Any) -> Any:
        """A consent by typed name, through the API."""
        today = datetime.now(UTC).date()
        more = {
            "expires_on": (today + timedelta(days=30)).isoformat(),
            "told_rights": True,
            "method": "e_signature",
            "signature": "Rosa Núñez",
            "signed_on": (today - timedelta(days=1)).isoformat(),
        }
        return self.casey.json(self.here, self.questions(**(more | said)))


@pytest.fixture
def house(session: HouseSession, sqlite_url: str, provider: FileProvider) -> House:
    return House(session, sqlite_url, provider)


def as_fields(name: str, days: int) -> dict[str, str]:
    day = datetime.now(UTC) + timedelta(days=days)
    return {f"{name}-year": str(day.year), f"{name}-month": str(day.month), f"{name}-day": str(day.day)}


def hidden(page: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page):
        found.setdefault(name, []).append(unescape(value))
    return found


def test_nothing_is_chosen_beforehand(house: House) -> None:
    page = house.casey.page(f"{house.here}/new")
    assert (" checked" in page, " selected" in page) == (False, False)
    assert "Open Door Center" in page


def test_the_words_are_read_in_full_before_they_are_signed(house: House) -> None:
    asked = house.questions(**as_fields("expires_on", 30), back="yes", back_categories="attendance")
    asked |= {"back_to_role": "case_manager", "language": "es"}
    review = house.casey.form(f"{house.here}/review", asked, f"{house.here}/new")
    assert review.status_code == 200, review.text
    text = unescape(review.text)
    assert 'lang="es"' in text
    assert "Usted puede retirar este permiso en cualquier momento." in text
    assert "Open Door Center puede compartir la información de abajo." in text
    carried = hidden(text) | {"csrf_token": [house.casey.token]}
    assert sorted(carried["categories"]) == ["identity", "needs"]
    signing = {"told_rights": "true", "method": "e_signature", "signature": "Rosa Núñez"} | as_fields("signed_on", -1)
    unsigned = house.casey.ask("POST", f"{house.here}/new", data=carried | {"method": "e_signature"})
    assert unsigned.status_code == 422
    assert ("It needs a signature" in unsigned.text, "Read and sign" in unsigned.text) == (True, True)
    done = house.casey.ask("POST", f"{house.here}/new", data=carried | signing)
    assert done.status_code == 303, done.text
    page = house.casey.page(done.location)
    assert ("Permiso para compartir información sobre mí" in page, "In force" in page) == (True, True)
    rows = house.casey.json(house.here).json["items"]
    assert {(row["from_org_id"], tuple(row["categories"])) for row in rows} == {
        (str(house.agency.id), ("identity", "needs")),
        (str(house.community.id), ("attendance",)),
    }
    grid = house.casey.page(house.here)
    assert "Open Door Center<br>to Case managers<br>Sierra Department of Corrections" in grid


def test_a_question_left_open_is_asked_again_with_all_that_was_typed(house: House) -> None:
    answer = house.casey.form(f"{house.here}/review", house.questions(purposes=[]), f"{house.here}/new")
    assert answer.status_code == 422
    page = unescape(answer.text)
    assert ("Say what it is shared for" not in page, "Choose what it is shared for." in page) == (True, True)
    assert 'value="identity" checked' in page
    assert "Say how long it lasts" in page


def test_in_the_evening_the_day_of_signing_is_still_today(
    session: HouseSession, sqlite_url: str, provider: FileProvider
) -> None:
    evening = (datetime.now(UTC) + timedelta(days=1)).replace(hour=5, minute=30)  # 9:30 or 10:30 PM in California
    session.info["clock"] = lambda: evening
    house = House(session, sqlite_url, provider)
    asked = house.questions(**as_fields("expires_on", 30))
    review = unescape(house.casey.form(f"{house.here}/review", asked, f"{house.here}/new").text)
    offered = dict(re.findall(r'name="(signed_on-\w+)"[^>]*?value="(\d+)"', review, re.DOTALL))
    here = evening - timedelta(days=1)
    assert offered.get("signed_on-day") == str(here.day)
    signing = {"told_rights": "true", "method": "e_signature", "signature": "Rosa Núñez"} | offered
    month = re.search(r'name="signed_on-month".*?<option value="(\d+)" selected', review, re.DOTALL)
    signing |= {"signed_on-month": month[1]} if month else {}
    signed = house.casey.ask(
        "POST", f"{house.here}/new", data=hidden(review) | {"csrf_token": [house.casey.token]} | signing
    )
    assert signed.status_code == 303, signed.text


def test_words_that_were_not_shown_are_not_signed(house: House) -> None:
    review = house.casey.json(f"{house.here}/review", house.questions(expires_on="2026-01-01"))
    assert review.status_code == 422
    day = (datetime.now(UTC).date() + timedelta(days=30)).isoformat()
    shown = house.casey.json(f"{house.here}/review", house.questions(expires_on=day)).json["items"]
    assert len(shown) == 1
    assert house.signed(shown=shown[0]["hash"]).status_code == 201
    other = house.signed(shown=shown[0]["hash"], categories=["health"])
    assert (other.status_code, other.json["code"]) == (409, "words_changed")


def test_an_api_caller_learns_every_missing_element_by_its_name(house: House) -> None:
    answer = house.casey.json(house.here, {"language": "en"})
    assert answer.status_code == 422
    codes = {one["code"] for one in answer.json["errors"]}
    assert (len(codes), all(code.startswith("missing_element.") for code in codes)) == (9, True)


def test_a_withdrawal_is_confirmed_with_what_it_does_and_holds_at_once(house: House) -> None:
    made = house.signed().json
    assert house.nia.json(f"/participants/{house.person}").json["family_name"] == "Núñez"
    page = house.nia.page(f"/consents/{made['id']}/withdrawal")
    assert "What was shared before stays shared, and stays listed." in page
    assert house.nia.form(f"/consents/{made['id']}/withdrawal", {"how": "by_phone"}).status_code == 303
    assert house.nia.json(f"/participants/{house.person}").json["family_name"] == {"shared": False}
    told = house.nia.json(f"/consents/{made['id']}").json
    assert (told["status"], told["document"]) == ("withdrawn", {"shared": False})
    again = house.casey.json(f"/consents/{made['id']}/withdrawal", {"how": "written"})
    assert (again.status_code, again.json["code"]) == (409, "consent_ended")


def test_a_witness_confirms_under_their_own_sign_in(house: House) -> None:
    witness = Visitor(house.app, house.session, house.witness_member)
    made = house.signed(method="verbal", signature=None, witness_id=str(house.witness_member.user_id)).json
    assert made["status"] == "draft"
    there = f"/consents/{made['id']}/witness"
    assert house.casey.json(there, {}).status_code == 404
    assert "heard the participant agree" in witness.page(there)
    done = witness.form(there, {})
    assert (done.status_code, "The witness confirmed it" in witness.page(done.location)) == (303, True)
    assert house.casey.json(f"/consents/{made['id']}").json["status"] == "active"


def test_a_scan_is_taken_in_by_content_and_handed_out_as_a_file_only(house: House) -> None:
    page = f"{house.here}/evidence"
    wrong = house.casey.form(page, {"content": (io.BytesIO(b"<html>"), "form.pdf")})
    assert (wrong.status_code, "Choose a PDF, JPEG or PNG file" in wrong.text) == (422, True)
    empty = house.casey.form(page, {})
    assert empty.status_code == 422
    assert house.casey.form(page, {"content": (io.BytesIO(PDF + bytes(200_000)), "x.html")}).status_code == 303
    day = as_fields("expires_on", 30)
    review = house.casey.form(f"{house.here}/review", house.questions(**day), f"{house.here}/new")
    found = re.search(r'<option value="([0-9a-f-]{36})">Added', review.text)
    assert found is not None
    made = house.signed(method="wet", signature=None, evidence_id=found[1])
    assert made.status_code == 201, made.json
    file = house.casey.get(f"/evidence/{found[1]}")
    assert (file.status_code, file.data) == (200, PDF + bytes(200_000))
    assert file.headers["Content-Disposition"] == 'attachment; filename="signed-form.pdf"'
    assert file.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert file.headers["Cache-Control"] == "no-store"
    assert house.casey.json(f"/evidence/{found[1]}/facts").json["media_type"] == "application/pdf"
    for path in (f"/evidence/{found[1]}", f"/evidence/{uuid4()}"):
        assert house.nia.get(path).status_code == 404


def test_a_no_is_recorded_and_stands_on_the_page(house: House) -> None:
    words = {"from_org_id": str(house.agency.id), "to_org_id": str(house.community.id), "categories": "health"}
    assert house.casey.form(f"{house.here}/declined", words).status_code == 303
    page = house.nia.page(house.here)
    assert ("What they said no to" in page, "Health" in page) == (True, True)
    assert house.nia.json(f"{house.here}/declined").json["items"][0]["categories"] == ["health"]


def test_a_mistake_is_reported_and_voided_by_a_supervisor(house: House) -> None:
    boss = Visitor(
        house.app, house.session, a_member(house.session, house.agency.id, Role.SUPERVISOR, name="Suri Patel")
    )
    made = house.signed().json
    there = f"/consents/{made['id']}"
    assert house.casey.form(f"{there}/error", {}, there).status_code == 303
    assert house.casey.json(f"{there}/void", {}).status_code == 403
    assert boss.form(f"{there}/void", {}, there).status_code == 303
    assert boss.json(there).json["status"] == "void"


def test_pages_cost_the_same_whatever_they_show(house: House) -> None:
    paths = (
        "/participants",
        f"/participants/{house.person}",
        f"/participants/{house.person}/care-team",
        f"/participants/{house.person}/release-date",
        house.here,
        f"{house.here}/new",
    )

    def costs(visitor: Visitor) -> dict[str, int]:
        found: dict[str, int] = {}
        for path in paths:
            visitor.page(path)  # keys are warm then, as in service
            said: list[str] = []

            def keep(_connection: Any, _cursor: Any, statement: str, *_rest: Any, said: list[str] = said) -> None:
                if not statement.startswith("BEGIN"):
                    said.append(statement)

            event.listen(Engine, "before_cursor_execute", keep)
            try:
                visitor.page(path)
            finally:
                event.remove(Engine, "before_cursor_execute", keep)
            found[path] = len(said)
        return found

    house.signed(back="yes", back_categories=["attendance"], back_to_role="case_manager")
    release = {"expected_on": "2030-01-02", "as_of": "2026-01-02", "source": "agency_record"}
    house.casey.json(f"/participants/{house.person}/release-date", release)
    few = [costs(one) for one in (house.casey, house.nia)]
    for _ in range(4):
        house.signed(back="yes", back_categories=["attendance"], back_to_role="case_manager")
        house.casey.json(f"/participants/{house.person}/release-date", release)
        house.casey.json("/participants", details(although_alike=True))
    assert [costs(one) for one in (house.casey, house.nia)] == few
    most = {path: 12 if path == "/participants" else 20 for path in paths}
    assert not [(path, count) for one in few for path, count in one.items() if count > most[path]]


def test_both_doors_tell_a_stranger_the_same_as_a_random_id(house: House) -> None:
    made = house.signed().json
    wren = Visitor(house.app, house.session, house.witness_member)
    for one in (made["id"], uuid4()):
        for part in ("", "/withdrawal", "/witness"):
            assert wren.get(f"/consents/{one}{part}").status_code == 404
        assert wren.json(f"/consents/{one}/withdrawal", {"how": "written"}).status_code == 404
    for one in (house.person, uuid4()):
        for part in ("", "/new", "/declined", "/evidence"):
            assert wren.get(f"/participants/{one}/consents{part}").status_code == 404
        assert wren.json(f"/participants/{one}/consents/review", {"language": "en"}).status_code == 404


def test_json_puts_on_record_only_what_it_tells(house: House, session: HouseSession) -> None:
    house.signed()

    def looked_by(ask: Callable[[], Any]) -> set[str]:
        session.rollback()
        before = session.scalar(select(func.max(AuditEvent.id)))
        assert ask().status_code == 200
        session.rollback()
        return set(session.scalars(select(AuditEvent.action).where(AuditEvent.id > before)))

    person = f"/participants/{house.person}"
    assert looked_by(lambda: house.casey.json(house.here)) == {"person.viewed", "consent.listed"}
    assert looked_by(lambda: house.casey.json(person)) == {"person.viewed"}
    # The pages show more, and say so.
    assert looked_by(lambda: house.casey.get(house.here)) > {
        "person.viewed",
        "consent.listed",
        "consent.declined_listed",
    }
    assert looked_by(lambda: house.casey.get(person)) > {"person.viewed", "person.care_team_viewed"}
