"""S-808 from outside: what an API token opens, what it never opens, how it ends, and what is left of its text."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import inspect, text
from werkzeug.test import TestResponse

from referrals import demo
from referrals.integration.models import SCOPES_OF_SIDE
from referrals.kernel.door import OPERATIONS
from referrals.kernel.web import API, OPEN, TOKEN_SCOPES
from tests.journeys.front import ORIGIN, Caller, Front
from tests.journeys.test_referral_by_api import code_of, content, faults, person_named, program_named, today

Api = Callable[[str], Caller]

HERE = "/organization/integrations"
#: Every scope that an agency's token may have.
EVERY_SCOPE = [scope.value for scope in SCOPES_OF_SIDE["agency"]]
READS = ["participants:read", "programs:read", "referrals:read"]
CHALLENGE = 'Bearer realm="throughgate"'


@dataclass(slots=True)
class Program:
    """Another system: it has a token, keeps no cookie, and knows nothing of CSRF."""

    http: FlaskClient
    token: str
    id: str = ""
    integration_id: str = ""
    address: str = "127.9.9.9"

    def ask(self, method: str, path: str, **options: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.token}"} | options.pop("headers", {})
        where = path if path.startswith("/api") or options.pop("page", False) else API + path
        return self.http.open(
            where,
            method=method,
            base_url=ORIGIN,
            headers=headers,
            environ_base={"REMOTE_ADDR": self.address},
            **options,
        )

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.ask("GET", path, **options)

    def read(self, path: str) -> Any:
        answer = self.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text}"
        return answer.get_json()

    def post(self, path: str, body: Any = None, **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, json={} if body is None else body, headers=named)

    def do(self, path: str, body: Any = None, **headers: str) -> Any:
        answer = self.post(path, body, **headers)
        assert answer.status_code in {200, 201}, f"{path}: {answer.text}"
        return answer.get_json()


def wanted(role: str = "case_manager", *scopes: str, **other: Any) -> dict[str, Any]:
    return {"called": "County case system", "role": role, "scopes": [*scopes] or READS, "ends_on": today(90)} | other


def let_in(front: Front, administrator: Caller, role: str = "case_manager", *scopes: str, **other: Any) -> Program:
    """A program with a new token of an administrator's organization."""
    made = administrator.do(HERE, wanted(role, *scopes, **other))
    return Program(front.app.test_client(use_cookies=False), made["token"], made["id"], made["integration_id"])


def on_care_team(front: Front, api: Api, name: str, *scopes: str) -> tuple[Program, str]:
    """A program of the agency that a case manager brought onto somebody's care team; and their id."""
    program = let_in(front, api("lee"), "case_manager", *scopes)
    person_id = person_named(api("maria"), name)["id"]
    words = {"user_id": program.integration_id, "tie": "case_manager", "reason": "other", "reason_text": "Our system"}
    api("maria").do(f"/participants/{person_id}/care-team", words)
    return program, str(person_id)


def refusals(front: Front, since: int) -> list[tuple[str, str | None, str | None]]:
    """What was refused: action, code, and the token that the actor came with."""
    return [
        (one["action"], one["code"], one["actor"]["session"])
        for one in front.events(since)
        if one["outcome"] == "refused"
    ]


# --- making one -------------------------------------------------------------------------------------------------------


def test_s808_a_token_needs_a_name_a_role_a_scope_of_the_list_and_a_day_within_a_year(front: Front, api: Api) -> None:
    lee = api("lee")
    before = front.counts()
    assert faults(lee.post(HERE, {})) == {name: ["required"] for name in ("called", "role", "scopes", "ends_on")}
    assert faults(lee.post(HERE, wanted(called="  ")))["called"] == ["required"]
    assert faults(lee.post(HERE, wanted("case_manager", "referrals:everything"))) == {"scopes.0": ["not_a_choice"]}
    assert faults(lee.post(HERE, wanted("case_manager", *READS[:1] * 2)))["scopes"] == ["repeated"]
    assert faults(lee.post(HERE, wanted(ends_on=today(-1)))) == {"ends_on": ["in_past"]}
    assert faults(lee.post(HERE, wanted(ends_on=today(367)))) == {"ends_on": ["over_a_year"]}
    for role in ("supervisor", "administrator", "auditor", "operator"):
        assert faults(lee.post(HERE, wanted(role))) == {"role": ["not_a_choice"]}, "powerful roles are for people"
    assert faults(lee.post(HERE, wanted("navigator"))) == {"role": ["role_not_of_side"]}
    assert faults(lee.post(HERE, wanted() | {"organization_id": str(uuid4())}))["organization_id"] == ["unknown_field"]
    after = front.counts()
    assert {name: after[name] - before[name] for name in ("user", "api_token", "role_grant")} == {
        "user": 0,
        "api_token": 0,
        "role_grant": 0,
    }
    assert lee.post(HERE, wanted(ends_on=today(365))).status_code == 201
    assert lee.post(HERE, wanted(ends_on=today())).status_code == 201


