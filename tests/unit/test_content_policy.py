"""Content rules: how they are read, when they are asked, and what they do to real contents."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import policies
from gateway.domain.errors import Disallowed, TypeRefused
from gateway.domain.node import Kind, Node, Version
from gateway.domain.upload import CLEAN, Outcome, Verdict
from gateway.hooks import Change
from gateway.testing.inspection import CALLER, make_context, make_upload, run_inspection, stage
from plugins._magic import sniff
from plugins._rules import RuleFailed, parse_policy
from plugins.content_policy import ContentPolicyPlugin, create

DEFAULT = yaml.safe_load((Path(policies.__file__).parent / "content.yaml").read_text())
TEXT = {"en": "No.", "ja": "登録できません。"}


def rule(when: str, then: str = "refuse", **more: Any) -> dict[str, Any]:
    return {"id": "a-rule", "clause": "PRO-01", "when": when, "then": then, "text": TEXT, **more}


def document(*rules: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"version": 1, "rules": list(rules), **more}


class Facts:
    """A provider of another plugin, that counts how often it is asked."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.answer = answer
        self.asked = 0

    def __call__(self, upload: object, file: io.BytesIO) -> Mapping[str, Any]:
        self.asked += 1
        assert file.tell() == 0
        return self.answer


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    made: list[ContentPolicyPlugin] = []

    def build(*rules: Mapping[str, Any], facts: Mapping[str, Any] | None = None, **more: Any) -> ContentPolicyPlugin:
        services = SimpleNamespace(host=SimpleNamespace(facts=lambda: facts or {}))
        value = parse_policy(document(*rules, **more), facts or {})
        plugin = create(make_context("content_policy", tmp_path, policy=lambda name, tenant: value, services=services))
        made.append(plugin)
        return plugin

    yield build
    for plugin in made:
        plugin.close()


def judge(plugin: ContentPolicyPlugin, tmp_path: Path, name: str, content: bytes, content_type: str = "") -> Verdict:
    return run_inspection(plugin, tmp_path, make_upload(name, len(content), content_type=content_type), content)


def png(width: int = 20, height: int = 10) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (width, height)).save(data, "PNG")
    return data.getvalue()


def cut_png() -> bytes:
    data = io.BytesIO()
    Image.effect_noise((50, 50), 60).save(data, "PNG")
    return data.getvalue()[:1000]


def bomb_png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 12_000, 12_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")


def zipped(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


# -- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (document(rule("name ==")), r"rules\[0\].when: .*CEL"),
        (document(rule("nmae == 'x'")), r"no fact 'nmae'.*name"),
        (document(rule("image.widht > 5")), r"no fact image.widht.*width"),
        (document(rule("image.width > 5")), r"write has\(image.width\)"),
        (document(rule("size > 'x'")), "compare like with like"),
        (document(rule("name")), "neither true nor false"),
        (document(rule("true", then="delete")), r"rules\[0\].then: .*refuse, hold, mark"),
        (document(rule("true", error="gone")), r"rules\[0\].error"),
        (document(rule("true", id="A Rule")), r"rules\[0\].id"),
        (document(rule("true", text={"en": "No."})), r"rules\[0\].text.ja: is missing"),
        (document(rule("true"), rule("false")), r"rules\[1\].id: 'a-rule' is given twice"),
        (document({**rule("true"), "wehn": "x"}), "did you mean 'when'"),
        ({"version": 2, "rules": []}, "version"),
        (document(blocklist={"clause": "X", "text": TEXT, "sha256": ["abc"]}), r"blocklist.sha256\[0\]"),
    ],
)
def test_a_mistake_in_the_document_is_named_with_its_place(broken: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_policy(broken)


@given(st.text(alphabet="size>=<!&|()[]{}.,'\"0123image.pxlh?:+-*/%\\ \n\0é", max_size=40))
@settings(max_examples=150, deadline=None)
def test_whatever_is_written_as_an_expression_is_read_or_refused(when: str) -> None:
    with contextlib.suppress(ValueError):
        parse_policy(document(rule(when)))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["version", "rules", "id", "when", "then", "text", "clause", "blocklist", "sha256", "en"]
                ),
                inner,
                max_size=6,
            )
        ),
        max_leaves=12,
    )
)
@settings(max_examples=100, deadline=None)
def test_whatever_is_written_as_a_document_is_read_or_refused(written: Any) -> None:
    with contextlib.suppress(ValueError):
        parse_policy(written)


