"""What a client declares about a body before it sends it, what inspectors say, and the conditions of a request."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from gateway.domain.lock import IfHeader
    from gateway.domain.names import Path
    from gateway.domain.tenant import Caller


class Outcome(StrEnum):
    """``refuse`` stops the upload, ``hold`` commits it unreadable, ``mark`` commits it flagged."""

    CLEAN = "clean"
    MARK = "mark"
    HOLD = "hold"
    REFUSE = "refuse"


_OUTCOMES = frozenset(Outcome)
_SEVERITY = {Outcome.CLEAN: 0, Outcome.MARK: 1, Outcome.HOLD: 2, Outcome.REFUSE: 3}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one inspection says. ``policy`` is the plugin or rule id, ``reason`` a sentence for the client.

    ``error`` is the leaf of ``domain/errors.py`` to answer with when the outcome is refuse: "infected",
    "disallowed", "type-refused", "unscannable", "inspector-unavailable".
    """

    outcome: Outcome
    policy: str = ""
    clause: str = ""
    reason: str = ""
    error: str = "disallowed"
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def severity(self) -> int:
        return _SEVERITY[self.outcome]


CLEAN = Verdict(Outcome.CLEAN)


def reason_of(verdicts: Iterable[Verdict]) -> str:
    """What a version keeps of its verdicts: ``policy: reason`` of the gravest, then a line for each other policy that
    is not clean, its outcome in front (``hold no-gps: …``), so that whoever takes back one leaves the others."""
    gravest: dict[str, Verdict] = {}
    for one in sorted(verdicts, key=lambda one: -one.severity):
        if one.outcome is not Outcome.CLEAN:
            gravest.setdefault(one.policy, one)
    lines: list[str] = []
    for one in gravest.values():
        text = " ".join(f"{one.policy}: {one.reason}".split("\n"))
        lines.append(f"{one.outcome} {text}" if lines else text)
    return "\n".join(lines)


def verdicts_in(gravest: Outcome, reason: str) -> list[Verdict]:
    """The inverse of :func:`reason_of`, as far as it tells."""
    found: list[Verdict] = []
    for line in reason.split("\n"):
        outcome, text = gravest, line
        if found:
            word, _, text = line.partition(" ")
            if word not in _OUTCOMES:
                continue  # a sentence of several lines
            outcome = Outcome(word)
        policy, _, why = text.partition(": ")
        found.append(Verdict(outcome, policy, reason=why))
    return found


@dataclass(frozen=True, slots=True)
class Conditions:
    """The preconditions of a request (RFC 9110 section 13, RFC 4918 section 10.4), already parsed.

    ``if_match`` / ``if_none_match``: None = absent, ``("*",)`` or a tuple of entity tags with quotes. Dates in ms.
    """

    if_match: tuple[str, ...] | None = None
    if_none_match: tuple[str, ...] | None = None
    if_unmodified_since: int | None = None
    if_modified_since: int | None = None
    if_header: IfHeader | None = None


NO_CONDITIONS = Conditions()


@dataclass(frozen=True, slots=True)
class PropertyChange:
    """What a write does to the dead properties of a file: those whose names begin with one of ``drop`` go, ``put``
    come."""

    drop: tuple[str, ...] = ()
    put: Mapping[str, str] = field(default_factory=dict)

    def applied(self, before: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in before.items() if not name.startswith(self.drop)}
        return {**kept, **self.put}


@dataclass(frozen=True, slots=True)
class Declared:
    """What the head of a PUT says: ``length`` None when chunked; ``expected_length`` from X-Expected-Entity-Length;
    ``mtime`` in ms from X-OC-Mtime; ``digests`` algorithm → hex (sha-256, md5, sha-1).

    What S3 says besides: ``md5_etag`` makes the ETag the MD5 of the bytes, ``facts`` go to the version, ``properties``
    change the dead properties together with the content (None leaves them)."""

    length: int | None
    content_type: str = ""
    expected_length: int | None = None
    mtime: int | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    md5_etag: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)
    properties: PropertyChange | None = None

    @property
    def known_length(self) -> int | None:
        return self.length if self.length is not None else self.expected_length


@dataclass(frozen=True, slots=True)
class UploadInfo:
    """What plugins see of an upload. ``path`` holds decoded segments; ``replaces`` is the size of the old content."""

    caller: Caller
    path: Path
    declared: Declared
    replaces: int = 0

    @property
    def name(self) -> str:
        return self.path[-1] if self.path else ""


@dataclass(frozen=True, slots=True)
class StagedContent:
    """All bytes of an upload, not visible under any name. Plugins read them by ``open()``.

    ``place`` is a local file, or makes one of the bytes that are in memory, ``content``, or are to be had by
    ``stream``."""

    place: str | Callable[[], str]
    size: int
    sha256: str
    verdicts: tuple[Verdict, ...] = ()
    content: bytes | None = None
    stream: Callable[[], BinaryIO] | None = None

    @property
    def file_path(self) -> str:
        """A local file of the bytes, for programs that need one: many contents become a file only by this."""
        return self.place if isinstance(self.place, str) else self.place()

    def open(self) -> BinaryIO:
        """The bytes as a seekable stream, from their beginning."""
        if self.stream is not None:
            return self.stream()
        return io.BytesIO(self.content) if self.content is not None else FilePath(self.file_path).open("rb")
