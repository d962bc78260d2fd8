"""Files under a takedown: what of a space does not count as used (TKD-02, D-33)."""

from __future__ import annotations

from gateway.db.repositories.subtrees import _ALL, _BELOW
from gateway.db.session import Session

_ADD = (
    "INSERT INTO taken_down (node_id, tenant_id, takedown, bytes) "
    "SELECT n.id, n.tenant_id, ?, v.size FROM nodes n JOIN versions v ON v.id = n.version_id WHERE n.id {0} "
    "ON CONFLICT (node_id) DO NOTHING"
)
_FILES = " SELECT n.id FROM below JOIN nodes n ON n.id = below.id WHERE n.version_id IS NOT NULL"
_NOW = (
    "SELECT COALESCE(SUM(v.size), 0), COUNT(*) FROM taken_down t JOIN nodes n ON n.id = t.node_id "
    "JOIN versions v ON v.id = n.version_id WHERE t.takedown = ?"
)


class Takedowns:
    def __init__(self, session: Session) -> None:
        self._s = session

    def add(self, takedown: str, tenant_id: int, node_id: int) -> tuple[int, int]:
        assert tenant_id
        s = self._s
        before = self._size(takedown)
        ids = [row[0] for row in s.rows(s.pick(_BELOW) + _FILES, node_id, _ALL)]
        if ids:
            s.run(_ADD.format(s.in_list), takedown, s.array(ids))
        after = self._size(takedown)
        return after[0] - before[0], after[1] - before[1]

    def lift(self, takedown: str) -> tuple[int, int]:
        size = self._size(takedown)
        self._s.run("DELETE FROM taken_down WHERE takedown = ?", takedown)
        return size

    def is_marked(self, node_id: int) -> bool:
        return self._s.row("SELECT 1 FROM taken_down WHERE node_id = ?", node_id) is not None

    def _size(self, takedown: str) -> tuple[int, int]:
        size, files = self._s.rows(_NOW, takedown)[0]
        return int(size), int(files)
