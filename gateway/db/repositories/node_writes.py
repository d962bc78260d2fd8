"""Changes of one node and of its versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.db.rows import INSERT_NODE, INSERT_VERSION, mapping_to_text, node_to_row, version_to_row
from gateway.db.session import Session
from gateway.domain.errors import AlreadyExists, Forbidden, NotEmpty, NotFound
from gateway.domain.names import name_key, sort_key
from gateway.domain.node import Kind, Node, Version, VersionState

# The condition stands in the statement, so that a taken name is a plain answer and no broken transaction.
_PLACE = """
UPDATE nodes SET parent_id = ?, name = ?, name_key = ?, sort_key = ?, modified_at = ?
WHERE id = ? AND NOT EXISTS (
    SELECT 1 FROM nodes o WHERE o.parent_id = ? AND o.name_key = ? AND o.kind = nodes.kind AND o.id <> nodes.id)"""

_IS_ABOVE = """
WITH RECURSIVE up(id, parent_id) AS (
    SELECT id, parent_id FROM nodes WHERE id = ?
    UNION ALL
    SELECT n.id, n.parent_id FROM up JOIN nodes n ON n.id = up.parent_id WHERE up.id <> ?)
SELECT 1 FROM up WHERE id = ?"""


class NodeWrites:
    def __init__(self, session: Session) -> None:
        self._s = session

    def insert(self, node: Node) -> None:
        if not self._s.run(INSERT_NODE, *node_to_row(node)):
            raise AlreadyExists(f"the name {node.name!r} is taken")
        if node.version:
            self._s.run(INSERT_VERSION, *version_to_row(node.id, node.version))

    def insert_many(self, nodes: Sequence[Node]) -> None:
        if not nodes:
            return
        if self._s.run_many(INSERT_NODE, [node_to_row(node) for node in nodes]) != len(nodes):
            raise AlreadyExists("a name of the tree is taken")
        versions = [version_to_row(node.id, node.version) for node in nodes if node.version]
        if versions:
            self._s.run_many(INSERT_VERSION, versions)

    def set_version(self, node_id: int, version: Version, modified_at: int, previous_id: int | None) -> None:
        old_id = self._s.scalar("SELECT version_id FROM nodes WHERE id = ?", node_id)
        if old_id is None:
            raise NotFound("no such file")
        self._s.run(INSERT_VERSION, *version_to_row(node_id, version))
        sql = "UPDATE nodes SET version_id = ?, previous_id = ?, modified_at = ? WHERE id = ?"
        self._s.run(sql, version.id, previous_id, modified_at, node_id)
        if old_id != previous_id:
            self._s.run("DELETE FROM versions WHERE id = ?", old_id)

    def restore_version(self, node_id: int, version_id: int, modified_at: int) -> None:
        sql = "UPDATE nodes SET version_id = ?, previous_id = NULL, modified_at = ? WHERE id = ? AND previous_id = ?"
        if not self._s.run(sql, version_id, modified_at, node_id, version_id):
            raise NotFound("no such version is kept")
        self._s.run("DELETE FROM versions WHERE node_id = ? AND id <> ?", node_id, version_id)

    def set_version_state(self, version_id: int, state: VersionState, reason: str) -> None:
        if not self._s.run("UPDATE versions SET state = ?, reason = ? WHERE id = ?", str(state), reason, version_id):
            raise NotFound("no such version")

    def clear_previous(self, node_id: int) -> str | None:
        previous_id = self._s.scalar("SELECT previous_id FROM nodes WHERE id = ?", node_id)
        if previous_id is None:
            return None
        self._s.run("UPDATE nodes SET previous_id = NULL WHERE id = ?", node_id)
        blob_id: str | None = self._s.scalar("DELETE FROM versions WHERE id = ? RETURNING blob_id", previous_id)
        return blob_id

    def place(self, node_id: int, parent_id: int | None, name: str, modified_at: int) -> None:
        kind = self._s.scalar("SELECT kind FROM nodes WHERE id = ?", node_id)
        if kind is None:
            raise NotFound("no such node")
        if parent_id is not None and self._s.row(_IS_ABOVE, parent_id, node_id, node_id):
            raise Forbidden("a collection cannot be moved into itself")
        key, order = name_key(name), sort_key(name, collection=kind == Kind.COLLECTION)
        if not self._s.run(_PLACE, parent_id, name, key, order, modified_at, node_id, parent_id, key):
            raise AlreadyExists(f"the name {name!r} is taken")
        if parent_id is None:
            self._note_detached(node_id, None)
        else:
            self._s.run("DELETE FROM detached WHERE node_id = ?", node_id)

    def hide(self, tenant_id: int, node_id: int, boot_id: str) -> None:  # noqa: ARG002 the node knows its tenant
        self._note_detached(node_id, boot_id)

    def set_explicit(self, node_id: int, explicit: bool) -> None:
        if not self._s.run("UPDATE nodes SET explicit = ? WHERE id = ?", explicit, node_id):
            raise NotFound("no such node")

    def set_props(self, node_id: int, props: Mapping[str, str], modified_at: int, mtime: int | None) -> None:
        sql = "UPDATE nodes SET props = ?, modified_at = ? WHERE id = ?"
        if not self._s.run(sql, mapping_to_text(props), modified_at, node_id):
            raise NotFound("no such node")
        if mtime is not None:
            sql = "UPDATE versions SET mtime = ? WHERE id = (SELECT version_id FROM nodes WHERE id = ?)"
            self._s.run(sql, mtime, node_id)

    def remove(self, node_id: int) -> list[str]:
        blobs = [row[0] for row in self._s.rows("DELETE FROM versions WHERE node_id = ? RETURNING blob_id", node_id)]
        sql = "DELETE FROM nodes WHERE id = ? AND NOT EXISTS (SELECT 1 FROM nodes c WHERE c.parent_id = nodes.id)"
        if not self._s.run(sql, node_id):
            if self._s.row("SELECT 1 FROM nodes WHERE id = ?", node_id):
                raise NotEmpty("the collection is not empty")
            raise NotFound("no such node")
        return blobs

    def _note_detached(self, node_id: int, boot_id: str | None) -> None:
        self._s.run(
            "INSERT INTO detached (node_id, tenant_id, boot_id) SELECT id, tenant_id, ? FROM nodes WHERE id = ? "
            "ON CONFLICT (node_id) DO UPDATE SET boot_id = excluded.boot_id",
            boot_id,
            node_id,
        )
