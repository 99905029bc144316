"""Both doors to a referral, as people and programs use them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from referrals.kernel.orm import uuid7
from referrals.program.models import Program
from referrals.referral import commands as c
from referrals.referral.models import Referral
from tests.factories.referral import FULL, World, planting, tomorrow

Open = Callable[[str], Any]


def parts(name: str, day: str) -> dict[str, str]:
    """A day as the three fields of a form."""
    year, month, number = day.split("-")
    return {f"{name}-year": year, f"{name}-month": month, f"{name}-day": number}


def typed(**other: Any) -> dict[str, Any]:
    """The draft's form, filled in."""
    words = {name: value for name, value in (FULL | other).items() if name != "agreed_on" and value is not None}
    return words | parts("agreed_on", FULL["agreed_on"])


def test_a_stranger_and_a_random_id_get_the_same_page(world: World, browser: Open) -> None:
    referral_id = world.sent()
    stranger = browser("stranger")
    for rest in ("", "/answer", "/acceptance", "/outcome", "/draft", "/sending", "/messages", "/closing-report"):
        answers = [stranger.get(f"/referrals/{one}{rest}") for one in (referral_id, uuid7())]
        assert [one.status_code for one in answers] == [404, 404], rest
    told = [stranger.read(f"/referrals/{one}").get_json() for one in (referral_id, uuid7())]
    assert {key: value for key, value in told[0].items() if key != "request_id"} == {
        key: value for key, value in told[1].items() if key != "request_id"
    }


def test_a_switch_beside_the_answers_keeps_what_is_typed_for_an_acceptance_and_accepts_nothing(
    world: World, browser: Open
) -> None:
    at = f"/referrals/{world.sent()}"
    ana, stranger = browser("navigator"), browser("stranger")
    assert 'form="typed" name="show_in" value="es"' in ana.page(f"{at}/answer")
    said = {"remark": "Glad <i>to</i> ñ", "caseworker_id": str(world.navigator.me)}
    said |= parts("first_contact_on", tomorrow())
    refused = stranger.post(f"{at}/acceptance", said | {"show_in": "es"})
    assert (refused.status_code, "Glad" in refused.text) == (404, False)
    assert ana.post(f"{at}/acceptance", said | {"show_in": "es", "csrf_token": ""}).status_code == 400
    for wished, speaks in (("fr", "en"), ("es", "es")):
        page = ana.post(f"{at}/acceptance", said | {"show_in": wished})
        assert (page.status_code, f'<html lang="{speaks}">' in page.text) == (200, True)
        assert "Glad &lt;i&gt;to&lt;/i&gt; ñ" in page.text
        assert re.search(rf'name="first_contact_on-year"[^>]*value="{tomorrow()[:4]}"', page.text)
        assert "usa-error-message" not in page.text
    assert 'name="show_in"' in ana.page(f"{at}/answer"), "it can still be accepted"
    assert ana.post(f"{at}/acceptance", said).status_code == 303
    assert 'name="show_in"' not in ana.page(f"{at}/answer")


