"""Reading: only what was asked for, only what crosses, on record before it leaves, or not at all."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, delete, event, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from audit.models import AuditEvent, AuditSubject
from referrals.kernel import look as kernel
from referrals.kernel.actor import Actor, Role, Side
from referrals.kernel.errors import NotFoundError, UnavailableError, UnrecordedWriteError
from referrals.kernel.look import (
    LOOKS,
    NOT_SHARED,
    Basis,
    Decision,
    Disclosure,
    Scope,
    Seen,
    Sight,
    Withheld,
    declare_look,
    finish,
    forget,
    into_a_file,
    look,
    look_at,
    look_over,
    looking,
    mark_seen,
    note,
    refuse,
)
from referrals.kernel.record import commit, start_writing
from referrals.kernel.session import HouseSession
from referrals.person.models import Person
from tests.factories.account import a_case_manager
from tests.factories.organization import a_community_organization, an_agency
from tests.factories.person import a_participant
from tests.referrals.kernel.conftest import Letter, save

CONSENT = UUID(int=0xC0)
VIEWED = declare_look("person.test_viewed", "a test's page")
LISTED = declare_look("person.test_listed", "a test's list")
for _name in (VIEWED, LISTED):
    LOOKS.pop(_name)


@dataclasses.dataclass
class Rule:
    """A gate that does what a test tells it, and remembers what it was asked."""

    withheld: frozenset[str] = frozenset()
    #: The consent about a participant, where it is another than `CONSENT`.
    consents: dict[UUID, UUID] = dataclasses.field(default_factory=dict)
    asked: list[frozenset[Scope]] = dataclasses.field(default_factory=list)

    def __call__(
        self, session: Session, reader: Actor, scopes: frozenset[Scope], *, purpose: str, at: datetime
    ) -> Mapping[Scope, Decision]:
        assert session.in_transaction()
        assert purpose
        assert at.tzinfo is not None
        self.asked.append(scopes)
        return {
            scope: Withheld("no_consent")
            if scope.category in self.withheld
            else Basis("own")
            if scope.owner == reader.organization_id
            else Basis("consent", self.consents.get(scope.participant_id, CONSENT), 2)
            for scope in scopes
        }


@pytest.fixture(autouse=True)
def looks() -> Iterator[None]:
    LOOKS.update({VIEWED: "a test's page", LISTED: "a test's list"})
    yield
    for name in (VIEWED, LISTED):
        LOOKS.pop(name)


@pytest.fixture
def rule() -> Rule:
    return Rule()


@pytest.fixture
def session(any_session: HouseSession, engine: Engine, rule: Rule) -> HouseSession:
    Letter.__table__.create(engine)  # type: ignore[attr-defined]
    any_session.info["gates"] = [rule]
    return any_session


@pytest.fixture
def insider(session: HouseSession) -> Actor:
    return a_case_manager(session, an_agency(session).id)


@pytest.fixture
def person(session: HouseSession, insider: Actor) -> Person:
    return a_participant(session, insider)


@pytest.fixture
def outsider(session: HouseSession) -> Actor:
    joined = a_community_organization(session)
    return Actor("user", uuid4(), joined.id, Side.COMMUNITY, frozenset({Role.NAVIGATOR}), uuid4())


@pytest.fixture
def before(session: HouseSession, person: Person, outsider: Actor) -> int:
    """How many events there were before the test's own; asks for everything that writes."""
    assert person.organization_id != outsider.organization_id
    return len(bodies(session))


def bodies(session: HouseSession, skip: int = 0) -> list[dict[str, Any]]:
    session.rollback()
    found = session.scalars(select(AuditEvent.body).order_by(AuditEvent.id)).all()
    session.rollback()
    return [json.loads(body) for body in found][skip:]


def disclosures(session: HouseSession) -> list[Disclosure]:
    session.rollback()
    return list(session.scalars(select(Disclosure).order_by(Disclosure.id)))


def view(session: HouseSession, actor: Actor, person: Person, *fields: str, **more: Any) -> Sight[Person]:
    asked = {"records": VIEWED, "purpose": "referral"} | more
    return look_at(session, actor, lambda _: select(Person), on=Person, target=person.id, fields=fields, **asked)


