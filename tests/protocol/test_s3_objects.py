"""Objects and buckets as boto3 uses them, against a running gateway."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
import zlib
from collections.abc import Callable
from typing import Any

import awscrt.checksums
import pytest
import requests
from botocore.exceptions import ClientError

from gateway.testing.s3 import REGION, Answer, ChunkWriter, S3Access, access, access_with, client
from gateway.testing.server import RunningGateway
from gateway.testing.waiting import until

ODD_KEYS = [
    "plain.txt",
    "with space & ampersand+plus.txt",
    "日本語/写真 (1).jpg",
    "quote'\"<>.txt",
    "percent%20%2F.txt",
    "question?mark#hash;semi=eq.txt",
    "deep/er/and/deep/er/file",
    "~tilde!star*",
    "cafe\u0301-decomposed",
]


def refused(call: Callable[..., Any], **arguments: Any) -> tuple[int, str]:
    """Status and code of a call that must fail."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def keys(s3: S3Access, bucket: str, **arguments: Any) -> list[str]:
    return [one["Key"] for one in s3.client.list_objects_v2(Bucket=bucket, **arguments).get("Contents", [])]


def folders(gateway: RunningGateway, bucket: str) -> list[str]:
    """As WebDAV lists them."""
    url, login = f"{gateway.dav_url}{bucket}/", (gateway.login, gateway.password)
    shown = requests.request("PROPFIND", url, headers={"Depth": "1"}, auth=login, timeout=120).text
    return re.findall(rf"/{bucket}/([^/<]+)/</D:href>", shown)


# -- buckets ----------------------------------------------------------------------------------------------------------


def test_buckets_are_made_listed_and_removed(s3: S3Access, bucket: str) -> None:
    assert bucket in [one["Name"] for one in s3.client.list_buckets()["Buckets"]]
    assert s3.client.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    s3.client.create_bucket(Bucket=bucket)  # in us-east-1 its owner may
    s3.client.put_object(Bucket=bucket, Key="a/b", Body=b"x")
    assert refused(s3.client.delete_bucket, Bucket=bucket) == (409, "BucketNotEmpty")
    s3.client.delete_object(Bucket=bucket, Key="a/b")
    s3.client.delete_bucket(Bucket=bucket)
    assert refused(s3.client.head_bucket, Bucket=bucket) == (404, "404")
    assert refused(s3.client.put_object, Bucket=bucket, Key="a", Body=b"x") == (404, "NoSuchBucket")
    assert refused(s3.client.list_objects_v2, Bucket=bucket) == (404, "NoSuchBucket")


@pytest.mark.parametrize("name", ["ab", "Upper", "a..b", "192.168.1.1", "under_score", "-a-b", "a" * 64])
def test_a_bucket_name_outside_the_rules_is_refused(s3: S3Access, name: str) -> None:
    assert s3.signed("PUT", f"/{name}").code == "InvalidBucketName"


def test_a_bucket_is_reached_by_its_host_name_too(s3: S3Access, bucket: str) -> None:
    host = f"{bucket}.s3.localhost"
    assert s3.signed("PUT", "/a b/c", body=b"by host", host=host).status == 200
    assert s3.signed("GET", "/a b/c", host=host).body == b"by host"
    assert b"<Key>a b/c</Key>" in s3.signed("GET", "/", query={"list-type": "2"}, host=host).body
    assert s3.client.get_object(Bucket=bucket, Key="a b/c")["Body"].read() == b"by host"


