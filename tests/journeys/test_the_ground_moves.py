"""When the ground moves under a referral, and when sharing ends: the whole service, by pages and by JSON (R24, R25)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from werkzeug.test import TestResponse

from referrals.referral.commands import settle_due
from tests.journeys.front import ORIGIN, Caller, Front

ZONE = ZoneInfo("America/Los_Angeles")

Api = Callable[[str], Caller]


def day(ahead: int = 0) -> str:
    """A day as the demonstration's organizations count them."""
    return (datetime.now(ZONE).date() + timedelta(days=ahead)).isoformat()


def opened(caller: Caller, path: str) -> TestResponse:
    """Ask for a page in the same sign-in."""
    return caller.http.get(path, base_url=ORIGIN, environ_base={"REMOTE_ADDR": caller.address})


def page(caller: Caller, path: str) -> str:
    """Open a page that must be there."""
    answer = opened(caller, path)
    assert answer.status_code == 200, (path, answer.status_code)
    return answer.get_data(as_text=True)


def send(caller: Caller, path: str, **form: Any) -> str:
    """Fill in a page's form and send it; return where it leads."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', page(caller, path))
    assert found is not None
    answer = caller.http.post(
        path, data={"csrf_token": found[1]} | form, base_url=ORIGIN, environ_base={"REMOTE_ADDR": caller.address}
    )
    assert answer.status_code == 303, answer.get_data(as_text=True)
    return str(answer.headers["Location"])


def chosen(text: str, name: str) -> list[str]:
    """What a page has chosen beforehand: of a select, or the three parts of a day."""
    select = re.search(rf'<select[^>]* name="{name}".*?</select>', text, re.DOTALL)
    if select is not None:
        return re.findall(r'<option value="([^"]*)" selected', select[0])
    if name.endswith(("-year", "-month", "-day")):
        return []
    parts = ("year", "month", "day")
    return [one for part in parts for one in chosen(text, f"{name}-{part}") or typed(text, f"{name}-{part}")]


def typed(text: str, name: str) -> list[str]:
    """What stands in an input of a page."""
    found = re.search(rf'<input[^>]* name="{name}"[^>]*>', text)
    value = found and re.search(r' value="([^"]*)"', found[0])
    return [value[1]] if value else []


def sent_of(caller: Caller, program: str) -> dict[str, Any]:
    """One of the two referrals that the demonstration has sent."""
    return next(one for one in caller.every("/referrals?group=them") if one["program"].startswith(program))


@pytest.fixture
def at(api: Api) -> str:
    """The address of a referral that Dana accepted for herself."""
    where = f"/referrals/{sent_of(api('maria'), 'Homeward')['id']}"
    dana = api("dana")
    dana.do(f"{where}/acceptance", {"caseworker_id": dana.me, "first_contact_on": day(3)})
    return where


def person_of(api: Api, at: str) -> str:
    return f"/participants/{api('maria').read(at)['participant_id']}"


def moves(caller: Caller, person: str, ahead: int) -> None:
    words = {"expected_on": day(ahead), "source": "agency_record", "as_of": day()}
    caller.do(f"{person}/release-date", words)


def goes_and_comes_back(caller: Caller, person: str) -> None:
    """Let the agency record a release and a return to custody."""
    said = {"source": "agency_record", "as_of": day()}
    caller.do(f"{person}/release", said | {"released_on": day(-1)})
    back = caller.do(f"{person}/return-to-custody", said | {"returned_on": day(), "unknown_because": "court_pending"})
    assert (back["returned_on"], back["released_on"]) == (day(), None)


# --- R24 --------------------------------------------------------------------------------------------------------------


def test_a_release_that_moved_takes_the_clocks_with_it_and_is_told_to_both_sides(api: Api) -> None:
    maria, dana = api("maria"), api("dana")
    at = f"/referrals/{sent_of(maria, 'Homeward')['id']}"
    person = person_of(api, at)
    moves(maria, person, 200)
    before = {caller.me: caller.read(at) for caller in (maria, dana)}
    assert all(one["release_move"]["now"] == day(200) for one in before.values())
    moves(maria, person, 5)
    for caller in (maria, dana):
        text = page(caller, at)
        assert ("The release date moved from" in text, "<strong>New:</strong> The release" in text) == (True, True)
        assert "<strong>New:</strong> The release" not in page(caller, at), "new until it was looked at"
        seen = caller.read(at)
        moved = seen["release_move"]
        assert (moved["before"], moved["now"], moved["is_new"]) == (day(200), day(5), False)
        assert seen["answer_by"] < before[caller.me]["answer_by"]
        assert seen["status"] == before[caller.me]["status"] == "sent"


def test_a_release_recorded_by_mistake_is_taken_back_and_both_sides_are_told(api: Api, at: str) -> None:
    maria, dana = api("maria"), api("dana")
    person = person_of(api, at)
    moves(maria, person, 200)
    said = {"source": "agency_record", "as_of": day()}
    wrong = maria.do(f"{person}/release", said | {"released_on": day(-1)})
    assert "Released on" in page(dana, at)
    words = page(maria, f"{person}/release-date")
    assert "recorded by mistake, or on the wrong day" in words
    maria.do(f"{person}/release-date/correction", said | {"mistaken_id": wrong["id"], "expected_on": day(200)})
    for caller in (maria, dana):
        text = page(caller, at)
        assert "<strong>New:</strong> What was said of custody before was a mistake. The release is expected on" in text
        seen = caller.read(at)
        assert (seen["status"], seen["flags"], seen["release_move"]["corrects"]) == ("accepted", [], True)
    assert "A mistake" in page(maria, f"{person}/release-date")


def test_a_return_to_custody_ends_nothing_and_offers_a_hold_or_a_cancellation(api: Api, at: str) -> None:
    maria, dana = api("maria"), api("dana")
    goes_and_comes_back(maria, person_of(api, at))
    for caller in (maria, dana):
        seen = caller.read(at)
        assert (seen["status"], seen["flags"]) == ("accepted", ["returned_to_custody"])
        text = page(caller, at)
        assert "Back in custody since" in text
        assert "Put on hold, and look again in 14 days" in text
        assert chosen(page(caller, f"{at}/hold"), "reason") == ["returned_to_custody"]
    assert "Cancel because of the return" in page(maria, at)
    assert "Cancel because of the return" not in page(dana, at), "the program ends its own work, and cancels nothing"
    assert chosen(page(maria, f"{at}/cancellation"), "reason") == ["returned_to_custody"]
    form = page(dana, f"{at}/hold")
    year, month, number = chosen(form, "review_on")
    assert f"{year}-{int(month):02}-{int(number):02}" == day(14)
    review = {"review_on-year": year, "review_on-month": month, "review_on-day": number}
    assert send(dana, f"{at}/hold", reason="returned_to_custody", **review) == at
    for caller in (maria, dana):
        assert (caller.read(at)["status"], caller.read(at)["flags"]) == ("on_hold", [])
    dana.do(f"{at}/resumption", {"next_step": "A letter", "next_step_on": day(2)})
    assert chosen(page(maria, f"{at}/cancellation"), "reason") == [], "it was answered: nothing is chosen beforehand"


def test_a_place_on_the_waiting_list_is_kept_through_a_return(api: Api, at: str) -> None:
    maria, dana = api("maria"), api("dana")
    dana.do(f"{at}/waiting-list", {"position": 3})
    goes_and_comes_back(maria, person_of(api, at))
    for caller in (maria, dana):
        text = page(caller, at)
        assert "The place on the waiting list is kept." in text
        assert "Put on hold, and look again" not in text, "what waits needs no hold"
        assert caller.read(at)["place"]["position"] == 3
    dana.do(f"{at}/place", {})
    for caller in (maria, dana):
        assert (caller.read(at)["status"], caller.read(at)["flags"]) == ("waitlisted", [])


def test_a_transfer_keeps_the_referral_checks_the_agreement_and_lets_others_join(api: Api, at: str) -> None:
    maria, dana, lee, walsh, rosa = (api(name) for name in ("maria", "dana", "lee", "walsh", "rosa"))
    person = person_of(api, at)
    held_at = maria.read(person)["facility_id"]
    agreement = walsh.read("/partnerships")["items"][0]
    walsh.do(f"/partnerships/{agreement['id']}/ending", {"because": "Signed anew, for one facility."})
    terms = {
        "partner_id": rosa.organization,
        "starts_on": day(),
        "ends_on": day(365),
        "categories": agreement["categories"],
        "purposes": agreement["purposes"],
        "facility_ids": [held_at],
        "program_ids": [],
    }
    proposed = walsh.do("/partnerships", terms)
    for caller in (walsh, rosa):
        caller.do(f"/partnerships/{proposed['id']}/signature", {"terms": proposed["terms"]})
    for caller in (maria, dana):
        assert (caller.read(at)["status"], caller.read(at)["flags"]) == ("accepted", [])
    words = {"name": "South Fork", "kind": "prison", "time_zone": "America/Los_Angeles"}
    south = lee.do(f"/organizations/{lee.organization}/facilities", words)["id"]

    version = re.search(r'name="version" value="(\d+)"', page(maria, f"{person}/facility"))
    assert version is not None
    team = send(maria, f"{person}/facility", facility_id=south, version=version[1])
    assert team == f"{person}/care-team"
    assert "If somebody else helps them there, add them here" in page(maria, team)
    for caller in (maria, dana):
        assert (caller.read(at)["status"], caller.read(at)["flags"]) == ("accepted", ["facility_not_covered"])
        assert "your agreement does not name" in page(caller, at)

    place = {"user_id": walsh.me, "tie": "supervisor", "reason": "transfer"}
    maria.do(f"{person}/care-team", place)
    own = next(one for one in maria.read(f"{person}/care-team")["items"] if one["user_id"] == maria.me)
    walsh.do(f"/assignments/{own['id']}/end", {"because": "transfer"})
    assert maria.get(at).status_code == 404
    assert "cancel_referral" in walsh.read(at)["may"], "whoever joined goes on with it"


def test_a_program_that_closes_and_a_caseworker_who_leaves_are_said_to_both(api: Api, at: str) -> None:
    maria, rosa, kai, dana = (api(name) for name in ("maria", "rosa", "kai", "dana"))
    program = rosa.get(f"/programs/{maria.read(at)['program_id']}")
    rosa.do(
        f"/programs/{program.get_json()['id']}/closing",
        {"because": "The lease ended."},
        If_Match=program.headers.get("ETag", '"1"'),
    )
    kai.do(f"/organization/people/{dana.me}/disabling", {"because": "She moved away."})
    assert dana.get(at).status_code == 401
    for caller in (maria, rosa):
        assert (caller.read(at)["status"], caller.read(at)["flags"]) == (
            "accepted",
            ["program_closed", "caseworker_gone"],
        )
        text = page(caller, at)
        assert ("The program is closed." in text, "The caseworker has left" in text) == (True, True)


# --- R25 --------------------------------------------------------------------------------------------------------------


def consents(api: Api, person: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The consents in force: that there, and that back."""
    maria = api("maria")
    live = [one for one in maria.every(f"{person}/consents") if one["status"] == "active"]
    there = next(one for one in live if one["from_org_id"] == maria.organization)
    back = next(one for one in live if one["to_org_id"] == maria.organization)
    return there, back


