"""The inspection plugins in the write path: with real services, store and database, and a real clamd."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.errors import Disallowed, Held, Infected, InspectorUnavailable, NotFound, QuotaExceeded
from gateway.domain.node import VersionState
from gateway.testing.clamd import EICAR, MARKER, Clamd, FaultyClamd
from gateway.testing.needs import need
from gateway.testing.space import START, Space, open_space

DEFINED = datetime.fromtimestamp(START / 1000, UTC)


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clamd]:
    need("clamd")
    with Clamd(tmp_path_factory.mktemp("clamd"), defined_at=DEFINED) as running:
        yield running


@pytest.fixture
def faulty(clamd: Clamd) -> Iterator[FaultyClamd]:
    with FaultyClamd(clamd.port) as proxy:
        yield proxy


def scan(address: str, on_error: str = "refuse", **more: Any) -> dict[str, Any]:
    quick = {"connect_timeout": "10s", "silence_timeout": "10s", "scan_timeout": "60s"}
    return {"name": "virus_scan", "address": address, "on_error": on_error, **quick, **more}


def zipped(name: str, data: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return packed.getvalue()


def state(space: Space, path: str) -> tuple[VersionState, str]:
    version = space.services.files.get(space.caller, tuple(path.split("/"))).version
    assert version is not None
    return version.state, version.reason


def run_job(space: Space, name: str) -> None:
    (job,) = [one for one in space.services.host.jobs() if one.name == name]
    job.run()


@pytest.mark.parametrize("content", [EICAR, zipped("e.com", EICAR), b"x" * 200_000 + MARKER])
def test_a_virus_is_refused_and_the_old_content_stays(clamd: Clamd, tmp_path: Path, content: bytes) -> None:
    with open_space(tmp_path, plugins=["quota", scan(clamd.unix), "content_policy"]) as space:
        space.put("a", b"old content")
        for path in ("a", "new"):
            with pytest.raises(Infected) as refused:
                space.put(path, content)
            assert refused.value.policy == "virus_scan"
        assert space.read("a") == b"old content"
        with pytest.raises(NotFound):
            space.read("new")
        assert space.used() == (11, 1)
        blobs = list(space.services.store.list())
        assert [blob.size for blob in blobs] == [11]
        assert not list((tmp_path / "data").rglob("staging/*"))


def test_a_scanner_that_is_gone_refuses_with_a_time_to_come_back(tmp_path: Path) -> None:
    with open_space(tmp_path, plugins=[scan("127.0.0.1:1")]) as space:
        with pytest.raises(InspectorUnavailable) as refused:
            space.put("a", b"hello")
        assert refused.value.retry_after
        assert space.names() == []


def test_a_file_held_for_a_fault_is_released_by_a_later_scan(faulty: FaultyClamd, tmp_path: Path) -> None:
    with open_space(tmp_path, plugins=[scan(faulty.tcp, "hold")]) as space:
        space.put("a", b"old")
        faulty.fault = "cut-answer"
        space.put("a", b"innocent")
        assert state(space, "a")[0] is VersionState.HELD
        with pytest.raises(Held):
            space.read("a")
        run_job(space, "virus_scan.rescan")  # still failing: nothing changes
        assert state(space, "a")[0] is VersionState.HELD
        faulty.fault = ""
        _wait_for_breaker(space)
        run_job(space, "virus_scan.rescan")
        assert state(space, "a") == (VersionState.CLEAN, "")
        assert space.read("a") == b"innocent"
        assert space.used() == (8, 1)


def test_a_virus_that_came_during_a_fault_is_never_served_and_the_old_content_returns(
    faulty: FaultyClamd, tmp_path: Path
) -> None:
    with open_space(tmp_path, plugins=[scan(faulty.tcp, "hold")]) as space:
        space.put("a", b"old")
        faulty.fault = "nonsense"
        space.put("a", EICAR)
        space.put("b", EICAR)
        for path in ("a", "b"):
            with pytest.raises(Held):
                space.read(path)
        faulty.fault = ""
        _wait_for_breaker(space)
        run_job(space, "virus_scan.rescan")
        assert space.read("a") == b"old"
        assert space.names() == ["a"]
        assert space.used() == (3, 1)
        refusals = space.services.db.read(lambda tx: tx.refusals.recent(space.caller.tenant.id, 10))
        assert {(one.code, one.policy) for one in refusals} == {("infected", "virus_scan")}


def test_a_demo_marks_and_the_next_scan_clears(faulty: FaultyClamd, tmp_path: Path) -> None:
    with open_space(tmp_path, plugins=[scan(faulty.tcp, "mark")], settings={"demo": True}) as space:
        faulty.fault = "silent"
        space.put("a", b"innocent")
        assert state(space, "a")[0] is VersionState.MARKED
        assert space.read("a") == b"innocent"
        faulty.fault = ""
        _wait_for_breaker(space)
        run_job(space, "virus_scan.rescan")
        assert state(space, "a")[0] is VersionState.CLEAN


def test_what_another_rule_holds_is_not_released_by_the_virus_scan(clamd: Clamd, tmp_path: Path) -> None:
    with open_space(tmp_path, plugins=[scan(clamd.tcp), "content_policy"]) as space:
        text = {"en": "Wait.", "ja": "保留中です。"}
        rule = {"id": "wait", "clause": "TKD-03", "when": 'ext == "zip"', "then": "hold", "text": text}
        _apply(space, {"version": 1, "rules": [rule]})
        space.put("a.zip", zipped("a", b"data"))
        run_job(space, "virus_scan.rescan")
        assert state(space, "a.zip")[0] is VersionState.HELD
        assert state(space, "a.zip")[1].startswith("wait: ")


def test_what_cannot_be_scanned_is_marked_and_judged_again_with_new_definitions(clamd: Clamd, tmp_path: Path) -> None:
    with open_space(tmp_path, plugins=[scan(clamd.tcp, max_size="100KB")]) as space:
        space.put("big", b"b" * 300_000)
        assert state(space, "big") == (
            VersionState.MARKED, "virus_scan: unscannable: only 102400 bytes can be scanned",
        )  # fmt: skip
        run_job(space, "virus_scan.rescan")
        assert state(space, "big")[0] is VersionState.MARKED
        assert space.read("big") == b"b" * 300_000


def test_the_content_policy_refuses_by_name_on_upload_and_on_rename(tmp_path: Path) -> None:
    with open_space(tmp_path, plugins=["content_policy"]) as space:
        rule = {
            "id": "no-programs",
            "clause": "PRO-01",
            "when": 'ext == "exe"',
            "then": "refuse",
            "text": {"en": "No programs.", "ja": "実行ファイルは登録できません。"},
        }
        _apply(space, {"version": 1, "rules": [rule]})
        with pytest.raises(Disallowed):
            space.put("setup.exe", b"MZ")
        space.put("setup.txt", b"MZ")
        with pytest.raises(Disallowed):
            space.services.files.move(space.caller, ("setup.txt",), ("setup.exe",), overwrite=True, conditions=_none())
        assert space.names() == ["setup.txt"]


def test_image_facts_become_properties_of_the_file(tmp_path: Path) -> None:
    from PIL import Image

    data = io.BytesIO()
    Image.new("RGB", (31, 17)).save(data, "PNG")
    with open_space(tmp_path, plugins=["content_policy"]) as space:
        space.put("a.png", data.getvalue())
        version = space.services.files.get(space.caller, ("a.png",)).version
        assert version is not None
        assert version.facts == {"image.format": "PNG", "image.width": "31", "image.height": "17"}


def test_the_quota_of_a_tenant_is_kept_to_the_byte(tmp_path: Path) -> None:
    with open_space(tmp_path, plugins=["quota"], quota_bytes=1000) as space:
        space.put("a", b"x" * 600)
        with pytest.raises(QuotaExceeded) as refused:
            space.put("b", b"x" * 401)
        assert (refused.value.used, refused.value.allowed) == (600, 1000)
        space.put("b", b"x" * 400)
        space.put("a", b"x" * 599)
        space.services.files.delete(space.caller, ("a",), _none())
        space.put("c", b"x" * 600)
        assert space.used() == (1000, 2)


def _none() -> Any:
    from gateway.domain.upload import NO_CONDITIONS

    return NO_CONDITIONS


def _wait_for_breaker(space: Space) -> None:
    """Lets the pause of the circuit breaker pass without waiting for it."""
    (plugin,) = [one.impl for one in space.services.host.plugins if one.name == "virus_scan"]
    plugin.scanner.breaker._monotonic = lambda: float("inf")  # type: ignore[attr-defined]


def _apply(space: Space, document: dict[str, Any]) -> None:
    import yaml

    space.services.policies.apply("content", yaml.safe_dump(document), "test")
