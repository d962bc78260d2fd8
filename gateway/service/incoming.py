"""Bytes on their way into the store, whatever becomes of them: staged, counted against the quota, digested, published.

:mod:`gateway.service.uploads` makes files of them, :mod:`gateway.service.multipart` parts.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from pathlib import Path as FilePath
from typing import Generic, Protocol, TypeVar

from gateway.blobstore import BlobStore
from gateway.domain.errors import (
    BackendUnavailable,
    DigestMismatch,
    IncompleteBody,
    KuradoError,
    QuotaExceeded,
    StorageFull,
    TooLarge,
)
from gateway.domain.ids import SMALL_BYTES, Ids
from gateway.domain.tenant import Limits
from gateway.domain.units import disk_reserve
from gateway.domain.upload import UploadInfo
from gateway.hooks import Inspector
from gateway.pluginhost import PluginHost
from gateway.service.digesting import Block, Digest, digesting
from gateway.service.guards import as_now
from gateway.service.settling import Settling
from gateway.service.smallblobs import SmallBlobs
from gateway.service.staging import Staging
from gateway.service.unit_of_work import Database

_LOOK = 0.1  # seconds between two looks at the disk for small bodies
RESERVE_STEP = 64 * 1024 * 1024
T = TypeVar("T")


@dataclass(frozen=True)
class UploadSettings:
    """``staging`` is a local folder, on the store's own file system where the store can adopt files; ``max_size`` in
    bytes, None is unlimited; ``flush`` False gives up durability (never the default). ``on_rows`` is called once,
    before the first content becomes a row."""

    staging: FilePath
    max_size: int | None = None
    flush: bool = True
    on_rows: Callable[[], None] = lambda: None


class Receiving:
    """What all uploads of a process share."""

    def __init__(
        self, db: Database, store: BlobStore, host: PluginHost, settling: Settling, ids: Ids, settings: UploadSettings
    ) -> None:
        self.db = db
        self.store = store
        self.host = host
        self.settling = settling
        self.ids = ids
        self.settings = settings
        self._unreturned: dict[int, int] = {}
        self._has_rows = False
        self._looked = float("-inf")
        self._found = 0
        self.unsettled: set[int] = set()
        """Uploads that may have left a blob which no version names: a process that ends with any must be swept."""

    def check_size(self, length: int | None) -> None:
        if length is not None and self.settings.max_size is not None and length > self.settings.max_size:
            raise TooLarge(f"the largest upload allowed has {self.settings.max_size} bytes")
        if length == 0:
            return
        if (length or 1) > self._room(length):
            raise StorageFull("the storage of this gateway is full")

    def _room(self, length: int | None) -> int:
        """Bytes that may still come in. For small bodies as of a moment ago: to look costs more than it tells."""
        moment = time.monotonic()
        if length is None or length > SMALL_BYTES or moment - self._looked > _LOOK:
            disk = os.statvfs(self.settings.staging)
            # twice: what the database keeps for itself may have been given up already
            self._found = disk.f_bavail * disk.f_frsize - 2 * disk_reserve(disk.f_blocks * disk.f_frsize)
            self._looked = moment
        return self._found

    @property
    def takes_small(self) -> bool:
        """Whether small contents are committed as rows, with what names them. Raises BackendUnavailable when the note
        that there are some cannot be made."""
        if not isinstance(self.store, SmallBlobs) or not self.store.takes_small:
            return False
        if not self._has_rows:
            self.settings.on_rows()
            self._has_rows = True
        return True

    @property
    def owes_room(self) -> bool:
        """Whether the end of the next upload will try to return what could not be returned."""
        return bool(self._unreturned)

    def give_back(self, tenant_id: int, upload_id: int) -> None:
        """Ends a reservation that the database may hold. While it cannot be reached, the next upload that ends tries
        again: what nobody returned would eat the tenant's quota as long as this process lives."""
        self._unreturned[upload_id] = tenant_id
        self.retry_give_back()

    def retry_give_back(self) -> None:
        for upload_id, tenant_id in list(self._unreturned.items()):
            try:
                self.db.write(lambda tx: tx.tenants.unreserve(tenant_id, upload_id), tenant_id).result()  # noqa: B023
            except KuradoError:
                return
            self._unreturned.pop(upload_id, None)


