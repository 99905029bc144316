"""The first run: who is asked for what, and that each step is done when what it asks for is there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bench.statements import counting
from referrals.home import queries as q
from referrals.kernel.actor import Actor, Role, system
from referrals.kernel.command import execute
from referrals.kernel.errors import NotFoundError
from referrals.kernel.session import HouseSession
from referrals.program import commands as programs
from referrals.staff import commands as staff
from tests.factories.account import a_member, a_user, an_administrator, an_auditor, an_officer
from tests.factories.organization import a_community_organization, a_facility, a_location, an_agency, someone
from tests.factories.partnership import a_proposal, an_agreement, signed
from tests.factories.program import a_colleague, a_program, acting, on_intake, with_capacity


def undone(session: HouseSession, actor: Actor) -> list[str]:
    return [one.code for one in q.first_steps(session, actor) if not one.is_done]


@pytest.mark.parametrize("role", [Role.CASE_MANAGER, Role.SUPERVISING_OFFICER, Role.NAVIGATOR, Role.AUDITOR])
def test_there_is_nothing_here_for_who_sets_nothing_up(session: HouseSession, role: Role) -> None:
    actor = someone(an_agency(session), role)
    with pytest.raises(NotFoundError):
        q.first_steps(session, actor)


def test_an_agencys_administrator_is_led_from_nothing_to_everything(session: HouseSession) -> None:
    agency, elsewhere = an_agency(session), an_agency(session, "Another Department")
    first = an_administrator(session, agency.id)
    for other in (an_officer, an_auditor, an_administrator):  # what others have counts for nothing
        other(session, elsewhere.id, name=f"Elsewhere {other.__name__}")
    a_facility(session, elsewhere)
    everything = [
        *("part2_answered", "facilities_added", "second_administrator", "supervisor_added", "workers_added"),
        "auditor_added",
    ]
    assert [one.code for one in q.first_steps(session, first)] == everything
    assert undone(session, first) == everything
    a_facility(session, agency)
    assert undone(session, first) == [one for one in everything if one != "facilities_added"]
    colleagues = [
        a_colleague(session, agency, role, name=f"Colleague {role}")
        for role in (Role.ADMINISTRATOR, Role.SUPERVISOR, Role.SUPERVISING_OFFICER, Role.AUDITOR)
    ]
    assert undone(session, first) == ["part2_answered"]
    execute(session, staff.disable_user, actor=first, target=colleagues[0].id, data={"because": "left"})
    assert undone(session, first) == ["part2_answered", "second_administrator"]


def test_s805_the_yearly_review_is_a_step_while_it_is_due(session: HouseSession) -> None:
    agency = an_agency(session)
    first = an_administrator(session, agency.id)
    lead = someone(agency, Role.SUPERVISOR)
    assert "accounts_reviewed" not in [one.code for one in q.first_steps(session, first)]
    session.info["clock"] = lambda: datetime.now(UTC) + timedelta(days=366)
    assert undone(session, first)[-1] == "accounts_reviewed"
    assert "accounts_reviewed" not in [one.code for one in q.first_steps(session, lead)], "no supervisor signs it"


def test_s802_a_role_waits_on_the_home_of_whoever_may_decide_and_of_nobody_else(session: HouseSession) -> None:
    agency, elsewhere = an_agency(session), an_agency(session, "Another Department")
    ada, ben = (
        a_member(session, agency.id, Role.ADMINISTRATOR, name=name).actor(session)
        for name in ("Ada Wells", "Ben Ortiz")
    )
    stranger = an_administrator(session, elsewhere.id, name="Elsewhere")
    casey = a_colleague(session, agency, Role.CASE_MANAGER, name="Casey Morgan")
    for user_id, role in ((casey.id, "supervisor"), (ben.me, "supervisor")):
        execute(session, staff.propose_role, actor=ada, target=user_id, data={"role": role})
    assert [(one.name, one.role) for one in q.today(session, ben).proposed] == [("Casey Morgan", "supervisor")]
    assert not q.today(session, ben).is_quiet
    for other in (ada, stranger, someone(agency, Role.SUPERVISOR)):
        assert not q.today(session, other).proposed


def test_who_was_invited_and_never_came_is_counted_for_administrators_alone(session: HouseSession) -> None:
    agency = an_agency(session)
    ada = an_administrator(session, agency.id)
    before = q.today(session, ada).invited_count
    found = []
    for number in range(1, 5):
        with counting(session.get_bind()) as heard:
            assert q.today(session, ada).invited_count == before + number - 1
        found.append(len(heard))
        session.expunge_all()
        one = a_user(session, agency.id, Role.CASE_MANAGER, name=f"New {number}")
    assert len(set(found)) == 1, "as many statements for one as for many"
    execute(session, staff.disable_user, actor=system("cli"), target=one.id, data={"because": "left"})
    assert q.today(session, ada).invited_count == before + 3
    assert q.today(session, someone(agency, Role.SUPERVISOR)).invited_count == 0


def test_a_programs_people_are_led_to_its_first_referral(session: HouseSession) -> None:
    agency, community = an_agency(session), a_community_organization(session)
    lead = acting(session, community, Role.SUPERVISOR, name="Lena Hart")
    nia = a_colleague(session, community, Role.NAVIGATOR, name="Nia Brooks")
    navigator = someone(community, Role.NAVIGATOR, user_id=nia.id)
    assert undone(session, lead) == ["agreement_signed", "program_added", "intake_named", "capacity_said"]
    assert undone(session, navigator) == ["on_an_intake_list", "capacity_said"]

    agreement = a_proposal(session, agency, community)
    signed(session, agreement, agency)
    assert "agreement_signed" in undone(session, lead), "one side's word is not enough"
    signed(session, agreement, community)
    program = a_program(session, community)
    assert undone(session, lead) == ["intake_named", "capacity_said"]
    on_intake(session, community, program, nia)
    assert undone(session, navigator) == ["capacity_said"]
    with_capacity(session, community, program)
    assert (undone(session, lead), undone(session, navigator)) == ([], [])

    other = a_colleague(session, community, Role.NAVIGATOR, name="Noah Reed")
    newcomer = someone(community, Role.NAVIGATOR, user_id=other.id)
    assert undone(session, newcomer) == ["on_an_intake_list", "capacity_said"], "another's program is not theirs"
    execute(session, programs.close_program, actor=lead, target=program.id, data={"because": "It ended."})
    assert undone(session, navigator) == ["on_an_intake_list", "capacity_said"]


def test_who_has_several_roles_is_asked_for_each_thing_once(session: HouseSession) -> None:
    community = a_community_organization(session)
    a_location(session, community)
    agency = an_agency(session)
    an_agreement(session, agency, community)
    actor = acting(session, community, Role.ADMINISTRATOR, Role.SUPERVISOR, Role.NAVIGATOR)
    codes = [one.code for one in q.first_steps(session, actor)]
    assert len(codes) == len(set(codes)) == 10
    assert not {"locations_added", "agreement_signed", "part2_answered"} & set(undone(session, actor))
    assert all(one.url.startswith("/") for one in q.first_steps(session, actor))
