"""Opening a deployment and leaving it again, as every command does."""

from __future__ import annotations

from pathlib import Path

from gateway import config
from gateway.daemon import open_deployment


def open_files() -> set[str]:
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found.add(str(descriptor.readlink()))
        except FileNotFoundError:  # the listing's own
            continue
    return found


def test_a_deployment_that_was_left_holds_no_file(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text("version: 1\ndata_dir: data\nplugins: []\n")
    for _ in range(2):
        with open_deployment(config.load(file, {})):
            assert any(name.startswith(str(tmp_path)) for name in open_files())
        assert not [name for name in open_files() if name.startswith(str(tmp_path))]