# -- objects ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ODD_KEYS)
def test_a_key_is_kept_byte_for_byte(s3: S3Access, bucket: str, key: str) -> None:
    body = key.encode()
    put = s3.client.put_object(Bucket=bucket, Key=key, Body=body)
    got = s3.client.get_object(Bucket=bucket, Key=key)
    assert got["Body"].read() == body
    assert put["ETag"] == got["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    assert s3.client.head_object(Bucket=bucket, Key=key)["ContentLength"] == len(body)
    assert keys(s3, bucket) == [key]
    s3.client.copy_object(Bucket=bucket, Key="copy of " + key, CopySource={"Bucket": bucket, "Key": key})
    s3.client.delete_object(Bucket=bucket, Key=key)
    assert keys(s3, bucket) == ["copy of " + key]


@pytest.mark.parametrize("key", ["a//b", "/a", "./a", "a/../b", "..", "a/./b", "a/..", "a\x01b", "x" * 256])
def test_a_key_that_cannot_live_in_the_tree_is_refused_and_told_why(s3: S3Access, bucket: str, key: str) -> None:
    answer = s3.signed("PUT", f"/{bucket}/{key}", body=b"x")
    assert answer.status == 400
    assert answer.code in ("InvalidArgument", "KeyTooLongError")
    assert b"<Message>" in answer.body
    assert keys(s3, bucket) == []


def test_a_name_in_another_unicode_form_is_a_conflict_and_not_found(s3: S3Access, bucket: str) -> None:
    s3.client.put_object(Bucket=bucket, Key="caf\u00e9/x", Body=b"composed")
    assert refused(s3.client.put_object, Bucket=bucket, Key="cafe\u0301/x", Body=b"d") == (409, "OperationAborted")
    assert refused(s3.client.get_object, Bucket=bucket, Key="cafe\u0301/x") == (404, "NoSuchKey")
    assert s3.client.get_object(Bucket=bucket, Key="caf\u00e9/x")["Body"].read() == b"composed"


def test_a_file_and_a_folder_of_one_name_are_two_keys(s3: S3Access, bucket: str) -> None:
    for key in ("dir", "dir/below", "dir/below/deeper"):
        s3.client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for key in ("dir", "dir/below", "dir/below/deeper"):
        assert s3.client.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    s3.client.delete_object(Bucket=bucket, Key="dir/below")
    assert keys(s3, bucket) == ["dir", "dir/below/deeper"]
    s3.client.delete_object(Bucket=bucket, Key="dir")
    assert keys(s3, bucket) == ["dir/below/deeper"]


def test_a_key_with_a_slash_is_a_folder_that_stays_and_implied_ones_do_not(
    s3_gateway: RunningGateway, s3: S3Access, bucket: str
) -> None:
    s3.client.put_object(Bucket=bucket, Key="kept/", Body=b"", Metadata={"a": "b"})
    s3.client.put_object(Bucket=bucket, Key="kept/one", Body=b"1")
    s3.client.put_object(Bucket=bucket, Key="implied/deep/one", Body=b"1")
    assert keys(s3, bucket) == ["implied/deep/one", "kept/", "kept/one"]
    assert s3.client.head_object(Bucket=bucket, Key="kept/")["Metadata"] == {"a": "b"}
    assert refused(s3.client.head_object, Bucket=bucket, Key="implied/") == (404, "404")
    assert refused(s3.client.put_object, Bucket=bucket, Key="kept/", Body=b"bytes") == (400, "EntityTooLarge")
    assert set(folders(s3_gateway, bucket)) == {"implied", "kept"}
    for key in ("kept/one", "implied/deep/one"):
        s3.client.delete_object(Bucket=bucket, Key=key)
    assert keys(s3, bucket) == ["kept/"]
    assert folders(s3_gateway, bucket) == ["kept"]
    assert refused(s3.client.delete_bucket, Bucket=bucket) == (409, "BucketNotEmpty")
    s3.client.delete_object(Bucket=bucket, Key="kept/")
    s3.client.delete_bucket(Bucket=bucket)


def test_a_folder_with_content_loses_only_its_own_key(s3: S3Access, bucket: str) -> None:
    s3.client.put_object(Bucket=bucket, Key="kept/", Body=b"")
    s3.client.put_object(Bucket=bucket, Key="kept/one", Body=b"1")
    s3.client.delete_object(Bucket=bucket, Key="kept/")
    assert keys(s3, bucket) == ["kept/one"]
    s3.client.delete_object(Bucket=bucket, Key="kept/one")
    s3.client.delete_bucket(Bucket=bucket)


def test_headers_and_metadata_come_back_and_an_overwrite_drops_them(s3: S3Access, bucket: str) -> None:
    stored = {
        "CacheControl": "max-age=60",
        "ContentDisposition": 'attachment; filename="x.txt"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "ja",
        "ContentType": "text/x-mine",
    }
    metadata = {"name": "value", "under_score-dash": "<&> 'quoted'", "9digit": "1"}
    s3.client.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata=metadata, **stored)
    head = s3.client.head_object(Bucket=bucket, Key="k")
    assert {name: head[name] for name in stored} == stored
    assert head["Metadata"] == metadata
    s3.client.put_object(Bucket=bucket, Key="k", Body=b"x")
    head = s3.client.head_object(Bucket=bucket, Key="k")
    assert head["Metadata"] == {}
    assert "CacheControl" not in head
    assert "ContentEncoding" not in head
    assert s3.signed("PUT", f"/{bucket}/k", headers={"x-amz-meta-a": "x" * 2048}).code == "MetadataTooLarge"


