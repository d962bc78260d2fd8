"""The plugins of one process behind plain calls; a hook that nobody implements costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from gateway.domain.events import Event
from gateway.domain.tenant import Limits, Tenant
from gateway.domain.upload import Outcome, StagedContent, UploadInfo, Verdict
from gateway.hooks import Exporter, HealthFact, Inspector, Job, PolicyKind, TrafficSample, UsageLedger
from gateway.pluginhost.inspecting import GuardedInspector, checked_verdict, fault_verdict, unavailable
from gateway.pluginhost.plugin import Plugin, PluginError, PluginFault

if TYPE_CHECKING:
    import click

T = TypeVar("T")
CONTENT_HOOKS = frozenset({"open_inspector", "check_content"})
VETO_HOOKS = frozenset({"check_request", "quota_limit", "check_upload", "check_change", "check_download"})
UPLOAD_HOOKS = CONTENT_HOOKS | {"quota_limit", "check_upload", "check_change", "describe_content"}
Facts = Callable[[UploadInfo, BinaryIO], Mapping[str, Any]]


@dataclass(frozen=True)
class Subscriber:
    """A plugin that handles events. ``deliver`` raises what the plugin raises; retrying is the outbox's."""

    name: str
    in_transaction: bool
    deliver: Callable[[Event, UsageLedger | None], None]


@dataclass(frozen=True)
class HealthCheck:
    """One check of a plugin; called, it answers and never raises."""

    plugin: str
    run: Callable[[], HealthFact]

    def __call__(self) -> HealthFact:
        try:
            return self.run()
        except Exception as error:
            return HealthFact(self.plugin, "error", f"its health check failed: {type(error).__name__}: {error}")


