"""XML as WebDAV needs it: read under limits and without entities, written back so that a stored value stands alone.

Bodies come from anybody who may log in, so that the reader refuses DOCTYPE (with it go all entities), deep nesting and
masses of elements before it builds anything (RESILIENCE 18). RFC 4918 section 4.3 asks to keep namespaces, attributes,
``xml:lang`` in force and, where possible, prefixes of a dead property: hence a small tree of our own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from gateway.domain.errors import BadRequest

MAX_BODY = 1024 * 1024
MAX_DEPTH = 64
MAX_ELEMENTS = 10_000
XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"
LANG = f"{{{XML_NAMESPACE}}}lang"
_NCNAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPECIAL = re.compile(f"[&<>\r{_UNWRITABLE.pattern[1:]}")
_SEPARATOR = "\x1f"  # cannot stand in XML 1.0, so no namespace name can hold it


@dataclass(slots=True)
class Element:
    """``name`` in Clark notation; ``attributes`` by Clark name; ``prefixes`` name → the prefix that the client used."""

    name: str
    prefix: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    attribute_prefixes: dict[str, str] = field(default_factory=dict)
    content: list[Element | str] = field(default_factory=list)
    lang: str = ""

    @property
    def children(self) -> list[Element]:
        return [one for one in self.content if isinstance(one, Element)]

    @property
    def text(self) -> str:
        return "".join(one for one in self.content if isinstance(one, str))


class _Reader:
    def __init__(self, max_elements: int) -> None:
        self.max_elements = max_elements
        self.parser: Any = expat.ParserCreate(namespace_separator=_SEPARATOR)
        self.parser.namespace_prefixes = True
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.data
        self.parser.StartDoctypeDeclHandler = self.doctype
        self.open: list[Element] = []
        self.root: Element | None = None
        self.count = 0

    def doctype(self, *_: object) -> None:
        raise BadRequest("a body with a DOCTYPE is not accepted")

    def start(self, raw: str, attributes: Mapping[str, str]) -> None:
        self.count += 1
        if self.count > self.max_elements or len(self.open) >= MAX_DEPTH:
            raise BadRequest(f"the body has more than {self.max_elements} elements or {MAX_DEPTH} levels")
        name, prefix = _clark(raw)
        element = Element(name, prefix, lang=self.open[-1].lang if self.open else "")
        for key, value in attributes.items():
            attribute, attribute_prefix = _clark(key)
            element.attributes[attribute] = value
            element.attribute_prefixes[attribute] = attribute_prefix
        element.lang = element.attributes.get(LANG, element.lang)
        if self.open:
            self.open[-1].content.append(element)
        else:
            self.root = element
        self.open.append(element)

    def end(self, _: str) -> None:
        self.open.pop()

    def data(self, text: str) -> None:
        if self.open:
            self.open[-1].content.append(text)


def _clark(raw: str) -> tuple[str, str]:
    parts = raw.split(_SEPARATOR)
    if len(parts) == 1:
        return raw, ""
    if "}" in parts[0]:
        # no URI holds one (RFC 3986), and in Clark notation it would end the namespace early
        raise BadRequest("the name of a namespace holds a brace")
    return f"{{{parts[0]}}}{parts[1]}", parts[2] if len(parts) > 2 else ""


def parse(body: bytes, max_elements: int = MAX_ELEMENTS) -> Element:
    """The root element of a request body. Raises BadRequest for malformed XML, DOCTYPE and bodies above the limits."""
    reader = _Reader(max_elements)
    try:
        reader.parser.Parse(body, True)
    except expat.ExpatError as error:
        raise BadRequest(f"the body is not well-formed XML (line {error.lineno}, column {error.offset + 1})") from None
    except (UnicodeError, LookupError, ValueError):
        raise BadRequest("the body is not in the encoding that it declares") from None
    if reader.root is None:
        raise BadRequest("the body holds no element")
    return reader.root


def escape(text: str) -> str:
    """Character data. What XML cannot hold becomes U+FFFD, so that an answer is always well-formed."""
    if not _SPECIAL.search(text):
        return text
    text = _UNWRITABLE.sub("\ufffd", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def escape_attribute(text: str) -> str:
    return escape(text).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")


def split_clark(name: str) -> tuple[str, str]:
    """``{namespace}local`` → (namespace, local); the namespace is empty for a name without one."""
    if name.startswith("{"):
        namespace, _, local = name[1:].partition("}")
        return namespace, local
    return "", name


def is_local_name(text: str) -> bool:
    """Whether the text can be written as an element name (a safe part of what XML allows)."""
    return _NCNAME.fullmatch(text) is not None


def empty(name: str, known: Mapping[str, str]) -> str:
    """An empty element; ``known`` maps namespaces to prefixes in force."""
    namespace, local = split_clark(name)
    if not namespace:
        return f"<{local}/>"
    prefix = "xml" if namespace == XML_NAMESPACE else known.get(namespace)  # no other prefix may be bound to it
    if prefix:
        return f"<{prefix}:{local}/>"
    return f'<N:{local} xmlns:N="{escape_attribute(namespace)}"/>'


def write(element: Element, *, lang: bool = True) -> str:
    """The element as text that declares every namespace it uses; ``lang`` adds the xml:lang in force around it."""
    parts: list[str] = []
    attributes = dict(element.attributes)
    if lang and element.lang and LANG not in attributes:
        attributes[LANG] = element.lang
    _write(element, attributes, {"": "", "xml": XML_NAMESPACE}, parts)
    return "".join(parts)


def _write(element: Element, attributes: Mapping[str, str], scope: Mapping[str, str], parts: list[str]) -> None:
    tag = _Tag(scope)
    name = tag.qualify(element.name, element.prefix)
    fields = "".join(
        f' {tag.qualify_attribute(key, element.attribute_prefixes.get(key, ""))}="{escape_attribute(value)}"'
        for key, value in attributes.items()
    )
    opening = f"<{name}{tag.declarations}{fields}"
    if not element.content:
        parts.append(opening + "/>")
        return
    parts.append(opening + ">")
    for one in element.content:
        if isinstance(one, str):
            parts.append(escape(one))
        else:
            _write(one, one.attributes, tag.scope, parts)
    parts.append(f"</{name}>")


class _Tag:
    """The names on one tag: each prefix has one meaning there, declared where it is not in force already."""

    def __init__(self, scope: Mapping[str, str]) -> None:
        self.scope = dict(scope)
        self.declarations = ""
        self._used: dict[str, str] = {}

    def qualify(self, name: str, prefix: str) -> str:
        namespace, local = split_clark(name)
        if namespace == XML_NAMESPACE:
            return f"xml:{local}"
        prefix = self._bind(prefix if namespace else "", namespace)
        return f"{prefix}:{local}" if prefix else local

    def qualify_attribute(self, name: str, prefix: str) -> str:
        namespace, local = split_clark(name)
        if not namespace:
            return local
        if namespace == XML_NAMESPACE:
            return f"xml:{local}"
        return f"{self._bind(prefix or 'N', namespace)}:{local}"

    def _bind(self, prefix: str, namespace: str) -> str:
        while self._used.setdefault(prefix, namespace) != namespace:
            prefix += "N"
        if self.scope.get(prefix) != namespace:
            self.scope[prefix] = namespace
            binding = f"xmlns:{prefix}" if prefix else "xmlns"
            self.declarations += f' {binding}="{escape_attribute(namespace)}"'
        return prefix
