"""One referral from draft to closed loop through JSON alone, what the log says of it, and everything that must fail."""

from __future__ import annotations

import json
import secrets
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from werkzeug.test import TestResponse

from referrals.kernel.orm import uuid7
from tests.journeys.places import Place, agree, open_for_referrals, peopled

#: Where the demonstration's organizations are: the days of a referral are days there.
ZONE = ZoneInfo("America/Los_Angeles")
PROBLEM = "application/problem+json"

Api = Callable[[str], Any]


def today(ahead: int = 0) -> str:
    """A day as the demonstration's organizations count them."""
    return (datetime.now(ZONE).date() + timedelta(days=ahead)).isoformat()


def content(**other: Any) -> dict[str, Any]:
    """All that goes with a referral that can be sent."""
    return {
        "asked_by": "participant",
        "agreed_on": today(),
        "agreed_how": "in_person",
        "service": "employment",
        "urgency": "soon",
        "reason_text": "Has a carpentry certificate, and wants a job that starts in the first week.",
        "goals": ["A job with my hands", "My driver's license"],
        "strengths": "Finished the carpentry course.",
        "accommodations": ["reading_help"],
        "language": "en",
        "unavailable": "Tuesdays, kitchen duty",
        "first_contact": "By letter first, through the case manager.",
        "contact_name": "Maria Delgado",
        "contact_phone": "+1 209 555 0101",
        "contact_hours": "Weekdays 8 to 4",
        "backup_name": "Erin Walsh",
        "backup_phone": "+1 209 555 0102",
        "backup_hours": "Weekdays 8 to 4",
    } | other


def person_named(caller: Any, family_name: str) -> dict[str, Any]:
    """Find one participant by what the demonstration calls them."""
    found = caller.do("/search", {"words": family_name})["items"]
    return next(one for one in found if one["kind"] == "participant")


def program_named(caller: Any, beginning: str) -> dict[str, Any]:
    """Find one program of the directory."""
    return next(one for one in caller.every("/programs") if one["name"].startswith(beginning))


def drafted(caller: Any, person_id: str, program_id: str, **other: Any) -> str:
    """Draft a referral and write all of it."""
    draft = caller.do(f"/participants/{person_id}/referrals", {"program_id": program_id})
    answer = caller.get(f"/referrals/{draft['id']}/draft")
    caller.do(f"/referrals/{draft['id']}/draft", content(**other), If_Match=answer.headers["ETag"])
    return str(draft["id"])


@pytest.fixture
def sent(api: Api) -> str:
    """A referral of Dee Whitfield to Day One that has just been sent."""
    maria = api("maria")
    referral_id = drafted(maria, person_named(maria, "Whitfield")["id"], program_named(maria, "Day One")["id"])
    maria.do(f"/referrals/{referral_id}/sending")
    return referral_id


def code_of(answer: TestResponse) -> str:
    """The problem's code; the answer must be a problem in the form of RFC 9457."""
    assert answer.mimetype == PROBLEM, answer.get_data(as_text=True)
    told = answer.get_json()
    assert told["status"] == answer.status_code
    assert told["detail"]
    assert told["request_id"] == answer.headers.get("X-Request-Id")
    return str(told["code"])


def faults(answer: TestResponse) -> dict[str, list[str]]:
    """The codes by field of a 422."""
    assert answer.status_code == 422, answer.get_data(as_text=True)
    assert code_of(answer) == "invalid_input"
    named: dict[str, list[str]] = defaultdict(list)
    for one in answer.get_json()["errors"]:
        assert one["detail"]
        named[one["field"]].append(one["code"])
    return dict(named)


# --- the way through --------------------------------------------------------------------------------------------------