def test_s808_only_an_administrator_makes_reads_renews_and_revokes_them(front: Front, api: Api) -> None:
    program = let_in(front, api("lee"))
    for name in ("maria", "walsh", "noor"):
        since = front.last_event()
        for answer in (
            api(name).post(HERE, wanted()),
            api(name).get(HERE),
            api(name).post(f"{HERE}/{program.id}/renewal", {"ends_on": today(9)}),
            api(name).post(f"{HERE}/{program.id}/revocation", {"because": "mine"}),
        ):
            assert (answer.status_code, code_of(answer)) == (403, "not_permitted"), name
        assert [action for action, _code, _token in refusals(front, since)] == [
            "account.token_made",
            "account.tokens_listed",
            "account.token_renewed",
            "account.token_revoked",
        ]
    kai, nobody = api("kai"), str(uuid4())
    for ending, words in (("renewal", {"ends_on": today(9)}), ("revocation", {"because": "not ours"})):
        foreign, random = (kai.post(f"{HERE}/{one}/{ending}", words) for one in (program.id, nobody))
        assert foreign.status_code == random.status_code == 404
        assert code_of(foreign) == code_of(random)
    assert program.id not in {one["id"] for one in kai.every(HERE)}
    assert program.get("/participants").status_code == 200


def test_s808_making_and_renewing_one_needs_a_fresh_sign_in_and_revoking_does_not(front: Front, api: Api) -> None:
    lee = api("lee")
    program = let_in(front, lee)
    front.clock.ahead += timedelta(minutes=11)
    for path, words in ((HERE, wanted()), (f"{HERE}/{program.id}/renewal", {"ends_on": today(9)})):
        answer = lee.post(path, words)
        assert (answer.status_code, code_of(answer)) == (403, "fresh_sign_in_needed")
    assert lee.post(f"{HERE}/{program.id}/revocation", {"because": "It was sent by mail"}).status_code == 200
    assert program.get("/participants").status_code == 401


def test_s808_the_text_is_told_once_and_a_repeated_call_makes_no_second_one(front: Front, api: Api) -> None:
    lee = api("lee")
    first, again = (lee.post(HERE, wanted(), Idempotency_Key="one") for _ in range(2))
    assert re.fullmatch(r"tg_[0-9a-f]{64}", first.get_json()["token"]), "256 bits, found by scanners for secrets"
    assert (again.status_code, again.get_json()["token"]) == (201, None)
    assert first.get_json()["id"] == again.get_json()["id"]
    assert lee.post(HERE, wanted(called="Another"), Idempotency_Key="one").status_code == 422
    listed = next(one for one in lee.every(HERE) if one["id"] == first.get_json()["id"])
    assert listed == {
        "id": first.get_json()["id"],
        "integration_id": first.get_json()["integration_id"],
        "name": "County case system",
        "role": "case_manager",
        "scopes": READS,
        "made_at": first.get_json()["made_at"],
        "made_by": lee.me,
        "ends_on": today(90),
        "used_on": None,
        "ended_at": None,
        "works": True,
    }
    assert len({let_in(front, lee).token for _ in range(20)}) == 20


