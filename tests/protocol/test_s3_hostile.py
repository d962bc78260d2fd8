"""Whatever is sent to the S3 listener, the answer is an answer: no fault of ours, no word of the inside."""

from __future__ import annotations

import random
from xml.etree import ElementTree

import pytest
import requests

from gateway.testing.s3 import Answer, S3Access
from gateway.testing.server import RunningGateway

METHODS = (*("GET", "PUT", "POST") * 4, "HEAD", "DELETE", "OPTIONS", "PATCH", "PROPFIND")
NAMES = (
    "list-type", "prefix", "delimiter", "max-keys", "marker", "continuation-token", "start-after", "encoding-type",
    "versions", "key-marker", "uploads", "uploadId", "partNumber", "delete", "tagging", "cors", "acl", "versionId",
    "location", "versioning", "policy", "response-content-type", "X-Amz-Expires", "X-Amz-Algorithm", "select",
)  # fmt: skip
HEADERS = (
    "Range", "If-Match", "If-None-Match", "If-Modified-Since", "Content-MD5", "x-amz-copy-source", "x-amz-tagging",
    "x-amz-meta-a", "x-amz-acl", "x-amz-checksum-crc32", "x-amz-sdk-checksum-algorithm", "x-amz-trailer",
    "x-amz-metadata-directive", "x-amz-decoded-content-length", "Content-Type", "Content-Encoding", "Origin", "Expires",
    "x-amz-content-sha256", "x-amz-checksum-mode", "x-amz-storage-class", "Access-Control-Request-Method",
)  # fmt: skip
WORDS = (
    "", "0", "-1", "1000000000000000000000", "a", "a/b", "/", "//", "../..", "%", "%00", "%ff", "é", "\u0301", "*", '"',
    '"x"', "bytes=0-", "bytes=-0", "bytes=5-2", "null", "true", "2", "url", "a=b&c=d", "REPLACE", "\t", "ü" * 300,
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "UNSIGNED-PAYLOAD", "gzip,aws-chunked",
    "multipart/form-data; boundary=x", "text/xml", "9999-99-99", "Sun, 06 Nov 1994 08:49:37 GMT",
)  # fmt: skip
BODIES = (
    b"", b"x", b"\x00" * 100, b"<", b"<a/>", b"<Delete><Object><Key>a</Key></Object></Delete>",
    b'<!DOCTYPE a [<!ENTITY b "c">]><Delete>&b;</Delete>', b"<Tagging><TagSet><Tag><Key/></Tag></TagSet></Tagging>",
    b"<CORSConfiguration><CORSRule/></CORSConfiguration>", b"1\r\nx\r\n0\r\n\r\n", b"ffffffffffffffff\r\n",
    b"--x\r\n\r\n--x--", b"<CompleteMultipartUpload/>", b"<VersioningConfiguration><Status>x</Status>",
)  # fmt: skip


def sane(answer: Answer, what: object) -> None:
    assert answer.status < 500 or answer.status == 501, (what, answer.body)
    assert b"Traceback" not in answer.body and b"/tmp" not in answer.body and b"site-packages" not in answer.body
    if answer.status >= 400 and answer.body:
        tags = {one.tag for one in ElementTree.fromstring(answer.body)}
        assert {"Code", "Message", "RequestId"} <= tags, (what, answer.body)


