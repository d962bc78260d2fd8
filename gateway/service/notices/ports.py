"""What notices need from outside: somebody who renders texts, and a mail server."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class MailSettings:
    """``sender`` is the address in From, ``sender_name`` the name before it, ``bounces`` where failures are reported
    to (the envelope's sender). ``operators`` get what a person has to do. ``signature`` ends every text."""

    sender: str = ""
    sender_name: str = ""
    reply_to: str = ""
    bounces: str = ""
    operators: tuple[str, ...] = ()
    language: str = "ja"
    signature: str = ""
    board_url: str = ""


@dataclass(frozen=True, slots=True)
class Rendered:
    """``version`` is the digest of the templates, ``source`` the templates themselves."""

    subject: str
    body: str
    version: str
    source: str


class Renderer(Protocol):
    def render(self, kind: str, language: str, values: Mapping[str, Any]) -> Rendered:
        """The text from the templates in force. ValueError when a template cannot be rendered."""

    def render_source(self, source: str, language: str, values: Mapping[str, Any]) -> Rendered:
        """The text from templates as they were (``Rendered.source``)."""


class MailUnavailable(Exception):
    """The mail server cannot be reached, or does not let us in: no fault of a message. All wait."""


class MailDeferred(Exception):
    """The server does not take this message now (4xx), or the line was cut while it was sent: it waits alone."""


class MailRefused(Exception):
    """The server refuses this recipient or message for good (5xx)."""


class MailConnection(Protocol):
    @property
    def is_open(self) -> bool:
        """Whether it is fit for another mail."""

    def send(self, envelope_from: str, recipient: str, message: EmailMessage, *, ask_delivery: bool) -> str:
        """The server's answer of acceptance. MailUnavailable, MailDeferred, MailRefused. ``ask_delivery``: ask for
        a report of the delivery too (RFC 3461), where the server can do that."""


class Mailer(Protocol):
    def connect(self) -> AbstractContextManager[MailConnection]:
        """MailUnavailable."""