def withdraws(api: Api, consent: dict[str, Any]) -> None:
    api("maria").do(f"/consents/{consent['id']}/withdrawal", {"how": "told_staff"})


def settles(front: Front) -> None:
    """Let the worker write what settlement says."""
    with front.session() as session:
        settle_due(session, None, None)


def test_after_a_withdrawal_the_program_keeps_its_own_entries_and_reads_since_when(
    front: Front, api: Api, at: str
) -> None:
    maria, dana = api("maria"), api("dana")
    message = {"audience": "both", "category": "attendance", "message": "We met at the gate."}
    dana.do(f"{at}/messages", message)
    unanswered = f"/referrals/{sent_of(maria, 'Day One')['id']}"
    withdraws(api, consents(api, person_of(api, at))[0])
    withdraws(api, consents(api, person_of(api, unanswered))[0])
    for written in (False, True):
        if written:
            settles(front)
        assert (dana.get(unanswered).status_code, opened(dana, unanswered).status_code) == (404, 404)
        assert maria.read(unanswered)["status"] == "cancelled"
        seen = dana.read(at)
        assert (seen["status"], seen["sharing_ended_on"], len(seen["reference"])) == ("on_hold", day(), 8)
        assert {seen[name]["shared"] for name in ("reason_text", "goals", "service")} == {False}
        story = [(one["what"], one["side"]) for one in seen["timeline"]]
        assert story == [*([("hold_referral", "system")] if written else []), ("accept_referral", "recipient")]
        assert [one["words"] for one in seen["thread"]] == ["We met at the gate."]
        text = page(dana, at)
        assert ("shared with you no more, since" in text, "stable place" in text) == (True, False)
        assert "shared with you no more" not in page(maria, at)
        assert maria.read(at)["sharing_ended_on"] is None


