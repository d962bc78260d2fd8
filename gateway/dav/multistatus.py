"""A 207 that says what stood in the way of a change of a tree, made with wsgidav's element builders."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree

from wsgidav import xml_tools
from wsgidav.dav_error import get_http_status_string
from wsgidav.xml_tools import etree

from gateway.dav.errors import XML_TYPE
from gateway.exchange import Reply

# wsgidav names namespaces only if lxml is there; Windows reads nothing but a prefixed DAV: (CLIENTS 4)
ElementTree.register_namespace("D", "DAV:")

_REFUSED = {403: "{DAV:}cannot-modify-protected-property"}
_CONDITIONS = {423: "{DAV:}lock-token-submitted"}


def multistatus_reply(statuses: Mapping[str, int]) -> Reply:
    """207 with one response for each href (RFC 4918 section 13)."""
    root = xml_tools.make_multistatus_el()
    for url, status in statuses.items():
        response = etree.SubElement(root, "{DAV:}response")
        etree.SubElement(response, "{DAV:}href").text = url
        etree.SubElement(response, "{DAV:}status").text = f"HTTP/1.1 {get_http_status_string(status)}"
        if status in _CONDITIONS:
            error = etree.SubElement(response, "{DAV:}error")
            condition = etree.SubElement(error, _CONDITIONS[status])
            etree.SubElement(condition, "{DAV:}href").text = url
    return Reply(207, {"Content-Type": XML_TYPE}, xml_tools.xml_to_bytes(root))


def name_conditions(body: bytes) -> bytes:
    """Puts DAV:error into each propstat that was refused, and takes out the descriptions, which quote Python."""
    root = ElementTree.fromstring(body)
    for description in root.findall("{DAV:}responsedescription"):
        root.remove(description)
    for stat in root.iter("{DAV:}propstat"):
        status = int((stat.findtext("{DAV:}status") or "HTTP/1.1 500").split()[1])
        if status in _REFUSED:
            error = ElementTree.SubElement(stat, "{DAV:}error")
            ElementTree.SubElement(error, _REFUSED[status])
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
