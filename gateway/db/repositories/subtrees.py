"""Work on whole trees: sizes, copies' sources, erasing in batches, and what fsck counts afresh."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.db.rows import NODE_COLUMNS, node_from_row
from gateway.db.session import Session
from gateway.domain.node import Kind, Node, VersionState

# Breadth first, so parents come before their children. The limit stands where it ends the recursion itself: inside
# the recursive part on SQLite, around it on PostgreSQL, which takes no more rows from it than are asked for.
_BELOW = {
    "sqlite": """
WITH RECURSIVE below(id, depth) AS (
    SELECT id, 0 FROM nodes WHERE id = ?
    UNION ALL
    SELECT n.id, below.depth + 1 FROM below JOIN nodes n ON n.parent_id = below.id
    ORDER BY 2 LIMIT ?)
""",
    "postgresql": """
WITH RECURSIVE down(id, depth) AS (
    SELECT id, 0 FROM nodes WHERE id = ?
    UNION ALL
    SELECT n.id, down.depth + 1 FROM down JOIN nodes n ON n.parent_id = down.id),
below AS MATERIALIZED (SELECT id, depth FROM down LIMIT ?)
""",
}
_SUBTREE = (
    f"SELECT {NODE_COLUMNS} FROM below JOIN nodes n ON n.id = below.id LEFT JOIN versions v ON v.id = n.version_id "
    "ORDER BY below.depth"
)
_SIZE = (
    "SELECT COUNT(*), COUNT(v.id), COALESCE(SUM(v.size), 0) FROM below JOIN nodes n ON n.id = below.id "
    "LEFT JOIN versions v ON v.id = n.version_id"
)
_KEY = f"SELECT 1 FROM nodes WHERE parent_id = ? AND (kind = '{Kind.FILE}' OR explicit) LIMIT 1"
_EXTENT = """
WITH RECURSIVE below(id, depth, size) AS (
    SELECT id, 0, 0 FROM nodes WHERE id = ?
    UNION ALL
    SELECT n.id, below.depth + 1, below.size + 1 + 3 * {octets} FROM below JOIN nodes n
    ON n.parent_id = below.id AND n.kind = '{kind}')
