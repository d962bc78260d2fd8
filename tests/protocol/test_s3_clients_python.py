"""boto3's transfer manager, paginators and presigned URLs, and the MinIO client, with quota and virus scan on."""

from __future__ import annotations

import io
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from minio import Minio
from minio.commonconfig import REPLACE, ComposeSource, CopySource
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from gateway.testing.clamd import EICAR, MARKER
from gateway.testing.needs import need
from gateway.testing.s3 import access
from gateway.testing.scanned import Scanned

MIB = 1024 * 1024
LARGE = 64 * MIB


@pytest.fixture
def bucket(scanned: Scanned) -> Iterator[str]:
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    scanned.s3.client.create_bucket(Bucket=name)
    yield name
    for page in scanned.s3.client.get_paginator("list_objects_v2").paginate(Bucket=name):
        if found := [{"Key": one["Key"]} for one in page.get("Contents", [])]:
            scanned.s3.client.delete_objects(Bucket=name, Delete={"Objects": found})
    for one in scanned.s3.client.list_multipart_uploads(Bucket=name).get("Uploads", []):
        scanned.s3.client.abort_multipart_upload(Bucket=name, Key=one["Key"], UploadId=one["UploadId"])
    scanned.s3.client.delete_bucket(Bucket=name)


@pytest.fixture
def minio(scanned: Scanned) -> Minio:
    s3 = scanned.s3
    return Minio(urlsplit(s3.url).netloc, access_key=s3.access_key, secret_key=s3.secret_key, secure=False)


# -- boto3 ------------------------------------------------------------------------------------------------------------


def test_boto3_sends_and_fetches_64_mib_by_parts(scanned: Scanned, bucket: str, tmp_path: Path) -> None:
    client, sent = scanned.s3.client, tmp_path / "sent"
    sent.write_bytes(os.urandom(LARGE + 1))
    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB, max_concurrency=4)
    client.upload_file(str(sent), bucket, "large", Config=config)
    assert client.head_object(Bucket=bucket, Key="large")["ETag"].endswith('-9"')
    client.download_file(bucket, "large", str(tmp_path / "got"), Config=config)
    assert (tmp_path / "got").read_bytes() == sent.read_bytes()
    client.copy({"Bucket": bucket, "Key": "large"}, bucket, "copied by parts", Config=config)
    assert client.head_object(Bucket=bucket, Key="copied by parts")["ContentLength"] == LARGE + 1


def test_boto3_pages_through_a_listing(scanned: Scanned, bucket: str) -> None:
    client = scanned.s3.client
    keys = sorted(f"{folder}/{number:03d}" for folder in ("a", "b", "日本") for number in range(40))
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
    for name in ("list_objects", "list_objects_v2"):
        pages = client.get_paginator(name).paginate(Bucket=bucket, PaginationConfig={"PageSize": 7})
        assert [one["Key"] for page in pages for one in page["Contents"]] == keys


def test_boto3_signs_urls_that_others_use(scanned: Scanned, bucket: str) -> None:
    client, named = scanned.s3.client, {"Bucket": bucket, "Key": "by url"}
    put = requests.put(client.generate_presigned_url("put_object", named), data=b"bytes")
    assert put.status_code == 200
    assert requests.get(client.generate_presigned_url("get_object", named)).content == b"bytes"
    upload = client.create_multipart_upload(**named)["UploadId"]
    part = {**named, "UploadId": upload, "PartNumber": 1}
    etag = requests.put(client.generate_presigned_url("upload_part", part), data=b"part").headers["ETag"]
    client.complete_multipart_upload(
        **named, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}
    )
    assert client.get_object(**named)["Body"].read() == b"part"


# -- what inspects, and the quota -------------------------------------------------------------------------------------


def by_parts(client: Any, bucket: str, key: str, *parts: bytes) -> dict[str, Any]:
    """Uploads parts; returns what completes them."""
    named = {"Bucket": bucket, "Key": key}
    upload = client.create_multipart_upload(**named)["UploadId"]
    listed = []
    for number, body in enumerate(parts, 1):
        answer = client.upload_part(**named, UploadId=upload, PartNumber=number, Body=body)
        listed.append({"PartNumber": number, "ETag": answer["ETag"]})
    return {**named, "UploadId": upload, "MultipartUpload": {"Parts": listed}}