def test_the_whole_way_by_pages(world: World, browser: Open) -> None:  # noqa: PLR0915  # it is one way
    lee, ana = browser("case_manager"), browser("navigator")
    page = lee.page(f"/participants/{world.person_id}/referrals/new")
    assert "Bridge Housing" in page
    assert "Has room" in page
    assert "more than 14 days old" in page
    begun = lee.post(f"/participants/{world.person_id}/referrals/new", {"program_id": str(world.program_id)})
    assert begun.status_code == 303
    at = begun.location.removesuffix("/draft")
    assert "Maria Núñez" in lee.page(f"{at}/draft")

    gaps = lee.post(f"{at}/draft", {"version": "1", "reason_text": "Needs a bed."})
    assert gaps.location == f"{at}/sending"
    check = lee.page(f"{at}/sending")
    assert "Before you can send" in check
    refused = lee.post(f"{at}/sending")
    assert refused.status_code == 422
    assert "There is a problem" in refused.get_data(as_text=True)

    assert lee.post(f"{at}/draft", typed() | {"version": "2"}).status_code == 303
    assert "Before you can send" not in lee.page(f"{at}/sending")
    sent = lee.post(f"{at}/sending")
    assert (sent.status_code, sent.location) == (303, at)
    shown = lee.page(at)
    assert "The program: they mark it as received" in shown
    assert "The referral was sent" in shown

    assert "Maria Núñez" in ana.page("/referrals")
    assert "A place of my own" in ana.page(at)
    assert "Accept" in ana.page(f"{at}/answer")
    assert ana.post(f"{at}/receipt").status_code == 303
    assert ana.post(f"{at}/question", {"topic": "needs", "question": "Which floor?"}).status_code == 303
    assert "Which floor?" in lee.page(f"{at}/reply")
    assert lee.post(f"{at}/reply", {"answer": "The ground floor."}).status_code == 303
    empty = ana.post(f"{at}/acceptance", {"remark": "Glad to."})
    assert empty.status_code == 422
    assert "Glad to." in empty.get_data(as_text=True)
    accept = {"caseworker_id": str(world.navigator.me)} | parts("first_contact_on", tomorrow())
    assert ana.post(f"{at}/acceptance", accept).status_code == 303
    assert ana.post(f"{at}/start", {"how": "in_person"} | parts("started_on", "2026-01-06")).status_code == 303

    said = {"audience": "both", "category": "needs", "message": "She likes mornings."}
    assert lee.post(f"{at}/messages", said).status_code == 303
    own = {"audience": "own_side", "category": "health", "message": "Only us."}
    assert lee.post(f"{at}/messages", own).status_code == 303
    read = ana.page(at)
    assert "She likes mornings." in read
    assert "Only us." not in read
    assert "Shared with" in read

    owed = ana.post(f"{at}/completion", {"outcome": "goals_met"})
    assert owed.status_code == 409
    assert "a closing report is owed first" in owed.get_data(as_text=True)
    report = {"result_1": "achieved", "result_2": "partly", "helps_next": "A bus pass."}
    assert ana.post(f"{at}/closing-report/new", report).status_code == 303
    assert ana.post(f"{at}/completion", {"outcome": "goals_met"}).status_code == 303
    assert "A bus pass." in lee.page(f"{at}/closing-report")
    assert "Acknowledge how it ended" in lee.page(at)
    assert lee.post(f"{at}/outcome", {"answer": "agreed", "remark": "Thank you."}).status_code == 303
    for one in (lee, ana):
        assert "Nothing more: it has ended" in one.page(at)
    assert "Completed" in lee.page("/referrals?group=closed")


def test_the_author_reads_until_when_a_draft_is_kept_and_is_warned_two_weeks_before(
    world: World, browser: Open
) -> None:
    referral_id = world.draft()
    lee = browser("case_manager")
    assert "Kept until" in lee.page("/drafts")
    with planting(world.session) as work:
        world.session.get_one(Referral, referral_id).touched_at = work.now - timedelta(days=46)
    page = lee.page("/drafts")
    assert "Put away soon:" in page
    assert "Kept until" not in page
    (told,) = lee.read("/drafts").get_json()["items"]
    assert datetime.fromisoformat(told["kept_until"]) > datetime.now(UTC) + timedelta(days=13)


def keep(one: Any, path: str, form: dict[str, Any]) -> Any:
    """Send a form as the page's script does while somebody types."""
    one.get(path)
    headers = {"X-Saves-Itself": "1"}
    return one.client.post(path, data={"csrf_token": one.token} | form, headers=headers, base_url="https://localhost")


def test_a_draft_saves_itself_but_for_what_is_half_typed(world: World, browser: Open) -> None:
    lee = browser("case_manager")
    made = world.act(c.draft_referral, world.case_manager, world.person_id, program_id=str(world.program_id))
    path = f"/referrals/{made.id}/draft"
    half = {
        "agreed_on-year": "2026",
        "agreed_on-month": "",
        "agreed_on-day": "6",
        "strengths": "Patient <b>",
        "version": "1",
    }
    told = keep(lee, path, half)
    assert (told.status_code, told.json["version"]) == (200, 2)
    assert told.json["said"].startswith("Saved by itself, ")
    row = world.row(made.id)
    assert (row.strengths, row.agreed_on, row.version) == ("Patient <b>", None, 2)
    assert keep(lee, path, half).status_code == 409
    assert keep(lee, path, {"strengths": "x"}).status_code == 428
    ana = browser("navigator")
    assert keep(ana, path, half | {"version": "2"}).status_code == 404
    page = lee.page(path)
    assert "Your draft of" in page
    assert "Patient &lt;b&gt;" in page
    assert world.row(made.id).version == 2


