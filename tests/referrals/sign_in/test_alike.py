"""S-102 counted: whatever refuses a sign-in, the same statements are run, as many hashes, and the same is answered.

Times are not measured here: what takes time is counted instead, on both databases.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from bench.statements import counting
from referrals.account import models, queries
from referrals.factor import commands as factors
from referrals.kernel.actor import Role, Source, system
from referrals.kernel.command import execute
from referrals.kernel.providers import FileProvider
from referrals.kernel.session import HouseSession
from referrals.kernel.web import db
from referrals.sign_in import models as sign_in_models
from referrals.staff import commands as staff
from tests.factories import account as people
from tests.factories.browser import an_app
from tests.referrals.account.conftest import Moment

WRONG = "wrong wrong wrong"
HOST = "https://127.0.0.1"
#: Drawn anew for each answer: tokens, ids.
DRAWN = re.compile(r'(?<=value=")[^"]{30,}(?=")|(?<="request_id":")[^"]+(?=")|(?<="request_id": ")[^"]+(?=")')


@dataclass(frozen=True)
class Told:
    """What one refused sign-in cost, and what it answered."""

    statements: tuple[str, ...]
    verified: int
    hashed: int
    status: int
    length: int
    text: str
    headers: tuple[str, ...]


@pytest.fixture
def app(engine: Engine, provider: FileProvider, house: Session) -> Flask:
    """The whole application on this test's database."""
    url = engine.url.render_as_string(hide_password=False)
    return an_app(url, provider, cast("HouseSession", house))


@pytest.fixture
def ask(app: Flask) -> Callable[[str, str, str], Told]:
    """Try to sign in at one of the doors, as somebody who has no cookie."""

    def asking(door: str, name: str, password: str) -> Told:
        client = app.test_client(use_cookies=False)
        words: dict[str, Any] = {"name": name, "password": password}
        before = models.passwords.verified, models.passwords.hashed
        with app.app_context():
            bind = db.engine
        with counting(bind) as heard:
            if door == "page":
                answer = client.post("/sign-in", data=words | {"acknowledged": "true"}, base_url=HOST)
            else:
                answer = client.post("/api/v1/sign-ins", json=words | {"acknowledged": True}, base_url=HOST)
        told = answer.get_data(as_text=True)
        return Told(
            tuple(heard),
            models.passwords.verified - before[0],
            models.passwords.hashed - before[1],
            answer.status_code,
            len(answer.get_data()),
            DRAWN.sub("DRAWN", told.replace(name, "NAME")),
            tuple(sorted(answer.headers.keys())),
        )

    return asking


def somebody(house: Session, agency: UUID, name: str) -> str:
    """Somebody who has been through their first day; every name here is as long as the others."""
    user = people.a_user(house, agency, Role.CASE_MANAGER, sign_in_name=name)
    factors.first_sign_in(house, name, cast("str", user.shown_code), people.PASSWORD, Source("page"))
    return name


def refuse(house: Session, name: str, times: int) -> None:
    for _ in range(times):
        with pytest.raises(sign_in_models.SignInRefusedError):
            people.try_sign_in(house, name, WRONG)


@pytest.mark.parametrize("door", ["page", "api"])
def test_s102_every_refused_sign_in_runs_the_same_statements_and_answers_the_same(
    ask: Callable[[str, str, str], Told], house: Session, agency: UUID, now: Moment, door: str
) -> None:
    wrong, locked, gone = (somebody(house, agency, name) for name in ("casey.wrong", "lou.locked1", "gil.gone.11"))
    used = people.a_user(house, agency, Role.CASE_MANAGER, sign_in_name="una.used.11")
    reset = somebody(house, agency, "rae.reset11")
    past = people.a_user(house, agency, Role.CASE_MANAGER, sign_in_name="pat.past.11")
    refuse(house, locked, 5)
    user_id = cast("models.User", queries.by_name(house, gone)).id
    execute(house, staff.disable_user, actor=system("cli"), target=user_id, data={"because": "left"})
    people.try_sign_in(house, "una.used.11", cast("str", used.shown_code))
    now.ahead += timedelta(days=1)
    user_id = cast("models.User", queries.by_name(house, reset)).id
    execute(house, staff.reset_password, actor=system("cli"), target=user_id, data={})
    house.rollback()
    ask(door, "warm.up.111", WRONG)  # keys and settings are read once, whoever is first
    tried = {
        "unknown": ask(door, "no.body.111", people.PASSWORD),
        "wrong": ask(door, wrong, WRONG),
        "locked, right": ask(door, locked, people.PASSWORD),
        "locked, wrong": ask(door, locked, WRONG),
        "disabled, right": ask(door, gone, people.PASSWORD),
        "disabled, wrong": ask(door, gone, WRONG),
        "first code, wrong": ask(door, "pat.past.11", "ABCD-EFGH-JKMN-PQRS"),
        "first code, too old": ask(door, "pat.past.11", cast("str", past.shown_code)),
        "first code, used": ask(door, "una.used.11", cast("str", used.shown_code)),
        "reset, the old password": ask(door, reset, people.PASSWORD),
        "reset, a wrong code": ask(door, reset, "ABCD-EFGH-JKMN-PQRS"),
        "unknown again": ask(door, "no.body.222", WRONG),
    }
    expected = tried["unknown"]
    assert (expected.status, expected.verified, expected.hashed) == (401, 1, 0)
    assert expected.statements
    for what, told in tried.items():
        assert len(told.statements) == len(expected.statements), (what, told.statements)
        assert told == expected, what


@pytest.mark.parametrize("door", ["page", "api"])
def test_s102_the_fifth_wrong_one_answers_the_same_and_its_further_statements_are_held_here(
    ask: Callable[[str, str, str], Told], house: Session, agency: UUID, door: str
) -> None:
    """What locks an account is on record with it; nothing stands in for that where there is no account."""
    name = somebody(house, agency, "flo.fifth11")
    house.rollback()
    ask(door, "warm.up.111", WRONG)
    tried = [(ask(door, name, WRONG), ask(door, "no.body.111", WRONG)) for _ in range(6)]
    for known, unknown in tried:
        assert replace(known, statements=()) == replace(unknown, statements=())
    further = [len(known.statements) - len(unknown.statements) for known, unknown in tried]
    assert further == [0, 0, 0, 0, 2, 0]
