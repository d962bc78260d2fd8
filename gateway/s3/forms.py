"""A body of ``multipart/form-data`` (RFC 7578) whose last part is a file: read as it comes, the file never held."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from gateway.domain.errors import IncompleteBody, TooLarge
from gateway.exchange import Body
from gateway.s3.errors import S3Fault

MAX_FIELDS = 64 * 1024
"""All fields before the file, with their heads."""
_BOUNDARY = re.compile(r'multipart/form-data\s*;(?:.*;)?\s*boundary=("?)([^";,]{1,70})\1\s*(?:;.*)?', re.IGNORECASE)
_PARAMETER = re.compile(r'(?:^|;)\s*(name|filename)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]*))', re.IGNORECASE)


def boundary_of(content_type: str) -> bytes:
    """The boundary; S3Fault for a type that is no form."""
    match = _BOUNDARY.fullmatch(content_type.strip())
    if match is None:
        raise _malformed("Bucket POST must be of the enclosure-type multipart/form-data")
    return match[2].encode("latin-1", "replace")


def _malformed(message: str) -> S3Fault:
    return S3Fault(400, "MalformedPOSTRequest", message)


class Form:
    """``fields`` by name in lower case; ``file`` implements ``exchange.Body`` for the bytes of the part ``file``."""

    def __init__(self, fields: dict[str, str], filename: str, file: FilePart) -> None:
        self.fields = fields
        self.filename = filename
        self.file = file


async def read_form(body: Body, boundary: bytes) -> Form:
    """Reads up to the file. Raises S3Fault MalformedPOSTRequest, and one for fields above the limit."""
    source = _Parts(body.blocks(), b"--" + boundary)
    fields: dict[str, str] = {}
    size = 0
    if not await source.begin():
        raise _malformed("the form has no parts")
    while True:
        head = await source.head()
        name, filename = _names(head)
        if name == "file":
            return Form(fields, filename, FilePart(source))
        value = b"".join([block async for block in source.content(MAX_FIELDS)])
        size += len(head) + len(value)
        if size > MAX_FIELDS:
            raise S3Fault(400, "MaxPostPreDataLengthExceeded", "the fields before the file are too long")
        fields.setdefault(name, value.decode("utf-8", "surrogateescape"))
        if not await source.has_next():
            message = "POST requires exactly one file upload per request."
            raise S3Fault(400, "InvalidArgument", message, {"ArgumentName": "file", "ArgumentValue": "0"})


def _names(head: bytes) -> tuple[str, str]:
    for line in head.decode("utf-8", "surrogateescape").split("\r\n"):
        field, _, value = line.partition(":")
        if field.strip().lower() == "content-disposition":
            found = {
                match[1].lower(): re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
                for match in _PARAMETER.finditer(value)
            }
            if found.get("name"):
                return found["name"].lower(), found.get("filename", "")
    raise _malformed("a part of the form has no name")


class FilePart:
    """Implements ``exchange.Body``; nothing tells its length before it has ended."""

    length: int | None = None

    def __init__(self, source: _Parts) -> None:
        self._source = source

    def take(self) -> bytes | None:
        return None

    async def blocks(self) -> AsyncIterator[bytes]:
        async for block in self._source.content(None):
            yield block
        await self._source.skip_rest()

    async def read(self, limit: int) -> bytes:
        parts, size = [], 0
        async for block in self.blocks():
            size += len(block)
            if size > limit:
                raise TooLarge(f"the file may have at most {limit} bytes here")
            parts.append(block)
        return b"".join(parts)


class _Parts:
    def __init__(self, blocks: AsyncIterator[bytes], delimiter: bytes) -> None:
        self._blocks = blocks
        self._delimiter = b"\r\n" + delimiter
        self._held = b"\r\n"  # the first boundary has no line before it

    async def _more(self) -> bool:
        block = await anext(self._blocks, b"")
        self._held += block
        return bool(block)

    async def _need(self) -> None:
        if not await self._more():
            raise IncompleteBody("the form ended early")

    async def begin(self) -> bool:
        """Goes past the first boundary."""
        while (at := self._held.find(self._delimiter)) < 0:
            if len(self._held) > MAX_FIELDS or not await self._more():
                return False
        self._held = self._held[at + len(self._delimiter) :]
        return await self.has_next()

    async def has_next(self) -> bool:
        """After a boundary: whether another part follows."""
        while len(self._held) < 2:
            await self._need()
        return not self._held.startswith(b"--")

    async def head(self) -> bytes:
        while (end := self._held.find(b"\r\n\r\n")) < 0:
            if len(self._held) > MAX_FIELDS:
                raise _malformed("the head of a part is too long")
            await self._need()
        head, self._held = self._held[:end], self._held[end + 4 :]
        return head

    async def content(self, limit: int | None) -> AsyncIterator[bytes]:
        """The bytes of a part, past the boundary that ends it."""
        size = 0
        while (at := self._held.find(self._delimiter)) < 0:
            keep = len(self._delimiter) - 1
            ready, self._held = self._held[:-keep], self._held[-keep:]
            size += len(ready)
            if limit is not None and size > limit:
                raise S3Fault(400, "MaxPostPreDataLengthExceeded", "the fields before the file are too long")
            if ready:
                yield ready
            await self._need()
        ready, self._held = self._held[:at], self._held[at + len(self._delimiter) :]
        if ready:
            yield ready

    async def skip_rest(self) -> None:
        """Reads what follows the file away: S3 does not look at it."""
        self._held = b""
        while await self._more():
            self._held = b""
