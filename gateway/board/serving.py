"""The board's files for the gateway's own listeners: under ``/status/``, without a login, whatever else is down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.board.rendering import JSON_FILE, PAGES

PREFIX = "/status"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".xml": "application/atom+xml; charset=utf-8",
    ".json": "application/json",
}
_FILES = frozenset([JSON_FILE, *(name for names in PAGES.values() for name in names)])
HEADERS = {
    "Cache-Control": "max-age=30",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}


@dataclass(frozen=True, slots=True)
class File:
    """``status`` 200, 404, or 308 with ``location``; 503 while the board was not written yet."""

    status: int
    content_type: str = "text/plain; charset=utf-8"
    body: bytes = b""
    location: str = ""


def is_board(path: str) -> bool:
    return path == PREFIX or path.startswith(PREFIX + "/")


def read(folder: Path, path: str) -> File:
    """What is at a path for which ``is_board`` holds. Only the board's own names are ever opened."""
    if path == PREFIX:
        return File(308, location=PREFIX + "/")
    name = path.removeprefix(PREFIX + "/") or PAGES["ja"][0]
    if name not in _FILES:
        return File(404, body=b"no such page\n")
    try:
        body = (folder / name).read_bytes()
    except OSError:
        return File(503, body=b"the board is not written yet\n")
    return File(200, _TYPES[Path(name).suffix], body)
