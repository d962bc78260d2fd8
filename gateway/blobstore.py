"""The contract of storage backends: immutable bytes under keys.

A backend knows no tenant, quota or rule. A *key* is 1 to 200 of ``a-z 0-9 - _ . /`` (no segment is empty, ``.`` or
``..``), given once and never to other bytes. Methods are called from several threads at once. Whatever a backend
depends on and cannot reach is :class:`~gateway.domain.errors.BackendUnavailable`; bytes that a backend sees to be other
than those that were written are its kind :class:`~gateway.domain.errors.DamagedBlob`; a full store is
:class:`~gateway.domain.errors.StorageFull`; an absent key is :class:`~gateway.domain.errors.NotFound`; a key that is
none is ValueError. No other exception leaves a backend for reasons outside the program.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

KEY_PATTERN = re.compile(r"(?!\.{1,2}(?:/|$))[a-z0-9._-]+(?:/(?!\.{1,2}(?:/|$))[a-z0-9._-]+)*")
MAX_KEY_LENGTH = 200
BACKENDS = "kurado.storage_backends"
"""The group of entry points that name backends."""


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """``size`` in bytes; ``modified_at`` in ms UTC, as the backend's clock had it at commit."""

    key: str
    size: int
    modified_at: int


class BlobWriter(Protocol):
    """Bytes on their way into a store. Exactly one of ``commit`` and ``abort`` ends it; both may be called again
    without effect once one has returned. Nothing can be read under the key before ``commit`` returned."""

    def write(self, block: bytes) -> None:
        """Appends a block. StorageFull and BackendUnavailable may be raised here or at commit; then call abort."""

    def commit(self) -> BlobInfo:
        """Makes the bytes readable under the key, durably: after it returns they survive power loss."""

    def abort(self) -> None:
        """Forgets the bytes; leaves nothing behind. Never raises for reasons outside the program."""


class BlobStore(Protocol):
    """Immutable bytes under keys."""

    def writer(self, key: str) -> BlobWriter:
        """Begins a blob."""

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        """A readable stream of ``length`` bytes from ``start`` (to the end when None), cut at the end of the blob.

        The stream raises BackendUnavailable when the store ends it early: a short read without an error is the end
        of the requested range and nothing else.
        """

    def stat(self, key: str) -> BlobInfo:
        """Size and time of a blob."""

    def delete(self, key: str) -> None:
        """Removes a blob, durably. Removing an absent key is no error."""

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """All committed blobs whose key starts with ``prefix``, in no order, each once."""

    def check(self) -> None:
        """Raises if a blob could not be stored now: used by health checks. Cheap; leaves nothing behind."""

    def close(self) -> None:
        """Gives back connections and descriptors."""


@runtime_checkable
class Adopting(Protocol):
    """Optional ability: the store can take a finished local file by renaming it, instead of copying its bytes."""

    staging: Path
    """A folder on the store's own file system, where files to be adopted are written."""

    def adopt(self, file: Path, key: str) -> BlobInfo:
        """Makes ``file``, whose bytes were flushed already, the blob ``key``, durably. The file is gone afterwards."""


@runtime_checkable
class LocalPaths(Protocol):
    """Optional ability: blobs are plain local files that may be sent with sendfile."""

    def local_path(self, key: str) -> Path | None:
        """Where the blob lies; the file never changes, and may vanish when the blob is deleted. None where this one is
        to be read through ``open``."""


@runtime_checkable
class Unfinished(Protocol):
    """Optional ability: what writers of dead processes left in the store can be found and removed."""

    def drop_unfinished(self, prefix: str = "", before: int | None = None) -> int:
        """Removes what writers of keys that start with ``prefix`` had stored without a commit; returns how many. With
        ``before`` (ms UTC) only those that began earlier. The caller knows that these writers are over."""


