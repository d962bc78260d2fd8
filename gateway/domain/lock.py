"""WebDAV locks and the If header (RFC 4918 sections 6, 7 and 10.4), without storage and without a clock."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.domain.errors import BadRequest

MIN_TIMEOUT = 600  # seconds; macOS refreshes at half of what it asked for and asks for 600 (CLIENTS 11)
DEFAULT_TIMEOUT = 3600
MAX_TIMEOUT = 86_400


class Scope(StrEnum):
    EXCLUSIVE = "exclusive"
    SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Lock:
    """A write lock on a node. ``root`` is the path by which it was taken (segments); times in ms UTC.

    ``owner`` is the XML inside DAV:owner as the client sent it; ``timeout`` is what was granted, in seconds.
    """

    token: str
    tenant_id: int
    node_id: int
    user_id: int
    scope: Scope
    infinite: bool
    owner: str
    timeout: int
    expires_at: int
    root: tuple[str, ...] = ()

    def is_live(self, now: int) -> bool:
        return self.expires_at > now

    def conflicts_with(self, scope: Scope) -> bool:
        return Scope.EXCLUSIVE in (self.scope, scope)


def new_token() -> str:
    """A lock token: unguessable, so that knowing it is a proof of having seen it (RFC 4918 section 6.5)."""
    return f"opaquelocktoken:{uuid.UUID(bytes=secrets.token_bytes(16), version=4)}"


def grant_timeout(wanted: int | None) -> int:
    """Seconds granted for a Timeout header that asked for ``wanted`` (None: absent or Infinite)."""
    if wanted is None:
        return DEFAULT_TIMEOUT
    return max(MIN_TIMEOUT, min(MAX_TIMEOUT, wanted))


def parse_timeout(header: str | None) -> int | None:
    """The first usable value of a Timeout header, in seconds; None for absent, Infinite and unreadable ones."""
    for part in (header or "").split(","):
        match = re.fullmatch(r"\s*second-(\d{1,18})\s*", part, re.IGNORECASE)
        if match:
            return int(match[1])
        if part.strip().lower() == "infinite":
            return None
    return None


# -- the If header ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Condition:
    """One state token or entity tag (with its quotes), perhaps under Not."""

    negated: bool
    token: str | None
    etag: str | None


@dataclass(frozen=True, slots=True)
class ConditionList:
    """Conditions that must all hold for one resource; ``tag`` is the raw URL of a tagged list, None if untagged."""

    tag: str | None
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class IfHeader:
    """Lists of which at least one must hold."""

    lists: tuple[ConditionList, ...]

    @property
    def tokens(self) -> frozenset[str]:
        """All state tokens named without Not: the tokens that the client submits (RFC 4918 section 10.4.1)."""
        return frozenset(c.token for one in self.lists for c in one.conditions if c.token is not None and not c.negated)


_ITEM = re.compile(
    r"""\s*(?:(?P<open>\()|(?P<close>\))|(?P<not>Not(?=[\s<\[]))|<(?P<coded>[^<>\x00-\x20]*)>
    |\[\s*(?P<etag>(?:W/)?"[^"]*")\s*\])\s*""",
    re.VERBOSE | re.IGNORECASE,
)


def parse_if(header: str) -> IfHeader:
    """Reads an If header. Raises BadRequest for anything outside the grammar of RFC 4918 section 10.4.2."""
    lists: list[ConditionList] = []
    tag: str | None = None
    current: list[Condition] | None = None
    negated = tagged_empty = False
    position = 0
    while position < len(header):
        match = _ITEM.match(header, position)
        if match is None:
            raise BadRequest(f"the If header cannot be read at character {position + 1}")
        position = match.end()
        if current is None:
            if match["open"]:
                current, tagged_empty = [], False
            elif match["coded"] is not None and not tagged_empty and (not lists or lists[0].tag is not None):
                tag, tagged_empty = match["coded"], True
            else:
                raise BadRequest("the If header mixes tagged and untagged lists, or has something outside a list")
        elif match["close"] and current and not negated:
            lists.append(ConditionList(tag, tuple(current)))
            current = None
        elif match["not"] and not negated:
            negated = True
        elif match["coded"] is not None or match["etag"] is not None:
            current.append(Condition(negated, match["coded"], match["etag"]))
            negated = False
        else:
            raise BadRequest("the If header has an empty or malformed list")
    if current is not None or tagged_empty or not lists:
        raise BadRequest("the If header ends within a list")
    return IfHeader(tuple(lists))


class State(Protocol):
    """What is true of the resource that a list speaks about."""

    def etag(self) -> str | None:
        """Its entity tag with quotes, None if it has none or does not exist."""

    def tokens(self) -> Iterable[str]:
        """Tokens of all live locks in whose scope it lies."""


def holds(header: IfHeader, state_of: StateOf) -> bool:
    """Whether at least one list of the header is true."""
    return any(_list_holds(one.conditions, state_of(one.tag)) for one in header.lists)


class StateOf(Protocol):
    def __call__(self, tag: str | None) -> State | None:
        """The state of a tagged URL (None: the request's own); None for a URL that is not of this space."""


def _list_holds(conditions: Sequence[Condition], state: State | None) -> bool:
    etag = state.etag() if state else None
    tokens = set(state.tokens()) if state else set()
    for condition in conditions:
        if condition.token is not None:
            true = condition.token in tokens
        else:
            # strong comparison (RFC 9110 section 8.8.3.2): our tags are strong, a weak one never matches
            true = etag is not None and condition.etag == etag
        if true is condition.negated:
            return False
    return True
