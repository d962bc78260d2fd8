"""The schema of a database: made on an empty one, checked at each start, brought forward by ``kurado db upgrade``.

A start never changes an existing schema by itself: an older one stops it with the command to run, a newer one (another
gateway was upgraded) stops it for good.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, inspect, text

from gateway.db.metadata import metadata

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006")
"""All revisions of ``gateway/db/migrations/versions``, in order; the last is what this program works with."""

MIGRATIONS = Path(__file__).with_name("migrations")
_VERSION_TABLE = "alembic_version"


class SchemaError(Exception):
    """The database cannot be used by this program as it is. The message says what to do."""


class SchemaTooOld(SchemaError):
    """Made by an earlier version: ``kurado db upgrade`` brings it forward."""


class SchemaTooNew(SchemaError):
    """Made by a later version."""


class DatabaseMissing(SchemaError):
    """There is no database where one was expected."""


def define_tables() -> None:
    """Makes sure that every module with tables has put them into ``metadata``."""
    for module in ("tables", "usage", "act_tables", "part_tables", "history_tables", "small_tables"):
        importlib.import_module(f"gateway.db.{module}")


def current_revision(connection: Connection) -> str | None:
    """The revision of a database, None for an empty one. SchemaTooNew for tables that are not ours."""
    names = set(inspect(connection).get_table_names())
    if _VERSION_TABLE in names:
        found: str | None = connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar()
        if found is not None:
            return found
    if names - {_VERSION_TABLE}:
        raise SchemaTooNew("the database holds tables but no schema version: it is not a kurado database")
    return None


def create_schema(connection: Connection) -> None:
    """All tables and the newest revision, on an empty database, inside the caller's transaction."""
    define_tables()
    metadata.create_all(connection)
    versions = Table(
        _VERSION_TABLE,
        MetaData(),
        Column("version_num", String(32), nullable=False),
        PrimaryKeyConstraint("version_num", name=f"{_VERSION_TABLE}_pkc"),  # as Alembic would name it
    )
    versions.create(connection, checkfirst=True)
    connection.execute(versions.insert(), {"version_num": REVISIONS[-1]})


def check_revision(found: str | None) -> None:
    """Raises SchemaTooOld or SchemaTooNew unless ``found`` is the newest revision."""
    if found == REVISIONS[-1]:
        return
    if found is None or found in REVISIONS:
        raise SchemaTooOld(
            f"the database has schema {found or 'none'}, this program needs {REVISIONS[-1]}: run `kurado db upgrade`"
        )
    raise SchemaTooNew(
        f"the database has schema {found}, which is newer than this program ({REVISIONS[-1]}): upgrade the program"
    )
