"""macOS Finder (webdavfs): its requests with their exact headers, and what it needs (CLIENTS 9-17)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.testing.dav_client import DavClient, FakeBody, open_dav, propfind_body

AGENT = "WebDAVFS/3.0.0 (03008000) Darwin/23.4.0 (x86_64)"
LOCK_BODY = (
    '<?xml version="1.0" encoding="utf-8"?>\n<D:lockinfo xmlns:D="DAV:">\n<D:lockscope><D:exclusive/></D:lockscope>\n'
    "<D:locktype><D:write/></D:locktype>\n<D:owner>\n<D:href>http://www.apple.com/webdav_fs/</D:href>\n</D:owner>\n"
    "</D:lockinfo>\n"
)
APPLE_DOUBLE = bytes.fromhex("00051607000200004d6163204f5320582020202020202020") + bytes(range(256)) * 16


@pytest.fixture
def dav(tmp_path: Path) -> Iterator[DavClient]:
    with open_dav(tmp_path, backend="memory", plugins=["quota"], quota_bytes=1_000_000) as client:
        client.headers = {"User-Agent": AGENT, "Accept": "*/*"}
        yield client


def finder_lock(dav: DavClient, path: str) -> str:
    answer = dav.send(
        "LOCK", path, LOCK_BODY, {"Depth": "0", "Timeout": "Second-600", "Content-Type": 'text/xml; charset="utf-8"'}
    )
    assert answer.status in (200, 201)
    assert answer.xml.findtext(".//{DAV:}timeout") == "Second-600"
    return answer.token


def chunked(dav: DavClient, path: str, body: bytes, token: str, block: int = 4096) -> int:
    return dav.send(
        "PUT",
        path,
        FakeBody(body, chunked=True, block=block),
        {
            "X-Expected-Entity-Length": str(len(body)),
            "Transfer-Encoding": "Chunked",
            "Content-Type": "application/octet-stream",
            "If": f"(<{token}>)",
        },
    ).status


def test_no_coded_url_stands_in_the_dav_header(dav: DavClient) -> None:
    assert dav.send("OPTIONS", "/").headers["DAV"] == "1, 2, 3"


def test_finder_copies_a_file_with_its_apple_double(dav: DavClient) -> None:
    for name, body in (("/photo.jpg", b"\xff\xd8" + b"p" * 70_000), ("/._photo.jpg", APPLE_DOUBLE)):
        assert dav.propfind(name, "0").status == 404
        assert dav.send("PUT", name, b"", {"Content-Length": "0"}).status == 201
        token = finder_lock(dav, name)
        assert dav.send("GET", name, b"", {"If": f"(<{token}>)"}).body == b""
        assert chunked(dav, name, body, token) == 204
        assert dav.send("UNLOCK", name, b"", {"Lock-Token": f"<{token}>"}).status == 204
        assert dav.get(name).body == body
    assert dav.space.names() == ["._photo.jpg", "photo.jpg"]


@pytest.mark.parametrize("block", [1, 7, 1000, 65536])
def test_a_chunked_body_of_any_chunk_size_is_stored_whole(dav: DavClient, block: int) -> None:
    body = bytes(range(256)) * 20
    answer = dav.send(
        "PUT", "/a", FakeBody(body, chunked=True, block=block), {"X-Expected-Entity-Length": str(len(body))}
    )
    assert answer.status == 201
    assert dav.get("/a").body == body


@pytest.mark.parametrize("expected", [0, 9, 11])
def test_a_chunked_body_of_another_length_than_expected_is_never_stored(dav: DavClient, expected: int) -> None:
    dav.put("/a", b"old")
    answer = dav.send("PUT", "/a", FakeBody(b"0123456789", chunked=True), {"X-Expected-Entity-Length": str(expected)})
    assert answer.status == 400
    assert dav.get("/a").body == b"old"


def test_an_expected_length_above_the_quota_is_507_before_a_byte_is_read(dav: DavClient) -> None:
    body = FakeBody(b"x" * 2_000_000, chunked=True)
    answer = dav.send("PUT", "/a", body, {"X-Expected-Entity-Length": "2000000"})
    assert answer.status == 507
    assert body.taken == 0


def test_a_short_timeout_is_granted_longer_and_says_so(dav: DavClient) -> None:
    dav.put("/a", b"x")
    answer = dav.lock("/a", Timeout="Second-10", Depth="0")
    assert answer.xml.findtext(".//{DAV:}timeout") == "Second-600"


def test_a_lock_is_refreshed_at_half_its_time_and_outlives_the_first(dav: DavClient) -> None:
    dav.put("/a", b"x")
    token = finder_lock(dav, "/a")
    for _ in range(4):
        dav.forward(300)
        answer = dav.send("LOCK", "/a", b"", {"If": f"(<{token}>)", "Timeout": "Second-600"})
        assert answer.status == 200
        assert answer.xml.findtext(".//{DAV:}locktoken/{DAV:}href") == token
    assert dav.put("/a", b"y").status == 423
    dav.forward(601)
    assert dav.put("/a", b"y").status == 204


def test_an_untagged_if_opens_a_move_without_overwrite_and_a_delete(dav: DavClient) -> None:
    dav.put("/a", b"new")
    dav.put("/b", b"old")
    token = finder_lock(dav, "/a")
    moved = dav.send("MOVE", "/a", b"", {"Destination": f"{dav.url}/b", "If": f"(<{token}>)"})
    assert moved.status == 204
    assert dav.get("/b").body == b"new"
    token = finder_lock(dav, "/b")
    assert dav.delete("/b").status == 423
    assert dav.send("DELETE", "/b", b"", {"If": f"(<{token}>)"}).status == 204


def test_free_space_is_said_and_the_old_names_are_404(dav: DavClient) -> None:
    body = propfind_body("D:quota-available-bytes", "D:quota-used-bytes", "D:quota", "D:quotaused")
    answer = dav.send("PROPFIND", "/", body, {"Depth": "0"})
    found = {name: int(one.text or "") for name, one in answer.props().items()}
    assert set(found) == {"{DAV:}quota-available-bytes", "{DAV:}quota-used-bytes"}
    assert sum(found.values()) < 2**63
    assert set(answer.missing()) == {"{DAV:}quota", "{DAV:}quotaused"}


def test_without_a_limit_no_free_space_is_made_up(tmp_path: Path) -> None:
    with open_dav(tmp_path / "unlimited") as dav:
        answer = dav.propfind("/", "0", "D:quota-available-bytes", "D:quota-used-bytes")
        assert set(answer.props()) == {"{DAV:}quota-used-bytes"}


@pytest.mark.parametrize("name", [".DS_Store", "._x", "._.DS_Store", ".localized"])
def test_finders_own_files_are_kept_byte_for_byte(dav: DavClient, name: str) -> None:
    assert dav.put(f"/{name}", APPLE_DOUBLE).status == 201
    assert dav.get(f"/{name}").body == APPLE_DOUBLE


@pytest.mark.parametrize("name", [".hidden", ".Spotlight-V100", ".metadata_never_index", "Contents", "mach_kernel"])
def test_probes_are_plain_404s(dav: DavClient, name: str) -> None:
    assert dav.propfind(f"/{name}", "0").status == 404


@pytest.mark.parametrize("name", ["パンダ.txt", "é.txt", "Å", "한글.txt", "ﾊﾟ.txt", "が"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_is_found_in_both_forms_and_listed_as_it_was_sent(dav: DavClient, name: str, form: str) -> None:
    sent = unicodedata.normalize(form, name)
    other = unicodedata.normalize("NFD" if form == "NFC" else "NFC", name)
    dav.put("/" + quote(sent), b"x")
    assert dav.propfind("/", "1").hrefs()[1] == "/dav/studio/" + quote(sent)
    for spelling in (sent, other):
        assert dav.get("/" + quote(spelling)).body == b"x"
        assert dav.propfind("/" + quote(spelling), "0").status == 207
    assert dav.put("/" + quote(other), b"y").status == 204
    assert len(dav.space.names()) == 1
