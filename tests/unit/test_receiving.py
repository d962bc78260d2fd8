"""A cancelled upload is ended only after the thread that works for it: a closed file's number may be another's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

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

    def feed(self, block: bytes) -> None:
        assert isinstance(block, bytes)
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
