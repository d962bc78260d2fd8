"""Every storage backend that is installed as ours passes one suite; one without a maker here fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, distribution
from pathlib import Path
from typing import Any

import pytest

from gateway.blobstore import BlobStore
from gateway.testing.blobstore_contract import BlobStoreContract

GROUP = "kurado.storage_backends"
OURS = {entry.name: entry for entry in distribution("kurado").entry_points.select(group=GROUP)}

Maker = Callable[[EntryPoint, Path], BlobStore]


def with_settings(**settings: Any) -> Maker:
    return lambda entry, folder: entry.load()(settings, folder)


MAKERS: dict[str, list[Maker]] = {
    "local": [with_settings(), with_settings(path="elsewhere/deeper", fsync=False)],
    "memory": [with_settings(), with_settings(capacity=2**30)],
}
CASES = [(name, number) for name, makers in MAKERS.items() for number in range(len(makers))]


def test_every_backend_has_a_maker() -> None:
    assert sorted(OURS) == sorted(MAKERS)


class TestBackends(BlobStoreContract):
    @pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
        name, number = request.param
        store = MAKERS[name][number](OURS[name], tmp_path)
        yield store
        store.close()


@pytest.mark.parametrize("name", sorted(OURS))
def test_an_unknown_setting_is_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pathh"):
        OURS[name].load()({"pathh": "x"}, tmp_path)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("local", {"fsync": "yes"}), ("local", {"path": 7}), ("local", {"path": ""}), ("memory", {"capacity": "1GB"})],
)
def test_a_bad_setting_is_refused_by_name(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        OURS[name].load()(settings, tmp_path)
