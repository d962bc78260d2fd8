"""The tree: what every request asks of it, in one statement each."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.db.repositories.node_writes import NodeWrites
from gateway.db.repositories.subtrees import Subtrees
from gateway.db.rows import (
    ENTRY_COLUMNS,
    FULL_ENTRY_COLUMNS,
    NODE_COLUMNS,
    VERSION_COLUMNS,
    entry_from_row,
    node_from_row,
    version_from_row,
)
from gateway.domain.entry import Entry, Listed
from gateway.domain.names import Path, name_key
from gateway.domain.node import Node, Version

_WITH_VERSION = "LEFT JOIN versions v ON v.id = n.version_id"

# One index search a step, for the collection before the file of the same name (kind "c" sorts before "f"); then the
# rows. SQLite takes UNION ALL queues and a CROSS JOIN's left side in order, so no sort is needed; PostgreSQL promises
# nothing and sorts its few rows.
_CHAIN = {
    "sqlite": f"""
WITH RECURSIVE walk(depth, id) AS (
    SELECT 0, ?1
    UNION ALL
    SELECT depth + 1, (
        SELECT id FROM nodes WHERE parent_id = walk.id AND name_key = json_extract(?2, '$[' || depth || ']')
        ORDER BY kind LIMIT 1)
    FROM walk WHERE depth < ?3 AND id IS NOT NULL)
SELECT {NODE_COLUMNS} FROM walk CROSS JOIN nodes n ON n.id = walk.id {_WITH_VERSION}""",
    "postgresql": f"""
WITH RECURSIVE walk(depth, id) AS (
    SELECT 0, ?::bigint
    UNION ALL
    SELECT depth + 1, (
        SELECT n.id FROM nodes n WHERE n.parent_id = walk.id AND n.name_key = (?::text[])[depth + 1]
        ORDER BY n.kind LIMIT 1)
    FROM walk WHERE depth < ? AND id IS NOT NULL)
SELECT {NODE_COLUMNS} FROM walk JOIN nodes n ON n.id = walk.id {_WITH_VERSION} ORDER BY walk.depth""",
}

_GET = f"SELECT {NODE_COLUMNS} FROM nodes n {_WITH_VERSION} WHERE n.id = ?"
_VERSION = f"SELECT {VERSION_COLUMNS} FROM versions v WHERE v.id = ?"
_CHILD = f"SELECT {NODE_COLUMNS} FROM nodes n {_WITH_VERSION} WHERE n.parent_id = ? AND n.name_key = ? ORDER BY n.kind"
_FILES_NAMED = (
    f"SELECT {NODE_COLUMNS} FROM nodes n {_WITH_VERSION} WHERE n.parent_id = ? AND n.kind = 'f' AND n.name_key {{}}"
)
_PAGE = f"FROM nodes n {_WITH_VERSION} WHERE n.parent_id = ? AND n.sort_key > ? ORDER BY n.sort_key LIMIT ?"
_CHILDREN = f"SELECT {NODE_COLUMNS} {_PAGE}"
_ENTRIES = f"SELECT {ENTRY_COLUMNS} {_PAGE}"
_FULL_ENTRIES = f"SELECT {FULL_ENTRY_COLUMNS} {_PAGE}"
_LISTED = f"SELECT n.id, n.sort_key, n.explicit, v.size, v.etag, COALESCE(v.created_at, n.modified_at) {_PAGE}"

# the collections are looked for in the index alone
_BESIDE = """
SELECT f.id FROM nodes c JOIN nodes f ON f.parent_id = c.parent_id AND f.name_key = c.name_key AND f.kind = 'f'
WHERE c.parent_id = ? AND c.kind = 'c'"""

# Up to the node without a parent; a space's root is known by its tenant naming it. 200 ends what could never be.
_PATH = """
WITH RECURSIVE up(depth, id, parent_id, name, tenant_id) AS (
    SELECT 0, id, parent_id, name, tenant_id FROM nodes WHERE id = ?
    UNION ALL
    SELECT up.depth + 1, n.id, n.parent_id, n.name, n.tenant_id
    FROM up JOIN nodes n ON n.id = up.parent_id WHERE up.depth < 200)
SELECT up.name, t.id FROM up LEFT JOIN tenants t ON up.parent_id IS NULL AND t.id = up.tenant_id AND t.root_id = up.id
ORDER BY up.depth DESC"""


class Nodes(NodeWrites, Subtrees):
    """Implements ``NodeRepository``: reads here, changes of one node and work on whole trees in the bases."""

    def chain(self, root_id: int, path: Path) -> list[Node]:
        keys = self._s.array(name_key(name) for name in path) if path else self._s.array(())
        return [node_from_row(row) for row in self._s.rows(self._s.pick(_CHAIN), root_id, keys, len(path))]

    def get(self, node_id: int) -> Node | None:
        row = self._s.row(_GET, node_id)
        return node_from_row(row) if row else None

    def version(self, version_id: int) -> Version | None:
        row = self._s.row(_VERSION, version_id)
        return version_from_row(row) if row else None

    def child(self, parent_id: int, name: str) -> Node | None:
        row = self._s.row(_CHILD, parent_id, name_key(name))
        return node_from_row(row) if row else None

    def named(self, parent_id: int, name: str) -> list[Node]:
        return [node_from_row(row) for row in self._s.rows(_CHILD, parent_id, name_key(name))]

    def files_named(self, parent_id: int, names: Sequence[str]) -> list[Node]:
        sql = _FILES_NAMED.format(self._s.in_list)
        return [node_from_row(row) for row in self._s.rows(sql, parent_id, self._s.array([name_key(n) for n in names]))]

    def beside(self, parent_id: int) -> list[int]:
        return [row[0] for row in self._s.rows(_BESIDE, parent_id)]

    def children(self, parent_id: int, after: bytes | None = None, limit: int = 1000) -> list[Node]:
        # b"" is before every sort key: no name is empty
        return [node_from_row(row) for row in self._s.rows(_CHILDREN, parent_id, after or b"", limit)]

    def entries(self, parent_id: int, after: bytes | None, limit: int, *, with_facts: bool) -> list[Entry]:
        sql = _FULL_ENTRIES if with_facts else _ENTRIES
        return [entry_from_row(row) for row in self._s.rows(sql, parent_id, after or b"", limit)]

    def listed(self, parent_id: int, after: bytes, limit: int) -> list[Listed]:
        return [Listed._make(row) for row in self._s.rows(_LISTED, parent_id, after, limit)]

    def has_children(self, parent_id: int) -> bool:
        return self._s.row("SELECT 1 FROM nodes WHERE parent_id = ? LIMIT 1", parent_id) is not None

    def path_of(self, node_id: int) -> Path | None:
        rows = self._s.rows(_PATH, node_id)
        if not rows or rows[0][1] is None:
            return None
        return tuple(name for name, _ in rows[1:])
