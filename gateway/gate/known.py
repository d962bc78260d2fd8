"""The head of the last request on a line: clients of a kept connection send nearly the same fields again and again, and
what was read out of them once need not be read again. Only the request line and lines that were not there before are
looked at, and only those of the plainest form; everything else is the parser's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, cast

from aiohttp.http import RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.exchange import Headers, Notes
from gateway.gate.framing import MAX_HEADERS, MAX_REQUEST_LINE, METHODS, Target

_END = b"\r\n\r\n"
_MOST = 4096  # bytes of fields that are kept for a connection
_LINE = re.compile(
    rb"([A-Z]+) "
    rb"(/(?:[\x21\x22\x24\x26-\x3e\x40-\x7e]|%[0-9A-Fa-f]{2})*)"
    rb"(?:\?((?:[\x21\x22\x24\x26-\x7e]|%[0-9A-Fa-f]{2})*))?"
    rb" HTTP/1\.1"
)
_FIELD = re.compile(rb"([!#$%&'*+.^`|~0-9A-Za-z-]+): ?([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")
_FRAMING = frozenset(
    b"host content-length transfer-encoding expect connection upgrade keep-alive te trailer content-encoding "
    b"proxy-connection http2-settings".split()
)
"""Fields that say where a message ends, what comes after it, or whom it is for: another one of these is never plain."""
_NOTED = frozenset({b"authorization", b"x-forwarded-for", b"x-forwarded-proto"})
"""Fields that ``Notes`` are about."""


class Asked(NamedTuple):
    """A head that is in order: what it asks, its fields, what is known of them. ``persists``: whether the client keeps
    the connection. ``body`` is the whole body, where it came with the head."""

    target: Target
    headers: Headers
    notes: Notes
    http_1_0: bool
    persists: bool
    body: bytes | None = None


def asked_by(message: RawRequestMessage, target: Target) -> Asked:
    headers = cast(Headers, message.headers)
    return Asked(target, headers, Notes(), message.version == (1, 0), not (message.should_close or message.upgrade))


class KnownHead:
    """The line and the fields of a request. A body, if any, has the same length each time."""

    __slots__ = ("_fields", "_framing", "_headers", "_line", "_lines", "_noted", "_notes", "_target")

    def __init__(self, line: bytes, fields: bytes, asked: Asked, lines: Mapping[bytes, tuple[str, str]]) -> None:
        self._line = line
        self._target = asked.target
        self._headers = asked.headers
        self._notes = asked.notes
        self._fields = fields
        self._lines = lines
        self._framing = frozenset(_named(_FRAMING, lines))
        self._noted = _named(_NOTED, lines)

    def again(self, data: bytes) -> Asked | None:
        """The request, if ``data`` is a whole one like this; else None."""
        end = data.find(b"\r\n")
        same = data.startswith(self._fields, end)
        body_at = end + len(self._fields) if same else data.find(_END, end) + len(_END)
        if (
            end <= 0
            or body_at + (self._target.length or 0) != len(data)
            or not (same or self._learn(data[end:body_at]))
        ):
            return None
        line = data[:end]
        if line != self._line:
            target = self._read(line)
            if target is None:
                return None
            self._line, self._target = line, target
        return Asked(self._target, self._headers, self._notes, False, True, data[body_at:])

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

    def _learn(self, fields: bytes) -> bool:
        """Takes these fields for the known ones, if they frame the message in the same way and are plain."""
        lines = fields[len(b"\r\n") : -len(_END)].split(b"\r\n")
        if len(lines) > MAX_HEADERS or len(fields) > _MOST:
            return False
        known, pairs = self._lines, []
        framing = 0
        for line in lines:
            pair = known.get(line)
            framing += line in self._framing
            if pair is None:
                words = _FIELD.fullmatch(line)
                if words is None or words[1].lower() in _FRAMING:
                    return False
                pair = (words[1].decode(), words[2].decode())
            pairs.append(pair)
        found = dict(zip(lines, pairs, strict=True))
        if framing != len(self._framing) or not self._framing <= found.keys():
            return False
        noted = _named(_NOTED, lines)
        if noted != self._noted:
            self._notes, self._noted = Notes(), noted
        self._fields, self._lines = fields, found
        self._headers = cast(Headers, CIMultiDictProxy(CIMultiDict(pairs)))
        return True


def _named(names: frozenset[bytes], lines: Iterable[bytes]) -> list[bytes]:
    return [line for line in lines if line.partition(b":")[0].lower() in names]


def whole_head(data: bytes, message: RawRequestMessage, asked: Asked) -> KnownHead | None:
    """What is to be known of a request whose whole head came at the beginning of ``data``; None where it does more than
    ask: another protocol, a body that is held back or of no known length."""
    target = asked.target
    if asked.http_1_0 or not asked.persists or target.expects or target.length is None:
        return None
    end = data.find(b"\r\n")
    fields_end = data.find(_END)
    fields = data[end : fields_end + len(_END)]
    if end <= 0 or fields_end < 0 or len(fields) > _MOST or fields.count(b"\n") != fields.count(b"\r\n"):
        return None
    lines = fields[len(b"\r\n") : -len(_END)].split(b"\r\n")
    pairs = list(message.headers.items())
    if len(lines) != len(pairs) or len(set(lines)) != len(lines):
        return None
    return KnownHead(data[:end], fields, asked, dict(zip(lines, pairs, strict=True)))
