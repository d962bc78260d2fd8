"""The rule book as an index: rule or decision id → title, clause, text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.domain.errors import NotFound

_HEAD = re.compile(
    r"\*\*(?P<id>(?:P|SVC|APP|CAL|TERM|ACCT|FEE|TAX|LIM|CHG|PRO|TKD|INT|DSC|XFR|PRV|CUS|SEC|LIA|NTC|END|ANT|GEN|REV|DAT|AGT"
    r"|PAY|EXT|SLA|CMP|OPS|ACC)(?:-[A-Z]+)?-\d+)(?: (?P<title>[^*]+))?\*\*(?: `\[(?P<clause>[^\]]+)\]`)?"
)
_DECISION = re.compile(r"\bD-\d\d\b")
_ID = re.compile(r"[A-Z]+(?:-[A-Z]+)?-\d+")


@dataclass(frozen=True, slots=True)
class Rule:
    """``clause`` is the place in the terms, empty for what only this rule book says; ``section`` the heading above."""

    id: str
    title: str
    clause: str
    section: str
    text: str


class Rulebook:
    """``text`` is the rule book in Markdown: ``- **ID Title** `[clause]` what is to be done``."""

    def __init__(self, text: str) -> None:
        self.rules: Mapping[str, Rule] = {rule.id: rule for rule in _rules(text)}

    def get(self, rule_id: str) -> Rule:
        """A rule, or the rule that holds a decision (``D-23``). NotFound."""
        wanted = rule_id.strip().upper()
        if wanted in self.rules:
            return self.rules[wanted]
        if _DECISION.fullmatch(wanted):
            for rule in self.rules.values():
                if re.search(rf"{wanted}\b", rule.text):
                    return rule
        raise NotFound(f"the rule book has no rule {rule_id!r}")

    def named_in(self, text: str) -> list[Rule]:
        """The rules whose ids stand in a text, such as the clause of a refusal (``PRO-01 9-5``)."""
        ids = dict.fromkeys(_ID.findall(text))
        return [self.rules[one] for one in ids if one in self.rules]


def _rules(text: str) -> Iterator[Rule]:
    section = ""
    for block, heading in _blocks(text):
        section = heading or section
        heads = list(_HEAD.finditer(block))
        for number, head in enumerate(heads):
            end = heads[number + 1].start() if number + 1 < len(heads) else len(block)
            told = " ".join(block[head.end() : end].split()).strip()
            yield Rule(head["id"], (head["title"] or "").strip(), head["clause"] or "", section, told)


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """(list item, heading above it or nothing new) in order; what is neither stands in no item."""
    heading, item = "", ""
    for line in text.splitlines():
        starts = line.startswith("- ")
        if starts or not line.startswith("  "):
            if item:
                yield item, heading
                heading = ""
            item = line[2:] if starts else ""
        elif item:
            item += "\n" + line
        if line.startswith("## "):
            heading = line[3:].partition("`")[0].strip()
        elif line and not starts and line[0] not in " |#-" and len(line) < 60:
            heading = line.strip()  # a heading within a section, such as the parts of the SLA
    if item:
        yield item, heading
