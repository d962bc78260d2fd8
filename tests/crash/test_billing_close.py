"""kill -9 while periods are closed, and two who close at once: numbers have no gap, nothing is issued twice."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from gateway.testing.clockwork import lasting_today
from gateway.testing.contracts import ISSUER, begin
from gateway.testing.space import Clock, open_space

CONTRACTS = 12
KURADO = Path(sys.executable).with_name("kurado")


def test_after_kill_9_in_the_middle_of_a_close_the_rest_is_issued_without_a_gap(tmp_path: Path) -> None:
    today = lasting_today()
    start = today - timedelta(days=80)
    with open_space(tmp_path, plugins=["contract_state"], clock=Clock()) as space:
        space.services.policies.apply("issuer", ISSUER, "ann")
        for number in range(CONTRACTS):
            begin(space, f"c{number:02}", start)
    command = [str(KURADO), "--config", str(tmp_path / "gateway.yaml")]
    period = str(today - timedelta(days=32))
    closing = [*command, "billing", "close", "--period", period]
    with subprocess.Popen(closing, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as victim:
        assert victim.stdout is not None
        told = [victim.stdout.readline() for _ in range(5)]
        victim.kill()
    assert all("KRD-" in line for line in told)
    others = [subprocess.Popen(closing, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for other in others:
        _, err = other.communicate(timeout=600)
        assert other.returncode == 0, err
    listed = subprocess.run([*command, "invoice", "list", "--json"], capture_output=True, text=True, check=True)
    invoices = json.loads(listed.stdout)
    assert [one["invoice"] for one in invoices] == [f"KRD-{n:06d}" for n in range(1, len(invoices) + 1)]
    kinds = {(one["contract"], one["for"]) for one in invoices}
    assert len(kinds) == len(invoices)
    assert len({one["contract"] for one in invoices}) == CONTRACTS
    assert (
        len({sum(one["contract"] == name for one in invoices) for name in {one["contract"] for one in invoices}}) == 1
    )
    subprocess.run([*command, "audit", "verify"], check=True, capture_output=True)
