"""Memory for bodies on their way in. It is used again: fresh memory costs a page fault for each 4 KiB, and the zeroing.
It begins at a page, so that a disk can be written from it without passing through the page cache (``staging``)."""

from __future__ import annotations

import mmap

SIZE = 2 * 1024 * 1024
"""An upload has two (DESIGN section 3: 4 MiB). With half of it, a tenth of the CPU goes into handing pieces on."""
_KEPT = 4
_free: list[memoryview] = []


def lend() -> memoryview:
    """A buffer of ``SIZE`` bytes, whatever they are."""
    try:
        return _free.pop()
    except IndexError:
        return memoryview(mmap.mmap(-1, SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def give_back(buffer: memoryview) -> None:
    """Only what nobody will touch any more: it would be another's bytes. What is not given back is simply freed."""
    if len(_free) < _KEPT:
        _free.append(buffer)
