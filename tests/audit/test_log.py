from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, event, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from audit import log
from audit.event import ActorRef, BasisRef, Event, On, SchemaError, Sealed, leaf_hash
from audit.log import Question, append, append_all, encoded, find, newest_at
from audit.models import AuditEvent, AuditSubject

AnEvent = Callable[..., Event]
NOON = datetime(2026, 11, 2, 12, 0, 0, 123456, tzinfo=UTC)
P1, P2 = "5f0f3f6e-0b1f-4c39-9a57-3a1b7f1f2a01", "5f0f3f6e-0b1f-4c39-9a57-3a1b7f1f2a02"


def add(engine: Engine, *events: Event) -> tuple[Event, ...]:
    with engine.begin() as connection:
        for one in events:
            append(connection, one)
    return events


def ask(engine: Engine, question: Question | None = None, **more: object) -> list[Event | None]:
    with engine.connect() as connection:
        return [entry.event for entry in find(connection, question or Question(), **more)]  # type: ignore[arg-type]


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


# -- writing -----------------------------------------------------------------------------------------------------------


def test_what_is_appended_in_a_transaction_that_is_rolled_back_leaves_nothing(
    engine: Engine, an_event: AnEvent
) -> None:
    with engine.connect() as connection:
        append(connection, an_event())
        connection.rollback()
    assert ask(engine) == []
    with engine.connect() as connection:
        assert connection.scalar(select(AuditSubject)) is None


def test_an_event_that_has_no_canonical_bytes_writes_nothing(engine: Engine, an_event: AnEvent) -> None:
    rows = tuple((f"r{n}", None) for n in range(501))
    with engine.connect() as connection, pytest.raises(SchemaError, match="500"):
        append(connection, an_event(on=(On("referral", rows),)))
    sealed = (Sealed.of(None, b"x" * 60_000),)
    with engine.connect() as connection, pytest.raises(ValueError, match="65,535"):
        append(connection, an_event(sealed=sealed))
    assert ask(engine) == []


def test_an_id_is_taken_once(engine: Engine, an_event: AnEvent) -> None:
    first = an_event()
    add(engine, first)
    with pytest.raises(IntegrityError):
        add(engine, an_event(id=first.id, action="referral.sent"))
    assert ask(engine) == [first]


def test_a_revision_of_an_object_is_recorded_once(engine: Engine, an_event: AnEvent) -> None:
    def change(rev: int) -> Event:
        return an_event(action="referral.sent", on=(On("referral", (("r1", P1),), rev, {}),))

    first, second = add(engine, change(1), change(2))
    with pytest.raises(IntegrityError):
        add(engine, change(2))
    other = an_event(action="consent.given", on=(On("consent", (("r1", P1),), 2, {}),))
    looks = an_event(on=(On("referral", (("r1", P1),)),)), an_event(on=(On("referral", (("r1", P1),)),))
    add(engine, other, *looks)
    assert ask(engine) == [*reversed(looks), other, second, first]


def test_an_error_in_the_subjects_ends_the_act_too(engine: Engine, an_event: AnEvent) -> None:
    one = an_event()
    with engine.begin() as connection:
        connection.execute(
            insert(AuditSubject),
            {"subject": UUID(P1), "event_id": UUID(one.id), "type": "forged"},
        )
    with pytest.raises(IntegrityError):
        add(engine, one)
    assert ask(engine) == []


def test_append_only_inserts(engine: Engine, an_event: AnEvent) -> None:
    with engine.begin() as connection, statements(engine) as seen:
        append(connection, an_event(on=(On("referral", (("r1", P1), ("r2", P2))),)))
    kinds = [statement.split()[0] for statement in seen if not statement.startswith("BEGIN")]
    assert kinds == ["INSERT", "INSERT"]
    assert not any("RETURNING" in statement for statement in seen)


