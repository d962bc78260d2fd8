"""LOCK, UNLOCK and the If header on every verb that a lock can stop (RFC 4918 sections 6, 7, 9.10, 9.11, 10.4)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.testing.dav_client import Answer, DavClient, lock_body, open_dav


@pytest.fixture
def dav(tmp_path: Path) -> Iterator[DavClient]:
    with open_dav(tmp_path, backend="memory") as client:
        client.mkcol("/c/")
        client.put("/c/f", b"x")
        yield client


def depth_of(answer: Answer) -> str | None:
    return answer.xml.findtext(".//{DAV:}depth")


def test_without_depth_a_collection_is_locked_with_all_below_and_a_file_alone(dav: DavClient) -> None:
    assert depth_of(dav.lock("/c/f")) == "0"
    assert dav.lock("/c/").status in (207, 423)  # the member's lock is in the way of an infinite one
    assert depth_of(dav.lock("/c/", Depth="0")) == "0"
    dav.mkcol("/d/")
    assert depth_of(dav.lock("/d/")) == "infinity"
    assert dav.lock("/d/", Depth="1").status == 400


def test_an_infinite_lock_names_the_member_that_prevents_it(dav: DavClient) -> None:
    dav.lock("/c/f")
    answer = dav.lock("/c/", Depth="infinity")
    assert answer.status == 207
    assert answer.statuses() == {"/dav/studio/c/f": 423, "/dav/studio/c/": 424}


WRITES = {
    "PUT": lambda dav, **named: dav.put("/c/f", b"y", **named),
    "PUT new": lambda dav, **named: dav.put("/c/new", b"y", **named),
    "MKCOL": lambda dav, **named: dav.mkcol("/c/new/", **named),
    "DELETE": lambda dav, **named: dav.delete("/c/f", **named),
    "MOVE out": lambda dav, **named: dav.move("/c/f", "/g", **named),
    "MOVE in": lambda dav, **named: dav.move("/o", "/c/o", **named),
    "COPY in": lambda dav, **named: dav.copy("/o", "/c/o", **named),
    "COPY over": lambda dav, **named: dav.copy("/o", "/c/f", **named),
    "PROPPATCH": lambda dav, **named: dav.proppatch("/c/f", "<D:set><D:prop><X:p/></D:prop></D:set>", **named),
    "LOCK new": lambda dav, **named: dav.lock("/c/new", "shared", **named),
}


@pytest.mark.parametrize("write", WRITES)
def test_an_infinite_lock_stops_every_write_below_without_its_token(dav: DavClient, write: str) -> None:
    dav.put("/o", b"o")
    token = dav.lock("/c/", Depth="infinity").token
    assert WRITES[write](dav).status == 423
    other = dav.as_caller(dav.space.user("bob"))
    assert WRITES[write](other).status == 423
    # untagged, the token must be in force on the request's own resource; tagged with the collection it always is
    answer = WRITES[write](dav, If=f"<{dav.url}/c/> (<{token}>)")
    assert answer.status in ((200, 201, 204, 207) if write != "LOCK new" else (423,))


@pytest.mark.parametrize("read", ["GET", "HEAD", "PROPFIND", "OPTIONS"])
def test_a_lock_stops_no_reader(dav: DavClient, read: str) -> None:
    dav.lock("/c/", Depth="infinity")
    other = dav.as_caller(dav.space.user("bob"))
    assert other.send(read, "/c/f", Depth="0").status in (200, 207)
    assert other.copy("/c/f", "/copy").status == 201


def test_locking_a_collection_alone_holds_its_membership_not_its_members(dav: DavClient) -> None:
    dav.lock("/c/", Depth="0")
    assert dav.put("/c/f", b"y").status == 204
    assert dav.put("/c/new", b"y").status == 423
    assert dav.delete("/c/f").status == 423
    assert dav.move("/c/f", "/g").status == 423


def test_an_exclusive_lock_excludes_and_shared_ones_do_not(dav: DavClient) -> None:
    other = dav.as_caller(dav.space.user("bob"))
    assert dav.lock("/c/f", "shared").status == 200
    assert other.lock("/c/f", "shared").status == 200
    assert other.lock("/c/f", "exclusive").status == 423
    assert len(dav.propfind("/c/f", "0", "D:lockdiscovery").props()["{DAV:}lockdiscovery"]) == 2


def test_a_lock_ends_with_its_time(dav: DavClient) -> None:
    dav.lock("/c/f", Timeout="Second-600")
    dav.forward(599)
    assert dav.put("/c/f", b"y").status == 423
    dav.forward(2)
    assert dav.put("/c/f", b"y").status == 204
    assert len(dav.propfind("/c/f", "0", "D:lockdiscovery").props()["{DAV:}lockdiscovery"]) == 0


@pytest.mark.parametrize("timeout", ["Infinite", "Infinite, Second-4100000000", "Second-99999999999999999999", "x", ""])
def test_any_timeout_header_is_granted_something(dav: DavClient, timeout: str) -> None:
    granted = dav.lock("/c/f", Timeout=timeout).xml.findtext(".//{DAV:}timeout") or ""
    assert 600 <= int(granted.removeprefix("Second-")) <= 86_400


def test_a_refresh_needs_the_token_of_a_lock_that_covers_the_path(dav: DavClient) -> None:
    token = dav.lock("/c/", Depth="infinity").token
    assert dav.send("LOCK", "/c/f", b"", {"If": f"(<{token}>)"}).status == 200
    assert dav.send("LOCK", "/c/f", b"").status == 412
    dav.put("/o", b"x")
    assert dav.send("LOCK", "/o", b"", {"If": f"(<{token}>)"}).status == 412
    assert dav.send("LOCK", "/none", b"", {"If": f"(<{token}>)"}).status == 404


def test_unlocking_a_member_of_an_infinite_lock_ends_it(dav: DavClient) -> None:
    token = dav.lock("/c/", Depth="infinity").token
    assert dav.send("UNLOCK", "/c/f", b"", {"Lock-Token": f"<{token}>"}).status == 204
    assert dav.put("/c/f", b"y").status == 204


def test_a_lock_covers_what_is_moved_under_it_and_not_what_is_moved_away(dav: DavClient) -> None:
    token = dav.lock("/c/", Depth="infinity").token
    dav.put("/o", b"o")
    held = {"If": f"<{dav.url}/c/> (<{token}>)"}
    assert dav.move("/o", "/c/o", **held).status == 201
    assert dav.put("/c/o", b"y").status == 423
    assert dav.move("/c/f", "/free", **held).status == 201
    assert dav.put("/free", b"y").status == 204


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("(<{token}>)", 204),
        ("(<{token}> [{etag}])", 204),
        ('(<{token}> ["other"])', 412),
        ("(<{token}>) (<other:token>)", 204),
        ("(<other:token>) (<{token}>)", 204),
        ("(Not <other:token> <{token}>)", 204),
        ("(Not <{token}>)", 412),
        ("(Not <DAV:no-lock>)", 423),
        ("(<{token}>) (Not <DAV:no-lock>)", 204),
        ("([{etag}])", 423),
        ("<{url}/c/f> (<{token}>)", 204),
        ("<{path}/c/f> (<{token}>)", 204),
        ("<{url}/c/%66> (<{token}>)", 204),
        ("<{url}/c/other> (<{token}>)", 412),
        ("<http://elsewhere/c/f> (<{token}>)", 412),
        ("([W/{etag}] <{token}>)", 412),
    ],
)
def test_the_if_header_is_evaluated_as_the_rfc_says(dav: DavClient, header: str, status: int) -> None:
    etag = dav.get("/c/f").headers["ETag"]
    token = dav.lock("/c/f").token
    value = header.format(token=token, etag=etag, url=dav.url, path=dav.base)
    assert dav.put("/c/f", b"y", If=value).status == status


@pytest.mark.parametrize(
    "body",
    [
        b"<x",
        b"<lockinfo/>",
        b'<D:lockinfo xmlns:D="DAV:"/>',
        lock_body("both"),
        lock_body().replace(b"write", b"read"),
        lock_body("exclusive", "x" * 5000),
    ],
)
def test_a_lockinfo_that_means_nothing_is_400(dav: DavClient, body: bytes) -> None:
    assert dav.send("LOCK", "/c/f", body).status == 400
    assert dav.put("/c/f", b"y").status == 204


def test_the_owner_is_given_back_as_it_was_sent(dav: DavClient) -> None:
    dav.lock("/c/f", "exclusive", '<D:href>mailto:ann</D:href> &amp; <X:y xmlns:X="urn:x" a="1"/>')
    owner = dav.propfind("/c/f", "0", "D:lockdiscovery").xml.find(".//{DAV:}owner")
    assert owner is not None
    assert owner.findtext("{DAV:}href") == "mailto:ann"
    assert owner[0].tail == " & "
    assert owner[1].attrib == {"a": "1"}


def test_a_locked_member_of_a_moved_or_replaced_tree_is_named(dav: DavClient) -> None:
    other = dav.as_caller(dav.space.user("bob"))
    other.lock("/c/f")
    assert dav.move("/c/", "/e").statuses() == {"/dav/studio/c/f": 423}
    dav.mkcol("/n/")
    assert dav.copy("/n/", "/c").statuses() == {"/dav/studio/c/f": 423}
    assert dav.space.names("c") == ["f"]


def test_locks_survive_a_restart(tmp_path: Path) -> None:
    with open_dav(tmp_path / "again") as dav:
        dav.put("/a", b"x")
        token = dav.lock("/a").token
        clock = dav.space.clock
    with open_dav(tmp_path / "again", clock=clock) as dav:
        assert dav.put("/a", b"y").status == 423
        assert dav.put("/a", b"y", If=f"(<{token}>)").status == 204
