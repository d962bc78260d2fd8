"""Digests of large blocks beside each other and beside the disk: hashlib lets other threads run meanwhile, and one core
that does SHA-256 and MD5 after each other takes no more than 500 MB a second, even before it waits for a write."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import Protocol

APART = 256 * 1024
"""From so many bytes on a thread of its own is worth its switch."""


Block = bytes | memoryview


class Digest(Protocol):
    def update(self, block: Block, /) -> None: ...
    def hexdigest(self) -> str: ...


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(16, thread_name_prefix="digest")


@contextmanager
def digesting(digests: Collection[Digest], block: Block) -> Iterator[None]:
    """Updates the digests with the block, while the body of the ``with`` does what else there is to do with it."""
    if len(block) < APART:
        for digest in digests:
            digest.update(block)
        yield
        return
    running = [_threads().submit(digest.update, block) for digest in digests]
    try:
        yield
    finally:
        wait(running)
