"""Drives an upload from an event loop: the body is read there, everything that can block runs in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

from gateway.domain.ids import SMALL_BYTES
from gateway.exchange import Body
from gateway.service.incoming import Incoming

T = TypeVar("T")
_FEED = 1024 * 1024  # one hop to a thread for each MiB, not for each packet


async def receive(open_upload: Callable[[], Incoming[T]], body: Body, executor: Executor) -> T:
    """Admits an upload, feeds it the body and commits it; raises what ``open_upload``, ``feed`` and ``finish`` do,
    and IncompleteBody when the line is cut.
    """
    if body.length is not None and body.length <= SMALL_BYTES and (content := body.take()) is not None:
        return await _receive_whole(open_upload, content, executor)
    return await _receive_blocks(open_upload, body, executor)


async def _receive_whole(open_upload: Callable[[], Incoming[T]], content: bytes, executor: Executor) -> T:
    """One turn of a thread, and the commit is waited for without one. A cancelled request changes nothing: the upload
    ends by itself."""
    committed: Future[T] = Future()

    def work() -> None:
        try:
            open_upload().finish_with(content).add_done_callback(lambda done: _pass_on(done, committed))
        except BaseException as error:
            committed.set_exception(error)

    executor.submit(work)
    return await asyncio.shield(asyncio.wrap_future(committed))


def _pass_on(done: Future[T], to: Future[T]) -> None:
    error = done.exception()
    if error is not None:
        to.set_exception(error)
    else:
        to.set_result(done.result())


async def _receive_blocks(open_upload: Callable[[], Incoming[T]], body: Body, executor: Executor) -> T:
    """At most two blocks of a MiB are in memory: while one is written and inspected, the next is received."""
    loop = asyncio.get_running_loop()
    opening = loop.run_in_executor(executor, open_upload)
    try:
        upload = await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.wait([opening])
        if not opening.cancelled() and not opening.exception():
            await asyncio.shield(loop.run_in_executor(executor, opening.result().abort))
        raise
    writing: asyncio.Future[Any] | None = None
    waiting: list[bytes] = []
    size = 0
    try:
        async for block in body.blocks():
            waiting.append(block)
            size += len(block)
            if size >= _FEED:
                if writing:
                    await asyncio.shield(writing)
                writing = loop.run_in_executor(executor, upload.feed, b"".join(waiting))
                waiting, size = [], 0
        if writing:
            await asyncio.shield(writing)
        writing = ending = loop.run_in_executor(executor, _end, upload, b"".join(waiting))
        return await asyncio.shield(ending)
    except BaseException:
        # a cancelled request must not leave a thread writing to a closed file, whose number may be another's by then
        # (shield: to cancel a future does not stop its thread, and then nobody could wait for it)
        if writing is not None:
            await asyncio.wait([writing])
            writing.cancelled() or writing.exception()
        await asyncio.shield(loop.run_in_executor(executor, upload.abort))
        raise


def _end(upload: Incoming[T], rest: bytes) -> T:
    upload.feed(rest)
    return upload.finish()
