"""Streams an upload to clamd while it is received."""

from __future__ import annotations

from typing import Protocol

from gateway.domain.errors import Infected
from gateway.domain.upload import CLEAN, Outcome, Verdict
from plugins._clamd import Answer, ScannerDown, ScannerFault, ScannerSlow, Stream, StreamTooLong
from plugins._scanner import Scanner


class Judge(Protocol):
    """What answers, limits and faults mean: ``VirusScan``."""

    def verdict_of(self, answer: Answer) -> Verdict: ...
    def too_large(self) -> Verdict: ...
    def too_long_for_clamd(self) -> Verdict: ...
    def fault_verdict(self, fault: ScannerFault) -> Verdict: ...


class StreamInspector:
    """Memory: nothing but the block at hand. Above ``max_size`` clamd judges the beginning, and the rest is beyond it.

    When no line is free, or the line is cut (clamd restarts, or gave up a slow client), the verdict is left open:
    ``finish`` returns a clean one *without* policy, and the staged file is scanned as a whole.
    """

    def __init__(self, scanner: Scanner, max_size: int, judge: Judge) -> None:
        self._scanner = scanner
        self._left = max_size
        self._judge = judge
        self._stream: Stream | None = None
        self._verdict: Verdict | None = None
        self._started = self._given_up = False

    def feed(self, block: bytes) -> None:
        """Sends a block. Raises Infected as soon as the beginning of a large upload is known to be, and
        InspectorUnavailable on a fault when ``on_error`` is refuse."""
        if self._given_up or self._verdict is not None:
            return
        try:
            if not self._started:
                self._started = True
                self._stream = self._scanner.try_stream()
            if self._stream is None:
                self._given_up = True
                return
            self._stream.send(memoryview(block)[: self._left])
        except StreamTooLong:
            self._too_long()
        except ScannerFault as fault:
            self._failed(fault)
        else:
            self._left -= len(block)
            if self._left < 0:
                self._judge_beginning()

    def finish(self) -> Verdict:
        if self._stream is not None and self._verdict is None:
            self._verdict = self._answer()
        self.abort()
        return self._verdict or CLEAN

    def abort(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            self._scanner.ended(stream)

    def _answer(self) -> Verdict | None:
        """Ends the conversation. None when it failed in a way that allows another try."""
        stream = self._stream
        assert stream is not None
        try:
            answer = stream.finish()
        except StreamTooLong:
            self._too_long()
            return self._verdict
        except ScannerFault as fault:
            self._failed(fault)
            return self._verdict
        self._stream = None
        self._scanner.ended(stream, answered=True)
        return self._judge.verdict_of(answer)

    def _judge_beginning(self) -> None:
        verdict = self._answer()
        if verdict is None:
            return
        if verdict.outcome is Outcome.REFUSE and verdict.error == Infected.code:
            self._verdict = verdict
            raise Infected(verdict.reason, policy=verdict.policy, clause=verdict.clause)
        beyond = self._judge.too_large()
        self._verdict = verdict if verdict.severity > beyond.severity else beyond

    def _too_long(self) -> None:
        self.abort()
        self._verdict = self._judge.too_long_for_clamd()

    def _failed(self, fault: ScannerFault) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            self._scanner.ended(stream, fault)
        if isinstance(fault, ScannerSlow | ScannerDown):
            self._verdict = self._judge.fault_verdict(fault)
        else:
            self._given_up = True
