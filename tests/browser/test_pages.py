"""Every page that a GET shows: accessible, titled, at home on a phone, without a word to the console.

The normal run takes each page once, role and width varied in turn; each role at each width of each page is `long`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from referrals import demo
from referrals.organization.models import working_day_after
from tests.browser.conftest import DESK, PHONE
from tests.browser.hands import Mouse
from tests.browser.spanish import in_spanish, left_over
from tests.factories.exchange import a_row, as_csv
from tests.factories.person import details
from tests.journeys.front import shown_by_an_app
from tests.journeys.places import SHARED, Place, consent

#: Everybody of the demonstration: both sides, each role.
EVERYBODY = [one.name for one in demo.ACCOUNTS]
#: GET addresses that are no pages of their own, each with its reason.
NO_PAGES = {
    "/health": "a word for monitors",
    "/": "leads on",
    "/static/<path:filename>": "files",
    "/api/v1/openapi.json": "for machines",
    "/api/docs": "Swagger UI makes its page by script; a test of its own waits for it",
    "/sign-in": "leads on who is signed in; looked at without a sign-in below",
    "/sign-in/second-step": "looked at while coming in, below",
    "/sign-in/new-password": "looked at while coming in, below",
    "/sign-in/enroll": "looked at while coming in, below",
    "/sign-in/rules": "looked at while coming in, below",
    "/sign-in/recovery": "looked at while coming in, below",
    "/account/single-sign-on/<uuid:target>/end": "test_single_sign_on.py looks at it",
    "/organization/single-sign-on/<uuid:target>/end": "test_single_sign_on.py looks at it",
    "/organization/single-sign-on/<uuid:target>/renewal": "test_single_sign_on.py looks at it",
    "/sign-in/organization": "before anybody signed in; test_single_sign_on.py looks at it",
    "/sign-in/organization/return": "test_single_sign_on.py looks at it",
    "/account/passkeys/new": "asks for a fresh sign-in; test_passkeys.py looks at it",
    "/account/passkeys/<uuid:target>/name": "test_passkeys.py looks at it",
    "/account/passkeys/<uuid:target>/removal": "test_passkeys.py looks at it",
    "/sign-in/code-sheet/first-code": "looked at by somebody on paper, below",
    "/account/authenticator/new": "leads on unless an authenticator is being replaced",
    "/participants/<uuid:target>/release-date/correction": "stands after a release alone; looked at below",
    "/evidence/<uuid:target>": "hands out a file",
}
#: Which referral each step's page is about; any other is about the one that was just sent.
REFERRAL_FOR = {
    "draft": "draft",
    "sending": "draft",
    "discarding": "draft",
    "reply": "asked",
    "start": "accepted",
    "completion": "working",
    "end": "working",
    "closing-report/new": "working",
    "resumption": "working",
    "hold": "working",
    "assignment": "working",
    "error": "mistaken",
    "closing-report": "ended",
    "closing-report/addendum": "ended",
    "outcome": "ended",
    "dispute": "ended",
    "place": "waiting",
    "onward": "accepted",
}
#: A file with a row that goes in and rows that are refused, so that its report has something in it.
A_LIST = as_csv(a_row(1, Different_Operator="A company"), a_row(2, Zipcode="?"), a_row(1)).decode()
TITLE = re.compile(r"^(Error: )?\S.* – Throughgate$")  # noqa: RUF001  # the dash that stands there
ZONE = ZoneInfo(demo.ZONE)


def day(ahead: int = 0) -> str:
    """A day at the demonstration's place."""
    return (datetime.now(ZONE).date() + timedelta(days=ahead)).isoformat()


@pytest.fixture(scope="session")
def people(service: Any) -> dict[str, Any]:
    """Everybody, signed in through the JSON door; a browser may borrow their cookie."""
    front = service.front()
    signed_in = {name: front.sign_in(name) for name in EVERYBODY}
    for name, one in signed_in.items():
        cookie = one.http.get_cookie("__Host-sid", domain="127.0.0.1")
        service.signed_in[name] = [
            {
                "name": "__Host-sid",
                "value": cookie.value,
                "domain": "127.0.0.1",
                "path": "/",
                "secure": True,
                "httpOnly": True,
            }
        ]
    return signed_in


