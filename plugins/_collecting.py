"""What exporters for collecting share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.domain.collecting import CannotExport, Collects
from gateway.hooks import Exporter

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CollectionExporter(Exporter):
    """An exporter whose format has a result file (``gateway.domain.collecting.ReadsResults``), and what it collects."""

    read_results: Callable[[bytes, Any], Sequence[Any]]
    collects: Collects


def wanted(value: object, kind: type[T], format_: str) -> T:
    """The value if the format takes it: ``billing export`` hands statements of usage to any format."""
    if not isinstance(value, kind):
        raise CannotExport(f"{format_} is no format for usage: it collects issued invoices")
    return value


def no_other_settings(settings: Mapping[str, Any], plugin: str, known: str) -> None:
    for key in settings:
        raise ValueError(f"{key}: unknown setting; {plugin} knows {known}")