def test_metadata_is_readable_and_writable_over_webdav(s3_gateway: RunningGateway, s3: S3Access, bucket: str) -> None:
    s3.client.put_object(
        Bucket=bucket, Key="k.bin", Body=b"x", Metadata={"shot-by": "Aya & Bo", "mtime": "1600000000.5"}
    )
    url, login = f"{s3_gateway.dav_url}{bucket}/k.bin", (s3_gateway.login, s3_gateway.password)
    shown = requests.request("PROPFIND", url, headers={"Depth": "0"}, auth=login, timeout=120).text
    assert 'xmlns:M="urn:kurado:meta">Aya &amp; Bo</M:shot-by>' in shown
    assert "<D:getlastmodified>Sun, 13 Sep 2020 12:26:40 GMT" in shown
    change = (
        '<D:propertyupdate xmlns:D="DAV:" xmlns:m="urn:kurado:meta"><D:set><D:prop><m:shot-by>Cy</m:shot-by>'
        "</D:prop></D:set></D:propertyupdate>"
    )
    assert requests.request("PROPPATCH", url, data=change, auth=login, timeout=120).status_code == 207
    assert s3.client.head_object(Bucket=bucket, Key="k.bin")["Metadata"]["shot-by"] == "Cy"


def test_a_file_is_the_same_over_both_protocols(s3_gateway: RunningGateway, s3: S3Access, bucket: str) -> None:
    url, login = f"{s3_gateway.dav_url}{bucket}/photo.jpg", (s3_gateway.login, s3_gateway.password)
    put = requests.put(url, data=b"from webdav", auth=login, timeout=120)
    got = s3.client.get_object(Bucket=bucket, Key="photo.jpg")
    assert got["Body"].read() == b"from webdav"
    assert got["ETag"] == put.headers["ETag"]
    assert got["ETag"].endswith('-d"')
    assert got["ContentType"] == "image/jpeg"
    s3.client.put_object(Bucket=bucket, Key="photo.jpg", Body=b"from s3")
    answer = requests.get(url, auth=login, timeout=120)
    assert answer.content == b"from s3"
    assert answer.headers["ETag"] == f'"{hashlib.md5(b"from s3").hexdigest()}"'


def test_ranges_are_answered_as_asked(s3: S3Access, bucket: str) -> None:
    body = bytes(range(256)) * 40
    s3.client.put_object(Bucket=bucket, Key="r", Body=body, ChecksumAlgorithm="CRC32")
    for asked, wanted in (("bytes=5-9", body[5:10]), ("bytes=-7", body[-7:]), ("bytes=10000-", body[10000:])):
        got = s3.client.get_object(Bucket=bucket, Key="r", Range=asked, ChecksumMode="ENABLED")
        assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert "ChecksumCRC32" not in got
        assert got["Body"].read() == wanted
    assert refused(s3.client.get_object, Bucket=bucket, Key="r", Range="bytes=99999-") == (416, "InvalidRange")
    assert s3.client.get_object(Bucket=bucket, Key="r", Range="bytes=0-1,4-5")["Body"].read() == body


