"""Answers: heads, ranges, large files by sendfile, streams, and what happens when the content fails half-way."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from gateway.testing.rawhttp import LineClosed, RawLine, ask, basic
from gateway.testing.server import LOGIN, PASSWORD, RunningGateway, start_gateway
from gateway.testing.waiting import until

LOGIN_LINE = basic(LOGIN, PASSWORD)
SIZES = [0, 1, 4096, 131_071, 131_072, 131_073, 1_000_000, 20_000_000]


@pytest.fixture(scope="module", params=["local", "memory"])
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """``memory`` has no files: its content is streamed through threads, as that of a remote store."""
    config = {"storage": {"backend": request.param}}
    with start_gateway(tmp_path_factory.mktemp("gateway"), config=config) as running:
        for size in SIZES:
            with RawLine(running.address) as line:
                line.send(head("PUT", f"{size}", f"Content-Length: {size}") + content(size))
                assert line.answer().status == 201
        yield running


def content(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def head(verb: str, name: str, *fields: str, version: str = "1.1") -> bytes:
    lines = [f"{verb} /dav/acme/{name} HTTP/{version}", "Host: a", *fields]
    return ("\r\n".join(lines) + "\r\n").encode() + LOGIN_LINE + b"\r\n"


@pytest.mark.parametrize("size", SIZES)
def test_files_of_any_size_come_whole_and_the_connection_goes_on(gateway: RunningGateway, size: int) -> None:
    with RawLine(gateway.address) as line:
        for _ in range(2):
            line.send(head("GET", f"{size}"))
            answer = line.answer()
            assert answer.status == 200
            assert answer.headers["content-length"] == str(size)
            assert answer.body == content(size)


@pytest.mark.parametrize("size", [1, 4096, 20_000_000])
def test_head_has_the_headers_of_get_and_no_body(gateway: RunningGateway, size: int) -> None:
    with RawLine(gateway.address) as line:
        line.send(head("HEAD", f"{size}"))
        answer = line.answer(head_only=True)
        line.send(head("GET", f"{size}"))
        same = line.answer()
    for name in ("content-length", "content-type", "etag", "last-modified"):
        assert answer.headers[name] == same.headers[name]


def test_ranges_are_exact(gateway: RunningGateway) -> None:
    whole = content(20_000_000)
    with RawLine(gateway.address) as line:
        for start, end in [(0, 0), (1, 9_999_999), (19_999_999, 19_999_999), (131_072, 400_000)]:
            line.send(head("GET", "20000000", f"Range: bytes={start}-{end}"))
            answer = line.answer()
            assert answer.status == 206
            assert answer.body == whole[start : end + 1]
        line.send(head("GET", "20000000", "Range: bytes=0-9,1000000-1999999,-5"))
        answer = line.answer()
        assert answer.status == 206
        assert int(answer.headers["content-length"]) == len(answer.body)
        for part in (whole[:10], whole[1_000_000:2_000_000], whole[-5:]):
            assert part in answer.body


def test_several_requests_on_one_line_come_in_order_with_large_files_between(gateway: RunningGateway) -> None:
    names = [4096, 20_000_000, 1, 1_000_000, 0, 20_000_000, 4096]
    with RawLine(gateway.address) as line:
        line.send(b"".join(head("GET", f"{size}") for size in names))
        for size in names:
            assert line.answer().body == content(size)


def test_every_answer_has_a_date_an_id_and_nosniff(gateway: RunningGateway) -> None:
    ids = set()
    for raw in (head("GET", "1"), head("GET", "nowhere"), b"GET / HTTP/1.1\r\n\r\n", head("PROPFIND", "")):
        answer = ask(gateway.address, raw)
        parsedate_to_datetime(answer.headers["date"])
        assert answer.headers["x-content-type-options"] == "nosniff"
        ids.add(answer.headers["x-request-id"])
    assert len(ids) == 4


def test_http_1_0_is_answered_in_its_own_way(gateway: RunningGateway) -> None:
    with RawLine(gateway.address) as line:
        line.send(head("GET", "4096", version="1.0"))
        answer = line.answer()
        assert (answer.body, answer.headers["connection"]) == (content(4096), "close")
        assert line.is_closed()
    with RawLine(gateway.address) as line:
        for _ in range(2):
            line.send(head("GET", "4096", "Connection: keep-alive", version="1.0"))
            answer = line.answer()
            assert (answer.body, answer.headers["connection"]) == (content(4096), "keep-alive")


def test_a_reader_that_pauses_gets_everything(gateway: RunningGateway) -> None:
    with RawLine(gateway.address) as line:
        line.send(head("GET", "20000000") + head("GET", "1"))
        threading.Event().wait(0.3)
        assert line.answer().body == content(20_000_000)
        assert line.answer().body == content(1)


def sockets_and_blobs(gateway: RunningGateway) -> int:
    """Of the gate: what a reader may cost. Its threads keep other descriptors, each its connection to the database."""
    found = 0
    for entry in Path(f"/proc/{gateway.pids('gate')[0]}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:  # closed since the folder was read
            continue
        found += target.startswith(("socket:", f"{gateway.data_dir}/blobs/"))
    return found


def test_a_reader_that_leaves_costs_no_descriptor(gateway: RunningGateway) -> None:
    def leave(times: int) -> None:
        for _ in range(times):
            with RawLine(gateway.address) as line:
                line.send(head("GET", "20000000"))
                line.answer(head_only=True)
                line.reset()

    before = sockets_and_blobs(gateway)
    leave(60)
    until(lambda: sockets_and_blobs(gateway) <= before + 2)


def blobs(gateway: RunningGateway, size: int) -> list[Path]:
    return [file for file in (gateway.data_dir / "blobs").rglob("*") if file.is_file() and file.stat().st_size == size]


def test_a_truncated_blob_is_never_sent_as_a_whole_file(tmp_path: Path) -> None:
    with start_gateway(tmp_path) as gateway:
        for size in (50_000, 20_000_000):
            with RawLine(gateway.address) as line:
                line.send(head("PUT", f"{size}", f"Content-Length: {size}") + content(size))
                assert line.answer().status == 201
            (blob,) = blobs(gateway, size)
            with blob.open("r+b") as file:
                file.truncate(size // 2)
            answer = ask(gateway.address, head("GET", f"{size}"))
            assert answer.status == 503
            assert "retry-after" in answer.headers
            blob.unlink()
            assert ask(gateway.address, head("GET", f"{size}")).status == 503


def test_a_blob_cut_while_it_is_sent_cuts_the_line(tmp_path: Path) -> None:
    size = 60_000_000
    with start_gateway(tmp_path) as gateway, RawLine(gateway.address) as line:
        with RawLine(gateway.address) as upload:
            upload.send(head("PUT", "big", f"Content-Length: {size}") + content(size))
            assert upload.answer().status == 201
        (blob,) = blobs(gateway, size)
        line.send(head("GET", "big"))
        assert line.answer(head_only=True).headers["content-length"] == str(size)
        with blob.open("r+b") as file:
            file.truncate(size // 2)
        with pytest.raises(LineClosed) as closed:
            line._exactly(size)
        assert len(closed.value.received) < size
