"""Small blobs as rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "small_blobs",
        sa.Column("blob_id", sa.String(length=200), nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("blob_id", name=op.f("pk_small_blobs")),
    )


def downgrade() -> None:
    """Raises while there are rows: they are contents that stand nowhere else."""
    left = op.get_bind().execute(sa.text("SELECT COUNT(*) FROM small_blobs")).scalar()
    if left:
        raise RuntimeError(f"{left} contents are rows of small_blobs: the earlier version could not read them")
    op.drop_table("small_blobs")
