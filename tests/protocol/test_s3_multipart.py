"""Uploads by parts against a running gateway with two gates."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

import pytest
import requests
from botocore.exceptions import ClientError

from gateway.testing.s3 import S3Access
from gateway.testing.server import RunningGateway

MIB = 1024 * 1024
PART = 5 * MIB
BODY = os.urandom(12 * MIB)


def refused(call: Callable[..., Any], **arguments: Any) -> tuple[int, str]:
    """Status and code of a call that must fail."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


class Pending:
    """One upload by parts."""

    def __init__(self, s3: S3Access, bucket: str, key: str, **arguments: Any) -> None:
        self.client = s3.client
        self.named = {"Bucket": bucket, "Key": key}
        self.id = self.client.create_multipart_upload(**self.named, **arguments)["UploadId"]
        self.etags: dict[int, str] = {}

    def put(self, number: int, body: bytes, **arguments: Any) -> Any:
        answer = self.client.upload_part(**self.named, UploadId=self.id, PartNumber=number, Body=body, **arguments)
        self.etags[number] = answer["ETag"]
        return answer

    def list(self, *numbers: int) -> dict[str, Any]:
        """The arguments that complete it with these parts."""
        parts = [{"PartNumber": number, "ETag": self.etags[number]} for number in numbers or sorted(self.etags)]
        return {**self.named, "UploadId": self.id, "MultipartUpload": {"Parts": parts}}

    def complete(self, *numbers: int, **arguments: Any) -> Any:
        return self.client.complete_multipart_upload(**self.list(*numbers), **arguments)


def content(s3: S3Access, bucket: str, key: str, **arguments: Any) -> bytes:
    body: bytes = s3.client.get_object(Bucket=bucket, Key=key, **arguments)["Body"].read()
    return body


def test_parts_out_of_order_and_uploaded_anew_make_one_object(
    s3: S3Access, bucket: str, s3_gateway: RunningGateway
) -> None:
    upload = Pending(s3, bucket, "deep/er/a", ContentType="x/y", Metadata={"shot": "1"})
    upload.put(7, b"the end")
    upload.put(2, b"soon another")
    upload.put(1, BODY[:PART])
    upload.put(2, BODY[PART : 2 * PART])
    answer = upload.complete()
    digests = [hashlib.md5(one).digest() for one in (BODY[:PART], BODY[PART : 2 * PART], b"the end")]
    assert answer["ETag"] == f'"{hashlib.md5(b"".join(digests)).hexdigest()}-3"'
    whole = BODY[: 2 * PART] + b"the end"
    assert content(s3, bucket, "deep/er/a") == whole
    assert content(s3, bucket, "deep/er/a", Range=f"bytes={PART - 3}-{PART + 3}") == whole[PART - 3 : PART + 4]
    assert content(s3, bucket, "deep/er/a", Range="bytes=-9") == whole[-9:]
    head = s3.client.head_object(Bucket=bucket, Key="deep/er/a")
    assert (head["ContentLength"], head["ContentType"], head["Metadata"]) == (len(whole), "x/y", {"shot": "1"})
    over_dav = requests.get(f"{s3_gateway.dav_url}{bucket}/deep/er/a", auth=(s3_gateway.login, s3_gateway.password))
    assert over_dav.content == whole and over_dav.headers["ETag"] == answer["ETag"]
    assert s3_gateway.cli("fsck", "--deep").returncode == 0


def test_a_part_is_read_by_its_number(s3: S3Access, bucket: str) -> None:
    upload = Pending(s3, bucket, "a")
    upload.put(3, BODY[:PART])
    upload.put(9, b"end")
    upload.complete()
    second = s3.client.get_object(Bucket=bucket, Key="a", PartNumber=2)
    assert (second["Body"].read(), second["PartsCount"]) == (b"end", 2)
    assert second["ContentRange"] == f"bytes {PART}-{PART + 2}/{PART + 3}"
    assert s3.client.head_object(Bucket=bucket, Key="a", PartNumber=1)["ContentLength"] == PART
    assert refused(s3.client.get_object, Bucket=bucket, Key="a", PartNumber=3) == (400, "InvalidPart")


def test_what_completes_must_be_what_was_uploaded(s3: S3Access, bucket: str) -> None:
    upload = Pending(s3, bucket, "a")
    upload.put(1, b"too small to be followed")
    upload.put(2, b"end")
    complete = s3.client.complete_multipart_upload
    assert refused(complete, **upload.list()) == (400, "EntityTooSmall")
    assert refused(complete, **upload.list(2, 1)) == (400, "InvalidPartOrder")
    for beyond in (10_000, 10_001, 999_999_999):
        upload.etags[beyond] = upload.etags[2]
        assert refused(complete, **upload.list(2, beyond)) == (400, "InvalidPart")
    upload.etags[2] = '"' + "0" * 32 + '"'
    assert refused(complete, **upload.list(2)) == (400, "InvalidPart")
    assert refused(complete, **{**upload.list(1), "UploadId": "0" * 16}) == (404, "NoSuchUpload")
    assert refused(complete, **{**upload.list(1), "Key": "b"}) == (404, "NoSuchUpload")
    assert refused(s3.client.head_object, Bucket=bucket, Key="a") == (404, "404")
    upload.complete(1)
    assert content(s3, bucket, "a") == b"too small to be followed"


