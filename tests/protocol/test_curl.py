"""curl: each verb by hand, with the answers that RFC 4918 and RFC 9110 ask for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.testing.needs import need
from gateway.testing.outside import Space, run, running_space

Curl = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    need("curl")
    with running_space(tmp_path_factory.mktemp("gateway")) as space:
        yield space


@pytest.fixture
def curl(space: Space, tmp_path: Path) -> Curl:
    """curl(path, options…) → (status, body), with the login of the space."""
    (tmp_path / "netrc").write_text(space.netrc)

    def call(path: str, *options: str | Path, text: str | None = None) -> tuple[int, str]:
        fixed = ["-sS", "--netrc-file", tmp_path / "netrc", "-w", "\n%{http_code}", "--path-as-is"]
        done = run("curl", *fixed, *options, space.url + path, cwd=tmp_path, text=text)
        body, _, status = done.output.rpartition("\n")
        return int(status), body

    return call


def header(answer: str, name: str) -> str:
    found = re.search(rf"^{name}: (.*?)\r?$", answer, re.IGNORECASE | re.MULTILINE)
    assert found, answer
    return found.group(1)


def test_a_file_is_made_replaced_read_in_ranges_and_removed(curl: Curl, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("0123456789")
    assert curl("file.txt", "-T", "one")[0] == 201
    assert curl("file.txt", "-T", "one")[0] == 204
    assert curl("file.txt") == (200, "0123456789")
    assert curl("file.txt", "-r", "2-4") == (206, "234")
    assert curl("file.txt", "-r", "-3") == (206, "789")
    assert curl("file.txt", "-r", "20-")[0] == 416
    status, body = curl("file.txt", "-r", "0-1,8-9")
    assert status == 206
    assert "Content-Range: bytes 0-1/10" in body and "Content-Range: bytes 8-9/10" in body
    status, head = curl("file.txt", "-I")
    assert (status, header(head, "Content-Length")) == (200, "10")
    assert curl("file.txt", "-X", "DELETE")[0] == 204
    assert curl("file.txt")[0] == 404


def test_a_chunked_body_and_one_that_waits_for_100_continue_are_stored_whole(curl: Curl, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"ab" * 1_500_000)
    assert curl("waited", "-T", "big", "-H", "Expect: 100-continue")[0] == 201
    assert curl("chunked", "-T", "big", "-H", "Transfer-Encoding: chunked")[0] == 201
    for name in ("waited", "chunked"):
        curl(name, "-o", "back")
        assert (tmp_path / "back").read_bytes() == (tmp_path / "big").read_bytes()


def test_conditions_guard_against_lost_updates(curl: Curl, tmp_path: Path) -> None:
    (tmp_path / "v1").write_text("v1")
    assert curl("guarded", "-T", "v1", "-H", "If-None-Match: *")[0] == 201
    assert curl("guarded", "-T", "v1", "-H", "If-None-Match: *")[0] == 412
    etag = header(curl("guarded", "-I")[1], "ETag")
    assert curl("guarded", "-T", "v1", "-H", f"If-Match: {etag}")[0] == 204
    assert curl("guarded", "-T", "v1", "-H", f"If-Match: {etag}")[0] == 412
    newer = header(curl("guarded", "-I")[1], "ETag")
    assert newer != etag
    assert curl("guarded", "-H", f"If-None-Match: {newer}")[0] == 304
    assert curl("guarded", "-H", f"If-None-Match: {etag}") == (200, "v1")


def test_collections_are_made_listed_copied_moved_and_removed(curl: Curl, space: Space, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("one")
    assert curl("col", "-X", "MKCOL")[0] == 201
    assert curl("col", "-X", "MKCOL")[0] == 405
    assert curl("none/col", "-X", "MKCOL")[0] == 409
    assert curl("none/file", "-T", "one")[0] == 409
    assert curl("col/one", "-T", "one")[0] == 201
    assert curl("col", "-X", "COPY", "-H", f"Destination: {space.url}copy")[0] == 201
    assert curl("copy", "-X", "MOVE", "-H", f"Destination: {space.url}moved")[0] == 201
    assert curl("col", "-X", "COPY", "-H", f"Destination: {space.url}moved", "-H", "Overwrite: F")[0] == 412
    assert curl("col", "-X", "COPY", "-H", f"Destination: {space.url}moved")[0] == 204
    status, body = curl("moved/", "-X", "PROPFIND", "-H", "Depth: 1")
    assert status == 207
    assert body.count("<D:response>") == 2 and "/moved/one" in body
    assert curl("col", "-X", "COPY", "-H", "Destination: http://elsewhere.example/x")[0] == 502
    assert curl("moved", "-X", "DELETE")[0] == 204
    assert curl("moved/one")[0] == 404


def test_a_lock_keeps_others_out_until_it_is_given_back(curl: Curl, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("one")
    (tmp_path / "lock.xml").write_text(
        '<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
        "<D:locktype><D:write/></D:locktype><D:owner>curl</D:owner></D:lockinfo>"
    )
    curl("locked", "-T", "one")
    status, answer = curl("locked", "-X", "LOCK", "-i", "-H", "Timeout: Second-600", "--data-binary", "@lock.xml")
    assert status == 200
    token = header(answer, "Lock-Token")
    assert curl("locked", "-T", "one")[0] == 423
    assert curl("locked", "-T", "one", "-H", f"If: ({token})")[0] == 204
    assert curl("locked", "-X", "UNLOCK", "-H", f"Lock-Token: {token}")[0] == 204
    assert curl("locked", "-T", "one")[0] == 204


def test_a_wrong_login_and_no_login_are_asked_for_one(space: Space, tmp_path: Path) -> None:
    for login in ([], ["-u", f"{space.user}:wrong"], ["-u", "nobody:wrong"]):
        done = run("curl", "-sS", "-i", *login, space.url, cwd=tmp_path)
        assert done.output.startswith("HTTP/1.1 401")
        assert header(done.output, "WWW-Authenticate").startswith("Basic ")
