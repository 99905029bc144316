"""What is measured: the pages people open all day, both doors of each, and the acts of making and answering a referral.

The statement tests ask the same pages (`tests/house/test_statements.py`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Literal

from bench.seeding import Seeded, content

Door = Literal["page", "json"]
API: Final = "/api/v1"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: by whom, to where, with what, and what a right answer looks like."""

    user: str
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    as_form: bool = False
    headers: Mapping[str, str] | None = None
    status: int = 200
    marker: bytes = b""


@dataclass(frozen=True, slots=True)
class Goal:
    """What the design asks of a page: statements at most, and CPU milliseconds at most."""

    statements: int | None = None
    cpu: float | None = None


LIST: Final = Goal(12, 8)
PAGE: Final = Goal(20, 8)
SEARCH: Final = Goal(None, 8)
WRITE: Final = Goal(None, 10)


@dataclass(frozen=True, slots=True)
class Reading:
    """One page, asked again and again with other rows: `ask(n)` is the n-th request."""

    name: str
    who: str
    door: Door
    goal: Goal
    ask: Callable[[int], Ask]


def readings(seeded: Seeded) -> list[Reading]:  # noqa: C901  # one list, to be read from top to bottom
    """Return every reading that is measured."""
    managers = seeded.case_managers
    navigators = [name for name in seeded.navigators if seeded.referrals.get(name)]
    supervisor = [seeded.supervisor]
    found: list[Reading] = []

    def add(name: str, who: str, users: Sequence[str], goal: Goal, ask: Callable[[str, int], Ask]) -> None:
        doors: tuple[Door, ...] = ("page", "json")
        for door in doors:

            def one(number: int, *, door: Door = door) -> Ask:
                user = users[number % len(users)]
                return _through(door, ask(user, number // len(users)))

            found.append(Reading(name, who, door, goal, one))

    def of_caseload(user: str, number: int) -> Mapping[str, str]:
        return seeded.caseloads[user][number % len(seeded.caseloads[user])]

    def a_referral(user: str, number: int) -> str:
        return seeded.referrals[user][number % len(seeded.referrals[user])]

    def of_anybody(_user: str, number: int) -> Mapping[str, str]:
        return of_caseload(managers[number % len(managers)], number // len(managers))

    add("home", "case manager", managers, Goal(None, 8), lambda user, _: Ask(user, "GET", "/home"))
    if navigators:
        add("home", "navigator", navigators, Goal(None, 8), lambda user, _: Ask(user, "GET", "/home"))
    add(
        "participants, 25",
        "case manager",
        managers,
        LIST,
        lambda user, _: Ask(user, "GET", "/participants", marker=seeded.caseloads[user][-1]["number"].encode()),
    )
    add(
        "participants, 25",
        "supervisor",
        supervisor,
        LIST,
        lambda user, _: Ask(user, "GET", "/participants", marker=b"SV-0"),
    )
    add(
        "referrals, 25",
        "case manager",
        managers,
        LIST,
        lambda user, _: Ask(user, "GET", "/referrals?group=them", marker=b"House"),
    )
    if navigators:
        add(
            "referrals, 25",
            "navigator",
            navigators,
            LIST,
            lambda user, _: Ask(user, "GET", "/referrals?group=us", marker=b"House"),
        )
    add("participant", "case manager", managers, PAGE, lambda user, n: _participant(user, of_caseload(user, n)))
    add("participant", "supervisor", supervisor, PAGE, lambda user, n: _participant(user, of_anybody(user, n)))
    add("referral", "case manager", managers, PAGE, lambda user, n: _referral(user, a_referral(user, n)))
    if navigators:
        add("referral", "navigator", navigators, PAGE, lambda user, n: _referral(user, a_referral(user, n)))
    for who, users, sought in (("case manager", managers, of_caseload), ("supervisor", supervisor, of_anybody)):
        add(
            "search by number",
            who,
            users,
            SEARCH,
            by_number(sought),
        )
        add(
            "search by name",
            who,
            users,
            SEARCH,
            by_name(sought),
        )
    return found


def _through(door: Door, ask: Ask) -> Ask:
    if door == "page":
        return ask if ask.body is None else changed(ask, as_form=True)
    return changed(ask, path=API + ask.path, marker=ask.marker or b"{")


def changed(ask: Ask, **said: Any) -> Ask:
    """Return a request that differs in what is said."""
    fields = {name: getattr(ask, name) for name in Ask.__slots__}
    return Ask(**fields | said)


def _participant(user: str, person: Mapping[str, str]) -> Ask:
    return Ask(user, "GET", f"/participants/{person['id']}", marker=person["number"].encode())


def _referral(user: str, referral_id: str) -> Ask:
    return Ask(user, "GET", f"/referrals/{referral_id}", marker=b"Weekdays 8 to 4")


Sought = Callable[[str, int], Mapping[str, str]]


def by_number(sought: Sought) -> Callable[[str, int], Ask]:
    """Search whoever is sought by agency number."""

    def ask(user: str, number: int) -> Ask:
        person = sought(user, number)
        return Ask(
            user, "POST", "/participants/search", {"agency_number": person["number"]}, marker=person["id"].encode()
        )

    return ask


def by_name(sought: Sought) -> Callable[[str, int], Ask]:
    """Search whoever is sought by given and family name."""

    def ask(user: str, number: int) -> Ask:
        person = sought(user, number)
        words = {"name": f"{person['given_name']} {person['family_name']}"}
        return Ask(user, "POST", "/participants/search", words, marker=person["family_name"].encode())

    return ask


# --- acts -------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Chain:
    """One referral on its way through the acts: drafted, written, sent, answered."""

    manager: str
    person: str
    program: str
    navigator: str
    service: str
    navigator_id: str
    referral: str = ""
    version: int = 1


def chains(seeded: Seeded) -> list[Chain]:
    """Return the referrals that can still be made, one manager after the other, so that all work at once."""
    by_manager = [
        [Chain(name, *one, seeded.users[one[2]]) for one in seeded.free.get(name, [])] for name in seeded.case_managers
    ]
    longest = max((len(one) for one in by_manager), default=0)
    return [one[number] for number in range(longest) for one in by_manager if number < len(one)]


def draft(chain: Chain) -> Ask:
    """Begin a referral."""
    path = f"{API}/participants/{chain.person}/referrals"
    return Ask(chain.manager, "POST", path, {"program_id": chain.program}, status=201, marker=b'"version"')


def save(chain: Chain) -> Ask:
    """Write all that goes with it."""
    words = content(random.Random(chain.referral), chain.service, date.today() - timedelta(days=1))  # noqa: DTZ011
    words["agreed_on"] = words["agreed_on"].isoformat()
    path = f"{API}/referrals/{chain.referral}/draft"
    headers = {"If-Match": f'"{chain.version}-"'}
    return Ask(chain.manager, "POST", path, words, headers=headers, marker=b"Weekdays 8 to 4")


def send(chain: Chain) -> Ask:
    """Send it: agreement, consents, program and duplicates are checked under lock."""
    return Ask(chain.manager, "POST", f"{API}/referrals/{chain.referral}/sending", {}, marker=b'"sent"')


def accept(chain: Chain, door: Door) -> Ask:
    """Say yes to it."""
    day = date.today() + timedelta(days=2)  # noqa: DTZ011
    words: dict[str, Any] = {"caseworker_id": chain.navigator_id, "first_contact_on": day.isoformat()}
    path = f"/referrals/{chain.referral}/acceptance"
    if door == "json":
        return Ask(chain.navigator, "POST", API + path, words, marker=b'"accepted"')
    del words["first_contact_on"]
    for part in ("year", "month", "day"):
        words[f"first_contact_on-{part}"] = str(getattr(day, part))
    return Ask(chain.navigator, "POST", path, words, as_form=True, status=303)
