"""What pages say of mail: one's choice, the tick beside a message, who is not reached; nothing where none is sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from referrals.account.models import User
from referrals.kernel.record import clock
from referrals.mail.models import Mail, Notice
from tests.factories.referral import World, planting

Browsers = Callable[[str], Any]

#: Pages only show that mail is sent: nothing is handed over before the worker runs.
SENDS = pytest.mark.parametrize("smtp_url", ["smtp://localhost:1025?from=gate@county.example"])


def give_address(world: World, who: str) -> None:
    with planting(world.session):
        world.session.get_one(User, world.people[who].me).email = f"{who}@mail.example"


@SENDS
def test_everybody_sees_and_changes_when_mail_comes(browser: Browsers, world: World) -> None:
    give_address(world, "case_manager")
    lee = browser("case_manager")
    page = lee.page("/account")
    assert re.search(r"Once a day at 8:00\sAM, and at once when it is urgent", page)
    assert 'href="/account/mail"' in page
    unchosen = lee.read("/account").get_json()
    assert (unchosen["mail_choice"], unchosen["mail_hour"]) == ("daily", 8), "as the page says it"
    form = lee.page("/account/mail")
    assert "It goes to case_manager@mail.example." in form
    assert re.search(r'value="daily" checked', form)
    assert lee.post("/account/mail", {"choice": "weekly"}).status_code == 422
    answer = lee.post("/account/mail", {"choice": "daily", "hour": "17"})
    assert (answer.status_code, answer.location) == (303, "/account")
    assert "Once a day at 5:00" in lee.page("/account")
    told = lee.call("/account/mail", {"choice": "none"}).get_json()
    assert (told["mail_choice"], told["mail_hour"]) == ("none", 17)
    assert "Never" in lee.page("/account")
    again = lee.read("/account").get_json()
    assert (again["mail_choice"], again["mail_hour"]) == ("none", 17)


@SENDS
def test_without_an_address_the_page_says_who_adds_one(browser: Browsers) -> None:
    form = browser("case_manager").page("/account/mail")
    assert "We have no e-mail address for you" in form


@SENDS
def test_a_message_may_be_ticked_in_each_composer(browser: Browsers, world: World) -> None:
    referral_id = world.sent()
    lee = browser("case_manager")
    page = lee.page(f"/referrals/{referral_id}")
    assert len(re.findall(r'<input[^>]+type="checkbox"[^>]+name="mail"', page)) == 2
    words = {"audience": "own_side", "category": "needs", "message": "Not for mail."}
    lee.post(f"/referrals/{referral_id}/messages", words)
    assert posted(world) == []
    lee.post(f"/referrals/{referral_id}/messages", words | {"audience": "both", "mail": "true"})
    assert len(posted(world)) == 2  # the navigators on the intake list
    kept = lee.post(f"/referrals/{referral_id}/messages", words | {"message": "", "mail": "true"})
    assert kept.status_code == 422
    assert re.search(r'id="mail-own_side" name="mail" value="true" checked', kept.get_data(as_text=True))


def posted(world: World) -> list[Notice]:
    world.session.rollback()
    return list(world.session.scalars(select(Notice).where(Notice.kind == "referral.message_posted")))


@SENDS
def test_an_administrator_sees_whom_mail_does_not_reach(browser: Browsers, world: World) -> None:
    kim = browser("agency_administrator")
    assert "Mail does not arrive" not in kim.page("/organization/people")
    lee = world.case_manager.me
    with planting(world.session):
        at = clock(world.session)
        world.session.add(Mail(user_id=lee, at=at, tries=1, failed_at=at, error_code="smtp_550"))
    assert kim.page("/organization/people").count("Mail does not arrive") == 1
    assert "Ask them whether the address is right." in kim.page(f"/organization/people/{lee}")


def test_where_no_mail_is_sent_no_page_speaks_of_it(browser: Browsers, world: World) -> None:
    referral_id = world.sent()
    lee, kim = browser("case_manager"), browser("agency_administrator")
    with planting(world.session):
        at = clock(world.session)
        world.session.add(Mail(user_id=world.case_manager.me, at=at, tries=1, failed_at=at, error_code="smtp_550"))
    pages = [lee.page("/account"), lee.page(f"/referrals/{referral_id}"), kim.page("/organization/people")]
    for page in pages:
        assert not re.search(r"(?<!e-)\bmail\b", page, re.IGNORECASE)
    assert lee.get("/account/mail").status_code == 404
    assert posted(world) == []