def test_without_the_return_consent_the_sender_reads_that_answers_are_not_shared(api: Api, at: str) -> None:
    maria, dana = api("maria"), api("dana")
    withdraws(api, consents(api, person_of(api, at))[1])
    seen = maria.read(at)
    assert seen["status"] == {"shared": False}
    assert [one["what"] for one in seen["timeline"]] == ["send_referral"], "its own entries stay"
    assert seen["reason_text"]
    assert (seen["flags"], seen["helpers"]) == ([], [])
    assert "Answers are not shared with your organization now." in page(maria, at)
    loop = maria.post(f"{at}/outcome", {"answer": "agreed"})
    assert (loop.status_code, loop.get_json()["code"]) == (409, "answers_not_shared"), "the loop waits"
    assert dana.read(at)["status"] == "accepted"


def test_a_new_try_after_a_withdrawal_keeps_its_waiting_date_by_one_tick(front: Front, api: Api, at: str) -> None:
    maria, dana = api("maria"), api("dana")
    person = person_of(api, at)
    dana.do(f"{at}/waiting-list", {"position": 3})
    there, _ = consents(api, person)
    withdraws(api, there)
    settles(front)
    assert maria.read(at)["status"] == "cancelled"

    fresh = {
        "from_org_id": maria.organization,
        "to_org_id": dana.organization,
        "categories": there["categories"],
        "purposes": there["purposes"],
        "name_as_on_form": "Darnell Whitfield",
        "told_rights": True,
        "expires_on": day(90),
        "method": "e_signature",
        "signature": "Darnell Whitfield",
        "signed_on": day(),
        "language": "en",
    }
    maria.do(f"{person}/consents", fresh)
    again = f"/referrals/{maria.do(f'{at}/rerouting', {'program_id': maria.read(at)['program_id']})['id']}"
    draft = maria.get(f"{again}/draft")
    kept = {
        name: value
        for name, value in draft.get_json().items()
        if name not in {"id", "reference", "participant_id", "source_id", "recipient_id", "program_id", "drafted_at"}
        and name not in {"sent_at", "replaces_id", "version", "kept_until"}
        and value is not None
    }
    asked = {"asked_by": "participant", "agreed_on": day(), "agreed_how": "in_person"}
    maria.do(f"{again}/draft", kept | asked, If_Match=draft.headers["ETag"])
    maria.do(f"{again}/sending")
    form = page(dana, f"{again}/waiting-list")
    assert "Keep the waiting date of the referral before" in form
    send(dana, f"{again}/waiting-list", caseworker_id=dana.me, position="3", keeps_waiting_date="true")
    for caller in (maria, dana):
        seen = caller.read(again)
        assert (seen["status"], seen["place"]["queued_on"], seen["place"]["position"]) == ("waitlisted", day(), 3)
        assert "Waiting since" in page(caller, again)
    other = f"/referrals/{sent_of(maria, 'Day One')['id']}"
    assert "Keep the waiting date" not in page(dana, f"{other}/waiting-list")
    tick = {"caseworker_id": dana.me, "position": 1, "keeps_waiting_date": True}
    refused = dana.post(f"{other}/waiting-list", tick)
    assert [one["code"] for one in refused.get_json()["errors"]] == ["no_waiting_date"]
