"""One S3 request as its handlers see it, and what they need to answer it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, TypeVar

from gateway.domain.errors import InvalidName, KuradoError
from gateway.domain.names import Path, check_path
from gateway.domain.tenant import Caller
from gateway.exchange import Exchange
from gateway.s3.errors import S3Fault, invalid
from gateway.s3.payload import Payload
from gateway.service.objects import Key
from gateway.service.services import Services

T = TypeVar("T")
MAX_KEY_BYTES = 1024


def _pool(name: str, threads: int = 32) -> Callable[[], Executor]:
    return lambda: ThreadPoolExecutor(threads, thread_name_prefix=name)


@dataclass(frozen=True)
class S3Settings:
    """``region`` is what clients must sign for; ``BUCKET.domain`` names a bucket, "" is path style only.

    ``uploads`` and ``work`` are the threads in which everything runs that can block: apart, so that slow scans of
    uploads cannot keep listings waiting.
    """

    region: str = "us-east-1"
    domain: str = ""
    uploads: Executor = field(default_factory=_pool("s3-upload"))
    work: Executor = field(default_factory=_pool("s3"))


class Account(Protocol):
    """What the gate books and logs of a request (``gate/accounting.py``)."""

    caller: Caller | None
    path: Path
    request_class: str | None


@dataclass(slots=True)
class S3Request:
    """``bucket`` and ``key`` are decoded, "" where the request names none; ``query`` holds the last value of a name."""

    exchange: Exchange
    caller: Caller
    bucket: str
    key: str
    query: Mapping[str, str]
    payload: Payload
    services: Services
    settings: S3Settings
    record: Callable[[Caller, Path, KuradoError], Awaitable[None]]

    async def note(self, path: Path, error: KuradoError) -> None:
        """Records what was refused by rule within a request that goes on (invariant I6)."""
        await self.record(self.caller, path, error)

    def header(self, name: str) -> str | None:
        return self.exchange.headers.get(name)

    @property
    def object(self) -> Key:
        """Where the key leads. Raises InvalidName with the reason for one that cannot live in the tree."""
        return parse_key(self.bucket, self.key)

    @property
    def path(self) -> Path:
        """For records and hooks."""
        return path_of(self.bucket, self.key)

    def number(self, name: str, default: int, high: int) -> int:
        """A parameter that is a number from 0; more than ``high`` is ``high``. Raises InvalidArgument."""
        text = self.query.get(name)
        if text is None or text == "":
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > 2**31 - 1:
            raise invalid(f"{name} is no integer between 0 and 2147483647", name, text)
        return min(int(text), high)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Runs what may block: writes, hooks, long reads."""
        return await asyncio.get_running_loop().run_in_executor(self.settings.work, work)

    async def read(self, work: Callable[[], T]) -> T:
        """Runs a short read of metadata: in the loop where the database is a file beside us (DESIGN section 8)."""
        return work() if self.services.db.is_local else await self.in_thread(work)


def path_of(bucket: str, key: str) -> Path:
    """The path of a key; as good as it can be told for one that cannot live in the tree."""
    return (bucket, *[part for part in key.split("/") if part]) if bucket else ()


@lru_cache(maxsize=4096)
def parse_key(bucket: str, key: str) -> Key:
    """Where a key leads. Keys are kept byte for byte or refused with the reason, never changed (CLIENTS 37)."""
    if len(key.encode("utf-8", "surrogateescape")) > MAX_KEY_BYTES:
        raise S3Fault(400, "KeyTooLongError", f"Your key is too long; {MAX_KEY_BYTES} bytes are allowed")
    is_folder = key.endswith("/")
    names = key.removesuffix("/").split("/")
    for name in names:
        if name in ("", ".", ".."):
            raise InvalidName(
                f"the key {key!r} holds the segment {name!r}: buckets are folders too, and no folder can hold this name"
            )
    return Key(check_path((bucket, *names)), is_folder)
