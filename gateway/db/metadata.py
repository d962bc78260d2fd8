"""The one MetaData of the schema, the naming of constraints, and the column types that both databases share.

All tables hang on ``metadata`` (``gateway/db/tables.py`` and ``gateway/db/usage.py`` define them), so that the first
migration and ``create_schema`` know every one of them. Times are ms UTC in ``Big`` columns, JSON is ``Text``.

A repository gets a ``Session`` (``gateway/db/session.py``) inside a transaction: it executes statements
and never commits, rolls back or begins. Statements run on SQLite 3.35 and PostgreSQL 13 alike.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, MetaData

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# On SQLite only a column declared INTEGER becomes the rowid itself; its integers have 64 bits all the same.
Big = BigInteger().with_variant(Integer(), "sqlite")
