"""What crosses: three keys, and every one of them alone closes it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, select

from referrals.consent import commands, queries
from referrals.consent.models import EVENTS, Consent, Status, midnight_after
from referrals.kernel.actor import Actor, Role
from referrals.kernel.command import execute
from referrals.kernel.look import NOT_SHARED, Basis, Disclosure, Scope, Withheld
from referrals.kernel.orm import CATEGORIES
from referrals.kernel.record import start_writing
from referrals.kernel.session import HouseSession
from referrals.partnership import commands as partnerships
from referrals.person import queries as people
from referrals.person.commands import end_assignment
from referrals.person.models import Assignment, Person
from referrals.release.commands import record_release
from tests.factories.account import a_case_manager, a_navigator, a_supervisor, an_officer
from tests.factories.consent import a_consent, both_ways, withdrawn
from tests.factories.organization import a_community_organization, someone
from tests.factories.partnership import an_agreement
from tests.factories.person import a_participant, as_if_referred, with_colleague
from tests.referrals.consent.conftest import World

PURPOSES = ("referral", "pre_release", "service")


def asks(
    world: World,
    category: str = "needs",
    purpose: str = "referral",
    *,
    reader: Actor | None = None,
    owner: UUID | None = None,
    person: UUID | None = None,
    at: datetime | None = None,
) -> str:
    """What `holds` and `gate` say, as one word: `consent`, `own`, or the code why not."""
    who, whose = reader or world.navigator, owner or world.agency.id
    about = person or world.person.id
    when = at or world.now
    one = queries.holds(
        world.session,
        reader=who,
        participant_id=about,
        owner_org_id=whose,
        category=category,
        purpose=purpose,
        at=when,
    )
    scope = Scope(about, whose, category)
    many = queries.gate(world.session, who, frozenset({scope}), purpose=purpose, at=when)
    assert many == {scope: one}
    world.session.rollback()
    return one.code if isinstance(one, Withheld) else one.kind


# --- each key alone ---------------------------------------------------------------------------------------------------


def test_without_a_consent_nothing_crosses(world: World) -> None:
    assert {asks(world, category) for category in CATEGORIES if category != "substance_use"} == {"no_consent"}
    assert asks(world, "substance_use") == "needs_part2"


def test_a_consent_opens_exactly_its_direction_purpose_category_and_recipient(world: World) -> None:
    session = world.session
    a_consent(session, world.manager, world.person.id, world.community.id, categories=["needs", "release"])
    assert {category for category in CATEGORIES if asks(world, category) == "consent"} == {"needs", "release"}
    assert asks(world, purpose="service") == "wrong_purpose"
    back = {"reader": world.manager, "owner": world.community.id}
    assert asks(world, **back) == "no_consent"
    other: Person = a_participant(session, world.manager)
    as_if_referred(session, other.id, world.community.id, user_id=world.navigator.me)
    assert asks(world, person=other.id) == "no_consent"
    third = a_community_organization(session, "Second Start")
    an_agreement(session, world.agency, third)
    noor = a_navigator(session, third.id)
    as_if_referred(session, world.person.id, third.id, user_id=noor.me)
    assert asks(world, reader=noor) == "no_consent"


def test_a_role_or_person_named_as_recipient_opens_it_to_them_alone(world: World) -> None:
    session = world.session
    nia = a_navigator(session, world.community.id)
    boss = a_supervisor(session, world.community.id)
    as_if_referred(session, world.person.id, world.community.id, user_id=nia.me)
    a_consent(
        session, world.manager, world.person.id, world.community.id, to_user_id=str(nia.me), categories=["health"]
    )
    a_consent(session, world.manager, world.person.id, world.community.id, to_role="navigator", categories=["legal"])
    told = {
        who.me: [asks(world, one, reader=who) for one in ("health", "legal")] for who in (nia, world.navigator, boss)
    }
    assert told == {
        nia.me: ["consent", "consent"],
        world.navigator.me: ["no_consent", "consent"],
        boss.me: ["no_consent", "no_consent"],
    }
    a_consent(
        session, world.manager, world.person.id, world.community.id, to_person="Dr. Ada Lin", categories=["family"]
    )
    assert {asks(world, "family", reader=who) for who in (nia, world.navigator, boss)} == {"no_consent"}


def test_without_an_agreement_no_consent_helps(world: World) -> None:
    session = world.session
    third = a_community_organization(session, "Second Start")
    noor = a_navigator(session, third.id)
    as_if_referred(session, world.person.id, third.id, user_id=noor.me)
    a_consent(session, world.manager, world.person.id, third.id)
    assert asks(world, reader=noor) == "no_agreement"
    agreement = an_agreement(session, world.agency, third, categories=["needs"], purposes=["referral"])
    assert asks(world, reader=noor) == "consent"
    assert asks(world, "identity", reader=noor) == "no_agreement"
    assert asks(world, purpose="service", reader=noor) == "no_agreement"
    execute(
        session,
        partnerships.end_agreement,
        actor=someone(third, Role.SUPERVISOR),
        target=agreement.id,
        data={"because": "Funding ended."},
    )
    assert asks(world, reader=noor) == "no_agreement"


def test_without_an_assignment_no_consent_helps(world: World) -> None:
    a_consent(world.session, world.manager, world.person.id, world.community.id)
    noor = a_navigator(world.session, world.community.id)
    assert asks(world, reader=noor) == "not_assigned"
    assert asks(world, reader=a_supervisor(world.session, world.community.id)) == "consent"
    assert asks(world, reader=Actor("user", user_id=uuid4())) == "not_assigned"


def test_ones_own_organizations_values_need_an_assignment_and_no_consent(world: World) -> None:
    officer = an_officer(world.session, world.agency.id)
    assert asks(world, "substance_use", "service", reader=world.manager) == "own"
    assert asks(world, reader=officer) == "not_assigned"
    with_colleague(world.session, world.manager, world.person, officer.me, "supervising_officer")
    assert asks(world, reader=officer) == "own"


def test_a_participant_reads_their_own(world: World) -> None:
    assert asks(world, reader=Actor("participant", user_id=world.person.id)) == "request"
    assert asks(world, reader=Actor("participant", user_id=uuid4())) == "not_assigned"


def test_the_most_specific_consent_is_the_basis_then_the_latest(world: World) -> None:
    session, to = world.session, world.community.id
    a_consent(session, world.manager, world.person.id, to)
    world.pass_time(minutes=1)
    latest = a_consent(session, world.manager, world.person.id, to)

    def basis() -> Any:
        found = queries.holds(
            session,
            reader=world.navigator,
            participant_id=world.person.id,
            owner_org_id=world.agency.id,
            category="needs",
            purpose="referral",
            at=world.now,
        )
        session.rollback()
        return found

    assert basis() == Basis("consent", latest.id, 1, latest.ends_at)
    by_role = a_consent(session, world.manager, world.person.id, to, to_role="navigator")
    assert basis().id == by_role.id
    by_name = a_consent(session, world.manager, world.person.id, to, to_user_id=str(world.navigator.me))
    world.pass_time(minutes=1)
    a_consent(session, world.manager, world.person.id, to, to_role="navigator")
    assert basis().id == by_name.id
    withdrawn(session, world.manager, by_name.id)
    assert basis().id not in {by_name.id, by_role.id, latest.id}


# --- endings ----------------------------------------------------------------------------------------------------------


def test_a_withdrawal_closes_the_next_request_and_leaves_other_recipients(world: World) -> None:
    session = world.session
    third = a_community_organization(session, "Second Start")
    an_agreement(session, world.agency, third)
    noor = a_navigator(session, third.id)
    as_if_referred(session, world.person.id, third.id, user_id=noor.me)
    first = a_consent(session, world.manager, world.person.id, world.community.id)
    a_consent(session, world.manager, world.person.id, third.id)
    assert world.looked(people.participant, world.navigator, world.person.id).family_name == "Núñez"
    withdrawn(session, world.navigator, first.id)
    assert world.looked(people.participant, world.navigator, world.person.id).family_name is NOT_SHARED
    assert asks(world) == "consent_ended"
    assert asks(world, reader=noor) == "consent"
    session.rollback()


def test_each_crossing_read_leaves_one_disclosure_on_one_basis(world: World) -> None:
    session = world.session
    consent = a_consent(session, world.manager, world.person.id, world.community.id)
    assert world.looked(people.participant, world.navigator, world.person.id).phone == "(510) 555-0142"
    world.looked(people.participant, world.manager, world.person.id)
    withdrawn(session, world.manager, consent.id)
    world.looked(people.participant, world.navigator, world.person.id)
    rows = session.scalars(select(Disclosure)).all()
    assert [(one.from_org_id, one.to_org_id, one.basis_id, one.categories) for one in rows] == [
        (world.agency.id, world.community.id, consent.id, ["contact", "identity", "release"])
    ]


@pytest.mark.parametrize(
    ("last_day", "ends"),
    [
        (date(2026, 7, 4), datetime(2026, 7, 5, 7, tzinfo=UTC)),
        (date(2026, 10, 31), datetime(2026, 11, 1, 7, tzinfo=UTC)),  # the day the clocks go back begins on summer time
        (date(2026, 11, 1), datetime(2026, 11, 2, 8, tzinfo=UTC)),  # and is over on standard time: it has 25 hours
        (date(2027, 3, 14), datetime(2027, 3, 15, 7, tzinfo=UTC)),
    ],
)
def test_a_consent_ends_exactly_at_midnight_in_the_disclosers_zone(
    world: World, last_day: date, ends: datetime
) -> None:
    a_consent(world.session, world.manager, world.person.id, world.community.id, expires_on=last_day.isoformat())
    an_instant = timedelta(microseconds=1)
    assert asks(world, at=ends - an_instant) == "consent"
    assert asks(world, at=ends) == "consent_ended"
    assert midnight_after(last_day, "America/Los_Angeles") == ends


def test_a_day_whose_midnight_the_clocks_skip_ends_when_they_jump() -> None:
    # Havana skips midnight on 2026-03-08: the day before ends at the jump, 05:00 UTC.
    assert midnight_after(date(2026, 3, 7), "America/Havana") == datetime(2026, 3, 8, 5, tzinfo=UTC)


def test_a_scheduled_consent_begins_at_its_midnight(world: World) -> None:
    consent = a_consent(world.session, world.manager, world.person.id, world.community.id, effective_on="2026-06-20")
    begins = datetime(2026, 6, 20, tzinfo=ZoneInfo("America/Los_Angeles")).astimezone(UTC)
    assert consent.status(world.now) == Status.SCHEDULED
    assert asks(world, at=begins - timedelta(microseconds=1)) == "no_consent"
    assert asks(world, at=begins) == "consent"


def test_the_latest_day_ends_what_waits_for_an_event(world: World) -> None:
    a_consent(
        world.session,
        world.manager,
        world.person.id,
        world.community.id,
        expires_on=None,
        expires_event="released",
        no_later_than="2026-08-01",
    )
    assert asks(world) == "consent"
    assert asks(world, at=datetime(2026, 8, 2, 7, tzinfo=UTC)) == "consent_ended"


def test_the_release_ends_what_was_to_end_with_it(world: World) -> None:
    session = world.session
    until = {"expires_on": None, "expires_event": "released", "no_later_than": "2026-08-01"}
    a_consent(session, world.manager, world.person.id, world.community.id, **until)
    kept = a_consent(session, world.manager, world.person.id, world.community.id, categories=["health"])
    released = {"released_on": "2026-06-15", "source": "agency_record", "as_of": "2026-06-15"}
    execute(session, record_release, actor=world.manager, target=world.person.id, data=released)
    assert asks(world) == "consent_ended"
    assert asks(world, "health") == "consent"
    assert kept.expires_event is None


# --- covering ---------------------------------------------------------------------------------------------------------


def test_covering_answers_for_each_category(any_world: World) -> None:
    world, session = any_world, any_world.session
    forth = both_ways(session, world.manager, world.person.id, world.community.id, categories=["needs", "identity"])
    told = queries.covering(
        session,
        world.person.id,
        world.agency.id,
        world.community.id,
        ["needs", "health", "identity"],
        "referral",
        world.now,
        lock=True,
    )
    assert {category: one.id if one else None for category, one in told.items()} == {
        "needs": forth.id,
        "health": None,
        "identity": forth.id,
    }
    back = queries.covering(
        session, world.person.id, world.community.id, world.agency.id, ["attendance"], "referral", world.now
    )["attendance"]
    assert back is not None
    assert back.to_role == "case_manager"
    session.rollback()
    a_consent(
        session, world.manager, world.person.id, world.community.id, to_person="Dr. Ada Lin", categories=["legal"]
    )
    assert queries.covering(
        session, world.person.id, world.agency.id, world.community.id, ["legal"], "referral", world.now
    ) == {"legal": None}


# --- the page's decision equals the single one ------------------------------------------------------------------------


class Many:
    """People, readers and organizations, made once; consents and assignments come and go in each example."""

    def __init__(self, world: World) -> None:
        session = world.session
        self.world = world
        self.third = a_community_organization(session, "Second Start")
        an_agreement(session, world.agency, self.third, categories=["needs", "identity"], purposes=["referral"])
        self.people = [world.person.id, a_participant(session, world.manager).id]
        self.boss = a_supervisor(session, world.community.id)
        self.noor = a_navigator(session, self.third.id)
        self.officer = an_officer(session, world.agency.id)
        as_if_referred(session, self.people[0], self.third.id, user_id=self.noor.me)
        as_if_referred(session, self.people[1], world.community.id, user_id=self.boss.me)
        self.readers = [world.manager, world.navigator, self.boss, self.noor, self.officer]
        self.organizations = [world.agency.id, world.community.id, self.third.id]


def some_consent(many: Many) -> st.SearchStrategy[dict[str, Any]]:
    start = many.world.now
    moments = st.sampled_from([start + timedelta(days=days) for days in (-3, -1, 0, 1, 3)])
    maybe = st.none() | moments
    return st.fixed_dictionaries(
        {
            "participant_id": st.sampled_from(many.people),
            "ends": st.permutations(many.organizations).map(lambda two: tuple(two[:2])),
            "to_role": st.none() | st.sampled_from(["navigator", "supervisor", "case_manager"]),
            "to_user_id": st.none() | st.sampled_from([one.me for one in many.readers]),
            "categories": st.lists(st.sampled_from(["needs", "identity", "health", "substance_use"]), unique=True),
            "purposes": st.lists(st.sampled_from(PURPOSES), unique=True),
            "told_rights": st.booleans(),
            "method": st.sampled_from(["e_signature", "verbal"]),
            "witness_confirmed_at": maybe,
            "effective_at": moments,
            "no_later_than": st.sampled_from([start.date() + timedelta(days=days) for days in (-2, 0, 2)]),
            "withdrawn_at": maybe,
            "superseded_at": maybe,
            "event_at": maybe,
            "voided_at": maybe,
        }
    )


def stored(many: Many, said: dict[str, Any]) -> Consent:
    here, there = said.pop("ends")
    day = said["no_later_than"]
    return Consent(
        **said,
        from_org_id=here,
        to_org_id=there,
        sitting_id=uuid4(),
        kind="general",
        name_as_on_form="Rosa Núñez",
        description="needs",
        document="words",
        document_hash="0",
        expires_on=day,
        expires_event=EVENTS[1],
        signed_by="participant",
        signature="Rosa Núñez",
        witness_id=many.officer.me,
        signed_on=day,
        signed_at=said["effective_at"],
        language="en",
        wording_version="test",
        time_zone="America/Los_Angeles",
        taken_by=many.world.manager.me,
        taken_org_id=many.world.agency.id,
        version=1,
    )


class Act:
    """Stands for a command while rows are written that no command would write."""

    def __init__(self) -> None:
        self.flushing = True
        self.touched: dict[Any, set[str]] = {}


def test_the_gate_equals_holds_over_random_worlds(world: World) -> None:
    many, session = Many(world), world.session
    categories = ("needs", "identity", "health", "substance_use")
    scopes = frozenset(
        Scope(person, owner, category)
        for person in many.people
        for owner in many.organizations
        for category in categories
    )
    met: set[str] = set()

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        consents=st.lists(some_consent(many), max_size=6),
        reader=st.sampled_from(many.readers),
        purpose=st.sampled_from(PURPOSES),
        days=st.sampled_from([-2, 0, 2]),
    )
    def decide(consents: list[dict[str, Any]], reader: Actor, purpose: str, days: int) -> None:
        at = world.now + timedelta(days=days)
        session.rollback()
        session.info["work"] = Act()
        session.add_all(stored(many, dict(said)) for said in consents)
        session.flush()
        session.info.pop("work")
        decided = queries.gate(session, reader, scopes, purpose=purpose, at=at)
        singly = {
            one: queries.holds(
                session,
                reader=reader,
                participant_id=one.participant_id,
                owner_org_id=one.owner,
                category=one.category,
                purpose=purpose,
                at=at,
            )
            for one in scopes
        }
        session.rollback()
        assert decided == singly
        met.update(one.code if isinstance(one, Withheld) else one.kind for one in singly.values())

    decide()
    assert {"own", "not_assigned", "no_agreement", "no_consent", "needs_part2"} <= met


def test_ending_more_never_shows_more(world: World) -> None:
    session = world.session
    made = [
        a_consent(session, world.manager, world.person.id, world.community.id, categories=list(categories))
        for categories in (("needs",), ("needs", "health"), ("release", "health"))
    ]

    def open_now() -> set[str]:
        return {category for category in CATEGORIES if asks(world, category) == "consent"}

    seen = [open_now()]
    for consent in made:
        withdrawn(session, world.manager, consent.id)
        seen.append(open_now())
    assert seen == [{"needs", "health", "release"}, {"needs", "health", "release"}, {"release", "health"}, set()]


# --- what it costs ----------------------------------------------------------------------------------------------------


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


def test_a_page_is_decided_in_three_statements_whatever_its_length(world: World) -> None:
    session: HouseSession = world.session
    bind = session.get_bind()
    assert isinstance(bind, Engine)

    def cost() -> int:
        ids = [one for (one,) in session.execute(select(Person.id))]
        scopes = frozenset(Scope(one, world.agency.id, category) for one in ids for category in CATEGORIES)
        with counting(bind) as said:
            queries.gate(session, world.navigator, scopes, purpose="referral", at=world.now)
        session.rollback()
        return len(said)

    assert cost() == 3
    for _ in range(4):
        person = a_participant(session, world.manager)
        as_if_referred(session, person.id, world.community.id, user_id=world.navigator.me)
        a_consent(session, world.manager, person.id, world.community.id)
    assert cost() == 3


def test_reading_consents_costs_the_same_for_one_and_many(world: World) -> None:
    session = world.session
    bind = session.get_bind()
    assert isinstance(bind, Engine)

    def cost() -> int:
        session.info["ring"].forget()
        with counting(bind) as said:
            rows = world.looked(queries.consents, world.manager, world.person.id)
            assert rows
        return len(said)

    both_ways(session, world.manager, world.person.id, world.community.id)
    few = cost()
    for _ in range(5):
        both_ways(session, world.manager, world.person.id, world.community.id)
    assert cost() == few


def test_no_withdrawal_commits_while_an_act_rests_on_the_consent(
    any_world: World, engine: Engine, open_on: Callable[[Engine], HouseSession]
) -> None:
    world, session = any_world, any_world.session
    consent = a_consent(session, world.manager, world.person.id, world.community.id)
    ends = (world.person.id, world.agency.id, world.community.id)
    start_writing(session)
    resting = queries.covering(session, *ends, ["needs"], "referral", world.now, lock=True)
    assert resting["needs"] is not None
    done = threading.Event()

    def take_back() -> None:
        with open_on(engine) as other:
            other.info["clock"] = lambda: world.now
            withdrawn(other, world.navigator, consent.id)
        done.set()

    waiting = threading.Thread(target=take_back)
    waiting.start()
    assert not done.wait(0.5)
    session.rollback()
    waiting.join(20)
    assert done.is_set()
    start_writing(session)
    assert queries.covering(session, *ends, ["needs"], "referral", world.now, lock=True) == {"needs": None}
    session.rollback()


def test_losing_the_assignment_closes_the_next_request(world: World) -> None:
    session = world.session
    a_consent(session, world.manager, world.person.id, world.community.id)
    assert asks(world) == "consent"
    held = session.scalars(select(Assignment.id).where(Assignment.user_id == world.navigator.me)).one()
    boss = a_supervisor(session, world.community.id)
    execute(session, end_assignment, actor=boss, target=held, data={"because": "handed_over"})
    assert asks(world) == "not_assigned"


def test_the_witness_of_another_day_changes_nothing(world: World) -> None:
    witness = a_case_manager(world.session, world.agency.id)
    consent = a_consent(
        world.session,
        world.manager,
        world.person.id,
        world.community.id,
        method="verbal",
        witness_id=str(witness.me),
    )
    assert asks(world) == "no_consent"
    execute(world.session, commands.confirm_witness, actor=witness, target=consent.id, data={})
    assert asks(world) == "consent"