def test_strings_and_bound_names_are_no_facts() -> None:
    policy = parse_policy(
        document(rule('has(archive.names) && archive.names.exists(n, n == "image.width") && name != "x.y"'))
    )
    assert policy.roots == {"archive", "name"}


def test_facts_of_other_plugins_may_be_named() -> None:
    when = "has(nsfw.score) && nsfw.score > 0.8"
    assert parse_policy(document(rule(when)), {"nsfw"}).roots == {"nsfw"}
    with pytest.raises(ValueError, match="no fact 'nsfw'"):
        parse_policy(document(rule(when)), set())


def test_the_default_policy_is_read_and_its_commented_rules_too() -> None:
    assert parse_policy(DEFAULT, set()).rules
    text = (Path(policies.__file__).parent / "content.yaml").read_text()
    commented = [line[1:] for line in text.splitlines() if line.startswith("#  ")]
    samples = [line for line in commented if line.strip().startswith(("- id", "clause", "when", "then", "text"))]
    rules = yaml.safe_load("\n".join(samples))
    assert len(rules) >= 4
    parse_policy({"version": 1, "rules": rules}, set())


# -- before the body --------------------------------------------------------------------------------------------------


def test_check_upload_refuses_by_name_type_and_size_before_the_body(make: Any) -> None:
    plugin = make(
        rule('ext == "exe"'),
        rule('type == "text/html"', id="html", error="type-refused"),
        rule("size > 1000", id="big"),
    )
    with pytest.raises(Disallowed) as refused:
        plugin.check_upload(upload=make_upload("Setup.EXE", 10))
    assert (refused.value.policy, refused.value.clause) == ("a-rule", "PRO-01")
    assert refused.value.message == "No. / 登録できません。"
    with pytest.raises(TypeRefused):
        plugin.check_upload(upload=make_upload("a", 10, content_type="Text/HTML; charset=utf-8"))
    with pytest.raises(Disallowed):
        plugin.check_upload(upload=make_upload("a", 1001))
    plugin.check_upload(upload=make_upload("a", 1000))


def test_a_size_that_was_not_declared_is_judged_when_it_is_known(make: Any, tmp_path: Path) -> None:
    plugin = make(rule("size > 1000"))
    assert run_inspection(plugin, tmp_path, make_upload("a", None), b"x" * 1001).outcome is Outcome.REFUSE
    assert run_inspection(plugin, tmp_path, make_upload("a", None), b"x" * 1000) == CLEAN


def test_a_rule_speaks_of_tenant_and_plan(make: Any) -> None:
    plugin = make(rule('plan == "trial" && tenant == "acme"'))
    plugin.check_upload(upload=make_upload("a", 1))
    with pytest.raises(Disallowed):
        plugin.check_upload(upload=make_upload("a", 1, plan="trial"))


def test_check_change_judges_a_new_name(make: Any) -> None:
    plugin = make(rule('ext == "exe"'))
    version = Version(1, "", 0, '"1-d"', "", "0" * 64, 0, 0)
    node = Node(5, 1, 1, Kind.FILE, "a.txt", 0, 0, version=version)
    plugin.check_change(change=Change(CALLER, "move", ("a.txt",), node, ("b.txt",)))
    plugin.check_change(change=Change(CALLER, "delete", ("a.txt",), node))
    plugin.check_change(change=Change(CALLER, "move", ("d",), Node(6, 1, 1, Kind.COLLECTION, "d", 0, 0), ("d.exe",)))
    for verb in ("move", "copy"):
        with pytest.raises(Disallowed):
            plugin.check_change(change=Change(CALLER, verb, ("a.txt",), node, ("a.exe",)))


