"""Single sign-on on both databases: what is kept, what is on record, who wins, and what a recovery leaves of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from referrals.account import queries as accounts
from referrals.account.models import SECOND_FACTOR
from referrals.issuer import queries as q
from referrals.issuer.models import IssuerRefusedError, IssuerRequest, IssuerSubject, SubjectKnownError
from referrals.kernel.actor import Actor, Role, Source, nobody
from referrals.kernel.command import execute
from referrals.kernel.errors import RefusedError
from referrals.kernel.keys import KeyRing
from referrals.organization.queries import installation
from referrals.recovery import commands as recovery
from referrals.sign_in import queries as sign_ins
from referrals.sign_in.models import SignIn
from referrals.single_sign_on import commands as c
from tests.conftest import open_session
from tests.factories import account as people
from tests.factories.issuer import CLIENT, TestIssuer, a_test_issuer
from tests.referrals.account.conftest import Moment, events, run, since

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(120)]

BACK = "https://127.0.0.1/sign-in/organization/return"
BROWSER = "what a cookie holds"


@dataclass
class Gate:
    """An agency, the issuer it uses, and somebody of it."""

    house: Session
    agency: UUID
    issuer: TestIssuer
    listed: UUID
    casey: people.Member

    def fresh(self, member: people.Member) -> Actor:
        """Somebody with a code just given."""
        self.house.info["clock"].pass_by(seconds=61)
        return member.actor(self.house, str(people.sign_in_fully(self.house, member).token))

    def brought(self, made: Any, subject: str) -> dict[str, str]:
        """Go to the issuer and come back."""
        _issuer, address = q.way(self.house, made, BACK)
        self.house.rollback()
        return dict(parse_qsl(urlsplit(self.issuer.sign_in(address, subject)).query))

    def asked(self) -> Any:
        """Ask the issuer who somebody is who has not signed in."""
        self.house.info["browser"] = BROWSER
        words = {"issuer_id": str(self.listed), "acknowledged": True}
        return execute(
            self.house, c.ask_issuer, actor=nobody(Source("page")), target=installation(self.house).id, data=words
        )

    def hand_in(self, back: dict[str, str], *, session: Session | None = None) -> SignIn:
        """Sign in by what was brought back."""
        used = session or self.house
        brought = q.Brought(**back)
        q.answer_ahead(used, brought, q.Bearer(BROWSER, q.SIGN_IN), BACK)
        target = installation(used).id
        return execute(used, c.sign_in_at_issuer, actor=nobody(Source("page")), target=target, data=back)

    def connect(self, member: people.Member, subject: str) -> SignIn:
        """Connect somebody's account."""
        actor = self.fresh(member)
        self.house.info["browser"] = BROWSER
        words = {"issuer_id": str(self.listed), "purpose": q.LINK}
        made = run(self.house, c.prove_at_issuer, actor, cast("UUID", actor.sign_in_id), **words)
        back = self.brought(made, subject)
        brought = q.Brought(**back)
        q.answer_ahead(self.house, brought, q.Bearer(BROWSER, q.LINK, actor.sign_in_id), BACK)
        return cast("SignIn", run(self.house, c.connect_issuer, actor, actor.me, **back))


@pytest.fixture
def issuer(now: Moment) -> Iterator[TestIssuer]:
    with a_test_issuer(lambda: now().timestamp()) as made:
        yield made


@pytest.fixture
def gate(house: Session, agency: UUID, ada: people.Member, casey: people.Member, issuer: TestIssuer) -> Gate:
    client, secret = CLIENT
    c.discover_ahead(house, issuer.url, is_development=True)
    actor = ada.actor(house)
    words = {"name": "Blue County", "url": issuer.url, "client_id": client, "client_secret": secret}
    listed = run(house, c.list_issuer, actor, agency, **words, accepted_amr="mfa")
    return Gate(house, agency, issuer, listed.id, casey)


@pytest.mark.usefixtures("engine")
def test_s116_what_is_on_record_names_who_and_what_and_holds_no_secret(gate: Gate) -> None:
    before = len(events(gate.house))
    gate.connect(gate.casey, "casey-77")
    back = gate.brought(gate.asked(), "casey-77")
    made = gate.hand_in(back)
    gained = [one for one in since(gate.house, before) if one[0].startswith("issuer.")]
    assert list(dict.fromkeys(gained)) == [
        ("issuer.proof_requested", "done", None),
        ("issuer.connected", "done", None),
        ("issuer.requested", "done", None),
        ("issuer.signed_in", "done", None),
    ]
    last = events(gate.house)[-1]
    assert (last["action"], last["actor"]["id"]) == ("issuer.signed_in", str(gate.casey.user_id))
    told = json.dumps(events(gate.house))
    for never in (*back.values(), CLIENT[1], "casey-77", str(made.token), BROWSER):
        assert never not in told


