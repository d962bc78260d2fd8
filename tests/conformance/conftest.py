"""One real S3 store for all conformance tests that need one, started when the first of them does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.testing.needs import need
from gateway.testing.seaweed import Seaweed, endpoint_of_environment


@pytest.fixture(scope="session")
def s3_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Settings of the backend ``s3``: the store that KURADO_TEST_S3_ENDPOINT names, else a SeaweedFS of our own."""
    settings = endpoint_of_environment()
    if settings is not None:
        yield settings
        return
    need("weed")
    with Seaweed(tmp_path_factory.mktemp("seaweed")) as seaweed:
        yield seaweed.settings()