def test_s808_an_administrator_makes_and_revokes_one_on_pages(front: Front, api: Api) -> None:
    lee = api("lee")

    def page(path: str) -> str:
        answer = lee.http.get(path, base_url=ORIGIN)
        assert answer.status_code == 200, answer.text
        return unescape(answer.text)

    def form(path: str, **words: Any) -> TestResponse:
        hidden = dict(re.findall(r'name="(csrf_token|idempotency_key)" value="([^"]*)"', page(path)))
        assert set(hidden) == {"csrf_token", "idempotency_key"}
        return lee.http.post(path, base_url=ORIGIN, data={name: unescape(one) for name, one in hidden.items()} | words)

    month, day, year = (str(int(part)) for part in (today(30)[5:7], today(30)[8:], today(30)[:4]))
    last_day = {"ends_on-month": month, "ends_on-day": day, "ends_on-year": year}
    wrong = form(f"{HERE}/new", called="Jail roster", role="case_manager", **last_day)
    assert wrong.status_code == 422
    assert "Choose what the token may be used for." in wrong.text
    assert 'value="Jail roster"' in wrong.text, "nothing typed is lost"
    assert form(f"{HERE}/new", **last_day).status_code == 422
    done = form(
        f"{HERE}/new",
        called="Jail roster",
        role="case_manager",
        scopes=["participants:read", "releases:write"],
        **last_day,
    )
    shown = re.search(r"tg_[0-9a-f]{64}", done.text)
    assert shown
    program = Program(front.app.test_client(use_cookies=False), shown[0])
    assert program.get("/participants").status_code == 200
    listed = page(HERE)
    assert "Jail roster" in listed
    assert "Record release dates and releases" in listed
    assert "tg_" not in listed, "a token is shown once"
    target = re.search(rf"{HERE}/([0-9a-f-]+)/renewal", listed)
    assert target
    next_one = form(f"{HERE}/{target[1]}/renewal", **last_day)
    assert re.search(r"tg_[0-9a-f]{64}", next_one.text)
    assert "Enter an answer." in form(f"{HERE}/{target[1]}/revocation").text
    assert form(f"{HERE}/{target[1]}/revocation", because="Sent by mail").status_code == 303
    assert "Sent by mail" in page(HERE)
    assert program.get("/participants").status_code == 401


# --- what opens nothing -----------------------------------------------------------------------------------------------


def told(answer: TestResponse) -> tuple[int, str, dict[str, str]]:
    """An answer without what differs between any two requests."""
    request_id = answer.headers["X-Request-Id"]
    headers = {name: value for name, value in answer.headers if name != "X-Request-Id"}
    return answer.status_code, answer.text.replace(request_id, "…"), headers


def test_s808_unknown_revoked_ended_and_broken_tokens_get_the_same_401_with_a_challenge(front: Front, api: Api) -> None:
    lee = api("lee")
    revoked, ended, left = let_in(front, lee), let_in(front, lee, ends_on=today()), let_in(front, lee)
    lee.do(f"{HERE}/{revoked.id}/revocation", {"because": "lost"})
    front.clock.ahead += timedelta(days=1)
    since = front.last_event()
    unknown = Program(left.http, "tg_" + "0" * 64)
    others = [Program(left.http, said) for said in ("", "tg_", left.token.upper(), f"{left.token} x", "é" * 40)]
    answers = [told(one.get("/participants")) for one in (unknown, revoked, ended, *others)]
    assert all(one == answers[0] for one in answers)
    assert answers[0][0] == 401
    assert answers[0][2]["WWW-Authenticate"] == f'{CHALLENGE}, error="invalid_token"'
    assert '"token_refused"' in answers[0][1]
    assert left.get("/participants").status_code == 200
    recorded = refusals(front, since)
    assert {one[:2] for one in recorded} == {("account.token_refused", "token_refused")}
    assert [one[2] for one in recorded] == [None, revoked.id, ended.id, *[None] * len(others)]


def test_s808_without_any_the_json_door_says_how_to_come_in(front: Front) -> None:
    answer = front.app.test_client(use_cookies=False).get(f"{API}/participants", base_url=ORIGIN)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, CHALLENGE)
    assert code_of(answer) == "sign_in_needed"


def test_s808_it_works_through_its_last_day_where_the_organization_is(front: Front, api: Api) -> None:
    program = let_in(front, api("lee"), ends_on=today(2))
    for ahead, status in ((1, 200), (1, 200), (1, 401), (400, 401)):
        front.clock.ahead += timedelta(days=ahead)
        assert program.get("/participants").status_code == status, front.clock.ahead