def code_of(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


def test_a_virus_is_seen_however_it_comes(scanned: Scanned, bucket: str) -> None:
    need("clamd")
    client = scanned.s3.client
    assert code_of(client.put_object, Bucket=bucket, Key="v", Body=EICAR) == "AccessDenied"
    padding = b"\0" * (5 * MIB)
    split = by_parts(client, bucket, "v", padding + MARKER[:9], MARKER[9:])
    assert code_of(client.complete_multipart_upload, **split) == "AccessDenied"
    alone = by_parts(client, bucket, "v", EICAR)
    assert code_of(client.complete_multipart_upload, **alone) == "AccessDenied"
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    refusals = scanned.gateway.cli("refusals", "list", "--json").stdout
    assert refusals.count("CompleteMultipartUpload") >= 2


def test_pending_parts_hold_their_place_in_the_quota(scanned: Scanned, bucket: str) -> None:
    dav_url, login, _ = scanned.gateway.add_tenant(f"small-{uuid.uuid4().hex[:6]}", quota="12MB", login="sam")
    client = access(scanned.gateway, dav_url.rstrip("/").rpartition("/")[2], login).client
    client.create_bucket(Bucket=bucket)
    exact = by_parts(client, bucket, "a", b"a" * 6 * MIB, b"b" * 6 * MIB)
    assert code_of(client.put_object, Bucket=bucket, Key="b", Body=b"x") == "QuotaExceeded"
    more = {"Bucket": bucket, "Key": "a", "UploadId": exact["UploadId"], "PartNumber": 3, "Body": b"x"}
    assert code_of(client.upload_part, **more) == "QuotaExceeded"
    again = client.upload_part(**{**more, "PartNumber": 2, "Body": b""})  # smaller than before
    client.put_object(Bucket=bucket, Key="b", Body=b"x" * 6 * MIB)
    exact["MultipartUpload"]["Parts"][1]["ETag"] = again["ETag"]
    client.complete_multipart_upload(**exact)
    assert code_of(client.put_object, Bucket=bucket, Key="c", Body=b"x") == "QuotaExceeded"
    client.delete_object(Bucket=bucket, Key="b")
    pending = by_parts(client, bucket, "d", b"x" * 6 * MIB)
    client.abort_multipart_upload(Bucket=bucket, Key="d", UploadId=pending["UploadId"])
    client.put_object(Bucket=bucket, Key="e", Body=b"x" * 6 * MIB)


# -- MinIO ------------------------------------------------------------------------------------------------------------


def test_minio_does_its_work(minio: Minio, bucket: str, tmp_path: Path) -> None:
    assert minio.bucket_exists(bucket) and bucket in [one.name for one in minio.list_buckets()]
    body = os.urandom(11 * MIB)
    minio.put_object(bucket, "a/large", io.BytesIO(body), -1, part_size=5 * MIB, metadata={"shot": "1"})
    minio.put_object(bucket, "a/small", io.BytesIO(b"small"), 5, content_type="text/x")
    with minio.get_object(bucket, "a/large", offset=5 * MIB - 2, length=4) as answer:
        assert answer.read() == body[5 * MIB - 2 : 5 * MIB + 2]
    minio.fget_object(bucket, "a/large", str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == body
    stat = minio.stat_object(bucket, "a/large")
    assert (stat.size, stat.metadata["x-amz-meta-shot"]) == (len(body), "1")
    minio.copy_object(bucket, "b/copy", CopySource(bucket, "a/small"), metadata={"k": "v"}, metadata_directive=REPLACE)
    minio.compose_object(bucket, "b/composed", [ComposeSource(bucket, "a/large"), ComposeSource(bucket, "a/small")])
    assert minio.stat_object(bucket, "b/composed").size == len(body) + 5
    names = [one.object_name for one in minio.list_objects(bucket, recursive=True)]
    assert names == ["a/large", "a/small", "b/composed", "b/copy"]
    assert [one.object_name for one in minio.list_objects(bucket)] == ["a/", "b/"]
    assert requests.get(minio.presigned_get_object(bucket, "a/small")).content == b"small"
    assert list(minio.remove_objects(bucket, [DeleteObject(name) for name in names])) == []
    with pytest.raises(S3Error, match="NoSuchKey"):
        minio.stat_object(bucket, "a/small")
