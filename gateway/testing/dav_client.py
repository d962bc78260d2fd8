"""Speaks WebDAV to a DavApp in the same process: everything but the socket is real."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

from multidict import CIMultiDict

from gateway.dav.app import DavApp
from gateway.dav.request import DavSettings
from gateway.domain.errors import IncompleteBody, InvalidName, TooLarge
from gateway.domain.names import parse_path
from gateway.domain.tenant import Caller
from gateway.exchange import Body, Exchange, FileBody, Headers, Reply
from gateway.testing.space import Space, open_space

HOST = "files.example"
_numbers = itertools.count(1)


class FakeBody:
    """A request body as the gate gives it; ``cut`` after so many bytes."""

    def __init__(self, content: bytes, *, chunked: bool = False, block: int = 65536, cut: int | None = None) -> None:
        self.length = None if chunked else len(content)
        self.taken = 0
        self._content = content
        self._block = block
        self._cut = cut

    def take(self) -> bytes | None:
        return None

    async def blocks(self) -> AsyncIterator[bytes]:
        content = self._content if self._cut is None else self._content[: self._cut]
        for start in range(0, len(content), self._block):
            block = content[start : start + self._block]
            self.taken += len(block)
            yield block
            await asyncio.sleep(0)
        if self._cut is not None:
            raise IncompleteBody("the line was cut")

    async def read(self, limit: int) -> bytes:
        if self.length is not None and self.length > limit:
            raise TooLarge(f"the body may have at most {limit} bytes here")
        return b"".join([block async for block in self.blocks()])


@dataclass
class Answer:
    """A reply read to its end."""

    status: int
    headers: CIMultiDict[str]
    body: bytes
    close: bool = False

    @property
    def xml(self) -> ElementTree.Element:
        return ElementTree.fromstring(self.body)

    def hrefs(self) -> list[str]:
        return [one.text or "" for one in self.xml.findall("{DAV:}response/{DAV:}href")]

    def condition(self) -> str:
        """The first element of DAV:error, in Clark notation."""
        return next(iter(self.xml)).tag

    def fact(self, name: str) -> str | None:
        """An element of our own namespace in DAV:error."""
        return self.xml.findtext(f"{{urn:kurado}}{name}")

    def props(self, href: str | None = None) -> dict[str, ElementTree.Element]:
        """Properties answered with 200 for one href (or the only one), by Clark name."""
        return self._props("200", href)

    def missing(self, href: str | None = None) -> dict[str, ElementTree.Element]:
        return self._props("404", href)

    def _props(self, status: str, href: str | None) -> dict[str, ElementTree.Element]:
        found: dict[str, ElementTree.Element] = {}
        for response in self.xml.findall("{DAV:}response"):
            if href is not None and response.findtext("{DAV:}href") != href:
                continue
            for stat in response.findall("{DAV:}propstat"):
                if f" {status} " in (stat.findtext("{DAV:}status") or ""):
                    found.update({one.tag: one for prop in stat.findall("{DAV:}prop") for one in prop})
        return found

    def statuses(self) -> dict[str, int]:
        """href → status of a 207 that reports on members."""
        return {
            one.findtext("{DAV:}href") or "": int((one.findtext("{DAV:}status") or "HTTP/1.1 0").split()[1])
            for one in self.xml.findall("{DAV:}response")
        }

    def prop_statuses(self) -> dict[str, int]:
        """Property → status, over all propstats."""
        return {
            one.tag: int((stat.findtext("{DAV:}status") or "").split()[1])
            for stat in self.xml.iter("{DAV:}propstat")
            for prop in stat.findall("{DAV:}prop")
            for one in prop
        }

    @property
    def token(self) -> str:
        return self.headers["Lock-Token"].strip("<>")


@dataclass
class DavClient:
    """Sends requests as one caller. Paths are given as a client writes them: percent-encoded, below the space."""

    space: Space
    app: DavApp
    loop: asyncio.AbstractEventLoop
    caller: Caller
    scheme: str = "http"
    host: str = HOST
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def base(self) -> str:
        return f"/dav/{self.caller.tenant.name}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}{self.base}"

    def as_caller(self, caller: Caller) -> DavClient:
        return replace(self, caller=caller)

    def send(
        self,
        method: str,
        path: str = "/",
        body: bytes | str | FakeBody = b"",
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        /,
        **named: str,
    ) -> Answer:
        """``named`` headers are written with underscores: ``Lock_Token="<...>"``."""
        exchange = self.exchange(method, self.base + path, body, headers, named)
        caller = replace(self.caller, verb=method, request_id=exchange.request_id)

        async def run() -> Answer:
            try:
                decoded = parse_path(path)
            except InvalidName as error:
                return await _read(await self.app.refuse(exchange, caller, (), error))
            reply = await self.app.handle(exchange, caller, decoded, path.endswith("/"))
            return await _read(reply, head=method == "HEAD")

        return self.loop.run_until_complete(run())

    def root(self, method: str, path: str = "/", body: bytes = b"", /, *, login: bool = True, **named: str) -> Answer:
        exchange = self.exchange(method, path, body, (), named)

        async def run() -> Answer:
            reply = await self.app.handle_root(exchange, self.caller if login else None)
            return await _read(reply, head=method == "HEAD")

        return self.loop.run_until_complete(run())

    def exchange(
        self,
        method: str,
        raw_path: str,
        body: bytes | str | FakeBody,
        headers: Mapping[str, str] | Sequence[tuple[str, str]],
        named: Mapping[str, str],
    ) -> Exchange:
        fields: CIMultiDict[str] = CIMultiDict(self.headers)
        fields.extend(headers)
        fields.extend({name.replace("_", "-"): value for name, value in named.items()})
        content: Body = (
            body if isinstance(body, FakeBody) else FakeBody(body if isinstance(body, bytes) else body.encode())
        )
        number = f"{next(_numbers):016x}"
        sent = cast(Headers, fields)
        return Exchange(method, raw_path, "", sent, content, number, "127.0.0.1", self.scheme, self.host)

    def forward(self, seconds: float) -> None:
        """Moves the clock, as if the gate had lived through the time: its lease goes with it."""
        self.space.clock.forward(seconds)
        self.space.deployment.leases.renew()

    # -- shortcuts ----------------------------------------------------------------------------------------------------

    def put(self, path: str, body: bytes | FakeBody = b"", /, **named: str) -> Answer:
        return self.send("PUT", path, body, **named)

    def get(self, path: str, /, **named: str) -> Answer:
        return self.send("GET", path, **named)

    def mkcol(self, path: str, /, **named: str) -> Answer:
        return self.send("MKCOL", path, **named)

    def move(self, path: str, destination: str, /, **named: str) -> Answer:
        return self.send("MOVE", path, Destination=self.url + destination, **named)

    def copy(self, path: str, destination: str, /, **named: str) -> Answer:
        return self.send("COPY", path, Destination=self.url + destination, **named)

    def delete(self, path: str, /, **named: str) -> Answer:
        return self.send("DELETE", path, **named)

    def propfind(self, path: str = "/", depth: str = "0", *names: str) -> Answer:
        """allprop, or the named properties (``D:getetag``, ``Z:Win32...``)."""
        body = propfind_body(*names) if names else b""
        return self.send("PROPFIND", path, body, Depth=depth)

    def proppatch(self, path: str, inner: str, /, **named: str) -> Answer:
        return self.send("PROPPATCH", path, proppatch_body(inner), **named)

    def lock(self, path: str, scope: str = "exclusive", owner: str = "<D:href>ann</D:href>", /, **named: str) -> Answer:
        return self.send("LOCK", path, lock_body(scope, owner), **named)


_NAMESPACES = 'xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:" xmlns:K="urn:kurado" xmlns:X="urn:x"'


def propfind_body(*names: str) -> bytes:
    inner = "".join(f"<{name}/>" for name in names)
    return f"<D:propfind {_NAMESPACES}><D:prop>{inner}</D:prop></D:propfind>".encode()


def proppatch_body(inner: str) -> bytes:
    return f'<?xml version="1.0"?><D:propertyupdate {_NAMESPACES}>{inner}</D:propertyupdate>'.encode()


def lock_body(scope: str = "exclusive", owner: str = "") -> bytes:
    return (
        f'<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:{scope}/></D:lockscope>'
        f"<D:locktype><D:write/></D:locktype><D:owner>{owner}</D:owner></D:lockinfo>"
    ).encode()


async def _read(reply: Reply, *, head: bool = False) -> Answer:
    body = reply.body
    if isinstance(body, bytes):
        content = body
    elif isinstance(body, FileBody):
        content = await asyncio.get_running_loop().run_in_executor(None, _read_file, body)
    else:
        content = b"".join([part async for part in body])
    headers = CIMultiDict(reply.headers)
    if head:
        if isinstance(body, bytes | FileBody):
            headers["Content-Length"] = str(len(content))
        content = b""
    return Answer(reply.status, headers, content, reply.close)


def _read_file(body: FileBody) -> bytes:
    parts: list[bytes] = []
    for before, start, length in body.slices:
        parts.append(before)
        if length:
            with body.open(start, length) as stream:
                parts.append(stream.read())
    return b"".join([*parts, body.tail])


@contextmanager
def open_dav(folder: Path, *, settings: Callable[[], DavSettings] = DavSettings, **options: Any) -> Iterator[DavClient]:
    """A space (``open_space``'s options) with a DavApp over it."""
    with open_space(folder, **options) as space:
        chosen = settings()
        loop = asyncio.new_event_loop()
        try:
            yield DavClient(space, DavApp(space.services, chosen), loop, space.caller)
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
            chosen.uploads.shutdown()
            chosen.work.shutdown()
