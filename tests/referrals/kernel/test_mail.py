"""What a message looks like and how it travels: by TLS where it can, never in doubt twice, nothing personal in it."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from referrals.kernel.language import catalog_of
from referrals.kernel.mail import PART_2_NOTICE, MailError, Post
from referrals.settings import smtp_server
from tests.factories.smtp import MailServer, a_certificate, a_mail_server

pytestmark = pytest.mark.enable_socket

AT = datetime(2026, 11, 3, 17, 0, tzinfo=UTC)
HOME = "https://throughgate.example.org/home"


@pytest.fixture
def server() -> Iterator[MailServer]:
    with a_mail_server() as made:
        yield made


def post_to(url: str) -> Post:
    return Post(smtp_server(url), HOME, catalog_of)


def send(post: Post, address: str = "ana@second-start.example", things: int = 1) -> None:
    post.hand_over(post.message(address, things, language="en", at=AT))


def failed(post: Post, address: str = "ana@second-start.example") -> tuple[str, str]:
    with pytest.raises(MailError) as caught:
        send(post, address)
    return caught.value.code, caught.value.fate


def test_a_message_is_one_sentence_one_link_and_the_notice(server: MailServer) -> None:
    send(post_to(server.url()))
    (got,) = server.received
    read = email.message_from_bytes(got.content, policy=email.policy.default)
    assert (got.sender.split()[0], got.recipient) == (
        "FROM:<throughgate@county.example>",
        "TO:<ana@second-start.example>",
    )
    assert read.get_content().replace("\r\n", "\n") == (
        f"Something in Throughgate needs you.\n\n{HOME}\n\n-- \n{PART_2_NOTICE}\n"
    )
    assert PART_2_NOTICE == "42 CFR part 2 prohibits unauthorized use or disclosure of these records."
    assert dict(read.items()) | {"Message-ID": "", "Content-Transfer-Encoding": ""} == {
        "From": "throughgate@county.example",
        "To": "ana@second-start.example",
        "Subject": "Throughgate",
        "Date": "Tue, 03 Nov 2026 17:00:00 +0000",
        "Message-ID": "",
        "Auto-Submitted": "auto-generated",
        "Content-Language": "en",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "",
        "MIME-Version": "1.0",
    }
    assert read["Message-ID"].endswith("@throughgate.example.org>")


def test_a_digest_says_how_many_and_nothing_else(server: MailServer) -> None:
    post = post_to(server.url())
    for things in (1, 3):
        send(post, things=things)
    first, second = (
        email.message_from_bytes(one.content, policy=email.policy.default).get_content() for one in server.received
    )
    assert second == first.replace("Something in Throughgate needs you.", "3 things in Throughgate need you.")


def test_a_message_is_in_its_readers_language_and_its_notice_word_for_word(server: MailServer) -> None:
    for things, said in ((1, "Algo en Throughgate le espera."), (3, "3 cosas en Throughgate le esperan.")):
        made = post_to(server.url()).message("casey@example.org", things, language="es", at=AT)
        body = made.get_content()
        assert said in body
        assert "needs you" not in body
        assert made["Content-Language"] == "es"
        assert "42 CFR part 2 prohibits unauthorized use or disclosure of these records." in body


@pytest.mark.parametrize("address", ["", "nobody", "a@b\r\nBcc: c@d.example", "a b@c.example", "ñ@example.org"])
def test_what_is_no_address_is_refused_before_anything_is_sent(server: MailServer, address: str) -> None:
    assert failed(post_to(server.url()), address) == ("bad_address", "never")
    assert server.connections == 0


@pytest.mark.parametrize(
    ("verb", "said", "outcome"),
    [
        ("connect", "421 busy", ("smtp_421", "later")),
        ("connect", "554 not you", ("smtp_554", "later")),
        ("connect", "", ("unreachable", "later")),
        ("mail", "451 later", ("smtp_451", "later")),
        ("mail", "530 sign in first", ("smtp_530", "later")),
        ("rcpt", "450 mailbox busy", ("smtp_450", "later")),
        ("rcpt", "550 no such user", ("smtp_550", "never")),
        ("rcpt", "", ("unreachable", "later")),
        ("data", "451 not now", ("smtp_451", "later")),
        ("data", "554 no", ("smtp_554", "never")),
        ("content", "452 disk full", ("smtp_452", "later")),
        ("content", "552 too much", ("smtp_552", "never")),
        ("content", "", ("outcome_unknown", "unknown")),
    ],
)
def test_what_the_server_says_decides_what_becomes_of_it(
    server: MailServer, verb: str, said: str, outcome: tuple[str, str]
) -> None:
    server.answers[verb] = [said]
    assert failed(post_to(server.url())) == outcome


def test_a_server_that_is_down_is_tried_again() -> None:
    with a_mail_server() as gone:
        url = gone.url()
    assert failed(post_to(url)) == ("unreachable", "later")


def test_no_code_of_a_fault_quotes_the_server(server: MailServer) -> None:
    server.answers["rcpt"] = ["550 ana@second-start.example is unknown"]
    with pytest.raises(MailError) as caught:
        send(post_to(server.url()))
    assert "ana" not in f"{caught.value!r} {caught.value}"


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[MailServer, Path]]:
    certificate = a_certificate(tmp_path)
    with a_mail_server(certificate) as made:
        yield made, certificate


def test_starttls_is_taken_where_it_is_offered_and_the_name_is_said_only_then(
    secured: tuple[MailServer, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, certificate = secured
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    send(post_to(server.url(host="localhost")))
    send(post_to(server.url(host="localhost", sign_in="gate:s%3Acret@")))
    assert [(one.by_tls, one.signed_in is not None) for one in server.received] == [(True, False), (True, True)]
    before_tls = server.heard[: server.heard.index(b"STARTTLS\r\n")]
    assert not any(b"AUTH" in line or b"RCPT" in line for line in before_tls)


def test_a_server_that_nobody_vouches_for_gets_nothing(secured: tuple[MailServer, Path]) -> None:
    server, _certificate = secured
    assert failed(post_to(server.url(host="localhost"))) == ("tls_failed", "later")
    assert server.received == []


def test_another_hosts_certificate_is_not_taken(
    secured: tuple[MailServer, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, certificate = secured
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert failed(post_to(server.url(host="127.0.0.1"))) == ("tls_failed", "later")


@pytest.mark.parametrize(("more", "sign_in"), [("&tls=required", ""), ("", "gate:secret@")])
def test_without_starttls_nothing_that_needs_it_is_sent(server: MailServer, more: str, sign_in: str) -> None:
    assert failed(post_to(server.url(more=more, sign_in=sign_in))) == ("tls_failed", "later")
    assert server.received == []
    assert not any(b"secret" in line or b"AUTH" in line for line in server.heard)


def test_a_refused_name_can_be_mended(secured: tuple[MailServer, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    server, certificate = secured
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server.answers["auth"] = ["535 no"] * 3
    assert failed(post_to(server.url(host="localhost", sign_in="gate:secret@"))) == ("login_refused", "later")
