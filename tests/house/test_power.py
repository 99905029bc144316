"""Who may do what: generated, compared, under the ceiling; and every address knows who may reach it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from flask import Flask

from referrals import app as factory
from referrals.kernel.actor import Role, TokenScope
from referrals.kernel.command import COMMANDS
from referrals.kernel.door import OPERATIONS
from referrals.kernel.web import API, HALFWAY, OPEN, TOKEN_SCOPES
from tools import generate

DOCS = Path(__file__).resolve().parents[2] / "docs"

#: The ceiling of security, "Who may do what, by room": r read, w commands, a assign, approve, step in, n numbers, m
#: dates, ids, categories, o own, - nothing. A grant beyond it fails here, so that raising it is a decision.
CEILING: Final[dict[str, dict[Role, str]]] = {
    room: dict(
        zip(
            (
                Role.CASE_MANAGER,
                Role.SUPERVISING_OFFICER,
                Role.NAVIGATOR,
                Role.SUPERVISOR,
                Role.ADMINISTRATOR,
                Role.AUDITOR,
                Role.OPERATOR,
            ),
            cells.split(","),
            strict=True,
        )
    )
    for room, cells in {
        "organization": "r,r,r,r,w,r,w",
        "account": "o,o,o,o,o,o,o",
        "passkey": "o,o,o,o,o,o,o",
        "issuer": "-,-,-,-,-,-,-",
        "code_sheet": "-,-,-,-,-,-,-",
        "sign_in": "o,o,o,o,o,o,o",
        "factor": "o,o,o,o,o,o,o",
        "single_sign_on": "o,o,o,o,w,o,o",
        "mail": "o,o,o,o,o,o,o",
        "view": "o,o,o,oa,oa,o,o",
        "integration": "-,-,-,-,w,-,-",
        "recovery": "a,a,a,a,w,a,w",
        "staff": "o,o,o,oa,w,om,w",
        "program": "r,r,w,wa,r,-,-",
        "partnership": "rw,rw,rw,wa,r,m,-",
        "person": "w,w,rw,ra,-,-,-",
        "consent": "w,w,w,wa,-,mw,-",
        "release": "w,w,rw,wa,-,-,-",
        "fit": "r,r,r,r,-,-,-",
        "referral": "w,w,w,wa,-,-,-",
        "handoff": "w,w,w,wa,-,-,-",
        "reminder": "-,-,-,-,-,-,-",
        "worklist": "r,r,r,r,-,-,-",
        "exchange": "-,-,-,w,w,-,w",
        "oversight": "-,-,-,-,-,rw,-",
        "home": "o,o,o,o,o,o,o",
    }.items()
}
#: Predicates that let people in to what is their own (`o`): every role has an account.
OWN: Final = frozenset({"is_oneself", "holds_it"})
#: Who may act without being signed in as somebody, and why.
NAMELESS: Final = {
    "sign_in": "signing in is what makes somebody of nobody",
    "ask_issuer": "signing in elsewhere is, too, and begins with a question",
    "sign_in_at_issuer": "signing in elsewhere is, too, and ends with an answer",
}
#: What the service itself may do beside the operator's commands, and why.
SERVICE_ONLY: Final = {
    "settle_referral": "time passing is nobody's act (R9)",
    "discard_draft": "a draft left alone is discarded by a job",
}

#: Doors a command leaves shut, and why.
NO_PAGE: Final[dict[str, str]] = {
    "challenge_passkey": "a page's script asks for it; there is nothing to show",
}
NO_API: Final[dict[str, str]] = {}
#: Commands whose address has another name than they, because it belongs to signing in.
UNDER_ANOTHER_NAME: Final = {
    "confirm_second_factor": "second_step",
    "enroll_factor": "enroll",
    "change_password": "new_password",
}
#: Commands without any door of their own, and why.
NO_DOOR: Final = {
    "install": "the operator's first command: there is nobody who could sign in yet",
    "add_organization": "the operator's command: organizations join by a decision outside the service",
    "end_organization": "the operator's command, like joining",
    "settle_referral": "run by a job when a clock has passed",
    "import_facility": "one row of the operator's import",
    "import_service": "one row of the operator's import",
    "import_file": "the operator's import",
    "import_own_facility": "one row of an organization's file",
    "import_own_service": "one row of an organization's file",
}


@pytest.fixture(scope="module")
def made(whole_app: Flask) -> dict[str, str]:
    """The documents as the code would have them."""
    return generate.documents(whole_app)


@pytest.mark.parametrize(
    "name",
    [
        *("who-may-do-what.md", "routes.txt", "events.md", "data-classes.md", "crypto-inventory.md"),
        *("referral-edges.md", "security-checks.md"),
    ],
)
def test_s201_what_is_generated_equals_what_stands_in_docs(name: str, made: dict[str, str]) -> None:
    stands = (DOCS / name).read_text(encoding="utf-8")
    assert stands == made[name], (
        f"docs/{name} is not what the code says. Run: python tools/generate.py, and read the diff."
    )


def test_every_room_has_its_ceiling() -> None:
    missing = sorted(set(factory.ROOMS) - set(CEILING))
    assert missing == [], f"{missing}: decide the ceiling of a new room before its first grant."


def test_s201_no_grant_rises_above_the_ceiling() -> None:
    beyond = []
    for what in COMMANDS.values():
        room = generate.room_of(what)
        for role in generate.roles_of(what):
            letters = CEILING[room][role]
            own = all(any(may.__name__ in OWN for may in clause) for clause in what.allow)
            if not ({"w", "a"} & set(letters) or ("o" in letters and own)):
                beyond.append(f"{what.name}: {role} has {letters!r} in {room}")
    assert beyond == [], f"{beyond}: narrow the grant, or its sight. Raising the ceiling is a decision of its own."


def test_nobody_in_particular_may_only_what_is_listed() -> None:
    found = {what.name for what in COMMANDS.values() if "not signed in" in generate.others_of(what)}
    assert found == set(NAMELESS), "An act for people who are not signed in stands in NAMELESS with its reason."


def test_the_service_acts_by_the_operators_grants_and_listed_jobs_alone() -> None:
    found = {
        what.name
        for what in COMMANDS.values()
        if "service" in generate.others_of(what) and Role.OPERATOR not in generate.roles_of(what)
    }
    assert found == set(SERVICE_ONLY), "What the service does by itself stands in SERVICE_ONLY with its reason."


def test_s809_the_auditor_the_operator_and_the_administrator_open_no_participant() -> None:
    """An administrator's role opens no participant record; the auditor holds no other role."""
    rooms = {"person", "consent", "release", "fit", "referral", "handoff", "worklist"}
    odd = [
        f"{what.name}: {role}"
        for what in COMMANDS.values()
        if generate.room_of(what) in rooms
        for role in generate.roles_of(what) & {Role.AUDITOR, Role.OPERATOR, Role.ADMINISTRATOR}
    ]
    assert odd == [], f"{odd}: let visible_to ask for a role that works with participants."


