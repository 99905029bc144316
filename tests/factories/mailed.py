"""A world in which everybody has an address and wants mail at once, and what the worker sends in it."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select

from referrals.account.models import User
from referrals.kernel.job import run_once
from referrals.kernel.language import catalog_of
from referrals.kernel.mail import Post
from referrals.kernel.session import HouseSession
from referrals.mail.commands import post_due
from referrals.mail.models import Notice
from referrals.program.models import IntakeMember
from referrals.referral import commands as c
from referrals.reminder import commands as reminder
from referrals.settings import smtp_server
from tests.factories.referral import ZONE, World, a_world, planting, tomorrow
from tests.factories.smtp import MailServer

HOME = "https://throughgate.example.org/home"
#: A Monday.
MONDAY = "2026-03-02"
INTAKE = ["navigator", "other_navigator", "outside_intake"]


def there(day: str, hour: int = 9, minute: int = 0) -> datetime:
    """An instant at the world's place."""
    local = datetime.combine(date.fromisoformat(day), datetime.min.time(), ZoneInfo(ZONE))
    return local.replace(hour=hour, minute=minute).astimezone(UTC)


def it_is(world: World, day: str, hour: int = 9, minute: int = 0) -> None:
    now = there(day, hour, minute)
    world.session.info["clock"] = lambda: now


def a_mailed_world(session: HouseSession, server: MailServer) -> World:
    """The world, with an address for everybody; all want their mail at once."""
    made = a_world(session)
    with planting(session):
        for key, actor in made.people.items():
            user = session.get_one(User, actor.me)
            user.email, user.mail_choice = f"{key}@mail.example", "at_once"
        session.add(IntakeMember(program_id=made.program_id, user_id=made.outside_intake.me, added_at=there(MONDAY)))
    it_is(made, MONDAY)
    session.info["post"] = Post(smtp_server(server.url()), HOME, catalog_of)
    made.extra["server"] = server
    return made


def mailed(world: World) -> list[str]:
    """Let the worker send; return to whom, since the last time."""
    works(world)
    received = world.extra["server"].received
    read = [email.message_from_bytes(one.content, policy=email.policy.default) for one in received]
    received.clear()
    return sorted(str(one["To"]).partition("@")[0] for one in read)


def works(world: World) -> None:
    """Let the worker do what it does every few minutes, and send."""
    reminder.remind(world.session, None, None)
    reminder.tell_moves(world.session, None, None)
    post_due(world.session, None, None)
    run_once(world.session)


def notices(world: World) -> list[Notice]:
    world.session.rollback()
    return list(world.session.scalars(select(Notice).order_by(Notice.id)))


def accepts(world: World, referral_id: UUID) -> None:
    words = {"caseworker_id": str(world.navigator.me), "first_contact_on": tomorrow()}
    world.act(c.accept_referral, world.navigator, referral_id, **words)


def asks(world: World, referral_id: UUID) -> None:
    world.act(c.ask_question, world.navigator, referral_id, topic="needs", question="Which floor?")


def answers(world: World, referral_id: UUID) -> None:
    world.act(c.answer_question, world.case_manager, referral_id, answer="The ground floor.")


def declines(world: World, referral_id: UUID) -> None:
    world.act(c.decline_referral, world.navigator, referral_id, reason="no_capacity")
