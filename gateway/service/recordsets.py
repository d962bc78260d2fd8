"""Small sets of records of a tenant that the replica carries and a restore brings back (versions that buckets keep).

Whoever changes one records, in the same transaction, an event ``record.changed`` with the whole record as JSON. The
replica's log, checkpoints, lag, verify, resync and restore follow from that and from one line here. A record with a
``version`` (as ``events.version_to_json`` has it) names a blob, which is in the replica before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.domain.history import KEPT_VERSIONS, from_record, public_id, to_record
from gateway.domain.tenant import Tenant
from gateway.service.unit_of_work import Tx

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RecordSet:
    """``dump`` gives all records of a tenant by id, each as its last event had it; ``load`` stores one again."""

    name: str
    dump: Callable[[Tx, Tenant], Mapping[str, Record]]
    load: Callable[[Tx, Tenant, str, Record], None]


def _kept_versions(tx: Tx, tenant: Tenant) -> Mapping[str, Record]:
    return {public_id(kept.id): to_record(kept) for kept in tx.kept.of_tenant(tenant.id)}


RECORD_SETS: tuple[RecordSet, ...] = (
    RecordSet(
        KEPT_VERSIONS,
        _kept_versions,
        lambda tx, tenant, record_id, record: tx.kept.add(from_record(tenant.id, record_id, record)),
    ),
)
