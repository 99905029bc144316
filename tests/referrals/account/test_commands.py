"""What is told of accounts on both databases: to their people, and to other rooms."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from referrals.account import commands, models, queries
from referrals.account.models import User
from referrals.factor import commands as factors
from referrals.kernel.actor import Role, Source, system
from referrals.kernel.errors import InvalidInputError, NotFoundError
from referrals.sign_in import queries as sign_in_queries
from referrals.sign_in.models import RecoveryCode, SecondFactor
from referrals.staff import commands as staff
from referrals.staff import queries as staff_queries
from tests.factories import account as people
from tests.referrals.account.conftest import Moment, add_organization, change_factor, propose, refuse_sign_in, run

# --- what changed on one's account (S-806) ----------------------------------------------------------------------------


def told_to(house: Session, member: people.Member) -> list[tuple[str, UUID | None]]:
    """What the account's person is told, oldest first, after their first day."""
    house.rollback()
    house.expunge_all()
    rows = house.scalars(
        select(models.AccountChange)
        .where(models.AccountChange.user_id == member.user_id)
        .order_by(models.AccountChange.at, models.AccountChange.id)
    ).all()
    assert [one.what for one in rows[:2]] == ["password_changed", "factor_added"]
    return [(one.what, one.by) for one in rows[2:]]


def has_news(house: Session, token: str | None) -> bool:
    held = sign_in_queries.holder(house, str(token), Source("page"))
    house.rollback()
    assert held is not None
    return held.has_news


@pytest.mark.usefixtures("engine")
def test_s806_each_change_of_an_account_is_told_with_who_did_it(house: Session, agency: UUID, now: Moment) -> None:
    ada, bo = (people.a_member(house, agency, Role.ADMINISTRATOR) for _ in range(2))
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    soon = (now() + timedelta(days=9)).date().isoformat()
    run(house, staff.set_last_day, ada.actor(house), casey.user_id, ends_on=soon)
    run(house, staff.set_last_day, ada.actor(house), casey.user_id, ends_on=soon)
    run(house, staff.set_last_day, ada.actor(house), casey.user_id)
    change_factor(house, casey, ada)
    now.pass_by(seconds=61)
    token = str(people.sign_in_fully(house, casey).token)
    now.pass_by(seconds=61)
    code = sign_in_queries.demo_code(house, casey.sign_in_name, now())
    run(house, factors.renew_recovery_codes, casey.actor(house, token), casey.user_id, code=code)
    run(house, staff.confirm_role, bo.actor(house), propose(house, ada, casey.user_id))
    grant = next(one.id for one in queries.user(house, casey.user_id).grants if one.role == "supervisor")
    run(house, staff.end_role, ada.actor(house), grant)
    for _ in range(5):
        refuse_sign_in(house, casey.sign_in_name)
    run(house, staff.unlock_user, ada.actor(house), casey.user_id)
    run(house, staff.reset_password, system("cli"), casey.user_id)
    run(house, staff.disable_user, ada.actor(house), casey.user_id, because="left")
    run(house, staff.enable_user, bo.actor(house), casey.user_id)
    me, her, him = casey.user_id, ada.user_id, bo.user_id
    assert told_to(house, casey) == [
        ("last_day_set", her),
        ("last_day_removed", her),
        ("factor_replaced", me),
        ("codes_made", me),
        ("role_given", him),
        ("role_ended", her),
        ("locked", None),
        ("unlocked", her),
        ("password_reset", None),
        ("disabled", her),
        ("enabled", him),
    ]
    now.pass_by(days=91)
    staff.disable_due(house, None, None)
    assert told_to(house, casey)[-1] == ("disabled", None)
    kinds = house.execute(select(models.AccountChange.what, models.AccountChange.automatic)).all()
    assert {what for what, automatic in kinds if automatic} == {"locked", "disabled"}
    assert ("password_reset", False) in [tuple(one) for one in kinds]


