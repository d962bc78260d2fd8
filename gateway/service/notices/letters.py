"""A notice as a mail: who it goes to, its text, its headers. The same notice always makes the same mail."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Any

from gateway.domain.mailbox import one_line, parse_mailbox
from gateway.domain.notice import OPERATORS, Notice
from gateway.service.notices.ports import MailSettings, Rendered, Renderer
from gateway.service.unit_of_work import Database

NUMBER_HEADER = "X-Kurado-Notice"


@dataclass(frozen=True, slots=True)
class Attachment:
    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail to one recipient and the text it was made from."""

    recipient: str
    message: EmailMessage
    text: Rendered
    digest: str


class Letters:
    """``attached`` gives what goes with a notice: an invoice."""

    def __init__(
        self,
        db: Database,
        renderer: Renderer,
        settings: MailSettings,
        attached: Callable[[Notice], Sequence[Attachment]] = lambda _: (),
    ) -> None:
        self._db = db
        self._renderer = renderer
        self.settings = settings
        self._attached = attached

    def letter(self, notice: Notice, token: str) -> list[Letter]:
        """The mails of a notice, one for each address. ``token`` makes the Message-ID that of this installation.

        BadAddress; ValueError when the template cannot be rendered."""
        customer = self._customer(notice)
        text = self.text(notice)
        attached = self._attached(notice)
        addresses = self.settings.operators if notice.contract == OPERATORS else (customer.get("email", ""),)
        return [self._mail(notice, parse_mailbox(one), text, token, attached) for one in addresses]

    def text(self, notice: Notice, source: str | None = None) -> Rendered:
        """The text by the templates in force, or by those in ``source``."""
        values = self._values(notice)
        if source is None:
            return self._renderer.render(notice.kind, notice.language, values)
        return self._renderer.render_source(source, notice.language, values)

    def _customer(self, notice: Notice) -> dict[str, str]:
        if notice.contract == OPERATORS:
            return {}
        return dict(self._db.read(lambda tx: tx.documents.customer_at(notice.contract, notice.customer)))

    def _values(self, notice: Notice) -> dict[str, Any]:
        customer = self._customer(notice)
        return {
            **notice.params,
            "notice": notice.id,
            "contract": "" if notice.contract == OPERATORS else notice.contract,
            "customer": one_line(customer.get("name", "")),
            "contact": one_line(customer.get("contact", "")),
            "sender": self.settings.sender_name or self.settings.sender,
            "signature": self.settings.signature,
            "board_url": self.settings.board_url,
        }

    def _mail(
        self, notice: Notice, recipient: str, text: Rendered, token: str, attached: Sequence[Attachment]
    ) -> Letter:
        settings = self.settings
        message = EmailMessage(policy.SMTP)
        message["From"] = _address(settings.sender_name, settings.sender)
        message["To"] = Address(addr_spec=recipient) if recipient.isascii() else recipient
        if settings.reply_to:
            message["Reply-To"] = Address(addr_spec=settings.reply_to)
        message["Subject"] = one_line(text.subject)
        message["Date"] = datetime.fromtimestamp(_queued_at(notice) // 1000, UTC)
        message["Message-ID"] = message_id(notice, settings.sender, token)
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence answers it
        message[NUMBER_HEADER] = notice.id
        body = text.body.replace("\r\n", "\n").replace("\r", "\n")
        message.set_content(body, charset="utf-8", cte="base64" if not body.isascii() else "quoted-printable")
        for one in attached:
            kind, _, subtype = one.content_type.partition("/")
            message.add_attachment(one.content, maintype=kind, subtype=subtype, filename=one.name)
        if attached:
            message.set_boundary(f"=_{token}.{notice.round}")  # the same at every try
        message["Content-Language"] = notice.language  # after the content, which begins with none
        return Letter(recipient, message, text, hashlib.sha256(f"{text.subject}\n\n{body}".encode()).hexdigest())


def _queued_at(notice: Notice) -> int:
    """When it was queued last: the date of the mail, whenever a server takes it."""
    return max(at for kind, at in notice.history if kind in ("notice.queued", "notice.requeued"))


def message_id(notice: Notice, sender: str, token: str) -> str:
    """The same at every try, so that a mail that was taken twice is one; another when it is sent anew on purpose."""
    number = notice.id if notice.round == 1 else f"{notice.id}.{notice.round}"
    domain = sender.rpartition("@")[2] or "kurado.invalid"
    return f"<{re.sub('[^A-Za-z0-9.-]', '_', number)}.{token}@{domain}>"


def _address(name: str, address: str) -> Address:
    return Address(display_name=one_line(name), addr_spec=address)
