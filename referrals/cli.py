"""`throughgate …`: the operator's commands. Each is an act on record, a read, or care for the installation itself."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click
from alembic import command as alembic
from alembic.config import Config
from sqlalchemy import Engine

from referrals import demo as demonstration
from referrals import settings as surroundings
from referrals import start
from referrals.account import commands as accounts
from referrals.account import queries as account_queries
from referrals.app import gates
from referrals.exchange import commands as exchange
from referrals.kernel import job, language
from referrals.kernel.actor import system
from referrals.kernel.command import execute
from referrals.kernel.errors import RefusedError
from referrals.kernel.keys import KeyRing
from referrals.kernel.mail import post_from
from referrals.kernel.orm import make_engine
from referrals.kernel.providers import FileProvider, KeyProblemError, provider_from
from referrals.kernel.record import commit, start_writing
from referrals.kernel.session import HouseSession
from referrals.mail import queries as mail_queries
from referrals.recovery import commands as recoveries
from referrals.recovery import queries as recovery_queries
from referrals.settings import Settings, SettingsError
from referrals.staff import commands as staff
from referrals.staff import queries as staff_queries

#: Seconds between two looks for due jobs.
PAUSE = 2.0


@contextmanager
def opened() -> Iterator[tuple[Settings, Engine, HouseSession]]:
    """Open settings, engine and a session with keys and gates, as a web request has them."""
    settings = read_settings()
    if settings.fast_passwords:
        accounts.use_fast_hashing()
    engine = make_engine(settings.database_url)
    try:
        ring = KeyRing(provider_from(settings.keys, os.environ))
        with HouseSession(engine, info=_furniture(settings, ring)) as session:
            yield settings, engine, session
    except KeyProblemError as problem:
        raise click.ClickException(problem.remedy) from problem
    except RefusedError as refusal:
        raise click.ClickException(f"Refused: {refusal.code} {refusal.facts or ''}".strip()) from refusal
    finally:
        engine.dispose()


def _furniture(settings: Settings, ring: KeyRing) -> dict[str, Any]:
    return {"ring": ring, "gates": gates(), "post": post_from(settings, language.catalog_of)}


def read_settings() -> Settings:
    """Read the settings, or say which one is wrong."""
    try:
        return surroundings.load()
    except SettingsError as fault:
        raise click.ClickException(str(fault)) from fault


@click.group()
def main() -> None:
    """Care for an installation of Throughgate."""


@main.group()
def keys() -> None:
    """Keys: make the key file, check that it fits."""


@keys.command("create")
@click.argument("path", required=False, type=click.Path(path_type=Path))
def keys_create(path: Path | None) -> None:
    """Make a new key file (mode 0600), at PATH or where THROUGHGATE_KEYS points. Never overwrites one."""
    place = path or Path(os.environ.get("THROUGHGATE_KEYS", ""))
    if str(place) in {"", "."}:
        raise click.UsageError("Name a PATH, or set THROUGHGATE_KEYS.")
    if place.exists():
        raise click.ClickException(
            f"{place} exists already. Without it nothing sealed can be read: it is not overwritten."
        )
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    FileProvider.create(place)
    click.echo(f"Keys made at {place}. Keep a copy in a safe place, apart from the database and its backups.")


@main.command("check")
def check() -> None:
    """Print the settings (secrets as "set") and every reason not to start."""
    settings = read_settings()
    for name, value in settings.shown().items():
        click.echo(f"{name}: {value}")
    engine = make_engine(settings.database_url)
    try:
        found = start.faults(settings, engine)
    finally:
        engine.dispose()
    for fault in found:
        click.echo(f"- {fault}", err=True)
    if found:
        raise SystemExit(1)
    click.echo("Everything holds.")


@main.command("migrate")
def migrate() -> None:
    """Bring the database to this release, and make its house keys if it has none."""
    settings = read_settings()
    try:
        provider_from(settings.keys, os.environ)  # before anything is made: the first thing it needs are keys
    except KeyProblemError as problem:
        raise click.ClickException(problem.remedy) from problem
    if (file := surroundings.sqlite_path(settings.database_url)) is not None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = make_engine(settings.database_url)
    try:
        config = Config()
        config.set_main_option("script_location", str(start.ROOT / "migrations"))
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            alembic.upgrade(config, "head")
    finally:
        engine.dispose()
    with opened() as (_, _engine, session):
        start_writing(session)
        session.info["ring"].birth_house(session)
        session.flush()
        commit(session)
    click.echo("The database is up to date.")


@main.command("setup")
@click.option("--agency", prompt="Name of the first agency", help="The agency this installation is for.")
@click.option("--zone", default="America/Los_Angeles", show_default=True, help="Its time zone.")
@click.option("--name", prompt="Full name of its administrator")
@click.option("--sign-in-name", prompt="Their sign-in name")
def setup(agency: str, zone: str, name: str, sign_in_name: str) -> None:
    """Make the installation: its first agency and that agency's administrator, who gets a one-time code."""
    with opened() as (_, _engine, session):
        code = demonstration.first_administrator(
            session, system("cli"), agency=agency, time_zone=zone, display_name=name, sign_in_name=sign_in_name
        )
    click.echo(f"One-time code for {sign_in_name} (24 hours, shown once): {code}")
    click.echo("They sign in with it, then find under Getting started what the agency needs before its first referral.")