@pytest.mark.usefixtures("engine")
def test_s806_news_stands_from_the_next_sign_in_until_it_is_looked_at_and_the_first_day_is_none(
    house: Session, agency: UUID, now: Moment
) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    now.pass_by(seconds=61)
    token = people.sign_in_fully(house, casey).token
    assert not has_news(house, token)
    soon = [(now() + timedelta(days=ahead)).date().isoformat() for ahead in (8, 9)]
    run(house, staff.set_last_day, ada.actor(house), casey.user_id, ends_on=soon[0])
    assert not has_news(house, token)  # it began before
    now.pass_by(seconds=61)
    token = people.sign_in_fully(house, casey).token
    assert has_news(house, token)
    actor = casey.actor(house, str(token))
    first = queries.changes(house, actor)[0].id
    run(house, staff.set_last_day, ada.actor(house), casey.user_id, ends_on=soon[1])
    run(house, commands.see_changes, actor, casey.user_id, until=str(first))
    assert not has_news(house, token)
    now.pass_by(seconds=61)
    token = people.sign_in_fully(house, casey).token
    assert has_news(house, token)  # what came after the one that was looked at is still new
    actor = casey.actor(house, str(token))
    newest = queries.changes(house, actor)[0].id
    for until in (newest, first):  # an older page does not bring news back
        run(house, commands.see_changes, actor, casey.user_id, until=str(until))
        assert not has_news(house, token)


def test_s806_nobody_sees_or_settles_the_changes_of_another(house: Session, agency: UUID) -> None:
    ada, casey = (people.a_member(house, agency, role) for role in (Role.ADMINISTRATOR, Role.CASE_MANAGER))
    theirs = queries.changes(house, casey.actor(house))[0].id
    assert theirs not in {one.id for one in queries.changes(house, ada.actor(house))}
    for until in (theirs, uuid4()):
        with pytest.raises(InvalidInputError):
            run(house, commands.see_changes, ada.actor(house), ada.user_id, until=str(until))
    with pytest.raises(NotFoundError):
        run(house, commands.see_changes, ada.actor(house), casey.user_id, until=str(theirs))


# --- leaving (S-804) --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("engine")
def test_what_others_ask_of_accounts(house: Session, agency: UUID) -> None:
    casey = people.a_user(house, agency, Role.CASE_MANAGER, name="Casey Morgan")
    gone = people.a_user(house, agency, Role.CASE_MANAGER, name="Gone Person")
    ada = people.a_user(house, agency, Role.ADMINISTRATOR, name="Ada Wells")
    run(house, staff.disable_user, system("cli"), gone.id, because="left")
    assert queries.names(house, [casey.id, gone.id, None, uuid4()]) == {
        casey.id: "Casey Morgan",
        gone.id: "Gone Person",
    }
    assert queries.names(house, []) == {}
    found = house.scalars(queries.colleagues(agency, Role.CASE_MANAGER)).all()
    assert [one.id for one in found] == [casey.id]
    assert [one.id for one in house.scalars(queries.colleagues(agency))] == [ada.id, casey.id]
    first, after = staff_queries.people_page(house, agency, limit=2)
    rest, end = staff_queries.people_page(house, agency, after=after, limit=2)
    assert {one.id for one in (*first, *rest)} == {casey.id, gone.id, ada.id}
    assert end is None
    with pytest.raises(NotFoundError):
        queries.user(house, uuid4())
    with pytest.raises(NotFoundError):
        sign_in_queries.demo_code(house, casey.sign_in_name, house.info["clock"]())


def test_other_organizations_have_other_people(house: Session, agency: UUID) -> None:
    elsewhere = add_organization(house, "Birch County Jail", "agency")
    people.a_user(house, elsewhere, Role.CASE_MANAGER)
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    seen = house.scalars(queries.visible_to(ada.actor(house))).all()
    assert [one.id for one in seen] == [ada.user_id]
    assert len(house.scalars(queries.visible_to(system("cli"))).all()) == 2
    assert house.query(User).count() == 2
    assert house.query(SecondFactor).count() == 1
    assert house.query(RecoveryCode).count() == 10
