"""What rules may know of a file, found out only when a rule asks for it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from gateway.domain.upload import UploadInfo
from plugins._archives import Archive, ArchiveLimits, examine_once
from plugins._images import IMAGE_TYPES, Images
from plugins._magic import HEAD, sniff

Provider = Callable[[UploadInfo, BinaryIO], Mapping[str, Any]]


def extension(name: str) -> str:
    """The extension in lower case, without its dot; "" when there is none."""
    stem, _, suffix = name.rpartition(".")
    return suffix.lower() if stem else ""


def media_type(header: str) -> str:
    """The media type of a Content-Type header, in lower case and without parameters."""
    return header.split(";", 1)[0].strip().lower()


def early_facts(upload: UploadInfo) -> dict[str, Any]:
    """What is known before the body. ``size`` is missing when no length was declared."""
    facts: dict[str, Any] = {
        "name": upload.name,
        "ext": extension(upload.name),
        "path": "/" + "/".join(upload.path),
        "type": media_type(upload.declared.content_type),
        "tenant": upload.caller.tenant.name,
        "plan": upload.caller.tenant.plan,
    }
    if upload.declared.known_length is not None:
        facts["size"] = upload.declared.known_length
    return facts


def late_facts(
    upload: UploadInfo,
    file: BinaryIO,
    size: int,
    digest: str,
    roots: Collection[str],
    providers: Mapping[str, Provider],
) -> dict[str, Any]:
    """The facts of a whole content: the early ones, and those of ``roots``."""
    facts = {**early_facts(upload), "size": size, "digest": digest}
    if "sniffed_type" in roots:
        facts["sniffed_type"] = sniffed(file)
    for root in sorted(set(roots) & set(providers)):
        file.seek(0)
        facts[root] = dict(providers[root](upload, file))
    return facts


def sniffed(file: BinaryIO) -> str:
    """The type that the content speaks of."""
    file.seek(0)
    return sniff(file.read(HEAD))


def archive_facts(limits: ArchiveLimits, file: BinaryIO) -> Mapping[str, Any]:
    """Facts of an archive that can be looked into, {} for everything else."""
    found = examine_once(file, limits)
    return _as_map(found) if found.kind else {}


def _as_map(found: Archive) -> Mapping[str, Any]:
    return {
        "kind": found.kind,
        "entries": found.entries,
        "expanded": found.expanded,
        "ratio": found.ratio,
        "depth": found.depth,
        "largest": found.largest,
        "encrypted": found.encrypted,
        "broken": found.broken,
        "exceeded": found.exceeded,
        "names": list(found.names),
    }


def image_facts(images: Images, file: BinaryIO) -> Mapping[str, Any]:
    """Facts of an image of the formats that are decoded, {} for everything else."""
    if sniffed(file) not in IMAGE_TYPES:
        return {}
    name = getattr(file, "name", None)
    if isinstance(name, str) and Path(name).is_file():
        return images.facts(Path(name))
    with tempfile.NamedTemporaryFile(prefix="kurado-image-") as copy:
        file.seek(0)
        while block := file.read(1024 * 1024):
            copy.write(block)
        copy.flush()
        return images.facts(Path(copy.name))
