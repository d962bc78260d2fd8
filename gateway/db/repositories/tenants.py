"""Tenants, and the figures that settlement moves (invariant I4)."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.db.repositories.system import Systems
from gateway.db.session import Row, Session
from gateway.domain.errors import AlreadyExists, NotFound, QuotaExceeded
from gateway.domain.tenant import Limits, Tenant, TenantState
from gateway.service.stored import Usage

_COLUMNS = (
    "id, name, plan, state, quota_bytes, quota_files, demo, root_id, created_at, used_bytes, used_files, "
    "reserved_bytes, seq"
)
_UNLIMITED = 2**62  # more bytes than any store, and far enough from 2**63 for the sum beside it
_NO_LIMITS = Limits()

# Old values stand on the right of SET and in WHERE, so check and change are one step whoever else writes.
_SETTLE = """
UPDATE tenants SET used_bytes = used_bytes + ?, used_files = used_files + ?,
    seq = seq + ?, last_event_at = CASE WHEN last_event_at > ? THEN last_event_at ELSE ? END
WHERE id = ? AND used_bytes + reserved_bytes <= ? AND used_files <= ?
RETURNING seq, last_event_at, used_bytes, used_files"""

_RESERVE = """
UPDATE tenants SET reserved_bytes = reserved_bytes + ? WHERE id = ? AND used_bytes + reserved_bytes <= ?"""


class Tenants:
    def __init__(self, session: Session) -> None:
        self._s = session
        self._system = Systems(session)

    def add(self, tenant: Tenant) -> None:
        added = self._s.run(
            f"INSERT INTO tenants ({_COLUMNS}, last_event_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (name) DO NOTHING",
            tenant.id, tenant.name, tenant.plan, str(tenant.state), tenant.quota_bytes, tenant.quota_files,
            tenant.demo, tenant.root_id, tenant.created_at, tenant.used_bytes, tenant.used_files,
            tenant.reserved_bytes, tenant.seq, tenant.created_at,
        )  # fmt: skip
        if not added:
            raise AlreadyExists(f"there is a tenant {tenant.name!r} already, or there was one")
        self._system.bump()

    def get(self, name: str) -> Tenant | None:
        return self._one(self._s.row(f"SELECT {_COLUMNS} FROM tenants WHERE name = ?", name))

    def by_id(self, tenant_id: int) -> Tenant | None:
        return self._one(self._s.row(f"SELECT {_COLUMNS} FROM tenants WHERE id = ?", tenant_id))

    def all(self) -> list[Tenant]:
        rows = self._s.rows(f"SELECT {_COLUMNS} FROM tenants WHERE state <> ?", str(TenantState.REMOVED))
        return sorted((_tenant(row) for row in rows), key=lambda tenant: tenant.name)

    def removed(self) -> list[Tenant]:
        rows = self._s.rows(f"SELECT {_COLUMNS} FROM tenants WHERE state = ?", str(TenantState.REMOVED))
        return sorted((_tenant(row) for row in rows), key=lambda tenant: tenant.name)

    def set_plan(self, tenant_id: int, plan: str, quota_bytes: int | None, quota_files: int | None) -> None:
        sql = "UPDATE tenants SET plan = ?, quota_bytes = ?, quota_files = ? WHERE id = ?"
        _found(self._s.run(sql, plan, quota_bytes, quota_files, tenant_id))
        self._system.bump()

    def set_state(self, tenant_id: int, state: TenantState) -> None:
        _found(self._s.run("UPDATE tenants SET state = ? WHERE id = ?", str(state), tenant_id))
        self._system.bump()

    def settle(
        self,
        tenant_id: int,
        now: int,
        *,
        bytes: int = 0,
        files: int = 0,
        limits: Limits = _NO_LIMITS,
        events: int = 1,
    ) -> Usage:
        most_bytes = _room(limits.bytes, bytes)
        most_files = _room(limits.files, files)
        row = self._s.row(_SETTLE, bytes, files, events, now, now, tenant_id, most_bytes, most_files)
        if row is None:
            raise self._exceeded(tenant_id, bytes, limits)
        return Usage(*row)

    def reserve(self, tenant_id: int, boot_id: str, upload_id: int, bytes: int, limits: Limits) -> None:
        if not self._s.run(_RESERVE, bytes, tenant_id, _room(limits.bytes, bytes)):
            raise self._exceeded(tenant_id, bytes, limits)
        self._s.run(
            "INSERT INTO reservations (upload_id, tenant_id, boot_id, bytes) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (upload_id) DO UPDATE SET bytes = reservations.bytes + excluded.bytes",
            upload_id, tenant_id, boot_id, bytes,
        )  # fmt: skip

    def unreserve(self, tenant_id: int, upload_id: int) -> int:
        sql = "DELETE FROM reservations WHERE upload_id = ? AND tenant_id = ? RETURNING bytes"
        given_back = self._s.scalar(sql, upload_id, tenant_id)
        if not given_back:
            return 0
        self._give_back(tenant_id, given_back)
        return int(given_back)

    def unreserve_all(self, tenant_id: int, upload_ids: Sequence[int]) -> int:
        sql = f"DELETE FROM reservations WHERE tenant_id = ? AND upload_id {self._s.in_list} RETURNING bytes"
        given_back = sum(row[0] for row in self._s.rows(sql, tenant_id, self._s.array(upload_ids)))
        if given_back:
            self._give_back(tenant_id, given_back)
        return int(given_back)

    def drop_reservations(self, boot_ids: Sequence[str]) -> int:
        if not boot_ids:
            return 0
        sql = f"DELETE FROM reservations WHERE boot_id {self._s.in_list} RETURNING tenant_id, bytes"
        rows = self._s.rows(sql, self._s.array(boot_ids))
        for tenant_id, given_back in rows:
            self._give_back(tenant_id, given_back)
        return len(rows)

    def set_usage(self, tenant_id: int, used_bytes: int, used_files: int, reserved_bytes: int) -> None:
        sql = "UPDATE tenants SET used_bytes = ?, used_files = ?, reserved_bytes = ? WHERE id = ?"
        _found(self._s.run(sql, used_bytes, used_files, reserved_bytes, tenant_id))

    def _give_back(self, tenant_id: int, amount: int) -> None:
        self._s.run("UPDATE tenants SET reserved_bytes = reserved_bytes - ? WHERE id = ?", amount, tenant_id)

    def _exceeded(self, tenant_id: int, growth: int, limits: Limits) -> Exception:
        tenant = self.by_id(tenant_id)
        if tenant is None:
            return NotFound("no such tenant")
        used = tenant.used_bytes + tenant.reserved_bytes
        if growth > 0 and limits.bytes is not None and used + growth > limits.bytes:
            return QuotaExceeded(used=used, allowed=limits.bytes)
        return QuotaExceeded(used=tenant.used_files, allowed=limits.files or 0, unit="files")

    def _one(self, row: Row | None) -> Tenant | None:
        return _tenant(row) if row else None


def _room(limit: int | None, growth: int) -> int:
    """The most that may be used before a change for it to pass; shrinking and standing still always pass (LIM-01)."""
    return _UNLIMITED if limit is None or growth <= 0 else limit - growth


def _found(changed: int) -> None:
    if not changed:
        raise NotFound("no such tenant")


def _tenant(row: Row) -> Tenant:
    return Tenant(
        row[0], row[1], row[2], TenantState(row[3]), row[4], row[5], bool(row[6]), row[7], row[8], row[9], row[10],
        row[11], row[12],
    )  # fmt: skip
