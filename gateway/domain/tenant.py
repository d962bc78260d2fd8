"""Who: tenants, their users, and the caller of one request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from gateway.domain.errors import InvalidName


class Role(StrEnum):
    """What a user may do: a viewer reads, an editor writes, an owner also breaks locks of others."""

    OWNER = "owner"
    EDITOR = "editor"
    VIEWER = "viewer"


class TenantState(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REMOVED = "removed"


UNLIMITED = 2**62
"""A limit of a tenant's own that is none, whatever its plan says: more than any storage holds."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """The customer of the provider; owns the space whose root node is ``root_id``.

    ``quota_bytes`` and ``quota_files`` are the tenant's own limits and win over the plan's; None means "the plan's",
    UNLIMITED that there is none.
    ``used_*`` and ``reserved_bytes`` are the figures at the time of reading (invariant I4).
    """

    id: int
    name: str
    plan: str
    state: TenantState
    quota_bytes: int | None
    quota_files: int | None
    demo: bool
    root_id: int
    created_at: int
    used_bytes: int = 0
    used_files: int = 0
    reserved_bytes: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True)
class User:
    """A login of one tenant; the tenant of an account never changes (ACCT-02)."""

    id: int
    tenant_id: int
    login: str
    password_hash: str
    role: Role
    disabled: bool
    created_at: int

    @property
    def may_write(self) -> bool:
        return self.role is not Role.VIEWER


@dataclass(frozen=True, slots=True)
class Caller:
    """One authenticated request: who asks, with which verb, and how the request is named in logs and answers."""

    tenant: Tenant
    user: User
    request_id: str = "-"
    verb: str = "-"
    remote: str = "-"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a tenant may store; None is unlimited."""

    bytes: int | None = None
    files: int | None = None


_TENANT_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")


def check_tenant_name(name: str) -> str:
    """A tenant's name stands in URLs, logs and host names: 1 to 63 of ``a-z 0-9 . _ -``."""
    if not _TENANT_NAME.fullmatch(name):
        raise InvalidName(f"{name!r} is no tenant name: 1 to 63 of a-z, 0-9, '.', '_', '-', no punctuation at the ends")
    return name


def check_login(login: str) -> str:
    """A login stands before the colon of Basic: 1 to 128 printable characters without colon, backslash or blanks."""
    if not 0 < len(login) <= 128 or any(c in ':\\/"' or c.isspace() or not c.isprintable() for c in login):
        raise InvalidName(f'{login!r} is no login: 1 to 128 printable characters without : \\ / " and blanks')
    return login