# -- conditions -------------------------------------------------------------------------------------------------------


def test_reads_follow_their_conditions(s3: S3Access, bucket: str) -> None:
    etag = s3.client.put_object(Bucket=bucket, Key="c", Body=b"x")["ETag"]
    at = s3.client.head_object(Bucket=bucket, Key="c")["LastModified"]
    s3.client.get_object(Bucket=bucket, Key="c", IfMatch=etag)
    assert refused(s3.client.get_object, Bucket=bucket, Key="c", IfMatch='"other"') == (412, "PreconditionFailed")
    assert refused(s3.client.get_object, Bucket=bucket, Key="c", IfNoneMatch=etag)[0] == 304
    assert refused(s3.client.get_object, Bucket=bucket, Key="c", IfModifiedSince=at)[0] == 304
    s3.client.get_object(Bucket=bucket, Key="c", IfUnmodifiedSince=at)


def test_writes_and_deletions_follow_their_conditions(s3: S3Access, bucket: str) -> None:
    put, delete = s3.client.put_object, s3.client.delete_object
    etag = put(Bucket=bucket, Key="c", Body=b"1", IfNoneMatch="*")["ETag"]
    assert refused(put, Bucket=bucket, Key="c", Body=b"2", IfNoneMatch="*") == (412, "PreconditionFailed")
    assert refused(put, Bucket=bucket, Key="c", Body=b"2", IfMatch='"other"') == (412, "PreconditionFailed")
    assert refused(put, Bucket=bucket, Key="absent", Body=b"2", IfMatch=etag) == (404, "NoSuchKey")
    newer = put(Bucket=bucket, Key="c", Body=b"2", IfMatch=etag)["ETag"]
    assert refused(delete, Bucket=bucket, Key="c", IfMatch=etag) == (412, "PreconditionFailed")
    delete(Bucket=bucket, Key="c", IfMatch=newer)
    assert keys(s3, bucket) == []


def test_one_of_many_conditional_creations_wins(s3_gateway: RunningGateway, s3: S3Access, bucket: str) -> None:
    """Over both gates."""
    won: list[int] = []
    barrier = threading.Barrier(8)

    def create(number: int) -> None:
        own = client(s3_gateway.s3_url, s3.access_key, s3.secret_key)
        barrier.wait()
        try:
            own.put_object(Bucket=bucket, Key="lock", Body=str(number).encode(), IfNoneMatch="*")
            won.append(number)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "PreconditionFailed"

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert s3.client.get_object(Bucket=bucket, Key="lock")["Body"].read() == str(won[0]).encode()


# -- copies, deletions, tags ------------------------------------------------------------------------------------------


def test_a_copy_takes_metadata_along_or_replaces_it(s3: S3Access, bucket: str) -> None:
    s3.client.put_object(Bucket=bucket, Key="a", Body=b"x", Metadata={"m": "1"}, ContentType="text/a", Tagging="t=1")
    source = {"Bucket": bucket, "Key": "a"}
    etag = s3.client.copy_object(Bucket=bucket, Key="b/c", CopySource=source)["CopyObjectResult"]["ETag"]
    head = s3.client.head_object(Bucket=bucket, Key="b/c")
    assert (head["ETag"], head["Metadata"], head["ContentType"]) == (etag, {"m": "1"}, "text/a")
    assert s3.client.get_object_tagging(Bucket=bucket, Key="b/c")["TagSet"] == [{"Key": "t", "Value": "1"}]
    assert refused(s3.client.copy_object, Bucket=bucket, Key="a", CopySource=source) == (400, "InvalidRequest")
    s3.client.copy_object(
        Bucket=bucket,
        Key="a",
        CopySource=source,
        MetadataDirective="REPLACE",
        Metadata={"n": "2"},
        ContentType="text/b",
        TaggingDirective="REPLACE",
        Tagging="u=2",
    )
    head = s3.client.head_object(Bucket=bucket, Key="a")
    assert (head["Metadata"], head["ContentType"]) == ({"n": "2"}, "text/b")
    assert s3.client.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
    assert s3.client.get_object_tagging(Bucket=bucket, Key="a")["TagSet"] == [{"Key": "u", "Value": "2"}]


