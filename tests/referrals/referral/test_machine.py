"""The pure state machine: its tables, `fold`, `settle`, and references."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from referrals.referral import models as m
from referrals.referral import policy
from referrals.referral.models import EDGES, OPEN, STATES, TERMINAL, UNDER_WAY, VERBS, Facts, State, fold, settle

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALL = list(State)
facts = st.builds(
    Facts,
    died_at=st.sampled_from([None, NOW - timedelta(days=1), NOW, NOW + timedelta(days=1)]),
    consent=st.booleans(),
    agreement=st.booleans(),
    expires_at=st.sampled_from([None, NOW - timedelta(seconds=1), NOW, NOW + timedelta(seconds=1)]),
)


@dataclass
class Link:
    seq: int
    from_state: str
    to_state: str


def walk(choices: list[int]) -> list[Link]:
    """Turn numbers into a chain of steps that edges allow."""
    chain: list[Link] = []
    state = State.DRAFT
    for choice in choices:
        ways = sorted(to for origin, _command, to in EDGES if origin is state)
        if not ways:
            break
        to = ways[choice % len(ways)]
        chain.append(Link(len(chain) + 1, str(state), str(to)))
        state = to
    return chain


chains = st.lists(st.integers(0, 1000), max_size=12).map(walk)


def test_there_are_14_states_and_46_edges() -> None:
    assert (len(State), len(STATES), len(OPEN), len(TERMINAL), len(UNDER_WAY), len(EDGES)) == (14, 14, 8, 6, 7, 46)


def test_each_edge_stands_in_the_table_of_section_3() -> None:
    told = {
        "send_referral": "draft > sent",
        "discard_draft": "draft > cancelled",
        "acknowledge_referral": "sent > acknowledged",
        "ask_question": "sent acknowledged > info_requested",
        "answer_question": "info_requested > acknowledged",
        "accept_referral": "sent acknowledged > accepted",
        "waitlist_referral": "accepted > waitlisted",
        "start_referral": "accepted waitlisted > in_progress",
        "hold_referral": "accepted in_progress > on_hold",
        "resume_referral": "on_hold > in_progress",
        "decline_referral": "sent acknowledged info_requested > declined",
        "cancel_referral": "sent acknowledged info_requested accepted waitlisted in_progress on_hold > cancelled",
        "expire_referral": "sent acknowledged info_requested > expired",
        "complete_referral": "accepted in_progress on_hold > completed",
        "end_referral": "accepted waitlisted in_progress on_hold > not_completed",
        "confirm_error": "sent acknowledged info_requested accepted waitlisted in_progress on_hold declined cancelled "
        "expired completed not_completed > entered_in_error",
    }
    stands = {}
    for name, verb in VERBS.items():
        origins = " ".join(str(state) for state in ALL if state in verb.origins)
        stands[name] = f"{origins} > {verb.to}"
    assert stands == told


def test_two_verbs_never_share_an_edge_so_a_step_names_its_verb() -> None:
    pairs = [(origin, to) for origin, _command, to in EDGES]
    assert len(set(pairs)) == len(pairs)


def test_who_may_is_said_in_names_that_policy_has() -> None:
    for verb in VERBS.values():
        assert verb.may
        assert all(callable(getattr(policy, name)) for name in verb.may)


def test_nothing_leaves_a_terminal_state_but_an_error() -> None:
    assert {(to, command) for origin, command, to in EDGES if origin in TERMINAL} == {
        (State.ENTERED_IN_ERROR, "confirm_error")
    }
    assert not [edge for edge in EDGES if edge[0] is State.ENTERED_IN_ERROR]


def test_codes_for_exchange_are_written_with_hyphens() -> None:
    codes = [one for means in STATES.values() for one in (means.task, means.business) if one is not None]
    assert not [one for one in codes if "_" in one]
    assert STATES[State.DRAFT].task is None
    r4 = {"requested", "accepted", "rejected", "cancelled", "in-progress", "on-hold", "failed", "completed"}
    assert {means.task for means in STATES.values()} == r4 | {None, "entered-in-error"}


@given(chains)
def test_every_walk_moves_task_status_only_along_the_guides_diagram(chain: list[Link]) -> None:
    ended = {"completed", "failed", "cancelled"}
    along = {
        "requested": {"requested", "accepted", "rejected", "cancelled"},
        "accepted": {"in-progress", "on-hold"} | ended,
        "in-progress": {"on-hold"} | ended,
        "on-hold": {"in-progress", "on-hold"} | ended,
    }
    codes = [STATES[State(link.to_state)].task for link in chain]
    for before, after in pairwise(codes):
        assert (
            after == "entered-in-error"
            or after in along.get(before or "", {"requested", "cancelled"})
            or before is None
        )


@given(chains)
def test_fold_follows_every_walk(chain: list[Link]) -> None:
    assert fold(chain) == (chain[-1].to_state if chain else State.DRAFT)


@given(chains.filter(bool), st.integers(0, 11), st.sampled_from(["gap", "origin", "edge"]))
def test_fold_notices_a_broken_chain(chain: list[Link], at: int, how: str) -> None:
    link = chain[at % len(chain)]
    if how == "gap":
        link.seq += 1
    elif how == "origin":
        link.from_state = State.WAITLISTED if link.from_state != State.WAITLISTED else State.SENT
    else:
        link.to_state = State.DRAFT
    with pytest.raises(m.BrokenChainError):
        fold(chain)


@given(st.sampled_from(ALL), facts)
def test_settle_is_total_and_says_which_step_is_due(recorded: State, stands: Facts) -> None:
    settled = settle(recorded, stands, NOW)
    if settled.state is recorded:
        assert settled.verb is None
        assert settled.reason is None
        return
    assert settled.verb is not None
    assert (recorded, settled.verb.command, settled.state) in EDGES
    assert "is_system" in settled.verb.may
    assert settled.reason
    reasons = set(m.CancelReason) if settled.reason == "deceased" else set(settled.verb.reasons or ())
    assert settled.reason in {str(one) for one in reasons}


@given(st.sampled_from(ALL), facts)
def test_settling_what_was_settled_changes_nothing(recorded: State, stands: Facts) -> None:
    once = settle(recorded, stands, NOW).state
    assert settle(once, stands, NOW).state is once


@given(st.sampled_from(sorted(TERMINAL)), facts)
def test_terminal_stays_terminal(recorded: State, stands: Facts) -> None:
    assert settle(recorded, stands, NOW).state is recorded


@given(st.sampled_from(ALL), st.booleans(), st.booleans())
def test_a_death_goes_before_everything(recorded: State, consent: bool, agreement: bool) -> None:
    stands = Facts(died_at=NOW, consent=consent, agreement=agreement, expires_at=NOW)
    settled = settle(recorded, stands, NOW)
    assert settled.state is (recorded if recorded in TERMINAL else State.CANCELLED)
    assert settled.reason == (None if recorded in TERMINAL else "deceased")


@pytest.mark.parametrize(
    ("recorded", "becomes", "reason"),
    [
        ("draft", "draft", None),
        ("sent", "cancelled", "consent_ended"),
        ("acknowledged", "cancelled", "consent_ended"),
        ("info_requested", "cancelled", "consent_ended"),
        ("accepted", "on_hold", "consent_suspended"),
        ("waitlisted", "cancelled", "consent_ended"),
        ("in_progress", "on_hold", "consent_suspended"),
        ("on_hold", "on_hold", None),
    ],
)
def test_ended_sharing_goes_before_a_deadline(recorded: str, becomes: str, reason: str | None) -> None:
    stands = Facts(consent=False, expires_at=NOW - timedelta(days=1))
    settled = settle(State(recorded), stands, NOW)
    assert (settled.state, settled.reason) == (becomes, reason)


def test_an_ended_agreement_is_called_so() -> None:
    assert settle(State.SENT, Facts(agreement=False), NOW).reason == "agreement_ended"
    assert settle(State.ACCEPTED, Facts(agreement=False), NOW).reason == "agreement_suspended"
    assert settle(State.SENT, Facts(agreement=False, consent=False), NOW).reason == "consent_ended"


@given(st.sampled_from(ALL))
def test_a_deadline_ends_only_what_waits_for_an_answer(recorded: State) -> None:
    late = settle(recorded, Facts(expires_at=NOW), NOW)
    early = settle(recorded, Facts(expires_at=NOW + timedelta(microseconds=1)), NOW)
    assert early.state is recorded
    expected = {
        "sent": "no_acknowledgement",
        "acknowledged": "no_answer_from_recipient",
        "info_requested": "no_answer_from_source",
    }
    assert late.reason == expected.get(recorded)
    assert (late.state is not recorded) is (recorded in expected)


def test_reason_lists_are_closed_and_other_is_last_where_it_stands() -> None:
    lists = (m.DeclineReason, m.EndReason, m.QuestionTopic, m.AmendmentReason, m.CancelReason)
    assert all(list(one)[-1] == "other" for one in lists)
    assert [len(one) for one in (m.DeclineReason, m.HoldReason, m.CancelReason, m.Outcome, m.EndReason)] == [
        8,
        11,
        16,
        6,
        9,
    ]
    assert {str(one) for one in m.PERSONS_WISH} == {
        *("participant_declined", "needs_met_elsewhere", "moved_away", "work_or_family")
    }


def test_references_check_themselves() -> None:
    made = {m.new_reference() for _ in range(500)}
    assert len(made) == 500
    assert all(m.is_reference(one) for one in made)


@given(st.integers(0, 2**32), st.integers(0, 7), st.integers(1, 23))
def test_a_reference_with_one_wrong_sign_is_none(seed: int, place: int, shift: int) -> None:
    drawn = random.Random(seed)
    body = "".join(drawn.choice(m.REFERENCE_SIGNS) for _ in range(7))
    good = next(body + sign for sign in m.REFERENCE_SIGNS if m.is_reference(body + sign))
    sign = m.REFERENCE_SIGNS[(m.REFERENCE_SIGNS.index(good[place]) + shift) % len(m.REFERENCE_SIGNS)]
    assert not m.is_reference(good[:place] + sign + good[place + 1 :])
    assert not m.is_reference(good[:7])
    assert not m.is_reference(good[:7] + "B")
