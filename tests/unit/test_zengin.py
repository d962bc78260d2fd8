"""Bank debit files: every record to the byte, re-read by a parser of its own, and results taken whole or not at all."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.collecting import (
    DEBIT_TEXTS,
    AccountKind,
    BankAccount,
    CannotExport,
    Debit,
    DebitCode,
    DebitKind,
    DebitOrder,
    FileRejected,
    results_of,
)
from plugins._zengin_kana import PERMITTED, to_bank_kana
from plugins.zengin import Client, Zengin, client_of, read_results, render

SETTINGS = {
    "client_code": "12345",
    "client_name": "カ)クラドストレージ",
    "bank_code": "0184",
    "bank_name": "ミヤザキ",
    "branch_code": "001",
    "branch_name": "ホンテン",
    "account_number": "7654321",
}
CLIENT = client_of(SETTINGS)
ACCOUNT = BankAccount("0009", "ミツイスミトモ", "123", "キヨウト", AccountKind.ORDINARY, "12345")
FIRST = Debit("C000042", "KRD-000012", ACCOUNT, "カ)アトリエタカハシ", 66_000, DebitKind.FIRST)
SECOND = Debit("C000043", "KRD-000013", ACCOUNT, "ヤマダ タロウ", 33_000)
ORDER = DebitOrder(date(2027, 5, 6), (FIRST, SECOND))


# -- a reader of its own: places as banks print them (first place, length), counted from 1 ----------------------------

PLACES = {
    "2": {
        "bank": (2, 4), "bank name": (6, 15), "branch": (21, 3), "branch name": (24, 15), "free": (39, 4),
        "account kind": (43, 1), "account": (44, 7), "holder": (51, 30), "yen": (81, 10), "new": (91, 1),
        "customer": (92, 20), "result": (112, 1), "free at the end": (113, 8),
    },
    "8": {
        "count": (2, 6), "yen": (8, 12), "done": (20, 6), "done yen": (26, 12), "not done": (38, 6),
        "not done yen": (44, 12), "free": (56, 65),
    },
}  # fmt: skip


def _read(content: bytes) -> list[bytes]:
    lines = content.split(b"\r\n")
    assert lines.pop() == b""
    assert all(len(line) == 120 for line in lines)
    return lines


def _at(line: bytes, name: str) -> str:
    place, length = PLACES[chr(line[0])][name]
    return line[place - 1 : place - 1 + length].decode("cp932")


def test_the_records_are_what_the_banks_print() -> None:
    header, one, two, trailer, end = _read(render(ORDER, CLIENT))
    assert header.decode("cp932") == (
        "1910" + "0000012345" + "ｶ)ｸﾗﾄﾞｽﾄﾚ-ｼﾞ".ljust(40) + "0506" + "0184" + "ﾐﾔｻﾞｷ".ljust(15) + "001"
        + "ﾎﾝﾃﾝ".ljust(15) + "1" + "7654321" + " " * 17
    )  # fmt: skip
    assert one.decode("cp932") == (
        "2" + "0009" + "ﾐﾂｲｽﾐﾄﾓ".ljust(15) + "123" + "ｷﾖｳﾄ".ljust(15) + " " * 4 + "1" + "0012345"
        + "ｶ)ｱﾄﾘｴﾀｶﾊｼ".ljust(30) + "0000066000" + "1" + "C000042".ljust(20) + "0" + " " * 8
    )  # fmt: skip
    assert (_at(two, "holder").strip(), _at(two, "new")) == ("ﾔﾏﾀﾞ ﾀﾛｳ", "0")
    assert trailer.decode("cp932") == "8" + "000002" + "000000099000" + "0" * 36 + " " * 65
    assert end == b"9" + b" " * 119


def test_without_line_ends_the_file_is_records_of_120_bytes_and_nothing_else() -> None:
    bare = render(ORDER, client_of({**SETTINGS, "line_end": "none"}))
    assert bare == render(ORDER, CLIENT).replace(b"\r\n", b"")
    assert len(bare) == 5 * 120


KATAKANA = "".join(chr(code) for code in range(ord("ァ"), ord("ヶ") + 1))
HIRAGANA = "".join(chr(code) for code in range(ord("ぁ"), ord("ゔ") + 1))
HALF = "".join(chr(code) for code in range(0xFF66, 0xFFA0))
names = st.text(KATAKANA + HIRAGANA + HALF + "ー・（）「」－．，￥ azAZ09 ()-./", min_size=1, max_size=15)
holders = names.filter(lambda name: name.strip(" ") != "")
digits = st.integers
debits = st.builds(
    Debit,
    st.from_regex(r"[0-9A-Z][0-9A-Z-]{0,19}", fullmatch=True),
    st.just("KRD-000001"),
    st.builds(
        BankAccount,
        digits(0, 9999).map("{:04}".format),
        names,
        digits(0, 999).map("{:03}".format),
        names,
        st.sampled_from(AccountKind),
        digits(0, 9_999_999).map(str),
    ),
    holders,
    st.integers(1, 9_999_999_999),
    st.sampled_from(DebitKind),
)
orders = st.builds(
    DebitOrder,
    st.dates(date(2026, 1, 1), date(2040, 1, 1)),
    st.lists(debits, min_size=1, max_size=8, unique_by=lambda one: one.customer_number).map(tuple),
)


@given(orders)
def test_every_order_is_read_again_by_another_parser(order: DebitOrder) -> None:
    lines = _read(render(order, CLIENT))
    assert [line[:1] for line in lines] == [b"1", *[b"2"] * len(order.debits), b"8", b"9"]
    for line, debit in zip(lines[1:-2], order.debits, strict=True):
        assert _at(line, "customer").rstrip() == debit.customer_number
        assert int(_at(line, "yen")) == debit.amount
        assert (_at(line, "bank"), _at(line, "branch")) == (debit.account.bank_code, debit.account.branch_code)
        assert int(_at(line, "account")) == int(debit.account.number)
        assert _at(line, "holder").rstrip() == to_bank_kana(debit.holder).strip()
        assert _at(line, "free").isspace() and _at(line, "free at the end").isspace()
    assert int(_at(lines[-2], "count")) == len(order.debits)
    assert int(_at(lines[-2], "yen")) == sum(debit.amount for debit in order.debits)


# -- kana -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kana"),
    [
        ("カブシキガイシャ", "ｶﾌﾞｼｷｶﾞｲｼﾔ"),
        ("ぱぴぷぺぽっ", "ﾊﾟﾋﾟﾌﾟﾍﾟﾎﾟﾂ"),
        ("ヴァイオリン", "ｳﾞｱｲｵﾘﾝ"),
        ("キュウヨ ヲ", "ｷﾕｳﾖ ｵ"),
        ("ｶ)ｽｰﾊﾟｰ・ﾏｰﾄ", "ｶ)ｽ-ﾊﾟ-.ﾏ-ﾄ"),
        ("（カ「ア」、Ａｂ１－２", "(ｶ｢ｱ｣,AB1-2"),
        ("か゛は゜￥", "ｶﾞﾊﾟ\\"),
    ],
)
def test_any_kana_becomes_what_banks_take(text: str, kana: str) -> None:
    assert to_bank_kana(text) == kana


@pytest.mark.parametrize("text", ["株式会社", "㈱アトリエ", "Müller", "カ\nカ", "カ\x00", "a_b", "😀", "カ*"])
def test_what_no_bank_takes_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"U\+[0-9A-F]{4,} *|U\+"):
        to_bank_kana(text)


@given(names)
def test_bank_kana_is_one_byte_a_character_and_stays_as_it_is(text: str) -> None:
    kana = to_bank_kana(text)
    assert len(kana.encode("shift_jis")) == len(kana)
    assert set(kana) <= PERMITTED
    assert to_bank_kana(kana) == kana


@given(st.text(max_size=20))
def test_no_text_gets_through_that_is_not_permitted(text: str) -> None:
    try:
        assert set(to_bank_kana(text)) <= PERMITTED
    except ValueError as error:
        assert "U+" in str(error)


def test_wide_and_half_width_kana_of_one_name_are_the_same() -> None:
    half = "ｶﾞｷﾞｸﾞﾊﾟｳﾞﾜﾝｱｧ-"
    assert to_bank_kana(unicodedata.normalize("NFKC", half)) == to_bank_kana(half)


# -- what cannot go into a file ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"amount": 0}, "amount: 0"),
        ({"amount": 10_000_000_000}, "amount"),
        ({"holder": "株式会社アトリエ"}, "U\\+682A"),
        ({"holder": "ア" * 31}, "holder: .* longer than 30"),
        ({"holder": "  "}, "holder: is missing"),
        ({"customer_number": ""}, "customer_number"),
        ({"customer_number": "C 1"}, "customer_number"),
        ({"customer_number": "C" * 21}, "longer than 20"),
        ({"account": dataclasses.replace(ACCOUNT, bank_code="9")}, "bank_code"),
        ({"account": dataclasses.replace(ACCOUNT, bank_code="٠٠٠٩")}, "not only digits"),
        ({"account": dataclasses.replace(ACCOUNT, branch_code="0001")}, "branch_code"),
        ({"account": dataclasses.replace(ACCOUNT, number="")}, "account_number"),
        ({"account": dataclasses.replace(ACCOUNT, number="123-456")}, "not only digits"),
    ],
)
def test_a_debit_that_does_not_fit_makes_no_file_and_is_named(change: dict[str, Any], said: str) -> None:
    bad = dataclasses.replace(FIRST, **change)
    with pytest.raises(CannotExport, match=said) as caught:
        render(DebitOrder(ORDER.on, (SECOND, bad)), CLIENT)
    assert bad.customer_number in str(caught.value)


def test_one_customer_number_stands_once_in_an_order() -> None:
    with pytest.raises(CannotExport, match="C000042 stands twice"):
        render(DebitOrder(ORDER.on, (FIRST, FIRST)), CLIENT)
    with pytest.raises(CannotExport, match="1 to 999999 debits"):
        render(DebitOrder(ORDER.on, ()), CLIENT)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"client_code": "12345678901"}, "client_code"),
        ({"client_code": None}, "client_code"),
        ({"client_name": "蔵戸"}, "client_name"),
        ({"client_name": "ア" * 41}, "client_name"),
        ({"bank_code": "184"}, "bank_code"),
        ({"bank_code": 184}, "bank_code"),
        ({"account_kind": "5"}, "account_kind"),
        ({"line_end": "lf"}, "line_end"),
        ({"lineend": "crlf"}, "lineend"),
    ],
)
def test_bad_settings_name_their_key(change: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match=f"^{key}"):
        client_of({**SETTINGS, **change})


# -- results ----------------------------------------------------------------------------------------------------------


def _answered(content: bytes, codes: dict[str, str]) -> bytes:
    """What a bank makes of our file: results and the sums of the trailer filled in."""
    lines = _read(content)
    paid: list[int] = []
    failed: list[int] = []
    for n, line in enumerate(lines):
        if line[:1] == b"2":
            code = codes[_at(line, "customer").rstrip()]
            (paid if code == "0" else failed).append(int(_at(line, "yen")))
            lines[n] = line[:111] + code.encode() + line[112:]
        if line[:1] == b"8":
            sums = f"{len(paid):06}{sum(paid):012}{len(failed):06}{sum(failed):012}"
            lines[n] = line[:19] + sums.encode() + line[55:]
    return b"".join(line + b"\r\n" for line in lines)


RESULT = _answered(render(ORDER, CLIENT), {"C000042": "0", "C000043": "1"})


def test_paid_and_failed_are_told_by_customer_number() -> None:
    one, two = read_results(RESULT, ORDER, CLIENT)
    assert (one.debit, one.paid, one.code) == (FIRST, True, DebitCode.PAID)
    assert (two.debit, two.paid, DEBIT_TEXTS[two.code].ja) == (SECOND, False, "資金不足")


@given(orders, st.data())
def test_every_result_of_every_order_is_read_whole(order: DebitOrder, data: st.DataObject) -> None:
    codes = {one.customer_number: data.draw(st.sampled_from("0123489")) for one in order.debits}
    content = _answered(render(order, CLIENT), codes)
    variants: dict[str, Callable[[bytes], bytes]] = {
        "crlf": lambda found: found,
        "bare": lambda found: found.replace(b"\r\n", b""),
        "eof": lambda found: found + b"\x1a",
        "last line end missing": lambda found: found.removesuffix(b"\r\n"),
    }
    change = variants[data.draw(st.sampled_from(sorted(variants)))]
    results = read_results(change(content), order, CLIENT)
    assert {one.debit.customer_number: one.code.value for one in results} == codes
    assert len(results) == len(order.debits)


def _with(line: int, place: int, text: bytes) -> bytes:
    start = (line - 1) * 122 + place - 1
    return RESULT[:start] + text + RESULT[start + len(text) :]


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"", 0, "empty"),
        (b"\x1a", 0, "empty"),
        (RESULT.replace(b"\r\n", b"\n"), 1, "CRLF"),
        (RESULT[:-60], 5, "64 bytes instead of 120"),
        (RESULT.replace(b"\r\n", b"")[:-1], 5, "119 bytes"),
        (RESULT[:122], 1, "ends before its trailer"),
        (RESULT[:366], 2, "kind 2 where kind 8"),
        (RESULT + RESULT, 4, "kind 8 where kind 2"),
        (RESULT + b" " * 120 + b"\r\n", 6, "no record of kind"),
        (_with(1, 2, b"21"), 1, "type is '21'"),
        (_with(1, 4, b"1"), 1, "charset"),
        (_with(1, 5, b"9999999999"), 1, "client_code"),
        (_with(1, 55, b"0507"), 1, "day is '0507'"),
        (_with(2, 81, b"0000065999"), 2, "65999 yen, the order has 66000"),
        (_with(2, 81, b"00000 6000"), 2, "not only digits"),
        (_with(2, 92, b"C000099"), 2, "'C000099' is not in the order"),
        (_with(3, 92, b"C000042"), 3, "has a result already"),
        (_with(3, 112, b"5"), 3, "there is no result '5'"),
        (_with(3, 112, b" "), 3, "there is no result"),
        (_with(3, 51, b"\x8f"), 3, "no character of JIS"),
        (_with(4, 2, b"000003"), 4, "count is 3, the records make 2"),
        (_with(4, 8, b"000000099001"), 4, "amount is 99001"),
        (_with(4, 20, b"000002"), 4, "paid_count"),
        (_with(4, 26, b"000000099000"), 4, "paid_amount"),
        (_with(4, 38, b"000000"), 4, "failed_count"),
        (_with(4, 44, b"000000000000"), 4, "failed_amount"),
        (RESULT[:122] + RESULT[244:], 3, "1 debits of the order have no result: C000042"),
    ],
)
def test_a_bad_file_is_rejected_whole_with_line_and_reason(content: bytes, line: int, reason: str) -> None:
    with pytest.raises(FileRejected) as caught:
        read_results(content, ORDER, CLIENT)
    assert (caught.value.line, reason in caught.value.reason) == (line, True), caught.value


@given(st.integers(0, len(RESULT) - 1), st.integers(0, 255))
def test_one_wrong_byte_never_changes_who_paid_what(place: int, byte: int) -> None:
    content = RESULT[:place] + bytes([byte]) + RESULT[place + 1 :]
    try:
        results = read_results(content, ORDER, CLIENT)
    except FileRejected:
        return
    assert [(one.debit, one.paid) for one in results] == [(FIRST, True), (SECOND, False)]


@given(st.binary(max_size=600))
def test_no_other_bytes_are_a_result(content: bytes) -> None:
    with pytest.raises(FileRejected):
        read_results(content, ORDER, CLIENT)


def test_the_exporter_writes_and_reads_and_takes_no_usage() -> None:
    (exporter,) = Zengin(Client(**dataclasses.asdict(CLIENT))).register_exporters()
    assert (exporter.format, exporter.render(ORDER)) == ("zengin", render(ORDER, CLIENT))
    assert len(results_of(exporter, RESULT, ORDER)) == 2
    with pytest.raises(CannotExport, match="no format for usage"):
        exporter.render([{"tenant": "acme"}])