def test_a_copy_follows_the_conditions_on_its_source(s3: S3Access, bucket: str) -> None:
    etag = s3.client.put_object(Bucket=bucket, Key="a", Body=b"x")["ETag"]
    source = {"Bucket": bucket, "Key": "a"}
    copy = s3.client.copy_object
    copy(Bucket=bucket, Key="b", CopySource=source, CopySourceIfMatch=etag)
    failed = (412, "PreconditionFailed")
    assert refused(copy, Bucket=bucket, Key="c", CopySource=source, CopySourceIfMatch='"other"') == failed
    assert refused(copy, Bucket=bucket, Key="c", CopySource=source, CopySourceIfNoneMatch=etag) == failed
    absent = {"Bucket": bucket, "Key": "absent"}
    assert refused(copy, Bucket=bucket, Key="c", CopySource=absent) == (404, "NoSuchKey")
    elsewhere = {"Bucket": "no-such-bucket", "Key": "a"}
    assert refused(copy, Bucket=bucket, Key="c", CopySource=elsewhere) == (404, "NoSuchBucket")
    assert keys(s3, bucket) == ["a", "b"]


def test_a_thousand_keys_are_deleted_at_once(s3: S3Access, bucket: str) -> None:
    s3.client.put_object(Bucket=bucket, Key="d/0", Body=b"x")
    for number in range(1, 40):
        s3.client.copy_object(Bucket=bucket, Key=f"d/{number}", CopySource={"Bucket": bucket, "Key": "d/0"})
    wanted = [{"Key": f"d/{number}"} for number in range(999)] + [{"Key": "a//b"}]
    done = s3.client.delete_objects(Bucket=bucket, Delete={"Objects": wanted})
    assert len(done["Deleted"]) == 999
    assert [(one["Key"], one["Code"]) for one in done["Errors"]] == [("a//b", "InvalidArgument")]
    assert keys(s3, bucket) == []
    many = [{"Key": str(number)} for number in range(1001)]
    assert refused(s3.client.delete_objects, Bucket=bucket, Delete={"Objects": many}) == (400, "MalformedXML")


