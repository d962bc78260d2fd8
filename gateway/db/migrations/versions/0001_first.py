"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _alarms()
    _counters()
    _cursors()
    _events()
    _facts()
    _leases()
    _meta()
    _nodes()
    _policy_assignments()
    _policy_versions()
    _refusals()
    _released_blobs()
    _tenants()
    _usage_boots()
    _usage_hours()
    _usage_records()
    _usage_state()
    _usage_statements()
    _usage_totals()
    _usage_traffic()
    _detached()
    _locks()
    _reservations()
    _users()
    _versions()


def _alarms() -> None:
    op.create_table(
        "alarms",
        sa.Column("kind", sa.String(length=100), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("raised_at", BIG, nullable=False),
        sa.Column("cleared_at", BIG, nullable=True),
        sa.PrimaryKeyConstraint("kind", "subject", name=op.f("pk_alarms")),
    )


def _counters() -> None:
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("value", BIG, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )


def _cursors() -> None:
    op.create_table(
        "cursors",
        sa.Column("subscriber", sa.String(length=100), nullable=False),
        sa.Column("tenant_id", BIG, autoincrement=False, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("attempts", BIG, nullable=False),
        sa.Column("retry_at", BIG, nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("parked", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("subscriber", "tenant_id", name=op.f("pk_cursors")),
        sqlite_with_rowid=False,
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("tenant_id", BIG, autoincrement=False, nullable=False),
        sa.Column("seq", BIG, autoincrement=False, nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("used_bytes", BIG, nullable=False),
        sa.Column("used_files", BIG, nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "seq", name=op.f("pk_events")),
        sqlite_with_rowid=False,
    )


def _facts() -> None:
    op.create_table(
        "facts",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("at", BIG, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_facts")),
    )


def _leases() -> None:
    op.create_table(
        "leases",
        sa.Column("boot_id", sa.String(length=32), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", BIG, nullable=False),
        sa.Column("started_at", BIG, nullable=False),
        sa.Column("expires_at", BIG, nullable=False),
        sa.Column("fence", BIG, nullable=False),
        sa.PrimaryKeyConstraint("boot_id", name=op.f("pk_leases")),
    )


def _meta() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
    )


def _nodes() -> None:
    op.create_table(
        "nodes",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("parent_id", BIG, nullable=True),
        sa.Column("kind", sa.String(length=1), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.Column("sort_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("modified_at", BIG, nullable=False),
        sa.Column("explicit", sa.Boolean(), nullable=False),
        sa.Column("props", sa.Text(), nullable=True),
        sa.Column("version_id", BIG, nullable=True),
        sa.Column("previous_id", BIG, nullable=True),
        sa.CheckConstraint("(kind = 'f') = (version_id IS NOT NULL)", name=op.f("ck_nodes_file_has_version")),
        sa.ForeignKeyConstraint(["parent_id"], ["nodes.id"], name=op.f("fk_nodes_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nodes")),
    )
    with op.batch_alter_table("nodes", schema=None) as batch_op:
        batch_op.create_index("ix_nodes_parent_id_sort_key", ["parent_id", "sort_key"], unique=False)
        batch_op.create_index("ix_nodes_tenant_id", ["tenant_id"], unique=False)
        batch_op.create_index("uq_nodes_parent_id_name_key_kind", ["parent_id", "name_key", "kind"], unique=True)


def _policy_assignments() -> None:
    op.create_table(
        "policy_assignments",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("tenant_id", BIG, autoincrement=False, nullable=False),
        sa.Column("version", BIG, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.PrimaryKeyConstraint("name", "tenant_id", name=op.f("pk_policy_assignments")),
    )


def _policy_versions() -> None:
    op.create_table(
        "policy_versions",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("version", BIG, autoincrement=False, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_policy_versions")),
    )


def _refusals() -> None:
    op.create_table(
        "refusals",
        sa.Column("id", BIG, nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("clause", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refusals")),
    )
    with op.batch_alter_table("refusals", schema=None) as batch_op:
        batch_op.create_index("ix_refusals_tenant_id_id", ["tenant_id", "id"], unique=False)


def _released_blobs() -> None:
    op.create_table(
        "released_blobs",
        sa.Column("blob_id", sa.String(length=200), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("after_seq", BIG, nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.PrimaryKeyConstraint("blob_id", name=op.f("pk_released_blobs")),
    )
    with op.batch_alter_table("released_blobs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_released_blobs_at"), ["at"], unique=False)


def _tenants() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("quota_bytes", BIG, nullable=True),
        sa.Column("quota_files", BIG, nullable=True),
        sa.Column("demo", sa.Boolean(), nullable=False),
        sa.Column("root_id", BIG, nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("used_bytes", BIG, nullable=False),
        sa.Column("used_files", BIG, nullable=False),
        sa.Column("reserved_bytes", BIG, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("last_event_at", BIG, nullable=False),
        sa.CheckConstraint(
            "used_bytes >= 0 AND used_files >= 0 AND reserved_bytes >= 0", name=op.f("ck_tenants_usage")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenants")),
        sa.UniqueConstraint("name", name=op.f("uq_tenants_name")),
    )


def _usage_boots() -> None:
    op.create_table(
        "usage_boots",
        sa.Column("boot_id", sa.String(length=32), nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.Column("reported_until", BIG, nullable=False),
        sa.PrimaryKeyConstraint("boot_id", name=op.f("pk_usage_boots")),
    )


def _usage_hours() -> None:
    op.create_table(
        "usage_hours",
        sa.Column("tenant_id", BIG, autoincrement=False, nullable=False),
        sa.Column("hour", BIG, autoincrement=False, nullable=False),
        sa.Column("byte_ms", sa.String(length=40), nullable=False),
        sa.Column("last_at", BIG, nullable=False),
        sa.Column("peak_bytes", BIG, nullable=False),
        sa.Column("end_bytes", BIG, nullable=False),
        sa.Column("end_files", BIG, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "hour", name=op.f("pk_usage_hours")),
        sqlite_with_rowid=False,
    )


def _usage_records() -> None:
    op.create_table(
        "usage_records",
        sa.Column("source", sa.String(length=120), nullable=False),
        sa.Column("id", sa.String(length=120), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("type", sa.String(length=100), nullable=False),
        sa.Column("time", BIG, nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("source", "id", name=op.f("pk_usage_records")),
    )
    with op.batch_alter_table("usage_records", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_usage_records_tenant_id"), ["tenant_id"], unique=False)


def _usage_state() -> None:
    op.create_table(
        "usage_state",
        sa.Column("tenant_id", BIG, autoincrement=False, nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("used_bytes", BIG, nullable=False),
        sa.Column("used_files", BIG, nullable=False),
        sa.Column("closed_until", BIG, nullable=False),
        sa.Column("recorded_until", BIG, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_usage_state")),
    )


def _usage_statements() -> None:
    op.create_table(
        "usage_statements",
        sa.Column("tenant_id", BIG, autoincrement=False, nullable=False),
        sa.Column("period_start", BIG, autoincrement=False, nullable=False),
        sa.Column("closed_at", BIG, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "period_start", name=op.f("pk_usage_statements")),
    )


def _usage_totals() -> None:
    op.create_table(
        "usage_totals",
        sa.Column("tenant_id", BIG, autoincrement=False, nullable=False),
        sa.Column("bytes_in", BIG, nullable=False),
        sa.Column("bytes_out", BIG, nullable=False),
        sa.Column("refusals", BIG, nullable=False),
        sa.Column("requests_read", BIG, nullable=False),
        sa.Column("requests_write", BIG, nullable=False),
        sa.Column("requests_list", BIG, nullable=False),
        sa.Column("requests_lock", BIG, nullable=False),
        sa.Column("requests_other", BIG, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_usage_totals")),
    )


def _usage_traffic() -> None:
    op.create_table(
        "usage_traffic",
        sa.Column("tenant_id", BIG, autoincrement=False, nullable=False),
        sa.Column("hour", BIG, autoincrement=False, nullable=False),
        sa.Column("last_at", BIG, nullable=False),
        sa.Column("bytes_in", BIG, nullable=False),
        sa.Column("bytes_out", BIG, nullable=False),
        sa.Column("refusals", BIG, nullable=False),
        sa.Column("requests_read", BIG, nullable=False),
        sa.Column("requests_write", BIG, nullable=False),
        sa.Column("requests_list", BIG, nullable=False),
        sa.Column("requests_lock", BIG, nullable=False),
        sa.Column("requests_other", BIG, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "hour", name=op.f("pk_usage_traffic")),
        sqlite_with_rowid=False,
    )


def _detached() -> None:
    op.create_table(
        "detached",
        sa.Column("node_id", BIG, autoincrement=False, nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("boot_id", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("fk_detached_node_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("node_id", name=op.f("pk_detached")),
    )


def _locks() -> None:
    op.create_table(
        "locks",
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("node_id", BIG, nullable=False),
        sa.Column("user_id", BIG, nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("infinite", sa.Boolean(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("timeout", BIG, nullable=False),
        sa.Column("expires_at", BIG, nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("fk_locks_node_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_locks")),
    )
    with op.batch_alter_table("locks", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_locks_expires_at"), ["expires_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_locks_node_id"), ["node_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_locks_tenant_id"), ["tenant_id"], unique=False)


def _reservations() -> None:
    op.create_table(
        "reservations",
        sa.Column("upload_id", BIG, autoincrement=False, nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("boot_id", sa.String(length=32), nullable=False),
        sa.Column("bytes", BIG, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_reservations_tenant_id")),
        sa.PrimaryKeyConstraint("upload_id", name=op.f("pk_reservations")),
    )
    with op.batch_alter_table("reservations", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_reservations_boot_id"), ["boot_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_reservations_tenant_id"), ["tenant_id"], unique=False)


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("tenant_id", BIG, nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_users_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
    )
    with op.batch_alter_table("users", schema=None) as batch_op:
        batch_op.create_index("ix_users_tenant_id", ["tenant_id"], unique=False)
        batch_op.create_index("uq_users_login_tenant_id", ["login", "tenant_id"], unique=True)


def _versions() -> None:
    op.create_table(
        "versions",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("node_id", BIG, nullable=False),
        sa.Column("blob_id", sa.String(length=200), nullable=False),
        sa.Column("size", BIG, nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", BIG, nullable=False),
        sa.Column("mtime", BIG, nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=True),
        sa.Column("uploader_id", BIG, nullable=True),
        sa.ForeignKeyConstraint(["node_id"], ["nodes.id"], name=op.f("fk_versions_node_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_versions")),
    )
    with op.batch_alter_table("versions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_versions_blob_id"), ["blob_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_versions_node_id"), ["node_id"], unique=False)
        batch_op.create_index(
            "ix_versions_unclean",
            ["node_id"],
            unique=False,
            sqlite_where=sa.text("state != 'clean'"),
            postgresql_where=sa.text("state != 'clean'"),
        )