def test_s808_it_outlives_the_administrator_who_made_it_and_not_its_own_account(front: Front, api: Api) -> None:
    lee = api("lee")
    second = front.join(lee.organization, "second.admin", "Sol Ruiz", "administrator")
    program = let_in(front, second)
    lee.do(f"/organization/people/{second.me}/disabling", {"because": "left"})
    assert second.get("/organization/people").status_code == 401
    assert program.get("/participants").status_code == 200
    lee.do(f"{HERE}/{program.id}/revocation", {"because": "no longer used"})
    again = lee.post(f"{HERE}/{program.id}/revocation", {"because": "twice"})
    assert (again.status_code, code_of(again)) == (409, "token_over")
    assert program.get("/participants").status_code == 401
    person_id = person_named(api("maria"), "Whitfield")["id"]
    words = {"user_id": program.integration_id, "tie": "case_manager", "reason": "other", "reason_text": "late"}
    refused = api("maria").post(f"/participants/{person_id}/care-team", words)
    assert faults(refused) == {"user_id": ["not_a_colleague"]}


def test_s808_the_next_token_is_the_same_integrations_and_both_work_until_revoked(front: Front, api: Api) -> None:
    lee = api("lee")
    program, person_id = on_care_team(front, api, "Whitfield", "participants:read")
    made = lee.do(f"{HERE}/{program.id}/renewal", {"ends_on": today(200)})
    following = Program(program.http, made["token"])
    assert (made["integration_id"], made["scopes"]) == (program.integration_id, ["participants:read"])
    assert faults(lee.post(f"{HERE}/{program.id}/renewal", {"ends_on": today(400)})) == {"ends_on": ["over_a_year"]}
    assert program.get(f"/participants/{person_id}").status_code == 200
    lee.do(f"{HERE}/{program.id}/revocation", {"because": "replaced"})
    assert program.get(f"/participants/{person_id}").status_code == 401
    assert following.get(f"/participants/{person_id}").status_code == 200, "its care team is where it was"
    over = lee.post(f"{HERE}/{program.id}/renewal", {"ends_on": today(9)})
    assert (over.status_code, code_of(over)) == (409, "token_over")


# --- where it works, and where not ------------------------------------------------------------------------------------


def test_s808_pages_do_not_know_tokens(front: Front, api: Api) -> None:
    program = let_in(front, api("lee"), "case_manager", *EVERY_SCOPE)
    for path in ("/participants", "/home", "/referrals", HERE):
        answer = program.get(path, page=True)
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/sign-in?next={path}")
    assert program.ask("POST", "/sign-out", page=True).headers["Location"] == "/sign-in"


def test_s302_s808_a_request_with_a_cookie_and_a_token_is_neithers(front: Front, api: Api) -> None:
    lee, maria = api("lee"), api("maria")
    program = let_in(front, lee)
    cookie = maria.http.get_cookie("__Host-sid", domain="127.0.0.1")
    assert cookie is not None
    since = front.last_event()
    for value in (cookie.value, "anything"):
        answer = program.get("/participants", headers={"Cookie": f"__Host-sid={value}"})
        assert (answer.status_code, code_of(answer)) == (400, "two_ways_in")
        assert "Set-Cookie" not in answer.headers
    assert front.last_event() == since
    elsewhere = program.get("/participants", headers={"Cookie": "theme=dark"})
    assert elsewhere.status_code == 200


@pytest.mark.parametrize(
    ("administrator", "role", "theirs"),
    [("lee", "case_manager", "programs:write"), ("kai", "navigator", "releases:write")],
)
def test_s808_nobody_is_offered_what_only_the_other_side_writes(
    api: Api, administrator: str, role: str, theirs: str
) -> None:
    refused = api(administrator).post(HERE, wanted(role, theirs))
    assert refused.status_code == 422
    assert [(one["field"], one["code"]) for one in refused.get_json()["errors"]] == [("scopes", "not_a_choice")]
    assert api(administrator).post(HERE, wanted(role, "referrals:write")).status_code == 201


