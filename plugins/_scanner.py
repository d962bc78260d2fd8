"""One clamd as this process sees it: is it known to be down, how many lines to it, which definitions, past answers."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import BinaryIO

from plugins._clamd import (
    BLOCK,
    Answer,
    Deadlines,
    Endpoint,
    ScannerDown,
    ScannerFault,
    ScannerSlow,
    Stream,
    Version,
    ping,
    version,
)

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 5.0
_CUTS_UNTIL_DOWN = 3
_VERSION_EVERY = 60.0
_REMEMBERED = 10_000


class Breaker:
    """Refuses at once while the scanner is known to be down; one caller after each pause tries whether it is back.

    ``changed(reason)`` is told when it goes down, and with None when it works again.
    """

    def __init__(
        self,
        probe: Callable[[], None],
        changed: Callable[[str | None], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probe = probe
        self._changed = changed
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._retry_at = 0.0
        self._pause = _FIRST_PAUSE
        self._cuts = 0

    def check(self) -> None:
        """Returns if the scanner may be asked; ScannerDown otherwise."""
        with self._lock:
            if self._reason is None:
                return
            if self._monotonic() < self._retry_at:
                raise ScannerDown(self._reason)
            self._retry_at = self._monotonic() + _LONGEST_PAUSE  # only this caller waits for the probe
        try:
            self._probe()
        except ScannerFault as fault:
            with self._lock:
                self._reason = str(fault)
                self._pause = min(self._pause * 2, _LONGEST_PAUSE)
                self._retry_at = self._monotonic() + self._pause
            raise ScannerDown(str(fault)) from None
        self.worked()

    def failed(self, fault: ScannerFault) -> None:
        """A conversation failed. No line and no answer mean down at once, a cut line only when it happens again."""
        with self._lock:
            self._cuts += 1
            if not isinstance(fault, ScannerDown | ScannerSlow) and self._cuts < _CUTS_UNTIL_DOWN:
                return
            fresh = self._reason is None
            self._reason = str(fault)
            if fresh:
                self._pause = _FIRST_PAUSE
                self._retry_at = self._monotonic() + self._pause
        if fresh:
            self._changed(str(fault))

    def worked(self) -> None:
        """A conversation came to its proper end."""
        with self._lock:
            self._cuts = 0
            if self._reason is None:
                return
            self._reason = None
        self._changed(None)


class Memory:
    """What clamd said of a content, by SHA-256 and definition version; the least recently used goes first."""

    def __init__(self, size: int = _REMEMBERED) -> None:
        self._size = size
        self._answers: OrderedDict[tuple[str, str], Answer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, sha256: str, definitions: str) -> Answer | None:
        with self._lock:
            answer = self._answers.get((sha256, definitions))
            if answer is not None:
                self._answers.move_to_end((sha256, definitions))
            return answer

    def put(self, sha256: str, definitions: str, answer: Answer) -> None:
        if not sha256 or not definitions:
            return
        with self._lock:
            self._answers[(sha256, definitions)] = answer
            while len(self._answers) > self._size:
                self._answers.popitem(last=False)


class Scanner:
    """Asks clamd. At most ``lines`` streams of running uploads are open, and as many scans of staged files: slow
    uploads cannot use up the lines that finished ones need."""

    def __init__(
        self, endpoint: Endpoint, deadlines: Deadlines, lines: int, changed: Callable[[str | None], None]
    ) -> None:
        self.endpoint = endpoint
        self.deadlines = deadlines
        self.breaker = Breaker(lambda: ping(endpoint, deadlines.connect), changed)
        self.memory = Memory()
        self._streams = threading.BoundedSemaphore(lines)
        self._scans = threading.BoundedSemaphore(lines)
        self._version: Version | None = None
        self._version_at = float("-inf")
        self._version_lock = threading.Lock()

    # -- definitions --------------------------------------------------------------------------------------------------

    def version(self, max_age: float = _VERSION_EVERY) -> Version:
        """What VERSION said at most ``max_age`` seconds ago; ScannerFault when it was never answered."""
        if time.monotonic() - self._version_at < max_age and self._version:
            return self._version
        # one caller asks, the others go on with what is known
        with self._version_lock if self._version is None else _tried(self._version_lock) as mine:
            if mine and not (time.monotonic() - self._version_at < max_age and self._version):
                self._ask_version()
        assert self._version is not None
        return self._version

    def _ask_version(self) -> None:
        self.breaker.check()
        try:
            self._version = version(self.endpoint, self.deadlines.connect)
            self._version_at = time.monotonic()
        except ScannerFault as fault:
            self.breaker.failed(fault)
            raise

    # -- content ------------------------------------------------------------------------------------------------------

    def try_stream(self) -> Stream | None:
        """An open INSTREAM conversation, or None when all lines are in use. Give it back with :meth:`ended`."""
        self.breaker.check()
        if not self._streams.acquire(blocking=False):
            return None
        try:
            return Stream(self.endpoint, self.deadlines).open()
        except BaseException as error:
            self._streams.release()
            if isinstance(error, ScannerFault):
                self.breaker.failed(error)
            raise

    def ended(self, stream: Stream, fault: ScannerFault | None = None, *, answered: bool = False) -> None:
        """The conversation is over: by an answer, a fault, or because the upload was given up."""
        stream.close()
        self._streams.release()
        if fault is not None:
            self.breaker.failed(fault)
        elif answered:
            self.breaker.worked()

    def finds(self, sample: bytes, deadlines: Deadlines) -> bool:
        """Whether clamd, asked now, finds something in a sample. ScannerFault when it does not answer in time."""
        stream = Stream(self.endpoint, deadlines)
        try:
            stream.open()
            stream.send(sample)
            found = stream.finish().signature is not None
        except ScannerSlow:
            raise  # too slow for whoever asked, not necessarily for uploads
        except ScannerFault as fault:
            self.breaker.failed(fault)
            raise
        finally:
            stream.close()
        self.breaker.worked()
        return found

    def scan(self, file: BinaryIO, limit: int) -> Answer:
        """Sends the first ``limit`` bytes of a file. ScannerFault, StreamTooLong as in :class:`Stream`."""
        self.breaker.check()
        if not self._scans.acquire(timeout=self.deadlines.silence):
            raise ScannerSlow("all lines to clamd are in use")
        stream = Stream(self.endpoint, self.deadlines)
        try:
            stream.open()
            left = limit
            while left > 0 and (block := file.read(min(BLOCK, left))):
                stream.send(block)
                left -= len(block)
            answer = stream.finish()
        except ScannerFault as fault:
            self.breaker.failed(fault)
            raise
        finally:
            stream.close()
            self._scans.release()
        self.breaker.worked()
        return answer


@contextlib.contextmanager
def _tried(lock: threading.Lock) -> Iterator[bool]:
    """Holds the lock if it is free: yields whether."""
    mine = lock.acquire(blocking=False)
    try:
        yield mine
    finally:
        if mine:
            lock.release()
