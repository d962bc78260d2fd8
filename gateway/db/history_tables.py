"""The table of versions that buckets keep beside the present ones."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, String, Table, Text

from gateway.db.metadata import Big, metadata

kept_versions = Table(
    "kept_versions",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=False),
    Column("tenant_id", Big, nullable=False, index=True),
    # no foreign key: what is kept goes some time after its bucket, in batches
    Column("bucket_id", Big, nullable=False),
    Column("key_text", Text, nullable=False),
    Column("at", Big, nullable=False),
    Column("is_null", Boolean, nullable=False),
    # "" for a delete marker and for no bytes
    Column("blob_id", String(200), nullable=False, index=True),
    Column("size", Big, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("version", Text),  # JSON, NULL for a delete marker
    Column("props", Text),
    Index("ix_kept_versions_bucket_id_key_text_id", "bucket_id", "key_text", "id"),
)
