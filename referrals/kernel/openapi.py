"""The OpenAPI 3.1 document, made from what the doors registered, and the pages that show it.

Nothing is written twice: request bodies come from the commands' schemas, answers from the shapes, statuses from what
the one path may refuse. An entry of `door.OPERATIONS` that is wrong here is wrong at the door too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias, cast

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask, current_app, make_response, render_template
from flask.typing import ResponseReturnValue
from marshmallow import Schema

from referrals.kernel.command import COMMANDS
from referrals.kernel.door import OPERATIONS, Operation, Shape
from referrals.kernel.orm import Base
from referrals.kernel.web import API, OPEN, TOKEN_SCOPES

Json: TypeAlias = dict[str, Any]

PROBLEM: Final = "application/problem+json"
#: Fields of a resource that are always told: what names the thing, and what an edit has to name.
ALWAYS_TOLD: Final = frozenset({"id", "version"})

DESCRIPTION: Final = """\
The same commands and readings as the pages, with the same rules and the same record.

A program of your organization's calls with an API token, `Authorization: Bearer tg_…`, and with no cookie. An
administrator makes it at *Integrations*, with scopes; each call says which one it needs, and writing includes reading.
A token acts in its own name with one role, and sees the participants it added or whose care team it was brought onto.

A person's program signs in with `POST /api/v1/sign-ins`, then `POST /api/v1/sign-ins/current/second-step`; calls carry
the cookie they give, and calls that change something also `csrf_token` of the answer as `X-CSRFToken`.

Every refusal is a problem (RFC 9457) with a stable `code`; an input that is wrong names each field. What a consent does
not let cross is `{"shared": false}`, whether or not anything is there. Edits of fields need `If-Match` with the ETag
that was read; creating takes an `Idempotency-Key`, so that a call may be repeated safely. Lists come in pages: pass
`next` of one page as `after` for the following one.
"""

_STATUSES: Final[Mapping[int, str]] = {
    400: "The request could not be read, has a cookie and a token, or no CSRF token of this sign-in.",
    401: "Nobody is signed in, a step of signing in is missing, or the token opens nothing.",
    403: "Your role or the token's scopes do not include this, or the request came from another site. On record.",
    404: "There is nothing here that you can see. On record where the address named something.",
    409: "A rule says no; `code` says which and `facts` what it goes by. On record.",
    412: "Somebody else changed it since it was read.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "Some words are wrong; `errors` names each field. Nothing was attempted.",
    428: "Send `If-Match`.",
    429: "Too many tries in a short time.",
    503: "It could not be put on record, so it was not done. Try again.",
}

_PARAMETER: Final = re.compile(r"<(?:(?P<kind>\w+):)?(?P<name>\w+)>")
_KINDS: Final[Mapping[str, Json]] = {
    "uuid": {"type": "string", "format": "uuid"},
    "int": {"type": "integer", "minimum": 0},
    "string": {"type": "string", "minLength": 1},
}

_PROBLEM_SCHEMA: Final[Json] = {
    "type": "object",
    "description": "Why something was refused (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "The code again, as a relative address."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong and what to do, in the reader's language."},
        "code": {"type": "string", "description": "Stable; go by this one."},
        "request_id": {"type": ["string", "null"], "description": "Names the request in the log."},
        "facts": {"type": "object", "description": "What the rule goes by: ids, instants, counts."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "code", "detail"],
                "properties": {
                    "field": {"type": "string", "description": "Path of the field; empty for the whole."},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}
_NOT_SHARED_SCHEMA: Final[Json] = {
    "type": "object",
    "description": "This value's category does not cross to you. It says nothing about whether there is one.",
    "required": ["shared"],
    "properties": {"shared": {"const": False}},
    "additionalProperties": False,
}


def document(operations: Iterable[Operation] | None = None) -> Json:
    """Return the OpenAPI 3.1 document of these operations (all that the doors registered, unless given)."""
    plugin = MarshmallowPlugin(schema_name_resolver=_named)
    spec = APISpec(
        title="Throughgate",
        version="1",
        openapi_version="3.1.0",
        plugins=[plugin],
        info={"description": DESCRIPTION, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        servers=[{"url": "/"}],
    )
    spec.components.security_scheme("cookie", {"type": "apiKey", "in": "cookie", "name": "__Host-sid"})
    spec.components.security_scheme("csrf", {"type": "apiKey", "in": "header", "name": "X-CSRFToken"})
    spec.components.security_scheme("token", {"type": "http", "scheme": "bearer", "bearerFormat": "tg_…"})
    spec.components.schema("Problem", _PROBLEM_SCHEMA)
    spec.components.schema("NotShared", _NOT_SHARED_SCHEMA)
    rooms = set()
    for one in sorted(OPERATIONS if operations is None else operations, key=lambda it: (it.rule, it.method)):
        rooms.add(one.known_as)
        path, parameters = _path(one.rule)
        described = {
            "operationId": one.operation_id,
            "tags": [one.known_as],
            "summary": one.summary,
            "parameters": [*parameters, *_queries(one, plugin), *_headers(one)],
            "responses": _responses(one),
            "security": _security(one),
        }
        if one.method == "POST":
            described["requestBody"] = _body(one)
        spec.path(path=path, operations={one.method.lower(): described})
    for room in sorted(rooms):
        spec.tag({"name": room})
    made = spec.to_dict()
    for name, schema in made["components"]["schemas"].items():
        _tidied(schema)
        if name in _shapes(plugin):
            made["components"]["schemas"][name] = _told(schema, withheld=_shapes(plugin)[name])
    return made


#: A referral by token, to be read beside the reference. The address and the ids are invented.
EXAMPLE: Final = """\
ADDRESS=https://throughgate.example.org/api/v1
umask 077    # the token in a file of yours alone, not among the arguments, which others can list
printf 'header = "Authorization: Bearer %s"\\n' "$TOKEN" > token.conf

