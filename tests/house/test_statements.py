"""How many SQL statements each page takes: constant in the number of rows, and equal to the number held here.

The pages are those that `./dev bench` measures, asked by people who really signed in. A number that rises shows in a
diff; one that grows with the rows fails. Nothing here asserts a time.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.pool import NullPool

from bench import pages
from bench.pages import Ask
from bench.seeding import Plan, Seeded, Seeding
from bench.statements import Inside
from referrals import app as factory
from referrals.exchange import queries
from referrals.kernel.keys import KeyRing
from referrals.kernel.orm import make_engine
from referrals.kernel.providers import FileProvider
from tests.journeys.front import settings_for

#: Two small departments are seeded, which takes a while on a busy machine.
pytestmark = pytest.mark.timeout(300)

#: Statements of one request as a page and as JSON, without the reading of keys. The design asks for at most 12 for a
#: list and 20 for a participant's page.
HELD = {
    "home, case manager": (20, 20),
    "home, navigator": (18, 18),
    "participants, 25, case manager": (9, 6),
    "participants, 25, supervisor": (9, 6),
    "referrals, 25, case manager": (12, 12),
    "referrals, 25, navigator": (12, 12),
    "participant, case manager": (17, 6),
    "participant, supervisor": (15, 6),
    "referral, case manager": (19, 18),
    "referral, navigator": (19, 18),
    "search by number, case manager": (7, 7),
    "search by number, supervisor": (7, 7),
    "search by name, case manager": (7, 7),
    "search by name, supervisor": (7, 7),
}
#: The acts that make and answer a referral; JSON answers with the referral as it is then, a form leads there.
ACTS = {"draft": 14, "write": 16, "send": 23, "accept, json": 21, "accept, page": 14}
#: Asked, once, only where a page names somebody whose own row it did not read (their sharing has ended, say).
SOMETIMES = "SELECT person.id, person.log_ref \nFROM person"


@dataclass(frozen=True, slots=True)
class World:
    """One case manager with so many participants, and the app on it."""

    seeded: Seeded
    inside: Inside


def a_world(scratch: Path, template: Path, provider: FileProvider, participants: int) -> Iterator[World]:
    path = scratch / f"statements-{participants}.db"
    shutil.copy(template, path)
    engine = make_engine(f"sqlite:///{path}", poolclass=NullPool)
    plan = Plan(participants, participants * 2, caseload=participants)
    seeded = Seeding(engine, KeyRing(provider), plan, signing=1).run()
    engine.dispose()
    app = factory.create_app(settings_for(f"sqlite:///{path}", provider), engine_options={"poolclass": NullPool})
    inside = Inside(app, KeyRing(provider))
    yield World(seeded, inside)
    inside.engine.dispose()
    path.unlink()


@pytest.fixture(scope="module")
def small(scratch: Path, sqlite_template: Path, provider: FileProvider) -> Iterator[World]:
    yield from a_world(scratch, sqlite_template, provider, 60)


@pytest.fixture(scope="module")
def large(scratch: Path, sqlite_template: Path, provider: FileProvider) -> Iterator[World]:
    yield from a_world(scratch, sqlite_template, provider, 120)


def asks(world: World) -> dict[str, Ask]:
    """One request for each page and door; a referral that both sides have written about stands for all."""
    navigator = next(name for name in world.seeded.navigators if name in world.seeded.told)
    found = {}
    for reading in pages.readings(world.seeded):
        ask = reading.ask(0)
        if reading.who == "navigator":
            ask = pages.changed(ask, user=navigator)
        about, person = world.seeded.told[navigator][0]
        if reading.name in {"referral", "participant"}:
            row = about if reading.name == "referral" else person
            ask = pages.changed(ask, path=f"{ask.path.rpartition('/')[0]}/{row}", marker=b"")
        found[f"{reading.name}, {reading.who}, {reading.door}"] = ask
    return found


def counted(world: World, ask: Ask) -> list[str]:
    """The statements of a request whose messages were seen before."""
    world.inside.ask(ask)
    heard = world.inside.ask(ask)[1]
    always = [one for one in heard if not one.startswith(SOMETIMES)]
    assert len(heard) - len(always) <= 1
    return always


def test_each_page_takes_the_statements_held_here_however_many_rows_there_are(small: World, large: World) -> None:
    few, many = asks(small), asks(large)
    assert few.keys() == many.keys()
    found = {name: (len(counted(small, few[name])), len(counted(large, many[name]))) for name in few}
    held = {
        f"{name}, {door}": count
        for name, both in HELD.items()
        for door, count in zip(("page", "json"), both, strict=True)
    }
    assert found == {name: (count, count) for name, count in held.items()}


#: What the addresses of the lists may ask besides: each order, filter and further page. (Statements of the page.)
ASKED_OF_LISTS = {
    "referrals?group=them&sort=due": 12,
    "referrals?group=them&sort=sent": 12,
    "referrals?group=them&sort=latest": 12,
    "referrals?group=them&status=acknowledged": 12,
    "referrals?group=them&urgency=soon": 12,
    "referrals?group=them&overdue=true": 12,
    "participants?sort=name": 9,
    "participants?language=en": 9,
}


def test_no_order_or_filter_of_a_list_asks_more(small: World, large: World) -> None:
    found: dict[str, set[int]] = {}
    for world in (small, large):
        ask = asks(world)["referrals, 25, case manager, page"]
        for asked in ASKED_OF_LISTS:
            one = pages.changed(ask, path=f"/{asked}", marker=b"")
            found.setdefault(asked, set()).add(len(counted(world, one)))
    assert {asked: max(counts) for asked, counts in found.items()} == ASKED_OF_LISTS


#: Statements of a file of participants: of 59 and of 119 rows, each read by pages of 100, of 30, of 20. The log takes
#: the subjects of 119 rows by one statement more.
EXPORTS = ([8, 10, 12], [11, 15, 19])
#: What a file of referrals takes besides its pages, of which each takes what its list takes, or less. Among it are the
#: log's subjects, a hundred at a time.
AROUND_REFERRALS = 8


def exported(world: World, listing: str) -> tuple[int, int]:
    """The statements of a file of a list, and its rows."""
    user = asks(world)["participants, 25, supervisor, page"].user
    words = {"purpose": "work", "because": "A review."} | ({"group": "them"} if listing == "referrals" else {})
    one = Ask(user, "POST", f"{pages.API}/{listing}/export", words, marker=b'","')
    world.inside.ask(one)
    file, heard = world.inside.ask(one)
    statements = [one for one in heard if not one.startswith(SOMETIMES)]
    return len(statements), len(file.splitlines()) - 1


@pytest.fixture
def untouched(scratch: Path, sqlite_template: Path, provider: FileProvider) -> Iterator[tuple[World, World]]:
    """A smaller and a larger department in which nobody has acted since: whole lists are read."""
    for few in a_world(scratch, sqlite_template, provider, 59):
        for many in a_world(scratch, sqlite_template, provider, 119):
            yield few, many


def test_a_file_takes_the_same_statements_for_each_page_of_its_list(
    untouched: tuple[World, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    people: tuple[list[int], list[int]] = ([], [])
    page = HELD["referrals, 25, case manager"][1]
    for size in (100, 30, 20):
        monkeypatch.setattr(queries, "READ_AT_ONCE", size)
        for number, world in enumerate(untouched):
            people[number].append(exported(world, "participants")[0])
            statements, rows = exported(world, "referrals")
            assert rows > 50
            assert statements <= AROUND_REFERRALS + page * -(-rows // size)
    assert people == EXPORTS


def test_making_and_answering_a_referral_takes_the_statements_held_here(small: World, large: World) -> None:
    assert acted(small) == ACTS
    assert acted(large) == ACTS


def acted(world: World) -> dict[str, int]:
    """Draft, write, send and accept two referrals, one at each door."""
    found: dict[str, int] = {}
    for chain in pages.chains(world.seeded)[:2]:
        door: pages.Door = "json" if not found else "page"
        body, heard = world.inside.ask(pages.draft(chain))
        made = json.loads(body)
        chain.referral, chain.version = made["id"], made["version"]
        found["draft"] = len(heard)
        found["write"] = len(world.inside.ask(pages.save(chain))[1])
        found["send"] = len(world.inside.ask(pages.send(chain))[1])
        found[f"accept, {door}"] = len(world.inside.ask(pages.accept(chain, door))[1])
    return found


def test_a_thread_of_twenty_messages_takes_what_one_takes(large: World) -> None:
    ask = asks(large)["referral, navigator, page"]
    before = len(counted(large, ask))
    for number in range(20):
        words = {"audience": "both", "category": "attendance", "message": f"We met again, {number}."}
        path = pages.API + ask.path + "/messages"
        large.inside.ask(Ask(ask.user, "POST", path, words, status=201, marker=b"We met again"))
    assert len(counted(large, ask)) == before


def test_home_counts_no_further_than_it_must(small: World, large: World) -> None:
    """There is no better place: a hundred referrals of one case manager stand here alone."""
    told = [json.loads(world.inside.ask(asks(world)["home, case manager, json"])[0]) for world in (small, large)]
    assert told[0]["waiting_count"] <= 100
    assert told[1]["waiting_count"] == 101
    assert b"(over 100)" in large.inside.ask(asks(large)["home, case manager, page"])[0]
