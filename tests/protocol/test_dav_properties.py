"""PROPFIND and PROPPATCH: what is answered, kept and refused."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.exchange import Reply
from gateway.testing.dav_client import DavClient, open_dav


@pytest.fixture
def dav(tmp_path: Path) -> Iterator[DavClient]:
    with open_dav(tmp_path, backend="memory") as client:
        client.put("/a.txt", b"text")
        yield client


def set_prop(dav: DavClient, element: str, path: str = "/a.txt") -> dict[str, int]:
    return dav.proppatch(path, f"<D:set><D:prop>{element}</D:prop></D:set>").prop_statuses()


def raw(dav: DavClient, name: str, path: str = "/a.txt") -> bytes:
    """The text between the prop tags."""
    body = dav.propfind(path, "0", name).body
    return body.partition(b"<D:prop>")[2].partition(b"</D:prop>")[0]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("<X:p>plain</X:p>", '<X:p xmlns:X="urn:x">plain</X:p>'),
        ("<X:p/>", '<X:p xmlns:X="urn:x"/>'),
        (
            '<X:p a="1" X:b="&lt;&quot;">&amp;&#13;</X:p>',
            '<X:p xmlns:X="urn:x" a="1" X:b="&lt;&quot;">&amp;&#13;</X:p>',
        ),
        ("<X:p><Y:q xmlns:Y='urn:y'><r/></Y:q>t</X:p>", '<X:p xmlns:X="urn:x"><Y:q xmlns:Y="urn:y"><r/></Y:q>t</X:p>'),
        ("<p xmlns='urn:x'><q><r xmlns=''/></q></p>", '<p xmlns="urn:x"><q><r xmlns=""/></q></p>'),
        ("<X:p><![CDATA[<&>]]></X:p>", '<X:p xmlns:X="urn:x">&lt;&amp;&gt;</X:p>'),
        ("<X:p>\U00010000é</X:p>", '<X:p xmlns:X="urn:x">\U00010000é</X:p>'),
    ],
)
def test_a_dead_property_keeps_its_elements_attributes_and_prefixes(dav: DavClient, sent: str, kept: str) -> None:
    assert set(set_prop(dav, sent).values()) == {200}
    assert raw(dav, "X:p").decode() == kept


def test_the_language_in_force_is_kept(dav: DavClient) -> None:
    dav.proppatch("/a.txt", '<D:set xml:lang="ja"><D:prop><X:p>v</X:p></D:prop></D:set>')
    assert raw(dav, "X:p") == b'<X:p xmlns:X="urn:x" xml:lang="ja">v</X:p>'


def test_a_property_without_a_namespace_is_kept_apart(dav: DavClient) -> None:
    assert set_prop(dav, "<p>none</p>") == {"p": 200}
    assert set_prop(dav, "<X:p>x</X:p>") == {"{urn:x}p": 200}
    body = b'<D:propfind xmlns:D="DAV:"><D:prop><p/></D:prop></D:propfind>'
    assert dav.send("PROPFIND", "/a.txt", body, Depth="0").props()["p"].text == "none"


def test_set_and_remove_in_one_request_happen_in_their_order(dav: DavClient) -> None:
    set_prop(dav, "<X:old>1</X:old>")
    answer = dav.proppatch(
        "/a.txt",
        "<D:set><D:prop><X:p>1</X:p></D:prop></D:set><D:remove><D:prop><X:p/><X:old/><X:never/></D:prop></D:remove>"
        "<D:set><D:prop><X:p>2</X:p></D:prop></D:set>",
    )
    assert set(answer.prop_statuses().values()) == {200}
    assert dav.propfind("/a.txt", "0", "X:p").props()["{urn:x}p"].text == "2"
    assert dav.propfind("/a.txt", "0", "X:old", "X:never").props() == {}


@pytest.mark.parametrize(
    "name",
    ["getetag", "getcontentlength", "resourcetype", "lockdiscovery", "supportedlock", "creationdate", "getlastmodified",
     "quota-used-bytes", "quota-available-bytes", "getcontenttype", "unheard-of"],
)  # fmt: skip
def test_one_protected_property_refuses_the_whole_update(dav: DavClient, name: str) -> None:
    answer = dav.proppatch("/a.txt", f"<D:set><D:prop><X:p>v</X:p><D:{name}>x</D:{name}></D:prop></D:set>")
    assert answer.status == 207
    assert answer.prop_statuses() == {"{urn:x}p": 424, f"{{DAV:}}{name}": 403}
    assert answer.xml.find(".//{DAV:}error/{DAV:}cannot-modify-protected-property") is not None
    assert b"Traceback" not in answer.body
    assert b"DAVError" not in answer.body
    assert dav.propfind("/a.txt", "0", "X:p").missing()


def test_our_own_facts_are_protected_and_not_in_allprop(dav: DavClient) -> None:
    assert set_prop(dav, "<K:state>clean</K:state>") == {"{urn:kurado}state": 403}
    found = dav.propfind("/a.txt", "0", "K:state", "K:sha256", "K:image.width")
    assert found.props()["{urn:kurado}state"].text == "clean"
    assert len(found.props()["{urn:kurado}sha256"].text or "") == 64
    assert "{urn:kurado}image.width" in found.missing()
    assert not [name for name in dav.propfind("/a.txt", "0").props() if "kurado" in name]


def test_displayname_can_be_set_and_is_the_name_until_then(dav: DavClient) -> None:
    assert dav.propfind("/a.txt", "0", "D:displayname").props()["{DAV:}displayname"].text == "a.txt"
    assert set_prop(dav, "<D:displayname>Text</D:displayname>") == {"{DAV:}displayname": 200}
    assert dav.propfind("/a.txt", "0").props()["{DAV:}displayname"].text == "Text"
    assert dav.propfind("/", "0", "D:displayname").props()["{DAV:}displayname"].text == "studio"


def test_allprop_with_include_adds_what_is_named(dav: DavClient) -> None:
    body = (
        b'<D:propfind xmlns:D="DAV:"><D:allprop/><D:include><D:quota-used-bytes/><D:getetag/><D:nope/></D:include>'
        b"</D:propfind>"
    )
    answer = dav.send("PROPFIND", "/", body, Depth="0")
    assert answer.props()["{DAV:}quota-used-bytes"].text == "4"
    assert set(answer.missing()) == {"{DAV:}nope", "{DAV:}getetag"}


def test_a_name_in_the_namespace_of_xml_itself_breaks_no_answer(dav: DavClient) -> None:
    name = "{http://www.w3.org/XML/1998/namespace}p"
    assert name in dav.propfind("/a.txt", "0", "xml:p").missing()
    assert set_prop(dav, "<xml:p>v</xml:p>") == {name: 200}
    assert dav.propfind("/a.txt", "0").props()[name].text == "v"


def test_what_a_node_has_and_has_not_is_told_apart(dav: DavClient) -> None:
    answer = dav.propfind("/a.txt", "0", "D:getetag", "X:none", "D:quota-used-bytes")
    assert set(answer.props()) == {"{DAV:}getetag"}
    assert set(answer.missing()) == {"{urn:x}none", "{DAV:}quota-used-bytes"}


@pytest.mark.parametrize(
    "body",
    [
        b"<nonsense",
        b"<D:propfind/>",
        b'<D:other xmlns:D="DAV:"/>',
        b'<D:propfind xmlns:D="DAV:"/>',
        b'<D:propfind xmlns:D="DAV:"><D:allprop/><D:propname/></D:propfind>',
        b'<D:propfind xmlns:D="DAV:"><D:prop/><D:prop/></D:propfind>',
        b'<D:propfind xmlns:D="DAV:"><D:prop><X:p xmlns:X=""/></D:prop></D:propfind>',
        b'<D:propfind xmlns:D="DAV:"><D:prop><X:p xmlns:X="u:}p"/></D:prop></D:propfind>',
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b"\xff\xfe\x00",
        b"\x00",
        b'<D:propfind xmlns:D="DAV:">' + b"<a>" * 100 + b"</a>" * 100 + b"</D:propfind>",
        b'<D:propfind xmlns:D="DAV:"><D:prop>' + b"<a/>" * 20_000 + b"</D:prop></D:propfind>",
        b'<D:propfind xmlns:D="DAV:"><D:prop>'
        + b"".join(b"<a%d/>" % n for n in range(300))
        + b"</D:prop></D:propfind>",
    ],
)
def test_a_propfind_that_cannot_be_understood_is_400(dav: DavClient, body: bytes) -> None:
    assert dav.send("PROPFIND", "/", body, Depth="0").status == 400


@pytest.mark.parametrize("verb", ["PROPFIND", "PROPPATCH", "LOCK", "MKCOL", "DELETE", "UNLOCK"])
def test_a_body_above_a_mebibyte_is_413(dav: DavClient, verb: str) -> None:
    assert dav.send(verb, "/a.txt", b"<" + b"a" * 1024 * 1024, Depth="0").status == 413


@pytest.mark.parametrize(
    "inner",
    ["", "<D:set/>", "<D:set><D:prop/></D:set>", "<D:set><D:other><X:p/></D:other></D:set>"],
)
def test_an_update_that_names_no_property_is_400(dav: DavClient, inner: str) -> None:
    assert dav.proppatch("/a.txt", inner).status == 400


def test_a_namespace_that_no_uri_could_be_is_refused_and_kept_nowhere(dav: DavClient) -> None:
    before = dav.propfind("/a.txt", "0").body
    assert dav.proppatch("/a.txt", '<D:set><D:prop><X:p xmlns:X="u:}p">v</X:p></D:prop></D:set>').status == 400
    assert dav.propfind("/a.txt", "0").body == before


def test_proppatch_of_nothing_is_404(dav: DavClient) -> None:
    assert dav.proppatch("/none", "<D:set><D:prop><X:p/></D:prop></D:set>").status == 404


def test_properties_of_one_node_have_a_bound(dav: DavClient) -> None:
    big = "x" * 25_000
    assert set(set_prop(dav, f"<X:p>{big}</X:p><X:q>{big}</X:q>").values()) == {200}
    assert dav.proppatch("/a.txt", f"<D:set><D:prop><X:r>{big}</X:r></D:prop></D:set>").status == 507
    assert dav.propfind("/a.txt", "0", "X:r").missing()


def test_an_update_of_thousands_of_properties_is_refused_in_little_memory(dav: DavClient) -> None:
    update = "".join(f"<X:p{n}>{'x' * 20}</X:p{n}>" for n in range(6_000))
    tracemalloc.start()
    try:
        assert dav.proppatch("/a.txt", f"<D:set><D:prop>{update}</D:prop></D:set>").status == 507
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert dav.propfind("/a.txt", "0", "X:p0").missing()


def test_what_an_update_removes_makes_room_for_what_it_sets(dav: DavClient) -> None:
    big = "x" * 40_000
    assert set(set_prop(dav, f"<X:p>{big}</X:p>").values()) == {200}
    swap = f"<D:remove><D:prop><X:p/></D:prop></D:remove><D:set><D:prop><X:q>{big}</X:q></D:prop></D:set>"
    assert dav.proppatch("/a.txt", swap).status == 207
    assert dav.propfind("/a.txt", "0", "X:p").missing() and not dav.propfind("/a.txt", "0", "X:q").missing()
    assert dav.proppatch("/a.txt", f"<D:set><D:prop><X:q>{big}</X:q><X:p>{big}</X:p></D:prop></D:set>").status == 507


def test_a_large_collection_takes_one_listing_query_a_page_and_none_a_member(
    dav: DavClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = dav.space.services.files
    dav.mkcol("/f/")
    for n in range(2_500):
        dav.space.services.files.make_collection(dav.caller, ("f", f"{n:05}"))
    calls: list[str] = []
    for name in ("lookup", "listing", "get", "locks_for_listing", "usage"):
        original = getattr(files, name)

        def counted(*args: object, _original=original, _name=name, **named: object) -> object:  # type: ignore[no-untyped-def]
            calls.append(_name)
            return _original(*args, **named)

        monkeypatch.setattr(files, name, counted)
    hrefs = dav.propfind("/f/", "1").hrefs()
    assert len(set(hrefs)) == 2501
    assert sorted(calls) == ["listing"] * 4 + ["locks_for_listing", "lookup"]  # 128 members first, then a thousand each


def test_who_does_not_take_the_answer_about_a_whole_tree_holds_little_of_it(dav: DavClient) -> None:
    dav.mkcol("/f/")
    for n in range(1_500):
        dav.space.services.files.make_collection(dav.caller, ("f", f"{n:05}"))

    def ask() -> Reply:
        exchange = dav.exchange("PROPFIND", dav.base + "/f/", b"", (), {"Depth": "infinity"})
        return dav.loop.run_until_complete(dav.app.handle(exchange, dav.caller, ("f",), True))

    whole = dav.propfind("/f/", "infinity").body
    ask()
    tracemalloc.start()
    try:
        held = [ask() for _ in range(10)]
        assert tracemalloc.get_traced_memory()[0] < len(whole)
    finally:
        tracemalloc.stop()
    assert len(held) == 10 and len(whole) > 500_000


def test_a_name_with_markup_is_escaped_in_listings(dav: DavClient) -> None:
    dav.put("/%3Cscript%3Ealert(1)%3C%2Fx", b"x")
    dav.put("/%3Cscript%3E%26%22'.html", b"x")
    names = {one.text for one in dav.propfind("/", "1").xml.iter("{DAV:}displayname")}
    assert "<script>&\"'.html" in names
    page = dav.get("/").body
    assert b"<script" not in page
    assert b"&lt;script&gt;" in page
