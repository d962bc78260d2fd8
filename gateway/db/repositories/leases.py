"""Leases: which processes live, and who is the one steward."""

from __future__ import annotations

from gateway.db.repositories.system import count
from gateway.db.session import Session
from gateway.service.stored import Lease

_COLUMNS = "boot_id, role, host, pid, started_at, expires_at, fence"
STEWARD = "steward"

# A steward that was succeeded does not come back to life by renewing, nor does a process whose lease was ended for good
# (expires_at 0): the sweeper may be deleting what it left.
_RENEW = f"""
UPDATE leases SET expires_at = ? WHERE boot_id = ? AND expires_at > 0 AND (role <> '{STEWARD}' OR fence =
    (SELECT value FROM counters WHERE name = 'fence.{STEWARD}'))"""


class Leases:
    def __init__(self, session: Session) -> None:
        self._s = session

    def grant(self, boot_id: str, role: str, host: str, pid: int, now: int, expires_at: int) -> Lease | None:
        if role == STEWARD:
            sql = "SELECT 1 FROM leases WHERE role = ? AND expires_at > ? AND boot_id <> ?"
            if self._s.row(sql, role, now, boot_id):
                return None
        lease = Lease(boot_id, role, host, pid, now, expires_at, count(self._s, f"fence.{role}"))
        self._s.run("DELETE FROM leases WHERE boot_id = ?", boot_id)
        self._s.run(
            f"INSERT INTO leases ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            boot_id, role, host, pid, now, expires_at, lease.fence,
        )  # fmt: skip
        return lease

    def renew(self, boot_id: str, expires_at: int) -> bool:
        return self._s.run(_RENEW, expires_at, boot_id) == 1

    def alive(self, boot_id: str, now: int) -> bool:
        return self._s.row("SELECT 1 FROM leases WHERE boot_id = ? AND expires_at > ?", boot_id, now) is not None

    def lapsed(self, now: int) -> list[Lease]:
        rows = self._s.rows(f"SELECT {_COLUMNS} FROM leases WHERE expires_at <= ? ORDER BY expires_at", now)
        return [Lease(*row) for row in rows]

    def live(self, now: int) -> list[Lease]:
        rows = self._s.rows(f"SELECT {_COLUMNS} FROM leases WHERE expires_at > ? ORDER BY started_at", now)
        return [Lease(*row) for row in rows]

    def remove(self, boot_id: str) -> None:
        self._s.run("DELETE FROM leases WHERE boot_id = ?", boot_id)
