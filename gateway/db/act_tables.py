"""The tables of the contracts' life: acts, documents in writing, customers' data, objects that are taken down."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, String, Table, Text

from gateway.db.metadata import Big, metadata

# Append-only, one chain (domain/acts.py). What it says is folded, never stored twice.
acts = Table(
    "acts",
    metadata,
    Column("seq", Big, primary_key=True, autoincrement=False),
    Column("subject", String(200), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("at", Big, nullable=False),
    Column("actor", Text, nullable=False),
    Column("role", String(32), nullable=False),
    Column("rule", String(32), nullable=False),
    Column("tenant_id", Big, nullable=False),
    Column("ground", Text, nullable=False),
    Column("before_state", Text, nullable=False),
    Column("after_state", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Index("ix_acts_subject_seq", "subject", "seq"),
    Index("ix_acts_tenant_id_seq", "tenant_id", "seq"),
    Index("ix_acts_kind_seq", "kind", "seq"),
)

# Documents in writing (RULES P-7): the paper is filed elsewhere, its digest and receipt are here.
documents = Table(
    "documents",
    metadata,
    Column("id", Big, primary_key=True, autoincrement=False),
    Column("contract", String(63), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("received_at", Big, nullable=False),
    Column("carrier", String(16), nullable=False),
    Column("passed_on", Big),
    Column("digest", String(64), nullable=False),
    Column("title", Text, nullable=False),
    Column("registered_at", Big, nullable=False),
    Column("registered_by", Text, nullable=False),
    Index("ix_documents_contract_id", "contract", "id"),
)

# Application data (CUS-02) is kept out of the acts, which are exported: they name a version of it by its digest.
customers = Table(
    "customers",
    metadata,
    Column("contract", String(63), primary_key=True),
    Column("version", Big, primary_key=True, autoincrement=False),
    Column("at", Big, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("data", Text, nullable=False),
)

# Files under a takedown: what of a space does not count as used (TKD-02, D-33).
taken_down = Table(
    "taken_down",
    metadata,
    Column("node_id", Big, ForeignKey("nodes.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("tenant_id", Big, nullable=False),
    Column("takedown", String(200), nullable=False, index=True),
    Column("bytes", Big, nullable=False),
)
