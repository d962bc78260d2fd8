"""Image facts from worker processes with limits on memory and time; a worker that dies or hangs is replaced.

Workers are started as programs (never forked from a process with threads) and used again for many images.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROGRAM = "import sys; from plugins._image_worker import main; main(sys.argv[1:])"
_START_SECONDS = 20.0
_LONGEST_ANSWER = 65_536

IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/tiff", "image/bmp", "image/avif"})
"""Sniffed types that are decoded. SVG is a document, EPS a program: neither is an image here."""


class ImagesUnavailable(Exception):
    """No worker could be started, or none was free in time: says nothing about the image."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """``pixels`` above which nothing is decoded, ``frames`` to count, ``memory`` of a worker in bytes, ``seconds``
    for one image, ``workers`` at once, ``wait`` in seconds for a free one."""

    pixels: int = 50_000_000
    frames: int = 1000
    memory: int = 1024**3
    seconds: float = 10.0
    workers: int = 2
    wait: float = 15.0


class Images:
    """Looks at images by path. Used from many threads."""

    def __init__(self, limits: ImageLimits) -> None:
        self._limits = limits
        self._idle: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(limits.workers):
            self._idle.put(None)
        self._recent: OrderedDict[object, Mapping[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def facts(self, file: Path) -> Mapping[str, Any]:
        """The facts of an image (see ``_image_worker.look``). ImagesUnavailable when nobody could look.

        The last few answers are remembered: rules and properties ask about the same upload.
        """
        status = file.stat()
        key = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        with self._lock:
            if key in self._recent:
                return self._recent[key]
        facts = self._ask(file)
        with self._lock:
            self._recent[key] = facts
            while len(self._recent) > 64:
                self._recent.popitem(last=False)
        return facts

    def _ask(self, file: Path) -> Mapping[str, Any]:
        try:
            worker = self._idle.get(timeout=self._limits.wait)
        except queue.Empty:
            raise ImagesUnavailable("no image worker is free") from None
        try:
            if worker is not None and not worker.alive:
                worker.end()
                worker = None
            worker = worker or _Worker(self._limits)
            return worker.look(file)
        finally:
            self._idle.put(worker if worker is not None and worker.alive else None)

    def close(self) -> None:
        """Ends the workers that are idle; one that is at work ends when this process does."""
        idle: list[_Worker | None] = []
        with contextlib.suppress(queue.Empty):
            while True:
                idle.append(self._idle.get_nowait())
        for worker in idle:
            if worker is not None:
                worker.end()
            self._idle.put(None)


class _Worker:
    def __init__(self, limits: ImageLimits) -> None:
        self._seconds = limits.seconds
        argument = json.dumps({"memory": limits.memory, "pixels": limits.pixels, "frames": limits.frames})
        # the environment holds secrets of the gateway, the worker needs none of it
        keep = {key: os.environ[key] for key in ("PATH", "LANG", "LD_LIBRARY_PATH") if key in os.environ}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM, argument],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=keep,
                start_new_session=True,  # a Ctrl-C is for the supervisor
            )
        except OSError as error:
            raise ImagesUnavailable(f"no image worker could be started: {error}") from None
        if self._read_line(_START_SECONDS) != b"ready":
            self.end()
            raise ImagesUnavailable("the image worker did not start")

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def look(self, file: Path) -> Mapping[str, Any]:
        """The facts; a worker that hangs or dies over an image is a fact about the image."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"path": str(file)}).encode() + b"\n")
            self._process.stdin.flush()
            line = self._read_line(self._seconds)
        except OSError:
            line = b""
        if line is None:
            self.end()
            return _hopeless(f"takes more than {self._seconds:g} s")
        if not line:
            self.end()
            return _hopeless("crashed its decoder")
        facts: Mapping[str, Any] = json.loads(line)
        return facts

    def _read_line(self, seconds: float) -> bytes | None:
        """The next line without its end; None when it did not come in time, b"" when the worker has gone."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        poller = select.poll()
        poller.register(descriptor, select.POLLIN | select.POLLHUP)
        end, line = time.monotonic() + seconds, b""
        while not line.endswith(b"\n") and len(line) < _LONGEST_ANSWER:
            if not poller.poll(max(0.0, end - time.monotonic()) * 1000):
                return None
            data = os.read(descriptor, _LONGEST_ANSWER)
            if not data:
                return b""
            line += data
        return line.strip()

    def end(self) -> None:
        """Kills and reaps the process; its pipes are closed."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _hopeless(problem: str) -> Mapping[str, Any]:
    return {"malformed": True, "decoded": False, "problem": problem}
