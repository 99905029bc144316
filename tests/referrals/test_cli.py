"""The operator's command line: a new installation made by it alone, and each refusal with what to do."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from referrals.account import queries
from referrals.cli import main, opened
from referrals.factor import commands as factors
from referrals.kernel.actor import Role, Source
from referrals.kernel.command import execute
from referrals.kernel.session import HouseSession
from referrals.recovery import commands as recoveries
from referrals.recovery import queries as recovery_queries
from referrals.sign_in import queries as sign_in_queries
from tests.factories import account as people

Run = Callable[..., Result]


@pytest.fixture
def place(scratch: Path, tmp_path: Path) -> dict[str, str]:
    """Settings of a production installation in folders of its own."""
    database = scratch / f"cli-{tmp_path.name}-{os.getpid()}"
    database.mkdir(mode=0o700)
    (tmp_path / "keys").mkdir(mode=0o700)
    return {
        "THROUGHGATE_ENV": "production",
        "THROUGHGATE_DATABASE_URL": f"sqlite:///{database / 'throughgate.db'}",
        "THROUGHGATE_KEYS": str(tmp_path / "keys" / "keys.json"),
        "THROUGHGATE_PUBLIC_URL": "https://throughgate.example.org",
        "THROUGHGATE_RATE_URL": "redis://127.0.0.1:6379",
    }


@pytest.fixture
def run(place: dict[str, str]) -> Run:
    """Run one command; `also` changes settings."""

    def call(*arguments: str, also: dict[str, str] | None = None) -> Result:
        return CliRunner().invoke(main, arguments, env=place | (also or {}))

    return call


@pytest.fixture
def installed(run: Run) -> Run:
    """The same, after keys and migrations were made."""
    assert run("keys", "create").exit_code == 0
    assert run("migrate").exit_code == 0
    return run


def engine_of(place: dict[str, str]) -> Engine:
    return create_engine(place["THROUGHGATE_DATABASE_URL"], poolclass=NullPool)


def test_before_anything_is_made_each_command_says_what_is_missing(run: Run) -> None:
    told = run("migrate")
    assert told.exit_code != 0
    assert run("keys", "create").exit_code == 0
    told = run("check")
    assert told.exit_code == 1
    assert "Run: throughgate migrate" in told.output


def test_a_key_file_is_private_and_never_overwritten(run: Run, place: dict[str, str]) -> None:
    assert run("keys", "create").exit_code == 0
    keys = Path(place["THROUGHGATE_KEYS"])
    before = keys.read_bytes()
    assert keys.stat().st_mode & 0o777 == 0o600
    again = run("keys", "create")
    assert again.exit_code != 0
    assert "not overwritten" in again.output
    assert keys.read_bytes() == before


def test_a_fresh_installation_holds_and_migrating_again_changes_nothing(installed: Run, place: dict[str, str]) -> None:
    assert installed("check").exit_code == 0
    assert installed("migrate").exit_code == 0
    with engine_of(place).connect() as connection:
        keys = connection.execute(text("SELECT count(*) FROM data_key")).scalar_one()
        purposes = connection.execute(text("SELECT count(DISTINCT purpose) FROM data_key")).scalar_one()
    assert keys == purposes > 0


def test_a_new_database_is_its_owners_alone_and_one_that_stands_keeps_its_mode(run: Run, place: dict[str, str]) -> None:
    database = Path(place["THROUGHGATE_DATABASE_URL"].removeprefix("sqlite:///"))
    assert run("keys", "create").exit_code == 0
    before = os.umask(0o022)
    try:
        assert run("migrate").exit_code == 0
        with engine_of(place).connect() as connection:  # while it is open, -wal and -shm are there
            connection.execute(text("SELECT count(*) FROM data_key"))
            modes = {one.name: one.stat().st_mode & 0o777 for one in database.parent.glob("throughgate.db*")}
        database.chmod(0o640)
        assert run("migrate").exit_code == 0
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["throughgate.db", "throughgate.db-wal", "throughgate.db-shm"], 0o600)
    assert database.stat().st_mode & 0o777 == 0o640


def test_s801_a_new_installation_has_no_account(installed: Run, place: dict[str, str]) -> None:
    with engine_of(place).connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM user")).scalar_one() == 0
    assert "no account named admin" in installed("unlock", "admin").output


def test_setup_gives_the_first_administrator_a_code_and_happens_once(installed: Run, place: dict[str, str]) -> None:
    words = ("setup", "--agency", "Test County", "--name", "Ann Admin", "--sign-in-name", "ann")
    first = installed(*words)
    assert first.exit_code == 0
    found = re.search(r"shown once\): (\S+)", first.output)
    assert found is not None
    database = Path(place["THROUGHGATE_DATABASE_URL"].removeprefix("sqlite:///"))
    assert found[1].encode() not in database.read_bytes()
    second = installed(*words)
    assert second.exit_code != 0
    assert "Refused" in second.output


@pytest.mark.parametrize("command", ["seed", "accounts"])
def test_s901_production_knows_no_demonstration(installed: Run, command: str) -> None:
    told = installed("demo", command)
    assert told.exit_code != 0
    assert "development only" in told.output


def test_s901_production_does_not_start_on_a_demonstrations_database(installed: Run, place: dict[str, str]) -> None:
    with engine_of(place).begin() as connection:
        connection.execute(text("UPDATE installation SET demo = 1, installed_at = '2026-01-01 00:00:00.000000'"))
    told = installed("worker", "--once")
    assert told.exit_code != 0
    assert "demonstration accounts" in str(told.exception)


def test_s901_a_key_file_that_others_can_read_stops_the_start(installed: Run, place: dict[str, str]) -> None:
    Path(place["THROUGHGATE_KEYS"]).chmod(0o644)
    told = installed("check")
    assert told.exit_code == 1
    assert "chmod 600" in told.output


def test_keys_beside_the_database_stop_the_start(installed: Run, place: dict[str, str]) -> None:
    beside = Path(place["THROUGHGATE_DATABASE_URL"].removeprefix("sqlite:///")).with_name("keys.json")
    shutil.copy2(place["THROUGHGATE_KEYS"], beside)
    told = installed("check", also={"THROUGHGATE_KEYS": str(beside)})
    assert told.exit_code == 1


def test_another_installations_keys_stop_the_start(installed: Run, tmp_path: Path) -> None:
    other = tmp_path / "other" / "keys.json"
    assert installed("keys", "create", str(other)).exit_code == 0
    told = installed("check", also={"THROUGHGATE_KEYS": str(other)})
    assert told.exit_code == 1


def test_a_guard_of_the_log_that_is_gone_stops_the_start(installed: Run, place: dict[str, str]) -> None:
    with engine_of(place).begin() as connection:
        name = connection.execute(
            text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_event' LIMIT 1")
        ).scalar_one()
        connection.execute(text(f"DROP TRIGGER {name}"))
    told = installed("check")
    assert told.exit_code == 1
    assert "audit_event" in told.output


def test_the_worker_runs_what_is_due_and_ends(installed: Run) -> None:
    assert installed("worker", "--once").exit_code == 0


def test_s802_an_operator_confirms_a_role_for_a_lone_administrator_only(installed: Run, place: dict[str, str]) -> None:
    assert installed("setup", "--agency", "Test County", "--name", "Ann Admin", "--sign-in-name", "ann").exit_code == 0
    for name in ("ann", "nobody"):
        told = installed("confirm-role", name, "auditor")
        assert told.exit_code != 0
        assert f"No role auditor waits for {name}." in told.output
    with engine_of(place).begin() as connection:
        connection.execute(
            text(
                "INSERT INTO role_proposal (id, revision, user_id, role, proposed_at, proposed_by)"
                " SELECT 'a' || substr(id, 2), 1, id, 'supervisor', added_at, id FROM user"
            )
        )
    told = installed("confirm-role", "ann", "supervisor")
    assert told.output == "ann now works as supervisor, from the next sign-in.\n"
    assert installed("confirm-role", "ann", "supervisor").exit_code != 0


def test_s805_an_operator_reviews_the_account_of_a_lone_administrator_only(installed: Run) -> None:
    assert installed("setup", "--agency", "Test County", "--name", "Ann Admin", "--sign-in-name", "ann").exit_code == 0
    assert "There is no account nobody." in installed("review-access", "nobody", "keep").output
    assert installed("review-access", "ann", "perhaps").exit_code != 0
    told = installed("review-access", "ann", "keep")
    assert told.output == "The review of ann is signed: keep.\n"
    assert installed("review-access", "ann", "keep").exit_code != 0, "it was reviewed just now"


def test_the_mail_servers_secret_is_printed_as_set(installed: Run) -> None:
    url = {"THROUGHGATE_SMTP_URL": "smtp://gate:canary@mail.example.org?from=gate@example.org"}
    told = installed("check", also=url)
    assert told.exit_code == 0
    assert "smtp_url: set" in told.output
    assert "canary" not in told.output
    assert "smtp_url: not set" in installed("check").output


def test_an_operator_reads_how_mail_goes(installed: Run, place: dict[str, str]) -> None:
    assert "sends no mail" in installed("mail").output
    assert installed("setup", "--agency", "Test County", "--name", "Ann Admin", "--sign-in-name", "ann").exit_code == 0
    with engine_of(place).begin() as connection:
        user = connection.execute(text("SELECT id FROM user")).scalar_one()
        words = "INSERT INTO mail (id, user_id, at, tries, failed_at, error_code) VALUES "
        rows = "(:a, :u, :t, 1, :t, 'smtp_550'), (:b, :u, :t, 0, NULL, NULL)"
        at = "2026-11-03 17:00:00.000000"
        connection.execute(text(words + rows), {"a": "0" * 32, "b": "1" * 32, "u": user, "t": at})
    told = installed("mail", also={"THROUGHGATE_SMTP_URL": "smtp://localhost?from=gate@example.org"})
    assert told.exit_code == 0
    assert "Waiting for the mail server: 1" in told.output
    assert re.search(r"2026-11-03 17:00 UTC +ann +smtp_550", told.output)


@pytest.mark.parametrize("command", ["unlock", "enable"])
def test_unlocking_or_enabling_nobody_says_so(installed: Run, command: str) -> None:
    told = installed(command, "nobody")
    assert told.exit_code != 0
    assert "no account named nobody" in told.output


def test_s809_what_an_operator_does_is_on_record_as_theirs(installed: Run, place: dict[str, str]) -> None:
    assert installed("setup", "--agency", "Test County", "--name", "Ann Admin", "--sign-in-name", "ann").exit_code == 0
    with engine_of(place).begin() as connection:
        connection.execute(text("UPDATE user SET locked_at = '2026-01-01 00:00:00.000000'"))
    assert installed("enable", "ann").exit_code != 0
    assert installed("unlock", "ann").exit_code == 0
    with engine_of(place).connect() as connection:
        told = [json.loads(body) for body in connection.scalars(text("SELECT body FROM audit_event ORDER BY event_id"))]
    by_operator = [one for one in told if one["source"]["channel"] == "cli"]
    assert [(one["action"], one["outcome"]) for one in by_operator][-3:] == [
        ("account.user_enabled", "refused"),
        ("account.unlocked", "done"),  # the account, and that its owner is told
        ("account.unlocked", "done"),
    ]
    assert {(one["actor"]["kind"], one["actor"]["role"]) for one in by_operator} == {("service", "operator")}


def test_an_operator_lets_the_last_administrator_back_in(installed: Run, place: dict[str, str]) -> None:
    assert installed("setup", "--agency", "Test County", "--name", "Ann Admin", "--sign-in-name", "ann").exit_code == 0
    in_use = installed("enable", "ann")
    assert in_use.exit_code != 0
    assert "not_disabled" in in_use.output
    with engine_of(place).begin() as connection:
        connection.execute(
            text("UPDATE user SET disabled_at = '2026-01-01 00:00:00.000000', disabled_because = 'idle'")
        )
    told = installed("enable", "ann")
    assert told.exit_code == 0
    assert re.search(r"shown once\): (\S+)", told.output) is not None
    assert installed("enable", "ann").exit_code != 0


def test_s105_an_operator_begins_a_recovery_for_a_lone_administrator_and_is_never_both(installed: Run) -> None:
    assert installed("setup", "--agency", "Test County", "--name", "Ann Admin", "--sign-in-name", "ann").exit_code == 0
    assert "There is no account named nobody." in installed("begin-recovery", "nobody", "photo_id_in_person").output
    assert installed("begin-recovery", "ann", "by mail").exit_code != 0
    assert "nothing_lost" in installed("begin-recovery", "ann", "photo_id_in_person").output
    assert "No recovery waits for ann." in installed("confirm-recovery", "ann", "photo_id_in_person").output


@pytest.fixture
def peopled(
    installed: Run, place: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> tuple[people.Member, people.Member]:
    """An agency that Ann alone administers and nobody else leads, and Casey, who works there; both signed in."""
    made = installed("setup", "--agency", "Test County", "--name", "Ann Admin", "--sign-in-name", "ann")
    one_time = re.search(r"shown once\): (\S+)", made.output)
    assert one_time is not None
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    with opened() as (_, _engine, session):
        began = factors.first_sign_in(session, "ann", one_time[1], people.PASSWORD, Source("page"))
        ann = people.Member(began.user_id, "ann", people.PASSWORD, [], str(began.token))
        home = queries.user(session, ann.user_id).organization_id
        return ann, people.a_member(session, home, Role.CASE_MANAGER, name="Casey Morgan")


def half_of(told: Result) -> str:
    found = re.search(r"shown once\): ([0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4})\n", told.output)
    assert (told.exit_code, found is not None) == (0, True), told.output
    return str(found[1] if found is not None else None)


def comes_back(session: HouseSession, member: people.Member, one: str, other: str) -> bool:
    """Whether password and both halves lead to a new factor."""
    began = people.try_sign_in(session, member.sign_in_name)
    actor = sign_in_queries.actor_for(
        queries.user(session, member.user_id), began, Source("page"), step=queries.SECOND_FACTOR
    )
    words = {"first_half": one, "second_half": other}
    back = execute(session, recoveries.use_recovery, actor=actor, target=began.id, data=words)
    held = sign_in_queries.holder(session, str(back.token), Source("page"))
    session.rollback()
    return held is not None and held.step == queries.ENROLL


def test_s105_what_the_operator_begins_for_a_lone_administrator_a_colleague_confirms(
    installed: Run, peopled: tuple[people.Member, people.Member]
) -> None:
    ann, casey = peopled
    assert "administrator_there" in installed("begin-recovery", casey.sign_in_name, "photo_id_in_person").output
    begun = installed("begin-recovery", "ann", "photo_id_in_person")
    one = half_of(begun)
    assert "First half of the code for ann (24 hours" in begun.output
    assert "/organization/people/recoveries" in begun.output
    assert "recovery_under_way" in installed("begin-recovery", "ann", "photo_id_in_person").output
    twice = installed("confirm-recovery", "ann", "known_on_video")
    assert (twice.exit_code, "operator_twice" in twice.output) == (1, True)
    with opened() as (_, _engine, session):
        waits = recovery_queries.newest(session, ann.user_id)
        assert waits is not None
        confirmed = execute(
            session,
            recoveries.confirm_recovery,
            actor=casey.actor(session),
            target=waits.id,
            data={"how": "known_in_person"},
        )
        assert comes_back(session, ann, one, str(confirmed.shown_half))


def test_s105_the_operator_confirms_what_a_lone_administrator_began(
    installed: Run, peopled: tuple[people.Member, people.Member]
) -> None:
    ann, casey = peopled
    with opened() as (_, _engine, session):
        actor, words = ann.actor(session), {"how": "called_back"}
        begun = execute(session, recoveries.start_recovery, actor=actor, target=casey.user_id, data=words)
        one = str(begun.shown_half)
    unseen = installed("confirm-recovery", casey.sign_in_name, "called_back")
    assert unseen.exit_code != 0, "one of the two has to see the person"
    confirmed = installed("confirm-recovery", casey.sign_in_name, "photo_id_in_person")
    assert f"Second half of the code for {casey.sign_in_name}" in confirmed.output
    other = half_of(confirmed)
    assert "recovery_over" in installed("confirm-recovery", casey.sign_in_name, "photo_id_in_person").output
    with opened() as (_, _engine, session):
        assert comes_back(session, casey, one, other)
