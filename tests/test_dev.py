"""The one command of a checkout: what it says when something is missing, and when it calls its locks stale."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import signal
import socket
import subprocess
import sys
import threading
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def dev() -> ModuleType:
    """A fresh copy of the script, so that a test may move its folders."""
    loader = SourceFileLoader("dev_script", str(ROOT / "dev"))
    spec = importlib.util.spec_from_loader("dev_script", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that the locks are judged by, to be changed at will."""
    for name in ("pyproject.toml", "requirements.txt", "requirements-dev.txt", "requirements-uv.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


# --- an old Python ---


def test_an_old_python_is_refused_by_its_number(dev: ModuleType) -> None:
    said = dev.python_fault((3, 9, 2, "final", 0))
    assert said == "Throughgate needs Python 3.11 or newer; this is 3.9.2. Debian 12 has it: apt-get install python3"


@pytest.mark.parametrize("version", [(3, 11, 2), (3, 12, 0), (4, 0, 0)])
def test_a_python_of_the_floor_or_newer_will_do(dev: ModuleType, version: tuple[int, int, int]) -> None:
    assert dev.python_fault(version) is None


def test_the_script_parses_on_the_pythons_it_refuses() -> None:
    ast.parse((ROOT / "dev").read_text(encoding="utf-8"), feature_version=(3, 6))


# --- locks ---


def test_the_locks_of_this_repository_are_fresh(dev: ModuleType) -> None:
    assert dev.lock_fault() is None


def test_a_changed_dependency_makes_every_lock_stale(dev: ModuleType, checkout: Path) -> None:
    tables = checkout / "pyproject.toml"
    tables.write_text(tables.read_text().replace('"flask~=3.1.3"', '"flask~=3.1.2"'))
    said = dev.lock_fault(checkout)
    assert said.startswith("requirements.txt, requirements-dev.txt, requirements-uv.txt not made from today's")
    assert said.endswith(": run ./dev lock")


def test_a_development_dependency_and_the_python_range_count_too(dev: ModuleType, checkout: Path) -> None:
    tables = checkout / "pyproject.toml"
    text = tables.read_text()
    fresh = dev.dependency_hash(checkout)
    for old, new in (
        ('"pytest~=9.2"', '"pytest~=9.1"'),
        (">=3.11,<3.15", ">=3.11,<3.16"),
        ("valkey~=6.2", "valkey~=6.1"),
    ):
        assert old in text
        tables.write_text(text.replace(old, new))
        assert dev.dependency_hash(checkout) != fresh


def test_a_changed_tool_rule_or_comment_leaves_the_locks_fresh(dev: ModuleType, checkout: Path) -> None:
    tables = checkout / "pyproject.toml"
    tables.write_text("# a remark\n" + tables.read_text().replace("line-length = 120", "line-length = 100"))
    assert dev.lock_fault(checkout) is None


def test_a_lost_lock_is_named(dev: ModuleType, checkout: Path) -> None:
    (checkout / "requirements-dev.txt").unlink()
    assert dev.lock_fault(checkout) == "requirements-dev.txt not made from today's pyproject.toml: run ./dev lock"


def test_a_lock_names_no_index_and_no_path_and_pins_by_hash() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-uv.txt"):
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        assert not [line for line in lines if "://" in line or "index" in line or "/simple" in line]
        pins = [number for number, line in enumerate(lines) if "==" in line and not line.startswith(" ")]
        assert pins
        assert all("--hash=sha256:" in lines[number + 1] for number in pins)


# --- a half-made or outdated environment ---


def test_an_environment_without_pip_is_taken_away_and_made_again(dev: ModuleType, tmp_path: Path) -> None:
    half = tmp_path / "half"
    (half / "bin").mkdir(parents=True)
    (half / "bin" / "python").symlink_to(shutil.which("false") or "/bin/false")
    dev.make_venv(half)
    assert dev.has_pip(half)


def test_without_the_venv_module_nothing_half_made_stays(
    dev: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Debian without python3-venv: the folder and its Python appear, pip does not, and the exit code is 1.
    without = tmp_path / "python3"
    without.write_text('#!/bin/sh\nmkdir -p "$3/bin"; cp /bin/false "$3/bin/python"; exit 1\n')
    without.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(without))
    with pytest.raises(dev.FaultError) as refused:
        dev.make_venv(tmp_path / "venv")
    assert str(refused.value) == "Python cannot make virtual environments here. Run: apt-get install python3-venv"
    assert not (tmp_path / "venv").exists()


def test_the_environment_is_ready_only_for_the_lock_it_was_made_from(
    dev: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev, "STAMP", tmp_path / "stamp.json")
    assert not dev.is_ready("full")
    dev.STAMP.write_text("half a wor")
    assert not dev.is_ready("full")
    dev.STAMP.write_text(f'{{"runtime": "{dev.file_hash("requirements.txt")}", "full": "0000"}}')
    assert dev.is_ready("runtime")
    assert not dev.is_ready("full")


# --- what pip could not do ---


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (
            """WARNING: Retrying (Retry(total=0)) after connection broken: /simple/alembic/
ERROR: Could not find a version that satisfies the requirement alembic==1.20.1 (from versions: none)
ERROR: No matching distribution found for alembic==1.20.1
""",
            "Could not install alembic. Check the connection, then run the same command again.",
        ),
        (
            "ERROR: HTTPSConnectionPool: Max retries exceeded with url: /simple/flask-login/ (timed out)",
            "Could not install flask-login. Check the connection, then run the same command again.",
        ),
        (
            "ERROR: something pip has never said before",
            "Could not install the packages of r.txt. Check the connection, then run the same command again.",
        ),
        (
            """ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated …
    flask==3.1.3 from somewhere:
        Expected sha256 00
             Got        11
""",
            "What the package index gave for flask is not what r.txt names by its hash, so it was not installed.",
        ),
    ],
    ids=["not found", "no connection", "unheard of", "another file"],
)
def test_what_pip_could_not_install_is_named(dev: ModuleType, output: str, said: str) -> None:
    assert dev.install_fault(output, "r.txt") == said


