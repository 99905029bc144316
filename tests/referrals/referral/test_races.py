"""Several people act on one referral at once: one wins, the others read who, and the chain has no gap."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, text

from referrals.consent import commands as consents
from referrals.kernel.actor import Actor
from referrals.kernel.command import Command, execute
from referrals.kernel.errors import RefusedError, UnavailableError
from referrals.kernel.record import clock
from referrals.kernel.session import HouseSession
from referrals.referral import commands as c
from referrals.referral.models import Referral, State, fold
from tests.factories.referral import World, a_world, tomorrow

TOGETHER = 20
Open = Callable[[Engine], HouseSession]
Try = tuple[Command[Any, Any], Actor, Any, dict[str, Any]]


@pytest.fixture
def world(any_session: HouseSession) -> World:
    return a_world(any_session)


def at_once(engine: Engine, open_on: Open, tries: list[Try]) -> list[str | RefusedError]:
    """Let each try run on a session of its own, all at one moment; return what became of each."""
    ready = Barrier(len(tries))

    def attempt(what: Try) -> str | RefusedError:
        verb, actor, target, words = what
        with open_on(engine) as session:
            ready.wait(timeout=30)
            for _again in range(5):
                try:
                    execute(session, verb, actor=actor, target=target, data=words)
                except UnavailableError:  # the database was busy for longer than it waits: the caller tries again
                    continue
                except RefusedError as refused:
                    return refused
                return verb.name
        return "unavailable"

    with ThreadPoolExecutor(len(tries)) as pool:
        return list(pool.map(attempt, tries))


def logged(world: World) -> Counter[tuple[str, str]]:
    rows = world.session.connection().execute(text("SELECT action, outcome FROM audit_event"))
    found = Counter((str(action), str(outcome)) for action, outcome in rows)
    world.session.rollback()
    return found


def answers(world: World, referral_id: Any) -> list[Try]:
    ways: list[Try] = []
    for number, who in zip(
        range(TOGETHER), itertools.cycle(["navigator", "other_navigator", "cbo_supervisor"]), strict=False
    ):
        actor = world.people[who]
        if number % 2:
            ways.append((c.decline_referral, actor, referral_id, {"reason": "no_capacity"}))
        else:
            words = {"caseworker_id": str(world.navigator.me), "first_contact_on": tomorrow()}
            ways.append((c.accept_referral, actor, referral_id, words))
    return ways


def test_twenty_parallel_answers_give_one_winner(world: World, engine: Engine, open_on: Open) -> None:
    referral_id = world.sent()
    before = logged(world)
    became = at_once(engine, open_on, answers(world, referral_id))
    won = [one for one in became if isinstance(one, str)]
    lost = [one for one in became if not isinstance(one, str)]
    assert len(won) == 1
    assert len(lost) == TOGETHER - 1
    row = world.row(referral_id)
    last = row.steps[-1]
    names = {actor.user_id: name for actor, name in _names(world)}
    assert {(one.status, one.code, one.facts["by"], one.facts["at"]) for one in lost} == {
        (409, "wrong_state", names[last.by], last.at)
    }
    assert [step.seq for step in row.steps] == [1, 2]
    assert fold(row.steps) is (State.ACCEPTED if won == ["accept_referral"] else State.DECLINED)
    assert (row.open_for is None) is (won == ["decline_referral"])
    tried = logged(world) - before
    done = {key: count for key, count in tried.items() if key[1] == "done"}
    assert sum(count for (action, outcome), count in tried.items() if outcome == "refused") == TOGETHER - 1
    assert {action for action, _outcome in done} <= {"referral.accepted", "referral.declined"}


def _names(world: World) -> list[tuple[Actor, str]]:
    return [(world.navigator, "Ana Díaz"), (world.other_navigator, "Bo Ramsey"), (world.cbo_supervisor, "Dee Holt")]


def test_twenty_parallel_sendings_of_one_participant_to_one_program_send_once(
    world: World, engine: Engine, open_on: Open
) -> None:
    drafts = [world.draft() for _ in range(6)]
    became = at_once(engine, open_on, [(c.send_referral, world.case_manager, one, {}) for one in drafts])
    assert [one for one in became if isinstance(one, str)] == ["send_referral"]
    assert {one.code for one in became if not isinstance(one, str)} == {"referral_already_open"}


def test_a_withdrawal_racing_with_answers_leaves_nothing_on_ended_sharing(
    world: World, engine: Engine, open_on: Open
) -> None:
    referral_id = world.sent()
    withdraw: Try = (consents.withdraw_consent, world.case_manager, world.consent_id, {"how": "told_staff"})
    became = at_once(engine, open_on, [*answers(world, referral_id)[:9], withdraw])
    assert became[-1] == "withdraw_consent"
    row = world.row(referral_id)
    assert fold(row.steps) is row.recorded
    won = [one for one in became[:-1] if isinstance(one, str)]
    assert len(won) <= 1
    withdrawn = world.session.get_one(consents.Consent, world.consent_id).withdrawn_at
    assert withdrawn is not None
    assert all(step.at <= withdrawn for step in row.steps)
    assert {one.code for one in became if isinstance(one, RefusedError)} <= {"wrong_state", "not_found"}


@pytest.mark.postgres
def test_whoever_waited_for_the_row_acts_after_those_it_waited_for(postgres_engine: Engine, open_on: Open) -> None:
    withdrawing = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    with open_on(postgres_engine) as session, ThreadPoolExecutor(1) as pool, postgres_engine.connect() as holding:
        world = a_world(session)
        held = text("SELECT id FROM consent WHERE id = :id FOR SHARE")
        holding.execute(held, {"id": world.consent_id})
        asked = {"actor": world.case_manager, "target": world.consent_id, "data": {"how": "told_staff"}}
        withdrawal = pool.submit(execute, session, consents.withdraw_consent, **asked)
        with postgres_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watching:
            while not watching.scalar(text(withdrawing)):
                assert not withdrawal.done()
        at = clock(session)
        holding.rollback()
        assert withdrawal.result(timeout=30).withdrawn_at >= at


def test_a_withdrawal_racing_with_a_sending_never_sends_without_consent(
    world: World, engine: Engine, open_on: Open
) -> None:
    referral_id = world.draft()
    tries: list[Try] = [
        (consents.withdraw_consent, world.case_manager, world.consent_id, {"how": "told_staff"}),
        (c.send_referral, world.case_manager, referral_id, {}),
    ]
    became = at_once(engine, open_on, tries)
    assert became[0] == "withdraw_consent"
    row = world.session.get_one(Referral, referral_id, populate_existing=True)
    withdrawn = world.session.get_one(consents.Consent, world.consent_id, populate_existing=True).withdrawn_at
    assert withdrawn is not None
    assert row.sent_at is None or row.sent_at <= withdrawn


def test_the_worker_and_people_settle_once(world: World, engine: Engine, open_on: Open) -> None:
    referral_id = world.started()
    world.withdraw_consent()
    words = {"reason": "duplicate"}
    became = at_once(engine, open_on, [(c.cancel_referral, world.case_manager, referral_id, words)] * 4)
    assert [one for one in became if isinstance(one, str)] == ["cancel_referral"]
    steps = world.row(referral_id).steps
    assert [(step.to_state, step.side) for step in steps[-2:]] == [("on_hold", "system"), ("cancelled", "source")]
    assert [step.seq for step in steps] == list(range(1, len(steps) + 1))
