"""Versions that a bucket keeps: what was replaced or deleted in it while versioning was on, and delete markers.

The present version of a key is the version of its file in the tree, which is all that WebDAV sees. What is kept beside
hangs on the bucket and the key, not on a node: it outlives the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from gateway.domain.events import version_from_json, version_to_json
from gateway.domain.names import Path
from gateway.domain.node import Node, Version

PROPERTY = "{urn:kurado:s3}versioning"
"""Of a bucket: ``Enabled`` or ``Suspended``; absent where versioning never was on."""
FACT = "version"
"""Of a version that was written while versioning was on: its id. Without it a version is the one called ``null``."""
KEPT_VERSIONS = "kept_versions"
"""The set of records (``service/recordsets.py``) that these are."""
NULL = "null"


class Versioning(StrEnum):
    OFF = ""
    ENABLED = "Enabled"
    SUSPENDED = "Suspended"


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """``version`` None: a delete marker. ``key`` is the path below the bucket; ``is_null``: it is called ``null``."""

    id: int
    tenant_id: int
    bucket_id: int
    key: Path
    at: int
    is_null: bool
    version: Version | None = None
    props: Mapping[str, str] = field(default_factory=dict)

    @property
    def key_text(self) -> str:
        return "/".join(self.key)

    @property
    def size(self) -> int:
        return self.version.size if self.version else 0

    @property
    def public_id(self) -> str:
        return NULL if self.is_null else public_id(self.id)


def public_id(version_id: int) -> str:
    """The id of a version as clients are told."""
    return f"{version_id:016x}"


def id_of(version: Version) -> str:
    """What a present version is called in its bucket."""
    return version.facts.get(FACT, NULL)


def stamped(version: Version, versioning: Versioning) -> Version:
    """A version as it is written into a bucket."""
    if not version.facts and versioning is not Versioning.ENABLED:
        return version
    facts = {name: value for name, value in version.facts.items() if name != FACT}
    if versioning is Versioning.ENABLED:
        facts[FACT] = public_id(version.id)
    return version if facts == version.facts else replace(version, facts=facts)


def versioning_of(bucket: Node | None) -> Versioning:
    """By its property, which no WebDAV client can make into anything else than on or off."""
    text = bucket.props.get(PROPERTY, "") if bucket else ""
    return next((one for one in (Versioning.ENABLED, Versioning.SUSPENDED) if f">{one}<" in text), Versioning.OFF)


def to_record(kept: KeptVersion) -> dict[str, Any]:
    """As the replica carries it."""
    return {
        "bucket_id": kept.bucket_id,
        "key": list(kept.key),
        "at": kept.at,
        "is_null": kept.is_null,
        "version": version_to_json(kept.version) if kept.version else None,
        "props": dict(kept.props),
    }


def from_record(tenant_id: int, record_id: str, record: Mapping[str, Any]) -> KeptVersion:
    """The inverse of :func:`to_record`."""
    version = record["version"]
    return KeptVersion(
        int(record_id, 16),
        tenant_id,
        record["bucket_id"],
        tuple(record["key"]),
        record["at"],
        record["is_null"],
        version_from_json(version) if version else None,
        record["props"],
    )
