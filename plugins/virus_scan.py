"""virus_scan: every byte is streamed to a clamd while it arrives, and nothing is clean without an explicit answer.

clamd's OK is not proof (DESIGN section 7): above its limits it looks at less than it was given. Size, depth and
expanded size are therefore judged here as well, and what is beyond them is *unscannable* whatever clamd says. A
scanner that is down, slow, cut or stale closes registration (RULES SLA-SC-01, D-71) by this plugin's ``on_error``.

Settings: see :class:`~plugins._scan_settings.ScanSettings`. Sizes must not be above clamd's own StreamMaxLength,
MaxFileSize and MaxScanSize; ``kurado doctor`` and the steward prove it by sending EICAR as the last member of an
archive of just that size.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from typing import BinaryIO

from gateway.domain.errors import Infected, InspectorUnavailable, KuradoError, Unscannable
from gateway.domain.upload import CLEAN, Outcome, StagedContent, UploadInfo, Verdict
from gateway.hooks import HealthFact, Inspector, Job, PluginContext, hookimpl
from plugins._archives import examine_once
from plugins._clamd import Answer, Deadlines, ScannerFault, StreamTooLong, parse_version
from plugins._rescans import Rescans
from plugins._scan_inspector import StreamInspector
from plugins._scan_proof import EICAR, ScannerProof
from plugins._scan_settings import NAME, ScanSettings, read_settings
from plugins._scanner import Scanner

CLAUSE = "SLA-SC-01"
NOT_SCANNED = "not scanned"
_WATCH_EVERY = 15.0
_ALARM_EVERY = 60.0
# a health check has five seconds
_BRIEF = Deadlines(connect=2.0, silence=2.5, scan=2.5)

log = logging.getLogger("kurado.virus_scan")


def create(context: PluginContext) -> VirusScan:
    """The entry point. ValueError for bad settings."""
    return VirusScan(context, read_settings(context))


class VirusScan:
    keeps_deadlines = True
    """Each step of a conversation has its own deadline; one for the whole would end scans that make progress."""

    def __init__(self, context: PluginContext, settings: ScanSettings) -> None:
        self.context = context
        self.settings = settings
        self.scanner = Scanner(settings.endpoint, settings.deadlines, settings.lines, self._state_changed)
        self._alarmed_at = float("-inf")
        self._proof = ScannerProof(self.scanner, settings.limits, settings.prove_every)
        self._rescans = Rescans(lambda: context.services.holds, self.judge_file)

    # -- before the body ----------------------------------------------------------------------------------------------

    @hookimpl
    def check_upload(self, upload: UploadInfo) -> None:
        """A fast refusal while the scanner is known to be down or stale, and for what is declared too large."""
        length = upload.declared.known_length
        if length == 0:
            return  # nothing to scan: clients create a file empty before they fill it
        if self.context.on_error == Outcome.REFUSE:
            try:
                self.scanner.breaker.check()
                self.scanner.version()
            except ScannerFault as fault:
                self.fault_verdict(fault)
        if self.settings.stale == "refuse" and self._is_stale():
            raise InspectorUnavailable("the virus definitions are out of date", retry_after=600, policy=NAME)
        if length is not None and length > self.settings.max_size and self.settings.too_large is Outcome.REFUSE:
            raise Unscannable(self._too_large_reason(), policy=NAME, clause=CLAUSE)

    # -- while it arrives ---------------------------------------------------------------------------------------------

    @hookimpl
    def open_inspector(self, upload: UploadInfo) -> Inspector | None:
        """Streams to clamd, unless there is nothing to scan or clamd has judged just this content before."""
        if upload.declared.known_length == 0:
            return None
        declared = upload.declared.digests.get("sha-256", "").lower()
        # only a hint: check_content looks again with the digest of what really came
        if declared and self._remembered(declared) is not None:
            return None
        return StreamInspector(self.scanner, self.settings.max_size, self)

    # -- all bytes are here -------------------------------------------------------------------------------------------

    @hookimpl
    def check_content(self, upload: UploadInfo, staged: StagedContent) -> Verdict | None:  # noqa: ARG002
        """The verdict on all bytes: clamd's, by stream or from the staged file, and that of our own limits."""
        if staged.size == 0:
            return None
        streamed = [one for one in staged.verdicts if one.policy == NAME]
        with staged.open() as file:
            if not streamed:
                return self.judge_file(file, staged.size, staged.sha256)
            if streamed == [self.clean()]:
                self._remember(staged.sha256, Answer(None))
            return self._with_limits(max(streamed, key=lambda one: one.severity), file)

    def judge_file(self, file: BinaryIO, size: int, sha256: str) -> Verdict:
        """Judges a whole file. On a fault: InspectorUnavailable, or the verdict that ``on_error`` asks for."""
        if size == 0:
            return CLEAN
        try:
            return self._with_limits(self._scan_file(file, size, sha256), file)
        except ScannerFault as fault:
            return self.fault_verdict(fault)

    def _scan_file(self, file: BinaryIO, size: int, sha256: str) -> Verdict:
        answer = self._remembered(sha256)
        if answer is None:
            definitions = self.scanner.version().text
            file.seek(0)
            try:
                answer = self.scanner.scan(file, self.settings.max_size)
            except StreamTooLong:
                return self.too_long_for_clamd()
            if size <= self.settings.max_size:
                self.scanner.memory.put(sha256, definitions, answer)
        verdict = self.verdict_of(answer)
        return verdict if size <= self.settings.max_size else worse(verdict, self.too_large())

    def _with_limits(self, verdict: Verdict, file: BinaryIO) -> Verdict:
        """The graver of a verdict and of what our own look into the content says."""
        if verdict.outcome is Outcome.REFUSE:
            return verdict
        if self.settings.stale == "hold" and self._is_stale():
            reason = f"{NOT_SCANNED}: the virus definitions are out of date"
            verdict = worse(verdict, Verdict(Outcome.HOLD, NAME, CLAUSE, reason, "inspector-unavailable"))
        found = examine_once(file, self.settings.limits)
        if found.exceeded == "bomb":
            verdict = worse(verdict, self._unscannable(self.settings.bomb, f"an archive bomb: {found.why}"))
        elif found.exceeded:
            verdict = worse(
                verdict, self._unscannable(self.settings.too_large, f"too large to be scanned: {found.why}")
            )
        elif found.broken:
            verdict = worse(verdict, self._unscannable(self.settings.too_large, "an archive that cannot be read whole"))
        if found.encrypted:
            verdict = worse(verdict, self._encrypted())
        return verdict

    # -- verdicts -----------------------------------------------------------------------------------------------------

    def verdict_of(self, answer: Answer) -> Verdict:
        """What clamd's answer means. Its heuristics on limits and encryption are no infections."""
        name = answer.signature
        if name is None:
            return self.clean()
        if name.startswith("Heuristics.Limits.Exceeded"):
            return self._unscannable(self.settings.too_large, f"beyond the scanner's limits ({name})")
        if name.startswith("Heuristics.Encrypted"):
            return self._encrypted()
        return Verdict(Outcome.REFUSE, NAME, CLAUSE, f"the virus scanner found {name}", Infected.code)

    @staticmethod
    def clean() -> Verdict:
        """clamd said OK to the whole content. The policy tells it from a content that was not looked at."""
        return Verdict(Outcome.CLEAN, NAME, CLAUSE)

    def too_large(self) -> Verdict:
        return self._unscannable(self.settings.too_large, self._too_large_reason())

    def too_long_for_clamd(self) -> Verdict:
        """Our limit is above clamd's: the operator must know, the content is judged as too large."""
        self._alarm("scanner-limits", "max_size of virus_scan is above clamd's StreamMaxLength")
        return self.too_large()

    def fault_verdict(self, fault: ScannerFault) -> Verdict:
        """``on_error`` for a fault: raises InspectorUnavailable, or holds or (demo only) marks. Never clean."""
        log.warning("the virus scanner failed: %s", fault)
        if time.monotonic() - self._alarmed_at > _ALARM_EVERY:
            self._alarmed_at = time.monotonic()
            self._alarm("scanner-down", f"the virus scanner failed ({self.context.on_error}): {fault}")
        if self.context.on_error == Outcome.REFUSE:
            message = "the virus scanner is not available; nothing was stored"
            raise InspectorUnavailable(message, retry_after=10, policy=NAME) from None
        reason = f"{NOT_SCANNED}: the virus scanner is not available"
        return Verdict(Outcome(self.context.on_error), NAME, CLAUSE, reason, InspectorUnavailable.code)

    def _encrypted(self) -> Verdict:
        return self._unscannable(self.settings.encrypted, "encrypted content cannot be scanned")

    @staticmethod
    def _unscannable(outcome: Outcome, reason: str) -> Verdict:
        return Verdict(outcome, NAME, CLAUSE, f"unscannable: {reason}", Unscannable.code)

    def _too_large_reason(self) -> str:
        return f"only {self.settings.max_size} bytes can be scanned"

    # -- memory and definitions ---------------------------------------------------------------------------------------

    def _remembered(self, sha256: str) -> Answer | None:
        try:
            return self.scanner.memory.get(sha256, self.scanner.version().text) if sha256 else None
        except ScannerFault:
            return None

    def _remember(self, sha256: str, answer: Answer) -> None:
        with contextlib.suppress(ScannerFault):
            self.scanner.memory.put(sha256, self.scanner.version().text, answer)

    def definitions_age(self, max_age: float = 60.0) -> float | None:
        """Age of clamd's definitions in seconds, None when clamd does not say. ScannerFault when it is not heard."""
        defined_at = parse_version(self.scanner.version(max_age).text).defined_at
        return None if defined_at is None else max(0.0, (self.context.clock() - defined_at) / 1000)

    def _is_stale(self) -> bool:
        try:
            age = self.definitions_age()
        except ScannerFault:
            return False  # a fault, and treated as one where the content is judged
        return age is not None and age > self.max_age()

    def max_age(self) -> float:
        """The greatest proper age of the definitions in seconds."""
        if self.settings.definition_max_age is not None:
            return self.settings.definition_max_age
        return float(self.context.services.policies.values().av_definition_max_age_hours * 3600)

    # -- operation ----------------------------------------------------------------------------------------------------

    def _state_changed(self, reason: str | None) -> None:
        log.warning("the virus scanner is down: %s", reason) if reason else log.warning("the virus scanner works again")
        self._alarm("scanner-down", reason and f"the virus scanner does not answer: {reason}")

    def _alarm(self, kind: str, message: str | None) -> None:
        with contextlib.suppress(KuradoError):  # an alarm that cannot be stored must not decide about a file
            self.context.alarm(kind, NAME, message)

    def watch(self) -> None:
        """Raises and clears the alarms: scanner down, definitions old."""
        problem = self._problem(self.settings.deadlines)
        self._alarm("scanner-down", problem)
        if problem:
            return
        with contextlib.suppress(ScannerFault):
            age = self.definitions_age(0.0)
            old = age is not None and age > self.max_age()
            self._alarm("definitions-old", f"the virus definitions are {_hours(age)} old" if old else None)

    def _problem(self, deadlines: Deadlines) -> str | None:
        """Asks clamd for the test virus: one that answers PING and finds nothing is of no use either."""
        try:
            return (
                None if self.scanner.finds(EICAR, deadlines) else "the virus scanner does not find the EICAR test virus"
            )
        except (ScannerFault, StreamTooLong) as fault:
            return f"the virus scanner does not answer: {fault}"

    def prove(self) -> None:
        """Sends EICAR where a scanner with lower limits than ours would overlook it."""
        problem = self._proof.run()
        self._alarm("scanner-limits", problem)

    @hookimpl
    def register_jobs(self) -> Iterable[Job]:
        return [
            Job("virus_scan.watch", _WATCH_EVERY, self.watch),
            Job("virus_scan.rescan", self.settings.rescan_every, self._rescan),
            Job("virus_scan.prove", self.settings.prove_every, self.prove),
        ]

    def _rescan(self) -> None:
        try:
            definitions = self.scanner.version().text
        except ScannerFault:
            return  # nothing can be judged now
        self._rescans.run(definitions)

    @hookimpl
    def register_health(self) -> Iterable[Callable[[], HealthFact]]:
        return [self.reachable_fact, self.definitions_fact, self._proof.fact]

    def reachable_fact(self) -> HealthFact:
        name = "virus_scanner_reachable"
        problem = self._problem(_BRIEF)
        return HealthFact(name, "error", problem, 0.0) if problem else HealthFact(name, "ok", "clamd answers", 1.0)

    def definitions_fact(self) -> HealthFact:
        name = "virus_definitions_age_seconds"
        try:
            age = self.definitions_age()
        except ScannerFault as fault:
            return HealthFact(name, "error", f"unknown, clamd does not answer: {fault}")
        if age is None:
            return HealthFact(name, "warning", "clamd does not say how old its definitions are (no daily database)")
        limit = self.max_age()
        level = "error" if age > limit else "ok"
        return HealthFact(name, level, f"definitions are {_hours(age)} old, at most {_hours(limit)} allowed", age)


def worse(one: Verdict, other: Verdict) -> Verdict:
    """The graver of two verdicts, the first of equals."""
    return other if other.severity > one.severity else one


def _hours(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds / 3600:.1f} h"
