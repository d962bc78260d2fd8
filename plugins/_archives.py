"""Looks into archives within bounds of time, memory and disk: how much is in there, how deep, can it be read.

zip, gzip, bzip2, xz and tar are unpacked for real and counted, nested ones too: what the heads of an archive claim is
not believed. Other kinds (7z, rar, cab) are not looked into. Figures are lower bounds once a limit was met.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import tempfile
import threading
import time
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, cast

_BLOCK = 256 * 1024
_SPOOL = 1024 * 1024
_NAMES_KEPT = 1000
_MAX_DIRECTORY = 4 * 1024 * 1024
_XZ_MEMORY = 128 * 1024 * 1024
_TAR_BLOCK = 512
# deflate64, zstd, lzma (whose head may ask for 4 GiB) and the like are not unpacked here
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
_UNREADABLE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, NotImplementedError, struct.error,
    RuntimeError, MemoryError, KeyError, IndexError, OverflowError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """``member`` and ``expanded`` (all members, nested ones too) in bytes; ``depth`` of archives in archives;
    ``ratio`` is expanded to packed size, above which too much is a bomb; ``seconds`` for the whole look."""

    member: int = 25 * 1024 * 1024
    expanded: int = 64 * 1024 * 1024
    depth: int = 8
    entries: int = 10_000
    ratio: float = 100.0
    seconds: float = 30.0


@dataclass
class Archive:
    """What was found. ``kind`` is "" for what is no archive that we can look into. ``exceeded``: "", ``too-large`` or
    ``bomb``; ``broken``: why it cannot be read whole."""

    kind: str = ""
    entries: int = 0
    expanded: int = 0
    depth: int = 0
    largest: int = 0
    encrypted: bool = False
    broken: str = ""
    exceeded: str = ""
    why: str = ""
    packed: int = 0
    names: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return self.expanded / self.packed if self.packed else 0.0


class _Stop(Exception):
    """A limit was met: nothing more needs to be known."""


def kind_of(head: bytes) -> str:
    """``zip``, ``gzip``, ``bzip2``, ``xz``, ``tar`` or "" by the first 512 bytes."""
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"):
        return "zip"
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    if head[:3] == b"BZh" and head[4:10] in (b"1AY&SY", b"\x17rE8P\x90"):
        return "bzip2"
    if head[:6] == b"\xfd7zXZ\x00":
        return "xz"
    if head[257:262] == b"ustar" and _tar_sum_holds(head[:_TAR_BLOCK]):
        return "tar"
    return ""


def may_be_archive(content: bytes) -> bool:
    """Whether ``examine`` would take this whole content for an archive, or for something with a zip behind it."""
    return bool(kind_of(content[:_TAR_BLOCK])) or b"PK\x05\x06" in content


def examine(file: BinaryIO, limits: ArchiveLimits) -> Archive:
    """Looks into a seekable file. Reads and unpacks at most what the limits allow; never raises for its content."""
    found = Archive(packed=file.seek(0, io.SEEK_END))
    file.seek(0)
    kind = kind_of(file.read(_TAR_BLOCK))
    # a self-extracting archive, or something before the zip: unpackers look at the end
    appended = not kind and _central_directory(file) is not None
    found.kind = kind = "zip" if appended else kind
    if kind:
        look = _Look(found, limits, time.monotonic() + limits.seconds)
        try:
            look.into(file, kind, 1)
        except _Stop:
            pass
        except _UNREADABLE as error:
            if appended and not found.entries:
                return Archive(packed=found.packed)  # bytes that only looked like the end of a zip
            found.broken = f"{kind}: {error}"[:200]
    return found


_Identity = tuple[int, int, int, int]
_recent: OrderedDict[tuple[_Identity, ArchiveLimits], Archive] = OrderedDict()
_recent_lock = threading.Lock()


def identity(file: BinaryIO) -> _Identity | None:
    """What tells one file on this machine from another, and from itself after a change; None for other streams."""
    try:
        status = os.fstat(file.fileno())
    except (OSError, AttributeError):
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def examine_once(file: BinaryIO, limits: ArchiveLimits) -> Archive:
    """:func:`examine`, remembering the last few answers: two plugins may ask about the same upload."""
    which = identity(file)
    if which is None:
        return examine(file, limits)
    with _recent_lock:
        found = _recent.get((which, limits))
    if found is None:
        found = examine(file, limits)
        with _recent_lock:
            _recent[(which, limits)] = found
            while len(_recent) > 32:
                _recent.popitem(last=False)
    return found


@dataclass
class _Look:
    """``claimed``: what the archives say that they unpack to. It never makes a bomb alone, but a large bomb is left
    long before as much has been unpacked as would show its ratio."""

    found: Archive
    limits: ArchiveLimits
    deadline: float
    claimed: int = 0

    def into(self, file: BinaryIO, kind: str, depth: int) -> None:
        self.found.depth = max(self.found.depth, depth)
        if depth > self.limits.depth:
            self._stop("bomb", f"more than {self.limits.depth} archives within one another")
        if kind == "zip":
            self._zip(file, depth)
        elif kind == "tar":
            self._tar(file, depth)
        else:
            self.claimed += _gzip_size(file) if kind == "gzip" else 0
            self._member(f"({kind})", _unpacker(kind, file), depth)

    def _zip(self, file: BinaryIO, depth: int) -> None:
        directory = _central_directory(file)
        if directory is None:
            raise zipfile.BadZipFile("no central directory")
        if directory[0] > self.limits.entries or directory[1] > _MAX_DIRECTORY:
            self._stop("too-large", f"more than {self.limits.entries} entries")
        with zipfile.ZipFile(file) as packed:
            self.claimed += sum(info.file_size for info in packed.infolist())
            for info in packed.infolist():
                if info.flag_bits & 0x1:
                    self.found.encrypted = True
                    self._count(info.filename)
                elif info.is_dir():
                    self._count(info.filename)
                elif info.compress_type not in _ZIP_METHODS:
                    self._count(info.filename)
                    self.found.broken = f"zip: compression method {info.compress_type}"
                else:
                    with packed.open(info) as member:
                        self._member(info.filename, cast(BinaryIO, member), depth)

    def _tar(self, file: BinaryIO, depth: int) -> None:
        for name, start, size in _tar_members(file):
            self._member(name, cast(BinaryIO, _Part(file, start, size)), depth)

    def _count(self, name: str) -> None:
        self.found.entries += 1
        if len(self.found.names) < _NAMES_KEPT:
            self.found.names.append(name)
        if self.found.entries > self.limits.entries:
            self._stop("too-large", f"more than {self.limits.entries} entries")
        if time.monotonic() > self.deadline:
            self._stop("too-large", f"unpacking takes more than {self.limits.seconds:g} s")

    def _member(self, name: str, member: BinaryIO, depth: int) -> None:
        """Counts a member by reading it; one that is an archive itself is spooled to disk and looked into."""
        self._count(name)
        head = _read_full(member, _TAR_BLOCK)
        kind = kind_of(head)
        if not kind:
            self._drain(head, member, None)
            return
        with tempfile.SpooledTemporaryFile(max_size=_SPOOL) as spooled:
            self._drain(head, member, cast(BinaryIO, spooled))
            spooled.seek(0)
            try:
                self.into(cast(BinaryIO, spooled), kind, depth + 1)
            except _UNREADABLE as error:  # what stands beside it is looked at all the same
                self.found.broken = f"{kind}: {error}"[:200]

    def _drain(self, head: bytes, member: BinaryIO, target: BinaryIO | None) -> None:
        size, block = 0, head
        while block:
            size += len(block)
            self.found.expanded += len(block)
            self.found.largest = max(self.found.largest, size)
            if target is not None:
                target.write(block)
            if self.found.expanded > self.limits.expanded:
                self._too_much(f"more than {self.limits.expanded} bytes when unpacked")
            if size > self.limits.member:
                self._too_much(f"a member of more than {self.limits.member} bytes")
            if time.monotonic() > self.deadline:
                self._stop("too-large", f"unpacking takes more than {self.limits.seconds:g} s")
            block = member.read(_BLOCK)

    def _too_much(self, why: str) -> None:
        unpacked = max(self.found.expanded, self.claimed)
        self._stop("bomb" if unpacked > self.limits.ratio * self.found.packed else "too-large", why)

    def _stop(self, exceeded: str, why: str) -> None:
        self.found.exceeded, self.found.why = exceeded, why
        raise _Stop


def _read_full(file: BinaryIO, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data


# -- compressed streams -----------------------------------------------------------------------------------------------


def _unpacker(kind: str, file: BinaryIO) -> BinaryIO:
    file.seek(0)
    if kind == "gzip":
        return cast(BinaryIO, gzip.GzipFile(fileobj=file, mode="rb"))
    if kind == "bzip2":
        return cast(BinaryIO, bz2.BZ2File(file))
    return cast(BinaryIO, _Xz(file))


def _gzip_size(file: BinaryIO) -> int:
    """What the last stream unpacks to, modulo 4 GiB (RFC 1952 section 2.3.1)."""
    file.seek(max(0, file.seek(0, io.SEEK_END) - 4))
    return int.from_bytes(file.read(4), "little")


class _Xz:
    """An xz stream with a memory limit: lzma.LZMAFile has none, and a head may ask for a 4 GiB dictionary."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decompressor = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

    def read(self, size: int) -> bytes:
        while True:
            if self._decompressor.eof:
                rest = self._decompressor.unused_data or self._file.read(_BLOCK)
                if not rest.strip(b"\0"):
                    return b""  # padding between and after streams
                self._decompressor = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
            elif self._decompressor.needs_input:
                rest = self._file.read(_BLOCK)
                if not rest:
                    raise EOFError("the xz stream ends early")
            else:
                rest = b""
            data = self._decompressor.decompress(rest, size)
            if data:
                return data


