"""The port to the rows of small blobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.blobstore import BlobInfo


class SmallBlobRepository(Protocol):
    def put(self, blob_id: str, data: bytes, now: int) -> None:
        """Stores a blob; one of that id is replaced."""

    def get(self, blob_id: str) -> bytes | None: ...
    def stat(self, blob_id: str) -> BlobInfo | None: ...
    def known(self, blob_ids: Sequence[str]) -> set[str]:
        """Those of the ids that there are."""

    def remove(self, blob_id: str) -> bool:
        """False when there is none."""

    def remove_all(self, blob_ids: Sequence[str]) -> None:
        """Removes those that there are."""

    def list(self, prefix: str, after: str, limit: int) -> list[BlobInfo]:
        """Those whose id begins with ``prefix``, by id (in the order of its bytes), after ``after``."""
