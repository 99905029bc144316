"""Both doors to the lists: filters, order, pages, and a team's work."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from difflib import unified_diff
from html import unescape
from typing import Any

import pytest

from referrals.handoff import commands as h
from referrals.program.models import IntakeMember, Program
from referrals.referral import commands as c
from tests.factories.referral import LONG_AGO, World, planting

Open = Callable[[str], Any]


def test_lists_are_paged_by_key(world: World, browser: Open) -> None:
    made = []
    for _round in range(3):
        referral_id = world.sent()
        world.act(c.acknowledge_referral, world.navigator, referral_id)
        world.act(c.cancel_referral, world.case_manager, referral_id, reason="duplicate")
        made.append(str(referral_id))
    ana = browser("navigator")
    first = ana.read("/referrals?group=us&limit=2").get_json()
    second = ana.read(f"/referrals?group=us&limit=2&after={first['next']}").get_json()
    assert [one["id"] for one in first["items"] + second["items"]] == made
    assert second["next"] is None


def test_the_list_says_what_it_is_narrowed_to_and_how_to_see_all(world: World, browser: Open) -> None:
    world.sent(urgency="soon")
    lee = browser("case_manager")
    narrowed = f"/referrals?group=them&status=sent&urgency=soon&program_id={world.program_id}&sort=due"
    page = lee.page(narrowed)
    assert '<p role="status">1 referral</p>' in page
    assert "<title>Referrals: waiting on them (1)" in page
    for chip, left in (
        ("Sent", f"group=them&amp;urgency=soon&amp;program_id={world.program_id}&amp;sort=due"),
        ("Soon", f"group=them&amp;status=sent&amp;program_id={world.program_id}&amp;sort=due"),
        ("Bridge Housing", "group=them&amp;status=sent&amp;urgency=soon&amp;sort=due"),
    ):
        assert re.search(rf'href="/referrals\?{re.escape(left)}"><span[^>]*>Remove filter: </span>{chip} ', page), chip
    assert re.search(r'href="/referrals\?group=them&amp;sort=due">Clear all', page)
    assert re.search(r'aria-sort="ascending"><a href="[^"]*sort=due">Due', page)
    latest = lee.page("/referrals?group=them&sort=latest")
    assert re.search(r'aria-sort="descending"><a href="[^"]*sort=sent">Sent', latest)
    assert latest.count("aria-sort") == 1


def test_an_empty_list_says_why_it_is_empty(browser: Open) -> None:
    lee = browser("case_manager")
    assert "Nothing waits on you." in lee.page("/referrals")
    assert "There are no referrals in this list." in lee.page("/referrals?group=closed")
    assert "Clear filters" in lee.page("/referrals?overdue=yes")
    kim = browser("agency_administrator").page("/referrals")
    assert "Referrals are for people who work with participants." in kim
    assert "Ask your organization" in kim


@pytest.mark.parametrize(
    "wrong",
    ["sort=name", "urgency=always", "overdue=perhaps", "program_id=7", "after=x", "after=20261301T0000~", "x=1"],
)
def test_a_list_refuses_what_it_does_not_know(browser: Open, wrong: str) -> None:
    assert browser("case_manager").read(f"/referrals?{wrong}").status_code == 422


def test_pages_of_a_list_follow_one_another_in_its_order(world: World, browser: Open) -> None:
    for number in range(3):
        with planting(world.session):
            offer = Program(organization_id=world.cbo_id, name=f"No. {number}", added_at=LONG_AGO)
            offer.categories, offer.capacity_code = ["housing"], "capacity"
            world.session.add(offer)
        world.act(c.send_referral, world.case_manager, world.draft(program_id=offer.id))
    lee = browser("case_manager")
    for sort in ("due", "sent", "latest"):
        path, told = f"/referrals?group=them&sort={sort}&limit=1", []
        while path:
            page = lee.page(path)
            told += re.findall(r'<a href="/referrals/([0-9a-f-]{36})"', page)
            following = re.search(r'href="([^"]*)" rel="next"', page)
            path = unescape(following[1]) if following else ""
        answer = lee.read(f"/referrals?group=them&sort={sort}").get_json()
        assert told == [card["id"] for card in answer["items"]]
        assert (len(told), answer["next"]) == (3, None)


NARROWED = (
    *("", "sort=due", "sort=latest", "overdue=yes", "urgency=soon", "limit=1"),
    *(f"status={one}" for one in ("sent", "acknowledged", "info_requested", "accepted", "declined")),
)


def test_no_list_tells_which_answer_is_withheld(world: World, browser: Open) -> None:
    """Referrals that differ only in an answer that does not come back: byte for byte the same, however narrowed."""
    world.session.info["clock"] = lambda: datetime(2026, 3, 2, 17, tzinfo=UTC)
    question = {"topic": "needs", "question": "Which floor?"}
    waits: tuple[str, Any, dict[str, Any]] = (
        *("navigator", c.waitlist_referral),
        {"caseworker_id": str(world.navigator.me), "position": 2},
    )
    declines = ("navigator", c.decline_referral, {"reason": "no_capacity"})
    closes = ("case_manager", c.close_loop, {"answer": "agreed"})
    answers: list[list[tuple[str, Any, dict[str, Any]]]] = [
        [("navigator", c.acknowledge_referral, {})],
        [("navigator", c.ask_question, question)],
        [waits],
        [declines],
        # That these are closed, their reader's own side said.
        [declines, closes],
        [waits, ("navigator", h.end_referral, {"reason": "capacity_lost"}), closes],
    ]
    closed = set()
    made = {}
    for acts in answers:
        with planting(world.session):
            offer = Program(organization_id=world.cbo_id, name="Of one name", added_at=LONG_AGO)
            offer.categories, offer.capacity_code = ["housing"], "capacity"
            world.session.add(offer)
            world.session.add(IntakeMember(program_id=offer.id, user_id=world.navigator.me, added_at=LONG_AGO))
        made[offer.id] = world.draft(program_id=offer.id)
        world.act(c.send_referral, world.case_manager, made[offer.id])
        for who, what, words in acts:
            world.act(what, world.people[who], made[offer.id], **words)
        closed |= {offer.id} if closes in acts else set()
    world.withdraw_consent(world.return_consent_id)
    del world.session.info["clock"]
    references = {one: world.row(referral_id).reference for one, referral_id in made.items()}
    lee = browser("case_manager")
    for narrowed in NARROWED:
        for group in ("us", "them", "closed"):
            for read in (lee.page, lambda path: lee.read(path).get_data(as_text=True)):
                told: dict[bool, set[str]] = {False: set(), True: set()}
                for program_id, referral_id in made.items():
                    body = read(f"/referrals?group={group}&program_id={program_id}&{narrowed}")
                    for own in (str(program_id), str(referral_id), references[program_id]):
                        body = body.replace(own, "")
                    told[program_id in closed].add(
                        re.sub(
                            r'(?s)<option[^>]*>|"csrf_token" value="[^"]*"|<div class="tg-print">.*?</div>', "", body
                        )
                    )
                for one, *others in told.values():
                    assert not others, (narrowed, list(unified_diff(one.splitlines(), others[0].splitlines(), n=0)))


def test_a_supervisor_reads_their_teams_work_and_goes_on_to_each_list(world: World, browser: Open) -> None:
    world.accepted()
    dee = browser("cbo_supervisor")
    assert 'href="/team"' in dee.page("/home")
    assert 'href="/team"' in dee.page("/referrals")
    page = dee.page("/team")
    address = f"/referrals?group=us&amp;sort=due&amp;colleague_id={world.navigator.me}"
    assert address in page
    assert "Bridge Housing" in dee.page(address.replace("&amp;", "&"))
    told = {one["name"]: one for one in dee.read("/team").get_json()["items"]}
    assert (told["Ana Díaz"]["us"], told["Ana Díaz"]["is_here"], told["Bo Ramsey"]["us"]) == (1, True, 0)
    for who in ("navigator", "case_manager", "agency_administrator"):
        assert browser(who).get("/team").status_code == 403
        assert browser(who).read("/team").status_code == 403
        assert 'href="/team"' not in browser(who).page("/home")
    assert browser("agency_supervisor").read("/team").get_json()["items"][0]["name"] == "Lee Okafor"


def test_a_list_of_referrals_leads_to_its_saved_views_and_to_saving_one(world: World, browser: Open) -> None:
    world.sent()
    ana = browser("navigator")
    assert "Save this view" not in ana.page("/referrals?group=us")
    page = ana.page("/referrals?group=us&status=sent")
    assert "/account/views/new?listing=referrals&amp;query=group%3Dus%26status%3Dsent" in page
    assert 'href="/account/views"' in page