@pytest.fixture(scope="session")
def things(people: dict[str, Any]) -> dict[str, str]:
    """Something of each kind to look at: a participant, referrals at every stage, and what stands around them."""
    maria, dana, walsh = people["maria"], people["dana"], people["walsh"]
    persons = {one["called"]: one["id"] for one in maria.every("/participants")}
    dee, jose, linh = (
        next(key for name, key in persons.items() if name.startswith(one)) for one in ("Dee", "José", "L")
    )
    programs = {one["name"][:3]: one["id"] for one in maria.every("/programs")}
    open_ones = maria.every("/referrals?group=them")
    sent = next(one["id"] for one in open_ones if one["participant_id"] == dee)
    asked = next(one["id"] for one in open_ones if one["participant_id"] == jose)
    dana.do(f"/referrals/{asked}/question", {"topic": "needs", "question": "What work did he do before?"})
    agency = Place(maria.organization, ZONE, {})
    name = "Linh Tran"
    maria.do(f"/participants/{linh}/consents", consent(agency, dana.organization, name) | {"categories": SHARED})

    def on_its_way(person: str, program: str, *, far: int) -> str:
        draft = maria.do(f"/participants/{person}/referrals", {"program_id": programs[program]})["id"]
        at = f"/referrals/{draft}"
        maria.do(f"{at}/draft", _content(program), If_Match=maria.get(f"{at}/draft").headers["ETag"])
        steps = [
            (maria, "sending", {}),
            (dana, "acceptance", {"caseworker_id": dana.me, "first_contact_on": day(2)}),
            (dana, "start", {"started_on": day(), "how": "phone"}),
            (dana, "closing-report", {"result_1": "achieved", "helps_next": "A ride."}),
            (dana, "completion", {"outcome": "goals_met"}),
        ]
        for who, step, words in steps[:far]:
            who.do(f"{at}/{step}", words)
        return str(draft)

    message = maria.do(
        f"/referrals/{sent}/messages",
        {"audience": "both", "category": "needs", "message": "He asked about a bus pass."},
    )
    ended = on_its_way(linh, "Hom", far=5)
    mistaken = on_its_way(linh, "Hom", far=1)
    dana.do(f"/referrals/{mistaken}/error-report", {"reason": "entered_twice", "because": "See the other one."})
    waiting = on_its_way(linh, "Day", far=1)
    dana.do(f"/referrals/{waiting}/waiting-list", {"caseworker_id": dana.me, "position": 3})
    gone = maria.do("/participants", details(given_name="Walter", family_name="Ames", agency_number="NR-20999"))["id"]
    death = maria.do(f"/participants/{gone}/death", {"told_by": "facility", "is_checked": True})["id"]
    agreement = maria.every("/partnerships")[0]["id"]
    facility = maria.every(f"/organizations/{maria.organization}/facilities")[0]["id"]
    return {
        "participants": dee,
        "sent": sent,
        "asked": asked,
        "mistaken": mistaken,
        "accepted": on_its_way(dee, "Day", far=2),
        "working": on_its_way(jose, "Hom", far=3),
        "ended": ended,
        "waiting": waiting,
        "deaths": death,
        "draft": on_its_way(linh, "Day", far=0),
        "unready": maria.do(f"/participants/{linh}/referrals", {"program_id": programs["Day"]})["id"],
        "messages": message["id"],
        "consents": maria.every(f"/participants/{dee}/consents")[0]["id"],
        "organizations": dana.organization,
        "facilities": facility,
        "rooms": maria.every(f"/facilities/{facility}/rooms")[0]["id"],
        "locations": dana.every(f"/organizations/{dana.organization}/locations")[0]["id"],
        "programs": programs["Hom"],
        "partnerships": agreement,
        "partner-rules": maria.every(f"/partnerships/{agreement}/rules")[0]["id"],
        "assignments": walsh.every(f"/participants/{dee}/care-team")[0]["id"],
        "organization": maria.me,
        "imports": people["lee"].do("/organization/imports", {"name": "list.csv", "content": A_LIST})["id"],
        "closing-days": people["lee"].do(
            f"/organizations/{maria.organization}/closing-days",
            {"closed_on": working_day_after(datetime.now(ZONE).date(), 5).isoformat(), "because": "Staff training"},
        )["id"],
        "views": walsh.do(
            "/account/views",
            {"listing": "referrals", "query": "group=them", "name": "Harbor Bridge's turn", "team": True},
        )["id"],
        "access-reviews": people["kai"].do(
            "/organization/access-reviews",
            {
                "accounts": [
                    {"user_id": one["id"], "roles": one["roles"], "decision": "keep"}
                    for one in people["kai"].every("/organization/access-reviews/accounts")
                    if one["id"] != people["kai"].me
                ]
            },
        )["id"],
        "left": walsh.every("/organization/people-who-left")[0]["id"],
        "integrations": people["kai"].every("/organization/integrations")[0]["id"],
        "recoveries": people["lee"].do(f"/organization/people/{maria.me}/recovery", {"how": "known_in_person"})["id"],
        "role-proposals": people["lee"].every("/organization/people/role-proposals")[0]["id"],
        "oversight": people["noor"].every("/oversight/events?action=referral.sent")[0]["id"],
    }


