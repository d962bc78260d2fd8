"""A small ext4 disk in a file, for tests that fill it, make it read-only or cut its power. Needs root."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.testing.needs import find_program, need

EXT4_IOC_SHUTDOWN = 0x8004587D
WITHOUT_FLUSHING_THE_JOURNAL = 2


class LoopDisk:
    """``folder`` is where the disk is mounted, empty but for what ``mkfs`` makes."""

    def __init__(self, place: Path, megabytes: int) -> None:
        self.image, self.folder = place / "disk.img", place / "disk"
        with self.image.open("wb") as file:
            file.truncate(megabytes * 1024 * 1024)
        self.folder.mkdir()
        _run("mkfs.ext4", "-q", "-F", "-m", "0", str(self.image))
        self.mount()

    def mount(self, *options: str) -> None:
        _run("mount", "-o", ",".join(["loop", *options]), str(self.image), str(self.folder))

    def unmount(self) -> None:
        """Waits for processes that were killed: threads of a dead process hold its files a moment longer."""
        _run_when_idle("umount", str(self.folder))

    def remount(self, option: str) -> None:
        """``ro`` or ``rw``. Waits until nobody writes a file there, as health checks do for a moment."""
        _run_when_idle("mount", "-o", f"remount,{option}", str(self.folder))

    def cut_power(self) -> None:
        """What was not flushed is lost; then ``mount``. Nobody may have a file open there."""
        self.stop_writing()
        self.unmount()

    def stop_writing(self) -> None:
        """The file system stops at once, without writing its journal; who uses it gets input/output errors."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", WITHOUT_FLUSHING_THE_JOURNAL))
        finally:
            os.close(descriptor)

    def fill(self, leave: int = 0) -> Path:
        """Takes all free bytes but ``leave``; the file that takes them can be deleted again."""
        ballast = self.folder / "ballast"
        self.fill_more(ballast, leave)
        return ballast

    def fill_more(self, ballast: Path, leave: int = 0) -> None:
        """Lets the ballast take what has become free since."""
        with ballast.open("ab", buffering=0) as file:
            for size in (1024 * 1024, 4096):
                block = bytes(size)
                try:
                    while _free(self.folder) > leave:
                        file.write(block)
                except OSError:
                    continue


@contextmanager
def loop_disk(place: Path, megabytes: int = 32) -> Iterator[LoopDisk]:
    """A mounted disk; unmounted in the end whatever happened to it."""
    need("mkfs.ext4", "mount", "losetup", root=True)
    disk = LoopDisk(place, megabytes)
    try:
        yield disk
    finally:
        if os.path.ismount(disk.folder):
            _run("umount", "-l", str(disk.folder))


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _run_when_idle(*command: str) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            _run(*command)
            return
        except RuntimeError as error:
            if "busy" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _run(*command: str) -> None:
    done = subprocess.run(
        [find_program(command[0]) or command[0], *command[1:]], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip()}")
