"""Both doors to reading a file in: who comes in, what is wrong with a file, and that page and JSON do the same."""

from __future__ import annotations

import io
import json
import re
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import func, select, text
from werkzeug.datastructures import FileStorage
from werkzeug.test import TestResponse, encode_multipart

from referrals.exchange.commands import MOST_ROWS
from referrals.exchange.models import ImportedFile
from referrals.kernel.actor import Role
from referrals.kernel.openapi import document
from referrals.kernel.session import HouseSession
from referrals.organization.models import Facility, Organization
from referrals.program.models import Program
from tests.factories.exchange import a_row, a_service, as_csv, as_page
from tests.factories.organization import a_community_organization, an_agency, last_event
from tests.referrals.exchange.test_real_files import FACILITIES_FILE, SERVICES_FILE, needs_data
from tests.referrals.organization.conftest import Visitor, Visits

HERE = "/organization/imports"


@pytest.fixture
def agency(session: HouseSession) -> Organization:
    return an_agency(session)


@pytest.fixture
def community(session: HouseSession) -> Organization:
    return a_community_organization(session, "Friends of the kitchen")


def upload(visitor: Visitor, content: bytes | None, name: str = "list.csv", **words: str) -> TestResponse:
    """Send the form as a browser does, with the hidden fields of its page."""
    page = visitor.get(HERE).text
    hidden = {
        field: unescape(found[1])
        for field in ("csrf_token", "idempotency_key")
        if (found := re.search(rf'name="{field}" value="([^"]*)"', page))
    }
    data: dict[str, Any] = hidden | words
    if content is not None:
        data["content"] = FileStorage(io.BytesIO(content), name)
    boundary, body = encode_multipart(data)  # by itself the client would leave a large one in an open file
    return visitor.open("POST", HERE, data=body, content_type=f"multipart/form-data; boundary={boundary}")


def described(spec: dict[str, Any], answer: TestResponse) -> dict[str, Any]:
    """How the document says that an answer looks."""
    rule = re.sub(r"/[0-9a-f-]{36}$", "/{target}", answer.request.path)
    responses = spec["paths"][rule][answer.request.method.lower()]["responses"]
    schema: dict[str, Any] = responses[str(answer.status_code)]["content"]["application/json"]["schema"]
    return schema | {"components": spec["components"]}


def nothing_went_in(session: HouseSession) -> bool:
    session.rollback()
    kinds = (Facility, Program, ImportedFile)
    return [session.scalar(select(func.count()).select_from(kind)) for kind in kinds] == [0, 0, 0]


# --- who --------------------------------------------------------------------------------------------------------------


def test_nobody_comes_in_without_signing_in(visit: Visits) -> None:
    nobody = visit()
    for path in (HERE, f"{HERE}/{uuid4()}"):
        assert (nobody.get(path).status_code, nobody.ask(path).status_code) == (303, 401)
    assert nobody.open("POST", HERE, data={}).status_code == 303
    assert nobody.send(HERE, {"name": "x", "content": "y"}).status_code == 401


@pytest.mark.parametrize("role", [Role.CASE_MANAGER, Role.SUPERVISOR, Role.AUDITOR])
def test_others_than_administrators_are_refused_on_record(
    visit: Visits, session: HouseSession, agency: Organization, role: Role
) -> None:
    visitor = visit(agency, role)
    words = {"name": "list.csv", "content": as_csv(a_row()).decode()}
    asks = [
        lambda: visitor.get(HERE),
        lambda: visitor.ask(HERE),
        lambda: visitor.get(f"{HERE}/{uuid4()}"),
        lambda: upload(visitor, as_csv(a_row())),
        lambda: upload(visitor, as_csv(a_row()), dry_run="true"),
        lambda: upload(visitor, None),
        lambda: visitor.send(HERE, words),
        lambda: visitor.send(HERE, words | {"dry_run": True}),
    ]
    for ask in asks:
        assert ask().status_code == 403
        assert (last_event(session)["outcome"], last_event(session)["code"]) == ("refused", "not_permitted")
    assert nothing_went_in(session)
    assert HERE not in visitor.get("/organization").text


