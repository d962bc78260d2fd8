"""Every storage backend that is installed as ours passes one suite; one without a maker here fails."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from gateway.blobstore import BlobStore
from gateway.domain.errors import BackendUnavailable
from gateway.testing.blobstore_contract import BlobStoreContract

GROUP = "kurado.storage_backends"
OURS = {entry.name: entry for entry in distribution("kurado").entry_points.select(group=GROUP)}

Maker = Callable[[pytest.FixtureRequest, Path], dict[str, Any]]
"""Settings of a store that holds nothing, made for one test."""


def settings(**given: Any) -> Maker:
    return lambda request, folder: given


def s3(**more: Any) -> Maker:
    """A folder of its own in the S3 store."""

    def make(request: pytest.FixtureRequest, folder: Path) -> dict[str, Any]:
        shared: dict[str, Any] = request.getfixturevalue("s3_settings")
        prefix = f"{shared.get('prefix', '')}/{secrets.token_hex(6)}"
        return {"backend": "s3", **shared, "prefix": prefix, "part_size": "5MB", **more}

    return make


def wrapped(inner: Maker, **more: Any) -> Maker:
    return lambda request, folder: {"of": inner(request, folder), **more}


def nested(backend: str, inner: Maker) -> Maker:
    return wrapped(inner, backend=backend)


OF = {"of": {"backend": "memory"}}
LEAST: dict[str, dict[str, Any]] = {"s3": {"bucket": "bucket"}, "retrying": OF, "limited": OF, "sealed": OF}
"""Settings that a backend cannot do without."""

MAKERS: dict[str, list[Maker]] = {
    "local": [settings(), settings(path="elsewhere/deeper", fsync=False)],
    "memory": [settings(), settings(capacity=2**30)],
    "s3": [s3()],
    "retrying": [wrapped(settings(backend="local"), pause="10ms"), wrapped(nested("sealed", s3()))],
    "limited": [
        wrapped(settings(backend="memory"), upload="1GB", download="1GB", concurrency=2),
        wrapped(nested("retrying", s3(retries="adaptive")), concurrency=3),
    ],
    "sealed": [
        wrapped(settings(backend="memory")),
        wrapped(s3()),
        wrapped(nested("limited", settings(backend="local")), key_check="0s"),
    ],
}
CASES = [(name, number) for name, makers in MAKERS.items() for number in range(len(makers))]


def test_every_backend_has_a_maker() -> None:
    assert sorted(OURS) == sorted(MAKERS)


class TestBackends(BlobStoreContract):
    early_ends = (BackendUnavailable,)

    @pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
        name, number = request.param
        made = {key: value for key, value in MAKERS[name][number](request, tmp_path).items() if key != "backend"}
        store = OURS[name].load()(made, tmp_path)
        yield store
        store.close()


@pytest.mark.parametrize("name", sorted(OURS))
def test_an_unknown_setting_is_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pathh"):
        OURS[name].load()({**LEAST.get(name, {}), "pathh": "x"}, tmp_path)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("local", {"fsync": "yes"}), ("local", {"path": 7}), ("local", {"path": ""}), ("memory", {"capacity": "1GB"})],
)
def test_a_bad_setting_is_refused_by_name(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        OURS[name].load()(settings, tmp_path)
