"""One daemon for all tests that only ask the gate; tests that kill, fill or configure start their own."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from gateway.testing.s3 import S3_CONFIG, S3Access, access
from gateway.testing.scanned import Scanned, scanned_gateway
from gateway.testing.server import RunningGateway, start_gateway


@pytest.fixture(scope="session")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with start_gateway(tmp_path_factory.mktemp("gateway"), config={"log": {"requests": True}}) as running:
        yield running


@pytest.fixture(scope="session")
def s3_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One that serves S3 too, with two gates."""
    config = {**S3_CONFIG, "s3": {"domain": "s3.localhost"}}
    with start_gateway(tmp_path_factory.mktemp("s3-gateway"), gates=2, config=config) as running:
        yield running


@pytest.fixture(scope="session")
def s3(s3_gateway: RunningGateway) -> S3Access:
    """The owner's access key on ``s3_gateway``."""
    return access(s3_gateway)


@pytest.fixture(scope="session")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scanned]:
    """One with a quota and a virus scan, for whole clients."""
    with scanned_gateway(tmp_path_factory.mktemp("scanned")) as running:
        yield running


@pytest.fixture
def bucket(s3: S3Access) -> str:
    """A new bucket."""
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    s3.client.create_bucket(Bucket=name)
    return name
