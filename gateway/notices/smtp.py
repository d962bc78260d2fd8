"""The way to a mail server (RFC 5321), by the standard library's smtplib. Every step has a deadline."""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8

from gateway.service.notices.ports import MailConnection, MailDeferred, MailRefused, MailUnavailable

STARTTLS, TLS, PLAIN = "starttls", "tls", "none"


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """``security``: starttls (refused if the server cannot), tls (from the first byte), none. ``timeout`` in seconds
    for each step. ``login`` empty: without. ``helo`` is what we call ourselves: our domain, for the name of this
    machine would stand in every mail (SEC-01)."""

    host: str
    port: int
    security: str = STARTTLS
    login: str = ""
    password: str = field(default="", repr=False)
    timeout: float = 20.0
    ca: str | None = None
    helo: str = "localhost"


class SmtpMailer:
    def __init__(self, server: SmtpServer) -> None:
        self._server = server

    @contextlib.contextmanager
    def connect(self) -> Iterator[MailConnection]:
        """A connection for some mails. MailUnavailable with the server's words."""
        client = self._open()
        try:
            yield SmtpConnection(client)
        finally:
            with contextlib.suppress(OSError, smtplib.SMTPException):
                client.quit()
            client.close()

    def _open(self) -> smtplib.SMTP:
        server = self._server
        client: smtplib.SMTP | None = None
        try:
            if server.security == TLS:
                client = smtplib.SMTP_SSL(
                    server.host, server.port, server.helo, timeout=server.timeout, context=self._context()
                )
            else:
                client = smtplib.SMTP(server.host, server.port, server.helo, timeout=server.timeout)
            client.ehlo_or_helo_if_needed()
            if server.security == STARTTLS:
                client.starttls(context=self._context())
                client.ehlo_or_helo_if_needed()
            if server.login:
                client.login(server.login, server.password)
        except (OSError, smtplib.SMTPException, ValueError, UnicodeError) as error:
            if client is not None:
                client.close()
            raise MailUnavailable(f"{server.host}:{server.port}: {_words(error)}") from error
        return client

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self._server.ca)


class SmtpConnection:
    """What the server says to MAIL concerns all mails, what it says to RCPT and DATA this one."""

    def __init__(self, client: smtplib.SMTP) -> None:
        self._client = client
        self.is_open = True

    def send(self, envelope_from: str, recipient: str, message: EmailMessage, *, ask_delivery: bool) -> str:
        try:
            return self._send(envelope_from, recipient, message, ask_delivery=ask_delivery)
        except (MailDeferred, MailRefused):
            self.is_open = self._start_over()
            raise

    def _send(self, envelope_from: str, recipient: str, message: EmailMessage, *, ask_delivery: bool) -> str:
        client = self._client
        international = not (recipient.isascii() and envelope_from.isascii())
        if international and not client.has_extn("smtputf8"):
            raise MailRefused("the mail server takes no addresses that are not ASCII (RFC 6531)")
        mail_options = ["SMTPUTF8", "BODY=8BITMIME"] if international else []
        dsn = ["NOTIFY=SUCCESS,FAILURE"] if ask_delivery and client.has_extn("dsn") else []
        policy = SMTPUTF8 if international else SMTP
        try:
            code, text = client.mail(envelope_from, mail_options)
            if code != 250:
                raise MailUnavailable(f"{envelope_from} may not send: {code} {_text(text)}")
            code, text = client.rcpt(recipient, dsn)
            _check(code, text, (250, 251))
            code, text = client.data(message.as_bytes(policy=policy))
            _check(code, text, (250,))
        except smtplib.SMTPDataError as error:
            _check(error.smtp_code, error.smtp_error, (250,))
            raise
        except (OSError, smtplib.SMTPException) as error:
            # cut off: perhaps by this very mail, so it waits by itself
            raise MailDeferred(_words(error)) from error
        return _text(text)

    def _start_over(self) -> bool:
        """Makes the connection fit for the next mail, if it still is one."""
        try:
            code, _ = self._client.rset()
        except (OSError, smtplib.SMTPException):
            return False
        return code == 250


def _check(code: int, text: bytes | str, accepted: tuple[int, ...]) -> None:
    if code in accepted:
        return
    words = f"{code} {_text(text)}"
    if 500 <= code < 600:
        raise MailRefused(words)
    raise MailDeferred(words)


def _text(text: bytes | str) -> str:
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return " ".join(words.split())[:300]


def _words(error: BaseException) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_text(error.smtp_error)}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
