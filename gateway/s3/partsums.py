"""Checksums of uploads by parts: of each part, of the parts' checksums (composite), or of the whole (full object).

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html#Checksum-Type
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

from gateway.domain.errors import DigestMismatch
from gateway.domain.multipart import MultipartUpload, Part
from gateway.exchange import Headers
from gateway.s3.checksums import ALGORITHMS, COMPOSITE, FULL, PREFIX, Checksum, fact_of
from gateway.s3.errors import S3Fault
from gateway.service.digesting import Block

_CRCS = ("CRC32", "CRC32C", "CRC64NVME")


def announced(headers: Headers) -> tuple[str, str]:
    """(algorithm, type) that a new upload is to have, "" for none. Raises S3Fault InvalidRequest."""
    algorithm = (headers.get("x-amz-checksum-algorithm") or "").upper()
    kind = (headers.get("x-amz-checksum-type") or "").upper()
    if not algorithm:
        if kind:
            raise _invalid("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
        return "", ""
    if algorithm not in ALGORITHMS:
        raise _invalid("Checksum algorithm provided is unsupported. Please try again with any of the valid types.")
    if not kind:
        kind = FULL if algorithm == "CRC64NVME" else COMPOSITE
    if kind not in (FULL, COMPOSITE):
        raise _invalid("Value for x-amz-checksum-type header is invalid.")
    if (kind == FULL and algorithm not in _CRCS) or (kind == COMPOSITE and algorithm == "CRC64NVME"):
        raise _invalid(f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm.")
    return algorithm, kind


def checksum_of_part(part: Part) -> Checksum | None:
    words = part.checksum.split()
    return Checksum(words[0], words[2], words[1]) if len(words) == 3 else None


class ComputingTap:
    """Computes a checksum that nobody has declared, or (``declared``) compares it."""

    def __init__(self, algorithm: str, declared: str | None = None) -> None:
        self._algorithm = algorithm
        self._declared = declared
        self._running = ALGORITHMS[algorithm]()
        self.computed: Checksum | None = None

    def feed(self, block: Block) -> None:
        self._running.update(block)

    def close(self) -> Mapping[str, str]:
        self.computed = Checksum(self._algorithm, base64.b64encode(self._running.digest()).decode())
        if self._declared is not None and self._declared != self.computed.value:
            raise mismatch(self._algorithm)
        return fact_of(self.computed)


class CompositeTap:
    """The checksum of the parts' checksums; it needs no bytes."""

    def __init__(self, checksum: Checksum) -> None:
        self.computed: Checksum | None = checksum

    def feed(self, block: Block) -> None:
        """Nothing to do."""

    def close(self) -> Mapping[str, str]:
        return fact_of(self.computed) if self.computed else {}


def tap_of_whole(
    headers: Headers, upload: MultipartUpload, parts: Sequence[Part]
) -> ComputingTap | CompositeTap | None:
    """What computes the checksum of the completed object, and compares it with what the head declares."""
    algorithm, kind = upload.checksum
    given = next((name for name in ALGORITHMS if PREFIX + name.lower() in headers), None)
    declared = headers.get(PREFIX + given.lower()) if given else None
    wanted = (headers.get("x-amz-checksum-type") or "").upper()
    if algorithm and wanted and wanted != kind:
        raise _invalid(
            f"The upload was created using the {kind} checksum mode; the complete request must use the same."
        )
    if algorithm and given and given != algorithm:
        raise _invalid(f"Checksum Type mismatch occurred, expected checksum Type: {algorithm.lower()}")
    if not algorithm:
        if given is None or (wanted or FULL) != FULL or given not in _CRCS:
            return None
        return ComputingTap(given, declared)
    if kind == FULL:
        return ComputingTap(algorithm, declared)
    composite = _composite(algorithm, parts)
    if composite and declared is not None and declared.partition("-")[0] != composite.value.partition("-")[0]:
        raise mismatch(algorithm)
    return CompositeTap(composite) if composite else None


def _composite(algorithm: str, parts: Sequence[Part]) -> Checksum | None:
    running = ALGORITHMS[algorithm]()
    for part in parts:
        checksum = checksum_of_part(part)
        if checksum is None or checksum.algorithm != algorithm:
            return None
        running.update(base64.b64decode(checksum.value))
    return Checksum(algorithm, f"{base64.b64encode(running.digest()).decode()}-{len(parts)}", COMPOSITE)


def mismatch(algorithm: str) -> DigestMismatch:
    return DigestMismatch(f"The {algorithm} you specified did not match the calculated checksum.", algorithm)


def _invalid(message: str) -> S3Fault:
    return S3Fault(400, "InvalidRequest", message)