def _content(program: str) -> dict[str, Any]:
    return {
        "asked_by": "participant",
        "agreed_on": day(),
        "agreed_how": "in_person",
        "service": "housing" if program == "Hom" else "employment",
        "urgency": "soon",
        "reason_text": "Wants a place to begin from.",
        "goals": ["A key of my own"],
        "accommodations": ["none"],
        "language": "en",
        "first_contact": "By letter first.",
        "contact_name": "Maria Delgado",
        "contact_phone": "+1 209 555 0101",
        "contact_hours": "Weekdays 8 to 4",
        "backup_name": "Erin Walsh",
        "backup_phone": "+1 209 555 0102",
        "backup_hours": "Weekdays 8 to 4",
    }


@pytest.fixture(scope="session")
def paths(service: Any, things: dict[str, str]) -> list[str]:
    """The address of each page, with something that it can show."""
    rules = {rule.rule for rule in service.front().app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    found = list(map(_filled(things), sorted(filter(_is_page, rules))))
    assert len(found) > 60, "the rules were not read"
    return found


def _is_page(rule: str) -> bool:
    return rule not in NO_PAGES and not rule.startswith(("/api/v1/", "/static/"))


def _filled(things: dict[str, str]) -> Callable[[str], str]:
    def fill(rule: str) -> str:
        if "<uuid:target>" not in rule:
            return rule
        before, _, after = rule.partition("/<uuid:target>")
        kind = before.strip("/").split("/")[0]
        if before == "/organization/imports":
            kind = "imports"
        if before in {"/organization/people/role-proposals", "/organization/people/recoveries"}:
            kind = before.rpartition("/")[2]
        if before == "/organization/integrations":
            kind = "integrations"
        if before == "/account/views":
            kind = "views"
        if before == "/organization/access-reviews":
            kind = "access-reviews"
        if after == "/open-work":
            kind = "left"
        if kind == "referrals":
            kind = REFERRAL_FOR.get(after.strip("/"), "sent")
        return rule.replace("<uuid:target>", things[kind])

    return fill


def _answers(one: Any, path: str) -> bool:
    answer = one.http.get(path, base_url="https://127.0.0.1", environ_base={"REMOTE_ADDR": one.address})
    assert answer.status_code in {200, 403, 404, 409}, f"{path}: {answer.status_code}"
    return bool(answer.status_code == 200)


def faults_of(visitor: Any, path: str, *, axe: bool = True) -> Iterator[str]:
    """What is wrong with the page that stands there."""
    page = visitor.page
    if axe:
        yield from visitor.violations()
    if visitor.is_too_wide():
        yield f"{path}: scrolls sideways at {page.viewport_size['width']} px"
    title, headings = page.title(), page.get_by_role("heading", level=1).all_inner_texts()
    if not TITLE.match(title):
        yield f"{path}: the title is {title!r}"
    if len(headings) != 1:
        yield f"{path}: {len(headings)} first headings"
    elif not title.removeprefix("Error: ").startswith(headings[0]):
        yield f"{path}: the title {title!r} does not begin with the heading {headings[0]!r}"
    if page.get_by_role("main").count() != 1 or not page.evaluate("document.documentElement.lang"):
        yield f"{path}: no main part, or no language"
    if page.locator("[form=typed]").count() and page.locator("form#typed").count() != 1:
        yield f"{path}: the switch of the language sends no form"


def test_every_page_once(visitor: Callable[..., Any], people: dict[str, Any], paths: list[str]) -> None:
    found: list[str] = []
    windows: dict[tuple[str, int], Any] = {}
    for turn, path in enumerate(paths):
        start, width = turn % len(EVERYBODY), (PHONE, DESK)[turn % 2]
        turned = EVERYBODY[start:] + EVERYBODY[:start]
        name = next((one for one in turned if _answers(people[one], path)), None)
        if name is None:
            found.append(f"{path}: nobody may see it")
            continue
        if (name, width) not in windows:
            windows[name, width] = visitor(width=width).come_back(name)
        one = windows[name, width]
        one.go(path)
        found += [f"{fault} (as {name})" for fault in faults_of(one, path)]
    assert "\n".join(found) == ""


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_referred_onward_is_shown_to_each_of_three_organizations_as_far_as_they_may_know(
    visitor: Callable[..., Any], people: dict[str, Any], width: int
) -> None:
    (onward,) = people["bea"].every("/referrals?group=us")
    made_of = people["dana"].read(f"/referrals/{onward['id']}")["onward_from_id"]
    first = people["dana"].read(f"/referrals/{made_of}")
    about = "Evening trades: carpentry and wiring, Open Door Learning"
    shows = {
        ("dana", first["id"]): (about, "Accepted"),
        ("dana", onward["id"]): ("The referral that this one was made of",),
        ("maria", first["id"]): (about, "How it stands:", "Not shared"),
        ("bea", onward["id"]): ("Marcus O'Brien", "Good with his hands"),
    }
    found: list[str] = []
    for (name, key), words in shows.items():
        path = f"/referrals/{key}"
        one = visitor(width=width).come_back(name)
        one.go(path)
        read = one.page.get_by_role("main").inner_text()
        found += [f"{path} (as {name}): {said} is missing" for said in words if said not in read]
        found += [f"{fault} (as {name})" for fault in faults_of(one, path)]
        with in_spanish(one):
            one.go(path)
            found += [f"{fault} (as {name})" for fault in (*faults_of(one, path), *left_over(one.page))]
    assert "\n".join(found) == ""
    assert first["reference"] not in str(people["bea"].read(f"/referrals/{onward['id']}")), "the third is told of none"


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_mistaken_release_and_a_mistaken_return_are_corrected_on_pages_that_say_what_will_happen(
    visitor: Callable[..., Any], people: dict[str, Any], width: int
) -> None:
    maria, said = people["maria"], {"source": "agency_record", "as_of": day()}
    words = details(given_name="Ida", family_name=f"Vale{width}", agency_number=f"NR-77{width}")
    at = f"/participants/{maria.do('/participants', words)['id']}"
    maria.do(f"{at}/release", said | {"released_on": day(-2)})
    here = f"{at}/release-date/correction"
    one = visitor(width=width).come_back("maria")
    found: list[str] = []

    def look(path: str, *shown: str) -> None:
        one.go(path)
        read = one.page.get_by_role("main").inner_text().lower()  # as it looks: a tag stands in capitals
        found.extend(f"{path}: {word} is missing" for word in shown if word.lower() not in read)
        found.extend(faults_of(one, path))

    look(f"{at}/release-date", "They never left")
    look(here, "On record now:", "Consents that ended with the release stay ended")
    Mouse(one).press("Record the correction")
    assert one.page.title().startswith("Error: ")
    found += faults_of(one, f"{here}, sent empty")
    with in_spanish(one):
        one.go(here)
        found += [*faults_of(one, here), *left_over(one.page)]
    maria.do(f"{at}/return-to-custody", said | {"returned_on": day(-1), "unknown_because": "court_pending"})
    look(f"{at}/release-date", "They never came back")
    look(here, "Back in custody", "before that:")
    mistaken = maria.every(f"{at}/release-date")[0]["id"]
    maria.do(here, said | {"mistaken_id": mistaken, "released_on": day(-2)})
    look(f"{at}/release-date", "A mistake", "Corrected:")
    assert "\n".join(found) == ""


@pytest.mark.parametrize(
    "each",
    [
        pytest.param(8, id="sample"),
        pytest.param(1, id="all", marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
    ],
)
def test_every_page_in_spanish(
    visitor: Callable[..., Any], people: dict[str, Any], paths: list[str], each: int
) -> None:
    """Nothing of ours is left in English, and its longer words fit a phone: on every page.

    For axe a page is the same in both languages but for its words and its language, so it looks at one in eight here.
    """
    found: list[str] = []
    shown: dict[str, list[str]] = {}
    looked_at, sample = 0, set(paths[::each])
    for turn, path in enumerate(paths):
        start = turn % len(EVERYBODY)
        turned = EVERYBODY[start:] + EVERYBODY[:start]
        name = next((one for one in turned if _answers(people[one], path)), None)
        if name is None:
            found.append(f"{path}: nobody may see it")
        else:
            shown.setdefault(name, []).append(path)
    for name, theirs in shown.items():
        with in_spanish(visitor(width=PHONE).come_back(name)) as one:
            for path in theirs:
                one.go(path)
                looked_at += path in sample
                faults = (*faults_of(one, path, axe=path in sample), *left_over(one.page))
                found += [f"{fault} (as {name})" for fault in faults]
    assert looked_at == len(sample)
    assert "\n".join(dict.fromkeys(found)) == ""


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_swagger_keeps_the_policy_stays_here_and_can_be_read(
    visitor: Callable[..., Any], people: dict[str, Any], width: int
) -> None:
    assert people
    one = visitor(width=width).come_back("lee")
    one.go("/api/docs")
    main = one.page.get_by_role("main")
    main.get_by_text("/api/v1/referrals", exact=True).first.wait_for()
    found = list(faults_of(one, "/api/docs"))
    for summary in main.locator(".opblock-summary", has_text="/organization/people").all()[:2]:
        summary.get_by_role("button").first.click()
    main.get_by_role("button", name="Try it out").first.click()
    main.get_by_role("button", name="Execute").first.wait_for()
    found += faults_of(one, "/api/docs, opened")
    assert "\n".join(found) == ""


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("name", EVERYBODY)
def test_every_page_as_everybody(
    visitor: Callable[..., Any], people: dict[str, Any], paths: list[str], name: str, width: int
) -> None:
    for other in people.values():  # a walk takes minutes, and whoever is left idle is signed out
        assert _answers(other, "/account")
    one = visitor(width=width).come_back(name)
    found: list[str] = []
    for path in paths:
        answer = one.page.goto(one.service.url + path)
        assert (answer.status == 200) == _answers(people[name], path), path
        found += faults_of(one, path)
    assert "\n".join(found) == ""


#: Forms that cannot be sent empty, with who fills them in.
FORMS = {
    "/participants/new": "maria",
    "/participants/{participants}/consents/new": "maria",
    "/participants/{participants}/release-date": "maria",
    "/participants/{participants}/return-to-custody": "maria",
    "/participants/{participants}/death": "maria",
    "/deaths/{deaths}/correction": "maria",
    "/participants/{participants}/referrals/new": "maria",
    "/referrals/{unready}/sending": "maria",
    "/referrals/{sent}/acceptance": "dana",
    "/referrals/{sent}/refusal": "dana",
    "/referrals/{working}/closing-report/new": "dana",
    "/organization/people/new": "kai",
    "/organization/access-reviews/new": "lee",
    "/organization/integrations/new": "kai",
    "/organization/integrations/{integrations}/renewal": "kai",
    "/organization/integrations/{integrations}/revocation": "kai",
    "/organization/imports": "kai",
    "/participants/export": "walsh",
    "/referrals/export?group=them": "walsh",
    "/partnerships/{partnerships}/rules/new": "walsh",
}


def test_forms_that_were_sent_empty_say_what_to_do(
    visitor: Callable[..., Any], people: dict[str, Any], things: dict[str, str]
) -> None:
    assert people
    found: list[str] = []
    for (template, name), width in zip(FORMS.items(), itertools.cycle([PHONE, DESK]), strict=False):
        path = template.format(**things)
        one = visitor(width=width).come_back(name)
        one.go(path)
        main = one.page.get_by_role("main")
        for text in main.get_by_role("textbox").all():
            text.fill("")
        with one.page.expect_navigation():
            main.get_by_role("button").last.click()
        found += faults_of(one, path)
        if not one.page.title().startswith("Error: "):
            found.append(f"{path}: the title does not say that something is wrong: {one.page.title()}")
        summary = main.get_by_role("alert")
        if summary.count() != 1:
            found.append(f"{path}: {summary.count()} summaries of what is wrong")
            continue
        for link in summary.get_by_role("link").all():
            goal = str(link.get_attribute("href")).removeprefix("#")
            if not one.page.evaluate("id => Boolean(document.getElementById(id))", goal):
                found.append(f"{path}: the summary leads to {goal!r}, which is not on the page")
    assert "\n".join(found) == ""


@pytest.mark.parametrize("scripts", [True, False])
def test_a_file_is_checked_and_read_in(visitor: Callable[..., Any], people: dict[str, Any], *, scripts: bool) -> None:
    assert people
    one = visitor(width=PHONE, scripts=scripts).come_back("lee")
    hand = Mouse(one)
    file = {"name": "list.csv", "mimeType": "text/csv", "buffer": A_LIST.replace("PINE", "OAK").encode()}
    found: list[str] = []
    for only_check, heading in ((True, "Check of list.csv"), (False, "list.csv")):
        one.go("/organization")
        hand.follow("Read in a file of facilities")
        one.page.get_by_label("File", exact=True).set_input_files(file)
        if only_check:
            hand.tick("Only check the file. Change nothing.")
        hand.press("Read the file in")
        assert hand.heading() == heading
        assert hand.reads("Zipcode: is no ZIP code.")
        found += faults_of(one, heading) if scripts else ()
    hand.follow("See your facilities")
    assert hand.heading() == "Facilities"
    assert "\n".join(found) == ""


@pytest.mark.parametrize("scripts", [True, False])
def test_a_list_is_taken_along_as_a_file(visitor: Callable[..., Any], people: dict[str, Any], *, scripts: bool) -> None:
    assert people
    one = visitor(width=PHONE, scripts=scripts).come_back("walsh")
    hand = Mouse(one)
    one.go("/participants")
    hand.follow("Download as a file")
    assert hand.heading() == "Download: Participants"
    hand.choose("What is the file for?", "To plan or oversee our work")
    hand.fill("Why, in a few words", "For the team's weekly review.")
    with one.page.expect_download() as waiting:
        one.page.get_by_role("button", name="Download the file").click()
    file = waiting.value
    assert re.fullmatch(r"participants-\d{4}-\d\d-\d\d\.csv", file.suggested_filename)
    assert file.path().read_bytes().startswith(b'\xef\xbb\xbf"Name","Agency number","Facility"\r\n"')
    hand.follow("Back to the list")
    assert hand.heading().startswith("Participants")


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_a_newcomer_comes_in(visitor: Callable[..., Any], service: Any, people: dict[str, Any], width: int) -> None:
    name = f"new.comer{width}"
    one_time = service.front().invite(people["lee"].organization, name, "New Comer", "case_manager")
    one = visitor(width=width)
    hand = Mouse(one)
    found: list[str] = []
    one.go("/sign-in")
    found += faults_of(one, "/sign-in")
    hand.press("Sign in")
    assert one.page.title().startswith("Error: ")
    found += faults_of(one, "/sign-in, sent empty")
    hand.tick("I have read this notice")
    hand.fill("Sign-in name", name)
    one.page.get_by_label("Password").fill(one_time)
    hand.press("Sign in")
    found += faults_of(one, "/sign-in/new-password")
    one.page.get_by_label("New password").fill(demo.PASSWORD)
    hand.press("Save password")
    found += faults_of(one, "/sign-in/enroll")
    key = re.search(r"(?:[A-Z2-7]{4} ){7}[A-Z2-7]{4}", one.page.get_by_role("main").inner_text())
    assert key is not None
    hand.fill("Six digits from your app", shown_by_an_app(key[0], datetime.now(UTC)))
    hand.press("Confirm code")
    assert hand.heading() == "Your recovery codes"
    found += faults_of(one, "recovery codes")
    hand.follow("I have kept them")
    assert hand.heading() == "Rules for using Throughgate"
    found += faults_of(one, "/sign-in/rules")
    hand.press("Agree and continue")
    assert one.page.title().startswith("Error: ")
    found += faults_of(one, "/sign-in/rules, sent empty")
    hand.tick("I have read these rules and will keep them")
    hand.press("Agree and continue")
    assert hand.heading() == "Home"
    if width == PHONE:
        hand.unfold("Menu")
    hand.press("Sign out")
    assert hand.reads("You are signed out, here and on every other device.")
    found += faults_of(one, "signed out")
    hand.tick("I have read this notice")
    hand.fill("Sign-in name", name)
    one.page.get_by_label("Password").fill(demo.PASSWORD)
    hand.press("Sign in")
    found += faults_of(one, "/sign-in/second-step")
    hand.follow("Lost everything, recovery codes too?")
    found += faults_of(one, "/sign-in/recovery")
    hand.press("Continue")
    assert one.page.title().startswith("Error: ")
    found += faults_of(one, "/sign-in/recovery, sent empty")
    assert "\n".join(found) == ""


@pytest.mark.parametrize(("width", "scripts"), [(PHONE, True), (DESK, True), (PHONE, False)])
def test_s103_somebody_without_a_phone_comes_in_on_paper(
    visitor: Callable[..., Any], service: Any, people: dict[str, Any], width: int, *, scripts: bool
) -> None:
    name = f"on.paper{width}{scripts}".lower()
    one_time = service.front().invite(people["lee"].organization, name, "On Paper", "case_manager")
    one = visitor(width=width, scripts=scripts)
    hand = Mouse(one)
    found: list[str] = []
    one.go("/sign-in")
    _give_password(one, hand, name, one_time)
    one.page.get_by_label("New password").fill(demo.PASSWORD)
    hand.press("Save password")
    hand.follow("Print a code sheet instead")
    found += faults_of(one, "/sign-in/code-sheet", axe=scripts)
    hand.press("Show the sheet")
    found += faults_of(one, "the sheet", axe=scripts)
    codes = one.page.locator("main li code").all_inner_texts()
    assert len(set(codes)) == 60
    hand.fill("of the printed sheet", "0000-0000-00")
    hand.press("Take this sheet into use")
    assert one.page.title().startswith("Error: ")
    found += faults_of(one, "/sign-in/code-sheet/first-code", axe=scripts)
    assert not one.page.locator("main li code").count()
    number = re.search(r"Code (\d+) of the printed sheet", one.page.get_by_role("main").inner_text())
    assert number is not None
    hand.fill("of the printed sheet", codes[int(number[1]) - 1])
    hand.press("Take this sheet into use")
    assert hand.heading() == "Your recovery codes"
    hand.follow("I have kept them")
    hand.tick("I have read these rules and will keep them")
    hand.press("Agree and continue")
    one.go("/account")
    found += faults_of(one, "/account", axe=scripts)
    one.go("/account/code-sheet/loss")
    found += faults_of(one, "/account/code-sheet/loss", axe=scripts)
    if width == PHONE:
        hand.unfold("Menu")
    hand.press("Sign out")
    _give_password(one, hand, name, demo.PASSWORD)
    asked = re.search(r"Enter code (\d+) of sheet", one.page.get_by_role("main").inner_text())
    assert asked is not None
    found += faults_of(one, "/sign-in/second-step", axe=scripts)
    hand.fill("Code", codes[int(asked[1]) - 1])
    hand.press("Continue")
    assert hand.heading() == "Home"
    assert "\n".join(found) == ""


def _give_password(one: Any, hand: Mouse, name: str, password: str) -> None:
    hand.tick("I have read this notice")
    hand.tick("This is a shared computer")
    hand.fill("Sign-in name", name)
    one.page.get_by_label("Password").fill(password)
    hand.press("Sign in")