def test_a_form_that_does_not_save_itself_takes_no_notice_of_the_header(world: World, browser: Open) -> None:
    referral_id = world.sent()
    ana = browser("navigator")
    ana.get(f"/referrals/{referral_id}/refusal")
    answer = keep(ana, f"/referrals/{referral_id}/refusal", {"reason": "no_capacity"})
    assert answer.status_code == 303


def test_the_waiting_list_a_hold_and_an_error_by_the_pages(world: World, browser: Open) -> None:
    referral_id = world.sent()
    at = f"/referrals/{referral_id}"
    lee, pat, ana = browser("case_manager"), browser("agency_supervisor"), browser("navigator")
    assert "Accept to the waiting list" in ana.page(f"{at}/answer")
    neither = ana.post(f"{at}/waiting-list", {"caseworker_id": str(world.navigator.me)})
    assert neither.status_code == 422
    assert "Say when a place is expected, or which place in line this is." in neither.get_data(as_text=True)
    words = {"caseworker_id": str(world.navigator.me), "position": "4"}
    assert ana.post(f"{at}/waiting-list", words).status_code == 303
    assert "Place in line: 4" in lee.page(at)
    assert "Accepted, waiting list" in lee.page("/referrals?group=them")
    assert ana.post(f"{at}/start", {"how": "phone"} | parts("started_on", "2026-01-06")).status_code == 303
    why = {"reason": "facility_lockdown"}
    refused = lee.post(f"{at}/hold", why | parts("review_on", "2199-01-06"))
    assert refused.status_code == 422
    assert "Choose a day within 30 days" in refused.get_data(as_text=True)
    assert lee.post(f"{at}/hold", why | parts("review_on", tomorrow())).status_code == 303
    assert "Your side: on the day of review" in lee.page(at)
    assert "The other side: on the day of review" in ana.page(at)
    assert "The facility is locked down" in ana.page(at)
    assert "Confirm the reported" not in pat.page(at)
    assert (
        ana.post(f"{at}/error-report", {"reason": "wrong_person", "because": "Another birth date."}).status_code == 303
    )
    assert "Another birth date." in pat.page(f"{at}/error")
    assert ana.post(f"{at}/error").status_code == 403
    assert pat.post(f"{at}/error").status_code == 303
    assert "Entered in error" in pat.page(at)
    assert "Maria" not in ana.page(at)
    assert "Not shared" in ana.page(at)


def test_what_was_sent_is_changed_by_the_page_and_by_json(world: World, browser: Open) -> None:
    referral_id = world.sent()
    at = f"/referrals/{referral_id}"
    lee, ana = browser("case_manager"), browser("navigator")
    choice = lee.page(f"{at}/amendment")
    assert f"{at}/amendment?topic=goals" in choice
    assert f"{at}/amendment?topic=consent_ids" not in choice
    form = lee.page(f"{at}/amendment?topic=goals")
    assert "See my daughter every week" in form
    version = re.search(r'name="version" value="([^"]+)"', form)[1]
    words = {"topic": "goals", "goals": ["A place of my own", "<b>Work</b>"], "version": version}
    missing = lee.post(f"{at}/amendment", words)
    assert missing.status_code == 422
    assert "&lt;b&gt;Work&lt;/b&gt;" in missing.get_data(as_text=True)
    assert lee.post(f"{at}/amendment", words | {"reason": "participant_asked"}).status_code == 303
    page = ana.page(at)
    for told in ("New:", "changed by Lee Okafor", "The participant asked for it", "See my daughter every week"):
        assert told in page
    assert "New:" not in ana.page(at)
    for who, where in ((lee, "/amendment"), (ana, "/answer")):
        assert "See my daughter every week" in who.page(f"{at}{where}")
    late = lee.post(f"{at}/amendment", words | {"reason": "mistake", "goals": ["A place near my daughter"]})
    assert late.status_code == 409
    assert "A place near my daughter" in late.get_data(as_text=True)
    said = {"topic": "strengths", "strengths": "Patient.", "reason": "mistake"}
    assert lee.call(f"{at}/amendments", said).status_code == 428
    etag = lee.read(at).headers["ETag"]
    assert lee.call(f"{at}/amendments", said, If_Match=etag).status_code == 201
    assert lee.call(f"{at}/amendments", said, If_Match=etag).status_code == 412
    told = ana.read(at).get_json()["amendments"]
    assert [(one["topic"], one["old"], one["new"]) for one in told][-1] == (
        "strengths",
        "Finished the carpentry course.",
        "Patient.",
    )