@pytest.mark.usefixtures("engine")
def test_s116_of_many_hands_with_one_answer_one_comes_in(
    gate: Gate, engine: Engine, ring: KeyRing, now: Moment
) -> None:
    gate.connect(gate.casey, "casey-77")
    back = gate.brought(gate.asked(), "casey-77")
    came: list[str] = []
    together = threading.Barrier(6)

    def hand_in() -> None:
        with open_session(engine, ring) as session:
            session.info["clock"] = now
            together.wait()
            try:
                gate.hand_in(dict(back), session=session)
                came.append("in")
            except RefusedError as refusal:
                came.append(refusal.code)

    gate.house.rollback()
    hands = [threading.Thread(target=hand_in) for _ in range(6)]
    for one in hands:
        one.start()
    for one in hands:
        one.join()
    assert sorted(came) == ["in"] + ["issuer_refused"] * 5


@pytest.mark.usefixtures("engine")
def test_s116_one_subject_is_one_account_and_one_account_has_one_subject_at_an_issuer(gate: Gate) -> None:
    gate.connect(gate.casey, "casey-77")
    other = people.a_member(gate.house, gate.agency, Role.CASE_MANAGER, name="Robin Vale")
    with pytest.raises(SubjectKnownError):
        gate.connect(other, "casey-77")
    with pytest.raises(SubjectKnownError):
        gate.connect(gate.casey, "casey-78")
    counted = gate.house.scalar(select(func.count(IssuerSubject.id)).where(IssuerSubject.ended_at.is_(None)))
    gate.house.rollback()
    assert counted == 1


@pytest.mark.usefixtures("engine")
def test_s105_a_recovery_ends_the_connection_with_every_other_factor(gate: Gate, ada: people.Member) -> None:
    suri = people.a_member(gate.house, gate.agency, Role.SUPERVISOR, name="Suri Patel")
    gate.connect(gate.casey, "casey-77")
    began = run(gate.house, recovery.start_recovery, gate.fresh(ada), gate.casey.user_id, how="known_in_person")
    run(gate.house, recovery.confirm_recovery, gate.fresh(suri), began.id, how="known_on_video")
    with pytest.raises(IssuerRefusedError):
        gate.hand_in(gate.brought(gate.asked(), "casey-77"))
    assert q.subjects_of(gate.house, gate.casey.user_id) == []
    assert sign_ins.has_factor(gate.house, gate.casey.user_id)  # one that was lost: a password alone sets up none
    gate.house.rollback()


def test_s116_what_a_request_holds_is_sealed_or_digested(gate: Gate) -> None:
    made = gate.asked()
    state = str(made.shown_state)
    row = gate.house.get_one(IssuerRequest, made.id)
    kept = {row.nonce, row.verifier}
    gate.house.rollback()
    raw = b"".join(
        bytes(cell) if isinstance(cell, bytes) else str(cell).encode()
        for one in gate.house.connection().exec_driver_sql("SELECT * FROM issuer_request").all()
        for cell in one
        if cell is not None
    )
    gate.house.rollback()
    for never in (state, BROWSER, *kept):
        assert never.encode() not in raw


def test_s103_a_password_with_a_connection_waits_for_the_second_step(gate: Gate) -> None:
    gate.connect(gate.casey, "casey-77")
    began = people.try_sign_in(gate.house, gate.casey.sign_in_name)
    held = sign_ins.holder(gate.house, cast("str", began.token), Source("page"))
    gate.house.rollback()
    assert held is not None
    assert (held.step, held.actor.roles) == (SECOND_FACTOR, frozenset())


def test_without_the_answer_fetched_before_nothing_is_taken(gate: Gate) -> None:
    gate.connect(gate.casey, "casey-77")
    back = gate.brought(gate.asked(), "casey-77")
    target = installation(gate.house).id
    with pytest.raises(IssuerRefusedError):
        execute(gate.house, c.sign_in_at_issuer, actor=nobody(Source("page")), target=target, data=back)
    assert accounts.user(gate.house, gate.casey.user_id).locked_at is None
    gate.house.rollback()