# --- both doors -------------------------------------------------------------------------------------------------------


def _doors(whole_app: Flask) -> tuple[set[str], set[str]]:
    pages, api = set(), set()
    for rule in whole_app.url_map.iter_rules():
        if "POST" not in (rule.methods or ()):
            continue
        name = rule.endpoint.partition(".")[2]
        (api if rule.rule.startswith(API) else pages).add(name)
    return pages, api


def test_every_command_has_both_doors_or_says_why_not(whole_app: Flask) -> None:
    pages, api = _doors(whole_app)
    pages |= {act for act, endpoint in UNDER_ANOTHER_NAME.items() if endpoint in pages}
    api |= {act for act, endpoint in UNDER_ANOTHER_NAME.items() if endpoint in api}
    no_page = {what.name for what in COMMANDS.values() if what.name not in pages | set(NO_PAGE) | set(NO_DOOR)}
    no_api = {what.name for what in COMMANDS.values() if what.name not in api | set(NO_API) | set(NO_DOOR)}
    assert no_page == set(), f"{sorted(no_page)}: open the page by doors.act(…), or say in NO_PAGE why there is none."
    assert no_api == set(), f"{sorted(no_api)}: give doors.act(…) a shape, or say in NO_API why there is none."
    stale = sorted(name for name in NO_DOOR if name in pages or name in api)
    assert stale == [], f"{stale}: has a door now; take it out of NO_DOOR."