def letters(session: HouseSession, person: Person, count: int, topic: str = "needs") -> None:
    made = [
        Letter(participant_id=person.id, organization_id=person.organization_id, topic=topic, body=f"letter {number}")
        for number in range(count)
    ]
    save(session, *made)


# --- what it refuses --------------------------------------------------------------------------------------------------


def test_c12_a_look_without_a_gate_refuses_to_run(session: HouseSession, insider: Actor, person: Person) -> None:
    session.info["gates"] = []
    with pytest.raises(UnrecordedWriteError, match="needs a gate"):
        view(session, insider, person, "given_name")


def test_a_look_that_is_not_declared_refuses_to_run(session: HouseSession, insider: Actor, person: Person) -> None:
    with pytest.raises(UnrecordedWriteError, match="no declared look"):
        view(session, insider, person, "given_name", records="person.gossiped")
    with pytest.raises(TypeError, match="declared twice"):
        declare_look(VIEWED, "again")


def test_a_command_does_not_look(session: HouseSession, insider: Actor, person: Person) -> None:
    session.info["work"] = object()
    with pytest.raises(UnrecordedWriteError, match="does not look"):
        view(session, insider, person, "given_name")
    session.info.pop("work")


@pytest.mark.parametrize("field", ["gossip", "__class__", "metadata", "registry", "correct"])
def test_a_field_that_is_neither_column_nor_shown_refuses_to_be_read(
    session: HouseSession, insider: Actor, person: Person, field: str
) -> None:
    with pytest.raises(UnrecordedWriteError, match="neither a column nor"):
        view(session, insider, person, field)


def test_a_field_that_was_not_asked_for_is_not_told(session: HouseSession, insider: Actor, person: Person) -> None:
    seen = view(session, insider, person, "given_name")
    assert seen.given_name == "Rosa"
    for field in ("family_name", "_family_name", "called", "phone", "log_ref", "organization_id", "correct", "_row_"):
        with pytest.raises(UnrecordedWriteError):
            getattr(seen, field)
    with pytest.raises(AttributeError):
        _ = seen.__dict__
    assert "Rosa" not in repr(seen)
    for way in (pickle.dumps, copy.deepcopy):
        with pytest.raises((TypeError, AttributeError, UnrecordedWriteError)):
            way(seen)  # type: ignore[operator]


