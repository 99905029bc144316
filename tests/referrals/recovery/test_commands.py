"""A lost second factor on both databases: what is refused first, then two colleagues and the way back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from referrals.account import models as account
from referrals.account import queries
from referrals.factor import commands as factors
from referrals.kernel.actor import Role, Source, system
from referrals.kernel.command import execute
from referrals.kernel.errors import InvalidInputError, NotFoundError, NotPermittedError, RefusedError
from referrals.recovery import commands, models
from referrals.recovery import queries as recoveries
from referrals.recovery.models import FactorRecovery
from referrals.sign_in import commands as sign_ins
from referrals.sign_in import queries as sign_in_queries
from referrals.sign_in.models import CodeRefusedError, FreshSignInNeededError, SignIn
from referrals.staff import commands as staff
from tests.factories import account as people
from tests.referrals.account.conftest import Moment, events, opens, run

OPERATOR = system("cli")


@pytest.fixture
def suri(house: Session, agency: UUID) -> people.Member:
    """A supervisor of the agency."""
    return people.a_member(house, agency, Role.SUPERVISOR, name="Suri Patel")


def fresh(house: Session, member: people.Member) -> Any:
    """Somebody who has just signed in with both factors."""
    house.info["clock"].pass_by(seconds=61)
    return member.actor(house, str(people.sign_in_fully(house, member).token))


def begin(house: Session, by: people.Member, about: people.Member, how: str = "known_in_person") -> Any:
    return run(house, commands.start_recovery, fresh(house, by), about.user_id, how=how)


def confirm(house: Session, by: people.Member, recovery: UUID, how: str = "known_on_video") -> Any:
    return run(house, commands.confirm_recovery, fresh(house, by), recovery, how=how)


def both(house: Session, first: people.Member, second: people.Member, about: people.Member) -> tuple[UUID, str, str]:
    """A recovery that two colleagues confirmed, with the halves of its code."""
    began = begin(house, first, about)
    recovery, one = began.id, cast("str", began.shown_half)
    return recovery, one, cast("str", confirm(house, second, recovery).shown_half)


def use(house: Session, began: SignIn, one: str, other: str) -> SignIn:
    actor = sign_in_queries.actor_for(queries.user(house, began.user_id), began, Source("page"), step="second_factor")
    words = {"first_half": one, "second_half": other}
    return execute(house, commands.use_recovery, actor=actor, target=began.id, data=words)


def step(house: Session, token: str | None) -> str:
    held = sign_in_queries.holder(house, token or "", Source("page"))
    house.rollback()
    assert held is not None
    return held.step


def refused(house: Session, about: people.Member, one: str, other: str) -> None:
    """The right password and these halves open nothing."""
    began = people.try_sign_in(house, about.sign_in_name)
    with pytest.raises(CodeRefusedError):
        use(house, began, one, other)
    assert step(house, began.token) == "second_factor"


# --- who may not -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("engine")
def test_s105_nobody_begins_their_own_recovery_nor_one_of_another_organization(
    house: Session, ada: people.Member, community: UUID
) -> None:
    with pytest.raises(NotPermittedError):
        begin(house, ada, ada)
    nia = people.a_member(house, community, Role.NAVIGATOR)
    with pytest.raises(NotFoundError):
        begin(house, ada, nia)
    assert house.query(FactorRecovery).count() == 0


def test_s105_only_an_administrator_begins(house: Session, suri: people.Member, casey: people.Member) -> None:
    with pytest.raises(NotPermittedError):
        begin(house, suri, casey)
    with pytest.raises(NotPermittedError):
        begin(house, casey, suri)


@pytest.mark.usefixtures("engine")
def test_s105_the_second_is_neither_the_first_nor_the_person_nor_of_another_organization_nor_any_colleague(
    house: Session, community: UUID, ada: people.Member, casey: people.Member, suri: people.Member
) -> None:
    recovery = begin(house, ada, suri).id
    case_manager = casey
    stranger = people.a_member(house, community, Role.SUPERVISOR)
    for who, how in ((ada, NotPermittedError), (suri, NotPermittedError), (case_manager, NotPermittedError)):
        with pytest.raises(how):
            confirm(house, who, recovery)
    with pytest.raises(NotFoundError):
        confirm(house, stranger, recovery)
    assert house.get_one(FactorRecovery, recovery, populate_existing=True).second_at is None


def test_s105_a_sign_in_that_is_not_fresh_neither_begins_nor_confirms(
    house: Session, ada: people.Member, casey: people.Member, suri: people.Member, now: Moment
) -> None:
    stale, other = fresh(house, ada), fresh(house, suri)
    recovery = run(house, commands.start_recovery, stale, casey.user_id, how="known_in_person").id
    now.pass_by(minutes=11)
    with pytest.raises(FreshSignInNeededError):
        run(house, commands.confirm_recovery, other, recovery, how="known_in_person")
    with pytest.raises(FreshSignInNeededError):
        run(house, commands.start_recovery, stale, suri.user_id, how="known_in_person")


def test_s105_an_integration_never_speaks_for_anybody(
    house: Session, ada: people.Member, casey: people.Member, suri: people.Member
) -> None:
    recovery = begin(house, ada, casey).id
    token = UUID(int=7)
    for member in (ada, suri):
        bearer = replace(fresh(house, member), sign_in_id=None, token_id=token)
        with pytest.raises(NotPermittedError):
            run(house, commands.confirm_recovery, bearer, recovery, how="known_in_person")
        with pytest.raises((NotPermittedError, FreshSignInNeededError)):
            run(house, commands.start_recovery, bearer, casey.user_id, how="known_in_person")


def test_s105_one_of_the_two_has_to_see_the_person(
    house: Session, ada: people.Member, casey: people.Member, suri: people.Member
) -> None:
    recovery = begin(house, ada, casey, how="called_back").id
    with pytest.raises(InvalidInputError) as fault:
        confirm(house, suri, recovery, how="called_back")
    assert fault.value.fields == {"how": ["seen_by_nobody"]}
    assert confirm(house, suri, recovery, how="photo_id_in_person").shown_half


def test_s105_whoever_never_set_up_a_factor_has_none_to_recover(
    house: Session, agency: UUID, ada: people.Member
) -> None:
    new = people.a_user(house, agency, Role.CASE_MANAGER)
    with pytest.raises(models.NothingLostError):
        run(house, commands.start_recovery, fresh(house, ada), new.id, how="known_in_person")


@pytest.mark.usefixtures("engine")
def test_s105_the_database_itself_refuses_one_person_as_both(
    house: Session, ada: people.Member, casey: people.Member
) -> None:
    began = begin(house, ada, casey)
    began_id = began.id
    house.rollback()
    statement = text("UPDATE factor_recovery SET second_by = first_by, second_at = first_at")
    with pytest.raises(IntegrityError):
        house.connection().execute(statement)
    house.rollback()
    assert house.get_one(FactorRecovery, began_id).second_at is None


# --- what does not open the account ----------------------------------------------------------------------------------


@pytest.mark.usefixtures("engine")
def test_s105_the_password_alone_never_suffices_at_any_stage(
    house: Session, ada: people.Member, casey: people.Member, suri: people.Member
) -> None:
    def alone() -> str:
        return step(house, people.try_sign_in(house, casey.sign_in_name).token)

    began = begin(house, ada, casey)
    recovery, one = began.id, str(began.shown_half)
    assert alone() == "second_factor"
    other = str(confirm(house, suri, recovery).shown_half)
    assert alone() == "second_factor"
    used = use(house, people.try_sign_in(house, casey.sign_in_name), one, other)
    assert step(house, used.token) == "enroll"
    thief = people.try_sign_in(house, casey.sign_in_name)
    assert step(house, thief.token) == "second_factor", "somebody else with the password, while its person sets up"
    actor = sign_in_queries.actor_for(queries.user(house, casey.user_id), thief, Source("api"), step="second_factor")
    assert sign_in_queries.setup(house, actor) is None, "the key that is being set up is shown to its person alone"
    pending = sign_in_queries.pending_factor(house, casey.user_id)
    assert pending is not None
    code = pending.code_of(int(house.info["clock"]().timestamp()) // 30)
    with pytest.raises(RefusedError):
        run(house, factors.enroll_factor, actor, pending.id, code=code)
    assert step(house, used.token) == "enroll"


@pytest.mark.usefixtures("engine")
def test_s105_one_half_or_the_halves_of_others_open_nothing(
    house: Session, ada: people.Member, casey: people.Member, suri: people.Member
) -> None:
    began = begin(house, ada, casey)
    recovery, one = began.id, str(began.shown_half)
    refused(house, casey, one, one)
    other = str(confirm(house, suri, recovery).shown_half)
    refused(house, casey, other, one)
    refused(house, casey, one, "0000-0000-0000")


@pytest.mark.usefixtures("engine")
def test_s101_s105_five_wrong_codes_lock_and_the_right_one_is_refused_then(
    house: Session, ada: people.Member, casey: people.Member, suri: people.Member
) -> None:
    _, one, other = both(house, ada, suri, casey)
    began = people.try_sign_in(house, casey.sign_in_name)
    for wrong in ("AAAA-AAAA-AAAA", "BBBB", "1-AAAA-BBBB-CCCC", "000000", one):
        with pytest.raises(CodeRefusedError):
            use(house, began, one, wrong)
    assert queries.user(house, casey.user_id).is_locked
    with pytest.raises(CodeRefusedError):
        use(house, began, one, other)


@pytest.mark.usefixtures("engine")
def test_s105_a_code_works_once_and_not_after_its_day(
    house: Session, ada: people.Member, casey: people.Member, suri: people.Member, now: Moment
) -> None:
    _, one, other = both(house, ada, suri, casey)
    use(house, people.try_sign_in(house, casey.sign_in_name), one, other)
    refused(house, casey, one, other)
    _, one, other = both(house, ada, suri, casey)
    now.pass_by(hours=24)
    refused(house, casey, one, other)


def test_s105_who_comes_as_the_second_a_day_later_comes_too_late(
    house: Session, ada: people.Member, casey: people.Member, suri: people.Member, now: Moment
) -> None:
    recovery = begin(house, ada, casey).id
    now.pass_by(hours=24)
    with pytest.raises(models.RecoveryOverError):
        confirm(house, suri, recovery)
    assert begin(house, ada, casey).shown_half, "one that lapsed stands in nobody's way"


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("how", ["withdrawn", "refused", "person disabled", "first disabled", "second disabled"])
def test_s105_a_confirmed_code_dies_when_it_is_stopped_or_somebody_in_it_is_disabled(
    house: Session, ada: people.Member, casey: people.Member, suri: people.Member, how: str
) -> None:
    recovery, one, other = both(house, ada, suri, casey)
    if how == "withdrawn":
        run(house, commands.withdraw_recovery, fresh(house, ada), recovery)
    elif how == "refused":
        run(house, commands.refuse_recovery, fresh(house, suri), recovery, because="not_sure")
    else:
        who = {"person": casey, "first": ada, "second": suri}[how.split(maxsplit=1)[0]]
        run(house, staff.disable_user, OPERATOR, who.user_id, because="Left")
        back = str(run(house, staff.enable_user, OPERATOR, who.user_id).shown_code)
        if who is casey:  # the code of enabling is what opens the account now
            began = people.try_sign_in(house, casey.sign_in_name, back)
            with pytest.raises(CodeRefusedError):
                use(house, began, one, other)
            return
    refused(house, casey, one, other)


def test_s105_a_first_colleague_who_lost_the_role_speaks_for_nobody(
    house: Session, ada: people.Member, casey: people.Member, suri: people.Member
) -> None:
    _, one, other = both(house, ada, suri, casey)
    grant = next(one for one in queries.user(house, ada.user_id).grants if one.role == "administrator").id
    house.rollback()
    run(house, staff.end_role, OPERATOR, grant)
    refused(house, casey, one, other)


@pytest.mark.usefixtures("engine")
def test_s105_an_administrator_with_a_reset_and_their_half_does_not_reach_the_account(
    house: Session, ada: people.Member, casey: people.Member, suri: people.Member
) -> None:
    began = begin(house, ada, casey)
    recovery, one = began.id, str(began.shown_half)
    one_time = str(run(house, staff.reset_password, fresh(house, ada), casey.user_id).shown_code)
    confirm(house, suri, recovery)
    thief = people.try_sign_in(house, casey.sign_in_name, one_time)
    assert step(house, thief.token) == "second_factor"
    with pytest.raises(CodeRefusedError):
        use(house, thief, one, "9MWD-2HXT-K3QF")
    with pytest.raises(CodeRefusedError):
        people.give_code(house, thief, casey.recovery_codes[0])
    actor = sign_in_queries.actor_for(queries.user(house, casey.user_id), thief, Source("page"), step="new")
    with pytest.raises(RefusedError):
        run(house, sign_ins.change_password, actor, casey.user_id, new_password="another lantern in the harbor")
    found = recoveries.last_reset(house, casey.user_id, house.info["clock"]() - models.LASTS)
    assert found is not None
    assert found.by == ada.user_id, "the second colleague is told who reset the password"


def test_s105_a_reset_and_a_recovery_lead_through_a_new_password_to_a_new_authenticator(
    house: Session, ada: people.Member, casey: people.Member, suri: people.Member
) -> None:
    _, one, other = both(house, ada, suri, casey)
    one_time = str(run(house, staff.reset_password, fresh(house, ada), casey.user_id).shown_code)
    began = use(house, people.try_sign_in(house, casey.sign_in_name, one_time), one, other)
    assert step(house, began.token) == "new_password"


# --- what it does ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("engine")
def test_s105_asking_changes_nothing_and_confirming_ends_factor_codes_and_sign_ins(
    house: Session, ada: people.Member, casey: people.Member, suri: people.Member
) -> None:
    recovery = begin(house, ada, casey).id
    assert opens(house, casey.token), "one administrator alone takes nothing from anybody"
    later = house.info["clock"]() + timedelta(seconds=61)
    code_of_then = sign_in_queries.demo_code(house, casey.sign_in_name, later)
    confirm(house, suri, recovery)
    assert not opens(house, casey.token)
    house.info["clock"].pass_by(seconds=61)
    for dead in (
        code_of_then,
        casey.recovery_codes[0],
    ):
        house.rollback()
        began = people.try_sign_in(house, casey.sign_in_name)
        with pytest.raises(CodeRefusedError):
            people.give_code(house, began, dead)
    told = [one.what for one in house.query(queries.AccountChange).filter_by(user_id=casey.user_id)]
    assert {"recovery_started", "factor_lost"} <= set(told)


@pytest.mark.usefixtures("engine")
def test_s105_both_halves_and_the_password_lead_to_a_new_authenticator_and_nothing_else(
    house: Session, ada: people.Member, casey: people.Member, suri: people.Member
) -> None:
    _, one, other = both(house, ada, suri, casey)
    elsewhere = people.try_sign_in(house, casey.sign_in_name)
    began = use(house, people.try_sign_in(house, casey.sign_in_name), one.lower().replace("-", " "), other)
    assert not opens(house, elsewhere.token)
    assert step(house, began.token) == "enroll"
    held = casey.actor(house, str(began.token))
    assert held.roles == frozenset(), "nobody has a role before the new authenticator stands (S-103)"
    assert not sign_in_queries.is_fresh(house, held, house.info["clock"]())
    shown = sign_in_queries.pending_factor(house, casey.user_id)
    assert shown is not None
    code = shown.code_of(int(house.info["clock"]().timestamp()) // 30)
    done = run(house, factors.enroll_factor, held, shown.id, code=code)
    assert len(done.shown_codes) == 10
    assert step(house, done.token) == "full"
    state = house.query(FactorRecovery).one()
    assert state.state(house.info["clock"]()) == "used"


def test_s105_the_log_says_who_proofed_how_and_holds_no_half_of_the_code(
    house: Session, ada: people.Member, casey: people.Member, suri: people.Member
) -> None:
    _, one, other = both(house, ada, suri, casey)
    use(house, people.try_sign_in(house, casey.sign_in_name), one, other)
    found: dict[str, list[dict[str, Any]]] = {}
    for event in events(house):
        if event["action"].startswith("recovery."):
            found.setdefault(event["action"], []).append(event)
    assert set(found) == {"recovery.started", "recovery.confirmed", "recovery.used"}
    said = {action: {one["actor"]["id"] for one in them} for action, them in found.items()}
    assert said["recovery.started"] == {str(ada.user_id)}
    assert said["recovery.confirmed"] == {str(suri.user_id)}
    assert "known_in_person" in str(found["recovery.started"])
    assert "known_on_video" in str(found["recovery.confirmed"])
    rows = str(house.connection().execute(text("SELECT * FROM factor_recovery")).all()) + str(events(house))
    for secret in (one, other, one.replace("-", ""), other.replace("-", "")):
        assert secret not in rows


def test_s105_whoever_still_has_the_factor_stops_what_they_did_not_ask_for(
    house: Session, ada: people.Member, casey: people.Member, suri: people.Member
) -> None:
    recovery = begin(house, ada, casey).id
    run(house, commands.refuse_recovery, fresh(house, casey), recovery, because="not_asked_for")
    with pytest.raises(models.RecoveryOverError):
        confirm(house, suri, recovery)


def test_s105_another_recovery_waits_until_the_first_is_over(
    house: Session, ada: people.Member, casey: people.Member
) -> None:
    recovery = begin(house, ada, casey).id
    with pytest.raises(models.RecoveryUnderWayError):
        begin(house, ada, casey)
    run(house, commands.withdraw_recovery, fresh(house, ada), recovery)
    assert begin(house, ada, casey).shown_half


# --- where there are not two: decision 0023 ---------------------------------------------------------------------------


@pytest.mark.usefixtures("engine")
def test_s105_the_supervisor_of_a_community_organization_is_a_second(house: Session, community: UUID) -> None:
    first = people.a_member(house, community, Role.ADMINISTRATOR)
    second = people.a_member(house, community, Role.SUPERVISOR)
    lost = people.a_member(house, community, Role.NAVIGATOR)
    _, one, other = both(house, first, second, lost)
    assert step(house, use(house, people.try_sign_in(house, lost.sign_in_name), one, other).token) == "enroll"


@pytest.mark.usefixtures("engine")
def test_s105_the_operator_is_the_second_only_where_nobody_else_is(
    house: Session, community: UUID, ada: people.Member, casey: people.Member, suri: people.Member
) -> None:
    with pytest.raises(models.SecondColleagueThereError):
        run(house, commands.confirm_recovery, OPERATOR, begin(house, ada, casey).id, how="photo_id_in_person")
    lone = people.a_member(house, community, Role.ADMINISTRATOR)
    lost = people.a_member(house, community, Role.NAVIGATOR)
    began = begin(house, lone, lost)
    recovery, one = began.id, str(began.shown_half)
    other = str(run(house, commands.confirm_recovery, OPERATOR, recovery, how="photo_id_in_person").shown_half)
    assert step(house, use(house, people.try_sign_in(house, lost.sign_in_name), one, other).token) == "enroll"
    assert suri.user_id not in recoveries.leaders(house, community, house.info["clock"]())


@pytest.mark.usefixtures("engine")
def test_s105_a_lone_administrator_comes_back_by_the_operator_and_a_colleague_never_by_the_operator_alone(
    house: Session, community: UUID, agency: UUID
) -> None:
    lone = people.a_member(house, community, Role.ADMINISTRATOR)
    navigator = people.a_member(house, community, Role.NAVIGATOR)
    began = run(house, commands.start_recovery, OPERATOR, lone.user_id, how="photo_id_in_person")
    recovery, one = began.id, str(began.shown_half)
    with pytest.raises(models.OperatorTwiceError):
        run(house, commands.confirm_recovery, OPERATOR, recovery, how="photo_id_in_person")
    stranger = people.a_member(house, agency, Role.ADMINISTRATOR)
    with pytest.raises(NotFoundError):
        confirm(house, stranger, recovery)
    other = str(confirm(house, navigator, recovery).shown_half)
    assert step(house, use(house, people.try_sign_in(house, lone.sign_in_name), one, other).token) == "enroll"


def test_s105_beside_the_operator_whoever_leads_there_comes_before_whoever_works_there(
    house: Session, community: UUID
) -> None:
    lone = people.a_member(house, community, Role.ADMINISTRATOR)
    navigator = people.a_member(house, community, Role.NAVIGATOR)
    people.a_member(house, community, Role.SUPERVISOR)
    recovery = run(house, commands.start_recovery, OPERATOR, lone.user_id, how="photo_id_in_person").id
    with pytest.raises(NotPermittedError):
        confirm(house, navigator, recovery)


def test_s105_the_operator_begins_nothing_where_somebody_administers(
    house: Session, ada: people.Member, casey: people.Member
) -> None:
    assert ada.user_id
    with pytest.raises(models.AdministratorThereError):
        run(house, commands.start_recovery, OPERATOR, casey.user_id, how="photo_id_in_person")


def test_s102_a_wrong_code_costs_the_same_whether_a_recovery_is_under_way_or_not(
    house: Session, ada: people.Member, casey: people.Member, suri: people.Member
) -> None:
    def cost() -> tuple[int, str]:
        before = account.recovery.verified
        began = people.try_sign_in(house, casey.sign_in_name)
        with pytest.raises(CodeRefusedError) as told:
            use(house, began, "AAAA-AAAA-AAAA", "BBBB-BBBB-BBBB")
        return account.recovery.verified - before, told.value.code

    without = cost()
    recovery = begin(house, ada, casey).id
    waiting = cost()
    confirm(house, suri, recovery)
    assert without == waiting == cost() == (2, "code_refused")