def test_a_referral_from_draft_to_closed_loop_and_what_the_log_says_of_it(front: Any, api: Api) -> None:
    maria, dana = api("maria"), api("dana")
    dee, day_one = person_named(maria, "Whitfield"), program_named(maria, "Day One")
    begun = front.last_event()

    referral_id = drafted(maria, dee["id"], day_one["id"])
    at = f"/referrals/{referral_id}"
    assert [one["id"] for one in maria.read("/drafts")["items"]] == [referral_id]
    assert dana.get(at).status_code == 404, "a draft is its author's alone"

    maria.do(f"{at}/sending")
    seen = dana.read(at)
    assert seen["status"] == "sent"
    assert seen["reason_text"] == content()["reason_text"], "kept letter for letter"
    assert "accept_referral" in seen["may"]
    assert "accept_referral" not in maria.read(at)["may"]

    assert dana.do(f"{at}/receipt")["status"] == "acknowledged"
    asked = dana.do(f"{at}/question", {"topic": "needs", "question": "Which tools does he know?"})
    assert (asked["status"], asked["waiting_on"]) == ("info_requested", "source")
    answered = maria.do(f"{at}/reply", {"answer": "Hand tools and a table saw."})
    assert (answered["status"], answered["waiting_on"]) == ("acknowledged", "recipient")
    accepted = dana.do(f"{at}/acceptance", {"caseworker_id": dana.me, "first_contact_on": today(3)})
    assert (accepted["status"], accepted["helpers"]) == ("accepted", ["Dana Brooks"])
    assert dana.do(f"{at}/start", {"started_on": today(), "how": "in_person"})["status"] == "in_progress"

    owed = dana.post(f"{at}/completion", {"outcome": "goals_met"})
    assert (owed.status_code, code_of(owed)) == (409, "closing_report_owed")
    report = dana.do(
        f"{at}/closing-report",
        {
            "result_1": "achieved",
            "comment_1": "Starts Monday.",
            "result_2": "partly",
            "helps_next": "A ride to work in the first month.",
            "persons_view": "They did what they said.",
        },
    )
    assert [one["result"] for one in report["goals"]] == ["achieved", "partly"]
    completed = dana.do(f"{at}/completion", {"outcome": "goals_partly_met"})
    assert (completed["status"], completed["loop"], completed["loop_owed_by"]) == ("completed", "open", "source")

    not_hers = dana.post(f"{at}/outcome", {"answer": "agreed"})
    assert (not_hers.status_code, code_of(not_hers)) == (409, "loop_not_yours")
    assert maria.read(f"{at}/closing-report")["items"][0]["helps_next"] == "A ride to work in the first month."
    closed = maria.do(f"{at}/outcome", {"answer": "agreed"})
    assert (closed["status"], closed["loop"]) == ("completed", "closed")
    assert closed["may"] == ["report_error", "reroute_referral"]

    story = [one["what"] for one in maria.read(at)["timeline"]]
    assert story == [
        "loop_agreed",
        "complete_referral",
        "start_referral",
        "accept_referral",
        "answer_question",
        "ask_question",
        "acknowledge_referral",
        "send_referral",
    ]
    _check_log(front.events(begun), maria, dana)
    _check_auditor(front, api, referral_id, begun)


#: Each act of the way through, in order, with who did it and how it ended.
ACTS = [
    ("referral.drafted", "maria", "done"),
    ("referral.draft_saved", "maria", "done"),
    ("referral.sent", "maria", "done"),
    ("referral.acknowledged", "dana", "done"),
    ("referral.question_asked", "dana", "done"),
    ("referral.question_answered", "maria", "done"),
    ("referral.accepted", "dana", "done"),
    ("referral.started", "dana", "done"),
    ("referral.completed", "dana", "refused"),
    ("handoff.report_written", "dana", "done"),
    ("referral.completed", "dana", "done"),
    ("referral.loop_closed", "dana", "refused"),
    ("referral.loop_closed", "maria", "done"),
]


