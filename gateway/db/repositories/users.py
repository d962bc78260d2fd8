"""The logins of tenants."""

from __future__ import annotations

from typing import Any

from gateway.db.repositories.system import Systems
from gateway.db.session import Row, Session
from gateway.domain.errors import AlreadyExists, NotFound
from gateway.domain.tenant import Role, TenantState, User

_COLUMNS = "u.id, u.tenant_id, u.login, u.password_hash, u.role, u.disabled, u.created_at"


class Users:
    def __init__(self, session: Session) -> None:
        self._s = session
        self._system = Systems(session)

    def add(self, user: User) -> None:
        added = self._s.run(
            "INSERT INTO users (id, tenant_id, login, password_hash, role, disabled, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (login, tenant_id) DO NOTHING",
            user.id, user.tenant_id, user.login, user.password_hash, str(user.role), user.disabled, user.created_at,
        )  # fmt: skip
        if not added:
            raise AlreadyExists(f"the tenant has a user {user.login!r} already")
        self._system.bump()

    def find(self, tenant_id: int, login: str) -> User | None:
        row = self._s.row(f"SELECT {_COLUMNS} FROM users u WHERE u.login = ? AND u.tenant_id = ?", login, tenant_id)
        return _user(row) if row else None

    def by_login(self, login: str) -> list[User]:
        sql = (
            f"SELECT {_COLUMNS} FROM users u JOIN tenants t ON t.id = u.tenant_id "
            "WHERE u.login = ? AND t.state <> ? ORDER BY u.id LIMIT 8"
        )
        return [_user(row) for row in self._s.rows(sql, login, str(TenantState.REMOVED))]

    def of_tenant(self, tenant_id: int) -> list[User]:
        rows = self._s.rows(f"SELECT {_COLUMNS} FROM users u WHERE u.tenant_id = ?", tenant_id)
        return sorted((_user(row) for row in rows), key=lambda user: user.login)

    def set_password(self, user_id: int, password_hash: str) -> None:
        self._set(user_id, "password_hash", password_hash)

    def set_disabled(self, user_id: int, disabled: bool) -> None:
        self._set(user_id, "disabled", disabled)

    def set_role(self, user_id: int, role: Role) -> None:
        self._set(user_id, "role", str(role))

    def _set(self, user_id: int, column: str, value: Any) -> None:
        if not self._s.run(f"UPDATE users SET {column} = ? WHERE id = ?", value, user_id):
            raise NotFound("no such user")
        self._system.bump()


def _user(row: Row) -> User:
    return User(row[0], row[1], row[2], row[3], Role(row[4]), bool(row[5]), row[6])
