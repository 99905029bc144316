"""Sign-ins on a computer that several people use: shorter limits, held on the server (S-109)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import cast
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from referrals.account import queries
from referrals.kernel.actor import Role, Source, nobody
from referrals.kernel.command import execute
from referrals.organization.queries import installation
from referrals.sign_in import commands as sign_ins
from referrals.sign_in import queries as q
from referrals.sign_in.models import Limits
from tests.factories import account as people
from tests.referrals.account.conftest import Browser, Moment, opens


def at_a_kiosk(house: Session, member: people.Member) -> str:
    """The token of a complete sign-in on a shared computer."""
    words = {"name": member.sign_in_name, "password": member.password, "acknowledged": True, "shared": True}
    target = installation(house).id
    began = execute(house, sign_ins.sign_in, actor=nobody(Source("page")), target=target, data=words)
    user = queries.user(house, member.user_id)
    actor = q.actor_for(user, began, Source("page"), step=queries.SECOND_FACTOR)
    data = {"code": member.recovery_codes.pop()}
    return cast("str", execute(house, sign_ins.confirm_second_factor, actor=actor, target=began.id, data=data).token)


def used(house: Session, token: str, now: Moment) -> None:
    held = q.holder(house, token, Source("page"))
    assert held is not None
    house.rollback()
    sign_ins.keep_alive(house, cast("UUID", held.actor.sign_in_id), now())


@pytest.mark.usefixtures("engine")
def test_s109_on_a_shared_computer_a_sign_in_ends_after_five_idle_minutes(
    house: Session, agency: UUID, now: Moment
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    shared, own = at_a_kiosk(house, casey), cast("str", people.sign_in_fully(house, casey).token)
    now.pass_by(minutes=4, seconds=50)
    assert opens(house, shared)
    now.pass_by(seconds=11)
    assert not opens(house, shared)
    assert opens(house, own)


@pytest.mark.usefixtures("engine")
def test_s109_on_a_shared_computer_use_keeps_it_for_no_longer_than_half_an_hour(
    house: Session, agency: UUID, now: Moment
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    shared = at_a_kiosk(house, casey)
    for _ in range(7):
        now.pass_by(minutes=4)
        used(house, shared, now)
    assert opens(house, shared)
    now.pass_by(minutes=2, seconds=1)
    assert not opens(house, shared)


def test_s109_limits_on_a_shared_computer_are_never_longer_than_the_others(house: Session, agency: UUID) -> None:
    tight = Limits(idle=timedelta(seconds=5), whole=timedelta(seconds=8))
    assert tight.on(shared=True) == tight
    assert tight.on(shared=None) == tight
    assert Limits().on(shared=True).idle == timedelta(minutes=5)
    assert Limits().on(shared=True).whole == timedelta(minutes=30)
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    at_a_kiosk(house, casey)
    shown = q.where_signed_in(house, casey.actor(house))
    assert [(one.shared, one.ends_at - one.used_at) for one in shown] == [
        (True, timedelta(minutes=5)),
        (False, timedelta(minutes=15)),
    ]


def test_s109_a_shared_computer_is_warned_by_its_limits_and_forgets_at_the_end(
    browser: Browser, house: Session, casey: people.Member, code: Callable[[str], str], now: Moment
) -> None:
    assert 'name="shared"' in browser.get("/sign-in").text
    words = {"acknowledged": "true", "name": casey.sign_in_name, "password": casey.password}
    browser.post("/sign-in", **words, shared="true")
    browser.post("/sign-in/second-step", code=code(casey.sign_in_name))
    page = browser.get("/account/sign-ins")
    assert "Shared computer" in page.text
    assert 'data-ends-in="240" data-leave="/sign-in"' in page.text
    assert "Clear-Site-Data" not in page.headers
    now.pass_by(minutes=5, seconds=1)
    over = browser.get("/account")
    assert over.location == "/sign-in?next=/account"
    assert over.headers["Clear-Site-Data"] == '"cache", "storage"'
    api = browser.get("/api/v1/sign-ins/current")
    assert (api.status_code, api.headers["Clear-Site-Data"]) == (401, '"cache", "storage"')
    assert house is not None


def test_s109_another_computer_keeps_the_usual_limits_and_is_not_emptied_when_it_ends(
    browser: Browser, casey: people.Member, code: Callable[[str], str], now: Moment
) -> None:
    browser.post("/sign-in", acknowledged="true", name=casey.sign_in_name, password=casey.password)
    browser.post("/sign-in/second-step", code=code(casey.sign_in_name))
    page = browser.get("/account/sign-ins").text
    assert 'data-ends-in="840"' in page
    assert "data-leave" not in page
    now.pass_by(minutes=16)
    assert "Clear-Site-Data" not in browser.get("/account").headers


def test_s109_a_program_may_say_so_too(browser: Browser, casey: people.Member) -> None:
    words = {"acknowledged": True, "name": casey.sign_in_name, "password": casey.password, "shared": True}
    answer = browser.send("/api/v1/sign-ins", words)
    assert answer.status_code == 201
    assert answer.json is not None
    assert answer.json["shared"] is True
    assert answer.json["code_sheet"] is None
