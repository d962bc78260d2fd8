"""What wrapper backends share: another backend below ``of``."""

from __future__ import annotations

from pathlib import Path

from gateway.blobstore import BlobStore, open_named
from gateway.domain.fields import FieldError, Fields


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
