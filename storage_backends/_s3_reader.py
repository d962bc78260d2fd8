"""A range of a blob as a stream that goes on where it was cut, and ends with an error rather than too early."""

from __future__ import annotations

import io
import re
import time
from contextlib import suppress
from typing import Any

from gateway.domain.errors import BackendUnavailable, DamagedBlob, NotFound
from storage_backends._s3_connection import MISSING, ONCE, USUAL, Connection, code_of, status_of, whole
from storage_backends._s3_digest import EtagDigest
from storage_backends._s3_writer import FIRST_PART, MD5

RESUMES, RESUME_SECONDS = 3, 8.0
"""So often in a row, and so long (seconds), without a byte between, a stream is opened again. With what a try may last
itself this is less than the 20 s that a silence may (RESILIENCE 12)."""

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class S3Reader(io.RawIOBase):
    """Opened by the constructor: NotFound, BackendUnavailable. A blob that is read whole is compared with the digest
    that was stored with it, and its last bytes are not given out before (DamagedBlob)."""

    def __init__(self, connection: Connection, object_key: str, start: int, length: int | None) -> None:
        self._connection = connection
        self._place = {"Bucket": connection.settings.bucket, "Key": object_key}
        self._at = start
        self._end = start
        self._total = 0
        self._body: Any = None
        self._etag: str | None = None
        self._digest: EtagDigest | None = None
        self._expected = ""
        self._failures = 0
        self._begin(start, length)

    def _begin(self, start: int, length: int | None) -> None:
        """The first answer says how long the range is and what the whole must be."""
        if start or length is not None:
            until = "" if length is None else str(start + length - 1)
            answer = self._get({"Range": f"bytes={start}-{until}"})
            if answer is None:
                return  # nothing of the blob lies in the range
            first, last, total = _range_of(answer)
            if first != start:
                _close(answer["Body"])
                raise BackendUnavailable("the storage gave another range than it was asked for")
        else:
            answer = whole(self._get({}), "ContentLength", "ETag", "LastModified", "Body")
            first, last, total = 0, answer["ContentLength"] - 1, answer["ContentLength"]
        self._end, self._total = last + 1, total
        self._body, self._etag = answer["Body"], answer.get("ETag")
        if first == 0 and last + 1 == total:
            self._expect(answer)

    def _expect(self, answer: Any) -> None:
        metadata = answer.get("Metadata", {})
        if MD5 in metadata:
            self._expected, self._digest = metadata[MD5], EtagDigest(None)
        elif metadata.get(FIRST_PART, "").isdecimal() and answer.get("ServerSideEncryption", "AES256") == "AES256":
            self._expected, self._digest = answer["ETag"].strip('"'), EtagDigest(int(metadata[FIRST_PART]))

    def _get(self, options: dict[str, str], manner: str = USUAL) -> Any:
        """None for a range beyond the end."""
        with self._connection.request("be read", manner) as client:
            try:
                return client.get_object(**self._place, **options)
            except client.exceptions.ClientError as error:
                if code_of(error) in MISSING:
                    raise NotFound("no such blob") from None
                if status_of(error) == 416:
                    return None
                if status_of(error) == 412:
                    raise BackendUnavailable("a blob was stored anew while it was read") from None
                raise

    # -- the stream ---------------------------------------------------------------------------------------------------

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: self._end - self._at]
        while view:
            try:
                with self._connection.watched("be read"):
                    data = self._body.read(len(view))
                if not data:
                    raise BackendUnavailable("the storage ended a blob early")
            except BackendUnavailable:
                self._resume()
                continue
            self._failures = 0
            self._took(data)
            view[: len(data)] = data
            return len(data)
        return 0

    def _took(self, data: bytes) -> None:
        self._at += len(data)
        if self._digest is not None:
            self._digest.update(data)
            if self._at == self._end and self._digest.etag() != self._expected:
                raise DamagedBlob("the storage holds other bytes than it was given")
        if self._at == self._end:
            self._drop_body()

    def _resume(self) -> None:
        """Opens the rest of the range anew. BackendUnavailable after too many tries."""
        end = time.monotonic() + RESUME_SECONDS
        while True:
            self._failures += 1
            if self._failures > RESUMES or time.monotonic() > end:
                raise BackendUnavailable("the storage ended a blob early")
            self._drop_body(broken=True)
            try:
                wanted = {"Range": f"bytes={self._at}-{self._end - 1}", "IfMatch": self._etag or "*"}
                answer = self._get(wanted, ONCE)
            except NotFound:
                raise BackendUnavailable("a blob was deleted while it was read") from None
            except BackendUnavailable:
                if self._connection.breaker.is_open:
                    raise
                continue
            if answer is None or _range_of(answer) != (self._at, self._end - 1, self._total):
                raise BackendUnavailable("the storage gave another range than it was asked for")
            self._body = answer["Body"]
            return

    def _drop_body(self, *, broken: bool = False) -> None:
        body, self._body = self._body, None
        if body is not None:
            _close(body, broken or self._at < self._end)

    def close(self) -> None:
        self._drop_body()
        super().close()


def _close(body: Any, broken: bool = True) -> None:
    """A connection with bytes under way cannot be used again; any other goes back to the pool by itself."""
    with suppress(Exception):
        if broken:
            body.close()


def _range_of(answer: Any) -> tuple[int, int, int]:
    """(first, last, total). BackendUnavailable for a store that does not serve ranges."""
    found = _CONTENT_RANGE.fullmatch(answer.get("ContentRange", ""))
    if found is None:
        _close(answer["Body"])
        raise BackendUnavailable("the storage does not serve ranges")
    return int(found[1]), int(found[2]), int(found[3])
