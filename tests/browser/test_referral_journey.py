"""The main job in a real browser, both sides signed in: refer, ask, answer, accept, work, report, acknowledge.

Once between two real imported places (when the data is there), once with JavaScript off, once by keyboard alone.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest

from tests.browser.conftest import PHONE
from tests.browser.hands import Counted, Keyboard, Mouse
from tests.browser.spanish import Spanish, in_spanish
from tests.journeys.places import agree, open_for_referrals, peopled

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent: real import data not available")
ZONE = ZoneInfo("America/Los_Angeles")


@dataclass(frozen=True, slots=True)
class Cast:
    """Who refers whom to what, and who answers."""

    sender: str
    answerer: str
    answerer_name: str
    participant: str
    program: str
    partner: str
    #: Set when the participant is not on record yet.
    facility: str | None = None


def today(ahead: int = 0) -> date:
    """A day as both sides count it."""
    return datetime.now(ZONE).date() + timedelta(days=ahead)


@needs_data
def test_a_referral_between_two_real_places(service: Any, visitor: Callable[..., Any]) -> None:
    _lead(visitor, _real_cast(service), Mouse)


def test_a_referral_with_javascript_off(visitor: Callable[..., Any]) -> None:
    cast = Cast(
        *("maria", "dana", "Dana Brooks", "Theo Marchetti", "Homeward: supported housing", "Harbor Bridge Reentry"),
        facility="North Ridge Correctional Facility",
    )
    _lead(visitor, cast, Mouse, scripts=False)


def test_a_referral_by_keyboard_alone(visitor: Callable[..., Any]) -> None:
    cast = Cast("maria", "dana", "Dana Brooks", "Ahmed Farouk", "Day One: work and papers", "Harbor Bridge Reentry")
    _lead(visitor, cast, Keyboard)


def test_a_first_referral_asks_no_more_than_held_here(visitor: Callable[..., Any]) -> None:
    """From home to "sent": the participant put on record, the referral written, the consent recorded, all of it."""
    one = Counted(visitor().sign_in("maria"))
    cast = Cast(
        *("maria", "dana", "Dana Brooks", "Oscar Lindqvist", "Homeward: supported housing", "Harbor Bridge Reentry"),
        facility="North Ridge Correctional Facility",
    )
    _refer(one, cast)
    assert (one.pressed, one.filled) == (14, 44)
    assert one.seconds < 300, "half of ten minutes, so that the other half is for reading and asking"


def test_a_referral_in_spanish(visitor: Callable[..., Any]) -> None:
    cast = Cast(
        *("maria", "dana", "Dana Brooks", "Nadia Okonkwo", "Homeward: supported housing", "Harbor Bridge Reentry"),
        facility="North Ridge Correctional Facility",
    )
    hands: list[Spanish] = []

    def hand(one: Any) -> Spanish:
        choices.enter_context(in_spanish(one))
        hands.append(Spanish(one))
        return hands[-1]

    with ExitStack() as choices:
        _lead(lambda **options: visitor(**options | {"width": PHONE}), cast, hand)
    assert "\n".join(dict.fromkeys(fault for one in hands for fault in one.found)) == ""


def test_a_draft_saves_itself_while_it_is_typed(visitor: Callable[..., Any]) -> None:
    strengths = "What are they good at, what do they bring?"
    first, second = (Mouse(visitor().come_back("maria")) for _ in range(2))
    first.page.clock.install()
    first.visitor.go("/participants")
    first.follow("Marcus O'Brien", exact=True)
    first.follow("Refer", exact=True)
    first.choose("Which program?", "Homeward: supported housing")
    first.press("Continue")
    first.fill(strengths, "Patient, and good with his hands.")
    first.page.keyboard.press("Tab")
    first.page.clock.run_for(100)
    first.page.get_by_role("status").filter(has_text="Saved by itself").wait_for()

    second.visitor.go(urlsplit(first.page.url).path)
    assert second.reads("Your draft of")
    assert second.find("textbox", strengths).input_value() == "Patient, and good with his hands."
    second.fill(strengths, "Good with his hands.")
    second.press("Save and check")
    assert second.heading() == "Check your answers before you send"

    first.fill(strengths, "Patient, and late.")
    first.page.keyboard.press("Tab")
    first.page.clock.run_for(1_000)
    assert first.reads("Saved by itself"), "not more often than every 30 seconds"
    first.page.clock.run_for(30_000)
    first.page.get_by_role("status").filter(has_text="Not saved by itself").wait_for()
    assert first.find("textbox", strengths).input_value() == "Patient, and late.", "what was typed stays"

    second.visitor.go(urlsplit(first.page.url).path)
    assert second.find("textbox", strengths).input_value() == "Good with his hands."
    second.follow("Discard it")
    second.press("Discard")


def _real_cast(service: Any) -> Cast:
    """Bring in the real files, and give a facility's agency and a program's organization people and an agreement."""
    service.cli("import", "facilities", str(DATA / "facilities-california.csv"))
    service.cli("import", "services", str(DATA / "reentry-services-oakland.hsds.json"))
    front = service.front()
    anybody = front.sign_in("rosa")
    organizations = {one["id"]: one for one in anybody.every("/organizations")}
    agencies = [one for one in organizations.values() if one["side"] == "agency"]
    facility = next(
        place
        for one in agencies
        for place in anybody.every(f"/organizations/{one['id']}/facilities")
        if place["source"] and place["kind"] == "prison" and place["city"]
    )
    treats = {"substance_use_treatment", "mental_health", "health_care"}
    program = next(
        one
        for one in anybody.every("/programs")
        if organizations[one["organization_id"]]["part2_program"] == "unknown" and not treats & set(one["categories"])
    )
    there = organizations[program["organization_id"]]
    agency = peopled(front, organizations[facility["organization_id"]], "case_manager", "supervisor")
    community = peopled(front, there, "navigator", "supervisor")
    open_for_referrals(community, program)
    agree(agency, community)
    names = [one.read("/account") for one in (agency.people["case_manager"], community.people["navigator"])]
    return Cast(
        names[0]["sign_in_name"],
        names[1]["sign_in_name"],
        names[1]["display_name"],
        "Nadia Okonkwo",
        program["name"],
        there["name"],
        facility["name"],
    )


def _lead(visitor: Callable[..., Any], cast: Cast, hand: Callable[[Any], Mouse], *, scripts: bool = True) -> None:
    sender = hand(visitor(scripts=scripts).sign_in(cast.sender))
    answerer = hand(visitor(scripts=scripts, width=390).sign_in(cast.answerer))
    reference = _refer(sender, cast)
    _ask(answerer, cast)
    _reply(sender, cast)
    _accept_and_start(answerer, cast)
    _report_and_complete(answerer)
    _acknowledge(sender, cast, reference)


def _refer(one: Mouse, cast: Cast) -> str:
    one.go_to("Participants")
    if cast.facility is not None:
        _add_participant(one, cast)
    else:
        one.follow(cast.participant, exact=True)
    assert one.heading() == cast.participant
    one.follow("Refer", exact=True)
    one.choose("Which program?", cast.program)
    one.press("Continue")
    _write(one)
    one.press("Save and check")
    assert one.heading() == "Check your answers before you send"
    assert one.reads("Before you can send"), "no consent yet"
    one.press("Send referral")
    assert one.page.title().startswith("Error: "), "it is not sent before the participant has said yes"
    one.follow("Ask for consent", exact=True)
    _consent(one, cast)
    one.go_to("Home")
    one.find("link", cast.participant)
    one.area("Your drafts").wait_for()
    drafts = one.area("Your drafts").get_by_role("link", name=cast.participant)
    with one.page.expect_navigation():
        one.activate(drafts)
    one.press("Save and check")
    assert not one.reads("Before you can send")
    one.press("Send referral")
    assert one.reads("The referral was sent.")
    assert one.reads("What happens next")
    return one.heading()


def _add_participant(one: Mouse, cast: Cast) -> None:
    one.follow("Add a participant")
    given, family = cast.participant.split(" ")
    one.fill("Given name", given)
    one.fill("Family name", family)
    one.date("Date of birth", date(1990, 5, 6))
    one.fill("Agency number", f"RP-{len(cast.participant)}01")
    one.pick("Language", "English")
    one.pick("Facility", str(cast.facility))
    one.press("Add participant")


def _write(one: Mouse) -> None:
    one.choose("Whose wish is it?", "The participant asked for it")
    one.date("On which day did the participant agree?", today())
    one.pick("How did the participant agree?", "In person")
    service = one.find("combobox", "Which service?").locator("option").nth(1).inner_text()
    one.pick("Which service?", service)
    one.choose("How soon?", "Soon")
    one.fill("Why do you refer them?", "Leaves in a few weeks and knows nobody in town.")
    one.fill("Goal 1", "Somebody to call when it gets hard")
    one.tick("Nothing", within="What does the participant need to take part?")
    one.pick("Which language?", "English")
    one.fill("First contact: by whom and how?", "A visit before release.")
    one.fill("Name", "Case Manager", exact=True)
    one.fill("Phone", "+1 209 555 0101", exact=True)
    one.fill("Hours", "Weekdays 8 to 4", exact=True)
    one.fill("Name of the backup", "Erin Walsh")
    one.fill("Phone of the backup", "+1 209 555 0102")
    one.fill("Hours of the backup", "Weekdays 8 to 4")


def _consent(one: Mouse, cast: Cast) -> None:
    assert one.heading() == "Ask for consent"
    one.pick("With which organization", cast.partner)
    for words in (
        "My name, date of birth, agency number and language",
        "My phone, e-mail and address, and how I want to be reached",
        "Where I am held, and when and how I will be released",
        "What I need help with, my goals and my strengths",
    ):
        one.tick(words, within="Information")
    one.tick("To ask for a service for me, and to answer that request", within="Purpose")
    one.date("Last day (optional)", today(180))
    one.choose("May they share back?", "Yes")
    for words in ("What I need help with, my goals and my strengths", "Whether I was accepted"):
        one.tick(words, within="What they may share back")
    one.pick("With this role at your organization", "Case managers")
    one.choose("Language of the text", "English")
    one.press("Read it through")
    assert one.heading() == "Read and sign"
    one.tick("The participant heard or read their rights")
    one.choose("How it is signed", "Typed name")
    one.fill("Typed name of the participant", cast.participant)
    one.press("Record the consent")
    assert one.reads("The consent is on record.")


def _open_what_waits(one: Mouse, cast: Cast) -> None:
    one.go_to("Home")
    waiting = one.area("Needs you").get_by_role("link", name=cast.participant)
    with one.page.expect_navigation():
        one.activate(waiting.first)


def _ask(one: Mouse, cast: Cast) -> None:
    _open_what_waits(one, cast)
    assert one.reads("Leaves in a few weeks and knows nobody in town.")
    one.press("Mark as received")
    assert one.reads("Marked as received. The sender can see it.")
    one.follow("Answer", exact=True)
    one.follow("Ask a question")
    one.pick("What is the question about?", "Needs")
    one.fill("Your question", "Do they have a phone?")
    one.press("Send question")
    assert one.reads("Your question was sent.")


def _reply(one: Mouse, cast: Cast) -> None:
    _open_what_waits(one, cast)
    one.follow("Answer the question")
    assert one.reads("Do they have a phone?")
    one.fill("Your answer", "From the first week on.")
    one.press("Send answer")
    assert one.reads("Your answer was sent.")


def _accept_and_start(one: Mouse, cast: Cast) -> None:
    _open_what_waits(one, cast)
    assert one.reads("From the first week on.")
    one.follow("Answer", exact=True)
    one.date("Day of the first contact", today(3))
    one.press("Accept", exact=True)
    assert one.reads("Accepted. The sender can see who will work with the participant.")
    assert one.reads(f"Caseworker: {cast.answerer_name}")
    one.follow("Record that the work began")
    one.date("On which day?", today())
    one.pick("How did you meet?", "By video")
    one.press("Record", exact=True)
    assert one.reads("It is on record that the work began.")


def _report_and_complete(one: Mouse) -> None:
    one.follow("Complete", exact=True)
    one.choose("How did it end?", "Goals met")
    one.press("Complete", exact=True)
    assert one.reads("a closing report is owed first"), "what was begun does not end without a report"
    one.follow("Write the closing report")
    one.choose("What came of it?", "Achieved")
    one.fill("What helps next?", "A weekly call.")
    one.press("Write report")
    assert one.reads("The closing report is written.")
    one.follow("Complete", exact=True)
    one.choose("How did it end?", "Goals met")
    one.press("Complete", exact=True)
    assert one.reads("Completed")


def _acknowledge(one: Mouse, cast: Cast, reference: str) -> None:
    _open_what_waits(one, cast)
    assert one.heading() == reference
    one.follow("Acknowledge how it ended")
    one.choose("What do you say to it?", "We agree with how it ended")
    one.press("Acknowledge", exact=True)
    assert one.reads("Acknowledged. This referral is done.")
    assert one.reads("Nothing more: it has ended, and how it ended was acknowledged.")
