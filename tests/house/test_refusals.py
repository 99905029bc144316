"""For every command and every id in an address: strangers learn nothing, wrong roles are refused, all on record."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from marshmallow import fields, validate
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from audit.models import AuditEvent
from referrals import demo
from referrals.account import queries as account_queries
from referrals.factor import commands as factors
from referrals.kernel.actor import Actor, Role, Side, Source, system
from referrals.kernel.command import COMMANDS, Command, execute
from referrals.kernel.errors import InvalidInputError, NotFoundError, NotPermittedError, RefusedError
from referrals.kernel.orm import Base, Identified
from referrals.kernel.schema import Takes
from referrals.kernel.web import API
from referrals.organization import commands as organizations
from referrals.organization.queries import installation
from referrals.sign_in import queries as sign_in_queries
from referrals.staff import commands as staff
from tests.journeys.conftest import Caller, Front
from tests.journeys.front import ORIGIN
from tools import generate

generate.join_rooms()  # before anything is parametrized by what they declare

#: Things that everybody signed in may know of, and why: a stranger's act on them is 403, not 404.
EVERYBODY_SEES: Final = {
    "Installation": "the service itself: there is one, and everybody uses it",
}
#: Readings that everybody signed in may have of every organization's things, and why.
EVERYBODY_READS: Final = {
    "organization_api.organization": "who takes part is known to all who take part",
    "organization_api.facilities": "where partners work is known to all who take part",
    "organization_api.facility": "where partners work is known to all who take part",
    "organization_api.locations": "where partners work is known to all who take part",
    "organization_api.location": "where partners work is known to all who take part",
    "organization_api.rooms": "where partners work is known to all who take part",
    "organization_api.closing_days": "when a partner answers nobody is known to all who wait for it",
    "program_api.show": "what is offered is a directory",
    "program_api.program": "what is offered is a directory",
}
#: Words that a schema's own validators want, by field.
HINTS: Final[dict[str, Any]] = {
    "name": "A name",
    "website": "https://example.org",
    "email": "someone@example.org",
    "latitude": "37.8",
    "longitude": "-122.2",
    "state": "CA",
    "postal_code": "94601",
    "sign_in_name": "some.body",
    "password": "quiet harbor lantern marigold",
    "new_password": "another lantern in the harbor",
    "code": "123456",
    "acknowledged": True,
    "told_rights": True,
    "agreed": True,
    "listing": "programs",
    "query": "category=housing",
    "purposes": ["referral"],
    "source": "agency_record",
    "county_fips": "06001",
    "digest": "0" * 64,
    "content": base64.b64encode(b"%PDF-1.4\n%%EOF\n").decode(),
}

#: What nothing looks like: not there, or a part of the house that is closed to the role whatever the id says.
NOTHING: Final = {404, 403}

AGENCY_ROLES: Final = (Role.CASE_MANAGER, Role.SUPERVISING_OFFICER, Role.SUPERVISOR)
COMMUNITY_ROLES: Final = (Role.NAVIGATOR, Role.SUPERVISOR)


# --- words that pass --------------------------------------------------------------------------------------------------


def sample(name: str, field: fields.Field[Any]) -> Any:
    """A value that a field takes."""
    if name in HINTS:
        return HINTS[name]
    for validator in field.validators:
        if isinstance(validator, validate.OneOf):
            return next(iter(validator.choices))
        if isinstance(validator, validate.Range) and validator.min is not None:
            return validator.min
    if isinstance(field, fields.Nested):
        return words(field.schema)  # type: ignore[arg-type]  # ours are Takes
    if isinstance(field, fields.List):
        return [sample(name, field.inner)]
    return next((made() for kind, made in MADE.items() if isinstance(field, kind)), "some words")


#: A value of each kind of field.
MADE: Final[dict[type[fields.Field[Any]], Any]] = {
    fields.UUID: lambda: str(uuid4()),
    fields.Boolean: lambda: True,
    fields.Date: (datetime.now(UTC).date() + timedelta(days=1)).isoformat,
    fields.Integer: lambda: 1,
    fields.Dict: dict,
}


def words(takes: Takes) -> dict[str, Any]:
    """The required words of a command, good enough to get past its schema."""
    given = {name: sample(name, field) for name, field in takes.fields.items() if field.required}
    for _ in takes.fields:
        try:
            takes.understood(given)
        except InvalidInputError as fault:
            for name in {path.partition(".")[0] for path in fault.fields}:
                if name in takes.fields:
                    given[name] = sample(name, takes.fields[name])
        else:
            break
    return given


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_words_can_be_made_for_every_command(name: str) -> None:
    """Else the matrices below would only meet 422."""
    what = COMMANDS[name]
    assert set(what.takes.understood(words(what.takes))) == set(what.takes.fields), f"{name}: add a hint to HINTS"


# --- who and what is there --------------------------------------------------------------------------------------------


def rows_of(session: Session, model: type[Identified], most: int = 1) -> list[UUID]:
    found = list(session.scalars(select(model.id).order_by(model.id).limit(most)))
    session.rollback()
    return found


def a_stranger(front: Front, side: Side, name: str) -> Actor:
    """Somebody with every working role at an organization that has no part in anything here."""
    with front.session() as session:
        there = execute(
            session,
            organizations.add_organization,
            actor=system("cli"),
            target=installation(session).id,
            data={"name": f"Elsewhere {side}", "side": side.value, "time_zone": "UTC"},
        )
        data = {
            "sign_in_name": name,
            "display_name": "Some Stranger",
            "roles": [role.value for role in (AGENCY_ROLES if side is Side.AGENCY else COMMUNITY_ROLES)],
        }
        user = execute(session, staff.add_user, actor=system("cli"), target=there.id, data=data)
        sign_in = factors.first_sign_in(session, name, str(user.shown_code), demo.PASSWORD, Source("cli"))
        known = account_queries.user(session, user.id)
        actor = sign_in_queries.actor_for(known, sign_in, Source("api"))
        session.rollback()
        return actor


def people(front: Front) -> dict[str, Actor]:
    """The people of the demonstration, as actors."""
    made = {}
    with front.session() as session:
        for one in demo.ACCOUNTS:
            user = account_queries.by_name(session, one.name)
            assert user is not None
            roles = frozenset({one.role})
            made[one.name] = Actor(
                "user", user.id, user.organization_id, one.side, roles, uuid4(), source=Source("api")
            )
        session.rollback()
    return made


def outcome(session: Session, what: Command[Any, Any], actor: Actor, target: UUID) -> RefusedError | None:
    actor = dataclasses.replace(actor, source=Source("api"))
    version = 1 if what.edits else None
    try:
        execute(session, what, actor=actor, target=target, data=words(what.takes), expect=version)
    except RefusedError as refused:
        return refused
    return None


def last_events(session: Session, count: int) -> list[dict[str, Any]]:
    found = session.scalars(select(AuditEvent.body).order_by(AuditEvent.id.desc()).limit(count)).all()
    session.rollback()
    return [json.loads(body) for body in found]


# --- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(300)
def test_s203_a_stranger_and_a_random_id_get_the_same_404_from_every_command_and_both_are_recorded(
    front: Front,
) -> None:
    strangers = [a_stranger(front, Side.AGENCY, "stranger.one"), a_stranger(front, Side.COMMUNITY, "stranger.two")]
    wrong = []
    with front.session() as session:
        for name, what in sorted(COMMANDS.items()):
            if what.on.__name__ in EVERYBODY_SEES:
                continue
            for stranger in strangers:
                for target in [*rows_of(session, what.on), uuid4()]:
                    refused = outcome(session, what, stranger, target)
                    (event,) = last_events(session, 1)
                    told = (type(refused), dict(refused.facts) if refused is not None else None)
                    recorded = (event["action"], event["outcome"], event["code"], event["actor"]["id"])
                    if told != (NotFoundError, {}) or recorded != (name, "refused", "not_found", str(stranger.user_id)):
                        if what.on.__name__ == "Organization" and target == stranger.organization_id:
                            continue
                        wrong.append(
                            f"{name} by {stranger.side} on {what.on.__name__}: {refused!r}, recorded {recorded}"
                        )
    assert wrong == [], f"{wrong}: let `within` select only what the actor may know of (S-202, S-203)."


@pytest.mark.timeout(300)
def test_s201_the_wrong_role_is_refused_by_every_command_and_it_is_recorded(front: Front) -> None:
    wrong, met = [], set()
    actors = people(front)
    with front.session() as session:
        for name, what in sorted(COMMANDS.items()):
            able = generate.roles_of(what)
            for actor in actors.values():
                if actor.roles & able:
                    continue
                for target in rows_of(session, what.on):
                    refused = outcome(session, what, actor, target)
                    (event,) = last_events(session, 1)
                    met.add(type(refused))
                    recorded = (event["action"], event["outcome"], event["actor"]["id"])
                    if not isinstance(refused, NotPermittedError | NotFoundError) or recorded != (
                        name,
                        "refused",
                        str(actor.user_id),
                    ):
                        wrong.append(f"{name} by {sorted(actor.roles)}: {refused!r}, recorded {recorded}")
    assert wrong == [], f"{wrong}: narrow `allow` or `within`, and let the refusal come from execute()."
    assert met == {NotPermittedError, NotFoundError}


# --- addresses --------------------------------------------------------------------------------------------------------


def told(answer: TestResponse) -> tuple[int, str, set[str]]:
    """An answer without what differs between any two requests."""
    body = answer.get_data(as_text=True)
    request_id = answer.headers.get("X-Request-Id", "none at all")
    return answer.status_code, body.replace(request_id, "…"), set(answer.headers.keys())


def addresses(front: Front, method: str, *, of_pages: bool = False) -> Iterator[Rule]:
    for rule in front.app.url_map.iter_rules():
        is_page = not rule.rule.startswith(API) and rule.endpoint != "static"
        if is_page == of_pages and method in (rule.methods or ()) and rule.arguments:
            yield rule


def ids_of_everything(engine: Engine, front: Front) -> dict[str, list[str]]:
    """One or two ids of each kind of row, by room."""
    made: dict[str, list[str]] = {}
    with front.session() as session:
        for mapper in Base.registry.mappers:
            model = mapper.class_
            if model.__module__.startswith("referrals.") and issubclass(model, Identified):
                room = model.__module__.split(".")[1]
                made.setdefault(room, []).extend(str(one) for one in rows_of(session, model, 1))
    assert engine is not None
    return made


def _everywhere(rule: Rule, front: Front, target: str) -> str:
    """The address with one id in every place."""
    values = dict.fromkeys(rule.arguments, target)
    return str(
        front.app.url_map.bind("127.0.0.1").build(rule.endpoint, values, method=next(iter(rule.methods or {"GET"})))
    )


class Which(Enum):
    """Who is asking."""

    AGENCY = Side.AGENCY
    COMMUNITY = Side.COMMUNITY


@pytest.mark.timeout(300)
@pytest.mark.parametrize("which", list(Which))
def test_s203_every_address_answers_a_stranger_as_if_there_were_nothing(front: Front, which: Which) -> None:
    a_stranger(front, which.value, "some.stranger")
    caller = front.sign_in("some.stranger")
    known = ids_of_everything(front.engine, front)
    always = [*known["person"][:1], *known["organization"][:2]]
    nobody = str(uuid4())
    wrong = []
    for rule in addresses(front, "GET"):
        if rule.endpoint in EVERYBODY_READS:
            continue
        room = rule.endpoint.partition(".")[0].removesuffix("_api")
        nothing = told(_ask(caller, "GET", _everywhere(rule, front, nobody)))
        for target in dict.fromkeys([*known.get(room, []), *always]):
            since = front.last_event()
            answer = told(_ask(caller, "GET", _everywhere(rule, front, target)))
            if answer != nothing or answer[0] not in NOTHING:
                wrong.append(f"GET {rule.rule} ({rule.endpoint}) with {target}: {answer[0]} against {nothing[0]}")
            elif room in {"person", "consent", "release", "fit", "referral", "handoff", "worklist"}:
                refusals = [event for event in front.events(since) if event["outcome"] == "refused"]
                if len(refusals) != 1:
                    wrong.append(f"GET {rule.rule}: {len(refusals)} refusals on record")
    assert wrong == [], f"{wrong}: start from visible_to(actor), and read by look_at() what is about a participant."


@pytest.mark.timeout(300)
@pytest.mark.parametrize("which", list(Which))
def test_s203_every_act_by_its_address_answers_a_stranger_as_if_there_were_nothing(front: Front, which: Which) -> None:
    a_stranger(front, which.value, "some.stranger")
    caller = front.sign_in("some.stranger")
    nobody = str(uuid4())
    known = ids_of_everything(front.engine, front)
    by_name = {what.name: what for what in COMMANDS.values()}
    wrong, asked = [], 0
    for rule in addresses(front, "POST"):
        what = by_name.get(rule.endpoint.partition(".")[2])
        if what is None or what.on.__name__ in EVERYBODY_SEES:
            continue
        body, headers = words(what.takes), {"If-Match": '"1"'}
        room = what.on.__module__.split(".")[1]
        nothing = told(_ask(caller, "POST", _everywhere(rule, front, nobody), body, headers))
        for target in known[room]:
            asked += 1
            answer = told(_ask(caller, "POST", _everywhere(rule, front, target), body, headers))
            if answer != nothing or answer[0] != 404:
                wrong.append(f"POST {rule.rule}: {answer[:2]} against {nothing[:2]}")
    assert wrong == [], f"{wrong}: let `within` select only what the actor may know of (S-203)."
    assert asked > 50


@pytest.mark.timeout(300)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("which", list(Which))
def test_s203_every_page_and_every_form_answers_a_stranger_as_if_there_were_nothing(
    front: Front, which: Which, method: str
) -> None:
    """A form is sent empty: that something is wrong with it must not show that there is something."""
    a_stranger(front, which.value, "some.stranger")
    caller = front.sign_in("some.stranger")
    known = ids_of_everything(front.engine, front)
    always = [*known["person"][:1], *known["organization"][:2]]
    nobody = str(uuid4())
    wrong, asked = [], 0
    for rule in addresses(front, method, of_pages=True):
        if f"{rule.endpoint.replace('.', '_api.', 1)}" in EVERYBODY_READS:
            continue
        nothing = _shown(caller, method, _everywhere(rule, front, nobody))
        for target in dict.fromkeys([*known.get(rule.endpoint.partition(".")[0], []), *always]):
            asked += 1
            answer = _shown(caller, method, _everywhere(rule, front, target))
            # What is missing in a form may be said first: to everybody alike, whatever the id.
            if answer != nothing or answer[0] not in (NOTHING if method == "GET" else NOTHING | {422}):
                wrong.append(f"{method} {rule.rule} ({rule.endpoint}) with {target}: {answer[0]} against {nothing[0]}")
    assert wrong == [], "\n".join(wrong)
    assert asked > 50


def _shown(caller: Caller, method: str, path: str) -> tuple[int, str, set[str]]:
    """A page without what differs between any two requests: numbers, tokens, the time of printing."""
    token = {"X-CSRFToken": caller.token, "Accept": "text/html"}
    where = {"REMOTE_ADDR": caller.address}
    answer = caller.http.open(path, method=method, base_url=ORIGIN, headers=token, environ_base=where)
    assert answer.status_code < 500, f"{method} {path}: {answer.status_code}"
    status, body, headers = told(answer)
    body = re.sub(r'(name="(?:csrf_token|idempotency_key)" value=)"[^"]*"', r"\1", body)
    return status, re.sub(r"<time[^>]*>[^<]*</time>", "", body), headers


def _ask(
    caller: Caller, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> TestResponse:
    sent = {"json": body} if body is not None else {}
    return caller.ask(method, path, headers=headers or {}, **sent)
