"""Delivery reports (RFC 3464) about notices: read strictly enough that a forged one names a notice, and no more."""

from __future__ import annotations

import email
import re
from email import policy
from email.message import EmailMessage, Message
from email.utils import parsedate_to_datetime

from gateway.domain.notice import Report
from gateway.service.notices.letters import NUMBER_HEADER

_NUMBER = re.compile(r"[A-Za-z0-9._@-]{1,200}")


def read_report(raw: bytes) -> Report | None:
    """What a report says about a notice of ours; None when it is no report, or about none."""
    message = email.message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    status = next((part for part in message.walk() if part.get_content_type() == "message/delivery-status"), None)
    original = _original(message)
    if status is None or original is None:
        return None
    number = str(original.get(NUMBER_HEADER, "")).strip()
    if not _NUMBER.fullmatch(number):
        return None
    fields = _recipient(status)
    action = fields.get("action", "").lower()
    if action not in ("failed", "delivered", "delayed", "relayed", "expanded"):
        return None
    words = " ".join(filter(None, (fields.get("status", ""), fields.get("diagnostic-code", ""))))
    return Report(number, str(original.get("Message-ID", "")).strip(), action, words[:300], _date(message))


def _original(message: EmailMessage) -> EmailMessage | None:
    """The returned mail, or its headers only (RFC 6522)."""
    for part in message.walk():
        kind = part.get_content_type()
        if kind == "message/rfc822":
            payload = part.get_payload()
            inner = payload[0] if isinstance(payload, list) and payload else None
            return inner if isinstance(inner, EmailMessage) else None
        if kind == "text/rfc822-headers":
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            found = email.message_from_bytes(content, policy=policy.default)
            return found if isinstance(found, EmailMessage) else None
    return None


def _recipient(status: EmailMessage) -> dict[str, str]:
    """The fields of the first recipient: a notice has one."""
    payload = status.get_payload()
    if not isinstance(payload, list):
        return {}
    for block in payload:
        if not isinstance(block, Message):
            continue
        found = {str(key).lower(): " ".join(str(value).split()) for key, value in block.items()}
        if "action" in found:
            return found
    return {}


def _date(message: EmailMessage) -> int | None:
    try:
        return int(parsedate_to_datetime(str(message.get("Date", ""))).timestamp() * 1000)
    except (ValueError, TypeError, OverflowError):
        return None
