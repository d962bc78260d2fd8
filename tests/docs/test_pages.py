"""Links lead somewhere, every key and command has its place, and changelog fragments have proper names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import click
import pytest

from gateway import cli, pluginhost
from gateway.commands.app import Application
from gateway.config import LEAVES, PluginConfig
from gateway.testing.inspection import make_context

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PLUGINS = ("quota", "content_policy", "virus_scan", "replication", "metering", "billing_export")
OPERATING = ROOT / "docs" / "operating.md"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_pages_and_headings_that_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_every_page_is_linked_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert f"](docs/{page.name}" in text, page.name


def rows(page: Path) -> dict[str, str]:
    """First cell (a name in backticks) → line, of all tables of a page."""
    lines = page.read_text("utf-8").splitlines()
    return {match[1]: line for line in lines if (match := re.match(r"\| `([^`]+)` \|", line))}


@pytest.mark.parametrize("leaf", [*LEAVES, ("storage", "backend")], ids=".".join)
def test_every_key_of_the_configuration_has_a_row(leaf: tuple[str, ...]) -> None:
    assert ".".join(leaf) in rows(OPERATING)


NO_GATEWAY = Application(ROOT / "no such folder" / "gateway.yaml")
"""What lies in the folder from which the tests are run must not count."""


def commands(group: click.Command, words: tuple[str, ...] = ("kurado",)) -> Iterator[tuple[str, ...]]:
    if group.hidden:
        return
    if not isinstance(group, click.Group):
        yield words
        return
    context = click.Context(group, obj=NO_GATEWAY)
    for name in group.list_commands(context):
        child = group.get_command(context, name)
        assert child is not None
        yield from commands(child, (*words, name))


def plugin_commands(folder: Path) -> click.Group:
    """The commands that the built-in plugins add."""
    group = click.Group("kurado")
    settings = {"replication": {"to": {"backend": "memory"}}}
    choices = [PluginConfig(name, settings=settings.get(name, {})) for name in PLUGINS]
    host = pluginhost.load(choices, lambda choice: make_context(choice.name, folder, choice.settings))
    host.add_commands(group)
    host.close()
    return group


def test_every_command_is_documented(tmp_path: Path) -> None:
    page = "\n".join(page.read_text("utf-8") for page in PAGES)
    for words in [*commands(cli.cli), *commands(plugin_commands(tmp_path))]:
        assert re.search(rf"`{re.escape(' '.join(words))}\b", page), words


@pytest.mark.parametrize("module", ["quota", "_scan_settings", "content_policy", "replication"])
def test_every_setting_of_a_plugin_is_documented(module: str) -> None:
    source = (ROOT / "plugins" / f"{module}.py").read_text("utf-8")
    settings = re.findall(r"(?:take\(|_ms\(fields, )\"(\w+)\"", source)
    assert settings
    for name in settings:
        assert f"`{name}`" in OPERATING.read_text("utf-8"), name


def test_the_readme_lists_the_built_in_plugins() -> None:
    table = (ROOT / "README.md").read_text("utf-8").partition("## Plugins")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| (\w+) \|", table, re.MULTILINE)) - {"plugin"}
    assert listed == {entry.name for entry in distribution("kurado").entry_points.select(group="kurado.plugins")}


def test_fragments_of_the_changelog_are_named_by_issue_and_kind() -> None:
    for fragment in (ROOT / "changes").iterdir():
        if fragment.name != "README.md":
            assert re.fullmatch(r"\d+\.(added|changed|fixed|removed|security)\.md", fragment.name), fragment.name
