"""One HTTP request and its answer, apart from the server that carries them.

The gate makes an :class:`Exchange` of each request and sends the :class:`Reply`; the protocols (dav, s3) know nothing
of sockets, and the gate knows nothing of WebDAV.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, runtime_checkable


class Body(Protocol):
    """The body of a request. The first read sends ``100 Continue`` if the client waits for it."""

    length: int | None
    """Content-Length; None when chunked; 0 without a body."""

    def blocks(self) -> AsyncIterator[bytes]:
        """The body in pieces of at most 1 MiB. Raises IncompleteBody when the line is cut or a chunk is malformed."""

    def take(self) -> bytes | None:
        """The whole body, where all of it has come from the line already; None where not, and nothing was taken."""

    async def read(self, limit: int) -> bytes:
        """The whole body; raises TooLarge above ``limit`` bytes without reading on."""


@runtime_checkable
class Filling(Protocol):
    """Optional ability of a body: it comes into memory that is there already."""

    async def fill(self, buffer: memoryview) -> int:
        """Fills the buffer as far as the body goes, and tells how far: less than to its end only where the body ends.
        Raises as ``blocks`` does."""


class Headers(Protocol):
    """Header fields, names in any case."""

    def get(self, name: str, default: str | None = None) -> str | None: ...
    def getall(self, name: str, default: list[str] = ...) -> list[str]: ...
    def __contains__(self, name: object) -> bool: ...
    def keys(self) -> Iterable[str]:
        """Each name as often as it was sent."""


class Origin(NamedTuple):
    """Where a request comes from: the client's address and scheme, and whether a password may come this way."""

    remote: str
    scheme: str
    is_secure: bool


class Login(NamedTuple):
    """A login that was right: for which tenant (None: whichever it is), and the digest by which it is remembered."""

    tenant: str | None
    digest: bytes


class Notes:
    """What was found out about the header fields of a request: one object as long as a connection sends the same
    ones."""

    __slots__ = ("login", "origin")

    def __init__(self) -> None:
        self.origin: Origin | None = None
        self.login: Login | None = None


@dataclass(slots=True)
class Exchange:
    """``raw_path`` is the path as sent, still percent-encoded, without query; ``scheme`` and ``host`` as the client
    sees them (a declared proxy's headers are taken in only if the proxy is trusted)."""

    method: str
    raw_path: str
    query: str
    headers: Headers
    body: Body
    request_id: str
    remote: str
    scheme: str
    host: str
    notes: Notes = field(default_factory=Notes)


@dataclass(slots=True)
class FileBody:
    """Content of a blob. ``slices`` are (text before, start, length): one for a plain or single-range answer, several
    for multipart/byteranges; ``tail`` closes the latter. ``local`` is a file for sendfile, else ``open`` streams."""

    slices: Sequence[tuple[bytes, int, int]]
    open: Callable[[int, int], BinaryIO]
    local: Path | None = None
    tail: bytes = b""

    @property
    def length(self) -> int:
        return sum(len(before) + length for before, _, length in self.slices) + len(self.tail)


@dataclass(slots=True)
class Reply:
    """An answer. The gate adds Date, Content-Length (or chunked for an iterator), X-Request-Id and
    X-Content-Type-Options; ``close`` ends the connection after it; ``is_live``: the blocks of an iterator go out as
    they come, and are not gathered first."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | AsyncIterator[bytes] | FileBody = b""
    close: bool = False
    is_live: bool = False
