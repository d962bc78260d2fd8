"""No function over 80 lines, no file over 500; nothing heavy is loaded by all for the use of one."""

from __future__ import annotations

import ast
import subprocess
import sys
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


def test_a_command_does_not_wait_for_what_it_does_not_use() -> None:
    """Every command and every gate loads gateway.daemon: what one role needs is imported where it is used."""
    heavy = {"aiohttp", "boto3", "cheroot", "fpdf", "wsgidav"}
    command = [sys.executable, "-c", f"import sys, gateway.daemon; print(*{heavy!r} & sys.modules.keys())"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