def test_another_organizations_file_is_the_same_404_as_none(
    visit: Visits, session: HouseSession, agency: Organization, community: Organization
) -> None:
    made = upload(visit(agency, Role.ADMINISTRATOR), as_csv(a_row())).location
    stranger = visit(community, Role.ADMINISTRATOR)
    for path in (made, f"{HERE}/{uuid4()}"):
        answer = stranger.get(path)
        assert answer.status_code == 404
        assert (last_event(session)["action"], last_event(session)["outcome"]) == ("exchange.file_viewed", "refused")
        answer = stranger.ask(path)
        assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")
    assert stranger.ask(HERE).get_json() == {"items": [], "next": None}


def test_s302_without_its_token_nothing_is_read_in(visit: Visits, session: HouseSession, agency: Organization) -> None:
    visitor = visit(agency, Role.ADMINISTRATOR)
    data = {"content": (io.BytesIO(as_csv(a_row())), "list.csv")}
    assert visitor.open("POST", HERE, data=data).status_code == 400
    words = {"name": "x", "content": as_csv(a_row()).decode()}
    assert visitor.open("POST", f"/api/v1{HERE}", json=words).status_code == 400
    assert nothing_went_in(session)


# --- files that cannot be read ----------------------------------------------------------------------------------------

BAD = [
    ("agency", None, "Choose the file to read in."),
    ("agency", b"", "The file has no rows."),
    ("agency", as_csv(a_row()).decode().encode("utf-16"), "The file is not UTF-8 text. Save it as UTF-8"),
    ("agency", b"\x00\x00\x00", "The first line does not name columns."),
    ("agency", b"Name,State\nx,y\n", "These columns are missing: Facility.ID, Jurisdiction, "),
    (
        "agency",
        as_csv(*map(a_row, range(MOST_ROWS + 1))),
        f"The file has more than {MOST_ROWS:,} rows. Split it, or ask",
    ),
    ("agency", b"x" * (10 * 1024 * 1024 + 1), "The file is larger than 10 MB."),
    ("community", b"[\n}", "The file is not JSON (line 2)."),
    ("community", b'["\x00"]', "The file is not JSON (line 1)."),
    ("community", b'[\n"\xe9"]', "The file is not UTF-8 text (line 2)."),
    ("community", b"[" * 10_000, "The file is not JSON."),
    ("community", b'{"a": 1}', "The file is neither a page with 'contents' nor a list of services."),
]


@pytest.mark.parametrize(("who", "content", "words"), BAD)
@pytest.mark.parametrize("dry_run", [{}, {"dry_run": "true"}])
def test_a_file_that_cannot_be_read_is_named_on_the_form_and_nothing_goes_in(
    visit: Visits,
    session: HouseSession,
    agency: Organization,
    community: Organization,
    *,
    who: str,
    content: bytes | None,
    words: str,
    dry_run: dict[str, str],
) -> None:
    visitor = visit({"agency": agency, "community": community}[who], Role.ADMINISTRATOR)
    answer = upload(visitor, content, **dry_run)
    assert answer.status_code == 422, answer.text
    page = unescape(answer.text)
    assert re.findall(r'<a href="#[^"]*">', page.partition("<h1")[0]) == ['<a href="#content">']
    assert f'<a href="#content">{words}' in page
    assert "<title>Error: Read in a file" in page
    assert ('value="true" checked' in page) == bool(dry_run)  # what was ticked stays
    assert nothing_went_in(session)


#: JSON carries text: it cannot be missing unsaid, nor in a wrong encoding.
BAD_TEXT = [one for one in BAD if one[1] is not None and "UTF-8" not in one[2]]


