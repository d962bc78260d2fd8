"""gio and gvfs: what the file managers of GNOME, Cinnamon and MATE do with a mounted space."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.testing.needs import need
from gateway.testing.outside import Space, run, running_space

SCRIPT = """\
set -eu
gio mount "$URL" <password
gio mkdir "$URL/folder"
gio copy a.txt "$URL/folder/a.txt"
gio cat "$URL/folder/a.txt" >seen-1
gio rename "$URL/folder/a.txt" '文書 b.txt' >renamed
gio list "$URL/folder" >seen-2
gio move "$URL/folder" "$URL/moved"
gio copy "$URL/moved/文書 b.txt" back.txt
printf 'new content' | gio save "$URL/moved/文書 b.txt"
gio cat "$URL/moved/文書 b.txt" >seen-3
gio info "$URL/moved/文書 b.txt" >seen-4
gio info -f "$URL" >seen-5
gio remove "$URL/moved/文書 b.txt"
gio remove "$URL/moved"
gio list "$URL" >seen-6
gio mount -u "$URL"
"""


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    need("gio", "dbus-run-session", "/usr/libexec/gvfsd-dav")
    with running_space(tmp_path_factory.mktemp("gateway")) as space:
        yield space


def test_gio_mounts_stores_renames_saves_and_removes(space: Space, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    (tmp_path / "a.txt").write_bytes(content)
    (tmp_path / "password").write_text(space.password + "\n")
    (tmp_path / "run").mkdir(mode=0o700)
    url = space.url.rstrip("/").replace("http://", f"dav://{space.user}@", 1)
    env = {
        "URL": url,
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "GVFS_DISABLE_FUSE": "1",
        "GIO_USE_VOLUME_MONITOR": "unix",
    }

    run("dbus-run-session", "--", "bash", "-c", SCRIPT, cwd=tmp_path, env=env)

    assert (tmp_path / "seen-1").read_bytes() == content
    assert (tmp_path / "seen-2").read_text().split("\n")[0] == "文書 b.txt"
    assert (tmp_path / "back.txt").read_bytes() == content
    assert (tmp_path / "seen-3").read_bytes() == b"new content"
    assert "size:  11" in (tmp_path / "seen-4").read_text()
    assert "filesystem::free" in (tmp_path / "seen-5").read_text()
    assert "moved" not in (tmp_path / "seen-6").read_text()
