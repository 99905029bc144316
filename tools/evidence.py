"""Which test shows what: the edges of a referral, and the lines S-1 and S-8 of security, each with its tests.

Tests that carry a line's number are found by it; those named here are looked up, so that none is named that is gone.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from referrals.referral.models import SETTLED_HOLDS, SETTLED_REASONS, STATES, VERBS, Verb

TESTS: Final = Path(__file__).resolve().parents[1] / "tests"

EDGES: Final = """\
# The edges of a referral

Each way from a state to another, who may take it (*predicates* of the room's `policy.py`; any of them), the list its
reason comes from, and the tests that take it. `[from]` is the case of a parametrized test. Whatever is no edge is
refused with its code: `test_every_pair_of_state_and_verb_is_an_edge_or_a_refusal_with_its_code`; random walks hold to
the table: `test_every_walk_keeps_the_rules`.

| from | command | to | may, if the actor | reason | tests |
|---|---|---|---|---|---|
"""
REASONS: Final = """
## The reasons

*Only by settlement* marks what nobody chooses: the service writes it when sharing has ended.

| list | codes |
|---|---|
"""
SECURITY: Final = """\
# Sign-in and accounts: what must hold, and the tests that show it

The lines S-1 and S-8 of the security baseline. A test that bears a line's number is listed by itself; *not yet* says
plainly what a line asks for and nothing does, or no test shows.

"""

#: The test that takes every edge that has a door, by the state it starts from.
BY_DOOR: Final = "test_every_edge_with_a_door_leads_where_the_table_says"
#: The edges without a door, and the other ways to take one (the service itself, the other side).
OTHERWISE: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    **{
        (state, "expire_referral"): ("test_whoever_is_silent_lets_it_expire_and_not_a_minute_sooner",)
        for state in ("sent", "acknowledged", "info_requested")
    },
    **{
        (state, "cancel_referral"): (
            "test_at_once_both_sides_see_it_closed_and_the_worker_writes_it_a_day_later",
            *(("test_the_worker_writes_what_settlement_says_and_ends_the_assignment",) if state == "sent" else ()),
            *(("test_the_recipient_cancels_only_on_the_participants_wish",) if state == "accepted" else ()),
        )
        for state in ("sent", "acknowledged", "info_requested", "accepted", "waitlisted", "in_progress", "on_hold")
    },
    ("draft", "discard_draft"): (
        "test_a_draft_lapses_60_days_after_it_was_last_saved_and_no_sooner",
        "test_a_draft_is_put_away_and_the_first_day_keeps_it",
    ),
    ("in_progress", "hold_referral"): ("test_a_hold_by_settlement_ends_only_when_sharing_holds_again",),
    ("accepted", "waitlist_referral"): ("test_accepted_to_the_waiting_list_is_two_steps_at_one_instant",),
}
#: Edges that no door leads along.
NO_DOOR: Final = frozenset({"expire_referral"})


@dataclass(frozen=True, slots=True)
class Line:
    """A line of security: what it says, tests that show it beside those that bear its number, what is not yet."""

    says: str
    beside: tuple[str, ...] = ()
    missing: str | None = None


#: The lines of S-1 and S-8, in short; the numbers are stable.
LINES: Final[dict[int, Line]] = {
    101: Line("Five wrong sign-ins in 15 minutes, of any factor, lock an account until it is unlocked"),
    102: Line(
        "Locked, unknown, disabled and wrong look alike: text, status, length, time",
        missing="Time is shown by counting: the same statements and one verification of a password for each. No test "
        "measures a clock. The fifth wrong try takes two statements more than one under an unknown name, for the lock "
        "and for telling its owner: an entry about nobody would falsify the record, and a lock written later would "
        "not hold at once. Whoever would tell a name by it locks the account and has its owner told.",
    ),
    103: Line("Two factors for every staff account, on every path"),
    104: Line("Codes work once, one step early or late at most; codes are hashed, seeds sealed"),
    105: Line("A reset never removes the second factor; losing it needs identity proofing by two colleagues"),
    106: Line("Passwords of 15 to 128 characters, as typed; no rule of composition; blocklist and context words"),
    107: Line("argon2id, 64 MiB, 3 passes; re-hashed when settings rise; at most two at once in a process"),
    108: Line("First sign-in and reset by a one-time code of 24 hours; no administrator sees or chooses a password"),
    109: Line(
        "Idle and absolute limits hold on the server; background polls are not activity",
        missing="A sign-in counts as one on a shared computer when its person says so: no facility sets it for its "
        "machines. Without scripts nobody is warned, and the last page stays on the screen; drafts survive the end.",
    ),
    110: Line("Sign-out, a new password, factor or role, and disabling end all of that user's sign-ins"),
    111: Line("A new 256-bit token at sign-in and re-authentication; the database holds its hash"),
    112: Line(
        "The session cookie: __Host-, Secure, HttpOnly, SameSite=Lax; no start without a 32-byte secret",
        ("test_s901_what_is_wrong_is_refused_by_name_with_its_remedy",),
    ),
    113: Line(
        "A fresh sign-in for unlocking, roles, tokens and exports",
        ("test_s808_making_and_renewing_one_needs_a_fresh_sign_in_and_revoking_does_not",),
        "Break-glass is not built; an exception to a consent asks for a second person, not for a fresh sign-in.",
    ),
    114: Line("The system-use notice, four statements, acknowledged before sign-in"),
    115: Line("Participants: a printed card and a PIN", missing="Not built: participants have no door of their own."),
    116: Line(
        "Single sign-on: code flow, PKCE, state, nonce; a person is issuer and subject, never an address of mail; "
        "issuers are listed for each organization; no account on arrival",
    ),
    117: Line(
        "Coarse rates on sign-in, reset, search and export",
        missing="The anonymous report is not built.",
    ),
    801: Line("One person, one account; names are never used again; none by default"),
    802: Line("By invitation; supervisor, administrator and auditor need a second person"),
    803: Line("Rules of behavior acknowledged first, then yearly"),
    804: Line("Disabled after 90 idle days, on the last day, after 72 hours of emergency; one button acts at once"),
    805: Line("A yearly review of access, signed; overdue is shown"),
    806: Line("Users are told of new factors, changes and locks"),
    807: Line("Disabling keeps history and lists open work to hand over"),
    808: Line("API tokens: named, scoped, hashed, at most a year, an actor of their own"),
    809: Line(
        "Operators act by recorded commands and read no participant data; a database role per process",
        (
            "test_a_grant_too_few_or_too_many_is_named",
            "test_postgresql_refuses_even_the_superuser_in_every_replication_role",
        ),
        "Database roles are told apart on the log's tables only; every other table is the one owner's.",
    ),
}


@functools.cache
def tests() -> dict[str, str]:
    """Return where each test stands, by its name; where a name stands twice, the files one after the other."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.setdefault(node.name, []).append(path.relative_to(TESTS.parent).as_posix())
    return {name: ", ".join(places) for name, places in found.items()}


def bearing(number: int) -> list[str]:
    """Return the tests that bear a line's number, by name."""
    borne = re.compile(rf"_s{number}(?=_)")
    return sorted(name for name in tests() if borne.search(name.removeprefix("test")))


def taking(state: str, verb: Verb) -> list[str]:
    """Return the tests that take an edge."""
    others = OTHERWISE.get((state, verb.command), ())
    return [*([] if verb.command in NO_DOOR else [f"{BY_DOOR}[{state}]"]), *others]


def named() -> set[str]:
    """Return every test that is named by hand."""
    by_hand = {name for others in OTHERWISE.values() for name in others} | {BY_DOOR}
    return by_hand | {name for line in LINES.values() for name in line.beside} | set(re.findall(r"`(test_\w+)`", EDGES))


def referral_edges() -> str:
    """Return the table of edges, each with its tests."""
    lines = [EDGES]
    for state in STATES:
        for verb in VERBS.values():
            if state in verb.origins:
                may = ", ".join(f"`{name}`" for name in verb.may)
                reason = "" if verb.reasons is None else verb.reasons.__name__
                shown = ", ".join(f"`{name}`" for name in taking(state, verb))
                lines.append(f"| {state} | `{verb.command}` | {verb.to} | {may} | {reason} | {shown} |\n")
    lines.append(REASONS)
    settled = {*SETTLED_HOLDS, *SETTLED_REASONS}
    for reasons in dict.fromkeys(verb.reasons for verb in VERBS.values() if verb.reasons is not None):
        codes = (f"`{code}`{' (only by settlement)' if code in settled else ''}" for code in reasons)
        lines.append(f"| {reasons.__name__} | {', '.join(codes)} |\n")
    return "".join(lines)


def security_checks() -> str:
    """Return the lines of S-1 and S-8, each with its tests and with what is not yet."""
    lines = [SECURITY]
    for number, line in LINES.items():
        lines.append(f"## S-{number}\n\n{line.says}.\n\n")
        lines += _listed([*bearing(number), *line.beside])
        if line.missing is not None:
            lines.append(f"*Not yet:* {line.missing}\n\n")
    return "".join(lines).rstrip("\n") + "\n"


def _listed(names: Iterable[str]) -> list[str]:
    shown = [f"- `{name}` ({tests().get(name, '**gone**')})\n" for name in names]
    return [*shown, "\n"] if shown else []
