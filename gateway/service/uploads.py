"""The single way in which bytes enter a space (DESIGN section 3): admit, receive, close, inspect, commit.

An :class:`Upload` is driven by one thread at a time. Nothing is readable under its name before ``finish`` has returned;
``abort`` (or a crash) leaves the old content untouched and at worst a staged file for the sweeper.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace

from gateway.domain.errors import (
    BadRequest,
    ContentRejected,
    Disallowed,
    Infected,
    InspectorUnavailable,
    KuradoError,
    TakenDown,
    TypeRefused,
    Unscannable,
)
from gateway.domain.events import FILE_WRITTEN, node_to_json
from gateway.domain.history import stamped
from gateway.domain.ids import Ids, is_small, new_blob_id, small_blob_id
from gateway.domain.names import Path
from gateway.domain.node import Kind, Node, Version, VersionState, webdav_etag
from gateway.domain.tenant import Caller, Limits
from gateway.domain.upload import Conditions, Declared, Outcome, StagedContent, UploadInfo, Verdict, reason_of
from gateway.hooks import Change
from gateway.service.guards import Target, as_now, check_conditions, check_locks, require_writer
from gateway.service.history import History, Place, place_of
from gateway.service.incoming import RESERVE_STEP, Incoming, Keeps, Receiving, Tap, UploadSettings
from gateway.service.placing import BY_NAME, Placing
from gateway.service.results import Found, Placed
from gateway.service.settling import Settling
from gateway.service.unit_of_work import Tx

__all__ = ["EMPTY_SHA256", "RESERVE_STEP", "Tap", "Upload", "UploadSettings", "Uploads", "refusal", "write_version"]

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_STATES = {Outcome.CLEAN: VersionState.CLEAN, Outcome.MARK: VersionState.MARKED, Outcome.HOLD: VersionState.HELD}
_ERRORS: Mapping[str, type[KuradoError]] = {
    kind.code: kind for kind in (Infected, Disallowed, TypeRefused, Unscannable, ContentRejected)
}


class Uploads(Receiving):
    """Opens uploads. All of the tree's bytes come through here, whatever the protocol."""

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
        info = self.admit(caller, path, declared, conditions, placing)
        return Upload(self, info, conditions, self.settling.limits(info.caller.tenant), placing, taps)

    def admit(
        self, caller: Caller, path: Path, declared: Declared, conditions: Conditions, placing: Placing, held: int = 0
    ) -> UploadInfo:
        """Whether this may be written there, as far as can be told before its bytes. ``held``: so much of what is
        reserved for the tenant is reserved for these very bytes."""
        require_writer(caller)
        self.check_size(declared.known_length)
        now = self.settling.clock()

        def admit(tx: Tx) -> tuple[Found, Caller]:
            at = placing.find(tx, caller, path)
            placing.check(conditions, at)
            check_conditions(tx, caller, now, conditions, at)
            check_locks(tx, caller, now, conditions, [Target(at, membership=at.node is None)])
            current = as_now(tx, caller)
            if held:
                reserved = max(0, current.tenant.reserved_bytes - held)
                current = replace(current, tenant=replace(current.tenant, reserved_bytes=reserved))
            return at, current

        at, caller = self.db.read(admit)
        info = UploadInfo(caller, path, declared, at.node.size if at.node else 0)
        verb = "overwrite" if at.node else "create"
        self.host.check("check_change", change=Change(caller, verb, path, at.node))
        self.host.check("check_upload", upload=info)
        return info

    def takes_at_once(self, content: bytes) -> bool:
        """Whether an upload of this small content waits for nothing but its commit: an event loop may do the rest."""
        return self.db.is_local and self.takes_small and not self.owes_room and self.host.inspects_at_once(content)

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


