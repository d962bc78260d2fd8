"""The port to rows as they are stored: what the replica carries beside spaces and logs, and a restore puts back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from gateway.domain.acts import Act

Line = Mapping[str, Any]
"""One row: ``{"table": name, column: value, …}``, JSON values only."""


class ArchiveRepository(Protocol):
    """Lines come in the same order from the same rows, on both databases."""

    def policies(self) -> list[Line]:
        """All versions of all policy documents, and which are in force for whom."""

    def contracts(self) -> list[str]:
        """Names of all contracts of which there are papers."""

    def papers(self, contract: str) -> list[Line]:
        """All versions of a customer's data, and the documents in writing."""

    def usage_mark(self, tenant_id: int) -> tuple[int, ...]:
        """(seq of the last event that was booked, times of the last changes …): another one when any figure changed."""

    def usage_since(self, tenant_id: int, since: int) -> list[tuple[int, Line]]:
        """Hours and traffic of hours from an instant on, and statements that were closed then, each with its time."""

    def usage_state(self, tenant_id: int) -> list[Line]:
        """What all hours have come to."""

    def put_acts(self, acts: Sequence[Act]) -> None:
        """Stores acts with the places and digests that they have, after those that are there."""

    def put(self, lines: Iterable[Line]) -> None:
        """Stores rows; one that takes the place of another replaces it. ValueError for a table that is not of these."""
