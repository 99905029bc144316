"""Who may read the log, what of it they see, and that each reading is in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event as listening
from sqlalchemy import select, text

from audit.models import AuditEvent
from referrals.kernel import look
from referrals.kernel.actor import Actor, Role
from referrals.kernel.errors import InvalidInputError, NotFoundError, NotPermittedError
from referrals.kernel.orm import uuid7
from referrals.kernel.session import HouseSession
from referrals.oversight import queries as q
from referrals.person import queries as people
from tests.factories.account import an_actor, an_auditor
from tests.factories.organization import an_agency, last_event, someone
from tests.factories.oversight import NUMBER, Watched, a_watched_house, see
from tests.factories.person import a_participant, as_if_referred

READINGS: list[tuple[str, Callable[[HouseSession, Actor], object]]] = [
    ("oversight.log_queried", lambda session, actor: q.events(session, actor, q.Wanted())),
    ("oversight.event_viewed", lambda session, actor: q.event(session, actor, uuid7())),
    ("oversight.state_viewed", q.state),
    ("oversight.participant_searched", lambda session, actor: q.references(session, actor, NUMBER)),
]


def read(session: HouseSession, actor: Actor, *, after: UUID | None = None, **wanted: Any) -> q.Page:
    with look.looking(session):
        return q.events(session, actor, q.Wanted(**wanted), after=after)


def logged(session: HouseSession) -> list[dict[str, Any]]:
    session.rollback()
    return [json.loads(body) for body in session.scalars(select(AuditEvent.body).order_by(AuditEvent.id))]


# --- who --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.AUDITOR])
@pytest.mark.parametrize(("records", "reading"), READINGS, ids=[name for name, _ in READINGS])
def test_s604_only_an_auditor_reads_the_log_and_the_refusal_is_recorded(
    session: HouseSession, records: str, reading: Callable[[HouseSession, Actor], object], role: Role
) -> None:
    actor = someone(an_agency(session), role)
    with pytest.raises(NotPermittedError), look.looking(session):
        reading(session, actor)
    refusal = last_event(session)
    assert (refusal["action"], refusal["outcome"], refusal["code"]) == (records, "refused", "not_permitted")
    assert refusal["actor"]["id"] == str(actor.me)


def test_an_auditor_of_no_organization_reads_nothing(session: HouseSession) -> None:
    loose = Actor("user", user_id=uuid7(), roles=frozenset({Role.AUDITOR}))
    with pytest.raises(NotPermittedError), look.looking(session):
        q.events(session, loose, q.Wanted())


# --- what -------------------------------------------------------------------------------------------------------------


def test_an_auditor_sees_their_own_people_what_was_shared_with_them_and_nobodys_acts(
    any_session: HouseSession, watched: Watched
) -> None:
    see(any_session, watched.case_manager, watched.person)
    see(any_session, watched.other_case_manager, watched.other_person)
    see(any_session, watched.navigator, watched.person)

    own = {str(watched.agency), None}
    rows = read(any_session, watched.auditor).rows
    assert {row.organization_id for row in rows} == own
    assert any(row.action == "person.viewed" for row in rows)
    rows = read(any_session, watched.other_auditor).rows
    assert {row.organization_id for row in rows} == {str(watched.other_agency), None}
    assert str(watched.ref) not in {row.subject for line in rows for row in line.on}
    rows = read(any_session, watched.community_auditor).rows
    crossing = [row for row in rows if row.to_id == str(watched.community)]
    assert crossing
    assert {row.action for row in crossing} >= {"person.viewed"}
    assert {row.organization_id for row in rows} == {str(watched.community), None}


def test_who_saw_a_participant_is_told_whole_to_the_organization_that_recorded_them(
    any_session: HouseSession, watched: Watched
) -> None:
    see(any_session, watched.case_manager, watched.person)
    see(any_session, watched.navigator, watched.person)

    mine = read(any_session, watched.auditor, subject=watched.ref).rows
    assert {row.organization_id for row in mine if row.action == "person.viewed"} == {
        str(watched.agency),
        str(watched.community),
    }
    assert {row.actor_name for row in mine} >= {"Casey Morgan", "Nia Brooks"}
    assert all({one.subject for one in row.on} == {str(watched.ref)} for row in mine)

    theirs = read(any_session, watched.community_auditor, subject=watched.ref).rows
    assert {row.organization_id for row in theirs} == {str(watched.community)}
    assert read(any_session, watched.other_auditor, subject=watched.ref).rows == []
    assert read(any_session, watched.auditor, subject=uuid4()).rows == []


def test_a_row_about_another_agencys_participant_is_left_out_of_anothers_act(
    any_session: HouseSession, watched: Watched
) -> None:
    """One look of the navigator names participants of two agencies: each auditor is told of their own."""
    as_if_referred(any_session, watched.other_person, watched.community, user_id=watched.navigator.me)
    within = people.visible_to(watched.navigator)
    with look.looking(any_session):  # of what is shared of them, they would be told apart
        look.look(
            any_session, watched.navigator, within, records=people.LISTED, purpose="referral", fields=("added_at",)
        )
    both = [
        body for body in logged(any_session) if body["action"] == "person.listed" and len(body["on"][0]["rows"]) == 2
    ]
    assert both
    for auditor, ref in ((watched.auditor, watched.ref), (watched.other_auditor, watched.other_ref)):
        rows = [row for row in read(any_session, auditor, subject=ref).rows if str(row.id) == both[-1]["id"]]
        assert [([one.subject for one in row.on], row.more) for row in rows] == [([str(ref)], 1)]
        with look.looking(any_session):
            line, _ = q.event(any_session, auditor, rows[0].id)
        assert ([one.subject for one in line.on], line.more) == ([str(ref)], 1)
    mine = [row for row in read(any_session, watched.community_auditor).rows if str(row.id) == both[-1]["id"]]
    assert {one.subject for one in mine[0].on} == {str(watched.ref), str(watched.other_ref)}


@pytest.mark.parametrize("whose", ["case_manager", "navigator"])
def test_each_filter_narrows_and_all_hold_together(any_session: HouseSession, watched: Watched, whose: str) -> None:
    actor: Actor = getattr(watched, whose)
    auditor = watched.auditor if whose == "case_manager" else watched.community_auditor
    see(any_session, actor, watched.person)
    with pytest.raises(NotFoundError):
        see(any_session, actor, watched.other_person)
    everything = {row.id for row in read(any_session, auditor).rows}

    def narrowed(**wanted: Any) -> list[q.Line]:
        rows = list(read(any_session, auditor, **wanted).rows)
        assert rows, wanted
        assert {row.id for row in rows} < everything | {row.id for row in rows if row.action.startswith("oversight.")}  # type: ignore[union-attr]
        return rows

    assert {row.actor_id for row in narrowed(user=actor.me)} == {str(actor.me)}
    assert {row.organization_id for row in narrowed(organization=actor.organization)} == {str(actor.organization)}
    assert {row.action for row in narrowed(action="person.viewed")} == {"person.viewed"}
    refused = narrowed(outcome="refused", user=actor.me)
    assert {(row.outcome, row.code) for row in refused} == {("refused", "not_found")}
    (one, *_) = narrowed(action="person.viewed", outcome="done")
    assert one.request is not None
    assert {row.request for row in narrowed(request=UUID(one.request))} == {one.request}
    assert read(any_session, auditor, action="person.viewed", organization=watched.other_agency).rows == []
    if whose == "navigator":
        assert {row.to_id for row in narrowed(shared_with=watched.community)} == {str(watched.community)}
        assert {row.basis for row in narrowed(basis="consent")} == {"consent"}


def test_days_are_those_of_the_auditors_organization(any_session: HouseSession) -> None:
    """11 p.m. in Los Angeles is the next day in UTC: the day asked for is the one on the office's wall."""
    agency = an_agency(any_session)
    auditor = an_auditor(any_session, agency.id)
    late = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
    late = late.replace(hour=6, minute=30)  # 22:30 or 23:30 the day before in Los Angeles
    any_session.info["clock"] = lambda: late
    read(any_session, auditor)
    wall = (late - timedelta(hours=8)).date()
    found = read(any_session, auditor, since=wall, until=wall, action="oversight.log_queried").rows
    assert [row.at for row in found] == [late]
    after = wall + timedelta(days=1)
    assert read(any_session, auditor, since=after, until=after, action="oversight.log_queried").rows == []


