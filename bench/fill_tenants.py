"""Adds many tenants to a data folder in one process, run by kurado's own Python: fill_tenants.py CONFIG COUNT

Tenants t00000, t00001 ... get the user that the tenant ``bench`` has, with the same hash: ten thousand times argon2id
would be a measurement of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway import config
from gateway.daemon import open_deployment
from gateway.domain.tenant import User
from gateway.service.services import Services

AT_ONCE = 1000


def fill(services: Services, count: int) -> None:
    """In the order of their names, so many in a transaction."""
    bench = services.accounts.tenant("bench")
    pattern = services.db.read(lambda tx: tx.users.of_tenant(bench.id))[0]
    waiting: list[Future[Any]] = []
    for number in range(count):
        tenant, add_tenant = services.accounts.tenant_to_add(f"t{number:05d}", "standard")
        user = replace(pattern, id=services.ids.new(tenant.created_at), tenant_id=tenant.id)
        waiting.append(services.db.write(_both(add_tenant, user)))
        if len(waiting) >= AT_ONCE:
            _await(waiting)
    _await(waiting)


def _both(add_tenant: Callable[[Any], Any], user: User) -> Callable[[Any], None]:
    def work(tx: Any) -> None:
        add_tenant(tx)
        tx.users.add(user)

    return work


def _await(waiting: list[Future[Any]]) -> None:
    for future in waiting:
        future.result()
    waiting.clear()


if __name__ == "__main__":
    with open_deployment(config.load(Path(sys.argv[1]), {}), role="cli") as deployment:
        deployment.leases.keep()
        fill(deployment.services, int(sys.argv[2]))
