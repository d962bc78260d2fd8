"""Environment variables laid over the loaded gateway.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.domain.fields import FieldError
from gateway.yamlfile import YamlError, load_yaml

PREFIX = "KURADO_"
_OURS = ("KURADO_CONFIG", "KURADO_CHILD_", "KURADO_TEST_")


def overlay(document: dict[str, Any], environ: Mapping[str, str], leaves: Iterable[tuple[str, ...]]) -> dict[str, str]:
    """Puts the variables into ``document``; returns variable → key path, for error messages.

    FieldError for a variable that begins like a key of ours and is none. Others are ignored: a container platform puts
    ``KURADO_PORT`` and ``KURADO_SERVICE_HOST`` beside every service of that name.
    """
    by_name = {PREFIX + "_".join(path).upper(): path for path in leaves}
    sections = {path[0].upper() for path in by_name.values()}
    set_paths: dict[str, str] = {}
    for name, value in sorted(environ.items()):
        if not name.startswith(PREFIX) or name.startswith(_OURS):
            continue
        if name in by_name:
            set_paths[name] = _put(document, by_name[name], value)
        elif name == PREFIX + "STORAGE":
            document["storage"], set_paths[name] = value, "storage"
        elif name.startswith(PREFIX + "STORAGES_"):
            set_paths[name] = _put_storage(document, name.removeprefix(PREFIX + "STORAGES_"), value)
        elif name.startswith(PREFIX + "STORAGE_"):
            storage = _section(document, "storage")
            key = _key(storage, name.removeprefix(PREFIX + "STORAGE_"))
            set_paths[name] = _put(document, ("storage", *key), _scalar(value))
        elif name == PREFIX + "PLUGINS":
            document["plugins"] = _plugin_list(document.get("plugins"), value)
            set_paths[name] = "plugins"
        elif name.startswith(PREFIX + "PLUGINS_"):
            set_paths[name] = _put_plugin(document, name.removeprefix(PREFIX + "PLUGINS_"), value)
        elif any(name.startswith(f"{PREFIX}{section}_") for section in sections):
            raise FieldError(f"${name}", "names no key of the configuration", "remove the variable or correct its name")
    return set_paths


def _section(document: dict[str, Any], key: str) -> dict[str, Any]:
    """A mapping of ours to write into (a copy: the caller's document is replaced key by key)."""
    value = document.get(key)
    if value is None:
        value = document[key] = {}
    if not isinstance(value, dict):
        raise FieldError(key, "is no mapping", "write `key: value` lines")
    return value


def _put(document: dict[str, Any], path: tuple[str, ...], value: Any) -> str:
    for key in path[:-1]:
        document = _section(document, key)
    document[path[-1]] = value
    return ".".join(path)


def _key(settings: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The key path that a variable's end means, following mappings that are already there."""
    for key in sorted(settings, key=len, reverse=True):
        value = settings[key]
        if isinstance(value, Mapping) and name.startswith(_variable(key) + "_"):
            return (key, *_key(value, name[len(key) + 1 :]))
    return (name.lower(),)


def _variable(key: str) -> str:
    """How a key is called in a variable's name."""
    return key.upper().replace("-", "_")


def _scalar(value: str) -> Any:
    """Open settings have no type that we know: read as YAML, or as text where that is none (``[::1]:3310``)."""
    try:
        return load_yaml(value)
    except YamlError:
        return value


def _put_storage(document: dict[str, Any], end: str, value: str) -> str:
    storages = _section(document, "storages")
    path = _key(storages, end)
    if len(path) < 2:
        raise FieldError(f"${PREFIX}STORAGES_{end}", "names no storage", "describe the storage below `storages`")
    return _put(document, ("storages", *path), _scalar(value))


def _plugin_list(before: Any, value: str) -> list[Any]:
    """``quota,metering``: which plugins, in which order; settings in the file stay."""
    known = {_name(item): item for item in before} if isinstance(before, list) else {}
    names = [name.strip() for name in value.strip("[] ").split(",") if name.strip()]
    return [known.get(name, {"name": name}) for name in names]


def _name(item: Any) -> str:
    return str(item.get("name")) if isinstance(item, dict) else str(item)


def _put_plugin(document: dict[str, Any], end: str, value: str) -> str:
    plugins = document.get("plugins")
    if not isinstance(plugins, list):
        raise FieldError("plugins", "is no list", "write `- name: ...` lines")
    matching = [number for number, item in enumerate(plugins) if end.startswith(_name(item).upper() + "_")]
    if not matching:
        raise FieldError(f"${PREFIX}PLUGINS_{end}", "names no plugin of the list", "add the plugin to `plugins`")
    number = max(matching, key=lambda one: len(_name(plugins[one])))
    name = _name(plugins[number])
    if not isinstance(plugins[number], dict):
        plugins[number] = {"name": name}
    path = _key(plugins[number], end[len(name) + 1 :])
    return f"plugins[{number}]." + _put(plugins[number], path, _scalar(value))
