"""Programs: bad words, strangers, wrong roles, broken rules; then done and on record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, select

from referrals.kernel.actor import Role, Source, nobody, system
from referrals.kernel.command import Command, execute
from referrals.kernel.errors import (
    ChangedMeanwhileError,
    InvalidInputError,
    NotFoundError,
    NotPermittedError,
    PreconditionNeededError,
)
from referrals.kernel.session import HouseSession
from referrals.organization import commands as organizations
from referrals.organization.models import OrganizationEndedError
from referrals.program import commands as c
from referrals.program import policy as p
from referrals.program import queries as q
from referrals.program.models import (
    AlreadyOnIntakeError,
    IntakeMember,
    NotACommunityOrganizationError,
    NothingSaidError,
    NotOnIntakeError,
    ProgramClosedError,
)
from referrals.staff import commands as staff
from tests.factories.organization import a_community_organization, a_location, an_agency, last_event, someone
from tests.factories.program import a_colleague, a_program, acting, on_intake, with_capacity

SAID: dict[str, Any] = {"name": "Ready to Work", "categories": ["employment"], "languages": ["en"]}


@pytest.mark.parametrize(
    ("said", "faults"),
    [
        ({"categories": []}, {"categories": ["required"]}),
        ({"categories": ["time_travel"]}, {"categories.0": ["not_a_choice"]}),
        ({"categories": ["food", "food"]}, {"categories": ["repeated"]}),
        ({"languages": ["xx"]}, {"languages.0": ["not_a_choice"]}),
        ({"name": "", "closed_at": "2026-01-01"}, {"name": ["required"], "closed_at": ["unknown_field"]}),
        ({"places": ["x" * 101, "\x00"]}, {"places": ["not_text", "too_long"]}),
        ({"places": [f"Area {n}" for n in range(51)]}, {"places": ["too_long"]}),
        ({"places": ["Oakland", "\ufeff"]}, {"places": ["required"]}),
        ({"places": "Oakland\n\u200b \u2060\n"}, {"places": ["required"]}),
        ({"places": ["\u3164"]}, {"places": ["required"]}),
        ({"places": [5]}, {"places": ["not_accepted"]}),
        ({"places": {"a": 1}}, {"places": ["not_accepted"]}),
        ({"location_id": str(uuid4())}, {"location_id": ["not_a_choice"]}),
        ({"email": "a@b"}, {"email": ["not_an_email"]}),
    ],
)
def test_a_program_refuses_bad_words(session: HouseSession, said: dict[str, Any], faults: dict[str, Any]) -> None:
    community = a_community_organization(session)
    with pytest.raises(InvalidInputError) as refused:
        a_program(session, community, **said)
    assert refused.value.fields == faults


def test_a_location_of_another_organization_is_no_choice(session: HouseSession) -> None:
    community, other = a_community_organization(session), a_community_organization(session, "Second Start")
    theirs, own = a_location(session, other), a_location(session, community)
    with pytest.raises(InvalidInputError) as refused:
        a_program(session, community, location_id=str(theirs.id))
    assert refused.value.fields == {"location_id": ["not_a_choice"]}
    assert a_program(session, community, location_id=str(own.id)).location_id == own.id


def test_an_agency_offers_no_programs_and_an_organization_that_ended_none_more(session: HouseSession) -> None:
    agency, community = an_agency(session), a_community_organization(session)
    with pytest.raises(NotACommunityOrganizationError):
        a_program(session, agency)
    assert last_event(session)["code"] == "not_a_community_organization"
    execute(session, organizations.end_organization, actor=system("cli"), target=community.id, data={})
    with pytest.raises(OrganizationEndedError):
        a_program(session, community)


def test_areas_may_come_one_on_each_line(session: HouseSession) -> None:
    community = a_community_organization(session)
    program = a_program(session, community, places="Oakland\r\n\r\n Fruitvale \nOakland\n")
    assert program.places == ["Oakland", "Fruitvale"]
    assert a_program(session, community, places=[]).places == []


def member(session: HouseSession) -> tuple[Any, Any, str]:
    community = a_community_organization(session)
    program = a_program(session, community)
    return community, program, str(a_colleague(session, community, Role.NAVIGATOR).id)


VERBS: list[tuple[Command[Any, Any], Callable[[str], dict[str, Any]], set[Role]]] = [
    (c.change_program, lambda _: SAID | {"name": "Ready"}, {Role.NAVIGATOR, Role.SUPERVISOR}),
    (c.close_program, lambda _: {"because": "The grant ended."}, {Role.SUPERVISOR}),
    (c.set_capacity, lambda _: {"capacity_code": "capacity"}, {Role.NAVIGATOR, Role.SUPERVISOR}),
    (c.confirm_capacity, lambda _: {"capacity_code": "waitlist"}, {Role.NAVIGATOR, Role.SUPERVISOR}),
    (c.add_to_intake, lambda user: {"user_id": user}, {Role.SUPERVISOR}),
    (c.remove_from_intake, lambda user: {"user_id": user}, {Role.SUPERVISOR}),
]


@pytest.mark.parametrize(("what", "words", "allowed"), VERBS, ids=lambda one: getattr(one, "name", ""))
def test_strangers_find_nothing_others_may_not_and_their_own_people_may(
    session: HouseSession, what: Command[Any, Any], words: Callable[[str], dict[str, Any]], allowed: set[Role]
) -> None:
    community, program, colleague = member(session)
    with_capacity(session, community, program, capacity_code="waitlist", open_places=None)
    if what is c.remove_from_intake:
        execute(
            session,
            c.add_to_intake,
            actor=someone(community, Role.SUPERVISOR),
            target=program.id,
            data={"user_id": colleague},
        )
    expect = program.version if what.edits else None
    data = words(colleague)

    stranger = someone(a_community_organization(session, "Second Start"), Role.SUPERVISOR, Role.NAVIGATOR)
    for actor, target in ((stranger, program.id), (stranger, uuid4()), (nobody(Source("page")), program.id)):
        with pytest.raises(NotFoundError):
            execute(session, what, actor=actor, target=target, data=data, expect=expect)
        event = last_event(session)
        assert (event["action"], event["outcome"], event["code"]) == (what.records, "refused", "not_found")

    for role in set(Role) - allowed - {Role.OPERATOR}:
        with pytest.raises(NotPermittedError):
            execute(session, what, actor=someone(community, role), target=program.id, data=data, expect=expect)
        event = last_event(session)
        assert (event["action"], event["outcome"], event["code"]) == (what.records, "refused", "not_permitted")

    execute(session, what, actor=someone(community, *allowed), target=program.id, data=data, expect=expect)
    event = last_event(session)
    assert (event["action"], event["outcome"], event["purpose"]) == (what.records, "done", "administration")


def test_only_supervisors_of_the_organization_offer_a_program(session: HouseSession) -> None:
    community = a_community_organization(session)
    for role in set(Role) - {Role.SUPERVISOR, Role.OPERATOR}:
        with pytest.raises(NotPermittedError):
            execute(session, c.add_program, actor=someone(community, role), target=community.id, data=SAID)
    other = a_community_organization(session, "Second Start")
    with pytest.raises(NotFoundError):
        execute(session, c.add_program, actor=someone(other, Role.SUPERVISOR), target=community.id, data=SAID)
    assert last_event(session)["outcome"] == "refused"
    a_program(session, community)
    assert (last_event(session)["action"], last_event(session)["outcome"]) == ("program.added", "done")


def test_what_people_write_stays_out_of_the_log(session: HouseSession) -> None:
    community = a_community_organization(session)
    a_program(session, community, name="Canary One", description="Canary Two", places=["Canary Three"])
    event = str(last_event(session))
    assert "anary" not in event
    assert "'employment'" in event


def test_two_editors_do_not_overwrite_each_other(session: HouseSession) -> None:
    community, program, _ = member(session)
    actor = someone(community, Role.NAVIGATOR)
    with pytest.raises(PreconditionNeededError):
        execute(session, c.change_program, actor=actor, target=program.id, data=SAID)
    row = execute(session, c.change_program, actor=actor, target=program.id, data=SAID | {"name": "R2W"}, expect=1)
    assert (row.name, row.version, row.places) == ("R2W", 2, [])
    with pytest.raises(ChangedMeanwhileError):
        execute(session, c.change_program, actor=actor, target=program.id, data=SAID, expect=1)


# --- capacity --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "faults"),
    [
        ({"capacity_code": "plenty"}, {"capacity_code": ["not_a_choice"]}),
        ({"open_places": 3}, {"capacity_code": ["required"]}),
        ({"capacity_code": "capacity", "open_places": 0}, {"open_places": ["no_places_with_capacity"]}),
        ({"capacity_code": "no_capacity", "open_places": 1}, {"open_places": ["places_without_capacity"]}),
        ({"capacity_code": "waitlist", "waiting": -1}, {"waiting": ["out_of_range"]}),
        ({"capacity_code": "waitlist", "expected_days": "soon"}, {"expected_days": ["not_a_number"]}),
    ],
)
def test_capacity_refuses_bad_words(session: HouseSession, said: dict[str, Any], faults: dict[str, Any]) -> None:
    community, program, _ = member(session)
    with pytest.raises(InvalidInputError) as refused:
        execute(
            session, c.set_capacity, actor=someone(community, Role.NAVIGATOR), target=program.id, data=said, expect=1
        )
    assert refused.value.fields == faults


def test_capacity_says_who_said_so_and_when_and_still_true_renews_it(session: HouseSession) -> None:
    community, program, _ = member(session)
    first, second = someone(community, Role.NAVIGATOR), someone(community, Role.NAVIGATOR)
    with pytest.raises(NothingSaidError):
        execute(session, c.confirm_capacity, actor=first, target=program.id, data={"capacity_code": "capacity"})
    row = execute(
        session,
        c.set_capacity,
        actor=first,
        target=program.id,
        data={"capacity_code": "capacity", "open_places": 2, "expected_days": 10},
        expect=1,
    )
    said_at = row.capacity_at
    assert (row.capacity_by, row.open_places, row.expected_days) == (first.user_id, 2, 10)
    assert said_at is not None
    session.info["clock"] = lambda: said_at + timedelta(days=15)
    session.expire_all()
    assert q.program(session, program.id).capacity_is_stale(session.info["clock"]())
    with pytest.raises(ChangedMeanwhileError):
        execute(session, c.confirm_capacity, actor=second, target=program.id, data={"capacity_code": "no_capacity"})
    row = execute(session, c.confirm_capacity, actor=second, target=program.id, data={"capacity_code": "capacity"})
    assert (row.capacity_by, row.capacity_at, row.open_places) == (second.user_id, said_at + timedelta(days=15), 2)
    assert not row.capacity_is_stale(said_at + timedelta(days=29))


def test_a_closed_program_changes_no_more(session: HouseSession) -> None:
    community, program, colleague = member(session)
    actor = someone(community, Role.SUPERVISOR)
    execute(session, c.close_program, actor=actor, target=program.id, data={"because": "The grant ended."})
    version = q.program(session, program.id).version
    for what, data in (
        (c.close_program, {"because": "Again."}),
        (c.set_capacity, {"capacity_code": "capacity"}),
        (c.change_program, SAID | {"name": "New"}),
        (c.add_to_intake, {"user_id": colleague}),
    ):
        with pytest.raises(ProgramClosedError):
            execute(session, what, actor=actor, target=program.id, data=data, expect=version)
        assert last_event(session)["code"] == "program_closed"


# --- who answers -----------------------------------------------------------------------------------------------------


def test_only_a_colleague_who_can_work_with_participants_answers(session: HouseSession) -> None:
    community, program, colleague = member(session)
    other = a_community_organization(session, "Second Start")
    supervisor = someone(community, Role.SUPERVISOR)
    strangers = [
        a_colleague(session, other, Role.NAVIGATOR).id,
        a_colleague(session, community, Role.ADMINISTRATOR).id,
        uuid4(),
    ]
    execute(session, staff.disable_user, actor=system("cli"), target=UUID(colleague), data={"because": "Left."})
    for user_id in (*strangers, colleague):
        with pytest.raises(InvalidInputError) as refused:
            execute(session, c.add_to_intake, actor=supervisor, target=program.id, data={"user_id": str(user_id)})
        assert refused.value.fields == {"user_id": ["not_a_choice"]}
    assert session.scalars(select(IntakeMember)).all() == []


def test_the_intake_list_says_who_answers_from_when_to_when(session: HouseSession) -> None:
    community = a_community_organization(session)
    program = a_program(session, community)
    navigator = a_colleague(session, community, Role.NAVIGATOR)
    supervisor = someone(community, Role.SUPERVISOR)
    where = {"actor": supervisor, "target": program.id, "data": {"user_id": str(navigator.id)}}
    with pytest.raises(NotOnIntakeError):
        execute(session, c.remove_from_intake, **where)
    entry = execute(session, c.add_to_intake, **where)
    assert last_event(session)["action"] == "program.intake_added"
    with pytest.raises(AlreadyOnIntakeError):
        execute(session, c.add_to_intake, **where)
    assert q.answering(session, program.id) == [navigator.id]
    assert session.scalars(q.intake_programs(navigator.id)).all() == [program.id]

    assert execute(session, c.remove_from_intake, **where).id == program.id
    ended = session.get_one(IntakeMember, entry.id, populate_existing=True)
    assert (ended.ended_by, ended.ended_at is not None) == (supervisor.user_id, True)
    assert q.answering(session, program.id) == []
    again = execute(session, c.add_to_intake, **where)
    assert again.id != entry.id


def test_somebody_whose_account_ended_answers_no_more(session: HouseSession) -> None:
    community = a_community_organization(session)
    program = a_program(session, community)
    navigator = a_colleague(session, community, Role.NAVIGATOR)
    on_intake(session, community, program, navigator)
    execute(session, staff.disable_user, actor=system("cli"), target=navigator.id, data={"because": "Left."})
    assert q.answering(session, program.id) == []


def test_who_answers_is_the_list_and_its_supervisors(session: HouseSession) -> None:
    community = a_community_organization(session)
    program_id = a_program(session, community).id
    navigator = a_colleague(session, community, Role.NAVIGATOR)
    on_intake(session, community, q.program(session, program_id), navigator)
    session.expire_all()
    program = q.program(session, program_id)
    assert p.answers_for_it(someone(community, Role.NAVIGATOR, user_id=navigator.id), program)
    assert p.answers_for_it(someone(community, Role.SUPERVISOR), program)
    assert not p.answers_for_it(acting(session, community, Role.NAVIGATOR), program)
    assert not p.answers_for_it(someone(community, Role.ADMINISTRATOR, user_id=navigator.id), program)
    other = a_community_organization(session, "Second Start")
    assert not p.answers_for_it(someone(other, Role.SUPERVISOR), program)


def test_the_database_holds_one_entry_in_force(engine: Engine, open_on: Callable[[Engine], HouseSession]) -> None:
    with open_on(engine) as session:
        community = a_community_organization(session)
        program = a_program(session, community)
        navigator = a_colleague(session, community, Role.NAVIGATOR)
        on_intake(session, community, program, navigator)
        with pytest.raises(AlreadyOnIntakeError):
            on_intake(session, community, program, navigator)
        in_force = session.scalars(select(IntakeMember).where(IntakeMember.ended_at.is_(None))).all()
        assert len(in_force) == 1
