"""Access keys of the S3 API: pairs of a name and a secret that act for a user of a tenant.

A key is its acts (``key.created``, ``key.disabled``, ``key.enabled``, ``key.rewrapped``): audited, and in the replica
as they are. The secret stands in the first of them and in those that wrapped it anew, wrapped by the master key of the
time, which lies elsewhere; the last one counts. Every act moves the revision
that the directory looks at three times a second, so a disabled key ends everywhere within a second.
"""

from __future__ import annotations

import base64
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from gateway.blobstore import Rewrapped
from gateway.domain.acts import Act
from gateway.domain.errors import NotFound, Unauthenticated, Unavailable
from gateway.domain.tenant import Tenant, User
from gateway.service.directory import Directory
from gateway.service.unit_of_work import Database, Tx

PREFIX = "key:"
CREATED, DISABLED, ENABLED, REWRAPPED = "key.created", "key.disabled", "key.enabled", "key.rewrapped"
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_RULE = "ACCT-01"
_MAX_CACHED = 10_000

log = logging.getLogger("kurado.keys")


class Wrapping(Protocol):
    """What the master key does (``gateway/masterkey.py``). ``unwrap`` and ``rewrap`` raise ValueError for what is not
    wrapped by it."""

    def wrap(self, secret: bytes, purpose: str) -> bytes: ...
    def unwrap(self, wrapped: bytes, purpose: str) -> bytes: ...
    def rewrap(self, wrapped: bytes, purpose: str) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class AccessKey:
    """``wrapped`` is the secret as the acts have it; times in ms UTC."""

    id: str
    tenant_id: int
    tenant: str
    login: str
    created_at: int
    wrapped: str
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs with a key, and the secret to check it with."""

    key_id: str
    secret: str
    tenant: Tenant
    user: User


class AccessKeys:
    """``wrapping`` opens the master key when it is first needed: a gateway without S3 needs none."""

    def __init__(
        self, db: Database, directory: Directory, clock: Callable[[], int], wrapping: Callable[[], Wrapping]
    ) -> None:
        self._db = db
        self._directory = directory
        self._clock = clock
        self._load = wrapping
        self._master: Wrapping | None = None
        self._known: dict[str, tuple[AccessKey, str] | None] = {}
        self._revision = -1

    # -- operators ----------------------------------------------------------------------------------------------------

    def create(self, tenant: str, login: str, who: str) -> tuple[AccessKey, str]:
        """A new key of a user, and its secret, which is shown this once. NotFound."""
        owner, _ = self._db.read(lambda tx: _user(tx, tenant, login))
        key_id = "KU" + "".join(secrets.choice(_ALPHABET) for _ in range(18))
        secret = base64.b64encode(secrets.token_bytes(30)).decode()
        wrapped = base64.b64encode(self._open_master().wrap(secret.encode(), _purpose(key_id))).decode()
        now = self._clock()
        data = {"tenant": owner.name, "user": login, "secret": wrapped}

        def work(tx: Tx) -> AccessKey:
            _user(tx, tenant, login)
            act = Act(PREFIX + key_id, CREATED, now, who, "operator", _RULE, owner.id, after="enabled", data=data)
            key = _after(None, tx.acts.append(act))
            assert key is not None
            return key

        return self._db.write(work, owner.id).result(), secret

    def all(self, tenant: str | None = None) -> list[AccessKey]:
        """All keys that were ever made, disabled ones too, by tenant, login and time. NotFound."""
        if tenant is not None:
            self._db.read(lambda tx: _tenant(tx, tenant))
        folded: dict[str, AccessKey | None] = {}
        for act in self._db.read(lambda tx: tx.acts.of_prefix(PREFIX)):
            folded[act.subject] = _after(folded.get(act.subject), act)
        found = [key for key in folded.values() if key and tenant in (None, key.tenant)]
        return sorted(found, key=lambda key: (key.tenant, key.login, key.created_at))

    def unusable(self) -> list[AccessKey]:
        """Enabled keys whose secrets another master key wrapped. Unavailable when there are keys and the master key
        cannot be read."""
        return [key for key in self.all() if not key.disabled and not self._unwrapped(key)]

    def set_disabled(self, key_id: str, disabled: bool, who: str) -> AccessKey:
        """Ends a key, or lets it in again. NotFound."""
        now = self._clock()

        def work(tx: Tx) -> AccessKey:
            key = _fold(tx, key_id)
            if key is None:
                raise NotFound(f"there is no access key {key_id!r}")
            if key.disabled is disabled:
                return key
            kind, state = (DISABLED, "disabled") if disabled else (ENABLED, "enabled")
            before = "enabled" if disabled else "disabled"
            tx.acts.append(
                Act(PREFIX + key.id, kind, now, who, "operator", _RULE, key.tenant_id, before=before, after=state)
            )
            return replace(key, disabled=disabled)

        return self._db.write(work).result()

    def rewrap(self, who: str) -> Rewrapped:
        """Wraps all secrets by the master key of now, those of disabled keys too. Unavailable when there are keys and
        the master key cannot be read."""
        done = Rewrapped()
        for key in self.all():
            master = self._open_master()
            try:
                wrapped = master.rewrap(base64.b64decode(key.wrapped), _purpose(key.id))
            except ValueError:
                done += Rewrapped(lost=1)
                continue
            if wrapped is None:
                done += Rewrapped(kept=1)
                continue
            data = {"secret": base64.b64encode(wrapped).decode()}
            act = Act(PREFIX + key.id, REWRAPPED, self._clock(), who, "operator", _RULE, key.tenant_id, data=data)
            self._append(act)
            done += Rewrapped(wrapped=1)
        return done

    def _append(self, act: Act) -> None:
        self._db.write(lambda tx: tx.acts.append(act)).result()

    # -- requests -----------------------------------------------------------------------------------------------------

    def cached(self, key_id: str) -> Signer | None:
        """Whoever may sign with a key that was seen before, without waiting for anything; else None. For event loops.
        Raises Unauthenticated."""
        if not self._directory.is_fresh or self._revision != self._directory.revision or key_id not in self._known:
            return None
        known = self._known[key_id]
        if known is not None:
            tenant = self._directory.tenant(known[0].tenant)
            if tenant is not None and not self._directory.knows(tenant, known[0].login):
                return None
        return self._signer(known)

    def signer(self, key_id: str) -> Signer:
        """The same, by a read of the database where needed. Raises Unauthenticated for a key that is unknown, disabled
        or of a disabled user or a removed tenant, which look the same; BackendUnavailable. A key that was made a moment
        ago, or whose tenant was, is known at once."""
        try:
            return self._looked_up(key_id)
        except Unauthenticated:
            if not self._directory.refresh():
                raise
            return self._looked_up(key_id)

    def _looked_up(self, key_id: str) -> Signer:
        if not self._directory.is_fresh:
            self._directory.refresh()
        revision = self._directory.revision
        if self._revision != revision or len(self._known) >= _MAX_CACHED:
            self._known, self._revision = {}, revision
        known = self._known
        if key_id not in known:
            key = self._db.read(lambda tx: _fold(tx, key_id))
            # a key that another master key wrapped (a restore without it) is as unknown as any other
            known[key_id] = (key, self._unwrapped(key)) if key else None
        return self._signer(known[key_id])

    def _signer(self, known: tuple[AccessKey, str] | None) -> Signer:
        if known is not None and not known[0].disabled and known[1]:
            key, secret = known
            tenant = self._directory.tenant(key.tenant)
            user = self._directory.user(tenant, key.login) if tenant and tenant.id == key.tenant_id else None
            if tenant and user and not user.disabled:
                return Signer(key.id, secret, tenant, user)
        raise Unauthenticated("the access key is not known here")

    def _open_master(self) -> Wrapping:
        if self._master is None:
            try:
                self._master = self._load()
            except ValueError as error:
                raise Unavailable(f"the master key cannot be used: {error}") from error
        return self._master

    def _unwrapped(self, key: AccessKey) -> str:
        """The secret, "" where another master key wrapped it. Raises Unavailable."""
        master = self._open_master()
        try:
            return master.unwrap(base64.b64decode(key.wrapped), _purpose(key.id)).decode()
        except ValueError as error:
            log.error("an access key is not accepted: its secret cannot be unwrapped", extra={"reason": str(error)})
            return ""


def _purpose(key_id: str) -> str:
    return f"access key {key_id}"


def _fold(tx: Tx, key_id: str) -> AccessKey | None:
    key: AccessKey | None = None
    if not key_id.isalnum() or not key_id.isascii() or len(key_id) > 64:
        return None
    for act in tx.acts.of_subject(PREFIX + key_id):
        key = _after(key, act)
    return key


def _after(key: AccessKey | None, act: Act) -> AccessKey | None:
    if act.kind == CREATED:
        data = act.data
        name = act.subject.removeprefix(PREFIX)
        return AccessKey(name, act.tenant_id, data["tenant"], data["user"], act.at, data["secret"])
    if key is not None and act.kind == REWRAPPED:
        return replace(key, wrapped=act.data["secret"])
    if key is not None and act.kind in (DISABLED, ENABLED):
        return replace(key, disabled=act.kind == DISABLED)
    return key


def _tenant(tx: Tx, name: str) -> Tenant:
    tenant = tx.tenants.get(name)
    if tenant is None or tenant.state == "removed":
        raise NotFound(f"there is no tenant {name!r}")
    return tenant


def _user(tx: Tx, tenant: str, login: str) -> tuple[Tenant, User]:
    owner = _tenant(tx, tenant)
    user = tx.users.find(owner.id, login)
    if user is None:
        raise NotFound(f"tenant {tenant!r} has no user {login!r}")
    return owner, user
