"""What wrapper backends share: another backend below ``of``, and every call passed on to it that is not changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gateway.blobstore import BlobInfo, BlobStore, BlobWriter, Forgetting, Unfinished, open_named
from gateway.domain.fields import FieldError, Fields


class Wrapper:
    """A store that passes every call on to ``inner``. The abilities of adopting and of local paths end here: a wrapper
    must see the bytes."""

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


def take_inner(fields: Fields, data_dir: Path) -> BlobStore:
    """Opens the backend below ``of``, when all other settings were read: it is the last thing that can go wrong.
    ValueError names its bad setting."""
    settings = fields.take("of", _mapping, fix="of: {backend: local, path: …}")
    fields.done()
    try:
        return open_named(settings, data_dir)
    except FieldError as error:
        raise FieldError(f"of.{error.path}", error.reason, error.fix) from error
    except ValueError as error:
        raise ValueError(f"of.{error}") from error


def _mapping(value: object) -> dict[str, object]:
    if not isinstance(value, dict) or not isinstance(value.get("backend"), str):
        raise ValueError("name the backend that is wrapped")
    return value