def test_many_events_take_as_many_statements_as_one_and_keep_their_order(engine: Engine, an_event: AnEvent) -> None:
    several = [an_event(on=(On("referral", (("r1", P1),)),)), an_event(on=(On("referral", (("r2", P2),)),)), an_event()]
    with engine.begin() as connection, statements(engine) as seen:
        append_all(connection, encoded(several))
        append_all(connection, encoded([]))
    kinds = [statement.split()[0] for statement in seen if not statement.startswith("BEGIN")]
    assert kinds == ["INSERT", "INSERT"]
    with engine.connect() as connection:
        assert list(connection.scalars(select(AuditEvent.event_id).order_by(AuditEvent.id))) == [
            UUID(one.id) for one in several
        ]


def test_one_wrong_event_among_many_writes_none_of_them(engine: Engine, an_event: AnEvent) -> None:
    first = an_event()
    with pytest.raises(IntegrityError), engine.begin() as connection:
        append_all(connection, encoded([an_event(), first, an_event(id=first.id)]))
    assert ask(engine) == []


def test_a_session_appends_in_its_own_transaction(engine: Engine, an_event: AnEvent) -> None:
    with Session(engine) as session:
        append(session, an_event())
        session.rollback()
        kept = an_event()
        append(session, kept)
        session.commit()
    assert ask(engine) == [kept]


def test_the_stored_bytes_are_those_that_were_hashed_and_the_copies_come_from_them(
    engine: Engine, an_event: AnEvent
) -> None:
    prior = an_event()
    whole = an_event(
        action="referral.sent",
        outcome="failed",
        code="disk_full",
        on=(On("referral", (("r1", P1),), 7, {"code": "sent"}),),
        basis=BasisRef("emergency", "b1", 2),
        to="o2",
        off_hours=True,
        count=30,
        prior=prior.id,
    )
    add(engine, whole)
    with Session(engine) as session:
        row = session.scalars(select(AuditEvent)).one()
        subjects = session.scalars(select(AuditSubject)).all()
        assert row.body == whole.encode()
        assert row.leaf_hash == leaf_hash(row.body)
        copies = (
            *(row.event_id, row.at, row.action, row.outcome, row.actor_id, row.actor_org, row.to_org, row.purpose),
            *(row.basis_kind, row.basis_id, row.object_type, row.object_id, row.object_rev, row.count, row.off_hours),
            *(row.request, row.prior),
        )
        assert copies == (
            *(UUID(whole.id), NOON, "referral.sent", "failed", whole.actor.id, whole.actor.org, "o2", "referral"),
            *("emergency", "b1", "referral", "r1", 7, 30, True),
            *(whole.request, UUID(prior.id)),
        )
        assert [(s.subject, s.event_id, s.type) for s in subjects] == [(UUID(P1), row.event_id, "referral")]


def test_several_rows_have_no_single_object(engine: Engine, an_event: AnEvent) -> None:
    add(engine, an_event(on=(On("referral", (("r1", P1), ("r2", P1))), On("person", ((P1, P1),)))), an_event(on=()))
    with Session(engine) as session:
        rows = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
        assert [(row.object_type, row.object_id) for row in rows] == [("referral", None), (None, None)]


# -- reading -----------------------------------------------------------------------------------------------------------


def days(count: int) -> timedelta:
    return timedelta(days=count)


@pytest.fixture
def seeded(engine: Engine, an_event: AnEvent) -> dict[str, Event]:
    """One event for each thing to be asked, among thirty looks by others."""
    other = ActorRef(kind="user", id="u2", org="o2", role="auditor")
    plain = [
        an_event(at=NOON - days(40 - n), actor=other, on=(On("program", ((f"p{n}", None),)),), basis=None, request=None)
        for n in range(30)
    ]
    told = {
        "participant": an_event(on=(On("consent", (("c1", P2),)),), request="q1"),
        "user": an_event(at=NOON + days(1), actor=ActorRef(kind="user", id="u9"), request="q2"),
        "organization": an_event(at=NOON + days(2), actor=ActorRef(kind="user", id="u8", org="o9"), request="q3"),
        "action": an_event(at=NOON + days(3), action="referral.printed", request="q4"),
        "refused": an_event(at=NOON + days(4), outcome="refused", code="not_yours", request="q5"),
        "failed": an_event(at=NOON + days(5), outcome="failed", code="disk_full", request="q6"),
        "object": an_event(at=NOON + days(6), on=(On("handoff", (("h1", P1),)),), request="q7"),
        "request": an_event(at=NOON + days(7), request="q8"),
        "shared": an_event(at=NOON + days(8), to="o7", basis=BasisRef("consent", "c7"), request="q9"),
        "emergency": an_event(at=NOON + days(9), basis=BasisRef("emergency"), request="q10"),
        "late": an_event(at=NOON + days(10), off_hours=True, request="q11"),
        "bulk": an_event(at=NOON + days(11), count=25, request="q12"),
    }
    told["review"] = an_event(at=NOON + days(12), prior=told["emergency"].id, request="q13")
    add(engine, *plain, *told.values())
    return told


