"""``kurado hold``: what a content rule holds back waits for a person, whose verdict is on record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from gateway.domain.errors import Held, NotFound
from gateway.domain.node import VersionState
from gateway.testing.space import Space, open_space


def kurado(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["--config", str(folder / "gateway.yaml"), *words], prog_name="kurado")


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Space]:
    """A space with one held file, ``draft``, that was ``old`` before."""
    with open_space(tmp_path) as opened:
        opened.put("draft", b"old")
        node = opened.put("draft", b"new!").node
        assert node.version
        version_id = node.version.id
        opened.services.db.write(
            lambda tx: tx.nodes.set_version_state(version_id, VersionState.HELD, "no-drafts: by a rule")
        ).result()
        yield opened


def test_what_is_held_is_listed_without_its_name_and_can_be_released(space: Space, tmp_path: Path) -> None:
    (row,) = json.loads(kurado(tmp_path, "hold", "list", "--json").stdout)
    assert (row["tenant"], row["state"], row["size"]) == ("studio", "held", 4)
    assert "no-drafts" in row["reason"]
    assert 'draft"' not in json.dumps(row)
    done = kurado(tmp_path, "hold", "release", row["node"], "--reason", "looked at the rule, it is too wide")
    assert done.exit_code == 0, done.output
    assert space.read("draft") == b"new!"
    assert kurado(tmp_path, "hold", "list").stdout == "nothing waits for a verdict\n"
    assert "hold.released" in kurado(tmp_path, "audit", "export").stdout


def test_what_is_rejected_goes_and_is_a_refusal_on_record(space: Space, tmp_path: Path) -> None:
    (row,) = json.loads(kurado(tmp_path, "hold", "list", "--json").stdout)
    with pytest.raises(Held):
        space.read("draft")
    assert kurado(tmp_path, "hold", "reject", row["node"], "--reason", "not allowed here").exit_code == 0
    with pytest.raises(NotFound):
        space.read("draft")
    assert space.used() == (0, 0)
    assert space.services.refusals.recent()[0].policy == "operator"


@pytest.mark.parametrize("node", ["zz", "123456"])
def test_an_id_of_nothing_that_waits_is_told_in_one_line(space: Space, tmp_path: Path, node: str) -> None:
    done = kurado(tmp_path, "hold", "release", node, "--reason", "x")
    assert done.exit_code != 0
    assert "Traceback" not in done.output
