"""The description of the JSON door: valid, complete, and true when a machine tries it."""

from __future__ import annotations

import itertools
import json
from typing import Any, Final

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import select

from referrals.kernel.actor import TokenScope
from referrals.kernel.door import OPERATIONS
from referrals.kernel.openapi import document, install_openapi
from referrals.kernel.orm import Base, Identified
from referrals.kernel.web import API
from tests.journeys.conftest import Caller, Front, app, clock, demo_template, demo_url, front  # noqa: F401  # fixtures
from tools import generate

CHECKS: Final = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)

generate.join_rooms()


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    return document()


def operations(spec: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, verb, one) for path, verbs in spec["paths"].items() for verb, one in verbs.items()]


def resolved(spec: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


# --- the document -----------------------------------------------------------------------------------------------------


def test_a_validator_accepts_the_document(spec: dict[str, Any]) -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(spec).iter_errors()] == []
    for name, schema in spec["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert schema.get("type") == "object", name
    assert json.loads(json.dumps(spec)) == spec


def test_every_registered_operation_is_described_once_and_nothing_else(spec: dict[str, Any]) -> None:
    described = [(verb.upper(), path) for path, verb, _ in operations(spec)]
    assert len(described) == len(OPERATIONS)
    ids = [one["operationId"] for _, _, one in operations(spec)]
    assert len(set(ids)) == len(ids)
    assert all(one["summary"] and one["tags"] for _, _, one in operations(spec))


def test_a_body_takes_what_its_command_takes_and_nothing_more(spec: dict[str, Any]) -> None:
    by_id = {one["operationId"]: one for _, _, one in operations(spec)}
    for operation in OPERATIONS:
        if operation.method != "POST" or operation.takes is None:
            continue
        described = by_id[operation.operation_id]
        body = resolved(spec, described["requestBody"]["content"]["application/json"]["schema"])
        known = operation.takes().fields
        assert set(body.get("properties", {})) == {field.data_key or name for name, field in known.items()}
        assert body["additionalProperties"] is False
        assert set(body.get("required", [])) == {name for name, field in known.items() if field.required}
        assert described["requestBody"]["required"] is any(field.required for field in known.values())


def test_an_edit_needs_if_match_and_a_creation_takes_an_idempotency_key(spec: dict[str, Any]) -> None:
    by_id = {one["operationId"]: one for _, _, one in operations(spec)}
    edits = creations = 0
    for operation in OPERATIONS:
        described = by_id[operation.operation_id]
        headers = {one["name"]: one["required"] for one in described["parameters"] if one["in"] == "header"}
        if operation.command is not None and operation.command.edits:
            edits += 1
            assert headers["If-Match"] is True
            assert {"412", "428"} <= set(described["responses"])
        if operation.creates:
            creations += 1
            assert "201" in described["responses"]
            assert "Location" in described["responses"]["201"]["headers"]
    assert edits > 3
    assert creations > 3


#: What whoever is not signed in may call: to sign in, here or where their organization does.
OPEN_TO_ALL: Final = {f"{API}/sign-ins{rest}" for rest in ("", "/organization", "/organization/answer")}


def test_every_refusal_is_a_problem_and_every_call_says_who_may_make_it(spec: dict[str, Any]) -> None:
    for path, verb, one in operations(spec):
        for status, answer in one["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"], f"{verb} {path} {status}"
        assert {"401", "404", "422", "503"} <= set(one["responses"])
        if path not in OPEN_TO_ALL:
            assert one["security"], f"{verb} {path} is open"
            assert ("csrf" in one["security"][0]) == (verb == "post")


def test_s808_the_bearer_scheme_is_declared_and_each_call_names_the_scope_it_needs(spec: dict[str, Any]) -> None:
    scheme = spec["components"]["securitySchemes"]["token"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    named = {one["operationId"]: one["security"] for _, _, one in operations(spec)}
    assert named["referral_send_referral"] == [{"cookie": [], "csrf": []}, {"token": ["referrals:write"]}]
    assert named["person_participants"] == [{"cookie": []}, {"token": ["participants:read"]}]
    assert named["person_search_participants"][1] == {"token": ["participants:read"]}
    assert named["consent_give_consent"] == [{"cookie": [], "csrf": []}]
    assert named["staff_people"] == [{"cookie": []}]
    by_token = [ways[1]["token"] for ways in named.values() if len(ways) > 1]
    assert {scope for scopes in by_token for scope in scopes} == {scope.value for scope in TokenScope}


def test_c14_what_a_consent_may_withhold_is_described_so_and_ids_are_not(spec: dict[str, Any]) -> None:
    person = spec["components"]["schemas"]["PersonParticipant"]["properties"]
    assert {"$ref": "#/components/schemas/NotShared"} in person["given_name"]["oneOf"]
    assert "oneOf" not in person["id"]
    name = resolved(spec, spec["components"]["schemas"]["Organization"])["properties"]["name"]
    assert "oneOf" not in name


def test_a_list_comes_in_pages(spec: dict[str, Any]) -> None:
    for operation in (one for one in OPERATIONS if one.many):
        answer = spec["paths"][operation.rule.replace("<uuid:", "{").replace(">", "}")][operation.method.lower()]
        schema = answer["responses"]["200"]["content"]["application/json"]["schema"]
        assert schema["required"] == ["items", "next"]
        assert schema["properties"]["items"]["items"]["$ref"].startswith("#/components/schemas/")


def test_patterns_are_those_of_json_schema(spec: dict[str, Any]) -> None:
    assert "\\\\Z" not in json.dumps(spec)
    assert "\\\\A" not in json.dumps(spec)


def test_a_small_house_is_described_by_itself(small_house: Any) -> None:
    made = document(small_house.operations)
    assert set(made["paths"]) == {
        f"{API}/parcels",
        f"{API}/parcels/{{target}}",
        f"{API}/depots/{{target}}/parcels",
        f"{API}/parcels/{{target}}/name",
        f"{API}/parcels/{{target}}/stamp",
    }
    assert [one["name"] for one in made["paths"][f"{API}/parcels"]["get"]["parameters"]] == ["q", "size"]
    assert [error.message for error in OpenAPIV31SpecValidator(made).iter_errors()] == []


# --- the pages --------------------------------------------------------------------------------------------------------


@pytest.fixture
def described(small_house: Any, visitor: Any) -> Any:
    install_openapi(small_house.app)
    return visitor


def test_the_document_and_its_pages_are_open_and_need_no_other_host(described: Any, small_house: Any) -> None:
    stranger = type(described)(small_house)
    for browser in (stranger, described):
        told = browser.get(f"{API}/openapi.json")
        assert (told.status_code, told.mimetype, told.json["openapi"]) == (200, "application/json", "3.1.0")
        docs = browser.get("/api/docs")
        assert docs.status_code == 200
        assert "img-src 'self' data:" in docs.headers["Content-Security-Policy"]
        page = docs.get_data(as_text=True)
        assert 'data-openapi-url="/api/v1/openapi.json"' in page
        assert "http://" not in page.replace("http://www.w3.org", "")
        reference = browser.get("/api/reference")
        assert reference.status_code == 200
        assert "data:" not in reference.headers["Content-Security-Policy"]


def test_the_reference_shows_every_operation_without_script(described: Any, spec: dict[str, Any]) -> None:
    page = described.get("/api/reference").get_data(as_text=True)
    for path, verb, one in operations(spec):
        assert f"{verb.upper()} {path}" in page
        assert one["summary"].split("'")[0].split('"')[0] in page
    for name in spec["components"]["schemas"]:
        assert f'id="schema-{name}"' in page


# --- the description held against the door ----------------------------------------------------------------------------


#: Calls that would end the sign-in by which the others are made.
ENDING: Final = frozenset(
    f"{API}{path}"
    for path in (
        "/sign-ins",
        "/sign-ins/current/end",
        "/sign-ins/current/second-step",
        "/sign-ins/current/password",
        "/sign-ins/current/authenticator",
        "/account/recovery-codes",
        "/account/authenticator",
        "/account/sign-ins/{target}/end",
    )
)


class Signed:
    """The application with somebody's cookie and token on every request: what schemathesis speaks to."""

    def __init__(self, served: Flask, caller: Caller) -> None:
        """Take over the caller's cookie."""
        cookie = caller.http.get_cookie("__Host-sid", domain="127.0.0.1")
        assert cookie is not None
        self.served, self.sent = served, {"HTTP_COOKIE": f"__Host-sid={cookie.value}", "HTTP_X_CSRFTOKEN": caller.token}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Serve a request as if that browser had sent it."""
        https = {"HTTP_HOST": "127.0.0.1", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "443", "wsgi.url_scheme": "https"}
        environ.update({**self.sent, **https})
        return self.served.wsgi_app(environ, start_response)


def known_ids(there: Front) -> dict[str, list[str]]:
    """Ids of a few rows of each kind, by room: made-up ids alone would meet 404 only."""
    made: dict[str, list[str]] = {}
    with there.session() as session:
        for mapper in Base.registry.mappers:
            model = mapper.class_
            if model.__module__.startswith("referrals.") and issubclass(model, Identified):
                found = session.scalars(select(model.id).order_by(model.id.desc()).limit(2))
                made.setdefault(model.__module__.split(".")[1], []).extend(str(one) for one in found)
        session.rollback()
    return made


def tried(there: Front, name: str, examples: int) -> tuple[int, set[int]]:
    """Let schemathesis try every operation as one person; return how many calls that took, and their statuses."""
    signed = Signed(there.app, there.sign_in(name))
    schema = schemathesis.openapi.from_wsgi(f"{API}/openapi.json", app=signed)
    everywhere = known_ids(there)
    calls, statuses = itertools.count(), set[int]()
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path in ENDING:
            continue
        here = everywhere.get(operation.definition.raw["tags"][0], []) + everywhere["person"][:1]

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(), row=st.sampled_from([*here, ""]))
        def attempt(case: Any, row: str) -> None:
            if row and case.path_parameters:
                case.path_parameters = dict.fromkeys(case.path_parameters, row)
            next(calls)
            answer = case.call()
            statuses.add(answer.status_code)
            case.validate_response(answer, checks=list(CHECKS))

        attempt()
    return next(calls), statuses


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["maria", "dana"])
def test_a_machine_that_goes_by_the_description_meets_no_surprise(front: Front, name: str) -> None:  # noqa: F811
    calls, statuses = tried(front, name, examples=6)
    assert calls > 200
    assert {200, 404, 422} <= statuses


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["maria", "dana", "walsh", "rosa", "lee", "noor"])
def test_a_machine_that_goes_by_the_description_meets_no_surprise_at_length(front: Front, name: str) -> None:  # noqa: F811
    calls, _ = tried(front, name, examples=40)
    assert calls > 2500


def test_what_account_doors_answer_is_described(front: Front, spec: dict[str, Any]) -> None:  # noqa: F811
    """These operations are not made by `Doors.act`, which knows by itself what is made anew."""
    caller = front.sign_in("lee")
    words = {"display_name": "Nico Vale", "sign_in_name": "nico.vale", "roles": ["auditor"]}
    for path, told in (("/organization/people", words), ("/account/authenticator", {"code": front.code("lee")})):
        answer = caller.post(path, told)
        described = spec["paths"][f"{API}{path}"]["post"]["responses"]
        assert answer.status_code < 300, f"{path}: {answer.text}"
        assert str(answer.status_code) in described, path
        assert ("Location" in answer.headers) == ("Location" in described[str(answer.status_code)].get("headers", {}))


@pytest.mark.parametrize("name", ["maria", "rosa", "lee", "noor"])
def test_lists_are_told_as_described(front: Front, spec: dict[str, Any], name: str) -> None:  # noqa: F811
    """Every list that the demonstration's people can read, against its schema."""
    caller = front.sign_in(name)
    checked = 0
    for operation in (one for one in OPERATIONS if one.method == "GET" and "<" not in one.rule):
        answer = caller.get(operation.rule)
        if answer.status_code != 200:
            continue
        described = spec["paths"][operation.rule]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        validator = Draft202012Validator({**described, "components": spec["components"]})
        faults = [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(answer.json)]
        assert faults == [], f"{operation.rule}: correct {operation.shape}"
        checked += 1
    assert checked > 2
