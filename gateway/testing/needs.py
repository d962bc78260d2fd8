"""What a test needs of the machine: without it the test is reported as not run, with the reason.

A CI run as root has no excuse: there the same lack is a failure.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest


def need(*programs: str, root: bool = False, device: str | None = None, direct_io: Path | None = None) -> None:
    """Ends the calling test (or fixture) when one of these is missing; ``direct_io``: direct writes below a folder."""
    missing = [f"the program {name}" for name in programs if find_program(name) is None]
    if root and os.geteuid():
        missing.append("root")
    if device and not Path(device).exists():
        missing.append(f"the device {device}")
    if direct_io and not _writes_directly(direct_io):
        missing.append(f"a file system below {direct_io} that can be written past the page cache")
    if not missing:
        return
    reason = f"needs {' and '.join(missing)}; see TEST_PACKAGES in the Makefile"
    if os.environ.get("CI") == "true" and not os.geteuid():
        pytest.fail(f"{reason}; a CI run as root must run every test", pytrace=False)
    pytest.skip(reason)


def _writes_directly(folder: Path) -> bool:
    file = folder / "direct"
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_DIRECT))
    except OSError:
        return False
    finally:
        file.unlink(missing_ok=True)
    return True


def find_program(name: str) -> str | None:
    """The path of a program: beside this Python (as rclone of the lock file), on PATH, or where root's tools lie."""
    beside = Path(sys.executable).parent
    return shutil.which(name, path=f"{beside}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
