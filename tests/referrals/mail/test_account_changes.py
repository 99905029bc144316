"""What changed on how somebody signs in is told by mail, at once, until they have looked at it (S-806)."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from referrals.account import commands as accounts
from referrals.account.models import AccountChange, User
from referrals.factor import commands as factors
from referrals.kernel.actor import Role
from referrals.kernel.command import execute
from referrals.kernel.job import run_once
from referrals.kernel.language import catalog_of
from referrals.kernel.mail import Post
from referrals.kernel.session import HouseSession
from referrals.mail import commands
from referrals.mail.models import Notice
from referrals.settings import smtp_server
from referrals.sign_in import commands as sign_ins
from referrals.staff import commands as staff
from tests.factories import account as people
from tests.factories.referral import planting
from tests.factories.smtp import MailServer, a_mail_server
from tests.referrals.account.conftest import ada, agency, casey, house, moment, now, refuse_sign_in, run

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(180)]
__all__ = ["ada", "agency", "casey", "house", "moment", "now"]


@pytest.fixture
def server(house: HouseSession) -> Iterator[MailServer]:
    with a_mail_server() as made:
        house.info["post"] = Post(smtp_server(made.url()), "https://throughgate.example.org/home", catalog_of)
        yield made


def mailed(house: HouseSession, server: MailServer) -> list[str]:
    """Let the worker do what is due; to whom mail came since the last time."""
    house.rollback()
    before = len(server.received)
    for _ in range(3):
        run_once(house)
        house.rollback()
        house.info["clock"].pass_by(seconds=61)
    read = [email.message_from_bytes(one.content, policy=email.policy.default) for one in server.received[before:]]
    for one in read:
        assert "password" not in one.get_content().lower(), "that something waits, and no word of what"
    return [str(one["To"]) for one in read]


def address_of(house: HouseSession, member: people.Member) -> str:
    found = str(house.get_one(User, member.user_id).email)
    house.rollback()
    return found


def has_mail(house: HouseSession, *members: people.Member) -> None:
    """From here on these people can be mailed."""
    with planting(house):
        for one in members:
            house.get_one(User, one.user_id).email = f"{one.sign_in_name}@county.example"


def test_s806_a_change_in_ones_own_name_is_mailed_once_and_not_after_it_was_looked_at(
    house: HouseSession, server: MailServer, casey: people.Member
) -> None:
    has_mail(house, casey)
    mailed(house, server)
    words = {"present_password": people.PASSWORD, "new_password": "five grey owls at dusk"}
    done = run(house, sign_ins.change_password, casey.actor(house), casey.user_id, **words)
    assert mailed(house, server) == [address_of(house, casey)]
    assert mailed(house, server) == []
    run(
        house,
        factors.renew_recovery_codes,
        casey.actor(house, str(done.token)),
        casey.user_id,
        code=casey.recovery_codes[0],
    )
    newest = house.scalars(select(AccountChange.id).order_by(AccountChange.at.desc(), AccountChange.id.desc())).first()
    house.rollback()
    actor = casey.actor(house, _token(house, casey))
    execute(house, accounts.see_changes, actor=actor, target=casey.user_id, data={"until": str(newest)})
    assert mailed(house, server) == [], "it was looked at before the worker came"


def _token(house: HouseSession, member: people.Member) -> str:
    member.password = "five grey owls at dusk"
    return str(people.sign_in_fully(house, member).token)


def test_s806_a_lock_and_a_reset_are_mailed_to_their_owner_and_what_an_administrator_does_to_no_one_else(
    house: HouseSession, server: MailServer, ada: people.Member, casey: people.Member
) -> None:
    has_mail(house, ada, casey)
    mailed(house, server)
    for _ in range(5):
        refuse_sign_in(house, casey.sign_in_name, "not the password at all")
    assert mailed(house, server) == [address_of(house, casey)]
    fresh = ada.actor(house, str(people.sign_in_fully(house, ada).token))
    run(house, staff.unlock_user, fresh, casey.user_id)
    assert mailed(house, server) == [], "an unlocking can wait for the next sign-in"
    run(house, staff.reset_password, fresh, casey.user_id)
    assert mailed(house, server) == [address_of(house, casey)]


def test_s806_nobody_is_told_of_their_own_first_day_nor_of_anybody_elses_change(
    house: HouseSession, server: MailServer, agency: UUID, ada: people.Member
) -> None:
    newcomer = people.a_member(house, agency, Role.CASE_MANAGER)
    has_mail(house, ada, newcomer)
    assert mailed(house, server) == []
    others = house.scalars(select(AccountChange.id).where(AccountChange.user_id == newcomer.user_id)).first()
    house.rollback()
    assert others is not None
    holds = commands.GROUNDS[commands.CHANGED]
    assert holds(house, ada.actor(house), others, house.info["clock"]()) is False


def test_s806_what_happened_days_before_a_worker_came_is_not_mailed_any_more(
    house: HouseSession, server: MailServer, casey: people.Member
) -> None:
    has_mail(house, casey)
    mailed(house, server)
    for _ in range(5):
        refuse_sign_in(house, casey.sign_in_name, "not the password at all")
    house.info["clock"].pass_by(seconds=timedelta(days=3).total_seconds())
    assert mailed(house, server) == []
    assert house.scalars(select(Notice)).all() == []
