"""rclone mount: a space as a drive by FUSE, with rclone's cache of files; people work on it as on a disk.

rclone stores a file some seconds after it was closed (the write-back). Its remote control tells when that is done.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.testing.needs import find_program, need
from gateway.testing.outside import Space, make_tree, run, running_space, tree_of


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    need("rclone", "fusermount3", device="/dev/fuse")
    with running_space(tmp_path_factory.mktemp("gateway")) as space:
        yield space


class Drive:
    """Mounts of the space, each with an empty cache, so that what one shows has come from the server."""

    def __init__(self, space: Space, place: Path, vendor: str, mode: str) -> None:
        self.folder, self._place, self._mode = place / "drive", place, mode
        self.folder.mkdir()
        self._config = place / "rclone.conf"
        self._config.touch()
        obscured = run("rclone", "--config", self._config, "obscure", space.password).output.strip()
        self._env = {
            "RCLONE_CONFIG": str(self._config),
            "RCLONE_CONFIG_SPACE_TYPE": "webdav",
            "RCLONE_CONFIG_SPACE_URL": space.url,
            "RCLONE_CONFIG_SPACE_VENDOR": vendor,
            "RCLONE_CONFIG_SPACE_USER": space.user,
            "RCLONE_CONFIG_SPACE_PASS": obscured,
        }
        self._mounts = self._caches = 0
        self._process: subprocess.Popen[bytes] | None = None

    def mount(self, *, fresh: bool = True, write_back: str = "1s") -> None:
        self._mounts += 1
        self._caches += fresh
        command: list[str | Path] = [
            find_program("rclone") or "rclone", "mount", "space:", self.folder, "--vfs-cache-mode", self._mode,
            "--cache-dir", self._place / f"cache{self._caches}", "--vfs-write-back", write_back,
            "--webdav-pacer-min-sleep", "1ms", "--log-file", self._log,
            "--rc", "--rc-no-auth", "--rc-addr", f"unix://{self._socket}",
        ]  # fmt: skip
        self._process = subprocess.Popen(command, env={**os.environ, **self._env}, stdin=subprocess.DEVNULL)
        while not os.path.ismount(self.folder):
            assert self._process.poll() is None, self.log()
            time.sleep(0.02)

    def settle(self) -> None:
        """Waits until rclone has stored on the server everything that was written."""
        while self.waiting():
            time.sleep(0.1)

    def waiting(self) -> int:
        """How many files rclone has still to store."""
        done = run("rclone", "rc", "--unix-socket", self._socket, "vfs/stats", env=self._env)
        cache = json.loads(done.output).get("diskCache") or {"uploadsQueued": 0, "uploadsInProgress": 0}
        assert not cache.get("erroredFiles"), self.log()
        return int(cache["uploadsQueued"] + cache["uploadsInProgress"])

    def unmount(self) -> None:
        self.settle()
        run("fusermount3", "-u", self.folder)
        assert self._process is not None
        self._process.wait(60)
        assert "ERROR" not in self.log()

    def remount(self, *, write_back: str = "1s") -> None:
        self.unmount()
        self.mount(write_back=write_back)

    def kill(self) -> None:
        """kill -9; no mount and no process are left, whatever state they were in."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        run("fusermount3", "-u", "-z", self.folder, check=False)

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    @property
    def _log(self) -> Path:
        return self._place / f"log{self._mounts}"

    @property
    def _socket(self) -> Path:
        return self._place / f"rc{self._mounts}"


@contextmanager
def drive_on(space: Space, vendor: str = "other", mode: str = "full") -> Iterator[Drive]:
    # not tmp_path: the path of a socket may have 107 bytes
    with tempfile.TemporaryDirectory(prefix="kurado-rclone-", ignore_cleanup_errors=True) as place:
        drive = Drive(space, Path(place), vendor, mode)
        try:
            drive.mount()
            yield drive
        finally:
            drive.kill()