def test_who_asks_the_same_elsewhere_is_told_before_sending_and_may_send_all_the_same(
    world: World, browser: Open
) -> None:
    first = world.sent()
    with planting(world.session):
        offer = Program(
            organization_id=world.cbo_id,
            name="Second Door",
            added_at=datetime(2026, 1, 5, tzinfo=UTC),
            categories=["housing", "mentoring"],
            capacity_code="capacity",
        )
        world.session.add(offer)
    lee = browser("case_manager")
    words = "The same service is asked for elsewhere"
    same = world.draft(program_id=offer.id)
    page = lee.page(f"/referrals/{same}/sending")
    assert words in page
    assert f'href="/referrals/{first}"' in page
    assert words not in lee.page(f"/referrals/{world.draft()}/sending"), "a second one to the same program is refused"
    other = world.draft(program_id=offer.id, service="mentoring")
    assert words not in lee.page(f"/referrals/{other}/sending")
    assert lee.post(f"/referrals/{same}/sending").status_code == 303


def test_what_was_declined_is_tried_again_from_its_page(world: World, browser: Open) -> None:
    referral_id = world.sent()
    lee, ana = browser("case_manager"), browser("navigator")
    assert "Try again" not in lee.page(f"/referrals/{referral_id}")
    assert ana.post(f"/referrals/{referral_id}/refusal", {"reason": "no_capacity"}).status_code == 303
    assert "Try again" not in ana.page(f"/referrals/{referral_id}")
    again = f"/referrals/{referral_id}/rerouting"
    assert f'href="{again}"' in lee.page(f"/referrals/{referral_id}")
    assert "A new try of referral" in lee.page(again)
    assert ana.get(again).status_code == 403, "only its sender chooses where it goes"
    made = lee.post(again, {"program_id": str(world.program_id)})
    assert made.status_code == 303
    draft = lee.page(made.headers["Location"])
    assert "Needs a bed from the first night on." in draft


def test_a_declined_referral_shows_its_sender_what_else_fits_and_goes_there_by_one_button(
    world: World, browser: Open
) -> None:
    with planting(world.session) as work:
        said = {"categories": ["housing"], "capacity_code": "capacity", "capacity_at": work.now}
        other = Program(organization_id=world.cbo_id, name="Garden Rooms", added_at=work.now, **said)
        world.session.add(other)
    referral_id = world.sent()
    lee, ana = browser("case_manager"), browser("navigator")
    assert "Other programs that fit" not in lee.page(f"/referrals/{referral_id}")
    assert ana.post(f"/referrals/{referral_id}/refusal", {"reason": "no_capacity"}).status_code == 303
    assert "Other programs that fit" not in ana.page(f"/referrals/{referral_id}")
    page = lee.page(f"/referrals/{referral_id}")
    assert "Other programs that fit" in page
    assert "Refer to Garden Rooms" in page
    assert "Refer to Bridge Housing" not in page, "it has just said no"
    closed = lee.post(f"/referrals/{referral_id}/outcome", {"answer": "try_again"})
    assert (closed.status_code, closed.location) == (303, f"/referrals/{referral_id}/rerouting")
    assert "You asked this program before." in lee.page(closed.location)
    made = lee.post(closed.location, {"program_id": str(other.id)})
    assert made.status_code == 303
    assert "Needs a bed from the first night on." in lee.page(made.location)
    told = lee.read(f"{made.location}")
    assert (told.get_json()["replaces_id"], told.get_json()["agreed_on"]) == (str(referral_id), None)


