"""Sizes and durations as operators write them. A GB is 1024**3 bytes (RULES D-23), and so on for all prefixes."""

from __future__ import annotations

import re

KB = 1024
MB = 1024**2
GB = 1024**3
TB = 1024**4

_SIZE_UNITS = {"": 1, "B": 1, "K": KB, "M": MB, "G": GB, "T": TB, "P": 1024**5}
_SIZE = re.compile(r"\s*(\d+)(?:\.(\d{1,9}))?\s*([KMGTP]?)(?:I?B)?\s*", re.IGNORECASE)
_DURATION = re.compile(r"\s*(\d+(?:\.\d{1,9})?)\s*(ms|s|m|min|h|d|)\s*", re.IGNORECASE)
_SECONDS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
MAX_SIZE = 2**62


def parse_size(value: object) -> int:
    """Bytes from ``1GB``, ``1.5 GiB``, ``500m`` or a whole number. ValueError says what is wrong.

    A fraction is cut to whole bytes once, exactly (no floating point).
    """
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        match = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f"{value!r} is no size such as 500MB or 1GB")
        whole, fraction, unit = match[1], match[2] or "", _SIZE_UNITS[match[3].upper()]
        number = int(whole + fraction) * unit // 10 ** len(fraction)
    if not 0 <= number <= MAX_SIZE:
        raise ValueError(f"{value!r} is out of range for a size")
    return number


def format_size(number: int) -> str:
    """A size for people, in the largest unit that leaves a number of at least 1: ``1.5 GB``, ``17 B``."""
    for name, unit in (("PB", 1024**5), ("TB", TB), ("GB", GB), ("MB", MB), ("KB", KB)):
        if abs(number) >= unit:
            text = f"{number / unit:.2f}".rstrip("0").rstrip(".")
            return f"{text} {name}"
    return f"{number} B"


def parse_duration(value: object) -> float:
    """Seconds from ``20s``, ``500ms``, ``5m``, ``1.5h``, ``2d`` or a number of seconds. ValueError otherwise."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    else:
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise ValueError(f"{value!r} is no duration such as 20s, 500ms, 5m or 24h")
        seconds = float(match[1]) * _SECONDS[match[2].lower()]
    if not 0 <= seconds < 1e11:
        raise ValueError(f"{value!r} is out of range for a duration")
    return seconds


def disk_reserve(disk: int) -> int:
    """Bytes of a disk of this size that are kept for the database: on a disk that content has filled to the last byte,
    nothing could be deleted any more."""
    return min(4 * 1024 * 1024, disk // 32)


def counted(number: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {noun}" + "s" * (number != 1)
