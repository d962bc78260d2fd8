"""Requests made to break things: parsers under hypothesis, and thousands of mutated requests against the whole."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.dav.conditions import parse_conditions, parse_destination
from gateway.domain.errors import KuradoError
from gateway.domain.names import MAX_SEGMENT_BYTES, check_path, href
from gateway.exchange import Exchange
from gateway.testing.dav_client import DavClient, FakeBody, lock_body, open_dav, propfind_body, proppatch_body
from gateway.wire.fields import http_date, iso_date, parse_date
from gateway.wire.markup import Element, escape, parse, write

BASE = "/dav/t"


def exchange(**headers: str) -> Exchange:
    fields = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return Exchange("MOVE", BASE + "/a", "", fields, FakeBody(b""), "id", "-", "http", "host")  # type: ignore[arg-type]


segments = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\ufffe\uffff"), min_size=1, max_size=40)
    .filter(lambda name: name not in (".", ".."))
    .filter(lambda name: len(name.encode()) <= MAX_SEGMENT_BYTES // 3),
    min_size=1,
    max_size=8,
).map(tuple)


@given(segments, st.sampled_from(["", "http://host", "http://HOST:80"]), st.sampled_from(["", "/"]))
def test_every_path_survives_the_way_through_a_destination(path: tuple[str, ...], origin: str, slash: str) -> None:
    check_path(path)
    sent = exchange(Destination=origin + BASE + href(path) + slash)
    assert parse_destination(sent, BASE, ()) == path


@given(st.text(max_size=60), st.sampled_from(["", "/", "/dav/", BASE + "/", "http://host" + BASE, "//host" + BASE]))
def test_no_destination_breaks_the_parser_or_leads_out(text: str, start: str) -> None:
    try:
        path = parse_destination(exchange(Destination=start + text), BASE, ("other",))
    except KuradoError:
        return
    assert ".." not in path
    assert all(segment and "/" not in segment for segment in path)


@given(st.text(max_size=80), st.text(max_size=40), st.text(max_size=40))
def test_no_condition_header_breaks_the_parser(if_header: str, if_match: str, date: str) -> None:
    with contextlib.suppress(KuradoError):
        parse_conditions(exchange(If=if_header, If_Match=if_match, If_Modified_Since=date), BASE, ())


@given(st.integers(-(2**62), 2**62))
def test_every_time_can_be_written_and_what_is_in_range_read_back(at: int) -> None:
    assert iso_date(at).endswith("Z")
    written = http_date(at)
    if 0 <= at < 250_000_000_000_000:
        assert parse_date(written) == at // 1000 * 1000


texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20)
namespaces = st.sampled_from(["", "DAV:", "urn:x", "urn:y&<\"'"])
elements = st.deferred(
    lambda: st.builds(
        lambda namespace, prefix, attributes, content: Element(
            f"{{{namespace}}}e" if namespace else "e",
            prefix,
            {f"{{{space}}}a{n}" if space else f"a{n}": value for n, (space, value) in enumerate(attributes)},
            {f"{{{space}}}a{n}": "D" for n, (space, _) in enumerate(attributes) if space},
            content,
        ),
        namespaces,
        st.sampled_from(["", "D", "X", "N"]),
        st.lists(st.tuples(namespaces, texts), max_size=3),
        st.lists(st.one_of(texts, elements), max_size=3),
    )
)


def same(first: Element, second: Element) -> bool:
    def merged(element: Element) -> list[Element | str]:
        parts: list[Element | str] = []
        for one in element.content:
            if isinstance(one, str) and parts and isinstance(parts[-1], str):
                parts[-1] += one
            elif one != "":
                parts.append(one)
        return parts

    left, right = merged(first), merged(second)
    return (
        (first.name, first.attributes) == (second.name, second.attributes)
        and len(left) == len(right)
        and all(
            a == b if isinstance(a, str) else isinstance(b, Element) and same(a, b)
            for a, b in zip(left, right, strict=True)
        )
    )


@given(elements)
def test_an_element_is_written_so_that_it_stands_alone(element: Element) -> None:
    text = write(element)
    assert same(element, parse(text.encode()))
    # also within a document that binds the same prefixes otherwise
    within = parse(f'<D:p xmlns:D="DAV:" xmlns:X="urn:other" xmlns:N="urn:n">{text}</D:p>'.encode())
    assert same(element, within.children[0])


@given(st.text())
def test_escaped_text_is_always_well_formed(text: str) -> None:
    ElementTree.fromstring(f"<a>{escape(text)}</a>".encode())


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    with contextlib.suppress(KuradoError):
        parse(body)


# -- mutated requests -------------------------------------------------------------------------------------------------

METHODS = [
    "GET",
    "HEAD",
    "PUT",
    "DELETE",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "PROPFIND",
    "PROPPATCH",
    "OPTIONS",
]
PATHS = ["/", "/a", "/c/", "/c", "/c/f", "/%E3%81%8C", "/a%3Fb", "/c/../a", "/%00", "//", "/" + "x" * 300, "/.", "/%"]
HEADERS = {
    "Depth": ["0", "1", "infinity", "Infinity", "-1", "", "2"],
    "Destination": [
        "{url}/b",
        "{url}/c/",
        "/dav/studio/c/g",
        "/dav/x/y",
        "http://[::1",
        "{url}/%ff",
        "",
        "{url}",
        "\x00",
    ],
    "Overwrite": ["T", "F", "t", "x", ""],
    "If": ["(<{token}>)", "(Not <DAV:no-lock>)", '(["x"])', "(", "<{url}/a> (<{token}>)", "()"],
    "If-Match": ["*", '"x"', "", ",", "x", 'W/"x"'],
    "If-None-Match": ["*", '"x"', '"'],
    "If-Modified-Since": ["Mon, 04 Jan 2027 10:00:00 GMT", "x", "Mon, 99 Jan 99999 99:99:99 GMT"],
    "Range": ["bytes=0-1", "bytes=0-0,2-2", "bytes=-1", "bytes=9999999999999999999-", "x", "bytes=1-0"],
    "If-Range": ['"x"', "Mon, 04 Jan 2027 10:00:00 GMT", ""],
    "Timeout": ["Second-1", "Infinite", "x", "Second-99999999999999999999"],
    "Lock-Token": ["<{token}>", "{token}", "<>", "", "<x"],
    "X-OC-Mtime": ["1", "-1", "9" * 12, "x", "1.5", "nan", "1e9"],
    "X-Expected-Entity-Length": ["0", "3", "x", "-1", "9" * 30],
    "Content-MD5": ["x", "1B2M2Y8AsgTpgAmY7PhCfg=="],
    "Content-Range": ["bytes 0-1/2"],
    "OC-Checksum": ["MD5:x", "SHA1:00", "ADLER32:00"],
}
BODIES = [
    b"",
    b"abc",
    b"<",
    b"\xff" * 50,
    propfind_body("D:getetag", "X:p", "D:quota-used-bytes", "D:lockdiscovery"),
    propfind_body(),
    proppatch_body("<D:set><D:prop><X:p>v</X:p></D:prop></D:set><D:remove><D:prop><X:q/></D:prop></D:remove>"),
    proppatch_body("<D:set><D:prop><Z:Win32LastModifiedTime>x</Z:Win32LastModifiedTime></D:prop></D:set>"),
    lock_body(),
    lock_body("shared"),
]
ALLOWED = {501, 502, 507}


def mutate(rng: random.Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(rng.choice([0, 0, 1, 3])):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_mutated_requests_never_end_in_a_failure_of_ours(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    with open_dav(tmp_path) as dav:
        token = "opaquelocktoken:none"
        for n in range(700):
            if n % 50 == 0:
                token = restore(dav)
            headers = {
                name: rng.choice(values).format(url=dav.url, token=token)
                for name, values in HEADERS.items()
                if rng.random() < 0.2
            }
            body = mutate(rng, rng.choice(BODIES))
            sent = FakeBody(body, chunked=rng.random() < 0.3, cut=rng.choice([None, None, None, len(body) // 2]))
            method, path = rng.choice(METHODS), rng.choice(PATHS)
            answer = dav.send(method, path, sent, headers)
            assert answer.status < 500 or answer.status in ALLOWED, (method, path, headers, body, answer)
            if answer.headers.get("Content-Type", "").startswith("application/xml") and answer.body:
                ElementTree.fromstring(answer.body)
        dav.space.used()


def restore(dav: DavClient) -> str:
    """Something to work on; returns the token of a lock."""
    dav.mkcol("/c/")
    dav.put("/a", b"0123456789")
    dav.put("/c/f", b"0123456789")
    locked = dav.lock("/c/f", "shared", Depth="0")
    return locked.token if locked.status == 200 else "opaquelocktoken:none"
