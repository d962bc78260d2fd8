"""A gateway with S3 as customers have it: two gates, a quota, the content policy, and a virus scan where clamd is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.testing.clamd import Clamd
from gateway.testing.needs import find_program
from gateway.testing.s3 import S3_CONFIG, S3Access, access
from gateway.testing.server import RunningGateway, start_gateway

QUOTA = "400MB"
_SIZES = {"StreamMaxLength": "200M", "MaxFileSize": "200M", "MaxScanSize": "400M"}


@dataclass(frozen=True)
class Scanned:
    """``is_scanned``: there is a clamd behind it."""

    gateway: RunningGateway
    s3: S3Access
    is_scanned: bool


@contextmanager
def scanned_gateway(folder: Path) -> Iterator[Scanned]:
    with contextlib.ExitStack() as closing:
        plugins: list[str | dict[str, str]] = ["quota", "content_policy", "metering"]
        is_scanned = find_program("clamd") is not None
        if is_scanned:
            clamd = closing.enter_context(Clamd(folder / "clamd", _SIZES))
            plugins.insert(2, {"name": "virus_scan", "address": clamd.tcp, "on_error": "refuse"})
        gateway = closing.enter_context(
            start_gateway(folder / "gateway", gates=2, quota=QUOTA, plugins=plugins, config=S3_CONFIG)
        )
        yield Scanned(gateway, access(gateway), is_scanned)
