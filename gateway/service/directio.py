"""Files of this machine read and written past the page cache, where their file system can do that."""

from __future__ import annotations

import fcntl
import os
from io import FileIO


def set_direct(file: FileIO, direct: bool) -> bool:
    """Whether the file is read and written directly from now on. Then memory, place in the file and length have to be
    whole sectors; else the system says EINVAL."""
    flags = fcntl.fcntl(file, fcntl.F_GETFL)
    try:
        fcntl.fcntl(file, fcntl.F_SETFL, flags | os.O_DIRECT if direct else flags & ~os.O_DIRECT)
    except OSError:
        return False
    return direct
