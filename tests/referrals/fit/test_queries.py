"""Which programs fit one participant, as far as their reader may know, and why (R12, R15)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event

from referrals.fit import queries as q
from referrals.kernel.actor import Actor
from referrals.kernel.look import looking
from referrals.organization.models import Facility, Organization
from referrals.partnership.models import Agreement
from referrals.person import queries as persons
from referrals.person.models import Person
from referrals.program.models import Program
from referrals.referral import commands as c
from referrals.referral import queries as referrals
from tests.factories.referral import LONG_AGO, World, planting


def offer(world: World, name: str, *, of: UUID | None = None, **said: Any) -> UUID:
    """Plant one more program."""
    with planting(world.session) as work:
        words = {"categories": ["housing"], "capacity_code": "capacity", "open_places": 1, "capacity_at": work.now}
        made = Program(organization_id=of or world.cbo_id, name=name, added_at=work.now, **(words | said))
        world.session.add(made)
    return made.id


def held(world: World, actor: Actor, service: str | None = None) -> q.Offers:
    with looking(world.session):
        return q.who_fits(world.session, actor, persons.wishes(world.session, actor, world.person_id), service=service)


def lives(world: World, address: str) -> None:
    with planting(world.session):
        world.session.get_one(Person, world.person_id).address = address


def statements(world: World) -> Any:
    @contextmanager
    def counting() -> Iterator[list[str]]:
        said: list[str] = []
        engine = world.session.get_bind()

        def keep(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            said.append(statement)

        event.listen(engine, "before_cursor_execute", keep)
        try:
            yield said
        finally:
            event.remove(engine, "before_cursor_execute", keep)

    return counting()


def test_programs_are_held_against_one_participant_and_none_is_hidden(world: World) -> None:
    lives(world, "21 Example Avenue, Oakland, CA 94601")
    offer(world, "Near and Spanish", places=["Oakland"], languages=["es"])
    offer(world, "Full", capacity_code="no_capacity", open_places=None)
    offer(world, "English alone", languages=["en"], places=["Oakland"])
    offer(world, "Without agreement", of=world.other_cbo_id)
    offer(world, "Work", categories=["employment"])
    found = held(world, world.case_manager, "housing")
    assert [one.program.name for one in found.fitting] == ["Near and Spanish", "Bridge Housing"]
    assert {one.program.name: [each.code for each in one.fit.against] for one in found.others} == {
        "Full": ["room.no_capacity"],
        "English alone": ["language.no"],
        "Without agreement": ["agreement.no"],
        "Work": ["service.no"],
    }
    assert [one.program.name for one in found.rows if not one.may_begin] == ["Without agreement"]
    assert not found.more
    assert held(world, world.case_manager).fitting[-1].program.name != "Without agreement"


@pytest.mark.parametrize("keeps_out", ["program", "facility", "purpose", "part2"])
def test_what_could_not_be_sent_does_not_fit(world: World, keeps_out: str) -> None:
    with planting(world.session):
        agreement = world.session.get_one(Agreement, world.agreement_id)
        if keeps_out == "program":
            agreement.program_ids = [str(uuid4())]
        elif keeps_out == "facility":
            agreement.facility_ids = [str(uuid4())]
            place = Facility(organization_id=world.agency_id, name="East", time_zone="UTC", added_at=LONG_AGO)
            world.session.add(place)
            world.session.get_one(Person, world.person_id).facility_id = place.id
        elif keeps_out == "purpose":
            agreement.purposes = ["supervision"]
        else:
            world.session.get_one(Organization, world.cbo_id).part2_program = "unknown"
    (one,) = held(world, world.case_manager).others
    assert [each.code for each in one.fit.against] == ["agreement.part2" if keeps_out == "part2" else "agreement.no"]


def test_worlds_that_differ_only_in_what_is_not_shared_give_the_same_order_and_reasons(world: World) -> None:
    """The navigator reads identity and needs, but not where she will live."""
    world.accepted()
    world.withdraw_consent(world.consent_id)
    world.consent_again(categories=["identity", "needs"])
    for name, place in (("Ash", "Oakland"), ("Birch", "Fresno")):
        offer(world, name, of=world.other_cbo_id, places=[place], languages=["es"])
    told = []
    for address in ("21 Example Avenue, Oakland, CA 94601", "8 Example Road, Fresno, CA 93650"):
        lives(world, address)
        found = held(world, world.navigator)
        told.append([(one.program.name, one.fit.reasons) for one in found.rows])
    assert told[0] == told[1]
    assert {each.code for _name, reasons in told[0] for each in reasons} >= {"area.home_unknown", "language.yes"}


def test_who_fits_takes_as_many_statements_for_twenty_programs_as_for_two(world: World) -> None:
    counts = []
    held(world, world.case_manager)  # opens the key, once
    for batch in (1, 18):
        for number in range(batch):
            offer(world, f"Program {batch}-{number}")
        world.session.expunge_all()
        with statements(world) as seen:
            rows = held(world, world.case_manager).rows
        counts.append((len(rows), len(seen)))
    assert [rows for rows, _ in counts] == [2, 20]
    assert counts[0][1] == counts[1][1]


def test_the_sender_of_what_was_declined_is_shown_up_to_five_others_that_fit(world: World) -> None:
    for number in range(7):
        offer(world, f"Program {number}")
    offer(world, "Work", categories=["employment"])
    referral_id = world.sent(service="housing")
    world.act(c.decline_referral, world.navigator, referral_id, reason="no_capacity")
    with looking(world.session):
        it = referrals.referral(world.session, world.case_manager, referral_id).it
        found = q.suggested(
            *(world.session, world.case_manager, it.participant_id), service=it.service, asked_before=it.program_id
        )
    assert [one.program.name for one in found] == [f"Program {number}" for number in range(5)]
