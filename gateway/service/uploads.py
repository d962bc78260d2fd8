"""The single way in which bytes enter a space (DESIGN section 3): admit, receive, close, inspect, commit.

An :class:`Upload` is driven by one thread at a time. Nothing is readable under its name before ``finish`` has returned;
``abort`` (or a crash) leaves the old content untouched and at worst a staged file for the sweeper.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Protocol

from gateway.blobstore import Adopting, BlobStore
from gateway.domain.errors import (
    BackendUnavailable,
    BadRequest,
    ContentRejected,
    DigestMismatch,
    Disallowed,
    IncompleteBody,
    Infected,
    InspectorUnavailable,
    KuradoError,
    QuotaExceeded,
    StorageFull,
    TakenDown,
    TooLarge,
    TypeRefused,
    Unscannable,
)
from gateway.domain.events import FILE_WRITTEN, node_to_json
from gateway.domain.ids import Ids, new_blob_id
from gateway.domain.names import Path
from gateway.domain.node import Kind, Node, Version, VersionState, webdav_etag
from gateway.domain.tenant import Caller, Limits
from gateway.domain.units import disk_reserve
from gateway.domain.upload import Conditions, Declared, Outcome, StagedContent, UploadInfo, Verdict, reason_of
from gateway.hooks import Change
from gateway.pluginhost import PluginHost
from gateway.service.guards import Target, check_conditions, check_locks, require_writer
from gateway.service.placing import BY_NAME, Placing
from gateway.service.results import Found, Placed
from gateway.service.settling import Settling
from gateway.service.unit_of_work import Database, Tx

RESERVE_STEP = 64 * 1024 * 1024
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_COPY_BLOCK = 1024 * 1024
_STATES = {Outcome.CLEAN: VersionState.CLEAN, Outcome.MARK: VersionState.MARKED, Outcome.HOLD: VersionState.HELD}
_ERRORS: Mapping[str, type[KuradoError]] = {
    kind.code: kind for kind in (Infected, Disallowed, TypeRefused, Unscannable, ContentRejected)
}


@dataclass(frozen=True)
class UploadSettings:
    """``staging`` is a local folder, on the store's own file system where the store can adopt files; ``max_size`` in
    bytes, None is unlimited; ``flush`` False gives up durability (never the default)."""

    staging: FilePath
    max_size: int | None = None
    flush: bool = True


class Uploads:
    """Opens uploads. All of the tree's bytes come through here, whatever the protocol."""

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
        self.unsettled: set[int] = set()
        """Uploads that may have left a blob which no version names: a process that ends with any must be swept."""

    def open(
        self,
        caller: Caller,
        path: Path,
        declared: Declared,
        conditions: Conditions,
        placing: Placing = BY_NAME,
        taps: Sequence[Tap] = (),
    ) -> Upload:
        """Admits an upload, before any byte of its body (DESIGN section 3, step 1).

        Raises Forbidden, what ``placing`` finds wrong with the place (by name: AlreadyExists, ParentMissing), Locked,
        PreconditionFailed, TooLarge, StorageFull, and whatever the hooks check_change and check_upload refuse with.
        """
        require_writer(caller)
        self._check_size(declared.known_length)
        now = self.settling.clock()

        def admit(tx: Tx) -> tuple[Found, Caller]:
            at = placing.find(tx, caller, path)
            placing.check(conditions, at)
            check_conditions(tx, caller, now, conditions, at)
            check_locks(tx, caller, now, conditions, [Target(at, membership=at.node is None)])
            return at, replace(caller, tenant=tx.tenants.by_id(caller.tenant.id) or caller.tenant)

        at, caller = self.db.read(admit)
        info = UploadInfo(caller, path, declared, at.node.size if at.node else 0)
        verb = "overwrite" if at.node else "create"
        self.host.check("check_change", change=Change(caller, verb, path, at.node))
        self.host.check("check_upload", upload=info)
        return Upload(self, info, conditions, self.settling.limits(caller.tenant), placing, taps)

    def _check_size(self, length: int | None) -> None:
        if length is not None and self.settings.max_size is not None and length > self.settings.max_size:
            raise TooLarge(f"the largest upload allowed has {self.settings.max_size} bytes")
        if length == 0:
            return
        disk = shutil.disk_usage(self.settings.staging)
        # twice: what the database keeps for itself may have been given up already
        if (length or 1) > disk.free - 2 * disk_reserve(disk.total):
            raise StorageFull("the storage of this gateway is full")

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

    def put(
        self, caller: Caller, path: Path, declared: Declared, conditions: Conditions, content: bytes = b""
    ) -> Placed:
        """A whole small upload at once."""
        upload = self.open(caller, path, declared, conditions)
        try:
            upload.feed(content)
            return upload.finish()
        finally:
            upload.abort()


