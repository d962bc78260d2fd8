"""PROPFIND remembers its answers; nobody may ever see one that is older than the question."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.dav import rendering
from gateway.dav.properties import Query, View
from gateway.domain.entry import Entry
from gateway.testing.dav_client import Answer, DavClient, open_dav
from gateway.testing.space import open_space


@pytest.fixture
def dav(tmp_path: Path) -> Iterator[DavClient]:
    with open_dav(tmp_path, plugins=["quota"]) as client:
        client.mkcol("/f/")
        client.put("/f/a.txt", b"one")
        yield client


@pytest.fixture(params=["small", "large"])
def listed(request: pytest.FixtureRequest, dav: DavClient, monkeypatch: pytest.MonkeyPatch) -> DavClient:
    """A collection that is answered at once, and one that is answered in pages."""
    if request.param == "large":
        monkeypatch.setattr("gateway.dav.propfind.FIRST", 1)
        monkeypatch.setattr("gateway.dav.propfind.PAGE", 2)
        for n in range(4):
            dav.put(f"/f/b{n}", b"x")
    return dav


def listing(dav: DavClient, path: str = "/f/") -> Answer:
    """Asked twice, so that the answer is a remembered one."""
    first, again = dav.propfind(path, "1"), dav.propfind(path, "1")
    assert first.body == again.body
    return again


def test_the_second_of_two_equal_questions_asks_no_listing(listed: DavClient, monkeypatch: pytest.MonkeyPatch) -> None:
    listed.propfind("/f/", "1")
    monkeypatch.setattr(listed.space.services.files, "listing", lambda *_, **__: pytest.fail("it was asked again"))
    assert "/dav/studio/f/a.txt" in listing(listed).hrefs()


def test_a_change_by_another_gate_is_seen_at_once(listed: DavClient, tmp_path: Path) -> None:
    before = listing(listed).hrefs()
    with open_space(tmp_path, plugins=["quota"], clock=listed.space.clock) as other:
        other.put("f/new.txt", b"from elsewhere")
        assert set(listing(listed).hrefs()) - set(before) == {"/dav/studio/f/new.txt"}
        other.services.files.delete(other.caller, ("f", "new.txt"))
        assert listing(listed).hrefs() == before


def test_a_save_shows_its_new_etag_in_the_listing(listed: DavClient) -> None:
    old = listing(listed).props("/dav/studio/f/a.txt")["{DAV:}getetag"].text
    new = listed.put("/f/a.txt", b"two").headers["ETag"]
    assert old != new
    assert listing(listed).props("/dav/studio/f/a.txt")["{DAV:}getetag"].text == new


@pytest.mark.parametrize("locked", ["/f/a.txt", "/f/"])
def test_a_lock_shows_while_it_lives_and_its_seconds_run(listed: DavClient, locked: str) -> None:
    free = listing(listed).body
    token = listed.lock(locked, Timeout="Second-1000").token
    shown = listed.propfind("/f/", "1").body.decode()
    assert token in shown and "Second-1000" in shown
    listed.forward(400)
    assert "Second-600" in listed.propfind("/f/", "1").body.decode()
    listed.forward(601)
    assert listing(listed).body == free


def test_a_property_shows_when_it_was_set_and_when_it_was_removed(listed: DavClient) -> None:
    free = listing(listed).body
    listed.proppatch("/f/a.txt", "<D:set><D:prop><X:label>final 100%</X:label></D:prop></D:set>")
    assert listing(listed).props("/dav/studio/f/a.txt")["{urn:x}label"].text == "final 100%"
    listed.proppatch("/f/a.txt", "<D:remove><D:prop><X:label/></D:prop></D:remove>")
    assert listing(listed).body == free


def test_the_same_path_of_two_tenants_has_two_answers(listed: DavClient) -> None:
    theirs = listed.as_caller(listed.space.tenant("rival"))
    theirs.mkcol("/f/")
    for _ in range(2):
        assert listed.propfind("/f/", "1").hrefs()[1] == "/dav/studio/f/a.txt"
        assert theirs.propfind("/f/", "1").hrefs() == ["/dav/rival/f/"]
        assert theirs.propfind("/f/", "0").hrefs() == ["/dav/rival/f/"]
        assert listed.propfind("/f/", "0").hrefs() == ["/dav/studio/f/"]


def test_questions_that_differ_get_answers_that_differ(dav: DavClient) -> None:
    for _ in range(2):
        assert "{DAV:}getetag" in dav.propfind("/f/a.txt", "0").props()
        assert set(dav.propfind("/f/a.txt", "0", "D:resourcetype").props()) == {"{DAV:}resourcetype"}
        assert len(dav.propfind("/f/", "0").hrefs()) == 1
        assert len(dav.propfind("/f/", "1").hrefs()) == 2
        assert len(dav.propfind("/f/", "infinity").hrefs()) == 2


def test_each_spelling_of_a_name_is_answered_in_its_own(dav: DavClient) -> None:
    dav.put("/f/%C3%A9.txt", b"x")
    for _ in range(2):
        assert dav.propfind("/f/%C3%A9.txt", "0").hrefs() == ["/dav/studio/f/%C3%A9.txt"]
        assert dav.propfind("/f/e%CC%81.txt", "0").hrefs() == ["/dav/studio/f/e%CC%81.txt"]


def test_the_figures_of_the_quota_are_those_of_the_moment(dav: DavClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def figures() -> tuple[str | None, ...]:
        props = dav.propfind("/f/", "1", "D:quota-used-bytes", "D:quota-available-bytes").props("/dav/studio/f/")
        return tuple(one.text for one in props.values())

    used, free = figures()
    assert figures() == (used, free)
    dav.put("/other.bin", b"12345")
    assert figures()[0] == str(int(used or 0) + 5)
    host = dav.space.services.host
    limits = host.limits

    def smaller(tenant: object) -> object:
        return replace(limits(tenant), bytes=1000)  # type: ignore[arg-type]

    monkeypatch.setattr(host, "limits", smaller)
    assert figures()[1] == str(1000 - 5 - int(used or 0))


def test_hooks_are_asked_each_time(dav: DavClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    host = dav.space.services.host
    monkeypatch.setattr(host, "implements", lambda hook: hook == "check_request" or type(host).implements(host, hook))
    monkeypatch.setattr(host, "check", lambda hook, **_: asked.append(hook))
    dav.propfind("/f/", "1")
    dav.propfind("/f/", "1")
    assert asked == ["check_request"] * 2


def test_a_precondition_is_asked_before_a_remembered_answer_is_given(dav: DavClient) -> None:
    listing(dav)
    assert dav.send("PROPFIND", "/f/", b"", Depth="1", If="(<opaquelocktoken:none>)").status == 412


def test_very_long_questions_are_answered_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "_known_form", lambda *_: pytest.fail("it was kept"))
    names = tuple(f"{{urn:{'x' * 100}}}{n}" for n in range(64))
    drawn = rendering.Rendering(Query("prop", names), View(str, 0, {}))
    assert drawn.response("/a", Entry(1, "a", 0, 0, None, 1, '"1"')).count("<N:") == 64
