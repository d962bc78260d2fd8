"""One daemon for all tests that only ask the gate; tests that kill, fill or configure start their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.testing.server import RunningGateway, start_gateway


@pytest.fixture(scope="session")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with start_gateway(tmp_path_factory.mktemp("gateway"), config={"log": {"requests": True}}) as running:
        yield running
