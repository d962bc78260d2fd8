"""Every test of this folder that takes ``db`` or ``url`` runs on SQLite, and on PostgreSQL where it can be had."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.db.engine import SqlDatabase, open_database
from gateway.domain.tenant import Tenant
from gateway.testing.postgres import PostgresMissing, PostgresServer
from gateway.testing.rows import NOW, new_tenant


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    try:
        server = PostgresServer()
    except PostgresMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs PostgreSQL: {missing}", pytrace=False)
        pytest.skip(str(missing))
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/kurado.db"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        given = server.new_database()
        yield given
        server.give_back(given)


@pytest.fixture
def db(url: str) -> Iterator[SqlDatabase]:
    database = open_database(url, clock=lambda: NOW)
    yield database
    database.close()


@pytest.fixture
def tenant(db: SqlDatabase) -> Tenant:
    return new_tenant(db, "studio")
