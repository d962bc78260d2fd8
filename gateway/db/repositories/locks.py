"""WebDAV locks. A space has few of them, so scopes are found by going up from each lock, not down through the tree."""

from __future__ import annotations

import json
from collections.abc import Sequence

from gateway.db.session import Row, Session
from gateway.domain.lock import Lock, Scope

_COLUMNS = "l.token, l.tenant_id, l.node_id, l.user_id, l.scope, l.infinite, l.owner, l.timeout, l.expires_at, l.root"

# Of all locks of the node's tenant, the tokens of those whose way up meets the node.
_BELOW = """
WITH RECURSIVE up(token, id) AS (
    SELECT l.token, n.parent_id FROM locks l JOIN nodes n ON n.id = l.node_id
    WHERE l.tenant_id = (SELECT tenant_id FROM nodes WHERE id = ?)
    UNION ALL
    SELECT up.token, n.parent_id FROM up JOIN nodes n ON n.id = up.id WHERE up.id <> ?)
SELECT token FROM up WHERE id = ?"""

# CROSS JOIN keeps SQLite at the few locks first; PostgreSQL sees for itself.
_OF_CHILDREN = f"""
SELECT {_COLUMNS} FROM locks l CROSS JOIN nodes n
WHERE l.tenant_id = (SELECT tenant_id FROM nodes WHERE id = ?) AND l.expires_at > ?
AND n.id = l.node_id AND n.parent_id = ?"""

_FEW = 16
_ON_FEW = [
    f"SELECT {_COLUMNS} FROM locks l WHERE l.node_id IN ({', '.join('?' * count) or 'NULL'}) AND l.expires_at > ?"
    for count in range(_FEW + 1)
]
"""By the number of nodes: a path has few, and a list in one parameter costs as much as finding them."""


class Locks:
    def __init__(self, session: Session) -> None:
        self._s = session

    def add(self, lock: Lock) -> None:
        self._s.run(
            "INSERT INTO locks (token, tenant_id, node_id, user_id, scope, infinite, owner, timeout, expires_at, root) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            lock.token, lock.tenant_id, lock.node_id, lock.user_id, str(lock.scope), lock.infinite, lock.owner,
            lock.timeout, lock.expires_at, json.dumps(lock.root),
        )  # fmt: skip

    def on_nodes(self, node_ids: Sequence[int], now: int) -> list[Lock]:
        if len(node_ids) > _FEW:
            sql = f"SELECT {_COLUMNS} FROM locks l WHERE l.node_id {self._s.in_list} AND l.expires_at > ?"
            return [_lock(row) for row in self._s.rows(sql, self._s.array(node_ids), now)]
        return [_lock(row) for row in self._s.rows(_ON_FEW[len(node_ids)], *node_ids, now)]

    def below(self, node_id: int, now: int) -> list[Lock]:
        tokens = self._tokens_below(node_id)
        if not tokens:
            return []
        sql = f"SELECT {_COLUMNS} FROM locks l WHERE l.token {self._s.in_list} AND l.expires_at > ?"
        return [_lock(row) for row in self._s.rows(sql, self._s.array(tokens), now)]

    def of_children(self, parent_id: int, now: int) -> list[Lock]:
        return [_lock(row) for row in self._s.rows(_OF_CHILDREN, parent_id, now, parent_id)]

    def by_token(self, tenant_id: int, token: str) -> Lock | None:
        row = self._s.row(f"SELECT {_COLUMNS} FROM locks l WHERE l.token = ? AND l.tenant_id = ?", token, tenant_id)
        return _lock(row) if row else None

    def of_tenant(self, tenant_id: int | None, now: int) -> list[Lock]:
        if tenant_id is None:
            rows = self._s.rows(f"SELECT {_COLUMNS} FROM locks l WHERE l.expires_at > ?", now)
        else:
            sql = f"SELECT {_COLUMNS} FROM locks l WHERE l.tenant_id = ? AND l.expires_at > ?"
            rows = self._s.rows(sql, tenant_id, now)
        return sorted((_lock(row) for row in rows), key=lambda lock: (lock.tenant_id, lock.root, lock.token))

    def count(self, tenant_id: int, now: int) -> int:
        return int(self._s.scalar("SELECT COUNT(*) FROM locks WHERE tenant_id = ? AND expires_at > ?", tenant_id, now))

    def refresh(self, token: str, timeout: int, expires_at: int) -> None:
        self._s.run("UPDATE locks SET timeout = ?, expires_at = ? WHERE token = ?", timeout, expires_at, token)

    def remove(self, token: str) -> None:
        self._s.run("DELETE FROM locks WHERE token = ?", token)

    def drop_on(self, node_ids: Sequence[int]) -> None:
        self._s.run(f"DELETE FROM locks WHERE node_id {self._s.in_list}", self._s.array(node_ids))

    def drop_below(self, node_id: int) -> None:
        tokens = self._tokens_below(node_id)
        if tokens:
            self._s.run(f"DELETE FROM locks WHERE token {self._s.in_list}", self._s.array(tokens))
        self._s.run("DELETE FROM locks WHERE node_id = ?", node_id)

    def rehang(self, from_node_id: int, to_node_id: int) -> None:
        self._s.run("UPDATE locks SET node_id = ? WHERE node_id = ?", to_node_id, from_node_id)

    def purge(self, now: int) -> int:
        return self._s.run("DELETE FROM locks WHERE expires_at <= ?", now)

    def _tokens_below(self, node_id: int) -> list[str]:
        return [row[0] for row in self._s.rows(_BELOW, node_id, node_id, node_id)]


def _lock(row: Row) -> Lock:
    return Lock(
        row[0], row[1], row[2], row[3], Scope(row[4]), bool(row[5]), row[6], row[7], row[8], tuple(json.loads(row[9]))
    )
