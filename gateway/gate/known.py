"""The head of the last request on a line: clients of a kept connection send the same fields again and again, and what
was read out of them once need not be read again. Only the request line is then looked at, and that one the fields are
the same to the byte; everything else is the parser's."""

from __future__ import annotations

import re

from aiohttp.http import RawRequestMessage

from gateway.exchange import Notes
from gateway.gate.framing import MAX_REQUEST_LINE, METHODS, Target

_END = b"\r\n\r\n"
_MOST = 4096  # bytes of fields that are kept for a connection
_LINE = re.compile(
    rb"([A-Z]+) "
    rb"(/(?:[\x21\x22\x24\x26-\x3e\x40-\x7e]|%[0-9A-Fa-f]{2})*)"
    rb"(?:\?((?:[\x21\x22\x24\x26-\x7e]|%[0-9A-Fa-f]{2})*))?"
    rb" HTTP/1\.1"
)
"""What ``framing.check`` takes for a path and a query, without the forms that need a second look."""


class KnownHead:
    """``message`` and ``notes`` belong to every request with these fields; a body, if any, has ``length`` bytes."""

    __slots__ = ("_fields", "_line", "_target", "length", "message", "notes")

    def __init__(self, line: bytes, fields: bytes, message: RawRequestMessage, target: Target, notes: Notes) -> None:
        self._line = line
        self._fields = fields
        self._target = target
        self.length = target.length or 0
        self.message = message
        self.notes = notes

    def again(self, data: bytes) -> tuple[Target, bytes] | None:
        """Target and body, if ``data`` is one whole request with these fields; else None."""
        end = data.find(b"\r\n")
        body_at = end + len(self._fields)
        if end < 0 or body_at + self.length != len(data) or not data.startswith(self._fields, end):
            return None
        line = data[:end]
        if line != self._line:
            target = self._read(line)
            if target is None:
                return None
            self._line, self._target = line, target
        return self._target, data[body_at:]

    def _read(self, line: bytes) -> Target | None:
        words = _LINE.fullmatch(line) if len(line) <= MAX_REQUEST_LINE else None
        if words is None:
            return None
        method = words[1].decode()
        if method not in METHODS:
            return None
        known = self._target
        query = (words[3] or b"").decode()
        return Target(method, words[2].decode(), query, known.host, known.length, known.expects)


def whole_head(data: bytes, message: RawRequestMessage, target: Target, notes: Notes) -> KnownHead | None:
    """What is to be known of a request whose whole head came at the beginning of ``data``; None where it does more than
    ask: another protocol, a body that is held back or of no known length."""
    if message.version != (1, 1) or message.upgrade or message.should_close or target.expects or target.length is None:
        return None
    end = data.find(b"\r\n")
    fields_end = data.find(_END)
    fields = data[end : fields_end + len(_END)]
    if end <= 0 or fields_end < 0 or len(fields) > _MOST or fields.count(b"\n") != fields.count(b"\r\n"):
        return None
    return KnownHead(data[:end], fields, message, target, notes)
