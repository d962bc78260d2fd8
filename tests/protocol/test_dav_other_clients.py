"""davfs2, webdavclient3, npm webdav, rclone and creative applications (CLIENTS 18-30)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.domain.errors import PreconditionFailed
from gateway.domain.upload import Conditions
from gateway.testing.dav_client import DavClient, open_dav


@pytest.fixture
def dav(tmp_path: Path) -> Iterator[DavClient]:
    with open_dav(tmp_path, backend="memory") as client:
        yield client


# -- davfs2 -----------------------------------------------------------------------------------------------------------


def test_davfs2_makes_a_file_by_lock_head_put_unlock(dav: DavClient) -> None:
    locked = dav.lock("/new.txt", Depth="0", Timeout="Second-1800")
    assert locked.status == 201
    head = dav.send("HEAD", "/new.txt")
    assert (head.status, head.headers["Content-Length"]) == (200, "0")
    etag = head.headers["ETag"]
    assert locked.headers["ETag"] == etag
    put = dav.send("PUT", "/new.txt", b"text", {"If-Match": etag, "If": f"<{dav.url}/new.txt> (<{locked.token}>)"})
    assert put.status == 204
    assert dav.send("HEAD", "/new.txt").headers["ETag"] == put.headers["ETag"] != etag
    assert dav.send("UNLOCK", "/new.txt", b"", {"Lock-Token": f"<{locked.token}>"}).status == 204


def test_a_name_made_by_lock_is_there_for_everybody_and_stays(dav: DavClient) -> None:
    token = dav.lock("/new.txt").token
    assert dav.get("/new.txt").body == b""
    dav.send("UNLOCK", "/new.txt", b"", {"Lock-Token": f"<{token}>"})
    assert dav.space.names() == ["new.txt"]


def test_a_move_is_judged_by_the_lists_of_both_ends(dav: DavClient) -> None:
    dav.put("/a", b"a")
    dav.put("/b", b"b")
    source, target = dav.lock("/a", Depth="0").token, dav.lock("/b", Depth="0").token
    both = f"<{dav.url}/a> (<{source}>) <{dav.url}/b> (<{target}>)"
    only_source = f"<{dav.url}/a> (<{source}>)"
    assert dav.move("/a", "/b", If=only_source).status == 423
    assert dav.move("/a", "/b", If=both).status == 204
    assert dav.get("/b").body == b"a"


def test_a_lock_of_an_absent_parent_is_409(dav: DavClient) -> None:
    assert dav.lock("/no/such").status == 409
    assert dav.put("/no/such", b"").status == 409
    assert dav.mkcol("/no/such/").status == 409


# -- webdavclient3, npm webdav ----------------------------------------------------------------------------------------


def test_head_of_a_collection_is_200(dav: DavClient) -> None:
    dav.mkcol("/c/")
    assert [dav.send("HEAD", path).status for path in ("/", "/c/", "/c")] == [200, 200, 200]


def test_copy_of_a_folder_with_depth_1_is_400(dav: DavClient) -> None:
    dav.mkcol("/c/")
    assert dav.copy("/c/", "/d/", Depth="1").status == 400
    assert dav.space.names() == ["c/"]


def test_unlock_takes_a_token_without_its_brackets(dav: DavClient) -> None:
    dav.put("/a", b"x")
    token = dav.lock("/a").token
    assert dav.send("UNLOCK", "/a", b"", {"Lock-Token": token}).status == 204
    assert dav.put("/a", b"y").status == 204


def test_unlock_of_another_lock_is_409_with_its_condition(dav: DavClient) -> None:
    dav.put("/a", b"x")
    answer = dav.send("UNLOCK", "/a", b"", {"Lock-Token": "<opaquelocktoken:none>"})
    assert (answer.status, answer.condition()) == (409, "{DAV:}lock-token-matches-request-uri")
    assert dav.send("UNLOCK", "/a").status == 400


def test_depth_infinity_is_answered_within_the_limit_and_refused_above(tmp_path: Path) -> None:
    from gateway.dav.request import DavSettings

    with open_dav(tmp_path / "small", settings=lambda: DavSettings(tree_limit=4)) as dav:
        dav.mkcol("/a/")
        dav.mkcol("/a/b/")
        dav.put("/a/b/f", b"x")
        assert dav.propfind("/", "infinity").hrefs() == [
            "/dav/studio/",
            "/dav/studio/a/",
            "/dav/studio/a/b/",
            "/dav/studio/a/b/f",
        ]
        dav.put("/g", b"x")
        answer = dav.propfind("/", "infinity")
        assert (answer.status, answer.condition()) == (403, "{DAV:}propfind-finite-depth")
        assert dav.propfind("/", "1").status == 207


def test_propfind_without_depth_means_infinity(dav: DavClient) -> None:
    dav.mkcol("/a/")
    dav.put("/a/f", b"x")
    assert len(dav.send("PROPFIND", "/").hrefs()) == 3


def test_propfind_with_another_depth_is_400(dav: DavClient) -> None:
    assert dav.propfind("/", "2").status == 400


# -- rclone, curl -----------------------------------------------------------------------------------------------------


def test_put_is_201_for_a_new_name_and_204_over_an_old_one(dav: DavClient) -> None:
    assert [dav.put("/a", b"1").status, dav.put("/a", b"2").status] == [201, 204]


def test_copy_and_move_are_201_for_a_new_name_and_204_over_an_old_one(dav: DavClient) -> None:
    dav.put("/a", b"a")
    assert [dav.copy("/a", "/b").status, dav.copy("/a", "/b").status] == [201, 204]
    assert [dav.move("/a", "/c").status, dav.move("/c", "/b").status] == [201, 204]
    assert dav.space.names() == ["b"]


def test_overwrite_f_keeps_what_is_there(dav: DavClient) -> None:
    dav.put("/a", b"a")
    dav.put("/b", b"b")
    for send in (dav.move, dav.copy):
        assert send("/a", "/b", Overwrite="F").status == 412
    assert (dav.get("/a").body, dav.get("/b").body) == (b"a", b"b")


def test_a_copy_into_its_own_descendant_is_refused_at_once(dav: DavClient) -> None:
    dav.mkcol("/c/")
    dav.put("/c/f", b"x")
    for send in (dav.copy, dav.move):
        assert send("/c/", "/c/d/").status == 403
        assert send("/c/", "/c/").status == 403
        assert send("/c/", "/c/f/d").status in (403, 409)
    assert dav.space.names("c") == ["f"]


def test_a_copy_over_its_own_ancestor_is_refused(dav: DavClient) -> None:
    dav.mkcol("/c/")
    dav.mkcol("/c/d/")
    for send in (dav.copy, dav.move):
        assert send("/c/d/", "/c").status == 403
    assert dav.space.names("c") == ["d/"]


def test_the_modification_time_of_x_oc_mtime_is_kept(dav: DavClient) -> None:
    answer = dav.put("/a", b"x", X_OC_Mtime="1700000000")
    assert answer.headers["X-OC-MTime"] == "accepted"
    assert dav.get("/a").headers["Last-Modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert dav.put("/b", b"x", X_OC_Mtime="yesterday").status == 400


def test_one_of_eight_creates_wins(dav: DavClient) -> None:
    """The race is run on the service, from threads: what DavApp itself would call."""

    def create(n: int) -> bool:
        try:
            dav.space.put("one", b"%d" % n, Conditions(if_none_match=("*",)))
        except PreconditionFailed:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(create, range(8))) == 1


def test_put_and_delete_heed_their_conditions(dav: DavClient) -> None:
    first = dav.put("/a", b"1", If_None_Match="*").headers["ETag"]
    assert dav.put("/a", b"2", If_None_Match="*").status == 412
    second = dav.put("/a", b"2", If_Match=first).headers["ETag"]
    assert dav.put("/a", b"3", If_Match=first).status == 412
    assert dav.delete("/a", If_Match=first).status == 412
    assert dav.get("/a").body == b"2"
    assert dav.delete("/a", If_Match=f'"other", {second}').status == 204


# -- creative applications --------------------------------------------------------------------------------------------


def test_a_save_by_lock_temporary_file_and_rename_over(dav: DavClient) -> None:
    """Affinity, Photoshop and InDesign: lock the original, write aside, move over, go on under the same lock."""
    dav.put("/art.psd", b"version 1")
    dav.proppatch("/art.psd", "<D:set><D:prop><X:rating>5</X:rating></D:prop></D:set>")
    old = dav.get("/art.psd").headers["ETag"]
    token = dav.lock("/art.psd", Depth="0").token
    assert dav.put("/art.psd.tmp", b"version 2, longer").status == 201
    dav.proppatch("/art.psd.tmp", "<D:set><D:prop><X:rating>6</X:rating></D:prop></D:set>")
    assert dav.move("/art.psd.tmp", "/art.psd").status == 423
    assert dav.move("/art.psd.tmp", "/art.psd", If=f"<{dav.url}/art.psd> (<{token}>)").status == 204
    found = dav.propfind("/art.psd", "0", "D:getcontentlength", "X:rating", "D:lockdiscovery", "D:getetag").props()
    assert found["{DAV:}getcontentlength"].text == "17"
    assert found["{urn:x}rating"].text == "6"
    assert found["{DAV:}getetag"].text != old
    assert found["{DAV:}lockdiscovery"].findtext(".//{DAV:}locktoken/{DAV:}href") == token
    assert dav.put("/art.psd", b"version 3", If=f"(<{token}>)").status == 204
    assert dav.send("UNLOCK", "/art.psd", b"", {"Lock-Token": f"<{token}>"}).status == 204


def test_properties_and_the_lock_survive_a_save_under_it(dav: DavClient) -> None:
    dav.put("/a", b"1")
    dav.proppatch("/a", "<D:set><D:prop><X:p>v</X:p></D:prop></D:set>")
    token = dav.lock("/a").token
    etag = dav.put("/a", b"22", If=f"(<{token}>)").headers["ETag"]
    found = dav.propfind("/a", "0", "X:p", "D:lockdiscovery", "D:getcontentlength", "D:getetag").props()
    assert (found["{urn:x}p"].text, found["{DAV:}getcontentlength"].text) == ("v", "2")
    assert found["{DAV:}getetag"].text == etag
    assert len(found["{DAV:}lockdiscovery"]) == 1


def test_dead_properties_move_and_copy_with_their_file(dav: DavClient) -> None:
    dav.put("/a", b"1")
    dav.proppatch("/a", "<D:set><D:prop><X:p>v</X:p></D:prop></D:set>")
    dav.copy("/a", "/b")
    dav.move("/a", "/c")
    for path in ("/b", "/c"):
        assert dav.propfind(path, "0", "X:p").props()["{urn:x}p"].text == "v"


def test_one_wins_the_lock_file_of_indesign(dav: DavClient) -> None:
    statuses = [dav.put("/~art~x.idlk", b"who", If_None_Match="*").status for _ in range(3)]
    assert statuses == [201, 412, 412]
