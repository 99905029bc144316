"""The one path: bad words, strangers, wrong people, broken rules, unrecorded writes; then an act that is on record."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, Select, delete, insert, select, text, update
from sqlalchemy.orm import Mapped

from audit.models import AuditEvent
from referrals.kernel import command as kernel
from referrals.kernel import crypto
from referrals.kernel.actor import Actor, Role, Side
from referrals.kernel.command import COMMANDS, Work, command, done_before, execute
from referrals.kernel.errors import (
    ChangedMeanwhileError,
    InvalidInputError,
    KeyReusedError,
    NotFoundError,
    NotPermittedError,
    PreconditionNeededError,
    RuleBrokenError,
    UnavailableError,
    UnrecordedWriteError,
)
from referrals.kernel.orm import Base, Identified, edits, personal, public
from referrals.kernel.schema import Takes, line
from referrals.kernel.schema import text as words
from referrals.kernel.session import HouseSession


class Lamp(Identified):
    """A thing to act on."""

    __tablename__ = "test_lamp"
    __house_key__ = "staff"

    organization_id: Mapped[UUID] = public()
    name: Mapped[str] = personal()
    lit_at: Mapped[datetime | None] = public()
    version: Mapped[int] = public(default=1)
    edits: Mapped[dict[str, Any] | None] = edits()
    note = crypto.sealed(crypto.text, nullable=True)

    def light(self, at: datetime) -> None:
        if self.lit_at is not None:
            raise AlreadyLitError(at=self.lit_at)
        self.lit_at = at


class AlreadyLitError(RuleBrokenError):
    code = "already_lit"


def ours(actor: Actor) -> Select[Any]:
    return select(Lamp).where(Lamp.organization_id == actor.organization_id)


def is_a_navigator(actor: Actor, _lamp: Lamp) -> bool:
    return actor.works_as(Role.NAVIGATOR)


class LightLamp(Takes):
    note = words(20, required=False)


class RenameLamp(Takes):
    name = line(20)


@command(
    records="person.lamp_lit", on=Lamp, takes=LightLamp, within=ours, allow=[[is_a_navigator]], purpose="administration"
)
def light_lamp(work: Work, lamp: Lamp, *, note: str | None) -> Lamp:
    lamp.light(work.now)
    lamp.note = note
    work.record(lamp, ["lit_at", "note"])
    return lamp


@command(records="person.lamp_renamed", on=Lamp, takes=RenameLamp, within=ours, allow=[[is_a_navigator]], edits=True)
def rename_lamp(work: Work, lamp: Lamp, *, name: str) -> Lamp:
    lamp.name = name
    lamp.version += 1
    work.record(lamp, ["name", "version"])
    return lamp


@command(records="person.lamp_copied", on=Lamp, takes=RenameLamp, within=ours, allow=[[is_a_navigator]])
def copy_lamp(work: Work, lamp: Lamp, *, name: str) -> Lamp:
    made = Lamp(organization_id=lamp.organization_id, name=name, version=1)
    work.add(made)
    return made


@command(records="person.lamp_dimmed", on=Lamp, takes=RenameLamp, within=ours, allow=[[is_a_navigator]])
def change_in_silence(work: Work, lamp: Lamp, *, name: str) -> Lamp:
    lamp.name = name
    work.record(lamp, ["lit_at"])
    return lamp


@command(records="person.lamp_left", on=Lamp, takes=RenameLamp, within=ours, allow=[[is_a_navigator]])
def record_nothing(work: Work, lamp: Lamp, *, name: str) -> Lamp:  # noqa: ARG001
    return lamp


for _name in [name for name in COMMANDS if name.startswith("person.lamp_")]:
    COMMANDS.pop(_name)
_TABLE = Lamp.__table__
Base.metadata.remove(_TABLE)  # type: ignore[arg-type]


@pytest.fixture
def actor() -> Actor:
    return Actor("user", uuid4(), uuid4(), Side.COMMUNITY, frozenset({Role.NAVIGATOR}), uuid4())


@pytest.fixture
def session(engine: Engine, any_session: HouseSession) -> HouseSession:
    _TABLE.create(engine)  # type: ignore[attr-defined]
    return any_session


@pytest.fixture
def lamp(session: HouseSession, actor: Actor) -> Lamp:
    made = Lamp(organization_id=actor.organization_id, name="first", version=1)
    work = Work(session, actor, "person.lamp_lit", kernel.clock(session))
    kernel.start_writing(session)
    session.info["work"] = work
    work.add(made)
    kernel._finish(session, work)
    session.info.pop("work")
    return made


def events(session: HouseSession, skip: int = 1) -> list[dict[str, Any]]:
    session.rollback()
    bodies = session.scalars(select(AuditEvent.body).order_by(AuditEvent.id)).all()
    session.rollback()
    return [json.loads(body) for body in bodies][skip:]


def test_wrong_words_are_refused_by_field_and_leave_no_event(session: HouseSession, actor: Actor, lamp: Lamp) -> None:
    with pytest.raises(InvalidInputError) as caught:
        execute(session, rename_lamp, actor=actor, target=lamp.id, data={"name": "x" * 21, "id": "1"})
    assert caught.value.fields == {"name": ["too_long"], "id": ["unknown_field"]}
    assert events(session) == []


def test_a_stranger_and_a_random_id_get_the_same_404_and_both_are_recorded(
    session: HouseSession, actor: Actor, lamp: Lamp
) -> None:
    stranger = dataclasses.replace(actor, organization_id=uuid4())
    for target in (lamp.id, uuid4()):
        with pytest.raises(NotFoundError):
            execute(session, light_lamp, actor=stranger, target=target, data={})
    recorded = events(session)
    assert [(e["outcome"], e["code"]) for e in recorded] == [("refused", "not_found")] * 2
    assert [e["on"][0]["rows"][0][1] for e in recorded] == [None, None]


def test_a_colleague_without_the_role_gets_a_recorded_403(session: HouseSession, actor: Actor, lamp: Lamp) -> None:
    auditor = dataclasses.replace(actor, roles=frozenset({Role.AUDITOR}))
    with pytest.raises(NotPermittedError):
        execute(session, light_lamp, actor=auditor, target=lamp.id, data={})
    (event,) = events(session)
    assert (event["action"], event["outcome"], event["code"]) == ("person.lamp_lit", "refused", "not_permitted")
    assert event["on"] == [{"type": "test_lamp", "rows": [[str(lamp.id), None]]}]


def test_a_done_act_and_its_event_are_there_together(session: HouseSession, actor: Actor, lamp: Lamp) -> None:
    execute(session, light_lamp, actor=actor, target=lamp.id, data={"note": "canary"})
    (event,) = events(session)
    assert event["outcome"] == "done"
    assert event["fields"] == ["test_lamp.lit_at", "test_lamp.note"]
    assert event["on"][0]["rev"] == 2
    assert set(event["on"][0]["set"]) == {"lit_at"}
    assert "canary" not in json.dumps(event)
    session.expire_all()
    assert lamp.note == "canary"
    with pytest.raises(AlreadyLitError):
        execute(session, light_lamp, actor=actor, target=lamp.id, data={})
    assert events(session)[-1]["code"] == "already_lit"


def test_a_new_row_is_recorded_whole(session: HouseSession, actor: Actor, lamp: Lamp) -> None:
    made = execute(session, copy_lamp, actor=actor, target=lamp.id, data={"name": "second"})
    (event,) = events(session)
    assert event["on"][0]["rows"] == [[str(made.id), None]]
    assert event["on"][0]["rev"] == 1
    assert "test_lamp.name" in event["fields"]
    assert "second" not in json.dumps(event)


@pytest.mark.parametrize("what", [change_in_silence, record_nothing], ids=["undeclared", "nothing"])
def test_what_is_not_recorded_does_not_happen(session: HouseSession, actor: Actor, lamp: Lamp, what: Any) -> None:
    with pytest.raises(UnrecordedWriteError):
        execute(session, what, actor=actor, target=lamp.id, data={"name": "other"})
    session.expire_all()
    assert lamp.name == "first"
    assert events(session) == []


def test_the_session_refuses_every_way_around_a_command(session: HouseSession, lamp: Lamp) -> None:
    lamp.name = "sneaky"
    with pytest.raises(UnrecordedWriteError):
        session.flush()
    session.rollback()
    ways: list[Callable[[], object]] = [
        session.commit,
        lambda: session.execute(update(Lamp).values(name="sneaky")),
        lambda: session.execute(insert(Lamp), [{"id": uuid4(), "name": "x"}]),
        lambda: session.execute(delete(Lamp)),
        lambda: session.execute(update(_TABLE).values(name="sneaky")),  # type: ignore[arg-type]
        lambda: session.execute(text("UPDATE test_lamp SET name = 'sneaky'")),
        lambda: session.bulk_save_objects([lamp]),
        lambda: session.bulk_insert_mappings(Lamp, [{}]),
        lambda: session.bulk_update_mappings(Lamp, [{}]),
    ]
    for way in ways:
        with pytest.raises(UnrecordedWriteError):
            way()
        session.rollback()
    session.delete(lamp)
    with pytest.raises(UnrecordedWriteError):
        session.flush()
    session.rollback()
    assert session.scalars(select(Lamp.name)).all() == ["first"]


def test_an_edit_needs_the_version_that_was_read(session: HouseSession, actor: Actor, lamp: Lamp) -> None:
    with pytest.raises(PreconditionNeededError):
        execute(session, rename_lamp, actor=actor, target=lamp.id, data={"name": "a"})
    execute(session, rename_lamp, actor=actor, target=lamp.id, data={"name": "a"}, expect=1)
    with pytest.raises(ChangedMeanwhileError):
        execute(session, rename_lamp, actor=actor, target=lamp.id, data={"name": "b"}, expect=1)
    assert events(session)[-1]["code"] == "changed_meanwhile"
    assert lamp.name == "a"


def test_an_idempotency_key_replays_and_refuses_another_body(session: HouseSession, actor: Actor, lamp: Lamp) -> None:
    first = execute(session, copy_lamp, actor=actor, target=lamp.id, data={"name": "x"}, key="k")
    again = execute(session, copy_lamp, actor=actor, target=lamp.id, data={"name": "x"}, key="k")
    assert first.id == again.id
    assert len(events(session)) == 1
    with pytest.raises(KeyReusedError):
        execute(session, copy_lamp, actor=actor, target=lamp.id, data={"name": "y"}, key="k")
    other = dataclasses.replace(actor, user_id=uuid4())
    assert execute(session, copy_lamp, actor=other, target=lamp.id, data={"name": "y"}, key="k").id != first.id


def test_an_act_of_several_steps_asks_whether_it_was_done_by_what_the_caller_sent(
    session: HouseSession, actor: Actor, lamp: Lamp
) -> None:
    sent = {"file": "one"}
    asks = {"actor": actor, "target": lamp.id, "key": "k"}
    assert done_before(session, copy_lamp, **asks, said=sent) is None
    first = execute(session, copy_lamp, **asks, data={"name": "x"}, said=sent)
    before = done_before(session, copy_lamp, **asks, said=sent)
    assert before is not None
    assert before.id == first.id
    # What was made of it on the way may differ the second time; what the caller sent may not.
    assert execute(session, copy_lamp, **asks, data={"name": "y"}, said=sent).id == first.id
    for other in ({"file": "two"}, {"name": "x"}):
        with pytest.raises(KeyReusedError):
            done_before(session, copy_lamp, **asks, said=other)
    assert (
        done_before(session, copy_lamp, **asks | {"actor": dataclasses.replace(actor, user_id=uuid4())}, said=sent)
        is None
    )


def test_no_event_no_act(engine: Engine, session: HouseSession, actor: Actor, lamp: Lamp) -> None:
    session.rollback()
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit_event RENAME TO elsewhere"))
    with pytest.raises(UnavailableError):
        execute(session, light_lamp, actor=actor, target=lamp.id, data={})
    session.expire_all()
    assert lamp.lit_at is None


def test_twenty_at_once_give_one_winner(
    engine: Engine, session: HouseSession, actor: Actor, lamp: Lamp, open_on: Callable[[Engine], HouseSession]
) -> None:
    def attempt(_number: int) -> str:
        with open_on(engine) as mine:
            try:
                execute(mine, light_lamp, actor=actor, target=lamp.id, data={})
            except AlreadyLitError as refusal:
                return f"{refusal.code} {refusal.facts['at'] is not None}"
            return "won"

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(attempt, range(20)))
    assert sorted(results) == ["already_lit True"] * 19 + ["won"]
    outcomes = [e["outcome"] for e in events(session)]
    assert sorted(outcomes) == ["done"] + ["refused"] * 19
