"""Claims for the payment agency: only what §20(2)④ allows goes out; results are taken whole or not at all."""

from __future__ import annotations

import csv
import dataclasses
import io
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.collecting import CannotExport, Claim, ClaimState, FileRejected, results_of
from gateway.testing.invoices import CUSTOMER, invoice_document
from plugins.payment_agency import COLUMNS, PaymentAgency, create, read_results, render

DOCUMENT = invoice_document()


def _claim(invoice: str = DOCUMENT.number, **change: Any) -> Claim:
    claim = Claim(
        invoice,
        CUSTOMER.number,
        CUSTOMER.name,
        CUSTOMER.contact,
        CUSTOMER.postal_code,
        CUSTOMER.address,
        "075-000-0000",
        "keiri@atelier.example",
        DOCUMENT.dated,
        DOCUMENT.due,
        DOCUMENT.net,
        DOCUMENT.tax,
        DOCUMENT.total,
    )
    return dataclasses.replace(claim, **change)


CLAIMS = (_claim(), _claim("KRD-000013", net=30_000, tax=3_000, total=33_000))
HEAD = "invoice,result,date,amount,reason\r\n"
GOOD = HEAD + "KRD-000012,settled,2027-05-31,66000,\r\nKRD-000013,returned,2027-05-31,33000,宛先不明\r\n"


def test_the_file_has_the_allowed_columns_and_no_other() -> None:
    assert set(COLUMNS) == {field.name for field in dataclasses.fields(Claim)}
    forbidden = ("plan", "option", "tenant", "login", "password", "usage", "wished", "purpose", "line", "account")
    assert not [name for name in COLUMNS if any(word in name for word in forbidden)]
    rows = list(csv.reader(io.StringIO(render(CLAIMS).decode(), newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert rows[1] == [
        "KRD-000012", "C000042", "株式会社アトリエ髙橋", "制作部 髙橋 美咲", "604-8001",
        "京都府京都市中京区上本能寺前町488 鴨川ビル 2F", "075-000-0000", "keiri@atelier.example", "2027-04-21",
        "2027-04-21", "60000", "6000", "66000",
    ]  # fmt: skip
    assert len(rows) == 3


lines_of_text = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=20)


@given(
    st.lists(st.builds(_claim, customer_name=lines_of_text, address=lines_of_text), max_size=1), st.integers(1, 10**9)
)
def test_every_claim_is_read_again_as_it_was(claims: list[Claim], net: int) -> None:
    claims = [dataclasses.replace(one, net=net, tax=net // 10, total=net + net // 10) for one in claims]
    rows = list(csv.DictReader(io.StringIO(render(claims).decode(), newline="")))
    assert [(row["customer_name"], int(row["total"])) for row in rows] == [
        (" ".join(one.customer_name.split()), one.total) for one in claims
    ]


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ((CLAIMS[0], CLAIMS[0]), "assigned once"),
        ((_claim(total=66_001),), "do not make 66001"),
        ((_claim(net=0, tax=0, total=0),), "is no claim"),
        ((_claim(customer_name="a\x00b"),), "customer_name has control characters"),
        (({"tenant": "acme"},), "no format for usage"),
    ],
)
def test_a_claim_that_does_not_fit_makes_no_file(claims: Any, said: str) -> None:
    with pytest.raises(CannotExport, match=said):
        render(claims)


def test_a_character_outside_the_encoding_is_named() -> None:
    assert "髙橋".encode("cp932") in render([_claim()], "cp932")
    with pytest.raises(CannotExport, match="KRD-000012: customer_name: '𠮷' is not in cp932"):
        render([_claim(customer_name="𠮷野")], "cp932")


def test_settled_and_returned_claims_are_told_apart() -> None:
    settled, returned = read_results(GOOD.encode(), CLAIMS)
    assert (settled.claim, settled.state, settled.on) == (CLAIMS[0], ClaimState.SETTLED, date(2027, 5, 31))
    assert (returned.claim.invoice, returned.state, returned.reason) == ("KRD-000013", ClaimState.RETURNED, "宛先不明")
    assert read_results(b"\xef\xbb\xbf" + GOOD.encode(), CLAIMS) == [settled, returned]
    assert read_results(GOOD.encode("cp932"), CLAIMS, "cp932") == [settled, returned]


def test_claims_that_are_not_in_the_file_stay_open() -> None:
    (only,) = read_results((HEAD + "KRD-000013,settled,2027-05-31,33000,\r\n").encode(), CLAIMS)
    assert only.claim.invoice == "KRD-000013"


ONE = "KRD-000012,settled,2027-05-31,66000,\r\n"


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "the first line is not"),
        (HEAD, 0, "no result"),
        ("invoice,result,date,amount\r\n" + ONE, 1, "the first line is not"),
        (HEAD + ONE + ONE, 3, "has a result already"),
        (HEAD + ONE + "KRD-000099,settled,2027-05-31,1,\r\n", 3, "is no assigned claim"),
        (HEAD + ONE + "KRD-000013,settled,2027-05-31,32999,\r\n", 3, "the claim is 33000"),
        (HEAD + ONE + "KRD-000013,paid,2027-05-31,33000,\r\n", 3, "settled or returned"),
        (HEAD + ONE + "KRD-000013,settled,31.5.2027,33000,\r\n", 3, "no day"),
        (HEAD + ONE + "KRD-000013,returned,2027-05-31,33000, \r\n", 3, "without a reason"),
        (HEAD + ONE + "KRD-000013,settled\r\n", 3, "2 columns"),
        (HEAD + ONE + "\r\n", 3, "0 columns"),
        (HEAD + ONE + 'KRD-000013,"settled\r\n', 3, "no CSV"),
        (HEAD + ONE + 'KRD-000013,"set"tled,2027-05-31,33000,\r\n', 3, "no CSV"),
    ],
)
def test_a_bad_file_is_rejected_whole_with_line_and_reason(text: str, line: int, reason: str) -> None:
    with pytest.raises(FileRejected) as caught:
        read_results(text.encode(), CLAIMS)
    assert (caught.value.line, reason in caught.value.reason) == (line, True), caught.value


def test_bytes_of_another_encoding_are_rejected_at_their_line() -> None:
    with pytest.raises(FileRejected) as caught:
        read_results(GOOD.encode("cp932"), CLAIMS)
    assert caught.value.line == 3


@given(st.binary(max_size=200))
def test_no_other_bytes_are_a_result(content: bytes) -> None:
    with pytest.raises(FileRejected):
        read_results(content, CLAIMS)


def test_the_exporter_writes_and_reads() -> None:
    (exporter,) = PaymentAgency("utf-8").register_exporters()
    assert (exporter.format, exporter.render(CLAIMS)) == ("payment_agency", render(CLAIMS))
    assert len(results_of(exporter, GOOD.encode(), CLAIMS)) == 2
    with pytest.raises(CannotExport, match="has no result file"):
        results_of(SimpleNamespace(format="csv"), GOOD.encode(), CLAIMS)


@pytest.mark.parametrize("settings", [{"encoding": "latin-1"}, {"columns": "all"}])
def test_bad_settings_name_their_key(settings: dict[str, str]) -> None:
    context: Any = SimpleNamespace(settings=settings)
    with pytest.raises(ValueError, match=f"^{next(iter(settings))}"):
        create(context)