def test_a_tree_of_1000_files_goes_there_and_back_byte_identical(space: Space, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", 1000)
    with drive_on(space) as drive:
        shutil.copytree(tmp_path / "tree", drive.folder / "tree", copy_function=shutil.copyfile)
        drive.settle()
        (drive.folder / "tree").rename(drive.folder / "renamed 名前")
        drive.remount()
        shutil.copytree(drive.folder / "renamed 名前", tmp_path / "back", copy_function=shutil.copyfile)
        assert tree_of(tmp_path / "back") == tree_of(tmp_path / "tree")
        shutil.rmtree(drive.folder / "renamed 名前")
        drive.remount()
        assert tree_of(drive.folder) == {}
        drive.unmount()


@pytest.mark.parametrize("vendor", ["other", "owncloud"])
def test_files_are_edited_in_place_and_folders_renamed(space: Space, vendor: str) -> None:
    with drive_on(space, vendor) as drive:
        work = drive.folder / f"仕事 {vendor}"
        (work / "sub").mkdir(parents=True)
        (work / "sub" / "text").write_text("one\n")
        (work / "saved").write_bytes(bytes(3_000_000))
        drive.settle()
        with (work / "sub" / "text").open("a") as file:
            file.write("two\n")
        with (work / "sub" / "text").open("r+b") as file:
            file.seek(1)
            file.write(b"N")
        with (work / "saved").open("r+b") as file:
            file.seek(2_000_000)
            file.write(b"in the middle")
        drive.settle()
        (work / "sub").rename(work / "renamed 名前")
        done = drive.folder / f"done {vendor}"
        work.rename(done)
        # as editors save: a new file beside, renamed over the old one
        (done / "renamed 名前" / "new").write_text("final")
        (done / "renamed 名前" / "new").rename(done / "old")
        (done / "empty").touch()
        drive.remount()
        assert sorted(tree_of(done)) == ["empty", "old", "renamed 名前", "renamed 名前/text", "saved"]
        assert not work.exists()
        assert (done / "renamed 名前" / "text").read_text() == "oNe\ntwo\n"
        assert (done / "saved").read_bytes() == bytes(2_000_000) + b"in the middle" + bytes(999_987)
        assert (done / "old").read_text() == "final"
        # read after a part of it was read and changed: rclone fetches the rest by range
        with (done / "saved").open("r+b") as file:
            file.seek(2_500_000)
            file.write(b"once more")
        drive.remount()
        assert (done / "saved").read_bytes()[2_499_999:2_500_011] == b"\0once more\0\0"
        drive.unmount()


def test_times_are_kept_for_the_vendor_that_sends_them(space: Space) -> None:
    with drive_on(space, "owncloud") as drive:
        (drive.folder / "dated").write_bytes(b"dated")
        os.utime(drive.folder / "dated", (1_234_567_890, 1_234_567_890))
        drive.remount()
        assert (drive.folder / "dated").stat().st_mtime == 1_234_567_890
        drive.unmount()


def test_a_folder_is_renamed_as_soon_as_it_is_filled_where_closing_a_file_stores_it(
    space: Space, tmp_path: Path
) -> None:
    """The mode that docs/clients.md names for this: in the others rclone goes on storing under the old name."""
    make_tree(tmp_path / "tree", 60, seed=6)
    for path in (tmp_path / "tree").rglob("*"):
        if path.is_file() and not path.stat().st_size:
            # an empty file is stored a moment after it was closed, in this mode too
            path.write_bytes(b"not empty")
    with drive_on(space, mode="minimal") as drive:
        shutil.copytree(tmp_path / "tree", drive.folder / "at once", copy_function=shutil.copyfile)
        (drive.folder / "at once").rename(drive.folder / "done at once")
        drive.remount()
        assert not (drive.folder / "at once").exists()
        assert tree_of(drive.folder / "done at once") == tree_of(tmp_path / "tree")
        drive.unmount()


def test_what_rclone_had_not_stored_when_it_was_killed_is_stored_by_the_next_mount(
    space: Space, tmp_path: Path
) -> None:
    make_tree(tmp_path / "tree", 60, seed=7)
    with drive_on(space) as drive:
        drive.remount(write_back="1h")
        shutil.copytree(tmp_path / "tree", drive.folder / "killed", copy_function=shutil.copyfile)
        while drive.waiting() < 60:  # FUSE tells rclone of a closed file a moment after close() has returned
            time.sleep(0.02)
        drive.kill()
        drive.mount(fresh=False)
        drive.remount()
        assert tree_of(drive.folder / "killed") == tree_of(tmp_path / "tree")
        drive.unmount()