def test_a_last_day_before_the_first_is_said_so(session: HouseSession) -> None:
    auditor = an_auditor(session, an_agency(session).id)
    with pytest.raises(InvalidInputError) as refused:
        read(session, auditor, since=date(2026, 2, 2), until=date(2026, 2, 1))
    assert refused.value.fields == {"until": ["before_the_first_day"]}


def test_pages_follow_each_other_without_gap_or_repeat(session: HouseSession) -> None:
    auditor = an_auditor(session, an_agency(session).id)
    for _ in range(60):
        read(session, auditor, action="oversight.log_queried")
    whole: list[UUID] = []
    after = None
    pages = 0
    until = None
    while True:
        page = read(session, auditor, action="oversight.log_queried", user=auditor.me, after=after)
        until = until or page.rows[0].id
        whole += [row.id for row in page.rows]
        pages += 1
        after = page.next
        if after is None:
            break
    assert pages == 2
    assert len(whole) == len(set(whole)) == 60
    assert whole == sorted(whole, reverse=True)


# --- its own record (L10) ---------------------------------------------------------------------------------------------


def test_each_search_is_itself_recorded_with_its_words_sealed(any_session: HouseSession, watched: Watched) -> None:
    page = read(any_session, watched.auditor, subject=watched.ref, action="person.added", outcome="done")
    asked = last_event(any_session, "oversight.log_queried")
    assert asked["actor"]["id"] == str(watched.auditor.me)
    assert (asked["purpose"], asked["basis"]["kind"], asked["count"]) == ("oversight", "oversight", len(page.rows))
    assert asked["fields"] == ["audit_event.action", "audit_event.outcome", "audit_event.subject"]
    assert len(asked["sealed"]) == 1
    assert str(watched.ref) not in json.dumps(asked)
    assert [row.action for row in read(any_session, watched.auditor, action="oversight.log_queried").rows] == [
        "oversight.log_queried"
    ]


