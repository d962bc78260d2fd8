"""Content that waits for a verdict: held files (committed, not readable) and marked ones (readable, flagged)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from gateway.blobstore import BlobStore
from gateway.domain.errors import NotFound
from gateway.domain.events import FILE_REJECTED, FILE_RELEASED, node_to_json
from gateway.domain.ids import Ids
from gateway.domain.names import Path
from gateway.domain.node import Node, VersionState
from gateway.domain.tenant import Caller
from gateway.domain.upload import Verdict
from gateway.service.history import History, Place
from gateway.service.settling import Settling
from gateway.service.stored import Refusal
from gateway.service.trees import system_caller
from gateway.service.unit_of_work import Database, Tx


class Holds:
    def __init__(self, db: Database, store: BlobStore, settling: Settling) -> None:
        self._db = db
        self._store = store
        self._settling = settling

    def pending(self, limit: int = 1000, after_id: int = 0) -> list[Node]:
        """Files whose current version is held or marked, by id."""
        return self._db.read(lambda tx: tx.nodes.held(limit, after_id))

    def all_pending(self) -> Iterator[Node]:
        """The same, all of them, a page at a time."""
        after = 0
        while page := self.pending(after_id=after):
            yield from page
            after = page[-1].id

    def find(self, node_id: int) -> Node:
        """A file whose current version is held or marked. NotFound for any other."""
        node = self._db.read(lambda tx: tx.nodes.get(node_id))
        if node is None or node.version is None or node.version.state is VersionState.CLEAN:
            raise NotFound(f"no file {node_id:x} waits for a verdict")
        return node

    def open(self, node: Node) -> BinaryIO:
        """The bytes of a pending file, for a machine to judge (PRV-04: no human sees them)."""
        if node.version is None or not node.version.blob_id:
            return io.BytesIO()
        return self._store.open(node.version.blob_id)

    def release(self, node: Node, state: VersionState = VersionState.CLEAN, reason: str = "") -> bool:
        """A verdict came and the content stays, as ``state``; its kept predecessor goes. False when the file has
        changed since."""

        def work(tx: Tx) -> bool:
            now = self._settling.clock()
            current = self._still(tx, node)
            if current is None or current.version is None:
                return False
            tx.nodes.set_version_state(current.version.id, state, reason)
            caller = self._caller(tx, current)
            history = History(tx, self._settling, Ids(), caller, now)
            if state is not VersionState.HELD:
                self._keep_previous(tx, history, caller, current)
            kept = tx.nodes.clear_previous(current.id) if state is not VersionState.HELD else None
            data = {"node_id": current.id, "version_id": current.version.id, "state": str(state), "reason": reason}
            event = self._settling.record(tx, caller, FILE_RELEASED, data, now)
            self._settling.release(tx, event, [kept] if kept else [])
            history.settle()
            return True

        return self._db.write(work, node.tenant_id).result()

    @staticmethod
    def _keep_previous(tx: Tx, history: History, caller: Caller, node: Node) -> None:
        """Where there is versioning, what was kept until the verdict is kept for longer."""
        previous = tx.nodes.version(node.previous_id) if node.previous_id else None
        path = tx.nodes.path_of(node.id)
        if previous is not None and path is not None and len(path) > 1:
            bucket = tx.nodes.chain(caller.tenant.root_id, path[:1])[-1]
            history.keep(Place(bucket, path[1:]), replace(node, version=previous))

    def reject(self, node: Node, verdict: Verdict) -> bool:
        """A verdict came and the content goes: the kept predecessor of a held file is restored, or the file removed.

        A marked file is registered data already: it becomes held, and a human judges (TKD-03). Recorded as a refusal,
        with an alarm. False when the file has changed since.
        """

        def work(tx: Tx) -> bool:
            now = self._settling.clock()
            current = self._still(tx, node)
            if current is None or current.version is None:
                return False
            path = tx.nodes.path_of(current.id)
            if path is None:
                return False
            self._note(tx, current, path, verdict, now)
            if current.version.state is VersionState.MARKED:
                tx.nodes.set_version_state(current.version.id, VersionState.HELD, verdict.reason)
                data = {
                    "node_id": current.id,
                    "version_id": current.version.id,
                    "state": "held",
                    "reason": verdict.reason,
                }
                self._settling.record(tx, self._caller(tx, current), FILE_RELEASED, data, now)
            else:
                self._take_back(tx, current, now)
            return True

        return self._db.write(work, node.tenant_id).result()

    def _take_back(self, tx: Tx, node: Node, now: int) -> None:
        assert node.version is not None
        restored: Node | None = None
        counts = not tx.takedowns.is_marked(node.id)  # refused bytes are outside of usage already (D-33)
        if node.previous_id:
            tx.nodes.restore_version(node.id, node.previous_id, now)
            restored = tx.nodes.get(node.id)
            dropped = [node.version.blob_id]
        else:
            tx.locks.drop_on([node.id])
            dropped = tx.nodes.remove(node.id)
        event = self._settling.record(
            tx,
            self._caller(tx, node),
            FILE_REJECTED,
            {
                "node_id": node.id,
                "version_id": node.version.id,
                "blob_id": node.version.blob_id,
                "restored": node_to_json(restored) if restored else None,
            },
            now,
            bytes=((restored.size if restored else 0) - node.version.size) if counts else 0,
            files=-1 if counts and not restored else 0,
        )
        self._settling.release(tx, event, dropped)

    def _note(self, tx: Tx, node: Node, path: Path, verdict: Verdict, now: int) -> None:
        assert node.version is not None
        tx.refusals.add(
            Refusal(
                tenant_id=node.tenant_id,
                at=now,
                user="system",
                verb="RESCAN",
                path="/" + "/".join(path),
                code=verdict.error,
                policy=verdict.policy,
                clause=verdict.clause,
                reason=verdict.reason,
                digest=node.version.sha256,
                request_id=f"rescan-{node.version.id:x}",
            )
        )
        tx.system.alarm("content-rejected", f"node {node.id:x}", f"{verdict.policy}: {verdict.reason}", now)

    @staticmethod
    def _still(tx: Tx, node: Node) -> Node | None:
        current = tx.nodes.get(node.id)
        same = current and current.version and node.version and current.version.id == node.version.id
        return current if same else None

    @staticmethod
    def _caller(tx: Tx, node: Node) -> Caller:
        tenant = tx.tenants.by_id(node.tenant_id)
        assert tenant is not None
        return system_caller(tenant)
