"""Delivery of committed events: each subscriber has a cursor and a retry of its own in the log of each tenant.

Invariant I8: at least once, in order per tenant. A cursor moves by compare-and-set under the steward's fencing token,
so that a steward that lost its lease cannot move it. A subscriber that only writes the database (``in_transaction``)
commits together with its cursor.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.domain.errors import KuradoError, NotFound, Unavailable
from gateway.domain.events import Event
from gateway.domain.tenant import Tenant
from gateway.hooks import UsageLedger
from gateway.service.stored import Cursor
from gateway.service.unit_of_work import Database, Tx

BATCH = 100
MAX_ATTEMPTS = 10
MAX_PAUSE_MS = 30_000
FIRST_PAUSE_MS = 500
SAVE_EVERY_SECONDS = 1.0
TURN_SECONDS = 5.0
RETENTION_MS = 3_600_000
WAITING = "waiting: "
ALARM = "outbox.parked"

log = logging.getLogger("kurado.outbox")


class Subscriber(Protocol):
    """A plugin with ``on_event``; see ``hooks.Specs.on_event`` for what it may raise."""

    @property
    def name(self) -> str: ...
    @property
    def in_transaction(self) -> bool: ...
    def deliver(self, event: Event, ledger: UsageLedger | None) -> None: ...


class FenceLost(Exception):
    """The cursor was moved by somebody else, or this steward's lease is not the newest: stop delivering."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """One line of ``outbox list``: how far a subscriber is behind in the log of a tenant. ``oldest_at`` in ms."""

    subscriber: str
    tenant: str
    tenant_id: int
    seq: int
    last_seq: int
    oldest_at: int | None
    attempts: int
    retry_at: int
    error: str
    parked: bool


def pause_ms(attempts: int) -> int:
    """How long to wait after the n-th failure in a row: doubling from half a second, at most 30 s."""
    return min(MAX_PAUSE_MS, FIRST_PAUSE_MS << min(max(attempts, 1) - 1, 10))


def after_failure(cursor: Cursor, error: Exception, now: int) -> Cursor:
    """The cursor after a failed delivery: our own trouble is waited out for ever, anything else is parked at the tenth
    time in a row. The two are counted apart, so that a long outage does not park the first real failure after it."""
    if isinstance(error, Unavailable):
        attempts = cursor.attempts + 1 if cursor.error.startswith(WAITING) else 1
        return replace(cursor, attempts=attempts, retry_at=now + pause_ms(attempts), error=f"{WAITING}{error}"[:500])
    attempts = 1 if cursor.error.startswith(WAITING) else cursor.attempts + 1
    return replace(
        cursor,
        attempts=attempts,
        retry_at=now + pause_ms(attempts),
        error=f"{type(error).__name__}: {error}"[:500],
        parked=attempts >= MAX_ATTEMPTS,
    )


