"""Versions that buckets keep."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "kept_versions",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("bucket_id", BIG, nullable=False),
        sa.Column("key_text", sa.Text(), nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("is_null", sa.Boolean(), nullable=False),
        sa.Column("blob_id", sa.String(length=200), nullable=False),
        sa.Column("size", BIG, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Text(), nullable=True),
        sa.Column("props", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kept_versions")),
    )
    op.create_index(op.f("ix_kept_versions_tenant_id"), "kept_versions", ["tenant_id"])
    op.create_index(op.f("ix_kept_versions_blob_id"), "kept_versions", ["blob_id"])
    op.create_index("ix_kept_versions_bucket_id_key_text_id", "kept_versions", ["bucket_id", "key_text", "id"])


def downgrade() -> None:
    op.drop_table("kept_versions")
