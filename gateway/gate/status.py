"""The board at the gates: the same files as everywhere, without a login (ACC-03)."""

from __future__ import annotations

import asyncio

from gateway.board import serving
from gateway.exchange import Exchange, Reply
from gateway.service.services import Services

is_board = serving.is_board


async def board_reply(services: Services, exchange: Exchange) -> Reply:
    """GET and HEAD of the board's own files; nothing else is there."""
    if exchange.method not in ("GET", "HEAD"):
        return Reply(405, {"Content-Type": "text/plain; charset=utf-8", "Allow": "GET, HEAD"}, b"only GET and HEAD\n")
    loop = asyncio.get_running_loop()
    file = await loop.run_in_executor(None, services.board.served.read, exchange.raw_path)
    headers = {"Content-Type": file.content_type, **serving.HEADERS}
    if file.location:
        headers["Location"] = file.location
    return Reply(file.status, headers, file.body)
