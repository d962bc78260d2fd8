"""Who is it? Names and passwords to tenant and user; argon2 is paid once in a while, not per request."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from gateway.domain.errors import TenantSuspended, Unauthenticated
from gateway.domain.tenant import Tenant, TenantState, User
from gateway.service.directory import Directory
from gateway.service.passwords import verify
from gateway.service.tally import Tally
from gateway.service.throttle import Throttle

CACHE_MS = 30_000
_MAX_CACHED = 10_000

Parts = tuple[Tenant, User]


class SuspendedLogin(TenantSuspended):
    """The login is right and its tenant is suspended (LIM-04); ``parts`` are for the record of refusals."""

    def __init__(self, parts: Parts) -> None:
        super().__init__("access is not possible")
        self.parts = parts


@dataclass(frozen=True, slots=True)
class _Verified:
    """A login whose password was right. It stands while the hash is the same and for ``CACHE_MS`` at most."""

    tenant: str
    login: str
    user_id: int
    password_hash: str
    expires_at: int


class Logins:
    """Verified logins are kept under a keyed hash of (tenant, login, password): no password stays in memory. ``tally``
    is where wrong logins are counted; without it in this process alone."""

    def __init__(self, directory: Directory, clock: Callable[[], int], tally: Tally | None = None) -> None:
        self._directory = directory
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        self._in_work: dict[bytes, threading.Lock] = {}
        self._lock = threading.Lock()
        self._throttle = Throttle(tally)

    def close(self) -> None:
        self._throttle.close()

    def known(self, digest: bytes) -> Parts | None:
        """Tenant and user of a login, by its ``digest``, that was verified seconds ago, without waiting for anything;
        else None.

        For event loops. None means: call ``authenticate`` in a thread. Raises TenantSuspended.
        """
        return self._still_good(digest, may_read=False) if self._directory.is_fresh else None

    def authenticate(self, tenant_name: str | None, login: str, password: str, remote: str) -> Parts:
        """Tenant and user; may take as long as argon2 and a read of the database.

        ``tenant_name`` None (a listing of the root) takes the first tenant in which login and password are right.
        ``remote`` is the client's address. Raises Unauthenticated for an unknown tenant or user, a disabled user or a
        wrong password, which look and cost the same; RateLimited after about ten wrong tries; TenantSuspended when the
        login is right and the tenant may not be used; BackendUnavailable.
        """
        digest = self.digest(tenant_name, login, password)
        found = self._still_good(digest, may_read=True)
        if found:
            return found
        login = plain_login(login)
        account = (tenant_name or "", login)
        with self._turn(digest):  # a client's many connections begin together: one of them computes, the others find
            found = self._still_good(digest, may_read=True)
            if found:
                return found
            if not self._was_right(digest):
                self._throttle.check(account, remote, self._clock())
            parts = self._verify(tenant_name, login, password)
            if parts is None:
                self._throttle.failed(account, remote, self._clock())
                raise Unauthenticated("login required")
            self._throttle.succeeded(account, remote, self._clock())
            self._keep(digest, parts)
        return _usable(parts)

    def _verify(self, tenant_name: str | None, login: str, password: str) -> Parts | None:
        if tenant_name is None:
            candidates = self._directory.candidates(login)
        else:
            tenant = self._directory.tenant(tenant_name)
            user = self._directory.user(tenant, login) if tenant else None
            candidates = [(tenant, user)] if tenant and user else []
        if not candidates:
            verify(password, None)
            return None
        right = [(tenant, user) for tenant, user in candidates if verify(password, user.password_hash)]
        return next((parts for parts in right if not parts[1].disabled), None)

    # -- the cache ----------------------------------------------------------------------------------------------------

    def digest(self, tenant_name: str | None, login: str, password: str) -> bytes:
        """What a login is remembered by: of no use outside of this process."""
        login = plain_login(login)
        parts = [part.encode("utf-8", "surrogatepass") for part in (tenant_name or "", login, password)]
        message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hashlib.blake2b(message, key=self._key, digest_size=32).digest()

    def _still_good(self, digest: bytes, *, may_read: bool) -> Parts | None:
        """The entry against the directory as it is now: a changed password, a disabled user or a removed tenant ends it
        at once. Without ``may_read`` a user that the snapshot does not hold yet is None."""
        entry = self._verified.get(digest)
        if entry is None:
            return None
        if entry.expires_at <= self._clock():
            return None
        tenant = self._directory.tenant(entry.tenant)
        if tenant is None or not (may_read or self._directory.knows(tenant, entry.login)):
            return None
        user = self._directory.user(tenant, entry.login)
        if user is None or user.disabled or (user.id, user.password_hash) != (entry.user_id, entry.password_hash):
            return None
        return _usable((tenant, user))

    def _was_right(self, digest: bytes) -> bool:
        """Whether just this password was right and is unchanged: whoever sends it is not guessing, and a drive that is
        mounted must not go away because another program at the same address has an old password."""
        entry = self._verified.get(digest)
        tenant = self._directory.tenant(entry.tenant) if entry else None
        user = self._directory.user(tenant, entry.login) if entry and tenant else None
        return bool(entry and user and (user.id, user.password_hash) == (entry.user_id, entry.password_hash))

    def _keep(self, digest: bytes, parts: Parts) -> None:
        tenant, user = parts
        expires_at = self._clock() + CACHE_MS
        with self._lock:
            self._verified[digest] = _Verified(tenant.name, user.login, user.id, user.password_hash, expires_at)
            self._verified.move_to_end(digest)
            while len(self._verified) > _MAX_CACHED:
                self._verified.popitem(last=False)

    def _turn(self, digest: bytes) -> _Turn:
        return _Turn(self._in_work, self._lock, digest)


class _Turn:
    """Lets one thread at a time work on the same login; the entry goes with the last of them."""

    def __init__(self, in_work: dict[bytes, threading.Lock], guard: threading.Lock, digest: bytes) -> None:
        self._in_work = in_work
        self._guard = guard
        self._digest = digest

    def __enter__(self) -> None:
        with self._guard:
            self._own = self._in_work.setdefault(self._digest, threading.Lock())
        self._own.acquire()

    def __exit__(self, *_: object) -> None:
        self._own.release()
        with self._guard:
            if not self._own.locked():
                self._in_work.pop(self._digest, None)


def plain_login(login: str) -> str:
    """``DOMAIN\\name`` is how Windows sends ``name`` (CLIENTS 8)."""
    return login.rpartition("\\")[2]


def _usable(parts: Parts) -> Parts:
    if parts[0].state is not TenantState.ACTIVE:
        raise SuspendedLogin(parts)
    return parts
