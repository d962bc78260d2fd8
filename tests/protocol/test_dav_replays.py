"""Captured sequences sent over a socket to a real daemon, byte for byte: heads, chunks and expectations as the clients
write them. What each answer must hold is in test_dav_windows.py and test_dav_macos.py; here it is that they work."""

from __future__ import annotations

import base64
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree import ElementTree

import pytest

from gateway.testing.server import RunningGateway


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def token(self) -> str:
        return self.headers["lock-token"]

    def text(self, path: str) -> str | None:
        return ElementTree.fromstring(self.body).findtext(path)


@dataclass
class Line:
    """One kept-open connection. Heads are given as text with {host}, {base} and {auth} to be filled in."""

    gateway: RunningGateway
    folder: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def __post_init__(self) -> None:
        self.socket = socket.create_connection(self.gateway.address, 20)
        self.stream = self.socket.makefile("rb")
        login = f"{self.gateway.login}:{self.gateway.password}".encode()
        self.values = {
            "host": ":".join(map(str, self.gateway.address)),
            "base": f"/dav/{self.gateway.tenant}/{self.folder}",
            "root": f"/dav/{self.gateway.tenant}",
            "auth": f"Basic {base64.b64encode(login).decode()}",
        }

    def send(self, head: str, body: bytes = b"", *, chunks: int = 0, **values: str) -> Answer:
        """Sends head and body; with ``chunks`` the body goes chunked in pieces of that size. Waits for 100 Continue
        where the head asks for it."""
        text = head.strip().format(**self.values, **values).replace("\n", "\r\n")
        self.socket.sendall(text.encode() + b"\r\n\r\n")
        if "100-continue" in text:
            assert self.stream.readline() == b"HTTP/1.1 100 Continue\r\n"
            assert self.stream.readline() == b"\r\n"
        for start in range(0, len(body), chunks or len(body) or 1):
            piece = body[start : start + (chunks or len(body))]
            self.socket.sendall(b"%X\r\n%b\r\n" % (len(piece), piece) if chunks else piece)
        if chunks:
            self.socket.sendall(b"0\r\n\r\n")
        return self._answer(text.split(" ", 1)[0])

    def _answer(self, method: str) -> Answer:
        status = int(self.stream.readline().split()[1])
        headers: dict[str, str] = {}
        while (line := self.stream.readline().strip()) != b"":
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = b""
        if method != "HEAD" and status not in (204, 304):
            if headers.get("transfer-encoding") == "chunked":
                while size := int(self.stream.readline(), 16):
                    body += self.stream.read(size)
                    self.stream.readline()
                self.stream.readline()
            else:
                body = self.stream.read(int(headers["content-length"]))
        assert "date" in headers  # macOS takes it for the time of its change (CLIENTS 15)
        return Answer(status, headers, body)


@pytest.fixture
def line(shared_gateway: RunningGateway) -> Iterator[Line]:
    opened = Line(shared_gateway)
    assert opened.send("MKCOL {base} HTTP/1.1\nHost: {host}\nAuthorization: {auth}\nContent-Length: 0").status == 201
    yield opened
    opened.stream.close()
    opened.socket.close()


# -- Windows ----------------------------------------------------------------------------------------------------------

WINDOWS = """Connection: Keep-Alive
User-Agent: Microsoft-WebDAV-MiniRedir/10.0.19045
translate: f
Host: {host}
Authorization: {auth}"""
WIN_LOCK = (
    b'<?xml version="1.0" encoding="utf-8" ?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype><D:owner><D:href>STUDIO\\alice</D:href></D:owner></D:lockinfo>"
)
WIN_PATCH = (
    b'<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:">'
    b"<D:set><D:prop><Z:Win32CreationTime>Mon, 04 Jan 2027 10:00:00 GMT</Z:Win32CreationTime>"
    b"<Z:Win32LastAccessTime>Mon, 04 Jan 2027 10:00:00 GMT</Z:Win32LastAccessTime>"
    b"<Z:Win32LastModifiedTime>Mon, 04 Jan 2027 10:00:00 GMT</Z:Win32LastModifiedTime>"
    b"<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>"
)


