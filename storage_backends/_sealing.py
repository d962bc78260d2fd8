"""The format of sealed blobs (version 1): a header, then segments that can be opened one by one.

    header   "KRDSEAL1", id of the data key (16 bytes), salt (32 bytes), 8 bytes zero
    segment  AES-256-GCM of 65 536 plain bytes (of fewer in the last one, which may be empty), 16 bytes longer

A blob's key is HKDF-SHA-256 of its owner's data key with the blob's salt and, as info, header and name: no two blobs
share a key, and none opens under another's name or with a changed header. A segment's nonce is its number (11 bytes)
and whether it is the last (1 byte), after STREAM (Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015): segments that were
moved, repeated, left out or cut off at the end do not open.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.domain.errors import DamagedBlob

MAGIC = b"KRDSEAL1"
KEY_ID_BYTES = 16
HEADER_BYTES = 64
SEGMENT = 64 * 1024
TAG_BYTES = 16
SEALED_SEGMENT = SEGMENT + TAG_BYTES
_SALT_BYTES = 32


def new_header(key_id: bytes) -> bytes:
    return MAGIC + key_id + os.urandom(_SALT_BYTES) + bytes(HEADER_BYTES - len(MAGIC) - KEY_ID_BYTES - _SALT_BYTES)


def key_id_of(header: bytes) -> bytes:
    """DamagedBlob for what is no header."""
    if len(header) != HEADER_BYTES or not header.startswith(MAGIC):
        raise DamagedBlob("a blob is not sealed, or its header is damaged")
    return header[len(MAGIC) : len(MAGIC) + KEY_ID_BYTES]


class Cipher:
    """Seals and opens the segments of one blob."""

    def __init__(self, data_key: bytes, header: bytes, name: str) -> None:
        salt_at = len(MAGIC) + KEY_ID_BYTES
        salt = header[salt_at : salt_at + _SALT_BYTES]
        info = b"kurado sealed blob\0" + header + name.encode("ascii")
        self._cipher = AESGCM(HKDF(SHA256(), 32, salt, info).derive(data_key))

    def seal(self, number: int, plain: bytes, *, last: bool) -> bytes:
        return self._cipher.encrypt(_nonce(number, last), plain, None)

    def open(self, number: int, sealed: bytes, *, last: bool) -> bytes:
        """DamagedBlob unless it is this segment as it was sealed."""
        try:
            return self._cipher.decrypt(_nonce(number, last), sealed, None)
        except InvalidTag:
            raise DamagedBlob("the storage holds other bytes than it was given") from None


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def plain_size(sealed: int) -> int:
    """How many bytes a sealed blob of that size holds; of one that was cut off, what its size says."""
    body = max(0, sealed - HEADER_BYTES)
    segments = -(-body // SEALED_SEGMENT)
    return max(0, body - TAG_BYTES * segments)


def last_segment(plain: int) -> int:
    """The number of the last segment of so many bytes."""
    return max(0, -(-plain // SEGMENT) - 1)