SELECT COALESCE(MAX(depth), 0), COALESCE(MAX(size), 0) FROM below"""
_EXTENTS = {
    "sqlite": _EXTENT.format(octets="length(CAST(n.name AS BLOB))", kind=Kind.COLLECTION),
    "postgresql": _EXTENT.format(octets="octet_length(n.name)", kind=Kind.COLLECTION),
}
_ALL = 2**62

_FEW = "SELECT id, kind FROM nodes WHERE parent_id = ? LIMIT ?"

_DETACHED = """
SELECT d.tenant_id, d.node_id FROM detached d
WHERE d.boot_id IS NULL OR NOT EXISTS (SELECT 1 FROM leases l WHERE l.boot_id = d.boot_id AND l.expires_at > ?)
LIMIT ?"""

_HELD = f"""
SELECT {NODE_COLUMNS} FROM versions v JOIN nodes n ON n.id = v.node_id AND n.version_id = v.id
WHERE v.state != '{VersionState.CLEAN}' AND v.node_id > ? ORDER BY v.node_id LIMIT ?"""

_KEPT = "SELECT COALESCE(SUM(size), 0) FROM kept_versions WHERE tenant_id = ?"
_TOTALS = """
SELECT COALESCE(SUM(v.size), 0), COUNT(*) FROM nodes n JOIN versions v ON v.id = n.version_id WHERE n.tenant_id = ?
AND NOT EXISTS (SELECT 1 FROM taken_down t WHERE t.node_id = n.id)"""
_COUNTS = "NOT EXISTS (SELECT 1 FROM taken_down t WHERE t.node_id = n.id)"
"""What was taken down does not count as used (D-33)."""

_CURRENT_BYTES = "SELECT COALESCE(SUM(v.size), 0) FROM nodes n JOIN versions v ON v.id = n.version_id"

_BLOBS = """
SELECT blob_id, MAX(size), MAX(sha256) FROM versions WHERE blob_id > ? GROUP BY blob_id ORDER BY blob_id LIMIT ?"""
_KEPT_BLOBS = _BLOBS.replace("versions", "kept_versions")

_REFERENCED = """
SELECT 1 FROM versions WHERE blob_id = ? UNION ALL SELECT 1 FROM segments WHERE blob_id = ?
UNION ALL SELECT 1 FROM multipart_parts WHERE blob_id = ? UNION ALL SELECT 1 FROM kept_versions WHERE blob_id = ?
LIMIT 1"""

_UNUSED = """
SELECT b.value FROM {0} WHERE NOT EXISTS (SELECT 1 FROM versions WHERE blob_id = b.value)
AND NOT EXISTS (SELECT 1 FROM segments WHERE blob_id = b.value)
AND NOT EXISTS (SELECT 1 FROM multipart_parts WHERE blob_id = b.value)
AND NOT EXISTS (SELECT 1 FROM kept_versions WHERE blob_id = b.value)"""
_UNREFERENCED = {
    "sqlite": _UNUSED.format("json_each(?) b"),
    "postgresql": _UNUSED.format("unnest(?::text[]) AS b(value)"),
}

_DIGESTS = """
SELECT blob_id, size, sha256 FROM versions WHERE blob_id {0}
UNION ALL SELECT blob_id, size, sha256 FROM kept_versions WHERE blob_id {0}
UNION ALL SELECT blob_id, size, sha256 FROM segments WHERE blob_id {0}
UNION ALL SELECT blob_id, size, sha256 FROM multipart_parts WHERE blob_id {0}"""


class Subtrees:
    def __init__(self, session: Session) -> None:
        self._s = session

    def subtree(self, node_id: int, limit: int | None = None) -> list[Node]:
        sql = self._s.pick(_BELOW) + _SUBTREE
        return [node_from_row(row) for row in self._s.rows(sql, node_id, _ALL if limit is None else limit)]

    def subtree_size(self, node_id: int, limit: int) -> tuple[int, int, int]:
        nodes, files, size = self._s.rows(self._s.pick(_BELOW) + _SIZE, node_id, limit)[0]
        return int(nodes), int(files), int(size)

    def has_keys(self, node_id: int) -> bool:
        """Nearly always the first look finds one: a collection without keys is what WebDAV left of an implied one."""
        waiting = [node_id]
        while waiting:
            node = waiting.pop()
            if self._s.row(_KEY, node) is not None:
                return True
            waiting.extend(row[0] for row in self._s.rows("SELECT id FROM nodes WHERE parent_id = ?", node))
        return False

    def extent(self, node_id: int) -> tuple[int, int]:
        levels, size = self._s.rows(self._s.pick(_EXTENTS), node_id)[0]
        return int(levels), int(size)

    def remove_leaves(self, node_id: int, limit: int) -> tuple[int, int, list[str], bool]:
        """A collection is looked into, what it holds goes on the stack above it, and it goes when it is seen empty."""
        erasing = _Erasing(self._s, limit)
        stack = [node_id]
        while stack and erasing.left > 0:
            found = self._s.rows(_FEW, stack[-1], erasing.left)
            collections = [row[0] for row in found if row[1] == Kind.COLLECTION]
            erasing.files_of([row[0] for row in found if row[1] == Kind.FILE])
            if collections:
                stack.extend(collections)
            elif erasing.left > 0:
                erasing.emptied(stack.pop())
        return erasing.files, erasing.bytes, erasing.blobs, not stack

    def remove_files(self, node_ids: Sequence[int]) -> tuple[int, int, list[str]]:
        erasing = _Erasing(self._s, len(node_ids))
        erasing.files_of(list(node_ids))
        return erasing.files, erasing.bytes, erasing.blobs

    def detached(self, now: int, limit: int = 100) -> list[tuple[int, int]]:
        return [(row[0], row[1]) for row in self._s.rows(_DETACHED, now, limit)]

    def held(self, limit: int = 1000, after_id: int = 0) -> list[Node]:
        return [node_from_row(row) for row in self._s.rows(_HELD, after_id, limit)]

    def referenced(self, blob_id: str) -> bool:
        return self._s.row(_REFERENCED, blob_id, blob_id, blob_id, blob_id) is not None

    def unreferenced(self, blob_ids: Sequence[str]) -> list[str]:
        if not blob_ids:
            return []
        return [row[0] for row in self._s.rows(self._s.pick(_UNREFERENCED), self._s.array(blob_ids))]

    def digests(self, blob_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
        ids = self._s.array(blob_ids)
        rows = self._s.rows(_DIGESTS.format(self._s.in_list), ids, ids, ids, ids)
        return {row[0]: (int(row[1]), str(row[2])) for row in rows}

    def totals(self, tenant_id: int) -> tuple[int, int]:
        size, files = self._s.rows(_TOTALS, tenant_id)[0]
        return int(size) + int(self._s.scalar(_KEPT, tenant_id)), int(files)

    def blobs(self, after: str = "", limit: int = 1000) -> list[tuple[str, int, str]]:
        rows = [row for sql in (_BLOBS, _KEPT_BLOBS) for row in self._s.rows(sql, after, limit)]
        found = {row[0]: (row[0], int(row[1]), row[2]) for row in rows}
        return [found[blob_id] for blob_id in sorted(found)[:limit]]


class _Erasing:
    """Counts what one batch erased. ``left`` nodes may still go."""

    def __init__(self, session: Session, limit: int) -> None:
        self._s = session
        self.left = limit
        self.files = 0
        self.bytes = 0
        self.blobs: list[str] = []

    def files_of(self, node_ids: list[int]) -> None:
        """Erases files with all their versions; the bytes of current ones are what usage gets back."""
        if not node_ids:
            return
        s, ids = self._s, self._s.array(node_ids)
        self.bytes += int(s.scalar(f"{_CURRENT_BYTES} WHERE n.id {s.in_list} AND {_COUNTS}", ids))
        self.files += len(node_ids) - int(s.scalar(f"SELECT COUNT(*) FROM taken_down WHERE node_id {s.in_list}", ids))
        rows = s.rows(f"DELETE FROM versions WHERE node_id {s.in_list} RETURNING blob_id", ids)
        self.blobs.extend(row[0] for row in rows)
        s.run(f"DELETE FROM nodes WHERE id {s.in_list}", ids)
        self.left -= len(node_ids)

    def emptied(self, node_id: int) -> None:
        """Erases the node that has no children any more: a collection, or a file that was the top of the tree."""
        kind = self._s.scalar("SELECT kind FROM nodes WHERE id = ?", node_id)
        if kind == Kind.FILE:
            self.files_of([node_id])
        elif kind is not None:
            self._s.run("DELETE FROM nodes WHERE id = ?", node_id)
            self.left -= 1