class Tap(Protocol):
    """Somebody besides the digests and inspectors who wants to see the bytes: the checksums of S3."""

    def feed(self, block: Block) -> None: ...
    def close(self) -> Mapping[str, str]:
        """All bytes were seen: facts for the version. Raises DigestMismatch to refuse them."""


class Keeps(Enum):
    """What becomes of the bytes until they are published: DURABLY is for those that lie nowhere else."""

    NOTHING = "nothing"
    FOR_PLUGINS = "for plugins"
    DURABLY = "durably"


class Incoming(Generic[T]):
    """Bytes on their way in, which become a ``T``. ``feed`` any number of times, then ``finish``; ``abort`` is always
    safe."""

    def __init__(
        self,
        uploads: Receiving,
        info: UploadInfo,
        limits: Limits,
        taps: Sequence[Tap] = (),
        digests: Collection[str] = (),
        keeps: Keeps = Keeps.DURABLY,
    ) -> None:
        self._uploads = uploads
        self._settling = uploads.settling
        self.info = info
        self._limits = limits
        self._taps = taps
        self._facts = dict(info.declared.facts)
        self.id = uploads.ids.new(self._settling.clock())
        self._size = 0
        self._reserved = 0
        self._holds_place = False
        self._awaited = False
        self._inspectors: list[Inspector] = []
        wanted = {"sha-256", *info.declared.digests, *digests}
        self._digests: dict[str, Digest] = {name: hashlib.new(name.replace("-", "")) for name in wanted}
        self._staging: Staging | None = None
        if keeps is not Keeps.NOTHING:
            flush = keeps is Keeps.DURABLY and uploads.settings.flush
            self._staging = Staging(uploads.settings.staging, f"{self._settling.boot_id}-{self.id:x}", flush=flush)
            self._staging.expect(info.declared.known_length or 0)

    def _complete(self) -> Future[T]:
        """All bytes are there, as they were declared: makes them what they are to be. The future waits for nothing but
        the commit of what the upload does not hold any more."""
        raise NotImplementedError

    # -- receive ------------------------------------------------------------------------------------------------------

    def feed(self, block: Block) -> None:
        """Takes the next bytes: to the staging file, the digests and every inspector. The block is the caller's again
        afterwards.

        Raises IncompleteBody above the declared length, TooLarge, QuotaExceeded, StorageFull, or an inspector's no.
        """
        if not block:
            return
        self._size += len(block)
        known = self.info.declared.known_length
        if known is not None and self._size > known:
            raise IncompleteBody(f"the body is longer than the {known} bytes declared")
        limit = self._uploads.settings.max_size
        if limit is not None and self._size > limit:
            raise TooLarge(f"the largest upload allowed has {limit} bytes")
        self._reserve()
        with digesting(self._digests.values(), block):
            if self._staging is not None:
                self._staging.write(block)
            for tap in self._taps:
                tap.feed(block)
            if self._inspectors:
                own = bytes(block)  # which a plugin may keep
                for inspector in self._inspectors:
                    inspector.feed(own)

    def _reserve(self) -> None:
        """Large bodies and those of unknown length hold their place in the quota while they arrive, step by step."""
        known = self.info.declared.known_length
        growth = self._size - self.info.replaces
        if (known is not None and known <= RESERVE_STEP) or growth <= self._reserved:
            return
        step = max(RESERVE_STEP, growth - self._reserved)
        if known is not None:
            step = min(step, known - self.info.replaces - self._reserved)
        tenant_id, boot_id = self.info.caller.tenant.id, self._settling.boot_id
        self._holds_place = True  # also when the database does not say what became of it
        try:
            self._reserve_bytes(tenant_id, boot_id, step)
        except QuotaExceeded:
            if step <= growth - self._reserved:
                raise
            step = growth - self._reserved  # near the limit: no more than what has really arrived
            self._reserve_bytes(tenant_id, boot_id, step)
        self._reserved += step

    def _reserve_bytes(self, tenant_id: int, boot_id: str, step: int) -> None:
        self._uploads.db.write(
            lambda tx: tx.tenants.reserve(tenant_id, boot_id, self.id, step, self._limits), tenant_id
        ).result()

    # -- close --------------------------------------------------------------------------------------------------------

    def finish(self) -> T:
        """Closes, inspects and commits; after it returns the content is durable in its place.

        Raises IncompleteBody, DigestMismatch, ContentRejected and its kinds, QuotaExceeded, Locked,
        PreconditionFailed, StorageFull, Unavailable; the old content is untouched then.
        """
        try:
            self._close()
            self._limits = self._limits_now()
            with self._telling_digest():
                done = self._complete().result()
            self._holds_place = False
            return done
        finally:
            self.abort()

    def finish_with(self, content: bytes, *, awaited: bool = False) -> Future[T]:
        """``feed`` of the whole body and ``finish``; what it raises is raised at once, or by the future when only the
        commit is refused. ``awaited``: by the event loop that calls this."""
        self._awaited = awaited
        try:
            self.feed(content)
            self._close()
            with self._telling_digest():
                return self._complete()
        finally:
            self.abort()

    def _limits_now(self) -> Limits:
        """What may be stored now: a body may have taken hours."""
        return self._settling.limits(self._uploads.db.read(lambda tx: as_now(tx, self.info.caller)).tenant)

    @contextlib.contextmanager
    def _telling_digest(self) -> Iterator[None]:
        """Whoever is refused from here on is refused for these bytes."""
        try:
            yield
        except KuradoError as error:
            error.digest = error.digest or self._digests["sha-256"].hexdigest()
            raise

    def _close(self) -> None:
        known = self.info.declared.known_length
        if known is not None and self._size != known:
            raise IncompleteBody(f"{self._size} of {known} declared bytes arrived")
        for name, wanted in self.info.declared.digests.items():
            if self._digests[name].hexdigest() != wanted.lower():
                raise DigestMismatch(f"the {name} digest of the body is not the one declared", name)
        for tap in self._taps:
            self._facts.update(tap.close())
        if self._staging is not None:
            self._staging.end()

    # -- commit -------------------------------------------------------------------------------------------------------

    def _publish_and_commit(self, blob_id: str, commit: Callable[[], Future[T]]) -> Future[T]:
        """Makes the bytes durable in the store, under a key that nothing names yet, and commits what names it. While
        the upload is in ``unsettled``, the store may hold a blob that nothing names."""
        unsettled = self._uploads.unsettled
        unsettled.add(self.id)
        try:
            if blob_id and self._staging is not None:
                self._staging.publish(self._uploads.store, blob_id)
            committed = commit()
            committed.result()
        except BackendUnavailable:
            # the database may have committed before it went away: only the sweeper can tell, later
            raise
        except KuradoError:
            with contextlib.suppress(KuradoError):
                if blob_id:
                    self._uploads.store.delete(blob_id)
                unsettled.discard(self.id)
            raise
        unsettled.discard(self.id)
        return committed

    def abort(self) -> None:
        """Ends the upload and leaves nothing behind; after ``finish`` it does nothing."""
        for inspector in self._inspectors:
            inspector.abort()
        self._inspectors = []
        if self._staging is not None:
            self._staging.discard()
        if self._holds_place:
            self._holds_place = False
            self._uploads.give_back(self.info.caller.tenant.id, self.id)
        else:
            self._uploads.retry_give_back()
