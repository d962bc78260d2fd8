"""Invariant I7: no request of one tenant can name, read, lock, or learn of anything of another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.testing.dav_client import Answer, DavClient, open_dav

SECRET = b"the other tenant's words"


@dataclass
class Two:
    mine: DavClient
    theirs: DavClient
    their_token: str


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    with open_dav(tmp_path, backend="memory", plugins=["quota"]) as mine:
        theirs = mine.as_caller(mine.space.tenant("rival", quota_bytes=5000))
        theirs.put("/secret.txt", SECRET)
        theirs.mkcol("/plans/")
        theirs.proppatch("/secret.txt", "<D:set><D:prop><X:p>hidden</X:p></D:prop></D:set>")
        yield Two(mine, theirs, theirs.lock("/secret.txt").token)


def same(first: Answer, second: Answer) -> bool:
    """Whether two answers tell the same, but for the request's own number."""

    def told(answer: Answer) -> tuple[int, bytes, dict[str, str]]:
        body = answer.body.split(b"<K:request-id>")[0]
        return answer.status, body, dict(answer.headers)

    return told(first) == told(second)


VERBS = ("GET", "HEAD", "PROPFIND", "DELETE", "PROPPATCH", "OPTIONS", "COPY", "MOVE", "UNLOCK")


@pytest.mark.parametrize("verb", VERBS)
def test_a_path_is_looked_up_in_the_callers_own_space_only(two: Two, verb: str) -> None:
    """The gate lets nobody under another's prefix; here the same names are asked for under one's own."""
    body = b'<D:propertyupdate xmlns:D="DAV:"><D:remove><D:prop><D:x/></D:prop></D:remove></D:propertyupdate>'
    headers = {"Destination": f"{two.mine.url}/x", "Lock-Token": f"<{two.their_token}>"}
    exists = two.mine.send(verb, "/secret.txt", body if verb == "PROPPATCH" else b"", headers)
    absent = two.mine.send(verb, "/nothing.txt", body if verb == "PROPPATCH" else b"", headers)
    assert same(exists, absent)
    assert SECRET not in exists.body
    assert two.theirs.get("/secret.txt").body == SECRET


@pytest.mark.parametrize("verb", ["COPY", "MOVE"])
@pytest.mark.parametrize("form", ["absolute", "path", "encoded"])
def test_a_destination_in_another_space_is_refused_the_same_whether_it_exists(two: Two, verb: str, form: str) -> None:
    two.mine.put("/a", b"mine")
    base = {"absolute": two.theirs.url, "path": two.theirs.base, "encoded": "/%64av/%72ival"}[form]
    answers = [
        two.mine.send(verb, "/a", Destination=f"{base}{path}")
        for path in ("/secret.txt", "/nothing.txt", "/plans/new", "/no/such/place")
    ]
    answers.append(two.mine.send(verb, "/a", Destination="/dav/nobody/x"))
    assert {answer.status for answer in answers} == {403}
    assert all(same(answers[0], answer) for answer in answers)
    assert two.theirs.get("/secret.txt").body == SECRET
    assert two.mine.get("/a").body == b"mine"


@pytest.mark.parametrize(
    "destination",
    [
        "/dav/studio/../rival/x",
        "/dav/studio/%2e%2e/rival/x",
        "/dav/studio/..%2frival/x",
        "/dav//rival/x",
        "//rival/x",
        "http://files.example@evil/dav/studio/x",
        "/dav/studio\\..\\rival",
        "dav/studio/x",
    ],
)
def test_no_spelling_of_a_destination_leads_out(two: Two, destination: str) -> None:
    two.mine.put("/a", b"mine")
    assert two.mine.send("MOVE", "/a", Destination=destination).status in (400, 403, 502)
    assert two.theirs.propfind("/", "1").hrefs()[1:] == ["/dav/rival/plans/", "/dav/rival/secret.txt"]
    assert two.mine.get("/a").body == b"mine"


@pytest.mark.parametrize(
    "destination",
    [
        "http://elsewhere.example/dav/studio/x",
        "http://files.example:81/dav/studio/x",
        "https://files.example/dav/studio/x",
        "ftp://files.example/dav/studio/x",
        "http://files.example.evil/dav/studio/x",
    ],
)
def test_a_destination_on_another_scheme_host_or_port_is_502(two: Two, destination: str) -> None:
    two.mine.put("/a", b"mine")
    answer = two.mine.send("MOVE", "/a", Destination=destination, X_Forwarded_Host="elsewhere.example")
    assert answer.status == 502
    assert two.mine.get("/a").body == b"mine"


@pytest.mark.parametrize("host", ["FILES.example", "files.example:80"])
def test_a_destination_on_our_own_host_is_known_in_other_spellings(two: Two, host: str) -> None:
    two.mine.put("/a", b"mine")
    assert two.mine.send("MOVE", "/a", Destination=f"http://{host}/dav/studio/b").status == 201


