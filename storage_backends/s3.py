"""Blobs in any S3-compatible store: one object below ``<prefix>blobs/`` for each, its name the key with ``!`` for ``/``
(stores on folders could not hold both ``a`` and ``a/b``).

Settings: ``bucket``; ``endpoint`` (AWS when absent), ``region``, ``prefix``; ``access_key`` with ``secret_key`` or
``secret_key_file`` (boto3 looks for them itself when absent); ``addressing`` (path, virtual, auto), ``part_size``,
``connections``, ``connect_timeout``, ``timeout``, ``attempts``, ``retries`` (standard, adaptive), ``ca_file``,
``create_bucket``. docs/backends.md tells more.
"""

from __future__ import annotations

import io
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from gateway.blobstore import BlobInfo, BlobStore, BlobWriter, check_key
from gateway.domain.errors import BackendUnavailable, KuradoError, NotFound
from storage_backends._s3_connection import MISSING, Connection, S3Settings, code_of, parse_settings, status_of, whole
from storage_backends._s3_reader import S3Reader
from storage_backends._s3_writer import TYPE, S3Writer

READ_BUFFER = 128 * 1024
_BUCKET_SEEN_SECONDS = 5.0


def create(settings: Mapping[str, Any], data_dir: Path) -> BlobStore:
    """The entry point. Connects to nothing: a store that is down must not keep the gateway from starting."""
    return S3Store(parse_settings(settings, data_dir))


class S3Store:
    """The store; also ``Unfinished`` of :mod:`gateway.blobstore`."""

    def __init__(self, settings: S3Settings) -> None:
        self.settings = settings
        self._connection = Connection(settings)
        self._blobs = settings.prefix + "blobs/"
        self._bucket_seen = float("-inf")

    def writer(self, key: str) -> BlobWriter:
        return S3Writer(self._connection, key, self._object(key), self._look)

    def open(self, key: str, start: int = 0, length: int | None = None) -> BinaryIO:
        if start < 0 or (length is not None and length < 0):
            raise ValueError("start and length may not be negative")
        if length == 0:
            self.stat(key)
            return io.BytesIO()
        try:
            reader = S3Reader(self._connection, self._object(key), start, length)
        except NotFound:
            raise NotFound(f"no blob {key}") from None
        return cast(BinaryIO, io.BufferedReader(reader, READ_BUFFER))

    def stat(self, key: str) -> BlobInfo:
        return self._look(key)[0]

    def delete(self, key: str) -> None:
        place = {"Bucket": self.settings.bucket, "Key": self._object(key)}
        with self._connection.request("delete") as client, suppress(client.exceptions.NoSuchKey):
            client.delete_object(**place)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        token: dict[str, str] = {}
        while True:
            with self._connection.request("be listed") as client:
                page = client.list_objects_v2(
                    Bucket=self.settings.bucket, Prefix=self._blobs + prefix.replace("/", "!"), **token
                )
            for found in whole(page, "IsTruncated", "Name").get("Contents", []):
                key = found["Key"].removeprefix(self._blobs).replace("!", "/")
                yield BlobInfo(key, found["Size"], _ms(found["LastModified"]))
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def check(self) -> None:
        place = {"Bucket": self.settings.bucket, "Key": f"{self.settings.prefix}check/{secrets.token_hex(8)}"}
        try:
            with self._connection.writing("be written") as client:
                client.put_object(**place, Body=bytes(16), ContentType=TYPE)
        finally:
            if not self._connection.breaker.is_doubtful:
                with suppress(KuradoError), self._connection.request("delete") as client:
                    client.delete_object(**place)

    def drop_unfinished(self, prefix: str = "", before: int | None = None) -> int:
        if not prefix:
            self._drop_probes(before)
        dropped = 0
        for upload in self._uploads(self._blobs + prefix.replace("/", "!")):
            if before is None or _ms(upload["Initiated"]) < before:
                with (
                    self._connection.request("forget an upload") as client,
                    suppress(client.exceptions.NoSuchUpload),
                ):
                    client.abort_multipart_upload(
                        Bucket=self.settings.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                    )
                    dropped += 1
        return dropped

    def close(self) -> None:
        self._connection.close()

    def _object(self, key: str) -> str:
        return self._blobs + check_key(key).replace("/", "!")

    def _look(self, key: str) -> tuple[BlobInfo, str]:
        """The blob, and its ETag without quotes. NotFound."""
        object_key = self._object(key)
        with self._connection.request("be read") as client:
            try:
                found = client.head_object(Bucket=self.settings.bucket, Key=object_key)
            except client.exceptions.ClientError as error:
                if code_of(error) not in MISSING:
                    raise
                found = None
        if found is None:
            self._see_bucket()
            raise NotFound(f"no blob {key}")
        whole(found, "ContentLength", "ETag", "LastModified")
        return BlobInfo(key, found["ContentLength"], _ms(found["LastModified"])), found["ETag"].strip('"')

    def _see_bucket(self) -> None:
        """The answer to HEAD has no body: a bucket that is gone looks like a blob that is gone, and is no loss of
        blobs."""
        if time.monotonic() - self._bucket_seen < _BUCKET_SEEN_SECONDS:
            return
        with self._connection.request("be read") as client:
            try:
                client.head_bucket(Bucket=self.settings.bucket)
            except client.exceptions.ClientError as error:
                raise BackendUnavailable("the storage has no such bucket") from error
        self._bucket_seen = time.monotonic()

    def _drop_probes(self, before: int | None) -> None:
        """What ``check`` could not take away."""
        with self._connection.request("be listed") as client:
            page = client.list_objects_v2(Bucket=self.settings.bucket, Prefix=self.settings.prefix + "check/")
        for found in page.get("Contents", []):
            if before is None or _ms(found["LastModified"]) < before:
                with self._connection.request("delete") as client:
                    client.delete_object(Bucket=self.settings.bucket, Key=found["Key"])

    def _uploads(self, prefix: str) -> Sequence[Any]:
        """None where the store does not list uploads, or not to us: there a life-cycle rule has to end them."""
        found: Any = []
        marker: dict[str, str] = {}
        while True:
            try:
                with self._connection.request("be listed") as client:
                    page = client.list_multipart_uploads(Bucket=self.settings.bucket, Prefix=prefix, **marker)
            except BackendUnavailable as error:
                if status_of(error.__cause__) in (403, 405, 501):
                    return ()
                raise
            whole(page, "IsTruncated", "Bucket")
            found += [upload for upload in page.get("Uploads", []) if upload["Key"].startswith(prefix)]
            if not page.get("IsTruncated"):
                return tuple(found)
            marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page.get("NextUploadIdMarker", "")}


def _ms(moment: Any) -> int:
    """S3 tells times of objects in whole seconds in one answer and with fractions in another: whole seconds, then."""
    return int(moment.timestamp()) * 1000
