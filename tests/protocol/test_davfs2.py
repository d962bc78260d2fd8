"""davfs2: a space mounted as a drive of the kernel; people work on it as on a disk. Needs root."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.testing.needs import need
from gateway.testing.outside import Space, make_tree, run, running_space, tree_of

OWN = ("lost+found",)
"""davfs2 shows this folder of its own in every mount."""


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    need("mount.davfs", root=True, device="/dev/fuse")
    with running_space(tmp_path_factory.mktemp("gateway")) as space:
        yield space


class Drive:
    """A mount with a configuration and cache of its own, so that nothing of the machine's is touched."""

    def __init__(self, space: Space, place: Path) -> None:
        self._space, self.folder, self._place = space, place / "drive", place
        self.folder.mkdir()
        (place / "cache").mkdir()
        # the process of the mount gives up root and keeps the group of the package
        place.chmod(0o755)
        shutil.chown(place / "cache", group="davfs2")
        (place / "cache").chmod(0o775)
        secrets = place / "secrets"
        secrets.write_text(f'"{space.url}" "{space.user}" "{space.password}"\n')
        secrets.chmod(0o600)
        (place / "davfs2.conf").write_text(
            # 64: davfs2 before 1.7.2 on Linux 6.16 and later lists nothing with less (see docs/clients.md)
            f"secrets {secrets}\ncache_dir {place}/cache\nask_auth 0\nuse_locks 1\nbuf_size 64\ndelay_upload 0\n"
        )

    def mount(self) -> None:
        run("mount.davfs", "-o", f"conf={self._place}/davfs2.conf", self._space.url, self.folder)

    def unmount(self) -> None:
        """Waits until everything is stored on the server."""
        run("umount", self.folder, timeout=240)


@contextmanager
def drive_on(space: Space) -> Iterator[Drive]:
    with tempfile.TemporaryDirectory(prefix="kurado-davfs2-", ignore_cleanup_errors=True) as place:
        drive = Drive(space, Path(place))
        drive.mount()
        try:
            yield drive
        finally:
            if os.path.ismount(drive.folder):
                run("umount", "-l", drive.folder, check=False)


def test_a_tree_of_1000_files_goes_there_and_back_byte_identical(space: Space, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", 1000)
    with drive_on(space) as drive:
        shutil.copytree(tmp_path / "tree", drive.folder / "tree", copy_function=shutil.copyfile)
        drive.unmount()
    with drive_on(space) as drive:
        shutil.copytree(drive.folder / "tree", tmp_path / "back", copy_function=shutil.copyfile)
        assert tree_of(tmp_path / "back") == tree_of(tmp_path / "tree")
        shutil.rmtree(drive.folder / "tree")
        assert tree_of(drive.folder, OWN) == {}
        drive.unmount()


def test_files_are_edited_in_place_and_folders_renamed(space: Space, tmp_path: Path) -> None:
    with drive_on(space) as drive:
        work = drive.folder / "仕事"
        (work / "sub").mkdir(parents=True)
        (work / "sub" / "text").write_text("one\n")
        with (work / "sub" / "text").open("a") as file:
            file.write("two\n")
        with (work / "sub" / "text").open("r+b") as file:
            file.seek(1)
            file.write(b"N")
        with (work / "saved").open("wb") as file:
            file.write(bytes(3_000_000))
        # as editors save: a new file beside, renamed over the old one
        (work / "saved.tmp").write_bytes(b"final")
        (work / "saved.tmp").rename(work / "saved")
        (work / "sub").rename(work / "renamed 名前")
        work.rename(drive.folder / "done")
        (drive.folder / "done" / "empty").touch()
        drive.unmount()
    with drive_on(space) as drive:
        done = drive.folder / "done"
        assert sorted(tree_of(drive.folder, OWN)) == [
            "done",
            "done/empty",
            "done/renamed 名前",
            "done/renamed 名前/text",
            "done/saved",
        ]
        assert (done / "renamed 名前" / "text").read_text() == "oNe\ntwo\n"
        assert (done / "saved").read_bytes() == b"final"
        drive.unmount()


def test_the_drive_shows_the_quota_of_the_space(space: Space, tmp_path: Path) -> None:
    with drive_on(space) as drive:
        (drive.folder / "million").write_bytes(bytes(1_000_000))
        drive.unmount()
        drive.mount()
        usage = shutil.disk_usage(drive.folder)
        assert 1_000_000 - 4096 < usage.used < 10_000_000  # in whole blocks
        drive.unmount()


def test_a_mount_survives_new_processes_of_the_gateway(space: Space, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", 60, seed=5)
    before = set(space.gateway.pids("gate"))
    with drive_on(space) as drive:
        with ThreadPoolExecutor(1) as pool:
            copying = pool.submit(
                shutil.copytree, tmp_path / "tree", drive.folder / "kept", copy_function=shutil.copyfile
            )
            assert space.gateway.process is not None
            space.gateway.process.send_signal(signal.SIGHUP)
            copying.result(120)
        while before & set(space.gateway.pids("gate")):
            time.sleep(0.1)
        (drive.folder / "kept" / "after").write_bytes(b"after")
        drive.unmount()
        drive.mount()
        assert (drive.folder / "kept" / "after").read_bytes() == b"after"
        (drive.folder / "kept" / "after").unlink()
        assert tree_of(drive.folder / "kept") == tree_of(tmp_path / "tree")
        drive.unmount()
