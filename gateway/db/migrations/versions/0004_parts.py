"""Uploads by parts, and the segments of the blobs that they become."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "multipart_uploads",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("bucket_id", BIG, nullable=False),
        sa.Column("key_text", sa.Text(), nullable=False),
        sa.Column("user_login", sa.Text(), nullable=False),
        sa.Column("started_at", BIG, nullable=False),
        sa.Column("declared", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_multipart_uploads")),
    )
    op.create_index(op.f("ix_multipart_uploads_started_at"), "multipart_uploads", ["started_at"])
    op.create_index("ix_multipart_uploads_bucket_id", "multipart_uploads", ["bucket_id"])
    op.create_table(
        "multipart_parts",
        sa.Column("upload_id", BIG, autoincrement=False, nullable=False),
        sa.Column("number", BIG, autoincrement=False, nullable=False),
        sa.Column("id", BIG, nullable=False),
        sa.Column("blob_id", sa.String(length=200), nullable=False),
        sa.Column("size", BIG, nullable=False),
        sa.Column("md5", sa.String(length=32), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("checksum", sa.Text(), nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.ForeignKeyConstraint(["upload_id"], ["multipart_uploads.id"], name=op.f("fk_multipart_parts_upload_id")),
        sa.PrimaryKeyConstraint("upload_id", "number", name=op.f("pk_multipart_parts")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_multipart_parts_blob_id"), "multipart_parts", ["blob_id"])
    op.create_table(
        "segments",
        sa.Column("whole_id", sa.String(length=200), nullable=False),
        sa.Column("n", BIG, autoincrement=False, nullable=False),
        sa.Column("blob_id", sa.String(length=200), nullable=False),
        sa.Column("size", BIG, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("whole_id", "n", name=op.f("pk_segments")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_segments_blob_id"), "segments", ["blob_id"])


def downgrade() -> None:
    op.drop_table("segments")
    op.drop_table("multipart_parts")
    op.drop_table("multipart_uploads")
