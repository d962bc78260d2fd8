"""Versions that buckets keep beside the present ones."""

from __future__ import annotations

import json

from gateway.db.rows import mapping_to_text, text_to_mapping
from gateway.db.session import Row, Session, to_json
from gateway.domain.events import version_from_json, version_to_json
from gateway.domain.history import KeptVersion

_COLUMNS = "id, tenant_id, bucket_id, key_text, at, is_null, version, props"

# Keys are compared as bytes, whatever the collation of the database. The range first, so that the index finds it.
_OF_BUCKET = {
    "sqlite": f"""
SELECT {_COLUMNS} FROM kept_versions WHERE bucket_id = ? AND key_text >= ? AND substr(key_text, 1, length(?)) = ?
AND (key_text > ? OR id < ?) ORDER BY key_text, id DESC LIMIT ?""",
    "postgresql": f"""
SELECT {_COLUMNS} FROM kept_versions WHERE bucket_id = ? AND key_text COLLATE "C" >= ?
AND left(key_text, length(?::text)) = ? AND (key_text COLLATE "C" > ? OR id < ?)
ORDER BY key_text COLLATE "C", id DESC LIMIT ?""",
}
_ORPHANS = f"""
SELECT {_COLUMNS} FROM kept_versions k WHERE NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = k.bucket_id) LIMIT ?"""


class Kept:
    """Implements ``gateway.service.keptrows.KeptRepository``."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def add(self, kept: KeptVersion) -> None:
        version = kept.version
        self._s.run(
            f"INSERT INTO kept_versions ({_COLUMNS}, blob_id, size, sha256) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            kept.id, kept.tenant_id, kept.bucket_id, kept.key_text, kept.at, kept.is_null,
            to_json(version_to_json(version)) if version else None, mapping_to_text(kept.props),
            version.blob_id if version else "", kept.size, version.sha256 if version else "",
        )  # fmt: skip

    def remove(self, kept_id: int) -> None:
        self._s.run("DELETE FROM kept_versions WHERE id = ?", kept_id)

    def get(self, bucket_id: int, key: str, kept_id: int) -> KeptVersion | None:
        return self._one("bucket_id = ? AND key_text = ? AND id = ?", bucket_id, key, kept_id)

    def null(self, bucket_id: int, key: str) -> KeptVersion | None:
        return self._one("bucket_id = ? AND key_text = ? AND is_null", bucket_id, key)

    def newest(self, bucket_id: int, key: str) -> KeptVersion | None:
        return self._one("bucket_id = ? AND key_text = ? ORDER BY id DESC LIMIT 1", bucket_id, key)

    def of_bucket(self, bucket_id: int, prefix: str, after: tuple[str, int], limit: int) -> list[KeptVersion]:
        key, kept_id = after
        first = max(key, prefix)
        sql = self._s.pick(_OF_BUCKET)
        return [_kept(row) for row in self._s.rows(sql, bucket_id, first, prefix, prefix, key, kept_id, limit)]

    def has_any(self, bucket_id: int) -> bool:
        return self._s.row("SELECT 1 FROM kept_versions WHERE bucket_id = ? LIMIT 1", bucket_id) is not None

    def of_tenant(self, tenant_id: int) -> list[KeptVersion]:
        rows = self._s.rows(f"SELECT {_COLUMNS} FROM kept_versions WHERE tenant_id = ?", tenant_id)
        return [_kept(row) for row in rows]

    def orphans(self, limit: int) -> list[KeptVersion]:
        return [_kept(row) for row in self._s.rows(_ORPHANS, limit)]

    def _one(self, where: str, *params: object) -> KeptVersion | None:
        row = self._s.row(f"SELECT {_COLUMNS} FROM kept_versions WHERE {where}", *params)
        return _kept(row) if row else None


def _kept(row: Row) -> KeptVersion:
    version = version_from_json(json.loads(row[6])) if row[6] else None
    return KeptVersion(
        row[0], row[1], row[2], tuple(row[3].split("/")), row[4], bool(row[5]), version, text_to_mapping(row[7])
    )
