"""What is told of a referral by mail: to whom, while they may know of it, and nothing that says what (R12, R20)."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from referrals.account.models import User
from referrals.kernel.errors import RefusedError
from referrals.kernel.job import Job, run_once
from referrals.kernel.orm import CATEGORIES
from referrals.kernel.session import HouseSession
from referrals.mail.commands import GROUNDS
from referrals.mail.models import Mail, Notice
from referrals.program.models import IntakeMember
from referrals.referral import commands as c
from referrals.referral import queries as q
from tests.factories.mailed import (
    HOME,
    INTAKE,
    MONDAY,
    a_mailed_world,
    accepts,
    answers,
    asks,
    declines,
    it_is,
    mailed,
    notices,
    works,
)
from tests.factories.referral import World, planting
from tests.factories.smtp import MailServer, a_mail_server

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(180)]


@pytest.fixture
def server() -> Iterator[MailServer]:
    with a_mail_server() as made:
        yield made


@pytest.fixture
def world(session: HouseSession, server: MailServer) -> World:
    return a_mailed_world(session, server)


# --- who is told of what (R20) ----------------------------------------------------------------------------------------


def test_what_happens_is_told_to_the_other_side(world: World) -> None:
    referral_id = world.sent()
    assert mailed(world) == INTAKE
    asks(world, referral_id)
    assert mailed(world) == ["case_manager"]
    answers(world, referral_id)
    assert mailed(world) == INTAKE
    accepts(world, referral_id)
    assert mailed(world) == ["case_manager"]
    world.act(c.start_referral, world.navigator, referral_id, started_on=MONDAY, how="in_person")
    assert mailed(world) == []
    world.act(c.cancel_referral, world.case_manager, referral_id, reason="made_by_mistake")
    assert mailed(world) == ["navigator"]
    assert mailed(world) == []


def test_a_no_is_told_to_the_sender(world: World) -> None:
    referral_id = world.sent()
    mailed(world)
    declines(world, referral_id)
    assert mailed(world) == ["case_manager"]


def test_a_question_taken_back_and_a_receipt_are_not_told(world: World) -> None:
    referral_id = world.sent()
    mailed(world)
    world.act(c.acknowledge_referral, world.navigator, referral_id)
    assert mailed(world) == []
    asks(world, referral_id)
    world.act(c.answer_question, world.navigator, referral_id)
    assert mailed(world) == []  # the question was told of, and stands no more


def test_expiry_is_told_to_both_sides(world: World) -> None:
    world.sent()
    mailed(world)
    it_is(world, "2026-03-23", 17)
    c.settle_due(world.session, None, None)
    told = [one.kind for one in notices(world) if one.kind == "referral.ended"]
    assert len(told) == 4
    assert {"case_manager", *INTAKE} <= set(mailed(world))


def test_an_urgent_one_is_urgent(world: World) -> None:
    with planting(world.session):
        for actor in world.people.values():
            world.session.get_one(User, actor.me).mail_choice = None  # once a day, as for whoever has not chosen
    world.sent()
    assert mailed(world) == []
    world.withdraw_consent()
    assert mailed(world) == []
    c.settle_due(world.session, None, None)
    world.consent_again()
    world.sent(urgency="urgent", urgency_because="Nowhere to sleep.")
    assert mailed(world) == INTAKE


def test_a_refused_act_tells_nobody(world: World) -> None:
    referral_id = world.sent()
    before = len(notices(world))
    with pytest.raises(RefusedError):
        world.act(c.accept_referral, world.navigator, referral_id, caseworker_id=str(world.stranger.me))
    with pytest.raises(RefusedError):
        world.act(c.answer_question, world.case_manager, referral_id, answer="Nobody asked.")
    assert len(notices(world)) == before


def test_without_a_mail_server_nothing_is_queued(world: World) -> None:
    world.session.info["post"] = None
    referral_id = world.sent()
    asks(world, referral_id)
    it_is(world, "2026-03-20")
    run_once(world.session)
    assert notices(world) == []
    assert world.session.scalars(select(Mail)).all() == []


# --- messages ---------------------------------------------------------------------------------------------------------


def posts(world: World, who: str, referral_id: UUID, audience: str, **words: Any) -> UUID:
    said = {"audience": audience, "category": "needs", "message": "Canary of a message."} | words
    posted: UUID = world.act(c.post_message, world.people[who], referral_id, **said).id
    return posted


def test_a_message_is_told_only_if_its_author_ticks_it(world: World) -> None:
    referral_id = world.sent()
    mailed(world)
    posts(world, "case_manager", referral_id, "both")
    assert mailed(world) == []
    posts(world, "case_manager", referral_id, "both", mail=True)
    assert mailed(world) == INTAKE
    posts(world, "navigator", referral_id, "own_side", mail=True)
    assert mailed(world) == ["other_navigator", "outside_intake"]
    posts(world, "navigator", referral_id, "both", mail=True)
    assert mailed(world) == ["case_manager", "other_navigator", "outside_intake"]


def test_a_message_that_was_struck_or_crosses_no_more_is_not_told(world: World) -> None:
    referral_id = world.sent()
    mailed(world)
    struck = posts(world, "case_manager", referral_id, "both", mail=True)
    world.act(c.strike_message, world.case_manager, struck, because="A slip.")
    assert mailed(world) == []
    posts(world, "navigator", referral_id, "both", mail=True)
    world.withdraw_consent(world.return_consent_id)
    assert mailed(world) == ["other_navigator", "outside_intake"]


# --- only who may still know of it ------------------------------------------------------------------------------------


def withdrawn(world: World) -> None:
    world.withdraw_consent()


def agreement_ended(world: World) -> None:
    world.end_agreement()


def all_left(world: World) -> None:
    with planting(world.session) as work:
        for key in INTAKE:
            world.session.get_one(User, world.people[key].me).disable(at=work.now, by=None, because="A test.")


def list_emptied(world: World) -> None:
    with planting(world.session) as work:
        for one in world.session.scalars(select(IntakeMember).where(IntakeMember.ended_at.is_(None))):
            one.ended_at = work.now


def taken_back(world: World) -> None:
    referral_id = world.session.scalars(select(Notice.target_id)).first()
    assert referral_id is not None
    world.act(c.cancel_referral, world.case_manager, referral_id, reason="made_by_mistake")
    with planting(world.session) as work:
        for one in world.session.scalars(select(Notice).where(Notice.kind == "referral.ended")):
            one.dropped_at = work.now


@pytest.mark.parametrize("change", [withdrawn, agreement_ended, all_left, list_emptied, taken_back])
def test_a_sending_whose_ground_is_gone_is_told_to_nobody(world: World, change: Callable[[World], None]) -> None:
    world.sent()
    change(world)
    assert mailed(world) == []
    assert notices(world)


@pytest.mark.parametrize("change", [withdrawn, agreement_ended, all_left, list_emptied, taken_back])
def test_nor_is_one_whose_mail_was_written_and_waits_for_the_server(
    world: World, change: Callable[[World], None]
) -> None:
    world.sent()
    world.extra["server"].answers["connect"] = ["421 busy"] * 3
    assert mailed(world) == []
    change(world)
    it_is(world, MONDAY, 9, 30)
    assert mailed(world) == []
    assert world.session.scalars(select(Job.done_at).where(Job.kind == "account.send_mail")).all().count(None) == 0


@pytest.mark.parametrize("act", [asks, accepts, declines])
def test_without_a_return_consent_no_mail_tells_the_source_that_an_answer_came(
    world: World, act: Callable[[World, UUID], None]
) -> None:
    referral_id = world.sent()
    mailed(world)
    act(world, referral_id)
    world.withdraw_consent(world.return_consent_id)
    assert mailed(world) == []
    it_is(world, "2026-03-04", 18)  # nor does a reminder, or that it is overdue
    assert "case_manager" not in mailed(world)
    it_is(world, "2026-03-06", 18)
    told = mailed(world)
    assert not {"case_manager", "agency_supervisor", "other_case_manager"} & set(told)


def test_an_answer_stays_untold_although_the_source_moved_it_since(world: World) -> None:
    referral_id = world.sent()
    mailed(world)
    accepts(world, referral_id)
    words = {"reason": "health", "review_on": "2026-03-10"}
    world.act(c.hold_referral, world.case_manager, referral_id, **words)
    world.withdraw_consent(world.return_consent_id)
    assert mailed(world) == []


def test_every_kind_that_is_told_has_its_ground() -> None:
    assert {*q.TOLD.values(), q.POSTED} <= GROUNDS.keys()


# --- nothing personal in it (S-309) -----------------------------------------------------------------------------------


def test_s309_no_byte_of_any_mail_tells_anything(world: World) -> None:
    canary = "Canarybird"
    content = {name: f"{canary} {name}" for name in ("reason_text", "strengths", "unavailable", "first_contact")}
    referral_id = world.sent(**content, urgency="urgent", urgency_because=canary, goals=[canary])
    server = world.extra["server"]
    works(world)
    world.act(c.ask_question, world.navigator, referral_id, topic="needs", question=canary)
    works(world)
    world.act(c.answer_question, world.case_manager, referral_id, answer=canary)
    posts(world, "navigator", referral_id, "both", message=canary, mail=True)
    works(world)
    it_is(world, "2026-03-04", 18)
    works(world)
    world.act(c.decline_referral, world.navigator, referral_id, reason="other", because=canary)
    works(world)
    assert len(server.received) == 11
    row = world.row(referral_id)
    words = [
        *(canary, "Maria", "Núñez", "Nu=C3", "V48213", "1990", row.reference, "Valley", "Second Start", "Bridge"),
        *("housing", "referral", "urgent", "overdue", "question", "answer", "remind", "posted"),
        *(one for one in CATEGORIES if one != "needs"),  # a word of the one sentence, too
        *(actor.me.hex[:12] for actor in world.people.values()),
        *(str(one) for one in (referral_id, world.person_id, world.program_id, world.agency_id, world.cbo_id)),
        *("Lee", "Okafor", "Ana", "Bo Ramsey", "Dee Holt"),
    ]
    # Message ids and transfer apart, which are random or the server's, all of them are the same but for whom and when.
    said = set()
    for one in server.received:
        read = email.message_from_bytes(one.content, policy=email.policy.default)
        own = {str(read["To"]), str(read["Message-ID"]), str(read["Date"])}
        plain = one.content.decode()
        for each in own:
            plain = plain.replace(each, "")
        assert [word for word in words if word.casefold() in plain.casefold()] == []
        assert row.reference not in str(read["Message-ID"])
        said.add(plain)
    assert {text.count(HOME) for text in said} == {1}
    assert len(said) <= 2  # one thing, or several at once
