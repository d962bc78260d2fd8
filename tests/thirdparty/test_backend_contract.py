"""A stranger's backend passes the suite that ours pass."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.blobstore import BlobStore
from gateway.domain.errors import BackendUnavailable
from gateway.testing.blobstore_contract import BlobStoreContract


class TestVault(BlobStoreContract):
    early_ends = (BackendUnavailable,)

    @pytest.fixture
    def store(self, installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BlobStore]:
        monkeypatch.syspath_prepend(str(installed))
        store = importlib.import_module("thirdparty_example.vault").create({}, tmp_path)
        yield store
        store.close()
        for name in [name for name in sys.modules if name.startswith("thirdparty_example")]:
            del sys.modules[name]