def test_a_search_that_fails_to_be_recorded_shows_nothing(session: HouseSession) -> None:
    auditor = an_auditor(session, an_agency(session).id)
    before = len(logged(session))

    def fail_after_reading() -> None:
        with look.looking(session):
            q.events(session, auditor, q.Wanted())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_reading()
    assert len(logged(session)) == before


# --- one event --------------------------------------------------------------------------------------------------------


def test_one_event_is_shown_to_whom_it_concerns_and_is_not_there_for_others(
    any_session: HouseSession, watched: Watched
) -> None:
    see(any_session, watched.case_manager, watched.person)
    event_id = UUID(last_event(any_session, "person.viewed")["id"])
    with look.looking(any_session):
        line, zone = q.event(any_session, watched.auditor, event_id)
    assert (line.action, line.actor_name, zone) == ("person.viewed", "Casey Morgan", "America/Los_Angeles")
    assert [(row.type, row.subject) for row in line.on] == [("person", str(watched.ref))]
    assert last_event(any_session)["action"] == "oversight.event_viewed"

    for stranger, wanted in ((watched.other_auditor, event_id), (watched.auditor, uuid7())):
        with pytest.raises(NotFoundError), look.looking(any_session):
            q.event(any_session, stranger, wanted)
        refusal = last_event(any_session)
        assert (refusal["action"], refusal["code"]) == ("oversight.event_viewed", "not_found")


