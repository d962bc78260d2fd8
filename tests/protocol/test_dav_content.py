"""GET, HEAD and PUT: ranges, conditions, digests, media types, pages."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.errors import RangeNotSatisfiable
from gateway.testing.dav_client import DavClient, FakeBody, open_dav
from gateway.wire.media import media_type
from gateway.wire.ranges import MAX_RANGES, parse_ranges

DIGITS = b"0123456789"


@pytest.fixture
def dav(tmp_path: Path) -> Iterator[DavClient]:
    with open_dav(tmp_path) as client:
        client.put("/a.txt", DIGITS)
        yield client


@pytest.mark.parametrize(
    ("header", "body", "content_range"),
    [
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-30", DIGITS, "bytes 0-9/10"),
        ("bytes=5-500", b"56789", "bytes 5-9/10"),
        ("Bytes = 2 - 4", b"234", "bytes 2-4/10"),
        ("bytes=0-3,2-5", b"012345", "bytes 0-5/10"),
        ("bytes=0-1,20-30", b"01", "bytes 0-1/10"),
    ],
)
def test_one_range_is_206(dav: DavClient, header: str, body: bytes, content_range: str) -> None:
    answer = dav.get("/a.txt", Range=header)
    assert (answer.status, answer.body, answer.headers["Content-Range"]) == (206, body, content_range)
    assert answer.headers["ETag"] == dav.get("/a.txt").headers["ETag"]


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=-0", "bytes=10-11,-0"])
def test_a_range_outside_the_file_is_416_with_the_size(dav: DavClient, header: str) -> None:
    answer = dav.get("/a.txt", Range=header)
    assert (answer.status, answer.headers["Content-Range"]) == (416, "bytes */10")


def test_a_range_of_an_empty_file_is_416_and_the_file_is_200(dav: DavClient) -> None:
    dav.put("/empty", b"")
    assert dav.get("/empty", Range="bytes=0-").status == 416
    assert (dav.get("/empty").status, dav.get("/empty").body) == (200, b"")


def test_head_pays_no_heed_to_ranges(dav: DavClient) -> None:
    answer = dav.send("HEAD", "/a.txt", Range="bytes=2-4")
    assert (answer.status, answer.headers["Content-Length"]) == (200, "10")


def test_if_range_sends_the_whole_file_once_it_changed(dav: DavClient) -> None:
    answer = dav.get("/a.txt")
    for known in (answer.headers["ETag"], answer.headers["Last-Modified"]):
        assert dav.get("/a.txt", Range="bytes=0-1", If_Range=known).status == 206
    for other in ('"other"', f"W/{answer.headers['ETag']}", "Mon, 04 Jan 2027 10:00:00 GMT", "nonsense"):
        assert dav.get("/a.txt", Range="bytes=0-1", If_Range=other).body == DIGITS


def test_many_ranges_get_the_whole_file(dav: DavClient) -> None:
    header = "bytes=" + ",".join("0-0,2-2,4-4,6-6" for _ in range(MAX_RANGES))
    assert dav.get("/a.txt", Range=header).status == 200


_SPEC = st.one_of(
    st.tuples(st.integers(0, 300), st.integers(0, 300)).map(lambda two: f"{two[0]}-{two[1]}"),
    st.integers(0, 300).map(lambda n: f"{n}-"),
    st.integers(0, 300).map(lambda n: f"-{n}"),
    st.text("0123456789-, x", max_size=6),
)


@given(st.lists(_SPEC, max_size=50), st.integers(0, 200))
def test_ranges_never_send_more_than_the_file_nor_outside_it(specs: list[str], size: int) -> None:
    try:
        ranges = parse_ranges("bytes=" + ",".join(specs), size)
    except RangeNotSatisfiable:
        return
    if ranges is None:
        return
    assert 0 < len(ranges) <= MAX_RANGES
    assert all(length > 0 and start >= 0 and start + length <= size for start, length in ranges)
    assert sum(length for _, length in ranges) <= size


@given(st.text(max_size=40), st.integers(0, 2**63))
def test_no_range_header_breaks_the_parser(header: str, size: int) -> None:
    try:
        parse_ranges(header, size)
    except RangeNotSatisfiable as error:
        assert error.size == size


# -- conditions -------------------------------------------------------------------------------------------------------


def test_preconditions_of_a_read_are_412_and_304_in_their_order(dav: DavClient) -> None:
    etag = dav.get("/a.txt").headers["ETag"]
    past = "Mon, 04 Jan 2021 10:00:00 GMT"
    assert dav.get("/a.txt", If_Match='"other"').status == 412
    assert dav.get("/a.txt", If_Match=f'"other", {etag}').status == 200
    assert dav.get("/a.txt", If_Unmodified_Since=past).status == 412
    assert dav.get("/a.txt", If_Match=etag, If_Unmodified_Since=past).status == 200
    assert dav.get("/a.txt", If_None_Match='"other"', If_Modified_Since="Mon, 04 Jan 2100 10:00:00 GMT").status == 200
    assert dav.get("/a.txt", If_None_Match=f"W/{etag}").status == 304
    assert dav.get("/a.txt", If_Match=etag.strip('"')).status == 200
    assert dav.get("/a.txt", If_Modified_Since="no date").status == 200


@pytest.mark.parametrize("header", ["(", "()", "(<a>", "<u>", "nonsense", '(["a)', "(Not)", "(<a>) <u> (<b>)"])
def test_an_if_header_outside_its_grammar_is_400(dav: DavClient, header: str) -> None:
    for verb in ("GET", "PUT", "DELETE", "MOVE", "PROPFIND", "LOCK"):
        answer = dav.send(verb, "/a.txt", b"", {"If": header, "Destination": dav.url + "/b", "Depth": "0"})
        assert answer.status == 400


# -- put --------------------------------------------------------------------------------------------------------------


def digest(name: str, body: bytes) -> bytes:
    return hashlib.new(name, body).digest()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Content-MD5", lambda body: b64(digest("md5", body))),
        ("Digest", lambda body: f"SHA-256={b64(digest('sha256', body))},md5={b64(digest('md5', body))}"),
        ("Content-Digest", lambda body: f"sha-256=:{b64(digest('sha256', body))}:"),
        ("Repr-Digest", lambda body: f"sha-512=:AAAA:, sha-256=:{b64(digest('sha256', body))}:"),
        ("OC-Checksum", lambda body: f"SHA1:{digest('sha1', body).hex()}"),
        ("OC-Checksum", lambda body: f"MD5:{digest('md5', body).hex()}"),
    ],
)
def test_a_declared_digest_is_compared(dav: DavClient, header: str, value) -> None:  # type: ignore[no-untyped-def]
    assert dav.send("PUT", "/b", b"body", {header: value(b"body")}).status == 201
    answer = dav.send("PUT", "/b", b"bodx", {header: value(b"body")})
    assert (answer.status, answer.fact("code")) == (400, "digest-mismatch")
    assert dav.get("/b").body == b"body"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Content-MD5", "not base64!"),
        ("Content-MD5", b64(b"short")),
        ("OC-Checksum", "MD5:xyz"),
        ("Digest", "md5=AA=="),
        ("X-Expected-Entity-Length", "-1"),
        ("X-Expected-Entity-Length", "99999999999999999999"),
        ("Content-Range", "bytes 0-3/10"),
    ],
)
def test_a_declaration_that_cannot_be_kept_is_400(dav: DavClient, header: str, value: str) -> None:
    assert dav.send("PUT", "/a.txt", b"body", {header: value}).status == 400
    assert dav.get("/a.txt").body == DIGITS


def test_put_onto_a_collection_is_405_with_allow_and_with_a_slash_400(dav: DavClient) -> None:
    dav.mkcol("/c/")
    answer = dav.put("/c", b"x")
    assert answer.status == 405
    assert "PUT" not in answer.headers["Allow"].split(", ")
    assert dav.put("/c/", b"x").status == 400
    assert dav.put("/", b"x").status in (400, 405)


def test_a_file_asked_for_with_a_slash_is_the_file_under_its_own_name(dav: DavClient) -> None:
    assert (dav.get("/a.txt/").status, dav.get("/a.txt/").body) == (200, DIGITS)
    listed = dav.send("PROPFIND", "/a.txt/", Depth="0")
    assert listed.status == 207
    assert b"/a.txt</" in listed.body
    assert dav.put("/a.txt/", b"x").status == 400
    assert dav.get("/a.txt").body == DIGITS


def test_mkcol_with_a_body_is_415_and_twice_405(dav: DavClient) -> None:
    assert dav.send("MKCOL", "/c/", b"<x/>").status == 415
    assert [dav.mkcol("/c/").status, dav.mkcol("/c/").status, dav.mkcol("/a.txt").status] == [201, 405, 405]


def test_a_body_is_stored_as_it_came_whatever_its_encoding(dav: DavClient) -> None:
    body = b"\x1f\x8b\x08not really gzip"
    dav.send("PUT", "/a.gz", FakeBody(body, chunked=True), {"Content-Encoding": "gzip"})
    assert dav.get("/a.gz").body == body


def test_a_content_type_that_is_no_utf_8_is_no_reason_to_fail(dav: DavClient) -> None:
    assert dav.send("PUT", "/a.txt", b"content", {"Content-Type": "text/plain; x=\udce9"}).status == 204
    assert dav.get("/a.txt").body == b"content"


# -- media types, pages -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["x.html", "x.HTM", "x.svg", "x.xhtml", "x.xml", "x.js", "x.swf", "x", "x.mht", "x.php"]
)
def test_what_could_run_in_our_origin_is_a_sandboxed_download(dav: DavClient, name: str) -> None:
    dav.send("PUT", f"/{name}", b"<script>alert(1)</script>", {"Content-Type": "text/html"})
    answer = dav.get(f"/{name}")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_the_type_is_by_name_and_never_the_clients_word(dav: DavClient) -> None:
    dav.send("PUT", "/x.png", b"<html>", {"Content-Type": "text/html"})
    assert dav.get("/x.png").headers["Content-Type"] == "image/png"
    assert "Content-Disposition" not in dav.get("/x.png").headers
    assert media_type("archive.tar.GZ") == "application/gzip"
    assert media_type(".png") == "image/png"
    assert media_type("png") == "application/octet-stream"


def test_a_download_name_cannot_break_its_header(dav: DavClient) -> None:
    dav.put("/%E3%83%91%22%3B%20x%3D.html", b"x")
    value = dav.get("/%E3%83%91%22%3B%20x%3D.html").headers["Content-Disposition"]
    assert value.startswith("attachment; filename=\"___ x=.html\"; filename*=UTF-8''%E3%83%91%22%3B%20x%3D.html")


def test_the_listing_page_is_escaped_and_runs_nothing(dav: DavClient) -> None:
    dav.put("/%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E", b"x")
    answer = dav.get("/")
    assert b"<img" not in answer.body
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert b'href="/dav/studio/%22%3E%3Cimg' in answer.body
    assert b"10 B</td>" in answer.body


def test_the_front_page_says_how_to_mount_on_each_system(dav: DavClient) -> None:
    page = dav.root("GET", "/", login=False).body.decode()
    for word in ("mount -t davfs", "net use", "Connect to Server", "rclone", "FileSizeLimitInBytes", "/dav/TENANT/"):
        assert word in page
    assert dav.root("HEAD", "/").status == 200
    assert dav.root("DELETE", "/").status == 405


def test_the_front_page_escapes_the_host(dav: DavClient) -> None:
    dav.host = 'x"><script>'
    assert b"<script>" not in dav.root("GET", "/", login=False).body


def test_an_unknown_method_is_405_with_allow(dav: DavClient) -> None:
    for verb in ("POST", "PATCH", "TRACE", "REPORT", "BREW"):
        answer = dav.send(verb, "/a.txt")
        assert answer.status == 405
        assert "PROPFIND" in answer.headers["Allow"]


def test_options_of_what_is_not_there(dav: DavClient) -> None:
    assert dav.send("OPTIONS", "/new").headers["Allow"] == "OPTIONS, PUT, MKCOL, LOCK"
    assert dav.send("OPTIONS", "/no/such").status == 404
