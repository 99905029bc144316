"""`python -m bench`: seed, serve, measure, tell."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from bench import pages, report
from bench.ground import BenchError, Ground, Service, engine_on, ground, service
from bench.load import Feed, Measured, Pass, run, sign_in
from bench.pages import Ask, Chain
from bench.progress import Progress
from bench.seeding import Plan
from bench.statements import Inside, WrongAnswerError
from referrals.app import create_app
from referrals.kernel.keys import KeyRing
from referrals.kernel.providers import provider_from
from referrals.kernel.session import HouseSession
from referrals.sign_in.queries import demo_code

#: How often each page is asked in this process, each time for another row, to count its statements.
COUNTED = 4


@click.command()
@click.option("--participants", default=10_000, show_default=True)
@click.option("--referrals", default=20_000, show_default=True)
@click.option("--database", type=click.Choice(["sqlite", "postgresql"]), default="sqlite", show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="Of each thing in each round.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--connections", default=8, show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--only", default="", help="Measure what begins so, for example 'referral'.")
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures there, too."
)
def main(  # noqa: PLR0917  # click hands options over by name
    participants: int,
    referrals: int,
    database: str,
    seconds: float,
    rounds: int,
    connections: int,
    workers: int,
    seed: int,
    only: str,
    json_file: Path | None,
) -> None:
    """Seed a database, serve it with gunicorn, and measure pages and acts beside their goals."""
    plan = Plan(participants, referrals, seed)
    if (fault := plan.fault()) is not None:
        raise click.UsageError(fault)
    try:
        with ground(database, plan) as on:
            rows = [one for one in _things(on) if f"{one[0].name} {one[0].who}".startswith(only)]
            _count(on, rows)
            with service(on, workers) as served:
                known = _sign_in(on, served)
                _measure(served, known, on, rows, rounds=rounds, seconds=seconds, connections=connections)
                memory = served.memory()
    except BenchError as fault:
        raise click.ClickException(str(fault)) from fault
    about = {
        "database": database,
        "participants": participants,
        "referrals": referrals,
        "seed": seed,
        "workers": workers,
        "connections": connections,
        "rounds": rounds,
        "seconds": seconds,
        "load": f"{os.getloadavg()[0]:.1f}",
        "memory": memory,
        "versions": report.versions(),
    }
    told = [one.told() for one, _ in rows]
    click.echo(report.markdown(about, told))
    if json_file is not None:
        json_file.write_text(json.dumps({"about": about, "figures": told}, indent=2), encoding="utf-8")


Thing = tuple[Measured, Callable[[], Feed]]


def _things(on: Ground) -> list[Thing]:
    """Return everything that is measured, each with what makes its requests; acts in the order that they need."""
    things: list[Thing] = []
    for reading in pages.readings(on.seeded):
        goal = reading.goal
        measured = Measured(reading.name, reading.who, reading.door, goal.statements, goal.cpu)
        things.append((measured, _always(Feed(reading.ask))))
    return things + _acts(on)


def _always(feed: Feed) -> Callable[[], Feed]:
    return lambda: feed


def _acts(on: Ground) -> list[Thing]:
    """Return the acts. Each takes up what the one before it left: a referral is drafted, written, sent, accepted."""
    todo = Belt(pages.chains(on.seeded))
    drafted, written, sent_page, sent_json = Belt(), Belt(), Belt(), Belt()

    def keep_draft(chain: Chain, body: bytes) -> None:
        made = json.loads(body)
        chain.referral, chain.version = made["id"], made["version"]
        drafted.put(chain)

    def keep_sent(chain: Chain, _body: bytes) -> None:
        (sent_page if len(sent_page) < len(sent_json) else sent_json).put(chain)

    def act(  # noqa: PLR0917  # a row of the table below
        name: str, who: str, door: str, source: Belt, ask: Callable[[Chain], Ask], took: Callable[[Chain, bytes], None]
    ) -> Thing:
        goal = pages.WRITE
        return Measured(name, who, door, goal.statements, goal.cpu), lambda: source.feed(ask, took)

    return [
        act("create: draft", "case manager", "json", todo, pages.draft, keep_draft),
        act("create: write it", "case manager", "json", drafted, pages.save, lambda chain, _: written.put(chain)),
        act("create: send", "case manager", "json", written, pages.send, keep_sent),
        act("answer: accept", "navigator", "json", sent_json, lambda one: pages.accept(one, "json"), _forget),
        act("answer: accept", "navigator", "page", sent_page, lambda one: pages.accept(one, "page"), _forget),
    ]


def _forget(_chain: Chain, _body: bytes) -> None:
    """Keep nothing."""


class Belt:
    """Referrals on their way from one act to the next."""

    def __init__(self, chains: list[Chain] | None = None) -> None:
        """Begin with these."""
        self._chains = list(chains or ())
        self._turn = threading.Lock()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._chains)

    def put(self, chain: Chain) -> None:
        """Add one at the end."""
        with self._turn:
            self._chains.append(chain)

    def feed(self, ask: Callable[[Chain], Ask], took: Callable[[Chain, bytes], None]) -> Feed:
        """Take from the front, one for each request."""
        under_way: dict[int, Chain] = {}

        def following(number: int) -> Ask | None:
            with self._turn:
                if not self._chains:
                    return None
                under_way[number] = self._chains.pop(0)
            return ask(under_way[number])

        return Feed(following, lambda number, body: took(under_way.pop(number), body))


def _count(on: Ground, rows: list[Thing]) -> None:
    """Count the SQL statements of each page, in this process."""
    os.environ.update({name: value for name, value in on.env.items() if name.startswith("THROUGHGATE_")})
    app = create_app()
    inside = Inside(app, KeyRing(provider_from(on.env["THROUGHGATE_KEYS"], on.env)))
    with Progress("Counting statements", len(rows)) as progress:
        for measured, feed in rows:
            source = feed()
            try:
                for number in range(COUNTED):
                    given = source.next()
                    if given is None:
                        break
                    body, heard = inside.ask(given[1])
                    source.took(given[0], body)
                    if number:  # the first fills the caches of keys
                        measured.statements.append(len(heard))
            except WrongAnswerError as fault:
                measured.fault = str(fault)[:200]
            progress.on(1)
    inside.engine.dispose()


def _sign_in(on: Ground, served: Service) -> dict[str, Pass]:
    """Sign everybody in who takes part."""
    engine = engine_on(on)
    ring = KeyRing(provider_from(on.env["THROUGHGATE_KEYS"], on.env))
    names = [*on.seeded.case_managers, on.seeded.supervisor, *on.seeded.navigators]

    def code(name: str) -> str:
        with HouseSession(engine, info={"ring": ring}) as session:
            return demo_code(session, name, datetime.now(UTC))

    try:
        with Progress("Signing in", len(names)) as progress:
            known = {}
            for name in names:
                known[name] = sign_in(served.port, name, partial(code, name))
                progress.on(1)
    finally:
        engine.dispose()
    return known


def _measure(
    served: Service,
    known: dict[str, Pass],
    on: Ground,
    rows: list[Thing],
    *,
    rounds: int,
    seconds: float,
    connections: int,
) -> None:
    """Measure everything once in each round, so that a slow minute of the machine does not fall on one thing alone."""
    share = max(1, len(pages.chains(on.seeded)) // rounds)
    with Progress("Measuring", rounds * len(rows)) as progress:
        for _ in range(rounds):
            for measured, feed in rows:
                if measured.fault is None:
                    source = feed()
                    try:
                        # Uncounted, for each worker and connection: what is compiled once and then kept.
                        run(served, known, _Bounded(source, connections * 2), connections=connections, seconds=30)
                        if measured.goal_cpu == pages.WRITE.cpu:
                            source = _Bounded(source, share - connections * 2)
                        measured.rounds.append(run(served, known, source, connections=connections, seconds=seconds))
                    except BenchError as fault:
                        measured.fault = str(fault)[:200]
                progress.on(1)


class _Bounded(Feed):
    """At most so many of another feed's requests."""

    def __init__(self, feed: Feed, most: int) -> None:
        """Begin at none."""
        super().__init__(feed._ask, feed._took, start=feed.number)  # noqa: SLF001  # a feed of a feed
        self.last = feed.number + most
        self.feed = feed

    def next(self) -> tuple[int, Ask] | None:
        """Return the next, unless there were enough."""
        return None if self.number >= self.last else super().next()


if __name__ == "__main__":
    main()
