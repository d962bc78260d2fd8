"""No hook without a heading with its exact arguments, a test named after it, a caller, and a built-in that uses it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from gateway.hooks import PluginContext, Specs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "hooks.md").read_text("utf-8")
HOOKS = {name: spec for name, spec in vars(Specs).items() if not name.startswith("_")}


def sources(*folders: str) -> str:
    files = [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]
    return "\n".join(file.read_text("utf-8") for file in files)


def test_the_page_has_a_heading_for_each_hook_with_its_exact_arguments_and_for_nothing_else() -> None:
    expected = {f"{name}({', '.join(list(inspect.signature(spec).parameters)[1:])})" for name, spec in HOOKS.items()}
    assert set(re.findall(r"^### (\w+\(.*\))$", PAGE, re.MULTILINE)) == expected


@pytest.mark.parametrize("hook", sorted(HOOKS))
def test_each_hook_has_a_test_named_after_it(hook: str) -> None:
    folders = ("tests/unit", "tests/conformance", "tests/integration", "tests/protocol", "tests/thirdparty")
    assert re.search(rf"def test_(\w+_)?{hook}(_\w+)?\(", sources(*folders)), f"no test_{hook}…"


@pytest.mark.parametrize("hook", sorted(HOOKS))
def test_each_hook_is_called(hook: str) -> None:
    assert f'"{hook}"' in sources("gateway/pluginhost", "gateway/service", "gateway/dav", "gateway/gate")


@pytest.mark.parametrize("hook", sorted(HOOKS))
def test_each_hook_is_used_by_the_built_in_plugins_that_the_page_names(hook: str) -> None:
    section = PAGE.partition(f"### {hook}(")[2].partition("\n### ")[0]
    named = set(re.findall(r"\*\*(\w+)\*\*", section.rpartition("Used by")[2])) if "Used by" in section else set()
    using = {
        file.stem for file in (ROOT / "plugins").glob("[a-z]*.py") if re.search(rf"def {hook}\(", file.read_text())
    }
    assert named == using


def test_the_page_lists_all_that_a_plugin_is_given() -> None:
    for name in PluginContext.__dataclass_fields__:
        assert re.search(rf"^\|.*`{name}(`|\()", PAGE, re.MULTILINE), name