def test_windows_mounts_and_copies_a_file(line: Line) -> None:
    anonymous = WINDOWS.replace("\nAuthorization: {auth}", "")
    assert line.send(f"OPTIONS / HTTP/1.1\n{anonymous}").status in (200, 401)
    options = line.send(f"OPTIONS {{base}} HTTP/1.1\n{WINDOWS}")
    assert (options.status, options.headers["ms-author-via"]) == (200, "DAV")
    assert {"1", "2"} <= {one.strip() for one in options.headers["dav"].split(",")}
    for path in ("/dav", "{root}", "{base}"):
        found = line.send(f"PROPFIND {path} HTTP/1.1\n{WINDOWS}\nDepth: 0\nContent-Length: 0")
        assert found.status == 207
        assert b'<D:multistatus xmlns:D="DAV:"' in found.body
    name = "{base}/New%20picture.psd"
    assert line.send(f"PROPFIND {name} HTTP/1.1\n{WINDOWS}\nDepth: 0\nContent-Length: 0").status == 404
    assert line.send(f"PUT {name} HTTP/1.1\n{WINDOWS}\nContent-Length: 0").status == 201
    locked = line.send(
        f'LOCK {name} HTTP/1.1\n{WINDOWS}\nContent-Type: text/xml; charset="utf-8"\nTimeout: Second-3600\n'
        f"Content-Length: {len(WIN_LOCK)}",
        WIN_LOCK,
    )
    assert locked.status == 200
    assert f"<{locked.text('.//{DAV:}locktoken/{DAV:}href')}>" == locked.token
    held = f"If: ({locked.token})"
    patch = f"PROPPATCH {name} HTTP/1.1\n{WINDOWS}\n{held}\nContent-Length: {len(WIN_PATCH)}"
    assert line.send(patch, WIN_PATCH).body.count(b"200 OK") == 1
    assert line.send(f"HEAD {name} HTTP/1.1\n{WINDOWS}").headers["content-length"] == "0"
    content = b"8BPS" + bytes(range(256)) * 1000
    assert line.send(f"PUT {name} HTTP/1.1\n{WINDOWS}\n{held}\nContent-Length: {len(content)}", content).status == 204
    assert line.send(patch, WIN_PATCH).status == 207
    assert line.send(f"UNLOCK {name} HTTP/1.1\n{WINDOWS}\nLock-Token: {locked.token}\nContent-Length: 0").status == 204
    got = line.send(f"GET {name} HTTP/1.1\n{WINDOWS}")
    assert (got.body, got.headers["last-modified"]) == (content, "Mon, 04 Jan 2027 10:00:00 GMT")
    listed = line.send(f"PROPFIND {{base}} HTTP/1.1\n{WINDOWS}\nDepth: 1\nContent-Length: 0")
    assert listed.text(".//{urn:schemas-microsoft-com:}Win32FileAttributes") == "00000020"
    destination = "Destination: http://{host}{base}/Picture.psd\nOverwrite: F"
    assert line.send(f"MOVE {name} HTTP/1.1\n{WINDOWS}\n{destination}\nContent-Length: 0").status == 201
    assert line.send(f"DELETE {{base}}/Picture.psd HTTP/1.1\n{WINDOWS}\nContent-Length: 0").status == 204


# -- macOS ------------------------------------------------------------------------------------------------------------

FINDER = """Host: {host}
Accept: */*
User-Agent: WebDAVFS/3.0.0 (03008000) Darwin/23.4.0 (x86_64)
Authorization: {auth}
Connection: keep-alive"""
FINDER_LOCK = (
    b'<?xml version="1.0" encoding="utf-8"?>\n<D:lockinfo xmlns:D="DAV:">\n<D:lockscope><D:exclusive/></D:lockscope>\n'
    b"<D:locktype><D:write/></D:locktype>\n<D:owner>\n<D:href>http://www.apple.com/webdav_fs/</D:href>\n</D:owner>\n"
    b"</D:lockinfo>\n"
)
FINDER_FIND = (
    b'<?xml version="1.0" encoding="utf-8"?>\n<D:propfind xmlns:D="DAV:">\n<D:prop>\n<D:getlastmodified/>\n'
    b"<D:getcontentlength/>\n<D:creationdate/>\n<D:resourcetype/>\n</D:prop>\n</D:propfind>\n"
)
FINDER_QUOTA = (
    b'<?xml version="1.0" encoding="utf-8"?>\n<D:propfind xmlns:D="DAV:">\n<D:prop>\n<D:quota-available-bytes/>\n'
    b"<D:quota-used-bytes/>\n<D:quota/>\n<D:quotaused/>\n</D:prop>\n</D:propfind>\n"
)