class Outbox:
    """The log of events and the cursors in it."""

    def __init__(
        self,
        db: Database,
        subscribers: Callable[[], Sequence[Subscriber]],
        clock: Callable[[], int],
        retention_ms: int = RETENTION_MS,
    ) -> None:
        self._db = db
        self._subscribers = subscribers
        self._clock = clock
        self._retention_ms = retention_ms

    def subscribers(self) -> Sequence[Subscriber]:
        return self._subscribers()

    def due(self, subscriber: str, limit: int = 50) -> list[Cursor]:
        """Cursors with something to deliver now."""
        now = self._clock()
        return self._db.read(lambda tx: tx.events.due(subscriber, now, limit))

    def deliver(self, subscriber: Subscriber, fence: int, stopping: Callable[[], bool] = lambda: False) -> int:
        """One round over all tenants that are due; returns how many events were handled. FenceLost, Unavailable."""
        handled = 0
        for cursor in self.due(subscriber.name):
            if stopping():
                break
            handled += self.deliver_batch(subscriber, cursor, fence, stopping)
        return handled

    def deliver_batch(
        self, subscriber: Subscriber, cursor: Cursor, fence: int, stopping: Callable[[], bool] = lambda: False
    ) -> int:
        """Up to BATCH events of one tenant, for not much longer than TURN_SECONDS: then it is another's turn.

        Returns how many were handled. A failure is stored in the cursor.
        """
        events = self._db.read(lambda tx: tx.events.after(cursor.tenant_id, cursor.seq, BATCH))
        if subscriber.in_transaction:
            return self._deliver_in_transaction(subscriber, cursor, events, fence)
        return self._deliver_outside(subscriber, cursor, events, fence, stopping)

    # -- the two ways of delivering -----------------------------------------------------------------------------------

    def _deliver_outside(
        self,
        subscriber: Subscriber,
        cursor: Cursor,
        events: Sequence[Event],
        fence: int,
        stopping: Callable[[], bool],
    ) -> int:
        saved, seq, handled = cursor.seq, cursor.seq, 0
        save_at, turn_ends = time.monotonic() + SAVE_EVERY_SECONDS, time.monotonic() + TURN_SECONDS
        for event in events:
            try:
                subscriber.deliver(event, None)
            except Exception as error:
                self._advance(subscriber.name, cursor.tenant_id, saved, seq, fence)
                self._store_failure(cursor if seq == cursor.seq else _fresh(cursor, seq), event, error, fence)
                return handled
            seq, handled = event.seq, handled + 1
            if stopping() or time.monotonic() >= turn_ends:
                break
            if time.monotonic() >= save_at:
                self._advance(subscriber.name, cursor.tenant_id, saved, seq, fence)
                saved, save_at = seq, time.monotonic() + SAVE_EVERY_SECONDS
        self._advance(subscriber.name, cursor.tenant_id, saved, seq, fence)
        return handled

    def _deliver_in_transaction(
        self, subscriber: Subscriber, cursor: Cursor, events: Sequence[Event], fence: int
    ) -> int:
        while events:
            at: list[Event] = []
            try:
                self._db.write(lambda tx: _book(tx, subscriber, cursor, events, fence, at)).result()  # noqa: B023
                return len(events)
            except FenceLost:
                raise
            except Exception as error:
                if not at:
                    raise
                good = events[: events.index(at[-1])]
                if not good:
                    self._store_failure(cursor, at[-1], error, fence)
                    return 0
                # the savepoint undid the good ones with the bad one: book them alone, the bad one fails next round
                events = good
        return 0

    def _advance(self, subscriber: str, tenant_id: int, from_seq: int, to_seq: int, fence: int) -> None:
        if to_seq == from_seq:
            return
        if not self._db.write(lambda tx: tx.events.advance(subscriber, tenant_id, from_seq, to_seq, fence)).result():
            raise FenceLost(f"the cursor of {subscriber} is no longer ours")

    def _store_failure(self, cursor: Cursor, event: Event, error: Exception, fence: int) -> None:
        now = self._clock()
        failed = after_failure(cursor, error, now)
        subject = f"{failed.subscriber}/{event.tenant}"

        def store(tx: Tx) -> None:
            if not tx.events.failed(failed, fence):
                raise FenceLost(f"the cursor of {failed.subscriber} is no longer ours")
            if failed.parked:
                message = f"event {event.seq} ({event.kind}) failed {failed.attempts} times: {failed.error}"
                tx.system.alarm(ALARM, subject, message, now)

        self._db.write(store).result()
        log.log(
            logging.ERROR if failed.parked else logging.WARNING,
            "event parked" if failed.parked else "event not delivered",
            extra={
                "subscriber": failed.subscriber,
                "tenant": event.tenant,
                "seq": event.seq,
                "kind": event.kind,
                "attempts": failed.attempts,
                "error": failed.error,
            },
            exc_info=None if isinstance(error, KuradoError) else error,
        )

    # -- what operators do --------------------------------------------------------------------------------------------

    def backlog(self) -> list[Backlog]:
        """All cursors that have something before them or are parked, by subscriber and tenant."""
        names = {subscriber.name for subscriber in self._subscribers()}

        def look(tx: Tx) -> list[Backlog]:
            cursors: dict[int, dict[str, Cursor]] = {}
            for cursor in tx.events.cursors():
                cursors.setdefault(cursor.tenant_id, {})[cursor.subscriber] = cursor
            lines = []
            for tenant in _with_log(tx, set(cursors)):
                known = cursors.get(tenant.id, {})
                for name in sorted(names | known.keys()):
                    cursor = known.get(name) or Cursor(name, tenant.id, 0)
                    if cursor.seq >= tenant.seq and not cursor.parked:
                        continue
                    lines.append(
                        Backlog(
                            subscriber=name,
                            tenant=tenant.name,
                            tenant_id=tenant.id,
                            seq=cursor.seq,
                            last_seq=tenant.seq,
                            oldest_at=tx.events.oldest_at(tenant.id, cursor.seq),
                            attempts=cursor.attempts,
                            retry_at=cursor.retry_at,
                            error=cursor.error,
                            parked=cursor.parked,
                        )
                    )
            return lines

        return self._db.read(look)

    def retry(self, subscriber: str, tenant: str) -> Cursor:
        """Takes a parked or waiting cursor up again at once. NotFound."""
        return self._set(subscriber, tenant, skip=False)

    def next_event(self, subscriber: str, tenant: str) -> Event:
        """The event that a cursor stands before. NotFound."""

        def look(tx: Tx) -> Event:
            _, cursor = _cursor_in(tx, subscriber, tenant)
            return _following(tx, cursor, tenant)

        return self._db.read(look)

    def skip(self, subscriber: str, tenant: str, seq: int | None = None) -> Cursor:
        """Leaves out the one event that a cursor stands before: the operator's decision, recorded in the log.

        ``seq``: this event and no other. NotFound.
        """
        cursor = self._set(subscriber, tenant, skip=True, only=seq)
        log.warning("event skipped", extra={"subscriber": subscriber, "tenant": tenant, "seq": cursor.seq})
        return cursor

    def _set(self, subscriber: str, tenant_name: str, *, skip: bool, only: int | None = None) -> Cursor:
        now = self._clock()

        def change(tx: Tx) -> Cursor:
            tenant, cursor = _cursor_in(tx, subscriber, tenant_name)
            seq = cursor.seq
            if skip:
                seq = _following(tx, cursor, tenant_name).seq
                # 0: an operator's hand carries no steward's token, the comparison alone protects the cursor
                moved = only not in (None, seq)
                if moved or not tx.events.advance(subscriber, tenant.id, cursor.seq, seq, 0):
                    raise NotFound("the cursor has moved meanwhile: look again")
            fresh = _fresh(cursor, seq)
            tx.events.failed(fresh, 0)
            tx.system.alarm(ALARM, f"{subscriber}/{tenant_name}", None, now)
            return fresh

        return self._db.write(change).result()

    def forgotten(self) -> list[str]:
        """Subscribers that have cursors but are not configured any more: their cursors keep events from being
        deleted until ``forget``."""
        names = {subscriber.name for subscriber in self._subscribers()}
        return sorted({cursor.subscriber for cursor in self._db.read(lambda tx: tx.events.cursors())} - names)

    def check_forgotten(self, subscriber: str) -> None:
        """NotFound unless the subscriber has cursors and is not configured any more."""
        if subscriber not in self.forgotten():
            raise NotFound(f"{subscriber} is no subscriber that was removed from the configuration")

    def forget(self, subscriber: str) -> None:
        """Drops the cursors of a subscriber that is gone for good. NotFound while it is configured or unknown."""
        self.check_forgotten(subscriber)
        self._db.write(lambda tx: tx.events.forget_subscriber(subscriber)).result()

    def trim(self) -> int:
        """Deletes events that every subscriber has passed and that are older than the retention; returns how many."""
        names = [subscriber.name for subscriber in self._subscribers()]
        before = self._clock() - self._retention_ms

        def passed(tx: Tx) -> list[tuple[int, int]]:
            cursors = {(c.subscriber, c.tenant_id): c.seq for c in tx.events.cursors()}
            return [
                (tenant.id, min((cursors.get((name, tenant.id), 0) for name in names), default=tenant.seq))
                for tenant in _with_log(tx, {tenant_id for _, tenant_id in cursors})
                if (tx.events.oldest_at(tenant.id, 0) or before) < before  # most of many tenants have nothing old
            ]

        return sum(self._trim_tenant(tenant_id, seq, before) for tenant_id, seq in self._db.read(passed))

    def _trim_tenant(self, tenant_id: int, passed: int, before: int) -> int:
        trimmed = 0
        while True:
            first = self._db.read(lambda tx: tx.events.after(tenant_id, 0, BATCH))
            old = [event.seq for event in first if event.seq <= passed and event.at < before]
            if old:
                last = old[-1]
                trimmed += self._db.write(lambda tx: tx.events.trim(tenant_id, last)).result()  # noqa: B023
            if len(old) < BATCH:
                return trimmed


