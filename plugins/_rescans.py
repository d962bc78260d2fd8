"""Judges held and marked files again: what was not scanned as soon as it can be, the rest with new definitions."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

from gateway.domain.errors import KuradoError
from gateway.domain.node import Node, Version, VersionState
from gateway.domain.upload import Outcome, Verdict, reason_of, verdicts_in

_PAGE = 200
_REMEMBERED = 100_000
_LONG_ROUND = 1.0
_REST = 20
_STATES = {Outcome.CLEAN: VersionState.CLEAN, Outcome.MARK: VersionState.MARKED, Outcome.HOLD: VersionState.HELD}
_OUTCOMES = {state: outcome for outcome, state in _STATES.items()}
_MINE = "virus_scan"
_NOT_SCANNED = "not scanned"


class Rescans:
    """``holds`` gives the service of pending files, ``judge(file, size, sha256)`` the verdict on one."""

    def __init__(self, holds: Callable[[], Any], judge: Callable[[BinaryIO, int, str], Verdict]) -> None:
        self._holds = holds
        self._judge = judge
        self._judged: OrderedDict[tuple[int, str], None] = OrderedDict()
        self._not_before = float("-inf")

    def run(self, definitions: str) -> None:
        """One round over all pending files. Ends early when the scanner fails: the next round begins again.

        Where there are many (all large files of a big tenant are marked), long rounds take a twentieth of the time.
        """
        started = time.monotonic()
        if started < self._not_before:
            return
        try:
            self._round(definitions)
        finally:
            took = time.monotonic() - started
            self._not_before = time.monotonic() + _REST * took if took > _LONG_ROUND else started

    def _round(self, definitions: str) -> None:
        holds, after = self._holds(), 0
        while page := holds.pending(_PAGE, after):
            for node in page:
                after = node.id
                if self._is_due(node, definitions) and not self._one(holds, node, definitions):
                    return

    def _is_due(self, node: Node, definitions: str) -> bool:
        """Only what this plugin held or marked: what another rule holds is not ours to release."""
        version = node.version
        mine = [one for one in _verdicts(node) if one.policy == _MINE]
        if version is None or not mine:
            return False
        not_scanned = any(one.reason.startswith(_NOT_SCANNED) for one in mine)
        return not_scanned or (version.id, definitions) not in self._judged

    def _one(self, holds: Any, node: Node, definitions: str) -> bool:
        version = node.version
        assert version is not None
        try:
            with holds.open(node) as stream, _seekable(stream) as file:
                verdict = self._judge(file, version.size, version.sha256)
        except KuradoError:
            return False
        if verdict.policy == _MINE and verdict.reason.startswith(_NOT_SCANNED):
            return False
        if verdict.outcome is Outcome.REFUSE:
            holds.reject(node, verdict)
        else:
            self._settle(holds, node, version, verdict)
        self._judged[(version.id, definitions)] = None
        while len(self._judged) > _REMEMBERED:
            self._judged.popitem(last=False)
        return True

    def _settle(self, holds: Any, node: Node, version: Version, verdict: Verdict) -> None:
        """Puts our verdict in the place of our earlier one; what another rule said of the file stays."""
        others = [one for one in _verdicts(node) if one.policy != _MINE]
        verdicts = [verdict, *others]
        state = _STATES[max(verdicts, key=lambda one: one.severity).outcome]
        reason = reason_of(verdicts)
        if state is version.state and not (others and reason != version.reason):
            return
        if state is not VersionState.HELD or version.state is VersionState.HELD:
            holds.release(node, state, reason)


def _verdicts(node: Node) -> list[Verdict]:
    return verdicts_in(_OUTCOMES[node.version.state], node.version.reason) if node.version else []


@contextlib.contextmanager
def _seekable(stream: BinaryIO) -> Iterator[BinaryIO]:
    """The stream itself, or a copy on disk if it cannot go back."""
    if stream.seekable():
        yield stream
        return
    with tempfile.TemporaryFile() as copy:
        while block := stream.read(1024 * 1024):
            copy.write(block)
        copy.seek(0)
        yield cast(BinaryIO, copy)