class PluginHost:
    """Made by :func:`gateway.pluginhost.load`; plugins are called in the order of gateway.yaml."""

    def __init__(self, plugins: Sequence[Plugin]) -> None:
        self.plugins = tuple(plugins)
        self._by_hook: dict[str, tuple[Plugin, ...]] = {}
        for plugin in self.plugins:
            for hook in plugin.hooks:
                self._by_hook[hook] = (*self._by_hook.get(hook, ()), plugin)
        self._of_uploads = [plugin for plugin in self.plugins if plugin.hooks & UPLOAD_HOOKS]
        self._waiting = {
            hook
            for hook, users in self._by_hook.items()
            if not all(getattr(plugin.impl, "answers_at_once", False) for plugin in users)
        }

    def implements(self, hook: str) -> bool:
        """Whether any plugin has this hook."""
        return hook in self._by_hook

    def answers_at_once(self, hook: str) -> bool:
        """Whether all plugins with this hook say (``answers_at_once = True``) that they wait for nothing but, now and
        then, one short read of the database: then an event loop may ask them itself."""
        return hook not in self._waiting

    def inspects_at_once(self, content: bytes) -> bool:
        """Whether all plugins with a say in an upload answer at once for a small one of these bytes: because they
        always do (``answers_at_once = True``), or because their ``inspects_at_once(content)`` says so."""
        return all(_inspects_at_once(plugin, content) for plugin in self._of_uploads)

    def close(self) -> None:
        """Closes the plugins that have a ``close``, last one first."""
        for plugin in reversed(self.plugins):
            close = getattr(plugin.impl, "close", None)
            if callable(close):
                close()

    # -- before the commit --------------------------------------------------------------------------------------------

    def check(self, hook: str, **arguments: Any) -> None:
        """Asks check_request, check_upload, check_change or check_download; the first refusal is raised.

        A plugin that fails refuses with InspectorUnavailable, unless its ``on_error`` is allow (or mark, in a demo).
        """
        for plugin in self._by_hook.get(hook, ()):
            try:
                plugin.call(hook, **arguments)
            except PluginFault as fault:
                self._pass_or_refuse(plugin, fault)

    def _pass_or_refuse(self, plugin: Plugin, fault: PluginFault) -> None:
        tolerant = plugin.context.on_error
        if tolerant != "allow" and not (tolerant == "mark" and plugin.context.demo):
            raise unavailable(plugin, fault) from fault

    def limits(self, tenant: Tenant) -> Limits:
        """The smallest limits that any plugin sets for this tenant."""
        sizes: list[int] = []
        counts: list[int] = []
        for plugin in self._by_hook.get("quota_limit", ()):
            try:
                answer = plugin.call("quota_limit", tenant=tenant)
            except PluginFault as fault:
                self._pass_or_refuse(plugin, fault)
                continue
            if answer is None:
                continue
            if answer.bytes is not None:
                sizes.append(answer.bytes)
            if answer.files is not None:
                counts.append(answer.files)
        return Limits(min(sizes, default=None), min(counts, default=None))

    def open_inspectors(self, info: UploadInfo) -> list[Inspector]:
        """The streaming inspectors of one upload. They raise domain errors only."""
        opened: list[Inspector] = []
        try:
            for plugin in self._by_hook.get("open_inspector", ()):
                one = self._open_inspector(plugin, info)
                if one is not None:
                    opened.append(one)
        except BaseException:
            for one in opened:
                one.abort()
            raise
        return opened

    def _open_inspector(self, plugin: Plugin, info: UploadInfo) -> Inspector | None:
        opened: list[Inspector | None] = []

        def open_one() -> Inspector | None:
            opened.append(plugin.callers["open_inspector"](upload=info))
            return opened[0]

        def abort_late() -> None:
            if opened and opened[0] is not None:
                opened[0].abort()

        try:
            inspector = plugin.guarded("open_inspector", open_one, abort_late)
        except PluginFault as fault:
            if fault_verdict(plugin, fault).outcome is Outcome.REFUSE:
                raise unavailable(plugin, fault) from fault
            return GuardedInspector(plugin, None, fault)
        return None if inspector is None else GuardedInspector(plugin, inspector)

    def content_verdicts(self, info: UploadInfo, staged: StagedContent) -> list[Verdict]:
        """What every check_content says of the staged bytes, up to the first that refuses."""
        verdicts = []
        for plugin in self._by_hook.get("check_content", ()):
            try:
                answer = plugin.call("check_content", upload=info, staged=staged)
                verdicts.append(checked_verdict(plugin, "check_content", answer))
            except PluginFault as fault:
                verdicts.append(fault_verdict(plugin, fault))
            if verdicts[-1].outcome is Outcome.REFUSE:
                break
        return verdicts

    def describe(self, info: UploadInfo, staged: StagedContent) -> dict[str, str]:
        """The facts of all describe_content hooks; one that fails is alarmed and adds nothing."""
        facts: dict[str, str] = {}
        for plugin in self._by_hook.get("describe_content", ()):
            try:
                answer = plugin.call("describe_content", upload=info, staged=staged) or {}
                facts.update({str(key): str(value) for key, value in answer.items()})
            except PluginFault:
                continue
            except Exception as error:
                plugin.fault("describe_content", error)
        return facts

    # -- after the commit ---------------------------------------------------------------------------------------------

    def subscribers(self) -> list[Subscriber]:
        """One for each plugin that has on_event."""
        return [_subscriber(plugin) for plugin in self._by_hook.get("on_event", ())]

    def traffic(self, samples: Sequence[TrafficSample], ledger: UsageLedger) -> None:
        """Books samples with every plugin; raises what they raise, and the caller keeps the samples."""
        for plugin in self._by_hook.get("on_traffic", ()):
            plugin.callers["on_traffic"](samples=samples, ledger=ledger)

    # -- at start -----------------------------------------------------------------------------------------------------

    def jobs(self) -> list[Job]:
        """The jobs of all plugins. A name that two of them use raises PluginError, here and below."""
        found = self._registered("register_jobs", list, lambda job: job.name)
        return list(found.values())

    def health_checks(self) -> list[HealthCheck]:
        """Health checks that do not raise: one that fails answers with level error."""
        checks: list[HealthCheck] = []
        for plugin in self._by_hook.get("register_health", ()):
            checks += [HealthCheck(plugin.name, one) for one in self._answer(plugin, "register_health", list)]
        return checks

    def policy_kinds(self) -> dict[str, PolicyKind]:
        """Kinds of policy documents by name."""
        return self._registered("register_policies", list, lambda kind: kind.name)

    def exporters(self) -> dict[str, Exporter]:
        """Billing export formats by name."""
        return self._registered("register_exporters", list, lambda exporter: exporter.format)

    def facts(self) -> dict[str, Facts]:
        """Providers of inspection facts by root name."""
        pairs: dict[str, tuple[str, Facts]] = self._registered(
            "register_inspection_facts", lambda answer: list(answer.items()), lambda pair: pair[0]
        )
        return {root: provider for root, (_, provider) in pairs.items()}

    def add_commands(self, cli: click.Group) -> None:
        """Lets every plugin add its commands."""
        for plugin in self._by_hook.get("register_commands", ()):
            self._answer(plugin, "register_commands", list, cli=cli)

    def _registered(
        self, hook: str, items: Callable[[Any], Iterable[Any]], name: Callable[[Any], str]
    ) -> dict[str, Any]:
        found: dict[str, Any] = {}
        owners: dict[str, str] = {}
        for plugin in self._by_hook.get(hook, ()):
            for item in self._answer(plugin, hook, items):
                key = name(item)
                if key in found:
                    raise PluginError(plugin.name, f"{hook}: {key!r} is taken by plugin {owners[key]!r}")
                found[key], owners[key] = item, plugin.name
        return found

    def _answer(self, plugin: Plugin, hook: str, items: Callable[[Any], Iterable[T]], **arguments: Any) -> Iterable[T]:
        try:
            answer = plugin.callers[hook](**arguments)
            return [] if answer is None else list(items(answer))
        except PluginError:
            raise
        except Exception as error:
            raise PluginError(plugin.name, f"{hook} failed: {type(error).__name__}: {error}") from error


def _inspects_at_once(plugin: Plugin, content: bytes) -> bool:
    if plugin.has_deadline:
        return False
    ask = getattr(plugin.impl, "inspects_at_once", None)
    return bool(ask(content)) if ask else getattr(plugin.impl, "answers_at_once", False)


def _subscriber(plugin: Plugin) -> Subscriber:
    def deliver(event: Event, ledger: UsageLedger | None) -> None:
        plugin.callers["on_event"](event=event, ledger=ledger)

    return Subscriber(plugin.name, bool(getattr(plugin.impl, "in_transaction", False)), deliver)
