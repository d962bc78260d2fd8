"""The rule book that comes with the package."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from gateway.domain.rulebook import Rulebook

_PACKAGED = "rules.md"


@cache
def rulebook() -> Rulebook:
    """In a wheel it lies beside this module, in a working copy among the documents. FileNotFoundError."""
    packaged = files("gateway").joinpath(_PACKAGED)
    if packaged.is_file():
        return Rulebook(packaged.read_text("utf-8"))
    return Rulebook((Path(__file__).parent.parent / "docs" / _PACKAGED).read_text("utf-8"))
