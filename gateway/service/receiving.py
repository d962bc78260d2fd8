"""Drives an upload from an event loop: the body is read there, everything that can block runs in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

from gateway.domain.ids import SMALL_BYTES
from gateway.exchange import Body, Filling
from gateway.service import buffers
from gateway.service.incoming import Incoming

T = TypeVar("T")


def _never(content: bytes) -> bool:  # noqa: ARG001
    return False


async def receive(
    open_upload: Callable[[], Incoming[T]],
    body: Body,
    executor: Executor,
    at_once: Callable[[bytes], bool] = _never,
) -> T:
    """Admits an upload, feeds it the body and commits it; raises what ``open_upload``, ``feed`` and ``finish`` do,
    and IncompleteBody when the line is cut. ``at_once`` tells whether a small body can be admitted and inspected
    without waiting for anything: then the loop does that itself.
    """
    if body.length is not None and body.length <= SMALL_BYTES and (content := body.take()) is not None:
        if at_once(content):
            return await _committed(open_upload().finish_with(content, awaited=True))
        return await _committed(_in_thread(lambda: open_upload().finish_with(content), executor))
    return await _receive_blocks(open_upload, body, executor)


def _in_thread(work: Callable[[], Future[T]], executor: Executor) -> Future[T]:
    """What a thread begins, as one future: the loop is woken once."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            work().add_done_callback(lambda ended: _pass_on(ended, done))
        except BaseException as error:
            done.set_exception(error)

    executor.submit(run)
    return done


def _pass_on(ended: Future[T], to: Future[T]) -> None:
    error = ended.exception()
    if error is not None:
        to.set_exception(error)
    else:
        to.set_result(ended.result())


async def _committed(commit: Future[T]) -> T:
    """Waits for the writer. Who is cancelled meanwhile waits no longer; the commit goes on."""
    loop = asyncio.get_running_loop()
    waiting = loop.create_future()

    def wake() -> None:
        if not waiting.done():
            waiting.set_result(None)

    def told(_: Future[T]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(wake)

    commit.add_done_callback(told)
    await waiting
    return commit.result()


async def _receive_blocks(open_upload: Callable[[], Incoming[T]], body: Body, executor: Executor) -> T:
    """At most two buffers are in memory: while one is written and inspected, the next is received."""
    loop = asyncio.get_running_loop()
    opening = loop.run_in_executor(executor, open_upload)
    try:
        upload = await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.wait([opening])
        if not opening.cancelled() and not opening.exception():
            await asyncio.shield(loop.run_in_executor(executor, opening.result().abort))
        raise
    source = body if isinstance(body, Filling) else _Copied(body)
    buffer, other = buffers.lend(), buffers.lend()
    writing: asyncio.Future[Any] | None = None
    try:
        while True:
            size = await source.fill(buffer)
            if writing:
                await asyncio.shield(writing)
            if size < buffers.SIZE:
                break
            writing = loop.run_in_executor(executor, upload.feed, buffer)
            buffer, other = other, buffer
        writing = ending = loop.run_in_executor(executor, _end, upload, buffer[:size])
        done = await asyncio.shield(ending)
    except BaseException:
        # a cancelled request must not leave a thread writing to a closed file, whose number may be another's by then
        # (shield: to cancel a future does not stop its thread, and then nobody could wait for it)
        if writing is not None:
            await asyncio.wait([writing])
            writing.cancelled() or writing.exception()
        await asyncio.shield(loop.run_in_executor(executor, upload.abort))
        raise
    buffers.give_back(buffer)
    buffers.give_back(other)
    return done


def _end(upload: Incoming[T], rest: memoryview) -> T:
    upload.feed(rest)
    return upload.finish()


class _Copied:
    """Fills buffers from a body that comes in blocks of its own."""

    def __init__(self, body: Body) -> None:
        self._blocks = body.blocks()
        self._held = memoryview(b"")

    async def fill(self, buffer: memoryview) -> int:
        filled = 0
        while filled < len(buffer):
            if not self._held:
                self._held = memoryview(await anext(self._blocks, b""))
                if not self._held:
                    break
            piece = self._held[: len(buffer) - filled]
            buffer[filled : filled + len(piece)] = piece
            self._held = self._held[len(piece) :]
            filled += len(piece)
        return filled
