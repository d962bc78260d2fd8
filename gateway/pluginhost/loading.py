"""From the names in gateway.yaml to plugin objects whose every hook is one that exists."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

import pluggy

from gateway.hooks import PROJECT, PluginContext, Specs
from gateway.pluginhost.host import CONTENT_HOOKS, VETO_HOOKS, PluginHost
from gateway.pluginhost.plugin import Plugin, PluginError

GROUP = "kurado.plugins"
OWN_DISTRIBUTION = "kurado"
FOREIGN_TIMEOUT = 20.0
"""Seconds that a hook of another distribution has when gateway.yaml says nothing (DESIGN section 10)."""

HOOKS = tuple(sorted(name for name in vars(Specs) if not name.startswith("_")))
_PREFIXES = ("check_", "on_", "register_", "open_", "describe_", "quota_")


class PluginChoice(Protocol):
    """One entry of ``plugins`` in gateway.yaml."""

    @property
    def name(self) -> str: ...
    @property
    def on_error(self) -> str: ...
    @property
    def timeout(self) -> float | None: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...


def load(
    choices: Sequence[PluginChoice],
    make_context: Callable[[Any], PluginContext],
    *,
    found: Iterable[EntryPoint] | None = None,
) -> PluginHost:
    """Makes the chosen plugins in their order. ``make_context`` gets the choice.

    Raises PluginError naming the plugin and what is wrong with it: an unknown or repeated name, a factory that fails,
    a misspelt hook, a hook argument that the spec does not have, an ``on_error`` that its hooks do not allow.
    """
    known = {point.name: point for point in (entry_points(group=GROUP) if found is None else found)}
    plugins: list[Plugin] = []
    for choice in choices:
        if any(plugin.name == choice.name for plugin in plugins):
            raise PluginError(choice.name, "is listed twice")
        point = known.get(choice.name)
        if point is None:
            raise PluginError(choice.name, f"no installed distribution has it{_nearest(choice.name, known)}")
        context = make_context(choice)
        if context.timeout is None and _is_foreign(point):
            context = replace(context, timeout=FOREIGN_TIMEOUT)
        plugin = Plugin(choice.name, _create(point, context), context)
        _register(plugin)
        _check_on_error(plugin)
        plugins.append(plugin)
    return PluginHost(plugins)


def _is_foreign(point: EntryPoint) -> bool:
    return point.dist is None or point.dist.name.lower() != OWN_DISTRIBUTION


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; installed are {', '.join(names)}" if names else ""


def _create(point: EntryPoint, context: PluginContext) -> object:
    try:
        plugin: object = point.load()(context)
    except ValueError as error:
        raise PluginError(point.name, f"settings: {error}") from error
    except Exception as error:
        raise PluginError(point.name, f"cannot be made: {type(error).__name__}: {error}") from error
    if plugin is None:
        raise PluginError(point.name, f"{point.value} returned no plugin object")
    return plugin


def _register(plugin: Plugin) -> None:
    """Each plugin has a manager of its own: their order is ours, and a plugin need not be hashable."""
    implemented = _check_members(plugin)
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Specs)
    try:
        manager.register(plugin.impl, plugin.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(plugin.name, " ".join(str(error).split())) from error
    plugin.hooks = frozenset(implemented)
    plugin.callers = {hook: _only(getattr(manager.hook, hook)) for hook in implemented}


def _only(caller: pluggy.HookCaller) -> Callable[..., Any]:
    """The single answer of a hook that one plugin has: None where pluggy, which leaves None out, gives no answer.

    A function that pluggy would only call is called here: every request passes several hooks.
    """
    implementations = caller.get_hookimpls()
    if len(implementations) == 1 and _is_plain(implementations[0]):
        function, names = implementations[0].function, implementations[0].argnames
        return lambda **arguments: function(*[arguments[name] for name in names])

    def call(**arguments: Any) -> Any:
        answers = caller(**arguments)
        return answers[0] if answers else None

    return call


def _is_plain(implementation: pluggy.HookImpl) -> bool:
    """Whether it neither wraps others nor has defaults that pluggy would fill in."""
    return not (implementation.wrapper or implementation.hookwrapper or implementation.kwargnames)


def _check_members(plugin: Plugin) -> set[str]:
    """The hooks that the plugin implements; refuses whatever looks like one and would never be called."""
    implemented = set()
    for name in dir(plugin.impl):
        if name.startswith("__"):
            continue
        member = getattr(plugin.impl, name, None)
        if not inspect.isroutine(member):
            continue
        options = getattr(member, PROJECT + "_impl", None)
        if options is not None:
            hook = (options.get("specname") if isinstance(options, dict) else None) or name
            if hook not in HOOKS:
                raise PluginError(plugin.name, f"there is no hook {hook!r}{_nearest(hook, HOOKS)}")
            implemented.add(hook)
        elif name in HOOKS:
            raise PluginError(plugin.name, f"{name} is not marked with @hookimpl and would never be called")
        elif name.startswith(_PREFIXES) and difflib.get_close_matches(name, HOOKS, 1, 0.8):
            raise PluginError(
                plugin.name,
                f"{name} looks like a hook and is none{_nearest(name, HOOKS)}"
                " (begin the names of helper functions with an underscore)",
            )
    return implemented


def _check_on_error(plugin: Plugin) -> None:
    """Content plugins fail closed: what was not inspected is refused or held (RULES D-71), marked in demos only."""
    allowed: tuple[str, ...] = ("refuse", "allow")
    if plugin.hooks & CONTENT_HOOKS:
        allowed = ("refuse", "hold", "mark") if plugin.context.demo else ("refuse", "hold")
    elif not plugin.hooks & VETO_HOOKS:
        return
    if plugin.context.on_error not in allowed:
        why = " (mark needs demo: true)" if plugin.context.on_error == "mark" else ""
        raise PluginError(plugin.name, f"on_error: {plugin.context.on_error!r} is not one of {', '.join(allowed)}{why}")
