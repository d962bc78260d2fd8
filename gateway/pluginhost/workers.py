"""Calls with a deadline. Python cannot stop a thread that hangs: it is left behind, and only so many of them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
MAX_THREADS = 64


class DeadlineMissed(Exception):
    """The call did not return in time, or too many earlier ones still hang; it may still be running."""


class Workers:
    """Threads of one plugin. They are daemons, so that one that hangs does not keep the process from ending."""

    def __init__(self, name: str, limit: int = MAX_THREADS) -> None:
        self._name = name
        self._limit = limit
        self._idle = threading.Semaphore(0)
        self._count = 0
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()

    def call(self, work: Callable[[], T], timeout: float, on_late: Callable[[], object] | None = None) -> T:
        """The result of ``work``, or its exception; DeadlineMissed after ``timeout`` seconds.

        ``on_late`` is called by the worker when a call that was given up returns after all.
        """
        lock = threading.Lock()
        state = {"returned": False, "given up": False}

        def job() -> T:
            try:
                return work()
            finally:
                with lock:
                    state["returned"] = True
                if state["given up"] and on_late is not None:
                    on_late()

        future: Future[T] = Future()
        self._jobs_for(job, future)
        try:
            return future.result(timeout)
        except TimeoutError:
            with lock:
                state["given up"] = not state["returned"]
            if state["given up"]:
                raise DeadlineMissed(f"no answer within {timeout:g} s") from None
        return future.result()  # in the last moment, or the work itself raised TimeoutError

    def _jobs_for(self, job: Callable[[], Any], future: Future[Any]) -> None:
        if not self._idle.acquire(blocking=False):
            with self._lock:
                if self._count >= self._limit:
                    raise DeadlineMissed(f"{self._limit} calls hang")
                self._count += 1
            threading.Thread(target=self._run, name=f"plugin-{self._name}", daemon=True).start()
        self._jobs.put((job, future))

    def _run(self) -> None:
        while True:
            job, future = self._jobs.get()
            try:
                result = job()
            except BaseException as error:
                self._idle.release()
                future.set_exception(error)
            else:
                self._idle.release()
                future.set_result(result)
            del job, future
