"""Proves that the scanner looks as far as our limits say: EICAR as the last member of an archive of just that size."""

from __future__ import annotations

import io
import tempfile
import threading
import time
import zipfile
from typing import BinaryIO, cast

from gateway.hooks import HealthFact
from plugins._archives import ArchiveLimits
from plugins._clamd import ScannerFault, StreamTooLong
from plugins._scanner import Scanner

# in two halves, so that no scanner takes this file for the test virus
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
_BLOCK = bytes(1024 * 1024)
# zeros of another length pack into a few bytes more or less, and the second try must not become too long
_SLACK = 8192
_FACT = "virus_scanner_proof"


def write_proof(file: BinaryIO, limits: ArchiveLimits) -> None:
    """Writes a zip of exactly ``limits.member`` bytes whose members expand to ``limits.expanded``, EICAR last.

    A stored member fills the size, deflated zeros fill the expanded size, a comment fills the last bytes.
    """
    _write_zip(file, limits.member // 2, limits)
    _write_zip(file, limits.member // 2 + limits.member - file.tell() - _SLACK, limits)
    missing = limits.member - file.tell()
    file.seek(-2, io.SEEK_END)
    file.write(missing.to_bytes(2, "little") + b"-" * missing)  # the comment's length ends the end record


def _write_zip(file: BinaryIO, stored: int, limits: ArchiveLimits) -> None:
    file.seek(0)
    file.truncate()
    with zipfile.ZipFile(file, "w") as packed:
        _fill(packed, "stored", stored, zipfile.ZIP_STORED)
        left = limits.expanded - stored - len(EICAR)
        number = 0
        while left > 0:
            part, number = min(left, limits.member), number + 1
            _fill(packed, f"deflated-{number}", part, zipfile.ZIP_DEFLATED)
            left -= part
        packed.writestr("last.com", EICAR)
    file.seek(0, io.SEEK_END)


def _fill(packed: zipfile.ZipFile, name: str, size: int, method: int) -> None:
    info = zipfile.ZipInfo(name)
    info.compress_type = method
    with packed.open(info, "w") as member:
        while size > 0:
            member.write(_BLOCK[:size])
            size -= len(_BLOCK)


class ScannerProof:
    """The last proof of this process; ``fact`` makes a new one when there is none younger than ``every`` seconds."""

    def __init__(self, scanner: Scanner, limits: ArchiveLimits, every: float) -> None:
        self._scanner = scanner
        self._limits = limits
        self._every = every
        self._lock = threading.Lock()
        self._at = float("-inf")
        self._problem: str | None = None

    def run(self) -> str | None:
        """Proves now. Returns the problem, None when the scanner found what it had to find."""
        with self._lock:
            try:
                self._problem = self._prove()
                self._at = time.monotonic()
            except ScannerFault as fault:
                self._problem = f"the scanner could not be proven: {fault}"
                self._at = float("-inf")  # nothing was learned of its limits: try again when asked again
            return self._problem

    def fact(self) -> HealthFact:
        with self._lock:
            fresh = time.monotonic() - self._at < self._every
            problem = self._problem
        if not fresh:
            problem = self.run()
        if problem:
            return HealthFact(_FACT, "error", problem, 0.0)
        return HealthFact(_FACT, "ok", "the scanner finds a test virus at the very end of what it is given", 1.0)

    def _prove(self) -> str | None:
        self._scanner.version(0.0)
        with tempfile.TemporaryFile() as file:
            write_proof(cast(BinaryIO, file), self._limits)
            file.seek(0)
            try:
                answer = self._scanner.scan(cast(BinaryIO, file), self._limits.member)
            except StreamTooLong:
                return "clamd's StreamMaxLength is below max_size of virus_scan: raise it, or lower max_size"
        if answer.signature is None or answer.signature.startswith("Heuristics."):
            return (
                "clamd overlooks a virus in an archive of max_size and max_expanded: raise its MaxFileSize,"
                " MaxScanSize and StreamMaxLength, or lower the limits of virus_scan"
            )
        return None