def _check_log(events: list[dict[str, Any]], maria: Any, dana: Any) -> None:
    """The log holds exactly these acts, each under one request, with one part for each row it changed."""
    looks = ("viewed", "listed", "named", "found", "told", "searched", "opened")
    acts: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if not event["action"].rpartition("_")[2].endswith(looks) and event["action"].rpartition(".")[2] not in looks:
            acts.setdefault(event["request"], []).append(event)
    who = {maria.me: "maria", dana.me: "dana"}
    told = [
        (
            {one["action"] for one in parts},
            {who[one["actor"]["id"]] for one in parts},
            {one["outcome"] for one in parts},
        )
        for parts in acts.values()
        if parts[0]["outcome"] != "refused" or parts[0]["code"] != "not_found"
    ]
    assert told == [({action}, {person}, {outcome}) for action, person, outcome in ACTS]
    for parts in acts.values():
        if len(parts) > 1:
            assert [one["part"] for one in parts] == [[number, len(parts)] for number in range(1, len(parts) + 1)]
        assert {one["source"]["channel"] for one in parts} == {"api"}
    sent = next(parts for parts in acts.values() if parts[0]["action"] == "referral.sent")
    assert {one["basis"]["kind"] for one in sent} == {"consent"}
    assert {one["to"] for one in sent} == {dana.organization}
    said = json.dumps(events)
    for words in ("carpentry", "Whitfield", "Darnell", "table saw", "Starts Monday", "NR-20411"):
        assert words not in said, "the log names fields and ids, never content"


def _check_auditor(front: Any, api: Api, referral_id: str, begun: int) -> None:
    """The auditor reads the same events through their own door, and their search is recorded in turn."""
    noor = api("noor")
    asked = front.last_event()
    found = noor.every(f"/oversight/events?shared_with={api('dana').organization}")
    sent = [one for one in found if one["action"] == "referral.sent"]
    assert any(row["id"] == referral_id for one in sent for row in one["on"])
    assert all(one["intact"] for one in found)
    assert any(event["actor"]["id"] == noor.me for event in front.events(asked)), "a search is itself recorded"
    assert noor.get(f"/referrals/{referral_id}").status_code in {403, 404}, "an auditor reads the log, not the content"
    assert begun < asked


# --- what the other side never sees -----------------------------------------------------------------------------------


def test_what_is_not_shared_says_only_that(api: Api, sent: str) -> None:
    maria, dana = api("maria"), api("dana")
    canary = f"canary{secrets.token_hex(8)}"
    words = {"audience": "own_side", "category": "needs", "message": f"Only for us: {canary}"}
    maria.do(f"/referrals/{sent}/messages", words)
    person_id = maria.read(f"/referrals/{sent}")["participant_id"]
    ours, theirs = maria.read(f"/referrals/{sent}"), dana.read(f"/referrals/{sent}")
    assert ours["terms_that_matter"] is None, "covered or one's own, and empty"
    assert theirs["terms_that_matter"] == {"shared": False}, (
        "supervision was not agreed to: nothing tells if there is any"
    )
    assert canary in json.dumps(ours)
    for path in (f"/referrals/{sent}", f"/participants/{person_id}", "/referrals", "/home"):
        assert canary not in dana.get(path).get_data(as_text=True)
    assert canary not in dana.post("/search", {"words": canary}).get_data(as_text=True)


def test_a_category_that_no_consent_covers_cannot_be_sent(front: Any, api: Api) -> None:
    maria = api("maria")
    referral_id = drafted(
        maria,
        person_named(maria, "Whitfield")["id"],
        program_named(maria, "Day One")["id"],
        terms_that_matter="Weekly reporting on Fridays",
    )
    before = front.counts()
    assert faults(maria.post(f"/referrals/{referral_id}/sending")) == {"terms_that_matter": ["not_covered"]}
    assert changed(before, front.counts()) == {}
    assert maria.read(f"/referrals/{referral_id}")["status"] == "draft"


def test_a_message_of_a_category_that_does_not_cross_cannot_be_chosen(api: Api, sent: str) -> None:
    maria = api("maria")
    words = {"audience": "both", "category": "supervision", "message": "Reports on Fridays."}
    assert faults(maria.post(f"/referrals/{sent}/messages", words)) == {"category": ["not_covered"]}
    assert maria.read(f"/referrals/{sent}")["thread"] == []


# --- bad input --------------------------------------------------------------------------------------------------------

#: Tables that grow because somebody looked, was refused or is signed in: none of them holds what was asked for.
BESIDE = {"audit_event", "audit_subject", "disclosure", "seen", "sign_in", "sign_in_use", "failed_attempt", "data_key"}