def test_an_if_list_about_another_space_never_holds(two: Two) -> None:
    two.mine.put("/a", b"x")
    etag = two.theirs.get("/secret.txt").headers["ETag"]
    for url in (f"{two.theirs.url}/secret.txt", f"{two.theirs.base}/secret.txt"):
        for condition in (f"<{two.their_token}>", f"[{etag}]"):
            assert two.mine.put("/a", b"y", If=f"<{url}> ({condition})").status == 412
    # also a negated one tells nothing: it holds for what is ours and for what is not alike
    exists = two.mine.put("/a", b"y", If=f"<{two.theirs.url}/secret.txt> (Not <{two.their_token}>)")
    absent = two.mine.put("/a", b"y", If=f"<{two.theirs.url}/nothing> (Not <{two.their_token}>)")
    assert exists.status == absent.status


def test_locks_of_another_space_can_be_neither_seen_refreshed_nor_released(two: Two) -> None:
    two.mine.put("/secret.txt", b"mine")
    assert two.mine.put("/secret.txt", b"mine, and not locked").status == 204
    assert len(two.mine.propfind("/secret.txt", "0", "D:lockdiscovery").props()["{DAV:}lockdiscovery"]) == 0
    assert two.mine.send("LOCK", "/secret.txt", b"", {"If": f"(<{two.their_token}>)"}).status == 412
    known = two.mine.send("UNLOCK", "/secret.txt", b"", {"Lock-Token": f"<{two.their_token}>"})
    unknown = two.mine.send("UNLOCK", "/secret.txt", b"", {"Lock-Token": "<opaquelocktoken:none>"})
    assert known.status == 409
    assert same(known, unknown)
    assert two.theirs.put("/secret.txt", b"x").status == 423


def test_a_token_of_another_space_opens_nothing(two: Two) -> None:
    two.mine.put("/a", b"x")
    two.mine.lock("/a")
    assert two.mine.put("/a", b"y", If=f"(<{two.their_token}>)").status in (412, 423)


def test_properties_and_quota_are_the_callers_own(two: Two) -> None:
    two.mine.put("/secret.txt", b"mine")
    assert two.mine.propfind("/secret.txt", "0", "X:p").missing()
    used = two.mine.propfind("/", "0", "D:quota-used-bytes").props()["{DAV:}quota-used-bytes"].text
    assert used == "4"
    free = "{DAV:}quota-available-bytes"
    mine, theirs = (
        one.propfind("/", "0", "D:quota-available-bytes").props()[free].text for one in (two.mine, two.theirs)
    )
    assert int(theirs or "") == 5000 - len(SECRET)
    assert int(mine or "") > 5000


def test_listings_show_the_callers_own_space_only(two: Two) -> None:
    assert two.mine.root("PROPFIND", "/dav/", Depth="1").hrefs() == ["/dav/", "/dav/studio/"]
    assert two.theirs.root("PROPFIND", "/dav", Depth="1").hrefs() == ["/dav/", "/dav/rival/"]
    assert two.mine.root("PROPFIND", "/", Depth="1").hrefs() == ["/", "/dav/"]
    for answer in (two.mine.get("/"), two.mine.propfind("/", "infinity"), two.mine.root("GET", "/")):
        assert b"rival" not in answer.body
        assert b"secret" not in answer.body


def test_no_error_names_another_tenant(two: Two) -> None:
    two.mine.put("/a", b"x")
    answers = [
        two.mine.move("/a", "/no/such"),
        two.mine.send("MOVE", "/a", Destination=f"{two.theirs.url}/secret.txt"),
        two.mine.delete("/secret.txt"),
        two.mine.get("/secret.txt"),
    ]
    assert all(b"rival" not in answer.body and b"hidden" not in answer.body for answer in answers)


def test_a_viewer_changes_nothing(two: Two) -> None:
    from gateway.domain.tenant import Role

    two.mine.put("/a", b"x")
    two.mine.mkcol("/c/")
    token = two.mine.lock("/c/").token
    viewer = two.mine.as_caller(two.mine.space.user("guest", Role.VIEWER))
    statuses = [
        viewer.put("/new", b"x").status,
        viewer.put("/a", b"y").status,
        viewer.delete("/a").status,
        viewer.mkcol("/d/").status,
        viewer.move("/a", "/b").status,
        viewer.copy("/a", "/b").status,
        viewer.lock("/a").status,
        viewer.lock("/new").status,
        viewer.proppatch("/a", "<D:set><D:prop><X:p/></D:prop></D:set>").status,
        viewer.send("UNLOCK", "/c/", b"", {"Lock-Token": f"<{token}>"}).status,
    ]
    assert set(statuses) == {403}
    assert viewer.get("/a").body == b"x"
    assert two.mine.space.names() == ["a", "c/"]


def test_a_token_of_another_user_of_the_same_tenant_does_not_open_the_lock(two: Two) -> None:
    two.mine.put("/a", b"x")
    token = two.mine.lock("/a").token
    other = two.mine.as_caller(two.mine.space.user("bob"))
    assert other.put("/a", b"y", If=f"(<{token}>)").status == 423
    assert other.send("UNLOCK", "/a", b"", {"Lock-Token": f"<{token}>"}).status == 403
