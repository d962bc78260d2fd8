"""The tables of uploads by parts, and of the segments that composed blobs are made of."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, String, Table, Text

from gateway.db.metadata import Big, metadata

multipart_uploads = Table(
    "multipart_uploads",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=False),
    Column("tenant_id", Big, nullable=False),
    # a bucket may go while uploads into it are pending: no foreign key, the steward ends them
    Column("bucket_id", Big, nullable=False),
    Column("key_text", Text, nullable=False),
    Column("user_login", Text, nullable=False),
    Column("started_at", Big, nullable=False, index=True),
    Column("declared", Text, nullable=False),
    Index("ix_multipart_uploads_bucket_id", "bucket_id"),
)

multipart_parts = Table(
    "multipart_parts",
    metadata,
    Column("upload_id", Big, ForeignKey("multipart_uploads.id"), primary_key=True, autoincrement=False),
    Column("number", Big, primary_key=True, autoincrement=False),
    Column("id", Big, nullable=False),
    Column("blob_id", String(200), nullable=False, index=True),
    Column("size", Big, nullable=False),
    Column("md5", String(32), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("checksum", Text, nullable=False),
    Column("at", Big, nullable=False),
    sqlite_with_rowid=False,
)

segments = Table(
    "segments",
    metadata,
    Column("whole_id", String(200), primary_key=True),
    Column("n", Big, primary_key=True, autoincrement=False),
    Column("blob_id", String(200), nullable=False, index=True),
    Column("size", Big, nullable=False),
    Column("sha256", String(64), nullable=False),
    sqlite_with_rowid=False,
)