class Upload(Incoming[Placed]):
    """A file on its way in."""

    def __init__(
        self,
        uploads: Uploads,
        info: UploadInfo,
        conditions: Conditions,
        limits: Limits,
        placing: Placing = BY_NAME,
        taps: Sequence[Tap] = (),
        keeps: Keeps = Keeps.DURABLY,
    ) -> None:
        super().__init__(uploads, info, limits, taps, ("md5",) if info.declared.md5_etag else (), keeps)
        self._conditions = conditions
        self._placing = placing
        try:
            self._inspectors = uploads.host.open_inspectors(info)
        except BaseException:
            self.abort()
            raise

    # -- inspect ------------------------------------------------------------------------------------------------------

    def _complete(self) -> Future[Placed]:
        staged = self._staged()
        state, reason = self._judge(staged)
        facts = self._uploads.host.describe(self.info, staged)
        version = self._version(staged, state, reason, facts)
        if is_small(version.blob_id) or not version.blob_id:
            return self._commit(version, staged.content or None)  # nothing to publish, nothing to take back
        return self._publish_and_commit(version.blob_id, lambda: self._commit(version))

    def _staged(self) -> StagedContent:
        verdicts = []
        while self._inspectors:
            verdicts.append(self._inspectors[0].finish())
            self._inspectors.pop(0)
        sha256, staging = self._digests["sha-256"].hexdigest(), self._staging
        if staging is None:
            return StagedContent("", self._size, sha256, tuple(verdicts))
        return StagedContent(staging.path, self._size, sha256, tuple(verdicts), staging.content)

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
        return Version(
            id=version_id,
            blob_id=self._blob_id(version_id, staged) if staged.size else "",
            size=staged.size,
            etag=self._etag(version_id),
            content_type=self.info.declared.content_type,
            sha256=staged.sha256,
            created_at=now,
            mtime=now if mtime is None else mtime,
            state=state,
            reason=reason,
            facts={**facts, **self._facts},
            uploader_id=self.info.caller.user.id,
        )

    def _etag(self, version_id: int) -> str:
        return f'"{self._digests["md5"].hexdigest()}"' if self.info.declared.md5_etag else webdav_etag(version_id)

    def _blob_id(self, version_id: int, staged: StagedContent) -> str:
        is_row = staged.content is not None and self._uploads.takes_small
        name = small_blob_id if is_row else new_blob_id
        return name(self._settling.boot_id, version_id, self.info.caller.tenant.id)

    def _settle(self, tx: Tx, version: Version, now: int) -> None:  # noqa: ARG002
        """What was held back for the bytes is given back, now that they are about to count."""
        if self._reserved:
            tx.tenants.unreserve(self.info.caller.tenant.id, self.id)

    def _commit(self, version: Version, content: bytes | None = None) -> Future[Placed]:
        def work(tx: Tx) -> Placed:
            with self._telling_digest():
                return self._place(tx, version, content)

        db = self._uploads.db
        return (db.write_soon if self._awaited else db.write)(work, self.info.caller.tenant.id)

    def _place(self, tx: Tx, version: Version, content: bytes | None) -> Placed:
        """ONE transaction: conditions and locks again, usage against the limit, version, node and event; and the bytes
        themselves where they are ``content``."""
        caller, path, now = self.info.caller, self.info.path, self._settling.clock()
        self._settling.assert_alive(tx, now)
        at = self._placing.find(tx, caller, path)
        self._placing.check(self._conditions, at)
        check_conditions(tx, caller, now, self._conditions, at)
        check_locks(tx, caller, now, self._conditions, [Target(at, membership=at.node is None)])
        self._settle(tx, version, now)
        ids, change = self._uploads.ids, self.info.declared.properties
        at = self._placing.prepare(tx, self._settling, ids, caller, at, path, now)
        props = change.applied(at.node.props if at.node else {}) if change else None
        if content is not None:
            tx.small.put(version.blob_id, content, now)
        return write_version(tx, self._settling, ids, caller, at, path[-1], version, now, self._limits, props)


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

    A held version keeps the readable one before it until the verdict; a bucket with versioning keeps what is replaced;
    every other blob is released.
    """
    place, old, dropped = place_of(at, name), at.node, list[str]()
    history = History(tx, settling, ids, caller, now)
    version = stamped(version, place.versioning)
    if old is None:
        assert at.parent is not None
        history.keep(place, None)
        node_id, above = ids.new(now), at.parent.id
        node = Node(node_id, caller.tenant.id, above, Kind.FILE, name, now, now, props=props or {}, version=version)
        tx.nodes.insert(node)
    else:
        node, dropped = _overwrite(tx, history, place, old, version, now, props)
    replaced = old.version if old else None
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
    history.settle(limits)
    return Placed(node, created=old is None)


def _overwrite(
    tx: Tx,
    history: History,
    place: Place,
    old: Node,
    version: Version,
    now: int,
    props: Mapping[str, str] | None,
) -> tuple[Node, list[str]]:
    """Puts a version in the place of the one before; returns the node, and the blobs that the file names no more.
    Raises TakenDown."""
    if tx.takedowns.is_marked(old.id):
        raise TakenDown(clause="TKD-02")  # it was taken down while the body came in
    replaced, dropped = old.version, list[str]()
    keep = _kept_readable(old) if version.state is VersionState.HELD else None
    if keep is None and old.previous_id and (forgotten := tx.nodes.clear_previous(old.id)):
        dropped.append(forgotten)
    is_replaced = replaced is not None and replaced.id != keep
    if is_replaced:
        history.keep(place, old)
    tx.nodes.set_version(old.id, version, now, keep)
    if replaced is not None and is_replaced:
        dropped.append(replaced.blob_id)
    if props is not None:
        tx.nodes.set_props(old.id, props, now, None)
    kept_props = old.props if props is None else props
    return replace(old, version=version, modified_at=now, previous_id=keep, props=kept_props), dropped


def _kept_readable(old: Node) -> int | None:
    """The version of a file that stays readable while a held one waits: the present one, or the one kept already."""
    if old.version is None:
        return None
    return old.previous_id if old.version.state is VersionState.HELD else old.version.id


def refusal(verdict: Verdict) -> KuradoError:
    """The error to answer with for a verdict that refuses."""
    if verdict.error == InspectorUnavailable.code:
        return InspectorUnavailable(verdict.reason, policy=verdict.policy)
    kind = _ERRORS.get(verdict.error)
    if kind is None:
        raise BadRequest(f"plugin {verdict.policy} refused with the unknown error {verdict.error!r}")
    return kind(verdict.reason, policy=verdict.policy, clause=verdict.clause)
