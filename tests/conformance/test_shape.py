"""No function over 80 lines, no file over 500."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [file for name in ("gateway", "plugins", "storage_backends") for file in sorted((ROOT / name).rglob("*.py"))]
MAX_FUNCTION, MAX_FILE = 80, 500


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_and_functions_stay_small_enough_to_be_read(file: Path) -> None:
    text = file.read_text("utf-8")
    assert len(text.splitlines()) <= MAX_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < MAX_FUNCTION, node.name
