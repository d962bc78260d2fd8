"""One real S3 store for all conformance tests that need one, started when the first of them does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.testing.needs import need
from gateway.testing.seaweed import Seaweed, endpoint_of_environment

FOLDER = "folder"


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The store that KURADO_TEST_S3_ENDPOINT names, else a SeaweedFS of our own."""
    settings = endpoint_of_environment()
    if settings is not None:
        yield settings
        return
    need("weed")
    with Seaweed(tmp_path_factory.mktemp("seaweed")) as seaweed:
        yield {**seaweed.settings(), FOLDER: seaweed.folder}


@pytest.fixture(scope="session")
def s3_settings(s3_server: dict[str, Any]) -> dict[str, Any]:
    """Settings of the backend ``s3``, in a bucket for all tests."""
    return {key: value for key, value in s3_server.items() if key != FOLDER}


@pytest.fixture(scope="session")
def s3_folder(s3_server: dict[str, Any]) -> Path:
    """Where the store keeps everything on this machine."""
    if FOLDER not in s3_server:
        pytest.skip("the S3 store of the environment does not show its disks")
    folder: Path = s3_server[FOLDER]
    return folder
