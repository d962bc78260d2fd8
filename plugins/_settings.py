"""Reads a plugin's own keys of gateway.yaml; every mistake is a ValueError that names the key and the fix."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB)?", re.IGNORECASE)
_SIZE_UNITS = {"": 1, "B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}  # binary: RULES D-23
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", re.IGNORECASE)
_DURATION_UNITS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class Settings:
    """Takes keys one by one; ``done`` complains of what nobody asked for."""

    def __init__(self, plugin: str, values: Mapping[str, Any]) -> None:
        self._plugin = plugin
        self._left = dict(values)

    def _bad(self, key: str, value: object, wanted: str) -> ValueError:
        return ValueError(f"plugins.{self._plugin}.{key}: {value!r} is not {wanted}")

    def text(self, key: str, default: str) -> str:
        value = self._left.pop(key, default)
        if not isinstance(value, str) or not value:
            raise self._bad(key, value, "a text")
        return value

    def choice(self, key: str, default: str, allowed: Sequence[str]) -> str:
        value = self._left.pop(key, default)
        if value not in allowed:
            raise self._bad(key, value, "one of " + ", ".join(allowed))
        return str(value)

    def number(self, key: str, default: int, least: int = 1) -> int:
        value = self._left.pop(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self._bad(key, value, f"a whole number of at least {least}")
        return value

    def numbers(self, key: str, default: Sequence[int]) -> tuple[int, ...]:
        value = self._left.pop(key, list(default))
        if not isinstance(value, list) or not all(isinstance(one, int) and not isinstance(one, bool) for one in value):
            raise self._bad(key, value, "a list of whole numbers")
        return tuple(value)

    def texts(self, key: str, default: Sequence[str]) -> tuple[str, ...]:
        value = self._left.pop(key, list(default))
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self._bad(key, value, "a list of texts")
        return tuple(value)

    def size(self, key: str, default: int) -> int:
        """In bytes; ``25MB`` is 25 x 1024 x 1024."""
        value = self._left.pop(key, default)
        match = _SIZE.fullmatch(str(value).strip()) if not isinstance(value, bool) else None
        if match is None or not (size := int(float(match[1]) * _SIZE_UNITS[(match[2] or "").upper()])):
            raise self._bad(key, value, "a size such as 25MB")
        return size

    def seconds(self, key: str, default: float) -> float:
        value = self._left.pop(key, default)
        match = _DURATION.fullmatch(str(value).strip()) if not isinstance(value, bool) else None
        if match is None or not (seconds := float(match[1]) * _DURATION_UNITS[(match[2] or "").lower()]):
            raise self._bad(key, value, "a duration such as 20s or 24h")
        return seconds

    def done(self) -> None:
        for key in self._left:
            raise ValueError(f"plugins.{self._plugin}.{key}: there is no such setting; remove it or correct its name")
