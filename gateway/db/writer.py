"""The one writing thread of a process: what waits is committed together.

A flush costs milliseconds however much it flushes, so the work that came in while one batch was flushed is the next
batch. Who fails alone is undone alone. When a whole batch is lost (a conflict, a full disk), its members are tried one
by one, so that only those fail that must.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.db.fairqueue import Closed, FairQueue, Item
from gateway.db.faults import Fault, meaning
from gateway.db.session import Session
from gateway.db.source import Source
from gateway.db.transaction import Transaction
from gateway.domain.errors import BackendUnavailable, KuradoError

T = TypeVar("T")
log = logging.getLogger(__name__)

MOST = 128
"""Mutations in one commit at most."""

BUDGET = 0.025
"""Seconds of work after which a batch is committed: what others wait for."""

CAREFUL = 100
"""Batches with savepoints after one in which somebody failed: refusals come in swarms."""

TRIES = 6
"""For a mutation whose transaction conflicts with another's."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    item: Item
    result: Any = None
    error: BaseException | None = None

    def tell(self) -> None:
        if self.error is not None:
            self.item.future.set_exception(self.error)
        else:
            self.item.future.set_result(self.result)


class _Lost(Exception):
    """A whole batch came to nothing."""

    def __init__(self, error: BaseException, fault: Fault, *, begun: bool, unsure: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.fault = fault
        self.begun = begun
        self.unsure = unsure
        """The commit was sent and its answer never came: it must not be tried again."""


class BatchWriter:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._queue = FairQueue()
        self._session: Session | None = None
        self._tx: Transaction | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._careful = 0
        self._growing: list[Item] | None = None
        self._gathered: dict[asyncio.AbstractEventLoop, list[Item]] = {}
        self.trouble: BaseException | None = None
        """The last failure of the database itself, until a commit succeeds."""

    def submit(self, work: Callable[[Any], T], key: int | None, aside: bool = False) -> Future[T]:
        """Queues a mutation; its future is done after the flush. Never raises."""
        item = Item(work, key, aside)
        self._start()
        self._put(item)
        return item.future

    def submit_soon(self, work: Callable[[Any], T], key: int | None) -> Future[T]:
        """As ``submit``, for an event loop: what it brings in one turn is queued together at the turn's end. A writer
        that began with the first would fight with the loop for the interpreter, and flush once more for it."""
        item = Item(work, key)
        self._start()
        loop = asyncio.get_running_loop()
        gathered = self._gathered.get(loop)
        if gathered is None:
            self._gathered[loop] = [item]
            loop.call_soon(self._put_gathered, loop)
        else:
            gathered.append(item)
        return item.future

    def _put_gathered(self, loop: asyncio.AbstractEventLoop) -> None:
        self._put(*self._gathered.pop(loop, ()))

    def _put(self, *items: Item) -> None:
        try:
            self._queue.put(*items)
        except Closed:
            for item in items:
                item.future.set_exception(BackendUnavailable("the gateway is stopping"))

    def is_self(self) -> bool:
        """Whether the calling thread is the writer, which must not wait for itself."""
        return self._thread is threading.current_thread()

    def close(self) -> None:
        """Commits what is queued, then ends the thread."""
        for loop in list(self._gathered):
            self._put_gathered(loop)  # of a loop that has ended
        self._queue.close()
        if self._thread is not None:
            self._thread.join()

    def _start(self) -> None:
        if self._thread is not None:
            return
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="db-writer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while items := self._queue.take(MOST):
            live = [item for item in items if _claim(item)]
            try:
                outcomes = self._together(live) if live else ()
            except BaseException as error:  # a fault of this file must not leave anybody waiting
                log.exception("the writer failed")
                self._drop_session()
                outcomes = [_Outcome(item, error=error) for item in live]
            self._queue.put_back(live[len(outcomes) :])
            for outcome in outcomes:
                outcome.tell()
        self._drop_session()

    # -- one batch ----------------------------------------------------------------------------------------------------

    def _together(self, items: list[Item]) -> Sequence[_Outcome]:
        """Commits as many of a batch as time allows; where that fails, its members one by one if that can help."""
        self._growing = items
        try:
            return self._attempt(items)
        except _Lost as lost:
            self._growing = None
            if len(items) == 1 or lost.unsure or lost.fault is Fault.GONE:
                return [_Outcome(item, error=meaning(lost.fault, lost.error)) for item in items]
        outcomes: list[_Outcome] = []
        for item in items:
            outcomes.extend(self._alone(item))
        return outcomes

    def _alone(self, item: Item) -> Sequence[_Outcome]:
        for tried in range(TRIES):
            try:
                return self._attempt([item])
            except _Lost as lost:
                last = lost
                if lost.fault is not Fault.CONFLICT or lost.unsure:
                    break
                time.sleep(random.random() * 0.01 * 2**tried)
        return [_Outcome(item, error=meaning(last.fault, last.error))]

    def _attempt(self, items: list[Item]) -> Sequence[_Outcome]:
        """One transaction, begun once more on a fresh connection when the old one turns out to be dead."""
        fresh = self._session is None
        try:
            outcomes = self._transact(items)
        except _Lost as lost:
            self._note(lost)
            if lost.fault is Fault.FULL and self._source.make_room():
                outcomes = self._transact(items)
                self.trouble = None
                return outcomes
            if lost.fault is not Fault.GONE or lost.begun or fresh or isinstance(lost.error, KuradoError):
                raise
            outcomes = self._transact(items)
        self.trouble = None
        return outcomes

    def _note(self, lost: _Lost) -> None:
        if lost.fault in (Fault.GONE, Fault.FULL):
            if self.trouble is None:
                log.error("the database cannot be written: %s", lost.error)
            self.trouble = meaning(lost.fault, lost.error)
        if lost.fault is Fault.GONE:
            self._drop_session()

    def _transact(self, items: list[Item]) -> Sequence[_Outcome]:
        begun = committing = False
        session: Session | None = None
        try:
            session, tx = self._open()
            with self._source.exclusive():
                if items is self._growing:  # who came while it waited for its turn among processes comes along
                    items += filter(_claim, self._queue.take_more(MOST - len(items)))
                self._source.begin_write(session, {item.key for item in items})
                begun = True
                outcomes = self._work(session, tx, items)
                self._source.verify()
                if all(outcome.error is not None for outcome in outcomes):
                    session.command("ROLLBACK")  # nothing to flush
                    return outcomes
                if not all(outcome.item.aside for outcome in outcomes):
                    self._source.changed(session)
                committing = True
                session.command("COMMIT")
                self._upkeep(session)
        except BaseException as error:
            # of our own errors, only "no database" is raised outside an item's work
            fault = Fault.GONE if isinstance(error, BackendUnavailable) else self._source.fault(error)
            if session is not None:
                self._roll_back(session)
            unsure = committing and fault is Fault.GONE
            raise _Lost(error, fault, begun=begun, unsure=unsure) from error
        return outcomes

    def _work(self, session: Session, tx: Transaction, items: Sequence[Item]) -> list[_Outcome]:
        """What the items come to, until the time is up. Nearly always nobody fails, and then nobody needs a savepoint:
        a batch in which somebody does is undone and done again with them."""
        if len(items) == 1:
            return [self._alone_in(session, tx, items[0])]
        if self._careful:
            self._careful -= 1
            return self._each(items, lambda item: self._one(session, tx, item))
        try:
            return self._each(items, lambda item: _Outcome(item, item.work(tx)))
        except BaseException as error:
            if self._source.fault(error) is not Fault.OWN or not session.alive():
                raise
        self._careful = CAREFUL
        session.command("ROLLBACK")
        self._source.begin_write(session, {item.key for item in items})
        return self._each(items, lambda item: self._one(session, tx, item))

    def _each(self, items: Sequence[Item], do: Callable[[Item], _Outcome]) -> list[_Outcome]:
        outcomes: list[_Outcome] = []
        deadline = time.monotonic() + BUDGET
        for item in items:
            outcomes.append(do(item))
            if time.monotonic() > deadline:
                break
        return outcomes

    def _alone_in(self, session: Session, tx: Transaction, item: Item) -> _Outcome:
        try:
            return _Outcome(item, item.work(tx))
        except BaseException as error:
            if self._source.fault(error) is not Fault.OWN or not session.alive():
                raise
            return _Outcome(item, error=error)

    def _one(self, session: Session, tx: Transaction, item: Item) -> _Outcome:
        session.command("SAVEPOINT item")
        outcome = self._alone_in(session, tx, item)
        if outcome.error is not None:
            session.command("ROLLBACK TO SAVEPOINT item")
        session.command("RELEASE SAVEPOINT item")
        return outcome

    def _upkeep(self, session: Session) -> None:
        """Nothing that fails here may look as if the commit had."""
        try:
            self._source.committed(session)
        except Exception:
            log.exception("the upkeep of the database failed")
            self._drop_session()

    # -- the connection -----------------------------------------------------------------------------------------------

    def _open(self) -> tuple[Session, Transaction]:
        if self._session is None or self._tx is None:
            self._session = self._source.connect(writer=True)
            self._tx = Transaction(self._session)
        return self._session, self._tx

    def _roll_back(self, session: Session) -> None:
        try:
            if session.alive():
                session.command("ROLLBACK")
        except Exception:
            self._drop_session()

    def _drop_session(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = self._tx = None


def _claim(item: Item) -> bool:
    """False for an item whose caller has given it up; one that was put back is claimed already."""
    return item.future.running() or item.future.set_running_or_notify_cancel()
