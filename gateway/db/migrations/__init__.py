"""Alembic's folder: one file a revision under ``versions``, named in ``gateway.db.schema.REVISIONS``."""
