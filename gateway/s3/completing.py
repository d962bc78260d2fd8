"""CompleteMultipartUpload: the answer begins before the work is done, and blanks keep the line alive until then.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html. What is quick, refused or not, is
answered with its own status; once the 200 is out, an error can only be told in the body, as in S3.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from gateway.domain.errors import KuradoError, NoUpload
from gateway.domain.multipart import MAX_PARTS, MIN_PART_BYTES, Part
from gateway.exchange import Reply
from gateway.s3 import metadata
from gateway.s3.answers import document, element, local, read_xml
from gateway.s3.checksums import ALGORITHMS, checksum_of
from gateway.s3.conditions import of_write
from gateway.s3.errors import DECLARATION, XML_TYPE, S3Fault, error_reply, internal_error, malformed_xml
from gateway.s3.multipart import file_key
from gateway.s3.objects import version_header
from gateway.s3.partsums import checksum_of_part, tap_of_whole
from gateway.s3.request import S3Request
from gateway.service.objects import Key
from gateway.service.refusals import is_refusal
from gateway.service.results import Placed
from gateway.wire.markup import Element

PATIENCE = 5.0
"""Seconds until the answer begins without its end, and between blanks."""

log = logging.getLogger(__name__)
_running: set[asyncio.Task[Reply]] = set()


@dataclass(frozen=True, slots=True)
class Listed:
    """A part as the client lists it. ``etag`` without quotes; ``checksums`` by algorithm."""

    number: int
    etag: str
    checksums: dict[str, str]


async def complete_multipart_upload(request: S3Request) -> Reply:
    key = file_key(request)
    root = await read_xml(request, "CompleteMultipartUpload", is_checksum_of_body=False)
    listed = [_listed(one) for one in root.children if local(one) == "Part"]
    if not 0 < len(listed) <= MAX_PARTS:
        raise malformed_xml(f"from 1 to {MAX_PARTS} parts make an object")
    # goes on when the client goes away: what it has begun is done, and asked again it is told so
    task = asyncio.create_task(_answer(request, key, listed))
    _running.add(task)
    task.add_done_callback(_running.discard)
    done, _ = await asyncio.wait({task}, timeout=PATIENCE)
    return task.result() if done else Reply(200, {"Content-Type": XML_TYPE}, _slowly(task), is_live=True)


async def _slowly(task: asyncio.Task[Reply]) -> AsyncIterator[bytes]:
    yield DECLARATION.encode()
    while not task.done():
        await asyncio.wait({task}, timeout=PATIENCE)
        yield b" "
    body = task.result().body
    assert isinstance(body, bytes)
    yield body.removeprefix(DECLARATION.encode())


async def _answer(request: S3Request, key: Key, listed: Sequence[Listed]) -> Reply:
    """The answer, also to what fails: its refusal is recorded here, for nobody may wait for it."""
    try:
        loop = asyncio.get_running_loop()
        placed = await loop.run_in_executor(request.settings.uploads, _complete, request, key, listed)
    except KuradoError as error:
        if is_refusal(error):
            await request.note(request.path, error)
        return error_reply(error, request.exchange)
    except Exception:
        log.exception("request %s failed", request.exchange.request_id)
        return internal_error(request.exchange)
    inner = element("Location", f"{request.exchange.scheme}://{request.exchange.host}{request.exchange.raw_path}")
    inner += element("Bucket", request.bucket) + element("Key", request.key)
    inner += element("ETag", metadata.etag_of(placed.node))
    checksum = checksum_of(placed.node.version)
    if checksum:
        inner += element(checksum.element, checksum.value) + element("ChecksumType", checksum.type)
    return document("CompleteMultipartUploadResult", inner, headers=version_header(placed.node))


def _complete(request: S3Request, key: Key, listed: Sequence[Listed]) -> Placed:
    multipart, caller, public_id = request.services.multipart, request.caller, request.query["uploadId"]
    conditions = of_write(request.exchange.headers)
    try:
        upload, known = multipart.parts(caller, key.path, public_id)
        chosen = choose(listed, known)
        _check_size(request, chosen)
        tap = tap_of_whole(request.exchange.headers, upload, chosen)
        return multipart.complete(caller, key.path, upload, chosen, conditions, [tap] if tap else ())
    except NoUpload:
        return multipart.completed(caller, key.path, public_id)


def choose(listed: Sequence[Listed], known: Sequence[Part]) -> list[Part]:
    """The parts that a client lists; of a number that comes twice in a row the last counts. Raises S3Fault
    InvalidPartOrder, InvalidPart, EntityTooSmall."""
    if any(one.number > following.number for one, following in pairwise(listed)):
        message = "The list of parts was not in ascending order. Parts must be ordered by part number."
        raise S3Fault(400, "InvalidPartOrder", message)
    by_number = {part.number: part for part in known}
    chosen = []
    for one in {one.number: one for one in listed}.values():
        part = by_number.get(one.number)
        if part is None or part.md5 != one.etag.lower() or not _has_checksums(part, one):
            message = (
                "One or more of the specified parts could not be found. The part might not have been uploaded, or the "
                "specified entity tag might not have matched the part's entity tag."
            )
            raise S3Fault(400, "InvalidPart", message, {"PartNumber": str(one.number)})
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size < MIN_PART_BYTES:
            details = {"PartNumber": str(part.number), "ProposedSize": str(part.size), "ETag": part.md5}
            details["MinSizeAllowed"] = str(MIN_PART_BYTES)
            message = "Your proposed upload is smaller than the minimum allowed object size."
            raise S3Fault(400, "EntityTooSmall", message, details)
    return chosen


def _has_checksums(part: Part, listed: Listed) -> bool:
    checksum = checksum_of_part(part)
    if checksum is None:
        return True
    return listed.checksums.get(checksum.algorithm, checksum.value) == checksum.value


def _check_size(request: S3Request, parts: Sequence[Part]) -> None:
    text = request.header("x-amz-mp-object-size")
    if text is not None and text.strip() != str(sum(part.size for part in parts)):
        raise S3Fault(400, "InvalidRequest", "The provided 'x-amz-mp-object-size' header does not match the parts.")


def _listed(one: Element) -> Listed:
    texts = {local(child): child.text.strip() for child in one.children}
    number, etag = texts.get("PartNumber", ""), texts.get("ETag", "")
    if not number.isascii() or not number.isdigit() or len(number) > 9 or not etag:
        raise malformed_xml()
    checksums = {name: texts["Checksum" + name] for name in ALGORITHMS if "Checksum" + name in texts}
    return Listed(int(number), etag.strip('"'), checksums)
