"""What the steward does: deliver events, sweep, erase, examine, and the plugins' own jobs."""

from __future__ import annotations

import logging
from collections.abc import Callable

from gateway.hooks import HealthFact, Job
from gateway.service.health import ERROR
from gateway.service.outbox import Subscriber
from gateway.service.services import Services
from gateway.steward.schedule import Task

OUTBOX_SECONDS = 0.3
HEALTH_ALARM = "health"

log = logging.getLogger("kurado.steward")


def tasks(services: Services, fence: int, stopping: Callable[[], bool]) -> list[Task]:
    """All tasks of a shift under the given fencing token."""
    services.watch.look_back()
    deliveries = [_delivery(services, one, fence, stopping) for one in services.outbox.subscribers()]
    chores = [
        Task("erase", 1.0, lambda: services.trees.erase_detached() > 0),
        Task("released", 5.0, lambda: services.sweeper.sweep_released() > 0),
        Task("lapsed", 5.0, _LapsedLeases(services).sweep),
        Task("unfinished", 3600.0, lambda: services.sweeper.drop_unfinished() > 0),
        Task("erasures", 20.0, lambda: services.erasures.forget_in_storage() > 0),
        Task("multipart", 60.0, lambda: services.multipart.expire() > 0),
        Task("kept versions", 10.0, lambda: services.versions.forget_orphans() > 0),
        Task("locks", 30.0, lambda: _purge_locks(services)),
        Task("trim", 60.0, lambda: services.outbox.trim() > 0),
        Task("health", 10.0, _Examination(services).run),
        Task("contracts", 1.0, services.contracts.upkeep.run),
        Task("billing", 30.0, services.billing.waiting.run),
        Task("bank accounts", 60.0, services.billing.accounts.erase_due),
        Task("incidents", 2.0, services.watch.run),
        Task("deadlines", 2.0, services.deadlines.run),
        Task("backups", 5.0, services.backups.run),
        Task("maintenance", 2.0, services.windows.post_regular),
        Task("notices", 1.0, services.notices.deriving.run),
        Task("timely", 5.0, services.notices.timely.run),
        Task("board", 1.0, services.board.run),
        Task("mail", 1.0, lambda: services.notices.sending.run(stopping)),
    ]
    return deliveries + chores + [_job(job) for job in services.host.jobs()]


def _delivery(services: Services, subscriber: Subscriber, fence: int, stopping: Callable[[], bool]) -> Task:
    return Task(
        f"outbox.{subscriber.name}",
        OUTBOX_SECONDS,
        lambda: services.outbox.deliver(subscriber, fence, stopping) > 0,
    )


class _LapsedLeases:
    """Sweeps after processes that ended without stopping. When all leases lapsed together, the machine itself stood
    still: whoever lives renews at once, so a lease counts only if it is found lapsed a second time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._seen: set[str] = set()

    def sweep(self) -> bool:
        sweeper = self._services.sweeper
        lapsed = sweeper.lapsed()
        waiting, self._seen = lapsed - self._seen, lapsed
        swept = None if waiting else sweeper.sweep_lapsed()
        if swept:
            log.warning(
                "swept after processes that ended without stopping",
                extra={
                    "boots": swept.boots,
                    "reservations": swept.reservations,
                    "staged": swept.staged,
                    "blobs": swept.blobs,
                },
            )
        return False


def _purge_locks(services: Services) -> bool:
    now = services.clock()
    services.db.write(lambda tx: tx.locks.purge(now)).result()
    return False


def _job(job: Job) -> Task:
    def run() -> bool:
        job.run()
        return False

    return Task(f"job.{job.name}", job.every, run)


class _Examination:
    """Stores the health facts and raises an alarm for each that turned to error, clearing it when it is well again."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._bad: set[str] | None = None

    def run(self) -> bool:
        facts = self._services.health.store_facts()
        if self._bad is None:
            # alarms of the steward before us
            self._bad = {alarm.subject for alarm in self._services.health.alarms() if alarm.kind == HEALTH_ALARM}
        bad = {fact.name: fact for fact in facts if fact.level == ERROR}
        for fact in bad.values():
            if fact.name not in self._bad:
                log.error("health", extra={"fact": fact.name, "text": fact.message})
                self._alarm(fact, fact.message)
        for name in self._bad - set(bad):
            log.warning("health", extra={"fact": name, "text": "well again"})
            self._alarm(HealthFact(name, "ok", ""), None)
        self._bad = set(bad)
        return False

    def _alarm(self, fact: HealthFact, message: str | None) -> None:
        now = self._services.clock()
        self._services.db.write(lambda tx: tx.system.alarm(HEALTH_ALARM, fact.name, message, now)).result()
