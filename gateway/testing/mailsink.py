"""A real SMTP server for tests (aiosmtpd): keeps what it takes, and misbehaves on demand.

It runs in a thread of the test's process; each connection is a socket on loopback.
"""

from __future__ import annotations

import asyncio
import email
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from gateway.testing.waiting import PATIENCE, until


@dataclass(frozen=True)
class Captured:
    """One mail as the server took it."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    rcpt_options: tuple[str, ...] = ()

    @property
    def message(self) -> EmailMessage:
        found = email.message_from_bytes(self.raw, policy=policy.default)
        assert isinstance(found, EmailMessage)
        return found

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        body = self.message.get_body(("plain",))
        assert body is not None
        return str(body.get_content())


@dataclass
class MailSink:
    """``mode``: accept, reject (550 to the recipient), reject-data (554), defer (451), busy (421 to MAIL), drop (cuts
    the line when the mail was received), drop-after (takes the mail, then cuts the line before its answer). ``delay``:
    seconds before it answers to a mail. ``refused``: recipients that are refused whatever the mode."""

    mode: str = "accept"
    delay: float = 0.0
    refused: set[str] = field(default_factory=set)
    login: tuple[str, str] | None = None
    tls: tuple[Path, Path] | None = None
    port: int = 0
    mails: list[Captured] = field(default_factory=list)
    sessions: int = 0
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None
    _stopping: asyncio.Event = field(init=False)

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> MailSink:
        """Listens; the port stays the same over ``stop`` and ``start``."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), name="mail sink", daemon=True)
        self._thread.start()
        assert ready.wait(PATIENCE), "the mail sink did not start"
        return self

    def stop(self) -> None:
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(10)
        self._loop = self._thread = None

    def __enter__(self) -> MailSink:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        server = await self._loop.create_server(self._factory, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stopping.wait()
        server.close()

    def _factory(self) -> SMTP:
        context = None
        if self.tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.tls)
        return _Dsn(
            self,
            hostname="sink.test",
            enable_SMTPUTF8=True,
            tls_context=context,
            require_starttls=context is not None,
            auth_required=self.login is not None,
            auth_require_tls=context is not None,
            authenticator=self._authenticate,
        )

    def _authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        given = (data.login.decode(), data.password.decode())
        return AuthResult(success=given == self.login, handled=False)

    # -- what the server is asked -------------------------------------------------------------------------------------

    async def handle_EHLO(
        self, _server: SMTP, session: Session, _envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.sessions += 1
        session.host_name = hostname
        return [*responses[:-1], "250-DSN", *responses[-1:]]

    async def handle_MAIL(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.mode == "busy":
            return "421 4.3.2 not now"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.mode == "reject" or address in self.refused:
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        mode = self.mode
        if self.delay:
            await asyncio.sleep(self.delay)
        if mode == "defer":
            return "451 4.3.0 try again later"
        if mode == "reject-data":
            return "554 5.6.0 refused for its content"
        if mode == "drop":
            _cut(server)
            return "421 gone"
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        options = tuple(str(one) for one in envelope.rcpt_options)
        self.mails.append(Captured(envelope.mail_from or "", tuple(envelope.rcpt_tos), content, options))
        if mode == "drop-after":
            _cut(server)
        return f"250 2.0.0 stored as {len(self.mails)}"

    # -- for tests ----------------------------------------------------------------------------------------------------

    def wait(self, enough: Callable[[list[Captured]], bool], seconds: float = PATIENCE) -> list[Captured]:
        """Waits for mails of a daemon that works by itself; returns all of them."""
        until(lambda: enough(self.mails), lambda: [mail.subject for mail in self.mails], seconds=seconds)
        return list(self.mails)

    def settings(self) -> dict[str, Any]:
        """``mail`` of gateway.yaml for this server, without TLS and login."""
        return {"server": f"127.0.0.1:{self.port}", "security": "none", "from": "蔵戸 <notice@kurado.example>"}


def _cut(server: SMTP) -> None:
    assert isinstance(server.transport, asyncio.Transport)
    server.transport.abort()


class _Dsn(SMTP):
    """aiosmtpd knows no parameters of RCPT; ours takes NOTIFY (RFC 3461)."""

    async def smtp_RCPT(self, arg: str | None) -> None:
        notify = ""
        if arg and " NOTIFY=" in arg:
            arg, _, notify = arg.partition(" NOTIFY=")
        await super().smtp_RCPT(arg)
        if notify and self.envelope is not None:
            self.envelope.rcpt_options.append(f"NOTIFY={notify}")
