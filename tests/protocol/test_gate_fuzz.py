"""Thousands of requests that are almost right: no failure of ours, no hang, and the gateway lives (RESILIENCE 25)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.testing.mutations import mutated_requests
from gateway.testing.rawhttp import LineClosed, RawLine, basic
from gateway.testing.server import LOGIN, PASSWORD, RunningGateway

LOGIN_LINE = basic(LOGIN, PASSWORD)
ALLOWED_5XX = (501, 502, 505, 507)
HANG = 15.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_thousand_mutated_requests_meet_no_failure_and_no_hang(shared_gateway: RunningGateway, seed: int) -> None:
    gates = shared_gateway.pids("gate")

    def fault(request: bytes) -> str | None:
        """What is wrong with the answers to one request, sent on a line of its own that is then half-closed."""
        with RawLine(shared_gateway.address, HANG) as line:
            line.try_send(request)
            try:
                line.end_sending()
                while True:
                    answer = line.answer(head_only=request.startswith(b"HEAD"))
                    if answer.status >= 500 and answer.status not in ALLOWED_5XX:
                        return f"{answer.status} to {request[:600]!r}: {answer.body[:300]!r}"
            except (LineClosed, OSError) as error:
                return f"hangs: {request[:600]!r}" if isinstance(error, TimeoutError) else None

    with ThreadPoolExecutor(8) as pool:
        faults = [found for found in pool.map(fault, mutated_requests(seed, 2000, LOGIN_LINE)) if found]
    assert faults[:5] == []
    assert shared_gateway.pids("gate") == gates
    assert not [line for line in shared_gateway.log_lines() if "trace" in line]
