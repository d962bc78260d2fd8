"""virus_scan against a real clamd, and against one that fails in every way that was thought of."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.errors import Infected, InspectorUnavailable, Unscannable
from gateway.domain.upload import Outcome, Verdict
from gateway.testing.clamd import EICAR, EICAR_NAME, MARKER, Clamd, ClamdMissing, FaultyClamd, find_clamd
from gateway.testing.inspection import make_context, make_upload, run_inspection
from plugins.virus_scan import VirusScan, create

DEFINED = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5)
NOW = int((DEFINED + timedelta(hours=5)).timestamp() * 1000)
QUICK = {"connect_timeout": "1s", "silence_timeout": "1s", "scan_timeout": "2s"}


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clamd]:
    try:
        find_clamd()
    except ClamdMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"not run: {missing}")
    with Clamd(tmp_path_factory.mktemp("clamd"), defined_at=DEFINED) as running:
        yield running


def plugin(tmp_path: Path, address: str, *, on_error: str = "refuse", now: int = NOW, **settings: Any) -> VirusScan:
    demo = on_error == "mark"
    values = {"address": address, "definition_max_age": "24h", **settings}
    return create(make_context("virus_scan", tmp_path, values, on_error=on_error, now=now, demo=demo))


def inspect(scan: VirusScan, tmp_path: Path, content: bytes, block: int = 65_536) -> Verdict:
    return run_inspection(scan, tmp_path, make_upload("a.bin", len(content)), content, block)


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return packed.getvalue()


def encrypted_zip(name: str, data: bytes) -> bytes:
    """A zip whose member says that it is encrypted: bit 0 of the flags, in both heads (APPNOTE 4.4.4)."""
    packed = bytearray(zipped((name, data), method=zipfile.ZIP_STORED))
    packed[6] |= 1
    packed[packed.index(b"PK\x01\x02") + 8] |= 1
    return bytes(packed)


# -- what clamd finds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["tcp", "unix"])
def test_an_ordinary_content_is_clean(clamd: Clamd, tmp_path: Path, line: str) -> None:
    scan = plugin(tmp_path, getattr(clamd, line))
    assert inspect(scan, tmp_path, b"hello " * 50_000).outcome is Outcome.CLEAN


@pytest.mark.parametrize("block", [1, 7, 67, 65_536])
def test_eicar_is_refused_with_the_name_of_the_signature_however_it_is_split(
    clamd: Clamd, tmp_path: Path, block: int
) -> None:
    verdict = inspect(plugin(tmp_path, clamd.tcp), tmp_path, EICAR, block)
    assert verdict.outcome is Outcome.REFUSE
    assert verdict.error == Infected.code
    assert EICAR_NAME in verdict.reason


def test_eicar_is_found_in_archives_of_every_kind(clamd: Clamd, tmp_path: Path) -> None:
    scan = plugin(tmp_path, clamd.tcp)
    tarred = io.BytesIO()
    with tarfile.open(fileobj=tarred, mode="w:gz") as tar:
        member = tarfile.TarInfo("e.com")
        member.size = len(EICAR)
        tar.addfile(member, io.BytesIO(EICAR))
    for content in (
        zipped(("e.com", EICAR)),
        zipped(("in.zip", zipped(("e.com", EICAR)))),
        gzip.compress(EICAR),
        tarred.getvalue(),
    ):
        assert inspect(scan, tmp_path, content).error == Infected.code


def test_a_marker_that_lies_across_two_blocks_is_found(clamd: Clamd, tmp_path: Path) -> None:
    scan = plugin(tmp_path, clamd.tcp)
    for before in range(65_536 - len(MARKER), 65_536, 5):
        assert inspect(scan, tmp_path, b"x" * before + MARKER + b"y" * 100).outcome is Outcome.REFUSE


def test_a_body_of_unknown_length_is_scanned_too(clamd: Clamd, tmp_path: Path) -> None:
    verdict = run_inspection(plugin(tmp_path, clamd.tcp), tmp_path, make_upload("a", None), MARKER)
    assert verdict.outcome is Outcome.REFUSE


def test_an_empty_file_asks_nobody(tmp_path: Path) -> None:
    assert inspect(plugin(tmp_path, "127.0.0.1:1"), tmp_path, b"").outcome is Outcome.CLEAN


def test_many_uploads_at_once_get_their_own_verdicts(clamd: Clamd, tmp_path: Path) -> None:
    scan = plugin(tmp_path, clamd.tcp, connections=3)

    def one(number: int) -> bool:
        folder = tmp_path / str(number)
        folder.mkdir()
        content = b"z" * 200_000 + (MARKER if number % 3 == 0 else b"")
        return inspect(scan, folder, content).outcome is Outcome.REFUSE

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(one, range(48))) == [number % 3 == 0 for number in range(48)]


def test_slow_uploads_do_not_use_up_the_lines_of_others(clamd: Clamd, tmp_path: Path) -> None:
    scan = plugin(tmp_path, clamd.tcp, connections=2)
    slow = [scan.open_inspector(upload=make_upload("slow", None)) for _ in range(5)]
    for inspector in slow:
        assert inspector is not None
        inspector.feed(b"a")
    assert inspect(scan, tmp_path, MARKER).outcome is Outcome.REFUSE
    assert inspect(scan, tmp_path, b"fine").outcome is Outcome.CLEAN
    for inspector in slow:
        assert inspector is not None
        inspector.abort()


# -- faults: never clean ----------------------------------------------------------------------------------------------

FAULTS = ["cut-after:1000", "cut-after:150000", "cut-answer", "half-answer", "nonsense", "silent", "deaf"]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("content", [b"n" * 300_000, MARKER + b"n" * 300_000], ids=["clean", "infected"])
def test_a_scanner_that_fails_refuses(clamd: Clamd, tmp_path: Path, fault: str, content: bytes) -> None:
    with FaultyClamd(clamd.port, fault) as faulty, pytest.raises(InspectorUnavailable) as refused:
        inspect(plugin(tmp_path, faulty.tcp, **QUICK), tmp_path, content)
    assert refused.value.retry_after


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("on_error", ["hold", "mark"])
def test_a_scanner_that_fails_holds_or_in_a_demo_marks(clamd: Clamd, tmp_path: Path, fault: str, on_error: str) -> None:
    with FaultyClamd(clamd.port, fault) as faulty:
        verdict = inspect(plugin(tmp_path, faulty.tcp, on_error=on_error, **QUICK), tmp_path, b"n" * 300_000)
    assert verdict.outcome == on_error
    assert verdict.reason.startswith("not scanned")


def test_a_line_cut_once_is_made_good_from_the_staged_file(clamd: Clamd, tmp_path: Path) -> None:
    with FaultyClamd(clamd.port, "cut-after:1000") as faulty:
        scan = plugin(tmp_path, faulty.tcp, **QUICK)
        upload = make_upload("a", 300_000)
        inspector = scan.open_inspector(upload=upload)
        assert inspector is not None
        inspector.feed(b"n" * 150_000)
        inspector.feed(b"n" * 150_000)
        verdict = inspector.finish()
        assert verdict.policy == ""  # clean is not said of what clamd has not seen whole
        faulty.fault = ""
        assert run_inspection(scan, tmp_path, upload, MARKER + b"n" * 299_000).outcome is Outcome.REFUSE


def test_a_stopped_scanner_refuses_at_once_and_works_again_by_itself(tmp_path: Path, clamd: Clamd) -> None:
    own = Clamd(tmp_path / "own", defined_at=DEFINED)
    clock = [0.0]
    with contextlib.ExitStack() as cleanup:
        own.start()
        cleanup.callback(own.stop)
        scan = plugin(tmp_path, own.tcp)
        scan.scanner.breaker._monotonic = lambda: clock[0]
        assert inspect(scan, tmp_path, b"fine").outcome is Outcome.CLEAN
        own.stop()
        with pytest.raises(InspectorUnavailable):
            inspect(scan, tmp_path, b"fine, but nobody knows")
        with pytest.raises(InspectorUnavailable):  # before the body now
            scan.check_upload(upload=make_upload("a", 5))
        assert ("scanner-down", "virus_scan") in scan.context.alarm.active  # type: ignore[attr-defined]
        own.start()
        clock[0] += 5
        assert inspect(scan, tmp_path, EICAR).outcome is Outcome.REFUSE
        assert not scan.context.alarm.active  # type: ignore[attr-defined]


def test_a_frozen_scanner_is_a_fault_within_its_deadline(tmp_path: Path, clamd: Clamd) -> None:
    with Clamd(tmp_path / "own", defined_at=DEFINED) as own:
        scan = plugin(tmp_path, own.tcp, **QUICK)
        own.pause()
        with pytest.raises(InspectorUnavailable):
            inspect(scan, tmp_path, b"n" * 8_000_000)
        own.resume()


def test_mark_for_a_fault_needs_a_demo(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="demo: true"):
        create(make_context("virus_scan", tmp_path, {}, on_error="mark"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"adress": "x:1"}, "did you mean 'address'"),
        ({"address": "host:notaport"}, "no address"),
        ({"max_size": "big"}, "max_size"),
        ({"bomb": "ignore"}, "refuse, hold, mark"),
        ({"scan_timeout": "0s"}, "above zero"),
    ],
)
def test_a_bad_setting_is_named(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        create(make_context("virus_scan", tmp_path, settings))


# -- unscannable: a plain OK is not proof -----------------------------------------------------------------------------


def test_what_is_larger_than_can_be_scanned_is_marked_by_default_and_its_beginning_is_judged(
    clamd: Clamd, tmp_path: Path
) -> None:
    scan = plugin(tmp_path, clamd.tcp, max_size="1MB")
    verdict = inspect(scan, tmp_path, b"n" * 3_000_000)
    assert (verdict.outcome, verdict.error) == (Outcome.MARK, "unscannable")
    with pytest.raises(Infected):
        inspect(scan, tmp_path, MARKER + b"n" * 3_000_000)


def test_a_declared_size_above_the_limit_is_refused_before_the_body_when_the_operator_wants_that(
    clamd: Clamd, tmp_path: Path
) -> None:
    scan = plugin(tmp_path, clamd.tcp, max_size="1MB", too_large="refuse")
    with pytest.raises(Unscannable):
        scan.check_upload(upload=make_upload("a", 3_000_000))
    verdict = run_inspection(scan, tmp_path, make_upload("a", None), b"n" * 3_000_000)
    assert verdict.outcome is Outcome.REFUSE


def test_clamds_own_stream_limit_below_ours_is_no_fault_but_unscannable(tmp_path: Path, clamd: Clamd) -> None:
    with Clamd(tmp_path / "own", {"StreamMaxLength": "1M"}, defined_at=DEFINED) as own:
        scan = plugin(tmp_path, own.tcp, too_large="hold")
        verdict = inspect(scan, tmp_path, b"n" * 5_000_000)
        assert (verdict.outcome, verdict.error) == (Outcome.HOLD, "unscannable")
        assert ("scanner-limits", "virus_scan") in scan.context.alarm.active  # type: ignore[attr-defined]


def test_a_member_beyond_the_limit_is_unscannable_although_clamd_says_ok(clamd: Clamd, tmp_path: Path) -> None:
    hidden = zipped(("big", bytes(30 * 1024 * 1024) + MARKER))
    scan = plugin(tmp_path, clamd.tcp, bomb="mark")
    assert scan.scanner.scan(io.BytesIO(hidden), len(hidden)).signature is None
    assert inspect(scan, tmp_path, hidden).error == "unscannable"


def test_a_bomb_is_refused(clamd: Clamd, tmp_path: Path) -> None:
    inner = zipped(*((f"{number}", bytes(8 * 1024 * 1024)) for number in range(20)))
    verdict = inspect(plugin(tmp_path, clamd.tcp), tmp_path, zipped(("in.zip", inner)))
    assert verdict.outcome is Outcome.REFUSE
    assert "bomb" in verdict.reason or "limits" in verdict.reason


@pytest.mark.parametrize("choice", ["mark", "hold", "refuse"])
@pytest.mark.parametrize("alert", ["yes", "no"])
def test_an_encrypted_zip_is_treated_as_the_operator_says(
    clamd: Clamd, tmp_path: Path, choice: str, alert: str
) -> None:
    content = encrypted_zip("secret.bin", b"who knows what this is")
    with Clamd(tmp_path / "own", {"AlertEncrypted": alert}, defined_at=DEFINED) as own:
        verdict = inspect(plugin(tmp_path, own.tcp, encrypted=choice), tmp_path, content)
    assert (verdict.outcome, verdict.error) == (choice, "unscannable")
    assert "encrypted" in verdict.reason


# -- definitions, memory, proof ---------------------------------------------------------------------------------------


def test_the_age_of_the_definitions_is_a_health_fact(clamd: Clamd, tmp_path: Path) -> None:
    fact = plugin(tmp_path, clamd.tcp).definitions_fact()
    assert (fact.name, fact.level, fact.value) == ("virus_definitions_age_seconds", "ok", 5 * 3600.0)


@pytest.mark.parametrize("stale", ["refuse", "hold", "warn"])
def test_old_definitions_close_registration_unless_told_otherwise(clamd: Clamd, tmp_path: Path, stale: str) -> None:
    scan = plugin(tmp_path, clamd.tcp, now=NOW + 20 * 3_600_000, stale=stale)
    assert scan.definitions_fact().level == "error"
    scan.watch()
    assert ("definitions-old", "virus_scan") in scan.context.alarm.active  # type: ignore[attr-defined]
    if stale == "refuse":
        with pytest.raises(InspectorUnavailable):
            scan.check_upload(upload=make_upload("a", 5))
    else:
        assert inspect(scan, tmp_path, b"fine").outcome == ("hold" if stale == "hold" else "clean")


def test_a_scanner_that_does_not_say_its_age_is_a_warning(clamd: Clamd, tmp_path: Path) -> None:
    with FaultyClamd(clamd.port, "version:ClamAV 1.4.3") as faulty:
        scan = plugin(tmp_path, faulty.tcp)
        assert scan.definitions_fact().level == "warning"
        assert inspect(scan, tmp_path, b"fine").outcome is Outcome.CLEAN


def test_a_verdict_is_remembered_by_digest_until_the_definitions_change(clamd: Clamd, tmp_path: Path) -> None:
    with FaultyClamd(clamd.port) as counting:
        scan = plugin(tmp_path, counting.tcp)
        for content in (b"seen before", MARKER):
            outcomes = {scan.judge_file(io.BytesIO(content), len(content), str(content)).outcome for _ in range(3)}
            assert len(outcomes) == 1
        assert counting.streams == 2
        counting.fault = "version:ClamAV 1.4.3/27001/Wed Nov 25 09:41:02 2099"
        scan.scanner.version(0.0)
        scan.judge_file(io.BytesIO(b"seen before"), 11, str(b"seen before"))
        assert counting.streams == 3


def test_a_scanner_without_the_test_virus_is_useless_and_alarmed(clamd: Clamd, tmp_path: Path) -> None:
    with FaultyClamd(clamd.port, "blind") as blind:
        scan = plugin(tmp_path, blind.tcp)
        scan.watch()
        assert "EICAR" in scan.context.alarm.active["scanner-down", "virus_scan"]  # type: ignore[attr-defined]
        assert scan.reachable_fact().level == "error"
        blind.fault = ""
        scan.watch()
        assert not scan.context.alarm.active  # type: ignore[attr-defined]


def test_register_health_answers_within_seconds_though_the_scanner_does_not(clamd: Clamd, tmp_path: Path) -> None:
    with FaultyClamd(clamd.port, "silent") as faulty:
        checks = list(plugin(tmp_path, faulty.tcp, **QUICK).register_health())
        assert [check().level for check in checks] == ["error", "error", "error"]


def test_a_single_fault_is_alarmed_though_the_scanner_is_not_down(clamd: Clamd, tmp_path: Path) -> None:
    with FaultyClamd(clamd.port, "nonsense") as faulty:
        scan = plugin(tmp_path, faulty.tcp, on_error="hold")
        assert inspect(scan, tmp_path, b"x").outcome is Outcome.HOLD
        assert ("scanner-down", "virus_scan") in scan.context.alarm.active  # type: ignore[attr-defined]
        faulty.fault = ""
        scan.watch()
        assert not scan.context.alarm.active  # type: ignore[attr-defined]


def test_the_proof_succeeds_where_limits_fit_and_fails_where_clamd_looks_at_less(clamd: Clamd, tmp_path: Path) -> None:
    scan = plugin(tmp_path, clamd.tcp)
    scan.prove()
    assert not scan.context.alarm.active  # type: ignore[attr-defined]
    assert {check().level for check in scan.register_health()} == {"ok"}
    with Clamd(tmp_path / "own", {"MaxScanSize": "20M"}, defined_at=DEFINED) as own:
        blind = plugin(tmp_path, own.tcp)
        blind.prove()
        assert ("scanner-limits", "virus_scan") in blind.context.alarm.active  # type: ignore[attr-defined]


def test_memory_does_not_grow_with_the_upload(clamd: Clamd, tmp_path: Path) -> None:
    scan = plugin(tmp_path, clamd.tcp)
    upload = make_upload("a", None)
    inspector = scan.open_inspector(upload=upload)
    assert inspector is not None
    block = bytes(1024 * 1024)
    tracemalloc.start()
    try:
        for _ in range(24):
            inspector.feed(block)
        assert tracemalloc.get_traced_memory()[1] < 2 * 1024 * 1024
        assert inspector.finish().outcome is Outcome.CLEAN
    finally:
        tracemalloc.stop()


def test_no_thread_is_left_behind(clamd: Clamd, tmp_path: Path) -> None:
    before = threading.active_count()
    inspect(plugin(tmp_path, clamd.tcp), tmp_path, b"fine")
    assert threading.active_count() == before