def test_a_row_about_nobody_needs_no_look() -> None:
    row = Seen(row_type="x", row_id=uuid4(), user_id=uuid4(), at=datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(UnrecordedWriteError, match="needs no look"):
        kernel._scoped(row, ("at",))  # type: ignore[arg-type]  # bookkeeping: that is the point


# --- what it shows ----------------------------------------------------------------------------------------------------


def test_c14_what_does_not_cross_is_not_shared_whether_or_not_it_is_there(
    session: HouseSession, outsider: Actor, person: Person, insider: Actor, rule: Rule
) -> None:
    bare = a_participant(session, insider, phone=None)
    rule.withheld = frozenset({"contact"})
    for one in (person, bare):
        seen = view(session, outsider, one, "given_name", "phone", "added_at")
        assert (seen.given_name, seen.phone) == ("Rosa", NOT_SHARED)
        assert seen.added_at == one.added_at
    assert not NOT_SHARED
    assert repr(NOT_SHARED) == "NOT_SHARED"


def test_a_shown_property_has_its_category(session: HouseSession, outsider: Actor, person: Person, rule: Rule) -> None:
    assert view(session, outsider, person, "called").called == "Rosa Núñez"
    forget(session)
    rule.withheld = frozenset({"identity"})
    assert view(session, outsider, person, "called").called is NOT_SHARED


def test_a_row_of_its_own_category_is_asked_for_under_it(
    session: HouseSession, outsider: Actor, person: Person, rule: Rule
) -> None:
    letters(session, person, 1, topic="needs")
    letters(session, person, 1, topic="health")
    rule.withheld = frozenset({"health"})
    seen = look(
        session,
        outsider,
        select(Letter).order_by(Letter.id),
        records=LISTED,
        purpose="referral",
        fields=["topic", "body"],
    )
    assert [(one.topic, one.body) for one in seen] == [("needs", "letter 0"), ("health", NOT_SHARED)]
    assert {scope.category for scope in rule.asked[-1]} == {"needs", "health"}


def test_every_gate_narrows_and_is_asked_once_however_many_rows(
    session: HouseSession, outsider: Actor, person: Person, rule: Rule
) -> None:
    letters(session, person, 30)
    second = Rule(frozenset({"needs"}))
    session.info["gates"] = [rule, second]
    seen = look(session, outsider, select(Letter), records=LISTED, purpose="referral", fields=["body"])
    assert [one.body for one in seen] == [NOT_SHARED] * 30
    assert (len(rule.asked), len(second.asked)) == (1, 1)
    forget(session)  # the next request asks anew
    third = Rule()
    rule.withheld = frozenset({"needs"})
    session.info["gates"] = [rule, third]
    look(session, outsider, select(Letter), records=LISTED, purpose="referral", fields=["body"])
    assert third.asked == [frozenset()]


# --- what it records --------------------------------------------------------------------------------------------------


def test_nothing_is_on_record_before_finish_and_everything_after(
    session: HouseSession, insider: Actor, person: Person, before: int
) -> None:
    view(session, insider, person, "given_name", "phone", "added_at")
    forget(session)
    assert bodies(session, before) == []
    view(session, insider, person, "given_name", "phone", "added_at")
    finish(session)
    (event,) = bodies(session, before)
    assert (event["action"], event["outcome"], event["count"]) == (VIEWED, "done", 1)
    assert event["on"] == [{"type": "person", "rows": [[str(person.log_ref), str(person.log_ref)]]}]
    assert event["fields"] == ["person.added_at", "person.given_name", "person.phone"]
    assert event["categories"] == ["contact", "identity"]
    assert (event["purpose"], event["basis"]["kind"], event["to"]) == ("referral", "own", None)
    assert event["actor"]["id"] == str(insider.user_id)
    assert str(person.id) not in json.dumps(event)
    assert disclosures(session) == []
    subjects = session.scalars(select(AuditSubject.event_id).where(AuditSubject.subject == person.log_ref)).all()
    assert UUID(event["id"]) in subjects


def test_looks_of_one_request_make_one_event_per_action_purpose_basis_and_recipient(
    session: HouseSession, insider: Actor, person: Person, before: int
) -> None:
    other = a_participant(session, insider)
    skip = len(bodies(session))
    with looking(session):
        view(session, insider, person, "given_name")
        view(session, insider, other, "given_name")
        view(session, insider, person, "phone")
        view(session, insider, person, "given_name", records=LISTED)
        view(session, insider, person, "given_name", purpose="pre_release")
    events = bodies(session, skip)
    assert [(e["action"], e["purpose"], e["count"], e["fields"]) for e in events] == [
        (VIEWED, "referral", 2, ["person.given_name", "person.phone"]),
        (LISTED, "referral", 1, ["person.given_name"]),
        (VIEWED, "pre_release", 1, ["person.given_name"]),
    ]
    assert {e["request"] for e in events} == {str(insider.source.request)}
    assert skip > before


def test_what_crosses_leaves_a_disclosure_with_its_basis_in_the_same_transaction(
    session: HouseSession, outsider: Actor, person: Person, before: int, rule: Rule
) -> None:
    rule.withheld = frozenset({"contact"})
    with looking(session):
        view(session, outsider, person, "given_name", "family_name", "phone", "added_at")
    (crossing,) = bodies(session, before)  # what has no category is told with it
    assert crossing["to"] == str(outsider.organization_id)
    assert crossing["basis"] == {"kind": "consent", "id": str(CONSENT), "rev": 2}
    assert crossing["fields"] == ["person.added_at", "person.family_name", "person.given_name"]
    assert crossing["categories"] == ["identity"]
    (row,) = disclosures(session)
    assert (row.from_org_id, row.to_org_id, row.to_user_id) == (
        person.organization_id,
        outsider.organization_id,
        outsider.user_id,
    )
    assert (row.participant_id, row.categories, row.row_type, row.row_ids) == (
        person.id,
        ["identity"],
        "person",
        [str(person.id)],
    )
    assert (row.purpose, row.basis_kind, row.basis_id, row.channel) == ("referral", "consent", CONSENT, "cli")


def test_a_list_that_rests_on_many_consents_is_one_event_and_each_disclosure_names_its_own(
    session: HouseSession, insider: Actor, outsider: Actor, person: Person, rule: Rule
) -> None:
    people = [person, *(a_participant(session, insider) for _ in range(3))]
    rule.consents = {one.id: uuid4() for one in people}
    skip = len(bodies(session))
    listed = select(Person).where(Person.id.in_([one.id for one in people]))
    with looking(session):
        look(session, outsider, listed, records=LISTED, purpose="referral", fields=["given_name", "language"])
    (event,) = bodies(session, skip)
    assert event["basis"] == {"kind": "consent", "id": None, "rev": None}
    assert (event["count"], event["to"]) == (4, str(outsider.organization_id))
    assert {row[1] for row in event["on"][0]["rows"]} == {str(one.log_ref) for one in people}
    subjects = session.scalars(select(AuditSubject.subject).where(AuditSubject.event_id == UUID(event["id"])))
    assert set(subjects) == {one.log_ref for one in people}
    assert {(one.participant_id, one.basis_id) for one in disclosures(session)} == set(rule.consents.items())


def test_an_event_says_of_no_row_that_more_was_seen_than_was(
    session: HouseSession, insider: Actor, outsider: Actor, person: Person
) -> None:
    other, third = a_participant(session, insider), a_participant(session, insider)
    partly = {Scope(other.id, other.organization_id, "contact")}

    def gate(
        _session: Session, reader: Actor, scopes: frozenset[Scope], *, purpose: str, at: datetime
    ) -> Mapping[Scope, Decision]:
        assert (purpose, reader, at.tzinfo) == ("referral", outsider, UTC)
        return {
            one: Withheld("no_consent") if one in partly else Basis("consent", one.participant_id) for one in scopes
        }

    session.info["gates"] = [gate]
    skip = len(bodies(session))
    listed = select(Person).where(Person.id.in_([person.id, other.id, third.id]))
    with looking(session):
        look(session, outsider, listed, records=LISTED, purpose="referral", fields=["given_name", "phone"])
    told = {
        (tuple(event["fields"]), event["basis"]["id"]): {row[1] for row in event["on"][0]["rows"]}
        for event in bodies(session, skip)
    }
    name, phone = "person.given_name", "person.phone"
    assert told == {
        ((name, phone), None): {str(person.log_ref), str(third.log_ref)},
        ((name,), str(other.id)): {str(other.log_ref)},
    }


def test_a_row_of_which_nothing_crosses_was_seen_all_the_same(
    session: HouseSession, outsider: Actor, person: Person, before: int, rule: Rule
) -> None:
    rule.withheld = frozenset({"identity"})
    with looking(session):
        assert view(session, outsider, person, "given_name").given_name is NOT_SHARED
    (event,) = bodies(session, before)
    assert (event["count"], event["fields"], event["categories"], event["to"]) == (1, None, None, None)
    assert event["on"][0]["rows"] == [[str(person.log_ref), str(person.log_ref)]]
    assert disclosures(session) == []


def test_an_empty_list_and_a_search_are_looks_too_and_the_words_are_sealed(
    session: HouseSession, insider: Actor, before: int
) -> None:
    with looking(session):
        nothing = select(Person).where(Person.id == uuid4())
        assert look(session, insider, nothing, records=LISTED, purpose="referral", fields=["given_name"]) == []
        note(
            session,
            insider,
            records=VIEWED,
            purpose="referral",
            count=3,
            words={"name": "canary"},
            fields=["person.given_name"],
        )
    empty, search = sorted(bodies(session, before), key=lambda event: event["count"])
    assert (empty["action"], empty["count"], empty["on"]) == (LISTED, 0, None)
    assert (search["count"], search["fields"]) == (3, ["person.given_name"])
    assert len(search["sealed"]) == 1
    assert search["sealed"][0]["subject"] is None
    assert "canary" not in json.dumps(search)


def test_s203_a_look_at_what_one_may_not_know_is_recorded_and_looks_like_nothing(
    session: HouseSession, insider: Actor, person: Person, before: int
) -> None:
    letters(session, person, 1)
    skip = len(bodies(session))
    target = uuid4()
    with pytest.raises(NotFoundError), looking(session):  # noqa: PT012  # one request
        view(session, insider, person, "given_name")
        look_at(
            session,
            insider,
            lambda _: select(Letter).where(Letter.organization_id == uuid4()),
            on=Letter,
            target=target,
            records=LISTED,
            purpose="referral",
            fields=["body"],
        )
    (event,) = bodies(session, skip)
    assert (event["action"], event["outcome"], event["code"], event["purpose"]) == (
        LISTED,
        "refused",
        "not_found",
        "referral",
    )
    assert event["on"] == [{"type": "test_letter", "rows": [[str(target), None]]}]
    with pytest.raises(NotFoundError):
        view(session, dataclasses.replace(insider), Person(id=uuid4()), "given_name")
    (_, about_nobody) = bodies(session, skip)
    assert (about_nobody["code"], about_nobody["on"]) == ("not_found", None)
    assert skip > before


def test_more_than_500_rows_take_several_events_of_one_request(
    session: HouseSession, insider: Actor, person: Person
) -> None:
    letters(session, person, 1100)
    skip = len(bodies(session))
    with looking(session):
        seen = look(session, insider, select(Letter), records=LISTED, purpose="referral", fields=["topic"])
    assert len(seen) == 1100
    events = bodies(session, skip)
    assert [event["part"] for event in events] == [[1, 3], [2, 3], [3, 3]]
    assert [len(event["on"][0]["rows"]) for event in events] == [500, 500, 100]
    assert {event["count"] for event in events} == {1100}
    assert len({event["request"] for event in events}) == 1
    assert len({row[0] for event in events for row in event["on"][0]["rows"]}) == 1100


# --- when it cannot be recorded ---------------------------------------------------------------------------------------


def test_l1_what_cannot_be_recorded_leaves_neither_event_nor_disclosure(
    session: HouseSession, engine: Engine, outsider: Actor, person: Person, before: int
) -> None:
    view(session, outsider, person, "given_name")
    session.rollback()
    session.info.pop("looking")
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE disclosure RENAME TO elsewhere"))
    view(session, outsider, person, "given_name")
    with pytest.raises((DBAPIError, UnavailableError)):
        finish(session)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO disclosure"))
        connection.execute(text("ALTER TABLE audit_event RENAME TO elsewhere"))
    view(session, outsider, person, "given_name")
    with pytest.raises(UnavailableError):
        finish(session)
    with pytest.raises(UnavailableError):
        refuse(session, outsider, VIEWED, row_type="person", target=None, purpose=None)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO audit_event"))
    assert bodies(session, before) == []
    assert disclosures(session) == []
    assert not session.in_transaction() or session.rollback() is None


def test_finish_without_a_look_and_forget_without_one_do_nothing(session: HouseSession) -> None:
    finish(session)
    forget(session)
    assert "looking" not in session.info


def test_a_look_that_ends_in_an_error_is_let_go(
    session: HouseSession, insider: Actor, person: Person, before: int
) -> None:
    with pytest.raises(ZeroDivisionError), looking(session):  # noqa: PT012  # one request
        view(session, insider, person, "given_name")
        raise ZeroDivisionError
    assert bodies(session, before) == []
    assert "looking" not in session.info


# --- disclosures and what was seen ------------------------------------------------------------------------------------


def test_c28_a_disclosure_is_never_changed_or_removed(
    session: HouseSession, engine: Engine, outsider: Actor, person: Person
) -> None:
    with looking(session):
        view(session, outsider, person, "given_name")
    table = Disclosure.__table__
    kept = disclosures(session)
    session.rollback()
    for statement in (update(table).values(purpose="other"), delete(table)):  # type: ignore[arg-type]
        with engine.connect() as connection, pytest.raises(DBAPIError, match=r"never|insert-only"):
            connection.execute(statement)
    if engine.dialect.name == "sqlite":
        again = insert(table).prefix_with("OR REPLACE").values(id=kept[0].id, purpose="other")  # type: ignore[arg-type]
        with engine.connect() as connection, pytest.raises(DBAPIError, match=r"never replaced|NOT NULL"):
            connection.execute(again)
    else:
        with engine.connect() as connection, pytest.raises(DBAPIError, match="insert-only"):
            connection.execute(text("TRUNCATE disclosure"))
        with engine.connect() as connection:
            connection.execute(text("SET session_replication_role = replica"))
            with pytest.raises(DBAPIError, match="insert-only"):
                connection.execute(text("DELETE FROM disclosure"))


def test_what_somebody_has_seen_is_kept_once_with_the_look(
    session: HouseSession, insider: Actor, person: Person
) -> None:
    rows = [("person", person.id)]
    for _ in "ab":  # two pages opened at once both believe it is new
        with looking(session):
            view(session, insider, person, "given_name")
            mark_seen(session, insider, rows, already=[])
    with looking(session):
        mark_seen(session, insider, rows, already=[person.id])
        mark_seen(session, dataclasses.replace(insider, user_id=uuid4()), rows, already=[])
    seen = session.scalars(select(Seen)).all()
    assert len(seen) == 2
    assert {one.row_id for one in seen} == {person.id}
    with pytest.raises(ZeroDivisionError), looking(session):  # noqa: PT012  # one request
        mark_seen(session, insider, [("person", uuid4())], already=[])
        raise ZeroDivisionError
    assert len(session.scalars(select(Seen)).all()) == 2


def test_one_request_asks_each_question_once_and_looks_over_rows_that_were_read_for_a_rule(
    session: HouseSession, insider: Actor, person: Person, before: int, rule: Rule
) -> None:
    letters(session, person, 2)
    skip = len(bodies(session, before)) + before
    with looking(session):
        view(session, insider, person, "given_name")
        rows = session.scalars(select(Letter)).all()
        first = look_over(session, insider, rows, records=LISTED, purpose="referral", fields=["body"])
        look_over(session, insider, rows, records=LISTED, purpose="referral", fields=["body"])
        view(session, insider, person, "given_name", purpose="service")
    assert sorted(one.body for one in first) == ["letter 0", "letter 1"]
    assert [sorted(scope.category for scope in asked) for asked in rule.asked] == [
        ["identity"],
        ["needs"],
        ["identity"],
    ]
    assert [(one["action"], one["count"], one["purpose"]) for one in bodies(session, skip)] == [
        (VIEWED, 1, "referral"),
        (LISTED, 2, "referral"),
        (VIEWED, 1, "service"),
    ]
    with pytest.raises(UnrecordedWriteError, match="no declared look"):
        look_over(session, insider, rows, records="person.gossiped", purpose="referral", fields=["body"])


def test_while_a_page_is_being_made_others_can_write(
    session: HouseSession,
    open_on: Callable[[Engine], HouseSession],
    insider: Actor,
    person: Person,
    before: int,
) -> None:
    with looking(session):
        seen = view(session, insider, person, "given_name", "called")
        with open_on(session.get_bind()) as other:  # type: ignore[arg-type]
            other.info["gates"] = session.info["gates"]
            with looking(other):
                view(other, insider, person, "given_name")
    assert (seen.given_name, seen.called) == ("Rosa", "Rosa Núñez")
    assert [one["action"] for one in bodies(session, before)] == [VIEWED, VIEWED]


@pytest.fixture
def durability(engine: Engine) -> Iterator[list[str]]:
    """What each transaction was told about the disk, asked of the database when it commits."""
    told: list[str] = []
    asks = "PRAGMA synchronous" if engine.dialect.name == "sqlite" else "SHOW synchronous_commit"

    def ask(connection: Connection) -> None:
        answer = connection.connection.cursor().execute(asks).fetchone()
        assert answer is not None
        told.append({1: "may be lost", 2: "waits", "off": "may be lost", "on": "waits"}[answer[0]])

    event.listen(engine, "commit", ask)
    yield told
    event.remove(engine, "commit", ask)


def test_only_everyday_looks_do_not_wait_for_the_disk(
    session: HouseSession, insider: Actor, outsider: Actor, person: Person, durability: list[str]
) -> None:
    def last() -> str:
        finish(session)
        return durability[-1]

    view(session, outsider, person, "given_name")
    assert last() == "waits"
    view(session, insider, person, "given_name")
    note(session, insider, records=LISTED, purpose="referral", count=3, words={"name": "vega"})
    assert last() == "may be lost"
    note(session, insider, records=LISTED, purpose="oversight", count=3, basis="oversight")
    assert last() == "waits"
    note(session, outsider, records=LISTED, purpose="referral", count=3)
    view(session, outsider, person, "given_name")
    assert last() == "waits"
    for topic, told in (
        ("health", "waits"),
        ("boundary", "waits"),
        ("substance_use", "waits"),
        ("needs", "may be lost"),
    ):
        letters(session, person, 1, topic)
        assert durability[-1] == "waits"  # a change, right after a look that did not
        statement = select(Letter).where(Letter.topic == topic)
        look(session, insider, statement, records=LISTED, purpose="referral", fields=["body"])
        assert last() == told, topic
    with pytest.raises(NotFoundError):
        view(session, insider, Person(id=uuid4()), "given_name")
    assert durability[-1] == "waits"


def test_what_leaves_as_a_file_is_told_as_that_and_waits_for_the_disk(
    session: HouseSession, insider: Actor, outsider: Actor, person: Person, durability: list[str]
) -> None:
    before = len(bodies(session))
    for reader in (insider, outsider):
        into_a_file(session, reader, records=LISTED, purpose="service")
        view(session, reader, person, "given_name")
        look(session, reader, select(Letter), records=VIEWED, purpose="referral", fields=["body"])
        finish(session)
        assert durability[-1] == "waits"
    assert {(one["action"], one["purpose"]) for one in bodies(session, before)} == {(LISTED, "service")}
    assert [(one.channel, one.purpose) for one in disclosures(session)] == [("export", "service")]


def test_c8_what_leaves_as_a_file_crosses_for_both_purposes_or_not_at_all(
    session: HouseSession, outsider: Actor, person: Person, before: int
) -> None:
    for allowed, shared in (({"referral"}, False), ({"service"}, False), ({"referral", "service"}, True)):

        def gate(
            _session: Session,
            _reader: Actor,
            scopes: frozenset[Scope],
            *,
            purpose: str,
            at: datetime,
            allowed: frozenset[str] = frozenset(allowed),
        ) -> Mapping[Scope, Decision]:
            assert at.tzinfo is not None
            said: Decision = Basis("consent", CONSENT, 2) if purpose in allowed else Withheld("wrong_purpose")
            return dict.fromkeys(scopes, said)

        session.info["gates"] = [gate]
        into_a_file(session, outsider, records=LISTED, purpose="service")
        seen = view(session, outsider, person, "given_name")
        assert (seen.given_name is not NOT_SHARED) == shared
        finish(session)
    assert len(disclosures(session)) == 1
    assert [one["categories"] for one in bodies(session, before)] == [None, None, ["identity"]]


def test_what_was_looked_at_before_goes_into_no_file(session: HouseSession, insider: Actor, person: Person) -> None:
    view(session, insider, person, "given_name")
    with pytest.raises(UnrecordedWriteError, match="for it alone"):
        into_a_file(session, insider, records=LISTED, purpose="service")
    forget(session)
    with pytest.raises(UnrecordedWriteError, match="no declared look"):
        into_a_file(session, insider, records="person.gossiped", purpose="service")


def test_what_a_request_asks_twice_with_the_same_answer_is_told_once(
    session: HouseSession, insider: Actor, before: int
) -> None:
    with looking(session):
        for count in (3, 3, 4):
            note(session, insider, records=LISTED, purpose="referral", count=count)
    assert [one["count"] for one in bodies(session, before)] == [3, 4]


def test_rows_stay_readable_after_the_record_without_another_query(
    session: HouseSession, insider: Actor, person: Person
) -> None:
    with looking(session):
        seen = view(session, insider, person, "given_name", "called")
    assert not session.in_transaction()
    assert (seen.given_name, seen.called) == ("Rosa", "Rosa Núñez")
    start_writing(session)
    commit(session)
