"""Inspectors under guard, and verdicts for inspections that failed."""

from __future__ import annotations

from gateway.domain.errors import InspectorUnavailable
from gateway.domain.upload import CLEAN, Outcome, Verdict
from gateway.hooks import Inspector
from gateway.pluginhost.plugin import Plugin, PluginFault
from gateway.pluginhost.workers import DeadlineMissed

HOOK = "open_inspector"


def fault_verdict(plugin: Plugin, fault: PluginFault) -> Verdict:
    """What a fault means under the plugin's ``on_error``: never clean (RULES D-71)."""
    outcome = {"hold": Outcome.HOLD, "mark": Outcome.MARK}.get(plugin.context.on_error, Outcome.REFUSE)
    if outcome is Outcome.MARK and not plugin.context.demo:
        outcome = Outcome.REFUSE
    return Verdict(outcome, policy=plugin.name, reason=fault.reason, error=InspectorUnavailable.code)


def unavailable(plugin: Plugin, fault: PluginFault) -> InspectorUnavailable:
    """The error that refuses because of a fault."""
    return InspectorUnavailable(fault.reason, policy=plugin.name, retry_after=fault.retry_after or 10)


def checked_verdict(plugin: Plugin, hook: str, answer: object) -> Verdict:
    """The answer of a content hook; PluginFault when it is no verdict."""
    if answer is None:
        return CLEAN
    if isinstance(answer, Verdict):
        return answer
    error = TypeError(f"{hook} returned {type(answer).__name__} instead of a Verdict")
    plugin.fault(hook, error)
    raise PluginFault(plugin.name) from error


class GuardedInspector:
    """An inspector that raises domain errors only. After a fault it is not used again; ``finish`` gives the verdict
    of the plugin's ``on_error`` then, and with ``refuse`` the upload stops at once."""

    def __init__(self, plugin: Plugin, inspector: Inspector | None, fault: PluginFault | None = None) -> None:
        self._plugin = plugin
        self._inspector = inspector
        self._fault = fault

    def feed(self, block: bytes) -> None:
        inspector = self._inspector
        if inspector is None:
            return
        try:
            self._plugin.guarded("feed", lambda: inspector.feed(block), inspector.abort)
        except PluginFault as fault:
            self._give_up(fault)
            if fault_verdict(self._plugin, fault).outcome is Outcome.REFUSE:
                raise unavailable(self._plugin, fault) from fault

    def finish(self) -> Verdict:
        inspector, self._inspector = self._inspector, None
        if inspector is not None:
            try:
                answer = self._plugin.guarded("finish", inspector.finish, inspector.abort)
                return checked_verdict(self._plugin, "finish", answer)
            except PluginFault as fault:
                self._fault = fault
        assert self._fault is not None, "finish was called twice"
        return fault_verdict(self._plugin, self._fault)

    def abort(self) -> None:
        inspector, self._inspector = self._inspector, None
        if inspector is not None:
            self._abort(inspector)

    def _give_up(self, fault: PluginFault) -> None:
        inspector, self._inspector, self._fault = self._inspector, None, fault
        if inspector is not None and not isinstance(fault.__cause__, DeadlineMissed):
            self._abort(inspector)

    def _abort(self, inspector: Inspector) -> None:
        try:
            inspector.abort()
        except Exception as error:
            self._plugin.fault("abort", error)