class Tap(Protocol):
    """Somebody besides the digests and inspectors who wants to see the bytes: the checksums of S3."""

    def feed(self, block: bytes) -> None: ...
    def close(self) -> Mapping[str, str]:
        """All bytes were seen: facts for the version. Raises DigestMismatch to refuse them."""


class Upload:
    """Bytes on their way in. ``feed`` any number of times, then ``finish``; ``abort`` is always safe."""

    def __init__(
        self,
        uploads: Uploads,
        info: UploadInfo,
        conditions: Conditions,
        limits: Limits,
        placing: Placing = BY_NAME,
        taps: Sequence[Tap] = (),
    ) -> None:
        self._uploads = uploads
        self._settling = uploads.settling
        self.info = info
        self._conditions = conditions
        self._limits = limits
        self._placing = placing
        self._taps = taps
        self._facts = dict(info.declared.facts)
        self.id = uploads.ids.new(self._settling.clock())
        self._size = 0
        self._reserved = 0
        self._holds_place = False
        self._digests = {name: hashlib.new(name.replace("-", "")) for name in _digests_of(info.declared)}
        self._file_path = uploads.settings.staging / f"{self._settling.boot_id}-{self.id:x}"
        with _full_disk():
            self._file = self._file_path.open("xb", buffering=0)
        try:
            self._inspectors = uploads.host.open_inspectors(info)
        except BaseException:
            self._inspectors = []
            self.abort()
            raise

    # -- receive ------------------------------------------------------------------------------------------------------

    def feed(self, block: bytes) -> None:
        """Takes the next bytes: to the staging file, the digests and every inspector.

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
        with _full_disk():
            view = memoryview(block)
            while view:
                view = view[self._file.write(view) :]
        for digest in self._digests.values():
            digest.update(block)
        for tap in self._taps:
            tap.feed(block)
        for inspector in self._inspectors:
            inspector.feed(block)

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

    # -- close and inspect --------------------------------------------------------------------------------------------

    def finish(self) -> Placed:
        """Closes, inspects and commits; after it returns the content is durable under its name.

        Raises IncompleteBody, DigestMismatch, ContentRejected and its kinds, QuotaExceeded, Locked,
        PreconditionFailed, StorageFull, Unavailable; the old content is untouched then.
        """
        try:
            self._close()
            try:
                return self._inspect_and_commit()
            except KuradoError as error:
                error.digest = error.digest or self._digests["sha-256"].hexdigest()
                raise
        finally:
            self.abort()

    def _close(self) -> None:
        known = self.info.declared.known_length
        if known is not None and self._size != known:
            raise IncompleteBody(f"{self._size} of {known} declared bytes arrived")
        for name, wanted in self.info.declared.digests.items():
            if self._digests[name].hexdigest() != wanted.lower():
                raise DigestMismatch(f"the {name} digest of the body is not the one declared", name)
        for tap in self._taps:
            self._facts.update(tap.close())
        if self._size and self._uploads.settings.flush:
            with _full_disk():
                os.fsync(self._file.fileno())
        self._file.close()

    def _inspect_and_commit(self) -> Placed:
        staged = self._staged()
        state, reason = self._judge(staged)
        facts = self._uploads.host.describe(self.info, staged)
        return self._publish_and_commit(self._version(staged, state, reason, facts))

    def _staged(self) -> StagedContent:
        verdicts = []
        while self._inspectors:
            verdicts.append(self._inspectors[0].finish())
            self._inspectors.pop(0)
        return StagedContent(str(self._file_path), self._size, self._digests["sha-256"].hexdigest(), tuple(verdicts))

    def _judge(self, staged: StagedContent) -> tuple[VersionState, str]:
        """The gravest verdict decides (hold and mark are states of the version, refuse is an error)."""
        verdicts = [*staged.verdicts]
        if not any(one.outcome is Outcome.REFUSE for one in verdicts):
            verdicts += self._uploads.host.content_verdicts(self.info, staged)
        gravest = max(verdicts, key=lambda one: one.severity, default=None)
        if gravest is None or gravest.outcome is Outcome.CLEAN:
            return VersionState.CLEAN, ""
        if gravest.outcome is Outcome.REFUSE:
            raise refusal(gravest)
        return _STATES[gravest.outcome], reason_of(verdicts)

    # -- commit -------------------------------------------------------------------------------------------------------

    def _version(self, staged: StagedContent, state: VersionState, reason: str, facts: Mapping[str, str]) -> Version:
        now = self._settling.clock()
        version_id = self._uploads.ids.new(now)
        mtime = self.info.declared.mtime
        etag = f'"{self._digests["md5"].hexdigest()}"' if self.info.declared.md5_etag else webdav_etag(version_id)
        return Version(
            id=version_id,
            blob_id=new_blob_id(self._settling.boot_id, version_id, self.info.caller.tenant.id) if staged.size else "",
            size=staged.size,
            etag=etag,
            content_type=self.info.declared.content_type,
            sha256=staged.sha256,
            created_at=now,
            mtime=now if mtime is None else mtime,
            state=state,
            reason=reason,
            facts={**facts, **self._facts},
            uploader_id=self.info.caller.user.id,
        )

    def _publish_blob(self, version: Version) -> None:
        """Makes the bytes durable in the store, under a key that no node names yet."""
        store = self._uploads.store
        if not version.blob_id:
            return
        if isinstance(store, Adopting):
            store.adopt(self._file_path, version.blob_id)
            return
        writer = store.writer(version.blob_id)
        try:
            with self._file_path.open("rb") as source:
                while block := source.read(_COPY_BLOCK):
                    writer.write(block)
            info = writer.commit()
        except BaseException:
            writer.abort()
            raise
        if info.size != version.size:
            raise IncompleteBody("the storage took fewer bytes than it was given")

    def _publish_and_commit(self, version: Version) -> Placed:
        """While the upload is in ``unsettled``, the store may hold a blob that no version names."""
        unsettled = self._uploads.unsettled
        unsettled.add(self.id)
        try:
            self._publish_blob(version)
            placed = self._commit(version)
        except BackendUnavailable:
            # the database may have committed before it went away: only the sweeper can tell, later
            raise
        except KuradoError:
            with contextlib.suppress(KuradoError):
                if version.blob_id:
                    self._uploads.store.delete(version.blob_id)
                unsettled.discard(self.id)
            raise
        unsettled.discard(self.id)
        return placed

    def _commit(self, version: Version) -> Placed:
        """ONE transaction: conditions and locks again, usage against the limit, version, node and event."""
        caller, path = self.info.caller, self.info.path

        def work(tx: Tx) -> Placed:
            now = self._settling.clock()
            self._settling.assert_alive(tx, now)
            at = self._placing.find(tx, caller, path)
            self._placing.check(self._conditions, at)
            check_conditions(tx, caller, now, self._conditions, at)
            check_locks(tx, caller, now, self._conditions, [Target(at, membership=at.node is None)])
            if self._reserved:
                tx.tenants.unreserve(caller.tenant.id, self.id)
            ids, change = self._uploads.ids, self.info.declared.properties
            at = self._placing.prepare(tx, self._settling, ids, caller, at, path, now)
            props = change.applied(at.node.props if at.node else {}) if change else None
            return write_version(tx, self._settling, ids, caller, at, path[-1], version, now, self._limits, props)

        placed = self._uploads.db.write(work, caller.tenant.id).result()
        self._holds_place = False
        return placed

    def abort(self) -> None:
        """Ends the upload and leaves nothing behind; after ``finish`` it does nothing."""
        for inspector in self._inspectors:
            inspector.abort()
        self._inspectors = []
        self._file.close()
        with contextlib.suppress(FileNotFoundError):
            self._file_path.unlink()
        if self._holds_place:
            self._holds_place = False
            self._uploads.give_back(self.info.caller.tenant.id, self.id)
        else:
            self._uploads.retry_give_back()


def write_version(
    tx: Tx,
    settling: Settling,
    ids: Ids,
    caller: Caller,
    at: Found,
    name: str,
    version: Version,
    now: int,
    limits: Limits,
    props: Mapping[str, str] | None = None,
) -> Placed:
    """Makes ``version`` the content of the file at a place, new or not, within a transaction. ``props`` None leaves the
    dead properties as they are.

    A held version keeps the readable one before it until the verdict; every other blob that is replaced is released.
    """
    old = at.node
    if old is not None and tx.takedowns.is_marked(old.id):
        raise TakenDown(clause="TKD-02")  # it was taken down while the body came in
    if old is None:
        assert at.parent is not None
        node_id = ids.new(now)
        node = Node(
            node_id, caller.tenant.id, at.parent.id, Kind.FILE, name, now, now, props=props or {}, version=version
        )
        tx.nodes.insert(node)
        replaced: Version | None = None
        dropped: list[str] = []
    else:
        replaced, dropped, keep = old.version, [], None
        if version.state is VersionState.HELD and replaced:
            keep = old.previous_id if replaced.state is VersionState.HELD else replaced.id
        elif old.previous_id and (kept := tx.nodes.clear_previous(old.id)):
            dropped.append(kept)
        tx.nodes.set_version(old.id, version, now, keep)
        if replaced and keep != replaced.id:
            dropped.append(replaced.blob_id)
        if props is not None:
            tx.nodes.set_props(old.id, props, now, None)
        node = replace(
            old, version=version, modified_at=now, previous_id=keep, props=old.props if props is None else props
        )
    event = settling.record(
        tx,
        caller,
        FILE_WRITTEN,
        {
            "node": node_to_json(node),
            "created": old is None,
            "replaced": replaced and {"version_id": replaced.id, "blob_id": replaced.blob_id, "size": replaced.size},
        },
        now,
        bytes=version.size - (replaced.size if replaced else 0),
        files=1 if old is None else 0,
        limits=limits,
    )
    settling.release(tx, event, dropped)
    return Placed(node, created=old is None)


def _digests_of(declared: Declared) -> set[str]:
    return {"sha-256", *declared.digests, *(("md5",) if declared.md5_etag else ())}


def refusal(verdict: Verdict) -> KuradoError:
    """The error to answer with for a verdict that refuses."""
    if verdict.error == InspectorUnavailable.code:
        return InspectorUnavailable(verdict.reason, policy=verdict.policy)
    kind = _ERRORS.get(verdict.error)
    if kind is None:
        raise BadRequest(f"plugin {verdict.policy} refused with the unknown error {verdict.error!r}")
    return kind(verdict.reason, policy=verdict.policy, clause=verdict.clause)


@contextlib.contextmanager
def _full_disk() -> Iterator[None]:
    """Turns what a local disk can do to us into the domain's words."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFull("the storage of this gateway is full") from None
        raise BackendUnavailable("the staging folder cannot be written") from error