@pytest.mark.parametrize("seed", range(3))
def test_no_signed_request_is_a_fault_of_ours(s3_gateway: RunningGateway, s3: S3Access, bucket: str, seed: int) -> None:
    chance = random.Random(seed)
    s3.client.put_object(Bucket=bucket, Key="a/b", Body=b"content")
    for _ in range(250):
        method = chance.choice(METHODS)
        place = chance.choice(("", f"/{bucket}", f"/{bucket}/a/b", f"/{bucket}/a", "/nothing", f"/{bucket}/"))
        path = (place + chance.choice(("", "", "/", "/" + chance.choice(WORDS)))) or "/"
        query = {chance.choice(NAMES): chance.choice(WORDS) for _ in range(chance.choice((0, 1, 1, 2, 4)))}
        headers = {chance.choice(HEADERS): chance.choice(WORDS) for _ in range(chance.choice((0, 0, 1, 2, 3)))}
        headers = {name: value.strip().encode().decode("latin-1") for name, value in headers.items()}
        body = chance.choice(BODIES) if method in ("PUT", "POST") else b""
        if method == "DELETE" and path.strip("/") == bucket:
            continue
        asked = (method, path, query, headers, body)
        try:
            answer = s3.signed(method, path, query=query, headers=headers, body=body)
        except UnicodeError:
            continue  # the client cannot even sign it
        sane(answer, asked)
    assert s3.client.head_bucket(Bucket=bucket)
    assert not [line for line in s3_gateway.log_lines() if "Traceback" in str(line) or line.get("level") == "error"]


@pytest.mark.parametrize("path", [b"/\xff", b"/%s/\xff", b"/\xed\xa0\x80/a"])
def test_a_path_that_is_no_utf_8_is_no_uri(s3: S3Access, bucket: str, path: bytes) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE", "POST", "OPTIONS"):
        answer = s3.signed(method, path.replace(b"%s", bucket.encode()))
        sane(answer, (method, path))
        assert (answer.status, answer.code) == (400, "" if method == "HEAD" else "InvalidURI")


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "\x00", "a\nb", "\x7f"])
def test_no_header_is_asked_for_that_could_break_the_answer(s3: S3Access, bucket: str, value: str) -> None:
    s3.client.put_object(Bucket=bucket, Key="a", Body=b"content")
    for name in ("content-type", "expires", "cache-control", "content-disposition", "content-encoding"):
        for method in ("GET", "HEAD"):
            answer = s3.signed(method, f"/{bucket}/a", query={f"response-{name}": value})
            assert answer.status == 400 and "X-Evil" not in answer.headers
    kept = s3.signed("GET", f"/{bucket}/a", query={"response-content-disposition": "attachment; filename=全　角.txt"})
    assert kept.status == 200 and kept.body == b"content"


def test_a_content_type_in_latin_1_is_kept(s3: S3Access, bucket: str) -> None:
    made = s3.signed("PUT", f"/{bucket}/a", body=b"content", unsigned={"Content-Type": b"text/plain; x=\xe9"})
    assert made.status == 200
    assert s3.signed("GET", f"/{bucket}/a").headers["Content-Type"].encode("latin-1").decode() == "text/plain; x=é"


def test_what_is_not_signed_is_refused_before_its_body(s3: S3Access, bucket: str) -> None:
    for url in (f"{s3.url}/{bucket}/k", f"{s3.url}/{bucket}", f"{s3.url}/"):
        for method in ("GET", "PUT", "POST", "DELETE"):
            answer = requests.request(method, url, data=b"x" * 100_000, timeout=120)
            assert answer.status_code == 403
            assert b"<Code>AccessDenied</Code>" in answer.content


def test_a_body_without_a_length_is_asked_for_one(s3: S3Access, bucket: str) -> None:
    url = s3.client.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "k"})
    answer = requests.put(url, data=iter([b"a", b"b"]), timeout=120)
    assert (answer.status_code, b"MissingContentLength" in answer.content) == (411, True)


def test_names_of_servers_and_scripts_stay_out_of_browsers(s3: S3Access, bucket: str) -> None:
    s3.client.put_object(Bucket=bucket, Key="page.bin", Body=b"<script>", ContentType="text/html")
    s3.client.put_object(Bucket=bucket, Key="image.svg", Body=b"<svg/>", ContentType="image/png")
    for key in ("page.bin", "image.svg"):
        headers = s3.signed("GET", f"/{bucket}/{key}").headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in headers["Content-Security-Policy"]
        assert "Server" not in headers
