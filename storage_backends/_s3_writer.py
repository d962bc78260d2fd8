"""A blob on its way into an S3 store: one PUT if it is small, a multipart upload if not. Memory: one part."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from gateway.blobstore import BlobInfo
from gateway.domain.errors import BackendUnavailable, KuradoError, NotFound
from storage_backends._s3_connection import MISSING, PATIENT, Connection, code_of, is_silence, whole
from storage_backends._s3_digest import etag_of_parts, part_sizes

TYPE = "application/octet-stream"
"""Given with each object: some stores look into the bytes and keep a type of their own where none is given."""

MD5, FIRST_PART = "kurado-md5", "kurado-part"
"""User metadata from which a reader knows what the whole must be: the MD5 of a single PUT, the first part's size."""


class S3Writer:
    """``object_key`` is the name in the bucket. Durable means here: the store answered that it has every byte, the
    answer matched what was sent, and the store shows the blob with that size and ETag (RESILIENCE 14)."""

    def __init__(self, connection: Connection, key: str, object_key: str, stat: Any) -> None:
        self._connection = connection
        self._key = key
        self._stat = stat
        self._place = {"Bucket": connection.settings.bucket, "Key": object_key}
        self._sizes = part_sizes(connection.settings.part_size)
        self._part_size = next(self._sizes)
        self._buffer = bytearray()
        self._upload: str | None = None
        self._parts: list[tuple[str, bytes]] = []
        self._size = 0
        self._open = True
        self._done: BlobInfo | None = None

    def write(self, block: bytes) -> None:
        if not self._open:
            raise ValueError("the writer has ended")
        view = memoryview(block)
        while view:
            room = self._part_size - len(self._buffer)
            self._buffer += view[:room]
            view = view[room:]
            # a full buffer waits for the next byte: what fits into one part needs no multipart upload
            if view and len(self._buffer) == self._part_size:
                self._send_part()
        self._size += len(block)

    def commit(self) -> BlobInfo:
        if self._done is not None:
            return self._done
        if not self._open:
            raise ValueError("the writer was aborted")
        if self._upload is None:
            self._put()
        else:
            self._complete()
        self._done = self._seen()
        self._open = False
        self._buffer = bytearray()
        return self._done

    def abort(self) -> None:
        if not self._open:
            return
        self._open = False
        self._buffer = bytearray()
        # a store that does not answer is not waited for once more: the sweep finds the upload
        if self._upload is not None and not self._connection.breaker.is_doubtful:
            with (
                suppress(KuradoError),
                self._connection.request("forget an upload") as client,
                suppress(client.exceptions.ClientError),
            ):
                client.abort_multipart_upload(**self._place, UploadId=self._upload)

    # -- one PUT ------------------------------------------------------------------------------------------------------

    def _put(self) -> None:
        body = bytes(self._buffer)
        digest = hashlib.md5(body, usedforsecurity=False)
        with self._connection.writing("take a blob") as client:
            answer = client.put_object(
                **self._place,
                Body=body,
                ContentMD5=_base64(digest.digest()),
                ContentType=TYPE,
                Metadata={MD5: digest.hexdigest()},
            )
        _check_etag(answer, digest.hexdigest())

    # -- multipart ----------------------------------------------------------------------------------------------------

    def _send_part(self) -> None:
        if self._upload is None:
            with self._connection.writing("begin a blob") as client:
                metadata = {FIRST_PART: str(self._connection.settings.part_size)}
                answer = client.create_multipart_upload(**self._place, ContentType=TYPE, Metadata=metadata)
            self._upload = whole(answer, "UploadId")["UploadId"]
        body = bytes(self._buffer)
        digest = hashlib.md5(body, usedforsecurity=False)
        with self._connection.writing("take a part") as client, _lost_upload(client):
            answer = client.upload_part(
                **self._place,
                UploadId=self._upload,
                PartNumber=len(self._parts) + 1,
                Body=body,
                ContentMD5=_base64(digest.digest()),
            )
        _check_etag(answer, digest.hexdigest())
        self._parts.append((answer["ETag"], digest.digest()))
        self._buffer.clear()
        self._part_size = next(self._sizes)

    def _complete(self) -> None:
        if self._buffer:
            self._send_part()
        named = [{"PartNumber": number, "ETag": etag} for number, (etag, _) in enumerate(self._parts, 1)]
        expected = etag_of_parts([digest for _, digest in self._parts])
        try:
            with self._connection.writing("complete a blob", PATIENT) as client, _lost_upload(client):
                answer = client.complete_multipart_upload(
                    **self._place, UploadId=self._upload, MultipartUpload={"Parts": named}
                )
        except BackendUnavailable as error:
            # the answer may have been lost on its way: then the blob is there, with our ETag and nobody else's. A store
            # that said nothing for so long is not asked now
            if is_silence(error.__cause__) or not self._is_there(expected):
                raise
            return
        _check_etag(answer, expected)

    def _is_there(self, etag: str) -> bool:
        try:
            return bool(self._stat(self._key)[1] == etag)
        except KuradoError:
            return False

    # -- looking again ------------------------------------------------------------------------------------------------

    def _seen(self) -> BlobInfo:
        """The blob as the store shows it. Its ETag may be another by now: that of somebody who stored it once more."""
        try:
            info: BlobInfo = self._stat(self._key)[0]
        except NotFound:
            raise BackendUnavailable("the storage took a blob and does not have it") from None
        if info.size != self._size:
            raise BackendUnavailable("the storage took other bytes than it was given")
        return info


def _check_etag(answer: Any, etag: str) -> None:
    """BackendUnavailable unless the ETag of an answer is the MD5 of what was sent. Stores that encrypt with keys of
    their own give others (then Content-MD5 alone guards the way)."""
    given = str(answer.get("ETag", "")).strip('"')
    if given != etag and answer.get("ServerSideEncryption", "AES256") == "AES256":
        raise BackendUnavailable("the storage took other bytes than it was given")


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")


@contextmanager
def _lost_upload(client: Any) -> Iterator[None]:
    """Turns "no such upload" into trouble of the store: another process swept it, this one stood still too long."""
    try:
        yield
    except client.exceptions.ClientError as error:
        if code_of(error) in ("NoSuchUpload", *MISSING):
            raise BackendUnavailable("the storage has forgotten an upload") from error
        raise
