"""One loaded plugin, and what becomes of its faults (invariant I5: no plugin failure is silent)."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn, TypeVar

from gateway.domain.errors import BackendUnavailable, InspectorUnavailable, KuradoError, Unavailable
from gateway.hooks import PluginContext
from gateway.pluginhost.workers import Workers

T = TypeVar("T")
FAULT = "plugin-fault"
_REPEAT_SECONDS = 60.0

log = logging.getLogger("kurado.plugins")


class PluginError(Exception):
    """A plugin that cannot be used; the daemon does not start with it."""

    def __init__(self, plugin: str, reason: str) -> None:
        super().__init__(f"plugin {plugin!r}: {reason}")
        self.plugin = plugin
        self.reason = reason


class PluginFault(Exception):
    """A hook raised something that is no refusal, missed its deadline or returned nonsense. ``reason`` is for clients:
    it names the plugin and nothing of its insides."""

    def __init__(self, plugin: str, retry_after: int | None = None) -> None:
        super().__init__(plugin)
        self.reason = f"the inspection {plugin!r} is not available"
        self.retry_after = retry_after


def is_fault(error: BaseException) -> bool:
    """Domain errors are refusals and pass; those that say "what I depend on is down" are faults of the plugin."""
    if not isinstance(error, KuradoError):
        return True
    return isinstance(error, InspectorUnavailable | BackendUnavailable) or type(error) is Unavailable


@dataclass(eq=False)
class Plugin:
    """``hooks`` are those that ``impl`` implements, ``callers`` one function for each that calls only this plugin."""

    name: str
    impl: object
    context: PluginContext
    hooks: frozenset[str] = frozenset()
    callers: dict[str, Callable[..., Any]] = field(default_factory=dict)
    _workers: Workers | None = None
    _reported: dict[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # a plugin with ``keeps_deadlines`` has its own (for each step of a conversation), which see progress
        if self.context.timeout and not getattr(self.impl, "keeps_deadlines", False):
            self._workers = Workers(self.name)

    @property
    def has_deadline(self) -> bool:
        """Whether its hooks are called in a thread of their own, which is waited for."""
        return self._workers is not None

    def call(self, hook: str, **arguments: Any) -> Any:
        """Calls one hook of this plugin. Refusals (domain errors) pass; whatever else is wrong raises PluginFault."""
        if self._workers is not None or self._reported.get(hook, 0.0) is not None:
            return self.guarded(hook, partial(self.callers[hook], **arguments))
        try:
            return self.callers[hook](**arguments)  # of a plugin in good health, and every request has several hooks
        except (Exception, SystemExit) as error:
            self._raise(hook, error)

    def guarded(self, hook: str, work: Callable[[], T], on_late: Callable[[], object] | None = None) -> T:
        """Runs ``work`` of this plugin within its deadline, as :meth:`call` does."""
        try:
            if self._workers is not None and self.context.timeout:
                result = self._workers.call(work, self.context.timeout, on_late)
            else:
                result = work()
        except (Exception, SystemExit) as error:
            self._raise(hook, error)
        self._healthy(hook)
        return result

    def _raise(self, hook: str, error: Exception | SystemExit) -> NoReturn:
        """A refusal as it is, a fault as PluginFault."""
        if is_fault(error):
            self.fault(hook, error)
            raise PluginFault(self.name, getattr(error, "retry_after", None)) from error
        self._healthy(hook)
        assert isinstance(error, KuradoError)
        error.policy = error.policy or self.name
        raise error

    def fault(self, hook: str, error: BaseException) -> None:
        """Logs a fault and raises an operator alarm; repeated ones at most once a minute."""
        now = time.monotonic()
        last = self._reported.get(hook)
        if last is not None and now - last < _REPEAT_SECONDS:
            return
        self._reported[hook] = now
        message = f"{type(error).__name__}: {error}"
        trace = None if isinstance(error, KuradoError) else error
        log.error("plugin failed", extra={"plugin": self.name, "hook": hook, "error": message}, exc_info=trace)
        self._alarm(hook, f"{hook} of plugin {self.name} failed ({self.context.on_error}): {message}")

    def _healthy(self, hook: str) -> None:
        if self._reported.get(hook, 0.0) is not None:  # the first success also ends an alarm of an earlier process
            self._reported[hook] = None
            self._alarm(hook, None)

    def _alarm(self, hook: str, message: str | None) -> None:
        with contextlib.suppress(KuradoError):
            self.context.alarm(FAULT, f"{self.name}.{hook}", message)
