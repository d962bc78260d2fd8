"""Cuts lines on which a server has been silent for too long (RESILIENCE 12)."""

from __future__ import annotations

import threading
import time
from weakref import WeakSet

from gateway.db.session import PostgresSession


class Watchdog:
    """One thread for all sessions, begun with the first. Sessions that were closed are forgotten by themselves."""

    def __init__(self, silence: float) -> None:
        self._silence = silence
        self._sessions: WeakSet[PostgresSession] = WeakSet()
        self._changing = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, session: PostgresSession) -> None:
        with self._changing:
            self._sessions.add(session)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="db-watchdog", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(min(1.0, self._silence / 4)):
            with self._changing:
                sessions = list(self._sessions)
            longest = time.monotonic() - self._silence
            for session in sessions:
                since = session.waiting_since
                if since is not None and since < longest:
                    session.cut()
