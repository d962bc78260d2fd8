"""The Windows mini-redirector: its requests with their exact headers, and what it needs (CLIENTS 1-8)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.testing.dav_client import Answer, DavClient, open_dav

AGENT = "Microsoft-WebDAV-MiniRedir/10.0.19045"
LOCK_BODY = (
    '<?xml version="1.0" encoding="utf-8" ?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    "<D:locktype><D:write/></D:locktype><D:owner><D:href>STUDIO\\ann</D:href></D:owner></D:lockinfo>"
)
PROPPATCH_BODY = (
    '<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:">'
    "<D:set><D:prop><Z:Win32CreationTime>Mon, 04 Jan 2027 10:00:00 GMT</Z:Win32CreationTime>"
    "<Z:Win32LastAccessTime>Tue, 05 Jan 2027 11:00:00 GMT</Z:Win32LastAccessTime>"
    "<Z:Win32LastModifiedTime>Wed, 06 Jan 2027 12:00:00 GMT</Z:Win32LastModifiedTime>"
    "<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>"
)
WIN32 = {
    "Win32CreationTime": "Mon, 04 Jan 2027 10:00:00 GMT",
    "Win32LastAccessTime": "Tue, 05 Jan 2027 11:00:00 GMT",
    "Win32LastModifiedTime": "Wed, 06 Jan 2027 12:00:00 GMT",
    "Win32FileAttributes": "00000020",
}


@pytest.fixture
def dav(tmp_path: Path) -> Iterator[DavClient]:
    with open_dav(tmp_path, backend="memory") as client:
        client.headers = {"User-Agent": AGENT, "translate": "f", "Connection": "Keep-Alive"}
        yield client


def listing(dav: DavClient, path: str, depth: str = "0") -> Answer:
    return dav.send("PROPFIND", path, b"", {"Depth": depth, "Content-Length": "0"})


def test_options_says_all_that_makes_the_drive_writable(dav: DavClient) -> None:
    dav.put("/a", b"x")
    for answer in (dav.send("OPTIONS", "/a"), dav.root("OPTIONS", "/")):
        assert answer.status == 200
        items = {item.strip() for item in answer.headers["DAV"].split(",")}
        assert {"1", "2", "3"} <= items
        assert answer.headers["MS-Author-Via"] == "DAV"
        assert {"LOCK", "UNLOCK", "PROPPATCH", "PUT"} <= set(answer.headers["Allow"].split(", "))


@pytest.mark.parametrize("path", ["/", "/dav", "/dav/"])
def test_options_above_the_spaces_needs_no_login(dav: DavClient, path: str) -> None:
    answer = dav.root("OPTIONS", path, login=False)
    assert (answer.status, answer.headers["MS-Author-Via"]) == (200, "DAV")


@pytest.mark.parametrize("path", ["/", "/dav", "/dav/"])
def test_propfind_above_the_spaces_is_a_collection(dav: DavClient, path: str) -> None:
    answer = dav.root("PROPFIND", path, Depth="0")
    assert answer.status == 207
    assert answer.props()["{DAV:}resourcetype"].find("{DAV:}collection") is not None
    assert dav.root("PROPFIND", path, login=False, Depth="0").status == 401


def test_propfind_without_a_body_means_allprop(dav: DavClient) -> None:
    dav.put("/a", b"four")
    found = listing(dav, "/a").props()
    assert found["{DAV:}getcontentlength"].text == "4"
    assert {"{DAV:}creationdate", "{DAV:}getlastmodified", "{DAV:}resourcetype", "{DAV:}displayname"} <= set(found)


def test_a_collection_without_its_slash_is_answered_not_redirected(dav: DavClient) -> None:
    dav.mkcol("/folder")
    answer = listing(dav, "/folder", "1")
    assert (answer.status, answer.hrefs()) == (207, ["/dav/studio/folder/"])


def test_an_absent_name_is_a_plain_404(dav: DavClient) -> None:
    assert listing(dav, "/desktop.ini").status == 404


def test_the_multistatus_binds_dav_to_a_prefix(dav: DavClient) -> None:
    dav.put("/a", b"x")
    dav.mkcol("/c/")
    dav.put("/c/held", b"x")
    dav.lock("/c/held")
    bodies = [
        listing(dav, "/", "1").body,
        dav.send("PROPPATCH", "/a", PROPPATCH_BODY).body,
        dav.delete("/c/").body,
        dav.root("PROPFIND", "/", Depth="1").body,
    ]
    for body in bodies:
        assert re.search(rb'<D:multistatus[^>]* xmlns:D="DAV:"', body)
        assert b'xmlns="DAV:"' not in body


def test_a_new_file_is_made_locked_described_and_unlocked(dav: DavClient) -> None:
    """Explorer copies a file onto the drive."""
    assert listing(dav, "/new.psd").status == 404
    assert dav.send("PUT", "/new.psd", b"", {"Content-Length": "0"}).status == 201
    locked = dav.send(
        "LOCK",
        "/new.psd",
        LOCK_BODY,
        {"Content-Type": 'text/xml; charset="utf-8"', "Timeout": "Second-3600"},
    )
    assert locked.status == 200
    token = locked.headers["Lock-Token"]
    assert token.startswith("<opaquelocktoken:")
    active = locked.xml.find(".//{DAV:}activelock")
    assert active is not None
    assert f"<{active.findtext('{DAV:}locktoken/{DAV:}href')}>" == token
    assert active.findtext("{DAV:}timeout") == "Second-3600"
    assert active.findtext("{DAV:}owner/{DAV:}href") == "STUDIO\\ann"
    under_lock = {"If": f"({token})"}
    assert dav.send("PROPPATCH", "/new.psd", PROPPATCH_BODY, under_lock).status == 207
    assert dav.send("HEAD", "/new.psd").status == 200
    assert dav.send("PUT", "/new.psd", b"content", under_lock).status == 204
    answer = dav.send("PROPPATCH", "/new.psd", PROPPATCH_BODY, under_lock)
    assert set(answer.prop_statuses().values()) == {200}
    assert dav.send("UNLOCK", "/new.psd", b"", {"Lock-Token": token}).status == 204
    assert dav.get("/new.psd").body == b"content"
    assert dav.get("/new.psd").headers["Last-Modified"] == WIN32["Win32LastModifiedTime"]


@pytest.mark.parametrize("path", ["/file.txt", "/folder/"])
def test_win32_properties_are_set_on_files_and_folders_and_read_back(dav: DavClient, path: str) -> None:
    dav.mkcol(path) if path.endswith("/") else dav.put(path, b"x")
    token = dav.lock(path).token
    assert dav.send("PROPPATCH", path, PROPPATCH_BODY).status == 423
    answer = dav.send("PROPPATCH", path, PROPPATCH_BODY, {"If": f"(<{token}>)"})
    assert answer.prop_statuses() == {f"{{urn:schemas-microsoft-com:}}{name}": 200 for name in WIN32}
    found = listing(dav, path).props()
    assert {name: found[f"{{urn:schemas-microsoft-com:}}{name}"].text for name in WIN32} == WIN32


def test_the_modified_time_that_windows_reads_follows_a_later_save(dav: DavClient) -> None:
    dav.put("/a", b"x")
    dav.send("PROPPATCH", "/a", PROPPATCH_BODY)
    dav.forward(3600)
    assert dav.put("/a", b"y").status == 204
    found = dav.propfind("/a", "0", "Z:Win32LastModifiedTime", "D:getlastmodified").props()
    shown = found["{urn:schemas-microsoft-com:}Win32LastModifiedTime"].text
    assert shown != WIN32["Win32LastModifiedTime"]
    assert shown == found["{DAV:}getlastmodified"].text == dav.get("/a").headers["Last-Modified"]


def test_an_allprop_entry_stays_under_1000_bytes(dav: DavClient) -> None:
    dav.mkcol("/f/")
    for n in range(200):
        dav.space.put(f"f/holiday picture {n:04}.jpeg", b"x")
    body = listing(dav, "/f/", "1").body
    assert len(body) / 201 < 800
    for n in range(200):
        dav.send("PROPPATCH", f"/f/holiday%20picture%20{n:04}.jpeg", PROPPATCH_BODY)
    assert len(listing(dav, "/f/", "1").body) / 201 < 1000


def test_a_folder_is_made_renamed_and_deleted(dav: DavClient) -> None:
    assert dav.send("MKCOL", "/New%20folder").status == 201
    moved = dav.send("MOVE", "/New%20folder", b"", {"Destination": f"{dav.url}/Work", "Overwrite": "F"})
    assert moved.status == 201
    assert dav.send("PROPPATCH", "/Work", PROPPATCH_BODY).status == 207
    assert dav.send("DELETE", "/Work").status == 204
    assert dav.space.names() == []


def test_office_saves_by_lock_get_put_unlock(dav: DavClient) -> None:
    dav.put("/report.docx", b"draft")
    token = dav.send("LOCK", "/report.docx", LOCK_BODY, {"Timeout": "Second-3600"}).headers["Lock-Token"]
    assert dav.send("GET", "/report.docx", b"", {"If": f"({token})"}).body == b"draft"
    assert dav.send("PUT", "/report.docx", b"", {"If": f"({token})"}).status == 204
    assert dav.send("PUT", "/report.docx", b"final", {"If": f"({token})"}).status == 204
    assert dav.send("LOCK", "/report.docx", b"", {"If": f"({token})", "Timeout": "Second-3600"}).status == 200
    assert dav.send("UNLOCK", "/report.docx", b"", {"Lock-Token": token}).status == 204
    assert dav.get("/report.docx").body == b"final"
