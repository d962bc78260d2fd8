"""Brings a database forward: ``kurado db upgrade``. No way back is kept; an operator restores the copy made before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from gateway.db import schema
from gateway.db.engine import make_source
from gateway.db.faults import meaning

if TYPE_CHECKING:
    from gateway.db.session import Session
    from gateway.db.source import Source


@dataclass(frozen=True, slots=True)
class Upgraded:
    """``before`` None: the database was empty. Equal when there was nothing to do."""

    before: str | None
    after: str


def upgrade(url: str) -> Upgraded:
    """Runs the missing migrations in one transaction; other writers wait meanwhile.

    Raises SchemaTooNew for a database that is ahead of this program, BackendUnavailable when it cannot be reached.
    """
    source = make_source(url)
    session: Session | None = None
    try:
        session = source.connect(writer=True)
        with source.exclusive():
            return _upgrade(source, session)
    except Exception as error:
        translated = meaning(source.fault(error), error)
        if translated is error:
            raise
        raise translated from error
    finally:
        if session is not None:
            session.close()
        source.close()


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration for this package's migrations on a connection."""
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _upgrade(source: Source, session: Session) -> Upgraded:
    newest = schema.REVISIONS[-1]
    before = schema.current_revision(session.core)
    if before == newest:
        return Upgraded(before, newest)
    if before is not None and before not in schema.REVISIONS:
        schema.check_revision(before)
    if session.dialect == "sqlite":
        # a table that is made anew would otherwise take with it what refers to the old one
        session.command("PRAGMA foreign_keys = OFF")
    else:
        session.command("SET statement_timeout = 0")
    source.begin_write(session, {None})
    try:
        command.upgrade(alembic_config(session.core), newest)
        session.command("COMMIT")
    except BaseException:
        if session.alive():
            session.command("ROLLBACK")
        raise
    return Upgraded(before, newest)