def test_s302_s808_no_csrf_token_is_needed_no_cookie_given_and_a_foreign_origin_still_refused(
    front: Front, api: Api
) -> None:
    offered = program_named(api("dana"), "Day One")["id"]
    program = let_in(front, api("kai"), "navigator", "programs:write")
    room = {"capacity_code": "capacity", "open_places": 4, "expected_days": 9}
    version = program.get(f"/programs/{offered}").headers["ETag"]
    answer = program.post(f"/programs/{offered}/capacity", room, If_Match=version)
    assert answer.status_code == 200, answer.text
    assert "Set-Cookie" not in answer.headers
    crossed = program.post(f"/programs/{offered}/capacity", room, Origin="https://elsewhere.example")
    assert crossed.status_code == 403


def test_s808_a_missing_scope_is_403_names_it_and_is_recorded(front: Front, api: Api) -> None:
    program, person_id = on_care_team(front, api, "Whitfield", "participants:read")
    since = front.last_event()
    target = program_named(api("maria"), "Day One")["id"]
    answer = program.post(f"/participants/{person_id}/referrals", {"program_id": target})
    assert (answer.status_code, code_of(answer)) == (403, "scope_missing")
    assert answer.get_json()["facts"] == {"scope": "referrals:write"}
    closed = program.get("/organization/people")
    assert (closed.status_code, code_of(closed)) == (403, "not_for_tokens")
    assert refusals(front, since) == [
        ("account.token_refused", "scope_missing", program.id),
        ("account.token_refused", "not_for_tokens", program.id),
    ]
    assert program.get(f"/participants/{person_id}").status_code == 200


def test_s808_no_scope_gives_more_than_the_role_and_its_own_sight(front: Front, api: Api) -> None:
    program = let_in(front, api("lee"), "case_manager", *EVERY_SCOPE)
    assert program.read("/participants")["items"] == [], "by itself it sees nobody"
    whitfield = person_named(api("maria"), "Whitfield")["id"]
    nothing = str(uuid4())
    for path in ("/participants/{}", "/participants/{}/care-team", "/participants/{}/consents", "/referrals/{}"):
        known, unknown = (told(program.get(path.format(one))) for one in (whitfield, nothing))
        assert known == unknown, path
        assert known[0] == 404, path
    rosa = program_named(api("rosa"), "Day One")["id"]
    answer = program.post(f"/programs/{rosa}/capacity", {"capacity_code": "capacity", "open_places": 1})
    assert answer.status_code == 403, "an agency has no programs to write"
    helper = let_in(front, api("kai"), "navigator", *SCOPES_OF_SIDE["community"])
    closing = helper.post(f"/programs/{rosa}/closing", {"because": "A navigator closes none"})
    assert (closing.status_code, code_of(closing)) == (403, "not_permitted")


def test_s808_it_sees_whom_it_adds_and_whose_team_it_is_on_until_it_is_taken_off(front: Front, api: Api) -> None:
    program, person_id = on_care_team(front, api, "Whitfield", "participants:write")
    assert [one["id"] for one in program.read("/participants")["items"]] == [person_id]
    team = program.read(f"/participants/{person_id}/care-team")["items"]
    mine = next(one for one in team if one["user_id"] == program.integration_id)
    api("maria").do(f"/assignments/{mine['id']}/end", {"because": "handed_over"})
    assert program.get(f"/participants/{person_id}").status_code == 404
    assert program.read("/participants")["items"] == []


