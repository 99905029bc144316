"""Where secrets live, and each reason not to start, with its remedy."""

from __future__ import annotations

import base64
import json
import os
import secrets
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from referrals.kernel.keys import KeyRing
from referrals.kernel.providers import (
    SAMPLES,
    EnvProvider,
    FileProvider,
    KeyProblemError,
    file_faults,
    provider_from,
    secret_faults,
)

AT = datetime(2026, 11, 22, tzinfo=UTC)


def base64_of(secret: bytes) -> str:
    return base64.b64encode(secret).decode()


def environment(**changed: str | None) -> dict[str, str]:
    held: dict[str, str | None] = {
        "KEK_202611": base64_of(secrets.token_bytes(32)),
        "KEK_INDEX_ROOT": base64_of(secrets.token_bytes(32)),
        "SECRET_KEY": base64_of(secrets.token_bytes(32)),
    } | changed
    return {f"THROUGHGATE_{name}": value for name, value in held.items() if value is not None}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "keys.json"


@pytest.fixture
def provider(path: Path) -> FileProvider:
    return FileProvider.create(path, at=AT)


# --- the file --------------------------------------------------------------------------------------------------------


def test_a_new_file_is_for_its_owner_alone_and_its_folder_too(provider: FileProvider, path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert provider.current() == "202611"
    held = [provider.open("202611"), provider.index_root(), provider.secret_key()]
    assert [len(secret) for secret in held] == [32, 32, 32]
    assert len(set(held)) == 3
    assert secret_faults(provider) == []


def test_what_a_loose_umask_allows_is_not_taken(path: Path) -> None:
    before = os.umask(0)
    try:
        FileProvider.create(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_keys_are_never_overwritten(provider: FileProvider, path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        FileProvider.create(path)
    assert path.read_bytes() == before
    assert provider.open("202611")


def test_a_file_reads_back_the_same(provider: FileProvider, path: Path) -> None:
    again = provider_from(str(path), {})
    assert again.open("202611") == provider.open("202611")
    assert again.index_root() == provider.index_root()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "file_unreadable"),
        ("{", "file_unreadable"),
        ("[]", "file_unreadable"),
        ('{"epochs": {}}', "file_unreadable"),
        ('{"epochs": []}', "file_unreadable"),
        (b"\xff\xfe\x00", "file_unreadable"),
    ],
)
def test_a_damaged_file_is_refused_with_its_remedy(path: Path, content: str | bytes, code: str) -> None:
    path.parent.mkdir()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(KeyProblemError) as caught:
        FileProvider(path)
    assert caught.value.code == code
    assert "Put back the copy" in caught.value.remedy


def test_a_missing_file_names_the_command_that_makes_it(path: Path) -> None:
    with pytest.raises(KeyProblemError, match="throughgate keys create") as caught:
        FileProvider(path)
    assert caught.value.code == "file_missing"


def test_a_link_is_not_followed(provider: FileProvider, path: Path) -> None:
    link = path.with_name("link.json")
    link.symlink_to(path)
    with pytest.raises(KeyProblemError) as caught:
        FileProvider(link)
    assert caught.value.code == "file_unreadable"
    assert provider.path == path


def test_a_destroyed_epoch_leaves_the_file_and_the_current_one_stays(provider: FileProvider, path: Path) -> None:
    held = json.loads(path.read_text())
    held["epochs"]["202612"] = base64_of(secrets.token_bytes(32))
    held["current"] = "202612"
    path.write_text(json.dumps(held))
    later = FileProvider(path)
    assert "confirm" in later.destroy("202611")
    assert FileProvider(path).epochs() == ("202612",)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["keys.json"]
    with pytest.raises(KeyProblemError):
        later.destroy("202612")
    assert provider.epochs() == ("202611",)


# --- the environment -------------------------------------------------------------------------------------------------


def test_the_environment_gives_the_same_secrets() -> None:
    held = environment()
    provider = provider_from("env", held)
    assert isinstance(provider, EnvProvider)
    assert provider.epochs() == ("202611",)
    assert provider.current() == "202611"
    assert base64_of(provider.index_root()) == held["THROUGHGATE_KEK_INDEX_ROOT"]
    assert base64_of(provider.secret_key()) == held["THROUGHGATE_SECRET_KEY"]
    assert secret_faults(provider) == []


def test_of_several_epochs_the_environment_has_to_name_the_current_one() -> None:
    second = base64_of(secrets.token_bytes(32))
    unnamed = EnvProvider(environment(KEK_202612=second))
    assert [fault.code for fault in secret_faults(unnamed)] == ["key_missing"]
    assert EnvProvider(environment(KEK_202612=second, KEK_CURRENT="202612")).current() == "202612"
    assert [fault.code for fault in secret_faults(EnvProvider(environment(KEK_CURRENT="202701")))] == ["key_missing"]


def test_an_empty_environment_is_refused() -> None:
    faults = secret_faults(EnvProvider({}))
    assert {fault.code for fault in faults} == {"key_missing"}
    assert len(faults) == 3


# --- weak secrets ----------------------------------------------------------------------------------------------------

SAME = base64_of(secrets.token_bytes(32))
WEAK = base64_of(bytes([0, 7, 255, 9]) * 8)
SAMPLE = base64_of(min(SAMPLES))


