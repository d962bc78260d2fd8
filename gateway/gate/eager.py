"""Coroutines that begin at once: most requests are answered without waiting for anything, and need no task.

Python 3.12 has this as eager tasks, on its own event loop. Until the first wait there is no current task: nothing that
asks for it (``asyncio.timeout``) may stand there.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


def begin(coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> asyncio.Task[T] | T:
    """Runs the coroutine up to its first wait: its result, if it is through by then, else a task that goes on from
    there. Raises what the coroutine raises at once."""
    try:
        waits_for = coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    return loop.create_task(_rest(coroutine, waits_for))


async def _rest(coroutine: Coroutine[Any, Any, T], waits_for: Any) -> T:
    return await _resume(coroutine, waits_for)


@types.coroutine
def _resume(coroutine: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Hands on to the task what the coroutine waits for, and to the coroutine what the task has for it."""
    while True:
        refused: BaseException | None = None
        try:
            sent = yield waits_for
        except BaseException as error:
            refused = error
        try:
            waits_for = coroutine.send(sent) if refused is None else coroutine.throw(refused)
        except StopIteration as end:
            result: T = end.value
            return result