def test_the_recording_agency_sees_the_event_of_anothers_look(any_session: HouseSession, watched: Watched) -> None:
    see(any_session, watched.navigator, watched.person)
    crossing = [body for body in logged(any_session) if body["action"] == "person.viewed" and body["to"]]
    with look.looking(any_session):
        line, _ = q.event(any_session, watched.auditor, UUID(crossing[-1]["id"]))
    assert (line.actor_name, line.organization_id, line.more) == ("Nia Brooks", str(watched.community), 0)


def test_changed_bytes_are_told_and_nothing_of_them_is_shown(session: HouseSession) -> None:
    watched = a_watched_house(session)
    see(session, watched.case_manager, watched.person)
    event_id = last_event(session, "person.viewed")["id"]
    session.rollback()
    with session.get_bind().connect() as connection:  # type: ignore[union-attr]  # an engine
        connection.execute(text("DROP TRIGGER audit_event_no_update"))
        connection.execute(
            text("UPDATE audit_event SET body = replace(body, 'person.viewed', 'person.listed') WHERE event_id = :id"),
            {"id": UUID(event_id).hex},
        )
        connection.commit()
    page = read(session, watched.auditor)
    (broken,) = [row for row in page.rows if not row.intact]
    assert str(broken.id) == event_id
    assert all(getattr(broken, one.name) in (None, (), 0) for one in fields(broken) if one.name not in {"id", "intact"})
    with look.looking(session):
        line, _ = q.event(session, watched.auditor, UUID(event_id))
        standing = q.state(session, watched.auditor)
    assert not line.intact
    assert standing.missing_guards == ["trigger audit_event_no_update"]


# --- the state and the references -------------------------------------------------------------------------------------


def test_the_state_counts_the_events_and_names_missing_guards(any_session: HouseSession, watched: Watched) -> None:
    before = logged(any_session)
    with look.looking(any_session):
        standing = q.state(any_session, watched.auditor)
    assert standing.events == len(before)
    assert standing.newest_at is not None
    assert standing.newest_at - datetime.fromisoformat(before[-1]["at"]) < timedelta(milliseconds=1)
    assert standing.missing_guards == []
    assert last_event(any_session)["action"] == "oversight.state_viewed"


def test_a_number_leads_to_the_reference_of_ones_own_participant_alone(
    any_session: HouseSession, watched: Watched
) -> None:
    for auditor, expected in (
        (watched.auditor, [watched.ref]),
        (watched.other_auditor, [watched.other_ref]),
        (watched.community_auditor, []),
    ):
        with look.looking(any_session):
            assert q.references(any_session, auditor, " cn 77120 ") == expected
        asked = last_event(any_session)
        assert (asked["action"], asked["count"]) == ("oversight.participant_searched", len(expected))
        assert NUMBER not in json.dumps(asked)
    with look.looking(any_session):
        assert q.references(any_session, watched.auditor, "CN-77121") == []
    with pytest.raises(InvalidInputError) as refused, look.looking(any_session):
        q.references(any_session, watched.auditor, "--")
    assert refused.value.fields == {"agency_number": ["not_accepted"]}


# --- how much it costs ------------------------------------------------------------------------------------------------


@contextmanager
def counted(session: HouseSession) -> Iterator[list[str]]:
    statements: list[str] = []

    def heard(_conn: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    engine = session.get_bind()
    listening.listen(engine, "before_cursor_execute", heard)
    try:
        yield statements
    finally:
        listening.remove(engine, "before_cursor_execute", heard)


def test_a_page_takes_as_many_statements_for_many_events_as_for_few(any_session: HouseSession) -> None:
    agency_id = an_agency(any_session).id
    auditor = an_auditor(any_session, agency_id)
    a_participant(any_session, an_actor(any_session, agency_id, Role.CASE_MANAGER))
    costs = []
    for _ in range(2):
        any_session.expunge_all()
        with counted(any_session) as statements:
            read(any_session, auditor)
            q.choices(any_session, auditor)
        costs.append(len(statements))
        for number in range(12):
            manager = an_actor(any_session, agency_id, Role.CASE_MANAGER, name=f"Person {number}")
            a_participant(any_session, manager)
    assert costs[0] == costs[1]
