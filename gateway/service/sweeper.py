"""Removes what crashes and overwrites leave behind, and nothing else.

Between "blob durable" and its transaction a blob looks unreferenced. Blob ids therefore begin with the boot id of the
process that wrote them, commits assert that process's lease, and unreferenced blobs are touched only once it has lapsed
(DESIGN section 4, sweeper). A released blob goes when every subscriber has passed its event, no version names it any
more, and readers that had opened it have had their time.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.blobstore import Unfinished
from gateway.domain.errors import NotFound
from gateway.service.composed import Composed
from gateway.service.stored import Lease
from gateway.service.unit_of_work import Database, Tx

READ_GRACE_MS = 60_000
COMMIT_MARGIN_MS = 5_000
UNFINISHED_MS = 86_400_000
BATCH = 500
_STAGED = re.compile(r"[0-9a-f]{12}-[0-9a-f]+")

log = logging.getLogger("kurado.sweeper")


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did: processes that had died, and what was taken back from them."""

    boots: int = 0
    reservations: int = 0
    staged: int = 0
    blobs: int = 0

    def __bool__(self) -> bool:
        return any((self.boots, self.reservations, self.staged, self.blobs))


def boot_of(name: str) -> str:
    """The boot id that a blob id or the name of a staged file begins with."""
    return name.rsplit("/", 1)[-1].partition("-")[0]