# --- services that tests need ---


def test_postgresql_is_found_where_debian_hides_it(
    dev: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(dev, "LIBRARIES", tmp_path)
    initdb = tmp_path / "postgresql" / "15" / "bin" / "initdb"
    initdb.parent.mkdir(parents=True)
    initdb.touch()
    assert "postgres" not in [service.marker for service in dev.missing()]


def test_where_services_are_required_a_missing_one_stops_the_run(
    dev: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(dev, "LIBRARIES", tmp_path)
    monkeypatch.setenv("THROUGHGATE_REQUIRE", "1")
    assert dev.ask(["test"]) == 2
    assert capsys.readouterr().out.splitlines() == [
        "PostgreSQL not found: it must be here (THROUGHGATE_REQUIRE=1). Run: apt-get install postgresql",
        "Chromium not found: it must be here (THROUGHGATE_REQUIRE=1). Run: apt-get install chromium",
        "redis-server not found: it must be here (THROUGHGATE_REQUIRE=1). Run: apt-get install redis-server",
    ]


@pytest.mark.parametrize(
    ("arguments", "added"),
    [
        ([], ["-n", "2"]),
        (["-m", "long", "tests/audit"], ["-n", "2"]),
        (["-n", "0"], []),
        (["-n0"], []),
        (["--pdb"], []),
        (["-p", "no:xdist"], []),
    ],
)
def test_two_processes_unless_the_caller_chose(dev: ModuleType, arguments: list[str], added: list[str]) -> None:
    assert dev.processes(arguments) == added


# --- the port ---


@pytest.mark.usefixtures("socket_enabled")
def test_a_taken_port_is_named_with_one_that_is_free(dev: ModuleType) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        said = dev.port_fault(taken)
    start = f"Port {taken} is taken. Try: ./dev run --port "
    assert said.startswith(start)
    assert dev.port_fault(int(said.removeprefix(start))) is None


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http"])
def test_what_is_no_port_is_refused(dev: ModuleType, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        dev.ask(["run", "--port", text])
    assert refused.value.code == 2
    assert "--port" in capsys.readouterr().err


# --- settings ---


def test_development_points_into_this_checkout_and_keeps_keys_out_of_it(dev: ModuleType) -> None:
    env = dev.development(8123, {"HOME": "/home/someone"})
    assert env["THROUGHGATE_ENV"] == "development"
    assert env["THROUGHGATE_DATABASE_URL"] == f"sqlite:///{ROOT}/var/throughgate.db"
    assert env["THROUGHGATE_PUBLIC_URL"] == "http://127.0.0.1:8123"
    assert not Path(env["THROUGHGATE_KEYS"]).is_relative_to(ROOT)


def test_what_is_set_already_stays(dev: ModuleType) -> None:
    given = {"THROUGHGATE_DATABASE_URL": "postgresql:///throughgate"}
    assert dev.development(8000, given)["THROUGHGATE_DATABASE_URL"] == "postgresql:///throughgate"


def test_production_gets_no_development_settings(dev: ModuleType) -> None:
    assert dev.development(8000, {"THROUGHGATE_ENV": "production"}) == {"THROUGHGATE_ENV": "production"}


def test_run_refuses_production(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THROUGHGATE_ENV", "production")
    monkeypatch.setattr(dev, "port_fault", lambda _port: None)
    with pytest.raises(dev.FaultError, match="unset THROUGHGATE_ENV"):
        dev.ask(["run"])


# --- ending together ---


# `serve` sets signal handlers, so it runs in a process of its own. Its first child writes its number, by which the test
# then looks for it.
SERVE = """
import importlib.util, sys
from importlib.machinery import SourceFileLoader
loader = SourceFileLoader("dev_script", sys.argv[1])
dev = importlib.util.module_from_spec(importlib.util.spec_from_loader("dev_script", loader))
loader.exec_module(dev)
dev.answers = lambda port: False
sleeper = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"]
other = [sys.executable, "-c", sys.argv[2]]
sys.exit(dev.serve([("gunicorn", sleeper), ("worker", other)], None, 8000))
"""


def is_running(number: int) -> bool:
    state = Path(f"/proc/{number}/stat")
    try:
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def serving(other: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SERVE, str(ROOT / "dev"), other]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def first_child(served: subprocess.Popen[str]) -> int:
    assert served.stdout is not None
    return int(served.stdout.readline())


def test_when_one_process_ends_the_rest_is_ended_and_it_is_said() -> None:
    served = serving("import time; time.sleep(1); raise SystemExit(3)")
    sleeper = first_child(served)
    _, said = served.communicate(timeout=30)
    assert served.returncode == 1
    assert "worker ended by itself (exit code 3), so the rest was ended too." in said
    assert not is_running(sleeper)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_end_it_ends_all_and_is_content(number: signal.Signals) -> None:
    served = serving("import time; time.sleep(60)")
    sleeper = first_child(served)
    served.send_signal(number)
    _, said = served.communicate(timeout=30)
    assert (served.returncode, said) == (0, "")
    assert not is_running(sleeper)


def test_killed_outright_it_leaves_no_process_behind() -> None:
    served = serving("import time; time.sleep(60)")
    sleeper = first_child(served)
    served.kill()
    served.communicate(timeout=30)
    # The kernel tells the child when its parent is gone; give it a moment to end.
    gone = threading.Event()
    for _ in range(100):
        if not is_running(sleeper):
            break
        gone.wait(0.05)
    assert not is_running(sleeper)


def test_a_word_it_does_not_know_gets_the_list(dev: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert dev.ask(["serve"]) == 2
    assert "./dev SUBCOMMAND" in capsys.readouterr().out