@pytest.mark.parametrize("chunks", [64, 4096, 70_000])
def test_finder_mounts_and_copies_a_file_with_its_apple_double(line: Line, chunks: int) -> None:
    assert "2" in line.send(f"OPTIONS {{root}}/ HTTP/1.1\n{FINDER}\nContent-Length: 0").headers["dav"]
    quota = line.send(
        f"PROPFIND {{root}}/ HTTP/1.1\n{FINDER}\nDepth: 0\nContent-Type: text/xml\nContent-Length: {len(FINDER_QUOTA)}",
        FINDER_QUOTA,
    )
    assert int(quota.text(".//{DAV:}quota-used-bytes") or "") >= 0
    double = bytes.fromhex("00051607000200004d6163204f53205820202020") + bytes(range(256)) * 16
    for name, content in (("photo.jpg", b"\xff\xd8" + b"p" * 150_000), ("._photo.jpg", double)):
        url = f"{{base}}/{name}"
        find = f"PROPFIND {url} HTTP/1.1\n{FINDER}\nDepth: 0\nContent-Type: text/xml\n"
        assert line.send(f"{find}Content-Length: {len(FINDER_FIND)}", FINDER_FIND).status == 404
        assert line.send(f"PUT {url} HTTP/1.1\n{FINDER}\nContent-Length: 0").status == 201
        locked = line.send(
            f"LOCK {url} HTTP/1.1\n{FINDER}\nDepth: 0\nTimeout: Second-600\n"
            f'Content-Type: text/xml; charset="utf-8"\nContent-Length: {len(FINDER_LOCK)}',
            FINDER_LOCK,
        )
        assert (locked.status, locked.text(".//{DAV:}timeout")) == (200, "Second-600")
        held = f"If: ({locked.token})"
        assert line.send(f"GET {url} HTTP/1.1\n{FINDER}\n{held}").body == b""
        put = line.send(
            f"PUT {url} HTTP/1.1\n{FINDER}\n{held}\nX-Expected-Entity-Length: {len(content)}\n"
            "Transfer-Encoding: Chunked",
            content,
            chunks=chunks,
        )
        assert put.status == 204
        assert (
            line.send(f"UNLOCK {url} HTTP/1.1\n{FINDER}\nLock-Token: {locked.token}\nContent-Length: 0").status == 204
        )
        assert line.send(f"GET {url} HTTP/1.1\n{FINDER}").body == content
        found = line.send(f"{find}Content-Length: {len(FINDER_FIND)}", FINDER_FIND)
        assert found.text(".//{DAV:}getcontentlength") == str(len(content))


# -- a creative application -------------------------------------------------------------------------------------------

CREATIVE = """Host: {host}
User-Agent: gvfs/1.50.3
Authorization: {auth}
Connection: Keep-Alive"""


def test_a_creative_application_saves_by_lock_temporary_file_and_rename_over(line: Line) -> None:
    art = "{base}/art.psd"
    put = f"PUT {art} HTTP/1.1\n{CREATIVE}\nExpect: 100-continue\nContent-Length: 9"
    first = line.send(put, b"version 1")
    assert first.status == 201
    assert line.send(f"PUT {{base}}/~art~.idlk HTTP/1.1\n{CREATIVE}\nIf-None-Match: *\nContent-Length: 0").status == 201
    assert line.send(f"PUT {{base}}/~art~.idlk HTTP/1.1\n{CREATIVE}\nIf-None-Match: *\nContent-Length: 0").status == 412
    lock = f"LOCK {art} HTTP/1.1\n{CREATIVE}\nDepth: 0\nTimeout: Second-3600\nContent-Length: {len(WIN_LOCK)}"
    locked = line.send(lock, WIN_LOCK)
    content = bytes(range(256)) * 2000
    temporary = f"PUT {{base}}/art.psd.tmp HTTP/1.1\n{CREATIVE}\nExpect: 100-continue\nTransfer-Encoding: chunked"
    assert line.send(temporary, content, chunks=30_000).status == 201
    move = f"MOVE {{base}}/art.psd.tmp HTTP/1.1\n{CREATIVE}\nDestination: http://{{host}}{art}\nOverwrite: T\n"
    assert line.send(f"{move}Content-Length: 0").status == 423
    tagged = f"If: <http://{{host}}{art}> ({locked.token})"
    moved = line.send(f"{move}{tagged}\nContent-Length: 0")
    assert moved.status == 204
    got = line.send(f"GET {art} HTTP/1.1\n{CREATIVE}")
    assert got.body == content
    assert got.headers["etag"] != first.headers["etag"]
    unlock = f"UNLOCK {art} HTTP/1.1\n{CREATIVE}\nLock-Token: {locked.token}\nContent-Length: 0"
    assert line.send(unlock).status == 204
    assert line.send(f"DELETE {{base}}/~art~.idlk HTTP/1.1\n{CREATIVE}\nContent-Length: 0").status == 204
    assert line.send(f"GET {{base}}/art.psd.tmp HTTP/1.1\n{CREATIVE}").status == 404