# -- zip --------------------------------------------------------------------------------------------------------------


def _central_directory(file: BinaryIO) -> tuple[int, int] | None:
    """(entries, bytes) of the central directory as the end record says, None when there is none. zipfile reads the
    directory into memory, so its size is looked at first (APPNOTE 4.3.14 to 4.3.16)."""
    size = file.seek(0, io.SEEK_END)
    tail_start = max(0, size - 65_557 - 20)
    file.seek(tail_start)
    tail = file.read()
    at = len(tail) - 22
    if at < 0 or tail[at : at + 4] != b"PK\x05\x06":  # there is a comment: the last mark counts, as for zipfile
        at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        return None
    entries, directory, offset = struct.unpack_from("<HII", tail, at + 10)
    if at >= 20 and tail[at - 20 : at - 16] == b"PK\x06\x07":
        (record,) = struct.unpack_from("<Q", tail, at - 12)
        if record > size - 56:
            return None
        file.seek(record)
        head = file.read(56)
        if head[:4] == b"PK\x06\x06":
            entries, directory = struct.unpack_from("<QQ", head, 32)
            return entries, directory
    if directory + offset > size or entries * 46 > directory:
        return None
    return entries, directory


# -- tar --------------------------------------------------------------------------------------------------------------
# tarfile reads extended heads of any length into memory, so the blocks are walked here (POSIX pax, "ustar").


