"""A database that was upgraded step by step is the same as one made at once, and only a fitting one is opened."""

from __future__ import annotations

import importlib
import pkgutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from gateway.db import schema
from gateway.db.engine import make_source, open_database
from gateway.db.metadata import metadata
from gateway.db.migrate import Upgraded, upgrade
from gateway.db.migrations import versions
from gateway.domain.errors import BackendUnavailable
from gateway.testing.postgres import PostgresServer
from gateway.testing.rows import NOW, new_tenant


def set_revision(url: str, revision: str) -> None:
    source = make_source(url)
    session = source.connect()
    session.core.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    session.close()
    source.close()


def test_the_migrations_make_the_tables_of_the_program(url: str) -> None:
    assert upgrade(url) == Upgraded(None, schema.REVISIONS[-1])
    source = make_source(url)
    session = source.connect()
    context = MigrationContext.configure(session.core, opts={"compare_type": True})
    assert compare_metadata(context, metadata) == []
    session.close()
    source.close()


def test_an_upgraded_database_is_the_same_as_a_new_one_to_the_letter(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path}/upgraded.db")
    open_database(f"sqlite:///{tmp_path}/made.db", clock=lambda: NOW).close()

    def definitions(name: str) -> list[Any]:
        connection = sqlite3.connect(tmp_path / name)
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        connection.close()
        return sorted((kind, name, " ".join(sql.split())) for kind, name, sql in rows)

    assert definitions("upgraded.db") == definitions("made.db")


def test_an_upgraded_postgres_has_the_constraints_of_a_new_one(postgres: PostgresServer) -> None:
    upgraded, made = postgres.new_database(), postgres.new_database()
    upgrade(upgraded)
    open_database(made, clock=lambda: NOW).close()

    def constraints(url: str) -> dict[str, Any]:
        source = make_source(url)
        session = source.connect()
        look = inspect(session.core)
        found = {
            table: (
                look.get_columns(table).__repr__(),
                look.get_pk_constraint(table),
                sorted(map(repr, look.get_foreign_keys(table))),
                sorted(map(repr, look.get_check_constraints(table))),
                sorted(map(repr, look.get_indexes(table))),
                sorted(map(repr, look.get_unique_constraints(table))),
            )
            for table in look.get_table_names()
        }
        session.close()
        source.close()
        return found

    assert constraints(upgraded) == constraints(made)


def test_the_revisions_named_in_the_program_are_those_of_the_files() -> None:
    modules = [
        importlib.import_module(f"{versions.__name__}.{info.name}") for info in pkgutil.iter_modules(versions.__path__)
    ]
    following = {module.down_revision: module.revision for module in modules}
    chain: list[str] = []
    while (after := following.get(chain[-1] if chain else None)) is not None:
        chain.append(after)
    assert tuple(chain) == schema.REVISIONS
    assert len(modules) == len(chain)


def test_an_older_schema_stops_the_start_with_the_command_to_run(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_database(url, clock=lambda: NOW).close()
    monkeypatch.setattr(schema, "REVISIONS", (*schema.REVISIONS, "9999"))
    with pytest.raises(schema.SchemaTooOld, match="kurado db upgrade"):
        open_database(url, clock=lambda: NOW)


def test_a_newer_schema_is_refused_by_start_and_upgrade(url: str) -> None:
    open_database(url, clock=lambda: NOW).close()
    set_revision(url, "from the future")
    with pytest.raises(schema.SchemaTooNew):
        open_database(url, clock=lambda: NOW)
    with pytest.raises(schema.SchemaTooNew):
        upgrade(url)


def test_an_upgrade_with_nothing_to_do_says_so_and_keeps_the_data(url: str) -> None:
    db = open_database(url, clock=lambda: NOW)
    tenant = new_tenant(db)
    db.close()
    assert upgrade(url) == Upgraded(schema.REVISIONS[-1], schema.REVISIONS[-1])
    db = open_database(url, clock=lambda: NOW)
    assert db.read(lambda tx: tx.tenants.all()) == [tenant]
    assert db.read(lambda tx: tx.system.get_meta("created_at")) == str(NOW)
    db.close()


def test_a_failing_migration_changes_nothing(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "migrations"
    (place / "versions").mkdir(parents=True)
    (place / "env.py").write_text((schema.MIGRATIONS / "env.py").read_text())
    first = (schema.MIGRATIONS / "versions" / "0001_first.py").read_text()
    for file in (schema.MIGRATIONS / "versions").glob("0*.py"):
        (place / "versions" / file.name).write_text(file.read_text())
    (place / "versions" / "0001_first.py").write_text(first.replace("    _meta()\n", "    raise RuntimeError\n"))
    monkeypatch.setattr(schema, "MIGRATIONS", place)
    with pytest.raises(RuntimeError):
        upgrade(url)
    source = make_source(url)
    session = source.connect()
    assert inspect(session.core).get_table_names() == []
    session.close()
    source.close()


def test_a_foreign_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    for ask in (lambda: open_database(f"sqlite:///{path}", clock=lambda: NOW), lambda: upgrade(f"sqlite:///{path}")):
        with pytest.raises(schema.SchemaTooNew, match="not a kurado database"):
            ask()


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(BackendUnavailable):
        open_database("postgresql://nobody:x@127.0.0.1:1/none", clock=lambda: NOW)


def test_an_unknown_kind_of_database_is_named() -> None:
    with pytest.raises(ValueError, match="mysql"):
        open_database("mysql://x/y", clock=lambda: NOW)
