"""A cancelled upload is ended only after the thread that works for it: a closed file's number may be another's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

import pytest

from gateway.domain.errors import Locked, QuotaExceeded
from gateway.service.receiving import receive
from gateway.service.uploads import Upload

MIB = b"x" * (1024 * 1024)


class SlowUpload:
    """Stands still in one of its methods until told to go on, and notes what was called while another call ran."""

    def __init__(self, slow: str) -> None:
        self.slow = slow
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.running = 0
        self.overlaps: list[str] = []
        self.calls: list[str] = []

    def _call(self, name: str) -> None:
        if self.running:
            self.overlaps.append(name)
        self.running += 1
        self.calls.append(name)
        if name == self.slow:
            self.entered.set()
            assert self.go_on.wait(20)
        self.running -= 1

    def open(self) -> Upload:
        self._call("open")
        return cast(Upload, self)

    def feed(self, block: memoryview) -> None:
        assert isinstance(block, memoryview)
        self._call("feed")

    def finish(self) -> None:
        self._call("finish")

    def abort(self) -> None:
        self._call("abort")


class Body:
    length = None

    async def blocks(self) -> AsyncIterator[bytes]:
        for _ in range(3):
            yield MIB


@pytest.mark.parametrize("slow", ["open", "feed", "finish"])
def test_a_cancelled_upload_is_aborted_after_its_thread_and_only_then(slow: str) -> None:
    upload = SlowUpload(slow)

    async def main() -> None:
        with ThreadPoolExecutor(4) as threads:
            body: Any = Body()
            task = asyncio.create_task(receive(upload.open, body, threads))
            await asyncio.get_running_loop().run_in_executor(None, upload.entered.wait, 20)
            task.cancel()
            await asyncio.sleep(0.05)
            assert "abort" not in upload.calls
            upload.go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert upload.calls[-1] == "abort"
    assert upload.overlaps == []


class Whole:
    """A small body, all of which has come."""

    def __init__(self, content: bytes) -> None:
        self.length = len(content)
        self._content = content

    def take(self) -> bytes:
        return self._content


class SmallUpload:
    """Notes the thread that takes the body in; ``committed`` is the writer's."""

    def __init__(self) -> None:
        self.thread: threading.Thread | None = None
        self.content = b""
        self.committed: Future[str] = Future()
        self.begun = threading.Event()

    def finish_with(self, content: bytes, *, awaited: bool = False) -> Future[str]:
        self.thread, self.content = threading.current_thread(), content
        self.begun.set()
        return self.committed


@pytest.mark.parametrize("at_once", [True, False])
def test_a_small_body_is_taken_in_by_a_thread_unless_nothing_waits(at_once: bool) -> None:
    upload = SmallUpload()

    async def main() -> str:
        with ThreadPoolExecutor(1) as threads:
            whole: Any = Whole(b"all of it")
            receiving = receive(lambda: cast(Any, upload), whole, threads, lambda _: at_once)
            task: asyncio.Task[str] = asyncio.create_task(receiving)
            await asyncio.get_running_loop().run_in_executor(None, upload.begun.wait, 20)
            assert not task.done()  # the answer waits for the commit
            upload.committed.set_result("placed")
            return await task

    assert asyncio.run(main()) == "placed"
    assert upload.content == b"all of it"
    assert (upload.thread is threading.main_thread()) is at_once


@pytest.mark.parametrize("at_once", [True, False])
def test_what_refuses_a_small_body_is_raised_before_its_commit_or_by_it(at_once: bool) -> None:
    refused = SmallUpload()
    refused.committed.set_exception(QuotaExceeded(used=1, allowed=1))

    def closed() -> Any:
        raise Locked(paths=[("a",)])

    async def main() -> None:
        whole: Any = Whole(b"x")
        with ThreadPoolExecutor(1) as threads:
            with pytest.raises(Locked):
                await receive(closed, whole, threads, lambda _: at_once)
            with pytest.raises(QuotaExceeded):
                await receive(lambda: cast(Any, refused), whole, threads, lambda _: at_once)

    asyncio.run(main())


def test_a_commit_goes_on_when_its_request_is_cancelled() -> None:
    upload = SmallUpload()

    async def main() -> None:
        with ThreadPoolExecutor(1) as threads:
            whole: Any = Whole(b"x")
            task = asyncio.create_task(receive(lambda: cast(Any, upload), whole, threads, lambda _: True))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not upload.committed.cancelled()
            upload.committed.set_result("placed")
            await asyncio.sleep(0)

    asyncio.run(main())
