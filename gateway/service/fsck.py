"""Compares what the database says with what is stored, and puts right what can be.

May run beside a serving gateway: every finding is looked at again in the transaction that repairs it, and what a live
process has under way is left alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gateway.blobstore import BlobStore
from gateway.domain.errors import DamagedBlob, NotFound
from gateway.domain.events import TENANT_CHANGED
from gateway.domain.tenant import Tenant
from gateway.service.accounts import tenant_to_json
from gateway.service.damages import Damages
from gateway.service.settling import Settling
from gateway.service.sweeper import Sweeper
from gateway.service.trees import system_caller
from gateway.service.unit_of_work import Database, Tx

PAGE = 1000
_BLOCK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """``kind``: usage, missing-blob, wrong-size, wrong-digest, damaged-blob, unreferenced-blob, left-over, reservation.

    ``subject`` is a tenant or a blob id, never a file name.
    """

    kind: str
    subject: str
    message: str
    repaired: bool = False


class Fsck:
    def __init__(
        self,
        db: Database,
        store: BlobStore,
        sweeper: Sweeper,
        settling: Settling,
        clock: Callable[[], int],
        damages: Damages,
    ) -> None:
        self._db = db
        self._store = store
        self._sweeper = sweeper
        self._settling = settling
        self._clock = clock
        self._damages = damages

    def run(self, *, repair: bool = False, deep: bool = False) -> Iterator[Finding]:
        """Yields what is wrong. ``deep`` reads every blob and compares its digest."""
        yield from self._left_overs(repair)
        yield from self._usage(repair)
        yield from self._reservations(repair)
        yield from self._blobs(repair, deep)
        yield from self._unreferenced(repair)

    # -- figures ------------------------------------------------------------------------------------------------------

    def _usage(self, repair: bool) -> Iterator[Finding]:
        for tenant in self._db.read(lambda tx: tx.tenants.all()):
            wrong = self._db.read(lambda tx: _wrong_usage(tx, tenant.id))  # noqa: B023
            if wrong is None:
                continue
            used, counted = wrong
            text = f"used {used[0]} bytes in {used[1]} files, but there are {counted[0]} in {counted[1]}"
            if repair:
                self._db.write(lambda tx: self._settle(tx, tenant.id)).result()  # noqa: B023
            yield Finding("usage", tenant.name, text, repair)

    def _settle(self, tx: Tx, tenant_id: int) -> None:
        """Puts the figures right by an event, so that metering and replica follow."""
        wrong = _wrong_usage(tx, tenant_id)
        tenant = tx.tenants.by_id(tenant_id)
        if wrong is None or tenant is None:
            return
        (used_bytes, used_files), (size, files) = wrong
        self._settling.record(
            tx,
            system_caller(tenant),
            TENANT_CHANGED,
            tenant_to_json(tenant),
            self._clock(),
            bytes=size - used_bytes,
            files=files - used_files,
        )

    def _reservations(self, repair: bool) -> Iterator[Finding]:
        """Bytes reserved beyond those of pending parts while no process lives that could have reserved them."""
        now = self._clock()

        def idle(tx: Tx) -> list[tuple[Tenant, int]]:
            found = [] if tx.leases.live(now) else [tenant for tenant in tx.tenants.all() if tenant.reserved_bytes]
            extra = [(tenant, tenant.reserved_bytes - tx.multipart.reserved(tenant.id)) for tenant in found]
            return [(tenant, size) for tenant, size in extra if size]

        for tenant, size in self._db.read(idle):
            if repair:
                self._db.write(lambda tx: _unreserve(tx, tenant.id, now)).result()  # noqa: B023
            text = f"{size} bytes reserved, and nothing is being uploaded"
            yield Finding("reservation", tenant.name, text, repair)

    # -- left behind --------------------------------------------------------------------------------------------------

    def _left_overs(self, repair: bool) -> Iterator[Finding]:
        """What processes left that ended without stopping is swept by the steward; here is what it forgot."""
        if repair:
            self._sweeper.sweep_lapsed()
        for name in self._sweeper.forgotten():
            if repair:
                self._sweeper.drop_staged()
            yield Finding("left-over", name, "an unfinished upload of a process that ended", repair)

    def _unreferenced(self, repair: bool) -> Iterator[Finding]:
        # a database that knows nobody is an empty one in the place of the real one: its blobs are all that is left
        repair = repair and bool(self._db.read(lambda tx: tx.tenants.all()))
        for key, size in self._sweeper.unreferenced():
            repaired = repair and self._sweeper.delete_unreferenced(key)
            yield Finding("unreferenced-blob", key, f"no version names these {size} bytes", repaired)

    # -- bytes --------------------------------------------------------------------------------------------------------

    def _blobs(self, repair: bool, deep: bool) -> Iterator[Finding]:
        """Every referenced blob exists, has its size and (deep) its digest. A repair needs the replica: it is asked for
        by a report, which the steward follows up."""
        after = ""
        while page := self._db.read(lambda tx: tx.nodes.blobs(after, PAGE)):  # noqa: B023
            for blob_id, size, sha256 in page:
                finding = self._blob(blob_id, size, sha256, deep) if blob_id else None
                if finding and self._db.read(lambda tx: tx.nodes.referenced(blob_id)):  # noqa: B023
                    if repair:
                        self._damages.report(blob_id, finding.message)
                    yield finding
            after = page[-1][0]

    def _blob(self, blob_id: str, size: int, sha256: str, deep: bool) -> Finding | None:
        try:
            stored = self._store.stat(blob_id).size
            if stored != size:
                return Finding("wrong-size", blob_id, f"{stored} bytes are stored, {size} were committed")
            if deep and sha256 and self._digest(blob_id) != sha256:
                return Finding("wrong-digest", blob_id, "the bytes are not those that were committed")
        except DamagedBlob as error:
            return Finding("damaged-blob", blob_id, error.message)
        except NotFound:
            return Finding("missing-blob", blob_id, f"{size} bytes are gone: kurado replica resync may bring them back")
        return None

    def _digest(self, blob_id: str) -> str:
        digest = hashlib.sha256()
        with self._store.open(blob_id) as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest()


def _wrong_usage(tx: Tx, tenant_id: int) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """(used, counted) as (bytes, files) when they differ."""
    tenant = tx.tenants.by_id(tenant_id)
    if tenant is None:
        return None
    used, counted = (tenant.used_bytes, tenant.used_files), tx.nodes.totals(tenant_id)
    return None if used == counted else (used, counted)


def _unreserve(tx: Tx, tenant_id: int, now: int) -> None:
    tenant = tx.tenants.by_id(tenant_id)
    if tenant is not None and not tx.leases.live(now):
        tx.tenants.set_usage(tenant_id, tenant.used_bytes, tenant.used_files, tx.multipart.reserved(tenant_id))
