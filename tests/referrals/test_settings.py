"""Settings: what is missing, misspelled or unsafe is refused by name, with what to do."""

from __future__ import annotations

import pytest

from referrals.settings import SettingsError, Site, load, sqlite_path

DEVELOPMENT = {
    "THROUGHGATE_ENV": "development",
    "THROUGHGATE_DATABASE_URL": "sqlite:////srv/throughgate/t.db",
    "THROUGHGATE_KEYS": "/etc/throughgate/keys.json",
}
PRODUCTION = DEVELOPMENT | {
    "THROUGHGATE_ENV": "production",
    "THROUGHGATE_PUBLIC_URL": "https://throughgate.example.org",
    "THROUGHGATE_RATE_URL": "redis://127.0.0.1:6379",
}


@pytest.mark.parametrize(
    ("change", "named", "remedy"),
    [
        ({"THROUGHGATE_DATABASE_URL": ""}, "THROUGHGATE_DATABASE_URL is missing", "Set it"),
        ({"THROUGHGATE_KEYS": ""}, "THROUGHGATE_KEYS is missing", "throughgate keys create"),
        ({"THROUGHGATE_ENV": "prod"}, "THROUGHGATE_ENV is 'prod'", "development or production"),
        ({"THROUGHGATE_SECRETKEY": "x"}, "Unknown setting: THROUGHGATE_SECRETKEY", "Remove it, or correct its name"),
        ({"THROUGHGATE_PUBLIC_URL": "http://t.example.org"}, "THROUGHGATE_PUBLIC_URL", "https://"),
        ({"THROUGHGATE_RATE_URL": "memory://"}, "THROUGHGATE_RATE_URL", "redis://"),
        ({"THROUGHGATE_FAST_PASSWORDS": "1"}, "THROUGHGATE_FAST_PASSWORDS is a test aid", "Remove it"),
        ({"THROUGHGATE_WITHOUT_RATES": "1"}, "THROUGHGATE_WITHOUT_RATES is a test aid", "Remove it"),
        ({"THROUGHGATE_DEMO_FOLDER": "/srv"}, "THROUGHGATE_DEMO_FOLDER is a test aid", "Remove it"),
        ({"THROUGHGATE_SMTP_URL": "mail.example.org"}, "THROUGHGATE_SMTP_URL cannot be read", "smtp://"),
        ({"THROUGHGATE_SMTP_URL": "smtp://mail.example.org"}, "THROUGHGATE_SMTP_URL cannot be read", "from="),
        ({"THROUGHGATE_SMTP_URL": "smtp://m.example?from=a@b&tls=no"}, "THROUGHGATE_SMTP_URL", "smtp://"),
        ({"THROUGHGATE_SMTP_URL": "smtp://m.example:x?from=a@b"}, "THROUGHGATE_SMTP_URL", "smtp://"),
        ({"THROUGHGATE_SMTP_URL": "smtp://m.example?from=a@b"}, "without TLS", "tls=required"),
        ({"THROUGHGATE_TRUSTED_PROXIES": "two"}, "TRUSTED_PROXIES", ""),
        *[
            ({"THROUGHGATE_FACILITY_NETWORKS": wrong}, "THROUGHGATE_FACILITY_NETWORKS", why)
            for wrong, why in (
                ("198.51.100.0/24", "NAME=NETWORK"),
                ("Alder=", "NAME=NETWORK"),
                ("Alder=198.51.100.0/28; Alder=203.0.113.9", "twice"),
                ("Alder=198.51.100.999", "198.51.100.999"),
                ("Alder=198.51.100.7/24", "host bits"),
                ("Alder=0.0.0.0/0", "too wide"),
                ("Alder=::/0", "too wide"),
                ("Alder=0.0.0.0/1,128.0.0.0/1", "too wide"),
                ("Alder=10.0.0.0/8", "at most /16"),
                ("Alder=198.51.100.0/24; Birch=198.51.100.16/28", "overlap"),
                ("Alder=127.0.0.1", "TRUSTED_PROXIES"),
            )
        ],
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_s901_what_is_wrong_is_refused_by_name_with_its_remedy(change: dict[str, str], named: str, remedy: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(PRODUCTION | change)
    assert named in str(refused.value)
    assert remedy in str(refused.value)


def test_s906_test_aids_are_for_development() -> None:
    assert load(DEVELOPMENT | {"THROUGHGATE_FAST_PASSWORDS": "1"}).fast_passwords


@pytest.mark.parametrize("address", ["https://192.0.2.7", "https://[2001:db8::7]:8443"])
def test_s103_production_at_an_address_of_digits_has_no_passkeys(address: str) -> None:
    assert load(PRODUCTION | {"THROUGHGATE_PUBLIC_URL": address}).site is None


@pytest.mark.parametrize(
    ("given", "host", "origin"),
    [
        (PRODUCTION, "throughgate.example.org", "https://throughgate.example.org"),
        (PRODUCTION | {"THROUGHGATE_PUBLIC_URL": "https://t.example:443"}, "t.example", "https://t.example"),
        (
            PRODUCTION | {"THROUGHGATE_PUBLIC_URL": "https://cafe.example:8443"},
            "cafe.example",
            "https://cafe.example:8443",
        ),
        (DEVELOPMENT, "localhost", "http://localhost:8000"),
    ],
)
def test_s103_passkeys_belong_to_the_public_address(given: dict[str, str], host: str, origin: str) -> None:
    assert load(given).site == Site(host, (origin,))


def test_production_without_an_environment_named_is_the_default() -> None:
    settings = load({name: value for name, value in PRODUCTION.items() if name != "THROUGHGATE_ENV"})
    assert settings.env == "production"
    assert settings.hosts == ["throughgate.example.org"]


def test_what_is_shown_holds_no_secret() -> None:
    shown = load(PRODUCTION | {"THROUGHGATE_SECRET_KEY": "canary-of-a-secret"}).shown()
    assert shown["secret_key"] == "set"
    assert "canary" not in str(shown)


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("smtp://localhost:25?from=a@b.example", ("localhost", 25, "offered", None, None)),
        ("smtp://m.example?from=a@b.example&tls=required", ("m.example", 587, "required", None, None)),
        ("smtp://gate:p%40ss@m.example?from=a@b.example", ("m.example", 587, "required", "gate", "p@ss")),
        ("smtps://gate:p@m.example?from=a@b.example", ("m.example", 465, "implicit", "gate", "p")),
    ],
)
def test_where_mail_goes_is_read_from_one_address(url: str, read: tuple[str, int, str, str, str]) -> None:
    smtp = load(PRODUCTION | {"THROUGHGATE_SMTP_URL": url}).smtp
    assert smtp is not None
    assert (smtp.host, smtp.port, smtp.tls, smtp.name, smtp.password) == read
    assert smtp.sender == "a@b.example"
    assert "p@ss" not in repr(smtp)


def test_without_an_address_no_mail_is_sent() -> None:
    assert load(PRODUCTION).smtp is None


def test_neither_the_list_nor_a_fault_shows_the_mail_servers_secret() -> None:
    url = "smtp://canary:canary@m.example?from=a@b.example"
    shown = load(PRODUCTION | {"THROUGHGATE_SMTP_URL": url}).shown()
    assert shown["smtp_url"] == "set"
    assert "canary" not in str(shown)
    with pytest.raises(SettingsError) as refused:
        load(PRODUCTION | {"THROUGHGATE_SMTP_URL": url.replace("from=", "sender=")})
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "path"),
    [("sqlite:////srv/t.db", "/srv/t.db"), ("sqlite:///:memory:", None), ("postgresql://h/d", None)],
)
def test_only_a_file_of_sqlite_has_a_path(url: str, path: str | None) -> None:
    found = sqlite_path(url)
    assert (None if found is None else str(found)) == path


def test_s117_networks_of_facilities_are_read_with_their_names() -> None:
    said = "Alder Prison=198.51.100.0/28, 2001:db8:7::/48; Birch=203.0.113.9;"
    networks = load(PRODUCTION | {"THROUGHGATE_FACILITY_NETWORKS": said}).networks
    assert {name: [str(one) for one in several] for name, several in networks.items()} == {
        "Alder Prison": ["198.51.100.0/28", "2001:db8:7::/48"],
        "Birch": ["203.0.113.9/32"],
    }
    assert load(PRODUCTION).networks == {}