class Sweeper:
    """``staging`` is where uploads wait, ``subscribers`` names those whose cursors hold released blobs back."""

    def __init__(
        self,
        db: Database,
        store: Composed,
        staging: Path,
        subscribers: Callable[[], Sequence[str]],
        clock: Callable[[], int],
        read_grace_ms: int = READ_GRACE_MS,
    ) -> None:
        self._db = db
        self._store = store
        self._staging = staging
        self._subscribers = subscribers
        self._clock = clock
        self._read_grace_ms = read_grace_ms

    # -- processes that ended without a word --------------------------------------------------------------------------

    def end_leases_of(self, host: str, is_running: Callable[[Lease], bool]) -> int:
        """Ends the leases that processes of this machine left when they died, instead of waiting until they lapse.

        To be called when nothing else can be running on this data folder.
        """

        def end(tx: Tx) -> int:
            dead = [lease for lease in tx.leases.live(0) if lease.host == host and not is_running(lease)]
            for lease in dead:
                tx.leases.renew(lease.boot_id, 0)
            return len(dead)

        return self._db.write(end).result()

    def drop_lapsed(self) -> Swept:
        """Reservations and staged files of lapsed processes. Their leases stay until their blobs were swept too."""

        def drop(tx: Tx) -> tuple[list[str], int]:
            boots = [lease.boot_id for lease in self._end_lapsed(tx)]
            return boots, tx.tenants.drop_reservations(boots) if boots else 0

        boots, reservations = self._db.write(drop).result()
        return Swept(boots=len(boots), reservations=reservations, staged=self.drop_staged())

    def drop_staged(self) -> int:
        """Removes staged files whose process is over; returns how many."""
        left_over = self.staged()
        for name in left_over:
            (self._staging / name).unlink(missing_ok=True)
        return len(left_over)

    def staged(self) -> list[str]:
        """The names of staged files whose process is over."""
        names = [file.name for file in _files(self._staging) if _STAGED.fullmatch(file.name)]
        if not names:
            return []
        # read after the files were listed: a process takes its lease before it stages anything
        live = self._db.read(self._live)
        return [name for name in names if boot_of(name) not in live]

    def lapsed(self) -> set[str]:
        """The boot ids whose leases have lapsed."""
        return {lease.boot_id for lease in self._db.read(self._lapsed)}

    def sweep_lapsed(self) -> Swept:
        """Everything that lapsed processes left, and then their leases."""
        if not self.lapsed():  # nearly always; a commit for nothing is a flush, and caches look anew after it
            return Swept(0, 0, self.drop_staged(), 0)
        swept = self.drop_lapsed()
        lapsed = self._db.write(self._end_lapsed).result()
        blobs = 0
        for lease in lapsed:
            blobs += self._sweep_boot(lease.boot_id)
            self._db.write(lambda tx: tx.leases.remove(lease.boot_id)).result()  # noqa: B023
        return Swept(len(lapsed), swept.reservations, swept.staged, blobs)

    def _end_lapsed(self, tx: Tx) -> list[Lease]:
        """Ends lapsed leases for good: a process that was only paused can then neither renew nor commit, and nothing
        of what is swept now can become referenced. The margin lets a commit end that saw its lease alive."""
        lapsed = self._lapsed(tx)
        for lease in lapsed:
            tx.leases.renew(lease.boot_id, 0)
        return lapsed

    def _lapsed(self, tx: Tx) -> list[Lease]:
        return tx.leases.lapsed(self._clock() - COMMIT_MARGIN_MS)

    def _sweep_boot(self, boot_id: str) -> int:
        left_over = self._needless([(info.key, info.size) for info in self._store.list(f"{boot_id}-")])
        for key, _ in left_over:
            self._store.delete(key)
        if isinstance(self._store, Unfinished):
            self._store.drop_unfinished(f"{boot_id}-")
        return len(left_over)

    def drop_unfinished(self) -> int:
        """What writers left in the store that no lease tells of (commands, restores): when a day has passed over it."""
        if not isinstance(self._store, Unfinished):
            return 0
        return self._store.drop_unfinished("", self._clock() - UNFINISHED_MS)

    def _needless(self, blobs: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        """Those that no version names and that are not waiting for deletion (these go by ``sweep_released``)."""
        if not blobs:
            return []
        needless = []
        for start in range(0, len(blobs), BATCH):
            some = blobs[start : start + BATCH]
            needless += self._db.read(
                lambda tx: [blob for blob in some if not tx.nodes.referenced(blob[0])]  # noqa: B023
            )
        # looked at last: a blob that is released in between must not be taken for one that nobody ever named
        waiting = self._db.read(lambda tx: {one.blob_id for one in tx.blobs.released(sys.maxsize)})
        return [blob for blob in needless if blob[0] not in waiting]

    # -- blobs that lost their last reference -------------------------------------------------------------------------

    def sweep_released(self, limit: int = BATCH) -> int:
        """Deletes released blobs that nobody needs any more; returns how many."""
        names = list(self._subscribers())
        before = self._clock() - self._read_grace_ms

        def look(tx: Tx) -> tuple[list[str], list[str]]:
            passed = [one.blob_id for one in tx.blobs.passed(names, before, limit)]
            return passed, tx.nodes.unreferenced(passed)

        passed, needless = self._db.read(look)
        if not passed:
            return 0
        # a blob without a reference cannot get one again: only versions are copied, and its writer's commit is over.
        # Bytes first, then the rows: a crash between the two repeats the deletes, which is no error
        self._store.delete_all(needless)
        self._db.write(lambda tx: _forget(tx, passed, set(needless))).result()
        return len(needless)

    def unreferenced(self) -> list[tuple[str, int]]:
        """(key, size) of all blobs that no version names, that are not waiting for deletion, and whose process is
        over and was swept: for fsck. What a process left that has not been swept yet is the steward's next work."""
        # processes begin and sweeps end while the store is listed: both looks count, and what is gone is no finding
        noted = self._db.read(self._noted)
        stored = [(info.key, info.size) for info in self._store.list()]
        noted |= self._db.read(self._noted)
        needless = self._needless([blob for blob in stored if boot_of(blob[0]) not in noted])
        return [blob for blob in needless if self._is_stored(blob[0])]

    def _is_stored(self, key: str) -> bool:
        try:
            self._store.stat(key)
        except NotFound:
            return False
        return True

    def forgotten(self) -> list[str]:
        """The names of staged files whose process is over and was swept: for fsck."""
        noted = self._db.read(self._noted)
        staged = self.staged()
        noted |= self._db.read(self._noted)
        return [name for name in staged if boot_of(name) not in noted and (self._staging / name).exists()]

    def _noted(self, tx: Tx) -> set[str]:
        now = self._clock()
        return {lease.boot_id for lease in (*tx.leases.live(now), *tx.leases.lapsed(now))}

    def _live(self, tx: Tx) -> set[str]:
        return {lease.boot_id for lease in tx.leases.live(self._clock() - COMMIT_MARGIN_MS)}

    def delete_unreferenced(self, key: str) -> bool:
        """Deletes a blob that ``unreferenced`` named, if that is still so."""
        if not self._needless([(key, 0)]):
            return False
        self._store.delete(key)
        return True


def _files(folder: Path) -> list[Path]:
    try:
        return [file for file in folder.iterdir() if file.is_file()]
    except FileNotFoundError:
        return []


def _forget(tx: Tx, blob_ids: Sequence[str], deleted: Collection[str]) -> None:
    """Blobs that wait for deletion no longer: what was deleted, and what a version names again."""
    for blob_id in blob_ids:
        if blob_id in deleted or tx.nodes.referenced(blob_id):
            tx.blobs.forget(blob_id)