def changed(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Which tables hold more or fewer rows, apart from the record of the asking."""
    return {name: after[name] - before[name] for name in before if name not in BESIDE and after[name] != before[name]}


@pytest.fixture
def draft(api: Api) -> tuple[str, str]:
    """A draft's address and the version to name."""
    maria = api("maria")
    referral_id = drafted(maria, person_named(maria, "Whitfield")["id"], program_named(maria, "Day One")["id"])
    return f"/referrals/{referral_id}/draft", maria.get(f"/referrals/{referral_id}/draft").headers["ETag"]


NOT_A_DRAFT = [
    ({"role": "supervisor"}, {"role": ["unknown_field"]}),
    ({"id": str(uuid7()), "sent_at": "2026-01-01T00:00:00Z"}, {"id": ["unknown_field"], "sent_at": ["unknown_field"]}),
    ({"organization_id": str(uuid7()), "status": "accepted"}, None),
    ({"reason_text": 7}, {"reason_text": ["not_accepted"]}),
    ({"reason_text": ["x"]}, {"reason_text": ["not_accepted"]}),
    ({"reason_text": {"a": 1}}, {"reason_text": ["not_accepted"]}),
    ({"reason_text": True}, {"reason_text": ["not_accepted"]}),
    ({"goals": "one"}, {"goals": ["not_accepted"]}),
    ({"goals": {"0": "one"}}, {"goals": ["not_accepted"]}),
    ({"goals": ["ok", 7]}, {"goals.1": ["not_accepted"]}),
    ({"goals": ["g"] * 6}, {"goals": ["too_long"]}),
    ({"goals": [""]}, {"goals.0": ["required"]}),
    ({"accommodations": ["none", "none"]}, {"accommodations": ["repeated"]}),
    ({"accommodations": ["none", "hearing"]}, {"accommodations": ["none_and_more"]}),
    ({"accommodations": ["wings"]}, {"accommodations.0": ["not_a_choice"]}),
    ({"reason_text": "x" * 4001}, {"reason_text": ["too_long"]}),
    ({"contact_name": "x" * 121}, {"contact_name": ["too_long"]}),
    ({"contact_name": "two\nlines"}, {"contact_name": ["one_line"]}),
    ({"reason_text": "NUL \x00 in it"}, {"reason_text": ["not_text"]}),
    ({"goals": ["\x1b[31mred"]}, {"goals.0": ["not_text"]}),
    ({"strengths": "lone \ud800 half"}, {"strengths": ["not_text"]}),
    ({"agreed_on": "2026-02-30"}, {"agreed_on": ["not_a_date"]}),
    ({"agreed_on": "30.11.2026"}, {"agreed_on": ["not_a_date"]}),
    ({"agreed_on": 20261130}, {"agreed_on": ["not_a_date"]}),
    ({"agreed_on": "2199-01-01"}, {"agreed_on": ["in_future"]}),
    ({"urgency": "yesterday"}, {"urgency": ["not_a_choice"]}),
    ({"service": "housing"}, {"service": ["not_offered"]}),
    ({"urgency": "NOW", "reason_text": 1, "x": 2}, None),
]


def test_wrong_words_are_named_field_by_field_and_nothing_is_saved(
    front: Any, api: Api, draft: tuple[str, str]
) -> None:
    maria = api("maria")
    at, version = draft
    before, read = front.counts(), maria.read(at)
    for words, expected in NOT_A_DRAFT:
        found = faults(maria.post(at, words, If_Match=version))
        if expected is not None:
            assert found == expected, words
        else:
            assert set(found) == set(words), "all faults at once"
    assert changed(before, front.counts()) == {}
    assert maria.read(at) == read


def test_bodies_that_are_no_json_object_are_refused_whatever_they_are(
    front: Any, api: Api, draft: tuple[str, str]
) -> None:
    maria = api("maria")
    at, version = draft
    before, read = front.counts(), maria.read(at)
    sends = [
        (b'{"strengths": "caf\xe9"}', "application/json", 400),  # Latin-1
        ('{"strengths": "x"}'.encode("utf-16"), "application/json", 400),
        (b'{"strengths": "x"', "application/json", 400),
        (b'{"strengths": NaN}', "application/json", 400),
        (b'{"goals": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "application/json", {400, 422}),
        (b'["strengths"]', "application/json", 422),
        (b'"strengths"', "application/json", 422),
        (b"null", "application/json", 422),
        (b"7", "application/json", 422),
        (b"\x00", "application/json", 400),
        (b"strengths=x", "application/x-www-form-urlencoded", 415),
        (b"<a/>", "text/xml", 415),
        (b"\x1f\x8b\x08", "application/gzip", 415),
        (b'{"a": ' + b"9" * 5_000 + b"}", "application/json", {400, 422}),
    ]
    for body, kind, status in sends:
        answer = maria.ask("POST", at, data=body, headers={"If-Match": version, "Content-Type": kind})
        expected = status if isinstance(status, set) else {status}
        assert answer.status_code in expected, (body[:40], answer.get_data(as_text=True))
        code_of(answer)
    assert changed(before, front.counts()) == {}
    assert maria.read(at) == read


def test_ten_megabytes_are_too_much(front: Any, api: Api, draft: tuple[str, str]) -> None:
    maria = api("maria")
    at, version = draft
    before = front.counts()
    body = b'{"reason_text": "' + b"x" * 10_000_000 + b'"}'
    for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
        answer = maria.ask("POST", at, data=body, headers={"If-Match": version, "Content-Type": kind})
        assert answer.status_code == 413, answer.get_data(as_text=True)
        assert code_of(answer) == "too_much"
    assert changed(before, front.counts()) == {}


def test_versions_and_keys_are_held_to_what_they_name(api: Api, draft: tuple[str, str]) -> None:
    maria = api("maria")
    at, version = draft
    assert maria.post(at, {"strengths": "a"}).status_code == 428
    for wrong in ('"0-0"', '"nonsense"', "*", '"' + "9" * 5000 + '"'):
        assert maria.post(at, {"strengths": "a"}, If_Match=wrong).status_code == 412, wrong
    maria.do(at, {"strengths": "first"}, If_Match=version)
    assert maria.post(at, {"strengths": "second"}, If_Match=version).status_code == 412, "it stands on an older version"
    assert maria.read(at)["strengths"] == "first"

    person_id, program_id = maria.read(at)["participant_id"], maria.read(at)["program_id"]
    key = str(uuid7())
    begin = f"/participants/{person_id}/referrals"
    once = maria.do(begin, {"program_id": program_id}, Idempotency_Key=key)
    again = maria.do(begin, {"program_id": program_id}, Idempotency_Key=key)
    assert once["id"] == again["id"], "a repeated submit has the first result"
    other = maria.post(begin, {"program_id": program_id, "service": "housing"}, Idempotency_Key=key)
    assert (other.status_code, code_of(other)) == (422, "key_reused")


def test_addresses_that_are_none_are_not_found(api: Api) -> None:
    maria = api("maria")
    for path in (
        "/referrals/not-an-id",
        "/referrals/%00",
        "/referrals/..%2f..%2fetc%2fpasswd",
        "/referrals/' OR 1=1 --",
        "/nothing-here",
        "/referrals/%ff",
    ):
        answer = maria.get(path)
        assert answer.status_code == 404, path
        assert code_of(answer) == "not_found"
    for path in ("/referrals?status=%00", "/referrals?group=ours", "/referrals?limit=1000000", "/referrals?x=1"):
        assert faults(maria.get(path)), path
    assert maria.ask("DELETE", f"/referrals/{uuid7()}").status_code == 405


def test_a_request_without_its_csrf_token_or_from_elsewhere_does_nothing(front: Any, api: Api, sent: str) -> None:
    dana = api("dana")
    before = front.counts()
    for headers in ({"X-CSRFToken": ""}, {"X-CSRFToken": "wrong"}, {"Origin": "https://elsewhere.example"}):
        answer = dana.ask("POST", f"/referrals/{sent}/receipt", json={}, headers=headers)
        assert answer.status_code in {400, 403}, answer.get_data(as_text=True)
    nobody = front.caller()
    answer = nobody.post(f"/referrals/{sent}/receipt")
    assert (answer.status_code, code_of(answer)) == (401, "sign_in_needed")
    assert changed(before, front.counts()) == {}


# --- what sending rests on --------------------------------------------------------------------------------------------


def test_an_expired_agreement_stops_sending_and_takes_back_what_was_not_accepted(
    front: Any, api: Api, sent: str
) -> None:
    maria = api("maria")
    homeward = program_named(maria, "Homeward")["id"]
    waiting = drafted(maria, person_named(maria, "Núñez")["id"], homeward, service="housing")
    front.clock.ahead = timedelta(days=731)
    maria, dana = front.sign_in("maria"), front.sign_in("dana")
    before = front.counts()
    refused = maria.post(f"/referrals/{waiting}/sending")
    assert (refused.status_code, code_of(refused)) == (409, "no_agreement")
    assert changed(before, front.counts()) == {}
    assert maria.read(f"/referrals/{waiting}")["status"] == "draft"
    assert maria.read(f"/referrals/{sent}")["status"] == "cancelled"
    answer = dana.post(f"/referrals/{sent}/acceptance", {"caseworker_id": dana.me, "first_contact_on": today(740)})
    assert (answer.status_code, code_of(answer)) == (404, "not_found")


def test_a_consent_for_another_recipient_does_not_carry(front: Any, api: Api) -> None:
    maria, walsh = api("maria"), api("walsh")
    with front.session() as session:
        other = front.partner(session, "Second Start")
    second = peopled(front, other, "navigator", "supervisor")
    supervisor = second.people["supervisor"]
    words = {"name": "Tools and trades", "categories": ["employment"], "languages": ["en"]}
    program = supervisor.do("/programs", words)
    open_for_referrals(second, program)
    ours = Place(maria.organization, ZONE, {"supervisor": walsh})
    agree(ours, second)
    referral_id = drafted(maria, person_named(maria, "Whitfield")["id"], program["id"])
    before = front.counts()

    found = faults(maria.post(f"/referrals/{referral_id}/sending"))

    carried = {"reason_text", "goals", "strengths", "accommodations", "language", "first_contact", "unavailable"}
    assert {code for codes in found.values() for code in codes} == {"not_covered", "return_consent_missing"}
    assert carried <= set(found), "every field whose category no consent carries to this recipient"
    assert changed(before, front.counts()) == {}
    assert second.people["navigator"].get(f"/referrals/{referral_id}").status_code == 404


def test_a_withdrawal_bites_on_the_next_request(front: Any, api: Api, sent: str) -> None:
    maria, dana = api("maria"), api("dana")
    person_id = dana.read(f"/referrals/{sent}")["participant_id"]
    given = [
        one for one in maria.every(f"/participants/{person_id}/consents") if one["from_org_id"] == maria.organization
    ]
    assert given
    for one in given:
        maria.do(f"/consents/{one['id']}/withdrawal", {"how": "told_staff"})
    before = front.counts()
    assert dana.get(f"/referrals/{sent}").status_code == 404
    # Her assignment ends with the step that settlement owes, within five minutes; until then the page says nothing.
    page = dana.get(f"/participants/{person_id}").get_data(as_text=True)
    for words in ("Whitfield", "Darnell", "Dee", "NR-20411", "1988"):
        assert words not in page
    assert dana.do("/search", {"words": "Whitfield"})["items"] == []
    words = {"caseworker_id": dana.me, "first_contact_on": today(2)}
    assert code_of(dana.post(f"/referrals/{sent}/acceptance", words)) == "not_found"
    assert changed(before, front.counts()) == {}
    assert maria.read(f"/referrals/{sent}")["status"] == "cancelled"


def test_a_program_gone_while_a_draft_is_written_cannot_be_sent_to(api: Api, draft: tuple[str, str]) -> None:
    maria, rosa = api("maria"), api("rosa")
    referral_id = draft[0].split("/")[2]
    rosa.do(f"/programs/{program_named(maria, 'Day One')['id']}/closing", {"because": "The grant ended."})
    refused = maria.post(f"/referrals/{referral_id}/sending")
    assert (refused.status_code, code_of(refused)) == (409, "program_closed")


def test_a_second_open_referral_to_the_same_program_is_refused_with_the_way_to_the_first(api: Api, sent: str) -> None:
    maria = api("maria")
    there = maria.read(f"/referrals/{sent}")
    second = drafted(maria, there["participant_id"], there["program_id"])
    refused = maria.post(f"/referrals/{second}/sending")
    assert (refused.status_code, code_of(refused)) == (409, "referral_already_open")
    assert refused.get_json()["facts"]["url"] == f"/referrals/{sent}"


# --- strangers --------------------------------------------------------------------------------------------------------

READS = ("", "/draft", "/closing-report")
ACTED_ON = {
    "/draft": {"strengths": "x"},
    "/sending": {},
    "/discarding": {},
    "/receipt": {},
    "/question": {"topic": "needs", "question": "?"},
    "/reply": {"answer": "x"},
    "/acceptance": {"caseworker_id": str(UUID(int=7)), "first_contact_on": "2030-01-01"},
    "/refusal": {"reason": "no_capacity"},
    "/start": {"started_on": "2026-01-01", "how": "phone"},
    "/resumption": {"next_step": "x", "next_step_on": "2030-01-01"},
    "/cancellation": {"reason": "duplicate"},
    "/waiting-list": {"position": 1},
    "/amendments": {"topic": "strengths", "strengths": "x", "reason": "mistake"},
    "/assignment": {"caseworker_id": str(UUID(int=7)), "reason": "covering"},
    "/hold": {"reason": "health", "review_on": "2030-01-01"},
    "/error-report": {"reason": "wrong_person"},
    "/error": {},
    "/outcome": {"answer": "agreed"},
    "/dispute": {"because": "x"},
    "/messages": {"audience": "both", "category": "needs", "message": "x"},
    "/closing-report": {"helps_next": "x"},
    "/closing-report/addendum": {"helps_next": "x"},
    "/completion": {"outcome": "goals_met"},
    "/end": {"reason": "safety"},
}


def test_a_strangers_answer_is_that_to_an_id_of_nothing(front: Any, api: Api, sent: str) -> None:
    stranger = front.join_new_partner("Second Start", "Eli Moss", "navigator")
    before = front.counts()
    nothing = str(uuid7())
    person_id = api("maria").read(f"/referrals/{sent}")["participant_id"]

    def asked(method: str, path: str, body: Any = None) -> tuple[int, bytes, list[tuple[str, str]]]:
        answer = (
            stranger.ask(method, path, json=body, headers={"If-Match": '"1-0"'})
            if body is not None
            else (stranger.get(path))
        )
        request_id = answer.headers["X-Request-Id"].encode()
        kept = [pair for pair in answer.headers if pair[0] not in {"X-Request-Id", "Set-Cookie"}]
        return answer.status_code, answer.get_data().replace(request_id, b""), kept

    for ending in READS:
        known, unknown = asked("GET", f"/referrals/{sent}{ending}"), asked("GET", f"/referrals/{nothing}{ending}")
        assert known == unknown, ending
        assert known[0] == 404, ending
    for ending, body in ACTED_ON.items():
        known = asked("POST", f"/referrals/{sent}{ending}", body)
        assert known == asked("POST", f"/referrals/{nothing}{ending}", body), ending
        assert known[0] == 404, (ending, known)
    for path in ("/participants/{}", "/participants/{}/care-team"):
        known = asked("GET", path.format(person_id))
        assert known == asked("GET", path.format(nothing)), path
        assert known[0] == 404, path
    assert stranger.do("/search", {"words": "Whitfield"})["items"] == []
    assert stranger.every("/participants") == []
    assert changed(before, front.counts()) == {}


def test_those_of_the_other_role_may_not_what_their_role_does_not_include(api: Api, sent: str) -> None:
    kai, noor, lee = api("kai"), api("noor"), api("lee")
    for caller in (kai, noor, lee):
        assert caller.get(f"/referrals/{sent}").status_code in {403, 404}
        assert caller.post(f"/referrals/{sent}/receipt").status_code in {403, 404}
        assert caller.post("/search", {"words": "Whitfield"}).get_data(as_text=True).count("Whitfield") == 0


# --- two at once ------------------------------------------------------------------------------------------------------


def at_once(callers: list[Any], act: Callable[[Any], TestResponse]) -> list[TestResponse]:
    """Let all of them act at the same moment."""
    gate = Barrier(len(callers))

    def one(caller: Any) -> TestResponse:
        gate.wait()
        return act(caller)

    with ThreadPoolExecutor(len(callers)) as pool:
        return list(pool.map(one, callers))


@pytest.fixture(params=["front", pytest.param("postgres_front", marks=pytest.mark.postgres)])
def crowd(request: pytest.FixtureRequest) -> Any:
    """The application on each database, for many at once."""
    return request.getfixturevalue(request.param)


def test_of_twenty_answers_at_once_one_wins_and_each_loser_reads_who_and_when(crowd: Any) -> None:
    maria, dana, rosa = (crowd.sign_in(name) for name in ("maria", "dana", "rosa"))
    sent = drafted(maria, person_named(maria, "Whitfield")["id"], program_named(maria, "Day One")["id"])
    maria.do(f"/referrals/{sent}/sending")
    callers = [crowd.twin(dana if number % 2 else rosa) for number in range(20)]
    before, begun = crowd.counts(), crowd.last_event()
    words = {"first_contact_on": today(2)}

    answers = at_once(
        callers, lambda one: one.post(f"/referrals/{sent}/acceptance", words | {"caseworker_id": dana.me})
    )

    tally = Counter(answer.status_code for answer in answers)
    assert tally == {200: 1, 409: 19}
    won = next(one for one, answer in zip(callers, answers, strict=True) if answer.status_code == 200)
    winner = {dana.me: "Dana Brooks", rosa.me: "Rosa Kim"}[won.me]
    step = next(one for one in maria.read(f"/referrals/{sent}")["timeline"] if one["what"] == "accept_referral")
    assert step["who"] == winner
    for answer in answers:
        if answer.status_code == 409:
            assert code_of(answer) == "wrong_state"
            facts = answer.get_json()["facts"]
            assert facts["by"] == winner
            assert facts["state"] == "accepted"
            assert datetime.fromisoformat(facts["at"]) == datetime.fromisoformat(step["at"])
    assert changed(before, crowd.counts()) == {"assignment": 1, "referral_step": 1}

    tries = [one for one in crowd.events(begun) if one["action"] == "referral.accepted"]
    by_request: dict[str, set[str]] = defaultdict(set)
    for one in tries:
        by_request[one["request"]].add(one["outcome"])
    assert Counter(next(iter(outcomes)) for outcomes in by_request.values()) == {"done": 1, "refused": 19}
    assert {one["code"] for one in tries if one["outcome"] == "refused"} == {"wrong_state"}
    assert Counter(one["actor"]["id"] for one in tries if one["outcome"] == "refused") == (
        Counter([one.me for one in callers]) - Counter([won.me])
    )


def test_of_accepting_declining_and_taking_back_at_once_one_happens(crowd: Any) -> None:
    maria, dana, rosa = (crowd.sign_in(name) for name in ("maria", "dana", "rosa"))
    sent = drafted(maria, person_named(maria, "Whitfield")["id"], program_named(maria, "Day One")["id"])
    maria.do(f"/referrals/{sent}/sending")
    ways = {
        "dana": ("/refusal", {"reason": "no_capacity"}),
        "rosa": ("/acceptance", {"caseworker_id": dana.me, "first_contact_on": today(2)}),
    }
    both = [(crowd.twin(dana), ways["dana"]), (crowd.twin(rosa), ways["rosa"])] * 4
    answers = at_once(both, lambda one: one[0].post(f"/referrals/{sent}{one[1][0]}", one[1][1]))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 7}
    assert len(maria.read(f"/referrals/{sent}")["timeline"]) == 2, "sent, and one answer"


def test_of_twenty_sendings_of_one_draft_one_is_sent(crowd: Any) -> None:
    maria = crowd.sign_in("maria")
    draft = drafted(maria, person_named(maria, "Whitfield")["id"], program_named(maria, "Day One")["id"])
    before = crowd.counts()
    answers = at_once([crowd.twin(maria) for _ in range(20)], lambda one: one.post(f"/referrals/{draft}/sending"))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 19}
    assert changed(before, crowd.counts()) == {"assignment": 1, "referral_step": 1}
