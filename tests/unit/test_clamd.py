"""What clamd says, and what is made of it: only one answer is clean. And the breaker that spares clients a dead one."""

from __future__ import annotations

import contextlib
import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins._archives import ArchiveLimits, examine
from plugins._clamd import (
    Answer,
    Endpoint,
    ScannerDown,
    ScannerFault,
    ScannerSlow,
    StreamTooLong,
    parse_answer,
    parse_version,
)
from plugins._scan_proof import EICAR, write_proof
from plugins._scanner import Breaker, Memory

# -- answers ----------------------------------------------------------------------------------------------------------


def test_stream_ok_and_nothing_else_is_clean() -> None:
    assert parse_answer("stream: OK") == Answer(None)


@given(st.text(max_size=40))
def test_no_other_answer_is_clean(text: str) -> None:
    with contextlib.suppress(ScannerFault, StreamTooLong):
        assert parse_answer(text).signature or text == "stream: OK"


@pytest.mark.parametrize(
    "text", ["", "OK", "stream: O", "stream: OK!", "stream:OK", "Stream: OK", "stream: OK OK", "stream:  FOUND",
             "stream: ERROR", "PONG", "stream: OK\0stream: OK", "/dev/stdin: OK"],
)  # fmt: skip
def test_what_only_looks_like_an_answer_is_a_fault(text: str) -> None:
    with pytest.raises(ScannerFault):
        parse_answer(text)


def test_a_finding_has_the_name_of_its_signature() -> None:
    assert parse_answer("stream: Win.Test.EICAR_HDB-1 FOUND") == Answer("Win.Test.EICAR_HDB-1")


def test_the_stream_limit_is_no_fault() -> None:
    with pytest.raises(StreamTooLong):
        parse_answer("INSTREAM size limit exceeded. ERROR")


def test_a_version_may_have_a_date_or_not() -> None:
    assert parse_version("ClamAV 1.4.3/27482/Wed Nov 20 09:41:02 2024").defined_at is not None
    for text in ("ClamAV 1.4.3", "ClamAV 1.4.3/27482/someday"):
        assert parse_version(text).defined_at is None
    with pytest.raises(ScannerFault):
        parse_version("Exim 4")


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("auto", Endpoint()),
        ("unix:/run/clamd", Endpoint(unix="/run/clamd")),
        ("/run/clamd", Endpoint(unix="/run/clamd")),
        ("scanner", Endpoint(host="scanner")),
        ("10.0.0.1:3311", Endpoint(host="10.0.0.1", port=3311)),
        ("[::1]:3310", Endpoint(host="::1")),
        ("[::1]", Endpoint(host="::1")),
    ],
)
def test_addresses_are_read(text: str, endpoint: Endpoint) -> None:
    assert Endpoint.parse(text) == endpoint


@pytest.mark.parametrize("text", ["", "host:0", "host:70000", "host:abc", "http://host:1", ":3310"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="address"):
        Endpoint.parse(text)


# -- the breaker ------------------------------------------------------------------------------------------------------


class Probing:
    """A breaker with a clock and a scanner that tests turn off and on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.down = False
        self.probes = 0
        self.changes: list[str | None] = []
        self.breaker = Breaker(self.probe, self.changes.append, lambda: self.now)

    def probe(self) -> None:
        self.probes += 1
        if self.down:
            raise ScannerDown("still down")

    def refuses(self) -> bool:
        try:
            self.breaker.check()
        except ScannerDown:
            return True
        return False


def test_a_scanner_that_is_down_is_not_asked_until_the_pause_is_over() -> None:
    it = Probing()
    it.down = True
    it.breaker.failed(ScannerDown("refused"))
    assert [it.refuses() for _ in range(5)] == [True] * 5
    assert it.probes == 0
    it.now = 1.0
    assert [it.refuses() for _ in range(5)] == [True] * 5
    assert it.probes == 1


def test_it_works_again_by_itself_within_seconds() -> None:
    it = Probing()
    it.down = True
    it.breaker.failed(ScannerSlow("silent"))
    for second in range(1, 60):
        it.now = float(second)
        it.refuses()
    assert it.probes >= 11  # never more than five seconds apart
    it.down = False
    it.now = 65.0
    assert not it.refuses()
    assert it.changes == ["silent", None]


def test_cut_lines_count_only_in_a_row() -> None:
    it = Probing()
    for _ in range(5):
        it.breaker.failed(ScannerFault("cut"))
        it.breaker.failed(ScannerFault("cut"))
        assert not it.refuses()
        it.breaker.worked()
    for _ in range(3):
        it.breaker.failed(ScannerFault("cut"))
    assert it.refuses()
    assert it.changes == ["cut"]


def test_while_one_caller_probes_the_others_are_refused_at_once() -> None:
    it = Probing()
    inner: list[bool] = []
    it.breaker = Breaker(lambda: inner.append(it.refuses()), it.changes.append, lambda: it.now)
    it.breaker.failed(ScannerDown("refused"))
    it.now = 1.0
    assert not it.refuses()
    assert inner == [True]


# -- memory and proof -------------------------------------------------------------------------------------------------


def test_memory_forgets_the_least_recently_used_and_knows_definitions_apart() -> None:
    memory = Memory(2)
    memory.put("a", "v1", Answer(None))
    memory.put("b", "v1", Answer("Bad"))
    assert memory.get("a", "v1") == Answer(None)
    assert memory.get("a", "v2") is None
    memory.put("c", "v1", Answer(None))
    assert (memory.get("b", "v1"), memory.get("a", "v1")) == (None, Answer(None))


@pytest.mark.parametrize(("member", "expanded"), [(200_000, 1_000_000), (300_000, 200_000), (1_000_000, 1_100_000)])
def test_the_proof_has_exactly_the_configured_size_and_eicar_last(member: int, expanded: int) -> None:
    file, limits = io.BytesIO(), ArchiveLimits(member=member, expanded=expanded)
    write_proof(file, limits)
    assert len(file.getvalue()) == member
    with zipfile.ZipFile(file) as packed:
        assert packed.read(packed.infolist()[-1]) == EICAR
        assert sum(info.file_size for info in packed.infolist()) == max(
            expanded, packed.infolist()[0].file_size + len(EICAR)
        )
    if expanded > member:
        assert examine(file, limits).exceeded == ""
