"""The port to the rows of versions that buckets keep."""

from __future__ import annotations

from typing import Protocol

from gateway.domain.history import KeptVersion


class KeptRepository(Protocol):
    def add(self, kept: KeptVersion) -> None: ...
    def remove(self, kept_id: int) -> None: ...
    def get(self, bucket_id: int, key: str, kept_id: int) -> KeptVersion | None: ...
    def null(self, bucket_id: int, key: str) -> KeptVersion | None:
        """The one that is called ``null``."""

    def newest(self, bucket_id: int, key: str) -> KeptVersion | None: ...
    def of_bucket(self, bucket_id: int, prefix: str, after: tuple[str, int], limit: int) -> list[KeptVersion]:
        """By key (in the order of its bytes), the newest first: those of the key ``after[0]`` that are older than
        ``after[1]``, and those of later keys."""

    def has_any(self, bucket_id: int) -> bool: ...
    def of_tenant(self, tenant_id: int) -> list[KeptVersion]: ...
    def orphans(self, limit: int) -> list[KeptVersion]:
        """Those whose bucket is gone."""
