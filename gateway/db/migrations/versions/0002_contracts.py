"""Acts, documents, customers, takedowns: the life of contracts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _acts()
    _documents()
    _customers()
    _taken_down()


def _acts() -> None:
    op.create_table(
        "acts",
        sa.Column("seq", BIG, autoincrement=False, nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("rule", sa.String(length=32), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("ground", sa.Text(), nullable=False),
        sa.Column("before_state", sa.Text(), nullable=False),
        sa.Column("after_state", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_acts")),
    )
    with op.batch_alter_table("acts", schema=None) as batch_op:
        batch_op.create_index("ix_acts_subject_seq", ["subject", "seq"], unique=False)
        batch_op.create_index("ix_acts_tenant_id_seq", ["tenant_id", "seq"], unique=False)


def _documents() -> None:
    op.create_table(
        "documents",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("contract", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("received_at", BIG, nullable=False),
        sa.Column("carrier", sa.String(length=16), nullable=False),
        sa.Column("passed_on", BIG, nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("registered_at", BIG, nullable=False),
        sa.Column("registered_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_documents")),
    )
    with op.batch_alter_table("documents", schema=None) as batch_op:
        batch_op.create_index("ix_documents_contract_id", ["contract", "id"], unique=False)


def _customers() -> None:
    op.create_table(
        "customers",
        sa.Column("contract", sa.String(length=63), nullable=False),
        sa.Column("version", BIG, autoincrement=False, nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("contract", "version", name=op.f("pk_customers")),
    )


def _taken_down() -> None:
    op.create_table(
        "taken_down",
        sa.Column("node_id", BIG, autoincrement=False, nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("takedown", sa.String(length=200), nullable=False),
        sa.Column("bytes", BIG, nullable=False),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("fk_taken_down_node_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("node_id", name=op.f("pk_taken_down")),
    )
    with op.batch_alter_table("taken_down", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_taken_down_takedown"), ["takedown"], unique=False)