def test_every_address_of_the_json_door_is_described(whole_app: Flask) -> None:
    described = {(one.method, one.rule) for one in OPERATIONS}
    silent = sorted(
        f"{method} {rule.rule}"
        for rule in whole_app.url_map.iter_rules()
        if rule.rule.startswith(f"{API}/") and rule.endpoint != "openapi"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if (method, rule.rule) not in described
    )
    assert silent == [], f"{silent}: open it by Doors, or add an Operation beside it."


# --- who reaches an address -------------------------------------------------------------------------------------------

#: Endpoints that need nobody signed in. Each has its reason in the code; a new one is a decision.
OPEN_EXACTLY: Final = frozenset(
    {
        "static",
        "health",
        "csp_reports",
        "front",
        "openapi",
        "api_docs",
        "api_reference",
        "sign_in.sign_in_form",
        "sign_in.sign_in",
        "account.choose_language",
        "sign_in_api.sign_in",
        "single_sign_on.ask_issuer_form",
        "single_sign_on.ask_issuer",
        "single_sign_on.returned",
        "single_sign_on.sign_in_at_issuer",
        "single_sign_on_api.issuers_in_use",
        "single_sign_on_api.ask_issuer",
        "single_sign_on_api.sign_in_at_issuer",
    }
)
#: Endpoints that a sign-in reaches before its second factor or first password is done.
HALFWAY_EXACTLY: Final = frozenset(
    {
        "sign_in.second_step_form",
        "sign_in.second_step",
        "sign_in.new_password_form",
        "sign_in.new_password",
        "factor.enroll_form",
        "factor.code_sheet_form",
        "factor.make_code_sheet",
        "factor.first_sheet_code_form",
        "factor.enroll_code_sheet",
        "factor_api.make_code_sheet",
        "factor_api.enroll_code_sheet",
        "factor.enroll",
        "sign_in.rules_form",
        "sign_in.acknowledge_rules",
        "sign_in.sign_out",
        "sign_in_api.this_sign_in",
        "sign_in_api.second_step",
        "sign_in_api.new_password",
        "factor_api.pending_authenticator",
        "factor_api.enroll",
        "recovery.use_recovery_form",
        "recovery.use_recovery",
        "recovery_api.use_recovery",
        "sign_in_api.rules",
        "sign_in_api.acknowledge_rules",
        "sign_in_api.sign_out",
        "factor.add_passkey_form",
        "factor.add_passkey",
        "factor_api.add_passkey",
        "passkey_api.challenge_passkey",
        "single_sign_on.prove_at_issuer",
        "single_sign_on.confirm_at_issuer",
        "single_sign_on.connect_issuer",
        "single_sign_on_api.prove_at_issuer",
        "single_sign_on_api.confirm_at_issuer",
        "single_sign_on_api.connect_issuer",
    }
)


def test_what_is_open_and_halfway_open_is_exactly_that_and_says_why(whole_app: Flask) -> None:
    assert set(OPEN) == OPEN_EXACTLY, "Whoever opens an address to everybody says so here and gives its reason in OPEN."
    assert set(HALFWAY) == HALFWAY_EXACTLY
    assert [name for name, why in {**OPEN, **HALFWAY}.items() if len(why) < 15] == []
    endpoints = {rule.endpoint for rule in whole_app.url_map.iter_rules()}
    assert sorted((OPEN_EXACTLY | HALFWAY_EXACTLY) - endpoints) in ([], ["front"])