def _book(tx: Tx, subscriber: Subscriber, cursor: Cursor, events: Sequence[Event], fence: int, at: list[Event]) -> None:
    at.clear()
    with tx.usage.together() as ledger:
        for event in events:
            at.append(event)
            subscriber.deliver(event, ledger)
    at.clear()
    if not tx.events.advance(cursor.subscriber, cursor.tenant_id, cursor.seq, events[-1].seq, fence):
        raise FenceLost(f"the cursor of {cursor.subscriber} is no longer ours")


def _cursor_in(tx: Tx, subscriber: str, tenant_name: str) -> tuple[Tenant, Cursor]:
    tenant = tx.tenants.get(tenant_name)
    if tenant is not None:
        for cursor in tx.events.cursors(subscriber):
            if cursor.tenant_id == tenant.id:
                return tenant, cursor
    raise NotFound(f"no cursor of {subscriber} in the log of {tenant_name}")


def _following(tx: Tx, cursor: Cursor, tenant_name: str) -> Event:
    following = tx.events.after(cursor.tenant_id, cursor.seq, 1)
    if not following:
        raise NotFound(f"{cursor.subscriber} has handled every event of {tenant_name}")
    return following[0]


def _with_log(tx: Tx, known: set[int]) -> list[Tenant]:
    """All tenants, and the removed ones that any subscriber knows: their last events are delivered like others."""
    tenants = {tenant.id: tenant for tenant in tx.tenants.all()}
    gone = [tx.tenants.by_id(tenant_id) for tenant_id in known - set(tenants)]
    return sorted([*tenants.values(), *(one for one in gone if one is not None)], key=lambda tenant: tenant.name)


def _fresh(cursor: Cursor, seq: int) -> Cursor:
    return replace(cursor, seq=seq, attempts=0, retry_at=0, error="", parked=False)
