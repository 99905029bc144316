"""A mail server of the test's own: it speaks SMTP (RFC 5321) over a real socket, with STARTTLS if it has a certificate.

It keeps what it was given, byte for byte, and answers as it is told to.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_GOOD: Final = {
    "connect": "220 ready",
    "helo": "250 hello",
    "mail": "250 ok",
    "rcpt": "250 ok",
    "data": "354 go on",
    "content": "250 taken",
    "auth": "235 welcome",
}


@dataclass
class Received:
    """One message as it came: its envelope, its bytes, and whether by TLS and as whom."""

    sender: str
    recipient: str
    content: bytes
    by_tls: bool
    signed_in: str | None


@dataclass
class MailServer:
    """What came in, and what to answer: `answers[verb]` is a list of replies for the next times, "" hangs up."""

    port: int = 0
    tls: ssl.SSLContext | None = None
    answers: dict[str, list[str]] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    #: Everything clients said, line by line.
    heard: list[bytes] = field(default_factory=list)

    def url(self, *, host: str = "127.0.0.1", more: str = "", sign_in: str = "") -> str:
        """The setting that leads here."""
        return f"smtp://{sign_in}{host}:{self.port}?from=throughgate@county.example{more}"

    def reply(self, verb: str) -> str:
        """Return what is answered this time."""
        waiting = self.answers.get(verb, [])
        return waiting.pop(0) if waiting else _GOOD[verb]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak with one client until it leaves."""
        self.connections += 1
        try:
            await _Talk(self, reader, writer).hold()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            writer.close()


class _HangUpError(ConnectionError):
    pass


class _Talk:
    def __init__(self, server: MailServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server, self.reader, self.writer = server, reader, writer
        self.by_tls = False
        self.signed_in: str | None = None
        self.sender = self.recipient = ""

    async def say(self, *lines: str) -> None:
        if "" in lines:
            raise _HangUpError
        for number, line in enumerate(lines, 1):
            self.writer.write((line if number == len(lines) else f"{line[:3]}-{line[4:]}").encode() + b"\r\n")
        await self.writer.drain()

    async def hold(self) -> None:
        await self.say(self.server.reply("connect"))
        while line := await self.reader.readline():
            self.server.heard.append(line)
            verb, _, rest = line.decode().strip().partition(" ")
            act = getattr(self, f"on_{verb.lower()}", None)
            await (act(rest) if act is not None else self.say("502 what?"))

    async def on_ehlo(self, _rest: str) -> None:
        offered = ["250 STARTTLS"] if self.server.tls is not None and not self.by_tls else []
        await self.say(self.server.reply("helo"), *offered, "250 AUTH PLAIN")

    async def on_starttls(self, _rest: str) -> None:
        await self.say("220 go ahead")
        await self.writer.start_tls(cast("ssl.SSLContext", self.server.tls))
        self.by_tls = True

    async def on_auth(self, rest: str) -> None:
        self.signed_in = rest
        await self.say(self.server.reply("auth"))

    async def on_mail(self, rest: str) -> None:
        self.sender = rest
        await self.say(self.server.reply("mail"))

    async def on_rcpt(self, rest: str) -> None:
        self.recipient = rest
        await self.say(self.server.reply("rcpt"))

    async def on_data(self, _rest: str) -> None:
        said = self.server.reply("data")
        await self.say(said)
        if not said.startswith("354"):
            return
        content = await self.reader.readuntil(b"\r\n.\r\n")
        said = self.server.reply("content")
        if said in {"", "250 taken"}:  # who hangs up now may well have taken it
            taken = Received(self.sender, self.recipient, content[:-3], self.by_tls, self.signed_in)
            self.server.received.append(taken)
        await self.say(said)

    async def on_rset(self, _rest: str) -> None:
        await self.say("250 ok")

    async def on_quit(self, _rest: str) -> None:
        await self.say("221 bye")
        raise _HangUpError


@contextmanager
def a_mail_server(certificate: Path | None = None) -> Iterator[MailServer]:
    """Let a mail server listen on a port of its own; with a certificate it offers STARTTLS."""
    made = MailServer()
    if certificate is not None:
        made.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        made.tls.load_cert_chain(certificate)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)  # its own: a browser's loop may be running in this one
    thread.start()
    try:
        beginning = asyncio.start_server(made.serve, "127.0.0.1", 0)
        listening = asyncio.run_coroutine_threadsafe(beginning, loop).result(10)
        made.port = listening.sockets[0].getsockname()[1]
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(_end(listening), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _end(listening: asyncio.Server) -> None:
    listening.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)


def a_certificate(place: Path, *, name: str = "localhost") -> Path:
    """Write a self-signed certificate with its key for a host; whoever trusts the file trusts the host."""
    key = ec.generate_private_key(ec.SECP256R1())
    whose = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(whose)
        .issuer_name(whose)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = place / f"{name}.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path
