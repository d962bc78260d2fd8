"""Uploads by parts, their parts, and the segments of composed blobs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from gateway.db.session import Row, Session, to_json
from gateway.domain.multipart import MultipartUpload, Part, Segment
from gateway.service.partrows import BOOT

_UPLOAD = "id, tenant_id, bucket_id, key_text, user_login, started_at, declared"
_PART = "id, upload_id, number, blob_id, size, md5, sha256, checksum, at"
_ALL = 2**31

# Keys are compared as bytes, whatever the collation of the database.
_OF_BUCKET = {
    "sqlite": f"""
SELECT {_UPLOAD} FROM multipart_uploads WHERE bucket_id = ? AND substr(key_text, 1, length(?)) = ?
AND (key_text > ? OR (key_text = ? AND id > ?)) ORDER BY key_text, id LIMIT ?""",
    "postgresql": f"""
SELECT {_UPLOAD} FROM multipart_uploads WHERE bucket_id = ? AND left(key_text, length(?::text)) = ?
AND (key_text COLLATE "C" > ? OR (key_text = ? AND id > ?)) ORDER BY key_text COLLATE "C", id LIMIT ?""",
}

_ORPHANS = f"""
SELECT {_UPLOAD} FROM multipart_uploads u WHERE NOT EXISTS (
    SELECT 1 FROM nodes n JOIN tenants t ON t.root_id = n.parent_id WHERE n.id = u.bucket_id AND t.state <> 'removed')
LIMIT ?"""


class Parts:
    """Implements ``gateway.service.partrows.MultipartRepository``."""

    def __init__(self, session: Session) -> None:
        self._s = session

    def begin(self, upload: MultipartUpload) -> None:
        declared = {
            "content_type": upload.content_type,
            "mtime": upload.mtime,
            "checksum": list(upload.checksum),
            "facts": dict(upload.facts),
            "properties": dict(upload.properties),
        }
        self._s.run(
            f"INSERT INTO multipart_uploads ({_UPLOAD}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            upload.id, upload.tenant_id, upload.bucket_id, upload.key_text, upload.user, upload.started_at,
            to_json(declared),
        )  # fmt: skip

    def get(self, upload_id: int) -> MultipartUpload | None:
        row = self._s.row(f"SELECT {_UPLOAD} FROM multipart_uploads WHERE id = ?", upload_id)
        return _upload(row) if row else None

    def end(self, upload_id: int) -> list[Part]:
        parts = self.parts(upload_id)
        self._s.run("DELETE FROM multipart_parts WHERE upload_id = ?", upload_id)
        self._s.run("DELETE FROM multipart_uploads WHERE id = ?", upload_id)
        return parts

    def of_bucket(self, bucket_id: int, prefix: str, after: tuple[str, int], limit: int) -> list[MultipartUpload]:
        key, upload_id = after
        sql = self._s.pick(_OF_BUCKET)
        return [_upload(row) for row in self._s.rows(sql, bucket_id, prefix, prefix, key, key, upload_id, limit)]

    def begun_before(self, at: int, limit: int) -> list[MultipartUpload]:
        sql = f"SELECT {_UPLOAD} FROM multipart_uploads WHERE started_at < ? ORDER BY started_at LIMIT ?"
        return [_upload(row) for row in self._s.rows(sql, at, limit)]

    def orphans(self, limit: int) -> list[MultipartUpload]:
        return [_upload(row) for row in self._s.rows(_ORPHANS, limit)]

    def put_part(self, part: Part) -> Part | None:
        sql = f"DELETE FROM multipart_parts WHERE upload_id = ? AND number = ? RETURNING {_PART}"
        row = self._s.row(sql, part.upload_id, part.number)
        self._s.run(
            f"INSERT INTO multipart_parts ({_PART}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            part.id, part.upload_id, part.number, part.blob_id, part.size, part.md5, part.sha256, part.checksum,
            part.at,
        )  # fmt: skip
        return Part(*row) if row else None

    def parts(self, upload_id: int, after: int = 0, limit: int | None = None) -> list[Part]:
        sql = f"SELECT {_PART} FROM multipart_parts WHERE upload_id = ? AND number > ? ORDER BY number LIMIT ?"
        return [Part(*row) for row in self._s.rows(sql, upload_id, after, _ALL if limit is None else limit)]

    def compose(self, blob_id: str, segments: Sequence[Segment]) -> None:
        self._s.run_many(
            "INSERT INTO segments (whole_id, n, blob_id, size, sha256) VALUES (?, ?, ?, ?, ?)",
            [(blob_id, n, one.blob_id, one.size, one.sha256) for n, one in enumerate(segments)],
        )

    def segments(self, blob_id: str) -> list[Segment]:
        sql = "SELECT blob_id, size, sha256 FROM segments WHERE whole_id = ? ORDER BY n"
        return [Segment(*row) for row in self._s.rows(sql, blob_id)]

    def dissolve(self, blob_id: str) -> list[Segment]:
        segments = self.segments(blob_id)
        self._s.run("DELETE FROM segments WHERE whole_id = ?", blob_id)
        return segments

    def reserved(self, tenant_id: int) -> int:
        sql = "SELECT COALESCE(SUM(bytes), 0) FROM reservations WHERE tenant_id = ? AND boot_id = ?"
        return int(self._s.scalar(sql, tenant_id, BOOT))


def _upload(row: Row) -> MultipartUpload:
    declared: dict[str, Any] = json.loads(row[6])
    algorithm, kind = declared["checksum"]
    return MultipartUpload(
        id=row[0],
        tenant_id=row[1],
        bucket_id=row[2],
        key=tuple(row[3].split("/")),
        user=row[4],
        started_at=row[5],
        content_type=declared["content_type"],
        mtime=declared["mtime"],
        checksum=(algorithm, kind),
        facts=declared["facts"],
        properties=declared["properties"],
    )
