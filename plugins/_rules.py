"""Content rules: read from policies/content.yaml, compiled once, and tried so that they do not fail on ordinary files.

A rule names *roots*: texts and numbers (``name``, ``size``) or maps (``image``, ``archive``). A map is ``{}`` where it
does not apply, so a rule asks ``has(image.pixels)`` before it uses ``image.pixels``; that is checked when it is read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cel

from gateway.domain.fields import FieldError, Fields, integer, one_of, text
from gateway.domain.upload import Outcome, Verdict

SCALARS: Mapping[str, str | int] = {
    "name": "photo.jpg",
    "ext": "jpg",
    "path": "/folder/photo.jpg",
    "type": "image/jpeg",
    "tenant": "acme",
    "plan": "standard",
    "size": 1000,
    "sniffed_type": "image/jpeg",
    "digest": "0" * 64,
}
"""Roots that every file has, with a sample of each."""
EARLY = frozenset({"name", "ext", "path", "type", "tenant", "plan", "size"})
"""Roots that are known before the body, ``size`` if it was declared."""
MAPS: Mapping[str, Mapping[str, Any]] = {
    "image": {
        "format": "JPEG",
        "width": 100,
        "height": 100,
        "pixels": 10_000,
        "frames": 1,
        "mode": "RGB",
        "gps": False,
        "malformed": False,
        "decoded": True,
        "problem": "",
    },
    "archive": {
        "kind": "zip",
        "entries": 1,
        "expanded": 1000,
        "ratio": 1.5,
        "depth": 1,
        "largest": 1000,
        "encrypted": False,
        "broken": "",
        "exceeded": "",
        "names": ["a.txt"],
    },
}
"""Roots that this plugin provides itself, with a sample of each."""

_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_STRING = re.compile(r"[rRbB]{0,2}(\"\"\".*?\"\"\"|'''.*?'''|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')", re.DOTALL)
_BOUND = re.compile(r"\.(?:all|exists|exists_one|existsOne|map|filter)\(\s*([A-Za-z_]\w*)\s*,")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class RuleFailed(Exception):
    """A rule raised, or its answer is no truth value: nothing is known about the content."""


@dataclass(frozen=True, slots=True)
class Rule:
    """``when`` is CEL over ``roots``; ``error`` is disallowed (403) or type-refused (415); ``text`` by language."""

    id: str
    clause: str
    when: str
    then: Outcome
    error: str
    text: Mapping[str, str]
    roots: frozenset[str]
    program: cel.Program = field(compare=False, repr=False)

    def matches(self, facts: Mapping[str, Any]) -> bool:
        """Whether the rule speaks of a content with these facts. RuleFailed when it cannot be told."""
        try:
            answer = self.program.execute({root: facts[root] for root in self.roots})
        except Exception as error:
            raise RuleFailed(f"rule {self.id}: {type(error).__name__}: {error}") from error
        if not isinstance(answer, bool):
            raise RuleFailed(f"rule {self.id}: {answer!r} is neither true nor false")
        return answer

    @property
    def reason(self) -> str:
        """The sentence for clients, in both languages: the language of a WebDAV client is not known."""
        return " / ".join(dict.fromkeys(self.text[language] for language in ("en", "ja") if language in self.text))

    def verdict(self) -> Verdict:
        return Verdict(self.then, self.id, self.clause, self.reason, self.error)


@dataclass(frozen=True, slots=True)
class ContentPolicy:
    """The rules in their order; ``blocked`` are SHA-256 digests that ``blocklist`` refuses."""

    rules: tuple[Rule, ...]
    blocked: frozenset[str] = frozenset()
    blocklist: Verdict | None = None
    roots: frozenset[str] = field(init=False)
    """All roots that some rule names: no other facts need to be known."""
    _any: cel.Program | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "roots", frozenset().union(*(rule.roots for rule in self.rules)))
        object.__setattr__(self, "_any", _any_of(self.rules))

    def matching(self, facts: Mapping[str, Any]) -> list[Rule]:
        """The rules that speak of a content with these facts, all of ``roots``. RuleFailed when one cannot be told."""
        return [] if self._is_passed(facts) else [rule for rule in self.rules if rule.matches(facts)]

    def _is_passed(self, facts: Mapping[str, Any]) -> bool:
        """Whether surely no rule matches, which is nearly always so and then one question."""
        try:
            return self._any is not None and self._any.execute({root: facts[root] for root in self.roots}) is False
        except Exception:  # of a foreign library, over facts of any shape: each rule for itself tells what failed
            return False


def _any_of(rules: Sequence[Rule]) -> cel.Program | None:
    """One expression of all rules: false only where each is, for CEL's ``||`` drops a failure only beside a truth. None
    where they are too many for one."""
    try:
        return cel.compile(" || ".join(f"({rule.when}\n)" for rule in rules) or "false")
    except ValueError:
        return None


def parse_policy(document: Mapping[str, Any], provided: Collection[str] | None = ()) -> ContentPolicy:
    """Reads the document. FieldError names key path and fix.

    ``provided`` are roots of other plugins; None when they are not known, and then any name may be one.
    """
    fields = Fields(document)
    fields.take("version", integer(1, 1))
    rules = fields.items("rules", lambda item, path: _rule(item, path, provided), ())
    for number, rule in enumerate(rules):
        if any(rule.id == other.id for other in rules[:number]):
            raise FieldError(f"rules[{number}].id", f"{rule.id!r} is given twice", "give each rule an id of its own")
    blocked: frozenset[str] = frozenset()
    blocklist: Verdict | None = None
    if fields.has("blocklist"):
        below = fields.section("blocklist")
        clause, words = below.take("clause", text), _texts(below)
        blocked = frozenset(below.items("sha256", _digest, ()))
        below.done()
        blocklist = Verdict(Outcome.REFUSE, "blocklist", clause, " / ".join(words.values()))
    fields.done()
    return ContentPolicy(rules, blocked, blocklist)


def _digest(value: object, path: str) -> str:
    digest = str(value).lower()
    if not _SHA256.fullmatch(digest):
        raise FieldError(path, f"{value!r} is no SHA-256", 'write 64 hex digits in quotes: "e3b0..."')
    return digest


def _texts(fields: Fields) -> Mapping[str, str]:
    below = fields.section("text")
    words = {language: below.take(language, text) for language in ("en", "ja")}
    below.done()
    return words


def _rule(item: object, path: str, provided: Collection[str] | None) -> Rule:
    fields = Fields(item, path)
    rule_id = fields.take("id", _id)
    clause = fields.take("clause", text)
    when = fields.take("when", text)
    then = fields.take("then", lambda value: Outcome(one_of("refuse", "hold", "mark")(value)))
    error = fields.take("error", one_of("disallowed", "type-refused"), "disallowed")
    words = _texts(fields)
    fields.done()
    program, roots = _compile(when, f"{path}.when", provided)
    rule = Rule(rule_id, clause, when, then, error, words, roots, program)
    _try(rule, f"{path}.when")
    return rule


def _id(value: object) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError(f"{value!r} is no id: a-z, 0-9 and single dashes")
    return value


def _compile(when: str, path: str, provided: Collection[str] | None) -> tuple[cel.Program, frozenset[str]]:
    try:
        program = cel.compile(when)
    except ValueError as error:
        raise FieldError(path, " ".join(str(error).split())[:300], "write a CEL expression") from None
    bare = _STRING.sub('""', when)
    roots = frozenset(program.variables()) - frozenset(_BOUND.findall(bare))
    known = {*SCALARS, *MAPS, *(provided or ())}
    unknown = sorted(roots - known) if provided is not None else []
    if unknown:
        raise FieldError(path, f"there is no fact {unknown[0]!r}", "use one of " + ", ".join(sorted(known)))
    for root in sorted(roots - set(SCALARS)):
        for used in sorted(set(re.findall(rf"(?<![\w.]){root}\.([A-Za-z_]\w*)", bare))):
            if root in MAPS and used not in MAPS[root]:
                raise FieldError(path, f"there is no fact {root}.{used}", "use one of " + ", ".join(MAPS[root]))
            if not re.search(rf"\bhas\(\s*{root}\.{used}\s*\)", bare):
                raise FieldError(path, f"{root}.{used} is not there for every file", f"write has({root}.{used}) && ...")
    return program, roots


def _try(rule: Rule, path: str) -> None:
    """Runs the rule over a file without, and one with, all the facts: most mistakes of type show here."""
    samples: list[Mapping[str, Any]] = [{root: {} for root in rule.roots}, MAPS]
    for sample in samples:
        facts = {**{root: {} for root in rule.roots}, **sample, **SCALARS}
        try:
            rule.matches(facts)
        except RuleFailed as failure:
            raise FieldError(path, str(failure), "guard maps with has(), compare like with like") from None
