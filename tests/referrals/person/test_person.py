"""Participants: whom one may know of, and what is kept of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, event, select, text

from referrals.account.models import User
from referrals.kernel import crypto, look
from referrals.kernel.actor import Actor
from referrals.kernel.command import execute
from referrals.kernel.errors import (
    ChangedMeanwhileError,
    InvalidInputError,
    NotFoundError,
    NotPermittedError,
    PreconditionNeededError,
    RuleBrokenError,
)
from referrals.kernel.look import NOT_SHARED
from referrals.kernel.session import HouseSession
from referrals.organization.models import Organization
from referrals.person import commands, queries
from referrals.person.models import (
    AlreadyAssignedError,
    Assignment,
    AssignmentEndedError,
    LikelyDuplicateError,
    NumberTakenError,
    Person,
    are_similar,
    folded_words,
    readings,
)
from referrals.program.models import Program
from tests.factories.account import a_case_manager, a_navigator, a_supervisor, an_administrator, an_auditor, an_officer
from tests.factories.consent import a_consent
from tests.factories.organization import a_community_organization, a_facility, an_agency
from tests.factories.partnership import an_agreement
from tests.factories.person import a_participant, as_if_referred, details, with_colleague
from tests.factories.program import a_program, on_intake


@dataclass
class World:
    session: HouseSession
    agency: Organization
    community: Organization
    manager: Actor

    def looked(self, read: Callable[..., Any], *args: Any, **words: Any) -> Any:
        with look.looking(self.session):
            return read(self.session, *args, **words)


@pytest.fixture
def world(any_session: HouseSession) -> World:
    agency, community = an_agency(any_session), a_community_organization(any_session)
    return World(any_session, agency, community, a_case_manager(any_session, agency.id))


def events(session: HouseSession, action: str) -> list[Any]:
    rows = session.connection().execute(
        text("SELECT outcome, body FROM audit_event WHERE action = :action ORDER BY event_id"), {"action": action}
    )
    return list(rows)


def add(world: World, actor: Actor | None = None, **said: Any) -> Person:
    return execute(
        world.session,
        commands.add_participant,
        actor=actor or world.manager,
        target=world.agency.id,
        data=details(**said),
    )


# --- adding -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "field", "code"),
    [
        ({"birth_date": "2999-01-01"}, "birth_date", "not_a_date"),
        ({"birth_date": "2150-01-01"}, "birth_date", "in_future"),
        ({"agency_number": "---"}, "agency_number", "not_accepted"),
        ({"language": "klingon"}, "language", "not_a_choice"),
        ({"family_name": ""}, "family_name", "required"),
        ({"family_name": "N\x00"}, "family_name", "not_text"),
        ({"family_name": "x" * 101}, "family_name", "too_long"),
        ({"organization_id": str(uuid4())}, "organization_id", "unknown_field"),
        ({"facility_id": str(uuid4())}, "facility_id", "not_your_facility"),
    ],
)
def test_a_wrong_word_names_its_field(world: World, said: dict[str, Any], field: str, code: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        add(world, **said)
    assert refused.value.fields == {field: [code]}
    assert world.session.scalars(select(Person)).all() == []


def test_only_an_agencys_case_managers_and_officers_add(world: World) -> None:
    session = world.session
    for actor in (a_supervisor(session, world.agency.id), an_administrator(session, world.agency.id)):
        with pytest.raises(NotPermittedError):
            add(world, actor)
    with pytest.raises(NotFoundError):
        add(world, a_navigator(session, world.community.id))
    with pytest.raises(NotPermittedError):
        execute(
            session,
            commands.add_participant,
            actor=a_navigator(session, world.community.id),
            target=world.community.id,
            data=details(),
        )
    assert [row.outcome for row in events(session, "person.added")] == ["refused"] * 4
    add(world, an_officer(session, world.agency.id))


def test_whoever_adds_a_participant_is_on_the_care_team_at_once(world: World) -> None:
    person = add(world)
    team = world.looked(queries.care_team, world.manager, person.id)
    assert [(one.user_id, one.tie, one.reason) for one in team] == [(world.manager.me, "case_manager", "new_to_agency")]
    seen = world.looked(queries.participant, world.manager, person.id)
    assert (seen.called, seen.birth_date.isoformat(), seen.phone) == ("Rosa Núñez", "1988-02-29", "(510) 555-0142")


def test_a_number_is_given_once_in_an_agency_whatever_its_spelling(world: World) -> None:
    first = add(world, agency_number="ab 77-1")
    with pytest.raises(NumberTakenError) as refused:
        add(world, agency_number="AB771", family_name="Other")
    assert refused.value.facts == {"person_id": first.id}
    stranger = a_case_manager(world.session, world.agency.id)
    with pytest.raises(NumberTakenError) as refused:
        add(world, stranger, agency_number="AB-771", family_name="Other")
    assert refused.value.facts == {}
    elsewhere = an_agency(world.session, "Coast County Probation")
    manager = a_case_manager(world.session, elsewhere.id)
    assert a_participant(world.session, manager, agency_number="AB771").id


def test_of_many_adding_one_number_at_once_one_does(
    world: World, engine: Engine, open_on: Callable[[Engine], HouseSession]
) -> None:
    told: list[str] = []
    agency = world.agency.id

    def add_it() -> None:
        with open_on(engine) as session:
            data = details(agency_number="AB-1", although_alike=True)
            try:
                execute(session, commands.add_participant, actor=world.manager, target=agency, data=data)
                told.append("added")
            except RuleBrokenError as refusal:
                told.append(refusal.code)

    world.session.rollback()
    racing = [threading.Thread(target=add_it) for _ in range(8)]
    for one in racing:
        one.start()
    for one in racing:
        one.join(60)
    assert (told.count("added"), len(told)) == (1, 8)
    assert set(told) <= {"added", "number_taken", "conflicting_entry"}
    assert len(world.session.scalars(select(Person.id)).all()) == 1


def test_a_likely_duplicate_is_said_first_and_added_only_knowingly(world: World) -> None:
    first = add(world, family_name="Núñez")
    with pytest.raises(LikelyDuplicateError) as refused:
        add(world, family_name="NUNEZ")
    assert refused.value.facts == {"count": 1, "person_ids": [str(first.id)]}
    with pytest.raises(LikelyDuplicateError) as refused:
        add(world, a_case_manager(world.session, world.agency.id), family_name="nunez")
    assert refused.value.facts == {"count": 1, "person_ids": []}
    assert add(world, family_name="nunez", although_alike=True).id != first.id
    assert add(world, family_name="nunez", given_name="Ana", birth_date="1988-03-01", phone="(510) 555-0143").id


# --- within sight -----------------------------------------------------------------------------------------------------


def sees(world: World, actor: Actor, person: Person) -> bool:
    with look.looking(world.session):
        try:
            queries.participant(world.session, actor, person.id)
        except NotFoundError:
            return False
        return True


def test_a_stranger_gets_the_answer_of_a_random_id(world: World) -> None:
    person = add(world)
    stranger = a_case_manager(world.session, world.agency.id)
    for target in (person.id, uuid4()):
        with pytest.raises(NotFoundError), look.looking(world.session):
            queries.participant(world.session, stranger, target)
        with pytest.raises(NotFoundError):
            execute(
                world.session,
                commands.change_contacts,
                actor=stranger,
                target=target,
                data={"phone": "1"},
                expect=1,
            )
    assert [(row.outcome, json.loads(row.body)["code"]) for row in events(world.session, "person.viewed")] == [
        ("refused", "not_found")
    ] * 2
    assert str(person.id) not in "".join(str(row.body) for row in events(world.session, "person.viewed"))


def test_only_an_assignment_in_force_opens_a_participant(world: World) -> None:
    session, person = world.session, add(world)
    colleague = a_case_manager(session, world.agency.id)
    assert not sees(world, colleague, person)
    assignment = with_colleague(session, world.manager, person, colleague.me)
    assert sees(world, colleague, person)
    execute(
        session, commands.end_assignment, actor=world.manager, target=assignment.id, data={"because": "handed_over"}
    )
    assert not sees(world, colleague, person)
    assert sees(world, a_supervisor(session, world.agency.id), person)
    elsewhere = an_agency(session, "Coast County Probation")
    assert not sees(world, a_supervisor(session, elsewhere.id), person)


def test_administrators_and_auditors_see_nobody_even_if_assigned(world: World) -> None:
    session, person = world.session, add(world)
    for actor in (an_administrator(session, world.agency.id), an_auditor(session, world.agency.id)):
        as_if_referred(session, person.id, world.agency.id, user_id=actor.me)
        assert not sees(world, actor, person)
        assert world.looked(queries.participants, actor) == ([], None, 0)
        assert world.looked(queries.count, actor) == 0


def test_an_intake_list_opens_its_participants_to_who_is_on_it(world: World) -> None:
    session, person = world.session, add(world)
    program: Program = a_program(session, world.community)
    nia, noor = a_navigator(session, world.community.id), a_navigator(session, world.community.id)
    on_intake(session, world.community, program, session.get_one(User, nia.me))
    as_if_referred(session, person.id, world.community.id, program_id=program.id)
    assert sees(world, nia, person)
    assert not sees(world, noor, person)
    assert sees(world, a_supervisor(session, world.community.id), person)
    assert world.looked(queries.participant, nia, person.id).family_name is NOT_SHARED


def test_the_list_and_its_count_go_by_pages(world: World) -> None:
    people = [add(world, family_name=f"Name{number}") for number in range(5)]
    first, after, count = world.looked(queries.participants, world.manager, limit=2)
    second, after, again = world.looked(queries.participants, world.manager, after=after, limit=2)
    third, end, _ = world.looked(queries.participants, world.manager, after=after, limit=2)
    assert (count, again) == (5, 5)
    assert [one.id for one in (*first, *second, *third)] == [one.id for one in reversed(people)]
    assert end is None
    assert world.looked(queries.count, world.manager) == 5


# --- changing ---------------------------------------------------------------------------------------------------------


def test_an_edit_holds_against_the_version_that_was_read(world: World) -> None:
    session, person = world.session, add(world)
    with pytest.raises(PreconditionNeededError):
        execute(session, commands.change_contacts, actor=world.manager, target=person.id, data={"phone": "1"})
    changed = execute(
        session, commands.change_contacts, actor=world.manager, target=person.id, data={"phone": "911"}, expect=1
    )
    assert (changed.version, changed.phone, changed.email) == (2, "911", None)
    with pytest.raises(ChangedMeanwhileError):
        execute(session, commands.change_contacts, actor=world.manager, target=person.id, data={"phone": "1"}, expect=1)


def test_identity_is_corrected_and_found_under_its_new_name_alone(world: World) -> None:
    session, person = world.session, add(world)
    words = {key: value for key, value in details(family_name="Ortiz").items() if key != "phone"}
    execute(session, commands.change_identity, actor=world.manager, target=person.id, data=words, expect=1)
    assert [one.id for one in search(world, family_name="ortiz", birth_date="1988-02-29")] == [person.id]
    assert search(world, family_name="nunez", birth_date="1988-02-29") == []
    with pytest.raises(NotPermittedError):
        execute(
            session,
            commands.change_identity,
            actor=a_supervisor(session, world.agency.id),
            target=person.id,
            data=words,
            expect=2,
        )


def test_a_participant_moves_between_facilities_of_their_own_agency(world: World) -> None:
    session, person = world.session, add(world)
    here = a_facility(session, world.agency)
    there = a_facility(session, an_agency(session, "Coast County Probation"))
    move = {"actor": world.manager, "target": person.id, "expect": 1}
    with pytest.raises(InvalidInputError):
        execute(session, commands.move_to_facility, data={"facility_id": str(there.id)}, **move)  # type: ignore[arg-type]
    moved = execute(session, commands.move_to_facility, data={"facility_id": str(here.id)}, **move)  # type: ignore[arg-type]
    assert moved.facility_id == here.id


# --- care team --------------------------------------------------------------------------------------------------------


def test_only_colleagues_who_work_with_participants_join_a_care_team(world: World) -> None:
    session, person = world.session, add(world)
    outsiders = (
        an_administrator(session, world.agency.id).me,
        a_navigator(session, world.community.id).me,
        uuid4(),
    )
    for user_id in outsiders:
        with pytest.raises(InvalidInputError) as refused:
            with_colleague(session, world.manager, person, user_id)
        assert refused.value.fields == {"user_id": ["not_a_colleague"]}
    officer = an_officer(session, world.agency.id)
    with pytest.raises(InvalidInputError) as refused:
        with_colleague(session, world.manager, person, officer.me, "navigator")
    assert refused.value.fields == {"tie": ["not_a_choice"]}
    with_colleague(session, world.manager, person, officer.me, "supervising_officer")
    with pytest.raises(AlreadyAssignedError):
        with_colleague(session, world.manager, person, officer.me, "supervising_officer")


def test_an_assignment_ends_once_and_stays_to_be_read(world: World) -> None:
    session, person = world.session, add(world)
    officer = an_officer(session, world.agency.id)
    assignment = with_colleague(session, world.manager, person, officer.me, "supervising_officer")
    end = {"actor": world.manager, "target": assignment.id, "data": {"because": "transfer"}}
    execute(session, commands.end_assignment, **end)  # type: ignore[arg-type]
    with pytest.raises(AssignmentEndedError):
        execute(session, commands.end_assignment, **end)  # type: ignore[arg-type]
    team = world.looked(queries.care_team, world.manager, person.id, ended=True)
    assert [(one.tie, one.is_in_force, one.ended_because) for one in team] == [
        ("supervising_officer", False, "transfer"),
        ("case_manager", True, None),
    ]


def test_who_helps_crosses_only_as_attendance_and_is_otherwise_absent(world: World) -> None:
    session, person = world.session, add(world)
    nia = a_navigator(session, world.community.id)
    as_if_referred(session, person.id, world.community.id, user_id=nia.me)
    assert [one.organization_id for one in world.looked(queries.care_team, nia, person.id)] == [world.community.id]
    an_agreement(session, world.agency, world.community)
    a_consent(session, world.manager, person.id, world.community.id, categories=["attendance"])
    assert {one.organization_id for one in world.looked(queries.care_team, nia, person.id)} == {
        world.community.id,
        world.agency.id,
    }
    assert len(world.looked(queries.care_team, world.manager, person.id)) == 1
    with pytest.raises(NotPermittedError):
        execute(
            session,
            commands.end_assignment,
            actor=nia,
            target=session.scalars(select(Assignment.id).where(Assignment.user_id == world.manager.me)).one(),
            data={"because": "other"},
        )


# --- search -----------------------------------------------------------------------------------------------------------


def search(world: World, actor: Actor | None = None, **words: Any) -> list[Any]:
    if "birth_date" in words:
        words["birth_date"] = datetime.strptime(words["birth_date"], "%Y-%m-%d").replace(tzinfo=UTC).date()
    found = world.looked(queries.search, actor or world.manager, **words)
    return list(found.rows)


@pytest.mark.parametrize(
    ("words", "faults"),
    [
        ({}, {"": ["nothing_to_search"]}),
        ({"family_name": "Núñez"}, {"birth_date": ["required"]}),
        ({"birth_date": "1988-02-29"}, {"family_name": ["required"]}),
        ({"name": "—"}, {"name": ["not_accepted"]}),
        ({"agency_number": "--"}, {"agency_number": ["not_accepted"]}),
    ],
)
def test_a_search_says_what_it_lacks(world: World, words: dict[str, Any], faults: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidInputError) as refused:
        search(world, **words)
    assert refused.value.fields == faults


@pytest.mark.parametrize(
    "typed",
    ["garcia", "LÓPEZ", "garcia lopez", "García-López", "garcialopez", "maria garcia", "lopez maria", "mar lop"],
)
def test_a_name_is_found_without_case_accents_or_order(world: World, typed: str) -> None:
    person = add(world, given_name="María", family_name="García López")
    add(world, given_name="Ana", family_name="Garza")
    assert [one.id for one in search(world, name=typed)] == [person.id]


def test_a_name_is_found_by_index_alone_when_many_are_within_sight(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "OPENED_AT_MOST", 3)
    person = add(world, given_name="María", family_name="O'Brien García")
    for number in range(3):
        add(world, given_name="Ana", family_name=f"Other{number}")
    found = world.looked(queries.search, world.manager, name="maria obrien garcia")
    assert ([one.id for one in found.rows], found.whole_words) == ([person.id], True)
    assert [one.id for one in search(world, name="María")] == [person.id]
    assert search(world, name="mar") == []


@pytest.mark.parametrize("typed", ["ana ruiz", "Ruiz, Ana"])
def test_whoever_has_two_family_or_given_names_is_shown_beside_the_namesake_with_one(
    world: World, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    """Else the namesake alone would be shown, and taken for the one who was meant."""
    monkeypatch.setattr(queries, "OPENED_AT_MOST", 4)
    namesake = add(world, given_name="Ana", family_name="Ruiz")
    two_family_names = add(world, given_name="Ana", family_name="Ruiz Solano")
    two_given_names = add(world, given_name="Ana María", family_name="Ruiz", although_alike=True)
    for number in range(3):
        add(world, given_name="Bo", family_name=f"Other{number}")
    found = world.looked(queries.search, world.manager, name=typed)
    assert found.whole_words
    assert {one.id for one in found.rows} == {namesake.id, two_family_names.id, two_given_names.id}


def test_a_number_and_a_birth_date_find_exactly_their_person(world: World) -> None:
    person = add(world, agency_number="ZX 0091", family_name="de la Cruz")
    add(world, agency_number="ZX0092")
    assert [one.id for one in search(world, agency_number="zx-0091")] == [person.id]
    assert [one.id for one in search(world, family_name="DE LA CRUZ", birth_date="1988-02-29")] == [person.id]
    assert search(world, family_name="de la Cruz", birth_date="1988-02-28") == []
    assert search(world, agency_number="zx-0091", name="somebody else") == []


def test_foreign_withheld_and_absent_people_give_the_same_answer(world: World) -> None:
    session, person = world.session, add(world, agency_number="ZX0091")
    nia = a_navigator(session, world.community.id)
    stranger = a_case_manager(session, world.agency.id)
    as_if_referred(session, person.id, world.community.id, user_id=nia.me)
    asked = ({"agency_number": "ZX0091"}, {"name": "Núñez"}, {"family_name": "Núñez", "birth_date": "1988-02-29"})
    for actor in (nia, stranger):
        for words in asked:
            assert search(world, actor, **words) == []
    an_agreement(session, world.agency, world.community)
    a_consent(session, world.manager, person.id, world.community.id, categories=["identity"])
    for words in asked:
        assert [one.id for one in search(world, nia, **words)] == [person.id]
        assert search(world, stranger, **words) == []


def test_a_search_is_on_record_and_its_words_are_not_readable_there(world: World) -> None:
    add(world, family_name="Canarybird")
    search(world, name="Canarybird")
    search(world, name="Nobodysname")
    noted = events(world.session, "person.searched")
    assert len(noted) == 3
    assert all(b"anarybird" not in bytes(row.body) and b"obodysname" not in bytes(row.body) for row in noted)


def test_words_of_a_name_fold_as_people_write_them() -> None:
    assert folded_words("  Núñez-O'Brien  de\u2011la Cruz") == ["nunez", "obrien", "de", "la", "cruz"]
    assert folded_words("Ёлкина") == folded_words("ЁЛКИНА")
    assert folded_words("—") == []


# --- nothing leaks, nothing grows -------------------------------------------------------------------------------------


def test_no_word_about_a_participant_stands_readable_in_the_database(world: World, engine: Engine) -> None:
    canary = {name: f"Canary{number}" for number, name in enumerate(("given_name", "family_name", "preferred_name"))}
    person = add(world, **canary, agency_number="CANARYNO", email="canary@example.org", address="Canary street 1")
    with_colleague_words = {
        "user_id": str(an_officer(world.session, world.agency.id).me),
        "tie": "supervising_officer",
        "reason": "other",
        "reason_text": "Canary reason",
    }
    execute(
        world.session,
        commands.assign_to_care_team,
        actor=world.manager,
        target=person.id,
        data=with_colleague_words,
    )
    world.session.rollback()
    with engine.connect() as connection:
        for table in ("person", "assignment", "audit_event", "data_key"):
            for row in connection.execute(text(f"SELECT * FROM {table}")):  # noqa: S608  # tables of our own
                assert "canary" not in " ".join(_readable(value) for value in row).lower(), table
    assert "canary" not in repr(person).lower()


def _readable(value: object) -> str:
    return bytes(value).decode("utf-8", "replace") if isinstance(value, bytes | memoryview) else str(value)


@contextmanager
def counting(engine: Engine) -> Iterator[list[str]]:
    said: list[str] = []

    def keep(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        said.append(statement)

    event.listen(engine, "before_cursor_execute", keep)
    try:
        yield said
    finally:
        event.remove(engine, "before_cursor_execute", keep)


@pytest.mark.parametrize("reading", ["list", "search", "team"])
def test_statements_do_not_grow_with_rows(world: World, engine: Engine, reading: str) -> None:
    def read() -> int:
        world.session.info["ring"].forget()
        with counting(engine) as said:
            if reading == "list":
                world.looked(queries.participants, world.manager, limit=50)
            elif reading == "search":
                world.looked(queries.search, world.manager, name="Núñez")
            else:
                world.looked(queries.care_team, world.manager, person.id)
        return len(said)

    person = add(world)
    few = read()
    for _ in range(6):
        add(world, although_alike=True)
        with_colleague(
            world.session, world.manager, person, an_officer(world.session, world.agency.id).me, "supervising_officer"
        )
    assert read() == few


# --- likely duplicates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "similar"),
    [
        ("Dan", "Daniel", True),
        ("DANIEL", "Dániel", True),
        ("Jose", "José Luis", True),
        ("Marcus", "Markus", True),
        ("Brian", "Brain", True),
        ("Sara", "Sarah", True),
        ("Jo", "John", False),
        ("Ana", "Eva", False),
        ("Ana", "Ada", False),
        ("Marcus", "Martin", False),
        ("", "Ana", False),
    ],
)
def test_given_names_are_similar_when_short_or_one_letter_apart(one: str, other: str, similar: bool) -> None:
    assert are_similar(one, other) is similar
    assert are_similar(other, one) is similar


@given(name=st.text("abcdefg", min_size=4, max_size=9), place=st.integers(0, 8), letter=st.sampled_from("xyz"))
def test_a_name_with_one_letter_added_or_changed_stays_similar(name: str, place: int, letter: str) -> None:
    at = place % len(name)
    assert are_similar(name, name[:at] + letter + name[at:])
    assert are_similar(name, name[:at] + letter + name[at + 1 :])


@given(number=st.text("O0I1S5AB2Z8-", max_size=14))
def test_a_number_is_read_as_typed_first_and_in_no_more_ways_than_are_looked_for(number: str) -> None:
    read = readings(number)
    assert read[:1] == ([crypto.numbers(number)] if crypto.numbers(number) else [])
    assert len(read) == len(set(read)) <= 48
    assert {len(one) for one in read} <= {len(crypto.numbers(number))}


def test_what_is_alike_within_the_agency_is_said_with_its_reason(world: World) -> None:
    first = add(world, given_name="Daniel", family_name="O'Brien", birth_date="1979-02-03", phone="510 555 0100")

    def reasons(**said: Any) -> list[list[str]]:
        asked = {"given_name": "Rosa", "family_name": "OBRIEN", "birth_date": date(1990, 1, 1), "phone": None} | said
        found = queries.alike(world.session, world.agency.id, queries.Alike(**asked))
        assert {row.id for row, _ in found} <= {first.id}
        return [why for _, why in found]

    assert reasons() == []
    assert reasons(birth_date=date(1979, 2, 3)) == [["birth_date"]]
    assert reasons(phone="+1 (510) 555-0100") == [["phone"]]
    assert reasons(given_name="Dan") == [["given_name"]]
    assert reasons(preferred_name="Danny", given_name="Rosa") == []
    assert reasons(given_name="Danel", birth_date=date(1979, 2, 3)) == [["birth_date", "given_name"]]
    assert reasons(family_name="Byrne", birth_date=date(1979, 2, 3), given_name="Daniel") == []


def test_what_another_organization_holds_never_shows(world: World) -> None:
    add(world, although_alike=True)
    elsewhere = an_agency(world.session)
    colleague = a_case_manager(world.session, elsewhere.id)
    data = details(agency_number="AB-1001")
    made = execute(world.session, commands.add_participant, actor=colleague, target=elsewhere.id, data=data)
    assert made.organization_id == elsewhere.id
    asked = queries.Alike("Rosa", "Núñez", date(1988, 2, 29), "(510) 555-0142")
    with look.looking(world.session):
        found = queries.duplicates(world.session, colleague, asked, "AB-1001")
    assert ([one.id for one, _ in found.shown], found.hidden, found.number) == ([made.id], 0, found.number)
    assert found.number is not None
    assert found.number.id == made.id


def test_of_likely_duplicates_only_those_within_sight_are_shown_and_on_record(world: World) -> None:
    mine = add(world)
    other = a_case_manager(world.session, world.agency.id)
    theirs = add(world, other, agency_number="AB-2", although_alike=True)
    asked = queries.Alike("Rosa", "Núñez", date(1988, 2, 29), None)
    before = len(events(world.session, "person.alike_shown"))
    with look.looking(world.session):
        found = queries.duplicates(world.session, world.manager, asked, "AB-2")
    assert ([one.id for one, _ in found.shown], found.hidden, found.number) == ([mine.id], 1, None)
    told = events(world.session, "person.alike_shown")[before:]
    assert len(told) == 1
    assert str(theirs.log_ref) not in str(told)