#: Rooms, and acts of a room, that no API token opens whatever its scopes, and why (S-808).
NOT_FOR_TOKENS: Final = {
    "account": "somebody's account is their own",
    "passkey": "a program has no passkey",
    "sign_in": "a program shows its token and never signs in",
    "factor": "as sign_in",
    "mail": "when somebody is mailed is their own choice",
    "integration": "tokens are looked after by people who signed in",
    "issuer": "a program signs in nowhere",
    "single_sign_on": "a program signs in nowhere",
    "recovery": "colleagues make sure of a person in person",
    "staff": "accounts are looked after by people who signed in",
    "exchange": "a file is read in by an administrator",
    "home": "a day's work is a person's",
    "view": "how somebody looks at a list is a person's own",
    "oversight": "the log is the auditor's",
}
ACTS_NOT_FOR_TOKENS: Final = {
    "consent": "whoever takes a consent spoke with the participant, and answers for it by name",
    "organization": "an administrator says what an organization is",
    "partnership": "people sign an agreement, and acknowledge a rule by name",
}


def test_s808_what_a_token_opens_is_said_for_every_room_and_everything_else_is_shut() -> None:
    acts = {what.name for what in COMMANDS.values()}
    open_to = {name for name in TOKEN_SCOPES if name.partition("_api.")[0] in NOT_FOR_TOKENS}
    assert open_to == set(), "These rooms are closed to tokens: say in NOT_FOR_TOKENS why they are no more."
    odd = []
    for one in OPERATIONS:
        room, _, name = one.endpoint.partition("_api.")
        if room in NOT_FOR_TOKENS:
            continue
        scope = TOKEN_SCOPES.get(one.endpoint)
        if scope is None:
            if room not in ACTS_NOT_FOR_TOKENS or one.method == "GET":
                odd.append(f"{one.method} {one.rule}: no scope")
        elif scope.endswith(":write") != (name in acts):
            odd.append(f"{one.method} {one.rule}: {scope}")
        elif room in ACTS_NOT_FOR_TOKENS and name in acts:
            odd.append(f"{one.method} {one.rule}: an act, and open")
    assert odd == [], f"{odd}: Doors(…, reads=…, writes=…) says which scope; a reading has a read's, an act a write's."
    assert set(TOKEN_SCOPES.values()) == set(TokenScope), "a scope that opens nothing misleads whoever chooses it"


UNSAFE: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def test_s201_every_other_address_refuses_whoever_is_not_signed_in(whole_app: Flask) -> None:
    client = whole_app.test_client()
    reached = []
    for rule in whole_app.url_map.iter_rules():
        if rule.endpoint in OPEN:
            continue
        values = dict.fromkeys(rule.arguments, "01939d00-0000-7000-8000-000000000001")
        address = whole_app.url_map.bind("127.0.0.1").build(rule.endpoint, values, method=min(rule.methods or {"GET"}))
        for method in (rule.methods or set()) - {"OPTIONS"}:
            answer = client.open(address, method=method, base_url="https://127.0.0.1")
            leads = answer.headers.get("Location", "")
            refused = (
                answer.status_code == 401
                if rule.rule.startswith(API)
                else (answer.status_code == 303 and leads.startswith("/sign-in"))
            )
            if not refused:
                reached.append(f"{method} {rule.rule}: {answer.status_code} {leads}")
    assert reached == [], f"{reached}: it needs somebody signed in, or an entry in OPEN with its reason."


def test_s302_nothing_that_writes_answers_to_get(whole_app: Flask) -> None:
    """GET changes nothing but the record of the look."""
    acts = {what.name for what in COMMANDS.values()}
    odd = [
        rule.rule
        for rule in whole_app.url_map.iter_rules()
        if rule.endpoint.partition(".")[2] in acts and "GET" in (rule.methods or set())
    ]
    assert odd == [], f"{odd}: a command is posted."


def test_addresses_are_kebab_case_and_name_ids_by_uuid(whole_app: Flask) -> None:
    odd = []
    for rule in whole_app.url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        for part in rule.rule.strip("/").split("/"):
            fixed = part.replace("openapi.json", "openapi")
            if part.startswith("<"):
                if not part.startswith("<uuid:"):
                    odd.append(rule.rule)
            elif (fixed and not fixed.replace("-", "").isalnum()) or fixed != fixed.lower():
                odd.append(rule.rule)
    assert odd == [], f"{odd}: addresses are kebab-case, and what varies in them is a uuid (S-309: nothing personal)."
