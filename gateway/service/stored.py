"""What the repositories of ``unit_of_work`` give and take besides the domain's own values. Times in ms UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """A tenant's figures after a settlement, and the place of the event in its log."""

    seq: int
    at: int
    used_bytes: int
    used_files: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused request (invariant I6). ``path`` is the decoded path; operator views mask it (PRV-06)."""

    tenant_id: int
    at: int
    user: str
    verb: str
    path: str
    code: str
    policy: str
    clause: str
    reason: str
    digest: str
    request_id: str
    id: int = 0


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a subscriber has come in the log of one tenant. ``parked`` stops it until retry or skip."""

    subscriber: str
    tenant_id: int
    seq: int
    attempts: int = 0
    retry_at: int = 0
    error: str = ""
    parked: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """One life of one process. Renewed while it runs; reservations and unreferenced blobs of lapsed ones are swept.

    ``fence`` grows with every grant of the same ``role`` (the token that a steward's writes carry).
    """

    boot_id: str
    role: str
    host: str
    pid: int
    started_at: int
    expires_at: int
    fence: int


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """A stored policy document. ``version`` counts per name from 1."""

    name: str
    version: int
    digest: str
    who: str
    at: int
    text: str


@dataclass(frozen=True, slots=True)
class Alarm:
    kind: str
    subject: str
    message: str
    raised_at: int
    cleared_at: int | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """A blob that lost its last reference at event ``after_seq`` of ``tenant_id``."""

    blob_id: str
    tenant_id: int
    after_seq: int
    at: int


@dataclass(frozen=True, slots=True)
class HourUsage:
    """One tenant's hour (``hour`` = ms UTC of its start). byte_ms is the integral of used bytes over the hour."""

    tenant_id: int
    hour: int
    byte_ms: int
    peak_bytes: int
    end_bytes: int
    end_files: int
    bytes_in: int
    bytes_out: int
    refusals: int
    requests: Mapping[str, int]
