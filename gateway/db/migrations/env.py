"""Run by Alembic inside the transaction that ``gateway.db.migrate`` has begun on the connection it passes."""

from __future__ import annotations

from alembic import context

from gateway.db.metadata import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by making it anew
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
