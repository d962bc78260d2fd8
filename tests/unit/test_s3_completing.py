"""What a client gets while an upload by parts is put together."""

from __future__ import annotations

import asyncio

import pytest

from gateway.exchange import Reply
from gateway.s3 import completing
from gateway.s3.errors import DECLARATION


@pytest.mark.parametrize("end", ["<CompleteMultipartUploadResult/>", "<Error><Code>AccessDenied</Code></Error>"])
def test_blanks_keep_the_line_alive_until_the_end_is_known(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    monkeypatch.setattr(completing, "PATIENCE", 0.001)

    async def go() -> list[bytes]:
        known = asyncio.Event()

        async def work() -> Reply:
            await known.wait()
            return Reply(200, {}, (DECLARATION + end).encode())

        blocks = []
        async for block in completing._slowly(asyncio.create_task(work())):
            blocks.append(block)
            if len(blocks) == 5:
                known.set()
        return blocks

    blocks = asyncio.run(go())
    assert blocks[0] == DECLARATION.encode() and blocks[-1] == end.encode()
    assert set(blocks[1:-1]) == {b" "} and len(blocks) >= 6
