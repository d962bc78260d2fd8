"""The checksums of S3: of a whole body, in the head or behind the body, verified and kept with the version.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html. The CRCs are those of
awscrt, which also joins those of parts.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from awscrt import checksums as crt

from gateway.domain.errors import DigestMismatch
from gateway.domain.node import Version
from gateway.exchange import Headers
from gateway.s3.errors import S3Fault
from gateway.s3.payload import Payload
from gateway.service.digesting import Block

FACT = "checksum"
"""``ALGORITHM TYPE BASE64`` among the facts of a version."""
FULL, COMPOSITE = "FULL_OBJECT", "COMPOSITE"
PREFIX = "x-amz-checksum-"


Fields = Headers | Mapping[str, str]
"""Of a request, or of a form, whose names are in lower case."""


class Running(Protocol):
    """A checksum that is being computed."""

    def update(self, block: Block, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc:
    def __init__(self, step: Callable[[Block, int], int], size: int) -> None:
        self._step = step
        self._size = size
        self._value = 0

    def update(self, block: Block) -> None:
        self._value = self._step(block, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


ALGORITHMS: Mapping[str, Callable[[], Running]] = {
    "CRC32": lambda: _Crc(crt.crc32, 4),
    "CRC32C": lambda: _Crc(crt.crc32c, 4),
    "CRC64NVME": lambda: _Crc(crt.crc64nvme, 8),
    "SHA1": hashlib.sha1,
    "SHA256": hashlib.sha256,
}
_NAMES = {PREFIX + name.lower(): name for name in ALGORITHMS}


@dataclass(frozen=True, slots=True)
class Checksum:
    """``value`` in base64; for ``COMPOSITE`` with the number of parts behind it."""

    algorithm: str
    value: str
    type: str = FULL

    @property
    def header(self) -> str:
        return PREFIX + self.algorithm.lower()

    @property
    def element(self) -> str:
        return "Checksum" + self.algorithm

    @property
    def headers(self) -> dict[str, str]:
        return {self.header: self.value, "x-amz-checksum-type": self.type}


def checksum_of(version: Version | None) -> Checksum | None:
    """The checksum that a version was stored with."""
    words = (version.facts.get(FACT, "") if version else "").split()
    return Checksum(words[0], words[2], words[1]) if len(words) == 3 else None


def fact_of(checksum: Checksum) -> dict[str, str]:
    return {FACT: f"{checksum.algorithm} {checksum.type} {checksum.value}"}


def declared_algorithm(headers: Fields, payload: Payload) -> str | None:
    """The one algorithm that a request uses: in the head, as a trailer, or None. Raises S3Fault InvalidRequest."""
    named = [name for header, name in _NAMES.items() if header in headers or header in payload.announced]
    if len(named) > 1:
        raise S3Fault(400, "InvalidRequest", "Expecting a single x-amz-checksum- header; several types are given.")
    for header in ("x-amz-sdk-checksum-algorithm", "x-amz-checksum-algorithm"):
        wanted = headers.get(header)
        if wanted is None:
            continue
        if wanted.upper() not in ALGORITHMS:
            raise S3Fault(400, "InvalidRequest", "Checksum algorithm provided is unsupported. Please try again.")
        if named and named[0] != wanted.upper():
            raise S3Fault(400, "InvalidRequest", f"Value for {header} header is invalid.")
        if not named and header == "x-amz-sdk-checksum-algorithm":
            raise S3Fault(
                400,
                "InvalidRequest",
                f"{header} specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.",
            )
    return named[0] if named else None


class ChecksumTap:
    """Sees the bytes of an upload (:class:`gateway.service.uploads.Tap`) and compares at the end, when a trailer has
    come. ``computed`` is the checksum then."""

    def __init__(self, algorithm: str, headers: Fields, payload: Payload) -> None:
        self.algorithm = algorithm
        self._header = PREFIX + algorithm.lower()
        self._declared = headers.get(self._header)
        self._payload = payload
        self._running = ALGORITHMS[algorithm]()
        self.computed: Checksum | None = None
        if self._declared is not None:
            self._check_form(self._declared)

    def feed(self, block: Block) -> None:
        self._running.update(block)

    def close(self) -> Mapping[str, str]:
        value = base64.b64encode(self._running.digest()).decode()
        declared = self._payload.trailers.get(self._header) if self._declared is None else self._declared
        if declared is None:
            raise S3Fault(400, "MalformedTrailerError", f"the trailer {self._header} did not come")
        self._check_form(declared)
        if declared != value:
            raise DigestMismatch(
                f"The {self.algorithm} you specified did not match the calculated checksum.", self.algorithm
            )
        self.computed = Checksum(self.algorithm, value)
        return fact_of(self.computed)

    def _check_form(self, value: str) -> None:
        try:
            size = len(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            size = -1
        if size != len(self._running.digest()):
            raise S3Fault(400, "BadDigest", f"Value for {self._header} header is invalid.")


def tap_of(headers: Fields, payload: Payload) -> ChecksumTap | None:
    """What checks the body of this request, if it declares a checksum."""
    algorithm = declared_algorithm(headers, payload)
    return ChecksumTap(algorithm, headers, payload) if algorithm else None
