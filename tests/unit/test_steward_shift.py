"""A shift of the steward: jobs repeat, fail and end without harming each other."""

from __future__ import annotations

import threading

from gateway.domain.errors import BackendUnavailable
from gateway.service.outbox import FenceLost
from gateway.steward.schedule import Shift, Task

WAIT = 10.0


def test_a_job_with_more_to_do_runs_again_at_once() -> None:
    done, left = threading.Event(), iter([True] * 5)

    def run() -> bool:
        if next(left, None) is None:
            done.set()
            return False
        return True

    shift = Shift([Task("job", 3600.0, run)])
    shift.start()
    assert done.wait(WAIT)
    shift.end()


def test_a_job_that_fails_is_run_again_and_stops_no_other() -> None:
    failed, other = threading.Event(), threading.Event()
    errors = iter([BackendUnavailable("down"), KeyError("bug")])

    def run() -> bool:
        error = next(errors, None)
        if error is None:
            failed.set()
            return False
        raise error

    def well() -> bool:
        other.set()
        return False

    shift = Shift([Task("failing", 0.001, run), Task("well", 3600.0, well)])
    shift.start()
    assert failed.wait(WAIT)
    assert other.wait(WAIT)
    assert not shift.is_over
    shift.end()
    assert shift.is_over


def test_a_lost_lease_ends_the_whole_shift() -> None:
    def run() -> bool:
        raise FenceLost("another steward")

    started = threading.Event()

    def waiting() -> bool:
        started.set()
        return False

    shift = Shift([Task("waiting", 3600.0, waiting), Task("losing", 1.0, run)])
    shift.start()
    assert started.wait(WAIT)
    shift.end()
    assert shift.is_over