def test_who_asks_twice_to_complete_gets_the_same_answer(s3: S3Access, bucket: str) -> None:
    upload = Pending(s3, bucket, "a")
    upload.put(1, b"x")
    assert upload.complete()["ETag"] == upload.complete()["ETag"]
    s3.client.put_object(Bucket=bucket, Key="a", Body=b"newer")
    assert refused(s3.client.complete_multipart_upload, **upload.list()) == (404, "NoSuchUpload")


def test_conditions_hold_when_it_completes(s3: S3Access, bucket: str) -> None:
    upload = Pending(s3, bucket, "a")
    upload.put(1, b"mine")
    s3.client.put_object(Bucket=bucket, Key="a", Body=b"first")
    failed = refused(s3.client.complete_multipart_upload, **upload.list(), IfNoneMatch="*")
    assert failed == (412, "PreconditionFailed")
    etag = s3.client.head_object(Bucket=bucket, Key="a")["ETag"]
    upload.complete(IfMatch=etag)
    assert content(s3, bucket, "a") == b"mine"


def test_pending_uploads_and_parts_are_listed_page_by_page(s3: S3Access, bucket: str) -> None:
    uploads = [Pending(s3, bucket, key) for key in ("a", "d/x", "d/y", "日本/z")]
    pages = s3.client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": 1})
    assert [one["UploadId"] for page in pages for one in page["Uploads"]] == [one.id for one in uploads]
    by_folder = s3.client.list_multipart_uploads(Bucket=bucket, Delimiter="/", MaxUploads=2)
    assert [one["Key"] for one in by_folder["Uploads"]] == ["a"]
    assert [one["Prefix"] for one in by_folder["CommonPrefixes"]] == ["d/"]
    assert by_folder["IsTruncated"]
    for number in (1, 2, 10_000):
        uploads[0].put(number, b"x" * number)
    pages = s3.client.get_paginator("list_parts").paginate(
        **uploads[0].named, UploadId=uploads[0].id, PaginationConfig={"PageSize": 2}
    )
    assert [one["Size"] for page in pages for one in page["Parts"]] == [1, 2, 10_000]
    beyond = {**uploads[0].named, "UploadId": uploads[0].id, "PartNumber": 10_001, "Body": b""}
    assert refused(s3.client.upload_part, **beyond) == (400, "InvalidArgument")


def test_an_aborted_upload_is_gone(s3: S3Access, bucket: str) -> None:
    upload = Pending(s3, bucket, "a")
    upload.put(1, b"x")
    s3.client.abort_multipart_upload(**upload.named, UploadId=upload.id)
    assert "Uploads" not in s3.client.list_multipart_uploads(Bucket=bucket)
    put = {**upload.named, "UploadId": upload.id, "PartNumber": 1, "Body": b"x"}
    assert refused(s3.client.upload_part, **put) == (404, "NoSuchUpload")
    assert refused(s3.client.abort_multipart_upload, **upload.named, UploadId=upload.id) == (404, "NoSuchUpload")


def test_a_part_is_copied_from_a_range_of_an_object(s3: S3Access, bucket: str) -> None:
    s3.client.put_object(Bucket=bucket, Key="source", Body=BODY)
    upload = Pending(s3, bucket, "a")
    copy = {**upload.named, "UploadId": upload.id, "CopySource": f"{bucket}/source"}
    for number, first, last in ((1, 100, 100 + PART - 1), (2, 0, 9)):
        answer = s3.client.upload_part_copy(**copy, PartNumber=number, CopySourceRange=f"bytes={first}-{last}")
        upload.etags[number] = answer["CopyPartResult"]["ETag"]
    beyond = {**copy, "PartNumber": 3, "CopySourceRange": f"bytes=0-{len(BODY)}"}
    assert refused(s3.client.upload_part_copy, **beyond) == (416, "InvalidRange")
    upload.complete()
    assert content(s3, bucket, "a") == BODY[100 : 100 + PART] + BODY[:10]


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [("CRC32", "COMPOSITE"), ("CRC32C", "FULL_OBJECT"), ("CRC64NVME", "FULL_OBJECT"), ("SHA256", "COMPOSITE")],
)
def test_checksums_of_parts_make_that_of_the_whole(s3: S3Access, bucket: str, algorithm: str, kind: str) -> None:
    upload = Pending(s3, bucket, "a", ChecksumAlgorithm=algorithm, ChecksumType=kind)
    for number, body in ((1, BODY[:PART]), (2, b"end")):
        upload.put(number, body, ChecksumAlgorithm=algorithm)
    upload.complete()
    head = s3.client.head_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED")
    assert head["ChecksumType"] == kind
    assert head[f"Checksum{algorithm}"].endswith("-2") is (kind == "COMPOSITE")
    if kind == "FULL_OBJECT":
        alone = s3.client.put_object(Bucket=bucket, Key="b", Body=BODY[:PART] + b"end", ChecksumAlgorithm=algorithm)
        assert head[f"Checksum{algorithm}"] == alone[f"Checksum{algorithm}"]


def test_a_composed_object_is_copied_and_outlives_its_source(s3: S3Access, bucket: str) -> None:
    upload = Pending(s3, bucket, "a")
    upload.put(1, BODY[:PART])
    upload.put(2, b"end")
    upload.complete()
    s3.client.copy_object(Bucket=bucket, Key="b", CopySource=f"{bucket}/a")
    s3.client.delete_object(Bucket=bucket, Key="a")
    assert content(s3, bucket, "b") == BODY[:PART] + b"end"
