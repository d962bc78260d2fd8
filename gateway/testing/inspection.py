"""What the tests of inspection plugins need: a context, uploads, and the way in as ``service/uploads`` walks it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from gateway.blobstore import BlobStore
from gateway.domain.tenant import Caller, Role, Tenant, TenantState, User
from gateway.domain.upload import CLEAN, Declared, StagedContent, UploadInfo, Verdict
from gateway.hooks import PluginContext

TENANT = Tenant(1, "acme", "standard", TenantState.ACTIVE, None, None, False, 1, 0)
USER = User(1, 1, "ann", "", Role.EDITOR, False, 0)
CALLER = Caller(TENANT, USER)


@dataclass
class Alarms:
    """Collects alarms as they stand: (kind, subject) → message."""

    active: dict[tuple[str, str], str] = field(default_factory=dict)

    def __call__(self, kind: str, subject: str, message: str | None) -> None:
        if message is None:
            self.active.pop((kind, subject), None)
        else:
            self.active[(kind, subject)] = message


def make_context(
    name: str,
    folder: Path,
    settings: Mapping[str, Any] | None = None,
    *,
    on_error: str = "refuse",
    now: int = 1_800_000_000_000,
    **other: Any,
) -> PluginContext:
    """A context without services, whose alarms are collected in an :class:`Alarms`."""

    def unavailable(*_: object) -> Any:
        raise AssertionError("not part of this test")

    values: dict[str, Any] = {
        "timeout": None,
        "data_dir": folder,
        "demo": False,
        "clock": lambda: now,
        "blobs": cast(BlobStore, None),
        "backend": unavailable,
        "policy": unavailable,
        "alarm": Alarms(),
        **other,
    }
    return PluginContext(name=name, settings=settings or {}, on_error=on_error, **values)


def make_upload(
    name: str = "a.bin", length: int | None = None, *, content_type: str = "", replaces: int = 0, **tenant: Any
) -> UploadInfo:
    """An upload of ``name`` by a user of a tenant with the given fields."""
    caller = dataclasses.replace(CALLER, tenant=dataclasses.replace(TENANT, **tenant))
    return UploadInfo(caller, ("folder", name), Declared(length, content_type), replaces)


def stage(folder: Path, content: bytes, *verdicts: Verdict) -> StagedContent:
    """The content as a staged file."""
    file = folder / "staged"
    file.write_bytes(content)
    return StagedContent(str(file), len(content), hashlib.sha256(content).hexdigest(), verdicts)


def run_inspection(plugin: Any, folder: Path, upload: UploadInfo, content: bytes, block: int = 65_536) -> Verdict:
    """Takes a content through the hooks of one plugin, in the order of the write path; returns the gravest verdict.

    Domain errors pass through.
    """
    if hasattr(plugin, "check_upload"):
        plugin.check_upload(upload=upload)
    inspector = plugin.open_inspector(upload=upload) if hasattr(plugin, "open_inspector") else None
    verdicts: list[Verdict] = []
    if inspector is not None:
        try:
            for start in range(0, len(content), block):
                inspector.feed(content[start : start + block])
            verdicts.append(inspector.finish())
        finally:
            inspector.abort()
    staged = stage(folder, content, *verdicts)
    said = plugin.check_content(upload=upload, staged=staged)
    return max([*verdicts, said or CLEAN], key=lambda one: one.severity)
