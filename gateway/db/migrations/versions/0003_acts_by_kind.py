"""Acts by kind: the newest invoice, all granted claims."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_acts_kind_seq", "acts", ["kind", "seq"])


def downgrade() -> None:
    op.drop_index("ix_acts_kind_seq", table_name="acts")
