"""PROPPATCH bodies: read strictly by us, handed to wsgidav in a form in which each value is already what will be kept.

wsgidav parses a body with a general XML reader and loses prefixes and the xml:lang in force. So the client's body goes
through ``markup`` and what the engine gets has, in place of each value, its text as XML: the engine walks the update,
asks for each property whether it may be set, and builds the 207 (RFC 4918 section 9.2).
"""

from __future__ import annotations

from xml.etree import ElementTree

from gateway.domain.errors import BadRequest
from gateway.wire.markup import Element, parse, write

MAX_PROPS = 64 * 1024
"""Characters of dead properties on one node: a bound on what a listing can be made to carry."""


def for_engine(body: bytes) -> bytes:
    """The propertyupdate with each value as text. Raises BadRequest."""
    root = parse(body)
    if root.name != "{DAV:}propertyupdate":
        raise BadRequest("the body of PROPPATCH is a DAV:propertyupdate element")
    update = ElementTree.Element(root.name)
    for step in root.children:
        if step.name not in ("{DAV:}set", "{DAV:}remove"):
            continue  # RFC 4918 section 17: unknown elements are ignored
        part = ElementTree.SubElement(update, step.name)
        for prop in (one for one in step.children if one.name == "{DAV:}prop"):
            group = ElementTree.SubElement(part, prop.name)
            for value in prop.children:
                _add(group, value, keep=step.name == "{DAV:}set")
    if not any(len(group) for part in update for group in part):
        raise BadRequest("DAV:propertyupdate names no property")
    return bytes(ElementTree.tostring(update, encoding="utf-8", xml_declaration=True))


def _add(group: ElementTree.Element, value: Element, *, keep: bool) -> None:
    element = ElementTree.SubElement(group, value.name)
    if keep:
        element.text = write(value)
