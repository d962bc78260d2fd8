"""The table of small blobs: contents that are committed together with the version that names them."""

from __future__ import annotations

from sqlalchemy import Column, LargeBinary, String, Table

from gateway.db.metadata import Big, metadata

small_blobs = Table(
    "small_blobs",
    metadata,
    # a table of rows with an index of ids beside it: rows as large as these would leave an index little room to branch
    Column("blob_id", String(200), primary_key=True),
    Column("at", Big, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