@main.command("unlock")
@click.argument("sign_in_name")
def unlock(sign_in_name: str) -> None:
    """Unlock an account that too many wrong sign-ins locked (when no administrator can)."""
    with opened() as (_, _engine, session):
        person = account_queries.by_name(session, sign_in_name)
        if person is None:
            raise click.ClickException(f"There is no account named {sign_in_name}.")
        execute(session, staff.unlock_user, actor=system("cli"), target=person.id, data={})
    click.echo(f"{sign_in_name} is unlocked.")


@main.command("enable")
@click.argument("sign_in_name")
def enable(sign_in_name: str) -> None:
    """Let a disabled account be used again (when no administrator can: they left, or nobody signed in for 90 days)."""
    with opened() as (_, _engine, session):
        person = account_queries.by_name(session, sign_in_name)
        if person is None:
            raise click.ClickException(f"There is no account named {sign_in_name}.")
        code = execute(session, staff.enable_user, actor=system("cli"), target=person.id, data={}).shown_code
    click.echo(f"One-time code for {sign_in_name} (24 hours, shown once): {code}")


@main.command("confirm-role")
@click.argument("sign_in_name")
@click.argument("role")
def confirm_role(sign_in_name: str, role: str) -> None:
    """Confirm a role that an organization's only administrator proposed (where there is another, they confirm)."""
    with opened() as (_, _engine, session):
        person = account_queries.by_name(session, sign_in_name)
        found = staff_queries.waiting(session, person.organization_id, person.id) if person is not None else []
        proposal = next((one for one in found if one.role == role), None)
        if proposal is None:
            raise click.ClickException(f"No role {role} waits for {sign_in_name}.")
        execute(session, staff.confirm_role, actor=system("cli"), target=proposal.id, data={})
    click.echo(f"{sign_in_name} now works as {role}, from the next sign-in.")


@main.command("review-access")
@click.argument("sign_in_name")
@click.argument("decision", type=click.Choice(staff_queries.REVIEW_DECISIONS))
def review_access(sign_in_name: str, decision: str) -> None:
    """Review the account of an organization's only administrator, whom nobody there can review."""
    with opened() as (_, _engine, session):
        person = account_queries.by_name(session, sign_in_name)
        if person is None:
            raise click.ClickException(f"There is no account {sign_in_name}.")
        seen = {"user_id": str(person.id), "roles": sorted(person.roles), "decision": decision}
        target, words = person.organization_id, {"accounts": [seen]}
        execute(session, staff.sign_access_review, actor=system("cli"), target=target, data=words)
    click.echo(f"The review of {sign_in_name} is signed: {decision}.")


@main.command("begin-recovery")
@click.argument("sign_in_name")
@click.argument("how", type=click.Choice(recovery_queries.PROOFINGS))
def begin_recovery(sign_in_name: str, how: str) -> None:
    """Say, as the first of two, that an organization's only administrator lost their second factor.

    HOW says how you made sure who is asking. A colleague of theirs confirms it in the service, never you.
    """
    with opened() as (_, _engine, session):
        person = account_queries.by_name(session, sign_in_name)
        if person is None:
            raise click.ClickException(f"There is no account named {sign_in_name}.")
        made = execute(session, recoveries.start_recovery, actor=system("cli"), target=person.id, data={"how": how})
        half = made.shown_half
    click.echo(f"First half of the code for {sign_in_name} (24 hours, shown once): {half}")
    click.echo("A colleague of theirs makes sure too, at /organization/people/recoveries, and gets the other half.")


