"""The tables of the core, with the reasons for their keys (DESIGN section 4). Those of usage: ``gateway/db/usage.py``.

Ids are 63-bit numbers given by the caller; times are ms UTC; JSON is text, NULL where it would be empty.
"""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, Double, ForeignKey, Index, LargeBinary, String, Table, Text

from gateway.db.metadata import Big, metadata

tenants = Table(
    "tenants",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=False),
    Column("name", String(63), nullable=False, unique=True),
    Column("plan", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("quota_bytes", Big),
    Column("quota_files", Big),
    Column("demo", Boolean, nullable=False),
    Column("root_id", Big, nullable=False),
    Column("created_at", Big, nullable=False),
    # What settlement moves: the usage that counts (I4), what running uploads hold back, the place in the event log.
    Column("used_bytes", Big, nullable=False),
    Column("used_files", Big, nullable=False),
    Column("reserved_bytes", Big, nullable=False),
    Column("seq", Big, nullable=False),
    Column("last_event_at", Big, nullable=False),
    CheckConstraint("used_bytes >= 0 AND used_files >= 0 AND reserved_bytes >= 0", name="usage"),
)

reservations = Table(
    "reservations",
    metadata,
    Column("upload_id", Big, primary_key=True, autoincrement=False),
    Column("tenant_id", Big, ForeignKey("tenants.id"), nullable=False, index=True),
    Column("boot_id", String(32), nullable=False, index=True),
    Column("bytes", Big, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=False),
    Column("tenant_id", Big, ForeignKey("tenants.id"), nullable=False),
    Column("login", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", Big, nullable=False),
    # login first: an S3 or desk login without a tenant is looked up in all of them
    Index("uq_users_login_tenant_id", "login", "tenant_id", unique=True),
    Index("ix_users_tenant_id", "tenant_id"),
)

nodes = Table(
    "nodes",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=False),
    Column("tenant_id", Big, nullable=False),
    # NULL for the root of a space (named by tenants.root_id) and for the top of a tree that hangs in none
    Column("parent_id", Big, ForeignKey("nodes.id")),
    Column("kind", String(1), nullable=False),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False),
    Column("sort_key", LargeBinary, nullable=False),
    Column("created_at", Big, nullable=False),
    Column("modified_at", Big, nullable=False),
    Column("explicit", Boolean, nullable=False),
    Column("props", Text),
    # No foreign keys to versions: a version names its node, and a circle would need deferred checks on each save
    Column("version_id", Big),
    Column("previous_id", Big),
    # kind last: a path's step looks for either kind of a name in one range, the collection ("c") before the file ("f")
    Index("uq_nodes_parent_id_name_key_kind", "parent_id", "name_key", "kind", unique=True),
    Index("ix_nodes_parent_id_sort_key", "parent_id", "sort_key"),
    Index("ix_nodes_tenant_id", "tenant_id"),
    CheckConstraint("(kind = 'f') = (version_id IS NOT NULL)", name="file_has_version"),
)

versions = Table(
    "versions",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=False),
    Column("node_id", Big, ForeignKey("nodes.id"), nullable=False, index=True),
    Column("blob_id", String(200), nullable=False, index=True),
    Column("size", Big, nullable=False),
    Column("etag", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", Big, nullable=False),
    Column("mtime", Big, nullable=False),
    Column("state", String(8), nullable=False),
    Column("reason", Text, nullable=False),
    Column("facts", Text),
    Column("uploader_id", Big),
)
# The few versions that wait for a verdict are found without a look at the many that do not.
Index(
    "ix_versions_unclean",
    versions.c.node_id,
    sqlite_where=versions.c.state != "clean",
    postgresql_where=versions.c.state != "clean",
)

detached = Table(
    "detached",
    metadata,
    Column("node_id", Big, ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("tenant_id", Big, nullable=False),
    Column("boot_id", String(32)),  # the process that still builds the tree; NULL: it waits to be erased
)

locks = Table(
    "locks",
    metadata,
    Column("token", Text, primary_key=True),
    Column("tenant_id", Big, nullable=False, index=True),
    Column("node_id", Big, ForeignKey("nodes.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("user_id", Big, nullable=False),
    Column("scope", String(16), nullable=False),
    Column("infinite", Boolean, nullable=False),
    Column("owner", Text, nullable=False),
    Column("timeout", Big, nullable=False),
    Column("expires_at", Big, nullable=False, index=True),
    Column("root", Text, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("tenant_id", Big, primary_key=True, autoincrement=False),
    Column("seq", Big, primary_key=True, autoincrement=False),
    Column("tenant", String(63), nullable=False),
    Column("at", Big, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("actor", Text, nullable=False),
    Column("used_bytes", Big, nullable=False),
    Column("used_files", Big, nullable=False),
    Column("data", Text, nullable=False),
    sqlite_with_rowid=False,  # read in key order only: one tree instead of two
)

cursors = Table(
    "cursors",
    metadata,
    Column("subscriber", String(100), primary_key=True),
    Column("tenant_id", Big, primary_key=True, autoincrement=False),
    Column("seq", Big, nullable=False),
    Column("attempts", Big, nullable=False),
    Column("retry_at", Big, nullable=False),
    Column("error", Text, nullable=False),
    Column("parked", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

released_blobs = Table(
    "released_blobs",
    metadata,
    Column("blob_id", String(200), primary_key=True),
    Column("tenant_id", Big, nullable=False),
    Column("after_seq", Big, nullable=False),
    Column("at", Big, nullable=False, index=True),
)

leases = Table(
    "leases",
    metadata,
    Column("boot_id", String(32), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Big, nullable=False),
    Column("started_at", Big, nullable=False),
    Column("expires_at", Big, nullable=False),
    Column("fence", Big, nullable=False),
)

refusals = Table(
    "refusals",
    metadata,
    Column("id", Big, primary_key=True),
    Column("tenant_id", Big, nullable=False),
    Column("at", Big, nullable=False),
    Column("user", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("clause", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Index("ix_refusals_tenant_id_id", "tenant_id", "id"),
)

policy_versions = Table(
    "policy_versions",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("version", Big, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("at", Big, nullable=False),
    Column("text", Text, nullable=False),
)

policy_assignments = Table(
    "policy_assignments",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("tenant_id", Big, primary_key=True, autoincrement=False),  # 0: the default of all tenants
    Column("version", Big, nullable=False),
    Column("who", Text, nullable=False),
    Column("at", Big, nullable=False),
)

alarms = Table(
    "alarms",
    metadata,
    Column("kind", String(100), primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("message", Text, nullable=False),
    Column("raised_at", Big, nullable=False),
    Column("cleared_at", Big),
)

facts = Table(
    "facts",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("level", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("value", Double),
    Column("at", Big, nullable=False),
)

# Numbers that only grow: "revision" of what caches hold, "fence.<role>" of leases.
counters = Table(
    "counters",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("value", Big, nullable=False),
)

meta = Table(
    "meta",
    metadata,
    Column("key", String(200), primary_key=True),
    Column("value", Text, nullable=False),
)