@pytest.mark.parametrize(("who", "content", "words"), BAD_TEXT)
def test_the_json_door_says_the_same_of_a_bad_file(
    visit: Visits,
    session: HouseSession,
    agency: Organization,
    community: Organization,
    *,
    who: str,
    content: bytes,
    words: str,
) -> None:
    visitor = visit({"agency": agency, "community": community}[who], Role.ADMINISTRATOR)
    answer = visitor.send(HERE, {"name": "list", "content": content.decode()})
    assert (answer.status_code, answer.mimetype) == (422, "application/problem+json")
    (error,) = answer.get_json()["errors"]
    assert (error["field"], error["detail"].startswith(words)) == ("content", True), error
    assert nothing_went_in(session)


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ({}, "content"),
        ({"name": "x"}, "content"),
        ({"content": "x"}, "name"),
        ({"name": "x", "content": None}, "content"),
        ({"name": "x", "content": 7}, "content"),
        ({"name": "x", "content": ["x"]}, "content"),
        ({"name": "a\x00b", "content": "x"}, "name"),
        ({"name": "x" * 256, "content": "x"}, "name"),
        ({"name": "x", "content": "x", "dry_run": "perhaps"}, "dry_run"),
        ({"name": "x", "content": "x", "organization_id": str(uuid4())}, "organization_id"),
    ],
)
def test_s204_the_json_door_names_each_wrong_word(
    visit: Visits, session: HouseSession, agency: Organization, words: dict[str, Any], field: str
) -> None:
    answer = visit(agency, Role.ADMINISTRATOR).send(HERE, words)
    assert answer.status_code == 422
    assert field in {one["field"] for one in answer.get_json()["errors"]}
    assert nothing_went_in(session)


def test_half_a_character_in_json_is_no_text(visit: Visits, session: HouseSession, agency: Organization) -> None:
    visitor = visit(agency, Role.ADMINISTRATOR)
    answer = visitor.open(
        "POST",
        f"/api/v1{HERE}",
        data=b'{"name": "x", "content": "\\ud800"}',
        content_type="application/json",
        headers={"X-CSRFToken": visitor.token()},
    )
    assert (answer.status_code, answer.get_json()["errors"][0]["code"]) == (422, "not_text")
    assert nothing_went_in(session)


def test_s301_a_body_beyond_the_limit_is_not_even_read(
    visit: Visits, session: HouseSession, agency: Organization
) -> None:
    visitor = visit(agency, Role.ADMINISTRATOR)
    assert upload(visitor, b"x" * 12 * 1024 * 1024).status_code == 413
    words = {"name": "x", "content": "x" * 16 * 1024 * 1024}
    assert visitor.send(HERE, words).status_code == 413
    assert nothing_went_in(session)


# --- reading in -------------------------------------------------------------------------------------------------------


def test_an_administrator_checks_a_file_reads_it_in_and_finds_it_again(
    visit: Visits, session: HouseSession, agency: Organization
) -> None:
    visitor = visit(agency, Role.ADMINISTRATOR, name="Ada Wells")
    assert f'href="{HERE}"' in visitor.get("/organization").text
    assert "No files yet." in visitor.get(HERE).text
    file = as_csv(a_row(1), a_row(2, Zipcode="?"), a_row(1), a_row(3, HIFLD_ID="77"))

    checked = upload(visitor, file, dry_run="true")
    assert checked.status_code == 200
    page = unescape(checked.text)
    assert "Check of list.csv" in page
    assert "The file was only checked. Nothing was changed." in page
    assert "Choose the file again to read it in" in page
    assert nothing_went_in(session)

    done = upload(visitor, file)
    assert done.status_code == 303
    page = unescape(visitor.get(done.location).text)
    for words in (
        "The file was read in.",
        "PINE RIDGE 2 (2)",
        "Zipcode: is no ZIP code.",
        "Facility.ID: the same id stands at line 2 already.",
        "Ada Wells",
        f'href="/organizations/{agency.id}/facilities"',
    ):
        assert words in page
    assert "Check of" not in page
    assert last_event(session)["action"] == "exchange.file_viewed"
    listed = unescape(visitor.get(HERE).text)
    assert f'<a href="{done.location}">list.csv</a>' in listed
    assert "Ada Wells" in listed
    assert "No files yet." not in listed
    assert (last_event(session)["action"], last_event(session)["count"]) == ("exchange.files_listed", 1)

    again = unescape(visitor.get(upload(visitor, as_csv(a_row(1, City="X"), a_row(3))).location).text)
    assert "Rows that changed something, and what" in again
    assert "PINE RIDGE 1 (1)" in again


