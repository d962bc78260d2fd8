"""The tree of a space: collections and files, and the versions of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    COLLECTION = "c"
    FILE = "f"


class VersionState(StrEnum):
    """``held`` is listed but not readable; ``marked`` is readable and flagged; ``clean`` passed every inspector."""

    CLEAN = "clean"
    HELD = "held"
    MARKED = "marked"


@dataclass(frozen=True, slots=True)
class Version:
    """One committed content of a file. Times in ms UTC; ``etag`` includes its quotes.

    ``facts`` are what ``describe_content`` hooks said: live, read-only properties such as ``image.width``.
    """

    id: int
    blob_id: str
    size: int
    etag: str
    content_type: str
    sha256: str
    created_at: int
    mtime: int
    state: VersionState = VersionState.CLEAN
    reason: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    uploader_id: int | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A collection or a file. ``props`` are dead properties: ``{namespace}name`` → the element as XML text.

    Dead properties live on the node's row (not in a table of their own): they move, copy and list with it for free.
    ``version`` is the current version of a file and None for a collection; ``previous_id`` is the version kept while
    the current one is held.
    """

    id: int
    tenant_id: int
    parent_id: int | None
    kind: Kind
    name: str
    created_at: int
    modified_at: int
    explicit: bool = True
    props: Mapping[str, str] = field(default_factory=dict)
    version: Version | None = None
    previous_id: int | None = None

    @property
    def is_collection(self) -> bool:
        return self.kind is Kind.COLLECTION

    @property
    def size(self) -> int:
        return self.version.size if self.version else 0


def renumbered(version: Version, version_id: int, etag: str, now: int) -> Version:
    """The same content as a version of its own. Written out: a copied tree makes thousands."""
    return Version(
        version_id,
        version.blob_id,
        version.size,
        etag,
        version.content_type,
        version.sha256,
        now,
        version.mtime,
        version.state,
        version.reason,
        version.facts,
        version.uploader_id,
    )


def webdav_etag(version_id: int) -> str:
    """A strong ETag, new for every save; the dash tells clients that it is no MD5 (DESIGN section 4)."""
    return f'"{version_id:x}-d"'