def test_every_page_of_an_open_referral_opens(world: World, browser: Open) -> None:
    draft_id, referral_id = world.draft(), world.started()
    lee, ana = browser("case_manager"), browser("navigator")
    for path in ("/referrals", "/referrals?group=them&status=sent", "/drafts", f"/referrals/{draft_id}/discarding"):
        lee.page(path)
    rests = ("/cancellation", "/messages", "/outcome", "/dispute", "/reply", "/resumption", "/hold", "/error-report")
    for rest in (*rests, "/error"):
        lee.page(f"/referrals/{referral_id}{rest}")
        ana.page(f"/referrals/{referral_id}{rest}")
    rests = ("/answer", "/start", "/question", "/refusal", "/closing-report", "/closing-report/new", "/end")
    for rest in (*rests, "/waiting-list"):
        ana.page(f"/referrals/{referral_id}{rest}")
    said = world.act(
        c.post_message, world.navigator, referral_id, audience="both", category="attendance", message="Monday."
    )
    assert "Monday." in ana.page(f"/messages/{said.id}/striking")
    assert browser("stranger").get(f"/messages/{said.id}/striking").status_code == 404
    own = world.act(
        c.post_message, world.navigator, referral_id, audience="own_side", category="attendance", message="Calm."
    )
    assert f"/messages/{own.id}/widening" in ana.page(f"/referrals/{referral_id}")
    assert "Calm." in ana.page(f"/messages/{own.id}/widening")
    assert ana.post(f"/messages/{own.id}/widening").status_code == 303
    assert "Calm." in lee.page(f"/referrals/{referral_id}")


def test_a_loser_reads_who_answered_and_when_at_both_doors(world: World, browser: Open) -> None:
    referral_id = world.sent()
    world.accept(referral_id)
    bo = browser("other_navigator")
    page = bo.post(f"/referrals/{referral_id}/refusal", {"reason": "no_capacity"})
    assert page.status_code == 409
    assert "Answered or moved on by Ana Díaz at" in page.get_data(as_text=True)
    told = bo.call(f"/referrals/{referral_id}/refusal", {"reason": "no_capacity"})
    assert told.status_code == 409
    body = told.get_json()
    assert (body["code"], body["facts"]["by"]) == ("wrong_state", "Ana Díaz")
    at = datetime.fromisoformat(body["facts"]["at"])
    assert timedelta() <= datetime.now(UTC) - at < timedelta(minutes=5)


def test_a_draft_by_json_needs_the_version_that_was_read(world: World, browser: Open) -> None:
    lee = browser("case_manager")
    made = lee.call(f"/participants/{world.person_id}/referrals", {"program_id": str(world.program_id)})
    assert made.status_code == 201
    at = made.headers["Location"].removeprefix("/api/v1").removesuffix("/draft")
    tag = lee.read(f"{at}/draft").headers["ETag"]
    assert lee.call(f"{at}/draft", FULL).status_code == 428
    assert lee.call(f"{at}/draft", FULL, If_Match='"7"').status_code == 412
    assert lee.call(f"{at}/draft", FULL, If_Match=tag).status_code == 200
    sent = lee.call(f"{at}/sending")
    assert (sent.status_code, sent.get_json()["status"]) == (200, "sent")


def test_every_fault_of_a_sending_comes_at_once_by_field(world: World, browser: Open) -> None:
    referral_id = world.draft(goals=None, terms_that_matter="Curfew.")
    world.withdraw_consent(world.return_consent_id)
    told = browser("case_manager").call(f"/referrals/{referral_id}/sending")
    assert told.status_code == 422
    assert {(one["field"], one["code"]) for one in told.get_json()["errors"]} == {
        ("goals", "required"),
        ("terms_that_matter", "not_covered"),
        ("return_consent", "return_consent_missing"),
    }