def test_check_change_looks_at_the_content_where_a_rule_asks_for_its_type(make: Any) -> None:
    plugin = make(rule('ext == "jpg" && sniffed_type == "application/x-elf"'))
    blobs = SimpleNamespace(open=lambda key, start, length: io.BytesIO(b"\x7fELF" + bytes(60)))
    object.__setattr__(plugin._context, "blobs", blobs)
    version = Version(1, "blob", 64, '"1-d"', "", "0" * 64, 0, 0)
    node = Node(5, 1, 1, Kind.FILE, "a", 0, 0, version=version)
    with pytest.raises(Disallowed):
        plugin.check_change(change=Change(CALLER, "move", ("a",), node, ("a.jpg",)))


# -- all bytes are there ----------------------------------------------------------------------------------------------


def test_check_content_gives_the_gravest_verdict(make: Any, tmp_path: Path) -> None:
    plugin = make(
        rule("true", "mark"),
        rule('sniffed_type == "image/png"', "hold", id="png"),
        rule("has(image.width) && image.width > 100", id="wide"),
    )
    assert judge(plugin, tmp_path, "a", b"text").outcome is Outcome.MARK
    assert judge(plugin, tmp_path, "a", png()).outcome is Outcome.HOLD
    wide = judge(plugin, tmp_path, "a", png(101))
    assert (wide.outcome, wide.policy, wide.error) == (Outcome.REFUSE, "wide", "disallowed")


def test_facts_are_found_out_only_when_a_rule_names_their_root(make: Any, tmp_path: Path) -> None:
    asked, idle = Facts({"score": 0.9}), Facts({})
    plugin = make(rule("has(nsfw.score) && nsfw.score > 0.8", "hold"), facts={"nsfw": asked, "phash": idle})
    assert judge(plugin, tmp_path, "a", b"x").outcome is Outcome.HOLD
    assert (asked.asked, idle.asked) == (1, 0)


def test_a_rule_that_raises_leaves_the_verdict_to_on_error(make: Any, tmp_path: Path) -> None:
    plugin = make(rule("has(nsfw.score) && nsfw.score > 0.8"), facts={"nsfw": Facts({"score": "high"})})
    with pytest.raises(RuleFailed, match="a-rule"):
        judge(plugin, tmp_path, "a", b"x")


def test_a_digest_on_the_list_is_refused_whatever_its_name(make: Any, tmp_path: Path) -> None:
    digest = stage(tmp_path, b"bad").sha256
    plugin = make(blocklist={"clause": "TKD-01", "text": TEXT, "sha256": [digest.upper()]})
    verdict = judge(plugin, tmp_path, "fine.txt", b"bad")
    assert (verdict.outcome, verdict.policy, verdict.clause) == (Outcome.REFUSE, "blocklist", "TKD-01")
    assert judge(plugin, tmp_path, "fine.txt", b"good") == CLEAN


def test_the_declared_type_may_be_held_against_the_content(make: Any, tmp_path: Path) -> None:
    plugin = make(rule('type.startsWith("image/") && sniffed_type != type', error="type-refused"))
    assert judge(plugin, tmp_path, "a.png", png(), "image/png") == CLEAN
    assert judge(plugin, tmp_path, "a.png", b"hello", "image/png").error == "type-refused"


# -- the policy that everybody starts with ----------------------------------------------------------------------------


@pytest.fixture
def default(make: Any) -> ContentPolicyPlugin:
    plugin: ContentPolicyPlugin = make(*DEFAULT["rules"])
    return plugin


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty", b""),
        ("a.txt", b"hello"),
        ("a.png", png()),
        ("setup.exe", b"MZ" + bytes(100) + b"PE\0\0"),
        ("a.zip", zipped(a=b"hello" * 1000)),
        ("._a", b"\0\5\x16\7" + bytes(100)),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("a.psd", b"8BPS" + bytes(500)),
        ("noise.jpg", bytes(range(256))),
    ],
)
def test_the_default_policy_takes_ordinary_files(
    default: ContentPolicyPlugin, tmp_path: Path, name: str, content: bytes
) -> None:
    assert judge(default, tmp_path, name, content) == CLEAN


