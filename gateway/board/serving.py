"""The board's files for the gateway's own listeners: under ``/status/``, without a login, whatever else is down."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.board.rendering import JSON_FILE, PAGES
from gateway.domain.errors import KuradoError

PREFIX = "/status"
STALE_SECONDS, RETRY_SECONDS = 150.0, 5.0
"""The steward writes once a minute: what is older was written by nobody, or on another machine."""

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


class Served:
    """The board on one machine. ``refresh`` writes it anew: it is asked for when the files are old or missing."""

    def __init__(self, folder: Path, refresh: Callable[[], None]) -> None:
        self._folder = folder
        self._refresh = refresh
        self._lock = threading.Lock()
        self._tried = -STALE_SECONDS

    def read(self, path: str) -> File:
        """What is at a path for which ``is_board`` holds, also when it is old and nothing newer can be had."""
        if self._is_old() and self._lock.acquire(blocking=False):
            try:
                self._try_refresh()
            finally:
                self._lock.release()
        return read(self._folder, path)

    def _is_old(self) -> bool:
        try:
            return time.time() - (self._folder / PAGES["ja"][0]).stat().st_mtime > STALE_SECONDS
        except OSError:
            return True

    def _try_refresh(self) -> None:
        if time.monotonic() - self._tried < RETRY_SECONDS:
            return
        self._tried = time.monotonic()
        with contextlib.suppress(KuradoError, OSError):
            self._refresh()


def read(folder: Path, path: str) -> File:
    """What is at a path. Only the board's own names are ever opened."""
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
