"""The port to the rows of uploads by parts, and of the blobs that were composed of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.domain.multipart import MultipartUpload, Part, Segment

BOOT = "multipart"
"""Whose reservations those of parts are: no process's, they outlive them all."""


class MultipartRepository(Protocol):
    def begin(self, upload: MultipartUpload) -> None: ...
    def get(self, upload_id: int) -> MultipartUpload | None: ...
    def end(self, upload_id: int) -> list[Part]:
        """Forgets an upload and its parts; returns them, by number."""

    def of_bucket(self, bucket_id: int, prefix: str, after: tuple[str, int], limit: int) -> list[MultipartUpload]:
        """Those whose key begins with ``prefix``, by key (in the order of its bytes) and id, after (key, id)."""

    def begun_before(self, at: int, limit: int) -> list[MultipartUpload]:
        """The oldest of those that began before ``at``."""

    def orphans(self, limit: int) -> list[MultipartUpload]:
        """Those whose bucket hangs in no space any more."""

    def put_part(self, part: Part) -> Part | None:
        """Stores a part; returns the one of that number whose place it takes."""

    def parts(self, upload_id: int, after: int = 0, limit: int | None = None) -> list[Part]:
        """By number, those after ``after``."""

    def compose(self, blob_id: str, segments: Sequence[Segment]) -> None:
        """Makes parts the segments of a composed blob."""

    def segments(self, blob_id: str) -> list[Segment]:
        """Of a composed blob, in order; none for one that is stored as a whole."""

    def dissolve(self, blob_id: str) -> list[Segment]:
        """Forgets of which segments a blob was composed; returns them."""

    def reserved(self, tenant_id: int) -> int:
        """Bytes held back for pending parts."""
