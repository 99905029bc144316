"""What an issuer may say, and what we take: over a real socket, wrong in one thing at a time."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey

from referrals.issuer import oidc
from referrals.issuer.models import Issuer, OneFactorError
from referrals.issuer.oidc import Answer, Asked, Us
from tests.factories.issuer import CLIENT, TestIssuer, a_test_issuer

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(60)]

NOW = datetime(2026, 11, 3, 17, 0, tzinfo=UTC)
US = Us(*CLIENT, "https://127.0.0.1/sign-in/organization/return")
ASKED = Asked("n" * 43, "v" * 64)


@pytest.fixture
def issuer() -> Iterator[TestIssuer]:
    with a_test_issuer(NOW.timestamp) as made:
        yield made


def come_back(issuer: TestIssuer, asked: Asked = ASKED, *, us: Us = US, sent: Asked | None = None) -> Answer:
    provider = oidc.discovered(issuer.url, is_development=True)
    address = oidc.address_for(provider, US, sent or asked, state="s" * 43)
    back = dict(parse_qsl(urlsplit(issuer.sign_in(address, "person-1")).query))
    assert back["state"] == "s" * 43
    return oidc.answered(provider, us, asked, back["code"], NOW)


def test_s116_a_right_answer_says_who_by_which_factors_and_when(issuer: TestIssuer) -> None:
    issuer.says = {"acr": "urn:two", "email": "somebody@example.org", "name": "Somebody Else"}
    assert come_back(issuer) == Answer("person-1", "urn:two", ("pwd", "mfa"), NOW)


def test_s116_a_browser_is_sent_with_state_nonce_and_a_challenge_that_tells_no_verifier(issuer: TestIssuer) -> None:
    come_back(issuer)
    (asked,) = issuer.asked
    assert (asked["nonce"], asked["state"]) == (ASKED.nonce, "s" * 43)
    assert ASKED.verifier not in str(asked)
    assert "prompt" not in asked


WRONG: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://other.example.org"},
    "no issuer": {"iss": None},
    "meant for another": {"aud": "another-service"},
    "meant for several, for another first": {"aud": [CLIENT[0], "another"], "azp": "another"},
    "meant for several, nobody named": {"aud": [CLIENT[0], "another"]},
    "ours, asked for by another": {"azp": "another"},
    "no audience": {"aud": None},
    "another nonce": {"nonce": "m" * 43},
    "no nonce": {"nonce": None},
    "over": {"exp": int(NOW.timestamp()) - 61},
    "no end": {"exp": None},
    "of tomorrow": {"iat": int(NOW.timestamp()) + 86_400},
    "nobody": {"sub": None},
    "an empty name": {"sub": ""},
    "a name too long": {"sub": "x" * 256},
    "a number": {"sub": 7},
    "factors in one word": {"amr": "mfa"},
    "factors that are no words": {"amr": [1, 2]},
    "a level that is no word": {"acr": ["urn:two"]},
    "signed in tomorrow": {"auth_time": int(NOW.timestamp()) + 86_400},
    "signed in at no time": {"auth_time": "yesterday"},
}


@pytest.mark.parametrize("says", WRONG.values(), ids=WRONG.keys())
def test_s116_an_answer_that_is_wrong_in_one_thing_is_refused(issuer: TestIssuer, says: dict[str, Any]) -> None:
    issuer.says = says
    with pytest.raises(ValueError, match=r"."):
        come_back(issuer)


@pytest.mark.parametrize("how", ["none", "shared", "another key", "another kind"])
def test_s116_an_answer_that_its_published_key_did_not_sign_is_refused(issuer: TestIssuer, how: str) -> None:
    issuer.signs_by = {
        "none": ("none", None),
        "shared": ("HS256", None),
        "another key": ("RS256", RSAKey.generate_key(2048, {"kid": "one"})),
        "another kind": ("ES256", ECKey.generate_key("P-256", {"kid": "one"})),
    }[how]
    with pytest.raises(ValueError, match="not a right answer"):
        come_back(issuer)


def test_s116_a_code_works_once_for_our_secret_and_for_the_verifier_it_was_asked_with(issuer: TestIssuer) -> None:
    for us, asked, sent in (
        (replace(US, client_secret="another"), ASKED, ASKED),
        (US, replace(ASKED, verifier="w" * 64), ASKED),
        (replace(US, redirect_uri="https://127.0.0.1/elsewhere"), ASKED, ASKED),
    ):
        with pytest.raises(ValueError, match="the code was refused"):
            come_back(issuer, asked, us=us, sent=sent)
    provider = oidc.discovered(issuer.url, is_development=True)
    back = issuer.sign_in(oidc.address_for(provider, US, ASKED, state="s"), "person-1")
    code = dict(parse_qsl(urlsplit(back).query))["code"]
    assert oidc.answered(provider, US, ASKED, code, NOW).subject == "person-1"
    with pytest.raises(ValueError, match="the code was refused"):
        oidc.answered(provider, US, ASKED, code, NOW)


def test_s113_whoever_must_sign_in_anew_is_told_so_and_an_older_sign_in_there_is_refused(issuer: TestIssuer) -> None:
    anew = replace(ASKED, since=NOW)
    assert come_back(issuer, anew).signed_in_at == NOW
    assert (issuer.asked[-1]["prompt"], issuer.asked[-1]["max_age"]) == ("login", "0")
    for when in (None, int((NOW - timedelta(minutes=2)).timestamp())):
        issuer.says = {"auth_time": when}
        with pytest.raises(ValueError, match="not signed in anew"):
            come_back(issuer, anew)


def test_an_issuer_that_is_down_or_gone_is_told_apart_from_one_that_is_wrong(issuer: TestIssuer) -> None:
    provider = oidc.discovered(issuer.url, is_development=True)
    issuer.is_down = True
    with pytest.raises(oidc.UnreachableError):
        oidc.discovered(issuer.url, is_development=True)
    with pytest.raises((oidc.UnreachableError, ValueError)):
        oidc.answered(provider, US, ASKED, "code", NOW)
    with pytest.raises(oidc.UnreachableError):
        oidc.discovered("http://127.0.0.1:9", is_development=True)


@pytest.mark.parametrize(
    "publishes",
    [
        {"issuer": "https://other.example.org"},
        {"token_endpoint": "http://10.0.0.1/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"token_endpoint": None},
        {"jwks_uri": ["https://a.example.org"]},
    ],
)
def test_an_issuer_that_names_another_or_no_address_we_may_ask_is_refused(
    issuer: TestIssuer, publishes: dict[str, Any]
) -> None:
    issuer.publishes = publishes
    with pytest.raises(ValueError, match=r"another issuer|no address"):
        oidc.discovered(issuer.url, is_development=True)


def test_nobody_is_led_elsewhere_and_nothing_is_read_without_end(issuer: TestIssuer) -> None:
    with pytest.raises(oidc.UnreachableError):
        oidc.discovered(f"{issuer.url}/moved", is_development=True)
    with pytest.raises(ValueError, match="too long"):
        oidc.discovered(f"{issuer.url}/long", is_development=True)


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("https://login.county.example.org", True),
        ("https://login.county.example.org/tenant/7", True),
        ("http://login.county.example.org", False),
        ("https://somebody@login.example.org", False),
        ("https://", False),
        ("https://login.example.org:port", False),
        ("https://login.example.org/#part", False),
        ("https://login example.org", False),
        ("ftp://login.example.org", False),
        ("//login.example.org", False),
        ("", False),
    ],
)
def test_only_an_address_by_tls_is_asked_but_on_ones_own_machine_in_development(url: str, *, right: bool) -> None:
    assert oidc.is_address(url, is_development=False) is right
    assert oidc.is_address("http://localhost:9000", is_development=True)
    assert not oidc.is_address("http://localhost:9000", is_development=False)


@given(st.text())
def test_no_text_is_an_address_by_accident(typed: str) -> None:
    if oidc.is_address(typed, is_development=False):
        assert urlsplit(typed).scheme == "https"
        assert urlsplit(typed).hostname


@given(
    acr=st.sampled_from(["", "a", "b", "a b"]),
    amr=st.lists(st.sampled_from(["pwd", "mfa", "hwk", "mfa hwk"]), max_size=3),
    accepted=st.tuples(st.sampled_from(["", "a", "a c"]), st.sampled_from(["", "mfa", "hwk otp"])),
)
def test_s103_an_answer_opens_only_by_a_word_that_its_organization_named(
    acr: str, amr: list[str], accepted: tuple[str, str]
) -> None:
    issuer = Issuer(accepted_acr=accepted[0], accepted_amr=accepted[1])
    answer = Answer("person", acr, tuple(amr), None)
    if (acr and acr in accepted[0].split()) or any(one in accepted[1].split() for one in amr):
        issuer.require_two_factors(answer)
    else:
        with pytest.raises(OneFactorError):
            issuer.require_two_factors(answer)


@contextmanager
def others() -> Iterator[str]:
    """An issuer that others wrote, in a process of its own; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = subprocess.DEVNULL
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--host", "127.0.0.1"]
    process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(200):
            try:
                requests.get(url, timeout=5)
                break
            except requests.ConnectionError:
                assert process.poll() is None, "it ended"
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def test_s116_an_issuer_that_others_wrote_is_understood() -> None:
    with others() as url:
        told = requests.put(f"{url}/users/person-9", json={"amr": ["mfa"], "acr": "urn:two"}, timeout=5)
        assert told.status_code == 204
        provider = oidc.discovered(url, is_development=True)
        address = oidc.address_for(provider, US, ASKED, state="s" * 43)
        sent = requests.post(address, data={"sub": "person-9"}, allow_redirects=False, timeout=5)
        back = dict(parse_qsl(urlsplit(sent.headers["Location"]).query))
        assert back["state"] == "s" * 43
        answer = oidc.answered(provider, US, ASKED, back["code"], datetime.now(UTC))
    assert (answer.subject, answer.acr, answer.amr) == ("person-9", "urn:two", ("mfa",))