def test_what_is_not_shared_looks_the_same_filled_in_or_not(world: World, browser: Open) -> None:
    referral_id = world.sent()
    world.withdraw_consent()
    world.consent_again(categories=["identity", "needs"])
    told = browser("navigator").read(f"/referrals/{referral_id}").get_json()
    assert told["first_contact"] == told["terms_that_matter"] == {"shared": False}
    assert told["strengths"] == FULL["strengths"]
    assert told["urgency_because"] is None
    assert "Not shared" in browser("navigator").page(f"/referrals/{referral_id}")


def test_unknown_filters_and_fields_are_refused(world: World, browser: Open) -> None:
    lee = browser("case_manager")
    assert lee.read("/referrals?group=everything").status_code == 422
    assert lee.read("/referrals?sort=name").status_code == 422
    assert lee.read("/referrals?limit=5000").status_code == 422
    assert (
        lee.call(f"/referrals/{world.sent()}/cancellation", {"reason": "duplicate", "force": True}).status_code == 422
    )


@pytest.mark.parametrize("who", ["case_manager", "navigator"])
def test_nothing_personal_stands_in_a_url(world: World, browser: Open, who: str) -> None:
    page = browser(who).page(f"/referrals/{world.sent()}")
    links = [part.split('"')[0] for part in page.split('href="')[1:]]
    assert links
    assert not [link for link in links if "Maria" in link or "V48213" in link or "N%C3%BA%C3%B1ez" in link]


def test_a_reported_error_waits_on_the_senders_supervisor_until_somebody_confirms_it(
    world: World, browser: Open
) -> None:
    referral_id = world.sent()
    words = "Referrals reported as entered in error"
    pat = browser("agency_supervisor")
    assert words not in pat.page("/home")
    world.act(c.report_error, world.agency_supervisor, referral_id, reason="wrong_person")
    assert words not in pat.page("/home"), "one's own report is another's to confirm"
    world.act(c.report_error, world.navigator, referral_id, reason="wrong_person")
    assert f"/referrals/{referral_id}/error" in pat.page("/home")
    assert pat.read("/home").get_json()["errors_count"] == 1
    for who in ("case_manager", "navigator", "cbo_supervisor", "stranger"):
        assert words not in browser(who).page("/home")
    world.act(c.confirm_error, world.agency_supervisor, referral_id)
    assert words not in pat.page("/home")


def test_old_capacity_is_confirmed_by_one_tap_from_home(world: World, browser: Open) -> None:
    ana = browser("navigator")
    page = ana.page("/home")
    assert "Capacity to confirm" in page
    assert "Still true" in page
    tap = f"/programs/{world.program_id}/capacity/confirmation"
    assert ana.post(f"{tap}?from=home", {"capacity_code": "waitlist"}).status_code == 409, "it says something else now"
    done = ana.post(f"{tap}?from=home", {"capacity_code": "capacity"})
    assert (done.status_code, done.headers["Location"]) == (303, "/home")
    assert "Still true" not in ana.page("/home")
    elsewhere = ana.post(f"{tap}?from=https://example.org", {"capacity_code": "capacity"})
    assert elsewhere.headers["Location"] == f"/programs/{world.program_id}"


# --- the list: filters, order, pages ----------------------------------------------------------------------------------


def test_a_place_in_line_is_confirmed_on_its_page_and_by_json_and_said_to_both_sides(
    world: World, browser: Open
) -> None:
    past = datetime.now(UTC) - timedelta(days=16)
    world.session.info["clock"] = lambda: past
    referral_id = world.accepted()
    world.act(c.waitlist_referral, world.navigator, referral_id, position=7)
    del world.session.info["clock"]
    lee, ana = browser("case_manager"), browser("navigator")
    at = f"/referrals/{referral_id}"
    for seen in (lee, ana):
        assert seen.read(at).get_json()["flags"] == ["place_unconfirmed"]
        assert "Not confirmed since." in seen.page(at)
    assert f"{at}/place" not in lee.page(at), "it is not the sender's to say"
    assert lee.post(f"{at}/place").status_code == 403
    wrong = ana.post(f"{at}/place", {"position": "0"})
    assert wrong.status_code == 422
    page = ana.page(f"{at}/place")
    assert "Place in line: 7." in page
    assert ana.post(f"{at}/place", {"position": "", "expected_on": ""}).status_code == 303
    for seen in (lee, ana):
        told = seen.read(at).get_json()
        assert (told["flags"], told["place"]["position"], told["place"]["confirmed_by"]) == ([], 7, "Ana Díaz")
        shown = seen.page(at)
        assert "Confirmed by Ana Díaz," in shown
        assert "The place on the waiting list stands" in shown
    answer = ana.call(f"{at}/place", {"position": 3})
    assert (answer.status_code, answer.get_json()["status"]) == (201, "waitlisted")
    assert lee.read(at).get_json()["place"]["position"] == 3
    world.withdraw_consent(world.return_consent_id)
    assert lee.read(at).get_json()["place"] is None
    assert "Place in line" not in lee.page(at)


