"""Leases: one life of one process, kept in the database so that it can be seen to end.

A process that writes blobs holds one and renews it; a commit asserts it. Once it has lapsed, what the process left
(reservations, staged files, blobs that no version names) may be swept by the steward. The steward's own lease makes
each job run on one machine only: its ``fence`` is the token that its writes carry (DESIGN section 8).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from gateway.domain.errors import KuradoError
from gateway.service.stored import Lease
from gateway.service.unit_of_work import Database, Tx

LEASE_MS = 10_000
RENEW_SECONDS = 2.0
STEWARD = "steward"


class LeaseLost(Exception):
    """The lease lapsed and was swept: this process may not commit any more and must end."""


class LeaseKeeper:
    """The lease of this process. Thread-safe. ``host`` names the machine and its data folder, ``pid`` the process."""

    def __init__(self, db: Database, *, boot_id: str, role: str, host: str, pid: int, clock: Callable[[], int]) -> None:
        self._db = db
        self._boot_id = boot_id
        self._role = role
        self._host = host
        self._pid = pid
        self._clock = clock
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.lease: Lease | None = None

    @property
    def boot_id(self) -> str:
        return self._boot_id

    def grant(self) -> Lease | None:
        """Takes the lease; for the role "steward" None while another machine's steward lives."""
        with self._lock:
            if self.lease is None:
                now = self._clock()
                self.lease = self._db.write(
                    lambda tx: tx.leases.grant(self._boot_id, self._role, self._host, self._pid, now, now + LEASE_MS)
                ).result()
            return self.lease

    def renew(self) -> None:
        """Moves the end of the lease. LeaseLost when it was swept; Unavailable while the database is away (the lease
        then lapses by itself, and commits fail with it)."""
        expires_at = self._clock() + LEASE_MS
        if not self._db.write(lambda tx: tx.leases.renew(self._boot_id, expires_at), aside=True).result():
            self.lease = None
            raise LeaseLost(f"the lease of {self._role} {self._boot_id} has lapsed")

    def keep(self, on_lost: Callable[[], None] = lambda: None) -> None:
        """Takes the lease and renews it in a thread of its own until ``drop``. ``on_lost`` is called there when it was
        swept: nothing that this process writes can be committed any more."""
        self.grant()
        if self._thread is None:
            self._thread = threading.Thread(target=self._renew_for_ever, args=(on_lost,), name="lease", daemon=True)
            self._thread.start()

    def drop(self, *, to_sweep: bool = False) -> None:
        """Gives the lease back with all that the process had reserved. Nothing can be committed any more.

        ``to_sweep``: the process may have left blobs that no version names. The lease then ends and stays for the
        sweeper, as if the process had died.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.forget(to_sweep=to_sweep)

    def forget(self, *, to_sweep: bool = False) -> None:
        """The same, but the lease can be taken again."""
        with self._lock:
            if self.lease is None:
                return
            self.lease = None

            def give_back(tx: Tx) -> None:
                tx.tenants.drop_reservations([self._boot_id])
                if to_sweep:
                    tx.leases.renew(self._boot_id, 0)
                else:
                    tx.leases.remove(self._boot_id)

            self._db.write(give_back).result()

    def _renew_for_ever(self, on_lost: Callable[[], None]) -> None:
        while not self._stop.wait(RENEW_SECONDS):
            try:
                self.renew()
            except LeaseLost:
                on_lost()
                return
            except KuradoError:
                continue
