"""A whole gateway without its front: real database, store and services in a folder, and a clock that tests move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gateway import config
from gateway.daemon import Deployment, open_deployment
from gateway.domain.tenant import Caller, Role
from gateway.domain.upload import NO_CONDITIONS, Conditions, Declared
from gateway.service.results import Placed
from gateway.service.services import Services

START = 1_800_000_000_000
"""2027-01-15T08:00:00Z, the time of a new test clock."""


class Clock:
    """Milliseconds that move when told to."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += int(seconds * 1000)


@dataclass
class Space:
    """One tenant's space. Helpers speak in paths like ``a/b``."""

    deployment: Deployment
    services: Services
    clock: Clock
    caller: Caller

    def put(
        self, path: str, body: bytes = b"", conditions: Conditions = NO_CONDITIONS, caller: Caller | None = None
    ) -> Placed:
        return self.services.uploads.put(caller or self.caller, segments(path), Declared(len(body)), conditions, body)

    def read(self, path: str, caller: Caller | None = None) -> bytes:
        who = caller or self.caller
        content = self.services.files.content(who, self.services.files.get(who, segments(path)))
        with content.open(0, content.size) as stream:
            return stream.read()

    def mkcol(self, path: str) -> None:
        self.services.files.make_collection(self.caller, segments(path))

    def names(self, path: str = "") -> list[str]:
        """Names of the children, collections with a slash."""
        node = self.services.files.get(self.caller, segments(path))
        return [one.name + "/" * one.is_collection for one in self.services.files.children(node)]

    def used(self) -> tuple[int, int]:
        """(bytes, files) that the tenant uses now, checked against a fresh count."""
        tenant_id = self.caller.tenant.id
        tenant, counted = self.services.db.read(lambda tx: (tx.tenants.by_id(tenant_id), tx.nodes.totals(tenant_id)))
        assert tenant is not None
        assert (tenant.used_bytes, tenant.used_files) == counted
        return counted

    def user(self, login: str, role: Role = Role.EDITOR) -> Caller:
        """A further user of the tenant."""
        user = self.services.accounts.add_user(self.caller.tenant.name, login, "secret-" + login, role)
        return Caller(self.caller.tenant, user)

    def tenant(self, name: str, quota_bytes: int | None = None) -> Caller:
        """A further tenant, with an owner."""
        tenant = self.services.accounts.add_tenant(name, plan="standard", quota_bytes=quota_bytes)
        user = self.services.accounts.add_user(name, "owner-" + name, "secret", Role.OWNER)
        return Caller(tenant, user)


def segments(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part)


@contextmanager
def open_space(
    folder: Path,
    *,
    plugins: Sequence[Mapping[str, Any] | str] = (),
    quota_bytes: int | None = None,
    backend: str = "local",
    database: str | None = None,
    clock: Clock | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[Space]:
    """A deployment of the role "gate" over ``folder`` with one tenant, ``studio``, and its owner, ``ann``."""
    document: dict[str, Any] = {
        "version": 1,
        "data_dir": "data",
        "storage": {"backend": backend},
        "plugins": list(plugins),
        **(settings or {}),
    }
    if database:
        document["database"] = database
    file = folder / "gateway.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(document))
    ticking = clock or Clock()
    with open_deployment(config.load(file, {}), role="gate", clock=ticking) as deployment:
        deployment.leases.grant()
        services = deployment.services
        tenant = services.db.read(lambda tx: tx.tenants.get("studio"))
        if tenant is None:
            tenant = services.accounts.add_tenant("studio", plan="standard", quota_bytes=quota_bytes)
            services.accounts.add_user("studio", "ann", "secret", Role.OWNER)
        user = services.db.read(lambda tx: tx.users.find(tenant.id, "ann"))
        assert user is not None
        yield Space(deployment, services, ticking, Caller(tenant, user, "test", "TEST", "127.0.0.1"))
