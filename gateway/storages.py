"""Opens the storage that gateway.yaml describes: one backend, or several among which blobs can be moved."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from gateway.blobstore import BACKENDS, Adopting, BlobStore
from gateway.config import BackendConfig, Config, ConfigError
from gateway.domain.errors import BackendUnavailable
from gateway.hooks import HealthFact
from gateway.service.migration import read_route
from gateway.service.switching import MOVED, Route, Switching
from gateway.service.unit_of_work import Database


def open_backend(settings: Mapping[str, Any], data_dir: Path, key: str = "backend") -> BlobStore:
    """Opens the storage backend that ``settings["backend"]`` names. ConfigError names ``key`` and what exists."""
    name = settings.get("backend")
    found = {point.name: point for point in entry_points(group=BACKENDS)}
    if name not in found:
        known = ", ".join(sorted(found))
        raise ConfigError("", f"{key}.backend", f"there is no storage backend {name!r}", f"use one of: {known}")
    rest = {setting: value for setting, value in settings.items() if setting != "backend"}
    try:
        store: BlobStore = found[name].load()(rest, data_dir)
    except ValueError as error:
        raise ConfigError("", key, str(error), f"see the settings of the backend {name}") from None
    return store


def open_storage(config: Config) -> BlobStore:
    """The storage of a deployment; of several, the one that ``storage`` means is written to until ``follow_route``."""
    if not config.storages:
        return _open(config.storage, config.data_dir, "storage")
    with contextlib.ExitStack() as opened:
        stores = {}
        for label, backend in config.storages.items():
            key = "storage" if backend is config.storage else f"storages.{label}"
            stores[label] = _open(backend, config.data_dir, key)
            opened.callback(stores[label].close)
        opened.pop_all()
    return Switching(stores, config.storage.label, config.data_dir)


def _open(backend: BackendConfig, data_dir: Path, key: str) -> BlobStore:
    return open_backend({"backend": backend.name, **backend.settings}, data_dir, key)


def follow_route(config: Config, store: BlobStore, db: Database) -> None:
    """From now on blobs go where the database says. ConfigError when gateway.yaml does not name a storage that holds
    blobs: to go on would be to take them for lost."""
    route = read_route(db)
    if route is not None:
        needed = [route.writes] if route.phase == MOVED else [route.writes, route.leaves]
        for label in needed:
            if label not in config.storages and label != config.storage.label:
                raise ConfigError(
                    str(config.file),
                    "storages",
                    f"names no storage {label!r}, which holds blobs since they were moved",
                    f"describe it below `storages` as {label!r}",
                )
    if isinstance(store, Switching):
        store.follow(lambda: read_route(db))


def route_fact(config: Config, store: BlobStore) -> HealthFact:
    """Whether gateway.yaml says the same as the database about where blobs go."""
    name = "storage.route"
    route = store.route if isinstance(store, Switching) else Route(config.storage.label)
    if route.phase and route.phase != MOVED:
        text = f"blobs move from {route.leaves} to {route.writes}: `kurado storage migrate --to {route.writes}`"
        return HealthFact(name, "warning", text)
    if route.writes != config.storage.label:
        text = f"blobs are in {route.writes} since they were moved: write `storage: {route.writes}` in gateway.yaml"
        return HealthFact(name, "warning", text)
    return HealthFact(name, "ok", f"blobs go to {route.writes}")


def staging_folder(store: BlobStore, data_dir: Path) -> Path:
    """Where uploads wait: on the store's own file system if it can adopt files."""
    staging = store.staging if isinstance(store, Adopting) else data_dir / "staging"
    staging.mkdir(parents=True, exist_ok=True)
    return staging


def has_contents(data_dir: Path) -> bool:
    """Whether the database has ever held contents themselves: an empty one is a lost one then, though the storage be
    empty too."""
    return _contents_note(data_dir).exists()


def note_contents(data_dir: Path) -> None:
    """What ``has_contents`` tells. Raises BackendUnavailable: without it a lost database would pass for a new one."""
    note = _contents_note(data_dir)
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()
    except OSError as error:
        raise BackendUnavailable(f"{note} cannot be written") from error


def _contents_note(data_dir: Path) -> Path:
    return data_dir / "run" / "contents"
