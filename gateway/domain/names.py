"""Names and paths of a space.

A path is a tuple of decoded segments, the empty tuple is the root of the space. Any Unicode that a client can send and
a file system could hold is allowed; what is refused is refused with the reason (CLIENTS 10, RESILIENCE 16).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from gateway.domain.errors import InvalidName, NameTooLong

MAX_SEGMENT_BYTES = 255
MAX_DEPTH = 100
MAX_ENCODED_PATH = 7 * 1024

BESIDE = " (file)"
"""WebDAV has one thing of a name: a file beside a collection of its name (S3 has both) is shown with this behind it."""

Path = tuple[str, ...]
# RFC 3986 pchar without "%": what need not be escaped in a segment; "&" and "'" are escaped for XML's sake
_SAFE = "!$()*+,-.:=@_~"
_PLAIN = re.compile(f"[A-Za-z0-9{re.escape(_SAFE)}]*").fullmatch
_ESCAPES = {byte: quote(bytes([byte]), safe=_SAFE) for byte in range(256)}


def parse_path(raw: str) -> Path:
    """Decodes the percent-encoded path of a URL (``/a%20b/c``, leading slash, optional trailing one) to segments.

    Raises InvalidName for empty, ``.`` and ``..`` segments, invalid UTF-8, control characters, an encoded slash;
    NameTooLong above 255 bytes a segment, 100 levels or 7 KiB as encoded by :func:`href`.
    """
    return _parse_short(raw) if len(raw) <= _SHORT else _parse(raw)


def _parse(raw: str) -> Path:
    if not raw.startswith("/"):
        raise InvalidName("a path starts with a slash")
    body = raw[1:-1] if raw.endswith("/") and len(raw) > 1 else raw[1:]
    if not body:
        return ()
    return check_path(tuple(_decode(part) for part in body.split("/")))


# clients ask for the same few names again and again; only short ones are remembered, so that this stays small
_SHORT = 200
_parse_short = lru_cache(maxsize=4096)(_parse)


def check_path(path: Path) -> Path:
    """Returns ``path`` if a space can hold it; raises as :func:`parse_path` does."""
    for segment in path:
        check_segment(segment)
    if len(path) > MAX_DEPTH:
        raise NameTooLong(f"more than {MAX_DEPTH} levels of collections")
    if len(href(path)) > MAX_ENCODED_PATH:
        raise NameTooLong(f"the encoded path is longer than {MAX_ENCODED_PATH} bytes")
    return path


def check_segment(name: str) -> str:
    """Returns ``name`` if it can be the name of a node."""
    if name in ("", ".", ".."):
        raise InvalidName(f"a name may not be {name!r}")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidName("the name is not valid Unicode") from None
    if size > MAX_SEGMENT_BYTES or len(name_key(name).encode()) > 2 * MAX_SEGMENT_BYTES:
        raise NameTooLong(f"the name has {size} bytes, {MAX_SEGMENT_BYTES} are allowed")
    if _PLAIN(name):
        return name
    for character in name:
        if character == "/":
            raise InvalidName("a name may not hold a slash")
        if unicodedata.category(character) == "Cc" or character in "\ufffe\uffff":
            raise InvalidName(f"the name holds the control character U+{ord(character):04X}")
    return name


def name_key(name: str) -> str:
    """The form by which WebDAV finds a name: NFC, so that macOS' decomposed names find what Windows stored."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def sort_key(name: str, *, collection: bool) -> bytes:
    """The order of S3 listings: UTF-8 bytes of the name, a collection's with its slash."""
    return name.encode() + (b"/" if collection else b"")


def href(path: Path, *, collection: bool = False) -> str:
    """The percent-encoded path, with a leading slash, and a trailing one for a collection."""
    text = "".join(["/" + escape_segment(segment) for segment in path])
    return text + "/" if collection or not text else text


def escape_segment(name: str) -> str:
    """A name, percent-encoded as a segment of a URL. Nothing in it means anything to XML."""
    return name if _PLAIN(name) else name.encode().decode("latin-1").translate(_ESCAPES)


def _decode(part: str) -> str:
    if _PLAIN(part):
        return part
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise InvalidName("the path is not valid UTF-8") from None
