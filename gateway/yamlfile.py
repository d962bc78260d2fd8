"""YAML as data only: no tags that make objects, no key given twice."""

from __future__ import annotations

from typing import Any

import yaml

MAX_BYTES = 1024 * 1024


class YamlError(ValueError):
    """The text is no YAML document; the message names line and column."""


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses repeated keys (YAML 1.2 section 3.2.1.1; stock PyYAML silently takes the last)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key in seen and key != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):  # a few lines of aliases can stand for gigabytes
            peek: Any = self.peek_event  # typed in some versions of the stubs only
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not allowed", peek().start_mark)
        return super().compose_node(parent, index)


def load_yaml(text: str) -> Any:
    """The document as plain dicts, lists and scalars; None when it is empty. YamlError otherwise."""
    if len(text) > MAX_BYTES:
        raise YamlError(f"longer than {MAX_BYTES} characters")
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise YamlError(f"{where}{error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise YamlError(" ".join(str(error).split()) or "nested too deep") from None
