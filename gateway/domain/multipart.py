"""Uploads by parts: what is kept while they are pending, and what they become.

A finished one is a *composed* blob: a blob id under which the store holds nothing, and the ids of the parts that are
its segments. Its name tells: the number in it ends with ``s``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import md5

from gateway.domain.ids import new_blob_id
from gateway.domain.names import Path

MAX_PARTS = 10_000
MIN_PART_BYTES = 5 * 1024 * 1024
PARTS_FACT = "parts"
"""The fact of a version that tells where its parts end (:func:`sizes_to_text`)."""

PART_CHECKSUMS_FACT = "part-checksums"
"""Their checksums, for uploads of up to ``MAX_PART_CHECKSUMS`` parts: facts are read with every listing."""
MAX_PART_CHECKSUMS = 100


@dataclass(frozen=True, slots=True)
class MultipartUpload:
    """``key`` is the path below the bucket. ``checksum``: algorithm and type that the client announced, "" for none.
    ``properties`` are dead properties to be put, ``user`` the login that began it."""

    id: int
    tenant_id: int
    bucket_id: int
    key: Path
    user: str
    started_at: int
    content_type: str = ""
    mtime: int | None = None
    checksum: tuple[str, str] = ("", "")
    facts: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def public_id(self) -> str:
        """As clients are told."""
        return f"{self.id:016x}"

    @property
    def key_text(self) -> str:
        return "/".join(self.key)


@dataclass(frozen=True, slots=True)
class Part:
    """``id`` numbers its place in the quota. ``checksum`` is ``ALGORITHM BASE64``, "" for none."""

    id: int
    upload_id: int
    number: int
    blob_id: str
    size: int
    md5: str
    sha256: str
    checksum: str
    at: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a composed blob, itself a blob of the store."""

    blob_id: str
    size: int
    sha256: str


def parse_public_id(text: str) -> int | None:
    """The number behind an id as clients have it; None for one that is none."""
    try:
        return int(text, 16) if len(text) == 16 and text.isalnum() and text.isascii() else None
    except ValueError:
        return None


def composed_blob_id(boot_id: str, number: int, tenant_id: int) -> str:
    """The id of a blob that is made of segments."""
    head, dot, owner = new_blob_id(boot_id, number, tenant_id).partition(".")
    return f"{head}s{dot}{owner}"


def is_composed(blob_id: str) -> bool:
    return blob_id.partition(".")[0].endswith("s")


def etag_of_parts(digests: Iterable[str]) -> str:
    """MD5 of the MD5s and the number of parts, with quotes; ``digests`` in hex."""
    raw = [bytes.fromhex(one) for one in digests]
    return f'"{md5(b"".join(raw), usedforsecurity=False).hexdigest()}-{len(raw)}"'


def sizes_to_text(sizes: Iterable[int]) -> str:
    """Sizes of parts in order, equal ones in a row told once: ``8388608*7,1024``."""
    runs: list[list[int]] = []
    for size in sizes:
        if runs and runs[-1][0] == size:
            runs[-1][1] += 1
        else:
            runs.append([size, 1])
    return ",".join(f"{size}*{count}" if count > 1 else str(size) for size, count in runs)


def sizes_from_text(text: str) -> list[int]:
    """The inverse of :func:`sizes_to_text`."""
    sizes: list[int] = []
    for run in text.split(",") if text else ():
        size, _, count = run.partition("*")
        sizes += [int(size)] * int(count or 1)
    return sizes
