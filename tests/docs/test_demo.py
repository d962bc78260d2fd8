"""`kurado demo`, as a newcomer meets it: what it prints is true and works as it stands; Ctrl-C ends it cleanly."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.testing.needs import find_program, need
from gateway.testing.outside import run
from gateway.testing.s3 import client


@dataclass
class Demo:
    process: subprocess.Popen[bytes]
    text: str

    def value(self, name: str) -> str:
        found = re.search(rf"^  {name}\s+(\S+)$", self.text, re.MULTILINE)
        assert found, self.text
        return found.group(1)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("demo")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("KURADO_")}
    command = [Path(sys.executable).parent / "kurado", "demo", "--dir", folder / "here", "--port", "0"]
    said = folder / "said"
    with said.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=environ, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 240
        while "Ctrl-C stops" not in said.read_text():
            assert process.poll() is None and time.monotonic() < deadline, said.read_text()
            time.sleep(0.05)
        yield Demo(process, said.read_text())
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_it_tells_how_to_mount_on_linux_windows_and_macos(demo: Demo) -> None:
    url, login, password = demo.value("WebDAV"), demo.value("login"), demo.value("password")
    for line in (
        f"mount -t davfs {url} /mnt/kurado",
        "gio mount dav://",
        f"net use K: {url} /user:{login} {password}",
        f"mount_webdav -i -v kurado {url}",
    ):
        assert line in demo.text
    for word in ("FileSizeLimitInBytes", "50 MB", "BasicAuthLevel", "buf_size 64"):
        assert word in demo.text


def test_a_file_is_stored_and_read_with_the_login_that_it_prints(demo: Demo, tmp_path: Path) -> None:
    need("curl")
    (tmp_path / "file").write_bytes(b"hello")
    login = ("-u", f"{demo.value('login')}:{demo.value('password')}")
    run("curl", "-sSf", *login, "-T", tmp_path / "file", demo.value("WebDAV"))
    assert run("curl", "-sSf", *login, demo.value("WebDAV") + "file").output == "hello"


def test_the_rclone_commands_that_it_prints_work_as_they_stand(demo: Demo, tmp_path: Path) -> None:
    need("rclone", "fusermount3", device="/dev/fuse")
    lines = [line.strip() for line in demo.text.splitlines() if re.search(r"^  .*(rclone|fusermount3) ", line)]
    *before, mount, unmount = lines
    assert "rclone mount" in mount and "fusermount3" in unmount
    path = f"{Path(find_program('rclone') or '').parent}:{os.environ['PATH']}"
    environ = {"PATH": path, "RCLONE_CONFIG": str(tmp_path / "rclone.conf"), "HOME": str(tmp_path)}
    # beside the data of the mount, so that nothing of it outlives the test
    environ["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    run("bash", "-euc", "\n".join(before), env=environ)
    run("bash", "-euc", "rclone rcat kurado:seen", env=environ, text="through the mount")
    try:
        run("bash", "-euc", mount, env=environ)
        assert (tmp_path / "kurado" / "seen").read_text() == "through the mount"
        run("bash", "-euc", unmount, env=environ)
        assert not (tmp_path / "kurado").is_mount()
    finally:
        run("fusermount3", "-u", "-z", tmp_path / "kurado", check=False)


def test_the_access_key_that_it_prints_opens_the_same_files_over_s3(demo: Demo) -> None:
    exported = dict(re.findall(r"(AWS_\w+)=(\S+)", demo.text))
    s3 = client(demo.value("S3"), exported["AWS_ACCESS_KEY_ID"], exported["AWS_SECRET_ACCESS_KEY"])
    s3.create_bucket(Bucket="photos")
    s3.put_object(Bucket="photos", Key="a.txt", Body=b"over s3")
    login = ("-u", f"{demo.value('login')}:{demo.value('password')}")
    assert run("curl", "-sSf", *login, demo.value("WebDAV") + "photos/a.txt").output == "over s3"


def test_ctrl_c_ends_it_cleanly(demo: Demo) -> None:
    os.kill(demo.process.pid, signal.SIGINT)
    assert demo.process.wait(40) == 0