class _Part:
    """A range of a seekable file as a stream."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._at, self._end = file, start, start + size

    def read(self, size: int) -> bytes:
        self._file.seek(self._at)
        data = self._file.read(min(size, self._end - self._at))
        self._at += len(data)
        if not data and self._at < self._end:
            raise EOFError("the tar ends within a member")
        return data


def _tar_sum_holds(head: bytes) -> bool:
    if len(head) < _TAR_BLOCK:
        return False
    try:
        wanted = int(head[148:156].strip(b"\0 ") or b"0", 8)
    except ValueError:
        return False
    return wanted == sum(head) - sum(head[148:156]) + 8 * 32


def _tar_members(file: BinaryIO) -> Iterator[tuple[str, int, int]]:
    """(name, start, size) of everything with bytes; extended heads count as members, their sizes are obeyed."""
    at, override = 0, -1
    while True:
        file.seek(at)
        head = file.read(_TAR_BLOCK)
        if not head.strip(b"\0"):
            return
        if len(head) < _TAR_BLOCK or not _tar_sum_holds(head):
            raise ValueError("a head with a wrong checksum")
        size = _tar_number(head[124:136])
        flag = head[156:157]
        start = at + _TAR_BLOCK
        if flag in (b"x", b"g"):
            override = _pax_size(file, start, size)
        elif flag in (b"1", b"2", b"3", b"4", b"5", b"6"):
            size = 0 if flag != b"1" else size
        elif override >= 0:
            size, override = override, -1
        name = (head[345:500].rstrip(b"\0") + b"/" + head[:100]).split(b"\0", 1)[0].decode(errors="replace").strip("/")
        yield name, start, size
        at = start + -(-size // _TAR_BLOCK) * _TAR_BLOCK


def _tar_number(text: bytes) -> int:
    """Octal, or base 256 (GNU). ValueError for what is negative: it would lead backwards."""
    if text[0] & 0x80:
        return int.from_bytes(bytes([text[0] & 0x7F]) + text[1:], "big")
    return _not_negative(int(text.strip(b"\0 ") or b"0", 8))


def _not_negative(number: int) -> int:
    if number < 0:
        raise ValueError("a negative size")
    return number


def _pax_size(file: BinaryIO, start: int, size: int) -> int:
    """The ``size`` record of an extended head, -1 when it has none."""
    file.seek(start)
    for line in file.read(min(size, 65_536)).split(b"\n"):
        _, _, record = line.partition(b" ")
        if record.startswith(b"size="):
            return _not_negative(int(record[5:]))
    return -1