def test_tags_are_kept_counted_and_held_to_the_rules(s3: S3Access, bucket: str) -> None:
    s3.client.put_object(Bucket=bucket, Key="t", Body=b"x")
    tags = [{"Key": "a b", "Value": "1&2"}, {"Key": "c", "Value": ""}]
    s3.client.put_object_tagging(Bucket=bucket, Key="t", Tagging={"TagSet": tags})
    assert s3.client.get_object_tagging(Bucket=bucket, Key="t")["TagSet"] == tags
    assert s3.client.get_object(Bucket=bucket, Key="t")["TagCount"] == 2
    twice = {"TagSet": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}
    assert refused(s3.client.put_object_tagging, Bucket=bucket, Key="t", Tagging=twice) == (400, "InvalidTag")
    s3.client.delete_object_tagging(Bucket=bucket, Key="t")
    assert s3.client.get_object_tagging(Bucket=bucket, Key="t")["TagSet"] == []
    assert refused(s3.client.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")
    s3.client.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.client.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags


# -- integrity --------------------------------------------------------------------------------------------------------

BODY = b"checked bytes" * 1000
CHECKSUMS = {
    "CRC32": zlib.crc32(BODY).to_bytes(4, "big"),
    "CRC32C": awscrt.checksums.crc32c(BODY).to_bytes(4, "big"),
    "CRC64NVME": awscrt.checksums.crc64nvme(BODY).to_bytes(8, "big"),
    "SHA1": hashlib.sha1(BODY).digest(),
    "SHA256": hashlib.sha256(BODY).digest(),
}


@pytest.mark.parametrize("algorithm", CHECKSUMS)
def test_a_checksum_is_verified_kept_and_told(s3: S3Access, bucket: str, algorithm: str) -> None:
    value = base64.b64encode(CHECKSUMS[algorithm]).decode()
    put = s3.client.put_object(Bucket=bucket, Key="k", Body=BODY, ChecksumAlgorithm=algorithm)
    assert put["Checksum" + algorithm] == value
    head = s3.client.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["Checksum" + algorithm] == value
    assert s3.client.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")["Body"].read() == BODY
    header = f"x-amz-checksum-{algorithm.lower()}"
    wrong = s3.signed("PUT", f"/{bucket}/new", body=BODY[:-1], headers={header: value})
    assert (wrong.status, wrong.code) == (400, "BadDigest")
    assert keys(s3, bucket) == ["k"]


@pytest.mark.parametrize("word", ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"])
def test_a_body_in_signed_chunks_is_stored_whole_or_not_at_all(s3: S3Access, bucket: str, word: str) -> None:
    chunks = (b"a" * 65536, b"b" * 65536, b"c" * 7, b"")
    body = b"".join(chunks)
    headers = {"x-amz-content-sha256": word, "x-amz-decoded-content-length": str(len(body))}
    headers["Content-Encoding"] = "gzip,aws-chunked"
    crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    if word.endswith("TRAILER"):
        headers["x-amz-trailer"] = "x-amz-checksum-crc32"

    def written(writer: ChunkWriter, checksum: str = crc) -> bytes:
        text = b"".join(writer.chunk(one) for one in chunks)
        end = writer.trailer(f"x-amz-checksum-crc32:{checksum}".encode()) if "x-amz-trailer" in headers else b"\r\n"
        return text + end

    def put(sent: Callable[[ChunkWriter], bytes]) -> Answer:
        return s3.signed("PUT", f"/{bucket}/chunked", headers=headers, sent=sent)

    flipped = put(lambda writer: written(writer).replace(b"ccccccc", b"ccccccd"))
    assert (flipped.status, flipped.code) == (403, "SignatureDoesNotMatch")
    assert put(lambda writer: written(writer)[:-200]).status == 400
    if word.endswith("TRAILER"):
        assert put(lambda writer: written(writer, "AAAAAA==")).code == "BadDigest"
    assert keys(s3, bucket) == []
    assert put(written).status == 200
    got = s3.client.get_object(Bucket=bucket, Key="chunked")
    assert (got["Body"].read(), got["ContentEncoding"]) == (body, "gzip")


def test_a_body_that_is_not_the_signed_one_is_not_stored(s3: S3Access, bucket: str) -> None:
    other = s3.signed("PUT", f"/{bucket}/k", body=b"signed", sent=b"stolen")
    assert (other.status, other.code) == (400, "XAmzContentSHA256Mismatch")
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    assert s3.signed("PUT", f"/{bucket}/k", body=b"x", headers={"Content-MD5": md5}).code == "BadDigest"
    assert s3.signed("PUT", f"/{bucket}/k", body=b"x", headers={"Content-MD5": "no"}).code == "InvalidDigest"
    two = {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-crc32c": "AAAAAA=="}
    assert s3.signed("PUT", f"/{bucket}/k", body=b"x", headers=two).code == "InvalidRequest"
    assert keys(s3, bucket) == []


# -- who --------------------------------------------------------------------------------------------------------------


def test_nobody_gets_in_without_a_right_signature(s3_gateway: RunningGateway, s3: S3Access, bucket: str) -> None:
    assert requests.get(f"{s3.url}/{bucket}", timeout=120).status_code == 403
    wrong = access_with(s3.url, s3.access_key, s3.secret_key + "x")
    assert wrong.signed("GET", f"/{bucket}").code == "SignatureDoesNotMatch"
    unknown = access_with(s3.url, "KUNOBODY", s3.secret_key)
    assert unknown.signed("GET", f"/{bucket}").code == "InvalidAccessKeyId"
    assert s3.signed("PUT", f"/{bucket}/k", unsigned={"x-amz-acl": "private"}).code == "AccessDenied"
    answer = s3.signed("GET", f"/{bucket}", region="eu-west-1")
    assert (answer.status, answer.code) == (400, "AuthorizationHeaderMalformed")
    assert f"<Region>{REGION}</Region>".encode() in answer.body


def test_presigned_urls_work_until_they_are_altered(s3: S3Access, bucket: str) -> None:
    url = s3.client.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "a b+c"}, ExpiresIn=60)
    assert requests.put(url, data=b"by url", timeout=120).status_code == 200
    url = s3.client.generate_presigned_url(
        "get_object", {"Bucket": bucket, "Key": "a b+c", "ResponseContentType": "text/x"}, ExpiresIn=60
    )
    got = requests.get(url, timeout=120)
    assert (got.content, got.headers["Content-Type"]) == (b"by url", "text/x")
    assert requests.get(url.replace("b%2Bc", "b%2Bd"), timeout=120).status_code == 403
    assert requests.put(url, data=b"x", timeout=120).status_code == 403
    assert s3.presigned("GET", f"/{bucket}/a b+c", altered="&x=y").code == "SignatureDoesNotMatch"


def test_tenants_have_name_spaces_of_their_own(s3_gateway: RunningGateway, s3: S3Access) -> None:
    s3_gateway.add_tenant("rival", login="rob")
    rival = access(s3_gateway, "rival", "rob")
    for one in (s3, rival):
        one.client.create_bucket(Bucket="same-name")
        one.client.put_object(Bucket="same-name", Key="k", Body=one.access_key.encode())
    s3.client.create_bucket(Bucket="only-ours")
    for one in (s3, rival):
        assert one.client.get_object(Bucket="same-name", Key="k")["Body"].read() == one.access_key.encode()
    assert refused(rival.client.list_objects_v2, Bucket="only-ours") == (404, "NoSuchBucket")
    source = {"Bucket": "only-ours", "Key": "k"}
    assert refused(rival.client.copy_object, Bucket="same-name", Key="c", CopySource=source) == (404, "NoSuchBucket")


def test_a_viewer_reads_and_a_disabled_key_does_nothing(s3_gateway: RunningGateway, s3: S3Access, bucket: str) -> None:
    s3.client.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3_gateway.add_user(s3_gateway.tenant, "vic", role="viewer")
    viewer = access(s3_gateway, login="vic")
    assert viewer.client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"
    for call, arguments in (
        (viewer.client.put_object, {"Key": "k", "Body": b"y"}),
        (viewer.client.delete_object, {"Key": "k"}),
        (viewer.client.delete_bucket, {}),
    ):
        assert refused(call, Bucket=bucket, **arguments) == (403, "AccessDenied")
    s3_gateway.cli("key", "disable", viewer.access_key)
    # a new connection each, so that both gates are asked
    until(lambda: {viewer.signed("GET", f"/{bucket}/k").code for _ in range(16)} == {"InvalidAccessKeyId"})


def test_what_is_not_there_says_so(s3: S3Access, bucket: str) -> None:
    for call in (s3.client.get_bucket_policy, s3.client.get_bucket_lifecycle_configuration, s3.client.get_bucket_acl):
        assert refused(call, Bucket=bucket) == (501, "NotImplemented")
    assert s3.signed("PATCH", f"/{bucket}").code == "MethodNotAllowed"
    encrypted = {"x-amz-server-side-encryption": "aws:kms"}
    assert s3.signed("PUT", f"/{bucket}/k", body=b"x", headers=encrypted).code == "NotImplemented"
    assert s3.signed("PUT", f"/{bucket}/k", body=b"x", headers={"x-amz-acl": "public-read"}).code == "NotImplemented"


def test_webdav_shows_the_file_beside_a_folder_under_a_suffix(
    s3_gateway: RunningGateway, s3: S3Access, bucket: str
) -> None:
    for key in ("dir", "dir/below", "other"):
        s3.client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    url, login = f"{s3_gateway.dav_url}{bucket}/", (s3_gateway.login, s3_gateway.password)
    for depth in ("1", "infinity"):
        shown = requests.request("PROPFIND", url, headers={"Depth": depth}, auth=login, timeout=120).text
        hrefs = re.findall(rf"/{bucket}/([^<]+)</D:href>", shown)
        assert set(hrefs) >= {"dir/", "dir%20(file)", "other"}
        assert "dir" not in hrefs
    assert "dir (file)" in requests.get(url, auth=login, timeout=120).text
    assert requests.get(url + "dir%20(file)", auth=login, timeout=120).content == b"dir"
    assert requests.put(url + "dir%20(file)", data=b"new", auth=login, timeout=120).status_code == 204
    assert s3.client.get_object(Bucket=bucket, Key="dir")["Body"].read() == b"new"
    moved = {"Destination": url + "renamed"}
    assert requests.request("MOVE", url + "dir%20(file)", headers=moved, auth=login, timeout=120).status_code == 201
    assert keys(s3, bucket) == ["dir/below", "other", "renamed"]


def test_requests_are_metered_by_their_class(s3_gateway: RunningGateway, bucket: str) -> None:
    s3_gateway.add_tenant("metered", login="mel")
    own = access(s3_gateway, "metered", "mel")

    def counted() -> dict[str, int]:
        text = requests.get(f"{s3_gateway.desk_url}/metrics", timeout=120).text
        line = r'^kurado_requests_total\{(?=.*tenant="metered").*class="(\w+)".*\} (\d+)'
        return {name: int(value) for name, value in re.findall(line, text, re.MULTILINE) if value != "0"}

    own.client.create_bucket(Bucket="bills")
    own.client.put_object(Bucket="bills", Key="k", Body=b"x")
    own.client.get_object(Bucket="bills", Key="k")["Body"].read()
    own.client.list_objects_v2(Bucket="bills")
    own.client.list_buckets()
    until(lambda: counted() == {"write": 2, "read": 1, "list": 2}, counted)


def test_the_first_listing_is_still_spoken(s3: S3Access, bucket: str) -> None:
    for key in ("a", "b/1", "b/2", "c", "d e/1"):
        s3.client.put_object(Bucket=bucket, Key=key, Body=b"")
    first = s3.client.list_objects(Bucket=bucket, Delimiter="/", MaxKeys=2)
    assert [one["Key"] for one in first["Contents"]] == ["a"]
    assert [one["Prefix"] for one in first["CommonPrefixes"]] == ["b/"]
    assert first["NextMarker"] == "b/"
    rest = s3.client.list_objects(Bucket=bucket, Delimiter="/", Marker=first["NextMarker"])
    assert [one["Key"] for one in rest["Contents"]] == ["c"]
    assert [one["Prefix"] for one in rest["CommonPrefixes"]] == ["d e/"]
    plain = s3.client.list_objects(Bucket=bucket, MaxKeys=1, Marker="b/1")
    assert ([one["Key"] for one in plain["Contents"]], plain["IsTruncated"]) == (["b/2"], True)
    assert "NextMarker" not in plain
    assert s3.client.list_objects_v2(Bucket=bucket, MaxKeys=0)["KeyCount"] == 0
    assert refused(s3.client.list_objects_v2, Bucket=bucket, ContinuationToken="no") == (400, "InvalidArgument")
    pages = s3.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
    assert [one["Key"] for page in pages for one in page["Contents"]] == ["a", "b/1", "b/2", "c", "d e/1"]


def test_another_owner_than_expected_is_refused(s3: S3Access, bucket: str) -> None:
    s3.client.list_objects_v2(Bucket=bucket, ExpectedBucketOwner="acme")
    assert refused(s3.client.list_objects_v2, Bucket=bucket, ExpectedBucketOwner="rival") == (403, "AccessDenied")
