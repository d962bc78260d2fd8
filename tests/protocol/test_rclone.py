"""rclone: a tree of 1 000 files copied there and back, kept in step, moved and checked on the server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.testing.needs import need
from gateway.testing.outside import Done, Space, make_tree, run, running_space, tree_of

Rclone = Callable[..., Done]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    need("rclone")
    with running_space(tmp_path_factory.mktemp("gateway")) as space:
        yield space


@pytest.fixture
def rclone(space: Space, tmp_path: Path) -> Rclone:
    """Runs rclone with a remote ``space:`` that is configured by environment alone."""
    config = tmp_path / "rclone.conf"
    config.touch()
    obscured = run("rclone", "--config", config, "obscure", space.password).output.strip()
    env = {
        "RCLONE_CONFIG_SPACE_TYPE": "webdav",
        "RCLONE_CONFIG_SPACE_URL": space.url,
        "RCLONE_CONFIG_SPACE_VENDOR": "other",
        "RCLONE_CONFIG_SPACE_USER": space.user,
        "RCLONE_CONFIG_SPACE_PASS": obscured,
    }
    return lambda *words: run(
        "rclone", "--config", config, "--retries", "1", "--webdav-pacer-min-sleep", "1ms", *words, env=env, timeout=240
    )


def test_a_tree_of_1000_files_goes_there_and_back_byte_identical(rclone: Rclone, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", 1000)
    rclone("copy", tmp_path / "tree", "space:there", "--create-empty-src-dirs", "--transfers", "8")
    rclone("check", tmp_path / "tree", "space:there", "--download", "--checkers", "8")
    rclone("copy", "space:there", tmp_path / "back", "--create-empty-src-dirs", "--transfers", "8")
    assert tree_of(tmp_path / "back") == tree_of(tmp_path / "tree")
    rclone("purge", "space:there")
    assert "there/" not in rclone("lsf", "space:").output


def test_sync_takes_over_changes_renames_and_deletions(rclone: Rclone, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    make_tree(tree, 60, seed=2)
    rclone("sync", tree, "space:sync", "--create-empty-src-dirs")
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    files[0].write_bytes(b"changed, and longer than before" * 1000)
    files[1].unlink()
    files[2].rename(files[2].with_name("renamed 新しい名前"))
    rclone("sync", tree, "space:sync", "--create-empty-src-dirs")
    rclone("check", tree, "space:sync", "--download")
    rclone("copy", "space:sync", tmp_path / "back", "--create-empty-src-dirs")
    assert tree_of(tmp_path / "back") == tree_of(tree)


def test_the_server_copies_and_moves_by_itself(rclone: Rclone, tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", 30, seed=3)
    rclone("copy", tmp_path / "tree", "space:server/one", "--create-empty-src-dirs")
    rclone("copy", "space:server/one", "space:server/two", "--create-empty-src-dirs")
    rclone("moveto", "space:server/two", "space:server/三 ; # %41")
    rclone("check", tmp_path / "tree", "space:server/三 ; # %41", "--download")
    assert "two/" not in rclone("lsf", "space:server").output


def test_the_quota_of_the_space_is_shown(rclone: Rclone, tmp_path: Path) -> None:
    before = json.loads(rclone("about", "space:", "--json").output)
    (tmp_path / "file").write_bytes(bytes(12_345))
    rclone("copyto", tmp_path / "file", "space:quota/file")
    after = json.loads(rclone("about", "space:", "--json").output)
    assert after["used"] - before["used"] == 12_345
