"""The directory on both databases: filters, search, pages that neither skip nor repeat, constant statements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from referrals.kernel.actor import Role, Source, nobody
from referrals.kernel.command import execute
from referrals.kernel.errors import NotFoundError
from referrals.kernel.session import HouseSession
from referrals.program import commands as c
from referrals.program import queries as q
from referrals.program.queries import Wanted
from tests.factories.organization import a_community_organization, a_location, someone
from tests.factories.program import a_colleague, a_program, on_intake, with_capacity


def found(session: Session, **wanted: Any) -> list[str]:
    rows, _ = q.page(session, Wanted(**wanted))
    return [row.name for row in rows]


@contextmanager
def statements(session: Session) -> Iterator[list[str]]:
    """Collect the SQL that a session's engine runs."""
    seen: list[str] = []
    engine = session.get_bind()

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def test_nobody_who_is_not_signed_in_reads_the_directory(session: HouseSession) -> None:
    program = a_program(session, a_community_organization(session))
    assert session.scalars(q.visible_to(nobody(Source("page")))).all() == []
    assert [one.id for one in session.scalars(q.visible_to(someone(None, Role.CASE_MANAGER)))] == [program.id]
    with pytest.raises(NotFoundError):
        q.program(session, uuid4())


def test_filters_and_search_find_what_fits_and_nothing_else(any_session: HouseSession) -> None:
    session = any_session
    first, second = a_community_organization(session), a_community_organization(session, "Puerta Nueva")
    place = a_location(session, second, city="Richmond")
    a_program(session, first, "Ready to Work", eligibility="Anyone 18 or older")
    a_program(
        session,
        second,
        "Casa Cañón",
        categories=["housing", "food"],
        languages=["en", "es"],
        places=["Contra Costa County"],
        location_id=str(place.id),
    )
    closed = a_program(session, first, "Old Program")
    execute(
        session,
        c.close_program,
        actor=someone(first, Role.SUPERVISOR),
        target=closed.id,
        data={"because": "The grant ended."},
    )
    assert found(session) == ["Casa Cañón", "Ready to Work"]
    assert found(session, category="food") == ["Casa Cañón"]
    assert found(session, category="foo") == []
    assert found(session, language="es") == ["Casa Cañón"]
    assert found(session, place="contra costa") == ["Casa Cañón"]
    assert found(session, place="Richmond") == ["Casa Cañón"]
    assert found(session, place="Alameda") == ["Ready to Work"]
    assert found(session, search="canon CASA") == ["Casa Cañón"]
    assert found(session, search="puerta") == ["Casa Cañón"]
    assert found(session, search="18 older work") == ["Ready to Work"]
    assert found(session, search="%") == []
    assert found(session, search="' OR 1=1 --") == []
    assert found(session, category="housing", language="en", search="ready") == []
    assert found(session, organization_id=first.id) == ["Ready to Work"]
    assert q.count(session, Wanted()) == 2
    assert [one.name for one in q.offered_by(session, first.id)] == ["Ready to Work"]


def test_only_those_with_room(session: HouseSession) -> None:
    community = a_community_organization(session)
    with_capacity(session, community, a_program(session, community, "Room"))
    with_capacity(
        session, community, a_program(session, community, "Full"), capacity_code="no_capacity", open_places=None
    )
    a_program(session, community, "Silent")
    assert found(session, with_room=True) == ["Room"]


def test_pages_go_by_name_and_neither_skip_nor_repeat(any_session: HouseSession) -> None:
    session = any_session
    community = a_community_organization(session)
    for name in ("delta", "Alpha", "alpha", "Écho", "Bravo"):
        a_program(session, community, name)
    seen, after = [], None
    for _ in range(3):
        rows, after = q.page(session, Wanted(), after=after, limit=2)
        seen += [row.name.casefold() for row in rows]
    assert seen == ["alpha", "alpha", "bravo", "delta", "écho"]
    assert after is None
    assert q.page(session, Wanted(), after=uuid4()) == ([], None)


def test_a_page_takes_as_many_statements_for_twenty_rows_as_for_two(session: HouseSession) -> None:
    counts = []
    for batch in (2, 18):
        for number in range(batch):
            community = a_community_organization(session, f"Organization {batch}-{number}")
            location = a_location(session, community)
            a_program(session, community, f"Program {batch}-{number}", location_id=str(location.id))
        session.expunge_all()
        with statements(session) as seen:
            rows, _ = q.page(session, Wanted())
            told = [(row.organization.name, row.location.city) for row in rows if row.location is not None]
        counts.append((len(told), len(seen)))
    assert [rows for rows, _ in counts] == [2, 20]
    assert counts[0][1] == counts[1][1]


def test_whose_word_is_due_longest_stands_first(session: HouseSession) -> None:
    community = a_community_organization(session)
    navigator = a_colleague(session, community, Role.NAVIGATOR)
    said, silent, other = (a_program(session, community, name) for name in ("Said", "Silent", "Other"))
    with_capacity(session, community, said)
    for program in (said, silent):
        on_intake(session, community, program, navigator)
    mine = q.capacity_due(session, someone(community, Role.NAVIGATOR, user_id=navigator.id))
    assert [one.id for one in mine] == [silent.id, said.id]
    everything = q.capacity_due(session, someone(community, Role.SUPERVISOR))
    assert {one.id for one in everything} == {said.id, silent.id, other.id}


def test_names_of_many_come_at_once(session: HouseSession) -> None:
    program = a_program(session, a_community_organization(session))
    assert q.names(session, [program.id, uuid4()]) == {program.id: "Ready to Work"}
    assert q.names(session, []) == {}
