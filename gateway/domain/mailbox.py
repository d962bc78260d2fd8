"""Mail addresses and lines of mail headers, such that nothing in them can begin another header or command."""

from __future__ import annotations

import re

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+"
_ALNUM = r"[A-Za-z0-9\u0080-\U0010ffff]"
_LABEL = rf"{_ALNUM}(?:(?:{_ALNUM}|-)*{_ALNUM})?"
_ADDRESS = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*@{_LABEL}(?:\.{_LABEL})*")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class BadAddress(ValueError):
    """No mail can go to this address."""


def parse_mailbox(address: str) -> str:
    """A bare ``local@domain``; domains that are not ASCII become IDNA. BadAddress, also for anything that could begin
    another header or another command of SMTP."""
    address = address.strip()
    if len(address) > 254 or _CONTROLS.search(address) or not _ADDRESS.fullmatch(address):
        raise BadAddress(f"{address!r} is no mail address")
    local, _, domain = address.rpartition("@")
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode()
        except UnicodeError:
            raise BadAddress(f"{address!r} has a domain that cannot be written") from None
    return f"{local}@{domain}"


def one_line(text: str) -> str:
    """Text for a header or one line of a text: no line breaks, no control characters."""
    return _CONTROLS.sub(" ", text).strip()