@pytest.mark.parametrize(
    ("name", "content", "rule_id", "outcome"),
    [
        ("a.png", bomb_png(), "image-bomb", "refuse"),
        ("a.png", cut_png(), "image-malformed", "mark"),
        ("a.zip", zipped(**{str(n): bytes(20 * 1024**2) for n in range(4)}), "archive-bomb", "refuse"),
        ("a.jpg", b"MZ" + bytes(100) + b"PE\0\0", "disguised-program", "refuse"),
    ],
)
def test_the_default_policy_stops_what_does_harm(
    default: ContentPolicyPlugin, tmp_path: Path, name: str, content: bytes, rule_id: str, outcome: str
) -> None:
    verdict = judge(default, tmp_path, name, content)
    assert (verdict.policy, verdict.outcome) == (rule_id, outcome)


# -- properties, documents, types -------------------------------------------------------------------------------------


def test_describe_content_tells_size_and_format_of_images(make: Any, tmp_path: Path) -> None:
    plugin = make()
    shown = plugin.describe_content(upload=make_upload(), staged=stage(tmp_path, png(33, 44)))
    assert shown == {"image.format": "PNG", "image.width": "33", "image.height": "44"}
    assert plugin.describe_content(upload=make_upload(), staged=stage(tmp_path, b"text")) == {}
    assert not plugin.describe_content(upload=make_upload(), staged=stage(tmp_path, b""))


def test_register_inspection_facts_gives_maps_that_are_empty_for_other_files(make: Any) -> None:
    providers = make().register_inspection_facts()
    for root in ("image", "archive"):
        facts = providers[root](make_upload(), io.BytesIO(b"plain text"))
        assert facts == {}
    assert providers["image"](make_upload(), io.BytesIO(png()))["width"] == 20
    assert json.dumps(providers["archive"](make_upload(), io.BytesIO(zipped(a=b"x"))))


def test_register_policies_explains_each_rule_for_a_local_file(make: Any, tmp_path: Path) -> None:
    plugin = make(*DEFAULT["rules"])
    (kind,) = plugin.register_policies()
    policy = kind.parse(DEFAULT)
    file = tmp_path / "holiday.png"
    file.write_bytes(bomb_png())
    lines = kind.explain(policy, file)
    assert any(line.startswith("image-bomb [LIM-03]: REFUSE when all bytes are there") for line in lines)
    assert any(line.startswith("archive-bomb [LIM-03]: does not apply") for line in lines)
    assert lines[-1] == "verdict of these rules: refuse (image-bomb, LIM-03)"
    file.write_bytes(png())
    assert kind.explain(policy, file)[-1] == "verdict of these rules: clean"


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"", "text/plain"),
        (b"%PDF-1.7\n", "application/pdf"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"\0\0\0\x18ftypavif", "image/avif"),
        (b"\0\0\0\x18ftypisom", "video/mp4"),
        (b"<!DOCTYPE html><html>", "text/html"),
        (b"\xef\xbb\xbf<html>", "text/html"),
        (b"<?xml version='1.0'?><a/>", "application/xml"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "image/svg+xml"),
        (b"#!/bin/sh\n", "text/x-script"),
        ("日本語の文".encode(), "text/plain"),
        (b"\x80\x81\x82", "application/octet-stream"),
        (b"MZ is how Mozart begins", "text/plain"),
    ],
)
def test_types_are_told_by_content(head: bytes, media_type: str) -> None:
    assert sniff(head) == media_type


def test_an_office_document_is_more_than_a_zip() -> None:
    packed = zipped(**{"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<w/>"})
    assert sniff(packed) == "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    odt = io.BytesIO()
    with zipfile.ZipFile(odt, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        archive.writestr("content.xml", "<x/>")
    assert sniff(odt.getvalue()) == "application/vnd.oasis.opendocument.text"


def test_a_bad_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_pixels"):
        create(make_context("content_policy", tmp_path, {"max_pixels": "many"}))
    with pytest.raises(ValueError, match="did you mean 'max_pixels'"):
        create(make_context("content_policy", tmp_path, {"max_pixel": 5}))
