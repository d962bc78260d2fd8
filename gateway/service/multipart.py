"""Uploads by parts: parts come in any order and at any gate, wait in the store, and become one file by a transaction.

Pending parts hold their place in the quota. Completing writes rows, no second copy of the bytes; they are read as
one stream by the inspectors and for the digest of the whole: what was split over parts is seen as what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from typing import BinaryIO

from gateway.blobstore import BlobStore, LocalPaths
from gateway.domain.errors import NoUpload, QuotaExceeded, Unavailable
from gateway.domain.ids import new_blob_id
from gateway.domain.multipart import (
    MAX_PART_CHECKSUMS,
    PART_CHECKSUMS_FACT,
    PARTS_FACT,
    MultipartUpload,
    Part,
    Segment,
    composed_blob_id,
    etag_of_parts,
    parse_public_id,
    sizes_to_text,
)
from gateway.domain.names import Path, check_path
from gateway.domain.node import Version
from gateway.domain.tenant import Caller, Limits
from gateway.domain.upload import NO_CONDITIONS, Conditions, Declared, PropertyChange, StagedContent, UploadInfo
from gateway.service.composed import joined
from gateway.service.guards import as_now, require_writer
from gateway.service.incoming import Incoming, Keeps, Tap
from gateway.service.partrows import BOOT
from gateway.service.placing import BY_KEY, find_bucket, find_key
from gateway.service.readthrough import read_through
from gateway.service.results import Placed
from gateway.service.staging import Staging
from gateway.service.stored import Released
from gateway.service.unit_of_work import Tx
from gateway.service.uploads import Upload, Uploads

EXPIRY_MS = 7 * 86_400_000
CHECKSUM_FACT = "checksum"
UPLOAD_FACT = "upload"
"""The fact of a version that tells of which upload it is: who asks twice to complete it gets the same answer."""
_BLOCK = 1024 * 1024
_BATCH = 100


class Multipart:
    """All methods raise NoBucket and, where an upload is named, NoUpload; those that change something Forbidden."""

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads
        self._db = uploads.db
        self._settling = uploads.settling

    # -- begin, end ---------------------------------------------------------------------------------------------------

    def begin(self, caller: Caller, path: Path, wanted: MultipartUpload) -> MultipartUpload:
        """Notes a new upload for the key ``path``, as ``wanted`` describes it (ids and times are given here).

        Raises what an upload to that place is refused with.
        """
        check_path(path)
        declared = Declared(None, wanted.content_type, md5_etag=True)
        self._uploads.admit(caller, path, declared, NO_CONDITIONS, BY_KEY)

        def work(tx: Tx) -> MultipartUpload:
            now = self._settling.clock()
            upload = replace(
                wanted,
                id=self._uploads.ids.new(now),
                tenant_id=caller.tenant.id,
                bucket_id=find_bucket(tx, caller, path[0]).id,
                key=path[1:],
                user=caller.user.login,
                started_at=now,
            )
            tx.multipart.begin(upload)
            return upload

        return self._db.write(work, caller.tenant.id).result()

    def find(self, caller: Caller, path: Path, public_id: str) -> MultipartUpload:
        """A pending upload to a key."""
        return self._db.read(lambda tx: find_upload(tx, caller, path, public_id))

    def abort(self, caller: Caller, path: Path, public_id: str) -> None:
        """Forgets an upload with all its parts."""
        require_writer(caller)

        def work(tx: Tx) -> None:
            self._drop(tx, find_upload(tx, caller, path, public_id))

        self._db.write(work, caller.tenant.id).result()

    def expire(self, older_ms: int = EXPIRY_MS) -> int:
        """Forgets uploads that nobody has completed, and those whose bucket is gone; returns how many (the steward)."""
        before = self._settling.clock() - older_ms
        stale = self._db.read(lambda tx: [*tx.multipart.begun_before(before, _BATCH), *tx.multipart.orphans(_BATCH)])
        for upload in stale:
            self._db.write(lambda tx: self._drop(tx, upload), upload.tenant_id).result()  # noqa: B023
        return len(stale)

    def _drop(self, tx: Tx, upload: MultipartUpload) -> None:
        parts = tx.multipart.end(upload.id)
        tx.tenants.unreserve_all(upload.tenant_id, [part.id for part in parts])
        release(tx, upload.tenant_id, [part.blob_id for part in parts], self._settling.clock())

    # -- parts --------------------------------------------------------------------------------------------------------

    def open_part(
        self, caller: Caller, path: Path, public_id: str, number: int, declared: Declared, taps: Sequence[Tap] = ()
    ) -> PartUpload:
        """Admits a part. Raises QuotaExceeded, TooLarge, StorageFull."""
        require_writer(caller)
        self._uploads.check_size(declared.known_length)

        def look(tx: Tx) -> tuple[MultipartUpload, Caller, int]:
            upload = find_upload(tx, caller, path, public_id)
            before = [part.size for part in tx.multipart.parts(upload.id, number - 1, 1) if part.number == number]
            return upload, as_now(tx, caller), sum(before)

        upload, caller, before = self._db.read(look)
        limits = self._settling.limits(caller.tenant)
        used = caller.tenant.used_bytes + caller.tenant.reserved_bytes - before
        if limits.bytes is not None and declared.length and used + declared.length > limits.bytes:
            raise QuotaExceeded(used=used, allowed=limits.bytes)
        return PartUpload(self._uploads, UploadInfo(caller, path, declared, before), limits, taps, upload, number)

    def parts(
        self, caller: Caller, path: Path, public_id: str, after: int = 0, limit: int | None = None
    ) -> tuple[MultipartUpload, list[Part]]:
        """An upload and its parts by number, those after ``after`` only."""

        def work(tx: Tx) -> tuple[MultipartUpload, list[Part]]:
            upload = find_upload(tx, caller, path, public_id)
            return upload, tx.multipart.parts(upload.id, after, limit)

        return self._db.read(work)

    def pending(
        self, caller: Caller, bucket: str, prefix: str, after: tuple[str, int], limit: int
    ) -> list[MultipartUpload]:
        """Pending uploads into a bucket, by key and id, after (key, id)."""
        return self._db.read(
            lambda tx: tx.multipart.of_bucket(find_bucket(tx, caller, bucket).id, prefix, after, limit)
        )

    # -- complete -----------------------------------------------------------------------------------------------------

    def complete(
        self,
        caller: Caller,
        path: Path,
        upload: MultipartUpload,
        parts: Sequence[Part],
        conditions: Conditions = NO_CONDITIONS,
        taps: Sequence[Tap] = (),
    ) -> Placed:
        """Makes these parts, in this order, the content of the key. Raises what an upload raises, NoUpload when another
        was faster, Unavailable when a part changed meanwhile."""
        declared = Declared(
            length=sum(part.size for part in parts),
            content_type=upload.content_type,
            mtime=upload.mtime,
            facts={
                **upload.facts,
                PARTS_FACT: sizes_to_text(part.size for part in parts),
                UPLOAD_FACT: upload.public_id,
                **_part_checksums(parts),
            },
            properties=PropertyChange(_S3_PROPERTIES, upload.properties),
        )
        held = self._db.read(lambda tx: sum(part.size for part in tx.multipart.parts(upload.id)))
        info = self._uploads.admit(caller, path, declared, conditions, BY_KEY, held)
        limits = self._settling.limits(info.caller.tenant)
        composition = Composition(self._uploads, info, conditions, limits, taps, upload, parts)
        try:
            composition.read(self._uploads.store)
            return composition.finish()
        finally:
            composition.abort()

    def completed(self, caller: Caller, path: Path, public_id: str) -> Placed:
        """The file that an upload has become, if it still is; NoUpload otherwise."""
        node = self._db.read(lambda tx: find_key(tx, caller, path)).node
        if node is None or node.version is None or node.version.facts.get(UPLOAD_FACT) != public_id:
            raise NoUpload(_NO_UPLOAD)
        return Placed(node, created=False)


_NO_UPLOAD = (
    "The specified multipart upload does not exist. The upload ID might be invalid, or the multipart upload might have "
    "been aborted or completed."
)
_S3_PROPERTIES = ("{urn:kurado:meta}", "{urn:kurado:s3}", "{DAV:}getcontentlanguage")
"""What a write over S3 replaces (``gateway.s3.metadata.OURS``)."""


def _part_checksums(parts: Sequence[Part]) -> dict[str, str]:
    values = [part.checksum.rpartition(" ")[2] for part in parts]
    if len(parts) > MAX_PART_CHECKSUMS or not all(values):
        return {}
    return {PART_CHECKSUMS_FACT: " ".join(values)}


def find_upload(tx: Tx, caller: Caller, path: Path, public_id: str) -> MultipartUpload:
    """NoUpload unless it is pending for that very key of that bucket."""
    bucket = find_bucket(tx, caller, path[0])
    number = parse_public_id(public_id)
    upload = tx.multipart.get(number) if number is not None else None
    if upload is None or (upload.tenant_id, upload.bucket_id, upload.key) != (caller.tenant.id, bucket.id, path[1:]):
        raise NoUpload(_NO_UPLOAD)
    return upload


def release(tx: Tx, tenant_id: int, blob_ids: Sequence[str], now: int) -> None:
    """Leaves blobs that no row names any more to the sweeper."""
    seq = tx.events.last_seq(tenant_id)
    for blob_id in blob_ids:
        if blob_id:
            tx.blobs.release(Released(blob_id, tenant_id, seq, now))


class PartUpload(Incoming[Part]):
    """A part on its way in. Nobody inspects it: what it is shows with the others."""

    def __init__(
        self,
        uploads: Uploads,
        info: UploadInfo,
        limits: Limits,
        taps: Sequence[Tap],
        upload: MultipartUpload,
        number: int,
    ) -> None:
        super().__init__(uploads, info, limits, taps, ("md5",))
        self._upload = upload
        self._number = number

    def _complete(self) -> Future[Part]:
        now = self._settling.clock()
        tenant_id = self.info.caller.tenant.id
        # a number of its own: what becomes of the part's place is no business of this upload's end
        part_id = self._uploads.ids.new(now)
        part = Part(
            id=part_id,
            upload_id=self._upload.id,
            number=self._number,
            blob_id=new_blob_id(self._settling.boot_id, part_id, tenant_id) if self._size else "",
            size=self._size,
            md5=self._digests["md5"].hexdigest(),
            sha256=self._digests["sha-256"].hexdigest(),
            checksum=self._facts.get(CHECKSUM_FACT, ""),
            at=now,
        )
        return self._publish_and_commit(part.blob_id, lambda: self._commit(part))

    def _commit(self, part: Part) -> Future[Part]:
        caller = self.info.caller

        def work(tx: Tx) -> Part:
            now = self._settling.clock()
            self._settling.assert_alive(tx, now)
            find_upload(tx, caller, self.info.path, self._upload.public_id)
            if self._reserved:
                tx.tenants.unreserve(caller.tenant.id, self.id)
            old = tx.multipart.put_part(part)
            if old is not None:
                tx.tenants.unreserve(caller.tenant.id, old.id)
                release(tx, caller.tenant.id, [old.blob_id], now)
            tx.tenants.reserve(caller.tenant.id, BOOT, part.id, part.size, self._limits)
            return part

        return self._uploads.db.write(work, caller.tenant.id)


def _are_near(store: BlobStore, parts: Sequence[Part]) -> bool:
    """Whether all are files of this machine."""
    return isinstance(store, LocalPaths) and all(store.local_path(part.blob_id) for part in parts if part.size)


class Composition(Upload):
    """A file that is made of parts. Plugins open them where they lie; only what lies on another machine goes to the
    staging folder for them."""

    def __init__(
        self,
        uploads: Uploads,
        info: UploadInfo,
        conditions: Conditions,
        limits: Limits,
        taps: Sequence[Tap],
        upload: MultipartUpload,
        parts: Sequence[Part],
    ) -> None:
        is_opened = any(uploads.host.implements(hook) for hook in ("check_content", "describe_content"))
        self._is_near = _are_near(uploads.store, parts)
        keeps = Keeps.FOR_PLUGINS if is_opened and not self._is_near else Keeps.NOTHING
        super().__init__(uploads, info, conditions, limits, BY_KEY, taps, keeps)
        self._upload = upload
        self._parts = [part for part in parts if part.size]
        self._all = parts
        self._copy: Staging | None = None

    def read(self, store: BlobStore) -> None:
        """Feeds the parts, one after another."""
        with closing(read_through(store, [(part.blob_id, part.size) for part in self._parts])) as blocks:
            for block in blocks:
                self.feed(block)

    def _staged(self) -> StagedContent:
        staged = super()._staged()
        return replace(staged, place=self._copied, stream=self._opened) if self._is_near else staged

    def _opened(self) -> BinaryIO:
        return joined(self._uploads.store, self._segments())

    def _copied(self) -> str:
        """A file of the bytes, for a plugin whose program needs one."""
        if self._copy is None:
            self._copy = Staging(self._uploads.settings.staging, f"{self._settling.boot_id}-{self.id:x}", flush=False)
            with self._opened() as source:
                while block := source.read(_BLOCK):
                    self._copy.write(block)
            self._copy.end()
        return self._copy.path()

    def abort(self) -> None:
        super().abort()
        if self._copy is not None:
            self._copy.discard()

    def _segments(self) -> list[Segment]:
        return [Segment(part.blob_id, part.size, part.sha256) for part in self._parts]

    def _reserve(self) -> None:
        """The parts hold their place already."""

    def _etag(self, version_id: int) -> str:  # noqa: ARG002
        return etag_of_parts(part.md5 for part in self._all)

    def _blob_id(self, version_id: int, staged: StagedContent) -> str:  # noqa: ARG002 the parts are blobs
        if len(self._parts) == 1:
            return self._parts[0].blob_id
        return composed_blob_id(self._settling.boot_id, version_id, self.info.caller.tenant.id)

    def _publish_and_commit(
        self,
        blob_id: str,  # noqa: ARG002 nothing is published: its parts are in the store
        commit: Callable[[], Future[Placed]],
    ) -> Future[Placed]:
        return commit()

    def _settle(self, tx: Tx, version: Version, now: int) -> None:
        tenant_id = self.info.caller.tenant.id
        if tx.multipart.get(self._upload.id) is None:
            raise NoUpload(_NO_UPLOAD)
        rows = {part.number: part for part in tx.multipart.end(self._upload.id)}
        if any(rows.get(part.number) != part for part in self._all):
            raise Unavailable("a part was uploaded anew while the upload was completed", retry_after=1)
        tx.tenants.unreserve_all(tenant_id, [part.id for part in rows.values()])
        used = {part.number for part in self._all}
        release(tx, tenant_id, [part.blob_id for part in rows.values() if part.number not in used], now)
        if len(self._parts) > 1:
            tx.multipart.compose(version.blob_id, self._segments())