def test_what_is_worth_a_look_is_said_on_the_page_and_in_json(world: World, browser: Open) -> None:
    past = datetime.now(UTC) - timedelta(days=40)
    world.session.info["clock"] = lambda: past
    referral_id = world.accepted()
    del world.session.info["clock"]
    for who in ("case_manager", "navigator"):
        page = browser(who).page(f"/referrals/{referral_id}")
        assert page.count("Worth a look") == 2
        assert "First contact is later than promised." in page
        assert "Ask how it stands." in page
        told = browser(who).read(f"/referrals/{referral_id}").get_json()
        assert told["flags"] == ["first_contact_late", "silence"]
    world.withdraw_consent(world.return_consent_id)
    assert "Worth a look" not in browser("case_manager").page(f"/referrals/{referral_id}")


def test_a_death_is_recorded_read_and_taken_back_on_pages_and_by_json(world: World, browser: Open) -> None:
    referral_id = world.accepted()
    lee, ana, eli = browser("case_manager"), browser("navigator"), browser("stranger")
    at, here = f"/participants/{world.person_id}", f"/referrals/{referral_id}"
    assert eli.post(f"{at}/death", {"told_by": "family", "is_checked": "true"}).status_code == 404
    assert lee.read(f"{at}/death").status_code == 404
    unchecked = lee.post(f"{at}/death", {"told_by": "family"})
    assert unchecked.status_code == 422
    assert "Check that this is the right person, then say so." in unchecked.get_data(as_text=True)
    assert "Record that the participant has died" in ana.page(f"{at}/death")
    said = {"told_by": "hospital", "is_checked": "true", "words": "The ward called."}
    assert lee.post(f"{at}/death", said).status_code == 303
    for seen in (lee, ana):
        told = seen.read(here).get_json()
        assert (told["status"], told["may"], told["flags"], told["is_overdue"]) == (
            *("cancelled", ["post_message", "report_error"]),
            *([], False),
        )
        assert (told["death"]["died_on"], told["death"]["told_by"]) == (None, "hospital")
        page = seen.page(here)
        assert "Has died." in page
        assert "Expected release" not in page
        assert "take it back on their page within a day" in page
        person = seen.page(at)
        assert "Has died." in person
        assert f"{at}/referrals/new" not in person
    record = lee.read(f"{at}/death").get_json()
    assert record["words"] == "The ward called."
    assert ana.read(f"{at}/death").get_json()["words"] == {"shared": False}
    assert "The ward called." not in ana.page(at)
    assert lee.call(f"{at}/death", {"told_by": "family", "is_checked": True}).get_json()["code"] == "death_on_record"
    mend = f"/deaths/{record['id']}/correction"
    assert mend in lee.page(at)
    assert mend not in ana.page(at)
    assert ana.get(mend).status_code == 404
    assert ana.call(mend, {"because": "No."}).status_code == 404
    assert "Both entries stay on record." in lee.page(mend)
    assert lee.post(mend, {"because": ""}).status_code == 422
    assert lee.post(mend, {"because": "It was somebody of the same name."}).status_code == 303
    for seen in (lee, ana):
        assert (seen.read(here).get_json()["status"], seen.read(f"{at}/death").status_code) == ("accepted", 404)
        assert "Has died." not in seen.page(here)
        assert "Has died." not in seen.page(at)


