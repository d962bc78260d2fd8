"""Policy documents by version, and which version is in force for whom."""

from __future__ import annotations

from gateway.db.repositories.system import Systems
from gateway.db.session import Session
from gateway.domain.errors import NotFound
from gateway.service.stored import PolicyVersion

_COLUMNS = "name, version, digest, who, at, text"
_EVERYONE = 0
"""In place of a tenant: the default. A key column cannot be NULL."""


class Policies:
    def __init__(self, session: Session) -> None:
        self._s = session
        self._system = Systems(session)

    def add(self, name: str, digest: str, who: str, at: int, text: str) -> PolicyVersion:
        last = self._s.scalar("SELECT MAX(version) FROM policy_versions WHERE name = ?", name) or 0
        added = PolicyVersion(name, int(last) + 1, digest, who, at, text)
        sql = f"INSERT INTO policy_versions ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
        self._s.run(sql, name, added.version, digest, who, at, text)
        self._system.bump()
        return added

    def get(self, name: str, version: int) -> PolicyVersion | None:
        row = self._s.row(f"SELECT {_COLUMNS} FROM policy_versions WHERE name = ? AND version = ?", name, version)
        return PolicyVersion(*row) if row else None

    def history(self, name: str | None = None) -> list[PolicyVersion]:
        """By name, the oldest version first."""
        if name is None:
            rows = self._s.rows(f"SELECT {_COLUMNS} FROM policy_versions")
        else:
            rows = self._s.rows(f"SELECT {_COLUMNS} FROM policy_versions WHERE name = ?", name)
        return sorted((PolicyVersion(*row) for row in rows), key=lambda one: (one.name, one.version))

    def assign(self, name: str, version: int, tenant_id: int | None, who: str, at: int) -> None:
        if self.get(name, version) is None:
            raise NotFound(f"there is no version {version} of policy {name!r}")
        self._s.run(
            "INSERT INTO policy_assignments (name, tenant_id, version, who, at) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (name, tenant_id) DO UPDATE SET version = excluded.version, who = excluded.who, "
            "at = excluded.at",
            name, tenant_id or _EVERYONE, version, who, at,
        )  # fmt: skip
        self._system.bump()

    def unassign(self, name: str, tenant_id: int) -> None:
        self._s.run("DELETE FROM policy_assignments WHERE name = ? AND tenant_id = ?", name, tenant_id)
        self._system.bump()

    def assignments(self) -> list[tuple[str, int | None, int]]:
        rows = self._s.rows("SELECT name, tenant_id, version FROM policy_assignments ORDER BY name, tenant_id")
        return [(row[0], row[1] or None, row[2]) for row in rows]