def test_s808_another_organizations_rows_stay_behind_the_consent_gate(front: Front, api: Api) -> None:
    """A program on an intake list reads of a referral what a person there reads: what was agreed, and no more."""
    maria, dana, rosa = api("maria"), api("dana"), api("rosa")
    program = let_in(front, api("kai"), "navigator", "referrals:read", "participants:read")
    offered = program_named(maria, "Day One")["id"]
    person_id = person_named(maria, "Whitfield")["id"]
    draft = maria.do(f"/participants/{person_id}/referrals", {"program_id": offered})["id"]
    version = maria.get(f"/referrals/{draft}/draft").headers["ETag"]
    maria.do(f"/referrals/{draft}/draft", content(), If_Match=version)
    maria.do(f"/referrals/{draft}/sending")
    assert program.get(f"/referrals/{draft}").status_code == 404
    rosa.do(f"/programs/{offered}/intake", {"user_id": program.integration_id})
    since = front.last_event()
    own = {name: value for name, value in program.read(f"/referrals/{draft}").items() if name != "may"}
    theirs = {name: value for name, value in dana.read(f"/referrals/{draft}").items() if name != "may"}
    assert own == theirs
    person = program.read(f"/participants/{person_id}")
    assert person == dana.read(f"/participants/{person_id}")
    looks = [one for one in front.events(since) if one["actor"]["id"] == program.integration_id]
    assert looks
    assert {(one["actor"]["session"], one["source"]["channel"], one["outcome"]) for one in looks} == {
        (program.id, "api", "done")
    }
    assert "consent" in {one["basis"]["kind"] for one in looks if one["basis"] is not None}
    for one in maria.every(f"/participants/{person_id}/consents"):
        maria.post(f"/consents/{one['id']}/withdrawal", {"how": "told_staff"})
    assert program.get(f"/participants/{person_id}").get_json() == dana.get(f"/participants/{person_id}").get_json()
    withdrawn = program.read(f"/participants/{person_id}")
    assert withdrawn["given_name"] == {"shared": False}, "a withdrawal bites on the next request"


def test_s808_what_people_do_in_their_own_name_no_token_does(front: Front, api: Api) -> None:
    """Whatever its scopes, and by the same rule everywhere: consent, rules, accounts, the log, home."""
    program = let_in(front, api("lee"), "case_manager", *EVERY_SCOPE)
    closed = [one for one in OPERATIONS if one.endpoint not in TOKEN_SCOPES and one.endpoint not in OPEN]
    assert len(closed) > 30
    for one in closed:
        path = re.sub(r"<uuid:\w+>", str(uuid4()), one.rule)
        answer = program.ask(one.method, path, json={} if one.method == "POST" else None)
        assert (answer.status_code, code_of(answer)) == (403, "not_for_tokens"), one.rule


def test_s808_nobody_signs_in_as_an_integration_and_no_page_of_people_offers_it(front: Front, api: Api) -> None:
    lee = api("lee")
    program = let_in(front, lee)
    name = f"integration:{program.integration_id}"
    caller = front.caller()
    for said in (demo.PASSWORD, "-", program.token):
        answer = caller.post("/sign-ins", {"name": name, "password": said, "acknowledged": True})
        unknown = caller.post("/sign-ins", {"name": "nobody.here", "password": said, "acknowledged": True})
        assert told(answer) == told(unknown)
        assert answer.status_code == 401
    assert program.integration_id not in {one["id"] for one in lee.every("/organization/people")}
    for ending, words in (("reset", {}), ("enabling", {}), ("roles", {"role": "auditor"}), ("last-day", {})):
        answer = lee.post(f"/organization/people/{program.integration_id}/{ending}", words)
        assert answer.status_code == 404, ending


# --- working with one -------------------------------------------------------------------------------------------------


def test_s808_a_referral_is_made_and_sent_through_a_token(front: Front, api: Api) -> None:
    program, person_id = on_care_team(front, api, "Whitfield", "participants:read", "programs:read", "referrals:write")
    offered = next(one for one in program.read("/programs")["items"] if one["name"].startswith("Day One"))
    words, key = {"program_id": offered["id"]}, "case-2026-0107"
    first, again = (program.do(f"/participants/{person_id}/referrals", words, Idempotency_Key=key) for _ in range(2))
    assert first["id"] == again["id"]
    draft = f"/referrals/{first['id']}/draft"
    assert program.post(draft, content()).status_code == 428
    assert program.post(draft, content(), If_Match='"77-0"').status_code == 412
    tag = program.get(draft).headers["ETag"]
    assert program.get(draft, headers={"If-None-Match": tag}).status_code == 304
    assert program.post(draft, content(), If_Match=tag).status_code == 200
    since = front.last_event()
    sent = program.do(f"/referrals/{first['id']}/sending")
    assert sent["status"] == "sent"
    (event,) = {one["request"]: one for one in front.events(since) if one["action"] == "referral.sent"}.values()
    assert event["actor"] == {
        "kind": "user",
        "id": program.integration_id,
        "org": api("lee").organization,
        "role": "case_manager",
        "session": program.id,
        "behalf": None,
    }
    assert event["source"]["channel"] == "api"
    timeline = api("dana").read(f"/referrals/{first['id']}")["timeline"]
    assert next(one for one in timeline if one["what"] == "send_referral")["who"] == "County case system"