def test_a_community_organization_reads_its_own_services_in(visit: Visits, community: Organization) -> None:
    visitor = visit(community, Role.ADMINISTRATOR)
    done = upload(visitor, as_page(a_service(), a_service("bakery"), total_pages=3), "services.json")
    page = unescape(visitor.get(done.location).text)
    assert "It is another organization's." in page
    assert "Its publisher has 3 pages" in page
    assert f'href="/programs?organization_id={community.id}"' in page
    assert "The kitchen" in visitor.get(f"/programs?organization_id={community.id}").text
    assert "The bakery" not in visitor.get("/programs").text


def test_a_file_of_others_rows_alone_is_not_called_read_in(visit: Visits, community: Organization) -> None:
    visitor = visit(community, Role.ADMINISTRATOR)
    page = unescape(visitor.get(upload(visitor, as_page(a_service("bakery")), "services.json").location).text)
    assert ("Nothing of the file went in." in page, "The file was read in." in page) == (True, False)


def test_s303_what_a_file_says_is_text_on_every_page(visit: Visits, agency: Organization) -> None:
    visitor = visit(agency, Role.ADMINISTRATOR)
    evil = "<script>alert(1)</script>"
    done = upload(visitor, as_csv(a_row(1, Name=evil, Zipcode=evil)), f"{evil}.csv")
    for path in (done.location, HERE):
        page = visitor.get(path).text
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page


def test_a_form_sent_twice_is_done_once(visit: Visits, session: HouseSession, agency: Organization) -> None:
    visitor = visit(agency, Role.ADMINISTRATOR)
    key = {"idempotency_key": "the-form-of-this-page"}
    first = upload(visitor, as_csv(a_row()), **key)
    assert upload(visitor, as_csv(a_row()), **key).location == first.location
    assert session.scalar(select(func.count()).select_from(ImportedFile)) == 1


def test_what_could_not_be_put_on_record_is_said_with_where_it_stopped(
    visit: Visits, session: HouseSession, agency: Organization
) -> None:
    visitor = visit(agency, Role.ADMINISTRATOR)
    words = {"name": "list.csv", "content": as_csv(a_row()).decode()}
    hidden = {"csrf_token": visitor.token(), "content": FileStorage(io.BytesIO(as_csv(a_row())), "list.csv")}
    session.rollback()
    with session.get_bind().connect() as connection:  # type: ignore[union-attr]  # an engine
        connection.execute(text("ALTER TABLE audit_event RENAME TO hidden_event"))
        connection.commit()
    page = visitor.open("POST", HERE, data=hidden)
    assert page.status_code == 503
    assert "Row 2 could not be put on record" in page.text
    assert "Choose the file again to go on" in page.text
    answer = visitor.send(HERE, words)
    assert (answer.status_code, answer.get_json()["code"], answer.get_json()["facts"]) == (
        503,
        "import_stopped",
        {"at": 2},
    )
    assert nothing_went_in(session)