curl --config token.conf "$ADDRESS/participants"

curl --config token.conf "$ADDRESS/participants/$PARTICIPANT/referrals" \\
  --header 'Idempotency-Key: 2026-0107' \\
  --json '{"program_id": "01939d00-0000-7000-8000-000000000001"}'

curl --config token.conf --include "$ADDRESS/referrals/$REFERRAL/draft"     # the answer's ETag names the version

curl --config token.conf "$ADDRESS/referrals/$REFERRAL/draft" \\
  --header "If-Match: $ETAG" --json '{"strengths": "Worked in the kitchen for two years."}'

curl --config token.conf "$ADDRESS/referrals/$REFERRAL/sending" --json '{}'
"""


def install_openapi(app: Flask) -> None:
    """Serve the document, Swagger UI on it, and a reference that needs no script."""
    kept: Json = {}

    def made() -> Json:
        if not kept:
            kept.update(document())
        return kept

    def openapi() -> ResponseReturnValue:
        return make_response(current_app.json.response(made()))

    def api_docs() -> ResponseReturnValue:
        return render_template(
            "kernel/api_docs.html", openapi_url=f"{API}/openapi.json", reference_url="/api/reference"
        )

    def api_reference() -> ResponseReturnValue:
        return render_template("kernel/api_reference.html", spec=made(), docs_url="/api/docs", example=EXAMPLE)

    app.add_url_rule(f"{API}/openapi.json", "openapi", openapi)
    app.add_url_rule("/api/docs", "api_docs", api_docs)
    app.add_url_rule("/api/reference", "api_reference", api_reference)


OPEN.update(
    {
        "openapi": "the description of the JSON door holds nothing about anybody",
        "api_docs": "a page around that description",
        "api_reference": "that description as a page without script",
    }
)


# --- names ------------------------------------------------------------------------------------------------------------


def _class_of(schema: Any) -> type[Schema]:
    return schema if isinstance(schema, type) else type(schema)


def _named(schema: Any) -> str:
    """Return a component's name: a command's own for its words, room and thing for the rest."""
    kind = _class_of(schema)
    room = _room_of(kind).title().replace("_", "")
    stem = kind.__name__.removesuffix("Shape")
    if stem in {type(one.takes).__name__ for one in COMMANDS.values()}:
        return stem
    return stem if stem.startswith(room) else f"{room}{stem}"


def _room_of(kind: type) -> str:
    parts = kind.__module__.split(".")
    return parts[1] if parts[0] == "referrals" and len(parts) > 1 else parts[-1]


def _path(rule: str) -> tuple[str, list[Json]]:
    parameters = [
        {"in": "path", "name": found["name"], "required": True, "schema": dict(_KINDS[found["kind"] or "string"])}
        for found in _PARAMETER.finditer(rule)
    ]
    return _PARAMETER.sub(lambda found: f"{{{found['name']}}}", rule), parameters


# --- requests ---------------------------------------------------------------------------------------------------------


def _queries(one: Operation, plugin: MarshmallowPlugin) -> list[Json]:
    if one.method != "GET" or one.takes is None or plugin.converter is None:
        return []
    made = cast("list[Json]", plugin.converter.schema2parameters(one.takes, location="query"))
    for parameter in made:
        _tidied(parameter)
    return made


def _headers(one: Operation) -> list[Json]:
    made: list[Json] = []
    if one.command is not None and one.command.edits:
        made.append(
            {
                "in": "header",
                "name": "If-Match",
                "required": True,
                "description": "The ETag that was read (S-310).",
                "schema": {"type": "string", "pattern": '^"[0-9]+(-[0-9a-f]+)?"$'},
            }
        )
    if one.creates and one.endpoint not in OPEN:
        made.append(
            {
                "in": "header",
                "name": "Idempotency-Key",
                "required": False,
                "description": "Repeat the call with the same key and body, and it is done once.",
                "schema": {"type": "string", "pattern": "^[!-~]([ -~]{0,98}[!-~])?$"},
            }
        )
    if one.method == "GET" and _has_version(one):
        made.append(
            {
                "in": "header",
                "name": "If-None-Match",
                "required": False,
                "description": "An ETag that was read before: 304 if nothing changed.",
                "schema": {"type": "string", "pattern": '^"[0-9]+(-[0-9a-f]+)?"$'},
            }
        )
    return made


def _body(one: Operation) -> Json:
    takes = one.takes
    schema: Any = takes if takes is not None else {"type": "object", "additionalProperties": False}
    needed = takes is not None and any(field.required for field in takes().fields.values())
    return {"required": needed, "content": {"application/json": {"schema": schema}}}


def _security(one: Operation) -> list[dict[str, list[str]]]:
    if one.endpoint in OPEN:
        return []
    ways: list[dict[str, list[str]]] = [{"cookie": [], "csrf": []} if one.method == "POST" else {"cookie": []}]
    if one.endpoint in TOKEN_SCOPES:
        ways.append({"token": [TOKEN_SCOPES[one.endpoint].value]})
    return ways


# --- answers ----------------------------------------------------------------------------------------------------------


def _responses(one: Operation) -> Json:
    status = "201" if one.creates else "200"
    schema: Any = one.shape
    if one.many:
        schema = {
            "type": "object",
            "required": ["items", "next"],
            "properties": {
                "items": {"type": "array", "items": one.shape},
                "next": {
                    "type": ["string", "null"],
                    "description": "Pass it as `after` for the following page; null on the last one.",
                },
            },
        }
    headers: Json = {}
    if _has_version(one):
        headers["ETag"] = {"description": "For If-Match and If-None-Match.", "schema": {"type": "string"}}
    if one.creates:
        headers["Location"] = {"description": "Where the new thing is.", "schema": {"type": "string"}}
    content: Json = {"application/json": {"schema": schema}}
    if one.file is not None:
        content = {one.file: {"schema": {"type": "string"}}}
    done: Json = {"description": "Done." if one.method == "POST" else "Read.", "content": content}
    if headers:
        done["headers"] = headers
    answers: Json = {status: done}
    if one.checks:
        answers["200"] = {"description": "Checked only; nothing was made.", "content": done["content"]}
    if one.method == "GET" and _has_version(one):
        answers["304"] = {"description": "It has not changed."}
    for code in sorted(_refusals(one)):
        answers[str(code)] = {
            "description": _STATUSES[code],
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return answers


def _refusals(one: Operation) -> set[int]:
    codes = {400, 401, 403, 404, 422, 429, 503}
    if one.method == "POST":
        codes |= {409, 413, 415}
    if one.command is not None and one.command.edits:
        codes |= {412, 428}
    return codes


def _has_version(one: Operation) -> bool:
    return not one.many and one.shape is not None and "version" in one.shape().fields


def _shapes(plugin: MarshmallowPlugin) -> dict[str, bool]:
    """Return the components that are shapes, and whether a consent may withhold their fields."""
    if plugin.converter is None:
        return {}
    about = _rooms_about_participants()
    return {
        name: _room_of(key[0]) in about
        for key, name in cast("Mapping[Any, str]", plugin.converter.refs).items()
        if issubclass(key[0], Shape)
    }


def _rooms_about_participants() -> set[str]:
    """Return the rooms whose rows are about participants, and those without rows of their own, which read from them."""
    rooms: dict[str, bool] = {}
    for mapper in Base.registry.mappers:
        room = _room_of(mapper.class_)
        rooms[room] = rooms.get(room, False) or mapper.class_.__participant__ is not None
    every = {_room_of(one.shape) for one in OPERATIONS if one.shape is not None}
    return {room for room in every if rooms.get(room, True)}


def _told(schema: Json, *, withheld: bool) -> Json:
    """Say how a shape is told: every field each time, null if nothing is recorded, `NotShared` if it does not cross."""
    made: Json = {}
    for name, value in schema.get("properties", {}).items():
        made[name] = value if name in ALWAYS_TOLD else _open_to(value, withheld=withheld)
    return {**schema, "properties": made, "required": sorted(made)}


def _open_to(value: Json, *, withheld: bool) -> Json:
    kinds = value.get("type")
    if "$ref" in value:
        choices: list[Json] = [value, {"type": "null"}]
    elif kinds is None:
        return value  # anything, so null and NotShared too
    else:
        several = kinds if isinstance(kinds, list) else [kinds]
        with_null = {**value, "type": [*several, *(["null"] if "null" not in several else [])]}
        if "enum" in with_null and None not in with_null["enum"]:
            with_null["enum"] = [*with_null["enum"], None]
        choices = [with_null]
    if withheld:
        choices.append({"$ref": "#/components/schemas/NotShared"})
    # `oneOf` only where the choices exclude each other; an open object could hold `shared` too.
    apart = "$ref" not in value and "object" not in (kinds or [])
    return choices[0] if len(choices) == 1 else {"oneOf" if apart else "anyOf": choices}


def _tidied(value: Any) -> None:
    """Turn Python's regular expressions into JSON Schema's, in place: they begin at the start, and the end is `$`."""
    if isinstance(value, dict):
        pattern = value.get("pattern")
        if isinstance(pattern, str) and not pattern.startswith("^"):
            value["pattern"] = f"^(?:{pattern})".replace("\\Z", "$")
        for inner in value.values():
            _tidied(inner)
    elif isinstance(value, list):
        for inner in value:
            _tidied(inner)