def test_s808_its_last_use_is_kept_to_the_day_and_written_once_a_day(front: Front, api: Api) -> None:
    lee = api("lee")
    program = let_in(front, lee)

    def used_on() -> str | None:
        with front.engine.connect() as connection:
            kept = connection.execute(text("SELECT used_on FROM api_token_use"))
            return next((str(one) for (one,) in kept if one is not None), None)

    assert used_on() is None
    for _ in range(3):
        program.read("/participants")
    assert used_on() == today()
    front.clock.ahead += timedelta(days=1)
    program.read("/participants")
    assert used_on() == today(1)


def test_s808_a_machine_is_no_witness_no_caseworker_and_no_recipient_of_consent(front: Front, api: Api) -> None:
    maria = api("maria")
    navigator = let_in(front, api("kai"), "navigator", "referrals:write")
    program, person_id = on_care_team(front, api, "Whitfield", "referrals:write", "programs:read")
    offered = program_named(maria, "Day One")["id"]
    draft = program.do(f"/participants/{person_id}/referrals", {"program_id": offered})["id"]
    version = program.get(f"/referrals/{draft}/draft").headers["ETag"]
    program.do(f"/referrals/{draft}/draft", content(), If_Match=version)
    program.do(f"/referrals/{draft}/sending")
    words = {"caseworker_id": navigator.integration_id, "first_contact_on": today(2)}
    assert faults(api("dana").post(f"/referrals/{draft}/acceptance", words)) == {"caseworker_id": ["not_a_colleague"]}


# --- wrong ones at a rate, and what is left of its text ---------------------------------------------------------------


def test_s117_s808_wrong_tokens_are_held_to_sign_ins_rate_and_right_ones_are_not(front: Front, api: Api) -> None:
    program = let_in(front, api("lee"))
    wrong = Program(program.http, "tg_" + "f" * 64, address="127.8.8.8")
    program.address = wrong.address
    since = front.last_event()
    found = [wrong.get("/participants").status_code for _ in range(130)]
    assert found == [401] * 120 + [429] * 10
    assert len(refusals(front, since)) == 120, "nobody fills the log by guessing"
    assert program.get("/participants").status_code == 200
    wrong.address = "127.8.8.9"
    assert wrong.get("/participants").status_code == 401


def test_s808_the_database_holds_the_hash_and_nothing_anywhere_the_text(
    front: Front, api: Api, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        program, person_id = on_care_team(front, api, "Whitfield", "participants:read")
        program.read(f"/participants/{person_id}")
        program.get("/organization/people")
        program.get("/participants", headers={"Cookie": "__Host-sid=x"})
        program.post("/participants", "no object")
        program.get("/nowhere")
        api("lee").do(f"{HERE}/{program.id}/renewal", {"ends_on": today(9)})
        api("lee").do(f"{HERE}/{program.id}/revocation", {"because": "done"})
        program.get("/participants")
    digest = hashlib.sha256(program.token.encode()).digest()
    kept = b""
    with front.engine.connect() as connection:
        for table in inspect(connection).get_table_names():
            for row in connection.execute(text(f'SELECT * FROM "{table}"')):  # noqa: S608  # our own tables
                kept += repr(tuple(row)).encode()
        hashes = [bytes(one) for (one,) in connection.execute(text("SELECT token_hash FROM api_token"))]
    assert digest in hashes
    path = Path(str(front.engine.url.database))
    kept += b"".join(one.read_bytes() for one in path.parent.glob(f"{path.name}*"))
    secret = program.token.removeprefix("tg_")
    said = capsys.readouterr()
    for form in (secret, secret.upper()):
        assert form.encode() not in kept
        assert form not in said.out + said.err + caplog.text
    assert bytes.fromhex(secret) not in kept
