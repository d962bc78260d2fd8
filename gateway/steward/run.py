"""The steward process: waits for the one lease, works while it holds it, and takes part again when it lost it."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from gateway.domain.errors import KuradoError
from gateway.service.leases import LEASE_MS, RENEW_SECONDS, LeaseKeeper, LeaseLost
from gateway.service.services import Services
from gateway.steward.schedule import Shift
from gateway.steward.tasks import tasks

log = logging.getLogger("kurado.steward")


def run_steward(services: Services, leases: LeaseKeeper, ready: Callable[[], None]) -> None:
    """Works until SIGTERM. ``leases`` is of the role "steward"; ``ready`` is told once, before any work: a second
    steward is as ready as the first, it takes over when that one's lease ends."""
    stop = threading.Event()

    def on_term(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_term)
    ready()
    Steward(services, leases, stop).run()


class Steward:
    def __init__(self, services: Services, leases: LeaseKeeper, stop: threading.Event) -> None:
        self._services = services
        self._leases = leases
        self._stop = stop

    def run(self) -> None:
        """Takes the lease whenever it is free and works while it is held, until stopped."""
        while not self._stop.is_set():
            fence = self._take_lease()
            if fence is None:
                self._stop.wait(RENEW_SECONDS / 2)
                continue
            log.info("steward at work", extra={"fence": fence})
            self._work(fence)

    def _take_lease(self) -> int | None:
        try:
            lease = self._leases.grant()
        except KuradoError as error:
            log.warning("no lease", extra={"reason": str(error)})
            return None
        return None if lease is None else lease.fence

    def _work(self, fence: int) -> None:
        shift: Shift
        shift = Shift(tasks(self._services, fence, lambda: self._stop.is_set() or shift.is_over))
        shift.start()
        try:
            self._hold(shift)
        finally:
            shift.end()
            if not self._stop.is_set():
                self._give_up()

    def _hold(self, shift: Shift) -> None:
        """Renews until told to stop or the lease is lost. A steward whose database is away stops working before its
        lease can have lapsed for others."""
        renewed = time.monotonic()
        while not self._stop.wait(RENEW_SECONDS) and not shift.is_over:
            try:
                self._leases.renew()
                renewed = time.monotonic()
            except LeaseLost:
                log.warning("lease lost")
                return
            except KuradoError as error:
                log.warning("lease not renewed", extra={"reason": str(error)})
                if time.monotonic() - renewed > LEASE_MS / 1000 * 0.7:
                    return

    def _give_up(self) -> None:
        try:
            self._leases.forget()
        except KuradoError as error:
            log.warning("lease not given back", extra={"reason": str(error)})
