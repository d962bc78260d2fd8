"""The eleven faults of stock wsgidav (CLIENTS, first part): each is a test that the gateway does not have it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.dav.provider import PerMemberLoop, SpaceCollection, SpaceFile
from gateway.testing.dav_client import DavClient, FakeBody, lock_body, open_dav, propfind_body, proppatch_body


@pytest.fixture
def dav(tmp_path: Path) -> Iterator[DavClient]:
    with open_dav(tmp_path, backend="memory", plugins=["quota"], quota_bytes=1_000_000) as client:
        yield client


# -- 1 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_cut_at_any_tenth_is_never_published_and_the_old_file_stays(dav: DavClient, chunked: bool) -> None:
    dav.put("/a", b"old")
    body = b"n" * 100_000
    for tenth in range(10):
        answer = dav.put("/a", FakeBody(body, cut=tenth * 10_000, chunked=chunked))
        assert (answer.status, answer.close) == (400, True)
        assert dav.get("/a").body == b"old"
        assert dav.put("/new", FakeBody(body, cut=tenth * 10_000, chunked=chunked)).status == 400
        assert dav.get("/new").status == 404
    assert dav.space.used() == (3, 1)


# -- 2, 3 -------------------------------------------------------------------------------------------------------------


def test_ten_saves_of_one_size_within_a_second_have_ten_etags(dav: DavClient) -> None:
    assert len({dav.put("/a", b"same").headers["ETag"] for _ in range(10)}) == 10


def test_getetag_is_the_etag_header_with_its_quotes(dav: DavClient) -> None:
    etag = dav.put("/a", b"x").headers["ETag"]
    assert etag.startswith('"')
    assert etag.endswith('"')
    assert dav.propfind("/a", "0", "D:getetag").props()["{DAV:}getetag"].text == etag
    assert dav.get("/a").headers["ETag"] == dav.send("HEAD", "/a").headers["ETag"] == etag


# -- 4 ----------------------------------------------------------------------------------------------------------------


def test_if_modified_since_its_own_date_is_304_with_the_etag(dav: DavClient) -> None:
    etag = dav.put("/a", b"x").headers["ETag"]
    date = dav.get("/a").headers["Last-Modified"]
    for condition in ({"If_Modified_Since": date}, {"If_None_Match": etag}, {"If_None_Match": "*"}):
        answer = dav.get("/a", **condition)
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", etag)


def test_if_match_star_does_not_make_a_file(dav: DavClient) -> None:
    assert dav.put("/a", b"x", If_Match="*").status == 412
    assert dav.get("/a").status == 404


# -- 5 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["lines=0-3", "bytes=5-2", "bytes=x-2", "bytes", "bytes=", "bytes=1-2-3"])
def test_a_range_that_means_nothing_gets_the_whole_file(dav: DavClient, header: str) -> None:
    dav.put("/a", b"0123456789")
    answer = dav.get("/a", Range=header)
    assert (answer.status, answer.body) == (200, b"0123456789")


def test_two_ranges_are_two_parts(dav: DavClient) -> None:
    dav.put("/a.txt", b"0123456789")
    answer = dav.get("/a.txt", Range="bytes=0-1,-2")
    assert answer.status == 206
    kind, _, boundary = answer.headers["Content-Type"].partition("; boundary=")
    assert kind == "multipart/byteranges"
    first, second, end = answer.body.split(f"\r\n--{boundary}".encode())[1:]
    assert b"Content-Range: bytes 0-1/10\r\n\r\n01" in first
    assert b"Content-Range: bytes 8-9/10\r\n\r\n89" in second
    assert end == b"--\r\n"


# -- 6 ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["q%3F.txt", "a%3Bb%3B", "%23h", "%25", "x%3Fa=b%26c", "%E3%83%91", "a%2Cb"])
@pytest.mark.parametrize("verb", ["MOVE", "COPY"])
def test_a_destination_keeps_every_escaped_character(dav: DavClient, verb: str, name: str) -> None:
    dav.put("/a", b"x")
    assert dav.send(verb, "/a", Destination=f"{dav.url}/{name}").status == 201
    assert dav.get(f"/{name}").body == b"x"


def test_a_collection_keeps_every_escaped_character_too(dav: DavClient) -> None:
    dav.mkcol("/a%3Fb/")
    dav.put("/a%3Fb/c%3Bd", b"x")
    assert dav.move("/a%3Fb/", "/e%23f%3Fg").status == 201
    assert dav.get("/e%23f%3Fg/c%3Bd").body == b"x"
    assert dav.space.names() == ["e#f?g/"]


# -- 7 ----------------------------------------------------------------------------------------------------------------


def test_copy_with_depth_0_copies_a_collection_without_its_members(dav: DavClient) -> None:
    dav.mkcol("/c/")
    dav.put("/c/member", b"x")
    dav.proppatch("/c/", "<D:set><D:prop><X:p>v</X:p></D:prop></D:set>")
    assert dav.copy("/c/", "/d/", Depth="0").status == 201
    assert dav.space.names("d") == []
    assert dav.propfind("/d/", "0", "X:p").props()["{urn:x}p"].text == "v"


def test_propname_names_every_property_and_gives_no_value(dav: DavClient) -> None:
    dav.put("/a", b"x")
    dav.proppatch("/a", "<D:set><D:prop><X:p>v</X:p></D:prop></D:set>")
    answer = dav.send("PROPFIND", "/a", b'<propfind xmlns="DAV:"><propname/></propfind>', Depth="0")
    found = answer.props()
    assert {"{DAV:}getetag", "{DAV:}lockdiscovery", "{DAV:}getcontentlength", "{urn:x}p"} <= set(found)
    assert all(one.text is None and not len(one) for one in found.values())


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("PROPFIND", propfind_body("X:p")),
        ("PROPPATCH", proppatch_body("<D:set><D:prop><X:p>&b;</X:p></D:prop></D:set>")),
        ("PROPPATCH", proppatch_body("<D:set><D:prop><X:p>v</X:p></D:prop></D:set>")),
        ("LOCK", lock_body("exclusive", "ann")),
    ],
)
def test_a_doctype_is_refused_wherever_xml_is_read(dav: DavClient, verb: str, body: bytes) -> None:
    dav.put("/a", b"x")
    doctype = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
    answer = dav.send(verb, "/a", doctype + body.removeprefix(b'<?xml version="1.0"?>'), Depth="0")
    assert answer.status == 400
    assert "DOCTYPE" in (answer.fact("message") or "")
    assert dav.put("/a", b"y").status == 204


# -- 8 ----------------------------------------------------------------------------------------------------------------


def test_deleting_a_collection_with_a_locked_member_says_which_and_deletes_nothing(dav: DavClient) -> None:
    dav.mkcol("/c/")
    dav.put("/c/free", b"1")
    dav.put("/c/held", b"2")
    other = dav.as_caller(dav.space.user("bob"))
    dav.lock("/c/held")
    answer = other.delete("/c/")
    assert answer.status == 207
    assert answer.statuses() == {"/dav/studio/c/held": 423}
    assert dav.space.names("c") == ["free", "held"]


def test_moving_a_locked_file_leaves_no_lock_behind(dav: DavClient) -> None:
    dav.put("/a", b"x")
    token = dav.lock("/a").token
    assert dav.move("/a", "/b", If=f"(<{token}>)").status == 201
    assert dav.put("/a", b"free again").status == 201
    assert dav.put("/b", b"not locked").status == 204


# -- 9 ----------------------------------------------------------------------------------------------------------------


def test_one_of_two_shared_tokens_is_enough(dav: DavClient) -> None:
    dav.put("/a", b"x")
    first = dav.lock("/a", "shared").token
    dav.as_caller(dav.space.user("bob")).lock("/a", "shared")
    assert dav.put("/a", b"y", If=f"(<{first}>)").status == 204


def test_an_infinite_lock_shows_in_the_lockdiscovery_of_every_member(dav: DavClient) -> None:
    dav.mkcol("/c/")
    dav.mkcol("/c/d/")
    dav.put("/c/d/f", b"x")
    token = dav.lock("/c/", Depth="infinity").token
    for path, depth in [("/c/d/f", "0"), ("/c/d/", "1"), ("/c/", "infinity")]:
        answer = dav.propfind(path, depth, "D:lockdiscovery")
        for response in answer.xml.findall("{DAV:}response"):
            assert response.findtext(".//{DAV:}locktoken/{DAV:}href") == token
            assert response.findtext(".//{DAV:}lockroot/{DAV:}href") == "/dav/studio/c/"


def test_a_token_tagged_to_another_url_does_not_open_the_lock(dav: DavClient) -> None:
    dav.put("/a", b"x")
    dav.put("/b", b"x")
    token = dav.lock("/a").token
    assert dav.put("/a", b"y", If=f"<{dav.url}/b> (<{token}>)").status == 412
    assert dav.put("/a", b"y", If=f"<{dav.url}/a> (<{token}>)").status == 204


# -- 10 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/%00",
        "/a%00b",
        "/" + "x" * 256,
        "/" + "%E3%81%82" * 86,
        "/%ff",
        "/%2e%2e/x",
        "/../x",
        "/a%2Fb",
        "/a//b",
        "/%1b",
    ],
)
def test_a_name_that_no_space_can_hold_is_400_with_the_reason(dav: DavClient, path: str) -> None:
    for verb in ("GET", "PUT", "PROPFIND", "MKCOL", "DELETE", "LOCK", "COPY", "MOVE"):
        answer = dav.send(verb, path, Destination=dav.url + "/ok")
        assert answer.status == 400
        assert answer.fact("code") in ("invalid-name", "name-too-long")
        assert len(answer.fact("message") or "") > 10


def test_a_name_that_no_space_can_hold_is_refused_as_a_destination_too(dav: DavClient) -> None:
    dav.put("/a", b"x")
    for name in ("%00", "x" * 256, "%ff", "..", "%2e%2e%2fb"):
        assert dav.move("/a", f"/{name}").status == 400
    assert dav.get("/a").status == 200


def test_a_destination_with_half_an_escape_is_refused_like_such_a_path(dav: DavClient) -> None:
    dav.put("/a", b"x")
    for name in ("100%", "%zz", "%4"):
        assert dav.move("/a", f"/{name}").status == 400
    assert dav.get("/a").status == 200


def test_the_space_itself_is_no_destination(dav: DavClient) -> None:
    dav.put("/a", b"x")
    for verb in ("COPY", "MOVE"):
        for url in (dav.url, f"{dav.url}/"):
            assert dav.send(verb, "/a", Destination=url).status == 403
    assert dav.get("/a").status == 200


# -- 11 ---------------------------------------------------------------------------------------------------------------


def test_proppatch_pays_no_heed_to_depth(dav: DavClient) -> None:
    dav.put("/a", b"x")
    answer = dav.proppatch("/a", "<D:set><D:prop><X:p>v</X:p></D:prop></D:set>", Depth="1")
    assert answer.prop_statuses() == {"{urn:x}p": 200}


def test_quota_is_the_accounts_and_not_in_allprop(dav: DavClient) -> None:
    dav.mkcol("/c/")
    dav.put("/c/a", b"x" * 1000)
    assert not [name for name in dav.propfind("/c/", "0").props() if "quota" in name]
    found = dav.propfind("/c/", "0", "D:quota-used-bytes", "D:quota-available-bytes").props()
    assert found["{DAV:}quota-used-bytes"].text == "1000"
    assert found["{DAV:}quota-available-bytes"].text == "999000"


def test_a_full_account_is_507_and_the_old_file_stays_whole(dav: DavClient) -> None:
    dav.put("/a", b"old")
    answer = dav.put("/a", FakeBody(b"n" * 1_000_001))
    assert answer.status == 507
    assert answer.condition() == "{DAV:}quota-not-exceeded"
    assert (answer.fact("used"), answer.fact("allowed"), answer.fact("clause")) == ("3", "1000000", "LIM-01")
    assert dav.get("/a").body == b"old"


# -- the engine -------------------------------------------------------------------------------------------------------


def test_wsgidav_never_walks_a_tree_member_by_member(dav: DavClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the provider's own answer taken away, wsgidav would begin its loop; every door into it is shut."""
    dav.mkcol("/c/")
    dav.put("/c/a", b"x")
    for verb in ("handle_delete", "handle_move", "handle_copy"):
        for kind in (SpaceCollection, SpaceFile):
            monkeypatch.setattr(kind, verb, lambda *_, **__: False)
    for send in (lambda: dav.delete("/c/"), lambda: dav.move("/c/", "/d"), lambda: dav.copy("/c/a", "/e")):
        assert send().status == 500
    assert dav.space.names() == ["c/"]
    assert dav.space.names("c") == ["a"]


def test_every_door_of_the_per_member_loop_is_shut() -> None:
    doors = ("get_descendants", "get_member_list", "delete", "copy_move_single", "move_recursive", "begin_write")
    for kind in (SpaceCollection, SpaceFile):
        for door in doors:
            with pytest.raises(PerMemberLoop):
                getattr(kind, door)(None)


def test_renaming_from_nfc_to_nfd_keeps_the_file(dav: DavClient) -> None:
    dav.put("/%E3%83%91", b"x")  # pa, composed
    assert dav.move("/%E3%83%91", "/%E3%83%8F%E3%82%9A", Overwrite="F").status in (201, 204)
    assert dav.get("/%E3%83%91").body == b"x"
    assert dav.space.names() == ["\u30cf\u309a"]


def test_a_faulty_plugin_shows_nothing_of_itself(dav: DavClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret /path")

    monkeypatch.setattr(type(dav.space.services.files), "delete", broken)
    dav.put("/a", b"x")
    answer = dav.delete("/a")
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert answer.fact("request-id")