@runtime_checkable
class Forgetting(Protocol):
    """Optional ability: each owner's bytes (see :func:`owner_of`) depend on something that can be destroyed."""

    def forget_owner(self, owner: str) -> None:
        """Makes all bytes of the owner unreadable for good, wherever copies of this store lie. Again is no error."""


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """What has been done about keys: ``wrapped`` anew, ``kept`` as they were so already, ``lost`` as no master key that
    is known opens them."""

    wrapped: int = 0
    kept: int = 0
    lost: int = 0

    def __add__(self, other: Rewrapped) -> Rewrapped:
        return Rewrapped(self.wrapped + other.wrapped, self.kept + other.kept, self.lost + other.lost)


@runtime_checkable
class Rewrapping(Protocol):
    """Optional ability: the store keeps keys that a master key wraps, and can have them wrapped by another one."""

    def rewrap_keys(self, say: Callable[[Rewrapped], None]) -> Rewrapped:
        """Wraps all keys by the master key of the settings; the previous one, which the settings name too, opens
        nothing afterwards. Readers and writers go on. What was broken off is continued by calling it again."""


class PassThrough:
    """A ``BlobStore`` over another: every call that is not changed is passed on to ``inner``. The abilities of adopting
    and of local paths end here: they are for wrappers that need not see the bytes."""

    def __init__(self, inner: BlobStore) -> None:
        self.inner = inner

    def writer(self, key: str) -> BlobWriter:
        return self.inner.writer(key)

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        return self.inner.open(key, start, length)

    def stat(self, key: str) -> BlobInfo:
        return self.inner.stat(key)

    def delete(self, key: str) -> None:
        self.inner.delete(key)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        return self.inner.list(prefix)

    def check(self) -> None:
        self.inner.check()

    def close(self) -> None:
        self.inner.close()

    def drop_unfinished(self, prefix: str = "", before: int | None = None) -> int:
        return self.inner.drop_unfinished(prefix, before) if isinstance(self.inner, Unfinished) else 0

    def forget_owner(self, owner: str) -> None:
        if isinstance(self.inner, Forgetting):
            self.inner.forget_owner(owner)

    def rewrap_keys(self, say: Callable[[Rewrapped], None]) -> Rewrapped:
        return self.inner.rewrap_keys(say) if isinstance(self.inner, Rewrapping) else Rewrapped()


class BackendFactory(Protocol):
    """What an entry point of ``kurado.storage_backends`` names: makes a store from its settings.

    ``settings`` are the keys beside ``backend:`` in gateway.yaml; ``data_dir`` is the gateway's own folder. Unknown or
    bad settings raise ValueError with a message that names the key.
    """

    def __call__(self, settings: Mapping[str, Any], data_dir: Path) -> BlobStore: ...


def check_key(key: str) -> str:
    """Returns ``key`` if it is one; ValueError otherwise."""
    if len(key) > MAX_KEY_LENGTH or not KEY_PATTERN.fullmatch(key):
        raise ValueError(f"{key!r} is no blob key")
    return key


_OF_REPLICA = re.compile(r"t/([^/]+)/")


def owner_of(key: str) -> str:
    """Whose bytes a key names: in ids of blobs what follows the first dot of the last segment (the tenant's id), in
    the logs of a replica the tenant's name; "" for what is nobody's, as all else in a replica is."""
    if key.startswith("kurado/"):
        return ""
    if found := _OF_REPLICA.match(key):
        return found[1]
    return key.rpartition("/")[2].partition(".")[2]


def open_named(settings: Mapping[str, Any], data_dir: Path) -> BlobStore:
    """Opens the backend that ``settings["backend"]`` names with the other keys as its settings; for wrappers, which
    find theirs below ``of``. ValueError says which key is wrong and what exists."""
    name = settings.get("backend")
    found = {point.name: point for point in entry_points(group=BACKENDS)}
    if name not in found:
        near = difflib.get_close_matches(str(name), found, 1)
        known = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(found))}"
        raise ValueError(f"backend: there is no storage backend {name!r}; {known}")
    rest = {setting: value for setting, value in settings.items() if setting != "backend"}
    store: BlobStore = found[name].load()(rest, data_dir)
    return store
