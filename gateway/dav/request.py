"""One WebDAV request as its handlers see it, and what they need to answer it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.dav.conditions import parse_conditions
from gateway.domain.names import Path, href
from gateway.domain.tenant import Caller
from gateway.domain.upload import Conditions
from gateway.exchange import Exchange
from gateway.service.services import Services

T = TypeVar("T")
PREFIX = "/dav"


def _pool(name: str, threads: int = 32) -> Callable[[], Executor]:
    return lambda: ThreadPoolExecutor(threads, thread_name_prefix=name)


@dataclass(frozen=True)
class DavSettings:
    """``hostnames`` are names (with port where it is not the scheme's) by which clients may reach us besides the Host
    they send; ``tree_limit`` is the most nodes that PROPFIND with Depth: infinity answers.

    ``uploads`` and ``work`` are the threads in which everything runs that can block: apart, so that slow scans of
    uploads cannot keep listings waiting. Whole trees are read in ``trees``, few at a time: each takes megabytes.
    """

    hostnames: tuple[str, ...] = ()
    tree_limit: int = 10_000
    uploads: Executor = field(default_factory=_pool("upload"))
    work: Executor = field(default_factory=_pool("dav"))
    trees: Executor = field(default_factory=_pool("tree", 4))


@dataclass(slots=True)
class DavRequest:
    """``path`` is decoded and checked; ``slash`` tells whether the URL ended with one. Not frozen: that would cost each
    request a microsecond."""

    exchange: Exchange
    caller: Caller
    path: Path
    slash: bool
    services: Services
    settings: DavSettings

    @property
    def base(self) -> str:
        return f"{PREFIX}/{self.caller.tenant.name}"

    def href(self, path: Path, *, collection: bool = False) -> str:
        """The absolute path by which a client names a node of this space."""
        return self.base + href(path, collection=collection)

    def header(self, name: str) -> str | None:
        return self.exchange.headers.get(name)

    def conditions(self) -> Conditions:
        """All preconditions of the request. Raises BadRequest for an If header outside its grammar."""
        return parse_conditions(self.exchange, self.base, self.settings.hostnames)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Runs what may block: writes, hooks, long reads."""
        return await asyncio.get_running_loop().run_in_executor(self.settings.work, work)

    async def read(self, work: Callable[[], T]) -> T:
        """Runs a short read of metadata: in the loop where the database is a file beside us (DESIGN section 8)."""
        return work() if self.services.db.is_local else await self.in_thread(work)
