"""aws-chunked bodies: decoded whole however they are cut, and refused when anything of them is not as signed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.domain.errors import BadSignature, IncompleteBody, KuradoError
from gateway.s3.errors import S3Fault
from gateway.s3.payload import SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED_TRAILER, Payload, read_payload
from gateway.s3.sigv4 import ChunkSigner, Claim, signing_key
from gateway.testing.s3 import ChunkWriter

CLAIM = Claim("KEY", "20260102", "us-east-1", "s3", (), "0" * 64, "20260102T030405Z", 0, "")
SECRET = "secret"


class Sent:
    """A body in the pieces in which the line gave it."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.length: int | None = sum(map(len, pieces))
        self._pieces = pieces

    async def blocks(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if piece:
                yield piece

    async def read(self, limit: int) -> bytes:
        raise NotImplementedError


def body_of(word: str, chunks: list[bytes]) -> bytes:
    full = [chunk for chunk in chunks if chunk]
    line = b"x-amz-checksum-crc32:AAAAAA=="
    if word == UNSIGNED_TRAILER:
        return b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in full) + b"0\r\n" + line + b"\r\n\r\n"
    signer = ChunkWriter(
        signing_key(SECRET, CLAIM.day, CLAIM.region, CLAIM.service), CLAIM.stamp, CLAIM.scope, CLAIM.signature
    )
    text = b"".join(signer.chunk(one) for one in (*full, b""))
    return text + (signer.trailer(line) if word == SIGNED_TRAILER else b"\r\n")


def payload_of(word: str, sent: list[bytes], length: int) -> Payload:
    headers = CIMultiDict({"x-amz-decoded-content-length": str(length)})
    if word != SIGNED_CHUNKS:
        headers["x-amz-trailer"] = "x-amz-checksum-crc32"
    return read_payload(Sent(sent), headers, word, ChunkSigner(CLAIM, SECRET))


def read(payload: Payload) -> bytes:
    async def whole() -> bytes:
        return b"".join([block async for block in payload.body.blocks()])

    return asyncio.run(whole())


def cut(data: bytes, places: list[int]) -> list[bytes]:
    bounds = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


WORDS = st.sampled_from([SIGNED_CHUNKS, SIGNED_TRAILER, UNSIGNED_TRAILER])
CHUNKS = st.lists(st.binary(min_size=1, max_size=200), max_size=5)


@given(WORDS, CHUNKS, st.lists(st.integers(0, 5000), max_size=8))
def test_a_chunked_body_is_decoded_whole_however_the_line_cuts_it(
    word: str, chunks: list[bytes], places: list[int]
) -> None:
    payload = payload_of(word, cut(body_of(word, chunks), places), sum(map(len, chunks)))
    assert read(payload) == b"".join(chunks)
    assert payload.trailers == ({} if word == SIGNED_CHUNKS else {"x-amz-checksum-crc32": "AAAAAA=="})


@given(st.sampled_from([SIGNED_CHUNKS, SIGNED_TRAILER]), CHUNKS, st.integers(0, 5000), st.integers(1, 255))
def test_no_bit_of_a_signed_body_can_change(word: str, chunks: list[bytes], place: int, flip: int) -> None:
    data = bytearray(body_of(word, chunks))
    data[place % len(data)] ^= flip
    if bytes(data).lower() == body_of(word, chunks).lower():
        return  # the case of a trailer's name or of the hex digits of a size says the same
    with pytest.raises(KuradoError):
        read(payload_of(word, [bytes(data)], sum(map(len, chunks))))


@given(WORDS, CHUNKS, st.integers(1, 5000))
def test_a_body_that_is_cut_off_is_never_taken_for_whole(word: str, chunks: list[bytes], left: int) -> None:
    data = body_of(word, chunks)
    kept = data[: len(data) - 1 - left % (len(data) - 1)]
    if data.startswith(kept + b"\r\n") and not data[len(kept) :].strip():
        return  # all but the empty line at the end came
    with pytest.raises(KuradoError):
        read(payload_of(word, [kept], sum(map(len, chunks))))


@pytest.mark.parametrize("length", [2, 4])
def test_a_body_of_another_length_than_declared_is_refused(length: int) -> None:
    with pytest.raises(IncompleteBody):
        read(payload_of(UNSIGNED_TRAILER, [body_of(UNSIGNED_TRAILER, [b"abc"])], length))


def test_an_unsigned_chunk_in_a_signed_body_is_refused() -> None:
    with pytest.raises(BadSignature):
        read(payload_of(SIGNED_CHUNKS, [b"3\r\nabc\r\n0\r\n\r\n"], 3))


def test_a_trailer_that_was_announced_must_come_and_no_other_may() -> None:
    for sent in (b"0\r\n\r\n", b"0\r\nx-amz-other:1\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"):
        with pytest.raises(S3Fault, match="trailer"):
            read(payload_of(UNSIGNED_TRAILER, [sent], 0))


def test_a_word_that_means_nothing_is_refused() -> None:
    with pytest.raises(S3Fault, match="x-amz-content-sha256"):
        read_payload(Sent([]), CIMultiDict(), "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", ChunkSigner(CLAIM, SECRET))
