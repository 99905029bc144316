"""Looking after people on both databases: who may come in as what, the second person, leaving."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from referrals.account import models, queries
from referrals.factor import commands as factors
from referrals.kernel.actor import Role, Source, system
from referrals.kernel.command import Command
from referrals.kernel.errors import InvalidInputError, NotFoundError, NotPermittedError, RefusedError
from referrals.kernel.session import HouseSession
from referrals.sign_in import commands as sign_ins
from referrals.sign_in import models as sign_in_models
from referrals.sign_in import queries as sign_in_queries
from referrals.staff import commands as staff
from referrals.staff import models as staff_models
from referrals.staff import queries as staff_queries
from tests.factories import account as people
from tests.referrals.account.conftest import Moment, disabled_because, events, opens, propose, refuse_sign_in, run

# --- who may come in -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("engine")
def test_s801_a_sign_in_name_and_an_address_are_never_used_twice(house: Session, agency: UUID, community: UUID) -> None:
    words = {"sign_in_name": "Casey.Morgan", "display_name": "Casey Morgan", "email": "Casey@example.org"}
    made = run(house, staff.add_user, system("cli"), agency, **words, roles=["case_manager"])
    assert made.sign_in_name == "casey.morgan"
    run(house, staff.disable_user, system("cli"), made.id, because="left")
    with pytest.raises(InvalidInputError) as refusal:
        run(
            house,
            staff.add_user,
            system("cli"),
            community,
            sign_in_name="CASEY.MORGAN",
            display_name="Another Casey",
            email=" casey@EXAMPLE.org",
            roles=["case_manager"],
        )
    assert refusal.value.fields == {
        "sign_in_name": ["name_taken"],
        "email": ["email_taken"],
        "roles": ["role_not_of_side"],
    }
    assert queries.user(house, made.id).email == "Casey@example.org"


@pytest.mark.parametrize("name", ["ab", "-casey", "casey-", "casey morgan", "cäsey", "c" * 65, "casey@example.org"])
def test_a_bad_sign_in_name_is_refused(house: Session, agency: UUID, name: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        run(
            house,
            staff.add_user,
            system("cli"),
            agency,
            sign_in_name=name,
            display_name="Casey",
            roles=["case_manager"],
        )
    assert set(refusal.value.fields) == {"sign_in_name"}


def test_s202_s205_only_an_administrator_of_that_organization_manages_people_and_never_themselves(
    house: Session, agency: UUID, community: UUID
) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    stranger = people.a_member(house, community, Role.ADMINISTRATOR)
    acts: list[tuple[Command[Any, Any], dict[str, Any]]] = [
        (staff.grant_role, {"role": "supervisor"}),
        (staff.propose_role, {"role": "supervisor"}),
        (staff.disable_user, {"because": "left"}),
        (staff.unlock_user, {}),
        (staff.reset_password, {}),
        (staff.enable_user, {}),
        (staff.set_last_day, {}),
    ]
    for what, words in acts:
        with pytest.raises(NotFoundError):
            run(house, what, stranger.actor(house), casey.user_id, **words)
        with pytest.raises(NotFoundError):
            run(house, what, stranger.actor(house), uuid4(), **words)
        with pytest.raises(NotPermittedError):
            run(house, what, casey.actor(house), ada.user_id, **words)
        with pytest.raises(NotPermittedError):
            run(house, what, ada.actor(house), ada.user_id, **words)
    new = {"sign_in_name": "new.person", "display_name": "New Person", "roles": ["case_manager"]}
    with pytest.raises(NotFoundError):
        run(house, staff.add_user, stranger.actor(house), agency, **new)
    with pytest.raises(NotPermittedError):
        run(house, staff.add_user, casey.actor(house), agency, **new)
    own = queries.user(house, ada.user_id).grants[0].id
    with pytest.raises(NotPermittedError):
        run(house, staff.end_role, ada.actor(house), own)
    with pytest.raises(NotFoundError):
        run(house, staff.end_role, stranger.actor(house), own)
    added = run(house, staff.add_user, ada.actor(house), agency, **new)
    assert added.shown_code
    assert queries.user(house, added.id).roles == {Role.CASE_MANAGER}


def test_s113_what_gives_power_needs_a_fresh_second_factor(house: Session, agency: UUID, now: Moment) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    actor = ada.actor(house)
    now.pass_by(minutes=10)
    new = {"sign_in_name": "new.person", "display_name": "New Person", "roles": ["case_manager"]}
    acts: list[tuple[Command[Any, Any], UUID, dict[str, Any]]] = [
        (staff.add_user, agency, new),
        (staff.grant_role, casey.user_id, {"role": "supervising_officer"}),
        (staff.propose_role, casey.user_id, {"role": "supervisor"}),
        (staff.end_role, queries.user(house, casey.user_id).grants[0].id, {}),
        (staff.unlock_user, casey.user_id, {}),
        (staff.reset_password, casey.user_id, {}),
    ]
    for what, target, words in acts:
        with pytest.raises(sign_in_models.FreshSignInNeededError):
            run(house, what, actor, target, **words)
    code = sign_in_queries.demo_code(house, ada.sign_in_name, now())
    again = run(house, sign_ins.confirm_second_factor, actor, cast("UUID", actor.sign_in_id), code=code)
    run(house, staff.grant_role, ada.actor(house, again.token), casey.user_id, role="supervising_officer")


def test_roles_by_the_rules_of_side_and_of_the_auditor(house: Session, agency: UUID) -> None:
    casey = people.a_user(house, agency, Role.CASE_MANAGER)
    for role, refused in (
        ("case_manager", models.RoleHeldError),
        ("navigator", models.RoleNotOfSideError),
        ("auditor", models.AuditorAloneError),
    ):
        with pytest.raises(refused):
            run(house, staff.grant_role, system("cli"), casey.id, role=role)
    with pytest.raises(InvalidInputError):
        run(house, staff.grant_role, system("cli"), casey.id, role="operator")
    run(house, staff.disable_user, system("cli"), casey.id, because="left")
    with pytest.raises(models.UserDisabledError):
        run(house, staff.grant_role, system("cli"), casey.id, role="supervisor")


# --- a second person for powerful roles (S-802) -----------------------------------------------------------------------


def roles_of(house: Session, user_id: UUID) -> set[str]:
    house.rollback()
    house.expunge_all()
    return {role.value for role in queries.user(house, user_id).roles}


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("role", ["supervisor", "administrator", "auditor"])
def test_s802_one_administrator_alone_gives_no_powerful_role_on_any_path(
    house: Session, agency: UUID, role: str
) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    bo = people.a_member(house, agency, Role.ADMINISTRATOR)
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    run(house, staff.end_role, system("cli"), queries.user(house, casey.user_id).grants[0].id)
    casey.token = str(people.sign_in_fully(house, casey).token)
    with pytest.raises(staff_models.SecondPersonNeededError):
        run(house, staff.grant_role, ada.actor(house), casey.user_id, role=role)
    proposal = propose(house, ada, casey.user_id, role)
    with pytest.raises(NotPermittedError):
        run(house, staff.confirm_role, ada.actor(house), proposal)
    assert roles_of(house, casey.user_id) == set()
    assert opens(house, casey.token)
    new = {"sign_in_name": "new.person", "display_name": "New Person", "roles": [role]}
    added = run(house, staff.add_user, ada.actor(house), agency, **new)
    assert roles_of(house, added.id) == set()
    assert [one.role for one in staff_queries.waiting(house, agency, added.id)] == [role]
    with pytest.raises(staff_models.RoleProposedError):
        propose(house, bo, casey.user_id, role)
    run(house, staff.confirm_role, bo.actor(house), proposal)
    assert roles_of(house, casey.user_id) == {role}
    assert not opens(house, casey.token)
    with pytest.raises(models.ProposalSettledError):
        run(house, staff.confirm_role, bo.actor(house), proposal)
    kept = house.get_one(models.RoleProposal, proposal)
    assert (kept.outcome, kept.settled_by, kept.proposed_by) == ("confirmed", bo.user_id, ada.user_id)


@pytest.mark.usefixtures("engine")
def test_s802_s205_nobody_confirms_for_themselves_and_no_other_organization_does(
    house: Session, agency: UUID, community: UUID
) -> None:
    ada, bo = (people.a_member(house, agency, Role.ADMINISTRATOR) for _ in range(2))
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    stranger = people.a_member(house, community, Role.ADMINISTRATOR)
    about_bo = propose(house, ada, bo.user_id)
    with pytest.raises(NotPermittedError):
        propose(house, bo, bo.user_id)
    for what, words in ((staff.confirm_role, {}), (staff.refuse_role, {"because": "no"})):
        for one, refusal in ((bo, NotPermittedError), (casey, NotPermittedError), (stranger, NotFoundError)):
            with pytest.raises(refusal):
                run(house, what, one.actor(house), about_bo, **words)
    with pytest.raises(NotPermittedError):
        staff_queries.proposals_for(house, casey.actor(house))
    assert staff_queries.proposals_for(house, stranger.actor(house)) == ([], None)
    with pytest.raises(NotFoundError):
        staff_queries.proposal_for(house, stranger.actor(house), about_bo)
    waiting, _ = staff_queries.proposals_for(house, bo.actor(house))
    assert [one.id for one in waiting] == [about_bo]


@pytest.mark.usefixtures("engine")
def test_s802_the_operator_confirms_only_where_no_second_administrator_is(
    house: Session, agency: UUID, now: Moment
) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    bo = people.a_member(house, agency, Role.ADMINISTRATOR)
    proposal = propose(house, ada, casey.user_id)
    for _ in range(5):
        refuse_sign_in(house, bo.sign_in_name)
    with pytest.raises(staff_models.SecondAdministratorError):  # locked, but an administrator unlocks them
        run(house, staff.confirm_role, system("cli"), proposal)
    today = now().astimezone(ZoneInfo("America/Los_Angeles")).date()
    run(house, staff.set_last_day, ada.actor(house), bo.user_id, ends_on=today.isoformat())
    with pytest.raises(staff_models.SecondAdministratorError):
        run(house, staff.confirm_role, system("cli"), proposal)
    run(house, staff.disable_user, ada.actor(house), bo.user_id, because="left")
    granted = run(house, staff.confirm_role, system("cli"), proposal)
    assert granted.granted_by is None
    assert roles_of(house, casey.user_id) == {"case_manager", "supervisor"}
    lone = propose(house, ada, casey.user_id, "administrator")
    run(house, staff.confirm_role, system("cli"), lone)  # the person it is about is no second administrator
    assert roles_of(house, casey.user_id) == {"case_manager", "supervisor", "administrator"}


@pytest.mark.usefixtures("engine")
def test_s802_a_refused_or_withdrawn_proposal_gives_nothing_and_can_be_made_again(house: Session, agency: UUID) -> None:
    ada, bo = (people.a_member(house, agency, Role.ADMINISTRATOR) for _ in range(2))
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    for who in (bo, ada):  # refused by another, taken back by whoever proposed it
        proposal = propose(house, ada, casey.user_id)
        run(house, staff.refuse_role, who.actor(house), proposal, because="Not before the training")
        with pytest.raises(models.ProposalSettledError):
            run(house, staff.confirm_role, bo.actor(house), proposal)
        with pytest.raises(models.ProposalSettledError):
            run(house, staff.refuse_role, bo.actor(house), proposal, because="once more")
    assert roles_of(house, casey.user_id) == {"case_manager"}
    told = [one["action"] for one in events(house) if one["code"] is None and ".role_" in one["action"]]
    assert told == ["account.role_proposed", "account.role_refused"] * 2


def test_s802_what_speaks_against_a_role_is_said_when_proposing_and_again_when_confirming(
    house: Session, agency: UUID
) -> None:
    ada, bo = (people.a_member(house, agency, Role.ADMINISTRATOR) for _ in range(2))
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    with pytest.raises(InvalidInputError):  # needs no second person
        propose(house, ada, casey.user_id, "supervising_officer")
    with pytest.raises(models.AuditorAloneError):
        propose(house, ada, casey.user_id, "auditor")
    proposal = propose(house, ada, casey.user_id)
    run(house, staff.disable_user, ada.actor(house), casey.user_id, because="left")
    with pytest.raises(models.UserDisabledError):
        run(house, staff.confirm_role, bo.actor(house), proposal)
    assert house.get_one(models.RoleProposal, proposal, populate_existing=True).settled_at is None


def test_s802_s113_confirming_needs_a_fresh_second_factor(house: Session, agency: UUID, now: Moment) -> None:
    ada, bo = (people.a_member(house, agency, Role.ADMINISTRATOR) for _ in range(2))
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    proposal = propose(house, ada, casey.user_id)
    actor = bo.actor(house)
    now.pass_by(minutes=10)
    with pytest.raises(sign_in_models.FreshSignInNeededError):
        run(house, staff.confirm_role, actor, proposal)


def test_s802_s211_of_several_answers_at_once_one_counts(
    engine: Engine, house: Session, agency: UUID, open_on: Callable[[Engine], HouseSession]
) -> None:
    ada, bo, cleo = (people.a_member(house, agency, Role.ADMINISTRATOR) for _ in range(3))
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    proposal = propose(house, ada, casey.user_id)
    actors = [bo.actor(house), cleo.actor(house)]
    house.rollback()
    ready, told = threading.Barrier(4), []

    def answer(number: int) -> None:
        with open_on(engine) as session:
            ready.wait()
            try:
                if number < 2:
                    run(session, staff.confirm_role, actors[number], proposal)
                else:
                    run(session, staff.refuse_role, actors[number - 2], proposal, because="no")
                told.append("done")
            except RefusedError as refusal:
                told.append(refusal.code)

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["done", *["proposal_settled"] * 3]
    kept = house.get_one(models.RoleProposal, proposal, populate_existing=True)
    assert (kept.outcome == "confirmed") == ("supervisor" in roles_of(house, casey.user_id))


# --- leaving (S-804) --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("engine")
def test_s804_an_account_that_nobody_uses_for_90_days_is_disabled_and_not_sooner(
    house: Session, agency: UUID, now: Moment
) -> None:
    casey, nobody_yet = people.a_member(house, agency, Role.CASE_MANAGER), people.a_user(house, agency, Role.SUPERVISOR)
    accounts = (casey.user_id, nobody_yet.id)
    now.pass_by(days=89, hours=23)
    staff.disable_due(house, None, None)
    assert [disabled_because(house, one) for one in accounts] == [None, None]
    now.pass_by(hours=2)
    staff.disable_due(house, None, None)
    assert [disabled_because(house, one) for one in accounts] == [models.BECAUSE_IDLE] * 2
    assert not opens(house, casey.token)
    refuse_sign_in(house, casey.sign_in_name, casey.password)
    staff.disable_due(house, None, None)


@pytest.mark.usefixtures("engine")
def test_s804_an_account_opens_on_its_last_day_and_not_on_the_next_even_before_the_worker_came(
    house: Session, agency: UUID, now: Moment
) -> None:
    there = now().astimezone(ZoneInfo("America/Los_Angeles"))
    today = there.date()
    now.pass_by(seconds=(there.replace(hour=23, minute=58, second=0) - there).total_seconds())
    casey, ada = people.a_member(house, agency, Role.CASE_MANAGER), people.a_member(house, agency, Role.ADMINISTRATOR)
    with pytest.raises(InvalidInputError) as refusal:
        run(
            house,
            staff.set_last_day,
            ada.actor(house),
            casey.user_id,
            ends_on=(today - timedelta(days=1)).isoformat(),
        )
    assert refusal.value.fields == {"ends_on": ["in_past"]}
    run(house, staff.set_last_day, ada.actor(house), casey.user_id, ends_on=today.isoformat())
    assert opens(house, casey.token)
    staff.disable_due(house, None, None)
    assert disabled_because(house, casey.user_id) is None
    now.pass_by(minutes=3)
    assert opens(house, ada.token)
    assert not opens(house, casey.token)
    refuse_sign_in(house, casey.sign_in_name, casey.password)
    staff.disable_due(house, None, None)
    assert disabled_because(house, casey.user_id) == models.BECAUSE_ENDED


def test_s804_whoever_comes_back_gets_a_code_and_is_not_disabled_again_at_once(
    house: Session, agency: UUID, now: Moment
) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    now.pass_by(days=91)
    staff.disable_due(house, None, None)
    back = run(house, staff.enable_user, system("cli"), casey.user_id)
    assert back.shown_code
    staff.disable_due(house, None, None)
    assert disabled_because(house, casey.user_id) is None
    assert people.try_sign_in(house, casey.sign_in_name, back.shown_code).token
    with pytest.raises(models.NotDisabledError):
        run(house, staff.enable_user, system("cli"), casey.user_id)


def test_s804_nobody_comes_back_after_their_last_day(house: Session, agency: UUID, now: Moment) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    run(
        house,
        staff.set_last_day,
        system("cli"),
        casey.user_id,
        ends_on=(now() + timedelta(days=2)).date().isoformat(),
    )
    now.pass_by(days=5)
    staff.disable_due(house, None, None)
    with pytest.raises(models.LastDayPassedError):
        run(house, staff.enable_user, system("cli"), casey.user_id)
    run(house, staff.set_last_day, system("cli"), casey.user_id)
    assert run(house, staff.enable_user, system("cli"), casey.user_id).shown_code


@pytest.mark.usefixtures("engine")
def test_s802_one_administrator_alone_gives_no_power_back_by_enabling(house: Session, agency: UUID) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    bo = people.a_member(house, agency, Role.ADMINISTRATOR)
    suri = people.a_member(house, agency, Role.SUPERVISOR, Role.CASE_MANAGER, Role.ADMINISTRATOR)
    run(house, staff.disable_user, ada.actor(house), suri.user_id, because="left")
    run(house, staff.enable_user, ada.actor(house), suri.user_id)
    assert queries.user(house, suri.user_id).roles == {Role.CASE_MANAGER}
    waiting = {one.role: one for one in staff_queries.waiting(house, agency, suri.user_id)}
    assert waiting.keys() == {"supervisor", "administrator"}
    for proposal in waiting.values():
        with pytest.raises(NotPermittedError):
            run(house, staff.confirm_role, ada.actor(house), proposal.id)
    run(house, staff.confirm_role, bo.actor(house), waiting["supervisor"].id)
    house.expunge_all()
    assert queries.user(house, suri.user_id).roles == {Role.CASE_MANAGER, Role.SUPERVISOR}
    told = [one.what for one in queries.changes(house, replace(ada.actor(house), user_id=suri.user_id))]
    assert told.count("role_ended") == 2


def test_s802_the_operator_gives_back_all(house: Session, agency: UUID) -> None:
    suri = people.a_member(house, agency, Role.SUPERVISOR)
    run(house, staff.disable_user, system("cli"), suri.user_id, because="left")
    run(house, staff.enable_user, system("cli"), suri.user_id)
    assert queries.user(house, suri.user_id).roles == {Role.SUPERVISOR}
    assert staff_queries.waiting(house, agency) == []


@pytest.mark.usefixtures("engine")
def test_s802_what_somebody_proposed_lapses_when_they_are_disabled(house: Session, agency: UUID) -> None:
    ada, bo = (people.a_member(house, agency, Role.ADMINISTRATOR) for _ in range(2))
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    hers = run(house, staff.propose_role, ada.actor(house), casey.user_id, role="supervisor")
    his = run(house, staff.propose_role, bo.actor(house), casey.user_id, role="administrator")
    run(house, staff.disable_user, bo.actor(house), ada.user_id, because="left")
    assert [one.id for one in staff_queries.waiting(house, agency)] == [his.id]
    for actor in (bo.actor(house), system("cli")):
        with pytest.raises(models.ProposalSettledError):
            run(house, staff.confirm_role, actor, hers.id)
    settled = house.get_one(models.RoleProposal, hers.id, populate_existing=True)
    assert (settled.outcome, settled.settled_by) == ("lapsed", bo.user_id)
    house.rollback()
    assert queries.user(house, casey.user_id).roles == {Role.CASE_MANAGER}


@pytest.mark.usefixtures("engine")
def test_s804_an_emergency_account_ends_after_72_hours_and_nothing_extends_it(
    house: Session, agency: UUID, now: Moment
) -> None:
    ada = people.a_member(house, agency, Role.ADMINISTRATOR)
    words = {"display_name": "Em Ergency", "roles": ["case_manager"], "emergency_because": "Flood at North Ridge"}
    added = run(house, staff.add_user, ada.actor(house), agency, sign_in_name="em.one", **words)
    user_id, until = added.id, now() + timedelta(hours=72)
    made = factors.first_sign_in(house, "em.one", str(added.shown_code), people.PASSWORD, Source("page"))
    em = people.Member(user_id, "em.one", people.PASSWORD, list(made.shown_codes), str(made.token))
    kept = queries.user(house, user_id).emergency_until
    assert kept is not None
    assert abs(kept - until) < timedelta(minutes=1)
    later = (now() + timedelta(days=30)).date().isoformat()
    run(house, staff.set_last_day, ada.actor(house), user_id, ends_on=later)
    assert queries.user(house, user_id).emergency_until == kept
    now.pass_by(hours=71, minutes=50)
    token = people.sign_in_fully(house, em).token
    assert opens(house, token)
    staff.disable_due(house, None, None)
    assert disabled_because(house, user_id) is None
    run(house, staff.disable_user, system("cli"), user_id, because="too early")
    assert run(house, staff.enable_user, system("cli"), user_id).shown_code
    assert queries.user(house, user_id).emergency_until == kept
    now.pass_by(minutes=11)
    assert not opens(house, token)
    refuse_sign_in(house, em.sign_in_name, str(queries.user(house, user_id).shown_code))
    staff.disable_due(house, None, None)
    assert disabled_because(house, user_id) == models.BECAUSE_EMERGENCY_OVER
    with pytest.raises(models.EmergencyOverError):
        run(house, staff.enable_user, system("cli"), user_id)


def test_s804_an_open_sign_in_ends_with_the_emergency_before_the_worker_comes(
    house: Session, agency: UUID, now: Moment
) -> None:
    words = {"sign_in_name": "em.two", "display_name": "Em Two", "roles": ["supervisor"]}
    added = run(house, staff.add_user, system("cli"), agency, **words, emergency_because="Flood")
    made = factors.first_sign_in(house, "em.two", str(added.shown_code), people.PASSWORD, Source("page"))
    em = people.Member(added.id, "em.two", people.PASSWORD, list(made.shown_codes), str(made.token))
    now.pass_by(hours=71, minutes=55)
    token = people.sign_in_fully(house, em).token
    assert opens(house, token)
    now.pass_by(minutes=6)
    assert not opens(house, token)
    refuse_sign_in(house, em.sign_in_name, em.password)


def test_s804_the_worker_disables_nobody_who_has_just_come_in(house: Session, agency: UUID) -> None:
    casey = people.a_member(house, agency, Role.CASE_MANAGER)
    with pytest.raises(staff_models.AccountKeptError):
        run(house, staff.disable_user, system(), casey.user_id, because=models.BECAUSE_IDLE)
    assert opens(house, casey.token)


def test_a_race_for_one_name_is_lost_by_one(
    engine: Engine, house: Session, agency: UUID, open_on: Callable[[Engine], HouseSession]
) -> None:
    house.rollback()
    ready, told = threading.Barrier(4), []

    def add() -> None:
        with open_on(engine) as session:
            ready.wait()
            try:
                people.a_user(session, agency, Role.CASE_MANAGER, sign_in_name="casey.morgan")
                told.append("added")
            except RefusedError as refusal:
                told.append(refusal.code)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["added", *["invalid_input"] * 3]
