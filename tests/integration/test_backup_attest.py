"""What a replica attests of a day's backup (SLA-DP-02): only what it holds whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.testing.replicas import Replicated, open_replicated


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[Replicated]:
    with open_replicated(tmp_path) as opened:
        opened.space.put("a", b"some bytes")
        opened.deliver()
        for name in ("acts", "keep"):
            opened.job(name)
        yield opened


def attested(replicated: Replicated) -> dict[int, str]:
    return dict(replicated.plugin.backup_state())


def test_a_replica_that_holds_everything_attests_with_figures(replicated: Replicated) -> None:
    tenant_id = replicated.space.caller.tenant.id
    assert list(attested(replicated)) == [tenant_id]
    assert "1 blobs" in attested(replicated)[tenant_id]


def test_what_waits_too_long_is_not_attested(replicated: Replicated) -> None:
    replicated.space.put("b", b"more")
    assert attested(replicated)
    replicated.space.clock.forward(16 * 60)
    assert not attested(replicated)
    replicated.deliver()
    assert attested(replicated)


def test_a_replica_that_lacks_a_blob_attests_nothing(replicated: Replicated) -> None:
    (key,) = [info.key for info in replicated.store.list("b/")]
    replicated.store.delete(key)
    assert not attested(replicated)