def test_where_a_death_is_not_shared_its_door_answers_as_if_there_were_none(world: World, browser: Open) -> None:
    world.sent()
    lee, ana = browser("case_manager"), browser("navigator")
    door = f"/participants/{world.person_id}/death"
    before = (lee.read(door).get_json(), lee.page(f"/participants/{world.person_id}"))
    world.withdraw_consent(world.return_consent_id)
    made = ana.call(door, {"told_by": "family", "is_checked": True})
    assert (made.status_code, made.get_json()["told_by"]) == (201, "family")
    after = (lee.read(door).get_json(), lee.page(f"/participants/{world.person_id}"))

    def alike(told: tuple[Any, str]) -> tuple[Any, str]:
        problem = {name: value for name, value in told[0].items() if name not in {"instance", "request_id"}}
        plain = re.sub(r'"csrf_token" value="[^"]*"|(?s:<div class="tg-print">.*?</div>)', "", told[1])
        return problem, plain.replace("Ana Díaz (Second Start)", "")

    assert alike(after)[0] == alike(before)[0]
    assert "Record that the participant has died" in after[1]
    assert f"{world.person_id}/referrals/new" in after[1]


def test_nothing_is_begun_for_somebody_who_has_died_and_a_draft_says_why_it_cannot_be_sent(
    world: World, browser: Open
) -> None:
    kept = world.draft()
    lee, at = browser("case_manager"), f"/participants/{world.person_id}"
    why = "Nothing new is begun or sent for them."
    before = lee.page(f"{at}/referrals/new")
    assert why not in before
    assert 'name="program_id"' in before
    assert "Can no longer be sent." not in lee.page("/drafts")
    assert f"/referrals/{kept}/discarding" in lee.page("/drafts")
    assert lee.call(f"{at}/death", {"told_by": "family", "is_checked": True}).status_code == 201
    begun = {"program_id": str(world.program_id)}
    refused = lee.call(f"{at}/referrals", begun)
    assert (refused.status_code, refused.get_json()["code"]) == (409, "participant_died")
    again = lee.post(f"{at}/referrals/new", begun)
    assert again.status_code == 409
    assert why in again.get_data(as_text=True)
    for path in (f"{at}/referrals/new", f"{at}/programs"):
        page = lee.page(path)
        assert why in page
        assert 'name="program_id"' not in page
    assert not any(one["may_begin"] for one in lee.call(f"{at}/programs").get_json()["items"])
    for path in (f"/referrals/{kept}/draft", f"/referrals/{kept}/sending"):
        page = lee.page(path)
        assert why in page
        assert "/discarding" not in page, "it is put away by itself"
    listed = lee.page("/drafts")
    assert "/discarding" not in listed
    assert "Can no longer be sent." in listed
    assert "Kept until" not in listed
    assert lee.call("/account/language", {"language": "es"}).status_code == 200
    assert "No se empieza ni se envía nada nuevo para ella." in lee.page(f"/referrals/{kept}/draft")
    assert "Ya no se puede enviar." in lee.page("/drafts")


def test_who_may_not_know_of_a_death_is_told_that_a_draft_ended_and_may_begin_another(
    world: World, browser: Open
) -> None:
    world.sent()
    with planting(world.session):
        other = Program(organization_id=world.cbo_id, name="Work", categories=["housing"], capacity_code="capacity")
        other.added_at = datetime.now(UTC)
        world.session.add(other)
    kept = world.draft(program_id=other.id)
    lee, ana, at = browser("case_manager"), browser("navigator"), f"/participants/{world.person_id}"
    world.withdraw_consent(world.return_consent_id)
    choosing = re.findall(r'name="program_id" value="([^"]+)"', lee.page(f"{at}/referrals/new"))
    assert ana.call(f"{at}/death", {"told_by": "family", "is_checked": True}).status_code == 201
    assert re.findall(r'name="program_id" value="([^"]+)"', lee.page(f"{at}/referrals/new")) == choosing
    for path in (f"/referrals/{kept}/draft", f"/referrals/{kept}/sending"):
        page = lee.page(path)
        assert "This draft can no longer be sent." in page
        assert "died" not in page
    assert lee.call(f"{at}/referrals", {"program_id": str(other.id)}).status_code == 201