QUESTIONS: dict[str, tuple[Question, list[str]]] = {
    "participant": (Question(subject=UUID(P2)), ["participant"]),
    "user": (Question(actor_id="u9"), ["user"]),
    "organization": (Question(actor_org="o9"), ["organization"]),
    "action": (Question(action="referral.printed"), ["action"]),
    "refused": (Question(outcome="refused"), ["refused"]),
    "denied": (Question(denied=True), ["failed", "refused"]),
    "object": (Question(object_type="handoff", object_id="h1"), ["object"]),
    "request": (Question(request="q8"), ["request"]),
    "shared": (Question(to_org="o7"), ["shared"]),
    "shared on a consent": (Question(to_org="o7", basis_id="c7"), ["shared"]),
    "emergency": (Question(basis_kind="emergency"), ["emergency"]),
    "reviewed": (Question(prior=UUID("019a0000-0000-7000-8000-000000000000")), []),
    "after hours": (Question(off_hours=True, actor_org="019a4430-7c00-7000-8000-0000000000c0"), ["late"]),
    "bulk": (Question(count_from=25), ["bulk"]),
    "two days": (Question(since=NOON + days(6), until=NOON + days(8)), ["request", "object"]),
    "a user's two days": (Question(actor_id="u9", since=NOON, until=NOON + days(3)), ["user"]),
    "a participant's action": (Question(subject=UUID(P1), action="referral.printed"), ["action"]),
    "nobody": (Question(actor_id="u9", actor_org="o9"), []),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_each_question_gets_its_events_newest_first(engine: Engine, seeded: dict[str, Event], name: str) -> None:
    question, expected = QUESTIONS[name]
    assert ask(engine, question) == [seeded[key] for key in expected]


def test_the_review_of_an_emergency_is_found_from_it(engine: Engine, seeded: dict[str, Event]) -> None:
    assert ask(engine, Question(prior=UUID(seeded["emergency"].id))) == [seeded["review"]]


@pytest.mark.parametrize("question", [Question(), Question(subject=UUID(P1)), Question(action="program.viewed")])
def test_pages_join_without_gap_or_repeat(engine: Engine, an_event: AnEvent, question: Question) -> None:
    action = question.action or "referral.viewed"
    events = add(engine, *[an_event(at=NOON + timedelta(seconds=n // 3), action=action) for n in range(23)])
    pages: list[Event | None] = []
    before: UUID | None = None
    with engine.connect() as connection:
        while page := find(connection, question, before=before, limit=5):
            assert len(page) <= 5
            pages += [entry.event for entry in page]
            before = page[-1].event_id
    assert pages == list(reversed(events))


def test_a_range_of_time_is_exact_to_the_millisecond(engine: Engine, an_event: AnEvent) -> None:
    edge = NOON.replace(microsecond=500_000)
    before, at, after = add(engine, *[an_event(at=edge + timedelta(milliseconds=n)) for n in (-1, 0, 1)])
    assert ask(engine, Question(since=edge)) == [after, at]
    assert ask(engine, Question(until=edge)) == [before]


@pytest.mark.parametrize("limit", [0, -1, 501])
def test_a_page_has_a_bound(engine: Engine, limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        ask(engine, limit=limit)


def test_an_object_is_asked_for_by_type_too(engine: Engine) -> None:
    with pytest.raises(ValueError, match="object_type"):
        ask(engine, Question(object_id="r1"))


INDEXES: dict[str, tuple[Question, str]] = {
    "everything": (Question(), "event_id|sqlite_autoindex_audit_event_1"),
    "participant": (Question(subject=UUID(P1)), "pk_audit_subject|audit_subject USING PRIMARY KEY (subject=?"),
    "participant, dates": (
        Question(subject=UUID(P1), since=NOON),
        "pk_audit_subject|audit_subject USING PRIMARY KEY (subject=? AND event_id>?",
    ),
    "participant, action": (
        Question(subject=UUID(P1), action="referral.viewed"),
        "pk_audit_subject|audit_subject USING PRIMARY KEY (subject=?",
    ),
    "user": (Question(actor_id="u9"), "ix_audit_event_actor_id"),
    "user, dates": (Question(actor_id="u9", since=NOON), "ix_audit_event_actor_id"),
    "user, action, outcome": (
        Question(actor_id="u9", action="referral.viewed", outcome="refused"),
        "ix_audit_event_actor_id",
    ),
    "organization": (Question(actor_org="o3"), "ix_audit_event_actor_org"),
    "action": (Question(action="referral.printed"), "ix_audit_event_action"),
    "refused": (Question(outcome="refused"), "ix_audit_event_not_done"),
    "denied": (Question(denied=True), "ix_audit_event_not_done"),
    "object": (Question(object_type="referral", object_id="r1"), "uq_audit_event_object"),
    "request": (Question(request="q1"), "ix_audit_event_request"),
    "shared on a consent": (Question(to_org="o3", basis_id="c7"), "ix_audit_event_to_org"),
    "emergency": (Question(basis_kind="emergency"), "ix_audit_event_emergency"),
    "reviewed": (Question(prior=UUID(int=1)), "ix_audit_event_prior"),
    "after hours": (Question(off_hours=True, actor_org="o3"), "ix_audit_event_off_hours"),
    "bulk": (Question(count_from=25), "ix_audit_event_bulk"),
}


def various(an_event: AnEvent) -> Iterator[Event]:
    """Two thousand events in which nothing that an auditor asks for is common."""
    for n in range(2_000):
        subject = str(UUID(int=n // 9, version=4))
        rare = n % 97 == 0
        yield an_event(
            at=NOON + timedelta(seconds=n),
            action=("referral.viewed", "referral.listed", "person.viewed", "referral.printed")[n % 4],
            actor=ActorRef(kind="user", id=f"u{n % 50}", org=f"o{n % 10}"),
            on=(On("referral", ((f"r{n // 7}", subject),)),),
            outcome="refused" if rare else "done",
            code="not_yours" if rare else None,
            basis=BasisRef("emergency" if rare else "consent", f"c{n // 11}"),
            to=f"o{n % 10}" if n % 5 == 0 else None,
            count=30 if rare else 1,
            off_hours=rare,
            request=f"q{n}",
            prior="019a4430-7c00-7000-8000-0000000000e0" if rare else None,
        )


def plan(connection: Connection, question: Question, before: UUID | None) -> str:
    statement = log._statement(connection.dialect.name, question, before).limit(50)
    compiled = statement.compile(connection, compile_kwargs={"literal_binds": True})
    if connection.dialect.name == "sqlite":
        return "\n".join(row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}")))
    return "\n".join(connection.execute(text(f"EXPLAIN {compiled}")).scalars())


def test_each_question_is_served_by_its_index(engine: Engine, an_event: AnEvent) -> None:
    add(engine, *various(an_event))
    # SQLite does without statistics, since nobody gathers them there; PostgreSQL has them and may know a better index.
    exact = engine.dialect.name == "sqlite"
    if not exact:
        with engine.begin() as connection:
            connection.execute(text("ANALYZE"))
    wrong: list[str] = []
    with engine.connect() as connection:
        for name, (question, index) in INDEXES.items():
            for before in (None, UUID(int=2**127)):
                found = plan(connection, question, before)
                if "Seq Scan" in found or (exact and not any(one in found for one in index.split("|"))):
                    wrong.append(f"{name}: {found}")
    assert wrong == []


def test_an_entry_that_somebody_changed_is_shown_as_such_and_the_others_stay_readable(
    sqlite_engine: Engine, an_event: AnEvent
) -> None:
    whole, edited, broken, moved = add(sqlite_engine, *[an_event() for _ in range(4)])
    with sqlite_engine.begin() as connection:
        connection.execute(text("DROP TRIGGER audit_event_no_update"))
        one = edited.encode().replace(b"navigator", b"auditor")
        connection.execute(
            text("UPDATE audit_event SET body = :body WHERE event_id = :id"), {"body": one, "id": UUID(edited.id).hex}
        )
        connection.execute(
            text("UPDATE audit_event SET body = :body, leaf_hash = :leaf WHERE event_id = :id"),
            {"body": b"{}", "leaf": leaf_hash(b"{}"), "id": UUID(broken.id).hex},
        )
        connection.execute(
            text("UPDATE audit_event SET body = :body, leaf_hash = :leaf WHERE event_id = :id"),
            {"body": whole.encode(), "leaf": leaf_hash(whole.encode()), "id": UUID(moved.id).hex},
        )
    with sqlite_engine.connect() as connection:
        entries = find(connection, Question())
    assert [entry.event for entry in entries] == [None, None, None, whole]
    assert [entry.event_id for entry in entries] == [UUID(one.id) for one in (moved, broken, edited, whole)]


def test_the_newest_time_is_known(engine: Engine, an_event: AnEvent) -> None:
    with engine.connect() as connection:
        assert newest_at(connection) is None
    add(engine, an_event(at=NOON + days(1)), an_event())
    with engine.connect() as connection:
        assert newest_at(connection) == NOON + days(1)


# -- roles of PostgreSQL -----------------------------------------------------------------------------------------------


@pytest.mark.postgres
def test_the_web_role_writes_and_asks_the_time_and_does_nothing_else(
    postgres_engine: Engine, as_role: Callable[[str], Engine], an_event: AnEvent
) -> None:
    one = an_event()
    for role in ("throughgate_web", "throughgate_worker"):
        web = as_role(role)
        add(web, one)
        with web.connect() as connection:
            assert newest_at(connection) == NOON
        for forbidden in (
            "SELECT body FROM audit_event",
            "SELECT subject FROM audit_subject",
            "INSERT INTO audit_event (event_id) VALUES (gen_random_uuid()) RETURNING id",
            "INSERT INTO audit_event (id) OVERRIDING SYSTEM VALUE VALUES (7)",
            "INSERT INTO audit_event (xid) VALUES ('7')",
            "UPDATE audit_event SET action = 'x.y'",
            "DELETE FROM audit_subject",
            "TRUNCATE audit_event",
            "ALTER TABLE audit_event DISABLE TRIGGER ALL",
            "SET session_replication_role = replica",
            "DROP TABLE audit_event",
        ):
            with web.connect() as connection, pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
                connection.execute(text(forbidden))
        one = an_event()
    with postgres_engine.connect() as connection:
        assert len(find(connection, Question())) == 2


@pytest.mark.postgres
def test_the_oversight_role_reads_and_never_writes(
    postgres_engine: Engine, as_role: Callable[[str], Engine], an_event: AnEvent
) -> None:
    (one,) = add(postgres_engine, an_event())
    for role in ("throughgate_oversight", "throughgate_sequencer"):
        reader = as_role(role)
        assert ask(reader) == [one]
        with pytest.raises(DBAPIError, match="permission denied"):
            add(reader, an_event())


@pytest.mark.postgres
def test_each_event_carries_its_top_level_transaction(postgres_engine: Engine, an_event: AnEvent) -> None:
    with postgres_engine.begin() as connection:
        append(connection, an_event())
        with connection.begin_nested():
            append(connection, an_event())
    add(postgres_engine, an_event())
    with postgres_engine.connect() as connection:
        first, second, third = connection.execute(text("SELECT xid::text FROM audit_event ORDER BY id")).scalars()
    assert first == second != third
