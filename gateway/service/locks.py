"""Taking, refreshing and releasing locks: checked and taken in one transaction, shared by all gates."""

from __future__ import annotations

from gateway.domain.errors import (
    Forbidden,
    LockConflict,
    LockTokenMismatch,
    NotFound,
    ParentMissing,
    PreconditionFailed,
    Unavailable,
)
from gateway.domain.lock import Lock, Scope, grant_timeout, new_token
from gateway.domain.names import Path
from gateway.domain.node import Node, Version, webdav_etag
from gateway.domain.tenant import Caller, Limits, Role
from gateway.domain.upload import NO_CONDITIONS, Conditions, Declared, UploadInfo
from gateway.hooks import Change
from gateway.pluginhost import PluginHost
from gateway.service.guards import Target, as_now, check_conditions, check_locks, covering, find, require_writer
from gateway.service.results import Found
from gateway.service.settling import Settling
from gateway.service.unit_of_work import Database, Tx
from gateway.service.uploads import EMPTY_SHA256, Uploads, write_version

MAX_LOCKS = 10_000
"""Live locks of one tenant: a bound on what a client can make us keep."""


class Locks:
    def __init__(self, db: Database, host: PluginHost, settling: Settling, uploads: Uploads) -> None:
        self._db = db
        self._host = host
        self._settling = settling
        self._uploads = uploads

    def take(
        self,
        caller: Caller,
        path: Path,
        scope: Scope,
        infinite: bool,
        owner: str,
        timeout: int | None,
        conditions: Conditions = NO_CONDITIONS,
    ) -> tuple[Lock, bool, Node]:
        """LOCK. Returns the lock, whether an empty file was made for it (RFC 4918 section 7.3), and the node.

        Raises LockConflict, Locked (a new name below somebody's lock), ParentMissing, PreconditionFailed, and what
        hooks refuse a new file with.
        """
        require_writer(caller)
        at = self._db.read(lambda tx: find(tx, caller, path))
        limits: Limits | None = None
        if at.node is None:
            if at.parent is None:
                raise ParentMissing("the parent collection does not exist")
            limits = self._admit_new(caller, path)
        granted = grant_timeout(timeout)

        def work(tx: Tx) -> tuple[Lock, bool, Node]:
            now = self._settling.clock()
            at = find(tx, caller, path)
            check_conditions(tx, caller, now, conditions, at)
            node, created = at.node, at.node is None
            if node is None:
                if limits is None:
                    raise Unavailable("the file was removed at this moment", retry_after=1)
                node = self._make_empty(tx, caller, path, at, now, limits, conditions)
                at = find(tx, caller, path)
            self._check_free(tx, caller, at, scope, infinite, now)
            lock = Lock(
                token=new_token(),
                tenant_id=caller.tenant.id,
                node_id=node.id,
                user_id=caller.user.id,
                scope=scope,
                infinite=infinite and node.is_collection,
                owner=owner,
                timeout=granted,
                expires_at=now + granted * 1000,
                root=path,
            )
            tx.locks.add(lock)
            return lock, created, node

        return self._db.write(work, caller.tenant.id).result()

    def _admit_new(self, caller: Caller, path: Path) -> Limits:
        caller = self._db.read(lambda tx: as_now(tx, caller))
        self._host.check("check_change", change=Change(caller, "create", path))
        self._host.check("check_upload", upload=UploadInfo(caller, path, Declared(0)))
        return self._settling.limits(caller.tenant)

    def _make_empty(
        self, tx: Tx, caller: Caller, path: Path, at: Found, now: int, limits: Limits, conditions: Conditions
    ) -> Node:
        if at.parent is None:
            raise ParentMissing("the parent collection does not exist")
        check_locks(tx, caller, now, conditions, [Target(at, membership=True)])
        version_id = self._uploads.ids.new(now)
        version = Version(
            version_id, "", 0, webdav_etag(version_id), "", EMPTY_SHA256, now, now, uploader_id=caller.user.id
        )
        return write_version(tx, self._settling, self._uploads.ids, caller, at, path[-1], version, now, limits).node

    def _check_free(self, tx: Tx, caller: Caller, at: Found, scope: Scope, infinite: bool, now: int) -> None:
        assert at.node is not None
        standing = covering(tx.locks.on_nodes([node.id for node in at.chain], now), at.chain)
        if infinite and at.node.is_collection:
            standing += tx.locks.below(at.node.id, now)
        conflicts = [lock.root for lock in standing if lock.conflicts_with(scope)]
        if conflicts:
            raise LockConflict("a conflicting lock exists", paths=conflicts)
        if tx.locks.count(caller.tenant.id, now) >= MAX_LOCKS:
            raise Forbidden(f"this space has {MAX_LOCKS} locks already")

    def refresh(self, caller: Caller, path: Path, conditions: Conditions, timeout: int | None) -> Lock:
        """LOCK without a body: renews the one lock that the If header names and in whose scope the path lies.

        Raises PreconditionFailed when there is none, as RFC 4918 section 9.10.2 asks; Forbidden for viewers: who may
        write no more must not keep others out for ever.
        """
        require_writer(caller)
        tokens = conditions.if_header.tokens if conditions.if_header else frozenset[str]()

        def work(tx: Tx) -> Lock:
            now = self._settling.clock()
            at = find(tx, caller, path)
            if at.node is None:
                raise NotFound("there is nothing at this path")
            standing = covering(tx.locks.on_nodes([node.id for node in at.chain], now), at.chain)
            own = [lock for lock in standing if lock.token in tokens and lock.user_id == caller.user.id]
            if not own:
                raise PreconditionFailed("the If header names no lock of yours on this resource")
            granted = grant_timeout(timeout if timeout is not None else own[0].timeout)
            tx.locks.refresh(own[0].token, granted, now + granted * 1000)
            renewed = tx.locks.by_token(caller.tenant.id, own[0].token)
            assert renewed is not None
            return renewed

        return self._db.write(work, caller.tenant.id).result()

    def release(self, caller: Caller, path: Path, token: str) -> None:
        """UNLOCK. Raises LockTokenMismatch when the lock does not cover this resource, Forbidden when it is
        somebody else's (an owner may release any)."""
        require_writer(caller)

        def work(tx: Tx) -> None:
            now = self._settling.clock()
            at = find(tx, caller, path)
            standing = tx.locks.on_nodes([node.id for node in at.chain], now) if at.node else []
            covers = [lock for lock in covering(standing, at.chain) if lock.token == token] if standing else []
            if not covers:
                raise LockTokenMismatch("no lock with this token covers the resource")
            if covers[0].user_id != caller.user.id and caller.user.role is not Role.OWNER:
                raise Forbidden("the lock belongs to another user")
            tx.locks.remove(token)

        self._db.write(work, caller.tenant.id).result()

    def break_(self, token: str) -> Lock:
        """Removes any lock, for the operator. Raises NotFound."""

        def work(tx: Tx) -> Lock:
            now = self._settling.clock()
            for lock in tx.locks.of_tenant(None, now):
                if lock.token == token:
                    tx.locks.remove(token)
                    return lock
            raise NotFound(f"there is no lock {token}")

        return self._db.write(work).result()

    def list(self, tenant_id: int | None = None) -> list[Lock]:
        """All live locks, of one tenant or all."""
        now = self._settling.clock()
        return self._db.read(lambda tx: tx.locks.of_tenant(tenant_id, now))