@main.command("confirm-recovery")
@click.argument("sign_in_name")
@click.argument("how", type=click.Choice(recovery_queries.PROOFINGS))
def confirm_recovery(sign_in_name: str, how: str) -> None:
    """Say, as the second of two, that somebody lost their second factor, where their organization has nobody else.

    HOW says how you made sure, by yourself, who is asking.
    """
    with opened() as (_, _engine, session):
        person = account_queries.by_name(session, sign_in_name)
        found = recovery_queries.newest(session, person.id) if person is not None else None
        if found is None:
            raise click.ClickException(f"No recovery waits for {sign_in_name}.")
        made = execute(session, recoveries.confirm_recovery, actor=system("cli"), target=found.id, data={"how": how})
        half = made.shown_half
    click.echo(f"Second half of the code for {sign_in_name} (shown once): {half}")


@main.command("mail")
def mail() -> None:
    """Say how mail goes: what waits for the server, and what it did not take for good."""
    with opened() as (settings, _engine, session):
        if settings.smtp is None:
            click.echo("This installation sends no mail. Set THROUGHGATE_SMTP_URL to change that.")
            return
        click.echo(f"Waiting for the mail server: {mail_queries.waiting_mail(session)}")
        failed = mail_queries.failed_mail(session)
        click.echo(f"Failed: {len(failed) or 'none'}")
        for at, sign_in_name, code in failed:
            click.echo(f"  {at:%Y-%m-%d %H:%M} UTC  {sign_in_name}  {code}")


@main.command("worker")
@click.option("--once", is_flag=True, help="Run what is due, then end.")
def worker(once: bool) -> None:  # click hands flags over by name
    """Run jobs as they fall due, until told to stop."""
    asked = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        asked.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with opened() as (settings, engine, session):
        start.check(settings, engine)
        while not asked.is_set():
            job.run_once(session)
            if once or asked.wait(PAUSE):
                break


@main.group("import")
def import_() -> None:
    """Bring in facilities and services from files."""


@import_.command("facilities")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would happen; change nothing.")
@click.option(
    "--organization", help="Id or name of the agency all of them belong to. Else each jurisdiction has its own."
)
def import_facilities(file: Path, dry_run: bool, organization: str | None) -> None:
    """Bring in facilities from a CSV file."""
    with opened() as (_, _engine, session):
        report = exchange.import_facilities(
            session, system("cli"), file, dry_run=dry_run, progress=True, organization=organization
        )
    click.echo(report.told())
    raise SystemExit(1 if report.failed else 0)


@import_.command("services")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would happen; change nothing.")
def import_services(file: Path, dry_run: bool) -> None:
    """Bring in programs from an HSDS 3.0 file."""
    with opened() as (_, _engine, session):
        report = exchange.import_services(session, system("cli"), file, dry_run=dry_run, progress=True)
    click.echo(report.told())
    raise SystemExit(1 if report.failed else 0)


@main.group("demo")
def demo() -> None:
    """Made-up organizations and people to try the service with (development only)."""
    if not read_settings().is_development:
        raise click.ClickException("Demonstration data exists in development only. Set THROUGHGATE_ENV=development.")


@demo.command("seed")
def demo_seed() -> None:
    """Make the demonstration, once."""
    with opened() as (_, _engine, session):
        made = demonstration.seed(session)
    click.echo("Demonstration data made." if made else "Demonstration data is there already.")


@demo.command("accounts")
@click.option("--json", "as_json", is_flag=True)
def demo_accounts(as_json: bool) -> None:
    """Show the demonstration sign-ins, one for each role of each side."""
    people = demonstration.ACCOUNTS
    if as_json:
        click.echo(json.dumps([{"name": p.name, "password": demonstration.PASSWORD, "role": p.role} for p in people]))
        return
    click.echo("Demonstration sign-ins (password for all: " + demonstration.PASSWORD + ")")
    for person in people:
        click.echo(f"  {person.name:<10} {person.says}")
    click.echo("Second factor: ./dev code NAME")


@demo.command("code")
@click.argument("name")
def demo_code(name: str) -> None:
    """Print the current second-factor code of a demonstration account."""
    with opened() as (_, _engine, session):
        click.echo(demonstration.code(session, name))


if __name__ == "__main__":
    main(prog_name="throughgate")
