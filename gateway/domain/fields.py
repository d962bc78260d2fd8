"""Reading a loaded YAML document strictly: every key is known, every value is checked, every error names its place."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")
_MISSING: Any = object()


class FieldError(ValueError):
    """``path`` is the key path (``plans[1].capacity``), ``fix`` says what to write instead."""

    def __init__(self, path: str, reason: str, fix: str = "") -> None:
        super().__init__(": ".join(filter(None, [path, reason])) + (f" (fix: {fix})" if fix else ""))
        self.path = path
        self.reason = reason
        self.fix = fix


class Fields:
    """One mapping of a document. ``take`` each key, then ``done`` refuses what is left over."""

    def __init__(self, value: object, path: str = "") -> None:
        self.path = path
        if not isinstance(value, Mapping):
            raise FieldError(path, f"{_kind(value)} instead of a mapping", "write `key: value` lines")
        for key in value:
            if not isinstance(key, str):
                raise FieldError(path, f"the key {key!r} is no text", "put the key in quotes")
        self._values = dict(value)
        self._known: list[str] = []

    def at(self, key: str) -> str:
        """The key path of one of our keys."""
        return f"{self.path}.{key}" if self.path else key

    def has(self, key: str) -> bool:
        """Whether the key is there and not null."""
        return self._values.get(key) is not None

    def take(self, key: str, parse: Callable[[Any], T], default: T = _MISSING, fix: str = "") -> T:
        """The parsed value of a key, or the default where it is absent or null. ``parse`` raises ValueError."""
        self._known.append(key)
        value = self._values.pop(key, None)
        if value is None:
            if default is _MISSING:
                raise FieldError(self.at(key), "is missing", fix or f"add `{key}:`")
            return default
        try:
            return parse(value)
        except FieldError:
            raise
        except ValueError as error:
            raise FieldError(self.at(key), str(error), fix) from error

    def section(self, key: str) -> Fields:
        """A mapping below; an absent one is empty."""
        return self.take(key, lambda value: Fields(value, self.at(key)), Fields({}, self.at(key)))

    def items(self, key: str, parse: Callable[[Any, str], T], default: tuple[T, ...] = _MISSING) -> tuple[T, ...]:
        """A list below: ``parse`` gets each item and its key path."""

        def all_of(value: Any) -> tuple[T, ...]:
            if not isinstance(value, list):
                raise FieldError(self.at(key), f"{_kind(value)} instead of a list", "write `- item` lines")
            return tuple(parse(item, f"{self.at(key)}[{number}]") for number, item in enumerate(value))

        return self.take(key, all_of, default)

    def rest(self) -> dict[str, Any]:
        """All keys that were not taken, for settings that somebody else checks."""
        rest, self._values = self._values, {}
        return rest

    def done(self) -> None:
        """Raises FieldError when a key is left that nobody took."""
        for key in self._values:
            near = difflib.get_close_matches(key, self._known, 1)
            known = ", ".join(self._known)
            raise FieldError(
                self.at(key),
                "unknown key",
                f"did you mean {near[0]!r}?" if near else f"remove it; known here are {known}",
            )


def text(value: object) -> str:
    """A text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{_kind(value)} instead of a text")
    return value


def boolean(value: object) -> bool:
    """true or false (also as text, for the environment)."""
    if isinstance(value, bool):
        return value
    word = value.lower() if isinstance(value, str) else ""
    if word in ("true", "yes", "on", "1"):
        return True
    if word in ("false", "no", "off", "0"):
        return False
    raise ValueError(f"{value!r} is neither true nor false")


def integer(low: int, high: int) -> Callable[[object], int]:
    """A whole number within the limits, both inclusive."""

    def parse(value: object) -> int:
        if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{value!r} is no whole number")
        if not low <= value <= high:
            raise ValueError(f"{value} is not between {low} and {high}")
        return value

    return parse


def one_of(*words: str) -> Callable[[object], str]:
    """One of the given words."""

    def parse(value: object) -> str:
        if value not in words:
            near = difflib.get_close_matches(str(value), words, 1)
            raise ValueError(f"{value!r} is not one of {', '.join(words)}" + (f"; {near[0]}?" if near else ""))
        return str(value)

    return parse


def texts(value: object) -> tuple[str, ...]:
    """A list of texts; a single text is a list separated by commas (for the environment)."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list):
        raise ValueError(f"{_kind(value)} instead of a list of texts")
    return tuple(text(item).strip() for item in items)


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    names = {
        bool: "a truth value",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "a mapping",
    }
    return names.get(type(value), type(value).__name__)