def test_json_does_what_the_page_does(visit: Visits, session: HouseSession, agency: Organization) -> None:
    visitor = visit(agency, Role.ADMINISTRATOR)
    words = {"name": "list.csv", "content": as_csv(a_row(1, HIFLD_ID="77"), a_row(2, Zipcode="?")).decode()}
    checked = visitor.send(HERE, words | {"dry_run": True}, Idempotency_Key="k-1")
    assert (checked.status_code, "Location" in checked.headers) == (200, False)
    said = checked.get_json()
    assert (said["id"], said["imported_at"], said["dry_run"]) == (None, None, True)
    assert nothing_went_in(session)

    made = visitor.send(HERE, words, Idempotency_Key="k-1")
    assert made.status_code == 201, made.text
    report = made.get_json()
    assert made.headers["Location"].endswith(f"/api/v1{HERE}/{report['id']}")
    assert {name: report[name] for name in ("format", "name", "rows", "added", "changed", "unchanged", "refused")} == {
        "format": "facilities_csv",
        "name": "list.csv",
        "rows": 2,
        "added": 1,
        "changed": 0,
        "unchanged": 0,
        "refused": 1,
    }
    assert report["refused_rows"] == [
        {
            "at": 3,
            "label": "PINE RIDGE 2 (2)",
            "reasons": [
                {"field": "Zipcode", "code": "not_a_postal_code", "detail": "Zipcode: is no ZIP code."},
            ],
        }
    ]
    assert "HIFLD.ID" in report["without_field"]
    fresh = ("id", "imported_at", "imported_by", "dry_run")
    assert {k: v for k, v in said.items() if k not in fresh} == {k: v for k, v in report.items() if k not in fresh}
    assert visitor.ask(f"{HERE}/{report['id']}").get_json() == report
    assert last_event(session)["source"]["channel"] == "api"

    spec = document()
    for answer in (checked, made, visitor.ask(f"{HERE}/{report['id']}"), visitor.ask(HERE)):
        schema = described(spec, answer)
        assert [fault.message for fault in Draft202012Validator(schema).iter_errors(answer.get_json())] == []

    again = visitor.send(HERE, words, Idempotency_Key="k-1")
    assert (again.status_code, again.get_json()) == (201, report)
    reused = visitor.send(HERE, words | {"content": as_csv(a_row(3)).decode()}, Idempotency_Key="k-1")
    assert (reused.status_code, reused.get_json()["code"]) == (422, "key_reused")
    assert visitor.send(HERE, words, Idempotency_Key="ü").status_code == 422


def test_files_come_in_pages_newest_first(visit: Visits, agency: Organization) -> None:
    visitor = visit(agency, Role.ADMINISTRATOR)
    for number in range(27):
        visitor.send(HERE, {"name": f"{number}.csv", "content": as_csv(a_row()).decode()})
    first = visitor.ask(HERE).get_json()
    second = visitor.ask(f"{HERE}?after={first['next']}").get_json()
    names = [one["name"] for one in first["items"] + second["items"]]
    assert names == [f"{number}.csv" for number in reversed(range(27))]
    assert second["next"] is None
    assert f"?after={first['next']}" in visitor.get(HERE).text
    assert visitor.ask(f"{HERE}?gossip=1").status_code == 422
    assert set(first["items"][0]) == {
        *("id", "name", "format", "imported_at", "imported_by", "rows", "added", "changed", "unchanged", "refused")
    }


# --- the real files ---------------------------------------------------------------------------------------------------


@needs_data
def test_the_real_facilities_go_in_by_the_page(visit: Visits, session: HouseSession, agency: Organization) -> None:
    visitor = visit(agency, Role.ADMINISTRATOR)
    done = upload(visitor, FACILITIES_FILE.read_bytes(), FACILITIES_FILE.name)
    assert done.status_code == 303, done.text
    run = session.scalars(select(ImportedFile)).one()
    assert (run.organization_id, run.added, run.changed, run.unchanged, run.refused) == (agency.id, 101, 0, 0, 8)
    page = unescape(visitor.get(done.location).text)
    assert "shares one agency" not in page  # all of them are this one's
    assert page.count("it holds nobody: a total or an office, not a facility.") == 8
    assert set(session.scalars(select(Facility.organization_id))) == {agency.id}
    again = visitor.ask(upload(visitor, FACILITIES_FILE.read_bytes()).location).get_json()
    assert (again["added"], again["changed"], again["unchanged"], again["refused"]) == (0, 0, 101, 8)


@needs_data
def test_of_the_real_services_an_organizations_own_go_in_by_the_page(visit: Visits, session: HouseSession) -> None:
    content = SERVICES_FILE.read_bytes()
    whole = json.loads(content)
    listed = whole["contents"] if isinstance(whole, dict) else whole
    name = listed[0]["organization"]["name"]
    mine = a_community_organization(session, name.upper())
    done = upload(visit(mine, Role.ADMINISTRATOR), content, SERVICES_FILE.name)
    assert done.status_code == 303, done.text
    run = session.scalars(select(ImportedFile)).one()
    assert (run.added, run.refused) == (1, 41)
    assert [one.organization_id for one in session.scalars(select(Program))] == [mine.id]
