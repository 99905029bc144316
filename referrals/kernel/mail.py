"""Mail as this house writes it, and handing it over by SMTP.

One sentence and one link, the same for everybody: no name, number, place, program, kind or id (R20, S-309). The notice
of 42 CFR Part 2 stands in every footer, so that its presence says nothing. Who is told, of what and when is decided in
the rooms; here is only how a message looks and travels.
"""

from __future__ import annotations

import re
import secrets
import smtplib
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from functools import cache
from gettext import NullTranslations
from typing import Final, Literal, cast
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from referrals.settings import Settings, SmtpServer

#: The same for every message, whatever it is about and whoever reads it.
SUBJECT: Final = "Throughgate"
#: 42 CFR 2.32(a)(2), word for word, in every language.
PART_2_NOTICE: Final = "42 CFR part 2 prohibits unauthorized use or disclosure of these records."
#: Seconds for each answer of the server: all of them together stay within a job's lease.
_PATIENCE: Final = 20.0
_ADDRESS: Final = re.compile(r"[!-?A-~]+@[!-?A-~]+")
_TEMPORARY: Final = range(400, 500)

#: What becomes of a message that was not taken: try again; never; nobody knows, so never again either.
Fate = Literal["later", "never", "unknown"]


class MailError(Exception):
    """The server did not take a message. `code` says why; nothing the server said is kept, as it may hold addresses."""

    def __init__(self, code: str, fate: Fate) -> None:
        """Keep the code and what becomes of the message."""
        super().__init__(code)
        self.code, self.fate = code, fate


@dataclass(frozen=True, slots=True)
class Post:
    """The mail server, and the page every message leads to."""

    server: SmtpServer
    home: str
    #: Gives the catalog of a language.
    catalog_of: Callable[[str], NullTranslations]

    @property
    def host(self) -> str:
        """The name this service goes by."""
        return urlsplit(self.home).hostname or "localhost"

    def message(self, address: str, things: int, *, language: str, at: datetime) -> EmailMessage:
        """Write the message: so many things wait for whoever reads it.

        Raises:
            MailError: the address is none that mail can go to.
        """
        if not _ADDRESS.fullmatch(address):
            raise MailError("bad_address", "never")
        words = self.catalog_of(language)
        said = words.ngettext("Something in Throughgate needs you.", "%(num)d things in Throughgate need you.", things)
        made = EmailMessage(policy=policy.SMTP)
        made["From"] = self.server.sender
        made["To"] = address
        made["Subject"] = SUBJECT
        made["Date"] = format_datetime(at)
        made["Message-ID"] = f"<{secrets.token_hex(16)}@{self.host}>"
        made["Auto-Submitted"] = "auto-generated"  # RFC 3834: absence notes do not answer it
        made.set_content(f"{said % {'num': things}}\n\n{self.home}\n\n-- \n{PART_2_NOTICE}\n")
        made["Content-Language"] = language
        return made

    def hand_over(self, message: EmailMessage) -> None:
        """Give the message to the server, once.

        Raises:
            MailError: it was not taken, or nobody knows whether it was.
        """
        try:
            smtp = self._opened()
        except smtplib.SMTPAuthenticationError as refused:
            raise MailError("login_refused", "later") from refused
        except smtplib.SMTPResponseException as refused:
            raise MailError(f"smtp_{refused.smtp_code}", "later") from refused
        except (ssl.SSLError, smtplib.SMTPNotSupportedError) as refused:
            raise MailError("tls_failed", "later") from refused
        except (smtplib.SMTPException, OSError) as fault:
            raise MailError("unreachable", "later") from fault
        try:
            self._dialogue(smtp, message)
            with suppress(smtplib.SMTPException, OSError):
                smtp.quit()  # it has the message: how it says goodbye changes nothing
        finally:
            smtp.close()

    def _opened(self) -> smtplib.SMTP:
        """Reach the server, by TLS where it is asked for or offered, and sign in."""
        told = self.server
        if told.tls == "implicit":
            context = ssl.create_default_context()
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(told.host, told.port, self.host, timeout=_PATIENCE, context=context)
        else:
            smtp = smtplib.SMTP(told.host, told.port, self.host, timeout=_PATIENCE)
        try:
            smtp.ehlo_or_helo_if_needed()
            if told.tls == "required" or (told.tls == "offered" and smtp.has_extn("starttls")):
                smtp.starttls(context=ssl.create_default_context())
            if told.name is not None:
                smtp.login(told.name, told.password or "")
        except BaseException:
            smtp.close()
            raise
        return smtp

    def _dialogue(self, smtp: smtplib.SMTP, message: EmailMessage) -> None:
        try:
            _check(smtp.mail(self.server.sender)[0], refusal="later")  # the sender is set up wrongly: it can be mended
            _check(smtp.rcpt(str(message["To"]))[0], refusal="never")
        except (smtplib.SMTPServerDisconnected, OSError) as fault:
            raise MailError("unreachable", "later") from fault
        try:
            _check(smtp.data(message.as_bytes())[0], refusal="never")
        except smtplib.SMTPDataError as refused:
            _check(refused.smtp_code, refusal="never")
        except (smtplib.SMTPServerDisconnected, OSError) as fault:
            raise MailError("outcome_unknown", "unknown") from fault


@cache
def post_from(settings: Settings, catalog_of: Callable[[str], NullTranslations]) -> Post | None:
    """Return how this installation sends mail, in which languages; None: not at all."""
    return None if settings.smtp is None else Post(settings.smtp, f"{settings.public_url}/home", catalog_of)


def post_of(session: Session) -> Post | None:
    """Return how mail is sent from here; None where none is."""
    return cast("Post | None", session.info.get("post"))


def _check(code: int, *, refusal: Fate) -> None:
    if code in {250, 251}:
        return
    raise MailError(f"smtp_{code}", "later" if code in _TEMPORARY else refusal)