@pytest.mark.parametrize(
    ("changed", "code", "remedy"),
    [
        ({"KEK_202611": "not base64!"}, "key_malformed", "Put back the copy"),
        ({"KEK_202611": ""}, "key_missing", "throughgate keys create"),
        ({"KEK_INDEX_ROOT": None}, "key_missing", "THROUGHGATE_KEK_INDEX_ROOT"),
        ({"SECRET_KEY": None}, "key_missing", "THROUGHGATE_SECRET_KEY"),
        ({"KEK_202611": base64_of(secrets.token_bytes(31))}, "key_short", "Replace epoch 202611"),
        ({"KEK_202611": base64_of(secrets.token_bytes(16))}, "key_short", "16 of 32 bytes"),
        ({"KEK_INDEX_ROOT": base64_of(secrets.token_bytes(33))}, "key_long", "Replace the index root"),
        ({"SECRET_KEY": base64_of(b"secret")}, "key_short", "Replace the secret key"),
        ({"KEK_INDEX_ROOT": SAME, "KEK_202611": SAME}, "key_equal", "equals"),
        ({"SECRET_KEY": SAME, "KEK_INDEX_ROOT": SAME}, "key_equal", "equals"),
        ({"KEK_202611": SAMPLE}, "key_sample", "a sample"),
        ({"SECRET_KEY": base64_of(bytes(range(32, 64)))}, "key_sample", "a sample"),
        ({"KEK_INDEX_ROOT": WEAK}, "key_weak", "not random"),
        ({"SECRET_KEY": base64_of(bytes(32))}, "key_weak", "not random"),
        ({"KEK_2026-11": base64_of(secrets.token_bytes(32)), "KEK_CURRENT": "202611"}, "epoch_name", "Rename"),
    ],
)
def test_each_weak_secret_is_refused_by_name(changed: dict[str, str | None], code: str, remedy: str) -> None:
    faults = secret_faults(EnvProvider(environment(**changed)))
    assert [fault.code for fault in faults] == [code]
    assert remedy in faults[0].remedy
    for secret in filter(None, changed.values()):
        assert len(secret) < 12 or secret not in faults[0].remedy


def test_the_secret_of_the_settings_is_held_to_the_same() -> None:
    provider = EnvProvider(environment(SECRET_KEY=None))
    assert secret_faults(provider, secret_key=secrets.token_urlsafe(48).encode()) == []
    assert [fault.code for fault in secret_faults(provider, secret_key=b"dev")] == ["key_short"]
    index_root = provider.index_root()
    assert [fault.code for fault in secret_faults(provider, secret_key=index_root)] == ["key_equal"]


def test_random_secrets_pass() -> None:
    assert all(secret_faults(EnvProvider(environment())) == [] for _ in range(500))


def test_a_ring_takes_no_short_key_even_unchecked() -> None:
    """AES-128 would start without a word."""
    for name in ("KEK_202611", "KEK_INDEX_ROOT"):
        with pytest.raises(KeyProblemError) as caught:
            KeyRing(EnvProvider(environment(**{name: base64_of(secrets.token_bytes(16))})))
        assert caught.value.code == "key_short"


# --- where the file lies ---------------------------------------------------------------------------------------------


def loosen(path: Path) -> None:
    path.chmod(0o640)


def open_to_others(path: Path) -> None:
    path.chmod(0o604)


def remove(path: Path) -> None:
    path.unlink()


def link(path: Path) -> None:
    path.rename(path.with_name("real.json"))
    path.symlink_to(path.with_name("real.json"))


@pytest.mark.parametrize(
    ("spoil", "code", "remedy"),
    [
        (loosen, "file_mode", "chmod 600"),
        (open_to_others, "file_mode", "chmod 600"),
        (remove, "file_missing", "throughgate keys create"),
        (link, "file_link", "THROUGHGATE_KEYS"),
    ],
)
def test_a_file_in_sight_of_others_is_refused(
    provider: FileProvider, tmp_path: Path, spoil: Callable[[Path], None], code: str, remedy: str
) -> None:
    place = {"repository": tmp_path / "checkout", "database_url": f"sqlite:///{tmp_path}/var/throughgate.db"}
    assert file_faults(provider.path, **place) == []  # type: ignore[arg-type]
    spoil(provider.path)
    faults = file_faults(provider.path, **place)  # type: ignore[arg-type]
    assert [fault.code for fault in faults] == [code]
    assert remedy in faults[0].remedy


def test_a_file_of_another_user_is_refused(provider: FileProvider, tmp_path: Path) -> None:
    faults = file_faults(
        provider.path, repository=tmp_path / "checkout", database_url="postgresql:///throughgate", uid=os.geteuid() + 1
    )
    assert [fault.code for fault in faults] == ["file_owner"]
    assert "chown" in faults[0].remedy


@pytest.mark.parametrize(
    ("repository", "database_url", "backup_set", "code"),
    [
        ("keys", "postgresql:///throughgate", [], "file_in_repository"),
        (".", "postgresql:///throughgate", [], "file_in_repository"),
        ("checkout", "sqlite:///{folder}/keys/throughgate.db", [], "file_beside_database"),
        ("checkout", "sqlite:///{folder}/keys/../keys/throughgate.db", [], "file_beside_database"),
        ("checkout", "postgresql:///throughgate", ["var", "."], "file_in_backup_set"),
    ],
)
def test_a_misplaced_file_is_refused(
    *, provider: FileProvider, tmp_path: Path, repository: str, database_url: str, backup_set: list[str], code: str
) -> None:
    faults = file_faults(
        provider.path,
        repository=tmp_path / repository,
        database_url=database_url.format(folder=tmp_path),
        backup_set=[tmp_path / folder for folder in backup_set],
    )
    assert [fault.code for fault in faults] == [code]
    assert faults[0].remedy.startswith("Move ")
